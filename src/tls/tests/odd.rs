//! Certificates that no CA should issue, made on the spot.

use std::time::Instant;

use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Builder, X509Extension, X509NameBuilder};

use super::*;
use crate::auth::{SubjectAltName, SubjectAttribute};

const SAN: &str = "2.5.29.17";
const EKU: &str = "2.5.29.37";

fn extension(oid: &str, der: &[u8]) -> X509Extension {
    let oid = Asn1Object::from_str(oid).unwrap();
    let content = Asn1OctetString::new_from_bytes(der).unwrap();
    X509Extension::new_from_der(&oid, false, &content).unwrap()
}

/// A certificate under the example root with these extensions.
fn issue(extensions: Vec<X509Extension>) -> X509 {
    issue_to(&[("CN", "mallory.example.org")], extensions)
}

/// The same to this subject.
fn issue_to(subject: &[(&str, &str)], extensions: Vec<X509Extension>) -> X509 {
    let read = |name: &str| fs::read(pki().join(name)).unwrap();
    let ca = X509::from_pem(&read("ca/root-example.crt")).unwrap();
    let ca_key = PKey::private_key_from_pem(&read("ca/root-example.key")).unwrap();
    let key = PKey::ec_gen("P-256").unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    for (key, value) in subject {
        name.append_entry_by_text(key, value).unwrap();
    }
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(77).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(ca.subject_name()).unwrap();
    builder
        .set_not_before(&Asn1Time::from_unix(1_700_000_000).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(10).unwrap())
        .unwrap();
    builder.set_pubkey(&key).unwrap();
    for extension in extensions {
        builder.append_extension(extension).unwrap();
    }
    builder.sign(&ca_key, MessageDigest::sha256()).unwrap();
    builder.build()
}

/// Were it taken as absent, the CN would speak for a domain.
#[test]
fn an_extension_that_cannot_be_read_refuses_the_certificate() {
    let dns = b"\x30\x03\x82\x01a";
    let verifier = verifier();
    for (situation, extensions, good) in [
        ("no extension", vec![], true),
        ("one name", vec![extension(SAN, dns)], true),
        ("no name in it", vec![extension(SAN, b"\x30\x00")], true),
        (
            "garbage for names",
            vec![extension(SAN, b"\xff\xff")],
            false,
        ),
        (
            "cut-off names",
            vec![extension(SAN, b"\x30\x09\x82\x01a")],
            false,
        ),
        (
            "names twice",
            vec![extension(SAN, dns), extension(SAN, dns)],
            false,
        ),
        (
            "garbage for usages",
            vec![extension(EKU, b"\x04\x01x")],
            false,
        ),
        (
            "usages twice",
            vec![extension(EKU, b"\x30\x00"), extension(EKU, b"\x30\x00")],
            false,
        ),
    ] {
        let certificate = issue(extensions);
        let names = names_of_der(&certificate.to_der().unwrap());
        assert_eq!(names.is_some(), good, "{situation}");
        // OpenSSL's client will not show such a certificate; another's might.
        let verdict = verifier.check(&certificate, &[]).unwrap();
        assert_eq!(verdict.is_ok(), good, "{situation}: {verdict:?}");
    }
}

#[test]
fn attributes_by_which_makers_name_a_device_are_read_and_others_are_not() {
    let subject = [
        ("OU", "CP-8841-3PCC"),
        ("L", "FCH2048D1ZK"),
        ("ST", "000e08abcdef"),
        ("serialNumber", "PID:CP-8841 SN:FCH2048D1ZK"),
        ("CN", "CP-8841"),
    ];
    let der = issue_to(&subject, Vec::new()).to_der().unwrap();
    let found = names_of_der(&der).unwrap().subject_attributes;
    let wanted = [
        (SubjectAttribute::State, b"000e08abcdef".to_vec()),
        (
            SubjectAttribute::SerialNumber,
            b"PID:CP-8841 SN:FCH2048D1ZK".to_vec(),
        ),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn twenty_thousand_names_are_cut_and_quick() {
    let mut names = SubjectAlternativeName::new();
    for number in 0..20_000 {
        names.dns(&format!("n{number}.example"));
    }
    let context = X509Builder::new().unwrap();
    let certificate = issue(vec![
        names.build(&context.x509v3_context(None, None)).unwrap(),
    ]);
    let der = certificate.to_der().unwrap();
    let start = Instant::now();
    let names = names_of_der(&der).unwrap().alt_names;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(names.len(), MAX_ALT_NAMES + 1);
    assert_eq!(names[999], SubjectAltName::Dns(b"n999.example".to_vec()));
    assert!(matches!(names[1_000], SubjectAltName::Other(_)));
}

#[test]
fn contexts_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<ServerContext>();
    shared::<HandshakeRefusal>();
    shared::<Established>();
}
