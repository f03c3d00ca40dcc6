//! INVITE, its CANCEL and others in one table of client transactions, and what holds whatever happens to them.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::key::Scope;
use super::test_support::{ClientOut, again, options, start, status};
use super::{ClientEffect, ClientKey, ClientLayer, ClientOutput, NotBegun, TransactionId};
use ClientOut::{Acknowledge, Again, Ended, Failed, Passed, Timeout};

fn key(method: &str, branch: &str) -> ClientKey {
    ClientKey::new(Scope(1), branch.as_bytes(), "h:5061", method.as_bytes())
}

fn layer() -> (ClientLayer<u8>, Instant) {
    (ClientLayer::new(options(9)), start())
}

/// What came out, with the path of each.
fn drained(out: &mut Vec<ClientOutput<u8>>) -> Vec<(u8, ClientOut)> {
    let short = |o: ClientOutput<u8>| (o.path, ClientOut::one(&o.effect));
    out.drain(..).map(short).collect()
}

/// A layer with an INVITE on the way over TLS that has been answered with these.
fn calling(codes: &[u16]) -> (ClientLayer<u8>, TransactionId, Instant) {
    let (mut layer, now) = layer();
    let invite = key("INVITE", "z9hG4bK1");
    let id = layer.begin(&invite, 1, None, now).unwrap();
    for code in codes {
        layer.on_response(&invite, status(*code), now, &mut Vec::new());
    }
    (layer, id, now)
}

#[test]
fn the_method_decides_which_machine_follows_a_request() {
    let (mut layer, now) = layer();
    let mut out = Vec::new();
    for (path, method) in [
        (1, "INVITE"),
        (2, "MESSAGE"),
        (3, "invite"),
        (4, "INVITE2"),
        (5, "CANCEL"),
    ] {
        let key = key(method, "z9hG4bK1");
        layer.begin(&key, path, None, now).unwrap();
        layer.on_response(&key, status(486), now, &mut out);
        let mut wanted = vec![(path, Passed(486)), (path, Ended)];
        if method == "INVITE" {
            wanted.insert(0, (path, Acknowledge));
        }
        assert_eq!(drained(&mut out), wanted, "{method}");
    }
    let ack = layer.begin(&key("ACK", "z9hG4bK2"), 6, None, now);
    assert_eq!(ack, Err(NotBegun::Ack));
    assert!(layer.is_empty());
}

#[test]
fn a_cancel_and_its_invite_share_a_branch_and_nothing_else() {
    let (mut layer, now) = layer();
    let mut out = Vec::new();
    let (invite, cancel) = (key("INVITE", "z9hG4bK1"), key("CANCEL", "z9hG4bK1"));
    let called = layer.begin(&invite, 1, None, now).unwrap();
    assert!(!layer.on_response(&cancel, status(200), now, &mut out));
    layer.on_response(&invite, status(180), now, &mut out);
    let cancelling = layer.begin(&cancel, 2, None, now).unwrap();
    assert!(layer.cancelled(called, now));
    assert!(!layer.cancelled(cancelling, now), "it is no INVITE");
    assert_eq!(drained(&mut out), [(1, Passed(180))]);
    assert!(layer.on_response(&cancel, status(200), now, &mut out));
    assert_eq!(drained(&mut out), [(2, Passed(200)), (2, Ended)]);
    assert!(layer.is_proceeding(called));
    assert!(layer.on_response(&invite, status(487), now, &mut out));
    let wanted = [(1, Acknowledge), (1, Passed(487)), (1, Ended)];
    assert_eq!(drained(&mut out), wanted);
    assert!(layer.is_empty() && layer.next_deadline().is_none());
}

