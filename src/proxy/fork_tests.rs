//! Forks on a virtual clock.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use super::fork_effect::{
    BranchNumber, Failure, FinalAnswer, ForkEffect, ForkKind as Kind, ForkOptions,
};
use super::target::{Origin, Target, TargetSet};
use super::{Fork, MAX_BREADTH};
use crate::registrar::FlowId;
use crate::sip::{Message, SipUri, StatusCode};

/// What reaches the fork.
#[derive(Debug, Clone, Copy)]
enum On {
    Start,
    /// A response from a branch.
    Response(u16, u16),
    /// A response from a branch with these header lines.
    With(u16, u16, &'static str),
    /// No response from a branch.
    Failed(u16, u16),
    Cancel,
    Abandon,
    Deadline,
}
use On::{Abandon, Cancel, Deadline, Failed, Response, Start, With};

/// When, what, and what comes of it.
type Step = (u64, On, &'static str);

/// Groups are separated by blanks, targets of one by `+`, flows of one device by `|`.
fn targets(groups: &str) -> TargetSet {
    let mut set = TargetSet::default();
    let flow = |uri: &str| Target {
        flow: uri.contains("flow").then_some(FlowId::Connection(1)),
        ..Target::of(
            uri.to_owned(),
            match uri {
                "sip:token@h" => Origin::FlowToken,
                "sip:request@h" => Origin::Request,
                _ => Origin::Binding,
            },
        )
    };
    for group in groups.split_whitespace() {
        let devices = group.split('+');
        set.add(devices.filter_map(|device| Target::first_of(device.split('|').map(flow))));
    }
    set
}

fn response(status: u16, lines: &str) -> String {
    format!("SIP/2.0 {status} From The Peer\r\nVia: SIP/2.0/TLS us;branch=z9hG4bK1\r\n{lines}\r\n")
}

/// Every redirection is followed.
pub(super) fn anywhere(uri: &SipUri<'_>) -> Vec<Target> {
    vec![Target::of(uri.to_string(), Origin::Redirect)]
}

/// An effect in a word or two.
fn shown(effect: &ForkEffect) -> String {
    let lines = |headers: &[u8]| {
        let text = String::from_utf8_lossy(headers).into_owned();
        let lines: Vec<_> = text.lines().map(|line| format!(" [{line}]")).collect();
        lines.concat()
    };
    match effect {
        ForkEffect::Send {
            branch,
            target,
            max_breadth,
        } => format!("{}:{}/{max_breadth}", branch.0, target.uri),
        ForkEffect::Cancel { branch, reason } => match reason {
            Some(reason) => format!("cancel {} ({reason})", branch.0),
            None => format!("cancel {}", branch.0),
        },
        ForkEffect::Pass { branch } => format!("pass {}", branch.0),
        ForkEffect::Stale { branch } => format!("stale {}", branch.0),
        ForkEffect::Answer(answer) => match &**answer {
            FinalAnswer::Response {
                branch,
                status,
                response,
                headers,
            } => {
                let told = format!("SIP/2.0 {status} ");
                assert!(response.head().starts_with(told.as_bytes()));
                format!("answer {status} of {}{}", branch.0, lines(headers))
            }
            FinalAnswer::Own {
                status,
                phrase,
                headers,
            } => format!("answer {status} {phrase}{}", lines(headers)),
            FinalAnswer::Nothing => "nothing".to_owned(),
        },
    }
}

/// Lets a fork live through the steps, each at its milliseconds; then says whether it has ended.
fn live(situation: &str, kind: Kind, groups: &str, options: &ForkOptions, steps: &[Step]) -> bool {
    live_with_breadth(situation, kind, groups, MAX_BREADTH, options, steps)
}

fn live_with_breadth(
    situation: &str,
    kind: Kind,
    groups: &str,
    breadth: u16,
    options: &ForkOptions,
    steps: &[Step],
) -> bool {
    let clock = Instant::now;
    let start = clock();
    let mut fork = Fork::new(kind, targets(groups), breadth, options.clone());
    for (ms, on, expected) in steps {
        let now = start + Duration::from_millis(*ms);
        let mut out = Vec::new();
        let mut receive = |branch: u16, code: u16, lines: &str| {
            let text = response(code, lines);
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let status = StatusCode::new(code).unwrap();
            let branch = BranchNumber(branch);
            fork.on_response(branch, &message, status, &anywhere, now, &mut out);
        };
        match *on {
            Start => fork.start(now, &mut out),
            Response(branch, code) => receive(branch, code, ""),
            With(branch, code, lines) => receive(branch, code, lines),
            Failed(branch, code) => {
                let failure = Failure {
                    status: StatusCode::new(code).unwrap(),
                    phrase: "For Us".into(),
                    no_way: false,
                };
                fork.on_failed(BranchNumber(branch), failure, now, &mut out);
            }
            Cancel => fork.on_cancel(now, &mut out),
            Abandon => fork.abandon(now, &mut out),
            Deadline => {
                fork.on_deadline(now, &mut out);
                let next = fork.next_deadline();
                assert!(next.is_none_or(|at| at > now), "{situation} at {ms} ms");
            }
        }
        let found: Vec<_> = out.iter().map(shown).collect();
        assert_eq!(
            found.join(", "),
            *expected,
            "{situation}: {on:?} at {ms} ms"
        );
    }
    assert!(
        !fork.has_ended() || fork.next_deadline().is_none(),
        "{situation}"
    );
    fork.has_ended()
}

/// As [`live`], for a fork that has ended with the last step and not before.
fn ends(situation: &str, kind: Kind, groups: &str, options: &ForkOptions, steps: &[Step]) {
    let (_, before) = steps.split_last().unwrap();
    assert!(
        !live(situation, kind, groups, options, before),
        "{situation}"
    );
    assert!(live(situation, kind, groups, options, steps), "{situation}");
}

fn usual() -> ForkOptions {
    ForkOptions::default()
}

/// Groups follow each other after 3 s; nothing is cancelled between them.
fn overlapping() -> ForkOptions {
    ForkOptions {
        wait_between_groups: false,
        cancel_between_groups: false,
        ..usual()
    }
}

fn redirecting() -> ForkOptions {
    ForkOptions {
        recursive_redirect: true,
        ..usual()
    }
}

#[test]
fn one_target_and_its_answer() {
    ends(
        "INVITE refused",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, Start, ""),
            (10, Response(0, 100), ""),
            (20, Response(0, 180), "pass 0"),
            (30, Response(0, 183), "pass 0"),
            (40, Response(0, 486), "answer 486 of 0"),
        ],
    );
    ends(
        "INVITE taken: its 2xx may come again for 32 s",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 180), "pass 0"),
            (20, Response(0, 200), "pass 0"),
            (30, Response(0, 180), ""),
            (500, Response(0, 200), "pass 0"),
            (1_500, Response(0, 486), ""),
            (32_019, Response(0, 202), "pass 0"),
            (32_019, Deadline, ""),
            (32_020, Deadline, ""),
        ],
    );
    ends(
        "INVITE taken, and the connection lost",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (20, Response(0, 200), "pass 0"),
            (30, Failed(0, 503), ""),
        ],
    );
    ends(
        "another request: no provisional response goes back (RFC 4320 §4.1)",
        Kind::Other,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 100), ""),
            (20, Response(0, 180), ""),
            (40, Response(0, 200), "pass 0"),
        ],
    );
    ends(
        "no target",
        Kind::Other,
        "",
        &usual(),
        &[(0, Start, "answer 480 Temporarily Unavailable")],
    );
}

