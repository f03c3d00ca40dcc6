//! One thread per listener: it blocks in `accept` and nowhere else.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{debug, error, warn};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::shared::Shared;
use super::worker::Arrival;

/// Connections that the kernel holds for us until `accept` takes them.
const BACKLOG: i32 = 1024;
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Opens a listening socket. IPv6 sockets take IPv6 only, so that both families can listen on one port.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A running acceptor.
pub(crate) struct Acceptor {
    listener: TcpListener,
    thread: JoinHandle<()>,
}

impl Acceptor {
    /// Starts the thread of `listener`, which is listener number `index` of the snapshot.
    pub(crate) fn start(
        listener: TcpListener,
        index: usize,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let port = listener.local_addr().map(|a| a.port()).unwrap_or_default();
        let taken = listener.try_clone()?;
        let shared = Arc::clone(shared);
        let thread = thread::Builder::new()
            .name(format!("accept-{port}"))
            .spawn(move || run(&taken, index, &shared))?;
        Ok(Self { listener, thread })
    }

    /// Ends the thread and closes the listener. [`Shared::is_draining`] must be true by now.
    pub(crate) fn stop(self) {
        // Wakes the thread out of `accept`; if that fails, it was not in it.
        let _ = SockRef::from(&self.listener).shutdown(std::net::Shutdown::Both);
        if self.thread.join().is_err() {
            error!("accept.panicked the listener was gone before the stop");
        }
    }
}

fn run(listener: &TcpListener, index: usize, shared: &Shared) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                pause = SHORTEST_PAUSE;
                hand_over(stream, peer, index, shared);
            }
            Err(_) if shared.is_draining() => return,
            // The peer was gone before we took it: its affair.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                shared.counters.accept_errors.add(1);
                warn!(
                    "accept.error listener={index} error={error:?} pause_ms={}",
                    pause.as_millis()
                );
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn hand_over(stream: std::net::TcpStream, peer: SocketAddr, listener: usize, shared: &Shared) {
    let now = Instant::now();
    let refuse = |reason: &str| {
        shared.counters.accept_refused.add(1);
        if shared.limiter.allows(reason, peer.ip(), now) {
            warn!("accept.refused peer={peer} reason={reason}");
        }
    };
    let place = match shared.admission.admit(peer.ip()) {
        Ok(place) => place,
        Err(why) => return refuse(why.reason()),
    };
    // Small messages must not wait for each other's acknowledgement (repro waits 43 ms).
    if let Err(error) = stream
        .set_nonblocking(true)
        .and_then(|()| stream.set_nodelay(true))
    {
        return debug!("accept.gone peer={peer} error={error:?}");
    }
    let arrival = Arrival {
        stream,
        peer,
        listener,
        place,
        accepted: now,
    };
    if shared.post_to_next(Box::new(arrival)).is_err() {
        refuse("workers are busy");
    }
}
