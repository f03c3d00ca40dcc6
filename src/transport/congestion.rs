//! Whether a worker has more to do than it can: repro's `CongestionManagement`.
//!
//! What waits for a worker is what its poller tells of at the beginning of a turn, the connections that were not read to
//! the end in the turn before, and its mail. Each has its turn before any has another, so how long a turn takes is how long
//! whatever comes in has to wait.
//!
//! Handshakes do not count: they have limits of their own, and requests refused would not make them fewer.

use std::time::{Duration, Instant};

use crate::proxy::Load;

/// repro: `CongestionManagementMetric`: what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CongestionMetric {
    /// How many connections and pieces of mail wait; the tolerance is a number.
    Size,
    /// How long the oldest of them may have waited; the tolerance is in seconds.
    TimeDepth,
    /// How long what comes in now will have to wait; the tolerance is in milliseconds.
    WaitTime,
}

/// When there is too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CongestionOptions {
    /// What is measured.
    pub metric: CongestionMetric,
    /// repro: `CongestionManagementTolerance`: 100 percent.
    pub tolerance: u32,
}

/// Something to tell an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// There is too much to do.
    Begun { waiting: usize, percent: u64 },
    /// For a while there has not been.
    Ended { lasted: Duration },
}

/// Percent of the tolerance from which on no new work is taken, and beyond which hardly any is.
const HIGH: u64 = 80;
const FULL: u64 = 100;
/// So long there must not have been too much to do, until an operator is told that it is over. What is refused follows the
/// measure at once.
const QUIET: Duration = Duration::from_secs(1);
/// What a turn takes is an average in which the last one has this share: one long turn is an accident, or a burst that is over.
const SHARE: u32 = 4;

/// The measure of one worker; has no clock of its own.
#[derive(Debug)]
pub(super) struct Congestion {
    options: Option<CongestionOptions>,
    /// Since when the worker is in its turn.
    turn: Option<Instant>,
    /// Time of this turn that does not count.
    aside: Duration,
    last_turn: Duration,
    /// What turns take of late.
    usual_turn: Duration,
    load: Load,
    episode: Option<Episode>,
}

#[derive(Debug, Clone, Copy)]
struct Episode {
    began: Instant,
    last: Instant,
}

impl Congestion {
    /// Measures nothing without options.
    pub(super) fn new(options: Option<CongestionOptions>) -> Self {
        Self {
            options,
            turn: None,
            aside: Duration::ZERO,
            last_turn: Duration::ZERO,
            usual_turn: Duration::ZERO,
            load: Load::Normal,
            episode: None,
        }
    }

    /// Whether anything is measured.
    pub(super) fn is_on(&self) -> bool {
        self.options.is_some()
    }

    /// How much there is to do in this turn.
    pub(super) fn load(&self) -> Load {
        self.load
    }

    /// A turn begins in which so many things have to be done.
    pub(super) fn begin(&mut self, waiting: usize, now: Instant) -> Option<Change> {
        let options = self.options?;
        self.turn = Some(now);
        self.aside = Duration::ZERO;
        if waiting == 0 {
            // Whatever there was is done.
            (self.last_turn, self.usual_turn) = (Duration::ZERO, Duration::ZERO);
        }
        let percent = self.percent(options, waiting);
        self.load = match percent {
            ..HIGH => Load::Normal,
            HIGH..=FULL => Load::High,
            _ => Load::Excessive,
        };
        let is_high = self.load != Load::Normal;
        match &mut self.episode {
            None if is_high => {
                self.episode = Some(Episode {
                    began: now,
                    last: now,
                });
                Some(Change::Begun { waiting, percent })
            }
            Some(episode) if is_high => {
                episode.last = now;
                None
            }
            Some(episode) if now.saturating_duration_since(episode.last) >= QUIET => {
                let lasted = episode.last.saturating_duration_since(episode.began);
                self.episode = None;
                Some(Change::Ended { lasted })
            }
            None | Some(_) => None,
        }
    }

    /// So much of this turn was for connections that are not open yet.
    pub(super) fn set_aside(&mut self, time: Duration) {
        self.aside += time;
    }

    /// The turn is over.
    pub(super) fn end(&mut self, now: Instant) {
        let Some(began) = self.turn.take() else {
            return;
        };
        let whole = now.saturating_duration_since(began);
        self.last_turn = whole.saturating_sub(self.aside);
        self.usual_turn = (self.usual_turn * (SHARE - 1) + self.last_turn) / SHARE;
    }

