//! UDP sockets: each worker has one of its own for every UDP listener, and the system spreads peers among them (RFC 3261
//! §18).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use log::debug;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use socket2::{Domain, Protocol, Socket, Type};

/// Tokens from here on are sockets of a worker's; those of connections are far below, being places in a table.
const FIRST_TOKEN: usize = usize::MAX / 2;
/// A receive buffer is this large, unless it is set: the system's own holds some ninety messages, and a worker that the
/// machine does not let run for a moment would lose what comes meanwhile.
const USUAL_BUFFER: usize = 4 << 20;
/// A receive buffer is no larger than this: the system counts it in an `int`, and doubles it.
const LARGEST_BUFFER: usize = 1 << 29;

/// Opens the sockets of one listener, one for each worker. IPv6 sockets take IPv6 only, so that both families can listen on
/// one port.
pub(crate) fn bind(
    address: SocketAddr,
    workers: NonZeroUsize,
    receive_buffer: Option<NonZeroUsize>,
) -> io::Result<Vec<std::net::UdpSocket>> {
    let mut sockets = Vec::with_capacity(workers.get());
    let mut address = address;
    for number in 0..workers.get() {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        let octets = receive_buffer.map_or(USUAL_BUFFER, NonZeroUsize::get);
        make_room(&socket, octets.min(LARGEST_BUFFER))?;
        // The first of them asks for the port as if it were alone: another server on it is found out here, and is not
        // taken half of its requests from. Only then are there more.
        if number > 0 {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&address.into())?;
        if number == 0 && workers.get() > 1 {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        let socket = std::net::UdpSocket::from(socket);
        // Port 0 is whichever the first one got.
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Gives a socket a receive buffer of so many octets: by right, or as far as `net.core.rmem_max` allows.
fn make_room(socket: &Socket, octets: usize) -> io::Result<()> {
    match setsockopt(socket, RcvBufForce, &octets) {
        Ok(()) => Ok(()),
        Err(_) => socket.set_recv_buffer_size(octets),
    }
}

/// One socket of a worker.
pub(crate) struct Bound {
    /// Number of its listener.
    listener: u16,
    local: SocketAddr,
    socket: UdpSocket,
    /// There is nothing to read until the poller speaks of it again.
    dry: bool,
}

impl Bound {
    /// A socket of listener number `listener`.
    pub(crate) fn new(listener: usize, socket: std::net::UdpSocket) -> io::Result<Self> {
        Ok(Self {
            // The configuration is full of faults long before.
            listener: u16::try_from(listener).map_err(io::Error::other)?,
            local: socket.local_addr()?,
            socket: UdpSocket::from_std(socket),
            dry: false,
        })
    }
}

/// The sockets of one worker.
pub(super) struct Sockets {
    bound: Vec<Bound>,
    sources: Sources,
}

impl Sockets {
    /// Has the poller tell of what comes.
    pub(super) fn new(
        mut bound: Vec<Bound>,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<Self> {
        for (at, own) in bound.iter_mut().enumerate() {
            registry.register(&mut own.socket, Token(FIRST_TOKEN + at), Interest::READABLE)?;
        }
        Ok(Self {
            bound,
            sources: Sources::new(now),
        })
    }

    /// The poller has spoken: true when it was of one of these.
    pub(super) fn readable(&mut self, token: Token) -> bool {
        let own = token.0.checked_sub(FIRST_TOKEN);
        let own = own.and_then(|at| self.bound.get_mut(at));
        own.map(|own| own.dry = false).is_some()
    }

    /// All of them may have something, told of by the poller or not.
    pub(super) fn all_readable(&mut self) {
        self.bound.iter_mut().for_each(|own| own.dry = false);
    }

    /// Whether there may be something to read.
    pub(super) fn has_more(&self) -> bool {
        self.bound.iter().any(|own| !own.dry)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    /// Reads a datagram from socket number `at`: its length, its listener, and whose it is. `None` when there is none.
    pub(super) fn receive(
        &mut self,
        at: usize,
        buffer: &mut [u8],
    ) -> Option<(usize, u16, SocketAddr)> {
        let own = self.bound.get_mut(at).filter(|own| !own.dry)?;
        match own.socket.recv_from(buffer) {
            Ok((length, source)) => return Some((length, own.listener, source)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => debug!("udp.error listener={} error={error:?}", own.local),
        }
        // With an error that stays it would be asked for ever; the next datagram is told of.
        own.dry = true;
        None
    }

    /// Sends a datagram through a listener.
    pub(super) fn send(&self, listener: u16, peer: SocketAddr, octets: &[u8]) -> io::Result<()> {
        let own = self.bound.iter().find(|own| own.listener == listener);
        let own = own.ok_or(io::ErrorKind::AddrNotAvailable)?;
        own.socket.send_to(octets, peer).map(|_| ())
    }

    /// Our end of what passes between a listener and this peer. Where it listens on every address, it is the one that the
    /// system sends from.
    pub(super) fn local(
        &mut self,
        listener: u16,
        peer: SocketAddr,
        now: Instant,
    ) -> Option<IpAddr> {
        let own = self.bound.iter().find(|own| own.listener == listener)?;
        let address = own.local.ip();
        if !address.is_unspecified() {
            return Some(address);
        }
        self.sources.toward(peer, now).or(Some(address))
    }
}

/// From which address the system sends to whom; bounded, and forgotten now and then, since routes change.
struct Sources {
    known: HashMap<IpAddr, IpAddr>,
    since: Instant,
}

const MOST_SOURCES: usize = 1024;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

impl Sources {
    fn new(now: Instant) -> Self {
        Self {
            known: HashMap::new(),
            since: now,
        }
    }

    fn toward(&mut self, peer: SocketAddr, now: Instant) -> Option<IpAddr> {
        let is_old = now.saturating_duration_since(self.since) >= FORGOTTEN_AFTER;
        if is_old || self.known.len() >= MOST_SOURCES {
            self.known.clear();
            self.since = now;
        }
        if let Some(known) = self.known.get(&peer.ip()) {
            return Some(*known);
        }
        let any: IpAddr = match peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // Connecting a UDP socket sends nothing: it asks the system for the way.
        let asked = std::net::UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect(peer)?;
            socket.local_addr()
        });
        let source = asked.ok()?.ip();
        self.known.insert(peer.ip(), source);
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn n(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    fn loopback(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    #[test]
    fn each_worker_has_a_socket_on_the_same_port_and_nobody_else_has() {
        for workers in [1, 3] {
            let sockets = bind(loopback(0), n(workers), None).unwrap();
            let port = sockets[0].local_addr().unwrap().port();
            assert_eq!(sockets.len(), workers);
            for socket in &sockets {
                assert_eq!(socket.local_addr().unwrap(), loopback(port));
            }
            for others in [1, 2] {
                let error = bind(loopback(port), n(others), None).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{workers} {others}");
            }
        }
    }

    #[test]
    fn what_one_peer_sends_comes_to_one_socket() {
        let sockets = bind(loopback(0), n(4), None).unwrap();
        let address = sockets[0].local_addr().unwrap();
        let mut used = [0; 4];
        for _ in 0..32 {
            let peer = std::net::UdpSocket::bind(loopback(0)).unwrap();
            for _ in 0..3 {
                peer.send_to(b"x", address).unwrap();
            }
            // On loopback a datagram has arrived when it has been sent.
            let mut buffer = [0; 8];
            let counts: Vec<usize> = sockets
                .iter()
                .map(|socket| std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count())
                .collect();
            assert_eq!(
                counts.iter().filter(|count| **count == 3).count(),
                1,
                "{counts:?}"
            );
            used.iter_mut()
                .zip(&counts)
                .for_each(|(used, count)| *used += count);
        }
        assert!(
            used.iter().filter(|count| **count > 0).count() > 1,
            "{used:?}"
        );
    }

    #[test]
    fn a_port_that_nobody_has_is_no_error_of_what_goes_elsewhere() {
        let socket = bind(loopback(0), n(1), None).unwrap().remove(0);
        let closed = std::net::UdpSocket::bind(loopback(0)).unwrap();
        let nobody = closed.local_addr().unwrap();
        drop(closed);
        let somebody = std::net::UdpSocket::bind(loopback(0)).unwrap();
        // On loopback the system has been told that nobody is there when this is sent.
        for peer in [nobody, nobody, somebody.local_addr().unwrap(), nobody] {
            assert_eq!(socket.send_to(b"x", peer).unwrap(), 1, "{peer}");
        }
        let error = socket.recv_from(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(somebody.recv(&mut [0; 8]).unwrap(), 1);
    }

    #[test]
    fn the_address_that_the_system_sends_from_is_found_and_remembered() {
        let now = Instant::now();
        let mut sources = Sources::new(now);
        let peer: SocketAddr = "127.0.0.9:5060".parse().unwrap();
        assert_eq!(sources.toward(peer, now), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(sources.known.len(), 1);
        for port in 1..u16::try_from(MOST_SOURCES).unwrap() + 10 {
            let [high, low] = port.to_be_bytes();
            let peer = (Ipv4Addr::new(127, 1, high, low), port).into();
            assert!(sources.toward(peer, now).is_some());
        }
        assert!(sources.known.len() < MOST_SOURCES);
        sources.toward(peer, now + FORGOTTEN_AFTER);
        assert_eq!(sources.known.len(), 1);
    }
}
