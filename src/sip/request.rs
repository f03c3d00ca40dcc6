//! A request whose mandatory fields have been read: RFC 3261 §8.1.1, checked as §8.2 and §16.3 step 1 ask.

use super::address::Address;
use super::message::{Fault, Message};
use super::method::Method;
use super::name::HeaderName;
use super::start_line::StartLine;
use super::status::StatusCode;
use super::text::{is_blank, number, split_list, trim_start};
use super::uri::Uri;
use super::via::{MAGIC_COOKIE, Via};

/// How a From that is more than one is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FromRule {
    /// More than one From is a fault (RFC 4475 §3.3.8). The default.
    #[default]
    Single,
    /// The first one counts, as repro has it. Only for its compatibility mode.
    First,
}

/// A request, its mandatory parts typed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'m> {
    /// The message it stands in.
    pub message: &'m Message<'m>,
    /// Method.
    pub method: Method<'m>,
    /// Request-URI as written.
    pub uri_text: &'m [u8],
    /// Request-URI.
    pub uri: Uri<'m>,
    /// Topmost Via.
    pub via: Via<'m>,
    /// From.
    pub from: Address<'m>,
    /// To.
    pub to: Address<'m>,
    /// Call-ID.
    pub call_id: &'m [u8],
    /// Sequence number of CSeq, below 2**31.
    pub cseq: u32,
    /// Max-Forwards; `None` without the field, 255 for anything larger.
    pub max_forwards: Option<u8>,
}

impl<'m> Request<'m> {
    /// Reads the mandatory parts.
    ///
    /// # Errors
    /// The first fault in the order start line, header block, Via, Call-ID, CSeq, From, To, Max-Forwards.
    pub fn read(message: &'m Message<'_>, from_rule: FromRule) -> Result<Self, Fault> {
        const BAD_LINE: Fault = Fault::bad_request("Malformed Request Line");
        if let Some(fault) = message.fault() {
            return Err(fault);
        }
        let StartLine::Request {
            method,
            uri: uri_text,
        } = message.start_line()
        else {
            return Err(BAD_LINE);
        };
        let method = Method::parse(method).ok_or(BAD_LINE)?;
        let uri = Uri::parse(uri_text).ok_or(BAD_LINE)?;
        if let Uri::Sip(sip) = &uri {
            // `?Route=…` in a Request-URI would plant header fields in what we forward (RFC 3261 §19.1.5).
            if !sip.headers.is_empty() {
                return Err(BAD_LINE);
            }
        }
        let via = message.top_via().ok_or(MISSING)?;
        let via = Via::parse(via).ok_or(Fault::bad_request("Malformed topmost Via header"))?;
        if via
            .branch()
            .is_some_and(|b| b.eq_ignore_ascii_case(MAGIC_COOKIE))
        {
            return Err(Fault::bad_request("Malformed topmost Via header"));
        }
        let call_id = single(message, HeaderName::CallId, "Malformed Call-ID header")?;
        // Wider than the grammar by the `=` of base64 and the like: a Call-ID is compared and nothing else.
        if call_id.is_empty() || !call_id.iter().all(u8::is_ascii_graphic) {
            return Err(Fault::bad_request("Malformed Call-ID header"));
        }
        let (cseq, cseq_method) = cseq(single(message, HeaderName::CSeq, "Malformed CSeq header")?)
            .ok_or(Fault::bad_request("Malformed CSeq header"))?;
        if cseq_method != method.as_str().as_bytes() {
            return Err(Fault::bad_request(
                "Method mismatch btw Request Line and CSeq",
            ));
        }
        let from = match from_rule {
            FromRule::Single => single(message, HeaderName::From, "Malformed From header")?,
            FromRule::First => message
                .first(HeaderName::From)
                .and_then(|value| split_list(value).next())
                .ok_or(MISSING)?,
        };
        let from = identity(from).ok_or(Fault::bad_request("Malformed From header"))?;
        let to = single(message, HeaderName::To, "Malformed To header")?;
        let to = identity(to).ok_or(Fault::bad_request("Malformed To header"))?;
        let max_forwards = match message.count(HeaderName::MaxForwards) {
            0 => None,
            _ => {
                let text = single(message, HeaderName::MaxForwards, "Malformed Max-Forwards")?;
                let hops = number(text).ok_or(Fault::bad_request("Malformed Max-Forwards"))?;
                Some(u8::try_from(hops).unwrap_or(u8::MAX))
            }
        };
        Ok(Self {
            message,
            method,
            uri_text,
            uri,
            via,
            from,
            to,
            call_id,
            cseq,
            max_forwards,
        })
    }

