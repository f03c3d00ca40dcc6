//! A kept message on its way to the user who is back: a MESSAGE of its own (RFC 3428), outside of any dialog.

use std::io::Write as _;

use jiff::Timestamp;

use super::silo::KeptMessage;
use crate::sip::Uri;

/// A kept message and where it goes.
#[derive(Debug, Clone)]
pub struct Replay<'r> {
    /// What was kept.
    pub message: &'r KeptMessage,
    /// The contact, as it was registered.
    pub contact: &'r [u8],
    /// The Path of that contact, as its elements are written in a Route header.
    pub path: &'r [String],
    /// When the message was sent, in seconds since 1970; `None` leaves Date out.
    pub sent: Option<u64>,
    /// Tag of From.
    pub tag: &'r str,
    /// Call-ID.
    pub call_id: &'r str,
}

impl Replay<'_> {
    /// Writes the request, without a Via: whoever sends it puts theirs on top. `None` when the contact is no URI that a request can be sent to.
    ///
    /// Deviation: Max-Forwards is 70 (RFC 3261 §8.1.1.6), where repro wrote 20.
    pub fn write(&self) -> Option<Vec<u8>> {
        let KeptMessage {
            destination,
            source,
            content_type,
            body,
            ..
        } = self.message;
        let contact = request_uri(self.contact)?;
        let (tag, call_id) = (self.tag, self.call_id);
        let mut out = Vec::with_capacity(512 + body.len());
        // Writing to a Vec cannot fail.
        let _ = write!(out, "MESSAGE {contact} SIP/2.0\r\nMax-Forwards: 70\r\n");
        for route in self.path {
            let _ = write!(out, "Route: {route}\r\n");
        }
        let _ = write!(
            out,
            "From: {source};tag={tag}\r\nTo: <{destination}>\r\nCall-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\n"
        );
        if let Some(date) = self.sent.and_then(date) {
            let _ = write!(out, "Date: {date}\r\n");
        }
        let _ = write!(
            out,
            "Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        out.extend_from_slice(body);
        Some(out)
    }
}

/// A contact as a Request-URI: without headers, which would be read as header fields of the request, and without `method`
/// (RFC 3261 §19.1.1, table 1).
fn request_uri(contact: &[u8]) -> Option<String> {
    let uri = Uri::parse(contact)?;
    let Some(sip) = uri.sip() else {
        return String::from_utf8(contact.to_vec()).ok();
    };
    let mut plain = *sip;
    plain.headers = "";
    let has_method = sip.parameters.value("method").is_some();
    if !has_method {
        return Some(plain.to_string());
    }
    plain.parameters = crate::sip::Parameters::default();
    let mut text = plain.to_string();
    for (name, value) in sip.parameters.iter() {
        if name.eq_ignore_ascii_case(b"method") {
            continue;
        }
        text.push(';');
        text.push_str(std::str::from_utf8(name).ok()?);
        if let Some(value) = value {
            text.push('=');
            text.push_str(std::str::from_utf8(value).ok()?);
        }
    }
    Some(text)
}

