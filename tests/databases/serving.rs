//! A server whose users and rules are in a data base: what it answers while that is there, gone, and there again.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use sipvouch::store::embedded::{Access, Embedded};
use sipvouch::store::{Domain, Filter, FilterAction, Record, SqlKind, Store, Table};
use tempfile::TempDir;

use crate::cases::{all, one_of_each, user};
use crate::ports::free_port;
use crate::servers::{Database, PASSWORD, Server};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A sipvouch on plain TCP that believes every From: what comes after admission is seen.
pub(crate) struct Served {
    child: Child,
    pub(crate) port: u16,
    directory: TempDir,
    log: Receiver<String>,
    /// What it said until it served.
    started: String,
}

/// A directory with a configuration that names this data base, and the port it listens on.
fn configured(database: &Database<'_>) -> (TempDir, u16) {
    configured_with(database, "")
}

/// The same with these lines more.
fn configured_with(database: &Database<'_>, more: &str) -> (TempDir, u16) {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let kind = match database.server.kind {
        SqlKind::PostgreSql => "PostgreSQL",
        SqlKind::MySql => "MySQL",
    };
    let options = database.options();
    // Passwords are asked for where that is what is tested.
    let passwords = match more.contains("DisableAuth") {
        true => "",
        false => "DisableAuth = true\n",
    };
    let text = format!(
        "LoggingType = cerr\nIPAddress = 127.0.0.1\nUDPPort = 0\nTLSPort = 0\nWSPort = 0\nWSSPort = 0\n\
         TCPPort = {port}\n{passwords}EnableCertificateAuthenticator = false\nUserCacheTime = 0\n\
         UserCacheNegativeTime = 0\nDatabaseQueryTimeout = 1\nDatabaseRefreshInterval = 1\nDefaultDatabase = 7\n\
         Database7Type = {kind}\nDatabase7Host = 127.0.0.1\nDatabase7Port = {}\nDatabase7DatabaseName = {}\n\
         Database7User = {}\nDatabase7Password = {PASSWORD}\n{more}",
        options.port, options.database, options.user
    );
    std::fs::write(directory.path().join("repro.config"), text).unwrap();
    (directory, port)
}

/// Runs a command to its end: exit status and all it said.
fn run_in(directory: &TempDir, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sipvouch"))
        .current_dir(directory.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!said.contains(PASSWORD), "{said}");
    (done.status.code(), said)
}

impl Served {
    fn start(database: &Database<'_>) -> Self {
        Self::start_with(database, "")
    }

    /// With these lines more in the configuration.
    pub(crate) fn start_with(database: &Database<'_>, more: &str) -> Self {
        let (directory, port) = configured_with(database, more);
        let mut child = Command::new(env!("CARGO_BIN_EXE_sipvouch"))
            .current_dir(directory.path())
            .arg("repro.config")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, log) = channel();
        let stderr = child.stderr.take().unwrap();
        thread::spawn(move || {
            for text in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        let mut own = Self {
            child,
            port,
            directory,
            log,
            started: String::new(),
        };
        own.started = own.wait_for("server.ready");
        own
    }

    /// Waits for a line with this word; gives all lines up to it.
    fn wait_for(&self, word: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut said = String::new();
        while let Ok(line) = self
            .log
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            assert!(!line.contains(PASSWORD), "{line}");
            let _ = writeln!(said, "{line}");
            if line.contains(word) {
                return said;
            }
        }
        panic!("no {word}:\n{said}");
    }

    fn run(&self, arguments: &[&str], input: &str) -> (Option<i32>, String) {
        run_in(&self.directory, arguments, input)
    }

    /// Status of the answer to a MESSAGE.
    fn message(&self, to: &str) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let local = stream.local_addr().unwrap();
        let text = format!(
            "MESSAGE {to} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bK{local}\r\nMax-Forwards: 70\r\n\
             From: <sip:x@example.org>;tag=1\r\nTo: <{to}>\r\nCall-ID: {local}\r\nCSeq: 1 MESSAGE\r\n\
             Content-Length: 0\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = [0; 11];
        stream.read_exact(&mut answer).unwrap();
        let answer = std::str::from_utf8(&answer).unwrap();
        answer.strip_prefix("SIP/2.0 ").unwrap().parse().unwrap()
    }

