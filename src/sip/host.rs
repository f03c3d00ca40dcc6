//! Hosts of URIs and of a Via's sent-by: names, IPv4 addresses, IPv6 references (RFC 3261 §25.1, RFC 5118).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text::number;

/// A host as a URI or a Via has it.
#[derive(Debug, Clone, Copy)]
pub enum Host<'a> {
    /// A domain or host name, as written.
    Name(&'a str),
    /// An address literal; IPv6 without its brackets.
    Ip(IpAddr),
}

impl<'a> Host<'a> {
    /// Takes a host: an IPv4 literal, an IPv6 reference in brackets, or a name.
    ///
    /// Wider than the grammar: `_` and `*` count as letters of a name, and a hyphen may stand anywhere in a label,
    /// since peers do write them. A `*` never names an identity.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return ipv6(inner.strip_suffix(']')?).map(|ip| Self::Ip(IpAddr::V6(ip)));
        }
        if is_name(text) {
            return Some(Self::Name(text));
        }
        text.parse::<Ipv4Addr>()
            .ok()
            .map(|ip| Self::Ip(IpAddr::V4(ip)))
    }

    /// The host in the form that is compared: lower case, without a trailing dot; addresses without brackets.
    pub fn canonical(&self) -> Cow<'a, str> {
        match self {
            Self::Name(name) => canonical_domain(name),
            Self::Ip(ip) => Cow::Owned(ip.to_string()),
        }
    }
}

/// A domain name in the form that is compared: lower case and without its trailing dot (RFC 3261 §19.1.4).
pub fn canonical_domain(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|o| o.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Whether this is a host name and nothing that a resolver would take for an address: `127.1`, `0x7f000001` and
/// `010.0.0.1` reach 127.0.0.1 or 8.0.0.1 by `inet_aton`, behind the back of every check on addresses. The grammar has
/// no such names either (`toplabel`).
fn is_name(text: &str) -> bool {
    if text.len() > 255 {
        return false;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    // Length of the label so far; none is empty.
    let (mut label, mut whole) = (0_usize, true);
    for octet in name.bytes() {
        match octet {
            b'.' => {
                whole &= label > 0;
                label = 0;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => label += 1,
            _ => return false,
        }
    }
    let last = name.get(name.len() - label..).unwrap_or_default();
    whole && label > 0 && !is_numeric(last)
}

/// Whether `inet_aton` would read this as a number: decimal, octal or hexadecimal.
fn is_numeric(label: &str) -> bool {
    match label.strip_prefix("0x").or(label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|o| o.is_ascii_hexdigit()),
        None => label.bytes().all(|o| o.is_ascii_digit()),
    }
}

/// An IPv6 literal. Three colons in a row are read as two (RFC 5118 §4.10 asks to tolerate them, RFC 5954 to write
/// only two).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        text.contains(":::")
            .then(|| text.replacen(":::", "::", 1).parse().ok())?
    })
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Name(a), Self::Name(b)) => a
                .strip_suffix('.')
                .unwrap_or(a)
                .eq_ignore_ascii_case(b.strip_suffix('.').unwrap_or(b)),
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// `host[:port]`, as in URIs and in a Via's sent-by. Blanks around the colon are dropped: sent-by may have them, and
/// no URI that comes here has any.
pub(super) fn parse_host_port(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    // The colons of an IPv6 reference are behind us at its bracket.
    let from = memchr::memrchr(b']', text.as_bytes()).unwrap_or(0);
    let Some(colon) = memchr::memchr(b':', text.as_bytes().get(from..)?).map(|at| from + at) else {
        return Some((Host::parse(text)?, None));
    };
    let (host, port) = (text.get(..colon)?, text.get(colon + 1..)?);
    let port = port.trim_start_matches([' ', '\t']);
    let port = number(port.as_bytes()).and_then(|p| u16::try_from(p).ok())?;
    let host = host.trim_end_matches([' ', '\t']);
    Some((Host::parse(host)?, Some(port)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hosts_are_names_and_address_literals() {
        for (text, shown) in [
            ("example.com", Some("example.com")),
            ("example.com.", Some("example.com.")),
            ("localhost", Some("localhost")),
            ("3f2a9c1b7d4e", Some("3f2a9c1b7d4e")),
            ("*.example.net", Some("*.example.net")),
            ("_sip.example.net", Some("_sip.example.net")),
            ("192.0.2.4", Some("192.0.2.4")),
            ("[2001:db8::10]", Some("[2001:db8::10]")),
            ("[2001:DB8:0:0::10]", Some("[2001:db8::10]")),
            ("[::ffff:192.0.2.1]", Some("[::ffff:192.0.2.1]")),
            ("[2001:db8:::192.0.2.1]", Some("[2001:db8::c000:201]")),
            ("", None),
            (".", None),
            (".example.com", None),
            ("a..b", None),
            ("a.b..", None),
            ("exa mple.com", None),
            ("ex%61mple.com", None),
            ("example.com/", None),
            ("münchen.example", None),
            ("2001:db8::10", None),
            ("[2001:db8::10", None),
            ("[2001:db8::10]x", None),
            ("[192.0.2.4]", None),
            ("[fe80::1%25eth0]", None),
            ("[::::1]", None),
            ("192.0.2.256", None),
            ("010.0.0.1", None),
            ("127.1", None),
            ("2130706433", None),
            ("0x7f000001", None),
            ("0x7f.1.", None),
        ] {
            let host = Host::parse(text).map(|h| h.to_string());
            assert_eq!(host.as_deref(), shown, "{text}");
        }
        assert!(Host::parse(&"a".repeat(255)).is_some());
        assert!(Host::parse(&"a".repeat(256)).is_none());
    }

    #[test]
    fn ports_are_decimal_and_fit() {
        for (text, port) in [
            ("h", Some(None)),
            ("h:5060", Some(Some(5060))),
            ("h:005061", Some(Some(5061))),
            ("h:65535", Some(Some(65535))),
            ("h:0", Some(Some(0))),
            ("[2001:db8::10]:5070", Some(Some(5070))),
            ("[2001:db8::10:5070]", Some(None)),
            ("h : 5060", Some(Some(5060))),
            ("[::1] :5060", Some(Some(5060))),
            ("h:", None),
            ("h:65536", None),
            ("h:+5060", None),
            ("h:-1", None),
            ("h:5060:5060", None),
            ("h:1 : 2", None),
            (":5060", None),
            ("[::1]5060", None),
        ] {
            assert_eq!(parse_host_port(text).map(|(_, port)| port), port, "{text}");
        }
    }

    #[test]
    fn hosts_compare_without_case_and_trailing_dot() {
        let same = |a, b| Host::parse(a).unwrap() == Host::parse(b).unwrap();
        assert!(same("AtLanTa.CoM", "atlanta.com."));
        assert!(same("[2001:db8::1]", "[2001:0DB8:0::1]"));
        assert!(!same("a.example.com", "example.com"));
        // An address never is a name, and a mapped address is not the address that it maps.
        assert!(!same("[::ffff:192.0.2.1]", "192.0.2.1"));
        assert_eq!(
            Host::parse("AtLanTa.CoM.").unwrap().canonical(),
            "atlanta.com"
        );
        assert_eq!(
            Host::parse("[2001:DB8::1]").unwrap().canonical(),
            "2001:db8::1"
        );
    }
}
