//! One relayed request: who waits for its answer, and the attempts to get one.

use std::sync::Arc;

use smallvec::SmallVec;

use super::departure::{Attempt, Departure, Place, SentVia, Ticket};
use super::record::Recording;
use super::table::Effect;
use crate::proxy::draft::Draft;
use crate::proxy::fork::Fork;
use crate::proxy::fork_effect::{BranchNumber, CancelReason};
use crate::proxy::lead::Follow;
use crate::proxy::leave_out::Changes;
use crate::proxy::policy::Policy;
use crate::registrar::{Aor, FlowId, Reach};
use crate::sip::Message;
use crate::transaction::TransactionId;

/// A request that has been taken on.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) server: TransactionId,
    pub(super) upstream: FlowId,
    /// Places that it takes, and each attempt.
    pub(super) places: usize,
    pub(super) source: std::net::SocketAddr,
    pub(super) to_tag: Box<str>,
    /// It as it came, as long as something may be made of it: a request for another target, or an answer. A call that
    /// stands waits half a minute for more answers, and there are many such.
    pub(super) request: Option<Box<Message<'static>>>,
    pub(super) loop_key: u64,
    pub(super) fork: Fork,
    pub(super) attempts: SmallVec<[Branch; 1]>,
    pub(super) recording: Option<Arc<Recording>>,
    pub(super) follow: Follow,
    pub(super) changes: Changes,
    pub(super) policy: Arc<Policy>,
    /// When it arrived, if it went to devices of a user of ours and nowhere else: with none of them reached he is away.
    pub(super) for_devices: Option<u64>,
    /// He is, and it is not answered before the message is kept.
    pub(super) is_being_kept: bool,
    /// Header lines of the caller's CANCEL that go on with ours: its Reason (RFC 3326 §2).
    pub(super) reason: Box<[u8]>,
    /// Where it stands among the alarms.
    pub(super) alarm: Option<std::time::Instant>,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) number: BranchNumber,
    /// Which of the places of its target.
    pub(super) turn: u8,
    pub(super) draft: Arc<Draft>,
    pub(super) name: Arc<str>,
    pub(super) state: State,
    pub(super) cancel: Cancel,
    /// Whose binding it is for, and how that is reached.
    pub(super) registered: Option<(Aor, Reach)>,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(super) enum State {
    /// Its way is looked for, and if nothing is heard of that until then, it counts as unanswered.
    Leaving {
        until: std::time::Instant,
        ticket: Ticket,
    },
    /// It has been sent.
    Sent {
        flow: FlowId,
        via: SentVia,
        client: TransactionId,
        /// The place, if it was found by a URI.
        place: Option<Place>,
        /// The same on its way to the other places that the URI leads to.
        rest: Option<Box<Departure>>,
    },
    /// Nothing more comes of it.
    Ended,
}

/// Whether it is to be cancelled, or has been (RFC 3261 §9.1).
#[derive(Debug)]
pub(super) enum Cancel {
    No,
    /// Once a provisional response has come.
    Wanted(Option<CancelReason>),
    Sent,
}

impl State {
    /// What the attempt is called off by, while its way is looked for.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Leaving { ticket, .. } => Some(ticket.clone()),
            Self::Sent { .. } | Self::Ended => None,
        }
    }
}

impl Call {
    pub(super) fn attempt(&mut self, attempt: Attempt) -> Option<&mut Branch> {
        self.attempts
            .iter_mut()
            .find(|branch| branch.number == attempt.branch && branch.turn == attempt.turn)
    }

    /// The latest attempt of a branch: those before it have failed.
    pub(super) fn latest(&mut self, number: BranchNumber) -> Option<&mut Branch> {
        let mut latest_first = self.attempts.iter_mut().rev();
        latest_first.find(|branch| branch.number == number)
    }

    /// Whether nothing more can come of it.
    pub(super) fn has_ended(&self) -> bool {
        !self.is_being_kept
            && self.fork.has_ended()
            && self
                .attempts
                .iter()
                .all(|branch| matches!(branch.state, State::Ended))
    }

    /// The binding of an attempt that is of no use any more.
    pub(super) fn stale(&mut self, number: BranchNumber) -> Option<Effect> {
        let (aor, reach) = self.latest(number)?.registered.clone()?;
        Some(Effect::Stale { aor, reach })
    }
}
