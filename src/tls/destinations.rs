//! Which profile is for which destination.

use std::collections::HashMap;

use super::{DestinationProfile, ReferenceName};
use crate::sip::canonical_domain;

/// All profiles, by what they are for.
pub(super) struct Destinations {
    profiles: Vec<DestinationProfile>,
    exact: HashMap<Box<str>, usize>,
    suffixes: HashMap<Box<str>, usize>,
}

impl Destinations {
    pub(super) fn new(profiles: Vec<DestinationProfile>) -> Self {
        let mut exact = HashMap::new();
        let mut suffixes = HashMap::new();
        for (at, profile) in profiles.iter().enumerate() {
            for domain in &profile.domains {
                // The spelling of addresses is that of the reference name; the settings have been held against it.
                if let Some(name) = ReferenceName::parse(domain) {
                    exact.entry(name.to_string().into()).or_insert(at);
                }
            }
            for suffix in &profile.suffixes {
                let suffix = suffix.trim_start_matches('.');
                let suffix = canonical_domain(suffix).into_owned().into_boxed_str();
                suffixes.entry(suffix).or_insert(at);
            }
        }
        Self {
            profiles,
            exact,
            suffixes,
        }
    }

    /// The profile of a destination: by its name, else by the longest suffix of whole labels.
    pub(super) fn profile(&self, destination: &ReferenceName) -> Option<&DestinationProfile> {
        let name = destination.to_string();
        let by_suffix = || {
            let mut rest = destination.sni()?;
            loop {
                if let Some(at) = self.suffixes.get(rest) {
                    return Some(at);
                }
                rest = rest.split_once('.')?.1;
            }
        };
        let at = self.exact.get(name.as_str()).or_else(by_suffix)?;
        self.profiles.get(*at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::OwnIdentity;
    use super::*;

    #[test]
    fn the_narrowest_profile_is_that_of_a_destination() {
        let profile = |setting: &str, domains: &[&str], suffixes: &[&str]| DestinationProfile {
            setting: setting.to_owned(),
            domains: domains.iter().map(|d| (*d).to_owned()).collect(),
            suffixes: suffixes.iter().map(|d| (*d).to_owned()).collect(),
            expected_name: None,
            own: OwnIdentity::Default,
            minimum: None,
            maximum: None,
            verify: true,
            require_staple: false,
        };
        let destinations = Destinations::new(vec![
            profile("wide", &[], &["example.net"]),
            profile(
                "exact",
                &["Sip.Example.NET.", "[2001:DB8::1]", "192.0.2.1"],
                &[],
            ),
            profile("narrow", &[], &["east.example.net"]),
        ]);
        for (destination, wanted) in [
            ("example.net", Some("wide")),
            ("a.b.example.net", Some("wide")),
            ("sip.example.net", Some("exact")),
            ("east.example.net", Some("narrow")),
            ("x.east.EXAMPLE.net", Some("narrow")),
            ("notexample.net", None),
            ("net", None),
            ("example.org", None),
            ("192.0.2.1", Some("exact")),
            ("[2001:db8:0::1]", Some("exact")),
            ("192.0.2.2", None),
        ] {
            let name = ReferenceName::parse(destination).unwrap();
            let found = destinations.profile(&name).map(|p| p.setting.as_str());
            assert_eq!(found, wanted, "{destination}");
        }
    }
}
