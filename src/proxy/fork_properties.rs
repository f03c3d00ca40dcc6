//! What holds for a fork whatever comes: RFC 3261 §16.7, RFC 5393 §5.3.3.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::Fork;
use super::fork_effect::{BranchNumber, Failure, FinalAnswer, ForkEffect, ForkKind, ForkOptions};
use super::fork_tests::anywhere;
use super::target::{Origin, Target, TargetSet};
use crate::sip::{Message, StatusCode};

#[derive(Debug, Clone)]
enum On {
    Response(usize, u16, Vec<u8>),
    Failed(usize, u16),
    Cancel,
    Abandon,
    Deadline,
}

fn events() -> impl Strategy<Value = Vec<(u64, On)>> {
    let codes = select(
        &[
            100, 180, 183, 200, 202, 302, 300, 380, 401, 407, 404, 487, 408, 503, 430, 603,
        ][..],
    );
    let event = prop_oneof![
        12 => (0..8_usize, codes, vec(0..12_u8, 0..4))
            .prop_map(|(branch, code, contacts)| On::Response(branch, code, contacts)),
        4 => (0..8_usize, select(&[408_u16, 503, 430, 200][..]))
            .prop_map(|(branch, code)| On::Failed(branch, code)),
        6 => Just(On::Deadline),
        1 => Just(On::Cancel),
        1 => select(&[On::Abandon, On::Deadline, On::Deadline, On::Deadline][..]),
    ];
    vec((0..700_u64, event), 0..40)
}

fn options() -> impl Strategy<Value = ForkOptions> {
    let millis = || select(&[0_u64, 500, 3_000]).prop_map(Duration::from_millis);
    let timer_c = select(&[0_u64, 1_000, 180_000]).prop_map(Duration::from_millis);
    (
        timer_c,
        any::<bool>(),
        millis(),
        any::<bool>(),
        millis(),
        any::<bool>(),
        1..12_u16,
    )
        .prop_map(
            |(timer_c, cancel, before_cancel, wait, between_groups, recursive, max_branches)| {
                ForkOptions {
                    timer_c,
                    cancel_between_groups: cancel,
                    before_cancel,
                    wait_between_groups: wait,
                    between_groups,
                    recursive_redirect: recursive,
                    max_branches,
                    gone_is_flow_failed: false,
                }
            },
        )
}

/// A fork, and what is known of it from outside.
struct Watched {
    fork: Fork,
    kind: ForkKind,
    options: ForkOptions,
    breadth: u16,
    /// Breadth of each branch, and whether it is without an end that came from outside.
    branches: Vec<(u16, bool)>,
    /// The device of each branch.
    devices: Vec<String>,
    cancelled: HashSet<u16>,
    sent_to: HashSet<String>,
    /// Final answers that have gone to the caller.
    finals: usize,
    answers: usize,
    /// Whether new branches are forbidden.
    is_closed: bool,
    is_abandoned: bool,
}

impl Watched {
    /// Lets one thing happen, and looks at what comes of it. `response` is the branch and status of a response.
    fn drive(
        &mut self,
        response: Option<(u16, u16)>,
        event: impl FnOnce(&mut Fork, &mut Vec<ForkEffect>),
    ) {
        let had_ended = self.fork.has_ended();
        let mut out = Vec::new();
        event(&mut self.fork, &mut out);
        assert!(!had_ended || out.is_empty(), "after the end: {out:?}");
        for effect in out {
            match effect {
                ForkEffect::Send {
                    branch,
                    target,
                    max_breadth,
                } => {
                    assert!(!self.is_closed, "a new branch");
                    assert_eq!(usize::from(branch.0), self.branches.len());
                    assert!(branch.0 < self.options.max_branches);
                    assert!(max_breadth > 0);
                    let device = target.uri.split('f').next().unwrap().to_owned();
                    assert!(self.sent_to.insert(target.uri), "a target twice");
                    let mut others = self.devices.iter().zip(&self.branches);
                    let is_alone =
                        others.all(|(other, (_, is_pending))| *other != device || !is_pending);
                    assert!(is_alone || self.timer_c_may_fire(), "two flows at once");
                    self.devices.push(device);
                    self.branches.push((max_breadth, true));
                }
                ForkEffect::Cancel { branch, .. } => {
                    assert_eq!(self.kind, ForkKind::Invite);
                    assert!(self.cancelled.insert(branch.0), "cancelled twice");
                    assert!(self.branches[usize::from(branch.0)].1, "it has ended");
                }
                ForkEffect::Pass { branch } => {
                    let (from, status) = response.unwrap();
                    assert_eq!(branch.0, from);
                    assert!(!self.is_abandoned && (101..300).contains(&status));
                    if status < 200 {
                        assert_eq!((self.kind, self.finals), (ForkKind::Invite, 0));
                    } else {
                        assert!(self.kind == ForkKind::Invite || self.finals == 0);
                        assert_eq!(self.answers, 0);
                        self.finals += 1;
                        self.is_closed = true;
                    }
                }
                ForkEffect::Answer(answer) => {
                    assert_eq!((self.finals, self.is_abandoned), (0, false));
                    assert!(self.branches.is_empty() || self.fork.has_ended());
                    let status = answer.status().map_or(0, StatusCode::as_u16);
                    assert!(status == 0 || (300..700).contains(&status));
                    assert_ne!(status, 503);
                    if self.kind == ForkKind::Other {
                        assert_ne!(status, 408);
                    } else {
                        assert!(!matches!(*answer, FinalAnswer::Nothing));
                    }
                    self.finals += 1;
                    self.answers += 1;
                    self.is_closed = true;
                }
                ForkEffect::Stale { .. } => {}
            }
        }
        if !self.timer_c_may_fire() {
            let pending = self.branches.iter().filter(|(_, is_pending)| *is_pending);
            let used: u16 = pending.map(|(breadth, _)| breadth).sum();
            assert!(used <= self.breadth, "{used} of {}", self.breadth);
        }
    }

