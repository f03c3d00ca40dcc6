//! A server under measurement: a process of its own on a free loopback port.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::measure::{Cost, resident_kib, spent};
use crate::pki::Pki;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bare,
    Sipvouch,
    /// Where it is installed, for what is relayed.
    Kamailio,
}

impl Kind {
    pub(crate) fn is_installed(self) -> bool {
        self != Self::Kamailio || Command::new("kamailio").arg("-v").output().is_ok()
    }
}

const KAMAILIO_TLS: &str = "[server:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n\
    private_key = @DIR@/domain_key_example.org.pem\ncertificate = @DIR@/domain_cert_example.org.pem\n\
    ca_list = @DIR@/root_cert_bench.pem\n";

pub(crate) struct Subject {
    process: Child,
    pub(crate) address: SocketAddr,
    certificates_taken: Cell<usize>,
}

impl Subject {
    pub(crate) fn start(kind: Kind, pki: &Pki) -> Self {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let process = match kind {
            Kind::Bare => Command::new(std::env::current_exe().unwrap())
                .args(["--bare", &address.to_string()])
                .arg(&pki.directory)
                .stdin(Stdio::null())
                .spawn()
                .unwrap(),
            Kind::Sipvouch => {
                let config = pki.directory.join("repro.config");
                let text = format!(
                    "LoggingType = cerr\nLogLevel = ERR\nIPAddress = 127.0.0.1\nEnableIPv6 = false\nUDPPort = 0\n\
                     TCPPort = 0\nWSPort = 0\nWSSPort = 0\nHttpPort = 0\nCommandPort = 0\nTLSPort = {}\n\
                     TLSDomainName = example.org\nDomains = example.org\nCertificatePath = {}\n\
                     TLSClientVerification = Mandatory\nEnableCertificateAuthenticator = true\nDisableAuth = true\n\
                     WorkerThreads = 1\nMaximumConnectionsPerSource = 20000\nMaximumHandshakes = 18000\n\
                     FirstMessageTimeout = 600\nForceRecordRouting = true\n",
                    address.port(),
                    pki.directory.display(),
                );
                std::fs::write(&config, text).unwrap();
                let mut process = Command::new(env!("CARGO_BIN_EXE_sipvouch"))
                    .arg(config)
                    // Its store is written where it is started.
                    .current_dir(&pki.directory)
                    .stdin(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap();
                // Whatever it says is read, so that it never waits for us.
                let log = BufReader::new(process.stderr.take().unwrap());
                std::thread::spawn(move || {
                    log.lines()
                        .map_while(Result::ok)
                        .for_each(|line| eprintln!("  {line}"))
                });
                process
            }
            Kind::Kamailio => {
                let directory = pki.directory.display().to_string();
                for (name, text) in [
                    ("kamailio.cfg", include_str!("kamailio.cfg")),
                    ("kamailio-tls.cfg", KAMAILIO_TLS),
                ] {
                    let filled = text
                        .replace("@DIR@", &directory)
                        .replace("@PORT@", &address.port().to_string());
                    std::fs::write(pki.directory.join(name), filled).unwrap();
                }
                // No core of its own, and half a gigabyte for transactions that wait for their end.
                Command::new("kamailio")
                    .args(["-DD", "-E", "-m", "512", "-M", "16", "-Y", &directory, "-f"])
                    .arg(pki.directory.join("kamailio.cfg"))
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            }
        };
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "{kind:?} does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            process,
            address,
            certificates_taken: Cell::new(1),
        }
    }

    /// CPU and switches that the server has while `work` runs.
    pub(crate) fn cost_of(&self, operations: usize, work: impl FnOnce()) -> Cost {
        self.settle();
        let before = spent(self.process.id());
        work();
        self.settle();
        let after = spent(self.process.id());
        Cost {
            cpu_ns: after.0 - before.0,
            switches: after.1 - before.1,
            operations,
        }
    }

    /// Numbers of certificates that this server has not seen yet.
    pub(crate) fn take_certificates(&self, count: usize, pki: &Pki) -> Vec<usize> {
        let first = self
            .certificates_taken
            .replace(self.certificates_taken.get() + count);
        (first..first + count)
            .map(|n| n % pki.users.len())
            .collect()
    }

    /// Waits until the server has nothing left to do.
    pub(crate) fn settle(&self) {
        std::thread::sleep(Duration::from_millis(300));
    }

    pub(crate) fn resident_kib(&self) -> f64 {
        resident_kib(self.process.id())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Kamailio ends its other processes only when it is asked.
        let asked = i32::try_from(self.process.id())
            .is_ok_and(|id| kill(Pid::from_raw(id), Signal::SIGTERM).is_ok());
        let until = Instant::now() + Duration::from_secs(5);
        while asked && Instant::now() < until && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
