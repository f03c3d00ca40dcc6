//! The TLS client role against servers that others wrote, `openssl s_server` and `gnutls-serv`: right name, wrong name,
//! wrong CA, dates, CN, URI SAN, wildcard, purposes, and a client certificate asked for or not. A program that is not
//! installed is a failure, not a skip: `scripts/install-test-peers` installs them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sipvouch::auth::NamePolicy;
use sipvouch::tls::{
    self, ClientContext, ClientTls, ConnectStep, OwnIdentity, Progress, ProtocolVersion,
    ReferenceName, RevocationOptions, ServerFault, ServerRefusal, TlsOptions, TlsStream,
};
use tempfile::TempDir;

#[path = "integration/harness/pki.rs"]
#[expect(dead_code, reason = "the rest is for tests of the whole server")]
mod pki;
#[path = "integration/harness/ports.rs"]
mod ports;

use pki::Pki;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    OpenSsl,
    GnuTls,
}

/// What the server wants of our certificate, and which CA has to have issued it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    Optional(&'static str),
    Required(&'static str),
}

/// Which role of ours connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Trusts the example root for servers, takes no wildcards.
    Strict,
    /// The same with `AllowWildcardCertificates`.
    Wildcards,
    /// Has no certificate for whoever is nobody in particular.
    Nobody,
}

use Asks::{Nothing, Optional, Required};
use Role::{Nobody, Strict, Wildcards};

/// One row of the table of outcomes.
struct Row {
    situation: &'static str,
    certificate: &'static str,
    asked: &'static str,
    asks: Asks,
    role: Role,
    /// The domain that we act for.
    own: Option<&'static str>,
    wanted: &'static str,
}

const NET: &str = "other.example.net";

/// A server that asks for no certificate.
const fn names(
    situation: &'static str,
    certificate: &'static str,
    asked: &'static str,
    role: Role,
    wanted: &'static str,
) -> Row {
    Row {
        situation,
        certificate,
        asked,
        asks: Nothing,
        role,
        own: None,
        wanted,
    }
}

/// A server of the right name that asks for a certificate of ours.
const fn asks(
    situation: &'static str,
    asks: Asks,
    role: Role,
    own: Option<&'static str>,
    wanted: &'static str,
) -> Row {
    Row {
        situation,
        certificate: "other-dns",
        asked: NET,
        asks,
        role,
        own,
        wanted,
    }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    names("right name in a DNS SAN", "other-dns", NET, Strict, "ok"),
    names("right name in a URI SAN", "other-uri", NET, Strict, "ok"),
    names("right name in another letter case", "upper-dns", NET, Strict, "ok"),
    names("wrong name", "other-dns", "third.example.net", Strict, "name"),
    names("wrong CA", "other-untrusted", NET, Strict, "chain"),
    names("a CA that only clients may have", "other-vendor", NET, Strict, "chain"),
    names("self-signed", "alice-selfsigned", "example.org", Strict, "chain"),
    names("expired", "other-expired", NET, Strict, "chain"),
    names("not yet valid", "other-notyet", NET, Strict, "chain"),
    names("via an intermediate that is sent along", "other-int", NET, Strict, "ok"),
    names("name only in the CN, no SAN", "other-cn", NET, Strict, "ok"),
    names("name only in the CN, a SAN of another domain", "other-cn-san", NET, Strict, "name"),
    names("URI SAN of another domain, DNS SAN right", "other-uri-dns", NET, Strict, "name"),
    names("URI SAN with a user part only", "other-user-uri", NET, Strict, "name"),
    names("wildcard", "wildcard-dns", NET, Strict, "name"),
    names("wildcard where the setting allows it", "wildcard-dns", NET, Wildcards, "ok"),
    names("wildcard for two labels", "wildcard-dns", "a.other.example.net", Wildcards, "name"),
    names("IP SAN", "ip-san", "127.0.0.9", Strict, "ok"),
    names("IP SAN of another address", "ip-san", "127.0.0.8", Strict, "name"),
    names("address as CN", "ip-cn", "127.0.0.9", Strict, "name"),
    names("NUL in the DNS SAN", "nul-dns", NET, Strict, "name"),
    names("no EKU", "eku-none", NET, Strict, "ok"),
    names("EKU serverAuth", "eku-server", NET, Strict, "ok"),
    names("EKU sipDomain", "eku-sip", NET, Strict, "ok"),
    names("EKU any", "eku-any", NET, Strict, "ok"),
    names("EKU clientAuth alone", "eku-client", NET, Strict, "purpose"),
    asks("asks, and we have one", Optional("root-example"), Strict, Some("example.org"), "ok"),
    asks("asks, and we have none", Optional("root-example"), Nobody, None, "ok"),
    asks("wants one of its CA", Required("root-example"), Strict, Some("example.org"), "ok"),
    asks("wants one of its CA, and we act for nobody", Required("root-vendor"), Nobody, None, "ok"),
    asks("wants one of the CA of another domain of ours", Required("root-vendor"), Strict, Some("example.com"), "ok"),
    asks("wants one of a CA that ours is not of", Required("root-vendor"), Strict, Some("example.org"), "refused-us"),
    asks("wants one, and we have none", Required("root-untrusted"), Nobody, None, "refused-us"),
];

