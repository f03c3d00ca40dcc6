//! A server of another domain as the tests need it, and our client role meeting it over a socket pair.

use openssl::ssl::{NameType, SslMode};
use openssl::stack::Stack;

use super::*;

/// What the server wants of our certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Nothing,
    /// Anybody's, or none.
    Optional,
    /// One of the CAs that it trusts.
    Required,
}

/// The server.
#[derive(Clone)]
pub(super) struct Remote {
    /// File of the test PKI with certificates and key.
    pub(super) certificate: &'static str,
    pub(super) asks: Asks,
    /// CAs of the test PKI whose certificates it takes from clients.
    pub(super) trusts: &'static [&'static str],
    /// CAs of the test PKI that it names when it asks.
    pub(super) names: &'static [&'static str],
    pub(super) version: Option<SslVersion>,
}

impl Remote {
    pub(super) fn with(certificate: &'static str) -> Self {
        Self {
            certificate,
            asks: Asks::Nothing,
            trusts: &["root-example"],
            names: &[],
            version: None,
        }
    }

    pub(super) fn ssl(&self) -> Ssl {
        let mut builder = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
        builder.set_security_level(0);
        // It sends what the file has, and no root that it happens to trust.
        builder.set_mode(SslMode::NO_AUTO_CHAIN);
        if let Some(version) = self.version {
            if version == SslVersion::TLS1_1 {
                builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
            }
            builder.set_min_proto_version(Some(version)).unwrap();
            builder.set_max_proto_version(Some(version)).unwrap();
        }
        let file = pki()
            .join("clients")
            .join(format!("{}.pem", self.certificate));
        builder.set_certificate_chain_file(&file).unwrap();
        builder
            .set_private_key_file(&file, SslFiletype::PEM)
            .unwrap();
        let authority = |name: &str| {
            X509::from_pem(&fs::read(pki().join(format!("ca/{name}.crt"))).unwrap()).unwrap()
        };
        let mut store = X509StoreBuilder::new().unwrap();
        for name in self.trusts {
            store.add_cert(authority(name)).unwrap();
        }
        builder.set_cert_store(store.build());
        builder
            .verify_param_mut()
            .set_purpose(X509PurposeId::ANY)
            .unwrap();
        let mut names = Stack::new().unwrap();
        for name in self.names {
            names
                .push(authority(name).subject_name().to_owned().unwrap())
                .unwrap();
        }
        builder.set_client_ca_list(names);
        match self.asks {
            Asks::Nothing => builder.set_verify(SslVerifyMode::NONE),
            Asks::Optional => builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true),
            Asks::Required => {
                builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT)
            }
        }
        Ssl::new(&builder.build()).unwrap()
    }
}

/// What the server saw of us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether its side of the handshake was finished.
    pub(super) finished: bool,
    /// The alert that we sent.
    pub(super) alert: Option<i32>,
    pub(super) sni: Option<String>,
    /// Subject of our certificate, and how many certificates came with it.
    pub(super) shown: Option<(String, usize)>,
}

/// What became of a connection.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) result: Result<EstablishedServer, Box<ServerRefusal>>,
    pub(super) seen: Seen,
}

impl Dialled {
    /// One word for it, as tables of outcomes have it.
    pub(super) fn outcome(&self) -> String {
        match &self.result {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => match refusal.fault {
                ServerFault::Chain(code) => format!("chain {code}"),
                ServerFault::RefusedUs(alert) => format!("refused-us {alert}"),
                fault => fault.as_str().to_owned(),
            },
        }
    }
}

/// Connects to the server, asking for `destination` and acting for `own`.
pub(super) fn dial(
    context: &ClientContext,
    destination: &str,
    own: Option<&str>,
    remote: &Remote,
) -> Dialled {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for end in [&ours, &theirs] {
        end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    let ssl = remote.ssl();
    let server = thread::spawn(move || serve(ssl, theirs));
    let destination = ReferenceName::parse(destination).unwrap();
    let expectation = context.expectation(&destination, own);
    let ssl = context.connect_state(&expectation, PEER).unwrap();
    let mut stream = TlsStream::new(ssl, ours).unwrap();
    let result = match stream.connect() {
        ConnectStep::Wait => panic!("a blocking socket waits by itself"),
        ConnectStep::Refused(refusal) => Err(refusal),
        // In TLS 1.3 the server's word about us comes with the first read.
        ConnectStep::Done(established) => match stream.read(&mut [0; 8]) {
            Progress::Octets(1) => Ok(established),
            other => match stream.refused_by_server() {
                Some(refusal) => Err(Box::new(refusal.clone())),
                None => panic!("{other:?}"),
            },
        },
    };
    stream.close();
    drop(stream);
    Dialled {
        result,
        seen: server.join().unwrap(),
    }
}

fn serve(ssl: Ssl, socket: UnixStream) -> Seen {
    let mut stream = SslStream::new(ssl, socket).unwrap();
    let result = stream.accept();
    let finished = result.is_ok();
    let result = result
        .and_then(|()| stream.ssl_write(b"k"))
        .and_then(|_| stream.ssl_read(&mut [0; 8]));
    let ssl = stream.ssl();
    Seen {
        finished,
        alert: result.err().and_then(|error| {
            let errors = error.ssl_error()?.errors().to_vec();
            let mut alerts = errors.iter().map(|e| e.reason_code() - 1_000);
            alerts.find(|alert| (0..256).contains(alert))
        }),
        sni: ssl.servername(NameType::HOST_NAME).map(str::to_owned),
        shown: ssl.peer_certificate().map(|certificate| {
            let more = ssl.peer_cert_chain().map_or(0, |chain| chain.len());
            (peer::name_line(certificate.subject_name()), more)
        }),
    }
}

/// A role that trusts the example root, shows what the legacy directory and `files` have, and is widened by nothing.
pub(super) fn client_tls() -> ClientTls {
    ClientTls {
        ca_files: vec![pki().join("ca/root-example.crt")],
        ..ClientTls::default()
    }
}

/// The context of the role beside the listener of `example.org`; it must load.
pub(super) fn role(options: &TlsOptions, client: &ClientTls) -> ClientContext {
    match load(options, &[&listener(ClientVerification::Optional)], client) {
        Ok(loaded) => loaded.client,
        Err(faults) => panic!("{}", lines(&faults)),
    }
}
