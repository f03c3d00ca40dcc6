//! The callout: what each answer, and each answer that is none, means for whoever waits for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use crate::harness::{
    Backend, Connection, Reply, Request, Response, Server, Setup, TlsPeer, tcp_from,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server that asks this backend.
pub(crate) fn asking(url: &str) -> Setup {
    Setup::usual()
        .set("IdentityCalloutURL", url)
        .set("IdentityCalloutTimeout", "1000")
}

pub(crate) fn alice(server: &Server) -> Connection {
    TlsPeer::named("alice-uri").connect(server.tls()).unwrap()
}

/// What a MESSAGE from this user is answered: whoever is let in hears that eve is not there.
pub(crate) fn message(peer: &mut Connection, user: &str) -> Response {
    let from = format!("sip:{user}@example.org");
    let request = Request::new("MESSAGE", "sip:eve@example.org", &from);
    peer.ask(&request).response()
}

pub(crate) fn status(peer: &mut Connection, user: &str) -> u16 {
    message(peer, user).status
}

/// Waits until the log has a line with all of these.
fn logged(server: &Server, texts: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    let is_there = |log: String| {
        log.lines()
            .any(|line| texts.iter().all(|text| line.contains(text)))
    };
    while !is_there(server.log()) {
        assert!(Instant::now() < deadline, "{texts:?}: {}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn http(head: &str, body: &str) -> Reply {
    Reply::Octets(format!("{head}\r\n\r\n{body}").into_bytes())
}

/// Does with a question what its user says.
fn by_user(user: &str, elsewhere: SocketAddr) -> Reply {
    let allow = r#"{"verdict":"allow"}"#;
    match user {
        "deny" => {
            Reply::Say(r#"{"verdict":"deny","reason":"not in \"the\" book\r\nx"}"#.to_owned())
        }
        "abstain" => Reply::verdict("abstain"),
        "ttl" => Reply::Say(r#"{"verdict":"allow","ttl":1}"#.to_owned()),
        "ttl0" => Reply::Say(r#"{"verdict":"deny","ttl":0}"#.to_owned()),
        "chunked" => http(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
            &format!("{:x}\r\n{allow}\r\n0\r\n\r\n", allow.len()),
        ),
        "old" => http("HTTP/1.0 200 OK", allow),
        "garbage" => Reply::Say("<html>welcome</html>".to_owned()),
        "no-http" => Reply::Octets(b"SIP/2.0 200 OK\r\n\r\n".to_vec()),
        "empty" => Reply::Say(String::new()),
        "unknown-word" => Reply::verdict("yes"),
        "unknown-field" => Reply::Say(r#"{"verdict":"allow","because":"x"}"#.to_owned()),
        "oversize" => Reply::Say(format!("{}{allow}", " ".repeat(70_000))),
        "oversize-head" => http(
            &format!(
                "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 19",
                "x".repeat(200_000)
            ),
            allow,
        ),
        "redirect" => http(
            &format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{elsewhere}/\r\nContent-Length: 19"
            ),
            allow,
        ),
        "created" => http("HTTP/1.1 201 Created\r\nContent-Length: 19", allow),
        "unauthorised" => http("HTTP/1.1 401 Unauthorized\r\nContent-Length: 19", allow),
        "broken" => http("HTTP/1.1 500 Broken\r\nContent-Length: 19", allow),
        "short" => http("HTTP/1.1 200 OK\r\nContent-Length: 40", allow),
        "cut" => Reply::Octets(Vec::new()),
        "drip" => Reply::Drip,
        "never" => Reply::Never,
        _ => Reply::Say(allow.to_owned()),
    }
}

#[test]
fn each_answer_of_the_callout_has_its_outcome() {
    let elsewhere = Backend::new(|_| Reply::verdict("allow"));
    let place = elsewhere.address();
    let backend = Backend::new(move |asked| by_user(asked["user"].as_str().unwrap(), place));
    let server = asking(&backend.url()).start();
    let mut peer = alice(&server);
    for (number, (user, wanted, told)) in [
        ("allow", 480, ""),
        ("chunked", 480, ""),
        ("old", 480, ""),
        ("deny", 403, "check-denied (From) \\\"callout: not in"),
        ("abstain", 403, "cert-mismatch"),
        ("garbage", 403, "the answer is not as agreed"),
        ("no-http", 403, "no answer: "),
        ("empty", 403, "the answer is not as agreed"),
        ("unknown-word", 403, "the answer is not as agreed"),
        ("unknown-field", 403, "the answer is not as agreed"),
        ("oversize", 403, "longer than 65536 octets"),
        ("oversize-head", 403, "no answer: "),
        ("redirect", 403, "status 307 in place of 200"),
        ("created", 403, "status 201 in place of 200"),
        ("unauthorised", 403, "status 401 in place of 200"),
        ("broken", 403, "status 500 in place of 200"),
        ("short", 403, "no answer: "),
        ("cut", 403, "no answer: "),
        ("drip", 403, "no answer: "),
        ("never", 403, "none within IdentityCalloutTimeout"),
    ]
    .into_iter()
    .enumerate()
    {
        // Each from an address of its own: of one kind and address few lines are written.
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(number).unwrap() + 1));
        let mut other = TlsPeer::named("alice-uri").from(source);
        let mut other = other.connect(server.tls()).unwrap();
        let begun = Instant::now();
        let answer = message(&mut other, user);
        assert!(begun.elapsed() < Duration::from_secs(2), "{user}");
        assert_eq!(answer.status, wanted, "{user}");
        if !told.is_empty() {
            assert_eq!(
                answer.reason, "Authentication Failed for peer cert",
                "{user}"
            );
            let peer = format!("peer={source}");
            logged(&server, &["auth.refused", &peer, told]);
        }
        // The next one is answered as ever.
        assert_eq!(status(&mut peer, &format!("next-{number}")), 480, "{user}");
    }
    assert_eq!(elsewhere.asked().len(), 0, "no redirect is followed");
    assert!(server.log().contains("lookup.callout_failed"));
    assert!(!server.log().contains("lookup.callout_lost"));
}

#[test]
fn the_callout_is_asked_what_the_manual_says() {
    let backend = Backend::new(|_| Reply::verdict("allow"));
    let server = asking(&backend.url())
        .set("IdentityCalloutToken", "s3cret-of-the-backend")
        .start();
    let mut peer = alice(&server);
    assert_eq!(status(&mut peer, "bo%62"), 480);
    let asked = backend.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "POST /identity HTTP/1.1");
    let header = |line: &str| {
        let mut headers = asked[0].headers.iter();
        assert!(
            headers.any(|own| own.eq_ignore_ascii_case(line)),
            "{line}: {asked:?}"
        );
    };
    header("Content-Type: application/json");
    header("Authorization: Bearer s3cret-of-the-backend");
    let body = &asked[0].body;
    for (name, wanted) in [
        ("role", "from"),
        ("method", "MESSAGE"),
        ("claim", "sip:bob@example.org"),
        ("user", "bob"),
        ("domain", "example.org"),
        ("transport", "TLS"),
        ("source", &peer.local().to_string()),
    ] {
        assert_eq!(body[name], wanted, "{name}");
    }
    assert_eq!(body["version"], 1);
    let certificate = &body["certificate"];
    assert_eq!(certificate["names"][0], "URI:sip:alice@example.org");
    assert_eq!(certificate["fingerprint"].as_str().unwrap().len(), 64);
    for name in ["subject", "issuer", "serial"] {
        assert!(!certificate[name].as_str().unwrap().is_empty(), "{name}");
    }
    assert_eq!(body.as_object().unwrap().len(), 9);
}

#[test]
fn an_answer_is_remembered_for_its_time_and_forgotten_by_a_reload() {
    let backend =
        Backend::new(|asked| by_user(asked["user"].as_str().unwrap(), ([127, 0, 0, 1], 9).into()));
    let server = asking(&backend.url()).start();
    let mut peer = alice(&server);
    for user in ["bob", "deny", "abstain", "ttl0"] {
        let first = status(&mut peer, user);
        for _ in 0..4 {
            assert_eq!(status(&mut peer, user), first, "{user}");
        }
        let wanted = if user == "ttl0" { 5 } else { 1 };
        assert_eq!(backend.times(user), wanted, "{user}");
    }
    // Another connection of the same peer is the same question, another method is not.
    assert_eq!(status(&mut alice(&server), "bob"), 480);
    assert_eq!(backend.times("bob"), 1);
    peer.ask(&Request::new(
        "OPTIONS",
        "sip:eve@example.org",
        "sip:bob@example.org",
    ));
    assert_eq!(backend.times("bob"), 2);
    let begun = Instant::now();
    assert_eq!(status(&mut peer, "ttl"), 480);
    while backend.times("ttl") < 2 {
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(status(&mut peer, "ttl"), 480);
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let mut line = server.lines();
    server.sighup();
    server
        .wait_after(&mut line, &["server.reloaded"], PATIENCE)
        .expect("a reload");
    assert_eq!(status(&mut peer, "bob"), 480);
    assert_eq!(backend.times("bob"), 3);
}

#[test]
fn many_who_ask_the_same_wait_for_one_call() {
    let backend = Backend::new(|_| {
        Reply::After(
            Duration::from_millis(300),
            Box::new(Reply::verdict("allow")),
        )
    });
    let server = asking(&backend.url()).start();
    let mut peers: Vec<_> = (0..20)
        .map(|_| {
            let request = Request::new("MESSAGE", "sip:eve@example.org", "sip:bob@example.org");
            (alice(&server), request)
        })
        .collect();
    for (peer, request) in &mut peers {
        peer.send_request(request).unwrap();
    }
    for (peer, request) in &mut peers {
        let answer = peer.final_answer(request, PATIENCE).response();
        assert_eq!(answer.status, 480);
    }
    assert_eq!(backend.times("bob"), 1);
}

#[test]
fn only_what_a_certificate_does_not_entitle_to_is_asked_about_unless_all_is() {
    let deny_alice = |asked: &serde_json::Value| match asked["user"].as_str() {
        Some("alice") => Reply::verdict("deny"),
        Some("carol") => Reply::verdict("allow"),
        _ => Reply::verdict("abstain"),
    };
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for (when, own, carol, bob, without, asked) in [
        ("mismatch", 480, 480, 403, 403, 2),
        ("always", 403, 480, 403, 480, 5),
    ] {
        let backend = Backend::new(deny_alice);
        let server = asking(&backend.url())
            .set("IdentityCalloutWhen", when)
            .start();
        let mut peer = alice(&server);
        assert_eq!(status(&mut peer, "alice"), own, "{when}");
        assert_eq!(status(&mut peer, "carol"), carol, "{when}");
        assert_eq!(status(&mut peer, "bob"), bob, "{when}");
        let mut plain = tcp_from(source, server.tcp());
        assert_eq!(status(&mut plain, "carol"), without, "{when}");
        assert_eq!(status(&mut plain, "bob"), 403, "{when}");
        let all = backend.asked();
        assert_eq!(all.len(), asked, "{when}: {all:?}");
        if when == "always" {
            assert!(all[4].body["certificate"].is_null());
            assert_eq!(all[4].body["transport"], "TCP");
        }
    }
}

#[test]
fn without_an_answer_the_built_in_rules_may_decide() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = asking(&format!("http://{nobody}/"))
        .set("IdentityCalloutWhen", "always")
        .set("IdentityCalloutFailure", "abstain")
        .start();
    let mut peer = alice(&server);
    for _ in 0..10 {
        assert_eq!(status(&mut peer, "alice"), 480);
        assert_eq!(status(&mut peer, "bob"), 403);
    }
    logged(&server, &["cert-mismatch"]);
    assert!(!server.log().contains("check-denied"));
}

/// A certificate for itself, for this name or address, and its key.
fn self_signed(name: &str) -> (X509, SslAcceptor) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject
        .append_entry_by_nid(Nid::COMMONNAME, "backend")
        .unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(2).unwrap())
        .unwrap();
    let ca = BasicConstraints::new().critical().ca().build().unwrap();
    builder.append_extension(ca).unwrap();
    let mut names = SubjectAlternativeName::new();
    match name.parse::<IpAddr>() {
        Ok(_) => names.ip(name),
        Err(_) => names.dns(name),
    };
    let names = names.build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_certificate(&certificate).unwrap();
    acceptor.set_private_key(&key).unwrap();
    (certificate, acceptor.build())
}

