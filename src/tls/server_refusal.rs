//! Why a server is not talked to, in words for one log line; and which of repro's reason phrases says so upstream.

use std::fmt;

use openssl::ssl::{Error, ErrorCode};
use openssl_sys as sys;

use super::connected::CA_RIGHTS;
use super::handshake::HandshakeRefusal;
use super::{ReferenceName, Shown};
use crate::auth::{Identities, IdentityKind};

/// Most names shown.
const MAX_SHOWN: usize = 8;

/// OpenSSL numbers the alerts of a peer from here on (`SSL_AD_REASON_OFFSET` of ssl.h).
const ALERT_OFFSET: i32 = 1_000;

/// What kept us from talking to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFault {
    /// Its chain: no trust anchor, dates, a signature too weak. The number is of OpenSSL's x509_vfy.h.
    Chain(i32),
    /// Its certificate is for another use than a server's.
    Purpose,
    /// Its certificate is good, and not for the name that was asked for.
    Name,
    /// Its certificate is for that name, and its CA may not vouch for it (`CARights`).
    CaRights,
    /// It refused us, by this alert (RFC 8446 §6.2).
    RefusedUs(u8),
    /// It does not speak a TLS that we speak, or no TLS at all.
    Protocol,
    /// The connection ended or broke.
    Broken,
}

impl ServerFault {
    /// The word for it in a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chain(_) => "chain",
            Self::Purpose => "purpose",
            Self::Name => "name",
            Self::CaRights => "ca-rights",
            Self::RefusedUs(_) => "refused-us",
            Self::Protocol => "protocol",
            Self::Broken => "broken",
        }
    }

    /// repro's reason phrase for the answer upstream; `None` where any failure of a transport has the same.
    pub fn reason_phrase(self) -> Option<&'static str> {
        match self {
            Self::Chain(_) | Self::Purpose => Some("Certificate Validation Failure"),
            Self::Name | Self::CaRights => Some("Certificate Name Mismatch"),
            Self::RefusedUs(_) | Self::Protocol | Self::Broken => None,
        }
    }
}

/// A server that is not talked to. `Display` gives a fragment of one log line in which every word of the peer is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRefusal {
    /// What kept us.
    pub fault: ServerFault,
    /// The name that was asked for.
    pub reference: Option<ReferenceName>,
    /// The names of its certificate, the first few, with what keeps each from being a domain.
    pub found: Vec<String>,
    /// Subject of its certificate.
    pub subject: Option<String>,
    /// Its serial number, hexadecimal.
    pub serial: Option<String>,
    /// Where in the chain the fault is; 0 is its own certificate.
    pub depth: Option<u32>,
    /// Issuer of the certificate at that depth: the one that was wanted, where it is not known.
    pub issuer: Option<String>,
    /// What we had shown by then.
    pub shown: Shown,
    /// What is wrong.
    pub reason: String,
    /// What to do about it; empty if we know nothing better than the reason.
    pub hint: &'static str,
}

impl fmt::Display for ServerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            // A reference name has letters, digits and the marks of addresses.
            Some(reference) => write!(f, "wanted={reference}")?,
            None => f.write_str("wanted=-")?,
        }
        write!(f, " fault={}", self.fault.as_str())?;
        if let Some(subject) = &self.subject {
            write!(f, " found={:?} subject={subject:?}", self.found)?;
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
        write!(f, " own={} reason={:?}", self.shown, self.reason)?;
        if !self.hint.is_empty() {
            write!(f, " hint={:?}", self.hint)?;
        }
        Ok(())
    }
}

impl ServerRefusal {
    /// A state that should not be; fails closed.
    pub(super) fn internal(reference: Option<&ReferenceName>, reason: &str) -> Box<Self> {
        Box::new(Self {
            reference: reference.cloned(),
            ..Self::new(ServerFault::Protocol, reason.to_owned(), "")
        })
    }

    fn new(fault: ServerFault, reason: String, hint: &'static str) -> Self {
        Self {
            fault,
            reference: None,
            found: Vec::new(),
            subject: None,
            serial: None,
            depth: None,
            issuer: None,
            shown: Shown::NotAsked,
            reason,
            hint,
        }
    }

    /// Our own refusal of its certificate.
    pub(super) fn of_certificate(refused: HandshakeRefusal) -> Self {
        let fault = match refused.code {
            Some(sys::X509_V_ERR_HOSTNAME_MISMATCH | sys::X509_V_ERR_IP_ADDRESS_MISMATCH) => {
                ServerFault::Name
            }
            Some(CA_RIGHTS) => ServerFault::CaRights,
            Some(sys::X509_V_ERR_INVALID_PURPOSE) => ServerFault::Purpose,
            code => ServerFault::Chain(code.unwrap_or(sys::X509_V_ERR_APPLICATION_VERIFICATION)),
        };
        Self {
            found: refused.alt_names,
            subject: refused.subject,
            serial: refused.serial,
            depth: refused.depth,
            issuer: refused.issuer,
            ..Self::new(fault, refused.reason, hint_for_fault(fault))
        }
    }

