//! The binary from outside: every test starts the real `sipvouch` on loopback and talks to it as a peer would.
//!
//! `harness` makes the test PKI, finds free ports, starts and ends servers, and holds the SIP client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod harness;

mod calls;
mod control;
mod faults;
mod federation;
mod from_repro;
mod hot;
mod interop;
mod listeners;
mod load;
mod operator;
mod outgoing_tls;
mod parity;
mod peers;
mod permutations;
mod readme;
mod robustness;
mod silo;
mod startup;
mod store_file;
mod torture;
mod udp;
mod weaknesses;
