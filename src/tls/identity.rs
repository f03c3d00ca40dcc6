//! Our own certificates: a chain, its key, and whether they fit each other and the domain.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use openssl::pkey::{Id, PKey, Private};
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use super::fault::{Faults, LoadFault};
use super::pem::{self, Block, PemBlock};
use super::store::{self, TrustStore};
use super::{CertificateFiles, PassPhrase, peer};
use crate::auth::SubjectAltName;

/// Most intermediates added to a chain file that holds only the server's own certificate.
const MAX_ADDED: usize = 8;

/// Days before the end of validity from which a warning is given.
const WARN_DAYS: i64 = 30;

const DAY: i64 = 86_400;

/// A certificate to show to peers, with its key.
#[derive(Clone)]
pub(super) struct Identity {
    /// Our own first, then intermediates; never empty.
    pub(super) leaf: X509,
    pub(super) intermediates: Vec<X509>,
    pub(super) key: PKey<Private>,
    pub(super) file: PathBuf,
}

/// Loads the pair, telling everything that is wrong with it.
pub(super) fn load(
    files: &CertificateFiles,
    domain: &str,
    pass_phrase: Option<&PassPhrase>,
    trust: &TrustStore,
    now: i64,
    faults: &mut Faults,
) -> Option<Identity> {
    let chain = read_chain(&files.chain, faults);
    let key = read_key(&files.key, pass_phrase, faults);
    let (chain, (key, key_place)) = (chain?, key?);
    let mut certificates = chain.into_iter();
    let (place, leaf) = certificates.next()?;
    let rest: Vec<(PemBlock, X509)> = certificates.collect();

    if !belongs(&leaf, &key) {
        let mend = match rest.iter().find(|(_, other)| belongs(other, &key)) {
            Some((right, _)) => format!("put the certificate of {right} first in that file"),
            None => "name the key that the certificate was asked for with".to_owned(),
        };
        faults.push(
            LoadFault::file(
                &files.key,
                format!(
                    "the key does not match the first certificate in {}",
                    files.chain.to_string_lossy().escape_debug()
                ),
                mend,
            )
            .in_block(&key_place),
        );
        return None;
    }
    check_dates(&files.chain, &place, &leaf, now, faults);
    for (place, certificate) in &rest {
        check_dates(&files.chain, place, certificate, now, faults);
    }
    check_order(&files.chain, &place, &leaf, &rest, faults);
    check_domain(&files.chain, &place, &leaf, domain, faults);

    let mut intermediates: Vec<X509> = rest.into_iter().map(|(_, c)| c).collect();
    if intermediates.is_empty() {
        complete(&files.chain, &leaf, trust, &mut intermediates, faults);
    }
    Some(Identity {
        leaf,
        intermediates,
        key,
        file: files.chain.clone(),
    })
}

/// Every certificate of a file, or `None` after telling why not.
pub(super) fn read_chain(path: &Path, faults: &mut Faults) -> Option<Vec<(PemBlock, X509)>> {
    let text = match store::read(path) {
        Ok(text) => text,
        Err(fault) => {
            faults.push(*fault);
            return None;
        }
    };
    if text.trim_ascii().is_empty() {
        faults.push(LoadFault::file(
            path,
            "is empty",
            "put the certificate chain there, the server's own certificate first",
        ));
        return None;
    }
    let mut chain = Vec::new();
    let mut broken = false;
    for block in pem::blocks(&text) {
        if !block.is_certificate() {
            continue;
        }
        match block.certificate() {
            Ok(certificate) => chain.push((block.place, certificate)),
            Err(reason) => {
                broken = true;
                faults.push(
                    LoadFault::file(path, reason, "get this certificate again, as PEM")
                        .in_block(&block.place),
                );
            }
        }
    }
    if broken {
        return None;
    }
    if chain.is_empty() {
        faults.push(LoadFault::file(
            path,
            "holds no certificate in PEM form",
            "put the certificate chain there, the server's own certificate first",
        ));
        return None;
    }
    Some(chain)
}

