//! A SIP peer over TLS or TCP that tells what the server did to it: answered, sent an alert, closed, or kept silent.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslFiletype, SslMethod, SslSession, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::digest::Login;
use super::message::{Incoming, Request, Response};
use super::pki::Pki;

/// How long any single step of a peer may take before the test calls it a hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// A TLS 1.3 server judges our certificate after our handshake is done: its alert comes this much later at most.
const SETTLE: Duration = Duration::from_millis(333);

/// How a handshake ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It stands.
    Ok,
    /// The server sent this alert.
    Alert(&'static str),
    /// The server closed the connection or something else went wrong.
    Broken(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("handshake-ok"),
            Self::Alert(name) => write!(f, "alert:{name}"),
            Self::Broken(why) => write!(f, "broken:{why}"),
        }
    }
}

/// What a read ended with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A whole response.
    Response(Response),
    /// The connection has ended; the text says how.
    Closed(String),
    /// Nothing until the deadline.
    Silence,
}

impl Answer {
    /// The response.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn response(self) -> Response {
        match self {
            Self::Response(response) => response,
            other => panic!("expected a response, got {other:?}"),
        }
    }
}

/// What a peer shows in its handshake.
#[derive(Clone)]
pub(crate) struct TlsPeer {
    /// PEM file of certificate(s) and key.
    pub(crate) certificate: Option<PathBuf>,
    /// Server name asked for.
    pub(crate) sni: Option<String>,
    /// The only version offered.
    pub(crate) version: Option<SslVersion>,
    /// Local address.
    pub(crate) source: IpAddr,
    /// Whether to wait for a late alert before the handshake counts as good.
    pub(crate) settle: bool,
    /// Whether the system holds little for us: a peer that does not read is felt by the server at once.
    pub(crate) small_buffers: bool,
    /// TLS 1.2 ciphers offered; all of them by default.
    pub(crate) ciphers: &'static str,
    /// Octets sent before the handshake: a PROXY header.
    pub(crate) before: Vec<u8>,
    context: Option<SslContext>,
    sessions: Arc<Mutex<Vec<SslSession>>>,
}

impl TlsPeer {
    /// A peer without a certificate, from 127.0.0.3, asking for example.org.
    pub(crate) fn anonymous() -> Self {
        Self {
            certificate: None,
            sni: Some("example.org".to_owned()),
            version: None,
            source: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)),
            settle: false,
            small_buffers: false,
            ciphers: "ALL:@SECLEVEL=0",
            before: Vec::new(),
            context: None,
            sessions: Arc::default(),
        }
    }

    /// A peer with the test PKI's certificate of that name; `none` has none.
    pub(crate) fn named(name: &str) -> Self {
        let mut peer = Self::anonymous();
        peer.certificate = (name != "none").then(|| Pki::get().client(name));
        peer
    }

    /// The same peer, waiting for late alerts.
    pub(crate) fn settling(mut self) -> Self {
        self.settle = true;
        self
    }

    /// The same peer at another address.
    pub(crate) fn from(mut self, source: IpAddr) -> Self {
        self.source = source;
        self
    }

    /// The same peer with one version only.
    pub(crate) fn only(mut self, version: SslVersion) -> Self {
        self.version = Some(version);
        self
    }

    fn context(&mut self) -> SslContext {
        if let Some(context) = &self.context {
            return context.clone();
        }
        let mut builder = SslContext::builder(SslMethod::tls_client()).expect("a client context");
        // Level 0: the peer may be as weak as it likes; it is the server that must object.
        builder.set_cipher_list(self.ciphers).expect("ciphers");
        builder
            .set_ca_file(Pki::get().path("ca/root-example.crt"))
            .expect("root of the server's certificate");
        builder.set_verify(SslVerifyMode::PEER);
        builder
            .set_min_proto_version(Some(self.version.unwrap_or(SslVersion::TLS1)))
            .expect("a version");
        builder
            .set_max_proto_version(self.version)
            .expect("a version");
        if let Some(file) = &self.certificate {
            builder
                .set_certificate_chain_file(file)
                .expect("client certificate");
            builder
                .set_private_key_file(file, SslFiletype::PEM)
                .expect("client key");
        }
        builder
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let sessions = Arc::clone(&self.sessions);
        builder.set_new_session_callback(move |_, session| {
            if let Ok(mut sessions) = sessions.lock() {
                sessions.push(session);
            }
        });
        let context = builder.build();
        self.context = Some(context.clone());
        context
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The outcome, when it is not `Outcome::Ok`.
    pub(crate) fn connect(&mut self, server: SocketAddr) -> Result<Connection, Outcome> {
        self.connect_with(server, None)
    }

    /// As `connect`, offering the last session that an earlier connection of this peer was given.
    pub(crate) fn resume(&mut self, server: SocketAddr) -> Result<Connection, Outcome> {
        let session = self.sessions.lock().expect("sessions").pop();
        let session = session.expect("the server gave no session to resume");
        self.connect_with(server, Some(session))
    }

    /// The sessions that it was given and has not resumed, with keys and tickets, as OpenSSL writes them down.
    pub(crate) fn sessions(&self) -> Vec<Vec<u8>> {
        let sessions = self.sessions.lock().expect("sessions");
        let written = sessions.iter().map(|session| session.to_der());
        written.map(|der| der.expect("a session")).collect()
    }

    fn connect_with(
        &mut self,
        server: SocketAddr,
        session: Option<SslSession>,
    ) -> Result<Connection, Outcome> {
        let context = self.context();
        let mut ssl = Ssl::new(&context).expect("a client connection");
        if let Some(name) = &self.sni {
            ssl.set_hostname(name).expect("a server name");
        }
        if let Some(session) = &session {
            // SAFETY: the session was made by the same context, kept in `self`.
            #[expect(
                unsafe_code,
                reason = "resumption has no safe call in the openssl crate"
            )]
            unsafe {
                ssl.set_session(session).expect("a session");
            }
        }
        let socket = open(self.source, server, self.small_buffers)
            .map_err(|e| Outcome::Broken(e.to_string()))?;
        let local = socket
            .local_addr()
            .map_err(|e| Outcome::Broken(e.to_string()))?;
        if !self.before.is_empty() {
            (&socket)
                .write_all(&self.before)
                .map_err(|e| Outcome::Broken(e.to_string()))?;
        }
        let mut stream = SslStream::new(ssl, socket).expect("a client stream");
        stream.connect().map_err(|e| outcome(&e))?;
        let mut connection = Connection {
            stream: Stream::Tls(Box::new(stream)),
            buffer: Vec::new(),
            requests: VecDeque::new(),
            local,
        };
        if self.settle {
            connection.settle()?;
        }
        Ok(connection)
    }
}

