//! The harness itself, against `openssl s_server`: a peer that could not tell one alert from another would find every
//! server right.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openssl::ssl::SslVersion;

use super::{Pki, TlsPeer, connect_tcp, free_port};

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_harness_names_alerts_as_the_recording_did() {
    let pki = Pki::get();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let roots = pki.path("legacy/root_cert_example.pem");
    let child = Command::new("openssl")
        .args(["s_server", "-quiet", "-Verify", "3", "-verify_return_error"])
        .args(["-accept", &address.to_string()])
        .arg("-cert")
        .arg(pki.path("server/server-rsa.crt"))
        .arg("-key")
        .arg(pki.path("server/server-rsa.key"))
        .arg("-CAfile")
        .arg(roots)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl s_server");
    let _server = Peer(child);
    let deadline = Instant::now() + Duration::from_secs(10);
    while connect_tcp(address.ip(), address).is_err() {
        assert!(
            Instant::now() < deadline,
            "openssl s_server does not listen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for (certificate, version, wanted) in [
        ("alice-uri", None, "handshake-ok"),
        ("alice-int-chain", None, "handshake-ok"),
        (
            "none",
            Some(SslVersion::TLS1_3),
            "alert:certificate_required",
        ),
        ("none", Some(SslVersion::TLS1_2), "alert:handshake_failure"),
        ("alice-expired", None, "alert:certificate_expired"),
        ("alice-notyet", None, "alert:bad_certificate"),
        ("alice-untrusted", None, "alert:unknown_ca"),
        ("alice-int", Some(SslVersion::TLS1_2), "alert:unknown_ca"),
        ("eku-email", None, "alert:unsupported_certificate"),
        ("crit-unknown", None, "alert:certificate_unknown"),
        ("alice-sha1", None, "alert:bad_certificate"),
        ("alice-rsa1024", None, "alert:bad_certificate"),
        ("alice-uri", Some(SslVersion::TLS1), "alert:internal_error"),
    ] {
        let mut peer = TlsPeer::named(certificate).settling();
        peer.version = version;
        let got = match peer.connect(address) {
            Ok(_) => "handshake-ok".to_owned(),
            Err(outcome) => outcome.to_string(),
        };
        assert_eq!(got, wanted, "{certificate} {version:?}");
    }
}
