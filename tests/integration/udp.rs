//! UDP: what one datagram is, who is answered and where, what is lost and comes again, calls between phones over UDP and
//! between UDP and TLS, requests too large for a datagram.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Connection, Incoming, Remote, Request, Server, Setup, TlsPeer, udp_from};

const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for what must not come: longer than T1, shorter than anybody waits.
const SILENCE: Duration = Duration::from_millis(700);

fn here() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3))
}

/// A server under repro's rules, which ask nothing of UDP.
fn lenient() -> Setup {
    Setup::usual()
        .set("IdentityRules", "repro")
        // Phones that call each other are seldom heard by the same one.
        .set("WorkerThreads", "4")
        .set("LogLevel", "DEBUG")
}

fn ask(socket: &UdpSocket, datagram: &[u8]) -> Option<Vec<u8>> {
    socket.send(datagram).expect("a datagram sent");
    receive(socket, PATIENCE)
}

fn receive(socket: &UdpSocket, patience: Duration) -> Option<Vec<u8>> {
    socket.set_read_timeout(Some(patience)).expect("a timeout");
    let mut buffer = [0; 65_536];
    let length = socket.recv(&mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

fn socket(server: &Server) -> UdpSocket {
    let socket = UdpSocket::bind((here(), 0)).expect("a socket");
    socket.connect(server.udp()).expect("a peer");
    socket
}

/// Waits until that many lines of the log have this in them: they are written behind the answers.
fn wait_for(server: &Server, count: usize, text: &str) {
    let mut from = 0;
    for _ in 0..count {
        let line = server.wait_after(&mut from, &[text], PATIENCE);
        assert!(
            line.is_some(),
            "no {count} lines of {text}:\n{}",
            server.log()
        );
    }
}

fn text(octets: Option<Vec<u8>>) -> String {
    String::from_utf8(octets.expect("an answer")).expect("UTF-8")
}

/// OPTIONS to the server with this Via.
fn options(via: &str, more: &str) -> String {
    format!(
        "OPTIONS sip:example.org SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:x@example.org>;tag=1\r\n\
         To: <sip:example.org>\r\nCall-ID: o@test\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n{more}"
    )
}

#[test]
fn a_datagram_is_one_message_and_its_answer_goes_to_where_it_came_from() {
    let server = Setup::usual().start();
    let phone = socket(&server);
    let own = phone.local_addr().expect("an address");
    let answer = text(ask(
        &phone,
        options("h;branch=z9hG4bK1;rport", "\r\n").as_bytes(),
    ));
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    let noted = format!("received={};rport={}", own.ip(), own.port());
    assert!(answer.contains(&noted), "{answer}");

    for (situation, rest, wanted) in [
        (
            "octets behind it",
            "Content-Length: 2\r\n\r\nhi there",
            "200 OK",
        ),
        ("empty lines before it", "", "200 OK"),
        (
            "a body that is not all there",
            "Content-Length: 9\r\n\r\nhi",
            "400 Content-Length beyond the datagram",
        ),
        ("no empty line", "X: y\r\n", "400 Missing empty line"),
    ] {
        let request = match rest {
            "" => "\r\n\r\n".to_owned() + &options("h;branch=z9hG4bK2;rport", "\r\n"),
            rest => options("h;branch=z9hG4bK3;rport", rest),
        };
        let answer = text(ask(&phone, request.as_bytes()));
        let wanted = format!("SIP/2.0 {wanted}\r\n");
        assert!(answer.starts_with(&wanted), "{situation}: {answer}");
    }

    // Without rport the port is that of the Via (RFC 3261 §18.2.2); maddr leads nobody anywhere.
    let other = UdpSocket::bind((here(), 0)).expect("a socket");
    let port = other.local_addr().expect("an address").port();
    for more in ["", ";maddr=127.0.0.9"] {
        let request = options(&format!("h:{port};branch=z9hG4bK4{more}"), "\r\n");
        phone.send(request.as_bytes()).expect("a datagram sent");
        let answer = text(receive(&other, PATIENCE));
        assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    }
}

#[test]
fn keep_alives_are_answered_and_garbage_is_not() {
    let mut server = Setup::usual().start();
    let phone = socket(&server);
    let own = phone.local_addr().expect("an address");
    assert_eq!(ask(&phone, b"\r\n\r\n").as_deref(), Some(&b"\r\n"[..]));

    let mut binding = b"\0\x01\0\0\x21\x12\xa4\x42".to_vec();
    binding.extend(b"0123456789ab");
    let answer = ask(&phone, &binding).expect("an answer");
    assert_eq!(answer[..4], *b"\x01\x01\0\x0c");
    assert_eq!(answer[4..20], binding[4..20]);
    assert_eq!(answer[20..26], *b"\0\x20\0\x08\0\x01");
    let port = u16::from_be_bytes([answer[26], answer[27]]) ^ 0x2112;
    let ip: Vec<u8> = answer[28..]
        .iter()
        .zip(&binding[4..8])
        .map(|(octet, mask)| octet ^ mask)
        .collect();
    assert_eq!((port, &ip[..]), (own.port(), &[127, 0, 0, 3][..]));

    let broken = options("h;branch=z9hG4bK1;rport", "\r\n").replace("Call-ID", "X");
    for nothing in [
        &b"\r\n"[..],
        b"",
        b"\0",
        b"hello",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        broken.as_bytes(),
        &[0xff; 1400],
    ] {
        phone.send(nothing).expect("a datagram sent");
    }
    // What one phone sends is read in its order: had any of it been answered, it would be here first.
    assert_eq!(ask(&phone, b"\r\n\r\n").as_deref(), Some(&b"\r\n"[..]));
    assert!(server.lives());
    server.signal(Signal::SIGTERM);
    assert!(server.ended(PATIENCE).is_some());
    let log = server.log();
    assert!(log.contains(" datagrams=11 datagrams_dropped=2 "), "{log}");
}

#[test]
fn a_registration_that_comes_again_is_answered_the_same_and_done_once() {
    let server = lenient().start();
    let phone = socket(&server);
    let own = phone.local_addr().expect("an address");
    let register = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
    let octets = register.octets("UDP", own);
    let first = ask(&phone, &octets).expect("an answer");
    assert!(text(Some(first.clone())).starts_with("SIP/2.0 200 "));
    for _ in 0..3 {
        assert_eq!(ask(&phone, &octets).as_deref(), Some(&first[..]));
    }
    let other = Request::ping().octets("UDP", own);
    assert!(text(ask(&phone, &other)).starts_with("SIP/2.0 200 "));
    wait_for(&server, 2, "sip.answered conn=udp");
    let log = server.log();
    assert_eq!(log.matches("sip.answered conn=udp").count(), 2, "{log}");
    assert_eq!(log.matches("registrar.registered conn=udp").count(), 1);
}

#[test]
fn a_refusal_is_the_same_each_time_though_nobody_remembers_it() {
    // By the secure rules nobody gets in who proves nothing.
    let server = Setup::usual().start();
    let phone = socket(&server);
    let own = phone.local_addr().expect("an address");
    let mut invite = Request::new("INVITE", "sip:bob@example.org", "sip:alice@example.org");
    let octets = invite.octets("UDP", own);
    let first = text(ask(&phone, &octets));
    assert!(first.starts_with("SIP/2.0 403 "), "{first}");
    assert_eq!(text(ask(&phone, &octets)), first);
    // Its ACK is expected, and no news.
    "ACK".clone_into(&mut invite.method);
    let tag = first
        .split("To: ")
        .nth(1)
        .and_then(|to| to.split(";tag=").nth(1));
    let tag = tag
        .and_then(|rest| rest.split("\r\n").next())
        .expect("a tag");
    let ack = String::from_utf8(invite.octets("UDP", own)).expect("UTF-8");
    let ack = ack.replace(
        "To: <sip:bob@example.org>",
        &format!("To: <sip:bob@example.org>;tag={tag}"),
    );
    phone.send(ack.as_bytes()).expect("a datagram sent");
    let other = Request::new("MESSAGE", "sip:bob@example.org", "sip:alice@example.org");
    let refusal = text(ask(&phone, &other.octets("UDP", own)));
    assert!(refusal.starts_with("SIP/2.0 403 "), "{refusal}");
    wait_for(&server, 3, "auth.refused");
    let log = server.log();
    assert_eq!(log.matches("auth.refused").count(), 3, "{log}");
}

#[test]
fn a_flood_of_forged_and_broken_datagrams_leaves_nothing_behind() {
    let _alone = crate::harness::heavy();
    let mut server = Setup::usual().start();
    let phone = socket(&server);
    let own = phone.local_addr().expect("an address");
    let ping = || ask(&phone, b"\r\n\r\n").is_some();
    assert!(ping());
    let flood = |rounds: usize| {
        for round in 0..rounds {
            let source = UdpSocket::bind((here(), 0)).expect("a socket");
            for number in 0..50 {
                let method = ["INVITE", "REGISTER", "MESSAGE", "BYE"][number % 4];
                let request = Request::new(method, "sip:bob@example.org", "sip:alice@example.org");
                let octets = match number % 5 {
                    0 => vec![u8::try_from(round % 256).expect("an octet"); 600],
                    _ => request.octets("UDP", own),
                };
                source.send_to(&octets, server.udp()).expect("a datagram");
            }
            // Read before it is more than the system holds.
            assert!(ping());
        }
    };
    flood(40);
    let (descriptors, before) = (server.descriptors(), server.rss());
    flood(200);
    let grown = server.rss().saturating_sub(before);
    assert!(
        grown < 2048,
        "{grown} KiB more after ten thousand datagrams"
    );
    assert_eq!(server.descriptors(), descriptors);
    assert!(server.lives());
}

/// A phone: whatever it speaks over, what it has received and not yet looked at.
pub(crate) struct Phone {
    user: &'static str,
    connection: Connection,
    received: VecDeque<Incoming>,
}

impl Phone {
    fn over_udp(user: &'static str, server: &Server) -> Self {
        Self::registered(user, udp_from(here(), server.udp()))
    }

    pub(crate) fn over_tls(user: &'static str, certificate: &str, server: &Server) -> Self {
        let connection = TlsPeer::named(certificate).connect(server.tls());
        Self::registered(user, connection.expect("a handshake"))
    }

    fn registered(user: &'static str, mut connection: Connection) -> Self {
        let own = format!("sip:{user}@example.org");
        let register = Request::new("REGISTER", "sip:example.org", &own);
        assert_eq!(connection.ask(&register).response().status, 200);
        Self {
            user,
            connection,
            received: VecDeque::new(),
        }
    }

    fn contact(&self) -> String {
        let transport = self.connection.transport().to_ascii_lowercase();
        format!("<sip:ua@{};transport={transport}>", self.connection.local())
    }

    /// The next message whose start line has this in it; what comes before it must be one of `passing`.
    fn expect(&mut self, wanted: &str, passing: &[&str]) -> Incoming {
        loop {
            let message = self.received.pop_front();
            let message = message.or_else(|| self.connection.next_message(PATIENCE));
            let message = message.unwrap_or_else(|| panic!("{} waits for {wanted}", self.user));
            if message.start.contains(wanted) {
                return message;
            }
            assert!(
                passing
                    .iter()
                    .any(|passing| message.start.contains(passing)),
                "{} waits for {wanted} and gets {}",
                self.user,
                message.start
            );
        }
    }

    fn send(&mut self, text: &str) {
        self.connection.send(text.as_bytes()).expect("it is sent");
    }

    /// The answer of a callee, with what a dialog is made of.
    fn answer(&self, request: &Incoming, status: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for (name, value) in &request.headers {
            let tag = match name.as_str() {
                "to" if !value.contains(";tag=") => ";tag=callee",
                "via" | "record-route" | "from" | "to" | "call-id" | "cseq" => "",
                _ => continue,
            };
            let _ = write!(text, "{name}: {value}{tag}\r\n");
        }
        let _ = write!(
            text,
            "Contact: {}\r\nContent-Length: 0\r\n\r\n",
            self.contact()
        );
        text
    }

    /// A request within a dialog: to the contact and along the route that its first message showed.
    fn within(&self, method: &str, cseq: u32, dialog: &Dialog) -> String {
        let mut text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bK{}{}{method}{cseq};rport\r\nMax-Forwards: 70\r\n",
            dialog.target,
            self.connection.transport(),
            self.connection.local(),
            self.user,
            dialog.call_id.trim_end_matches("@test"),
        );
        for route in &dialog.routes {
            let _ = write!(text, "Route: {route}\r\n");
        }
        let _ = write!(
            text,
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: {}\r\nContent-Length: 0\r\n\r\n",
            dialog.own,
            dialog.other,
            dialog.call_id,
            self.contact()
        );
        text
    }
}

/// What a side of a dialog knows (RFC 3261 §12).
struct Dialog {
    target: String,
    routes: Vec<String>,
    own: String,
    other: String,
    call_id: String,
}

impl Dialog {
    /// That of the caller by the 200, or of the callee by the INVITE and the 200 that it has sent.
    fn of(message: &Incoming, is_caller: bool) -> Self {
        let value = |name: &str| message.value(name).expect("a header field").to_owned();
        let contact = value("contact");
        let mut routes: Vec<String> = message
            .headers
            .iter()
            .filter(|(name, _)| name == "record-route")
            .map(|(_, value)| value.clone())
            .collect();
        let (own, other) = match is_caller {
            true => (value("from"), value("to")),
            false => (value("to") + ";tag=callee", value("from")),
        };
        if is_caller {
            routes.reverse();
        }
        Self {
            target: contact.trim_matches(['<', '>']).to_owned(),
            routes,
            own,
            other,
            call_id: value("call-id"),
        }
    }
}

/// INVITE, 180, 200, ACK, re-INVITE from the callee, BYE from the caller. Gives the INVITE as the callee got it.
pub(crate) fn call(caller: &mut Phone, callee: &mut Phone) -> Incoming {
    let (from, to) = (caller.user, callee.user);
    let uri = format!("sip:{to}@example.org");
    let mut invite = Request::new("INVITE", &uri, &format!("sip:{from}@example.org"));
    invite.contact = Some(caller.contact());
    let octets = invite.octets(caller.connection.transport(), caller.connection.local());
    caller.connection.send(&octets).expect("it is sent");
    let rung = callee.expect("INVITE", &[]);
    let ringing = callee.answer(&rung, "180 Ringing");
    callee.send(&ringing);
    caller.expect("180", &["100"]);
    let ok = callee.answer(&rung, "200 OK");
    callee.send(&ok);
    let answered = caller.expect("200", &["100", "180"]);
    let of_caller = Dialog::of(&answered, true);
    let ack = caller.within("ACK", 1, &of_caller);
    caller.send(&ack);
    callee.expect("ACK", &["INVITE"]);

    let of_callee = Dialog::of(&rung, false);
    let again = callee.within("INVITE", 1, &of_callee);
    callee.send(&again);
    let asked = caller.expect("INVITE", &["200"]);
    let ok = caller.answer(&asked, "200 OK");
    caller.send(&ok);
    callee.expect("200", &["100", "ACK"]);
    let ack = callee.within("ACK", 1, &of_callee);
    callee.send(&ack);
    caller.expect("ACK", &["INVITE", "200"]);

    let bye = caller.within("BYE", 2, &of_caller);
    caller.send(&bye);
    let asked = callee.expect("BYE", &["ACK", "200"]);
    let ok = callee.answer(&asked, "200 OK");
    callee.send(&ok);
    let done = caller.expect("200", &["ACK", "INVITE"]);
    assert_eq!(done.value("cseq"), Some("2 BYE"));
    rung
}

#[test]
fn phones_call_each_other_over_udp_and_between_udp_and_tls() {
    let server = lenient().start();
    let mut alice = Phone::over_udp("alice", &server);
    let mut carol = Phone::over_udp("carol", &server);
    let mut bob = Phone::over_tls("bob", "bob-uri", &server);
    let routes = |invite: &Incoming| -> Vec<String> {
        let headers = invite.headers.iter();
        let routes = headers.filter(|(name, _)| name == "record-route");
        routes.map(|(_, value)| value.clone()).collect()
    };

    let invite = call(&mut alice, &mut carol);
    let recorded = routes(&invite);
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert!(recorded[0].contains(";transport=udp"), "{recorded:?}");
    let via = invite.value("via").expect("Via");
    assert!(
        via.starts_with(&format!("SIP/2.0/UDP {};", server.udp())),
        "{via}"
    );

    // RFC 5658: one for each side, and both with the token.
    for invite in [call(&mut alice, &mut bob), call(&mut bob, &mut carol)] {
        let recorded = routes(&invite);
        assert_eq!(recorded.len(), 2, "{recorded:?}");
        for wanted in [";transport=udp", ";transport=tls"] {
            let has = recorded.iter().filter(|route| route.contains(wanted));
            assert_eq!(has.count(), 1, "{recorded:?}");
        }
        assert!(recorded.iter().all(|route| route.contains('@')));
    }
    let log = server.log();
    assert!(!log.contains("auth.refused"), "{log}");
}

#[test]
fn what_is_lost_on_the_way_comes_again() {
    let server = lenient().start();
    let mut alice = Phone::over_udp("alice", &server);
    let mut carol = Phone::over_udp("carol", &server);
    let mut invite = Request::new("INVITE", "sip:carol@example.org", "sip:alice@example.org");
    invite.contact = Some(alice.contact());
    let octets = invite.octets("UDP", alice.connection.local());
    alice.connection.send(&octets).expect("it is sent");
    alice.expect("100", &[]);

    // The callee's phone hears nothing for a while: Timer A.
    let first = carol.expect("INVITE", &[]);
    let again = carol.expect("INVITE", &[]);
    assert_eq!(first.headers, again.headers);
    // The caller has not heard the 100: it is said again, and the INVITE goes out no more often for it.
    alice.connection.send(&octets).expect("it is sent");
    alice.expect("100", &[]);

    let busy = carol.answer(&again, "486 Busy Here");
    carol.send(&busy);
    let ack = carol.expect("ACK", &["INVITE"]);
    assert_eq!(ack.value("cseq"), Some("1 ACK"));
    // That ACK is lost, so the phone repeats itself and is acknowledged anew.
    carol.send(&busy);
    carol.expect("ACK", &["INVITE"]);

    // The caller misses the refusal: Timer G, until its ACK comes.
    alice.expect("486", &["100"]);
    let refused = alice.expect("486", &[]);
    "ACK".clone_into(&mut invite.method);
    let ack = String::from_utf8(invite.octets("UDP", alice.connection.local())).expect("UTF-8");
    let to = format!("To: {}", refused.value("to").expect("To"));
    let ack = ack.replace("To: <sip:carol@example.org>", &to);
    alice.send(&ack);
    assert!(
        alice
            .connection
            .next_message(SILENCE)
            .is_none_or(|message| {
                // One may have crossed the ACK.
                message.start.contains("486") && alice.connection.next_message(SILENCE).is_none()
            })
    );
    assert!(
        carol.connection.next_message(SILENCE).is_none(),
        "no ACK of the caller's goes on"
    );

    // A request that is no INVITE: Timer E, and the answer is repeated to who asks again.
    let mut message = Request::new("MESSAGE", "sip:carol@example.org", "sip:alice@example.org");
    message.contact = Some(String::new());
    let octets = message.octets("UDP", alice.connection.local());
    alice.connection.send(&octets).expect("it is sent");
    carol.expect("MESSAGE", &[]);
    let again = carol.expect("MESSAGE", &[]);
    let ok = carol.answer(&again, "200 OK");
    carol.send(&ok);
    alice.expect("200", &[]);
    alice.connection.send(&octets).expect("it is sent");
    alice.expect("200", &[]);
    assert!(
        carol.connection.next_message(SILENCE).is_none(),
        "answered from memory"
    );
}

#[test]
fn a_cancel_over_udp_stops_the_ringing() {
    let server = lenient().start();
    let mut alice = Phone::over_udp("alice", &server);
    let mut carol = Phone::over_udp("carol", &server);
    let mut invite = Request::new("INVITE", "sip:carol@example.org", "sip:alice@example.org");
    let local = alice.connection.local();
    alice
        .connection
        .send(&invite.octets("UDP", local))
        .expect("it is sent");
    let rung = carol.expect("INVITE", &[]);
    let ringing = carol.answer(&rung, "180 Ringing");
    carol.send(&ringing);
    alice.expect("180", &["100"]);
    "CANCEL".clone_into(&mut invite.method);
    alice
        .connection
        .send(&invite.octets("UDP", local))
        .expect("it is sent");
    let cancelled = alice.expect("200", &["180", "100"]);
    assert_eq!(cancelled.value("cseq"), Some("1 CANCEL"));
    let cancel = carol.expect("CANCEL", &["INVITE"]);
    assert_eq!(cancel.value("via"), rung.value("via"));
    for (request, status) in [(&cancel, "200 OK"), (&rung, "487 Request Terminated")] {
        let answer = carol.answer(request, status);
        carol.send(&answer);
    }
    alice.expect("487", &["180"]);
    carol.expect("ACK", &["CANCEL"]);
}

#[test]
fn a_request_too_large_for_a_datagram_goes_over_tcp_where_that_is_spoken() {
    let server = lenient().start();
    let mut alice = Phone::over_udp("alice", &server);
    let body = "x".repeat(2000);
    let large = |to: &str| {
        let mut message = Request::new("MESSAGE", to, "sip:alice@example.org");
        message.body.clone_from(&body);
        message
    };

    // A phone that listens on both: a contact says nothing of a transport, and is where it registers from.
    let streams = TcpListener::bind((here(), 0)).expect("a TCP listener");
    let both = streams.local_addr().expect("an address");
    let mut carol = registered_at("carol", both, &format!("<sip:ua@{both}>"), &server);
    let sent = large("sip:carol@example.org");
    alice.connection.send_request(&sent).expect("it is sent");
    let (mut stream, _) = streams.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut received = Vec::new();
    let message = loop {
        if let Some(message) = Incoming::take(&mut received) {
            break message;
        }
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).expect("the request");
        assert!(length > 0, "closed");
        received.extend_from_slice(&chunk[..length]);
    };
    assert_eq!(message.body, body.as_bytes());
    let via = message.value("via").expect("Via");
    assert!(via.starts_with("SIP/2.0/TCP "), "{via}");
    stream
        .write_all(&message.answer(200, "OK"))
        .expect("an answer");
    alice.expect("200", &[]);
    // What is small stays what it was.
    let small = Request::new("MESSAGE", "sip:carol@example.org", "sip:alice@example.org");
    alice.connection.send_request(&small).expect("it is sent");
    let message = carol.expect("MESSAGE", &[]);
    assert!(
        message
            .value("via")
            .is_some_and(|via| via.starts_with("SIP/2.0/UDP "))
    );
    carol.send(&carol.answer(&message, "200 OK"));
    alice.expect("200", &[]);

    // Nobody listens there: a datagram after all.
    let dave = UdpSocket::bind((here(), 0))
        .expect("a socket")
        .local_addr()
        .expect("an address");
    for (user, contact) in [
        ("dave", format!("<sip:ua@{dave}>")),
        // Behind a NAT, as it seems.
        ("erin", "<sip:ua@10.0.0.1:5060>".to_owned()),
    ] {
        let at = match user {
            "dave" => dave,
            _ => SocketAddr::new(here(), 0),
        };
        let mut phone = registered_at(user, at, &contact, &server);
        let sent = large(&format!("sip:{user}@example.org"));
        alice.connection.send_request(&sent).expect("it is sent");
        let message = phone.expect("MESSAGE", &[]);
        assert_eq!(message.body, body.as_bytes(), "{user}");
        assert!(
            message
                .value("via")
                .is_some_and(|via| via.starts_with("SIP/2.0/UDP "))
        );
        phone.send(&phone.answer(&message, "200 OK"));
        alice.expect("200", &[]);
    }
}

