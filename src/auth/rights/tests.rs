//! Rules of CAs against names and claims, and everything that a rules file may have wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::auth::test_support::{cert, from, peer, rules, told};
use crate::auth::{
    Identities, IdentityRules, Issuer, NamePolicy, PeerCertificate, Statement, Transport,
};
use crate::sip::Host;

const PHONES: u8 = 1;
const DOMAINS: u8 = 2;
const BELOW_PHONES: u8 = 3;

fn issuer(number: u8) -> Issuer {
    Issuer {
        subject: format!("CN=CA {number},O=Example").into(),
        key_id: Box::new([number; 20]),
        fingerprint: [number; 32],
    }
}

fn places() -> Vec<ListenerPlace> {
    let place = |number, setting: &str, address: &str| ListenerPlace {
        number,
        setting: setting.to_owned(),
        address: address.parse().unwrap(),
    };
    vec![
        place(0, "Transport1Interface", "192.0.2.1:5061"),
        place(2, "Transport3Interface", "192.0.2.1:5063"),
    ]
}

fn shown(number: u8, is_root: bool) -> ShownCa {
    ShownCa {
        fingerprint: [number; 32],
        is_root,
    }
}

fn rights(text: &str) -> CaRights {
    CaRights::parse(text.as_bytes(), "rights", &places(), |_| {
        Ok(vec![shown(PHONES, true)])
    })
    .unwrap()
}

/// A certificate issued by the first of these CAs.
fn issued(by: &[u8], cn: &str, sans: &[&str]) -> PeerCertificate {
    PeerCertificate {
        issuers: Issuers::new(by.iter().map(|number| issuer(*number)).collect()),
        ..cert(cn, sans)
    }
}

