//! What an operator changes holds at once, on connections that are open already.

use std::time::{Duration, Instant};

use crate::harness::{Connection, Request, Response, Server, Setup, TlsPeer};

const PATIENCE: Duration = Duration::from_secs(10);

fn alice(server: &Server) -> Connection {
    TlsPeer::named("alice-uri").connect(server.tls()).unwrap()
}

fn ask(peer: &mut Connection, method: &str, to: &str, from: &str) -> Response {
    let mut request = Request::new(method, to, from);
    if method == "REGISTER" {
        from.clone_into(&mut request.to);
    }
    peer.ask(&request).response()
}

fn message(peer: &mut Connection, to: &str) -> u16 {
    ask(peer, "MESSAGE", to, "sip:alice@example.org").status
}

/// Runs a command that must do what it is asked.
fn sipvouch(server: &Server, arguments: &[&str]) {
    let (status, said) = server.setup().run_with_input(arguments, "pw\n");
    assert_eq!(status, Some(0), "{arguments:?}: {said}");
}

#[test]
fn users_come_and_go_while_a_connection_lasts() {
    let setup = Setup::usual();
    setup.add_user("alice@example.org");
    let server = setup.start();
    let mut alice = alice(&server);
    assert_eq!(message(&mut alice, "sip:carol@example.org"), 404);
    sipvouch(&server, &["user", "add", "carol@example.org"]);
    assert_eq!(message(&mut alice, "sip:carol@example.org"), 480);
    sipvouch(&server, &["user", "remove", "carol@example.org"]);
    assert_eq!(message(&mut alice, "sip:carol@example.org"), 404);
}

#[test]
fn domains_filters_trusted_peers_and_identities_change_while_connections_last() {
    let server = Setup::usual().start();
    let mut alice = alice(&server);
    let mut phone = TlsPeer::named("phone-0004F2266D79")
        .connect(server.tls())
        .unwrap();
    let mut gateway = TlsPeer::named("trusted-gw").connect(server.tls()).unwrap();
    let daniel = "sip:daniel@pocock.com.au";
    let register = |peer: &mut Connection| {
        let answer = ask(peer, "REGISTER", "sip:pocock.com.au", daniel);
        answer.status
    };
    assert_ne!(register(&mut phone), 200);
    sipvouch(&server, &["domain", "add", "pocock.com.au"]);
    assert_eq!(register(&mut phone), 403);
    sipvouch(
        &server,
        &["identity", "add", "0004F2266D79", "pocock.com.au"],
    );
    assert_eq!(register(&mut phone), 200);
    sipvouch(
        &server,
        &["identity", "remove", "0004F2266D79", "pocock.com.au"],
    );
    assert_eq!(register(&mut phone), 403);

    let bob = "sip:bob@example.org";
    assert_eq!(ask(&mut gateway, "MESSAGE", bob, bob).status, 403);
    sipvouch(&server, &["acl", "add", "gw.example.net"]);
    assert_eq!(ask(&mut gateway, "MESSAGE", bob, bob).status, 480);

    assert_eq!(message(&mut alice, bob), 480);
    let filter = [
        "filter", "add", "--header", "From", "--regex", "alice", "reject", "486", "Not Now",
    ];
    sipvouch(&server, &filter);
    let answer = ask(&mut alice, "MESSAGE", bob, "sip:alice@example.org");
    assert_eq!((answer.status, answer.reason.as_str()), (486, "Not Now"));
    sipvouch(&server, &["filter", "remove", "1"]);
    assert_eq!(message(&mut alice, bob), 480);
}

#[test]
fn a_change_is_seen_even_if_the_server_could_not_be_told() {
    let server = Setup::usual().set("ControlSocket", "").start();
    let mut phone = TlsPeer::named("phone-0004F2266D79")
        .connect(server.tls())
        .unwrap();
    sipvouch(&server, &["domain", "add", "pocock.com.au"]);
    sipvouch(
        &server,
        &["identity", "add", "0004F2266D79", "pocock.com.au"],
    );
    let daniel = "sip:daniel@pocock.com.au";
    let deadline = Instant::now() + PATIENCE;
    while ask(&mut phone, "REGISTER", "sip:pocock.com.au", daniel).status != 200 {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn registrations_outlive_a_killed_server_if_they_are_to() {
    let server = Setup::usual()
        .set("RegistrationPersistence", "true")
        .start();
    let aor = "sip:alice@example.org";
    let mut phone = alice(&server);
    let mut register = Request::new("REGISTER", "sip:example.org", aor);
    aor.clone_into(&mut register.to);
    register.headers.push("Expires: 600".to_owned());
    let contact = "<sip:alice@127.0.0.1:5099;transport=tls>;q=0.5";
    register.contact = Some(contact.to_owned());
    assert_eq!(phone.ask(&register).response().status, 200);
    // Written within a second; the connection is still there when the server dies.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, said) = server.setup().run(&["ctl", "status", "--json"]);
        assert_eq!(status, Some(0), "{said}");
        let store = server.dir().join("sipvouch.db");
        let store = sipvouch::store::embedded::Embedded::open(
            &store,
            sipvouch::store::embedded::Access::ReadOnly,
        )
        .unwrap();
        let mut saved = 0;
        store.bindings(0, &mut |_| saved += 1).unwrap();
        if saved == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let server = server.kill_and_restart();
    let mut phone = alice(&server);
    let mut query = Request::new("REGISTER", "sip:example.org", aor);
    aor.clone_into(&mut query.to);
    query.contact = Some(String::new());
    let answer = phone.ask(&query).response();
    let listed = answer.value("contact").expect("the contact of before");
    assert!(
        listed.starts_with("<sip:alice@127.0.0.1:5099;transport=tls>"),
        "{listed}"
    );
    assert!(listed.contains(";q=0.5"), "{listed}");
    let left = listed
        .split("expires=")
        .nth(1)
        .unwrap()
        .parse::<u32>()
        .unwrap();
    assert!((500..=600).contains(&left), "{listed}");
}