#[test]
fn after_the_end_nothing_comes_out() {
    live(
        "whatever happens",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (40, Response(0, 486), "answer 486 of 0"),
            (50, Response(0, 486), ""),
            (50, Response(0, 180), ""),
            (50, Response(0, 200), ""),
            (50, Response(0, 603), ""),
            (50, Response(7, 200), ""),
            (50, Failed(0, 430), ""),
            (50, Failed(7, 408), ""),
            (50, Cancel, ""),
            (50, Start, ""),
            (500_000, Deadline, ""),
            (500_000, Abandon, ""),
        ],
    );
}

#[test]
fn groups_follow_each_other() {
    ends(
        "one after the other, each of one",
        Kind::Invite,
        "sip:a@h sip:b@h sip:c@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 404), "1:sip:b@h/60"),
            (20, Failed(1, 503), "2:sip:c@h/60"),
            (30, Response(2, 480), "answer 480 of 2"),
        ],
    );
    ends(
        "a group of two before one: both must have ended",
        Kind::Other,
        "sip:a@h+sip:b@h sip:c@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (10, Response(1, 404), ""),
            (20, Response(0, 480), "2:sip:c@h/60"),
            (30, Response(2, 200), "pass 2"),
        ],
    );
    ends(
        "nobody is there",
        Kind::Invite,
        "sip:a@h+sip:b@h sip:c@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (32_000, Failed(0, 408), ""),
            (32_000, Failed(1, 408), "2:sip:c@h/60"),
            (64_000, Failed(2, 408), "answer 408 For Us"),
        ],
    );
}

