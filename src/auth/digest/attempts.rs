//! Wrong passwords, counted by where they come from and whom they are for: RFC 7616 §5.7.
//!
//! Each is a bucket that a failure fills and time empties. One source may fill a part of a user's bucket and no more, so that
//! it takes several to hold her up wherever she comes to. Where a user has been proved she is at home: there she has a bucket
//! of her own, and is held up neither by what others try from elsewhere nor by what her neighbours behind one NAT try.

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

/// How many sources it takes at least to fill the bucket of a user, unless that has room for fewer failures.
const SOURCES_OF_A_USER: u32 = 4;

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

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) source: Source,
    /// Whether the sender can be reached there: by a connection, or by the nonce that went there. Otherwise anybody may have
    /// written the address, and what is done in its name must not be laid to it.
    pub(super) is_certain: bool,
}

impl Origin {
    /// The source that failures are laid to; `None`, which all share, when it is not certain.
    fn blamed(self) -> Option<Source> {
        self.is_certain.then_some(self.source)
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

impl Limits {
    /// For one user from one source.
    fn part(self) -> u32 {
        match self.per_user {
            0 => 0,
            per_user => (per_user / SOURCES_OF_A_USER).max(1),
        }
    }

    /// For a user from where she is at home: without a limit for sources that of the user, since there is no other there.
    fn at_home(self) -> u32 {
        match self.per_source {
            0 => self.per_user,
            per_source => per_source,
        }
    }
}

/// The tables.
pub(super) struct Attempts {
    sources: Buckets<Source>,
    users: Buckets<UserKey>,
    /// What each source has filled of the bucket of a user.
    parts: Buckets<(UserKey, Option<Source>)>,
    /// Those of users where they are at home.
    homes: Buckets<(UserKey, Origin)>,
    /// When a user was last proved from there.
    at_home: Mutex<LruCache<(UserKey, Origin), u64>>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            sources: Buckets::default(),
            users: Buckets::default(),
            parts: Buckets::default(),
            homes: Buckets::default(),
            at_home: Mutex::new(LruCache::unbounded()),
        }
    }
}

impl Attempts {
    /// Whether there have been so many failures that no password is looked at.
    pub(super) fn are_too_many(
        &self,
        user: UserKey,
        from: Origin,
        limits: Limits,
        now: u64,
    ) -> bool {
        if self.is_at_home(user, from, now) {
            return self.homes.is_full(&(user, from), limits.at_home(), now);
        }
        let is_full = |source| self.sources.is_full(&source, limits.per_source, now);
        let blamed = from.blamed();
        blamed.is_some_and(is_full)
            || self.parts.is_full(&(user, blamed), limits.part(), now)
            || self.users.is_full(&user, limits.per_user, now)
    }

    /// Counts a wrong password.
    pub(super) fn failed(&self, user: UserKey, from: Origin, limits: Limits, now: u64) {
        if self.is_at_home(user, from, now) {
            self.homes.fill((user, from), limits.at_home(), now);
        }
        let blamed = from.blamed();
        if let Some(source) = blamed {
            self.sources.fill(source, limits.per_source, now);
        }
        // What is looked at nevertheless, at home, does not hold the user up elsewhere.
        let part = (user, blamed);
        if !self.parts.is_full(&part, limits.part(), now) {
            self.parts.fill(part, limits.part(), now);
            self.users.fill(user, limits.per_user, now);
        }
    }

    /// Remembers that the password was right.
    pub(super) fn proved(&self, user: UserKey, from: Origin, now: u64) {
        let mut at_home = self.at_home.lock().unwrap_or_else(PoisonError::into_inner);
        put(&mut at_home, (user, from), now);
    }

