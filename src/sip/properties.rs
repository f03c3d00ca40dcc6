//! What holds for any octets: RFC 3261 §7, §18.3, §19.1.4.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const LIMITS: FrameLimits = FrameLimits {
    head_bytes: 600,
    body_bytes: 40,
    fields: 12,
};

/// Pieces that messages are made of, good and bad, so that random texts get past the first line.
const PIECES: [&str; 34] = [
    "REGISTER sip:example.com SIP/2.0\r\n",
    "INVITE sip:bob@example.com;transport=tls SIP/2.0\r\n",
    "OPTIONS tel:1 SIP/7.0\r\n",
    "SIP/2.0 200 OK\r\n",
    "sip/2.0 99\r\n",
    "Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1\r\n",
    "v: SIP/2.0/TLS h;rport, SIP/2.0/UDP i\r\n",
    "Via:\r\n SIP / 2.0 / TLS [2001:db8::1] : 5061 ; received = x\r\n",
    "From: \"A, \\\"B\\\" <\" <sip:alice@example.com>;tag=1\r\n",
    "f: sip:a@h, sip:b@h\r\n",
    "To: <sip:al%69ce@example.com>\r\n",
    "To: \"\\\0 <sip:a@h>;x=\"\\\r\n",
    "Call-ID: 1@h\r\n",
    "i : 2\r\n",
    "CSeq: 1 REGISTER\r\n",
    "CSeq: 2 INVITE\r\n",
    "Max-Forwards: 70\r\n",
    "Contact: <sip:a@h;x=1>;q=0.5, *\r\n",
    "l: 0\r\n",
    "l: 3\r\n",
    "Content-Length: 41\r\n",
    "Content-Length: -1\r\n",
    "X: y\r\n folded\r\n",
    "no colon\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    " ",
    ":",
    "\0",
    "abc",
    "\u{fc}",
    ";;,",
];

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec(select(&PIECES[..]), 0..30).prop_map(|p| p.concat().into_bytes());
    prop_oneof![pieces, vec(any::<u8>(), 0..200)]
}

