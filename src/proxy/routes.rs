//! Route information preprocessing: RFC 3261 §16.4.

use crate::sip::{Address, Fault, HeaderName, Request, SipUri, Uri, list_elements};

/// What a Route header field that nobody can follow is answered with, as repro does.
const GARBAGE: Fault = Fault::bad_request("Garbage Route Header.");

/// Routes of ours that are taken off a request: one, or the two of a proxy that has recorded itself twice because the
/// request changed its transport (RFC 5658; repro: `drr`).
const MOST_OWN: usize = 2;

/// What stands in the Route header fields of a request, and where it wants to go after us.
#[derive(Debug, Clone)]
pub struct Routes<'m> {
    /// User parts, the topmost first, of what was ours and is taken off: values on top of Route and, from a strict router,
    /// the Request-URI. `""` for one without.
    pub own: Vec<&'m str>,
    /// The other values, each as it is written.
    pub rest: Vec<&'m [u8]>,
    /// The Request-URI that counts: that of the request, or what a strict router has moved to the end of Route.
    pub request_uri: &'m str,
    /// The same, read.
    pub uri: Uri<'m>,
}

impl<'m> Routes<'m> {
    /// Looks at a request. `is_mine` says whether a URI means us.
    ///
    /// A Request-URI that is ours, has `lr`, and has a Route behind it is one that we have once recorded: it comes from a
    /// strict router, and where the request goes stands last in Route. The two routes of a double Record-Route are taken
    /// off at once, whichever of the two marks they have: both are ours.
    ///
    /// # Errors
    /// A Route value is no SIP URI that can be followed, or would plant header fields (`?`, RFC 3261 §19.1.5).
    pub fn of(request: &Request<'m>, is_mine: impl Fn(&SipUri<'_>) -> bool) -> Result<Self, Fault> {
        let mut routes = Self {
            own: Vec::new(),
            rest: Vec::new(),
            request_uri: text_of(request.uri_text)?,
            uri: request.uri,
        };
        let mut elements = request
            .message
            .all(HeaderName::Route)
            .flat_map(list_elements)
            .peekable();
        if elements.peek().is_none() {
            return Ok(routes);
        }
        let recorded = |uri: &&SipUri<'m>| uri.parameters.value("lr").is_some() && is_mine(uri);
        let strict = request.uri.sip().filter(recorded);
        routes.own.extend(strict.map(own_user));
        // Whether all so far was ours.
        let mut on_top = true;
        while let Some(element) = elements.next() {
            let (address, uri) = followed(element).ok_or(GARBAGE)?;
            if strict.is_some() && elements.peek().is_none() {
                routes.request_uri = text_of(address.text)?;
                routes.uri = address.uri;
                break;
            }
            on_top = on_top && routes.own.len() < MOST_OWN && is_mine(&uri);
            if on_top {
                routes.own.push(own_user(&uri));
            } else {
                routes.rest.push(element);
            }
        }
        Ok(routes)
    }
}

fn own_user<'m>(uri: &SipUri<'m>) -> &'m str {
    uri.user.unwrap_or_default()
}

fn text_of(uri: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(uri).map_err(|_| GARBAGE)
}