#[test]
fn a_group_is_cancelled_while_others_wait() {
    ends(
        "it rings for 30 s",
        Kind::Invite,
        "sip:a@h+sip:b@h sip:c@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (10, Response(0, 180), "pass 0"),
            (20, Response(1, 486), ""),
            (29_999, Deadline, ""),
            (30_000, Deadline, "cancel 0"),
            (30_100, Response(0, 487), "2:sip:c@h/60"),
            (30_200, Response(2, 180), "pass 2"),
            (60_200, Deadline, ""),
            (70_000, Response(2, 480), "answer 486 of 1"),
        ],
    );
    live(
        "not if that is switched off",
        Kind::Invite,
        "sip:a@h sip:b@h",
        &ForkOptions {
            cancel_between_groups: false,
            ..usual()
        },
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 180), "pass 0"),
            (179_000, Deadline, ""),
            (180_010, Deadline, "cancel 0"),
            (180_020, Response(0, 487), "1:sip:b@h/60"),
        ],
    );
    live(
        "another request cannot be cancelled",
        Kind::Other,
        "sip:a@h sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (31_000, Deadline, ""),
            (32_000, Failed(0, 408), "1:sip:b@h/60"),
        ],
    );
    ends(
        "one that is cancelled and takes the call all the same",
        Kind::Invite,
        "sip:a@h sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 180), "pass 0"),
            (30_000, Deadline, "cancel 0"),
            (30_001, Response(0, 200), "pass 0"),
            (62_001, Deadline, ""),
        ],
    );
}

#[test]
fn groups_that_do_not_wait_overlap() {
    ends(
        "every three seconds one more, and at once when all have failed",
        Kind::Invite,
        "sip:a@h sip:b@h+sip:c@h sip:d@h",
        &overlapping(),
        &[
            (0, Start, "0:sip:a@h/15"),
            (2_999, Deadline, ""),
            (3_000, Deadline, "1:sip:b@h/15, 2:sip:c@h/15"),
            (3_100, Response(0, 486), ""),
            (3_200, Response(1, 486), ""),
            (3_300, Response(2, 486), "3:sip:d@h/60"),
            (6_000, Deadline, ""),
            (7_000, Response(3, 486), "answer 486 of 0"),
        ],
    );
    live(
        "each is cancelled in its own time, the last is not",
        Kind::Invite,
        "sip:a@h sip:b@h sip:c@h",
        &ForkOptions {
            cancel_between_groups: true,
            before_cancel: Duration::from_millis(5_000),
            ..overlapping()
        },
        &[
            (0, Start, "0:sip:a@h/20"),
            (10, Response(0, 180), "pass 0"),
            (3_000, Deadline, "1:sip:b@h/20"),
            (5_000, Deadline, "cancel 0"),
            (6_000, Deadline, "2:sip:c@h/20"),
            (8_000, Deadline, ""),
            (11_000, Deadline, ""),
        ],
    );
    live(
        "no time between them",
        Kind::Invite,
        "sip:a@h sip:b@h sip:c@h",
        &ForkOptions {
            between_groups: Duration::ZERO,
            ..overlapping()
        },
        &[
            (0, Start, "0:sip:a@h/20"),
            (0, Deadline, "1:sip:b@h/20, 2:sip:c@h/20"),
        ],
    );
    live(
        "nor any before they are cancelled",
        Kind::Invite,
        "sip:a@h sip:b@h sip:c@h",
        &ForkOptions {
            before_cancel: Duration::ZERO,
            cancel_between_groups: true,
            ..overlapping()
        },
        &[
            (0, Start, "0:sip:a@h/20"),
            (1, Deadline, "cancel 0"),
            (3_000, Deadline, "1:sip:b@h/20, cancel 1"),
            (6_000, Deadline, "2:sip:c@h/20"),
        ],
    );
}

#[test]
fn a_2xx_to_invite_is_passed_and_the_others_are_cancelled() {
    ends(
        "no group comes after it",
        Kind::Invite,
        "sip:a@h+sip:b@h+sip:c@h sip:d@h",
        &overlapping(),
        &[
            (0, Start, "0:sip:a@h/15, 1:sip:b@h/15, 2:sip:c@h/15"),
            (10, Response(0, 180), "pass 0"),
            (
                1_000,
                Response(1, 200),
                "pass 1, cancel 0 (SIP;cause=200;text=\"Call completed elsewhere\"), \
                 cancel 2 (SIP;cause=200;text=\"Call completed elsewhere\")",
            ),
            (1_100, Response(0, 180), ""),
            (1_200, Response(0, 487), ""),
            (3_000, Deadline, ""),
            (4_000, Cancel, ""),
            (32_000, Failed(2, 408), ""),
            (33_000, Deadline, ""),
        ],
    );
    ends(
        "a second one is passed too",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (10, Response(1, 180), "pass 1"),
            (
                1_000,
                Response(0, 200),
                "pass 0, cancel 1 (SIP;cause=200;text=\"Call completed elsewhere\")",
            ),
            (1_001, Response(1, 200), "pass 1"),
            (1_500, Response(0, 200), "pass 0"),
            (2_000, Response(1, 200), "pass 1"),
            (33_000, Deadline, ""),
            (33_001, Deadline, ""),
        ],
    );
    live(
        "the reason has its status",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (
                1,
                Response(0, 202),
                "pass 0, cancel 1 (SIP;cause=202;text=\"Call completed elsewhere\")",
            ),
        ],
    );
}

