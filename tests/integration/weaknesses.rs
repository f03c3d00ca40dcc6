//! Weaknesses of the legacy server, each tried against this one: docs/weaknesses.md has the list and says why where there is
//! nothing to try.

use std::fs;
use std::path::Path;
use std::time::Duration;

use openssl::ssl::SslVersion;

use crate::harness::{
    Answer, Connection, Login, Outcome, Request, Response, Server, Setup, TlsPeer, tcp_from,
    udp_from,
};

const ALICE: &str = "sip:alice@example.org";
const BOB: &str = "sip:bob@example.org";
const CAROL: &str = "sip:carol@other.example.net";
const EVE: &str = "sip:eve@example.org";
const PASSWORD: &str = "pw";
const MUTUAL_TLS: &str = "403 Mutual TLS required to handle that message";
const NOT_YOURS: &str = "403 Authentication Failed for peer cert";

/// Certificates alone.
fn with_certificates() -> Setup {
    let setup = Setup::usual();
    for user in ["alice", "bob", "eve"] {
        setup.add_user(&format!("{user}@example.org"));
    }
    setup
}

/// Certificates and passwords.
fn with_passwords() -> Setup {
    with_certificates().set("DisableAuth", "false")
}

fn tls(server: &Server, certificate: &str) -> Connection {
    let peer = TlsPeer::named(certificate).settling().connect(server.tls());
    peer.unwrap_or_else(|outcome| panic!("{certificate}: {outcome}"))
}

fn loopback() -> std::net::IpAddr {
    "127.0.0.3".parse().expect("an address")
}

fn said(response: &Response) -> String {
    format!("{} {}", response.status, response.reason)
}

fn ask(connection: &mut Connection, request: &Request) -> String {
    said(&connection.ask(request).response())
}

/// The answer to a request that is challenged, with this password.
fn log_in(connection: &mut Connection, request: &Request, user: &str, password: &str) -> String {
    let challenged = connection.ask(request).response();
    let mut again = request.following();
    let answer = Login::new(user, password).answer(&challenged, &again);
    again.headers.push(answer);
    ask(connection, &again)
}

/// Whether a challenge says that the password was right for a nonce that is not good any more.
fn is_stale(challenge: &Response) -> bool {
    let mut challenges = challenge.values("proxy-authenticate");
    challenges.any(|challenge| challenge.contains("stale=true"))
}

fn message(from: &str) -> Request {
    Request::new("MESSAGE", EVE, from)
}

fn register(from: &str, to: &str) -> Request {
    let mut request = Request::new("REGISTER", "sip:example.org", from);
    to.clone_into(&mut request.to);
    request
}

#[test]
fn a_foreign_route_takes_nobody_around_admission() {
    let server = with_certificates().start();
    let mut peer = tls(&server, "none");
    let mut request = message(ALICE);
    for route in [
        "<sip:127.0.0.1:9;lr>",
        "<sip:127.0.0.1:9>",
        "<sip:other.example.net;lr>",
    ] {
        request = request.following();
        request.headers = vec![format!("Route: {route}")];
        assert_eq!(ask(&mut peer, &request), MUTUAL_TLS, "{route}");
    }
}

#[test]
fn an_empty_a1_proves_nothing() {
    let setup = with_certificates();
    let (status, told) = setup.run_with_input(
        &["user", "add", "old@example.org", "--algorithms", "MD5"],
        "pw\n",
    );
    assert_eq!(status, Some(0), "{told}");
    let server = setup
        .set("DisableAuth", "false")
        .set("DigestChallengeAlgorithms", "SHA-256, MD5")
        .start();
    let mut peer = tls(&server, "none");
    for user in ["old", "ghost"] {
        let own = format!("sip:{user}@example.org");
        for algorithm in ["MD5", "SHA-256", "SHA-512-256"] {
            for request in [message(&own), register(&own, &own)] {
                let challenge = peer.ask(&request).response();
                let mut again = request.following();
                let login = Login {
                    other_algorithm: Some(algorithm),
                    a1: Some(String::new()),
                    ..Login::new(user, "")
                };
                again.headers.push(login.answer(&challenge, &again));
                let answer = peer.ask(&again).response();
                assert!(
                    matches!(answer.status, 401 | 403 | 407),
                    "{user} {algorithm} {}: {answer:?}",
                    request.method
                );
            }
        }
    }
    // The password itself is good for the algorithm that there is a hash of.
    let request = message("sip:old@example.org");
    let challenge = peer.ask(&request).response();
    let mut again = request.following();
    let login = Login {
        algorithm: Some("MD5".to_owned()),
        ..Login::new("old", PASSWORD)
    };
    again.headers.push(login.answer(&challenge, &again));
    assert_eq!(ask(&mut peer, &again), "480 Temporarily Unavailable");
}

