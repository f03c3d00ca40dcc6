//! The proxy core, RFC 3261 §16: the steps a request passes, in order.
//!
//! Pure. Message in, answer and outcome out.

mod core;
mod ecmascript;
mod fault;
mod filter;
mod options;
mod pattern;
mod policy;
mod query;
mod ruling;

pub use core::{
    Context, Outcome, Refused, Registration, answer_busy, answer_failed, answer_fault, on_answers,
    on_message,
};
pub use fault::{Defect, RuleFault, RuleKind};
pub use filter::{FilterAction, FilterOptions, FilterRule, FilterVerdict, Filters};
pub use options::ProxyOptions;
pub use pattern::PatternError;
pub use policy::Policy;
pub use query::{FilterCaptures, Piece, pieces};
pub use ruling::Ruling;