    /// Whatever else OpenSSL failed with.
    pub(super) fn of_error(error: &Error) -> Self {
        if let Some(alert) = received_alert(error) {
            return Self::of_alert(alert);
        }
        let reason = error
            .ssl_error()
            .and_then(|stack| stack.errors().iter().find_map(|error| error.reason()));
        match reason {
            Some(UNEXPECTED_EOF) | None => {}
            Some(reason) => {
                let hint = hint_for_reason(reason);
                return Self::new(ServerFault::Protocol, reason.to_owned(), hint);
            }
        }
        let reason = match (error.io_error(), error.code()) {
            (Some(io), _) => format!("the connection broke: {io}"),
            (None, ErrorCode::ZERO_RETURN) => "the server ended TLS".to_owned(),
            (None, ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
                "the handshake was not finished in time".to_owned()
            }
            _ => UNEXPECTED_EOF.to_owned(),
        };
        let hint = "see the server's own log: it closed the connection without an alert";
        Self::new(
            ServerFault::Broken,
            reason,
            if error.io_error().is_none() { hint } else { "" },
        )
    }

    /// The server has sent a fatal alert.
    pub(super) fn of_alert(alert: u8) -> Self {
        let (name, hint) = alert_text(alert);
        let reason = format!("the server refused us: {name} (alert {alert})");
        Self::new(ServerFault::RefusedUs(alert), reason, hint)
    }
}

const UNEXPECTED_EOF: &str = "unexpected eof while reading";

/// The fatal alert of the peer that an operation failed with.
pub(super) fn received_alert(error: &Error) -> Option<u8> {
    let errors = error.ssl_error()?.errors();
    errors
        .iter()
        .find_map(|error| u8::try_from(error.reason_code().checked_sub(ALERT_OFFSET)?).ok())
}

/// The names of a certificate, the first few, each with what keeps it from being a domain identity.
pub(super) fn names_of(identities: &Identities) -> Vec<String> {
    let usable = identities.names().iter().map(|name| match name.kind {
        IdentityKind::Domain | IdentityKind::Wildcard | IdentityKind::Ip(_) => name.to_string(),
        IdentityKind::User => format!("{name} (a user is no domain)"),
        IdentityKind::Label => format!("{name} (no domain)"),
        IdentityKind::KeyOnly(why) => format!("{name} ({why})"),
    });
    let kept = |what: &str| {
        let names = identities.names().iter();
        names
            .filter(|name| matches!(name.kind, IdentityKind::KeyOnly(_)))
            .any(|name| name.text() == what)
    };
    let unusable = identities
        .unusable()
        .iter()
        .filter(|name| !kept(&name.what))
        .map(|name| format!("{}:{} ({})", name.source.as_str(), name.what, name.why));
    usable.chain(unusable).take(MAX_SHOWN).collect()
}

/// Advice about the certificates of servers; numbers of x509_vfy.h.
fn hint_for_fault(fault: ServerFault) -> &'static str {
    match fault {
        ServerFault::Name => {
            "the server needs a certificate for the name that was asked for, not for its host or address; \
             TLSDestination<N>ExpectedName asks for another"
        }
        ServerFault::CaRights => {
            "add a rule with roles=server to the lines of this CA in that file, if it is to be believed"
        }
        ServerFault::Purpose => {
            "a certificate for clients alone is no server's; have it issued for serverAuth or sipDomain"
        }
        ServerFault::Chain(2 | 20 | 21) => {
            "its issuer is not among the trust anchors of the client role, or the server does not send the intermediate: \
             add the CA to TLSClientRoleCAFile (or, without that, to CAFile), or have the server send its whole chain"
        }
        ServerFault::Chain(3 | 44) => {
            "there is no CRL of this issuer: put it into TLSClientRoleCRLFile (or, without that, into CRLFile)"
        }
        ServerFault::Chain(12) => "the CRL of this issuer is over: get the next one",
        ServerFault::Chain(23) => {
            "its CA has taken the certificate back; the server needs another one"
        }
        ServerFault::Chain(73) => {
            "the server has to be set to send an OCSP response (stapling), or TLSDestination<N>RequireStaple to false"
        }
        ServerFault::Chain(74) => "the server has to renew its OCSP response, or send none",
        ServerFault::Chain(9) => "compare the clocks of this machine and of the CA",
        ServerFault::Chain(10) => {
            "the server's certificate has to be renewed, or its CA's if depth is above 0"
        }
        ServerFault::Chain(18 | 19) => {
            "what is self-signed passes only if it is itself a trust anchor of the client role (TLSClientRoleCAFile)"
        }
        ServerFault::Chain(22) => "the chain is longer than TLSVerifyDepth allows",
        ServerFault::Chain(28) => {
            "this trust anchor is marked as not to be trusted for TLS servers"
        }
        ServerFault::Chain(66..=68) => {
            "key or signature of its chain is too weak for the security level; it has to be issued anew, or the level \
             lowered by @SECLEVEL in OpenSSLCipherList"
        }
        _ => "",
    }
}

