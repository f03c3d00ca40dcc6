//! How long anybody waits while the server judges its live connections again.
//!
//! One worker has them all. A probe asks once a millisecond and notes how long each answer takes: while nothing happens, and
//! while the server reloads 100,000 mappings and 10,000 trusted names, with nothing changed, with a mapping changed on which a
//! binding of each connection could rest, and with a CA more or less, for which every certificate is verified anew. What
//! counts is the longest wait, beside the longest of the quiet time: the machine has its own pauses.
//!
//! `cargo bench --bench again -- 10000` takes 10,000 connections in place of 2,000.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "server/pki.rs"]
mod pki;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream, SslVerifyMode};

use pki::Pki;

const MAPPINGS: usize = 100_000;
const TRUSTED: usize = 10_000;
/// Reloads of each kind.
const RELOADS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);

type Connection = SslStream<TcpStream>;
/// What an operator does before the reload of this number.
type Change<'c> = Box<dyn Fn(usize) + 'c>;

fn main() {
    let live = std::env::args().filter_map(|word| word.parse().ok()).next();
    let live: usize = live.unwrap_or(2_000);
    // Both are made in the same place; this one leaves nothing there.
    let other = Pki::make(1).ca.to_pem().unwrap();
    let pki = Pki::make(live + 1);
    let mut server = Server::start(&pki);
    let connections: Vec<Connection> = (0..live)
        .map(|user| {
            let mut connection = connect(&pki, user, server.address);
            register(&mut connection, user);
            connection
        })
        .collect();
    println!(
        "{live} registered connections on one worker, {MAPPINGS} mappings, {TRUSTED} trusted names; milliseconds"
    );
    println!(
        "{:<26} {:>8} {:>8} {:>8} {:>8}   longest slice/all of a round, on the processor",
        "", "asked", "median", "99.9 %", "longest"
    );
    let mut probe = connect(&pki, live, server.address);
    told(
        "quiet",
        &watch(&mut probe, || thread::sleep(Duration::from_secs(4))),
        &[],
    );
    let directory = pki.directory.clone();
    let works: [(&str, Change); 3] = [
        ("nothing changed", Box::new(|_| ())),
        (
            "a mapping changed",
            Box::new(|turn| mappings(&directory, turn)),
        ),
        (
            "a CA more or less",
            Box::new(|turn| {
                let file = directory.join("root_cert_other.pem");
                match turn % 2 {
                    0 => fs::write(file, &other).unwrap(),
                    _ => fs::remove_file(file).unwrap(),
                }
            }),
        ),
    ];
    for (name, change) in &works {
        let mut rounds = Vec::new();
        let waits = watch(&mut probe, || {
            for turn in 0..RELOADS {
                change(turn);
                rounds.extend(server.reload());
            }
        });
        told(name, &waits, &rounds);
    }
    drop(connections);
}

/// The file, with one line that differs from turn to turn.
fn mappings(directory: &Path, turn: usize) {
    let mut text = format!("phone-of-turn-{turn}\tu0@example.org\n");
    for number in 0..MAPPINGS {
        let _ = writeln!(text, "{number:012X}\tm{number}@example.org");
    }
    fs::write(directory.join("mappings"), text).unwrap();
}

/// Asks once a millisecond while something is done; how long each answer took.
fn watch(probe: &mut Connection, work: impl FnOnce()) -> Vec<Duration> {
    /// Ends the asking, also when the work fails.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let is_over = &is_over;
        let asking = scope.spawn(move || {
            let mut waits = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                ask(probe, "OPTIONS", "sip:example.org", waits.len(), "");
                waits.push(began.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            waits
        });
        work();
        drop(over);
        asking.join().unwrap()
    })
}

fn told(name: &str, waits: &[Duration], rounds: &[String]) {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let ms = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let at = ((sorted.len() - 1) as f64 * share) as usize;
        sorted[at].as_secs_f64() * 1e3
    };
    println!(
        "{name:<26} {:>8} {:>8.2} {:>8.2} {:>8.2}   {}",
        waits.len(),
        ms(0.5),
        ms(0.999),
        ms(1.0),
        rounds.join(" ")
    );
}

