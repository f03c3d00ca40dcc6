//! key → machine; routes requests, responses and deadlines to the right one.

use std::collections::{BTreeSet, HashMap, hash_map};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;

use super::effect::{Effect, Output, TransactionId};
use super::invite_server::InviteServer;
use super::key::{Key, Kind};
use super::numbered::Numbered;
use super::options::TransactionOptions;
use super::server::Server;
use super::timer::Timers;
use crate::sip::StatusCode;

/// What to do with a request that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Pass it to the core. Nothing is remembered of it yet, see [`Layer::begin`]. An ACK of this kind belongs to no
    /// transaction here (that of a 2xx has a branch of its own).
    New,
    /// An ACK of an RFC 2543 client for a 2xx of this transaction: pass it to the core (RFC 6026 §6).
    AckForCore(TransactionId),
    /// A retransmission, or the ACK of a refusal. The effects say what is to be sent; the core never sees it.
    Absorbed(TransactionId),
}

/// What a CANCEL is about (RFC 3261 §9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelTarget {
    /// No such INVITE: answer the CANCEL with 481.
    None,
    /// Not finally answered: answer the CANCEL with 200, then [`Layer::respond`] to this transaction with 487, at once
    /// or when the branches that a proxy has cancelled have ended.
    Pending(TransactionId),
    /// Finally answered already: answer the CANCEL with 200 and do no more.
    Answered(TransactionId),
}

/// Why a request got no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotBegun {
    /// As many as there may be: answer 503.
    #[error(
        "transaction: {limit} transactions are under way; raise the limit, or find out who keeps them"
    )]
    Full {
        /// The limit.
        limit: usize,
    },
    /// An ACK never has a transaction of its own (RFC 3261 §17.1.1.3).
    #[error("transaction: an ACK begins no transaction")]
    Ack,
    /// One with this key is under way: the request was not first given to [`Layer::on_request`].
    #[error("transaction: begun twice")]
    Known,
}

#[derive(Debug)]
enum Machine {
    Invite(InviteServer),
    Other(Server),
}

