//! The non-INVITE server transaction: RFC 3261 §17.2.2 (Figure 8) with the actions of RFC 4320 §4.

use std::sync::Arc;
use std::time::Instant;

use super::effect::Effect;
use super::timer::Timers;
use crate::sip::StatusCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The core has the request and has said nothing.
    Trying,
    /// The core has sent a 100.
    Proceeding,
    /// Finally answered; the answer is repeated on request.
    Completed,
    Terminated,
}

/// One request, not INVITE and not ACK, that was passed to the core.
#[derive(Debug)]
pub struct Server {
    state: State,
    reliable: bool,
    /// What a retransmitted request is answered with.
    response: Option<Arc<[u8]>>,
    /// Not before that may a 100 go out over an unreliable transport.
    trying_at: Instant,
    /// Whether the core is still to be told that a 100 is due.
    trying_due: bool,
    /// Completed: Timer J. Before: the client's Timer F, after which no answer is of use (RFC 4320 §4.2).
    until: Instant,
}

impl Server {
    /// For a request that is passed to the core now. `reliable` says whether it came over TCP or TLS.
    pub fn new(reliable: bool, timers: &Timers, now: Instant) -> Self {
        Self {
            state: State::Trying,
            reliable,
            response: None,
            trying_at: now + timers.other_trying(),
            trying_due: true,
            until: now + timers.lifetime(),
        }
    }

    /// The same request again.
    pub fn on_retransmission(&mut self, out: &mut Vec<Effect>) {
        out.extend(self.response.clone().map(Effect::Send));
    }

    /// A response of the core, written out. Dropped are those that RFC 4320 §4 forbids: provisional ones other than
    /// 100, a 100 too early over an unreliable transport, and 408, which ends the transaction without an answer.
    pub fn on_response(
        &mut self,
        status: StatusCode,
        bytes: Arc<[u8]>,
        timers: &Timers,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        if !matches!(self.state, State::Trying | State::Proceeding) {
            return;
        }
        if status == StatusCode::REQUEST_TIMEOUT {
            return self.end(out);
        }
        if !status.is_final() {
            if status == StatusCode::TRYING && (self.reliable || now >= self.trying_at) {
                self.state = State::Proceeding;
                self.response = Some(bytes.clone());
                self.trying_due = false;
                out.push(Effect::Send(bytes));
            }
            return;
        }
        out.push(Effect::Send(bytes.clone()));
        let wait = timers.j(self.reliable);
        if wait.is_zero() {
            return self.end(out);
        }
        self.state = State::Completed;
        self.response = Some(bytes);
        self.trying_due = false;
        self.until = now + wait;
    }

