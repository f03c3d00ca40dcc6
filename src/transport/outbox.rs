//! Requests of the server's own that a worker has sent, and the way from a flow to its connection.

use std::collections::{HashMap, VecDeque};
use std::io;

use log::debug;

use super::connection::{Connection, Stage};
use super::options::OutgoingOptions;
use super::outgoing::{Asker, Branch, Delivered, Posted, Undelivered, sent_by};
use super::wire::Wire;
use super::worker::{Fate, Mail, Worker};
use crate::registrar::FlowId;
use crate::sip::{Message, Response};
use crate::transaction::{
    ClientEffect, ClientKey, ClientLayer, ClientOutput, Numbered, Scope, TransactionId,
};

/// A worker's requests. Holds next to nothing while there are none.
pub(super) struct Outbox {
    /// Slot of each open connection, by its number.
    slots: Numbered<u64, usize>,
    layer: ClientLayer<usize>,
    /// Who waits for a final response.
    askers: HashMap<TransactionId, Asker>,
    /// Transactions over the connection in each slot that has some.
    under_way: HashMap<usize, Vec<TransactionId>>,
    /// Outcomes that the lookup pool had no place for; no more than there may be requests.
    untold: VecDeque<(Asker, Delivered)>,
    /// Outputs of the layer; kept for its capacity.
    outputs: Vec<ClientOutput<usize>>,
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

    /// Whether an answer over the connection in this slot is waited for.
    pub(super) fn waits_for(&self, slot: usize) -> bool {
        self.under_way.contains_key(&slot)
    }

    fn is_full(&self, slot: usize) -> bool {
        let under_way = self.under_way.get(&slot);
        under_way.is_some_and(|ids| ids.len() >= self.per_connection)
    }
}

impl Worker {
    /// Sends a request over its connection, if that is still there.
    pub(super) fn send_request(&mut self, posted: Posted) {
        let slot = match posted.outgoing.flow {
            FlowId::Connection(number) => self.outbox.slots.get(&number).copied(),
            FlowId::Datagram { .. } => None,
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
        let Some(Posted { outgoing, .. }) = &posted else {
            return Ok(Fate::Keep);
        };
        // What would have a slow peer closed is better not said.
        let queued = connection.queued().saturating_add(outgoing.len());
        if self.outbox.is_full(connection.slot) || queued > self.shared.options.max_queued_bytes {
            return Err(Undelivered::Busy);
        }
        let local = connection
            .socket()
            .ok_or(io::ErrorKind::NotConnected.into())
            .and_then(|socket| socket.local());
        let sent_by = sent_by(local.map_err(|_: io::Error| Undelivered::ConnectionGone)?);
        let branch = Branch::new(&self.tags.next());
        let key = ClientKey::new(
            Scope(connection.id),
            branch.as_str().as_bytes(),
            &sent_by,
            outgoing.method.as_bytes(),
        );
        let id = self
            .outbox
            .layer
            .begin(&key, connection.slot, None, self.now)
            .map_err(|_| Undelivered::Busy)?;
        let mut out = Vec::with_capacity(outgoing.len() + 128);
        outgoing.write(transport, &sent_by, &branch, &mut out);
        self.shared.counters.requests_sent.add(1);
        debug!(
            "sip.sent conn={} peer={} method={}",
            connection.id, connection.peer, outgoing.method
        );
        let under_way = self.outbox.under_way.entry(connection.slot);
        under_way.or_default().push(id);
        if let Some(posted) = posted.take() {
            self.outbox.askers.insert(id, posted.into_asker());
        }
        Ok(match self.send(connection, &out) {
            Ok(()) => Fate::Keep,
            Err(fate) => fate,
        })
    }

    /// Whether this response answers a request that went out over the same connection; if so, its asker is told.
    pub(super) fn take_response(&mut self, connection: &Connection, message: &Message<'_>) -> bool {
        if !self.outbox.waits_for(connection.slot) {
            return false;
        }
        let Some(response) = Response::read(message) else {
            return false;
        };
        let Some(key) = ClientKey::of(&response, Scope(connection.id)) else {
            return false;
        };
        let (now, mut outputs) = (self.now, std::mem::take(&mut self.outbox.outputs));
        let status = response.status;
        let known = self
            .outbox
            .layer
            .on_response(&key, status, now, &mut outputs);
        if known {
            debug!(
                "sip.response conn={} peer={} status={status}",
                connection.id, connection.peer
            );
        }
        self.settle(outputs, Some(message));
        known
    }

    /// A connection is closed: nobody finds it any more, and no answer comes over it.
    pub(super) fn close_flow(&mut self, connection: &Connection) {
        self.outbox.slots.remove(&connection.id);
        self.end_requests(connection.slot);
        let slots = &mut self.outbox.slots;
        if slots.capacity() > 1024 && slots.len() < slots.capacity() / 8 {
            let room = slots.len() * 2;
            slots.shrink_to(room);
        }
    }

    fn end_requests(&mut self, slot: usize) {
        let Some(ids) = self.outbox.under_way.get(&slot).cloned() else {
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
        let slots: Vec<usize> = self.outbox.under_way.keys().copied().collect();
        for slot in slots {
            self.end_requests(slot);
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
    fn settle(&mut self, mut outputs: Vec<ClientOutput<usize>>, response: Option<&Message<'_>>) {
        for ClientOutput { id, path, effect } in outputs.drain(..) {
            let outcome = match effect {
                // Only over unreliable transports, and no connection is one; only for an INVITE, and we send none.
                ClientEffect::SendAgain(_) | ClientEffect::Acknowledge => None,
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
                ClientEffect::Ended => {
                    if let Some(ids) = self.outbox.under_way.get_mut(&path) {
                        ids.retain(|other| *other != id);
                        if ids.is_empty() {
                            self.outbox.under_way.remove(&path);
                        }
                    }
                    None
                }
            };
            if let Some(outcome) = outcome
                && let Some(asker) = self.outbox.askers.remove(&id)
            {
                self.tell(asker, outcome);
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
