//! Every message of RFC 4475, 5118 and 6216 over a real TLS connection, with the answer that `torture/index.tsv` asks
//! for on a stream: the right one, only one, and the connection's next message unharmed where framing allows.
//!
//! Admission is open here (no certificate and no digest is asked for): what is tested is reading and answering.
//! Messages that would have to be forwarded must be read and let in; forwarding them comes with the proxy.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Answer, Connection, Request, Response, Server, Setup, TlsPeer, tests_dir};

/// What a message must get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// One of these statuses; the next message works.
    Status(&'static [u16]),
    /// Read and let in: any final status that does not blame its syntax; the next message works.
    Through,
    /// As `Through`, or this status.
    ThroughOr(u16),
    /// No answer; the next message works.
    Drop,
    /// One of these statuses or nothing; the next message works.
    DropOr(u16),
    /// This status if any, then the connection is closed: framing is lost.
    Close(u16),
    /// `Through`; what follows the body is no message: at most this status, and the connection is closed.
    ThroughThenClose(u16),
    /// No answer; closed when the rest does not come in time.
    Wait,
    /// Two requests in one write: the first gets this status, the second goes through. What is left behind the second
    /// (its body is longer than it says) is no message: the connection is closed.
    Two(u16),
    /// LF line ends: answered, refused or closed, but not with a crash or a second answer.
    AnythingOnce,
}

use Wanted::{
    AnythingOnce, Close, Drop, DropOr, Status, Through, ThroughOr, ThroughThenClose, Two, Wait,
};

