//! The target set of a request: RFC 3261 §16.5.

use std::cmp::Reverse;
use std::fmt;

use crate::auth::IdentityDigest;
use crate::registrar::{Aor, FlowId, QValue, Reach};
use crate::sip::{SipUri, Uri};

/// Targets that one request may have; what a routing table or a registration adds beyond is left out, so that no request
/// becomes a flood (RFC 5393 §5.3).
pub const MAX_TARGETS: usize = 32;

/// Where a target comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The Request-URI itself.
    Request,
    /// The Request-URI, over the flow that a token of ours names.
    FlowToken,
    /// A static route.
    Route,
    /// A live binding.
    Binding,
    /// A static registration.
    StaticRegistration,
    /// A Contact of a redirection that we follow ourselves.
    Redirect,
}

/// One place to send a request to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The URI that becomes the Request-URI. A URI with `lr` of a static route becomes a Route instead, and the
    /// Request-URI stays.
    pub uri: String,
    /// Routes to go before all others, as they are written in a Route header: a Path (RFC 3327), or the key `Routes`.
    pub route: Vec<String>,
    /// The flow that it is to be sent over: the one it was registered over.
    pub flow: Option<FlowId>,
    /// Whether nothing but that flow will do; else the URI is tried when the flow is gone.
    pub flow_only: bool,
    /// Who has to be at the other end of that flow, if it is one that a token of ours has named.
    pub identity: Option<IdentityDigest>,
    /// Its preference.
    pub q: QValue,
    /// Where it comes from.
    pub origin: Origin,
    /// Other flows of the same device: each is tried only when those before it have failed (RFC 5626 §7).
    pub others: Vec<Target>,
}

impl Target {
    /// A target that is a URI and nothing more.
    pub(super) fn of(uri: String, origin: Origin) -> Self {
        Self {
            uri,
            route: Vec::new(),
            flow: None,
            flow_only: false,
            identity: None,
            q: QValue::DEFAULT,
            origin,
            others: Vec::new(),
        }
    }

    /// Whether it becomes a Route and leaves the Request-URI alone.
    pub(super) fn is_loose_route(&self) -> bool {
        let loose = |uri: SipUri<'_>| uri.parameters.value("lr").is_some();
        self.origin == Origin::Route && SipUri::parse(&self.uri).is_some_and(loose)
    }

    /// Whose binding it is, and how that is reached, for a request to that address-of-record.
    pub(super) fn registered(&self, uri: &Uri<'_>) -> Option<(Aor, Reach)> {
        if self.origin != Origin::Binding {
            return None;
        }
        let reach = match self.flow {
            Some(flow) => Reach::Flow(flow),
            None if self.route.is_empty() => return None,
            None => Reach::Path {
                contact: self.uri.clone(),
                path: self.route.clone(),
            },
        };
        Some((Aor::of(uri.sip()?), reach))
    }

    /// One that stands for flows of one device, the first to be tried before the others; none for none.
    pub(super) fn first_of(flows: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut flows = flows.into_iter().take(MAX_TARGETS);
        let mut first = flows.next()?;
        first.others = flows.collect();
        Some(first)
    }

    /// What is left of the flows that it stands for when some do not do.
    fn keep(mut self, wanted: impl Fn(&Self) -> bool) -> Option<Self> {
        let others = std::mem::take(&mut self.others);
        let flows = std::iter::once(self).chain(others);
        Self::first_of(flows.filter(wanted))
    }

    /// Whether its URI is a SIPS URI.
    pub(super) fn is_secure(&self) -> bool {
        let scheme = self.uri.as_bytes().get(..5);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
    }

    /// Whether a request sent to both would go to one place twice.
    ///
    /// Devices may well name the same address: behind two translators, or where the name in a URI means nothing.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let one_flow = self.flow == other.flow || !(self.flow_only && other.flow_only);
        self.route == other.route
            && one_flow
            && (self.uri == other.uri
                || SipUri::parse(&self.uri)
                    .zip(SipUri::parse(&other.uri))
                    .is_some_and(|(a, b)| a.is_equivalent(&b)))
    }
}

/// How contacts of one address-of-record are tried. repro: `QValueBehavior`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forking {
    /// One after the other, in the order of their preference. repro: `FULL_SEQUENTIAL`, or `QValue = false`.
    Sequential,
    /// Those of equal preference at once. repro: `EQUAL_Q_PARALLEL`.
    #[default]
    EqualPreference,
    /// All at once. repro: `FULL_PARALLEL`.
    Parallel,
}

/// Where a request goes: groups that are tried one after the other, the targets of each at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetSet {
    groups: Vec<Vec<Target>>,
    left_out: usize,
}

/// How many targets there are; `Display` is a part of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetCount {
    /// Targets.
    pub targets: usize,
    /// Groups.
    pub groups: usize,
    /// Targets that were more than [`MAX_TARGETS`].
    pub left_out: usize,
}

impl TargetSet {
    /// A set of one.
    pub(super) fn only(target: Target) -> Self {
        Self {
            groups: vec![vec![target]],
            left_out: 0,
        }
    }

    /// Adds a group.
    pub(super) fn add(&mut self, targets: impl IntoIterator<Item = Target>) {
        let mut group: Vec<Target> = Vec::new();
        for target in targets {
            let mut there = self.groups.iter().flatten().chain(&group);
            if there.any(|other| other.is_same(&target)) {
                continue;
            }
            if self.len() + group.len() == MAX_TARGETS {
                self.left_out += 1;
                continue;
            }
            group.push(target);
        }
        if !group.is_empty() {
            self.groups.push(group);
        }
    }

