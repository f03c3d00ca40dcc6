//! One worker thread: its poller, its connections, their deadlines. It blocks in its poller's wait and nowhere else.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::{Level, debug, error, log, trace, warn};
use mio::{Events, Interest, Poll, Token};

use super::admission::Admit;
use super::connection::{Connection, Proof, Stage};
use super::deadline::{Alarms, Limit};
use super::proxy_protocol::{self, ProxyHeader};
use super::shared::{Shared, Snapshot};
use super::socket::Socket;
use super::tags::Tags;
use super::wire::Wire;
use crate::auth::{Answers, Identities, Peer, Pending, Transport};
use crate::proxy::{self, Context, Outcome};
use crate::registrar::FlowId;
use crate::sip::{Fault, Frame, Message};
use crate::tls::{Established, HandshakeStep, Progress, TlsStream};

/// What a worker is told by other threads.
pub(crate) enum Mail {
    /// A connection to take over.
    Arrival(Box<Arrival>),
    /// Questions have been answered.
    Answers(Box<Answered>),
}

/// A connection as the acceptor hands it over.
pub(crate) struct Arrival {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) listener: usize,
    pub(crate) place: Admit,
    pub(crate) accepted: Instant,
}

/// The answers to the questions of one message; none if a check failed over them.
pub(crate) struct Answered {
    slot: usize,
    connection: u64,
    message: Message<'static>,
    answers: Option<Answers>,
}

/// Wakes the poller for mail; every other token is a slot.
pub(crate) const MAIL: Token = Token(usize::MAX);
/// Mail waiting for one worker.
pub(crate) const MAILBOX: usize = 4096;
/// Decrypted octets taken at a time.
const SCRATCH: usize = 64 * 1024;
/// Reads of one connection before others have their turn.
const READS_A_TURN: usize = 8;
/// Questions that one connection may have with the lookup pool; beyond it its next request waits.
const QUESTIONS_A_CONNECTION: usize = 16;
/// How often a worker looks for expired bindings and tells what the log has kept back.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// A worker's own things.
pub(crate) struct Worker {
    number: usize,
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
    poll: Poll,
    mail: Receiver<Mail>,
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    alarms: Alarms,
    /// Connections that were not read to the end in their turn.
    again: Vec<usize>,
    scratch: Vec<u8>,
    out: Vec<u8>,
    tags: Tags,
    now: Instant,
    housekeeping: Instant,
    drain_until: Option<Instant>,
    closed_since_trim: usize,
}

/// Whether a connection stays, or why not.
enum Fate {
    Keep,
    /// Say goodbye and give the peer time to hear it.
    Finish(String),
    /// Gone, or not worth a word.
    Drop(String),
}

