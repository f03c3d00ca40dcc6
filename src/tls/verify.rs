//! Is this peer's certificate good? Chain and dates by OpenSSL, purpose by us (RFC 5924 §5), once per certificate.
//!
//! A verified chain is remembered by the fingerprint of all that the peer sent, bound to one load of the trust anchors,
//! to the CRLs in force and to the dates of the whole chain and of these CRLs. That the peer holds the key is proven anew in each handshake, by OpenSSL.
//! Every check here fails closed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::SslRef;
use openssl::stack::{Stack, StackRef};
use openssl::x509::store::X509Store;
use openssl::x509::{
    X509, X509KeyUsage, X509Ref, X509StoreContext, X509StoreContextRef, X509VerifyResult,
};
use openssl_sys as sys;

use super::handshake::{self, HandshakeRefusal};
use super::revocation::{Outcome, Revocation};
use super::verified::{Anchor, Verified, VerifiedChains};
use super::{EkuPolicy, ffi, peer};
use crate::auth::{PeerCertificate, oid};

/// `X509_V_ERR_INVALID_EXTENSION` of x509_vfy.h.
const INVALID_EXTENSION: i32 = 41;

/// Whose certificates are judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// Those of clients, by the policy of a listener.
    Clients(EkuPolicy),
    /// Those of servers that we connect to.
    Servers,
}

/// What certificates of peers are held against, for one listener or the client role, and one load.
pub(super) struct Verifier {
    judged: Judged,
    /// The anchors, with the parameters for verification outside of a handshake.
    store: X509Store,
    /// Stands for all that verdicts rest on; see [`super::again`].
    basis: u64,
    /// Which certificates are revoked; `None` if nobody is asked.
    revocation: Option<Arc<Revocation>>,
    chains: Mutex<VerifiedChains>,
}

/// Seconds since 1970-01-01 UTC.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

/// Judges the chain of a handshake; called by OpenSSL in place of its own verification.
pub(super) fn judge(context: &mut X509StoreContextRef) -> bool {
    let slot = X509StoreContext::ssl_idx()
        .ok()
        .and_then(|index| context.ex_data(index))
        .and_then(|ssl: &SslRef| handshake::slot(ssl));
    let Some(slot) = slot else {
        context.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
        return false;
    };
    let verdict = slot.judge(context);
    // What reading extensions left in the thread's error queue would turn the next "want read" into a failure.
    drop(ErrorStack::get());
    match verdict {
        Ok(()) => {
            context.set_error(X509VerifyResult::OK);
            true
        }
        Err(code) => {
            let code = code
                .filter(|code| *code != sys::X509_V_OK)
                .unwrap_or(sys::X509_V_ERR_APPLICATION_VERIFICATION);
            context.set_error(ffi::verify_result(code));
            false
        }
    }
}

impl Verifier {
    pub(super) fn new(judged: Judged, store: X509Store, basis: u64, remembered: usize) -> Self {
        Self {
            judged,
            store,
            basis,
            revocation: None,
            chains: Mutex::new(VerifiedChains::new(remembered)),
        }
    }

    /// Holds chains against these CRLs, too.
    pub(super) fn with_revocation(mut self, revocation: Option<Arc<Revocation>>) -> Self {
        if revocation.is_some() {
            ffi::watch_crls(&self.store);
        }
        self.revocation = revocation;
        self
    }

    /// Which CRLs are in force; 0 for none.
    pub(super) fn crls(&self) -> u64 {
        self.revocation
            .as_ref()
            .map_or(0, |revocation| revocation.generation())
    }

    pub(super) fn store(&self) -> &X509Store {
        &self.store
    }

    /// Stands for all that verdicts rest on, besides certificates and the time.
    pub(super) fn basis(&self) -> u64 {
        self.basis.wrapping_add(self.crls())
    }

    /// Verifies the chain of a handshake.
    pub(super) fn verify(
        &self,
        context: &mut X509StoreContextRef,
    ) -> Result<Arc<PeerCertificate>, Box<HandshakeRefusal>> {
        let now = now();
        let Some(leaf) = ffi::presented_leaf(context) else {
            return Err(HandshakeRefusal::internal(
                "no certificate to verify was handed over",
            ));
        };
        let Ok((fingerprint, sent)) = digests(leaf, ffi::presented_chain(context)) else {
            return Err(HandshakeRefusal::internal(
                "the certificate cannot be encoded",
            ));
        };
        let known = self
            .chains()
            .find(&fingerprint, Some(&sent), self.crls(), now);
        if let Some(certificate) = known.and_then(|anchor| named(leaf, fingerprint, &anchor)) {
            return Ok(certificate);
        }
        let verified = self.build_and_check(context, fingerprint, sent);
        // The result is ours to keep; OpenSSL's copy of the chain would stay with the connection.
        ffi::forget_verified_chain(context);
        let (verified, certificate, intermediates) = verified?;
        let mut chains = self.chains();
        chains.remember(verified);
        chains.keep_intermediates(intermediates);
        Ok(Arc::new(certificate))
    }

