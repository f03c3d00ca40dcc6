//! The examples of the RFCs, computed.
//!
//! Those of RFC 3665 and RFC 3310 name no password, and most of them have fewer digits than a hash; RFC 8760 has none but the
//! hash of an empty body.
#![allow(clippy::unwrap_used)]

use super::hash::hash_of_parts;
use super::verify::{Cover, response};
use super::{Algorithm, Credentials, DigestRequest, ha1};

/// The response that we expect of these parameters.
fn expected(
    cover: Cover,
    algorithm: Algorithm,
    password: &str,
    method: &str,
    body: &str,
    parameters: &str,
) -> String {
    let value = format!("Digest {parameters}, response=\"\"");
    let credentials = Credentials::parse(value.as_bytes()).unwrap().unwrap();
    let a1 = ha1(
        algorithm,
        credentials.username(),
        credentials.realm(),
        password.as_bytes(),
    );
    let request = DigestRequest {
        method,
        uri: credentials.uri().as_bytes(),
        body: body.as_bytes(),
        is_datagram: false,
    };
    response(algorithm, cover, &credentials, &request, &a1.unwrap()).unwrap()
}

#[test]
fn responses_are_those_of_the_rfcs() {
    let rfc2617 = "username=\"Mufasa\", realm=\"testrealm@host.com\", \
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, nc=00000001, \
        cnonce=\"0a4f113b\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    let rfc7616 = "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
        cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
        opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    let doe = "username=\"Jäsøn Doe\", realm=\"api@example.org\", uri=\"/doe.json\", \
        algorithm=SHA-512-256, nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", nc=00000001, \
        cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, \
        opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\"";
    for (situation, algorithm, password, parameters, response) in [
        (
            "RFC 2617 §3.5",
            Algorithm::Md5,
            "Circle Of Life",
            rfc2617,
            "6629fae49393a05397450978507c4ef1",
        ),
        (
            "RFC 7616 §3.9.1, MD5",
            Algorithm::Md5,
            "Circle of Life",
            rfc7616,
            "8ca523f5e9506fed4657c9700eebdbec",
        ),
        (
            "RFC 7616 §3.9.1, SHA-256",
            Algorithm::Sha256,
            "Circle of Life",
            rfc7616,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        // Deviation: the RFC prints ae66e67d…, which is SHA-512 cut off after 256 bits. SHA-512/256 of FIPS 180-4 §6.7 begins
        // with other constants, and so do all clients. The name is as it is: userhash is not supported.
        (
            "RFC 7616 §3.9.2",
            Algorithm::Sha512_256,
            "Secret, or not?",
            doe,
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        ),
    ] {
        let found = expected(Cover::Auth, algorithm, password, "GET", "", parameters);
        assert_eq!(found, response, "{situation}");
    }
}

#[test]
fn the_hash_of_no_body_is_that_of_rfc_3261_and_8760() {
    for (algorithm, hash) in [
        (Algorithm::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
        (
            Algorithm::Sha256,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ] {
        assert_eq!(hash_of_parts(algorithm, &[b""]).unwrap(), hash);
    }
}

/// Computed by Python's hashlib.
#[test]
fn bodies_and_the_form_of_rfc_2069_are_covered_by_every_algorithm() {
    let least = "username=\"alice\", realm=\"example.org\", nonce=\"n\"";
    let invite =
        format!("{least}, uri=\"sip:bob@example.org\", qop=auth-int, nc=00000001, cnonce=\"c\"");
    let register = format!("{least}, uri=\"sip:example.org\"");
    for (algorithm, with_body, bare) in [
        (
            Algorithm::Md5,
            "ae9a090d4cd5c2a8f5116318782a1fb2",
            "5d0b84c69f0f033a1df84f33fdbb6a31",
        ),
        (
            Algorithm::Sha256,
            "681c1397d1bf7c7085f2b3c43a15962b1f0b843a07ed108ba8bd50d4bd5e3527",
            "d718298e1174ac07794ceabe95fc674df5fc2c8107630695f81520afab651072",
        ),
        (
            Algorithm::Sha512_256,
            "fc9c5284aa34e21423a2e767bcb3d0be44854c6c4def1dbefa3d37b05c67e003",
            "18efbcd6c70b1c7833b48a8f1c42fa8198d3814e430b8c478691f1985099910d",
        ),
    ] {
        let (cover, body) = (Cover::AuthInt, "v=0\r\n");
        let found = expected(cover, algorithm, "alice-pw", "INVITE", body, &invite);
        assert_eq!(found, with_body, "{algorithm}");
        let found = expected(
            Cover::Bare,
            algorithm,
            "alice-pw",
            "REGISTER",
            "",
            &register,
        );
        assert_eq!(found, bare, "{algorithm}");
    }
}
