//! The proxy core, RFC 3261 §16: the steps a request passes, in order.
//!
//! Pure. Message in, answer and outcome out. An operator's tables ([`Routing`]) are compiled when they are loaded, and told
//! of their faults then. What takes time is a [`Question`] for a [`Directory`].

mod core;
mod ecmascript;
mod fault;
mod filter;
mod options;
mod pattern;
mod policy;
mod query;
mod ruling;
mod static_registration;
mod static_route;
mod target;

pub use core::{
    Context, Outcome, Refused, Registration, answer_busy, answer_failed, answer_fault, on_answers,
    on_message,
};
pub use filter::{FilterAction, FilterOptions, FilterRule, FilterVerdict, Filters};
pub use options::ProxyOptions;
pub use pattern::PatternError;
pub use policy::Policy;
pub use query::{FilterCaptures, Piece, pieces};
pub use ruling::Ruling;
pub use static_registration::{RegistrationRule, StaticRegistrations};
pub use static_route::{FixedRoutes, Matched, RouteRule, StaticRoutes};
pub use target::{Forking, MAX_TARGETS, Origin, Target, TargetSet};