#[test]
fn over_tls_the_backend_has_to_prove_its_name() {
    let (right, for_us) = self_signed("127.0.0.1");
    let (other, _) = self_signed("127.0.0.1");
    let (wrong_name, for_another) = self_signed("elsewhere.test");
    let pem = |certificate: &X509| certificate.to_pem().unwrap();
    for (situation, acceptor, anchors, wanted) in [
        ("its own anchor", &for_us, Some(&right), 480),
        (
            "another anchor of the same name",
            &for_us,
            Some(&other),
            403,
        ),
        ("the anchors of the system", &for_us, None, 403),
        ("another name", &for_another, Some(&wrong_name), 403),
    ] {
        let backend = Backend::secure(acceptor.clone(), |_| Reply::verdict("allow"));
        let mut setup = asking(&backend.url()).set("IdentityCalloutToken", "s3cret-of-the-backend");
        if let Some(anchors) = anchors {
            let file = setup.dir().join("backend.pem");
            std::fs::write(&file, pem(anchors)).unwrap();
            setup = setup.set("IdentityCalloutCAFile", "backend.pem");
        }
        let server = setup.set("LogLevel", "STACK").start();
        let mut peer = alice(&server);
        for number in 0..2 {
            assert_eq!(
                status(&mut peer, &format!("bob{number}")),
                wanted,
                "{situation}"
            );
        }
        assert_eq!(
            backend.asked().len(),
            if wanted == 480 { 2 } else { 0 },
            "{situation}"
        );
        let said = server.log();
        assert!(
            said.contains("TRACE") || said.contains("STACK") || said.contains("trace"),
            "{said}"
        );
        assert!(!said.contains("s3cret"), "{situation}: {said}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_at_the_start() {
    for (name, value, wanted) in [
        (
            "IdentityCalloutURL",
            "ftp://127.0.0.1/",
            "expected http://host/path",
        ),
        (
            "IdentityCalloutURL",
            "http://me:s3cret@127.0.0.1/",
            "put it into IdentityCalloutToken",
        ),
        (
            "IdentityCalloutURL",
            "http://127.0.0.1:notaport/",
            "IdentityCalloutURL",
        ),
        (
            "IdentityCalloutToken",
            "s3cret with blanks",
            "expected printable ASCII",
        ),
        (
            "IdentityCalloutCAFile",
            "nowhere.pem",
            "cannot read this file",
        ),
        (
            "IdentityCalloutCAFile",
            "repro.config",
            "it has no certificate",
        ),
        ("IdentityCalloutTimeout", "0", "IdentityCalloutTimeout"),
        ("IdentityCalloutWhen", "sometimes", "IdentityCalloutWhen"),
    ] {
        let setup = asking("http://127.0.0.1:9/").set(name, value);
        let (status, said) = crate::harness::run_to_end(&setup, PATIENCE);
        assert_eq!(
            status.and_then(|own| own.code()),
            Some(1),
            "{name}={value}: {said}"
        );
        assert!(said.contains(wanted), "{name}={value}: {said}");
        let shown = said.contains("s3cret with");
        assert!(!shown, "{said}");
    }
}