#[test]
fn sql_in_usernames_stays_text() {
    let server = with_passwords().start();
    let mut peer = tls(&server, "none");
    for user in [
        "x' OR '1'='1",
        "alice' --",
        "alice\\\" OR 1=1",
        "$user",
        "%",
        "alice%00",
    ] {
        assert_eq!(
            log_in(&mut peer, &message(ALICE), user, PASSWORD),
            "403 Authentication Failed",
            "{user}"
        );
    }
    assert_eq!(
        log_in(&mut peer, &message(ALICE), "alice", PASSWORD),
        "480 Temporarily Unavailable"
    );
}

#[test]
fn nobody_registers_for_somebody_elses_address_of_record() {
    let server = with_passwords().start();
    let mut peer = tls(&server, "none");
    let request = register(ALICE, BOB);
    assert_eq!(
        log_in(&mut peer, &request, "alice", PASSWORD),
        "403 Invalid user name provided"
    );
    let mut domain = tls(&server, "other-dns");
    let answer = ask(&mut domain, &register(CAROL, ALICE));
    assert!(answer.starts_with("403 "), "{answer}");
}

#[test]
fn certificates_do_not_open_the_registrar_to_other_transports() {
    let server = with_passwords().start();
    for (situation, mut peer) in [
        ("UDP", udp_from(loopback(), server.udp())),
        ("TCP", tcp_from(loopback(), server.tcp())),
        ("TLS", tls(&server, "none")),
    ] {
        let foreign = ask(&mut peer, &register(CAROL, ALICE));
        assert_eq!(foreign, MUTUAL_TLS, "{situation}");
        let own = ask(&mut peer, &register(ALICE, ALICE));
        assert_eq!(own, "401 Unauthorized", "{situation}");
    }
}

#[test]
fn a_to_tag_a_bye_and_a_referred_by_exempt_nobody() {
    let server = with_certificates().start();
    let mut alice = tls(&server, "alice-uri");
    for method in ["MESSAGE", "BYE", "INVITE", "REFER", "SUBSCRIBE", "FOO"] {
        for to_tag in [false, true] {
            let mut request = Request::new(method, EVE, BOB);
            request.to_tag = to_tag;
            if method == "REFER" {
                request.headers.push(format!("Refer-To: <{EVE}>"));
                request.headers.push(format!("Referred-By: <{ALICE}>"));
            }
            assert_eq!(ask(&mut alice, &request), NOT_YOURS, "{method} {to_tag}");
        }
    }
}

#[test]
fn a_plain_transport_is_no_way_around_certificates() {
    let server = with_certificates().start();
    for mut peer in [
        udp_from(loopback(), server.udp()),
        tcp_from(loopback(), server.tcp()),
    ] {
        for from in [ALICE, CAROL] {
            assert_eq!(ask(&mut peer, &message(from)), MUTUAL_TLS, "{from}");
        }
    }
}

