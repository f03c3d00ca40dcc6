//! Certificates of live connections, judged by another load of the anchors than the one of their handshake.

use super::remote::{Asks, Remote};
use super::*;
use crate::tls::{ClientContext, ServerExpectation, Standing};

/// A load that trusts these CAs of the test PKI.
fn trusting(
    anchors: &[&str],
    change: impl FnOnce(&mut TlsOptions, &mut ListenerTls),
) -> ServerContext {
    let mut options = TlsOptions {
        certificate_path: None,
        ca_files: anchors
            .iter()
            .map(|ca| pki().join(format!("ca/{ca}.crt")))
            .collect(),
        ..options()
    };
    let mut listener = listener(ClientVerification::Optional);
    listener.certificates = vec![CertificateFiles {
        chain: pki().join("server/server-ec.crt"),
        key: pki().join("server/server-ec.key"),
    }];
    change(&mut options, &mut listener);
    context(&options, &listener)
}

fn both() -> ServerContext {
    trusting(&["root-example", "root-vendor"], |_, _| ())
}

/// Our end of an open connection, with the client that lives at the other; it goes when that is dropped.
struct Open {
    stream: TlsStream<UnixStream>,
    sessions: Arc<Mutex<Vec<SslSession>>>,
    _client: thread::JoinHandle<()>,
}

impl Open {
    fn with(server: &ServerContext, client: &Client) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let ssl = client.ssl(&sessions);
        let (told, heard) = std::sync::mpsc::channel();
        let client = thread::spawn(move || {
            let mut stream = SslStream::new(ssl, theirs).unwrap();
            stream.connect().unwrap();
            stream.ssl_read(&mut [0; 1]).unwrap();
            told.send(()).unwrap();
            // Until our end is gone.
            let _ = stream.ssl_read(&mut [0; 1]);
        });
        let mut stream = TlsStream::new(server.accept_state(PEER).unwrap(), ours).unwrap();
        assert!(matches!(stream.handshake(), HandshakeStep::Done(_)));
        assert_eq!(stream.write(b"k"), Progress::Octets(1));
        heard.recv().unwrap();
        Self {
            stream,
            sessions,
            _client: client,
        }
    }

    fn judged(&self, by: &ServerContext) -> Result<Option<Standing>, Box<HandshakeRefusal>> {
        self.stream.judge_client_again(by)
    }
}

/// What is said of a certificate: its anchor, or why it is refused.
fn said(verdict: Result<Option<Standing>, Box<HandshakeRefusal>>) -> String {
    match verdict {
        Ok(Some(standing)) => {
            assert!(standing.until <= standing.certificate.not_after);
            standing.certificate.anchor_subject.clone()
        }
        Ok(None) => "nothing shown".to_owned(),
        Err(refusal) => {
            let whose = refusal.subject.as_deref().unwrap_or("nobody");
            format!("{}: {}", refusal.reason, whose)
        }
    }
}

const EXAMPLE: &str = "CN=Example Root,O=Example Organisation";
const VENDOR: &str = "CN=Phone Vendor Root,O=Phone Vendor Inc";

#[test]
fn a_live_certificate_is_judged_by_the_anchors_and_policies_of_now() {
    let example =
        |change: fn(&mut TlsOptions, &mut ListenerTls)| trusting(&["root-example"], change);
    let loads: [(&str, ServerContext); 5] = [
        ("the same", both()),
        ("without the vendor", example(|_, _| ())),
        (
            "sipDomain only",
            example(|_, listener| listener.eku = EkuPolicy::SipDomain),
        ),
        (
            "no intermediates",
            example(|options, _| options.verify_depth = 0),
        ),
        (
            "mandatory",
            example(|_, listener| listener.verification = ClientVerification::Mandatory),
        ),
    ];
    let alone = "unable to get local issuer certificate: CN=0004F22B3EB5,O=Phone Vendor Inc";
    let eku = "its extended key usage is not sipDomain: CN=Alice,O=Example Organisation";
    let long = "certificate chain too long: CN=Alice,O=Example Organisation";
    let has_to = "it has shown no certificate, and has to by now: nobody";
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        for (client, wanted) in [
            ("alice-uri", [EXAMPLE, EXAMPLE, eku, EXAMPLE, EXAMPLE]),
            ("alice-int-chain", [EXAMPLE, EXAMPLE, eku, long, EXAMPLE]),
            ("phone-0004F22B3EB5", [VENDOR, alone, alone, alone, alone]),
            (
                "none",
                [
                    "nothing shown",
                    "nothing shown",
                    "nothing shown",
                    "nothing shown",
                    has_to,
                ],
            ),
        ] {
            let client_ = Client {
                version: Some(version),
                ..Client::with(client)
            };
            let open = Open::with(&both(), &client_);
            for ((load, context), wanted) in loads.iter().zip(wanted) {
                let found = said(open.judged(context));
                assert_eq!(found, wanted, "{client} {version:?}, {load}");
            }
        }
    }
}

