//! The file of the store under a server: restored after a kill, put in its place by hand, served once.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use sipvouch::store::embedded::{Access, Embedded};

use crate::harness::{Connection, Request, Server, Setup, TlsPeer, run_to_end};

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

/// Sends a message for a user who is away; the status of the answer.
fn message(peer: &mut Connection, user: &str, body: &str) -> u16 {
    let to = format!("sip:{user}@example.org");
    let mut request = Request::new("MESSAGE", &to, "sip:alice@example.org");
    body.clone_into(&mut request.body);
    peer.ask(&request).response().status
}

fn wait(server: &Server, from: &mut usize, text: &str) -> String {
    let line = server.wait_after(from, &[text], PATIENCE);
    line.unwrap_or_else(|| panic!("no {text}:\n{}", server.log()))
}

/// A server that keeps messages and bindings, with alice in it and in its backup, and bob after that.
fn keeping() -> (Server, Connection) {
    let server = Setup::usual()
        .set("MessageSiloEnabled", "true")
        .set("MessageSiloFailureStatusCode", "488")
        .set("RegistrationPersistence", "true")
        .start();
    done(server.setup(), &["user", "add", "alice@example.org"]);
    done(server.setup(), &["backup", "backup.db"]);
    done(server.setup(), &["user", "add", "bob@example.org"]);
    let mut peer = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    assert_eq!(message(&mut peer, "bob", "kept"), 202);
    (server, peer)
}

#[test]
fn a_store_that_is_removed_under_a_server_takes_nothing_until_another_is_there() {
    let (server, mut peer) = keeping();
    let store = server.dir().join("sipvouch.db");
    let mut from = server.lines();
    fs::remove_file(&store).unwrap();
    // At once, and after it has been noticed.
    assert_eq!(message(&mut peer, "bob", "lost"), 488);
    let line = wait(&server, &mut from, "store.displaced");
    assert!(
        line.contains("ERROR") && line.contains("has been removed"),
        "{line}"
    );
    assert!(line.contains("sipvouch.db"), "{line}");
    assert_eq!(message(&mut peer, "bob", "lost"), 488);
    let said = refused(server.setup(), &["user", "add", "carol@example.org"]);
    assert!(said.contains("the store that was here is gone"), "{said}");
    assert!(!store.exists());
    let (status, said) = server.setup().run(&["ctl", "changed", "user"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("has been removed"), "{said}");
    // Something that is no store is not taken.
    fs::write(&store, "not yet").unwrap();
    wait(&server, &mut from, "store.not_reopened");
    assert_eq!(message(&mut peer, "bob", "lost"), 488);
    fs::remove_file(&store).unwrap();
    fs::copy(server.dir().join("backup.db"), &store).unwrap();
    wait(&server, &mut from, "store.reopened");
    wait(&server, &mut from, "store.changed");
    assert_eq!(users(server.setup()), ["alice"]);
    assert_eq!(message(&mut peer, "bob", "nobody"), 404);
    assert_eq!(message(&mut peer, "alice", "kept"), 202);
    done(server.setup(), &["user", "add", "bob@example.org"]);
    assert_eq!(message(&mut peer, "bob", "kept"), 202);
    // What was acknowledged is where the next start looks.
    let server = server.kill_and_restart();
    let store = Embedded::open(&server.dir().join("sipvouch.db"), Access::ReadOnly).unwrap();
    let kept = |to: &str| {
        sipvouch::store::Store::messages_for(&store, to, 9)
            .unwrap()
            .len()
    };
    assert_eq!(
        (kept("sip:alice@example.org"), kept("sip:bob@example.org")),
        (1, 1)
    );
}

#[test]
fn a_store_that_is_replaced_under_a_server_is_taken_up_with_everything_in_it() {
    let (server, mut peer) = keeping();
    let aor = "sip:alice@example.org";
    let mut register = Request::new("REGISTER", "sip:example.org", aor);
    aor.clone_into(&mut register.to);
    register.headers.push("Expires: 600".to_owned());
    register.contact = Some("<sip:alice@127.0.0.1:5099;transport=tls>".to_owned());
    assert_eq!(peer.ask(&register).response().status, 200);
    for round in 0..3 {
        let mut from = server.lines();
        let new = server.dir().join("new.db");
        fs::copy(server.dir().join("backup.db"), &new).unwrap();
        fs::rename(&new, server.dir().join("sipvouch.db")).unwrap();
        // A command may be the first to open it, with the log of the server beside it.
        if round == 1 {
            done(server.setup(), &["user", "add", "carol@example.org"]);
        }
        wait(&server, &mut from, "store.reopened");
        wait(&server, &mut from, "store.changed");
        assert_eq!(message(&mut peer, "bob", "nobody"), 404, "{round}");
        let carol = message(&mut peer, "carol", "hello");
        assert_eq!(carol, if round == 1 { 202 } else { 404 }, "{round}");
        done(server.setup(), &["user", "add", "bob@example.org"]);
        assert_eq!(message(&mut peer, "bob", "kept"), 202, "{round}");
    }
    // The registration of before is written into the new store as well.
    let store = Embedded::open(&server.dir().join("sipvouch.db"), Access::ReadOnly).unwrap();
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut bindings = 0;
        store.bindings(0, &mut |_| bindings += 1).unwrap();
        if bindings == 1 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_store_that_is_written_over_under_a_server_is_what_its_next_start_serves() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let (mut server, mut peer) = keeping();
        let mut from = server.lines();
        // The same file, as cp leaves it.
        fs::copy(
            server.dir().join("backup.db"),
            server.dir().join("sipvouch.db"),
        )
        .unwrap();
        let line = wait(&server, &mut from, "store.displaced");
        assert!(line.contains("written over"), "{line}");
        assert_eq!(message(&mut peer, "bob", "lost"), 488);
        let said = refused(server.setup(), &["user", "add", "carol@example.org"]);
        for word in [
            "-wal",
            "-shm",
            &format!("process {} uses it", server.number()),
        ] {
            assert!(said.contains(word), "{said}");
        }
        server.signal(signal);
        assert!(server.ended(PATIENCE).is_some());
        let server = server.kill_and_restart();
        assert_eq!(users(server.setup()), ["alice"], "{signal}");
        let store = Embedded::open(&server.dir().join("sipvouch.db"), Access::ReadOnly).unwrap();
        assert_eq!(store.check().unwrap(), Vec::<String>::new(), "{signal}");
    }
}

