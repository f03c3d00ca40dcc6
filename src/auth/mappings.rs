//! CommonNameMappings: which SIP identities a name of a certificate may use besides its own.
//!
//! One entry a line, `key<TAB>user@domain,domain …`, in repro's grammar. Leading white space, empty lines and lines that
//! begin with `#` do not count; values stand apart by commas, blanks or CR.
//!
//! Ours: `key@@sha256=…` holds for certificates only that have this CA in their chain, `key@@keyid=…` and `key@@subject=…`
//! for those only whose chain ends in this trust anchor.
//! No name of a certificate that repro could have mapped has `@@` in it and `=` behind.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::certificate::{host_is, user_and_host_are, user_at_host};
use super::issuer::{CaName, Issuer, Issuers};
use super::legacy_name::LegacyClaim;
use super::mac::{Mac, is_dns_name};
use crate::sip::{SipUri, canonical_domain};

/// Most CAs that one name is bound to, each by an entry of its own; they are tried in turn.
const MAX_PINS: usize = 64;

/// What is wrong with one line of a mappings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingFault {
    /// The file, as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: MappingFaultKind,
}

/// Kinds of [`MappingFault`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingFaultKind {
    /// No TAB between key and values.
    NoTab,
    /// Octets that are not UTF-8.
    NotUtf8,
    /// A control character in the key.
    ControlCharacter,
    /// The key was there before; a MAC address in another spelling is the same key.
    Repeated {
        /// The key here.
        key: String,
        /// Line of the first one.
        first: usize,
    },
    /// What stands behind `@@` names no CA.
    Pin {
        /// The key.
        key: String,
        /// What was expected instead.
        hint: &'static str,
    },
    /// The key stands both with a CA and without.
    HalfPinned {
        /// The key here.
        key: String,
        /// Line of the other one.
        first: usize,
    },
    /// The key is bound to more CAs than are looked at.
    TooManyCas {
        /// The key.
        key: String,
    },
    /// A value that is neither `user@domain` nor `domain`.
    UnusableValue {
        /// The value.
        value: String,
        /// What was expected instead.
        hint: &'static str,
    },
}

impl fmt::Display for MappingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match &self.kind {
            MappingFaultKind::NoTab => {
                f.write_str("no TAB: expected name<TAB>user@domain,domain; blanks do not separate")
            }
            MappingFaultKind::NotUtf8 => f.write_str("not UTF-8 text"),
            MappingFaultKind::ControlCharacter => f.write_str("control character in the name"),
            MappingFaultKind::Repeated { key, first } => write!(
                f,
                "{key:?} repeated, it stands in line {first}: put all its identities on one line"
            ),
            MappingFaultKind::Pin { key, hint } => {
                write!(f, "{key:?}: no CA is named behind @@: {hint}")
            }
            MappingFaultKind::HalfPinned { key, first } => write!(
                f,
                "{key:?}: the same name stands in line {first}, one of them bound to a CA and the other to none; name the \
                 CA in both"
            ),
            MappingFaultKind::TooManyCas { key } => {
                write!(f, "{key:?}: one name is bound to {MAX_PINS} CAs at most")
            }
            MappingFaultKind::UnusableValue { value, hint } => write!(f, "{value:?}: {hint}"),
        }
    }
}

impl std::error::Error for MappingFault {}

/// One identity that a key may use.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    /// `user@host` or host, in the form that is compared.
    text: Box<str>,
    /// As the file has it, where that differs; repro's rules compare this.
    written: Option<Box<str>>,
}

impl Value {
    fn parse(text: &str) -> Option<Self> {
        let canonical = if text.starts_with("*@") {
            // A legal user to the grammar, and surely not what the operator meant.
            return None;
        } else if text.contains('@') {
            user_at_host(text)?
        } else if let Ok(ip) = text.parse::<IpAddr>() {
            ip.to_canonical().to_string()
        } else {
            let name = canonical_domain(text);
            if !is_dns_name(&name) {
                return None;
            }
            name.into_owned()
        };
        Some(Self {
            written: (canonical != text).then(|| text.into()),
            text: canonical.into(),
        })
    }

