//! Sockets and threads: RFC 3261 §18. Acceptors, workers, connections, the lookup pool.

mod options;

pub use options::{Deadlines, EngineOptions, ListenerOptions, StreamKind};
