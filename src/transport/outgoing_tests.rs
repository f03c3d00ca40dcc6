//! Requests of our own over a real engine: sockets, workers, lookup threads. Only the peer and the asker are the test's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::{Domain, Protocol, Socket, Type};

use super::*;
use crate::auth::{AuthOptions, Mappings, Rules};
use crate::proxy::test_support::relay_policy;
use crate::proxy::{Audit, NoDirectory, Policy, ProxyOptions, Routing};
use crate::registrar::{FlowId, Location, OutboundOptions, RegistrarOptions};
use crate::resolve::{Destination, Resolver, ResolverOptions, TransportKind};
use crate::sip::FrameLimits;
use crate::tls::{self, ClientContext, ClientTls, ProtocolVersion, TlsOptions};
use crate::transaction::{Timers, TransactionOptions};

/// Nothing is dialled here.
fn client_role() -> ClientContext {
    let options = TlsOptions {
        certificate_path: None,
        ca_directories: Vec::new(),
        ca_files: Vec::new(),
        pass_phrase: None,
        dh_params: None,
        cipher_list: "HIGH".to_owned(),
        cipher_suites: None,
        groups: None,
        minimum: ProtocolVersion::Tls1_2,
        maximum: ProtocolVersion::Tls1_3,
        set_options: None,
        clear_options: Vec::new(),
        verify_depth: 9,
        session_tickets: true,
        session_lifetime: 3_600,
        verified_chain_cache: 0,
        revocation: crate::tls::RevocationOptions::default(),
    };
    tls::load(&options, &[], &ClientTls::default())
        .unwrap()
        .client
}

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn n(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

/// An asker that passes on whom it was told of.
struct Told(Sender<RegistrationEvent>);

impl Registered for Told {
    fn registered(&self, event: RegistrationEvent, _: &EngineHandle) {
        self.0.send(event).unwrap();
    }
}

struct Served {
    engine: Engine,
    address: SocketAddr,
    events: Receiver<RegistrationEvent>,
}

/// An engine that listens on TCP and believes every From.
fn serve(change: impl FnOnce(&mut EngineOptions)) -> Served {
    let minute = Duration::from_secs(60);
    let mut options = EngineOptions {
        workers: n(2),
        lookup_threads: n(1),
        max_pending_lookups: 64,
        max_connections: 100,
        max_connections_per_source: 100,
        max_handshakes: 100,
        exempt: Vec::new(),
        proxy_sources: Vec::new(),
        max_queued_bytes: 65_536,
        congestion: None,
        transactions: TransactionOptions::default(),
        outgoing: OutgoingOptions::default(),
        statistics: Duration::ZERO,
        deadlines: Deadlines {
            connect: Duration::from_secs(5),
            handshake: minute,
            first_message: minute,
            partial_message: minute,
            idle: minute,
            write: minute,
            drain: Duration::from_secs(10),
        },
        limits: FrameLimits {
            head_bytes: 32_768,
            body_bytes: 65_536,
            fields: 64,
        },
    };
    change(&mut options);
    let listener = ListenerOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        kind: ListenerKind::Tcp,
        setting: "TCPPort".to_owned(),
    };
    let auth = AuthOptions {
        domains: vec!["example.org".to_owned()],
        ..AuthOptions::default()
    };
    let mut relay = relay_policy();
    // What is dialled is dialled from here.
    for face in &mut relay.faces {
        face.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let snapshot = Snapshot {
        generation: 1,
        policy: Arc::new(Policy {
            relay,
            rules: Rules::new(&auth, Mappings::default(), Vec::new()),
            registrar: RegistrarOptions {
                enabled: true,
                allow_to_tag: false,
                min_expires: 60,
                max_expires: 7200,
                default_expires: 3600,
                max_contacts: n(10),
                max_total: n(100),
                outbound: OutboundOptions::default(),
            },
            proxy: ProxyOptions {
                server_text: None,
                always_allow_relaying: false,
                audit: Audit::Off,
                asserted_identity: false,
                keep_credentials: false,
            },
            routing: Routing::default(),
            directory: Arc::new(NoDirectory),
            addresses: Vec::new(),
        }),
        tls: Arc::new(vec![None]),
        client_role: Arc::new(client_role()),
    };
    let listeners = Listeners::open(&[listener], options.workers).unwrap();
    let (told, events) = unbounded();
    let registered: Arc<dyn Registered> = Arc::new(Told(told));
    let location = Location::new();
    let resolver = Resolver::new(ResolverOptions::default()).unwrap();
    let told = Some(registered);
    let engine = Engine::start(options, listeners, resolver, snapshot, location, told).unwrap();
    let address = engine.handle().0.listeners[0];
    Served {
        engine,
        address,
        events,
    }
}

/// A phone: a socket that reads one message at a time.
struct Phone {
    stream: TcpStream,
    received: Vec<u8>,
    cseq: u32,
}

impl Phone {
    fn connect(served: &Served) -> Self {
        let stream = TcpStream::connect(served.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            received: Vec::new(),
            cseq: 0,
        }
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// The next message, without its body.
    fn hear(&mut self) -> String {
        loop {
            if let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") {
                let head = String::from_utf8(self.received[..end + 4].to_vec()).unwrap();
                let length = field(&head, "Content-Length").parse::<usize>().unwrap();
                if self.received.len() >= end + 4 + length {
                    self.received.drain(..end + 4 + length);
                    return head;
                }
            }
            let mut octets = [0; 4096];
            let read = self.stream.read(&mut octets).unwrap();
            assert!(read > 0, "the server closed the connection");
            self.received.extend_from_slice(&octets[..read]);
        }
    }

    /// Registers as `user`; the 200.
    fn register(&mut self, user: &str) -> String {
        self.cseq += 1;
        let cseq = self.cseq;
        self.say(&format!(
            "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{cseq}\r\n\
             From: <sip:{user}@example.org>;tag=1\r\nTo: <sip:{user}@example.org>\r\nCall-ID: {user}\r\n\
             CSeq: {cseq} REGISTER\r\nContact: <sip:{user}@127.0.0.1:9>\r\nContent-Length: 0\r\n\r\n"
        ));
        let answer = self.hear();
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        answer
    }
}

fn field<'t>(head: &'t str, name: &str) -> &'t str {
    let line = head
        .lines()
        .find(|line| line.starts_with(&format!("{name}: ")));
    line.map(|line| &line[name.len() + 2..])
        .unwrap_or_else(|| panic!("no {name} in {head}"))
}

