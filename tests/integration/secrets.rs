//! No secret in any log: a whole dialogue with the log at its most talkative and the audit log on.

use std::fs;
use std::time::Duration;

use openssl::base64::encode_block;
use openssl::hash::{MessageDigest, hash};
use openssl::ssl::SslVersion;

use crate::harness::{Pki, Request, Setup, TlsPeer, tcp_from};
use crate::udp::{Phone, call};

const PASSWORD: &str = "correct-horse-battery-staple";
const WRONG: &str = "incorrect-donkey-battery-paper";
const TOKEN_SECRET: &str = "kLr0bXnq7wZ2uVt5yAe8dGh1jMs4pQoF";
const BEARER: &str = "eyJhbGciOiJub25lIn0.bearer-of-alice";
const RESPONSE: &str = "6629fae49393a05397450978507c4ef1";
const BODY: &str = "meet-me-behind-the-old-mill";
const IN_URI: &str = "pass-in-a-uri";

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The answer of RFC 7616 §3.4.1 without qop, as a client would make it.
fn response(password: &str, nonce: &str) -> String {
    let md5 = |text: &str| hex(&hash(MessageDigest::md5(), text.as_bytes()).unwrap());
    let ha1 = md5(&format!("alice:example.org:{password}"));
    let ha2 = md5("REGISTER:sip:example.org");
    md5(&format!("{ha1}:{nonce}:{ha2}"))
}

fn authorization(name: &str, password: &str, nonce: &str) -> String {
    format!(
        "{name}: Digest username=\"alice\", realm=\"example.org\", nonce=\"{nonce}\", uri=\"sip:example.org\", \
         response=\"{}\", algorithm=MD5",
        response(password, nonce)
    )
}

/// The texts that may not be found, each with what it is.
fn secrets(sessions: &[Vec<u8>]) -> Vec<(String, String)> {
    let mut secrets: Vec<(String, String)> = [
        ("the password", PASSWORD),
        ("a wrong password", WRONG),
        ("DialogTokenSecret", TOKEN_SECRET),
        ("the pass phrase of the key", "correct horse"),
        ("a bearer token", BEARER),
        ("a response", RESPONSE),
        ("a response, whichever", "response="),
        ("a body", BODY),
        ("a password in a URI", IN_URI),
        ("a key", "PRIVATE KEY"),
    ]
    .map(|(what, text)| (what.to_owned(), text.to_owned()))
    .to_vec();
    for realm in ["example.org", ""] {
        for user in ["alice", "alice@example.org"] {
            for password in [PASSWORD, WRONG] {
                let text = format!("{user}:{realm}:{password}");
                for digest in [
                    MessageDigest::md5(),
                    MessageDigest::sha256(),
                    MessageDigest::from_name("SHA512-256").unwrap(),
                ] {
                    let ha1 = hash(digest, text.as_bytes()).unwrap();
                    secrets.push((format!("HA1 of {text}"), hex(&ha1)));
                    secrets.push((format!("HA1 of {text}"), encode_block(&ha1)));
                }
            }
        }
    }
    for file in [
        Pki::get().path("legacy-enc/domain_key_example.org.pem"),
        Pki::get().path("legacy/domain_key_example.org.pem"),
        Pki::get().path("clients/alice-uri.key"),
    ] {
        let text = fs::read_to_string(&file).unwrap();
        for line in text
            .lines()
            .filter(|line| !line.starts_with('-') && line.len() > 20)
        {
            secrets.push((format!("a line of {}", file.display()), line.to_owned()));
        }
    }
    for session in sessions {
        // Whatever of it were written whole, keys or tickets, would have these in it.
        for window in session.windows(15) {
            secrets.push(("a session in base 64".to_owned(), encode_block(window)));
        }
        for window in session.windows(16) {
            secrets.push(("a session in hexadecimal".to_owned(), hex(window)));
        }
    }
    secrets
}

