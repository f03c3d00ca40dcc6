//! What holds for any octets: RFC 7616 §3.4.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::challenge::quoted;
use super::test_support::{NOW, digest, ip, options};
use super::{Credentials, DigestRequest};

/// Pieces of answers, good and bad, so that random texts get past the first parameter.
const PIECES: [&str; 26] = [
    "Digest ",
    "Basic ",
    "username=\"alice\"",
    "USERNAME = \"b\\\"ob\"",
    "username*=UTF-8''a",
    "realm=\"example.org\"",
    "nonce=\"n\"",
    "nonce=n",
    "uri=\"sip:h\"",
    "response=\"0\"",
    "algorithm=MD5",
    "algorithm=\"SHA-256\"",
    "qop=auth",
    "nc=00000001",
    "nc=1",
    "cnonce=\"\\\\\"",
    "opaque=\"\"",
    "userhash=true",
    "x=y",
    ",",
    ", ",
    "\"",
    "\\",
    "=",
    "\r\n ",
    "\u{e4}\0",
];

/// The value that reads as these credentials.
fn write(own: &Credentials<'_>) -> String {
    let mut value = "Digest ".to_owned();
    let nc = own.nc.as_ref().map(|(text, _)| text);
    for (name, text) in [
        ("username", Some(&own.username)),
        ("realm", Some(&own.realm)),
        ("nonce", Some(&own.nonce)),
        ("uri", Some(&own.uri)),
        ("response", Some(&own.response)),
        ("algorithm", own.algorithm.as_ref()),
        ("qop", own.qop.as_ref()),
        ("cnonce", own.cnonce.as_ref()),
        ("nc", nc),
        ("opaque", own.opaque.as_ref()),
    ] {
        if let Some(text) = text {
            value.push_str(&format!("{name}={},", quoted(text)));
        }
    }
    value
}

fn answer() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(select(&PIECES[..]), 0..30).prop_map(|pieces| pieces.concat().into_bytes()),
        vec(select(&PIECES[2..19]), 0..20).prop_map(|pieces| format!(
            "Digest {}",
            pieces.join(",")
        )
        .into_bytes()),
    ]
}

proptest! {
    #[test]
    fn no_octets_make_it_panic_and_none_get_past_the_nonce(octets in answer()) {
        let Ok(Some(own)) = Credentials::parse(&octets) else {
            return Ok(());
        };
        let request = DigestRequest { method: "INVITE", uri: b"sip:h", body: b"", is_datagram: false };
        prop_assert!(digest(options()).check(&own, &request, ip("::1"), NOW).is_err());
        let text = write(&own);
        prop_assert_eq!(Credentials::parse(text.as_bytes()), Ok(Some(own)));
    }

    #[test]
    fn what_is_written_reads_as_the_same(
        texts in prop::array::uniform5("[^\\p{Cc}]{0,20}"),
        optional in prop::array::uniform4(prop::option::of("[^\\p{Cc}]{0,20}")),
        nc in any::<u32>(),
    ) {
        let [username, realm, nonce, uri, response] = texts.map(Into::into);
        let [algorithm, qop, cnonce, opaque] = optional.map(|text| text.map(Into::into));
        let own = Credentials {
            username,
            realm,
            nonce,
            uri,
            response,
            algorithm,
            // Both or neither: see the grammar.
            qop: cnonce.as_ref().and(qop),
            cnonce,
            nc: Some((format!("{nc:08x}").into(), nc)),
            opaque,
        };
        let text = write(&own);
        prop_assert_eq!(Credentials::parse(text.as_bytes()), Ok(Some(own)));
    }
}
