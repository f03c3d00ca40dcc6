//! Free ports. repro reads port 0 as "off", so a listener cannot ask the system for one.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of 127.0.0.1 that was free a moment ago for TCP and UDP, and that this process never had before. Below the
/// range that outgoing connections take theirs from, so that no client can be faster than the server.
pub(crate) fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = std::process::id().wrapping_mul(7919);
    for step in 0..20_000_u32 {
        let port = 12_000 + u16::try_from(seed.wrapping_add(step * 7) % 20_000).unwrap_or(0);
        if given.contains(&port) {
            continue;
        }
        let free = TcpListener::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if free {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port between 12000 and 32000");
}
