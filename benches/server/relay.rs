//! Pairs of phones of which one writes to the other or calls it, through the server.
//!
//! One thread plays all of them, and everything in turn: what a phone does next waits for what the other has sent to
//! arrive, as between people. So the server can put nothing together that would come apart on a real network.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use openssl::ssl::SslStream;

use crate::load::Load;

const PAIRS: usize = 50;
const TIMER: Token = Token(usize::MAX);
const PATIENCE: Duration = Duration::from_secs(10);

/// What one phone of a pair does to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// MESSAGE, 200.
    Message,
    /// INVITE, 180, 200, ACK, BYE, 200.
    Call,
}

/// How long each operation took, from the request to the last answer.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn of_all(rounds: impl Iterator<Item = Self>) -> Self {
        let mut all: Vec<Duration> = rounds.flat_map(|round| round.0).collect();
        all.sort_unstable();
        Self(all)
    }

    /// In microseconds; of sorted ones.
    pub(crate) fn percentile(&self, percent: usize) -> u128 {
        self.0[(self.0.len() - 1) * percent / 100].as_micros()
    }
}

/// A phone's connection, which does not block.
struct Line {
    stream: SslStream<TcpStream>,
    user: usize,
    received: Vec<u8>,
}

struct Pair {
    caller: Line,
    callee: Line,
    operation: usize,
    begun: Instant,
    /// The 200 of the INVITE, until the ringing has been heard.
    acceptance: String,
}

/// Connected pairs; who is called has registered.
pub(crate) struct Pairs {
    pairs: Vec<Pair>,
    idle: Vec<usize>,
    poll: Poll,
    timer: TimerFd,
    operations: usize,
}

impl Pairs {
    pub(crate) fn connect(load: &Load<'_>) -> Self {
        let poll = Poll::new().unwrap();
        let mut phones = load.registered_phones(2 * PAIRS, 200).into_iter();
        let mut lines = (0..2 * PAIRS).map(|number| {
            let (user, stream) = phones.next().unwrap().into_parts();
            stream.get_ref().set_nonblocking(true).unwrap();
            let token = Token(number);
            poll.registry()
                .register(
                    &mut SourceFd(&stream.get_ref().as_raw_fd()),
                    token,
                    Interest::READABLE,
                )
                .unwrap();
            Line {
                stream,
                user,
                received: Vec::new(),
            }
        });
        let pairs = (0..PAIRS)
            .map(|_| Pair {
                caller: lines.next().unwrap(),
                callee: lines.next().unwrap(),
                operation: 0,
                begun: Instant::now(),
                acceptance: String::new(),
            })
            .collect();
        drop(lines);
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).unwrap();
        poll.registry()
            .register(
                &mut SourceFd(&timer.as_fd().as_raw_fd()),
                TIMER,
                Interest::READABLE,
            )
            .unwrap();
        Self {
            pairs,
            idle: (0..PAIRS).collect(),
            poll,
            timer,
            operations: 0,
        }
    }

    /// So many operations, evenly spread; one that finds no pair free waits for one.
    pub(crate) fn run(&mut self, job: Job, count: usize, per_second: f64) -> Latencies {
        let interval = TimeSpec::from_duration(Duration::from_secs_f64(1.0 / per_second));
        self.timer
            .set(Expiration::Interval(interval), TimerSetTimeFlags::empty())
            .unwrap();
        let start = Instant::now();
        let mut begun = 0;
        let mut latencies = Vec::with_capacity(count);
        let mut events = Events::with_capacity(256);
        while latencies.len() < count {
            self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "the server has fallen silent");
            for event in &events {
                let Token(number) = event.token();
                if event.token() == TIMER {
                    // The kernel winds it up again only when it is read.
                    self.timer.wait().unwrap();
                    continue;
                }
                if self.pairs[number / 2].heard(number % 2 == 1) {
                    latencies.push(self.pairs[number / 2].begun.elapsed());
                    self.idle.insert(0, number / 2);
                }
            }
            let due = (start.elapsed().as_secs_f64() * per_second) as usize;
            while begun < due.min(count)
                && let Some(pair) = self.idle.pop()
            {
                begun += 1;
                self.operations += 1;
                self.pairs[pair].begin(job, self.operations);
            }
        }
        self.timer.unset().unwrap();
        let planned = count as f64 / per_second;
        if start.elapsed().as_secs_f64() > planned * 1.1 + 0.1 {
            println!(
                "  the rate was not kept: {planned:.1} s took {:?}",
                start.elapsed()
            );
        }
        Latencies(latencies)
    }
}

impl Pair {
    fn begin(&mut self, job: Job, operation: usize) {
        self.operation = operation;
        self.begun = Instant::now();
        let uri = format!("sip:u{}@example.org", self.callee.user);
        let request = match job {
            Job::Message => self.request("MESSAGE", 1, &uri, "", &format!("text/plain\r\n{TEXT}")),
            Job::Call => self.request("INVITE", 1, &uri, "", &format!("application/sdp\r\n{SDP}")),
        };
        self.caller.say(&request);
    }

