//! What a relay has to know of the server around it.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::auth::{Epoch, Sealer, Transport};
use crate::proxy::fork_effect::ForkOptions;
use crate::sip::SipUri;

/// Settings and secrets, as one value that a request keeps while it is under way.
#[derive(Debug)]
pub struct RelayPolicy {
    /// The listeners, by their numbers, as they write themselves into messages.
    pub faces: Vec<Face>,
    /// How the targets of a request are tried.
    pub fork: ForkOptions,
    /// Whether our Via asks for `rport` (RFC 3581). repro: `AddViaRport`.
    pub add_via_rport: bool,
    /// What this process knows its own by.
    pub keys: RelayKeys,
}

impl RelayPolicy {
    /// The first listener for this transport that has addresses of the same family as `peer`: what a connection to there
    /// stands for.
    pub fn listener_for(&self, transport: Transport, peer: IpAddr) -> Option<usize> {
        let is_for = |face: &Face| {
            let unspecified = face.address.ip().is_unspecified() && face.address.is_ipv6();
            face.transport == transport
                && (unspecified || face.address.is_ipv4() == peer.to_canonical().is_ipv4())
        };
        self.faces.iter().position(is_for)
    }
}

/// What a process knows its own messages by. Made once, and kept over reloads.
#[derive(Debug, Clone)]
pub struct RelayKeys {
    /// What the tokens in our Record-Route are sealed with.
    pub sealer: Arc<Sealer>,
    /// The process that connections got their numbers from.
    pub epoch: Epoch,
    /// What loops are found by (RFC 5393 §4.2).
    pub loops: RandomState,
}

impl RelayKeys {
    /// Those of the process that `loops` is the random state of, with tokens sealed by `sealer`.
    pub fn new(sealer: Sealer, loops: RandomState) -> Self {
        let number = loops.hash_one(());
        Self {
            sealer: Arc::new(sealer),
            epoch: Epoch::new(u32::try_from(number >> 32).unwrap_or_default()),
            loops,
        }
    }
}

/// One listener, as Via and Record-Route name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// What it speaks.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
    /// What requests that pass it record.
    pub record_route: RecordRoute,
}

/// The Record-Route URI of a listener, without its user part, which is a token (RFC 3261 §16.6 step 4).
///
/// repro: `Transport<N>RecordRouteUri`, `RecordRouteUri`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRoute {
    /// Host and port, if written; `None` stands for our end of the connection.
    pub host: Option<Box<str>>,
    /// URI parameters with their semicolons; `lr` is not among them.
    pub parameters: Box<str>,
}

impl RecordRoute {
    /// What an operator has configured.
    pub fn of(uri: &SipUri<'_>) -> Self {
        let host = match uri.port {
            Some(port) => format!("{}:{port}", uri.host),
            None => uri.host.to_string(),
        };
        let parameters: Vec<u8> = uri
            .parameters
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case(b"lr"))
            .flat_map(|(name, value)| {
                let value = value.map(|value| [b"=", value].concat());
                [b";", name, &value.unwrap_or_default()].concat()
            })
            .collect();
        Self {
            host: Some(host.into()),
            parameters: String::from_utf8_lossy(&parameters).into(),
        }
    }

    /// repro: `auto`: the name that our certificate is for, or our end of the connection.
    pub fn automatic(name: Option<&str>, port: u16, transport: Transport) -> Self {
        Self {
            host: name.map(|name| format!("{name}:{port}").into()),
            parameters: match transport {
                Transport::Tls => ";transport=tls",
                Transport::Udp => ";transport=udp",
                _ => ";transport=tcp",
            }
            .into(),
        }
    }
}

impl Face {
    /// Host, port and parameters of its Record-Route URI, for a connection whose end on our side is `local`.
    pub(super) fn route(&self, local: IpAddr) -> (String, &str) {
        let host = match &self.record_route.host {
            Some(host) => host.to_string(),
            None => SocketAddr::new(local.to_canonical(), self.address.port()).to_string(),
        };
        (host, &self.record_route.parameters)
    }
}
