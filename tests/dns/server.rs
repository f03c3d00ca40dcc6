//! A name server of few records: it counts what it is asked, and can be told to fail in many ways.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use c_ares::{
    DnsCls, DnsFlags, DnsOpcode, DnsParseFlags, DnsRcode, DnsRecord, DnsRecordType, DnsRrKey,
    DnsSection,
};

/// Longest answer over UDP when a question does not say.
const PLAIN_UDP_BYTES: usize = 512;

/// Something else than an honest answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing is sent.
    Silence,
    /// This code and nothing else.
    Code(DnsRcode),
    /// These octets behind the identifier of the question.
    Octets(Vec<u8>),
    /// The answer to another question.
    OtherQuestion,
}

#[derive(Default)]
struct State {
    /// Lines as `example.com 300 A 192.0.2.1`.
    records: Vec<Vec<String>>,
    /// By name.
    faults: HashMap<String, Fault>,
    /// What was asked, as `udp A example.com`.
    asked: Vec<String>,
    /// Nobody is answered while this is set.
    held: bool,
}

/// Runs until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
}

impl Server {
    pub(crate) fn new(records: &[&str]) -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let threads = vec![
            {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve_udp(&udp))
            },
            {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve_tcp(&tcp))
            },
        ];
        let server = Self {
            address,
            shared,
            threads,
        };
        server.set(records);
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts these records in the place of all.
    pub(crate) fn set(&self, records: &[&str]) {
        self.shared.state.lock().unwrap().records = records
            .iter()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
    }

    /// Questions about this name fare like that from now on.
    pub(crate) fn fault(&self, name: &str, fault: Fault) {
        let mut state = self.shared.state.lock().unwrap();
        state.faults.insert(name.to_owned(), fault);
    }

    /// Holds all answers back, or lets them go.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.state.lock().unwrap().held = held;
        self.shared.changed.notify_all();
    }

    /// Waits until this has been asked.
    pub(crate) fn wait_for(&self, question: &str) {
        let state = self.shared.state.lock().unwrap();
        let (state, late) = self
            .shared
            .changed
            .wait_timeout_while(state, Duration::from_secs(20), |state| {
                !state.asked.iter().any(|asked| asked == question)
            })
            .unwrap();
        assert!(
            !late.timed_out(),
            "nobody asked {question}, but {:?}",
            state.asked
        );
    }

    /// What has been asked, in the order of the alphabet, and is forgotten by this.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut self.shared.state.lock().unwrap().asked);
        asked.sort();
        asked
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.hold(false);
        // Both threads wait for something to come.
        let waking = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        waking.send_to(&[], self.address).unwrap();
        drop(TcpStream::connect(self.address));
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }
}

/// Of both kinds, on one port.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

impl Shared {
    fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        loop {
            let received = socket.recv_from(&mut buffer);
            if self.is_ended() {
                return;
            }
            // An ICMP error about an earlier answer is nothing.
            let Ok((length, peer)) = received else {
                continue;
            };
            if let Some(answer) = self.answer(&buffer[..length], true) {
                drop(socket.send_to(&answer, peer));
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        while let Ok((mut stream, _)) = listener.accept() {
            if self.is_ended() {
                return;
            }
            // One after the other: a client that says nothing would hold the others.
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut question).is_err() {
                    break;
                }
                let Some(answer) = self.answer(&question, false) else {
                    break;
                };
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                if stream.write_all(&[&length[..], &answer].concat()).is_err() {
                    break;
                }
            }
        }
    }

    fn answer(&self, question: &[u8], datagram: bool) -> Option<Vec<u8>> {
        let question = DnsRecord::parse(question, DnsParseFlags::empty()).ok()?;
        let (name, kind, _) = question.query_get(0).ok()?;
        let name = name.to_ascii_lowercase();
        let transport = if datagram { "udp" } else { "tcp" };
        let mut state = self.state.lock().unwrap();
        state.asked.push(format!("{transport} {kind} {name}"));
        self.changed.notify_all();
        let state = self.changed.wait_while(state, |state| state.held).unwrap();
        match state.faults.get(&name) {
            None => {}
            Some(Fault::Silence) => return None,
            Some(Fault::Code(code)) => {
                return Some(
                    message(&question, &name, kind, *code)
                        .write()
                        .unwrap()
                        .to_vec(),
                );
            }
            Some(Fault::Octets(octets)) => {
                return Some([&question.id().to_be_bytes()[..], octets].concat());
            }
            Some(Fault::OtherQuestion) => {
                let mut other = message(&question, "other.example", kind, DnsRcode::NoError);
                add(&mut other, &["other.example", "60", "A", "192.0.2.66"]);
                return Some(other.write().unwrap().to_vec());
            }
        }
        let answer = state.honest(&question, &name, kind);
        let octets = answer.write().unwrap().to_vec();
        let most = question
            .rrs(DnsSection::Additional)
            .find_map(|record| record.as_opt())
            .map_or(PLAIN_UDP_BYTES, |opt| usize::from(opt.udp_size()));
        if datagram && octets.len() > most {
            let cut = DnsRecord::new(
                question.id(),
                DnsFlags::QR | DnsFlags::TC,
                DnsOpcode::Query,
                DnsRcode::NoError,
            );
            let mut cut = cut.unwrap();
            cut.query_add(&name, kind, DnsCls::IN).unwrap();
            return Some(cut.write().unwrap().to_vec());
        }
        Some(octets)
    }
}

