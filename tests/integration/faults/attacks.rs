//! What strangers, partners and our own users may try with the relay.

use std::fs;
use std::time::{Duration, Instant};

use super::{
    ALICE, BOB, CAROL, PATIENCE, answer, call, leading_to, nothing_left, register, registered,
    setup, user, while_pinging,
};
use crate::harness::{
    Answer, Connection, Incoming, NameServer, Pki, Remote, Request, Setup, TlsPeer, tcp_from,
};

const WHILE: Duration = Duration::from_millis(300);

#[test]
fn a_partner_gets_nothing_relayed_to_where_it_likes() {
    let inside = Remote::silent();
    let names = leading_to(&[]);
    let server = setup(&names).start();
    let mut partner = TlsPeer::named("server-partner")
        .connect(server.tls())
        .expect("a handshake");
    let at = inside.address();
    let ours = format!("<sip:{};transport=tls;lr>", server.tls());
    for (situation, uri, route) in [
        (
            "an address in the Request-URI",
            format!("sip:x@{at};transport=tcp"),
            String::new(),
        ),
        (
            "an address in Route",
            BOB.to_owned(),
            format!("<sip:{at};transport=tcp;lr>"),
        ),
        (
            "behind one of ours",
            BOB.to_owned(),
            format!("{ours}, <sip:{at};transport=tcp;lr>"),
        ),
        (
            "a strict one",
            format!("sip:{}", server.tls()),
            format!("<sip:{at};transport=tcp>"),
        ),
        (
            "another domain",
            "sip:x@elsewhere.test".to_owned(),
            String::new(),
        ),
    ] {
        let mut message = Request::new("MESSAGE", &uri, CAROL);
        if !route.is_empty() {
            message.headers.push(format!("Route: {route}"));
        }
        assert_eq!(
            partner.ask(&message).response().status,
            403,
            "{situation}: {}",
            server.log()
        );
    }
    assert!(inside.is_untouched());
}

#[test]
fn a_token_is_of_use_to_the_sides_of_its_dialog_alone() {
    let names = leading_to(&[]);
    let server = setup(&names).start();
    let mut alice = user(&server, "alice");
    let bob = registered(&server, "bob");
    let invite = Request::new("INVITE", BOB, ALICE);
    let (dialog, _, mut bob) = call(&invite, &mut alice, || bob);
    let mut nobody = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    assert_eq!(dialog.clone().ask("BYE", &mut nobody).status, 403);
    // Bob has the token too, and is not Alice.
    assert_eq!(dialog.clone().ask("BYE", &mut bob).status, 403);
    let mut other = dialog.clone();
    other.call_id.push('x');
    assert_eq!(other.ask("BYE", &mut nobody).status, 403);
    for method in ["REGISTER", "INVITE"] {
        let mut begins = dialog.clone();
        begins.to = format!("<{BOB}>");
        assert_eq!(begins.ask(method, &mut nobody).status, 403, "{method}");
    }
    assert!(bob.next_request(WHILE).is_none());
}

/// The next message with this in its start line.
fn next(connection: &mut Connection, wanted: &str) -> Incoming {
    loop {
        let message = connection.next_message(PATIENCE).expect(wanted);
        if message.start.contains(wanted) {
            return message;
        }
    }
}

/// Bob calls himself from one connection to another, with the boss in To. As the callee of that call he may say boss, to
/// himself; himself he then sends on to alice, with the server's help.
#[test]
fn a_caller_who_redirects_his_callee_lends_nobody_the_name_in_to() {
    let names = leading_to(&[]);
    let server = setup(&names).set("RecursiveRedirect", "true").start();
    let (mut caller, mut callee) = (user(&server, "bob"), registered(&server, "bob"));
    let mut alice = registered(&server, "alice");
    let mut invite = Request::new("INVITE", BOB, BOB);
    invite.to = "sip:boss@example.org".to_owned();
    caller.send_request(&invite).expect("it is sent");
    let invite = next(&mut callee, "INVITE");
    callee.send(&invite.answer(200, "OK")).expect("it is sent");
    next(&mut caller, "SIP/2.0 200");

    let [route, from, to, call] = ["record-route", "from", "to", "call-id"]
        .map(|name| invite.value(name).expect(name).to_owned());
    let as_boss = format!(
        "MESSAGE sip:ua@{} SIP/2.0\r\nVia: SIP/2.0/TLS {};branch=z9hG4bKattack;rport\r\n\
         Max-Forwards: 70\r\nRoute: {route}\r\nFrom: {to};tag=phone\r\nTo: {from}\r\n\
         Call-ID: {call}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
        caller.local(),
        callee.local()
    );
    callee.send(as_boss.as_bytes()).expect("it is sent");
    let message = next(&mut caller, "MESSAGE");
    let moved = String::from_utf8(message.answer(302, "Moved")).expect("text");
    let moved = moved.replace(
        "Content-Length",
        &format!("Contact: <{ALICE}>\r\nContent-Length"),
    );
    caller.send(moved.as_bytes()).expect("it is sent");

    let answer = callee.next(PATIENCE).response();
    assert_eq!(answer.status, 302);
    assert_eq!(answer.value("contact"), Some(&*format!("<{ALICE}>")));
    assert_eq!(alice.ask(&Request::ping()).response().status, 200);
    let heard = alice.next_request(Duration::ZERO);
    assert!(heard.is_none(), "{heard:?}");
}

