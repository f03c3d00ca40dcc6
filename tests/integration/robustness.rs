//! Peers that stall, flood and stop reading; reloads under traffic; kill -9; drain. What is held to account: every
//! request of a good client is answered, limits are named in the log, and what the bad ones took is given back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{
    Answer, Connection, Pki, Request, Server, Setup, TlsPeer, client_hello, connect_tcp, heavy,
    report, tcp_from,
};

const GOOD: usize = 50;
const BAD: usize = 1_000;

/// What a bad peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bad {
    /// Connects, and never sends a ClientHello.
    Silent,
    /// Sends half of a ClientHello.
    HalfHello,
    /// Shakes hands, and says nothing after it.
    AfterHandshake,
    /// Sends one octet of a message a second.
    Dribbles,
    /// Sends requests, and never reads the answers.
    StopsReading,
}

impl Bad {
    /// What the log says of it.
    fn reasons(self) -> &'static [&'static str] {
        match self {
            Self::Silent | Self::HalfHello => &["reason=HandshakeTimeout"],
            Self::AfterHandshake => &["reason=FirstMessageTimeout"],
            Self::Dribbles => &["reason=PartialMessageTimeout"],
            Self::StopsReading => &["reason=WriteTimeout", "reason=MaximumQueuedBytes"],
        }
    }
}

/// An open connection of a bad peer.
enum Held {
    #[expect(dead_code, reason = "held open, and no more")]
    Raw(TcpStream),
    Sip(Connection),
}

#[test]
fn a_thousand_bad_peers_of_each_kind_leave_fifty_good_ones_unharmed() {
    let _alone = heavy();
    let mut server = short_deadlines().start();
    let traffic = Traffic::default();
    let mut lines = Vec::new();
    std::thread::scope(|scope| {
        let stop = Stop(&traffic);
        for n in 0..GOOD {
            let (traffic, server) = (&traffic, server.tls());
            scope.spawn(move || traffic.good_client(server, n));
        }
        traffic.wait_for_answers(u64::try_from(GOOD).expect("a number") * 10);
        let threads = server.threads();
        let descriptors = server.descriptors();
        let rss = server.rss();
        lines.push(format!("base: {descriptors} descriptors, {rss} KiB"));
        for kind in [
            Bad::Silent,
            Bad::HalfHello,
            Bad::AfterHandshake,
            Bad::Dribbles,
            Bad::StopsReading,
        ] {
            let from = server.lines();
            let started = Instant::now();
            let answers = traffic.answers();
            let mut held = open(kind, server.tls());
            let peak = server.descriptors();
            match kind {
                Bad::Dribbles => dribble(&mut held),
                Bad::StopsReading => flood(&mut held),
                _ => {}
            }
            let most = server.rss();
            // Deadlines are 3 to 8 s. The rest is for a busy machine, and for the system: its own send buffer grows for a
            // while although the peer takes nothing, which is progress to the server. The bad ones hold on to their ends.
            let back = wait_until(Duration::from_secs(45), || {
                server.descriptors() <= descriptors
            });
            assert!(
                back,
                "{kind:?}: the server must close all of {BAD}: {} descriptors, {descriptors} before\n{}",
                server.descriptors(),
                tail(&server)
            );
            drop(held);
            let named =
                server.wait_after(&mut from.clone(), kind.reasons(), Duration::from_secs(5));
            assert!(
                named.is_some(),
                "{kind:?}: no log line names one of {:?}\n{}",
                kind.reasons(),
                tail(&server)
            );
            lines.push(format!(
                "{kind:?}: at most {} descriptors, {} KiB; after {:.1} s {} KiB; {} good answers meanwhile",
                peak,
                most,
                started.elapsed().as_secs_f64(),
                server.rss(),
                traffic.answers() - answers,
            ));
        }
        assert_eq!(
            server.threads(),
            threads,
            "no thread is lost to a peer, and none is left over"
        );
        // What the last crowd left in the allocator is given back within seconds. A thousand TLS connections hold some
        // 20 MiB while they live: a leak of one crowd would be seen, and there were five.
        let given_back = wait_until(Duration::from_secs(20), || server.rss() < rss + 12 * 1024);
        lines.push(format!(
            "at the end: {} descriptors, {} KiB",
            server.descriptors(),
            server.rss()
        ));
        assert!(
            given_back,
            "resident memory: {rss} KiB before, {} KiB after\n  {}",
            server.rss(),
            lines.join("\n  ")
        );
        drop(stop);
    });
    report(&format!(
        "robustness: {}\n  {}\n",
        traffic.summary(),
        lines.join("\n  ")
    ));
    assert_eq!(
        traffic.failures(),
        Vec::<String>::new(),
        "every request of a good client is answered"
    );
    assert!(server.lives());
}

