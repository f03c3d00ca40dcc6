//! The lookup pool: everything that may take a millisecond or more, off the workers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use threadpool::ThreadPool;

/// Threads that answer questions, and how many questions are with them.
#[derive(Debug)]
pub(crate) struct LookupPool {
    /// `threadpool` queues without bound, so places are counted before a job goes in.
    pool: Mutex<ThreadPool>,
    pending: Arc<AtomicUsize>,
    places: usize,
}

/// No place is free; answer 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolIsFull;

impl LookupPool {
    pub(crate) fn new(threads: usize, places: usize) -> Self {
        let pool = threadpool::Builder::new()
            .num_threads(threads)
            .thread_name("lookup".to_owned())
            .build();
        Self {
            pool: Mutex::new(pool),
            pending: Arc::new(AtomicUsize::new(0)),
            places,
        }
    }

    /// Runs `job` on a lookup thread. A job that panics gives its place back all the same.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PoolIsFull> {
        if self.pending.fetch_add(1, Ordering::AcqRel) >= self.places {
            self.pending.fetch_sub(1, Ordering::AcqRel);
            return Err(PoolIsFull);
        }
        let pending = Arc::clone(&self.pending);
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.execute(move || {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!("lookup.panicked the job is given up");
            }
            pending.fetch_sub(1, Ordering::AcqRel);
        });
        Ok(())
    }

    /// Questions with the pool now.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_full_pool_refuses_and_a_panicking_job_gives_its_place_back() {
        let pool = LookupPool::new(1, 2);
        let (go, wait) = crossbeam_channel::bounded::<()>(0);
        pool.submit(move || wait.recv().unwrap()).unwrap();
        pool.submit(|| panic!("a check that panics")).unwrap();
        assert_eq!(pool.submit(|| ()), Err(PoolIsFull));
        go.send(()).unwrap();
        let (done, finished) = crossbeam_channel::bounded(1);
        while pool.pending() > 0 {
            std::thread::yield_now();
        }
        pool.submit(move || done.send(()).unwrap()).unwrap();
        finished.recv().unwrap();
    }
}
