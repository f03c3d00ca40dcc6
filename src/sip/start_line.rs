//! Request-Line and Status-Line (RFC 3261 §7.1, §7.2).

use super::message::{Fault, Span};
use super::status::StatusCode;
use super::text::number;

/// The start line, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'m> {
    /// A request; the URI may still be none.
    Request {
        /// Method as written.
        method: &'m [u8],
        /// Request-URI as written.
        uri: &'m [u8],
    },
    /// A response.
    Response {
        /// Status code, 100 to 699.
        status: StatusCode,
        /// Reason phrase as written, maybe empty.
        reason: &'m [u8],
    },
    /// Neither.
    Unreadable,
}

/// What kind of message the start line makes it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    Request {
        method: Span,
        uri: Span,
    },
    Response {
        status: StatusCode,
        reason: Span,
    },
    /// Meant as a response, so that nobody must answer it, but no good one.
    UnreadableResponse,
    Unreadable,
}

const BAD_REQUEST_LINE: Fault = Fault::bad_request("Malformed Request Line");
const BAD_STATUS_LINE: Fault = Fault::bad_request("Malformed Status Line");

/// Reads a start line without its CRLF (RFC 3261 §7.1, §7.2): single blanks, no others. The line is the beginning of
/// the message.
pub(super) fn start_line(line: &[u8]) -> (Start, Option<Fault>) {
    // No method has a slash, so this can be nothing else.
    if let Some(rest) = strip_sip(line) {
        return match status_line(rest) {
            Some((status, reason)) => {
                let reason = Span::of(reason, line);
                (Start::Response { status, reason }, None)
            }
            None => (Start::UnreadableResponse, Some(BAD_STATUS_LINE)),
        };
    }
    let (Some(first), Some(last)) = (memchr::memchr(b' ', line), memchr::memrchr(b' ', line))
    else {
        return (Start::Unreadable, Some(BAD_REQUEST_LINE));
    };
    let uri = line.get(first + 1..last).unwrap_or_default();
    let version = line.get(last + 1..).unwrap_or_default();
    let start = Start::Request {
        method: Span::of(line.get(..first).unwrap_or_default(), line),
        uri: Span::of(uri, line),
    };
    let fault = match strip_sip(version) {
        _ if !uri.iter().all(u8::is_ascii_graphic) || uri.is_empty() => Some(BAD_REQUEST_LINE),
        Some(b"2.0") => None,
        Some(other) if is_version(other) => Some(Fault {
            status: StatusCode::VERSION_NOT_SUPPORTED,
            phrase: StatusCode::VERSION_NOT_SUPPORTED.phrase(),
        }),
        _ => Some(BAD_REQUEST_LINE),
    };
    (start, fault)
}

/// What follows `SIP/`, whose case does not matter (RFC 3261 §7.1).
fn strip_sip(text: &[u8]) -> Option<&[u8]> {
    let (name, rest) = text.split_at_checked(4)?;
    name.eq_ignore_ascii_case(b"SIP/").then_some(rest)
}

/// `1*DIGIT "." 1*DIGIT`.
fn is_version(text: &[u8]) -> bool {
    let mut parts = text.split(|o| *o == b'.');
    let mut digits = || {
        parts
            .next()
            .is_some_and(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit))
    };
    digits() && digits() && parts.next().is_none()
}

/// Status and reason phrase; the blank before an empty phrase may lack.
fn status_line(rest: &[u8]) -> Option<(StatusCode, &[u8])> {
    let rest = rest.strip_prefix(b"2.0 ")?;
    let (code, rest) = rest.split_at_checked(3)?;
    let status = StatusCode::new(number(code).and_then(|c| u16::try_from(c).ok())?)?;
    let reason = match rest.split_first() {
        Some((b' ', reason)) => reason,
        None => rest,
        Some(_) => return None,
    };
    let legal = |o: &u8| !o.is_ascii_control() || *o == b'\t';
    reason.iter().all(legal).then_some((status, reason))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::message::Message;
    use super::*;

    #[test]
    fn status_lines_are_read_or_are_still_no_requests() {
        for (line, status, reason) in [
            ("SIP/2.0 200 OK", 200, "OK"),
            ("sip/2.0 200 OK", 200, "OK"),
            ("SIP/2.0 100 ", 100, ""),
            ("SIP/2.0 180", 180, ""),
            (
                "SIP/2.0 699 = 2**3 \u{43d}\u{435}\t!",
                699,
                "= 2**3 \u{43d}\u{435}\t!",
            ),
        ] {
            let text = format!("{line}\r\n\r\n");
            let message = Message::parse(text.as_bytes(), text.len(), 8);
            let status = StatusCode::new(status).unwrap();
            let reason = reason.as_bytes();
            assert_eq!(message.start_line(), StartLine::Response { status, reason });
            assert_eq!(message.fault(), None);
        }
        for line in [
            "SIP/2.0 099 x",
            "SIP/2.0 700 x",
            "SIP/2.0 4294967301 x",
            "SIP/2.0 20 x",
            "SIP/2.0 2000",
            "SIP/2.0  200 OK",
            "SIP/2.0 +20 OK",
            "SIP/3.0 200 OK",
            "SIP/2.0",
            "SIP/",
            "SIP/2.0 200 O\0K",
            "SIP/2.0 200 O\rK",
        ] {
            let text = format!("{line}\r\n\r\n");
            let message = Message::parse(text.as_bytes(), text.len(), 8);
            assert!(message.is_response(), "{line:?}");
            assert_eq!(message.start_line(), StartLine::Unreadable, "{line:?}");
            assert_eq!(message.fault(), Some(BAD_STATUS_LINE), "{line:?}");
        }
    }

    #[test]
    fn request_lines_have_three_parts() {
        for (line, method, uri, fault) in [
            ("INVITE sip:h SIP/2.0", "INVITE", "sip:h", None),
            ("INVITE sip:h sip/2.0", "INVITE", "sip:h", None),
            ("M *%41 SIP/2.0", "M", "*%41", None),
            ("M sip:h SIP/2.1", "M", "sip:h", Some(505)),
            ("M sip:h SIP/12.0", "M", "sip:h", Some(505)),
            ("M sip:h SIP/.0", "M", "sip:h", Some(400)),
            ("M sip:h SIP/2.0x", "M", "sip:h", Some(400)),
            ("M sip:h HTTP/1.1", "M", "sip:h", Some(400)),
            ("M  SIP/2.0", "M", "", Some(400)),
            ("M SIP/2.0", "M", "", Some(400)),
        ] {
            let text = format!("{line}\r\n\r\n");
            let message = Message::parse(text.as_bytes(), text.len(), 8);
            let found = message.fault().map(|f| f.status.as_u16());
            assert_eq!(found, fault, "{line}");
            if fault != Some(400) {
                let (method, uri) = (method.as_bytes(), uri.as_bytes());
                assert_eq!(message.start_line(), StartLine::Request { method, uri });
            }
        }
    }
}
