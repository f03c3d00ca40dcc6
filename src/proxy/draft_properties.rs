//! What holds for any request and response that is sent on: RFC 3261 §16.6, §16.7, §18.3.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Draft, LeaveOut, Onward, OwnVia, Routes, write_response};
use crate::sip::{
    Frame, FrameLimits, Framer, FromRule, HeaderName, Message, Request, SipUri, StartLine, Via,
    is_token, list_elements,
};

const LIMITS: FrameLimits = FrameLimits {
    head_bytes: 65_536,
    body_bytes: 65_536,
    fields: 200,
};

const VIA: OwnVia<'static> = OwnVia {
    transport: "TLS",
    sent_by: "us.example:5061",
    branch: "z9hG4bK00000000000000ab.1",
    rport: false,
};

/// Header lines, good and bad ones, and pieces that might end a line or a head where nobody means to.
const LINES: [&str; 30] = [
    "Max-Forwards: 70\r\n",
    "max-forwards:0\r\n",
    "Max-Breadth: 60\r\n",
    "Route: <sip:us.example;lr>\r\n",
    "Route: <sip:t@us.example;lr;drr>, \"R, <\" <sip:r1@r;lr>;x=\"y,\"\r\n",
    "route : <sip:r2;lr>\r\n",
    "Route: sip:r3\r\n",
    "Record-Route: <sip:p;lr>\r\n",
    "v: SIP/2.0/UDP h;rport;received=x, SIP / 2.0 / TCP i : 5060 ;branch=b\r\n",
    "Via: garbage\r\n",
    "Content-Length: 5\r\n",
    "l: 0\r\n",
    "Content-Type: text/plain\r\n",
    "Proxy-Authorization: Digest realm=\"us\", nonce=\"n\"\r\n",
    "Proxy-Authorization: Digest realm=\"them\"\r\n",
    "P-Asserted-Identity: <sip:a@h>\r\n",
    "Subject:\r\n",
    "s:  two  blanks \t\r\n",
    "X-Folded: a\r\n b\r\n\tc\r\n",
    "X-Quoted: \"\\\0 \\\x7f \\\\\"\r\n",
    "X-Quoted: \"\\\r\n \\\n\"\r\n",
    "X-Escaped: \\\0\\\x0b\r\n",
    "X-Utf8: m\u{fc}\r\n",
    "X: y\nEvil: z\r\n",
    "X: y\rEvil: z\r\n",
    "X: y\0\r\n",
    "X: y\r\n\r\n",
    "X: y\r\r\n",
    "To: <sip:x@h>\r\n",
    "no colon\r\n",
];

/// A message with these start line and method, some of the lines in between, and maybe an octet changed.
fn message(start: &'static str, method: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let some = || vec(select(&LINES[..]), 0..5).prop_map(|lines| lines.concat());
    let via = select(
        &[
            "Via: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bK1\r\n",
            "Via: SIP/2.0/TLS h;rport;branch=z9hG4bK1\r\n",
            "v:SIP/2.0/TLS 192.0.2.9 ;x , SIP/2.0/TLS j\r\n",
            "Via: SIP/2.0/TLS us.example;branch=z9hG4bK1\r\nVia: SIP/2.0/TLS h\r\n",
        ][..],
    );
    let ids = select(
        &[
            "From: \"A\" <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: c\r\n",
            "t: sip:b@h;tag=t\r\ni:c@h\r\nf:  <sip:a@h>\r\n",
        ][..],
    );
    let change = prop::option::of((any::<Index>(), any::<u8>()));
    (some(), via, some(), ids, some(), "[ -~\r\n]{0,12}", change).prop_map(
        move |(before, via, between, ids, after, body, change)| {
            let head =
                format!("{start}{before}{via}{between}{ids}CSeq: 1 {method}\r\n{after}\r\n{body}");
            let mut bytes = head.into_bytes();
            if let Some((at, octet)) = change
                && let Some(place) = bytes.get_mut(at.index(start.len() * 30))
            {
                *place = octet;
            }
            bytes
        },
    )
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        message("INVITE sip:b@us.example SIP/2.0\r\n", "INVITE"),
        message("REGISTER sip:t@us.example;lr SIP/2.0\r\n", "REGISTER"),
        message("MESSAGE tel:1 SIP/2.0\r\n", "MESSAGE"),
    ]
}

fn parse(bytes: &[u8]) -> Message<'_> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    Message::parse(bytes, head, LIMITS.fields)
}

fn is_mine(uri: &SipUri<'_>) -> bool {
    uri.host.canonical() == "us.example"
}