fn short_deadlines() -> Setup {
    Setup::usual()
        .set("HandshakeTimeout", "3")
        .set("FirstMessageTimeout", "4")
        .set("PartialMessageTimeout", "5")
        .set("WriteTimeout", "3")
        .set("IdleTimeout", "8")
}

/// Opens a thousand connections of one kind, from ten addresses: within the limit per source.
fn open(kind: Bad, server: SocketAddr) -> Vec<Held> {
    let hello = client_hello();
    let held = Mutex::new(Vec::with_capacity(BAD));
    std::thread::scope(|scope| {
        for part in 0..5_u8 {
            let (hello, held) = (&hello, &held);
            scope.spawn(move || {
                let mut peers = [TlsPeer::anonymous(), TlsPeer::anonymous()];
                for (n, peer) in peers.iter_mut().enumerate() {
                    peer.source = IpAddr::V4(Ipv4Addr::new(
                        127,
                        0,
                        9,
                        1 + part * 2 + u8::try_from(n).expect("0 or 1"),
                    ));
                    peer.small_buffers = kind == Bad::StopsReading;
                }
                for n in 0..BAD / 5 {
                    let connection = one(kind, server, &mut peers[n % 2], hello);
                    held.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(connection);
                }
            });
        }
    });
    held.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn one(kind: Bad, server: SocketAddr, peer: &mut TlsPeer, hello: &[u8]) -> Held {
    match kind {
        Bad::Silent => Held::Raw(connect_tcp(peer.source, server).expect("a connection")),
        Bad::HalfHello => {
            use std::io::Write as _;
            let mut stream = connect_tcp(peer.source, server).expect("a connection");
            stream
                .write_all(&hello[..hello.len() / 2])
                .expect("half a ClientHello sent");
            Held::Raw(stream)
        }
        Bad::AfterHandshake | Bad::StopsReading => {
            Held::Sip(peer.connect(server).expect("a handshake"))
        }
        Bad::Dribbles => {
            let mut connection = peer.connect(server).expect("a handshake");
            connection.send(b"O").expect("an octet");
            Held::Sip(connection)
        }
    }
}

/// Sends more requests than the system has room for answers to, and reads none of them.
fn flood(held: &mut [Held]) {
    let mut floods: Vec<(&mut Connection, Vec<u8>, usize)> = held
        .iter_mut()
        .filter_map(|held| match held {
            Held::Sip(connection) => Some(connection),
            Held::Raw(_) => None,
        })
        .map(|connection| {
            // Answers are as long as what they repeat.
            let mut request = Request::ping();
            request.call_id = format!("{}{}", request.call_id, "x".repeat(8_000));
            let octets = (0..32).fold(Vec::new(), |mut all, _| {
                request = request.following();
                all.extend(request.octets("TLS", connection.local()));
                all
            });
            (connection, octets, 0)
        })
        .collect();
    // A connection that is stuck now may only be slow: it is offered the rest again, until the server closes it.
    for _ in 0..20 {
        for (connection, octets, sent) in &mut floods {
            while let Some(next) = octets.get(*sent..).filter(|rest| !rest.is_empty()) {
                match connection.send_some(&next[..next.len().min(16_384)]) {
                    Ok(n) => *sent += n,
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(_) => *sent = octets.len(),
                }
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Goes on with one octet a second until the first connection is closed.
fn dribble(held: &mut [Held]) {
    for octet in b"PTIONS sip:example.org" {
        std::thread::sleep(Duration::from_secs(1));
        let mut open = 0;
        for connection in held.iter_mut() {
            if let Held::Sip(connection) = connection {
                open += usize::from(connection.send_some(&[*octet]).is_ok());
            }
        }
        if open < held.len() / 2 {
            return;
        }
    }
}

#[test]
fn connections_beyond_the_limit_of_one_source_are_refused_and_others_are_not() {
    let _alone = heavy();
    let server = Setup::usual()
        .set("MaximumConnectionsPerSource", "20")
        .start();
    let greedy = IpAddr::V4(Ipv4Addr::new(127, 0, 9, 100));
    let mut peer = TlsPeer::anonymous().from(greedy);
    let mut held: Vec<Connection> = (0..20)
        .map(|_| peer.connect(server.tls()).expect("within the limit"))
        .collect();
    assert!(
        peer.connect(server.tls()).is_err(),
        "one more than the limit"
    );
    assert!(
        server
            .wait_after(&mut 0, &["accept.refused"], Duration::from_secs(5))
            .is_some(),
        "no log line names the limit\n{}",
        tail(&server)
    );
    let mut other = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("another source is not harmed");
    assert_eq!(other.ask(&Request::ping()).response().status, 200);
    for connection in &mut held {
        assert_eq!(
            connection.ask(&Request::ping()).response().status,
            200,
            "those within the limit are served"
        );
    }
    held.pop();
    let again = wait_until(Duration::from_secs(5), || {
        peer.connect(server.tls()).is_ok()
    });
    assert!(again, "a place that was given back can be taken");
}

#[test]
fn connections_beyond_the_total_are_refused_until_places_are_free() {
    let _alone = heavy();
    let server = Setup::usual().set("MaximumConnections", "30").start();
    let mut held: Vec<Connection> = (0..30)
        .map(|_| {
            TlsPeer::anonymous()
                .connect(server.tls())
                .expect("within the limit")
        })
        .collect();
    assert!(
        TlsPeer::anonymous().connect(server.tls()).is_err(),
        "one more than the limit"
    );
    assert!(
        server
            .wait_after(&mut 0, &["accept.refused"], Duration::from_secs(5))
            .is_some(),
        "no log line names the limit\n{}",
        tail(&server)
    );
    assert_eq!(held[0].ask(&Request::ping()).response().status, 200);
    held.truncate(10);
    let again = wait_until(Duration::from_secs(5), || {
        TlsPeer::anonymous().connect(server.tls()).is_ok()
    });
    assert!(again, "places that were given back can be taken");
}

#[test]
fn reloads_under_traffic_drop_no_connection_and_keep_no_memory() {
    let _alone = heavy();
    let reloads: u64 = std::env::var("SIPVOUCH_RELOADS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10_000);
    let mut server = Setup::usual().start();
    let traffic = Traffic::default();
    let mut rss = 0;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let stop = Stop(&traffic);
        for n in 0..10 {
            let (traffic, server) = (&traffic, server.tls());
            scope.spawn(move || traffic.good_client(server, n));
        }
        {
            let (traffic, server) = (&traffic, server.tls());
            scope.spawn(move || traffic.newcomers(server));
        }
        traffic.wait_for_answers(100);
        let mut line = server.lines();
        for n in 0..reloads {
            if n % 50 == 0 {
                // Another certificate of the same domain: what is reloaded differs.
                exchange_certificate(&server, if n % 100 == 0 { "ec" } else { "rsa" });
            }
            server.sighup();
            let said = server.wait_after(
                &mut line,
                &["server.reloaded", "server.reload_failed"],
                Duration::from_secs(10),
            );
            let said =
                said.unwrap_or_else(|| panic!("reload {n} was not logged\n{}", tail(&server)));
            assert!(said.contains("server.reloaded"), "reload {n}: {said}");
            // Caches and allocator have settled after the first tenth.
            if n == reloads / 10 {
                rss = server.rss();
            }
        }
        drop(stop);
    });
    let after = server.rss();
    report(&format!(
        "reloads: {reloads} in {:.1} s, {} , {rss} KiB after a tenth of them, {after} KiB after all\n",
        started.elapsed().as_secs_f64(),
        traffic.summary(),
    ));
    assert_eq!(
        traffic.failures(),
        Vec::<String>::new(),
        "no connection is dropped, no request lost"
    );
    // One certificate context of a leak is some 30 KiB: 1,000 of them would be 30 MiB.
    assert!(
        after < rss + 8 * 1024,
        "resident memory: {rss} KiB after a tenth, {after} KiB after all reloads"
    );
    assert!(server.lives());
}

#[test]
fn a_reload_shows_the_new_certificate_to_new_connections_and_keeps_the_old_ones() {
    let server = Setup::usual().start();
    let mut old = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake");
    exchange_certificate(&server, "ec");
    let mut line = server.lines();
    server.sighup();
    assert!(
        server
            .wait_after(&mut line, &["server.reloaded"], Duration::from_secs(10))
            .is_some(),
        "{}",
        tail(&server)
    );
    let new = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    assert_eq!(
        new.server_key_type(),
        Some("ec"),
        "the certificate of the new files"
    );
    assert_eq!(old.server_key_type(), Some("rsa"));
    assert_eq!(
        old.ask(&Request::ping()).response().status,
        200,
        "a live connection is kept"
    );
}

#[test]
fn a_reload_that_fails_keeps_everything_as_it_was() {
    let server = Setup::usual().start();
    let mut old = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake");
    let key = server.dir().join("certs/domain_key_example.org.pem");
    std::fs::write(
        &key,
        "-----BEGIN PRIVATE KEY-----\nbm9uc2Vuc2U=\n-----END PRIVATE KEY-----\n",
    )
    .expect("a broken key");
    let mut line = server.lines();
    server.sighup();
    let said = server.wait_after(
        &mut line,
        &["server.reloaded", "server.reload_failed"],
        Duration::from_secs(10),
    );
    let said = said.unwrap_or_else(|| panic!("the failure was not logged\n{}", tail(&server)));
    assert!(said.contains("server.reload_failed"), "{said}");
    assert!(
        server.log().contains("domain_key_example.org.pem"),
        "the file is named\n{}",
        tail(&server)
    );
    assert!(
        !server.log().contains("bm9uc2Vuc2U"),
        "no key text in the log\n{}",
        tail(&server)
    );
    let mut new = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("the old certificate is still served");
    assert_eq!(new.ask(&Request::ping()).response().status, 200);
    assert_eq!(old.ask(&Request::ping()).response().status, 200);
}

#[test]
fn a_reload_that_finds_half_a_trust_anchor_or_a_pipe_for_mappings_keeps_everything_as_it_was() {
    let server = Setup::usual().set("CommonNameMappings", "mappings.txt");
    std::fs::write(
        server.dir().join("mappings.txt"),
        "0004F22B3EB5\talice@example.org\n",
    )
    .expect("mappings");
    let server = server.start();
    let root = server.dir().join("certs/root_cert_example.pem");
    let whole = std::fs::read(&root).expect("the anchor");
    let mut line = server.lines();
    let mut reload = || {
        server.sighup();
        let outcomes = ["server.reloaded", "server.reload_failed"];
        server
            .wait_after(&mut line, &outcomes, Duration::from_secs(10))
            .unwrap_or_else(|| panic!("no outcome was logged\n{}", tail(&server)))
    };
    std::fs::write(&root, &whole[..500]).expect("half an anchor");
    assert!(
        reload().contains("server.reload_failed"),
        "{}",
        tail(&server)
    );
    let mut client = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("still trusted");
    assert_eq!(client.ask(&Request::ping()).response().status, 200);
    std::fs::write(&root, whole).expect("the whole anchor");
    assert!(reload().contains("server.reloaded"), "{}", tail(&server));

    let mappings = server.dir().join("mappings.txt");
    std::fs::remove_file(&mappings).expect("no mappings");
    let made = std::process::Command::new("mkfifo").arg(&mappings).status();
    assert!(made.expect("mkfifo").success());
    assert!(
        reload().contains("server.reload_failed"),
        "{}",
        tail(&server)
    );
}

#[test]
fn a_killed_server_starts_again_on_the_same_ports_without_a_hand() {
    let port = crate::harness::free_port().to_string();
    let plain = crate::harness::free_port().to_string();
    let server = Setup::usual()
        .set("TLSPort", &port)
        .set("TCPPort", &plain)
        .set("UDPPort", &plain)
        .start();
    let address = server.tls();
    let mut live = TlsPeer::named("alice-uri")
        .connect(address)
        .expect("a handshake");
    let register = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
    assert_eq!(live.ask(&register).response().status, 200);
    let server = server.kill_and_restart();
    assert_eq!(server.tls(), address);
    assert!(live.closed_within(Duration::from_secs(5)));
    let mut again = TlsPeer::named("alice-uri")
        .connect(address)
        .expect("a handshake");
    assert_eq!(again.ask(&register.following()).response().status, 200);
}

#[test]
fn sigterm_closes_connections_properly_and_ends_with_success() {
    let mut server = Setup::usual().set("DrainTimeout", "5").start();
    let mut tls = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake");
    let mut tcp = tcp_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), server.tcp());
    assert_eq!(tls.ask(&Request::ping()).response().status, 200);
    assert_eq!(tcp.ask(&Request::ping()).response().status, 200);
    let ping = Request::ping();
    tls.send_request(&ping).expect("a request sent");
    server.signal(Signal::SIGTERM);
    match tls.final_answer(&ping, Duration::from_secs(8)) {
        Answer::Response(response) => assert_eq!(
            response.status, 200,
            "what came before the signal is answered"
        ),
        other => panic!(
            "a request sent before the signal: {other:?}\n{}",
            tail(&server)
        ),
    }
    assert!(tls.closed_within(Duration::from_secs(8)) && tcp.closed_within(Duration::from_secs(8)));
    let status = server.ended(Duration::from_secs(8));
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(0),
        "{}",
        tail(&server)
    );
    assert!(
        connect_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), server.tls()).is_err(),
        "nobody listens any more"
    );
}

