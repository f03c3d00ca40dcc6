//! Phones that call each other through the server: baresip over TLS with certificates, over TCP and over UDP.

use std::time::Duration;

use crate::harness::{Baresip, Phone, Request, Server, Setup, TlsPeer, Transport};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server for these transports, with the users alice and bob of example.org, whose dialogs stay with it. Over TCP it trusts
/// whoever is on this machine: nothing can prove a name there. Over UDP nothing can be trusted either, and so it has the
/// rules of repro, which ask nothing of a datagram.
pub(crate) fn server(transports: &[Transport]) -> Server {
    let mut setup = Setup::usual().set("ForceRecordRouting", "true");
    if transports.contains(&Transport::Udp) {
        setup = setup.set("IdentityRules", "repro");
    }
    for user in ["alice@example.org", "bob@example.org"] {
        setup.add_user(user);
    }
    let (status, said) = setup.run(&["acl", "add", "localhost", "--transport", "tcp"]);
    assert_eq!(status, Some(0), "{said}");
    setup.start()
}

/// A server that asks for passwords, under the secure rules: those of alice and bob prove them, over whatever they come.
fn server_with_passwords() -> Server {
    let setup = Setup::usual()
        .set("DisableAuth", "false")
        .set("ForceRecordRouting", "true");
    for user in ["alice@example.org", "bob@example.org"] {
        setup.add_user(user);
    }
    setup.start()
}

/// The phone of a user of example.org, registered. It writes to `friend`.
fn phone(server: &Server, user: &str, transport: Transport, friend: &str) -> Phone {
    let phone = Baresip::new(&format!("{user}@example.org"))
        .over(transport)
        .password("pw")
        .writes_to(friend);
    match transport {
        Transport::Tls => phone.certificate(&format!("{user}-uri")).at(server.tls()),
        Transport::Tcp => phone.at(server.tcp()),
        Transport::Udp => phone.at(server.udp()),
    }
    .start()
    .registered()
}

fn alice_and_bob(server: &Server, alice: Transport, bob: Transport) -> (Phone, Phone) {
    (
        phone(server, "alice", alice, "sip:bob@example.org"),
        phone(server, "bob", bob, "sip:alice@example.org"),
    )
}

/// A call with hold and resume, and what both sides must have seen of it. It still stands.
pub(crate) fn call(caller: &mut Phone, callee: &mut Phone) {
    let earlier = callee.received("INVITE").len();
    caller.dial(&callee.uri());
    assert_eq!(callee.rings(), format!("sip:{}", caller.name()));
    caller.hears_ringing();
    callee.accept();
    callee.established();
    caller.established();
    caller.hold();
    caller.resume();
    // The invitation, hold and resume; each acknowledged.
    let invites = callee.receives(earlier + 3, "INVITE");
    callee.receives(earlier + 3, "ACK");
    let directions: Vec<bool> = invites
        .iter()
        .skip(earlier)
        .map(|invite| String::from_utf8_lossy(&invite.body).contains("a=sendonly"))
        .collect();
    assert_eq!(directions, [false, true, false]);
}

/// A call each way, one ended by who called and one by who was called, and a message each way.
pub(crate) fn talk(one: &mut Phone, other: &mut Phone) {
    let earlier = one.received("BYE").len();
    call(one, other);
    other.hang_up();
    one.closed();
    other.closed();
    call(other, one);
    other.hang_up();
    one.closed();
    other.closed();
    one.receives(earlier + 2, "BYE");
    write(one, other);
    write(other, one);
}

fn write(writer: &mut Phone, reader: &mut Phone) {
    let text = format!("from {}", writer.name());
    assert_eq!(writer.writes(&text), "200 OK");
    reader.reads(&text);
}

/// The callee does not want the call.
pub(crate) fn decline(caller: &mut Phone, callee: &mut Phone) {
    caller.dial(&callee.uri());
    callee.rings();
    caller.hears_ringing();
    callee.hang_up();
    assert_eq!(caller.closed(), "486 Rejected");
    // The proxy acknowledges a final answer that is no 2xx itself (RFC 3261 §17.1.1.3).
    callee.receives(1, "ACK");
}

/// The caller gives up while it rings.
pub(crate) fn give_up(caller: &mut Phone, callee: &mut Phone) {
    caller.dial(&callee.uri());
    callee.rings();
    caller.hears_ringing();
    caller.hang_up();
    callee.closed();
    callee.receives(1, "CANCEL");
    callee.receives(1, "ACK");
    for (method, status) in [("CANCEL", "SIP/2.0 200 "), ("INVITE", "SIP/2.0 487 ")] {
        let answers = caller.waits_for_answers(1, method);
        assert!(answers[0].start.starts_with(status), "{}", answers[0].start);
    }
}

