//! What acceptors, workers and the lookup pool share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, TrySendError};

use super::admission::{Admission, AdmissionLimits};
use super::alias::Aliases;
use super::arrivals::Arrivals;
use super::dial::Dialled;
use super::handle::Registered;
use super::limiter::Limiter;
use super::lookup::LookupPool;
use super::options::EngineOptions;
use super::places::Places;
use super::resolving::Resolving;
use super::worker::{Answered, Arrival, Mail};
use crate::proxy::Policy;
use crate::registrar::{FlowId, Location};
use crate::resolve::Resolver;
use crate::tls::{ClientContext, ServerContext};

/// Everything that a reload replaces, as one value: no request ever sees half of the old and half of the new.
pub struct Snapshot {
    /// Counts what was put in force: 1 is the start, each reload and each change of the store is one more.
    pub generation: u64,
    /// Rules and settings of the pure rooms.
    pub policy: Arc<Policy>,
    /// TLS of each listener, by its number; `None` for plain TCP. A change of the store leaves it as it is, so that
    /// sessions can still be resumed.
    pub tls: Arc<Vec<Option<ServerContext>>>,
    /// TLS of connections that we open.
    pub client_role: Arc<ClientContext>,
}

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident: $doc:literal;)*) => {
        /// What has happened since the start.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $doc] pub $name: Counter,)*
        }

        impl Counters {
            /// Names and values, for the log.
            pub fn values(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.value()),)*]
            }
        }
    };
}

counters! {
    accepted: "Connections handed to a worker.";
    accept_refused: "Connections closed by a limit before anything was read.";
    accept_errors: "Failed `accept` calls.";
    datagrams: "UDP datagrams read.";
    datagrams_dropped: "Those of them that were no SIP, no STUN and no keep-alive.";
    datagrams_unsent: "UDP datagrams that the system did not take.";
    handshakes: "TLS handshakes that were completed.";
    handshakes_resumed: "Those of them that resumed a session.";
    handshakes_refused: "TLS handshakes that failed.";
    requests: "Well-formed requests that were answered.";
    relayed: "Requests sent on.";
    dialled: "Connections that we have begun to open.";
    servers_refused: "TLS handshakes of ours that failed.";
    responses_dropped: "Responses that belong to no transaction of ours.";
    refused: "Requests refused by admission.";
    challenged: "Requests whose sender was asked for a password.";
    malformed: "Messages that broke the grammar.";
    identities_lost: "Live connections whose certificate is not accepted any more.";
    timeouts: "Connections closed by a deadline.";
    slow_receivers: "Connections closed because the peer took too little.";
    overloads: "Times that a worker had too much to do.";
    overload_refused: "Requests answered 503 because of that.";
    lookups_refused: "Requests answered 503, or a way given up, because the lookup pool was full.";
    requests_sent: "Requests of our own that were sent.";
    requests_failed: "Requests of our own that were not answered, or not sent.";
}

/// State of the engine.
pub(crate) struct Shared {
    pub(crate) options: EngineOptions,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Those of before, until nobody uses them any more.
    retired: Mutex<Vec<Arc<Snapshot>>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) location: Location,
    pub(crate) lookups: LookupPool,
    /// Where URIs lead.
    pub(crate) resolver: Resolver,
    /// Requests that wait for it.
    pub(crate) resolving: Resolving,
    /// Connections that we have opened.
    pub(crate) dialled: Dialled,
    /// Connections of peers that requests toward them may take.
    pub(crate) aliases: Aliases,
    /// Places for requests of our own.
    pub(crate) outgoing: Arc<Places>,
    /// Who is told of registrations.
    pub(crate) registered: Option<Arc<dyn Registered>>,
    pub(crate) limiter: Limiter,
    /// How often it was asked for that what is registered be judged again, though no snapshot is new.
    pub(crate) rounds: AtomicU64,
    /// Workers that have too much to do.
    pub(crate) overloaded: AtomicUsize,
    pub(crate) counters: Counters,
    pub(crate) arrivals: Arrivals,
    pub(crate) listeners: Vec<SocketAddr>,
    mailboxes: Vec<Mailbox>,
    next_worker: AtomicUsize,
    next_connection: AtomicU64,
    draining: AtomicBool,
}

/// The way to one worker.
pub(crate) struct Mailbox {
    pub(crate) sender: Sender<Mail>,
    /// Pieces of its mail that are new connections.
    pub(crate) arriving: AtomicUsize,
    pub(crate) waker: mio::Waker,
}

/// The mail has not been taken; it is given back.
pub(crate) struct NotTaken(pub(crate) Box<Mail>);

