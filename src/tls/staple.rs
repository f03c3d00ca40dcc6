//! OCSP responses about our own certificates, from files that somebody else keeps up to date, for clients that ask
//! (status_request, RFC 6066 §8).

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use openssl::ssl::SslRef;
use openssl::x509::{X509, X509VerifyResult};

use super::crl_files::{Look, Stamp};
use super::fault::{Faults, LoadFault};
use super::identity::Identity;
use super::ocsp::{self, Good};
use super::verify::now;
use super::{peer, store};

/// A response that may be shown.
#[derive(Clone)]
struct Staple {
    response: Vec<u8>,
    file: PathBuf,
    /// Seconds since 1970-01-01 UTC.
    until: i64,
}

/// A file of a response.
struct StapleFile {
    path: PathBuf,
    /// A setting names it.
    is_wanted: bool,
    stamp: Option<Stamp>,
    /// Whether it has been looked at.
    is_read: bool,
}

/// A certificate of ours, and the one that has issued it.
struct Own {
    leaf: X509,
    issuer: X509,
    fingerprint: [u8; 32],
}

/// The responses in force, shared by the contexts of one load.
#[derive(Default)]
pub(super) struct Staples {
    files: Mutex<Vec<StapleFile>>,
    own: Mutex<Vec<Own>>,
    /// By the fingerprint of the certificate that they are about.
    current: ArcSwap<HashMap<[u8; 32], Staple>>,
}

impl Staples {
    /// Makes these files and certificates known, and reads the files. Issuers are looked for beside each certificate, then
    /// among `anchors`.
    pub(super) fn fill<'a>(
        &self,
        named: &[PathBuf],
        by_domain: Vec<PathBuf>,
        identities: impl Iterator<Item = &'a Identity>,
        anchors: &[X509],
        faults: &mut Faults,
    ) {
        let mut own: Vec<Own> = Vec::new();
        for identity in identities {
            let issuer = identity
                .intermediates
                .iter()
                .chain(anchors)
                .find(|ca| ca.issued(&identity.leaf) == X509VerifyResult::OK);
            let fingerprint = peer::fingerprint(&identity.leaf);
            let (Some(issuer), Ok(fingerprint)) = (issuer, fingerprint) else {
                continue;
            };
            if !own.iter().any(|known| known.fingerprint == fingerprint) {
                own.push(Own {
                    leaf: identity.leaf.clone(),
                    issuer: issuer.clone(),
                    fingerprint,
                });
            }
        }
        let named = named.iter().map(|path| (path.clone(), true));
        let by_domain = by_domain.into_iter().map(|path| (path, false));
        let mut files: Vec<StapleFile> = Vec::new();
        for (path, is_wanted) in named.chain(by_domain) {
            if !files.iter().any(|known| known.path == path) {
                files.push(StapleFile {
                    path,
                    is_wanted,
                    stamp: None,
                    is_read: false,
                });
            }
        }
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = own;
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        self.refresh(Look::Inside, faults);
    }

    /// Reads again what has changed; whether another response is in force now. A file that is no good any more leaves the
    /// response before it in force until that ends.
    pub(super) fn refresh(&self, look: Look, faults: &mut Faults) -> bool {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut staples = HashMap::clone(&self.current.load());
        let now = now();
        let mut changed = false;
        for file in files.iter_mut() {
            let stamp = fs::metadata(&file.path).ok().map(|kind| Stamp::of(&kind));
            if file.is_read && file.stamp == stamp && look == Look::AtStamps {
                continue;
            }
            let again = file.is_read && file.stamp == stamp;
            file.stamp = stamp;
            file.is_read = true;
            if file.stamp.is_none() && !file.is_wanted {
                continue;
            }
            match read(&file.path, &own, now) {
                Ok((fingerprint, staple)) => {
                    let before = staples.get(&fingerprint);
                    if before.is_none_or(|before| {
                        before.response != staple.response
                            && (before.file == staple.file || before.until <= staple.until)
                    }) {
                        staples.insert(fingerprint, staple);
                        changed = true;
                    }
                }
                Err(refused) => {
                    // Nobody has to be shown for another week that it is good.
                    let revoked = refused.revoked.and_then(|own| staples.remove(&own));
                    changed |= revoked.is_some();
                    if !again {
                        faults.push(refused.fault.warning());
                    }
                }
            }
        }
        let count = staples.len();
        staples.retain(|_, staple| now < staple.until);
        changed |= staples.len() != count;
        if changed {
            self.current.store(std::sync::Arc::new(staples));
        }
        changed
    }

    /// Puts the response about the certificate that is being shown into the handshake; whether there is one.
    pub(super) fn show(&self, ssl: &mut SslRef) -> bool {
        let staples = self.current.load();
        if staples.is_empty() {
            return false;
        }
        let shown = ssl.certificate().map(peer::fingerprint);
        let Some(Ok(fingerprint)) = shown else {
            return false;
        };
        staples
            .get(&fingerprint)
            .filter(|staple| now() < staple.until)
            .is_some_and(|staple| ssl.set_ocsp_status(&staple.response).is_ok())
    }

    /// Until when each holds, with its file.
    pub(super) fn ends(&self) -> Vec<(PathBuf, i64)> {
        let staples = self.current.load();
        let ends = staples.values().map(|own| (own.file.clone(), own.until));
        ends.collect()
    }
}

/// Why a file is not shown.
struct Refused {
    fault: Box<LoadFault>,
    /// The certificate that it says is revoked.
    revoked: Option<[u8; 32]>,
}

fn read(path: &Path, own: &[Own], now: i64) -> Result<([u8; 32], Staple), Refused> {
    let response = store::read(path).map_err(|fault| Refused {
        fault,
        revoked: None,
    })?;
    let fault = |reason: String| Refused {
        fault: Box::new(LoadFault::file(
            path,
            format!("the OCSP response is not sent: {reason}"),
            "get another one from the CA's responder, as DER",
        )),
        revoked: None,
    };
    let mut first: Option<ocsp::Fault> = None;
    for certificate in own {
        match ocsp::check(&response, &certificate.leaf, &certificate.issuer) {
            Ok(Good { until }) => {
                // Without an end a client could not tell how old it is, nor we when to stop.
                let until = until.ok_or_else(|| fault("it has no nextUpdate".to_owned()))?;
                if until <= now {
                    return Err(fault(ocsp::Fault::OutOfTime.to_string()));
                }
                let staple = Staple {
                    response,
                    file: path.to_owned(),
                    until,
                };
                return Ok((certificate.fingerprint, staple));
            }
            Err(ocsp::Fault::Foreign) => {}
            Err(why @ ocsp::Fault::Revoked { .. }) => {
                return Err(Refused {
                    revoked: Some(certificate.fingerprint),
                    ..fault(why.to_string())
                });
            }
            Err(other) => first = first.or(Some(other)),
        }
    }
    let why = match (first, own.is_empty()) {
        (Some(why), _) => why.to_string(),
        (None, true) => {
            "the issuer of our certificate is neither in its chain file nor a trust anchor"
                .to_owned()
        }
        (None, false) => "it is about no certificate of ours".to_owned(),
    };
    Err(fault(why))
}
