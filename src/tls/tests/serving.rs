//! What clients are served: domains by SNI, key types, versions, ALPN; and what a handshake costs.

use openssl::ssl::SslVersion;
use tempfile::TempDir;

use super::*;

/// A certificate directory with these files, by name, of the test PKI.
pub(super) fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, source) in files {
        fs::copy(pki().join(source), directory.path().join(name)).unwrap();
    }
    directory
}

fn two_domains() -> TempDir {
    directory(&[
        ("root_cert_example.pem", "ca/root-example.crt"),
        ("domain_cert_example.org.pem", "server/server-rsa.crt"),
        ("domain_key_example.org.pem", "server/server-rsa.key"),
        ("domain_cert_example.org_ecdsa.pem", "server/server-ec.crt"),
        ("domain_key_example.org_ecdsa.pem", "server/server-ec.key"),
        ("domain_cert_Other.example.net.pem", "clients/other-dns.crt"),
        ("domain_key_other.example.net.pem", "clients/other-dns.key"),
        ("domain_cert_lonely.example.pem", "clients/other-dns.crt"),
    ])
}

#[test]
fn sni_chooses_the_certificate_and_unknown_names_get_the_default() {
    let directory = two_domains();
    let options = TlsOptions {
        certificate_path: Some(directory.path().to_owned()),
        ..options()
    };
    let listener = ListenerTls {
        sni_domains: None,
        ..listener(ClientVerification::Optional)
    };
    let server = context(&options, &listener);
    assert_eq!(server.sni_domains(), ["other.example.net"]);
    let own = "CN=example.org,O=Example Organisation";
    let other = "CN=Other Net Proxy,O=Other Net";
    for (sni, wanted) in [
        (None, own),
        (Some("example.org"), own),
        (Some("wrong.example"), own),
        (Some("lonely.example"), own),
        (Some("other.example.net"), other),
        (Some("OTHER.example.net"), other),
        (Some("sub.other.example.net"), own),
    ] {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let client = Client {
                sni: sni.map(str::to_owned),
                version: Some(version),
                alpn: Some(b"\x03sip"),
                ..Client::with("alice-uri")
            };
            let met = meet(&server, &client);
            assert_eq!(met.outcome(), "handshake-ok", "{sni:?}");
            assert_eq!(met.alpn.as_deref(), Some(&b"sip"[..]), "{sni:?}");
            assert_eq!(met.shown.unwrap().0, wanted, "{sni:?}");
            let established = met.server.unwrap();
            assert_eq!(established.sni.as_deref(), sni);
            assert!(
                established.certificate.is_some(),
                "verified for {sni:?} too"
            );
            // A refusal is the same behind every name.
            let client = Client {
                certificate: Some("alice-expired".to_owned()),
                ..client
            };
            assert_eq!(
                meet(&server, &client).outcome(),
                "alert:certificate_expired"
            );
            // So is resumption.
            let client = Client {
                certificate: Some("alice-uri".to_owned()),
                session: met.sessions.last().cloned(),
                ..client
            };
            let second = meet(&server, &client).server.unwrap();
            assert!(
                second.resumed && second.certificate.is_some(),
                "{sni:?} {version:?}"
            );
        }
    }
}

#[test]
fn rsa_and_ecdsa_certificates_serve_one_domain() {
    let directory = two_domains();
    let options = TlsOptions {
        certificate_path: Some(directory.path().to_owned()),
        ..options()
    };
    let server = context(&options, &listener(ClientVerification::None));
    for (ciphers, wanted) in [
        ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        (
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
        ("AES128-SHA:ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA"),
    ] {
        let client = Client {
            version: Some(SslVersion::TLS1_2),
            ciphers: Some(ciphers),
            ..Client::with("none")
        };
        assert_eq!(meet(&server, &client).server.unwrap().cipher, wanted);
    }
    for signatures in ["rsa_pss_rsae_sha256", "ecdsa_secp256r1_sha256"] {
        let client = Client {
            version: Some(SslVersion::TLS1_3),
            signatures: Some(signatures),
            ..Client::with("none")
        };
        assert_eq!(
            meet(&server, &client).outcome(),
            "handshake-ok",
            "{signatures}"
        );
    }
    let client = Client {
        version: Some(SslVersion::TLS1_2),
        ciphers: Some("DHE-RSA-AES128-GCM-SHA256"),
        ..Client::with("none")
    };
    let refused = meet(&server, &client).server.unwrap_err();
    assert_eq!(refused.reason, "no shared cipher");
}

#[test]
fn old_versions_are_refused_unless_asked_for() {
    let server = context(&options(), &listener(ClientVerification::None));
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        let client = Client {
            version: Some(version),
            ciphers: Some("ALL:@SECLEVEL=0"),
            ..Client::with("none")
        };
        let met = meet(&server, &client);
        assert_eq!(met.outcome(), "alert:protocol_version");
        assert!(met.server.unwrap_err().hint.contains("TLSMinimumProtocol"));
        let old = TlsOptions {
            minimum: ProtocolVersion::Tls1,
            cipher_list: "ALL:@SECLEVEL=0".to_owned(),
            ..options()
        };
        let server = context(&old, &listener(ClientVerification::None));
        assert_eq!(
            meet(&server, &client).outcome(),
            "handshake-ok",
            "{version:?}"
        );
    }
    let only = TlsOptions {
        minimum: ProtocolVersion::Tls1_3,
        ..options()
    };
    let server = context(&only, &listener(ClientVerification::None));
    assert_eq!(
        meet(&server, &Client::with("none")).server.unwrap().version,
        "TLSv1.3"
    );
}