    /// A response could not be sent: the core is told, and it is over (RFC 3261 §17.2.4).
    pub fn on_transport_error(&mut self, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Proceeding | State::Completed) {
            out.push(Effect::TransportFailed);
            self.end(out);
        }
    }

    /// Does what is due by now, if anything is.
    pub fn on_deadline(&mut self, now: Instant, out: &mut Vec<Effect>) {
        match self.state {
            State::Terminated => {}
            State::Completed if self.until <= now => self.end(out),
            State::Trying | State::Proceeding if self.until <= now => {
                out.push(Effect::Timeout);
                self.end(out);
            }
            _ if self.trying_due && self.trying_at <= now => {
                self.trying_due = false;
                out.push(Effect::TryingDue);
            }
            _ => {}
        }
    }

    /// When it next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Terminated => None,
            _ if self.trying_due => Some(self.trying_at.min(self.until)),
            _ => Some(self.until),
        }
    }

    /// Whether the core has not finally answered yet.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.state == State::Terminated
    }

    fn end(&mut self, out: &mut Vec<Effect>) {
        self.state = State::Terminated;
        self.response = None;
        self.trying_due = false;
        out.push(Effect::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{self, ServerOut, response, start, status};
    use super::*;

    /// What reaches the machine.
    #[derive(Debug, Clone, Copy)]
    enum On {
        Request,
        Response(u16),
        Unsent,
        Deadline,
    }
    use On::{Deadline, Request, Response, Unsent};
    use ServerOut::{Ended, Failed, Send, Timeout, TryingDue};

    /// Lets a machine live through the steps, each at its milliseconds.
    fn live(situation: &str, reliable: bool, steps: &[test_support::Step<On, ServerOut>]) {
        let (timers, start) = (Timers::default(), start());
        let mut machine = Server::new(reliable, &timers, start);
        test_support::live(situation, start, steps, |on, now| {
            let mut out = Vec::new();
            match on {
                Request => machine.on_retransmission(&mut out),
                Response(code) => {
                    machine.on_response(status(code), response(code), &timers, now, &mut out);
                }
                Unsent => machine.on_transport_error(&mut out),
                Deadline => machine.on_deadline(now, &mut out),
            }
            if machine.has_ended() {
                assert_eq!(machine.next_deadline(), None, "{situation}");
            }
            ServerOut::of(&out)
        });
    }

    #[test]
    fn retransmissions_while_trying_are_discarded() {
        live(
            "Trying",
            false,
            &[
                (0, Request, &[]),
                (500, Request, &[]),
                (600, Response(200), &[Send(200)]),
                (1_500, Request, &[Send(200)]),
            ],
        );
    }

    #[test]
    fn retransmitted_request_repeats_the_100() {
        live(
            "Proceeding",
            true,
            &[
                (0, Response(100), &[Send(100)]),
                (10, Request, &[Send(100)]),
                (20, Response(100), &[Send(100)]),
                (30, Response(404), &[Send(404), Ended]),
            ],
        );
    }

    #[test]
    fn a_final_response_is_repeated_until_timer_j() {
        live(
            "over UDP",
            false,
            &[
                (3_500, Response(100), &[Send(100)]),
                (4_000, Response(200), &[Send(200)]),
                (4_010, Request, &[Send(200)]),
                (4_020, Response(500), &[]),
                (4_030, Response(100), &[]),
                (4_040, Request, &[Send(200)]),
                (35_999, Deadline, &[]),
                (36_000, Deadline, &[Ended]),
                (36_001, Request, &[]),
                (36_002, Response(200), &[]),
                (36_003, Unsent, &[]),
                (36_004, Deadline, &[]),
            ],
        );
    }

    #[test]
    fn over_a_reliable_transport_the_final_response_ends_it() {
        live(
            "over TLS",
            true,
            &[(0, Response(200), &[Send(200), Ended]), (10, Request, &[])],
        );
    }

    #[test]
    fn a_response_that_cannot_be_sent_ends_it() {
        live(
            "nothing sent yet",
            false,
            &[(0, Unsent, &[]), (10, Response(200), &[Send(200)])],
        );
        live(
            "Proceeding",
            true,
            &[
                (0, Response(100), &[Send(100)]),
                (10, Unsent, &[Failed, Ended]),
            ],
        );
        live(
            "Completed",
            false,
            &[
                (0, Response(200), &[Send(200)]),
                (10, Unsent, &[Failed, Ended]),
                (20, Request, &[]),
            ],
        );
    }

    #[test]
    fn a_100_over_udp_waits_until_timer_e_is_t2() {
        live(
            "RFC 4320 §4.1 over UDP",
            false,
            &[
                (3_499, Response(100), &[]),
                (3_499, Deadline, &[]),
                (3_500, Deadline, &[TryingDue]),
                (3_501, Deadline, &[]),
                (3_502, Response(100), &[Send(100)]),
                (3_600, Request, &[Send(100)]),
            ],
        );
        live(
            "RFC 4320 §4.1 over TLS",
            true,
            &[(0, Response(100), &[Send(100)]), (3_500, Deadline, &[])],
        );
    }

    #[test]
    fn other_provisional_responses_are_never_sent() {
        for reliable in [false, true] {
            live(
                "RFC 4320 §4.1",
                reliable,
                &[
                    (4_000, Response(180), &[]),
                    (4_010, Response(183), &[]),
                    (4_020, Request, &[]),
                ],
            );
        }
    }

    #[test]
    fn a_408_is_never_sent() {
        for reliable in [false, true] {
            live(
                "RFC 4320 §4.2",
                reliable,
                &[
                    (9_000, Response(408), &[Ended]),
                    (9_010, Response(200), &[]),
                    (9_020, Request, &[]),
                ],
            );
        }
    }

    #[test]
    fn an_answer_after_the_client_gave_up_is_not_sent() {
        for reliable in [false, true] {
            live(
                "too late",
                reliable,
                &[
                    (3_500, Deadline, &[TryingDue]),
                    (3_600, Response(100), &[Send(100)]),
                    (31_999, Deadline, &[]),
                    (32_000, Deadline, &[Timeout, Ended]),
                    (32_001, Response(200), &[]),
                ],
            );
        }
    }
}
