//! A worker's wake-up call: a timer that stays set from one wait of its poller to the next.
//!
//! A wait with a timeout sets a timer of the kernel's each time, which costs more than the rest of the wait on a virtual
//! machine. This one is set anew only when the next deadline comes before it.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// A timer that the poller watches.
pub(super) struct Timer {
    timer: TimerFd,
    /// When it wakes, if it is set.
    set_to: Option<Instant>,
}

impl Timer {
    /// A timer that wakes the poller with `token`.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        registry.register(
            &mut SourceFd(&timer.as_fd().as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        Ok(Self {
            timer,
            set_to: None,
        })
    }

    /// Sees that the poller is woken at `at` or before.
    pub(super) fn wake_at(&mut self, at: Instant, now: Instant) -> io::Result<()> {
        if self.set_to.is_some_and(|set| now < set && set <= at) {
            return Ok(());
        }
        // Zero would switch it off.
        let wait = at
            .saturating_duration_since(now)
            .max(Duration::from_micros(1));
        self.timer.set(
            Expiration::OneShot(TimeSpec::from_duration(wait)),
            TimerSetTimeFlags::empty(),
        )?;
        self.set_to = Some(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn the_poller_is_woken_for_each_deadline_though_nobody_reads_the_timer() {
        let mut poll = Poll::new().unwrap();
        let mut timer = Timer::new(poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(4);
        for _ in 0..3 {
            let now = Instant::now();
            timer.wake_at(now + Duration::from_millis(5), now).unwrap();
            // A later deadline leaves it as it is.
            timer.wake_at(now + Duration::from_secs(60), now).unwrap();
            poll.poll(&mut events, Some(Duration::from_secs(20)))
                .unwrap();
            assert_eq!(
                events.iter().map(|e| e.token()).collect::<Vec<_>>(),
                [Token(7)]
            );
            assert!(now.elapsed() >= Duration::from_millis(5));
        }
    }
}
