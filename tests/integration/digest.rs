//! Passwords: challenges and their answers, against the real server under the secure rules.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::harness::{
    Answer, Connection, Login, Request, Response, Server, Setup, TlsPeer, parameters, tcp_from,
    udp_from, value,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

/// A server that asks for passwords, with the users alice and bob, whose password is `pw`.
fn setup() -> Setup {
    let setup = Setup::usual().set("DisableAuth", "false");
    for user in ["alice@example.org", "bob@example.org"] {
        setup.add_user(user);
    }
    setup
}

fn alice() -> Login {
    Login::new("alice", "pw")
}

fn message(from: &str) -> Request {
    let mut message = Request::new("MESSAGE", "sip:bob@example.org", from);
    "hello".clone_into(&mut message.body);
    message
}

fn register(from: &str) -> Request {
    let mut request = Request::new("REGISTER", "sip:example.org", from);
    request.headers.push("Expires: 60".to_owned());
    request
}

fn anonymous(server: &Server) -> Connection {
    TlsPeer::anonymous().connect(server.tls()).unwrap()
}

/// Asks without a password; the challenge.
fn challenge(connection: &mut Connection, request: &Request) -> Response {
    let challenge = connection.ask(request).response();
    assert!(matches!(challenge.status, 401 | 407), "{challenge:?}");
    challenge
}

/// Answers a challenge in a request of its own.
fn answered(challenge: &Response, request: &Request, login: &Login) -> Request {
    let mut answered = request.following();
    answered.headers.push(login.answer(challenge, &answered));
    answered
}

fn is_stale(challenge: &Response) -> bool {
    let field = match challenge.status {
        401 => "www-authenticate",
        _ => "proxy-authenticate",
    };
    let known = parameters(challenge.value(field).expect("a challenge"));
    value(&known, "stale") == Some("true")
}

#[test]
fn a_password_is_asked_for_and_lets_in_over_every_transport() {
    let server = setup().start();
    let over = [
        anonymous(&server),
        tcp_from(HERE, server.tcp()),
        udp_from(HERE, server.udp()),
    ];
    for mut connection in over {
        let transport = connection.transport();
        let request = message("sip:alice@example.org");
        let asked = challenge(&mut connection, &request);
        assert_eq!(asked.status, 407, "{transport}");
        let known = parameters(asked.value("proxy-authenticate").unwrap());
        assert_eq!(value(&known, "realm"), Some("example.org"), "{transport}");
        assert_eq!(value(&known, "qop"), Some("auth,auth-int"), "{transport}");
        // bob is not there.
        let sent = answered(&asked, &request, &alice());
        let status = connection.ask(&sent).response().status;
        assert_eq!(status, 480, "{transport}");
        let request = register("sip:alice@example.org");
        let asked = challenge(&mut connection, &request);
        assert_eq!(asked.status, 401, "{transport}");
        let sent = answered(&asked, &request, &alice());
        let status = connection.ask(&sent).response().status;
        assert_eq!(status, 200, "{transport}");
        let other = Login {
            field: Some("Proxy-Authorization"),
            ..alice()
        };
        let status = connection.ask_as(&request.following(), &other);
        assert_eq!(status.response().status, 200, "{transport}: either field");
    }
}

