//! The embedded store and the end of processes: killed while they write, and those that may only read.
//!
//! The process that is killed is this test binary again, asked for one of the tests that are ignored otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sipvouch::store::embedded::{Access, Embedded, SavedBinding};
use sipvouch::store::{Error, Flow, Record, Store, Table, User};

/// The store that a child works on.
const STORE: &str = "SIPVOUCH_TEST_STORE";

/// Times that a writer is killed.
const KILLS: u64 = 100;

/// Records of one transaction.
const BATCH: usize = 5;

fn child(test: &str, store: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn store_of_child() -> PathBuf {
    PathBuf::from(env::var_os(STORE).expect("started by another test of this file"))
}

fn user(user: String, name: String) -> Record {
    Record::User(User {
        user,
        domain: "example.org".into(),
        name,
        // So long that a transaction spans pages.
        password_hash: "0123456789abcdef".repeat(40),
        ..User::default()
    })
}

/// Generations of the store: how many users carry each.
fn generations(store: &Embedded) -> BTreeMap<u64, usize> {
    let mut generations = BTreeMap::new();
    let mut take = |record: Result<Record, _>| {
        let Record::User(user) = record.unwrap() else {
            panic!("not a user");
        };
        *generations.entry(user.name.parse().unwrap()).or_default() += 1;
        Flow::More
    };
    store.each(Table::User, &mut take).unwrap();
    generations
}

/// Writes generation after generation of the same users and of new ones, and says after each that it is stored.
#[test]
#[ignore = "is started, and killed, by nothing_acknowledged_is_lost_when_the_writer_is_killed"]
fn writes_until_it_is_killed() {
    let store = Embedded::open(&store_of_child(), Access::Create).unwrap();
    let first = generations(&store)
        .last_key_value()
        .map_or(0, |(n, _)| n + 1);
    for generation in first.. {
        let batch: Vec<Record> = (0..BATCH)
            .map(|n| {
                // Users of four generations ago change, and so move between pages.
                let slot = generation % 4;
                user(format!("user{slot}-{n}"), generation.to_string())
            })
            .collect();
        store.put(&batch).unwrap();
        // Commits that do not wait for the disk, between those that do.
        let binding = SavedBinding {
            cseq: u32::try_from(generation).unwrap(),
            expires_at: u64::MAX,
            ..SavedBinding::default()
        };
        store
            .save_bindings(&[("a@b".into(), vec![binding; BATCH])])
            .unwrap();
        println!("stored {generation}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sipvouch.db");
    let random = RandomState::new();
    let mut acknowledged = None;
    for kill in 0..KILLS {
        let mut writer = child("writes_until_it_is_killed", &path);
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        // In one of four rounds while it opens, otherwise after some transactions; each time at another moment.
        let wanted = random.hash_one((kill, "acknowledgements")) % 16;
        let microseconds = random.hash_one((kill, "moment")) % 12_000;
        let mut stored = lines.map_while(Result::ok).filter_map(|line| {
            let (_, generation) = line.rsplit_once("stored ")?;
            generation.parse::<u64>().ok()
        });
        if kill % 4 != 0 {
            acknowledged = stored
                .by_ref()
                .take(1 + wanted as usize)
                .last()
                .or(acknowledged);
        }
        thread::sleep(Duration::from_micros(microseconds));
        writer.kill().unwrap();
        acknowledged = stored.last().or(acknowledged);
        writer.wait().unwrap();
        if kill % 4 == 0 && !path.exists() {
            continue;
        }

        let store = Embedded::open(&path, Access::Create).unwrap();
        assert_eq!(store.check().unwrap(), Vec::<String>::new(), "kill {kill}");
        let generations = generations(&store);
        for (generation, users) in &generations {
            assert_eq!(*users, BATCH, "kill {kill}: half of {generation} is there");
        }
        let last = generations.last_key_value().map(|(last, _)| *last);
        assert!(
            last >= acknowledged,
            "kill {kill}: {last:?}, acknowledged {acknowledged:?}"
        );
        let mut bindings = Vec::new();
        store
            .bindings(0, &mut |b| bindings.push(u64::from(b.cseq)))
            .unwrap();
        if let Some(acknowledged) = acknowledged {
            // The system outlives the process, so these are there as well.
            assert_eq!(bindings.len(), BATCH);
            assert!(
                bindings
                    .iter()
                    .all(|b| *b == bindings[0] && *b >= acknowledged)
            );
        }
    }
    assert!(acknowledged > Some(KILLS), "{acknowledged:?}");
}

#[test]
#[ignore = "is started by a_store_in_a_closed_directory_can_be_read"]
fn reads_what_it_may_not_write() {
    let path = store_of_child();
    if nix::unistd::geteuid().is_root() {
        // Root may write everywhere.
        nix::unistd::setuid(nix::unistd::Uid::from_raw(65_534)).unwrap();
    }
    let before = fs::read(&path).unwrap();
    let store = Embedded::open(&path, Access::ReadOnly).unwrap();
    assert_eq!(generations(&store), BTreeMap::from([(7, 1)]));
    store.versions().unwrap();
    store.put(&[]).unwrap_err();
    for access in [Access::Existing, Access::Create] {
        let error = Embedded::open(&path, access).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert!(error.to_string().contains("Permission denied"), "{error}");
    }
    assert!(fs::read(&path).unwrap() == before);
    println!("could read only");
}

#[test]
fn a_store_in_a_closed_directory_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    // A name with characters that mean something in a URI.
    let path = directory.path().join("a?b#c%41.db");
    let store = Embedded::open(&path, Access::Create).unwrap();
    store.put(&[user("a".into(), "7".into())]).unwrap();
    drop(store);
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&path, 0o444);
    set(directory.path(), 0o555);
    let output = child("reads_what_it_may_not_write", &path)
        .wait_with_output()
        .unwrap();
    set(directory.path(), 0o755);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("could read only"), "{said}");
    assert!(output.status.success(), "{said}");
}
