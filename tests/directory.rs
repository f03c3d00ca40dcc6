//! A directory in a running server: what it knows is asked on the lookup pool, what it keeps is kept before anybody is told,
//! and a defect of it ends one request only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sipvouch::data;
use sipvouch::proxy::{
    Answer, Directory, FilterAction, FilterOptions, FilterRule, Filters, Kept, Question, Silo,
    SiloOptions,
};
use sipvouch::server::{self, Files, Server};
use sipvouch::transport::Listeners;

/// Knows eve; keeps a message when it is told to.
struct Book {
    kept: Mutex<Vec<String>>,
    asked: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Directory for Book {
    fn recall(&self, question: &Question) -> Option<Answer> {
        assert!(!on_pool(), "memory is asked on a worker");
        match question {
            Question::UserExists { user, .. } if user == "known" => Some(Answer::Exists(true)),
            _ => None,
        }
    }

    fn answer(&self, question: Question) -> Answer {
        assert!(on_pool(), "what may block is asked on the lookup pool");
        match question {
            Question::UserExists { user, .. } if user == "defect" => {
                panic!("a defect of a directory")
            }
            Question::UserExists { user, .. } => Answer::Exists(user == "eve"),
            Question::Filter { .. } => Answer::FilterResult(Some("403, On the list".to_owned())),
            Question::Keep(message) => {
                self.asked.lock().unwrap().send(()).unwrap();
                let go = self.go.lock().unwrap();
                go.recv_timeout(Duration::from_secs(20)).unwrap();
                self.kept.lock().unwrap().push(message.destination);
                Answer::Kept(Kept::Stored)
            }
        }
    }
}

fn on_pool() -> bool {
    std::thread::current()
        .name()
        .is_some_and(|name| name.starts_with("lookup"))
}

struct Running {
    server: Option<Server>,
    address: SocketAddr,
    book: Arc<Book>,
    asked: Receiver<()>,
    go: Sender<()>,
    _files: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("repro.config");
        let text = format!(
            "IPAddress = 127.0.0.1\nEnableIPv6 = false\nUDPPort = 0\nTLSPort = 0\nWSPort = 0\nWSSPort = 0\n\
             TCPPort = {}\nDatabasePath = {}\nDomains = example.org\nDisableAuth = true\n",
            address.port(),
            files.path().display()
        );
        std::fs::write(&file, text).unwrap();
        let mut loaded = server::load(&file, &[], &[]).unwrap_or_else(|faults| {
            panic!(
                "{}",
                faults.iter().map(ToString::to_string).collect::<String>()
            )
        });
        let (asked_in, asked) = channel();
        let (go, go_out) = channel();
        let book = Arc::new(Book {
            kept: Mutex::default(),
            asked: Mutex::new(asked_in),
            go: Mutex::new(go_out),
        });
        let policy = Arc::get_mut(&mut loaded.composed.snapshot.policy).unwrap();
        policy.directory = book.clone();
        let options = SiloOptions {
            enabled: true,
            ..SiloOptions::default()
        };
        policy.routing.silo = Silo::new(options).0;
        let rule = FilterRule {
            method: "INFO".to_owned(),
            action: FilterAction::Query,
            action_data: "SELECT 1".to_owned(),
            ..FilterRule::default()
        };
        policy.routing.filters = Filters::new([rule], &FilterOptions::default()).0;
        let own = Files::load(&file, &[], &[])
            .map_err(drop)
            .expect("the same again");
        let listeners = Listeners::open(
            &own.configuration.listeners,
            own.configuration.engine.workers,
        )
        .expect("a free port");
        let opened = data::open(&own.configuration.store).expect("a store");
        let (server, _) = Server::start(own, opened.data, listeners, Vec::new()).expect("threads");
        server.engine().replace(loaded.composed.snapshot);
        Self {
            server: Some(server),
            address,
            book,
            asked,
            go,
            _files: files,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.drain();
        }
    }
}

fn request(method: &str, user: &str) -> String {
    format!(
        "{method} sip:{user}@example.org SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5099;branch=z9hG4bK{method}{user}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=1\r\nTo: <sip:{user}@example.org>\r\n\
         Call-ID: {method}{user}@directory\r\nCSeq: 1 {method}\r\nContent-Type: text/plain\r\n\
         Content-Length: 5\r\n\r\nHello"
    )
}

/// The status line of the next answer.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut octet = [0];
    while !text.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut octet).unwrap();
        assert_eq!(
            read,
            1,
            "closed behind {:?}",
            String::from_utf8_lossy(&text)
        );
        text.push(octet[0]);
    }
    let text = String::from_utf8(text).unwrap();
    let first = text.lines().next().unwrap();
    first.trim_start_matches("SIP/2.0 ").to_owned()
}

#[test]
fn each_answer_of_a_directory_has_its_outcome() {
    let server = Running::start();
    let mut stream = server.connect();
    for (method, user, wanted) in [
        ("INVITE", "eve", "480 Temporarily Unavailable"),
        ("INVITE", "known", "480 Temporarily Unavailable"),
        ("INVITE", "nobody", "404 Not Found"),
        ("INVITE", "defect", "500 Server Internal Error"),
        ("INFO", "eve", "403 On the list"),
        ("MESSAGE", "nobody", "404 Not Found"),
    ] {
        stream.write_all(request(method, user).as_bytes()).unwrap();
        assert_eq!(answer(&mut stream), wanted, "{method} {user}");
    }
}

#[test]
fn success_is_told_once_the_message_is_kept_and_others_do_not_wait_for_it() {
    let server = Running::start();
    let mut stream = server.connect();
    stream
        .write_all(request("MESSAGE", "eve").as_bytes())
        .unwrap();
    let patience = Duration::from_secs(20);
    server
        .asked
        .recv_timeout(patience)
        .expect("the directory is asked to keep it");
    // While it is about to be kept, the connection goes on.
    stream
        .write_all(request("INVITE", "known").as_bytes())
        .unwrap();
    assert_eq!(answer(&mut stream), "480 Temporarily Unavailable");
    assert!(server.book.kept.lock().unwrap().is_empty());
    server.go.send(()).unwrap();
    assert_eq!(answer(&mut stream), "202 Accepted");
    assert_eq!(*server.book.kept.lock().unwrap(), ["sip:eve@example.org"]);
}
