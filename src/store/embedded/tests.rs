//! What the embedded store answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::store::record::{
    Acl, Domain, Filter, FilterAction, Identity, Record, Route, SiloMessage, StaticRegistration,
    User,
};
use crate::store::{Flow, Put, RecordFault, Store};

fn fresh() -> (tempfile::TempDir, PathBuf, Embedded) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sipvouch.db");
    let store = Embedded::open(&path, Access::Create).unwrap();
    (directory, path, store)
}

fn user(user: &str, domain: &str, password_hash: &str) -> Record {
    Record::User(User {
        user: user.into(),
        domain: domain.into(),
        realm: domain.into(),
        password_hash: password_hash.into(),
        ..User::default()
    })
}

fn message(dest_uri: &str, original_sent_time: u64, tid: &str) -> Record {
    Record::Silo(SiloMessage {
        dest_uri: dest_uri.into(),
        original_sent_time,
        tid: tid.into(),
        message_body: vec![0, 0xff, b'x'],
        ..SiloMessage::default()
    })
}

fn identity(peer_name: &str, authorized_identity: &str) -> Record {
    Record::Identity(Identity {
        peer_name: peer_name.into(),
        authorized_identity: authorized_identity.into(),
    })
}

/// A record of each table, and one with the same key and other contents where there can be one.
fn samples() -> Vec<(Record, Option<Record>)> {
    let route = |rewrite: &str| {
        Record::Route(Route {
            method: "INVITE".into(),
            event: String::new(),
            matching_pattern: "^sip:(.*)@".into(),
            rewrite_expression: rewrite.into(),
            order: -3,
        })
    };
    let filter = |action| {
        Record::Filter(Filter {
            cond1_header: "From".into(),
            cond1_regex: "a:b".into(),
            action,
            action_data: "403, no".into(),
            order: i16::MAX,
            ..Filter::default()
        })
    };
    let registration = |path: &str| {
        Record::Registration(StaticRegistration {
            aor: "sip:a@example.org".into(),
            contact: "<sip:a@192.0.2.1>".into(),
            path: path.into(),
        })
    };
    let domain = |tls_port| {
        Record::Domain(Domain {
            domain: "Example.ORG".into(),
            tls_port,
        })
    };
    let acl = Record::Acl(Acl {
        address: "127.0.0.7".into(),
        mask: 32,
        port: i16::MIN,
        ..Acl::default()
    });
    let mut letter = message("sip:a@example.org", 7, "t");
    if let Record::Silo(letter) = &mut letter {
        letter.message_body = "other".into();
    }
    vec![
        (domain(0), Some(domain(5061))),
        (acl, None),
        (route("$1"), Some(route("$2"))),
        (
            filter(FilterAction::Sql),
            Some(filter(FilterAction::Reject)),
        ),
        (registration(""), Some(registration("<sip:p;lr>"))),
        (
            user("a", "example.org", "1"),
            Some(user("a", "EXAMPLE.org", "1")),
        ),
        (identity("gw", "example.org"), None),
        (message("sip:a@example.org", 7, "t"), Some(letter)),
    ]
}

fn all(store: &dyn Store, table: Table) -> Vec<Record> {
    let mut records = Vec::new();
    let mut take = |record: Result<Record, _>| {
        records.push(record.unwrap());
        Flow::More
    };
    store.each(table, &mut take).unwrap();
    records
}

#[test]
fn records_of_every_table_are_put_read_and_removed() {
    let (_directory, path, store) = fresh();
    assert!(store.is_empty().unwrap());
    let mut seen = Vec::new();
    for (record, other) in samples() {
        let (table, key) = (record.table(), record.key());
        let one = std::slice::from_ref(&record);
        assert_eq!(store.get(table, &key).unwrap(), None);
        assert_eq!(store.put(one).unwrap(), [Put::Added], "{table}");
        assert_eq!(store.put(one).unwrap(), [Put::Same], "{table}");
        if let Some(other) = other {
            assert_eq!(
                store.put(std::slice::from_ref(&other)).unwrap(),
                [Put::Changed]
            );
            assert_eq!(store.get(table, &key).unwrap(), Some(other));
            assert_eq!(store.put(one).unwrap(), [Put::Changed]);
        }
        assert_eq!(store.get(table, &key).unwrap().as_ref(), Some(&record));
        seen.push(table);
    }
    assert_eq!(seen, Table::ALL);
    drop(store);
    let store = Embedded::open(&path, Access::Existing).unwrap();
    for (record, _) in samples() {
        let (table, key) = (record.table(), record.key());
        assert_eq!(all(&store, table), [record]);
        let keys = [key.clone(), "none".to_owned(), key];
        assert_eq!(store.remove(table, &keys).unwrap(), 1, "{table}");
        assert!(all(&store, table).is_empty());
    }
    assert!(store.is_empty().unwrap());
}

