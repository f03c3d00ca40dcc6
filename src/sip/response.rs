//! A response as far as it says which request it answers: RFC 3261 §17.1.3.

use super::message::Message;
use super::name::HeaderName;
use super::request::cseq;
use super::start_line::StartLine;
use super::status::StatusCode;
use super::via::Via;

/// A response, with the parts by which it finds its request.
#[derive(Debug, Clone, Copy)]
pub struct Response<'m> {
    /// The message it stands in.
    pub message: &'m Message<'m>,
    /// Status code.
    pub status: StatusCode,
    /// Topmost Via: that of whoever sent the request.
    pub via: Via<'m>,
    /// Sequence number of CSeq.
    pub cseq: u32,
    /// Method of CSeq: that of the request.
    pub method: &'m [u8],
}

impl<'m> Response<'m> {
    /// Reads status line, topmost Via and CSeq; `None` when one of them cannot be read, so that nobody can say what is
    /// answered. Faults of other fields are not looked for.
    pub fn read(message: &'m Message<'_>) -> Option<Self> {
        let StartLine::Response { status, .. } = message.start_line() else {
            return None;
        };
        let (cseq, method) = cseq(message.first(HeaderName::CSeq)?)?;
        Some(Self {
            message,
            status,
            via: Via::parse(message.top_via()?)?,
            cseq,
            method,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const OK: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS h:5061;branch=z9hG4bK1, SIP/2.0/TLS i;branch=z9hG4bK2\r\n\
        From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 7 MESSAGE\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn a_response_says_what_it_answers() {
        let message = Message::parse(OK.as_bytes(), OK.len(), 64);
        let response = Response::read(&message).unwrap();
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.via.branch(), Some(&b"z9hG4bK1"[..]));
        assert_eq!(response.via.sent_by, "h:5061");
        assert_eq!((response.cseq, response.method), (7, &b"MESSAGE"[..]));
    }

    #[test]
    fn what_does_not_say_it_is_no_response() {
        for (situation, from, to) in [
            ("a request", "SIP/2.0 200 OK", "MESSAGE sip:a@h SIP/2.0"),
            ("a status of four digits", "200", "2000"),
            ("no CSeq", "CSeq", "X-CSeq"),
            ("a CSeq without a number", "7 MESSAGE", "MESSAGE"),
            ("no Via", "Via", "X-Via"),
            ("a Via that is none", "SIP/2.0/TLS h:5061", "nonsense"),
        ] {
            let text = OK.replacen(from, to, 1);
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            assert!(Response::read(&message).is_none(), "{situation}");
        }
    }
}