#[test]
fn a_users_certificate_is_not_its_domains_and_an_empty_name_is_nobodys() {
    let server = with_certificates().start();
    for (certificate, from) in [
        ("alice-uri", BOB),
        ("alice-uri", "sip:example.org"),
        ("uri-im", ALICE),
        ("uri-mailto", ALICE),
        ("no-names", "tel:+15551234567"),
        ("uri-tel", "tel:+15551234567"),
        ("uri-empty-host", "tel:+15551234567"),
    ] {
        let answer = ask(&mut tls(&server, certificate), &message(from));
        assert_eq!(answer, NOT_YOURS, "{certificate} {from}");
    }
}

#[test]
fn hosts_are_compared_without_case() {
    let server = with_certificates().start();
    for (certificate, from) in [
        ("alice-uri", "sip:alice@EXAMPLE.org"),
        ("upper-uri", CAROL),
        ("other-dns", "sip:carol@Other.Example.NET"),
    ] {
        let answer = ask(&mut tls(&server, certificate), &message(from));
        assert_eq!(
            answer, "480 Temporarily Unavailable",
            "{certificate} {from}"
        );
    }
    let answer = ask(
        &mut tls(&server, "alice-uri"),
        &message("sip:ALICE@example.org"),
    );
    assert_eq!(answer, NOT_YOURS, "users have a case");
}

#[test]
fn an_answer_of_the_table_of_peer_identities_skips_no_password() {
    let setup = with_passwords();
    let (status, told) = setup.run(&["identity", "add", "0004F2999999", "alice@example.org"]);
    assert_eq!(status, Some(0), "{told}");
    let server = setup.start();
    let mut phone = tls(&server, "phone-0004F2999999");
    let first = phone.ask(&message(ALICE)).response();
    assert_eq!(first.status, 407, "{first:?}");
    assert_eq!(
        log_in(&mut phone, &message(ALICE), "alice", PASSWORD),
        "480 Temporarily Unavailable"
    );
    assert_eq!(ask(&mut phone, &message(BOB)), NOT_YOURS);
}

#[test]
fn a_malformed_mappings_file_at_a_reload_changes_nothing() {
    let setup = Setup::usual().set("CommonNameMappings", "mappings.txt");
    let file = setup.dir().join("mappings.txt");
    fs::write(&file, "0004F22B3EB5\talice@example.org\n").expect("mappings");
    let mut server = setup.start();
    fs::write(&file, "no tab here\n").expect("mappings");
    let mut from = server.lines();
    server.sighup();
    let failed = server.wait_after(&mut from, &["reload_fail"], Duration::from_secs(10));
    assert!(failed.is_some(), "{}", server.log());
    let mut phone = tls(&server, "phone-0004F22B3EB5");
    assert_eq!(
        ask(&mut phone, &message(ALICE)),
        "480 Temporarily Unavailable"
    );
    assert!(server.lives());
}

/// What a thief of one answer, or of one nonce, can do with it.
#[test]
fn nonces_are_good_once_here_and_for_whom_they_were_made() {
    let server = with_passwords().set("TrustedPeers", "").start();
    let mut alice = tls(&server, "none");
    let request = message(ALICE);
    let challenge = alice.ask(&request).response();
    let mut first = request.following();
    let line = Login::new("alice", PASSWORD).answer(&challenge, &first);
    first.headers.push(line.clone());
    assert_eq!(ask(&mut alice, &first), "480 Temporarily Unavailable");

    let again = |connection: &mut Connection, line: String, ruri: &str| {
        let mut request = message(ALICE);
        ruri.clone_into(&mut request.ruri);
        request.headers.push(line);
        connection.ask(&request).response()
    };
    let replayed = again(&mut alice, line.clone(), EVE);
    assert_eq!(replayed.status, 407, "the same answer again");
    assert!(is_stale(&replayed), "{replayed:?}");
    let moved = again(&mut alice, line, BOB);
    assert!(
        matches!(moved.status, 400 | 407),
        "to another target: {moved:?}"
    );

    let challenge = alice.ask(&message(ALICE)).response();
    let mut elsewhere = TlsPeer::named("none")
        .from("127.0.0.4".parse().expect("an address"))
        .connect(server.tls())
        .expect("a connection");
    let right = Login::new("alice", PASSWORD);
    let answer = right.answer(&challenge, &message(ALICE));
    assert_eq!(
        again(&mut elsewhere, answer, EVE).status,
        407,
        "from elsewhere"
    );

    for (situation, login, wanted) in [
        (
            "a nonce of nobody's",
            Login {
                nonce: Some("1234:abcdef".to_owned()),
                ..right.clone()
            },
            407,
        ),
        (
            "without qop, as RFC 2069",
            Login {
                without_qop: true,
                ..right.clone()
            },
            407,
        ),
        (
            "for another URI",
            Login {
                uri: Some(BOB.to_owned()),
                ..right.clone()
            },
            400,
        ),
    ] {
        let line = login.answer(&challenge, &message(ALICE));
        let response = again(&mut alice, line, EVE);
        assert_eq!(response.status, wanted, "{situation}: {response:?}");
        assert!(!is_stale(&response), "{situation}: {response:?}");
    }
}

