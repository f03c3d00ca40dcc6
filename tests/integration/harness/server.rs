//! A `sipvouch` process in its own directory: started, watched, and ended whatever the test does.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sipvouch::store::embedded::{Access, Embedded};
use tempfile::TempDir;

use super::name_server::Server as NameServer;
use super::pki::Pki;
use super::ports::free_port;

/// From the start of the process to `server.ready`; generous, because the machine may be busy with other tests.
const START: Duration = Duration::from_secs(20);

/// Files and settings of a server to be.
#[derive(Debug)]
pub(crate) struct Setup {
    dir: TempDir,
    config: String,
    overrides: Vec<(String, String)>,
}

/// A name server that knows no name: no test asks any other unless it says so.
fn nobody_has_a_name() -> SocketAddr {
    static SERVER: OnceLock<NameServer> = OnceLock::new();
    SERVER.get_or_init(|| NameServer::new(&[])).address()
}

impl Setup {
    /// A directory with `repro.config` holding this text, and `certs/` in the legacy layout.
    pub(crate) fn new(config: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sipvouch-test-")
            .tempdir()
            .expect("a directory");
        Pki::get().copy_folder("legacy", &dir.path().join("certs"));
        Self {
            dir,
            config: config.to_owned(),
            overrides: Vec::new(),
        }
    }

