//! The proxy core, RFC 3261 §16: the steps a request passes, in order.
//!
//! Pure. Message in, effects out.

mod options;

pub use options::ProxyOptions;
