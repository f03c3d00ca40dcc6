//! baresip 1.0 as a phone: no sound devices, commands and events over its `ctrl_tcp` module, every message in its trace.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::baresip_trace::{Traced, traced};
use super::message::Incoming;
use super::pki::Pki;
use super::ports::free_port;
use super::process::Watched;
use super::server::Log;

/// How long a phone may take for any one step. A refusal may first have to time out at a proxy.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a phone talks over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tls,
    Tcp,
    Udp,
}

impl Transport {
    /// As in a `transport` parameter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A phone to be: one account.
#[derive(Debug, Clone)]
pub(crate) struct Baresip {
    user: String,
    domain: String,
    transport: Transport,
    certificate: Option<String>,
    password: Option<String>,
    proxy: Option<SocketAddr>,
    friend: String,
}

impl Baresip {
    /// The phone of `user@domain`, such as alice@example.org, over TLS and without a certificate.
    pub(crate) fn new(aor: &str) -> Self {
        let (user, domain) = aor.split_once('@').expect("user@domain");
        Self {
            user: user.to_owned(),
            domain: domain.to_owned(),
            transport: Transport::Tls,
            certificate: None,
            password: None,
            proxy: None,
            friend: String::new(),
        }
    }

    /// The certificate of the test PKI that it shows.
    pub(crate) fn certificate(mut self, name: &str) -> Self {
        self.certificate = Some(name.to_owned());
        self
    }