/// A time as Date has it (RFC 3261 §20.17); `None` for a year that has not four digits.
fn date(seconds: u64) -> Option<String> {
    let time = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sip::{FromRule, HeaderName, Message, Method, Request};

    fn kept() -> KeptMessage {
        KeptMessage {
            destination: "sip:eve@example.org".to_owned(),
            source: "\"Alice\" <sip:alice@example.org>".to_owned(),
            arrived: 0,
            transaction: "7-x".to_owned(),
            content_type: "multipart/mixed;boundary=\"b;\"".to_owned(),
            body: b"--b;\r\n\r\n\0\xff\r\n--b;--\r\n".to_vec(),
        }
    }

    fn replay<'r>(message: &'r KeptMessage, contact: &'r str, path: &'r [String]) -> Replay<'r> {
        Replay {
            message,
            contact: contact.as_bytes(),
            path,
            sent: Some(1_289_690_940),
            tag: "t1",
            call_id: "c1@sip.example.org",
        }
    }

    #[test]
    fn a_replayed_message_is_read_back_as_it_was_kept() {
        let kept = kept();
        let path = ["<sip:p1;lr>".to_owned(), "<sip:p2;lr>;x=\"1,2\"".to_owned()];
        let text = replay(&kept, "sip:eve@192.0.2.9:5061;transport=tls", &path)
            .write()
            .unwrap();
        // Whoever sends it puts its Via on top.
        let line_end = text.iter().position(|octet| *octet == b'\n').unwrap() + 1;
        let (line, rest) = text.split_at(line_end);
        let via = b"Via: SIP/2.0/TLS sip.example.org:5061;branch=z9hG4bKreplay1\r\n";
        let text = [line, &via[..], rest].concat();
        let head = text.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let message = Message::parse(&text, head, 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        assert_eq!(request.method, Method::Message);
        assert_eq!(request.uri_text, b"sip:eve@192.0.2.9:5061;transport=tls");
        assert_eq!(request.from.display, b"\"Alice\"");
        assert_eq!(request.from.text, b"sip:alice@example.org");
        assert_eq!(request.from.tag(), Some(&b"t1"[..]));
        assert_eq!(request.to.text, b"sip:eve@example.org");
        assert!(!request.has_to_tag());
        assert_eq!(request.call_id, b"c1@sip.example.org");
        assert_eq!((request.cseq, request.max_forwards), (1, Some(70)));
        let routes: Vec<_> = message.all(HeaderName::Route).collect();
        assert_eq!(routes, path.each_ref().map(|route| route.as_bytes()));
        assert_eq!(
            message.first(HeaderName::Date),
            Some(&b"Sat, 13 Nov 2010 23:29:00 GMT"[..])
        );
        assert_eq!(
            message.first(HeaderName::ContentType),
            Some(kept.content_type.as_bytes())
        );
        assert_eq!(message.content_length(), Ok(Some(kept.body.len() as u64)));
        assert_eq!(message.body(), kept.body);
    }

    #[test]
    fn a_contact_plants_nothing_in_the_request() {
        let kept = kept();
        for (contact, wanted) in [
            ("sip:eve@h", Some("MESSAGE sip:eve@h SIP/2.0")),
            (
                "sip:eve@h;ob;x=y?Route=evil",
                Some("MESSAGE sip:eve@h;ob;x=y SIP/2.0"),
            ),
            (
                "sips:eve@[::1]:5;a;Method=BYE;b=c",
                Some("MESSAGE sips:eve@[::1]:5;a;b=c SIP/2.0"),
            ),
            ("tel:+1555", Some("MESSAGE tel:+1555 SIP/2.0")),
            ("sip:eve@h\r\nX: y", None),
            ("eve", None),
            ("", None),
        ] {
            let text = replay(&kept, contact, &[]).write();
            let text = text.map(|text| String::from_utf8_lossy(&text).into_owned());
            let first = text.as_deref().and_then(|text| text.lines().next());
            assert_eq!(first, wanted, "{contact}");
        }
    }

    #[test]
    fn dates_are_those_of_the_rfc() {
        for (seconds, wanted) in [
            (0, Some("Thu, 01 Jan 1970 00:00:00 GMT")),
            (951_782_400, Some("Tue, 29 Feb 2000 00:00:00 GMT")),
            (1_735_689_599, Some("Tue, 31 Dec 2024 23:59:59 GMT")),
            (u64::MAX, None),
            (1 << 50, None),
        ] {
            assert_eq!(date(seconds).as_deref(), wanted, "{seconds}");
        }
        let kept = kept();
        let undated = Replay {
            sent: None,
            ..replay(&kept, "sip:eve@h", &[])
        };
        let text = String::from_utf8_lossy(&undated.write().unwrap()).into_owned();
        assert!(!text.contains("Date:"), "{text}");
    }
}
