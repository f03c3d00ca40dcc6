//! Why nothing was found, and what the peer is told of it.

use super::Destination;
use crate::sip::StatusCode;

/// Destinations in the order in which they are to be tried: never none, and few.
pub type Resolved = Result<Vec<Destination>, ResolveError>;

/// Why a URI leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ResolveError {
    /// The name servers know no such name.
    #[error("the domain does not exist in DNS")]
    NoSuchDomain,
    /// The name has no record that leads anywhere.
    #[error(
        "the domain has no server for SIP over a transport that we speak: no SRV, A or AAAA record that can be used"
    )]
    NoRecords,
    /// The URI names no host that can be asked for, an address that is not of one host, or port 0.
    #[error("the host or the port of the URI is none that anything can be sent to")]
    BadHost,
    /// The URI asks for a transport, or its address is of a family, that we do not speak.
    #[error("the URI asks for a transport or an address family that is not switched on here")]
    NoTransport,
    /// No answer in time.
    #[error(
        "no name server answered in time; see DNSServers and DNSTimeout, and whether one of them is reachable"
    )]
    Timeout,
    /// The name servers could not find out, for one reason or another.
    #[error(
        "the name servers failed (SERVFAIL); the domain's own name servers may be out of order"
    )]
    ServerFailure,
    /// The name servers do not want to answer us.
    #[error("the name servers refuse to answer us; see DNSServers")]
    Refused,
    /// There is nobody to ask.
    #[error("no name server can be reached; see DNSServers, or the system's resolv.conf")]
    NoServer,
    /// An answer came that is none.
    #[error("a name server's answer is broken")]
    BadAnswer,
}

impl ResolveError {
    /// Whether it is known that there is nothing, rather than unknown what there is.
    pub fn is_absence(self) -> bool {
        matches!(self, Self::NoSuchDomain | Self::NoRecords)
    }

    /// What the branch of a request is answered with, as repro does: 408 when time ran out, else 503.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// repro's reason phrase for it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "DNS Timeout",
            Self::NoTransport => "No matching transport found",
            _ => "No DNS results",
        }
    }
}

/// Why there is no resolver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The library does not start: no thread, no memory, an unreadable resolv.conf.
    #[error("resolve: the DNS library does not start: {0}")]
    Library(c_ares::Error),
    /// It does not take the servers.
    #[error("resolve: the DNS library does not take DNSServers {servers}: {error}")]
    Servers {
        /// As given to it.
        servers: String,
        /// What it says.
        error: c_ares::Error,
    },
}
