//! Requests as they leave, octet by octet: RFC 3261 §16.6, §9.1, §17.1.1.3.

#![allow(clippy::unwrap_used)]

use super::{Draft, LeaveOut, Onward, OwnVia, Routes, Undraftable};
use crate::sip::{FromRule, HeaderName, Message, Request, SipUri};

const VIA: OwnVia<'static> = OwnVia {
    transport: "TLS",
    sent_by: "us.example:5061",
    branch: "z9hG4bK00000000000000ab.1",
    rport: true,
};

/// The same as it is written.
const VIA_LINE: &str =
    "Via: SIP/2.0/TLS us.example:5061;branch=z9hG4bK00000000000000ab.1;rport\r\n";

const MESSAGE: &str = "MESSAGE sip:bob@us.example SIP/2.0\r\n\
    Via: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bK1\r\n\
    Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK0\r\n\
    Max-Forwards: 70\r\n\
    From: \"A\" <sip:alice@us.example>;tag=f\r\n\
    To: <sip:bob@us.example>\r\n\
    Call-ID: c\r\n\
    CSeq: 7 MESSAGE\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 5\r\n\r\nhello";

/// Where the request above says it comes from.
const SOURCE: &str = "192.0.2.9:40112";

/// How a draft is made in a test; what is not said is as usual.
#[derive(Clone, Copy)]
struct Sent<'a> {
    source: &'a str,
    uri: &'a str,
    keep: bool,
    path: &'a [&'a str],
    max_breadth: Option<u16>,
    leave_out: &'a [LeaveOut<'a>],
    add: &'a str,
    recorded: &'a [&'a str],
}

const USUAL: Sent<'static> = Sent {
    source: SOURCE,
    uri: "sip:bob@192.0.2.2:5061;transport=tls",
    keep: false,
    path: &[],
    max_breadth: None,
    leave_out: &[],
    add: "",
    recorded: &[],
};

fn is_mine(uri: &SipUri<'_>) -> bool {
    uri.host.canonical() == "us.example"
}

fn draft(request: &str, sent: &Sent<'_>) -> Result<Draft, Undraftable> {
    let head = request.find("\r\n\r\n").unwrap() + 4;
    let message = Message::parse(request.as_bytes(), head, 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let routes = Routes::of(&request, is_mine).unwrap();
    let path: Vec<String> = sent.path.iter().map(|p| (*p).to_owned()).collect();
    Draft::new(&Onward {
        request: &request,
        routes: &routes,
        source: sent.source.parse().unwrap(),
        uri: sent.uri,
        keep_request_uri: sent.keep,
        path: &path,
        max_forwards: 69,
        max_breadth: sent.max_breadth,
        leave_out: sent.leave_out,
        add: sent.add.as_bytes(),
    })
}

fn written(request: &str, sent: &Sent<'_>) -> String {
    let recorded: Vec<String> = sent.recorded.iter().map(|r| (*r).to_owned()).collect();
    let (draft, mut out) = (draft(request, sent).unwrap(), Vec::new());
    draft.write(&VIA, &recorded, &mut out);
    String::from_utf8(out).unwrap()
}

/// The text with each of these replaced once; what is to be replaced must be there.
fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "no {from:?} in {text}");
        text = text.replacen(from, to, 1);
    }
    text
}

/// What every request above becomes, unless a rule says otherwise.
const USUALLY: [(&str, &str); 2] = [
    (
        "sip:bob@us.example SIP/2.0\r\n",
        "sip:bob@192.0.2.2:5061;transport=tls SIP/2.0\r\nVia: SIP/2.0/TLS us.example:5061;branch=z9hG4bK00000000000000ab.1;rport\r\n",
    ),
    ("Max-Forwards: 70", "Max-Forwards: 69"),
];

#[test]
fn a_request_goes_on_as_it_came_but_for_what_the_rfc_changes() {
    let wanted = "MESSAGE sip:bob@192.0.2.2:5061;transport=tls SIP/2.0\r\n\
        Via: SIP/2.0/TLS us.example:5061;branch=z9hG4bK00000000000000ab.1;rport\r\n\
        Via: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bK1\r\n\
        Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK0\r\n\
        Max-Forwards: 69\r\n\
        From: \"A\" <sip:alice@us.example>;tag=f\r\n\
        To: <sip:bob@us.example>\r\n\
        Call-ID: c\r\n\
        CSeq: 7 MESSAGE\r\n\
        Content-Type: text/plain\r\n\
        Content-Length: 5\r\n\r\nhello";
    assert_eq!(written(MESSAGE, &USUAL), wanted);
    assert_eq!(written(MESSAGE, &USUAL), changed(MESSAGE, &USUALLY));
}

