//! What an operator may decide about routing.

use super::audit::Audit;
use super::fault::RuleFault;
use super::filter::{FilterOptions, FilterRule, Filters};
use super::routing::{Routing, RoutingOptions};
use super::silo::{Silo, SiloOptions};
use super::static_registration::{RegistrationRule, StaticRegistrations};
use super::static_route::{FixedRoutes, RouteRule, StaticRoutes};

/// Settings of the room.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// repro: `ServerText`: the Server header of our own answers; `None` sends none.
    pub server_text: Option<String>,
    /// repro: `AlwaysAllowRelaying`.
    pub always_allow_relaying: bool,
    /// Ours: `AuditLog`, `AuditAdmitted`: which outcomes of admission are told.
    pub audit: Audit,
    /// repro: `EnablePAssertedIdentityProcessing` (RFC 3325).
    pub asserted_identity: bool,
    /// Answers to our challenges go on with what is relayed. repro: `NeverStripProxyAuthorizationHeaders`.
    pub keep_credentials: bool,
}

/// Settings of the operator's tables; the tables themselves come from a store.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// Of request filters; `None` uses none. repro: `DisableRequestFilterProcessor`.
    pub filters: Option<FilterOptions>,
    /// Of routes and contacts.
    pub routing: RoutingOptions,
    /// repro: `Routes`.
    pub fixed_routes: Vec<String>,
    /// Of messages for users who are away.
    pub silo: SiloOptions,
}

impl TableOptions {
    /// The tables in force, and what is wrong with rules of theirs.
    pub fn compile(
        &self,
        filters: impl IntoIterator<Item = FilterRule>,
        routes: impl IntoIterator<Item = RouteRule>,
        registrations: impl IntoIterator<Item = RegistrationRule>,
    ) -> (Routing, Vec<RuleFault>) {
        let mut faults = Vec::new();
        let mut told = |more: Vec<RuleFault>| faults.extend(more);
        let filters = match &self.filters {
            Some(options) => {
                let (filters, more) = Filters::new(filters, options);
                told(more);
                filters
            }
            None => Filters::default(),
        };
        let (routes, more) = StaticRoutes::new(routes);
        told(more);
        let (fixed_routes, more) = FixedRoutes::new(&self.fixed_routes);
        told(more);
        let (registrations, more) = StaticRegistrations::new(registrations);
        told(more);
        let (silo, more) = Silo::new(self.silo.clone());
        told(more);
        let routing = Routing {
            filters,
            routes,
            fixed_routes,
            registrations,
            silo,
            options: self.routing,
        };
        (routing, faults)
    }
}