/// Advice for failures that are not about certificates, by OpenSSL's words.
fn hint_for_reason(reason: &str) -> &'static str {
    let table: [(&str, &str); 5] = [
        (
            "wrong version number",
            "what came back is not TLS; does that port speak TCP or HTTP?",
        ),
        (
            "packet length too long",
            "what came back is not TLS; does that port speak TCP or HTTP?",
        ),
        ("http", "what came back is HTTP"),
        (
            "unsupported protocol",
            "the server offers no TLS version from TLSMinimumProtocol on; TLSDestination<N>MinimumProtocol allows an older \
             one to it alone",
        ),
        (
            "dh key too small",
            "its key exchange is too weak for the security level",
        ),
    ];
    table
        .iter()
        .find(|(part, _)| reason.contains(part))
        .map_or("", |(_, hint)| hint)
}

/// Name of an alert and what to do about it (RFC 8446 §6.2).
fn alert_text(alert: u8) -> (&'static str, &'static str) {
    match alert {
        40 => (
            "handshake_failure",
            "no version or cipher in common, or up to TLS 1.2 it wants a certificate of ours; its log may say which",
        ),
        42 => (
            "bad_certificate",
            "it does not take our certificate; does that name the domain that it expects?",
        ),
        43 => (
            "unsupported_certificate",
            "it does not take our certificate for a client's: public CAs issue for serverAuth alone since 2026; \
             TLSDestination<N>OwnDomain = None shows it none",
        ),
        44 => (
            "certificate_revoked",
            "it has our certificate revoked; get another",
        ),
        45 => (
            "certificate_expired",
            "it finds our certificate expired: check that, and its clock",
        ),
        46 => (
            "certificate_unknown",
            "it does not take our certificate; its log may say why",
        ),
        48 => (
            "unknown_ca",
            "it does not trust the CA of our certificate, or lacks our intermediate",
        ),
        49 => (
            "access_denied",
            "it takes our certificate for good and lets nobody of that name in",
        ),
        70 => (
            "protocol_version",
            "it speaks no TLS version between TLSMinimumProtocol and TLSMaximumProtocol",
        ),
        71 => (
            "insufficient_security",
            "it wants stronger ciphers than OpenSSLCipherList offers",
        ),
        80 => ("internal_error", "see its own log"),
        112 => (
            "unrecognized_name",
            "it serves no such domain; TLSDestination<N>ExpectedName asks for another",
        ),
        116 => (
            "certificate_required",
            "it wants a certificate: give us one for the domain that we act for, or TLSClientRoleOwnDomain",
        ),
        120 => ("no_application_protocol", "it does not speak SIP there"),
        _ => ("an alert", "see its own log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_whatever_the_server_wrote() {
        let refusal = ServerRefusal {
            reference: ReferenceName::parse("example.net"),
            found: vec!["DNS:a\r\nb".to_owned()],
            subject: Some("CN=x\u{1b}[2J".to_owned()),
            serial: Some("0A".to_owned()),
            depth: Some(0),
            issuer: Some("CN=\"y\"".to_owned()),
            shown: Shown::Domain("example.org".to_owned()),
            ..ServerRefusal::new(ServerFault::Name, "no name".to_owned(), "")
        };
        let line = refusal.to_string();
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        assert_eq!(
            line,
            "wanted=example.net fault=name found=[\"DNS:a\\r\\nb\"] subject=\"CN=x\\u{1b}[2J\" serial=0A depth=0 \
             issuer=\"CN=\\\"y\\\"\" own=\"example.org\" reason=\"no name\""
        );
    }

    #[test]
    fn repros_phrases_tell_a_bad_chain_from_a_wrong_name() {
        for (fault, phrase) in [
            (
                ServerFault::Chain(20),
                Some("Certificate Validation Failure"),
            ),
            (ServerFault::Purpose, Some("Certificate Validation Failure")),
            (ServerFault::Name, Some("Certificate Name Mismatch")),
            (ServerFault::RefusedUs(48), None),
            (ServerFault::Protocol, None),
            (ServerFault::Broken, None),
        ] {
            assert_eq!(fault.reason_phrase(), phrase, "{fault:?}");
        }
    }
}
