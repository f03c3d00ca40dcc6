//! Requests of the server's own that a worker has sent, and the way from a flow to its connection.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use log::debug;

use super::connection::{Connection, Stage};
use super::options::OutgoingOptions;
use super::origin::Name;
use super::outgoing::{Asker, Branch, Delivered, MOST_FIELDS, Posted, Undelivered, sent_by};
use super::wire::Wire;
use super::worker::{Fate, Mail, Worker};
use crate::proxy::relay::Own;
use crate::registrar::FlowId;
use crate::sip::{Message, Response};
use crate::transaction::{
    ClientEffect, ClientKey, ClientLayer, ClientOutput, Numbered, Scope, TransactionId,
};

/// A worker's requests. Holds next to nothing while there are none.
pub(super) struct Outbox {
    /// Slot of each open connection, by its number.
    slots: Numbered<u64, usize>,
    layer: ClientLayer<FlowId>,
    /// Who waits for a final response.
    askers: HashMap<TransactionId, Asker>,
    /// Requests without a final answer, over each flow that has some.
    under_way: HashMap<FlowId, Vec<TransactionId>>,
    /// Outcomes that the lookup pool had no place for; no more than there may be requests.
    untold: VecDeque<(Asker, Delivered)>,
    /// Outputs of the layer; kept for its capacity.
    outputs: Vec<ClientOutput<FlowId>>,
    per_connection: usize,
}

impl Outbox {
    pub(super) fn new(options: OutgoingOptions) -> Self {
        Self {
            slots: Numbered::default(),
            layer: ClientLayer::new(options.transactions),
            askers: HashMap::new(),
            under_way: HashMap::new(),
            untold: VecDeque::new(),
            outputs: Vec::new(),
            per_connection: options.per_connection,
        }
    }

    /// A connection can be found from now on.
    pub(super) fn opened(&mut self, connection: u64, slot: usize) {
        self.slots.insert(connection, slot);
    }

    /// Where the open connection of this number is.
    pub(super) fn slot_of(&self, connection: u64) -> Option<usize> {
        self.slots.get(&connection).copied()
    }

    /// When [`Worker::ring_outbox`] next has something to do.
    pub(super) fn next_deadline(&self) -> Option<std::time::Instant> {
        self.layer.next_deadline()
    }

    /// Whether an answer over this connection is waited for.
    pub(super) fn waits_for(&self, connection: u64) -> bool {
        self.under_way.contains_key(&FlowId::Connection(connection))
    }

    fn is_full(&self, flow: FlowId) -> bool {
        let under_way = self.under_way.get(&flow);
        under_way.is_some_and(|ids| ids.len() >= self.per_connection)
    }

    /// A request is out.
    fn is_out(&mut self, id: TransactionId, flow: FlowId, posted: Posted) {
        self.under_way.entry(flow).or_default().push(id);
        self.askers.insert(id, posted.into_asker());
    }

    /// It is answered, or will not be.
    fn is_over(&mut self, id: TransactionId, flow: FlowId) {
        if let Some(ids) = self.under_way.get_mut(&flow) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.under_way.remove(&flow);
            }
        }
    }
}

/// Where a request of ours says that it comes from that we relay to ourselves: nobody sends anything there.
const OURSELVES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5061);

/// Octets of the head of a message.
fn head_of(octets: &[u8]) -> usize {
    memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |at| at + 4)
}

/// Where the answers to a request over this flow may come in: over the same connection, or as any datagram, whose sender
/// proves nothing; nobody else knows the branch.
fn scope(flow: FlowId) -> Scope {
    match flow {
        FlowId::Connection(number) => Scope(number),
        FlowId::Datagram { .. } => Scope(u64::MAX),
    }
}