/// An answer to a request, with a Via of the test's choice.
fn answer(request: &str, status: &str, via: &str) -> String {
    format!(
        "SIP/2.0 {status}\r\nVia: {via}\r\nFrom: {}\r\nTo: {};tag=p\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Content-Length: 0\r\n\r\n",
        field(request, "From"),
        field(request, "To"),
        field(request, "Call-ID"),
        field(request, "CSeq")
    )
}

/// A MESSAGE over this flow, and where its outcome arrives.
fn message(flow: FlowId) -> (Outgoing, Receiver<Delivered>) {
    let (told, outcome) = unbounded();
    let text = "MESSAGE sip:a@127.0.0.1:9 SIP/2.0\r\nMax-Forwards: 70\r\nFrom: <sip:b@example.org>;tag=1\r\n\
        To: <sip:a@example.org>\r\nCall-ID: kept\r\nCSeq: 1 MESSAGE\r\nContent-Length: 5\r\n\r\nhello";
    let outgoing = Outgoing::new(flow, text.as_bytes().to_vec(), move |delivered| {
        assert!(
            std::thread::current()
                .name()
                .unwrap_or_default()
                .starts_with("lookup"),
            "askers may block and so are told on lookup threads"
        );
        told.send(delivered).unwrap();
    });
    (outgoing.unwrap(), outcome)
}

