//! SIP identities of a certificate: RFC 5922 §7.1, §7.2; repro's flat list of names beside them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::identity_digest::IdentityDigest;
use super::issuer::Issuers;
use super::legacy_name;
use super::mac::{Mac, is_dns_name};
use super::peer_certificate::{CertificateName, PeerCertificate, SubjectAltName, oid};
use super::phone::{self, Device, PhoneProfiles};
use super::rights::{CaRights, Limits, Side, Word};
use crate::sip::{Host, SipUri, Uri, canonical_domain, canonical_user};

/// Names of one certificate that are looked at; the rest entitles to nothing. A certificate of a megabyte with 20,000
/// names must not make every request of its holder slow.
const MAX_NAMES: usize = 1_000;

/// Unusable names that are remembered for the log.
const MAX_UNUSABLE: usize = 16;

/// Longest name that is looked at, in octets.
const MAX_NAME_OCTETS: usize = 1_024;

/// What an operator may widen about names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamePolicy {
    /// An e-mail SAN names a SIP user. repro: `TLSUseEmailAsSIP`.
    pub email_as_sip: bool,
    /// `*.example.org` stands for one label. repro: `AllowWildcardCertificates`. Deviation: RFC 5922 §7.2 forbids it.
    pub wildcards: bool,
    /// Makers whose factory certificates are read as they write them. Ours: `PhoneProfile`.
    pub phones: PhoneProfiles,
}

/// Where in the certificate a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameSource {
    /// subjectAltName of type URI.
    Uri,
    /// subjectAltName of type DNS.
    Dns,
    /// subjectAltName of type e-mail.
    Email,
    /// subjectAltName of type IP.
    Ip,
    /// The last commonName of the subject.
    CommonName,
    /// The serialNumber of the subject; only by a profile of phones.
    SerialNumber,
    /// The stateOrProvinceName of the subject; only by a profile of phones.
    State,
    /// subjectAltName of another type.
    Other,
}

impl NameSource {
    /// As OpenSSL prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uri => "URI",
            Self::Dns => "DNS",
            Self::Email => "email",
            Self::Ip => "IP",
            Self::CommonName => "CN",
            Self::SerialNumber => "serialNumber",
            Self::State => "ST",
            Self::Other => "SAN",
        }
    }
}

/// What a name entitles to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// Any user of exactly this domain.
    Domain,
    /// Any user of a domain with one label before this one.
    Wildcard,
    /// Exactly this user.
    User,
    /// Any user of this address literal.
    Ip(IpAddr),
    /// Nothing by itself; a trusted name or the key of a mapping.
    Label,
    /// Nothing by itself and no trusted name; only the key of a mapping. Says why.
    KeyOnly(&'static str),
}

impl IdentityKind {
    /// Whether it is a domain or an address with all its users.
    fn is_domain(self) -> bool {
        matches!(self, Self::Domain | Self::Wildcard | Self::Ip(_))
    }
}

/// Whether the extended key usage is serverAuth and nothing that a client could have. Public CAs issue nothing else since
/// 2026: such a certificate may speak for its domain, never for a user or a device.
fn is_for_servers_only(certificate: &PeerCertificate) -> bool {
    certificate
        .extended_key_usage
        .as_ref()
        .is_some_and(|usages| {
            usages.iter().any(|usage| usage == oid::SERVER_AUTH)
                && !usages.iter().any(|usage| {
                    [oid::CLIENT_AUTH, oid::SIP_DOMAIN, oid::ANY].contains(&usage.as_str())
                })
        })
}

/// One usable name of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What it entitles to.
    pub kind: IdentityKind,
    /// Where it stands.
    pub source: NameSource,
    /// From a `sips:` URI: counts only for requests that came over TLS.
    pub secure_only: bool,
    /// `user@host`, host or label, in the form that is compared.
    text: Box<str>,
    /// As the certificate has it, where that differs: the keys of a mappings file are compared with this first.
    written: Option<Box<str>>,
}

