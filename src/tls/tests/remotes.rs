//! Every kind of server against the name that it was asked for: the table of outcomes of the client role.

use super::remote::*;
use super::*;
use crate::auth::NamePolicy;

const BOTH: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

#[test]
#[rustfmt::skip]
fn each_server_certificate_has_its_outcome() {
    let strict = role(&options(), &client_tls());
    let (ok, name, purpose) = ("ok", "name", "purpose");
    for (situation, certificate, asked, wanted) in [
        ("DNS SAN", "other-dns", "other.example.net", ok),
        ("URI SAN", "other-uri", "other.example.net", ok),
        ("DNS SAN in upper case", "upper-dns", "other.example.net", ok),
        ("URI SAN in upper case", "upper-uri", "OTHER.example.net", ok),
        ("DNS SAN with a dot at its end", "dot-dns", "other.example.net", ok),
        ("asked for with a dot at its end", "other-dns", "other.example.net.", ok),
        ("IDN as A-labels", "other-idn", "XN--bcher-kva.example", ok),
        ("wrong name", "other-dns", "example.net", name),
        ("a sub-domain of the name", "other-dns", "a.other.example.net", name),
        ("the parent of the name", "sub-dns", "example.org", name),
        ("wrong CA", "other-untrusted", "other.example.net", "chain 20"),
        ("a CA that only clients may have", "other-vendor", "other.example.net", "chain 20"),
        ("self-signed", "alice-selfsigned", "example.org", "chain 18"),
        ("expired", "other-expired", "other.example.net", "chain 10"),
        ("not yet valid", "other-notyet", "other.example.net", "chain 9"),
        ("via an intermediate", "other-int", "other.example.net", ok),
        ("name only in the CN, no SAN", "other-cn", "other.example.net", ok),
        ("name only in the CN, a SAN of another domain", "other-cn-san", "other.example.net", name),
        ("the SAN of that one", "other-cn-san", "third.example.net", ok),
        ("the CN counts beside an e-mail SAN", "other-cn-email", "other.example.net", ok),
        ("URI SAN of another domain, DNS SAN right", "other-uri-dns", "other.example.net", name),
        ("the URI SAN of that one", "other-uri-dns", "third.example.net", ok),
        ("URI SAN with a user part only", "other-user-uri", "other.example.net", name),
        ("user of the domain asked for", "alice-uri", "example.org", name),
        ("URI SAN with a user part beside a DNS SAN", "other-user-dns", "other.example.net", ok),
        ("user part in the CN", "alice-cn", "example.org", name),
        ("URI SAN of another scheme", "uri-http", "example.org", name),
        ("e-mail SAN", "alice-email", "example.org", name),
        ("wildcard", "wildcard-dns", "other.example.net", name),
        ("wildcard in the CN", "wildcard-cn", "other.example.net", name),
        ("no name at all", "no-names", "other.example.net", name),
        ("a phone", "phone-lowercase", "0004f22b3eb5", "chain 20"),
        ("NUL in the DNS SAN", "nul-dns", "other.example.net", name),
        ("NUL in the CN", "nul-cn", "example.org", name),
        ("NUL in the URI SAN", "nul-uri", "example.org", name),
        ("URI SAN without a scheme", "uri-garbage", "not-a-uri", name),
        ("IP SAN", "ip-san", "127.0.0.9", ok),
        ("IP SAN, asked for as IPv4-mapped", "ip-san", "[::ffff:127.0.0.9]", ok),
        ("IP SAN, another address", "ip-san", "127.0.0.8", name),
        ("address as CN", "ip-cn", "127.0.0.9", name),
        ("address as DNS SAN", "ip-dns", "127.0.0.9", name),
        ("a domain where an address was asked for", "other-dns", "127.0.0.9", name),
        ("an address where a domain was asked for", "ip-san", "other.example.net", name),
        ("no EKU", "eku-none", "other.example.net", ok),
        ("EKU serverAuth", "eku-server", "other.example.net", ok),
        ("EKU sipDomain", "eku-sip", "other.example.net", ok),
        ("EKU any", "eku-any", "other.example.net", ok),
        ("EKU sipDomain and clientAuth", "eku-sip-client", "other.example.net", ok),
        ("EKU clientAuth alone", "eku-client", "other.example.net", purpose),
        ("EKU emailProtection alone", "eku-email", "other.example.net", purpose),
        ("critical extension that nobody knows", "crit-unknown", "other.example.net", "chain 34"),
        ("outside of what its CA may issue", "constrained", "other.example.net", "chain 47"),
        ("RSA of 1,024 bits", "alice-rsa1024", "example.org", "chain 66"),
    ] {
        for version in BOTH {
            let remote = Remote { version: Some(version), ..Remote::with(certificate) };
            let dialled = dial(&strict, asked, None, &remote);
            assert_eq!(dialled.outcome(), wanted, "{situation} {version:?}: {dialled:?}");
            // It is told in the handshake, not when it takes the connection for good.
            assert_eq!(dialled.seen.finished, wanted == ok, "{situation} {version:?}");
            assert_eq!(dialled.seen.alert.is_some(), wanted != ok, "{situation} {version:?}");
        }
    }
}