#[test]
fn it_is_known_which_requests_have_a_provisional_response_only() {
    for (method, codes, proceeding) in [
        ("INVITE", &[][..], false),
        ("INVITE", &[100], true),
        ("INVITE", &[100, 183], true),
        ("INVITE", &[100, 200], false),
        ("INVITE", &[100, 404], false),
        ("INVITE", &[486], false),
        ("MESSAGE", &[], false),
        ("MESSAGE", &[100], true),
        ("MESSAGE", &[100, 200], false),
    ] {
        for reliable in [false, true] {
            let (mut layer, now) = layer();
            let key = key(method, "z9hG4bK1");
            let id = layer.begin(&key, 1, again(reliable), now).unwrap();
            for code in codes {
                layer.on_response(&key, status(*code), now, &mut Vec::new());
            }
            assert_eq!(layer.is_proceeding(id), proceeding, "{method} {codes:?}");
        }
    }
}

#[test]
fn a_cancelled_invite_has_its_place_among_the_deadlines() {
    let (mut layer, id, now) = calling(&[]);
    let at = |ms| now + Duration::from_millis(ms);
    let mut out = Vec::new();
    assert!(!layer.cancelled(id, now), "no provisional response yet");
    assert_eq!(layer.next_deadline(), Some(at(32_000)), "Timer B");
    layer.on_response(&key("INVITE", "z9hG4bK1"), status(180), at(5), &mut out);
    assert_eq!(layer.next_deadline(), None, "it rings");
    assert!(layer.cancelled(id, at(50_000)));
    assert!(!layer.cancelled(id, at(60_000)), "once");
    assert_eq!(layer.next_deadline(), Some(at(82_000)));
    out.clear();
    layer.on_deadline(at(81_999), &mut out);
    assert_eq!(drained(&mut out), []);
    layer.on_deadline(at(82_000), &mut out);
    assert_eq!(drained(&mut out), [(1, Timeout), (1, Ended)]);
    assert!(layer.is_empty() && !layer.cancelled(id, at(82_001)));
}

#[test]
fn what_is_forgotten_says_nothing_more() {
    for codes in [&[][..], &[180], &[180, 200]] {
        let (mut layer, id, now) = calling(codes);
        let mut out = Vec::new();
        assert_eq!(layer.path(id), Some(&1));
        assert_eq!(layer.forget(id), Some(1), "{codes:?}");
        assert_eq!((layer.forget(id), layer.path(id)), (None, None));
        assert!(layer.is_empty() && layer.next_deadline().is_none());
        assert!(!layer.is_proceeding(id));
        let invite = key("INVITE", "z9hG4bK1");
        assert!(!layer.on_response(&invite, status(200), now, &mut out));
        layer.on_transport_error(id, &mut out);
        layer.on_deadline(now + Duration::from_secs(99), &mut out);
        assert_eq!(drained(&mut out), []);
        assert!(
            layer.begin(&invite, 2, None, now).is_ok(),
            "its key is free"
        );
    }
}

#[test]
fn forgetting_one_leaves_the_deadlines_of_others() {
    let (mut layer, now) = layer();
    let mut out = Vec::new();
    let at = |ms| now + Duration::from_millis(ms);
    let first = key("INVITE", "z9hG4bK1");
    let first = layer.begin(&first, 1, again(false), now).unwrap();
    let second = key("INVITE", "z9hG4bK2");
    layer.begin(&second, 2, again(false), at(0)).unwrap();
    layer.forget(first);
    assert_eq!(layer.next_deadline(), Some(at(500)));
    layer.on_deadline(at(500), &mut out);
    assert_eq!(drained(&mut out), [(2, Again)]);
}

/// What a test of properties does next.
#[derive(Debug, Clone)]
enum Event {
    Response(u16),
    Cancelled,
    Unsent,
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let codes = vec![100, 180, 183, 200, 202, 302, 408, 486, 487, 503, 603];
    let event = prop_oneof![
        5 => prop::sample::select(codes).prop_map(Event::Response),
        1 => Just(Event::Cancelled),
        1 => Just(Event::Unsent),
        3 => (0..9_000_u64).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 0..40)
}