#[test]
fn nobody_answers_or_cancels_for_another() {
    let names = leading_to(&[]);
    let server = setup(&names).start();
    let (mut alice, mut bob) = (user(&server, "alice"), registered(&server, "bob"));
    let invite = Request::new("INVITE", BOB, ALICE);
    alice.send_request(&invite).expect("a connection");
    let asked = bob.next_request(PATIENCE).expect("an INVITE");
    let contact = "sip:bob@phone.invalid";
    // From every worker, to every worker: whose branch that is must not matter.
    for _ in 0..8 {
        let mut other = TlsPeer::anonymous()
            .connect(server.tls())
            .expect("a handshake");
        let forged = String::from_utf8(answer(&asked, 200, contact)).expect("text");
        other.send(forged.as_bytes()).expect("a connection");
        for home in ["0-", "1-", "3-", "ffffffffffffffff-", "+1-", "-"] {
            let wrong = forged.replacen(".0-", &format!(".{home}"), 1);
            other.send(wrong.as_bytes()).expect("a connection");
        }
        let mut cancel = invite.octets("TLS", alice.local());
        let text = String::from_utf8(cancel).expect("text");
        cancel = text.replace("INVITE", "CANCEL").into_bytes();
        other.send(&cancel).expect("a connection");
        assert_eq!(other.next(PATIENCE).response().status, 481);
    }
    assert!(bob.next_request(WHILE).is_none());
    bob.send(&answer(&asked, 486, contact))
        .expect("a connection");
    assert_eq!(alice.final_answer(&invite, PATIENCE).response().status, 486);
}

#[test]
fn who_is_called_by_us_proves_itself_like_anyone_else() {
    let remote = Remote::serving("server-partner");
    let names = leading_to(&[&remote]);
    let server = setup(&names).start();
    let (mut alice, mut bob) = (user(&server, "alice"), registered(&server, "bob"));
    let message = Request::new("MESSAGE", CAROL, ALICE);
    alice.send_request(&message).expect("a connection");
    let mut carol = remote.accept();
    let asked = carol.next_request(PATIENCE).expect("a MESSAGE");
    carol.send(&asked.answer(200, "OK")).expect("a connection");
    // It has proved to be whom we asked for, toward what we send. For what it wants it has to come itself.
    for from in [ALICE, "sip:dave@elsewhere.test", CAROL] {
        let own = Request::new("MESSAGE", BOB, from);
        assert_eq!(carol.ask(&own).response().status, 403, "{from}");
    }
    assert!(bob.next_request(WHILE).is_none());
    let mut carol = TlsPeer::named("server-partner")
        .connect(server.tls())
        .expect("a handshake");
    let own = Request::new("MESSAGE", BOB, CAROL);
    carol.send_request(&own).expect("a connection");
    let asked = bob.next_request(PATIENCE).expect("a MESSAGE");
    bob.send(&asked.answer(200, "OK")).expect("a connection");
    assert_eq!(carol.final_answer(&own, PATIENCE).response().status, 200);
}

