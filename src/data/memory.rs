//! What has been asked before is remembered for a while: yes and no, each with its own time, in bounded memory.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// Locks are held for one look-up; sixteen of them keep workers apart.
const SHARDS: usize = 16;

/// An answer that is a yes or a no, whatever it says besides.
pub(super) trait YesOrNo: Clone {
    fn is_yes(&self) -> bool;
}

impl YesOrNo for bool {
    fn is_yes(&self) -> bool {
        *self
    }
}

/// Answers of a kind by their questions, each with the time until which it counts.
type Shard<Q, A> = LruCache<Q, (A, Instant)>;

/// Answers by their questions.
pub(super) struct Memory<Q, A = bool> {
    shards: Vec<Mutex<Shard<Q, A>>>,
    hasher: RandomState,
    yes: Duration,
    no: Duration,
}

impl<Q: Hash + Eq, A: Clone> Memory<Q, A> {
    /// Remembers `places` answers: a yes for this long, a no for that long.
    pub(super) fn new(places: usize, yes: Duration, no: Duration) -> Self {
        let each = NonZeroUsize::new(places.div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        Self {
            // Grows with what is in it, not with what may be.
            shards: (0..SHARDS)
                .map(|_| {
                    let mut shard = LruCache::unbounded();
                    shard.resize(each);
                    Mutex::new(shard)
                })
                .collect(),
            hasher: RandomState::new(),
            yes,
            no,
        }
    }

    fn shard(&self, question: &Q) -> Option<MutexGuard<'_, Shard<Q, A>>> {
        let number = usize::try_from(self.hasher.hash_one(question)).unwrap_or(0) % SHARDS;
        let shard = self.shards.get(number)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer, if it is known and not too old.
    pub(super) fn recall(&self, question: &Q, now: Instant) -> Option<A> {
        let mut shard = self.shard(question)?;
        let (answer, until) = shard.get(question)?.clone();
        if until > now {
            return Some(answer);
        }
        shard.pop(question);
        None
    }

    /// How long such an answer is remembered that does not say so itself.
    pub(super) fn usual(&self, is_yes: bool) -> Duration {
        if is_yes { self.yes } else { self.no }
    }

    /// Remembers an answer for so long.
    pub(super) fn remember_for(&self, question: Q, answer: A, time: Duration, now: Instant) {
        if time.is_zero() {
            return;
        }
        if let (Some(mut shard), Some(until)) = (self.shard(&question), now.checked_add(time)) {
            shard.put(question, (answer, until));
        }
    }

    /// Forgets everything: the store has changed.
    pub(super) fn forget(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl<Q: Hash + Eq, A: YesOrNo> Memory<Q, A> {
    /// Remembers an answer.
    pub(super) fn remember(&self, question: Q, answer: A, now: Instant) {
        let time = self.usual(answer.is_yes());
        self.remember_for(question, answer, time, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no_are_remembered_for_their_own_time_and_in_bounded_number() {
        let memory = Memory::new(160, Duration::from_secs(60), Duration::from_secs(10));
        let start = Instant::now();
        memory.remember("alice", true, start);
        memory.remember("mallory", false, start);
        for (after, alice, mallory) in [
            (0, Some(true), Some(false)),
            (9, Some(true), Some(false)),
            (10, Some(true), None),
            (60, None, None),
        ] {
            let now = start + Duration::from_secs(after);
            assert_eq!(memory.recall(&"alice", now), alice, "{after}");
            assert_eq!(memory.recall(&"mallory", now), mallory, "{after}");
        }
        memory.remember("alice", true, start);
        memory.forget();
        assert_eq!(memory.recall(&"alice", start), None);
    }

    #[test]
    fn the_oldest_makes_room() {
        let memory = Memory::new(160, Duration::from_secs(60), Duration::from_secs(60));
        let start = Instant::now();
        for number in 0..10_000 {
            memory.remember(number, true, start);
        }
        let known = (0..10_000).filter(|n| memory.recall(n, start).is_some());
        assert_eq!(known.count(), 160);
    }
}
