//! Every kind of client certificate against every verification mode.

use openssl::ssl::SslVersion;

use super::*;
use crate::auth::SubjectAltName;

#[test]
fn each_client_certificate_gets_the_recorded_alert() {
    let optional = context(&options(), &listener(ClientVerification::Optional));
    let mandatory = context(&options(), &listener(ClientVerification::Mandatory));
    let none = context(&options(), &listener(ClientVerification::None));
    let ok = "handshake-ok";
    for (certificate, wanted) in [
        ("alice-uri", ok),
        ("alice-uri-rsa", ok),
        ("alice-cn", ok),
        ("alice-email", ok),
        ("phone-0004F22B3EB5", ok),
        ("alice-int-chain", ok),
        ("nul-cn", ok),
        ("nul-dns", ok),
        ("nul-uri", ok),
        ("nul-email", ok),
        ("uri-garbage", ok),
        ("uri-empty-host", ok),
        ("no-names", ok),
        ("ip-san", ok),
        ("eku-none", ok),
        ("eku-client", ok),
        ("eku-server", ok),
        ("eku-sip", ok),
        ("eku-sip-client", ok),
        ("eku-any", ok),
        ("alice-eku-sip", ok),
        ("alice-expired", "alert:certificate_expired"),
        ("alice-notyet", "alert:bad_certificate"),
        ("alice-untrusted", "alert:unknown_ca"),
        ("alice-selfsigned", "alert:unknown_ca"),
        ("alice-int", "alert:unknown_ca"),
        ("crit-unknown", "alert:certificate_unknown"),
        ("alice-sha1", "alert:bad_certificate"),
        ("alice-rsa1024", "alert:bad_certificate"),
        ("ku-none", "alert:unsupported_certificate"),
        ("eku-email", "alert:unsupported_certificate"),
    ] {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let client = Client {
                version: Some(version),
                ..Client::with(certificate)
            };
            for server in [&optional, &mandatory] {
                let met = meet(server, &client);
                let mode = server.verification();
                assert_eq!(met.outcome(), wanted, "{certificate} {mode:?} {version:?}");
                if let Ok(established) = met.server {
                    assert!(established.certificate.is_some(), "{certificate}");
                    assert!(!established.resumed);
                }
            }
            let met = meet(&none, &client);
            assert_eq!(met.outcome(), ok, "{certificate} None {version:?}");
            assert!(met.server.unwrap().certificate.is_none(), "{certificate}");
        }
    }
}

#[test]
fn no_certificate_is_let_in_unless_one_is_mandatory() {
    use ClientVerification::{Mandatory, None, Optional};
    for (mode, version, wanted) in [
        (None, SslVersion::TLS1_2, "handshake-ok"),
        (None, SslVersion::TLS1_3, "handshake-ok"),
        (Optional, SslVersion::TLS1_2, "handshake-ok"),
        (Optional, SslVersion::TLS1_3, "handshake-ok"),
        (Mandatory, SslVersion::TLS1_2, "alert:handshake_failure"),
        (Mandatory, SslVersion::TLS1_3, "alert:certificate_required"),
    ] {
        let server = context(&options(), &listener(mode));
        let client = Client {
            version: Some(version),
            ..Client::with("none")
        };
        let met = meet(&server, &client);
        assert_eq!(met.outcome(), wanted, "{mode:?} {version:?}");
        match met.server {
            Ok(established) => assert!(established.certificate.is_none()),
            Err(refusal) => {
                assert_eq!(refusal.reason, "peer did not return a certificate");
                assert!(!refusal.hint.is_empty());
            }
        }
    }
}

#[test]
fn a_refusal_says_who_where_and_why() {
    let server = context(&options(), &listener(ClientVerification::Optional));
    let refused = meet(&server, &Client::with("alice-int"))
        .server
        .unwrap_err();
    assert_eq!(refused.sni.as_deref(), Some("example.org"));
    assert_eq!(
        refused.subject.as_deref(),
        Some("CN=Alice,O=Example Organisation")
    );
    assert_eq!(refused.alt_names, ["URI:sip:alice@example.org"]);
    assert_eq!(refused.depth, Some(0));
    assert_eq!(
        refused.issuer.as_deref(),
        Some("CN=Example Users CA,O=Example Organisation")
    );
    assert!(refused.code == Some(20) || refused.code == Some(21));
    assert!(refused.hint.contains("intermediate"), "{refused}");

    let refused = meet(&server, &Client::with("eku-email"))
        .server
        .unwrap_err();
    assert_eq!(refused.code, Some(26));
    assert!(refused.reason.contains("neither clientAuth nor sipDomain"));
    assert_eq!(refused.depth, Some(0));
}

#[test]
fn eku_policies_differ_as_documented() {
    let ok = "handshake-ok";
    let no = "alert:unsupported_certificate";
    // Columns: Rfc5924, NoServerAuth, SipDomain, ClientAuth.
    for (certificate, wanted) in [
        ("eku-none", [ok, ok, ok, ok]),
        ("eku-client", [ok, ok, no, ok]),
        ("eku-server", [ok, no, no, no]),
        ("eku-sip", [ok, ok, ok, no]),
        ("eku-sip-client", [ok, ok, ok, ok]),
        ("eku-any", [ok, ok, no, no]),
        ("eku-email", [no, no, no, no]),
        ("ku-none", [no, no, no, no]),
    ] {
        let policies = [
            EkuPolicy::Rfc5924,
            EkuPolicy::NoServerAuth,
            EkuPolicy::SipDomain,
            EkuPolicy::ClientAuth,
        ];
        for (eku, wanted) in policies.into_iter().zip(wanted) {
            let listener = ListenerTls {
                eku,
                ..listener(ClientVerification::Optional)
            };
            let met = meet(&context(&options(), &listener), &Client::with(certificate));
            assert_eq!(met.outcome(), wanted, "{certificate} {eku:?}");
        }
    }
}

