//! What an operator may decide about transactions.

use std::num::NonZeroUsize;

use super::timer::Timers;

/// Settings of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionOptions {
    /// Base values of all timers.
    pub timers: Timers,
    /// Most transactions at a time of one [`super::Layer`]; a request beyond them is answered 503.
    /// The same of one [`super::ClientLayer`]; a request beyond them is not sent.
    pub max_transactions: NonZeroUsize,
}

impl Default for TransactionOptions {
    fn default() -> Self {
        Self {
            timers: Timers::default(),
            max_transactions: NonZeroUsize::new(100_000).unwrap_or(NonZeroUsize::MIN),
        }
    }
}
