//! What the tests of this room's machines have in common: steps in time, and effects in short.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effect::{ClientEffect, Effect};
use super::options::TransactionOptions;
use super::timer::Timers;
use crate::sip::StatusCode;

/// When, in milliseconds; what reaches the machine; what comes out of it.
pub(super) type Step<On, Out> = (u64, On, &'static [Out]);

/// The moment that a test counts from.
pub(super) fn start() -> Instant {
    let clock = Instant::now;
    clock()
}

pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::new(code).unwrap()
}

/// Usual timers and so many transactions.
pub(super) fn options(max: usize) -> TransactionOptions {
    TransactionOptions {
        timers: Timers::default(),
        max_transactions: NonZeroUsize::new(max).unwrap(),
    }
}

/// Takes a machine that began at `start` through the steps; `take` lets it take one, and says what came out.
pub(super) fn live<On: Copy + Debug, Out: PartialEq + Debug + 'static>(
    situation: &str,
    start: Instant,
    steps: &[Step<On, Out>],
    mut take: impl FnMut(On, Instant) -> Vec<Out>,
) {
    for (ms, on, expected) in steps {
        let found = take(*on, start + Duration::from_millis(*ms));
        assert_eq!(found, *expected, "{situation}: {on:?} at {ms} ms");
    }
}

/// What comes out of a server machine; responses by their status, see [`response`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerOut {
    Send(u16),
    AckToCore,
    TryingDue,
    Timeout,
    Failed,
    Ended,
}

impl ServerOut {
    pub(super) fn of(effects: &[Effect]) -> Vec<Self> {
        let short = |effect: &Effect| match effect {
            Effect::Send(bytes) => {
                Self::Send(u16::from_be_bytes(bytes.as_ref().try_into().unwrap()))
            }
            Effect::TryingDue => Self::TryingDue,
            Effect::Timeout => Self::Timeout,
            Effect::TransportFailed => Self::Failed,
            Effect::Ended => Self::Ended,
        };
        effects.iter().map(short).collect()
    }
}

/// Octets that stand for the response with this status.
pub(super) fn response(code: u16) -> Arc<[u8]> {
    code.to_be_bytes().as_slice().into()
}

/// What comes out of a client machine; responses by their status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientOut {
    Again,
    Acknowledge,
    Passed(u16),
    Timeout,
    Failed,
    Ended,
}

impl ClientOut {
    pub(super) fn of(effects: &[ClientEffect]) -> Vec<Self> {
        effects.iter().map(Self::one).collect()
    }

    /// A request that is sent again must be that of [`again`].
    pub(super) fn one(effect: &ClientEffect) -> Self {
        match effect {
            ClientEffect::SendAgain(bytes) => {
                assert_eq!(bytes.as_ref(), REQUEST);
                Self::Again
            }
            ClientEffect::Acknowledge => Self::Acknowledge,
            ClientEffect::Response(status) => Self::Passed(status.as_u16()),
            ClientEffect::Timeout => Self::Timeout,
            ClientEffect::TransportFailed => Self::Failed,
            ClientEffect::Ended => Self::Ended,
        }
    }
}

const REQUEST: &[u8] = b"the request";

/// What a client machine is given of its request.
pub(super) fn again(reliable: bool) -> Option<Arc<[u8]>> {
    (!reliable).then(|| REQUEST.into())
}
