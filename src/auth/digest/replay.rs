//! Which nonce counts are spent: RFC 7616 §3.4, §5.5.
//!
//! A nonce is remembered once a right password has come with it, so that a stranger cannot fill the table. When a shard is
//! full, the nonces that were given out first are forgotten and become stale: nothing that is forgotten can be replayed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Nonces that are remembered in all.
pub(super) const MAX_NONCES: usize = 100_000;

/// Locks that they are spread over.
const SHARDS: usize = 16;

/// Nonces that may be forgotten for their age when one is added, so that the table gets smaller again.
const FORGOTTEN_AT_ONCE: usize = 2;

/// Which nonce: by when it was given out, then by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NonceKey {
    /// Seconds since 1970.
    pub(super) issued: u64,
    /// Each of a memory has another one.
    pub(super) id: u64,
}

/// What an answer uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// This nonce count.
    Count(u32),
    /// The nonce as a whole: an answer without qop has no count (RFC 2069).
    Whole,
}

/// Why an answer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    /// It, or one with its count, was used before.
    Already,
    /// What was used of its nonce is forgotten.
    Forgotten,
}

/// The counts of one nonce: the highest, and which of the 64 up to it are spent. A client that sends several requests at
/// once may see them overtake each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    highest: u32,
    /// Bit `n` is the count `highest - n`.
    spent: u64,
    is_whole: bool,
    /// The last INVITE that was proved together with its body.
    with_body: Option<(u32, [u8; 16])>,
}

impl Window {
    const UNUSED: Self = Self {
        highest: 0,
        spent: 0,
        is_whole: false,
        with_body: None,
    };

    fn has(&self, used: Use) -> bool {
        if self.is_whole {
            return true;
        }
        match used {
            Use::Whole => false,
            Use::Count(count) if count > self.highest => false,
            Use::Count(count) => match 1_u64.checked_shl(self.highest - count) {
                Some(bit) => self.spent & bit != 0,
                // Too long ago to know.
                None => true,
            },
        }
    }

    fn spend(&mut self, used: Use) {
        match used {
            Use::Whole => self.is_whole = true,
            Use::Count(count) if count > self.highest => {
                self.spent = self.spent.checked_shl(count - self.highest).unwrap_or(0) | 1;
                self.highest = count;
            }
            Use::Count(count) => {
                self.spent |= 1_u64.checked_shl(self.highest - count).unwrap_or(0);
            }
        }
    }
}

struct Shard {
    nonces: BTreeMap<NonceKey, Window>,
    /// Up to here all are forgotten.
    floor: NonceKey,
}

impl Shard {
    fn forget_first(&mut self) {
        if let Some((key, _)) = self.nonces.pop_first() {
            self.floor = self.floor.max(key);
        }
    }
}

/// The table.
pub(super) struct SpentCounts([Mutex<Shard>; SHARDS]);

impl SpentCounts {
    /// An empty one; nonces from before `started` count as forgotten.
    pub(super) fn new(started: u64) -> Self {
        let floor = NonceKey {
            issued: started.saturating_sub(1),
            id: u64::MAX,
        };
        Self(std::array::from_fn(|_| {
            Mutex::new(Shard {
                nonces: BTreeMap::new(),
                floor,
            })
        }))
    }

    /// Whether this could be spent now; spends nothing.
    pub(super) fn look(&self, key: NonceKey, used: Use) -> Result<(), Spent> {
        self.with(key, |shard| {
            if key <= shard.floor {
                return Err(Spent::Forgotten);
            }
            match shard.nonces.get(&key) {
                Some(window) if window.has(used) => Err(Spent::Already),
                _ => Ok(()),
            }
        })
    }

    /// Spends it, for one of any number of threads that try. Nonces given out before `oldest` are dead and may be forgotten.
    /// `body` is the answer of an INVITE that its ACK may have to repeat: see [`SpentCounts::repeats`].
    pub(super) fn spend(
        &self,
        key: NonceKey,
        used: Use,
        body: Option<[u8; 16]>,
        oldest: u64,
    ) -> Result<(), Spent> {
        self.with(key, |shard| {
            if key <= shard.floor {
                return Err(Spent::Forgotten);
            }
            if !shard.nonces.contains_key(&key) {
                for _ in 0..FORGOTTEN_AT_ONCE {
                    let first = shard.nonces.first_key_value();
                    if first.is_some_and(|(key, _)| key.issued < oldest) {
                        shard.forget_first();
                    }
                }
                if shard.nonces.len() >= MAX_NONCES / SHARDS {
                    shard.forget_first();
                }
                // The one that makes room may be older than all the others.
                if key <= shard.floor {
                    return Err(Spent::Forgotten);
                }
            }
            let window = shard.nonces.entry(key).or_insert(Window::UNUSED);
            if window.has(used) {
                return Err(Spent::Already);
            }
            window.spend(used);
            if let (Use::Count(count), Some(body)) = (used, body) {
                window.with_body = Some((count, body));
            }
            Ok(())
        })
    }

    /// Whether this was spent before, as an ACK has the credentials of its INVITE (RFC 3261 §22.1). With `body`, whether it
    /// is the last answer that an INVITE gave for its body.
    pub(super) fn repeats(&self, key: NonceKey, used: Use, body: Option<[u8; 16]>) -> bool {
        self.with(key, |shard| {
            let Some(window) = shard.nonces.get(&key) else {
                return false;
            };
            match (used, body) {
                (Use::Count(count), Some(body)) => window.with_body == Some((count, body)),
                _ => window.has(used),
            }
        })
    }

