//! The proxy core, RFC 3261 §16: the steps a request passes, in order.
//!
//! Pure. Message in, answer and outcome out.

mod core;
mod options;
mod policy;

pub use core::{
    Context, Outcome, Refused, Registration, answer_busy, answer_failed, answer_fault, on_answers,
    on_message,
};
pub use options::ProxyOptions;
pub use policy::Policy;
