//! What came of a client's handshake: who it is, or why it was refused, in words for one log line.
//!
//! What connections of both roles remember of their handshake is here too; see [`super::connected`] for servers.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Error, ErrorCode, NameType, Ssl, SslRef};
use openssl::x509::{X509Ref, X509StoreContextRef};

use super::connected::Toward;
use super::verify::Verifier;
use super::{ClientVerification, ffi, peer};
use crate::auth::PeerCertificate;

/// Why a resumed session is refused whose certificate cannot be verified again.
pub(super) const UNVERIFIABLE: &str = "resumed session without a verifiable identity";

/// Most subjectAltNames shown in a refusal.
const MAX_SHOWN: usize = 8;

/// What a connection remembers of its handshake; it hangs on the `SSL` object.
pub(super) struct Slot {
    verifier: Arc<Verifier>,
    /// That of the domain that the client asks for; within, `None` for the listener's own.
    chosen: OnceLock<Option<Arc<Verifier>>>,
    pub(super) side: Side,
    /// Number of the key log that takes its secrets; 0 for none.
    pub(super) key_log: u64,
    outcome: Mutex<Outcome>,
}

/// Which side of the connection we are.
pub(super) enum Side {
    /// The server: what we want of the client.
    Server(ClientVerification),
    /// The client: whom we want to meet, and who we are ourselves.
    Client(Toward),
}

#[derive(Default)]
enum Outcome {
    #[default]
    None,
    Accepted(Arc<PeerCertificate>),
    Refused(Box<HandshakeRefusal>),
}

impl Slot {
    pub(super) fn new(verifier: Arc<Verifier>, side: Side, key_log: u64) -> Self {
        Self {
            verifier,
            chosen: OnceLock::new(),
            side,
            key_log,
            outcome: Mutex::default(),
        }
    }

    /// Has the domain that the client asks for decide what its certificate is held against; without one, the listener's own
    /// does. `false` if it has asked for one with other anchors before.
    pub(super) fn choose(&self, verifier: Option<&Arc<Verifier>>) -> bool {
        match (self.chosen.get_or_init(|| verifier.cloned()), verifier) {
            (Some(chosen), Some(asked)) => Arc::ptr_eq(chosen, asked),
            (None, None) => true,
            _ => false,
        }
    }

    fn verifier(&self) -> &Verifier {
        match self.chosen.get() {
            Some(Some(verifier)) => verifier,
            _ => &self.verifier,
        }
    }

    /// Judges the certificate of a handshake and keeps what came of it; the error is OpenSSL's number for the fault.
    pub(super) fn judge(&self, context: &mut X509StoreContextRef) -> Result<(), Option<i32>> {
        let verdict = match &self.side {
            // A setting says so, and then nothing is known of the server.
            Side::Client(toward) if !toward.verifies() => return Ok(()),
            Side::Client(toward) => self.verifier().verify(context).and_then(|certificate| {
                toward.check_name(context, &certificate)?;
                Ok(certificate)
            }),
            Side::Server(_) => self.verifier().verify(context),
        };
        match verdict {
            Ok(certificate) => {
                self.set(Outcome::Accepted(certificate));
                Ok(())
            }
            Err(refusal) => {
                let code = refusal.code;
                self.set(Outcome::Refused(refusal));
                Err(code)
            }
        }
    }

    /// Something came out after its certificate was found good.
    pub(super) fn refuse(&self, refusal: Box<HandshakeRefusal>) {
        self.set(Outcome::Refused(refusal));
    }

    fn set(&self, outcome: Outcome) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    pub(super) fn accepted(&self) -> Option<Arc<PeerCertificate>> {
        match &*self.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
            Outcome::Accepted(certificate) => Some(Arc::clone(certificate)),
            Outcome::None | Outcome::Refused(_) => None,
        }
    }

    pub(super) fn refused(&self) -> Option<HandshakeRefusal> {
        match &*self.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
            Outcome::Refused(refusal) => Some((**refusal).clone()),
            Outcome::None | Outcome::Accepted(_) => None,
        }
    }
}