#[test]
fn a_domain_is_found_in_any_case_and_a_user_only_in_its_own() {
    let (_directory, _path, store) = fresh();
    let written = user("Alice", "Example.ORG", "h");
    store
        .put(&[written.clone(), identity("GW", "Bob@Example.org")])
        .unwrap();
    for (situation, name, realm, found) in [
        ("as written", "Alice", "Example.ORG", true),
        ("domain in lower case", "Alice", "example.org", true),
        ("user in lower case", "alice", "Example.ORG", false),
        ("another domain", "Alice", "example.com", false),
        ("no domain", "Alice", "", false),
        (
            "a user that has the rest in it",
            "Alice@Example.ORG",
            "",
            false,
        ),
    ] {
        let hash = store.password_hash(name, realm).unwrap();
        assert_eq!(hash.is_some(), found, "{situation}");
    }
    let key = "Alice@EXAMPLE.org";
    assert_eq!(store.get(Table::User, key).unwrap(), Some(written));
    for (situation, name, who, allowed) in [
        ("as written", "GW", "Bob@Example.org", true),
        ("domain in another case", "GW", "Bob@example.ORG", true),
        ("user in another case", "GW", "bob@example.org", false),
        ("name in another case", "gw", "Bob@example.org", false),
        ("another domain", "GW", "Bob@example.com", false),
    ] {
        let answer = store.authorizes(&["x".into(), name.into()], &["y".into(), who.into()]);
        assert_eq!(answer.unwrap(), allowed, "{situation}");
    }
}

#[test]
fn one_key_text_does_not_make_two_names_one() {
    let (_directory, _path, store) = fresh();
    store
        .put(&[user("a", "b@c", "h"), identity("gw,x", "y@example.org")])
        .unwrap();
    assert_eq!(store.password_hash("a@b", "c").unwrap(), None);
    assert_eq!(store.password_hash("a", "b@c").unwrap(), Some("h".into()));
    let asked = |name: &str, who: &str| store.authorizes(&[name.into()], &[who.into()]).unwrap();
    assert!(!asked("gw", "x,y@example.org"));
    assert!(asked("gw,x", "y@example.org"));
}

#[test]
fn records_come_in_the_order_of_keys_until_enough() {
    let (_directory, _path, store) = fresh();
    let users = ["b", "a.b", "a", "\u{e9}", "B"].map(|name| user(name, "example.org", ""));
    store.put(&users).unwrap();
    let keys: Vec<String> = all(&store, Table::User).iter().map(Record::key).collect();
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(keys, sorted);
    let mut taken = 0;
    let mut take = |_| {
        taken += 1;
        if taken == 2 { Flow::Enough } else { Flow::More }
    };
    store.each(Table::User, &mut take).unwrap();
    assert_eq!(taken, 2);
}

#[test]
fn all_records_of_a_put_are_stored_or_none() {
    let (_directory, _path, store) = fresh();
    // SQLite counts in 63 bits.
    let error = store
        .put(&[
            message("sip:a@a", 1, "good"),
            message("sip:a@a", u64::MAX, "bad"),
        ])
        .unwrap_err();
    assert!(matches!(error, Error::Record(_)), "{error}");
    assert!(store.is_empty().unwrap());
}

#[test]
fn a_changed_key_takes_the_old_record_away() {
    let (_directory, _path, store) = fresh();
    store.put(&[user("a", "example.org", "1")]).unwrap();
    for (situation, old, record, put) in [
        (
            "another user",
            "a@example.org",
            user("b", "example.org", "1"),
            Put::Added,
        ),
        (
            "the domain is only written otherwise",
            "b@example.org",
            user("b", "Example.org", "1"),
            Put::Changed,
        ),
        (
            "nothing changes",
            "b@example.org",
            user("b", "Example.org", "1"),
            Put::Same,
        ),
    ] {
        assert_eq!(store.replace(old, &record).unwrap(), put, "{situation}");
        assert_eq!(all(&store, Table::User), [record], "{situation}");
    }
}

