//! The limit: one thread, one poller, OpenSSL; answers are copied headers. No checks, no state, no deadlines.
//!
//! It does what no server can leave out: accept, mutual handshake with verification and one ticket, decrypt, find the
//! end of the message, encrypt, write. What is for a phone that has registered goes on to the connection of that phone,
//! copied with a Via more that says where it came from; responses go back by that.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::Path;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use openssl::ssl::{
    ErrorCode, Ssl, SslAcceptor, SslFiletype, SslMethod, SslMode, SslSessionCacheMode, SslStream,
    SslVerifyMode,
};

const LISTENER: Token = Token(usize::MAX);

/// Where phones are, and what is to be written to which connection.
struct Switchboard {
    address: String,
    users: HashMap<Vec<u8>, usize>,
    out: Vec<(usize, Vec<u8>)>,
}

struct Connection {
    stream: SslStream<TcpStream>,
    open: bool,
    received: Vec<u8>,
}

pub(crate) fn serve(address: &str, directory: &str) {
    let directory = Path::new(directory);
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    builder
        .set_certificate_chain_file(directory.join("domain_cert_example.org.pem"))
        .unwrap();
    builder
        .set_private_key_file(
            directory.join("domain_key_example.org.pem"),
            SslFiletype::PEM,
        )
        .unwrap();
    builder
        .set_ca_file(directory.join("root_cert_bench.pem"))
        .unwrap();
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    builder.set_session_id_context(b"bare").unwrap();
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(1).unwrap();
    builder.set_read_ahead(true);
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    // What the acceptor of the crate sets otherwise than OpenSSL and Sipvouch do.
    builder
        .set_groups_list("X25519:P-256:X448:P-521:P-384")
        .unwrap();
    builder
        .set_ciphersuites(
            "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
        )
        .unwrap();
    let acceptor = builder.build();

    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(address.parse().unwrap()).unwrap();
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .unwrap();
    let mut connections: HashMap<usize, Connection> = HashMap::new();
    let mut switchboard = Switchboard {
        address: address.to_owned(),
        users: HashMap::new(),
        out: Vec::new(),
    };
    let mut next = 0;
    let mut scratch = vec![0; 65536];
    loop {
        match poll.poll(&mut events, None) {
            // Somebody traces it.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled.unwrap(),
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    socket.set_nodelay(true).unwrap();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry()
                        .register(&mut socket, Token(next), both)
                        .unwrap();
                    let stream =
                        SslStream::new(Ssl::new(acceptor.context()).unwrap(), socket).unwrap();
                    connections.insert(
                        next,
                        Connection {
                            stream,
                            open: false,
                            received: Vec::new(),
                        },
                    );
                    next += 1;
                }
                continue;
            }
            let token = event.token().0;
            if let Some(connection) = connections.get_mut(&token)
                && !connection.progress(token, &mut scratch, &mut switchboard)
            {
                connections.remove(&token);
            }
            for (token, octets) in switchboard.out.drain(..) {
                if let Some(connection) = connections.get_mut(&token) {
                    connection.stream.write_all(&octets).unwrap();
                }
            }
        }
    }
}

