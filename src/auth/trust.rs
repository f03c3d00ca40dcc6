//! Peers that may use any From, and the domains that are ours.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::certificate::Identities;
use super::check::Transport;
use super::options::{IdentityRules, IpNetwork, TrustedPeer, TrustedSource};
use crate::sip::{Host, canonical_domain};

impl IpNetwork {
    /// The IPv4 network that this is, with its own number of leading bits: one of IPv4-mapped addresses too (RFC 4291
    /// §2.5.5.2), which counts its prefix over all 128 bits. A shorter prefix than theirs of 96 is one of IPv6.
    pub fn ipv4(&self) -> Option<(Ipv4Addr, u8)> {
        match self.address {
            IpAddr::V4(address) => Some((address, self.prefix.min(32))),
            IpAddr::V6(address) => {
                let prefix = self.prefix.min(128).checked_sub(96)?;
                Some((address.to_ipv4_mapped()?, prefix))
            }
        }
    }

    /// Whether the address is of this network. An IPv4-mapped IPv6 address is the IPv4 one: that is how IPv4 peers look on
    /// an IPv6 listener. So a network of IPv6 holds none of them, however short its prefix is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.ipv4(), self.address, address.to_canonical()) {
            (Some((net, prefix)), _, IpAddr::V4(own)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                u32::from(net) & mask == u32::from(own) & mask
            }
            (None, IpAddr::V6(net), IpAddr::V6(own)) => {
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
    sources: Vec<TrustedSource>,
    names: HashSet<Box<str>>,
}

impl TrustedPeers {
    /// Takes the operator's list.
    pub fn new(peers: &[TrustedPeer]) -> Self {
        let mut own = Self::default();
        for peer in peers {
            match peer {
                TrustedPeer::Network(network) => own.networks.push(*network),
                TrustedPeer::Source(source) => own.sources.push(*source),
                TrustedPeer::Name(name) => {
                    own.names
                        .insert(canonical_domain(name).to_lowercase().into());
                }
            }
        }
        own
    }

    /// Whether whoever connects from here in this way is trusted. Says nothing about a transport whose source can be
    /// forged.
    pub fn has_source(&self, source: SocketAddr, transport: Transport) -> bool {
        let address = source.ip();
        self.networks.iter().any(|net| net.contains(address))
            || self.sources.iter().any(|trusted| {
                trusted.transport == transport
                    && trusted.port.is_none_or(|port| port == source.port())
                    && trusted.network.contains(address)
            })
    }

    /// The name by which the holder of a certificate is trusted: a domain or a label, never a user of a trusted domain.
    pub fn name_of<'i>(&self, identities: &'i Identities) -> Option<&'i str> {
        if self.names.is_empty() {
            return None;
        }
        identities.trust_names().find(|name| self.has_name(name))
    }

    /// repro's way: any name of the flat list. It is believed by itself, so that is what the CA has to vouch for.
    pub(super) fn legacy_name_of<'i>(&self, identities: &'i Identities) -> Option<&'i [u8]> {
        if self.names.is_empty() {
            return None;
        }
        let is_trusted =
            |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| self.has_name(name));
        identities
            .legacy_names()
            .find(|name| is_trusted(name) && identities.may_trust_legacy(name))
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
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
    /// Sorted. Every request is asked about several times, and mostly there is one domain: comparing with it takes a
    /// fraction of what hashing takes, and with thousands of domains no longer.
    names: Box<[Box<str>]>,
    suffixes: Vec<Box<str>>,
}

