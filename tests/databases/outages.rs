//! Data bases that are slow, hang or die.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sipvouch::store::sql::SqlStore;
use sipvouch::store::{Error, SqlKind, SqlOptions, SqlTls, Store};

use crate::cases::user;
use crate::servers::Server;

fn sleeping(kind: SqlKind, seconds: &str) -> String {
    match kind {
        SqlKind::PostgreSql => format!("SELECT 'x' FROM pg_sleep({seconds}) WHERE '$user' <> ''"),
        SqlKind::MySql => {
            format!("SELECT IF(SLEEP({seconds}), 'x', 'x') FROM DUAL WHERE '$user' <> ''")
        }
    }
}

pub(crate) fn a_slow_query_is_given_up(kind: SqlKind) {
    let database = Server::shared(kind).database();
    let store = SqlStore::open(&SqlOptions {
        user_query: Some(sleeping(kind, "30")),
        query_timeout: Duration::from_secs(1),
        pool: 1,
        ..database.options()
    })
    .unwrap();
    store.put(&[user("alice", "h")]).unwrap();
    let began = Instant::now();
    let error = store.password_hash("bob", "example.org").unwrap_err();
    assert!(matches!(error, Error::Slow { seconds: 1, .. }), "{error:?}");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    // It was the server that gave up, and the one connection is good for the next question.
    let found = store.password_hash("alice", "example.org").unwrap();
    assert_eq!(found.as_deref(), Some("h"));
}

pub(crate) fn connections_are_no_more_than_the_pool(kind: SqlKind) {
    let database = Server::shared(kind).database();
    let store = SqlStore::open(&SqlOptions {
        user_query: Some(sleeping(kind, "0.2")),
        pool: 2,
        ..database.options()
    })
    .unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                assert_eq!(
                    store.password_hash("bob", "x").unwrap().as_deref(),
                    Some("x")
                );
            });
        }
    });
    // Six naps by two at a time.
    assert!(
        began.elapsed() >= Duration::from_millis(600),
        "{:?}",
        began.elapsed()
    );
}

pub(crate) fn a_server_that_hangs_holds_nobody(kind: SqlKind) {
    let server = Server::start(kind);
    let database = server.database();
    // It has no TLS: who insists on it gets nothing, who only prefers it goes without.
    let insisting = SqlStore::open(&SqlOptions {
        tls: SqlTls::Require,
        ..database.options()
    });
    let refused = insisting.unwrap().check().unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused:?}");
    let store = SqlStore::open(&SqlOptions {
        query_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(500),
        pool: 2,
        ..database.options()
    })
    .unwrap();
    store.put(&[user("alice", "h")]).unwrap();
    server.freeze(true);
    let began = Instant::now();
    for _ in 0..10 {
        let error = store.password_hash("alice", "example.org").unwrap_err();
        assert!(
            matches!(error, Error::Slow { .. } | Error::Unreachable { .. }),
            "{error:?}"
        );
    }
    // The first waits for an answer, the next maybe for a connection; all others are told at once.
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    server.freeze(false);
    recovers(&store);
}

pub(crate) fn lookups_recover_from_a_crash_and_are_never_wrong(kind: SqlKind) {
    let server = Server::start(kind);
    let database = server.database();
    let store = SqlStore::open(&SqlOptions {
        query_timeout: Duration::from_secs(2),
        ..database.options()
    })
    .unwrap();
    store.put(&[user("alice", "h")]).unwrap();
    let over = AtomicBool::new(false);
    let begun = Barrier::new(5);
    let (answers, failures) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                begun.wait();
                while !over.load(Ordering::Relaxed) {
                    match store.password_hash("alice", "example.org") {
                        Ok(found) => {
                            assert_eq!(found.as_deref(), Some("h"));
                            answers.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(Error::Unreachable { .. }) => {
                            failures.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            });
        }
        begun.wait();
        let more = |counter: &AtomicU32| {
            let before = counter.load(Ordering::Relaxed);
            let until = Instant::now() + Duration::from_secs(20);
            while counter.load(Ordering::Relaxed) < before + 20 && Instant::now() < until {
                thread::sleep(Duration::from_millis(5));
            }
            counter.load(Ordering::Relaxed) >= before + 20
        };
        let before = more(&answers);
        server.crash();
        let during = more(&failures);
        server.run();
        let after = more(&answers);
        over.store(true, Ordering::Relaxed);
        assert!(before && during && after, "{before} {during} {after}");
    });
    // A restart between two questions, and nobody sees it.
    server.crash();
    server.run();
    assert_eq!(
        store
            .password_hash("alice", "example.org")
            .unwrap()
            .as_deref(),
        Some("h")
    );
}

/// Within the longest wait between two tries.
fn recovers(store: &SqlStore) {
    let until = Instant::now() + Duration::from_secs(12);
    loop {
        match store.password_hash("alice", "example.org") {
            Ok(found) => {
                assert_eq!(found.as_deref(), Some("h"));
                return;
            }
            Err(error) => assert!(Instant::now() < until, "{error:?}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
