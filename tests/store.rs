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

use sipvouch::store::embedded::{Access, Embedded, SavedBinding, restore};
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

/// A writer that has been killed after so many acknowledged transactions more than the backup beside it has; gives the
/// generations of the backup.
fn killed_after_a_backup(path: &Path, backup: &Path, more: usize) -> BTreeMap<u64, usize> {
    let mut writer = child("writes_until_it_is_killed", path);
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut stored = lines
        .map_while(Result::ok)
        .filter(|line| line.contains("stored "));
    stored.by_ref().take(5).for_each(drop);
    let store = Embedded::open(path, Access::ReadOnly).unwrap();
    store.backup(backup, true).unwrap();
    drop(store);
    stored.by_ref().take(more).for_each(drop);
    writer.kill().unwrap();
    writer.wait().unwrap();
    let backup = Embedded::open(backup, Access::ReadOnly).unwrap();
    generations(&backup)
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

#[test]
fn a_backup_copied_over_a_killed_store_is_the_store_from_then_on() {
    type Put = fn(&Path, &Path) -> std::io::Result<()>;
    let copied: Put = |from, to| fs::copy(from, to).map(drop);
    let moved: Put = |from, to| fs::rename(from, to);
    for (situation, more, put) in [
        ("few writes, copied", 1, copied),
        ("few writes, moved", 1, moved),
        // So many that the log begins anew several times.
        ("many writes, copied", 1500, copied),
        ("many writes, moved", 1500, moved),
    ] {
        for access in [Access::Existing, Access::ReadOnly] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("sipvouch.db");
            let backup = directory.path().join("backup.db");
            let expected = killed_after_a_backup(&path, &backup, more);
            assert!(fs::metadata(log_of(&path)).unwrap().len() > 0);
            put(&backup, &path).unwrap();
            let store = Embedded::open(&path, access).unwrap();
            let what = format!("{situation}, {access:?}");
            assert_eq!(generations(&store), expected, "{what}");
            assert_eq!(store.check().unwrap(), Vec::<String>::new(), "{what}");
            let notes = store.notes().join("");
            for word in ["sipvouch.db-wal is ", "sipvouch.db-shm is ", ".foreign-"] {
                assert!(notes.contains(word), "{what}: {notes}");
            }
            drop(store);
            let again = Embedded::open(&path, Access::Existing).unwrap();
            assert_eq!(generations(&again), expected, "{what}: once more");
            assert!(again.notes().is_empty(), "{what}: {:?}", again.notes());
        }
    }
}

#[test]
fn the_same_backup_can_be_copied_over_the_store_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sipvouch.db");
    let (backup, another) = (directory.path().join("b.db"), directory.path().join("c.db"));
    let expected = killed_after_a_backup(&path, &backup, 3);
    for round in 0..3 {
        fs::copy(&backup, &path).unwrap();
        assert_eq!(
            generations(&Embedded::open(&path, Access::Existing).unwrap()),
            expected,
            "{round}"
        );
        killed_after_a_backup(&path, &another, 3);
    }
}

#[test]
fn a_killed_store_that_was_copied_with_its_log_keeps_all_it_had() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (
        directory.path().join("one.db"),
        directory.path().join("other.db"),
    );
    let backup = directory.path().join("backup.db");
    killed_after_a_backup(&one, &backup, 3);
    // Somewhere else, and over the store of another.
    killed_after_a_backup(&other, &backup, 3);
    let elsewhere = directory.path().join("elsewhere.db");
    for to in [&elsewhere, &other] {
        fs::copy(&one, to).unwrap();
        fs::copy(log_of(&one), log_of(to)).unwrap();
    }
    let expected = generations(&Embedded::open(&one, Access::Existing).unwrap());
    for to in [&elsewhere, &other] {
        let store = Embedded::open(to, Access::Existing).unwrap();
        assert!(store.notes().is_empty(), "{:?}", store.notes());
        assert_eq!(generations(&store), expected);
    }
}

