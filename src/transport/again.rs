//! Live connections judged again: when what their certificates rest on has changed, when rules have, and when a certificate
//! ends.
//!
//! A worker goes through its connections in rounds, a slice in each turn of its loop, so that nobody waits for it. A request
//! never overtakes the round: over a connection that has not been judged yet it has that judged first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::{debug, error, info, warn};
use nix::time::{ClockId, clock_gettime};

use super::connection::{Connection, Proof, Stage};
use super::deadline::Limit;
use super::shared::Snapshot;
use super::wire::Wire;
use super::worker::{Fate, Mail, Worker};
use crate::auth::{
    self, Answers, Identities, OnIdentityLost, PeerCertificate, Pending, Refusal, Right, Rules,
};
use crate::registrar::{Aor, FlowId, Reach};
use crate::tls::{HandshakeRefusal, Standing};

/// How long a worker goes on with a round before others have their turn.
const SLICE: Duration = Duration::from_millis(2);
/// How long a connection of ours may take to end its transactions once its server is nobody any more: 64*T1 (RFC 3261
/// §17.1.2.2), after which all but a ringing INVITE are over.
const LAST_TRANSACTIONS: i64 = 32;
/// When the lookup pool is full, it is asked again after this.
const BUSY: Duration = Duration::from_millis(50);

/// What the rights of a connection rest on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Footing {
    /// What its certificate was judged by, as a number; 0 over plain TCP.
    basis: u64,
    /// The last second in which that holds, since 1970-01-01 UTC.
    until: i64,
    /// The peer has lost its identity and the connection stays for what is under way.
    pub(super) is_lost: bool,
}

impl Footing {
    /// Of a connection that has proved nothing.
    pub(super) const NONE: Self = Self {
        basis: 0,
        until: i64::MAX,
        is_lost: false,
    };

    /// A handshake begins under this.
    pub(super) fn begins(&mut self, basis: u64) {
        self.basis = basis;
    }

    /// The certificate that it brought holds until then.
    pub(super) fn holds_until(&mut self, until: i64) {
        self.until = until;
    }
}

/// An address-of-record that is registered over a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tied {
    pub(super) aor: Aor,
    /// Whether the right to it is judged again when rules change.
    pub(super) is_judged_again: bool,
}

impl AsRef<Aor> for Tied {
    fn as_ref(&self) -> &Aor {
        &self.aor
    }
}

/// What time it is by both clocks: certificates end by one, alarms ring by the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    at: Instant,
    /// Since 1970-01-01 UTC.
    wall: Duration,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            wall: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    fn seconds(&self, now: Instant) -> i64 {
        let wall = self.wall + now.saturating_duration_since(self.at);
        i64::try_from(wall.as_secs()).unwrap_or(i64::MAX)
    }

    /// When the second behind `last` begins; never, for what has no end.
    fn after(&self, last: i64) -> Option<Instant> {
        let end = u64::try_from(last.checked_add(1)?).unwrap_or_default();
        let left = Duration::from_secs(end).saturating_sub(self.wall);
        self.at.checked_add(left)
    }
}

/// One walk through all connections of a worker.
#[derive(Debug)]
pub(super) struct Round {
    /// The slot to go on from, and how many are left to look at; none between two rounds.
    next: usize,
    left: usize,
    /// Slots that there were when it began. Whoever comes later is judged by what is new.
    span: usize,
    /// Of the connection that is being looked at: slot, number, and what is registered over it and left to judge.
    bindings: Option<(usize, u64, Vec<Tied>)>,
    /// It waits for the lookup pool.
    busy_until: Option<Instant>,
    /// What it was begun for: a round is begun anew when this changes.
    bases: u64,
    asked: u64,
    began: Instant,
    seen: usize,
    verified: usize,
    lost: usize,
    unregistered: usize,
    /// Time on a processor, all of it and that of the longest slice.
    spent: Duration,
    longest: Duration,
    /// The longest slice by the clock: the system may have let others run in it.
    longest_by_clock: Duration,
}

impl Round {
    pub(super) fn new(snapshot: &Snapshot, now: Instant) -> Self {
        Self {
            next: 0,
            left: 0,
            span: 0,
            bindings: None,
            busy_until: None,
            bases: bases(snapshot),
            asked: 0,
            began: now,
            seen: 0,
            verified: 0,
            lost: 0,
            unregistered: 0,
            spent: Duration::ZERO,
            longest: Duration::ZERO,
            longest_by_clock: Duration::ZERO,
        }
    }