fn print(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

/// What is said of a claim by the holder of this certificate, at listener 0.
fn say(rights: CaRights, certificate: &PeerCertificate, mappings: &str, claim: &str) -> String {
    let mut rules = rules(IdentityRules::Secure, mappings);
    rules.rights = Arc::new(rights);
    let identities = rules.identities(certificate, Some(0));
    let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
    told(
        &rules,
        &peer,
        "MESSAGE",
        &from(claim),
        "<sip:x@example.org>",
        "",
    )
}

const MISMATCH: &str = "403 Authentication Failed for peer cert";

#[test]
fn a_ca_with_a_rule_may_vouch_for_what_one_of_its_rules_says_and_for_nothing_else() {
    let mac = &["0004F22B3EB5\talice@example.org,example.org\n"];
    for (situation, rule, cn, sans, mapping, claim, wanted) in [
        (
            "no rule of this CA",
            "sha256=D names=x",
            "",
            &["DNS:example.org"][..],
            "",
            "sip:a@example.org",
            "domain-identity",
        ),
        (
            "a phone's CA and a domain",
            "sha256=P names=0004F2*",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "a phone's CA and a user",
            "sha256=P names=0004F2*",
            "",
            &["URI:sip:a@example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "a phone's CA and a phone",
            "sha256=P names=0004F2*",
            "00:04:f2:2b:3e:b5",
            &[],
            mac[0],
            "sip:alice@example.org",
            "mapping(\"0004F22B3EB5\") ca-rule(1)",
        ),
        (
            "another maker's phone",
            "sha256=P names=64167F*",
            "0004f22b3eb5",
            &[],
            mac[0],
            "sip:alice@example.org",
            MISMATCH,
        ),
        (
            "the whole address",
            "sha256=P names=00:04:F2:2B:3E:B5",
            "0004f22b3eb5",
            &[],
            mac[0],
            "sip:alice@example.org",
            "mapping(\"0004F22B3EB5\") ca-rule(1)",
        ),
        (
            "a mapping to somebody that the CA may not say",
            "sha256=P names=0004F2* users=bob@example.org",
            "0004f22b3eb5",
            &[],
            mac[0],
            "sip:alice@example.org",
            MISMATCH,
        ),
        (
            "to one that it may",
            "sha256=P names=0004F2* users=alice@Example.org",
            "0004f22b3eb5",
            &[],
            mac[0],
            "sip:alice@example.org",
            "mapping(\"0004F22B3EB5\") ca-rule(1)",
        ),
        (
            "users keep their case",
            "sha256=P users=Alice@example.org",
            "0004f22b3eb5",
            &[],
            mac[0],
            "sip:alice@example.org",
            MISMATCH,
        ),
        (
            "a domain without names",
            "sha256=P domains=example.org",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@Example.ORG.",
            "domain-identity ca-rule(1)",
        ),
        (
            "another domain",
            "sha256=P domains=example.net",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "a look-alike",
            "sha256=P domains=.example.org",
            "",
            &["DNS:evilexample.org"],
            "",
            "sip:a@evilexample.org",
            MISMATCH,
        ),
        (
            "below it",
            "sha256=P domains=.example.org",
            "",
            &["DNS:a.b.example.org"],
            "",
            "sip:a@a.b.example.org",
            "domain-identity ca-rule(1)",
        ),
        (
            "not itself",
            "sha256=P domains=.example.org",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "role of phones, a user",
            "sha256=P roles=phone",
            "",
            &["URI:sip:a@example.org"],
            "",
            "sip:a@example.org",
            "user-identity ca-rule(1)",
        ),
        (
            "role of phones, a domain",
            "sha256=P roles=phone",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "role of servers only",
            "sha256=P roles=server",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "this listener",
            "sha256=P listeners=5061",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            "domain-identity ca-rule(1)",
        ),
        (
            "another one",
            "sha256=P listeners=192.0.2.1:5063",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "by its setting",
            "sha256=P listeners=transport1",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            "domain-identity ca-rule(1)",
        ),
        (
            "a second rule",
            "sha256=P names=x\n\n# no\nsha256=P domains=example.org",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            "domain-identity ca-rule(4)",
        ),
        (
            "by key",
            "keyid=K domains=example.org",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            "domain-identity ca-rule(1)",
        ),
        (
            "by subject",
            "subject=\"CN=CA 1,O=Example\" domains=example.net",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "by file",
            "file=x.pem domains=example.net",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "named in two ways, one rule allows",
            "keyid=K domains=example.net\nsha256=P domains=example.org",
            "",
            &["DNS:example.org"],
            "",
            "sip:a@example.org",
            "domain-identity ca-rule(2)",
        ),
        (
            "a trusted name",
            "sha256=P roles=domain",
            "gw.example.net",
            &[],
            "",
            "sip:a@elsewhere.example",
            "trusted-name",
        ),
        (
            "a trusted name that is not the CA's to give",
            "sha256=P names=0004F2*",
            "gw.example.net",
            &[],
            "",
            "sip:a@elsewhere.example",
            MISMATCH,
        ),
        (
            "a trusted name outside of the domains",
            "sha256=P domains=example.org",
            "gw.example.net",
            &[],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "a trusted name within them",
            "sha256=P domains=.example.net",
            "gw.example.net",
            &[],
            "",
            "sip:a@elsewhere.example",
            "trusted-name",
        ),
        (
            "a user whose name begins like a phone's",
            "sha256=P names=0004F2*",
            "",
            &["URI:sip:0004f2zzz@example.org"],
            "",
            "sip:0004f2zzz@example.org",
            MISMATCH,
        ),
        (
            "a domain that does",
            "sha256=P names=0004F2*",
            "",
            &["DNS:0004f2.example.org"],
            "",
            "sip:a@0004f2.example.org",
            MISMATCH,
        ),
        (
            "one of a single label",
            "sha256=P names=0004F2*",
            "0004f2zz",
            &[],
            "",
            "sip:a@0004f2zz",
            MISMATCH,
        ),
        (
            "the same as the key of a mapping",
            "sha256=P names=0004F2*",
            "0004f2zz",
            &[],
            "0004f2zz\talice@example.org\n",
            "sip:alice@example.org",
            "mapping(\"0004f2zz\") ca-rule(1)",
        ),
        (
            "names beside users, and a user",
            "sha256=P names=0004F2* users=a@example.org",
            "",
            &["URI:sip:a@example.org"],
            "",
            "sip:a@example.org",
            MISMATCH,
        ),
        (
            "a trusted label",
            "sha256=P names=gateway*",
            "gateway1",
            &[],
            "",
            "sip:a@elsewhere.example",
            "trusted-name",
        ),
        (
            "a glob that ends like one",
            "sha256=P names=*3EB5",
            "0004f22b3eb5",
            &[],
            mac[0],
            "sip:alice@example.org",
            "mapping(\"0004F22B3EB5\") ca-rule(1)",
        ),
    ] {
        let rule = rule
            .replace("=P", &format!("={}", print(PHONES)))
            .replace("=D", &format!("={}", print(DOMAINS)))
            .replace("=K", &format!("={}", "01".repeat(20)));
        let certificate = issued(&[PHONES], cn, sans);
        let said = say(rights(&rule), &certificate, mapping, claim);
        let said = said.replace(" for peer cert.", " for peer cert");
        assert_eq!(said, wanted, "{situation}");
    }
}

#[test]
fn every_ca_of_the_chain_that_has_rules_has_to_allow_it() {
    let domain = |by: &[u8]| issued(by, "", &["DNS:example.org"]);
    let of = |number: u8, what: &str| format!("sha256={} {what}\n", print(number));
    let (yes, no) = ("domain-identity ca-rule(1)", MISMATCH);
    for (situation, text, by, wanted) in [
        (
            "the root alone",
            of(PHONES, "roles=domain"),
            &[BELOW_PHONES, PHONES][..],
            yes,
        ),
        (
            "the root refuses",
            of(PHONES, "roles=phone"),
            &[BELOW_PHONES, PHONES],
            no,
        ),
        (
            "the intermediate refuses",
            of(BELOW_PHONES, "roles=phone"),
            &[BELOW_PHONES, PHONES],
            no,
        ),
        (
            "another intermediate",
            of(BELOW_PHONES, "roles=phone"),
            &[PHONES],
            "domain-identity",
        ),
        (
            "both allow",
            of(BELOW_PHONES, "roles=domain") + &of(PHONES, "domains=example.org"),
            &[BELOW_PHONES, PHONES],
            yes,
        ),
        (
            "one of two allows",
            of(BELOW_PHONES, "roles=domain") + &of(PHONES, "roles=phone"),
            &[BELOW_PHONES, PHONES],
            no,
        ),
    ] {
        let said = say(rights(&text), &domain(by), "", "sip:a@example.org");
        assert_eq!(said, wanted, "{situation}");
    }
}

#[test]
fn a_server_needs_a_ca_that_may_vouch_for_servers() {
    let certificate = issued(&[PHONES], "", &["DNS:example.net"]);
    let host = Host::parse("example.net").unwrap();
    for (rule, good) in [
        ("roles=server", true),
        ("roles=phone,domain", false),
        ("domains=example.net", true),
        ("domains=example.org", false),
        ("names=example*", false),
        ("names=0004F2*", false),
        ("names=example* domains=example.net", false),
        ("roles=server listeners=5061", false),
    ] {
        let rights = rights(&format!("sha256={} {rule}", print(PHONES)));
        let found = Identities::of_server(&certificate, &NamePolicy::default(), &rights);
        assert_eq!(found.domain_identity(&host).is_some(), good, "{rule}");
        assert_eq!(
            found.barred_domain_identity(&host).is_some(),
            !good,
            "{rule}"
        );
    }
}

#[test]
fn what_its_ca_may_not_give_makes_nobody_known() {
    let certificate = issued(&[PHONES], "0004F22B3EB5", &["DNS:example.org"]);
    let policy = NamePolicy::default();
    let free = Identities::of_client(&certificate, &policy, &CaRights::default(), Some(0));
    let text = format!("sha256={} names=64167F*", print(PHONES));
    let barred = Identities::of_client(&certificate, &policy, &rights(&text), Some(0));
    assert!(free.digest().is_some() && free.has_domain());
    assert!(free.keys().count() > 0 && free.legacy_names().count() > 0);
    assert_eq!(barred.digest(), None);
    assert!(!barred.has_domain());
    assert_eq!(barred.keys().count(), 0);
    assert_eq!(barred.legacy_names().count(), 0);
}

#[test]
fn a_mapping_bound_to_a_ca_holds_for_its_certificates_only() {
    let mappings = format!(
        "k@@sha256={}\talice@example.org\nk@@subject=CN=CA 2,O=Example\tbob@example.org\n\
         k@@keyid={}\tcarol@example.org\n",
        print(PHONES),
        "03".repeat(20),
    );
    let (alice, bob) = ("sip:alice@example.org", "sip:bob@example.org");
    let carol = "sip:carol@example.org";
    for (by, claim, wanted) in [
        (&[PHONES][..], alice, true),
        (&[PHONES], bob, false),
        (&[DOMAINS], alice, false),
        (&[DOMAINS], bob, true),
        (&[BELOW_PHONES], alice, false),
        (&[BELOW_PHONES], carol, true),
        // A fingerprint is nobody else's.
        (&[PHONES, 9], alice, true),
        // Another CA that is trusted has one below itself with this subject and key identifier.
        (&[DOMAINS, 9], bob, false),
        (&[BELOW_PHONES, 9], carol, false),
        (&[9, DOMAINS], bob, true),
        (&[9, BELOW_PHONES], carol, true),
    ] {
        for identity in [IdentityRules::Secure, IdentityRules::Repro] {
            let rules = rules(identity, &mappings);
            let identities = rules.identities(&issued(by, "k", &[]), Some(0));
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let said = told(
                &rules,
                &peer,
                "MESSAGE",
                &from(claim),
                "<sip:x@example.org>",
                "",
            );
            assert_eq!(
                !said.starts_with("403"),
                wanted,
                "{by:?} {claim} {identity:?}: {said}"
            );
        }
    }
}

#[test]
fn the_refusal_names_the_file_and_the_ca_and_is_explained() {
    let mut rules = rules(IdentityRules::Secure, "");
    rules.rights = Arc::new(rights("subject=\"CN=CA 1,O=Example\" names=0004F2*"));
    let statement = Statement {
        from: "sip:alice@example.org",
        to: None,
        referred_by: None,
        method: "MESSAGE",
        to_tag: false,
        transport: Transport::Tls,
        source: "127.0.0.3:5060".parse().unwrap(),
        occasion: crate::auth::IdentityPath::Proxy.into(),
        digest_user: None,
    };
    let certificate = issued(&[PHONES], "", &["DNS:example.org"]);
    let text = crate::auth::explain(Some(&certificate), &statement, &rules).to_string();
    for wanted in [
        "reason=ca-rights (From)",
        "subject=CN=CA 1,O=Example",
        "rights",
        "sha256 0101",
        "the file of CARights",
    ] {
        assert!(text.contains(wanted), "{wanted:?} in\n{text}");
    }
}

#[test]
fn every_fault_of_a_rules_file_is_told_with_its_line_and_nothing_is_used() {
    for (line, wanted) in [
        ("names=x", "no CA is named"),
        ("sha256=P", "nothing says what this CA may vouch for"),
        ("sha256=P keyid=01 names=x", "more than one CA"),
        ("sha256=P names=x names=y", "names= stands twice"),
        ("sha256=P names=", "names= is empty"),
        ("sha256=P names=x name=y", "\"name\" is no field"),
        ("sha256=P phone", "\"phone\": expected field=value"),
        ("sha256=P names=a,,b", "a comma too many"),
        ("sha256=P names=a*b", "not inside"),
        ("sha256=P names=*", "something beside it"),
        ("sha256=P names=*a*", "something beside it"),
        (
            "sha256=P names=alice@example.org",
            "write users= or domains=",
        ),
        ("sha256=P names=*@example.org", "write users= or domains="),
        ("sha256=P names=gw.example.org", "write users= or domains="),
        ("sha256=P names=*.example.org", "write users= or domains="),
        ("sha256=P names=*.b5", "write users= or domains="),
        ("sha256=P names=192.0.2.1", "write users= or domains="),
        ("sha256=P users=bob", "expected user@domain"),
        ("sha256=P users=*@example.org", "expected user@domain"),
        ("sha256=P domains=*.example.org", "with a dot in front"),
        ("sha256=P domains=..example.org", "with a dot in front"),
        ("sha256=P listeners=5099", "no TLS listener"),
        ("sha256=P roles=phones", "expected phone, domain or server"),
        ("sha256=12 names=x", "64 hexadecimal digits"),
        ("keyid=xy names=x", "subject key identifier"),
        ("subject=Phones names=x", "expected a subject in one line"),
        ("subject=\"CN=a names=x", "not closed"),
        ("subject=CN=\"a\" names=x", "not closed"),
        ("file=none.pem names=x", "does not exist"),
        ("sha256=P names=a\x01b", "control character"),
    ] {
        let line = line.replace("=P", &format!("={}", print(PHONES)));
        let text = format!("# ours\nsha256={} roles=domain\n{line}\n", print(DOMAINS));
        let faults = CaRights::parse(text.as_bytes(), "f", &places(), |_| {
            Err("does not exist".to_owned())
        })
        .unwrap_err();
        assert_eq!(faults.len(), 1, "{line:?}");
        let told = faults[0].to_string();
        assert!(
            told.starts_with("f:3: ") && told.contains(wanted),
            "{line:?}: {told}"
        );
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }
    let faults = CaRights::parse(b"\xff\n\nnames=x\n", "f", &[], |_| Ok(Vec::new())).unwrap_err();
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "each faulty line: {told:?}");
    assert!(told[0].starts_with("f:1: not UTF-8"), "{told:?}");
}

#[test]
fn a_line_that_describes_no_anchor_is_known() {
    let text = format!(
        "sha256={} names=x\nsha256={} names=y\nkeyid=0909 names=x\nsubject=CN=No names=x\nfile=x.pem names=x\n\
         sha256={} names=x\n",
        print(PHONES),
        print(BELOW_PHONES),
        print(BELOW_PHONES)
    );
    let found: Vec<Stranger> = rights(&text).strangers(&[issuer(PHONES)]).collect();
    let wanted = [2, 3, 4].map(Stranger::Described);
    assert_eq!(found, wanted, "a CA once");
}

#[test]
fn a_file_with_a_root_that_is_no_anchor_is_known_and_one_with_an_intermediate_is_not() {
    let files = |file: &str| {
        Ok(match file {
            "renewed" => vec![shown(PHONES, true), shown(8, true), shown(9, true)],
            "below" => vec![shown(BELOW_PHONES, false)],
            _ => vec![shown(PHONES, true)],
        })
    };
    let text =
        "file=anchor names=x\nfile=below names=x\nfile=renewed names=x\nfile=renewed names=y\n";
    let rights = CaRights::parse(text.as_bytes(), "f", &[], files).unwrap();
    let found: Vec<Stranger> = rights.strangers(&[issuer(PHONES)]).collect();
    assert_eq!(found, [Stranger::Shown(3)]);
}

#[test]
fn a_file_without_any_rule_lifts_no_limit() {
    for text in [
        "",
        "\n\n",
        "# file=x.pem roles=phone\n",
        "\u{feff}",
        "  \r\n",
    ] {
        let faults = CaRights::parse(text.as_bytes(), "f", &[], |_| Ok(Vec::new())).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{text:?}");
        assert!(told[0].starts_with("f:1: no rule in it"), "{told:?}");
    }
}

/// A user's CA signs him a domain beside his name, or the domain alone.
#[test]
fn a_user_or_a_domain_is_asked_for_itself_and_a_device_for_whatever_it_may_be_used_for() {
    let alice = "URI:sip:alice@example.org";
    for (rule, cn, sans, has_domain, is_somebody) in [
        (
            "users=alice@example.org",
            "",
            &[alice, "DNS:evil.test"][..],
            false,
            true,
        ),
        (
            "users=alice@example.org",
            "",
            &["DNS:evil.test"],
            false,
            false,
        ),
        (
            "users=alice@example.org",
            "",
            &["DNS:example.org"],
            false,
            false,
        ),
        ("users=bob@example.org", "", &[alice], false, false),
        (
            "users=bob@example.org",
            "",
            &[alice, "DNS:evil.test", "IP:192.0.2.1"],
            false,
            false,
        ),
        (
            "users=bob@example.org",
            "",
            &["DNS:evil.test", "URI:sip:evil.test"],
            false,
            false,
        ),
        (
            "domains=example.org",
            "",
            &[alice, "DNS:evil.test"],
            false,
            true,
        ),
        (
            "domains=example.org",
            "",
            &["DNS:evil.test", "DNS:example.org"],
            true,
            true,
        ),
        (
            "domains=.example.org",
            "",
            &["DNS:example.org"],
            false,
            false,
        ),
        ("domains=192.0.2.1", "", &["IP:192.0.2.1"], false, true),
        ("domains=192.0.2.1", "", &["IP:192.0.2.2"], false, false),
        ("names=evil*", "", &["DNS:evil.test"], false, false),
        ("names=evil*", "evil", &[], false, true),
        ("users=alice@example.org", "evil", &[], false, true),
        ("users=alice@example.org", "0004F22B3EB5", &[], false, true),
        (
            "names=0004F2* users=alice@example.org",
            "0004F22B3EB5",
            &[],
            false,
            true,
        ),
        (
            "names=64167F* users=alice@example.org",
            "0004F22B3EB5",
            &[],
            false,
            false,
        ),
        ("roles=domain", "", &["DNS:evil.test"], true, true),
    ] {
        let rights = rights(&format!("sha256={} {rule}", print(PHONES)));
        let certificate = issued(&[PHONES], cn, sans);
        let found = Identities::of_client(&certificate, &NamePolicy::default(), &rights, Some(0));
        assert_eq!(found.has_domain(), has_domain, "{rule}: {cn} {sans:?}");
        assert_eq!(
            found.digest().is_some(),
            is_somebody,
            "{rule}: {cn} {sans:?}"
        );
    }
}

#[test]
fn a_trusted_peer_is_one_by_a_name_that_its_ca_may_vouch_for_as_such() {
    for (rule, cn, sans, trusted) in [
        (
            "domains=gw.example.net",
            "",
            &["DNS:gw.example.net"][..],
            true,
        ),
        ("domains=.example.net", "gw.example.net", &[], true),
        ("domains=example.org", "", &["DNS:gw.example.net"], false),
        (
            "users=alice@example.org",
            "",
            &["DNS:gw.example.net"],
            false,
        ),
        ("users=alice@example.org", "gw.example.net", &[], false),
        ("names=gw*", "gw.example.net", &[], false),
        ("names=gateway*", "gateway1", &[], true),
        ("names=gateway* domains=example.org", "gateway1", &[], false),
        ("users=alice@example.org", "gateway1", &[], false),
        ("roles=phone", "", &["DNS:gw.example.net"], false),
        ("roles=domain", "", &["DNS:gw.example.net"], true),
    ] {
        for identity in [
            IdentityRules::Secure,
            IdentityRules::Report,
            IdentityRules::Repro,
        ] {
            let mut rules = rules(identity, "");
            rules.rights = Arc::new(rights(&format!("sha256={} {rule}", print(PHONES))));
            let identities = rules.identities(&issued(&[PHONES], cn, sans), Some(0));
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let claim = from("sip:president@bank.example");
            let said = told(&rules, &peer, "MESSAGE", &claim, "<sip:x@example.org>", "");
            assert_eq!(
                said == "trusted-name",
                trusted,
                "{rule} {cn} {sans:?} {identity:?}: {said}"
            );
        }
    }
}

#[test]
fn more_rules_than_are_taken_end_the_reading() {
    let line = format!("sha256={} names=x\n", print(PHONES));
    let most = line.repeat(MAX_RULES);
    assert_eq!(rights(&most).len(), MAX_RULES);
    let text = line.repeat(MAX_RULES + 9);
    let faults = CaRights::parse(text.as_bytes(), "f", &[], |_| Ok(Vec::new())).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].line, MAX_RULES + 1);
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused_line_by_line(
        lines in prop::collection::vec(
            prop_oneof![
                "(sha256|keyid|subject|file)=(\"CN=a b\"|[0-9a-f:]{0,70}|CN=x) (names|users|domains|roles)=[a-z@.*,0]{0,12}",
                "[ -~\t\u{e9}]{0,40}",
            ],
            0..8,
        ),
    ) {
        let text = lines.join("\n");
        match CaRights::parse(text.as_bytes(), "f", &places(), |_| Ok(vec![shown(1, true)])) {
            Ok(rights) => {
                let meant = lines.iter().filter(|l| {
                    let l = l.trim();
                    !l.is_empty() && !l.starts_with('#')
                });
                prop_assert_eq!(rights.len(), meant.count());
            }
            Err(faults) => {
                let none = matches!(&*faults, [RightsFault { kind: RightsFaultKind::NoRule, .. }]);
                prop_assert!(!faults.is_empty() && (none || faults.len() <= lines.len()));
                for fault in faults {
                    prop_assert!(!fault.to_string().chars().any(char::is_control));
                }
            }
        }
    }

    /// Rules take away and never give.
    #[test]
    fn what_is_allowed_with_rules_is_allowed_without(
        rule in "(names=(example\\*|\\*org|0004F2\\*|k)|users=a@example\\.org|domains=\\.?example\\.(org|net)|roles=(phone|domain)|listeners=506[13])( roles=(phone|domain,server))?",
        san in prop_oneof!["DNS:(a\\.)?example\\.(org|net)", "URI:sip:(a@)?example\\.org"],
        cn in prop_oneof![Just("k"), Just("0004F22B3EB5"), Just("gw.example.net")],
        with_san in any::<bool>(),
        claim in "sip:(a@|b@)?(a\\.)?example\\.(org|net)",
    ) {
        let sans = [san.as_str()];
        let certificate = issued(&[PHONES], cn, if with_san { &sans } else { &[] });
        let mappings = "k\ta@example.org\n0004F22B3EB5\texample.org\n";
        // Twice the same role field is a fault, not a rule.
        let text = format!("sha256={} {rule}", print(PHONES));
        let parsed = CaRights::parse(text.as_bytes(), "f", &places(), |_| Ok(Vec::new()));
        if let Ok(rights) = parsed {
            let with = say(rights, &certificate, mappings, &claim);
            let without = say(CaRights::default(), &certificate, mappings, &claim);
            prop_assert!(with.starts_with("403") || !without.starts_with("403"), "{} {}", with, without);
        }
    }
}