fn read_key(
    path: &Path,
    pass_phrase: Option<&PassPhrase>,
    faults: &mut Faults,
) -> Option<(PKey<Private>, PemBlock)> {
    let mut text = match store::read(path) {
        Ok(text) => text,
        Err(fault) => {
            faults.push(*fault);
            return None;
        }
    };
    let found = parse_key(path, &text, pass_phrase);
    // What is left in freed memory shows up in core files.
    text.fill(0);
    std::hint::black_box(&text);
    match found {
        Ok(found) => {
            check_permissions(path, faults);
            Some(found)
        }
        Err(fault) => {
            faults.push(*fault);
            None
        }
    }
}

fn parse_key(
    path: &Path,
    text: &[u8],
    pass_phrase: Option<&PassPhrase>,
) -> Result<(PKey<Private>, PemBlock), Box<LoadFault>> {
    let fault = |reason: &str, mend: &str| Box::new(LoadFault::file(path, reason, mend));
    if text.trim_ascii().is_empty() {
        return Err(fault("is empty", "put the private key there, as PEM"));
    }
    let blocks = pem::blocks(text);
    let Some(block) = blocks.iter().find(|block| block.is_private_key()) else {
        return Err(fault(
            "holds no private key in PEM form",
            "put the private key there, as PEM",
        ));
    };
    if !block.complete {
        let fault = fault(
            "its END line is missing",
            "copy the key file again, it was cut off",
        );
        return Err(Box::new(fault.in_block(&block.place)));
    }
    decode_key(block, pass_phrase)
        .map(|key| (key, block.place.clone()))
        .map_err(|(reason, mend)| Box::new(fault(&reason, mend).in_block(&block.place)))
}

fn decode_key(
    block: &Block<'_>,
    pass_phrase: Option<&PassPhrase>,
) -> Result<PKey<Private>, (String, &'static str)> {
    if block.is_encrypted() && pass_phrase.is_none() {
        return Err((
            "the key is encrypted and there is no pass phrase for it".to_owned(),
            "set TLSPrivateKeyPassPhrase, or the TlsPrivateKeyPassPhrase of the transport",
        ));
    }
    // Always with a callback: without one OpenSSL would ask on the terminal, where nobody is.
    let read = PKey::private_key_from_pem_callback(block.text, |space| {
        let phrase = pass_phrase.map_or(&[][..], PassPhrase::as_bytes);
        let Some(room) = space.get_mut(..phrase.len()) else {
            return Ok(0);
        };
        room.copy_from_slice(phrase);
        Ok(phrase.len())
    });
    read.map_err(|e| {
        let reason = pem::first_reason(&e);
        if block.is_encrypted() {
            (
                format!("the key cannot be decrypted ({reason}): wrong pass phrase, or damaged"),
                "check TLSPrivateKeyPassPhrase, or the TlsPrivateKeyPassPhrase of the transport",
            )
        } else {
            (
                format!("it is not a private key that OpenSSL can read ({reason})"),
                "get the key again, as PEM",
            )
        }
    })
}

fn check_permissions(path: &Path, faults: &mut Faults) {
    let readable_by_all = fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o004 != 0);
    if readable_by_all {
        faults.push(
            LoadFault::file(
                path,
                "every user of this machine may read the private key",
                "chmod o-r it",
            )
            .warning(),
        );
    }
}

fn belongs(certificate: &X509Ref, key: &PKey<Private>) -> bool {
    certificate
        .public_key()
        .is_ok_and(|public| public.public_eq(key))
}

fn check_dates(
    path: &Path,
    place: &PemBlock,
    certificate: &X509Ref,
    now: i64,
    faults: &mut Faults,
) {
    let not_before = peer::unix_time(certificate.not_before()).unwrap_or(i64::MIN);
    let not_after = peer::unix_time(certificate.not_after()).unwrap_or(i64::MIN);
    let fault = if not_after < now {
        let days = now.saturating_sub(not_after) / DAY;
        (
            format!("the certificate expired {days} days ago"),
            "renew it; clients refuse it",
        )
    } else if not_before > now {
        (
            "the certificate is not yet valid".to_owned(),
            "check the clock of this machine",
        )
    } else if not_after.saturating_sub(now) < WARN_DAYS * DAY {
        let days = not_after.saturating_sub(now) / DAY;
        (
            format!("the certificate expires in {days} days"),
            "renew it",
        )
    } else {
        return;
    };
    faults.push(
        LoadFault::file(path, fault.0, fault.1)
            .in_block(place)
            .warning(),
    );
}

