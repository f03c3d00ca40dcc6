//! sipp 3.6 and its own statistics, and socat as its TLS: Debian's sipp has none. The scenarios are in `tests/sipp`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::baresip::Transport;
use super::pki::Pki;
use super::ports::free_port;
use super::process::Watched;
use super::tests_dir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A run of sipp to be. The domain is example.org, and alice calls.
#[derive(Debug, Clone)]
pub(crate) struct Sipp {
    scenario: &'static str,
    out_of_call: Option<&'static str>,
    to: Option<SocketAddr>,
    at: SocketAddr,
    transport: Transport,
    socket_per_call: bool,
    calls: usize,
    rate: usize,
    callee: String,
    lines: Vec<String>,
}

impl Sipp {
    /// Runs one of `tests/sipp`.
    pub(crate) fn new(scenario: &'static str) -> Self {
        Self {
            scenario,
            out_of_call: None,
            to: None,
            at: SocketAddr::from(([127, 0, 0, 1], free_port())),
            transport: Transport::Udp,
            socket_per_call: false,
            calls: 1,
            rate: 100,
            callee: "bob".to_owned(),
            lines: Vec::new(),
        }
    }

    /// Where it sends to; without it, it waits for calls.
    pub(crate) fn to(mut self, address: SocketAddr) -> Self {
        self.to = Some(address);
        self
    }

    /// What it says in Via and Contact. With TLS `to` is a [`Tunnel`].
    pub(crate) fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// A connection of its own for each call.
    pub(crate) fn with_a_socket_per_call(mut self) -> Self {
        self.socket_per_call = true;
        self
    }

    /// The scenario for requests that begin a call while it is in another.
    pub(crate) fn answering(mut self, scenario: &'static str) -> Self {
        self.out_of_call = Some(scenario);
        self
    }

    /// How many calls, and how many of them a second.
    pub(crate) fn calls(mut self, calls: usize, rate: usize) -> Self {
        self.calls = calls;
        self.rate = rate;
        self
    }

    /// Who is called, in place of bob.
    pub(crate) fn callee(mut self, user: &str) -> Self {
        user.clone_into(&mut self.callee);
        self
    }

    /// What each call has in place of `[field0]`, `[field1]` and so on: a line with semicolons between them.
    pub(crate) fn lines(mut self, lines: Vec<String>) -> Self {
        self.lines = lines;
        self
    }

    /// Its own address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.at
    }

    /// Starts it. One that waits for calls does wait when this returns.
    pub(crate) fn start(self) -> SippRun {
        let dir = tempfile::Builder::new()
            .prefix("sipp-")
            .tempdir()
            .expect("a directory");
        let scenario = |name: &str| tests_dir().join(format!("sipp/{name}.xml"));
        let mut command = Command::new("sipp");
        command.current_dir(dir.path());
        command.arg("-sf").arg(scenario(self.scenario));
        if let Some(name) = self.out_of_call {
            command.arg("-oocsf").arg(scenario(name));
        }
        command.args(self.to.map(|to| to.to_string()));
        command.args(["-i", &self.at.ip().to_string()]);
        command.args(["-p", &self.at.port().to_string()]);
        let sockets = if self.socket_per_call { "n" } else { "1" };
        let kind = if self.transport == Transport::Udp {
            "u"
        } else {
            "t"
        };
        // It wants more descriptors than there are unless it is told how many sockets it may have.
        command.args(["-t", &format!("{kind}{sockets}"), "-max_socket", "1000"]);
        command.args(["-m", &self.calls.to_string(), "-r", &self.rate.to_string()]);
        command.args(["-l", "300", "-nostdin", "-recv_timeout", "20000"]);
        command.args(["-trace_stat", "-stf", "statistics.csv", "-fd", "1"]);
        command.args(["-trace_err", "-error_file", "errors.log"]);
        if !self.lines.is_empty() {
            let table = format!("SEQUENTIAL\n{}\n", self.lines.join("\n"));
            fs::write(dir.path().join("lines.csv"), table).expect("lines of sipp");
            command.args(["-inf", "lines.csv"]);
        }
        // A digest is for the Request-URI of a REGISTER; without this, sipp makes it for the address that it sends to.
        command.args(["-auth_uri", "example.org"]);
        let via = self.transport.name().to_ascii_uppercase();
        command.args(["-key", "via", &via]);
        let words = [
            ("domain", "example.org"),
            ("caller", "alice"),
            ("callee", &self.callee),
        ];
        for (key, value) in words {
            command.args(["-key", key, value]);
        }
        let mut run = SippRun {
            process: Watched::spawn(&mut command),
            dir,
            datagrams: self.transport == Transport::Udp,
        };
        if self.to.is_none() {
            run.wait_for("it does not listen", || self.is_bound());
        }
        run
    }

    /// Whether its port is taken, by the system's table of sockets: to try would be to be in its way.
    fn is_bound(&self) -> bool {
        let (table, state) = match self.transport {
            Transport::Udp => ("/proc/net/udp", ""),
            Transport::Tcp | Transport::Tls => ("/proc/net/tcp", " 0A "),
        };
        let local = format!(": 0100007F:{:04X} ", self.at.port());
        let sockets = fs::read_to_string(table).expect("the table of sockets");
        sockets
            .lines()
            .any(|line| line.contains(&local) && line.contains(state))
    }
}

/// A sipp that runs.
#[derive(Debug)]
pub(crate) struct SippRun {
    process: Watched,
    dir: tempfile::TempDir,
    datagrams: bool,
}