#[test]
fn what_is_wrong_with_an_answer_is_told_as_documented() {
    let server = setup().start();
    let mut connection = anonymous(&server);
    let failed = (403, "Authentication Failed");
    let asked_again = (407, "Proxy Authentication Required");
    let bad = (400, "Invalid auth header");
    let of = |user: &str, password: &str| Login::new(user, password);
    for (situation, from, login, wanted, stale) in [
        (
            "another password",
            "alice",
            of("alice", "no"),
            failed,
            false,
        ),
        ("no such user", "alice", of("nobody", "pw"), failed, false),
        ("a forged From", "bob", alice(), (403, "Forbidden"), false),
        (
            "a nonce of nobody's",
            "alice",
            Login {
                nonce: Some("12345:abcdef".into()),
                ..alice()
            },
            asked_again,
            false,
        ),
        (
            "a realm that is not ours is passed over",
            "alice",
            Login {
                realm: Some("other.example.net".into()),
                ..alice()
            },
            asked_again,
            false,
        ),
        (
            "another Request-URI",
            "alice",
            Login {
                uri: Some("sip:elsewhere.example".into()),
                ..alice()
            },
            bad,
            false,
        ),
        (
            "nobody by name",
            "anonymous",
            alice(),
            (480, "Temporarily Unavailable"),
            false,
        ),
    ] {
        let request = message(&format!("sip:{from}@example.org"));
        let answer = connection.ask_as(&request, &login).response();
        assert_eq!((answer.status, &*answer.reason), wanted, "{situation}");
        if wanted == asked_again {
            assert_eq!(is_stale(&answer), stale, "{situation}");
        }
    }
    for (situation, from, to, login, phrase) in [
        (
            "another password",
            "alice",
            "alice",
            of("alice", "no"),
            "Invalid password provided",
        ),
        (
            "no such user",
            "alice",
            "alice",
            of("nobody", "x"),
            "Invalid password provided",
        ),
        (
            "a forged From",
            "bob",
            "bob",
            alice(),
            "Invalid user name provided",
        ),
        (
            "another's address",
            "alice",
            "bob",
            alice(),
            "Invalid user name provided",
        ),
        (
            "nobody by name",
            "anonymous",
            "anonymous",
            alice(),
            "Invalid user name provided",
        ),
    ] {
        let mut request = register(&format!("sip:{from}@example.org"));
        request.to = format!("sip:{to}@example.org");
        let answer = connection.ask_as(&request, &login).response();
        assert_eq!(
            (answer.status, &*answer.reason),
            (403, phrase),
            "{situation}"
        );
    }
}

#[test]
fn an_answer_counts_once_and_only_from_where_its_challenge_went() {
    let server = setup().start();
    let mut here = anonymous(&server);
    let request = message("sip:alice@example.org");
    let asked = challenge(&mut here, &request);
    let first = answered(&asked, &request, &alice());
    assert_eq!(here.ask(&first).response().status, 480);
    let again = here.ask(&first.following()).response();
    assert!(
        again.status == 407 && is_stale(&again),
        "a replay: {again:?}"
    );
    let next = answered(
        &asked,
        &request,
        &Login {
            count: 2,
            ..alice()
        },
    );
    assert_eq!(here.ask(&next).response().status, 480, "the next count");
    let elsewhere = answered(
        &asked,
        &request,
        &Login {
            count: 3,
            ..alice()
        },
    );
    let mut there = TlsPeer::anonymous()
        .from(THERE)
        .connect(server.tls())
        .unwrap();
    let answer = there.ask(&elsewhere).response();
    assert!(answer.status == 407 && is_stale(&answer), "{answer:?}");
    // From where it was asked it is still good.
    assert_eq!(here.ask(&elsewhere.following()).response().status, 480);
}

#[test]
fn an_answer_to_another_proxy_may_stand_before_ours() {
    let server = setup().start();
    let mut connection = anonymous(&server);
    let request = message("sip:alice@example.org");
    let asked = challenge(&mut connection, &request);
    let mut sent = answered(&asked, &request, &alice());
    let other = "Proxy-Authorization: Digest username=\"a\", realm=\"proxy.example.net\", nonce=\"n\", \
                 uri=\"sip:bob@example.org\", response=\"00000000000000000000000000000000\"";
    sent.headers.insert(0, other.to_owned());
    sent.headers
        .insert(0, "Proxy-Authorization: Basic YTpi".to_owned());
    assert_eq!(connection.ask(&sent).response().status, 480);
}

#[test]
fn our_own_answer_goes_no_further_and_another_proxys_does() {
    let server = setup().start();
    let mut bob = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    let login = Login::new("bob", "pw");
    let registered = bob.ask_as(&register("sip:bob@example.org"), &login);
    assert_eq!(registered.response().status, 200);
    let mut alice_phone = anonymous(&server);
    let mut request = message("sip:alice@example.org");
    let other = "Proxy-Authorization: Digest username=\"a\", realm=\"proxy.example.net\", nonce=\"n\", uri=\"u\", response=\"r\"";
    request.headers.push(other.to_owned());
    let asked = challenge(&mut alice_phone, &request);
    alice_phone
        .send_request(&answered(&asked, &request, &alice()))
        .unwrap();
    let came = bob
        .next_request(Duration::from_secs(10))
        .expect("the message");
    let credentials: Vec<_> = came
        .headers
        .iter()
        .filter(|(name, _)| name == "proxy-authorization")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(credentials, [other.split_once(": ").unwrap().1]);
}

