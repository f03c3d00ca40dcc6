//! The name that a server has to prove: the SIP domain that was asked for (RFC 5922 §4, §7.3; RFC 6125 §6.2).

use std::fmt;
use std::net::IpAddr;

use crate::auth::{Identities, Identity};
use crate::sip::Host;

/// The host of the next-hop URI as it was before any look-up, in the form that is compared.
///
/// DNS is not trusted: neither the target of an SRV record nor the address that it leads to may take the place of this
/// name, or whoever can forge an answer could choose whose certificate is good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReferenceName(Name);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    /// Lower case, without a dot at its end.
    Domain(Box<str>),
    /// An IPv4-mapped address is the IPv4 one.
    Address(IpAddr),
}

impl ReferenceName {
    /// The host of a next-hop URI. `None` for a name with a `*`, which is no name to ask anybody for.
    pub fn of(host: &Host<'_>) -> Option<Self> {
        match host {
            Host::Name(name) if name.contains('*') => None,
            Host::Name(_) => Some(Self(Name::Domain(host.canonical().into()))),
            Host::Ip(ip) => Some(Self(Name::Address(ip.to_canonical()))),
        }
    }

    /// A name or an address literal (IPv6 in brackets), as a URI has it. An internationalised name stands as A-labels.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of(&Host::parse(text)?)
    }

    /// What the server is told that we ask for; an address literal is never sent (RFC 6066 §3).
    pub fn sni(&self) -> Option<&str> {
        match &self.0 {
            Name::Domain(name) => Some(name),
            Name::Address(_) => None,
        }
    }

    /// As the host of a URI.
    pub fn host(&self) -> Host<'_> {
        match &self.0 {
            Name::Domain(name) => Host::Name(name),
            Name::Address(ip) => Host::Ip(*ip),
        }
    }

    /// A name that would prove it if its CA might vouch for that.
    pub(super) fn barred_in<'i>(&self, identities: &'i Identities) -> Option<&'i Identity> {
        identities.barred_domain_identity(&self.host())
    }

    /// The name of a certificate that proves this one.
    pub(super) fn proved_by<'i>(&self, identities: &'i Identities) -> Option<&'i Identity> {
        identities.domain_identity(&self.host())
    }
}

/// As the host of a URI.
impl fmt::Display for ReferenceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_reference_name_is_the_host_in_one_spelling() {
        for (situation, text, shown, sni) in [
            (
                "a domain",
                "Example.ORG",
                Some("example.org"),
                Some("example.org"),
            ),
            (
                "a dot at its end",
                "example.org.",
                Some("example.org"),
                Some("example.org"),
            ),
            (
                "an IDN as A-labels",
                "XN--bcher-kva.example",
                Some("xn--bcher-kva.example"),
                Some("xn--bcher-kva.example"),
            ),
            ("an IDN as it is read", "bücher.example", None, None),
            ("an IPv4 literal", "192.0.2.1", Some("192.0.2.1"), None),
            (
                "an IPv6 literal",
                "[2001:DB8:0::1]",
                Some("[2001:db8::1]"),
                None,
            ),
            (
                "an IPv4-mapped literal",
                "[::ffff:192.0.2.1]",
                Some("192.0.2.1"),
                None,
            ),
            ("a wildcard", "*.example.org", None, None),
            ("an address for inet_aton", "127.1", None, None),
            ("a user", "bob@example.org", None, None),
            ("nothing", "", None, None),
        ] {
            let name = ReferenceName::parse(text);
            assert_eq!(
                name.as_ref().map(ToString::to_string).as_deref(),
                shown,
                "{situation}"
            );
            assert_eq!(
                name.as_ref().and_then(ReferenceName::sni),
                sni,
                "{situation}"
            );
        }
    }
}
