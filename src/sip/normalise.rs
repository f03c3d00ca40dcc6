//! Makes a header block that RFC 3261 allows one that `httparse` takes: lines unfolded (§7.3.1), blanks before the
//! colon dropped, control characters of quoted pairs masked until it is through.

use super::message::Fault;
use super::name::HeaderName;
use super::text::{is_token, trim, trim_end};

/// A header block with one field a line.
#[derive(Debug, Default)]
pub(super) struct Normalised {
    /// The block, empty line included.
    pub(super) block: Vec<u8>,
    /// Positions in `block` that hold a stand-in, and the octet that belongs there.
    pub(super) masked: Vec<(usize, u8)>,
    /// The first thing that even SIP does not allow.
    pub(super) fault: Option<Fault>,
    /// A bare CR or LF was there: another reader may see other lines, and so another Content-Length.
    pub(super) ambiguous: bool,
}

/// Stands in for a control character while `httparse` looks.
const STAND_IN: u8 = 0x80;

/// Takes the octets behind the start line, up to and with the empty line.
pub(super) fn normalise(block: &[u8]) -> Normalised {
    let mut out = Normalised::default();
    let mut line: Vec<u8> = Vec::new();
    for physical in block.split_inclusive(|o| *o == b'\n') {
        let text = physical.strip_suffix(b"\r\n").unwrap_or_else(|| {
            out.ambiguous = true;
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
        let name = trim_end(name);
        if !is_token(name) {
            self.fault
                .get_or_insert(Fault::bad_request("Malformed header field"));
            return;
        }
        self.block.extend_from_slice(name);
        let mut escaped = false;
        for octet in value {
            let control = octet.is_ascii_control() && *octet != b'\t';
            if control && escaped && *octet != b'\r' {
                self.masked.push((self.block.len(), *octet));
                self.block.push(STAND_IN);
            } else if control {
                // Not kept, since an answer may copy the field. Another reader may see another length in `1<NUL>0`.
                self.ambiguous |=
                    *octet == b'\r' || HeaderName::parse(name) == HeaderName::ContentLength;
                self.fault
                    .get_or_insert(Fault::bad_request("Control character in a header field"));
                self.block.push(b' ');
            } else {
                self.block.push(*octet);
            }
            escaped = *octet == b'\\' && !escaped;
        }
        self.block.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_one_field_a_line() {
        for (situation, block, normal, fault) in [
            ("as it is", "A: b\r\n\r\n", "A: b\r\n\r\n", None),
            (
                "folded",
                "A: b\r\n\t c\r\n d\r\nE: f\r\n\r\n",
                "A: b c d\r\nE: f\r\n\r\n",
                None,
            ),
            ("folded at once", "A:\r\n b\r\n\r\n", "A: b\r\n\r\n", None),
            (
                "folded to nothing",
                "A: b\r\n \r\n\r\n",
                "A: b \r\n\r\n",
                None,
            ),
            (
                "blank before colon",
                "A \t: b\r\n\r\n",
                "A: b\r\n\r\n",
                None,
            ),
            (
                "no colon",
                "A b\r\nC: d\r\n\r\n",
                "C: d\r\n\r\n",
                Some("Malformed header field"),
            ),
            (
                "no name",
                ": b\r\n\r\n",
                "\r\n",
                Some("Malformed header field"),
            ),
            (
                "blank in a name",
                "A b: c\r\n\r\n",
                "\r\n",
                Some("Malformed header field"),
            ),
            (
                "separator in a name",
                "A@: c\r\n\r\n",
                "\r\n",
                Some("Malformed header field"),
            ),
            (
                "folded start line",
                " A: b\r\n\r\n",
                "\r\n",
                Some("Malformed header field"),
            ),
            (
                "bare LF",
                "A: b\nC: d\n\n",
                "A: b\r\nC: d\r\n\r\n",
                Some("Line ends must be CRLF"),
            ),
            (
                "bare CR",
                "A: b\rC: d\r\n\r\n",
                "A: b C: d\r\n\r\n",
                Some("Control character in a header field"),
            ),
            (
                "two CR",
                "A: b\r\r\n\r\n",
                "A: b \r\n\r\n",
                Some("Control character in a header field"),
            ),
            (
                "escaped CR",
                "A: \"\\\r\"\r\n\r\n",
                "A: \"\\ \"\r\n\r\n",
                Some("Control character in a header field"),
            ),
            (
                "bare NUL",
                "A: b\0\r\n\r\n",
                "A: b \r\n\r\n",
                Some("Control character in a header field"),
            ),
            (
                "no end",
                "A: b",
                "A: b\r\n\r\n",
                Some("Line ends must be CRLF"),
            ),
        ] {
            let found = normalise(block.as_bytes());
            assert_eq!(found.block, normal.as_bytes(), "{situation}");
            assert_eq!(found.fault.map(|f| f.phrase), fault, "{situation}");
            assert_eq!(found.masked, [], "{situation}");
        }
    }

    #[test]
    fn control_octets_of_quoted_pairs_are_masked() {
        let found = normalise(b"A: \"\\\0 \\\\\\\x7f\"\r\n\r\n");
        assert_eq!(found.block, b"A: \"\\\x80 \\\\\\\x80\"\r\n\r\n");
        assert_eq!(found.masked, [(5, 0), (10, 0x7f)]);
        assert_eq!(found.fault, None);
    }
}
