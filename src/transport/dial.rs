//! Connections that we open: to where a request has to go, proved to be who was asked for (RFC 5922 §7.3), and shared by
//! requests that ask for the same (RFC 5923 §3).

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{debug, info, warn};
use mio::{Interest, Token};

use super::connection::{Connection, Proof, Stage};
use super::deadline::Limit;
use super::journey::Journey;
use super::socket::{Connected, Socket};
use super::wire::Wire;
use super::worker::{Fate, Worker};
use crate::auth::{Identities, Transport};
use crate::proxy::Failure;
use crate::registrar::FlowId;
use crate::resolve::{Destination, TransportKind};
use crate::tls::{ConnectStep, EstablishedServer, ServerExpectation, ServerRefusal, TlsStream};

/// Requests that may wait for one connection to open.
const MOST_WAITING: usize = 256;

/// What an outgoing connection is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Purpose {
    pub(super) destination: Destination,
    /// What the other side has to be; nothing is asked over TCP.
    pub(super) expectation: Option<ServerExpectation>,
}

/// The outgoing connections of all workers, by what they are good for.
#[derive(Debug, Default)]
pub(crate) struct Dialled(Mutex<HashMap<Purpose, FlowId>>);

impl Dialled {
    fn find(&self, purpose: &Purpose) -> Option<FlowId> {
        self.lock().get(purpose).copied()
    }

    fn add(&self, purpose: Purpose, flow: FlowId) {
        self.lock().insert(purpose, flow);
    }

    /// Forgets a connection, unless another has taken its place.
    fn remove(&self, purpose: &Purpose, flow: FlowId) {
        let mut dialled = self.lock();
        if dialled.get(purpose) == Some(&flow) {
            dialled.remove(purpose);
        }
        if dialled.capacity() > 1024 && dialled.len() < dialled.capacity() / 8 {
            let room = dialled.len() * 2;
            dialled.shrink_to(room);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Purpose, FlowId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection of ours knows besides what every connection does.
#[derive(Debug)]
pub(crate) struct Dial {
    purpose: Purpose,
    /// Requests that leave once it is open.
    waiting: Vec<Journey>,
    /// Why it does not open.
    failure: Failure,
    /// It does not open for want of something here, which says nothing about the other side.
    is_our_fault: bool,
}

/// Whether a connection that does not even begin to open says something about where it leads, and not about us: that we have
/// no descriptor, no memory or no port left.
fn is_of_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
    )
}

impl Dial {
    /// What the other side has to be; nothing is asked over TCP.
    pub(super) fn expectation(&self) -> Option<&ServerExpectation> {
        self.purpose.expectation.as_ref()
    }

    /// Has a request wait. One that finds no place stays in `journey`.
    pub(crate) fn wait(&mut self, journey: &mut Option<Journey>) {
        if self.waiting.len() < MOST_WAITING {
            self.waiting.extend(journey.take());
        }
    }
}

impl Worker {
    /// Sends a request to a destination, over a connection that is good for it; gives it back when that cannot be.
    pub(super) fn reach(
        &mut self,
        mut journey: Journey,
        destination: Destination,
    ) -> Option<Journey> {
        let expectation = match (destination.transport, &journey.reference) {
            (TransportKind::Tls, Some(reference)) => {
                let own = journey.departure.own.as_deref();
                Some(self.snapshot.client_role.expectation(reference, own))
            }
            (TransportKind::Tcp, _) => None,
            (TransportKind::Udp, _) => {
                let relay = &self.snapshot.policy.relay;
                let listener = relay.listener_for(Transport::Udp, destination.address.ip());
                if let Some(Ok(listener)) = listener.map(u16::try_from) {
                    return self.leave_as_datagram(listener, destination.address, false, journey);
                }
                journey.failed(Failure::no_transport());
                return Some(journey);
            }
            (TransportKind::Tls, None) => {
                journey.failed(Failure::no_transport());
                return Some(journey);
            }
        };
        let purpose = Purpose {
            destination,
            expectation,
        };
        let of_the_peer = || {
            let role = &self.snapshot.client_role;
            self.shared.aliases.find(&purpose, role)
        };
        if let Some(flow) = self.shared.dialled.find(&purpose).or_else(of_the_peer) {
            if !self.is_mine(flow) {
                return self.hand_over(flow, journey);
            }
            match self.leave_by(flow, journey) {
                None => return None,
                // It has just gone: another is opened.
                Some(stranded) if stranded.lost_its_flow() => journey = stranded,
                // It takes no more, and a second one would only have more wait.
                full => return full,
            }
        }
        let mut journey = Some(journey);
        if let Err(failure) = self.dial(purpose, &mut journey)
            && let Some(journey) = &mut journey
        {
            journey.failed(failure);
        }
        journey
    }