#[test]
fn names_keep_their_octets_and_their_types() {
    let server = context(&options(), &listener(ClientVerification::Mandatory));
    let shown = |certificate: &str| {
        let established = meet(&server, &Client::with(certificate)).server.unwrap();
        established.certificate.unwrap()
    };
    let nul = b"other.example.net\0.evil.example".to_vec();
    assert_eq!(shown("nul-dns").alt_names, [SubjectAltName::Dns(nul)]);
    let nul = b"alice@example.org\0.evil.example".to_vec();
    assert_eq!(shown("nul-cn").common_names, std::slice::from_ref(&nul));
    assert_eq!(shown("nul-email").alt_names, [SubjectAltName::Email(nul)]);
    assert!(!shown("nul-cn").subject.contains('\0'));
    let ip = "127.0.0.9".parse().unwrap();
    assert_eq!(shown("ip-san").alt_names, [SubjectAltName::Ip(ip)]);
    let two = shown("multi-cn").common_names.clone();
    assert_eq!(
        two,
        [b"bob@example.org".to_vec(), b"alice@example.org".to_vec()]
    );

    let alice = shown("alice-int-chain");
    assert_eq!(
        alice.anchor_subject,
        "CN=Example Root,O=Example Organisation"
    );
    assert_eq!(alice.issuer, "CN=Example Users CA,O=Example Organisation");
    assert!(alice.serial.len() >= 6 && alice.not_before < alice.not_after);
    let usages = alice.extended_key_usage.clone().unwrap();
    assert_eq!(usages, ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"]);
    assert!(shown("eku-none").extended_key_usage.is_none());
}

#[test]
fn a_chain_verified_before_is_not_built_again_but_only_for_what_was_sent() {
    let server = context(&options(), &listener(ClientVerification::Optional));
    let client = Client::with("alice-int-chain");
    let first = meet(&server, &client).server.unwrap().certificate.unwrap();
    let second = meet(&server, &client).server.unwrap().certificate.unwrap();
    assert_eq!(server.chains_found(), 1, "taken from the table");
    assert_eq!(first, second);
    // The leaf is remembered, but this client did not send what its chain rested on.
    let met = meet(&server, &Client::with("alice-int"));
    assert_eq!(met.outcome(), "alert:unknown_ca");

    let forgetful = TlsOptions {
        verified_chain_cache: 0,
        ..options()
    };
    let server = context(&forgetful, &listener(ClientVerification::Optional));
    let first = meet(&server, &client).server.unwrap().certificate.unwrap();
    let second = meet(&server, &client).server.unwrap().certificate.unwrap();
    assert_eq!((server.chains_found(), first), (0, second));
}

#[test]
fn what_is_not_tls_is_named_in_the_refusal() {
    use std::io::Write;
    let server = context(&options(), &listener(ClientVerification::Optional));
    for (sent, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "http request"),
        (
            b"REGISTER sip:example.org SIP/2.0\r\nVia: x\r\n\r\n",
            "wrong version number",
        ),
        (b"", "unexpected eof while reading"),
        (b"\x16\x03\x01", "unexpected eof while reading"),
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(sent).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let mut stream = SslStream::new(server.accept_state(PEER).unwrap(), ours).unwrap();
        let error = stream.accept().unwrap_err();
        let refused = refusal(stream.ssl(), &error);
        assert_eq!(refused.reason, reason, "{refused}");
        assert!(!refused.hint.is_empty());
    }
}

#[test]
fn the_depth_limit_counts_intermediates() {
    for (depth, wanted) in [(1, "handshake-ok"), (0, "alert:unknown_ca")] {
        let options = TlsOptions {
            verify_depth: depth,
            ..options()
        };
        let server = context(&options, &listener(ClientVerification::Optional));
        assert_eq!(
            meet(&server, &Client::with("alice-uri")).outcome(),
            "handshake-ok"
        );
        assert_eq!(
            meet(&server, &Client::with("alice-int-chain")).outcome(),
            wanted
        );
    }
}

#[test]
fn an_anchor_marked_as_rejected_for_clients_lets_nobody_in() {
    let directory = tempfile::tempdir().unwrap();
    for (mark, wanted) in [
        ("-addtrust", "handshake-ok"),
        ("-addreject", "alert:bad_certificate"),
    ] {
        let file = directory.path().join(mark);
        let made = Command::new("openssl")
            .args(["x509", "-trustout", mark, "clientAuth", "-in"])
            .arg(pki().join("ca/root-example.crt"))
            .arg("-out")
            .arg(&file)
            .status()
            .unwrap();
        assert!(made.success());
        let options = TlsOptions {
            certificate_path: None,
            ca_files: vec![file],
            ..options()
        };
        let listener = ListenerTls {
            certificates: vec![CertificateFiles {
                chain: pki().join("server/server-rsa.crt"),
                key: pki().join("server/server-rsa.key"),
            }],
            ..listener(ClientVerification::Optional)
        };
        let met = meet(&context(&options, &listener), &Client::with("alice-uri"));
        assert_eq!(met.outcome(), wanted, "{mark}");
    }
}

#[test]
fn a_weaker_level_is_had_by_the_cipher_list() {
    let options = TlsOptions {
        cipher_list: "DEFAULT:@SECLEVEL=0".to_owned(),
        ..options()
    };
    let server = context(&options, &listener(ClientVerification::Optional));
    for certificate in ["alice-sha1", "alice-rsa1024"] {
        assert_eq!(
            meet(&server, &Client::with(certificate)).outcome(),
            "handshake-ok"
        );
    }
}
