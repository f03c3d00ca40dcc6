//! Trust anchors of one listener, and of one domain that clients choose by SNI.

use std::net::SocketAddr;

use super::client::{Meeting, PROGRAMS};
use super::{copy_cas, serve_domain};
use crate::harness::{Server, Setup, free_port};

const UNKNOWN_CA: &str = "alert 48";

/// Listeners of these settings, all TLS for example.org; and the addresses.
pub(super) fn listeners(setup: Setup, settings: &[&[(&str, &str)]]) -> (Server, Vec<SocketAddr>) {
    let mut setup = setup;
    let mut addresses = Vec::new();
    for (number, members) in (1..).zip(settings) {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let name = |member: &str| format!("Transport{number}{member}");
        setup = setup
            .set(&name("Interface"), &address.to_string())
            .set(&name("Type"), "TLS")
            .set(&name("TlsDomain"), "example.org");
        for (member, value) in *members {
            setup = setup.set(&name(member), value);
        }
        addresses.push(address);
    }
    (setup.start(), addresses)
}

#[test]
fn a_listener_with_roots_of_its_own_takes_no_other() {
    let setup = Setup::usual();
    copy_cas(&setup);
    let (server, at) = listeners(
        setup,
        &[
            &[("CAFile", "root-vendor.crt")],
            &[],
            &[("CAFile", "root-partner.crt")],
        ],
    );
    for (certificate, wanted) in [
        ("phone-0004F22B3EB5", ["200", "200", UNKNOWN_CA]),
        ("alice-uri", [UNKNOWN_CA, "200", UNKNOWN_CA]),
        ("carol-partner", [UNKNOWN_CA, UNKNOWN_CA, "200"]),
        ("alice-untrusted", [UNKNOWN_CA, UNKNOWN_CA, UNKNOWN_CA]),
        ("none", ["200", "200", "200"]),
    ] {
        for (listener, wanted) in at.iter().zip(wanted) {
            for (program, version) in [(PROGRAMS[0], "1.3"), (PROGRAMS[1], "1.2")] {
                let met = Meeting::new(program, certificate)
                    .version(version)
                    .ping(*listener);
                assert_eq!(
                    met.outcome,
                    wanted,
                    "{certificate} {listener}\n{}",
                    server.log()
                );
            }
        }
    }
    let (_, said) = server.setup().run(&["check", "repro.config"]);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_domain_chosen_by_sni_with_roots_of_its_own_takes_no_other() {
    let setup = Setup::usual()
        .set("TLSSniDomain1Name", "Other.example.net")
        .set("TLSSniDomain1CAFile", "root-partner.crt");
    copy_cas(&setup);
    serve_domain(&setup, "other.example.net", "other-dns");
    serve_domain(&setup, "third.example.net", "other-dns");
    let server = setup.start();
    for (certificate, sni, wanted) in [
        ("alice-uri", "example.org", "200"),
        ("alice-uri", "third.example.net", "200"),
        ("alice-uri", "other.example.net", UNKNOWN_CA),
        ("alice-uri", "OTHER.example.net", UNKNOWN_CA),
        ("alice-uri", "unknown.example", "200"),
        ("carol-partner", "other.example.net", "200"),
        ("carol-partner", "example.org", UNKNOWN_CA),
        ("carol-partner", "third.example.net", UNKNOWN_CA),
    ] {
        for program in PROGRAMS {
            for version in ["1.2", "1.3"] {
                let meeting = Meeting::new(program, certificate).version(version).sni(sni);
                let met = meeting.ping(server.tls());
                assert_eq!(
                    met.outcome, wanted,
                    "{certificate} {sni} {program:?} {version}"
                );
            }
        }
    }
}

#[test]
fn settings_of_roots_that_cannot_be_are_told() {
    for (settings, told) in [
        (
            &["--TLSSniDomain1CAFile=root-partner.crt"][..],
            "TLSSniDomain1Name",
        ),
        (
            &[
                "--TLSSniDomain1Name=a.example",
                "--TLSSniDomain1CAFile=none.crt",
            ],
            "TLSSniDomain1: no listener shows a certificate of \"a.example\"",
        ),
        (
            &[
                "--TLSSniDomain1Name=a.example",
                "--TLSSniDomain2Name=A.example",
            ],
            "TLSSniDomain2Name",
        ),
        (
            &[
                "--Transport1Interface=127.0.0.1:5061",
                "--Transport1Type=TLS",
                "--Transport1TlsDomain=example.org",
                "--Transport1CAFile=none.crt",
            ],
            "none.crt",
        ),
    ] {
        let setup = Setup::usual();
        let mut arguments = vec!["check", "repro.config"];
        arguments.extend(settings);
        let (_, said) = setup.run(&arguments);
        assert!(said.contains(told), "{told}: {said}");
    }
}
