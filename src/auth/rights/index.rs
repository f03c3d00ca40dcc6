//! The rules of one CA, so that the one that allows something is found by a few look-ups, however many there are.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::hash::Hash;

use smallvec::SmallVec;

use super::{CaRole, Side};
use crate::auth::mac::Mac;
use crate::sip::SipUri;

/// What a name of a certificate has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
}

/// What a CA may vouch for: everything that fits all its parts. An empty part limits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) line: u32,
    pub(super) names: Vec<Pattern>,
    /// `user@domain` in canonical form.
    pub(super) users: Vec<Box<str>>,
    pub(super) domains: Vec<Box<str>>,
    /// Domains that the one meant has to be below.
    pub(super) below: Vec<Box<str>>,
    /// Numbers of listeners.
    pub(super) listeners: Vec<u16>,
    /// Bits of [`CaRole`].
    pub(super) roles: u8,
}

impl Rule {
    /// Makes its lists ready for binary search.
    pub(super) fn sort(&mut self) {
        for list in [&mut self.users, &mut self.domains, &mut self.below] {
            list.sort_unstable();
            list.dedup();
        }
        self.listeners.sort_unstable();
        self.listeners.dedup();
    }

    fn limits_claims(&self) -> bool {
        !(self.users.is_empty() && self.domains.is_empty() && self.below.is_empty())
    }

    /// Whether everything but the name fits.
    fn fits(&self, role: CaRole, side: Side, claim: Option<&Claimed<'_>>) -> bool {
        (self.roles == 0 || self.roles & role.bit() != 0)
            && match side {
                Side::Accepted(at) => {
                    self.listeners.is_empty() || at.is_some_and(|at| self.listeners.contains(&at))
                }
                Side::Connected => self.listeners.is_empty(),
            }
            && claim.is_none_or(|claim| !self.limits_claims() || self.permits(claim))
    }

    fn permits(&self, claim: &Claimed<'_>) -> bool {
        let has =
            |list: &[Box<str>], text: &str| list.binary_search_by(|own| (**own).cmp(text)).is_ok();
        has(&self.domains, &claim.host)
            || (!self.below.is_empty() && above(&claim.host).any(|d| has(&self.below, d)))
            || (!self.users.is_empty() && claim.user().is_some_and(|user| has(&self.users, user)))
    }
}

/// The identity that is claimed by a name of a certificate, in the form that is compared.
pub(super) struct Claimed<'c> {
    uri: Option<&'c SipUri<'c>>,
    host: Cow<'c, str>,
    user: OnceCell<Option<Cow<'c, str>>>,
}

impl<'c> Claimed<'c> {
    pub(super) fn of(uri: &'c SipUri<'c>) -> Self {
        Self {
            uri: Some(uri),
            host: uri.host.canonical(),
            user: OnceCell::new(),
        }
    }

    /// A whole domain or address, or a name of a certificate that stands for itself.
    pub(super) fn name(text: &'c str) -> Self {
        let (host, user) = match text.rsplit_once('@') {
            Some((_, host)) => (host, Some(text.into())),
            None => (text, None),
        };
        Self {
            uri: None,
            host: host.into(),
            user: OnceCell::from(user),
        }
    }

    fn user(&self) -> Option<&str> {
        let user = self.user.get_or_init(|| {
            let uri = self.uri.filter(|uri| uri.user.is_some())?;
            Some(uri.address_of_record().into())
        });
        user.as_deref()
    }
}

/// The domains that this one is below.
fn above(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(host.split_once('.').map(|(_, rest)| rest), |rest| {
        rest.split_once('.').map(|(_, rest)| rest)
    })
}

type Places = SmallVec<[u32; 1]>;

/// Texts that a name begins or ends with: one look-up for each length that there is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    lengths: Vec<usize>,
    places: HashMap<Box<str>, Places>,
}

impl Parts {
    fn add(&mut self, text: &str, at: u32) {
        if let Err(place) = self.lengths.binary_search(&text.len()) {
            self.lengths.insert(place, text.len());
        }
        add(&mut self.places, text.into(), at);
    }

    fn starting<'p>(&'p self, name: &'p str) -> impl Iterator<Item = u32> + 'p {
        self.of(move |length| name.get(..length))
    }

    fn ending<'p>(&'p self, name: &'p str) -> impl Iterator<Item = u32> + 'p {
        self.of(move |length| name.get(name.len().checked_sub(length)?..))
    }

    fn of<'p>(
        &'p self,
        part: impl Fn(usize) -> Option<&'p str> + 'p,
    ) -> impl Iterator<Item = u32> + 'p {
        self.lengths
            .iter()
            .filter_map(move |length| self.places.get(part(*length)?))
            .flatten()
            .copied()
    }
}

fn add<K: Eq + Hash>(places: &mut HashMap<K, Places>, key: K, at: u32) {
    places.entry(key).or_default().push(at);
}