impl Identity {
    /// `user@host`, host (for a wildcard without its `*.`) or label, in the form that is compared.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The texts under which a mapping may name it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let other = self.written.as_deref().filter(|w| *w != &*self.text);
        let canonical = match self.kind {
            // `*.example.org` must not be found under `example.org`.
            IdentityKind::Wildcard => None,
            _ => Some(&*self.text),
        };
        other.into_iter().chain(canonical)
    }

    /// Whether this name entitles to `claim` without a mapping.
    fn entitles(&self, claim: &SipUri<'_>, secure: bool) -> bool {
        if self.secure_only && !secure {
            return false;
        }
        match self.kind {
            IdentityKind::User => user_and_host_are(&self.text, claim),
            _ => self.speaks_for(&claim.host),
        }
    }

    /// Whether this name is a domain identity and `host` is that domain (RFC 5922 §7.2): the one question behind a From
    /// of an incoming peer and behind the name that we asked a server for.
    pub(super) fn speaks_for(&self, host: &Host<'_>) -> bool {
        match self.kind {
            IdentityKind::Domain => host_is(&self.text, host),
            IdentityKind::Wildcard => match host {
                Host::Name(name) => {
                    let rest = name.split_once('.').filter(|(first, _)| is_label(first));
                    rest.is_some_and(|(_, rest)| host_is(&self.text, &Host::Name(rest)))
                }
                Host::Ip(_) => false,
            },
            IdentityKind::Ip(ip) => {
                matches!(host, Host::Ip(other) if other.to_canonical() == ip.to_canonical())
            }
            IdentityKind::User | IdentityKind::Label | IdentityKind::KeyOnly(_) => false,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.source, self.secure_only) {
            (NameSource::Uri, true) => "sips:",
            (NameSource::Uri, false) => "sip:",
            _ => "",
        };
        let star = match self.kind {
            IdentityKind::Wildcard => "*.",
            _ => "",
        };
        let text = self.text.escape_debug();
        write!(f, "{}:{scheme}{star}{text}", self.source.as_str())
    }
}

/// A name that counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Where it stands.
    pub source: NameSource,
    /// The name, escaped, shortened.
    pub what: Box<str>,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.source.as_str(), self.what, self.why)
    }
}

/// Everything that a certificate may say about who its holder is. One per connection, shared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identities {
    names: Box<[Identity]>,
    legacy: Box<[Box<[u8]>]>,
    unusable: Box<[Unusable]>,
    digest: Option<IdentityDigest>,
    certificate: Option<Arc<CertificateName>>,
    issuers: Issuers,
    limits: Limits,
}

impl Identities {
    /// Reads the names of a verified certificate (RFC 5922 §7.1).
    ///
    /// Fails closed: a name that is not understood entitles to nothing, and still hides the CN.
    pub fn of(certificate: &PeerCertificate, policy: &NamePolicy) -> Self {
        let mut reader = Reader::new(policy);
        for name in &certificate.alt_names {
            reader.alt_name(name);
        }
        if let Some(name) = certificate.common_names.last() {
            reader.common_name(name);
        }
        let mut names = reader.finish();
        if let Some(device) = phone::device(certificate, policy.phones) {
            names = reader.only_device(names, device);
        }
        if is_for_servers_only(certificate) {
            reader.unusable.extend(names.extract_if(.., |name| !name.kind.is_domain()).map(|name| Unusable {
                source: name.source,
                what: name.text,
                why: "the extended key usage serverAuth alone speaks for domains, not for users or devices",
            }));
        }
        Self {
            digest: IdentityDigest::of(&names, &certificate.anchor_fingerprint),
            names: names.into_boxed_slice(),
            legacy: legacy_name::names(certificate, policy.email_as_sip).into_boxed_slice(),
            unusable: reader.unusable.into_boxed_slice(),
            certificate: Some(Arc::new(CertificateName::of(certificate))),
            issuers: certificate.issuers.clone(),
            limits: Limits::default(),
        }
    }

    /// [`Identities::of`] a client that came to this listener, as far as its CAs may vouch for them.
    pub fn of_client(
        certificate: &PeerCertificate,
        policy: &NamePolicy,
        rights: &CaRights,
        listener: Option<usize>,
    ) -> Self {
        let listener = listener.and_then(|number| u16::try_from(number).ok());
        Self::of(certificate, policy).limited(rights, Side::Accepted(listener))
    }

    /// [`Identities::of`] a server that we connect to, as far as its CAs may vouch for them.
    pub fn of_server(
        certificate: &PeerCertificate,
        policy: &NamePolicy,
        rights: &CaRights,
    ) -> Self {
        Self::of(certificate, policy).limited(rights, Side::Connected)
    }

    fn limited(mut self, rights: &CaRights, side: Side) -> Self {
        self.limits = rights.limits(&self.issuers, side);
        if self.limits.is_free() {
            return self;
        }
        // Nobody is told apart from others by a name that his CA may not give him.
        if !self
            .names
            .iter()
            .any(|name| self.limits.for_being(name).allows())
        {
            self.digest = None;
        }
        let legacy = std::mem::take(&mut self.legacy);
        self.legacy = legacy
            .into_iter()
            .filter(|name| self.may_use_legacy(name, None))
            .collect();
        self
    }

    /// Whether one of its CAs has rules.
    pub(super) fn are_limited(&self) -> bool {
        !self.limits.is_free()
    }

