//! Which server of a domain is asked, and which after it: RFC 3263 §4 against servers that are there, fail or change.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{ALICE, CAROL, PATIENCE, lead_to, leading_to, nothing_left, setup, user};
use crate::harness::{Connection, NameServer, Remote, Request, TlsPeer};

/// Takes a MESSAGE and answers it.
pub(super) fn serve(connection: &mut Connection) {
    let asked = connection.next_request(PATIENCE).expect("a MESSAGE");
    connection
        .send(&asked.answer(200, "OK"))
        .expect("a connection");
}

#[test]
fn the_server_of_first_priority_is_asked_and_the_others_are_not() {
    let (first, second) = (
        Remote::serving("server-partner"),
        Remote::serving("server-partner"),
    );
    let names = leading_to(&[&first, &second]);
    let server = setup(&names).start();
    let mut alice = user(&server, "alice");
    let mut carol = None;
    for _ in 0..5 {
        let message = Request::new("MESSAGE", CAROL, ALICE);
        alice.send_request(&message).expect("a connection");
        serve(carol.get_or_insert_with(|| first.accept()));
        assert_eq!(
            alice.final_answer(&message, PATIENCE).response().status,
            200
        );
    }
    assert!(second.is_untouched());
    assert!(first.is_untouched(), "one connection is enough");
}

#[test]
fn a_connection_leaves_from_the_address_that_is_listened_on_and_the_via_says_so() {
    for (situation, listening, there, leaves_from) in [
        ("an address", "127.0.0.2", "127.0.0.1", "127.0.0.2"),
        (
            "the address of the other",
            "127.0.0.2",
            "127.0.0.2",
            "127.0.0.2",
        ),
        ("every address", "0.0.0.0", "127.0.0.1", "127.0.0.1"),
    ] {
        let there: IpAddr = there.parse().expect("an address");
        let remote = Remote::serving_on(there, "server-partner");
        let srv = remote.srv("kama.test", 60, 1);
        let names = NameServer::new(&[&srv, &format!("local.kama.test 60 A {there}")]);
        let server = setup(&names)
            .set("IPAddress", listening)
            .set("UDPPort", "0")
            .start();
        let ours = SocketAddr::new(
            leaves_from.parse().expect("an address"),
            server.tls().port(),
        );
        let mut alice = TlsPeer::named("alice-uri")
            .connect(ours)
            .expect("a handshake");
        let message = Request::new("MESSAGE", CAROL, ALICE);
        alice.send_request(&message).expect("a connection");
        let mut carol = remote.accept();
        let asked = carol.next_request(PATIENCE).expect("a MESSAGE");
        let via = asked.value("via").expect("a Via");
        let wanted = format!("SIP/2.0/TLS {ours};");
        assert!(via.starts_with(&wanted), "{situation}: {via}");
        carol.send(&asked.answer(200, "OK")).expect("a connection");
        let answer = alice.final_answer(&message, PATIENCE).response();
        assert_eq!(answer.status, 200, "{situation}");
        // The same without TLS, whose end can be seen.
        let plain = Remote::plain();
        let uri = format!("sip:carol@{};transport=tcp", plain.address());
        let message = Request::new("MESSAGE", &uri, ALICE);
        alice.send_request(&message).expect("a connection");
        let peer = plain.accept_raw().peer_addr().expect("a connection");
        assert_eq!(peer.ip(), ours.ip(), "{situation}");
        assert_ne!(peer.port(), ours.port(), "{situation}");
    }
}

