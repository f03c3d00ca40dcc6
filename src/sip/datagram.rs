//! One datagram → one message: RFC 3261 §18.3.

use super::framing::{FrameLimits, find_head};
use super::message::{Fault, Message};
use super::start_line::StartLine;
use super::status::StatusCode;

/// What a datagram carries.
#[derive(Debug)]
pub enum Payload<'d> {
    /// CRLF CRLF: the peer asks whether we are there.
    Ping,
    /// Empty lines or zeros: something passes the NATs on the way, and nobody waits for an answer.
    Nothing,
    /// One message, with what belongs to it and no more.
    Message(Message<'d>),
    /// A message that is not whole, or larger than is taken: to be answered if it is a request, and not to be handled.
    Unusable {
        /// What is readable of it.
        message: Message<'d>,
        /// Why.
        fault: Fault,
    },
    /// No SIP.
    Garbage,
}

/// Says what a datagram carries. Without Content-Length the message goes to its end; octets behind the message are none of
/// ours.
pub fn read_datagram<'d>(datagram: &'d [u8], limits: &FrameLimits) -> Payload<'d> {
    if datagram == b"\r\n\r\n" {
        return Payload::Ping;
    }
    if datagram.iter().all(|o| matches!(o, b'\r' | b'\n' | 0)) {
        return Payload::Nothing;
    }
    let mut octets = datagram;
    // RFC 3261 §7.5: empty lines before the start line are none.
    while let Some(rest) = octets.strip_prefix(b"\r\n") {
        octets = rest;
    }
    let found = find_head(octets, 0);
    let (head, _) = found.unwrap_or((octets.len(), false));
    let mut message = Message::parse(octets, head, limits.fields);
    if message.start_line() == StartLine::Unreadable && !message.is_response() {
        return Payload::Garbage;
    }
    let there = octets.len() - head;
    let fault = match (found, body_length(&message, there, limits)) {
        (Some((head, _)), _) if head > limits.head_bytes => {
            too_large(StatusCode::MESSAGE_TOO_LARGE)
        }
        (Some((_, true)), Ok(body)) => {
            message.truncate_body(body);
            return Payload::Message(message);
        }
        (Some((_, true)), Err(fault)) => message.fault().unwrap_or(fault),
        (Some((_, false)), _) => Fault::bad_request("Line ends must be CRLF"),
        (None, _) => message
            .fault()
            .unwrap_or(Fault::bad_request("Missing empty line")),
    };
    Payload::Unusable { message, fault }
}

/// Octets of body that belong to the message, of those that are there.
fn body_length(message: &Message<'_>, there: usize, limits: &FrameLimits) -> Result<usize, Fault> {
    let length = match message.content_length()? {
        None => there,
        // Cut off on its way, or by who sent it: what is left is not what was meant.
        Some(length) => usize::try_from(length)
            .ok()
            .filter(|length| *length <= there)
            .ok_or(Fault::bad_request("Content-Length beyond the datagram"))?,
    };
    if length > limits.body_bytes {
        return Err(too_large(StatusCode::REQUEST_ENTITY_TOO_LARGE));
    }
    Ok(length)
}

fn too_large(status: StatusCode) -> Fault {
    Fault {
        status,
        phrase: status.phrase(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        head_bytes: 120,
        body_bytes: 10,
        fields: 8,
    };

    /// `ping`, `nothing`, `garbage`, the body of a message, or `!` and the fault.
    fn read(datagram: &[u8]) -> String {
        match read_datagram(datagram, &LIMITS) {
            Payload::Ping => "ping".into(),
            Payload::Nothing => "nothing".into(),
            Payload::Garbage => "garbage".into(),
            Payload::Message(message) => {
                assert_eq!(message.fault(), None);
                String::from_utf8_lossy(message.body()).into_owned()
            }
            Payload::Unusable { fault, .. } => format!("!{} {}", fault.status, fault.phrase),
        }
    }

    #[test]
    fn each_datagram_is_one_message_or_none() {
        let beyond = "!400 Content-Length beyond the datagram";
        for (situation, datagram, wanted) in [
            ("a ping", "\r\n\r\n", "ping"),
            ("a pong", "\r\n", "nothing"),
            ("zeros", "\0\0\0\0", "nothing"),
            ("nothing at all", "", "nothing"),
            (
                "no Content-Length: to the end",
                "MESSAGE sip:h SIP/2.0\r\nTo: x\r\n\r\nhello",
                "hello",
            ),
            (
                "a Content-Length",
                "MESSAGE sip:h SIP/2.0\r\nContent-Length: 5\r\n\r\nhello",
                "hello",
            ),
            (
                "octets behind it",
                "MESSAGE sip:h SIP/2.0\r\nl: 2\r\n\r\nhello",
                "he",
            ),
            (
                "empty lines before it",
                "\r\n\r\nMESSAGE sip:h SIP/2.0\r\nl: 2\r\n\r\nhi",
                "hi",
            ),
            (
                "a body that is not all there",
                "MESSAGE sip:h SIP/2.0\r\nl: 6\r\n\r\nhello",
                beyond,
            ),
            (
                "one that could never be",
                "MESSAGE sip:h SIP/2.0\r\nl: 18446744073709551615\r\n\r\nhello",
                beyond,
            ),
            (
                "the same in a response",
                "SIP/2.0 200 OK\r\nl: 6\r\n\r\nhello",
                beyond,
            ),
            (
                "no number",
                "MESSAGE sip:h SIP/2.0\r\nl: x\r\n\r\nhello",
                "!400 Malformed Content-Length header",
            ),
            (
                "a body that is too large",
                "MESSAGE sip:h SIP/2.0\r\nl: 11\r\n\r\nhello world",
                "!413 Request Entity Too Large",
            ),
            (
                "too large without saying so",
                "MESSAGE sip:h SIP/2.0\r\nTo: x\r\n\r\nhello world",
                "!413 Request Entity Too Large",
            ),
            (
                "no empty line",
                "MESSAGE sip:h SIP/2.0\r\nTo: x\r\n",
                "!400 Missing empty line",
            ),
            (
                "line feeds alone",
                "MESSAGE sip:h SIP/2.0\nTo: x\n\n",
                "!400 Line ends must be CRLF",
            ),
            ("something else", "hello\r\n\r\n", "garbage"),
            ("octets", "\u{1}\u{2}\u{3}", "garbage"),
        ] {
            assert_eq!(read(datagram.as_bytes()), wanted, "{situation}");
        }
    }

    #[test]
    fn whatever_comes_is_one_of_these_and_no_message_is_longer_than_its_datagram() {
        proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }, |(
            datagram in "(\r\n){0,2}(MESSAGE sip:h|x|SIP/2.0)? ?(SIP/2.0|200 OK)?\r?\n(l: [0-9]{1,2}\r\n|To: x\r\n){0,2}(\r\n)?[ -~]{0,16}",
        )| {
            if let Payload::Message(message) = read_datagram(datagram.as_bytes(), &LIMITS) {
                prop_assert!(message.as_bytes().len() <= datagram.len());
                prop_assert!(message.body().len() <= LIMITS.body_bytes);
            }
        });
    }

    #[test]
    fn a_head_that_is_too_large_is_told_so() {
        let head = format!("MESSAGE sip:h SIP/2.0\r\nTo: {}\r\n\r\n", "x".repeat(120));
        assert_eq!(read(head.as_bytes()), "!513 Message Too Large");
    }
}