/// A burst of small requests with large answers, to a client that takes its time: nothing of it may count as a client that
/// does not read.
#[test]
fn a_burst_with_large_answers_is_answered_whole() {
    const BURST: usize = 200;
    let server = Setup::usual().start();
    let register = |contact: String| {
        let mut request = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
        request.contact = Some(contact);
        request
    };
    let mut holder = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a connection");
    for n in 0..10 {
        let contact = format!("<sip:{}{n}@127.0.0.1:5099>", "a".repeat(3_800));
        assert_eq!(holder.ask(&register(contact)).response().status, 200);
    }
    for stop in [false, true] {
        let mut connection = TlsPeer::named("alice-uri")
            .connect(server.tls())
            .expect("a connection");
        let requests: Vec<Request> = (0..BURST).map(|_| register(String::new())).collect();
        let (transport, local) = (connection.transport(), connection.local());
        let burst: Vec<u8> = requests
            .iter()
            .flat_map(|request| request.octets(transport, local))
            .collect();
        connection.send(&burst).expect("the burst is sent");
        std::thread::sleep(Duration::from_millis(500));
        if stop {
            server.signal(Signal::SIGTERM);
        }
        for (n, request) in requests.iter().enumerate() {
            match connection.final_answer(request, Duration::from_secs(5)) {
                Answer::Response(response) => assert_eq!(response.status, 200),
                other => panic!("request {n}, stop {stop}: {other:?}\n{}", tail(&server)),
            }
        }
    }
}