    /// Whether branches may end without being told to.
    fn timer_c_may_fire(&self) -> bool {
        self.options.timer_c == Duration::from_secs(1)
    }

    fn on_response(&mut self, branch: usize, code: u16, contacts: &[u8], now: Instant) {
        let number = u16::try_from(branch).unwrap();
        if code >= 200
            && let Some(branch) = self.branches.get_mut(branch)
        {
            let was_pending = std::mem::replace(&mut branch.1, false);
            // One that Timer C may have ended says nothing any more.
            let counts = !self.timer_c_may_fire() || !self.cancelled.contains(&number);
            self.is_closed |= was_pending && counts && code >= 600;
        }
        let contacts: Vec<_> = contacts.iter().map(|n| format!("<sip:{n}@h>")).collect();
        let text = format!(
            "SIP/2.0 {code} x\r\nContact: {}\r\n\r\n",
            contacts.join(",")
        );
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let status = StatusCode::new(code).unwrap();
        self.drive(Some((number, code)), |fork, out| {
            let number = BranchNumber(number);
            fork.on_response(number, &message, status, &anywhere, now, out);
        });
    }

    fn on_failed(&mut self, branch: usize, code: u16, now: Instant) {
        let number = BranchNumber(u16::try_from(branch).unwrap());
        if let Some(branch) = self.branches.get_mut(branch) {
            branch.1 = false;
        }
        let failure = Failure::of(StatusCode::new(code).unwrap());
        self.drive(None, |fork, out| fork.on_failed(number, failure, now, out));
    }

    fn on_deadline(&mut self, now: Instant) {
        self.drive(None, |fork, out| fork.on_deadline(now, out));
        assert!(self.fork.next_deadline().is_none_or(|at| at > now));
    }
}

proptest! {
    #[test]
    fn a_fork_keeps_its_promises(
        kind in select(&[ForkKind::Invite, ForkKind::Other][..]),
        groups in vec(1..4_usize, 1..4),
        flows in vec(0..3_usize, 9),
        breadth in 1..9_u16,
        options in options(),
        events in events(),
    ) {
        let mut set = TargetSet::default();
        for (group, size) in groups.iter().enumerate() {
            let flow = |uri| Target::of(uri, Origin::Binding);
            set.add((0..*size).filter_map(|n| {
                let device = group * 3 + n;
                let others = (0..flows[device]).map(|other| flow(format!("sip:{device}f{other}@h")));
                Target::first_of(std::iter::once(flow(format!("sip:{device}f@h"))).chain(others))
            }));
        }
        let mut watched = Watched {
            fork: Fork::new(kind, set, breadth, options.clone()),
            kind,
            options,
            breadth,
            branches: Vec::new(),
            devices: Vec::new(),
            cancelled: HashSet::new(),
            sent_to: HashSet::new(),
            finals: 0,
            answers: 0,
            is_closed: false,
            is_abandoned: false,
        };
        let clock = Instant::now;
        let mut now = clock();
        watched.drive(None, |fork, out| fork.start(now, out));
        for (wait, event) in events {
            now += Duration::from_millis(wait);
            match event {
                On::Response(branch, code, contacts) => watched.on_response(branch, code, &contacts, now),
                On::Failed(branch, code) => watched.on_failed(branch, code, now),
                On::Deadline => watched.on_deadline(now),
                On::Cancel => {
                    watched.is_closed |= kind == ForkKind::Invite;
                    watched.drive(None, |fork, out| fork.on_cancel(now, out));
                }
                On::Abandon => {
                    (watched.is_closed, watched.is_abandoned) = (true, true);
                    watched.drive(None, |fork, out| fork.abandon(now, out));
                }
            }
        }
        // Every transaction ends some day, and so does the fork: each branch may be the last of its group.
        let mut branch = 0;
        while branch < watched.branches.len() {
            prop_assert!(branch < 12);
            watched.on_failed(branch, 408, now);
            branch += 1;
        }
        while let Some(at) = watched.fork.next_deadline() {
            now = at;
            watched.on_deadline(now);
        }
        prop_assert!(watched.fork.has_ended());
        prop_assert!(watched.is_abandoned || watched.finals > 0);
    }
}