    fn percent(&self, options: CongestionOptions, waiting: usize) -> u64 {
        let tolerance = u128::from(options.tolerance.max(1));
        let (measured, tolerated) = match options.metric {
            CongestionMetric::Size => (waiting as u128, tolerance),
            CongestionMetric::TimeDepth => (self.last_turn.as_nanos(), tolerance * 1_000_000_000),
            CongestionMetric::WaitTime => (self.usual_turn.as_nanos(), tolerance * 1_000_000),
        };
        u64::try_from(measured * 100 / tolerated).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn congestion(metric: CongestionMetric, tolerance: u32) -> Congestion {
        Congestion::new(Some(CongestionOptions { metric, tolerance }))
    }

    /// Turns of so many things and so many milliseconds, one after the other.
    fn turns(congestion: &mut Congestion, now: &mut Instant, turns: &[(usize, u64)]) {
        for (waiting, ms) in turns {
            congestion.begin(*waiting, *now);
            *now += Duration::from_millis(*ms);
            congestion.end(*now);
        }
    }

    #[test]
    fn each_metric_measures_what_it_says() {
        use CongestionMetric::{Size, TimeDepth, WaitTime};
        use Load::{Excessive, High, Normal};
        for (situation, metric, tolerance, before, waiting, wanted) in [
            ("nothing waits", Size, 10, &[][..], 0, Normal),
            ("few wait", Size, 10, &[], 7, Normal),
            ("80 percent", Size, 10, &[], 8, High),
            ("all that is tolerated", Size, 10, &[], 10, High),
            ("one more", Size, 10, &[(1, 1)], 11, Excessive),
            ("a tolerance of nothing", Size, 0, &[], 2, Excessive),
            ("nothing waits", TimeDepth, 1, &[(1, 5_000)], 0, Normal),
            ("a short turn", TimeDepth, 1, &[(99, 790)], 99, Normal),
            ("a long one", TimeDepth, 1, &[(1, 800)], 1, High),
            ("too long", TimeDepth, 1, &[(1, 1_010)], 1, Excessive),
            (
                "a long one before",
                TimeDepth,
                1,
                &[(1, 2_000), (1, 1)],
                1,
                Normal,
            ),
            ("nothing is known", WaitTime, 200, &[], 5_000, Normal),
            ("one long turn", WaitTime, 200, &[(9, 600)], 9, Normal),
            ("an endless one", WaitTime, 200, &[(9, 900)], 9, Excessive),
            ("short turns", WaitTime, 200, &[(9, 150); 30], 9, Normal),
            ("long ones", WaitTime, 200, &[(9, 165); 30], 9, High),
            ("longer ones", WaitTime, 200, &[(9, 220); 30], 9, Excessive),
            ("not many", WaitTime, 200, &[(9, 220); 3], 9, Normal),
            ("nothing waits", WaitTime, 200, &[(9, 220); 30], 0, Normal),
        ] {
            let (mut congestion, mut now) = (congestion(metric, tolerance), Instant::now());
            turns(&mut congestion, &mut now, before);
            congestion.begin(waiting, now);
            assert_eq!(
                congestion.load(),
                wanted,
                "{metric:?} {tolerance} {situation}"
            );
        }
    }

    #[test]
    fn handshakes_do_not_count() {
        for (aside, wanted) in [(0, Load::Excessive), (900, Load::Normal)] {
            let (mut congestion, mut now) =
                (congestion(CongestionMetric::WaitTime, 200), Instant::now());
            for _ in 0..10 {
                congestion.begin(1, now);
                congestion.set_aside(Duration::from_millis(aside));
                now += Duration::from_secs(1);
                congestion.end(now);
            }
            congestion.begin(1, now);
            assert_eq!(congestion.load(), wanted, "{aside}");
        }
    }

    #[test]
    fn what_was_long_is_forgotten() {
        for (situation, then) in [
            ("short turns", &[(9, 1); 8][..]),
            ("nothing to do", &[(0, 1)]),
        ] {
            let (mut congestion, mut now) =
                (congestion(CongestionMetric::WaitTime, 200), Instant::now());
            turns(&mut congestion, &mut now, &[(9, 800); 30]);
            congestion.begin(9, now);
            assert_eq!(congestion.load(), Load::Excessive);
            turns(&mut congestion, &mut now, then);
            congestion.begin(9, now);
            assert_eq!(congestion.load(), Load::Normal, "{situation}");
        }
    }

    #[test]
    fn an_operator_hears_once_that_it_begins_and_once_that_it_is_over() {
        let (mut congestion, start) = (congestion(CongestionMetric::Size, 10), Instant::now());
        let begun = |waiting, percent| Some(Change::Begun { waiting, percent });
        let ended = |ms| {
            let lasted = Duration::from_millis(ms);
            Some(Change::Ended { lasted })
        };
        for (situation, ms, waiting, load, change) in [
            ("little to do", 0, 1, Load::Normal, None),
            ("too much", 100, 9, Load::High, begun(9, 90)),
            ("far too much", 200, 20, Load::Excessive, None),
            ("a moment of rest", 300, 0, Load::Normal, None),
            ("again", 1_250, 8, Load::High, None),
            ("rest", 1_300, 0, Load::Normal, None),
            ("not long enough", 2_249, 0, Load::Normal, None),
            ("a second", 2_250, 3, Load::Normal, ended(1_150)),
            ("rest", 9_000, 0, Load::Normal, None),
            ("too much", 9_100, 30, Load::Excessive, begun(30, 300)),
        ] {
            let now = start + Duration::from_millis(ms);
            assert_eq!(congestion.begin(waiting, now), change, "{situation}");
            assert_eq!(congestion.load(), load, "{situation}");
        }
    }

    #[test]
    fn without_options_there_is_never_too_much() {
        let (mut congestion, mut now) = (Congestion::new(None), Instant::now());
        turns(&mut congestion, &mut now, &[(10_000, 60_000); 3]);
        assert_eq!(congestion.begin(usize::MAX, now), None);
        assert_eq!(
            (congestion.load(), congestion.is_on()),
            (Load::Normal, false)
        );
    }
}
