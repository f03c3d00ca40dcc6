//! Attempts whose way is looked for, until they are sent or cannot be.

use std::time::Instant;

use super::call::{Call, State};
use super::carry::client_scope;
use super::departure::{Attempt, Ticket};
use super::table::{Effect, Relay, Role, Sent};
use crate::proxy::fork_effect::Failure;
use crate::transaction::ClientKey;

impl Relay {
    /// Whether one more request can be sent and followed. Those on their way count: once they are out they need a
    /// transaction, or their answers would be nobody's and a phone would ring that cannot be cancelled.
    pub(super) fn has_room(&self) -> bool {
        let under_way = self.clients.len() + self.leaving.len();
        under_way < self.options.max_transactions.get()
    }

    /// Whether that is so for a request that came over this flow, which has its share of it.
    pub(super) fn has_room_for(&self, call: &Call) -> bool {
        let under_way = (self.clients.len() + self.leaving.len()).max(self.sent_on.total());
        let free = self
            .options
            .max_transactions
            .get()
            .saturating_sub(under_way);
        self.sent_on.has_room(call.upstream, call.places, free)
    }

    /// When an attempt that sets out now is given up: when a client transaction would be.
    pub(super) fn end_of_way(&self, now: Instant) -> Instant {
        now + self.options.timers.lifetime()
    }

    /// An attempt sets out. What becomes of it may never be told, where a mailbox was full: it is given up then.
    pub(super) fn leave(&mut self, attempt: Attempt, call: &Call, until: Instant) -> State {
        self.sent_on.take(call.upstream, call.places);
        self.leaving.insert((until, attempt));
        let ticket = Ticket::default();
        State::Leaving { until, ticket }
    }

    /// An attempt is called off, if that is not too late: whoever carries it out may be sending it.
    pub(super) fn call_off(&mut self, attempt: Attempt, call: &mut Call) -> bool {
        let Some(branch) = call.attempt(attempt) else {
            return false;
        };
        let State::Leaving { until, ticket } = &branch.state else {
            return false;
        };
        if !ticket.take() {
            return false;
        }
        self.leaving.remove(&(*until, attempt));
        branch.state = State::Ended;
        self.sent_on.give_back(call.upstream, call.places);
        true
    }

    /// A departure has been sent. One that has been given up is not followed: who waited for it has been answered.
    pub fn on_sent(&mut self, sent: Sent, now: Instant, out: &mut Vec<Effect>) {
        let relay = sent.attempt.relay;
        let attempt = self.calls.get_mut(&relay);
        let Some(attempt) = attempt.and_then(|call| call.attempt(sent.attempt)) else {
            return;
        };
        let State::Leaving { until, .. } = attempt.state else {
            return;
        };
        let key = ClientKey::new(
            client_scope(sent.flow),
            attempt.name.as_bytes(),
            &sent.via.sent_by,
            attempt.draft.method().as_bytes(),
        );
        let path = (sent.attempt, Role::Request);
        match self.clients.begin(&key, path, sent.again, now) {
            Ok(client) => {
                attempt.state = State::Sent {
                    flow: sent.flow,
                    via: sent.via,
                    client,
                    place: sent.place,
                    rest: sent.rest,
                };
                self.leaving.remove(&(until, sent.attempt));
                self.uses.insert((sent.flow, relay, Some(sent.attempt)));
            }
            Err(_) => self.on_unsent(sent.attempt, Failure::overloaded(), now, out),
        }
    }

    /// A departure could not be sent, to none of its hops.
    pub fn on_unsent(
        &mut self,
        attempt: Attempt,
        failure: Failure,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Attempt { relay, branch, .. } = attempt;
        let Some(mut call) = self.calls.remove(&relay) else {
            return;
        };
        let mut effects = Vec::new();
        if let Some(left) = call.attempt(attempt)
            && let State::Leaving { until, .. } = left.state
        {
            self.leaving.remove(&(until, attempt));
            left.state = State::Ended;
            self.sent_on.give_back(call.upstream, call.places);
            call.fork.on_failed(branch, failure, now, &mut effects);
        }
        self.settle_fork(relay, &mut call, effects, None, None, now, out);
        self.keep(relay, call);
    }

    /// Gives up what has been on its way for too long.
    pub(super) fn give_up(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some(&(until, attempt)) = self.leaving.first()
            && until <= now
        {
            // Should its call not be there, which cannot be, it goes all the same.
            self.on_unsent(attempt, Failure::timeout(), now, out);
            self.leaving.remove(&(until, attempt));
        }
    }
}
