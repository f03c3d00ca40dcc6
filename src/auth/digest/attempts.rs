//! Wrong passwords, counted by where they come from and whom they are for: RFC 7616 §5.7.
//!
//! Each is a bucket that a failure fills and time empties. Who has proved a user from an address is not held up by what others
//! try from elsewhere, so that nobody can lock a user out of her own telephone.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use super::hash::short_sha256;

/// Entries of each table. Beyond it the one that was used least recently goes, which is a new chance for whoever has as many
/// addresses to guess from, and he has as many chances anyway.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// How long an address counts as one where a user is at home, in seconds.
const AT_HOME: u64 = 24 * 60 * 60;

/// What a failure adds to a bucket; a limit of one a minute takes as much out in each second as the limit is.
const FAILURE: u64 = 60;

/// An IPv4 address, or the /64 of an IPv6 one, whose lower half is its owner's to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// A user, in so few octets that a stranger's names cannot fill the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UserKey([u8; 16]);

impl UserKey {
    pub(super) fn of(user: &str, domain: &str) -> Self {
        let text = format!("{}:{user}@{domain}", user.len());
        Self(short_sha256(b"digest user", text.as_bytes()))
    }
}

/// How full it is, and when it was so.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: u64,
    at: u64,
}

impl Bucket {
    fn level(self, per_minute: u32, now: u64) -> u64 {
        let passed = now.saturating_sub(self.at);
        self.level
            .saturating_sub(passed.saturating_mul(per_minute.into()))
    }
}

struct Buckets<K>(Mutex<LruCache<K, Bucket>>);

impl<K: Hash + Eq> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::new(LruCache::unbounded()))
    }
}

impl<K: Hash + Eq> Buckets<K> {
    fn is_full(&self, key: &K, per_minute: u32, now: u64) -> bool {
        if per_minute == 0 {
            return false;
        }
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.peek(key).is_some_and(|bucket| {
            bucket.level(per_minute, now) + FAILURE > FAILURE * u64::from(per_minute)
        })
    }

    fn fill(&self, key: K, per_minute: u32, now: u64) {
        if per_minute == 0 {
            return;
        }
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let level = buckets
            .get(&key)
            .map_or(0, |bucket| bucket.level(per_minute, now));
        // What is tried while it is full does not fill it more: it is empty a minute after the last one that counted.
        let level = (level + FAILURE).min(FAILURE * u64::from(per_minute));
        put(&mut buckets, key, Bucket { level, at: now });
    }
}

fn put<K: Hash + Eq, V>(table: &mut LruCache<K, V>, key: K, value: V) {
    table.put(key, value);
    if table.len() > MAX_ENTRIES {
        table.pop_lru();
    }
}

/// The limits, in failures a minute; 0 for none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) per_source: u32,
    pub(super) per_user: u32,
}

/// The tables.
pub(super) struct Attempts {
    sources: Buckets<Source>,
    users: Buckets<UserKey>,
    /// When a user was last proved from there.
    at_home: Mutex<LruCache<(UserKey, Source), u64>>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            sources: Buckets::default(),
            users: Buckets::default(),
            at_home: Mutex::new(LruCache::unbounded()),
        }
    }
}

impl Attempts {
    /// Whether there have been so many failures that no password is looked at.
    pub(super) fn are_too_many(
        &self,
        user: UserKey,
        from: Source,
        limits: Limits,
        now: u64,
    ) -> bool {
        self.sources.is_full(&from, limits.per_source, now)
            || (self.users.is_full(&user, limits.per_user, now)
                && !self.is_at_home(user, from, now))
    }

    /// Counts a wrong password.
    pub(super) fn failed(&self, user: UserKey, from: Source, limits: Limits, now: u64) {
        self.sources.fill(from, limits.per_source, now);
        self.users.fill(user, limits.per_user, now);
    }

    /// Remembers that the password was right.
    pub(super) fn proved(&self, user: UserKey, from: Source, now: u64) {
        let mut at_home = self.at_home.lock().unwrap_or_else(PoisonError::into_inner);
        put(&mut at_home, (user, from), now);
    }

