//! key → client machine; routes responses and deadlines to the right one.

use std::collections::{BTreeSet, HashMap, hash_map};
use std::sync::Arc;
use std::time::Instant;

use super::client::Client;
use super::client_key::ClientKey;
use super::effect::{ClientEffect, TransactionId};
use super::invite_client::InviteClient;
use super::key::Kind;
use super::layer::{NotBegun, shrink};
use super::numbered::Numbered;
use super::options::TransactionOptions;
use super::timer::Timers;
use crate::sip::StatusCode;

/// An effect of a client transaction, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOutput<P> {
    /// The transaction; after [`ClientEffect::Ended`] nobody knows it any more.
    pub id: TransactionId,
    /// What was given to [`ClientLayer::begin`].
    pub path: P,
    /// What to do.
    pub effect: ClientEffect,
}

#[derive(Debug)]
enum Machine {
    Invite(InviteClient),
    Other(Client),
}

impl Machine {
    fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.next_deadline(),
            Self::Other(machine) => machine.next_deadline(),
        }
    }

    fn is_proceeding(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_proceeding(),
            Self::Other(machine) => machine.is_proceeding(),
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.has_ended(),
            Self::Other(machine) => machine.has_ended(),
        }
    }
}

#[derive(Debug)]
struct Entry<P> {
    key: Arc<[u8]>,
    path: P,
    machine: Machine,
    /// Where it stands in the table of deadlines.
    scheduled: Option<Instant>,
}

/// The client transactions of one worker. `P` is the way that a request went (a connection, an address).
///
/// Each ends by a timer of its own, but for an INVITE that is ringing: that one waits as long as the core does, and
/// counts towards the limit.
#[derive(Debug)]
pub struct ClientLayer<P> {
    options: TransactionOptions,
    index: HashMap<Arc<[u8]>, TransactionId>,
    entries: Numbered<TransactionId, Entry<P>>,
    deadlines: BTreeSet<(Instant, TransactionId)>,
    next_id: u64,
    /// Effects of the machine that is being driven; kept for its capacity.
    effects: Vec<ClientEffect>,
}

impl<P: Clone> ClientLayer<P> {
    /// An empty one. Allocates nothing until there is a transaction.
    pub fn new(options: TransactionOptions) -> Self {
        Self {
            options,
            index: HashMap::new(),
            entries: Numbered::default(),
            deadlines: BTreeSet::new(),
            next_id: 0,
            effects: Vec::new(),
        }
    }

    /// Remembers a request that is sent now; `again` as for [`Client::new`] and [`InviteClient::new`]. A CANCEL is a
    /// request like others: with the branch of its INVITE, its own method keeps the two apart.
    ///
    /// # Errors
    /// The table is full, a request with this key is under way (take another branch), or it is an ACK, which is sent
    /// without a transaction.
    pub fn begin(
        &mut self,
        key: &ClientKey,
        path: P,
        again: Option<Arc<[u8]>>,
        now: Instant,
    ) -> Result<TransactionId, NotBegun> {
        let timers = &self.options.timers;
        let machine = match key.kind() {
            Kind::Ack => return Err(NotBegun::Ack),
            Kind::Invite => Machine::Invite(InviteClient::new(again, timers, now)),
            Kind::Cancel | Kind::Other => Machine::Other(Client::new(again, timers, now)),
        };
        let entry = match self.index.entry(key.as_bytes().into()) {
            hash_map::Entry::Occupied(_) => return Err(NotBegun::Known),
            hash_map::Entry::Vacant(entry) => entry,
        };
        let limit = self.options.max_transactions.get();
        if self.entries.len() >= limit {
            return Err(NotBegun::Full { limit });
        }
        let id = TransactionId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let scheduled = machine.next_deadline();
        if let Some(at) = scheduled {
            self.deadlines.insert((at, id));
        }
        let key = Arc::clone(entry.key());
        entry.insert(id);
        self.entries.insert(
            id,
            Entry {
                key,
                path,
                machine,
                scheduled,
            },
        );
        Ok(id)
    }

