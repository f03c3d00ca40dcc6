//! When it is no use to ask: after several failures in a row nobody is asked for a while, then one is, to see.

use std::time::{Duration, Instant};

/// Failures in a row after which nobody is asked.
pub(super) const FAILURES: u32 = 5;
/// How long nobody is asked then.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the server that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It answers; failures in a row.
    Answers(u32),
    /// It does not: not to be asked until then.
    Rests(Instant),
    /// It is being asked, once.
    Tried,
}

/// What a call that has ended says about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing new.
    None,
    /// It does not answer any more.
    Lost,
    /// It answers again.
    Back,
}

/// Whether to ask.
#[derive(Debug)]
pub(super) struct Breaker(State);

impl Breaker {
    pub(super) fn new() -> Self {
        Self(State::Answers(0))
    }

    /// Whether a new call may be made. One that is let through after a pause is the one to see by.
    pub(super) fn lets_through(&mut self, now: Instant) -> bool {
        match self.0 {
            State::Answers(_) => true,
            State::Rests(until) if now >= until => {
                self.0 = State::Tried;
                true
            }
            State::Rests(_) | State::Tried => false,
        }
    }

    /// A call has ended.
    pub(super) fn ended(&mut self, succeeded: bool, now: Instant) -> News {
        match (succeeded, self.0) {
            (true, State::Answers(_)) => self.0 = State::Answers(0),
            (true, _) => {
                self.0 = State::Answers(0);
                return News::Back;
            }
            (false, State::Answers(failures)) if failures + 1 < FAILURES => {
                self.0 = State::Answers(failures + 1);
            }
            (false, State::Answers(_)) => {
                self.0 = State::Rests(now + PAUSE);
                return News::Lost;
            }
            // The call to see by, or one that had begun before: the same is known as before.
            (false, State::Tried) => self.0 = State::Rests(now + PAUSE),
            (false, State::Rests(_)) => {}
        }
        News::None
    }

    /// A call that was let through is not made after all.
    pub(super) fn not_made(&mut self, now: Instant) {
        if self.0 == State::Tried {
            self.0 = State::Rests(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_failures_in_a_row_one_is_asked_after_each_pause() {
        let mut breaker = Breaker::new();
        let mut now = Instant::now();
        for _ in 0..3 {
            for _ in 1..FAILURES {
                assert_eq!(breaker.ended(false, now), News::None);
            }
            assert_eq!(breaker.ended(true, now), News::None, "in a row");
        }
        for _ in 1..FAILURES {
            assert_eq!(breaker.ended(false, now), News::None);
            assert!(breaker.lets_through(now));
        }
        assert_eq!(breaker.ended(false, now), News::Lost);
        assert_eq!(breaker.ended(false, now), News::None, "begun before");
        for _ in 0..3 {
            assert!(!breaker.lets_through(now));
            now += PAUSE;
            assert!(breaker.lets_through(now), "one");
            assert!(!breaker.lets_through(now), "and no other");
            assert_eq!(breaker.ended(false, now), News::None);
        }
        now += PAUSE;
        assert!(breaker.lets_through(now));
        breaker.not_made(now);
        assert!(breaker.lets_through(now), "nobody was asked");
        assert_eq!(breaker.ended(true, now), News::Back);
        assert!(breaker.lets_through(now) && breaker.lets_through(now));
    }
}