fn message(question: &DnsRecord, name: &str, kind: DnsRecordType, code: DnsRcode) -> DnsRecord {
    let flags = DnsFlags::QR | DnsFlags::RD | DnsFlags::RA;
    let mut message = DnsRecord::new(question.id(), flags, DnsOpcode::Query, code).unwrap();
    message.query_add(name, kind, DnsCls::IN).unwrap();
    message
}

impl State {
    /// The records, aliases followed as far as they lead; without one the SOA record of the zone `example`, if there is any.
    fn honest(&self, question: &DnsRecord, name: &str, kind: DnsRecordType) -> DnsRecord {
        let is_there = self.records.iter().any(|line| line[0] == name);
        let code = if is_there {
            DnsRcode::NoError
        } else {
            DnsRcode::NXDomain
        };
        let mut answer = message(question, name, kind, code);
        let mut owner = name.to_owned();
        for _ in 0..12 {
            let lines = |word: &str| {
                let (word, owner) = (word.to_owned(), owner.clone());
                self.records
                    .iter()
                    .filter(move |line| line[0] == owner && line[2] == word)
            };
            for line in lines(&kind.to_string()) {
                add(&mut answer, line);
            }
            let Some(alias) = lines("CNAME").next() else {
                break;
            };
            add(&mut answer, alias);
            owner = alias[3].clone();
        }
        if answer.rr_count(DnsSection::Answer) == 0 {
            for line in self.records.iter().filter(|line| line[2] == "SOA") {
                add(&mut answer, line);
            }
        }
        answer
    }
}

/// Adds the record of a line.
fn add(message: &mut DnsRecord, line: &[impl AsRef<str>]) {
    let word = |at: usize| line[at].as_ref();
    let number = |at: usize| word(at).parse::<u16>().unwrap();
    let (section, kind) = match word(2) {
        "A" => (DnsSection::Answer, DnsRecordType::A),
        "AAAA" => (DnsSection::Answer, DnsRecordType::AAAA),
        "CNAME" => (DnsSection::Answer, DnsRecordType::CNAME),
        "SRV" => (DnsSection::Answer, DnsRecordType::SRV),
        "NAPTR" => (DnsSection::Answer, DnsRecordType::NAPTR),
        "SOA" => (DnsSection::Authority, DnsRecordType::SOA),
        other => panic!("{other}"),
    };
    let ttl = word(1).parse().unwrap();
    let record = message
        .rr_add(section, word(0), kind, DnsCls::IN, ttl)
        .unwrap();
    // A name alone stands for the root.
    let target = |at: usize| if word(at) == "." { "" } else { word(at) };
    match kind {
        DnsRecordType::A => record.set_addr(DnsRrKey::A_ADDR, word(3).parse().unwrap()),
        DnsRecordType::AAAA => record.set_addr6(DnsRrKey::AAAA_ADDR, word(3).parse().unwrap()),
        DnsRecordType::CNAME => record.set_str(DnsRrKey::CNAME_CNAME, word(3)),
        DnsRecordType::SRV => record
            .set_u16(DnsRrKey::SRV_PRIORITY, number(3))
            .and_then(|r| r.set_u16(DnsRrKey::SRV_WEIGHT, number(4)))
            .and_then(|r| r.set_u16(DnsRrKey::SRV_PORT, number(5)))
            .and_then(|r| r.set_str(DnsRrKey::SRV_TARGET, target(6))),
        DnsRecordType::NAPTR => record
            .set_u16(DnsRrKey::NAPTR_ORDER, number(3))
            .and_then(|r| r.set_u16(DnsRrKey::NAPTR_PREFERENCE, number(4)))
            .and_then(|r| r.set_str(DnsRrKey::NAPTR_FLAGS, word(5)))
            .and_then(|r| r.set_str(DnsRrKey::NAPTR_SERVICES, word(6)))
            .and_then(|r| r.set_str(DnsRrKey::NAPTR_REGEXP, word(7).trim_matches('"')))
            .and_then(|r| r.set_str(DnsRrKey::NAPTR_REPLACEMENT, target(8))),
        _ => record
            .set_str(DnsRrKey::SOA_MNAME, "ns.example")
            .and_then(|r| r.set_str(DnsRrKey::SOA_RNAME, "root.example"))
            .and_then(|r| r.set_u32(DnsRrKey::SOA_MINIMUM, word(3).parse().unwrap())),
    }
    .unwrap();
}