    /// A response came in. False when it belongs to no request that is under way: drop it. A proxy, too, never sends it
    /// on, not even a 2xx to an INVITE that has timed out (RFC 6026 §7.3, §8.9).
    pub fn on_response(
        &mut self,
        key: &ClientKey,
        status: StatusCode,
        now: Instant,
        out: &mut Vec<ClientOutput<P>>,
    ) -> bool {
        let Some(&id) = self.index.get(key.as_bytes()) else {
            return false;
        };
        self.drive(id, out, |machine, timers, effects| match machine {
            Machine::Invite(machine) => machine.on_response(status, timers, now, effects),
            Machine::Other(machine) => machine.on_response(status, timers, now, effects),
        })
    }

    /// A CANCEL of this INVITE has been sent: if no final response comes within 64*T1, the outcome is
    /// [`ClientEffect::Timeout`] (RFC 3261 §9.1). True when that wait begins now, see [`InviteClient::on_cancelled`]:
    /// false for another method, before [`ClientLayer::is_proceeding`], after the final response, and the second time.
    pub fn cancelled(&mut self, id: TransactionId, now: Instant) -> bool {
        let mut begins = false;
        // No effect comes out of it, so there is nobody to pass one to.
        self.drive(id, &mut Vec::new(), |machine, timers, _| {
            if let Machine::Invite(machine) = machine {
                begins = machine.on_cancelled(timers, now);
            }
        });
        begins
    }

    /// The request could not be sent, or the connection that it went over is gone.
    pub fn on_transport_error(&mut self, id: TransactionId, out: &mut Vec<ClientOutput<P>>) {
        self.drive(id, out, |machine, _, effects| match machine {
            Machine::Invite(machine) => machine.on_transport_error(effects),
            Machine::Other(machine) => machine.on_transport_error(effects),
        });
    }

    /// Nobody waits for this request any more: it is forgotten without an outcome and without
    /// [`ClientEffect::Ended`]. What was given as its path, if it was under way.
    ///
    /// No response to it is known afterwards: a refused INVITE gets no ACK, and a 2xx is lost. One that may still be
    /// ringing is to be cancelled instead.
    pub fn forget(&mut self, id: TransactionId) -> Option<P> {
        self.remove(id).map(|entry| entry.path)
    }

    /// When [`ClientLayer::on_deadline`] next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does all that is due by now.
    pub fn on_deadline(&mut self, now: Instant, out: &mut Vec<ClientOutput<P>>) {
        // Bounded by what stands in the table now, lest timers of length zero keep us here.
        for _ in 0..self.deadlines.len() {
            let Some(&(at, id)) = self.deadlines.first() else {
                return;
            };
            if at > now {
                return;
            }
            self.drive(id, out, |machine, timers, effects| match machine {
                Machine::Invite(machine) => machine.on_deadline(timers, now, effects),
                Machine::Other(machine) => machine.on_deadline(timers, now, effects),
            });
        }
    }

    /// Whether a provisional response to this request has come and no final one. Before that no CANCEL may be sent (RFC
    /// 3261 §9.1), and such a branch is what a proxy calls pending (RFC 3261 §16.7 step 10).
    pub fn is_proceeding(&self, id: TransactionId) -> bool {
        let entry = self.entries.get(&id);
        entry.is_some_and(|entry| entry.machine.is_proceeding())
    }

    /// The way that was given for this request, while its transaction lasts.
    pub fn path(&self, id: TransactionId) -> Option<&P> {
        self.entries.get(&id).map(|entry| &entry.path)
    }

