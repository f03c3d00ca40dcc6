//! The registrar and its location service: RFC 3261 §10.3, RFC 3327 §5.3, RFC 5626 §6.
//!
//! Pure. Takes requests and the time, answers with responses and changes. Whether the peer may register this
//! address-of-record was decided before; so was whether the Request-URI names a domain of ours (§10.3 steps 1 to 5).

mod binding;
mod changed;
mod location;
mod options;
mod register;
mod saved;
mod way;
mod wish;

pub use binding::{Aor, Binding, FlowId, Lost, QValue, Reach};
pub use changed::Changed;
pub use location::Location;
pub use options::{OutboundOptions, RegistrarOptions};
pub use register::{Changes, Outcome, register};
pub use saved::{NotRestored, Saved};
pub use way::Arrival;
