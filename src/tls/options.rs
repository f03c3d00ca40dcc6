//! What an operator may decide about TLS.

use std::fmt;
use std::path::PathBuf;

use super::{ReferenceName, Roots};
use crate::auth::NamePolicy;

/// A pass phrase; its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PassPhrase(String);

impl PassPhrase {
    /// Wraps the text of a setting.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The octets to decrypt a key with.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for PassPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// repro: `TLSClientVerification`: what a listener wants of the certificate of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClientVerification {
    /// Never ask for one.
    #[default]
    None,
    /// Ask; let a client without one in, refuse one whose certificate fails any test.
    Optional,
    /// Ask, and refuse a client without a good one.
    Mandatory,
}

/// A TLS protocol version; 1.0 and 1.1 only by an explicit setting (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// TLS 1.0.
    Tls1,
    /// TLS 1.1.
    Tls1_1,
    /// TLS 1.2.
    Tls1_2,
    /// TLS 1.3.
    Tls1_3,
}

impl ProtocolVersion {
    /// The one that OpenSSL calls so.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "TLSv1" => Some(Self::Tls1),
            "TLSv1.1" => Some(Self::Tls1_1),
            "TLSv1.2" => Some(Self::Tls1_2),
            "TLSv1.3" => Some(Self::Tls1_3),
            _ => None,
        }
    }
}

/// Which extended key usages a client certificate may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EkuPolicy {
    /// None, any, clientAuth and sipDomain pass; serverAuth alone passes for domain identities (RFC 5924 §4.1, and
    /// public CAs stopped issuing clientAuth in 2026). Anything else alone is refused. The default.
    #[default]
    Rfc5924,
    /// As `Rfc5924`, but serverAuth alone is refused.
    NoServerAuth,
    /// Only sipDomain, or no extension at all (RFC 5924 §4.1 in its strict reading).
    SipDomain,
    /// OpenSSL's own check as repro has it: clientAuth, or no extension at all.
    ClientAuth,
}

/// A certificate chain and its key. In a pair of file lists of one domain each entry has another key type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file: our certificate first, then intermediates.
    pub chain: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// TLS of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The domain served when SNI names none of ours; repro: `TLSDomainName`, `Transport<N>TlsDomain`.
    pub domain: String,
    /// Explicit files of that domain; empty means the legacy names in the certificate directory.
    pub certificates: Vec<CertificateFiles>,
    /// repro: `Transport<N>TlsPrivateKeyPassPhrase`, falling back to `TLSPrivateKeyPassPhrase`.
    pub pass_phrase: Option<PassPhrase>,
    /// repro: `TLSClientVerification`.
    pub verification: ClientVerification,
    /// Ours: `ClientCertificateEku`.
    pub eku: EkuPolicy,
    /// Further domains chosen by SNI: `None` is every domain that the certificate directory has a chain and a key for.
    pub sni_domains: Option<Vec<String>>,
    /// Ours: `Transport<N>CAFile`, `Transport<N>CADirectory`: its own trust anchors; without any, those that all share.
    pub roots: Roots,
    /// Ours: `TLSSniDomain<N>…`: trust anchors of domains chosen by SNI; others have those of the listener.
    pub sni_roots: Vec<(String, Roots)>,
}

/// Which certificates of a chain CRLs are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CrlCheck {
    /// None.
    None,
    /// That of the peer.
    Leaf,
    /// That of the peer and those of all CAs above it, a root among them (RFC 5280 §6.3).
    #[default]
    Chain,
}

/// What becomes of a peer of whose certificate no CRL in force says that it is not revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WithoutCrl {
    /// It is refused.
    #[default]
    Refuse,
    /// It passes, and a line of the log says so.
    Warn,
}

/// Where CRLs are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CrlFiles {
    /// Each holds one CRL or more, as PEM or DER.
    pub files: Vec<PathBuf>,
    /// Every file of them that holds CRLs counts, whatever its name is.
    pub directories: Vec<PathBuf>,
}

impl CrlFiles {
    /// Whether no setting names any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty()
    }
}

/// Revoked certificates (RFC 5280 §5, RFC 6960).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationOptions {
    /// Ours: `CRLFile`, `CRLDirectory`: for certificates of clients.
    pub crls: CrlFiles,
    /// Ours: `CRLCheck`. Without any CRL configured nothing is checked.
    pub check: CrlCheck,
    /// Ours: `CRLMissing`: there is no CRL of the certificate's issuer.
    pub missing: WithoutCrl,
    /// Ours: `CRLStale`: the nextUpdate of the issuer's CRL is over.
    pub stale: WithoutCrl,
    /// Ours: `CRLReloadInterval`, in seconds.
    pub reload_interval: u32,
    /// Ours: `TLSOcspStaple` and `Transport<N>TlsOcspStaple`: DER files of OCSP responses about our certificates.
    pub staples: Vec<PathBuf>,
    /// Ours: `CertificateExpiryWarningDays`.
    pub warning_days: u32,
}

