//! The answers that a real repro gave, and those wanted instead where they were holes: `recorded/answers.tsv`.
//!
//! `pass` stands for whatever comes after admission. Rows about the handshake, digest, the parser or the relay check are
//! tested where those live.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;

use super::test_support::{answer, cert, judge, options, request};
use super::{
    Decision, Identities, IdentityPath, IdentityRules, Mappings, Peer, PeerCertificate, Rules,
    Transport,
};

const ANSWERS: &str = include_str!("recorded/answers.tsv");
const CERTIFICATES: &str = include_str!("recorded/certificates.tsv");
const MAPPINGS: &str = "# X.509 common name<TAB>permitted From addresses, comma separated\n\
    0004F22B3EB5\talice@example.org\n0004F224A6AC\tbob@example.org,eve@example.org\n\
    # branch office\n0004F2266D79\tpocock.com.au\n";

/// Rows where the secure rules answer otherwise on purpose: certificate, From, Referred-By, variant, answer, why.
const BY_DESIGN: [(&str, &str, &str, &str, &str, &str); 3] = [
    (
        "alice-cn",
        "sip:alice@example.org.",
        "-",
        "opt-cert",
        "pass",
        "a trailing dot is dropped",
    ),
    (
        "phone-lowercase",
        "sip:alice@example.org",
        "-",
        "opt-cert-map",
        "pass",
        "a MAC address is compared without case",
    ),
    (
        "wildcard-dns",
        "sip:carol@other.example.net",
        "-",
        "opt-cert-wild",
        "pass",
        "AllowWildcardCertificates counts for From too",
    ),
];

fn rules_of(variant: &str, identity: IdentityRules) -> Rules {
    let mut options = options(identity);
    options.certificate_authenticator = !variant.contains("open");
    options.email_as_sip = variant.contains("email");
    options.allow_wildcards = variant.contains("wild");
    let mappings = if variant.contains("map") {
        MAPPINGS
    } else {
        ""
    };
    let (mappings, faults) = Mappings::parse(mappings.as_bytes(), "tlsUserMappings.txt");
    assert_eq!(faults, []);
    Rules::new(&options, mappings, Vec::new())
}

fn certificates() -> HashMap<&'static str, PeerCertificate> {
    CERTIFICATES
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, common_names, alt_names] = fields[..] else {
                panic!("{line}");
            };
            let sans: Vec<&str> = alt_names.split(',').filter(|s| !s.is_empty()).collect();
            (name, cert(common_names, &sans))
        })
        .collect()
}

/// Runs all rows; gives the number that agree.
fn run(identity: IdentityRules) -> usize {
    let certificates = certificates();
    let mut differences = Vec::new();
    let mut agree = 0;
    for row in ANSWERS.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [
            variant,
            certificate,
            method,
            to_tag,
            from,
            to,
            referred_by,
            transport,
            source,
            repro,
            secure,
        ] = fields[..]
        else {
            panic!("{row}");
        };
        let rules = rules_of(variant, identity);
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => Transport::Tls,
        };
        let identities = (certificate != "none")
            .then(|| Identities::of(&certificates[certificate], &rules.names));
        let source = if source == "-" { "127.0.0.3" } else { source };
        let peer = Peer {
            transport,
            source: format!("{source}:40000").parse().unwrap(),
            identities: identities.as_ref(),
        };
        let path = match (method, variant) {
            ("REGISTER", _) | ("SUBSCRIBE" | "PUBLISH", "opt-cert-presence") => {
                IdentityPath::Registrar
            }
            _ => IdentityPath::Proxy,
        };
        let to = match (to, method) {
            ("-", "REGISTER") => from,
            ("-", _) => "sip:eve@example.org",
            _ => to,
        };
        let tag = if to_tag == "yes" { ";tag=t" } else { "" };
        let extra = match referred_by {
            "-" => String::new(),
            value => format!("Referred-By: {value}\r\n"),
        };
        let text = request(
            method,
            &format!("<{from}>;tag=f"),
            &format!("<{to}>{tag}"),
            &extra,
        );
        let found = judge(&text, &peer, path, &rules, |decision| match &decision {
            Decision::Admit(_) => "pass".to_owned(),
            _ => answer(&decision),
        });
        let wanted = match identity {
            IdentityRules::Secure => BY_DESIGN
                .iter()
                .find(|d| (d.0, d.1, d.2, d.3) == (certificate, from, referred_by, variant))
                .map_or(secure, |d| d.4),
            _ => repro,
        };
        if found == wanted {
            agree += 1;
        } else {
            differences.push(format!("{row}\n  found  {found}\n  wanted {wanted}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    agree
}

#[test]
fn secure_rules_close_every_recorded_hole_and_keep_the_rest() {
    assert_eq!(run(IdentityRules::Secure), 185);
}

#[test]
fn repro_rules_answer_as_recorded() {
    assert_eq!(run(IdentityRules::Repro), 185);
}

#[test]
fn report_rules_answer_as_recorded() {
    assert_eq!(run(IdentityRules::Report), 185);
}
