//! Revoked certificates against the real server: `openssl s_client` and `gnutls-cli` with certificates that a CRL has,
//! lists that are missing, over, exchanged or half written, tickets of a certificate that was revoked since; OCSP responses
//! that we show, and those that `openssl s_server` shows us.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Authority, NameServer, Pki, Request, Server, Setup, TlsPeer, Watched, free_port,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A question that any server of ours answers.
const QUESTION: &str = "OPTIONS sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bKq\r\n\
     Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=1\r\nTo: <sip:example.org>\r\nCall-ID: q\r\n\
     CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    OpenSsl,
    GnuTls,
}

/// What becomes of a client.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Refused by the alert of this number.
    Alert(u32),
    /// The connection ended, or nothing came.
    Nothing(String),
}

const REVOKED: Fate = Fate::Alert(44);
/// What OpenSSL has for a list that is over.
const OVER: Fate = Fate::Alert(45);
/// What OpenSSL has for a list with a bad signature.
const DAMAGED: Fate = Fate::Alert(51);
/// What OpenSSL has for a list that is not there.
const MISSING: Fate = Fate::Alert(48);

fn s_client(server: SocketAddr, certificate: &str, version: &str, more: &[&str]) -> Command {
    let file = Pki::get().client(certificate);
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &server.to_string()])
        .arg(format!("-tls{}", version.replace('.', "_")))
        .args(["-servername", "example.org", "-cert_chain"])
        .arg(&file)
        .arg("-cert")
        .arg(&file)
        .arg("-key")
        .arg(&file)
        .args(more);
    command
}

fn gnutls_cli(server: SocketAddr, certificate: &str, version: &str) -> Command {
    let file = Pki::get().client(certificate);
    let mut command = Command::new("stdbuf");
    command
        .args(["-oL", "gnutls-cli", "--insecure", "--no-ca-verification"])
        .arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"))
        .arg("--x509certfile")
        .arg(&file)
        .arg("--x509keyfile")
        .arg(&file)
        .arg(format!("--port={}", server.port()))
        .arg("127.0.0.1");
    command
}

fn alert(text: &str) -> Option<u32> {
    ["SSL alert number ", "Received alert ["]
        .iter()
        .find_map(|before| {
            let (_, rest) = text.split_once(before)?;
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        })
}

fn fate(command: &mut Command) -> Fate {
    let mut client = Watched::spawn(command);
    client.write(QUESTION.as_bytes());
    client.wait_until(PATIENCE, |text| {
        text.contains("SIP/2.0 200") || alert(text).is_some()
    });
    let text = client.end();
    match alert(&text) {
        Some(number) => Fate::Alert(number),
        None if text.contains("SIP/2.0 200") => Fate::Answered,
        None => Fate::Nothing(text),
    }
}

/// The fate of a client of both programs in both versions, which is the same.
fn everywhere(situation: &str, server: &Server, certificate: &str, wanted: &Fate) {
    for version in ["1.2", "1.3"] {
        for program in [Program::OpenSsl, Program::GnuTls] {
            let mut command = match program {
                Program::OpenSsl => s_client(server.tls(), certificate, version, &["-quiet"]),
                Program::GnuTls => gnutls_cli(server.tls(), certificate, version),
            };
            let found = fate(&mut command);
            assert_eq!(
                found,
                *wanted,
                "{situation}: {certificate} {program:?} {version}\n{}",
                server.log()
            );
        }
    }
}

/// A server with these lists, each a file of its own.
fn with_lists(lists: &[Vec<u8>]) -> Setup {
    let setup = Setup::usual();
    let files: Vec<PathBuf> = (0..lists.len())
        .map(|at| setup.dir().join(format!("{at}.crl")))
        .collect();
    for (file, list) in files.iter().zip(lists) {
        fs::write(file, list).expect("a list");
    }
    let files: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    setup.set("CRLFile", &files.join(","))
}

fn root() -> Authority {
    Authority::new("root-example")
}

