//! The INVITE server transaction: RFC 3261 §17.2.1 (Figure 7) as corrected by RFC 6026 §7.1 (its Figure 5).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::effect::Effect;
use super::timer::Timers;
use crate::sip::StatusCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The core has the request and has not finally answered.
    Proceeding,
    /// Answered 2xx: the core retransmits it, INVITEs are absorbed (RFC 6026 §7.1).
    Accepted,
    /// Answered 300 to 699: repeated until the ACK comes.
    Completed,
    /// The ACK has come; more of them are absorbed.
    Confirmed,
    Terminated,
}

/// Octets of a response over TCP or TLS up to which it is kept. Nothing is lost there, so that a retransmission is a fault of
/// who sends it; and a caller who sends no ACK, with a callee who sends large refusals, must not fill the memory.
const KEPT_OVER_STREAMS: usize = 2048;

/// One INVITE that was passed to the core.
#[derive(Debug)]
pub struct InviteServer {
    state: State,
    reliable: bool,
    /// What a retransmitted INVITE is answered with.
    response: Option<Arc<[u8]>>,
    /// Timer G: when it fires, and its interval.
    resend: Option<(Instant, Duration)>,
    /// Proceeding: when a 100 is due. Completed: Timer H. Confirmed: Timer I. Accepted: Timer L.
    until: Option<Instant>,
}

impl InviteServer {
    /// For an INVITE that is passed to the core now. `reliable` says whether it came over TCP or TLS.
    pub fn new(reliable: bool, timers: &Timers, now: Instant) -> Self {
        Self {
            state: State::Proceeding,
            reliable,
            response: None,
            resend: None,
            until: Some(now + timers.invite_trying()),
        }
    }

    /// The same INVITE again.
    pub fn on_retransmission(&mut self, out: &mut Vec<Effect>) {
        match self.state {
            State::Proceeding | State::Completed => {
                out.extend(self.response.clone().map(Effect::Send));
            }
            State::Accepted | State::Confirmed | State::Terminated => {}
        }
    }

    /// An ACK; whether the core is to have it: only while Accepted (RFC 6026 §7.1).
    pub fn on_ack(&mut self, timers: &Timers, now: Instant, out: &mut Vec<Effect>) -> bool {
        if self.state == State::Completed {
            self.state = State::Confirmed;
            self.response = None;
            self.resend = None;
            let wait = timers.i(self.reliable);
            self.until = Some(now + wait);
            if wait.is_zero() {
                self.end(out);
            }
        }
        self.state == State::Accepted
    }

    /// A response of the core, written out. One that no longer fits is dropped.
    pub fn on_response(
        &mut self,
        status: StatusCode,
        bytes: Arc<[u8]>,
        timers: &Timers,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        match (self.state, status.as_u16()) {
            (State::Proceeding, ..200) => {
                self.response = self.kept(&bytes);
                self.until = None;
            }
            (State::Proceeding, 200..300) => {
                self.state = State::Accepted;
                self.response = None;
                self.until = Some(now + timers.l());
            }
            (State::Proceeding, _) => {
                self.state = State::Completed;
                self.response = self.kept(&bytes);
                self.resend = timers.g(self.reliable).map(|first| (now + first, first));
                self.until = Some(now + timers.h());
            }
            (State::Accepted, 200..300) => {}
            _ => return,
        }
        out.push(Effect::Send(bytes));
    }

    /// What is kept of a response for whoever sends the INVITE again.
    fn kept(&self, bytes: &Arc<[u8]>) -> Option<Arc<[u8]>> {
        (!self.reliable || bytes.len() <= KEPT_OVER_STREAMS).then(|| Arc::clone(bytes))
    }

    /// A response could not be sent. The core is told; the state stays, so that retransmissions are still absorbed
    /// (RFC 6026 §7.1).
    pub fn on_transport_error(&mut self, out: &mut Vec<Effect>) {
        match self.state {
            State::Proceeding | State::Accepted | State::Completed => {
                out.push(Effect::TransportFailed);
            }
            State::Confirmed | State::Terminated => {}
        }
    }