#[test]
fn of_2xx_to_other_requests_the_first_is_passed() {
    ends(
        "and nothing is cancelled",
        Kind::Other,
        "sip:a@h+sip:b@h sip:c@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (10, Response(0, 200), "pass 0"),
            (20, Response(0, 200), ""),
            (30, Response(1, 202), ""),
        ],
    );
}

#[test]
fn a_6xx_stops_everything_and_is_told_when_all_have_ended() {
    ends(
        "the others are cancelled, what they say does not count",
        Kind::Invite,
        "sip:a@h+sip:b@h+sip:c@h sip:d@h",
        &overlapping(),
        &[
            (0, Start, "0:sip:a@h/15, 1:sip:b@h/15, 2:sip:c@h/15"),
            (10, Response(0, 180), "pass 0"),
            (20, Response(2, 412), ""),
            (
                30,
                Response(1, 603),
                "cancel 0 (SIP;cause=603;text=\"Decline\")",
            ),
            (40, Response(0, 183), "pass 0"),
            (3_000, Deadline, ""),
            (3_001, Response(0, 487), "answer 603 of 1"),
        ],
    );
    ends(
        "but a 2xx is passed in its place",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (30, Response(1, 699), "cancel 0 (SIP;cause=699)"),
            (40, Response(0, 200), "pass 0"),
            (32_040, Deadline, ""),
        ],
    );
    ends(
        "the first of two",
        Kind::Other,
        "sip:a@h+sip:b@h sip:c@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (30, Response(1, 600), ""),
            (40, Response(0, 603), "answer 600 of 1"),
        ],
    );
}

#[test]
fn cancel_ends_in_487() {
    ends(
        "before it has been sent to anybody",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[(0, Cancel, "answer 487 Request Terminated")],
    );
    ends(
        "while a phone rings; no other is tried",
        Kind::Invite,
        "sip:a@h sip:b@h",
        &overlapping(),
        &[
            (0, Start, "0:sip:a@h/30"),
            (10, Response(0, 180), "pass 0"),
            (20, Cancel, "cancel 0"),
            (21, Cancel, ""),
            (3_000, Deadline, ""),
            (3_001, Response(0, 487), "answer 487 of 0"),
        ],
    );
    ends(
        "before any provisional response",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (20, Cancel, "cancel 0"),
            (40, Response(0, 100), ""),
            (50, Response(0, 487), "answer 487 of 0"),
        ],
    );
    ends(
        "and nothing ever comes",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (20, Cancel, "cancel 0"),
            (32_000, Failed(0, 408), "answer 487 Request Terminated"),
        ],
    );
    ends(
        "a phone that does not answer its CANCEL is waited for 32 s",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (20, Cancel, "cancel 0"),
            (1_000, Response(0, 180), "pass 0"),
            (1_100, Response(0, 180), "pass 0"),
            (32_999, Deadline, ""),
            (33_000, Deadline, "answer 487 Request Terminated"),
        ],
    );
    ends(
        "what others have said before does not count",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (10, Response(0, 404), ""),
            (20, Cancel, "cancel 1"),
            (30, Response(1, 487), "answer 487 of 1"),
        ],
    );
    ends(
        "nor what crosses it",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (20, Cancel, "cancel 0, cancel 1"),
            (30, Response(1, 486), ""),
            (
                40,
                With(0, 302, "Contact: <sip:c@h>\r\n"),
                "answer 487 Request Terminated",
            ),
        ],
    );
    ends(
        "but a 6xx does",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (20, Cancel, "cancel 0, cancel 1"),
            (30, Response(1, 487), ""),
            (40, Response(0, 603), "answer 603 of 0"),
        ],
    );
    ends(
        "it comes after a 6xx",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (
                10,
                Response(0, 603),
                "cancel 1 (SIP;cause=603;text=\"Decline\")",
            ),
            (20, Cancel, ""),
            (40, Response(1, 487), "answer 603 of 0"),
        ],
    );
}