#[test]
fn keep_alives_are_answered_between_messages() {
    let server = Setup::usual().start();
    let mut phone = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake");
    phone.send(b"\r\n\r\n").expect("a keep-alive sent");
    assert_eq!(
        phone.raw(Duration::from_secs(5)),
        b"\r\n",
        "RFC 5626 §3.5.1: two CRLF get one"
    );
    assert_eq!(phone.ask(&Request::ping()).response().status, 200);
}

#[test]
fn a_resumed_session_keeps_the_identity_of_its_certificate() {
    use openssl::ssl::SslVersion;
    let server = Setup::usual()
        .set("TLSClientVerification", "Mandatory")
        .start();
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut peer = TlsPeer::named("alice-uri").only(version).settling();
        let mut first = peer.connect(server.tls()).expect("a handshake");
        let own = Request::new("MESSAGE", "sip:eve@example.org", "sip:alice@example.org");
        let other = Request::new("MESSAGE", "sip:eve@example.org", "sip:bob@example.org");
        let admitted = first.ask(&own).response().status;
        assert!(!matches!(admitted, 400..=403), "{admitted}");
        first.close();
        let mut second = peer.resume(server.tls()).expect("a resumed handshake");
        assert!(second.resumed(), "{} is resumed", second.version());
        assert_eq!(second.ask(&own.following()).response().status, admitted);
        assert_eq!(
            second.ask(&other).response().status,
            403,
            "{}",
            second.version()
        );
    }
}

