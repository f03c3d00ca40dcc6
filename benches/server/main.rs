//! What the server costs, against a bare loop over OpenSSL that does the same cryptography and the same I/O.
//!
//! Both are processes of their own with one worker thread, on loopback, under the same paced load in one run; the load
//! comes from this process. CPU is the kernel's own count of each process (`/proc/PID/task/*/schedstat`), so that the
//! load's cost and the machine's mood stay outside. The two take turns in many short rounds; what is printed is the
//! median of the rounds, and the median of the rounds' ratios. Ratios compare two figures of one run; figures of two
//! runs do not compare.
//!
//! `cargo bench --bench server -- resumed OPTIONS` runs the lines with one of these words in their names.
//! `SIPVOUCH_BENCH=quick` shortens every load to a fifth.

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
mod relay;
mod subject;

use std::time::Duration;

use load::{Load, Phone};
use measure::Cost;
use pki::Pki;
use relay::{Job, Latencies, Pairs};
use subject::{Kind, Subject};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--bare") {
        return bare::serve(&arguments[at + 1], &arguments[at + 2]);
    }
    let quick = std::env::var("SIPVOUCH_BENCH").is_ok_and(|v| v == "quick");
    let scale = |full: usize| if quick { full / 5 } else { full };
    let words: Vec<&String> = arguments
        .iter()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(*word));
    let pki = Pki::make(scale(10_000).max(1000));
    println!(
        "one worker thread each; TLS 1.3, X25519, P-256, AES-256-GCM, client certificates, one ticket; load on the same \
         machine;\nmedian of {ROUNDS} rounds in turns"
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
        if !wanted(name) {
            continue;
        }
        let subjects = [Kind::Bare, Kind::Sipvouch].map(|kind| Subject::start(kind, &pki));
        // What a process does once is in the first round, and not in the median.
        let rounds: Vec<[Cost; 2]> = (0..ROUNDS)
            .map(|_| subjects.each_ref().map(|subject| work.run(subject, &pki)))
            .collect();
        let median_of = |figure: fn(&[Cost; 2]) -> f64| median(rounds.iter().map(figure).collect());
        println!(
            "{name:<44} {:>8.1}us {:>8.1}us {:>7.2} {:>9.2} {:>9.2}",
            median_of(|[bare, _]| bare.cpu_us()),
            median_of(|[_, ours]| ours.cpu_us()),
            median_of(|[bare, ours]| ours.cpu_us() / bare.cpu_us()),
            median_of(|[bare, _]| bare.switches()),
            median_of(|[_, ours]| ours.switches()),
        );
    }
    let kinds: Vec<Kind> = [Kind::Bare, Kind::Sipvouch, Kind::Kamailio]
        .into_iter()
        .filter(|kind| kind.is_installed())
        .collect();
    for (name, job, count, per_second) in [
        (
            "MESSAGE relayed between two phones, 2,000/s",
            Job::Message,
            scale(20_000),
            2000.0,
        ),
        ("call, INVITE to BYE, 300/s", Job::Call, scale(5000), 300.0),
    ] {
        if wanted(name) {
            relayed(name, job, count, per_second, &kinds, &pki);
        }
    }
    if !wanted("memory") {
        return;
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

/// Turns that the two subjects take.
const ROUNDS: usize = 10;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    (figures[middle] + figures[(figures.len() - 1) / 2]) / 2.0
}

/// One kind of load, with how often the operation happens in all rounds together.
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
                let first = subject.take_certificates(count / ROUNDS, pki);
                subject.cost_of(count / ROUNDS, || load.handshakes(first, 200.0))
            }
            Self::Handshake(count) => {
                load.handshakes(vec![0; 20], 200.0);
                subject.cost_of(count / ROUNDS, || {
                    load.handshakes(vec![0; count / ROUNDS], 200.0)
                })
            }
            Self::Resumption(count) => {
                let session = load.first_session(0);
                subject.cost_of(count / ROUNDS, || {
                    load.resumptions(session, count / ROUNDS, 200.0)
                })
            }
            Self::Options(count) => {
                let mut phones = load.phones(100);
                load.exchange(&mut phones, 500, 5000.0, Phone::options);
                subject.cost_of(count / ROUNDS, || {
                    load.exchange(&mut phones, count / ROUNDS, 5000.0, Phone::options)
                })
            }
            Self::Register(count) => {
                let mut phones = load.phones(100);
                load.exchange(&mut phones, 300, 2000.0, Phone::register);
                subject.cost_of(count / ROUNDS, || {
                    load.exchange(&mut phones, count / ROUNDS, 2000.0, Phone::register)
                })
            }
        }
    }
}

/// One line for what is relayed, one for Kamailio where it is there, and one of latencies.
fn relayed(name: &str, job: Job, count: usize, per_second: f64, kinds: &[Kind], pki: &Pki) {
    let mut subjects: Vec<(Subject, Pairs)> = kinds
        .iter()
        .map(|kind| {
            let subject = Subject::start(*kind, pki);
            let address = subject.address;
            let mut pairs = Pairs::connect(&Load { address, pki });
            pairs.run(job, 100, per_second);
            (subject, pairs)
        })
        .collect();
    let mut costs: Vec<Vec<Cost>> = Vec::new();
    let mut latencies: Vec<Vec<Latencies>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        let round = subjects.iter_mut().zip(&mut latencies);
        let round = round.map(|((subject, pairs), latencies)| {
            subject.cost_of(count / ROUNDS, || {
                latencies.push(pairs.run(job, count / ROUNDS, per_second));
            })
        });
        costs.push(round.collect());
    }
    let of = |at: usize, figure: &dyn Fn(&Cost, &Cost) -> f64| {
        median(
            costs
                .iter()
                .map(|round| figure(&round[at], &round[0]))
                .collect(),
        )
    };
    let cpu = |at| of(at, &|cost, _| cost.cpu_us());
    let ratio = |at| of(at, &|cost, bare| cost.cpu_us() / bare.cpu_us());
    let switches = |at| of(at, &|cost, _| cost.switches());
    println!(
        "{name:<44} {:>8.1}us {:>8.1}us {:>7.2} {:>9.2} {:>9.2}",
        cpu(0),
        cpu(1),
        ratio(1),
        switches(0),
        switches(1),
    );
    if kinds.len() > 2 {
        println!(
            "{:<44} {:>10} {:>8.1}us {:>7.2} {:>9} {:>9.2}",
            "  Kamailio, the same",
            "",
            cpu(2),
            ratio(2),
            "",
            switches(2),
        );
    }
    for (kind, rounds) in kinds.iter().zip(latencies) {
        let all = Latencies::of_all(rounds.into_iter());
        println!(
            "  latency, {kind:?}: p50 {} us, p99 {} us",
            all.percentile(50),
            all.percentile(99)
        );
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
