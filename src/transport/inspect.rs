//! What an operator may see of the running engine, and do to one connection of it.
//!
//! Connections belong to their workers, so whoever wants to see them asks by mail. A worker answers with a part of its
//! connections at a time, small enough that no peer notices; the asker puts the parts together and waits, the worker
//! never does.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use super::connection::{Connection, Stage};
use super::shared::Shared;
use super::wire::Wire;
use super::worker::{Fate, Mail, Worker};
use crate::auth::{Identities, PeerCertificate, Transport};
use crate::registrar::FlowId;
use crate::tls::TlsSession;

/// Slots that a worker looks at for one part.
const SLOTS_A_PART: usize = 128;
/// Addresses-of-record that a worker looks up for one part, but for those of its last connection.
const LOOKUPS_A_PART: usize = 4096;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A PROXY header has to come first.
    ProxyHeader,
    /// Ours, and not open yet.
    Connecting,
    /// TLS handshake.
    Handshake,
    /// SIP.
    Open,
    /// All is said; the peer has a moment to read it.
    Closing,
}

impl State {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProxyHeader => "proxy-header",
            Self::Connecting => "connecting",
            Self::Handshake => "handshake",
            Self::Open => "open",
            Self::Closing => "closing",
        }
    }
}

/// One connection, as it was when its worker looked.
#[derive(Debug, Clone)]
pub struct ConnectionView {
    /// Its number: `conn` in the log.
    pub id: u64,
    /// Who; behind a PROXY header, the one in the header.
    pub peer: SocketAddr,
    /// The listener that it came in by.
    pub listener: SocketAddr,
    /// Whether we have opened it, toward another domain; then the listener is the one that it stands for.
    pub ours: bool,
    /// The worker that has it.
    pub worker: usize,
    /// How far it has come.
    pub state: State,
    /// Time since it was accepted.
    pub age: Duration,
    /// Time since something of the peer's was read.
    pub idle: Duration,
    /// What it speaks; `None` over plain TCP and before a handshake is done.
    pub tls: Option<TlsSession>,
    /// Whether its listener is one for TLS.
    pub is_tls: bool,
    /// The verified certificate of the peer.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The names in it that count.
    pub identities: Option<Arc<Identities>>,
    /// Octets of SIP read.
    pub octets_in: u64,
    /// Octets of SIP written.
    pub octets_out: u64,
    /// Octets that the peer has not taken yet.
    pub queued: usize,
    /// Addresses-of-record registered over it.
    pub registered: usize,
}

/// A question of an operator's: what comes at or behind this slot?
pub(crate) struct Inspection {
    from: usize,
    reply: Sender<Part>,
}

/// Some connections of one worker, and the slot to go on from.
pub(crate) struct Part {
    connections: Vec<ConnectionView>,
    next: Option<usize>,
}

/// An order of an operator's; answered with whether the connection was there.
pub(crate) struct Closing {
    connection: u64,
    reply: Sender<bool>,
}

/// A look at the engine from any thread.
#[derive(Clone)]
pub struct Observer(Arc<Shared>);

impl Observer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Listeners in their order, and what each speaks.
    pub fn listeners(&self) -> Vec<(SocketAddr, Transport)> {
        let snapshot = self.0.snapshot.load();
        let faces = &snapshot.policy.relay.faces;
        let listeners = self.0.listeners.iter().zip(faces);
        listeners
            .map(|(address, face)| (*address, face.transport))
            .collect()
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.0.admission.connections()
    }

    /// Addresses-of-record with a binding.
    pub fn aors(&self) -> usize {
        self.0.location.len()
    }

    /// Names and values of the counters.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.0.counters.values()
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        self.0.workers()
    }

    /// Workers that have too much to do.
    pub fn overloaded(&self) -> usize {
        self.0.overloaded.load(Ordering::Relaxed)
    }

    /// Whether the server is ending.
    pub fn is_draining(&self) -> bool {
        self.0.is_draining()
    }

    /// Number of the load in force.
    pub fn generation(&self) -> u64 {
        self.0.snapshot.load().generation
    }

    /// Shows every connection to `see`, until that has seen enough. Answers with the workers that did not answer within
    /// `patience`, each time anew: their connections, or some of them, were not seen.
    pub fn each_connection(
        &self,
        patience: Duration,
        mut see: impl FnMut(ConnectionView) -> ControlFlow<()>,
    ) -> Vec<usize> {
        let mut silent = Vec::new();
        for worker in 0..self.workers() {
            let mut next = Some(0);
            while let Some(from) = next {
                let (reply, part) = bounded(1);
                let asked = self
                    .0
                    .post(worker, Mail::Inspect(Inspection { from, reply }));
                let Some(part) = asked.ok().and_then(|()| part.recv_timeout(patience).ok()) else {
                    silent.push(worker);
                    break;
                };
                for connection in part.connections {
                    if see(connection).is_break() {
                        return silent;
                    }
                }
                next = part.next;
            }
        }
        silent
    }

    /// Closes a connection in order. True if it was there.
    ///
    /// # Errors
    /// The number of workers that did not answer within `patience`; the connection may be one of theirs.
    pub fn close(&self, connection: u64, patience: Duration) -> Result<bool, usize> {
        let (reply, found) = bounded(self.workers());
        let mut silent = 0;
        let mut asked = 0;
        for worker in 0..self.workers() {
            let reply = reply.clone();
            match self
                .0
                .post(worker, Mail::Close(Closing { connection, reply }))
            {
                Ok(()) => asked += 1,
                Err(_) => silent += 1,
            }
        }
        drop(reply);
        let deadline = Instant::now() + patience;
        for answered in 0..asked {
            match found.recv_deadline(deadline) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(_) => {
                    silent += asked - answered;
                    break;
                }
            }
        }
        if silent == 0 { Ok(false) } else { Err(silent) }
    }
}

