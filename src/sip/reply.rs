//! Answers that we make ourselves: RFC 3261 §8.2.6, Via as §18.2.1 and RFC 3581 ask.

use std::net::SocketAddr;

use super::address::Address;
use super::message::Message;
use super::name::HeaderName;
use super::received::Received;
use super::start_line::StartLine;
use super::status::StatusCode;
use super::text::is_token;
use super::via::{Via, first_value};

/// Option tags of a field such as Supported or Require.
fn option_tags<'m>(message: &'m Message<'_>, name: HeaderName) -> impl Iterator<Item = &'m [u8]> {
    message
        .all(name)
        .flat_map(|value| value.split(|o| *o == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|tag| !tag.is_empty())
}

/// Whether a field such as Supported or Require lists this option tag; their letter case does not matter (RFC 3261 §7.3.1).
pub fn lists(message: &Message<'_>, name: HeaderName, tag: &str) -> bool {
    option_tags(message, name).any(|listed| listed.eq_ignore_ascii_case(tag.as_bytes()))
}

/// The Unsupported header line of a 420 to a request that requires extensions by the field `name` other than `known`; `None`
/// when it requires none (RFC 3261 §8.2.2.3).
///
/// What is no token cannot be the name of an extension, nor be written in a list of them: the line is empty if there is
/// nothing else.
pub fn unsupported(request: &Message<'_>, name: HeaderName, known: &[&str]) -> Option<Vec<u8>> {
    let is_known = |tag: &[u8]| {
        let mut known = known.iter();
        known.any(|known| tag.eq_ignore_ascii_case(known.as_bytes()))
    };
    let tags: Vec<&[u8]> = option_tags(request, name)
        .filter(|tag| !is_known(tag))
        .collect();
    let tokens: Vec<&[u8]> = tags.iter().copied().filter(|tag| is_token(tag)).collect();
    match (tags.is_empty(), tokens.is_empty()) {
        (true, _) => None,
        (false, true) => Some(Vec::new()),
        (false, false) => Some([b"Unsupported: ", &tokens.join(&b", "[..])[..], b"\r\n"].concat()),
    }
}

/// A response to be written for one request.
#[derive(Debug, Clone)]
pub struct Reply<'r> {
    /// Status code.
    pub status: StatusCode,
    /// Reason phrase: a fixed text of ours, never the peer's.
    pub phrase: &'r str,
    /// Tag put into To when it has none; `None` leaves To alone (RFC 3261 §8.2.6.2, 100).
    pub to_tag: Option<&'r str>,
    /// Where the request really came from.
    pub source: Option<SocketAddr>,
    /// Server header.
    pub server: Option<&'r str>,
    /// Further header lines, each ended by CRLF.
    pub headers: &'r [u8],
}

