//! Kamailio 5.6 as the proxy and registrar of another domain, or as a client that logs in: `tests/kamailio` says what it does.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use super::baresip::Transport;
use super::pki::Pki;
use super::ports::free_port;
use super::process::Watched;

const CONFIG: &str = include_str!("../../kamailio/kamailio.cfg");
const CLIENT: &str = include_str!("../../kamailio/client.cfg");
const REGISTRATIONS: &str = include_str!("../../kamailio/tables/uacreg");
const TABLES: &str = include_str!("../../kamailio/tables/version");
const TLS: &str = include_str!("../../kamailio/tls.cfg");

/// From the start to the first connection, and from the order to end to the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A shell that waits at a pipe from this process. When the pipe closes, however this process ends, it has Kamailio end
/// itself: only that takes all of its processes along.
const KEEPER: &str = r#"
"$@" </dev/null 2>&1 &
proxy=$!
read -r word
kill "$proxy" 2>/dev/null
wait "$proxy"
"#;

/// A Kamailio to be. Its ports are chosen at once: the other domain must know them first.
#[derive(Debug)]
pub(crate) struct KamailioSetup {
    domain: String,
    phones: u16,
    peers: u16,
    calls: (String, u16),
    as_server: String,
    as_client: Option<String>,
    logs_in: Option<(SocketAddr, Transport)>,
}

impl KamailioSetup {
    /// The proxy of `domain`, which shows the certificate `certificate` of the test PKI whether it calls or is called.
    pub(crate) fn new(domain: &str, certificate: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            phones: free_port(),
            peers: free_port(),
            calls: (String::new(), 0),
            as_server: certificate.to_owned(),
            as_client: Some(certificate.to_owned()),
            logs_in: None,
        }
    }

    /// A client of that server, to which it passes on whatever it gets, by UDP and TCP too. It logs in as alice, and for
    /// itself as carol; both have the password `pw`. It shows no certificate.
    pub(crate) fn client_of(server: SocketAddr, transport: Transport) -> Self {
        Self {
            as_client: None,
            logs_in: Some((server, transport)),
            ..Self::new("example.org", "server-rsa")
        }
    }

    /// Where its users' phones connect, over TLS.
    pub(crate) fn phones(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.phones))
    }

    /// Where the other domain connects, over TLS.
    pub(crate) fn peers(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.peers))
    }

    /// The other domain that its users call, and where that is: no name is looked up.
    pub(crate) fn calls(mut self, domain: &str, at: SocketAddr) -> Self {
        self.calls = (domain.to_owned(), at.port());
        self
    }

    /// What it shows when it calls, in place of the certificate that it shows when it is called.
    pub(crate) fn shows_as_client(mut self, certificate: Option<&str>) -> Self {
        self.as_client = certificate.map(str::to_owned);
        self
    }

    /// Starts it, and waits until it takes connections.
    ///
    /// # Panics
    /// When it does not: with all that it said.
    pub(crate) fn start(self) -> Kamailio {
        let dir = tempfile::Builder::new()
            .prefix("kamailio-")
            .tempdir()
            .expect("a directory");
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("tables")).expect("a directory");
        let config = if self.logs_in.is_some() {
            CLIENT
        } else {
            CONFIG
        };
        for (name, text) in [
            ("kamailio.cfg", config),
            ("tls.cfg", TLS),
            ("tables/version", TABLES),
            ("tables/uacreg", REGISTRATIONS),
        ] {
            let filled = self.fill(text, &dir.path().display().to_string());
            fs::write(path(name), filled).expect("configuration of Kamailio");
        }
        let pki = Pki::get();
        let trusted: Vec<u8> = ["ca/root-example.crt", "ca/root-partner.crt"]
            .iter()
            .flat_map(|root| fs::read(pki.path(root)).expect("a root"))
            .collect();
        fs::write(path("trust.pem"), trusted).expect("roots of Kamailio");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper", "kamailio", "-DD", "-E"]);
        command.arg("-f").arg(path("kamailio.cfg"));
        command.arg("-Y").arg(dir.path());
        command.args(["-m", "32", "-M", "8"]);
        let mut process = Watched::spawn(&mut command);
        let deadline = Instant::now() + PATIENCE;
        for address in [self.phones(), self.peers()] {
            while TcpStream::connect(address).is_err() {
                assert!(
                    process.lives() && Instant::now() < deadline,
                    "Kamailio does not listen; scripts/install-test-peers installs it:\n{}",
                    process.text()
                );
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Kamailio {
            process,
            phones: self.phones(),
            _dir: dir,
        }
    }

    fn fill(&self, text: &str, dir: &str) -> String {
        let pem = |name: &str| Pki::get().client(name).display().to_string();
        let client = self.as_client.as_deref().map_or(String::new(), |name| {
            let pem = pem(name);
            format!("private_key = {pem}\ncertificate = {pem}")
        });
        let (peer, peer_port) = &self.calls;
        let (server_port, transport) = self.logs_in.map_or((0, ""), |(server, transport)| {
            (server.port(), transport.name())
        });
        let filled = [
            ("@DIR@", dir.to_owned()),
            ("@DOMAIN@", self.domain.clone()),
            ("@PHONES@", self.phones.to_string()),
            ("@PEERS@", self.peers.to_string()),
            ("@PEER@", peer.clone()),
            ("@PEER_PORT@", peer_port.to_string()),
            ("@SERVER_PEM@", pem(&self.as_server)),
            ("@CLIENT_LINES@", client),
            ("@SERVER_PORT@", server_port.to_string()),
            ("@TRANSPORT@", transport.to_owned()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (word, value)| {
            text.replace(word, value)
        });
        let left = filled
            .split('@')
            .skip(1)
            .any(|text| text.starts_with(|c: char| c.is_ascii_uppercase()));
        assert!(!left, "a word is not filled in:\n{filled}");
        filled
    }
}

/// A Kamailio that runs.
#[derive(Debug)]
pub(crate) struct Kamailio {
    process: Watched,
    phones: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Kamailio {
    /// Where its users' phones connect, over TLS.
    pub(crate) fn phones(&self) -> SocketAddr {
        self.phones
    }

    /// All it logged so far.
    pub(crate) fn log(&self) -> String {
        self.process.text()
    }

    /// Waits for a line with all of `texts` in it.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn logs(&mut self, texts: &[&str]) {
        let found = self.process.wait_until(PATIENCE, |log| {
            log.lines()
                .any(|line| texts.iter().all(|text| line.contains(text)))
        });
        assert!(found, "no line with {texts:?} in:\n{}", self.log());
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        self.process.close_input();
        let _ = self.process.ended(PATIENCE);
    }
}
