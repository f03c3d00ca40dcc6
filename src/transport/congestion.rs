//! Whether a worker has more to do than it can: repro's `CongestionManagement`.
//!
//! What waits for a worker is what its poller tells of at the beginning of a turn, the connections that were not read to
//! the end in the turn before, and its mail. Each has its turn before any has another, so how long a turn takes is how long
//! whatever comes in has to wait.

use std::time::{Duration, Instant};

use crate::proxy::Load;

/// repro: `CongestionManagementMetric`: what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CongestionMetric {
    /// How many connections and pieces of mail wait; the tolerance is a number.
    Size,
    /// How long the oldest of them may have waited; the tolerance is in seconds.
    TimeDepth,
    /// How long the last of them will have to wait; the tolerance is in milliseconds.
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
/// What one thing takes is the average of so many at least, and of twice as many at most.
const AVERAGED: u32 = 128;

/// The measure of one worker; has no clock of its own.
#[derive(Debug)]
pub(super) struct Congestion {
    options: Option<CongestionOptions>,
    /// Since when the worker is in its turn, and how many things it has to do in it.
    turn: Option<(Instant, u32)>,
    last_turn: Duration,
    /// Time for how many things.
    spent: (Duration, u32),
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
            last_turn: Duration::ZERO,
            spent: (Duration::ZERO, 0),
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
        let count = u32::try_from(waiting).unwrap_or(u32::MAX);
        self.turn = Some((now, count));
        let percent = self.percent(options, count);
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

    /// The turn is over.
    pub(super) fn end(&mut self, now: Instant) {
        let Some((began, count)) = self.turn.take() else {
            return;
        };
        self.last_turn = now.saturating_duration_since(began);
        if count == 0 {
            return;
        }
        let (time, things) = &mut self.spent;
        *time += self.last_turn;
        *things = things.saturating_add(count);
        while *things >= 2 * AVERAGED {
            *time /= 2;
            *things /= 2;
        }
    }

    fn percent(&self, options: CongestionOptions, waiting: u32) -> u64 {
        let tolerance = u128::from(options.tolerance.max(1));
        let (measured, tolerated) = match options.metric {
            CongestionMetric::Size => (u128::from(waiting), tolerance),
            CongestionMetric::TimeDepth if waiting == 0 => (0, tolerance),
            CongestionMetric::TimeDepth => (self.last_turn.as_nanos(), tolerance * 1_000_000_000),
            CongestionMetric::WaitTime => {
                let (time, things) = self.spent;
                let each = time.as_nanos() / u128::from(things.max(1));
                (each * u128::from(waiting), tolerance * 1_000_000)
            }
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
            ("each takes 2 ms", WaitTime, 200, &[(10, 20)], 79, Normal),
            ("80 of them", WaitTime, 200, &[(10, 20)], 80, High),
            ("101 of them", WaitTime, 200, &[(10, 20)], 101, Excessive),
            (
                "an idle turn says nothing of them",
                WaitTime,
                200,
                &[(10, 20), (0, 900)],
                79,
                Normal,
            ),
            (
                "one slow thing among many quick ones",
                WaitTime,
                200,
                &[(200, 20), (1, 60)],
                400,
                Normal,
            ),
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
    fn what_was_slow_once_is_forgotten() {
        let (mut congestion, mut now) =
            (congestion(CongestionMetric::WaitTime, 200), Instant::now());
        turns(&mut congestion, &mut now, &[(100, 1_000)]);
        congestion.begin(100, now);
        assert_eq!(congestion.load(), Load::Excessive);
        turns(&mut congestion, &mut now, &[(100, 1); 12]);
        congestion.begin(100, now);
        assert_eq!(congestion.load(), Load::Normal);
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