/// A list of the root with one bit of its signature wrong.
fn damaged() -> Vec<u8> {
    let mut der = root().crl_der();
    let end = der.len() - 1;
    der[end] ^= 1;
    der
}

fn users() -> Authority {
    Authority::new("int-users")
}

#[test]
fn a_revoked_certificate_is_refused_in_the_handshake_and_its_ca_too() {
    let revoked = root().revokes("clients/alice-uri.crt").crl();
    let server = with_lists(&[revoked, users().crl()]).start();
    everywhere("the leaf is revoked", &server, "alice-uri", &REVOKED);
    everywhere(
        "another of the same CA",
        &server,
        "bob-uri",
        &Fate::Answered,
    );
    everywhere(
        "below an intermediate",
        &server,
        "alice-int-chain",
        &Fate::Answered,
    );
    everywhere(
        "without a list of its CA",
        &server,
        "phone-0004F22B3EB5",
        &MISSING,
    );
    let log = server.log();
    assert!(
        log.contains("reason=\"certificate revoked since 2026-01-01T00:00:00Z (keyCompromise)\""),
        "{log}"
    );
}

#[test]
fn a_revoked_intermediate_takes_those_below_with_it_unless_only_leaves_are_checked() {
    let lists = [root().revokes("ca/int-users.crt").crl(), users().crl()];
    let server = with_lists(&lists).start();
    everywhere(
        "the intermediate is revoked",
        &server,
        "alice-int-chain",
        &REVOKED,
    );
    everywhere("not below it", &server, "alice-uri", &Fate::Answered);
    let server = with_lists(&lists).set("CRLCheck", "leaf").start();
    everywhere("leaves alone", &server, "alice-int-chain", &Fate::Answered);
    // Several lists in one file, as DER, under any name, in a directory with other files.
    let server = {
        let setup = Setup::usual();
        let place = setup.dir().join("lists");
        fs::create_dir(&place).expect("a directory");
        let both = [
            root().revokes("ca/int-users.crt").crl_der(),
            users().crl_der(),
        ];
        fs::write(place.join("both.bin"), both.concat()).expect("lists");
        fs::copy(Pki::get().path("ca/root-example.crt"), place.join("a.pem")).expect("a copy");
        setup
            .set("CRLDirectory", &place.display().to_string())
            .start()
    };
    everywhere("DER in a directory", &server, "alice-int-chain", &REVOKED);
    everywhere(
        "DER in a directory, not below",
        &server,
        "alice-uri",
        &Fate::Answered,
    );
}

#[test]
fn lists_that_are_over_or_missing_refuse_unless_a_setting_lets_pass_with_a_line() {
    let over = [root().over().revokes("clients/alice-revoked.crt").crl()];
    let server = with_lists(&over).start();
    everywhere("over", &server, "alice-uri", &OVER);
    assert!(
        server.log().contains("tls.expired kind=crl"),
        "{}",
        server.log()
    );
    let server = with_lists(&over).set("CRLStale", "warn").start();
    everywhere("over, and let pass", &server, "alice-uri", &Fate::Answered);
    everywhere(
        "over, and revoked by it",
        &server,
        "alice-revoked",
        &REVOKED,
    );
    let log = server.log();
    let line = log
        .lines()
        .find(|line| line.contains("tls.unchecked"))
        .unwrap_or(&log);
    assert!(
        line.contains("allowed_by=CRLStale") && line.contains("CN=Alice"),
        "{line}"
    );
    assert!(
        log.contains("config.note") && log.contains("CRLStale"),
        "{log}"
    );
    let damaged = [damaged()];
    let server = with_lists(&damaged).start();
    everywhere("not signed", &server, "alice-uri", &DAMAGED);
    let log = server.log();
    assert!(
        log.contains("is not signed by the CA of that name"),
        "{log}"
    );
    let server = with_lists(&[users().crl()]).start();
    everywhere("missing", &server, "alice-uri", &MISSING);
    let server = with_lists(&[users().crl()])
        .set("CRLMissing", "warn")
        .start();
    everywhere(
        "missing, and let pass",
        &server,
        "alice-uri",
        &Fate::Answered,
    );
    let log = server.log();
    assert!(log.contains("allowed_by=CRLMissing"), "{log}");
}

