//! A request on its way out: written once it is known by which connection it leaves.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::options::{Face, RelayPolicy};
use super::record::Recording;
use super::table::RelayId;
use crate::auth::{IdentityDigest, Transport};
use crate::proxy::draft::{Draft, OwnVia};
use crate::proxy::fork_effect::{BranchNumber, Failure};
use crate::proxy::policy::Policy;
use crate::registrar::FlowId;
use crate::sip::{Host, SipUri, write_ip, write_number};

/// Port of a SIP URI that names none (RFC 3261 §19.1.2).
const DEFAULT_PORT: u16 = 5060;

/// Where a request may go next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// Over this flow, if it is still there.
    Flow(FlowId),
    /// To where this URI leads (RFC 3263); its host is the name that the other side has to prove (RFC 5922 §7.2).
    Uri(Box<str>),
    /// To these, where the same URI leads: those before them have been tried.
    Places {
        /// The URI.
        uri: Box<str>,
        /// What is left of the places that it leads to.
        places: Vec<Place>,
    },
}

/// A place that a URI leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Address and port.
    pub address: SocketAddr,
    /// What is spoken there.
    pub transport: Transport,
}

/// The way that a request leaves by.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The flow.
    pub flow: FlowId,
    /// The listener that it came through, or that we stand for when we have opened it ourselves.
    pub listener: usize,
    /// Our end of it.
    pub local: IpAddr,
    /// Whether the other end is the server of a domain.
    pub of_domain: bool,
    /// What the other end has proved, if anything.
    pub identity: Option<IdentityDigest>,
    /// What it leaves in place of, where it is too large for a datagram.
    pub in_place_of: Option<Datagrams>,
}

/// The way of datagrams to one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagrams {
    /// Number of the listener that they leave by.
    pub listener: u16,
    /// Where to.
    pub peer: SocketAddr,
}

impl Datagrams {
    /// As a flow.
    pub fn flow(self) -> FlowId {
        let Self { listener, peer } = self;
        FlowId::Datagram { listener, peer }
    }
}

impl Exit {
    /// The flow and the listener by which the other end is reached and reaches us in what follows. One large request over
    /// TCP changes nothing of that (RFC 3261 §18.1.1): the rest goes as datagrams.
    pub(super) fn lasting(&self) -> (FlowId, usize) {
        match self.in_place_of {
            Some(datagrams) => (datagrams.flow(), datagrams.listener.into()),
            None => (self.flow, self.listener),
        }
    }
}

/// Names one attempt of one relayed request, within the worker that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt {
    /// The relayed request.
    pub relay: RelayId,
    /// Its attempt.
    pub branch: BranchNumber,
    /// Which of the places that its target leads to, counted from 0 (RFC 3263 §4.3).
    pub turn: u8,
}

/// Whether a request may still be sent: taken by whoever sends it or by whoever calls that off, and who comes first has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ticket(Arc<AtomicBool>);

impl Ticket {
    /// False when the other has been first.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    fn give_back(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A request that is to be sent to one of `hops`, the first that can be reached.
#[derive(Debug)]
pub struct Departure {
    /// Whose outcome is to be told to [`super::Relay::on_sent`] and [`super::Relay::on_unsent`]; none for an ACK, which has
    /// no transaction.
    pub attempt: Option<Attempt>,
    /// When it is given up: what is sent later would be answered to nobody, and could not be cancelled.
    pub(super) until: Option<Instant>,
    /// What it is called off by; nothing calls an ACK off.
    pub(super) ticket: Option<Ticket>,
    /// The worker that it belongs to.
    pub home: usize,
    /// Where it has come from.
    pub upstream: FlowId,
    /// Where it may go, in this order.
    pub hops: Vec<Hop>,
    /// The domain of ours that it speaks for, if there is one.
    pub own: Option<Box<str>>,
    /// Who alone may get it, if a flow token of ours names somebody.
    pub(super) identity: Option<IdentityDigest>,
    pub(super) draft: Arc<Draft>,
    pub(super) branch: Arc<str>,
    pub(super) recording: Option<Arc<Recording>>,
    pub(super) policy: Arc<Policy>,
}

/// Our Via in a request that has been sent, but for the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentVia {
    pub(super) transport: &'static str,
    pub(super) sent_by: Box<str>,
}

impl Departure {
    /// How many octets it will be at most, as long as nobody has a longer name than others.
    pub fn room(&self) -> usize {
        self.draft.len() + 512
    }

