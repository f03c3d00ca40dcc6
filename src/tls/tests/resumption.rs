//! Sessions resumed with client certificates, which repro could not do.

use openssl::ssl::SslVersion;

use openssl::x509::X509;

use super::*;

fn first_and_second(server: &ServerContext, again: &ServerContext, client: &Client) -> (Met, Met) {
    let first = meet(server, client);
    let session = first.sessions.last().expect("a ticket").clone();
    let second = meet(
        again,
        &Client {
            session: Some(session),
            ..client.clone()
        },
    );
    (first, second)
}

#[test]
fn a_resumed_session_reports_the_certificate_it_began_with() {
    for certificate in ["alice-uri", "alice-int-chain", "none"] {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            for remembered in [1_000, 0] {
                let options = TlsOptions {
                    verified_chain_cache: remembered,
                    ..options()
                };
                let server = context(&options, &listener(ClientVerification::Optional));
                let client = Client {
                    version: Some(version),
                    ..Client::with(certificate)
                };
                let (first, second) = first_and_second(&server, &server, &client);
                let what = format!("{certificate} {version:?} {remembered}");
                assert_eq!(first.sessions.len(), 1, "one ticket, {what}");
                assert_eq!(second.outcome(), "handshake-ok", "{what}");
                let (first, second) = (first.server.unwrap(), second.server.unwrap());
                assert!(!first.resumed && second.resumed, "{what}");
                assert_eq!(first.certificate, second.certificate, "{what}");
                assert_eq!(
                    second.certificate.is_some(),
                    certificate != "none",
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn another_load_does_not_resume_but_greets_anew() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let listener = listener(ClientVerification::Mandatory);
        let (old, new) = (
            context(&options(), &listener),
            context(&options(), &listener),
        );
        assert!(new.generation() > old.generation());
        let client = Client {
            version: Some(version),
            ..Client::with("alice-uri")
        };
        let (_, second) = first_and_second(&old, &new, &client);
        let second = second.server.unwrap();
        assert!(!second.resumed && second.certificate.is_some());
    }
}

#[test]
fn without_tickets_nothing_is_resumed() {
    let options = TlsOptions {
        session_tickets: false,
        ..options()
    };
    let server = context(&options, &listener(ClientVerification::Optional));
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let client = Client {
            version: Some(version),
            ..Client::with("alice-uri")
        };
        let first = meet(&server, &client);
        let Some(session) = first.sessions.last() else {
            continue;
        };
        let client = Client {
            session: Some(session.clone()),
            ..client
        };
        assert!(
            !meet(&server, &client).server.unwrap().resumed,
            "{version:?}"
        );
    }
}

#[test]
fn a_listener_that_asks_nobody_resumes_without_an_identity() {
    let server = context(&options(), &listener(ClientVerification::None));
    let (_, second) = first_and_second(&server, &server, &Client::with("alice-uri"));
    let second = second.server.unwrap();
    assert!(second.resumed && second.certificate.is_none());
}

/// The certificate in a ticket may have expired since, or rest on an intermediate that nobody has shown to this load.
#[test]
fn a_resumed_certificate_that_no_longer_verifies_is_refused() {
    let read = |name: &str| X509::from_pem(&fs::read(pki().join(name)).unwrap()).unwrap();
    let verifier = verifier();
    for (name, code) in [
        ("alice-uri", None),
        ("alice-expired", Some(10)),
        ("alice-int", Some(20)),
        ("alice-untrusted", Some(20)),
        ("eku-email", Some(26)),
    ] {
        match (
            verifier.resumed(&read(&format!("clients/{name}.crt"))),
            code,
        ) {
            (Ok(certificate), None) => {
                assert_eq!(certificate.subject, "CN=Alice,O=Example Organisation")
            }
            (Err(refusal), Some(code)) => {
                assert_eq!(refusal.code, Some(code), "{name}: {refusal}");
                let text = "resumed session without a verifiable identity: ";
                assert!(refusal.reason.starts_with(text), "{refusal}");
            }
            (other, _) => panic!("{name}: {other:?}"),
        }
    }
}