impl Machine {
    fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Invite(machine) => machine.next_deadline(),
            Self::Other(machine) => machine.next_deadline(),
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.has_ended(),
            Self::Other(machine) => machine.has_ended(),
        }
    }

    fn is_pending(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_pending(),
            Self::Other(machine) => machine.is_pending(),
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

/// The server transactions of one worker. `P` is the way back to who sent the request (a connection, an address).
#[derive(Debug)]
pub struct Layer<P> {
    options: TransactionOptions,
    index: HashMap<Arc<[u8]>, TransactionId>,
    entries: Numbered<TransactionId, Entry<P>>,
    deadlines: BTreeSet<(Instant, TransactionId)>,
    next_id: u64,
    /// Effects of the machine that is being driven; kept for its capacity.
    effects: Vec<Effect>,
}

impl<P: Clone> Layer<P> {
    /// An empty one.
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

    /// Whether a request that the core answers at once needs no transaction: over a reliable transport one that is not
    /// INVITE ends with its final response (Timer J is zero). The core writes the answer and is done; nothing is
    /// stored, nothing allocated.
    pub fn answers_at_once(kind: Kind, reliable: bool) -> bool {
        reliable && matches!(kind, Kind::Other | Kind::Cancel)
    }

    /// A request came in. Ask this before anything else; for one that is [`Received::New`] it is one look-up.
    pub fn on_request(&mut self, key: &Key, now: Instant, out: &mut Vec<Output<P>>) -> Received {
        let Some(&id) = self.index.get(key.as_bytes()) else {
            return Received::New;
        };
        let mut for_core = false;
        self.drive(id, out, |machine, timers, effects| match machine {
            Machine::Invite(machine) if key.kind() == Kind::Ack => {
                for_core = machine.on_ack(timers, now, effects);
            }
            Machine::Invite(machine) => machine.on_retransmission(effects),
            Machine::Other(machine) => machine.on_retransmission(effects),
        });
        if for_core {
            Received::AckForCore(id)
        } else {
            Received::Absorbed(id)
        }
    }

    /// Remembers a request that the core does not answer at once, or an INVITE in any case. `reliable` says whether it
    /// came over TCP or TLS.
    ///
    /// # Errors
    /// The table is full, or the request is none that could begin a transaction.
    pub fn begin(
        &mut self,
        key: &Key,
        path: P,
        reliable: bool,
        now: Instant,
    ) -> Result<TransactionId, NotBegun> {
        let timers = &self.options.timers;
        let machine = match key.kind() {
            Kind::Ack => return Err(NotBegun::Ack),
            Kind::Invite => Machine::Invite(InviteServer::new(reliable, timers, now)),
            Kind::Cancel | Kind::Other => Machine::Other(Server::new(reliable, timers, now)),
        };
        let limit = self.options.max_transactions.get();
        let entry = match self.index.entry(key.as_bytes().into()) {
            hash_map::Entry::Occupied(_) => return Err(NotBegun::Known),
            hash_map::Entry::Vacant(entry) => entry,
        };
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

    /// The core responds, with the octets of the whole response. False when the transaction is over: then nothing may
    /// be sent any more (RFC 4320 §4.2, RFC 6026 §6).
    pub fn respond(
        &mut self,
        id: TransactionId,
        status: StatusCode,
        bytes: impl Into<Arc<[u8]>>,
        now: Instant,
        out: &mut Vec<Output<P>>,
    ) -> bool {
        self.drive(id, out, |machine, timers, effects| {
            let bytes = bytes.into();
            match machine {
                Machine::Invite(machine) => {
                    machine.on_response(status, bytes, timers, now, effects);
                }
                Machine::Other(machine) => {
                    machine.on_response(status, bytes, timers, now, effects);
                }
            }
        })
    }

    /// What this CANCEL is about. The CANCEL itself is a request like others: it goes through [`Layer::on_request`]
    /// first.
    pub fn cancel_target(&self, cancel: &Key) -> CancelTarget {
        let id = cancel
            .cancelled()
            .and_then(|invite| self.index.get(invite.as_bytes()));
        let Some((id, entry)) = id.and_then(|id| Some((*id, self.entries.get(id)?))) else {
            return CancelTarget::None;
        };
        if entry.machine.is_pending() {
            CancelTarget::Pending(id)
        } else {
            CancelTarget::Answered(id)
        }
    }

    /// A response of this transaction could not be sent.
    pub fn on_transport_error(&mut self, id: TransactionId, out: &mut Vec<Output<P>>) {
        self.drive(id, out, |machine, _, effects| match machine {
            Machine::Invite(machine) => machine.on_transport_error(effects),
            Machine::Other(machine) => machine.on_transport_error(effects),
        });
    }

    /// Nothing that belongs to this transaction can come any more, and nobody can be answered: it is forgotten without
    /// [`Effect::Ended`]. What was given as its path, if it was under way.
    ///
    /// Without this an INVITE that is never answered would stay for ever.
    pub fn forget(&mut self, id: TransactionId) -> Option<P> {
        let entry = self.entries.remove(&id)?;
        if let Some(at) = entry.scheduled {
            self.deadlines.remove(&(at, id));
        }
        self.index.remove(&entry.key);
        shrink(&mut self.index);
        shrink(&mut self.entries);
        Some(entry.path)
    }

    /// When [`Layer::on_deadline`] next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does all that is due by now.
    pub fn on_deadline(&mut self, now: Instant, out: &mut Vec<Output<P>>) {
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
                Machine::Other(machine) => machine.on_deadline(now, effects),
            });
        }
    }

    /// The way back that was given for this transaction, while it lasts.
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
        out: &mut Vec<Output<P>>,
        step: impl FnOnce(&mut Machine, &Timers, &mut Vec<Effect>),
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        step(&mut entry.machine, &self.options.timers, &mut self.effects);
        out.extend(self.effects.drain(..).map(|effect| Output {
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
            self.forget(id);
        }
        true
    }
}

