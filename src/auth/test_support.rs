//! Certificates, rules and requests for the tables of this room's tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use super::mappings::Mappings;
use super::options::{AuthOptions, IdentityRules, IpNetwork, TrustedPeer};
use super::peer_certificate::{PeerCertificate, SubjectAltName};
use super::{
    Algorithm, Digest, DigestMemory, HashText, Passwords, PasswordsFailed, Sealer, TokenSecret,
};
use super::{
    Decision, Identities, IdentityPath, Issuers, NamePolicy, Peer, Refusal, Rules, Transport, admit,
};
use crate::sip::{Message, Request};

/// A certificate with a last CN (none if empty) and SANs as `openssl` writes them: `URI:…`, `DNS:…`, `email:…`, `IP:…`.
/// `~` is a NUL.
pub(super) fn cert(common_name: &str, alt_names: &[&str]) -> PeerCertificate {
    let raw = |text: &str| text.replace('~', "\0").into_bytes();
    PeerCertificate {
        subject: format!("CN={common_name}"),
        issuer: "CN=Root".into(),
        serial: "01".into(),
        fingerprint: [0; 32],
        not_before: 0,
        not_after: 0,
        common_names: common_name
            .split('+')
            .filter(|cn| !cn.is_empty())
            .map(raw)
            .collect(),
        subject_attributes: Vec::new(),
        alt_names: alt_names
            .iter()
            .map(|san| match san.split_once(':').unwrap() {
                ("URI", text) => SubjectAltName::Uri(raw(text)),
                ("DNS", text) => SubjectAltName::Dns(raw(text)),
                ("email", text) => SubjectAltName::Email(raw(text)),
                ("IP", text) => SubjectAltName::Ip(text.parse().unwrap()),
                _ => SubjectAltName::Other("otherName"),
            })
            .collect(),
        extended_key_usage: None,
        anchor_subject: "CN=Root".into(),
        anchor_fingerprint: [0; 32],
        issuers: Issuers::default(),
    }
}

/// Options like those of the recorded variant `opt-cert`: three domains, the ACL of the legacy data set.
pub(super) fn options(identity: IdentityRules) -> AuthOptions {
    AuthOptions {
        certificate_authenticator: true,
        rules: identity,
        third_party_requires_certificate: true,
        domains: ["example.org", "pocock.com.au", "sub.example.org"]
            .map(str::to_owned)
            .to_vec(),
        trusted_peers: vec![
            TrustedPeer::Network(IpNetwork {
                address: "127.0.0.7".parse().unwrap(),
                prefix: 32,
            }),
            TrustedPeer::Name("Trunk.Carrier.Example".into()),
            TrustedPeer::Name("gateway1".into()),
            TrustedPeer::Name("gw.example.net".into()),
        ],
        ..AuthOptions::default()
    }
}

/// [`options`] with these mappings.
pub(super) fn rules(identity: IdentityRules, mappings: &str) -> Rules {
    let (mappings, faults) = Mappings::parse(mappings.as_bytes(), "mappings.txt");
    assert_eq!(faults, []);
    Rules::new(&options(identity), mappings, Vec::new())
}

/// The users alice and bob of example.org, with the passwords `alice-pw` and `bob-pw`.
struct Users;

impl Passwords for Users {
    fn answer(&self, user: &str, domain: &str) -> Result<Option<Arc<HashText>>, PasswordsFailed> {
        let is_known = matches!(user, "alice" | "bob") && domain == "example.org";
        Ok(is_known.then(|| {
            let password = format!("{user}-pw");
            let hashes =
                HashText::of_password(&[Algorithm::Md5], user, domain, password.as_bytes());
            Arc::new(hashes.unwrap())
        }))
    }
}

/// Rules with the passwords of alice and bob.
pub(super) fn with_passwords(options: &AuthOptions, mappings: Mappings) -> Rules {
    let sealer = Sealer::new(&[], &TokenSecret::random().unwrap()).unwrap();
    let memory = Arc::new(DigestMemory::new(0).unwrap());
    let digest = Digest::new(options.digest.clone(), Arc::new(sealer), memory);
    Rules::new(options, mappings, Vec::new()).with_digest(Arc::new(digest), Arc::new(Users))
}

/// A request's octets. `extra` is whole header lines, each with its CRLF.
pub(super) fn request(method: &str, from: &str, to: &str, extra: &str) -> String {
    format!(
        "{method} sip:eve@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.3;branch=z9hG4bK1\r\n\
         From: {from}\r\nTo: {to}\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n{extra}\r\n"
    )
}

/// Judges these octets and hands the decision on.
pub(super) fn judge<R>(
    text: &str,
    peer: &Peer<'_>,
    path: IdentityPath,
    rules: &Rules,
    look: impl FnOnce(Decision<'_>) -> R,
) -> R {
    let message = Message::parse(text.as_bytes(), text.len(), 64);
    match Request::read(&message, rules.identity.from_rule()) {
        Ok(request) => look(admit(request, peer, path.into(), rules)),
        Err(fault) => panic!("{fault:?} in {text}"),
    }
}

/// `ground`, or `status phrase` of the refusal, or `dropped`, or `pending`.
pub(super) fn answer(decision: &Decision<'_>) -> String {
    let told = |r: &Refusal| format!("{} {}", r.status, r.phrase);
    match decision {
        Decision::Admit(admitted) => admitted.ground().to_string(),
        Decision::Refuse(refusal) => told(refusal),
        Decision::Challenge(challenge) => told(&challenge.refusal),
        Decision::Drop(_) => "dropped".into(),
        Decision::Pending(_) => "pending".into(),
    }
}

pub(super) fn peer<'a>(
    transport: Transport,
    source: &str,
    identities: Option<&'a Identities>,
) -> Peer<'a> {
    Peer {
        transport,
        source: format!("{source}:40000").parse().unwrap(),
        identities,
    }
}

pub(super) fn alice() -> Identities {
    Identities::of(
        &cert("", &["URI:sip:alice@example.org"]),
        &NamePolicy::default(),
    )
}

pub(super) fn from(uri: &str) -> String {
    format!("<{uri}>;tag=f")
}

/// The answer to one request.
pub(super) fn told(
    rules: &Rules,
    peer: &Peer<'_>,
    method: &str,
    from: &str,
    to: &str,
    extra: &str,
) -> String {
    let path = match method {
        "REGISTER" => IdentityPath::Registrar,
        _ => IdentityPath::Proxy,
    };
    let text = request(method, from, to, extra);
    judge(&text, peer, path, rules, |decision| answer(&decision))
}
