//! A request for a user of ours none of whose devices could be reached: it is answered as if none were registered, and a
//! message is kept.

use std::sync::Arc;
use std::time::Instant;

use super::call::Call;
use super::table::{Effect, Relay, RelayId};
use crate::proxy::fork_effect::FinalAnswer;
use crate::proxy::routes::Routes;
use crate::proxy::silo::SiloVerdict;
use crate::sip::{FromRule, Request, StatusCode};

impl Relay {
    /// Answers in place of `answer`, at once or when the message is kept; false when that is the right one.
    pub(super) fn answer_away(
        &mut self,
        relay: RelayId,
        call: &mut Call,
        answer: &FinalAnswer,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        let is_cancelled = answer.status() == Some(StatusCode::REQUEST_TERMINATED);
        if is_cancelled || !call.fork.reached_nobody() {
            return false;
        }
        let Some(verdict) = verdict(call) else {
            return false;
        };
        let status = match verdict {
            SiloVerdict::Pass => StatusCode::TEMPORARILY_UNAVAILABLE,
            SiloVerdict::Answer(status) => status,
            SiloVerdict::Keep(message) => {
                call.is_being_kept = true;
                out.push(Effect::Keep {
                    relay,
                    message: Box::new(message),
                    policy: Arc::clone(&call.policy),
                });
                return true;
            }
        };
        self.answer_own(call, status, status.phrase(), b"", now, out);
        true
    }

    /// The message of a request is kept now, or is not.
    pub fn on_kept(
        &mut self,
        relay: RelayId,
        is_stored: bool,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Some(mut call) = self.calls.remove(&relay) else {
            return;
        };
        if std::mem::take(&mut call.is_being_kept) {
            let options = call.policy.routing.silo.options();
            let status = match is_stored {
                true => options.success,
                false => options.failure,
            };
            self.answer_own(&call, status, status.phrase(), b"", now, out);
        }
        self.keep(relay, call);
    }
}

/// What the silo makes of a request; nothing of one that was not for devices of a user of ours alone.
fn verdict(call: &Call) -> Option<SiloVerdict> {
    let arrived = call.for_devices?;
    let policy = &call.policy;
    let request = Request::read(call.request.as_ref()?, FromRule::First).ok()?;
    let routes = Routes::of(&request, |uri| policy.is_mine(uri)).ok()?;
    let target = routes.uri.sip()?;
    let silo = &policy.routing.silo;
    Some(silo.judge(&request, target, call.upstream, arrived))
}