    /// Whether To has a tag, as requests within a dialog do (RFC 3261 §12.2).
    pub fn has_to_tag(&self) -> bool {
        self.to.tag().is_some()
    }

    /// The fault of a Request-URI whose scheme is not ours (RFC 3261 §16.3 step 2), if it is that.
    pub fn unsupported_scheme(&self) -> Option<Fault> {
        self.uri.sip().is_none().then_some(Fault {
            status: StatusCode::UNSUPPORTED_URI_SCHEME,
            phrase: StatusCode::UNSUPPORTED_URI_SCHEME.phrase(),
        })
    }
}

const MISSING: Fault = Fault::bad_request("Missing mandatory header field");

/// An address that names somebody: its URI has no headers (RFC 3261 §19.1.1, table 1), which the next reader might take
/// for header fields of the request.
fn identity(value: &[u8]) -> Option<Address<'_>> {
    Address::parse(value)
        .filter(|address| address.uri.sip().is_none_or(|uri| uri.headers.is_empty()))
}

/// The only value of a field that must occur exactly once (RFC 3261 §7.3.1; RFC 4475 §3.3.8).
fn single<'m>(
    message: &'m Message<'_>,
    name: HeaderName,
    phrase: &'static str,
) -> Result<&'m [u8], Fault> {
    let mut values = message.all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(MISSING),
        (Some(_), Some(_)) => Err(Fault::bad_request(phrase)),
    }
}

