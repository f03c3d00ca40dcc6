//! The table of TLS peer identities: what a certificate may use that entitles to nothing by itself.
//!
//! Fails closed: a store that does not answer is a no, and the log says that it did not answer.

use std::sync::Arc;
use std::time::Instant;

use crate::auth::{Answer, Check, Claim, Opinion, Question};
use crate::store::Store;

use super::memory::Memory;

/// More names than this are not asked about: a certificate with thousands of them is no phone's.
const MOST_NAMES: usize = 64;

/// Which names, and which identity of them: `user@host`, and `host` behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    names: Vec<String>,
    identities: Vec<String>,
}

/// The table, and what is remembered of it.
pub(super) struct Identities {
    store: Arc<dyn Store>,
    memory: Arc<Memory<Asked>>,
}

impl Identities {
    pub(super) fn new(store: Arc<dyn Store>, memory: Arc<Memory<Asked>>) -> Self {
        Self { store, memory }
    }
}

impl Check for Identities {
    fn name(&self) -> &'static str {
        "tlsPeerIdentity"
    }

    fn check(&self, claim: &Claim<'_>) -> Opinion {
        let (Some(uri), Some(peer)) = (claim.uri.sip(), claim.peer.identities) else {
            return Opinion::Abstain;
        };
        let host = uri.host.canonical().to_string();
        let mut identities = Vec::with_capacity(2);
        if uri.user.is_some() {
            identities.push(uri.address_of_record());
        }
        identities.push(host);
        let mut names: Vec<String> = peer
            .keys_for(uri)
            .flat_map(spellings)
            .take(MOST_NAMES)
            .collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Opinion::Abstain;
        }
        let asked = Asked { names, identities };
        match self.memory.recall(&asked, Instant::now()) {
            Some(true) => Opinion::Allow,
            Some(false) => Opinion::Abstain,
            None => Opinion::Pending(Box::new(Lookup {
                store: Arc::clone(&self.store),
                memory: Arc::clone(&self.memory),
                asked,
            })),
        }
    }
}

/// A name as the table may have it: as the certificate does, and a MAC address in either letter case.
fn spellings(name: &str) -> Vec<String> {
    let bare: String = name.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let mut spellings = vec![name.to_owned()];
    if bare.len() == 12 && bare.bytes().all(|b| b.is_ascii_hexdigit()) {
        spellings.extend([bare.to_ascii_uppercase(), bare.to_ascii_lowercase()]);
    }
    spellings
}

struct Lookup {
    store: Arc<dyn Store>,
    memory: Arc<Memory<Asked>>,
    asked: Asked,
}

impl Question for Lookup {
    fn answer(self: Box<Self>) -> Answer {
        let Asked { names, identities } = &self.asked;
        match self.store.authorizes(names, identities) {
            Ok(allowed) => {
                self.memory.remember(self.asked, allowed, Instant::now());
                if allowed {
                    Answer::Allow
                } else {
                    Answer::Abstain
                }
            }
            Err(error) => Answer::Deny(format!("the table cannot be asked: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_asked_for_in_every_usual_spelling_and_nothing_else_is() {
        for (name, wanted) in [
            (
                "00:04:f2:99:99:99",
                &["00:04:f2:99:99:99", "0004F2999999", "0004f2999999"][..],
            ),
            ("desk-phone-17", &["desk-phone-17"]),
            ("example.org", &["example.org"]),
        ] {
            assert_eq!(spellings(name), wanted);
        }
    }
}
