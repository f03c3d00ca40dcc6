//! Names as SIP takes them, checked before they are stored.

use crate::auth::Algorithm;
use crate::sip::{Host, Method, SipUri, canonical_user};

use super::refusal::Refusal;

/// Longest domain and longest name of a certificate, in octets: what DNS and repro's SQL schema have.
const LONGEST_NAME: usize = 253;
/// Longest user part and longest other text, in octets.
const LONGEST_TEXT: usize = 255;
/// Longest pattern, expression, contact or statement, in octets: repro reads none beyond 8192, and its SQL schema holds
/// 4096 characters of a record in base64.
const LONGEST_EXPRESSION: usize = 2048;

/// A domain in the form that is compared: lower case, no dot at its end, an address without brackets.
pub(super) fn domain(text: &str) -> Result<String, Refusal> {
    let refuse = |why: &str| Err(Refusal::invalid("domain", text, why));
    if text.is_empty() {
        return refuse("empty; expected a name as example.org");
    }
    if text.contains('@') {
        return refuse("has an @; expected what stands behind it, as example.org");
    }
    if text.len() > LONGEST_NAME {
        return refuse("longer than 253 characters");
    }
    if !text.is_ascii() {
        return refuse("has other characters than ASCII; write an internationalised name as xn--…");
    }
    match Host::parse(text) {
        Some(Host::Name(name)) if name.contains('*') => refuse("a * names no domain"),
        Some(host) => Ok(host.canonical().into_owned()),
        None => refuse(
            "no domain name: letters, digits, dots and dashes are expected, and no port; an IPv6 address in brackets",
        ),
    }
}

/// A user part, with its escapes in their one spelling.
pub(super) fn user(text: &str) -> Result<String, Refusal> {
    let refuse = |why: &str| Err(Refusal::invalid("user", text, why));
    if text.is_empty() {
        return refuse("empty; expected user@domain");
    }
    if text.contains('@') {
        return refuse("has an @; within a user it is written %40");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("has a blank or a control character");
    }
    if text.len() > LONGEST_TEXT {
        return refuse("longer than 255 octets");
    }
    // As long as it stands whole between scheme and host, no octet of it means anything else in a URI.
    match SipUri::parse(&format!("sip:{text}@example.org")) {
        Some(uri) if uri.user == Some(text) => Ok(canonical_user(text).into_owned()),
        _ => refuse(
            "not as SIP takes it: letters, digits and any of -_.!~*'()&=+$,;?/ are; any other octet is written %XX",
        ),
    }
}

/// `user@domain`, both in the form that is compared; a scheme before it is dropped.
pub(super) fn address(text: &str) -> Result<(String, String), Refusal> {
    let bare = without_scheme(text);
    match bare.rsplit_once('@') {
        Some((name, host)) => Ok((user(name)?, domain(host)?)),
        None => Err(Refusal::invalid("user", text, "no @; expected user@domain")),
    }
}

/// Text without `sip:` or `sips:` before it.
pub(super) fn without_scheme(text: &str) -> &str {
    ["sip:", "sips:"]
        .into_iter()
        .find_map(|scheme| {
            let (start, rest) = text.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        })
        .unwrap_or(text)
}

/// What a certificate may call its holder: a domain or a label, never a user.
pub(super) fn peer_name(text: &str) -> Result<String, Refusal> {
    let refuse = |why: &str| Err(Refusal::invalid("certificate name", text, why));
    if text.trim().is_empty() {
        return refuse("empty");
    }
    if text.len() > LONGEST_NAME {
        return refuse("longer than 253 octets");
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return refuse("has a control character, or a blank at its beginning or end");
    }
    if text.contains(',') {
        return refuse("has a comma, which parts name and identity in the store's key");
    }
    Ok(text.to_owned())
}

