//! Carries out what the relay wants done: octets to flows, requests to where they can go.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use log::{debug, error};

use super::connection::{Connection, Stage};
use super::journey::{Journey, Leg, destination_of, over_tcp};
use super::shared::NotTaken;
use super::worker::{Fate, Mail, Worker};
use crate::proxy::relay::{Attempt, Datagrams, Effect, Exit, RelayId, Sent, SentVia, home_of};
use crate::proxy::{Answer, Failure, Kept, KeptMessage, Policy, Question};
use crate::registrar::FlowId;
use crate::sip::{Message, Response};

/// A request with more octets than this goes by TCP, as long as nobody knows how much the way there takes (RFC 3261
/// §18.1.1).
const LARGEST_DATAGRAM: usize = 1300;

/// What became of a departure, for the worker that it belongs to.
pub(crate) enum Departed {
    /// It is on its way.
    Sent(Sent),
    /// It is not.
    Unsent(Attempt, Failure),
}

impl Worker {
    /// Carries out everything that is to be done for relays, and what comes of that, until nothing is left. A request
    /// has a bounded number of attempts, and each of them a bounded number of ways to go.
    pub(super) fn carry_out(&mut self) {
        loop {
            let effects = std::mem::take(&mut self.effects);
            let journeys = std::mem::take(&mut self.journeys);
            if effects.is_empty() && journeys.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Send { flow, octets } => self.send_over(flow, octets),
                    Effect::Depart(departure) => self.travel(Journey::new(departure)),
                    Effect::Keep {
                        relay,
                        message,
                        policy,
                    } => self.keep_message(relay, message, policy),
                    Effect::Stale { aor, reach } => {
                        self.shared.location.unreachable(&aor, &reach);
                    }
                    Effect::Avoid { place, retry_after } => {
                        let destination = destination_of(place);
                        debug!("sip.not_served destination={destination}");
                        self.shared
                            .resolver
                            .leave_alone(&destination, retry_after, self.now);
                    }
                }
            }
            for journey in journeys {
                self.travel(journey);
            }
        }
    }

    /// Has a message kept on the lookup pool: its sender is told of success only after that.
    fn keep_message(&mut self, relay: RelayId, message: Box<KeptMessage>, policy: Arc<Policy>) {
        let (worker, shared) = (self.number, Arc::clone(&self.shared));
        let job = move || {
            let keep = || policy.directory.answer(Question::Keep(message));
            let kept = catch_unwind(AssertUnwindSafe(keep))
                .inspect_err(|_| error!("lookup.panicked conn=none the message is not kept; the directory has a defect"))
                .ok();
            let is_stored = kept == Some(Answer::Kept(Kept::Stored));
            shared.post_waiting(worker, Mail::Kept(relay, is_stored));
        };
        if self.shared.lookups.submit(job).is_err() {
            self.shared.counters.lookups_refused.add(1);
            self.take_kept(relay, false);
        }
    }

    /// Answers a request whose message is kept now, or is not.
    pub(super) fn take_kept(&mut self, relay: RelayId, is_stored: bool) {
        self.relay
            .on_kept(relay, is_stored, self.now, &mut self.effects);
    }

    /// Sends octets over a flow, if it is still there.
    pub(super) fn send_over(&mut self, flow: FlowId, octets: Arc<[u8]>) {
        if !self.is_mine(flow) {
            // A worker with a full mailbox has more to do than it can: what it does not get is lost, as if on the way.
            let _ = self
                .shared
                .post(self.shared.worker_of(flow), Mail::Octets(flow, octets));
            return;
        }
        let number = match flow {
            FlowId::Connection(number) => number,
            FlowId::Datagram { listener, peer } => {
                self.send_datagram(listener, peer, &octets);
                return;
            }
        };
        if let Some(slot) = self.outbox.slot_of(number) {
            self.guarded(slot, |worker, connection| {
                if !matches!(connection.stage, Stage::Open(_)) {
                    return Fate::Keep;
                }
                match worker.send(connection, &octets) {
                    Ok(()) => Fate::Keep,
                    Err(fate) => fate,
                }
            });
        } else {
            self.take_own_answer(number, &octets);
        }
    }

    /// Whether this worker sends over that flow; datagrams leave by a socket of its own.
    pub(super) fn is_mine(&self, flow: FlowId) -> bool {
        match flow {
            FlowId::Connection(_) => self.shared.worker_of(flow) == self.number,
            FlowId::Datagram { .. } => true,
        }
    }

    /// Goes on with a request until it is sent, waits for something, or has nowhere to go any more.
    pub(super) fn travel(&mut self, mut journey: Journey) {
        loop {
            if journey.departure.is_given_up(self.now) {
                // Whoever waited has been answered: nobody could cancel what would ring now.
                debug!("sip.given_up method={}", journey.departure.method());
                return;
            }
            match journey.next() {
                Leg::Over(flow) if self.is_mine(flow) => match self.leave_by(flow, journey) {
                    None => return,
                    Some(stranded) => journey = stranded,
                },
                Leg::Datagram(Datagrams { listener, peer }) => {
                    match self.leave_as_datagram(listener, peer, true, journey) {
                        None => return,
                        Some(stranded) => journey = stranded,
                    }
                }
                Leg::Resolve(wanted) => match self.resolve(journey, wanted) {
                    None => return,
                    Some(resolved) => journey = resolved,
                },
                Leg::To(destination) => match self.reach(journey, destination) {
                    None => return,
                    Some(stranded) => journey = stranded,
                },
                Leg::Over(flow) => match self.hand_over(flow, journey) {
                    None => return,
                    Some(stranded) => journey = stranded,
                },
                Leg::Nowhere(failure) => {
                    if let Some(attempt) = journey.departure.attempt {
                        self.tell_home(journey.departure.home, Departed::Unsent(attempt, failure));
                    }
                    return;
                }
            }
        }
    }

    /// Has the worker of a flow send a request over it; gives it back if that worker takes nothing more.
    pub(super) fn hand_over(&mut self, flow: FlowId, journey: Journey) -> Option<Journey> {
        let worker = self.shared.worker_of(flow);
        let NotTaken(mail) = self
            .shared
            .post(worker, Mail::Journey(journey, flow))
            .err()?;
        let Mail::Journey(mut back, _) = *mail else {
            return None;
        };
        back.failed(Failure::overloaded());
        Some(back)
    }

    /// Sends a request over a flow of this worker; gives it back when the flow is gone or takes no more.
    pub(super) fn leave_by(&mut self, flow: FlowId, mut journey: Journey) -> Option<Journey> {
        let number = match flow {
            FlowId::Connection(number) => number,
            FlowId::Datagram { listener, peer } => {
                // A phone behind a NAT is found by its datagrams alone, and whoever wants datagrams gets them.
                let whole = !journey.departure.leads_to(peer);
                return self.leave_as_datagram(listener, peer, whole, journey);
            }
        };
        journey.lost();
        let mut journey = Some(journey);
        if let Some(slot) = self.outbox.slot_of(number) {
            self.guarded(slot, |worker, connection| {
                worker.board(connection, &mut journey)
            });
        }
        journey
    }

    /// Has a request leave by this connection, or wait until it is open. What cannot is left in `journey`.
    pub(super) fn board(
        &mut self,
        connection: &mut Connection,
        journey: &mut Option<Journey>,
    ) -> Fate {
        if connection.is_opening() {
            if let Some(dial) = &mut connection.dial {
                dial.wait(journey);
            }
            strand(journey, Failure::overloaded());
            return Fate::Keep;
        }
        // What is lost of ours takes nothing any more: who asks for the same server finds another.
        let is_lost = connection.footing.is_lost && connection.dial.is_some();
        if !matches!(connection.stage, Stage::Open(_)) || connection.ending.is_some() || is_lost {
            return Fate::Keep;
        }
        let Some(departure) = journey.as_ref().map(|journey| &journey.departure) else {
            return Fate::Keep;
        };
        if departure.is_given_up(self.now) {
            return Fate::Keep;
        }
        // What would have a slow peer closed is better not said.
        let queued = connection.queued().saturating_add(departure.room());
        if queued > self.shared.options.max_queued_bytes {
            strand(journey, Failure::overloaded());
            return Fate::Keep;
        }
        let exit = Exit {
            flow: FlowId::Connection(connection.id),
            listener: connection.listener,
            local: connection.local.ip(),
            of_domain: connection.is_of_domain(),
            identity: connection.identity(),
            in_place_of: journey.as_ref().and_then(Journey::in_place_of),
        };
        let mut out = std::mem::take(&mut self.leaving);
        let fate = match departure.write(&exit, &mut out) {
            // Who has called it off between the look above and here has been told that nobody will hear of it.
            Ok(_) if !departure.sets_out() => Fate::Keep,
            Ok(via) => {
                debug!(
                    "sip.sent conn={} peer={} method={}",
                    connection.id,
                    connection.peer,
                    departure.method()
                );
                let sent = self.send(connection, &out);
                if let Some(journey) = journey.take() {
                    let was_held_back = connection.is_held_back();
                    connection.carries(journey.departure.home);
                    if was_held_back {
                        // Its answers to us are wanted from now on.
                        connection.wait_again(&self.shared.options.deadlines, self.now);
                        self.again.push(connection.slot);
                    }
                    self.sent(journey, exit.flow, via, None);
                }
                sent.err().unwrap_or(Fate::Keep)
            }
            Err(why) => {
                strand(journey, why);
                Fate::Keep
            }
        };
        out.clear();
        self.leaving = out;
        fate
    }

    /// Sends a request as a datagram; gives it back when it may not be one. One that is too large tries TCP first, unless it is
    /// to go as a `whole` (RFC 3261 §18.1.1).
    pub(super) fn leave_as_datagram(
        &mut self,
        listener: u16,
        peer: SocketAddr,
        whole: bool,
        mut journey: Journey,
    ) -> Option<Journey> {
        let flow = FlowId::Datagram { listener, peer };
        let Some(local) = self.sockets.local(listener, peer, self.now) else {
            journey.failed(Failure::no_transport());
            return Some(journey);
        };
        let exit = Exit {
            flow,
            listener: usize::from(listener),
            local,
            of_domain: false,
            identity: None,
            in_place_of: None,
        };
        let mut out = std::mem::take(&mut self.leaving);
        let departure = &journey.departure;
        let written = departure.write(&exit, &mut out);
        let stranded = match written {
            Err(why) => {
                journey.failed(why);
                Some(journey)
            }
            Ok(_) if !whole && out.len() > LARGEST_DATAGRAM && !self.is_deaf_to_tcp(peer) => {
                journey.stream_first(Datagrams { listener, peer });
                Some(journey)
            }
            Ok(_) if !departure.sets_out() => None,
            Ok(_) if !self.send_datagram(listener, peer, &out) => {
                departure.comes_back();
                journey.failed(Failure::transport());
                Some(journey)
            }
            Ok(via) => {
                debug!(
                    "sip.sent conn=udp peer={peer} method={}",
                    departure.method()
                );
                let again = departure.attempt.map(|_| Arc::from(&*out));
                self.sent(journey, flow, via, again);
                None
            }
        };
        out.clear();
        self.leaving = out;
        stranded
    }

    /// Whether TCP has failed to there lately: where it is lost on the way, each attempt takes its time.
    fn is_deaf_to_tcp(&self, peer: SocketAddr) -> bool {
        let resolver = &self.shared.resolver;
        resolver.is_avoided(&over_tcp(peer), self.now)
    }

    fn sent(&mut self, journey: Journey, flow: FlowId, via: SentVia, again: Option<Arc<[u8]>>) {
        let home = journey.departure.home;
        if let Some(attempt) = journey.departure.attempt {
            let (place, rest) = journey.into_rest();
            let sent = Sent {
                attempt,
                flow,
                via,
                again,
                place,
                rest,
            };
            self.tell_home(home, Departed::Sent(sent));
        }
    }

    /// Tells what became of a departure where it belongs to.
    fn tell_home(&mut self, home: usize, departed: Departed) {
        if home == self.number {
            self.departed(departed);
        } else {
            // If its mailbox is full, the request is answered when it times out.
            let _ = self.shared.post(home, Mail::Departed(departed));
        }
    }

    /// Takes over a request that another worker sends over a flow of this one.
    pub(super) fn take_journey(&mut self, journey: Journey, flow: FlowId) {
        if let Some(mut stranded) = self.leave_by(flow, journey) {
            // The connection has ended meanwhile, the server at its other end need not have.
            if stranded.lost_its_flow() {
                stranded.again();
            }
            self.journeys.push(stranded);
        }
    }

    /// Gives a response to the worker whose request it answers. False when it answers none of a relay's.
    pub(super) fn take_relayed(
        &mut self,
        flow: FlowId,
        homes: u64,
        response: &Message<'_>,
    ) -> bool {
        let Some(read) = Response::read(response) else {
            return false;
        };
        let Some(home) = read.via.branch().and_then(home_of) else {
            return false;
        };
        if home == self.number {
            let location = &self.shared.location;
            return self
                .relay
                .on_response(&read, flow, location, self.now, &mut self.effects);
        }
        // Nothing of that worker's has left by this connection: its mail is not for whoever likes to write some.
        if !is_home(homes, home) {
            return false;
        }
        let owned = Box::new(response.clone().into_owned());
        self.shared.post(home, Mail::Response(owned, flow)).is_ok()
    }

    /// A flow is gone: what was sent over it, by whichever worker, is not answered any more.
    pub(super) fn flow_gone(&mut self, flow: FlowId, homes: u64) {
        self.relay.on_flow_closed(flow, self.now, &mut self.effects);
        for home in 0..self.shared.workers() {
            if home != self.number && is_home(homes, home) {
                // Without this their requests time out.
                let _ = self.shared.post(home, Mail::FlowGone(flow));
            }
        }
    }

    /// Does what is due for requests that are relayed.
    pub(super) fn ring_relay(&mut self) {
        if self.relay.next_deadline().is_some_and(|at| at <= self.now) {
            self.relay.on_deadline(self.now, &mut self.effects);
        }
    }

    /// Takes in what became of a departure.
    pub(super) fn departed(&mut self, departed: Departed) {
        match departed {
            Departed::Sent(sent) => self.relay.on_sent(sent, self.now, &mut self.effects),
            Departed::Unsent(attempt, failure) => {
                self.relay
                    .on_unsent(attempt, failure, self.now, &mut self.effects);
            }
        }
    }
}

/// Whether requests of this worker have left by a connection.
fn is_home(homes: u64, home: usize) -> bool {
    homes & (1 << home.min(63)) != 0
}

/// The connection is there, and does not do: its bindings stay.
fn strand(journey: &mut Option<Journey>, why: Failure) {
    if let Some(journey) = journey {
        journey.failed(why);
    }
}
