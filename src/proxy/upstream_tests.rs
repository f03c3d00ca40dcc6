//! Responses as they go upstream, octet by octet: RFC 3261 §16.7.

#![allow(clippy::unwrap_used)]

use super::write_response;
use crate::sip::{Message, StatusCode};

const RESPONSE: &str = "SIP/2.0 480 Gone away\u{fc}\r\n\
    Via: SIP/2.0/TLS us.example:5061;branch=z9hG4bK00000000000000ab.1\r\n\
    Via: SIP/2.0/TLS h;branch=z9hG4bK1;received=192.0.2.9\r\n\
    X-a:\t1 \r\n\
    From: <sip:a@h>;tag=f\r\n\
    To: <sip:b@h>;tag=t\r\n\
    Call-ID: c\r\n\
    CSeq: 7 MESSAGE\r\n\
    Content-Length: 5\r\n\r\nhello";

/// The first two lines of the fields.
const VIAS: &str = "Via: SIP/2.0/TLS us.example:5061;branch=z9hG4bK00000000000000ab.1\r\n\
    Via: SIP/2.0/TLS h;branch=z9hG4bK1;received=192.0.2.9\r\n";

fn written(
    response: &str,
    status: Option<(StatusCode, &str)>,
    extra: &str,
    server: Option<&str>,
) -> Option<String> {
    let head = response.find("\r\n\r\n").unwrap() + 4;
    let message = Message::parse(response.as_bytes(), head, 64);
    let mut out = b"before".to_vec();
    let goes_on = write_response(&message, status, extra.as_bytes(), server, &mut out);
    let text = String::from_utf8(out.split_off("before".len())).unwrap();
    assert_eq!(out, b"before");
    assert!(goes_on || text.is_empty());
    goes_on.then_some(text)
}

#[test]
fn a_response_goes_back_without_our_via() {
    let wanted = "SIP/2.0 480 Gone away\u{fc}\r\n\
        Via: SIP/2.0/TLS h;branch=z9hG4bK1;received=192.0.2.9\r\n\
        X-a:\t1 \r\n\
        From: <sip:a@h>;tag=f\r\n\
        To: <sip:b@h>;tag=t\r\n\
        Call-ID: c\r\n\
        CSeq: 7 MESSAGE\r\n\
        Content-Length: 5\r\n\r\nhello";
    assert_eq!(written(RESPONSE, None, "", None).as_deref(), Some(wanted));
}

