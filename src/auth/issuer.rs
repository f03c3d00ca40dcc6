//! The CAs behind a certificate, and how an operator names one.

use std::sync::Arc;

/// Longest subject key identifier that a CA is named by, in octets; RFC 5280 §4.2.1.2 has 20.
const MAX_KEY_ID: usize = 64;

/// One CA of a verified chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Subject as one line (RFC 2253), printable.
    pub subject: Box<str>,
    /// Subject key identifier; empty without that extension.
    pub key_id: Box<[u8]>,
    /// SHA-256 of the DER encoding.
    pub fingerprint: [u8; 32],
}

/// The CAs of a verified chain, from the one that issued the certificate to the trust anchor.
///
/// One value for all certificates of a chain: connections share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issuers(Option<Arc<[Issuer]>>);

impl Issuers {
    /// These, the issuing one first.
    #[must_use]
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self((!issuers.is_empty()).then(|| issuers.into()))
    }

    /// All of them, the issuing one first.
    pub fn iter(&self) -> impl Iterator<Item = &Issuer> {
        self.0.iter().flat_map(|issuers| issuers.iter())
    }

    /// The trust anchor: the one certificate of the chain that the operator has chosen, and no CA could have made up.
    pub fn anchor(&self) -> Option<&Issuer> {
        self.0.as_ref()?.last()
    }
}

/// How an operator names a CA.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum CaName {
    /// `sha256=`: this certificate.
    Fingerprint([u8; 32]),
    /// `keyid=`: every certificate of this key, as far as the CA says so.
    KeyId(Box<[u8]>),
    /// `subject=`: every certificate of this name.
    Subject(Box<str>),
}

impl CaName {
    /// The CA that `field=text` names.
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, &'static str> {
        match field {
            "sha256" => octets(text)
                .and_then(|octets| <[u8; 32]>::try_from(octets).ok())
                .map(Self::Fingerprint)
                .ok_or("expected the 64 hexadecimal digits of a SHA-256 fingerprint"),
            "keyid" => octets(text)
                .filter(|octets| (1..=MAX_KEY_ID).contains(&octets.len()))
                .map(|octets| Self::KeyId(octets.into()))
                .ok_or("expected the hexadecimal digits of a subject key identifier"),
            "subject" if text.contains('=') && !text.chars().any(char::is_control) => {
                Ok(Self::Subject(text.into()))
            }
            "subject" => Err(
                "expected a subject in one line, most specific part first, as CN=Example CA,O=Example",
            ),
            _ => Err("expected sha256=, keyid= or subject="),
        }
    }

    /// Whether this is that CA.
    pub(super) fn is(&self, issuer: &Issuer) -> bool {
        match self {
            Self::Fingerprint(fingerprint) => *fingerprint == issuer.fingerprint,
            Self::KeyId(key_id) => *key_id == issuer.key_id,
            Self::Subject(subject) => *subject == issuer.subject,
        }
    }

    /// Whether certificates of this chain are that CA's. Any CA may give one below itself whatever name and key identifier
    /// it likes, so these say something of the trust anchor alone; a fingerprint is nobody else's.
    pub(super) fn vouches_in(&self, issuers: &Issuers) -> bool {
        match self {
            Self::Fingerprint(_) => issuers.iter().any(|issuer| self.is(issuer)),
            Self::KeyId(_) | Self::Subject(_) => {
                issuers.anchor().is_some_and(|anchor| self.is(anchor))
            }
        }
    }
}

/// Octets written in hexadecimal digits, with colons between them or without.
fn octets(text: &str) -> Option<Vec<u8>> {
    let mut digits = text.chars().filter(|c| *c != ':');
    let mut octets = Vec::with_capacity(text.len() / 2);
    while let Some(high) = digits.next() {
        let octet = (high.to_digit(16)? << 4) | digits.next()?.to_digit(16)?;
        octets.push(u8::try_from(octet).ok()?);
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_named_by_its_certificate_its_key_or_its_subject() {
        let issuer = Issuer {
            subject: "CN=Phone CA,O=Example".into(),
            key_id: Box::new([0xAB, 0x01]),
            fingerprint: [0x11; 32],
        };
        let print = "11".repeat(32);
        for (field, text, wanted) in [
            ("sha256", print.as_str(), Some(true)),
            ("sha256", &print.replace("11", "12"), Some(false)),
            ("sha256", &print.replace("1111", "11:11:"), Some(true)),
            ("sha256", "11:11", None),
            ("keyid", "AB:01", Some(true)),
            ("keyid", "ab01", Some(true)),
            ("keyid", "ab02", Some(false)),
            ("keyid", "ab0", None),
            ("keyid", "", None),
            ("keyid", "xy", None),
            ("subject", "CN=Phone CA,O=Example", Some(true)),
            ("subject", "CN=Phone CA", Some(false)),
            ("subject", "Phone CA", None),
            ("issuer", "CN=Phone CA", None),
        ] {
            let named = CaName::parse(field, text).map(|name| name.is(&issuer));
            assert_eq!(named.ok(), wanted, "{field}={text}");
        }
    }

    #[test]
    fn a_name_or_a_key_identifier_that_a_ca_could_make_up_is_believed_of_the_trust_anchor_alone() {
        let ca = |number: u8| Issuer {
            subject: format!("CN=CA {number}").into(),
            key_id: Box::new([number]),
            fingerprint: [number; 32],
        };
        let chain = Issuers::new(vec![ca(1), ca(2), ca(3)]);
        for (field, text, wanted) in [
            ("sha256", "01".repeat(32), true),
            ("sha256", "03".repeat(32), true),
            ("sha256", "04".repeat(32), false),
            ("keyid", "01".to_owned(), false),
            ("keyid", "02".to_owned(), false),
            ("keyid", "03".to_owned(), true),
            ("subject", "CN=CA 1".to_owned(), false),
            ("subject", "CN=CA 2".to_owned(), false),
            ("subject", "CN=CA 3".to_owned(), true),
        ] {
            let found = CaName::parse(field, &text).map(|name| name.vouches_in(&chain));
            assert_eq!(found, Ok(wanted), "{field}={text}");
            let found =
                CaName::parse(field, &text).map(|name| name.vouches_in(&Issuers::default()));
            assert_eq!(found, Ok(false), "{field}={text} without a chain");
        }
    }
}
