//! Makes a header block that RFC 3261 allows one that `httparse` takes: lines unfolded (§7.3.1), blanks before the
//! colon dropped, control characters of quoted pairs masked until it is through.

use super::message::Fault;
use super::text::{is_token, trim};

/// A header block with one field a line.
#[derive(Debug, Default)]
pub(super) struct Normalised {
    /// The block, empty line included.
    pub(super) block: Vec<u8>,
    /// Positions in `block` that hold a stand-in, and the octet that belongs there.
    pub(super) masked: Vec<(usize, u8)>,
    /// The first thing that even SIP does not allow.
    pub(super) fault: Option<Fault>,
}

/// Stands in for a control character while `httparse` looks.
const STAND_IN: u8 = 0x80;

/// Takes the octets behind the start line, up to and with the empty line.
pub(super) fn normalise(block: &[u8]) -> Normalised {
    let mut out = Normalised::default();
    let mut line: Vec<u8> = Vec::new();
    for physical in block.split_inclusive(|o| *o == b'\n') {
        let text = physical.strip_suffix(b"\r\n").unwrap_or_else(|| {
            out.fault
                .get_or_insert(Fault::bad_request("Line ends must be CRLF"));
            let text = physical.strip_suffix(b"\n").unwrap_or(physical);
            text.strip_suffix(b"\r").unwrap_or(text)
        });
        let folded = text.first().is_some_and(|o| matches!(o, b' ' | b'\t'));
        if folded && !line.is_empty() {
            line.push(b' ');
            line.extend_from_slice(trim(text));
            continue;
        }
        out.take(&line);
        line.clear();
        line.extend_from_slice(text);
    }
    out.take(&line);
    out.block.extend_from_slice(b"\r\n");
    out
}

impl Normalised {
    /// Appends one unfolded line as a field; a line that is none becomes a fault.
    fn take(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let colon = memchr::memchr(b':', line).unwrap_or(0);
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let name = trim(name);
        // httparse knows no octet of a SIP token less than SIP does (RFC 9110 §5.6.2 has them all).
        if !is_token(name) {
            self.fault
                .get_or_insert(Fault::bad_request("Malformed header field"));
            return;
        }
        self.block.extend_from_slice(name);
        let mut escaped = false;
        for octet in value {
            if (*octet < b' ' && *octet != b'\t') || *octet == 0x7f {
                if !escaped {
                    self.fault
                        .get_or_insert(Fault::bad_request("Control character in a header field"));
                }
                self.masked.push((self.block.len(), *octet));
                self.block.push(STAND_IN);
            } else {
                self.block.push(*octet);
            }
            escaped = *octet == b'\\' && !escaped;
        }
        self.block.extend_from_slice(b"\r\n");
    }
}
