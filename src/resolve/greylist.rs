//! Destinations that failed lately: put last for a while, not left out (RFC 3263 §4.3; repro: `DNSGreylistDuration`).

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::Destination;

/// Most destinations that are remembered; the ones that failed first make room.
const PLACES: usize = 4096;

/// The longest that a destination is left alone for, whatever it asks for.
const LONGEST: Duration = Duration::from_secs(3600);

/// How a destination stands that failed.
#[derive(Debug, Clone, Copy)]
struct Failed {
    /// Until when that counts.
    until: Instant,
    /// It could be reached, and failed nevertheless: that it can be reached again says nothing.
    was_reached: bool,
}

/// Who failed, and until when that counts.
#[derive(Debug)]
pub(super) struct Greylist {
    failed: Mutex<LruCache<Destination, Failed>>,
    duration: Duration,
}

impl Greylist {
    pub(super) fn new(duration: Duration) -> Self {
        let mut failed = LruCache::unbounded();
        failed.resize(NonZeroUsize::new(PLACES).unwrap_or(NonZeroUsize::MIN));
        Self {
            failed: Mutex::new(failed),
            duration,
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Destination, Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It could not be reached.
    pub(super) fn add(&self, destination: Destination, now: Instant) {
        self.put(destination, self.duration, false, now);
    }

    /// It could be reached, and did not serve us. `asked` is for how long it wants to be left alone, if it has said so.
    pub(super) fn leave_alone(
        &self,
        destination: Destination,
        asked: Option<Duration>,
        now: Instant,
    ) {
        let time = asked.map_or(self.duration, |asked| asked.min(LONGEST));
        self.put(destination, time, true, now);
    }

    fn put(&self, destination: Destination, time: Duration, was_reached: bool, now: Instant) {
        if self.duration.is_zero() || time.is_zero() {
            return;
        }
        if let Some(until) = now.checked_add(time) {
            self.lock().put(destination, Failed { until, was_reached });
        }
    }

    /// It can be reached.
    pub(super) fn remove(&self, destination: &Destination) {
        let mut failed = self.lock();
        if failed.peek(destination).is_some_and(|f| !f.was_reached) {
            failed.pop(destination);
        }
    }

    /// Whether it failed lately.
    pub(super) fn has(&self, destination: &Destination, now: Instant) -> bool {
        let failed = self.lock();
        let found = failed.peek(destination);
        found.is_some_and(|failed| failed.until > now)
    }

    /// Puts those last that failed, and leaves the order else as it is.
    pub(super) fn order(&self, destinations: &mut [Destination], now: Instant) {
        if destinations.len() < 2 {
            return;
        }
        let mut failed = self.lock();
        if failed.is_empty() {
            return;
        }
        let known: Vec<Destination> = destinations
            .iter()
            .copied()
            .filter(|destination| match failed.peek(destination).copied() {
                Some(failed) if failed.until > now => true,
                Some(_) => {
                    failed.pop(destination);
                    false
                }
                None => false,
            })
            .collect();
        drop(failed);
        destinations.sort_by_key(|destination| known.contains(destination));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::TransportKind;
    use super::*;

    fn destination(last: u8) -> Destination {
        Destination {
            address: format!("192.0.2.{last}:5061").parse().unwrap(),
            transport: TransportKind::Tls,
        }
    }

    fn ordered(greylist: &Greylist, now: Instant) -> Vec<u8> {
        let mut destinations: Vec<Destination> = (1..=4).map(destination).collect();
        greylist.order(&mut destinations, now);
        (1..=4)
            .map(|n| destinations.iter().position(|d| *d == destination(n)))
            .map(|at| u8::try_from(at.unwrap()).unwrap() + 1)
            .collect()
    }

    #[test]
    fn who_failed_is_tried_last_until_its_time_is_up_or_it_works() {
        let greylist = Greylist::new(Duration::from_secs(60));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        // Places of 1, 2, 3, 4.
        assert_eq!(ordered(&greylist, start), [1, 2, 3, 4]);
        greylist.add(destination(1), start);
        greylist.add(destination(3), after(10));
        assert_eq!(ordered(&greylist, after(10)), [3, 1, 4, 2]);
        let has = |n, at| greylist.has(&destination(n), at);
        assert!(has(1, after(10)) && has(3, after(60)) && !has(2, start));
        assert!(!has(1, after(60)), "its time is up");
        assert_eq!(ordered(&greylist, after(60)), [1, 2, 4, 3]);
        greylist.remove(&destination(3));
        assert!(!has(3, after(60)), "it works");
        assert_eq!(ordered(&greylist, after(60)), [1, 2, 3, 4]);
    }

    #[test]
    fn who_was_reached_and_failed_is_tried_last_for_as_long_as_it_asks_within_bounds() {
        let greylist = Greylist::new(Duration::from_secs(60));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let seconds = Duration::from_secs;
        greylist.leave_alone(destination(1), None, start);
        greylist.leave_alone(destination(2), Some(seconds(10)), start);
        greylist.leave_alone(destination(3), Some(seconds(u64::MAX)), start);
        greylist.leave_alone(destination(4), Some(Duration::ZERO), start);
        greylist.remove(&destination(1));
        assert_eq!(ordered(&greylist, start), [2, 3, 4, 1]);
        assert_eq!(ordered(&greylist, after(10)), [3, 1, 4, 2]);
        assert_eq!(ordered(&greylist, after(60)), [1, 2, 4, 3]);
        assert_eq!(ordered(&greylist, after(3600)), [1, 2, 3, 4]);
    }

    #[test]
    fn with_all_failed_the_order_is_as_before() {
        let greylist = Greylist::new(Duration::from_secs(60));
        let now = Instant::now();
        for n in 1..=4 {
            greylist.add(destination(n), now);
        }
        assert_eq!(ordered(&greylist, now), [1, 2, 3, 4]);
    }

    #[test]
    fn another_port_or_transport_is_another_destination() {
        let greylist = Greylist::new(Duration::from_secs(60));
        let now = Instant::now();
        let mut plain = destination(1);
        plain.transport = TransportKind::Tcp;
        greylist.add(plain, now);
        assert_eq!(ordered(&greylist, now), [1, 2, 3, 4]);
    }

    #[test]
    fn a_duration_of_zero_switches_it_off() {
        let greylist = Greylist::new(Duration::ZERO);
        let now = Instant::now();
        greylist.add(destination(1), now);
        greylist.leave_alone(destination(1), Some(Duration::from_secs(9)), now);
        assert_eq!(ordered(&greylist, now), [1, 2, 3, 4]);
    }
}