    /// Opens a connection, with a request waiting for it. A destination that cannot be reached is avoided from then on, unless
    /// it is for want of something here.
    fn dial(&mut self, purpose: Purpose, journey: &mut Option<Journey>) -> Result<(), Failure> {
        let peer = purpose.destination.address;
        let transport = match purpose.destination.transport {
            TransportKind::Tls => Transport::Tls,
            _ => Transport::Tcp,
        };
        let relay = &self.snapshot.policy.relay;
        // What stands in our Via must be a place where we listen.
        let listener = relay
            .listener_for(transport, peer.ip())
            .ok_or_else(Failure::no_transport)?;
        let place = self
            .shared
            .admission
            .admit_own()
            .map_err(|_| Failure::overloaded())?;
        let destination = purpose.destination;
        let from = relay.leaves_from(listener, peer.ip());
        let mut socket =
            Socket::connect(peer, from).map_err(|error| self.unopened(&destination, &error))?;
        let id = self.shared.connection_number(self.number);
        let slot = self.free_slot();
        if let Err(error) = self.registry().register(
            socket.source(),
            Token(slot),
            Interest::READABLE | Interest::WRITABLE,
        ) {
            self.give_back(slot);
            return Err(self.unopened(&destination, &error));
        }
        let stage = Stage::Connecting(socket);
        let mut connection = Box::new(Connection::new(
            id,
            slot,
            listener,
            (peer, peer),
            place,
            stage,
            self.now,
        ));
        let mut dial = Box::new(Dial {
            purpose,
            waiting: Vec::new(),
            failure: Failure::transport(),
            is_our_fault: false,
        });
        dial.wait(journey);
        self.shared
            .dialled
            .add(dial.purpose.clone(), FlowId::Connection(id));
        connection.dial = Some(dial);
        let patience = self.shared.options.deadlines.connect;
        connection.wait_for(Limit::Connect, self.now, patience);
        self.shared.counters.dialled.add(1);
        self.settle_in(connection);
        Ok(())
    }

    /// A connection does not even begin to open.
    fn unopened(&self, destination: &Destination, error: &io::Error) -> Failure {
        debug!(
            "conn.unreachable peer={} error={error:?}",
            destination.address
        );
        if !is_of_the_way(error) {
            return Failure::overloaded();
        }
        self.shared.resolver.avoid(destination, self.now);
        Failure::transport()
    }

    /// Goes on with a connection of ours that is not open yet. True when its next stage is set.
    pub(super) fn connect(&mut self, connection: &mut Connection) -> Result<bool, Fate> {
        let Stage::Connecting(socket) = &mut connection.stage else {
            return Ok(true);
        };
        match socket.connected() {
            Connected::NotYet => return Ok(false),
            Connected::Failed(error) => {
                return Err(self.unreachable(connection, &error.to_string()));
            }
            Connected::At(local) => connection.local = local,
        }
        let Stage::Connecting(socket) = std::mem::replace(&mut connection.stage, Stage::Changing)
        else {
            return Ok(true);
        };
        let expectation = connection
            .dial
            .as_ref()
            .and_then(|dial| dial.purpose.expectation.as_ref());
        let Some(expectation) = expectation else {
            connection.stage = Stage::Open(Wire::Plain(socket));
            return self.dialled(connection).map(|()| true);
        };
        let begun = self
            .snapshot
            .client_role
            .connect_state(expectation, connection.peer)
            .map_err(io::Error::other)
            .and_then(|state| TlsStream::new(state, socket));
        match begun {
            Ok(stream) => {
                let basis = self.snapshot.client_role.basis();
                connection.footing.begins(basis);
                connection.stage = Stage::Proving(stream);
            }
            Err(error) => {
                if let Some(dial) = &mut connection.dial {
                    dial.is_our_fault = true;
                }
                return Err(Fate::Drop(error.to_string()));
            }
        }
        Ok(true)
    }

    /// Goes on with the handshake of a connection of ours. True when it is done.
    pub(super) fn prove(&mut self, connection: &mut Connection) -> Result<bool, Fate> {
        let Stage::Proving(stream) = &mut connection.stage else {
            return Ok(true);
        };
        match stream.connect() {
            ConnectStep::Wait => Ok(false),
            ConnectStep::Done(established) => {
                let Stage::Proving(stream) =
                    std::mem::replace(&mut connection.stage, Stage::Changing)
                else {
                    return Ok(true);
                };
                connection.stage = Stage::Open(Wire::Tls(stream));
                self.proved(connection, established);
                self.dialled(connection).map(|()| true)
            }
            ConnectStep::Refused(refusal) => Err(self.refused_server(connection, &refusal)),
        }
    }

