//! Answers that we make ourselves: RFC 3261 §8.2.6, Via as §18.2.1 and RFC 3581 ask.

use std::io::Write as _;
use std::net::SocketAddr;

use super::message::Message;
use super::name::HeaderName;
use super::status::StatusCode;
use super::via::Via;

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
    /// Whether enough of the request is there that an answer would be a SIP message: RFC 3261 §8.2.6.2 copies these.
    pub fn is_possible(request: &Message<'_>) -> bool {
        !request.is_response()
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
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{} {}\r\n", self.status.as_u16(), self.phrase);
        for (at, via) in request.all(HeaderName::Via).enumerate() {
            if at == 0 {
                self.write_top_via(via, out);
            } else {
                line(out, "Via", via);
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

    /// The topmost Via, with `received` where the sender's address is not what it wrote, and `rport` where it asked.
    fn write_top_via(&self, field: &[u8], out: &mut Vec<u8>) {
        let value = super::via::first_value(field);
        let Some((via, source)) = Via::parse(value).zip(self.source) else {
            return line(out, "Via", field);
        };
        let same_host = matches!(via.host, super::uri::Host::Ip(ip) if ip == source.ip());
        let rport = via.parameters.value("rport").is_some();
        let claimed = via.parameters.value("received").is_some();
        if same_host && !rport && !claimed {
            return line(out, "Via", field);
        }
        out.extend_from_slice(b"Via: ");
        let parameters = via.parameters.as_bytes();
        let fixed = value.len().saturating_sub(parameters.len());
        out.extend_from_slice(super::text::trim(value.get(..fixed).unwrap_or_default()));
        for (name, parameter) in via.parameters.iter() {
            if name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport") {
                continue;
            }
            out.push(b';');
            out.extend_from_slice(name);
            if let Some(parameter) = parameter {
                out.push(b'=');
                out.extend_from_slice(parameter);
            }
        }
        let _ = write!(out, ";received={}", source.ip());
        if rport {
            let _ = write!(out, ";rport={}", source.port());
        }
        out.extend_from_slice(field.get(value.len()..).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
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
    match super::address::Address::parse(to) {
        Some(address) => address.parameters.value("tag").is_some(),
        None => memchr::memmem::find(to, b"tag=").is_some(),
    }
}