#[test]
fn messages_are_given_oldest_first_counted_and_expired() {
    let (_directory, _path, store) = fresh();
    let records = [
        message("sip:a@a", 30, "c"),
        message("sip:a@a", 10, "a"),
        message("sip:b@a", 5, "x"),
        message("sip:a@a", 200, "b"),
        message("sip:a@a", 30, "b"),
    ];
    store.put(&records).unwrap();
    let tids = |limit| -> Vec<String> {
        let messages = store.messages_for("sip:a@a", limit).unwrap();
        messages.into_iter().map(|message| message.tid).collect()
    };
    // Of one second in the order of their names, whoever was stored first.
    assert_eq!(tids(9), ["a", "b", "c", "b"]);
    assert_eq!(tids(2), ["a", "b"]);
    assert!(store.messages_for("sip:A@a", 9).unwrap().is_empty());
    assert_eq!(store.count_messages("sip:a@a").unwrap(), (4, 5));
    assert_eq!(store.expire_messages(30).unwrap(), 2);
    assert_eq!(tids(9), ["b", "c", "b"]);
    assert_eq!(store.count_messages("sip:b@a").unwrap(), (0, 3));
}

#[test]
fn versions_tell_which_table_was_changed_by_whomever() {
    let (_directory, path, store) = fresh();
    let other = Embedded::open(&path, Access::Existing).unwrap();
    let counted = |act: &dyn Fn()| -> Vec<Table> {
        let (before, sum) = (store.versions().unwrap(), store.version().unwrap());
        act();
        let after = store.versions().unwrap();
        let changed: Vec<Table> = after.changed_since(&before).collect();
        assert_eq!(store.version().unwrap() != sum, !changed.is_empty());
        changed
    };
    for (record, another) in samples() {
        let table = record.table();
        let expected: &[Table] = if table == Table::Silo { &[] } else { &[table] };
        let one = [record.clone()];
        let key = [record.key()];
        for side in [&store, &other] {
            assert_eq!(counted(&|| drop(side.put(&one).unwrap())), expected);
            assert!(counted(&|| drop(side.put(&one).unwrap())).is_empty());
            if let Some(another) = &another {
                let act = || drop(side.put(std::slice::from_ref(another)).unwrap());
                assert_eq!(counted(&act), expected);
            }
            assert_eq!(
                counted(&|| assert!(side.remove(table, &key).unwrap() < 2)),
                expected
            );
            assert!(counted(&|| assert!(side.remove(table, &key).unwrap() < 2)).is_empty());
        }
    }
    let bindings = [("a@b".to_owned(), vec![SavedBinding::default()])];
    assert!(counted(&|| store.save_bindings(&bindings).unwrap()).is_empty());
    // By hand, past every line of ours.
    let hand = Connection::open(&path).unwrap();
    let insert = "INSERT INTO domain VALUES ('a', 'a', 0)";
    assert_eq!(
        counted(&|| hand.execute_batch(insert).unwrap()),
        [Table::Domain]
    );
}

fn binding(aor: &str, contact: &str, expires_at: u64) -> SavedBinding {
    SavedBinding {
        aor: aor.into(),
        contact: contact.into(),
        parameters: b";+sip.instance=\"\xff\"".to_vec(),
        call_id: b"c".to_vec(),
        user_agent: b"phone".to_vec(),
        q: Some(500),
        cseq: u32::MAX,
        path: b"<sip:p;lr>".to_vec(),
        datagram: true,
        expires_at,
    }
}

fn bindings_after(store: &Embedded, now: u64) -> Vec<SavedBinding> {
    let mut taken = Vec::new();
    store.bindings(now, &mut |b| taken.push(b)).unwrap();
    taken
}

#[test]
fn bindings_survive_a_restart_and_end_in_time() {
    let (_directory, path, store) = fresh();
    let two = vec![
        binding("a@x", "sip:2", 20),
        binding("a@x", "sip:1", u64::MAX),
    ];
    let one = SavedBinding {
        q: None,
        ..binding("b@x", "sip:3", 10)
    };
    store
        .save_bindings(&[
            ("b@x".into(), vec![one.clone()]),
            ("a@x".into(), two.clone()),
        ])
        .unwrap();
    drop(store);
    let store = Embedded::open(&path, Access::Existing).unwrap();
    let kept = bindings_after(&store, 9);
    assert_eq!(kept[0], two[0]);
    // The end of time is nearer in SQLite.
    assert_eq!(kept[1].expires_at, i64::MAX.unsigned_abs());
    assert_eq!(kept[2], one);
    assert_eq!(bindings_after(&store, 10).len(), 2);
    assert_eq!(store.expire_bindings(20).unwrap(), 1);
    store.save_bindings(&[("a@x".into(), vec![])]).unwrap();
    assert!(bindings_after(&store, 0).is_empty());
    assert!(store.is_empty().unwrap(), "bindings are no records");
}

