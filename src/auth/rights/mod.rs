//! What a CA may vouch for: rules that limit certificates by who issued them.
//!
//! Who verifies certificates trusts each of his CAs with every name there is (RFC 5280 §6): a phone vendor's CA could speak
//! for a domain. A CA with rules here may vouch for what one of them says and for nothing else; a CA without rules is
//! trusted as ever. A chain with several CAs that have rules has to be allowed by each of them.

mod fault;
mod index;
mod line;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub use fault::{RightsFault, RightsFaultKind};
use index::{CaRules, Claimed};
use line::Ca;

use super::certificate::{Identity, IdentityKind};
use super::issuer::{CaName, Issuer, Issuers};
use super::mac::is_dns_name;
use crate::sip::{SipUri, canonical_domain};

/// Most rules of a file; one that names a file of several CAs counts once for each.
const MAX_RULES: usize = 65_536;

/// Most certificates of one file that a rule names.
const MAX_CERTIFICATES: usize = 1_000;

/// A TLS listener as the field `listeners` may name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerPlace {
    /// Its number among all listeners.
    pub number: u16,
    /// The setting that opens it, as `TLSPort` or `Transport1Interface`.
    pub setting: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// As what the holder of a certificate is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CaRole {
    /// A user or a device.
    Phone,
    /// A domain that sends us requests.
    Domain,
    /// A server that we connect to, or send requests to over a connection that it made.
    Server,
}

impl CaRole {
    fn named(text: &str) -> Option<Self> {
        match text {
            "phone" => Some(Self::Phone),
            "domain" => Some(Self::Domain),
            "server" => Some(Self::Server),
            _ => None,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Phone => 1,
            Self::Domain => 2,
            Self::Server => 4,
        }
    }
}

/// Where a certificate is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// On a connection that its holder has made, to the listener of this number.
    Accepted(Option<u16>),
    /// Its holder is the server.
    Connected,
}

/// A certificate in a file that a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownCa {
    /// SHA-256 of its DER encoding.
    pub fingerprint: [u8; 32],
    /// Whether it has issued itself, so that it limits nobody unless it is a trust anchor.
    pub is_root: bool,
}

/// Why a rule may not limit whom it was meant to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// No trust anchor is as the line of this number describes it.
    Described(u32),
    /// A root in the file that the line of this number names is no trust anchor.
    Shown(u32),
}

/// The rules of a file.
#[derive(Default)]
pub struct CaRights {
    file: Box<str>,
    rules: usize,
    cas: Vec<Arc<CaRules>>,
    by_fingerprint: HashMap<[u8; 32], u32>,
    by_key_id: HashMap<Box<[u8]>, u32>,
    by_subject: HashMap<Box<str>, u32>,
    /// CAs that the file describes rather than shows, with the first line of each.
    described: Vec<(u32, CaName)>,
    /// Self-signed certificates in files that it names, with the first line of each.
    shown: Vec<(u32, CaName)>,
    mark: u64,
}

impl CaRights {
    /// Reads a rules file. `certificates` gives the certificates in a file that a rule names.
    ///
    /// # Errors
    /// Every line that cannot be used, and a file without any rule; then there are no rules at all, since without one of
    /// them a CA might be trusted with more than was meant.
    pub fn parse(
        text: &[u8],
        file: &str,
        listeners: &[ListenerPlace],
        mut certificates: impl FnMut(&str) -> Result<Vec<ShownCa>, String>,
    ) -> Result<Self, Vec<RightsFault>> {
        let mut reading = Reading {
            rights: Self {
                file: file.into(),
                ..Self::default()
            },
            cas: Vec::new(),
            files: HashMap::new(),
            placed: 0,
        };
        let mut faults = Vec::new();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for (at, line) in text.split(|octet| *octet == b'\n').enumerate() {
            let line_number = at.saturating_add(1);
            if let Err(kind) = reading.line(line, line_number, listeners, &mut certificates) {
                let is_last = matches!(kind, RightsFaultKind::TooMany(_));
                faults.push(RightsFault {
                    file: file.to_owned(),
                    line: line_number,
                    kind,
                });
                if is_last {
                    break;
                }
            }
        }
        if faults.is_empty() && reading.rights.is_empty() {
            faults.push(RightsFault {
                file: file.to_owned(),
                line: 1,
                kind: RightsFaultKind::NoRule,
            });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let Reading {
            mut rights, cas, ..
        } = reading;
        rights.cas = cas.into_iter().map(Arc::new).collect();
        let mut mark = DefaultHasher::new();
        text.hash(&mut mark);
        // The certificates in files that it names may be others than before under the same text, in whatever order.
        let mut shown: Vec<_> = rights.by_fingerprint.keys().collect();
        shown.sort_unstable();
        shown.hash(&mut mark);
        rights.mark = mark.finish();
        Ok(rights)
    }

    /// A number for what the rules say: the same rules have the same within a process, and none have 0.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// Number of rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules
    }