fn status(delivered: &Delivered) -> u16 {
    match delivered {
        Delivered::Answered { status, .. } => status.as_u16(),
        Delivered::Failed(why) => panic!("{why}"),
    }
}

fn failure(delivered: &Delivered) -> Undelivered {
    match delivered {
        Delivered::Answered { status, .. } => panic!("answered {status}"),
        Delivered::Failed(why) => *why,
    }
}

impl Served {
    /// A phone that has registered, and the event of it.
    fn phone(&self, user: &str) -> (Phone, RegistrationEvent) {
        let mut phone = Phone::connect(self);
        phone.register(user);
        let event = self.events.recv_timeout(PATIENCE).unwrap();
        (phone, event)
    }

    fn counter(&self, counter: impl Fn(&Counters) -> &Counter) -> u64 {
        counter(&self.engine.handle().0.counters).value()
    }
}

#[test]
fn a_phone_that_registers_is_sent_a_request_and_its_answer_comes_back() {
    let served = serve(|_| ());
    // Several, so that both workers have some.
    let mut phones: Vec<_> = (0..4).map(|n| served.phone(&format!("u{n}"))).collect();
    for (n, (phone, event)) in phones.iter_mut().enumerate() {
        assert_eq!(event.aor.as_str(), format!("u{n}@example.org"));
        let contact = format!("sip:u{n}@127.0.0.1:9");
        assert_eq!(event.contacts, [contact.into_bytes().into_boxed_slice()]);
        let (outgoing, outcome) = message(event.flow);
        served.engine.handle().send(outgoing).unwrap();
        let request = phone.hear();
        let via = field(&request, "Via");
        assert!(
            via.starts_with(&format!("SIP/2.0/TCP {};branch=z9hG4bK", served.address)),
            "{via}"
        );
        phone.say(&answer(&request, "100 Trying", via));
        phone.say(&answer(&request, "202 Accepted", via));
        let delivered = outcome.recv_timeout(PATIENCE).unwrap();
        assert_eq!(status(&delivered), 202);
        // The same answer again belongs to nothing any more.
        phone.say(&answer(&request, "202 Accepted", via));
        phone.register(&format!("u{n}"));
        assert!(outcome.try_recv().is_err());
    }
    assert!(served.events.is_empty(), "a refresh is no event");
    assert_eq!(served.counter(|c| &c.responses_dropped), 4);
    assert_eq!(served.counter(|c| &c.requests_sent), 4);
    served.engine.drain();
}

#[test]
fn only_an_answer_over_the_same_connection_with_our_via_counts() {
    let served = serve(|options| options.workers = n(1));
    let (mut alice, event) = served.phone("alice");
    let (mut mallory, other_event) = served.phone("mallory");
    // She is asked something herself, so that her answers are looked at.
    let (outgoing, other_outcome) = message(other_event.flow);
    served.engine.handle().send(outgoing).unwrap();
    let other_request = mallory.hear();
    let (outgoing, outcome) = message(event.flow);
    served.engine.handle().send(outgoing).unwrap();
    let request = alice.hear();
    let via = field(&request, "Via");
    mallory.say(&answer(&request, "200 OK", via));
    mallory.register("mallory");
    for other in [
        via.replace("z9hG4bK", "z9hG4bKx"),
        via.replace("127.0.0.1", "127.0.0.2"),
    ] {
        alice.say(&answer(&request, "200 OK", &other));
    }
    alice.say(&answer(&request, "200 OK", via).replace("1 MESSAGE", "1 OPTIONS"));
    alice.register("alice");
    assert!(outcome.try_recv().is_err());
    assert_eq!(served.counter(|c| &c.responses_dropped), 4);
    alice.say(&answer(&request, "486 Busy Here", via));
    assert_eq!(status(&outcome.recv_timeout(PATIENCE).unwrap()), 486);
    let own = field(&other_request, "Via");
    mallory.say(&answer(&other_request, "200 OK", own));
    assert_eq!(status(&other_outcome.recv_timeout(PATIENCE).unwrap()), 200);
    served.engine.drain();
}