    /// Does what is due by now, if anything is.
    pub fn on_deadline(&mut self, timers: &Timers, now: Instant, out: &mut Vec<Effect>) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            match self.state {
                State::Proceeding => out.push(Effect::TryingDue),
                State::Completed => {
                    out.push(Effect::Timeout);
                    self.end(out);
                }
                State::Accepted | State::Confirmed => self.end(out),
                State::Terminated => {}
            }
        }
        if let Some((at, interval)) = self.resend
            && at <= now
        {
            out.extend(self.response.clone().map(Effect::Send));
            // From now and not from when it was due: after a long sleep one retransmission is enough.
            let interval = timers.g_after(interval);
            self.resend = Some((now + interval, interval));
        }
    }

    /// When it next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let resend = self.resend.map(|(at, _)| at);
        match (self.until, resend) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether the core has not finally answered yet.
    pub fn is_pending(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.state == State::Terminated
    }

    fn end(&mut self, out: &mut Vec<Effect>) {
        self.state = State::Terminated;
        self.response = None;
        self.resend = None;
        self.until = None;
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
        Invite,
        Ack,
        Response(u16),
        Unsent,
        Deadline,
    }
    use On::{Ack, Deadline, Invite, Response, Unsent};
    use ServerOut::{AckToCore, Ended, Failed, Send, Timeout, TryingDue};

    /// Lets a machine live through the steps, each at its milliseconds.
    fn live(situation: &str, reliable: bool, steps: &[test_support::Step<On, ServerOut>]) {
        let (timers, start) = (Timers::default(), start());
        let mut machine = InviteServer::new(reliable, &timers, start);
        test_support::live(situation, start, steps, |on, now| {
            let mut out = Vec::new();
            let mut to_core = false;
            match on {
                Invite => machine.on_retransmission(&mut out),
                Ack => to_core = machine.on_ack(&timers, now, &mut out),
                Response(code) => {
                    machine.on_response(status(code), response(code), &timers, now, &mut out);
                }
                Unsent => machine.on_transport_error(&mut out),
                Deadline => machine.on_deadline(&timers, now, &mut out),
            }
            let mut found = ServerOut::of(&out);
            found.extend(to_core.then_some(AckToCore));
            assert_eq!(machine.has_ended(), machine.state == State::Terminated);
            if machine.has_ended() {
                assert_eq!(machine.next_deadline(), None, "{situation}");
            }
            found
        });
    }

    #[test]
    fn a_large_response_over_a_stream_is_not_kept_for_a_retransmission() {
        let (timers, start) = (Timers::default(), start());
        for (situation, reliable, octets, wanted) in [
            ("as large as most", true, KEPT_OVER_STREAMS, 1),
            ("larger", true, KEPT_OVER_STREAMS + 1, 0),
            ("where it may be lost", false, KEPT_OVER_STREAMS + 1, 1),
        ] {
            for code in [183, 486] {
                let mut machine = InviteServer::new(reliable, &timers, start);
                let (bytes, mut out) = (vec![b'x'; octets].into(), Vec::new());
                machine.on_response(status(code), bytes, &timers, start, &mut out);
                assert_eq!(out.len(), 1, "{situation}: it is sent");
                out.clear();
                machine.on_retransmission(&mut out);
                assert_eq!(out.len(), wanted, "{situation}, {code}");
            }
        }
    }

    #[test]
    fn a_silent_core_is_reminded_of_100_after_200_ms() {
        live(
            "silent",
            false,
            &[
                (0, Invite, &[]),
                (199, Deadline, &[]),
                (200, Deadline, &[TryingDue]),
                (201, Deadline, &[]),
                (202, Response(100), &[Send(100)]),
                (500, Invite, &[Send(100)]),
            ],
        );
        live(
            "a provisional in time",
            true,
            &[(100, Response(180), &[Send(180)]), (200, Deadline, &[])],
        );
    }

    #[test]
    fn retransmitted_invite_repeats_last_provisional() {
        live(
            "180 after 100",
            false,
            &[
                (0, Response(100), &[Send(100)]),
                (10, Invite, &[Send(100)]),
                (20, Response(180), &[Send(180)]),
                (30, Response(183), &[Send(183)]),
                (40, Invite, &[Send(183)]),
            ],
        );
    }

    #[test]
    fn a_2xx_leads_to_accepted_until_timer_l() {
        for reliable in [false, true] {
            live(
                "2xx",
                reliable,
                &[
                    (0, Response(180), &[Send(180)]),
                    (10, Response(200), &[Send(200)]),
                    (20, Invite, &[]),
                    (30, Response(200), &[Send(200)]),
                    (40, Response(486), &[]),
                    (50, Response(180), &[]),
                    (60, Ack, &[AckToCore]),
                    (70, Ack, &[AckToCore]),
                    (80, Unsent, &[Failed]),
                    (90, Invite, &[]),
                    (32_009, Deadline, &[]),
                    (32_010, Deadline, &[Ended]),
                    (32_011, Response(200), &[]),
                    (32_012, Ack, &[]),
                    (32_013, Invite, &[]),
                    (32_014, Deadline, &[]),
                    (32_015, Unsent, &[]),
                ],
            );
        }
    }

    #[test]
    fn a_refusal_is_retransmitted_by_timer_g_up_to_t2() {
        live(
            "no ACK over UDP",
            false,
            &[
                (0, Response(486), &[Send(486)]),
                (499, Deadline, &[]),
                (500, Deadline, &[Send(486)]),
                (1_500, Deadline, &[Send(486)]),
                (3_500, Deadline, &[Send(486)]),
                (7_500, Deadline, &[Send(486)]),
                (11_499, Deadline, &[]),
                (11_500, Deadline, &[Send(486)]),
                (32_000, Deadline, &[Timeout, Ended]),
            ],
        );
    }

    #[test]
    fn over_a_reliable_transport_a_refusal_is_not_retransmitted() {
        live(
            "no ACK over TLS",
            true,
            &[
                (0, Response(486), &[Send(486)]),
                (500, Deadline, &[]),
                (600, Invite, &[Send(486)]),
                (31_999, Deadline, &[]),
                (32_000, Deadline, &[Timeout, Ended]),
            ],
        );
    }

    #[test]
    fn a_completed_transaction_repeats_its_refusal_and_drops_others() {
        live(
            "Completed",
            false,
            &[
                (0, Response(486), &[Send(486)]),
                (10, Invite, &[Send(486)]),
                (20, Response(200), &[]),
                (30, Response(180), &[]),
                (40, Response(500), &[]),
                (50, Invite, &[Send(486)]),
                (60, Unsent, &[Failed]),
                (70, Invite, &[Send(486)]),
            ],
        );
    }

    #[test]
    fn an_ack_confirms_and_timer_i_absorbs_more_of_them() {
        live(
            "over UDP",
            false,
            &[
                (0, Response(486), &[Send(486)]),
                (100, Ack, &[]),
                (110, Ack, &[]),
                (120, Invite, &[]),
                (130, Response(500), &[]),
                (140, Unsent, &[]),
                (500, Deadline, &[]),
                (5_099, Deadline, &[]),
                (5_100, Deadline, &[Ended]),
            ],
        );
        live(
            "over TLS",
            true,
            &[
                (0, Response(486), &[Send(486)]),
                (100, Ack, &[Ended]),
                (110, Ack, &[]),
                (120, Invite, &[]),
            ],
        );
    }

    #[test]
    fn an_ack_before_the_final_response_is_absorbed() {
        live(
            "early ACK",
            false,
            &[
                (0, Ack, &[]),
                (10, Response(180), &[Send(180)]),
                (20, Ack, &[]),
                (30, Response(200), &[Send(200)]),
            ],
        );
    }

    #[test]
    fn a_provisional_that_cannot_be_sent_does_not_end_the_transaction() {
        live(
            "RFC 6026",
            false,
            &[
                (0, Response(180), &[Send(180)]),
                (10, Unsent, &[Failed]),
                (20, Invite, &[Send(180)]),
            ],
        );
    }

    #[test]
    fn after_a_long_sleep_one_retransmission_is_enough() {
        live(
            "asleep",
            false,
            &[
                (0, Response(486), &[Send(486)]),
                (20_000, Deadline, &[Send(486)]),
                (20_001, Deadline, &[]),
                (21_000, Deadline, &[Send(486)]),
            ],
        );
    }
}
