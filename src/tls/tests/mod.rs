//! Handshakes over a socket pair with the certificates of `scripts/make-pki`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod again;
mod clients;
mod files;
mod odd;
mod own;
mod remote;
mod remotes;
mod resumption;
mod revocation;
mod serving;

use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslSession, SslSessionCacheMode,
    SslStream, SslVerifyMode, SslVersion,
};

use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509, X509PurposeId};

use super::*;

/// Where clients of these tests seem to come from.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1024);

/// The test PKI, made once for all test binaries and kept below `target`.
pub(super) fn pki() -> &'static Path {
    static PKI: OnceLock<PathBuf> = OnceLock::new();
    PKI.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = root.join("target");
        fs::create_dir_all(&target).unwrap();
        let lock = fs::File::create(target.join("test-pki.lock")).unwrap();
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, e)| e)
            .unwrap();
        let script = root.join("scripts/make-pki");
        let directory = target.join("test-pki");
        let made = directory.join("made-by");
        let wanted = fs::read(&script).unwrap();
        if fs::read(&made).ok().as_ref() != Some(&wanted) {
            let output = Command::new(&script).arg(&directory).output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            fs::write(&made, wanted).unwrap();
        }
        directory
    })
}

pub(super) fn options() -> TlsOptions {
    TlsOptions {
        certificate_path: Some(pki().join("legacy")),
        ca_directories: Vec::new(),
        ca_files: Vec::new(),
        pass_phrase: None,
        dh_params: None,
        cipher_list: "HIGH:-COMPLEMENTOFDEFAULT".to_owned(),
        cipher_suites: None,
        groups: None,
        minimum: ProtocolVersion::Tls1_2,
        maximum: ProtocolVersion::Tls1_3,
        set_options: None,
        clear_options: Vec::new(),
        verify_depth: 9,
        session_tickets: true,
        session_lifetime: 3_600,
        verified_chain_cache: 1_000,
        revocation: RevocationOptions::default(),
    }
}

pub(super) fn listener(verification: ClientVerification) -> ListenerTls {
    ListenerTls {
        domain: "example.org".to_owned(),
        certificates: Vec::new(),
        pass_phrase: None,
        verification,
        eku: EkuPolicy::Rfc5924,
        sni_domains: Some(Vec::new()),
        roots: Roots::default(),
        sni_roots: Vec::new(),
    }
}

/// One context of these settings; they must load.
pub(super) fn context(options: &TlsOptions, listener: &ListenerTls) -> ServerContext {
    match ServerTls::load(options, &[listener]) {
        Ok((contexts, _)) => contexts.into_iter().next().unwrap(),
        Err(faults) => panic!("{}", lines(&faults)),
    }
}

