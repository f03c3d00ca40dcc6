//! What breaks around a relayed request: other domains, name servers, phones, ourselves. And what strangers and our own
//! users may try. Held to account each time: the right answer in bounded time, other traffic served meanwhile, nothing
//! left over, and a log line that says why.

mod aliases;
mod attacks;
mod failover;
mod flows;
mod locating;
mod overload;
mod phones;
mod records;
mod remotes;
mod restart;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    Connection, Incoming, NameServer, Pki, Remote, Request, Response, Server, Setup, TlsPeer,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer of the server itself may take on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);

const ALICE: &str = "sip:alice@example.org";
const BOB: &str = "sip:bob@example.org";
const CAROL: &str = "sip:carol@kama.test";

/// A server of example.org that trusts the partner's CA, and finds what this name server knows. Four workers, so that
/// whoever talks to somebody is likely to be with another of them.
fn setup(names: &NameServer) -> Setup {
    Setup::usual()
        .set(
            "CAFile",
            &Pki::get().path("ca/root-partner.crt").display().to_string(),
        )
        .set("DNSServers", &names.address().to_string())
        .set("WorkerThreads", "4")
        .set("ConnectTimeout", "1")
        .set("ForceRecordRouting", "true")
        .set("LogLevel", "DEBUG")
}

/// A name server that leads kama.test to these, the first before the second, and so on.
fn leading_to(remotes: &[&Remote]) -> NameServer {
    let names = NameServer::new(&[]);
    lead_to(&names, 60, remotes);
    names
}

fn lead_to(names: &NameServer, ttl: u32, remotes: &[&Remote]) {
    let mut lines = vec![format!("local.kama.test {ttl} A 127.0.0.1")];
    for (priority, remote) in (1..).zip(remotes) {
        lines.push(remote.srv("kama.test", ttl, priority));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    names.set(&lines);
}

/// A connection with the certificate of a user.
fn user(server: &Server, name: &str) -> Connection {
    TlsPeer::named(&format!("{name}-uri"))
        .connect(server.tls())
        .expect("a handshake")
}

/// The same, registered.
fn registered(server: &Server, name: &str) -> Connection {
    let mut phone = user(server, name);
    register(&mut phone, name);
    phone
}

fn register(phone: &mut Connection, name: &str) {
    let register = Request::new(
        "REGISTER",
        "sip:example.org",
        &format!("sip:{name}@example.org"),
    );
    assert_eq!(phone.ask(&register).response().status, 200);
}

/// Pings the server over a connection of its own for as long as `work` takes; each ping is answered, and soon.
fn while_pinging<T>(server: SocketAddr, work: impl FnOnce() -> T) -> T {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let mut others: Vec<Connection> = (0..4)
                .map(|_| TlsPeer::anonymous().connect(server).expect("a handshake"))
                .collect();
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::SeqCst) {
                for other in &mut others {
                    let asked = Instant::now();
                    assert_eq!(other.ask(&Request::ping()).response().status, 200);
                    longest = longest.max(asked.elapsed());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            longest
        });
        let stop = Stop(&done);
        let result = work();
        drop(stop);
        let longest = pings.join().expect("pings");
        assert!(longest < AT_ONCE, "a ping took {longest:?}");
        result
    })
}

