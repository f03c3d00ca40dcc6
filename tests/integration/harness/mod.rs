//! What all tests share: certificates, a server under test, and a SIP peer that sees every alert.

mod backend;
mod baresip;
mod baresip_trace;
mod client;
mod digest;
mod echo;
mod kamailio;
mod message;
#[path = "../../dns/server.rs"]
#[allow(dead_code, reason = "what faults it can have is for the tests of DNS")]
mod name_server;
mod pki;
mod ports;
mod process;
mod remote;
mod revoked;
mod selfcheck;
mod server;
mod sipp;

pub(crate) use backend::{Backend, Reply};
pub(crate) use baresip::{Baresip, Phone, Transport};
pub(crate) use client::{
    Answer, Connection, Outcome, TlsPeer, client_hello, connect_tcp, tcp_from, udp_at, udp_from,
};
pub(crate) use digest::{Login, hex, parameters, value};
pub(crate) use echo::echo;
pub(crate) use kamailio::{Kamailio, KamailioSetup};
pub(crate) use message::{Incoming, Request, Response};
pub(crate) use name_server::{Fault as NameFault, Server as NameServer};
pub(crate) use pki::Pki;
pub(crate) use ports::free_port;
pub(crate) use process::Watched;
pub(crate) use remote::Remote;
pub(crate) use revoked::Authority;
pub(crate) use server::{Server, Setup, run_to_end};
pub(crate) use sipp::{Sipp, Tunnel};

use std::sync::{Mutex, MutexGuard, PoisonError};

static HEAVY: Mutex<()> = Mutex::new(());

/// Taken by tests that fill the machine or measure the server: one of them at a time.
pub(crate) fn heavy() -> MutexGuard<'static, ()> {
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file below `tests/`.
pub(crate) fn tests_dir() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Prints past the capture of the test runner: the counts of a parity run belong in every log, passed or not.
pub(crate) fn report(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