#[test]
fn a_delta_adds_to_the_list_that_it_is_of() {
    let base = root().with_deltas().crl();
    let delta = root().a_delta().revokes("clients/alice-uri.crt").crl();
    let server = with_lists(&[base.clone(), delta]).start();
    everywhere("in the delta", &server, "alice-uri", &REVOKED);
    everywhere("in neither", &server, "bob-uri", &Fate::Answered);
    let server = with_lists(&[base]).start();
    everywhere("no delta there", &server, "alice-uri", &Fate::Answered);
}

/// Waits for a line of this event with these words.
fn tells(server: &Server, from: &mut usize, event: &str, words: &str) {
    while let Some(line) = server.wait_after(from, &[event], PATIENCE) {
        if line.contains(words) {
            return;
        }
    }
    panic!("no {event} {words}:\n{}", server.log());
}

/// Puts another list in the place of one, as `mv` does.
fn exchange(file: &Path, list: &[u8]) {
    let other = file.with_extension("new");
    fs::write(&other, list).expect("a list");
    fs::rename(other, file).expect("its place");
}

#[test]
fn a_list_that_is_exchanged_counts_without_a_restart_and_half_of_one_does_not() {
    let clean = root().revokes("clients/alice-revoked.crt");
    let server = with_lists(&[clean.crl()])
        .set("CRLReloadInterval", "1")
        .start();
    let file = server.dir().join("0.crl");
    everywhere("at first", &server, "alice-uri", &Fate::Answered);
    let mut from = server.lines();
    let both = clean.clone().revokes("clients/alice-uri.crt").crl();
    fs::write(&file, &both[..both.len() / 2]).expect("half a list");
    tells(&server, &mut from, "tls.file_kept", "stays in force");
    everywhere("half a list", &server, "alice-uri", &Fate::Answered);
    everywhere("half a list", &server, "alice-revoked", &REVOKED);
    exchange(&file, &damaged());
    tells(&server, &mut from, "tls.file_kept", "not signed by the CA");
    everywhere("a damaged list", &server, "alice-revoked", &REVOKED);
    exchange(&file, &both);
    tells(&server, &mut from, "tls.crls_changed", "lists=1 entries=2");
    everywhere("exchanged", &server, "alice-uri", &REVOKED);
    // And back: what is not on the list any more is welcome.
    exchange(&file, &root().crl());
    tells(&server, &mut from, "tls.crls_changed", "");
    everywhere("taken back", &server, "alice-revoked", &Fate::Answered);
}

#[test]
fn a_connection_ends_when_its_certificate_comes_on_the_list_and_no_other_does() {
    let server = with_lists(&[root().crl()])
        .set("CRLReloadInterval", "1")
        .set("LogLevel", "DEBUG")
        .start();
    let mut from = server.lines();
    let mut clients: Vec<Watched> = ["1.2", "1.3"]
        .iter()
        .flat_map(|version| {
            [
                s_client(server.tls(), "alice-uri", version, &["-quiet"]),
                gnutls_cli(server.tls(), "alice-uri", version),
            ]
        })
        .map(|mut command| {
            let client = Watched::spawn(&mut command);
            let let_in = server.wait_after(&mut from, &["tls.accepted"], PATIENCE);
            assert!(let_in.is_some(), "{} {}", client.text(), server.log());
            client
        })
        .collect();
    let connect = |name| TlsPeer::named(name).connect(server.tls());
    let mut alice = connect("alice-uri").expect("a handshake");
    let mut bob = connect("bob-uri").expect("a handshake");
    let own = "sip:alice@example.org";
    let register = Request::new("REGISTER", "sip:example.org", own);
    assert_eq!(alice.ask(&register).response().status, 200);

    exchange(
        &server.dir().join("0.crl"),
        &root().revokes("clients/alice-uri.crt").crl(),
    );
    for client in &mut clients {
        let ended = client.ended(PATIENCE);
        assert!(ended.is_some(), "{} {}", client.text(), server.log());
    }
    assert!(alice.closed_within(PATIENCE), "{}", server.log());
    let message = Request::new("MESSAGE", own, "sip:bob@example.org");
    let answer = bob.ask(&message).response();
    assert_eq!(answer.status, 480, "her binding is gone: {}", server.log());
    tells(&server, &mut from, "tls.identity_lost", "revoked");
}

