//! What a transaction wants done.

use std::sync::Arc;

use crate::sip::StatusCode;

/// Names one transaction for as long as the process runs; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub(super) u64);

/// What the shell around a machine does for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this response the way the request came (RFC 3261 §18.2.2).
    Send(Arc<[u8]>),
    /// The core has been silent for so long that it should respond with 100 now (RFC 3261 §17.2.1, RFC 4320 §4.1).
    TryingDue,
    /// The core is told that no ACK came (Timer H), or that its answer comes too late to be sent at all
    /// (RFC 4320 §4.2).
    Timeout,
    /// The core is told that a response could not be sent (RFC 3261 §17.2.4).
    TransportFailed,
    /// The transaction is over and forgotten. Always its last effect.
    Ended,
}

/// An effect, whose it is, and the way its request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output<P> {
    /// The transaction; after [`Effect::Ended`] nobody knows it any more.
    pub id: TransactionId,
    /// What was given to [`super::Layer::begin`].
    pub path: P,
    /// What to do.
    pub effect: Effect,
}

/// What the shell around a client transaction does for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEffect {
    /// Send this request once more: Timers A and E, over unreliable transports only.
    SendAgain(Arc<[u8]>),
    /// Send an ACK for the refusal that has just come in, the way the INVITE went: made from that INVITE, with the To of
    /// the response (RFC 3261 §17.1.1.3). Due for the first one, before its [`ClientEffect::Response`], and for each
    /// repetition; the INVITE is to be kept until [`ClientEffect::Ended`]. Never for a 2xx: that ACK is the caller's.
    Acknowledge,
    /// Pass the response that has just come in to the core. A final one is the outcome; after a 2xx to an INVITE more
    /// of them may follow, the same again or of another callee (RFC 6026 §7.2).
    Response(StatusCode),
    /// The core is told that no final response came in time: Timer F, Timer B, or 64*T1 after a CANCEL (RFC 3261 §9.1).
    /// A response that comes later is dropped. A proxy sends 408 upstream for an INVITE (RFC 3261 §16.7), and none for
    /// other methods (RFC 4320 §4.2).
    Timeout,
    /// The core is told that no response can come any more (RFC 3261 §17.1.4).
    TransportFailed,
    /// The transaction is over and forgotten. Always its last effect.
    Ended,
}