impl Worker {
    /// Answers an operator with the next part of the connections.
    pub(super) fn inspect(&mut self, inspection: &Inspection) {
        let mut connections = Vec::new();
        let mut lookups = 0;
        let mut slot = inspection.from;
        let end = inspection
            .from
            .saturating_add(SLOTS_A_PART)
            .min(self.slots.len());
        while slot < end && lookups <= LOOKUPS_A_PART {
            if let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) {
                lookups += connection.registered.len();
                let flow = FlowId::Connection(connection.id);
                connection.keep_tied(|aor| self.shared.location.is_tied(flow, aor));
                if let Some(connection) = self.slots.get(slot).and_then(Option::as_ref) {
                    connections.push(self.view(connection));
                }
            }
            slot += 1;
        }
        let next = (slot < self.slots.len()).then_some(slot);
        // Nobody may be waiting any more.
        let _ = inspection.reply.try_send(Part { connections, next });
    }

    fn view(&self, connection: &Connection) -> ConnectionView {
        let (state, tls) = match &connection.stage {
            Stage::ProxyHeader(_) => (State::ProxyHeader, None),
            Stage::Handshake(_) | Stage::Proving(_) => (State::Handshake, None),
            Stage::Connecting(_) => (State::Connecting, None),
            Stage::Open(wire) => (State::Open, session(wire)),
            Stage::Linger(wire) => (State::Closing, session(wire)),
            Stage::Changing => (State::Closing, None),
        };
        let listener = connection.listener;
        ConnectionView {
            id: connection.id,
            peer: connection.peer,
            listener: self
                .shared
                .listeners
                .get(listener)
                .copied()
                .unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))),
            ours: connection.dial.is_some(),
            worker: self.number,
            state,
            age: self.now.saturating_duration_since(connection.accepted),
            idle: self.now.saturating_duration_since(connection.heard),
            tls,
            is_tls: self.snapshot.tls.get(listener).is_some_and(Option::is_some),
            certificate: connection
                .proof
                .as_ref()
                .map(|proof| Arc::clone(&proof.certificate)),
            identities: connection
                .proof
                .as_ref()
                .map(|proof| Arc::clone(&proof.identities)),
            octets_in: connection.octets_in,
            octets_out: connection.octets_out,
            queued: connection.queued(),
            registered: connection.registered.len(),
        }
    }

    /// Closes a connection if it is one of ours, and says whether it is.
    pub(super) fn close(&mut self, closing: &Closing) {
        let is_it = |place: &Option<Box<Connection>>| {
            place.as_ref().is_some_and(|c| c.id == closing.connection)
        };
        let slot = self.slots.iter().position(is_it);
        if let Some(slot) = slot {
            self.guarded(slot, |_, connection| {
                let reason = "closed by the operator".to_owned();
                match connection.stage {
                    Stage::Linger(_) => Fate::Drop(reason),
                    _ => Fate::Finish(reason),
                }
            });
        }
        let _ = closing.reply.try_send(slot.is_some());
    }
}

fn session(wire: &Wire) -> Option<TlsSession> {
    match wire {
        Wire::Plain(_) => None,
        Wire::Tls(stream) => Some(stream.session()),
    }
}
