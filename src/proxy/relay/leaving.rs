//! Attempts whose way is looked for, until they are sent or cannot be.

use std::time::Instant;

use super::call::State;
use super::carry::client_scope;
use super::departure::Attempt;
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

    /// An attempt sets out. What becomes of it may never be told, where a mailbox was full: it is given up when a client
    /// transaction would be. Answers with when that is.
    pub(super) fn leave(&mut self, attempt: Attempt, now: Instant) -> Instant {
        let until = now + self.options.timers.lifetime();
        self.leaving.insert((until, attempt));
        until
    }

    /// A departure has been sent. One that has been given up is not followed: who waited for it has been answered.
    pub fn on_sent(&mut self, sent: Sent, now: Instant, out: &mut Vec<Effect>) {
        let Attempt { relay, branch } = sent.attempt;
        let attempt = self.calls.get_mut(&relay);
        let Some(attempt) = attempt.and_then(|call| call.branch(branch)) else {
            return;
        };
        let State::Leaving { until } = attempt.state else {
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
                };
                self.leaving.remove(&(until, sent.attempt));
                self.uses.insert((sent.flow, relay, Some(branch)));
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
        let Attempt { relay, branch } = attempt;
        let Some(mut call) = self.calls.remove(&relay) else {
            return;
        };
        let mut effects = Vec::new();
        if let Some(left) = call.branch(branch)
            && let State::Leaving { until } = left.state
        {
            self.leaving.remove(&(until, attempt));
            left.state = State::Ended;
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
