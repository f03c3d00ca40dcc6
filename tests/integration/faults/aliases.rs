//! Requests toward a peer over the connection that it has opened itself (RFC 5923), and who would like to get them.

use std::net::SocketAddr;
use std::time::Duration;

use super::{ALICE, CAROL, PATIENCE, leading_to, registered, setup, user};
use crate::harness::{Connection, Remote, Request, Server, TlsPeer};

/// A peer connects, and says in a request that it takes requests over this connection as if they came to `place`.
fn claiming(server: &Server, certificate: &str, sent_by: &str) -> Connection {
    let mut peer = TlsPeer::named(certificate)
        .from([127, 0, 0, 1].into())
        .connect(server.tls())
        .expect("a handshake");
    let ping = Request::ping();
    let local = peer.local().to_string();
    let octets = ping.octets("TLS", peer.local());
    let octets = String::from_utf8(octets).expect("text");
    let via = format!("Via: SIP/2.0/TLS {local};");
    assert!(octets.contains(&via), "{octets}");
    let octets = octets.replacen(&via, &format!("Via: SIP/2.0/TLS {sent_by};alias;"), 1);
    peer.send(octets.as_bytes()).expect("a connection");
    assert_eq!(peer.final_answer(&ping, PATIENCE).response().status, 200);
    peer
}

/// Alice asks carol something, and somebody answers.
fn asks(alice: &mut Connection, answering: &mut Connection) {
    let message = Request::new("MESSAGE", CAROL, ALICE);
    alice.send_request(&message).expect("a connection");
    let asked = answering.next_request(PATIENCE).expect("the MESSAGE");
    answering
        .send(&asked.answer(200, "OK"))
        .expect("a connection");
    let answer = alice.final_answer(&message, PATIENCE).response();
    assert_eq!(answer.status, 200);
}

fn with_port(host: &str, remote: &Remote) -> String {
    format!("{host}:{}", remote.address().port())
}

#[test]
fn a_peer_that_asks_for_it_gets_requests_over_its_own_connection_while_that_lives() {
    for host in ["127.0.0.1", "kama.test"] {
        let remote = Remote::serving("server-partner");
        let names = leading_to(&[&remote]);
        let server = setup(&names).start();
        let mut alice = user(&server, "alice");
        let mut peer = claiming(&server, "server-partner", &with_port(host, &remote));
        asks(&mut alice, &mut peer);
        assert!(remote.is_untouched(), "{host}");
        let mut line = server.lines();
        peer.close();
        let closed = server.wait_after(&mut line, &["conn.closed"], PATIENCE);
        closed.expect("the end of the connection");
        let message = Request::new("MESSAGE", CAROL, ALICE);
        alice.send_request(&message).expect("a connection");
        let mut carol = remote.accept();
        let asked = carol.next_request(PATIENCE).expect("the MESSAGE");
        carol.send(&asked.answer(200, "OK")).expect("a connection");
        let answer = alice.final_answer(&message, PATIENCE).response();
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[test]
fn nobody_gets_requests_for_others_by_saying_so() {
    let elsewhere: SocketAddr = ([127, 0, 0, 1], 1).into();
    for (situation, certificate, sent_by) in [
        (
            "a server of another domain, by the address",
            "server-partner-other",
            None,
        ),
        (
            "a server of another domain, by the name that it wants",
            "server-partner-other",
            Some("kama.test"),
        ),
        ("a user of ours, by the address", "bob-uri", None),
        (
            "a user of ours, by the name that he wants",
            "bob-uri",
            Some("kama.test"),
        ),
        (
            "the server itself, at another place",
            "server-partner",
            Some("127.0.0.2"),
        ),
    ] {
        let remote = Remote::serving("server-partner");
        let names = leading_to(&[&remote]);
        let server = setup(&names).start();
        let mut alice = user(&server, "alice");
        let sent_by = with_port(sent_by.unwrap_or("127.0.0.1"), &remote);
        let mut peer = claiming(&server, certificate, &sent_by);
        let message = Request::new("MESSAGE", CAROL, ALICE);
        alice.send_request(&message).expect("a connection");
        let mut carol = remote.accept();
        let asked = carol.next_request(PATIENCE).expect(situation);
        carol.send(&asked.answer(200, "OK")).expect("a connection");
        let answer = alice.final_answer(&message, PATIENCE).response();
        assert_eq!(answer.status, 200, "{situation}");
        let stray = peer.next_request(Duration::from_millis(50));
        assert!(stray.is_none(), "{situation}: {stray:?}");
    }
    // And a port that nothing leads to is no way to anybody.
    let remote = Remote::serving("server-partner");
    let names = leading_to(&[&remote]);
    let server = setup(&names).start();
    let mut bob = registered(&server, "bob");
    let mut peer = claiming(&server, "server-partner", &elsewhere.to_string());
    let message = Request::new("MESSAGE", CAROL, super::BOB);
    bob.send_request(&message).expect("a connection");
    let mut carol = remote.accept();
    let asked = carol.next_request(PATIENCE).expect("the MESSAGE");
    carol.send(&asked.answer(200, "OK")).expect("a connection");
    assert_eq!(bob.final_answer(&message, PATIENCE).response().status, 200);
    assert!(peer.next_request(Duration::from_millis(50)).is_none());
}
