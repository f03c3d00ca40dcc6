//! A domain with several servers, the first of which fail after they have been reached (RFC 3263 §4.3).

use std::time::{Duration, Instant};

use super::{ALICE, CAROL, PATIENCE, leading_to, logs, nothing_left, setup, user, while_pinging};
use crate::harness::{Answer, Incoming, Remote, Request};

/// What a server does with a request that it has got.
enum Fails {
    /// It answers 503.
    Unavailable,
    /// It ends the connection.
    Dies,
    /// It does not answer.
    Ignores,
    /// It refuses our certificate, once the request is on its way.
    Distrusts,
}

fn branch(request: &Incoming) -> String {
    let via = request.value("via").expect("a Via");
    let branch = via.split(";branch=").nth(1).expect("a branch");
    branch.split(';').next().expect("a branch").to_owned()
}

#[test]
fn the_next_server_of_a_domain_is_asked_when_one_fails() {
    for (situation, fails, says) in [
        ("it answers 503", Fails::Unavailable, "sip.not_served"),
        ("it dies", Fails::Dies, "sip.not_served"),
        ("it is silent", Fails::Ignores, "sip.not_served"),
        (
            "it refuses our certificate",
            Fails::Distrusts,
            "fault=refused-us",
        ),
    ] {
        let first = match fails {
            Fails::Distrusts => Remote::distrusting("server-partner"),
            _ => Remote::serving("server-partner"),
        };
        let second = Remote::serving("server-partner");
        let names = leading_to(&[&first, &second]);
        let mut server = setup(&names).set("TimerT1", "30").start();
        let before = server.descriptors();
        let mut alice = user(&server, "alice");
        while_pinging(server.tls(), || {
            let invite = Request::new("INVITE", CAROL, ALICE);
            alice.send_request(&invite).expect("a connection");
            let mut asked = None;
            let mut held = None;
            if matches!(fails, Fails::Distrusts) {
                first.accept_failing();
            } else {
                let mut connection = first.accept();
                let request = connection.next_request(PATIENCE).expect("the INVITE");
                match fails {
                    Fails::Unavailable => {
                        let answer = request.answer(503, "Later");
                        connection.send(&answer).expect("a connection");
                        let ack = connection.next_request(PATIENCE).expect("the ACK");
                        assert!(ack.start.starts_with("ACK "), "{}", ack.start);
                        assert_eq!(branch(&ack), branch(&request));
                        held = Some(connection);
                    }
                    Fails::Ignores => held = Some(connection),
                    Fails::Dies | Fails::Distrusts => drop(connection),
                }
                asked = Some(request);
            }
            let mut carol = second.accept();
            let request = carol.next_request(PATIENCE).expect("the INVITE");
            if let Some(first) = asked {
                assert_ne!(branch(&request), branch(&first), "{situation}");
                assert_eq!(request.value("max-forwards"), first.value("max-forwards"));
            }
            carol
                .send(&request.answer(486, "Busy"))
                .expect("a connection");
            let ack = carol.next_request(PATIENCE).expect("the ACK");
            assert_eq!(branch(&ack), branch(&request), "{situation}");
            let answer = alice.final_answer(&invite, PATIENCE).response();
            assert_eq!(answer.status, 486, "{situation}\n{}", server.log());

            // The first is not asked before the second any more.
            let message = Request::new("MESSAGE", CAROL, ALICE);
            alice.send_request(&message).expect("a connection");
            let request = carol.next_request(PATIENCE).expect("the MESSAGE");
            carol
                .send(&request.answer(200, "OK"))
                .expect("a connection");
            let answer = alice.final_answer(&message, PATIENCE).response();
            assert_eq!(answer.status, 200, "{situation}");
            drop(held);
        });
        logs(&server, says);
        drop(alice);
        nothing_left(&mut server, before);
    }
}

#[test]
fn when_all_servers_of_a_domain_are_unavailable_that_is_told_as_500() {
    let remotes = [(); 2].map(|()| Remote::serving("server-partner"));
    let names = leading_to(&[&remotes[0], &remotes[1]]);
    let server = setup(&names).start();
    let mut alice = user(&server, "alice");
    let message = Request::new("MESSAGE", CAROL, ALICE);
    alice.send_request(&message).expect("a connection");
    let mut held = Vec::new();
    for remote in &remotes {
        let mut carol = remote.accept();
        let request = carol.next_request(PATIENCE).expect("the MESSAGE");
        let answer = request.answer(503, "Later");
        carol.send(&answer).expect("a connection");
        held.push(carol);
    }
    let answer = alice.final_answer(&message, PATIENCE).response();
    assert_eq!(answer.status, 500);
}

#[test]
fn no_more_than_six_servers_are_asked_and_those_that_were_not_asked_come_first_then() {
    let remotes = [(); 7].map(|()| Remote::serving("server-partner"));
    let all: Vec<&Remote> = remotes.iter().collect();
    let names = leading_to(&all);
    let server = setup(&names).start();
    let mut alice = user(&server, "alice");
    let message = Request::new("MESSAGE", CAROL, ALICE);
    alice.send_request(&message).expect("a connection");
    let (last, first) = remotes.split_last().expect("seven");
    let mut held = Vec::new();
    for remote in first {
        let mut carol = remote.accept();
        let request = carol.next_request(PATIENCE).expect("the MESSAGE");
        let answer = request.answer(503, "Later");
        carol.send(&answer).expect("a connection");
        held.push(carol);
    }
    let answer = alice.final_answer(&message, PATIENCE).response();
    assert_eq!(answer.status, 500);
    assert!(last.is_untouched());

    let message = Request::new("MESSAGE", CAROL, ALICE);
    alice.send_request(&message).expect("a connection");
    let mut carol = last.accept();
    let request = carol.next_request(PATIENCE).expect("the MESSAGE");
    carol
        .send(&request.answer(200, "OK"))
        .expect("a connection");
    let answer = alice.final_answer(&message, PATIENCE).response();
    assert_eq!(answer.status, 200);
}

#[test]
fn cancel_while_the_next_server_is_reached_for_ends_the_call_at_once() {
    let first = Remote::serving("server-partner");
    let stalled = Remote::silent();
    let third = Remote::serving("server-partner");
    let names = leading_to(&[&first, &stalled, &third]);
    let server = setup(&names).set("ConnectTimeout", "3").start();
    let mut alice = user(&server, "alice");
    let invite = Request::new("INVITE", CAROL, ALICE);
    alice.send_request(&invite).expect("a connection");
    let mut carol = first.accept();
    let request = carol.next_request(PATIENCE).expect("the INVITE");
    let answer = request.answer(503, "Later");
    carol.send(&answer).expect("a connection");
    let reached = stalled.accept_raw();
    let begun = Instant::now();
    let mut cancel = invite.clone();
    "CANCEL".clone_into(&mut cancel.method);
    alice.send_request(&cancel).expect("a connection");
    let (mut cancelled, mut answered) = (false, false);
    while !(cancelled && answered) {
        match alice.next(PATIENCE) {
            Answer::Response(answer) if answer.status == 200 => cancelled = true,
            Answer::Response(answer) if answer.status == 487 => answered = true,
            Answer::Response(answer) if answer.status == 100 => {}
            other => panic!("{other:?}\n{}", server.log()),
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    drop(reached);
    logs(&server, "sip.given_up method=INVITE");
    assert!(third.is_untouched());
}