    fn is_at_home(&self, user: UserKey, from: Source, now: u64) -> bool {
        let at_home = self.at_home.lock().unwrap_or_else(PoisonError::into_inner);
        at_home
            .peek(&(user, from))
            .is_some_and(|proved| now.saturating_sub(*proved) <= AT_HOME)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use super::super::DigestOptions;
    use super::*;

    const LIMITS: Limits = Limits {
        per_source: 3,
        per_user: 5,
    };

    fn from(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    #[test]
    fn a_source_is_an_address_or_a_subnet_of_ipv6() {
        for (situation, a, b, is_same) in [
            ("two addresses", "192.0.2.1", "192.0.2.2", false),
            ("one, mapped", "192.0.2.1", "::ffff:192.0.2.1", true),
            ("one subnet", "2001:db8::1", "2001:db8::ffff:1", true),
            ("two subnets", "2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(from(a) == from(b), is_same, "{situation}");
        }
    }

    #[test]
    fn a_source_is_held_up_after_its_limit_and_let_go_as_time_passes() {
        let attempts = Attempts::default();
        let (alice, bob) = (UserKey::of("alice", "h"), UserKey::of("bob", "h"));
        let (here, there) = (from("192.0.2.1"), from("192.0.2.2"));
        for n in 0..3 {
            assert!(!attempts.are_too_many(alice, here, LIMITS, 1000), "{n}");
            attempts.failed(alice, here, LIMITS, 1000);
        }
        assert!(attempts.are_too_many(alice, here, LIMITS, 1000));
        assert!(attempts.are_too_many(bob, here, LIMITS, 1000), "any user");
        assert!(!attempts.are_too_many(alice, there, LIMITS, 1000));
        assert!(attempts.are_too_many(bob, here, LIMITS, 1019));
        assert!(
            !attempts.are_too_many(bob, here, LIMITS, 1020),
            "a third of a minute, a third of the limit"
        );
        attempts.failed(bob, here, LIMITS, 1020);
        assert!(attempts.are_too_many(bob, here, LIMITS, 1020));
        assert!(
            attempts.are_too_many(bob, here, LIMITS, 0),
            "a clock that was set back"
        );
        let none = Limits {
            per_source: 0,
            per_user: 0,
        };
        assert!(!attempts.are_too_many(bob, here, none, 1020));
    }

    #[test]
    fn one_address_alone_locks_nobody_out_elsewhere_unless_set_so() {
        let options = DigestOptions::default();
        let limits = Limits {
            per_source: options.max_failures_per_source,
            per_user: options.max_failures_per_user,
        };
        let attempts = Attempts::default();
        let alice = UserKey::of("alice", "h");
        let (guesser, new) = (from("192.0.2.1"), from("192.0.2.2"));
        // An hour of guesses, as fast as they are let through.
        for now in 0..3600 {
            while !attempts.are_too_many(alice, guesser, limits, now) {
                attempts.failed(alice, guesser, limits, now);
            }
            assert!(!attempts.are_too_many(alice, new, limits, now), "{now}");
        }
    }

    #[test]
    fn nobody_is_locked_out_where_she_was_within_a_day() {
        let attempts = Attempts::default();
        let alice = UserKey::of("alice", "h");
        let home = from("192.0.2.1");
        let limits = Limits {
            per_source: 2,
            per_user: 5,
        };
        let day = 24 * 60 * 60;
        attempts.proved(alice, home, 1000);
        let guess = |now| {
            for n in 0..5 {
                let stranger = Source::of(Ipv4Addr::new(198, 51, 100, n).into());
                attempts.failed(alice, stranger, limits, now);
            }
        };
        guess(1000 + day);
        assert!(attempts.are_too_many(alice, from("192.0.2.9"), limits, 1000 + day));
        assert!(!attempts.are_too_many(alice, home, limits, 1000 + day));
        guess(1001 + day);
        assert!(
            attempts.are_too_many(alice, home, limits, 1001 + day),
            "yesterday"
        );
        attempts.proved(alice, home, 1001 + day);
        attempts.failed(alice, home, limits, 1001 + day);
        attempts.failed(alice, home, limits, 1001 + day);
        assert!(
            attempts.are_too_many(alice, home, limits, 1001 + day),
            "home is no place to guess"
        );
    }

    #[test]
    fn a_million_of_each_leave_the_tables_bounded_and_the_latest_counted() {
        let attempts = Attempts::default();
        let limits = Limits {
            per_source: 1,
            per_user: 1,
        };
        for n in 0..1_000_000_u32 {
            let source = Source::V4(n.to_be_bytes());
            let user = UserKey([n.to_be_bytes(); 4].concat().try_into().unwrap());
            attempts.failed(user, source, limits, 1000);
            attempts.proved(user, source, 1000);
        }
        let sizes = [
            attempts.sources.0.lock().unwrap().len(),
            attempts.users.0.lock().unwrap().len(),
            attempts.at_home.lock().unwrap().len(),
        ];
        assert_eq!(sizes, [MAX_ENTRIES; 3]);
        let nobody = UserKey::of("nobody", "h");
        let last = Source::V4(999_999_u32.to_be_bytes());
        assert!(attempts.are_too_many(nobody, last, limits, 1000));
    }

    #[test]
    fn names_that_run_into_each_other_are_two_users() {
        assert_ne!(UserKey::of("a@b", "c"), UserKey::of("a", "b@c"));
    }
}