#[test]
fn the_rest_is_changed_only_where_it_was_asked_or_wrong() {
    let internal = Some((StatusCode::SERVER_INTERNAL_ERROR, "Server Internal Error"));
    const LATER: &str = "Via: SIP/2.0/TLS h;branch=z9hG4bK1;received=192.0.2.9\r\n";
    for (situation, changes, status, extra, server, wanted) in [
        (
            "another status",
            &[][..],
            internal,
            "",
            None,
            &[("480 Gone away\u{fc}", "500 Server Internal Error")][..],
        ),
        (
            "a status line in other letters",
            &[("SIP/2.0 480", "sip/2.0 480")],
            None,
            "",
            None,
            &[("sip/2.0 480", "SIP/2.0 480")],
        ),
        (
            "no reason phrase",
            &[(" Gone away\u{fc}", "")],
            None,
            "",
            None,
            &[("480", "480 ")],
        ),
        (
            "further lines, and who we are",
            &[],
            None,
            "Contact: <sip:c@h>\r\n",
            Some("Sipvouch"),
            &[(
                "Content-Length: 5\r\n",
                "Content-Length: 5\r\nContact: <sip:c@h>\r\nServer: Sipvouch\r\n",
            )],
        ),
        (
            "who they are",
            &[("From", "server: x\r\nFrom")],
            None,
            "",
            Some("Sipvouch"),
            &[],
        ),
        (
            "no Content-Length",
            &[("Content-Length: 5\r\n", "")],
            None,
            "",
            None,
            &[("MESSAGE\r\n", "MESSAGE\r\nContent-Length: 5\r\n")],
        ),
        (
            "a longer Content-Length",
            &[("Content-Length: 5", "l: 7")],
            None,
            "",
            None,
            &[("l: 7", "Content-Length: 5")],
        ),
        (
            "a list of Via",
            &[("ab.1\r\nVia: ", "ab.1 , ")],
            None,
            "",
            None,
            &[],
        ),
        (
            "three of Via",
            &[("ab.1\r\nVia: ", "ab.1,SIP/2.0/UDP i;x=\"1,2\"\r\nv: ")],
            None,
            "",
            None,
            &[(
                LATER,
                "Via: SIP/2.0/UDP i;x=\"1,2\"\r\nv: SIP/2.0/TLS h;branch=z9hG4bK1;received=192.0.2.9\r\n",
            )],
        ),
        (
            "a field before Via",
            &[("Via", "Y: z\r\nVia")],
            None,
            "",
            None,
            &[],
        ),
        (
            "a second Via that comes late",
            &[(LATER, ""), ("CSeq", "v: SIP/2.0/TLS h\r\nCSeq")],
            None,
            "",
            None,
            &[],
        ),
        (
            "a folded field",
            &[("CSeq", "Y:\r\n z\r\nCSeq")],
            None,
            "",
            None,
            &[("Y:\r\n z", "Y: z")],
        ),
        (
            "a control character",
            &[("CSeq", "Y: z\0z\r\nCSeq")],
            None,
            "",
            None,
            &[("z\0z", "z z")],
        ),
        (
            "a line that is no field",
            &[("X-a", "no colon\r\nX-a")],
            None,
            "",
            None,
            &[("no colon\r\n", "")],
        ),
        (
            "a field whose name is no token",
            &[("CSeq", "Y#: z\r\nCSeq")],
            None,
            "",
            None,
            &[("Y#: z\r\n", "")],
        ),
    ] {
        let mut response = RESPONSE.to_owned();
        let mut expected = RESPONSE.replacen(VIAS, LATER, 1);
        for (from, to) in changes {
            assert!(response.contains(from), "{situation}: {from:?}");
            response = response.replacen(from, to, 1);
            expected = expected.replacen(from, to, 1);
        }
        for (from, to) in wanted {
            assert!(expected.contains(from), "{situation}: {from:?}");
            expected = expected.replacen(from, to, 1);
        }
        let found = written(&response, status, extra, server);
        assert_eq!(found, Some(expected), "{situation}");
    }
}

#[test]
fn a_response_for_nobody_or_of_no_certain_length_goes_nowhere() {
    for (situation, from, to) in [
        ("no Via", VIAS, ""),
        (
            "no further Via",
            "Via: SIP/2.0/TLS h;branch=z9hG4bK1;received=192.0.2.9\r\n",
            "",
        ),
        (
            "nothing behind the comma",
            "ab.1\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1;received=192.0.2.9",
            "ab.1,",
        ),
        ("a further Via that is none", "SIP/2.0/TLS h", "h"),
        ("an empty one in a list", "ab.1\r\nVia: ", "ab.1,,"),
        ("a list that does not end", "ab.1\r\nVia: ", "ab.1;x=\", "),
        (
            "a request",
            "SIP/2.0 480 Gone away\u{fc}",
            "MESSAGE sip:h SIP/2.0",
        ),
        ("a status line that is none", "480", "4800"),
        ("two lengths", "From", "l: 5\r\nFrom"),
        ("a length that is none", "Length: 5", "Length: five"),
        ("a bare line feed", "X-a:\t1 \r\n", "X-a:\t1\n"),
    ] {
        let response = RESPONSE.replacen(from, to, 1);
        assert_ne!(response, RESPONSE, "{situation}");
        assert_eq!(
            written(&response, None, "", Some("Sipvouch")),
            None,
            "{situation}"
        );
    }
    let fields = "X: y\r\n".repeat(64);
    let response = RESPONSE.replacen("From", &format!("{fields}From"), 1);
    assert_eq!(
        written(&response, None, "", None),
        None,
        "more fields than are read"
    );
}