/// Waits until the server has no more descriptors than it had.
fn nothing_left(server: &mut Server, before: usize) {
    let deadline = Instant::now() + PATIENCE;
    while server.descriptors() > before {
        assert!(
            Instant::now() < deadline,
            "{} descriptors, {before} before\n{}",
            server.descriptors(),
            server.log()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(server.lives());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Whether the log has come to say this.
fn logs(server: &Server, text: &str) {
    let found = server.wait_after(&mut 0, &[text], PATIENCE);
    assert!(found.is_some(), "no {text:?} in\n{}", server.log());
}

/// The answer of a phone or server to a request: whatever the dialog needs is in it.
fn answer(request: &Incoming, status: u16, contact: &str) -> Vec<u8> {
    let text = String::from_utf8(request.answer(status, "So be it")).expect("text");
    let mut more: String = request
        .headers
        .iter()
        .filter(|(name, _)| name == "record-route")
        .map(|(_, value)| format!("Record-Route: {value}\r\n"))
        .collect();
    more.push_str(&format!("Contact: <{contact}>\r\nContent-Length:"));
    // What is within a dialog has a tag already.
    text.replace(";tag=t1;tag=phone", ";tag=t1")
        .replace(";tag=phone", ";tag=t1")
        .replacen("Content-Length:", &more, 1)
        .into_bytes()
}

/// A dialog as one of its sides knows it.
#[derive(Clone, Debug)]
struct Dialog {
    from: String,
    to: String,
    call_id: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
}

fn uri_of(contact: &str) -> String {
    let uri = contact
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    uri.expect("a URI in brackets").0.to_owned()
}

impl Dialog {
    /// That of who invited, by the 200.
    fn of_caller(ok: &Response) -> Self {
        let value = |name| ok.value(name).expect("a field of a 200").to_owned();
        let mut routes: Vec<String> = ok.values("record-route").map(str::to_owned).collect();
        routes.reverse();
        Self {
            from: value("from"),
            to: value("to"),
            call_id: value("call-id"),
            target: uri_of(&value("contact")),
            routes,
            cseq: 1,
        }
    }

    /// That of who was invited, and answered with [`answer`].
    fn of_callee(invite: &Incoming) -> Self {
        let value = |name| invite.value(name).expect("a field").to_owned();
        let fields = invite.headers.iter();
        Self {
            from: value("to") + ";tag=t1",
            to: value("from"),
            call_id: value("call-id"),
            target: uri_of(&value("contact")),
            routes: fields
                .filter(|(name, _)| name == "record-route")
                .map(|(_, value)| value.clone())
                .collect(),
            cseq: 1,
        }
    }

    /// The next request of this side.
    fn next(&mut self, method: &str, local: SocketAddr) -> Vec<u8> {
        self.cseq += 1;
        let routes = self.routes.iter();
        let routes: String = routes.map(|route| format!("Route: {route}\r\n")).collect();
        let branch = format!(
            "z9hG4bK{}{}{}",
            local.port(),
            self.cseq,
            method.to_lowercase()
        );
        let Self {
            from,
            to,
            call_id,
            target,
            ..
        } = self;
        let cseq = match method {
            "ACK" => 1,
            _ => self.cseq,
        };
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/TLS {local};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             {routes}From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    /// The final answer to the next request of this side.
    fn ask(&mut self, method: &str, connection: &mut Connection) -> Response {
        let octets = self.next(method, connection.local());
        connection.send(&octets).expect("a connection");
        loop {
            let response = connection.next(PATIENCE).response();
            let cseq = response.value("cseq").unwrap_or_default();
            if response.status >= 200 && cseq.ends_with(method) {
                return response;
            }
        }
    }
}

/// A call that stands, between one who invites and one who is invited by that URI: the dialog of either.
fn call(
    invite: &Request,
    caller: &mut Connection,
    callee: impl FnOnce() -> Connection,
) -> (Dialog, Dialog, Connection) {
    caller.send_request(invite).expect("a connection");
    let mut callee = callee();
    let invitation = callee.next_request(PATIENCE).expect("an INVITE");
    assert!(
        invitation.start.starts_with("INVITE "),
        "{}",
        invitation.start
    );
    let contact = format!("sip:callee@{};transport=tls", callee.local());
    callee
        .send(&answer(&invitation, 200, &contact))
        .expect("a connection");
    let ok = caller.final_answer(invite, PATIENCE).response();
    assert_eq!(ok.status, 200);
    let mut dialog = Dialog::of_caller(&ok);
    let ack = dialog.next("ACK", caller.local());
    caller.send(&ack).expect("a connection");
    let ack = callee.next_request(PATIENCE).expect("an ACK");
    assert!(ack.start.starts_with("ACK "), "{}", ack.start);
    (dialog, Dialog::of_callee(&invitation), callee)
}