#[test]
fn the_service_that_naptr_prefers_is_asked() {
    let (wanted, other) = (
        Remote::serving("server-partner"),
        Remote::serving("server-partner"),
    );
    let srv = |name: &str, remote: &Remote| {
        format!(
            "{name} 60 SRV 0 0 {} local.kama.test",
            remote.address().port()
        )
    };
    let lines = [
        "kama.test 60 NAPTR 10 20 s SIPS+D2T \"\" two.kama.test".to_owned(),
        "kama.test 60 NAPTR 10 10 s SIPS+D2T \"\" one.kama.test".to_owned(),
        srv("one.kama.test", &wanted),
        srv("two.kama.test", &other),
        "local.kama.test 60 A 127.0.0.1".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let names = NameServer::new(&lines);
    let server = setup(&names).start();
    let mut alice = user(&server, "alice");
    let message = Request::new("MESSAGE", CAROL, ALICE);
    alice.send_request(&message).expect("a connection");
    serve(&mut wanted.accept());
    assert_eq!(
        alice.final_answer(&message, PATIENCE).response().status,
        200
    );
    assert!(other.is_untouched());
}

#[test]
fn a_server_that_fails_is_followed_by_the_next_and_avoided_from_then_on() {
    for (situation, failing, is_touched) in [
        ("refuses", Remote::absent(), false),
        ("is not reached", Remote::unreachable(), false),
        ("stalls in the handshake", Remote::silent(), true),
        (
            "is somebody else",
            Remote::serving("server-partner-other"),
            true,
        ),
    ] {
        let good = Remote::serving("server-partner");
        let names = leading_to(&[&failing, &good]);
        let mut server = setup(&names).start();
        let before = server.descriptors();
        let mut alice = user(&server, "alice");
        let begun = Instant::now();
        let message = Request::new("MESSAGE", CAROL, ALICE);
        alice.send_request(&message).expect("a connection");
        // Its end is held open: it is ours to give up.
        let _held = match situation {
            "is somebody else" => {
                failing.accept_failing();
                None
            }
            _ => is_touched.then(|| failing.accept_raw()),
        };
        let mut carol = good.accept();
        serve(&mut carol);
        let answer = alice.final_answer(&message, PATIENCE).response();
        assert_eq!(answer.status, 200, "{situation}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{situation}");
        // The second time nobody waits.
        let message = Request::new("MESSAGE", CAROL, ALICE);
        let begun = Instant::now();
        alice.send_request(&message).expect("a connection");
        serve(&mut carol);
        assert_eq!(
            alice.final_answer(&message, PATIENCE).response().status,
            200,
            "{situation}"
        );
        assert!(begun.elapsed() < Duration::from_millis(900), "{situation}");
        if situation != "is not reached" {
            assert!(failing.is_untouched(), "{situation}");
        }
        drop((carol, alice));
        nothing_left(&mut server, before);
    }
}

#[test]
fn with_half_of_the_servers_gone_everything_is_delivered() {
    let absent: Vec<Remote> = (0..3).map(|_| Remote::absent()).collect();
    let good = Remote::serving("server-partner");
    let names = leading_to(&[&absent[0], &absent[1], &absent[2], &good]);
    let server = setup(&names).start();
    let mut alice = user(&server, "alice");
    let mut carol = None;
    for _ in 0..50 {
        let message = Request::new("MESSAGE", CAROL, ALICE);
        alice.send_request(&message).expect("a connection");
        serve(carol.get_or_insert_with(|| good.accept()));
        assert_eq!(
            alice.final_answer(&message, PATIENCE).response().status,
            200
        );
    }
}

#[test]
fn a_record_that_changes_is_followed_once_it_has_been_long_enough_in_memory() {
    let (old, new) = (
        Remote::serving("server-partner"),
        Remote::serving("server-partner"),
    );
    let names = NameServer::new(&[]);
    lead_to(&names, 1, &[&old]);
    let server = setup(&names).start();
    let mut alice = user(&server, "alice");
    let message = Request::new("MESSAGE", CAROL, ALICE);
    alice.send_request(&message).expect("a connection");
    let mut carol = old.accept();
    serve(&mut carol);
    assert_eq!(
        alice.final_answer(&message, PATIENCE).response().status,
        200
    );
    lead_to(&names, 60, &[&new]);
    let begun = Instant::now();
    loop {
        let message = Request::new("MESSAGE", CAROL, ALICE);
        alice.send_request(&message).expect("a connection");
        let is_new = match carol.next_request(Duration::from_millis(100)) {
            Some(asked) => {
                carol.send(&asked.answer(200, "OK")).expect("a connection");
                false
            }
            None => {
                serve(&mut new.accept());
                true
            }
        };
        assert_eq!(
            alice.final_answer(&message, PATIENCE).response().status,
            200
        );
        if is_new {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}
