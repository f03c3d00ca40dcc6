//! The foreign programs against each other: what they do without us is what a test may expect of them with us.

use std::net::SocketAddr;
use std::time::Duration;

use crate::calls::{call, decline, fork, give_up, talk};
use crate::harness::{Baresip, Kamailio, KamailioSetup, Phone, Sipp, Transport, Tunnel};

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
        call(&mut alice, &mut bob);
        bob.hang_up();
        bob.closed();
        alice.closed();
        alice.receives(1, "BYE");
    }
}

fn partner_phone(kamailio: &Kamailio, user: &str, friend: &str) -> Phone {
    Baresip::new(&format!("{user}@kama.test"))
        .certificate(&format!("{user}-partner"))
        .at(kamailio.phones())
        .writes_to(friend)
        .start()
        .registered()
}

/// The same calls that we must carry, carried by another.
#[test]
fn baresips_call_and_write_through_kamailio() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let kamailio = KamailioSetup::new("kama.test", "server-partner")
        .calls("example.org", nobody)
        .start();
    let carol = || partner_phone(&kamailio, "carol", "sip:dave@kama.test");
    let dave = || partner_phone(&kamailio, "dave", "sip:carol@kama.test");
    talk(&mut carol(), &mut dave());
    decline(&mut carol(), &mut dave());
    give_up(&mut carol(), &mut dave());
    fork(&mut carol(), &mut dave(), &mut dave());
    // A name is its owner's.
    let mut other = Baresip::new("carol@kama.test")
        .certificate("dave-partner")
        .at(kamailio.phones())
        .start();
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
    let carol = partner_phone(&partner, "carol", "sip:alice@example.org");
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
    talk(&mut two.carol, &mut two.alice);
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
    assert!(!counted.is_flawless(3), "{counted:?}");
}

#[test]
fn two_sipps_call_and_write_through_socat_and_kamailio() {
    const CALLS: usize = 300;
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let kamailio = KamailioSetup::new("example.org", "server-rsa")
        .calls("kama.test", nobody)
        .start();
    let alice = Tunnel::to(kamailio.phones(), "alice-uri");
    let bob = Tunnel::to(kamailio.phones(), "bob-uri");
    for (one, other) in [("call", "answer"), ("message", "message_answer")] {
        let callee = Sipp::new("enroll").answering(other).over(Transport::Tls);
        let mut callee = callee.to(bob.entrance()).start().enrolled();
        let caller = Sipp::new(one).over(Transport::Tls).to(alice.entrance());
        let counted = caller
            .calls(CALLS, 200)
            .start()
            .finish(Duration::from_secs(60));
        counted.assert_flawless(CALLS);
        callee.has_answered(CALLS).assert_answered(CALLS);
    }
}