#[test]
fn ten_thousand_calls_to_a_server_that_stalls_are_all_answered() {
    const MANY: usize = 10_000;
    let remote = Remote::silent();
    let names = leading_to(&[&remote]);
    let mut server = setup(&names).set("LogLevel", "INFO").start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    let begun = Instant::now();
    while_pinging(server.tls(), || {
        let mut octets = Vec::new();
        for _ in 0..MANY {
            octets.extend(Request::new("INVITE", CAROL, ALICE).octets("TLS", alice.local()));
        }
        let mut answered = 0;
        for part in octets.chunks(32 * 1024) {
            alice.send(part).expect("a connection");
            while let Answer::Response(answer) = alice.next(Duration::from_millis(1)) {
                answered += usize::from(answer.status >= 500);
            }
        }
        while answered < MANY {
            let answer = alice.next(PATIENCE).response();
            answered += usize::from(answer.status >= 500);
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert!(server.rss() < 300 * 1024, "{} KiB", server.rss());
    drop(alice);
    nothing_left(&mut server, before);
}

#[test]
fn acknowledgements_to_nowhere_leave_nothing() {
    let remote = Remote::silent();
    let names = leading_to(&[&remote]);
    let mut server = setup(&names).set("LogLevel", "INFO").start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    while_pinging(server.tls(), || {
        for _ in 0..5_000 {
            let mut ack = Request::new("ACK", CAROL, ALICE);
            ack.to_tag = true;
            alice.send_request(&ack).expect("a connection");
        }
        assert_eq!(alice.ask(&Request::ping()).response().status, 200);
    });
    drop(alice);
    nothing_left(&mut server, before);
}

#[test]
fn a_domain_that_leads_back_to_us_is_a_loop_and_sips_does_not_end_at_a_phone_over_tcp() {
    let port = crate::harness::free_port();
    let record = format!("_sip._tcp.loop.test 60 SRV 0 0 {port} local.loop.test");
    let names = NameServer::new(&[&record, "local.loop.test 60 A 127.0.0.1"]);
    let setup = setup(&names).set("TCPPort", &port.to_string());
    setup.make_store();
    // Whoever comes over TCP from here is trusted: we are.
    let (status, said) = setup.run(&["acl", "add", "localhost", "--transport", "tcp"]);
    assert_eq!(status, Some(0), "{said}");
    let mut server = setup.start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    while_pinging(server.tls(), || {
        let invite = Request::new("INVITE", "sip:x@loop.test;transport=tcp", ALICE);
        assert_eq!(alice.ask(&invite).response().status, 482);
        let mut bob = tcp_from([127, 0, 0, 1].into(), server.tcp());
        register(&mut bob, "bob");
        let secret = Request::new("MESSAGE", "sips:bob@example.org", ALICE);
        assert_eq!(alice.ask(&secret).response().status, 480);
        assert!(bob.next_request(WHILE).is_none());
    });
    // One connection to ourselves, with two ends, is kept for the next.
    nothing_left(&mut server, before + 3);
}

/// New rules for her CA take alice's name from her in the middle of a call.
#[test]
fn a_call_ends_for_who_has_lost_the_name_that_it_began_with() {
    let names = leading_to(&[]);
    let setup = setup(&names).set("CARights", "ca-rights.txt");
    let root = Pki::get().path("ca/root-example.crt");
    let write = |setup: &Setup, users: &str| {
        let rules = format!("file={} users={users}\n", root.display());
        fs::write(setup.dir().join("ca-rights.txt"), rules).expect("a rules file");
    };
    write(&setup, "alice@example.org,bob@example.org");
    let server = setup.start();
    let (mut alice, bob) = (registered(&server, "alice"), registered(&server, "bob"));
    let invite = Request::new("INVITE", BOB, ALICE);
    let (mut dialog, _, mut bob) = call(&invite, &mut alice, || bob);
    let info = dialog.next("INFO", alice.local());
    alice.send(&info).expect("a connection");
    let asked = bob.next_request(PATIENCE).expect("an INFO");
    assert!(asked.start.starts_with("INFO "), "{}", asked.start);
    bob.send(&asked.answer(200, "OK")).expect("a connection");
    assert_eq!(alice.next(PATIENCE).response().status, 200);

    write(server.setup(), "bob@example.org");
    let mut from = server.lines();
    server.sighup();
    let reloaded = server.wait_after(&mut from, &["server.reloaded"], PATIENCE);
    assert!(reloaded.is_some(), "{}", server.log());
    assert_eq!(
        dialog.ask("INFO", &mut alice).status,
        403,
        "over the same connection"
    );
    let mut elsewhere = user(&server, "alice");
    assert_eq!(
        dialog.ask("INFO", &mut elsewhere).status,
        403,
        "over another"
    );
    assert_eq!(bob.ask(&Request::ping()).response().status, 200);
}
