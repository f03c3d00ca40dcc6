//! Address-of-record → bindings, in shards so that workers seldom meet; expiry against a given time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::binding::{Aor, Binding, FlowId, Reach};
use super::changed::{Changed, ChangedSet};

/// Number of shards: a lock is held for one address-of-record, or for one 128th of all while sweeping.
const SHARDS: usize = 128;

/// Most phones have one binding: a boxed slice is two words and one allocation of the right size.
type Shard = HashMap<Aor, Box<[Binding]>>;

/// The location service (RFC 3261 §10): the live bindings of every address-of-record.
///
/// [`super::register`] puts bindings in, and [`Location::restore`] those that were there before a restart.
#[derive(Debug)]
pub struct Location {
    shards: [Mutex<Shard>; SHARDS],
    /// Secret of this process, so that no peer can aim at one shard.
    hasher: RandomState,
    /// Addresses-of-record that have bindings, expired ones not yet swept included.
    aors: AtomicUsize,
    /// The shard that is swept next.
    cursor: AtomicUsize,
    /// What has changed, if somebody wants to know.
    changed: ChangedSet,
}

/// A new address-of-record found no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Default for Location {
    fn default() -> Self {
        Self::new()
    }
}

impl Location {
    /// An empty one. Uses no memory for bindings until there are some.
    pub fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            aors: AtomicUsize::new(0),
            cursor: AtomicUsize::new(0),
            changed: ChangedSet::default(),
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the index is taken modulo the length of the array"
    )]
    fn lock_at(&self, index: usize) -> MutexGuard<'_, Shard> {
        // A panic while a shard was locked leaves at worst an address-of-record without bindings, which a sweep removes.
        self.shards[index % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self, aor: &str) -> MutexGuard<'_, Shard> {
        self.lock_at(usize::try_from(self.hasher.hash_one(aor) % SHARDS as u64).unwrap_or(0))
    }

    /// Live bindings of an address-of-record (`user@host`, canonical); empty without any.
    pub fn lookup(&self, aor: &str, now: Instant) -> Vec<Binding> {
        self.lock(aor)
            .get(aor)
            .map(|bindings| {
                bindings
                    .iter()
                    .filter(|b| b.is_live(now))
                    .cloned()
                    .collect()
            })
            .unwrap_or_default()
    }

    /// The live bindings of every address-of-record, a shard at a time.
    pub(super) fn live(&self, now: Instant) -> impl Iterator<Item = (Aor, Vec<Binding>)> {
        (0..SHARDS).flat_map(move |index| {
            let shard = self.lock_at(index);
            let live = shard.iter().map(|(aor, bindings)| {
                let live = bindings.iter().filter(|b| b.is_live(now)).cloned();
                (aor.clone(), live.collect::<Vec<_>>())
            });
            let live: Vec<_> = live.filter(|(_, bindings)| !bindings.is_empty()).collect();
            live
        })
    }

    /// Remembers from now on which addresses-of-record change, up to `most` of them, for [`Location::take_changed`]. A
    /// change is whatever makes the bindings others than they were: a new, a refreshed, a removed, an expired one, one
    /// whose connection closed.
    pub fn track_changes(&self, most: usize) {
        self.changed.start(most);
    }

    /// Remembers no changes any more. A server that ends does so before it closes its connections: the bindings that go
    /// with them are to be there again after the restart, and nobody may take their going for a removal.
    pub fn stop_tracking(&self) {
        self.changed.stop();
    }

    /// What has changed since the last time. Whoever takes it looks at the bindings afterwards, and so sees at least
    /// the state that it was told of.
    pub fn take_changed(&self) -> Changed {
        self.changed.take()
    }

    /// Takes back what [`Location::take_changed`] told and nobody could make use of.
    pub fn give_back_changed(&self, changed: Changed) {
        self.changed.give_back(changed);
    }

    /// The bindings of this address-of-record are others than before. Never called with a shard locked.
    pub(super) fn mark_changed(&self, aor: &Aor) {
        self.changed.add(aor);
    }

    /// Number of addresses-of-record with bindings.
    pub fn len(&self) -> usize {
        self.aors.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets `change` see and change the live bindings of one address-of-record under its lock. What it leaves is
    /// stored; `Full` when that would be one address-of-record more than `max_total`, and then nothing is.
    ///
    /// With it comes the key under which they are stored, if any are left.
    pub(super) fn change<T>(
        &self,
        aor: &Aor,
        max_total: usize,
        now: Instant,
        change: impl FnOnce(&mut Vec<Binding>) -> T,
    ) -> Result<(T, Option<Aor>), Full> {
        let mut shard = self.lock(aor.as_str());
        let Some(slot) = shard.get_mut(aor.as_str()) else {
            let mut bindings = Vec::new();
            let result = change(&mut bindings);
            if bindings.is_empty() {
                return Ok((result, None));
            }
            let reserved = self
                .aors
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |aors| {
                    (aors < max_total).then_some(aors + 1)
                });
            reserved.map_err(|_| Full)?;
            shard.insert(aor.clone(), bindings.into_boxed_slice());
            return Ok((result, Some(aor.clone())));
        };
        // Box to Vec and back is free as long as the number of bindings stays.
        let mut bindings = std::mem::take(slot).into_vec();
        let stored = bindings.len();
        bindings.retain(|b| b.is_live(now));
        let expired = bindings.len() < stored;
        let result = change(&mut bindings);
        let left = !bindings.is_empty();
        *slot = bindings.into_boxed_slice();
        let mut key = None;
        if left {
            key = shard
                .get_key_value(aor.as_str())
                .map(|(key, _)| key.clone());
        } else {
            shard.remove(aor.as_str());
            self.aors.fetch_sub(1, Ordering::Relaxed);
            shrink(&mut shard);
        }
        drop(shard);
        if expired {
            self.mark_changed(aor);
        }
        Ok((result, key))
    }

    /// Removes expired bindings of the next `shards` shards; returns how many bindings went. A call for each second
    /// and a few shards keeps the whole clean in about half a minute, and no lock is held for long.
    pub fn sweep(&self, now: Instant, shards: usize) -> usize {
        let (mut removed, tracking) = (0, self.changed.is_on());
        for _ in 0..shards.min(SHARDS) {
            let mut changed = Vec::new();
            let mut shard = self.lock_at(self.cursor.fetch_add(1, Ordering::Relaxed));
            let before = shard.len();
            shard.retain(|aor, bindings| {
                let expired = keep(bindings, |b| b.is_live(now));
                removed += expired;
                if expired > 0 && tracking {
                    changed.push(aor.clone());
                }
                !bindings.is_empty()
            });
            self.aors.fetch_sub(before - shard.len(), Ordering::Relaxed);
            shrink(&mut shard);
            drop(shard);
            changed.iter().for_each(|aor| self.mark_changed(aor));
        }
        removed
    }

    /// Whether a binding of this address-of-record lives on this connection.
    pub fn is_tied(&self, flow: FlowId, aor: &Aor) -> bool {
        let shard = self.lock(aor.as_str());
        let bindings = shard.get(aor.as_str());
        bindings.is_some_and(|bindings| bindings.iter().any(|b| b.flow() == Some(flow)))
    }

    /// Drops what was registered over a connection that is gone; returns how many bindings went. `aors` are the
    /// addresses-of-record that [`super::Outcome::registered`] named on this connection; a binding that has since
    /// come over another flow stays.
    pub fn flow_closed<A: AsRef<Aor>>(
        &self,
        flow: FlowId,
        aors: impl IntoIterator<Item = A>,
    ) -> usize {
        let aors = aors.into_iter();
        aors.map(|aor| self.remove(aor.as_ref(), |b| b.flow() == Some(flow)))
            .sum()
    }

    /// Drops the bindings that can no longer be reached like this (RFC 5626 §7); returns how many went.
    pub fn unreachable(&self, aor: &Aor, reach: &Reach) -> usize {
        self.remove(aor, |b| match reach {
            Reach::Flow(flow) => b.flow() == Some(*flow),
            Reach::Path { contact, path } => {
                b.flow().is_none()
                    && b.uri_text() == contact.as_bytes()
                    && b.path().eq(path.iter().map(String::as_bytes))
            }
        })
    }

    fn remove(&self, aor: &Aor, is_gone: impl Fn(&Binding) -> bool) -> usize {
        let mut shard = self.lock(aor.as_str());
        let Some(bindings) = shard.get_mut(aor.as_str()) else {
            return 0;
        };
        let gone = keep(bindings, |b| !is_gone(b));
        if bindings.is_empty() {
            shard.remove(aor.as_str());
            self.aors.fetch_sub(1, Ordering::Relaxed);
            shrink(&mut shard);
        }
        drop(shard);
        if gone > 0 {
            self.mark_changed(aor);
        }
        gone
    }
}

