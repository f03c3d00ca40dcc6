//! The proxy core, RFC 3261 §16: the steps a request passes, in order.
//!
//! Pure. Message in, answer and outcome out. An operator's tables ([`Routing`]) are compiled when they are loaded, and told
//! of their faults then. What takes time is a [`Question`] for a [`Directory`].

mod core;
mod directory;
mod ecmascript;
mod fault;
mod filter;
#[cfg(test)]
mod filter_tests;
mod options;
mod ours;
#[cfg(test)]
mod ours_tests;
mod pattern;
mod policy;
mod query;
mod replay;
mod routing;
mod ruling;
mod silo;
mod static_registration;
mod static_route;
mod target;
#[cfg(test)]
mod test_support;

pub use core::{
    Context, Outcome, Refused, Registration, answer_busy, answer_failed, answer_fault, on_answers,
    on_message,
};
pub use directory::{Answer, Answers, Directory, Kept, NoDirectory, Pending, Question};
pub use fault::{Defect, RuleFault, RuleKind};
pub use filter::{FilterAction, FilterOptions, FilterRule, FilterVerdict, Filters};
pub use options::{ProxyOptions, TableOptions};
pub use ours::{End, Found, Routed};
pub use pattern::{PatternError, Undecided, pattern_groups};
pub use policy::Policy;
pub use query::{FilterCaptures, Piece, pieces};
pub use replay::Replay;
pub use routing::{Routing, RoutingOptions};
pub use ruling::Ruling;
pub use silo::{KeptMessage, Silo, SiloOptions};
pub use static_registration::{RegistrationRule, StaticRegistrations};
pub use static_route::{FixedRoutes, Matched, RouteRule, StaticRoutes};
pub use target::{Forking, MAX_TARGETS, Origin, Target, TargetSet};
