//! What the server costs, against a bare loop over OpenSSL that does the same cryptography and the same I/O.
//!
//! Both are processes of their own with one worker thread, on loopback, under the same paced load in one run; the load
//! comes from this process. CPU is the kernel's own count of each process (`/proc/PID/task/*/schedstat`), so that the
//! load's cost and the machine's mood stay outside. Ratios compare two figures of one run; figures of two runs do not
//! compare. `SIPVOUCH_BENCH=quick` shortens every load to a fifth.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bare;
mod load;
mod measure;
mod pki;
mod subject;

use std::time::Duration;

use load::{Load, Phone};
use measure::Cost;
use pki::Pki;
use subject::{Kind, Subject};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--bare") {
        return bare::serve(&arguments[at + 1], &arguments[at + 2]);
    }
    let quick = std::env::var("SIPVOUCH_BENCH").is_ok_and(|v| v == "quick");
    let scale = |full: usize| if quick { full / 5 } else { full };
    let pki = Pki::make(scale(10_000).max(1000));
    println!(
        "one worker thread each; TLS 1.3, P-256, client certificates; load on the same machine"
    );
    println!();
    println!(
        "{:<44} {:>10} {:>10} {:>7} {:>9} {:>9}",
        "server CPU per operation", "bare", "sipvouch", "ratio", "bare csw", "csw"
    );
    let works: [(&str, Work); 5] = [
        (
            "full handshake, certificate seen first",
            Work::FirstHandshake(scale(1000)),
        ),
        (
            "full handshake, certificate seen before",
            Work::Handshake(scale(1000)),
        ),
        ("resumed handshake", Work::Resumption(scale(1000))),
        ("OPTIONS answered, 5,000/s", Work::Options(scale(50_000))),
        (
            "REGISTER refresh, certificate, 2,000/s",
            Work::Register(scale(20_000)),
        ),
    ];
    for (name, work) in works {
        let bare = Subject::start(Kind::Bare, &pki);
        let ours = Subject::start(Kind::Sipvouch, &pki);
        // Alternating halves: a machine that slows down meanwhile slows both.
        let mut costs = [Cost::default(), Cost::default()];
        for _ in 0..2 {
            for (cost, subject) in costs.iter_mut().zip([&bare, &ours]) {
                cost.add(&work.run(subject, &pki));
            }
        }
        let [bare, ours] = costs;
        println!(
            "{name:<44} {:>8.1}us {:>8.1}us {:>7.2} {:>9.2} {:>9.2}",
            bare.cpu_us(),
            ours.cpu_us(),
            ours.cpu_us() / bare.cpu_us(),
            bare.switches(),
            ours.switches()
        );
    }
    println!();
    println!(
        "{:<44} {:>10} {:>10} {:>7}",
        "memory (resident)", "bare", "sipvouch", "ratio"
    );
    for count in [1000, scale(10_000).max(1000)] {
        let figures: Vec<(f64, f64)> = [Kind::Bare, Kind::Sipvouch]
            .into_iter()
            .map(|kind| idle_memory(kind, count, &pki))
            .collect();
        let [(bare, bare_back), (ours, ours_back)] = figures[..] else {
            panic!("two figures")
        };
        let name = format!("KiB per idle registered connection, {count}");
        println!("{name:<44} {bare:>10.1} {ours:>10.1} {:>7.2}", ours / bare);
        let name = format!("given back after {count} closed");
        println!(
            "{name:<44} {:>9.0}% {:>9.0}%",
            bare_back * 100.0,
            ours_back * 100.0
        );
        if quick {
            break;
        }
    }
}

/// One kind of load, with how often the operation happens in each half of it.
enum Work {
    FirstHandshake(usize),
    Handshake(usize),
    Resumption(usize),
    Options(usize),
    Register(usize),
}

impl Work {
    fn run(&self, subject: &Subject, pki: &Pki) -> Cost {
        let load = Load {
            address: subject.address,
            pki,
        };
        match *self {
            Self::FirstHandshake(count) => {
                let first = subject.take_certificates(count / 2, pki);
                subject.cost_of(count / 2, || load.handshakes(first, 200.0))
            }
            Self::Handshake(count) => {
                load.handshakes(vec![0; 20], 200.0);
                subject.cost_of(count / 2, || load.handshakes(vec![0; count / 2], 200.0))
            }
            Self::Resumption(count) => {
                let session = load.first_session(0);
                subject.cost_of(count / 2, || load.resumptions(session, count / 2, 200.0))
            }
            Self::Options(count) => {
                let mut phones = load.phones(100);
                load.exchange(&mut phones, 2000, 5000.0, Phone::options);
                subject.cost_of(count / 2, || {
                    load.exchange(&mut phones, count / 2, 5000.0, Phone::options)
                })
            }
            Self::Register(count) => {
                let mut phones = load.phones(100);
                load.exchange(&mut phones, 1000, 2000.0, Phone::register);
                subject.cost_of(count / 2, || {
                    load.exchange(&mut phones, count / 2, 2000.0, Phone::register)
                })
            }
        }
    }
}

/// KiB for each of `count` idle registered connections, and which part of it is given back once they are closed.
fn idle_memory(kind: Kind, count: usize, pki: &Pki) -> (f64, f64) {
    let subject = Subject::start(kind, pki);
    let load = Load {
        address: subject.address,
        pki,
    };
    // What the first connections need once is not what one more costs.
    drop(load.registered_phones(50, 100));
    subject.settle();
    let before = subject.resident_kib();
    let phones = load.registered_phones(count, 1000);
    subject.settle();
    let full = subject.resident_kib();
    drop(phones);
    subject.settle();
    std::thread::sleep(Duration::from_secs(2));
    let after = subject.resident_kib();
    (
        (full - before) / count as f64,
        ((full - after) / (full - before)).clamp(0.0, 1.0),
    )
}
