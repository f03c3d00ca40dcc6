//! Whom a message came from: a connection, or who sent a datagram. What both have in common for the proxy core and the log.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::connection::{Connection, Stage};
use super::shared::{Shared, Snapshot};
use super::wire::Wire;
use crate::auth::{Peer, Transport};
use crate::proxy::{Context, Load};
use crate::registrar::FlowId;

/// Whom a message came from, and the way back.
pub(super) enum Origin<'o> {
    Connection(&'o mut Connection),
    Datagram(&'o Datagram),
}

/// A datagram that brought a message, without its octets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram {
    /// Number of the listener that it came through.
    pub(super) listener: u16,
    /// Our end.
    pub(super) local: IpAddr,
    /// Who sent it, or somebody who writes his address on it.
    pub(super) source: SocketAddr,
    /// Where its answers go, and requests to whom it registers.
    pub(super) answers_to: SocketAddr,
    /// What its request has in common with a retransmission of it, its CANCEL and its ACK, as a number that nobody can guess.
    pub(super) mark: u64,
    /// The same, with its method.
    pub(super) question: u64,
}

/// The number of a connection in a log line, or `udp`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name(Option<u64>);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("udp"),
        }
    }
}

impl Name {
    /// Of whatever comes as a datagram.
    pub(super) const UDP: Self = Self(None);

    pub(super) fn of(connection: &Connection) -> Self {
        Self(Some(connection.id))
    }

    /// Of a number that no connection has.
    pub(super) fn own(number: u64) -> Self {
        Self(Some(number))
    }
}

impl Datagram {
    /// Where requests can be sent back.
    pub(super) fn flow(&self) -> FlowId {
        FlowId::Datagram {
            listener: self.listener,
            peer: self.answers_to,
        }
    }
}

impl Origin<'_> {
    /// What `conn=` says in a log line.
    pub(super) fn name(&self) -> Name {
        match self {
            Self::Connection(connection) => Name::of(connection),
            Self::Datagram(_) => Name::UDP,
        }
    }

    /// Who sends.
    pub(super) fn peer(&self) -> SocketAddr {
        match self {
            Self::Connection(connection) => connection.peer,
            Self::Datagram(datagram) => datagram.source,
        }
    }

    /// Whether it is a peer whose certificate counts for nothing any more, on a connection that stays for what is under way.
    pub(super) fn has_lost_its_identity(&self) -> bool {
        match self {
            Self::Connection(connection) => connection.footing.is_lost && connection.dial.is_none(),
            Self::Datagram(_) => false,
        }
    }

    /// The way back.
    pub(super) fn flow(&self) -> FlowId {
        match self {
            Self::Connection(connection) => FlowId::Connection(connection.id),
            Self::Datagram(datagram) => datagram.flow(),
        }
    }

    /// The peer's names, for a log line.
    pub(super) fn names(&self) -> String {
        match self {
            Self::Connection(connection) => connection.names(),
            Self::Datagram(_) => "subject=none".to_owned(),
        }
    }

    /// Over what it comes.
    pub(super) fn transport(&self) -> Transport {
        match self {
            Self::Connection(connection) => peer_of(connection).transport,
            Self::Datagram(_) => Transport::Udp,
        }
    }

    /// What a message of its meets.
    pub(super) fn context<'c>(
        &'c self,
        snapshot: &'c Snapshot,
        shared: &'c Shared,
        now: Instant,
        to_tag: &'c str,
    ) -> Context<'c> {
        let (peer, listener, local) = match self {
            Self::Connection(connection) => (
                peer_of(connection),
                connection.listener,
                connection.local.ip(),
            ),
            // Whoever sends a datagram proves nothing by it, not even his address.
            Self::Datagram(datagram) => (
                Peer {
                    transport: Transport::Udp,
                    source: datagram.source,
                    identities: None,
                },
                usize::from(datagram.listener),
                datagram.local,
            ),
        };
        Context {
            policy: &snapshot.policy,
            location: &shared.location,
            peer,
            flow: self.flow(),
            listener,
            local,
            name_reached: shared.registered.is_some(),
            now,
            arrived: shared.arrivals.next(),
            load: Load::Normal,
            to_tag,
        }
    }
}

pub(super) fn peer_of(connection: &Connection) -> Peer<'_> {
    let secure = matches!(connection.stage, Stage::Open(Wire::Tls(_)));
    Peer {
        transport: if secure {
            Transport::Tls
        } else {
            Transport::Tcp
        },
        source: connection.peer,
        // Whom we have asked for has proved to be that for what we send; it is let in as whoever connects to us.
        identities: match &connection.dial {
            None => connection.proof.as_ref().map(|p| &*p.identities),
            Some(_) => None,
        },
    }
}
