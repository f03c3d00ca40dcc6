//! A connection that carries SIP: octets in, messages through the proxy core, answers out.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use log::{debug, error, info, trace, warn};

use super::again::Tied;
use super::connection::{Connection, Stage};
use super::handle::{EngineHandle, RegistrationEvent};
use super::lookup::LONGEST_WAIT;
use super::origin::{Name, Origin};
use super::shared::Shared;
use super::tags::Tag;
use super::worker::{Answered, Asker, Fate, SCRATCH, Unanswered, Worker};
use crate::proxy::{self, Answers, Context, Outcome, Pending, Registration, Relaying, Routed};
use crate::registrar::Aor;
use crate::sip::{Fault, Frame, Message, Reply, StatusCode};
use crate::tls::Progress;

/// Reads of one connection before others have their turn.
const READS_A_TURN: usize = 8;
/// Messages of one connection before others have their turn.
const MESSAGES_A_TURN: usize = 128;
/// Questions that one connection may have with the lookup pool; beyond it its next message waits.
const QUESTIONS_A_CONNECTION: usize = 16;

/// What came in a turn.
#[derive(Debug, Default, Clone, Copy)]
struct Heard {
    messages: usize,
    ping: bool,
}

impl Worker {
    /// Reads, answers and writes on an open connection.
    pub(super) fn exchange(&mut self, connection: &mut Connection) -> Fate {
        if connection.queued() > 0 {
            let deadlines = &self.shared.options.deadlines;
            let was_held_back = connection.is_held_back();
            if let Err(why) = connection.flush(self.now, deadlines.write) {
                return Fate::Drop(why);
            }
            match (was_held_back, connection.is_held_back()) {
                (_, true) => return Fate::Keep,
                (true, false) => connection.wait_again(deadlines, self.now),
                (false, false) => {}
            }
        }
        let mut out = std::mem::take(&mut self.out);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut heard = Heard::default();
        let mut fate = self.read(connection, &mut scratch, &mut heard, &mut out);
        if let Err(fault) = self.send(connection, &out) {
            fate = fault;
        }
        out.clear();
        self.scratch = scratch;
        self.out = out;
        if connection.paused
            && connection.pending < QUESTIONS_A_CONNECTION
            && !connection.is_held_back()
        {
            // It was paused for others to have their turn, or for its answers to get out: most are.
            self.again.push(connection.slot);
        }
        let deadlines = &self.shared.options.deadlines;
        connection.wait_for_next(heard.messages > 0, heard.ping, deadlines, self.now);
        if let Fate::Finish(reason) = fate {
            connection.ending.get_or_insert(reason);
        } else if !matches!(fate, Fate::Keep) {
            return fate;
        }
        self.end_if_quiet(connection)
    }

    /// Reads until there is nothing more, or others have their turn, or the connection has to wait.
    fn read(
        &mut self,
        connection: &mut Connection,
        scratch: &mut [u8],
        heard: &mut Heard,
        out: &mut Vec<u8>,
    ) -> Fate {
        if connection.ending.is_some() {
            return Fate::Keep;
        }
        if connection.paused {
            // What was received before the pause comes first.
            connection.paused = false;
            if let fate @ (Fate::Finish(_) | Fate::Drop(_)) =
                self.take_octets(connection, &[], heard, out)
            {
                return fate;
            }
        }
        for turn in 0.. {
            let Stage::Open(wire) = &mut connection.stage else {
                return Fate::Keep;
            };
            if connection.paused || !wire.has_more() {
                return Fate::Keep;
            }
            if turn == READS_A_TURN || out.len() >= SCRATCH {
                // The poller has told of these octets and does not tell again.
                self.again.push(connection.slot);
                return Fate::Keep;
            }
            let fate = match wire.read(scratch) {
                Progress::Octets(read) => {
                    connection.octets_in += read as u64;
                    connection.heard = self.now;
                    let fresh = scratch.get(..read).unwrap_or_default();
                    self.take_octets(connection, fresh, heard, out)
                }
                Progress::Wait => return Fate::Keep,
                Progress::Closed => {
                    connection.closed_by_peer = true;
                    Fate::Finish("closed by the peer".to_owned())
                }
                Progress::Broken(why) => self.broken(connection, why),
            };
            if !matches!(fate, Fate::Keep) {
                return fate;
            }
        }
        Fate::Keep
    }