    /// When it wants to go on, while there is something left to judge.
    pub(super) fn next_turn(&self, now: Instant) -> Option<Instant> {
        let is_on = self.left > 0 || self.bindings.is_some();
        is_on.then(|| self.busy_until.unwrap_or(now))
    }

    /// Begins through so many slots. A round that is not over goes on from where it is, once through all: one change after the
    /// other would else have the last ones never judged.
    fn begin(&mut self, bases: u64, slots: usize, now: Instant) {
        let (asked, next) = (self.asked, self.next);
        *self = Self {
            next,
            left: slots,
            span: slots,
            bindings: None,
            busy_until: None,
            bases,
            asked,
            began: now,
            seen: 0,
            verified: 0,
            lost: 0,
            unregistered: 0,
            spent: Duration::ZERO,
            longest: Duration::ZERO,
            longest_by_clock: Duration::ZERO,
        };
    }
}

/// The answers to what the right to an address-of-record depended on; none if a check has failed over them.
pub(crate) struct Rejudged {
    slot: usize,
    id: u64,
    aor: Aor,
    answers: Option<Answers>,
}

impl Snapshot {
    /// Names out of the certificate follow the newest rules.
    pub(super) fn renew_names(&self, connection: &mut Connection) {
        if connection.generation != self.generation
            && let Some(proof) = &mut connection.proof
        {
            let rules = &self.policy.rules;
            let of = (&*proof.certificate, connection.listener);
            proof.identities = Arc::new(names(rules, of, connection.dial.is_some()));
        }
        connection.generation = self.generation;
    }
}

/// What a certificate names that came to this listener, or is that of a server, as far as its CAs may vouch for it.
fn names(
    rules: &Rules,
    (certificate, listener): (&PeerCertificate, usize),
    is_server: bool,
) -> Identities {
    if is_server {
        Identities::of_server(certificate, &rules.names, &rules.rights)
    } else {
        rules.identities(certificate, Some(listener))
    }
}

/// Time that this thread has spent on a processor.
fn on_processor() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// All that certificates of live connections are judged by, as one number.
fn bases(snapshot: &Snapshot) -> u64 {
    let of_clients = snapshot.tls.iter().flatten().map(|tls| tls.basis());
    let all = of_clients.chain([snapshot.client_role.basis()]);
    all.fold(0, |sum: u64, basis| sum.rotate_left(1).wrapping_add(basis))
}

/// What is said of a connection whose peer is nobody any more.
fn done(connection: &Connection, what: OnIdentityLost) -> &'static str {
    match (what, &connection.dial) {
        (OnIdentityLost::Leave, _) => "left",
        (OnIdentityLost::Close, None) => "closed",
        (OnIdentityLost::Refuse, None) => "refused",
        (_, Some(_)) => "ending",
    }
}

impl Worker {
    /// Has everything judged again: rules or certificates are others than before.
    pub(super) fn begin_round(&mut self) {
        self.round
            .begin(bases(&self.snapshot), self.slots.len(), self.now);
    }

    /// Whether somebody has asked for a round since the last one.
    pub(super) fn round_is_asked_for(&mut self) -> bool {
        let asked = self.shared.rounds.load(Ordering::Acquire);
        std::mem::replace(&mut self.round.asked, asked) != asked
    }

    /// Begins a round if a verifier has changed under the same snapshot.
    pub(super) fn look_for_a_round(&mut self) {
        if self.round.bases != bases(&self.snapshot) {
            self.begin_round();
        }
    }

    /// Goes on with the round for as long as others can wait.
    pub(super) fn go_round(&mut self) {
        if self
            .round
            .next_turn(self.now)
            .is_none_or(|at| at > self.now)
        {
            return;
        }
        self.round.busy_until = None;
        let (began, on_processor) = (Instant::now(), on_processor());
        while self.round.next_turn(self.now) == Some(self.now) {
            self.step_of_round();
            if began.elapsed() >= SLICE {
                break;
            }
        }
        let by_clock = began.elapsed();
        self.congestion.set_aside(by_clock);
        let spent = self::on_processor().saturating_sub(on_processor);
        self.round.spent += spent;
        self.round.longest = self.round.longest.max(spent);
        self.round.longest_by_clock = self.round.longest_by_clock.max(by_clock);
        if self.round.next_turn(self.now).is_none() {
            self.tell_of_round();
        }
    }