/// OpenSSL's server would not show it in TLS 1.2; another's might.
#[test]
fn a_key_that_is_not_for_handshakes_makes_no_server() {
    let verifier = verifier_of(verify::Judged::Servers);
    for (name, code) in [("ku-none", Some(26)), ("other-dns", None)] {
        let file = pki().join(format!("clients/{name}.crt"));
        let certificate = X509::from_pem(&fs::read(file).unwrap()).unwrap();
        let verdict = verifier.check(&certificate, &[]).unwrap();
        let found = verdict.err().and_then(|refusal| refusal.code);
        assert_eq!(found, code, "{name}");
    }
}

#[test]
fn wildcards_count_for_one_label_where_the_setting_says_so() {
    let wide = role(
        &options(),
        &ClientTls {
            names: NamePolicy {
                wildcards: true,
                ..NamePolicy::default()
            },
            ..client_tls()
        },
    );
    for (situation, certificate, asked, wanted) in [
        ("one label", "wildcard-dns", "other.example.net", "ok"),
        ("in the CN", "wildcard-cn", "other.example.net", "ok"),
        ("two labels", "wildcard-dns", "a.other.example.net", "name"),
        ("no label", "wildcard-dns", "example.net", "name"),
        // repro compared the first label alone when the target had no dot.
        ("a name without a dot", "wildcard-dns", "other", "name"),
        (
            "a name without a dot, no wildcard",
            "other-dns",
            "other",
            "name",
        ),
    ] {
        let dialled = dial(&wide, asked, None, &Remote::with(certificate));
        assert_eq!(dialled.outcome(), wanted, "{situation}");
    }
}

#[test]
fn what_was_established_is_told() {
    let context = role(&options(), &client_tls());
    let dialled = dial(
        &context,
        "Other.Example.NET.",
        None,
        &Remote::with("other-uri"),
    );
    let established = dialled.result.unwrap();
    assert_eq!(established.reference.to_string(), "other.example.net");
    assert_eq!(
        established.proof.as_deref(),
        Some("URI:sip:other.example.net")
    );
    let certificate = established.certificate.unwrap();
    assert_eq!(certificate.subject, "CN=Other Net Proxy,O=Other Net");
    assert_eq!(
        certificate.anchor_subject,
        "CN=Example Root,O=Example Organisation"
    );
    assert_eq!(established.version, "TLSv1.3");
    assert_eq!(established.cipher, "TLS_AES_256_GCM_SHA384");
    assert_eq!(established.shown, Shown::NotAsked);
    assert!(!established.resumed);
    assert_eq!(dialled.seen.sni.as_deref(), Some("other.example.net"));
}

#[test]
fn an_address_is_not_asked_for_by_sni() {
    let context = role(&options(), &client_tls());
    let dialled = dial(&context, "127.0.0.9", None, &Remote::with("ip-san"));
    assert_eq!(dialled.outcome(), "ok");
    assert_eq!(dialled.seen.sni, None);
    assert_eq!(
        dialled.result.unwrap().proof.as_deref(),
        Some("IP:127.0.0.9")
    );
}