impl Reply<'_> {
    /// Whether enough of the request is there that an answer would be a SIP message: RFC 3261 §8.2.6.2 copies these. An
    /// ACK is never answered, not even a broken one (RFC 3261 §17).
    pub fn is_possible(request: &Message<'_>) -> bool {
        let is_ack = matches!(
            request.start_line(),
            StartLine::Request { method: b"ACK", .. }
        );
        !request.is_response()
            && !is_ack
            && [
                HeaderName::Via,
                HeaderName::From,
                HeaderName::To,
                HeaderName::CallId,
                HeaderName::CSeq,
            ]
            .iter()
            .all(|name| request.count(*name) > 0)
    }

    /// Appends the response to `out`.
    pub fn write(&self, request: &Message<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(&self.status.digits());
        out.push(b' ');
        out.extend_from_slice(self.phrase.as_bytes());
        out.extend_from_slice(b"\r\n");
        for (at, via) in request.all(HeaderName::Via).enumerate() {
            let received = self.source.filter(|_| at == 0).and_then(|source| {
                let top = Via::parse(first_value(via))?;
                Received::of(via, top, source)
            });
            match received {
                Some(received) => received.write(out),
                None => line(out, "Via", via),
            }
        }
        if let Some(from) = request.first(HeaderName::From) {
            line(out, "From", from);
        }
        if let Some(to) = request.first(HeaderName::To) {
            out.extend_from_slice(b"To: ");
            out.extend_from_slice(to);
            if let Some(tag) = self.to_tag
                && !has_tag(to)
            {
                out.extend_from_slice(b";tag=");
                out.extend_from_slice(tag.as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
        if let Some(call_id) = request.first(HeaderName::CallId) {
            line(out, "Call-ID", call_id);
        }
        if let Some(cseq) = request.first(HeaderName::CSeq) {
            line(out, "CSeq", cseq);
        }
        out.extend_from_slice(self.headers);
        if let Some(server) = self.server {
            line(out, "Server", server.as_bytes());
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a To value has a tag already; one that cannot be read gets none of ours, lest it be two.
fn has_tag(to: &[u8]) -> bool {
    // Most have not even the word, and need not be read for it.
    to.windows(3).any(|w| w.eq_ignore_ascii_case(b"tag"))
        && Address::parse(to).is_none_or(|address| address.parameters.value("tag").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "192.0.2.9:40112";

    fn reply<'r>(to_tag: Option<&'r str>, source: &str) -> Reply<'r> {
        Reply {
            status: StatusCode::BAD_REQUEST,
            phrase: "Malformed From header",
            to_tag,
            source: source.parse().ok(),
            server: None,
            headers: b"",
        }
    }

    fn written(reply: &Reply<'_>, request: &str) -> String {
        let message = Message::parse(request.as_bytes(), request.len(), 64);
        let mut out = Vec::new();
        reply.write(&message, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_reply_copies_what_the_rfc_wants_and_no_more() {
        let request = "OPTIONS sip:h SIP/2.0\r\nv: SIP/2.0/TLS 192.0.2.9\r\nSubject: x\r\n\
            t: <sip:a@h>\r\nVia: SIP/2.0/TLS i , SIP/2.0/UDP j;x=\"1, 2\"\r\nf: garbage\r\n\
            i: 1\r\ncseq: 1  OPTIONS\r\nl: 0\r\n\r\n";
        let reply = Reply {
            server: Some("Sipvouch"),
            headers: b"Allow: OPTIONS\r\n",
            ..reply(Some("t1"), SOURCE)
        };
        assert_eq!(
            written(&reply, request),
            "SIP/2.0 400 Malformed From header\r\nVia: SIP/2.0/TLS 192.0.2.9\r\n\
             Via: SIP/2.0/TLS i , SIP/2.0/UDP j;x=\"1, 2\"\r\nFrom: garbage\r\nTo: <sip:a@h>;tag=t1\r\n\
             Call-ID: 1\r\nCSeq: 1  OPTIONS\r\nAllow: OPTIONS\r\nServer: Sipvouch\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn the_topmost_via_says_where_the_request_came_from() {
        for (situation, via, source, wanted) in [
            (
                "as it says",
                "SIP/2.0/TLS 192.0.2.9:5061;branch=b",
                SOURCE,
                "SIP/2.0/TLS 192.0.2.9:5061;branch=b",
            ),
            (
                "by name",
                "SIP/2.0/TLS h;branch=b",
                SOURCE,
                "SIP/2.0/TLS h;branch=b;received=192.0.2.9",
            ),
            (
                "another address",
                "SIP/2.0/TLS 192.0.2.1",
                SOURCE,
                "SIP/2.0/TLS 192.0.2.1;received=192.0.2.9",
            ),
            (
                "rport",
                "SIP/2.0/TLS 192.0.2.9;rport;branch=b",
                SOURCE,
                "SIP/2.0/TLS 192.0.2.9;branch=b;received=192.0.2.9;rport=40112",
            ),
            (
                "false rport",
                "SIP/2.0/TLS h;rport=1;x",
                SOURCE,
                "SIP/2.0/TLS h;x;received=192.0.2.9;rport=40112",
            ),
            (
                "false received",
                "SIP/2.0/TLS 192.0.2.9;received=[::1];Received=x",
                SOURCE,
                "SIP/2.0/TLS 192.0.2.9;received=192.0.2.9",
            ),
            (
                "IPv6",
                "SIP/2.0/TLS h",
                "[2001:db8::9]:5061",
                "SIP/2.0/TLS h;received=2001:db8::9",
            ),
            (
                "IPv6 as it says",
                "SIP/2.0/TLS [2001:DB8::9]",
                "[2001:db8::9]:5061",
                "SIP/2.0/TLS [2001:DB8::9]",
            ),
            (
                "mapped",
                "SIP/2.0/TLS 192.0.2.9",
                "[::ffff:192.0.2.9]:5061",
                "SIP/2.0/TLS 192.0.2.9",
            ),
            (
                "a list",
                "SIP/2.0/TLS h ; x = y , SIP/2.0/UDP i;rport",
                SOURCE,
                "SIP/2.0/TLS h;x=y;received=192.0.2.9 , SIP/2.0/UDP i;rport",
            ),
            (
                "a folded list",
                "SIP/2.0/TLS h\r\n ;branch=b,\r\n SIP/2.0/UDP i",
                SOURCE,
                "SIP/2.0/TLS h;branch=b;received=192.0.2.9, SIP/2.0/UDP i",
            ),
            ("unreadable", "SIP/2.0/TLS h;;", SOURCE, "SIP/2.0/TLS h;;"),
            (
                "unknown source",
                "SIP/2.0/TLS h;rport",
                "",
                "SIP/2.0/TLS h;rport",
            ),
        ] {
            let request = format!("OPTIONS sip:h SIP/2.0\r\nVia: {via}\r\n\r\n");
            let text = written(&reply(None, source), &request);
            let found = text.lines().nth(1);
            assert_eq!(
                found,
                Some(format!("Via: {wanted}").as_str()),
                "{situation}"
            );
        }
    }

    #[test]
    fn to_gets_one_tag() {
        for (to, tag, wanted) in [
            ("<sip:a@h>", Some("t1"), "<sip:a@h>;tag=t1"),
            ("<sip:a@h>", None, "<sip:a@h>"),
            ("sip:a@h", Some("t1"), "sip:a@h;tag=t1"),
            ("<sip:a;tag=x@h>", Some("t1"), "<sip:a;tag=x@h>;tag=t1"),
            (
                "\"tag=\" <sip:a@h>",
                Some("t1"),
                "\"tag=\" <sip:a@h>;tag=t1",
            ),
            ("<sip:a@h>;Tag = x", Some("t1"), "<sip:a@h>;Tag = x"),
            ("\"A <sip:a@h>", Some("t1"), "\"A <sip:a@h>;tag=t1"),
            ("\"A <sip:a@h>;TAG=x", Some("t1"), "\"A <sip:a@h>;TAG=x"),
        ] {
            let request = format!("OPTIONS sip:h SIP/2.0\r\nTo: {to}\r\n\r\n");
            let text = written(&reply(tag, SOURCE), &request);
            assert_eq!(text.lines().nth(1), Some(format!("To: {wanted}").as_str()));
        }
    }

    #[test]
    fn no_answer_without_the_fields_it_copies_or_to_an_answer() {
        let fields = "Via: x\r\nFrom: x\r\nTo: x\r\nCall-ID: x\r\nCSeq: x\r\n";
        let possible = |start: &str, fields: &str| {
            let text = format!("{start}\r\n{fields}\r\n");
            Reply::is_possible(&Message::parse(text.as_bytes(), text.len(), 64))
        };
        for start in [
            "OPTIONS sip:h SIP/2.0",
            "OPTIONS sip:h SIP/7.0",
            "garbage",
            "",
        ] {
            assert!(possible(start, fields), "{start}");
        }
        for start in [
            "ACK sip:h SIP/2.0",
            "SIP/2.0 200 OK",
            "SIP/2.0 4294967301 x",
            "sip/3.0 200 OK",
            "SIP/",
        ] {
            assert!(!possible(start, fields), "{start}");
        }
        for field in fields.split_inclusive("\r\n") {
            assert!(
                !possible("OPTIONS sip:h SIP/2.0", &fields.replace(field, "")),
                "{field}"
            );
        }
    }
}