#[test]
fn cancel_that_comes_too_late_is_nothing() {
    ends(
        "a 200 crosses it",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (10, Response(0, 180), "pass 0"),
            (20, Cancel, "cancel 0, cancel 1"),
            (30, Response(0, 200), "pass 0"),
            (40, Response(1, 487), ""),
            (32_030, Deadline, ""),
        ],
    );
    live(
        "it comes after the answer",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 404), "answer 404 of 0"),
            (20, Cancel, ""),
        ],
    );
    ends(
        "of another request than INVITE",
        Kind::Other,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Cancel, ""),
            (20, Response(0, 404), "answer 404 of 0"),
        ],
    );
}

#[test]
fn abandoned_by_its_caller_it_cancels_and_says_nothing() {
    ends(
        "a call that rings",
        Kind::Invite,
        "sip:a@h+sip:b@h sip:c@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (10, Response(0, 180), "pass 0"),
            (20, Abandon, "cancel 0, cancel 1"),
            (21, Abandon, ""),
            (22, Response(0, 180), ""),
            (30, Response(0, 487), ""),
            (40, Response(1, 200), ""),
        ],
    );
    ends(
        "a call that is taken",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 200), "pass 0"),
            (20, Abandon, ""),
        ],
    );
    ends(
        "another request",
        Kind::Other,
        "sip:a@h sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (20, Abandon, ""),
            (30, Response(0, 404), ""),
        ],
    );
}

#[test]
fn timer_c_ends_what_rings_too_long() {
    ends(
        "with a provisional response the branch is cancelled; 100 does not start it again, others do",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10_000, Response(0, 180), "pass 0"),
            (20_000, Response(0, 100), ""),
            (189_999, Deadline, ""),
            (190_000, Deadline, "cancel 0"),
            (190_100, Response(0, 487), "answer 487 of 0"),
        ],
    );
    ends(
        "a cancelled branch that says nothing counts as terminated",
        Kind::Invite,
        "sip:a@h sip:b@h",
        &ForkOptions {
            cancel_between_groups: false,
            ..usual()
        },
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 100), ""),
            (180_000, Deadline, "cancel 0"),
            (180_100, Response(0, 180), "pass 0"),
            (211_999, Deadline, ""),
            (212_000, Deadline, "1:sip:b@h/60"),
            (212_001, Failed(0, 408), ""),
            (212_002, Failed(1, 408), "answer 487 Request Terminated"),
        ],
    );
    ends(
        "so it does when its transaction says so",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (10, Response(0, 100), ""),
            (180_000, Deadline, "cancel 0"),
            (212_000, Failed(0, 408), "answer 487 Request Terminated"),
        ],
    );
    ends(
        "without one it counts as 408",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (179_999, Deadline, ""),
            (180_000, Deadline, "cancel 0, answer 408 Request Timeout"),
        ],
    );
    ends(
        "and if it takes the call after that, it has it",
        Kind::Invite,
        "sip:a@h sip:b@h",
        &ForkOptions {
            timer_c: Duration::from_secs(5),
            ..usual()
        },
        &[
            (0, Start, "0:sip:a@h/60"),
            (5_000, Deadline, "cancel 0, 1:sip:b@h/60"),
            (6_000, Response(1, 180), "pass 1"),
            (
                7_000,
                Response(0, 200),
                "pass 0, cancel 1 (SIP;cause=200;text=\"Call completed elsewhere\")",
            ),
            (7_100, Response(1, 487), ""),
        ],
    );
    live(
        "it runs for each branch; one that rings longer than a group may goes on, as no other waits",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (100_000, Response(0, 180), "pass 0"),
            (180_000, Deadline, "cancel 1"),
            (280_000, Deadline, "cancel 0"),
        ],
    );
    live(
        "there is none when it is 0",
        Kind::Invite,
        "sip:a@h",
        &ForkOptions {
            timer_c: Duration::ZERO,
            ..usual()
        },
        &[
            (0, Start, "0:sip:a@h/60"),
            (10_000, Response(0, 180), "pass 0"),
            (10_000_000, Deadline, ""),
        ],
    );
    live(
        "nor for other requests",
        Kind::Other,
        "sip:a@h",
        &usual(),
        &[(0, Start, "0:sip:a@h/60"), (10_000_000, Deadline, "")],
    );
}