#[test]
fn a_store_that_is_gone_is_not_replaced_by_an_empty_one() {
    let setup = with_backup().kill();
    let store = setup.dir().join("sipvouch.db");
    let remove = |suffixes: &[&str]| {
        for suffix in suffixes {
            // A store that was closed has no log.
            let _ = fs::remove_file(format!("{}{suffix}", store.display()));
        }
    };
    let gone = || {
        let (status, checked) = setup.run(&["check", "repro.config"]);
        assert_eq!(status, Some(2), "{checked}");
        let (status, started) = run_to_end(&setup, PATIENCE);
        assert_eq!(status.and_then(|s| s.code()), Some(1), "{started}");
        for said in [
            checked,
            started,
            refused(&setup, &["user", "list"]),
            refused(&setup, &["user", "add", "mallory@example.org"]),
        ] {
            for word in [
                "sipvouch.db: the store that was here is gone",
                "sipvouch restore BACKUP",
                "sipvouch import SOURCE",
                "to begin anew, remove ",
            ] {
                assert!(said.contains(word), "{word}: {said}");
            }
            assert!(!store.exists(), "{said}");
        }
    };
    done(&setup, &["export", "out"]);
    remove(&["", "-shm"]);
    let log = fs::read(setup.dir().join("sipvouch.db-wal")).unwrap();
    gone();
    done(&setup, &["restore", "backup.db"]);
    assert_eq!(users(&setup), ["alice"]);
    remove(&[""]);
    gone();
    fs::write(setup.dir().join("sipvouch.db-wal"), log).unwrap();
    // A log that nobody knows to be its own any more.
    remove(&["-lock"]);
    gone();
    done(&setup, &["import", "out", "--quiet"]);
    assert_eq!(users(&setup), ["alice", "bob", "carol"]);
    let setup = setup.start().kill();
    assert_eq!(users(&setup), ["alice", "bob", "carol"]);
    remove(&["", "-wal", "-shm", "-lock"]);
    let server = setup.start();
    assert_eq!(users(server.setup()), Vec::<String>::new());
}
