//! The INVITE client transaction: RFC 3261 §17.1.1 as corrected by RFC 6026 §8.4 (its Figure 5).
//!
//! With the transaction goes the knowledge of its request: a 2xx that comes after Timer B, after the wait for a
//! cancelled INVITE or after Timer M finds nobody and is dropped (RFC 6026 §7.2). Who sent it gets no ACK then, and
//! ends its call by itself (RFC 3261 §13.3.1.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effect::ClientEffect;
use super::timer::Timers;
use crate::sip::StatusCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been heard of the server.
    Calling,
    /// The server has said that it has the INVITE, and may take as long as it likes.
    Proceeding,
    /// Refused; repeated refusals are acknowledged.
    Completed,
    /// Answered 2xx; more of them go to the core (RFC 6026 §7.2).
    Accepted,
    Terminated,
}

/// One INVITE of ours that has been sent.
#[derive(Debug)]
pub struct InviteClient {
    state: State,
    reliable: bool,
    /// The INVITE, to be sent again while Calling; none over a reliable transport.
    request: Option<Arc<[u8]>>,
    /// Timer A: when it fires, and its interval.
    resend: Option<(Instant, Duration)>,
    /// Calling: Timer B. Proceeding: when a cancelled INVITE is given up. Completed: Timer D. Accepted: Timer M.
    until: Option<Instant>,
}

impl InviteClient {
    /// For an INVITE that is sent now. `again` has its octets if the transport is unreliable and it may have to be sent
    /// again; `None` says that it went out over TCP or TLS.
    pub fn new(again: Option<Arc<[u8]>>, timers: &Timers, now: Instant) -> Self {
        let reliable = again.is_none();
        Self {
            state: State::Calling,
            reliable,
            request: again,
            resend: timers.a(reliable).map(|first| (now + first, first)),
            until: Some(now + timers.b()),
        }
    }

    /// A response to it. The core sees the provisional ones, then either the first refusal or every 2xx.
    pub fn on_response(
        &mut self,
        status: StatusCode,
        timers: &Timers,
        now: Instant,
        out: &mut Vec<ClientEffect>,
    ) {
        match (self.state, status.as_u16()) {
            (State::Calling, ..200) => {
                self.leave_calling(State::Proceeding, None);
                out.push(ClientEffect::Response(status));
            }
            (State::Proceeding, ..200) | (State::Accepted, 200..300) => {
                out.push(ClientEffect::Response(status));
            }
            (State::Calling | State::Proceeding, 200..300) => {
                self.leave_calling(State::Accepted, Some(now + timers.m()));
                out.push(ClientEffect::Response(status));
            }
            (State::Calling | State::Proceeding, _) => {
                out.push(ClientEffect::Acknowledge);
                out.push(ClientEffect::Response(status));
                let wait = timers.d(self.reliable);
                if wait.is_zero() {
                    return self.end(out);
                }
                self.leave_calling(State::Completed, Some(now + wait));
            }
            // Any refusal counts as the first one again (RFC 3261 §17.1.1.2).
            (State::Completed, 300..) => out.push(ClientEffect::Acknowledge),
            (State::Completed | State::Accepted | State::Terminated, _) => {}
        }
    }

    /// A CANCEL of it has been sent: should no final response come within 64*T1, it is over all the same (RFC 3261
    /// §9.1). True when that wait begins now. It begins once, and only while Proceeding: before the first provisional
    /// response no CANCEL may be sent, and Timer B runs; after the final one it has no effect.
    pub fn on_cancelled(&mut self, timers: &Timers, now: Instant) -> bool {
        let begins = self.state == State::Proceeding && self.until.is_none();
        if begins {
            self.until = Some(now + timers.cancelled());
        }
        begins
    }

    /// The INVITE or an ACK could not be sent, or nothing can come back any more: the core is told, and it is over
    /// (RFC 3261 §17.1.4). It need not last longer while Accepted either (RFC 6026 §7.2).
    ///
    /// Deviation: after the final response the core is not told. It has its outcome, and could do nothing about the ACK
    /// that did not go out.
    pub fn on_transport_error(&mut self, out: &mut Vec<ClientEffect>) {
        match self.state {
            State::Calling | State::Proceeding => {
                out.push(ClientEffect::TransportFailed);
                self.end(out);
            }
            State::Completed | State::Accepted => self.end(out),
            State::Terminated => {}
        }
    }

