//! A certificate judged again while the connection that it was shown on lives: by the anchors, policies and dates of now.
//!
//! What a handshake found holds as long as nothing changes that it rests on. A number stands for all of that, the *basis*:
//! where it is the same, nothing has to be verified, however many loads have come and gone. Where it is another, the chain is
//! built again of the certificate that OpenSSL keeps with the session and the intermediates that came with it, or, of a resumed
//! session, those that earlier connections brought.

use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::{NameType, SslRef};
use openssl::stack::{Stack, StackRef};
use openssl::x509::{X509, X509Ref, X509StoreContext};

use super::client::ClientContext;
use super::context::ServerContext;
use super::handshake::HandshakeRefusal;
use super::store::TrustStore;
use super::stream::TlsStream;
use super::verified::Anchor;
use super::verify::{self, Verifier};
use super::{ClientVerification, ServerExpectation, peer, sni};
use crate::auth::{Identities, PeerCertificate};

/// What the certificate of a live connection is worth now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The certificate, with the anchor that its chain ends in now.
    pub certificate: Arc<PeerCertificate>,
    /// The last second in which the whole chain is valid, since 1970-01-01 UTC.
    pub until: i64,
}

/// The number for all that verdicts over these anchors rest on, besides the certificate that is judged and the time.
pub(super) fn basis(trust: &TrustStore, rules: &[u8]) -> u64 {
    let mut anchors: Vec<Vec<u8>> = trust
        .anchors
        .iter()
        .map(|anchor| {
            // The text has what a TRUSTED CERTIFICATE may be trusted for, which is no part of what the fingerprint is of.
            let mut all = anchor.certificate.to_text().unwrap_or_default();
            all.extend(peer::fingerprint(&anchor.certificate).unwrap_or_default());
            all
        })
        .collect();
    // In which order files were read does not matter.
    anchors.sort_unstable();
    let mut digest = Sha256::new();
    digest.update(rules);
    for anchor in anchors {
        digest.update(&anchor.len().to_be_bytes());
        digest.update(&anchor);
    }
    let [a, b, c, d, e, f, g, h, ..] = digest.finish();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Verifier {
    /// Judges a certificate that a handshake has verified before, with what the peer sent beside it, if that is known: behind
    /// `leaves` certificates of its own, which OpenSSL lists of a server and not of a client. What has been verified here already, for whichever connection, costs no more than its fingerprint.
    fn again(
        &self,
        leaf: &X509Ref,
        sent: Option<&StackRef<X509>>,
        leaves: usize,
    ) -> Result<Standing, Box<HandshakeRefusal>> {
        let unable =
            |_: ErrorStack| HandshakeRefusal::internal("the certificate cannot be read again");
        let others = || sent.into_iter().flatten().skip(leaves);
        let fingerprint = peer::fingerprint(leaf).map_err(unable)?;
        let digest = verify::digest_of(others()).map_err(unable)?;
        let known = self.chains().find_until(
            &fingerprint,
            sent.map(|_| &digest),
            self.crls(),
            verify::now(),
        );
        if let Some((anchor, until)) = known
            && let Some(certificate) = verify::named(leaf, fingerprint, &anchor)
        {
            return Ok(Standing { certificate, until });
        }
        let mut untrusted = Stack::new().map_err(unable)?;
        let kept = self.chains().intermediates();
        for certificate in others().map(|c| c.to_owned()).chain(kept) {
            untrusted.push(certificate).map_err(unable)?;
        }
        let mut context = X509StoreContext::new().map_err(unable)?;
        let verdict = context.init(self.store(), leaf, &untrusted, |context| {
            Ok(self.build_and_check(context, fingerprint, digest))
        });
        drop(ErrorStack::get());
        let (verified, certificate, intermediates) = verdict.map_err(unable)??;
        let until = verified.chain_until;
        let mut chains = self.chains();
        if sent.is_some() {
            // Its next handshake will bring the same.
            chains.remember(verified);
        }
        chains.keep_intermediates(intermediates);
        let certificate = Arc::new(certificate);
        Ok(Standing { certificate, until })
    }

    /// The last second in which the chain of a certificate that has just been verified is valid.
    fn holds_until(&self, certificate: &PeerCertificate) -> i64 {
        let known =
            self.chains()
                .find_until(&certificate.fingerprint, None, self.crls(), verify::now());
        known.map_or(certificate.not_after, |(_, until): (Arc<Anchor>, i64)| {
            until.min(certificate.not_after)
        })
    }

    /// Takes over the intermediates that connections brought under an earlier load.
    fn take_over(&self, earlier: &Self) {
        let intermediates = earlier.chains().intermediates();
        self.chains().keep_intermediates(intermediates);
    }
}

impl ServerContext {
    /// Stands for all that decides whether a client is let in: where it is the same number, so is the verdict, within the dates
    /// of the certificate.
    #[must_use]
    pub fn basis(&self) -> u64 {
        // None, Optional and Mandatory differ in what becomes of a client without a certificate.
        let own = self.verifier.basis().wrapping_add(self.verification as u64);
        let others = self.sni_verifiers.values();
        others.fold(own, |sum, verifier| {
            sum.rotate_left(1).wrapping_add(verifier.basis())
        })
    }

    /// The verifier of the domain that a client has asked for.
    fn verifier_of(&self, ssl: &SslRef) -> &Verifier {
        let asked = ssl.servername_raw(NameType::HOST_NAME).map(sni::folded);
        let asked = asked.and_then(|name| String::from_utf8(name).ok());
        let chosen = asked.and_then(|name| self.sni_verifiers.get(&name));
        chosen.unwrap_or(&self.verifier)
    }

    /// The last second in which a certificate is good that a handshake of this context has just verified, since 1970-01-01 UTC.
    #[must_use]
    pub fn holds_until(&self, certificate: &PeerCertificate) -> i64 {
        self.verifier.holds_until(certificate)
    }

    /// Comes in the place of `earlier`: what was learnt there of intermediates is needed here to judge its connections.
    pub fn succeeds(&self, earlier: &Self) {
        self.verifier.take_over(&earlier.verifier);
        for (name, verifier) in &self.sni_verifiers {
            if let Some(earlier) = earlier.sni_verifiers.get(name) {
                verifier.take_over(earlier);
            }
        }
    }
}

impl ClientContext {
    /// As [`ServerContext::basis`], of servers.
    #[must_use]
    pub fn basis(&self) -> u64 {
        self.verifier.basis().wrapping_add(self.rights.mark())
    }

    /// As [`ServerContext::holds_until`], of servers.
    #[must_use]
    pub fn holds_until(&self, certificate: &PeerCertificate) -> i64 {
        self.verifier.holds_until(certificate)
    }

    /// As [`ServerContext::succeeds`].
    pub fn succeeds(&self, earlier: &Self) {
        self.verifier.take_over(&earlier.verifier);
    }
}

impl<S> TlsStream<S> {
    /// Whether the client of this connection would be let in now, by the certificate that it has shown; `None` if it has shown
    /// none and need not.
    ///
    /// # Errors
    /// Why not.
    pub fn judge_client_again(
        &self,
        context: &ServerContext,
    ) -> Result<Option<Standing>, Box<HandshakeRefusal>> {
        let ssl = self.ssl();
        match ssl.peer_certificate() {
            Some(leaf) => {
                let verifier = context.verifier_of(ssl);
                let standing = verifier.again(&leaf, ssl.peer_cert_chain(), 0);
                standing.map(Some).map_err(|refusal| told(refusal, &leaf))
            }
            None if context.verification == ClientVerification::Mandatory => Err(
                HandshakeRefusal::internal("it has shown no certificate, and has to by now"),
            ),
            None => Ok(None),
        }
    }

    /// Whether the server of this connection would still be taken for the one that was asked for; `None` if nothing has to be
    /// proved there.
    ///
    /// # Errors
    /// Why not.
    pub fn judge_server_again(
        &self,
        context: &ClientContext,
        expectation: &ServerExpectation,
    ) -> Result<Option<Standing>, Box<HandshakeRefusal>> {
        if !expectation.verifies() {
            return Ok(None);
        }
        let ssl = self.ssl();
        let Some(leaf) = ssl.peer_certificate() else {
            return Err(HandshakeRefusal::internal(
                "the server has shown no certificate",
            ));
        };
        let standing = context
            .verifier
            .again(&leaf, ssl.peer_cert_chain(), 1)
            .map_err(|refusal| told(refusal, &leaf))?;
        let identities =
            Identities::of_server(&standing.certificate, &context.names, &context.rights);
        match expectation.reference().proved_by(&identities) {
            Some(_) => Ok(Some(standing)),
            None => {
                let why = "no name of its certificate is the one that was asked for any more";
                Err(told(HandshakeRefusal::internal(why), &leaf))
            }
        }
    }
}

/// With whose certificate it is about.
fn told(mut refusal: Box<HandshakeRefusal>, leaf: &X509Ref) -> Box<HandshakeRefusal> {
    let subject = || peer::name_line(leaf.subject_name());
    refusal.subject.get_or_insert_with(subject);
    refusal.serial.get_or_insert_with(|| peer::serial(leaf));
    let issuer = || peer::name_line(leaf.issuer_name());
    refusal.issuer.get_or_insert_with(issuer);
    refusal
}
