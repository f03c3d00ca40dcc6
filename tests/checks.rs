//! Checks of one's own in a running server: allowed, denied, asked on the lookup pool, failing, and more questions than
//! there is room for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sipvouch::auth::{Answer, Check, Claim, Opinion, Question};
use sipvouch::data;
use sipvouch::proxy::NoDirectory;
use sipvouch::server::{self, Files, Server};
use sipvouch::transport::Listeners;

/// Does to a From what its user part says.
#[derive(Default)]
struct ByUser {
    gate: Arc<Gate>,
    asked: AtomicUsize,
}

/// Holds questions until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let guard = self.open.lock().unwrap();
        let (open, _) = self
            .changed
            .wait_timeout_while(guard, Duration::from_secs(20), |open| !*open)
            .unwrap();
        assert!(*open, "the test opens the gate");
    }
}

struct Ask(String, Arc<Gate>);

impl Question for Ask {
    fn answer(self: Box<Self>) -> Answer {
        match self.0.as_str() {
            "ask-allow" => Answer::Allow,
            "ask-panic" => panic!("a defect of this question"),
            "ask-late" => {
                self.1.pass();
                Answer::Allow
            }
            _ => Answer::Deny("not in the book".to_owned()),
        }
    }
}

impl Check for ByUser {
    fn name(&self) -> &str {
        "by-user"
    }

    fn check(&self, claim: &Claim<'_>) -> Opinion {
        match claim.uri.sip().and_then(|uri| uri.user) {
            Some("allow") => Opinion::Allow,
            Some("deny") => Opinion::Deny("by name".to_owned()),
            Some("panic") => panic!("a defect of this check"),
            Some(user) if user.starts_with("ask") => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                Opinion::Pending(Box::new(Ask(user.to_owned(), Arc::clone(&self.gate))))
            }
            _ => Opinion::Abstain,
        }
    }
}

struct Running {
    server: Option<Server>,
    address: SocketAddr,
    check: Arc<ByUser>,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(more: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("repro.config");
        let text = format!(
            "IPAddress = 127.0.0.1\nEnableIPv6 = false\nUDPPort = {0}\nTLSPort = 0\nWSPort = 0\nWSSPort = 0\n\
             TCPPort = {0}\nDatabasePath = {1}\nDomains = example.org\nEnableCertificateAuthenticator = true\nDisableAuth = true\n{more}",
            address.port(),
            directory.path().display()
        );
        std::fs::write(&file, text).unwrap();
        let check = Arc::new(ByUser::default());
        let checks: Vec<Arc<dyn Check>> = vec![check.clone()];
        let files = Files::load(&file, &[], &checks).unwrap_or_else(|faults| {
            panic!(
                "{}",
                faults.iter().map(ToString::to_string).collect::<String>()
            )
        });
        let listeners = Listeners::open(
            &files.configuration.listeners,
            files.configuration.engine.workers,
        )
        .expect("a free port");
        let opened = data::open(&files.configuration.store).expect("a store");
        let (server, _) =
            Server::start(files, opened.data, listeners, Vec::new()).expect("threads");
        // Whether a user exists is no question here: the pool is for those of the checks.
        let mut loaded = server::load(&file, &[], &checks)
            .map_err(drop)
            .expect("the same again");
        let policy = Arc::get_mut(&mut loaded.composed.snapshot.policy).unwrap();
        policy.directory = Arc::new(NoDirectory);
        server.engine().replace(loaded.composed.snapshot);
        Self {
            server: Some(server),
            address,
            check,
            _directory: directory,
        }
    }

    /// Who sends datagrams.
    fn datagrams(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.check.gate.open();
        if let Some(server) = self.server.take() {
            server.drain();
        }
    }
}