    /// Sends what has been said; a peer that does not take it is given up.
    pub(super) fn send(&mut self, connection: &mut Connection, out: &[u8]) -> Result<(), Fate> {
        if out.is_empty() {
            return Ok(());
        }
        let patience = self.shared.options.deadlines.write;
        if let Err(why) = connection.send(out, self.now, patience) {
            return Err(self.broken(connection, why));
        }
        if connection.queued() <= self.shared.options.max_queued_bytes {
            return Ok(());
        }
        self.shared.counters.slow_receivers.add(1);
        let reason = "MaximumQueuedBytes";
        if self.may_log(reason, connection.peer) {
            warn!(
                "conn.closed conn={} peer={} reason={reason}",
                connection.id, connection.peer
            );
        }
        Err(Fate::Drop(reason.to_owned()))
    }

    /// A connection that is to end does so once its answers are out.
    fn end_if_quiet(&self, connection: &mut Connection) -> Fate {
        if connection.queued() > 0 || connection.pending > 0 {
            return Fate::Keep;
        }
        connection.ending.take().map_or(Fate::Keep, Fate::Finish)
    }

    /// Whether another line of this kind about this peer may be logged.
    pub(super) fn may_log(&self, kind: &str, peer: SocketAddr) -> bool {
        self.shared.limiter.allows(kind, peer.ip(), self.now)
    }

    /// Frames what has just been read behind what was there before.
    fn take_octets(
        &mut self,
        connection: &mut Connection,
        fresh: &[u8],
        heard: &mut Heard,
        out: &mut Vec<u8>,
    ) -> Fate {
        if connection.received.is_empty() {
            let (taken, fate) = self.frames(connection, fresh, heard, out);
            connection
                .received
                .extend_from_slice(fresh.get(taken..).unwrap_or_default());
            return fate;
        }
        let mut received = std::mem::take(&mut connection.received);
        received.extend_from_slice(fresh);
        let (taken, fate) = self.frames(connection, &received, heard, out);
        if taken == received.len() {
            received = Vec::new();
        } else {
            received.drain(..taken);
        }
        connection.received = received;
        fate
    }

    /// Handles every whole message in `octets`, until there is much to be sent; says how many octets they took.
    fn frames(
        &mut self,
        connection: &mut Connection,
        octets: &[u8],
        heard: &mut Heard,
        out: &mut Vec<u8>,
    ) -> (usize, Fate) {
        let limits = self.shared.options.limits;
        // Who only asks is not told more at a time for what it has not taken yet.
        let most = match connection.homes {
            0 => SCRATCH.saturating_sub(connection.queued()),
            _ => SCRATCH,
        };
        let mut taken = 0;
        loop {
            if connection.pending >= QUESTIONS_A_CONNECTION
                || out.len() >= most
                || heard.messages >= MESSAGES_A_TURN
            {
                connection.paused = true;
                connection.begun = false;
                return (taken, Fate::Keep);
            }
            let rest = octets.get(taken..).unwrap_or_default();
            match connection.framer.next(rest, &limits) {
                Frame::Partial { started } => {
                    connection.begun = started;
                    return (taken, Fate::Keep);
                }
                Frame::Ping => {
                    out.extend_from_slice(b"\r\n");
                    taken += 4;
                    heard.ping = true;
                }
                Frame::Pong => taken += 2,
                Frame::Message { message, length } => {
                    if !message.is_response()
                        && let Some(fate) = self.judge_if_due(connection)
                    {
                        return (octets.len(), fate);
                    }
                    taken += length;
                    heard.messages += 1;
                    let mut origin = Origin::Connection(connection);
                    self.message(&mut origin, &message, None, out);
                }
                Frame::Unframed { message, fault } => {
                    self.unframed(connection, message.as_ref(), fault, out);
                    return (octets.len(), Fate::Finish(fault.phrase.to_owned()));
                }
            }
        }
    }

