//! The audit log: a line for each verdict of admission, whoever made it; and `explain` of a captured message.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Pki, Request, Server, Setup, TlsPeer, tcp_from};
use crate::udp::{Phone, call};

const PATIENCE: Duration = Duration::from_secs(20);
const ALICE: &str = "sip:alice@example.org";
const BOB: &str = "sip:bob@example.org";

fn setup() -> Setup {
    let setup = Setup::new(
        "TLSDomainName = example.org\nCertificatePath = certs\nTLSClientVerification = Optional\n\
         EnableCertificateAuthenticator = true\nDisableAuth = true\nCommonNameMappings = mappings.txt\n\
         AuditLog = audit.jsonl\n",
    );
    fs::write(
        setup.dir().join("mappings.txt"),
        "00:04:f2:2b:3e:b5\tcarol@example.org\n",
    )
    .expect("mappings.txt");
    setup
}

fn file(server: &Server) -> PathBuf {
    server.dir().join("audit.jsonl")
}

/// The records of a file, once there are as many as this.
fn records(path: &Path, wanted: usize) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole = text.ends_with('\n') || text.is_empty();
        let lines: Vec<&str> = text.lines().collect();
        if whole && lines.len() >= wanted {
            return lines
                .iter()
                .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
                .collect();
        }
        assert!(Instant::now() < end, "waits for {wanted} records:\n{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What these members of a record are, in one line.
fn told(record: &Value, members: &[&str]) -> String {
    let text = |name: &&str| match &record[*name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    members.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_verdict_is_a_line_that_says_by_what_and_for_whom() {
    let server = setup().start();
    let ask = |certificate: &str, request: &Request| {
        let mut peer = TlsPeer::named(certificate).connect(server.tls()).unwrap();
        peer.ask(request).response().status
    };
    let message = |from: &str| Request::new("MESSAGE", BOB, from);
    let mut statuses = vec![
        ask("alice-uri", &message(ALICE)),
        ask("alice-uri", &message(BOB)),
        ask("phone-0004F22B3EB5", &message("sip:carol@example.org")),
        ask("none", &message(ALICE)),
        ask(
            "alice-uri",
            &Request::new("REGISTER", "sip:example.org", ALICE),
        ),
    ];
    let mut plain = tcp_from("127.0.0.3".parse().unwrap(), server.tcp());
    statuses.push(plain.ask(&message(ALICE)).response().status);
    plain
        .send_request(&Request::new("ACK", BOB, ALICE))
        .unwrap();
    let records = records(&file(&server), 7);
    let members = [
        "outcome",
        "verdict",
        "status",
        "identity",
        "path",
        "method",
        "from",
        "transport",
    ];
    let found: Vec<String> = records.iter().map(|own| told(own, &members)).collect();
    let wanted = [
        format!(
            "admitted user-identity {} URI:{ALICE} proxy MESSAGE {ALICE} TLS",
            statuses[0]
        ),
        format!("refused cert-mismatch 403 - proxy MESSAGE {BOB} TLS"),
        format!(
            "admitted mapping {} 0004F22B3EB5 proxy MESSAGE sip:carol@example.org TLS",
            statuses[2]
        ),
        format!("refused no-certificate 403 - proxy MESSAGE {ALICE} TLS"),
        format!("admitted user-identity 200 URI:{ALICE} registrar REGISTER {ALICE} TLS"),
        format!("refused not-tls 403 - proxy MESSAGE {ALICE} TCP"),
        format!("dropped not-tls - - proxy ACK {ALICE} TCP"),
    ];
    assert_eq!(found, wanted, "{statuses:?}");

    let first = &records[0];
    let certificate = &first["certificate"];
    for (member, part) in [
        ("names", "URI:sip:alice@example.org"),
        ("subject", "CN=Alice"),
        ("issuer", "CN="),
        ("ca", "CN="),
    ] {
        let text = certificate[member].as_str().unwrap();
        assert!(text.contains(part), "{member}: {text}");
    }
    let length = |member: &str| certificate[member].as_str().unwrap().len();
    assert_eq!((length("fingerprint"), length("ca_fingerprint")), (64, 64));
    assert!(length("serial") > 0);
    assert_eq!(first["rules"], "secure");
    assert_eq!(first["to"], BOB);
    assert_eq!(first["listener"], server.tls().to_string());
    assert!(first["source"].as_str().unwrap().starts_with("127.0.0.3:"));
    let time = first["time"].as_str().unwrap();
    assert_eq!(time.len(), "2026-01-02T03:04:05.678Z".len(), "{time}");
    assert!(records[3].get("certificate").is_none());

    // The line of the log and that of the audit are of the same message.
    let log = server.log();
    for refused in [&records[1], &records[3]] {
        let id = format!(" id={} ", refused["id"].as_str().unwrap());
        let of_log: Vec<&str> = log.lines().filter(|line| line.contains(&id)).collect();
        assert_eq!(of_log.len(), 1, "{id}\n{log}");
        assert!(of_log[0].contains("auth.refused"), "{of_log:?}");
        assert!(of_log[0].contains(refused["verdict"].as_str().unwrap()));
    }
    let mode = fs::metadata(file(&server)).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn requests_within_a_call_are_audited_by_the_side_that_sends_them() {
    let server = setup().set("ForceRecordRouting", "true").start();
    let mut alice = Phone::over_tls("alice", "alice-uri", &server);
    let mut bob = Phone::over_tls("bob", "bob-uri", &server);
    call(&mut alice, &mut bob);
    // Two REGISTER; INVITE, ACK; INVITE, ACK of the callee; BYE.
    let records = records(&file(&server), 7);
    let found: Vec<String> = records
        .iter()
        .map(|record| told(record, &["outcome", "method", "identity"]))
        .collect();
    let wanted = [
        "admitted REGISTER URI:sip:alice@example.org",
        "admitted REGISTER URI:sip:bob@example.org",
        "admitted INVITE URI:sip:alice@example.org",
        "admitted ACK caller",
        "admitted INVITE callee",
        "admitted ACK callee",
        "admitted BYE caller",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn refusals_alone_are_written_where_that_is_wanted_and_a_hostile_from_stays_in_its_line() {
    let server = setup().set("AuditAdmitted", "false").start();
    let mut peer = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    peer.ask(&Request::new("MESSAGE", BOB, ALICE)).response();
    let mut hostile = Request::new("MESSAGE", BOB, ALICE);
    "From: \"a\\\"b\" <sip:%22%0a{}\u{fc}'@example.org>;tag=x\r\n".clone_into(&mut hostile.from);
    let answer = peer.ask(&hostile).response();
    let mut secret = Request::new("MESSAGE", BOB, BOB);
    "From: <sip:bob:s3cret@example.org>;tag=x\r\n".clone_into(&mut secret.from);
    assert_eq!(peer.ask(&secret).response().status, 403);
    let wanted = if answer.status == 403 { 2 } else { 1 };
    let records = records(&file(&server), wanted);
    assert_eq!(records.len(), wanted, "{records:?}");
    for record in &records {
        assert_eq!(record["outcome"], "refused");
    }
    assert_eq!(records[wanted - 1]["from"], BOB);
    assert!(!server.log().contains("s3cret"), "{}", server.log());
}

#[test]
fn a_renamed_audit_log_is_left_at_sighup_and_nothing_is_lost() {
    let server = setup().start();
    let mut peer = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    peer.ask(&Request::new("MESSAGE", BOB, BOB)).response();
    let path = file(&server);
    records(&path, 1);
    let moved = path.with_extension("1");
    fs::rename(&path, &moved).unwrap();
    let mut from = 0;
    server.sighup();
    let reloaded = server.wait_after(&mut from, &["server.reloaded"], PATIENCE);
    assert!(reloaded.is_some(), "{}", server.log());
    peer.ask(&Request::new("MESSAGE", BOB, BOB)).response();
    records(&path, 1);
    assert_eq!(records(&moved, 1).len(), 1);
}

#[test]
fn under_report_an_admitted_request_says_what_the_secure_rules_would_have_said() {
    let server = setup().set("IdentityRules", "report").start();
    let mut peer = TlsPeer::named("none").connect(server.tls()).unwrap();
    peer.ask(&Request::new("MESSAGE", BOB, ALICE)).response();
    let records = records(&file(&server), 1);
    let found = told(
        &records[0],
        &["outcome", "verdict", "rules", "would_refuse"],
    );
    assert_eq!(
        found,
        "admitted legacy-no-certificate report no-certificate (From)"
    );
}

#[test]
fn without_the_setting_there_is_no_file() {
    let server = Setup::usual().start();
    let mut peer = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    peer.ask(&Request::new("MESSAGE", BOB, BOB)).response();
    let files = fs::read_dir(server.dir()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    let is_audit = |name: &std::ffi::OsString| name.to_string_lossy().contains("audit");
    assert!(!names.iter().any(is_audit), "{names:?}");
}

#[test]
fn an_unknown_maker_of_phones_is_told_those_that_are_known() {
    let words = "PhoneProfile = polycom, nokia\n";
    let (status, text) = Setup::usual().with(words).run(&["check", "repro.config"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("nokia") && text.contains("yealink"), "{text}");
}

#[test]
fn a_captured_message_is_explained_as_the_server_judges_it() {
    let setup = setup();
    let capture = |request: &Request| {
        let octets = request.octets("TLS", "127.0.0.3:40000".parse().unwrap());
        String::from_utf8(octets).unwrap()
    };
    let explain = |setup: &Setup, certificate: &str, text: &str, more: &[&str]| {
        let file = Pki::get().client(certificate);
        let file = file.to_string_lossy().into_owned();
        let mut words = vec!["explain", "--config", "repro.config", "--message", "-"];
        words.extend(["--cert", &file]);
        words.extend(more);
        setup.run_with_input(&words, text)
    };
    let mut register = Request::new("REGISTER", "sip:example.org", ALICE);
    register.to = BOB.to_owned();
    let mut refer = Request::new("REFER", BOB, ALICE);
    refer.headers = vec!["Referred-By: <sip:eve@example.org>".to_owned()];
    let cases = [
        ("alice-uri", Request::new("MESSAGE", BOB, ALICE)),
        ("alice-uri", Request::new("MESSAGE", BOB, BOB)),
        (
            "alice-uri",
            Request::new("REGISTER", "sip:example.org", ALICE),
        ),
        ("alice-uri", register),
        ("alice-uri", refer),
        (
            "phone-0004F22B3EB5",
            Request::new("INVITE", BOB, "sip:carol@example.org"),
        ),
        ("phone-0004F22B3EB5", Request::new("INVITE", BOB, ALICE)),
    ];
    let said: Vec<_> = cases
        .iter()
        .map(|(certificate, request)| explain(&setup, certificate, &capture(request), &[]))
        .collect();

    // Of credentials as much is told as tells no secret.
    let mut digest = Request::new("MESSAGE", BOB, ALICE);
    digest.headers = vec![
        "Proxy-Authorization: Digest username=\"alice\", realm=\"example.org\", nonce=\"77\", uri=\"sip:x\", \
         response=\"0123456789abcdef0123456789abcdef\""
            .to_owned(),
    ];
    let (_, text) = explain(
        &setup,
        "alice-uri",
        &capture(&digest).replace('\r', ""),
        &[],
    );
    assert!(
        text.contains("Proxy-Authorization: Digest, user \"alice\", realm \"example.org\""),
        "{text}"
    );
    assert!(!text.contains("0123456789abcdef"), "{text}");
    let over_udp = ["--transport", "udp", "--source", "127.0.0.7:5060"];
    let (status, text) = explain(&setup, "alice-uri", &capture(&cases[0].1), &over_udp);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("reason=not-tls"), "{text}");
    for (text, wanted) in [
        ("", "nothing in it"),
        ("SIP/2.0 200 OK\r\n\r\n", "a response"),
        ("MESSAGE sip:bob@example.org SIP/2.0\nnonsense\n", "line 2"),
    ] {
        let (status, told) = explain(&setup, "alice-uri", text, &[]);
        assert_eq!(status, Some(1), "{told}");
        assert!(told.contains(wanted), "{told}");
    }
    let missing = [
        "explain",
        "--config",
        "repro.config",
        "--message",
        "none.sip",
    ];
    let (status, text) = setup.run(&missing);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("none.sip"), "{text}");

    let server = setup.start();
    for ((certificate, request), (status, text)) in cases.iter().zip(said) {
        let mut peer = TlsPeer::named(certificate).connect(server.tls()).unwrap();
        let response = peer.ask(request).response();
        let admitted = response.status != 403;
        assert_eq!(status, Some(i32::from(!admitted)), "{text}");
        let phrase = format!("403 {}", response.reason);
        assert!(admitted || text.contains(&phrase), "{phrase} in\n{text}");
    }
}
