//! The torture messages of RFC 4475, RFC 5118 and RFC 6216, as they come on a stream: each reads as `tests/torture`
//! says in the stream column of its index.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const LIMITS: FrameLimits = FrameLimits {
    head_bytes: 65_536,
    body_bytes: 65_536,
    fields: 128,
};

/// What the octets of one file turn out to be, in order: a method, `status 200`, `fault 400 phrase` of a framed message,
/// `unframed 400 phrase`, `waits`, `ping`, `pong`.
fn outcome(mut stream: &[u8]) -> Vec<String> {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    while !stream.is_empty() {
        let length = match framer.next(stream, &LIMITS) {
            Frame::Message { message, length } => {
                found.push(read(&message));
                length
            }
            Frame::Ping => {
                found.push("ping".into());
                4
            }
            Frame::Pong => {
                found.push("pong".into());
                2
            }
            Frame::Partial { started: false } => {
                found.push("pong".into());
                break;
            }
            Frame::Partial { started: true } => {
                found.push("waits".into());
                break;
            }
            Frame::Unframed { fault, .. } => {
                found.push(format!("unframed {} {}", fault.status, fault.phrase));
                break;
            }
        };
        stream = stream.get(length..).unwrap();
    }
    found
}

fn read(message: &Message<'_>) -> String {
    if message.is_response() {
        return match (message.fault(), message.start_line()) {
            (None, StartLine::Response { status, .. }) => format!("status {status}"),
            (fault, _) => format!("bad response {}", fault.unwrap().phrase),
        };
    }
    match Request::read(message, FromRule::Single) {
        Ok(request) => match request.unsupported_scheme() {
            None => request.method.as_str().into(),
            Some(fault) => format!("{} {}", request.method.as_str(), fault.status),
        },
        Err(fault) => {
            let answer = if Reply::is_possible(message) {
                ""
            } else {
                ", no answer"
            };
            format!("fault {} {}{answer}", fault.status, fault.phrase)
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture")
}

/// Files of the index with what they are, only those of `folder`.
fn indexed(prefix: &str) -> BTreeMap<String, String> {
    let index = fs::read_to_string(folder().join("index.tsv")).unwrap();
    let mut files = BTreeMap::new();
    for line in index.lines().skip(1) {
        let columns: Vec<_> = line.split('\t').collect();
        if let [file, _, class, ..] = columns.as_slice()
            && file.starts_with(prefix)
        {
            files.insert((*file).into(), (*class).into());
        }
    }
    assert!(!files.is_empty());
    files
}

fn frames_of(file: &str) -> String {
    outcome(&fs::read(folder().join(file)).unwrap()).join(", ")
}

#[test]
fn rfc_4475() {
    let mut files = indexed("rfc4475/");
    for (name, wanted) in [
        ("wsinv", "INVITE"),
        ("intmeth", "!interesting-Method0123456789_*+`.%indeed'~"),
        ("esc01", "INVITE"),
        ("escnull", "REGISTER"),
        ("esc02", "RE%47IST%45R"),
        ("lwsdisp", "OPTIONS"),
        ("longreq", "INVITE"),
        // The INVITE's body has five octets more than its Content-Length.
        (
            "dblreq",
            "REGISTER, pong, INVITE, unframed 400 Malformed Request Line",
        ),
        ("semiuri", "OPTIONS"),
        ("transports", "OPTIONS"),
        ("mpart01", "MESSAGE"),
        ("unreason", "status 200"),
        ("noreason", "status 100"),
        ("badinv01", "fault 400 Malformed topmost Via header"),
        ("clerr", "waits"),
        ("ncl", "unframed 400 Malformed Content-Length header"),
        ("scalar02", "fault 400 Malformed CSeq header"),
        ("scalarlg", "status 503"),
        ("quotbal", "fault 400 Malformed To header"),
        ("ltgtruri", "fault 400 Malformed Request Line"),
        ("lwsruri", "fault 400 Malformed Request Line"),
        ("lwsstart", "fault 400 Malformed Request Line"),
        ("trws", "fault 400 Malformed Request Line"),
        ("escruri", "fault 400 Malformed Request Line"),
        ("baddate", "INVITE"),
        // Its Contact is for the registrar to refuse.
        ("regbadct", "REGISTER"),
        ("badaspec", "fault 400 Malformed To header"),
        // As published it lacks its empty line; with that it is a fault, see below.
        ("baddn", "waits"),
        ("badvers", "fault 505 Version Not Supported"),
        (
            "mismatch01",
            "fault 400 Method mismatch btw Request Line and CSeq",
        ),
        (
            "mismatch02",
            "fault 400 Method mismatch btw Request Line and CSeq",
        ),
        ("bigcode", "bad response Malformed Status Line"),
        ("badbranch", "fault 400 Malformed topmost Via header"),
        (
            "insuf",
            "fault 400 Missing mandatory header field, no answer",
        ),
        ("unkscm", "OPTIONS 416"),
        ("novelsc", "OPTIONS 416"),
        ("unksm2", "REGISTER"),
        ("bext01", "OPTIONS"),
        ("invut", "INVITE"),
        ("regaut01", "REGISTER"),
        ("multi01", "fault 400 Malformed Call-ID header"),
        ("mcl01", "unframed 400 More than one Content-Length"),
        ("bcast", "status 200"),
        ("zeromf", "OPTIONS"),
        ("cparam01", "REGISTER"),
        ("cparam02", "REGISTER"),
        ("regescrt", "REGISTER"),
        ("sdp01", "INVITE"),
        ("inv2543", "unframed 400 Missing Content-Length header"),
        ("test", "fault 400 Malformed Request Line, no answer"),
    ] {
        let file = format!("rfc4475/{name}.dat");
        assert!(files.remove(&file).is_some(), "{name} is not in the index");
        assert_eq!(frames_of(&file), wanted, "{name}");
    }
    assert!(files.is_empty(), "no verdict for {files:?}");

    let mut baddn = fs::read(folder().join("rfc4475/baddn.dat")).unwrap();
    baddn.extend_from_slice(b"\r\n");
    assert_eq!(outcome(&baddn), ["fault 400 Malformed From header"]);
}

#[test]
fn rfc_5118() {
    let mut files = indexed("rfc5118-crlf/");
    for (name, wanted) in [
        ("ipv6-good", "REGISTER"),
        ("ipv6-bad", "fault 400 Malformed Request Line"),
        ("port-ambiguous", "REGISTER"),
        ("port-unambiguous", "REGISTER"),
        ("via-received-param-with-delim", "BYE"),
        ("via-received-param-no-delim", "OPTIONS"),
        ("ipv6-in-sdp", "INVITE"),
        ("mult-ip-in-header", "BYE"),
        ("mult-ip-in-sdp", "INVITE"),
        ("ipv4-mapped-ipv6", "INVITE"),
        ("ipv6-bug-abnf-3-colons", "OPTIONS"),
        ("ipv6-correct-abnf-2-colons", "OPTIONS"),
    ] {
        let file = format!("rfc5118-crlf/{name}.dat");
        assert!(files.remove(&file).is_some(), "{name} is not in the index");
        assert_eq!(frames_of(&file), wanted, "{name}");
    }
    assert!(files.is_empty(), "no verdict for {files:?}");
}

/// The same as published, with bare LF as line ends: none is taken for a message.
#[test]
fn rfc_5118_as_published() {
    for file in indexed("rfc5118/").keys() {
        let found = frames_of(file);
        assert!(
            found == "unframed 400 Line ends must be CRLF" || found == "waits",
            "{file}: {found}"
        );
    }
}

#[test]
fn rfc_6216() {
    for (file, class) in indexed("rfc6216-framed/") {
        let response = file.ends_with("-resp.dat");
        let wanted = if response { "status 200" } else { "MESSAGE" };
        assert_eq!(
            (frames_of(&file).as_str(), class.as_str()),
            (wanted, "valid"),
            "{file}"
        );
    }
}

/// The same as published: bodies longer than their Content-Length, so that what is left over is no message.
#[test]
fn rfc_6216_as_published() {
    for (file, class) in indexed("rfc6216/") {
        let found = frames_of(&file);
        match (file.as_str(), class.as_str()) {
            (_, "not a message") => assert!(!found.contains("MESSAGE"), "{file}: {found}"),
            ("rfc6216/message-tls.dat", _) => assert_eq!(found, "MESSAGE, pong"),
            ("rfc6216/message-tls-resp.dat", _) => assert_eq!(found, "status 200, pong"),
            _ => {
                let (first, rest) = found.split_once(", ").unwrap_or((&found, ""));
                assert_eq!(first, "MESSAGE", "{file}");
                assert!(
                    !rest.contains("MESSAGE") && !rest.contains("status"),
                    "{file}: {found}"
                );
            }
        }
    }
}

#[test]
fn what_the_messages_say_is_read_as_the_rfc_says() {
    let message = |name: &str| {
        let bytes = fs::read(folder().join(name)).unwrap();
        let head = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap() + 4;
        Message::parse(&bytes, head, 128).into_owned()
    };
    let wsinv = message("rfc4475/wsinv.dat");
    let request = Request::read(&wsinv, FromRule::Single).unwrap();
    assert_eq!(request.via.sent_by, "192.0.2.2");
    assert_eq!(request.to.tag(), Some(&b"1918181833n"[..]));
    assert_eq!((request.cseq, request.max_forwards), (9, Some(68)));
    let contact = wsinv.first(HeaderName::Contact).unwrap();
    assert_eq!(
        Address::parse(contact).unwrap().parameters.value("q"),
        Some(&b"0.33"[..])
    );

    let escnull = message("rfc4475/escnull.dat");
    let request = Request::read(&escnull, FromRule::Single).unwrap();
    let aor = request.to.uri.sip().unwrap().address_of_record();
    assert_eq!(aor, "null-%00-null@example.com");
    let users: Vec<_> = escnull
        .all(HeaderName::Contact)
        .map(|contact| Address::parse(contact).unwrap().uri)
        .collect();
    let [one, two] = users.as_slice() else {
        panic!()
    };
    assert!(!one.sip().unwrap().is_equivalent(two.sip().unwrap()));

    let semiuri = message("rfc4475/semiuri.dat");
    let request = Request::read(&semiuri, FromRule::Single).unwrap();
    let uri = *request.uri.sip().unwrap();
    assert_eq!(uri.user, Some("user;par=u%40example.net"));
    assert_eq!(uri.host, Host::Name("example.com"));

    let esc02 = message("rfc4475/esc02.dat");
    assert_eq!(esc02.count(HeaderName::Contact), 2);

    let ambiguous = message("rfc5118-crlf/port-ambiguous.dat");
    let request = Request::read(&ambiguous, FromRule::Single).unwrap();
    assert_eq!(request.uri.sip().unwrap().port, None);
}
