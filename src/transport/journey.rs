//! A request that looks for its way: over which flow, or to which destinations in turn.

use crate::proxy::Failure;
use crate::proxy::relay::{Departure, Hop};
use crate::registrar::FlowId;

/// A request on its way out, with what has been tried.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(crate) departure: Box<Departure>,
    /// The next of its hops.
    hop: usize,
    /// Why the last way did not do.
    failure: Failure,
}

/// What to try next.
#[derive(Debug)]
pub(crate) enum Leg {
    /// This flow.
    Over(FlowId),
    /// Nothing is left.
    Nowhere(Failure),
}

impl Journey {
    pub(crate) fn new(departure: Box<Departure>) -> Box<Self> {
        Box::new(Self {
            departure,
            hop: 0,
            failure: Failure::no_transport(),
        })
    }

    /// What to try next.
    pub(crate) fn next(&mut self) -> Leg {
        let Some(hop) = self.departure.hops.get(self.hop) else {
            return Leg::Nowhere(self.failure.clone());
        };
        self.hop += 1;
        match hop {
            Hop::Flow(flow) => Leg::Over(*flow),
            Hop::Uri(_) => Leg::Nowhere(Failure::no_transport()),
        }
    }

    /// The last way did not do.
    pub(crate) fn failed(&mut self, why: Failure) {
        self.failure = why;
    }
}
