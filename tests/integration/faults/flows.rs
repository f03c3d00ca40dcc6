//! Flows that break (RFC 5626): of a phone that has two of them, and behind a token that we have given away.

use std::time::{Duration, Instant};

use sipvouch::store::embedded::{Access, Embedded, SavedBinding};

use super::{ALICE, BOB, CAROL, PATIENCE, leading_to, nothing_left, setup, user};
use crate::harness::{
    Connection, Incoming, NameServer, Remote, Request, Response, Server, TlsPeer,
};

/// What must not come does not come within this.
const SILENCE: Duration = Duration::from_millis(300);

const INSTANCE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\"";

/// A REGISTER of one flow.
fn by_flow(phone: &Connection, registrar: &str, user: &str, reg_id: u32) -> Request {
    let mut register = Request::new("REGISTER", registrar, &format!("sip:{user}@example.org"));
    let local = phone.local();
    register.contact = Some(format!(
        "<sip:{user}@{local};transport=tls;ob>;{INSTANCE};reg-id={reg_id}"
    ));
    register
        .headers
        .push("Supported: path, outbound".to_owned());
    register
}

fn keeps_flow(response: &Response) {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.value("require"), Some("outbound"));
    assert_eq!(response.value("flow-timer"), Some("90"));
}

fn takes(phone: &mut Connection, method: &str) -> Incoming {
    let request = phone.next_request(PATIENCE).expect("a request");
    assert!(request.start.starts_with(method), "{}", request.start);
    request
}

#[test]
fn a_call_comes_over_the_second_flow_of_a_phone_when_the_first_is_killed() {
    let mut server = setup(&NameServer::new(&[])).set("FlowTimer", "90").start();
    let mut alice = user(&server, "alice");
    let mut second = user(&server, "bob");
    let mut first = user(&server, "bob");
    let before = server.descriptors();
    for (reg_id, phone) in [(2, &mut second), (1, &mut first)] {
        let register = by_flow(phone, "sip:example.org", "bob", reg_id);
        keeps_flow(&phone.ask(&register).response());
    }
    let invite = Request::new("INVITE", BOB, ALICE);
    alice.send_request(&invite).unwrap();
    let ringing = takes(&mut first, "INVITE").answer(180, "Ringing");
    first.send(&ringing).unwrap();
    drop(first);
    let call = takes(&mut second, "INVITE");
    second.send(&call.answer(486, "Busy Here")).unwrap();
    assert_eq!(alice.final_answer(&invite, PATIENCE).response().status, 486);
    // Now that it is known to be gone, nobody looks for it any more.
    let message = Request::new("MESSAGE", BOB, ALICE);
    alice.send_request(&message).unwrap();
    takes(&mut second, "ACK");
    let read = takes(&mut second, "MESSAGE").answer(200, "OK");
    second.send(&read).unwrap();
    assert_eq!(
        alice.final_answer(&message, PATIENCE).response().status,
        200
    );
    nothing_left(&mut server, before - 1);
}

/// A MESSAGE to alice by this Route.
fn message_by(route: &str, target: &str) -> Request {
    let mut message = Request::new("MESSAGE", target, CAROL);
    message.headers.push(format!("Route: {route}"));
    message
}

