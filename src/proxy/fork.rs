//! The response context of a request that is sent on: RFC 3261 §16.6 steps 1 and 10, §16.7, §16.8, §16.10.
//!
//! A [`Fork`] says which target is tried when, what goes back, and what is cancelled. It takes what the client
//! transactions of its branches pass on, and the time; sending is done by whoever carries out its [`ForkEffect`]s.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::best_response::{BestResponse, Outcome, names_places};
use super::fork_effect::{
    BranchNumber, CancelReason, Failure, FinalAnswer, ForkEffect, ForkKind, ForkOptions,
};
use super::redirect::{Redirection, follow};
use super::target::{Forking, Origin, Target, TargetSet};
use crate::sip::{Message, SipUri, StatusCode};

/// How long a server repeats its 2xx, and so how long more of them may come (RFC 3261 §13.3.1.4); also how long a cancelled
/// server has to answer (RFC 3261 §9.1): 64 × T1 of the far end, which we do not know and take to be as the RFC has it.
const PATIENCE: Duration = Duration::from_secs(32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No final response yet.
    Pending,
    /// A 2xx to INVITE has come; others may (RFC 6026 §7.2).
    Accepted,
    Ended,
}

#[derive(Debug)]
struct Branch {
    state: State,
    origin: Origin,
    /// Whether the target has a SIPS URI.
    secure: bool,
    /// Its part of the breadth of the request.
    breadth: u16,
    /// Whether a provisional response has come, so that a CANCEL can be sent.
    heard: bool,
    cancelled: bool,
    /// Pending: Timer C, or once the CANCEL could be sent, the end of patience. Accepted: the last 2xx may come until then.
    until: Option<Instant>,
    /// When it is cancelled for the sake of targets that wait.
    give_up: Option<Instant>,
    /// Other flows of its device.
    others: Vec<Target>,
}

/// How things stand with the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Waits,
    /// Has sent CANCEL, and has no answer yet.
    Cancelled,
    /// Has the final answer, or will never have one.
    Served,
    /// Is not there any more.
    Gone,
}

/// One request on its way to its targets.
#[derive(Debug)]
pub struct Fork {
    kind: ForkKind,
    options: ForkOptions,
    breadth: u16,
    caller: Caller,
    /// Whether new branches may be made: from the start until CANCEL, a 2xx, a 6xx.
    is_open: bool,
    /// Groups whose time has not come.
    waiting: VecDeque<Vec<Target>>,
    /// When the next of them is due whatever the others do.
    next_group: Option<Instant>,
    /// Targets whose time has come, and for which there is no breadth yet.
    ready: VecDeque<Target>,
    branches: Vec<Branch>,
    /// Targets of the branches, to know them again in a redirection; none when those are not followed.
    tried: Vec<Target>,
    best: BestResponse,
    /// Whether it is not for us to find another flow, but for the proxy that the request came from (RFC 5626 §7).
    is_between: bool,
    /// Whether something has come of a branch other than that there is no way.
    has_reached: bool,
}

impl Fork {
    /// For a request of this kind. `breadth` is its Max-Breadth, as [`super::max_breadth`] reads it.
    pub fn new(kind: ForkKind, targets: TargetSet, breadth: u16, options: ForkOptions) -> Self {
        Self {
            kind,
            options,
            breadth: breadth.max(1),
            caller: Caller::Waits,
            is_open: false,
            waiting: targets.into_groups().into(),
            next_group: None,
            ready: VecDeque::new(),
            branches: Vec::new(),
            tried: Vec::new(),
            best: BestResponse::default(),
            is_between: false,
            has_reached: false,
        }
    }

    /// Tries the first group. Without a target the answer is 480.
    pub fn start(&mut self, now: Instant, out: &mut Vec<ForkEffect>) {
        if self.caller != Caller::Waits || !self.branches.is_empty() {
            return;
        }
        self.is_open = true;
        if self.waiting.is_empty() {
            let status = StatusCode::TEMPORARILY_UNAVAILABLE;
            let outcome = Outcome::Failure(status.phrase().into());
            self.best.offer(status, outcome);
        }
        self.advance(now, out);
    }

