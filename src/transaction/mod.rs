//! Transactions: RFC 3261 §17. Servers and clients for every method, with the corrections of RFC 6026 for INVITE and of
//! RFC 4320 for the others.
//!
//! Pure. Takes keys of messages, finished responses and the time, answers with [`Effect`]s and [`ClientEffect`]s. Knows
//! nothing of sockets, TLS or users. A deadline is asked for with [`Layer::next_deadline`] and
//! [`ClientLayer::next_deadline`]; waking up too early does nothing.

mod client;
mod client_key;
mod client_layer;
#[cfg(test)]
mod client_layer_tests;
mod effect;
mod invite_client;
mod invite_server;
mod key;
mod layer;
mod numbered;
mod options;
mod server;
#[cfg(test)]
mod test_support;
mod timer;

pub use client::Client;
pub use client_key::ClientKey;
pub use client_layer::{ClientLayer, ClientOutput};
pub use effect::{ClientEffect, Effect, Output, TransactionId};
pub use invite_client::InviteClient;
pub use invite_server::InviteServer;
pub use key::{Key, Kind, Scope};
pub use layer::{CancelTarget, Layer, NotBegun, Received};
pub use numbered::{NumberHasher, Numbered};
pub use options::TransactionOptions;
pub use server::Server;
pub use timer::Timers;
