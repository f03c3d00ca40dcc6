//! The limit: one thread, one poller, OpenSSL; answers are copied headers. No checks, no state, no deadlines.
//!
//! It does what no server can leave out: accept, mutual handshake with verification and one ticket, decrypt, find the
//! end of the message, encrypt, write.

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
    let mut next = 0;
    let mut scratch = vec![0; 65536];
    loop {
        poll.poll(&mut events, None).unwrap();
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
                && !connection.progress(&mut scratch)
            {
                connections.remove(&token);
            }
        }
    }
}

impl Connection {
    fn progress(&mut self, scratch: &mut [u8]) -> bool {
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
                    let taken = self.answer_all(&scratch[..read]);
                    self.received.extend_from_slice(&scratch[taken..read]);
                }
                Ok(read) => {
                    let mut received = std::mem::take(&mut self.received);
                    received.extend_from_slice(&scratch[..read]);
                    let taken = self.answer_all(&received);
                    received.drain(..taken);
                    self.received = received;
                }
                Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Answers every whole message; says how many octets they took.
    fn answer_all(&mut self, octets: &[u8]) -> usize {
        let mut taken = 0;
        let mut out = Vec::with_capacity(512);
        while let Some(end) = memchr::memmem::find(&octets[taken..], b"\r\n\r\n") {
            let head = &octets[taken..taken + end + 4];
            taken += head.len();
            if end == 0 {
                out.extend_from_slice(b"\r\n");
                continue;
            }
            out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
            for line in head.split_inclusive(|o| *o == b'\n') {
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