    /// A server that judges certificates: TLS and TCP on loopback, domain example.org, no digest.
    pub(crate) fn usual() -> Self {
        Self::new(
            "TLSDomainName = example.org\nCertificatePath = certs\nTLSClientVerification = Optional\n\
             EnableCertificateAuthenticator = true\nDisableAuth = true\n",
        )
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The same directory with another configuration.
    pub(crate) fn with(mut self, config: &str) -> Self {
        config.clone_into(&mut self.config);
        self
    }

    /// One more `--Name=value`; a later one replaces an earlier one.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.overrides.retain(|(n, _)| n != name);
        self.overrides.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command, with its configuration written and free ports chosen.
    pub(crate) fn command(&self) -> Command {
        fs::write(self.dir.path().join("repro.config"), &self.config).expect("repro.config");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sipvouch"));
        let plain = free_port().to_string();
        let mut settings = vec![
            ("LoggingType".to_owned(), "cerr".to_owned()),
            ("LogLevel".to_owned(), "INFO".to_owned()),
            ("IPAddress".to_owned(), "127.0.0.1".to_owned()),
            ("TLSPort".to_owned(), free_port().to_string()),
            ("TCPPort".to_owned(), plain.clone()),
            ("UDPPort".to_owned(), plain),
            ("HttpPort".to_owned(), "0".to_owned()),
            ("CommandPort".to_owned(), "0".to_owned()),
            // Of a slow machine it is wanted that it answers, not that it does so soon.
            (
                "CongestionManagementTolerance".to_owned(),
                "10000".to_owned(),
            ),
            ("DNSServers".to_owned(), nobody_has_a_name().to_string()),
        ];
        for (name, value) in &self.overrides {
            settings.retain(|(n, _)| n != name);
            settings.push((name.clone(), value.clone()));
        }
        command
            .current_dir(self.dir.path())
            .arg("repro.config")
            .args(
                settings
                    .iter()
                    .map(|(name, value)| format!("--{name}={value}")),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `sipvouch` with other arguments in the same directory, to its end: exit status and all it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        fs::write(self.dir.path().join("repro.config"), &self.config).expect("repro.config");
        let done = Command::new(env!("CARGO_BIN_EXE_sipvouch"))
            .current_dir(self.dir.path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the sipvouch binary");
        let printed = [done.stdout, done.stderr].concat();
        (
            done.status.code(),
            String::from_utf8_lossy(&printed).into_owned(),
        )
    }

    /// As `run`, with something to read on standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> (Option<i32>, String) {
        use std::io::Write as _;
        fs::write(self.dir.path().join("repro.config"), &self.config).expect("repro.config");
        let mut child = Command::new(env!("CARGO_BIN_EXE_sipvouch"))
            .current_dir(self.dir.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the sipvouch binary");
        let mut stdin = child.stdin.take().expect("its standard input");
        // One that does not read it has its reasons, and says them.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let done = child.wait_with_output().expect("its end");
        let printed = [done.stdout, done.stderr].concat();
        (
            done.status.code(),
            String::from_utf8_lossy(&printed).into_owned(),
        )
    }

    /// Makes the store that there is not yet before a first start.
    pub(crate) fn make_store(&self) {
        let store = self.dir().join(sipvouch::store::STORE_FILE);
        if !store.exists() {
            Embedded::open(&store, Access::Create).expect("a store");
        }
    }

    /// Puts a user into the store, with the password `pw`.
    pub(crate) fn add_user(&self, user: &str) {
        self.make_store();
        let (status, said) = self.run_with_input(&["user", "add", user], "pw\n");
        assert_eq!(status, Some(0), "user add {user}: {said}");
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it does not: with all that it said.
    pub(crate) fn start(self) -> Server {
        let mut said = String::new();
        for _ in 0..5 {
            let mut running = Running::spawn(&mut self.command());
            if let Some(ready) = running
                .log
                .wait_for("server.ready", START, || running.child.try_wait())
            {
                let tls = listener(&ready, "tls");
                let tcp = listener(&ready, "tcp");
                let udp = listener(&ready, "udp");
                return Server {
                    running,
                    tls,
                    tcp,
                    udp,
                    setup: self,
                };
            }
            said = running.log.text();
            if !said.contains("in use") {
                break;
            }
        }
        panic!("the server did not start; it said:\n{said}");
    }
}

/// The address behind `kind=` in the ready line.
fn listener(ready: &str, kind: &str) -> Option<SocketAddr> {
    let (_, fields) = ready.split_once("server.ready")?;
    fields
        .split_whitespace()
        .filter_map(|field| field.split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case(kind))
        .and_then(|(_, address)| address.parse().ok())
}

/// Runs a command that must end by itself; its exit status and all it printed, or `None` when it still runs then.
pub(crate) fn run_to_end(setup: &Setup, patience: Duration) -> (Option<ExitStatus>, String) {
    let mut running = Running::spawn(&mut setup.command());
    let deadline = Instant::now() + patience;
    let status = loop {
        match running.child.try_wait().expect("state of the process") {
            Some(status) => break Some(status),
            None if Instant::now() > deadline || running.log.has("server.ready") => break None,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    running.end();
    (status, running.log.text())
}

/// A server that serves.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    tls: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    udp: Option<SocketAddr>,
    setup: Setup,
}

impl Server {
    /// Its first TLS listener.
    pub(crate) fn tls(&self) -> SocketAddr {
        self.tls.expect("a TLS listener in server.ready")
    }

    /// Its first TCP listener.
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.tcp.expect("a TCP listener in server.ready")
    }

    /// Its first UDP listener.
    pub(crate) fn udp(&self) -> SocketAddr {
        self.udp.expect("a UDP listener in server.ready")
    }

    /// What it was started from, to run commands beside it.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        self.setup.dir()
    }

    /// All it logged so far.
    pub(crate) fn log(&self) -> String {
        self.running.log.text()
    }

    /// Waits for a line with any of `texts` in it, from line number `from` on, which then moves behind that line.
    pub(crate) fn wait_after(
        &self,
        from: &mut usize,
        texts: &[&str],
        patience: Duration,
    ) -> Option<String> {
        self.running.log.wait_after(from, texts, patience)
    }

    /// The number of lines logged so far: a place to wait from.
    pub(crate) fn lines(&self) -> usize {
        self.running.log.lines()
    }

    /// Whether the process lives.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.running.child.try_wait(), Ok(None))
    }

    /// Number of the process.
    pub(crate) fn number(&self) -> i32 {
        self.running.pid().as_raw()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.running.pid(), signal).expect("a signal to our own child");
    }

    /// Asks it to reload.
    pub(crate) fn sighup(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.running.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// kill -9; what is left.
    pub(crate) fn kill(mut self) -> Setup {
        self.running.end();
        self.setup
    }

    /// kill -9, then the same again in the same directory: nothing is cleaned up by hand.
    pub(crate) fn kill_and_restart(self) -> Self {
        self.kill().start()
    }

    /// Resident memory, in KiB.
    pub(crate) fn rss(&self) -> u64 {
        let status = self.proc("status");
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok())
            .expect("VmRSS of the server")
    }

    /// Open descriptors but those of the store: each lookup thread opens it the first time that it is asked something.
    pub(crate) fn descriptors(&self) -> usize {
        let is_of_store = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(sipvouch::store::STORE_FILE)
        };
        fs::read_dir(format!("/proc/{}/fd", self.running.pid()))
            .expect("descriptors of the server")
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|path| !is_of_store(path))
            .count()
    }

    /// Threads, by name.
    pub(crate) fn threads(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(format!("/proc/{}/task", self.running.pid()))
            .expect("threads of the server")
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect();
        names.sort();
        names
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.running.pid())).expect("a living server")
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    log: Log,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the sipvouch binary");
        let log = Log::default();
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|pipe| log.collect(pipe)));
        readers.extend(child.stderr.take().map(|pipe| log.collect(pipe)));
        Self {
            child,
            log,
            readers,
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// Ends the process, if it did not end itself, and takes its last lines.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The lines of a process, as they come.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn collect(&self, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { return };
                log.push(String::from_utf8_lossy(&line).into_owned());
            }
        })
    }

    pub(super) fn push(&self, line: String) {
        let (lines, more) = &*self.0;
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
        more.notify_all();
    }

    pub(super) fn text(&self) -> String {
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n")
    }

    fn has(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    fn count(&self, text: &str) -> usize {
        let lines = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(text)).count()
    }

    fn lines(&self) -> usize {
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(super) fn wait_after(
        &self,
        from: &mut usize,
        texts: &[&str],
        patience: Duration,
    ) -> Option<String> {
        let deadline = Instant::now() + patience;
        let mut lines = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while let Some(line) = lines.get(*from) {
                *from += 1;
                if texts.iter().any(|text| line.contains(text)) {
                    return Some(line.clone());
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            lines = self
                .0
                .1
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The first line with `text`; `None` at the deadline or when the process has ended without it.
    fn wait_for(
        &self,
        text: &str,
        patience: Duration,
        mut end: impl FnMut() -> std::io::Result<Option<ExitStatus>>,
    ) -> Option<String> {
        let deadline = Instant::now() + patience;
        let mut ended = false;
        loop {
            {
                let lines = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
                let (lines, _) = self
                    .0
                    .1
                    .wait_timeout_while(lines, Duration::from_millis(50), |lines| {
                        !lines.iter().any(|line| line.contains(text))
                    })
                    .unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                    return Some(line.clone());
                }
            }
            if ended || Instant::now() > deadline {
                return None;
            }
            // One more round after the end: the last lines may still be in the pipe.
            ended = matches!(end(), Ok(Some(_)));
        }
    }
}
