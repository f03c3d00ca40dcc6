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
    /// Whether this URI means us: one of our domains on one of our ports, or an address that we listen on.
    pub fn is_mine(&self, uri: &SipUri<'_>) -> bool {
        match uri.host {
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
        }
    }
}
