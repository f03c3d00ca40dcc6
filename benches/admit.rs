//! Time of one admission with 100,000 mappings: `cargo bench --bench admit`. Budget: 1 µs a decision. The time of a digest
//! answer is printed beside it.
#![expect(clippy::unwrap_used, reason = "a bench may stop at the first surprise")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use openssl::hash::{MessageDigest, hash};
use sipvouch::auth::{
    Algorithm, AuthOptions, Credentials, Decision, Digest, DigestMemory, DigestOptions,
    DigestRequest, Field, HashText, Identities, IdentityPath, IdentityRules, Mappings, NamePolicy,
    Peer, PeerCertificate, Rules, Sealer, SubjectAltName, TokenSecret, Transport, admit, ha1,
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
        alt_names,
        extended_key_usage: None,
        anchor_subject: String::new(),
        anchor_fingerprint: [0; 32],
    }
}

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
    let lines = digest.challenge(Field::Proxy, "example.org", false, source, 0);
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
    };
    let start = Instant::now();
    for answer in &answers {
        let credentials = Credentials::parse(black_box(answer.as_bytes()));
        let credentials = credentials.unwrap().unwrap();
        let checked = digest.check(&credentials, &request, source, 0).unwrap();
        let user = digest.verify(checked, &credentials, &request, Some(&stored), 0);
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
    let policy = NamePolicy::default();
    let known = |n: u64| certificate(&format!("{:012x}", n * 7), vec![]);
    let san = |name: SubjectAltName| certificate("", vec![name]);
    type Make<'f> = &'f dyn Fn(u64) -> (PeerCertificate, String);
    let cases: [(&str, Make<'_>, bool); 4] = [
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
                (Identities::of(&certificate, &policy), text)
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