#[test]
fn nobody_else_may_read_the_files() {
    let (directory, path, store) = fresh();
    store.put(&[user("a", "b", "secret")]).unwrap();
    store.get(Table::User, "a@b").unwrap();
    store.backup(&path.with_extension("copy"), false).unwrap();
    let mut files = 0;
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        files += 1;
    }
    assert_eq!(files, 5, "file, log, index of the log, locks, copy");
}

#[test]
fn a_store_for_reading_is_not_written() {
    let (_directory, path, store) = fresh();
    store.put(&[user("a", "b", "h")]).unwrap();
    let reading = Embedded::open(&path, Access::ReadOnly).unwrap();
    assert_eq!(reading.password_hash("a", "b").unwrap(), Some("h".into()));
    let error = reading.put(&[user("c", "d", "h")]).unwrap_err().to_string();
    assert!(
        error.contains("sipvouch.db: is open for reading only"),
        "{error}"
    );
    // What is written meanwhile is seen.
    store.put(&[user("c", "d", "h")]).unwrap();
    assert_eq!(all(&reading, Table::User).len(), 2);
}

#[test]
fn a_store_is_only_made_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    for access in [Access::Existing, Access::ReadOnly] {
        let error = Embedded::open(&path, access).unwrap_err();
        assert!(matches!(error, Error::NoStore { .. }), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
    // What a crash right after the start leaves.
    fs::write(&path, "").unwrap();
    for access in [Access::Existing, Access::ReadOnly] {
        let error = Embedded::open(&path, access).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
    }
    Embedded::open(&path, Access::Create).unwrap();
    Embedded::open(&path, Access::Existing).unwrap();
}

#[test]
fn several_may_make_the_store_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sipvouch.db");
    thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let path = &path;
            scope.spawn(move || {
                let store = Embedded::open(path, Access::Create).unwrap();
                store.put(&[user(name, "example.org", "")]).unwrap();
            });
        }
    });
    let store = Embedded::open(&path, Access::Existing).unwrap();
    assert_eq!(all(&store, Table::User).len(), 4);
}

/// Writes pairs of users with the same hash in one transaction each, until `done`; says how often.
fn write_pairs(store: &Embedded, done: &dyn Fn(u32) -> bool) -> u32 {
    let mut round = 0;
    while !done(round) {
        round += 1;
        let hash = round.to_string();
        store
            .put(&[user("a", "x", &hash), user("b", "x", &hash)])
            .unwrap();
    }
    round
}

fn assert_whole_pair(store: &dyn Store) -> bool {
    let hashes: Vec<String> = all(store, Table::User)
        .into_iter()
        .map(|record| match record {
            Record::User(user) => user.password_hash,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        hashes.is_empty() || (hashes.len() == 2 && hashes[0] == hashes[1]),
        "{hashes:?}"
    );
    !hashes.is_empty()
}

#[test]
fn readers_see_whole_transactions_while_one_writes() {
    let (_directory, _path, store) = fresh();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut readings = 0;
                    while !stop.load(Ordering::Relaxed) || readings < 10 {
                        assert_whole_pair(&store);
                        store.password_hash("a", "x").unwrap();
                        readings += 1;
                    }
                })
            })
            .collect();
        write_pairs(&store, &|round| round == 200);
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(store.password_hash("a", "x").unwrap(), Some("200".into()));
}

#[test]
fn the_store_can_be_asked_and_written_while_a_table_is_read() {
    let (_directory, _path, store) = fresh();
    store
        .put(&[user("a", "x", "1"), user("b", "x", "1")])
        .unwrap();
    let mut seen = 0;
    let mut take = |record: Result<Record, _>| {
        let key = record.unwrap().key();
        assert!(store.get(Table::User, &key).unwrap().is_some());
        store.remove(Table::User, &[key]).unwrap();
        seen += 1;
        Flow::More
    };
    store.each(Table::User, &mut take).unwrap();
    assert_eq!(seen, 2);
    assert!(store.is_empty().unwrap());
}