#[test]
fn what_went_wrong_here_is_told_as_it_is() {
    ends(
        "503 becomes 500 and keeps our words",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, Failed(0, 503), "answer 500 For Us"),
        ],
    );
    ends(
        "the words of others it does not keep",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, Response(0, 503), "answer 500 Server Internal Error"),
        ],
    );
    ends(
        "what cannot be a final failure counts as 500",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, Failed(0, 200), "answer 500 Server Internal Error"),
        ],
    );
    ends(
        "408 as the best of another request is not told (RFC 4320 §4.2)",
        Kind::Other,
        "sip:a@h sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, Response(0, 408), "1:sip:b@h/60"),
            (2, Failed(1, 408), "nothing"),
        ],
    );
    ends(
        "any other is",
        Kind::Other,
        "sip:a@h sip:b@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, Failed(0, 408), "1:sip:b@h/60"),
            (2, Response(1, 400), "answer 400 of 1"),
        ],
    );
}

#[test]
fn a_binding_whose_flow_is_gone_is_stale() {
    live(
        "said by us or by whoever has the flow",
        Kind::Invite,
        "sip:flow@h sip:b@h sip:c@h sip:d@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:flow@h/60"),
            (1, Failed(0, 430), "stale 0, 1:sip:b@h/60"),
            (2, Failed(0, 430), ""),
            (3, Response(1, 430), "stale 1, 2:sip:c@h/60"),
            (4, Failed(2, 503), "3:sip:d@h/60"),
            (5, With(3, 302, "Contact: <sip:x@h>\r\n"), "4:sip:x@h/60"),
            (6, Response(4, 430), "answer 480 Temporarily Unavailable"),
        ],
    );
}

#[test]
fn the_flows_of_a_device_are_tried_one_after_the_other_until_it_has_been_reached() {
    ends(
        "its flows are gone one by one",
        Kind::Invite,
        "sip:a1@h|sip:a2@h|sip:a3@h",
        &usual(),
        &[
            (0, Start, "0:sip:a1@h/60"),
            (1, Response(0, 430), "stale 0, 1:sip:a2@h/60"),
            (2, Failed(1, 430), "stale 1, 2:sip:a3@h/60"),
            (
                3,
                Response(2, 430),
                "stale 2, answer 480 Temporarily Unavailable",
            ),
        ],
    );
    ends(
        "it has answered",
        Kind::Invite,
        "sip:a1@h|sip:a2@h",
        &usual(),
        &[
            (0, Start, "0:sip:a1@h/60"),
            (1, Response(0, 486), "answer 486 of 0"),
        ],
    );
    ends(
        "its edge proxy has answered 503 in its place",
        Kind::Other,
        "sip:a1@h|sip:a2@h",
        &usual(),
        &[
            (0, Start, "0:sip:a1@h/60"),
            (1, Response(0, 503), "answer 500 Server Internal Error"),
        ],
    );
    ends(
        "a way that is broken or silent is that of one flow",
        Kind::Invite,
        "sip:a1@h|sip:a2@h|sip:a3@h",
        &usual(),
        &[
            (0, Start, "0:sip:a1@h/60"),
            (1, Failed(0, 503), "1:sip:a2@h/60"),
            (2, Failed(1, 408), "2:sip:a3@h/60"),
            (3, Response(2, 200), "pass 2"),
            (32_003, Deadline, ""),
        ],
    );
    ends(
        "within a group and before those that wait",
        Kind::Invite,
        "sip:a1@h|sip:a2@h+sip:b@h sip:c@h",
        &usual(),
        &[
            (0, Start, "0:sip:a1@h/30, 1:sip:b@h/30"),
            (1, Failed(0, 430), "stale 0, 2:sip:a2@h/30"),
            (2, Response(1, 486), ""),
            (3, Response(2, 480), "3:sip:c@h/60"),
            (4, Response(3, 404), "answer 486 of 1"),
        ],
    );
    ends(
        "not for a caller who has given up",
        Kind::Invite,
        "sip:a1@h|sip:a2@h",
        &usual(),
        &[
            (0, Start, "0:sip:a1@h/60"),
            (1, Response(0, 180), "pass 0"),
            (2, Cancel, "cancel 0"),
            (3, Failed(0, 430), "stale 0, answer 487 Request Terminated"),
        ],
    );
    ends(
        "not beyond the most branches",
        Kind::Invite,
        "sip:a1@h|sip:a2@h|sip:a3@h",
        &ForkOptions {
            max_branches: 2,
            ..usual()
        },
        &[
            (0, Start, "0:sip:a1@h/60"),
            (1, Failed(0, 430), "stale 0, 1:sip:a2@h/60"),
            (
                2,
                Failed(1, 430),
                "stale 1, answer 480 Temporarily Unavailable",
            ),
        ],
    );
}