    /// The identity of a resumed session, whose ticket holds the certificate but no chain. What this load has verified
    /// before is taken at its word within its dates; else the chain is built again, dates as of now.
    pub(super) fn resumed(
        &self,
        leaf: &X509Ref,
    ) -> Result<Arc<PeerCertificate>, Box<HandshakeRefusal>> {
        let unverifiable = || HandshakeRefusal::internal(handshake::UNVERIFIABLE);
        let fingerprint = peer::fingerprint(leaf).map_err(|_| unverifiable())?;
        let known = self.chains().find(&fingerprint, None, self.crls(), now());
        if let Some(certificate) = known.and_then(|anchor| named(leaf, fingerprint, &anchor)) {
            return Ok(certificate);
        }
        let intermediates = self.chains().intermediates();
        let sent = [0; 32];
        // Not remembered: the intermediates that this client sends in a full handshake are not known here.
        self.check_outside_handshake(leaf, &intermediates, fingerprint, sent)
            .map_err(|_| unverifiable())?
            .map_err(|mut refusal| {
                refusal.reason = format!("{}: {}", handshake::UNVERIFIABLE, refusal.reason);
                refusal
            })
    }

    /// Verifies a certificate that no handshake brought, as a client's. The outer error is one of OpenSSL's set-up.
    pub(super) fn check(
        &self,
        leaf: &X509Ref,
        intermediates: &[X509],
    ) -> Result<Result<Arc<PeerCertificate>, Box<HandshakeRefusal>>, ErrorStack> {
        let fingerprint = peer::fingerprint(leaf)?;
        self.check_outside_handshake(leaf, intermediates, fingerprint, [0; 32])
    }

    fn check_outside_handshake(
        &self,
        leaf: &X509Ref,
        intermediates: &[X509],
        fingerprint: [u8; 32],
        sent: [u8; 32],
    ) -> Result<Result<Arc<PeerCertificate>, Box<HandshakeRefusal>>, ErrorStack> {
        let mut untrusted = Stack::new()?;
        for certificate in intermediates {
            untrusted.push(certificate.clone())?;
        }
        let mut context = X509StoreContext::new()?;
        let verdict = context.init(&self.store, leaf, &untrusted, |context| {
            let verified = self.build_and_check(context, fingerprint, sent);
            Ok(verified.map(|(_, certificate, _)| Arc::new(certificate)))
        });
        drop(ErrorStack::get());
        verdict
    }

    pub(super) fn build_and_check(
        &self,
        context: &mut X509StoreContextRef,
        fingerprint: [u8; 32],
        sent: [u8; 32],
    ) -> Result<(Verified, PeerCertificate, Vec<X509>), Box<HandshakeRefusal>> {
        let checked = self
            .revocation
            .as_ref()
            .map(|revocation| revocation.verify(context, now()));
        let good = match &checked {
            Some(outcome) => outcome.good,
            None => context.verify_cert().unwrap_or(false),
        };
        if !good || context.error() != X509VerifyResult::OK {
            let code = match context.error().as_raw() {
                sys::X509_V_OK => sys::X509_V_ERR_APPLICATION_VERIFICATION,
                code => code,
            };
            let mut refusal = HandshakeRefusal::of_chain(context, code, None);
            if let Some(revoked) = checked.and_then(|outcome| outcome.revoked) {
                refusal.reason = revoked.to_string();
            }
            return Err(refusal);
        }
        // Not longer than the CRLs that it rests on; and not at all if one was missing, which is said each time.
        let (crls, until) = match checked {
            Some(Outcome {
                generation, until, ..
            }) => (generation, until.unwrap_or(i64::MIN)),
            None => (0, i64::MAX),
        };
        let chain: Vec<&X509Ref> = match context.chain() {
            Some(chain) => chain.iter().collect(),
            None => return Err(HandshakeRefusal::internal("no chain was built")),
        };
        let (Some(leaf), Some(anchor)) = (chain.first(), chain.last()) else {
            return Err(HandshakeRefusal::internal("an empty chain was built"));
        };
        // A certificate that is trusted itself is its own CA.
        let cas = chain
            .get(1..)
            .filter(|cas| !cas.is_empty())
            .unwrap_or(&chain);
        let Ok(anchor) = self.chains().anchor(anchor, cas) else {
            return Err(HandshakeRefusal::internal(
                "the trust anchor cannot be encoded",
            ));
        };
        let certificate = match peer::peer_certificate(leaf, fingerprint, Some(&anchor)) {
            Ok(certificate) => certificate,
            Err(why) => {
                let reason = Some(why.to_string());
                return Err(HandshakeRefusal::of_chain(
                    context,
                    INVALID_EXTENSION,
                    reason,
                ));
            }
        };
        let between = chain.get(1..chain.len().saturating_sub(1)).unwrap_or(&[]);
        let fit = match self.judged {
            // OpenSSL has looked.
            Judged::Clients(EkuPolicy::ClientAuth) => Ok(()),
            Judged::Clients(policy) => may_be_client(leaf, between, &certificate, policy),
            Judged::Servers => may_be_server(leaf, between, &certificate),
        };
        if let Err(why) = fit {
            let reason = Some(why.to_owned());
            let code = sys::X509_V_ERR_INVALID_PURPOSE;
            return Err(HandshakeRefusal::of_chain(context, code, reason));
        }
        let not_before = chain.iter().map(|c| peer::unix_time(c.not_before()));
        let not_after = chain.iter().map(|c| peer::unix_time(c.not_after()));
        // A date that cannot be read makes an entry that is never valid.
        let chain_until = not_after
            .map(|t| t.unwrap_or(i64::MIN))
            .min()
            .unwrap_or(i64::MIN);
        let verified = Verified {
            fingerprint,
            sent,
            not_before: not_before
                .map(|t| t.unwrap_or(i64::MAX))
                .max()
                .unwrap_or(i64::MAX),
            not_after: chain_until.min(until),
            chain_until,
            crls,
            anchor,
        };
        let intermediates = between.iter().map(|c| (*c).to_owned()).collect();
        Ok((verified, certificate, intermediates))
    }

