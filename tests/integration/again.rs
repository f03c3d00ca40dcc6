//! Live connections and resumable sessions, judged again: when CAs, mappings and identities change, and when a certificate
//! ends while its phone is connected.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::SslVersion;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};

use crate::harness::{
    Answer, Connection, Outcome, Pki, Remote, Request, Response, Server, Setup, TlsPeer, Watched,
    heavy, report,
};

const PATIENCE: Duration = Duration::from_secs(20);
const ALICE: &str = "sip:alice@example.org";
const BOB: &str = "sip:bob@example.org";
/// Of the vendor's CA; mapped to alice.
const PHONE: &str = "phone-0004F22B3EB5";
const MAPPED: &str = "00:04:F2:2B:3E:B5\talice@example.org\n";

/// A server that lets the vendor's phones be whom a file says.
fn setup() -> Setup {
    let setup = Setup::usual()
        .set("CommonNameMappings", "mappings")
        .set("LogLevel", "DEBUG");
    fs::write(setup.dir().join("mappings"), MAPPED).unwrap();
    setup
}

fn connect(server: &Server, name: &str) -> Connection {
    TlsPeer::named(name).connect(server.tls()).unwrap()
}

/// The operator takes the vendor's CA out.
fn distrust_vendor(server: &Server) {
    fs::remove_file(server.dir().join("certs/root_cert_vendor.pem")).unwrap();
    reload(server);
}

fn trust_vendor(server: &Server) {
    let root = Pki::get().path("legacy/root_cert_vendor.pem");
    fs::copy(root, server.dir().join("certs/root_cert_vendor.pem")).unwrap();
    reload(server);
}

fn reload(server: &Server) {
    let mut from = server.lines();
    server.sighup();
    let done = server.wait_after(&mut from, &["server.reload"], PATIENCE);
    let done = done.unwrap_or_default();
    assert!(done.contains("server.reloaded"), "{done}\n{}", server.log());
}

/// The next line with this event, from the start of the log on.
fn line(server: &Server, event: &str) -> String {
    let found = server.wait_after(&mut 0, &[event], PATIENCE);
    found.unwrap_or_else(|| panic!("no {event} in\n{}", server.log()))
}

fn ask(peer: &mut Connection, method: &str, to: &str, from: &str) -> Response {
    peer.ask(&Request::new(method, to, from)).response()
}

fn register(peer: &mut Connection, aor: &str) -> u16 {
    ask(peer, "REGISTER", "sip:example.org", aor).status
}

fn is_answered(peer: &mut Connection) -> bool {
    peer.ask(&Request::ping()).response().status == 200
}

/// Sends to alice: whether her phone hears it. It is answered in any case.
fn rings(bob: &mut Connection, phone: &mut Connection) -> bool {
    let message = Request::new("MESSAGE", ALICE, BOB);
    bob.send_request(&message).unwrap();
    // Either her phone is asked, or he is told at once that there is none.
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(request) = phone.next_request(Duration::from_millis(50)) {
            phone.send(&request.answer(200, "OK")).unwrap();
            let answer = bob.final_answer(&message, PATIENCE).response();
            assert_eq!(answer.status, 200);
            return true;
        }
        match bob.final_answer(&message, Duration::from_millis(50)) {
            Answer::Silence => {}
            answer => {
                assert_eq!(answer.response().status, 480);
                return false;
            }
        }
    }
    panic!("neither");
}

