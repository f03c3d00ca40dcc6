//! A client for the tables of this room's tests; it computes on its own what RFC 7616 §3.4.1 says.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::hash::hash_of_parts;
use super::{
    Algorithm, Credentials, Digest, DigestFault, DigestMemory, DigestOptions, DigestRequest,
    DigestUser, Field, HashText, ha1,
};
use crate::auth::{Sealer, TokenSecret};

pub(super) const REALM: &str = "example.org";
pub(super) const URI: &str = "sip:bob@example.org";
pub(super) const NOW: u64 = 1_700_000_000;
pub(super) const SECRET: &str = "a secret that servers share";

/// As an operator has it who changed nothing but the algorithms: all of them.
pub(super) fn options() -> DigestOptions {
    DigestOptions {
        enabled: true,
        algorithms: vec![Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5],
        ..DigestOptions::default()
    }
}

pub(super) fn sealer(secret: &str) -> Arc<Sealer> {
    let secret = TokenSecret::new(secret).unwrap();
    Arc::new(Sealer::new(&[secret], &TokenSecret::random().unwrap()).unwrap())
}

pub(super) fn memory() -> Arc<DigestMemory> {
    Arc::new(DigestMemory::new(NOW).unwrap())
}

pub(super) fn digest(options: DigestOptions) -> Digest {
    Digest::new(options, sealer(SECRET), memory())
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What a store has of alice.
pub(super) fn stored(algorithms: &[Algorithm]) -> HashText {
    HashText::of_password(algorithms, "alice", REALM, b"alice-pw").unwrap()
}

/// The nonce of a challenge of this server.
pub(super) fn nonce(digest: &Digest, realm: &str, source: &str, now: u64) -> String {
    let lines = digest
        .challenge(Field::Proxy, realm, false, ip(source), now)
        .unwrap();
    let text = String::from_utf8(lines).unwrap();
    let (_, rest) = text.split_once("nonce=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// What a client writes, and the request that it writes it in.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) username: String,
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) uri: String,
    pub(super) algorithm: Algorithm,
    /// What it names; `None` for nothing.
    pub(super) names_algorithm: Option<&'static str>,
    pub(super) qop: Option<&'static str>,
    pub(super) nc: u32,
    /// The method and body that go into its response.
    pub(super) method: &'static str,
    pub(super) body: &'static [u8],
    /// The hash of its A1.
    pub(super) a1: String,
    /// Where the request comes from, and what it is.
    pub(super) source: &'static str,
    pub(super) sent_method: &'static str,
    pub(super) sent_uri: &'static str,
    pub(super) sent_body: &'static [u8],
    pub(super) at: u64,
}

impl Client {
    /// alice, with her password and a nonce for her.
    pub(super) fn new(digest: &Digest) -> Self {
        let source = "192.0.2.1";
        Self {
            username: "alice".into(),
            realm: REALM.into(),
            nonce: nonce(digest, REALM, source, NOW),
            uri: URI.into(),
            algorithm: Algorithm::Md5,
            names_algorithm: Some("MD5"),
            qop: Some("auth"),
            nc: 1,
            method: "INVITE",
            body: b"",
            a1: ha1(Algorithm::Md5, "alice", REALM, b"alice-pw").unwrap(),
            source,
            sent_method: "INVITE",
            sent_uri: URI,
            sent_body: b"",
            at: NOW,
        }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Answers with another algorithm and the right password.
    pub(super) fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self.names_algorithm = Some(algorithm.name());
        self.a1 = ha1(algorithm, &self.username, &self.realm, b"alice-pw").unwrap();
        self
    }

    /// The value of the field.
    pub(super) fn value(&self) -> String {
        let hash = |text: String| hash_of_parts(self.algorithm, &[text.as_bytes()]).unwrap();
        let Self {
            username,
            realm,
            nonce,
            uri,
            a1,
            method,
            nc,
            ..
        } = self;
        let body = hash_of_parts(self.algorithm, &[self.body]).unwrap();
        let a2 = match self.qop {
            Some("auth-int") => hash(format!("{method}:{uri}:{body}")),
            _ => hash(format!("{method}:{uri}")),
        };
        let response = match self.qop {
            Some(qop) => hash(format!("{a1}:{nonce}:{nc:08x}:0a4f113b:{qop}:{a2}")),
            None => hash(format!("{a1}:{nonce}:{a2}")),
        };
        let mut value = format!(
            "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
        );
        if let Some(name) = self.names_algorithm {
            write!(value, ", algorithm={name}").unwrap();
        }
        if let Some(qop) = self.qop {
            write!(value, ", qop={qop}, nc={nc:08x}, cnonce=\"0a4f113b\"").unwrap();
        }
        value
    }

    /// Sends its request, to a server that has this of the user that it names.
    pub(super) fn send(
        &self,
        digest: &Digest,
        stored: Option<&HashText>,
    ) -> Result<DigestUser, DigestFault> {
        let value = self.value();
        let credentials = Credentials::parse(value.as_bytes())?.unwrap();
        let request = DigestRequest {
            method: self.sent_method,
            uri: self.sent_uri.as_bytes(),
            body: self.sent_body,
            is_datagram: false,
        };
        let checked = digest.check(&credentials, &request, ip(self.source), self.at)?;
        digest.verify(checked, &credentials, &request, stored, self.at)
    }
}