    fn tell_of_round(&self) {
        let round = &self.round;
        let line = format!(
            "worker.judged_again worker={} generation={} connections={} verified={} lost={} unregistered={} spent_us={} \
             longest_us={} longest_by_clock_us={} after_ms={}",
            self.number,
            self.snapshot.generation,
            round.seen,
            round.verified,
            round.lost,
            round.unregistered,
            round.spent.as_micros(),
            round.longest.as_micros(),
            round.longest_by_clock.as_micros(),
            round.began.elapsed().as_millis()
        );
        match round.verified + round.lost + round.unregistered {
            0 => debug!("{line}"),
            _ => info!("{line}"),
        }
    }

    /// One step of the round: a binding that is left of a connection, or the next connection.
    fn step_of_round(&mut self) {
        if let Some((slot, id, mut left)) = self.round.bindings.take() {
            if let Some(tied) = left.pop() {
                if !self.rejudge(slot, id, &tied.aor, Answers::default()) {
                    left.push(tied);
                    self.round.busy_until = Some(self.now + BUSY);
                }
                if !left.is_empty() {
                    self.round.bindings = Some((slot, id, left));
                }
            }
            return;
        }
        let round = &mut self.round;
        round.left = round.left.saturating_sub(1);
        let slot = if round.next < round.span {
            round.next
        } else {
            0
        };
        round.next = slot + 1;
        self.begin_with(slot);
    }

    /// The certificate of one connection, and then its bindings.
    fn begin_with(&mut self, slot: usize) {
        let Some(connection) = self.slots.get(slot).and_then(Option::as_ref) else {
            return;
        };
        if !matches!(connection.stage, Stage::Open(_)) {
            // What is still to open is judged then.
            return;
        }
        let id = connection.id;
        self.round.seen += 1;
        if self.is_due(connection) {
            self.guarded(slot, |worker, connection| worker.judge(connection));
        }
        let Some(connection) = self.slots.get(slot).and_then(Option::as_ref) else {
            return;
        };
        if connection.id != id || connection.registered.is_empty() {
            return;
        }
        let of_rules = connection.registered.iter().filter(|t| t.is_judged_again);
        let bindings: Vec<_> = of_rules.cloned().collect();
        if !bindings.is_empty() {
            self.round.bindings = Some((slot, id, bindings));
        }
    }

    /// Whether the certificate of this connection has been judged by other rules than those of now, or its time is over.
    pub(super) fn is_due(&self, connection: &Connection) -> bool {
        let footing = &connection.footing;
        !footing.is_lost
            && (footing.basis != self.basis_of(connection)
                || footing.until < self.clock.seconds(self.now))
    }

    /// Judges a connection first that a request came over, if it has to be; what becomes of it, unless it stays.
    pub(super) fn judge_if_due(&mut self, connection: &mut Connection) -> Option<Fate> {
        if !self.is_due(connection) {
            return None;
        }
        match self.judge(connection) {
            Fate::Keep => None,
            ended => Some(ended),
        }
    }

    /// What its certificate would be judged by now.
    fn basis_of(&self, connection: &Connection) -> u64 {
        match &connection.dial {
            Some(dial) => match dial.expectation() {
                Some(_) => self.snapshot.client_role.basis(),
                None => 0,
            },
            None => {
                let tls = self.snapshot.tls.get(connection.listener);
                tls.and_then(Option::as_ref).map_or(0, |tls| tls.basis())
            }
        }
    }

    /// When a certificate has to be looked at again for its dates.
    pub(super) fn end_of_identity(&self, connection: &Connection) -> Option<(Instant, Limit)> {
        let is_open = matches!(connection.stage, Stage::Open(_));
        let ends = self.clock.after(connection.footing.until);
        ends.filter(|_| is_open).map(|at| (at, Limit::Identity))
    }

    /// The time of its certificate is over, or the grace of one that was lost.
    pub(super) fn identity_ends(&mut self, connection: &mut Connection) -> Fate {
        if connection.footing.is_lost {
            return Fate::Finish("identity lost".to_owned());
        }
        self.judge(connection)
    }