/// A TCP connection from `source`, with Nagle off and every read and write bounded.
pub(crate) fn connect_tcp(source: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    open(source, server, false)
}

fn open(source: IpAddr, server: SocketAddr, small_buffers: bool) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(server),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if small_buffers {
        socket.set_recv_buffer_size(4096)?;
        // A small segment size also keeps the server's own send buffer small.
        socket.set_tcp_mss(536)?;
    }
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A SIP connection over plain TCP.
pub(crate) fn tcp_from(source: IpAddr, server: SocketAddr) -> Connection {
    let socket = connect_tcp(source, server).expect("a TCP connection");
    let local = socket.local_addr().expect("a local address");
    Connection {
        stream: Stream::Tcp(socket),
        buffer: Vec::new(),
        requests: VecDeque::new(),
        local,
    }
}

/// A SIP peer that sends datagrams from `source`; the server's are the only ones that it takes.
pub(crate) fn udp_from(source: IpAddr, server: SocketAddr) -> Connection {
    udp_at(SocketAddr::new(source, 0), server)
}

/// The same from an address and port.
pub(crate) fn udp_at(source: SocketAddr, server: SocketAddr) -> Connection {
    let socket = UdpSocket::bind(source).expect("a UDP socket");
    socket.connect(server).expect("a UDP peer");
    let local = socket.local_addr().expect("a local address");
    Connection {
        stream: Stream::Udp(socket),
        buffer: Vec::new(),
        requests: VecDeque::new(),
        local,
    }
}

#[derive(Debug)]
enum Stream {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    /// Requests of the server's that nobody has taken yet.
    requests: VecDeque<Incoming>,
    local: SocketAddr,
}

impl Connection {
    /// One that a server of the test has accepted.
    pub(crate) fn accepted(stream: SslStream<TcpStream>, local: SocketAddr) -> Self {
        Self {
            stream: Stream::Tls(Box::new(stream)),
            buffer: Vec::new(),
            requests: VecDeque::new(),
            local,
        }
    }

    /// The same without TLS.
    pub(crate) fn accepted_plain(stream: TcpStream, local: SocketAddr) -> Self {
        Self {
            stream: Stream::Tcp(stream),
            buffer: Vec::new(),
            requests: VecDeque::new(),
            local,
        }
    }

