//! What an operator may decide about DNS.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::TransportKind;

/// Which transports we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transports {
    /// UDP.
    pub udp: bool,
    /// TCP.
    pub tcp: bool,
    /// TLS.
    pub tls: bool,
}

impl Transports {
    /// Whether we speak this one.
    pub fn has(self, kind: TransportKind) -> bool {
        match kind {
            TransportKind::Udp => self.udp,
            TransportKind::Tcp => self.tcp,
            TransportKind::Tls => self.tls,
        }
    }
}

/// Settings of the resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverOptions {
    /// repro: `DNSServers`: whom to ask, in this order; empty for those of the system.
    pub servers: Vec<SocketAddr>,
    /// Ours: `DNSTimeout`: longest time for one URI, all its questions together.
    pub timeout: Duration,
    /// Ours: `DNSAttempts`: how often each server is asked one question.
    pub attempts: u32,
    /// Ours: `DNSCacheSize`: answers remembered.
    pub cache: NonZeroUsize,
    /// An answer is remembered for this long at least, whatever it says: a storm of requests to one name must not become
    /// a storm of questions. No setting.
    pub min_ttl: Duration,
    /// Ours: `DNSMaximumTTL`: and for this long at most.
    pub max_ttl: Duration,
    /// Ours: `DNSNegativeTTL`: how long it is remembered at most that there is nothing (RFC 2308 §5).
    pub negative_ttl: Duration,
    /// repro: `DNSGreylistDuration`: how long a destination that failed is tried last; zero for not at all.
    pub greylist: Duration,
    /// What we speak: other services of a domain are passed over.
    pub transports: Transports,
    /// repro: not `DisableIPv4`.
    pub ipv4: bool,
    /// repro: `EnableIPv6`.
    pub ipv6: bool,
    /// Where the draw among weighted servers begins (RFC 2782); `None` for a place that nobody can guess. A number makes
    /// draws repeatable, for tests.
    pub seed: Option<u64>,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            attempts: 2,
            cache: NonZeroUsize::new(4096).unwrap_or(NonZeroUsize::MIN),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(86_400),
            negative_ttl: Duration::from_secs(60),
            greylist: Duration::from_secs(1800),
            transports: Transports {
                udp: true,
                tcp: true,
                tls: true,
            },
            ipv4: true,
            ipv6: true,
            seed: None,
        }
    }
}

impl ResolverOptions {
    /// Whether something can be sent to this address: its family is switched on, and it is an address of one host.
    pub(super) fn has_family(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.ipv4,
            IpAddr::V6(_) => self.ipv6,
        }
    }
}