#[test]
fn a_refusal_says_what_was_wanted_and_what_was_found() {
    let context = role(&options(), &client_tls());
    let line = |certificate: &'static str, asked: &str| {
        let dialled = dial(&context, asked, None, &Remote::with(certificate));
        let refusal = dialled.result.unwrap_err();
        (refusal.to_string(), refusal)
    };
    let (text, refusal) = line("other-uri-dns", "other.example.net");
    let start = "wanted=other.example.net fault=name found=[\"URI:sip:third.example.net\", \
                 \"DNS:other.example.net (a sip URI names the domain (RFC 5922 §7.1))\"";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(
        refusal.fault.reason_phrase(),
        Some("Certificate Name Mismatch")
    );

    let (text, _) = line("other-user-uri", "other.example.net");
    assert!(text.contains("(a user is no domain)"), "{text}");
    let (text, _) = line("nul-dns", "other.example.net");
    assert!(text.contains(r"\\x00") && !text.contains('\0'), "{text}");
    let (text, _) = line("wildcard-dns", "other.example.net");
    assert_eq!(text.matches("*.example.net").count(), 1, "{text}");

    let (text, refusal) = line("other-untrusted", "other.example.net");
    assert_eq!(
        refusal.fault.reason_phrase(),
        Some("Certificate Validation Failure")
    );
    assert_eq!(refusal.depth, Some(0));
    assert_eq!(refusal.subject.as_deref(), Some("CN=Other,O=Somebody Else"));
    assert!(text.contains("fault=chain"), "{text}");
    assert!(text.contains("TLSClientRoleCAFile"), "{text}");
}

#[test]
fn a_role_without_anchors_of_its_own_has_those_of_the_listeners() {
    let shared = role(&options(), &ClientTls::default());
    for certificate in ["other-dns", "other-vendor"] {
        let dialled = dial(
            &shared,
            "other.example.net",
            None,
            &Remote::with(certificate),
        );
        assert_eq!(dialled.outcome(), "ok", "{certificate}");
    }
    let separate = ClientTls {
        ca_files: vec![pki().join("ca/root-untrusted.crt")],
        ..ClientTls::default()
    };
    let loaded = load(
        &options(),
        &[&listener(ClientVerification::Mandatory)],
        &separate,
    );
    let loaded = loaded.unwrap();
    let remote = Remote::with("other-untrusted");
    assert_eq!(
        dial(&loaded.client, "other.example.net", None, &remote).outcome(),
        "ok"
    );
    // Neither pool leaks into the other.
    let remote = Remote::with("other-dns");
    assert_eq!(
        dial(&loaded.client, "other.example.net", None, &remote).outcome(),
        "chain 20"
    );
    let met = meet(&loaded.listeners[0], &Client::with("alice-untrusted"));
    assert_eq!(met.outcome(), "alert:unknown_ca");
    let met = meet(&loaded.listeners[0], &Client::with("alice-uri"));
    assert_eq!(met.outcome(), "handshake-ok");
    let of_servers = |c: &&LoadedCertificate| c.role == CertificateRole::ServerAnchor;
    assert_eq!(
        loaded.report.certificates.iter().filter(of_servers).count(),
        1
    );
}

#[test]
fn an_anchor_marked_as_rejected_for_servers_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    for (mark, wanted) in [("-addtrust", "ok"), ("-addreject", "chain 28")] {
        let file = directory.path().join(mark);
        let made = Command::new("openssl")
            .args(["x509", "-trustout", mark, "serverAuth", "-in"])
            .arg(pki().join("ca/root-example.crt"))
            .arg("-out")
            .arg(&file)
            .status()
            .unwrap();
        assert!(made.success());
        let context = role(
            &options(),
            &ClientTls {
                ca_files: vec![file],
                ..ClientTls::default()
            },
        );
        let dialled = dial(
            &context,
            "other.example.net",
            None,
            &Remote::with("other-dns"),
        );
        assert_eq!(dialled.outcome(), wanted, "{mark}");
    }
}