/// In the order of `index.tsv`.
const TABLE: &[(&str, Wanted)] = &[
    ("rfc4475/wsinv.dat", Through),
    ("rfc4475/intmeth.dat", Through),
    ("rfc4475/esc01.dat", Through),
    ("rfc4475/escnull.dat", Status(&[200])),
    ("rfc4475/esc02.dat", Through),
    ("rfc4475/lwsdisp.dat", Through),
    ("rfc4475/longreq.dat", Through),
    ("rfc4475/dblreq.dat", Two(200)),
    ("rfc4475/semiuri.dat", Through),
    ("rfc4475/transports.dat", Through),
    ("rfc4475/mpart01.dat", Through),
    ("rfc4475/unreason.dat", Drop),
    ("rfc4475/noreason.dat", Drop),
    ("rfc4475/badinv01.dat", Status(&[400])),
    ("rfc4475/clerr.dat", Wait),
    ("rfc4475/ncl.dat", Close(400)),
    ("rfc4475/scalar02.dat", Status(&[400])),
    ("rfc4475/scalarlg.dat", Drop),
    ("rfc4475/quotbal.dat", Status(&[400])),
    ("rfc4475/ltgtruri.dat", Status(&[400])),
    ("rfc4475/lwsruri.dat", Status(&[400])),
    ("rfc4475/lwsstart.dat", Status(&[400])),
    ("rfc4475/trws.dat", Status(&[400])),
    ("rfc4475/escruri.dat", Status(&[400])),
    ("rfc4475/baddate.dat", Through),
    ("rfc4475/regbadct.dat", Status(&[400])),
    ("rfc4475/badaspec.dat", Status(&[400])),
    ("rfc4475/baddn.dat", Status(&[400])),
    ("rfc4475/badvers.dat", Status(&[505])),
    ("rfc4475/mismatch01.dat", Status(&[400])),
    ("rfc4475/mismatch02.dat", Status(&[501, 400])),
    ("rfc4475/bigcode.dat", Drop),
    ("rfc4475/badbranch.dat", Status(&[400])),
    ("rfc4475/insuf.dat", DropOr(400)),
    ("rfc4475/unkscm.dat", Status(&[416])),
    ("rfc4475/novelsc.dat", Status(&[416])),
    ("rfc4475/unksm2.dat", Status(&[400])),
    ("rfc4475/bext01.dat", Status(&[420])),
    ("rfc4475/invut.dat", Through),
    ("rfc4475/regaut01.dat", Status(&[200])),
    ("rfc4475/multi01.dat", Status(&[400])),
    ("rfc4475/mcl01.dat", Close(400)),
    ("rfc4475/bcast.dat", Drop),
    ("rfc4475/zeromf.dat", Status(&[483])),
    ("rfc4475/cparam01.dat", Status(&[200])),
    ("rfc4475/cparam02.dat", Status(&[200])),
    ("rfc4475/regescrt.dat", Status(&[200])),
    ("rfc4475/sdp01.dat", Through),
    ("rfc4475/inv2543.dat", Close(400)),
    ("rfc4475/test.dat", DropOr(400)),
    ("rfc5118-crlf/ipv6-good.dat", Through),
    ("rfc5118-crlf/ipv6-bad.dat", Status(&[400])),
    ("rfc5118-crlf/port-ambiguous.dat", Through),
    ("rfc5118-crlf/port-unambiguous.dat", Through),
    ("rfc5118-crlf/via-received-param-with-delim.dat", Through),
    ("rfc5118-crlf/via-received-param-no-delim.dat", Through),
    ("rfc5118-crlf/ipv6-in-sdp.dat", Through),
    ("rfc5118-crlf/mult-ip-in-header.dat", Through),
    ("rfc5118-crlf/mult-ip-in-sdp.dat", Through),
    ("rfc5118-crlf/ipv4-mapped-ipv6.dat", Through),
    ("rfc5118-crlf/ipv6-bug-abnf-3-colons.dat", ThroughOr(400)),
    ("rfc5118-crlf/ipv6-correct-abnf-2-colons.dat", Through),
    ("rfc5118/ipv4-mapped-ipv6", AnythingOnce),
    ("rfc5118/ipv6-bad", AnythingOnce),
    ("rfc5118/ipv6-bug-abnf-3-colons", AnythingOnce),
    ("rfc5118/ipv6-correct-abnf-2-colons", AnythingOnce),
    ("rfc5118/ipv6-good", AnythingOnce),
    ("rfc5118/ipv6-in-sdp", AnythingOnce),
    ("rfc5118/mult-ip-in-header", AnythingOnce),
    ("rfc5118/mult-ip-in-sdp", AnythingOnce),
    ("rfc5118/port-ambiguous", AnythingOnce),
    ("rfc5118/port-unambiguous", AnythingOnce),
    ("rfc5118/via-received-param-no-delim", AnythingOnce),
    ("rfc5118/via-received-param-with-delim", AnythingOnce),
    ("rfc6216/message-tls.dat", Through),
    ("rfc6216/message-tls-resp.dat", Drop),
    ("rfc6216/smime-msg.dat", ThroughThenClose(400)),
    ("rfc6216/smime-encrypted.dat", ThroughThenClose(400)),
    ("rfc6216/smime-sign-encrypt.dat", ThroughThenClose(400)),
    ("rfc6216/cms-smime-msg.dat", ThroughThenClose(400)),
    ("rfc6216/noeku-smime-msg.dat", ThroughThenClose(400)),
    ("rfc6216/noeku-smime-encrypted.dat", ThroughThenClose(400)),
    (
        "rfc6216/noeku-smime-sign-encrypt.dat",
        ThroughThenClose(400),
    ),
    ("rfc6216/noeku-cms-smime-msg.dat", ThroughThenClose(400)),
    ("rfc6216-framed/message-tls.dat", Through),
    ("rfc6216-framed/message-tls-resp.dat", Drop),
    ("rfc6216-framed/smime-msg.dat", Through),
    ("rfc6216-framed/smime-encrypted.dat", Through),
    ("rfc6216-framed/smime-sign-encrypt.dat", Through),
    ("rfc6216-framed/cms-smime-msg.dat", Through),
    ("rfc6216-framed/noeku-smime-msg.dat", Through),
    ("rfc6216-framed/noeku-smime-encrypted.dat", Through),
    ("rfc6216-framed/noeku-smime-sign-encrypt.dat", Through),
    ("rfc6216-framed/noeku-cms-smime-msg.dat", Through),
];

/// Listed in the index, and no message: the part that was signed.
const NOT_SENT: &[&str] = &["rfc6216/smime-msg-what-got-signed.dat"];

/// How long an answer may take, and how long after it a second one is waited for.
const ANSWER: Duration = Duration::from_secs(5);
const STRAGGLER: Duration = Duration::from_millis(100);

#[test]
fn every_torture_message_has_its_row() {
    let index =
        fs::read_to_string(tests_dir().join("torture/index.tsv")).expect("torture/index.tsv");
    let listed: Vec<&str> = index
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').next())
        .filter(|file| !NOT_SENT.contains(file))
        .collect();
    let tested: Vec<&str> = TABLE.iter().map(|(file, _)| *file).collect();
    assert_eq!(tested, listed);
}

