//! Lengths of the timers of transactions (RFC 3261 §17 and its Table 4, RFC 6026 §8.11). No clock.

use std::time::Duration;

/// Base values, and the timers made from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// T1: estimate of the round trip.
    pub t1: Duration,
    /// T2: longest interval between retransmissions.
    pub t2: Duration,
    /// T4: longest time that a message stays in the network.
    pub t4: Duration,
}

/// Timer D is at least this (RFC 3261 §17.1.1.2).
const LEAST_D: Duration = Duration::from_secs(32);

impl Default for Timers {
    /// RFC 3261 §17.1.1.1 and §17.1.2.2.
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// First interval of Timer A; over reliable transports nothing is retransmitted.
    pub fn a(&self, reliable: bool) -> Option<Duration> {
        (!reliable).then_some(self.t1)
    }

    /// Interval of Timer A after one of this length. It doubles without end: T2 is for the other timers.
    pub fn a_after(&self, last: Duration) -> Duration {
        last.saturating_mul(2)
    }

    /// Timer B: how long any response to an INVITE is waited for.
    pub fn b(&self) -> Duration {
        self.lifetime()
    }

    /// Timer D: how long a repeated refusal of an INVITE is acknowledged. The server repeats it for 64 times a T1 of its
    /// own, which may be the usual one where ours is shorter.
    pub fn d(&self, reliable: bool) -> Duration {
        if reliable {
            Duration::ZERO
        } else {
            self.lifetime().max(LEAST_D)
        }
    }

    /// First interval of Timer E; over reliable transports nothing is retransmitted.
    pub fn e(&self, reliable: bool) -> Option<Duration> {
        (!reliable).then_some(self.t1)
    }

    /// Interval of Timer E after one of this length: in Trying it doubles up to T2, in Proceeding it is T2.
    pub fn e_after(&self, last: Duration, proceeding: bool) -> Duration {
        if proceeding {
            self.t2
        } else {
            last.saturating_mul(2).min(self.t2)
        }
    }

    /// Timer F: how long a final response is waited for.
    pub fn f(&self) -> Duration {
        self.lifetime()
    }

    /// First interval of Timer G; over reliable transports nothing is retransmitted.
    pub fn g(&self, reliable: bool) -> Option<Duration> {
        (!reliable).then_some(self.t1)
    }

    /// Interval of Timer G after one of this length.
    pub fn g_after(&self, last: Duration) -> Duration {
        last.saturating_mul(2).min(self.t2)
    }

    /// Timer H: how long an ACK is waited for.
    pub fn h(&self) -> Duration {
        self.lifetime()
    }

    /// Timer I: how long further ACKs are absorbed.
    pub fn i(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// Timer J: how long a final response is repeated on request.
    pub fn j(&self, reliable: bool) -> Duration {
        if reliable {
            Duration::ZERO
        } else {
            self.lifetime()
        }
    }

    /// Timer K: how long repeated responses are absorbed.
    pub fn k(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// Timer L: how long INVITEs are absorbed after a 2xx.
    pub fn l(&self) -> Duration {
        self.lifetime()
    }

    /// Timer M: how long more 2xx of an accepted INVITE are waited for (RFC 6026 §7.2).
    pub fn m(&self) -> Duration {
        self.lifetime()
    }

    /// How long an INVITE is waited for once its CANCEL has been sent (RFC 3261 §9.1).
    pub fn cancelled(&self) -> Duration {
        self.lifetime()
    }

    /// 64*T1: after that a client has given up (Timers B and F).
    pub fn lifetime(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// How long the core may be silent before an INVITE is answered with 100 (RFC 3261 §17.2.1).
    pub fn invite_trying(&self) -> Duration {
        Duration::from_millis(200)
    }

    /// How long the core may be silent before another request is answered with 100: until the client's Timer E is
    /// reset to T2 (RFC 4320 §4.1). With the usual values 0.5 + 1 + 2 = 3.5 seconds.
    pub fn other_trying(&self) -> Duration {
        let (mut waited, mut interval) = (Duration::ZERO, self.t1);
        while interval < self.t2 && !interval.is_zero() {
            waited = waited.saturating_add(interval);
            interval = interval.saturating_mul(2);
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_have_the_lengths_of_table_4() {
        let (timers, s) = (Timers::default(), Duration::from_secs);
        let (quick, slow) = (Timers { t1: s(0), ..timers }, Timers { t1: s(1), ..timers });
        for (situation, found, wanted) in [
            ("A doubles", timers.a_after(s(1)), s(2)),
            ("A goes on beyond T2", timers.a_after(s(8)), s(16)),
            ("B", timers.b(), s(32)),
            ("D over UDP", timers.d(false), s(32)),
            ("D with a short T1", quick.d(false), s(32)),
            ("D with a long T1", slow.d(false), s(64)),
            ("D over TLS", timers.d(true), s(0)),
            ("M", timers.m(), s(32)),
            ("after a CANCEL", timers.cancelled(), s(32)),
            ("E grows", timers.e_after(s(1), false), s(2)),
            ("E stays at T2", timers.e_after(s(3), false), s(4)),
            ("E once Proceeding", timers.e_after(s(1), true), s(4)),
            ("F", timers.f(), s(32)),
            ("K over UDP", timers.k(false), s(5)),
            ("K over TLS", timers.k(true), s(0)),
            ("H", timers.h(), s(32)),
            ("I over UDP", timers.i(false), s(5)),
            ("I over TLS", timers.i(true), s(0)),
            ("J over UDP", timers.j(false), s(32)),
            ("J over TLS", timers.j(true), s(0)),
            ("L", timers.l(), s(32)),
            ("G grows", timers.g_after(s(1)), s(2)),
            ("G stays at T2", timers.g_after(s(3)), s(4)),
            (
                "100 for non-INVITE",
                timers.other_trying(),
                Duration::from_millis(3500),
            ),
        ] {
            assert_eq!(found, wanted, "{situation}");
        }
        assert_eq!((timers.a(true), timers.a(false)), (None, Some(timers.t1)));
        assert_eq!((timers.g(true), timers.g(false)), (None, Some(timers.t1)));
        assert_eq!((timers.e(true), timers.e(false)), (None, Some(timers.t1)));
    }
}