#[test]
fn a_request_that_is_not_answered_times_out() {
    let served = serve(|options| {
        options.outgoing.transactions.timers = Timers {
            t1: Duration::from_millis(3),
            ..Timers::default()
        };
    });
    let (mut phone, event) = served.phone("a");
    let (outgoing, outcome) = message(event.flow);
    served.engine.handle().send(outgoing).unwrap();
    let request = phone.hear();
    let delivered = outcome.recv_timeout(PATIENCE).unwrap();
    assert_eq!(failure(&delivered), Undelivered::Timeout);
    phone.say(&answer(&request, "200 OK", field(&request, "Via")));
    phone.register("a");
    assert!(outcome.try_recv().is_err(), "told once");
    assert_eq!(served.counter(|c| &c.requests_failed), 1);
    served.engine.drain();
}

#[test]
fn a_connection_that_closes_takes_its_requests_with_it() {
    let served = serve(|_| ());
    let (mut phone, event) = served.phone("a");
    let (outgoing, outcome) = message(event.flow);
    served.engine.handle().send(outgoing).unwrap();
    phone.hear();
    drop(phone);
    let delivered = outcome.recv_timeout(PATIENCE).unwrap();
    assert_eq!(failure(&delivered), Undelivered::ConnectionGone);
    for flow in [
        event.flow,
        FlowId::Connection(u64::MAX),
        FlowId::Connection(0),
    ] {
        let (outgoing, outcome) = message(flow);
        served.engine.handle().send(outgoing).unwrap();
        let delivered = outcome.recv_timeout(PATIENCE).unwrap();
        assert_eq!(failure(&delivered), Undelivered::ConnectionGone);
    }
    served.engine.drain();
}

#[test]
fn requests_are_bounded_for_each_connection_and_in_total() {
    let served = serve(|options| {
        options.outgoing.per_connection = 2;
        options.outgoing.transactions.max_transactions = n(3);
    });
    let (mut a, event_a) = served.phone("a");
    let (mut b, event_b) = served.phone("b");
    let handle = served.engine.handle();
    let mut outcomes = Vec::new();
    let mut requests = Vec::new();
    for _ in 0..2 {
        let (outgoing, outcome) = message(event_a.flow);
        handle.send(outgoing).unwrap();
        requests.push(a.hear());
        outcomes.push(outcome);
    }
    let (outgoing, third) = message(event_a.flow);
    handle.send(outgoing).unwrap();
    let delivered = third.recv_timeout(PATIENCE).unwrap();
    assert_eq!(failure(&delivered), Undelivered::Busy);
    // The place comes back when the asker has returned, which is a moment after he has told us.
    let send = |flow| loop {
        let (outgoing, outcome) = message(flow);
        match handle.send(outgoing) {
            Ok(()) => return outcome,
            Err(why) => assert_eq!(why, NotSent::Full),
        }
        std::thread::yield_now();
    };
    let fourth = send(event_b.flow);
    let other = b.hear();
    let (outgoing, _) = message(event_b.flow);
    assert_eq!(handle.send(outgoing), Err(NotSent::Full));
    b.say(&answer(&other, "200 OK", field(&other, "Via")));
    assert_eq!(status(&fourth.recv_timeout(PATIENCE).unwrap()), 200);
    for (request, outcome) in requests.iter().zip(&outcomes) {
        a.say(&answer(request, "200 OK", field(request, "Via")));
        assert_eq!(status(&outcome.recv_timeout(PATIENCE).unwrap()), 200);
    }
    let again = send(event_a.flow);
    let request = a.hear();
    a.say(&answer(&request, "200 OK", field(&request, "Via")));
    assert_eq!(status(&again.recv_timeout(PATIENCE).unwrap()), 200);
    served.engine.drain();
}