#[test]
fn alpn_answers_sip_and_nothing_else() {
    let server = context(&options(), &listener(ClientVerification::None));
    for (offered, selected) in [
        (&b"\x08http/1.1\x03sip"[..], Some(b"sip".to_vec())),
        (b"\x08http/1.1", None),
    ] {
        let client = Client {
            alpn: Some(offered),
            ..Client::with("none")
        };
        let met = meet(&server, &client);
        assert_eq!(met.outcome(), "handshake-ok");
        assert_eq!(met.alpn, selected);
    }
}

#[test]
fn a_chain_is_sent_as_the_file_has_it_or_completed_from_the_anchors() {
    let directory = directory(&[
        ("root_cert_example.pem", "ca/root-example.crt"),
        ("domain_cert_example.org.pem", "clients/alice-int.crt"),
        ("domain_key_example.org.pem", "clients/alice-int.key"),
    ]);
    let options = TlsOptions {
        certificate_path: Some(directory.path().to_owned()),
        ..options()
    };
    let listener = listener(ClientVerification::None);
    let sent = |options: &TlsOptions| {
        let client = Client::with("none");
        meet(&context(options, &listener), &client).shown.unwrap().1
    };
    assert_eq!(sent(&options), 1);
    let more = TlsOptions {
        ca_files: vec![pki().join("ca/int-users.crt")],
        ..options.clone()
    };
    assert_eq!(sent(&more), 2, "the intermediate, not the root");
    let chain = fs::read(pki().join("clients/alice-int-chain.pem")).unwrap();
    fs::write(directory.path().join("domain_cert_example.org.pem"), chain).unwrap();
    assert_eq!(sent(&options), 2);
}

/// Runs in a process of its own, where no other test takes memory.
#[test]
fn loading_again_and_again_takes_no_memory() {
    const ALONE: &str = "SIPVOUCH_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let test = "tls::tests::serving::loading_again_and_again_takes_no_memory";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let options = options();
    let listener = listener(ClientVerification::Mandatory);
    let resident = || -> usize {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let load = |times: usize| {
        for _ in 0..times {
            let server = context(&options, &listener);
            drop(server.accept_state(PEER).unwrap());
        }
    };
    load(50);
    let before = resident();
    load(300);
    let after = resident();
    // In pages; a context takes some 30 of them.
    assert!(after < before + 500, "from {before} to {after} pages");
}

/// Not a test of speed: prints what the server's side of a handshake costs.
#[test]
fn cost_of_a_handshake_with_client_certificate() {
    const TIMES: u32 = 60;
    for certificate in ["alice-uri", "alice-int-chain"] {
        for (what, remembered, resumed) in [
            ("seen for the first time", 0, false),
            ("returning", 1_000, false),
            ("resumed", 1_000, true),
        ] {
            let options = TlsOptions {
                verified_chain_cache: remembered,
                ..options()
            };
            let server = context(&options, &listener(ClientVerification::Mandatory));
            let mut client = Client::with(certificate);
            let first = meet(&server, &client);
            if resumed {
                client.session = first.sessions.last().cloned();
            }
            let costs = (0..TIMES).map(|_| {
                let met = meet(&server, &client);
                assert_eq!(met.server.unwrap().resumed, resumed);
                if resumed {
                    // OpenSSL's client takes the new ticket and will not use the old one again.
                    client.session = met.sessions.last().cloned();
                }
                met.cost
            });
            let mean = costs.sum::<Duration>() / TIMES;
            eprintln!("{certificate}, {what}: {mean:?} per handshake");
        }
    }
}

#[test]
fn dhe_is_served_with_parameters_only() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("dh.pem");
    let parameters = openssl::dh::Dh::get_2048_256().unwrap();
    fs::write(&file, parameters.params_to_pem().unwrap()).unwrap();
    let options = TlsOptions {
        dh_params: Some(file),
        ..options()
    };
    let client = Client {
        version: Some(SslVersion::TLS1_2),
        ciphers: Some("DHE-RSA-AES128-GCM-SHA256"),
        ..Client::with("none")
    };
    let met = meet(
        &context(&options, &listener(ClientVerification::None)),
        &client,
    );
    assert_eq!(met.outcome(), "handshake-ok");
}
