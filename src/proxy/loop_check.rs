//! Loops: RFC 3261 §16.3 step 4, as RFC 5393 §4.2 has it.
//!
//! A request that comes back with everything unchanged that decided where it went would go there again. One that comes back
//! changed is a spiral, and goes its way.

use std::hash::{BuildHasher, Hash as _, Hasher as _};

use super::branch;
use super::routes::Routes;
use crate::sip::{HeaderName, Request, Via, list_elements};

/// The key of a request: equal for two when routing would treat them alike. It goes into the branch of every request that
/// is sent on for this one.
///
/// Depends on Request-URI, Route (also that which was ours), tags, Call-ID, the number of CSeq, and Proxy-Require; not on the
/// method, since CANCEL and ACK have the branch of their INVITE. Keyed by `secret`, so that nobody can make two requests
/// of one key; all workers must have the same.
pub fn loop_key(request: &Request<'_>, routes: &Routes<'_>, secret: &impl BuildHasher) -> u64 {
    let mut hasher = secret.build_hasher();
    // Each text with its length, so that they do not run into each other.
    request.uri_text.hash(&mut hasher);
    routes.request_uri.hash(&mut hasher);
    routes.own.as_slice().hash(&mut hasher);
    routes.rest.as_slice().hash(&mut hasher);
    request.from.tag().hash(&mut hasher);
    request.to.tag().hash(&mut hasher);
    request.call_id.hash(&mut hasher);
    request.cseq.hash(&mut hasher);
    for value in request.message.all(HeaderName::ProxyRequire) {
        value.hash(&mut hasher);
    }
    hasher.finish()
}

/// Whether this request has been here before: one of its Via values is ours, and was written for a request of this key.
/// Such a request is answered with 482.
///
/// `is_mine` says whether a Via is one that this server writes, by its sent-by.
pub fn loops(request: &Request<'_>, is_mine: impl Fn(&Via<'_>) -> bool, key: u64) -> bool {
    let stem = branch::stem(key);
    let fields = request.message.all(HeaderName::Via);
    // Hardly any has such a branch, and need not be read.
    fields
        .filter(|field| has(field, &stem))
        .flat_map(list_elements)
        .filter_map(Via::parse)
        .any(|via| {
            let of_key = via.branch().and_then(branch::parse);
            of_key.is_some_and(|(of, _)| of == key) && is_mine(&via)
        })
}

/// Whether a field has this text in it. To prepare a search would take longer than one for a single octet takes in a field.
fn has(field: &[u8], text: &[u8]) -> bool {
    text.first().is_some_and(|first| {
        let mut places = memchr::memchr_iter(*first, field);
        places.any(|at| field.get(at..).is_some_and(|rest| rest.starts_with(text)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::hash::RandomState;

    use super::*;
    use crate::sip::{FromRule, Message};

    const INVITE: &str = "INVITE sip:b@us SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\n\
        Route: <sip:t@us;lr>, <sip:p;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:a@h>;tag=f\r\nTo: <sip:b@us>;tag=t\r\n\
        Call-ID: c\r\nProxy-Require: x\r\nCSeq: 1 INVITE\r\n\r\n";

    fn key(text: &str, secret: &RandomState) -> u64 {
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        let is_mine = |uri: &crate::sip::SipUri<'_>| uri.host.canonical() == "us";
        let routes = Routes::of(&request, is_mine).unwrap();
        loop_key(&request, &routes, secret)
    }

    #[test]
    fn the_key_depends_on_what_decides_where_a_request_goes() {
        let secret = RandomState::new();
        let first = key(INVITE, &secret);
        for (situation, from, to, same) in [
            ("itself", "", "", true),
            ("one hop further", "Forwards: 70", "Forwards: 69", true),
            (
                "another Via",
                "Via:",
                "Via: SIP/2.0/TLS i;branch=z9hG4bK2\r\nVia:",
                true,
            ),
            ("another method", "INVITE", "CANCEL", true),
            (
                "recorded",
                "Max-",
                "Record-Route: <sip:us;lr>\r\nMax-",
                true,
            ),
            ("another Request-URI", "INVITE sip:b", "INVITE sip:c", false),
            (
                "a Request-URI in other letters",
                "INVITE sip:b@us",
                "INVITE sip:b@US",
                false,
            ),
            ("another route of ours", "sip:t@us", "sip:u@us", false),
            ("another route", "<sip:p;lr>", "<sip:q;lr>", false),
            ("no other route", ", <sip:p;lr>", "", false),
            (
                "no route",
                "Route: <sip:t@us;lr>, <sip:p;lr>\r\n",
                "",
                false,
            ),
            ("another From", "<sip:a@h>", "<sip:b@h>", true),
            ("another From tag", "tag=f", "tag=g", false),
            ("another To tag", "tag=t", "tag=u", false),
            ("no To tag", ";tag=t", "", false),
            ("another Call-ID", "Call-ID: c", "Call-ID: d", false),
            ("another CSeq", "CSeq: 1", "CSeq: 2", false),
            ("another Proxy-Require", "Require: x", "Require: y", false),
            (
                "one more Proxy-Require",
                "Proxy-",
                "Proxy-Require: y\r\nProxy-",
                false,
            ),
        ] {
            let other = key(&INVITE.replace(from, to), &secret);
            assert_eq!(other == first, same, "{situation}");
        }
        assert_ne!(key(INVITE, &RandomState::new()), first, "another secret");
    }

    #[test]
    fn a_request_with_its_own_key_in_a_via_of_ours_has_looped() {
        for (situation, vias, wanted) in [
            ("no Via of ours", "SIP/2.0/TLS h;branch=z9hG4bK1", false),
            (
                "ours on top",
                "SIP/2.0/TLS us;branch=z9hG4bK00000000000000ab.1",
                true,
            ),
            (
                "ours below",
                "SIP/2.0/TLS h;branch=z9hG4bK1\r\nv: SIP/2.0/TLS us:5061 ;rport;branch=z9hG4bK00000000000000ab.2",
                true,
            ),
            (
                "ours in a list, below one that is none",
                "SIP/2.0/TLS h;branch=z9hG4bK1, x, SIP/2.0/TLS us;branch=z9hG4bK00000000000000ab.2",
                true,
            ),
            (
                "a spiral",
                "SIP/2.0/TLS us;branch=z9hG4bK00000000000000ac.1",
                false,
            ),
            (
                "of another server",
                "SIP/2.0/TLS h;branch=z9hG4bK00000000000000ab.1",
                false,
            ),
            (
                "in other letters",
                "SIP/2.0/TLS us;branch=z9hG4bK00000000000000AB.1",
                false,
            ),
            (
                "in another parameter",
                "SIP/2.0/TLS us;branch=z9hG4bK1;x=z9hG4bK00000000000000ab.1",
                false,
            ),
            (
                "with something before",
                "SIP/2.0/TLS us;branch=xz9hG4bK00000000000000ab.1",
                false,
            ),
        ] {
            let text = INVITE.replace("SIP/2.0/TLS h;branch=z9hG4bK1", vias);
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let request = Request::read(&message, FromRule::Single).unwrap();
            let found = loops(&request, |via| via.host.canonical() == "us", 0xab);
            assert_eq!(found, wanted, "{situation}");
        }
    }
}