#[test]
fn a_whole_dialogue_at_the_most_talkative_level_leaves_no_secret_in_any_log() {
    let setup = Setup::usual()
        .set("DisableAuth", "false")
        .set("CertificateInsteadOfDigest", "true")
        .set("LogLevel", "STACK")
        .set("AuditLog", "audit.jsonl")
        .set("ForceRecordRouting", "true")
        .set("MessageSiloEnabled", "true")
        .set("TLSPrivateKeyPassPhrase", "correct horse")
        .set("DialogTokenSecret", TOKEN_SECRET);
    Pki::get().copy_folder("legacy-enc", &setup.dir().join("certs"));
    setup.make_store();
    for user in ["alice@example.org", "bob@example.org"] {
        let typed = format!("{PASSWORD}\n");
        let (status, text) = setup.run_with_input(&["user", "add", user], &typed);
        assert_eq!(status, Some(0), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
    let server = setup.start();

    // Phones with certificates: register, call, write.
    let mut alice = Phone::over_tls("alice", "alice-uri", &server);
    let mut bob = Phone::over_tls("bob", "bob-uri", &server);
    let invite = call(&mut alice, &mut bob);
    let mut message = Request::new("MESSAGE", "sip:carol@example.org", "sip:alice@example.org");
    message.body = BODY.to_owned();
    message.headers = vec![authorization("Proxy-Authorization", PASSWORD, "b1b2b3")];
    let mut peer = TlsPeer::named("alice-uri");
    let mut connection = peer.connect(server.tls()).unwrap();
    connection.ask(&message).response();

    // Passwords: right, wrong, of nobody, and other secrets where credentials stand.
    let mut anonymous = TlsPeer::anonymous();
    let mut stranger = anonymous.connect(server.tls()).unwrap();
    let register = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
    let first = stranger.ask(&register).response();
    assert!(matches!(first.status, 401 | 403), "{}", first.status);
    let nonce = first.value("www-authenticate").and_then(|challenge| {
        let (_, rest) = challenge.split_once("nonce=\"")?;
        rest.split('"').next()
    });
    let nonce = nonce.unwrap_or("4711").to_owned();
    for headers in [
        vec![authorization("Authorization", PASSWORD, &nonce)],
        vec![authorization("Authorization", WRONG, &nonce)],
        vec![format!("Authorization: Bearer {BEARER}")],
        vec![format!(
            "Authorization: Basic {}",
            encode_block(PASSWORD.as_bytes())
        )],
        vec![format!("Authorization: {PASSWORD}")],
        vec![format!("Authorization: Digest response=\"{RESPONSE}\"")],
        vec![format!(
            "Authorization: Digest username=\"{WRONG}\", response=\"{RESPONSE}"
        )],
    ] {
        let mut request = register.following();
        request.headers = headers;
        stranger.ask(&request).response();
    }
    let mut in_uri = Request::new("MESSAGE", "sip:carol@example.org", "");
    in_uri.from = format!("From: <sip:alice:{IN_URI}@example.org>;tag=x\r\n");
    stranger.ask(&in_uri).response();
    let mut connection = peer.connect(server.tls()).unwrap();
    connection.ask(&in_uri.following()).response();
    // Without TLS, and what is no message at all.
    let mut plain = tcp_from("127.0.0.3".parse().unwrap(), server.tcp());
    plain.ask(&message).response();
    plain
        .send(format!("{PASSWORD} {BEARER}\r\n\r\n").as_bytes())
        .unwrap();
    // Sessions, of both versions, that are resumed too.
    let mut sessions = Vec::new();
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut peer = TlsPeer::named("alice-uri").only(version);
        for turn in 0..2 {
            let connected = match turn {
                0 => peer.connect(server.tls()),
                _ => peer.resume(server.tls()),
            };
            let mut connection = connected.unwrap();
            connection.ask(&Request::ping()).response();
            sessions.extend(peer.sessions());
        }
    }
    assert!(!sessions.is_empty());

    let setup_dir = server.dir().to_owned();
    let tokens: Vec<&str> = invite
        .headers
        .iter()
        .filter(|(name, _)| name == "record-route")
        .filter_map(|(_, value)| value.split_once("sip:")?.1.split('@').next())
        .collect();
    let mut from = 0;
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let ended = server.wait_after(&mut from, &["server.ended"], Duration::from_secs(20));
    assert!(ended.is_some(), "{}", server.log());
    let log = server.log();
    let audit = fs::read_to_string(setup_dir.join("audit.jsonl")).unwrap();
    // What has been looked through has seen all of it.
    for event in [
        "sip.received",
        "auth.refused",
        "sip.relayed",
        "tls.accepted",
    ] {
        assert!(log.contains(event), "no {event} in\n{log}");
    }
    for outcome in ["\"admitted\"", "\"refused\"", "\"BYE\""] {
        assert!(audit.contains(outcome), "no {outcome} in\n{audit}");
    }
    let mut secrets = secrets(&sessions);
    assert!(!tokens.is_empty(), "{:?}", invite.headers);
    secrets.extend(
        tokens
            .iter()
            .map(|token| ("a dialog token".to_owned(), (*token).to_owned())),
    );
    for (name, text) in [("log", &log), ("audit log", &audit)] {
        let found: Vec<_> = secrets
            .iter()
            .filter(|(_, secret)| text.contains(secret.as_str()))
            .map(|(what, secret)| format!("{what}: {secret}"))
            .collect();
        assert!(found.is_empty(), "in the {name}: {found:?}\n{text}");
    }
}
