//! A peer's verified leaf certificate as plain values, so that no room but `tls` needs an OpenSSL type.

use std::net::IpAddr;

use super::issuer::Issuers;

/// One subjectAltName entry, typed as the certificate has it and in its order (RFC 5280 §4.2.1.6).
///
/// Text is kept as the raw octets: a NUL or a control character must stay visible to the rules that refuse it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SubjectAltName {
    /// uniformResourceIdentifier.
    Uri(Vec<u8>),
    /// dNSName.
    Dns(Vec<u8>),
    /// rfc822Name.
    Email(Vec<u8>),
    /// iPAddress of 4 or 16 octets.
    Ip(IpAddr),
    /// Any other type, or an iPAddress of another length: never an identity, kept for the log.
    Other(&'static str),
}

/// An attribute of a subject besides commonName.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectAttribute {
    /// serialNumber (2.5.4.5): that of a device, not that of the certificate.
    SerialNumber,
    /// stateOrProvinceName (2.5.4.8).
    State,
}

/// What a peer's certificate says, after its chain was verified in the handshake.
///
/// Made by `tls::peer` only. Whoever holds one may rely on the chain, the validity dates and the purpose having been
/// checked; what its names entitle to is for [`crate::auth`] to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Subject as one line (RFC 2253), printable.
    pub subject: String,
    /// Issuer as one line (RFC 2253), printable.
    pub issuer: String,
    /// Serial number, upper-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the DER encoding.
    pub fingerprint: [u8; 32],
    /// Start of validity, seconds since 1970-01-01 UTC.
    pub not_before: i64,
    /// End of validity, seconds since 1970-01-01 UTC.
    pub not_after: i64,
    /// Every commonName of the subject in order, converted to UTF-8 where its string type allows, else raw.
    pub common_names: Vec<Vec<u8>>,
    /// Attributes of the subject by which some makers name a device, in order; the first few if there are many.
    pub subject_attributes: Vec<(SubjectAttribute, Vec<u8>)>,
    /// Every subjectAltName in order.
    pub alt_names: Vec<SubjectAltName>,
    /// Extended key usages as dotted object identifiers; `None` without the extension.
    pub extended_key_usage: Option<Vec<String>>,
    /// Subject of the trust anchor that the verified chain ends in, one line.
    pub anchor_subject: String,
    /// SHA-256 of that anchor's DER encoding.
    pub anchor_fingerprint: [u8; 32],
    /// The CAs of the verified chain; none if nothing was verified.
    pub issuers: Issuers,
}

/// How a certificate is told from others, for whoever is asked about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateName {
    /// Subject as one line.
    pub subject: String,
    /// Issuer as one line.
    pub issuer: String,
    /// Serial number, upper-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the DER encoding.
    pub fingerprint: [u8; 32],
}

impl CertificateName {
    /// That of this certificate.
    pub fn of(certificate: &PeerCertificate) -> Self {
        Self {
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            fingerprint: certificate.fingerprint,
        }
    }
}

/// Object identifiers of extended key usages.
pub mod oid {
    /// id-kp-serverAuth (RFC 5280 §4.2.1.12).
    pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
    /// id-kp-clientAuth (RFC 5280 §4.2.1.12).
    pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
    /// id-kp-sipDomain (RFC 5924 §3).
    pub const SIP_DOMAIN: &str = "1.3.6.1.5.5.7.3.20";
    /// anyExtendedKeyUsage (RFC 5280 §4.2.1.12).
    pub const ANY: &str = "2.5.29.37.0";
}
