//! What an OCSP response says of one certificate (RFC 6960 §3.2, §4.2): ours before we show it, a server's before we talk.

use std::fmt;

use jiff::Timestamp;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ocsp::{OcspCertId, OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Ref};

use super::{ffi, peer, pem};

/// By how many seconds the clock of a responder may be wrong.
const CLOCK_SKEW: u32 = 300;

/// For how long after its thisUpdate a response without nextUpdate counts, in seconds. Newer status "is available all the
/// time" (RFC 6960 §4.2.2.1), so that such a response is made for the moment: without a bound one from before a revocation
/// would be good for ever.
const WITHOUT_NEXT_UPDATE: u32 = 86_400;

/// Longest response looked at. Usual ones have 500 to 3000 octets.
pub(super) const MAX_OCTETS: usize = 64 * 1024;

/// A response by which a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Good {
    /// Until when it says so, seconds since 1970-01-01 UTC; `None` if a newer one may come at any time.
    pub(super) until: Option<i64>,
}

/// Why a response does not say that a certificate is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no OCSP response that OpenSSL can read.
    Unreadable,
    /// The responder could not answer (RFC 6960 §4.2.1, such as tryLater).
    NoAnswer,
    /// It is about another certificate.
    Foreign,
    /// Neither the CA nor anybody whom the CA has named has signed it; OpenSSL's words.
    Unsigned(&'static str),
    /// Its time is over, or has not come.
    OutOfTime,
    /// The certificate is revoked.
    Revoked {
        /// Seconds since 1970-01-01 UTC.
        since: Option<i64>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("it is no OCSP response"),
            Self::NoAnswer => f.write_str("the responder had no answer"),
            Self::Foreign => f.write_str("it is about another certificate"),
            Self::Unsigned(why) => write!(f, "it is not signed by the CA or for it ({why})"),
            Self::OutOfTime => f.write_str("its time is over, or has not come"),
            Self::Revoked { since } => {
                f.write_str("certificate revoked")?;
                match since.and_then(|since| Timestamp::from_second(since).ok()) {
                    Some(since) => write!(f, " since {since}"),
                    None => Ok(()),
                }
            }
            Self::Unknown => f.write_str("the responder does not know the certificate"),
        }
    }
}

/// Looks for the status of `certificate` in a response, which `issuer` or a responder that it has certified has to have
/// signed. Fails closed: whatever cannot be read is a fault.
pub(super) fn check(
    response: &[u8],
    certificate: &X509Ref,
    issuer: &X509Ref,
) -> Result<Good, Fault> {
    let found = look(response, certificate, issuer);
    // As after verifying a chain: what is left in the error queue would be taken for a fault of the connection.
    drop(ErrorStack::get());
    found
}

fn look(response: &[u8], certificate: &X509Ref, issuer: &X509Ref) -> Result<Good, Fault> {
    if response.len() > MAX_OCTETS {
        return Err(Fault::Unreadable);
    }
    let response = OcspResponse::from_der(response).map_err(|_| Fault::Unreadable)?;
    if response.status() != OcspResponseStatus::SUCCESSFUL {
        return Err(Fault::NoAnswer);
    }
    let basic = response.basic().map_err(|_| Fault::Unreadable)?;
    // The responder chooses the digest by which it names certificates.
    let ids = [MessageDigest::sha1(), MessageDigest::sha256()]
        .into_iter()
        .filter_map(|digest| OcspCertId::from_cert(digest, certificate, issuer).ok());
    let ids: Vec<OcspCertId> = ids.collect();
    let status = ids
        .iter()
        .find_map(|id| basic.find_status(id))
        .ok_or(Fault::Foreign)?;
    let signed = || -> Result<(), ErrorStack> {
        let issuer = issuer.to_owned();
        let mut signers: Stack<X509> = Stack::new()?;
        signers.push(issuer.clone())?;
        let mut trusted = X509StoreBuilder::new()?;
        trusted.add_cert(issuer)?;
        // This CA has issued the certificate, root or not.
        trusted.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        basic.verify(&signers, &trusted.build(), OcspFlag::empty())
    };
    signed().map_err(|e| Fault::Unsigned(pem::first_reason(&e)))?;
    let next_update = status.next_update();
    let oldest = next_update.is_none().then_some(WITHOUT_NEXT_UPDATE);
    if status.check_validity(CLOCK_SKEW, oldest).is_err() {
        return Err(Fault::OutOfTime);
    }
    let until = match next_update {
        None => None,
        Some(time) => {
            let until = peer::unix_time(ffi::as_time(time)).ok_or(Fault::Unreadable)?;
            Some(until)
        }
    };
    match status.status {
        OcspCertStatus::GOOD => Ok(Good { until }),
        OcspCertStatus::REVOKED => Err(Fault::Revoked {
            since: status
                .revocation_time
                .and_then(|time| peer::unix_time(ffi::as_time(time))),
        }),
        _ => Err(Fault::Unknown),
    }
}

/// Whether a certificate says that its holder always sends a staple: status_request in the TLS feature extension
/// (RFC 7633 §4).
pub(super) fn must_staple(certificate: &X509Ref) -> bool {
    /// `id-pe-tlsfeature`, as obj_mac.h numbers it.
    const TLS_FEATURE: i32 = 1020;
    /// The number of status_request as an INTEGER.
    const STATUS_REQUEST: [u8; 3] = [2, 1, 5];
    let feature = openssl::nid::Nid::from_raw(TLS_FEATURE);
    ffi::extension_octets(certificate, feature)
        .is_some_and(|octets| memchr::memmem::find(octets, &STATUS_REQUEST).is_some())
}