impl SippRun {
    /// Waits until it has done its calls; what it counted.
    ///
    /// # Panics
    /// When it does not end.
    pub(crate) fn finish(mut self, patience: Duration) -> Statistics {
        let ended = self.process.ended(patience);
        let statistics = self.statistics();
        assert!(ended.is_some(), "sipp has not ended: {statistics:#?}");
        statistics
    }

    /// Waits until [`Sipp::answering`] has taken this many calls; what was counted then, or at the latest. The counts are
    /// written once a second.
    pub(crate) fn has_answered(&mut self, calls: usize) -> Statistics {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let statistics = self.statistics();
            let goes_on = self.process.lives() && Instant::now() < deadline;
            if statistics.out_of_call >= calls || !goes_on {
                return statistics;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `enroll` is registered.
    pub(crate) fn enrolled(mut self) -> Self {
        let mark = self.dir.path().join("enrolled");
        self.wait_for("it is not registered", || mark.exists());
        self
    }

    fn wait_for(&mut self, fault: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            let goes_on = self.process.lives() && Instant::now() < deadline;
            assert!(
                goes_on,
                "sipp: {fault}: {:#?}\n{}",
                self.statistics(),
                self.process.text()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it counted so far.
    pub(crate) fn statistics(&self) -> Statistics {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        let table = read("statistics.csv");
        let mut whole = table
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let names = whole.next().unwrap_or_default();
        let values = whole.next_back().unwrap_or_default();
        let counted: BTreeMap<&str, &str> = names.split(';').zip(values.split(';')).collect();
        let count = |name: &str| {
            let value = counted.get(format!("{name}(C)").as_str());
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        let mut failures: BTreeMap<String, usize> = BTreeMap::new();
        for (name, value) in &counted {
            // FailedUnexpectedMessage(C), FailedTimeoutOnRecv(C) and a dozen more.
            let cause = name
                .strip_prefix("Failed")
                .and_then(|name| name.strip_suffix("(C)"));
            if let (Some(cause), Ok(count @ 1..)) = (cause, value.parse()) {
                failures.insert(cause.to_owned(), count);
            }
        }
        Statistics {
            datagrams: self.datagrams,
            successful: count("SuccessfulCall"),
            failed: count("FailedCall"),
            failures,
            retransmissions: count("Retransmissions"),
            out_of_call: count("AutoAnswered"),
            stray: count("OutOfCallMsgs") + count("DeadCallMsgs"),
            errors: read("errors.log").chars().take(2000).collect(),
        }
    }
}

/// What sipp counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statistics {
    /// Whether it talks over UDP.
    datagrams: bool,
    successful: usize,
    failed: usize,
    /// Why calls failed, in sipp's words.
    failures: BTreeMap<String, usize>,
    retransmissions: usize,
    /// Calls that the scenario of [`Sipp::answering`] took: automatic answers, as sipp sees them.
    out_of_call: usize,
    /// Messages that belong to no call, or to one that has ended.
    stray: usize,
    /// What it wrote down about the unexpected.
    errors: String,
}

impl Statistics {
    /// Whether all calls went as the scenario has it, and nothing came that it does not have.
    pub(crate) fn is_flawless(&self, calls: usize) -> bool {
        self.successful == calls
            && self.nothing_else()
            && (self.datagrams || self.errors.is_empty())
    }

    /// # Panics
    /// When it is not flawless.
    pub(crate) fn assert_flawless(&self, calls: usize) {
        assert!(
            self.is_flawless(calls),
            "not {calls} flawless calls: {self:#?}"
        );
    }

    /// The scenario of [`Sipp::answering`] took this many calls, and nothing came that it does not have.
    ///
    /// # Panics
    /// When not.
    pub(crate) fn assert_answered(&self, calls: usize) {
        assert!(
            self.out_of_call == calls && self.nothing_else(),
            "not {calls} calls answered: {self:#?}"
        );
    }

    /// No failure, and no message without a call: but over UDP one that comes late is said twice, which is no fault.
    fn nothing_else(&self) -> bool {
        let twice = self.stray + self.retransmissions;
        self.failed == 0 && self.failures.is_empty() && (self.datagrams || twice == 0)
    }
}

/// socat, which puts what comes over TCP into TLS: one TLS connection for each of TCP.
#[derive(Debug)]
pub(crate) struct Tunnel {
    _process: Watched,
    entrance: SocketAddr,
}

impl Tunnel {
    /// To `server`, which must prove to be example.org, with this certificate of the test PKI.
    pub(crate) fn to(server: SocketAddr, certificate: &str) -> Self {
        let pki = Pki::get();
        let entrance = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let pem = pki.client(certificate);
        let root: PathBuf = pki.path("ca/root-example.crt");
        let listen = format!(
            "TCP-LISTEN:{},bind={},fork,reuseaddr,backlog=1000,nodelay",
            entrance.port(),
            entrance.ip()
        );
        let connect = format!(
            "OPENSSL:{server},cert={},cafile={},commonname=example.org,snihost=example.org,nodelay",
            pem.display(),
            root.display()
        );
        let mut command = Command::new("socat");
        // Twice -d: it says that it listens.
        let mut process = Watched::spawn(command.args(["-d", "-d"]).args([listen, connect]));
        let listens = process.wait_until(PATIENCE, |text| text.contains("listening on"));
        assert!(listens, "socat does not listen:\n{}", process.text());
        Self {
            _process: process,
            entrance,
        }
    }

    /// Where it takes connections.
    pub(crate) fn entrance(&self) -> SocketAddr {
        self.entrance
    }
}
