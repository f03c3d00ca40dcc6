//! The CAs of verified chains as plain values, shared by all certificates of a chain.

use std::collections::HashMap;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::x509::X509Ref;

use super::peer;
use super::verified::Anchor;
use crate::auth::{Issuer, Issuers};

/// Most different chains that are shared. Whoever has a CA below one of ours can make intermediates without end; the
/// certificates of further chains have a list of their own.
const MAX_PATHS: usize = 1_024;

/// The ways to trust anchors that chains have taken.
#[derive(Default)]
pub(super) struct Paths(HashMap<[u8; 32], Arc<Anchor>>);

impl Paths {
    /// The value for a chain that ends in `anchor` by way of `cas`, which are all of its CAs, the issuing one first.
    pub(super) fn anchor(
        &mut self,
        anchor: &X509Ref,
        cas: &[&X509Ref],
    ) -> Result<Arc<Anchor>, ErrorStack> {
        let mut way = Sha256::new();
        let mut fingerprints = Vec::with_capacity(cas.len());
        for certificate in cas {
            let fingerprint = peer::fingerprint(certificate)?;
            way.update(&fingerprint);
            fingerprints.push(fingerprint);
        }
        let way = way.finish();
        if let Some(known) = self.0.get(&way) {
            return Ok(Arc::clone(known));
        }
        let issuers = cas.iter().zip(fingerprints);
        let issuers = issuers.map(|(certificate, fingerprint)| issuer(certificate, fingerprint));
        let found = Arc::new(Anchor {
            subject: peer::name_line(anchor.subject_name()),
            fingerprint: peer::fingerprint(anchor)?,
            issuers: Issuers::new(issuers.collect()),
        });
        if self.0.len() < MAX_PATHS {
            self.0.insert(way, Arc::clone(&found));
        }
        Ok(found)
    }
}

/// A CA as the rules know it.
pub(super) fn issuer(certificate: &X509Ref, fingerprint: [u8; 32]) -> Issuer {
    let key_id = certificate.subject_key_id();
    Issuer {
        subject: peer::name_line(certificate.subject_name()).into(),
        key_id: key_id.map_or_else(Box::default, |id| id.as_slice().into()),
        fingerprint,
    }
}
