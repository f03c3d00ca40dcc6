//! Deadlines of many connections: which is due next, which are due now.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Which of the named limits of [`super::Deadlines`] a connection has run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Handshake,
    Connect,
    FirstMessage,
    PartialMessage,
    Idle,
    Write,
    Identity,
    Linger,
}

impl Limit {
    /// The setting that an operator would change, and what the peer did not do; for the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Handshake => "HandshakeTimeout",
            Self::Connect => "ConnectTimeout",
            Self::FirstMessage => "FirstMessageTimeout",
            Self::PartialMessage => "PartialMessageTimeout",
            Self::Idle => "IdleTimeout",
            Self::Write => "WriteTimeout",
            Self::Identity => "OnIdentityLost",
            Self::Linger => "linger",
        }
    }
}

/// Alarm clock of one worker.
///
/// Lazy: a connection whose deadline moves later leaves its alarm standing; when it rings early, the connection says
/// when it is really due. So a message costs no heap operation, and each connection has few alarms.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    heap: BinaryHeap<Reverse<(Instant, usize, u64)>>,
}

impl Alarms {
    /// Rings at `at` for connection `id` in `slot`.
    pub(crate) fn set(&mut self, at: Instant, slot: usize, id: u64) {
        self.heap.push(Reverse((at, slot, id)));
    }

    /// When the next one rings.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes one that rings at or before `now`: when it was set to, slot and connection.
    pub(crate) fn ring(&mut self, now: Instant) -> Option<(Instant, usize, u64)> {
        let Reverse((at, slot, id)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        // A storm of connections must not leave its memory behind.
        if self.heap.capacity() > 1024 && self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
        Some((at, slot, id))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn alarms_ring_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut alarms = Alarms::default();
        alarms.set(at(20), 2, 200);
        alarms.set(at(10), 1, 100);
        assert_eq!(alarms.next(), Some(at(10)));
        assert_eq!(alarms.ring(at(9)), None);
        assert_eq!(alarms.ring(at(15)), Some((at(10), 1, 100)));
        assert_eq!(alarms.ring(at(15)), None);
        assert_eq!(alarms.ring(at(20)), Some((at(20), 2, 200)));
        assert_eq!(alarms.next(), None);
    }
}
