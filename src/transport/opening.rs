//! A connection before it carries SIP: PROXY header, TLS handshake; and after it has: the last words.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Instant;

use log::{debug, warn};

use super::connection::{Connection, Proof, Stage};
use super::deadline::Limit;
use super::proxy_protocol::{self, ProxyHeader};
use super::socket::Socket;
use super::wire::Wire;
use super::worker::{Fate, Worker};
use crate::tls::{Established, HandshakeStep, TlsStream};

/// Reads of what nobody wants any more.
const WASTED_READS: usize = 8;

impl Worker {
    /// Goes on with a connection as far as it will go.
    pub(super) fn progress(&mut self, connection: &mut Connection) -> Fate {
        if matches!(connection.stage, Stage::Open(_)) {
            return self.exchange(connection);
        }
        let began = Instant::now();
        let fate = self.come_to_open(connection);
        self.congestion.set_aside(began.elapsed());
        fate
    }

    fn come_to_open(&mut self, connection: &mut Connection) -> Fate {
        loop {
            match &mut connection.stage {
                Stage::ProxyHeader(_) => match self.read_proxy_header(connection) {
                    Ok(true) => {}
                    Ok(false) => return Fate::Keep,
                    Err(fate) => return fate,
                },
                Stage::Handshake(stream) => match stream.handshake() {
                    HandshakeStep::Wait => return Fate::Keep,
                    HandshakeStep::Done(established) => {
                        self.opened(connection, established);
                        if let Some(fate) = self.judge_if_due(connection) {
                            return fate;
                        }
                    }
                    HandshakeStep::Refused(refusal) => {
                        connection.place.opened();
                        self.shared.counters.handshakes_refused.add(1);
                        if self
                            .shared
                            .limiter
                            .allows("tls.refused", connection.peer.ip(), self.now)
                        {
                            let listener = self.listener_name(connection);
                            warn!(
                                "tls.refused conn={} peer={} listener={listener} {refusal}",
                                connection.id, connection.peer
                            );
                        }
                        return Fate::Finish("handshake refused".to_owned());
                    }
                },
                Stage::Connecting(_) => match self.connect(connection) {
                    Ok(true) => {}
                    Ok(false) => return Fate::Keep,
                    Err(fate) => return fate,
                },
                Stage::Proving(_) => match self.prove(connection) {
                    Ok(true) => {
                        if let Some(fate) = self.judge_if_due(connection) {
                            return fate;
                        }
                    }
                    Ok(false) => return Fate::Keep,
                    Err(fate) => return fate,
                },
                Stage::Open(_) => return self.exchange(connection),
                Stage::Linger(wire) => {
                    let mut waste = [0_u8; 4096];
                    for _ in 0..WASTED_READS {
                        match wire.socket().read(&mut waste) {
                            Ok(0) => return Fate::Drop(String::new()),
                            Ok(_) => {}
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                                return Fate::Keep;
                            }
                            Err(_) => return Fate::Drop(String::new()),
                        }
                    }
                    // Whoever goes on sending does not want to hear our last words.
                    return Fate::Drop(String::new());
                }
                Stage::Changing => return Fate::Drop("defect".to_owned()),
            }
        }
    }

    fn listener_name(&self, connection: &Connection) -> String {
        self.shared
            .listeners
            .get(connection.listener)
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    /// True when the header has been read and the next stage is set.
    fn read_proxy_header(&mut self, connection: &mut Connection) -> Result<bool, Fate> {
        let Stage::ProxyHeader(socket) = &mut connection.stage else {
            return Ok(true);
        };
        let mut octets = [0_u8; proxy_protocol::LONGEST];
        let seen = match socket.peek(&mut octets) {
            Ok(0) => return Err(Fate::Drop("closed before its PROXY header".to_owned())),
            Ok(seen) => seen,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(Fate::Drop(error.to_string())),
        };
        match proxy_protocol::parse(octets.get(..seen).unwrap_or_default()) {
            ProxyHeader::Partial => Ok(false),
            ProxyHeader::Whole { length, source } => {
                let header = octets.get_mut(..length).unwrap_or_default();
                if let Err(error) = socket.source().read_exact(header) {
                    return Err(Fate::Drop(error.to_string()));
                }
                if let Some(source) = source {
                    debug!(
                        "conn.proxied conn={} peer={source} proxy={}",
                        connection.id, connection.peer
                    );
                    if let Err(why) = connection.place.count_source(source.ip()) {
                        self.shared.counters.accept_refused.add(1);
                        if self
                            .shared
                            .limiter
                            .allows(why.reason(), source.ip(), self.now)
                        {
                            warn!(
                                "accept.refused peer={source} proxy={} reason={}",
                                connection.peer,
                                why.reason()
                            );
                        }
                        return Err(Fate::Drop(why.reason().to_owned()));
                    }
                    connection.peer = source;
                }
                let Stage::ProxyHeader(socket) =
                    std::mem::replace(&mut connection.stage, Stage::Changing)
                else {
                    return Ok(true);
                };
                self.begin(connection, socket)
                    .map(|()| true)
                    .map_err(|why| Fate::Drop(why.to_string()))
            }
            ProxyHeader::Bad => {
                if self
                    .shared
                    .limiter
                    .allows("proxy_header", connection.peer.ip(), self.now)
                {
                    warn!(
                        "accept.refused peer={} reason=\"no PROXY header\" hint=\"ProxyProtocolSources lists this peer\"",
                        connection.peer
                    );
                }
                Err(Fate::Drop("no PROXY header".to_owned()))
            }
        }
    }

    /// Sets the stage that follows the PROXY header, or comes first without one.
    pub(super) fn begin(&mut self, connection: &mut Connection, socket: Socket) -> io::Result<()> {
        match self
            .snapshot
            .tls
            .get(connection.listener)
            .and_then(Option::as_ref)
        {
            Some(tls) => {
                connection.footing.begins(tls.basis());
                connection.stage =
                    Stage::Handshake(TlsStream::new(tls.accept_state(connection.peer)?, socket)?);
            }
            None => {
                connection.stage = Stage::Open(Wire::Plain(socket));
                connection.place.opened();
                let patience = self.shared.options.deadlines.first_message;
                connection.wait_for(Limit::FirstMessage, self.now, patience);
                debug!(
                    "tcp.accepted conn={} peer={}",
                    connection.id, connection.peer
                );
            }
        }
        Ok(())
    }

    /// The handshake is done.
    fn opened(&mut self, connection: &mut Connection, established: Established) {
        let Stage::Handshake(stream) = std::mem::replace(&mut connection.stage, Stage::Changing)
        else {
            return;
        };
        connection.stage = Stage::Open(Wire::Tls(stream));
        connection.place.opened();
        self.shared.counters.handshakes.add(1);
        if established.resumed {
            self.shared.counters.handshakes_resumed.add(1);
        }
        connection.generation = self.snapshot.generation;
        if let Some(certificate) = &established.certificate {
            let tls = self.snapshot.tls.get(connection.listener);
            let until = tls
                .and_then(Option::as_ref)
                .map(|tls| tls.holds_until(certificate));
            connection
                .footing
                .holds_until(until.unwrap_or(certificate.not_after));
        }
        connection.proof = established.certificate.map(|certificate| Proof {
            identities: Arc::new(
                self.snapshot
                    .policy
                    .rules
                    .identities(&certificate, Some(connection.listener)),
            ),
            certificate,
        });
        let patience = self.shared.options.deadlines.first_message;
        connection.wait_for(Limit::FirstMessage, self.now, patience);
        let subject = connection
            .proof
            .as_ref()
            .map(|p| p.certificate.subject.as_str())
            .unwrap_or_default();
        debug!(
            "tls.accepted conn={} peer={} version={} cipher={} resumed={} sni={:?} subject={subject:?}",
            connection.id,
            connection.peer,
            established.version,
            established.cipher,
            established.resumed,
            established.sni.as_deref().unwrap_or_default(),
        );
    }
}