impl Worker {
    /// Sends a request over its connection, if that is still there, or as a datagram.
    pub(super) fn send_request(&mut self, posted: Posted) {
        if !posted.outgoing.path.is_empty() {
            return self.send_request_by_path(posted);
        }
        let slot = match posted.outgoing.flow {
            FlowId::Connection(number) => self.outbox.slot_of(number),
            FlowId::Datagram { listener, peer } => {
                return self.send_request_as_datagram(listener, peer, posted);
            }
        };
        let mut posted = Some(posted);
        let mut failed = Undelivered::ConnectionGone;
        if let Some(slot) = slot {
            self.guarded(slot, |worker, connection| {
                match worker.write_request(connection, &mut posted) {
                    Ok(fate) => fate,
                    Err(why) => {
                        failed = why;
                        Fate::Keep
                    }
                }
            });
        }
        if let Some(posted) = posted {
            self.tell(posted.into_asker(), Delivered::Failed(failed));
        }
    }

    /// Takes the request out of `posted` once it is under way.
    fn write_request(
        &mut self,
        connection: &mut Connection,
        posted: &mut Option<Posted>,
    ) -> Result<Fate, Undelivered> {
        let transport = match &connection.stage {
            Stage::Open(Wire::Tls(_)) => "TLS",
            Stage::Open(Wire::Plain(_)) => "TCP",
            _ => return Err(Undelivered::ConnectionGone),
        };
        if connection.ending.is_some() || self.shared.is_draining() {
            return Err(Undelivered::ConnectionGone);
        }
        let flow = FlowId::Connection(connection.id);
        let Some(Posted { outgoing, .. }) = &posted else {
            return Ok(Fate::Keep);
        };
        // What would have a slow peer closed is better not said.
        let queued = connection.queued().saturating_add(outgoing.len());
        if self.outbox.is_full(flow) || queued > self.shared.options.max_queued_bytes {
            return Err(Undelivered::Busy);
        }
        let local = connection
            .socket()
            .ok_or(io::ErrorKind::NotConnected.into())
            .and_then(|socket| socket.local());
        let sent_by = sent_by(local.map_err(|_: io::Error| Undelivered::ConnectionGone)?);
        let branch = Branch::new(&self.tags.next());
        let key = ClientKey::new(
            scope(flow),
            branch.as_str().as_bytes(),
            &sent_by,
            outgoing.method.as_bytes(),
        );
        let id = self
            .outbox
            .layer
            .begin(&key, flow, None, self.now)
            .map_err(|_| Undelivered::Busy)?;
        let mut out = Vec::with_capacity(outgoing.len() + 128);
        outgoing.write(transport, &sent_by, &branch, &mut out);
        self.shared.counters.requests_sent.add(1);
        debug!(
            "sip.sent conn={} peer={} method={}",
            connection.id, connection.peer, outgoing.method
        );
        if let Some(posted) = posted.take() {
            self.outbox.is_out(id, flow, posted);
        }
        Ok(match self.send(connection, &out) {
            Ok(()) => Fate::Keep,
            Err(fate) => fate,
        })
    }

    /// Sends a request as a datagram, however large it is: a device that registers by datagrams need not be reached otherwise.
    fn send_request_as_datagram(&mut self, listener: u16, peer: SocketAddr, posted: Posted) {
        let flow = posted.outgoing.flow;
        let port = self.shared.listeners.get(usize::from(listener));
        let local = self.sockets.local(listener, peer, self.now);
        let (Some(port), Some(local), false) =
            (port.map(SocketAddr::port), local, self.shared.is_draining())
        else {
            let gone = Delivered::Failed(Undelivered::ConnectionGone);
            return self.tell(posted.into_asker(), gone);
        };
        let sent_by = sent_by((local, port).into());
        let branch = Branch::at(self.number, &self.tags.next());
        let method = posted.outgoing.method.as_bytes();
        let key = ClientKey::new(scope(flow), branch.as_str().as_bytes(), &sent_by, method);
        let mut out = Vec::with_capacity(posted.outgoing.len() + 128);
        posted.outgoing.write("UDP", &sent_by, &branch, &mut out);
        let octets: Arc<[u8]> = out.into();
        let again = Some(Arc::clone(&octets));
        let begun = match self.outbox.is_full(flow) {
            true => None,
            false => self.outbox.layer.begin(&key, flow, again, self.now).ok(),
        };
        let Some(id) = begun else {
            let busy = Delivered::Failed(Undelivered::Busy);
            return self.tell(posted.into_asker(), busy);
        };
        self.shared.counters.requests_sent.add(1);
        let method = &posted.outgoing.method;
        debug!("sip.sent conn=udp peer={peer} method={method}");
        self.outbox.is_out(id, flow, posted);
        if !self.send_datagram(listener, peer, &octets) {
            let mut outputs = std::mem::take(&mut self.outbox.outputs);
            self.outbox.layer.on_transport_error(id, &mut outputs);
            self.settle(outputs, None);
        }
    }

