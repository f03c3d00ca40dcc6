//! Who we are to a server that asks, and what is different toward single destinations.

use super::remote::*;
use super::serving::directory;
use super::*;
use crate::auth::CaRights;

const ORG: &str = "CN=example.org,O=Example Organisation";
const COM: &str = "CN=example.com,O=Example Com";

/// A directory with certificates of two domains from two CAs, and one via an intermediate.
fn three_domains() -> (tempfile::TempDir, TlsOptions) {
    let place = directory(&[
        ("root_cert_example.pem", "ca/root-example.crt"),
        ("domain_cert_example.org.pem", "server/server-rsa.crt"),
        ("domain_key_example.org.pem", "server/server-rsa.key"),
        ("domain_cert_example.org_ecdsa.pem", "server/server-ec.crt"),
        ("domain_key_example.org_ecdsa.pem", "server/server-ec.key"),
        ("domain_cert_example.com.pem", "clients/own-com.crt"),
        ("domain_key_example.com.pem", "clients/own-com.key"),
        ("domain_cert_other.example.net.pem", "clients/other-int.pem"),
        ("domain_key_other.example.net.pem", "clients/other-int.key"),
    ]);
    let options = TlsOptions {
        certificate_path: Some(place.path().to_owned()),
        ..options()
    };
    (place, options)
}

#[test]
#[rustfmt::skip]
fn our_certificate_is_that_of_whom_we_act_for_then_what_the_server_asks_for() {
    let (_place, options) = three_domains();
    let none = &[][..];
    let (example, vendor, untrusted, users) = (&["root-example"][..], &["root-vendor"][..], &["root-untrusted"][..], &["int-users"][..]);
    let to_none = OwnIdentity::None;
    let to_com = OwnIdentity::Domain("example.com".to_owned());
    let first = OwnIdentity::Default;
    for (situation, own, names, fallback, wanted) in [
        ("the domain that we act for", Some("example.com"), none, &first, Some(COM)),
        ("whatever the server asks for", Some("example.com"), example, &first, Some(COM)),
        ("in any letter case", Some("EXAMPLE.com."), none, &first, Some(COM)),
        ("a name among others of a certificate", Some("example.co"), none, &first, Some(COM)),
        ("a domain that we have none for", Some("example.info"), vendor, &first, Some(COM)),
        ("nobody, and the server's CA", None, vendor, &first, Some(COM)),
        ("nobody, and the CA of an intermediate", None, users, &first, Some("CN=Other Net Proxy,O=Other Net")),
        ("nobody, and a CA of two", None, example, &first, Some(ORG)),
        ("nobody, and a CA that none is of", None, untrusted, &first, Some(ORG)),
        ("nobody, and no CA", None, none, &first, Some(ORG)),
        ("a fall-back by name", None, none, &to_com, Some(COM)),
        ("no fall-back", None, none, &to_none, None),
        ("no fall-back, and the server's CA", None, vendor, &to_none, Some(COM)),
    ] {
        let context = role(&options, &ClientTls { fallback: fallback.clone(), ..client_tls() });
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let remote = Remote { asks: Asks::Optional, names, version: Some(version), ..Remote::with("other-dns") };
            let dialled = dial(&context, "other.example.net", own, &remote);
            let shown = dialled.seen.shown.as_ref().map(|(subject, _)| subject.as_str());
            assert_eq!(shown, wanted, "{situation} {version:?}");
            let told = match &dialled.result.unwrap().shown {
                Shown::Domain(_) => true,
                Shown::Nothing => false,
                Shown::NotAsked => panic!("{situation}"),
            };
            assert_eq!(told, wanted.is_some(), "{situation}");
        }
    }
}

#[test]
fn intermediates_go_with_our_certificate() {
    let (_place, options) = three_domains();
    let context = role(&options, &client_tls());
    let remote = Remote {
        asks: Asks::Required,
        ..Remote::with("other-dns")
    };
    let dialled = dial(
        &context,
        "other.example.net",
        Some("other.example.net"),
        &remote,
    );
    assert_eq!(dialled.outcome(), "ok");
    assert_eq!(dialled.seen.shown.unwrap().1, 1, "one beside the leaf");
}

#[test]
fn a_server_that_does_not_ask_sees_no_certificate() {
    let context = role(&options(), &client_tls());
    let remote = Remote::with("other-dns");
    let dialled = dial(&context, "other.example.net", Some("example.org"), &remote);
    assert_eq!(dialled.seen.shown, None);
    assert_eq!(dialled.result.unwrap().shown, Shown::NotAsked);
}

