//! Passwords that are in a data base, while that is gone: nobody is let in, nobody is refused for good, and nobody waits long.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use std::io::{Read as _, Write as _};

use sipvouch::store::{Domain, Record, SqlKind, Store as _};

use crate::cases::user;
use crate::digest::{Login, hex};
use crate::message::{Incoming, Request, Response};
use crate::servers::Server;
use crate::serving::{PATIENCE, Served};

fn ask(peer: &mut TcpStream, request: &Request) -> Response {
    let local = peer.local_addr().unwrap();
    peer.write_all(&request.octets("TCP", local)).unwrap();
    let mut buffer = Vec::new();
    loop {
        if let Some(message) = Incoming::take(&mut buffer) {
            return Response::of(message).expect("a response");
        }
        let mut chunk = [0; 4096];
        let n = peer.read(&mut chunk).unwrap();
        assert!(n > 0, "the connection is closed");
        buffer.extend_from_slice(&chunk[..n]);
    }
}

/// Registers with a password; the status.
fn register(port: u16, user: &str, password: &str) -> u16 {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let from = format!("sip:{user}@example.org");
    let request = Request::new("REGISTER", "sip:example.org", &from);
    let challenge = ask(&mut peer, &request);
    assert_eq!(challenge.status, 401, "{challenge:?}");
    let mut answered = request.following();
    let line = Login::new(user, password).answer(&challenge, &answered);
    answered.headers.push(line);
    ask(&mut peer, &answered).status
}

pub(crate) fn whoever_logs_in_is_told_of_an_outage_and_let_in_after_it(kind: SqlKind) {
    let server = Server::start(kind);
    let database = server.database();
    let domain = Domain {
        domain: "example.org".into(),
        tls_port: 0,
    };
    let alice = user("alice", &hex("MD5", "alice:example.org:pw"));
    let store = database.store();
    store.put(&[alice, Record::Domain(domain)]).unwrap();
    let served = Served::start_with(&database, "DisableAuth = false\n");
    let port = served.port;
    assert_eq!(register(port, "alice", "pw"), 200);
    assert_eq!(register(port, "alice", "another"), 403);
    assert_eq!(register(port, "nobody", "pw"), 403);

    server.crash();
    for (user, password) in [("alice", "pw"), ("alice", "another"), ("nobody", "pw")] {
        let asked = Instant::now();
        assert_eq!(register(port, user, password), 500, "{user} {password}");
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(5), "{user} {password}: {took:?}");
    }

    server.run();
    let until = Instant::now() + PATIENCE;
    while register(port, "alice", "pw") != 200 {
        assert!(Instant::now() < until, "still not let in");
    }
    assert_eq!(register(port, "alice", "another"), 403);
    assert_eq!(register(port, "nobody", "pw"), 403);
}
