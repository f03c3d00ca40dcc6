//! An HTTP server that says what a test wants, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use openssl::ssl::SslAcceptor;
use serde_json::Value;

/// What a server does with a question.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// 200 with this body.
    Say(String),
    /// These octets, whatever they are, and then the end of the connection.
    Octets(Vec<u8>),
    /// The reply behind it, after this time.
    After(Duration, Box<Reply>),
    /// The head of an answer, and then an octet of its body every tenth of a second.
    Drip,
    /// Nothing, while the connection stays open.
    Never,
}

impl Reply {
    /// A verdict and no more.
    pub(crate) fn verdict(word: &str) -> Self {
        Self::Say(format!(r#"{{"verdict":"{word}"}}"#))
    }
}

/// A question as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The request line.
    pub(crate) line: String,
    /// The header lines.
    pub(crate) headers: Vec<String>,
    /// The body.
    pub(crate) body: Value,
}

type Judge = Arc<dyn Fn(&Value) -> Reply + Send + Sync>;

struct Shared {
    judge: Judge,
    acceptor: Option<SslAcceptor>,
    asked: Mutex<Vec<Asked>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    over: AtomicBool,
}

/// A server that answers until it is dropped.
pub(crate) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// One that answers each question as `judge` says.
    pub(crate) fn new(judge: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Self {
        Self::make(
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            Arc::new(judge),
            None,
        )
    }

    /// The same at an address where another was before.
    pub(crate) fn at(
        address: SocketAddr,
        judge: impl Fn(&Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::make(address, Arc::new(judge), None)
    }

    /// The same over TLS.
    pub(crate) fn secure(
        acceptor: SslAcceptor,
        judge: impl Fn(&Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::make(address, Arc::new(judge), Some(acceptor))
    }

    fn make(address: SocketAddr, judge: Judge, acceptor: Option<SslAcceptor>) -> Self {
        let listener = TcpListener::bind(address).expect("an address for the backend");
        listener.set_nonblocking(true).expect("a listener to poll");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            judge,
            acceptor,
            asked: Mutex::default(),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !own.over.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let own = Arc::clone(&own);
                        thread::spawn(move || own.serve(stream));
                    }
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The setting that leads to it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.shared.acceptor.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}/identity", self.address)
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.shared.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was asked about this user.
    pub(crate) fn times(&self, user: &str) -> usize {
        let asked = self.asked();
        asked.iter().filter(|own| own.body["user"] == user).count()
    }

    /// Most questions that were open at a time.
    pub(crate) fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::Acquire)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_nodelay(true);
        // A connection that is only kept is looked at now and then for the end of the test.
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        match &self.acceptor {
            None => self.talk(stream),
            Some(acceptor) => {
                if let Ok(stream) = acceptor.accept(stream) {
                    self.talk(stream);
                }
            }
        }
    }

    fn talk(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        while let Some(asked) = read(&mut stream) {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            let reply = (self.judge)(&asked.body);
            let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(asked);
            drop(all);
            let open = self.open.fetch_add(1, Ordering::AcqRel) + 1;
            self.most_open.fetch_max(open, Ordering::AcqRel);
            let goes_on = self.reply(stream.get_mut(), &reply);
            self.open.fetch_sub(1, Ordering::AcqRel);
            if !goes_on {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    fn reply(&self, stream: &mut impl Write, reply: &Reply) -> bool {
        match reply {
            Reply::Say(body) => {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                );
                let whole = head + body;
                stream.write_all(whole.as_bytes()).is_ok()
            }
            Reply::Octets(octets) => {
                let _ = stream.write_all(octets);
                false
            }
            Reply::After(time, reply) => {
                self.wait(*time);
                self.reply(stream, reply)
            }
            Reply::Drip => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
                while !self.over.load(Ordering::Acquire) && stream.write_all(b" ").is_ok() {
                    thread::sleep(Duration::from_millis(100));
                }
                false
            }
            Reply::Never => {
                self.wait(Duration::from_secs(60));
                false
            }
        }
    }

    /// Waits so long, or until it is over.
    fn wait(&self, time: Duration) {
        let until = std::time::Instant::now() + time;
        while std::time::Instant::now() < until && !self.over.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// One request; `None` at the end of the connection.
fn read(stream: &mut impl BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    let line = lines.remove(0);
    Some(Asked {
        line,
        headers: lines,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}
