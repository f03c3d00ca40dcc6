//! The line of the audit log for one verdict of admission (docs/audit.md).

use std::fmt::Write as _;
use std::net::SocketAddr;

use jiff::Timestamp;
use log::error;
use serde::Serialize;

use super::origin::Origin;
use super::worker::Worker;
use crate::auth::{IdentityPath, PeerCertificate, Refusal, Said};
use crate::logging;
use crate::proxy::{self, Audited};
use crate::sip::{Message, StatusCode};

/// One line, in the order of its members.
#[derive(Serialize)]
struct Record<'r> {
    time: String,
    id: String,
    outcome: &'static str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ground: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'r str>,
    rules: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_refuse: Option<String>,
    path: &'static str,
    method: &'r str,
    from: &'r str,
    to: &'r str,
    call_id: &'r str,
    transport: &'static str,
    source: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<SocketAddr>,
    conn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate<'r>>,
    waited_ms: f64,
}

/// What the peer has shown.
#[derive(Serialize)]
struct Certificate<'r> {
    names: String,
    subject: &'r str,
    issuer: &'r str,
    serial: &'r str,
    fingerprint: String,
    ca: &'r str,
    ca_fingerprint: String,
}

impl<'r> Certificate<'r> {
    fn new(own: &'r PeerCertificate, names: String) -> Self {
        Self {
            names,
            subject: &own.subject,
            issuer: &own.issuer,
            serial: &own.serial,
            fingerprint: hex(&own.fingerprint),
            ca: &own.anchor_subject,
            ca_fingerprint: hex(&own.anchor_fingerprint),
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

impl Worker {
    /// Writes what admission said of a message, if there is an audit log.
    pub(super) fn write_audit(&self, origin: &Origin<'_>, audited: &Audited) {
        let Some(log) = logging::audit() else {
            return;
        };
        let Audited { record, .. } = audited;
        let (ground, reason) = match &record.said {
            Said::Admitted(ground) => (Some(ground.to_string()), None),
            Said::Refused(refusal) | Said::Challenged(refusal) | Said::Dropped(refusal) => {
                (None, Some(refusal.to_string()))
            }
            Said::Undecided(_) => (None, None),
        };
        let (listener, proof) = match origin {
            // What a server has shown that we have connected to says nothing about its requests.
            Origin::Connection(connection) => match connection.dial {
                None => (Some(connection.listener), connection.proof.as_ref()),
                Some(_) => (None, None),
            },
            Origin::Datagram(datagram) => (Some(usize::from(datagram.listener)), None),
        };
        let certificate = proof.map(|proof| {
            let names = proof.identities.to_string();
            Certificate::new(&proof.certificate, names)
        });
        let line = Record {
            time: format!("{:.3}", Timestamp::now()),
            id: audited.id.to_string(),
            outcome: record.said.outcome(),
            verdict: record.said.id(),
            ground,
            reason,
            status: audited.status.map(StatusCode::as_u16),
            identity: record.identity.as_deref(),
            rules: record.rules.word(),
            would_refuse: record.would_refuse.as_ref().map(Refusal::to_string),
            path: match audited.path {
                IdentityPath::Proxy => "proxy",
                IdentityPath::Registrar => "registrar",
            },
            method: &audited.method,
            from: &audited.from,
            to: &audited.to,
            call_id: &audited.call_id,
            transport: origin.transport().as_str(),
            source: origin.peer(),
            listener: listener.and_then(|number| self.shared.listeners.get(number).copied()),
            conn: origin.name().to_string(),
            certificate,
            waited_ms: audited.waited.as_micros() as f64 / 1_000.0,
        };
        match serde_json::to_vec(&line) {
            Ok(mut line) => {
                line.push(b'\n');
                log.write(line);
            }
            // Its members are numbers and texts, which all can be written.
            Err(error) => error!("audit.unwritable error={:?}", error.to_string()),
        }
    }

    /// Writes that a request was answered with this because nobody could say whether it may pass.
    pub(super) fn write_undecided(
        &mut self,
        origin: &Origin<'_>,
        message: &Message<'_>,
        status: StatusCode,
        why: &'static str,
    ) {
        let audited = proxy::undecided(message, &self.context(origin, ""), status, why);
        if let Some(audited) = audited {
            self.write_audit(origin, &audited);
        }
    }
}
