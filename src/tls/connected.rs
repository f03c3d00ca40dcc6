//! What came of a handshake with a server: who it is, and who we were to it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use openssl::ssl::{Error, SslRef};
use openssl::x509::X509StoreContextRef;
use openssl_sys as sys;

use super::ReferenceName;
use super::handshake::{self, HandshakeRefusal, Side};
use super::own::{OwnCertificates, OwnChoice};
use super::server_refusal::{ServerRefusal, names_of};
use crate::auth::{CaRights, Identities, NamePolicy, PeerCertificate};

/// The fault that rules about CAs find, among the numbers of x509_vfy.h, which has no such.
pub(super) const CA_RIGHTS: i32 = 10_000;

/// Whom a connection of ours is to meet, and what has been seen of that so far.
pub(super) struct Toward {
    reference: ReferenceName,
    names: NamePolicy,
    rights: Arc<CaRights>,
    /// Whether the server has to prove the name.
    verify: bool,
    /// Whether it has to send an OCSP response about its certificate.
    require_staple: bool,
    own: Arc<OwnCertificates>,
    choice: OwnChoice,
    /// Domain of the certificate that we have shown; set when the server asks.
    shown: OnceLock<Option<Box<str>>>,
    /// The name of the server's certificate that proves ours.
    proof: OnceLock<Box<str>>,
}

impl Toward {
    pub(super) fn new(
        reference: ReferenceName,
        names: NamePolicy,
        rights: Arc<CaRights>,
        verify: bool,
        own: Arc<OwnCertificates>,
        choice: OwnChoice,
    ) -> Self {
        Self {
            reference,
            names,
            rights,
            verify,
            require_staple: false,
            own,
            choice,
            shown: OnceLock::new(),
            proof: OnceLock::new(),
        }
    }

    pub(super) fn requiring_staple(mut self, required: bool) -> Self {
        self.require_staple = required;
        self
    }

    pub(super) fn requires_staple(&self) -> bool {
        self.require_staple
    }

    pub(super) fn verifies(&self) -> bool {
        self.verify
    }

    pub(super) fn own(&self) -> &OwnCertificates {
        &self.own
    }

    pub(super) fn choice(&self) -> &OwnChoice {
        &self.choice
    }

    /// The server has asked for a certificate, and this is whose it gets.
    pub(super) fn asked(&self, domain: Option<&str>) {
        // A second question in one handshake is none that TLS has.
        let _ = self.shown.set(domain.map(Box::from));
    }

    /// Holds the names of a server's verified certificate against the one that we asked for (RFC 5922 §7.3).
    ///
    /// It is done within the handshake, before our own certificate and the Finished that goes with it: a server that is
    /// not the one asked for learns nothing of us, and is told by an alert.
    pub(super) fn check_name(
        &self,
        context: &X509StoreContextRef,
        certificate: &PeerCertificate,
    ) -> Result<(), Box<HandshakeRefusal>> {
        let identities = Identities::of_server(certificate, &self.names, &self.rights);
        if let Some(proof) = self.reference.proved_by(&identities) {
            let _ = self.proof.set(proof.to_string().into());
            return Ok(());
        }
        if let Some(barred) = self.reference.barred_in(&identities) {
            let file = self.rights.file();
            let reason = format!("{file} does not let its CA vouch for {barred} as a server");
            let mut refusal = HandshakeRefusal::of_chain(context, CA_RIGHTS, Some(reason));
            refusal.alt_names = names_of(&identities);
            return Err(refusal);
        }
        let code = match self.reference.sni() {
            Some(_) => sys::X509_V_ERR_HOSTNAME_MISMATCH,
            None => sys::X509_V_ERR_IP_ADDRESS_MISMATCH,
        };
        let reason = match identities.names().is_empty() {
            true => "no name of its certificate can be used",
            false => "no name of its certificate is the one that was asked for",
        };
        let mut refusal = HandshakeRefusal::of_chain(context, code, Some(reason.to_owned()));
        refusal.alt_names = names_of(&identities);
        Err(refusal)
    }
}

/// What we showed of ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The server did not ask.
    NotAsked,
    /// It asked, and got no certificate.
    Nothing,
    /// The certificate of this domain.
    Domain(String),
}

/// For a log line.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not-asked"),
            Self::Nothing => f.write_str("none"),
            Self::Domain(domain) => write!(f, "{domain:?}"),
        }
    }
}

/// A finished handshake with a server that is who was asked for.
#[derive(Debug, Clone)]
pub struct EstablishedServer {
    /// The name that was asked for.
    pub reference: ReferenceName,
    /// Its verified certificate; `None` only where a setting says that nothing is verified.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The name in it that proves the one asked for, as `URI:sip:example.org`; `None` where nothing is verified.
    pub proof: Option<String>,
    /// What we showed.
    pub shown: Shown,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// `TLSv1.2` or `TLSv1.3` (or older, where allowed).
    pub version: &'static str,
    /// OpenSSL's name of the cipher suite.
    pub cipher: &'static str,
}

/// What a finished handshake with a server established.
///
/// # Errors
/// Any state that should not be: the connection has to be closed.
pub fn established_server(ssl: &SslRef) -> Result<EstablishedServer, Box<ServerRefusal>> {
    let slot = handshake::slot(ssl);
    let Some((slot, Side::Client(toward))) = slot.as_ref().map(|slot| (slot, &slot.side)) else {
        return Err(ServerRefusal::internal(
            None,
            "the connection was not made by a client context",
        ));
    };
    let internal = |reason| ServerRefusal::internal(Some(&toward.reference), reason);
    if !ssl.is_init_finished() {
        return Err(internal("the handshake is not finished"));
    }
    let certificate = match toward.verify {
        true => Some(
            slot.accepted()
                .ok_or_else(|| internal("a certificate came in that was never verified"))?,
        ),
        false => None,
    };
    let proof = toward.proof.get().map(ToString::to_string);
    if toward.verify && proof.is_none() {
        return Err(internal("the name was never checked"));
    }
    Ok(EstablishedServer {
        reference: toward.reference.clone(),
        certificate,
        proof,
        shown: shown(toward),
        resumed: ssl.session_reused(),
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map_or("none", |cipher| cipher.name()),
    })
}

fn shown(toward: &Toward) -> Shown {
    match toward.shown.get() {
        None => Shown::NotAsked,
        Some(None) => Shown::Nothing,
        Some(Some(domain)) => Shown::Domain(domain.to_string()),
    }
}

/// Why a connection to a server failed with this error: in its handshake, or on the first read after it, which is where
/// TLS 1.3 brings the alert of a server that refuses our certificate.
#[must_use]
pub fn server_refusal(ssl: &SslRef, error: &Error) -> ServerRefusal {
    let slot = handshake::slot(ssl);
    let Some((slot, Side::Client(toward))) = slot.as_ref().map(|slot| (slot, &slot.side)) else {
        return *ServerRefusal::internal(None, "the connection was not made by a client context");
    };
    let mut refusal = match slot.refused() {
        Some(refused) => ServerRefusal::of_certificate(refused),
        None => ServerRefusal::of_error(error),
    };
    refusal.reference = Some(toward.reference.clone());
    refusal.shown = shown(toward);
    refusal
}
