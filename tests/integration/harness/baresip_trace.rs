//! The trace of baresip: every message that it sent or received, out of what it prints.
//!
//! An entry is a line `#`, a line `TLS 127.0.0.1:40000 -> 127.0.0.1:5061`, the message, and the end of the colour that all of
//! it is printed in.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use memchr::memmem;

use super::message::Incoming;

const BEGIN: &[u8] = b"\x1b[36;1m#\n";
const END: &[u8] = b"\x1b[;m";

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Traced {
    /// Whether the phone sent it; else it received it.
    pub(crate) sent: bool,
    pub(crate) message: Incoming,
}

/// The whole entries in what a phone printed that listens at these addresses.
///
/// The trace does not say which end is the phone's. Its listening addresses are, and the end that speaks first on a
/// connection that does not come in there: the phone opened it.
pub(crate) fn traced(printed: &[u8], listening: &[SocketAddr]) -> Vec<Traced> {
    let mut entries = Vec::new();
    let mut own: BTreeSet<String> = listening.iter().map(SocketAddr::to_string).collect();
    let mut rest = printed;
    while let Some(begin) = memmem::find(rest, BEGIN) {
        let entry = &rest[begin + BEGIN.len()..];
        let Some(end) = memmem::find(entry, END) else {
            break;
        };
        rest = &entry[end + END.len()..];
        let Some(line) = memchr::memchr(b'\n', &entry[..end]) else {
            continue;
        };
        let addresses = String::from_utf8_lossy(&entry[..line]);
        let mut words = addresses.split(' ').skip(1);
        let (Some(from), Some("->"), Some(to)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let sent = !own.contains(to);
        if sent {
            own.insert(from.to_owned());
        }
        let mut message = entry[line + 1..end].to_vec();
        if let Some(message) = Incoming::take(&mut message) {
            entries.push(Traced { sent, message });
        }
    }
    entries
}
