//! Peers that may use any From, and the domains that are ours.

use std::collections::HashSet;
use std::net::IpAddr;

use super::certificate::Identities;
use super::options::{IdentityRules, IpNetwork, TrustedPeer};
use crate::sip::{Host, canonical_domain};

impl IpNetwork {
    /// Whether the address is of this network. An IPv4-mapped IPv6 address is the IPv4 one (RFC 4291 §2.5.5.2): that is how
    /// IPv4 peers look on an IPv6 listener.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(own)) => {
                // A mapped network counts its prefix over all 128 bits.
                let prefix = match self.address {
                    IpAddr::V6(_) => self.prefix.saturating_sub(96),
                    IpAddr::V4(_) => self.prefix,
                };
                let bits = u32::from(prefix.min(32));
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                u32::from(net) & mask == u32::from(own) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(own)) => {
                let bits = u32::from(self.prefix.min(128));
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                u128::from(net) & mask == u128::from(own) & mask
            }
            _ => false,
        }
    }
}

/// The trusted peers, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct TrustedPeers {
    networks: Vec<IpNetwork>,
    names: HashSet<Box<str>>,
}

impl TrustedPeers {
    /// Takes the operator's list.
    pub fn new(peers: &[TrustedPeer]) -> Self {
        let mut own = Self::default();
        for peer in peers {
            match peer {
                TrustedPeer::Network(network) => own.networks.push(*network),
                TrustedPeer::Name(name) => {
                    own.names
                        .insert(canonical_domain(name).to_lowercase().into());
                }
            }
        }
        own
    }

    /// Whether whoever connects from here is trusted. Says nothing about a transport whose source can be forged.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|net| net.contains(address))
    }

    /// The name by which the holder of a certificate is trusted: a domain or a label, never a user of a trusted domain.
    pub fn name_of<'i>(&self, identities: &'i Identities) -> Option<&'i str> {
        if self.names.is_empty() {
            return None;
        }
        identities.trust_names().find(|name| self.has_name(name))
    }

    /// repro's way: any name of the flat list.
    pub(super) fn has_legacy_name(&self, identities: &Identities) -> bool {
        !self.names.is_empty()
            && identities
                .legacy_names()
                .any(|name| std::str::from_utf8(name).is_ok_and(|name| self.has_name(name)))
    }

    fn has_name(&self, name: &str) -> bool {
        if name.chars().any(char::is_uppercase) {
            self.names.contains(&*name.to_lowercase())
        } else {
            self.names.contains(name)
        }
    }
}

/// The domains that we serve.
#[derive(Debug, Clone, Default)]
pub struct DomainSet {
    names: HashSet<Box<str>>,
    suffixes: Vec<Box<str>>,
}

impl DomainSet {
    /// Takes domains (repro: `Domains`) and suffixes (repro: `DomainSuffixes`).
    pub fn new(domains: &[String], suffixes: &[String]) -> Self {
        let canonical = |name: &String| canonical_domain(name).to_lowercase().into_boxed_str();
        Self {
            names: domains.iter().map(canonical).collect(),
            suffixes: suffixes
                .iter()
                .map(|s| canonical(&s.trim_start_matches('.').to_owned()))
                .filter(|s| !s.is_empty())
                .collect(),
        }
    }

    /// Whether this host is one of ours: a domain, or a suffix itself, or something with whole labels before a suffix.
    pub fn contains(&self, host: &Host<'_>) -> bool {
        let host = host.canonical();
        self.names.contains(&*host)
            || self.suffixes.iter().any(|suffix| {
                host.strip_suffix(&**suffix)
                    .is_some_and(|before| before.is_empty() || before.ends_with('.'))
            })
    }

    /// repro's way: a suffix counts from any character behind the first dot on, so that `a.evilexample.org` is
    /// taken for one under `example.org`, and a trailing dot makes another domain.
    pub(super) fn contains_legacy(&self, host: &[u8]) -> bool {
        let Ok(host) = std::str::from_utf8(host) else {
            return false;
        };
        let host = host.to_ascii_lowercase();
        self.names.contains(&*host)
            || host.split_once('.').is_some_and(|(_, tail)| {
                self.suffixes.iter().any(|suffix| tail.ends_with(&**suffix))
            })
    }

    /// [`DomainSet::contains`] or repro's way, as the rules have it.
    pub fn contains_by(&self, rules: IdentityRules, host: &Host<'_>) -> bool {
        match rules {
            IdentityRules::Secure => self.contains(host),
            IdentityRules::Report | IdentityRules::Repro => match host {
                Host::Name(name) => self.contains_legacy(name.as_bytes()),
                Host::Ip(ip) => self.contains_legacy(ip.to_string().as_bytes()),
            },
        }
    }
}