/// The rules of one CA. A rule with names is found by its names, another one by its users and domains, the rest is tried
/// in turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CaRules {
    /// The CA as the file names it.
    pub(super) ca: Box<str>,
    rules: Vec<Rule>,
    names: HashMap<Box<str>, Places>,
    macs: HashMap<Mac, Places>,
    starts: Parts,
    ends: Parts,
    /// Of MAC addresses, in whatever spelling the certificate has them.
    mac_starts: Parts,
    mac_ends: Parts,
    users: HashMap<Box<str>, Places>,
    domains: HashMap<Box<str>, Places>,
    below: HashMap<Box<str>, Places>,
    /// Rules with claims and without names.
    by_claim: Vec<u32>,
    others: Vec<u32>,
}

impl CaRules {
    pub(super) fn new(ca: &str) -> Self {
        Self {
            ca: ca.into(),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, rule: Rule) {
        let at = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        for name in &rule.names {
            match name {
                Pattern::Exact(text) => {
                    let mac = Mac::of_key(text);
                    if let Some(mac) = mac {
                        add(&mut self.macs, mac, at);
                    }
                    if mac.is_none() || Mac::of_name(text).is_none() {
                        add(&mut self.names, folded(text).into(), at);
                    }
                }
                Pattern::StartsWith(text) => {
                    self.starts.add(&folded(text), at);
                    if let Some(digits) = mac_digits(text) {
                        self.mac_starts.add(&digits, at);
                    }
                }
                Pattern::EndsWith(text) => {
                    self.ends.add(&folded(text), at);
                    if let Some(digits) = mac_digits(text) {
                        self.mac_ends.add(&digits, at);
                    }
                }
            }
        }
        if rule.names.is_empty() {
            if rule.limits_claims() {
                self.by_claim.push(at);
            } else {
                self.others.push(at);
            }
            for user in &rule.users {
                add(&mut self.users, user.clone(), at);
            }
            for domain in &rule.domains {
                add(&mut self.domains, domain.clone(), at);
            }
            for domain in &rule.below {
                add(&mut self.below, domain.clone(), at);
            }
        }
        self.rules.push(rule);
    }

    /// The line of the rule by which the CA may vouch for something in this role: a label, which may have to fit `names`, or
    /// else a user or a domain, which is its own claim. With a claim, for that by this name.
    pub(super) fn allowing(
        &self,
        label: Option<&str>,
        role: CaRole,
        side: Side,
        claim: Option<&Claimed<'_>>,
    ) -> Option<u32> {
        let fits = |at: u32| {
            let rule = self.rules.get(at as usize)?;
            rule.fits(role, side, claim).then_some(rule.line)
        };
        label
            .and_then(|label| self.by_name(label, &fits))
            .or_else(|| match claim {
                Some(claim) => self.by_claim(claim, &fits),
                // Some claim or other will do.
                None => self.by_claim.iter().copied().find_map(&fits),
            })
            .or_else(|| self.others.iter().copied().find_map(&fits))
    }

    fn by_name(&self, name: &str, fits: &impl Fn(u32) -> Option<u32>) -> Option<u32> {
        let folded = folded(name);
        let exact = self.names.get(&*folded).into_iter().flatten().copied();
        let found = exact
            .chain(self.starts.starting(&folded))
            .chain(self.ends.ending(&folded))
            .find_map(fits);
        if found.is_some() {
            return found;
        }
        let mac = Mac::of_name(name)?;
        let digits = mac.digits();
        let exact = self.macs.get(&mac).into_iter().flatten().copied();
        exact
            .chain(self.mac_starts.starting(&digits))
            .chain(self.mac_ends.ending(&digits))
            .find_map(fits)
    }

    fn by_claim(&self, claim: &Claimed<'_>, fits: &impl Fn(u32) -> Option<u32>) -> Option<u32> {
        let host: &str = &claim.host;
        let mut found = self.domains.get(host).into_iter().flatten().copied();
        if let Some(line) = found.find_map(fits) {
            return Some(line);
        }
        if !self.users.is_empty()
            && let Some(places) = claim.user().and_then(|user| self.users.get(user))
            && let Some(line) = places.iter().copied().find_map(fits)
        {
            return Some(line);
        }
        if self.below.is_empty() {
            return None;
        }
        above(host)
            .filter_map(|domain| self.below.get(domain))
            .flatten()
            .copied()
            .find_map(fits)
    }
}

/// A name without regard to case; the user of `user@domain` keeps his.
fn folded(name: &str) -> Cow<'_, str> {
    if name.contains('@') || !name.chars().any(char::is_uppercase) {
        name.into()
    } else {
        name.to_lowercase().into()
    }
}

/// The digits of a part of a MAC address. What has a dot may be a part of a domain: `*.de` is no address that ends so.
fn mac_digits(text: &str) -> Option<String> {
    let mut digits = String::new();
    for character in text.chars().filter(|c| !matches!(c, ':' | '-')) {
        if !character.is_ascii_hexdigit() || digits.len() == 12 {
            return None;
        }
        digits.push(character.to_ascii_lowercase());
    }
    (!digits.is_empty()).then_some(digits)
}
