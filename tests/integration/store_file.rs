//! The file of the store under a server: restored after a kill, put in its place by hand, served once.

use std::fs;
use std::time::Duration;

use crate::harness::{Server, Setup, run_to_end};

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a command that must do what it is asked.
fn done(setup: &Setup, arguments: &[&str]) -> String {
    let (status, said) = setup.run_with_input(arguments, "pw\n");
    assert_eq!(status, Some(0), "{arguments:?}: {said}");
    said
}

fn refused(setup: &Setup, arguments: &[&str]) -> String {
    let (status, said) = setup.run_with_input(arguments, "pw\n");
    assert_eq!(status, Some(1), "{arguments:?}: {said}");
    said
}

fn users(setup: &Setup) -> Vec<String> {
    let said = done(setup, &["user", "list", "--json"]);
    let name = |line: &str| {
        let user: serde_json::Value = serde_json::from_str(line).unwrap();
        user["user"].as_str().unwrap().to_owned()
    };
    said.lines()
        .filter(|line| line.starts_with('{'))
        .map(name)
        .collect()
}

/// A server with alice, a backup of that, and bob, carol and some more after it.
fn with_backup() -> Server {
    let server = Setup::usual().start();
    done(server.setup(), &["user", "add", "alice@example.org"]);
    done(server.setup(), &["backup", "backup.db"]);
    for user in ["bob@example.org", "carol@example.org"] {
        done(server.setup(), &["user", "add", user]);
    }
    server
}

#[test]
fn after_a_kill_a_backup_is_restored_by_the_command_and_by_copying_it() {
    let setup = with_backup().kill();
    // As people do it who have not read on.
    fs::copy(
        setup.dir().join("backup.db"),
        setup.dir().join("sipvouch.db"),
    )
    .unwrap();
    let said = done(&setup, &["user", "list"]);
    assert!(said.contains("sipvouch.db-wal is "), "{said}");
    assert_eq!(users(&setup), ["alice"]);
    let server = setup.start();
    assert!(!server.log().contains("another file"), "{}", server.log());
    done(server.setup(), &["user", "add", "dave@example.org"]);
    let said = refused(server.setup(), &["restore", "backup.db"]);
    assert!(said.contains("serves this store already"), "{said}");
    let setup = server.kill();
    let said = done(&setup, &["restore", "backup.db"]);
    assert!(said.contains("what was there before is "), "{said}");
    assert_eq!(users(&setup), ["alice"]);
    // The server is the first to open it after a copy, too.
    let setup = setup.start();
    done(setup.setup(), &["user", "add", "erin@example.org"]);
    let setup = setup.kill();
    fs::copy(
        setup.dir().join("backup.db"),
        setup.dir().join("sipvouch.db"),
    )
    .unwrap();
    let server = setup.start();
    let noted = server.wait_after(
        &mut 0,
        &["another file has been put in its place"],
        PATIENCE,
    );
    assert!(noted.is_some(), "{}", server.log());
    assert_eq!(users(server.setup()), ["alice"]);
}

#[test]
fn one_server_serves_a_store_and_commands_work_beside_it() {
    let server = with_backup();
    let store = server.dir().to_str().unwrap().to_owned();
    for socket in ["", "other.sock"] {
        let second = Setup::usual()
            .set("DatabasePath", &store)
            .set("ControlSocket", socket);
        let (status, said) = run_to_end(&second, PATIENCE);
        assert_eq!(status.and_then(|s| s.code()), Some(1), "{socket}: {said}");
        let wanted = format!(
            "a server, process {}, serves this store already",
            server.number()
        );
        assert!(said.contains(&wanted), "{socket}: {said}");
    }
    assert_eq!(users(server.setup()), ["alice", "bob", "carol"]);
    done(server.setup(), &["user", "remove", "bob@example.org"]);
    // Whoever is killed holds nothing.
    let _left = server.kill();
    let second = Setup::usual()
        .set("DatabasePath", &store)
        .set("ControlSocket", "")
        .start();
    assert!(second.log().contains("server.ready"));
}
