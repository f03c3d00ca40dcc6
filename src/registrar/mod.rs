//! The registrar and its location service: RFC 3261 §10.3.
//!
//! Pure. Takes requests and the time, answers with responses and changes.

mod options;

pub use options::RegistrarOptions;
