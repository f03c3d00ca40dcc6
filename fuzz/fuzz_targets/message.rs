//! Any octets as one message: whatever they are, an answer to them is a message that says the same (RFC 3261 §8.2.6.2).
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::sip::{
    Frame, FrameLimits, Framer, FromRule, HeaderName, Message, Reply, Request, StatusCode, Via,
    addresses,
};

fuzz_target!(|data: &[u8]| {
    let head = data
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map_or(data.len(), |at| at + 4);
    let message = Message::parse(data, head, 64);
    for (name, text, value) in message.fields() {
        assert_eq!(HeaderName::parse(text), name);
        assert!(!value.iter().any(|o| matches!(o, b'\r' | b'\n')));
        let _ = addresses(value).count();
    }
    if let Ok(request) = Request::read(&message, FromRule::Single) {
        // A stricter rule reads nothing else.
        let first = Request::read(&message, FromRule::First).unwrap();
        assert_eq!(
            (request.from.text, request.call_id),
            (first.from.text, first.call_id)
        );
    }
    if !Reply::is_possible(&message) {
        return;
    }
    let reply = Reply {
        status: StatusCode::BAD_REQUEST,
        phrase: "Bad Request",
        to_tag: Some("t1"),
        source: Some(([192, 0, 2, 9], 5061).into()),
        server: Some("Sipvouch"),
        headers: b"",
    };
    let mut out = Vec::new();
    reply.write(&message, &mut out);
    let limits = FrameLimits {
        head_bytes: out.len(),
        body_bytes: 0,
        fields: 128,
    };
    let Frame::Message {
        message: answer,
        length,
    } = Framer::default().next(&out, &limits)
    else {
        panic!("{:?} is no answer", String::from_utf8_lossy(&out));
    };
    assert_eq!((length, answer.fault()), (out.len(), None));
    for name in [HeaderName::From, HeaderName::CallId, HeaderName::CSeq] {
        assert_eq!(message.first(name), answer.first(name));
    }
    assert!(
        answer
            .first(HeaderName::To)
            .unwrap()
            .starts_with(message.first(HeaderName::To).unwrap())
    );
    assert!(
        message
            .all(HeaderName::Via)
            .skip(1)
            .eq(answer.all(HeaderName::Via).skip(1))
    );
    if let Some(via) = message.top_via().and_then(Via::parse) {
        let back = answer.top_via().and_then(Via::parse).unwrap();
        assert_eq!((via.sent_by, via.branch()), (back.sent_by, back.branch()));
        assert!(
            back.parameters
                .iter()
                .filter(|(n, _)| n.eq_ignore_ascii_case(b"received"))
                .count()
                < 2
        );
    }
});