#[test]
fn each_field_is_changed_by_its_rule_and_by_no_other() {
    let invite: &[(&str, &str)] = &[("MESSAGE sip", "INVITE sip"), ("7 MESSAGE", "7 INVITE")];
    for (situation, request, sent, wanted) in [
        (
            "no Max-Forwards",
            &[("Max-Forwards: 70\r\n", "")][..],
            USUAL,
            &[(
                "Via: SIP/2.0/TLS 192",
                "Max-Forwards: 69\r\nVia: SIP/2.0/TLS 192",
            )][..],
        ),
        (
            "Max-Forwards in other letters, with zeros and blanks",
            &[("Max-Forwards: 70", "max-forwards :  0070 ")],
            USUAL,
            &[("max-forwards :  0070 ", "Max-Forwards: 69")],
        ),
        (
            "no Content-Length",
            &[("Content-Length: 5\r\n", "")],
            USUAL,
            &[("text/plain\r\n", "text/plain\r\nContent-Length: 5\r\n")],
        ),
        (
            "Content-Length that says something else",
            &[("Content-Length: 5", "l: 0004")],
            USUAL,
            &[("l: 0004", "Content-Length: 5")],
        ),
        (
            "Content-Length twice",
            &[("From", "Content-Length: 9\r\nFrom")],
            USUAL,
            &[
                ("Content-Length: 9", "Content-Length: 5"),
                ("plain\r\nContent-Length: 5", "plain"),
            ],
        ),
        (
            "no body",
            &[("Content-Length: 5\r\n\r\nhello", "\r\n")],
            USUAL,
            &[("text/plain\r\n", "text/plain\r\nContent-Length: 0\r\n")],
        ),
        (
            "fields that nobody knows, in any letters, compact ones, empty ones",
            &[(
                "CSeq",
                "X-a~:\t1  2,\u{fc} \"\r\nx-A~:\r\nk: path\r\nO:message-summary\r\nCSeq",
            )],
            USUAL,
            &[],
        ),
        (
            "folded",
            &[("CSeq", "Subject: a\r\n\t b\r\nCSeq")],
            USUAL,
            &[("a\r\n\t b", "a b")],
        ),
        (
            "sent from elsewhere",
            &[],
            Sent {
                source: "198.51.100.7:5061",
                ..USUAL
            },
            &[(
                "branch=z9hG4bK1\r\n",
                "branch=z9hG4bK1;received=198.51.100.7\r\n",
            )],
        ),
        (
            "rport, false received, a list, compact",
            &[
                (
                    "Via: SIP/2.0/TLS 192.0.2.9:5061;",
                    "v: SIP/2.0/TLS h;rport;received=1.1.1.1;",
                ),
                ("K1\r\nVia: ", "K1 , "),
            ],
            USUAL,
            &[
                (
                    "v: SIP/2.0/TLS h;rport;received=1.1.1.1;",
                    "Via: SIP/2.0/TLS h;",
                ),
                ("K1 , ", "K1;received=192.0.2.9;rport=40112 , "),
            ],
        ),
        (
            "rport of another hop",
            &[("TCP 192.0.2.1;", "TCP h;rport;")],
            USUAL,
            &[],
        ),
        (
            "Max-Breadth stays",
            &[("CSeq", "Max-Breadth: 60\r\nCSeq")],
            USUAL,
            &[],
        ),
        (
            "Max-Breadth is replaced",
            &[
                ("CSeq", "max-breadth: 60\r\nCSeq"),
                ("To:", "Max-Breadth: 7\r\nTo:"),
            ],
            Sent {
                max_breadth: Some(30),
                ..USUAL
            },
            &[
                ("Max-Breadth: 7", "Max-Breadth: 30"),
                ("max-breadth: 60\r\n", ""),
            ],
        ),
        (
            "Max-Breadth is added",
            &[],
            Sent {
                max_breadth: Some(30),
                ..USUAL
            },
            &[(
                "Via: SIP/2.0/TLS 192",
                "Max-Breadth: 30\r\nVia: SIP/2.0/TLS 192",
            )],
        ),
        (
            "further lines",
            &[],
            Sent {
                add: "P-Asserted-Identity: <sip:a@h>\r\nSupported: path\r\n",
                ..USUAL
            },
            &[(
                "Content-Length: 5\r\n",
                "Content-Length: 5\r\nP-Asserted-Identity: <sip:a@h>\r\nSupported: path\r\n",
            )],
        ),
        (
            "left out",
            &[(
                "CSeq",
                "P-Asserted-Identity: <sip:a@h>\r\nProxy-Authorization: Digest realm=\"us\"\r\n\
                 Proxy-Authorization: Digest realm=\"them\"\r\np-asserted-identity: <tel:1>\r\nCSeq",
            )],
            Sent {
                leave_out: &[
                    LeaveOut::Credentials { realm: "us".into() },
                    LeaveOut::Every(HeaderName::PAssertedIdentity),
                ],
                ..USUAL
            },
            &[
                (
                    "P-Asserted-Identity: <sip:a@h>\r\nProxy-Authorization: Digest realm=\"us\"\r\n",
                    "",
                ),
                ("p-asserted-identity: <tel:1>\r\n", ""),
            ],
        ),
        (
            "what a request cannot do without stays",
            &[],
            Sent {
                leave_out: &[
                    LeaveOut::Every(HeaderName::Via),
                    LeaveOut::Every(HeaderName::From),
                    LeaveOut::Every(HeaderName::To),
                    LeaveOut::Every(HeaderName::CallId),
                    LeaveOut::Every(HeaderName::CSeq),
                    LeaveOut::Every(HeaderName::MaxForwards),
                    LeaveOut::Every(HeaderName::ContentLength),
                ],
                ..USUAL
            },
            &[],
        ),
        (
            "recorded",
            &[("From", "Record-Route: <sip:p;lr>\r\nFrom")],
            Sent {
                recorded: &["<sip:t2@us.example;lr>", "<sip:t1@us.example;lr>"],
                ..USUAL
            },
            &[(
                "rport\r\n",
                "rport\r\nRecord-Route: <sip:t2@us.example;lr>\r\nRecord-Route: <sip:t1@us.example;lr>\r\n",
            )],
        ),
        (
            "a target with header fields",
            &[],
            Sent {
                uri: "sip:b@h;x;method=BYE?Route=%3Csip:v%3E",
                ..USUAL
            },
            &[("sip:bob@192.0.2.2:5061;transport=tls", "sip:b@h;x")],
        ),
        ("another method", invite, USUAL, &[]),
    ] {
        let request = changed(MESSAGE, request);
        let wanted = changed(&changed(&request, &USUALLY[..1]), wanted);
        // A test that says something else about it has replaced the line.
        let wanted = wanted.replace("Max-Forwards: 70", "Max-Forwards: 69");
        assert_eq!(written(&request, &sent), wanted, "{situation}");
    }
}

