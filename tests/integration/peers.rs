//! The foreign programs against each other: what they do without us is what a test may expect of them with us.

use std::time::Duration;

use crate::harness::{Baresip, Kamailio, KamailioSetup, Phone, Sipp, Transport};

fn phone(aor: &str, transport: Transport) -> Phone {
    let user = &aor[..aor.find('@').expect("an address-of-record")];
    let phone = Baresip::new(aor).over(transport);
    match transport {
        Transport::Tls => phone.certificate(&format!("{user}-uri")),
        Transport::Tcp | Transport::Udp => phone,
    }
    .start()
}

#[test]
fn two_baresips_call_each_other_directly_hold_resume_and_hang_up() {
    for transport in [Transport::Tls, Transport::Tcp, Transport::Udp] {
        let mut alice = phone("alice@example.org", transport);
        let mut bob = phone("bob@example.org", transport);
        let bob_uri = bob.direct();
        call(&mut alice, &bob_uri, &mut bob);
        bob.hang_up();
        bob.closed();
        alice.closed();
        alice.receives(1, "BYE");
    }
}

/// A call with hold and resume, and what both sides must have seen of it. It still stands.
pub(crate) fn call(caller: &mut Phone, uri: &str, callee: &mut Phone) {
    let earlier = callee.received("INVITE").len();
    caller.dial(uri);
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

#[test]
fn two_baresips_call_and_write_through_kamailio() {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let kamailio = KamailioSetup::new("kama.test", "server-partner")
        .calls("example.org", nobody)
        .start();
    let at = |aor: &str, certificate| {
        let phone = Baresip::new(aor).certificate(certificate);
        phone.at(kamailio.phones()).writes_to("sip:carol@kama.test")
    };
    let mut carol = at("carol@kama.test", "carol-partner").start().registered();
    let mut dave = at("dave@kama.test", "dave-partner").start().registered();
    call(&mut carol, "sip:dave@kama.test", &mut dave);
    dave.hang_up();
    carol.closed();
    assert_eq!(dave.writes("from dave"), "200 OK");
    carol.reads("from dave");
    // A name is its owner's.
    let mut other = at("carol@kama.test", "dave-partner").start();
    assert_eq!(other.registration(), "403 Not Your Name");
}

/// Two Kamailios, each the proxy of a domain, and a phone at either. `partner` is that of kama.test.
struct Two {
    partner: Kamailio,
    example: Kamailio,
    carol: Phone,
    alice: Phone,
}

fn two(partner: KamailioSetup) -> Two {
    let example =
        KamailioSetup::new("example.org", "server-rsa").calls("kama.test", partner.peers());
    let partner = partner.calls("example.org", example.peers()).start();
    let example = example.start();
    let carol = Baresip::new("carol@kama.test")
        .certificate("carol-partner")
        .at(partner.phones())
        .writes_to("sip:alice@example.org")
        .start()
        .registered();
    let alice = Baresip::new("alice@example.org")
        .certificate("alice-uri")
        .at(example.phones())
        .writes_to("sip:carol@kama.test")
        .start()
        .registered();
    Two {
        partner,
        example,
        carol,
        alice,
    }
}

#[test]
fn two_kamailios_federate_calls_and_messages_both_ways() {
    let mut two = two(KamailioSetup::new("kama.test", "server-partner"));
    call(&mut two.carol, "sip:alice@example.org", &mut two.alice);
    two.alice.hang_up();
    two.carol.closed();
    two.alice.closed();
    call(&mut two.alice, "sip:carol@kama.test", &mut two.carol);
    two.alice.hang_up();
    two.carol.closed();
    assert_eq!(two.alice.writes("to the partner"), "200 OK");
    two.carol.reads("to the partner");
    assert_eq!(two.carol.writes("from the partner"), "200 OK");
    two.alice.reads("from the partner");
}

/// Also the measure for ours: what a Kamailio says when it refuses, and when it is refused.
#[test]
fn two_kamailios_refuse_each_other_without_the_right_certificate() {
    for (situation, setup, carol_hears, alice_hears, partner_logs, example_logs) in [
        (
            "of another domain",
            KamailioSetup::new("kama.test", "server-partner-other"),
            "403 Not Your Name",
            "408 Request Timeout",
            "",
            "wrong-name wanted=kama.test found=elsewhere.test",
        ),
        (
            "expired",
            KamailioSetup::new("kama.test", "server-partner-expired"),
            "408 Request Timeout",
            "408 Request Timeout",
            "alert certificate expired",
            "certificate verify failed",
        ),
        (
            "of a CA that is not trusted",
            KamailioSetup::new("kama.test", "server-partner-untrusted"),
            "408 Request Timeout",
            "408 Request Timeout",
            "alert unknown ca",
            "certificate verify failed",
        ),
        (
            "none",
            KamailioSetup::new("kama.test", "server-partner").shows_as_client(None),
            "408 Request Timeout",
            "",
            "alert certificate required",
            "peer did not return a certificate",
        ),
    ] {
        let mut two = two(setup);
        two.carol.dial("sip:alice@example.org");
        assert_eq!(two.carol.closed(), carol_hears, "{situation}");
        two.alice.dial("sip:carol@kama.test");
        if alice_hears.is_empty() {
            two.carol.rings();
        } else {
            assert_eq!(two.alice.closed(), alice_hears, "{situation}");
        }
        assert!(two.alice.received("INVITE").is_empty(), "{situation}");
        two.partner.logs(&[partner_logs]);
        two.example.logs(&[example_logs]);
    }
}

#[test]
fn two_sipps_call_write_and_register_directly() {
    const CALLS: usize = 200;
    for (transport, socket_per_call) in [
        (Transport::Udp, false),
        (Transport::Tcp, false),
        (Transport::Tcp, true),
    ] {
        for (one, other) in [
            ("call", "answer"),
            ("message", "message_answer"),
            ("register", "registrar"),
        ] {
            let other = Sipp::new(other).over(transport).calls(CALLS, 400);
            let address = other.address();
            let other = other.start();
            let mut one = Sipp::new(one).over(transport).to(address).calls(CALLS, 400);
            if socket_per_call {
                one = one.with_a_socket_per_call();
            }
            let one = one.start().finish(Duration::from_secs(60));
            one.assert_flawless(CALLS);
            let other = other.finish(Duration::from_secs(60));
            other.assert_flawless(CALLS);
        }
    }
}

#[test]
fn a_sipp_that_gets_the_wrong_answer_counts_it() {
    let other = Sipp::new("registrar").over(Transport::Tcp).calls(3, 10);
    let one = Sipp::new("message")
        .over(Transport::Tcp)
        .to(other.address());
    let _other = other.start();
    let counted = one.calls(3, 10).start().finish(Duration::from_secs(60));
    assert_eq!(counted.successful, 0, "{counted:?}");
    assert_eq!(counted.failed, 3, "{counted:?}");
}
