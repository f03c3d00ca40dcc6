//! MAC addresses as phone makers write them into certificates, and host names as DNS has them.

use std::net::IpAddr;

/// A MAC address, by value: `0004F22B3EB5`, `00:04:f2:2b:3e:b5`, `00-04-F2-2B-3E-B5`, `0004.f22b.3eb5` and
/// `SEP0004F22B3EB5` are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mac(u64);

/// What vendors put before the address; compared without case.
const PREFIXES: [&str; 2] = ["SEP", "ATA"];

impl Mac {
    /// The address that a name of a certificate means.
    ///
    /// A dotted name that could be a host name is none: `dead.beef.cafe` may be registered, and a public CA
    /// would certify it, while `DE:AD:BE:EF:CA:FE` is somebody's phone. Neither is an IP address, which public CAs
    /// certify too: `104.131.123.200` has twelve digits.
    pub(super) fn of_name(text: &str) -> Option<Self> {
        if text.contains('.') && is_dns_name(text.strip_suffix('.').unwrap_or(text)) {
            return None;
        }
        if text.parse::<IpAddr>().is_ok() {
            return None;
        }
        Self::of_key(text)
    }

    /// The address that an operator's text means.
    pub(super) fn of_key(text: &str) -> Option<Self> {
        let tail = PREFIXES.iter().find_map(|prefix| after(text, prefix));
        let text = tail.unwrap_or(text);
        let mut digits = 0_u32;
        let mut value = 0_u64;
        for octet in text.bytes() {
            if matches!(octet, b':' | b'-' | b'.') {
                continue;
            }
            let digit = char::from(octet).to_digit(16)?;
            digits += 1;
            if digits > 12 {
                return None;
            }
            value = (value << 4) | u64::from(digit);
        }
        (digits == 12).then_some(Self(value))
    }

    /// Its twelve digits, in lower case.
    pub(super) fn digits(self) -> String {
        format!("{:012x}", self.0)
    }
}

/// What stands behind a prefix, at the start or behind a model name and a dash (`CP-8845-SEP0004F22B3EB5`).
fn after<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let tail = match text.rsplit_once('-') {
        Some((_, last)) if starts_with(last, prefix) => last,
        _ if starts_with(text, prefix) => text,
        _ => return None,
    };
    tail.get(prefix.len()..)
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether this is a host name (RFC 3261 §25.1 `hostname`, RFC 1035 §2.3.4 lengths), without trailing dot: letters, digits
/// and dashes, and a last label that begins with a letter, so that no address literal is one.
pub(super) fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|o| o.is_ascii_alphanumeric() || o == b'-')
    };
    text.len() <= 253
        && text.split('.').all(label)
        && text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_mac_address_are_equal() {
        let wanted = Mac::of_key("0004F22B3EB5");
        assert!(wanted.is_some());
        for text in [
            "0004f22b3eb5",
            "00:04:F2:2B:3E:B5",
            "00-04-f2-2b-3e-b5",
            "0004.f22b.3eb5",
            "SEP0004F22B3EB5",
            "sep0004f22b3eb5",
            "CP-8845-SEP0004F22B3EB5",
            "ATA0004F22B3EB5",
        ] {
            assert_eq!(Mac::of_key(text), wanted, "{text}");
            assert_eq!(Mac::of_name(text), wanted, "{text} in a certificate");
        }
    }

    #[test]
    fn other_texts_are_no_mac_address() {
        for text in [
            "",
            "0004F22B3EB",
            "0004F22B3EB5A",
            "0004F22B3EBG",
            "SEP",
            "SEPSEP0004F22B3EB5",
            "alice@example.org",
            "é004F22B3EB5",
            "0004 F22B 3EB5",
        ] {
            assert_eq!(Mac::of_key(text), None, "{text}");
        }
    }

    #[test]
    fn a_registrable_domain_is_no_mac_address() {
        assert_eq!(Mac::of_name("dead.beef.cafe"), None);
        assert_eq!(Mac::of_name("0004f22b3e.de"), None);
        assert_eq!(Mac::of_name("00.04.f2.2b.3e.de."), None);
        assert!(Mac::of_key("dead.beef.cafe").is_some());
    }

    #[test]
    fn an_ip_address_is_no_mac_address() {
        for text in ["104.131.123.200", "2001:db8:a:bcd::1"] {
            assert!(Mac::of_key(text).is_some(), "{text} has twelve digits");
            assert_eq!(Mac::of_name(text), None, "{text}");
        }
    }

    #[test]
    fn host_names_are_told_from_other_texts() {
        for (text, yes) in [
            ("example.org", true),
            ("gateway1", true),
            ("xn--bcher-kva.example", true),
            ("192.0.2.1", false),
            ("12345", false),
            ("a..b", false),
            (".example.org", false),
            ("example.org.", false),
            ("-a.example", false),
            ("a_b.example", false),
            ("*.example.org", false),
            ("", false),
        ] {
            assert_eq!(is_dns_name(text), yes, "{text}");
        }
    }
}
