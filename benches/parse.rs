//! What one message costs, in nanoseconds: `cargo bench --bench parse`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use sipvouch::sip::{Frame, FrameLimits, Framer, FromRule, Message, Reply, Request, StatusCode};

const LIMITS: FrameLimits = FrameLimits {
    head_bytes: 65_536,
    body_bytes: 65_536,
    fields: 128,
};

const OPTIONS: &str = "OPTIONS sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK-524287-1---a1b2c3d4\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:alice@example.com>;tag=5f3c1a7e\r\n\
    To: <sip:example.com>\r\n\
    Call-ID: 8f1e2d3c4b5a@192.0.2.1\r\n\
    CSeq: 1 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK-524287-1---a1b2c3d4;rport\r\n\
    Max-Forwards: 70\r\n\
    Contact: <sip:alice@192.0.2.1:5061;transport=tls>;expires=3600;+sip.instance=\"<urn:uuid:0a1b2c3d>\"\r\n\
    To: \"Alice\" <sip:alice@example.com>\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=5f3c1a7e\r\n\
    Call-ID: ODlhNzU2ZGYyNjI5ZjA1NWQ2\r\n\
    CSeq: 2 REGISTER\r\n\
    Expires: 3600\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO\r\n\
    User-Agent: PolycomVVX-VVX_411-UA/5.9.5.0614\r\n\
    Supported: path, outbound, gruu\r\n\
    Content-Length: 0\r\n\r\n";

/// 20 header fields and a session description.
fn invite() -> String {
    let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=audio 49170 RTP/AVP 0 8 9 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
    format!(
        "INVITE sip:bob@example.com;user=phone SIP/2.0\r\n\
         Via: SIP/2.0/TLS 192.0.2.7:5061;branch=z9hG4bK-524287-2---b1b2c3d4\r\n\
         Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK-524287-1---a1b2c3d4;received=192.0.2.9\r\n\
         Record-Route: <sip:192.0.2.7:5061;transport=tls;lr>\r\n\
         Route: <sip:example.com;transport=tls;lr>\r\n\
         Max-Forwards: 69\r\n\
         From: \"Alice Liddell\" <sip:alice@example.com>;tag=5f3c1a7e\r\n\
         To: \"Bob\" <sip:bob@example.com;user=phone>\r\n\
         Call-ID: ODlhNzU2ZGYyNjI5ZjA1NWQ2\r\n\
         CSeq: 101 INVITE\r\n\
         Contact: <sip:alice@192.0.2.1:5061;transport=tls>\r\n\
         Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE\r\n\
         Supported: replaces, 100rel, timer\r\n\
         Session-Expires: 1800\r\n\
         Min-SE: 90\r\n\
         User-Agent: PolycomVVX-VVX_411-UA/5.9.5.0614\r\n\
         Accept-Language: en\r\n\
         P-Preferred-Identity: \"Alice\" <sip:alice@example.com>\r\n\
         Allow-Events: conference, talk, hold\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Shortest time of a call, over many short rounds.
fn measure<T>(mut call: impl FnMut() -> T) -> f64 {
    const CALLS: u32 = 1_000;
    (0..300)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                black_box(call());
            }
            start.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let reply = Reply {
        status: StatusCode::OK,
        phrase: "OK",
        to_tag: Some("3f2a9c1b7d4e"),
        source: Some(([192, 0, 2, 9], 40_112).into()),
        server: Some("Sipvouch"),
        headers: b"",
    };
    println!("ns/op      parse    read   reply   frame     all   octets");
    let invite = invite();
    for (name, text) in [
        ("OPTIONS", OPTIONS),
        ("REGISTER", REGISTER),
        ("INVITE", &invite),
    ] {
        let bytes = text.as_bytes();
        let head = text.find("\r\n\r\n").unwrap() + 4;
        let message = Message::parse(bytes, head, LIMITS.fields);
        let mut out = Vec::with_capacity(4096);
        let parse = measure(|| Message::parse(black_box(bytes), head, LIMITS.fields).fault());
        let read = measure(|| {
            Request::read(black_box(&message), FromRule::Single)
                .unwrap()
                .cseq
        });
        let write = measure(|| {
            out.clear();
            reply.write(black_box(&message), &mut out);
            out.len()
        });
        let frame = measure(|| {
            matches!(
                Framer::default().next(black_box(bytes), &LIMITS),
                Frame::Message { .. }
            )
        });
        let all = measure(|| {
            let frame = Framer::default().next(black_box(bytes), &LIMITS);
            let Frame::Message { message, .. } = &frame else {
                unreachable!()
            };
            out.clear();
            let request = Request::read(message, FromRule::Single).unwrap();
            reply.write(message, &mut out);
            request.cseq
        });
        println!(
            "{name:9}{parse:7.0} {read:7.0} {write:7.0} {frame:7.0} {all:7.0} {:8}",
            text.len()
        );
    }
}
