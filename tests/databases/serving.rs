//! A server whose users and rules are in a data base: what it answers while that is there, gone, and there again.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use sipvouch::store::{Domain, Filter, FilterAction, Record, SqlKind, Store as _};
use tempfile::TempDir;

use crate::cases::user;
use crate::ports::free_port;
use crate::servers::{Database, PASSWORD, Server};

const PATIENCE: Duration = Duration::from_secs(20);

/// A sipvouch on plain TCP that believes every From: what comes after admission is seen.
struct Served {
    child: Child,
    port: u16,
    directory: TempDir,
    log: Receiver<String>,
}

impl Served {
    fn start(database: &Database<'_>) -> Self {
        Self::start_with(database, "")
    }

    fn start_with(database: &Database<'_>, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let kind = match database.server.kind {
            SqlKind::PostgreSql => "PostgreSQL",
            SqlKind::MySql => "MySQL",
        };
        let options = database.options();
        let text = format!(
            "LoggingType = cerr\nIPAddress = 127.0.0.1\nUDPPort = 0\nTLSPort = 0\nWSPort = 0\nWSSPort = 0\n\
             TCPPort = {port}\nDisableAuth = true\nEnableCertificateAuthenticator = false\nUserCacheTime = 0\n\
             UserCacheNegativeTime = 0\nDatabaseQueryTimeout = 1\nDatabaseRefreshInterval = 1\nDefaultDatabase = 7\n\
             Database7Type = {kind}\nDatabase7Host = 127.0.0.1\nDatabase7Port = {}\nDatabase7DatabaseName = {}\n\
             Database7User = {}\nDatabase7Password = {PASSWORD}\n{more}",
            options.port, options.database, options.user
        );
        std::fs::write(directory.path().join("repro.config"), text).unwrap();
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
        let own = Self {
            child,
            port,
            directory,
            log,
        };
        own.wait_for("server.ready");
        own
    }

    /// The next line with this in it.
    fn wait_for(&self, word: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut said = String::new();
        while let Ok(line) = self
            .log
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            assert!(!line.contains(PASSWORD), "{line}");
            if line.contains(word) {
                return line;
            }
            let _ = writeln!(said, "{line}");
        }
        panic!("no {word}:\n{said}");
    }

    fn run(&self, arguments: &[&str], input: &str) -> (Option<i32>, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sipvouch"))
            .current_dir(self.directory.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let done = child.wait_with_output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (
            done.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
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
    let line = served.wait_for("this is loud");
    assert!(
        line.contains("DEBUG") && line.contains("store.notice place="),
        "{line}"
    );
    assert!(line.contains("severity=\"WARNING\""), "{line}");
}

pub(crate) fn a_data_base_is_imported_into_a_store_of_ours(kind: SqlKind) {
    let server = Server::shared(kind);
    let database = server.database();
    database.store().put(&[user("alice", "h")]).unwrap();
    let served = Served::start(&database);
    let store = served.directory.path().join("own.db");
    let store = store.to_str().unwrap();
    // Where the records go is one thing, which data base they come from another.
    std::fs::write(
        served.directory.path().join("new.config"),
        std::fs::read_to_string(served.directory.path().join("repro.config"))
            .unwrap()
            .replace("DefaultDatabase = 7\n", "")
            + "ControlSocket =\n",
    )
    .unwrap();
    let (status, said) = served.run(&["import", "Database7", "--config", "new.config"], "");
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = served.run(&["user", "list", "--config", "new.config"], "");
    assert!(status == Some(0) && said.contains("alice"), "{said}");
    let (status, said) = served.run(&["import", "Database7", "--store", store], "");
    assert_eq!(
        status,
        Some(1),
        "without a configuration it is a directory: {said}"
    );
}
