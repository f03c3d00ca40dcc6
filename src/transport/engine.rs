//! Starts and ends the threads: acceptors in front, workers behind them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::{Poll, Waker};

use super::acceptor::{self, Acceptor};
use super::handle::{EngineHandle, Registered};
use super::inspect::Observer;
use super::options::{EngineOptions, ListenerKind, ListenerOptions};
use super::shared::{Mailbox, Shared, Snapshot};
use super::sockets::{self, Bound};
use super::worker::{MAIL, MAILBOX, Worker};
use crate::registrar::Location;
use crate::resolve::Resolver;

/// Why a listener or a thread cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener cannot be opened.
    #[error("{setting}: cannot listen on {address}: {source}")]
    Listen {
        /// The setting that asks for it.
        setting: String,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread or no poller.
    #[error("cannot start the threads: {0}")]
    Threads(#[from] io::Error),
}

/// Opened listeners, in the order of the options; nothing is read or accepted yet.
#[derive(Debug)]
pub struct Listeners(Vec<Opened>);

#[derive(Debug)]
enum Opened {
    Stream(TcpListener),
    /// A socket for each worker.
    Datagrams(Vec<UdpSocket>),
}

impl Opened {
    fn new(options: &ListenerOptions, workers: NonZeroUsize) -> io::Result<Self> {
        match options.kind {
            ListenerKind::Udp { receive_buffer } => {
                sockets::bind(options.address, workers, receive_buffer).map(Self::Datagrams)
            }
            ListenerKind::Tcp | ListenerKind::Tls(_) => {
                acceptor::listen(options.address).map(Self::Stream)
            }
        }
    }

    fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Stream(listener) => listener.local_addr(),
            Self::Datagrams(sockets) => match sockets.first() {
                Some(socket) => socket.local_addr(),
                None => Err(io::ErrorKind::AddrNotAvailable.into()),
            },
        }
    }
}

impl Listeners {
    /// Opens all of them, for a server with this number of workers.
    ///
    /// # Errors
    /// Every listener that cannot be opened; then none is.
    pub fn open(options: &[ListenerOptions], workers: NonZeroUsize) -> Result<Self, Vec<Error>> {
        let mut errors = Vec::new();
        let mut listeners = Vec::with_capacity(options.len());
        for own in options {
            let ListenerOptions {
                address, setting, ..
            } = own;
            match Opened::new(own, workers) {
                Ok(listener) => listeners.push(listener),
                Err(source) => errors.push(Error::Listen {
                    setting: setting.clone(),
                    address: *address,
                    source,
                }),
            }
        }
        if errors.is_empty() {
            Ok(Self(listeners))
        } else {
            Err(errors)
        }
    }
}

/// How long the lookup pool may take to end once the workers have.
const LAST_JOBS: Duration = Duration::from_secs(2);

/// The running threads.
pub struct Engine {
    shared: Arc<Shared>,
    acceptors: Vec<Acceptor>,
    workers: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts workers, then acceptors. `registered` is told of registrations. The listeners were opened for as many
    /// workers as the options say.
    ///
    /// # Errors
    /// The system gives no thread or no poller.
    pub fn start(
        options: EngineOptions,
        listeners: Listeners,
        resolver: Resolver,
        snapshot: Snapshot,
        location: Location,
        registered: Option<Arc<dyn Registered>>,
    ) -> Result<Self, Error> {
        let mut polls = Vec::new();
        let mut mailboxes = Vec::new();
        for _ in 0..options.workers.get() {
            let poll = Poll::new()?;
            let (sender, mail) = crossbeam_channel::bounded(MAILBOX);
            mailboxes.push(Mailbox {
                sender,
                arriving: AtomicUsize::new(0),
                waker: Waker::new(poll.registry(), MAIL)?,
            });
            polls.push((poll, mail));
        }
        let addresses = listeners
            .0
            .iter()
            .map(Opened::address)
            .collect::<Result<_, _>>()?;
        let shared = Arc::new(Shared::new(
            options, snapshot, location, addresses, mailboxes, resolver, registered,
        ));
        let mut engine = Self {
            shared,
            acceptors: Vec::new(),
            workers: Vec::new(),
        };
        let mut streams = Vec::new();
        let mut sockets: Vec<Vec<Bound>> = polls.iter().map(|_| Vec::new()).collect();
        for (index, opened) in listeners.0.into_iter().enumerate() {
            match opened {
                Opened::Stream(listener) => streams.push((index, listener)),
                Opened::Datagrams(each) => {
                    for (own, socket) in sockets.iter_mut().zip(each) {
                        own.push(Bound::new(index, socket)?);
                    }
                }
            }
        }
        for (number, ((poll, mail), sockets)) in polls.into_iter().zip(sockets).enumerate() {
            let worker = Worker::new(number, Arc::clone(&engine.shared), poll, mail, sockets)?;
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            engine.workers.push(thread.spawn(move || worker.run())?);
        }
        for (index, listener) in streams {
            engine
                .acceptors
                .push(Acceptor::start(listener, index, &engine.shared)?);
        }
        Ok(engine)
    }

    /// Puts a new snapshot in the place of the one in force. Live connections are judged by it.
    pub fn replace(&self, snapshot: Snapshot) {
        self.shared.replace(snapshot);
    }

    /// Has workers judge again what is registered: something that checks ask has changed, and no snapshot with it.
    pub fn judge_again(&self) {
        self.shared.rounds.fetch_add(1, Ordering::Release);
        self.shared.wake_workers();
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// A way to the engine for other threads.
    pub fn handle(&self) -> EngineHandle {
        EngineHandle(Arc::clone(&self.shared))
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.shared.admission.connections()
    }

    /// What an operator may see and do, from any thread, until the engine has drained and after.
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.shared))
    }

    /// Accepts nothing any more, answers what has been received, closes everything, and ends the threads; no later than
    /// `DrainTimeout`. Answers with what has happened, as `name=count` words.
    pub fn drain(self) -> String {
        self.shared.drain();
        for acceptor in self.acceptors {
            acceptor.stop();
        }
        for worker in self.workers {
            if worker.join().is_err() {
                log::error!("worker.panicked a worker was gone before the stop");
            }
        }
        // Who asked for something has been told, and may be writing down what he heard.
        self.shared.lookups.finish(LAST_JOBS);
        self.shared.statistics()
    }
}
