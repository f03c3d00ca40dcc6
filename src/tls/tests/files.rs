//! Broken, missing, mismatched files: each named, with its block and the reason, and never its content.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::serving::directory;
use super::*;

fn faults_of(options: &TlsOptions, listener: &ListenerTls) -> Vec<LoadFault> {
    match ServerTls::load(options, &[listener]) {
        Ok((_, report)) => report.warnings,
        Err(faults) => faults,
    }
}

fn explicit(chain: &Path, key: &Path, phrase: Option<&str>) -> ListenerTls {
    ListenerTls {
        certificates: vec![CertificateFiles {
            chain: chain.to_owned(),
            key: key.to_owned(),
        }],
        pass_phrase: phrase.map(PassPhrase::new),
        ..listener(ClientVerification::None)
    }
}

#[test]
fn encrypted_keys_open_with_their_pass_phrase_only() {
    for kind in ["rsa", "ec"] {
        let chain = pki().join(format!("server/server-{kind}.crt"));
        let key = pki().join(format!("server/server-{kind}-enc.key"));
        for (phrase, part) in [
            (Some("correct horse"), None),
            (Some("wrong"), Some("wrong pass phrase")),
            (Some(""), Some("wrong pass phrase")),
            (None, Some("there is no pass phrase for it")),
        ] {
            let faults = faults_of(&options(), &explicit(&chain, &key, phrase));
            let text = lines(&faults);
            match part {
                None => assert!(faults.is_empty(), "{text}"),
                Some(part) => {
                    assert!(text.contains(part), "{phrase:?}: {text}");
                    assert!(
                        text.contains("block 1 (ENCRYPTED PRIVATE KEY, line 1)"),
                        "{text}"
                    );
                    assert!(!text.contains("correct"), "{text}");
                }
            }
        }
    }
    let legacy = TlsOptions {
        certificate_path: Some(pki().join("legacy-enc")),
        pass_phrase: Some(PassPhrase::new("correct horse")),
        ..options()
    };
    assert!(ServerTls::load(&legacy, &[&listener(ClientVerification::None)]).is_ok());
}

