//! The worked examples of docs/trust.md.

use super::client::{Meeting, PROGRAMS};
use super::roots::listeners;
use super::{copy_cas, with_rules, write_mappings};
use crate::harness::{Setup, TlsPeer};

/// A fleet of phones with the certificates of their maker, on a port of their own.
#[test]
fn example_of_a_polycom_fleet() {
    let setup = Setup::usual()
        .set("CARights", "ca-rights.txt")
        .set("CommonNameMappings", "mappings.txt");
    copy_cas(&setup);
    super::write_rules(
        &setup,
        "file=root-vendor.crt names=0004F2*,64167F* domains=example.org listeners=Transport1 roles=phone\n",
    );
    write_mappings(
        &setup,
        "0004F22B3EB5@@subject=CN=Phone Vendor Root,O=Phone Vendor Inc\talice@example.org\n\
         0004F2266D79@@subject=CN=Phone Vendor Root,O=Phone Vendor Inc\tbob@elsewhere.example\n",
    );
    let (server, at) = listeners(
        setup,
        &[
            &[
                ("TlsClientVerification", "Mandatory"),
                ("CAFile", "root-vendor.crt"),
            ],
            &[],
        ],
    );
    let (phones, others) = (at[0], at[1]);
    for (situation, place, certificate, claim, wanted) in [
        (
            "its phone",
            phones,
            "phone-0004F22B3EB5",
            "sip:alice@example.org",
            "200",
        ),
        (
            "for another user",
            phones,
            "phone-0004F22B3EB5",
            "sip:bob@example.org",
            "403",
        ),
        (
            "a phone that is not mapped",
            phones,
            "phone-0004F2999999",
            "sip:alice@example.org",
            "403",
        ),
        (
            "no phone, from the maker",
            phones,
            "alice-by-vendor",
            "sip:alice@example.org",
            "403",
        ),
        (
            "of another CA",
            phones,
            "phone-wrongroot",
            "sip:alice@example.org",
            "alert 48",
        ),
        (
            "its phone at the other port",
            others,
            "phone-0004F22B3EB5",
            "sip:alice@example.org",
            "403",
        ),
        (
            "the name from another CA at the other port",
            others,
            "phone-wrongroot",
            "sip:alice@example.org",
            "403",
        ),
    ] {
        let met = Meeting::new(PROGRAMS[0], certificate).register(place, claim);
        assert_eq!(met.outcome, wanted, "{situation}\n{}", server.log());
    }
    // A mapping to a domain that the CA has nothing to do with.
    let mut phone = TlsPeer::named("phone-0004F2266D79")
        .connect(phones)
        .expect("a handshake");
    let message = crate::harness::Request::new(
        "MESSAGE",
        "sip:nobody@example.org",
        "sip:bob@elsewhere.example",
    );
    assert_eq!(phone.ask(&message).response().status, 403);
}

/// Two companies, each with a CA of its own.
#[test]
fn example_of_the_federation_of_two_companies() {
    let setup = with_rules(
        "file=root-partner.crt domains=kama.test,.kama.test\nfile=root-example.crt domains=example.org\n",
    )
    .set("CAFile", "root-partner.crt");
    let server = setup.start();
    for (situation, certificate, claim, wanted) in [
        (
            "their proxy for their users",
            "server-partner",
            "sip:carol@kama.test",
            "480",
        ),
        ("for ours", "server-partner", "sip:alice@example.org", "403"),
        ("their user", "carol-partner", "sip:carol@kama.test", "480"),
        (
            "their CA for a third domain",
            "server-partner-other",
            "sip:x@elsewhere.test",
            "403",
        ),
        (
            "our CA for a third domain",
            "other-dns",
            "sip:x@other.example.net",
            "403",
        ),
        ("our user", "alice-uri", "sip:alice@example.org", "480"),
    ] {
        for (program, version) in [(PROGRAMS[0], "1.2"), (PROGRAMS[1], "1.3")] {
            let meeting = Meeting::new(program, certificate).version(version);
            let met = meeting.message(server.tls(), claim);
            assert_eq!(
                met.outcome,
                wanted,
                "{situation} {program:?}\n{}",
                server.log()
            );
        }
    }
}

/// A public CA, which issues nothing but serverAuth since 2026: good for domains, for nobody else.
#[test]
fn example_of_a_public_ca_without_client_auth() {
    let server = with_rules("file=root-example.crt roles=domain,server\n").start();
    for (situation, certificate, claim, wanted) in [
        (
            "a domain by serverAuth",
            "eku-server",
            "sip:x@other.example.net",
            "480",
        ),
        (
            "a user of another domain",
            "eku-server",
            "sip:x@example.org",
            "403",
        ),
        (
            "a user by serverAuth",
            "alice-eku-server",
            "sip:alice@example.org",
            "alert 43",
        ),
        (
            "a user by clientAuth",
            "alice-eku-client",
            "sip:alice@example.org",
            "403",
        ),
        ("an IP address", "ip-san", "sip:x@127.0.0.9", "480"),
    ] {
        for (program, version) in [(PROGRAMS[0], "1.3"), (PROGRAMS[1], "1.2")] {
            let meeting = Meeting::new(program, certificate).version(version);
            let met = meeting.message(server.tls(), claim);
            assert_eq!(
                met.outcome,
                wanted,
                "{situation} {program:?}\n{}",
                server.log()
            );
        }
    }
}

/// A softphone behind a proxy whose word counts.
#[test]
fn example_of_a_softphone_behind_a_trusted_proxy() {
    let rules = "file=root-example.crt domains=gw.example.net roles=domain\n";
    let server = with_rules(rules)
        .set("TrustedPeers", "gw.example.net")
        .start();
    for (situation, certificate, claim, wanted) in [
        ("its softphone", "trusted-gw", "sip:bob@example.org", "480"),
        (
            "a third party's",
            "trusted-gw",
            "sip:carol@other.example.net",
            "480",
        ),
        ("by itself", "none", "sip:bob@example.org", "403"),
        (
            "with a certificate that its CA may not give",
            "bob-uri",
            "sip:bob@example.org",
            "403",
        ),
        (
            "a user of the proxy's domain",
            "user-at-gw",
            "sip:bob@example.org",
            "403",
        ),
    ] {
        for (program, version) in [(PROGRAMS[0], "1.3"), (PROGRAMS[1], "1.2")] {
            let meeting = Meeting::new(program, certificate).version(version);
            let met = meeting.message(server.tls(), claim);
            assert_eq!(
                met.outcome,
                wanted,
                "{situation} {program:?}\n{}",
                server.log()
            );
        }
    }
}
