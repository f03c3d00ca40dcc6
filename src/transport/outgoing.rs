//! A request of the server's own, and what became of it.

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;

use super::places::Place;
use crate::proxy::branch;
use crate::registrar::FlowId;
use crate::sip::{Fault, FromRule, MAGIC_COOKIE, Message, Method, Request, StatusCode};

/// Who asked is told through this, on a lookup thread: it may block.
type Deliver = Box<dyn FnOnce(Delivered) + Send>;

/// A request that is to go out over a live connection, or as a datagram. Its topmost Via is written by the worker that sends it.
pub struct Outgoing {
    pub(super) flow: FlowId,
    /// The proxies that it goes through, if it does not go over that flow.
    pub(super) path: Vec<String>,
    pub(super) method: String,
    request: Vec<u8>,
    /// Where the Via goes: behind the request line.
    line_end: usize,
    deliver: Deliver,
}

/// What became of a request.
#[derive(Debug, Clone)]
pub enum Delivered {
    /// Finally answered.
    Answered {
        /// Status of the answer.
        status: StatusCode,
        /// The answer, our Via still on top.
        response: Box<Message<'static>>,
    },
    /// Not answered.
    Failed(Undelivered),
}

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// The peer did not answer in time (Timer F): what RFC 3261 §8.1.3.1 has treated as 408.
    #[error("no answer came in time")]
    Timeout,
    /// The connection is closed, or was before the answer came; the peer may have had the request or not. Of a datagram: the
    /// system cannot send it.
    #[error("the connection is gone")]
    ConnectionGone,
    /// Too many requests, or too many octets, are under way over this connection; it was not sent.
    #[error("too much is under way over this connection")]
    Busy,
}

/// Why a request cannot go out at all: a defect of who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A receiver would not understand it.
    #[error("the request cannot be read: {}", .0.phrase)]
    Malformed(Fault),
    /// Its Content-Length is not the length of its body, so that it would take what follows for its own.
    #[error("Content-Length is not the length of the body")]
    Length,
    /// INVITE and ACK have other transactions, and a CANCEL has the branch of what it cancels.
    #[error("a request of this method is not sent in this way")]
    Method,
}

/// Why a request has not been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// As many requests as there may be are under way, or the worker has too much to do: try again later.
    #[error("too many requests are under way")]
    Full,
    /// The server ends.
    #[error("the server ends")]
    Ending,
}

/// Header fields of a request of our own; a message that a peer left with us has no more either.
pub(super) const MOST_FIELDS: usize = 512;

impl Outgoing {
    /// A request for the peer at the other end of this connection: whole, but without a Via of ours. `deliver` is called
    /// once, on a lookup thread, and tells what became of it.
    ///
    /// # Errors
    /// What a receiver would find wrong with it: nothing goes out that could not be read or framed.
    pub fn new(
        flow: FlowId,
        request: Vec<u8>,
        deliver: impl FnOnce(Delivered) + Send + 'static,
    ) -> Result<Self, Unsendable> {
        let line_end = memchr::memchr(b'\n', &request).map_or(request.len(), |at| at + 1);
        let mut outgoing = Self {
            flow,
            path: Vec::new(),
            method: String::new(),
            request,
            line_end,
            deliver: Box::new(deliver),
        };
        let mut whole = Vec::new();
        let branch = Branch::new("0");
        outgoing.write("TLS", "localhost", &branch, &mut whole);
        let head = memchr::memmem::find(&whole, b"\r\n\r\n").map_or(whole.len(), |at| at + 4);
        let message = Message::parse(&whole, head, MOST_FIELDS);
        let request = Request::read(&message, FromRule::Single).map_err(Unsendable::Malformed)?;
        if matches!(
            request.method,
            Method::Invite | Method::Ack | Method::Cancel
        ) {
            return Err(Unsendable::Method);
        }
        if message.content_length() != Ok(Some(message.body().len() as u64)) {
            return Err(Unsendable::Length);
        }
        outgoing.method = request.method.as_str().to_owned();
        Ok(outgoing)
    }

    /// The same to a device that registered over this flow through proxies: by its Path (RFC 3327), if there is one.
    #[must_use]
    pub fn through(self, path: Vec<String>) -> Self {
        Self { path, ..self }
    }

    /// Octets of it without our Via.
    pub(super) fn len(&self) -> usize {
        self.request.len()
    }

    /// Appends the whole request with our Via on top. `rport` asks for what RFC 3581 gives, though the answer comes over
    /// the same connection in any case.
    pub(super) fn write(&self, transport: &str, sent_by: &str, branch: &Branch, out: &mut Vec<u8>) {
        let (line, rest) = self
            .request
            .split_at_checked(self.line_end)
            .unwrap_or_default();
        out.extend_from_slice(line);
        let branch = branch.as_str();
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "Via: SIP/2.0/{transport} {sent_by};branch={branch};rport\r\n"
        );
        out.extend_from_slice(rest);
    }
}

