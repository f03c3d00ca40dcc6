//! What an operator may decide about a server that is asked about identities; the asking itself is `data`'s.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Which claims are asked about. Ours: `IdentityCalloutWhen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CalloutWhen {
    /// Those of a certificate that does not entitle to them, by name, mapping or table.
    #[default]
    Mismatch,
    /// All, before the built-in rules.
    Always,
}

/// What it means that nobody answers as agreed. Ours: `IdentityCalloutFailure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CalloutFailure {
    /// A no.
    #[default]
    Refuse,
    /// Nothing: the built-in rules decide.
    Abstain,
}

/// The secret by which we prove who asks. Never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

impl BearerToken {
    /// Takes the text of a setting; `None` if no header field can carry it.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The text, for whoever has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Whom to ask, and how long to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalloutOptions {
    /// Ours: `IdentityCalloutURL`: `http://…` or `https://…`.
    pub url: String,
    /// Ours: `IdentityCalloutToken`.
    pub token: Option<BearerToken>,
    /// Ours: `IdentityCalloutCAFile`: trust anchors; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// Ours: `IdentityCalloutTimeout`: from the question to the whole answer.
    pub timeout: Duration,
    /// Ours: `IdentityCalloutWhen`.
    pub when: CalloutWhen,
    /// Ours: `IdentityCalloutFailure`.
    pub failure: CalloutFailure,
    /// Ours: `IdentityCalloutThreads`: calls at a time.
    pub threads: NonZeroUsize,
    /// Ours: `IdentityCalloutQueue`: requests that wait at a time.
    pub queue: usize,
    /// Ours: `IdentityCalloutCacheSeconds`: how long a yes is remembered.
    pub remember: Duration,
    /// Ours: `IdentityCalloutNegativeCacheSeconds`: how long anything else is.
    pub remember_negative: Duration,
    /// Ours: `IdentityCalloutCacheSize`: answers that are remembered.
    pub remembered: usize,
}
