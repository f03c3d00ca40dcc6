//! The server of another domain, played by a test: it serves, or fails in one of the ways that servers and networks have.

use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslStream, SslVerifyMode};
use socket2::{Domain, Protocol, Socket, Type};

use super::client::Connection;
use super::pki::Pki;

/// How long anything of it may take before the test calls it a hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// A place on loopback where somebody listens, or nobody does.
#[derive(Debug)]
pub(crate) struct Remote {
    socket: Socket,
    address: SocketAddr,
    tls: Option<SslContext>,
    /// What fills its queue.
    fill: Vec<Socket>,
}

impl Remote {
    /// A server that shows this certificate of the test PKI, and asks for one of the partner's or of ours.
    pub(crate) fn serving(certificate: &str) -> Self {
        Self::serving_on(Ipv4Addr::LOCALHOST.into(), certificate)
    }

    /// The same at another address of this machine.
    pub(crate) fn serving_on(ip: IpAddr, certificate: &str) -> Self {
        let pem = Pki::get().client(certificate);
        let mut tls = SslContext::builder(SslMethod::tls_server()).expect("a server context");
        tls.set_certificate_chain_file(&pem).expect("certificate");
        tls.set_private_key_file(&pem, SslFiletype::PEM)
            .expect("key");
        tls.set_ca_file(Pki::get().path("ca/root-example.crt"))
            .expect("a root");
        tls.set_verify(SslVerifyMode::PEER);
        Self {
            tls: Some(tls.build()),
            ..Self::listening_on(ip, 64)
        }
    }

    /// A server over TCP.
    pub(crate) fn plain() -> Self {
        Self::listening(64)
    }

    /// A server that trusts nobody who may have issued a certificate of ours, and takes no connection without one.
    pub(crate) fn distrusting(certificate: &str) -> Self {
        let pem = Pki::get().client(certificate);
        let mut tls = SslContext::builder(SslMethod::tls_server()).expect("a server context");
        tls.set_certificate_chain_file(&pem).expect("certificate");
        tls.set_private_key_file(&pem, SslFiletype::PEM)
            .expect("key");
        tls.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        Self {
            tls: Some(tls.build()),
            ..Self::listening(64)
        }
    }

    /// A server whose connections are made, and where nothing is said then.
    pub(crate) fn silent() -> Self {
        Self::listening(1024)
    }

    /// Nobody listens here, and nobody else will.
    pub(crate) fn absent() -> Self {
        let (socket, address) = bound(Ipv4Addr::LOCALHOST.into());
        Self {
            socket,
            address,
            tls: None,
            fill: Vec::new(),
        }
    }

    /// A server whose queue is full: what is sent to open a connection is lost.
    pub(crate) fn unreachable() -> Self {
        let mut remote = Self::listening(0);
        for _ in 0..16 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
            let socket = socket.expect("a socket");
            let connected =
                socket.connect_timeout(&remote.address.into(), Duration::from_millis(200));
            if connected.is_err() {
                return remote;
            }
            remote.fill.push(socket);
        }
        panic!("the queue of {} is never full", remote.address);
    }

    fn listening(backlog: i32) -> Self {
        Self::listening_on(Ipv4Addr::LOCALHOST.into(), backlog)
    }

    fn listening_on(ip: IpAddr, backlog: i32) -> Self {
        let (socket, address) = bound(ip);
        socket.listen(backlog).expect("a listener");
        Self {
            socket,
            address,
            tls: None,
            fill: Vec::new(),
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The record that leads to it: `_sips._tcp.<domain>`, living this many seconds.
    pub(crate) fn srv(&self, domain: &str, ttl: u32, priority: u16) -> String {
        let port = self.address.port();
        format!("_sips._tcp.{domain} {ttl} SRV {priority} 0 {port} local.{domain}")
    }

    /// The next connection, before anything is said.
    pub(crate) fn accept_raw(&self) -> TcpStream {
        self.poll(PATIENCE)
            .unwrap_or_else(|| panic!("nobody connects to {}", self.address))
    }

    /// Whether nobody has connected so far.
    pub(crate) fn is_untouched(&self) -> bool {
        self.poll(Duration::ZERO).is_none()
    }

    /// The next connection, shaken hands with where it is one over TLS.
    pub(crate) fn accept(&self) -> Connection {
        let stream = self.accept_raw();
        let Some(tls) = &self.tls else {
            return Connection::accepted_plain(stream, self.address);
        };
        let ssl = Ssl::new(tls).expect("a server connection");
        let mut stream = SslStream::new(ssl, stream).expect("a server stream");
        stream.accept().expect("a handshake");
        Connection::accepted(stream, self.address)
    }

    /// The next connection, whose handshake must fail.
    pub(crate) fn accept_failing(&self) {
        let stream = self.accept_raw();
        let tls = self.tls.as_ref().expect("a server");
        let ssl = Ssl::new(tls).expect("a server connection");
        let mut stream = SslStream::new(ssl, stream).expect("a server stream");
        // Over TLS 1.3 the server is done before the client has judged it.
        let mut nothing = [0; 1];
        let failed = stream.accept().is_err() || stream.ssl_read(&mut nothing).is_err();
        assert!(failed, "the handshake stands");
        // Closed with something unread, the connection would be reset, and our last words lost.
        let mut socket = stream.get_ref();
        socket.shutdown(Shutdown::Write).expect("a connection");
        std::io::copy(&mut socket, &mut std::io::sink()).ok();
    }

    fn poll(&self, patience: Duration) -> Option<TcpStream> {
        let listener = TcpListener::from(self.socket.try_clone().expect("the listener"));
        listener.set_nonblocking(true).expect("a listener");
        let deadline = Instant::now() + patience;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).expect("a stream");
                    stream.set_nodelay(true).expect("a stream");
                    stream
                        .set_read_timeout(Some(PATIENCE))
                        .expect("a read timeout");
                    stream
                        .set_write_timeout(Some(PATIENCE))
                        .expect("a write timeout");
                    return Some(stream);
                }
                Err(_) if Instant::now() >= deadline => return None,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

fn bound(ip: IpAddr) -> (Socket, SocketAddr) {
    let any = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(any), Type::STREAM, Some(Protocol::TCP));
    let socket = socket.expect("a socket");
    socket.bind(&any.into()).expect("a free port");
    let address = socket.local_addr().expect("an address").as_socket();
    (socket, address.expect("an address of IP"))
}