pub(super) fn lines(faults: &[LoadFault]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

/// What a listener that trusts the example root holds certificates against.
pub(super) fn verifier() -> verify::Verifier {
    verifier_of(verify::Judged::Clients(EkuPolicy::Rfc5924))
}

pub(super) fn verifier_of(judged: verify::Judged) -> verify::Verifier {
    let root = fs::read(pki().join("ca/root-example.crt")).unwrap();
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(X509::from_pem(&root).unwrap()).unwrap();
    let mut param = X509VerifyParam::new().unwrap();
    param.set_purpose(X509PurposeId::ANY).unwrap();
    store.set_param(&param).unwrap();
    verify::Verifier::new(judged, store.build(), 0, 100)
}

/// A client as the tests need it.
#[derive(Clone, Default)]
pub(super) struct Client {
    pub(super) certificate: Option<String>,
    pub(super) version: Option<SslVersion>,
    pub(super) sni: Option<String>,
    pub(super) session: Option<SslSession>,
    pub(super) ciphers: Option<&'static str>,
    pub(super) signatures: Option<&'static str>,
    pub(super) alpn: Option<&'static [u8]>,
}

impl Client {
    pub(super) fn with(certificate: &str) -> Self {
        Self {
            certificate: (certificate != "none").then(|| certificate.to_owned()),
            sni: Some("example.org".to_owned()),
            ..Self::default()
        }
    }

    fn ssl(&self, sessions: &Arc<Mutex<Vec<SslSession>>>) -> Ssl {
        let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
        builder.set_security_level(0);
        builder.set_verify(SslVerifyMode::NONE);
        if let Some(version) = self.version {
            builder.set_min_proto_version(Some(version)).unwrap();
            builder.set_max_proto_version(Some(version)).unwrap();
        }
        if let Some(ciphers) = self.ciphers {
            builder.set_cipher_list(ciphers).unwrap();
        }
        if let Some(signatures) = self.signatures {
            builder.set_sigalgs_list(signatures).unwrap();
        }
        if let Some(alpn) = self.alpn {
            builder.set_alpn_protos(alpn).unwrap();
        }
        if let Some(name) = &self.certificate {
            let file = pki().join("clients").join(format!("{name}.pem"));
            builder.set_certificate_chain_file(&file).unwrap();
            builder
                .set_private_key_file(&file, SslFiletype::PEM)
                .unwrap();
        }
        // Without NO_INTERNAL the end of this context would make its sessions useless.
        builder
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let kept = Arc::clone(sessions);
        builder.set_new_session_callback(move |_, session| kept.lock().unwrap().push(session));
        let context: SslContext = builder.build();
        if let Some(session) = &self.session {
            // The callback above belongs to a new context; sessions do not mind.
            let mut ssl = Ssl::new(&context).unwrap();
            resume(&mut ssl, session);
            return self.named(ssl);
        }
        self.named(Ssl::new(&context).unwrap())
    }

    fn named(&self, mut ssl: Ssl) -> Ssl {
        if let Some(name) = &self.sni {
            ssl.set_hostname(name).unwrap();
        }
        ssl
    }
}

#[expect(unsafe_code, reason = "the crate marks it so: contexts must be alike")]
fn resume(ssl: &mut Ssl, session: &SslSession) {
    // SAFETY: the session comes from a context with the same settings, made by the same function.
    unsafe { ssl.set_session(session).unwrap() }
}

/// What both sides saw.
pub(super) struct Met {
    pub(super) server: Result<Established, Box<HandshakeRefusal>>,
    /// Number of the TLS alert that the client received.
    pub(super) alert: Option<i32>,
    /// Subject of the certificate that the server showed, and how many it sent.
    pub(super) shown: Option<(String, usize)>,
    pub(super) sessions: Vec<SslSession>,
    pub(super) alpn: Option<Vec<u8>>,
    /// Time on a processor that the server's side of the handshake took.
    pub(super) cost: Duration,
}

impl Met {
    /// As the golden answers write it.
    pub(super) fn outcome(&self) -> String {
        match (&self.server, self.alert) {
            (Ok(_), None) => "handshake-ok".to_owned(),
            (Err(_), Some(alert)) => format!("alert:{}", alert_name(alert)),
            (server, alert) => format!("server {server:?}, alert {alert:?}"),
        }
    }
}

fn alert_name(alert: i32) -> &'static str {
    match alert {
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        48 => "unknown_ca",
        70 => "protocol_version",
        80 => "internal_error",
        116 => "certificate_required",
        _ => "another",
    }
}

/// Lets the client meet the server.
pub(super) fn meet(server: &ServerContext, client: &Client) -> Met {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for end in [&ours, &theirs] {
        end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    let sessions = Arc::new(Mutex::new(Vec::new()));
    let ssl = client.ssl(&sessions);
    let client = thread::spawn(move || {
        let mut stream = SslStream::new(ssl, theirs).unwrap();
        let result = stream
            .connect()
            .and_then(|()| stream.ssl_read(&mut [0; 1]).map(|_| ()));
        let alert = result.err().and_then(|error| {
            let errors = error.ssl_error()?.errors().to_vec();
            errors
                .iter()
                .map(|e| e.reason_code() - 1_000)
                .find(|alert| (0..256).contains(alert))
        });
        let shown = stream.ssl().peer_certificate().map(|certificate| {
            let sent = stream
                .ssl()
                .peer_cert_chain()
                .map_or(0, |chain| chain.len());
            (peer::name_line(certificate.subject_name()), sent)
        });
        let alpn = stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec);
        let _ = stream.shutdown();
        (alert, shown, alpn)
    });
    let began = on_processor();
    let mut cost = Duration::ZERO;
    let outcome = {
        let mut stream = SslStream::new(server.accept_state(PEER).unwrap(), ours).unwrap();
        match stream.accept() {
            Ok(()) => {
                let outcome = established(stream.ssl());
                cost = on_processor().saturating_sub(began);
                if outcome.is_ok() {
                    stream.ssl_write(b"k").unwrap();
                    let _ = stream.shutdown();
                    let _ = stream.read(&mut [0; 1]);
                }
                outcome
            }
            Err(error) => Err(Box::new(refusal(stream.ssl(), &error))),
        }
    };
    let (alert, shown, alpn) = client.join().unwrap();
    let sessions = std::mem::take(&mut *sessions.lock().unwrap());
    Met {
        server: outcome,
        alert,
        shown,
        sessions,
        alpn,
        cost,
    }
}

/// Time that this thread has spent on a processor.
#[expect(unsafe_code, reason = "no crate in use has this clock")]
fn on_processor() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills in the structure that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
