//! A backend that is slow, dead, silent or flapping: who does not depend on it does not feel it, and who does hears in time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Backend, Connection, Reply, Server, heavy, report};
use crate::lookups::{alice, asking, status};

/// How long the load lasts.
const LASTS: Duration = Duration::from_secs(6);
/// `IdentityCalloutTimeout` of these tests.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What whoever waits for a lookup has to have his answer in, at most.
const IN_TIME: Duration = Duration::from_secs(2);
/// What a client waits that does not depend on a lookup.
const CLIENT_PATIENCE: Duration = Duration::from_secs(1);
/// Others a second, over so many connections.
const OTHERS: u32 = 200;
const OTHER_CONNECTIONS: u32 = 4;
/// Connections that ask about one user after the other.
const ASKERS: usize = 12;

/// Counts of one run.
#[derive(Default)]
struct Counted {
    allowed: AtomicUsize,
    refused: AtomicUsize,
}

/// 200 requests a second that certificates prove, until it is over; the slowest first.
fn others(server: &Server) -> Vec<Duration> {
    let run = |mut peer: Connection| {
        let every = Duration::from_secs(1) * OTHER_CONNECTIONS / OTHERS;
        let begun = Instant::now();
        let mut took = Vec::new();
        let mut due = Duration::ZERO;
        while due < LASTS {
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            let asked = Instant::now();
            assert_eq!(status(&mut peer, "alice"), 480);
            took.push(asked.elapsed());
            due += every;
        }
        took
    };
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..OTHER_CONNECTIONS)
            .map(|_| alice(server))
            .map(|peer| scope.spawn(move || run(peer)))
            .collect();
        let took = running.into_iter().flat_map(|own| own.join().unwrap());
        took.collect()
    });
    took.sort_unstable_by(|a, b| b.cmp(a));
    took
}