    /// Does what is due by now, if anything is.
    pub fn on_deadline(&mut self, timers: &Timers, now: Instant, out: &mut Vec<ClientEffect>) {
        if self.until.is_some_and(|until| until <= now) {
            if matches!(self.state, State::Calling | State::Proceeding) {
                out.push(ClientEffect::Timeout);
            }
            return self.end(out);
        }
        if let Some((at, interval)) = self.resend
            && at <= now
        {
            out.extend(self.request.clone().map(ClientEffect::SendAgain));
            // From now and not from when it was due: after a long sleep one retransmission is enough.
            let interval = timers.a_after(interval);
            self.resend = Some((now + interval, interval));
        }
    }

    /// When it next has something to do. While Proceeding nothing bounds it, unless a CANCEL has been sent: that is for
    /// the Timer C of a proxy (RFC 3261 §16.8).
    pub fn next_deadline(&self) -> Option<Instant> {
        let resend = self.resend.map(|(at, _)| at);
        match (self.until, resend) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether a provisional response has come and no final one: it may be cancelled (RFC 3261 §9.1).
    pub fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.state == State::Terminated
    }

    /// From the first response on the INVITE is not sent again, and need not be kept.
    fn leave_calling(&mut self, state: State, until: Option<Instant>) {
        self.state = state;
        self.request = None;
        self.resend = None;
        self.until = until;
    }

    fn end(&mut self, out: &mut Vec<ClientEffect>) {
        self.leave_calling(State::Terminated, None);
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
        /// Whether the wait that follows a CANCEL begins.
        Cancelled(bool),
        Unsent,
        Deadline,
    }
    use ClientOut::{Acknowledge, Again, Ended, Failed, Passed, Timeout};
    use On::{Cancelled, Deadline, Response, Unsent};

    type Step = test_support::Step<On, ClientOut>;

    fn take(machine: &mut InviteClient, on: On, now: Instant) -> Vec<ClientOut> {
        let (timers, mut out) = (Timers::default(), Vec::new());
        match on {
            Response(code) => machine.on_response(status(code), &timers, now, &mut out),
            Cancelled(begins) => assert_eq!(machine.on_cancelled(&timers, now), begins),
            Unsent => machine.on_transport_error(&mut out),
            Deadline => machine.on_deadline(&timers, now, &mut out),
        }
        ClientOut::of(&out)
    }

    /// Lets a machine live through the steps, each at its milliseconds.
    fn live(situation: &str, reliable: bool, steps: &[Step]) {
        let start = start();
        let mut machine = InviteClient::new(again(reliable), &Timers::default(), start);
        test_support::live(situation, start, steps, |on, now| {
            let out = take(&mut machine, on, now);
            let waits = machine.is_proceeding() || machine.has_ended();
            assert!(machine.next_deadline().is_some() || waits, "{situation}");
            if machine.has_ended() {
                assert_eq!(machine.next_deadline(), None, "{situation}");
            }
            out
        });
    }

    #[test]
    fn over_udp_the_invite_is_repeated_by_timer_a_until_timer_b() {
        live(
            "nobody answers",
            false,
            &[
                (499, Deadline, &[]),
                (500, Deadline, &[Again]),
                (1_499, Deadline, &[]),
                (1_500, Deadline, &[Again]),
                (3_500, Deadline, &[Again]),
                (7_500, Deadline, &[Again]),
                (11_500, Deadline, &[]),
                (15_499, Deadline, &[]),
                (15_500, Deadline, &[Again]),
                (31_499, Deadline, &[]),
                (31_500, Deadline, &[Again]),
                (31_999, Deadline, &[]),
                (32_000, Deadline, &[Timeout, Ended]),
                (32_001, Response(200), &[]),
                (63_500, Deadline, &[]),
            ],
        );
    }

    #[test]
    fn over_tls_nothing_is_repeated_and_timer_b_runs_all_the_same() {
        live(
            "nobody answers",
            true,
            &[
                (500, Deadline, &[]),
                (31_999, Deadline, &[]),
                (32_000, Deadline, &[Timeout, Ended]),
                (32_001, Response(486), &[]),
            ],
        );
    }

