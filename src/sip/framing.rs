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
    /// Length of the whole message, once its head has been read.
    whole: Option<(usize, usize)>,
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
        let (head, length) = match self.whole {
            Some(known) => known,
            None => match self.read_head(received, limits) {
                Ok(Some(found)) => found,
                Ok(None) => return Frame::Partial { started: true },
                Err(frame) => return *frame,
            },
        };
        match received.get(..length) {
            Some(bytes) => {
                *self = Self::default();
                Frame::Message {
                    message: Message::parse(bytes, head, limits.fields),
                    length,
                }
            }
            None => {
                self.whole = Some((head, length));
                Frame::Partial { started: true }
            }
        }
    }

    /// Lengths of head and message, once the head is there.
    fn read_head<'b>(
        &mut self,
        received: &'b [u8],
        limits: &FrameLimits,
    ) -> Result<Option<(usize, usize)>, Box<Frame<'b>>> {
        let unframed = |message, fault| Box::new(Frame::Unframed { message, fault });
        let Some((head, proper)) = find_head(received, self.scanned) else {
            // The end of a head may be cut anywhere, so the last three octets are looked at again.
            self.scanned = received.len().saturating_sub(3).max(1);
            if received.len() > limits.head_bytes {
                return Err(unframed(
                    None,
                    Fault {
                        status: StatusCode::MESSAGE_TOO_LARGE,
                        phrase: "Message Too Large",
                    },
                ));
            }
            return Ok(None);
        };
        let bytes = received.get(..head).unwrap_or_default();
        if head > limits.head_bytes {
            return Err(unframed(
                None,
                Fault {
                    status: StatusCode::MESSAGE_TOO_LARGE,
                    phrase: "Message Too Large",
                },
            ));
        }
        let message = Message::parse(bytes, head, limits.fields);
        if !proper {
            return Err(unframed(
                Some(message),
                Fault::bad_request("Line ends must be CRLF"),
            ));
        }
        let body = match message.content_length() {
            Ok(Some(body)) => body,
            // On a stream the field is mandatory (RFC 3261 §20.14).
            Ok(None) => {
                let fault = message
                    .fault()
                    .unwrap_or(Fault::bad_request("Missing Content-Length header"));
                return Err(unframed(Some(message), fault));
            }
            Err(fault) => return Err(unframed(Some(message), fault)),
        };
        match usize::try_from(body) {
            Ok(body) if body <= limits.body_bytes => Ok(Some((head, head + body))),
            _ => {
                let status = StatusCode::REQUEST_ENTITY_TOO_LARGE;
                Err(unframed(
                    Some(message),
                    Fault {
                        status,
                        phrase: status.phrase(),
                    },
                ))
            }
        }
    }
}

/// Length of the head, and whether its empty line is the CRLF that it must be; looks from about `from` on.
fn find_head(received: &[u8], from: usize) -> Option<(usize, bool)> {
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