    fn permits(&self, claim: &SipUri<'_>) -> bool {
        if self.text.contains('@') {
            user_and_host_are(&self.text, claim)
        } else {
            host_is(&self.text, &claim.host)
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    /// As the file has it, with the CA that it is bound to.
    key: Arc<str>,
    /// Octets of the key that are the name.
    name: u32,
    line: u32,
    values: SmallVec<[Value; 1]>,
    /// The CA that has to stand behind the certificate, and the next entry for the same name and another CA.
    pin: Option<Box<Pin>>,
}

#[derive(Debug, Clone)]
struct Pin {
    ca: CaName,
    next: Option<u32>,
}

impl Entry {
    fn name(&self) -> &str {
        self.key.get(..self.name as usize).unwrap_or(&self.key)
    }

    fn holds_for(&self, issuers: &Issuers) -> bool {
        let pin = self.pin.as_ref();
        pin.is_none_or(|pin| pin.ca.vouches_in(issuers))
    }
}

/// The entries of a mappings file. Looking one up takes the same time for one entry and for 100,000.
#[derive(Debug, Clone, Default)]
pub struct Mappings {
    entries: Vec<Entry>,
    by_text: HashMap<Arc<str>, u32>,
    by_mac: HashMap<Mac, u32>,
}

impl Mappings {
    /// Reads a mappings file. Gives the entries of the good lines and every bad line; whether good ones count beside bad
    /// ones is for the caller to decide (`CommonNameMappingsIgnoreBadLines`).
    pub fn parse(text: &[u8], file: &str) -> (Self, Vec<MappingFault>) {
        let mut mappings = Self::default();
        let mut faults = Vec::new();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for (at, line) in text.split(|o| *o == b'\n').enumerate() {
            let line_number = at.saturating_add(1);
            if let Err(kind) = mappings.line(line, line_number) {
                faults.push(MappingFault {
                    file: file.to_owned(),
                    line: line_number,
                    kind,
                });
            }
        }
        (mappings, faults)
    }

    fn line(&mut self, line: &[u8], number: usize) -> Result<(), MappingFaultKind> {
        let is_space = |o: &u8| matches!(o, b' ' | b'\t' | b'\r');
        let start = line.iter().position(|o| !is_space(o)).unwrap_or(line.len());
        let line = line.get(start..).unwrap_or_default();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let tab = memchr::memchr(b'\t', line).ok_or(MappingFaultKind::NoTab)?;
        let line = std::str::from_utf8(line).map_err(|_| MappingFaultKind::NotUtf8)?;
        let (key, rest) = line
            .split_at_checked(tab)
            .ok_or(MappingFaultKind::NotUtf8)?;
        if key.chars().any(char::is_control) {
            return Err(MappingFaultKind::ControlCharacter);
        }
        let mut values = SmallVec::new();
        for value in rest.split([',', '\r', ' ']) {
            let value = value.trim_start_matches(['\t', ' ']);
            if value.is_empty() {
                continue;
            }
            values.push(
                Value::parse(value).ok_or_else(|| MappingFaultKind::UnusableValue {
                    value: value.to_owned(),
                    hint: hint(value),
                })?,
            );
        }
        let (name, pin) = match pin(key) {
            Some((name, field, text)) => match CaName::parse(field, text) {
                Ok(ca) => (name, Some(ca)),
                Err(hint) => {
                    let key = key.to_owned();
                    return Err(MappingFaultKind::Pin { key, hint });
                }
            },
            None => (key, None),
        };
        self.insert(key, name, pin, number, values)
    }

    fn insert(
        &mut self,
        key: &str,
        name: &str,
        pin: Option<CaName>,
        line: usize,
        values: SmallVec<[Value; 1]>,
    ) -> Result<(), MappingFaultKind> {
        let at = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let mac = Mac::of_key(name);
        let first = mac
            .and_then(|mac| self.by_mac.get(&mac))
            .or_else(|| self.by_text.get(name))
            .copied();
        let mut last = None;
        let mut seen = first;
        let mut pins = 0_usize;
        while let Some(entry) = seen.and_then(|at| self.entries.get(at as usize)) {
            let (key, first) = (key.to_owned(), entry.line as usize);
            pins += 1;
            if pins == MAX_PINS {
                return Err(MappingFaultKind::TooManyCas { key });
            }
            match (&entry.pin, &pin) {
                (Some(own), Some(other)) if own.ca != *other => {
                    last = seen;
                    seen = own.next;
                }
                (Some(_), None) | (None, Some(_)) => {
                    return Err(MappingFaultKind::HalfPinned { key, first });
                }
                _ => return Err(MappingFaultKind::Repeated { key, first }),
            }
        }
        if let Some(before) = last.and_then(|last| self.entries.get_mut(last as usize))
            && let Some(pin) = &mut before.pin
        {
            pin.next = Some(at);
        } else {
            // A key that is a MAC address to the operator and a host name to a CA (`dead.beef.cafe`) is found as both.
            let also_a_name = Mac::of_name(name).is_none();
            if let Some(Slot::Vacant(slot)) = mac.map(|mac| self.by_mac.entry(mac)) {
                slot.insert(at);
            }
            if also_a_name {
                self.by_text.insert(name.into(), at);
            }
        }
        self.entries.push(Entry {
            key: key.into(),
            name: u32::try_from(name.len()).unwrap_or(u32::MAX),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            values,
            pin: pin.map(|ca| Box::new(Pin { ca, next: None })),
        });
        Ok(())
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry; repro then asks its data base.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lines that are bound to a subject or key identifier that none of these trust anchors has: they hold for nobody.
    pub fn strangers<'m>(&'m self, anchors: &'m [Issuer]) -> impl Iterator<Item = u32> + 'm {
        let subjects: HashSet<&str> = anchors.iter().map(|anchor| &*anchor.subject).collect();
        let key_ids: HashSet<&[u8]> = anchors.iter().map(|anchor| &*anchor.key_id).collect();
        let is_stranger = move |ca: &CaName| match ca {
            CaName::Fingerprint(_) => false,
            CaName::KeyId(key_id) => !key_ids.contains(&**key_id),
            CaName::Subject(subject) => !subjects.contains(&**subject),
        };
        let entries = self.entries.iter();
        entries
            .filter(move |entry| entry.pin.as_ref().is_some_and(|pin| is_stranger(&pin.ca)))
            .map(|entry| entry.line)
    }

    /// The entry for this name; of several the first that is bound to one of these CAs.
    fn entry(&self, name: &str, issuers: &Issuers) -> Option<&Entry> {
        let first = match self.by_text.get(name) {
            Some(at) => at,
            None => self.by_mac.get(&Mac::of_name(name)?)?,
        };
        let mut entry = self.entries.get(*first as usize)?;
        while !entry.holds_for(issuers) {
            entry = self.entries.get(entry.pin.as_ref()?.next? as usize)?;
        }
        Some(entry)
    }

    /// Key and line of the entry that this name of a certificate with these CAs finds, whatever it permits.
    pub fn find(&self, name: &str, issuers: &Issuers) -> Option<(&str, u32)> {
        let entry = self.entry(name, issuers)?;
        Some((&*entry.key, entry.line))
    }

    /// The key of the entry by which a peer of this name under these CAs may use `claim`.
    pub(super) fn permitting(
        &self,
        name: &str,
        issuers: &Issuers,
        claim: &SipUri<'_>,
    ) -> Option<&Arc<str>> {
        let entry = self.entry(name, issuers)?;
        entry
            .values
            .iter()
            .any(|value| value.permits(claim))
            .then_some(&entry.key)
    }

    /// repro's comparison, octet by octet.
    pub(super) fn permits_legacy(
        &self,
        name: &[u8],
        claim: &LegacyClaim,
        issuers: &Issuers,
    ) -> bool {
        let name = std::str::from_utf8(name);
        let Some((name, entry)) = name
            .ok()
            .and_then(|name| Some((name, self.entry(name, issuers)?)))
        else {
            return false;
        };
        entry.name() == name
            && entry.values.iter().any(|value| {
                let text = value.written.as_deref().unwrap_or(&value.text).as_bytes();
                text == claim.aor || text == claim.host
            })
    }
}

/// Name, field and text of a key that is bound to a CA.
fn pin(key: &str) -> Option<(&str, &str, &str)> {
    let (name, ca) = key.split_once("@@")?;
    let (field, text) = ca.split_once('=')?;
    Some((name, field, text))
}

/// What to do about an unusable value.
fn hint(value: &str) -> &'static str {
    let scheme = value.split(':').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
        "expected user@domain or domain, without sip:"
    } else if value.contains('*') {
        "expected user@domain or domain; to allow all users of a domain write the domain alone"
    } else if value.contains('\t') {
        "expected user@domain or domain; a TAB inside a value belongs to it, separate by commas"
    } else {
        "expected user@domain or domain"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn permits(file: &str, name: &str, claim: &str) -> bool {
        let (mappings, faults) = Mappings::parse(file.as_bytes(), "m");
        assert_eq!(faults, [], "{file:?}");
        let claim = SipUri::parse(claim).unwrap();
        let issuers = Issuers::default();
        mappings.permitting(name, &issuers, &claim).is_some()
    }

    #[test]
    fn the_grammar_is_repros() {
        for (situation, file, name, allowed) in [
            ("one value", "k\talice@example.org\n", "k", true),
            ("no line end", "k\talice@example.org", "k", true),
            ("CRLF", "k\talice@example.org\r\n", "k", true),
            (
                "several values",
                "k\tx@y.example,alice@example.org\n",
                "k",
                true,
            ),
            (
                "blanks after commas",
                "k\tx@y.example,  alice@example.org\n",
                "k",
                true,
            ),
            ("two TABs", "k\t\talice@example.org\n", "k", true),
            ("leading blanks", "  \t k\talice@example.org\n", "k", true),
            (
                "comments and empty lines",
                "# c\n\n \r\n#\tx\nk\talice@example.org\n",
                "k",
                true,
            ),
            (
                "byte order mark",
                "\u{feff}k\talice@example.org\n",
                "k",
                true,
            ),
            (
                "blank inside the key",
                "k l\talice@example.org\n",
                "k l",
                true,
            ),
            (
                "blank behind the key belongs to it",
                "k \talice@example.org\n",
                "k",
                false,
            ),
            ("whole domain", "k\texample.org\n", "k", true),
            ("host in upper case", "k\talice@EXAMPLE.ORG\n", "k", true),
            ("user in upper case", "k\tALICE@example.org\n", "k", false),
            ("escaped user", "k\t%61lice@example.org\n", "k", true),
            ("no value", "k\t\n", "k", false),
            ("other key", "k\talice@example.org\n", "K", false),
            ("empty file", "", "k", false),
        ] {
            assert_eq!(
                permits(file, name, "sip:alice@example.org"),
                allowed,
                "{situation}"
            );
        }
    }

    #[test]
    fn a_mac_address_is_found_in_any_spelling() {
        let file = "00:04:F2:2B:3E:B5\talice@example.org\nSEP001122334455\tbob@example.org\n";
        for (name, claim, allowed) in [
            ("0004F22B3EB5", "sip:alice@example.org", true),
            ("0004f22b3eb5", "sip:alice@example.org", true),
            ("SEP0004F22B3EB5", "sip:alice@example.org", true),
            ("00-11-22-33-44-55", "sip:bob@example.org", true),
            ("0004F22B3EB6", "sip:alice@example.org", false),
            ("0004F22B3EB5", "sip:bob@example.org", false),
        ] {
            assert_eq!(permits(file, name, claim), allowed, "{name} as {claim}");
        }
    }

    #[test]
    fn a_domain_that_spells_a_mac_address_is_not_that_phone() {
        let file = "DEADBEEFCAFE\talice@example.org\n";
        assert!(!permits(file, "dead.beef.cafe", "sip:alice@example.org"));
        let file = "dead.beef.cafe\talice@example.org\n";
        assert!(permits(file, "dead.beef.cafe", "sip:alice@example.org"));
        assert!(permits(file, "DEADBEEFCAFE", "sip:alice@example.org"));
    }

    #[test]
    fn every_bad_line_is_named_and_the_good_ones_stay() {
        let file = b"good\talice@example.org\nno tab here\n\xff\talice@example.org\n\
            good\tbob@example.org\n0004F22B3EB5\texample.org\n00:04:f2:2b:3e:b5\texample.net\n\
            k1\tsip:alice@example.org\nk2\t*@example.org\nk3\ta@b@c\nk4\t-\nbad\x01key\texample.org\n";
        let (mappings, faults) = Mappings::parse(file, "map.txt");
        let lines: Vec<usize> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 3, 4, 6, 7, 8, 9, 10, 11]);
        assert_eq!(mappings.len(), 2);
        let told: Vec<String> = faults.iter().map(MappingFault::to_string).collect();
        assert!(told[0].starts_with("map.txt:2: no TAB"), "{}", told[0]);
        assert!(told[2].contains("\"good\" repeated, it stands in line 1"));
        assert!(told[3].contains("stands in line 5"), "{}", told[3]);
        assert!(told[4].contains("without sip:"), "{}", told[4]);
    }

