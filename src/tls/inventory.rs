//! Every loaded certificate as plain values, for `sipvouch certs` and for warnings before one expires.

use std::fmt;
use std::path::{Path, PathBuf};

use openssl::x509::X509Ref;

use super::{identity, peer};

/// What a loaded certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateRole {
    /// Certificates of clients may end in it; those of servers too, unless there are anchors for these alone.
    Anchor,
    /// Certificates of clients may end in it, at some listener or domain that has its own.
    ListenerAnchor,
    /// Certificates of servers that we connect to may end in it, and no others.
    ServerAnchor,
    /// Shown to clients that ask for this domain, and to servers when we act for it.
    Server {
        /// Lower-case domain.
        domain: String,
    },
    /// Sent along with the server certificate of this domain.
    Intermediate {
        /// Lower-case domain.
        domain: String,
    },
}

impl CertificateRole {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Anchor => "anchor",
            Self::ListenerAnchor => "listener-anchor",
            Self::ServerAnchor => "server-anchor",
            Self::Server { .. } => "server",
            Self::Intermediate { .. } => "intermediate",
        }
    }

    /// The domain that it is for; an anchor is for all.
    pub fn domain(&self) -> Option<&str> {
        match self {
            Self::Anchor | Self::ListenerAnchor | Self::ServerAnchor => None,
            Self::Server { domain } | Self::Intermediate { domain } => Some(domain),
        }
    }
}

impl fmt::Display for CertificateRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.domain()
            .map_or(Ok(()), |domain| write!(f, " {domain}"))
    }
}

/// One loaded certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedCertificate {
    /// What it is for.
    pub role: CertificateRole,
    /// The file it came from.
    pub file: PathBuf,
    /// Subject in one line, printable.
    pub subject: String,
    /// Issuer in one line, printable.
    pub issuer: String,
    /// subjectAltNames with their type in front, such as `DNS:example.org`; not escaped.
    pub names: Vec<String>,
    /// Kind and size of the key, such as `RSA 2048`.
    pub key: String,
    /// Serial number, upper-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the DER encoding.
    pub fingerprint: [u8; 32],
    /// Start of validity, seconds since 1970-01-01 UTC.
    pub not_before: i64,
    /// End of validity, seconds since 1970-01-01 UTC.
    pub not_after: i64,
    /// Whole days left at the time of loading; negative once it has expired.
    pub days_left: i64,
}

impl LoadedCertificate {
    pub(super) fn new(role: CertificateRole, file: &Path, certificate: &X509Ref, now: i64) -> Self {
        let fingerprint = peer::fingerprint(certificate).unwrap_or([0; 32]);
        let not_after = peer::unix_time(certificate.not_after()).unwrap_or(i64::MIN);
        let names = peer::peer_certificate(certificate, fingerprint, None);
        Self {
            role,
            file: file.to_owned(),
            subject: peer::name_line(certificate.subject_name()),
            issuer: peer::name_line(certificate.issuer_name()),
            names: names.map_or_else(
                |why| vec![why.to_string()],
                |names| names.alt_names.iter().map(peer::alt_name_text).collect(),
            ),
            key: identity::key_kind(certificate),
            serial: peer::serial(certificate),
            fingerprint,
            not_before: peer::unix_time(certificate.not_before()).unwrap_or(i64::MAX),
            not_after,
            days_left: not_after.saturating_sub(now).div_euclid(86_400),
        }
    }
}