#[test]
fn an_older_list_does_not_take_the_place_of_the_one_in_force() {
    let list = |date, number| root().of(date, number).crl();
    let revoking = root().revokes("clients/alice-uri.crt");
    let server = with_lists(&[revoking.clone().of("20260301000000Z", "0a").crl()])
        .set("CRLReloadInterval", "1")
        .start();
    let file = server.dir().join("0.crl");
    everywhere("at first", &server, "alice-uri", &REVOKED);
    let mut from = server.lines();
    let why = "is older than the one of 2026-03-01T00:00:00Z that is in force";
    for (situation, older) in [
        ("an earlier date", list("20260201000000Z", "0b")),
        ("a smaller number", list("20260301000000Z", "09")),
    ] {
        exchange(&file, &older);
        tells(&server, &mut from, "tls.file_kept", why);
        everywhere(situation, &server, "alice-uri", &REVOKED);
    }
    server.sighup();
    // Before the end of the reload, and as the same event.
    tells(&server, &mut from, "tls.file_kept", why);
    tells(&server, &mut from, "server.reloaded", "");
    everywhere("after a reload", &server, "alice-uri", &REVOKED);
    let log = server.log();
    let is_noted = |line: &str| line.contains("config.note") && line.contains(why);
    assert!(!log.lines().any(is_noted), "{log}");
    exchange(&file, &list("20260302000000Z", "01"));
    tells(&server, &mut from, "tls.crls_changed", "");
    everywhere("a later date", &server, "alice-uri", &Fate::Answered);
    // Whoever wants the old one starts again.
    let server = with_lists(&[list("20260201000000Z", "01")]).start();
    everywhere("at a start", &server, "alice-uri", &Fate::Answered);
}

#[test]
fn check_names_trust_anchors_without_a_list_and_files_by_setting_and_line() {
    let configured = |text: &str| {
        Setup::new(&format!(
            "TLSDomainName = example.org\nCertificatePath = certs\n{text}"
        ))
    };
    let note = "no CRL of the trust anchor";
    for (situation, check, missing, is_told) in [
        ("as it is", "chain", "refuse", true),
        ("leaves alone", "leaf", "refuse", false),
        ("let pass", "chain", "warn", false),
    ] {
        let setup = configured(&format!(
            "CRLFile = ./root.crl\nCRLCheck = {check}\nCRLMissing = {missing}\n"
        ));
        fs::write(setup.dir().join("root.crl"), root().crl()).expect("a list");
        let (status, text) = setup.run(&["check", "repro.config"]);
        assert_eq!(text.contains(note), is_told, "{situation}: {text}");
        if is_told {
            assert_eq!(status, Some(1), "{situation}: {text}");
            assert!(text.contains("will be refused; name its CRL"), "{text}");
            assert!(!text.contains("anchor \"CN=Example Root"), "{text}");
        }
    }
    let names = [
        "CommonNameMappings",
        "CARights",
        "CRLFile",
        "IdentityCalloutCAFile",
    ];
    let mut text = String::from("IdentityCalloutURL = https://127.0.0.1:9/\n");
    for name in names {
        text.push_str(&format!("{name} = ./no-{name}\n"));
    }
    let setup = configured(&text);
    let (status, text) = setup.run(&["check", "repro.config"]);
    assert_eq!(status, Some(2), "{text}");
    for (at, name) in names.iter().enumerate() {
        let told = text
            .lines()
            .find(|line| line.contains(&format!("no-{name}")));
        let told = told.unwrap_or_else(|| panic!("{name}: {text}"));
        let place = format!("repro.config:{}: {name} = ", at + 4);
        assert!(told.contains(&place), "{place}: {told}");
    }
}

