//! When two SIP URIs are the same: RFC 3261 §19.1.4.
//!
//! Text is compared by [`Unit`]s, so that an octet and its escape are the same exactly where the RFC has them the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::parameters::Parameters;
use super::text::{RESERVED, UNRESERVED, are_of, is_of};
use super::uri::SipUri;

/// One octet that a part of a URI stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    /// Unreserved, or reserved and written plainly.
    Plain(u8),
    /// Any other, however written, and a reserved one that is escaped: `%3B` is not `;`.
    Escape(u8),
}

impl Unit {
    fn lower(self) -> Self {
        match self {
            Self::Plain(octet) => Self::Plain(octet.to_ascii_lowercase()),
            Self::Escape(octet) => Self::Escape(octet),
        }
    }
}

/// The units of a text, unescaped once and not again. A `%` that begins no escape stands for itself.
fn units(text: &[u8]) -> impl Iterator<Item = Unit> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let escaped = match first {
            b'%' => after.get(..2).and_then(hex_octet),
            _ => None,
        };
        rest = match escaped {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
        Some(match escaped {
            Some(octet) if is_of(UNRESERVED, octet) => Unit::Plain(octet),
            Some(octet) => Unit::Escape(octet),
            None if is_of(UNRESERVED | RESERVED, *first) => Unit::Plain(*first),
            None => Unit::Escape(*first),
        })
    })
}