#[test]
fn a_server_that_is_not_the_one_asked_for_sees_no_certificate_either() {
    let context = role(&options(), &client_tls());
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let remote = Remote {
            asks: Asks::Required,
            version: Some(version),
            ..Remote::with("other-dns")
        };
        let dialled = dial(&context, "third.example.net", Some("example.org"), &remote);
        assert_eq!(dialled.outcome(), "name");
        assert_eq!(dialled.seen.shown, None, "{version:?}");
    }
}

#[test]
#[rustfmt::skip]
fn a_server_that_refuses_us_is_told_apart() {
    let nothing = role(&options(), &ClientTls { fallback: OwnIdentity::None, ..client_tls() });
    let something = role(&options(), &client_tls());
    let (v12, v13) = (SslVersion::TLS1_2, SslVersion::TLS1_3);
    for (situation, context, trusts, version, wanted) in [
        ("wants one, 1.2", &nothing, &["root-example"][..], v12, "refused-us 40"),
        ("wants one, 1.3", &nothing, &["root-example"], v13, "refused-us 116"),
        ("trusts another CA, 1.2", &something, &["root-vendor"], v12, "refused-us 48"),
        ("trusts another CA, 1.3", &something, &["root-vendor"], v13, "refused-us 48"),
        ("takes it, 1.2", &something, &["root-example"], v12, "ok"),
        ("takes it, 1.3", &something, &["root-example"], v13, "ok"),
    ] {
        let remote = Remote { asks: Asks::Required, trusts, version: Some(version), ..Remote::with("other-dns") };
        let dialled = dial(context, "other.example.net", None, &remote);
        assert_eq!(dialled.outcome(), wanted, "{situation}");
        if let Err(refusal) = dialled.result {
            assert_eq!(refusal.fault.reason_phrase(), None, "{situation}");
            assert!(refusal.to_string().contains("wanted=other.example.net fault=refused-us own="), "{situation}: {refusal}");
            assert_eq!(refusal.shown == Shown::Nothing, std::ptr::eq(context, &nothing), "{situation}");
            assert!(!refusal.hint.is_empty(), "{situation}");
        }
    }
}

fn profile(domains: &[&str]) -> DestinationProfile {
    DestinationProfile {
        setting: "TLSDestination1".to_owned(),
        domains: domains.iter().map(|d| (*d).to_owned()).collect(),
        suffixes: Vec::new(),
        expected_name: None,
        own: OwnIdentity::Default,
        minimum: None,
        maximum: None,
        verify: true,
        require_staple: false,
    }
}

fn with(profile: DestinationProfile) -> ClientTls {
    ClientTls {
        destinations: vec![profile],
        ..client_tls()
    }
}

#[test]
fn a_destination_may_be_expected_under_another_name() {
    let context = role(
        &options(),
        &with(DestinationProfile {
            expected_name: ReferenceName::parse("other.example.net"),
            ..profile(&["trunk.example", "127.0.0.9"])
        }),
    );
    for (asked, certificate, wanted) in [
        ("trunk.example", "other-dns", "ok"),
        ("127.0.0.9", "other-dns", "ok"),
        // The name that is expected takes the place of the destination's, it does not join it.
        ("127.0.0.9", "ip-san", "name"),
        ("127.0.0.8", "other-dns", "name"),
    ] {
        let dialled = dial(&context, asked, None, &Remote::with(certificate));
        assert_eq!(dialled.outcome(), wanted, "{asked} {certificate}");
        if asked != "127.0.0.8" {
            assert_eq!(dialled.seen.sni.as_deref(), Some("other.example.net"));
        }
    }
}

#[test]
fn a_destination_may_be_shown_another_certificate_or_none() {
    let (_place, options) = three_domains();
    for (own, wanted) in [
        (OwnIdentity::None, None),
        (OwnIdentity::Domain("example.com".to_owned()), Some(COM)),
        (OwnIdentity::Default, Some(ORG)),
    ] {
        let client = with(DestinationProfile {
            own,
            ..profile(&["other.example.net"])
        });
        let remote = Remote {
            asks: Asks::Optional,
            ..Remote::with("multi-san")
        };
        let context = role(&options, &client);
        let shown = |asked: &str| {
            let dialled = dial(&context, asked, Some("example.org"), &remote);
            dialled.seen.shown.map(|(subject, _)| subject)
        };
        assert_eq!(shown("third.example.net").as_deref(), Some(ORG));
        let remote = Remote {
            certificate: "other-dns",
            ..remote.clone()
        };
        let dialled = dial(&context, "other.example.net", Some("example.org"), &remote);
        let shown = dialled.seen.shown.map(|(subject, _)| subject);
        assert_eq!(shown.as_deref(), wanted);
    }
}

