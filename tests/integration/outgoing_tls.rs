//! Servers that others wrote, `openssl s_server` and `gnutls-serv`, as the servers of another domain: what becomes of a
//! MESSAGE that leaves for it through our server. Refused ones are told upstream, by one line of the log that has the
//! name that was wanted and those that were found, and by silence toward the server; to good ones the request goes.
//! `tests/tls_client.rs` has more rows, of the handshake alone.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::harness::{
    Connection, Incoming, NameServer, Pki, Request, Server, Setup, TlsPeer, Watched, free_port,
};

const PATIENCE: Duration = Duration::from_secs(20);
const ALICE: &str = "sip:alice@example.org";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    OpenSsl,
    GnuTls,
}

/// What the server wants of our certificate, and which CA has to have issued it.
#[derive(Debug, Clone, Copy)]
enum Asks {
    Nothing,
    Optional(&'static str),
    Required(&'static str),
}

/// What is to come of it.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// The request arrives; whether our certificate came with it.
    Arrives { shown: bool },
    /// We refuse the server: the phrase upstream, and what the line of the log has.
    Refused(&'static str, &'static [&'static str]),
    /// The server refuses us.
    RefusesUs,
}

struct Row {
    situation: &'static str,
    certificate: &'static str,
    /// The domain that is asked for.
    domain: &'static str,
    asks: Asks,
    /// Whether `AllowWildcardCertificates` is set.
    wildcards: bool,
    outcome: Outcome,
}

/// Among how many servers of ours the rows are shared out.
const SHARES: usize = 3;

const NET: &str = "other.example.net";
const THIRD: &str = "third.example.net";
const ARRIVES: Outcome = Outcome::Arrives { shown: false };

const fn chain(line: &'static [&'static str]) -> Outcome {
    Outcome::Refused("Certificate Validation Failure", line)
}

const fn name(line: &'static [&'static str]) -> Outcome {
    Outcome::Refused("Certificate Name Mismatch", line)
}

/// A server that asks for no certificate.
const fn names(
    situation: &'static str,
    certificate: &'static str,
    domain: &'static str,
    outcome: Outcome,
) -> Row {
    Row {
        situation,
        certificate,
        domain,
        asks: Asks::Nothing,
        wildcards: false,
        outcome,
    }
}

/// A server of the right name that asks for one.
const fn asks(situation: &'static str, asks: Asks, outcome: Outcome) -> Row {
    Row {
        asks,
        ..names(situation, "other-dns", NET, outcome)
    }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    names("right name in a DNS SAN", "other-dns", NET, ARRIVES),
    names("right name in a URI SAN", "other-uri", NET, ARRIVES),
    names("wrong name", "other-dns", THIRD,
        name(&["wanted=third.example.net fault=name", "found=[\"DNS:other.example.net\""])),
    names("URI SAN of another domain, DNS SAN right", "other-uri-dns", NET,
        name(&["wanted=other.example.net fault=name", "third.example.net", "other.example.net"])),
    names("wrong CA", "other-untrusted", NET,
        chain(&["wanted=other.example.net fault=chain", "found=[\"DNS:other.example.net\"]", "issuer=\"CN=Untrusted Root"])),
    names("a CA that only clients may have", "other-vendor", NET,
        chain(&["wanted=other.example.net fault=chain", "issuer=\"CN=Phone Vendor Root"])),
    names("expired", "other-expired", NET,
        chain(&["wanted=other.example.net fault=chain", "reason=\"certificate has expired\""])),
    names("name only in the CN, no SAN", "other-cn", NET, ARRIVES),
    names("name only in the CN, a SAN of another domain", "other-cn-san", NET,
        name(&["wanted=other.example.net fault=name", "third.example.net"])),
    names("not for a server", "eku-client", NET,
        chain(&["wanted=other.example.net fault=purpose"])),
    names("wildcard", "wildcard-dns", NET,
        name(&["wanted=other.example.net fault=name", "*.example.net"])),
    Row { wildcards: true, ..names("wildcard where the setting allows it", "wildcard-dns", NET, ARRIVES) },
    asks("asks, and takes ours", Asks::Optional("root-example"), Outcome::Arrives { shown: true }),
    asks("wants one, and takes ours", Asks::Required("root-example"), Outcome::Arrives { shown: true }),
    asks("wants one of a CA that ours is not of", Asks::Required("root-untrusted"), Outcome::RefusesUs),
];

#[test]
fn a_message_to_a_domain_served_by_openssl_s_server_fares_as_its_certificate_says() {
    every_row(Program::OpenSsl);
}

#[test]
fn a_message_to_a_domain_served_by_gnutls_serv_fares_as_its_certificate_says() {
    every_row(Program::GnuTls);
}

fn every_row(program: Program) {
    let names = NameServer::new(&[
        &format!("{NET} 300 A 127.0.0.1"),
        &format!("{THIRD} 300 A 127.0.0.1"),
    ]);
    let start = |wildcards: &str| {
        let root = Pki::get().path("ca/root-example.crt");
        Setup::usual()
            .set("DNSServers", &names.address().to_string())
            .set("TLSClientRoleCAFile", &root.display().to_string())
            .set("AllowWildcardCertificates", wildcards)
            .set("LogLevel", "DEBUG")
            .start()
    };
    // A server writes ten such lines in a second about one address: each has less rows than that.
    let strict: Vec<Server> = (0..SHARES).map(|_| start("false")).collect();
    let wide = start("true");
    let rows = || TABLE.iter().flat_map(|row| [(row, "1.2"), (row, "1.3")]);
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (share, strict) in strict.iter().enumerate() {
            let (wide, faults) = (&wide, &faults);
            scope.spawn(move || {
                for (row, version) in rows().skip(share).step_by(SHARES) {
                    let server = if row.wildcards { wide } else { strict };
                    if let Err(fault) = fares(row, program, version, server) {
                        let line = format!("  TLS {version} {}: {fault}", row.situation);
                        let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
                        faults.push(line);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().expect("faults");
    assert!(
        faults.is_empty(),
        "{program:?}: {} of {} went wrong:\n{}",
        faults.len(),
        2 * TABLE.len(),
        faults.join("\n")
    );
}

/// Whether a MESSAGE fares as the row says.
fn fares(row: &Row, program: Program, version: &str, server: &Server) -> Result<(), String> {
    let mut remote = Remote::start(program, row, version);
    let mut alice = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake");
    let port = remote.address.port();
    let uri = format!("sip:carol@{}:{port};transport=tls", row.domain);
    let mut message = Request::new("MESSAGE", &uri, ALICE);
    message.body = format!("to {port}");
    alice.send_request(&message).expect("a connection");
    match row.outcome {
        Outcome::Arrives { shown } => {
            let arrived = remote.request(&message).ok_or_else(|| {
                format!("nothing arrives, but:\n{}\n{}", remote.text(), server.log())
            })?;
            demand(arrived.start == format!("MESSAGE {uri} SIP/2.0"), || {
                arrived.start.clone()
            })?;
            demand(remote.saw_ours(shown) == shown, || {
                format!("our certificate, in vain or not:\n{}", remote.text())
            })?;
            hears_what_was_answered(program, &mut remote, &arrived, &mut alice, &message)
        }
        Outcome::Refused(phrase, words) => {
            let answer = alice.final_answer(&message, PATIENCE).response();
            demand((answer.status, &*answer.reason) == (500, phrase), || {
                let about: Vec<String> = lines_about(server, remote.address).collect();
                format!("{} {}: {about:?}", answer.status, answer.reason)
            })?;
            let line = refusal(server, remote.address)?;
            demand(words.iter().all(|word| line.contains(word)), || line)?;
            demand(!remote.text().contains(&message.call_id), || {
                "the request reached it".to_owned()
            })
        }
        Outcome::RefusesUs => {
            let answer = alice.final_answer(&message, PATIENCE).response();
            demand(answer.status == 500, || {
                format!("{} {}", answer.status, answer.reason)
            })?;
            let line = refusal(server, remote.address)?;
            let words = ["wanted=other.example.net", "fault=refused-us", "own="];
            demand(words.iter().all(|word| line.contains(word)), || line)
        }
    }
}

fn demand(fulfilled: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if fulfilled { Ok(()) } else { Err(fault()) }
}

/// `s_server` is made to say what we want. `gnutls-serv` says what it hears: the request comes back as one of the other
/// domain's in alice's name, and what it gets for that, 403, comes back as the answer to ours.
fn hears_what_was_answered(
    program: Program,
    remote: &mut Remote,
    arrived: &Incoming,
    alice: &mut Connection,
    message: &Request,
) -> Result<(), String> {
    let wanted = match program {
        Program::OpenSsl => {
            remote.process.write(&arrived.answer(202, "Accepted"));
            202
        }
        Program::GnuTls => 403,
    };
    let answer = alice.final_answer(message, PATIENCE).response();
    demand(answer.status == wanted, || {
        format!("{} {}", answer.status, answer.reason)
    })
}

/// The line of the log that says why this server is not talked to; there is one.
fn refusal(server: &Server, remote: SocketAddr) -> Result<String, String> {
    let peer = format!("peer={remote} ");
    let mut from = 0;
    while let Some(line) = server.wait_after(&mut from, &["tls.server_refused"], PATIENCE) {
        if line.contains(&peer) {
            let lines =
                lines_about(server, remote).filter(|line| line.contains("tls.server_refused"));
            return match lines.count() {
                1 => Ok(line),
                more => Err(format!("{more} lines of {remote}")),
            };
        }
    }
    let about: Vec<String> = lines_about(server, remote).collect();
    Err(format!("no line of {remote} among {about:?}"))
}

/// What the log has about this server.
fn lines_about(server: &Server, remote: SocketAddr) -> impl Iterator<Item = String> {
    let peer = format!("peer={remote} ");
    let lines: Vec<String> = server.log().lines().map(str::to_owned).collect();
    lines.into_iter().filter(move |line| line.contains(&peer))
}

/// A server of the other domain.
struct Remote {
    process: Watched,
    address: SocketAddr,
}

impl Remote {
    fn start(program: Program, row: &Row, version: &str) -> Self {
        let port = free_port();
        let (mut command, ready) = match program {
            Program::OpenSsl => (s_server(row, version, port), "ACCEPT"),
            Program::GnuTls => (gnutls_serv(row, version, port), "done\n"),
        };
        let mut process = Watched::spawn(&mut command);
        assert!(
            process.wait_until(PATIENCE, |text| text.contains(ready)),
            "{}: {}",
            row.situation,
            process.text()
        );
        Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    fn text(&self) -> String {
        self.process.text()
    }

    /// The request with this Call-ID as the server prints it, once it is whole.
    fn request(&mut self, wanted: &Request) -> Option<Incoming> {
        let whole = |text: &str| {
            let at = text.find(&format!("{} ", wanted.method))?;
            // Both print octets as they came, line ends included.
            let mut octets = text.as_bytes()[at..].to_vec();
            Incoming::take(&mut octets).filter(|found| {
                found.value("call-id") == Some(&wanted.call_id)
                    && found.body == wanted.body.as_bytes()
            })
        };
        self.process
            .wait_until(PATIENCE, |text| whole(text).is_some());
        whole(&self.text())
    }

    /// Whether it was shown our certificate. `gnutls-serv` prints that after the request, or before.
    fn saw_ours(&mut self, is_awaited: bool) -> bool {
        let saw = |text: &str| text.contains("CN = example.org") || text.contains("CN=example.org");
        if is_awaited {
            self.process.wait_until(PATIENCE, saw)
        } else {
            saw(&self.text())
        }
    }
}

fn s_server(row: &Row, version: &str, port: u16) -> Command {
    let pki = Pki::get();
    let file = pki.client(row.certificate);
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-no_ticket", "-accept"])
        .arg(format!("127.0.0.1:{port}"))
        .arg(format!("-tls{}", version.replace('.', "_")))
        .arg("-cert")
        .arg(&file)
        .arg("-key")
        .arg(&file);
    let ca = |ca: &str| pki.path(&format!("ca/{ca}.crt"));
    match row.asks {
        Asks::Nothing => {}
        Asks::Optional(by) => {
            command.args(["-verify", "5", "-CAfile"]).arg(ca(by));
        }
        Asks::Required(by) => {
            command
                .args(["-Verify", "5", "-verify_return_error", "-CAfile"])
                .arg(ca(by));
        }
    }
    command
}

/// It cannot be told to listen on loopback alone.
fn gnutls_serv(row: &Row, version: &str, port: u16) -> Command {
    let pki = Pki::get();
    let file = pki.client(row.certificate);
    // Or it keeps what it prints until there is more of it.
    let mut command = Command::new("stdbuf");
    command
        .args(["-oL", "gnutls-serv"])
        .args(["--echo", "--crlf", "--noticket", "--nodb"])
        .arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"))
        .arg(format!("--port={port}"))
        .arg("--x509certfile")
        .arg(&file)
        .arg("--x509keyfile")
        .arg(&file);
    let ca = |ca: &str| pki.path(&format!("ca/{ca}.crt"));
    match row.asks {
        Asks::Nothing => {
            command.arg("--disable-client-cert");
        }
        Asks::Optional(by) => {
            command
                .args(["--verify-client-cert", "--x509cafile"])
                .arg(ca(by));
        }
        Asks::Required(by) => {
            command
                .args(["--require-client-cert", "--verify-client-cert"])
                .arg("--x509cafile")
                .arg(ca(by));
        }
    }
    command
}
