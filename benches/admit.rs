//! Time of one admission with 100,000 mappings, and with 10,000 rules of CAs beside them: `cargo bench --bench admit`.
//! Budget: 1 µs a decision. The time of a digest answer is printed beside it.
#![expect(clippy::unwrap_used, reason = "a bench may stop at the first surprise")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use openssl::hash::{MessageDigest, hash};
use sipvouch::auth::{
    Algorithm, AuthOptions, CaRights, Credentials, Decision, Digest, DigestMemory, DigestOptions,
    DigestRequest, Field, HashText, Identities, IdentityPath, IdentityRules, Issuer, Issuers,
    Mappings, Peer, PeerCertificate, Rules, Sealer, SubjectAltName, TokenSecret, Transport, admit,
    ha1,
};
use sipvouch::sip::{FromRule, Message, Request};

const DECISIONS: u32 = 200_000;
const PEERS: u64 = 5_000;
const ANSWERS: u32 = 20_000;

fn certificate(common_name: &str, alt_names: Vec<SubjectAltName>) -> PeerCertificate {
    PeerCertificate {
        subject: String::new(),
        issuer: String::new(),
        serial: String::new(),
        fingerprint: [0; 32],
        not_before: 0,
        not_after: 0,
        common_names: vec![common_name.as_bytes().to_vec()],
        subject_attributes: Vec::new(),
        alt_names,
        extended_key_usage: None,
        anchor_subject: String::new(),
        anchor_fingerprint: [0; 32],
        issuers: Issuers::default(),
    }
}

/// A certificate of these CAs: number 1 is a phone maker's, below number 0; number 2 is one for domains.
fn issued_by(numbers: &[u16], certificate: PeerCertificate) -> PeerCertificate {
    let issuer = |number: &u16| {
        let mut fingerprint = [0; 32];
        let [high, low] = number.to_be_bytes();
        fingerprint[0] = high;
        fingerprint[1] = low;
        Issuer {
            subject: format!("CN=CA {number},O=Example").into(),
            key_id: Box::new([1; 20]),
            fingerprint,
        }
    };
    PeerCertificate {
        issuers: Issuers::new(numbers.iter().map(issuer).collect()),
        ..certificate
    }
}

/// 5,000 rules for the phone maker's CA, and one for each of 5,000 others.
fn rules_file() -> String {
    let mut file = String::new();
    for n in 0..PEERS {
        let mac = n * (100_000 / PEERS) * 7;
        file.push_str(&format!("subject=\"CN=CA 1,O=Example\" names={mac:012X}\n"));
    }
    let zeros = "0".repeat(60);
    for n in (0..5_001_u16).filter(|n| *n != 1) {
        let what = match n {
            0 => "roles=phone",
            _ => "domains=example.org,.example.org",
        };
        file.push_str(&format!("sha256={n:04x}{zeros} {what}\n"));
    }
    file
}

/// Seconds since 1970, after the start of the memory of nonces.
const NOW: u64 = 1_000_000;

/// Time of one right digest answer, from its text to the user, each with the next count of one nonce.
fn digest(algorithm: Algorithm, message_digest: MessageDigest) {
    let process = TokenSecret::random().unwrap();
    let options = DigestOptions {
        algorithms: vec![algorithm],
        ..DigestOptions::default()
    };
    let digest = Digest::new(
        options,
        Arc::new(Sealer::new(&[], &process).unwrap()),
        Arc::new(DigestMemory::new(0).unwrap()),
    );
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let lines = digest.challenge(Field::Proxy, "example.org", false, source, NOW);
    let lines = String::from_utf8(lines.unwrap()).unwrap();
    let nonce = lines.split("nonce=\"").nth(1).unwrap();
    let nonce = nonce.split('"').next().unwrap();
    let hash = |text: String| -> String {
        let octets = hash(message_digest, text.as_bytes()).unwrap();
        octets.iter().map(|o| format!("{o:02x}")).collect()
    };
    let a1 = ha1(algorithm, "alice", "example.org", b"alice-pw").unwrap();
    let a2 = hash("INVITE:sip:bob@example.org".into());
    let answers: Vec<String> = (1..=ANSWERS)
        .map(|nc| {
            let response = hash(format!("{a1}:{nonce}:{nc:08x}:0a4f113b:auth:{a2}"));
            format!(
                "Digest username=\"alice\", realm=\"example.org\", nonce=\"{nonce}\", algorithm={algorithm}, \
                 uri=\"sip:bob@example.org\", qop=auth, nc={nc:08x}, cnonce=\"0a4f113b\", response=\"{response}\""
            )
        })
        .collect();
    let stored = HashText::of_password(&[algorithm], "alice", "example.org", b"alice-pw").unwrap();
    let request = DigestRequest {
        method: "INVITE",
        uri: b"sip:bob@example.org",
        body: b"",
        is_datagram: false,
    };
    let start = Instant::now();
    for answer in &answers {
        let credentials = Credentials::parse(black_box(answer.as_bytes()));
        let credentials = credentials.unwrap().unwrap();
        let checked = digest.check(&credentials, &request, source, NOW).unwrap();
        let user = digest.verify(checked, &credentials, &request, Some(&stored), NOW);
        black_box(user.unwrap());
    }
    let each = start.elapsed() / ANSWERS;
    println!("digest, {algorithm}: {each:?} an answer, read, checked and verified");
}