#[test]
fn a_register_leaves_a_path() {
    let request = changed(
        MESSAGE,
        &[("MESSAGE sip", "REGISTER sip"), ("7 MESSAGE", "7 REGISTER")],
    );
    let sent = Sent {
        recorded: &["<sip:us.example;lr>"],
        ..USUAL
    };
    let wanted = changed(
        &changed(&request, &USUALLY),
        &[("rport\r\n", "rport\r\nPath: <sip:us.example;lr>\r\n")],
    );
    assert_eq!(written(&request, &sent), wanted);
}

/// `next hop | Request-URI | values of Route` of a request with these Route lines.
fn way(uri: &str, routes: &str, sent: &Sent<'_>) -> String {
    let request = changed(
        MESSAGE,
        &[
            ("sip:bob@us.example", uri),
            ("To:", &format!("{routes}To:")),
        ],
    );
    let draft = draft(&request, sent).unwrap();
    let mut out = Vec::new();
    draft.write(&VIA, &[], &mut out);
    let head = memchr::memmem::find(&out, b"\r\n\r\n").unwrap() + 4;
    let message = Message::parse(&out, head, 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    assert_eq!(request.uri_text, draft.request_uri().as_bytes());
    assert_eq!(request.method.as_str(), draft.method());
    assert_eq!(draft.len() + VIA_LINE.len(), out.len());
    let routes: Vec<_> = message
        .all(HeaderName::Route)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "{} | {} | {}",
        draft.next_hop(),
        draft.request_uri(),
        routes.join(" ")
    )
}