#[test]
fn an_outcome_waits_for_a_place_on_the_lookup_pool() {
    let served = serve(|options| options.max_pending_lookups = 1);
    let (mut phone, event) = served.phone("a");
    let handle = served.engine.handle();
    let (go, wait) = crossbeam_channel::bounded::<()>(0);
    handle.submit(move || wait.recv().unwrap()).unwrap();
    assert_eq!(handle.submit(|| ()), Err(PoolIsFull));
    let (outgoing, outcome) = message(event.flow);
    handle.send(outgoing).unwrap();
    let request = phone.hear();
    phone.say(&answer(&request, "200 OK", field(&request, "Via")));
    phone.register("a");
    assert!(outcome.try_recv().is_err(), "nobody there to tell it");
    go.send(()).unwrap();
    assert_eq!(status(&outcome.recv_timeout(PATIENCE).unwrap()), 200);
    served.engine.drain();
}

#[test]
fn a_server_that_ends_waits_for_answers_and_takes_no_more_requests() {
    let served = serve(|_| ());
    let (mut phone, event) = served.phone("a");
    let handle = served.engine.handle();
    let (outgoing, outcome) = message(event.flow);
    handle.send(outgoing).unwrap();
    let request = phone.hear();
    let engine = served.engine;
    let draining = std::thread::spawn(move || engine.drain());
    loop {
        let (outgoing, _) = message(event.flow);
        match handle.send(outgoing) {
            Ok(()) => std::thread::yield_now(),
            Err(NotSent::Full) => std::thread::yield_now(),
            Err(NotSent::Ending) => break,
        }
    }
    phone.say(&answer(&request, "200 OK", field(&request, "Via")));
    assert_eq!(status(&outcome.recv_timeout(PATIENCE).unwrap()), 200);
    // Those that went out while the end began are given up with the connection.
    drop(phone);
    draining.join().unwrap();
}

#[test]
fn a_server_that_may_wait_no_longer_tells_its_askers() {
    let served = serve(|options| options.deadlines.drain = Duration::from_millis(50));
    let (mut phone, event) = served.phone("a");
    let (outgoing, outcome) = message(event.flow);
    served.engine.handle().send(outgoing).unwrap();
    phone.hear();
    served.engine.drain();
    let delivered = outcome.try_recv().expect("told before the end");
    assert_eq!(failure(&delivered), Undelivered::ConnectionGone);
    let end = phone.stream.read(&mut [0; 16]);
    let reset = end.as_ref().err().map(std::io::Error::kind);
    assert!(matches!(end, Ok(0)) || reset == Some(ErrorKind::ConnectionReset));
}

#[test]
fn a_destination_is_avoided_for_what_it_does_and_not_for_what_we_lack() {
    // Bound, and nobody listens.
    let absent = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    let loopback = SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), 0);
    absent.bind(&loopback.into()).unwrap();
    let absent = absent.local_addr().unwrap().as_socket().unwrap();
    let port = absent.port();
    for (situation, most, transport, avoided) in [
        ("nobody is there", 100, TransportKind::Tls, true),
        ("we have no connection left", 1, TransportKind::Tls, false),
        (
            "we have no listener of that kind",
            100,
            TransportKind::Tcp,
            false,
        ),
    ] {
        let served = serve(|options| options.max_connections = most);
        let mut phone = Phone::connect(&served);
        phone.say(&format!(
            "MESSAGE sip:a@127.0.0.1:{port};transport={transport} SIP/2.0\r\n\
             Via: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKm\r\nFrom: <sip:b@example.org>;tag=1\r\n\
             To: <sip:a@127.0.0.1>\r\nCall-ID: m\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        ));
        let answer = phone.hear();
        assert!(answer.starts_with("SIP/2.0 500 "), "{situation}: {answer}");
        let destination = Destination {
            address: absent,
            transport,
        };
        let resolver = &served.engine.handle().0.resolver;
        let found = resolver.is_avoided(&destination, std::time::Instant::now());
        assert_eq!(found, avoided, "{situation}");
    }
}