    /// Its password.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// What it talks over; without a certificate unless that is TLS.
    pub(crate) fn over(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// The proxy that it registers at, and sends everything to. Without one it calls directly.
    pub(crate) fn at(mut self, proxy: SocketAddr) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Whom its messages go to: baresip sends them to an entry of its contacts. Directly, they go by UDP.
    pub(crate) fn writes_to(mut self, uri: &str) -> Self {
        uri.clone_into(&mut self.friend);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not come up: with all it said.
    pub(crate) fn start(self) -> Phone {
        let mut said = String::new();
        for _ in 0..5 {
            let dir = tempfile::Builder::new()
                .prefix("baresip-")
                .tempdir()
                .expect("a directory");
            let port = free_pair();
            let control = SocketAddr::from(([127, 0, 0, 1], free_port()));
            self.write_files(dir.path(), port, control);
            let mut command = Command::new("baresip");
            // -s traces every message to standard output.
            command.arg("-f").arg(dir.path()).args(["-v", "-s"]);
            let mut process = Watched::spawn(&mut command);
            if let Some(stream) = connect(&mut process, control) {
                let events = Log::default();
                let reader = stream.try_clone().expect("a second handle");
                let collected = events.clone();
                std::thread::spawn(move || collect(reader, &collected));
                let mut phone = Phone {
                    process,
                    stream,
                    events,
                    seen: 0,
                    port,
                    name: format!("{}@{}", self.user, self.domain),
                    transport: self.transport,
                    at_proxy: self.proxy.is_some(),
                    _dir: dir,
                };
                phone.attends();
                return phone;
            }
            said = process.end();
        }
        panic!("baresip did not start; it said:\n{said}");
    }

    fn write_files(&self, dir: &Path, port: u16, control: SocketAddr) {
        let Self { user, domain, .. } = self;
        let transport = self.transport.name();
        let pki = Pki::get();
        let mut config = String::new();
        let _ = writeln!(config, "module_path {}", modules().display());
        config.push_str("module_tmp account.so\nmodule g711.so\nmodule aubridge.so\n");
        config.push_str("module_app contact.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n");
        // What goes into this device comes out of it: a sound card that is always there.
        for use_of in ["audio_source", "audio_player", "audio_alert"] {
            let _ = writeln!(config, "{use_of} aubridge,{user}");
        }
        // Media must not take a port that a test was given.
        config.push_str("statmode_default off\nrtp_ports 32010-32760\ncall_max_calls 4\n");
        let _ = writeln!(config, "ctrl_tcp_listen {control}");
        config.push_str("net_interface 127.0.0.1\n");
        // TLS is one port above.
        let _ = writeln!(config, "sip_listen 127.0.0.1:{port}");
        let _ = writeln!(config, "sip_transports {transport}");
        if let Some(certificate) = self.certificate.as_deref() {
            let _ = writeln!(
                config,
                "sip_certificate {}",
                pki.client(certificate).display()
            );
        }
        let roots = dir.join("roots.pem");
        let trusted: Vec<u8> = ["ca/root-example.crt", "ca/root-partner.crt"]
            .iter()
            .flat_map(|root| fs::read(pki.path(root)).expect("a root"))
            .collect();
        fs::write(&roots, trusted).expect("roots of baresip");
        let _ = writeln!(config, "sip_cafile {}", roots.display());
        fs::write(dir.join("config"), config).expect("configuration of baresip");
        let at = match self.proxy {
            Some(proxy) => format!("outbound=\"sip:{proxy};transport={transport}\";regint=60"),
            None => "regint=0".to_owned(),
        };
        // Without a password it would ask for one.
        let password = self.password.as_deref().unwrap_or("none");
        let account = format!(
            "<sip:{user}@{domain}>;{at};auth_user={user};auth_pass={password};answermode=manual;audio_codecs=pcmu\n"
        );
        fs::write(dir.join("accounts"), account).expect("account of baresip");
        let contact = match self.friend.as_str() {
            "" => String::new(),
            friend => format!("\"Friend\" <{friend}>\n"),
        };
        fs::write(dir.join("contacts"), contact).expect("contacts of baresip");
    }
}

/// A free port with a free one above it.
fn free_pair() -> u16 {
    loop {
        let port = free_port();
        if TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

fn modules() -> PathBuf {
    ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules"]
        .iter()
        .map(Path::new)
        .find(|path| path.is_dir())
        .expect("the modules of baresip: scripts/install-test-peers")
        .to_owned()
}

fn connect(process: &mut Watched, control: SocketAddr) -> Option<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    while process.lives() && Instant::now() < deadline {
        if let Ok(stream) = TcpStream::connect(control) {
            return Some(stream);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Reads netstrings of JSON: `LENGTH:TEXT,`.
fn collect(stream: TcpStream, events: &Log) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0_usize;
        loop {
            let mut octet = [0];
            if stream.read_exact(&mut octet).is_err() {
                return;
            }
            match octet[0] {
                digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
                _ => break,
            }
        }
        let mut text = vec![0; length + 1];
        if stream.read_exact(&mut text).is_err() {
            return;
        }
        text.pop();
        events.push(String::from_utf8_lossy(&text).into_owned());
    }
}

/// A phone that runs.
#[derive(Debug)]
pub(crate) struct Phone {
    process: Watched,
    stream: TcpStream,
    events: Log,
    seen: usize,
    port: u16,
    name: String,
    transport: Transport,
    at_proxy: bool,
    _dir: tempfile::TempDir,
}

impl Phone {
    /// Its address-of-record, as `alice@example.org`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The URI that it is called by: without a proxy, the address that it listens on.
    pub(crate) fn uri(&self) -> String {
        if self.at_proxy {
            return format!("sip:{}", self.name);
        }
        let port = match self.transport {
            Transport::Tls => self.port + 1,
            Transport::Tcp | Transport::Udp => self.port,
        };
        let (user, _) = self.name.split_once('@').expect("user@domain");
        format!(
            "sip:{user}@127.0.0.1:{port};transport={}",
            self.transport.name()
        )
    }

    /// Gives a command of baresip's menu.
    fn command(&mut self, command: &str, parameters: &str) {
        let text = json!({"command": command, "params": parameters}).to_string();
        let framed = format!("{}:{text},", text.len());
        self.stream
            .write_all(framed.as_bytes())
            .unwrap_or_else(|e| panic!("{}: {command}: {e}\n{}", self.name, self.process.text()));
    }

    /// Waits until it has taken our connection: events before that are told to nobody.
    fn attends(&mut self) {
        self.command("listcalls", "");
        let answer = self
            .events
            .wait_after(&mut 0, &["\"response\":true"], PATIENCE);
        assert!(answer.is_some(), "{}: deaf\n{}", self.name, self.story());
    }

    /// Waits for the next event of one of these kinds; earlier ones of other kinds are passed over.
    ///
    /// # Panics
    /// When none comes.
    fn event(&mut self, kinds: &[&str]) -> Event {
        let marks: Vec<String> = kinds
            .iter()
            .map(|kind| format!("\"type\":\"{kind}\""))
            .collect();
        let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
        let Some(line) = self.events.wait_after(&mut self.seen, &marks, PATIENCE) else {
            panic!("{}: none of {kinds:?}\n{}", self.name, self.story());
        };
        Event(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
    }

    /// All that it saw and did, for whoever has to find out why.
    pub(crate) fn story(&self) -> String {
        format!(
            "events:\n{}\ntrace:\n{}",
            self.events.text(),
            self.process.text()
        )
    }

    /// Waits for the end of its first registration: the status line of the answer, as `200 OK`. The event of it may have
    /// come before anybody listened.
    pub(crate) fn registration(&mut self) -> String {
        let answers = self.waits_for_answers(1, "REGISTER");
        status_line(answers.first())
    }

    /// Waits until it cannot register for a reason of its own, as against one that the server gives; the reason in its words.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn cannot_register(&mut self) -> String {
        let mark = format!("reg: sip:{}: Register: ", self.name);
        let reason = |text: &str| {
            let (_, rest) = text.split_once(&mark)?;
            rest.split_once('\n').map(|(reason, _)| reason.to_owned())
        };
        self.process
            .wait_until(PATIENCE, |text| reason(text).is_some());
        reason(&self.process.text()).unwrap_or_else(|| panic!("{}", self.story()))
    }

    /// Waits until it is registered.
    ///
    /// # Panics
    /// When it is refused.
    pub(crate) fn registered(mut self) -> Self {
        let status = self.registration();
        assert!(
            status.starts_with("200"),
            "{} is not registered: {status}\n{}",
            self.name,
            self.story()
        );
        self
    }

    /// Calls.
    pub(crate) fn dial(&mut self, uri: &str) {
        self.command("dial", uri);
    }

    /// Waits until it rings; who calls.
    pub(crate) fn rings(&mut self) -> String {
        self.event(&["CALL_INCOMING"]).text("peeruri")
    }

    /// Waits until it hears that the other side rings.
    pub(crate) fn hears_ringing(&mut self) {
        self.event(&["CALL_RINGING"]);
    }

    /// Answers the call that rings.
    pub(crate) fn accept(&mut self) {
        self.command("accept", "");
    }

    /// Ends its call: BYE when it is established, CANCEL when it rings at the other side, 486 when it rings here.
    pub(crate) fn hang_up(&mut self) {
        self.command("hangup", "");
    }

    /// Waits until its call stands.
    ///
    /// # Panics
    /// When it ends instead.
    pub(crate) fn established(&mut self) {
        let event = self.event(&["CALL_ESTABLISHED", "CALL_CLOSED"]);
        assert_eq!(
            event.text("type"),
            "CALL_ESTABLISHED",
            "{}: the call ended with {:?}\n{}",
            self.name,
            event.text("param"),
            self.story()
        );
    }

    /// Waits for the end of its call: `486 Rejected` or the like, or in baresip's words who ended it.
    pub(crate) fn closed(&mut self) -> String {
        self.event(&["CALL_CLOSED"]).text("param")
    }

    /// Puts its call on hold, and waits for the answer.
    pub(crate) fn hold(&mut self) {
        self.command("hold", "");
        self.session_changes("answer");
    }

    /// Takes its call back from hold, and waits for the answer.
    pub(crate) fn resume(&mut self) {
        self.command("resume", "");
        self.session_changes("answer");
    }

    /// Waits for a session description of the other side: an `offer`, or the `answer` to ours.
    pub(crate) fn session_changes(&mut self, what: &str) {
        loop {
            let event = self.event(&["CALL_REMOTE_SDP", "CALL_CLOSED"]);
            assert_eq!(event.text("type"), "CALL_REMOTE_SDP", "{}", self.story());
            if event.text("param") == what {
                return;
            }
        }
    }

    /// Sends a MESSAGE to its friend, and waits for the final answer: the status line.
    pub(crate) fn writes(&mut self, text: &str) -> String {
        let before = final_answers(&self.trace(), "MESSAGE").len();
        self.command("message", text);
        let answers = self.waits_for_answers(before + 1, "MESSAGE");
        status_line(answers.last())
    }

    /// Waits for a MESSAGE with this text; the request as it came.
    pub(crate) fn reads(&mut self, text: &str) -> Incoming {
        self.find(&format!("the message {text:?}"), |trace| {
            received(trace, "MESSAGE").find(|request| request.body == text.as_bytes())
        })
    }

    /// Waits until it has received this many requests of this method; all of them.
    pub(crate) fn receives(&mut self, count: usize, method: &str) -> Vec<Incoming> {
        self.find(&format!("{count} requests {method}"), |trace| {
            let requests: Vec<Incoming> = received(trace, method).collect();
            (requests.len() >= count).then_some(requests)
        })
    }

    /// Waits until it has got this many final answers to its requests of this method; all of them.
    pub(crate) fn waits_for_answers(&mut self, count: usize, method: &str) -> Vec<Incoming> {
        self.find(&format!("{count} answers to {method}"), |trace| {
            let answers = final_answers(trace, method);
            (answers.len() >= count).then_some(answers)
        })
    }

    /// The requests of this method that came so far.
    pub(crate) fn received(&self, method: &str) -> Vec<Incoming> {
        received(&self.trace(), method).collect()
    }

    fn trace(&self) -> Vec<Traced> {
        traced(&self.process.output(), &self.listening())
    }

    fn listening(&self) -> [SocketAddr; 2] {
        [self.port, self.port + 1].map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn find<T>(&mut self, what: &str, find: impl Fn(&[Traced]) -> Option<T>) -> T {
        let listening = self.listening();
        let found = self
            .process
            .wait_for(PATIENCE, |octets| find(&traced(octets, &listening)));
        found.unwrap_or_else(|| panic!("{}: no {what}\n{}", self.name, self.story()))
    }
}

/// `200 OK` and the like.
fn status_line(answer: Option<&Incoming>) -> String {
    let start = answer.map_or("", |answer| answer.start.as_str());
    start.trim_start_matches("SIP/2.0 ").to_owned()
}

fn received(trace: &[Traced], method: &str) -> impl Iterator<Item = Incoming> {
    let start = format!("{method} ");
    trace
        .iter()
        .filter(move |traced| !traced.sent && traced.message.start.starts_with(&start))
        .map(|traced| traced.message.clone())
}

fn final_answers(trace: &[Traced], method: &str) -> Vec<Incoming> {
    trace
        .iter()
        .filter(|traced| !traced.sent && traced.message.start.starts_with("SIP/2.0 "))
        .map(|traced| traced.message.clone())
        // A phone answers a challenge.
        .filter(|message| {
            !["401", "407"]
                .iter()
                .any(|code| message.start["SIP/2.0 ".len()..].starts_with(code))
        })
        .filter(|message| {
            let of_method = message
                .value("cseq")
                .is_some_and(|cseq| cseq.split(' ').nth(1) == Some(method));
            of_method && !message.start.starts_with("SIP/2.0 1")
        })
        .collect()
}

#[derive(Debug)]
struct Event(Value);

impl Event {
    fn text(&self, field: &str) -> String {
        self.0[field].as_str().unwrap_or_default().to_owned()
    }
}
