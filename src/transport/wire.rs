//! What a connection speaks over: a plain socket or TLS over it.

use std::io::{self, Read as _, Write as _};

use super::socket::Socket;
use crate::tls::{Progress, ServerRefusal, TlsStream};

/// A stream that carries SIP.
pub(crate) enum Wire {
    Plain(Socket),
    Tls(TlsStream<Socket>),
}

impl Wire {
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Progress {
        match self {
            Self::Plain(socket) => match socket.read(buffer) {
                Ok(0) => Progress::Closed,
                Ok(octets) => Progress::Octets(octets),
                Err(error) => progress(&error),
            },
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    pub(crate) fn write(&mut self, octets: &[u8]) -> Progress {
        match self {
            Self::Plain(socket) => match socket.write(octets) {
                Ok(written) => Progress::Octets(written),
                Err(error) => progress(&error),
            },
            Self::Tls(stream) => stream.write(octets),
        }
    }

    /// Why the server at its other end has refused us, if that is how it has ended.
    pub(crate) fn refused_by_server(&self) -> Option<&ServerRefusal> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.refused_by_server(),
        }
    }

    /// Whether another read can find anything before the poller speaks again.
    pub(crate) fn has_more(&mut self) -> bool {
        match self {
            Self::Plain(socket) => !socket.is_dry(),
            Self::Tls(stream) => !stream.get_mut().is_dry() || stream.has_pending(),
        }
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_mut(),
        }
    }

    /// Says goodbye as the protocol has it.
    pub(crate) fn say_goodbye(&mut self) {
        if let Self::Tls(stream) = self {
            stream.close();
        }
    }
}

fn progress(error: &io::Error) -> Progress {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Progress::Wait,
        _ => Progress::Broken(error.to_string()),
    }
}
