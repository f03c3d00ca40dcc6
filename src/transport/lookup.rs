//! The lookup pool: everything that may take a millisecond or more, off the workers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use threadpool::ThreadPool;

use super::places::{Place, Places};

/// How long a request waits for a thread that answers its question. Each question ends in time; a thousand one behind the other
/// do not.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Threads that answer questions, and how many questions are with them.
#[derive(Debug)]
pub(crate) struct LookupPool {
    /// `threadpool` queues without bound, so places are counted before a job goes in.
    pool: Mutex<ThreadPool>,
    places: Arc<Places>,
}

/// No place is free; a request is answered 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the lookup pool has no place; raise MaximumPendingLookups, or find out what takes so long"
)]
pub struct PoolIsFull;

impl LookupPool {
    pub(crate) fn new(name: &str, threads: usize, places: usize) -> Self {
        let pool = threadpool::Builder::new()
            .num_threads(threads)
            .thread_name(name.to_owned())
            .build();
        Self {
            pool: Mutex::new(pool),
            places: Places::new(places),
        }
    }

    /// Takes a place for a job, if one is free.
    pub(crate) fn place(&self) -> Option<Place> {
        self.places.take()
    }

    /// Runs `job` on a lookup thread. A job that panics gives its place back all the same.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PoolIsFull> {
        let place = self.place().ok_or(PoolIsFull)?;
        self.run(place, job);
        Ok(())
    }

    /// Runs `job` on a lookup thread; `place` was taken for it, and is given back when it is done.
    pub(crate) fn run(&self, place: impl Send + 'static, job: impl FnOnce() + Send + 'static) {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.execute(move || {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!("lookup.panicked the job is given up");
            }
            drop(place);
        });
    }

    /// Waits until every job is done, but no longer than that.
    pub(crate) fn finish(&self, patience: Duration) {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pool.clone();
        let (done, finished) = crossbeam_channel::bounded(1);
        let waiting = thread::Builder::new()
            .name("lookup-end".to_owned())
            .spawn(move || {
                pool.join();
                // Nobody listens any more when it took too long.
                let _ = done.send(());
            });
        if waiting.is_err() || finished.recv_timeout(patience).is_err() {
            log::warn!("lookup.unfinished jobs of the lookup pool are given up");
        }
    }

    /// Questions with the pool now.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> usize {
        self.places.taken()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_full_pool_refuses_and_a_panicking_job_gives_its_place_back() {
        let pool = LookupPool::new("lookup", 1, 2);
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
