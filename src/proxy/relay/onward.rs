//! From one place to the next of those that one target leads to (RFC 3263 §4.3).

use std::time::{Duration, Instant};

use super::call::{Branch, Call, Cancel, State};
use super::departure::Attempt;
use super::table::{Effect, Relay};
use crate::sip::{Message, Method, StatusCode};
use crate::transaction::ClientEffect;

impl Relay {
    /// Looks whether the place that a request was sent to has failed it, and sends it to the next one then, as a request
    /// with a branch of its own. False when there is no other place, or nobody who would wait for it: then the outcome is
    /// that of the target.
    pub(super) fn turn_away(
        &mut self,
        attempt: Attempt,
        call: &mut Call,
        effect: &ClientEffect,
        response: Option<&Message<'_>>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        let heard = call.fork.has_heard(attempt.branch);
        let Some(branch) = call.attempt(attempt) else {
            return false;
        };
        let State::Sent {
            place: Some(place),
            rest,
            ..
        } = &mut branch.state
        else {
            return false;
        };
        let is_invite = branch.draft.method() == Method::Invite.as_str();
        let retry_after = match effect {
            ClientEffect::Response(StatusCode::SERVICE_UNAVAILABLE) => {
                response.and_then(retry_after)
            }
            ClientEffect::TransportFailed if !heard => None,
            // Whoever is there answers an INVITE with 100. Another request stays unanswered where a phone behind a proxy
            // does not answer it (RFC 4320 §4.2), which says nothing about that proxy; and our own caller has given up by
            // now (RFC 4321 §1.4).
            ClientEffect::Timeout if !heard && is_invite => None,
            _ => return false,
        };
        out.push(Effect::Avoid {
            place: *place,
            retry_after,
        });
        let Some(rest) = rest.take() else {
            return false;
        };
        let mut next = Branch {
            number: branch.number,
            turn: branch.turn.saturating_add(1),
            draft: branch.draft.clone(),
            name: branch.name.clone(),
            state: State::Ended,
            cancel: Cancel::No,
            registered: branch.registered.clone(),
        };
        // A caller of an INVITE waits as long as the core does; any other has begun to wait when the request came.
        let until = match (is_invite, rest.until) {
            (false, Some(until)) => until,
            _ => self.end_of_way(now),
        };
        if until <= now || !self.has_room_for(call) || !call.fork.moves_on(attempt.branch) {
            return false;
        }
        let attempt = Attempt {
            turn: next.turn,
            ..attempt
        };
        next.name = self.branch(call.loop_key);
        next.state = self.leave(attempt, call, until);
        let mut departure = rest;
        departure.attempt = Some(attempt);
        departure.until = Some(until);
        departure.ticket = next.state.ticket();
        departure.branch = next.name.clone();
        call.attempts.push(next);
        out.push(Effect::Depart(departure));
        true
    }
}

/// How long a server asks to be left alone (RFC 3261 §20.33).
fn retry_after(response: &Message<'_>) -> Option<Duration> {
    let mut fields = response.fields();
    let (_, _, value) = fields.find(|(_, name, _)| name.eq_ignore_ascii_case(b"Retry-After"))?;
    let digits = value.iter().take_while(|octet| octet.is_ascii_digit());
    let seconds = digits.fold(None, |seconds: Option<u64>, digit| {
        let digit = u64::from(digit - b'0');
        Some(
            seconds
                .unwrap_or(0)
                .saturating_mul(10)
                .saturating_add(digit),
        )
    });
    seconds.map(Duration::from_secs)
}