fn connect(pki: &Pki, user: usize, server: SocketAddr) -> Connection {
    let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
    context.set_verify(SslVerifyMode::NONE);
    context.set_certificate(&pki.users[user]).unwrap();
    context.set_private_key(&pki.user_key).unwrap();
    let stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = SslStream::new(Ssl::new(&context.build()).unwrap(), stream).unwrap();
    stream.connect().unwrap();
    stream
}

fn register(connection: &mut Connection, user: usize) {
    let aor = format!("sip:u{user}@example.org");
    let contact = format!("Contact: <sip:u{user}@127.0.0.1;transport=tls>\r\nExpires: 3600\r\n");
    ask(connection, "REGISTER", &aor, user, &contact);
}

/// Sends a request and takes its answer, which is a 200.
fn ask(connection: &mut Connection, method: &str, identity: &str, number: usize, lines: &str) {
    let request = format!(
        "{method} sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
         From: <{identity}>;tag=1\r\nTo: <{identity}>\r\nCall-ID: {number}\r\nCSeq: 1 {method}\r\n{lines}\
         Content-Length: 0\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while !answer.ends_with(b"\r\n\r\n") {
        let read = connection.read(&mut part).unwrap();
        assert!(read > 0, "the connection is closed");
        answer.extend_from_slice(&part[..read]);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
}

struct Server {
    process: Child,
    address: SocketAddr,
    log: Receiver<String>,
}

impl Server {
    fn start(pki: &Pki) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        mappings(&pki.directory, 0);
        let trusted: Vec<_> = (0..TRUSTED).map(|n| format!("gw{n}.example.net")).collect();
        let config = pki.directory.join("repro.config");
        let text = format!(
            "LoggingType = cerr\nLogLevel = DEBUG\nIPAddress = 127.0.0.1\nUDPPort = 0\nTCPPort = 0\nWSPort = 0\nWSSPort = 0\n\
             HttpPort = 0\nCommandPort = 0\nTLSPort = {}\nTLSDomainName = example.org\nDomains = example.org\n\
             CertificatePath = {}\nCommonNameMappings = {}\nTrustedPeers = {}\nTLSClientVerification = Mandatory\n\
             EnableCertificateAuthenticator = true\nDisableAuth = true\nWorkerThreads = 1\n\
             MaximumConnectionsPerSource = 20000\nMaximumHandshakes = 18000\nControlSocket =\n",
            address.port(),
            pki.directory.display(),
            pki.directory.join("mappings").display(),
            trusted.join(", "),
        );
        fs::write(&config, text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_sipvouch"))
            .arg(config)
            .current_dir(&pki.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, log) = channel();
        let lines = BufReader::new(process.stderr.take().unwrap());
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let is_wanted = [
                    "server.",
                    "worker.",
                    "tls.identity_lost",
                    "registrar.right_lost",
                ];
                if is_wanted.iter().any(|event| line.contains(event)) && tell.send(line).is_err() {
                    return;
                }
            }
        });
        let server = Self {
            process,
            address,
            log,
        };
        server.line("server.ready");
        server
    }

    /// The next line with this event. Nobody loses anything here.
    fn line(&self, event: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE).expect("a line of the log");
            let is_loss =
                line.contains("tls.identity_lost") || line.contains("registrar.right_lost");
            assert!(!is_loss, "{line}");
            if line.contains(event) {
                return line;
            }
        }
    }

    /// Reloads, and waits until all connections have been judged: the longest slice and all of the round, in milliseconds.
    fn reload(&mut self) -> Option<String> {
        kill(
            Pid::from_raw(i32::try_from(self.process.id()).unwrap()),
            Signal::SIGHUP,
        )
        .unwrap();
        let line = self.line("worker.judged_again");
        let field = |name: &str| -> Option<f64> {
            let (_, rest) = line.split_once(name)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let (longest, spent) = (field("longest_us=")? / 1e3, field("spent_us=")? / 1e3);
        Some(format!("{longest:.1}/{spent:.0}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