    /// A response that the client transaction of this branch passes on, 100 among them. `leads` says which places a Contact
    /// of a redirection stands for; none if it is for the caller to follow it.
    pub fn on_response(
        &mut self,
        branch: BranchNumber,
        response: &Message<'_>,
        status: StatusCode,
        leads: &dyn Fn(&SipUri<'_>) -> Vec<Target>,
        now: Instant,
        out: &mut Vec<ForkEffect>,
    ) {
        if self.has_ended() {
            return;
        }
        // Not by 100, which a proxy says before it knows, nor by an edge proxy that has lost the device (RFC 5626 §5.3.1).
        self.has_reached |= !matches!(status, StatusCode::TRYING | StatusCode::FLOW_FAILED);
        match status.as_u16() {
            ..200 => self.on_provisional(branch, status, now, out),
            200..300 => self.on_success(branch, status, now, out),
            _ => self.on_refusal(
                branch,
                status,
                Outcome::Response(branch, response),
                leads,
                now,
                out,
            ),
        }
    }

    /// No response has come on this branch, and none will.
    pub fn on_failed(
        &mut self,
        branch: BranchNumber,
        failure: Failure,
        now: Instant,
        out: &mut Vec<ForkEffect>,
    ) {
        let Some(state) = self.branch(branch) else {
            return;
        };
        if state.state == State::Accepted {
            state.state = State::Ended;
            return;
        }
        let no_way = failure.no_way;
        let Failure { status, phrase, .. } = match failure {
            // Cancelled and silent is cancelled (RFC 3261 §9.1); where no CANCEL could be sent it is a timeout.
            Failure {
                status: StatusCode::REQUEST_TIMEOUT,
                ..
            } if state.cancelled && state.heard => Failure::of(StatusCode::REQUEST_TERMINATED),
            Failure { status, .. } if status.as_u16() < 300 => {
                Failure::of(StatusCode::SERVER_INTERNAL_ERROR)
            }
            failure => failure,
        };
        self.has_reached |= !no_way;
        let outcome = Outcome::Failure(phrase);
        self.on_refusal(branch, status, outcome, &|_| Vec::new(), now, out);
    }

    /// Whether there was no way to any of the targets, so that nobody has said anything.
    pub fn reached_nobody(&self) -> bool {
        !self.has_reached && !self.branches.is_empty()
    }

    /// Whether a provisional response has come on this branch, from where it goes now.
    pub fn has_heard(&self, branch: BranchNumber) -> bool {
        let branch = self.branches.get(usize::from(branch.0));
        branch.is_some_and(|branch| branch.heard)
    }

    /// Where this branch goes has failed it, and there is another place for the same target (RFC 3263 §4.3). True when it
    /// goes there: then nothing has been heard from it, and Timer C runs on. False when nobody waits for what comes of it.
    pub fn moves_on(&mut self, branch: BranchNumber) -> bool {
        let waits = self.caller == Caller::Waits;
        let Some(branch) = self.branch(branch) else {
            return false;
        };
        let goes = waits && branch.state == State::Pending && !branch.cancelled;
        if goes {
            branch.heard = false;
        }
        goes
    }

    /// The caller has cancelled its INVITE (RFC 3261 §16.10). Unless a 2xx crosses it, or a 6xx has been given, the answer
    /// becomes 487. No other request can be cancelled.
    pub fn on_cancel(&mut self, now: Instant, out: &mut Vec<ForkEffect>) {
        if self.kind == ForkKind::Other || self.caller != Caller::Waits {
            return;
        }
        self.caller = Caller::Cancelled;
        self.close();
        self.best.keep_terminated();
        self.cancel_all(None, now, out);
        self.advance(now, out);
    }

    /// There is nobody any more who could be answered: everything is cancelled, and nothing told.
    pub fn abandon(&mut self, now: Instant, out: &mut Vec<ForkEffect>) {
        self.caller = Caller::Gone;
        self.close();
        self.best = BestResponse::default();
        self.cancel_all(None, now, out);
        for branch in &mut self.branches {
            if branch.state == State::Accepted {
                branch.state = State::Ended;
            }
        }
    }

    /// Does what is due by now, if anything is.
    pub fn on_deadline(&mut self, now: Instant, out: &mut Vec<ForkEffect>) {
        // What one thing leads to may be due at once, where a setting is 0. Each step takes a deadline or a target away.
        while self.next_deadline().is_some_and(|at| at <= now) {
            self.do_due(now, out);
        }
    }

    fn do_due(&mut self, now: Instant, out: &mut Vec<ForkEffect>) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        for number in self.numbers() {
            let others_wait = !self.ready.is_empty() || !self.waiting.is_empty();
            let Some(branch) = self.branch(number) else {
                continue;
            };
            match branch.state {
                State::Pending if is_due(branch.until) => self.on_silence(number, now, out),
                State::Pending if is_due(branch.give_up) => {
                    branch.give_up = None;
                    if others_wait {
                        self.cancel(number, None, now, out);
                    }
                }
                State::Accepted if is_due(branch.until) => branch.state = State::Ended,
                _ => {}
            }
        }
        if is_due(self.next_group) {
            self.begin_group(now);
        }
        self.advance(now, out);
    }