    /// Number of transactions under way.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lets one machine take a step, passes on its effects, and keeps deadlines and table in step with it. False when
    /// there is no such machine.
    fn drive(
        &mut self,
        id: TransactionId,
        out: &mut Vec<ClientOutput<P>>,
        step: impl FnOnce(&mut Machine, &Timers, &mut Vec<ClientEffect>),
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        step(&mut entry.machine, &self.options.timers, &mut self.effects);
        out.extend(self.effects.drain(..).map(|effect| ClientOutput {
            id,
            path: entry.path.clone(),
            effect,
        }));
        let deadline = entry.machine.next_deadline();
        if deadline != entry.scheduled {
            if let Some(at) = entry.scheduled {
                self.deadlines.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, id));
            }
            entry.scheduled = deadline;
        }
        if entry.machine.has_ended() {
            self.remove(id);
        }
        true
    }

    fn remove(&mut self, id: TransactionId) -> Option<Entry<P>> {
        let entry = self.entries.remove(&id)?;
        if let Some(at) = entry.scheduled {
            self.deadlines.remove(&(at, id));
        }
        self.index.remove(&entry.key);
        shrink(&mut self.index);
        shrink(&mut self.entries);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::key::Scope;
    use super::super::test_support::{options, start};
    use super::*;

    fn layer(max: usize) -> (ClientLayer<u8>, Instant) {
        (ClientLayer::new(options(max)), start())
    }

    fn key(branch: &str) -> ClientKey {
        ClientKey::new(Scope(1), branch.as_bytes(), "h:5061", b"MESSAGE")
    }

    fn effects(out: &[ClientOutput<u8>]) -> Vec<(u8, &ClientEffect)> {
        out.iter().map(|o| (o.path, &o.effect)).collect()
    }

    #[test]
    fn a_response_reaches_its_own_request_and_no_other() {
        let (mut layer, now) = layer(9);
        let mut out = Vec::new();
        layer.begin(&key("z9hG4bK1"), 1, None, now).unwrap();
        layer.begin(&key("z9hG4bK2"), 2, None, now).unwrap();
        assert!(!layer.on_response(&key("z9hG4bK3"), StatusCode::OK, now, &mut out));
        assert!(out.is_empty());
        assert!(layer.on_response(&key("z9hG4bK2"), StatusCode::OK, now, &mut out));
        assert_eq!(
            effects(&out),
            [
                (2, &ClientEffect::Response(StatusCode::OK)),
                (2, &ClientEffect::Ended)
            ]
        );
        assert!(!layer.on_response(&key("z9hG4bK2"), StatusCode::OK, now, &mut out));
        assert_eq!(layer.len(), 1);
    }

    #[test]
    fn each_deadline_is_kept_for_its_own_request() {
        let (mut layer, now) = layer(9);
        let at = |ms| now + Duration::from_millis(ms);
        let mut out = Vec::new();
        assert_eq!(layer.next_deadline(), None);
        layer.begin(&key("z9hG4bK1"), 1, None, now).unwrap();
        let request: Arc<[u8]> = Arc::from(&b"x"[..]);
        layer
            .begin(&key("z9hG4bK2"), 2, Some(request.clone()), at(100))
            .unwrap();
        assert_eq!(layer.next_deadline(), Some(at(600)));
        layer.on_deadline(at(599), &mut out);
        assert!(out.is_empty(), "too early is nothing");
        layer.on_deadline(at(600), &mut out);
        assert_eq!(effects(&out), [(2, &ClientEffect::SendAgain(request))]);
        out.clear();
        layer.on_response(&key("z9hG4bK2"), StatusCode::OK, at(700), &mut out);
        out.clear();
        assert_eq!(layer.next_deadline(), Some(at(5_700)), "Timer K");
        layer.on_deadline(at(32_000), &mut out);
        assert_eq!(
            effects(&out),
            [
                (2, &ClientEffect::Ended),
                (1, &ClientEffect::Timeout),
                (1, &ClientEffect::Ended)
            ]
        );
        assert!(layer.is_empty() && layer.next_deadline().is_none());
    }

    #[test]
    fn no_more_than_configured_and_none_twice() {
        let (mut layer, now) = layer(1);
        let mut out = Vec::new();
        let id = layer.begin(&key("z9hG4bK1"), 0, None, now).unwrap();
        assert_eq!(
            layer.begin(&key("z9hG4bK1"), 0, None, now),
            Err(NotBegun::Known)
        );
        assert_eq!(
            layer.begin(&key("z9hG4bK2"), 0, None, now),
            Err(NotBegun::Full { limit: 1 })
        );
        layer.on_transport_error(id, &mut out);
        assert_eq!(
            effects(&out),
            [
                (0, &ClientEffect::TransportFailed),
                (0, &ClientEffect::Ended)
            ]
        );
        assert!(layer.begin(&key("z9hG4bK2"), 0, None, now).is_ok());
    }

    #[test]
    fn memory_comes_back_after_a_flood() {
        let (mut layer, now) = layer(100_000);
        let mut out = Vec::new();
        for (situation, method, forgotten) in [
            ("timed out", "MESSAGE", false),
            ("timed out", "INVITE", false),
            ("forgotten", "INVITE", true),
        ] {
            let mut ids = Vec::new();
            for n in 0..20_000 {
                let branch = format!("z9hG4bK{n}");
                let key = ClientKey::new(Scope(1), branch.as_bytes(), "h", method.as_bytes());
                ids.push(layer.begin(&key, 0, None, now).unwrap());
            }
            assert!(layer.entries.capacity() >= 20_000, "{situation}: {method}");
            for id in ids.into_iter().filter(|_| forgotten) {
                assert_eq!(layer.forget(id), Some(0));
            }
            layer.on_deadline(now + Duration::from_secs(32), &mut out);
            assert_eq!(out.drain(..).count(), if forgotten { 0 } else { 40_000 });
            assert!(layer.is_empty() && layer.next_deadline().is_none());
            assert!(layer.index.is_empty());
            let room = layer.index.capacity().max(layer.entries.capacity());
            assert!(room < 2_000, "{situation}: {method}");
        }
    }

    proptest! {
        /// Whatever happens, the core learns the outcome of a request exactly once, and no later than Timer F.
        #[test]
        fn every_request_has_one_outcome(
            events in prop::collection::vec(
                (0..4_u8, prop::sample::select(vec![100, 180, 200, 302, 408, 503, 603]), 0..9_000_u64),
                0..40,
            ),
            reliable in any::<bool>(),
        ) {
            let (mut layer, start) = layer(9);
            let mut now = start;
            let again = (!reliable).then(|| Arc::from(&b"x"[..]));
            let (key, mut out) = (key("z9hG4bK1"), Vec::new());
            let id = layer.begin(&key, 0, again, now).unwrap();
            let mut outcomes = 0;
            for (event, code, ms) in events {
                match event {
                    0 => layer.on_transport_error(id, &mut out),
                    1 => {
                        let alive = !layer.is_empty();
                        let status = StatusCode::new(code).unwrap();
                        prop_assert_eq!(layer.on_response(&key, status, now, &mut out), alive);
                    }
                    _ => {
                        now += Duration::from_millis(ms);
                        layer.on_deadline(now, &mut out);
                    }
                }
                prop_assert!(layer.next_deadline().is_none_or(|at| at >= now));
                for output in out.drain(..) {
                    match output.effect {
                        ClientEffect::Response(status) if !status.is_final() => {
                            prop_assert_eq!(outcomes, 0);
                        }
                        ClientEffect::Response(_)
                        | ClientEffect::Timeout
                        | ClientEffect::TransportFailed => outcomes += 1,
                        ClientEffect::SendAgain(_) => prop_assert!(outcomes == 0 && !reliable),
                        ClientEffect::Acknowledge => prop_assert!(false, "that is for INVITE"),
                        ClientEffect::Ended => prop_assert_eq!(outcomes, 1, "an outcome before the end"),
                    }
                }
                prop_assert!(outcomes == 1 || (outcomes == 0 && now < start + Duration::from_secs(32)));
            }
            layer.on_deadline(now + Duration::from_secs(99), &mut out);
            prop_assert!(layer.is_empty() && layer.index.is_empty() && layer.deadlines.is_empty());
        }
    }
}