    /// A message behind which no other can be found: answer it if that is possible; the connection ends.
    fn unframed(
        &mut self,
        connection: &mut Connection,
        message: Option<&Message<'_>>,
        fault: Fault,
        out: &mut Vec<u8>,
    ) {
        self.shared.counters.malformed.add(1);
        if self.may_log("sip.malformed", connection.peer) {
            let answer = answer_to(message, fault);
            warn!(
                "sip.malformed conn={} peer={} answer={answer} fault={:?} the connection is closed",
                connection.id, connection.peer, fault.phrase
            );
        }
        if let Some(message) = message {
            let tag = self.tags.next();
            let origin = Origin::Connection(connection);
            proxy::answer_fault(message, fault, &self.context(&origin, &tag), out);
        }
    }

    /// One whole message: through the proxy core, its answer appended to `out`.
    pub(super) fn message(
        &mut self,
        origin: &mut Origin<'_>,
        message: &Message<'_>,
        answers: Option<Answers>,
        out: &mut Vec<u8>,
    ) {
        trace!(
            "sip.received conn={} octets={}",
            origin.name(),
            message.as_bytes().len()
        );
        if message.is_response() && self.is_awaited(origin, message) {
            return;
        }
        if let Origin::Connection(connection) = origin {
            self.snapshot.renew_names(connection);
            self.note_alias(connection, message);
        }
        let tag = self.tag(origin);
        let context = Context {
            load: self.congestion.load(),
            ..origin.context(&self.snapshot, &self.shared, self.now, &tag)
        };
        let mut relaying = Relaying {
            relay: &mut self.relay,
            effects: &mut self.effects,
        };
        let is_lost = origin.has_lost_its_identity();
        let outcome = match answers {
            _ if is_lost => {
                proxy::on_message_without_identity(message, &context, &mut relaying, out)
            }
            None => proxy::on_message(message, &context, &mut relaying, out),
            Some(answers) => proxy::on_answers(message, answers, &context, &mut relaying, out),
        };
        self.account(origin, message, outcome, out);
    }

    /// Whether a response answers a request that we have sent; if so, it is dealt with.
    fn is_awaited(&mut self, origin: &Origin<'_>, message: &Message<'_>) -> bool {
        let flow = origin.flow();
        match origin {
            Origin::Connection(connection) => {
                self.take_relayed(flow, connection.homes, message)
                    || self.take_response(connection, message)
            }
            // The system chooses whose socket a datagram comes to: the answer may be for any worker.
            Origin::Datagram(_) => {
                self.take_relayed(flow, u64::MAX, message)
                    || self.take_response_datagram(flow, message)
            }
        }
    }

    /// A tag for an answer of ours: over datagrams the same for the same request, since nobody remembers what was said
    /// (RFC 3261 §8.2.7).
    pub(super) fn tag(&mut self, origin: &Origin<'_>) -> Tag {
        match origin {
            Origin::Connection(_) => self.tags.next(),
            Origin::Datagram(datagram) => Tag::of(datagram.mark),
        }
    }

    /// What a message of this origin meets.
    pub(super) fn context<'c>(&'c self, origin: &'c Origin<'_>, to_tag: &'c str) -> Context<'c> {
        origin.context(&self.snapshot, &self.shared, self.now, to_tag)
    }

