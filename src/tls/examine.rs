//! A certificate in a file held against the anchors as if a client had shown it, for `sipvouch explain --cert`.

use std::path::Path;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::x509::X509;
use openssl::x509::X509PurposeId;
use openssl::x509::verify::X509VerifyParam;

use super::crl::{self, Crl};
use super::fault::{Faults, LoadFault};
use super::handshake::HandshakeRefusal;
use super::server::Load;
use super::verify::{Judged, Verifier};
use super::{EkuPolicy, Roots, TlsOptions, ffi, identity, ocsp, peer};
use crate::auth::PeerCertificate;

/// Security level that a handshake has unless `OpenSSLCipherList` says otherwise.
const SECURITY_LEVEL: i32 = 2;

/// The level that a cipher list sets, as `@SECLEVEL=0`.
fn own_level(ciphers: &str) -> Option<i32> {
    let (_, level) = ciphers.rsplit_once("@SECLEVEL=")?;
    level.get(..1)?.parse().ok()
}

/// What octets are as a file of CRLs, and as an OCSP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevocationOctets {
    /// CRLs in them; `None` if something in them is wrong.
    pub lists: Option<usize>,
    /// Whether any of these lists has the certificate.
    pub lists_it: bool,
    /// Whether they are an OCSP response by which the certificate is good now.
    pub vouches: bool,
}

/// Reads octets as the files of `CRLFile` and `TLSOcspStaple` are read, about a certificate and its issuer, both DER: a way
/// to these readers for whoever tries them with octets of all kinds. `None` if one of the two is no certificate.
#[must_use]
pub fn revocation_of_octets(
    octets: &[u8],
    certificate: &[u8],
    issuer: &[u8],
) -> Option<RevocationOctets> {
    let certificate = X509::from_der(certificate).ok()?;
    let issuer = X509::from_der(issuer).ok()?;
    let lists = crl::parse(octets).ok();
    let has_it = |list: &Crl| list.revoked(&certificate).is_some();
    let found = RevocationOctets {
        lists: lists.as_ref().map(Vec::len),
        lists_it: lists.iter().flatten().any(has_it),
        vouches: ocsp::check(octets, &certificate, &issuer).is_ok(),
    };
    drop(ErrorStack::get());
    Some(found)
}

/// What a client with this file would be to us.
#[derive(Debug, Clone)]
pub struct ExaminedCertificate {
    /// Its names. Only with an `Ok` in `verdict` was anything of it verified.
    pub certificate: Arc<PeerCertificate>,
    /// What the handshake would say; `None` when no anchors were given to hold it against.
    pub verdict: Option<Result<(), Box<HandshakeRefusal>>>,
    /// Faults met while loading the anchors.
    pub warnings: Vec<LoadFault>,
}

/// Reads a PEM file (the client's certificate first, then intermediates, keys passed over) and, given the trust
/// settings, verifies it as a client's; by the roots of a listener, if it has its own.
///
/// # Errors
/// The faults of the file, or of the anchors.
pub fn read_certificate_file(
    path: &Path,
    trust: Option<(&TlsOptions, EkuPolicy, &Roots)>,
) -> Result<ExaminedCertificate, Vec<LoadFault>> {
    let mut faults = Faults::default();
    let chain = identity::read_chain(path, &mut faults);
    let mut certificates = chain.unwrap_or_default().into_iter();
    let Some((place, leaf)) = certificates.next() else {
        return Err(faults.found);
    };
    let unusable =
        |reason: String| vec![LoadFault::file(path, reason, "issue it anew").in_block(&place)];
    let fingerprint = peer::fingerprint(&leaf).map_err(|e| unusable(e.to_string()))?;
    let certificate = peer::peer_certificate(&leaf, fingerprint, None)
        .map(Arc::new)
        .map_err(|e| unusable(e.to_string()))?;
    let Some((options, policy, roots)) = trust else {
        return Ok(ExaminedCertificate {
            certificate,
            verdict: None,
            warnings: Vec::new(),
        });
    };
    let mut load = Load::start(options);
    load.take_roots(roots);
    if load.faults.any_error() {
        return Err(load.faults.found);
    }
    let intermediates: Vec<X509> = certificates.map(|(_, c)| c).collect();
    let verdict = verify(&load, options, policy, &leaf, &intermediates)
        .map_err(|e| unusable(e.to_string()))?;
    let (certificate, verdict) = match verdict {
        Ok(verified) => (verified, Ok(())),
        Err(refusal) => (certificate, Err(refusal)),
    };
    Ok(ExaminedCertificate {
        certificate,
        verdict: Some(verdict),
        warnings: load.faults.found,
    })
}

fn verify(
    load: &Load<'_>,
    options: &TlsOptions,
    policy: EkuPolicy,
    leaf: &X509,
    intermediates: &[X509],
) -> Result<Result<Arc<PeerCertificate>, Box<HandshakeRefusal>>, ErrorStack> {
    let mut param = X509VerifyParam::new()?;
    param.set_purpose(match policy {
        EkuPolicy::ClientAuth => X509PurposeId::SSL_CLIENT,
        _ => X509PurposeId::ANY,
    })?;
    param.set_depth(i32::try_from(options.verify_depth).unwrap_or(i32::MAX));
    param.set_auth_level(own_level(&options.cipher_list).unwrap_or(SECURITY_LEVEL));
    ffi::trust_for_clients(&mut param);
    let store = load.trust.build(&param)?;
    Verifier::new(Judged::Clients(policy), store, 0, 0)
        .with_revocation(load.trust.revocation.clone())
        .check(leaf, intermediates)
}