    /// Sends a request through proxies: to its relay the sender is a connection like others, whose number nobody else has.
    fn send_request_by_path(&mut self, mut posted: Posted) {
        let number = self.shared.connection_number(self.number);
        let flow = FlowId::Connection(number);
        if self.shared.is_draining() {
            let gone = Delivered::Failed(Undelivered::ConnectionGone);
            return self.tell(posted.into_asker(), gone);
        }
        let sent_by = sent_by(OURSELVES);
        let branch = Branch::new(&self.tags.next());
        let method = posted.outgoing.method.as_bytes();
        let key = ClientKey::new(scope(flow), branch.as_str().as_bytes(), &sent_by, method);
        let mut octets = Vec::with_capacity(posted.outgoing.len() + 128);
        posted.outgoing.write("TLS", &sent_by, &branch, &mut octets);
        let path = std::mem::take(&mut posted.outgoing.path);
        let Ok(id) = self.outbox.layer.begin(&key, flow, None, self.now) else {
            let busy = Delivered::Failed(Undelivered::Busy);
            return self.tell(posted.into_asker(), busy);
        };
        self.shared.counters.requests_sent.add(1);
        self.outbox.is_out(id, flow, posted);
        let own = Own {
            message: &Message::parse(&octets, head_of(&octets), MOST_FIELDS),
            path,
            flow,
            source: OURSELVES,
            policy: &self.snapshot.policy,
        };
        if !self.relay.send_own(own, self.now, &mut self.effects) {
            self.end_requests(flow);
        }
    }

    /// What a relay has to say to a connection that there is not: the answer to a request of our own, if it is one.
    pub(super) fn take_own_answer(&mut self, number: u64, octets: &[u8]) {
        if self.outbox.waits_for(number) {
            let message = Message::parse(octets, head_of(octets), MOST_FIELDS);
            let flow = FlowId::Connection(number);
            self.answers(flow, Name::own(number), OURSELVES, &message);
        }
    }

    /// Whether this response answers a request that went out over the same connection; if so, its asker is told.
    pub(super) fn take_response(&mut self, connection: &Connection, message: &Message<'_>) -> bool {
        self.outbox.waits_for(connection.id)
            && self.answers(
                FlowId::Connection(connection.id),
                Name::of(connection),
                connection.peer,
                message,
            )
    }

    /// The same for one that came as a datagram.
    pub(super) fn take_response_datagram(&mut self, flow: FlowId, message: &Message<'_>) -> bool {
        match flow {
            FlowId::Datagram { peer, .. } => self.answers(flow, Name::UDP, peer, message),
            FlowId::Connection(_) => false,
        }
    }

    fn answers(
        &mut self,
        flow: FlowId,
        name: Name,
        peer: SocketAddr,
        message: &Message<'_>,
    ) -> bool {
        let Some(response) = Response::read(message) else {
            return false;
        };
        let Some(key) = ClientKey::of(&response, scope(flow)) else {
            return false;
        };
        let (now, mut outputs) = (self.now, std::mem::take(&mut self.outbox.outputs));
        let status = response.status;
        let known = self
            .outbox
            .layer
            .on_response(&key, status, now, &mut outputs);
        if known {
            debug!("sip.response conn={name} peer={peer} status={status}");
        }
        self.settle(outputs, Some(message));
        known
    }

