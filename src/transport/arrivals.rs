//! The order in which messages arrive, over all workers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives each message a number: the time in microseconds since 1970, or one more than the last if that is more. So the
/// order holds within a microsecond, when the clock is set back, and, as far as the clock goes on, over a restart.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(AtomicU64);

impl Arrivals {
    /// The number of a message that arrives now.
    pub(super) fn next(&self) -> u64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros());
        self.at(u64::try_from(now).unwrap_or(u64::MAX))
    }

    fn at(&self, now: u64) -> u64 {
        let next = |last: u64| now.max(last.saturating_add(1));
        let last = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            })
            .unwrap_or_else(|last| last);
        next(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_a_larger_number_than_those_before_whatever_the_clock_does() {
        let arrivals = Arrivals::default();
        for (situation, now, number) in [
            ("the first", 1_000, 1_000),
            ("later", 1_005, 1_005),
            ("in the same microsecond", 1_005, 1_006),
            ("the clock has been set back", 500, 1_007),
            ("it has caught up", 2_000, 2_000),
        ] {
            assert_eq!(arrivals.at(now), number, "{situation}");
        }
    }
}
