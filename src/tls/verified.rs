//! Certificates verified before: a bounded table, old entries out first.

use std::collections::HashMap;
use std::sync::Arc;

use openssl::x509::X509;

use super::peer;
use crate::auth::PeerCertificate;

/// Most intermediates kept for the identities of resumed sessions.
const MAX_INTERMEDIATES: usize = 64;

/// A certificate that was verified, and when that holds.
#[derive(Clone)]
pub(super) struct Verified {
    /// SHA-256 of the certificate.
    pub(super) fingerprint: [u8; 32],
    /// Digest of whatever else the peer sent, on which the chain may rest.
    pub(super) sent: [u8; 32],
    /// Latest start of validity in the chain, seconds since 1970-01-01 UTC.
    pub(super) not_before: i64,
    /// Earliest end of validity in the chain, seconds since 1970-01-01 UTC.
    pub(super) not_after: i64,
    pub(super) certificate: Arc<PeerCertificate>,
}

/// Two tables: when the young one is full it becomes the old one, and the old one goes. What is used moves back to the
/// young one, so that at least the last `capacity / 2` certificates seen are there.
pub(super) struct VerifiedChains {
    capacity: usize,
    young: HashMap<[u8; 32], Verified>,
    old: HashMap<[u8; 32], Verified>,
    intermediates: Vec<([u8; 32], X509)>,
}

impl VerifiedChains {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            young: HashMap::new(),
            old: HashMap::new(),
            intermediates: Vec::new(),
        }
    }

    /// The identity behind a fingerprint if it holds at `now`; with `sent`, only if it rests on exactly that.
    pub(super) fn find(
        &mut self,
        fingerprint: &[u8; 32],
        sent: Option<&[u8; 32]>,
        now: i64,
    ) -> Option<Arc<PeerCertificate>> {
        let from_old = !self.young.contains_key(fingerprint);
        let entry = if from_old {
            self.old.get(fingerprint)?
        } else {
            self.young.get(fingerprint)?
        };
        let holds = entry.not_before <= now
            && now <= entry.not_after
            && sent.is_none_or(|sent| *sent == entry.sent);
        if !holds {
            return None;
        }
        let certificate = Arc::clone(&entry.certificate);
        if from_old && let Some(entry) = self.old.remove(fingerprint) {
            self.remember(entry);
        }
        Some(certificate)
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
            certificate: Arc::new(PeerCertificate {
                subject: number.to_string(),
                issuer: String::new(),
                serial: String::new(),
                fingerprint: [number; 32],
                not_before: 100,
                not_after: 200,
                common_names: Vec::new(),
                alt_names: Vec::new(),
                extended_key_usage: None,
                anchor_subject: String::new(),
                anchor_fingerprint: [0; 32],
            }),
        }
    }

    #[test]
    fn an_entry_holds_within_its_dates_and_for_what_was_sent() {
        let mut chains = VerifiedChains::new(8);
        chains.remember(entry(1));
        for (situation, sent, now, found) in [
            ("as remembered", Some([0; 32]), 150, true),
            ("first second", Some([0; 32]), 100, true),
            ("before it", Some([0; 32]), 99, false),
            ("last second", Some([0; 32]), 200, true),
            ("after it", Some([0; 32]), 201, false),
            ("other intermediates", Some([1; 32]), 150, false),
            ("resumed, nothing sent", None, 150, true),
        ] {
            let hit = chains.find(&[1; 32], sent.as_ref(), now);
            assert_eq!(hit.is_some(), found, "{situation}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_used() {
        let mut chains = VerifiedChains::new(4);
        for number in 0..100 {
            chains.remember(entry(number));
            assert!(chains.find(&[0; 32], None, 150).is_some(), "after {number}");
            assert!(chains.len() <= 4);
        }
        assert!(chains.find(&[50; 32], None, 150).is_none());
    }

    #[test]
    fn a_table_of_no_size_remembers_nothing() {
        let mut chains = VerifiedChains::new(0);
        chains.remember(entry(1));
        assert!(chains.find(&[1; 32], None, 150).is_none());
    }
}