    /// Our own address.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// `TLS`, `TCP` or `UDP`, as in Via.
    pub(crate) fn transport(&self) -> &'static str {
        match self.stream {
            Stream::Udp(_) => "UDP",
            Stream::Tcp(_) => "TCP",
            Stream::Tls(_) => "TLS",
        }
    }

    /// Whether the handshake resumed a session.
    pub(crate) fn resumed(&self) -> bool {
        match &self.stream {
            Stream::Udp(_) | Stream::Tcp(_) => false,
            Stream::Tls(stream) => stream.ssl().session_reused(),
        }
    }

    /// The version spoken, as OpenSSL names it.
    pub(crate) fn version(&self) -> &'static str {
        match &self.stream {
            Stream::Udp(_) | Stream::Tcp(_) => "none",
            Stream::Tls(stream) => stream.ssl().version_str(),
        }
    }

    /// The common name of the certificate that the server showed.
    pub(crate) fn server_name(&self) -> Option<String> {
        use openssl::nid::Nid;
        let Stream::Tls(stream) = &self.stream else {
            return None;
        };
        let certificate = stream.ssl().peer_certificate()?;
        let name = certificate
            .subject_name()
            .entries_by_nid(Nid::COMMONNAME)
            .next()?;
        name.data().to_string().ok()
    }

    /// Whether the server showed an RSA or an EC key.
    pub(crate) fn server_key_type(&self) -> Option<&'static str> {
        let Stream::Tls(stream) = &self.stream else {
            return None;
        };
        let key = stream.ssl().peer_certificate()?.public_key().ok()?;
        Some(if key.rsa().is_ok() { "rsa" } else { "ec" })
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// What the system or OpenSSL says when the connection has ended.
    pub(crate) fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Udp(socket) => socket.send(octets).map(|_| ()),
            Stream::Tcp(stream) => stream.write_all(octets),
            Stream::Tls(stream) => stream.write_all(octets),
        }
    }

    /// Says goodbye properly. A TLS 1.2 session whose connection ended otherwise is not resumed by its own client.
    pub(crate) fn close(mut self) {
        if let Stream::Tls(stream) = &mut self.stream {
            let _ = stream.shutdown();
        }
    }

    /// Sends what the connection takes at once: a peer that does not read may not be read from either. What was not
    /// taken is to be offered again from the same place in memory; OpenSSL may have begun with it.
    pub(crate) fn send_some(&mut self, octets: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Udp(socket) => socket.send(octets),
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                stream.write(octets)
            }
            Stream::Tls(stream) => {
                stream.get_ref().set_nonblocking(true)?;
                stream.ssl_write(octets).map_err(|e| match e.code() {
                    ErrorCode::WANT_WRITE | ErrorCode::WANT_READ => {
                        io::ErrorKind::WouldBlock.into()
                    }
                    _ => e.into_io_error().unwrap_or_else(io::Error::other),
                })
            }
        }
    }

    /// Sends a request.
    pub(crate) fn send_request(&mut self, request: &Request) -> io::Result<()> {
        let octets = request.octets(self.transport(), self.local);
        self.send(&octets)
    }

    /// The final answer to a request; provisional ones are passed over.
    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        if let Err(e) = self.send_request(request) {
            // The server may have closed after an alert: what it said is still to be read.
            return match self.next(Duration::from_millis(200)) {
                Answer::Silence => Answer::Closed(e.to_string()),
                answer => answer,
            };
        }
        self.final_answer(request, PATIENCE)
    }

    /// The final answer to a request; a challenge is answered once, in a request of its own.
    pub(crate) fn ask_as(&mut self, request: &Request, login: &Login) -> Answer {
        match self.ask(request) {
            Answer::Response(challenge) if matches!(challenge.status, 401 | 407) => {
                let mut answered = request.following();
                answered.headers.push(login.answer(&challenge, &answered));
                self.ask(&answered)
            }
            answer => answer,
        }
    }

    /// The final answer to a request already sent.
    pub(crate) fn final_answer(&mut self, request: &Request, patience: Duration) -> Answer {
        let deadline = Instant::now() + patience;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now())) {
                Answer::Response(r)
                    if r.status < 200 || r.value("call-id") != Some(&request.call_id) => {}
                answer => return answer,
            }
        }
    }

    /// The next message, be it a request or a response; `None` when none comes in time.
    pub(crate) fn next_message(&mut self, patience: Duration) -> Option<Incoming> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(message) = Incoming::take(&mut self.buffer) {
                return Some(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.read(left) {
                Ok(1..) => {}
                Err(ReadEnd::Later) if !left.is_zero() => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// The next response, whatever it answers.
    pub(crate) fn next(&mut self, patience: Duration) -> Answer {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(message) = Incoming::take(&mut self.buffer) {
                match Response::of(message) {
                    Ok(response) => return Answer::Response(response),
                    Err(request) => self.requests.push_back(request),
                }
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Answer::Silence;
            }
            match self.read(left) {
                Ok(0) => return Answer::Closed("end of stream".to_owned()),
                Ok(_) => {}
                Err(ReadEnd::Later) => {}
                Err(ReadEnd::Over(how)) => return Answer::Closed(how.to_string()),
            }
        }
    }

    /// The next request of the server's; `None` when none comes in time.
    ///
    /// # Panics
    /// On a response that nobody waits for.
    pub(crate) fn next_request(&mut self, patience: Duration) -> Option<Incoming> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(request) = self.requests.pop_front() {
                return Some(request);
            }
            if let Some(message) = Incoming::take(&mut self.buffer) {
                match Response::of(message) {
                    Ok(response) => panic!("nobody waits for {response:?}"),
                    Err(request) => self.requests.push_back(request),
                }
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            match self.read(left) {
                Ok(0) | Err(ReadEnd::Over(_)) => return None,
                Ok(_) | Err(ReadEnd::Later) => {}
            }
        }
    }

    /// Waits until the server closes; what it still sends is thrown away.
    pub(crate) fn closed_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.read(left) {
                Ok(0) | Err(ReadEnd::Over(_)) => return true,
                Ok(_) | Err(ReadEnd::Later) => {}
            }
        }
    }

    /// Octets that came and are no whole response yet.
    pub(crate) fn raw(&mut self, patience: Duration) -> Vec<u8> {
        let _ = self.read(patience);
        std::mem::take(&mut self.buffer)
    }

    fn settle(&mut self) -> Result<(), Outcome> {
        match self.read(SETTLE) {
            Err(ReadEnd::Over(outcome)) => Err(outcome),
            Ok(0) => Err(Outcome::Broken("closed after the handshake".to_owned())),
            Ok(_) | Err(ReadEnd::Later) => Ok(()),
        }
    }

    fn read(&mut self, patience: Duration) -> Result<usize, ReadEnd> {
        let patience = patience.max(Duration::from_millis(1));
        let mut chunk = [0; 16_384];
        let n = match &mut self.stream {
            Stream::Udp(socket) => {
                let _ = socket.set_read_timeout(Some(patience));
                socket.recv(&mut chunk).map_err(|_| ReadEnd::Later)?
            }
            Stream::Tcp(stream) => {
                let _ = stream.set_read_timeout(Some(patience));
                stream.read(&mut chunk).map_err(|e| match e.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::Interrupted => ReadEnd::Later,
                    _ => ReadEnd::Over(Outcome::Broken(e.to_string())),
                })?
            }
            Stream::Tls(stream) => {
                let _ = stream.get_ref().set_read_timeout(Some(patience));
                stream.ssl_read(&mut chunk).or_else(|e| match e.code() {
                    ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => Err(ReadEnd::Later),
                    ErrorCode::ZERO_RETURN => Ok(0),
                    _ => Err(ReadEnd::Over(outcome(&e))),
                })?
            }
        };
        self.buffer.extend_from_slice(&chunk[..n]);
        Ok(n)
    }
}