#[test]
fn an_old_edge_proxy_says_410_where_a_new_one_says_430() {
    for (version, gone_is_flow_failed, last) in [
        (5626, false, "answer 410 of 0"),
        (4, true, "stale 0, 1:sip:a2@h/60"),
    ] {
        live(
            &format!("draft {version}"),
            Kind::Invite,
            "sip:a1@h|sip:a2@h",
            &ForkOptions {
                gone_is_flow_failed,
                ..usual()
            },
            &[(0, Start, "0:sip:a1@h/60"), (1, Response(0, 410), last)],
        );
    }
}

#[test]
fn a_430_goes_to_the_proxy_that_has_other_flows_and_to_nobody_else() {
    for (target, start, on, last) in [
        (
            "sip:token@h",
            "0:sip:token@h/60",
            Failed(0, 430),
            "answer 430 For Us",
        ),
        (
            "sip:token@h",
            "0:sip:token@h/60",
            Response(0, 430),
            "answer 430 of 0",
        ),
        (
            "sip:request@h",
            "0:sip:request@h/60",
            Response(0, 430),
            "answer 430 of 0",
        ),
        (
            "sip:request@h",
            "0:sip:request@h/60",
            Failed(0, 430),
            "answer 480 Temporarily Unavailable",
        ),
        (
            "sip:b@h",
            "0:sip:b@h/60",
            Response(0, 430),
            "stale 0, answer 480 Temporarily Unavailable",
        ),
    ] {
        let steps = [(0, Start, start), (1, on, last)];
        ends(target, Kind::Invite, target, &usual(), &steps);
    }
}

#[test]
fn redirections_are_followed_if_that_is_switched_on() {
    let two = "Contact: <sip:c@h>;q=0.1, <sip:d@h>\r\n";
    ends(
        "switched off",
        Kind::Invite,
        "sip:a@h",
        &usual(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, With(0, 302, two), "answer 302 of 0"),
        ],
    );
    ends(
        "switched on: best preference first, and before the groups that wait",
        Kind::Invite,
        "sip:a@h+sip:b@h sip:e@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (1, With(0, 302, two), "2:sip:d@h/30"),
            (2, Response(2, 404), ""),
            (3, Response(1, 404), "3:sip:c@h/60"),
            (4, Response(3, 404), "4:sip:e@h/60"),
            (5, Response(4, 404), "answer 404 of 2"),
        ],
    );
    ends(
        "round in circles",
        Kind::Invite,
        "sip:a@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, With(0, 301, "Contact: <sip:b@h>\r\n"), "1:sip:b@h/60"),
            (
                2,
                With(1, 302, "Contact: <sip:a@H>\r\n"),
                "answer 500 Server Internal Error",
            ),
        ],
    );
    ends(
        "to what is waiting already",
        Kind::Invite,
        "sip:a@h sip:b@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, With(0, 302, "Contact: <sip:b@h>\r\n"), "1:sip:b@h/60"),
            (2, Response(1, 486), "answer 486 of 1"),
        ],
    );
    ends(
        "from SIPS to SIP",
        Kind::Invite,
        "sips:a@h",
        &redirecting(),
        &[
            (0, Start, "0:sips:a@h/60"),
            (
                1,
                With(0, 302, "Contact: <sip:b@h>, <sips:c@h>\r\n"),
                "1:sips:c@h/60",
            ),
            (
                2,
                Response(1, 404),
                "answer 302 Moved Temporarily [Contact: <sip:b@h>]",
            ),
        ],
    );
    ends(
        "nothing to follow leaves it as it is",
        Kind::Invite,
        "sip:a@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, With(0, 302, "Contact: <tel:1>\r\n"), "answer 302 of 0"),
        ],
    );
    ends(
        "305 and 380 are for the caller",
        Kind::Invite,
        "sip:a@h sip:b@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, With(0, 305, "Contact: <sip:p@h>\r\n"), "1:sip:b@h/60"),
            (2, With(1, 380, "Contact: <sip:p@h>\r\n"), "answer 305 of 0"),
        ],
    );
    ends(
        "not after a 6xx",
        Kind::Invite,
        "sip:a@h+sip:b@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (
                1,
                Response(0, 603),
                "cancel 1 (SIP;cause=603;text=\"Decline\")",
            ),
            (2, With(1, 302, two), "answer 603 of 0"),
        ],
    );
    ends(
        "not after a 2xx",
        Kind::Other,
        "sip:a@h+sip:b@h",
        &redirecting(),
        &[
            (0, Start, "0:sip:a@h/30, 1:sip:b@h/30"),
            (1, Response(0, 200), "pass 0"),
            (2, With(1, 302, two), ""),
        ],
    );
    ends(
        "no further than there may be branches",
        Kind::Invite,
        "sip:a@h",
        &ForkOptions {
            max_branches: 2,
            ..redirecting()
        },
        &[
            (0, Start, "0:sip:a@h/60"),
            (
                1,
                With(0, 302, "Contact: <sip:b@h>, <sip:c@h>\r\n"),
                "1:sip:b@h/60",
            ),
            (
                2,
                With(1, 302, "Contact: <sip:d@h>\r\n"),
                "answer 300 Multiple Choices [Contact: <sip:c@h>] [Contact: <sip:d@h>]",
            ),
        ],
    );
}