    /// The CAs with rules, for a trace.
    pub(super) fn limited_by(&self) -> String {
        let cas: Vec<String> = self.limits.cas().map(|ca| format!("{ca:?}")).collect();
        cas.join(", ")
    }

    /// The CAs of the verified chain.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Whether repro's rules may take this name of the list for a claimed `user@host` or `host`, or for any.
    pub(super) fn may_use_legacy(&self, name: &[u8], claim: Option<&[u8]>) -> bool {
        if self.limits.is_free() {
            return true;
        }
        let claim = claim.map(std::str::from_utf8).transpose();
        match (std::str::from_utf8(name), claim) {
            (Ok(name), Ok(claim)) => self.limits.for_plain_name(name, claim).allows(),
            _ => false,
        }
    }

    /// Whether repro's rules may take this name of the list for that of a trusted peer.
    pub(super) fn may_trust_legacy(&self, name: &[u8]) -> bool {
        let name = || std::str::from_utf8(name).ok();
        self.limits.is_free()
            || name().is_some_and(|name| self.limits.for_plain_name_itself(name).allows())
    }

    /// Whether the CA may vouch for none of the names, so that the certificate is nobody's.
    pub(super) fn are_barred(&self) -> bool {
        self.are_limited() && !self.names.is_empty() && self.digest.is_none()
    }

    /// Who that is, for a later comparison; `None` for a certificate without usable names, and for one of which the CA may
    /// vouch for none.
    pub fn digest(&self) -> Option<IdentityDigest> {
        self.digest
    }

    /// Which certificate that is.
    pub fn certificate(&self) -> Option<&Arc<CertificateName>> {
        self.certificate.as_ref()
    }

    /// The usable names, in the certificate's order.
    pub fn names(&self) -> &[Identity] {
        &self.names
    }

    /// The names that count for nothing, with what is wrong; the first few if there are many.
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// repro's list of peer names: text without type, in order; one empty name when there is none.
    pub fn legacy_names(&self) -> impl Iterator<Item = &[u8]> {
        self.legacy.iter().map(|name| &**name)
    }

    /// Whether the certificate speaks for any whole domain: the peer is a server.
    pub fn has_domain(&self) -> bool {
        self.names.iter().any(|name| {
            name.kind == IdentityKind::Domain && self.limits.for_domain(name, name.text()).allows()
        })
    }

    /// Whether the certificate speaks for this whole domain.
    pub fn is_domain(&self, domain: &str) -> bool {
        Host::parse(domain).is_some_and(|host| self.domain_identity(&host).is_some())
    }

    /// The name by which the certificate speaks for this whole domain, or this address (RFC 5922 §7.2): what a client
    /// asks of a server. Every such connection is over TLS, so that a `sips:` name counts.
    pub fn domain_identity(&self, host: &Host<'_>) -> Option<&Identity> {
        self.names.iter().find(|name| {
            name.speaks_for(host) && self.limits.for_domain(name, &host.canonical()).allows()
        })
    }

    /// The name by which it would speak for that if its CA might vouch for it.
    pub fn barred_domain_identity(&self, host: &Host<'_>) -> Option<&Identity> {
        self.names.iter().find(|name| {
            name.speaks_for(host) && !self.limits.for_domain(name, &host.canonical()).allows()
        })
    }

    /// The name that entitles to `claim` by itself, without a mapping, and by what rule its CA may vouch for that.
    pub(super) fn entitling(
        &self,
        claim: &SipUri<'_>,
        secure: bool,
    ) -> Option<(&Identity, Option<u32>)> {
        self.names
            .iter()
            .filter(|name| name.entitles(claim, secure))
            .find_map(|name| Some((name, self.may_use(name, claim)?)))
    }

    /// By what rule this name may be used for this claim; the outer `None` if it may not.
    #[expect(
        clippy::option_option,
        reason = "allowed without a rule is not refused"
    )]
    pub(super) fn may_use(&self, name: &Identity, claim: &SipUri<'_>) -> Option<Option<u32>> {
        match self.limits.for_claim(name, claim) {
            Word::Free => Some(None),
            Word::Rule(line) => Some(Some(line)),
            Word::No => None,
        }
    }

    /// A name that would entitle to `claim` if its CA might vouch for that.
    pub(super) fn barred(&self, claim: &SipUri<'_>, secure: bool) -> Option<&Identity> {
        let mut names = self.names.iter();
        names.find(|name| name.entitles(claim, secure) && self.may_use(name, claim).is_none())
    }

    /// The texts under which a mapping, or the table of TLS peer identities, may name this peer: of the names that its CA
    /// may vouch for at all.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let vouched = |name: &&Identity| self.limits.for_some_claim(name).allows();
        let names = self.names.iter().filter(vouched);
        names.flat_map(Identity::keys)
    }

    /// Those of the names that its CA may vouch for when they are used for this claim.
    pub fn keys_for(&self, claim: &SipUri<'_>) -> impl Iterator<Item = &str> {
        let names = self.names.iter();
        names
            .filter(|name| self.may_use(name, claim).is_some())
            .flat_map(Identity::keys)
    }

    /// The texts under which the operator may trust this peer: domains and labels, never a user of a domain.
    pub(super) fn trust_names(&self) -> impl Iterator<Item = &str> {
        self.all_trust_names()
            .filter(|name| self.limits.for_itself(name).allows())
            .map(Identity::text)
    }

    /// Those that the CA may not vouch for among them.
    pub(super) fn all_trust_names(&self) -> impl Iterator<Item = &Identity> {
        self.names
            .iter()
            .filter(|name| matches!(name.kind, IdentityKind::Domain | IdentityKind::Label))
    }
}