    fn message_until(&self, to: &str, wanted: u16) {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.message(to);
            if status == wanted {
                return;
            }
            assert!(Instant::now() < until, "{to}: {status}, not {wanted}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn a_server_lives_with_its_data_base_without_it_and_with_it_again(kind: SqlKind) {
    let server = Server::start(kind);
    let database = server.database();
    let store = database.store();
    let domain = Domain {
        domain: "example.org".into(),
        tls_port: 0,
    };
    store
        .put(&[user("alice", "h"), Record::Domain(domain)])
        .unwrap();
    let served = Served::start(&database);
    assert_eq!(served.message("sip:alice@example.org"), 480);
    assert_eq!(served.message("sip:nobody@example.org"), 404);

    // The operator's commands work on the data base as on a file.
    let (status, said) = served.run(&["user", "add", "carol@example.org"], "pw\n");
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(served.message("sip:carol@example.org"), 480);
    let (status, said) = served.run(&["user", "verify", "carol@example.org"], "pw\n");
    assert_eq!(status, Some(0), "{said}");
    // What others write is seen when the tables are read again.
    let filter = Filter {
        cond1_header: "To".into(),
        cond1_regex: "carol".into(),
        action: FilterAction::Reject,
        action_data: "486, Not Now".into(),
        ..Filter::default()
    };
    store.put(&[Record::Filter(filter)]).unwrap();
    served.message_until("sip:carol@example.org", 486);

    server.crash();
    let asked = Instant::now();
    // Nobody can say whether she exists; that is said, and not waited for.
    assert_eq!(served.message("sip:alice@example.org"), 500);
    assert!(asked.elapsed() < Duration::from_secs(10), "{asked:?}");
    // What is in force stays in force.
    assert_eq!(served.message("sip:carol@example.org"), 486);
    served.wait_for("store.not_refreshed");
    server.run();
    served.message_until("sip:alice@example.org", 480);
    assert_eq!(served.message("sip:nobody@example.org"), 404);
}

#[test]
fn what_postgresql_has_to_say_is_an_event_like_any_other() {
    let database = Server::shared(SqlKind::PostgreSql).database();
    database.run(
        "CREATE FUNCTION loud(name text) RETURNS text LANGUAGE plpgsql AS \
         $$ BEGIN RAISE WARNING 'this is loud'; RETURN NULL; END $$",
    );
    let served = Served::start_with(
        &database,
        "LogLevel = DEBUG\nDomains = example.org\nDatabase7CustomUserAuthQuery = SELECT loud('$user')\n",
    );
    database.store().put(&[user("alice", "h")]).unwrap();
    // A row without a hash is a user.
    assert_eq!(served.message("sip:nobody@example.org"), 480);
    let said = served.wait_for("this is loud");
    let line = said.lines().last().unwrap_or_default();
    assert!(
        line.contains("DEBUG") && line.contains("store.notice place="),
        "{line}"
    );
    assert!(line.contains("severity=\"WARNING\""), "{line}");
}

pub(crate) fn filters_that_decide_otherwise_than_meant_are_told(kind: SqlKind) {
    let server = Server::shared(kind);
    let database = server.database();
    let filter = |to: &str, action, data: &str| {
        Record::Filter(Filter {
            cond1_header: "To".into(),
            cond1_regex: to.into(),
            action,
            action_data: data.into(),
            ..Filter::default()
        })
    };
    let sql = FilterAction::Sql;
    let domain = Domain {
        domain: "example.org".into(),
        tls_port: 0,
    };
    let store = database.store();
    store.put(&[Record::Domain(domain)]).unwrap();
    store
        .put(&[
            filter("<sip:nonsense@", sql, "SELECT 'nonsense'"),
            filter("<sip:norow@", sql, "SELECT '0' FROM users"),
            filter("<sip:null@", sql, "SELECT NULL"),
            filter("<sip:good@", sql, "SELECT '486, Not Now'"),
            filter("<sip:(a|aa)+\\1c@", FilterAction::Reject, "403"),
        ])
        .unwrap();
    let served = Served::start(&database);
    assert_eq!(served.message("sip:good@example.org"), 486);
    let costly = "a".repeat(1500);
    for (to, status, told) in [
        (
            "nonsense",
            480,
            "filter.no_answer query=\"SELECT 'nonsense'\"",
        ),
        (
            "norow",
            500,
            "filter.no_answer query=\"SELECT '0' FROM users\"",
        ),
        ("null", 500, "filter.no_answer query=\"SELECT NULL\""),
        (
            costly.as_str(),
            403,
            "filter.undecided filter=\"To:<sip:(a|aa)",
        ),
    ] {
        let said = || {
            assert_eq!(served.message(&format!("sip:{to}@example.org")), status);
            served.log.try_iter().any(|line| line.contains(told))
        };
        // One line a second of all of them.
        let until = Instant::now() + PATIENCE;
        while !said() {
            assert!(Instant::now() < until, "{told}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

pub(crate) fn a_missing_table_is_told_before_anybody_asks_it(kind: SqlKind) {
    let server = Server::shared(kind);
    let database = server.database();
    let (directory, _) = configured(&database);
    let run = |arguments: &[&str]| run_in(&directory, arguments, "");
    let check = ["check", "repro.config", "--MessageSiloEnabled=true"];
    let (status, whole) = run(&check);
    assert_eq!(status, Some(1), "{whole}");
    assert!(whole.contains("user 0, identity 0, silo 0"), "{whole}");
    assert!(!whole.contains("no table"), "{whole}");
    // The server goes on without these, and says what that means.
    database.run("DROP TABLE tlsPeerIdentity");
    database.run("DROP TABLE siloavp");
    let (status, said) = run(&check);
    assert_eq!(status, Some(1), "{said}");
    for word in [
        "user 0, identity unknown, silo unknown",
        "whoever only they would let in is refused",
        "no message can be kept",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let served = Served::start(&database);
    let said = &served.started;
    assert!(
        said.contains("config.note") && said.contains("whoever only they would let in is refused"),
        "{said}"
    );
    drop(served);
    // Without this one it could answer nobody.
    database.run("DROP TABLE users");
    let (status, checked) = run(&check);
    assert_eq!(status, Some(2), "{checked}");
    let (status, started) = run(&["repro.config"]);
    assert_eq!(status, Some(1), "{started}");
    for said in [checked, started] {
        let line = said.lines().find(|line| line.contains("no table"));
        assert!(
            line.is_some_and(|line| line.contains("users") && line.contains("conf/sql")),
            "{said}"
        );
    }
}

/// Each record of a store, in the order of tables and of the octets of keys.
fn everything(store: &dyn Store) -> Vec<Record> {
    let mut records: Vec<Record> = Table::ALL
        .into_iter()
        .flat_map(|table| all(store, table))
        .collect();
    records.sort_by_key(|record| (record.table(), record.key()));
    records
}

pub(crate) fn a_data_base_is_imported_into_a_store_of_ours(kind: SqlKind) {
    let server = Server::shared(kind);
    let database = server.database();
    let source = database.store();
    for records in one_of_each() {
        source.put(&records).unwrap();
    }
    let (directory, _) = configured(&database);
    let run = |arguments: &[&str]| run_in(&directory, arguments, "");
    let path = |name: &str| directory.path().join(name);
    // Where the records go is one thing, which data base they come from another.
    let own = ["--store", "own.db"];
    let (status, said) = run(&[&["import", "Database7", "--dry-run"], &own[..]].concat());
    assert!(status == Some(0) && said.contains("2 added"), "{said}");
    assert!(!path("own.db").exists());
    let (status, said) = run(&[&["import", "database7"], &own[..]].concat());
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains("not there"), "{said}");
    let imported = Embedded::open(&path("own.db"), Access::ReadOnly).unwrap();
    assert_eq!(everything(&imported), everything(&source));
    let (status, said) = run(&[&["import", "Database7"], &own[..]].concat());
    assert!(status == Some(0) && !said.contains("1 added"), "{said}");
    // Or into the store of another configuration that knows the data base.
    let text = std::fs::read_to_string(path("repro.config")).unwrap();
    let text = text.replace("DefaultDatabase = 7\n", "") + "ControlSocket =\n";
    std::fs::write(path("new.config"), text).unwrap();
    let (status, said) = run(&["import", "Database7", "--config", "new.config"]);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = run(&["user", "list", "--config", "new.config"]);
    assert!(status == Some(0) && said.contains("alice"), "{said}");
}

pub(crate) fn what_cannot_be_imported_of_a_data_base_is_told(kind: SqlKind) {
    let server = Server::shared(kind);
    let database = server.database();
    database.store().put(&[user("alice", "h")]).unwrap();
    let (directory, _) = configured(&database);
    std::fs::write(directory.path().join("a.file"), "").unwrap();
    let import = |arguments: &[&str]| run_in(&directory, &[&["import"], arguments].concat(), "");
    let own = ["--store", "own.db"];
    for (situation, arguments, why) in [
        (
            "into itself",
            &["Database7"][..],
            "name a file for one by --store",
        ),
        (
            "a number that nothing has",
            &["Database9", "--store", "x.db"],
            "there is no Database9Type",
        ),
        (
            "a configuration that is not there",
            &["Database7", "--store", "x.db", "--config", "no.config"],
            "Database7 is a data base of the configuration, which is no.config",
        ),
        (
            "a file",
            &["a.file", "--store", "x.db"],
            "or the word Database1",
        ),
        (
            "nothing",
            &["Databse7", "--store", "x.db"],
            "or the word Database1",
        ),
    ] {
        let (status, said) = import(arguments);
        assert_eq!(status, Some(1), "{situation}: {said}");
        assert!(said.contains(why), "{situation}: {said}");
        assert!(!directory.path().join("x.db").exists(), "{situation}");
    }
    // A table that repro's older scripts do not make is missed, and the rest comes.
    database.run("DROP TABLE siloavp");
    let (status, said) = import(&[&["Database7"], &own[..]].concat());
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("not there: silo\n"), "{said}");
    if kind == SqlKind::PostgreSql {
        // As repro's script leaves it.
        database.run("REVOKE ALL ON tlsPeerIdentity FROM sip");
        let (status, said) = import(&[&["Database7"], &own[..]].concat());
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("not read: identity: "), "{said}");
        assert!(said.contains("1 same"), "{said}");
    }
    let empty = server.empty();
    let (directory, _) = configured(&empty);
    let (status, said) = run_in(&directory, &["import", "Database7", "--store", "x.db"], "");
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("no table"), "{said}");
}
