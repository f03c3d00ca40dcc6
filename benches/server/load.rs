//! The load: phones with client certificates, paced.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use openssl::ssl::{
    Ssl, SslConnector, SslMethod, SslSession, SslSessionCacheMode, SslStream, SslVersion,
};

use crate::pki::Pki;

pub(crate) struct Load<'p> {
    pub(crate) address: SocketAddr,
    pub(crate) pki: &'p Pki,
}

/// One connected phone.
pub(crate) struct Phone {
    stream: SslStream<TcpStream>,
    user: usize,
    sequence: u32,
    answers_due: usize,
}

impl Phone {
    /// Its user's number, and its connection.
    pub(crate) fn into_parts(self) -> (usize, SslStream<TcpStream>) {
        (self.user, self.stream)
    }

    pub(crate) fn options(&mut self) -> String {
        self.sequence += 1;
        format!(
            "OPTIONS sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:5099;branch=z9hG4bK{u}x{n};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{u}@example.org>;tag=f{u}\r\nTo: <sip:example.org>\r\n\
             Call-ID: o{u}@bench\r\nCSeq: {n} OPTIONS\r\nContact: <sip:u{u}@127.0.0.1:5099;transport=tls>\r\n\
             User-Agent: bench\r\nContent-Length: 0\r\n\r\n",
            u = self.user,
            n = self.sequence
        )
    }

    pub(crate) fn register(&mut self) -> String {
        self.sequence += 1;
        format!(
            "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:5099;branch=z9hG4bK{u}x{n};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{u}@example.org>;tag=f{u}\r\nTo: <sip:u{u}@example.org>\r\n\
             Call-ID: r{u}@bench\r\nCSeq: {n} REGISTER\r\nContact: <sip:u{u}@127.0.0.1:5099;transport=tls>\r\n\
             Expires: 3600\r\nUser-Agent: bench\r\nContent-Length: 0\r\n\r\n",
            u = self.user,
            n = self.sequence
        )
    }

    fn send(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).unwrap();
        self.answers_due += 1;
    }

    /// Reads the answers that are due; each must be a 200.
    fn receive(&mut self) {
        let mut received = Vec::new();
        let mut chunk = [0; 4096];
        while self.answers_due > 0 {
            let read = self.stream.read(&mut chunk).unwrap();
            assert!(read > 0, "the server closed the connection");
            received.extend_from_slice(&chunk[..read]);
            while let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") {
                assert!(
                    received.starts_with(b"SIP/2.0 200"),
                    "{}",
                    String::from_utf8_lossy(&received)
                );
                received.drain(..end + 4);
                self.answers_due -= 1;
            }
        }
    }
}

/// Calls `act` so many times, evenly spread.
fn pace(times: usize, per_second: f64, mut act: impl FnMut(usize)) {
    let start = Instant::now();
    for n in 0..times {
        let due = start + Duration::from_secs_f64(n as f64 / per_second);
        let now = Instant::now();
        if due > now {
            thread::sleep(due - now);
        }
        act(n);
    }
}

impl Load<'_> {
    fn connector(&self) -> openssl::ssl::SslConnectorBuilder {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder
            .cert_store_mut()
            .add_cert(self.pki.ca.clone())
            .unwrap();
        builder
            .set_min_proto_version(Some(SslVersion::TLS1_3))
            .unwrap();
        builder.set_private_key(&self.pki.user_key).unwrap();
        builder
    }

    fn connect(&self, connector: &SslConnector, user: usize) -> SslStream<TcpStream> {
        let mut ssl = self.ssl(connector);
        ssl.set_certificate(&self.pki.users[user]).unwrap();
        ssl.set_private_key(&self.pki.user_key).unwrap();
        ssl.connect(self.tcp()).unwrap()
    }

    fn ssl(&self, connector: &SslConnector) -> Ssl {
        let mut ssl = connector
            .configure()
            .unwrap()
            .verify_hostname(false)
            .into_ssl("example.org")
            .unwrap();
        ssl.set_connect_state();
        ssl
    }

    fn tcp(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        tcp
    }

    pub(crate) fn phones(&self, count: usize) -> Vec<Phone> {
        let connector = self.connector().build();
        (0..count)
            .map(|user| Phone {
                stream: self.connect(&connector, user),
                user,
                sequence: 0,
                answers_due: 0,
            })
            .collect()
    }

    /// Phones that have registered and are silent now.
    pub(crate) fn registered_phones(&self, count: usize, per_second: usize) -> Vec<Phone> {
        let connector = self.connector().build();
        let mut phones = Vec::with_capacity(count);
        pace(count, per_second as f64, |user| {
            let mut phone = Phone {
                stream: self.connect(&connector, user),
                user,
                sequence: 0,
                answers_due: 0,
            };
            let request = phone.register();
            phone.send(&request);
            phone.receive();
            phones.push(phone);
        });
        phones
    }

    /// Requests in turn over all phones; the answer to the one before is read before a phone sends again.
    pub(crate) fn exchange(
        &self,
        phones: &mut [Phone],
        count: usize,
        per_second: f64,
        request: fn(&mut Phone) -> String,
    ) {
        let turns = phones.len();
        pace(count, per_second, |n| {
            let phone = &mut phones[n % turns];
            phone.receive();
            let text = request(phone);
            phone.send(&text);
        });
        phones.iter_mut().for_each(Phone::receive);
    }

    /// One connection for each certificate: handshake, one OPTIONS so that both sides have seen its end, close.
    pub(crate) fn handshakes(&self, certificates: Vec<usize>, per_second: f64) {
        let connector = self.connector().build();
        pace(certificates.len(), per_second, |n| {
            let mut stream = self.connect(&connector, certificates[n]);
            ping(&mut stream);
        });
    }

    /// A session to resume.
    pub(crate) fn first_session(&self, user: usize) -> SslSession {
        let (connector, sessions) = self.resuming();
        let mut stream = self.connect(&connector, user);
        ping(&mut stream);
        sessions
            .lock()
            .unwrap()
            .pop()
            .expect("the server gives tickets")
    }

    pub(crate) fn resumptions(&self, first: SslSession, count: usize, per_second: f64) {
        let (connector, sessions) = self.resuming();
        sessions.lock().unwrap().push(first);
        pace(count, per_second, |_| {
            let session = sessions
                .lock()
                .unwrap()
                .pop()
                .expect("each handshake gives a ticket");
            let mut ssl = self.ssl(&connector);
            ssl.set_certificate(&self.pki.users[0]).unwrap();
            ssl.set_private_key(&self.pki.user_key).unwrap();
            // The session was made by a context of the same settings.
            #[allow(unsafe_code)]
            unsafe {
                ssl.set_session(&session).unwrap();
            }
            let mut stream = ssl.connect(self.tcp()).unwrap();
            assert!(stream.ssl().session_reused(), "the session is resumed");
            ping(&mut stream);
        });
    }

    fn resuming(&self) -> (SslConnector, Arc<Mutex<Vec<SslSession>>>) {
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&sessions);
        let mut builder = self.connector();
        builder
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        builder.set_new_session_callback(move |_, session| kept.lock().unwrap().push(session));
        (builder.build(), sessions)
    }
}

/// One keep-alive and its answer, which says that the server has finished its side; then goodbye, without which OpenSSL
/// would not resume the session.
fn ping(stream: &mut SslStream<TcpStream>) {
    stream.write_all(b"\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    stream.shutdown().unwrap();
}