#[test]
fn a_reload_reads_lists_too() {
    let server = with_lists(&[root().crl()]).start();
    everywhere("at first", &server, "alice-uri", &Fate::Answered);
    let mut from = server.lines();
    exchange(
        &server.dir().join("0.crl"),
        &root().revokes("clients/alice-uri.crt").crl(),
    );
    server.sighup();
    let line = server.wait_after(&mut from, &["server.reloaded"], PATIENCE);
    assert!(line.is_some(), "{}", server.log());
    everywhere("reloaded", &server, "alice-uri", &REVOKED);
}

#[test]
fn a_ticket_of_a_certificate_that_was_revoked_since_is_worth_nothing() {
    let server = with_lists(&[root().crl()])
        .set("CRLReloadInterval", "1")
        .start();
    let keep = |version: &str| server.dir().join(format!("session-{version}"));
    let resumed = |version: &str| {
        let session = keep(version).display().to_string();
        let mut client = s_client(server.tls(), "alice-uri", version, &["-sess_in", &session]);
        let mut client = Watched::spawn(&mut client);
        client.write(QUESTION.as_bytes());
        client.wait_until(PATIENCE, |text| text.contains("SIP/2.0 200"));
        client.end()
    };
    for version in ["1.2", "1.3"] {
        let session = keep(version).display().to_string();
        let mut client = s_client(server.tls(), "alice-uri", version, &["-sess_out", &session]);
        let mut client = Watched::spawn(&mut client);
        client.write(QUESTION.as_bytes());
        assert!(client.wait_until(PATIENCE, |text| text.contains("SIP/2.0 200")));
        client.end();
        let text = resumed(version);
        assert!(
            text.contains("Reused, TLS") && text.contains("SIP/2.0 200"),
            "{version}: {text}"
        );
    }
    let mut from = server.lines();
    exchange(
        &server.dir().join("0.crl"),
        &root().revokes("clients/alice-uri.crt").crl(),
    );
    tells(&server, &mut from, "tls.crls_changed", "");
    for version in ["1.2", "1.3"] {
        let text = resumed(version);
        assert!(!text.contains("SIP/2.0"), "{version}: {text}");
        let line = server.wait_after(&mut from, &["tls.refused"], PATIENCE);
        assert!(
            line.is_some_and(
                |line| line.contains("resumed session") && line.contains("revoked since")
            ),
            "{version}: {}",
            server.log()
        );
    }
}

/// What `s_client -status` prints of our staple.
fn staple(server: &Server, version: &str) -> String {
    let mut client = s_client(server.tls(), "alice-uri", version, &["-status"]);
    let mut client = Watched::spawn(&mut client);
    client.wait_until(PATIENCE, |text| text.contains("SSL handshake has read"));
    client.end()
}

fn shows_staple(server: &Server, is_wanted: bool, situation: &str) {
    for version in ["1.2", "1.3"] {
        let text = staple(server, version);
        let (sent, none) = (
            "OCSP Response Status: successful",
            "OCSP response: no response sent",
        );
        assert_eq!(
            text.contains(sent),
            is_wanted,
            "{situation} {version}: {text}\n{}",
            server.log()
        );
        assert_eq!(
            text.contains(none),
            !is_wanted,
            "{situation} {version}: {text}"
        );
    }
}

