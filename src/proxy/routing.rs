//! An operator's routing tables, compiled, as one value.

use super::filter::Filters;
use super::silo::Silo;
use super::static_registration::StaticRegistrations;
use super::static_route::{FixedRoutes, StaticRoutes};
use super::target::Forking;

/// The tables in force; replaced whole.
#[derive(Debug, Default)]
pub struct Routing {
    /// What may pass. Empty under repro's `DisableRequestFilterProcessor`.
    pub filters: Filters,
    /// Patterns for Request-URIs, and where they lead.
    pub routes: StaticRoutes,
    /// repro: `Routes`. With any, `routes` are not asked.
    pub fixed_routes: FixedRoutes,
    /// Contacts that never expire.
    pub registrations: StaticRegistrations,
    /// Messages for users who are away.
    pub silo: Silo,
    /// How they are used.
    pub options: RoutingOptions,
}

/// How the tables are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingOptions {
    /// Whether all static routes that match are tried at once. repro: `ParallelForkStaticRoutes`.
    pub parallel_routes: bool,
    /// Whether contacts are looked for even if a static route matched. repro: `ContinueProcessingAfterRoutesFound`.
    pub continue_after_routes: bool,
    /// How the contacts of an address-of-record are tried. repro: `QValue`, `QValueBehavior`.
    pub forking: Forking,
    /// Whether third parties need a password besides their certificate before a static route may lead them out of our
    /// domains, provided that passwords are wanted at all. repro: `ChallengeThirdPartiesCallingLocalDomains`.
    pub challenge_third_parties: bool,
}

impl Default for RoutingOptions {
    fn default() -> Self {
        Self {
            parallel_routes: false,
            continue_after_routes: false,
            forking: Forking::EqualPreference,
            challenge_third_parties: true,
        }
    }
}