    #[test]
    fn repros_rules_compare_octets() {
        let (mappings, _) =
            Mappings::parse(b"0004F22B3EB5\talice@example.org,Other.example\n", "m");
        let claim = |text: &str| {
            let uri = crate::sip::Uri::parse(text.as_bytes()).unwrap();
            LegacyClaim::of(&uri, text.as_bytes())
        };
        for (name, from, allowed) in [
            ("0004F22B3EB5", "sip:alice@EXAMPLE.org", true),
            ("0004f22b3eb5", "sip:alice@example.org", false),
            ("0004F22B3EB5", "sip:x@Other.example", true),
            ("0004F22B3EB5", "sip:x@other.example", false),
        ] {
            let found = mappings.permits_legacy(name.as_bytes(), &claim(from), &Issuers::default());
            assert_eq!(found, allowed, "{name} {from}");
        }
    }

    #[test]
    fn a_line_that_is_bound_to_no_anchor_is_known() {
        let file = format!(
            "a\tx@example.org\nb@@subject=CN=Root\tx@example.org\nc@@subject=CN=Below\tx@example.org\n\
             d@@keyid=01\tx@example.org\ne@@keyid=02\tx@example.org\nf@@sha256={}\tx@example.org\n",
            "22".repeat(32)
        );
        let (mappings, faults) = Mappings::parse(file.as_bytes(), "m");
        assert_eq!(faults, []);
        let root = Issuer {
            subject: "CN=Root".into(),
            key_id: Box::new([1]),
            fingerprint: [1; 32],
        };
        let found: Vec<u32> = mappings.strangers(&[root]).collect();
        assert_eq!(found, [3, 5]);
    }

    #[test]
    fn a_hundred_thousand_entries_are_all_found() {
        let mut file = String::new();
        for n in 0..100_000_u64 {
            file.push_str(&format!("{:012X}\tuser{n}@example.org\n", n * 7));
        }
        let (mappings, faults) = Mappings::parse(file.as_bytes(), "m");
        assert_eq!((mappings.len(), faults.len()), (100_000, 0));
        for n in (0..100_000_u64).step_by(997) {
            let text = format!("sip:user{n}@example.org");
            let claim = SipUri::parse(&text).unwrap();
            assert!(
                mappings
                    .permitting(&format!("{:012x}", n * 7), &Issuers::default(), &claim)
                    .is_some()
            );
            assert!(
                mappings
                    .permitting(&format!("{:012x}", n * 7 + 1), &Issuers::default(), &claim)
                    .is_none()
            );
        }
    }
}