proptest! {
    /// Whatever happens, the core learns the outcome of an INVITE exactly once; only after a 2xx more of them follow.
    /// Each refusal that is heard is acknowledged. No machine outlives its last timer.
    #[test]
    fn every_invite_has_one_outcome_and_its_acks(
        events in events(),
        reliable in any::<bool>(),
    ) {
        let (mut layer, start) = layer();
        let mut now = start;
        let (invite, mut out) = (key("INVITE", "z9hG4bK1"), Vec::new());
        let id = layer.begin(&invite, 1, again(reliable), now).unwrap();
        // The outcome; the first response; whether a CANCEL counts, and since when.
        let (mut outcome, mut heard, mut cancelled) = (None, false, None);
        let last = Event::Wait(0);
        for event in events.into_iter().chain([last]) {
            let alive = layer.path(id).is_some();
            prop_assert_eq!(alive, !layer.is_empty());
            match event {
                Event::Response(code) => {
                    let before = outcome;
                    prop_assert_eq!(layer.on_response(&invite, status(code), now, &mut out), alive);
                    heard |= alive;
                    let mut wanted = Vec::new();
                    match (before, code) {
                        _ if !alive => {}
                        (None, 300..) => wanted.extend([Acknowledge, Passed(code)]),
                        (None, _) | (Some(Passed(200..300)), 200..300) => wanted.push(Passed(code)),
                        (Some(Passed(300..)), 300..) => wanted.push(Acknowledge),
                        _ => {}
                    }
                    if alive && before.is_none() && code >= 200 {
                        outcome = Some(Passed(code));
                        if code >= 300 && reliable {
                            wanted.push(Ended);
                        }
                    }
                    let found: Vec<_> = drained(&mut out).into_iter().map(|(_, out)| out).collect();
                    prop_assert_eq!(found, wanted);
                }
                Event::Cancelled => {
                    let may = layer.is_proceeding(id) && cancelled.is_none();
                    prop_assert_eq!(layer.is_proceeding(id), heard && alive && outcome.is_none());
                    prop_assert_eq!(layer.cancelled(id, now), may);
                    if may {
                        cancelled = Some(now);
                    }
                }
                Event::Unsent => layer.on_transport_error(id, &mut out),
                Event::Wait(ms) => {
                    now += Duration::from_millis(ms);
                    layer.on_deadline(now, &mut out);
                }
            }
            prop_assert!(layer.next_deadline().is_none_or(|at| at >= now));
            for (_, effect) in drained(&mut out) {
                match effect {
                    Again => prop_assert!(outcome.is_none() && !reliable && !heard),
                    Timeout | Failed => {
                        prop_assert_eq!(outcome, None);
                        outcome = Some(effect);
                    }
                    Ended => prop_assert!(outcome.is_some(), "an outcome before the end"),
                    Acknowledge | Passed(_) => prop_assert!(false, "a response without one"),
                }
            }
            let failed = matches!(outcome, Some(Timeout | Failed));
            prop_assert!(!failed || layer.is_empty(), "nothing follows a failure");
            let since = if heard { cancelled } else { Some(start) };
            let expired = since.is_some_and(|at| now >= at + Duration::from_secs(32));
            if let Event::Wait(_) = event {
                prop_assert!(outcome.is_some() || !expired);
            }
            prop_assert!(outcome != Some(Timeout) || expired, "and no sooner");
        }
        if layer.is_proceeding(id) && cancelled.is_none() {
            prop_assert_eq!(layer.next_deadline(), None);
            prop_assert!(layer.cancelled(id, now));
        }
        layer.on_deadline(now + Duration::from_secs(32), &mut out);
        let told = out.iter().any(|o| o.effect == ClientEffect::Timeout);
        prop_assert_eq!(told, outcome.is_none());
        prop_assert!(layer.is_empty() && layer.next_deadline().is_none());
        prop_assert!(!layer.on_response(&invite, status(200), now, &mut out));
    }
}
