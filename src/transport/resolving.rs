//! Where requests lead, asked on threads of its own: a name server that is silent holds up nobody who asks a database, and
//! a name that nobody answers for takes one thread, however many requests want to go there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::journey::Journey;
use super::lookup::LookupPool;
use super::questions::{Begun, Next, Questions, Waiter};
use super::shared::Shared;
use super::worker::{Mail, Worker};
use crate::proxy::Failure;
use crate::resolve::{ResolveError, Resolved, Wanted};

/// Threads that wait for name servers, each for one URI at a time and no longer than `DNSTimeout`.
const THREADS: usize = 32;
/// A question that was asked at once ends by itself at `DNSTimeout`, with what is known by then, and its answer has to get
/// here.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

/// The threads, and the requests that wait.
pub(crate) struct Resolving {
    pool: LookupPool,
    questions: Mutex<Questions>,
}

impl Resolving {
    /// Places for so many requests.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            // What waits does so before it comes to the pool, in its flow's queue.
            pool: LookupPool::new("resolve", THREADS, THREADS),
            questions: Mutex::new(Questions::new(THREADS, places)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Questions> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that is being asked; however it ends, nobody waits for it then, and others take its thread.
struct Asked {
    shared: Arc<Shared>,
    question: Next,
    resolved: Option<Resolved>,
}

impl Asked {
    fn run(shared: &Arc<Shared>, question: Next) {
        let mut asked = Self {
            shared: Arc::clone(shared),
            question,
            resolved: None,
        };
        shared.resolving.pool.run((), move || asked.ask());
    }

    fn ask(&mut self) {
        let resolved = self
            .shared
            .resolver
            .resolve(&self.question.0, Instant::now());
        self.resolved = Some(resolved);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let done = self
            .shared
            .resolving
            .lock()
            .done(&self.question, Instant::now());
        let (waiters, next) = done;
        for question in next {
            Self::run(&self.shared, question);
        }
        // Where it has panicked, who waits is told that time is up when it is.
        let Some(resolved) = self.resolved.take() else {
            return;
        };
        for waiter in waiters {
            let mail = Mail::Resolved(waiter.ticket, resolved.clone());
            self.shared.post_waiting(waiter.worker, mail);
        }
    }
}

/// The requests of one worker that wait to know where they lead.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// By ticket. All wait equally long, so the first is due first.
    waiting: BTreeMap<u64, (Instant, Journey)>,
    last: u64,
}

impl Asking {
    /// When the next of them has waited for too long.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let (_, (until, _)) = self.waiting.first_key_value()?;
        Some(*until)
    }
}

impl Worker {
    /// Finds out where a URI leads; gives the request back when that is known already, or cannot be asked.
    pub(super) fn resolve(&mut self, mut journey: Journey, wanted: Wanted) -> Option<Journey> {
        if let Some(resolved) = self.shared.resolver.recall(&wanted, self.now) {
            journey.resolved(resolved);
            return Some(journey);
        }
        self.asking.last += 1;
        let until = self.now + self.shared.resolver.timeout() + ON_ITS_WAY;
        let waiter = Waiter {
            worker: self.number,
            ticket: self.asking.last,
            flow: journey.departure.upstream,
            until,
        };
        // Not within the match, where it would stay locked.
        let begun = self.shared.resolving.lock().ask(&wanted, waiter);
        match begun {
            Begun::Refused => {
                self.shared.counters.lookups_refused.add(1);
                journey.failed(Failure::overloaded());
                return Some(journey);
            }
            Begun::Waits => {}
            Begun::Now => Asked::run(&self.shared, (wanted, waiter.flow)),
        }
        self.asking.waiting.insert(waiter.ticket, (until, journey));
        None
    }

    /// Goes on with a request whose destinations are known now, unless it has waited for too long.
    pub(super) fn take_resolved(&mut self, ticket: u64, resolved: Resolved) {
        if let Some((_, mut journey)) = self.asking.waiting.remove(&ticket) {
            journey.resolved(resolved);
            self.travel(journey);
        }
    }

    /// Tells requests that have waited for too long, be it for a name server or for a thread, that this is so.
    pub(super) fn ring_resolving(&mut self) {
        while self.asking.next_deadline().is_some_and(|at| at <= self.now) {
            let Some((_, (_, mut journey))) = self.asking.waiting.pop_first() else {
                return;
            };
            journey.resolved(Err(ResolveError::Timeout));
            self.travel(journey);
        }
    }
}