    /// Verifies the certificate of an open connection again.
    pub(super) fn judge(&mut self, connection: &mut Connection) -> Fate {
        let Stage::Open(Wire::Tls(stream)) = &connection.stage else {
            return Fate::Keep;
        };
        let basis = self.basis_of(connection);
        let verdict = match &connection.dial {
            Some(dial) => match dial.expectation() {
                Some(expectation) => {
                    stream.judge_server_again(&self.snapshot.client_role, expectation)
                }
                None => Ok(None),
            },
            None => {
                let tls = self.snapshot.tls.get(connection.listener);
                match tls.and_then(Option::as_ref) {
                    Some(tls) => stream.judge_client_again(tls),
                    None => Ok(None),
                }
            }
        };
        connection.footing.basis = basis;
        self.round.verified += 1;
        match verdict {
            Ok(Some(standing)) => {
                connection.footing.until = standing.until;
                self.stands(connection, standing);
                Fate::Keep
            }
            Ok(None) => {
                connection.footing.until = i64::MAX;
                Fate::Keep
            }
            Err(refusal) => self.lose(connection, &refusal),
        }
    }

    /// The peer is who it was; its chain may end in another anchor.
    fn stands(&self, connection: &mut Connection, standing: Standing) {
        let known = connection.proof.as_ref();
        if known.is_some_and(|proof| proof.certificate != standing.certificate) {
            let rules = &self.snapshot.policy.rules;
            let of = (&*standing.certificate, connection.listener);
            connection.proof = Some(Proof {
                identities: Arc::new(names(rules, of, connection.dial.is_some())),
                certificate: standing.certificate,
            });
        }
    }

    /// The peer would not be let in any more.
    fn lose(&mut self, connection: &mut Connection, refusal: &HandshakeRefusal) -> Fate {
        let what = self.snapshot.policy.rules.on_identity_lost;
        self.round.lost += 1;
        self.shared.counters.identities_lost.add(1);
        // One line each, whatever their number: each is a peer that was let in.
        warn!(
            "tls.identity_lost conn={} peer={} done={} {} depth={} reason={:?} hint={:?}",
            connection.id,
            connection.peer,
            done(connection, what),
            whose(connection, refusal),
            refusal.depth.unwrap_or_default(),
            refusal.reason,
            refusal.hint
        );
        connection.footing.until = i64::MAX;
        let fate = || Fate::Finish("identity lost".to_owned());
        match (what, connection.dial.is_some()) {
            (OnIdentityLost::Leave, _) => Fate::Keep,
            (OnIdentityLost::Close, false) => {
                // It may stay a moment for an answer that is still to come.
                connection.footing.is_lost = true;
                fate()
            }
            (OnIdentityLost::Refuse, false) => {
                connection.footing.is_lost = true;
                self.forget_alias(connection);
                // What it has registered goes as with a closed connection, but for what a password has proved.
                let registered = std::mem::take(&mut connection.registered);
                let (goes, stays): (Vec<_>, _) = registered
                    .into_iter()
                    .partition(|tied| tied.is_judged_again);
                connection.registered = stays;
                let flow = FlowId::Connection(connection.id);
                self.round.unregistered += self.shared.location.flow_closed(flow, goes);
                Fate::Keep
            }
            // A connection of ours: nothing begins over it any more.
            (_, true) => {
                connection.footing.is_lost = true;
                match self.is_at_work(connection) {
                    false => fate(),
                    true => {
                        let now = self.clock.seconds(self.now);
                        connection.footing.until = now.saturating_add(LAST_TRANSACTIONS);
                        Fate::Keep
                    }
                }
            }
        }
    }

    /// Whether something that went over a connection may still be answered. What other workers have sent over it is known to
    /// them alone.
    fn is_at_work(&self, connection: &Connection) -> bool {
        let flow = FlowId::Connection(connection.id);
        let own = 1_u64 << self.number.min(63);
        !connection.is_quiet()
            || connection.homes & !own != 0
            || self.relay.is_in_use(flow)
            || self.outbox.waits_for(connection.id)
    }