    /// Whether there is no rule, so that every CA may vouch for everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules == 0
    }

    /// The file, as given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Lines that name none of these CAs by fingerprint, key or subject: an intermediate, or a slip of the pen that leaves
    /// the CA that was meant without limits. And lines with the certificate of a root that is none of them, as after a
    /// renewal; each once.
    pub fn strangers<'r>(&'r self, anchors: &'r [Issuer]) -> impl Iterator<Item = Stranger> + 'r {
        let known = move |name: &CaName| anchors.iter().any(|anchor| name.is(anchor));
        let described = self.described.iter();
        let described = described.filter(move |(_, name)| !known(name));
        let mut last = None;
        let shown = self.shown.iter().filter(move |(_, name)| !known(name));
        let shown = shown.filter(move |(line, _)| last.replace(*line) != Some(*line));
        described
            .map(|(line, _)| Stranger::Described(*line))
            .chain(shown.map(|(line, _)| Stranger::Shown(*line)))
    }

    /// What limits the certificates of this chain.
    pub(super) fn limits(&self, issuers: &Issuers, side: Side) -> Limits {
        let mut found = Vec::new();
        if !self.is_empty() {
            for (depth, issuer) in issuers.iter().enumerate() {
                let places = [
                    self.by_fingerprint.get(&issuer.fingerprint),
                    self.by_key_id.get(&issuer.key_id),
                    self.by_subject.get(&issuer.subject),
                ];
                for at in places.into_iter().flatten() {
                    if let Some(rules) = self.cas.get(*at as usize) {
                        found.push((depth, Arc::clone(rules)));
                    }
                }
            }
        }
        Limits {
            cas: found.into_boxed_slice(),
            side,
        }
    }
}

impl fmt::Debug for CaRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaRights")
            .field("file", &self.file)
            .field("rules", &self.rules)
            .field("cas", &self.cas.len())
            .finish_non_exhaustive()
    }
}

struct Reading {
    rights: CaRights,
    cas: Vec<CaRules>,
    /// What is in the files that rules name, each read once.
    files: HashMap<String, Vec<ShownCa>>,
    /// Number of rules, for each CA.
    placed: usize,
}

impl Reading {
    fn line(
        &mut self,
        line: &[u8],
        number: usize,
        listeners: &[ListenerPlace],
        certificates: &mut impl FnMut(&str) -> Result<Vec<ShownCa>, String>,
    ) -> Result<(), RightsFaultKind> {
        let line = std::str::from_utf8(line).map_err(|_| RightsFaultKind::NotUtf8)?;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let (ca, rule) = line::read(line, number, listeners)?;
        self.rights.rules += 1;
        match ca {
            Ca::Named(name) => {
                let before = self.cas.len();
                self.add(name.clone(), rule)?;
                if self.cas.len() > before {
                    self.rights.described.push((number, name));
                }
            }
            Ca::File(path) => {
                let wrong = |reason: String| RightsFaultKind::File {
                    path: path.clone(),
                    reason,
                };
                let found = match self.files.get(&path) {
                    Some(known) => known.clone(),
                    None => certificates(&path).map_err(wrong)?,
                };
                if found.is_empty() {
                    return Err(wrong("holds no certificate".to_owned()));
                }
                if found.len() > MAX_CERTIFICATES {
                    return Err(wrong(format!(
                        "holds more than {MAX_CERTIFICATES} certificates"
                    )));
                }
                for ca in &found {
                    let name = CaName::Fingerprint(ca.fingerprint);
                    let before = self.cas.len();
                    self.add(name.clone(), rule.clone())?;
                    if ca.is_root && self.cas.len() > before {
                        self.rights.shown.push((number, name));
                    }
                }
                self.files.insert(path, found);
            }
        }
        Ok(())
    }

