//! repro's reading of names: hosts of any URI, octet by octet, without types. Used by its compatibility rules only.

use std::net::Ipv6Addr;

use super::peer_certificate::{PeerCertificate, SubjectAltName};
use crate::sip::{Uri, canonical_user};

/// Peer names in repro's order: DNS and e-mail as they are, addresses as text, the host of whatever URI; the last CN if
/// that gave nothing, and an empty name without any CN.
///
/// Deviation: a URI that does not parse is left out and hides the CN; repro could not go on with the connection.
pub(super) fn names(certificate: &PeerCertificate, email_as_sip: bool) -> Vec<Box<[u8]>> {
    let mut names: Vec<Box<[u8]>> = Vec::new();
    let mut unreadable = false;
    for name in certificate.alt_names.iter().take(1_000) {
        match name {
            SubjectAltName::Dns(raw) => names.push(raw.as_slice().into()),
            SubjectAltName::Email(raw) if email_as_sip => names.push(raw.as_slice().into()),
            SubjectAltName::Email(_) | SubjectAltName::Other(_) => {}
            SubjectAltName::Ip(ip) => names.push(ip.to_string().into_bytes().into()),
            SubjectAltName::Uri(raw) => match parts(raw) {
                Some((_, host)) => names.push(host.into()),
                None => unreadable = true,
            },
        }
    }
    if names.is_empty() && !unreadable {
        names.push(
            certificate
                .common_names
                .last()
                .map_or_else(Default::default, |cn| cn.as_slice().into()),
        );
    }
    names
}

/// User and host as repro's lenient parser takes them out of any URI; `tel:` and `urn:` have an empty host.
fn parts(uri: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let colon = uri.iter().position(|o| matches!(o, b':' | b'@'))?;
    let (scheme, rest) = uri.split_at_checked(colon)?;
    let rest = rest.strip_prefix(b":")?;
    if scheme.eq_ignore_ascii_case(b"tel") || scheme.eq_ignore_ascii_case(b"urn") {
        return Some((rest, Vec::new()));
    }
    let (user, rest) = match rest.iter().position(|o| *o == b'@') {
        Some(at) => (rest.get(..at)?, rest.get(at + 1..)?),
        None => (&[][..], rest),
    };
    let user = user.split(|o| *o == b':').next().unwrap_or_default();
    if let Some(inner) = rest.strip_prefix(b"[") {
        let end = inner.iter().position(|o| *o == b']')?;
        let text = std::str::from_utf8(inner.get(..end)?).ok()?;
        let ip: Ipv6Addr = text.parse().ok()?;
        return Some((user, ip.to_string().into_bytes()));
    }
    let host = rest
        .split(|o| matches!(o, b'\r' | b'\n' | b'\t' | b' ' | b':' | b';' | b'?' | b'>'))
        .next()
        .unwrap_or_default();
    Some((user, host.to_vec()))
}

/// What repro compares a peer name with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LegacyClaim {
    /// `user@host` with the host in lower case, or just the host without a user.
    pub(super) aor: Vec<u8>,
    /// The host as received.
    pub(super) host: Vec<u8>,
}

impl LegacyClaim {
    /// Takes the URI of a From or Referred-By.
    pub(super) fn of(uri: &Uri<'_>, text: &[u8]) -> Self {
        let (user, host) = parts(text).unwrap_or_default();
        let user = match uri.sip().and_then(|sip| sip.user) {
            Some(user) => canonical_user(user).into_owned().into_bytes(),
            None => user.to_vec(),
        };
        let lower = host.to_ascii_lowercase();
        let aor = if user.is_empty() {
            lower
        } else {
            [user.as_slice(), b"@", lower.as_slice()].concat()
        };
        Self { aor, host }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repro_takes_the_host_of_any_uri() {
        for (uri, host) in [
            ("sip:alice@example.org", Some("example.org")),
            ("sips:Example.org", Some("Example.org")),
            ("sip:example.org:5061;transport=tls", Some("example.org")),
            ("xmpp:alice@example.org", Some("example.org")),
            ("mailto:alice@example.org", Some("example.org")),
            ("https://example.org/x", Some("//example.org/x")),
            ("tel:+15551234567", Some("")),
            ("urn:uuid:f81d4fae", Some("")),
            ("sip:", Some("")),
            ("sip:[2001:DB8:0::1]:5061", Some("2001:db8::1")),
            ("sip:a\0b", Some("a\0b")),
            ("not-a-uri", None),
            ("alice@example.org:5060", None),
        ] {
            let found = parts(uri.as_bytes()).map(|(_, host)| host);
            assert_eq!(found.as_deref(), host.map(str::as_bytes), "{uri:?}");
        }
    }
}
