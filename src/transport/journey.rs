//! A request that looks for its way: over which flow, or to which destinations in turn.

use std::collections::VecDeque;

use crate::proxy::Failure;
use crate::proxy::relay::{Departure, Hop};
use crate::registrar::FlowId;
use crate::resolve::{Destination, ResolveError, Resolved, Wanted};
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
    /// Why the last way did not do.
    failure: Failure,
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
            failure: Failure::no_transport(),
        }
    }

    /// What to try next.
    pub(crate) fn next(&mut self) -> Leg {
        if self.tried < MOST_DESTINATIONS
            && let Some(destination) = self.destinations.pop_front()
        {
            self.tried += 1;
            return Leg::To(destination);
        }
        self.destinations.clear();
        loop {
            let Some(hop) = self.departure.hops.get(self.hop) else {
                return Leg::Nowhere(self.failure.clone());
            };
            self.hop += 1;
            match hop {
                Hop::Flow(flow) => return Leg::Over(*flow),
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

    /// The last way did not do.
    pub(crate) fn failed(&mut self, why: Failure) {
        self.failure = why;
    }

    /// What the hop leads to.
    pub(crate) fn resolved(&mut self, resolved: Resolved) {
        match resolved {
            Ok(destinations) => self.destinations = destinations.into(),
            Err(error) => self.failure = unresolved(error),
        }
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
    }
}
