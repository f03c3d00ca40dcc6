//! What one message costs, in nanoseconds: `cargo bench --bench parse`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hash::RandomState;
use std::hint::black_box;
use std::time::Instant;

use sipvouch::proxy::{Draft, Onward, OwnVia, Routes, branch, loop_key, loops, write_response};
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

/// 10 header fields, as a phone sends it to be relayed.
const MESSAGE: &str = "MESSAGE sip:bob@example.com SIP/2.0\r\n\
    Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK-524287-1---a1b2c3d4;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=5f3c1a7e\r\n\
    To: <sip:bob@example.com>\r\n\
    Call-ID: ODlhNzU2ZGYyNjI5ZjA1NWQ2\r\n\
    CSeq: 1 MESSAGE\r\n\
    User-Agent: PolycomVVX-VVX_411-UA/5.9.5.0614\r\n\
    Accept-Language: en\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 18\r\n\r\nSee you at eleven.";

/// What it is answered with, as it comes back.
const OK: &str = "SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/TLS sip.example.com:5061;branch=z9hG4bK00000000000000ab.w1-17\r\n\
    Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK-524287-1---a1b2c3d4;received=192.0.2.9;rport=40112\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=5f3c1a7e\r\n\
    To: <sip:bob@example.com>;tag=77aa\r\n\
    Call-ID: ODlhNzU2ZGYyNjI5ZjA1NWQ2\r\n\
    CSeq: 1 MESSAGE\r\n\
    User-Agent: PolycomVVX-VVX_411-UA/5.9.5.0614\r\n\
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
    println!("\nns/op     routes   draft   write    loop  response  copied   octets");
    for (name, text) in [("MESSAGE", MESSAGE), ("INVITE", &invite)] {
        relay(name, text.as_bytes());
    }
}

/// What it costs to send a request on, and its answer back; `copied` is the request copied once, and nothing else.
fn relay(name: &str, bytes: &[u8]) {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n").unwrap() + 4;
    let message = Message::parse(bytes, head, LIMITS.fields);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let response = Message::parse(OK.as_bytes(), OK.len(), LIMITS.fields);
    let secret = RandomState::new();
    let routes_of = |request: &Request<'_>| {
        let routes = Routes::of(request, |uri| uri.port == Some(5061));
        routes.is_ok()
    };
    let routes = Routes::of(&request, |uri| uri.port == Some(5061)).unwrap();
    let onward = Onward {
        request: &request,
        routes: &routes,
        source: ([192, 0, 2, 9], 40_112).into(),
        uri: "sip:bob@192.0.2.2:5061;transport=tls",
        keep_request_uri: false,
        path: &[],
        max_forwards: 69,
        max_breadth: Some(60),
        leave_out: &[],
        add: b"",
    };
    let mut out = Vec::with_capacity(4096);
    let route = measure(|| routes_of(black_box(&request)));
    let draft = measure(|| Draft::new(black_box(&onward)).unwrap().len());
    let drafted = Draft::new(&onward).unwrap();
    let key = loop_key(&request, &routes, &secret);
    let made = branch::make(key, "w1-17");
    let via = OwnVia {
        transport: "TLS",
        sent_by: "sip.example.com:5061",
        branch: &made,
        rport: true,
    };
    let write = measure(|| {
        out.clear();
        drafted.write(black_box(&via), &[], &mut out);
        out.len()
    });
    let looped = measure(|| {
        let key = loop_key(black_box(&request), &routes, &secret);
        loops(&request, |_| true, key)
    });
    let back = measure(|| {
        out.clear();
        write_response(black_box(&response), None, b"", Some("Sipvouch"), &mut out)
    });
    let copied = measure(|| {
        out.clear();
        out.extend_from_slice(black_box(bytes));
        out.len()
    });
    println!(
        "{name:9}{route:7.0} {draft:7.0} {write:7.0} {looped:7.0} {back:9.0} {copied:7.0} {:8}",
        bytes.len()
    );
}