impl Worker {
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        poll: Poll,
        mail: Receiver<Mail>,
    ) -> Self {
        let snapshot = shared.snapshot.load_full();
        let now = Instant::now();
        Self {
            number,
            snapshot,
            poll,
            mail,
            slots: Vec::new(),
            free: Vec::new(),
            alarms: Alarms::default(),
            again: Vec::new(),
            scratch: vec![0; SCRATCH],
            out: Vec::with_capacity(4096),
            tags: Tags::default(),
            now,
            housekeeping: now + HOUSEKEEPING,
            drain_until: None,
            closed_since_trim: 0,
            shared,
        }
    }

    /// The thread's life: until the server has drained.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = self.patience();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                error!("worker.poll worker={} error={error:?}", self.number);
                std::thread::sleep(Duration::from_millis(10));
            }
            self.now = Instant::now();
            self.refresh();
            let again = std::mem::take(&mut self.again);
            for event in &events {
                if event.token() == MAIL {
                    continue;
                }
                self.guarded(event.token().0, |worker, connection| {
                    let ending = event.is_read_closed() || event.is_error();
                    if (ending || event.is_readable())
                        && let Some(socket) = connection.socket()
                    {
                        socket.readable(ending);
                    }
                    worker.progress(connection, event.is_writable())
                });
            }
            for slot in again {
                self.guarded(slot, |worker, connection| {
                    worker.progress(connection, false)
                });
            }
            self.take_mail();
            self.ring_alarms();
            self.keep_house();
            if self.shared.is_draining() && self.drained() {
                return;
            }
        }
    }

    /// How long the poller may wait.
    fn patience(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self
            .alarms
            .next()
            .map_or(self.housekeeping, |at| at.min(self.housekeeping));
        let next = self.drain_until.map_or(next, |at| at.min(next));
        // epoll counts in milliseconds; waking a little late beats spinning until the deadline.
        Some(next.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    /// Takes the newest snapshot, if there is one.
    fn refresh(&mut self) {
        if !Arc::ptr_eq(&self.snapshot, &self.shared.snapshot.load()) {
            self.snapshot = self.shared.snapshot.load_full();
        }
    }

    /// Runs a step of one connection: a panic ends that connection and nothing else.
    fn guarded(&mut self, slot: usize, step: impl FnOnce(&mut Self, &mut Connection) -> Fate) {
        let Some(mut connection) = self.slots.get_mut(slot).and_then(Option::take) else {
            return;
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| step(self, &mut connection)));
        let fate = outcome.unwrap_or_else(|_| {
            error!(
                "worker.panicked conn={} peer={} the connection is given up",
                connection.id, connection.peer
            );
            Fate::Drop("defect".to_owned())
        });
        match fate {
            Fate::Keep => {}
            Fate::Finish(reason) => {
                self.say_closed(&connection, &reason);
                self.forget_flow(&mut connection);
                connection.linger(self.now);
            }
            Fate::Drop(reason) => {
                self.say_closed(&connection, &reason);
                self.forget_flow(&mut connection);
                self.free.push(slot);
                self.closed_since_trim += 1;
                return;
            }
        }
        self.arm(slot, &mut connection);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
    }

    /// Makes sure that an alarm rings no later than the connection is due.
    fn arm(&mut self, slot: usize, connection: &mut Connection) {
        if let Some((due, _)) = connection.due()
            && connection.armed.is_none_or(|armed| due < armed)
        {
            self.alarms.set(due, slot, connection.id);
            connection.armed = Some(due);
        }
    }

    fn forget_flow(&mut self, connection: &mut Connection) {
        let registered = std::mem::take(&mut connection.registered);
        self.shared
            .location
            .flow_closed(FlowId(connection.id), registered);
    }

    fn say_closed(&self, connection: &Connection, reason: &str) {
        if !matches!(connection.stage, Stage::Linger(_)) {
            debug!(
                "conn.closed conn={} peer={} reason={reason:?}",
                connection.id, connection.peer
            );
        }
    }

    /// Goes on with a connection as far as it will go.
    fn progress(&mut self, connection: &mut Connection, writable: bool) -> Fate {
        loop {
            match &mut connection.stage {
                Stage::ProxyHeader(_) => match self.read_proxy_header(connection) {
                    Ok(true) => {}
                    Ok(false) => return Fate::Keep,
                    Err(fate) => return fate,
                },
                Stage::Handshake(stream) => match stream.handshake() {
                    HandshakeStep::Wait => return Fate::Keep,
                    HandshakeStep::Done(established) => self.opened(connection, established),
                    HandshakeStep::Refused(refusal) => {
                        self.shared.counters.handshakes_refused.add(1);
                        if self
                            .shared
                            .limiter
                            .allows("tls.refused", connection.peer.ip(), self.now)
                        {
                            let listener = self.listener_name(connection);
                            warn!(
                                "tls.refused conn={} peer={} listener={listener} {refusal}",
                                connection.id, connection.peer
                            );
                        }
                        return Fate::Finish("handshake refused".to_owned());
                    }
                },
                Stage::Open(_) => return self.exchange(connection, writable),
                Stage::Linger(wire) => {
                    let mut waste = [0_u8; 4096];
                    for _ in 0..READS_A_TURN {
                        match wire.socket().read(&mut waste) {
                            Ok(0) => return Fate::Drop(String::new()),
                            Ok(_) => {}
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                                return Fate::Keep;
                            }
                            Err(_) => return Fate::Drop(String::new()),
                        }
                    }
                    // Whoever goes on sending does not want to hear our last words.
                    return Fate::Drop(String::new());
                }
                Stage::Changing => return Fate::Drop("defect".to_owned()),
            }
        }
    }

    fn listener_name(&self, connection: &Connection) -> String {
        self.shared
            .listeners
            .get(connection.listener)
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// True when the header has been read and the next stage is set.
    fn read_proxy_header(&mut self, connection: &mut Connection) -> Result<bool, Fate> {
        let Stage::ProxyHeader(socket) = &mut connection.stage else {
            return Ok(true);
        };
        let mut octets = [0_u8; proxy_protocol::LONGEST];
        let seen = match socket.peek(&mut octets) {
            Ok(0) => return Err(Fate::Drop("closed before its PROXY header".to_owned())),
            Ok(seen) => seen,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(Fate::Drop(error.to_string())),
        };
        match proxy_protocol::parse(octets.get(..seen).unwrap_or_default()) {
            ProxyHeader::Partial => Ok(false),
            ProxyHeader::Whole { length, source } => {
                let header = octets.get_mut(..length).unwrap_or_default();
                if let Err(error) = socket.source().read_exact(header) {
                    return Err(Fate::Drop(error.to_string()));
                }
                if let Some(source) = source {
                    debug!(
                        "conn.proxied conn={} peer={source} proxy={}",
                        connection.id, connection.peer
                    );
                    if let Err(why) = connection.place.count_source(source.ip()) {
                        self.shared.counters.accept_refused.add(1);
                        if self
                            .shared
                            .limiter
                            .allows(why.reason(), source.ip(), self.now)
                        {
                            warn!(
                                "accept.refused peer={source} proxy={} reason={}",
                                connection.peer,
                                why.reason()
                            );
                        }
                        return Err(Fate::Drop(why.reason().to_owned()));
                    }
                    connection.peer = source;
                }
                let Stage::ProxyHeader(socket) =
                    std::mem::replace(&mut connection.stage, Stage::Changing)
                else {
                    return Ok(true);
                };
                self.begin(connection, socket)
                    .map(|()| true)
                    .map_err(|why| Fate::Drop(why.to_string()))
            }
            ProxyHeader::Bad => {
                if self
                    .shared
                    .limiter
                    .allows("proxy_header", connection.peer.ip(), self.now)
                {
                    warn!(
                        "accept.refused peer={} reason=\"no PROXY header\" hint=\"ProxyProtocolSources lists this peer\"",
                        connection.peer
                    );
                }
                Err(Fate::Drop("no PROXY header".to_owned()))
            }
        }
    }

    /// Sets the stage that follows the PROXY header, or comes first without one.
    fn begin(&mut self, connection: &mut Connection, socket: Socket) -> io::Result<()> {
        match self
            .snapshot
            .tls
            .get(connection.listener)
            .and_then(Option::as_ref)
        {
            Some(tls) => {
                connection.stage = Stage::Handshake(TlsStream::new(tls.accept_state()?, socket)?);
            }
            None => {
                connection.stage = Stage::Open(Wire::Plain(socket));
                connection.place.opened();
                let patience = self.shared.options.deadlines.first_message;
                connection.wait_for(Limit::FirstMessage, self.now, patience);
                debug!(
                    "tcp.accepted conn={} peer={}",
                    connection.id, connection.peer
                );
            }
        }
        Ok(())
    }

    /// The handshake is done.
    fn opened(&mut self, connection: &mut Connection, established: Established) {
        let Stage::Handshake(stream) = std::mem::replace(&mut connection.stage, Stage::Changing)
        else {
            return;
        };
        connection.stage = Stage::Open(Wire::Tls(stream));
        connection.place.opened();
        self.shared.counters.handshakes.add(1);
        if established.resumed {
            self.shared.counters.handshakes_resumed.add(1);
        }
        connection.generation = self.snapshot.generation;
        connection.proof = established.certificate.map(|certificate| Proof {
            identities: Arc::new(Identities::of(
                &certificate,
                &self.snapshot.policy.rules.names,
            )),
            certificate,
        });
        let patience = self.shared.options.deadlines.first_message;
        connection.wait_for(Limit::FirstMessage, self.now, patience);
        let subject = connection
            .proof
            .as_ref()
            .map(|p| p.certificate.subject.as_str())
            .unwrap_or_default();
        debug!(
            "tls.accepted conn={} peer={} version={} cipher={} resumed={} sni={:?} subject={subject:?}",
            connection.id,
            connection.peer,
            established.version,
            established.cipher,
            established.resumed,
            established.sni.as_deref().unwrap_or_default(),
        );
    }

    /// Reads, answers and writes on an open connection.
    fn exchange(&mut self, connection: &mut Connection, writable: bool) -> Fate {
        let patience = self.shared.options.deadlines.write;
        if writable || connection.queued() > 0 {
            match connection.flush(self.now, patience) {
                Ok(true) => {}
                Ok(false) => return Fate::Keep,
                Err(why) => return Fate::Drop(why),
            }
        }
        if connection.pending >= QUESTIONS_A_CONNECTION {
            connection.paused = true;
            return Fate::Keep;
        }
        connection.paused = false;
        let mut whole = false;
        let mut fate = Fate::Keep;
        let mut out = std::mem::take(&mut self.out);
        let mut scratch = std::mem::take(&mut self.scratch);
        for turn in 0.. {
            let Stage::Open(wire) = &mut connection.stage else {
                break;
            };
            if !wire.has_more() {
                break;
            }
            if turn == READS_A_TURN {
                self.again.push(connection.slot);
                break;
            }
            match wire.read(&mut scratch) {
                Progress::Octets(read) => {
                    let fresh = scratch.get(..read).unwrap_or_default();
                    fate = self.take_octets(connection, fresh, &mut whole, &mut out);
                }
                Progress::Wait => break,
                Progress::Closed => fate = Fate::Finish("closed by the peer".to_owned()),
                Progress::Broken(why) => fate = Fate::Drop(why),
            }
            if !matches!(fate, Fate::Keep) || out.len() >= SCRATCH {
                break;
            }
        }
        if !out.is_empty() {
            if let Err(why) = connection.send(&out, self.now, patience) {
                fate = Fate::Drop(why);
            }
            out.clear();
        }
        self.scratch = scratch;
        self.out = out;
        if connection.queued() > self.shared.options.max_queued_bytes {
            self.shared.counters.slow_receivers.add(1);
            warn!(
                "conn.closed conn={} peer={} reason=MaximumQueuedBytes",
                connection.id, connection.peer
            );
            return Fate::Drop("MaximumQueuedBytes".to_owned());
        }
        connection.wait_for_next(
            connection.begun,
            whole,
            &self.shared.options.deadlines,
            self.now,
        );
        fate
    }

    /// Frames what has just been read behind what was there before.
    fn take_octets(
        &mut self,
        connection: &mut Connection,
        fresh: &[u8],
        whole: &mut bool,
        out: &mut Vec<u8>,
    ) -> Fate {
        if connection.received.is_empty() {
            let (taken, fate) = self.frames(connection, fresh, whole, out);
            connection
                .received
                .extend_from_slice(fresh.get(taken..).unwrap_or_default());
            return fate;
        }
        let mut received = std::mem::take(&mut connection.received);
        received.extend_from_slice(fresh);
        let (taken, fate) = self.frames(connection, &received, whole, out);
        if taken == received.len() {
            received = Vec::new();
        } else {
            received.drain(..taken);
        }
        connection.received = received;
        fate
    }

    /// Handles every whole message in `octets`; says how many octets they took.
    fn frames(
        &mut self,
        connection: &mut Connection,
        octets: &[u8],
        whole: &mut bool,
        out: &mut Vec<u8>,
    ) -> (usize, Fate) {
        let limits = self.shared.options.limits;
        let mut taken = 0;
        loop {
            let rest = octets.get(taken..).unwrap_or_default();
            match connection.framer.next(rest, &limits) {
                Frame::Partial { started } => {
                    connection.begun = started;
                    return (taken, Fate::Keep);
                }
                Frame::Ping => {
                    out.extend_from_slice(b"\r\n");
                    taken += 4;
                    *whole = true;
                }
                Frame::Pong => taken += 2,
                Frame::Message { message, length } => {
                    taken += length;
                    *whole = true;
                    self.message(connection, &message, None, out);
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
        connection: &Connection,
        message: Option<&Message<'_>>,
        fault: Fault,
        out: &mut Vec<u8>,
    ) {
        self.shared.counters.malformed.add(1);
        if self
            .shared
            .limiter
            .allows("sip.malformed", connection.peer.ip(), self.now)
        {
            warn!(
                "sip.malformed conn={} peer={} answer={} fault={:?} the connection is closed",
                connection.id, connection.peer, fault.status, fault.phrase
            );
        }
        if let Some(message) = message {
            proxy::answer_fault(
                message,
                fault,
                connection.peer,
                &self.snapshot.policy,
                &self.tags.next(),
                out,
            );
        }
    }

    /// One whole message: through the proxy core, its answer appended to `out`.
    fn message(
        &mut self,
        connection: &mut Connection,
        message: &Message<'_>,
        answers: Option<Answers>,
        out: &mut Vec<u8>,
    ) {
        trace!(
            "sip.received conn={} octets={}",
            connection.id,
            message.as_bytes().len()
        );
        self.judge_again(connection);
        let secure = matches!(connection.stage, Stage::Open(Wire::Tls(_)));
        let tag = self.tags.next();
        let context = Context {
            policy: &self.snapshot.policy,
            location: &self.shared.location,
            peer: Peer {
                transport: if secure {
                    Transport::Tls
                } else {
                    Transport::Tcp
                },
                source: connection.peer,
                identities: connection.proof.as_ref().map(|p| &*p.identities),
            },
            flow: FlowId(connection.id),
            now: self.now,
            to_tag: &tag,
        };
        let outcome = match answers {
            None => proxy::on_message(message, &context, out),
            Some(answers) => proxy::on_answers(message, answers, &context, out),
        };
        self.account(connection, message, outcome, out);
    }

    /// Names out of the certificate follow the newest rules.
    fn judge_again(&self, connection: &mut Connection) {
        if connection.generation != self.snapshot.generation
            && let Some(proof) = &mut connection.proof
        {
            proof.identities = Arc::new(Identities::of(
                &proof.certificate,
                &self.snapshot.policy.rules.names,
            ));
        }
        connection.generation = self.snapshot.generation;
    }

    /// Counts and logs what became of a message, and does what is left to do.
    fn account(
        &mut self,
        connection: &mut Connection,
        message: &Message<'_>,
        outcome: Outcome,
        out: &mut Vec<u8>,
    ) {
        let counters = &self.shared.counters;
        let (id, peer) = (connection.id, connection.peer);
        match outcome {
            Outcome::Answered { status, registered } => {
                counters.requests.add(1);
                debug!("sip.answered conn={id} peer={peer} status={status}");
                if let Some(registration) = registered {
                    let level = if registration.is_news() {
                        Level::Info
                    } else {
                        Level::Debug
                    };
                    log!(
                        level,
                        "registrar.registered conn={id} peer={peer} {registration}"
                    );
                    connection.registered.extend(registration.tied);
                }
            }
            Outcome::Refused(refused) => {
                counters.requests.add(1);
                counters.refused.add(1);
                if self
                    .shared
                    .limiter
                    .allows("auth.refused", peer.ip(), self.now)
                {
                    let subject = connection
                        .proof
                        .as_ref()
                        .map(|p| p.certificate.subject.as_str());
                    warn!(
                        "auth.refused conn={id} peer={peer} subject={:?} {refused}",
                        subject.unwrap_or_default()
                    );
                }
            }
            Outcome::Reported { status, refused } => {
                counters.requests.add(1);
                if self
                    .shared
                    .limiter
                    .allows("auth.would_refuse", peer.ip(), self.now)
                {
                    let subject = connection
                        .proof
                        .as_ref()
                        .map(|p| p.certificate.subject.as_str());
                    warn!(
                        "auth.would_refuse conn={id} peer={peer} status={status} subject={:?} {refused}",
                        subject.unwrap_or_default()
                    );
                }
            }
            Outcome::Malformed(fault) => {
                counters.malformed.add(1);
                if self
                    .shared
                    .limiter
                    .allows("sip.malformed", peer.ip(), self.now)
                {
                    warn!(
                        "sip.malformed conn={id} peer={peer} answer={} fault={:?}",
                        fault.status, fault.phrase
                    );
                }
            }
            Outcome::Dropped(why) => {
                if message.is_response() {
                    counters.responses_dropped.add(1);
                }
                debug!("sip.dropped conn={id} peer={peer} reason={why:?}");
            }
            Outcome::Pending(pending) => self.ask(connection, message, pending, out),
        }
    }

    /// Takes questions to the lookup pool; without room there the request is answered 503.
    fn ask(
        &mut self,
        connection: &mut Connection,
        message: &Message<'_>,
        pending: Pending,
        out: &mut Vec<u8>,
    ) {
        let (worker, slot) = (self.number, connection.slot);
        let shared = Arc::clone(&self.shared);
        let (id, owned) = (connection.id, message.clone().into_owned());
        let asked = self.shared.lookups.submit(move || {
            let answers = catch_unwind(AssertUnwindSafe(|| pending.answer()))
                .inspect_err(|_| error!("lookup.panicked conn={id} the request is answered 500; a check has a defect"))
                .ok();
            shared.post_answers(worker, Answered { slot, connection: id, message: owned, answers });
        });
        match asked {
            Ok(()) => connection.pending += 1,
            Err(_) => {
                self.shared.counters.lookups_refused.add(1);
                let policy = &self.snapshot.policy;
                proxy::answer_busy(message, connection.peer, policy, &self.tags.next(), out);
            }
        }
    }

    fn take_mail(&mut self) {
        for _ in 0..MAILBOX {
            match self.mail.try_recv() {
                Ok(Mail::Arrival(arrival)) => self.arrive(*arrival),
                Ok(Mail::Answers(answered)) => self.take_answers(*answered),
                Err(_) => return,
            }
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        self.shared.counters.accepted.add(1);
        let id = self.shared.connection_number();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let mut socket = Socket::new(arrival.stream);
        let registered = self.poll.registry().register(
            socket.source(),
            Token(slot),
            Interest::READABLE | Interest::WRITABLE,
        );
        if let Err(error) = registered {
            warn!("conn.lost peer={} error={error:?}", arrival.peer);
            self.free.push(slot);
            return;
        }
        let mut connection = Box::new(Connection::new(
            id,
            slot,
            arrival.listener,
            arrival.peer,
            arrival.place,
            Stage::Changing,
        ));
        let patience = self.shared.options.deadlines.handshake;
        connection.wait_for(Limit::Handshake, arrival.accepted, patience);
        let proxied = self
            .shared
            .options
            .proxy_sources
            .iter()
            .any(|n| n.contains(arrival.peer.ip()));
        if proxied {
            connection.stage = Stage::ProxyHeader(socket);
        } else if let Err(error) = self.begin(&mut connection, socket) {
            error!("tls.lost peer={} error={error:?}", arrival.peer);
            self.free.push(slot);
            return;
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
        self.guarded(slot, |worker, connection| {
            worker.progress(connection, false)
        });
    }

    fn take_answers(&mut self, answered: Answered) {
        let Answered {
            slot,
            connection: id,
            message,
            answers,
        } = answered;
        if self
            .slots
            .get(slot)
            .and_then(Option::as_ref)
            .is_none_or(|c| c.id != id)
        {
            return;
        }
        self.guarded(slot, |worker, connection| {
            connection.pending = connection.pending.saturating_sub(1);
            let mut out = Vec::new();
            match answers {
                Some(answers) => worker.message(connection, &message, Some(answers), &mut out),
                None => {
                    let tag = worker.tags.next();
                    proxy::answer_failed(
                        &message,
                        connection.peer,
                        &worker.snapshot.policy,
                        &tag,
                        &mut out,
                    );
                }
            }
            if let Err(why) =
                connection.send(&out, worker.now, worker.shared.options.deadlines.write)
            {
                return Fate::Drop(why);
            }
            if connection.paused {
                worker.progress(connection, false)
            } else {
                Fate::Keep
            }
        });
    }

    fn ring_alarms(&mut self) {
        while let Some((slot, id)) = self.alarms.ring(self.now) {
            if self
                .slots
                .get(slot)
                .and_then(Option::as_ref)
                .is_none_or(|c| c.id != id)
            {
                continue;
            }
            self.guarded(slot, |worker, connection| {
                connection.armed = None;
                match connection.due() {
                    Some((due, limit)) if due <= worker.now => worker.expired(connection, limit),
                    _ => Fate::Keep,
                }
            });
        }
    }

    /// A deadline of the connection has passed.
    fn expired(&mut self, connection: &mut Connection, limit: Limit) -> Fate {
        match limit {
            Limit::Linger => return Fate::Drop(String::new()),
            Limit::Write => self.shared.counters.slow_receivers.add(1),
            _ => self.shared.counters.timeouts.add(1),
        }
        let reason = limit.reason();
        if self
            .shared
            .limiter
            .allows(reason, connection.peer.ip(), self.now)
        {
            warn!(
                "conn.closed conn={} peer={} reason={reason}",
                connection.id, connection.peer
            );
        }
        match limit {
            Limit::Idle | Limit::FirstMessage => Fate::Finish(reason.to_owned()),
            _ => Fate::Drop(reason.to_owned()),
        }
    }

    fn keep_house(&mut self) {
        if self.now < self.housekeeping {
            return;
        }
        self.housekeeping = self.now + HOUSEKEEPING;
        if self.number == 0 {
            self.shared.location.sweep(self.now, SHARDS_A_SECOND);
            let suppressed = self.shared.limiter.take_suppressed();
            if suppressed > 0 {
                warn!("log.suppressed lines={suppressed} more of the same kind and source");
            }
        }
        if self.closed_since_trim >= TRIM_AFTER {
            self.closed_since_trim = 0;
            self.free.shrink_to_fit();
            super::memory::give_back();
        }
    }

    /// Closes what has nothing under way; true when nothing is left, or time is up.
    fn drained(&mut self) -> bool {
        let patience = self.shared.options.deadlines.drain;
        let until = *self.drain_until.get_or_insert(self.now + patience);
        if self.now >= until {
            return true;
        }
        for slot in 0..self.slots.len() {
            self.guarded(slot, |worker, connection| match &connection.stage {
                Stage::Linger(_) => Fate::Keep,
                Stage::Open(_) if !connection.is_quiet() => Fate::Keep,
                Stage::Open(_) => {
                    // What has arrived before the end is still answered.
                    let _ = worker.progress(connection, false);
                    Fate::Finish("the server ends".to_owned())
                }
                _ => Fate::Drop("the server ends".to_owned()),
            });
        }
        self.slots.iter().all(Option::is_none)
    }
}

/// Shards of the location service that are looked through each second; all of them in about half a minute.
const SHARDS_A_SECOND: usize = 4;
/// Closed connections after which unused memory goes back to the system.
const TRIM_AFTER: usize = 1000;