impl DomainSet {
    /// Takes domains (repro: `Domains`) and suffixes (repro: `DomainSuffixes`).
    pub fn new(domains: &[String], suffixes: &[String]) -> Self {
        let canonical = |name: &String| canonical_domain(name).to_lowercase().into_boxed_str();
        let mut names: Vec<Box<str>> = domains.iter().map(canonical).collect();
        names.sort_unstable();
        Self {
            names: names.into(),
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
        self.has_name(&host)
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
        self.has_name(&host)
            || host.split_once('.').is_some_and(|(_, tail)| {
                self.suffixes.iter().any(|suffix| tail.ends_with(&**suffix))
            })
    }

    fn has_name(&self, host: &str) -> bool {
        let found = self.names.binary_search_by(|name| (**name).cmp(host));
        found.is_ok()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::certificate::NamePolicy;
    use super::super::test_support::cert;
    use super::*;

    #[test]
    fn networks_contain_what_their_prefix_says() {
        for (network, prefix, address, inside) in [
            ("192.0.2.0", 24, "192.0.2.255", true),
            ("192.0.2.0", 24, "192.0.3.0", false),
            ("192.0.2.7", 32, "192.0.2.7", true),
            ("192.0.2.7", 32, "192.0.2.6", false),
            ("192.0.2.7", 0, "203.0.113.1", true),
            ("192.0.2.7", 24, "192.0.2.99", true),
            ("192.0.2.0", 24, "::ffff:192.0.2.9", true),
            ("::ffff:192.0.2.0", 120, "192.0.2.9", true),
            ("::ffff:192.0.2.0", 120, "192.0.3.9", false),
            ("0.0.0.0", 0, "2001:db8::1", false),
            ("2001:db8::", 32, "2001:db8:ffff::1", true),
            ("2001:db8::", 32, "2001:db9::1", false),
            ("::", 0, "2001:db8::1", true),
            ("::1", 128, "::1", true),
            ("192.0.2.0", 255, "192.0.2.1", false),
            ("::ffff:0:0", 96, "192.0.2.1", true),
            ("::ffff:0:0", 95, "192.0.2.1", false),
            ("::ffff:192.0.2.1", 80, "::ffff:192.0.2.1", false),
            ("::ffff:192.0.2.1", 80, "::1", true),
            ("::", 0, "::ffff:192.0.2.1", false),
            ("::ffff:192.0.2.1", 255, "192.0.2.1", true),
        ] {
            let net = IpNetwork {
                address: network.parse().unwrap(),
                prefix,
            };
            assert_eq!(
                net.contains(address.parse().unwrap()),
                inside,
                "{address} in {network}/{prefix}"
            );
        }
    }

    #[test]
    fn a_source_is_trusted_in_its_own_way_only() {
        let network = IpNetwork {
            address: "192.0.2.0".parse().unwrap(),
            prefix: 24,
        };
        let source = |port, transport| {
            TrustedPeer::Source(TrustedSource {
                network,
                port,
                transport,
            })
        };
        let trusted = TrustedPeers::new(&[
            source(None, Transport::Tls),
            source(Some(5060), Transport::Tcp),
        ]);
        for (situation, from, transport, yes) in [
            ("any port", "192.0.2.7:41000", Transport::Tls, true),
            ("its port", "192.0.2.7:5060", Transport::Tcp, true),
            ("another port", "192.0.2.7:5062", Transport::Tcp, false),
            ("another transport", "192.0.2.7:5060", Transport::Udp, false),
            ("another network", "192.0.3.7:5060", Transport::Tls, false),
        ] {
            let from = from.parse().unwrap();
            assert_eq!(trusted.has_source(from, transport), yes, "{situation}");
        }
    }

    #[test]
    fn names_are_trusted_as_domains_and_labels_and_never_as_users() {
        let trusted = TrustedPeers::new(&[
            TrustedPeer::Name("GW.example.net".into()),
            TrustedPeer::Name("Trunk 7".into()),
            TrustedPeer::Name("bob@example.org".into()),
        ]);
        for (cn, sans, yes) in [
            ("", &["DNS:gw.EXAMPLE.net"][..], true),
            ("gw.example.net", &[], true),
            ("trunk 7", &[], true),
            ("", &["URI:sip:mallory@gw.example.net"], false),
            ("mallory@gw.example.net", &[], false),
            ("bob@example.org", &[], false),
            ("gw.example.net", &["DNS:other.example"], false),
            ("", &["DNS:gw.example.net", "URI:sip:other.example"], false),
            ("", &["DNS:a.gw.example.net"], false),
        ] {
            let identities = Identities::of(&cert(cn, sans), &NamePolicy::default());
            assert_eq!(trusted.name_of(&identities).is_some(), yes, "{cn} {sans:?}");
        }
    }

    #[test]
    fn suffixes_end_at_a_label_except_in_repros_rules() {
        let ours = DomainSet::new(&["one.example".into()], &["example.org".into()]);
        for (host, secure, repro) in [
            ("one.example", true, true),
            ("ONE.example.", true, false),
            ("a.example.org", true, true),
            ("a.b.example.org", true, true),
            ("example.org", true, false),
            ("evilexample.org", false, false),
            ("a.evilexample.org", false, true),
            ("a.example.org.evil.net", false, false),
        ] {
            let name = Host::Name(host);
            assert_eq!(
                ours.contains_by(IdentityRules::Secure, &name),
                secure,
                "{host}"
            );
            assert_eq!(
                ours.contains_by(IdentityRules::Repro, &name),
                repro,
                "{host}"
            );
        }
    }
}
