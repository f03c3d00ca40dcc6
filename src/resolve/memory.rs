//! Answers that are remembered, each for its own time and in bounded number, and questions that are under way: a question
//! that two ask at once is asked once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::answer::{Answer, Question, Reply};
use super::{ResolveError, ResolverOptions};

/// Locks are held for one look-up; sixteen of them keep workers apart.
const SHARDS: usize = 16;

/// How long a failure is remembered (RFC 9520 §3.2: at least a second, at most five minutes). Requests to a domain whose name
/// servers are dead must not hold a lookup thread each; when they are back, this is what their callers still wait.
const FAILURE: Duration = Duration::from_secs(10);

/// A question under way.
#[derive(Debug)]
pub(super) struct Flight {
    /// The time of whoever asked, which the life of the answer counts from.
    asked: Instant,
    answer: Mutex<Option<Answer>>,
    landed: Condvar,
}

impl Flight {
    /// The answer, once it is there; `None` if it is not there by then.
    pub(super) fn wait(&self, deadline: Instant) -> Option<Answer> {
        let mut answer = lock(&self.answer);
        loop {
            if let Some(answer) = &*answer {
                return Some(answer.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            answer = self
                .landed
                .wait_timeout(answer, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// How it stands with a question.
pub(super) enum Standing {
    /// The answer is remembered.
    Known(Answer),
    /// Somebody has asked it already.
    UnderWay(Arc<Flight>),
    /// It is for the caller to ask, and to [`Memory::land`] the answer.
    Yours(Arc<Flight>),
}

#[derive(Debug)]
struct Shard {
    answers: LruCache<Question, (Answer, Instant)>,
    flights: HashMap<Question, Arc<Flight>>,
}

/// Answers by their questions.
#[derive(Debug)]
pub(super) struct Memory {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    min_ttl: Duration,
    max_ttl: Duration,
    negative_ttl: Duration,
}

impl Memory {
    pub(super) fn new(options: &ResolverOptions) -> Self {
        let each = options.cache.get().div_ceil(SHARDS);
        let each = NonZeroUsize::new(each).unwrap_or(NonZeroUsize::MIN);
        Self {
            shards: (0..SHARDS)
                .map(|_| {
                    // Grows with what is in it, not with what may be.
                    let mut answers = LruCache::unbounded();
                    answers.resize(each);
                    Mutex::new(Shard {
                        answers,
                        flights: HashMap::new(),
                    })
                })
                .collect(),
            hasher: RandomState::new(),
            min_ttl: options.min_ttl,
            max_ttl: options.max_ttl.max(options.min_ttl),
            negative_ttl: options.negative_ttl.max(options.min_ttl),
        }
    }

    fn shard(&self, question: &Question) -> Option<MutexGuard<'_, Shard>> {
        let number = usize::try_from(self.hasher.hash_one(question) % SHARDS as u64).ok()?;
        self.shards.get(number).map(lock)
    }

    /// The answer, if it is remembered and still good.
    pub(super) fn recall(&self, question: &Question, now: Instant) -> Option<Answer> {
        self.shard(question)?.recall(question, now)
    }

    /// The answer, or who asks for it.
    pub(super) fn standing(&self, question: &Question, now: Instant) -> Standing {
        let flight = || {
            Arc::new(Flight {
                asked: now,
                answer: Mutex::new(None),
                landed: Condvar::new(),
            })
        };
        let Some(mut shard) = self.shard(question) else {
            return Standing::Yours(flight());
        };
        if let Some(answer) = shard.recall(question, now) {
            return Standing::Known(answer);
        }
        if let Some(flight) = shard.flights.get(question) {
            return Standing::UnderWay(Arc::clone(flight));
        }
        let flight = flight();
        shard.flights.insert(question.clone(), Arc::clone(&flight));
        Standing::Yours(flight)
    }

    /// Remembers the reply to a question that was under way, and tells all who wait. A second one to the same is dropped.
    pub(super) fn land(&self, question: &Question, flight: &Flight, reply: Reply) {
        // Held to the end: whoever has waited for the answer finds it remembered, too.
        let mut answer = lock(&flight.answer);
        if answer.is_some() {
            return;
        }
        *answer = Some(reply.answer.clone());
        if let Some(mut shard) = self.shard(question) {
            shard.flights.remove(question);
            if let Some(until) = flight.asked.checked_add(self.life(&reply)) {
                shard.answers.put(question.clone(), (reply.answer, until));
            }
        }
        flight.landed.notify_all();
    }

    /// How long a reply is good for.
    fn life(&self, reply: &Reply) -> Duration {
        let ttl = reply.ttl.map(|ttl| Duration::from_secs(ttl.into()));
        match &reply.answer {
            Ok(_) => ttl.unwrap_or_default().clamp(self.min_ttl, self.max_ttl),
            Err(error) if error.is_absence() => ttl
                .unwrap_or(self.negative_ttl)
                .clamp(self.min_ttl, self.negative_ttl),
            // Not the fault of anybody out there, and nothing has been asked.
            Err(ResolveError::BadHost | ResolveError::NoTransport) => Duration::ZERO,
            Err(_) => FAILURE,
        }
    }
}

impl Shard {
    fn recall(&mut self, question: &Question, now: Instant) -> Option<Answer> {
        let (answer, until) = self.answers.get(question)?;
        if *until > now {
            return Some(answer.clone());
        }
        self.answers.pop(question);
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::thread;

    use super::super::answer::{Kind, Name, Records};
    use super::*;

    fn question(name: &str) -> Question {
        Question {
            kind: Kind::Srv,
            name: Name::new(name).unwrap(),
        }
    }

    fn good(ttl: u32) -> Reply {
        Reply {
            answer: Ok(Arc::new(Records::Srv(Vec::new()))),
            ttl: Some(ttl),
        }
    }

    fn absent(ttl: Option<u32>) -> Reply {
        Reply {
            answer: Err(ResolveError::NoRecords),
            ttl,
        }
    }

    fn learn(memory: &Memory, name: &str, reply: Reply, now: Instant) {
        match memory.standing(&question(name), now) {
            Standing::Yours(flight) => memory.land(&question(name), &flight, reply),
            Standing::Known(_) | Standing::UnderWay(_) => panic!("{name} is known"),
        }
    }

    #[test]
    fn an_answer_is_good_for_its_time_within_bounds() {
        let memory = Memory::new(&ResolverOptions {
            min_ttl: Duration::from_secs(2),
            max_ttl: Duration::from_secs(600),
            negative_ttl: Duration::from_secs(60),
            ..ResolverOptions::default()
        });
        let start = Instant::now();
        for (number, (situation, reply, seconds)) in [
            ("its own TTL", good(300), 300),
            ("TTL 0 still stills a storm", good(0), 2),
            ("the longest", good(86_400), 600),
            ("more than any clock", good(u32::MAX), 600),
            ("absence by the SOA record", absent(Some(30)), 30),
            ("absence no longer than our bound", absent(Some(3600)), 60),
            ("absence without an SOA record", absent(None), 60),
            ("a failure", Reply::failed(ResolveError::ServerFailure), 10),
            ("a time-out", Reply::failed(ResolveError::Timeout), 10),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("n{number}.example");
            let answer = reply.answer.clone();
            learn(&memory, &name, reply, start);
            let at = |milliseconds| start + Duration::from_millis(milliseconds);
            let recall = |now| memory.recall(&question(&name), now);
            assert_eq!(recall(at(seconds * 1000 - 1)), Some(answer), "{situation}");
            assert_eq!(recall(at(seconds * 1000)), None, "{situation}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_makes_room() {
        let memory = Memory::new(&ResolverOptions {
            cache: NonZeroUsize::new(160).unwrap(),
            ..ResolverOptions::default()
        });
        let start = Instant::now();
        let name = |n| format!("n{n}.example");
        for n in 0..5000 {
            learn(&memory, &name(n), good(60), start);
        }
        let known = (0..5000).filter(|n| memory.recall(&question(&name(*n)), start).is_some());
        assert_eq!(known.count(), 160);
        assert!(memory.shards.iter().all(|s| lock(s).flights.is_empty()));
    }

    #[test]
    fn a_question_under_way_is_not_asked_again_and_all_get_its_answer() {
        let memory = Memory::new(&ResolverOptions::default());
        let now = Instant::now();
        let asked = question("example.com");
        let Standing::Yours(flight) = memory.standing(&asked, now) else {
            panic!("nobody has asked");
        };
        let deadline = now + Duration::from_secs(60);
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| match memory.standing(&asked, now) {
                        Standing::UnderWay(flight) => flight.wait(deadline),
                        Standing::Known(answer) => Some(answer),
                        Standing::Yours(_) => None,
                    })
                })
                .collect();
            memory.land(&asked, &flight, good(60));
            // Too late.
            memory.land(&asked, &flight, absent(None));
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Some(good(60).answer));
            }
        });
    }

    #[test]
    fn whoever_waits_too_long_goes_on_without() {
        let memory = Memory::new(&ResolverOptions::default());
        let now = Instant::now();
        let Standing::Yours(flight) = memory.standing(&question("example.com"), now) else {
            panic!("nobody has asked");
        };
        assert_eq!(flight.wait(now + Duration::from_millis(5)), None);
    }
}
