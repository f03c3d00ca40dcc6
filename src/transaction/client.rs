//! The non-INVITE client transaction: RFC 3261 §17.1.2 (Figure 6).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effect::ClientEffect;
use super::timer::Timers;
use crate::sip::StatusCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been heard of the server.
    Trying,
    /// The server has said that it has the request.
    Proceeding,
    /// Finally answered; repeated answers are absorbed.
    Completed,
    Terminated,
}

/// One request of ours, not INVITE and not ACK, that has been sent.
#[derive(Debug)]
pub struct Client {
    state: State,
    /// The request, to be sent again; none over a reliable transport.
    request: Option<Arc<[u8]>>,
    /// Timer E: when it fires, and its interval.
    resend: Option<(Instant, Duration)>,
    /// Completed: Timer K. Before: Timer F.
    until: Instant,
}

impl Client {
    /// For a request that is sent now. `again` has its octets if the transport is unreliable and it may have to be sent
    /// again; `None` says that it went out over TCP or TLS.
    pub fn new(again: Option<Arc<[u8]>>, timers: &Timers, now: Instant) -> Self {
        let first = timers.e(again.is_none());
        Self {
            state: State::Trying,
            resend: first.map(|interval| (now + interval, interval)),
            until: now + timers.f(),
            request: again,
        }
    }

    /// A response to it. The core sees the first final one and the 100s and others before it; what it may do with those
    /// RFC 4320 §4.1 says.
    pub fn on_response(
        &mut self,
        status: StatusCode,
        timers: &Timers,
        now: Instant,
        out: &mut Vec<ClientEffect>,
    ) {
        if !matches!(self.state, State::Trying | State::Proceeding) {
            return;
        }
        out.push(ClientEffect::Response(status));
        if !status.is_final() {
            // Timer E goes on as it was set; from its next firing on its interval is T2.
            self.state = State::Proceeding;
            return;
        }
        let wait = timers.k(self.request.is_none());
        if wait.is_zero() {
            return self.end(out);
        }
        self.state = State::Completed;
        self.request = None;
        self.resend = None;
        self.until = now + wait;
    }

    /// The request could not be sent, or nothing can come back any more: the core is told, and it is over (RFC 3261
    /// §17.1.4). After the final response nobody has to be told.
    pub fn on_transport_error(&mut self, out: &mut Vec<ClientEffect>) {
        match self.state {
            State::Trying | State::Proceeding => {
                out.push(ClientEffect::TransportFailed);
                self.end(out);
            }
            State::Completed => self.end(out),
            State::Terminated => {}
        }
    }

    /// Does what is due by now, if anything is.
    pub fn on_deadline(&mut self, timers: &Timers, now: Instant, out: &mut Vec<ClientEffect>) {
        match self.state {
            State::Terminated => return,
            State::Completed if self.until <= now => return self.end(out),
            State::Trying | State::Proceeding if self.until <= now => {
                out.push(ClientEffect::Timeout);
                return self.end(out);
            }
            _ => {}
        }
        if let Some((at, interval)) = self.resend
            && at <= now
        {
            out.extend(self.request.clone().map(ClientEffect::SendAgain));
            // From now and not from when it was due: after a long sleep one retransmission is enough.
            let interval = timers.e_after(interval, self.state == State::Proceeding);
            self.resend = Some((now + interval, interval));
        }
    }