    /// The other side is who was asked for.
    fn proved(&self, connection: &mut Connection, established: EstablishedServer) {
        debug!(
            "tls.connected conn={} peer={} name={} proof={:?} version={} cipher={} shown={}",
            connection.id,
            connection.peer,
            established.reference.host(),
            established.proof.as_deref().unwrap_or_default(),
            established.version,
            established.cipher,
            established.shown,
        );
        connection.generation = self.snapshot.generation;
        if let Some(certificate) = &established.certificate {
            let until = self.snapshot.client_role.holds_until(certificate);
            connection.footing.holds_until(until);
        }
        connection.proof = established.certificate.map(|certificate| Proof {
            identities: Arc::new(Identities::of_server(
                &certificate,
                &self.snapshot.policy.rules.names,
                &self.snapshot.policy.rules.rights,
            )),
            certificate,
        });
    }

    /// A connection of ours is open: what has waited for it leaves.
    fn dialled(&mut self, connection: &mut Connection) -> Result<(), Fate> {
        connection.place.opened();
        connection.is_ours();
        connection.wait_for(Limit::Idle, self.now, self.shared.options.deadlines.idle);
        let Some(dial) = &mut connection.dial else {
            return Ok(());
        };
        self.shared.resolver.works(&dial.purpose.destination);
        for journey in std::mem::take(&mut dial.waiting) {
            let mut journey = Some(journey);
            let fate = self.board(connection, &mut journey);
            if let Some(mut stranded) = journey {
                stranded.failed(Failure::transport());
                self.journeys.push(stranded);
            }
            if !matches!(fate, Fate::Keep) {
                return Err(fate);
            }
        }
        Ok(())
    }

    /// Nobody is there.
    fn unreachable(&self, connection: &mut Connection, why: &str) -> Fate {
        if self.may_log("conn.unreachable", connection.peer) {
            info!(
                "conn.unreachable conn={} peer={} reason={why:?}",
                connection.id, connection.peer
            );
        }
        Fate::Drop(why.to_owned())
    }

    /// Somebody else is there than was asked for, or it does not take us.
    fn refused_server(&self, connection: &mut Connection, refusal: &ServerRefusal) -> Fate {
        self.shared.counters.servers_refused.add(1);
        if self.may_log("tls.server_refused", connection.peer) {
            warn!(
                "tls.server_refused conn={} peer={} {refusal}",
                connection.id, connection.peer
            );
        }
        if let Some(dial) = &mut connection.dial
            && let Some(phrase) = refusal.fault.reason_phrase()
        {
            dial.failure.phrase = phrase.into();
        }
        Fate::Finish("the server is refused".to_owned())
    }

    /// A connection is broken. Where the first thing that is read over one of ours is an alert, that is what the server makes
    /// of our certificate: in TLS 1.3 our side of the handshake is done before it has seen that.
    pub(super) fn broken(&self, connection: &mut Connection, why: String) -> Fate {
        if connection.dial.is_some()
            && connection.octets_in == 0
            && let Stage::Open(wire) = &mut connection.stage
        {
            if wire.refused_by_server().is_none() {
                // What we had to say has come too late: why may have been told before, and the poller has not said so yet.
                wire.socket().readable(true);
                wire.read(&mut [0; 16]);
            }
            if let Some(refusal) = wire.refused_by_server().cloned() {
                self.refused_server(connection, &refusal);
            }
        }
        Fate::Drop(why)
    }

    /// A connection of ours is closed: nobody finds it any more, and what has waited for it looks for another way.
    pub(super) fn forget_dial(&mut self, connection: &mut Connection) {
        let Some(dial) = connection.dial.take() else {
            return;
        };
        let flow = FlowId::Connection(connection.id);
        self.shared.dialled.remove(&dial.purpose, flow);
        if !dial.waiting.is_empty() && !dial.is_our_fault {
            self.shared
                .resolver
                .avoid(&dial.purpose.destination, self.now);
        }
        for mut journey in dial.waiting {
            journey.failed(dial.failure.clone());
            self.journeys.push(journey);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_lack_ourselves_says_nothing_about_where_a_connection_leads() {
        for (errno, expected) in [
            (libc::ECONNREFUSED, true),
            (libc::EHOSTUNREACH, true),
            (libc::ENETUNREACH, true),
            (libc::ETIMEDOUT, true),
            (libc::EMFILE, false),
            (libc::ENFILE, false),
            (libc::ENOBUFS, false),
            (libc::ENOMEM, false),
            (libc::EADDRNOTAVAIL, false),
            (libc::EAFNOSUPPORT, false),
            (libc::EPERM, false),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(is_of_the_way(&error), expected, "{error}");
        }
    }
}