impl fmt::Debug for Outgoing {
    /// Without the content, which is somebody's message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("flow", &self.flow)
            .field("method", &self.method)
            .field("octets", &self.request.len())
            .finish_non_exhaustive()
    }
}

/// A branch of ours (RFC 3261 §8.1.1.7).
pub(super) struct Branch(String);

impl Branch {
    /// The magic cookie and something that nobody can guess.
    pub(super) fn new(secret: &str) -> Self {
        Self(format!("{}{secret}", String::from_utf8_lossy(MAGIC_COOKIE)))
    }

    /// The same for the worker of this number: an answer that comes to another finds its way there.
    pub(super) fn at(worker: usize, secret: &str) -> Self {
        Self(branch::make(0, &format!("{worker:x}-{secret}")))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The sent-by of requests over a connection whose end here has this address.
pub(super) fn sent_by(local: SocketAddr) -> String {
    // Without the zone of a link-local address, which a SIP host has no place for.
    match local.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => format!("{ip}:{}", local.port()),
        std::net::IpAddr::V6(ip) => format!("[{ip}]:{}", local.port()),
    }
}

/// A request on its way to its worker.
pub(crate) struct Posted {
    pub(super) outgoing: Outgoing,
    pub(super) place: Place,
}

impl Posted {
    /// The request is out, or will not be: what is left is who waits.
    pub(super) fn into_asker(self) -> Asker {
        Asker {
            deliver: self.outgoing.deliver,
            _place: self.place,
        }
    }
}

/// Who waits for the outcome of a request. The request counts as under way until he has been told.
pub(super) struct Asker {
    deliver: Deliver,
    _place: Place,
}

impl Asker {
    /// Tells him; only on a lookup thread, since he may take his time.
    pub(super) fn tell(self, delivered: Delivered) {
        (self.deliver)(delivered);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MESSAGE: &str = "MESSAGE sip:a@192.0.2.1 SIP/2.0\r\nMax-Forwards: 70\r\nFrom: <sip:b@h>;tag=1\r\n\
        To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\nContent-Length: 5\r\n\r\nhello";

    fn outgoing(text: &str) -> Result<Outgoing, Unsendable> {
        Outgoing::new(FlowId::Connection(1), text.as_bytes().to_vec(), |_| ())
    }

    #[test]
    fn our_via_stands_on_top() {
        let mut out = Vec::new();
        let branch = Branch::new("1f");
        outgoing(MESSAGE)
            .unwrap()
            .write("TLS", "192.0.2.9:5061", &branch, &mut out);
        let wanted = MESSAGE.replacen(
            "SIP/2.0\r\n",
            "SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bK1f;rport\r\n",
            1,
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn what_a_receiver_could_not_read_or_frame_is_not_sent() {
        let good = |from: &str, to: &str| outgoing(&MESSAGE.replace(from, to)).map(|_| ());
        let malformed =
            |result: Result<(), Unsendable>| matches!(result, Err(Unsendable::Malformed(_)));
        assert_eq!(good("", ""), Ok(()));
        assert!(malformed(outgoing("").map(|_| ())), "nothing");
        assert!(malformed(outgoing("hello").map(|_| ())), "no line");
        for (situation, from, to) in [
            ("no From", "From", "X-From"),
            ("a CSeq of another method", "1 MESSAGE", "1 OPTIONS"),
            (
                "a response",
                "MESSAGE sip:a@192.0.2.1 SIP/2.0",
                "SIP/2.0 200 OK",
            ),
            ("a bare line feed", "Call-ID: c\r\n", "Call-ID: c\n"),
        ] {
            assert!(malformed(good(from, to)), "{situation}");
        }
        for (situation, from, to, why) in [
            ("too short", ": 5", ": 4", Unsendable::Length),
            ("too long", ": 5", ": 6", Unsendable::Length),
            (
                "no length",
                "Content-Length",
                "X-Length",
                Unsendable::Length,
            ),
            ("an INVITE", "MESSAGE", "INVITE", Unsendable::Method),
            ("an ACK", "MESSAGE", "ACK", Unsendable::Method),
            ("a CANCEL", "MESSAGE", "CANCEL", Unsendable::Method),
        ] {
            assert_eq!(good(from, to), Err(why), "{situation}");
        }
    }

    #[test]
    fn sent_by_is_a_host_of_the_grammar() {
        for (local, wanted) in [
            ("192.0.2.1:5061", "192.0.2.1:5061"),
            ("[2001:db8::1]:5061", "[2001:db8::1]:5061"),
            ("[::ffff:192.0.2.1]:5061", "192.0.2.1:5061"),
            ("[fe80::1%3]:5061", "[fe80::1]:5061"),
        ] {
            assert_eq!(sent_by(local.parse().unwrap()), wanted);
        }
    }
}
