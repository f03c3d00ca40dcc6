//! The embedded store with a million users: `cargo bench --bench store`. Budget: 20 µs a lookup.
#![expect(clippy::unwrap_used, reason = "a bench may stop at the first surprise")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use sipvouch::store::embedded::{Access, Embedded, SavedBinding};
use sipvouch::store::import::{Offered, Source, import};
use sipvouch::store::{Error, Flow, Record, RecordFault, Store, Table, User};

const USERS: u64 = 1_000_000;
const LOOKUPS: u64 = 200_000;

/// A user with the hashes that repro writes.
fn user(n: u64) -> User {
    // No digits of a real hash are needed, only as many and no two alike.
    let digits = format!("{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (short, long) = (digits.repeat(2), digits.repeat(4));
    let hashes = format!("[MD5]{short}[SHA-256]{long}[SHA-512-256]{long}");
    User {
        user: format!("user{n:07}"),
        domain: "example.org".into(),
        realm: "example.org".into(),
        password_hash: hashes.clone(),
        password_hash_alt: hashes,
        email: format!("user{n:07}@mail.example.org"),
        ..User::default()
    }
}

/// A million users, in the order of their keys as a Berkeley DB file gives them, or all over the table.
struct Users {
    sorted: bool,
}

impl Source for Users {
    fn describe(&self) -> String {
        "a bench".into()
    }

    fn tables(&self) -> Vec<Table> {
        vec![Table::User]
    }

    fn each(
        &self,
        _table: Table,
        take: &mut dyn FnMut(Result<Offered, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        for n in 0..USERS {
            let n = if self.sorted { n } else { scattered(n) };
            take(Ok((Record::User(user(n)), None)));
        }
        Ok(())
    }
}

/// Each number below a million once, without order.
fn scattered(n: u64) -> u64 {
    n.wrapping_mul(611_953) % USERS
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

fn percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 1000)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{what}: p50 {:?}, p99 {:?}, p99.9 {:?}",
        at(500),
        at(990),
        at(999)
    );
}

fn lookups(store: &Embedded, seed: u64) -> Vec<Duration> {
    (0..LOOKUPS)
        .map(|n| {
            let name = format!("user{:07}", scattered(n.wrapping_mul(7) + seed));
            let start = Instant::now();
            let hash = store
                .password_hash(black_box(&name), "example.org")
                .unwrap();
            let took = start.elapsed();
            assert!(hash.is_some(), "{name}");
            took
        })
        .collect()
}

fn import_all(path: &Path, sorted: bool) -> Embedded {
    let store = Embedded::open(path, Access::Create).unwrap();
    let order = if sorted {
        "in the order of keys"
    } else {
        "scattered"
    };
    for what in ["first", "second"] {
        let start = Instant::now();
        let report = import(&store, &Users { sorted }, false, &|_| None).unwrap();
        println!(
            "{what} import of {USERS} users, {order}: {:?}",
            start.elapsed()
        );
        assert!(report.is_complete(), "{report}");
    }
    store
}

fn main() {
    let directory = tempfile::tempdir().unwrap();
    println!("resident before: {} MiB", resident());
    drop(import_all(&directory.path().join("scattered.db"), false));
    let path = directory.path().join("sipvouch.db");
    let store = import_all(&path, true);
    println!("resident after the imports: {} MiB", resident());
    drop(store);
    println!("file: {} MiB", fs::metadata(&path).unwrap().len() >> 20);

    let before = resident();
    let start = Instant::now();
    let store = Embedded::open(&path, Access::Existing).unwrap();
    println!("open: {:?}", start.elapsed());
    drop(lookups(&store, 1));
    percentiles("one thread, random lookup", lookups(&store, 2));
    println!(
        "resident with one reader: {} MiB more",
        resident().saturating_sub(before)
    );

    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let store = &store;
                scope.spawn(move || lookups(store, n))
            })
            .collect();
        let times = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        percentiles("four threads, random lookup", times.collect());
    });
    println!(
        "resident with four readers: {} MiB more",
        resident().saturating_sub(before)
    );

    let polls = (0..10_000).map(|_| {
        let start = Instant::now();
        black_box(store.versions().unwrap());
        start.elapsed()
    });
    percentiles("versions", polls.collect());
    let puts = (0..500).map(|n| {
        let record = Record::User(User {
            name: "changed".into(),
            ..user(scattered(n))
        });
        let start = Instant::now();
        store.put(&[record]).unwrap();
        start.elapsed()
    });
    percentiles("one user changed, on the disk", puts.collect());
    let saves = (0..500).map(|n| {
        let changes: Vec<_> = (0..100)
            .map(|k| {
                let binding = SavedBinding {
                    contact: b"sip:user@192.0.2.1:5061;transport=tls".to_vec(),
                    call_id: vec![b'x'; 32],
                    expires_at: u64::MAX,
                    ..SavedBinding::default()
                };
                (format!("user{}@example.org", n * 100 + k), vec![binding])
            })
            .collect();
        let start = Instant::now();
        store.save_bindings(&changes).unwrap();
        start.elapsed()
    });
    percentiles("100 bindings saved", saves.collect());

    let start = Instant::now();
    store
        .backup(&directory.path().join("backup.db"), false)
        .unwrap();
    println!("backup: {:?}", start.elapsed());
    let start = Instant::now();
    assert!(store.check().unwrap().is_empty());
    println!("check: {:?}", start.elapsed());
}