    #[cfg(test)]
    pub(super) fn chains_found(&self) -> usize {
        self.chains().found
    }

    pub(super) fn chains(&self) -> std::sync::MutexGuard<'_, VerifiedChains> {
        // The table holds whole entries at any time, also after a panic elsewhere.
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The identity of a certificate verified before. Its names were readable then.
pub(super) fn named(
    leaf: &X509Ref,
    fingerprint: [u8; 32],
    anchor: &Anchor,
) -> Option<Arc<PeerCertificate>> {
    let certificate = peer::peer_certificate(leaf, fingerprint, Some(anchor)).ok();
    // As in `judge`, for a resumed session.
    drop(ErrorStack::get());
    certificate.map(Arc::new)
}

/// Fingerprint of the leaf, and one digest over everything else that the peer sent, in its order.
fn digests(
    leaf: &X509Ref,
    chain: Option<&StackRef<X509>>,
) -> Result<([u8; 32], [u8; 32]), ErrorStack> {
    let leaf = peer::fingerprint(leaf)?;
    let others = digest_of(chain.into_iter().flatten().skip(1))?;
    Ok((leaf, others))
}

/// One digest over certificates, in their order.
pub(super) fn digest_of<'c>(
    certificates: impl Iterator<Item = &'c X509Ref>,
) -> Result<[u8; 32], ErrorStack> {
    let mut digest = Sha256::new();
    for certificate in certificates {
        let der = certificate.to_der()?;
        digest.update(&der.len().to_be_bytes());
        digest.update(&der);
    }
    Ok(digest.finish())
}

/// Purposes that matter to us, as far as a certificate and those above it allow them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Purposes {
    /// No extension, or anyExtendedKeyUsage.
    any: bool,
    client: bool,
    server: bool,
    sip_domain: bool,
}

impl Purposes {
    fn of(usages: Option<&[String]>) -> Self {
        let has = |wanted: &str| usages.is_some_and(|all| all.iter().any(|one| one == wanted));
        let any = usages.is_none() || has(oid::ANY);
        Self {
            any,
            client: any || has(oid::CLIENT_AUTH),
            server: any || has(oid::SERVER_AUTH),
            sip_domain: any || has(oid::SIP_DOMAIN),
        }
    }

    /// What those above the certificate leave of its own.
    fn of_chain(
        intermediates: &[&X509Ref],
        certificate: &PeerCertificate,
    ) -> Result<Self, &'static str> {
        let mut purposes = Self::of(certificate.extended_key_usage.as_deref());
        for intermediate in intermediates {
            let usages = peer::extended_key_usage(intermediate)
                .map_err(|_| "the extended key usage of an intermediate cannot be read")?;
            purposes = purposes.below(Self::of(usages.as_deref()));
        }
        Ok(purposes)
    }

    fn of_a_server(self) -> bool {
        self.any || self.server || self.sip_domain
    }

    /// What is left below an issuer that is limited itself, as OpenSSL and the browsers read it.
    fn below(self, issuer: Self) -> Self {
        Self {
            any: self.any && issuer.any,
            client: self.client && issuer.client,
            server: self.server && issuer.server,
            sip_domain: self.sip_domain && issuer.sip_domain,
        }
    }
}

