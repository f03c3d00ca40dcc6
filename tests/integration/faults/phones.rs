//! Phones whose connections break, or that say too much.

use std::time::{Duration, Instant};

use super::{
    ALICE, BOB, Dialog, PATIENCE, answer, call, leading_to, nothing_left, registered, setup, user,
    while_pinging,
};
use crate::harness::{Answer, Connection, Request};

/// Alice has called Bob, and hears that it rings.
fn ringing(alice: &mut Connection, bob: &mut Connection) -> (Request, crate::harness::Incoming) {
    let invite = Request::new("INVITE", BOB, ALICE);
    alice.send_request(&invite).expect("a connection");
    let invitation = bob.next_request(PATIENCE).expect("an INVITE");
    bob.send(&answer(&invitation, 180, "sip:bob@phone.invalid"))
        .expect("a connection");
    loop {
        if alice.next(PATIENCE).response().status == 180 {
            return (invite, invitation);
        }
    }
}

#[test]
fn a_phone_that_is_gone_while_it_rings_is_answered_for_at_once() {
    let names = leading_to(&[]);
    let mut server = setup(&names).start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    while_pinging(server.tls(), || {
        let mut bob = registered(&server, "bob");
        let (invite, _) = ringing(&mut alice, &mut bob);
        let begun = Instant::now();
        drop(bob);
        let ended = alice.final_answer(&invite, PATIENCE).response();
        assert_eq!(ended.status, 480, "{}", ended.reason);
        assert!(begun.elapsed() < Duration::from_secs(2));
        // Its binding has gone with it.
        let again = Request::new("INVITE", BOB, ALICE);
        assert_eq!(alice.ask(&again).response().status, 480);
    });
    drop(alice);
    nothing_left(&mut server, before);
}

#[test]
fn a_phone_stops_ringing_when_the_caller_is_gone() {
    let names = leading_to(&[]);
    let mut server = setup(&names).start();
    let before = server.descriptors();
    let mut bob = registered(&server, "bob");
    for answers_late in [false, true] {
        let mut alice = user(&server, "alice");
        let (_, invitation) = ringing(&mut alice, &mut bob);
        drop(alice);
        let cancel = bob.next_request(PATIENCE).expect("a CANCEL");
        assert!(cancel.start.starts_with("CANCEL "), "{}", cancel.start);
        bob.send(&answer(&cancel, 200, "sip:bob@phone.invalid"))
            .expect("a connection");
        let status = if answers_late { 200 } else { 487 };
        bob.send(&answer(&invitation, status, "sip:bob@phone.invalid"))
            .expect("a connection");
        if !answers_late {
            let ack = bob.next_request(PATIENCE).expect("an ACK");
            assert!(ack.start.starts_with("ACK "), "{}", ack.start);
        }
        assert_eq!(bob.ask(&Request::ping()).response().status, 200);
    }
    drop(bob);
    nothing_left(&mut server, before);
}

#[test]
fn a_bye_to_a_phone_that_is_gone_is_answered() {
    let names = leading_to(&[]);
    let mut server = setup(&names).start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    let bob = registered(&server, "bob");
    let invite = Request::new("INVITE", BOB, ALICE);
    let (mut dialog, _, bob) = call(&invite, &mut alice, || bob);
    let mut line = server.lines();
    drop(bob);
    server
        .wait_after(&mut line, &["conn.closed"], PATIENCE)
        .expect("the end of the connection");
    let begun = Instant::now();
    let ended = dialog.ask("BYE", &mut alice);
    assert!((400..600).contains(&ended.status), "{}", ended.status);
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(alice);
    nothing_left(&mut server, before);
}

#[test]
fn ten_thousand_provisional_answers_are_borne() {
    const MANY: usize = 10_000;
    let names = leading_to(&[]);
    let mut server = setup(&names).start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    let mut bob = registered(&server, "bob");
    while_pinging(server.tls(), || {
        let (invite, invitation) = ringing(&mut alice, &mut bob);
        let mut sent = Vec::new();
        for _ in 0..MANY {
            sent.extend(answer(&invitation, 183, "sip:bob@phone.invalid"));
        }
        sent.extend(answer(&invitation, 486, "sip:bob@phone.invalid"));
        let (mut heard, ended) = (
            0,
            std::thread::scope(|scope| {
                scope.spawn(|| bob.send(&sent).expect("a connection"));
                let mut heard = 0;
                loop {
                    match alice.next(PATIENCE) {
                        Answer::Response(response) if response.status < 200 => heard += 1,
                        Answer::Response(response) => return (heard, Some(response.status)),
                        Answer::Closed(_) | Answer::Silence => return (heard, None),
                    }
                }
            }),
        );
        heard += ended.0;
        assert!(heard > MANY / 100, "{heard} were passed on");
        let refused = bob.next_request(PATIENCE).expect("an ACK");
        assert!(refused.start.starts_with("ACK "), "{}", refused.start);
        assert_eq!(ended.1, Some(486), "after {heard}: {}", invite.call_id);
    });
    assert!(server.rss() < 200 * 1024, "{} KiB", server.rss());
    drop((alice, bob));
    nothing_left(&mut server, before);
}

#[test]
fn every_request_is_answered_while_flows_come_and_go() {
    let names = leading_to(&[]);
    let mut server = setup(&names).start();
    let before = server.descriptors();
    let tls = server.tls();
    std::thread::scope(|scope| {
        // Bob's phones come with a contact each, ring or answer, and go without a word.
        for phone in 0..6 {
            let server = &server;
            scope.spawn(move || {
                for turn in 0..25 {
                    let mut bob = user(server, "bob");
                    let mut register = Request::new("REGISTER", "sip:example.org", BOB);
                    register.contact =
                        Some(format!("<sip:bob{phone}@phone.invalid;transport=tls>"));
                    assert_eq!(bob.ask(&register).response().status, 200);
                    if turn % 3 != 0
                        && let Some(asked) = bob.next_request(Duration::from_millis(300))
                        && turn % 3 == 1
                    {
                        let _ = bob.send(&answer(&asked, 200, "sip:bob@phone.invalid"));
                    }
                }
            });
        }
        for _ in 0..4 {
            scope.spawn(move || {
                let mut alice = crate::harness::TlsPeer::named("alice-uri")
                    .connect(tls)
                    .expect("a handshake");
                for _ in 0..100 {
                    let message = Request::new("MESSAGE", BOB, ALICE);
                    let status = alice.ask(&message).response().status;
                    assert!(matches!(status, 200 | 480 | 404 | 500), "{status}");
                }
            });
        }
    });
    nothing_left(&mut server, before);
}

#[test]
fn both_sides_may_end_a_call() {
    let names = leading_to(&[]);
    let server = setup(&names).start();
    for ends in ["caller", "callee"] {
        let mut alice = user(&server, "alice");
        let bob = registered(&server, "bob");
        let invite = Request::new("INVITE", BOB, ALICE);
        let (caller, callee, mut bob) = call(&invite, &mut alice, || bob);
        let (mut dialog, one, other): (Dialog, _, _) = match ends {
            "caller" => (caller, &mut alice, &mut bob),
            _ => (callee, &mut bob, &mut alice),
        };
        let bye = dialog.next("BYE", one.local());
        one.send(&bye).expect("a connection");
        let asked = other.next_request(PATIENCE).expect("a BYE");
        assert!(asked.start.starts_with("BYE "), "{}", asked.start);
        other
            .send(&answer(&asked, 200, "sip:x@phone.invalid"))
            .expect("a connection");
        assert_eq!(one.next(PATIENCE).response().status, 200, "{ends}");
    }
}
