//! The way of a request: Request-URI, Route, and the hop that they lead to first. RFC 3261 §16.6 steps 2, 6 and 7.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::draft::{Onward, Undraftable};
use crate::sip::{Address, Uri, is_header_text};

/// Where a request goes.
pub(super) struct Way<'a> {
    /// The Request-URI.
    pub(super) request_uri: Cow<'a, str>,
    /// Values of Route, the topmost first.
    pub(super) route: SmallVec<[Cow<'a, [u8]>; 4]>,
    /// Where in the topmost of them the URI of the next hop stands; `None` if that is the Request-URI.
    pub(super) hop_in_route: Option<Range<usize>>,
}

impl<'a> Way<'a> {
    /// Puts it together. A topmost Route without `lr` is a strict router, which wants its own URI as the Request-URI and
    /// that of the request behind all others.
    pub(super) fn of(onward: &Onward<'a>) -> Result<Self, Undraftable> {
        let target = in_request_line(onward.uri).ok_or(Undraftable::Target)?;
        let mut route = SmallVec::new();
        let request_uri = if onward.keep_request_uri {
            route.push(Cow::Owned(in_brackets(&target)));
            in_request_line(onward.routes.request_uri).ok_or(Undraftable::Target)?
        } else {
            target
        };
        let path = onward.path.iter().map(|element| element.as_bytes());
        let rest = onward.routes.rest.iter().copied();
        for element in path.chain(rest) {
            if !is_header_text(element) {
                return Err(Undraftable::Route);
            }
            route.push(Cow::Borrowed(element));
        }
        let mut way = Self {
            request_uri,
            route,
            hop_in_route: None,
        };
        way.look_at_top()?;
        Ok(way)
    }

    fn look_at_top(&mut self) -> Result<(), Undraftable> {
        let Some(top) = self.route.first() else {
            return Ok(());
        };
        let address = Address::parse(top).ok_or(Undraftable::Route)?;
        let uri = address.uri.sip().ok_or(Undraftable::Route)?;
        if uri.parameters.value("lr").is_some() {
            self.hop_in_route = Some(place_of(address.text, top));
            return Ok(());
        }
        let router = std::str::from_utf8(address.text)
            .ok()
            .and_then(in_request_line)
            .ok_or(Undraftable::Route)?
            .into_owned();
        let last = in_brackets(&self.request_uri);
        self.route.remove(0);
        self.route.push(Cow::Owned(last));
        self.request_uri = Cow::Owned(router);
        Ok(())
    }

    /// Octets of it in a request, about.
    pub(super) fn len(&self) -> usize {
        let line = "Route: \r\n".len();
        let route = self.route.iter().map(|element| element.len() + line);
        self.request_uri.len() + route.sum::<usize>()
    }
}

/// A URI as it may stand in a request line: without header fields and `method` (RFC 3261 §19.1.1, table 1). `None` for what
/// is no URI.
fn in_request_line(text: &str) -> Option<Cow<'_, str>> {
    let uri = Uri::parse(text.as_bytes())?;
    let Some(uri) = uri.sip() else {
        return Some(Cow::Borrowed(text));
    };
    let kept = match uri.headers.len() {
        0 => text,
        headers => text.get(..text.len().checked_sub(headers + 1)?)?,
    };
    if uri.parameters.value("method").is_none() {
        return Some(Cow::Borrowed(kept));
    }
    let fixed = kept.len().checked_sub(uri.parameters.as_bytes().len())?;
    let mut written = kept.get(..fixed)?.to_owned();
    for (name, value) in uri.parameters.iter() {
        if name.eq_ignore_ascii_case(b"method") {
            continue;
        }
        written.push(';');
        written.push_str(std::str::from_utf8(name).ok()?);
        if let Some(value) = value {
            written.push('=');
            written.push_str(std::str::from_utf8(value).ok()?);
        }
    }
    Some(Cow::Owned(written))
}

fn in_brackets(uri: &str) -> Vec<u8> {
    [b"<", uri.as_bytes(), b">"].concat()
}

/// Where in `whole` the part stands that is a slice of it.
fn place_of(part: &[u8], whole: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_has_no_header_fields_and_no_method() {
        for (uri, wanted) in [
            ("sip:a@h", Some("sip:a@h")),
            (
                "sips:a;method=x?y@H:5061;LR;x=y",
                Some("sips:a;method=x?y@H:5061;LR;x=y"),
            ),
            ("sip:a@h;x=y?Route=%3Csip:x%3E&a=b", Some("sip:a@h;x=y")),
            ("sip:h;method=BYE", Some("sip:h")),
            (
                "sip:a@[::1]:5070;x;Method=BYE;lr;y=%41?a=b",
                Some("sip:a@[::1]:5070;x;lr;y=%41"),
            ),
            ("tel:+1;method=x", Some("tel:+1;method=x")),
            ("sip:a@h SIP/2.0\r\nX: y", None),
            ("sip:a@h\r\nX: y", None),
            ("sip:a@h\0", None),
            ("<sip:a@h>", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(in_request_line(uri).as_deref(), wanted, "{uri:?}");
        }
    }
}