#[test]
fn openssl_s_server_gets_the_outcome_of_every_row() {
    every_row(Program::OpenSsl);
}

#[test]
fn gnutls_serv_gets_the_outcome_of_every_row() {
    every_row(Program::GnuTls);
}

fn every_row(program: Program) {
    let place = own_certificates();
    let (strict, wide, nobody) = (
        context(&place, false, OwnIdentity::Domain("example.org".to_owned())),
        context(&place, true, OwnIdentity::Domain("example.org".to_owned())),
        context(&place, false, OwnIdentity::None),
    );
    let rows = TABLE.iter().flat_map(|row| [(row, "1.2"), (row, "1.3")]);
    let next = Mutex::new(rows);
    let faults = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let step = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((row, version)) = step else { return };
                    let role = match row.role {
                        Strict => &strict,
                        Wildcards => &wide,
                        Nobody => &nobody,
                    };
                    let server = Server::start(program, row.certificate, row.asks, version);
                    let got = talk(role, row.asked, row.own, server.address);
                    let word = got.as_ref().map_or_else(|e| e.fault.as_str(), |()| "ok");
                    if word != row.wanted {
                        let line = format!(
                            "  TLS {version} {}: wanted {}, got {got:?}",
                            row.situation, row.wanted
                        );
                        faults
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(line);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(
        faults.is_empty(),
        "{program:?}: {} of {} went wrong:\n{}",
        faults.len(),
        2 * TABLE.len(),
        faults.join("\n")
    );
}

#[test]
fn a_server_that_speaks_only_versions_below_the_settings_is_not_talked_to() {
    let place = own_certificates();
    let mut options = options(&place);
    options.minimum = ProtocolVersion::Tls1_3;
    let context = load(&options, &client(false, OwnIdentity::Default));
    // GnuTLS says handshake_failure where OpenSSL says protocol_version.
    for (program, alert) in [(Program::OpenSsl, 70), (Program::GnuTls, 40)] {
        for (version, wanted) in [("1.2", Some(ServerFault::RefusedUs(alert))), ("1.3", None)] {
            let server = Server::start(program, "other-dns", Nothing, version);
            let got = talk(&context, NET, None, server.address);
            let fault = got.err().map(|refusal| refusal.fault);
            assert_eq!(fault, wanted, "{program:?} {version}");
        }
    }
}

/// Certificates of two domains of ours, from two CAs.
fn own_certificates() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for (name, source) in [
        ("domain_cert_example.org.pem", "server/server-rsa.crt"),
        ("domain_key_example.org.pem", "server/server-rsa.key"),
        ("domain_cert_example.com.pem", "clients/own-com.crt"),
        ("domain_key_example.com.pem", "clients/own-com.key"),
    ] {
        fs::copy(Pki::get().path(source), place.path().join(name)).unwrap();
    }
    place
}

fn options(place: &TempDir) -> TlsOptions {
    TlsOptions {
        certificate_path: Some(place.path().to_owned()),
        ca_directories: Vec::new(),
        // For clients; the role below trusts less.
        ca_files: ["root-example", "root-vendor"]
            .map(|name| Pki::get().path(&format!("ca/{name}.crt")))
            .to_vec(),
        pass_phrase: None,
        dh_params: None,
        cipher_list: String::new(),
        cipher_suites: None,
        groups: None,
        minimum: ProtocolVersion::Tls1_2,
        maximum: ProtocolVersion::Tls1_3,
        set_options: None,
        clear_options: Vec::new(),
        verify_depth: 9,
        session_tickets: true,
        session_lifetime: 3_600,
        verified_chain_cache: 1_000,
        revocation: RevocationOptions::default(),
    }
}

fn client(wildcards: bool, fallback: OwnIdentity) -> ClientTls {
    ClientTls {
        ca_files: vec![Pki::get().path("ca/root-example.crt")],
        fallback,
        names: NamePolicy {
            wildcards,
            ..NamePolicy::default()
        },
        ..ClientTls::default()
    }
}