    fn with<R>(&self, key: NonceKey, work: impl FnOnce(&mut Shard) -> R) -> R {
        let at = key.id % SHARDS as u64;
        let [first, ..] = &self.0;
        // The remainder is below the number of shards.
        let shard = usize::try_from(at).ok().and_then(|at| self.0.get(at));
        let mut shard = shard
            .unwrap_or(first)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work(&mut shard)
    }

    /// How many nonces are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0
            .iter()
            .map(|s| s.lock().map_or(0, |s| s.nonces.len()))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: NonceKey = NonceKey { issued: 100, id: 3 };

    #[test]
    fn each_count_is_good_once_within_a_window_of_64() {
        use Spent::Already;
        let counts = SpentCounts::new(0);
        for (situation, used, expected) in [
            ("the first", Use::Count(1), Ok(())),
            ("again", Use::Count(1), Err(Already)),
            ("some are on their way", Use::Count(4), Ok(())),
            ("one of them", Use::Count(2), Ok(())),
            ("again", Use::Count(2), Err(Already)),
            ("the other", Use::Count(3), Ok(())),
            ("the last one again", Use::Count(4), Err(Already)),
            ("the window moves", Use::Count(68), Ok(())),
            ("spent at its edge", Use::Count(5), Ok(())),
            ("behind it", Use::Count(4), Err(Already)),
            ("the highest there is", Use::Count(u32::MAX), Ok(())),
            ("all below are gone", Use::Count(69), Err(Already)),
            ("but the nearest", Use::Count(u32::MAX - 63), Ok(())),
            ("and no more", Use::Count(u32::MAX - 64), Err(Already)),
            ("without a count", Use::Whole, Ok(())),
            ("again", Use::Whole, Err(Already)),
            ("nothing is left", Use::Count(u32::MAX - 1), Err(Already)),
        ] {
            assert_eq!(counts.look(KEY, used), expected, "{situation}: looked at");
            assert_eq!(counts.spend(KEY, used, None, 0), expected, "{situation}");
        }
        let counts = SpentCounts::new(0);
        assert_eq!(
            counts.spend(KEY, Use::Count(0), None, 0),
            Ok(()),
            "0 is a count"
        );
        assert_eq!(counts.spend(KEY, Use::Count(0), None, 0), Err(Already));
    }

    #[test]
    fn what_is_forgotten_is_stale_and_not_fresh_again() {
        let counts = SpentCounts::new(100);
        let before = NonceKey { issued: 99, id: 1 };
        assert_eq!(
            counts.spend(before, Use::Whole, None, 0),
            Err(Spent::Forgotten)
        );
        for id in 0..1_000_000 {
            let key = NonceKey {
                issued: 100 + id / 1000,
                id,
            };
            assert_eq!(counts.spend(key, Use::Count(1), None, 0), Ok(()), "{id}");
            assert_eq!(
                counts.spend(key, Use::Count(1), None, 0),
                Err(Spent::Already)
            );
        }
        assert_eq!(counts.len(), MAX_NONCES);
        for id in [0, 1, 5_000, 899_999] {
            let key = NonceKey {
                issued: 100 + id / 1000,
                id,
            };
            assert_eq!(
                counts.spend(key, Use::Count(2), None, 0),
                Err(Spent::Forgotten),
                "{id}"
            );
        }
        let kept = NonceKey {
            issued: 1000,
            id: 900_000,
        };
        assert_eq!(
            counts.spend(kept, Use::Count(1), None, 0),
            Err(Spent::Already)
        );
        assert_eq!(counts.spend(kept, Use::Count(2), None, 0), Ok(()));
    }

    #[test]
    fn one_older_than_all_that_are_remembered_does_not_push_out_and_come_in() {
        let counts = SpentCounts::new(0);
        for id in 0..MAX_NONCES as u64 {
            let key = NonceKey { issued: 200, id };
            assert_eq!(counts.spend(key, Use::Whole, None, 0), Ok(()));
        }
        assert_eq!(
            counts.spend(KEY, Use::Whole, None, 0),
            Err(Spent::Forgotten)
        );
        assert!(counts.len() >= MAX_NONCES - 1);
    }

    #[test]
    fn the_dead_make_room() {
        let counts = SpentCounts::new(0);
        for id in 0..1600 {
            let key = NonceKey { issued: 100, id };
            assert_eq!(counts.spend(key, Use::Whole, None, 0), Ok(()));
        }
        for id in 1600..3200 {
            let key = NonceKey { issued: 900, id };
            assert_eq!(counts.spend(key, Use::Whole, None, 500), Ok(()));
        }
        assert_eq!(counts.len(), 1600);
    }

    #[test]
    fn of_many_threads_with_one_answer_one_gets_through() {
        let counts = SpentCounts::new(0);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (1..200)
                            .filter(|n| counts.spend(KEY, Use::Count(*n), None, 0).is_ok())
                            .count()
                    })
                })
                .collect();
            threads.into_iter().filter_map(|t| t.join().ok()).sum()
        });
        // Some may come more than 64 behind another thread, and are refused by all.
        assert!((64..200).contains(&passed), "{passed}");
    }
}