    /// Counts and logs what became of a message, and does what is left to do.
    fn account(
        &mut self,
        origin: &mut Origin<'_>,
        message: &Message<'_>,
        outcome: Outcome,
        out: &mut Vec<u8>,
    ) {
        let counters = &self.shared.counters;
        let (id, peer) = (origin.name(), origin.peer());
        match outcome {
            Outcome::Answered {
                status,
                registered,
                routed,
            } => {
                counters.requests.add(1);
                debug!(
                    "sip.answered conn={id} peer={peer} status={status}{}",
                    detail(routed.as_ref())
                );
                self.registered(origin, registered);
            }
            Outcome::Refused(refused) => {
                counters.requests.add(1);
                counters.refused.add(1);
                if self.may_log("auth.refused", peer) {
                    let names = origin.names();
                    let message = refused.id;
                    warn!("auth.refused conn={id} peer={peer} {names} id={message} {refused}");
                }
            }
            Outcome::Challenged(refused) => {
                counters.requests.add(1);
                counters.challenged.add(1);
                debug!("auth.challenged conn={id} peer={peer} {refused}");
            }
            Outcome::Relayed(routed) => {
                counters.requests.add(1);
                counters.relayed.add(1);
                debug!("sip.relayed conn={id} peer={peer} {routed}");
            }
            Outcome::Absorbed => {}
            Outcome::Overloaded => {
                counters.requests.add(1);
                counters.overload_refused.add(1);
                debug!("sip.answered conn={id} peer={peer} status=503 reason=overload");
            }
            Outcome::Reported { outcome, refused } => {
                if self.may_log("auth.would_refuse", peer) {
                    let names = origin.names();
                    let answered = match &*outcome {
                        Outcome::Answered { status, .. } => status.to_string(),
                        _ => "none".to_owned(),
                    };
                    let message = refused.id;
                    warn!(
                        "auth.would_refuse conn={id} peer={peer} answered={answered} {names} id={message} {refused}"
                    );
                }
                self.account(origin, message, *outcome, out);
            }
            Outcome::Audited { outcome, audited } => {
                self.write_audit(origin, &audited);
                self.account(origin, message, *outcome, out);
            }
            Outcome::Malformed(fault) => {
                counters.malformed.add(1);
                if self.may_log("sip.malformed", peer) {
                    let answer = answer_to(Some(message), fault);
                    warn!(
                        "sip.malformed conn={id} peer={peer} answer={answer} fault={:?}",
                        fault.phrase
                    );
                }
            }
            Outcome::Dropped(why) => {
                if message.is_response() {
                    counters.responses_dropped.add(1);
                }
                debug!("sip.dropped conn={id} peer={peer} reason={why:?}");
            }
            Outcome::Pending(pending) => self.ask(origin, message, *pending, out),
        }
    }

    /// Remembers which bindings live on a connection. Those of datagrams live until they expire.
    fn registered(&self, origin: &mut Origin<'_>, registration: Option<Registration>) {
        let Some(registration) = registration else {
            return;
        };
        let (id, peer) = (origin.name(), origin.peer());
        if !registration.is_news() {
            debug!("registrar.refreshed conn={id} peer={peer} {registration}");
        } else if self.may_log("registrar.registered", peer) {
            info!("registrar.registered conn={id} peer={peer} {registration}");
        }
        let flow = origin.flow();
        let is_tied = registration.tied.is_some();
        let by_path = || {
            let is_named = !registration.reached.is_empty();
            is_named.then(|| Aor::parse(&registration.aor)).flatten()
        };
        let Some(aor) = registration.tied.clone().or_else(by_path) else {
            return;
        };
        if let Some(listener) = &self.shared.registered {
            let event = RegistrationEvent {
                aor: aor.clone(),
                flow,
                path: registration.path,
                contacts: registration.reached,
            };
            listener.registered(event, &EngineHandle(Arc::clone(&self.shared)));
        }
        if let Origin::Connection(connection) = origin
            && is_tied
        {
            let tied = Tied {
                aor,
                is_judged_again: registration.is_judged_again,
            };
            connection.remember(tied, |aor| self.shared.location.is_tied(flow, aor));
        }
    }

    /// Takes questions to the lookup pool; without room there the request is answered 503.
    fn ask(
        &mut self,
        origin: &mut Origin<'_>,
        message: &Message<'_>,
        pending: Pending,
        out: &mut Vec<u8>,
    ) {
        let asker = match origin {
            Origin::Connection(connection) => Some(Asker::Connection {
                slot: connection.slot,
                id: connection.id,
            }),
            Origin::Datagram(datagram) => {
                self.asked.has_room().then_some(Asker::Datagram(**datagram))
            }
        };
        let asked = asker.is_some_and(|asker| {
            let (worker, shared) = (self.number, Arc::clone(&self.shared));
            let (name, owned) = (origin.name(), message.clone().into_owned());
            let begun = self.now;
            let job = move || {
                let waits = Waits {
                    worker,
                    shared,
                    name,
                    asked: Some((asker, owned)),
                };
                if begun.elapsed() > LONGEST_WAIT {
                    return waits.over(Err(Unanswered::Late));
                }
                // Whoever was asked may answer later, on another thread. A panic here drops what waits, which says so.
                let begin = || pending.begin(Box::new(move |answers| waits.over(Ok(answers))));
                let _ = catch_unwind(AssertUnwindSafe(begin));
            };
            self.shared.lookups.submit(job).is_ok()
        });
        match origin {
            Origin::Connection(connection) if asked => connection.pending += 1,
            Origin::Datagram(datagram) if asked => self.asked.add(datagram.question),
            _ => {
                self.shared.counters.lookups_refused.add(1);
                let tag = self.tag(origin);
                proxy::answer_busy(message, &self.context(origin, &tag), out);
                let status = StatusCode::SERVICE_UNAVAILABLE;
                self.write_undecided(origin, message, status, "lookups-full");
            }
        }
    }