    fn add(&mut self, name: CaName, rule: index::Rule) -> Result<(), RightsFaultKind> {
        if self.placed == MAX_RULES {
            return Err(RightsFaultKind::TooMany(MAX_RULES));
        }
        self.placed += 1;
        let next = u32::try_from(self.cas.len()).unwrap_or(u32::MAX);
        let shown = match &name {
            CaName::Fingerprint(fingerprint) => format!("sha256={}", hex(fingerprint)),
            CaName::KeyId(key_id) => format!("keyid={}", hex(key_id)),
            CaName::Subject(subject) => format!("subject={subject}"),
        };
        let rights = &mut self.rights;
        let at = match name {
            CaName::Fingerprint(fingerprint) => {
                *rights.by_fingerprint.entry(fingerprint).or_insert(next)
            }
            CaName::KeyId(key_id) => *rights.by_key_id.entry(key_id).or_insert(next),
            CaName::Subject(subject) => *rights.by_subject.entry(subject).or_insert(next),
        };
        if at == next {
            self.cas.push(CaRules::new(&shown));
        }
        if let Some(rules) = self.cas.get_mut(at as usize) {
            rules.add(rule);
        }
        Ok(())
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// What its CAs say of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// None of them has rules.
    Free,
    /// The rule in this line allows it, of the CA nearest to the certificate.
    Rule(u32),
    /// One of them may not vouch for it.
    No,
}

impl Word {
    pub(super) fn allows(self) -> bool {
        self != Self::No
    }
}

/// The rules of the CAs behind one certificate, where it is met. Costs nothing for CAs without rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// By place in the chain: a CA may be named in several ways.
    cas: Box<[(usize, Arc<CaRules>)]>,
    side: Side,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cas: Box::default(),
            side: Side::Accepted(None),
        }
    }
}

impl Limits {
    /// Whether nothing is limited.
    pub(super) fn is_free(&self) -> bool {
        self.cas.is_empty()
    }

    /// The CAs with rules, for a trace.
    pub(super) fn cas(&self) -> impl Iterator<Item = &str> {
        self.cas.iter().map(|(_, rules)| &*rules.ca)
    }

    /// Whether this name may be used for this claim.
    pub(super) fn for_claim(&self, name: &Identity, claim: &SipUri<'_>) -> Word {
        if self.is_free() {
            return Word::Free;
        }
        // A label that is a domain to a SIP URI stands for it as a domain.
        let is_label = is_label(name) && !name.speaks_for(&claim.host);
        self.word(&named(name, is_label), Some(&Claimed::of(claim)))
    }

    /// Whether this name may be used for something, be it by a mapping.
    pub(super) fn for_some_claim(&self, name: &Identity) -> Word {
        if self.is_free() {
            return Word::Free;
        }
        self.word(&named(name, is_label(name)), None)
    }

    /// Whether this name tells who its holder is: a user or a domain by itself, a label by what a mapping may make of it.
    pub(super) fn for_being(&self, name: &Identity) -> Word {
        match is_label(name) {
            true => self.for_some_claim(name),
            false => self.for_itself(name),
        }
    }

    /// Whether this name may be believed by itself, as that of a trusted peer.
    pub(super) fn for_itself(&self, name: &Identity) -> Word {
        if self.is_free() {
            return Word::Free;
        }
        let named = named(name, is_label(name));
        self.word(&named, Some(&Claimed::name(&named.text)))
    }