fn message(user: &str, number: usize) -> String {
    format!(
        "MESSAGE sip:eve@example.org SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5099;branch=z9hG4bKc{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@example.org>;tag=1\r\nTo: <sip:eve@example.org>\r\n\
         Call-ID: c{number}@checks\r\nCSeq: {number} MESSAGE\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Status lines of so many answers.
fn answers(stream: &mut TcpStream, count: usize) -> Vec<String> {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while text.matches("\r\n\r\n").count() < count {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => text.push_str(std::str::from_utf8(&chunk[..read]).unwrap()),
            Err(error) => panic!("{error}, with {text}"),
        }
    }
    text.split("\r\n\r\n")
        .filter(|answer| !answer.is_empty())
        .map(|answer| {
            answer
                .lines()
                .next()
                .unwrap()
                .trim_start_matches("SIP/2.0 ")
                .to_owned()
        })
        .collect()
}

#[test]
fn each_opinion_and_each_answer_has_its_outcome() {
    let server = Running::start("");
    let refused = "403 Authentication Failed for peer cert";
    let no_proof = "403 Mutual TLS required to handle that message";
    for (number, (user, wanted)) in [
        ("allow", "480 Temporarily Unavailable"),
        ("deny", refused),
        ("ask-allow", "480 Temporarily Unavailable"),
        ("ask-deny", refused),
        ("ask-panic", "500 Server Internal Error"),
        ("nobody", no_proof),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = server.connect();
        // A second request behind it: what happens to one is no affair of the next.
        let both = message(user, number) + &message("allow", number + 100);
        stream.write_all(both.as_bytes()).unwrap();
        let mut found = answers(&mut stream, 2);
        found.sort();
        let mut both = vec![wanted.to_owned(), "480 Temporarily Unavailable".to_owned()];
        both.sort();
        assert_eq!(found, both, "{user}");
    }
}

#[test]
fn a_check_that_panics_costs_its_connection_and_nothing_else() {
    let server = Running::start("WorkerThreads = 1\n");
    let mut bystander = server.connect();
    for number in 0..3 {
        let mut stream = server.connect();
        stream
            .write_all(message("panic", number).as_bytes())
            .unwrap();
        assert_eq!(answers(&mut stream, 1), Vec::<String>::new());
        bystander
            .write_all(message("allow", number).as_bytes())
            .unwrap();
        assert_eq!(answers(&mut bystander, 1), ["480 Temporarily Unavailable"]);
    }
}

#[test]
fn questions_without_room_are_answered_503_and_the_others_in_time() {
    let server = Running::start("MaximumPendingLookups = 4\n");
    let mut streams: Vec<TcpStream> = (0..6).map(|_| server.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream
            .write_all(message("ask-late", number).as_bytes())
            .unwrap();
    }
    // Four wait; who they are is the threads' choice.
    let mut quick = server.connect();
    quick.write_all(message("allow", 9).as_bytes()).unwrap();
    assert_eq!(answers(&mut quick, 1), ["480 Temporarily Unavailable"]);
    while server.check.asked.load(Ordering::Relaxed) < 6 {
        std::thread::yield_now();
    }
    server.check.gate.open();
    let mut found: Vec<String> = streams
        .iter_mut()
        .flat_map(|stream| answers(stream, 1))
        .collect();
    found.sort();
    assert_eq!(found[..4], ["480 Temporarily Unavailable"; 4]);
    assert_eq!(found[4..], ["503 Service Unavailable"; 2]);
}

#[test]
fn a_question_that_has_waited_too_long_for_a_thread_is_answered_503() {
    let server = Running::start("NumAuthGrabberWorkerThreads = 1\n");
    let mut streams: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream
            .write_all(message("ask-late", number).as_bytes())
            .unwrap();
        while server.check.asked.load(Ordering::Relaxed) <= number {
            std::thread::yield_now();
        }
    }
    let datagrams = server.datagrams();
    datagrams.send(&datagram("ask-late", 9)).unwrap();
    // What is tested is that this much time has passed.
    std::thread::sleep(Duration::from_millis(5_300));
    server.check.gate.open();
    let mut found: Vec<String> = streams
        .iter_mut()
        .flat_map(|stream| answers(stream, 1))
        .collect();
    found.sort();
    assert_eq!(
        found,
        ["480 Temporarily Unavailable", "503 Service Unavailable"]
    );
    let late = received(&datagrams);
    assert!(late.starts_with("SIP/2.0 503 "), "{late}");
    assert!(late.contains("\r\nRetry-After: 5\r\n"), "{late}");
    // And it is over: the next question is answered.
    let mut next = server.connect();
    next.write_all(message("ask-allow", 10).as_bytes()).unwrap();
    assert_eq!(answers(&mut next, 1), ["480 Temporarily Unavailable"]);
}