/// The octet that two hexadecimal digits stand for.
fn hex_octet(digits: &[u8]) -> Option<u8> {
    let digit = |o: &u8| {
        char::from(*o)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    match digits {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// Whether every `%` is followed by two hexadecimal digits.
pub(super) fn escapes_are_whole(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        if rest.get(at + 1..at + 3).and_then(hex_octet).is_none() {
            return false;
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    true
}

/// A user part in its one spelling: unreserved octets plainly, reserved ones as they are written, all others as escapes
/// in upper case. Two users are the same exactly when these are (RFC 3261 §19.1.4); case matters.
pub fn canonical_user(user: &str) -> Cow<'_, str> {
    if are_of(UNRESERVED | RESERVED, user.as_bytes()) {
        return Cow::Borrowed(user);
    }
    let mut plain = String::with_capacity(user.len() + 8);
    for unit in units(user.as_bytes()) {
        match unit {
            Unit::Plain(octet) => plain.push(char::from(octet)),
            Unit::Escape(octet) => {
                let digit = |d: u8| char::from_digit(u32::from(d), 16).unwrap_or('0');
                plain.push('%');
                plain.push(digit(octet >> 4).to_ascii_uppercase());
                plain.push(digit(octet & 15).to_ascii_uppercase());
            }
        }
    }
    Cow::Owned(plain)
}

/// Equivalence by RFC 3261 §19.1.4.
pub(super) fn equivalent(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    a.secure == b.secure
        && a.port == b.port
        && a.host == b.host
        && same_or_none(a.user, b.user)
        && same_or_none(a.password, b.password)
        && same_parameters(&a.parameters, &b.parameters)
        && same_headers(a.headers, b.headers)
}

/// Userinfo is the one part whose case matters.
fn same_or_none(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => units(a.as_bytes()).eq(units(b.as_bytes())),
        (None, None) => true,
        _ => false,
    }
}

/// Parameters that must not stand in one URI alone, since they change where or how a request goes.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

fn same_parameters(a: &Parameters<'_>, b: &Parameters<'_>) -> bool {
    if a.is_empty() && b.is_empty() {
        return true;
    }
    let (a, b) = (by_name(a), by_name(b));
    let agree = |one: &ByName, other: &ByName| {
        one.iter().all(|(name, value)| match other.get(name) {
            Some(same) => value == same,
            None => !NEVER_IGNORED
                .iter()
                .any(|n| units(n.as_bytes()).eq(name.iter().copied())),
        })
    };
    agree(&a, &b) && agree(&b, &a)
}

type ByName = BTreeMap<Vec<Unit>, Vec<Unit>>;

/// The parameters in lower case. Of one that is written twice the first counts, here as everywhere. A map, since a peer
/// may write thousands of them.
fn by_name(parameters: &Parameters<'_>) -> ByName {
    let mut named = ByName::new();
    for (name, value) in parameters.iter() {
        named
            .entry(lower(name))
            .or_insert_with(|| lower(value.unwrap_or_default()));
    }
    named
}

fn lower(text: &[u8]) -> Vec<Unit> {
    units(text).map(Unit::lower).collect()
}

/// Whether both have the same header components, in any order.
fn same_headers(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut parts: Vec<_> = text.split('&').map(|part| lower(part.as_bytes())).collect();
        parts.sort();
        parts
    };
    a == b || sorted(a) == sorted(b)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn equivalent(a: &str, b: &str) -> bool {
        let (a, b) = (SipUri::parse(a).unwrap(), SipUri::parse(b).unwrap());
        assert!(a.is_equivalent(&a) && b.is_equivalent(&b));
        assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a));
        a.is_equivalent(&b)
    }

    #[test]
    fn the_examples_of_rfc_3261_compare_as_it_says() {
        for (a, b) in [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:carol@chicago.com;newparam=5",
                "sip:carol@chicago.com;security=on",
            ),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com;security=off",
            ),
        ] {
            assert!(equivalent(a, b), "{a} {b}");
        }
        for (a, b) in [
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com:6000;transport=tcp",
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
        ] {
            assert!(!equivalent(a, b), "{a} {b}");
        }
    }

    #[test]
    fn each_rule_of_comparison_has_a_case() {
        for (situation, a, b, same) in [
            ("schemes", "sip:a@h", "sips:a@h", false),
            ("scheme case", "sip:a@h", "SIP:a@h", true),
            ("no user", "sip:h", "sip:a@h", false),
            ("user case", "sip:a@h", "sip:A@h", false),
            ("escaped user", "sip:%2Ea@h", "sip:.a@h", true),
            ("case of escapes", "sip:a%3bb@h", "sip:a%3Bb@h", true),
            ("escaped reserved", "sip:a%3Bb@h", "sip:a;b@h", false),
            ("unescaped once", "sip:%2561@h", "sip:a@h", false),
            ("NUL ends nothing", "sip:%00a@h", "sip:%00b@h", false),
            ("how many NULs", "sip:%00@h", "sip:%00%00@h", false),
            ("hash of phones", "sip:*57#@h", "sip:*57%23@h", true),
            ("password", "sip:a:p@h", "sip:a:P@h", false),
            ("no password", "sip:a:@h", "sip:a@h", false),
            ("host case", "sip:a@H", "sip:a@h", true),
            ("trailing dot", "sip:a@h.", "sip:a@h", true),
            (
                "IPv6 spelling",
                "sip:[2001:db8::1]",
                "sip:[2001:DB8:0::1]",
                true,
            ),
            ("port", "sip:a@h:5060", "sip:a@h:5061", false),
            ("zeros before a port", "sip:a@h:05060", "sip:a@h:5060", true),
            ("user=phone alone", "sip:1@h;user=phone", "sip:1@h", false),
            ("ttl alone", "sip:1@h;ttl=1", "sip:1@h", false),
            ("method alone", "sip:h;method=INVITE", "sip:h", false),
            ("maddr alone", "sip:h;maddr=192.0.2.1", "sip:h", false),
            (
                "escaped name alone",
                "sip:h;%6Daddr=192.0.2.1",
                "sip:h",
                false,
            ),
            ("lr alone", "sip:h;lr", "sip:h", true),
            ("value and none", "sip:h;x", "sip:h;x=1", false),
            ("escaped value", "sip:h;x=%61", "sip:h;x=A", true),
            ("escaped bracket", "sip:h;x=%5B", "sip:h;x=[", true),
            ("escaped slash", "sip:h;x=%2F", "sip:h;x=/", false),
            (
                "the first of two counts",
                "sip:h;x=1;x=2",
                "sip:h;x=1",
                true,
            ),
            ("nor the second", "sip:h;x=1;x=2", "sip:h;x=2", false),
            ("header case", "sip:h?A=b", "sip:h?a=B", true),
            ("escaped equals", "sip:h?a%3Db=c", "sip:h?a=b%3Dc", false),
            (
                "escaped ampersand",
                "sip:h?a=b%26c%3Dd",
                "sip:h?a=b&c=d",
                false,
            ),
            ("header twice", "sip:h?a=b&a=b", "sip:h?a=b", false),
        ] {
            assert_eq!(equivalent(a, b), same, "{situation}");
        }
    }

    /// A comparison of each with each would take as long as a peer likes.
    #[test]
    fn thousands_of_parameters_are_compared_at_once() {
        let parameters: String = (0..5_000).map(|n| format!(";p{n}")).collect();
        assert!(equivalent(
            &format!("sip:h{parameters}"),
            &format!("sip:h;x{parameters}")
        ));
    }

    #[test]
    fn users_have_one_spelling() {
        for (user, canonical) in [
            ("alice", "alice"),
            ("Alice", "Alice"),
            ("%61lice", "alice"),
            ("a%2fb%2F", "a%2Fb%2F"),
            ("null-%00-null", "null-%00-null"),
            ("j%40s0n", "j%40s0n"),
            ("a;b=c", "a;b=c"),
            ("*57#", "*57%23"),
            ("%2561", "%2561"),
            ("100%", "100%25"),
            ("%%341", "%2541"),
            ("%4", "%254"),
            ("müller", "m%C3%BCller"),
            ("", ""),
        ] {
            assert_eq!(canonical_user(user), canonical);
            assert_eq!(canonical_user(canonical), canonical);
        }
    }
}