#[test]
fn a_certificate_and_a_password_are_asked_for_as_set() {
    let own = "sip:alice@example.org";
    for (instead, peer, from, wanted) in [
        ("false", "alice-uri", own, 407),
        ("true", "alice-uri", own, 480),
        ("true", "none", own, 407),
        ("true", "bob-uri", own, 403),
        ("false", "bob-uri", own, 403),
        ("false", "none", "sip:carol@other.example.net", 403),
    ] {
        let server = setup().set("CertificateInsteadOfDigest", instead).start();
        let mut peer_connection = TlsPeer::named(peer).connect(server.tls()).unwrap();
        let status = peer_connection.ask(&message(from)).response().status;
        assert_eq!(status, wanted, "{instead} {peer} {from}");
    }
}

#[test]
fn who_has_proved_a_password_is_asserted_in_place_of_what_he_says() {
    let server = setup()
        .set("EnablePAssertedIdentityProcessing", "true")
        .start();
    let mut bob = TlsPeer::named("bob-uri").connect(server.tls()).unwrap();
    let login = Login::new("bob", "pw");
    let registered = bob.ask_as(&register("sip:bob@example.org"), &login);
    assert_eq!(registered.response().status, 200);
    for (situation, header, wanted) in [
        ("nothing said", "", Some("<sip:alice@example.org>")),
        (
            "another",
            "P-Asserted-Identity: <sip:bob@example.org>",
            Some("<sip:alice@example.org>"),
        ),
        (
            "a wish",
            "P-Preferred-Identity: <sip:bob@example.org>",
            Some("<sip:alice@example.org>"),
        ),
        ("private", "Privacy: id", None),
    ] {
        let mut phone = anonymous(&server);
        let mut request = message("sip:alice@example.org");
        request
            .headers
            .extend((!header.is_empty()).then(|| header.to_owned()));
        let asked = challenge(&mut phone, &request);
        phone
            .send_request(&answered(&asked, &request, &alice()))
            .unwrap();
        let came = bob
            .next_request(Duration::from_secs(10))
            .expect("the message");
        assert_eq!(came.value("p-asserted-identity"), wanted, "{situation}");
        assert_eq!(came.value("p-preferred-identity"), None, "{situation}");
        bob.send(&came.answer(200, "OK")).unwrap();
    }
}

#[test]
fn an_ack_is_never_challenged() {
    let server = setup().start();
    let mut connection = udp_from(HERE, server.udp());
    let mut ack = Request::new("ACK", "sip:bob@example.org", "sip:alice@example.org");
    ack.to_tag = true;
    connection.send_request(&ack).unwrap();
    let answer = connection.final_answer(&ack, Duration::from_millis(500));
    assert!(matches!(answer, Answer::Silence), "{answer:?}");
}

#[test]
fn too_many_wrong_passwords_are_refused_whatever_comes_and_elsewhere_they_are_not() {
    let server = setup().set("DigestMaximumFailuresPerSource", "3").start();
    let request = message("sip:alice@example.org");
    let mut here = anonymous(&server);
    for _ in 0..3 {
        let wrong = Login::new("alice", "no");
        let status = here.ask_as(&request.following(), &wrong).response().status;
        assert_eq!(status, 403);
    }
    let answer = here.ask_as(&request.following(), &alice()).response();
    assert_eq!(
        (answer.status, &*answer.reason),
        (403, "Authentication Failed")
    );
    let mut there = TlsPeer::anonymous()
        .from(THERE)
        .connect(server.tls())
        .unwrap();
    let status = there.ask_as(&request, &alice()).response().status;
    assert_eq!(status, 480);
}

#[test]
fn better_algorithms_are_offered_in_their_order_and_each_serves() {
    let algorithms = "SHA-512-256, SHA-256, MD5";
    let server = setup().set("DigestChallengeAlgorithms", algorithms).start();
    let mut connection = anonymous(&server);
    let request = message("sip:alice@example.org");
    let asked = challenge(&mut connection, &request);
    let offered: Vec<_> = asked
        .values("proxy-authenticate")
        .map(|line| value(&parameters(line), "algorithm").map(str::to_owned))
        .collect();
    assert_eq!(
        offered
            .iter()
            .flatten()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        algorithms
    );
    for algorithm in ["MD5", "SHA-256", "SHA-512-256"] {
        let login = Login {
            algorithm: Some(algorithm.to_owned()),
            ..alice()
        };
        let status = connection
            .ask_as(&request.following(), &login)
            .response()
            .status;
        assert_eq!(status, 480, "{algorithm}");
    }
}