/// Where the slot hangs; `None` only when OpenSSL has no memory left for it.
pub(super) fn slot_index() -> Option<Index<Ssl, Arc<Slot>>> {
    static INDEX: OnceLock<Option<Index<Ssl, Arc<Slot>>>> = OnceLock::new();
    *INDEX.get_or_init(|| Ssl::new_ex_index().ok())
}

/// The slot of a connection made by [`super::ServerContext::accept_state`] or [`super::ClientContext::connect_state`].
pub(super) fn slot(ssl: &SslRef) -> Option<Arc<Slot>> {
    ssl.ex_data(slot_index()?).cloned()
}

/// A finished handshake.
#[derive(Debug, Clone)]
pub struct Established {
    /// The verified certificate of the client, if it showed one.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// `TLSv1.2` or `TLSv1.3` (or older, where allowed).
    pub version: &'static str,
    /// OpenSSL's name of the cipher suite.
    pub cipher: &'static str,
    /// The host name that the client asked for, as it wrote it.
    pub sni: Option<String>,
}

/// What a finished handshake established.
///
/// # Errors
/// A resumed session whose certificate can no longer be verified, and any state that should not be: the connection has
/// to be closed.
pub fn established(ssl: &SslRef) -> Result<Established, Box<HandshakeRefusal>> {
    let with_sni = |mut refusal: Box<HandshakeRefusal>| {
        refusal.sni = sni(ssl);
        refusal
    };
    if !ssl.is_init_finished() {
        return Err(with_sni(HandshakeRefusal::internal(
            "the handshake is not finished",
        )));
    }
    let slot = slot(ssl);
    let Some((slot, Side::Server(verification))) = slot.as_ref().map(|slot| (slot, &slot.side))
    else {
        return Err(with_sni(HandshakeRefusal::internal(
            "the connection was not made by a server context",
        )));
    };
    let resumed = ssl.session_reused();
    let certificate = match verification {
        ClientVerification::None => None,
        ClientVerification::Optional | ClientVerification::Mandatory => {
            identity(ssl, slot, *verification, resumed).map_err(with_sni)?
        }
    };
    Ok(Established {
        certificate,
        resumed,
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map_or("none", |cipher| cipher.name()),
        sni: sni(ssl),
    })
}

fn identity(
    ssl: &SslRef,
    slot: &Slot,
    verification: ClientVerification,
    resumed: bool,
) -> Result<Option<Arc<PeerCertificate>>, Box<HandshakeRefusal>> {
    if let Some(certificate) = slot.accepted() {
        return Ok(Some(certificate));
    }
    match ssl.peer_certificate() {
        Some(leaf) if resumed => slot
            .verifier()
            .resumed(&leaf)
            .map(Some)
            .map_err(|mut refusal| {
                refusal.subject = Some(peer::name_line(leaf.subject_name()));
                refusal.serial = Some(peer::serial(&leaf));
                refusal
            }),
        Some(_) => Err(HandshakeRefusal::internal(
            "a certificate came in that was never verified",
        )),
        None if verification == ClientVerification::Mandatory => Err(HandshakeRefusal::internal(
            "no certificate where one is mandatory",
        )),
        None => Ok(None),
    }
}

pub(super) fn sni(ssl: &SslRef) -> Option<String> {
    ssl.servername_raw(NameType::HOST_NAME)
        .map(|name| String::from_utf8_lossy(name).into_owned())
}

/// Why a handshake failed. `Display` gives a fragment of one log line in which every word of the peer is escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HandshakeRefusal {
    /// The host name that the client asked for.
    pub sni: Option<String>,
    /// Subject of the client's certificate.
    pub subject: Option<String>,
    /// Its subjectAltNames, the first few.
    pub alt_names: Vec<String>,
    /// Its serial number, hexadecimal.
    pub serial: Option<String>,
    /// Where in the chain the fault is; 0 is the client's own certificate.
    pub depth: Option<u32>,
    /// Issuer of the certificate at that depth: the one that was wanted, where it is not known.
    pub issuer: Option<String>,
    /// Number of the fault as in OpenSSL's x509_vfy.h; `None` if it is not about a certificate.
    pub code: Option<i32>,
    /// What is wrong.
    pub reason: String,
    /// What to do about it; empty if we know nothing better than the reason.
    pub hint: &'static str,
}