/// The usable names, escaped, for a log line; the first few if there are many.
impl fmt::Display for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (at, name) in self.names.iter().take(SHOWN).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        match self.names.len() {
            0 => f.write_str("-"),
            n if n > SHOWN => write!(f, ",… ({n})"),
            _ => Ok(()),
        }
    }
}

/// Whether `host` is the canonical host `text`. A `*` in `host` is never a name (RFC 5922 §7.2).
pub(super) fn host_is(text: &str, host: &Host<'_>) -> bool {
    match host {
        Host::Name(name) => {
            !name.contains('*')
                && name
                    .strip_suffix('.')
                    .unwrap_or(name)
                    .eq_ignore_ascii_case(text)
        }
        Host::Ip(ip) => text
            .parse::<IpAddr>()
            .is_ok_and(|own| own.to_canonical() == ip.to_canonical()),
    }
}

/// Whether `claim` is the canonical `user@host`: the user with regard to case, its escapes in one spelling, the host
/// without (RFC 3261 §19.1.4); scheme, password, port and parameters do not matter.
pub(super) fn user_and_host_are(user_at_host: &str, claim: &SipUri<'_>) -> bool {
    let (Some((user, host)), Some(claimed)) = (user_at_host.split_once('@'), claim.user) else {
        return false;
    };
    canonical_user(claimed) == user && host_is(host, &claim.host)
}

/// One label of a host name that a wildcard may stand for.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|o| o.is_ascii_alphanumeric() || o == b'-')
}

/// Collects names in the certificate's order.
struct Reader<'p> {
    policy: &'p NamePolicy,
    names: Vec<Identity>,
    unusable: Vec<Unusable>,
    /// A SAN of a type that may carry an identity is there, whatever it says.
    hides_common_name: bool,
    /// A URI SAN gave a domain identity.
    domain_by_uri: bool,
}

impl<'p> Reader<'p> {
    fn new(policy: &'p NamePolicy) -> Self {
        Self {
            policy,
            names: Vec::new(),
            unusable: Vec::new(),
            hides_common_name: false,
            domain_by_uri: false,
        }
    }

    fn alt_name(&mut self, name: &SubjectAltName) {
        let (source, raw, taken) = match name {
            SubjectAltName::Uri(raw) => (NameSource::Uri, raw.as_slice(), self.uri(raw)),
            SubjectAltName::Dns(raw) => (NameSource::Dns, raw.as_slice(), self.dns(raw)),
            SubjectAltName::Email(raw) => (NameSource::Email, raw.as_slice(), self.email(raw)),
            SubjectAltName::Ip(ip) => {
                self.hides_common_name = true;
                let ip = ip.to_canonical();
                self.add(
                    NameSource::Ip,
                    IdentityKind::Ip(ip),
                    ip.to_string().into(),
                    None,
                );
                return;
            }
            SubjectAltName::Other(kind) => (
                NameSource::Other,
                kind.as_bytes(),
                Err("never an identity: its type cannot name a SIP domain or user"),
            ),
        };
        if let Err(why) = taken {
            self.refuse(source, raw, why);
        }
    }

