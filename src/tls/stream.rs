//! A TLS connection over a non-blocking stream, without OpenSSL types at its surface.

use std::io::{self, Read, Write};

use openssl::ssl::{ErrorCode, ShutdownState, Ssl, SslRef, SslStream};

use super::connected::{established_server, server_refusal};
use super::server_refusal::received_alert;
use super::{
    Established, EstablishedServer, HandshakeRefusal, ServerRefusal, established, refusal,
};
use super::{ffi, handshake};

/// What became of a read or a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many octets.
    Octets(usize),
    /// None now; the poller will tell.
    Wait,
    /// The peer closed the connection properly.
    Closed,
    /// The connection is broken: why.
    Broken(String),
}

/// A TLS connection, of either side.
pub struct TlsStream<S> {
    stream: SslStream<S>,
    /// Why a server has ended a connection of ours.
    refused: Option<Box<ServerRefusal>>,
}

/// What became of a handshake with a client.
#[derive(Debug)]
pub enum HandshakeStep {
    /// It is done.
    Done(Established),
    /// It goes on when the poller says so.
    Wait,
    /// It failed; an alert has been sent where the protocol has one.
    Refused(Box<HandshakeRefusal>),
}

/// What became of a handshake with a server.
#[derive(Debug)]
pub enum ConnectStep {
    /// It is done, and the server is who was asked for.
    Done(EstablishedServer),
    /// It goes on when the poller says so.
    Wait,
    /// It failed; an alert has been sent where the protocol has one.
    Refused(Box<ServerRefusal>),
}

/// What a connection speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSession {
    /// `TLSv1.2` or `TLSv1.3` (or older, where allowed).
    pub version: &'static str,
    /// OpenSSL's name of the cipher suite.
    pub cipher: &'static str,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The host name that the client asked for, as it wrote it; on a connection of ours, the one that we asked for.
    pub sni: Option<String>,
}

impl<S> TlsStream<S> {
    pub(super) fn ssl(&self) -> &SslRef {
        self.stream.ssl()
    }
}

impl<S: Read + Write> TlsStream<S> {
    /// A connection whose handshake begins, with a state from [`super::ServerContext::accept_state`] or
    /// [`super::ClientContext::connect_state`].
    ///
    /// # Errors
    /// OpenSSL is out of memory.
    pub fn new(ssl: Ssl, stream: S) -> io::Result<Self> {
        Ok(Self {
            stream: SslStream::new(ssl, stream).map_err(io::Error::other)?,
            refused: None,
        })
    }

    /// Goes on with the handshake of a connection that was accepted, as far as it will go.
    pub fn handshake(&mut self) -> HandshakeStep {
        match self.stream.accept() {
            Ok(()) => match established(self.stream.ssl()) {
                Ok(established) => HandshakeStep::Done(established),
                Err(refusal) => HandshakeStep::Refused(refusal),
            },
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
                HandshakeStep::Wait
            }
            Err(error) => HandshakeStep::Refused(Box::new(refusal(self.stream.ssl(), &error))),
        }
    }

    /// Goes on with the handshake of a connection that we made, as far as it will go.
    pub fn connect(&mut self) -> ConnectStep {
        match self.stream.connect() {
            Ok(()) => match established_server(self.stream.ssl()) {
                Ok(established) => ConnectStep::Done(established),
                Err(refusal) => ConnectStep::Refused(refusal),
            },
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
                ConnectStep::Wait
            }
            Err(error) => ConnectStep::Refused(Box::new(server_refusal(self.stream.ssl(), &error))),
        }
    }

    /// Why the server has ended a connection that we made, once a read or a write is `Broken` by an alert of its.
    ///
    /// In TLS 1.3 our handshake is done before the server has seen our certificate, so that its refusal comes here.
    pub fn refused_by_server(&self) -> Option<&ServerRefusal> {
        self.refused.as_deref()
    }

    /// Reads what has been decrypted.
    pub fn read(&mut self, buffer: &mut [u8]) -> Progress {
        let result = self.stream.ssl_read(buffer);
        self.progress(result)
    }

    /// Encrypts and writes.
    pub fn write(&mut self, octets: &[u8]) -> Progress {
        let result = self.stream.ssl_write(octets);
        self.progress(result)
    }

    fn progress(&mut self, result: Result<usize, openssl::ssl::Error>) -> Progress {
        let error = match result {
            Ok(octets) => return Progress::Octets(octets),
            Err(error) => error,
        };
        if !self.stream.ssl().is_server() && received_alert(&error).is_some() {
            self.refused = Some(Box::new(server_refusal(self.stream.ssl(), &error)));
        }
        match error.code() {
            ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => Progress::Wait,
            ErrorCode::ZERO_RETURN => Progress::Closed,
            // An end of stream without close_notify: everything whole has been framed, so nothing can have been cut.
            ErrorCode::SYSCALL if error.io_error().is_none() => Progress::Closed,
            _ => Progress::Broken(match error.io_error() {
                Some(io) => io.to_string(),
                None => error
                    .ssl_error()
                    .and_then(|stack| stack.errors().first()?.reason())
                    .unwrap_or("?")
                    .to_owned(),
            }),
        }
    }

    /// Whether octets of this connection wait inside OpenSSL, so that no poller will report them.
    pub fn has_pending(&self) -> bool {
        ffi::has_pending(self.stream.ssl())
    }

    /// What the connection speaks, from its handshake on.
    pub fn session(&self) -> TlsSession {
        let ssl = self.stream.ssl();
        TlsSession {
            version: ssl.version_str(),
            cipher: ssl.current_cipher().map_or("none", |cipher| cipher.name()),
            resumed: ssl.session_reused(),
            sni: handshake::sni(ssl),
        }
    }

    /// Sends close_notify, if the connection still takes it.
    pub fn close(&mut self) {
        if !self.stream.get_shutdown().contains(ShutdownState::SENT) {
            // Nothing to do about a peer that does not take it: the socket is closed next.
            let _ = self.stream.shutdown();
        }
    }

    /// The stream below.
    pub fn get_mut(&mut self) -> &mut S {
        self.stream.get_mut()
    }
}