#[test]
fn a_flow_token_leads_to_its_phone_as_long_as_that_is_there_and_a_forged_one_nowhere() {
    let remote = Remote::serving("server-partner");
    let names = leading_to(&[&remote]);
    let server = setup(&names).set("FlowTimer", "90").start();
    // She registers with the other domain, through us.
    let mut alice = user(&server, "alice");
    let register = by_flow(&alice, "sip:kama.test", "alice", 1);
    alice.send_request(&register).unwrap();
    let mut registrar = remote.accept();
    let heard = takes(&mut registrar, "REGISTER");
    let path = heard.value("path").expect("our Path").to_owned();
    assert!(
        path.contains("<sip:flow.") && path.contains(";ob"),
        "{path}"
    );
    let ok = String::from_utf8(heard.answer(200, "OK")).unwrap();
    let ok = ok.replacen("Content-Length", "Require: outbound\r\nContent-Length", 1);
    registrar.send(ok.as_bytes()).unwrap();
    keeps_flow(&alice.final_answer(&register, PATIENCE).response());

    let target = format!("sip:alice@{};transport=tls;ob", alice.local());
    let mut partner = TlsPeer::named("server-partner")
        .connect(server.tls())
        .unwrap();
    let message = message_by(&path, &target);
    partner.send_request(&message).unwrap();
    let read = takes(&mut alice, "MESSAGE");
    assert_eq!(read.value("route"), None);
    alice.send(&read.answer(200, "OK")).unwrap();
    assert_eq!(
        partner.final_answer(&message, PATIENCE).response().status,
        200
    );

    // One letter of it is another; or it is that of a server with another secret.
    let at = path.find('@').unwrap() - 9;
    let other = if &path[at..=at] == "A" { "B" } else { "A" };
    let mut forged = path.clone();
    forged.replace_range(at..=at, other);
    let foreign = path.replace(
        &path[5..at + 9],
        "flow.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    );
    for route in [&forged, &foreign] {
        let refused = partner.ask(&message_by(route, &target)).response();
        let told = (refused.status, &*refused.reason);
        assert_eq!(told, (403, "Invalid Flow Token"), "{route}");
    }
    assert!(alice.next_request(SILENCE).is_none());

    drop(alice);
    let mut again = user(&server, "alice");
    let gone = partner.ask(&message_by(&path, &target)).response();
    assert_eq!((gone.status, &*gone.reason), (430, "Flow failed"));
    assert!(again.next_request(SILENCE).is_none());
}

/// Bindings of the store, once there is this many.
fn saved(server: &Server, wanted: usize) -> Vec<SavedBinding> {
    let store = server.dir().join("sipvouch.db");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let store = Embedded::open(&store, Access::ReadOnly).expect("the store");
        let mut saved = Vec::new();
        store
            .bindings(0, &mut |binding| saved.push(binding))
            .expect("bindings");
        if saved.len() == wanted {
            return saved;
        }
        assert!(Instant::now() < deadline, "{saved:?}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_phone_behind_an_edge_proxy_is_reached_through_it_also_after_a_restart() {
    let remote = Remote::serving("server-partner");
    let names = leading_to(&[&remote]);
    let server = setup(&names)
        .set("TrustedPeers", "kama.test")
        .set("RegistrationPersistence", "true")
        .start();
    let register = |path: &str| {
        let mut register = Request::new("REGISTER", "sip:example.org", BOB);
        register.contact = Some(format!("<sip:bob@10.0.0.1;ob>;{INSTANCE};reg-id=1"));
        register.headers = vec![
            "Via: SIP/2.0/TLS 10.0.0.1;branch=z9hG4bK-phone".to_owned(),
            "Supported: path, outbound".to_owned(),
            format!("Path: {path}"),
        ];
        register
    };
    let edge = |server: &Server, certificate: &str| {
        let mut peer = TlsPeer::named(certificate);
        peer.connect(server.tls()).expect("a handshake")
    };
    const PATH: &str = "<sip:flow1@kama.test;lr;ob>";
    let mut peer = edge(&server, "server-partner");
    let kept = peer.ask(&register(PATH)).response();
    assert_eq!((kept.status, kept.value("path")), (200, Some(PATH)));
    assert_eq!(kept.value("require"), Some("outbound"));
    // Not from bob himself, who would have us send requests to any place.
    let refused = edge(&server, "bob-uri").ask(&register("<sip:127.0.0.9;lr>"));
    let refused = refused.response();
    let told = (refused.status, &*refused.reason);
    assert_eq!(told, (403, "Path Not Accepted From Here"));
    drop(peer);

    let path = saved(&server, 1).remove(0).path;
    assert_eq!(path, PATH.as_bytes());
    let server = server.kill_and_restart();
    let mut alice = user(&server, "alice");
    let message = Request::new("MESSAGE", BOB, ALICE);
    alice.send_request(&message).unwrap();
    let mut edge = remote.accept();
    let heard = takes(&mut edge, "MESSAGE sip:bob@10.0.0.1;ob ");
    assert_eq!(heard.value("route"), Some(PATH));
    // Its flow is gone, and so is the binding: for us, and in the store.
    edge.send(&heard.answer(430, "Flow Failed")).unwrap();
    assert_eq!(
        alice.final_answer(&message, PATIENCE).response().status,
        480
    );
    saved(&server, 0);
}
