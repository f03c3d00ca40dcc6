//! A request whose mandatory fields have been read: RFC 3261 §8.1.1, checked as §8.2 and §16.3 step 1 ask.

use super::address::Address;
use super::message::{Fault, Message, StartLine};
use super::method::Method;
use super::name::HeaderName;
use super::status::StatusCode;
use super::text::{is_word_octet, number, split_list, trim_start};
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
        let via = message
            .top_via()
            .ok_or(Fault::bad_request("Missing mandatory header field"))?;
        let via = Via::parse(via).ok_or(Fault::bad_request("Malformed topmost Via header"))?;
        if via
            .branch()
            .is_some_and(|b| b.eq_ignore_ascii_case(MAGIC_COOKIE))
        {
            return Err(Fault::bad_request("Malformed topmost Via header"));
        }
        let call_id = single(message, HeaderName::CallId, "Malformed Call-ID header")?;
        if call_id.is_empty() || !call_id.iter().all(|o| is_word_octet(*o) || *o == b'@') {
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
                .and_then(|v| split_list(v).next())
                .unwrap_or_default(),
        };
        let from = Address::parse(from).ok_or(Fault::bad_request("Malformed From header"))?;
        let to = single(message, HeaderName::To, "Malformed To header")?;
        let to = Address::parse(to).ok_or(Fault::bad_request("Malformed To header"))?;
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

/// The only value of a field that must occur exactly once (RFC 3261 §7.3.1; RFC 4475 §3.3.8).
fn single<'m>(
    message: &'m Message<'_>,
    name: HeaderName,
    phrase: &'static str,
) -> Result<&'m [u8], Fault> {
    let mut values = message.all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Fault::bad_request("Missing mandatory header field")),
        (Some(_), Some(_)) => Err(Fault::bad_request(phrase)),
    }
}

/// Number and method of a CSeq value (RFC 3261 §8.1.1.5: the number is below 2**31).
fn cseq(value: &[u8]) -> Option<(u32, &[u8])> {
    let end = value.iter().position(|o| matches!(o, b' ' | b'\t'))?;
    let (digits, rest) = value.split_at_checked(end)?;
    let sequence = number(digits).filter(|n| *n < 1 << 31)?;
    Some((u32::try_from(sequence).ok()?, trim_start(rest)))
}