#[test]
fn torture_messages_get_the_answers_of_the_index() {
    let mut server = start();
    let mut faults = Vec::new();
    for &(file, wanted) in TABLE {
        let octets = message(file);
        let mut connection = TlsPeer::anonymous()
            .connect(server.tls())
            .expect("a handshake");
        let seen = play(&mut connection, &octets, wanted);
        if let Err(fault) = judge(wanted, &seen) {
            faults.push(format!(
                "  {file}: wanted {wanted:?}: {fault}\n      seen {seen}"
            ));
        }
        assert!(server.lives(), "{file} ended the server:\n{}", server.log());
    }
    assert!(
        !server.log().contains("panicked"),
        "a request panicked:\n{}",
        server.log()
    );
    assert!(
        faults.is_empty(),
        "{} torture messages went wrong:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn torture_messages_cut_into_single_octets_get_the_same_answers() {
    let server = start();
    for file in [
        "rfc4475/wsinv.dat",
        "rfc4475/dblreq.dat",
        "rfc4475/mpart01.dat",
        "rfc4475/badvers.dat",
    ] {
        let &(_, wanted) = TABLE.iter().find(|(name, _)| *name == file).expect("a row");
        let octets = message(file);
        let mut connection = TlsPeer::anonymous()
            .connect(server.tls())
            .expect("a handshake");
        let (last, first) = octets.split_last().expect("a message");
        for octet in first {
            connection.send(&[*octet]).expect("an octet sent");
        }
        let seen = play(&mut connection, &[*last], wanted);
        judge(wanted, &seen)
            .unwrap_or_else(|fault| panic!("{file} octet by octet: {fault}\n{seen}"));
    }
}

#[test]
fn registrations_of_the_torture_set_list_their_contacts() {
    let server = start();
    for (file, contacts, why) in [
        (
            "escnull.dat",
            vec![
                "<sip:%00@host5.example.com>",
                "<sip:%00%00@host5.example.com>",
            ],
            "two bindings: an escaped NUL ends no string",
        ),
        (
            "cparam01.dat",
            vec!["<sip:+19725552222@gw1.example.net>"],
            "without <> a parameter belongs to the header, not to the URI",
        ),
        (
            "cparam02.dat",
            vec!["<sip:+19725552222@gw1.example.net;unknownparam>"],
            "inside <> a parameter belongs to the URI",
        ),
        (
            "regescrt.dat",
            vec!["<sip:user@example.com?Route=%3Csip:sip.example.com%3E>"],
            "headers of a Contact URI are kept",
        ),
        (
            "regaut01.dat",
            vec![],
            "a query lists what there is: nothing",
        ),
    ] {
        // cparam01 and cparam02 are of the same address-of-record, and what lists one must not list the other.
        let octets = message(&format!("rfc4475/{file}"));
        let mut connection = TlsPeer::anonymous()
            .connect(server.tls())
            .expect("a handshake");
        connection.send(&octets).expect("a message sent");
        let response = connection.next(ANSWER).response();
        assert_eq!(response.status, 200, "{file}");
        let listed: Vec<&str> = response
            .values("contact")
            .flat_map(|line| line.split(", "))
            .collect();
        let uris: Vec<&str> = listed
            .iter()
            .map(|contact| contact.find('>').map_or(*contact, |end| &contact[..=end]))
            .map(|contact| contact.find('<').map_or(contact, |start| &contact[start..]))
            .collect();
        for contact in &contacts {
            assert!(uris.contains(contact), "{file}: {why}: {listed:?}");
        }
        assert!(contacts.len() <= uris.len(), "{file}: {why}: {listed:?}");
        if file == "cparam01.dat" {
            assert!(
                !uris[0].contains("unknownparam"),
                "{file}: {why}: {listed:?}"
            );
        }
    }
}

#[test]
fn an_unknown_extension_is_named_in_the_refusal() {
    let server = start();
    let octets = message("rfc4475/bext01.dat");
    let mut connection = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    connection.send(&octets).expect("a message sent");
    let response = connection.next(ANSWER).response();
    let unsupported: Vec<&str> = response.values("unsupported").collect();
    let unsupported = unsupported.join(", ");
    // A proxy looks at Proxy-Require, a UAS at Require (RFC 3261 §16.3, §8.2.2.3): either list, whole.
    let proxy = ["noProxiesSupportThis", "norDoAnyProxiesSupportThis"];
    let agent = ["nothingSupportsThis", "nothingSupportsThisEither"];
    assert!(
        [proxy, agent]
            .iter()
            .any(|tags| tags.iter().all(|tag| unsupported.contains(tag))),
        "Unsupported: {unsupported}"
    );
}

/// The octets of a torture message.
fn message(file: &str) -> Vec<u8> {
    let mut octets = fs::read(tests_dir().join("torture").join(file)).expect("a torture message");
    if file == "rfc4475/baddn.dat" {
        // The file lacks the blank line, which a datagram can do without and a stream cannot.
        octets.extend(b"\r\n");
    }
    octets
}

fn start() -> Server {
    Setup::usual()
        .set("EnableCertificateAuthenticator", "false")
        .set("Domains", "example.com, example.org")
        // What goes on to where nobody is waits half a minute as a datagram; a stream says so at once.
        .set("UDPPort", "0")
        .set("PartialMessageTimeout", "2")
        .start()
}

/// What a message brought about.
#[derive(Debug, Default)]
struct Seen {
    answers: Vec<Response>,
    next_works: bool,
    closed: bool,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let answers: Vec<String> = self
            .answers
            .iter()
            .map(|r| format!("{} {}", r.status, r.reason))
            .collect();
        write!(
            f,
            "answers {answers:?}, next works: {}, closed: {}",
            self.next_works, self.closed
        )
    }
}

