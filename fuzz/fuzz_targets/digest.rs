//! Any octets as an answer to a challenge: what is read is bounded text, and none of it gets past the
//! nonce.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use sipvouch::auth::{
    Algorithm, Credentials, Digest, DigestMemory, DigestOptions, DigestRequest, Sealer, TokenSecret,
};

static DIGEST: LazyLock<Digest> = LazyLock::new(|| {
    let secret = TokenSecret::random().unwrap();
    let options = DigestOptions {
        algorithms: Algorithm::ALL.to_vec(),
        legacy: true,
        ..DigestOptions::default()
    };
    let memory = DigestMemory::new(0).unwrap();
    Digest::new(
        options,
        Arc::new(Sealer::new(&[], &secret).unwrap()),
        Arc::new(memory),
    )
});

fuzz_target!(|value: &[u8]| {
    let Ok(Some(credentials)) = Credentials::parse(value) else {
        return;
    };
    for text in [credentials.username(), credentials.realm(), credentials.uri()] {
        assert!(text.len() <= 1024 && !text.contains(['\r', '\n', '\0']));
    }
    let (user, domain) = Digest::lookup_key(&credentials);
    assert!(!user.contains('@') && !domain.bytes().any(|o| o.is_ascii_uppercase()));
    let request = DigestRequest {
        method: "INVITE",
        uri: credentials.uri().as_bytes(),
        body: b"",
        is_datagram: false,
    };
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!(DIGEST.check(&credentials, &request, source, 1_000).is_err());
});
