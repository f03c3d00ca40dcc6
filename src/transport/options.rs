//! What an operator may decide about listeners, threads and limits.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::congestion::CongestionOptions;
use crate::auth::{IpNetwork, Transport};
use crate::sip::FrameLimits;
use crate::tls::ListenerTls;
use crate::transaction::TransactionOptions;

/// What a listener speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerKind {
    /// SIP over UDP.
    Udp {
        /// repro: `Transport<N>RcvBufLen`: octets that the system holds for each of its sockets; `None` for the usual
        /// ones.
        receive_buffer: Option<NonZeroUsize>,
    },
    /// SIP over TCP.
    Tcp,
    /// SIP over TLS.
    Tls(ListenerTls),
}

impl ListenerKind {
    /// TLS settings of a TLS listener.
    pub fn tls(&self) -> Option<&ListenerTls> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Udp { .. } | Self::Tcp => None,
        }
    }

    /// Octets that the system holds for each socket, if that is set.
    pub fn receive_buffer(&self) -> Option<NonZeroUsize> {
        match self {
            Self::Udp { receive_buffer } => *receive_buffer,
            Self::Tcp | Self::Tls(_) => None,
        }
    }

    /// What requests come over.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Udp { .. } => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Tls(_) => Transport::Tls,
        }
    }

    /// The word for it in a URI's transport parameter, and in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Udp { .. } => "udp",
            Self::Tcp => "tcp",
            Self::Tls(_) => "tls",
        }
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub kind: ListenerKind,
    /// The setting it came from, for messages: `TLSPort`, `Transport3Interface`.
    pub setting: String,
}

/// How long a peer may take. Zero switches a deadline off, with a warning at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    /// Ours: `HandshakeTimeout`: from accept to the end of the handshake, PROXY header included.
    pub handshake: Duration,
    /// Ours: `ConnectTimeout`: from the first packet of a connection that we open to the end of its handshake.
    pub connect: Duration,
    /// Ours: `FirstMessageTimeout`: from the handshake to the first whole message.
    pub first_message: Duration,
    /// Ours: `PartialMessageTimeout`: from a message's first octet to its last.
    pub partial_message: Duration,
    /// Ours: `IdleTimeout`, or repro's `TCPConnectionGCAge`: without a whole message or keep-alive.
    pub idle: Duration,
    /// Ours: `WriteTimeout`: with octets queued that the peer does not take.
    pub write: Duration,
    /// Ours: `DrainTimeout`: from SIGTERM to the end.
    pub drain: Duration,
}

/// Requests of the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutgoingOptions {
    /// Timers, and how many requests may be under way at a time in the whole server, those counted that wait for their
    /// worker, and those whose asker has not been told yet.
    pub transactions: TransactionOptions,
    /// How many may be under way over one connection.
    pub per_connection: usize,
}

impl Default for OutgoingOptions {
    fn default() -> Self {
        let most = NonZeroUsize::new(4096).unwrap_or(NonZeroUsize::MIN);
        Self {
            transactions: TransactionOptions {
                max_transactions: most,
                ..TransactionOptions::default()
            },
            per_connection: 16,
        }
    }
}

/// Settings of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Ours: `WorkerThreads`; 0 in the file means one per core, resolved here.
    pub workers: NonZeroUsize,
    /// repro: `NumAuthGrabberWorkerThreads`.
    pub lookup_threads: NonZeroUsize,
    /// Ours: `MaximumPendingLookups`: questions waiting or being answered; beyond it 503.
    pub max_pending_lookups: usize,
    /// Ours: `MaximumConnections`.
    pub max_connections: usize,
    /// Ours: `MaximumConnectionsPerSource`.
    pub max_connections_per_source: usize,
    /// Ours: `MaximumHandshakes`: half-open handshakes at a time.
    pub max_handshakes: usize,
    /// Ours: `ConnectionLimitExempt`: sources that the per-source limit does not hold for.
    pub exempt: Vec<IpNetwork>,
    /// Ours: `ProxyProtocolSources`: peers that must send a PROXY header before anything else.
    pub proxy_sources: Vec<IpNetwork>,
    /// Ours: `MaximumQueuedBytes`: octets queued toward one peer; beyond it the connection is closed.
    pub max_queued_bytes: usize,
    /// repro: `CongestionManagement`: when there is too much to do; `None` never refuses.
    pub congestion: Option<CongestionOptions>,
    /// Requests that are relayed.
    pub transactions: TransactionOptions,
    /// Requests of the server's own; no setting yet.
    pub outgoing: OutgoingOptions,
    /// repro: `StatisticsLogInterval`; zero tells none.
    pub statistics: Duration,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Ours: `MaximumHeaderBytes`, `MaximumHeaderFields`; repro: `StreamMessageSizeLimit`.
    pub limits: FrameLimits,
}