fn main() {
    digest(Algorithm::Md5, MessageDigest::md5());
    digest(Algorithm::Sha256, MessageDigest::sha256());
    let mut file = String::new();
    for n in 0..100_000_u64 {
        file.push_str(&format!("{:012X}\tuser{n}@example.org\n", n * 7));
    }
    let start = Instant::now();
    let (mappings, faults) = Mappings::parse(file.as_bytes(), "mappings.txt");
    assert!(faults.is_empty());
    println!("100,000 mappings read in {:?}", start.elapsed());
    let options = AuthOptions {
        certificate_authenticator: true,
        third_party_requires_certificate: true,
        domains: vec!["example.org".into()],
        ..AuthOptions::default()
    };
    let mut rules = Rules::new(&options, mappings, Vec::new());
    let known = |n: u64| certificate(&format!("{:012x}", n * 7), vec![]);
    let san = |name: SubjectAltName| certificate("", vec![name]);
    type Make<'f> = &'f dyn Fn(u64) -> (PeerCertificate, String);
    let start = Instant::now();
    let rights = CaRights::parse(rules_file().as_bytes(), "rights", &[], |_| Ok(Vec::new()));
    rules.rights = Arc::new(rights.unwrap());
    println!(
        "{} rules of CAs read in {:?}",
        rules.rights.len(),
        start.elapsed()
    );
    let phone = |n| issued_by(&[1, 0], known(n));
    let domain = |by: &[u16]| issued_by(by, san(SubjectAltName::Dns(b"example.org".to_vec())));
    let cases: [(&str, Make<'_>, bool); 8] = [
        (
            "MAC in the CN, mapped",
            &|n| (known(n), format!("user{n}@example.org")),
            true,
        ),
        (
            "MAC in the CN, refused",
            &|n| (known(n), format!("user{}@example.org", n + 1)),
            false,
        ),
        (
            "user URI",
            &|n| {
                let user = format!("user{n}@example.org");
                (
                    san(SubjectAltName::Uri(format!("sip:{user}").into_bytes())),
                    user,
                )
            },
            true,
        ),
        (
            "domain name",
            &|n| {
                let domain = SubjectAltName::Dns(b"example.org".to_vec());
                (san(domain), format!("user{n}@Example.ORG"))
            },
            true,
        ),
        (
            "MAC, CA with 5,000 rules",
            &|n| (phone(n), format!("user{n}@example.org")),
            true,
        ),
        (
            "MAC that no rule names",
            &|n| (phone(n + 1), format!("user{}@example.org", n + 1)),
            false,
        ),
        (
            "domain, CA with a rule",
            &|n| (domain(&[2]), format!("user{n}@Example.ORG")),
            true,
        ),
        (
            "domain, CA of phones",
            &|n| (domain(&[1, 0]), format!("user{n}@Example.ORG")),
            false,
        ),
    ];
    for (what, make, passes) in cases {
        // Peers all over the table, so that it is not always in the cache.
        let peers: Vec<(Identities, String)> = (0..PEERS)
            .map(|n| {
                let (certificate, uri) = make(n * (100_000 / PEERS));
                let text = format!(
                    "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK1\r\n\
                     From: <sip:{uri}>;tag=f\r\nTo: <sip:{uri}>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n\r\n"
                );
                (rules.identities(&certificate, Some(0)), text)
            })
            .collect();
        let messages: Vec<Message<'_>> = peers
            .iter()
            .map(|(_, text)| Message::parse(text.as_bytes(), text.len(), 64))
            .collect();
        let requests: Vec<(Peer<'_>, Request<'_>)> = messages
            .iter()
            .zip(&peers)
            .map(|(message, (identities, _))| {
                let peer = Peer {
                    transport: Transport::Tls,
                    source: "192.0.2.7:40000".parse().unwrap(),
                    identities: Some(identities),
                };
                (peer, Request::read(message, FromRule::Single).unwrap())
            })
            .collect();
        for identity in [IdentityRules::Secure, IdentityRules::Repro] {
            rules.identity = identity;
            let mut admitted = 0_u32;
            let mut decisions = 0_u32;
            let start = Instant::now();
            while decisions < DECISIONS {
                for (peer, request) in &requests {
                    let decision = admit(
                        black_box(*request),
                        black_box(peer),
                        IdentityPath::Registrar.into(),
                        &rules,
                    );
                    admitted += u32::from(matches!(decision, Decision::Admit(_)));
                    decisions += 1;
                    black_box(&decision);
                }
            }
            let each = start.elapsed() / decisions;
            println!("{what:24} {identity:?}: {each:?} a decision");
            if identity == IdentityRules::Secure {
                assert_eq!(admitted, if passes { decisions } else { 0 }, "{what}");
            }
        }
    }
}