/// Keeps the bindings that `wanted` wants; returns how many went. Touches nothing when all stay.
fn keep(bindings: &mut Box<[Binding]>, wanted: impl Fn(&Binding) -> bool) -> usize {
    let before = bindings.len();
    if bindings.iter().all(&wanted) {
        return 0;
    }
    let mut kept = std::mem::take(bindings).into_vec();
    kept.retain(wanted);
    *bindings = kept.into_boxed_slice();
    before - bindings.len()
}

/// Gives memory back once a shard is mostly empty; rarely enough that filling and emptying does not thrash.
fn shrink(shard: &mut Shard) {
    if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
        let room = shard.len() * 2;
        shard.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::time::Duration;

    use super::*;
    use crate::registrar::binding::{Around, Draft, ends};
    use crate::sip::{Address, SipUri};

    fn start() -> Instant {
        let clock = Instant::now;
        clock()
    }

    fn aor(user: &str) -> Aor {
        Aor::of(&SipUri::parse(&format!("sip:{user}@example.org")).unwrap())
    }

    fn put(
        location: &Location,
        user: &str,
        contact: &str,
        flow: u64,
        until: Instant,
        max: usize,
    ) -> bool {
        let contact = Address::parse(contact.as_bytes()).unwrap();
        let around = Around {
            call_id: b"call",
            cseq: 1,
            user_agent: b"",
            path: b"",
            flow: Some(FlowId::Connection(flow)),
            by_flow: true,
        };
        let draft = Draft::new(&contact, &around).unwrap();
        let now = until - Duration::from_secs(60);
        location
            .change(&aor(user), max, now, |b| b.push(draft.into_binding(until)))
            .is_ok()
    }

    #[test]
    fn lookups_see_live_bindings_only() {
        let (location, now) = (Location::new(), start());
        assert!(put(
            &location,
            "a",
            "<sip:a@1.example>",
            1,
            ends(now, 60),
            9
        ));
        assert_eq!(location.lookup("a@example.org", ends(now, 59)).len(), 1);
        assert_eq!(location.lookup("a@example.org", ends(now, 60)).len(), 0);
        assert_eq!(location.lookup("b@example.org", now).len(), 0);
    }

    #[test]
    fn a_sweep_goes_round_in_bounded_steps() {
        let (location, now) = (Location::new(), start());
        for n in 0..500 {
            assert!(put(
                &location,
                &format!("u{n}"),
                "<sip:a@1.example>",
                1,
                ends(now, 60),
                1000
            ));
        }
        assert!(put(
            &location,
            "late",
            "<sip:a@1.example>",
            1,
            ends(now, 99),
            1000
        ));
        assert_eq!(location.sweep(ends(now, 59), SHARDS), 0);
        let first = location.sweep(ends(now, 60), SHARDS / 2);
        assert!(first < 500);
        assert_eq!(first + location.sweep(ends(now, 60), SHARDS / 2), 500);
        assert_eq!(location.len(), 1);
        assert_eq!(location.sweep(ends(now, 60), usize::MAX), 0);
    }

    #[test]
    fn a_closed_connection_takes_only_its_own_bindings() {
        let (location, now) = (Location::new(), start());
        let until = ends(now, 60);
        assert!(put(&location, "a", "<sip:a@1.example>", 1, until, 9));
        assert!(put(&location, "a", "<sip:a@2.example>", 2, until, 9));
        assert!(put(&location, "b", "<sip:b@1.example>", 1, until, 9));
        let registered = [aor("a"), aor("b"), aor("unknown")];
        assert_eq!(location.flow_closed(FlowId::Connection(1), &registered), 2);
        let left = location.lookup("a@example.org", now);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].flow(), Some(FlowId::Connection(2)));
        assert_eq!(location.len(), 1);
        assert_eq!(location.flow_closed(FlowId::Connection(1), &registered), 0);
    }

    #[test]
    fn one_more_than_the_most_is_not_stored() {
        let (location, now) = (Location::new(), start());
        let until = ends(now, 60);
        assert!(put(&location, "a", "<sip:a@1.example>", 1, until, 2));
        assert!(put(&location, "b", "<sip:a@1.example>", 1, until, 2));
        assert!(!put(&location, "c", "<sip:a@1.example>", 1, until, 2));
        assert!(put(&location, "a", "<sip:a@2.example>", 1, until, 2));
        assert_eq!(location.lookup("c@example.org", now).len(), 0);
        assert_eq!(location.len(), 2);
    }

    #[test]
    fn memory_comes_back_when_phones_are_gone() {
        let (location, now) = (Location::new(), start());
        for n in 0..20_000 {
            assert!(put(
                &location,
                &format!("u{n}"),
                "<sip:a@1.example>",
                1,
                ends(now, 60),
                usize::MAX
            ));
        }
        assert_eq!(location.sweep(ends(now, 60), SHARDS), 20_000);
        assert!(location.is_empty());
        let room: usize = (0..SHARDS).map(|n| location.lock_at(n).capacity()).sum();
        assert!(room < 1_000, "{room}");
    }
}