#[test]
fn a_load_that_changes_nothing_has_the_same_basis_and_any_other_has_not() {
    let usual = both().basis();
    let with = |change: fn(&mut TlsOptions, &mut ListenerTls)| {
        trusting(&["root-example", "root-vendor"], change).basis()
    };
    for (situation, basis, is_same) in [
        ("the same again", with(|_, _| ()), true),
        (
            "files in another order",
            trusting(&["root-vendor", "root-example"], |_, _| ()).basis(),
            true,
        ),
        (
            "what nothing rests on",
            with(|options, _| options.session_lifetime = 9),
            true,
        ),
        (
            "a CA less",
            trusting(&["root-example"], |_, _| ()).basis(),
            false,
        ),
        (
            "a CA more",
            trusting(&["root-example", "root-vendor", "root-partner"], |_, _| ()).basis(),
            false,
        ),
        (
            "another policy",
            with(|_, listener| listener.eku = EkuPolicy::ClientAuth),
            false,
        ),
        (
            "another depth",
            with(|options, _| options.verify_depth = 1),
            false,
        ),
        (
            "another level",
            with(|options, _| options.cipher_list = "DEFAULT:@SECLEVEL=0".to_owned()),
            false,
        ),
        (
            "mandatory",
            with(|_, listener| listener.verification = ClientVerification::Mandatory),
            false,
        ),
    ] {
        assert_eq!(basis == usual, is_same, "{situation}");
    }
}

#[test]
fn the_intermediate_of_a_resumed_session_comes_from_the_load_before() {
    let before = both();
    let client = Client::with("alice-int-chain");
    let first = Open::with(&before, &client);
    let session = first
        .sessions
        .lock()
        .unwrap()
        .last()
        .cloned()
        .expect("a ticket");
    let client = Client {
        session: Some(session),
        ..client
    };
    let resumed = Open::with(&before, &client);
    assert!(resumed.stream.session().resumed);
    let after = trusting(&["root-example"], |_, _| ());
    let alone = "unable to get local issuer certificate: CN=Alice,O=Example Organisation";
    assert_eq!(said(resumed.judged(&after)), alone);
    after.succeeds(&before);
    assert_eq!(said(resumed.judged(&after)), EXAMPLE);
}

#[test]
fn what_was_verified_once_under_a_load_is_found_again() {
    let open = Open::with(&both(), &Client::with("alice-int-chain"));
    let after = trusting(&["root-example"], |_, _| ());
    for _ in 0..3 {
        assert_eq!(said(open.judged(&after)), EXAMPLE);
    }
    assert_eq!(after.chains_found(), 2);
    // The next handshake of the same client brings the same.
    let met = meet(&after, &Client::with("alice-int-chain"));
    assert_eq!(met.outcome(), "handshake-ok");
    assert_eq!(after.chains_found(), 3);
}

#[test]
fn a_server_that_we_have_connected_to_has_to_be_the_one_asked_for_still() {
    let load = |anchors: &[&str]| -> ClientContext {
        let client = ClientTls {
            ca_files: anchors
                .iter()
                .map(|ca| pki().join(format!("ca/{ca}.crt")))
                .collect(),
            ..ClientTls::default()
        };
        match super::super::load(&options(), &[&listener(ClientVerification::None)], &client) {
            Ok(loaded) => loaded.client,
            Err(faults) => panic!("{}", lines(&faults)),
        }
    };
    let (before, same, without) = (
        load(&["root-example"]),
        load(&["root-example"]),
        load(&["root-partner"]),
    );
    assert_eq!(before.basis(), same.basis());
    assert_ne!(before.basis(), without.basis());
    let name = ReferenceName::parse("other.example.net").unwrap();
    let expectation: ServerExpectation = before.expectation(&name, None);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let remote = Remote {
        asks: Asks::Nothing,
        ..Remote::with("other-dns")
    };
    let server = thread::spawn(move || {
        let mut stream = SslStream::new(remote.ssl(), theirs).unwrap();
        stream.accept().unwrap();
        let _ = stream.ssl_read(&mut [0; 1]);
    });
    let mut stream =
        TlsStream::new(before.connect_state(&expectation, PEER).unwrap(), ours).unwrap();
    assert!(matches!(stream.connect(), ConnectStep::Done(_)));
    let another = before.expectation(&ReferenceName::parse("third.example.net").unwrap(), None);
    let gone = "unable to get local issuer certificate: CN=Other Net Proxy,O=Other Net";
    let name = "no name of its certificate is the one that was asked for any more: CN=Other Net Proxy,O=Other Net";
    for (situation, role, expectation, wanted) in [
        ("nothing new", &same, &expectation, EXAMPLE),
        ("its CA is gone", &without, &expectation, gone),
        ("another name", &same, &another, name),
    ] {
        let found = said(stream.judge_server_again(role, expectation));
        assert_eq!(found, wanted, "{situation}");
    }
    drop(stream);
    server.join().unwrap();
}

/// What a round over live connections costs for each: a line for whoever measures, and no more of a check than that it works.
#[test]
fn the_cost_of_judging_again_is_told() {
    let open = Open::with(&both(), &Client::with("alice-uri"));
    let loads: Vec<_> = (0..20)
        .map(|_| trusting(&["root-example"], |_, _| ()))
        .collect();
    let began = on_processor();
    for load in &loads {
        assert_eq!(said(open.judged(load)), EXAMPLE);
    }
    let new = (on_processor() - began) / 20;
    let began = on_processor();
    for load in &loads {
        assert_eq!(said(open.judged(load)), EXAMPLE);
    }
    let known = (on_processor() - began) / 20;
    println!("verified anew {new:?}, found {known:?}");
}
