//! One worker thread: its poller, its connections, their deadlines. It blocks in its poller's wait and nowhere else.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use log::{debug, error, info, warn};
use mio::{Events, Interest, Poll, Registry, Token};

use super::admission::Admit;
use super::again::{Clock, Rejudged, Round};
use super::congestion::{Change, Congestion};
use super::connection::{Connection, Stage};
use super::datagram::Asked;
use super::deadline::{Alarms, Limit};
use super::dispatch::Departed;
use super::inspect::{Closing, Inspection};
use super::journey::Journey;
use super::memory::Tide;
use super::origin::Datagram;
use super::outbox::Outbox;
use super::outgoing::Posted;
use super::resolving::Asking;
use super::shared::{Shared, Snapshot};
use super::socket::Socket;
use super::sockets::{Bound, Sockets};
use super::tags::Tags;
use super::timer::Timer;
use crate::proxy::Answers;
use crate::proxy::relay::{Effect, Relay, RelayId};
use crate::registrar::FlowId;
use crate::resolve::Resolved;
use crate::sip::Message;

/// What a worker is told by other threads.
pub(crate) enum Mail {
    /// A connection to take over.
    Arrival(Box<Arrival>),
    /// Questions have been answered.
    Answers(Box<Answered>),
    /// A request of our own to be sent over a connection.
    Send(Box<Posted>),
    /// A request that leaves by a flow of this worker.
    Journey(Journey, FlowId),
    /// What became of a request of this worker's that left by another's flow.
    Departed(Departed),
    /// Where a request of this worker leads, by its ticket.
    Resolved(u64, Resolved),
    /// Whether the message of a request of this worker is kept.
    Kept(RelayId, bool),
    /// Octets for a flow of this worker.
    Octets(FlowId, Arc<[u8]>),
    /// A response to a request of this worker, and the flow that it came over.
    Response(Box<Message<'static>>, FlowId),
    /// A flow that requests of this worker went over is gone.
    FlowGone(FlowId),
    /// What the right to something registered depended on has been answered.
    Rejudged(Box<Rejudged>),
    /// An operator wants to see connections.
    Inspect(Inspection),
    /// An operator wants a connection closed.
    Close(Closing),
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
    pub(super) asker: Asker,
    pub(super) message: Message<'static>,
    pub(super) answers: Result<Answers, Unanswered>,
}

/// Why questions have no answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Whoever was asked has given up.
    Failed,
    /// They have waited for a thread for too long.
    Late,
}

/// Whose message it was that had questions.
pub(super) enum Asker {
    Connection { slot: usize, id: u64 },
    Datagram(Datagram),
}

/// Wakes the poller for mail.
pub(crate) const MAIL: Token = Token(usize::MAX);
/// Wakes the poller for a deadline; every other token is a slot or a UDP socket.
const TIMER: Token = Token(usize::MAX - 1);
/// Mail waiting for one worker.
pub(crate) const MAILBOX: usize = 4096;
/// Decrypted octets taken at a time.
pub(super) const SCRATCH: usize = 64 * 1024;
/// An idle worker is not woken for alarms more often than this: most are of connections that have long gone on or ended,
/// and deadlines are counted in seconds.
const BETWEEN_ALARMS: Duration = Duration::from_millis(100);
/// How often a worker looks for expired bindings and tells what the log has kept back.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// A worker's own things.
pub(crate) struct Worker {
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) snapshot: Arc<Snapshot>,
    poll: Poll,
    pub(super) mail: Receiver<Mail>,
    pub(super) slots: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    alarms: Alarms,
    timer: Timer,
    /// UDP.
    pub(super) sockets: Sockets,
    /// Requests of datagrams whose questions are not answered yet.
    pub(super) asked: Asked,
    /// Requests of our own, and the way to the connections they go over.
    pub(super) outbox: Outbox,
    /// Requests that are relayed.
    pub(super) relay: Relay,
    /// What is to be done for them.
    pub(super) effects: Vec<Effect>,
    /// Requests that wait to know where they lead.
    pub(super) asking: Asking,
    /// Requests that are to look for another way.
    pub(super) journeys: Vec<Journey>,
    /// A request that is being written; empty, and kept for its capacity.
    pub(super) leaving: Vec<u8>,
    /// Connections that were not read to the end in their turn.
    pub(super) again: Vec<usize>,
    pub(super) scratch: Vec<u8>,
    pub(super) out: Vec<u8>,
    pub(super) tags: Tags,
    pub(super) congestion: Congestion,
    pub(super) now: Instant,
    /// The same by the clock on the wall.
    pub(super) clock: Clock,
    /// Connections that are judged again.
    pub(super) round: Round,
    /// When alarms rang last.
    rung: Instant,
    housekeeping: Instant,
    statistics: Instant,
    drain: Drain,
    /// Those of the server, whose memory worker 0 gives back.
    connections: Tide,
    /// What the relay of this worker keeps.
    relayed: Tide,
}