fn context(place: &TempDir, wildcards: bool, fallback: OwnIdentity) -> ClientContext {
    load(&options(place), &client(wildcards, fallback))
}

fn load(options: &TlsOptions, client: &ClientTls) -> ClientContext {
    tls::load(options, &[], client).unwrap().client
}

/// Connects, sends a line and has something sent back.
fn talk(
    context: &ClientContext,
    asked: &str,
    own: Option<&str>,
    server: SocketAddr,
) -> Result<(), Box<ServerRefusal>> {
    let socket = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let asked = ReferenceName::parse(asked).unwrap();
    let expectation = context.expectation(&asked, own);
    let ssl = context.connect_state(&expectation, server).unwrap();
    let mut stream = TlsStream::new(ssl, socket).unwrap();
    match stream.connect() {
        ConnectStep::Done(established) => assert!(established.certificate.is_some()),
        ConnectStep::Refused(refusal) => return Err(refusal),
        ConnectStep::Wait => panic!("the handshake stalled"),
    }
    // A server that refuses us in TLS 1.3 may have closed already.
    let written = stream.write(b"ping\n");
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut some = [0; 64];
        match stream.read(&mut some) {
            Progress::Octets(octets) => line.extend_from_slice(&some[..octets]),
            other => match stream.refused_by_server() {
                Some(refusal) => return Err(Box::new(refusal.clone())),
                None => panic!("{asked}: {written:?}, then {other:?}"),
            },
        }
    }
    assert!(line == b"ping\n" || line == b"gnip\n", "{line:?}");
    stream.close();
    Ok(())
}

/// A server program; it ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(program: Program, certificate: &str, asks: Asks, version: &str) -> Self {
        let (mut command, port, ready) = match program {
            Program::OpenSsl => (s_server(certificate, asks, version), None, "ACCEPT "),
            Program::GnuTls => {
                let port = ports::free_port();
                let command = gnutls_serv(certificate, asks, version, port);
                (command, Some(port), "listening on IPv4")
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program:?}: {e}; see scripts/install-test-peers"));
        let (told, telling) = channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let told = told.clone();
            // Read to the end, so that the program is never held up by what it prints.
            thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                    let _ = told.send(String::from_utf8_lossy(&line).into_owned());
                }
            });
        }
        drop(told);
        let mut said = Vec::new();
        let line = loop {
            match telling.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(ready) => break line,
                Ok(line) => said.push(line),
                Err(_) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    panic!("{program:?} with {certificate} does not serve: {said:?}");
                }
            }
        };
        let address = match port {
            Some(port) => SocketAddr::from(([127, 0, 0, 1], port)),
            None => line.trim_start_matches(ready).trim().parse().unwrap(),
        };
        Self { child, address }
    }
}

fn s_server(certificate: &str, asks: Asks, version: &str) -> Command {
    let pki = Pki::get();
    let file = pki.client(certificate);
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-rev", "-no_ticket"])
        .arg(format!("-tls{}", version.replace('.', "_")))
        .arg("-cert")
        .arg(&file)
        .arg("-key")
        .arg(&file)
        .arg("-cert_chain")
        .arg(&file);
    match asks {
        Nothing => {}
        Optional(ca) => {
            command
                .args(["-verify", "5", "-CAfile"])
                .arg(pki.path(&format!("ca/{ca}.crt")));
        }
        Required(ca) => {
            command
                .args(["-Verify", "5", "-verify_return_error", "-CAfile"])
                .arg(pki.path(&format!("ca/{ca}.crt")));
        }
    }
    command
}

/// It cannot be told to listen on loopback alone.
fn gnutls_serv(certificate: &str, asks: Asks, version: &str, port: u16) -> Command {
    let pki = Pki::get();
    let file = pki.client(certificate);
    let mut command = Command::new("gnutls-serv");
    command
        .args(["--echo", "--crlf", "--noticket", "--nodb"])
        .arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"))
        .arg(format!("--port={port}"))
        .arg("--x509certfile")
        .arg(&file)
        .arg("--x509keyfile")
        .arg(&file);
    match asks {
        Nothing => {
            command.arg("--disable-client-cert");
        }
        Optional(ca) => {
            command
                .args(["--verify-client-cert", "--x509cafile"])
                .arg(pki.path(&format!("ca/{ca}.crt")));
        }
        Required(ca) => {
            command
                .args([
                    "--require-client-cert",
                    "--verify-client-cert",
                    "--x509cafile",
                ])
                .arg(pki.path(&format!("ca/{ca}.crt")));
        }
    }
    command
}
