//! Programs that others wrote, against this server: `openssl s_client`, `gnutls-cli`, `baresip`. A program that is not
//! installed is a failure, not a skip: `scripts/install-test-peers` installs them.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::harness::{Pki, Request, Server, Setup, TlsPeer, free_port, report, tests_dir};

/// What a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Nothing,
    /// PEM file of the test PKI.
    Certificate(&'static str),
    /// The same with its intermediate.
    Chain(&'static str, &'static str),
}

use Shows::{Certificate, Chain, Nothing};

/// What comes of a certificate that is asked for: the handshake stands, or this alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Alert(u8),
    /// In mode Mandatory only: handshake_failure in TLS 1.2, certificate_required in TLS 1.3.
    Missing,
}

const CERTIFICATES: &[(&str, Shows, Verdict)] = &[
    ("no certificate", Nothing, Verdict::Missing),
    ("a good one", Certificate("alice-uri"), Verdict::Good),
    ("expired", Certificate("alice-expired"), Verdict::Alert(45)),
    (
        "of a CA nobody trusts",
        Certificate("alice-untrusted"),
        Verdict::Alert(48),
    ),
    // CRLs come with an issue of their own; until then a revoked certificate is as good as its dates.
    (
        "revoked, and no CRL configured",
        Certificate("alice-revoked"),
        Verdict::Good,
    ),
    (
        "via an intermediate that is sent along",
        Chain("alice-int-chain", "int-users"),
        Verdict::Good,
    ),
    (
        "via an intermediate that is not sent",
        Certificate("alice-int"),
        Verdict::Alert(48),
    ),
    (
        "of a phone: a MAC address in its CN",
        Certificate("phone-0004F22B3EB5"),
        Verdict::Good,
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    OpenSsl,
    GnuTls,
}

#[test]
fn openssl_s_client_sees_the_outcome_of_every_certificate_and_mode() {
    every_combination(Program::OpenSsl);
}

#[test]
fn gnutls_cli_sees_the_outcome_of_every_certificate_and_mode() {
    every_combination(Program::GnuTls);
}

fn every_combination(program: Program) {
    let mut faults = Vec::new();
    let mut runs = 0;
    for mode in ["None", "Optional", "Mandatory"] {
        let server = Setup::usual().set("TLSClientVerification", mode).start();
        let combinations: Vec<_> = CERTIFICATES
            .iter()
            .flat_map(|row| [(row, "1.2"), (row, "1.3")])
            .collect();
        runs += combinations.len();
        let next = Mutex::new(combinations.into_iter());
        let found = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let step = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some(((what, shows, verdict), version)) = step else { return };
                        let wanted = wanted(mode, *verdict, version);
                        let got = talk(program, server.tls(), *shows, version);
                        if got != wanted {
                            let line = format!("  {program:?} {mode} TLS {version} {what}: wanted {wanted}, got {got}");
                            found.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                        }
                    }
                });
            }
        });
        faults.extend(found.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    report(&format!(
        "interop {program:?}: combinations {runs}, as wanted {}\n",
        runs - faults.len()
    ));
    assert!(
        faults.is_empty(),
        "{} combinations went wrong:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn wanted(mode: &str, verdict: Verdict, version: &str) -> String {
    match (mode, verdict, version) {
        ("None", _, _) | (_, Verdict::Good, _) | ("Optional", Verdict::Missing, _) => {
            "200".to_owned()
        }
        (_, Verdict::Missing, "1.2") => "alert 40".to_owned(),
        (_, Verdict::Missing, _) => "alert 116".to_owned(),
        (_, Verdict::Alert(number), _) => format!("alert {number}"),
    }
}

/// Runs the program, sends an OPTIONS, and tells the status it got or the alert it reports.
fn talk(program: Program, server: SocketAddr, shows: Shows, version: &str) -> String {
    let pki = Pki::get();
    let mut command = match program {
        Program::OpenSsl => {
            let mut command = Command::new("openssl");
            command
                .args([
                    "s_client",
                    "-ign_eof",
                    "-servername",
                    "example.org",
                    "-verify_return_error",
                ])
                .args(["-connect", &server.to_string()])
                .arg(if version == "1.2" {
                    "-tls1_2"
                } else {
                    "-tls1_3"
                })
                .arg("-CAfile")
                .arg(pki.path("ca/root-example.crt"));
            if let Certificate(name) | Chain(name, _) = shows {
                command
                    .arg("-cert")
                    .arg(pki.client(name))
                    .arg("-key")
                    .arg(pki.client(name));
            }
            if let Chain(_, intermediate) = shows {
                command
                    .arg("-cert_chain")
                    .arg(pki.path(&format!("ca/{intermediate}.crt")));
            }
            command
        }
        Program::GnuTls => {
            let mut command = Command::new("gnutls-cli");
            command
                .args([
                    "--sni-hostname=example.org",
                    "--verify-hostname=example.org",
                ])
                .arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"))
                .arg(format!("--port={}", server.port()))
                .arg(server.ip().to_string())
                .arg("--x509cafile")
                .arg(pki.path("ca/root-example.crt"));
            if let Certificate(name) | Chain(name, _) = shows {
                command.arg("--x509certfile").arg(pki.client(name));
                command.arg("--x509keyfile").arg(pki.client(name));
            }
            command
        }
    };
    let mut child = Watched::spawn(&mut command);
    let shaken = match program {
        Program::OpenSsl => "SSL handshake has read",
        Program::GnuTls => "Simple Client Mode",
    };
    child.wait_until(Duration::from_secs(10), |text| {
        text.contains(shaken) || alert(text).is_some()
    });
    // A late alert must be seen before anything is sent: octets that nobody reads would reset it away.
    let alert_or_end = child.wait_until(Duration::from_millis(350), |text| alert(text).is_some());
    if !alert_or_end {
        let local = SocketAddr::from(([127, 0, 0, 1], 5061));
        child.write(&Request::ping().octets("TLS", local));
        child.wait_until(Duration::from_secs(10), |text| {
            text.contains("\r\n\r\n") || alert(text).is_some()
        });
    }
    let text = child.end();
    if let Some(number) = alert(&text) {
        return format!("alert {number}");
    }
    match text
        .split_once("SIP/2.0 ")
        .and_then(|(_, rest)| rest.split_once(' '))
    {
        Some((status, _)) => status.to_owned(),
        None => format!("neither an answer nor an alert: {text}"),
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

#[test]
fn baresip_registers_with_its_certificate() {
    let server = Setup::usual()
        .set("TLSClientVerification", "Mandatory")
        .start();
    let phone = Baresip::new(&server, "alice-uri", "alice");
    let mut running = phone.run();
    let registered = running.wait_until(Duration::from_secs(15), |text| text.contains("200 OK"));
    let text = running.text();
    assert!(
        registered,
        "baresip did not register:\n{text}\n{}",
        server.log()
    );

    let mut query = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
    query.contact = Some(String::new());
    let answer = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake")
        .ask(&query)
        .response();
    let contacts: Vec<&str> = answer.values("contact").collect();
    assert_eq!(answer.status, 200);
    assert!(
        contacts
            .iter()
            .any(|contact| contact.contains("sip:alice-")),
        "bindings of alice: {contacts:?}"
    );
    running.end();
}

#[test]
fn baresip_is_refused_when_its_account_is_not_its_certificates() {
    let server = Setup::usual()
        .set("TLSClientVerification", "Mandatory")
        .start();
    let phone = Baresip::new(&server, "alice-uri", "bob");
    let mut running = phone.run();
    let refused = running.wait_until(Duration::from_secs(15), |text| text.contains("403 "));
    let text = running.text();
    assert!(
        refused,
        "baresip was not refused:\n{text}\n{}",
        server.log()
    );
    assert!(
        !text.contains("200 OK"),
        "baresip registered somebody else:\n{text}"
    );
    let logged = server.wait_after(&mut 0, &["auth.refused"], Duration::from_secs(5));
    assert!(
        logged.is_some(),
        "no log line about the refusal:\n{}",
        server.log()
    );
    running.end();
}

#[test]
fn baresip_with_a_mapped_phone_certificate_registers_the_user_it_is_mapped_to() {
    let setup = Setup::usual()
        .set("TLSClientVerification", "Mandatory")
        .set("CommonNameMappings", "mappings.txt");
    let mappings = tests_dir().join("golden/tlsUserMappings.txt");
    fs::copy(mappings, setup.dir().join("mappings.txt")).expect("mappings");
    let server = setup.start();
    let phone = Baresip::new(&server, "phone-0004F22B3EB5", "alice");
    let mut running = phone.run();
    let registered = running.wait_until(Duration::from_secs(15), |text| text.contains("200 OK"));
    let text = running.end();
    assert!(
        registered,
        "baresip did not register:\n{text}\n{}",
        server.log()
    );
}

/// A configuration of baresip 1.0 with one account.
struct Baresip {
    dir: tempfile::TempDir,
}

impl Baresip {
    fn new(server: &Server, certificate: &str, user: &str) -> Self {
        let pki = Pki::get();
        let dir = tempfile::Builder::new()
            .prefix("baresip-")
            .tempdir()
            .expect("a directory");
        let mut config = String::new();
        let _ = writeln!(config, "module_path {}", modules().display());
        config.push_str("module_app account.so\nsip_transports tls\nnet_interface 127.0.0.1\n");
        let _ = writeln!(config, "sip_listen 127.0.0.1:{}", free_port());
        let _ = writeln!(
            config,
            "sip_certificate {}",
            pki.client(certificate).display()
        );
        let _ = writeln!(
            config,
            "sip_cafile {}",
            pki.path("ca/root-example.crt").display()
        );
        fs::write(dir.path().join("config"), config).expect("configuration of baresip");
        // A password, so that it does not ask for one; nobody does.
        let account = format!(
            "<sip:{user}@example.org;transport=tls>;outbound=\"sip:{};transport=tls\";regint=60;auth_pass=none\n",
            server.tls()
        );
        fs::write(dir.path().join("accounts"), account).expect("account of baresip");
        fs::write(dir.path().join("contacts"), "").expect("contacts of baresip");
        Self { dir }
    }

    fn run(&self) -> Watched {
        // -s traces every message to the terminal: that is where the answers are read from.
        Watched::spawn(
            Command::new("baresip")
                .arg("-f")
                .arg(self.dir.path())
                .args(["-v", "-s"]),
        )
    }
}

fn modules() -> PathBuf {
    ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules"]
        .iter()
        .map(Path::new)
        .find(|path| path.is_dir())
        .expect("the modules of baresip: scripts/install-test-peers")
        .to_owned()
}

/// A foreign program and what it prints; ended on drop.
struct Watched {
    child: Child,
    printed: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Watched {
    fn spawn(command: &mut Command) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}; scripts/install-test-peers installs it"));
        let printed = Arc::default();
        let mut readers = Vec::new();
        readers.extend(
            child
                .stdout
                .take()
                .map(|pipe| collect(pipe, Arc::clone(&printed))),
        );
        readers.extend(
            child
                .stderr
                .take()
                .map(|pipe| collect(pipe, Arc::clone(&printed))),
        );
        Self {
            child,
            printed,
            readers,
        }
    }

    fn write(&mut self, octets: &[u8]) {
        if let Some(stdin) = &mut self.child.stdin {
            let _ = stdin.write_all(octets).and_then(|()| stdin.flush());
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().unwrap_or_else(PoisonError::into_inner))
            .into_owned()
    }

    /// Waits until what it printed fulfils `done`, or it has ended; false at the deadline.
    fn wait_until(&mut self, patience: Duration, done: impl Fn(&str) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if done(&self.text()) {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                // The last octets may still be in the pipe.
                std::thread::sleep(Duration::from_millis(50));
                return done(&self.text());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it; all it printed.
    fn end(&mut self) -> String {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.text()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end();
    }
}

fn collect(
    mut pipe: impl Read + Send + 'static,
    printed: Arc<Mutex<Vec<u8>>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            printed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&chunk[..n]);
        }
    })
}