/// Asks about users of its own until it is over: each is answered in time, by one of the two that there are.
fn asker(server: &Server, name: &str, over: &AtomicBool, counted: &Counted) {
    let mut peer = alice(server);
    let mut number = 0;
    while !over.load(Ordering::Acquire) {
        let asked = Instant::now();
        let found = status(&mut peer, &format!("{name}-{number}"));
        let took = asked.elapsed();
        assert!(took < IN_TIME, "{name}-{number}: {took:?}");
        let count = match found {
            480 => &counted.allowed,
            403 => &counted.refused,
            other => panic!("{name}-{number}: {other}"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        number += 1;
        // One that is refused at once does not have to try a thousand times a second.
        std::thread::sleep(Duration::from_millis(5).saturating_sub(took));
    }
}

/// Has many ask and others not need to; says what was counted.
fn load(server: &Server, situation: &str, during: impl FnOnce(&AtomicBool) + Send) -> Counted {
    let (over, counted) = (AtomicBool::new(false), Counted::default());
    let took = std::thread::scope(|scope| {
        for number in 0..ASKERS {
            let (over, counted) = (&over, &counted);
            scope.spawn(move || asker(server, &format!("{situation}-{number}"), over, counted));
        }
        let over = &over;
        scope.spawn(move || during(over));
        let took = others(server);
        over.store(true, Ordering::Release);
        took
    });
    let wanted = usize::try_from(OTHERS).unwrap() * usize::try_from(LASTS.as_secs()).unwrap();
    assert_eq!(took.len(), wanted, "{situation}");
    assert!(took[0] < CLIENT_PATIENCE, "{situation}: {:?}", &took[..5]);
    report(&format!(
        "lookups: {situation}: {} others, the slowest after {:?}, half of them after {:?}; {} allowed, {} refused\n",
        took.len(),
        took[0],
        took[took.len() / 2],
        counted.allowed.load(Ordering::Relaxed),
        counted.refused.load(Ordering::Relaxed),
    ));
    counted
}

/// Waits until the backend is asked again and lets in.
fn recovers(server: &Server, name: &str) {
    let mut peer = alice(server);
    let begun = Instant::now();
    let mut took = Vec::new();
    loop {
        let asked = Instant::now();
        let found = status(&mut peer, &format!("{name}-{}", took.len()));
        took.push((found, asked.elapsed()));
        assert!(
            asked.elapsed() < IN_TIME && begun.elapsed() < Duration::from_secs(10),
            "{took:?}: {}",
            server.log()
        );
        if found == 480 {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    report(&format!(
        "lookups: {name}: back after {:?}\n",
        begun.elapsed()
    ));
}

fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Waits until no more descriptors and threads are there than were. Threads are counted: a new one has its name a moment later.
fn nothing_left(server: &Server, descriptors: usize, threads: &[String]) {
    let begun = Instant::now();
    while server.descriptors() > descriptors || server.threads().len() > threads.len() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{} of {descriptors} descriptors, {:?} of {threads:?}",
            server.descriptors(),
            server.threads()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_slow_dead_silent_or_flapping_backend_is_felt_by_nobody_else() {
    let _alone = heavy();
    let address = nobody();
    let server = asking(&format!("http://{address}/")).start();
    let allow = |_: &serde_json::Value| Reply::verdict("allow");
    // All that takes a place for good has taken it after the first round.
    let backend = Backend::at(address, allow);
    let mut first = alice(&server);
    assert_eq!(status(&mut first, "first"), 480);
    drop(first);
    drop(backend);
    let threads = server.threads();
    let descriptors = server.descriptors();

    let dead = load(&server, "dead", |_| ());
    assert_eq!(dead.allowed.into_inner(), 0);
    let backend = Backend::at(address, allow);
    recovers(&server, "dead");
    drop(backend);

    let backend = Backend::at(address, |_| Reply::Never);
    let silent = load(&server, "silent", |_| ());
    assert_eq!(silent.allowed.into_inner(), 0);
    drop(backend);
    let backend = Backend::at(address, allow);
    recovers(&server, "silent");
    drop(backend);

    let slow = |_: &serde_json::Value| {
        Reply::After(Duration::from_secs(2), Box::new(Reply::verdict("allow")))
    };
    let backend = Backend::at(address, slow);
    let counted = load(&server, "slow", |_| ());
    assert_eq!(
        counted.allowed.into_inner(),
        0,
        "2 s are more than {TIMEOUT:?}"
    );
    drop(backend);

    let flapping = load(&server, "flapping", |over| {
        while !over.load(Ordering::Acquire) {
            let backend = Backend::at(address, allow);
            std::thread::sleep(Duration::from_millis(400));
            drop(backend);
            std::thread::sleep(Duration::from_millis(400));
        }
    });
    assert!(flapping.allowed.into_inner() > 0);
    assert!(flapping.refused.into_inner() > 0);
    let backend = Backend::at(address, allow);
    recovers(&server, "flapping");
    nothing_left(&server, descriptors + 4, &threads);
    drop(backend);
    let log = server.log();
    for event in [
        "lookup.callout_failed",
        "lookup.callout_lost",
        "lookup.callout_back",
    ] {
        assert!(log.contains(event), "{event}");
    }
    assert!(
        log.lines().count() < 5000,
        "the log has {} lines",
        log.lines().count()
    );
}

#[test]
fn a_backend_that_takes_two_seconds_has_them_if_it_may() {
    let _alone = heavy();
    let backend =
        Backend::new(|_| Reply::After(Duration::from_secs(2), Box::new(Reply::verdict("allow"))));
    let server = asking(&backend.url())
        .set("IdentityCalloutTimeout", "5000")
        .set("IdentityCalloutThreads", "32")
        .start();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut peer = alice(server);
                assert_eq!(status(&mut peer, &format!("slow-{number}")), 480);
            });
        }
        let took = others(&server);
        assert!(took[0] < CLIENT_PATIENCE, "{:?}", &took[..5]);
    });
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(backend.most_open(), 8);
}

