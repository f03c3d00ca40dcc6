//! Answers to "may this peer say that?", with their reasons.

use std::fmt;
use std::sync::Arc;

use super::certificate::{Identity, IdentityKind, NameSource};
use super::dialog::Sender;
use super::digest::Field;
use crate::sip::StatusCode;

/// Who handles the request if it is admitted. The reason phrases differ as repro's do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityPath {
    /// Everything that is forwarded or answered by the proxy core.
    #[default]
    Proxy,
    /// What is handled here for one of our domains: REGISTER, and later presence.
    Registrar,
}

/// Which of a request's identities is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// From.
    From,
    /// Referred-By of a REFER (RFC 3892 §3).
    ReferredBy,
    /// To of a REGISTER: the address-of-record whose bindings change (RFC 3261 §10.2).
    To,
}

impl Role {
    /// The header field's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::From => "From",
            Self::ReferredBy => "Referred-By",
            Self::To => "To",
        }
    }
}

/// What repro would not have looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// ACK, BYE, or a To tag: takes itself for part of a dialog.
    InDialog,
    /// Came over a transport without TLS.
    NotTls,
    /// A From of ours without any certificate.
    LocalWithoutCertificate,
}

/// Why a request was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// The certificate speaks for the whole domain.
    DomainIdentity,
    /// A wildcard does (`AllowWildcardCertificates`).
    Wildcard,
    /// The certificate names this user.
    UserIdentity,
    /// The certificate names this address.
    IpIdentity,
    /// An e-mail SAN names this user (`TLSUseEmailAsSIP`).
    Email,
    /// The CN names this user or domain.
    CommonName,
    /// The entry with this key permits it.
    Mapping(Arc<str>),
    /// One of those, and the rule in this line of the file of `CARights` lets the CA vouch for it.
    ByCaRule {
        /// What it is without the rule.
        ground: Box<Ground>,
        /// Line of the rule.
        line: u32,
    },
    /// The source address is trusted.
    TrustedAddress,
    /// A name of the certificate is trusted.
    TrustedName,
    /// A check of this name allowed it.
    Custom(Box<str>),
    /// A dialog token proves that this is the peer with which the dialog was formed.
    DialogLeg(Sender),
    /// The password of this `user@domain` is proved by digest.
    Digest(Box<str>),
    /// A From of a third party, and `ThirdPartyRequiresCertificate` is off. Proves nothing.
    ThirdPartyUnchecked,
    /// No authenticator is on. Proves nothing.
    OpenServer,
    /// repro's rules: a peer name is equal.
    LegacyName,
    /// repro's rules: not looked at. Proves nothing.
    LegacyExempt(Exemption),
}

impl Ground {
    pub(super) fn of(identity: &Identity) -> Self {
        match (identity.source, identity.kind) {
            (_, IdentityKind::Wildcard) => Self::Wildcard,
            (NameSource::CommonName, _) => Self::CommonName,
            (NameSource::Email, _) => Self::Email,
            (_, IdentityKind::User) => Self::UserIdentity,
            (_, IdentityKind::Ip(_)) => Self::IpIdentity,
            _ => Self::DomainIdentity,
        }
    }

    /// This ground, by the rule in this line if there is one.
    pub(super) fn by_ca_rule(self, line: Option<u32>) -> Self {
        match line {
            Some(line) => Self::ByCaRule {
                ground: Box::new(self),
                line,
            },
            None => self,
        }
    }

    /// A stable word for logs and counters.
    pub fn id(&self) -> &'static str {
        match self {
            Self::ByCaRule { ground, .. } => ground.id(),
            Self::DomainIdentity => "domain-identity",
            Self::Wildcard => "wildcard",
            Self::UserIdentity => "user-identity",
            Self::IpIdentity => "ip-identity",
            Self::Email => "email",
            Self::CommonName => "common-name",
            Self::Mapping(_) => "mapping",
            Self::TrustedAddress => "trusted-address",
            Self::TrustedName => "trusted-name",
            Self::Custom(_) => "check",
            Self::DialogLeg(_) => "dialog-leg",
            Self::Digest(_) => "digest",
            Self::ThirdPartyUnchecked => "third-party-unchecked",
            Self::OpenServer => "open-server",
            Self::LegacyName => "legacy-name",
            Self::LegacyExempt(Exemption::InDialog) => "legacy-in-dialog",
            Self::LegacyExempt(Exemption::NotTls) => "legacy-not-tls",
            Self::LegacyExempt(Exemption::LocalWithoutCertificate) => "legacy-no-certificate",
        }
    }

    /// Whether the identity is proved or the peer trusted, rather than let through.
    pub fn is_proof(&self) -> bool {
        !matches!(
            self,
            Self::ThirdPartyUnchecked | Self::OpenServer | Self::LegacyExempt(_)
        )
    }

    /// Whether the peer is trusted to say anything, as repro's trusted node.
    pub fn is_trust(&self) -> bool {
        matches!(self, Self::TrustedAddress | Self::TrustedName)
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mapping(key) => write!(f, "mapping({key:?})"),
            Self::ByCaRule { ground, line } => write!(f, "{ground} ca-rule({line})"),
            Self::Custom(name) => write!(f, "check({name:?})"),
            Self::DialogLeg(sender) => write!(f, "dialog-leg({})", sender.as_str()),
            Self::Digest(user) => write!(f, "digest({user:?})"),
            _ => f.write_str(self.id()),
        }
    }
}