    fn uri(&mut self, raw: &[u8]) -> Result<(), &'static str> {
        self.hides_common_name = true;
        let text = readable(raw)?;
        let uri = match Uri::parse(text.as_bytes()) {
            Some(Uri::Sip(uri)) => uri,
            Some(Uri::Other { .. }) => {
                return Err("its scheme is neither sip nor sips (RFC 5922 §7.1)");
            }
            None => return Err("no URI"),
        };
        if uri.password.is_some() {
            return Err("a URI with a password names nobody");
        }
        let host = usable_host(&uri.host)?;
        let (kind, text) = match uri.user {
            Some(user) => (
                IdentityKind::User,
                format!("{}@{host}", canonical_user(user)),
            ),
            None => {
                self.domain_by_uri = true;
                (IdentityKind::Domain, host)
            }
        };
        let at = self.names.len();
        self.add(NameSource::Uri, kind, text.into(), None);
        if let Some(name) = self.names.get_mut(at) {
            name.secure_only = uri.secure;
        }
        Ok(())
    }

    fn dns(&mut self, raw: &[u8]) -> Result<(), &'static str> {
        self.hides_common_name = true;
        let text = readable(raw)?;
        if !text.is_ascii() {
            return Err("not ASCII: an internationalised name stands as A-labels (RFC 5280 §7.2)");
        }
        if text.contains('*') {
            return self.wildcard(NameSource::Dns, text);
        }
        if Mac::of_name(text).is_some() {
            // The MAC address of a phone is a host name by its letters only, as in a CN.
            self.add(NameSource::Dns, IdentityKind::Label, text.into(), None);
            return Ok(());
        }
        let name = canonical_domain(text);
        if !is_dns_name(&name) {
            return Err("no host name");
        }
        self.add(
            NameSource::Dns,
            IdentityKind::Domain,
            (*name).into(),
            Some(text),
        );
        Ok(())
    }

    fn wildcard(&mut self, source: NameSource, text: &str) -> Result<(), &'static str> {
        if !self.policy.wildcards {
            let why = "a wildcard is no SIP identity (RFC 5922 §7.2)";
            self.add(source, IdentityKind::KeyOnly(why), text.into(), None);
            return Err("a wildcard is no SIP identity (RFC 5922 §7.2; AllowWildcardCertificates)");
        }
        let name = canonical_domain(text);
        let rest = name
            .strip_prefix("*.")
            .filter(|rest| is_dns_name(rest) && rest.contains('.'))
            .ok_or("a wildcard must be one whole leftmost label before a domain")?;
        self.add(source, IdentityKind::Wildcard, rest.into(), Some(text));
        Ok(())
    }

    fn email(&mut self, raw: &[u8]) -> Result<(), &'static str> {
        if !self.policy.email_as_sip {
            return Err("an e-mail address names no SIP user unless TLSUseEmailAsSIP is on");
        }
        self.hides_common_name = true;
        let text = user_at_host(readable(raw)?).ok_or("no user@domain")?;
        self.add(NameSource::Email, IdentityKind::User, text.into(), None);
        Ok(())
    }

    fn common_name(&mut self, raw: &[u8]) {
        let taken = readable(raw).and_then(|text| {
            let source = NameSource::CommonName;
            if self.hides_common_name {
                let why = "the subjectAltName hides the CN (RFC 5922 §7.1)";
                self.add(source, IdentityKind::KeyOnly(why), text.into(), None);
            } else if let Some(name) = user_at_host(text) {
                self.add(source, IdentityKind::User, name.into(), Some(text));
            } else if text.contains('*') {
                return self.wildcard(source, text);
            } else {
                let name = canonical_domain(text);
                // The MAC address of a phone is a host name by its letters only.
                if is_dns_name(&name) && Mac::of_name(text).is_none() {
                    self.add(source, IdentityKind::Domain, (*name).into(), Some(text));
                } else {
                    self.add(source, IdentityKind::Label, text.into(), None);
                }
            }
            Ok(())
        });
        if let Err(why) = taken {
            self.refuse(NameSource::CommonName, raw, why);
        }
    }

    fn add(&mut self, source: NameSource, kind: IdentityKind, text: Box<str>, raw: Option<&str>) {
        if self.names.len() >= MAX_NAMES {
            self.refuse(source, text.as_bytes(), "one name too many");
            return;
        }
        let written = raw.filter(|raw| **raw != *text).map(Box::from);
        self.names.push(Identity {
            kind,
            source,
            secure_only: false,
            text,
            written,
        });
    }

    fn refuse(&mut self, source: NameSource, raw: &[u8], why: &'static str) {
        if self.unusable.len() < MAX_UNUSABLE {
            let shown = raw.get(..80).unwrap_or(raw);
            self.unusable.push(Unusable {
                source,
                what: shown.escape_ascii().to_string().into(),
                why,
            });
        }
    }

    /// DNS names count only when no URI gives a domain identity (RFC 5922 §7.1); they stay keys of mappings.
    fn finish(&mut self) -> Vec<Identity> {
        let mut names = std::mem::take(&mut self.names);
        if self.domain_by_uri {
            for name in names.iter_mut().filter(|n| n.source == NameSource::Dns) {
                if name.kind == IdentityKind::Wildcard {
                    name.text = format!("*.{}", name.text).into();
                }
                name.kind = IdentityKind::KeyOnly("a sip URI names the domain (RFC 5922 §7.1)");
            }
        }
        names
    }

    /// The phone that a factory certificate names, and none of the names that it has besides.
    fn only_device(&mut self, names: Vec<Identity>, device: Option<Device>) -> Vec<Identity> {
        let why = match &device {
            Some(_) => phone::NO_DEVICE,
            None => phone::SHARED,
        };
        for name in &names {
            let is_device = |device: &Device| {
                name.source == device.source
                    && (*name.text == *device.text
                        || device.written.as_deref() == Some(&*name.text))
            };
            if !device.as_ref().is_some_and(is_device) {
                self.refuse(name.source, name.text.as_bytes(), why);
            }
        }
        let own = device.map(|device| Identity {
            kind: IdentityKind::Label,
            source: device.source,
            secure_only: false,
            text: device.text.into(),
            written: device.written.map(Box::from),
        });
        own.into_iter().collect()
    }
}

