//! Real servers in temporary directories: a PostgreSQL and a MariaDB that all cases share, and some that are killed.
//!
//! Each runs under a small shell of its own that waits at a pipe from this process. When the pipe closes, however this
//! process ends, the shell ends its server by its id and takes the directory away.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use sipvouch::store::sql::SqlStore;
use sipvouch::store::{Password, SqlKind, SqlOptions, SqlTls};

use crate::ports::free_port;

/// The password of the user that the store comes as.
pub(crate) const PASSWORD: &str = "sip-pw-8c1f";

const KEEPER: &str = r#"
directory=$1 signal=$2
shift 2
"$@" >"$directory/log" 2>&1 </dev/null &
server=$!
echo "$server"
word=
read -r word || true
kill "-$signal" "$server" 2>/dev/null
wait "$server"
[ "$word" = keep ] || rm -rf "$directory"
"#;

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: SqlKind,
    directory: PathBuf,
    port: u16,
    tls: bool,
    running: Mutex<Option<Running>>,
    databases: AtomicU32,
}

#[derive(Debug)]
struct Running {
    keeper: Child,
    server: Pid,
}

impl Server {
    /// The one that all cases share.
    pub(crate) fn shared(kind: SqlKind) -> &'static Self {
        static POSTGRESQL: OnceLock<Server> = OnceLock::new();
        static MARIADB: OnceLock<Server> = OnceLock::new();
        match kind {
            SqlKind::PostgreSql => POSTGRESQL.get_or_init(|| Server::make(kind, true)),
            SqlKind::MySql => MARIADB.get_or_init(|| Server::make(kind, true)),
        }
    }

    /// Makes a server of its own, without TLS, and starts it.
    pub(crate) fn start(kind: SqlKind) -> Self {
        Self::make(kind, false)
    }

    fn make(kind: SqlKind, tls: bool) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("sipvouch-sql-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("mode");
        let server = Self {
            kind,
            directory,
            port: free_port(),
            tls,
            running: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        own(&server.directory, server.account());
        server.certificate();
        server.create();
        server.run();
        server.people();
        server
    }

    fn account(&self) -> &'static str {
        match self.kind {
            SqlKind::PostgreSql => "postgres",
            SqlKind::MySql => "mysql",
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// The certificate of the server, which is its own CA, and that of nobody. Its name is `localhost`, not the address.
    fn certificate(&self) {
        for name in ["server", "other"] {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
                .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
                .args(["-subj", "/CN=localhost", "-addext"])
                .args(["subjectAltName=DNS:localhost", "-keyout"])
                .args([&self.path(&format!("{name}.key")), "-out"])
                .arg(self.path(&format!("{name}.crt")))
                .output()
                .expect("openssl");
            assert!(made.status.success(), "{made:?}");
            let key = PathBuf::from(self.path(&format!("{name}.key")));
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("mode");
            own(&key, self.account());
        }
    }

    fn create(&self) {
        let data = self.path("data");
        let mut command = match self.kind {
            SqlKind::PostgreSql => {
                let mut command = as_account("postgres", &program("initdb"));
                command.args(["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8"]);
                command.args(["--locale=C.UTF-8", "-D", &data]);
                command
            }
            SqlKind::MySql => {
                let mut command = as_account("mysql", &program("mariadb-install-db"));
                command.args(["--no-defaults", &format!("--datadir={data}")]);
                // A server that starts throws away what others are just using in the same directory.
                command.arg(format!("--tmpdir={}", self.directory.display()));
                command.args([
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                    "--skip-name-resolve",
                ]);
                command
            }
        };
        let made = command
            .current_dir(&self.directory)
            .output()
            .expect("the program that makes a data directory");
        assert!(made.status.success(), "{made:?}");
        if self.kind == SqlKind::PostgreSql {
            fs::write(
                self.directory.join("data/pg_hba.conf"),
                "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
            )
            .expect("pg_hba.conf");
        }
    }

    /// Starts the server, again after a kill, and waits until it answers.
    pub(crate) fn run(&self) {
        let directory = self.directory.display().to_string();
        let (signal, server) = match self.kind {
            SqlKind::PostgreSql => {
                let mut command = as_account("postgres", &program("postgres"));
                command.args(["-D", &self.path("data"), "-p", &self.port.to_string()]);
                for set in [
                    "listen_addresses=127.0.0.1".to_owned(),
                    format!("unix_socket_directories={directory}"),
                    "fsync=off".to_owned(),
                    format!("ssl={}", if self.tls { "on" } else { "off" }),
                    format!("ssl_cert_file={}", self.path("server.crt")),
                    format!("ssl_key_file={}", self.path("server.key")),
                ] {
                    command.args(["-c", &set]);
                }
                ("QUIT", command)
            }
            SqlKind::MySql => {
                let mut command = as_account("mysql", &program("mariadbd"));
                command.args([
                    "--no-defaults".to_owned(),
                    format!("--datadir={}", self.path("data")),
                    format!("--tmpdir={directory}"),
                    format!("--socket={}", self.path("socket")),
                    format!("--pid-file={}", self.path("pid")),
                    format!("--port={}", self.port),
                    "--bind-address=127.0.0.1".to_owned(),
                    "--skip-name-resolve".to_owned(),
                    "--innodb-flush-log-at-trx-commit=2".to_owned(),
                    "--innodb-buffer-pool-size=16M".to_owned(),
                    "--performance-schema=off".to_owned(),
                ]);
                if self.tls {
                    command.arg(format!("--ssl-cert={}", self.path("server.crt")));
                    command.arg(format!("--ssl-key={}", self.path("server.key")));
                } else {
                    command.arg("--skip-ssl");
                }
                ("KILL", command)
            }
        };
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", &directory, signal])
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let mut line = String::new();
        let output = keeper.stdout.take().expect("the keeper's output");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the server's id");
        let server = Pid::from_raw(line.trim().parse().expect("the server's id"));
        *self.running.lock().unwrap() = Some(Running { keeper, server });
        let until = Instant::now() + Duration::from_secs(60);
        while self.try_admin("SELECT 1").is_err() {
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(Instant::now() < until, "no server: {}", log());
            thread::sleep(Duration::from_millis(50));
        }
        assert!(TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Kills the server as a crash would, and waits until nothing of it is left.
    pub(crate) fn crash(&self) {
        let Some(mut running) = self.running.lock().unwrap().take() else {
            return;
        };
        let children = children(running.server);
        kill(running.server, Signal::SIGKILL).expect("the server's id");
        for child in &children {
            // It may have ended with its parent.
            let _ = kill(*child, Signal::SIGKILL);
        }
        let stdin = running.keeper.stdin.as_mut().expect("the pipe");
        stdin.write_all(b"keep\n").expect("the pipe");
        running.keeper.wait().expect("the keeper");
        let until = Instant::now() + Duration::from_secs(10);
        while children.iter().any(|child| kill(*child, None).is_ok()) {
            assert!(Instant::now() < until, "a child of the server goes on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the server as a hanging machine would, and lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let running = self.running.lock().unwrap();
        let server = running.as_ref().expect("a running server").server;
        let signal = if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        let mut all = vec![server];
        all.extend(children(server));
        for process in &all {
            let _ = kill(*process, signal);
        }
        // A thread that has a processor of its own answers until the signal has come to it.
        let deadline = Instant::now() + Duration::from_secs(10);
        while frozen && !all.iter().all(|process| has_stopped(*process)) {
            assert!(Instant::now() < deadline, "it does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Runs statements as the administrator of the server.
    pub(crate) fn admin(&self, sql: &str) {
        self.try_admin(sql)
            .unwrap_or_else(|why| panic!("{sql}: {why}"));
    }

    fn try_admin(&self, sql: &str) -> Result<(), String> {
        self.run_in("", sql)
    }

    fn run_in(&self, database: &str, sql: &str) -> Result<(), String> {
        match self.kind {
            SqlKind::PostgreSql => {
                let mut config = postgres::Config::new();
                config.host(&self.directory.display().to_string());
                config.port(self.port).user("postgres");
                config.dbname(if database.is_empty() {
                    "postgres"
                } else {
                    database
                });
                let mut client = config
                    .connect(postgres::NoTls)
                    .map_err(|error| format!("{error:?}"))?;
                client
                    .batch_execute(sql)
                    .map_err(|error| format!("{error:?}"))
            }
            SqlKind::MySql => {
                let opts = mysql::OptsBuilder::new()
                    .socket(Some(self.path("socket")))
                    .user(Some("root"))
                    .db_name(Some(database.to_owned()).filter(|name| !name.is_empty()));
                let mut conn = mysql::Conn::new(opts).map_err(|error| error.to_string())?;
                conn.query_drop(sql).map_err(|error| error.to_string())
            }
        }
    }

    fn people(&self) {
        match self.kind {
            SqlKind::PostgreSql => {
                self.admin(&format!("CREATE ROLE sip LOGIN PASSWORD '{PASSWORD}'"))
            }
            SqlKind::MySql => {
                self.admin(&format!("CREATE USER sip@'%' IDENTIFIED BY '{PASSWORD}'"))
            }
        }
    }

    /// A new data base without tables.
    pub(crate) fn empty(&self) -> Database<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("repro{number}");
        match self.kind {
            SqlKind::PostgreSql => self.admin(&format!("CREATE DATABASE {name} OWNER sip")),
            SqlKind::MySql => {
                self.admin(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
                self.admin(&format!("GRANT ALL ON {name}.* TO sip@'%'"));
            }
        }
        Database { server: self, name }
    }

    /// A new data base with the tables of `conf/sql`.
    pub(crate) fn database(&self) -> Database<'_> {
        let database = self.empty();
        let file = match self.kind {
            SqlKind::PostgreSql => "conf/sql/postgresql.sql",
            SqlKind::MySql => "conf/sql/mysql.sql",
        };
        let sql = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect(file);
        database.run(&sql);
        database
    }

    /// Where its Unix socket is, as the setting of a host has it.
    pub(crate) fn socket(&self) -> String {
        match self.kind {
            SqlKind::PostgreSql => self.directory.display().to_string(),
            SqlKind::MySql => self.path("socket"),
        }
    }

    /// The PEM file of the CA of the server's certificate, or of somebody else.
    pub(crate) fn ca(&self, right: bool) -> PathBuf {
        self.directory
            .join(if right { "server.crt" } else { "other.crt" })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let running = self.running.get_mut().map(Option::take);
        if let Ok(Some(mut running)) = running {
            drop(running.keeper.stdin.take());
            let _ = running.keeper.wait();
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// A data base of a server.
#[derive(Debug)]
pub(crate) struct Database<'a> {
    pub(crate) server: &'a Server,
    name: String,
}

impl Database<'_> {
    /// Runs statements as the user of the store would, so that what they make is that user's.
    pub(crate) fn run(&self, sql: &str) {
        let sql = match self.server.kind {
            SqlKind::PostgreSql => format!("SET ROLE sip; {sql}"),
            SqlKind::MySql => sql.to_owned(),
        };
        self.server
            .run_in(&self.name, &sql)
            .unwrap_or_else(|why| panic!("{sql}: {why}"));
    }

    /// How to get there.
    pub(crate) fn options(&self) -> SqlOptions {
        SqlOptions {
            kind: self.server.kind,
            host: "127.0.0.1".into(),
            port: self.server.port,
            database: self.name.clone(),
            user: "sip".into(),
            password: Password::new(PASSWORD),
            conninfo: Password::default(),
            prefix: String::new(),
            user_query: None,
            tls_query: None,
            tls: SqlTls::Prefer,
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            query_timeout: Duration::from_secs(10),
            pool: 4,
        }
    }

    /// A store there.
    pub(crate) fn store(&self) -> SqlStore {
        SqlStore::open(&self.options()).expect("options that can be used")
    }
}

fn own(path: &Path, account: &str) {
    if geteuid().is_root() {
        let user = User::from_name(account)
            .expect("the list of users")
            .unwrap_or_else(|| panic!("no user {account}"));
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
    }
}

/// The servers refuse to run as root.
fn as_account(account: &str, program: &Path) -> Command {
    if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            account,
            "--regid",
            account,
            "--clear-groups",
            "--",
        ]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// A program that Debian keeps out of PATH.
fn program(name: &str) -> PathBuf {
    let mut places: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    places.push("/usr/sbin".into());
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    places
        .iter()
        .map(|place| place.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: scripts/install-test-peers"))
}

fn children(process: Pid) -> Vec<Pid> {
    fs::read_to_string(format!("/proc/{process}/task/{process}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|id| id.parse().ok().map(Pid::from_raw))
        .collect()
}

/// Whether every thread of a process has stopped, or the process is gone.
fn has_stopped(process: Pid) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status"));
        status.map_or(true, |status| status.contains("State:\tT"))
    })
}