#[test]
fn our_staple_is_shown_while_it_is_good_and_only_then() {
    const OURS: &str = "server/server-rsa.crt";
    let good = root().knows(OURS).staple(OURS);
    let setup = Setup::usual().set("CRLReloadInterval", "1");
    let file = setup.dir().join("certs/domain_ocsp_example.org.der");
    fs::write(&file, &good).expect("a staple");
    let server = setup.start();
    shows_staple(&server, true, "beside the certificate");
    let mut from = server.lines();
    fs::write(&file, root().revokes(OURS).staple(OURS)).expect("a staple");
    tells(&server, &mut from, "tls.file_kept", "revoked since");
    tells(&server, &mut from, "tls.staples_changed", "");
    shows_staple(&server, false, "revoked since");
    fs::write(&file, &good).expect("a staple");
    tells(&server, &mut from, "tls.staples_changed", "");
    shows_staple(&server, true, "and good again");
    fs::write(&file, &good[..good.len() / 2]).expect("half a staple");
    assert!(
        server
            .wait_after(&mut from, &["tls.file_kept"], PATIENCE)
            .is_some()
    );
    shows_staple(&server, true, "half written");
    for (situation, response, why) in [
        (
            "over",
            root().knows(OURS).old_staple(OURS),
            "its time is over",
        ),
        (
            "foreign",
            root()
                .knows("clients/bob-uri.crt")
                .staple("clients/bob-uri.crt"),
            "it is about no certificate of ours",
        ),
        (
            "unknown",
            root().staple(OURS),
            "the responder does not know the certificate",
        ),
        ("no response", b"nothing".to_vec(), "it is no OCSP response"),
    ] {
        let setup = Setup::usual();
        let file = setup.dir().join("staple.der");
        fs::write(&file, response).expect("a staple");
        let server = setup
            .set("TLSOcspStaple", &file.display().to_string())
            .start();
        let log = server.log();
        assert!(
            log.contains(&format!("is not sent: {why}")),
            "{situation}: {log}"
        );
        shows_staple(&server, false, situation);
    }
}

#[test]
fn the_staple_of_a_server_has_to_be_good_and_there_where_a_setting_asks_for_it() {
    const THEIRS: &str = "clients/other-dns.crt";
    let names = NameServer::new(&["other.example.net 300 A 127.0.0.1"]);
    let start = |require: &str| {
        Setup::usual()
            .set("DNSServers", &names.address().to_string())
            .set("TLSDestination1Domains", "other.example.net")
            .set("TLSDestination1RequireStaple", require)
            .set("LogLevel", "DEBUG")
            .start()
    };
    let (lenient, strict) = (start("false"), start("true"));
    let knows = root().knows(THEIRS);
    for (situation, response, on_lenient, on_strict) in [
        ("good", Some(knows.staple(THEIRS)), "", ""),
        ("none", None, "", "it sent no OCSP response, and has to"),
        (
            "revoked",
            Some(root().revokes(THEIRS).staple(THEIRS)),
            "certificate revoked since 2026-01-01T00:00:00Z, says its OCSP response",
            "certificate revoked since 2026-01-01T00:00:00Z, says its OCSP response",
        ),
        (
            "over",
            Some(knows.old_staple(THEIRS)),
            "does not count: its time is over",
            "does not count: its time is over",
        ),
        (
            "without an end, of now",
            Some(knows.staple_without_end(THEIRS)),
            "",
            "",
        ),
        (
            "without an end, of years ago",
            Some(knows.made_old(knows.staple_without_end(THEIRS), 2)),
            "does not count: its time is over",
            "does not count: its time is over",
        ),
        (
            "foreign",
            Some(
                root()
                    .knows("clients/bob-uri.crt")
                    .staple("clients/bob-uri.crt"),
            ),
            "does not count: it is about another certificate",
            "does not count: it is about another certificate",
        ),
    ] {
        for version in ["1.2", "1.3"] {
            for (server, refused) in [(&lenient, on_lenient), (&strict, on_strict)] {
                meets(server, response.as_deref(), version, refused, situation);
            }
        }
    }
}