impl fmt::Display for HandshakeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sni {
            Some(sni) => write!(f, "sni={sni:?}")?,
            None => f.write_str("sni=none")?,
        }
        if let Some(subject) = &self.subject {
            write!(f, " subject={subject:?} san={:?}", self.alt_names)?;
        }
        if let Some(serial) = &self.serial {
            write!(f, " serial={serial}")?;
        }
        if let Some(depth) = self.depth {
            write!(f, " depth={depth}")?;
        }
        if let Some(issuer) = &self.issuer {
            write!(f, " issuer={issuer:?}")?;
        }
        write!(f, " reason={:?}", self.reason)?;
        if !self.hint.is_empty() {
            write!(f, " hint={:?}", self.hint)?;
        }
        Ok(())
    }
}

impl HandshakeRefusal {
    /// A refusal without a chain to speak of.
    pub(super) fn internal(reason: &str) -> Box<Self> {
        Box::new(Self {
            reason: reason.to_owned(),
            ..Self::default()
        })
    }

    /// A chain that failed with this code, in our words if we have better ones.
    pub(super) fn of_chain(
        context: &X509StoreContextRef,
        code: i32,
        reason: Option<String>,
    ) -> Box<Self> {
        let in_chain = |at: usize| context.chain().and_then(|chain| chain.get(at));
        let leaf: Option<&X509Ref> = ffi::presented_leaf(context).or_else(|| in_chain(0));
        // After a good chain OpenSSL's position is the anchor; a fault that we found is the leaf's.
        let (depth, at_fault) = if reason.is_some() {
            (0, leaf)
        } else {
            (context.error_depth(), context.current_cert().or(leaf))
        };
        let names = leaf.and_then(|leaf| peer::peer_certificate(leaf, [0; 32], None).ok());
        Box::new(Self {
            sni: None,
            subject: leaf.map(|leaf| peer::name_line(leaf.subject_name())),
            alt_names: names.map_or_else(Vec::new, |names| {
                let shown = names.alt_names.iter().take(MAX_SHOWN);
                shown.map(peer::alt_name_text).collect()
            }),
            serial: leaf.map(peer::serial),
            depth: Some(depth),
            issuer: at_fault.map(|at| peer::name_line(at.issuer_name())),
            code: Some(code),
            reason: reason.unwrap_or_else(|| ffi::verify_result(code).error_string().to_owned()),
            hint: hint_for_code(code),
        })
    }
}

/// Why the handshake on this connection failed with this error.
#[must_use]
pub fn refusal(ssl: &SslRef, error: &Error) -> HandshakeRefusal {
    let mut refusal = slot(ssl)
        .and_then(|slot| slot.refused())
        .unwrap_or_else(|| {
            let reason = reason_of(error);
            let hint = hint_for_reason(&reason);
            HandshakeRefusal {
                reason,
                hint,
                ..HandshakeRefusal::default()
            }
        });
    refusal.sni = sni(ssl);
    refusal
}

fn reason_of(error: &Error) -> String {
    if let Some(reason) = error.ssl_error().and_then(openssl_reason) {
        return reason.to_owned();
    }
    if let Some(io) = error.io_error() {
        return format!("the connection broke: {io}");
    }
    match error.code() {
        ErrorCode::ZERO_RETURN => "the client ended TLS during the handshake".to_owned(),
        ErrorCode::SYSCALL | ErrorCode::SSL => UNEXPECTED_EOF.to_owned(),
        ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => {
            "the handshake was not finished in time".to_owned()
        }
        _ => "the handshake failed".to_owned(),
    }
}

const UNEXPECTED_EOF: &str = "unexpected eof while reading";

/// The last thing OpenSSL says is the most general; the first is what happened.
fn openssl_reason(errors: &ErrorStack) -> Option<&'static str> {
    errors.errors().iter().find_map(|error| error.reason())
}

