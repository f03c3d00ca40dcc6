//! Challenges: RFC 7616 §3.3, RFC 8760 §2.3.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::credentials::MAX_TEXT;
use super::{Digest, Field};
use crate::sip::is_header_text;

impl Digest {
    /// Header lines of a challenge, one for each algorithm in the order of preference, each ended by CRLF. All have the same
    /// nonce, as a client answers one of them.
    ///
    /// `None` when nobody could answer it: OpenSSL has none of the algorithms or fails, or the realm has control characters
    /// or is longer than an answer may repeat.
    pub fn challenge(
        &self,
        field: Field,
        realm: &str,
        stale: bool,
        source: IpAddr,
        now: u64,
    ) -> Option<Vec<u8>> {
        if self.offered.is_empty() || realm.len() > MAX_TEXT || !is_header_text(realm.as_bytes()) {
            return None;
        }
        let nonce = self.new_nonce(realm, source, now)?;
        let realm = quoted(realm);
        let qop = if self.options.auth_int {
            ", qop=\"auth,auth-int\""
        } else if self.options.require_qop {
            ", qop=\"auth\""
        } else {
            ""
        };
        let stale = if stale { ", stale=true" } else { "" };
        let mut lines = String::with_capacity(self.offered.len() * 256);
        for algorithm in &self.offered {
            let name = field.challenge_name();
            // Writing to a String cannot fail.
            let _ = write!(
                lines,
                "{name}: Digest realm={realm}, nonce=\"{nonce}\", algorithm={algorithm}{qop}{stale}\r\n"
            );
        }
        Some(lines.into_bytes())
    }
}

/// A quoted-string (RFC 3261 §25.1).
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
    out
}
