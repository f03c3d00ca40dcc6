//! Transactions: RFC 3261 §17. Servers for every method, with the INVITE corrections of RFC 6026 and RFC 4320 for the
//! others; clients for every method but INVITE.
//!
//! Pure. Takes keys of messages, finished responses and the time, answers with [`Effect`]s and [`ClientEffect`]s. Knows
//! nothing of sockets, TLS or users. A deadline is asked for with [`Layer::next_deadline`] and
//! [`ClientLayer::next_deadline`]; waking up too early does nothing.

mod client;
mod client_key;
mod client_layer;
mod effect;
mod invite_server;
mod key;
mod layer;
mod options;
mod server;
mod timer;

pub use client::Client;
pub use client_key::ClientKey;
pub use client_layer::{ClientLayer, ClientOutput};
pub use effect::{ClientEffect, Effect, Output, TransactionId};
pub use invite_server::InviteServer;
pub use key::{Key, Kind, Scope};
pub use layer::{CancelTarget, Layer, NotBegun, Received};
pub use options::TransactionOptions;
pub use server::Server;
pub use timer::Timers;
