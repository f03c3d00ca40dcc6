//! The proxy core, RFC 3261 §16: the steps a request passes, in order.
//!
//! Pure. Message in, answer and outcome out. An operator's tables ([`Routing`]) are compiled when they are loaded, and told
//! of their faults then. What takes time is a [`Question`] for a [`Directory`].

mod audit;
mod best_response;
pub mod branch;
mod breadth;
mod core;
pub mod dialog;
mod directory;
mod draft;
#[cfg(test)]
mod draft_properties;
#[cfg(test)]
mod draft_tests;
mod ecmascript;
mod edge;
#[cfg(test)]
mod edge_tests;
mod fault;
mod filter;
#[cfg(test)]
mod filter_tests;
mod fork;
mod fork_effect;
#[cfg(test)]
mod fork_properties;
#[cfg(test)]
mod fork_tests;
mod identity_lost;
mod lead;
mod leave_out;
mod load;
mod loop_check;
mod onward;
mod options;
mod ours;
#[cfg(test)]
mod ours_tests;
mod pattern;
mod policy;
mod query;
mod redirect;
pub mod relay;
mod replay;
mod routes;
mod routing;
mod ruling;
mod silo;
mod static_registration;
mod static_route;
mod target;
#[cfg(test)]
pub(crate) mod test_support;
mod upstream;
#[cfg(test)]
mod upstream_tests;
mod way;

pub use audit::{Audit, Audited, MessageId, undecided};
pub use breadth::{MAX_BREADTH, max_breadth};
pub use core::{
    Context, Outcome, Refused, Registration, Relaying, answer_busy, answer_failed, answer_fault,
    identity_path, on_answers, on_message,
};
pub use directory::{Answer, Answers, Directory, Kept, NoDirectory, Pending, Question};
pub use draft::{Draft, Onward, OwnVia, Undraftable};
pub use fault::{Defect, RuleFault, RuleKind};
pub use filter::{FilterAction, FilterOptions, FilterRule, FilterVerdict, Filters};
pub use fork::Fork;
pub use fork_effect::{
    BranchNumber, CancelReason, Failure, FinalAnswer, ForkEffect, ForkKind, ForkOptions,
};
pub use identity_lost::on_message_without_identity;
pub use lead::Follow;
pub use leave_out::{Changes, LeaveOut};
pub use load::Load;
pub use loop_check::{loop_key, loops};
pub use options::{ProxyOptions, TableOptions};
pub use ours::{End, Routed};
pub use pattern::{PatternError, Undecided, pattern_groups};
pub use policy::Policy;
pub use query::{FilterCaptures, Piece, pieces};
pub use replay::Replay;
pub use routes::Routes;
pub use routing::{Routing, RoutingOptions};
pub use ruling::Ruling;
pub use silo::{KeptMessage, Silo, SiloOptions};
pub use static_registration::{RegistrationRule, StaticRegistrations};
pub use static_route::{FixedRoutes, Matched, RouteRule, StaticRoutes};
pub use target::{Forking, MAX_TARGETS, Origin, Target, TargetCount, TargetSet};
pub use upstream::write_response;
