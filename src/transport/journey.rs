//! A request that looks for its way: over which flow, or to which destinations in turn.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::auth::Transport;
use crate::proxy::Failure;
use crate::proxy::relay::{Datagrams, Departure, Hop, Place};
use crate::registrar::FlowId;
use crate::resolve::{Destination, ResolveError, Resolved, TransportKind, Wanted};
use crate::sip::SipUri;
use crate::tls::ReferenceName;

/// Destinations that one request tries; each may take as long as a connection may take to open.
const MOST_DESTINATIONS: usize = 6;

/// A request on its way out, with what has been tried.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(crate) departure: Box<Departure>,
    /// The next of its hops.
    hop: usize,
    /// What the hop before leads to, as far as it has not been tried.
    destinations: VecDeque<Destination>,
    tried: usize,
    /// The name that the other side has to prove: the host that was asked for, before anything was looked up (RFC 5922
    /// §7.2).
    pub(crate) reference: Option<ReferenceName>,
    /// It is too large for a datagram to there, and tries something else before.
    large: Option<Large>,
    /// Why the last way did not do.
    failure: Failure,
    /// Set when that was because a connection had ended before anything was sent over it.
    lost: bool,
    /// The destination that is being tried.
    current: Option<Destination>,
}

/// Where a request goes that is larger than a datagram should be (RFC 3261 §18.1.1).
#[derive(Debug)]
struct Large {
    /// First, as long as it has not been tried.
    stream: Option<Destination>,
    /// If nothing listens there.
    datagrams: Datagrams,
}

/// What to try next.
#[derive(Debug)]
pub(crate) enum Leg {
    /// This flow.
    Over(FlowId),
    /// Where this leads has to be found out.
    Resolve(Wanted),
    /// This destination.
    To(Destination),
    /// As a datagram, however large it is.
    Datagram(Datagrams),
    /// Nothing is left.
    Nowhere(Failure),
}

impl Journey {
    pub(crate) fn new(departure: Box<Departure>) -> Self {
        Self {
            departure,
            hop: 0,
            destinations: VecDeque::new(),
            tried: 0,
            reference: None,
            large: None,
            failure: Failure::no_transport(),
            lost: false,
            current: None,
        }
    }

    /// What to try next.
    pub(crate) fn next(&mut self) -> Leg {
        if let Some(large) = &mut self.large {
            if let Some(stream) = large.stream.take() {
                return Leg::To(stream);
            }
            let datagrams = large.datagrams;
            self.large = None;
            return Leg::Datagram(datagrams);
        }
        loop {
            if self.tried < MOST_DESTINATIONS
                && let Some(destination) = self.destinations.pop_front()
            {
                self.tried += 1;
                self.current = Some(destination);
                return Leg::To(destination);
            }
            self.destinations.clear();
            self.current = None;
            let Some(hop) = self.departure.hops.get(self.hop) else {
                return Leg::Nowhere(self.failure.clone());
            };
            self.hop += 1;
            match hop {
                Hop::Flow(flow) => return Leg::Over(*flow),
                Hop::Places { uri, places } => {
                    let uri = SipUri::parse(uri);
                    self.reference = uri.and_then(|uri| ReferenceName::of(&uri.host));
                    self.destinations = places.iter().copied().map(destination_of).collect();
                }
                Hop::Uri(text) => match SipUri::parse(text).as_ref().map(toward) {
                    Some(Ok((wanted, reference))) => {
                        self.reference = reference;
                        return Leg::Resolve(wanted);
                    }
                    Some(Err(error)) => self.failure = unresolved(error),
                    None => self.failure = Failure::unsendable(),
                },
            }
        }
    }

    /// Before it leaves as a datagram it is to be tried over TCP, at the same address and port.
    pub(crate) fn stream_first(&mut self, datagrams: Datagrams) {
        self.large = Some(Large {
            stream: Some(over_tcp(datagrams.peer)),
            datagrams,
        });
    }

    /// The datagrams that it leaves in place of, while it is tried over TCP for its size.
    pub(crate) fn in_place_of(&self) -> Option<Datagrams> {
        self.large.as_ref().map(|large| large.datagrams)
    }

    /// The last way did not do.
    pub(crate) fn failed(&mut self, why: Failure) {
        self.failure = why;
        self.lost = false;
    }

    /// The flow is not there any more, as long as nothing else is said.
    pub(crate) fn lost(&mut self) {
        self.failed(Failure::flow_failed());
        self.lost = true;
    }

    /// Whether the last flow was not there any more.
    pub(crate) fn lost_its_flow(&self) -> bool {
        self.lost
    }

    /// Has the same destination tried once more, within the number that one request tries.
    pub(crate) fn again(&mut self) {
        if let Some(large) = &mut self.large {
            if self.tried < MOST_DESTINATIONS {
                self.tried += 1;
                large.stream = Some(over_tcp(large.datagrams.peer));
            }
        } else if let Some(destination) = self.current.take() {
            self.destinations.push_front(destination);
        }
    }

    /// It has been sent: the place that it was sent to, if a URI led there, and the same on its way to the other places.
    pub(crate) fn into_rest(mut self) -> (Option<Place>, Option<Box<Departure>>) {
        let place = self.current.map(place_of);
        let hop = self.hop.checked_sub(1);
        let hop = hop.and_then(|hop| self.departure.hops.get_mut(hop));
        let left = MOST_DESTINATIONS.saturating_sub(self.tried);
        let places: Vec<_> = self.destinations.into_iter().take(left).collect();
        let rest = match hop {
            Some(Hop::Uri(uri) | Hop::Places { uri, .. }) if !places.is_empty() => {
                let places = places.into_iter().map(place_of).collect();
                let uri = std::mem::take(uri);
                Some(Box::new(self.departure.toward(uri, places)))
            }
            _ => None,
        };
        (place, rest)
    }

    /// What the hop leads to.
    pub(crate) fn resolved(&mut self, resolved: Resolved) {
        match resolved {
            Ok(destinations) => self.destinations = destinations.into(),
            Err(error) => self.failure = unresolved(error),
        }
    }
}

/// The same place over TCP.
pub(super) fn over_tcp(address: SocketAddr) -> Destination {
    Destination {
        address,
        transport: TransportKind::Tcp,
    }
}

/// A destination in the words of the relay.
fn place_of(destination: Destination) -> Place {
    Place {
        address: destination.address,
        transport: match destination.transport {
            TransportKind::Udp => Transport::Udp,
            TransportKind::Tcp => Transport::Tcp,
            TransportKind::Tls => Transport::Tls,
        },
    }
}

/// The same the other way round.
pub(super) fn destination_of(place: Place) -> Destination {
    Destination {
        address: place.address,
        transport: match place.transport {
            Transport::Udp => TransportKind::Udp,
            Transport::Tcp | Transport::Ws => TransportKind::Tcp,
            Transport::Tls | Transport::Wss => TransportKind::Tls,
        },
    }
}

/// What is to be looked for, and who is to be found there.
fn toward(uri: &SipUri<'_>) -> Result<(Wanted, Option<ReferenceName>), ResolveError> {
    Ok((Wanted::of(uri)?, ReferenceName::of(&uri.host)))
}

fn unresolved(error: ResolveError) -> Failure {
    Failure {
        status: error.status(),
        phrase: error.reason().into(),
        no_way: true,
    }
}