    /// Judges whether what is registered over a connection still may be. False if the lookup pool has no place for what has to
    /// be asked.
    fn rejudge(&mut self, slot: usize, id: u64, aor: &Aor, answers: Answers) -> bool {
        let mut has_room = true;
        // Checks of the operator's are asked, and may have a defect.
        self.guarded(slot, |worker, connection| {
            let flow = FlowId::Connection(id);
            if connection.id != id || !worker.shared.location.is_tied(flow, aor) {
                return Fate::Keep;
            }
            worker.snapshot.renew_names(connection);
            let peer = super::origin::peer_of(connection);
            let rules = &worker.snapshot.policy.rules;
            match auth::may_still_register(aor.as_str(), &peer, rules, answers) {
                Right::Stands => {}
                Right::Pending(pending) => has_room = worker.ask_again(connection, aor, pending),
                Right::Gone(refusal) => worker.unregister(connection, aor, refusal.as_deref()),
            }
            Fate::Keep
        });
        has_room
    }

    /// The peer may not use this address-of-record any more: what it has registered for it goes.
    fn unregister(&mut self, connection: &Connection, aor: &Aor, refusal: Option<&Refusal>) {
        let id = connection.id;
        let reach = Reach::Flow(FlowId::Connection(id));
        let gone = self.shared.location.unreachable(aor, &reach);
        self.round.unregistered += gone;
        if gone > 0 && self.may_log("registrar.right_lost", connection.peer) {
            let reason = refusal.map_or_else(|| "not to be judged".to_owned(), Refusal::to_string);
            info!(
                "registrar.right_lost conn={id} peer={} aor={:?} removed={gone} {} reason={reason:?} hint={:?}",
                connection.peer,
                aor.as_str(),
                connection.names(),
                refusal.map_or("", Refusal::hint)
            );
        }
    }

    /// Takes the questions about one address-of-record to the lookup pool. False without room there.
    fn ask_again(&self, connection: &Connection, aor: &Aor, pending: Pending) -> bool {
        let (slot, id) = (connection.slot, connection.id);
        let (worker, shared, aor) = (self.number, Arc::clone(&self.shared), aor.clone());
        let job = move || {
            let answers = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pending.answer()))
                .inspect_err(|_| error!("lookup.panicked conn={id} what is registered over it goes; a check has a defect"))
                .ok();
            let rejudged = Rejudged {
                slot,
                id,
                aor,
                answers,
            };
            shared.post_waiting(worker, Mail::Rejudged(Box::new(rejudged)));
        };
        self.shared.lookups.submit(job).is_ok()
    }

    /// Goes on with an address-of-record whose questions have been answered.
    pub(super) fn take_rejudged(&mut self, rejudged: Rejudged) {
        let Rejudged {
            slot,
            id,
            aor,
            answers,
        } = rejudged;
        match answers {
            // What has to be asked once more finds room or waits for the next change.
            Some(answers) => drop(self.rejudge(slot, id, &aor, answers)),
            None => self.guarded(slot, |worker, connection| {
                if connection.id == id {
                    worker.unregister(connection, &aor, None);
                }
                Fate::Keep
            }),
        }
    }
}

/// Subject, serial number and CA, for the log.
fn whose(connection: &Connection, refusal: &HandshakeRefusal) -> String {
    match &connection.proof {
        Some(Proof { certificate, .. }) => format!(
            "subject={:?} serial={} issuer={:?} anchor={:?}",
            certificate.subject, certificate.serial, certificate.issuer, certificate.anchor_subject
        ),
        None => format!(
            "subject={:?} serial={}",
            refusal.subject.as_deref().unwrap_or("none"),
            refusal.serial.as_deref().unwrap_or("none")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_looked_at_in_the_second_behind_its_last() {
        let at = Instant::now();
        let clock = Clock {
            at,
            wall: Duration::from_millis(1_000_500),
        };
        for (situation, last, wanted) in [
            ("to come", 1_002, Some(at + Duration::from_millis(2_500))),
            ("this second", 1_000, Some(at + Duration::from_millis(500))),
            ("over", 999, Some(at)),
            ("long over", -5, Some(at)),
            ("without end", i64::MAX, None),
        ] {
            assert_eq!(clock.after(last), wanted, "{situation}");
        }
        assert_eq!(clock.seconds(at), 1_000);
        assert_eq!(clock.seconds(at + Duration::from_millis(500)), 1_001);
    }
}