/// A certificate of alice's that is good for so many seconds more.
fn short_lived(directory: &Path, seconds: i64) -> PathBuf {
    let ca =
        |ending: &str| fs::read(Pki::get().path(&format!("ca/root-example.{ending}"))).unwrap();
    let issuer = X509::from_pem(&ca("crt")).unwrap();
    let issuer_key = PKey::private_key_from_pem(&ca("key")).unwrap();
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "Alice, for a moment")
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let mut new = X509::builder().unwrap();
    new.set_version(2).unwrap();
    let serial = BigNum::from_u32(0x00C0_FFEE)
        .unwrap()
        .to_asn1_integer()
        .unwrap();
    new.set_serial_number(&serial).unwrap();
    new.set_subject_name(&name.build()).unwrap();
    new.set_issuer_name(issuer.subject_name()).unwrap();
    new.set_not_before(&Asn1Time::from_unix(now - 60).unwrap())
        .unwrap();
    new.set_not_after(&Asn1Time::from_unix(now + seconds).unwrap())
        .unwrap();
    new.set_pubkey(&key).unwrap();
    let san = SubjectAlternativeName::new()
        .uri(ALICE)
        .build(&new.x509v3_context(Some(&issuer), None))
        .unwrap();
    new.append_extension(san).unwrap();
    new.sign(&issuer_key, MessageDigest::sha256()).unwrap();
    let mut pem = new.build().to_pem().unwrap();
    pem.extend(key.private_key_to_pem_pkcs8().unwrap());
    let file = directory.join(format!("short-{seconds}.pem"));
    fs::write(&file, pem).unwrap();
    file
}

fn peer_with(certificate: PathBuf) -> TlsPeer {
    let mut peer = TlsPeer::anonymous();
    peer.certificate = Some(certificate);
    peer
}

/// A client that others wrote, with the certificate of a phone.
fn s_client(server: SocketAddr, certificate: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &server.to_string()])
        .args(["-servername", "example.org", "-no_ign_eof"])
        .arg("-cert")
        .arg(certificate)
        .arg("-key")
        .arg(certificate)
        .args(more);
    command
}

fn gnutls_cli(server: SocketAddr, certificate: &Path) -> Command {
    let mut command = Command::new("gnutls-cli");
    command
        .args(["--no-ca-verification", "--port", &server.port().to_string()])
        .arg(format!("--x509certfile={}", certificate.display()))
        .arg(format!("--x509keyfile={}", certificate.display()))
        .arg(server.ip().to_string());
    command
}

/// Starts it and waits until the server has let it in.
fn open(server: &Server, mut command: Command) -> Watched {
    let mut from = server.lines();
    let mut client = Watched::spawn(&mut command);
    let accepted = server.wait_after(&mut from, &["tls.accepted", "tls.refused"], PATIENCE);
    let accepted = accepted.unwrap_or_default();
    assert!(
        accepted.contains("tls.accepted"),
        "{accepted} {}",
        client.text()
    );
    assert!(client.lives());
    client
}

