//! Certificates verified before: a bounded table, old entries out first.

use std::collections::HashMap;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::x509::{X509, X509Ref};

use super::issuers::Paths;
use super::peer;
use crate::auth::Issuers;

/// Most intermediates kept for the identities of resumed sessions.
const MAX_INTERMEDIATES: usize = 64;

/// The trust anchor that a chain ends in.
#[derive(Debug)]
pub(super) struct Anchor {
    /// One line (RFC 2253).
    pub(super) subject: String,
    /// SHA-256 of its DER encoding.
    pub(super) fingerprint: [u8; 32],
    /// It and the intermediates below it.
    pub(super) issuers: Issuers,
}

/// A certificate that was verified, and when that holds. Its names are not here but read again from the certificate at
/// hand: kept in small pieces between those of connections, they would hold on to whole pages when the connections are
/// gone.
pub(super) struct Verified {
    /// SHA-256 of the certificate.
    pub(super) fingerprint: [u8; 32],
    /// Digest of whatever else the peer sent, on which the chain may rest.
    pub(super) sent: [u8; 32],
    /// Latest start of validity in the chain, seconds since 1970-01-01 UTC.
    pub(super) not_before: i64,
    /// Earliest end of validity in the chain, and of the CRLs that it rests on, seconds since 1970-01-01 UTC.
    pub(super) not_after: i64,
    /// The same of the chain alone.
    pub(super) chain_until: i64,
    /// Which CRLs it was held against; 0 for none.
    pub(super) crls: u64,
    /// What the chain ends in.
    pub(super) anchor: Arc<Anchor>,
}

/// Two tables: when the young one is full it becomes the old one, and the old one goes. What is used moves back to the
/// young one, so that at least the last `capacity / 2` certificates seen are there.
pub(super) struct VerifiedChains {
    capacity: usize,
    young: HashMap<[u8; 32], Verified>,
    old: HashMap<[u8; 32], Verified>,
    intermediates: Vec<([u8; 32], X509)>,
    /// Those that chains have ended in, with the ways there.
    paths: Paths,
    #[cfg(test)]
    pub(super) found: usize,
}

impl VerifiedChains {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            young: HashMap::new(),
            old: HashMap::new(),
            intermediates: Vec::new(),
            paths: Paths::default(),
            #[cfg(test)]
            found: 0,
        }
    }

    /// The anchor of the chain behind a fingerprint if it holds at `now` and was held against these CRLs; with `sent`, only if
    /// it rests on exactly that.
    pub(super) fn find(
        &mut self,
        fingerprint: &[u8; 32],
        sent: Option<&[u8; 32]>,
        crls: u64,
        now: i64,
    ) -> Option<Arc<Anchor>> {
        self.find_until(fingerprint, sent, crls, now)
            .map(|(anchor, _)| anchor)
    }

    /// The same, with the last second in which the whole chain is valid.
    pub(super) fn find_until(
        &mut self,
        fingerprint: &[u8; 32],
        sent: Option<&[u8; 32]>,
        crls: u64,
        now: i64,
    ) -> Option<(Arc<Anchor>, i64)> {
        let from_old = !self.young.contains_key(fingerprint);
        let entry = if from_old {
            self.old.get(fingerprint)?
        } else {
            self.young.get(fingerprint)?
        };
        let holds = entry.not_before <= now
            && now <= entry.not_after
            && entry.crls == crls
            && sent.is_none_or(|sent| *sent == entry.sent);
        if !holds {
            return None;
        }
        let found = (Arc::clone(&entry.anchor), entry.chain_until);
        if from_old && let Some(entry) = self.old.remove(fingerprint) {
            self.remember(entry);
        }
        #[cfg(test)]
        {
            self.found += 1;
        }
        Some(found)
    }

    /// The anchor of a chain of these CAs, one value for all such chains.
    pub(super) fn anchor(
        &mut self,
        certificate: &X509Ref,
        cas: &[&X509Ref],
    ) -> Result<Arc<Anchor>, ErrorStack> {
        self.paths.anchor(certificate, cas)
    }

    pub(super) fn remember(&mut self, entry: Verified) {
        if self.capacity == 0 {
            return;
        }
        if self.young.len() >= self.capacity.div_ceil(2)
            && !self.young.contains_key(&entry.fingerprint)
        {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&entry.fingerprint);
        self.young.insert(entry.fingerprint, entry);
    }

    /// Keeps intermediates of verified chains, each once.
    pub(super) fn keep_intermediates(&mut self, certificates: Vec<X509>) {
        for certificate in certificates {
            let Ok(fingerprint) = peer::fingerprint(&certificate) else {
                continue;
            };
            let known = self
                .intermediates
                .iter()
                .any(|(kept, _)| *kept == fingerprint);
            if !known && self.intermediates.len() < MAX_INTERMEDIATES {
                self.intermediates.push((fingerprint, certificate));
            }
        }
    }

    pub(super) fn intermediates(&self) -> Vec<X509> {
        self.intermediates.iter().map(|(_, c)| c.clone()).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn entry(number: u8) -> Verified {
        Verified {
            fingerprint: [number; 32],
            sent: [0; 32],
            not_before: 100,
            not_after: 200,
            chain_until: 200,
            crls: 7,
            anchor: Arc::new(Anchor {
                subject: number.to_string(),
                fingerprint: [number; 32],
                issuers: Issuers::default(),
            }),
        }
    }

    #[test]
    fn an_entry_holds_within_its_dates_and_for_what_was_sent() {
        let mut chains = VerifiedChains::new(8);
        chains.remember(entry(1));
        for (situation, sent, crls, now, found) in [
            ("as remembered", Some([0; 32]), 7, 150, true),
            ("first second", Some([0; 32]), 7, 100, true),
            ("before it", Some([0; 32]), 7, 99, false),
            ("last second", Some([0; 32]), 7, 200, true),
            ("after it", Some([0; 32]), 7, 201, false),
            ("other intermediates", Some([1; 32]), 7, 150, false),
            ("other CRLs", Some([0; 32]), 8, 150, false),
            ("resumed, nothing sent", None, 7, 150, true),
            ("resumed under other CRLs", None, 8, 150, false),
        ] {
            let hit = chains.find(&[1; 32], sent.as_ref(), crls, now);
            assert_eq!(hit.is_some(), found, "{situation}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_used() {
        let mut chains = VerifiedChains::new(4);
        for number in 0..100 {
            chains.remember(entry(number));
            assert!(
                chains.find(&[0; 32], None, 7, 150).is_some(),
                "after {number}"
            );
            assert!(chains.len() <= 4);
        }
        assert!(chains.find(&[50; 32], None, 7, 150).is_none());
    }

    #[test]
    fn a_table_of_no_size_remembers_nothing() {
        let mut chains = VerifiedChains::new(0);
        chains.remember(entry(1));
        assert!(chains.find(&[1; 32], None, 7, 150).is_none());
    }
}