/// Why a request was refused. The words are stable: logs, counters and tests name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The certificate names somebody else.
    CertMismatch,
    /// A name of the certificate would do, and the CA may not vouch for it.
    CaRights,
    /// The certificate has no usable name at all.
    NoUsableName,
    /// The identity is no SIP URI, so no certificate can name it.
    NotSipUri,
    /// A From of ours, and no certificate.
    NoCertificate,
    /// A From of another domain, and no certificate.
    ThirdPartyNoCertificate,
    /// The transport is not TLS and nothing else authenticates.
    NotTls,
    /// The Referred-By is not this peer's.
    ReferredByNotYours,
    /// The address-of-record of a REGISTER is not this peer's.
    ToNotYours,
    /// Referred-By cannot be read, or stands twice.
    MalformedReferredBy,
    /// More than one From; only repro's rules take the first.
    SeveralFrom,
    /// A password is wanted, and none is proved.
    DigestWanted,
    /// Not the password, or no such user.
    DigestWrong,
    /// The nonce has become too old.
    DigestStale,
    /// The nonce has been used with this count before.
    DigestReplayed,
    /// The nonce is none of ours, or was given to another address or for another realm.
    DigestBadNonce,
    /// An algorithm that was not offered.
    DigestAlgorithm,
    /// An answer without `qop`, which was offered.
    DigestNoQop,
    /// A password is proved, and another identity is claimed.
    DigestForgedFrom,
    /// The answer is for another Request-URI.
    DigestUri,
    /// The answer cannot be read.
    DigestMalformed,
    /// Too many wrong passwords from there, or for that user.
    DigestLimited,
    /// The passwords cannot be asked for.
    PasswordStoreFailed,
    /// A check said no.
    CheckDenied,
    /// The certificate was good when the connection was made, and is not any more.
    IdentityLost,
}

