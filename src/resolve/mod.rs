//! Where a SIP URI leads: RFC 3263, with RFC 2782 for the order of servers.
//!
//! A [`Wanted`] goes in; [`Destination`]s come out in the order in which they are to be tried. `locate` decides and knows
//! no name server; `memory` keeps answers for their time; `servers` asks, through the library c-ares. What failed lately is
//! put last (`greylist`).

mod answer;
mod destination;
mod error;
mod greylist;
mod locate;
#[cfg(test)]
mod locate_tests;
mod memory;
mod options;
mod resolver;
mod servers;
mod weight;

pub use destination::{Destination, TargetHost, TransportKind, Wanted};
pub use error::{ResolveError, Resolved, StartError};
pub use options::{ResolverOptions, Transports};
pub use resolver::Resolver;