    /// A connection is closed: nobody finds it any more, and no answer comes over it.
    pub(super) fn close_flow(&mut self, connection: &Connection) {
        self.outbox.slots.remove(&connection.id);
        self.end_requests(FlowId::Connection(connection.id));
        let slots = &mut self.outbox.slots;
        if slots.capacity() > 1024 && slots.len() < slots.capacity() / 8 {
            let room = slots.len() * 2;
            slots.shrink_to(room);
        }
    }

    fn end_requests(&mut self, flow: FlowId) {
        let Some(ids) = self.outbox.under_way.get(&flow).cloned() else {
            return;
        };
        let mut outputs = std::mem::take(&mut self.outbox.outputs);
        for id in ids {
            self.outbox.layer.on_transport_error(id, &mut outputs);
        }
        self.settle(outputs, None);
    }

    /// Does what is due, and tells those who could not be told before.
    pub(super) fn ring_outbox(&mut self) {
        if self.outbox.next_deadline().is_some_and(|at| at <= self.now) {
            let mut outputs = std::mem::take(&mut self.outbox.outputs);
            self.outbox.layer.on_deadline(self.now, &mut outputs);
            self.settle(outputs, None);
        }
        for _ in 0..self.outbox.untold.len() {
            if let Some((asker, delivered)) = self.outbox.untold.pop_front() {
                self.tell(asker, delivered);
            }
        }
    }

    /// The worker ends: nothing is waited for any more, and nobody is left without an outcome.
    pub(super) fn close_outbox(&mut self) {
        let flows: Vec<FlowId> = self.outbox.under_way.keys().copied().collect();
        for flow in flows {
            self.end_requests(flow);
        }
        while let Ok(mail) = self.mail.try_recv() {
            if let Mail::Send(posted) = mail {
                let gone = Delivered::Failed(Undelivered::ConnectionGone);
                self.tell(posted.into_asker(), gone);
            }
        }
        self.ring_outbox();
    }

    /// Does what the transactions want done. `response` is what has just come in.
    fn settle(&mut self, mut outputs: Vec<ClientOutput<FlowId>>, response: Option<&Message<'_>>) {
        for ClientOutput { id, path, effect } in outputs.drain(..) {
            let outcome = match effect {
                ClientEffect::SendAgain(octets) => {
                    if let FlowId::Datagram { listener, peer } = path {
                        self.send_datagram(listener, peer, &octets);
                    }
                    None
                }
                // Only for an INVITE, and we send none.
                ClientEffect::Acknowledge => None,
                // A provisional response to a request of ours is of no use to anybody.
                ClientEffect::Response(status) if !status.is_final() => None,
                ClientEffect::Response(status) => response.map(|message| Delivered::Answered {
                    status,
                    response: Box::new(message.clone().into_owned()),
                }),
                ClientEffect::Timeout => Some(Delivered::Failed(Undelivered::Timeout)),
                ClientEffect::TransportFailed => {
                    Some(Delivered::Failed(Undelivered::ConnectionGone))
                }
                // Over UDP it stays a while for answers that come again.
                ClientEffect::Ended => None,
            };
            if let Some(outcome) = outcome {
                self.outbox.is_over(id, path);
                if let Some(asker) = self.outbox.askers.remove(&id) {
                    self.tell(asker, outcome);
                }
            }
        }
        self.outbox.outputs = outputs;
    }

    /// Tells who asked, on a lookup thread; without a place there, the next time round.
    fn tell(&mut self, asker: Asker, delivered: Delivered) {
        match self.shared.lookups.place() {
            Some(place) => {
                if matches!(delivered, Delivered::Failed(_)) {
                    self.shared.counters.requests_failed.add(1);
                }
                self.shared
                    .lookups
                    .run(place, move || asker.tell(delivered));
            }
            None => self.outbox.untold.push_back((asker, delivered)),
        }
    }
}