#[test]
fn a_file_put_over_a_store_in_use_is_refused_and_the_log_of_its_user_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sipvouch.db");
    let backup = directory.path().join("backup.db");
    killed_after_a_backup(&path, &backup, 3);
    let mut writer = child("writes_until_it_is_killed", &path);
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("stored ")));
    // As cp does: the same file with other contents.
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(&fs::read(&backup).unwrap()).unwrap();
    drop(file);
    let error = Embedded::open(&path, Access::Existing).unwrap_err();
    let said = error.to_string();
    let number = format!("process {} uses it", writer.id());
    writer.kill().unwrap();
    writer.wait().unwrap();
    for word in ["-wal", "-shm", "sipvouch restore", &number] {
        assert!(said.contains(word), "{said}");
    }
    assert!(log_of(&path).exists());
}

#[test]
fn a_restored_store_is_the_backup_and_what_was_there_before_can_be_restored_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sipvouch.db");
    let backup = directory.path().join("backup.db");
    let of_backup = killed_after_a_backup(&path, &backup, 3);
    let octets = fs::read(&backup).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let done = restore(&path, &backup).unwrap();
    let before = done.before.expect("there was a store");
    assert!(log_of(&before).exists() && !log_of(&path).exists());
    assert!(
        fs::read(&backup).unwrap() == octets,
        "the backup is as it was"
    );
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "as readable as the store was");
    let store = Embedded::open(&path, Access::Existing).unwrap();
    assert_eq!(generations(&store), of_backup);
    assert!(store.notes().is_empty(), "{:?}", store.notes());
    drop(store);
    restore(&path, &before).unwrap();
    let store = Embedded::open(&path, Access::Existing).unwrap();
    let last = |generations: &BTreeMap<u64, usize>| *generations.last_key_value().unwrap().0;
    assert!(
        last(&generations(&store)) > last(&of_backup),
        "with its log"
    );
}

#[test]
fn what_cannot_be_restored_is_told_and_the_store_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sipvouch.db");
    let store = Embedded::open(&path, Access::Create).unwrap();
    store.put(&[user("a".into(), "7".into())]).unwrap();
    let backup = directory.path().join("backup.db");
    store.backup(&backup, false).unwrap();
    drop(store);
    let whole = fs::read(&backup).unwrap();
    let edited = |name: &str, edit: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = whole.clone();
        edit(&mut octets);
        let path = directory.path().join(name);
        fs::write(&path, octets).unwrap();
        path
    };
    let before = fs::read(&path).unwrap();
    for (situation, backup, expected) in [
        (
            "nothing",
            directory.path().join("none.db"),
            "none.db: No such file",
        ),
        ("itself", path.clone(), "is the store itself"),
        (
            "text",
            edited("text.db", &|octets| *octets = b"hello".repeat(99)),
            "is no SQLite file",
        ),
        (
            "cut off",
            edited("cut.db", &|octets| octets.truncate(whole.len() - 4096)),
            "damaged",
        ),
        (
            "a page of zeros",
            edited("zeros.db", &|octets| octets[4096 * 5..4096 * 6].fill(0)),
            "damaged",
        ),
        (
            "a newer one",
            edited("newer.db", &|octets| {
                octets[60..64].copy_from_slice(&[0, 0, 0, 9])
            }),
            "schema 9 is newer",
        ),
    ] {
        let error = restore(&path, &backup).unwrap_err().to_string();
        assert!(error.contains(expected), "{situation}: {error}");
        assert!(fs::read(&path).unwrap() == before, "{situation}");
    }
    let left: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("partial") || name.contains("before"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    // While somebody has it open.
    let mut writer = child("writes_until_it_is_killed", &path);
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("stored ")));
    let error = restore(&path, &backup).unwrap_err().to_string();
    let number = format!("process {} has this store open", writer.id());
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert!(error.contains(&number), "{error}");
    restore(&path, &backup).unwrap();
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