#[test]
fn the_way_is_request_uri_and_routes_as_loose_and_strict_routers_want_them() {
    const PATH: &[&str] = &["<sip:p1;lr>;x", "<sip:p2;lr>"];
    let to_b = Sent {
        uri: "sip:b@h",
        ..USUAL
    };
    let through = Sent { path: PATH, ..to_b };
    let kept = Sent {
        uri: "sip:gw;lr",
        keep: true,
        ..USUAL
    };
    for (situation, uri, routes, sent, wanted) in [
        (
            "nothing but the target",
            "sip:u@us.example",
            "",
            to_b,
            "sip:b@h | sip:b@h | ",
        ),
        (
            "our own route",
            "sip:u@us.example",
            "Route: <sip:us.example;lr>\r\n",
            to_b,
            "sip:b@h | sip:b@h | ",
        ),
        (
            "routes that are left",
            "sip:u@us.example",
            "Route: <sip:us.example;lr>, <sip:r1@r;lr>;y\r\nRoute: \"R\" <sip:r2;lr>\r\n",
            to_b,
            "sip:r1@r;lr | sip:b@h | <sip:r1@r;lr>;y \"R\" <sip:r2;lr>",
        ),
        (
            "a display name before the first",
            "sip:u@us.example",
            "Route: \"<sip:x;lr>\" <sips:r2;lr>\r\n",
            to_b,
            "sips:r2;lr | sip:b@h | \"<sip:x;lr>\" <sips:r2;lr>",
        ),
        (
            "a path",
            "sip:u@us.example",
            "",
            through,
            "sip:p1;lr | sip:b@h | <sip:p1;lr>;x <sip:p2;lr>",
        ),
        (
            "a path before routes that are left",
            "sip:u@us.example",
            "Route: <sip:r;lr>\r\n",
            through,
            "sip:p1;lr | sip:b@h | <sip:p1;lr>;x <sip:p2;lr> <sip:r;lr>",
        ),
        (
            "a loose gateway of a static route",
            "sip:u@us.example;x",
            "Route: <sip:r;lr>\r\n",
            kept,
            "sip:gw;lr | sip:u@us.example;x | <sip:gw;lr> <sip:r;lr>",
        ),
        (
            "the same and fixed routes",
            "sip:u@us.example",
            "",
            Sent { path: PATH, ..kept },
            "sip:gw;lr | sip:u@us.example | <sip:gw;lr> <sip:p1;lr>;x <sip:p2;lr>",
        ),
        (
            "a strict router is next",
            "sip:u@us.example",
            "Route: <sip:r1@r;x>;y, <sip:r2;lr>\r\n",
            to_b,
            "sip:r1@r;x | sip:r1@r;x | <sip:r2;lr> <sip:b@h>",
        ),
        (
            "a strict router alone, whose URI has a method",
            "sip:u@us.example",
            "Route: sip:r1\r\n",
            Sent {
                path: &["<sip:r1;method=BYE>"],
                ..to_b
            },
            "sip:r1 | sip:r1 | sip:r1 <sip:b@h>",
        ),
        (
            "a strict router later",
            "sip:u@us.example",
            "Route: <sip:r1;lr>, <sip:r2>\r\n",
            to_b,
            "sip:r1;lr | sip:b@h | <sip:r1;lr> <sip:r2>",
        ),
        (
            "a gateway without lr",
            "sip:u@us.example",
            "",
            Sent {
                uri: "sip:gw",
                keep: true,
                ..USUAL
            },
            "sip:gw | sip:gw | <sip:u@us.example>",
        ),
        (
            "a strict router was before",
            "sip:t@us.example;lr",
            "Route: <sip:r1;lr>, <sip:u@us.example>\r\n",
            kept,
            "sip:gw;lr | sip:u@us.example | <sip:gw;lr> <sip:r1;lr>",
        ),
        (
            "a URI that is not SIP, over a route",
            "tel:+1",
            "Route: <sip:r1;lr>\r\n",
            Sent {
                uri: "tel:+1",
                ..USUAL
            },
            "sip:r1;lr | tel:+1 | <sip:r1;lr>",
        ),
    ] {
        assert_eq!(way(uri, routes, &sent), wanted, "{situation}");
    }
}