/// Gives memory back once a table is mostly empty; rarely enough that filling and emptying does not thrash.
pub(super) fn shrink<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > 1024 && table.len() < table.capacity() / 8 {
        let room = table.len() * 2;
        table.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::test_support::{options, start};
    use super::*;
    use crate::sip::{FromRule, Message, Request};
    use crate::transaction::Scope;

    fn key(method: &str, branch: &str) -> Key {
        let text = format!(
            "{method} sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TLS h.example;branch={branch}\r\n\
             From: <sip:a@example.org>;tag=f\r\nTo: <sip:b@example.org>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
        );
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        Key::of(
            &Request::read(&message, FromRule::Single).unwrap(),
            Scope(7),
        )
    }

    fn layer(max: usize) -> (Layer<u8>, Instant) {
        (Layer::new(options(max)), start())
    }

    fn sent(out: &[Output<u8>]) -> Vec<&[u8]> {
        out.iter()
            .filter_map(|o| match &o.effect {
                Effect::Send(bytes) => Some(&bytes[..]),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn an_answer_at_once_over_tls_leaves_nothing_behind() {
        let (mut layer, now) = layer(9);
        let (mut out, options) = (Vec::new(), key("OPTIONS", "z9hG4bK1"));
        assert_eq!(layer.on_request(&options, now, &mut out), Received::New);
        assert!(Layer::<u8>::answers_at_once(options.kind(), true));
        assert!(!Layer::<u8>::answers_at_once(options.kind(), false));
        assert!(!Layer::<u8>::answers_at_once(Kind::Invite, true));
        assert!(layer.is_empty() && out.is_empty());
        assert_eq!(layer.index.capacity(), 0, "and allocates nothing");
    }

    #[test]
    fn a_refused_invite_waits_for_its_ack_and_absorbs_it() {
        let (mut layer, now) = layer(9);
        let (mut out, invite) = (Vec::new(), key("INVITE", "z9hG4bK1"));
        assert_eq!(layer.on_request(&invite, now, &mut out), Received::New);
        let id = layer.begin(&invite, 5, true, now).unwrap();
        assert!(layer.respond(id, StatusCode::FORBIDDEN, &b"403"[..], now, &mut out));
        assert_eq!(
            layer.on_request(&invite, now, &mut out),
            Received::Absorbed(id)
        );
        assert_eq!(sent(&out), [b"403", b"403"]);
        assert!(out.iter().all(|o| o.path == 5 && o.id == id));
        out.clear();
        let ack = key("ACK", "z9hG4bK1");
        assert_eq!(
            layer.on_request(&ack, now, &mut out),
            Received::Absorbed(id)
        );
        assert_eq!(
            out,
            [Output {
                id,
                path: 5,
                effect: Effect::Ended
            }]
        );
        assert!(layer.is_empty() && layer.next_deadline().is_none());
        assert!(!layer.respond(id, StatusCode::OK, &b"200"[..], now, &mut out));
        assert_eq!(layer.on_request(&ack, now, &mut out), Received::New);
    }

    #[test]
    fn an_ack_of_an_old_client_for_a_2xx_reaches_the_core() {
        let (mut layer, now) = layer(9);
        let mut out = Vec::new();
        let id = layer.begin(&key("INVITE", "1"), 0, false, now).unwrap();
        layer.respond(id, StatusCode::OK, &b"200"[..], now, &mut out);
        let received = layer.on_request(&key("ACK", "1"), now, &mut out);
        assert_eq!(received, Received::AckForCore(id));
    }

    #[test]
    fn a_cancel_finds_a_pending_invite_and_both_are_answered() {
        let (mut layer, now) = layer(9);
        let (mut out, cancel) = (Vec::new(), key("CANCEL", "z9hG4bK1"));
        assert_eq!(layer.cancel_target(&cancel), CancelTarget::None);
        let id = layer
            .begin(&key("INVITE", "z9hG4bK1"), 0, true, now)
            .unwrap();
        assert_eq!(layer.on_request(&cancel, now, &mut out), Received::New);
        assert_eq!(layer.cancel_target(&cancel), CancelTarget::Pending(id));
        assert_eq!(
            layer.cancel_target(&key("CANCEL", "z9hG4bK2")),
            CancelTarget::None
        );
        assert_eq!(
            layer.cancel_target(&key("OPTIONS", "z9hG4bK1")),
            CancelTarget::None
        );
        assert!(layer.respond(
            id,
            StatusCode::REQUEST_TERMINATED,
            &b"487"[..],
            now,
            &mut out
        ));
        assert_eq!(sent(&out), [b"487"]);
        assert_eq!(layer.cancel_target(&cancel), CancelTarget::Answered(id));
    }

    #[test]
    fn what_is_forgotten_leaves_nothing_behind() {
        let (mut layer, now) = layer(9);
        let mut out = Vec::new();
        for method in ["INVITE", "MESSAGE"] {
            let key = key(method, "z9hG4bK1");
            let id = layer.begin(&key, 5, true, now).unwrap();
            assert_eq!(layer.forget(id), Some(5), "{method}");
            assert_eq!(layer.forget(id), None, "{method}");
            assert!(layer.is_empty() && layer.next_deadline().is_none());
            assert_eq!(layer.on_request(&key, now, &mut out), Received::New);
        }
        assert_eq!(out, []);
    }

    #[test]
    fn no_more_transactions_than_configured() {
        let (mut layer, now) = layer(2);
        let mut out = Vec::new();
        let first = layer
            .begin(&key("MESSAGE", "z9hG4bK1"), 0, true, now)
            .unwrap();
        layer
            .begin(&key("MESSAGE", "z9hG4bK2"), 0, true, now)
            .unwrap();
        let third = key("MESSAGE", "z9hG4bK3");
        assert_eq!(
            layer.begin(&third, 0, true, now),
            Err(NotBegun::Full { limit: 2 })
        );
        assert_eq!(
            layer.begin(&key("MESSAGE", "z9hG4bK1"), 0, true, now),
            Err(NotBegun::Known)
        );
        assert_eq!(
            layer.begin(&key("ACK", "z9hG4bK4"), 0, true, now),
            Err(NotBegun::Ack)
        );
        layer.respond(first, StatusCode::OK, &b"200"[..], now, &mut out);
        assert!(layer.begin(&third, 0, true, now).is_ok());
    }

    #[test]
    fn each_deadline_is_kept_for_its_own_transaction() {
        let (mut layer, now) = layer(9);
        let mut out = Vec::new();
        let at = |ms| now + Duration::from_millis(ms);
        let invite = layer
            .begin(&key("INVITE", "z9hG4bK1"), 1, false, now)
            .unwrap();
        let message = layer
            .begin(&key("MESSAGE", "z9hG4bK2"), 2, false, now)
            .unwrap();
        assert_eq!(layer.next_deadline(), Some(at(200)));
        layer.on_deadline(at(199), &mut out);
        assert!(out.is_empty(), "too early is nothing");
        layer.on_deadline(at(200), &mut out);
        assert_eq!(
            out,
            [Output {
                id: invite,
                path: 1,
                effect: Effect::TryingDue
            }]
        );
        out.clear();
        assert_eq!(layer.next_deadline(), Some(at(3_500)));
        layer.respond(
            invite,
            StatusCode::NOT_FOUND,
            &b"404"[..],
            at(300),
            &mut out,
        );
        assert_eq!(layer.next_deadline(), Some(at(800)));
        out.clear();
        layer.on_deadline(at(4_000), &mut out);
        let whose: Vec<_> = out.iter().map(|o| o.id).collect();
        assert_eq!(whose, [invite, message]);
        layer.on_transport_error(message, &mut out);
        assert_eq!(layer.path(message), Some(&2));
    }

    #[test]
    fn memory_comes_back_after_a_flood() {
        let (mut layer, now) = layer(100_000);
        let mut out = Vec::new();
        for n in 0..20_000 {
            layer
                .begin(&key("MESSAGE", &format!("z9hG4bK{n}")), 0, true, now)
                .unwrap();
        }
        layer.on_deadline(now + Duration::from_secs(5), &mut out);
        layer.on_deadline(now + Duration::from_secs(40), &mut out);
        assert!(layer.is_empty() && layer.next_deadline().is_none());
        assert!(layer.index.capacity() < 2_000 && layer.entries.capacity() < 2_000);
    }

    /// What a test of properties does next.
    #[derive(Debug, Clone)]
    enum Event {
        Request(usize),
        Response(u16),
        Unsent,
        Wait(u64),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let status =
            prop::sample::select(vec![100, 180, 183, 200, 202, 302, 404, 408, 486, 500, 603]);
        let event = prop_oneof![
            4 => (0..3_usize).prop_map(Event::Request),
            3 => status.prop_map(Event::Response),
            1 => Just(Event::Unsent),
            3 => (0..9_000_u64).prop_map(Event::Wait),
        ];
        prop::collection::vec(event, 0..40)
    }

    proptest! {
        /// From its final answer on, or for other methods from the request on, a machine ends once its last timer is
        /// through, whatever happened to it; while it lives, the core gets no request twice.
        #[test]
        fn machines_end_and_the_core_sees_no_request_twice(
            events in events(),
            method in prop::sample::select(vec!["INVITE", "MESSAGE"]),
            branch in prop::sample::select(vec!["z9hG4bKx", "old"]),
            reliable in any::<bool>(),
        ) {
            let (mut layer, mut now) = layer(9);
            let mut out = Vec::new();
            let (request, ack, cancel) = (key(method, branch), key("ACK", branch), key("CANCEL", branch));
            let id = layer.begin(&request, 0, reliable, now).unwrap();
            let mut ended = false;
            for event in events {
                let alive = layer.path(id).is_some();
                match event {
                    Event::Request(0) => {
                        let expected = if alive { Received::Absorbed(id) } else { Received::New };
                        prop_assert_eq!(layer.on_request(&request, now, &mut out), expected);
                    }
                    Event::Request(1) => {
                        let received = layer.on_request(&ack, now, &mut out);
                        prop_assert_eq!(received == Received::New, !(alive && method == "INVITE"));
                    }
                    Event::Request(_) => {
                        prop_assert_eq!(layer.on_request(&cancel, now, &mut out), Received::New);
                        let found = layer.cancel_target(&cancel) != CancelTarget::None;
                        prop_assert_eq!(found, alive && method == "INVITE");
                    }
                    Event::Response(code) => {
                        let status = StatusCode::new(code).unwrap();
                        prop_assert_eq!(layer.respond(id, status, &b"x"[..], now, &mut out), alive);
                    }
                    Event::Unsent => layer.on_transport_error(id, &mut out),
                    Event::Wait(ms) => {
                        now += Duration::from_millis(ms);
                        layer.on_deadline(now, &mut out);
                    }
                }
                prop_assert!(layer.next_deadline().is_none_or(|at| at >= now));
                for output in out.drain(..) {
                    prop_assert!(!ended, "nothing comes after the end");
                    ended = output.effect == Effect::Ended;
                }
                prop_assert_eq!(ended, layer.is_empty());
            }
            layer.respond(id, StatusCode::NOT_FOUND, &b"x"[..], now, &mut out);
            for _ in 0..40 {
                let Some(at) = layer.next_deadline() else { break };
                now = now.max(at);
                layer.on_deadline(now, &mut out);
            }
            prop_assert!(layer.is_empty() && layer.index.is_empty() && layer.deadlines.is_empty());
        }
    }
}