/// Names as written and values of the fields that nobody has a reason to touch.
fn untouched(message: &Message<'_>, touched: &[HeaderName]) -> Vec<(Vec<u8>, Vec<u8>)> {
    message
        .fields()
        .filter(|(name, text, _)| !touched.contains(name) && is_token(text))
        .map(|(_, text, value)| (text.to_vec(), value.to_vec()))
        .collect()
}

/// Every value of a field that is a list.
fn values(message: &Message<'_>, name: HeaderName) -> Vec<Vec<u8>> {
    let values = message.all(name).flat_map(list_elements);
    values.map(<[u8]>::to_vec).collect()
}

/// The only message in these octets, framed as a receiver would.
fn framed(bytes: &[u8]) -> Message<'_> {
    match Framer::default().next(bytes, &LIMITS) {
        Frame::Message { message, length } => {
            assert_eq!(length, bytes.len());
            assert_eq!(message.fault(), None);
            message
        }
        other => unreachable!("{other:?}"),
    }
}

/// What a receiver makes of a request that is sent on, against what came.
fn check_request(message: &Message<'_>) {
    let Ok(request) = Request::read(message, FromRule::Single) else {
        return;
    };
    let Ok(routes) = Routes::of(&request, is_mine) else {
        return;
    };
    let draft = Draft::new(&Onward {
        request: &request,
        routes: &routes,
        source: ([192, 0, 2, 9], 40_112).into(),
        uri: "sip:b@192.0.2.2",
        keep_request_uri: false,
        path: &["<sip:p;lr>".to_owned()],
        max_forwards: 69,
        max_breadth: Some(30),
        leave_out: &[LeaveOut::Credentials { realm: "us".into() }],
        add: b"X-Ours: 1\r\n",
    })
    .unwrap();
    let mut out = Vec::new();
    draft.write(&VIA, &["<sip:us.example;lr>".to_owned()], &mut out);
    let sent = framed(&out);
    let onward = Request::read(&sent, FromRule::Single).unwrap();

    assert_eq!(sent.body(), message.body());
    assert_eq!(onward.uri_text, b"sip:b@192.0.2.2");
    assert_eq!(draft.next_hop(), "sip:p;lr");
    assert_eq!(onward.method, request.method);
    assert_eq!(onward.max_forwards, Some(69));
    assert_eq!(
        sent.all(HeaderName::MaxBreadth).collect::<Vec<_>>(),
        [b"30"]
    );
    assert_eq!(sent.count(HeaderName::ContentLength), 1);
    let touched = [
        HeaderName::Via,
        HeaderName::MaxForwards,
        HeaderName::MaxBreadth,
        HeaderName::Route,
        HeaderName::RecordRoute,
        HeaderName::Path,
        HeaderName::ContentLength,
        HeaderName::ProxyAuthorization,
    ];
    let mut wanted = untouched(message, &touched);
    wanted.push((b"X-Ours".to_vec(), b"1".to_vec()));
    assert_eq!(untouched(&sent, &touched), wanted);
    let recorded = match request.method.as_str() {
        "REGISTER" => HeaderName::Path,
        _ => HeaderName::RecordRoute,
    };
    let mut wanted = values(message, recorded);
    wanted.insert(0, b"<sip:us.example;lr>".to_vec());
    assert_eq!(values(&sent, recorded), wanted);
    let mut wanted: Vec<_> = routes.rest.iter().map(|route| route.to_vec()).collect();
    wanted.insert(0, b"<sip:p;lr>".to_vec());
    assert_eq!(values(&sent, HeaderName::Route), wanted);
    // With an octet changed it may be anybody's.
    let credentials = |message: &Message<'_>| {
        let all = message.all(HeaderName::ProxyAuthorization);
        all.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let (mut came, goes) = (credentials(message), credentials(&sent));
    came.retain(|value| goes.contains(value) || memchr::memmem::find(value, b"us").is_none());
    assert_eq!(goes, came);
    assert!(!goes.contains(&b"Digest realm=\"us\", nonce=\"n\"".to_vec()));

    let (came, goes) = (
        values(message, HeaderName::Via),
        values(&sent, HeaderName::Via),
    );
    let via = "SIP/2.0/TLS us.example:5061;branch=z9hG4bK00000000000000ab.1";
    assert_eq!(goes.first().map(Vec::as_slice), Some(via.as_bytes()));
    assert_eq!(goes.get(2..), came.get(1..));
    let noted = Via::parse(goes.get(1).unwrap()).unwrap();
    assert_eq!(
        (noted.sent_by, noted.branch()),
        (request.via.sent_by, request.via.branch())
    );
    if noted.parameters.value("rport").is_some() || noted.host.canonical() != "192.0.2.9" {
        assert_eq!(noted.parameters.value("received"), Some(&b"192.0.2.9"[..]));
    }

    let mut out = Vec::new();
    draft.write_cancel(&VIA, b"Reason: SIP;cause=200\r\n", &mut out);
    check_short(&out, "CANCEL", &onward);
    let mut out = Vec::new();
    draft.write_ack(&VIA, message, &mut out);
    check_short(&out, "ACK", &onward);
}