/// The text of a name that can be shown and compared whole: a NUL or a control character makes it none, since other
/// software would cut or break it there.
fn readable(raw: &[u8]) -> Result<&str, &'static str> {
    if raw.is_empty() {
        return Err("empty");
    }
    if raw.len() > MAX_NAME_OCTETS {
        return Err("too long");
    }
    if raw.contains(&0) {
        return Err("has a NUL inside");
    }
    let text = std::str::from_utf8(raw).map_err(|_| "not UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("has a control character inside");
    }
    Ok(text)
}

/// The canonical form of a host that may be an identity.
fn usable_host(host: &Host<'_>) -> Result<String, &'static str> {
    match host {
        Host::Ip(ip) => Ok(ip.to_canonical().to_string()),
        Host::Name(name) if name.contains('*') => {
            Err("a wildcard is no SIP identity (RFC 5922 §7.2)")
        }
        Host::Name(name) => {
            let name = canonical_domain(name);
            if is_dns_name(&name) {
                Ok(name.into_owned())
            } else {
                Err("its host is no host name")
            }
        }
    }
}

/// `user@host` in canonical form, if the text is exactly that.
pub(super) fn user_at_host(text: &str) -> Option<String> {
    let (user, host) = text.split_once('@')?;
    let bare_ipv6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let whole = if bare_ipv6 {
        format!("sip:{user}@[{host}]")
    } else {
        format!("sip:{text}")
    };
    let uri = SipUri::parse(&whole)?;
    if uri.password.is_some()
        || uri.port.is_some()
        || !uri.parameters.is_empty()
        || !uri.headers.is_empty()
    {
        return None;
    }
    let host = usable_host(&uri.host).ok()?;
    Some(format!("{}@{host}", canonical_user(uri.user?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::super::test_support::cert;
    use super::*;

    const STRICT: NamePolicy = NamePolicy {
        email_as_sip: false,
        wildcards: false,
        phones: PhoneProfiles::NONE,
    };
    const WIDE: NamePolicy = NamePolicy {
        email_as_sip: true,
        wildcards: true,
        phones: PhoneProfiles::NONE,
    };

    fn entitled(policy: NamePolicy, cn: &str, sans: &[&str], claim: &str) -> bool {
        let identities = Identities::of(&cert(cn, sans), &policy);
        let uri = SipUri::parse(claim).unwrap();
        identities.entitling(&uri, true).is_some()
    }

    #[test]
    #[rustfmt::skip]
    fn names_entitle_to_exactly_what_the_table_says() {
        for (situation, cn, sans, claim, allowed) in [
            ("domain URI, any user", "", &["URI:sip:example.org"][..], "sip:bob@example.org", true),
            ("domain URI, no user", "", &["URI:sip:example.org"], "sip:example.org", true),
            ("domain URI, other case", "", &["URI:SIP:Example.ORG"], "sip:bob@exAMPLE.org", true),
            ("domain URI, subdomain", "", &["URI:sip:example.org"], "sip:bob@a.example.org", false),
            ("domain URI, parent", "", &["URI:sip:a.example.org"], "sip:bob@example.org", false),
            ("domain URI, look-alike prefix", "", &["URI:sip:example.org"], "sip:bob@xexample.org", false),
            ("domain URI, look-alike suffix", "", &["URI:sip:example.org"], "sip:bob@example.org.evil.net", false),
            (
                "port and parameters are ignored",
                "",
                &["URI:sip:example.org:5061;transport=tls"],
                "sip:bob@example.org:5080",
                true,
            ),
            ("user URI, that user", "", &["URI:sip:bob@example.org"], "sip:bob@example.org", true),
            ("user URI, other host case", "", &["URI:sip:bob@EXAMPLE.org"], "sip:bob@example.ORG", true),
            ("user URI, other user case", "", &["URI:sip:bob@example.org"], "sip:BOB@example.org", false),
            ("user URI, escaped spelling", "", &["URI:sip:%62ob@example.org"], "sip:bo%62@example.org", true),
            ("user URI is no domain (§7.1)", "", &["URI:sip:bob@example.org"], "sip:alice@example.org", false),
            ("user URI, no user", "", &["URI:sip:bob@example.org"], "sip:example.org", false),
            ("URI of another scheme", "", &["URI:xmpp:example.org"], "sip:bob@example.org", false),
            ("URI with a password", "", &["URI:sip:bob:pw@example.org"], "sip:bob@example.org", false),
            ("DNS name", "", &["DNS:example.org"], "sip:bob@example.org", true),
            ("DNS name, trailing dot", "", &["DNS:example.org."], "sip:bob@example.org", true),
            ("claim with trailing dot", "", &["DNS:example.org"], "sip:bob@example.org.", true),
            ("DNS name beside a domain URI", "", &["DNS:example.org", "URI:sip:example.net"], "sip:bob@example.org", false),
            ("DNS name beside a user URI", "", &["DNS:example.org", "URI:sip:bob@example.net"], "sip:bob@example.org", true),
            ("DNS name, A-label", "", &["DNS:xn--bcher-kva.example"], "sip:bob@XN--bcher-kva.example", true),
            ("DNS name, not ASCII", "", &["DNS:bücher.example"], "sip:bob@xn--bcher-kva.example", false),
            ("DNS name that is a MAC address", "", &["DNS:abcdefabcdef"], "sip:bob@abcdefabcdef", false),
            ("DNS name that is an address", "", &["DNS:192.0.2.1"], "sip:bob@192.0.2.1", false),
            ("DNS name with a NUL", "", &["DNS:example.org~.evil.net"], "sip:bob@example.org", false),
            ("URI with a NUL", "", &["URI:sip:example.org~.evil.net"], "sip:bob@example.org", false),
            ("CN with a NUL", "example.org~.evil.net", &[], "sip:bob@example.org", false),
            ("DNS name with a line break", "", &["DNS:example.org\n"], "sip:bob@example.org", false),
            ("IP SAN", "", &["IP:192.0.2.1"], "sip:bob@192.0.2.1", true),
            ("IPv6 SAN", "", &["IP:2001:db8::1"], "sip:bob@[2001:DB8:0::1]", true),
            ("IPv4-mapped SAN", "", &["IP:::ffff:192.0.2.1"], "sip:bob@192.0.2.1", true),
            ("IP SAN, other address", "", &["IP:192.0.2.1"], "sip:bob@192.0.2.2", false),
            ("e-mail names nobody", "", &["email:bob@example.org"], "sip:bob@example.org", false),
            ("CN user", "bob@example.org", &[], "sip:bob@example.org", true),
            ("CN domain", "Example.org", &[], "sip:bob@example.org", true),
            ("the last CN counts", "alice@example.org+bob@example.org", &[], "sip:bob@example.org", true),
            ("an earlier CN does not", "alice@example.org+bob@example.org", &[], "sip:alice@example.org", false),
            ("CN behind an unusable SAN", "example.org", &["DNS:a b"], "sip:bob@example.org", false),
            ("CN behind an IP SAN", "example.org", &["IP:192.0.2.1"], "sip:bob@example.org", false),
            ("CN beside an e-mail SAN", "example.org", &["email:a@b.example"], "sip:bob@example.org", true),
            ("CN that is a MAC address", "abcdefabcdef", &[], "sip:bob@abcdefabcdef", false),
            ("CN that is a URI", "sip:example.org", &[], "sip:bob@example.org", false),
            ("wildcard", "", &["DNS:*.example.org"], "sip:bob@a.example.org", false),
            ("wildcard, literally", "", &["DNS:*.example.org"], "sip:bob@*.example.org", false),
        ] {
            assert_eq!(entitled(STRICT, cn, sans, claim), allowed, "{situation}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn settings_widen_email_and_wildcards_and_nothing_else() {
        for (situation, cn, sans, claim, allowed) in [
            ("e-mail, that user", "", &["email:bob@example.org"][..], "sip:bob@example.org", true),
            ("e-mail, other user", "", &["email:bob@example.org"], "sip:eve@example.org", false),
            ("e-mail with a NUL", "", &["email:bob@example.org~.evil.net"], "sip:bob@example.org", false),
            ("e-mail hides the CN", "eve@example.org", &["email:bob@example.org"], "sip:eve@example.org", false),
            ("wildcard, one label", "", &["DNS:*.example.org"], "sip:bob@a.example.org", true),
            ("wildcard CN", "*.example.org", &[], "sip:bob@a.example.org", true),
            ("wildcard, two labels", "", &["DNS:*.example.org"], "sip:bob@a.b.example.org", false),
            ("wildcard, no label", "", &["DNS:*.example.org"], "sip:bob@example.org", false),
            ("wildcard, literally", "", &["DNS:*.example.org"], "sip:bob@*.example.org", false),
            ("wildcard over a top-level domain", "", &["DNS:*.org"], "sip:bob@example.org", false),
            ("wildcard inside a label", "", &["DNS:a*.example.org"], "sip:bob@ab.example.org", false),
            ("wildcard further right", "", &["DNS:a.*.example.org"], "sip:bob@a.b.example.org", false),
            ("wildcard in a URI", "", &["URI:sip:*.example.org"], "sip:bob@a.example.org", false),
            ("wildcard user", "", &["URI:sip:*@example.org"], "sip:bob@example.org", false),
            ("wildcard beside a domain URI", "", &["DNS:*.example.org", "URI:sip:x.example"], "sip:bob@a.example.org", false),
        ] {
            assert_eq!(entitled(WIDE, cn, sans, claim), allowed, "{situation}");
        }
    }

    #[test]
    fn a_sips_name_needs_a_request_over_tls() {
        let identities = Identities::of(&cert("", &["URI:sips:bob@example.org"]), &STRICT);
        let claim = SipUri::parse("sip:bob@example.org").unwrap();
        assert!(identities.entitling(&claim, true).is_some());
        assert!(identities.entitling(&claim, false).is_none());
    }

    #[test]
    fn unusable_names_are_kept_for_the_log_with_the_reason() {
        let sans = [
            "DNS:a~b",
            "URI:nonsense",
            "DNS:*.example.org",
            "otherName:x",
        ];
        let identities = Identities::of(&cert("", &sans), &STRICT);
        let told: Vec<String> = identities
            .unusable()
            .iter()
            .map(Unusable::to_string)
            .collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[0].starts_with("DNS:a\\x00b: has a NUL"), "{told:?}");
    }

    #[test]
    fn a_certificate_for_servers_alone_speaks_for_domains_and_for_no_user_or_phone() {
        for (situation, usages, expected) in [
            (
                "serverAuth alone",
                &[oid::SERVER_AUTH][..],
                (true, false, false),
            ),
            (
                "both",
                &[oid::SERVER_AUTH, oid::CLIENT_AUTH],
                (true, true, true),
            ),
            (
                "sipDomain beside it",
                &[oid::SERVER_AUTH, oid::SIP_DOMAIN],
                (true, true, true),
            ),
        ] {
            let limited = |cn: &str, sans: &[&str]| {
                let mut certificate = cert(cn, sans);
                certificate.extended_key_usage =
                    Some(usages.iter().map(|usage| (*usage).to_owned()).collect());
                Identities::of(&certificate, &STRICT)
            };
            let speaks = |identities: &Identities, claim: &str| {
                identities
                    .entitling(&SipUri::parse(claim).unwrap(), true)
                    .is_some()
            };
            let names = limited("", &["DNS:example.org", "URI:sip:bob@example.net"]);
            let phone = limited("0004F22B3EB5", &[]);
            let found = (
                speaks(&names, "sip:alice@example.org"),
                speaks(&names, "sip:bob@example.net"),
                phone.keys().next().is_some(),
            );
            assert_eq!(found, expected, "{situation}");
        }
    }

    #[test]
    fn twenty_thousand_names_are_cut_and_still_hide_the_cn() {
        let sans: Vec<String> = (0..20_000).map(|n| format!("DNS:a{n}.example")).collect();
        let sans: Vec<&str> = sans.iter().map(String::as_str).collect();
        let identities = Identities::of(&cert("example.org", &sans), &STRICT);
        assert_eq!(identities.names().len(), MAX_NAMES);
        assert_eq!(identities.unusable().len(), MAX_UNUSABLE);
        let claim = SipUri::parse("sip:bob@example.org").unwrap();
        assert!(identities.entitling(&claim, true).is_none());
    }

    #[test]
    fn a_server_is_asked_for_its_domain_and_not_for_a_user() {
        let identities = Identities::of(
            &cert(
                "",
                &["DNS:example.org", "URI:sip:bob@example.net", "IP:192.0.2.1"],
            ),
            &STRICT,
        );
        for (domain, yes) in [
            ("EXAMPLE.org.", true),
            ("example.net", false),
            ("192.0.2.1", true),
            ("", false),
        ] {
            assert_eq!(identities.is_domain(domain), yes, "{domain}");
        }
    }
}