/// Sends the message and, unless framing is known to be lost, a ping behind it; gathers the final answers.
fn play(connection: &mut Connection, octets: &[u8], wanted: Wanted) -> Seen {
    let mut seen = Seen::default();
    connection.send(octets).expect("a message sent");
    let ping = Request::ping();
    let pings = !matches!(wanted, Wait | Close(_) | ThroughThenClose(_) | Two(_));
    if pings && connection.send_request(&ping).is_err() {
        seen.closed = true;
    }
    let deadline = Instant::now() + ANSWER;
    let mut patience = ANSWER;
    loop {
        match connection.next(patience) {
            Answer::Response(response) if response.status < 200 => {}
            Answer::Response(response) => {
                if response.value("call-id") == Some(&ping.call_id) {
                    seen.next_works = response.status == 200;
                } else {
                    seen.answers.push(response);
                }
            }
            Answer::Closed(_) => {
                seen.closed = true;
                return seen;
            }
            Answer::Silence => return seen,
        }
        // All that must come has come: only a straggler may follow.
        if seen.next_works {
            patience = STRAGGLER;
        } else {
            patience = deadline
                .saturating_duration_since(Instant::now())
                .max(STRAGGLER);
        }
    }
}

fn judge(wanted: Wanted, seen: &Seen) -> Result<(), String> {
    // Let in and sent on, to where nobody is: as good as 480 from there.
    let nowhere = |reason: &str| {
        matches!(
            reason,
            "No DNS results"
                | "No matching transport found"
                | "Transport failure: no transports left to try"
        )
    };
    let status = |answer: &Response| match answer.status {
        500 if nowhere(&answer.reason) => 480,
        status => status,
    };
    let statuses: Vec<u16> = seen.answers.iter().map(status).collect();
    let let_in = |status: u16| {
        !matches!(
            status,
            400 | 401 | 407 | 413 | 416 | 420 | 500 | 503 | 505 | 513
        )
    };
    let (good, closes) = match wanted {
        Status(codes) => (matches!(statuses[..], [one] if codes.contains(&one)), false),
        Through => (matches!(statuses[..], [one] if let_in(one)), false),
        ThroughOr(code) => (
            matches!(statuses[..], [one] if let_in(one) || one == code),
            false,
        ),
        Drop => (statuses.is_empty(), false),
        DropOr(code) => (matches!(statuses[..], []) || statuses == [code], false),
        Close(code) => (statuses.is_empty() || statuses == [code], true),
        ThroughThenClose(code) => (
            matches!(statuses[..], [one] if let_in(one))
                || matches!(statuses[..], [one, two] if let_in(one) && two == code),
            true,
        ),
        Wait => (statuses.is_empty(), true),
        Two(code) => (
            matches!(statuses[..], [one, two] if one == code && let_in(two)),
            true,
        ),
        AnythingOnce => {
            return if statuses.len() > 1 {
                Err("answered more than once".to_owned())
            } else if seen.next_works || seen.closed || !statuses.is_empty() {
                Ok(())
            } else {
                Err("neither answered nor closed".to_owned())
            };
        }
    };
    if !good {
        return Err("another answer".to_owned());
    }
    match (closes, seen.closed, seen.next_works) {
        (true, false, _) => Err("the connection must be closed".to_owned()),
        (false, true, _) => Err("the connection must stay open".to_owned()),
        (false, false, false) => Err("the next message must be answered".to_owned()),
        _ => Ok(()),
    }
}