enum ReadEnd {
    Later,
    Over(Outcome),
}

/// The first octets of a TLS connection, as this OpenSSL writes them.
pub(crate) fn client_hello() -> Vec<u8> {
    #[derive(Debug)]
    struct Written(Vec<u8>);
    impl Read for Written {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
    impl Write for Written {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let context = SslContext::builder(SslMethod::tls_client())
        .expect("a client context")
        .build();
    let ssl = Ssl::new(&context).expect("a client connection");
    let mut stream = SslStream::new(ssl, Written(Vec::new())).expect("a client stream");
    assert!(stream.connect().is_err(), "nobody answers");
    std::mem::take(&mut stream.get_mut().0)
}

/// What an error of OpenSSL says about the server. Alerts have their number in the reason code, from 1000 on.
fn outcome(error: &openssl::ssl::Error) -> Outcome {
    if let Some(stack) = error.ssl_error() {
        for entry in stack.errors() {
            if let Some(name) = alert_name(entry.reason_code() - 1000) {
                return Outcome::Alert(name);
            }
        }
        return Outcome::Broken(stack.to_string());
    }
    match error.io_error() {
        Some(e) => Outcome::Broken(e.to_string()),
        None => Outcome::Broken(error.to_string()),
    }
}

/// RFC 8446 §6, and what RFC 5246 §7.2 had besides.
fn alert_name(number: i32) -> Option<&'static str> {
    Some(match number {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}
