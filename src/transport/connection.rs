//! One connection: where it stands, what is received and queued, when it is due. A state machine without a thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::admission::Admit;
use super::again::{Footing, Tied};
use super::deadline::Limit;
use super::dial::Dial;
use super::options::Deadlines;
use super::socket::Socket;
use super::wire::Wire;
use crate::auth::{Identities, IdentityDigest, PeerCertificate};
use crate::registrar::Aor;
use crate::sip::Framer;
use crate::tls::{Progress, TlsStream};

/// How far a connection has come.
pub(crate) enum Stage {
    /// A PROXY header has to come first.
    ProxyHeader(Socket),
    /// TLS handshake.
    Handshake(TlsStream<Socket>),
    /// A connection of ours that is not open yet.
    Connecting(Socket),
    /// TLS handshake of a connection of ours, in which the other side has to prove who it is.
    Proving(TlsStream<Socket>),
    /// SIP.
    Open(Wire),
    /// All is said; what the peer still sends is thrown away, so that it can read our last words.
    Linger(Wire),
    /// Between two stages; never seen outside the change.
    Changing,
}

/// What the peer has proved.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) certificate: Arc<PeerCertificate>,
    pub(crate) identities: Arc<Identities>,
}

/// A connection that a worker owns.
pub(crate) struct Connection {
    pub(crate) id: u64,
    /// Its place with its worker, and its token with the poller.
    pub(crate) slot: usize,
    pub(crate) listener: usize,
    pub(crate) peer: SocketAddr,
    /// Our end of it.
    pub(crate) local: SocketAddr,
    pub(crate) place: Admit,
    pub(crate) stage: Stage,
    pub(crate) framer: Framer,
    /// A message has begun and is not whole yet.
    pub(crate) begun: bool,
    /// Octets received behind the last whole message; holds no memory while it is empty.
    pub(crate) received: Vec<u8>,
    pub(crate) proof: Option<Proof>,
    /// What that rests on.
    pub(super) footing: Footing,
    /// Questions of this connection with the lookup pool.
    pub(crate) pending: usize,
    /// Addresses-of-record registered over it.
    pub(crate) registered: Vec<Tied>,
    /// Set for a connection that we have opened.
    pub(crate) dial: Option<Box<Dial>>,
    /// The address that requests may take it for: the peer has said so, and proved that it may.
    pub(crate) alias: Option<SocketAddr>,
    /// Workers whose requests have left by it, a bit each.
    pub(crate) homes: u64,
    /// Generation of the snapshot that its identities were made by.
    pub(crate) generation: u64,
    queue: Vec<u8>,
    queue_taken: usize,
    /// Reading is put off until a question is answered, or what was said has been sent.
    pub(crate) paused: bool,
    /// It ends, for this reason, once its answers are out.
    pub(crate) ending: Option<String>,
    read_limit: Limit,
    read_due: Option<Instant>,
    write_due: Option<Instant>,
    /// Alarms that stand for it: mostly one or two, no more than there are limits.
    pub(crate) alarms: SmallVec<[Instant; 2]>,
    partial: bool,
    /// There has been a whole message.
    spoken: bool,
    /// The peer has said that it sends no more.
    pub(crate) closed_by_peer: bool,
    /// When it was accepted.
    pub(crate) accepted: Instant,
    /// When something of the peer's was read last.
    pub(crate) heard: Instant,
    /// Octets of SIP read.
    pub(crate) octets_in: u64,
    /// Octets of SIP that the peer has taken, or its system.
    pub(crate) octets_out: u64,
}

/// Octets that a peer which only asks may leave untaken, and is read from nevertheless.
const LOW_MARK: usize = 16 * 1024;
/// How long a peer may take to read our last words.
const LINGER: Duration = Duration::from_secs(2);

impl Connection {
    /// A connection that has just been accepted or begun, between `peer` and `local`.
    pub(crate) fn new(
        id: u64,
        slot: usize,
        listener: usize,
        (peer, local): (SocketAddr, SocketAddr),
        place: Admit,
        stage: Stage,
        accepted: Instant,
    ) -> Self {
        Self {
            id,
            slot,
            listener,
            peer,
            local,
            dial: None,
            alias: None,
            homes: 0,
            place,
            stage,
            framer: Framer::default(),
            begun: false,
            received: Vec::new(),
            proof: None,
            footing: Footing::NONE,
            pending: 0,
            registered: Vec::new(),
            generation: 0,
            queue: Vec::new(),
            queue_taken: 0,
            paused: false,
            ending: None,
            read_limit: Limit::Handshake,
            read_due: None,
            write_due: None,
            alarms: SmallVec::new(),
            partial: false,
            spoken: false,
            closed_by_peer: false,
            accepted,
            heard: accepted,
            octets_in: 0,
            octets_out: 0,
        }
    }