    /// A request of the caller's. `ahead` is header lines; `content` a type, a line end and the body, or nothing.
    fn request(&self, method: &str, number: u32, uri: &str, ahead: &str, content: &str) -> String {
        let (o, from, to) = (self.operation, self.caller.user, self.callee.user);
        let tag = if ahead.contains("Route:") {
            ";tag=callee"
        } else {
            ""
        };
        let (kind, body) = content.split_once("\r\n").unwrap_or_default();
        let kind = match kind {
            "" => String::new(),
            kind => format!("Content-Type: {kind}\r\n"),
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:5099;branch=z9hG4bK{o}x{method};rport\r\n{ahead}\
             Max-Forwards: 70\r\nFrom: <sip:u{from}@example.org>;tag=f{o}\r\nTo: <sip:u{to}@example.org>{tag}\r\n\
             Call-ID: m{o}@bench\r\nCSeq: {number} {method}\r\nContact: <sip:u{from}@127.0.0.1:5099;transport=tls>\r\n\
             User-Agent: bench\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Octets have come for one of the two; true when the operation is done by that.
    fn heard(&mut self, callee: bool) -> bool {
        let mut done = false;
        let line = if callee {
            &mut self.callee
        } else {
            &mut self.caller
        };
        for message in line.hear() {
            if callee {
                self.called(&message);
            } else {
                done |= self.answered(&message);
            }
        }
        done
    }

    /// A request has reached the callee.
    fn called(&mut self, message: &str) {
        let to = self.callee.user;
        let answer = |status: &str, also: &str, body: &str| {
            let names = ["Via:", "Record-Route:", "From:", "Call-ID:", "CSeq:"];
            let head = message.split_inclusive("\r\n");
            let copied: String = head
                .take_while(|line| *line != "\r\n")
                .filter(|line| names.iter().any(|name| line.starts_with(name)))
                .collect();
            format!(
                "SIP/2.0 {status}\r\n{copied}To: <sip:u{to}@example.org>;tag=callee\r\n\
                 Contact: <sip:u{to}@127.0.0.1:5099;transport=tls>\r\n{also}Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        match message.split(' ').next() {
            Some("INVITE") => {
                self.acceptance = answer("200 OK", "Content-Type: application/sdp\r\n", SDP);
                self.callee.say(&answer("180 Ringing", "", ""));
            }
            Some("MESSAGE" | "BYE") => self.callee.say(&answer("200 OK", "", "")),
            Some("ACK") => {
                let (uri, routes) = dialog(&self.acceptance_heard());
                let request = self.request("BYE", 2, &uri, &routes, "");
                self.caller.say(&request);
            }
            _ => panic!("nobody asked for {message}"),
        }
    }

    fn acceptance_heard(&mut self) -> String {
        std::mem::take(&mut self.acceptance)
    }

    /// An answer has reached the caller.
    fn answered(&mut self, message: &str) -> bool {
        let invite = message.contains("\r\nCSeq: 1 INVITE\r\n");
        match message.get(8..11) {
            Some("100") => false,
            Some("180") if invite => {
                let acceptance = self.acceptance_heard();
                self.callee.say(&acceptance);
                false
            }
            Some("200") if invite => {
                let (uri, routes) = dialog(message);
                let request = self.request("ACK", 1, &uri, &routes, "");
                self.acceptance = message.to_owned();
                self.caller.say(&request);
                false
            }
            Some("200") => true,
            _ => panic!("not what was wanted: {message}"),
        }
    }
}

/// The remote target and the route set that an accepted INVITE gives its caller (RFC 3261 §12.1.2).
fn dialog(acceptance: &str) -> (String, String) {
    let values = |name: &'static str| {
        let lines = acceptance.split("\r\n");
        lines.filter_map(move |line| line.strip_prefix(name))
    };
    let uri = values("Contact: ")
        .next()
        .and_then(|contact| contact.split_once('<')?.1.split_once('>'))
        .map(|(uri, _)| uri.to_owned());
    let mut routes: Vec<String> = values("Record-Route: ")
        .map(|route| format!("Route: {route}\r\n"))
        .collect();
    assert!(
        !routes.is_empty(),
        "the server stays in the dialog: {acceptance}"
    );
    routes.reverse();
    (uri.expect("a Contact"), routes.concat())
}

impl Line {
    fn say(&mut self, message: &str) {
        self.stream.write_all(message.as_bytes()).unwrap();
    }

    /// Whole messages that have come.
    fn hear(&mut self) -> Vec<String> {
        let mut chunk = [0; 16384];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(read) => self.received.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let mut messages = Vec::new();
        while let Some(length) = crate::bare::message_length(&self.received) {
            let message = self.received.drain(..length).collect();
            messages.push(String::from_utf8(message).unwrap());
        }
        messages
    }
}

const TEXT: &str = "The meeting is moved to half past three; please tell the others.";
const SDP: &str = "v=0\r\no=- 3724394400 3724394405 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";
