//! Whether two certificates name the same peer: a short digest of names and trust anchor.

use super::certificate::{Identity, IdentityKind};
use super::digest;

/// Who a certificate names, in 16 octets. A phone that renews its certificate with the same names from the same CA keeps it,
/// another phone has another.
///
/// Names decide in admission, so names decide here: serial number, key and validity do not count, nor does the issuing
/// certificate, which public CAs change from one renewal to the next. The trust anchor does: two anchors may belong to
/// people who would not issue each other's names.
///
/// Not keyed: it leaves the process only encrypted, and to find another set of names with the same digest takes 2^128
/// attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdentityDigest([u8; 16]);

impl IdentityDigest {
    /// The digest of these names under this anchor; `None` without names, since nothing tells such a peer from others.
    pub(super) fn of(names: &[Identity], anchor: &[u8; 32]) -> Option<Self> {
        if names.is_empty() {
            return None;
        }
        // As a set: the same names in another order, or twice, are the same peer.
        let mut set: Vec<_> = names
            .iter()
            .map(|name| (class(name), name.text()))
            .collect();
        set.sort_unstable();
        set.dedup();
        let mut octets = Vec::with_capacity(64 * (set.len() + 1));
        octets.extend_from_slice(anchor);
        for (class, text) in set {
            octets.extend_from_slice(&class);
            // A name has no NUL inside, so that this is where it ends.
            octets.extend_from_slice(text.as_bytes());
            octets.push(0);
        }
        Some(Self(digest::short_sha256(b"identity", &octets)))
    }

    /// Takes what [`IdentityDigest::octets`] gave.
    pub(super) fn from_octets(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The digest itself.
    pub(super) fn octets(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What a name is besides its text. `example.org` as a domain entitles to other things than as a label.
fn class(name: &Identity) -> [u8; 3] {
    let kind = match name.kind {
        IdentityKind::Domain => b'd',
        IdentityKind::Wildcard => b'w',
        IdentityKind::User => b'u',
        IdentityKind::Ip(_) => b'i',
        IdentityKind::Label => b'l',
        IdentityKind::KeyOnly(_) => b'k',
    };
    let source = name.source.as_str().bytes().next().unwrap_or_default();
    [kind, source, u8::from(name.secure_only)]
}

#[cfg(test)]
mod tests {
    use super::super::certificate::{Identities, NamePolicy};
    use super::super::test_support::cert;
    use super::*;

    fn digest(cn: &str, sans: &[&str], anchor: u8, serial: &str) -> Option<IdentityDigest> {
        let mut certificate = cert(cn, sans);
        certificate.anchor_fingerprint = [anchor; 32];
        certificate.serial = serial.into();
        certificate.fingerprint = [serial.len() as u8; 32];
        certificate.issuer = format!("CN=Intermediate {serial}");
        certificate.not_after = serial.len() as i64;
        Identities::of(&certificate, &NamePolicy::default()).digest()
    }

    #[test]
    fn names_and_anchor_make_the_peer_and_nothing_else_does() {
        let alice = &["URI:sip:alice@example.org", "DNS:phone7.example.org"][..];
        let own = digest("", alice, 1, "01");
        assert!(own.is_some());
        for (situation, cn, sans, anchor, serial, is_same) in [
            ("renewed", "", alice, 1, "0202", true),
            (
                "renewed, names in another order",
                "",
                &["DNS:phone7.example.org", "URI:sip:alice@example.org"],
                1,
                "02",
                true,
            ),
            (
                "renewed, another letter case of the host",
                "",
                &["URI:sip:alice@EXAMPLE.org", "DNS:Phone7.example.org"],
                1,
                "02",
                true,
            ),
            ("the same names of another CA", "", alice, 2, "01", false),
            (
                "another user",
                "",
                &["URI:sip:bob@example.org", "DNS:phone7.example.org"],
                1,
                "01",
                false,
            ),
            (
                "one name fewer",
                "",
                &["URI:sip:alice@example.org"],
                1,
                "01",
                false,
            ),
            (
                "one name more",
                "",
                &[
                    "URI:sip:alice@example.org",
                    "DNS:phone7.example.org",
                    "IP:192.0.2.1",
                ],
                1,
                "01",
                false,
            ),
            (
                "sips for sip",
                "",
                &["URI:sips:alice@example.org", "DNS:phone7.example.org"],
                1,
                "01",
                false,
            ),
            (
                "a CN beside, which mappings may know",
                "0004F2000001",
                alice,
                1,
                "01",
                false,
            ),
        ] {
            let found = digest(cn, sans, anchor, serial);
            assert_eq!(found == own, is_same, "{situation}");
        }
        let phone = digest("0004F2000001", &[], 1, "01");
        assert!(phone.is_some() && phone != digest("0004F2000002", &[], 1, "01"));
        assert_ne!(
            digest("example.org", &[], 1, "01"),
            digest("", &["DNS:example.org"], 1, "01"),
            "where a name stands counts"
        );
    }

    #[test]
    fn a_certificate_without_a_name_is_nobody_in_particular() {
        assert_eq!(digest("", &[], 1, "01"), None);
        assert_eq!(digest("", &["email:alice@example.org"], 1, "01"), None);
    }
}