/// Advice for the faults of certificates that operators meet; numbers of x509_vfy.h.
fn hint_for_code(code: i32) -> &'static str {
    match code {
        2 | 20 => {
            "its issuer is not among the trust anchors, or the client did not send the intermediate: add the CA to \
             CADirectory, CAFile or root_cert_*.pem, or have the client send its whole chain"
        }
        3 | 44 => {
            "there is no CRL of this issuer: put it into CRLFile or CRLDirectory; CRLMissing = warn lets such clients in"
        }
        8 => "the CRL of this issuer is damaged or another's: get it again",
        12 => {
            "the CRL of this issuer is over: get the next one; CRLStale = warn lets such clients in"
        }
        23 => "its CA has taken the certificate back; another one is needed",
        9 => "compare the clocks of this machine and of the CA",
        10 => "renew the client's certificate, or the CA's if depth is above 0",
        18 => "a self-signed certificate passes only if it is itself a trust anchor",
        19 => "add that root to CADirectory, CAFile or root_cert_*.pem if it is to be trusted",
        21 => {
            "the client sent one certificate whose issuer is not here: add the CA to the trust anchors, or have the \
             client send its whole chain"
        }
        22 => "the chain is longer than TLSVerifyDepth allows",
        24 | 79 => "an issuer in the chain is no CA certificate",
        25 => "a CA in the chain may not have this many CAs below it",
        26 => "see ClientCertificateEku, or issue the certificate for clientAuth",
        28 => "this trust anchor is marked as not to be trusted for TLS clients",
        34 => "it has a critical extension that OpenSSL does not know; issue it without",
        47 | 48 => "its names are outside of what its CA may issue",
        66 => {
            "its key is too short for the security level; issue a longer one, or lower it by @SECLEVEL in OpenSSLCipherList"
        }
        67 | 68 => {
            "key or signature of its chain is too weak for the security level (SHA-1, MD5, short keys); issue it anew, \
             or lower the level by @SECLEVEL in OpenSSLCipherList"
        }
        _ => "",
    }
}

/// Advice for failures that are not about the client's certificate, by OpenSSL's words.
fn hint_for_reason(reason: &str) -> &'static str {
    let table: [(&str, &str); 13] = [
        (
            "peer did not return a certificate",
            "the client has to be given a certificate, or TLSClientVerification set to Optional",
        ),
        (
            "no shared cipher",
            "see OpenSSLCipherList, and whether our certificate's key type suits the client",
        ),
        (
            "unsupported protocol",
            "the client offers no TLS version from TLSMinimumProtocol on",
        ),
        (
            "version too low",
            "the client offers no TLS version from TLSMinimumProtocol on",
        ),
        ("http request", "somebody speaks HTTP to this port"),
        (
            "https proxy request",
            "somebody takes this port for a web proxy",
        ),
        (
            "wrong version number",
            "what came in is not TLS; is the client set to TCP or UDP on this port?",
        ),
        (
            "packet length too long",
            "what came in is not TLS; is the client set to TCP or UDP on this port?",
        ),
        (
            "unknown ca",
            "the client does not trust our certificate's CA: give it the root, and check that our chain file has the intermediates",
        ),
        (
            "certificate expired",
            "the client finds our certificate expired: check it, and the client's clock",
        ),
        (
            "alert bad certificate",
            "the client refuses our certificate",
        ),
        (
            "alert certificate unknown",
            "the client refuses our certificate: does it hold the name that the client is set to?",
        ),
        (
            UNEXPECTED_EOF,
            "the client closed the connection; its own log may say why",
        ),
    ];
    table
        .iter()
        .find(|(part, _)| reason.contains(part))
        .map_or("", |(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_whatever_the_peer_wrote() {
        let refusal = HandshakeRefusal {
            sni: Some("a\nb".to_owned()),
            subject: Some("CN=x\u{1b}[2J".to_owned()),
            alt_names: vec!["DNS:a\0b".to_owned()],
            serial: Some("0A".to_owned()),
            depth: Some(1),
            issuer: Some("CN=\"y\"".to_owned()),
            code: Some(20),
            reason: "unable to get local issuer certificate".to_owned(),
            hint: "",
        };
        let line = refusal.to_string();
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        assert_eq!(
            line,
            "sni=\"a\\nb\" subject=\"CN=x\\u{1b}[2J\" san=[\"DNS:a\\0b\"] serial=0A depth=1 issuer=\"CN=\\\"y\\\"\" \
             reason=\"unable to get local issuer certificate\""
        );
    }
}