    /// When it next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        match (self.state, self.resend) {
            (State::Terminated, _) => None,
            (_, Some((at, _))) => Some(at.min(self.until)),
            (_, None) => Some(self.until),
        }
    }

    /// Whether a provisional response has come and no final one.
    pub fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.state == State::Terminated
    }

    fn end(&mut self, out: &mut Vec<ClientEffect>) {
        self.state = State::Terminated;
        self.request = None;
        self.resend = None;
        out.push(ClientEffect::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{self, ClientOut, again, start, status};
    use super::*;

    /// What reaches the machine.
    #[derive(Debug, Clone, Copy)]
    enum On {
        Response(u16),
        Unsent,
        Deadline,
    }
    use ClientOut::{Again, Ended, Failed, Passed, Timeout};
    use On::{Deadline, Response, Unsent};

    /// Lets a machine live through the steps, each at its milliseconds.
    fn live(situation: &str, reliable: bool, steps: &[test_support::Step<On, ClientOut>]) {
        let (timers, start) = (Timers::default(), start());
        let mut machine = Client::new(again(reliable), &timers, start);
        test_support::live(situation, start, steps, |on, now| {
            let mut out = Vec::new();
            match on {
                Response(code) => machine.on_response(status(code), &timers, now, &mut out),
                Unsent => machine.on_transport_error(&mut out),
                Deadline => machine.on_deadline(&timers, now, &mut out),
            }
            assert_eq!(
                machine.next_deadline().is_none(),
                machine.has_ended(),
                "{situation}"
            );
            ClientOut::of(&out)
        });
    }

    #[test]
    fn over_udp_the_request_is_repeated_by_timer_e_until_timer_f() {
        live(
            "nobody answers",
            false,
            &[
                (499, Deadline, &[]),
                (500, Deadline, &[Again]),
                (1_499, Deadline, &[]),
                (1_500, Deadline, &[Again]),
                (3_500, Deadline, &[Again]),
                (7_499, Deadline, &[]),
                (7_500, Deadline, &[Again]),
                (11_500, Deadline, &[Again]),
                (15_500, Deadline, &[Again]),
                (19_500, Deadline, &[Again]),
                (23_500, Deadline, &[Again]),
                (27_500, Deadline, &[Again]),
                (31_500, Deadline, &[Again]),
                (31_999, Deadline, &[]),
                (32_000, Deadline, &[Timeout, Ended]),
                (32_001, Response(200), &[]),
                (35_500, Deadline, &[]),
            ],
        );
    }

    #[test]
    fn over_tls_nothing_is_repeated_and_timer_f_runs_all_the_same() {
        live(
            "nobody answers",
            true,
            &[
                (500, Deadline, &[]),
                (31_999, Deadline, &[]),
                (32_000, Deadline, &[Timeout, Ended]),
            ],
        );
    }

    #[test]
    fn a_provisional_response_slows_timer_e_down_to_t2_and_leaves_timer_f() {
        live(
            "over UDP",
            false,
            &[
                (100, Response(100), &[Passed(100)]),
                (500, Deadline, &[Again]),
                (1_500, Deadline, &[]),
                (4_499, Deadline, &[]),
                (4_500, Deadline, &[Again]),
                (8_500, Deadline, &[Again]),
                (32_000, Deadline, &[Timeout, Ended]),
            ],
        );
        live(
            "over TLS",
            true,
            &[
                (31_000, Response(100), &[Passed(100)]),
                (31_500, Response(183), &[Passed(183)]),
                (32_000, Deadline, &[Timeout, Ended]),
            ],
        );
    }

    #[test]
    fn over_udp_repeated_answers_are_absorbed_until_timer_k() {
        live(
            "finally answered",
            false,
            &[
                (600, Response(404), &[Passed(404)]),
                (700, Response(404), &[]),
                (800, Response(100), &[]),
                (1_500, Deadline, &[]),
                (5_599, Deadline, &[]),
                (5_600, Deadline, &[Ended]),
                (5_601, Response(404), &[]),
            ],
        );
    }

    #[test]
    fn over_tls_the_final_response_ends_it() {
        let answers: [(u16, &'static [ClientOut]); 4] = [
            (200, &[Passed(200), Ended]),
            (302, &[Passed(302), Ended]),
            (408, &[Passed(408), Ended]),
            (603, &[Passed(603), Ended]),
        ];
        for (status, passed) in answers {
            live(
                "whatever it says",
                true,
                &[
                    (10, Response(100), &[Passed(100)]),
                    (20, Response(status), passed),
                    (30, Response(status), &[]),
                    (32_000, Deadline, &[]),
                    (32_001, Unsent, &[]),
                ],
            );
        }
    }

    #[test]
    fn a_broken_transport_ends_it_and_is_told_while_no_final_response_has_come() {
        live("Trying", true, &[(5, Unsent, &[Failed, Ended])]);
        live(
            "Proceeding",
            false,
            &[
                (5, Response(100), &[Passed(100)]),
                (6, Unsent, &[Failed, Ended]),
            ],
        );
        live(
            "Completed",
            false,
            &[
                (5, Response(200), &[Passed(200)]),
                (6, Unsent, &[Ended]),
                (7, Unsent, &[]),
            ],
        );
    }

    #[test]
    fn a_long_sleep_costs_one_repetition() {
        live(
            "over UDP",
            false,
            &[
                (9_000, Deadline, &[Again]),
                (9_001, Deadline, &[]),
                (10_000, Deadline, &[Again]),
            ],
        );
    }
}
