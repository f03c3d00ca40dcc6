//! The OCSP response that a server sends about its certificate, looked at before we say who we are (RFC 6066 §8).

use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use openssl::x509::{X509, X509Ref, X509VerifyResult};
use openssl_sys as sys;

use super::connected::Toward;
use super::handshake::{self, HandshakeRefusal, Side};
use super::{ocsp, peer};

/// `X509_V_ERR_OCSP_VERIFY_NEEDED` of x509_vfy.h.
const STATUS_NEEDED: i32 = 73;
/// `X509_V_ERR_OCSP_VERIFY_FAILED` of x509_vfy.h.
const STATUS_NOT_GOOD: i32 = 74;

/// Whether the handshake may go on; called when the server's part of it is over. What is wrong is kept with the connection.
pub(super) fn judge(ssl: &SslRef, anchors: &[X509]) -> bool {
    let Some(slot) = handshake::slot(ssl) else {
        return false;
    };
    let Side::Client(toward) = &slot.side else {
        return false;
    };
    if !toward.verifies() {
        return true;
    }
    match look(ssl, toward, anchors) {
        Ok(()) => true,
        Err(refusal) => {
            slot.refuse(refusal);
            false
        }
    }
}

fn look(ssl: &SslRef, toward: &Toward, anchors: &[X509]) -> Result<(), Box<HandshakeRefusal>> {
    let Some(leaf) = ssl.peer_certificate() else {
        return Err(HandshakeRefusal::internal(
            "the server showed no certificate",
        ));
    };
    let refused = |code: i32, reason: String| {
        let mut refusal = HandshakeRefusal::internal(&reason);
        refusal.subject = Some(peer::name_line(leaf.subject_name()));
        refusal.serial = Some(peer::serial(&leaf));
        refusal.depth = Some(0);
        refusal.issuer = Some(peer::name_line(leaf.issuer_name()));
        refusal.code = Some(code);
        refusal
    };
    let needed = || match toward.requires_staple() || ocsp::must_staple(&leaf) {
        true => Err(refused(
            STATUS_NEEDED,
            "it sent no OCSP response, and has to".to_owned(),
        )),
        false => Ok(()),
    };
    let Some(response) = ssl.ocsp_status().filter(|octets| !octets.is_empty()) else {
        return needed();
    };
    let Some(issuer) = issuer(ssl, &leaf, anchors) else {
        return Err(refused(
            STATUS_NOT_GOOD,
            "it sent an OCSP response, and the issuer of its certificate is not at hand".to_owned(),
        ));
    };
    match ocsp::check(response, &leaf, &issuer) {
        Ok(_) => Ok(()),
        Err(ocsp::Fault::NoAnswer) => needed(),
        Err(fault @ ocsp::Fault::Revoked { .. }) => Err(refused(
            sys::X509_V_ERR_CERT_REVOKED,
            format!("{fault}, says its OCSP response"),
        )),
        Err(fault) => Err(refused(
            STATUS_NOT_GOOD,
            format!("its OCSP response does not count: {fault}"),
        )),
    }
}

/// The CA whose key has signed a certificate that has been verified: that the name fits is not enough.
fn issuer(ssl: &SslRef, leaf: &X509Ref, anchors: &[X509]) -> Option<X509> {
    let sent = ssl.peer_cert_chain().into_iter().flatten();
    let has_signed = |ca: &&X509Ref| {
        ca.issued(leaf) == X509VerifyResult::OK
            && ca
                .public_key()
                .and_then(|key| leaf.verify(&key))
                .unwrap_or(false)
    };
    let found = sent
        .chain(anchors.iter().map(AsRef::as_ref))
        .find(has_signed)
        .map(ToOwned::to_owned);
    drop(ErrorStack::get());
    found
}
