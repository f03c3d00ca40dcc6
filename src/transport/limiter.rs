//! Keeps a peer from filling the log: so many lines a second for each kind of event and source.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lines of one kind from one source in one second.
const LINES_A_SECOND: u64 = 10;
const SLOTS: usize = 1024;

/// Counts lines. Two sources may share a counter; then they share the allowance.
#[derive(Debug)]
pub(crate) struct Limiter {
    start: Instant,
    hasher: RandomState,
    /// Second since `start` in the upper half, lines in it in the lower.
    slots: Box<[AtomicU64]>,
    suppressed: AtomicU64,
}

impl Limiter {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            hasher: RandomState::new(),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Whether a line of this kind about this source may be written now.
    pub(crate) fn allows(&self, kind: &str, source: IpAddr, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.start).as_secs() & 0xffff_ffff;
        let at = usize::try_from(self.hasher.hash_one((kind, source)) % SLOTS as u64).unwrap_or(0);
        let Some(slot) = self.slots.get(at) else {
            return true;
        };
        let counted = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            if old >> 32 != second {
                Some(second << 32 | 1)
            } else if old & 0xffff_ffff < LINES_A_SECOND {
                Some(old + 1)
            } else {
                None
            }
        });
        if counted.is_err() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        counted.is_ok()
    }

    /// Lines kept back since this was last asked.
    pub(crate) fn take_suppressed(&self) -> u64 {
        self.suppressed.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_lines_is_cut_and_counted_until_the_next_second() {
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let written = (0..100)
            .filter(|_| limiter.allows("x", source, start))
            .count();
        assert_eq!(written, 10);
        assert_eq!(limiter.take_suppressed(), 90);
        assert!(limiter.allows("x", source, start + Duration::from_secs(1)));
        assert_eq!(limiter.take_suppressed(), 0);
    }
}