#[test]
fn an_unknown_user_and_a_wrong_password_are_answered_alike() {
    let server = with_passwords().start();
    let mut peer = tls(&server, "none");
    for (request, wanted) in [
        (message(ALICE), "403 Authentication Failed"),
        (register(ALICE, ALICE), "403 Invalid password provided"),
    ] {
        for (user, password) in [("alice", "wrong"), ("ghost", "wrong"), ("ghost", "pw")] {
            let answer = log_in(&mut peer, &request.following(), user, password);
            assert_eq!(answer, wanted, "{} {user}", request.method);
        }
    }
}

#[test]
fn who_guesses_passwords_is_soon_not_listened_to_and_nobody_else_suffers() {
    let server = with_passwords()
        .set("DigestMaximumFailuresPerSource", "20")
        .start();
    let mut guesser = tls(&server, "none");
    let answers: Vec<String> = (0..60)
        .map(|n| log_in(&mut guesser, &message(ALICE), "alice", &format!("guess{n}")))
        .collect();
    let refused = "403 Authentication Failed";
    assert!(
        answers.iter().all(|answer| answer == refused),
        "{answers:?}"
    );
    // The right password comes too late from there, and is as good as ever from elsewhere.
    assert_eq!(
        log_in(&mut guesser, &message(ALICE), "alice", PASSWORD),
        refused
    );
    let mut alice = TlsPeer::named("none")
        .from("127.0.0.5".parse().expect("an address"))
        .connect(server.tls())
        .expect("a connection");
    assert_eq!(
        log_in(&mut alice, &message(ALICE), "alice", PASSWORD),
        "480 Temporarily Unavailable"
    );
}

#[test]
fn an_address_is_believed_of_no_datagram() {
    let server = with_certificates().set("TrustedPeers", "127.0.0.3").start();
    let mut datagrams = udp_from(loopback(), server.udp());
    assert_eq!(ask(&mut datagrams, &message(ALICE)), MUTUAL_TLS);
    let mut stream = tcp_from(loopback(), server.tcp());
    assert_eq!(
        ask(&mut stream, &message(ALICE)),
        "480 Temporarily Unavailable"
    );
}

#[test]
fn a_register_is_challenged_as_a_registrar_does_or_as_repro_did() {
    for (status, wanted) in [
        ("", "401 Unauthorized"),
        ("407", "407 Proxy Authentication Required"),
    ] {
        let setup = with_passwords();
        let setup = match status {
            "" => setup,
            status => setup.set("RegisterChallengeStatus", status),
        };
        let server = setup.start();
        let mut peer = tls(&server, "none");
        assert_eq!(ask(&mut peer, &register(ALICE, ALICE)), wanted);
        assert_eq!(
            log_in(&mut peer, &register(ALICE, ALICE), "alice", PASSWORD),
            "200 OK"
        );
    }
}

