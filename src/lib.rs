//! Sipvouch: a SIP TLS server, registrar and proxy that vouches for who is calling.
//!
//! The way of one message, and the room that each step lives in:
//!
//! ```text
//! accept ─▶ handshake ─▶ frame ─▶ parse ─▶ transaction ─▶ admit ─▶ registrar │ proxy ─▶ write
//! transport  tls          sip      sip      transaction    auth     registrar   proxy    transport
//! ```
//!
//! `sip`, `transaction`, `auth`, `registrar` and `proxy` are pure: they take values (the time among them) and answer
//! with values. Sockets, threads, files and OpenSSL live in `transport`, `tls`, `config`, `logging` and `admin` around them.

pub mod admin;
pub mod auth;
mod captured;
mod commands;
pub mod config;
mod control;
pub mod data;
mod in_force;
pub mod logging;
mod manage;
mod mappings_file;
pub mod process;
pub mod proxy;
pub mod registrar;
pub mod resolve;
mod serve;
pub mod server;
pub mod sip;
pub mod store;
mod stores;
pub mod tls;
pub mod transaction;
pub mod transport;
mod upkeep;

pub use commands::main;