/// A good REGISTER or a good INVITE, with a body.
fn valid() -> impl Strategy<Value = Vec<u8>> {
    let fields = vec(
        select(&["Max-Forwarded: 70\r\n", "Subject:\r\n", "m: *\r\n"][..]),
        0..3,
    )
    .prop_map(|p| p.concat());
    (
        "[a-z0-9]{1,8}",
        "[a-z]{1,8}",
        fields,
        "[ -~]{0,20}",
        any::<bool>(),
    )
        .prop_map(|(branch, user, fields, body, register)| {
            let method = if register { "REGISTER" } else { "INVITE" };
            format!(
                "{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK{branch}\r\n\
                 From: <sip:{user}@example.com>;tag=1\r\nTo: {user} <sip:{user}@example.com>\r\n\
                 Call-ID: {branch}\r\nCSeq: 1 {method}\r\n{fields}Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
}

/// A good message with some octets replaced, taken out or put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), 0..3_usize, select(&PIECES[..]), any::<u8>());
    (valid(), vec(change, 0..4)).prop_map(|(mut bytes, changes)| {
        for (place, kind, piece, octet) in changes {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = octet,
                1 => drop(bytes.splice(at..at, piece.bytes())),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                bytes.push(octet);
            }
        }
        bytes
    })
}

/// Every frame of a stream that arrives in these chunks, in full.
fn frames(stream: &[u8], chunks: &[usize]) -> Vec<String> {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    let (mut from, mut have) = (0, 0);
    let mut chunks = chunks.iter();
    loop {
        let length = match framer.next(&stream[from..have], &LIMITS) {
            Frame::Ping => {
                found.push("ping".into());
                4
            }
            Frame::Pong => {
                found.push("pong".into());
                2
            }
            Frame::Message { message, length } => {
                assert!(length <= have - from && length >= message.body().len());
                found.push(format!("{length} {message:?}"));
                length
            }
            Frame::Unframed { message, fault } => {
                found.push(format!("{fault:?} {message:?}"));
                return found;
            }
            Frame::Partial { started } if have == stream.len() => {
                found.push(format!("partial {started}"));
                return found;
            }
            Frame::Partial { .. } => {
                have = (have + chunks.next().unwrap_or(&stream.len())).min(stream.len());
                continue;
            }
        };
        from += length;
    }
}

/// Everything that can be asked of a message.
fn look_at(message: &Message<'_>) {
    for (_, name, value) in message.fields() {
        assert!(!name.is_empty());
        assert!(!value.contains(&b'\n') && !value.contains(&b'\r'));
        let _ = (Uri::parse(value), Via::parse(value), Address::parse(value));
        for address in addresses(value).flatten() {
            let _ = address.uri.sip().map(SipUri::address_of_record);
        }
    }
    let _ = (message.top_via(), message.content_length(), message.fault());
    let _ = Request::read(message, FromRule::First);
}

/// What a reply must have taken over, as the message has it.
fn copied(message: &Message<'_>) -> Vec<Vec<u8>> {
    [HeaderName::From, HeaderName::CallId, HeaderName::CSeq]
        .iter()
        .map(|name| message.first(*name).unwrap().to_vec())
        .collect()
}

fn uris() -> impl Strategy<Value = String> {
    let user = "(([a-cA-C%;#]|%61|%4[12]|%2[fF]){1,3}(:[a%6]{0,2})?@)?";
    let host = "([hH]\\.?|\\[::1\\]|192\\.0\\.2\\.1)(:506[01])?";
    let parameters = "(;(a|A|%61|lr|maddr|ttl|%6dethod)(=[aAb]|=%4[12])?){0,3}";
    let headers = "(\\?[aA]=[bB]?(&[ab]=%6[12])?)?";
    proptest::string::string_regex(&format!("(sip|SIP|sips):{user}{host}{parameters}{headers}"))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn no_octets_make_the_parser_panic(bytes in prop_oneof![octets(), mutated()], head in any::<Index>(), fields in 0..40_usize) {
        look_at(&Message::parse(&bytes, head.index(bytes.len() + 1), fields));
        look_at(&Message::parse(&bytes, bytes.len(), 64));
        look_at(&Message::parse(&bytes, bytes.len(), 64).into_owned());
    }

    #[test]
    fn a_stream_has_the_same_frames_however_it_is_cut(
        parts in vec(prop_oneof![octets(), mutated(), valid()], 1..4),
        chunks in vec(1..40_usize, 0..60),
    ) {
        let stream = parts.concat();
        let whole = frames(&stream, &[]);
        prop_assert_eq!(&frames(&stream, &chunks), &whole);
        prop_assert_eq!(&frames(&stream, &vec![1; stream.len()]), &whole);
    }

    #[test]
    fn a_good_message_is_framed_and_read(bytes in valid()) {
        match Framer::default().next(&bytes, &LIMITS) {
            Frame::Message { message, length } => {
                prop_assert_eq!(length, bytes.len());
                prop_assert_eq!(message.as_bytes(), &bytes[..]);
                prop_assert!(Request::read(&message, FromRule::Single).is_ok());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_reply_that_is_written_reads_as_one(bytes in mutated(), source in any::<bool>()) {
        let head = bytes.len();
        let message = Message::parse(&bytes, head, 64);
        if !Reply::is_possible(&message) {
            return Ok(());
        }
        let reply = Reply {
            status: StatusCode::FORBIDDEN,
            phrase: "Forbidden",
            to_tag: Some("t1"),
            source: source.then(|| "[2001:db8::9]:5061".parse().unwrap()),
            server: Some("Sipvouch"),
            headers: b"",
        };
        let mut out = Vec::new();
        reply.write(&message, &mut out);
        let limits = FrameLimits { head_bytes: out.len(), ..LIMITS };
        let limits = FrameLimits { fields: 64, ..limits };
        let frame = Framer::default().next(&out, &limits);
        let Frame::Message { message: response, length } = frame else {
            return Err(TestCaseError::fail(format!("{frame:?}")));
        };
        prop_assert_eq!(length, out.len());
        prop_assert_eq!(response.fault(), None);
        prop_assert!(response.is_response());
        prop_assert_eq!(copied(&response), copied(&message));
        prop_assert!(response.first(HeaderName::To).unwrap().starts_with(message.first(HeaderName::To).unwrap()));
        let vias = |message: &Message<'_>| message.all(HeaderName::Via).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (asked, answered) = (vias(&message), vias(&response));
        prop_assert_eq!(&asked[1..], &answered[1..]);
        if let (Some(a), Some(b)) = (
            message.top_via().and_then(Via::parse),
            response.top_via().and_then(Via::parse),
        ) {
            prop_assert_eq!((a.sent_by, a.branch()), (b.sent_by, b.branch()));
        }
    }

    #[test]
    fn comparison_is_reflexive_and_symmetric(a in uris(), b in uris()) {
        if let (Some(a), Some(b)) = (SipUri::parse(&a), SipUri::parse(&b)) {
            prop_assert!(a.is_equivalent(&a));
            prop_assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a));
            if a.is_equivalent(&b) {
                prop_assert_eq!(a.address_of_record(), b.address_of_record());
            }
        }
    }

    #[test]
    fn a_uri_that_is_written_reads_as_the_same(text in uris()) {
        if let Some(uri) = SipUri::parse(&text) {
            let written = uri.to_string();
            prop_assert!(SipUri::parse(&written).unwrap().is_equivalent(&uri));
        }
    }

    #[test]
    fn a_canonical_user_stays_as_it_is(user in "([a-zA-Z0-9;#%/\\[ é]|%[0-9a-fA-F]{2})*") {
        let once = canonical_user(&user).into_owned();
        let twice = canonical_user(&once).into_owned();
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn parameters_are_those_that_were_written(pairs in vec(("[a-z]{1,5}", prop::option::of("[a-z0-9.\\[\\]:]{1,5}|\"[a-z;,<]{0,5}\"")), 0..6)) {
        let mut text = String::new();
        for (name, value) in &pairs {
            text.push_str(&format!(" ; {name}"));
            if let Some(value) = value {
                text.push_str(&format!("= {value}"));
            }
        }
        let parsed = Parameters::parse(text.as_bytes()).unwrap();
        let found: Vec<_> = parsed
            .iter()
            .map(|(n, v)| {
                let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
                (text(n), v.map(text))
            })
            .collect();
        prop_assert_eq!(found, pairs);
    }
}
