//! Requests on their way through: RFC 3261 §16.6 to §16.10, and the transactions on both sides of them.
//!
//! Pure. A [`Relay`] belongs to one worker and is told of requests, responses, what became of departures, closed flows and
//! the time; it answers with [`Effect`]s. Knows nothing of sockets or names: where a URI leads is found out by whoever
//! carries an [`Effect::Depart`] out.

mod away;
mod call;
mod carry;
mod departure;
mod failure;
mod kept;
mod leaving;
mod onward;
mod options;
mod own;
mod record;
mod share;
mod table;
#[cfg(test)]
mod tests;

pub use departure::{Attempt, Datagrams, Departure, Exit, Hop, Place, SentVia};
pub use options::{
    Face, NatDetection, PathOptions, RecordRoute, RelayKeys, RelayOptions, RelayPolicy,
};
pub use own::Own;
pub use record::{Recorded, Recording, Return, Sides};
pub(crate) use share::Shares;
pub use table::{Begin, Effect, Met, Relay, RelayId, Sent, home_of};
