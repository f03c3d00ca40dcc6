//! Octet stream → whole messages: RFC 3261 §18.3, keep-alive of RFC 5626 §4.4.1.

use super::message::{Fault, Message};
use super::status::StatusCode;

/// How much of a stream one message may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Start line to empty line, in octets.
    pub head_bytes: usize,
    /// Body, in octets.
    pub body_bytes: usize,
    /// Header fields.
    pub fields: usize,
}

/// What the octets at the front of the stream are.
#[derive(Debug)]
pub enum Frame<'b> {
    /// Not yet anything whole; `started` when a message has begun (a lone CRLF has not).
    Partial {
        /// Whether a message has begun.
        started: bool,
    },
    /// CRLF CRLF between messages: the peer asks whether we are there. Consumes 4 octets.
    Ping,
    /// A CRLF between messages: a pong, or nothing. Consumes 2 octets.
    Pong,
    /// One whole message; consumes its length.
    Message {
        /// The message.
        message: Message<'b>,
        /// Octets it took.
        length: usize,
    },
    /// A head after which nobody can say where the next message begins: answer, then close.
    Unframed {
        /// What is readable of it; `None` when not even its head is whole.
        message: Option<Message<'b>>,
        /// Why.
        fault: Fault,
    },
}

/// Finds messages in what a connection has received so far. Keeps no octets, only how far it has looked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Framer {
    /// Octets known to hold no end of a head.
    scanned: usize,
    /// Lengths of head and whole message, once the head has been read and while the body is not all there.
    awaited: Option<(usize, usize)>,
}

impl Framer {
    /// Looks at everything received and not yet consumed. After a `Ping`, `Pong` or `Message` the caller drops the
    /// consumed octets and asks again; after `Partial`, once there are more.
    pub fn next<'b>(&mut self, received: &'b [u8], limits: &FrameLimits) -> Frame<'b> {
        if self.scanned == 0 {
            match received {
                [b'\r', b'\n', b'\r', b'\n', ..] => return Frame::Ping,
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => {
                    return Frame::Partial { started: false };
                }
                [b'\r', b'\n', ..] => return Frame::Pong,
                _ => {}
            }
        }
        if let Some((head, length)) = self.awaited {
            let Some(whole) = received.get(..length) else {
                return Frame::Partial { started: true };
            };
            *self = Self::default();
            let message = Message::parse(whole, head, limits.fields);
            return Frame::Message { message, length };
        }
        let found = find_head(received, self.scanned);
        self.scanned = received.len();
        let (head, proper) = match found {
            Some((head, proper)) if head <= limits.head_bytes => (head, proper),
            None if received.len() <= limits.head_bytes => {
                return Frame::Partial { started: true };
            }
            _ => {
                let fault = Fault {
                    status: StatusCode::MESSAGE_TOO_LARGE,
                    phrase: StatusCode::MESSAGE_TOO_LARGE.phrase(),
                };
                return Frame::Unframed {
                    message: None,
                    fault,
                };
            }
        };
        let head_bytes = received.get(..head).unwrap_or_default();
        let mut message = Message::parse(head_bytes, head, limits.fields);
        let body = match body_length(&message, limits) {
            // The empty line alone may lack its CR; then no field does.
            Ok(body) if proper => body,
            Ok(_) => return Frame::unframed(message, Fault::bad_request("Line ends must be CRLF")),
            Err(fault) => return Frame::unframed(message, fault),
        };
        let length = head.saturating_add(body);
        match received.get(..length) {
            Some(whole) => {
                message.attach_body(whole, head);
                *self = Self::default();
                Frame::Message { message, length }
            }
            None => {
                self.awaited = Some((head, length));
                Frame::Partial { started: true }
            }
        }
    }
}

impl<'b> Frame<'b> {
    /// The message's own fault came first, so it is told first.
    fn unframed(message: Message<'b>, fault: Fault) -> Self {
        Self::Unframed {
            fault: message.fault().unwrap_or(fault),
            message: Some(message),
        }
    }
}

/// Octets of body that follow the head.
fn body_length(message: &Message<'_>, limits: &FrameLimits) -> Result<usize, Fault> {
    // On a stream the field is mandatory (RFC 3261 §20.14).
    let length = message
        .content_length()?
        .ok_or(Fault::bad_request("Missing Content-Length header"))?;
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= limits.body_bytes)
        .ok_or(Fault {
            status: StatusCode::REQUEST_ENTITY_TOO_LARGE,
            phrase: StatusCode::REQUEST_ENTITY_TOO_LARGE.phrase(),
        })
}