/// A Route value and its URI, if it is one that a request can be sent to.
fn followed(element: &[u8]) -> Option<(Address<'_>, SipUri<'_>)> {
    let address = Address::parse(element)?;
    let uri = *address.uri.sip()?;
    uri.headers.is_empty().then_some((address, uri))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sip::{FromRule, Message};

    /// `own | rest | Request-URI` of a request to this URI with these lines; every host that begins with `us` is ours.
    fn routes(uri: &str, lines: &str) -> String {
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\n{lines}From: <sip:a@h>;tag=1\r\n\
             To: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
        );
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        let is_mine = |uri: &SipUri<'_>| uri.host.canonical().starts_with("us");
        match Routes::of(&request, is_mine) {
            Ok(routes) => {
                let rest: Vec<_> = routes
                    .rest
                    .iter()
                    .map(|r| String::from_utf8_lossy(r))
                    .collect();
                let uri = Uri::parse(routes.request_uri.as_bytes()).unwrap();
                assert_eq!(format!("{uri:?}"), format!("{:?}", routes.uri));
                format!(
                    "{} | {} | {}",
                    routes.own.join(" "),
                    rest.join(" "),
                    routes.request_uri
                )
            }
            Err(fault) => format!("{} {}", fault.status, fault.phrase),
        }
    }

    #[test]
    fn what_is_ours_is_taken_off_and_what_a_strict_router_did_is_undone() {
        for (situation, uri, lines, wanted) in [
            ("no Route", "sip:b@us", "", " |  | sip:b@us"),
            ("lr without a Route", "sip:b@us;lr", "", " |  | sip:b@us;lr"),
            (
                "ours",
                "sip:b@h",
                "Route: <sip:t1@us;lr>\r\n",
                "t1 |  | sip:b@h",
            ),
            (
                "ours without a user",
                "sip:b@h",
                "Route: <sip:us;lr>\r\n",
                " |  | sip:b@h",
            ),
            (
                "ours, then others",
                "sip:b@h",
                "Route: <sip:t1@us;lr>\r\nRoute: <sip:p;lr>;x=y , \"Q\" <sip:q;lr>\r\n",
                "t1 | <sip:p;lr>;x=y \"Q\" <sip:q;lr> | sip:b@h",
            ),
            (
                "not ours, then ours",
                "sip:b@h",
                "Route: <sip:p;lr>, <sip:t1@us;lr>\r\n",
                " | <sip:p;lr> <sip:t1@us;lr> | sip:b@h",
            ),
            (
                "recorded twice, as repro marks it",
                "sip:b@h",
                "Route: <sip:t1@us;lr;drr>, <sip:t2@us2;lr;drr>, <sip:p;lr>\r\n",
                "t1 t2 | <sip:p;lr> | sip:b@h",
            ),
            (
                "recorded twice",
                "sip:b@h",
                "Route: <sip:t1@us;lr>\r\nRoute: <sip:t2@us2;lr>\r\n",
                "t1 t2 |  | sip:b@h",
            ),
            (
                "recorded three times",
                "sip:b@h",
                "Route: <sip:t1@us;lr>, <sip:t2@us;lr>, <sip:t3@us;lr>\r\n",
                "t1 t2 | <sip:t3@us;lr> | sip:b@h",
            ),
            (
                "ours, another, ours",
                "sip:b@h",
                "Route: <sip:t1@us;lr>, <sip:p;lr>, <sip:t3@us;lr>\r\n",
                "t1 | <sip:p;lr> <sip:t3@us;lr> | sip:b@h",
            ),
            (
                "from a strict router",
                "sip:t1@us;lr",
                "Route: <sip:p;lr>, \"B\" <sip:b@h>;x\r\n",
                "t1 | <sip:p;lr> | sip:b@h",
            ),
            (
                "from a strict router, nothing left",
                "sip:t1@us;lr",
                "Route: sip:b@h\r\n",
                "t1 |  | sip:b@h",
            ),
            (
                "from a strict router, recorded twice",
                "sip:t1@us;lr",
                "Route: <sip:t2@us;lr>, <sip:t3@us;lr>, <sip:b@us>\r\n",
                "t1 t2 | <sip:t3@us;lr> | sip:b@us",
            ),
            (
                "lr of somebody else",
                "sip:t1@h;lr",
                "Route: <sip:t2@us;lr>, <sip:b@h>\r\n",
                "t2 | <sip:b@h> | sip:t1@h;lr",
            ),
            (
                "ours without lr",
                "sip:b@us",
                "Route: <sip:t2@us;lr>, <sip:c@h>\r\n",
                "t2 | <sip:c@h> | sip:b@us",
            ),
            (
                "to a telephone number",
                "tel:1",
                "Route: <sip:us;lr>\r\n",
                " |  | tel:1",
            ),
        ] {
            assert_eq!(routes(uri, lines), wanted, "{situation}");
        }
    }

    #[test]
    fn a_route_that_cannot_be_followed_is_told() {
        for route in [
            "",
            "garbage",
            "<sip:us;lr>,",
            "<sip:us;lr>, garbage",
            "<sip:p;lr>,,<sip:q;lr>",
            "<sip:p;lr>, \"<sip:q;lr>",
            "<sip:p;lr> <sip:q;lr>",
            "<tel:1>",
            "<sip:p;lr?Route=%3Csip:x%3E>",
            "<sip:us;lr?a=b>",
        ] {
            for uri in ["sip:b@h", "sip:us;lr"] {
                let found = routes(uri, &format!("Route: {route}\r\n"));
                assert_eq!(found, "400 Garbage Route Header.", "{route:?} {uri}");
            }
        }
    }
}