fn check_order(
    path: &Path,
    leaf_place: &PemBlock,
    leaf: &X509,
    rest: &[(PemBlock, X509)],
    faults: &mut Faults,
) {
    let mut below = (leaf_place, leaf);
    for (place, certificate) in rest {
        if certificate.issued(below.1) != X509VerifyResult::OK {
            faults.push(
                LoadFault::file(
                    path,
                    format!("it did not issue the certificate of {}", below.0),
                    "put each certificate before the one that issued it, or clients cannot follow",
                )
                .in_block(place)
                .warning(),
            );
        }
        below = (place, certificate);
    }
}

fn check_domain(path: &Path, place: &PemBlock, leaf: &X509Ref, domain: &str, faults: &mut Faults) {
    let Ok(names) = peer::peer_certificate(leaf, [0; 32], None) else {
        return;
    };
    let same = |name: &[u8]| {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let wildcard = name
            .strip_prefix(b"*")
            .is_some_and(|tail| !tail.is_empty() && ends_one_label(domain.as_bytes(), tail));
        name.eq_ignore_ascii_case(domain.as_bytes()) || wildcard
    };
    let named = if names.alt_names.is_empty() {
        names.common_names.iter().any(|cn| same(cn))
    } else {
        names.alt_names.iter().any(|name| match name {
            SubjectAltName::Dns(dns) => same(dns),
            SubjectAltName::Uri(uri) => uri.split(|o| *o == b':').nth(1).is_some_and(same),
            SubjectAltName::Ip(ip) => ip.to_string() == domain,
            SubjectAltName::Email(_) | SubjectAltName::Other(_) => false,
        })
    };
    if !named {
        faults.push(
            LoadFault::file(
                path,
                format!("the certificate does not name {domain:?}"),
                "clients that compare names refuse it; get one with that name as DNS subjectAltName",
            )
            .in_block(place)
            .warning(),
        );
    }
}

fn ends_one_label(domain: &[u8], tail: &[u8]) -> bool {
    domain
        .len()
        .checked_sub(tail.len())
        .and_then(|at| domain.split_at_checked(at))
        .is_some_and(|(label, end)| {
            !label.is_empty() && !label.contains(&b'.') && end.eq_ignore_ascii_case(tail)
        })
}

/// Adds the intermediates that the trust anchors have, once at load, in place of OpenSSL's search at each handshake.
fn complete(
    path: &Path,
    leaf: &X509,
    trust: &TrustStore,
    chain: &mut Vec<X509>,
    faults: &mut Faults,
) {
    let mut below = leaf.clone();
    while chain.len() < MAX_ADDED {
        let next = trust.anchors.iter().find(|anchor| {
            let candidate = &anchor.certificate;
            candidate.issued(&below) == X509VerifyResult::OK
                && candidate.issued(candidate) != X509VerifyResult::OK
        });
        let Some(next) = next else { break };
        chain.push(next.certificate.clone());
        below = next.certificate.clone();
    }
    if !chain.is_empty() {
        faults.note(format!(
            "{}: sent with {} intermediate(s) found among the trust anchors",
            path.to_string_lossy().escape_debug(),
            chain.len()
        ));
    }
}

/// Kind and size of a certificate's key, such as `RSA 2048`.
pub(super) fn key_kind(certificate: &X509Ref) -> String {
    let Ok(key) = certificate.public_key() else {
        return "unknown".to_owned();
    };
    let kind = match key.id() {
        Id::RSA => "RSA",
        Id::RSA_PSS => "RSA-PSS",
        Id::EC => "EC",
        Id::DSA => "DSA",
        Id::ED25519 => return "Ed25519".to_owned(),
        Id::ED448 => return "Ed448".to_owned(),
        _ => "other",
    };
    format!("{kind} {}", key.bits())
}