    /// Goes on with a message whose questions have been answered.
    pub(super) fn take_answers(&mut self, answered: Answered) {
        let Answered {
            asker,
            message,
            answers,
        } = answered;
        let (slot, id) = match asker {
            Asker::Connection { slot, id } => (slot, id),
            Asker::Datagram(datagram) => {
                return self.resume_datagram(&datagram, &message, answers);
            }
        };
        self.guarded(slot, |worker, connection| {
            if connection.id != id {
                return Fate::Keep;
            }
            connection.pending = connection.pending.saturating_sub(1);
            if !matches!(connection.stage, Stage::Open(_)) {
                // Nobody is there to be answered, and nothing may be registered over it.
                return Fate::Keep;
            }
            if let Some(fate) = worker.judge_if_due(connection) {
                return fate;
            }
            let mut out = Vec::new();
            let mut origin = Origin::Connection(connection);
            worker.resume(&mut origin, &message, answers, &mut out);
            match worker.send(connection, &out) {
                Err(fate) => fate,
                Ok(()) if connection.paused => worker.progress(connection),
                Ok(()) => worker.end_if_quiet(connection),
            }
        });
    }

    /// Judges a message anew with what has been answered, or says that nobody could.
    pub(super) fn resume(
        &mut self,
        origin: &mut Origin<'_>,
        message: &Message<'_>,
        answers: Result<Answers, Unanswered>,
        out: &mut Vec<u8>,
    ) {
        let unanswered = match answers {
            Ok(answers) => return self.message(origin, message, Some(answers), out),
            Err(unanswered) => unanswered,
        };
        let tag = self.tag(origin);
        let context = self.context(origin, &tag);
        match unanswered {
            Unanswered::Failed => {
                proxy::answer_failed(message, &context, out);
                let status = StatusCode::SERVER_INTERNAL_ERROR;
                self.write_undecided(origin, message, status, "lookup-failed");
            }
            Unanswered::Late => {
                self.shared.counters.lookups_refused.add(1);
                proxy::answer_busy(message, &context, out);
                let status = StatusCode::SERVICE_UNAVAILABLE;
                self.write_undecided(origin, message, status, "lookup-late");
            }
        }
    }
}

/// A request whose questions are being answered. Its sender hears of them whatever becomes of them.
struct Waits {
    worker: usize,
    shared: Arc<Shared>,
    /// Of its connection, for the log.
    name: Name,
    /// Who asks, and the message; taken when it is over.
    asked: Option<(Asker, Message<'static>)>,
}

impl Waits {
    /// Gives the answers to the worker, or says why there are none.
    fn over(mut self, answers: Result<Answers, Unanswered>) {
        self.post(answers);
    }

    fn post(&mut self, answers: Result<Answers, Unanswered>) {
        let Some((asker, message)) = self.asked.take() else {
            return;
        };
        let answered = Answered {
            asker,
            message,
            answers,
        };
        self.shared.post_answers(self.worker, answered);
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if self.asked.is_some() {
            let name = &self.name;
            error!(
                "lookup.panicked conn={name} the request is answered 500; a check or the directory has a defect"
            );
            self.post(Err(Unanswered::Failed));
        }
    }
}

/// Where routing led a request, for the end of a log line.
fn detail(routed: Option<&Routed>) -> String {
    routed.map_or_else(String::new, |routed| format!(" {routed}"))
}

/// The status that a faulty message is answered with, for the log.
pub(super) fn answer_to(message: Option<&Message<'_>>, fault: Fault) -> String {
    match message {
        Some(message) if Reply::is_possible(message) => fault.status.to_string(),
        _ => "none".to_owned(),
    }
}