#[test]
fn a_destination_may_speak_other_versions() {
    let client = with(DestinationProfile {
        minimum: Some(ProtocolVersion::Tls1_3),
        ..profile(&["other.example.net"])
    });
    let context = role(&options(), &client);
    for (certificate, asked, version, wanted) in [
        ("other-dns", "other.example.net", SslVersion::TLS1_3, "ok"),
        (
            "other-dns",
            "other.example.net",
            SslVersion::TLS1_2,
            "refused-us 70",
        ),
        ("multi-san", "third.example.net", SslVersion::TLS1_2, "ok"),
    ] {
        let remote = Remote {
            version: Some(version),
            ..Remote::with(certificate)
        };
        let dialled = dial(&context, asked, None, &remote);
        assert_eq!(dialled.outcome(), wanted, "{asked} {version:?}");
    }
}

#[test]
fn a_destination_that_is_not_verified_is_whoever_answers_and_proves_nothing() {
    let client = with(DestinationProfile {
        verify: false,
        require_staple: false,
        ..profile(&["other.example.net"])
    });
    let context = role(&options(), &client);
    for certificate in ["other-untrusted", "alice-expired", "eku-client", "nul-dns"] {
        let dialled = dial(
            &context,
            "other.example.net",
            None,
            &Remote::with(certificate),
        );
        let established = dialled.result.unwrap();
        assert_eq!(established.certificate, None, "{certificate}");
        assert_eq!(established.proof, None, "{certificate}");
    }
    let elsewhere = dial(
        &context,
        "third.example.net",
        None,
        &Remote::with("other-untrusted"),
    );
    assert_eq!(elsewhere.outcome(), "chain 20");
}

#[test]
fn connections_are_shared_only_by_what_is_expected_alike() {
    let (_place, options) = three_domains();
    let client = with(DestinationProfile {
        verify: false,
        require_staple: false,
        ..profile(&["lax.example"])
    });
    let context = role(&options, &client);
    let expected = |context: &ClientContext, asked: &str, own: Option<&str>| {
        context.expectation(&ReferenceName::parse(asked).unwrap(), own)
    };
    let one = expected(&context, "a.example", Some("example.org"));
    assert!(one.verifies());
    assert_eq!(one, expected(&context, "A.example.", Some("EXAMPLE.org")));
    for (situation, other) in [
        (
            "another domain",
            expected(&context, "b.example", Some("example.org")),
        ),
        (
            "another of ours",
            expected(&context, "a.example", Some("example.com")),
        ),
        ("nobody of ours", expected(&context, "a.example", None)),
        (
            "another policy",
            expected(&context, "lax.example", Some("example.org")),
        ),
        (
            "another load",
            expected(&role(&options, &client), "a.example", Some("example.org")),
        ),
    ] {
        assert_ne!(one, other, "{situation}");
    }
}

#[test]
fn an_accepted_connection_is_taken_for_a_server_that_its_certificate_proves() {
    let client = with(DestinationProfile {
        verify: false,
        require_staple: false,
        ..profile(&["third.example.net"])
    });
    let listener = listener(ClientVerification::Mandatory);
    let loaded = load(&options(), &[&listener], &client).unwrap();
    for (situation, certificate, asked, wanted) in [
        ("its domain", "other-dns", "other.example.net", true),
        ("another domain", "other-dns", "example.net", false),
        ("a user of the domain", "alice-uri", "example.org", false),
        (
            "a CA that only clients may have",
            "other-vendor",
            "other.example.net",
            false,
        ),
        (
            "a certificate for clients alone",
            "eku-client",
            "other.example.net",
            false,
        ),
        ("no purpose", "eku-none", "other.example.net", true),
        (
            "where nothing is verified",
            "other-uri-dns",
            "third.example.net",
            false,
        ),
    ] {
        let met = meet(&loaded.listeners[0], &Client::with(certificate));
        let certificate = met.server.unwrap().certificate.unwrap();
        let name = ReferenceName::parse(asked).unwrap();
        let expectation = loaded.client.expectation(&name, None);
        assert_eq!(
            loaded.client.is_proved_by(&expectation, &certificate),
            wanted,
            "{situation}"
        );
    }
}