impl Connection {
    fn progress(
        &mut self,
        token: usize,
        scratch: &mut [u8],
        switchboard: &mut Switchboard,
    ) -> bool {
        if !self.open {
            match self.stream.accept() {
                Ok(()) => self.open = true,
                Err(e) => return matches!(e.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE),
            }
        }
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return false,
                Ok(read) if self.received.is_empty() => {
                    let taken = self.answer_all(token, &scratch[..read], switchboard);
                    self.received.extend_from_slice(&scratch[taken..read]);
                }
                Ok(read) => {
                    let mut received = std::mem::take(&mut self.received);
                    received.extend_from_slice(&scratch[..read]);
                    let taken = self.answer_all(token, &received, switchboard);
                    received.drain(..taken);
                    self.received = received;
                }
                Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Answers every whole message or sends it on; says how many octets they took.
    fn answer_all(&mut self, token: usize, octets: &[u8], switchboard: &mut Switchboard) -> usize {
        let mut taken = 0;
        let mut out = Vec::with_capacity(512);
        while let Some(length) = message_length(&octets[taken..]) {
            let message = &octets[taken..taken + length];
            taken += length;
            if length == 4 {
                out.extend_from_slice(b"\r\n");
                continue;
            }
            if switchboard.forward(token, message) {
                continue;
            }
            out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
            for line in message.split_inclusive(|o| *o == b'\n') {
                let copied = [
                    &b"Via:"[..],
                    b"From:",
                    b"To:",
                    b"Call-ID:",
                    b"CSeq:",
                    b"Contact:",
                ];
                if copied.iter().any(|name| line.starts_with(name)) {
                    out.extend_from_slice(line);
                }
            }
            out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        }
        if !out.is_empty() {
            self.stream.write_all(&out).unwrap();
        }
        taken
    }
}

impl Switchboard {
    /// Sends a message on; false if it is for the server itself.
    fn forward(&mut self, from: usize, message: &[u8]) -> bool {
        let mut out = Vec::with_capacity(message.len() + 256);
        if message.starts_with(b"SIP/2.0 ") {
            let via = memchr::memmem::find(message, b"\r\nVia:").unwrap() + 2;
            let end = via + memchr::memchr(b'\n', &message[via..]).unwrap() + 1;
            let branch = memchr::memmem::find(&message[via..end], BRANCH).unwrap() + via;
            let to = number(&message[branch + BRANCH.len()..]);
            out.extend_from_slice(&message[..via]);
            out.extend_from_slice(&message[end..]);
            self.out.push((to, out));
            return true;
        }
        let line_end = memchr::memchr(b'\n', message).unwrap() + 1;
        let Some(user) = user(&message[..line_end]) else {
            // A phone's REGISTER says where it is.
            if message.starts_with(b"REGISTER ") {
                let at = memchr::memmem::find(message, b"\r\nTo:").unwrap();
                let user = user(&message[at..]).unwrap();
                self.users.insert(user.to_vec(), from);
            }
            return false;
        };
        let to = self.users[user];
        out.extend_from_slice(&message[..line_end]);
        let Self { address, .. } = self;
        write!(out, "Via: SIP/2.0/TLS {address}").unwrap();
        out.extend_from_slice(BRANCH);
        write!(out, "{from};rport\r\n").unwrap();
        if message.starts_with(b"INVITE ") {
            write!(out, "Record-Route: <sip:{address};transport=tls;lr>\r\n").unwrap();
        }
        let rest = &message[line_end..];
        match memchr::memmem::find(rest, b"\r\nRoute:") {
            None => out.extend_from_slice(rest),
            Some(at) => {
                let end = at + 2 + memchr::memchr(b'\n', &rest[at + 2..]).unwrap() + 1;
                out.extend_from_slice(&rest[..at + 2]);
                out.extend_from_slice(&rest[end..]);
            }
        }
        self.out.push((to, out));
        true
    }
}

/// The branch of our Vias, up to the number of the connection that a request came over.
const BRANCH: &[u8] = b";branch=z9hG4bKbare-";

/// The user of the first SIP URI in a line.
fn user(text: &[u8]) -> Option<&[u8]> {
    let text = &text[memchr::memmem::find(text, b"sip:")? + 4..];
    let end = text
        .iter()
        .position(|o| matches!(o, b'@' | b' ' | b'>' | b';'))?;
    (text[end] == b'@').then(|| &text[..end])
}

/// The number that octets begin with.
fn number(octets: &[u8]) -> usize {
    let digits = octets.iter().take_while(|o| o.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

/// How long the message at the start of `octets` is, if it is whole; 4 is a keep-alive.
pub(crate) fn message_length(octets: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"\r\nContent-Length: ";
    let end = memchr::memmem::find(octets, b"\r\n\r\n")? + 4;
    let head = &octets[..end];
    let body =
        memchr::memmem::rfind(head, LENGTH).map_or(0, |at| number(&head[at + LENGTH.len()..]));
    (octets.len() >= end + body).then_some(end + body)
}