    fn is_at_home(&self, user: UserKey, from: Origin, now: u64) -> bool {
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

    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    /// What an operator has who changed nothing.
    const LIMITS: Limits = Limits {
        per_source: 60,
        per_user: 60,
    };

    fn source(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    fn from(address: &str) -> Origin {
        Origin {
            source: source(address),
            is_certain: true,
        }
    }

    /// As a datagram says it.
    fn written(address: &str) -> Origin {
        Origin {
            is_certain: false,
            ..from(address)
        }
    }

    fn user(name: &str) -> UserKey {
        UserKey::of(name, "example.org")
    }

    /// Guesses as often as somebody is let; how often that was.
    fn guess(attempts: &Attempts, name: &str, from: Origin, limits: Limits, now: u64) -> u32 {
        let mut guesses = 0;
        while guesses < 1000 && !attempts.are_too_many(user(name), from, limits, now) {
            attempts.failed(user(name), from, limits, now);
            guesses += 1;
        }
        guesses
    }

    #[test]
    fn a_source_is_an_address_or_a_subnet_of_ipv6() {
        for (situation, a, b, is_same) in [
            ("two addresses", "192.0.2.1", "192.0.2.2", false),
            ("one, mapped", "192.0.2.1", "::ffff:192.0.2.1", true),
            ("one subnet", "2001:db8::1", "2001:db8::ffff:1", true),
            ("two subnets", "2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(source(a) == source(b), is_same, "{situation}");
        }
    }

    #[test]
    fn guesses_are_limited_by_source_by_user_and_by_both() {
        let limits = |per_source, per_user| Limits {
            per_source,
            per_user,
        };
        for (situation, limits, alice_here, bob_here, alice_there) in [
            ("as set by default", LIMITS, 15, 15, 15),
            ("a source before its part of a user", limits(3, 60), 3, 0, 3),
            ("no limit of a source", limits(0, 8), 2, 2, 2),
            ("no limit of a user", limits(3, 0), 3, 0, 3),
            ("no limit", limits(0, 0), 1000, 1000, 1000),
            ("a user of few", limits(60, 3), 1, 1, 1),
            ("a user of one", limits(60, 1), 1, 1, 0),
        ] {
            let attempts = Attempts::default();
            let (here, there) = (from("192.0.2.1"), from("192.0.2.2"));
            let found = [("alice", here), ("bob", here), ("alice", there)]
                .map(|(name, from)| guess(&attempts, name, from, limits, 1000));
            assert_eq!(found, [alice_here, bob_here, alice_there], "{situation}");
        }
    }

    #[test]
    fn one_source_never_holds_a_user_up_elsewhere_however_long_it_tries() {
        let attempts = Attempts::default();
        let mut guesses = 0;
        for now in 1000..1600 {
            guesses += guess(&attempts, "alice", from("198.51.100.1"), LIMITS, now);
            for new in ["192.0.2.1", "2001:db8::1"] {
                let is_held_up = attempts.are_too_many(user("alice"), from(new), LIMITS, now);
                assert!(!is_held_up, "{new} at {now}");
            }
        }
        assert_eq!(guesses, 15 + 599 / 4, "a quarter of the limit, a minute");
    }

    #[test]
    fn what_is_refused_or_too_much_for_one_source_does_not_count_against_the_user() {
        let attempts = Attempts::default();
        // Checked together before the first was counted.
        for _ in 0..1000 {
            attempts.failed(user("alice"), from("198.51.100.1"), LIMITS, 1000);
        }
        let rest: u32 = (2..=5)
            .map(|n| Source::of(Ipv4Addr::new(198, 51, 100, n).into()))
            .map(|source| Origin {
                source,
                is_certain: true,
            })
            .map(|stranger| guess(&attempts, "alice", stranger, LIMITS, 1000))
            .sum();
        assert_eq!(rest, 45);
        let new = from("192.0.2.1");
        assert!(attempts.are_too_many(user("alice"), new, LIMITS, 1000));
        assert!(!attempts.are_too_many(user("bob"), new, LIMITS, 1000));
    }

    #[test]
    fn a_source_is_let_go_as_time_passes() {
        let attempts = Attempts::default();
        let limits = Limits {
            per_source: 3,
            per_user: 0,
        };
        let here = from("192.0.2.1");
        assert_eq!(guess(&attempts, "alice", here, limits, 1000), 3);
        for (situation, now, guesses) in [
            ("at once", 1000, 0),
            ("a moment before", 1019, 0),
            ("a third of a minute, a third of the limit", 1020, 1),
            ("a clock that was set back", 0, 0),
            ("a minute", 1080, 3),
        ] {
            let found = guess(&attempts, "bob", here, limits, now);
            assert_eq!(found, guesses, "{situation}");
        }
    }

    #[test]
    fn who_is_at_home_is_held_up_by_nobody_else_and_guesses_there_are_limited() {
        let home = from("192.0.2.1");
        let by_whom: [(&str, &[(&str, Origin)]); 3] = [
            ("nobody", &[]),
            (
                "neighbours with passwords of others",
                &[
                    ("bob", home),
                    ("carol", home),
                    ("dave", home),
                    ("eve", home),
                ],
            ),
            (
                "strangers with hers",
                &[
                    ("alice", from("198.51.100.1")),
                    ("alice", from("198.51.100.2")),
                    ("alice", from("198.51.100.3")),
                    ("alice", from("198.51.100.4")),
                ],
            ),
        ];
        for (situation, others) in by_whom {
            for (when, proved, at_home) in [
                ("never", None, false),
                ("a day ago", Some(1000), true),
                ("before that", Some(999), false),
            ] {
                let attempts = Attempts::default();
                if let Some(at) = proved {
                    attempts.proved(user("alice"), home, at);
                }
                let now = 1000 + DAY;
                for (name, from) in others {
                    assert_eq!(guess(&attempts, name, *from, LIMITS, now), 15);
                }
                let wanted = match (at_home, others) {
                    (true, _) => 60,
                    (false, []) => 15,
                    (false, _) => 0,
                };
                let found = guess(&attempts, "alice", home, LIMITS, now);
                assert_eq!(found, wanted, "held up by {situation}, proved {when}");
                let again = guess(&attempts, "alice", home, LIMITS, now + 1);
                assert!(again <= 1, "{situation}, proved {when}");
            }
        }
    }

    #[test]
    fn guesses_at_home_are_limited_without_a_limit_of_sources_and_hold_nobody_up_elsewhere() {
        let limits = Limits {
            per_source: 0,
            per_user: 8,
        };
        let attempts = Attempts::default();
        let home = from("192.0.2.1");
        attempts.proved(user("alice"), home, 1000);
        assert_eq!(guess(&attempts, "alice", home, limits, 1000), 8);
        let elsewhere = from("192.0.2.2");
        assert!(!attempts.are_too_many(user("alice"), elsewhere, limits, 1000));
    }

    #[test]
    fn an_address_that_anybody_may_have_written_is_not_blamed() {
        let attempts = Attempts::default();
        let victim = "192.0.2.1";
        attempts.proved(user("carol"), from(victim), 1000);
        for name in ["alice", "bob", "carol", "dave", "eve", "frank"] {
            assert_eq!(guess(&attempts, name, written(victim), LIMITS, 1000), 15);
        }
        for (situation, name, from, guesses) in [
            (
                "written anew, for one user",
                "alice",
                written("192.0.2.2"),
                0,
            ),
            ("over a connection", "alice", from(victim), 15),
            ("where she is at home", "carol", from(victim), 60),
            ("another user", "grace", written(victim), 15),
        ] {
            let found = guess(&attempts, name, from, LIMITS, 1000);
            assert_eq!(found, guesses, "{situation}");
        }
        attempts.proved(user("alice"), written(victim), 1000);
        for (situation, from, is_held_up) in [
            ("her telephone", written(victim), false),
            ("another address", written("192.0.2.2"), true),
        ] {
            let found = attempts.are_too_many(user("alice"), from, LIMITS, 1000);
            assert_eq!(found, is_held_up, "{situation}");
        }
    }

    #[test]
    fn a_million_of_each_leave_the_tables_bounded_and_the_latest_counted() {
        let attempts = Attempts::default();
        let limits = Limits {
            per_source: 1,
            per_user: 1,
        };
        for n in 0..1_000_000_u32 {
            let from = Origin {
                source: Source::V4(n.to_be_bytes()),
                is_certain: true,
            };
            let user = UserKey([n.to_be_bytes(); 4].concat().try_into().unwrap());
            attempts.proved(user, from, 1000);
            attempts.failed(user, from, limits, 1000);
        }
        let sizes = [
            attempts.sources.0.lock().unwrap().len(),
            attempts.users.0.lock().unwrap().len(),
            attempts.parts.0.lock().unwrap().len(),
            attempts.homes.0.lock().unwrap().len(),
            attempts.at_home.lock().unwrap().len(),
        ];
        assert_eq!(sizes, [MAX_ENTRIES; 5]);
        let last = Origin {
            source: Source::V4(999_999_u32.to_be_bytes()),
            is_certain: true,
        };
        assert!(attempts.are_too_many(user("nobody"), last, limits, 1000));
    }

    #[test]
    fn names_that_run_into_each_other_are_two_users() {
        assert_ne!(UserKey::of("a@b", "c"), UserKey::of("a", "b@c"));
    }
}