/// Key usage and extended key usage of a client's certificate under a policy of ours; the error is for the operator.
fn may_be_client(
    leaf: &X509Ref,
    intermediates: &[&X509Ref],
    certificate: &PeerCertificate,
    policy: EkuPolicy,
) -> Result<(), &'static str> {
    if let Some(usage) = leaf.key_usage()
        && !usage.intersects(X509KeyUsage::DIGITAL_SIGNATURE | X509KeyUsage::KEY_AGREEMENT)
    {
        return Err("its key usage allows neither digitalSignature nor keyAgreement");
    }
    let purposes = Purposes::of_chain(intermediates, certificate)?;
    match policy {
        EkuPolicy::SipDomain if purposes.sip_domain => {
            let named = certificate
                .extended_key_usage
                .as_ref()
                .is_none_or(|usages| usages.iter().any(|usage| usage == oid::SIP_DOMAIN));
            if named {
                Ok(())
            } else {
                Err("its extended key usage is not sipDomain")
            }
        }
        EkuPolicy::SipDomain => Err("its extended key usage is not sipDomain"),
        _ if purposes.any || purposes.client || purposes.sip_domain => Ok(()),
        EkuPolicy::Rfc5924 if purposes.server => {
            if peer::names_a_domain(certificate) {
                Ok(())
            } else {
                Err("its extended key usage is serverAuth alone and it names no domain")
            }
        }
        EkuPolicy::NoServerAuth if purposes.server => {
            Err("its extended key usage is serverAuth alone")
        }
        _ => Err("its extended key usage is neither clientAuth nor sipDomain"),
    }
}

/// Key usage and extended key usage of a server's certificate; the error is for the operator.
///
/// Deviation: RFC 5924 §5 would have sipDomain, anyExtendedKeyUsage or no extension, and nothing else. serverAuth passes
/// too: it is what public CAs issue, and says what we ask. clientAuth alone does not: its issuer has said that the holder
/// is nobody's server (RFC 5280 §4.2.1.12), and a user of a domain must not answer for the domain.
fn may_be_server(
    leaf: &X509Ref,
    intermediates: &[&X509Ref],
    certificate: &PeerCertificate,
) -> Result<(), &'static str> {
    let in_handshakes = X509KeyUsage::DIGITAL_SIGNATURE
        | X509KeyUsage::KEY_ENCIPHERMENT
        | X509KeyUsage::KEY_AGREEMENT;
    if let Some(usage) = leaf.key_usage()
        && !usage.intersects(in_handshakes)
    {
        return Err(
            "its key usage allows neither digitalSignature nor keyEncipherment nor keyAgreement",
        );
    }
    if Purposes::of_chain(intermediates, certificate)?.of_a_server() {
        Ok(())
    } else {
        Err("its extended key usage is neither serverAuth nor sipDomain")
    }
}

/// Whether a certificate's own extended key usage lets it be a server's.
pub(super) fn has_purpose_of_a_server(certificate: &PeerCertificate) -> bool {
    Purposes::of(certificate.extended_key_usage.as_deref()).of_a_server()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intermediate_limits_what_is_below_it() {
        let usages =
            |list: &[&str]| -> Vec<String> { list.iter().map(|s| (*s).to_owned()).collect() };
        let free = Purposes::of(None);
        let server = Purposes::of(Some(&usages(&[oid::SERVER_AUTH])));
        let both = Purposes::of(Some(&usages(&[oid::SERVER_AUTH, oid::CLIENT_AUTH])));
        let email = Purposes::of(Some(&usages(&["1.3.6.1.5.5.7.3.4"])));
        for (situation, below, any, client, server_left) in [
            ("no extension anywhere", free.below(free), true, true, true),
            (
                "a free leaf below serverAuth",
                free.below(server),
                false,
                false,
                true,
            ),
            (
                "a leaf of both below serverAuth",
                both.below(server),
                false,
                false,
                true,
            ),
            (
                "a free leaf below an e-mail CA",
                free.below(email),
                false,
                false,
                false,
            ),
            (
                "any is all",
                Purposes::of(Some(&usages(&[oid::ANY]))),
                true,
                true,
                true,
            ),
        ] {
            assert_eq!(
                (below.any, below.client, below.server),
                (any, client, server_left),
                "{situation}"
            );
        }
    }
}