impl Shared {
    pub(crate) fn new(
        options: EngineOptions,
        snapshot: Snapshot,
        location: Location,
        listeners: Vec<SocketAddr>,
        mailboxes: Vec<Mailbox>,
        resolver: Resolver,
        registered: Option<Arc<dyn Registered>>,
    ) -> Self {
        let limits = AdmissionLimits {
            total: options.max_connections,
            per_source: options.max_connections_per_source,
            handshakes: options.max_handshakes,
            exempt: options.exempt.clone(),
        };
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            retired: Mutex::default(),
            admission: Admission::new(limits),
            location,
            resolver,
            dialled: Dialled::default(),
            aliases: Aliases::default(),
            lookups: LookupPool::new(
                "lookup",
                options.lookup_threads.get(),
                options.max_pending_lookups,
            ),
            resolving: Resolving::new(options.max_pending_lookups),
            outgoing: Places::new(options.outgoing.transactions.max_transactions.get()),
            registered,
            rounds: AtomicU64::new(0),
            limiter: Limiter::new(Instant::now()),
            overloaded: AtomicUsize::new(0),
            counters: Counters::default(),
            arrivals: Arrivals::default(),
            listeners,
            mailboxes,
            next_worker: AtomicUsize::new(0),
            next_connection: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            options,
        }
    }

    /// Puts a snapshot in the place of the one in force.
    ///
    /// Whoever has a snapshot last frees it, and 100,000 mappings take their time. So that this is no worker, the old one is
    /// held here until nobody else has it.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        let before = self.snapshot.swap(Arc::new(snapshot));
        self.retired().push(before);
        self.wake_workers();
    }

    /// Frees snapshots that nobody uses any more, on the lookup pool.
    pub(crate) fn free_retired(&self) {
        let is_free = |old: &Arc<Snapshot>| {
            Arc::strong_count(old) == 1 && Arc::strong_count(&old.policy) == 1
        };
        let mut retired = self.retired();
        if !retired.iter().any(is_free) {
            return;
        }
        let Some(place) = self.lookups.place() else {
            return;
        };
        let (free, used): (Vec<_>, _) = retired.drain(..).partition(is_free);
        *retired = used;
        self.lookups.run(place, move || drop(free));
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Arc<Snapshot>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives new connections to the workers in turn.
    pub(crate) fn post_to_next(&self, arrival: Box<Arrival>) -> Result<(), NotTaken> {
        let next = self.next_worker.fetch_add(1, Ordering::Relaxed) % self.mailboxes.len().max(1);
        let count = self.mailboxes.get(next).map(|mailbox| &mailbox.arriving);
        count.map(|count| count.fetch_add(1, Ordering::Relaxed));
        self.post(next, Mail::Arrival(arrival)).inspect_err(|_| {
            count.map(|count| count.fetch_sub(1, Ordering::Relaxed));
        })
    }

    /// A worker takes a new connection out of its mail.
    pub(crate) fn has_arrived(&self, worker: usize) {
        if let Some(mailbox) = self.mailboxes.get(worker) {
            mailbox.arriving.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// New connections in the mail of a worker.
    pub(crate) fn arriving(&self, worker: usize) -> usize {
        let mailbox = self.mailboxes.get(worker);
        mailbox.map_or(0, |mailbox| mailbox.arriving.load(Ordering::Relaxed))
    }

    /// Gives mail to one worker.
    pub(crate) fn post(&self, worker: usize, mail: Mail) -> Result<(), NotTaken> {
        let Some(mailbox) = self.mailboxes.get(worker) else {
            return Err(NotTaken(Box::new(mail)));
        };
        match mailbox.sender.try_send(mail) {
            Ok(()) => {}
            Err(TrySendError::Full(mail) | TrySendError::Disconnected(mail)) => {
                return Err(NotTaken(Box::new(mail)));
            }
        }
        if let Err(error) = mailbox.waker.wake() {
            log::error!("worker.wake worker={worker} error={error:?}");
        }
        Ok(())
    }

    /// Gives answers to the worker that asked, and waits for room: only for lookup threads, whose number is bounded.
    pub(crate) fn post_answers(&self, worker: usize, answered: Answered) {
        self.post_waiting(worker, Mail::Answers(Box::new(answered)));
    }

    /// The same for any mail.
    pub(crate) fn post_waiting(&self, worker: usize, mail: Mail) {
        if let Some(mailbox) = self.mailboxes.get(worker) {
            // The worker is gone only when the server ends; then nobody waits for the answers.
            let _ = mailbox.sender.send(mail);
            let _ = mailbox.waker.wake();
        }
    }

    /// A number that no other connection has had, for one of this worker: [`Shared::worker_of`] reads it back.
    pub(crate) fn connection_number(&self, worker: usize) -> u64 {
        let count = self.next_connection.fetch_add(1, Ordering::Relaxed);
        count * self.stride() + worker as u64
    }

    /// The worker that has, or had, this connection; for datagrams any would do.
    pub(crate) fn worker_of(&self, flow: FlowId) -> usize {
        match flow {
            FlowId::Connection(number) => {
                usize::try_from(number % self.stride()).unwrap_or_default()
            }
            FlowId::Datagram { .. } => 0,
        }
    }

    /// What connection numbers are counted by.
    fn stride(&self) -> u64 {
        self.mailboxes.len().max(1) as u64
    }

    /// Number of workers.
    pub(crate) fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// What has happened so far, for the log.
    pub(crate) fn statistics(&self) -> String {
        let counts = self.counters.values();
        let counts: String = counts
            .iter()
            .map(|(name, count)| format!(" {name}={count}"))
            .collect();
        let (connections, aors) = (self.admission.connections(), self.location.len());
        format!("connections={connections} aors={aors}{counts}")
    }

    /// Whether the server is ending.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Lets every thread know that the server is ending.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.wake_workers();
    }

    /// Makes every worker look around.
    pub(crate) fn wake_workers(&self) {
        for (number, mailbox) in self.mailboxes.iter().enumerate() {
            if let Err(error) = mailbox.waker.wake() {
                log::error!("worker.wake worker={number} error={error:?}");
            }
        }
    }
}