#[test]
fn connections_of_a_ca_that_is_taken_out_are_closed_and_no_others() {
    let server = setup().start();
    let certificate = Pki::get().client(PHONE);
    let mut openssl = open(&server, s_client(server.tls(), &certificate, &["-quiet"]));
    let mut gnutls = open(&server, gnutls_cli(server.tls(), &certificate));
    let good = Pki::get().client("alice-uri");
    let mut stays = open(&server, s_client(server.tls(), &good, &["-quiet"]));
    let (mut phone, mut bob) = (connect(&server, PHONE), connect(&server, "bob-uri"));
    let mut nobody = connect(&server, "none");
    assert_eq!(register(&mut phone, ALICE), 200);
    assert!(rings(&mut bob, &mut phone));

    distrust_vendor(&server);
    assert!(phone.closed_within(PATIENCE), "{}", server.log());
    for (name, client) in [("openssl", &mut openssl), ("gnutls", &mut gnutls)] {
        assert!(
            client.ended(PATIENCE).is_some(),
            "{name}: {}",
            client.text()
        );
    }
    assert!(is_answered(&mut bob) && is_answered(&mut nobody));
    assert!(stays.lives(), "{}", stays.text());
    assert_eq!(
        ask(&mut bob, "MESSAGE", ALICE, BOB).status,
        480,
        "its binding is gone"
    );
    let told = line(&server, "tls.identity_lost");
    for part in [
        "done=closed",
        "subject=\"CN=0004F22B3EB5,O=Phone Vendor Inc\"",
        "anchor=\"CN=Phone Vendor Root,O=Phone Vendor Inc\"",
        "reason=\"unable to get local issuer certificate\"",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let lines = server.log().matches("tls.identity_lost").count();
    assert_eq!(lines, 3, "a line for each: {}", server.log());
    assert!(
        TlsPeer::named(PHONE)
            .settling()
            .connect(server.tls())
            .is_err()
    );
}

#[test]
fn a_request_is_never_judged_by_a_ca_of_before() {
    // Workers with much to go through: a request may come before its connection has had its turn.
    let server = setup()
        .set("MaximumConnectionsPerSource", "1000")
        .set("VerifiedChainCacheSize", "0")
        .start();
    let mut phones: Vec<_> = (0..200).map(|_| connect(&server, PHONE)).collect();
    fs::remove_file(server.dir().join("certs/root_cert_vendor.pem")).unwrap();
    let mut from = server.lines();
    server.sighup();
    server
        .wait_after(&mut from, &["server.reloaded"], PATIENCE)
        .unwrap();
    for phone in phones.iter_mut().rev() {
        let request = Request::new("REGISTER", "sip:example.org", ALICE);
        if let Answer::Response(answer) = phone.ask(&request) {
            panic!("{} {}", answer.status, answer.reason);
        }
    }
}

#[test]
fn a_binding_goes_when_the_mapping_that_it_rests_on_does() {
    let server = setup().start();
    let (mut phone, mut bob) = (connect(&server, PHONE), connect(&server, "bob-uri"));
    assert_eq!(register(&mut phone, ALICE), 200);
    assert_eq!(register(&mut bob, BOB), 200);
    reload(&server);
    assert!(rings(&mut bob, &mut phone), "nothing has changed");

    fs::write(server.dir().join("mappings"), "other\tcarol@example.org\n").unwrap();
    reload(&server);
    let told = line(&server, "registrar.right_lost");
    for part in [
        "aor=\"alice@example.org\"",
        "removed=1",
        "cert-mismatch (From)",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!rings(&mut bob, &mut phone));
    assert_eq!(register(&mut phone, ALICE), 403);
    assert!(
        is_answered(&mut phone),
        "the certificate is as good as before"
    );
    let log = server.log();
    assert!(!log.contains("tls.identity_lost"), "{log}");
    assert_eq!(log.matches("registrar.right_lost").count(), 1, "{log}");

    fs::write(server.dir().join("mappings"), MAPPED).unwrap();
    reload(&server);
    assert_eq!(register(&mut phone, ALICE), 200);
    assert!(rings(&mut bob, &mut phone));
}

#[test]
fn a_binding_goes_when_the_identity_or_trusted_name_that_it_rests_on_does() {
    let server = Setup::usual().start();
    let manage = |arguments: &[&str]| {
        let (status, said) = server.setup().run(arguments);
        assert_eq!(status, Some(0), "{arguments:?}: {said}");
    };
    let mut bob = connect(&server, "bob-uri");
    for (certificate, add, remove) in [
        (
            PHONE,
            ["identity", "add", "0004F22B3EB5", "alice@example.org"].as_slice(),
            ["identity", "remove", "0004F22B3EB5", "alice@example.org"].as_slice(),
        ),
        (
            "trusted-gw",
            &["acl", "add", "gw.example.net"],
            &["acl", "remove", "gw.example.net"],
        ),
    ] {
        let mut phone = connect(&server, certificate);
        manage(add);
        assert_eq!(register(&mut phone, ALICE), 200, "{certificate}");
        assert!(rings(&mut bob, &mut phone), "{certificate}");
        let mut from = server.lines();
        manage(remove);
        let told = server.wait_after(&mut from, &["registrar.right_lost"], PATIENCE);
        assert!(told.is_some(), "{certificate}: {}", server.log());
        assert!(!rings(&mut bob, &mut phone), "{certificate}");
        assert_eq!(register(&mut phone, ALICE), 403, "{certificate}");
    }
}

#[test]
fn a_connection_is_closed_when_its_certificate_ends() {
    let server = setup().start();
    let mut bob = connect(&server, "bob-uri");
    let mut phone = peer_with(short_lived(server.dir(), 4))
        .connect(server.tls())
        .unwrap();
    let file = short_lived(server.dir(), 3);
    let mut openssl = open(&server, s_client(server.tls(), &file, &["-quiet"]));
    let mut gnutls = open(&server, gnutls_cli(server.tls(), &file));
    assert_eq!(register(&mut phone, ALICE), 200);
    assert!(rings(&mut bob, &mut phone));
    assert!(phone.closed_within(PATIENCE), "{}", server.log());
    assert!(openssl.ended(PATIENCE).is_some() && gnutls.ended(PATIENCE).is_some());
    let told = line(&server, "tls.identity_lost");
    for part in [
        "done=closed",
        "serial=C0FFEE",
        "reason=\"certificate has expired\"",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(ask(&mut bob, "MESSAGE", ALICE, BOB).status, 480);
}

#[test]
fn with_refuse_what_is_under_way_ends_and_nothing_begins() {
    let server = setup().set("OnIdentityLost", "refuse").start();
    let (mut phone, mut bob) = (connect(&server, PHONE), connect(&server, "bob-uri"));
    assert_eq!(register(&mut phone, ALICE), 200);
    let message = Request::new("MESSAGE", ALICE, BOB);
    bob.send_request(&message).unwrap();
    let request = phone.next_request(PATIENCE).unwrap();

    distrust_vendor(&server);
    assert!(line(&server, "tls.identity_lost").contains("done=refused"));
    phone.send(&request.answer(200, "OK")).unwrap();
    assert_eq!(bob.final_answer(&message, PATIENCE).response().status, 200);
    for (method, to) in [
        ("REGISTER", "sip:example.org"),
        ("MESSAGE", BOB),
        ("OPTIONS", "sip:example.org"),
    ] {
        let answer = ask(&mut phone, method, to, ALICE);
        let told = (answer.status, answer.reason.as_str());
        assert_eq!(told, (403, "Certificate No Longer Accepted"), "{method}");
    }
    assert!(line(&server, "auth.refused").contains("identity-lost"));
    assert!(!rings(&mut bob, &mut phone), "its binding is gone");
    // The way back is a new connection.
    trust_vendor(&server);
    assert_eq!(register(&mut phone, ALICE), 403);
    assert_eq!(register(&mut connect(&server, PHONE), ALICE), 200);
}

#[test]
fn with_leave_all_is_as_before_and_the_log_says_so() {
    let server = setup().set("OnIdentityLost", "leave").start();
    assert!(line(&server, "config.note").contains("OnIdentityLost"));
    let (mut phone, mut bob) = (connect(&server, PHONE), connect(&server, "bob-uri"));
    let mut short = peer_with(short_lived(server.dir(), 3))
        .connect(server.tls())
        .unwrap();
    assert_eq!(register(&mut phone, ALICE), 200);
    distrust_vendor(&server);
    let mut from = 0;
    for reason in [
        "unable to get local issuer certificate",
        "certificate has expired",
    ] {
        let told = server
            .wait_after(&mut from, &["tls.identity_lost"], PATIENCE)
            .unwrap();
        assert!(
            told.contains("done=left") && told.contains(reason),
            "{told}"
        );
    }
    assert!(rings(&mut bob, &mut phone));
    assert_eq!(register(&mut phone, ALICE), 200);
    assert_eq!(register(&mut short, ALICE), 200);
    // Told once, and not with each reload.
    reload(&server);
    assert!(is_answered(&mut phone));
    assert_eq!(server.log().matches("tls.identity_lost").count(), 2);
}

#[test]
fn a_ticket_is_worth_nothing_after_its_ca_or_its_certificate() {
    let server = setup().start();
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut phone = TlsPeer::named(PHONE).only(version);
        let mut first = phone.connect(server.tls()).unwrap();
        assert!(is_answered(&mut first));
        first.close();
        let mut second = phone.resume(server.tls()).unwrap();
        assert!(is_answered(&mut second) && second.resumed());
        second.close();
        // Over TLS 1.2 a resumed session brings no ticket of its own.
        let mut third = phone.connect(server.tls()).unwrap();
        assert!(is_answered(&mut third));
        third.close();
        distrust_vendor(&server);
        // Its certificate is asked for anew, and refused.
        let refused = phone
            .settling()
            .resume(server.tls())
            .map(|_| ())
            .unwrap_err();
        assert_eq!(refused, Outcome::Alert("unknown_ca"));
        trust_vendor(&server);
    }
    let mut phone = peer_with(short_lived(server.dir(), 3));
    let mut first = phone.connect(server.tls()).unwrap();
    assert!(is_answered(&mut first));
    assert!(first.closed_within(PATIENCE), "its certificate has ended");
    // What it is told, a closed connection or an alert, is for the version and the moment; an answer it never gets.
    if let Ok(mut second) = phone.resume(server.tls())
        && let Answer::Response(answer) = second.ask(&Request::ping())
    {
        panic!("{}", answer.status);
    }
}

#[test]
fn openssl_and_gnutls_find_their_tickets_refused_when_the_ca_is_gone() {
    let server = setup().start();
    let certificate = Pki::get().client(PHONE);
    let session = server.dir().join("session.pem");
    let session = session.to_str().unwrap();
    let keep = ["-sess_out", session, "-tls1_3"];
    let mut first = open(&server, s_client(server.tls(), &certificate, &keep));
    // The ticket comes behind the handshake, and is written when it does.
    let is_there = first.wait_until(PATIENCE, |text| {
        text.contains("Post-Handshake New Session Ticket")
    });
    assert!(is_there, "{}", first.text());
    first.close_input();
    assert!(first.ended(PATIENCE).is_some());
    let again = ["-sess_in", session, "-tls1_3"];
    let mut second = open(&server, s_client(server.tls(), &certificate, &again));
    assert!(second.wait_until(PATIENCE, |text| text.contains("Reused, TLSv1.3")));
    distrust_vendor(&server);
    assert!(second.ended(PATIENCE).is_some());
    let mut third = Watched::spawn(&mut s_client(server.tls(), &certificate, &again));
    assert!(third.ended(PATIENCE).is_some());
    let text = third.text();
    assert!(
        text.contains("New, TLSv1.3") && text.contains("unknown ca"),
        "{text}"
    );
    // gnutls-cli --resume connects, says goodbye, and connects again.
    trust_vendor(&server);
    let mut gnutls = gnutls_cli(server.tls(), &certificate);
    let mut gnutls = open_and_resume(&server, gnutls.arg("--resume"));
    assert!(gnutls.wait_until(PATIENCE, |text| text.contains("This is a resumed session")));
    distrust_vendor(&server);
    assert!(gnutls.ended(PATIENCE).is_some(), "{}", gnutls.text());
}

fn open_and_resume(server: &Server, command: &mut Command) -> Watched {
    let mut from = server.lines();
    let client = Watched::spawn(command);
    for _ in 0..2 {
        let accepted = server.wait_after(&mut from, &["tls.accepted"], PATIENCE);
        assert!(accepted.is_some(), "{}", client.text());
    }
    client
}

#[test]
fn a_connection_of_ours_ends_when_the_ca_of_its_server_is_taken_out() {
    let remote = Remote::serving("other-dns");
    let names = crate::harness::NameServer::new(&["other.example.net 300 A 127.0.0.1"]);
    let setup = Setup::usual()
        .set("DNSServers", &names.address().to_string())
        .set("TLSClientRoleCAFile", "others.pem");
    let root = |name: &str| fs::read(Pki::get().path(&format!("ca/{name}.crt"))).unwrap();
    fs::write(setup.dir().join("others.pem"), root("root-example")).unwrap();
    let server = setup.start();
    let mut alice = connect(&server, "alice-uri");
    let uri = format!(
        "sip:carol@other.example.net:{};transport=tls",
        remote.address().port()
    );
    let message = Request::new("MESSAGE", &uri, ALICE);
    alice.send_request(&message).unwrap();
    let mut theirs = remote.accept();
    let request = theirs.next_request(PATIENCE).unwrap();
    // It is under way: the answer comes through, and then the connection goes.
    fs::write(server.dir().join("others.pem"), root("root-partner")).unwrap();
    reload(&server);
    assert!(line(&server, "tls.identity_lost").contains("done=ending"));
    theirs.send(&request.answer(200, "OK")).unwrap();
    assert_eq!(
        alice.final_answer(&message, PATIENCE).response().status,
        200
    );
    assert!(theirs.closed_within(PATIENCE * 3), "{}", server.log());
    // Nothing is said to it any more.
    alice
        .send_request(&Request::new("MESSAGE", &uri, ALICE))
        .unwrap();
    remote.accept_failing();
}

/// Requests on some of many connections while all of them are judged again, several times.
#[test]
fn requests_are_answered_while_two_thousand_connections_are_judged_again() {
    const LIVE: usize = 2_000;
    let _alone = heavy();
    // Nothing is remembered of a chain, so that each is verified anew, as of as many phones with a certificate each.
    let server = setup()
        .set("LogLevel", "INFO")
        .set("MaximumConnectionsPerSource", "10000")
        .set("VerifiedChainCacheSize", "0")
        .set("FirstMessageTimeout", "600")
        .start();
    let mut peer = TlsPeer::named("alice-uri");
    let live: Vec<_> = (0..LIVE)
        .map(|_| peer.connect(server.tls()).unwrap())
        .collect();
    let mut phone = connect(&server, PHONE);
    let (over, mut longest, mut answered) = (AtomicBool::new(false), Duration::ZERO, 0_usize);
    std::thread::scope(|scope| {
        let (server, over) = (&server, &over);
        let asking = scope.spawn(move || {
            let mut asked: Vec<_> = (0..8).map(|_| connect(server, "bob-uri")).collect();
            let (mut longest, mut answered) = (Duration::ZERO, 0);
            while !over.load(Ordering::Relaxed) {
                for connection in &mut asked {
                    let began = Instant::now();
                    assert!(is_answered(connection));
                    longest = longest.max(began.elapsed());
                    answered += 1;
                }
            }
            (longest, answered)
        });
        for turn in 0..6 {
            if turn % 2 == 0 {
                distrust_vendor(server);
            } else {
                trust_vendor(server);
            }
            let mut from = 0;
            for _ in 0..=turn {
                let told =
                    server.wait_after(&mut from, &["worker.judged_again worker=0"], PATIENCE);
                assert!(told.is_some(), "{}", server.log());
            }
        }
        over.store(true, Ordering::Relaxed);
        (longest, answered) = asking.join().unwrap();
    });
    assert!(phone.closed_within(PATIENCE));
    assert!(answered > 100, "{answered}");
    for (number, mut connection) in live.into_iter().enumerate().step_by(97) {
        assert!(is_answered(&mut connection), "{number}");
    }
    let log = server.log();
    assert_eq!(log.matches("tls.identity_lost").count(), 1, "{log}");
    let lines: Vec<_> = log
        .lines()
        .filter(|l| l.contains("worker.judged_again"))
        .collect();
    report(&format!(
        "judged again: {answered} requests answered meanwhile, the longest waited {longest:?}\n{}\n",
        lines.join("\n")
    ));
}
