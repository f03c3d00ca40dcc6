//! Digest authentication: RFC 3261 §22, RFC 7616, RFC 8760.
//!
//! A [`Digest`] writes challenges, checks the answer to one before anything is looked up, and verifies it against the hash
//! that a store has. What it must not forget is in a [`DigestMemory`]: which nonce counts are spent and who guesses passwords.
//!
//! Not supported, and refused rather than misread: `userhash` and `username*` (RFC 7616 §3.4; SIP's quoted-string has UTF-8),
//! and the `-sess` algorithms, which are never offered.

mod attempts;
mod challenge;
mod credentials;
mod hash;
#[cfg(test)]
mod known_answers;
mod nonce;
#[cfg(test)]
mod properties;
mod replay;
#[cfg(test)]
mod test_support;
mod verify;
#[cfg(test)]
mod verify_tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use self::attempts::Attempts;
use self::replay::SpentCounts;
use super::seal::{SealFault, Sealer, TokenSecret};

pub use self::credentials::{Credentials, CredentialsFault};
pub(super) use self::hash::short_sha256;
pub use self::hash::{Algorithm, HashDefect, HashFault, HashText, Unavailable, ha1, is_same};
pub use self::verify::{Checked, DigestFault, DigestRequest, DigestUser};

/// What an operator decided about digest authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestOptions {
    /// Whether it is wanted; repro: not `DisableAuth`.
    pub enabled: bool,
    /// repro: `DigestChallengeAlgorithms`, the one that we like best first (RFC 8760 §2.3).
    pub algorithms: Vec<Algorithm>,
    /// repro: `StaticRealm`.
    pub static_realm: Option<String>,
    /// Offers `auth-int` beside `auth`; repro: not `DisableAuthInt`.
    pub auth_int: bool,
    /// Refuses an answer without `qop`, which neither counts its nonce nor names a random text of the client's. Without
    /// this and without `auth_int` no `qop` is offered, as repro does.
    pub require_qop: bool,
    /// Ours: `DigestNonceLifetime`, in seconds.
    pub nonce_lifetime: u32,
    /// Ours: `DigestNonceBindSource`: a nonce is good only for the address that it was given to.
    pub bind_source: bool,
    /// repro's rules: an answer may come again while its nonce lives, its digest-uri may be any, and it may have the form
    /// of RFC 2069. No rule admits an algorithm that was not offered, or a user without a hash for it.
    pub legacy: bool,
    /// repro: `RejectBadNonces`; for whoever answers a request.
    pub reject_bad_nonces: bool,
    /// repro: `AllowInDialogImpersonationWithinRealm`; for whoever compares From.
    pub impersonation_in_dialog: bool,
    /// Ours: `DigestMaximumFailuresPerSource`: wrong passwords a minute from one address, or one /64 of IPv6; 0 for any
    /// number.
    pub max_failures_per_source: u32,
    /// Ours: `DigestMaximumFailuresPerUser`: wrong passwords a minute for one user, a quarter of them from one source; 0 for
    /// any number.
    pub max_failures_per_user: u32,
}

impl Default for DigestOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            algorithms: vec![Algorithm::Md5],
            static_realm: None,
            auth_int: true,
            require_qop: true,
            nonce_lifetime: 3000,
            bind_source: true,
            legacy: false,
            reject_bad_nonces: false,
            impersonation_in_dialog: false,
            max_failures_per_source: 60,
            max_failures_per_user: 60,
        }
    }
}

/// Which pair of header fields: RFC 3261 §22.2 or §22.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// 401, `WWW-Authenticate`, `Authorization`.
    Www,
    /// 407, `Proxy-Authenticate`, `Proxy-Authorization`.
    Proxy,
}

impl Field {
    /// The name of the field that challenges.
    pub fn challenge_name(self) -> &'static str {
        match self {
            Self::Www => "WWW-Authenticate",
            Self::Proxy => "Proxy-Authenticate",
        }
    }
}

/// What is remembered of answers. Shared by all workers and kept across reloads.
///
/// Its tables are bounded. It ends with the process, and with it the nonces of the process: each has a mark of the memory that
/// counts it.
pub struct DigestMemory {
    spent: SpentCounts,
    attempts: Attempts,
    /// For answers of users that do not exist.
    key: TokenSecret,
    mark: [u8; nonce::MARK],
    next_nonce: AtomicU64,
}

impl DigestMemory {
    /// An empty one. Nonces from before `started` are stale.
    ///
    /// # Errors
    /// OpenSSL has no random numbers.
    pub fn new(started: u64) -> Result<Self, SealFault> {
        let key = TokenSecret::random()?;
        let [a, b, c, d, ..] = short_sha256(b"digest memory", key.octets());
        Ok(Self {
            spent: SpentCounts::new(started),
            attempts: Attempts::default(),
            key,
            mark: [a, b, c, d],
            next_nonce: AtomicU64::new(0),
        })
    }
}

impl fmt::Debug for DigestMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestMemory([redacted])")
    }
}

/// Digest authentication in force: part of the snapshot of rules.
#[derive(Debug, Clone)]
pub struct Digest {
    /// What it goes by.
    pub options: DigestOptions,
    offered: Vec<Algorithm>,
    sealer: Arc<Sealer>,
    memory: Arc<DigestMemory>,
}

impl Digest {
    /// Takes the algorithms of the options that OpenSSL has, each once.
    pub fn new(options: DigestOptions, sealer: Arc<Sealer>, memory: Arc<DigestMemory>) -> Self {
        let mut offered = Vec::new();
        for algorithm in &options.algorithms {
            if algorithm.is_available() && !offered.contains(algorithm) {
                offered.push(*algorithm);
            }
        }
        Self {
            options,
            offered,
            sealer,
            memory,
        }
    }

    /// Algorithms of a challenge, in order: those of the options without the ones that OpenSSL lacks.
    pub fn offered(&self) -> &[Algorithm] {
        &self.offered
    }
}
