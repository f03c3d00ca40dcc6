//! Programs that others wrote, against this server: `openssl s_client`, `gnutls-cli`, `baresip`. A program that is not
//! installed is a failure, not a skip: `scripts/install-test-peers` installs them.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::harness::{
    Baresip, Phone, Pki, Request, Server, Setup, TlsPeer, Watched, report, tests_dir,
};

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
    let _phone = phone(&server, "alice@example.org", "alice-uri").registered();

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
}

#[test]
fn baresip_is_refused_when_its_account_is_not_its_certificates() {
    let server = Setup::usual()
        .set("TLSClientVerification", "Mandatory")
        .start();
    let mut phone = phone(&server, "bob@example.org", "alice-uri");
    let status = phone.registration();
    assert!(status.starts_with("403 "), "{status}\n{}", phone.story());
    let logged = server.wait_after(&mut 0, &["auth.refused"], Duration::from_secs(5));
    assert!(
        logged.is_some(),
        "no log line about the refusal:\n{}",
        server.log()
    );
}

#[test]
fn baresip_with_a_mapped_phone_certificate_registers_the_user_it_is_mapped_to() {
    let setup = Setup::usual()
        .set("TLSClientVerification", "Mandatory")
        .set("CommonNameMappings", "mappings.txt");
    let mappings = tests_dir().join("golden/tlsUserMappings.txt");
    fs::copy(mappings, setup.dir().join("mappings.txt")).expect("mappings");
    let server = setup.start();
    phone(&server, "alice@example.org", "phone-0004F22B3EB5").registered();
}

fn phone(server: &Server, aor: &str, certificate: &str) -> Phone {
    Baresip::new(aor)
        .certificate(certificate)
        .at(server.tls())
        .start()
}