    /// Adds contacts of an address-of-record by their preference, those that are given first before others of the same.
    pub(super) fn add_by_preference(&mut self, mut contacts: Vec<Target>, forking: Forking) {
        contacts.sort_by_key(|contact| Reverse(contact.q));
        match forking {
            Forking::Parallel => self.add(contacts),
            Forking::Sequential => contacts.into_iter().for_each(|contact| self.add([contact])),
            Forking::EqualPreference => {
                let mut rest = contacts.into_iter().peekable();
                while let Some(first) = rest.next() {
                    let q = first.q;
                    let mut group = vec![first];
                    while let Some(next) = rest.next_if(|next| next.q == q) {
                        group.push(next);
                    }
                    self.add(group);
                }
            }
        }
    }

    /// What is left of it for a request to a SIPS URI: only targets that leave it one (RFC 5630 §5.3).
    pub(super) fn secure(mut self) -> Self {
        let stays = |target: &Target| target.is_secure() || target.is_loose_route();
        for group in &mut self.groups {
            let all = std::mem::take(group).into_iter();
            *group = all.filter_map(|target| target.keep(stays)).collect();
        }
        self.groups.retain(|group| !group.is_empty());
        self
    }

    /// The groups, that to be tried first in front.
    pub fn groups(&self) -> &[Vec<Target>] {
        &self.groups
    }

    /// Whether all of them are devices that have registered.
    pub(super) fn are_devices(&self) -> bool {
        let mut targets = self.groups.iter().flatten();
        targets.all(|target| target.origin == Origin::Binding)
    }

    /// The same groups, to be kept.
    pub(super) fn into_groups(self) -> Vec<Vec<Target>> {
        self.groups
    }

    /// Number of targets.
    pub fn len(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> TargetCount {
        TargetCount {
            targets: self.len(),
            groups: self.groups.len(),
            left_out: self.left_out,
        }
    }
}

impl fmt::Display for TargetCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "targets={} groups={}", self.targets, self.groups)?;
        if self.left_out > 0 {
            write!(f, " left_out={}", self.left_out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn contact(uri: &str, q: &str) -> Target {
        Target {
            q: QValue::parse(q.as_bytes()).unwrap(),
            ..Target::of(uri.to_owned(), Origin::Binding)
        }
    }

    fn shown(set: &TargetSet) -> String {
        let group = |group: &Vec<Target>| {
            let uris: Vec<_> = group.iter().map(|t| t.uri.as_str()).collect();
            uris.join("+")
        };
        let groups: Vec<_> = set.groups().iter().map(group).collect();
        groups.join(" ")
    }

    #[test]
    fn contacts_are_grouped_by_preference() {
        let contacts = || {
            vec![
                contact("sip:a@h", "0.5"),
                contact("sip:b@h", "1"),
                contact("sip:c@h", "0.5"),
                contact("sip:d@h", "0.7"),
                contact("sip:B@H;x=y", "0.1"),
                contact("sip:b@H", "0.1"),
            ]
        };
        for (forking, wanted) in [
            (
                Forking::Sequential,
                "sip:b@h sip:d@h sip:a@h sip:c@h sip:B@H;x=y",
            ),
            (
                Forking::EqualPreference,
                "sip:b@h sip:d@h sip:a@h+sip:c@h sip:B@H;x=y",
            ),
            (
                Forking::Parallel,
                "sip:b@h+sip:d@h+sip:a@h+sip:c@h+sip:B@H;x=y",
            ),
        ] {
            let mut set = TargetSet::default();
            set.add_by_preference(contacts(), forking);
            assert_eq!(shown(&set), wanted, "{forking:?}");
        }
    }

    #[test]
    fn a_request_to_a_sips_uri_keeps_one() {
        let mut set = TargetSet::default();
        set.add([
            contact("sip:a@h;transport=tls", "1"),
            contact("sips:b@h", "1"),
        ]);
        set.add([contact("tel:1", "1")]);
        set.add([
            Target::of("sip:h;lr".to_owned(), Origin::Route),
            Target::of("sip:c@h".to_owned(), Origin::Route),
        ]);
        set.add([contact("sip:d@h;lr", "1")]);
        set.add(Target::first_of([
            contact("sip:e@h", "1"),
            contact("sips:f@h", "1"),
            contact("sip:g@h", "1"),
        ]));
        let set = set.secure();
        assert_eq!(shown(&set), "sips:b@h sip:h;lr sips:f@h");
        let others = set.groups().iter().flatten().map(|t| t.others.len());
        assert_eq!(others.sum::<usize>(), 0);
    }

    #[test]
    fn the_same_place_is_no_second_target_and_there_are_not_too_many() {
        let mut set = TargetSet::default();
        set.add([contact("sip:a@h", "1"), contact("sip:a@H", "1")]);
        set.add([contact("sip:a@h", "1")]);
        let through = Target {
            route: vec!["<sip:p;lr>".to_owned()],
            ..contact("sip:a@h", "1")
        };
        set.add([through]);
        assert_eq!(shown(&set), "sip:a@h sip:a@h");
        set.add((0..MAX_TARGETS).map(|n| contact(&format!("sip:{n}@h"), "1")));
        assert_eq!(set.len(), MAX_TARGETS);
        assert_eq!(set.count().to_string(), "targets=32 groups=3 left_out=2");
    }
}
