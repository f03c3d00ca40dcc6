//! Where requests lead, asked on threads of its own: a name server that is silent holds up nobody who asks a database, and
//! a name that nobody answers for takes one thread, however many requests want to go there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::journey::Journey;
use super::lookup::LookupPool;
use super::places::Place;
use super::shared::Shared;
use super::worker::{Mail, Worker};
use crate::proxy::Failure;
use crate::resolve::Wanted;

/// Threads that wait for name servers, each for one URI at a time and no longer than `DNSTimeout`.
const THREADS: usize = 32;

/// The threads, and the requests that wait.
pub(crate) struct Resolving {
    pool: LookupPool,
    waiting: Mutex<HashMap<Wanted, Vec<Waiting>>>,
}

/// A request that waits for the answer that the first of its kind has asked for.
struct Waiting {
    worker: usize,
    journey: Journey,
    /// Held for as long as it waits; that of the first is with its job.
    _place: Option<Place>,
}

impl Resolving {
    /// Places for so many requests.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            pool: LookupPool::new("resolve", THREADS, places),
            waiting: Mutex::default(),
        }
    }

    /// Whoever waits for this, and then nobody does.
    fn leave(&self, wanted: &Wanted) -> Vec<Waiting> {
        self.lock().remove(wanted).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Wanted, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question; however it ends, nobody waits for it then.
struct Asking {
    shared: Arc<Shared>,
    wanted: Wanted,
}

impl Asking {
    fn ask(&self) {
        let resolved = self.shared.resolver.resolve(&self.wanted, Instant::now());
        for waiting in self.shared.resolving.leave(&self.wanted) {
            let mail = Mail::Resolved(waiting.journey, resolved.clone());
            self.shared.post_waiting(waiting.worker, mail);
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // Where it has panicked; what waited is answered when it is given up.
        self.shared.resolving.leave(&self.wanted);
    }
}

impl Worker {
    /// Finds out where a URI leads; gives the request back when that is known already, or cannot be asked.
    pub(super) fn resolve(&mut self, mut journey: Journey, wanted: Wanted) -> Option<Journey> {
        if let Some(resolved) = self.shared.resolver.recall(&wanted, self.now) {
            journey.resolved(resolved);
            return Some(journey);
        }
        let resolving = &self.shared.resolving;
        let Some(place) = resolving.pool.place() else {
            self.shared.counters.lookups_refused.add(1);
            journey.failed(Failure::overloaded());
            return Some(journey);
        };
        let worker = self.number;
        let waiting = |journey, place| Waiting {
            worker,
            journey,
            _place: place,
        };
        let mut table = resolving.lock();
        if let Some(others) = table.get_mut(&wanted) {
            others.push(waiting(journey, Some(place)));
            return None;
        }
        table.insert(wanted.clone(), vec![waiting(journey, None)]);
        drop(table);
        let shared = Arc::clone(&self.shared);
        let asking = Asking { shared, wanted };
        resolving.pool.run(place, move || asking.ask());
        None
    }
}
