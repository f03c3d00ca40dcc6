//! What a [`super::Fork`] is made with and what it wants done.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::target::{MAX_TARGETS, Target};
use crate::sip::{Message, StatusCode};

/// Names one attempt of a request; counted from 0 within its fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BranchNumber(pub u16);

/// What kind of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkKind {
    /// INVITE.
    Invite,
    /// Any other but ACK and CANCEL.
    Other,
}

/// What an operator may decide about forking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkOptions {
    /// Longest time that an INVITE may stay without an answer; zero for no limit. repro: `TimerC`.
    pub timer_c: Duration,
    /// Whether an INVITE to one group is cancelled while others wait. repro: `QValueCancelBetweenForkGroups`.
    pub cancel_between_groups: bool,
    /// Time until that. repro: `QValueMsBeforeCancel`.
    pub before_cancel: Duration,
    /// Whether a group waits until that before it has answered. repro: `QValueWaitForTerminateBetweenForkGroups`.
    pub wait_between_groups: bool,
    /// Time between groups when they do not wait. repro: `QValueMsBetweenForkGroups`.
    pub between_groups: Duration,
    /// Whether redirections are followed. repro: `RecursiveRedirect`.
    pub recursive_redirect: bool,
    /// Most branches of one request in all, those to places of redirections among them; at least one. How many there are
    /// at a time is bounded by the breadth of the request too. Each Contact of a redirection is compared with them all.
    pub max_branches: u16,
    /// Whether 410 says that a flow is gone, as 430 does: in drafts of RFC 5626 before the fifth. repro: `OutboundVersion`.
    pub gone_is_flow_failed: bool,
}

impl Default for ForkOptions {
    /// repro's, and as many branches as a target set can have.
    fn default() -> Self {
        Self {
            timer_c: Duration::from_secs(180),
            cancel_between_groups: true,
            before_cancel: Duration::from_secs(30),
            wait_between_groups: true,
            between_groups: Duration::from_secs(3),
            recursive_redirect: false,
            max_branches: u16::try_from(MAX_TARGETS).unwrap_or(u16::MAX),
            gone_is_flow_failed: false,
        }
    }
}

/// A branch that has ended without a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The response that it counts as: 408 for a timeout (RFC 3261 §16.7), 503 where the request could not be sent (RFC 3261
    /// §16.9), 430 for a flow that is gone (RFC 5626 §5.3.1). What is below 300 counts as 500.
    pub status: StatusCode,
    /// Reason phrase of an answer that tells it: a text of ours, never the peer's.
    pub phrase: Cow<'static, str>,
    /// Whether there was no way to where it should go, or that has broken: nobody has answered, and nobody will.
    pub no_way: bool,
}

impl Failure {
    /// One that needs no more words than its status has.
    pub fn of(status: StatusCode) -> Self {
        Self {
            status,
            phrase: status.phrase().into(),
            no_way: false,
        }
    }
}

/// Why a branch is cancelled. Displays as the value of a Reason header (RFC 3326 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// Another branch has answered with this 2xx.
    CompletedElsewhere(StatusCode),
    /// Another branch has answered with this 6xx.
    Refused(StatusCode),
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CompletedElsewhere(status) => {
                write!(f, "SIP;cause={status};text=\"Call completed elsewhere\"")
            }
            Self::Refused(status) => match status.phrase() {
                "Unknown" => write!(f, "SIP;cause={status}"),
                phrase => write!(f, "SIP;cause={status};text=\"{phrase}\""),
            },
        }
    }
}

/// What the relay around a fork does for it.
#[derive(Debug, Clone)]
pub enum ForkEffect {
    /// Send the request to this target.
    Send {
        /// The new branch.
        branch: BranchNumber,
        /// Where it goes.
        target: Target,
        /// Max-Breadth of the request sent (RFC 5393 §5.3.3).
        max_breadth: u16,
    },
    /// Cancel this branch, of an INVITE: send CANCEL as soon as a provisional response has come (RFC 3261 §9.1).
    Cancel {
        /// The branch.
        branch: BranchNumber,
        /// Reason of ours; without one, that of the caller's CANCEL if there was one and it has one.
        reason: Option<CancelReason>,
    },
    /// Pass the response that has just come in from this branch on, as it is but for our Via.
    Pass {
        /// The branch.
        branch: BranchNumber,
    },
    /// The final answer, if it is not one that was passed on. There is at most one.
    Answer(Box<FinalAnswer>),
    /// The flow of this branch is gone, and its target was a binding: the binding is of no use (RFC 5626 §11.5).
    Stale {
        /// The branch.
        branch: BranchNumber,
    },
}

/// The final answer to a forked request.
#[derive(Debug, Clone)]
pub enum FinalAnswer {
    /// The response of a branch, as it is but for our Via.
    Response {
        /// The branch.
        branch: BranchNumber,
        /// Its status.
        status: StatusCode,
        /// Its response, our Via in it.
        response: Box<Message<'static>>,
        /// Header lines to be added, each ended by CRLF: challenges of other branches.
        headers: Vec<u8>,
    },
    /// A response of our own.
    Own {
        /// Its status.
        status: StatusCode,
        /// Its reason phrase: a text of ours.
        phrase: Cow<'static, str>,
        /// Further header lines, each ended by CRLF: Contacts of redirections.
        headers: Vec<u8>,
    },
    /// None at all: nobody has answered a request that is no INVITE, and by the time this is known it must not be told any
    /// more (RFC 4320 §4.2).
    Nothing,
}

impl FinalAnswer {
    pub(super) fn own(status: StatusCode, phrase: Cow<'static, str>) -> Self {
        Self::Own {
            status,
            phrase,
            headers: Vec::new(),
        }
    }

    /// Its status, if there is a response.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Response { status, .. } | Self::Own { status, .. } => Some(*status),
            Self::Nothing => None,
        }
    }
}