    #[test]
    fn a_provisional_response_stops_timers_a_and_b() {
        for reliable in [false, true] {
            live(
                "ringing for long",
                reliable,
                &[
                    (400, Response(100), &[Passed(100)]),
                    (500, Deadline, &[]),
                    (900, Response(180), &[Passed(180)]),
                    (32_000, Deadline, &[]),
                    (170_000, Response(180), &[Passed(180)]),
                    (900_000, Deadline, &[]),
                    (900_001, Response(200), &[Passed(200)]),
                ],
            );
        }
    }

    #[test]
    fn every_2xx_reaches_the_core_until_timer_m() {
        for reliable in [false, true] {
            live(
                "accepted",
                reliable,
                &[
                    (10, Response(180), &[Passed(180)]),
                    (20, Response(200), &[Passed(200)]),
                    (520, Response(200), &[Passed(200)]),
                    (530, Response(202), &[Passed(202)]),
                    (540, Response(180), &[]),
                    (550, Response(486), &[]),
                    (560, Cancelled(false), &[]),
                    (32_019, Deadline, &[]),
                    (32_019, Response(200), &[Passed(200)]),
                    (32_020, Deadline, &[Ended]),
                    (32_021, Response(200), &[]),
                ],
            );
        }
    }

    #[test]
    fn over_udp_each_repeated_refusal_is_acknowledged_until_timer_d() {
        live(
            "refused",
            false,
            &[
                (600, Response(486), &[Acknowledge, Passed(486)]),
                (1_100, Response(486), &[Acknowledge]),
                (1_200, Response(503), &[Acknowledge]),
                (1_300, Response(180), &[]),
                (1_400, Response(200), &[]),
                (1_500, Deadline, &[]),
                (1_600, Cancelled(false), &[]),
                (32_599, Deadline, &[]),
                (32_599, Response(486), &[Acknowledge]),
                (32_600, Deadline, &[Ended]),
                (32_601, Response(486), &[]),
            ],
        );
    }

    #[test]
    fn over_tls_a_refusal_is_acknowledged_and_ends_it() {
        live(
            "refused",
            true,
            &[
                (10, Response(100), &[Passed(100)]),
                (20, Response(603), &[Acknowledge, Passed(603), Ended]),
                (30, Response(603), &[]),
                (32_020, Deadline, &[]),
                (32_021, Unsent, &[]),
            ],
        );
    }

    #[test]
    fn a_cancelled_invite_is_given_up_after_64_t1() {
        for reliable in [false, true] {
            live(
                "no 487 comes",
                reliable,
                &[
                    (5, Cancelled(false), &[]),
                    (10, Response(180), &[Passed(180)]),
                    (1_000, Cancelled(true), &[]),
                    (9_000, Cancelled(false), &[]),
                    (9_001, Response(183), &[Passed(183)]),
                    (32_999, Deadline, &[]),
                    (33_000, Deadline, &[Timeout, Ended]),
                    (33_001, Response(487), &[]),
                ],
            );
            live(
                "the callee was quicker",
                reliable,
                &[
                    (10, Response(180), &[Passed(180)]),
                    (1_000, Cancelled(true), &[]),
                    (2_000, Response(200), &[Passed(200)]),
                    (33_000, Deadline, &[]),
                    (33_500, Response(200), &[Passed(200)]),
                    (34_000, Deadline, &[Ended]),
                ],
            );
        }
        live(
            "487",
            false,
            &[
                (10, Response(180), &[Passed(180)]),
                (1_000, Cancelled(true), &[]),
                (2_000, Response(487), &[Acknowledge, Passed(487)]),
                (33_000, Deadline, &[]),
                (34_000, Deadline, &[Ended]),
            ],
        );
    }