    /// Whether this name may be used for a whole domain or address, in canonical form.
    pub(super) fn for_domain(&self, name: &Identity, host: &str) -> Word {
        if self.is_free() {
            return Word::Free;
        }
        self.word(&named(name, false), Some(&Claimed::name(host)))
    }

    /// Whether a name without a type, as repro's rules have it, may be used for this `user@host` or `host`, if any.
    pub(super) fn for_plain_name(&self, name: &str, claim: Option<&str>) -> Word {
        if self.is_free() {
            return Word::Free;
        }
        let is_label = !is_user_or_domain(name)
            && claim.is_none_or(|claim| {
                let host = claim.rsplit_once('@').map_or(claim, |(_, host)| host);
                !host.eq_ignore_ascii_case(name)
            });
        let claim = claim.map(Claimed::name);
        self.word(&plain(name, is_label), claim.as_ref())
    }

    /// Whether such a name may be believed by itself, as that of a trusted peer.
    pub(super) fn for_plain_name_itself(&self, name: &str) -> Word {
        if self.is_free() {
            return Word::Free;
        }
        let canonical = canonical_domain(name);
        let claim = Claimed::name(&canonical);
        self.word(&plain(name, !is_user_or_domain(name)), Some(&claim))
    }

    fn word(&self, name: &Named<'_>, claim: Option<&Claimed<'_>>) -> Word {
        let role = match self.side {
            Side::Accepted(_) => name.role,
            Side::Connected => CaRole::Server,
        };
        let mut word = Word::Free;
        for of_one_ca in self.cas.chunk_by(|(one, _), (other, _)| one == other) {
            let mut rules = of_one_ca.iter().map(|(_, rules)| rules);
            match rules.find_map(|rules| rules.allowing(name.label(), role, self.side, claim)) {
                Some(line) if word == Word::Free => word = Word::Rule(line),
                Some(_) => {}
                None => return Word::No,
            }
        }
        word
    }
}

/// A name of a certificate as the rules look at it.
struct Named<'n> {
    text: Cow<'n, str>,
    /// Whether `names` decides about it; about users and domains `users` and `domains` do.
    is_label: bool,
    role: CaRole,
}

impl Named<'_> {
    fn label(&self) -> Option<&str> {
        self.is_label.then_some(&*self.text)
    }
}

fn named(name: &Identity, is_label: bool) -> Named<'_> {
    let text = match name.kind {
        IdentityKind::Wildcard => format!("*.{}", name.text()).into(),
        _ => name.text().into(),
    };
    Named {
        text,
        is_label,
        role: role_of(name),
    }
}

fn plain(name: &str, is_label: bool) -> Named<'_> {
    Named {
        text: name.into(),
        is_label,
        role: role_of_plain(name),
    }
}

/// Whether a name is that of a device, or a word of the operator's choice, rather than a user or a domain. One label that
/// could be a host name, as in CN=reception, is mostly such a word.
fn is_label(name: &Identity) -> bool {
    match name.kind {
        IdentityKind::User | IdentityKind::Wildcard | IdentityKind::Ip(_) => false,
        IdentityKind::Label => true,
        IdentityKind::Domain | IdentityKind::KeyOnly(_) => !is_user_or_domain(name.text()),
    }
}

/// Whether a text has the form of a user, a domain or an address.
fn is_user_or_domain(text: &str) -> bool {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    text.contains('@')
        || text.parse::<IpAddr>().is_ok()
        || (text.contains('.') && is_dns_name(bare.strip_suffix('.').unwrap_or(bare)))
}

fn role_of(name: &Identity) -> CaRole {
    match name.kind {
        IdentityKind::Domain | IdentityKind::Wildcard | IdentityKind::Ip(_) => CaRole::Domain,
        IdentityKind::User | IdentityKind::Label => CaRole::Phone,
        IdentityKind::KeyOnly(_) => role_of_plain(name.text()),
    }
}

/// A name of a certificate that is nothing but text.
fn role_of_plain(name: &str) -> CaRole {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    if name.contains('.') && is_dns_name(bare) {
        CaRole::Domain
    } else {
        CaRole::Phone
    }
}