#[test]
fn one_connection_cannot_fill_the_pool_and_gets_all_its_answers() {
    let server = Running::start("MaximumPendingLookups = 100\n");
    let mut greedy = server.connect();
    let all: String = (0..80).map(|number| message("ask-late", number)).collect();
    greedy.write_all(all.as_bytes()).unwrap();
    while server.check.asked.load(Ordering::Relaxed) < 16 {
        std::thread::yield_now();
    }
    let mut other = server.connect();
    other.write_all(message("ask-allow", 1).as_bytes()).unwrap();
    // The pool's threads are held, its places are not.
    assert!(server.check.asked.load(Ordering::Relaxed) <= 16 + 1);
    server.check.gate.open();
    assert_eq!(answers(&mut other, 1), ["480 Temporarily Unavailable"]);
    let found = answers(&mut greedy, 80);
    assert_eq!(found.len(), 80);
    assert!(
        found
            .iter()
            .all(|answer| answer == "480 Temporarily Unavailable"),
        "{found:?}"
    );
}

/// The same request as a datagram, to be answered to where it comes from.
fn datagram(user: &str, number: usize) -> Vec<u8> {
    let text = message(user, number).replace("SIP/2.0/TCP 127.0.0.1:5099", "SIP/2.0/UDP h;rport");
    text.into_bytes()
}

fn received(socket: &UdpSocket) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("an answer");
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn a_datagram_that_comes_again_while_it_is_asked_about_asks_nothing_more() {
    let server = Running::start("");
    let phone = server.datagrams();
    for _ in 0..3 {
        phone.send(&datagram("ask-late", 1)).unwrap();
    }
    // What one phone sends is read in its order.
    phone.send(&datagram("allow", 2)).unwrap();
    assert!(received(&phone).contains("CSeq: 2 "));
    assert_eq!(server.check.asked.load(Ordering::Relaxed), 1);
    server.check.gate.open();
    let answer = received(&phone);
    assert!(answer.starts_with("SIP/2.0 480 "), "{answer}");
    phone.send(&datagram("ask-late", 1)).unwrap();
    assert_eq!(received(&phone), answer);
    assert_eq!(server.check.asked.load(Ordering::Relaxed), 1);
    phone.send(&datagram("ask-panic", 3)).unwrap();
    assert!(received(&phone).starts_with("SIP/2.0 500 "));
}

#[test]
fn datagrams_cannot_fill_the_pool() {
    let server = Running::start("MaximumPendingLookups = 4\nWorkerThreads = 1\n");
    let phone = server.datagrams();
    for number in 0..4 {
        phone.send(&datagram("ask-late", number)).unwrap();
    }
    for _ in 0..2 {
        assert!(received(&phone).starts_with("SIP/2.0 503 "));
    }
    let mut stream = server.connect();
    stream.write_all(message("ask-late", 9).as_bytes()).unwrap();
    while server.check.asked.load(Ordering::Relaxed) < 5 {
        std::thread::yield_now();
    }
    server.check.gate.open();
    assert_eq!(answers(&mut stream, 1), ["480 Temporarily Unavailable"]);
}
