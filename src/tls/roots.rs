//! Trust anchors of one listener, or of one domain chosen by SNI, in place of those that all share; and the certificates of
//! a file that a rule about CAs names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{Faults, LoadFault};
use super::revocation::Revocation;
use super::store::TrustStore;
use super::{peer, pem, store};
use crate::auth::ShownCa;

/// Where the anchors are that certificates of clients are held against in one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roots {
    /// What the names of its settings begin with, for messages: `Transport3`, `TLSSniDomain1`.
    pub setting: String,
    /// Ours: `…CADirectory`.
    pub ca_directories: Vec<PathBuf>,
    /// Ours: `…CAFile`.
    pub ca_files: Vec<PathBuf>,
}

impl Roots {
    /// Whether none are named, so that the shared ones count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ca_directories.is_empty() && self.ca_files.is_empty()
    }

    fn has_the_files_of(&self, other: &Self) -> bool {
        self.ca_directories == other.ca_directories && self.ca_files == other.ca_files
    }
}

/// The sets of anchors that are not the shared one, each read once in a load.
#[derive(Default)]
pub(super) struct OwnRoots(Vec<(Roots, Arc<TrustStore>)>);

impl OwnRoots {
    /// The anchors of these files, with the CRLs that all share; `None` when none are named.
    pub(super) fn load(
        &mut self,
        roots: &Roots,
        revocation: &Option<Arc<Revocation>>,
        now: i64,
        faults: &mut Faults,
    ) -> Option<Arc<TrustStore>> {
        if roots.is_empty() {
            return None;
        }
        let known = self.0.iter().find(|(own, _)| own.has_the_files_of(roots));
        if let Some((_, trust)) = known {
            return Some(Arc::clone(trust));
        }
        let mut trust = TrustStore::of(
            &format!("{}CADirectory", roots.setting),
            &format!("{}CAFile", roots.setting),
            &roots.ca_directories,
            &roots.ca_files,
            now,
            faults,
        );
        trust.revocation.clone_from(revocation);
        let trust = Arc::new(trust);
        self.0.push((roots.clone(), Arc::clone(&trust)));
        Some(trust)
    }

    /// Every set.
    pub(super) fn all(&self) -> impl Iterator<Item = &TrustStore> {
        self.0.iter().map(|(_, trust)| &**trust)
    }
}

/// The certificates in a PEM file that a rule about CAs names.
///
/// # Errors
/// A file that cannot be read, or a certificate in it that is none.
pub fn cas_of_file(path: &Path) -> Result<Vec<ShownCa>, Box<LoadFault>> {
    let text = store::read(path)?;
    let mut found = Vec::new();
    for block in pem::blocks(&text) {
        if !block.is_certificate() {
            continue;
        }
        let wrong = |reason: String| {
            let mend = "get this CA certificate again, as PEM";
            Box::new(LoadFault::file(path, reason, mend).in_block(&block.place))
        };
        let certificate = block.certificate().map_err(wrong)?;
        let fingerprint = peer::fingerprint(&certificate);
        let (subject, issuer) = (certificate.subject_name(), certificate.issuer_name());
        found.push(ShownCa {
            fingerprint: fingerprint.map_err(|_| wrong("cannot be encoded".to_owned()))?,
            is_root: subject.try_cmp(issuer).is_ok_and(std::cmp::Ordering::is_eq),
        });
    }
    Ok(found)
}
