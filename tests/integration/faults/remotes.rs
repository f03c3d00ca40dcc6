//! Servers of other domains, and name servers, that fail.

use std::time::{Duration, Instant};

use super::{
    ALICE, AT_ONCE, CAROL, PATIENCE, call, leading_to, logs, nothing_left, registered, setup, user,
    while_pinging,
};
use crate::harness::{Answer, Connection, NameFault, NameServer, Remote, Request, TlsPeer};

/// What the server of the other domain does.
enum Fails {
    /// Nobody listens.
    Absent,
    /// What opens a connection is lost.
    Unreachable,
    /// It never says anything.
    Stalls,
    /// It ends the connection in the middle of the handshake.
    Hangs,
    /// It shows this certificate.
    Shows(&'static str),
    /// It takes the request, and ends the connection.
    Dies,
    /// It takes the request, and does not answer.
    Ignores,
    /// It answers with this.
    Says(&'static [u8]),
}

#[test]
fn a_domain_whose_server_fails_is_told_from_one_that_is_slow() {
    for (situation, fails, status, says) in [
        ("nobody listens", Fails::Absent, 500, "conn.unreachable"),
        (
            "what opens a connection is lost",
            Fails::Unreachable,
            500,
            "reason=ConnectTimeout",
        ),
        (
            "the handshake stalls",
            Fails::Stalls,
            500,
            "reason=ConnectTimeout",
        ),
        (
            "it hangs up in the handshake",
            Fails::Hangs,
            500,
            "tls.server_refused",
        ),
        (
            "it is somebody else",
            Fails::Shows("server-partner-other"),
            500,
            "elsewhere.test",
        ),
        (
            "its certificate has expired",
            Fails::Shows("server-partner-expired"),
            500,
            "expired",
        ),
        (
            "its CA is not trusted",
            Fails::Shows("server-partner-untrusted"),
            500,
            "tls.server_refused",
        ),
        (
            "it takes the request and dies",
            Fails::Dies,
            500,
            "conn.closed",
        ),
        (
            "it takes the request and is silent",
            Fails::Ignores,
            408,
            "sip.sent",
        ),
        (
            "it answers with what is no SIP",
            Fails::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            500,
            "sip.malformed",
        ),
    ] {
        let remote = match fails {
            Fails::Absent => Remote::absent(),
            Fails::Unreachable => Remote::unreachable(),
            Fails::Stalls | Fails::Hangs => Remote::silent(),
            Fails::Shows(certificate) => Remote::serving(certificate),
            Fails::Dies | Fails::Ignores | Fails::Says(_) => Remote::serving("server-partner"),
        };
        let names = leading_to(&[&remote]);
        let mut server = setup(&names).set("TimerT1", "50").start();
        let before = server.descriptors();
        let mut alice = user(&server, "alice");
        while_pinging(server.tls(), || {
            let begun = Instant::now();
            let invite = Request::new("INVITE", CAROL, ALICE);
            alice.send_request(&invite).expect("a connection");
            match fails {
                Fails::Absent | Fails::Unreachable | Fails::Stalls => {}
                Fails::Hangs => drop(remote.accept_raw()),
                Fails::Shows(_) => remote.accept_failing(),
                Fails::Dies | Fails::Ignores | Fails::Says(_) => {
                    let mut connection = remote.accept();
                    connection.next_request(PATIENCE).expect("the INVITE");
                    match fails {
                        Fails::Says(octets) => {
                            connection.send(octets).expect("a connection");
                            assert!(connection.closed_within(PATIENCE), "{situation}");
                        }
                        Fails::Ignores => {
                            assert!(connection.next_request(Duration::from_secs(4)).is_none());
                        }
                        _ => {}
                    }
                }
            }
            let answer = alice.final_answer(&invite, PATIENCE).response();
            assert_eq!(
                answer.status,
                status,
                "{situation}: {}\n{}",
                answer.reason,
                server.log()
            );
            assert!(begun.elapsed() < Duration::from_secs(8), "{situation}");
        });
        logs(&server, says);
        drop(alice);
        nothing_left(&mut server, before);
    }
}

#[test]
fn a_domain_that_nobody_finds_is_answered_for_in_time() {
    let names = NameServer::new(&["sip.elsewhere.test 60 A 127.0.0.1"]);
    names.fault("_sips._tcp.silent.test", NameFault::Silence);
    let mut server = setup(&names).set("DNSTimeout", "600").start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    while_pinging(server.tls(), || {
        // RFC 3261 §16.7: our own lack of a way is no 503 of the whole domain.
        for (situation, held, uri, status) in [
            (
                "the name is not there",
                false,
                "sip:carol@nowhere.test",
                500,
            ),
            (
                "nobody answers for one name",
                false,
                "sip:carol@silent.test",
                408,
            ),
            ("nobody answers at all", true, "sip:carol@held.test", 408),
        ] {
            names.hold(held);
            let begun = Instant::now();
            let invite = Request::new("INVITE", uri, ALICE);
            let answer = match alice.ask(&invite) {
                Answer::Response(answer) => answer,
                other => panic!("{situation}: {other:?}\n{}", server.log()),
            };
            assert_eq!(answer.status, status, "{situation}: {}", answer.reason);
            assert!(begun.elapsed() < Duration::from_secs(3), "{situation}");
            names.hold(false);
        }
    });
    drop(alice);
    nothing_left(&mut server, before);
}

#[test]
fn whoever_floods_names_that_nobody_answers_for_waits_himself_and_nobody_else_does() {
    const NAMES: usize = 300;
    let remote = Remote::serving("server-partner");
    let names = leading_to(&[&remote]);
    for n in 0..NAMES {
        for name in [
            format!("dead{n}.test"),
            format!("_sips._tcp.dead{n}.test"),
            format!("_sip._tcp.dead{n}.test"),
            format!("_sip._udp.dead{n}.test"),
        ] {
            names.fault(&name, NameFault::Silence);
        }
    }
    let server = setup(&names)
        .set("DNSTimeout", "3000")
        .set("MaximumPendingLookups", "200")
        .start();
    let mut alice = user(&server, "alice");
    let mut bob = user(&server, "bob");
    let flooded = Instant::now();
    for n in 0..NAMES {
        let invite = Request::new("INVITE", &format!("sip:carol@dead{n}.test"), ALICE);
        alice.send_request(&invite).expect("a connection");
    }
    // RFC 3261 §16.7: our own lack of a way is no 503 of the whole domain.
    let (mut refused, mut late) = (0, 0);
    // Whoever is refused a place hears so at once: then all that she may have is taken.
    while refused == 0 {
        refused += usize::from(final_status(&mut alice) == 500);
    }
    assert!(flooded.elapsed() < AT_ONCE, "{:?}", flooded.elapsed());
    let begun = Instant::now();
    let message = Request::new("MESSAGE", CAROL, super::BOB);
    bob.send_request(&message).expect("a connection");
    let mut carol = remote.accept();
    let asked = carol.next_request(PATIENCE).expect("the MESSAGE");
    carol.send(&asked.answer(200, "OK")).expect("a connection");
    let answer = bob.final_answer(&message, PATIENCE).response();
    assert_eq!(answer.status, 200);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    while refused + late < NAMES {
        match final_status(&mut alice) {
            500 => refused += 1,
            408 => late += 1,
            other => panic!("{other}"),
        }
    }
    assert!(late >= 50, "she has places: {late}");
    assert!(refused >= 50, "they are bounded: {refused}");
    // Those that have waited for a thread are told as soon as those that have had one.
    assert!(
        flooded.elapsed() < Duration::from_secs(5),
        "{:?}",
        flooded.elapsed()
    );
    let (_, status) = server.setup().run(&["ctl", "status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["counters"]["lookups_refused"], refused, "{status}");
}

/// The status of the next final answer that comes.
fn final_status(connection: &mut Connection) -> u16 {
    loop {
        let status = connection.next(PATIENCE).response().status;
        if status >= 200 {
            return status;
        }
    }
}

#[test]
fn a_server_that_dies_in_a_call_leaves_a_bye_that_is_answered() {
    let remote = Remote::serving("server-partner");
    let names = leading_to(&[&remote]);
    let mut server = setup(&names).start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    let invite = Request::new("INVITE", CAROL, ALICE);
    let (mut dialog, _, carol) = call(&invite, &mut alice, || remote.accept());
    let mut line = server.lines();
    drop(carol);
    server
        .wait_after(&mut line, &["conn.closed"], PATIENCE)
        .expect("the end of the connection");
    let begun = Instant::now();
    let answer = while_pinging(server.tls(), || dialog.ask("BYE", &mut alice));
    assert!(
        (400..600).contains(&answer.status),
        "{} {}",
        answer.status,
        answer.reason
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(alice);
    nothing_left(&mut server, before);
}

#[test]
fn a_domain_that_stops_reading_loses_its_connection_and_nobody_else_anything() {
    let remote = Remote::serving("server-partner");
    let names = leading_to(&[&remote]);
    let mut server = setup(&names)
        .set("WriteTimeout", "2")
        .set("MaximumQueuedBytes", "65536")
        .set("TimerT1", "100")
        .start();
    let before = server.descriptors();
    let mut bob = registered(&server, "bob");
    let mut alice = user(&server, "alice");
    while_pinging(server.tls(), || {
        let mut message = Request::new("MESSAGE", CAROL, ALICE);
        message.body = "x".repeat(8_000);
        alice.send_request(&message).expect("a connection");
        let held = remote.accept();
        let mut sent = 1;
        // The system holds some megabytes for who does not read.
        while !server.log().contains("reason=WriteTimeout") && sent < 4_000 {
            for _ in 0..20 {
                message = message.following();
                alice.send_request(&message).expect("a connection");
                sent += 1;
            }
            // Alice hears of those that have failed, and is heard on.
            while let Answer::Response(answer) = alice.next(Duration::from_millis(5)) {
                assert!(answer.status >= 400, "{}", answer.status);
            }
            let hello = Request::new("MESSAGE", super::BOB, ALICE);
            let mut other = TlsPeer::named("alice-uri")
                .connect(server.tls())
                .expect("a handshake");
            other.send_request(&hello).expect("a connection");
            let asked = bob.next_request(PATIENCE).expect("the MESSAGE");
            bob.send(&asked.answer(200, "OK")).expect("a connection");
            assert_eq!(other.final_answer(&hello, PATIENCE).response().status, 200);
        }
        logs(&server, "reason=WriteTimeout");
        drop(held);
    });
    assert!(server.rss() < 200 * 1024, "{} KiB", server.rss());
    // A connection that is full is no reason to open another: one more may have been, once it was closed.
    let mut more = 0;
    while !remote.is_untouched() {
        more += 1;
    }
    assert!(more <= 1, "{more} more connections to who does not read");
    drop((alice, bob));
    nothing_left(&mut server, before);
}

#[test]
fn what_has_been_given_up_is_not_sent_any_more() {
    // Four seconds of trying, where three are all that a transaction has.
    let stalled: Vec<Remote> = (0..4).map(|_| Remote::silent()).collect();
    let good = Remote::serving("server-partner");
    let names = leading_to(&[&stalled[0], &stalled[1], &stalled[2], &stalled[3], &good]);
    let server = setup(&names).set("TimerT1", "40").start();
    let mut alice = user(&server, "alice");
    let invite = Request::new("INVITE", CAROL, ALICE);
    assert_eq!(alice.ask(&invite).response().status, 408);
    super::logs(&server, "sip.given_up method=INVITE");
    assert!(good.is_untouched());
}

#[test]
fn a_domain_that_does_not_read_before_it_has_written_is_heard() {
    let remote = Remote::serving("server-partner");
    let names = leading_to(&[&remote]);
    let mut server = setup(&names)
        .set("WriteTimeout", "60")
        .set("MaximumQueuedBytes", "65536")
        .start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    while_pinging(server.tls(), || {
        let first = Request::new("MESSAGE", CAROL, ALICE);
        alice.send_request(&first).expect("a connection");
        let mut partner = remote.accept();
        let asked = partner.next_request(PATIENCE).expect("the first MESSAGE");
        // Until the system takes no more for it, and the server can queue no more: it says so of all that is new.
        let mut message = Request::new("MESSAGE", CAROL, ALICE);
        message.body = "x".repeat(8_000);
        let (mut sent, mut refused, mut full) = (0, 0, 0);
        while full < 5 && sent < 4_000 {
            let before = refused;
            for _ in 0..20 {
                message = message.following();
                alice.send_request(&message).expect("a connection");
                sent += 1;
            }
            while let Answer::Response(answer) = alice.next(Duration::from_millis(5)) {
                refused += usize::from(answer.status >= 400);
            }
            full = if refused == before + 20 { full + 1 } else { 0 };
        }
        assert!(full == 5, "of {sent} {refused} are refused");
        // It answers as a server would that is itself waiting to get rid of what it has to say.
        let told = Instant::now();
        partner
            .send(&asked.answer(200, "OK"))
            .expect("a connection");
        assert_eq!(alice.final_answer(&first, PATIENCE).response().status, 200);
        assert!(told.elapsed() < super::AT_ONCE, "{:?}", told.elapsed());
        // Then it takes everything, and nothing of it was lost.
        for _ in refused..sent {
            let asked = partner.next_request(PATIENCE).expect("a MESSAGE");
            partner
                .send(&asked.answer(200, "OK"))
                .expect("a connection");
        }
        let mut answered = 0;
        while answered < sent - refused {
            let answer = alice.next(PATIENCE).response();
            assert!(matches!(answer.status, 100 | 200), "{}", answer.status);
            answered += usize::from(answer.status == 200);
        }
        drop(partner);
    });
    drop(alice);
    nothing_left(&mut server, before);
}
