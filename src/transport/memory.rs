//! Gives memory that a storm of connections or requests has left behind back to the system.

/// How high something has risen since unused memory was given back.
#[derive(Debug)]
pub(crate) struct Tide {
    most: usize,
    few: usize,
}

impl Tide {
    /// Of what comes and goes by `few` without anything to be made of it.
    pub(crate) fn new(few: usize) -> Self {
        Self { most: 0, few }
    }

    /// Whether so much less is there now than has been that it is worth while.
    pub(crate) fn is_over(&mut self, now: usize) -> bool {
        self.most = self.most.max(now);
        let is_over = self.most > now / 3 * 4 + self.few;
        if is_over {
            self.most = now;
        }
        is_over
    }
}

/// Asks the C library to return what it does not use; glibc keeps it for ever otherwise.
#[expect(unsafe_code, reason = "malloc_trim is a C function")]
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, touches only the allocator's own free lists under its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_over_once_and_steady_traffic_is_none() {
        let mut tide = Tide::new(100);
        for (now, wanted) in [
            (100, false),
            (0, false),
            (10_000, false),
            (8_000, false),
            (7_000, true),
            (6_900, false),
            (0, true),
            (0, false),
        ] {
            assert_eq!(tide.is_over(now), wanted, "{now}");
        }
    }
}