#[test]
fn what_cannot_be_written_into_a_request_is_not() {
    for (situation, sent, wanted) in [
        (
            "no URI",
            Sent {
                uri: "bob",
                ..USUAL
            },
            Undraftable::Target,
        ),
        (
            "a line end in the target",
            Sent {
                uri: "sip:b@h\r\nX: y",
                ..USUAL
            },
            Undraftable::Target,
        ),
        (
            "a blank in the target",
            Sent {
                uri: "sip:b@h SIP/2.0",
                ..USUAL
            },
            Undraftable::Target,
        ),
        (
            "brackets",
            Sent {
                uri: "<sip:b@h>",
                keep: true,
                ..USUAL
            },
            Undraftable::Target,
        ),
        (
            "a path that is none",
            Sent {
                path: &["p"],
                ..USUAL
            },
            Undraftable::Route,
        ),
        (
            "a path of another scheme",
            Sent {
                path: &["<tel:1>"],
                ..USUAL
            },
            Undraftable::Route,
        ),
        (
            "a line end in the path",
            Sent {
                path: &["<sip:p;lr>", "<sip:q;lr>\r\nX: y"],
                ..USUAL
            },
            Undraftable::Route,
        ),
        (
            "a control character in the path",
            Sent {
                path: &["<sip:p;lr>;x=\"\\\0\""],
                ..USUAL
            },
            Undraftable::Route,
        ),
        (
            "no whole line",
            Sent {
                add: "X: y",
                ..USUAL
            },
            Undraftable::Lines,
        ),
        (
            "the end of the head",
            Sent {
                add: "X: y\r\n\r\n",
                ..USUAL
            },
            Undraftable::Lines,
        ),
        (
            "a bare line feed",
            Sent {
                add: "X: y\nZ: z\r\n",
                ..USUAL
            },
            Undraftable::Lines,
        ),
    ] {
        assert_eq!(draft(MESSAGE, &sent).err(), Some(wanted), "{situation}");
    }
}

const INVITE: &str = "INVITE sip:bob@us.example SIP/2.0\r\n\
    v: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bK1\r\n\
    f: <sip:alice@us.example>;tag=f\r\n\
    Require: 100rel\r\n\
    Proxy-Require: x\r\n\
    Route: <sip:us.example;lr>, <sip:r1;lr>, <sip:r2;lr>\r\n\
    Contact: <sip:alice@192.0.2.9>\r\n\
    t : \"B\" <sip:bob@us.example>\r\n\
    Call-ID: c \r\n\
    CSeq: 0007  INVITE\r\n\
    c: text/plain\r\n\
    Content-Length: 5\r\n\r\nTo: x";

#[test]
fn a_cancel_has_what_names_its_invite_and_no_more() {
    let sent = Sent {
        uri: "sip:b@h",
        recorded: &["<sip:us.example;lr>"],
        add: "Date: x\r\n",
        ..USUAL
    };
    for reason in [
        "",
        "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n",
    ] {
        let mut out = Vec::new();
        draft(INVITE, &sent)
            .unwrap()
            .write_cancel(&VIA, reason.as_bytes(), &mut out);
        let wanted = format!(
            "CANCEL sip:b@h SIP/2.0\r\n{VIA_LINE}Route: <sip:r1;lr>\r\nRoute: <sip:r2;lr>\r\nMax-Forwards: 69\r\n\
             f: <sip:alice@us.example>;tag=f\r\nt: \"B\" <sip:bob@us.example>\r\nCall-ID: c \r\nCSeq: 7 CANCEL\r\n\
             {reason}Content-Length: 0\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}

#[test]
fn an_ack_has_the_to_of_the_response() {
    for (situation, response, to) in [
        (
            "with a tag",
            "To: \"B\" <sip:bob@us.example>;tag=t\r\n",
            "To: \"B\" <sip:bob@us.example>;tag=t\r\n",
        ),
        ("compact", "t:sip:x@y;tag=u\r\n", "To: sip:x@y;tag=u\r\n"),
        ("none", "", "t: \"B\" <sip:bob@us.example>\r\n"),
        (
            "a line feed that would be a line",
            "To: x\nRoute: y\r\n",
            "To: x\r\n",
        ),
    ] {
        let text = format!("SIP/2.0 486 Busy Here\r\n{response}\r\n");
        let response = Message::parse(text.as_bytes(), text.len(), 64);
        let mut out = Vec::new();
        let sent = Sent {
            uri: "sip:b@h",
            ..USUAL
        };
        draft(INVITE, &sent)
            .unwrap()
            .write_ack(&VIA, &response, &mut out);
        let wanted = format!(
            "ACK sip:b@h SIP/2.0\r\n{VIA_LINE}Route: <sip:r1;lr>\r\nRoute: <sip:r2;lr>\r\nMax-Forwards: 69\r\n\
             f: <sip:alice@us.example>;tag=f\r\n{to}Call-ID: c \r\nCSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted, "{situation}");
    }
}

#[test]
fn a_draft_moves_between_threads_and_shows_nothing_of_what_it_holds() {
    fn moves<T: Send + 'static>(_: &T) {}
    let draft = draft(MESSAGE, &USUAL).unwrap();
    moves(&draft);
    let octets = draft.len();
    assert_eq!(
        format!("{draft:?}"),
        format!("Draft {{ method: \"MESSAGE\", octets: {octets}, .. }}")
    );
}