impl Reason {
    /// The stable word.
    pub fn id(self) -> &'static str {
        match self {
            Self::CertMismatch => "cert-mismatch",
            Self::CaRights => "ca-rights",
            Self::NoUsableName => "no-usable-name",
            Self::NotSipUri => "not-sip-uri",
            Self::NoCertificate => "no-certificate",
            Self::ThirdPartyNoCertificate => "third-party-no-certificate",
            Self::NotTls => "not-tls",
            Self::ReferredByNotYours => "referred-by-not-yours",
            Self::ToNotYours => "to-not-yours",
            Self::MalformedReferredBy => "malformed-referred-by",
            Self::SeveralFrom => "several-from",
            Self::DigestWanted => "digest-wanted",
            Self::DigestWrong => "digest-wrong",
            Self::DigestStale => "digest-stale",
            Self::DigestReplayed => "digest-replayed",
            Self::DigestBadNonce => "digest-bad-nonce",
            Self::DigestAlgorithm => "digest-algorithm",
            Self::DigestNoQop => "digest-no-qop",
            Self::DigestForgedFrom => "digest-forged-from",
            Self::DigestUri => "digest-uri",
            Self::DigestMalformed => "digest-malformed",
            Self::DigestLimited => "digest-limited",
            Self::PasswordStoreFailed => "password-store-failed",
            Self::CheckDenied => "check-denied",
            Self::IdentityLost => "identity-lost",
        }
    }

    /// What the operator can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::CaRights => {
                "the CA of the certificate may not vouch for that: see its lines in the file of CARights"
            }
            Self::CertMismatch => {
                "give the peer a certificate with that identity, or add a CommonNameMappings line"
            }
            Self::NoUsableName => {
                "the certificate has no name that can be compared: see its SANs and CN"
            }
            Self::NotSipUri => "a From must be a sip: or sips: URI; TrustedPeers may send others",
            Self::NoCertificate => {
                "the peer sent no certificate: configure one on it, and TLSClientVerification Optional or Mandatory here"
            }
            Self::ThirdPartyNoCertificate => {
                "another domain proves itself by mutual TLS, or ThirdPartyRequiresCertificate = false"
            }
            Self::NotTls => {
                "connect over TLS with a client certificate, or list the address in TrustedPeers"
            }
            Self::ReferredByNotYours => "Referred-By names an identity that this peer may not use",
            Self::ToNotYours => {
                "registering for somebody else takes a certificate or a mapping for that user"
            }
            Self::MalformedReferredBy => {
                "exactly one Referred-By with one SIP address is understood"
            }
            Self::SeveralFrom => "a request has exactly one From (RFC 3261 §7.3.1)",
            Self::DigestWanted => {
                "the peer has to answer the challenge with a password; CertificateInsteadOfDigest = true lets a certificate do, \
                 DisableAuth = true asks nobody"
            }
            Self::DigestWrong => {
                "not the password of that user, or there is no such user: `sipvouch user verify`"
            }
            Self::DigestStale => {
                "the peer asks again with the new nonce by itself; see DigestNonceLifetime"
            }
            Self::DigestReplayed => {
                "a nonce count comes once: a replayed request, or a client that does not count; it gets a new nonce"
            }
            Self::DigestBadNonce => {
                "a nonce of another server, address or realm; see DigestNonceBindSource and DialogTokenSecret"
            }
            Self::DigestAlgorithm => {
                "see DigestChallengeAlgorithms, and with which the password is stored"
            }
            Self::DigestNoQop => "the client answers as RFC 2069 does; see DigestRequireQop",
            Self::DigestForgedFrom => {
                "a password lets use the own user of its domain: From has to be that one"
            }
            Self::DigestUri => "the uri of the answer has to be the Request-URI (RFC 7616 §3.4.6)",
            Self::DigestMalformed => {
                "Authorization or Proxy-Authorization is not as RFC 7616 §3.4 has it"
            }
            Self::DigestLimited => {
                "see DigestMaximumFailuresPerSource and DigestMaximumFailuresPerUser"
            }
            Self::PasswordStoreFailed => "the store of the users does not answer: see store.failed",
            Self::CheckDenied => "see the check's own text",
            Self::IdentityLost => "tls.identity_lost of this connection says why",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A request refused: what the peer is told, and what the operator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Status of the answer.
    pub status: StatusCode,
    /// Reason phrase of the answer, repro's.
    pub phrase: &'static str,
    /// Why.
    pub reason: Reason,
    /// The header field whose identity was refused.
    pub role: Role,
    /// What a check said; not for the peer.
    pub detail: Option<Box<str>>,
    /// The password that would do, if the peer is to be asked for one.
    pub wanted: Option<Box<Wanted>>,
}

/// A password that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// 401 or 407, with what belongs to it.
    pub field: Field,
    /// For which realm.
    pub realm: Box<str>,
    /// The answer was good but for its nonce.
    pub stale: bool,
}

impl Refusal {
    pub(super) fn forbidden(phrase: &'static str, reason: Reason, role: Role) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            phrase,
            reason,
            role,
            detail: None,
            wanted: None,
        }
    }

    pub(super) fn challenge(
        field: Field,
        realm: Box<str>,
        reason: Reason,
        stale: bool,
        role: Role,
    ) -> Self {
        let status = match field {
            Field::Www => StatusCode::UNAUTHORIZED,
            Field::Proxy => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        };
        let wanted = Wanted {
            field,
            realm,
            stale,
        };
        Self {
            status,
            wanted: Some(Box::new(wanted)),
            ..Self::forbidden(status.phrase(), reason, role)
        }
    }

    pub(super) fn bad_request(phrase: &'static str, reason: Reason, role: Role) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            ..Self::forbidden(phrase, reason, role)
        }
    }

    /// Of whatever comes over a connection whose certificate counts for nothing any more (`OnIdentityLost = refuse`).
    pub fn identity_lost() -> Self {
        let phrase = "Certificate No Longer Accepted";
        Self::forbidden(phrase, Reason::IdentityLost, Role::From)
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> &'static str {
        self.reason.hint()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.role.as_str())?;
        match &self.detail {
            Some(detail) => write!(f, " {detail:?}"),
            None => Ok(()),
        }
    }
}