/// Number and method of a CSeq value (RFC 3261 §8.1.1.5: the number is below 2**31).
pub(super) fn cseq(value: &[u8]) -> Option<(u32, &[u8])> {
    let end = value.iter().position(|o| is_blank(*o))?;
    let (digits, rest) = value.split_at_checked(end)?;
    let sequence = number(digits).filter(|n| *n < 1 << 31)?;
    Some((u32::try_from(sequence).ok()?, trim_start(rest)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
        Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\n\
        From: <sip:alice@example.com>;tag=1\r\n\
        To: <sip:alice@example.com>\r\n\
        Call-ID: 1@192.0.2.1\r\n\
        CSeq: 1 REGISTER\r\n\
        Content-Length: 0\r\n\r\n";

    /// Reads the request above with the line that begins so replaced; the replacement may be none or many lines.
    fn read_with(line: &str, replacement: &str, rule: FromRule) -> Result<String, Fault> {
        let start = REGISTER.find(line).unwrap();
        let end = start + REGISTER[start..].find("\r\n").unwrap() + 2;
        let text = [&REGISTER[..start], replacement, &REGISTER[end..]].concat();
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, rule)?;
        Ok(String::from_utf8_lossy(request.from.text).into_owned())
    }

    fn phrase(line: &str, replacement: &str, rule: FromRule) -> Option<&'static str> {
        read_with(line, replacement, rule).err().map(|f| f.phrase)
    }

    #[test]
    fn a_good_request_has_its_parts() {
        let message = Message::parse(REGISTER.as_bytes(), REGISTER.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        assert_eq!(request.method, Method::Register);
        assert_eq!(request.uri_text, b"sip:example.com");
        assert_eq!(request.via.branch(), Some(&b"z9hG4bK1"[..]));
        assert_eq!(request.from.tag(), Some(&b"1"[..]));
        assert_eq!(request.to.text, b"sip:alice@example.com");
        assert_eq!(request.call_id, b"1@192.0.2.1");
        assert_eq!((request.cseq, request.max_forwards), (1, Some(70)));
        assert!(!request.has_to_tag());
        assert_eq!(request.unsupported_scheme(), None);
    }

    #[test]
    fn a_request_line_must_be_exact() {
        const BAD: Option<&str> = Some("Malformed Request Line");
        for (line, fault) in [
            ("REGISTER tel:1 SIP/2.0", None),
            ("REGISTER sip:example.com sip/2.0", None),
            (
                "register sip:example.com SIP/2.0",
                Some("Method mismatch btw Request Line and CSeq"),
            ),
            ("REGISTER sip:example.com?Route=%3Csip:x%3E SIP/2.0", BAD),
            ("REGISTER <sip:example.com> SIP/2.0", BAD),
            ("REGISTER  sip:example.com SIP/2.0", BAD),
            ("REGISTER sip:example.com  SIP/2.0", BAD),
            ("REGISTER sip:example.com SIP/2.0 ", BAD),
            (" REGISTER sip:example.com SIP/2.0", BAD),
            ("REGISTER\tsip:example.com SIP/2.0", BAD),
            ("REGISTER sip:exa mple.com SIP/2.0", BAD),
            ("REGISTER sip:example.com\0 SIP/2.0", BAD),
            ("REGISTER * SIP/2.0", BAD),
            ("REGISTER sip:example.com", BAD),
            ("REGISTER SIP/2.0", BAD),
            ("REGISTER sip:example.com HTTP/1.1", BAD),
            ("REGISTER sip:example.com SIP/2", BAD),
            ("REGISTER sip:example.com SIP/2.0.0", BAD),
            (
                "REGISTER sip:example.com SIP/7.0",
                Some("Version Not Supported"),
            ),
            ("REG(STER sip:example.com SIP/2.0", BAD),
            ("SIP/2.0 200 OK", BAD),
            ("SIP/2.0 99 OK", Some("Malformed Status Line")),
        ] {
            let found = phrase("REGISTER ", &format!("{line}\r\n"), FromRule::Single);
            assert_eq!(found, fault, "{line:?}");
        }
    }

    #[test]
    fn each_mandatory_field_is_there_once_and_good() {
        const MISSING: Option<&str> = Some("Missing mandatory header field");
        for (field, replacement, fault) in [
            ("Via", "", MISSING),
            ("Via", "Via:\r\n", Some("Malformed topmost Via header")),
            (
                "Via",
                "Via: SIP/2.0/TLS\r\n",
                Some("Malformed topmost Via header"),
            ),
            (
                "Via",
                "Via: SIP/2.0/TLS h;branch=z9hG4bK\r\n",
                Some("Malformed topmost Via header"),
            ),
            (
                "Via",
                "Via: SIP/2.0/TLS h;branch=Z9HG4BK\r\n",
                Some("Malformed topmost Via header"),
            ),
            ("Via", "Via: SIP/2.0/TLS h\r\n", None),
            (
                "Via",
                "Via: SIP/2.0/TLS h, garbage\r\nVia: garbage\r\n",
                None,
            ),
            ("Max-Forwards", "", None),
            ("Max-Forwards", "Max-Forwards: 300\r\n", None),
            ("Max-Forwards", "Max-Forwards: 0068\r\n", None),
            (
                "Max-Forwards",
                "Max-Forwards:\r\n",
                Some("Malformed Max-Forwards"),
            ),
            (
                "Max-Forwards",
                "Max-Forwards: -1\r\n",
                Some("Malformed Max-Forwards"),
            ),
            (
                "Max-Forwards",
                "Max-Forwards: 1\r\nMax-Forwards: 1\r\n",
                Some("Malformed Max-Forwards"),
            ),
            ("To", "", MISSING),
            ("To", "To:\r\n", Some("Malformed To header")),
            ("To", "To: \"A <sip:a@h>\r\n", Some("Malformed To header")),
            ("To", "To: < sip:a@h >\r\n", Some("Malformed To header")),
            (
                "To",
                "To: <sip:a@h>\r\nTo: <sip:a@h>\r\n",
                Some("Malformed To header"),
            ),
            ("To", "t: isbn:2983792873\r\n", None),
            ("Call-ID", "", MISSING),
            ("Call-ID", "Call-ID:\r\n", Some("Malformed Call-ID header")),
            (
                "Call-ID",
                "Call-ID: a b\r\n",
                Some("Malformed Call-ID header"),
            ),
            (
                "Call-ID",
                "Call-ID: a\r\nCall-ID: a\r\n",
                Some("Malformed Call-ID header"),
            ),
            (
                "Call-ID",
                "Call-ID: a\u{fc}\r\n",
                Some("Malformed Call-ID header"),
            ),
            (
                "Call-ID",
                "i: word%ZK-!.*_+'@word`~)(><:\\/\"][?}{==\r\n",
                None,
            ),
            ("CSeq", "", MISSING),
            ("CSeq", "CSeq:\r\n", Some("Malformed CSeq header")),
            ("CSeq", "CSeq: 1\r\n", Some("Malformed CSeq header")),
            ("CSeq", "CSeq: REGISTER\r\n", Some("Malformed CSeq header")),
            ("CSeq", "CSeq: 1REGISTER\r\n", Some("Malformed CSeq header")),
            (
                "CSeq",
                "CSeq: -1 REGISTER\r\n",
                Some("Malformed CSeq header"),
            ),
            (
                "CSeq",
                "CSeq: 2147483648 REGISTER\r\n",
                Some("Malformed CSeq header"),
            ),
            (
                "CSeq",
                "CSeq: 36893488147419103232 REGISTER\r\n",
                Some("Malformed CSeq header"),
            ),
            (
                "CSeq",
                "CSeq: 1 REGISTER\r\nCSeq: 2 REGISTER\r\n",
                Some("Malformed CSeq header"),
            ),
            (
                "CSeq",
                "CSeq: 1 INVITE\r\n",
                Some("Method mismatch btw Request Line and CSeq"),
            ),
            (
                "CSeq",
                "CSeq: 1 REGISTER x\r\n",
                Some("Method mismatch btw Request Line and CSeq"),
            ),
            (
                "CSeq",
                "CSeq: 1 register\r\n",
                Some("Method mismatch btw Request Line and CSeq"),
            ),
            ("CSeq", "CSeq: 02147483647 \t REGISTER\r\n", None),
        ] {
            let found = phrase(&format!("{field}:"), replacement, FromRule::Single);
            assert_eq!(found, fault, "{replacement:?} for {field}");
        }
    }

    #[test]
    fn from_is_read_as_its_rule_says() {
        const BAD: Result<&str, &str> = Err("Malformed From header");
        const MISSING: Result<&str, &str> = Err("Missing mandatory header field");
        for (lines, single, first) in [
            ("From: <>;tag=x1\r\n", BAD, BAD),
            ("From: <alice@x>;tag=x1\r\n", BAD, BAD),
            ("From: \r\n", BAD, BAD),
            ("From: *\r\n", BAD, BAD),
            ("From: <sip:a@h?From=b>;tag=1\r\n", BAD, BAD),
            ("From: ]]garbage[[\r\n", BAD, BAD),
            ("From: Bell, Alexander <sip:a@h>\r\n", BAD, BAD),
            ("", MISSING, MISSING),
            (
                "From: sip:x@*.example.net;tag=1\r\n",
                Ok("sip:x@*.example.net"),
                Ok("sip:x@*.example.net"),
            ),
            ("From: <sip:a@h>\r\n", Ok("sip:a@h"), Ok("sip:a@h")),
            ("From: <SIP:a@h>;tag=1\r\n", Ok("SIP:a@h"), Ok("SIP:a@h")),
            (
                "From:\r\n <sip:a@h>\r\n ;tag=x1\r\n",
                Ok("sip:a@h"),
                Ok("sip:a@h"),
            ),
            (
                "From: \"sip:a@h\" <sip:b@h>;tag=1\r\n",
                Ok("sip:b@h"),
                Ok("sip:b@h"),
            ),
            (
                "From: <sip:b@h>;tag=1\r\nFrom: <sip:a@h>;tag=1\r\n",
                BAD,
                Ok("sip:b@h"),
            ),
            (
                "From: <sip:b@h>;tag=1\r\nf: <sip:b@h>;tag=1\r\n",
                BAD,
                Ok("sip:b@h"),
            ),
            (
                "From: <sip:a@h>;tag=1, <sip:b@h>;tag=2\r\n",
                BAD,
                Ok("sip:a@h"),
            ),
            ("From: sip:a@h, sip:b@h\r\n", BAD, Ok("sip:a@h")),
        ] {
            for (rule, wanted) in [(FromRule::Single, single), (FromRule::First, first)] {
                let found = read_with("From:", lines, rule).map_err(|f| f.phrase);
                assert_eq!(
                    found.as_deref().map_err(|p| *p),
                    wanted,
                    "{lines:?} {rule:?}"
                );
            }
        }
    }

    #[test]
    fn a_scheme_that_is_not_ours_is_unsupported() {
        let text = REGISTER.replace("REGISTER sip:example.com", "REGISTER urn:x");
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        assert_eq!(
            request.unsupported_scheme().map(|f| f.status),
            Some(StatusCode::UNSUPPORTED_URI_SCHEME)
        );
    }
}