/// A user has two phones: both ring, one answers, the other stops.
pub(crate) fn fork(caller: &mut Phone, one: &mut Phone, other: &mut Phone) {
    caller.dial(&one.uri());
    one.rings();
    other.rings();
    other.accept();
    other.established();
    caller.established();
    one.closed();
    one.receives(1, "CANCEL");
    caller.hang_up();
    other.closed();
    other.receives(1, "BYE");
}

#[test]
fn two_phones_with_certificates_call_and_write_to_each_other() {
    let server = server(&[Transport::Tls]);
    let (mut alice, mut bob) = alice_and_bob(&server, Transport::Tls, Transport::Tls);
    talk(&mut alice, &mut bob);
}

#[test]
fn two_phones_call_and_write_to_each_other_over_tcp() {
    let server = server_with_passwords();
    let (mut alice, mut bob) = alice_and_bob(&server, Transport::Tcp, Transport::Tcp);
    talk(&mut alice, &mut bob);
}

#[test]
fn two_phones_call_and_write_to_each_other_over_udp() {
    let server = server_with_passwords();
    let (mut alice, mut bob) = alice_and_bob(&server, Transport::Udp, Transport::Udp);
    talk(&mut alice, &mut bob);
}

#[test]
fn phones_with_passwords_on_different_transports_call_and_write_to_each_other() {
    use Transport::{Tcp, Tls, Udp};
    let server = server_with_passwords();
    for (one, other) in [(Tls, Udp), (Tcp, Udp)] {
        let (mut alice, mut bob) = alice_and_bob(&server, one, other);
        talk(&mut alice, &mut bob);
    }
}

#[test]
fn phones_on_different_transports_call_and_write_to_each_other_under_repros_rules() {
    use Transport::{Tcp, Tls, Udp};
    let server = server(&[Tls, Tcp, Udp]);
    for (one, other) in [(Tls, Tcp), (Udp, Tls)] {
        let (mut alice, mut bob) = alice_and_bob(&server, one, other);
        talk(&mut alice, &mut bob);
    }
}

#[test]
fn a_callee_who_does_not_want_the_call_is_understood() {
    let server = server(&[Transport::Tls]);
    let (mut alice, mut bob) = alice_and_bob(&server, Transport::Tls, Transport::Tls);
    decline(&mut alice, &mut bob);
    drop(bob);

    let mut bob = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    let mut request = Request::new("REGISTER", "sip:example.org", "sip:bob@example.org");
    request.headers.push("Expires: 600".to_owned());
    assert_eq!(bob.ask(&request).response().status, 200);
    alice.dial("sip:bob@example.org");
    let invite = bob.next_request(PATIENCE).expect("the call");
    assert!(invite.start.starts_with("INVITE "), "{}", invite.start);
    bob.send(&invite.answer(603, "Decline")).unwrap();
    assert_eq!(alice.closed(), "603 Decline");
    let ack = bob.next_request(PATIENCE).expect("the ACK");
    assert!(ack.start.starts_with("ACK "), "{}", ack.start);
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    let server = server(&[Transport::Tls]);
    let (mut alice, mut bob) = alice_and_bob(&server, Transport::Tls, Transport::Tls);
    give_up(&mut alice, &mut bob);
}

#[test]
fn all_phones_of_a_user_ring_until_one_answers() {
    let server = server(&[Transport::Tls]);
    let (mut alice, mut desk) = alice_and_bob(&server, Transport::Tls, Transport::Tls);
    let mut mobile = phone(&server, "bob", Transport::Tls, "");
    fork(&mut alice, &mut desk, &mut mobile);
}

#[test]
fn a_call_to_nobody_and_one_to_somebody_who_is_away_are_answered() {
    let server = server(&[Transport::Tls]);
    let mut alice = phone(&server, "alice", Transport::Tls, "");
    alice.dial("sip:nobody@example.org");
    let end = alice.closed();
    assert!(end.starts_with("404 "), "{end}");
    alice.dial("sip:bob@example.org");
    let end = alice.closed();
    assert!(end.starts_with("480 "), "{end}");
}

#[test]
fn alices_phone_that_claims_to_be_bob_neither_registers_nor_calls() {
    let server = server(&[Transport::Tls]);
    let mut false_bob = Baresip::new("bob@example.org")
        .certificate("alice-uri")
        .at(server.tls())
        .writes_to("sip:alice@example.org")
        .start();
    let end = false_bob.registration();
    assert!(end.starts_with("403 "), "{end}");
    false_bob.dial("sip:alice@example.org");
    let end = false_bob.closed();
    assert!(end.starts_with("403 "), "{end}");
    let end = false_bob.writes("I am bob");
    assert!(end.starts_with("403 "), "{end}");
}