#[test]
fn a_backup_is_one_moment_of_a_store_in_use() {
    let (directory, path, store) = fresh();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_pairs(&store, &|_| stop.load(Ordering::Relaxed)));
        let to = directory.path().join("backup.db");
        let mut filled = 0;
        while filled < 20 {
            let octets = store.backup(&to, true).unwrap();
            assert_eq!(octets, fs::metadata(&to).unwrap().len());
            let copy = Embedded::open(&to, Access::ReadOnly).unwrap();
            assert_eq!(copy.check().unwrap(), Vec::<String>::new());
            filled += u32::from(assert_whole_pair(&copy));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
    });
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    assert!(path.exists());
}

#[test]
fn a_backup_replaces_a_file_only_when_asked() {
    let (directory, path, store) = fresh();
    let to = directory.path().join("backup.db");
    fs::write(&to, "something").unwrap();
    for refused in [&to, &path] {
        let before = fs::read(refused).unwrap();
        let error = store.backup(refused, false).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
        assert_eq!(fs::read(refused).unwrap(), before);
    }
    store.backup(&to, true).unwrap();
    Embedded::open(&to, Access::ReadOnly).unwrap();
    let error = store
        .backup(Path::new("/none/backup.db"), false)
        .unwrap_err();
    assert!(error.to_string().contains("/none/backup.db"), "{error}");
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(
        left, 5,
        "the store with its log, index and locks, and the backup"
    );
}

#[test]
fn who_waits_too_long_for_another_writer_is_told() {
    let (_directory, path, store) = fresh();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let open = store.open.load_full();
    open.writer(&path)
        .unwrap()
        .busy_timeout(Duration::ZERO)
        .unwrap();
    let error = store.put(&[user("a", "b", "")]).unwrap_err();
    assert!(matches!(error, Error::Slow { .. }), "{error}");
    other.execute_batch("COMMIT").unwrap();
    store.put(&[user("a", "b", "")]).unwrap();
}

#[test]
fn a_row_that_cannot_be_read_is_a_fault_and_the_rest_goes_on() {
    let (_directory, path, store) = fresh();
    let hand = Connection::open(&path).unwrap();
    hand.execute_batch(
        "INSERT INTO domain VALUES ('a', 'a', 70000), ('b', CAST(x'ff' AS TEXT), 0), ('c', 'c', 1);
         INSERT INTO filter VALUES ('k', '', '', '', '', '', '', 7, '', 0);",
    )
    .unwrap();
    let mut read = Vec::new();
    for table in [Table::Domain, Table::Filter] {
        let mut take = |record: Result<Record, RecordFault>| {
            read.push(match record {
                Ok(record) => record.key(),
                Err(fault) => fault.to_string(),
            });
            Flow::More
        };
        store.each(table, &mut take).unwrap();
    }
    assert_eq!(
        read,
        [
            "domain \"a\": column tls_port holds something else",
            "domain \"b\": column domain is not UTF-8",
            "c",
            "filter \"k\": column action holds something else",
        ]
    );
    let error = store.get(Table::Domain, "a").unwrap_err();
    assert!(matches!(error, Error::Record(_)), "{error}");
    let mended = Record::Domain(Domain {
        domain: "a".into(),
        tls_port: 0,
    });
    assert_eq!(store.put(&[mended]).unwrap(), [Put::Changed]);
}

#[test]
fn looking_at_a_store_that_changes_takes_no_more_descriptors_each_time() {
    let (directory, path, store) = fresh();
    let hand = Connection::open(&path).unwrap();
    let descriptors = || {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        let of_store = |entry: std::io::Result<fs::DirEntry>| {
            let file = fs::read_link(entry.ok()?.path()).ok()?;
            file.starts_with(directory.path()).then_some(())
        };
        links.filter_map(of_store).count()
    };
    let mut first = None;
    for round in 0..40 {
        store.put(&[user(&round.to_string(), "x", "h")]).unwrap();
        hand.query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
            .unwrap();
        assert_eq!(store.look().unwrap(), None);
        let now = descriptors();
        // SQLite keeps what it may not close yet, and uses it again.
        if round >= 2 {
            assert!(
                now <= *first.get_or_insert(now),
                "{round}: {now}, {first:?}"
            );
        }
    }
}