#[test]
fn every_broken_file_is_named_with_its_reason() {
    let place = directory(&[
        ("good.crt", "server/server-rsa.crt"),
        ("good.key", "server/server-rsa.key"),
    ]);
    let path = |name: &str| place.path().join(name);
    let good_key = fs::read_to_string(path("good.key")).unwrap();
    let good_crt = fs::read_to_string(path("good.crt")).unwrap();
    let secret = good_key.lines().nth(5).unwrap().to_owned();
    fs::write(path("empty"), " \n").unwrap();
    fs::write(path("noise"), "hello\n").unwrap();
    fs::write(path("cut.key"), &good_key[..good_key.len() - 40]).unwrap();
    fs::write(
        path("odd.key"),
        good_key.replacen(&secret, &secret[..40], 1),
    )
    .unwrap();
    let odd = good_crt.replacen(good_crt.lines().nth(5).unwrap(), "!!!!", 1);
    fs::write(path("odd.crt"), format!("{good_crt}{odd}")).unwrap();
    let intermediate = fs::read_to_string(pki().join("ca/int-users.crt")).unwrap();
    fs::write(path("order.crt"), format!("{intermediate}{good_crt}")).unwrap();
    fs::create_dir(path("folder")).unwrap();

    for (chain, key, part) in [
        ("good.crt", "missing", "missing: does not exist"),
        ("missing", "good.key", "missing: does not exist"),
        ("good.crt", "empty", "empty: is empty"),
        ("empty", "good.key", "empty: is empty"),
        ("good.crt", "folder", "folder: is not a file"),
        (
            "noise",
            "good.key",
            "noise: holds no certificate in PEM form",
        ),
        (
            "good.key",
            "good.key",
            "good.key: holds no certificate in PEM form",
        ),
        (
            "good.crt",
            "noise",
            "noise: holds no private key in PEM form",
        ),
        (
            "good.crt",
            "good.crt",
            "good.crt: holds no private key in PEM form",
        ),
        (
            "good.crt",
            "cut.key",
            "cut.key: block 1 (PRIVATE KEY, line 1): its END line is missing",
        ),
        (
            "good.crt",
            "odd.key",
            "odd.key: block 1 (PRIVATE KEY, line 1): it is not a private key",
        ),
        ("odd.crt", "good.key", "odd.crt: block 2 (CERTIFICATE"),
        (
            "order.crt",
            "good.key",
            "put the certificate of block 2 (CERTIFICATE",
        ),
    ] {
        let listener = explicit(&path(chain), &path(key), Some("correct horse"));
        let faults = ServerTls::load(&options(), &[&listener])
            .err()
            .unwrap_or_default();
        let text = lines(&faults);
        assert!(text.contains(part), "{chain} {key}: {text}");
        for line in good_key.lines().filter(|line| line.len() > 30) {
            assert!(!text.contains(line), "key text in {text}");
        }
    }
    let other = pki().join("server/server-ec.key");
    let text = lines(&faults_of(
        &options(),
        &explicit(&path("good.crt"), &other, None),
    ));
    assert!(
        text.contains("does not match the first certificate"),
        "{text}"
    );

    fs::set_permissions(path("good.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let faults = faults_of(
        &options(),
        &explicit(&path("good.crt"), &path("good.key"), None),
    );
    assert!(
        lines(&faults).contains("every user of this machine"),
        "{}",
        lines(&faults)
    );
    assert!(faults.iter().all(|fault| !fault.is_error()));
}

#[test]
fn expired_and_foreign_certificates_of_ours_are_warnings() {
    for (name, part) in [
        ("alice-expired", "the certificate expired"),
        ("alice-notyet", "is not yet valid"),
        ("other-dns", "does not name \"example.org\""),
    ] {
        let chain = pki().join(format!("clients/{name}.crt"));
        let key = pki().join(format!("clients/{name}.key"));
        let (_, report) = ServerTls::load(&options(), &[&explicit(&chain, &key, None)]).unwrap();
        assert!(
            lines(&report.warnings).contains(part),
            "{}",
            lines(&report.warnings)
        );
    }
    // Too weak for the security level is no warning: OpenSSL does not serve it.
    let (chain, key) = (
        pki().join("clients/alice-rsa1024.crt"),
        pki().join("clients/alice-rsa1024.key"),
    );
    let faults = ServerTls::load(&options(), &[&explicit(&chain, &key, None)])
        .err()
        .unwrap();
    assert!(
        lines(&faults).contains("ee key too small"),
        "{}",
        lines(&faults)
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let options = TlsOptions {
        ca_files: vec![PathBuf::from("/nonexistent/ca.pem")],
        set_options: Some(vec!["SSL_OP_NO_SSLv9".to_owned()]),
        ..options()
    };
    let nameless = ListenerTls {
        domain: String::new(),
        ..listener(ClientVerification::None)
    };
    let other = ListenerTls {
        domain: "other.org".to_owned(),
        sni_domains: Some(vec!["third.org".to_owned()]),
        ..listener(ClientVerification::None)
    };
    let faults = ServerTls::load(&options, &[&nameless, &other])
        .err()
        .unwrap();
    let text = lines(&faults);
    for part in [
        "/nonexistent/ca.pem: does not exist",
        "SSL_OP_NO_SSLv9",
        "TLSDomainName: a TLS port without a domain",
        "domain_cert_other.org.pem: does not exist",
        "domain_key_other.org.pem: does not exist",
        "domain_cert_third.org.pem: does not exist",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
}

#[test]
fn a_wrong_cipher_list_or_group_is_a_fault_of_its_setting() {
    let listener = listener(ClientVerification::None);
    for (options, part) in [
        (
            TlsOptions {
                cipher_list: "NOSUCH".to_owned(),
                ..options()
            },
            "OpenSSLCipherList",
        ),
        (
            TlsOptions {
                cipher_suites: Some("NOSUCH".to_owned()),
                ..options()
            },
            "TLSCipherSuites",
        ),
        (
            TlsOptions {
                groups: Some("NOSUCH".to_owned()),
                ..options()
            },
            "TLSGroups",
        ),
        (
            TlsOptions {
                minimum: ProtocolVersion::Tls1_3,
                maximum: ProtocolVersion::Tls1_2,
                ..options()
            },
            "TLSMinimumProtocol",
        ),
        (
            TlsOptions {
                dh_params: Some(pki().join("ca/root-example.crt")),
                ..options()
            },
            "holds no DH parameters",
        ),
    ] {
        let faults = ServerTls::load(&options, &[&listener]).err().unwrap();
        assert!(lines(&faults).contains(part), "{}", lines(&faults));
    }
}

#[test]
fn an_unasked_domain_with_a_fault_is_left_out_with_a_warning() {
    let place = directory(&[
        ("domain_cert_example.org.pem", "server/server-rsa.crt"),
        ("domain_key_example.org.pem", "server/server-rsa.key"),
        ("domain_cert_bad.org.pem", "server/server-rsa.crt"),
        ("domain_key_bad.org.pem", "server/server-ec.key"),
        ("user_cert_a@example.org.pem", "server/server-rsa.crt"),
    ]);
    let options = TlsOptions {
        certificate_path: Some(place.path().to_owned()),
        ..options()
    };
    let all = ListenerTls {
        sni_domains: None,
        ..listener(ClientVerification::Optional)
    };
    let (contexts, report) = ServerTls::load(&options, &[&all]).unwrap();
    assert!(contexts[0].sni_domains().is_empty());
    let text = lines(&report.warnings);
    assert!(text.contains("domain_key_bad.org.pem"), "{text}");
    assert!(text.contains("there is no trust anchor"), "{text}");
    assert!(report.notes.iter().any(|note| note.contains("user_cert_a")));
    let asked = ListenerTls {
        sni_domains: Some(vec!["bad.org".to_owned()]),
        ..all
    };
    assert!(ServerTls::load(&options, &[&asked]).is_err());
}

#[test]
fn anchors_come_from_every_source() {
    let anchors = |options: &TlsOptions| -> Vec<String> {
        let listener = explicit(
            &pki().join("server/server-rsa.crt"),
            &pki().join("server/server-rsa.key"),
            None,
        );
        let (_, report) = ServerTls::load(options, &[&listener]).unwrap();
        let mut subjects: Vec<String> = report
            .certificates
            .iter()
            .filter(|c| c.role == CertificateRole::Anchor)
            .map(|c| c.subject.clone())
            .collect();
        subjects.sort();
        subjects
    };
    let none = TlsOptions {
        certificate_path: None,
        ..options()
    };
    let example = "CN=Example Root,O=Example Organisation";
    let vendor = "CN=Phone Vendor Root,O=Phone Vendor Inc";
    assert!(anchors(&none).is_empty());

    // A CA directory: duplicates, dangling links, keys and noise in it do no harm and are named.
    let place = directory(&[
        ("a.crt", "ca/root-example.crt"),
        ("again.0", "ca/root-example.crt"),
        ("key.pem", "server/server-rsa.key"),
    ]);
    symlink("/nonexistent", place.path().join("dangling.pem")).unwrap();
    symlink(place.path().join("a.crt"), place.path().join("link.0")).unwrap();
    let bundle = fs::read_to_string(pki().join("ca/root-vendor.crt")).unwrap();
    fs::write(
        place.path().join("bundle"),
        format!("# two of them\n{bundle}\n{bundle}trailing text"),
    )
    .unwrap();
    let both = TlsOptions {
        ca_directories: vec![place.path().to_owned()],
        ..none.clone()
    };
    assert_eq!(anchors(&both), [example, vendor]);
    let listener = listener(ClientVerification::None);
    let text = lines(&faults_of(&both, &listener));
    assert!(
        text.contains("key.pem: holds no certificate, skipped"),
        "{text}"
    );
    assert!(!text.contains("MII"), "{text}");

    let file = TlsOptions {
        certificate_path: Some(pki().join("ca/root-vendor.crt")),
        ca_files: vec![pki().join("ca/root-example.crt")],
        ..none.clone()
    };
    assert_eq!(anchors(&file), [example, vendor]);
    let bare = TlsOptions {
        certificate_path: Some(pki().join("trust")),
        ..none.clone()
    };
    assert_eq!(
        anchors(&bare),
        [example, vendor],
        "no legacy name: a CA directory"
    );
    let not_bare = TlsOptions {
        ca_files: vec![pki().join("ca/root-vendor.crt")],
        ..bare
    };
    assert_eq!(anchors(&not_bare), [vendor]);

    let trusted = place.path().join("trusted.pem");
    let made = Command::new("openssl")
        .args(["x509", "-trustout", "-addtrust", "clientAuth", "-in"])
        .arg(pki().join("ca/root-example.crt"))
        .arg("-out")
        .arg(&trusted)
        .status()
        .unwrap();
    assert!(made.success());
    let aux = TlsOptions {
        ca_files: vec![trusted],
        ..none
    };
    assert_eq!(anchors(&aux), [example]);
}

#[test]
fn an_expired_anchor_is_loaded_and_told() {
    let options = TlsOptions {
        ca_files: vec![pki().join("clients/alice-expired.crt")],
        ..options()
    };
    let listener = listener(ClientVerification::None);
    let (_, report) = ServerTls::load(&options, &[&listener]).unwrap();
    assert!(lines(&report.warnings).contains("has expired"));
    let expired = report
        .certificates
        .iter()
        .find(|c| c.days_left < 0)
        .unwrap();
    assert_eq!(expired.role, CertificateRole::Anchor);
    let own = &report.certificates[0];
    assert_eq!(own.key, "RSA 2048");
    assert_eq!(own.names, ["DNS:example.org", "URI:sip:example.org"]);
    assert!(own.days_left > 1_000 && report.generation > 0);
}

#[test]
fn a_certificate_file_is_examined_as_a_client_would_be() {
    let file = |name: &str| pki().join("clients").join(format!("{name}.pem"));
    let (options, shared) = (options(), Roots::default());
    for (name, code) in [
        ("alice-uri", None),
        ("alice-int-chain", None),
        ("alice-int", Some(20)),
        ("alice-expired", Some(10)),
        ("alice-untrusted", Some(20)),
        ("eku-email", Some(26)),
        ("alice-rsa1024", Some(66)),
    ] {
        let trust = Some((&options, EkuPolicy::Rfc5924, &shared));
        let examined = read_certificate_file(&file(name), trust).unwrap();
        let found = examined
            .verdict
            .unwrap()
            .err()
            .and_then(|refusal| refusal.code);
        let same = found == code || (found, code) == (Some(21), Some(20));
        assert!(same, "{name}: {found:?}");
        let anchored = !examined.certificate.anchor_subject.is_empty();
        assert_eq!(anchored, code.is_none(), "{name}");
    }
    let plain = read_certificate_file(&file("alice-uri"), None).unwrap();
    assert!(plain.verdict.is_none());
    assert!(read_certificate_file(&pki().join("index.tsv"), None).is_err());
}

#[test]
fn names_of_any_der_never_panic() {
    assert!(names_of_der(b"").is_none());
    assert!(names_of_der(&[0x30, 0x82, 0xff, 0xff]).is_none());
    let pem = fs::read(pki().join("clients/multi-san.crt")).unwrap();
    let der = openssl::x509::X509::from_pem(&pem)
        .unwrap()
        .to_der()
        .unwrap();
    assert_eq!(names_of_der(&der).unwrap().alt_names.len(), 4);
    for at in 0..der.len() {
        for value in [0x00, 0x30, 0x7f, 0xff] {
            let mut odd = der.clone();
            odd[at] = value;
            let _ = names_of_der(&odd);
        }
        let _ = names_of_der(&der[..at]);
    }
}
