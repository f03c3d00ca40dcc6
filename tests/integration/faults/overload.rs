//! More than the server can do, and peers that do not take what they are told.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    ALICE, AT_ONCE, BOB, PATIENCE, leading_to, logs, nothing_left, register, registered, setup,
    user, while_pinging,
};
use crate::harness::{Answer, Connection, Request, Response, Server, Setup, TlsPeer, heavy};

fn status(server: &Server) -> Value {
    let (done, text) = server.setup().run(&["ctl", "status", "--json"]);
    assert_eq!(done, Some(0), "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits until the status says this of a member.
fn comes_to(server: &Server, member: &str, wanted: &Value) {
    let deadline = Instant::now() + PATIENCE;
    while status(server)[member] != *wanted {
        assert!(Instant::now() < deadline, "{}", status(server));
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a client that floods was told.
#[derive(Debug, Default)]
struct Told {
    served: usize,
    refused_pings: usize,
    refused_messages: usize,
    refused_registers: usize,
}

impl Told {
    fn take(&mut self, answer: &Response) {
        if answer.status != 503 {
            assert!(
                matches!(answer.status, 200 | 404 | 480),
                "{}",
                answer.status
            );
            self.served += 1;
            return;
        }
        let retry_after = answer.value("retry-after").expect("a Retry-After");
        let seconds: u32 = retry_after.parse().expect("seconds");
        assert!((5..=10).contains(&seconds), "{seconds}");
        let cseq = answer.value("cseq").expect("a CSeq");
        *match cseq.rsplit(' ').next() {
            Some("OPTIONS") => &mut self.refused_pings,
            Some("MESSAGE") => &mut self.refused_messages,
            _ => &mut self.refused_registers,
        } += 1;
    }

    fn refused(&self) -> usize {
        self.refused_pings + self.refused_messages + self.refused_registers
    }
}

/// Asks without waiting for answers until it is told to stop, then takes what answers there are still to come.
fn flood(connection: &mut Connection, name: &str, stop: &AtomicBool) -> Told {
    let (mut told, mut asked) = (Told::default(), 0);
    let me = format!("sip:{name}@example.org");
    while !stop.load(Ordering::SeqCst) {
        let mut octets = Vec::new();
        for number in 0..120 {
            let request = match number % 3 {
                0 => Request::ping(),
                1 => Request::new("MESSAGE", "sip:nobody@example.org", &me),
                _ => Request::new("REGISTER", "sip:example.org", &me),
            };
            octets.extend(request.octets("TLS", connection.local()));
            asked += 1;
        }
        connection.send(&octets).expect("a connection");
        while let Answer::Response(answer) = connection.next(Duration::from_micros(1)) {
            told.take(&answer);
        }
    }
    while told.served + told.refused() < asked {
        told.take(&connection.next(PATIENCE).response());
    }
    told
}

#[test]
fn a_flood_is_refused_in_part_and_who_is_registered_stays_so() {
    let _alone = heavy();
    // The flood is as much as may be, and whoever is served beside it does not make it more than that.
    let mut server = Setup::usual()
        .set("WorkerThreads", "1")
        .set("CongestionManagementMetric", "SIZE")
        .set("CongestionManagementTolerance", "5")
        .start();
    let before = server.descriptors();
    let mut alice = registered(&server, "alice");
    let stop = AtomicBool::new(false);
    let mut flooders: Vec<Connection> = (0..4).map(|_| user(&server, "bob")).collect();
    let told: Vec<Told> = thread::scope(|scope| {
        let floods: Vec<_> = flooders
            .iter_mut()
            .map(|connection| scope.spawn(|| flood(connection, "bob", &stop)))
            .collect();
        logs(&server, "worker.overloaded worker=0");
        assert_eq!(status(&server)["overloaded_workers"], json!(1));
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let asked = Instant::now();
            register(&mut alice, "alice");
            assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::SeqCst);
        let told = floods.into_iter().map(|flood| flood.join());
        told.map(|told| told.expect("a flood")).collect()
    });
    for told in &told {
        assert!(told.refused_pings > 0, "{told:?}");
        assert!(told.refused_messages > 0, "{told:?}");
    }
    assert!(told.iter().any(|told| told.served > 0), "{told:?}");
    comes_to(&server, "overloaded_workers", &json!(0));
    let refused: usize = told.iter().map(Told::refused).sum();
    let counters = status(&server)["counters"].clone();
    assert_eq!(counters["overload_refused"], json!(refused), "{counters}");
    let log = server.log();
    let count = |event| log.matches(event).count();
    assert_eq!(counters["overloads"], json!(count("worker.overloaded")));
    assert_eq!(count("worker.overloaded"), count("worker.recovered"));
    assert!(count("worker.overloaded") <= 4, "{log}");
    drop(flooders);
    comes_to(&server, "connections", &json!(1));
    comes_to(&server, "aors", &json!(1));
    let mut carol = registered(&server, "bob");
    assert_eq!(carol.ask(&Request::ping()).response().status, 200);
    drop((alice, carol));
    nothing_left(&mut server, before);
}

#[test]
fn without_congestion_management_nothing_is_refused() {
    let _alone = heavy();
    let server = Setup::usual()
        .set("WorkerThreads", "1")
        .set("CongestionManagement", "false")
        .set("CongestionManagementMetric", "SIZE")
        .set("CongestionManagementTolerance", "1")
        .start();
    let mut peer = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    for _ in 0..20 {
        assert_eq!(peer.ask(&Request::ping()).response().status, 200);
    }
    assert_eq!(status(&server)["counters"]["overloads"], json!(0));
}

#[test]
fn a_phone_that_asks_and_does_not_listen_is_closed_and_counted() {
    let names = leading_to(&[]);
    let mut server = setup(&names)
        .set("WriteTimeout", "60")
        .set("MaximumQueuedBytes", "65536")
        .set("LogLevel", "INFO")
        .start();
    let before = server.descriptors();
    let mut alice = user(&server, "alice");
    let mut bob = registered(&server, "bob");
    while_pinging(server.tls(), || {
        // He has been asked something, and so is read from whatever he leaves untaken.
        let hello = Request::new("MESSAGE", BOB, ALICE);
        alice.send_request(&hello).expect("a connection");
        let asked = bob.next_request(PATIENCE).expect("a MESSAGE");
        bob.send(&asked.answer(200, "OK")).expect("a connection");
        assert_eq!(alice.final_answer(&hello, PATIENCE).response().status, 200);
        let mut ping = Request::ping();
        // Answers are as long as what they repeat.
        ping.call_id = format!("{}{}", ping.call_id, "x".repeat(8_000));
        let octets = ping.octets("TLS", bob.local());
        let (deadline, mut sent) = (Instant::now() + PATIENCE, 0);
        loop {
            match bob.send_some(&octets[sent..]) {
                Ok(taken) => sent = (sent + taken) % octets.len(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(_) => break,
            }
            assert!(Instant::now() < deadline, "it is still open");
        }
        logs(&server, "reason=MaximumQueuedBytes");
        // He is not found any more.
        let again = hello.following();
        assert_eq!(alice.ask(&again).response().status, 480);
    });
    assert_eq!(status(&server)["counters"]["slow_receivers"], json!(1));
    assert!(server.rss() < 200 * 1024, "{} KiB", server.rss());
    drop((alice, bob));
    nothing_left(&mut server, before);
}