/// Length of the head, and whether its empty line is the CRLF that it must be; looks from about `from` on.
pub(super) fn find_head(received: &[u8], from: usize) -> Option<(usize, bool)> {
    let tail = received.get(from..)?;
    for at in memchr::memchr_iter(b'\n', tail) {
        let end = from + at + 1;
        let before = received.get(..end)?;
        if before.ends_with(b"\r\n\r\n") {
            return Some((end, true));
        }
        // The same with bare line feeds, as a terminal sends it: no message, but its sender can be told.
        if before.ends_with(b"\n\n") || before.ends_with(b"\n\r\n") {
            return Some((end, false));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        head_bytes: 100,
        body_bytes: 10,
        fields: 8,
    };

    /// All frames of a stream, shortly: `ping`, `pong`, the body of a message, `!` and the fault, `?` for what is begun.
    fn frames(mut stream: &[u8]) -> Vec<String> {
        let (mut framer, mut found) = (Framer::default(), Vec::new());
        loop {
            let length = match framer.next(stream, &LIMITS) {
                Frame::Ping => {
                    found.push("ping".into());
                    4
                }
                Frame::Pong => {
                    found.push("pong".into());
                    2
                }
                Frame::Message { message, length } => {
                    found.push(String::from_utf8_lossy(message.body()).into_owned());
                    length
                }
                Frame::Partial { started } => {
                    if started {
                        found.push("?".into());
                    }
                    return found;
                }
                Frame::Unframed { message, fault } => {
                    let readable = if message.is_some() {
                        ""
                    } else {
                        "nothing readable, "
                    };
                    found.push(format!("!{readable}{}", fault.phrase));
                    return found;
                }
            };
            stream = stream.get(length..).unwrap_or_default();
        }
    }

    #[test]
    fn streams_are_cut_into_frames() {
        let long = format!("OPTIONS sip:h SIP/2.0\r\nX: {}\r\n\r\n", "x".repeat(100));
        let endless = "x".repeat(101);
        let many = format!(
            "OPTIONS sip:h SIP/2.0\r\nl: 0\r\n{}\r\n",
            "a:b\r\n".repeat(8)
        );
        for (situation, stream, wanted) in [
            ("nothing", "", &[][..]),
            ("half a line end", "\r", &[]),
            ("a pong, or half a ping", "\r\n", &[]),
            ("most of a ping", "\r\n\r", &[]),
            ("a ping", "\r\n\r\n", &["ping"]),
            ("ping and a half", "\r\n\r\n\r\n", &["ping"]),
            ("two pings", "\r\n\r\n\r\n\r\n", &["ping", "ping"]),
            (
                "line end before a message",
                "\r\nA b SIP/2.0\r\nl:1\r\n\r\nx",
                &["pong", "x"],
            ),
            (
                "three before a message",
                "\r\n\r\n\r\nA b SIP/2.0\r\nl:1\r\n\r\nx",
                &["ping", "pong", "x"],
            ),
            (
                "two messages",
                "A b SIP/2.0\r\nl:1\r\n\r\nxA b SIP/2.0\r\nl:0\r\n\r\n",
                &["x", ""],
            ),
            (
                "a ping between",
                "A b SIP/2.0\r\nl:0\r\n\r\n\r\n\r\nA b SIP/2.0\r\nl:0\r\n\r\n",
                &["", "ping", ""],
            ),
            (
                "line ends in a body are body",
                "A b SIP/2.0\r\nl:4\r\n\r\n\r\n\r\n",
                &["\r\n\r\n"],
            ),
            (
                "a body that is late",
                "A b SIP/2.0\r\nl:4\r\n\r\nabc",
                &["?"],
            ),
            ("a head that is late", "A b SIP/2.0\r\nl:4\r\n", &["?"]),
            (
                "a folded head",
                "A b SIP/2.0\r\nl:\r\n 2\r\n\r\nabA",
                &["ab", "?"],
            ),
            (
                "a faulty message that has an end",
                "A b SIP/7.0\r\nl:1\r\n\r\nx\r\n\r\n",
                &["x", "ping"],
            ),
            (
                "no length",
                "A b SIP/2.0\r\nX: y\r\n\r\n",
                &["!Missing Content-Length header"],
            ),
            (
                "two lengths",
                "A b SIP/2.0\r\nl:1\r\nl:1\r\n\r\nx",
                &["!More than one Content-Length"],
            ),
            (
                "no number",
                "A b SIP/2.0\r\nl:-1\r\n\r\nx",
                &["!Malformed Content-Length header"],
            ),
            (
                "no number to every reader",
                "A b SIP/2.0\r\nl:1\0\r\n\r\nx",
                &["!Control character in a header field"],
            ),
            (
                "nor folded",
                "A b SIP/2.0\r\nContent-Length: 1\r\n \u{b}\r\n\r\nx",
                &["!Control character in a header field"],
            ),
            (
                "body too large",
                "A b SIP/2.0\r\nl:11\r\n\r\n",
                &["!Request Entity Too Large"],
            ),
            (
                "vast body",
                "A b SIP/2.0\r\nl:18446744073709551615\r\n\r\n",
                &["!Request Entity Too Large"],
            ),
            (
                "whole head too large",
                long.as_str(),
                &["!nothing readable, Message Too Large"],
            ),
            (
                "head without end",
                &endless,
                &["!nothing readable, Message Too Large"],
            ),
            ("too many fields", &many, &["!Too many header fields"]),
            (
                "bare line feeds",
                "A b SIP/2.0\nl:0\n\n",
                &["!Line ends must be CRLF"],
            ),
            (
                "one bare line feed at the end",
                "A b SIP/2.0\r\nl:0\r\n\n",
                &["!Line ends must be CRLF"],
            ),
            (
                "one bare line feed before the end",
                "A b SIP/2.0\r\nl:0\n\r\n",
                &["!Line ends must be CRLF"],
            ),
            (
                "bare line feed between fields",
                "A b SIP/2.0\r\nX: y\nl:1\r\n\r\nx",
                &["!Line ends must be CRLF"],
            ),
            ("carriage return first", "\rA", &["?"]),
        ] {
            assert_eq!(frames(stream.as_bytes()), wanted, "{situation}");
        }
    }

    #[test]
    fn octets_are_looked_at_once() {
        let mut framer = Framer::default();
        let head = b"OPTIONS sip:h SIP/2.0\r\nX: y\r\n\r";
        assert!(matches!(
            framer.next(head, &LIMITS),
            Frame::Partial { started: true }
        ));
        assert_eq!(framer.scanned, head.len());
    }
}