fn exchange_certificate(server: &Server, kind: &str) {
    for (from, to) in [
        (
            format!("server/server-{kind}.crt"),
            "certs/domain_cert_example.org.pem",
        ),
        (
            format!("server/server-{kind}.key"),
            "certs/domain_key_example.org.pem",
        ),
    ] {
        std::fs::copy(Pki::get().path(&from), server.dir().join(to)).expect("a PEM file");
    }
}

/// Good clients at work, and what came of it.
#[derive(Default)]
struct Traffic {
    stop: AtomicBool,
    answers: AtomicU64,
    failures: Mutex<Vec<String>>,
    slowest_ms: AtomicU64,
}

/// Ends the traffic when it goes out of scope, on a panic too: the scope waits for its threads.
struct Stop<'a>(&'a Traffic);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Traffic {
    /// One connection from an address of its own that asks ten times a second.
    fn good_client(&self, server: SocketAddr, n: usize) {
        let mut peer = TlsPeer::named("local-dns").from(IpAddr::V4(Ipv4Addr::new(
            127,
            0,
            1,
            u8::try_from(n + 1).expect("at most 254 clients"),
        )));
        let mut connection = match peer.connect(server) {
            Ok(connection) => connection,
            Err(outcome) => return self.failed(format!("client {n}: {outcome}")),
        };
        let mut options = Request::ping();
        let mut register = Request::new(
            "REGISTER",
            "sip:example.org",
            &format!("sip:user{n}@example.org"),
        );
        register.headers.push("Expires: 600".to_owned());
        while !self.stop.load(Ordering::Relaxed) {
            for request in [&mut options, &mut register] {
                *request = request.following();
                let asked = Instant::now();
                match connection.ask(request) {
                    Answer::Response(response) if response.status == 200 => {
                        let took = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
                        self.slowest_ms.fetch_max(took, Ordering::Relaxed);
                        self.answers.fetch_add(1, Ordering::Relaxed);
                    }
                    other => {
                        return self.failed(format!("client {n}, {}: {other:?}", request.method));
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// One connection after the other.
    fn newcomers(&self, server: SocketAddr) {
        while !self.stop.load(Ordering::Relaxed) {
            match TlsPeer::named("alice-uri").connect(server) {
                Ok(mut connection) => match connection.ask(&Request::ping()) {
                    Answer::Response(response) if response.status == 200 => {
                        self.answers.fetch_add(1, Ordering::Relaxed);
                    }
                    other => return self.failed(format!("a newcomer: {other:?}")),
                },
                Err(outcome) => return self.failed(format!("a newcomer: {outcome}")),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn failed(&self, what: String) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    fn failures(&self) -> Vec<String> {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    fn wait_for_answers(&self, count: u64) {
        let come = wait_until(Duration::from_secs(30), || self.answers() >= count);
        assert!(
            come,
            "{} answers of {count}; failed: {:?}",
            self.answers(),
            self.failures()
        );
    }

    fn summary(&self) -> String {
        format!(
            "{} good answers, {} failures, slowest {} ms",
            self.answers(),
            self.failures().len(),
            self.slowest_ms.load(Ordering::Relaxed)
        )
    }
}

fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The last lines of the log: the whole of it would hide the fault.
fn tail(server: &Server) -> String {
    let log = server.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
