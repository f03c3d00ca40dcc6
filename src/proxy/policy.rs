//! Everything an operator has decided for the pure rooms, as one value.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::directory::Directory;
use super::options::ProxyOptions;
use super::relay::RelayPolicy;
use super::routing::Routing;
use crate::auth::Rules;
use crate::registrar::RegistrarOptions;
use crate::sip::{Host, SipUri};

/// Rules and settings in force.
pub struct Policy {
    /// Identity and admission.
    pub rules: Rules,
    /// Registrar.
    pub registrar: RegistrarOptions,
    /// The proxy core.
    pub proxy: ProxyOptions,
    /// What is sent on.
    pub relay: RelayPolicy,
    /// Filters, routes, static registrations, the silo.
    pub routing: Routing,
    /// Who knows users and keeps messages.
    pub directory: Arc<dyn Directory>,
    /// Addresses that we listen on, wildcards spelled out.
    pub addresses: Vec<SocketAddr>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// Whether this URI means us: one of our domains on one of our ports, an address that we listen on, or what a listener of
    /// ours records, with its port, which may be neither.
    pub fn is_mine(&self, uri: &SipUri<'_>) -> bool {
        let is_served = match uri.host {
            Host::Ip(ip) => {
                let port = uri.port.unwrap_or(if uri.secure { 5061 } else { 5060 });
                self.addresses
                    .iter()
                    .any(|a| a.ip() == ip && a.port() == port)
            }
            Host::Name(_) => {
                self.rules.domains.contains(&uri.host)
                    && uri.port.is_none_or(|port| {
                        // The standard ports lead to us whichever port we really have.
                        matches!(port, 5060 | 5061)
                            || self.addresses.iter().any(|a| a.port() == port)
                    })
            }
        };
        let mut faces = self.relay.faces.iter();
        is_served || faces.any(|face| face.record_route.leads_here(uri))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use crate::proxy::relay::RecordRoute;
    use crate::proxy::test_support;
    use crate::sip::SipUri;

    #[test]
    fn what_means_us_is_a_domain_an_address_or_what_we_record() {
        for (situation, record_route, uri, mine) in [
            ("a domain", "", "sip:bob@example.org", true),
            ("on our port", "", "sip:example.org:5061", true),
            ("on another port", "", "sip:example.org:443", false),
            ("another domain", "", "sip:example.net", false),
            ("an address", "", "sip:192.0.2.1:5061", true),
            ("an address on another port", "", "sip:192.0.2.1:443", false),
            ("an address of others", "", "sip:192.0.2.2:5061", false),
            (
                "a public name before a translator",
                "sip:gate.example.net:443;transport=tls",
                "sip:token@gate.example.net:443;transport=tls;lr",
                true,
            ),
            (
                "that name on another port",
                "sip:gate.example.net:443;transport=tls",
                "sip:gate.example.net:5061",
                false,
            ),
            (
                "a public address",
                "sip:198.51.100.7:5071",
                "sips:token@198.51.100.7:5071;lr",
                true,
            ),
            (
                "a domain on a public port",
                "sip:example.org:443;transport=tls",
                "sip:token@example.org:443;transport=tls;lr",
                true,
            ),
            (
                "our own address all the same",
                "sip:gate.example.net:443",
                "sip:192.0.2.1:5061",
                true,
            ),
        ] {
            let mut policy = test_support::policy();
            if !record_route.is_empty() {
                policy.relay.faces[0].record_route = RecordRoute::parse(record_route).unwrap();
            }
            let found = policy.is_mine(&SipUri::parse(uri).unwrap());
            assert_eq!(found, mine, "{situation}");
        }
    }
}
