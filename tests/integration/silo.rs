//! Messages for users who are away: kept, delivered when they register, over a restart too.

use std::time::Duration;

use sipvouch::store::Store as _;
use sipvouch::store::embedded::{Access, Embedded};

use crate::harness::{Connection, Remote, Request, Server, Setup, TlsPeer, udp_from};

const PATIENCE: Duration = Duration::from_secs(10);
/// What must not come does not come within this.
const SILENCE: Duration = Duration::from_millis(500);

/// A server with the users alice, bob and eve of example.org, which keeps messages.
fn setup() -> Setup {
    let setup = Setup::usual().set("MessageSiloEnabled", "true");
    for user in ["alice@example.org", "bob@example.org"] {
        setup.add_user(user);
    }
    setup
}

/// Waits for what is to come.
fn wait_for(server: &Server, is_there: impl Fn() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !is_there() {
        assert!(std::time::Instant::now() < end, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until what a user has taken is removed: who registers before that may be sent it once more.
fn wait_until_removed(server: &Server) {
    let store = server.dir().join("sipvouch.db");
    wait_for(server, || {
        let store = Embedded::open(&store, Access::ReadOnly).unwrap();
        store.count_messages("sip:bob@example.org").unwrap().0 == 0
    });
}

fn message(to: &str, body: &str) -> Request {
    let mut request = Request::new("MESSAGE", to, "sip:alice@example.org");
    body.clone_into(&mut request.body);
    request
}

fn register(who: &mut Connection, user: &str) {
    let aor = format!("sip:{user}@example.org");
    let mut request = Request::new("REGISTER", "sip:example.org", &aor);
    request.to = aor;
    request.headers.push("Expires: 600".to_owned());
    assert_eq!(who.ask(&request).response().status, 200);
}

fn send(server: std::net::SocketAddr, request: &Request) -> u16 {
    let mut alice = TlsPeer::named("alice-uri").connect(server).unwrap();
    alice.ask(request).response().status
}

/// Takes the messages that come, answering each with `status`.
fn take(phone: &mut Connection, status: u16) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut patience = PATIENCE;
    while let Some(request) = phone.next_request(patience) {
        assert!(request.start.starts_with("MESSAGE "), "{}", request.start);
        bodies.push(String::from_utf8(request.body.clone()).unwrap());
        phone.send(&request.answer(status, "As you say")).unwrap();
        patience = SILENCE;
    }
    bodies
}

#[test]
fn a_message_for_a_user_who_is_away_comes_when_he_registers_also_after_a_restart() {
    let server = setup().start();
    for body in ["first", "second"] {
        assert_eq!(
            send(server.tls(), &message("sip:bob@example.org", body)),
            202
        );
    }
    let server = server.kill_and_restart();
    let mut bob = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    register(&mut bob, "bob");
    let first = bob.next_request(PATIENCE).expect("the first message");
    assert_eq!(first.body, b"first");
    let from = first.value("from").unwrap();
    assert!(from.contains("<sip:alice@example.org>;tag="), "{from}");
    assert!(first.value("to").unwrap().contains("sip:bob@example.org"));
    assert!(first.value("date").unwrap().ends_with("GMT"));
    assert_eq!(first.value("content-type"), Some("text/plain"));
    assert_eq!(first.value("cseq"), Some("1 MESSAGE"));
    bob.send(&first.answer(200, "OK")).unwrap();
    assert_eq!(take(&mut bob, 200), ["second"]);
    // Delivered once.
    let mut again = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    register(&mut again, "bob");
    assert!(again.next_request(SILENCE).is_none());
}

#[test]
fn phones_that_do_not_come_back_after_a_restart_are_away_and_those_that_do_are_known() {
    let server = setup().set("RegistrationPersistence", "true").start();
    let registered = |server: &Server| {
        let mut phone = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
        let aor = "sip:bob@example.org";
        let mut request = Request::new("REGISTER", "sip:example.org", aor);
        aor.clone_into(&mut request.to);
        request.headers.push("Expires: 600".to_owned());
        let contact = format!("<sip:bob@{};transport=tls>", phone.local());
        request.contact = Some(contact);
        let answer = phone.ask(&request).response();
        assert_eq!(answer.status, 200);
        let contacts = answer.values("contact").count();
        (phone, contacts)
    };
    let (mut bob, contacts) = registered(&server);
    assert_eq!(contacts, 1);
    assert_eq!(
        send(server.tls(), &message("sip:nobody@example.org", "x")),
        404
    );
    // Written within a second.
    let store = server.dir().join("sipvouch.db");
    let is_written = || {
        let store = Embedded::open(&store, Access::ReadOnly).unwrap();
        let mut count = 0;
        store.bindings(0, &mut |_| count += 1).unwrap();
        count == 1
    };
    wait_for(&server, is_written);
    let server = server.kill_and_restart();
    assert!(bob.closed_within(PATIENCE));
    let log = server.log();
    assert!(log.contains("registrar.restored bindings=1 "), "{log}");
    assert_eq!(
        send(server.tls(), &message("sip:bob@example.org", "kept")),
        202
    );
    let invite = Request::new("INVITE", "sip:bob@example.org", "sip:alice@example.org");
    let mut alice = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    alice.send_request(&invite).unwrap();
    assert_eq!(alice.final_answer(&invite, PATIENCE).response().status, 480);
    // It has another port now.
    let (mut bob, contacts) = registered(&server);
    assert_eq!(contacts, 1);
    assert_eq!(take(&mut bob, 200), ["kept"]);
}

#[test]
fn messages_come_through_the_proxies_that_a_device_registers_through() {
    // The secure rules let nobody register over UDP, and want proof of who adds a Path.
    let server = setup().set("IdentityRules", "repro").start();
    for body in ["first", "second"] {
        assert_eq!(
            send(server.tls(), &message("sip:bob@example.org", body)),
            202
        );
    }
    let edge = Remote::plain();
    let mut bob = udp_from(std::net::Ipv4Addr::LOCALHOST.into(), server.udp());
    let mut register = |flow: &str, expires: u32| {
        let aor = "sip:bob@example.org";
        let mut request = Request::new("REGISTER", "sip:example.org", aor);
        aor.clone_into(&mut request.to);
        request.contact = Some(format!("<sip:bob@10.0.0.1>;expires={expires}"));
        request.headers.push("Supported: path".to_owned());
        let path = format!("<sip:{flow}@{};transport=tcp;lr>", edge.address());
        request.headers.push(format!("Path: {path}"));
        assert_eq!(bob.ask(&request).response().status, 200);
        path
    };
    register("f1", 600);
    let mut through = edge.accept();
    let lost = through.next_request(PATIENCE).expect("the first message");
    assert_eq!(lost.body, b"first");
    // The edge proxy has lost the phone: the second would fare no better.
    through.send(&lost.answer(430, "Flow Failed")).unwrap();
    assert!(through.next_request(SILENCE).is_none());
    let path = register("f2", 600);
    for body in ["first", "second"] {
        let message = through.next_request(PATIENCE).expect("a message");
        assert_eq!(message.start, "MESSAGE sip:bob@10.0.0.1 SIP/2.0");
        assert_eq!(message.value("route"), Some(&*path));
        assert_eq!(message.body, body.as_bytes());
        through.send(&message.answer(200, "OK")).unwrap();
    }
    // Delivered once, and nothing to be had for a mere refresh.
    wait_until_removed(&server);
    register("f2", 700);
    register("f3", 600);
    assert!(through.next_request(SILENCE).is_none());
    assert_eq!(
        send(server.tls(), &message("sip:nobody@example.org", "x")),
        404
    );
}

#[test]
fn messages_come_as_datagrams_and_again_until_they_are_answered() {
    const MESSAGES: usize = 20;
    let server = setup()
        // The secure rules let nobody register over UDP.
        .set("IdentityRules", "repro")
        .set("MessageSiloMaximumPerUser", "100")
        // Whoever sends is not always the one that hears the answer.
        .set("WorkerThreads", "4")
        .start();
    let expected: Vec<String> = (0..MESSAGES).map(|number| format!("p{number}")).collect();
    for body in &expected {
        assert_eq!(
            send(server.tls(), &message("sip:bob@example.org", body)),
            202
        );
    }
    let here = std::net::Ipv4Addr::LOCALHOST.into();
    let mut bob = udp_from(here, server.udp());
    register(&mut bob, "bob");
    let lost = bob.next_request(PATIENCE).expect("the first message");
    assert!(lost.value("via").unwrap().starts_with("SIP/2.0/UDP "));
    let again = bob.next_request(PATIENCE).expect("the first once more");
    assert_eq!(again.body, lost.body);
    assert_eq!(again.value("via"), lost.value("via"));
    bob.send(&again.answer(200, "OK")).unwrap();
    let mut found = vec![String::from_utf8(again.body).unwrap()];
    found.extend(take(&mut bob, 200));
    // What was answered late came twice.
    found.dedup();
    assert_eq!(found, expected);
    let mut again = udp_from(here, server.udp());
    register(&mut again, "bob");
    assert!(again.next_request(SILENCE).is_none());
}

#[test]
fn a_message_that_was_not_taken_is_kept_until_it_is() {
    let server = setup().start();
    assert_eq!(
        send(server.tls(), &message("sip:bob@example.org", "hello")),
        202
    );
    let mut bob = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    register(&mut bob, "bob");
    assert_eq!(take(&mut bob, 503), ["hello"]);
    let mut bob = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    register(&mut bob, "bob");
    // This time the phone goes without an answer.
    assert!(bob.next_request(PATIENCE).is_some());
    drop(bob);
    let mut bob = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    register(&mut bob, "bob");
    assert_eq!(take(&mut bob, 200), ["hello"]);
}

#[test]
fn limits_and_filters_of_the_silo_are_honoured() {
    let server = setup()
        .set("MessageSiloMaxContentLength", "10")
        .set("MessageSiloMaximumPerUser", "2")
        .set("MessageSiloFailureStatusCode", "486")
        .set("MessageSiloDestFilterRegex", "^sip:eve@")
        .set("MessageSiloFilteredMimeTypeStatusCode", "488")
        .set(
            "MessageSiloMimeTypeFilterRegex",
            "application/im-iscomposing\\+xml",
        )
        .set("MessageSiloSuccessStatusCode", "200");
    server.add_user("eve@example.org");
    let server = server.start();
    let composing = |to: &str| {
        let mut request = Request::new("MESSAGE", to, "sip:alice@example.org");
        request
            .headers
            .push("Content-Type: application/im-iscomposing+xml".to_owned());
        request
    };
    let bob = "sip:bob@example.org";
    for (situation, request, status) in [
        ("one", message(bob, "1"), 200),
        ("too large", message(bob, "12345678901"), 486),
        ("no body", message(bob, ""), 480),
        ("filtered user", message("sip:eve@example.org", "1"), 480),
        ("nobody", message("sip:nobody@example.org", "1"), 404),
        ("two", message(bob, "2"), 200),
        ("one too many", message(bob, "3"), 486),
    ] {
        assert_eq!(send(server.tls(), &request), status, "{situation}");
    }
    // A message being written is no message; without a body it is not looked at at all.
    assert_eq!(send(server.tls(), &composing(bob)), 480);
    // Who may not speak for alice leaves nothing.
    let mut mallory = TlsPeer::named("other-dns").connect(server.tls()).unwrap();
    assert_eq!(mallory.ask(&message(bob, "4")).response().status, 403);
    let mut phone = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    register(&mut phone, "bob");
    assert_eq!(take(&mut phone, 200), ["1", "2"]);
}

#[test]
fn messages_that_come_in_one_breath_are_delivered_in_their_order() {
    const MESSAGES: usize = 200;
    let server = setup()
        .set("MessageSiloMaximumPerUser", "1000")
        .set("NumAuthGrabberWorkerThreads", "8")
        .start();
    let expected: Vec<String> = (0..MESSAGES).map(|number| format!("p{number}")).collect();
    let mut alice = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    let (transport, local) = (alice.transport(), alice.local());
    let octets: Vec<u8> = expected
        .iter()
        .flat_map(|body| message("sip:bob@example.org", body).octets(transport, local))
        .collect();
    alice.send(&octets).unwrap();
    for _ in 0..MESSAGES {
        let answer = alice.next(PATIENCE).response();
        assert_eq!(answer.status, 202, "{}", server.log());
    }
    let mut bob = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    register(&mut bob, "bob");
    assert_eq!(take(&mut bob, 200), expected);
}
