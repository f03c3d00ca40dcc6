//! `openssl s_client` and `gnutls-cli` as peers: what they show, ask for and offer to resume, and what comes of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Pki, Request, Watched};

const PATIENCE: Duration = Duration::from_secs(10);

/// A TLS 1.3 server judges our certificate after our handshake is done: its alert comes this much later at most.
const SETTLE: Duration = Duration::from_millis(350);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    OpenSsl,
    GnuTls,
}

/// Both.
pub(super) const PROGRAMS: [Program; 2] = [Program::OpenSsl, Program::GnuTls];

/// One connection.
#[derive(Debug, Clone)]
pub(super) struct Meeting {
    pub(super) program: Program,
    /// PEM file of the test PKI, with intermediates if it has any.
    pub(super) certificate: &'static str,
    pub(super) version: &'static str,
    pub(super) sni: &'static str,
    /// Where `s_client` keeps its session.
    pub(super) session_out: Option<PathBuf>,
    pub(super) session_in: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Met {
    /// Status of the answer, or `alert` and its number.
    pub(super) outcome: String,
    /// Whether a session was resumed, as `s_client` says.
    pub(super) resumed: bool,
}

impl Meeting {
    pub(super) fn new(program: Program, certificate: &'static str) -> Self {
        Self {
            program,
            certificate,
            version: "1.3",
            sni: "example.org",
            session_out: None,
            session_in: None,
        }
    }

    pub(super) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    pub(super) fn sni(mut self, sni: &'static str) -> Self {
        self.sni = sni;
        self
    }

    /// Sends a request once the handshake stands.
    pub(super) fn ask(&self, server: SocketAddr, request: &Request) -> Met {
        let mut child = Watched::spawn(&mut match self.program {
            Program::OpenSsl => self.s_client(server),
            Program::GnuTls => self.gnutls_cli(server),
        });
        let shaken = match self.program {
            Program::OpenSsl => "SSL handshake has read",
            Program::GnuTls => "Simple Client Mode",
        };
        child.wait_until(PATIENCE, |text| {
            text.contains(shaken) || alert(text).is_some()
        });
        // A late alert must be seen before anything is sent: octets that nobody reads would reset it away.
        if !child.wait_until(SETTLE, |text| alert(text).is_some()) {
            let local = SocketAddr::from(([127, 0, 0, 1], 5061));
            child.write(&request.octets("TLS", local));
            child.wait_until(PATIENCE, |text| {
                text.contains("\r\n\r\n") || alert(text).is_some()
            });
        }
        let text = child.end();
        let status = text
            .split_once("SIP/2.0 ")
            .and_then(|(_, rest)| rest.split_once(' '));
        Met {
            outcome: match (alert(&text), status) {
                (Some(number), _) => format!("alert {number}"),
                (None, Some((status, _))) => status.to_owned(),
                (None, None) => format!("neither an answer nor an alert: {text}"),
            },
            resumed: text.contains("Reused, "),
        }
    }

    /// REGISTER for this user: 200 if the peer may use that identity.
    pub(super) fn register(&self, server: SocketAddr, uri: &str) -> Met {
        let mut request = Request::new("REGISTER", "sip:example.org", uri);
        request.contact = Some(String::new());
        self.ask(server, &request)
    }

    /// MESSAGE in the name of this URI to nobody: 480 if the peer may use that identity.
    pub(super) fn message(&self, server: SocketAddr, uri: &str) -> Met {
        self.ask(
            server,
            &Request::new("MESSAGE", "sip:nobody@example.org", uri),
        )
    }

    /// OPTIONS: 200 if the handshake stands.
    pub(super) fn ping(&self, server: SocketAddr) -> Met {
        self.ask(server, &Request::ping())
    }

    fn s_client(&self, server: SocketAddr) -> Command {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-ign_eof", "-servername", self.sni])
            .args(["-connect", &server.to_string()])
            .arg(format!("-tls{}", self.version.replace('.', "_")));
        if self.certificate != "none" {
            let file = Pki::get().client(self.certificate);
            command.arg("-cert").arg(&file).arg("-key").arg(&file);
            command.arg("-cert_chain").arg(&file);
        }
        if let Some(file) = &self.session_out {
            command.arg("-sess_out").arg(file);
        }
        if let Some(file) = &self.session_in {
            command.arg("-sess_in").arg(file);
        }
        command
    }

    fn gnutls_cli(&self, server: SocketAddr) -> Command {
        let mut command = Command::new("gnutls-cli");
        command
            .arg("--no-ca-verification")
            .arg(format!("--sni-hostname={}", self.sni))
            .arg(format!(
                "--priority=NORMAL:-VERS-ALL:+VERS-TLS{}",
                self.version
            ))
            .arg(format!("--port={}", server.port()))
            .arg(server.ip().to_string());
        if self.certificate != "none" {
            let file = Pki::get().client(self.certificate);
            command.arg("--x509certfile").arg(&file);
            command.arg("--x509keyfile").arg(&file);
        }
        command
    }
}

/// The number of the alert that either program says it received.
fn alert(text: &str) -> Option<u8> {
    let after = text
        .split_once("SSL alert number ")
        .or_else(|| text.split_once("*** Received alert ["))
        .map(|(_, rest)| rest)?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
