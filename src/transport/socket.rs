//! A non-blocking stream socket that knows when it has been read dry.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::Interest;
use mio::net::TcpStream;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, Type};

/// TCP socket under a connection.
///
/// Readiness is edge-triggered, so a reader has to go on until the kernel has no more. A read that fills less than its
/// buffer has emptied the socket, and `Socket` remembers that instead of asking the kernel again: one system call a
/// request less.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    dry: bool,
    ending: bool,
    /// The kernel has taken less than it was given.
    full: bool,
    /// The poller tells of room to write.
    full_known: bool,
}

/// How far the opening of a connection has come.
#[derive(Debug)]
pub(crate) enum Connected {
    /// The poller will tell.
    NotYet,
    /// It is open; this is the address of our end.
    At(SocketAddr),
    /// It will not be.
    Failed(io::Error),
}

impl Socket {
    /// Begins to open a connection, from this address if one is given. The poller has to tell of room to write, which says
    /// that it is open.
    pub(crate) fn connect(peer: SocketAddr, from: Option<SocketAddr>) -> io::Result<Self> {
        let stream = match from {
            Some(from) => connect_from(peer, from)?,
            None => TcpStream::connect(peer)?,
        };
        // What is small waits for nothing else.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            dry: false,
            ending: false,
            full: true,
            full_known: true,
        })
    }

    /// Whether the connection is open.
    pub(crate) fn connected(&mut self) -> Connected {
        match self.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Connected::Failed(error),
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.full = false;
                self.stream
                    .local_addr()
                    .map_or_else(Connected::Failed, Connected::At)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Connected::NotYet,
            Err(error) => Connected::Failed(error),
        }
    }

    pub(crate) fn new(stream: std::net::TcpStream) -> Self {
        Self {
            stream: TcpStream::from_std(stream),
            dry: false,
            ending: false,
            full: false,
            full_known: false,
        }
    }

    /// The poller has reported it readable; `ending` when the peer has closed its side.
    pub(crate) fn readable(&mut self, ending: bool) {
        self.dry = false;
        self.ending |= ending;
    }

    /// Whether a read would find nothing.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry
    }

    /// The source to register with the poller.
    pub(crate) fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// What the poller has to tell from now on, if that changes: of room to write only while there is none. A socket
    /// with room would be reported with every acknowledgement, for nothing.
    pub(crate) fn change_of_interest(&mut self) -> Option<Interest> {
        if self.full == self.full_known {
            return None;
        }
        self.full_known = self.full;
        Some(if self.full {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        })
    }

    /// The address of our end.
    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Looks at what has arrived and leaves it there.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.peek(buffer)
    }

    /// Says that we send no more.
    pub(crate) fn finish(&self) {
        // The peer may have gone already; there is nobody to tell then.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

fn connect_from(peer: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let socket =
        socket2::Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // The port is chosen when it connects, so that there are as many for each destination. A system that does not know this
    // has as many for all together.
    let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
    socket.bind(&from.into())?;
    match socket.connect(&peer.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    Ok(TcpStream::from_std(socket.into()))
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.dry {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = self.stream.read(buffer);
        match &result {
            // A short read leaves nothing behind, unless the end of the stream is what comes next.
            Ok(read) if *read > 0 && *read < buffer.len() => self.dry = !self.ending,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.dry = true,
            _ => {}
        }
        result
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let result = self.stream.write(buffer);
        self.full = match &result {
            Ok(written) => *written < buffer.len(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