#[test]
fn there_are_no_more_branches_than_allowed() {
    ends(
        "two of four",
        Kind::Other,
        "sip:a@h sip:b@h+sip:c@h sip:d@h",
        &ForkOptions {
            max_branches: 2,
            ..usual()
        },
        &[
            (0, Start, "0:sip:a@h/60"),
            (1, Response(0, 404), "1:sip:b@h/30"),
            (2, Response(1, 404), "answer 404 of 0"),
        ],
    );
}

#[test]
fn breadth_is_divided_and_used_again() {
    for (situation, breadth, groups, options, steps) in [
        (
            "as evenly as it goes",
            8,
            "sip:a@h+sip:b@h+sip:c@h",
            usual(),
            &[(0, Start, "0:sip:a@h/3, 1:sip:b@h/3, 2:sip:c@h/2")][..],
        ),
        (
            "four at a time, and the next when one has answered (RFC 5393 §5.5)",
            4,
            "sip:a@h+sip:b@h+sip:c@h+sip:d@h+sip:e@h+sip:f@h",
            usual(),
            &[
                (
                    0,
                    Start,
                    "0:sip:a@h/1, 1:sip:b@h/1, 2:sip:c@h/1, 3:sip:d@h/1",
                ),
                (1, Response(2, 100), ""),
                (2, Response(2, 404), "4:sip:e@h/1"),
                (3, Response(2, 404), ""),
                (4, Failed(0, 503), "5:sip:f@h/1"),
            ],
        ),
        (
            "one at a time",
            1,
            "sip:a@h+sip:b@h sip:c@h",
            usual(),
            &[
                (0, Start, "0:sip:a@h/1"),
                (1, Response(0, 404), "1:sip:b@h/1"),
                (2, Response(1, 404), "2:sip:c@h/1"),
            ],
        ),
        (
            "one at a time, and the first rings: it is cancelled for the second",
            1,
            "sip:a@h+sip:b@h",
            usual(),
            &[
                (0, Start, "0:sip:a@h/1"),
                (1, Response(0, 180), "pass 0"),
                (30_000, Deadline, "cancel 0"),
                (30_001, Response(0, 487), "1:sip:b@h/1"),
                (60_001, Deadline, ""),
            ],
        ),
        (
            "groups that do not wait have their part kept",
            5,
            "sip:a@h sip:b@h+sip:c@h",
            overlapping(),
            &[
                (0, Start, "0:sip:a@h/2"),
                (3_000, Deadline, "1:sip:b@h/2, 2:sip:c@h/1"),
            ],
        ),
        (
            "places of a redirection have that of the branch that it ends",
            7,
            "sip:a@h+sip:b@h",
            redirecting(),
            &[
                (0, Start, "0:sip:a@h/4, 1:sip:b@h/3"),
                (
                    1,
                    With(1, 302, "Contact: <sip:c@h>, <sip:d@h>\r\n"),
                    "2:sip:c@h/2, 3:sip:d@h/1",
                ),
            ],
        ),
    ] {
        live_with_breadth(situation, Kind::Invite, groups, breadth, &options, steps);
    }
}

#[test]
fn challenges_of_all_go_back_with_one_answer() {
    ends(
        "401 and 407",
        Kind::Invite,
        "sip:a@h+sip:b@h+sip:c@h+sip:d@h",
        &usual(),
        &[
            (
                0,
                Start,
                "0:sip:a@h/15, 1:sip:b@h/15, 2:sip:c@h/15, 3:sip:d@h/15",
            ),
            (
                1,
                With(0, 401, "WWW-Authenticate: Digest realm=\"a\"\r\n"),
                "",
            ),
            (
                2,
                With(1, 407, "Proxy-Authenticate: Digest realm=\"b\"\r\n"),
                "",
            ),
            (
                3,
                With(2, 401, "www-authenticate: Digest realm=\"c\"\r\n"),
                "",
            ),
            (
                4,
                Response(3, 404),
                "answer 407 of 1 [WWW-Authenticate: Digest realm=\"a\"] [WWW-Authenticate: Digest realm=\"c\"]",
            ),
        ],
    );
}
