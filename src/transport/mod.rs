//! Sockets and threads: RFC 3261 §18. Acceptors, workers, connections, the lookup pool.
//!
//! An acceptor blocks in `accept`, a worker in its poller, a lookup thread in its question; nobody blocks on a peer.
//! A connection belongs to one worker, which alone reads and writes it, so that no lock is taken on its way.

mod acceptor;
mod admission;
mod again;
mod alias;
mod arrivals;
mod audit;
mod congestion;
mod connection;
mod datagram;
mod deadline;
mod dial;
mod dispatch;
mod engine;
mod exchange;
mod handle;
mod inspect;
mod journey;
mod limiter;
mod lookup;
mod memory;
mod opening;
mod options;
mod origin;
mod outbox;
mod outgoing;
#[cfg(test)]
mod outgoing_tests;
mod places;
mod proxy_protocol;
mod questions;
mod resolving;
mod shared;
mod socket;
mod sockets;
mod stun;
mod tags;
mod timer;
mod wire;
mod worker;

pub use congestion::{CongestionMetric, CongestionOptions};
pub use engine::{Engine, Error, Listeners};
pub use handle::{EngineHandle, Registered, RegistrationEvent};
pub use inspect::{ConnectionView, Observer, State};
pub use lookup::PoolIsFull;
pub(crate) use memory::give_back;
pub use options::{Deadlines, EngineOptions, ListenerKind, ListenerOptions, OutgoingOptions};
pub use outgoing::{Delivered, NotSent, Outgoing, Undelivered, Unsendable};
pub use shared::{Counter, Counters, Snapshot};