#[test]
fn a_connection_of_a_peer_is_used_only_if_its_ca_may_vouch_for_servers() {
    let listener = listener(ClientVerification::Mandatory);
    for (rule, wanted) in [
        ("", true),
        ("roles=server", true),
        ("roles=phone,domain", false),
        ("domains=other.example.net", true),
        ("domains=example.org", false),
    ] {
        let text = format!("subject=\"CN=Example Root,O=Example Organisation\" {rule}\n");
        let rights = match rule {
            "" => CaRights::default(),
            _ => CaRights::parse(text.as_bytes(), "rights", &[], |_| Ok(Vec::new())).unwrap(),
        };
        let loaded = load(&options(), &[&listener], &ClientTls::default()).unwrap();
        let client = loaded.client.with_rights(Arc::new(rights));
        let met = meet(&loaded.listeners[0], &Client::with("other-dns"));
        let certificate = met.server.unwrap().certificate.unwrap();
        assert_eq!(certificate.issuers.iter().count(), 1);
        let name = ReferenceName::parse("other.example.net").unwrap();
        let expectation = client.expectation(&name, None);
        assert_eq!(
            client.is_proved_by(&expectation, &certificate),
            wanted,
            "{rule}"
        );
    }
}

#[test]
fn a_connection_of_a_peer_is_used_only_for_what_one_of_ours_would_be_made_for() {
    let strict = DestinationProfile {
        minimum: Some(ProtocolVersion::Tls1_3),
        ..profile(&["other.example.net"])
    };
    let shy = DestinationProfile {
        own: OwnIdentity::None,
        ..profile(&["other.example.net"])
    };
    let listener = listener(ClientVerification::Mandatory);
    for (situation, client, own, shown, version, wanted) in [
        (
            "all is the same",
            client_tls(),
            Some("example.org"),
            "example.org",
            "TLSv1.2",
            true,
        ),
        (
            "we act for nobody in particular",
            client_tls(),
            None,
            "example.org",
            "TLSv1.2",
            true,
        ),
        (
            "it takes us for another",
            client_tls(),
            Some("example.org"),
            "example.com",
            "TLSv1.3",
            false,
        ),
        (
            "a version too old",
            with(strict.clone()),
            Some("example.org"),
            "example.org",
            "TLSv1.2",
            false,
        ),
        (
            "a version new enough",
            with(strict),
            Some("example.org"),
            "example.org",
            "TLSv1.3",
            true,
        ),
        (
            "no version of ours",
            client_tls(),
            Some("example.org"),
            "example.org",
            "SSLv3",
            false,
        ),
        (
            "we show it nothing",
            with(shy),
            Some("example.org"),
            "example.org",
            "TLSv1.3",
            false,
        ),
    ] {
        let loaded = load(&options(), &[&listener], &client).unwrap();
        let met = meet(&loaded.listeners[0], &Client::with("other-dns"));
        let peer = AcceptedPeer {
            certificate: met.server.unwrap().certificate.unwrap(),
            shown: shown.into(),
            version,
        };
        for (name, proved) in [("other.example.net", true), ("example.net", false)] {
            let name = ReferenceName::parse(name).unwrap();
            let expectation = loaded.client.expectation(&name, own);
            assert_eq!(
                loaded.client.may_reuse(&expectation, &peer),
                wanted && proved,
                "{situation}: {name}"
            );
        }
    }
}

#[test]
fn a_certificate_that_a_setting_wants_has_to_be_there() {
    let com = OwnIdentity::Domain("example.com".to_owned());
    for (setting, client) in [
        (
            "TLSClientRoleOwnDomain",
            ClientTls {
                fallback: com.clone(),
                ..client_tls()
            },
        ),
        (
            "TLSDestination<N>OwnDomain",
            with(DestinationProfile {
                own: com.clone(),
                ..profile(&["a.example"])
            }),
        ),
    ] {
        let faults = load(&options(), &[], &client).unwrap_err();
        let text = lines(&faults);
        let wanted = format!("{setting}: there is no certificate for \"example.com\"");
        assert!(text.contains(&wanted), "{text}");
    }
}

#[test]
fn broken_anchors_of_the_role_are_named_and_stop_everything() {
    let place = directory(&[("not-a-certificate", "index.tsv")]);
    for (client, wanted) in [
        (
            ClientTls {
                ca_files: vec![place.path().join("missing")],
                ..ClientTls::default()
            },
            "missing: does not exist",
        ),
        (
            ClientTls {
                ca_files: vec![place.path().join("not-a-certificate")],
                ..ClientTls::default()
            },
            "holds no certificate",
        ),
        (
            ClientTls {
                ca_directories: vec![place.path().join("not-a-certificate")],
                ..ClientTls::default()
            },
            "TLSClientRoleCADirectory is not a directory; use TLSClientRoleCAFile",
        ),
    ] {
        let faults = load(&options(), &[&listener(ClientVerification::None)], &client).unwrap_err();
        assert!(lines(&faults).contains(wanted), "{}", lines(&faults));
    }
}