/// A MESSAGE through our server to one that shows this response.
fn meets(server: &Server, response: Option<&[u8]>, version: &str, refused: &str, situation: &str) {
    let port = free_port();
    let file = Pki::get().client("other-dns");
    let mut command = Command::new("openssl");
    command
        .args([
            "s_server",
            "-no_ticket",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ])
        .arg(format!("-tls{}", version.replace('.', "_")))
        .arg("-cert")
        .arg(&file)
        .arg("-key")
        .arg(&file);
    let place = server.dir().join(format!("{port}.der"));
    if let Some(response) = response {
        fs::write(&place, response).expect("a response");
        command.arg("-status_file").arg(&place);
    }
    let mut remote = Watched::spawn(&mut command);
    assert!(remote.wait_until(PATIENCE, |text| text.contains("ACCEPT")));
    let mut from = server.lines();
    let mut alice = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake");
    let uri = format!("sip:carol@other.example.net:{port};transport=tls");
    let message = Request::new("MESSAGE", &uri, "sip:alice@example.org");
    alice.send_request(&message).expect("a connection");
    let line = server
        .wait_after(
            &mut from,
            &["tls.connected", "tls.server_refused"],
            PATIENCE,
        )
        .unwrap_or_default();
    match refused {
        "" => assert!(
            line.contains("tls.connected"),
            "{situation} {version}: {line}"
        ),
        why => {
            assert!(
                line.contains("tls.server_refused"),
                "{situation} {version}: {line}"
            );
            assert!(line.contains(why), "{situation} {version}: {line}");
            let answer = alice.final_answer(&message, PATIENCE).response();
            assert_eq!(
                (answer.status, &*answer.reason),
                (500, "Certificate Validation Failure"),
                "{situation} {version}"
            );
        }
    }
    remote.end();
}

#[test]
fn crls_of_the_client_role_are_for_servers() {
    let names = NameServer::new(&["other.example.net 300 A 127.0.0.1"]);
    let setup = Setup::usual();
    let file = setup.dir().join("servers.crl");
    fs::write(&file, root().revokes("clients/other-dns.crt").crl()).expect("a list");
    let server = setup
        .set("DNSServers", &names.address().to_string())
        .set("TLSClientRoleCRLFile", &file.display().to_string())
        .start();
    meets(
        &server,
        None,
        "1.3",
        "certificate revoked since 2026-01-01",
        "by a list",
    );
    // Of clients nobody has said anything.
    everywhere("a client", &server, "other-dns", &Fate::Answered);
}

#[test]
fn explain_looks_at_lists_and_status_says_how_long_they_hold() {
    let server = with_lists(&[root().revokes("clients/alice-uri.crt").crl()]).start();
    let list = format!("--CRLFile={}", server.dir().join("0.crl").display());
    for (name, wanted) in [
        (
            "alice-uri",
            "certificate revoked since 2026-01-01T00:00:00Z (keyCompromise)",
        ),
        ("bob-uri", "handshake: the chain is good"),
    ] {
        let certificate = Pki::get().client(name).display().to_string();
        let from = format!("sip:{}@example.org", name.trim_end_matches("-uri"));
        let arguments = [
            "explain",
            "repro.config",
            &list,
            "--cert",
            &certificate,
            "--from",
            &from,
        ];
        let (_, said) = server.setup().run(&arguments);
        assert!(said.contains(wanted), "{name}: {said}");
    }
    let (_, said) = server
        .setup()
        .run(&["ctl", "--config", "repro.config", "status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let left = &status["seconds_to_expiry"];
    for kind in ["own", "anchors", "crls"] {
        assert!(
            left[kind].as_i64().is_some_and(|seconds| seconds > 0),
            "{kind}: {said}"
        );
    }
}

#[test]
fn a_server_does_not_start_without_the_lists_that_settings_name() {
    for (text, wanted) in [
        (
            "CRLFile = /nonexistent.crl\n",
            "/nonexistent.crl: does not exist",
        ),
        ("CRLFile = repro.config\n", "holds no CRL"),
        ("CRLDirectory = /nonexistent\n", "does not exist"),
        ("CRLStale = maybe\n", "CRLStale"),
    ] {
        let setup = Setup::new(&format!(
            "TLSDomainName = example.org\nCertificatePath = certs\nTCPPort = 5060\n{text}"
        ));
        let (status, said) = setup.run(&["check", "repro.config"]);
        assert_eq!(status, Some(2), "{text}: {said}");
        assert!(said.contains(wanted), "{text}: {said}");
    }
}
