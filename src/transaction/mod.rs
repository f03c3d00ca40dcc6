//! Server transactions: RFC 3261 §17.2, with the INVITE corrections of RFC 6026 and RFC 4320 for the others.
//!
//! Pure. Takes keys of requests, finished responses and the time, answers with [`Effect`]s. Knows nothing of sockets,
//! TLS or users. A deadline is asked for with [`Layer::next_deadline`]; waking up too early does nothing.

mod effect;
mod invite_server;
mod key;
mod layer;
mod options;
mod server;
mod timer;

pub use effect::{Effect, Output, TransactionId};
pub use invite_server::InviteServer;
pub use key::{Key, Kind, Scope};
pub use layer::{CancelTarget, Layer, NotBegun, Received};
pub use options::TransactionOptions;
pub use server::Server;
pub use timer::Timers;