/// Free text for people.
pub(super) fn text(what: &'static str, text: &str) -> Result<String, Refusal> {
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(what, text, "has a control character"));
    }
    if text.len() > LONGEST_TEXT {
        return Err(Refusal::invalid(what, text, "longer than 255 octets"));
    }
    Ok(text.to_owned())
}

/// A pattern, expression or statement: one line of bounded length.
pub(super) fn expression(what: &'static str, text: &str) -> Result<String, Refusal> {
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(what, text, "has a control character"));
    }
    if text.len() > LONGEST_EXPRESSION {
        return Err(Refusal::invalid(what, text, "longer than 2048 octets"));
    }
    Ok(text.to_owned())
}

/// A method, an event or a header name, or nothing for any.
pub(super) fn token(what: &'static str, text: &str) -> Result<String, Refusal> {
    // RFC 3261 §25.1: all of them are tokens, and so is a method.
    if text.is_empty() || (text.len() <= LONGEST_TEXT && Method::parse(text.as_bytes()).is_some()) {
        Ok(text.to_owned())
    } else {
        Err(Refusal::invalid(
            what,
            text,
            "no token: letters, digits and any of -.!%*_+`'~ are expected",
        ))
    }
}

/// Algorithms, parted by comma.
pub(super) fn algorithms(text: &str) -> Result<Vec<Algorithm>, Refusal> {
    text.split(',')
        .map(|name| {
            Algorithm::of_name(name.trim()).ok_or_else(|| {
                Refusal::invalid(
                    "algorithm",
                    name,
                    "expected MD5, SHA-256 or SHA-512-256, parted by comma",
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_taken_as_sip_compares_them() {
        for (text, expected) in [
            ("example.org", Some("example.org")),
            ("Example.ORG.", Some("example.org")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("[2001:DB8::1]", Some("2001:db8::1")),
            ("", None),
            ("alice@example.org", None),
            ("example.org:5061", None),
            ("sip:example.org", None),
            ("example..org", None),
            ("*.example.org", None),
            ("bücher.example", None),
            ("exa mple.org", None),
            ("example.org\n", None),
            ("127.1", None),
            (&"a.".repeat(127), None),
        ] {
            assert_eq!(domain(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn users_are_taken_as_a_uri_has_them() {
        for (text, expected) in [
            ("alice", Some("alice")),
            ("Alice", Some("Alice")),
            ("%61lice", Some("alice")),
            ("+1-555;ext=7", Some("+1-555;ext=7")),
            ("a%20b", Some("a%20b")),
            ("", None),
            ("a b", None),
            ("a@b", None),
            ("a:b", None),
            ("a\u{7}", None),
            ("a%2", None),
            ("müller", None),
            ("a\"b", None),
            (&"a".repeat(256), None),
        ] {
            assert_eq!(user(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_address_is_user_and_domain() {
        for (text, expected) in [
            ("alice@Example.org", Some(("alice", "example.org"))),
            ("sip:alice@example.org", Some(("alice", "example.org"))),
            ("SIPS:alice@example.org", Some(("alice", "example.org"))),
            ("alice", None),
            ("@example.org", None),
            ("alice@", None),
            ("alice@example.org@example.net", None),
        ] {
            let expected = expected.map(|(user, domain)| (user.to_owned(), domain.to_owned()));
            assert_eq!(address(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn tokens_and_algorithms_are_those_of_the_field() {
        for (text, fits) in [
            ("", true),
            ("INVITE", true),
            ("presence.winfo", true),
            ("IN VITE", false),
            ("a:b", false),
        ] {
            assert_eq!(token("method", text).is_ok(), fits, "{text:?}");
        }
        for (text, expected) in [
            ("md5", Some(vec![Algorithm::Md5])),
            (
                "SHA-256, MD5",
                Some(vec![Algorithm::Sha256, Algorithm::Md5]),
            ),
            ("sha256", None),
            ("", None),
        ] {
            assert_eq!(algorithms(text).ok(), expected, "{text:?}");
        }
    }
}