    /// The socket below, whatever the stage.
    pub(crate) fn socket(&mut self) -> Option<&mut Socket> {
        match &mut self.stage {
            Stage::ProxyHeader(socket) | Stage::Connecting(socket) => Some(socket),
            Stage::Handshake(stream) | Stage::Proving(stream) => Some(stream.get_mut()),
            Stage::Open(wire) | Stage::Linger(wire) => Some(wire.socket()),
            Stage::Changing => None,
        }
    }

    /// Begins to wait for something of the peer's; zero waits for ever.
    pub(crate) fn wait_for(&mut self, limit: Limit, now: Instant, patience: Duration) {
        self.read_limit = limit;
        self.read_due = (!patience.is_zero()).then(|| now + patience);
    }

    /// What to wait for once everything received has been looked at. A keep-alive counts as life once there has been a
    /// message.
    pub(crate) fn wait_for_next(
        &mut self,
        message: bool,
        ping: bool,
        deadlines: &Deadlines,
        now: Instant,
    ) {
        self.spoken |= message;
        let alive = message || (ping && self.spoken);
        if self.begun && (message || ping || !self.partial) {
            self.wait_for(Limit::PartialMessage, now, deadlines.partial_message);
        } else if !self.begun && alive {
            self.wait_for(Limit::Idle, now, deadlines.idle);
        }
        self.partial = self.begun;
    }

    /// When it is due, and by which limit. While nothing is read from the peer because it does not take what is queued, only
    /// its taking counts.
    pub(crate) fn due(&self) -> Option<(Instant, Limit)> {
        let write = self.write_due.map(|at| (at, Limit::Write));
        let read = self.read_due.map(|at| (at, self.read_limit));
        match (write, read) {
            (Some(write), Some(read)) if !self.is_held_back() && read.0 < write.0 => Some(read),
            (write, read) => write.or(read),
        }
    }

    /// Whether nothing is read from the peer until it has taken more of what is queued: so one that asks and does not
    /// listen is slowed down by its own answers. One that we have asked too is never: if both sides waited for the other
    /// to read, neither would.
    pub(crate) fn is_held_back(&self) -> bool {
        self.homes == 0 && self.queued() > LOW_MARK
    }

    /// Begins again to wait for what it waited for before it was held back.
    pub(crate) fn wait_again(&mut self, deadlines: &Deadlines, now: Instant) {
        let patience = match self.read_limit {
            Limit::Handshake => deadlines.handshake,
            Limit::Connect => deadlines.connect,
            Limit::FirstMessage => deadlines.first_message,
            Limit::PartialMessage => deadlines.partial_message,
            Limit::Idle | Limit::Write | Limit::Identity => deadlines.idle,
            Limit::Linger => LINGER,
        };
        self.wait_for(self.read_limit, now, patience);
    }

