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

mod again;
mod audit;
mod calls;
mod control;
mod digest;
mod digest_peers;
mod faults;
mod federation;
mod from_repro;
mod hot;
mod injection;
mod interop;
mod listeners;
mod load;
mod lookups;
mod lookups_under_load;
mod mappings;
mod operator;
mod outgoing_tls;
mod parity;
mod peers;
mod permutations;
mod readme;
mod revocation;
mod robustness;
mod secrets;
mod silo;
mod startup;
mod store_file;
mod torture;
mod trust;
mod udp;
mod weaknesses;
