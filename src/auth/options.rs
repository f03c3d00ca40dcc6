//! What an operator may decide about identity.

use std::net::IpAddr;
use std::path::PathBuf;

use super::callout::CalloutOptions;
use super::check::Transport;
use super::digest::{DigestOptions, Field};
use super::phone::PhoneProfiles;
use super::seal::TokenSecret;

/// Which rules hold a request against its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityRules {
    /// RFC 5922 names, every request judged. The default.
    #[default]
    Secure,
    /// repro's rules decide; what `Secure` would have refused is logged. The way from repro to `Secure`.
    Report,
    /// repro's rules, holes included.
    Repro,
}

impl IdentityRules {
    /// The word of the setting.
    pub fn word(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Report => "report",
            Self::Repro => "repro",
        }
    }
}

/// What becomes of a live connection whose peer would not be let in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnIdentityLost {
    /// It is closed. The default.
    #[default]
    Close,
    /// It stays for what is under way; new requests are refused.
    Refuse,
    /// It stays, and so does its identity.
    Leave,
}

/// An address and the leading bits of it that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpNetwork {
    /// Network address.
    pub address: IpAddr,
    /// Number of leading bits that must be equal; at most 32 for IPv4, 128 for IPv6.
    pub prefix: u8,
}

/// Where a trusted peer connects from, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrustedSource {
    /// Its address.
    pub network: IpNetwork,
    /// Its source port; `None` for any.
    pub port: Option<u16>,
    /// Over what it has to come.
    pub transport: Transport,
}

/// A peer that may use any From: a trusted proxy or gateway (repro's ACL).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustedPeer {
    /// Whoever connects from here.
    Network(IpNetwork),
    /// Whoever connects from here in this way; an address in repro's ACL.
    Source(TrustedSource),
    /// Whoever holds a certificate with this domain or peer name; compared without case.
    Name(String),
}

/// Where a certificate that proves From makes a password superfluous. repro asks for one all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateInstead {
    /// Everywhere.
    pub everywhere: bool,
    /// For a From of these domains, in lower case.
    pub domains: Vec<String>,
    /// What is decided for a listener goes before both.
    pub listeners: Vec<Option<bool>>,
}

impl CertificateInstead {
    /// Whether it is so for a From of this domain that came through this listener.
    pub fn holds(&self, listener: usize, domain: &str) -> bool {
        match self.listeners.get(listener) {
            Some(Some(decided)) => *decided,
            _ => self.everywhere || self.domains.iter().any(|own| own == domain),
        }
    }
}

impl AuthOptions {
    /// How a REGISTER for us is asked for a password.
    pub(super) fn register_challenge(&self) -> Field {
        self.register_challenge.unwrap_or(match self.rules {
            IdentityRules::Repro => Field::Proxy,
            IdentityRules::Secure | IdentityRules::Report => Field::Www,
        })
    }
}

/// Settings of the room.
#[derive(Debug, Clone, Default)]
pub struct AuthOptions {
    /// repro: `EnableCertificateAuthenticator`.
    pub certificate_authenticator: bool,
    /// Passwords; repro: not `DisableAuth`.
    pub digest: DigestOptions,
    /// Ours: `CertificateInsteadOfDigest` and its like.
    pub certificate_instead: CertificateInstead,
    /// Ours: `RegisterChallengeStatus`; without it 401, and under repro's rules 407.
    pub register_challenge: Option<Field>,
    /// Ours: `IdentityRules`.
    pub rules: IdentityRules,
    /// Ours: `OnIdentityLost`.
    pub on_identity_lost: OnIdentityLost,
    /// repro: `CommonNameMappings`.
    pub mappings_file: Option<PathBuf>,
    /// Ours: `CommonNameMappingsIgnoreBadLines`: use the good lines of a mappings file with bad ones.
    pub mappings_ignore_bad_lines: bool,
    /// Ours: `CommonNameMappingsReload`: a mappings file that changes is put in force without a word from anybody.
    pub mappings_reload: bool,
    /// Ours: `IdentityCalloutURL` and its like: whom to ask about identities; `None` for nobody.
    pub callout: Option<CalloutOptions>,
    /// Ours: `CARights`: what CAs may vouch for.
    pub rights_file: Option<PathBuf>,
    /// repro: `TLSUseEmailAsSIP`.
    pub email_as_sip: bool,
    /// repro: `AllowWildcardCertificates`, for From checks as for servers.
    pub allow_wildcards: bool,
    /// Ours: `PhoneProfile`.
    pub phones: PhoneProfiles,
    /// Ours: `TrustedPeers`.
    pub trusted_peers: Vec<TrustedPeer>,
    /// Ours: `ThirdPartyRequiresCertificate`: a From outside our domains needs a certificate. Default true.
    pub third_party_requires_certificate: bool,
    /// Ours: `DialogTokenSecret`; the first seals, all open, and none means one that ends with the process.
    pub dialog_token_secrets: Vec<TokenSecret>,
    /// Local domains, lower-case; repro: `Domains`, and the names that we present certificates for.
    pub domains: Vec<String>,
    /// repro: `DomainSuffixes`, lower-case.
    pub domain_suffixes: Vec<String>,
}