#[test]
fn where_tcp_is_lost_on_the_way_only_the_first_large_request_waits_for_it() {
    const CONNECT: Duration = Duration::from_secs(4);
    let server = lenient().set("ConnectTimeout", "4").start();
    let mut alice = Phone::over_udp("alice", &server);
    let lost = Remote::unreachable();
    let at = lost.address();
    let mut carol = registered_at("carol", at, &format!("<sip:ua@{at}>"), &server);
    for is_first in [true, false, false] {
        let mut large = Request::new("MESSAGE", "sip:carol@example.org", "sip:alice@example.org");
        large.body = "x".repeat(2000);
        let begun = Instant::now();
        alice.connection.send_request(&large).expect("it is sent");
        let message = carol.expect("MESSAGE", &[]);
        assert_eq!(begun.elapsed() >= CONNECT, is_first);
        carol.send(&carol.answer(&message, "200 OK"));
        alice.expect("200", &["100"]);
    }
}

/// A phone that registers this contact from this address over UDP.
fn registered_at(user: &'static str, at: SocketAddr, contact: &str, server: &Server) -> Phone {
    let mut connection = crate::harness::udp_at(at, server.udp());
    let own = format!("sip:{user}@example.org");
    let mut register = Request::new("REGISTER", "sip:example.org", &own);
    register.contact = Some(contact.to_owned());
    assert_eq!(connection.ask(&register).response().status, 200);
    Phone {
        user,
        connection,
        received: VecDeque::new(),
    }
}