#[test]
fn credentials_for_others_and_without_a_realm_do_not_hide_ours() {
    let server = with_passwords().start();
    let mut peer = tls(&server, "none");
    for before in [
        "Proxy-Authorization: Digest username=\"alice\",realm=\"elsewhere.example\",nonce=\"1\",uri=\"sip:x\",response=\"00\"",
        "Proxy-Authorization: Digest username=\"alice\"",
        "Proxy-Authorization: Basic YWxpY2U6cHc=",
        "Proxy-Authorization: Digest",
    ] {
        let request = message(ALICE);
        let challenge = peer.ask(&request).response();
        let mut again = request.following();
        let line = Login::new("alice", PASSWORD).answer(&challenge, &again);
        again.headers = vec![before.to_owned(), line];
        assert_eq!(
            ask(&mut peer, &again),
            "480 Temporarily Unavailable",
            "{before}"
        );
    }
}

#[test]
fn a_name_with_nul_a_wildcard_or_a_cn_beside_a_san_is_nobodys() {
    let server = with_certificates().start();
    for (certificate, from) in [
        ("nul-cn", ALICE),
        ("nul-dns", CAROL),
        ("nul-uri", ALICE),
        ("nul-email", ALICE),
        ("wildcard-dns", "sip:x@a.example.net"),
        ("wildcard-dns", "sip:x@*.example.net"),
        ("cn-and-san", BOB),
        ("sub-dns", ALICE),
    ] {
        let mut peer = match TlsPeer::named(certificate).settling().connect(server.tls()) {
            Ok(peer) => peer,
            Err(Outcome::Alert(_)) => continue,
            Err(other) => panic!("{certificate}: {other}"),
        };
        assert_eq!(
            ask(&mut peer, &message(from)),
            NOT_YOURS,
            "{certificate} {from}"
        );
    }
}

#[test]
fn a_uri_san_that_cannot_be_read_hurts_nobody() {
    let mut server = with_certificates().start();
    for _ in 0..20 {
        let mut peer = tls(&server, "uri-garbage");
        assert_eq!(ask(&mut peer, &message(ALICE)), NOT_YOURS);
        assert_eq!(ask(&mut peer, &Request::ping()), "200 OK");
    }
    assert!(server.lives());
}

#[test]
fn old_versions_of_tls_are_refused_with_their_alert() {
    let server = with_certificates().start();
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        let outcome = TlsPeer::named("alice-uri")
            .only(version)
            .connect(server.tls())
            .expect_err("an old version");
        assert_eq!(outcome, Outcome::Alert("protocol_version"));
    }
}

#[test]
fn no_identity_header_is_made_of_an_old_rfc() {
    let server = with_certificates().start();
    let mut bob = tls(&server, "bob-uri");
    assert_eq!(ask(&mut bob, &register(BOB, BOB)), "200 OK");
    let mut alice = tls(&server, "alice-uri");
    let request = Request::new("MESSAGE", BOB, ALICE);
    alice.send_request(&request).expect("a request sent");
    let arrived = bob
        .next_request(Duration::from_secs(10))
        .expect("the request arrives");
    assert_eq!(arrived.value("identity"), None, "{arrived:?}");
    assert_eq!(arrived.value("identity-info"), None, "{arrived:?}");
    bob.send(&arrived.answer(200, "OK")).expect("an answer");
    let answer = alice.final_answer(&request, Duration::from_secs(10));
    assert!(
        matches!(answer, Answer::Response(Response { status: 200, .. })),
        "{answer:?}"
    );
}

/// Each test that docs/weaknesses.md names is one.
#[test]
fn the_list_of_weaknesses_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/weaknesses.md")).expect("docs/weaknesses.md");
    let named: Vec<&str> = page
        .split('`')
        .filter(|text| text.contains("::") && !text.contains(' '))
        .collect();
    assert!(named.len() >= 30, "{} tests are named", named.len());
    for name in named {
        let (file, test) = name.rsplit_once("::").expect("file::test");
        let file = file.replace("::", "/");
        let places = [
            root.join(format!("tests/integration/{file}.rs")),
            root.join(format!("tests/{file}.rs")),
        ];
        let found = places.iter().any(|path| {
            fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("fn {test}(")))
        });
        assert!(found, "{name} is no test");
    }
}