    /// When [`Fork::on_deadline`] next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let others_wait = !self.ready.is_empty() || !self.waiting.is_empty();
        self.branches
            .iter()
            .flat_map(|branch| match branch.state {
                State::Pending => [branch.until, branch.give_up.filter(|_| others_wait)],
                State::Accepted => [branch.until, None],
                State::Ended => [None, None],
            })
            .chain([self.next_group])
            .flatten()
            .min()
    }

    /// Whether no more targets are tried and no answer of our own is given: the caller has its answer, or is gone.
    pub fn is_settled(&self) -> bool {
        matches!(self.caller, Caller::Served | Caller::Gone)
    }

    /// Whether nothing can come out any more: the caller is served, and all branches have ended. After a 2xx to INVITE that
    /// is some time later, as it may come again.
    pub fn has_ended(&self) -> bool {
        self.is_settled() && self.branches.iter().all(|b| b.state == State::Ended)
    }

    fn on_provisional(
        &mut self,
        number: BranchNumber,
        status: StatusCode,
        now: Instant,
        out: &mut Vec<ForkEffect>,
    ) {
        let is_invite = self.kind == ForkKind::Invite;
        let timer_c = self.timer_c(now);
        let Some(branch) = self.branch(number) else {
            return;
        };
        if branch.state != State::Pending {
            return;
        }
        let is_first = !branch.heard;
        branch.heard = true;
        if branch.cancelled {
            if is_first {
                branch.until = now.checked_add(PATIENCE);
            }
        } else if status > StatusCode::TRYING {
            // Deviation: with repro 100 starts Timer C again too; by RFC 3261 §16.7 step 2 it does not.
            branch.until = timer_c;
        }
        // To another request nothing but 100 is sent before the answer (RFC 4320 §4.1).
        let caller_listens = matches!(self.caller, Caller::Waits | Caller::Cancelled);
        if is_invite && status > StatusCode::TRYING && caller_listens {
            out.push(ForkEffect::Pass { branch: number });
        }
    }

    fn on_success(
        &mut self,
        number: BranchNumber,
        status: StatusCode,
        now: Instant,
        out: &mut Vec<ForkEffect>,
    ) {
        let (kind, caller) = (self.kind, self.caller);
        let Some(branch) = self.branch(number) else {
            return;
        };
        let was_pending = branch.state == State::Pending;
        let is_passed = match kind {
            ForkKind::Invite => caller != Caller::Gone,
            ForkKind::Other => was_pending && caller == Caller::Waits,
        };
        if was_pending {
            branch.state = State::Ended;
            if is_passed && kind == ForkKind::Invite {
                branch.state = State::Accepted;
                branch.until = now.checked_add(PATIENCE);
            }
        }
        if is_passed {
            out.push(ForkEffect::Pass { branch: number });
            self.caller = Caller::Served;
            self.close();
            self.best = BestResponse::default();
            self.cancel_all(Some(CancelReason::CompletedElsewhere(status)), now, out);
        }
    }

    /// A branch has come to an end that is no success.
    fn on_refusal(
        &mut self,
        number: BranchNumber,
        status: StatusCode,
        outcome: Outcome<'_, '_>,
        leads: &dyn Fn(&SipUri<'_>) -> Vec<Target>,
        now: Instant,
        out: &mut Vec<ForkEffect>,
    ) {
        let Some(branch) = self.branch(number) else {
            return;
        };
        if branch.state != State::Pending {
            return;
        }
        let origin = branch.origin;
        branch.state = State::Ended;
        let secure = branch.secure;
        let others = std::mem::take(&mut branch.others);
        let is_flow_failure = status == StatusCode::FLOW_FAILED
            || (self.options.gone_is_flow_failed && status == StatusCode::GONE);
        if is_flow_failure && origin == Origin::Binding {
            out.push(ForkEffect::Stale { branch: number });
        }
        self.is_between |= match origin {
            Origin::FlowToken => true,
            Origin::Request => matches!(outcome, Outcome::Response(..)),
            _ => false,
        };
        // Whoever has answered was reached (RFC 5626 §7); a silent or broken way may just be that of one flow.
        let has_not_been_reached = match outcome {
            Outcome::Failure(_) => matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE
            ),
            _ => false,
        };
        if self.is_open
            && self.branches.len() < self.max_branches()
            && (is_flow_failure || has_not_been_reached)
            && let Some(next) = Target::first_of(others)
        {
            self.ready.push_front(next);
            self.advance(now, out);
            return;
        }
        let is_global = status.as_u16() >= 600;
        match (self.caller, outcome) {
            (Caller::Served | Caller::Gone, _) => {}
            (Caller::Cancelled, _) if !is_global && status != StatusCode::REQUEST_TERMINATED => {}
            (_, Outcome::Response(_, response)) if self.follows(status) => {
                self.redirect(number, response, status, secure, leads);
            }
            (_, outcome) => self.best.offer(status, outcome),
        }
        if is_global && self.is_open {
            self.close();
            self.cancel_all(Some(CancelReason::Refused(status)), now, out);
        }
        self.advance(now, out);
    }

    fn follows(&self, status: StatusCode) -> bool {
        // Deviation: repro follows the Contacts of every 3xx.
        self.is_open && self.options.recursive_redirect && names_places(status)
    }

    /// The most preferred places that a redirection names take the place of the branch that it ends; the others come next.
    fn redirect(
        &mut self,
        number: BranchNumber,
        response: &Message<'_>,
        status: StatusCode,
        secure: bool,
        leads: &dyn Fn(&SipUri<'_>) -> Vec<Target>,
    ) {
        let all = || self.tried.iter().chain(self.untried());
        let room = self.max_branches();
        let room = room.saturating_sub(self.branches.len() + self.untried().count());
        let Redirection {
            followed,
            known,
            rest,
        } = follow(response, secure, room, leads, |target| {
            all().any(|other| other.is_same(target))
        });
        if followed.is_empty() && known == 0 {
            self.best.offer(status, Outcome::Response(number, response));
        } else if !rest.is_empty() {
            self.best.offer(status, Outcome::Rest(rest));
        } else if followed.is_empty() {
            // Round in circles: whoever asked us would come to the same places.
            let status = StatusCode::SERVER_INTERNAL_ERROR;
            let outcome = Outcome::Failure(status.phrase().into());
            self.best.offer(status, outcome);
        }
        let mut set = TargetSet::default();
        set.add_by_preference(followed, Forking::EqualPreference);
        let mut groups = set.into_groups().into_iter();
        self.ready.extend(groups.next().into_iter().flatten());
        for group in groups.rev() {
            self.waiting.push_front(group);
        }
    }

    /// Timer C has fired (RFC 3261 §16.8), or a cancelled branch has not answered.
    fn on_silence(&mut self, number: BranchNumber, now: Instant, out: &mut Vec<ForkEffect>) {
        let Some(branch) = self.branch(number) else {
            return;
        };
        let (heard, cancelled) = (branch.heard, branch.cancelled);
        if !cancelled {
            // For the case that it is heard of later.
            self.cancel(number, None, now, out);
        }
        if cancelled || !heard {
            self.on_failed(number, Failure::of(StatusCode::REQUEST_TIMEOUT), now, out);
        }
    }

    /// Goes on where something can go on: new branches, or the answer.
    fn advance(&mut self, now: Instant, out: &mut Vec<ForkEffect>) {
        if self.is_open {
            if self.ready.is_empty() && !self.is_pending() {
                self.begin_group(now);
            }
            self.send(now, out);
        }
        let is_done = !self.is_pending() && self.untried().next().is_none();
        if !is_done {
            return;
        }
        let answer = self.best.take(self.kind, self.is_between);
        let answer = match (self.caller, self.kind) {
            (Caller::Served | Caller::Gone, _) => return,
            (Caller::Cancelled, _) => answer.unwrap_or_else(|| {
                let status = StatusCode::REQUEST_TERMINATED;
                FinalAnswer::own(status, status.phrase().into())
            }),
            (Caller::Waits, ForkKind::Invite) => answer.unwrap_or_else(|| {
                let status = StatusCode::REQUEST_TIMEOUT;
                FinalAnswer::own(status, status.phrase().into())
            }),
            (Caller::Waits, ForkKind::Other) => answer.unwrap_or(FinalAnswer::Nothing),
        };
        self.caller = Caller::Served;
        self.close();
        out.push(ForkEffect::Answer(Box::new(answer)));
    }

    /// The time of the next group has come.
    fn begin_group(&mut self, now: Instant) {
        self.ready
            .extend(self.waiting.pop_front().into_iter().flatten());
        self.next_group = None;
        if !self.options.wait_between_groups && !self.waiting.is_empty() {
            self.next_group = now.checked_add(self.options.between_groups);
        }
    }

    /// Sends to targets whose time has come, as far as the breadth of the request goes. It is divided evenly among them,
    /// and groups that do not wait for others have their part kept (RFC 5393 §5.3.3).
    fn send(&mut self, now: Instant, out: &mut Vec<ForkEffect>) {
        let until = self.timer_c(now);
        let gives_up = self.kind == ForkKind::Invite && self.options.cancel_between_groups;
        let give_up = now.checked_add(self.options.before_cancel);
        let give_up = give_up.filter(|_| gives_up);
        while let Some(free) = self.free_breadth() {
            let number = match u16::try_from(self.branches.len()) {
                Ok(number) if self.branches.len() < self.max_branches() => BranchNumber(number),
                _ => {
                    self.ready.clear();
                    self.waiting.clear();
                    self.next_group = None;
                    return;
                }
            };
            let sharers = match self.options.wait_between_groups {
                true => self.ready.len(),
                false => self.untried().count(),
            };
            let Some(mut target) = self.ready.pop_front() else {
                return;
            };
            let others = std::mem::take(&mut target.others);
            let breadth = free.div_ceil(u16::try_from(sharers).unwrap_or(u16::MAX).max(1));
            self.branches.push(Branch {
                state: State::Pending,
                origin: target.origin,
                secure: target.is_secure(),
                breadth,
                heard: false,
                cancelled: false,
                until,
                give_up,
                others,
            });
            if self.options.recursive_redirect {
                self.tried.push(target.clone());
            }
            out.push(ForkEffect::Send {
                branch: number,
                target,
                max_breadth: breadth,
            });
        }
    }

    /// Breadth that no branch has which has not been answered (RFC 5393 §5.3.3.1).
    fn free_breadth(&self) -> Option<u16> {
        let pending = self.branches.iter().filter(|b| b.state == State::Pending);
        let used = pending.fold(0_u16, |sum, branch| sum.saturating_add(branch.breadth));
        self.breadth.checked_sub(used).filter(|free| *free > 0)
    }

    fn cancel_all(
        &mut self,
        reason: Option<CancelReason>,
        now: Instant,
        out: &mut Vec<ForkEffect>,
    ) {
        for number in self.numbers() {
            self.cancel(number, reason, now, out);
        }
    }

    fn cancel(
        &mut self,
        number: BranchNumber,
        reason: Option<CancelReason>,
        now: Instant,
        out: &mut Vec<ForkEffect>,
    ) {
        let is_invite = self.kind == ForkKind::Invite;
        let Some(branch) = self.branch(number) else {
            return;
        };
        if !is_invite || branch.state != State::Pending || branch.cancelled {
            return;
        }
        branch.cancelled = true;
        branch.give_up = None;
        if branch.heard {
            branch.until = now.checked_add(PATIENCE);
        }
        out.push(ForkEffect::Cancel {
            branch: number,
            reason,
        });
    }

    /// No new branches from here on.
    fn close(&mut self) {
        self.is_open = false;
        self.waiting = VecDeque::new();
        self.ready = VecDeque::new();
        self.tried = Vec::new();
        self.next_group = None;
    }

    fn untried(&self) -> impl Iterator<Item = &Target> {
        self.ready.iter().chain(self.waiting.iter().flatten())
    }

    fn is_pending(&self) -> bool {
        self.branches.iter().any(|b| b.state == State::Pending)
    }

    fn max_branches(&self) -> usize {
        usize::from(self.options.max_branches.max(1))
    }

    fn timer_c(&self, now: Instant) -> Option<Instant> {
        let runs = self.kind == ForkKind::Invite && !self.options.timer_c.is_zero();
        now.checked_add(self.options.timer_c).filter(|_| runs)
    }

    fn numbers(&self) -> impl Iterator<Item = BranchNumber> + use<> {
        (0..u16::try_from(self.branches.len()).unwrap_or(u16::MAX)).map(BranchNumber)
    }

    fn branch(&mut self, number: BranchNumber) -> Option<&mut Branch> {
        self.branches.get_mut(usize::from(number.0))
    }
}