/// A CANCEL or ACK belongs to the request that was sent, and can be read.
fn check_short(out: &[u8], method: &str, sent: &Request<'_>) {
    let message = framed(out);
    let short = Request::read(&message, FromRule::Single).unwrap();
    assert_eq!(short.method.as_str(), method);
    assert_eq!(message.body(), b"");
    assert_eq!(
        (
            short.uri_text,
            short.call_id,
            short.cseq,
            short.via.branch()
        ),
        (sent.uri_text, sent.call_id, sent.cseq, sent.via.branch()),
    );
    for name in [HeaderName::From, HeaderName::To, HeaderName::Route] {
        assert_eq!(values(&message, name), values(sent.message, name));
    }
    assert_eq!(message.count(HeaderName::Via), 1);
}

/// What a receiver makes of a response that is sent on, against what came.
fn check_response(message: &Message<'_>) {
    let mut out = Vec::new();
    if !write_response(message, None, b"X-Ours: 1\r\n", Some("us"), &mut out) {
        assert_eq!(out, b"");
        return;
    }
    let sent = framed(&out);
    let (
        StartLine::Response {
            status: a,
            reason: r,
        },
        StartLine::Response {
            status: b,
            reason: s,
        },
    ) = (message.start_line(), sent.start_line())
    else {
        unreachable!("{sent:?}");
    };
    assert_eq!((a, r), (b, s));
    assert_eq!(sent.body(), message.body());
    let touched = [
        HeaderName::Via,
        HeaderName::ContentLength,
        HeaderName::Server,
    ];
    let mut wanted = untouched(message, &touched);
    wanted.push((b"X-Ours".to_vec(), b"1".to_vec()));
    assert_eq!(untouched(&sent, &touched), wanted);
    let mut vias = values(message, HeaderName::Via);
    vias.remove(0);
    assert_eq!(values(&sent, HeaderName::Via), vias);
    assert!(sent.top_via().and_then(Via::parse).is_some());
    assert_eq!(
        sent.count(HeaderName::Server),
        message.count(HeaderName::Server).max(1)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_request_that_is_sent_on_reads_as_what_came(bytes in request()) {
        check_request(&parse(&bytes));
    }

    #[test]
    fn a_response_that_is_sent_on_reads_as_what_came(bytes in message("SIP/2.0 200 O\u{fc}K\r\n", "INVITE")) {
        check_response(&parse(&bytes));
    }

    #[test]
    fn no_value_has_what_could_end_its_line(bytes in request()) {
        let message = parse(&bytes);
        for (_, _, value) in message.fields() {
            // A control character is one of a quoted pair (RFC 3261 §25.1), and never the end of a line.
            let mut escaped = false;
            for octet in value {
                let control = octet.is_ascii_control() && *octet != b'\t';
                prop_assert!(!control || escaped && !matches!(octet, b'\r' | b'\n'), "{}", value.escape_ascii());
                escaped = *octet == b'\\' && !escaped;
            }
        }
    }
}

/// How many of the generated messages get as far as being written, so that the properties above say something.
#[test]
fn the_generated_messages_are_mostly_good() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let good = (0..200)
        .filter(|_| {
            let bytes = request().new_tree(&mut runner).unwrap().current();
            let message = parse(&bytes);
            Request::read(&message, FromRule::Single)
                .is_ok_and(|request| Routes::of(&request, is_mine).is_ok())
        })
        .count();
    assert!(good > 20, "{good}");
}

/// The messages of RFC 4475, RFC 5118 and RFC 6216.
#[test]
fn torture_messages_go_on_as_they_came() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture");
    let index = fs::read_to_string(folder.join("index.tsv")).unwrap();
    let (mut requests, mut responses) = (0, 0);
    for line in index.lines().skip(1) {
        let file = line.split('\t').next().unwrap();
        let bytes = fs::read(folder.join(file)).unwrap();
        let Frame::Message { message, .. } = Framer::default().next(&bytes, &LIMITS) else {
            continue;
        };
        if message.is_response() {
            check_response(&message);
            responses += 1;
        } else if Request::read(&message, FromRule::Single).is_ok() {
            check_request(&message);
            requests += 1;
        }
    }
    assert!(requests > 30 && responses > 3, "{requests} {responses}");
}
