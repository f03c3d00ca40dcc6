//! What an attempt counts as that nobody has answered; the phrases are repro's where it has one.

use crate::proxy::fork_effect::Failure;
use crate::sip::StatusCode;

impl Failure {
    /// No answer has come in time.
    pub fn timeout() -> Self {
        Self::of(StatusCode::REQUEST_TIMEOUT)
    }

    /// The flow of a registration is gone (RFC 5626 §5.3.1).
    pub fn flow_failed() -> Self {
        Self::no_way(StatusCode::FLOW_FAILED, "Flow failed")
    }

    /// The connection broke, or none could be opened (RFC 3261 §16.9).
    pub fn transport() -> Self {
        Self::no_way(
            StatusCode::SERVICE_UNAVAILABLE,
            "Transport failure: no transports left to try",
        )
    }

    /// We speak no transport that would lead there.
    pub fn no_transport() -> Self {
        Self::no_way(
            StatusCode::SERVICE_UNAVAILABLE,
            "No matching transport found",
        )
    }

    /// It has been answered, and nobody can say to whom the answer goes.
    pub fn unpassable() -> Self {
        Self::of(StatusCode::BAD_GATEWAY)
    }

    /// The way leads over a connection that the request may not take: a SIPS URI is for TLS alone (RFC 5630 §5.3).
    pub fn not_secure() -> Self {
        Self::of(StatusCode::TEMPORARILY_UNAVAILABLE)
    }

    /// There is too much under way here.
    pub fn overloaded() -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// It cannot be written for that target.
    pub fn unsendable() -> Self {
        Self::of(StatusCode::SERVER_INTERNAL_ERROR)
    }

    fn no_way(status: StatusCode, phrase: &'static str) -> Self {
        Self {
            status,
            phrase: phrase.into(),
            no_way: true,
        }
    }
}