    #[test]
    fn a_broken_transport_ends_it_and_is_told_while_no_final_response_has_come() {
        live("Calling", false, &[(5, Unsent, &[Failed, Ended])]);
        live(
            "Proceeding",
            true,
            &[
                (5, Response(100), &[Passed(100)]),
                (6, Unsent, &[Failed, Ended]),
                (7, Unsent, &[]),
            ],
        );
        live(
            "Completed",
            false,
            &[
                (5, Response(404), &[Acknowledge, Passed(404)]),
                (6, Unsent, &[Ended]),
            ],
        );
        live(
            "Accepted",
            true,
            &[
                (5, Response(200), &[Passed(200)]),
                (6, Unsent, &[Ended]),
                (7, Response(200), &[]),
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

    #[test]
    fn the_octets_of_the_invite_are_kept_only_while_calling() {
        for code in [100, 200, 486] {
            let (octets, now) = (again(false), start());
            let mut machine = InviteClient::new(octets.clone(), &Timers::default(), now);
            let holders = || octets.as_ref().map(Arc::strong_count);
            assert_eq!(holders(), Some(2));
            take(&mut machine, Response(code), now);
            assert_eq!(holders(), Some(1), "{code}");
        }
    }

    /// What the arrows of the figure are labelled with, and what else may happen.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Event {
        Provisional,
        Success,
        Refusal,
        TransportError,
        TimerA,
        /// Timer B, D or M, all of 64*T1.
        Lapse,
    }

    /// The response of the row's event.
    const IT: ClientOut = Passed(0);

    #[test]
    fn the_machine_is_that_of_the_figure() {
        use Event::{Lapse, Provisional, Refusal, Success, TimerA, TransportError};
        use State::{Accepted, Calling, Completed, Proceeding, Terminated};
        type Arrow = (State, Event, &'static [ClientOut], State);
        // RFC 6026 §8.4, Figure 5, over UDP.
        let arrows: &[Arrow] = &[
            (Calling, TimerA, &[Again], Calling),
            (Calling, Lapse, &[Timeout, Ended], Terminated),
            (Calling, TransportError, &[Failed, Ended], Terminated),
            (Calling, Provisional, &[IT], Proceeding),
            (Calling, Success, &[IT], Accepted),
            (Calling, Refusal, &[Acknowledge, IT], Completed),
            (Proceeding, Provisional, &[IT], Proceeding),
            (Proceeding, Success, &[IT], Accepted),
            (Proceeding, Refusal, &[Acknowledge, IT], Completed),
            (Completed, Refusal, &[Acknowledge], Completed),
            // "Inform TU" is left out, see `on_transport_error`.
            (Completed, TransportError, &[Ended], Terminated),
            (Completed, Lapse, &[Ended], Terminated),
            (Accepted, Success, &[IT], Accepted),
            (Accepted, Lapse, &[Ended], Terminated),
            // No arrow there: RFC 3261 §17.1.4 and RFC 6026 §7.2.
            (Proceeding, TransportError, &[Failed, Ended], Terminated),
            (Accepted, TransportError, &[Ended], Terminated),
        ];
        // Whatever has no arrow changes nothing.
        for from in [Calling, Proceeding, Completed, Accepted, Terminated] {
            for on in [Provisional, Success, Refusal, TransportError, TimerA, Lapse] {
                let arrow = arrows.iter().find(|a| (a.0, a.1) == (from, on));
                let (out, to) = arrow.map_or((&[][..], from), |(_, _, out, to)| (out, *to));
                let codes: &[u16] = match on {
                    Provisional => &[100, 101, 183, 199],
                    Success => &[200, 202, 299],
                    Refusal => &[300, 302, 408, 487, 503, 600, 699],
                    TransportError | TimerA | Lapse => &[0],
                };
                for code in codes {
                    let now = start();
                    let mut machine = InviteClient::new(again(false), &Timers::default(), now);
                    match from {
                        Calling => Vec::new(),
                        Proceeding => take(&mut machine, Response(180), now),
                        Completed => take(&mut machine, Response(404), now),
                        Accepted => take(&mut machine, Response(200), now),
                        Terminated => take(&mut machine, Unsent, now),
                    };
                    assert_eq!(machine.state, from);
                    let (happens, later) = match on {
                        Provisional | Success | Refusal => (Response(*code), 0),
                        TransportError => (Unsent, 0),
                        TimerA => (Deadline, 500),
                        Lapse => (Deadline, 32_000),
                    };
                    let found = take(&mut machine, happens, now + Duration::from_millis(later));
                    let wanted: Vec<_> = out
                        .iter()
                        .map(|out| if *out == IT { Passed(*code) } else { *out })
                        .collect();
                    assert_eq!(
                        (found, machine.state),
                        (wanted, to),
                        "{from:?}: {on:?} {code}"
                    );
                }
            }
        }
    }
}