#[test]
fn a_server_seen_before_has_to_prove_every_name_anew() {
    let context = role(&options(), &client_tls());
    let remote = Remote::with("other-dns");
    for (asked, wanted) in [
        ("other.example.net", "ok"),
        ("third.example.net", "name"),
        ("other.example.net", "ok"),
    ] {
        assert_eq!(dial(&context, asked, None, &remote).outcome(), wanted);
    }
}

#[test]
fn versions_outside_of_the_settings_are_not_spoken() {
    let with = |minimum, maximum| TlsOptions {
        minimum,
        maximum,
        ..options()
    };
    let (v12, v13) = (ProtocolVersion::Tls1_2, ProtocolVersion::Tls1_3);
    for (situation, options, server, wanted) in [
        (
            "1.1 only",
            with(v12, v13),
            SslVersion::TLS1_1,
            "refused-us 70",
        ),
        (
            "1.2 where 1.3 is wanted",
            with(v13, v13),
            SslVersion::TLS1_2,
            "refused-us 70",
        ),
        (
            "1.3 where 1.2 is wanted",
            with(v12, v12),
            SslVersion::TLS1_3,
            "refused-us 70",
        ),
        (
            "1.2 where it may be",
            with(v12, v13),
            SslVersion::TLS1_2,
            "ok",
        ),
    ] {
        let remote = Remote {
            version: Some(server),
            ..Remote::with("other-dns")
        };
        let dialled = dial(
            &role(&options, &client_tls()),
            "other.example.net",
            None,
            &remote,
        );
        assert_eq!(dialled.outcome(), wanted, "{situation}");
        if let Err(refusal) = dialled.result {
            assert_eq!(refusal.fault.reason_phrase(), None, "{situation}");
            assert!(refusal.hint.contains("TLSMinimumProtocol"), "{situation}");
        }
    }
}

#[test]
fn what_is_no_tls_or_no_handshake_is_told_apart() {
    use std::io::Write;
    let context = role(&options(), &client_tls());
    for (sent, fault) in [
        (
            &b"SIP/2.0 400 Bad Request\r\n\r\n"[..],
            ServerFault::Protocol,
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ServerFault::Protocol),
        (b"", ServerFault::Broken),
        (b"\x16\x03\x03", ServerFault::Broken),
        (b"\x15\x03\x03\x00\x02\x02\x28", ServerFault::RefusedUs(40)),
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(sent).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let reference = ReferenceName::parse("other.example.net").unwrap();
        let expectation = context.expectation(&reference, None);
        let ssl = context.connect_state(&expectation, PEER).unwrap();
        let mut stream = TlsStream::new(ssl, ours).unwrap();
        let ConnectStep::Refused(refusal) = stream.connect() else {
            panic!("{sent:?}");
        };
        assert_eq!(refusal.fault, fault, "{refusal}");
        assert_eq!(refusal.reference, Some(reference));
    }
}

#[test]
fn a_handshake_goes_on_where_it_stopped() {
    let context = role(&options(), &client_tls());
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let reference = ReferenceName::parse("other.example.net").unwrap();
    let expectation = context.expectation(&reference, None);
    let ssl = context.connect_state(&expectation, PEER).unwrap();
    let mut stream = TlsStream::new(ssl, ours).unwrap();
    assert!(
        matches!(stream.connect(), ConnectStep::Wait),
        "nobody answers"
    );
    assert!(
        matches!(stream.connect(), ConnectStep::Wait),
        "woken for nothing"
    );
    let server = thread::spawn(move || {
        let mut stream = SslStream::new(Remote::with("other-dns").ssl(), theirs).unwrap();
        stream.accept().unwrap();
        stream.ssl_read(&mut [0; 4]).unwrap()
    });
    let established = loop {
        match stream.connect() {
            ConnectStep::Done(established) => break established,
            ConnectStep::Wait => thread::yield_now(),
            ConnectStep::Refused(refusal) => panic!("{refusal}"),
        }
    };
    assert!(established.proof.is_some());
    assert_eq!(stream.write(b"ping"), Progress::Octets(4));
    assert_eq!(server.join().unwrap(), 4);
}
