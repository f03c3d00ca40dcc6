//! SQL in certificate names and in usernames, against the real server and its store: it finds nothing and harms nothing.

use std::path::PathBuf;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder};

use crate::harness::{Pki, Request, Server, Setup, TlsPeer};

/// A client certificate with this common name from the CA that the server trusts, and its key.
fn certificate(setup: &Setup, number: usize, name: &str) -> PathBuf {
    let read = |file: &str| std::fs::read(Pki::get().path(file)).unwrap();
    let root = X509::from_pem(&read("ca/root-example.crt")).unwrap();
    let root_key = PKey::private_key_from_pem(&read("ca/root-example.key")).unwrap();
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = u32::try_from(7_000_000 + number).unwrap();
    let serial = BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&subject.build()).unwrap();
    builder.set_issuer_name(root.subject_name()).unwrap();
    builder.set_pubkey(&key).unwrap();
    let (from, until) = (
        Asn1Time::days_from_now(0).unwrap(),
        Asn1Time::days_from_now(2).unwrap(),
    );
    builder.set_not_before(&from).unwrap();
    builder.set_not_after(&until).unwrap();
    builder.sign(&root_key, MessageDigest::sha256()).unwrap();
    let mut pem = builder.build().to_pem().unwrap();
    pem.extend(key.private_key_to_pem_pkcs8().unwrap());
    let file = setup.dir().join(format!("evil-{number}.pem"));
    std::fs::write(&file, pem).unwrap();
    file
}

fn run(server: &Server, arguments: &[&str]) -> String {
    let (status, said) = server.setup().run(arguments);
    assert_eq!(status, Some(0), "{arguments:?}: {said}");
    said
}

#[test]
fn sql_in_certificate_names_and_usernames_finds_nothing_and_harms_nothing() {
    let evil = [
        "' OR '1'='1",
        "x'); DELETE FROM identity; --",
        "\" OR \"\"=\"",
        "\\",
        "$1",
        "$peerNames",
        "%",
    ];
    let setup = Setup::usual();
    setup.add_user("carol@example.org");
    let files: Vec<PathBuf> = evil
        .iter()
        .enumerate()
        .map(|(number, name)| certificate(&setup, number, name))
        .collect();
    let known = certificate(&setup, evil.len(), "O'Hara \\ $1");
    let server = setup.start();
    run(&server, &["identity", "add", "gw", "example.org"]);
    let peer = |file: PathBuf| {
        let mut peer = TlsPeer::anonymous();
        peer.certificate = Some(file);
        peer.connect(server.tls()).unwrap()
    };
    let carol = "sip:carol@example.org";
    for (file, name) in files.into_iter().zip(evil) {
        let request = Request::new("MESSAGE", carol, carol);
        let answer = peer(file).ask(&request).response();
        assert_eq!(answer.status, 403, "{name}");
    }
    // A name with a quote that has an identity is nobody else for that.
    run(&server, &["identity", "add", "O'Hara \\ $1", "example.org"]);
    let request = Request::new("MESSAGE", carol, carol);
    let answer = peer(known).ask(&request).response();
    assert_eq!(answer.status, 480);

    let mut alice = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    for user in [
        "'%20OR%20'1'='1",
        "carol'%20--",
        "x')%3B%20DELETE%20FROM%20user%3B%20--",
        "%22%20OR%20%22%22=%22",
        "%5C",
        "$1",
        "$user",
        "%25",
        "carol%00",
        "%00",
    ] {
        let to = format!("sip:{user}@example.org");
        let request = Request::new("MESSAGE", &to, "sip:alice@example.org");
        let status = alice.ask(&request).response().status;
        assert!(matches!(status, 400 | 404), "{user}: {status}");
        // As From they are nobody whom the certificate names.
        let request = Request::new("MESSAGE", carol, &to);
        let status = alice.ask(&request).response().status;
        assert!(matches!(status, 400 | 403), "{user}: {status}");
    }
    assert!(run(&server, &["user", "list"]).contains("carol"));
    let identities = run(&server, &["identity", "list"]);
    assert!(
        identities.contains("gw") && identities.contains("O'Hara"),
        "{identities}"
    );
    assert!(!server.log().contains("store.failed"), "{}", server.log());
}