#[test]
fn other_lookups_go_on_while_the_callout_hangs() {
    let backend = Backend::new(|_| Reply::Never);
    let setup = asking(&backend.url())
        .set("NumAuthGrabberWorkerThreads", "1")
        .set("IdentityCalloutTimeout", "3000");
    setup.add_user("carol@example.org");
    let server = setup.start();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..10 {
            let (server, over) = (&server, &over);
            scope.spawn(move || {
                let mut peer = alice(server);
                assert_eq!(status(&mut peer, &format!("hangs-{number}")), 403);
                over.store(true, Ordering::Release);
            });
        }
        let mut peer = alice(&server);
        let begun = Instant::now();
        while backend.asked().len() < 4 {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(5));
        }
        // Each is a question to the store, on the one thread that there is for those.
        for number in 0..50 {
            let to = format!("sip:nobody{number}@example.org");
            let request = crate::harness::Request::new("MESSAGE", &to, "sip:alice@example.org");
            let asked = Instant::now();
            assert_eq!(peer.ask(&request).response().status, 404);
            assert!(asked.elapsed() < CLIENT_PATIENCE, "{number}");
        }
        assert!(!over.load(Ordering::Acquire), "the others still wait");
        assert_eq!(backend.most_open(), 4, "IdentityCalloutThreads");
    });
}

#[test]
fn who_finds_the_queue_full_hears_so_at_once() {
    let backend = Backend::new(|_| Reply::Never);
    let server = asking(&backend.url())
        .set("IdentityCalloutQueue", "3")
        .set("IdentityCalloutThreads", "1")
        .set("IdentityCalloutTimeout", "10000")
        .start();
    let over = AtomicBool::new(false);
    let waiting = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let mut peers: Vec<Connection> = (0..3).map(|_| alice(&server)).collect();
        for (number, peer) in peers.iter_mut().enumerate() {
            let from = format!("sip:waits-{number}@example.org");
            let request = crate::harness::Request::new("MESSAGE", "sip:eve@example.org", &from);
            peer.send_request(&request).unwrap();
            waiting.fetch_add(1, Ordering::Relaxed);
        }
        let _ = scope;
        let mut late = alice(&server);
        let begun = Instant::now();
        loop {
            let asked = Instant::now();
            // The same question as one that is being asked waits for its answer, if there is room for that.
            let found = status(&mut late, "late");
            assert_eq!(found, 403);
            if server.log().contains("IdentityCalloutQueue is full") {
                assert!(asked.elapsed() < CLIENT_PATIENCE);
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "{}",
                server.log()
            );
        }
        over.store(true, Ordering::Release);
    });
    drop(backend);
}

#[test]
fn another_callout_ends_the_threads_of_the_one_before() {
    let (one, other) = (
        Backend::new(|_| Reply::verdict("allow")),
        Backend::new(|_| Reply::verdict("allow")),
    );
    let base = "TLSDomainName = example.org\nCertificatePath = certs\nTLSClientVerification = Optional\n\
        EnableCertificateAuthenticator = true\nDisableAuth = true\n";
    let with = |url: &str| format!("{base}IdentityCalloutURL = {url}\n");
    let setup = crate::harness::Setup::usual().with(&with(&one.url()));
    let server = setup.start();
    let mut peer = alice(&server);
    assert_eq!(status(&mut peer, "bob"), 480);
    let threads = server.threads();
    let descriptors = server.descriptors();
    assert_eq!(threads.iter().filter(|own| *own == "callout").count(), 4);
    for url in [other.url(), one.url(), other.url()] {
        std::fs::write(server.dir().join("repro.config"), with(&url)).unwrap();
        let mut line = server.lines();
        server.sighup();
        let reloaded = server.wait_after(&mut line, &["server.reloaded"], Duration::from_secs(10));
        assert!(reloaded.is_some(), "{}", server.log());
        assert_eq!(status(&mut peer, "bob"), 480);
    }
    assert_eq!((one.times("bob"), other.times("bob")), (2, 2));
    nothing_left(&server, descriptors, &threads);
}