    /// Octets that the peer has not taken yet.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() - self.queue_taken
    }

    /// Sends, as far as the peer takes it; the rest is queued. `Err` when the connection is broken.
    pub(crate) fn send(
        &mut self,
        octets: &[u8],
        now: Instant,
        patience: Duration,
    ) -> Result<(), String> {
        let mut rest = octets;
        if self.queued() == 0 {
            while !rest.is_empty() {
                let Stage::Open(wire) = &mut self.stage else {
                    return Ok(());
                };
                match wire.write(rest) {
                    Progress::Octets(written) => {
                        self.octets_out += written as u64;
                        rest = rest.get(written..).unwrap_or_default();
                    }
                    Progress::Wait => break,
                    Progress::Closed => return Err("closed by the peer".to_owned()),
                    Progress::Broken(why) => return Err(why),
                }
            }
            if rest.is_empty() {
                return Ok(());
            }
            self.write_due = (!patience.is_zero()).then(|| now + patience);
        }
        self.queue.extend_from_slice(rest);
        Ok(())
    }

    /// Goes on with what is queued. True when there is nothing any more.
    pub(crate) fn flush(&mut self, now: Instant, patience: Duration) -> Result<bool, String> {
        while self.queued() > 0 {
            let Stage::Open(wire) = &mut self.stage else {
                return Ok(true);
            };
            match wire.write(self.queue.get(self.queue_taken..).unwrap_or_default()) {
                Progress::Octets(written) => {
                    self.octets_out += written as u64;
                    self.queue_taken += written;
                    self.forget_taken();
                    self.write_due = (!patience.is_zero()).then(|| now + patience);
                }
                Progress::Wait => return Ok(false),
                Progress::Closed => return Err("closed by the peer".to_owned()),
                Progress::Broken(why) => return Err(why),
            }
        }
        self.queue = Vec::new();
        self.queue_taken = 0;
        self.write_due = None;
        Ok(true)
    }

    /// What has been taken goes once it is most of the queue: a peer that is always a little behind would else have
    /// everything kept that it was ever told.
    fn forget_taken(&mut self) {
        if self.queue_taken > self.queue.len() / 2 {
            self.queue.drain(..self.queue_taken);
            self.queue_taken = 0;
        }
    }

    /// Says goodbye and waits a moment for the peer to hear it. False when there is nothing to wait for: closing a
    /// socket loses our last words only if something of the peer's has not been read.
    pub(crate) fn linger(&mut self, now: Instant) -> bool {
        let wire = match std::mem::replace(&mut self.stage, Stage::Changing) {
            Stage::Open(mut wire) | Stage::Linger(mut wire) => {
                wire.say_goodbye();
                if self.closed_by_peer {
                    return false;
                }
                wire.socket().finish();
                wire
            }
            Stage::Handshake(mut stream) | Stage::Proving(mut stream) => {
                stream.get_mut().finish();
                Wire::Tls(stream)
            }
            Stage::ProxyHeader(socket) | Stage::Connecting(socket) => Wire::Plain(socket),
            Stage::Changing => return false,
        };
        self.stage = Stage::Linger(wire);
        self.received = Vec::new();
        self.queue = Vec::new();
        self.queue_taken = 0;
        self.write_due = None;
        self.wait_for(Limit::Linger, now, LINGER);
        true
    }

    /// Remembers an address-of-record that lives on this connection. One may be remembered twice for a while: looking
    /// for it each time would make a trunk with 100,000 users slow for everybody on its worker.
    pub(crate) fn remember(&mut self, tied: Tied, is_tied: impl Fn(&Aor) -> bool) {
        if self.registered.len() == self.registered.capacity() {
            // Before it grows: what came and went again need not be remembered.
            self.keep_tied(is_tied);
            // Only after as many again is it looked through again.
            self.registered.reserve(self.registered.len() + 1);
        }
        self.registered.push(tied);
    }

    /// Forgets addresses-of-record that came and went again, so that each that lives on this connection is there once.
    pub(crate) fn keep_tied(&mut self, is_tied: impl Fn(&Aor) -> bool) {
        self.registered.retain(|tied| is_tied(&tied.aor));
        self.registered.sort_unstable();
        // Of two the latter is judged again, and a right that has gone is better noticed than not.
        self.registered.dedup_by(|tied, before| {
            let is_same = tied.aor == before.aor;
            before.is_judged_again |= is_same && tied.is_judged_again;
            is_same
        });
    }

    /// Whether it is being opened, by us.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.stage, Stage::Connecting(_) | Stage::Proving(_))
    }

    /// Counts as one over which there has been a message: who has opened it is we.
    pub(crate) fn is_ours(&mut self) {
        self.spoken = true;
    }

    /// Who the peer has proved to be.
    pub(crate) fn identity(&self) -> Option<IdentityDigest> {
        self.proof.as_ref()?.identities.digest()
    }

    /// Whether the peer is the server of a domain.
    pub(crate) fn is_of_domain(&self) -> bool {
        let proof = self.proof.as_ref();
        self.dial.is_some() || proof.is_some_and(|proof| proof.identities.has_domain())
    }

    /// Remembers that a request of this worker has left by it.
    pub(crate) fn carries(&mut self, home: usize) {
        self.homes |= 1 << home.min(63);
    }

    /// The peer's names, for a log line.
    pub(crate) fn names(&self) -> String {
        match &self.proof {
            Some(proof) => format!(
                "subject={:?} serial={} issuer={:?} names={:?}",
                proof.certificate.subject,
                proof.certificate.serial,
                proof.certificate.issuer,
                proof.identities.to_string()
            ),
            None => "subject=none".to_owned(),
        }
    }

    /// Whether it has nothing under way: no message half read or put off, nothing queued, no question out.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.partial && !self.paused && self.queued() == 0 && self.pending == 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::Cell;
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::admission::{Admission, AdmissionLimits};
    use super::*;
    use crate::sip::SipUri;

    fn connection() -> Connection {
        let limits = AdmissionLimits {
            total: 1,
            per_source: 1,
            handshakes: 1,
            exempt: Vec::new(),
        };
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let place = Admission::new(limits).admit(ip).unwrap();
        let (peer, now) = ((ip, 5061).into(), Instant::now());
        Connection::new(1, 0, 0, (peer, peer), place, Stage::Changing, now)
    }

    fn aor(user: usize) -> Tied {
        let aor = Aor::of(&SipUri::parse(&format!("sip:{user:06}@example.org")).unwrap());
        Tied {
            aor,
            is_judged_again: true,
        }
    }

    /// An open connection, and its other end, which reads nothing by itself.
    fn open() -> (Connection, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut connection = connection();
        connection.stage = Stage::Open(Wire::Plain(Socket::new(stream)));
        (connection, peer)
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Sends until so many octets are queued.
    fn fill(connection: &mut Connection, octets: usize) {
        while connection.queued() < octets {
            let part = vec![b'x'; 10_000];
            connection.send(&part, Instant::now(), PATIENCE).unwrap();
        }
    }

    #[test]
    fn a_peer_that_is_always_behind_has_no_more_kept_for_it_than_is_queued() {
        let (mut connection, mut peer) = open();
        fill(&mut connection, 2_000_000);
        let mut taken = vec![0; 200_000];
        for _ in 0..200 {
            std::io::Read::read_exact(&mut peer, &mut taken).unwrap();
            let all = connection.flush(Instant::now(), PATIENCE).unwrap();
            assert!(!all, "it was behind");
            fill(&mut connection, 2_000_000);
        }
        assert!(
            connection.queue.len() < 8_000_000,
            "{}",
            connection.queue.len()
        );
    }

    #[test]
    fn who_only_asks_is_held_back_and_who_answers_us_never() {
        let now = Instant::now();
        let (mut connection, _peer) = open();
        connection.wait_for(Limit::PartialMessage, now, Duration::from_secs(1));
        let read = Some((now + Duration::from_secs(1), Limit::PartialMessage));
        assert!(!connection.is_held_back());
        assert_eq!(connection.due(), read);
        fill(&mut connection, 1);
        assert!(!connection.is_held_back(), "a little is queued");
        assert_eq!(connection.due(), read);
        fill(&mut connection, LOW_MARK + 1);
        assert!(connection.is_held_back(), "much is");
        assert!(matches!(connection.due(), Some((_, Limit::Write))));
        connection.carries(0);
        assert!(!connection.is_held_back(), "we wait for its answers");
        assert_eq!(connection.due(), read);
    }

    #[test]
    fn remembering_many_addresses_of_record_looks_at_each_a_few_times() {
        let (mut connection, looks) = (connection(), Cell::new(0));
        let is_tied = |_: &Aor| {
            looks.set(looks.get() + 1);
            true
        };
        for user in 0..10_000 {
            connection.remember(aor(user), is_tied);
        }
        // One that goes and comes again while all the others stay.
        for _ in 0..10_000 {
            connection.remember(aor(0), is_tied);
        }
        assert!(looks.get() < 60_000, "{}", looks.get());
        let mut remembered = connection.registered;
        remembered.sort_unstable();
        remembered.dedup();
        assert_eq!(remembered.len(), 10_000);
    }

    #[test]
    fn what_came_and_went_again_is_forgotten() {
        let mut connection = connection();
        for user in 0..10_000 {
            let last = aor(user);
            connection.remember(last.clone(), |aor| *aor == last.aor);
        }
        assert!(
            connection.registered.capacity() < 20,
            "{}",
            connection.registered.capacity()
        );
    }
}