    /// Whether nobody waits for it any more.
    pub fn is_given_up(&self, now: Instant) -> bool {
        let called_off = self.ticket.as_ref().is_some_and(Ticket::is_taken);
        called_off || self.until.is_some_and(|until| until <= now)
    }

    /// To be asked once, right before it is sent: false when it has been called off, and must not be.
    pub fn sets_out(&self) -> bool {
        self.ticket.as_ref().is_none_or(Ticket::take)
    }

    /// It has not been sent after all, and looks for another way. Who has tried to call it off meanwhile takes it for sent.
    pub fn comes_back(&self) {
        if let Some(ticket) = &self.ticket {
            ticket.give_back();
        }
    }

    /// The same request on its way to what is left of where its URI leads, should the place that it is sent to now fail.
    pub fn toward(self, uri: Box<str>, places: Vec<Place>) -> Self {
        Self {
            hops: vec![Hop::Places { uri, places }],
            ..self
        }
    }

    /// Method.
    pub fn method(&self) -> &str {
        self.draft.method()
    }

    /// Whether the URI that says where it goes names this very place and no transport: then TCP may be tried there, too. A
    /// contact behind a NAT names another, and one that names a transport wants it.
    pub fn leads_to(&self, place: SocketAddr) -> bool {
        let uri = SipUri::parse(self.draft.next_hop());
        uri.is_some_and(|uri| {
            let host = matches!(uri.host, Host::Ip(ip) if ip == place.ip().to_canonical());
            let transport = uri.parameters.value("transport");
            host && transport.is_none() && uri.port.unwrap_or(DEFAULT_PORT) == place.port()
        })
    }

    /// Appends the whole request as it leaves by `exit`, and says what our Via in it is.
    ///
    /// # Errors
    /// It may not leave there: a SIPS URI is for TLS alone (RFC 5630 §5.3.1), and what comes with a flow token for who was
    /// there when that was made.
    pub fn write(&self, exit: &Exit, out: &mut Vec<u8>) -> Result<SentVia, Failure> {
        let relay = &self.policy.relay;
        let face = relay.faces.get(exit.listener);
        let face = face.ok_or_else(Failure::no_transport)?;
        if self.draft.is_secure() && face.transport != Transport::Tls {
            return Err(Failure::not_secure());
        }
        if self.identity.is_some() && self.identity != exit.identity {
            return Err(Failure::flow_failed());
        }
        let recorded = match &self.recording {
            Some(recording) => recording.values(exit, self.draft.records_sips(), relay),
            None => Vec::new(),
        };
        let via = SentVia::of(face, exit.local);
        self.draft
            .write(&via.with(&self.branch, relay), &recorded, out);
        Ok(via)
    }
}

/// An address and a port as a Via and a URI have them.
pub(super) fn sent_by(ip: IpAddr, port: u16) -> Box<str> {
    let mut text = Vec::with_capacity(24);
    match ip {
        IpAddr::V4(_) => write_ip(ip, &mut text),
        IpAddr::V6(_) => {
            text.push(b'[');
            write_ip(ip, &mut text);
            text.push(b']');
        }
    }
    text.push(b':');
    write_number(port.into(), &mut text);
    // It is all ASCII.
    std::str::from_utf8(&text).unwrap_or_default().into()
}

impl SentVia {
    fn of(face: &Face, local: IpAddr) -> Self {
        let transport = match face.transport {
            Transport::Tls | Transport::Wss => "TLS",
            Transport::Tcp | Transport::Ws => "TCP",
            Transport::Udp => "UDP",
        };
        Self {
            transport,
            sent_by: sent_by(local.to_canonical(), face.address.port()),
        }
    }

    /// The same with the branch of a request.
    pub(super) fn with<'v>(&'v self, branch: &'v str, policy: &RelayPolicy) -> OwnVia<'v> {
        OwnVia {
            transport: self.transport,
            sent_by: &self.sent_by,
            branch,
            rport: policy.add_via_rport,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sent_by_is_written_as_others_write_it() {
        for address in [
            "192.0.2.1:5061",
            "0.10.255.100:1",
            "[2001:db8::1]:65535",
            "[::]:5061",
        ] {
            let parsed: std::net::SocketAddr = address.parse().unwrap();
            assert_eq!(&*sent_by(parsed.ip(), parsed.port()), address);
        }
    }
}