/// Whether the server is ending, and how long that may take.
#[derive(Clone, Copy)]
enum Drain {
    NotYet,
    Until(Option<Instant>),
}

/// Whether a connection stays, or why not.
pub(super) enum Fate {
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
        sockets: Vec<Bound>,
    ) -> io::Result<Self> {
        let timer = Timer::new(poll.registry(), TIMER)?;
        let snapshot = shared.snapshot.load_full();
        let now = Instant::now();
        let sockets = Sockets::new(sockets, poll.registry(), now)?;
        // The lookup pool is there for connections too.
        let most_asked = shared.options.max_pending_lookups / (2 * shared.workers().max(1));
        Ok(Self {
            number,
            round: Round::new(&snapshot, now),
            clock: Clock::now(),
            snapshot,
            poll,
            mail,
            slots: Vec::new(),
            free: Vec::new(),
            alarms: Alarms::default(),
            timer,
            sockets,
            asked: Asked::new(most_asked),
            outbox: Outbox::new(shared.options.outgoing),
            relay: Relay::new(number, shared.options.transactions),
            effects: Vec::new(),
            asking: Asking::default(),
            journeys: Vec::new(),
            leaving: Vec::new(),
            again: Vec::new(),
            scratch: vec![0; SCRATCH],
            out: Vec::with_capacity(4096),
            tags: Tags::default(),
            congestion: Congestion::new(shared.options.congestion),
            now,
            rung: now,
            housekeeping: now + HOUSEKEEPING,
            statistics: now,
            drain: Drain::NotYet,
            connections: Tide::new(FEW_CONNECTIONS),
            relayed: Tide::new(FEW_PLACES),
            shared,
        })
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
            let mut again = std::mem::take(&mut self.again);
            // One turn each: a connection told of by the poller too would else come twice as often every turn.
            again.sort_unstable();
            again.dedup();
            self.measure(&events, &again);
            for event in &events {
                let token = event.token();
                if token == MAIL || token == TIMER || self.sockets.readable(token) {
                    continue;
                }
                // It has its turn below.
                let comes_again = again.binary_search(&token.0).is_ok();
                self.guarded(token.0, |worker, connection| {
                    let ending = event.is_read_closed() || event.is_error();
                    if (ending || event.is_readable())
                        && let Some(socket) = connection.socket()
                    {
                        socket.readable(ending);
                    }
                    if comes_again {
                        return Fate::Keep;
                    }
                    worker.progress(connection)
                });
            }
            for slot in again {
                self.guarded(slot, |worker, connection| worker.progress(connection));
            }
            self.read_datagrams();
            self.take_mail();
            self.go_round();
            self.ring_alarms();
            self.ring_outbox();
            self.ring_relay();
            self.ring_resolving();
            self.carry_out();
            self.keep_house();
            if self.congestion.is_on() {
                self.congestion.end(Instant::now());
            }
            if self.shared.is_draining() && self.drained() {
                self.close_outbox();
                return;
            }
        }
    }

    /// Looks at how much there is to do in this turn, and tells when that is too much.
    fn measure(&mut self, events: &Events, again: &[usize]) {
        if !self.congestion.is_on() {
            return;
        }
        let connections = events.iter().filter(|event| {
            let token = event.token();
            token != MAIL
                && token != TIMER
                && again.binary_search(&token.0).is_err()
                && self.is_open(token.0)
        });
        let arriving = self.shared.arriving(self.number);
        let mail = self.mail.len().saturating_sub(arriving);
        let waiting = connections.count() + again.len() + mail;
        match self.congestion.begin(waiting, self.now) {
            None => {}
            Some(Change::Begun { waiting, percent }) => {
                self.shared.overloaded.fetch_add(1, Ordering::Relaxed);
                self.shared.counters.overloads.add(1);
                warn!(
                    "worker.overloaded worker={} waiting={waiting} percent={percent} new requests are answered 503",
                    self.number
                );
            }
            Some(Change::Ended { lasted }) => {
                self.shared.overloaded.fetch_sub(1, Ordering::Relaxed);
                info!(
                    "worker.recovered worker={} lasted_ms={}",
                    self.number,
                    lasted.as_millis()
                );
            }
        }
    }

    fn is_open(&self, slot: usize) -> bool {
        let connection = self.slots.get(slot).and_then(Option::as_ref);
        connection.is_some_and(|connection| matches!(connection.stage, Stage::Open(_)))
    }

    /// How long the poller may wait: not at all while something is left to do, else until its timer wakes it.
    fn patience(&mut self) -> Option<Duration> {
        let goes_round = self.round.next_turn(self.now) == Some(self.now);
        if !self.again.is_empty() || self.sockets.has_more() || goes_round {
            return Some(Duration::ZERO);
        }
        let alarms = [
            self.alarms.next(),
            self.outbox.next_deadline(),
            self.relay.next_deadline(),
            self.asking.next_deadline(),
            self.round.next_turn(self.now),
        ];
        let next = alarms.into_iter().flatten().min();
        let next = next.map_or(self.housekeeping, |at| {
            at.max(self.rung + BETWEEN_ALARMS).min(self.housekeeping)
        });
        let next = match self.drain {
            Drain::Until(Some(until)) => until.min(next),
            Drain::NotYet | Drain::Until(None) => next,
        };
        match self.timer.wake_at(next, self.now) {
            Ok(()) => None,
            // Without the timer the wait itself has to end in time.
            Err(error) => {
                error!("worker.timer worker={} error={error:?}", self.number);
                Some(next.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
            }
        }
    }

    /// Takes the newest snapshot, if there is one.
    fn refresh(&mut self) {
        if !Arc::ptr_eq(&self.snapshot, &self.shared.snapshot.load()) {
            self.snapshot = self.shared.snapshot.load_full();
            self.begin_round();
        }
        if self.round_is_asked_for() {
            self.begin_round();
        }
    }

    /// Runs a step of one connection: a panic ends that connection and nothing else.
    pub(super) fn guarded(
        &mut self,
        slot: usize,
        step: impl FnOnce(&mut Self, &mut Connection) -> Fate,
    ) {
        let Some(mut connection) = self.slots.get_mut(slot).and_then(Option::take) else {
            return;
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| step(self, &mut connection)));
        let fate = outcome.unwrap_or_else(|_| {
            error!(
                "worker.panicked conn={} peer={} the connection is given up",
                connection.id, connection.peer
            );
            // What the step had taken out is gone with it.
            self.scratch.resize(SCRATCH, 0);
            Fate::Drop("defect".to_owned())
        });
        let fate = match fate {
            Fate::Keep => self.watch(slot, &mut connection),
            ended => ended,
        };
        match fate {
            Fate::Keep => {}
            Fate::Finish(reason) => {
                self.say_closed(&connection, &reason);
                self.forget_flow(&mut connection);
                if !connection.linger(self.now) {
                    self.free.push(slot);
                    return;
                }
            }
            Fate::Drop(reason) => {
                self.say_closed(&connection, &reason);
                self.forget_flow(&mut connection);
                self.free.push(slot);
                return;
            }
        }
        self.arm(slot, &mut connection);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
    }

    /// Has the poller tell of what the connection waits for now.
    fn watch(&self, slot: usize, connection: &mut Connection) -> Fate {
        if let Some(socket) = connection.socket()
            && let Some(interest) = socket.change_of_interest()
            && let registry = self.poll.registry()
            && let Err(error) = registry.reregister(socket.source(), Token(slot), interest)
        {
            return Fate::Drop(error.to_string());
        }
        Fate::Keep
    }

    /// Makes sure that an alarm rings no later than the connection is due.
    fn arm(&mut self, slot: usize, connection: &mut Connection) {
        if let Some((due, _)) = self.due(connection)
            && let at = due.min(self.now + FARTHEST_ALARM)
            && connection.alarms.iter().all(|standing| *standing > at)
        {
            self.alarms.set(at, slot, connection.id);
            connection.alarms.push(at);
        }
    }

    /// When a connection is due, and by which limit: its certificate has one too.
    fn due(&self, connection: &Connection) -> Option<(Instant, Limit)> {
        let ends = self.end_of_identity(connection);
        let due = connection.due().into_iter().chain(ends);
        due.min_by_key(|(at, _)| *at)
    }

    fn forget_flow(&mut self, connection: &mut Connection) {
        let registered = std::mem::take(&mut connection.registered);
        self.shared
            .location
            .flow_closed(FlowId::Connection(connection.id), registered);
        self.close_flow(connection);
        self.forget_dial(connection);
        self.forget_alias(connection);
        self.flow_gone(FlowId::Connection(connection.id), connection.homes);
    }

    fn say_closed(&self, connection: &Connection, reason: &str) {
        if !matches!(connection.stage, Stage::Linger(_)) {
            debug!(
                "conn.closed conn={} peer={} reason={reason:?}",
                connection.id, connection.peer
            );
        }
    }

    fn take_mail(&mut self) {
        for _ in 0..MAILBOX {
            match self.mail.try_recv() {
                Ok(Mail::Arrival(arrival)) => self.arrive(*arrival),
                Ok(Mail::Answers(answered)) => self.take_answers(*answered),
                Ok(Mail::Send(posted)) => self.send_request(*posted),
                Ok(Mail::Journey(journey, flow)) => self.take_journey(journey, flow),
                Ok(Mail::Resolved(ticket, resolved)) => self.take_resolved(ticket, resolved),
                Ok(Mail::Departed(departed)) => self.departed(departed),
                Ok(Mail::Kept(relay, is_stored)) => self.take_kept(relay, is_stored),
                Ok(Mail::Octets(flow, octets)) => self.send_over(flow, octets),
                Ok(Mail::Response(response, flow)) => {
                    if !self.take_relayed(flow, 0, &response) {
                        self.take_response_datagram(flow, &response);
                    }
                }
                Ok(Mail::FlowGone(flow)) => {
                    self.relay.on_flow_closed(flow, self.now, &mut self.effects);
                }
                Ok(Mail::Rejudged(rejudged)) => self.take_rejudged(*rejudged),
                Ok(Mail::Inspect(inspection)) => self.inspect(&inspection),
                Ok(Mail::Close(closing)) => self.close(&closing),
                Err(_) => return,
            }
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        self.shared.has_arrived(self.number);
        self.shared.counters.accepted.add(1);
        let id = self.shared.connection_number(self.number);
        let slot = self.free_slot();
        let Ok(local) = arrival.stream.local_addr() else {
            // It has gone again already.
            return;
        };
        let mut socket = Socket::new(arrival.stream);
        let registered =
            self.poll
                .registry()
                .register(socket.source(), Token(slot), Interest::READABLE);
        if let Err(error) = registered {
            warn!("conn.lost peer={} error={error:?}", arrival.peer);
            self.free.push(slot);
            return;
        }
        let mut connection = Box::new(Connection::new(
            id,
            slot,
            arrival.listener,
            (arrival.peer, local),
            arrival.place,
            Stage::Changing,
            arrival.accepted,
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
        self.settle_in(connection);
    }

    /// A place for a connection, until [`Worker::settle_in`] or [`Worker::give_back`].
    pub(super) fn free_slot(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        })
    }

    /// Nothing came of it.
    pub(super) fn give_back(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// Where sockets are registered with the poller.
    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Puts a connection in its place, and begins with it.
    pub(super) fn settle_in(&mut self, connection: Box<Connection>) {
        let (id, slot) = (connection.id, connection.slot);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
        self.outbox.opened(id, slot);
        self.guarded(slot, |worker, connection| worker.progress(connection));
    }

    fn ring_alarms(&mut self) {
        while let Some((at, slot, id)) = self.alarms.ring(self.now) {
            self.rung = self.now;
            if self
                .slots
                .get(slot)
                .and_then(Option::as_ref)
                .is_none_or(|c| c.id != id)
            {
                continue;
            }
            self.guarded(slot, |worker, connection| {
                connection.alarms.retain(|standing| *standing != at);
                match worker.due(connection) {
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
            Limit::Identity => return self.identity_ends(connection),
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
        self.clock = Clock::now();
        self.look_for_a_round();
        if self.number == 0 {
            self.shared.free_retired();
            self.shared.location.sweep(self.now, SHARDS_A_SECOND);
            let suppressed = self.shared.limiter.take_suppressed();
            if suppressed > 0 {
                warn!("log.suppressed lines={suppressed} more of the same kind and source");
            }
            self.tell_statistics();
        }
        self.give_memory_back();
    }

    /// After a storm of connections or requests their memory goes back to the system; in steady traffic nothing is moved.
    fn give_memory_back(&mut self) {
        let mut is_over = self.relayed.is_over(self.relay.places());
        if self.number == 0 {
            is_over |= self
                .connections
                .is_over(self.shared.admission.connections());
        }
        if is_over {
            super::memory::give_back();
        }
    }

    /// repro: `StatisticsLogInterval`.
    fn tell_statistics(&mut self) {
        let interval = self.shared.options.statistics;
        if interval.is_zero() || self.now.saturating_duration_since(self.statistics) < interval {
            return;
        }
        self.statistics = self.now;
        info!("server.statistics {}", self.shared.statistics());
    }

    /// Closes what has nothing under way; true when nothing is left, or time is up.
    fn drained(&mut self) -> bool {
        let until = match self.drain {
            Drain::Until(until) => until,
            Drain::NotYet => {
                let patience = self.shared.options.deadlines.drain;
                let until = (!patience.is_zero()).then(|| self.now + patience);
                self.drain = Drain::Until(until);
                until
            }
        };
        if until.is_some_and(|until| self.now >= until) {
            return true;
        }
        self.sockets.all_readable();
        self.read_datagrams();
        self.carry_out();
        for slot in 0..self.slots.len() {
            self.guarded(slot, |worker, connection| {
                // What has arrived before the end is still answered, told of by the poller or not.
                if let Some(socket) = connection.socket() {
                    socket.readable(false);
                }
                match &connection.stage {
                    Stage::Linger(_) => return Fate::Keep,
                    Stage::Open(_) => match worker.progress(connection) {
                        Fate::Keep
                            if !connection.is_quiet() || worker.outbox.waits_for(connection.id) =>
                        {
                            return Fate::Keep;
                        }
                        Fate::Keep => {}
                        ended => return ended,
                    },
                    _ => return Fate::Drop("the server ends".to_owned()),
                }
                Fate::Finish("the server ends".to_owned())
            });
        }
        self.asked.is_empty() && self.slots.iter().all(Option::is_none)
    }
}

/// No alarm is set for later than this: it outlives its connection, and may do so for minutes but not for hours.
const FARTHEST_ALARM: Duration = Duration::from_secs(300);
/// Shards of the location service that are looked through each second; all of them in about half a minute.
const SHARDS_A_SECOND: usize = 4;
/// So many connections come and go without anything to be made of it.
const FEW_CONNECTIONS: usize = 100;
/// So much that is relayed, in [`Relay::places`].
const FEW_PLACES: usize = 4096;