impl Default for RevocationOptions {
    fn default() -> Self {
        Self {
            crls: CrlFiles::default(),
            check: CrlCheck::default(),
            missing: WithoutCrl::default(),
            stale: WithoutCrl::default(),
            reload_interval: 3_600,
            staples: Vec::new(),
            warning_days: 30,
        }
    }
}

/// TLS settings that all listeners share.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// repro: `CertificatePath`: legacy directory, or one PEM file of trust anchors.
    pub certificate_path: Option<PathBuf>,
    /// repro: `CADirectory`.
    pub ca_directories: Vec<PathBuf>,
    /// repro: `CAFile`.
    pub ca_files: Vec<PathBuf>,
    /// repro: `TLSPrivateKeyPassPhrase`, for keys in the certificate directory.
    pub pass_phrase: Option<PassPhrase>,
    /// repro: `TlsDHParamsFilename`.
    pub dh_params: Option<PathBuf>,
    /// repro: `OpenSSLCipherList` (TLS 1.2 and older).
    pub cipher_list: String,
    /// Ours: `TLSCipherSuites` (TLS 1.3); `None` is OpenSSL's default.
    pub cipher_suites: Option<String>,
    /// Ours: `TLSGroups`; `None` is OpenSSL's default.
    pub groups: Option<String>,
    /// Ours: `TLSMinimumProtocol`. Default 1.2.
    pub minimum: ProtocolVersion,
    /// Ours: `TLSMaximumProtocol`. Default 1.3.
    pub maximum: ProtocolVersion,
    /// repro: `OpenSSLCTXSetOptions`; `None` is the built-in set.
    pub set_options: Option<Vec<String>>,
    /// repro: `OpenSSLCTXClearOptions`.
    pub clear_options: Vec<String>,
    /// Ours: `TLSVerifyDepth`: most intermediates between a peer's certificate and an anchor.
    pub verify_depth: u32,
    /// Ours: `TLSSessionTickets`: whether clients may resume (one ticket each).
    pub session_tickets: bool,
    /// Ours: `TLSSessionLifetime`, in seconds.
    pub session_lifetime: u32,
    /// Ours: `VerifiedChainCacheSize`: verified peer certificates remembered by fingerprint; 0 remembers none.
    pub verified_chain_cache: usize,
    /// Which certificates are no longer good before they expire.
    pub revocation: RevocationOptions,
}

/// Which certificate we show to a server that asks for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum OwnIdentity {
    /// Of the domain that we act for; without one, the first that the CAs which the server names can have issued, and
    /// then that of the fall-back.
    #[default]
    Default,
    /// Of this domain, whomever we act for.
    Domain(String),
    /// None: some servers refuse what public CAs issue, and let in who shows nothing.
    None,
}

/// What is different toward some destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationProfile {
    /// The setting that it comes from, for messages.
    pub setting: String,
    /// Ours: `TLSDestination<N>Domains`: domains and address literals, as the next-hop URI has them.
    pub domains: Vec<String>,
    /// Ours: `TLSDestination<N>DomainSuffixes`: these domains and all below them.
    pub suffixes: Vec<String>,
    /// Ours: `TLSDestination<N>ExpectedName`: the name to prove, and to ask for by SNI, instead of the destination.
    pub expected_name: Option<ReferenceName>,
    /// Ours: `TLSDestination<N>OwnDomain`.
    pub own: OwnIdentity,
    /// Ours: `TLSDestination<N>MinimumProtocol`; `None` is that of [`TlsOptions`].
    pub minimum: Option<ProtocolVersion>,
    /// Ours: `TLSDestination<N>MaximumProtocol`; `None` is that of [`TlsOptions`].
    pub maximum: Option<ProtocolVersion>,
    /// Ours: `TLSDestination<N>Verification`: whether the server has to prove its name at all.
    pub verify: bool,
    /// Ours: `TLSDestination<N>RequireStaple`: whether the server has to send an OCSP response about its certificate.
    pub require_staple: bool,
}

/// TLS toward other domains. Versions, ciphers and the depth of chains are those of [`TlsOptions`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// Ours: `TLSClientRoleCADirectory`. Without it and `ca_files`, the anchors of the listeners count.
    pub ca_directories: Vec<PathBuf>,
    /// Ours: `TLSClientRoleCAFile`.
    pub ca_files: Vec<PathBuf>,
    /// Ours: `TLSClientRoleCRLFile`, `TLSClientRoleCRLDirectory`. Without any, the CRLs of the listeners count.
    pub crls: CrlFiles,
    /// Ours: `TLSClientRoleOwnDomain`: what is shown when nothing else decides; `Default` is the domain of the first
    /// TLS listener.
    pub fallback: OwnIdentity,
    /// What the operator has widened about names: the same as for names of clients.
    pub names: NamePolicy,
    /// Ours: `TLSDestination<N>…`.
    pub destinations: Vec<DestinationProfile>,
}
