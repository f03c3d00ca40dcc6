//! When to try a server again that could not be reached.
//!
//! Pure. After each failure the wait doubles, from 100 ms to 10 s; a quarter of it is chance, so that several servers do
//! not come at once. While it lasts everybody is told at once what the last failure was; after it one caller tries, and
//! the others are still told. So lookup threads never pile up before a data base that is gone.

use std::time::{Duration, Instant};

use super::fault::Fault;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// The state of one server.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    broken: Option<Broken>,
}

#[derive(Debug)]
struct Broken {
    last: Fault,
    delay: Duration,
    until: Instant,
    /// Somebody tries just now.
    trying: bool,
}

impl Backoff {
    /// Whether to try to connect now; if not, why the last try failed. Who may, says how it went.
    ///
    /// # Errors
    /// It is too early, or somebody tries already.
    pub(super) fn may_try(&mut self, now: Instant) -> Result<(), Fault> {
        match &mut self.broken {
            None => Ok(()),
            Some(broken) if broken.trying || now < broken.until => Err(broken.last.clone()),
            Some(broken) => {
                broken.trying = true;
                Ok(())
            }
        }
    }

    /// The server answers.
    pub(super) fn succeeded(&mut self) {
        self.broken = None;
    }

    /// It does not. `chance` is any number.
    pub(super) fn failed(&mut self, now: Instant, fault: Fault, chance: u64) {
        let delay = match &self.broken {
            // Others that had begun before the first failure was known.
            Some(broken) if !broken.trying && now < broken.until => return,
            Some(broken) => (broken.delay * 2).min(LONGEST),
            None => FIRST,
        };
        let share = u32::try_from(chance % 1024).unwrap_or(0);
        let waited = delay - delay / 4 * share / 1024;
        self.broken = Some(Broken {
            last: fault,
            delay,
            until: now + waited,
            trying: false,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that cannot go on says so by panicking"
    )]

    use super::*;

    fn lost() -> Fault {
        Fault::Lost("gone".into())
    }

    #[test]
    fn the_wait_doubles_up_to_ten_seconds_and_ends_with_success() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        for wait in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
            backoff.may_try(now).unwrap();
            backoff.failed(now, lost(), 0);
            let wait = Duration::from_millis(wait);
            assert!(
                backoff
                    .may_try(now + wait - Duration::from_millis(1))
                    .is_err()
            );
            now += wait;
        }
        backoff.may_try(now).unwrap();
        backoff.succeeded();
        backoff.may_try(now).unwrap();
        backoff.failed(now, lost(), 0);
        assert!(backoff.may_try(now + FIRST).is_ok());
    }

    #[test]
    fn one_tries_and_the_others_are_told() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        backoff.failed(now, lost(), 0);
        let later = now + FIRST;
        assert!(backoff.may_try(later).is_ok());
        assert!(matches!(backoff.may_try(later), Err(Fault::Lost(why)) if why == "gone"));
    }

    #[test]
    fn failures_of_tries_that_began_together_count_once() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        for _ in 0..4 {
            backoff.failed(now, lost(), 0);
        }
        assert!(backoff.may_try(now + FIRST).is_ok());
    }

    #[test]
    fn chance_takes_up_to_a_quarter() {
        for chance in [0, 1, 511, 1023, u64::MAX] {
            let mut backoff = Backoff::default();
            let now = Instant::now();
            backoff.failed(now, lost(), chance);
            assert!(
                backoff
                    .may_try(now + FIRST / 4 * 3 - Duration::from_millis(1))
                    .is_err()
            );
            assert!(backoff.may_try(now + FIRST).is_ok());
        }
    }
}
