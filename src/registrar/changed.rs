//! Which addresses-of-record have changed since somebody last asked: for whoever keeps bindings over a restart.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::binding::Aor;

/// What has changed since it was last asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The bindings of these; each once, in no order.
    These(Vec<Aor>),
    /// More than could be remembered: look at all.
    Everything,
}

/// A bounded set of names. Switched off, which it is at first, a change costs one atomic load.
#[derive(Debug, Default)]
pub(super) struct ChangedSet {
    on: AtomicBool,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    most: usize,
    aors: HashSet<Aor>,
    everything: bool,
}

impl ChangedSet {
    /// Remembers from now on, and up to `most` names.
    pub(super) fn start(&self, most: usize) {
        *self.lock() = Names {
            most,
            ..Names::default()
        };
        self.on.store(true, Ordering::Release);
    }

    /// Remembers nothing any more and forgets what it has.
    pub(super) fn stop(&self) {
        self.on.store(false, Ordering::Release);
        *self.lock() = Names::default();
    }

    /// Whether it remembers.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// This one has changed. To be called after the change, so that whoever takes the name sees the change too, and
    /// without a lock in the hand.
    pub(super) fn add(&self, aor: &Aor) {
        if self.is_on() {
            self.lock().add(aor);
        }
    }

    /// What has changed; from here on nothing has.
    pub(super) fn take(&self) -> Changed {
        let mut names = self.lock();
        if std::mem::take(&mut names.everything) {
            return Changed::Everything;
        }
        Changed::These(std::mem::take(&mut names.aors).into_iter().collect())
    }

    /// Takes back what could not be made use of.
    pub(super) fn give_back(&self, changed: Changed) {
        if !self.is_on() {
            return;
        }
        let mut names = self.lock();
        match changed {
            Changed::These(aors) => aors.iter().for_each(|aor| names.add(aor)),
            Changed::Everything => names.overflow(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn add(&mut self, aor: &Aor) {
        if self.everything || self.aors.contains(aor.as_str()) {
            return;
        }
        if self.aors.len() >= self.most {
            return self.overflow();
        }
        self.aors.insert(aor.clone());
    }

    /// Gives up telling one from another, and the memory for it.
    fn overflow(&mut self) {
        self.everything = true;
        self.aors = HashSet::new();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn aor(user: &str) -> Aor {
        Aor::parse(&format!("{user}@example.org")).unwrap()
    }

    fn taken(set: &ChangedSet) -> Vec<Aor> {
        match set.take() {
            Changed::These(mut aors) => {
                aors.sort();
                aors
            }
            Changed::Everything => panic!("not that many"),
        }
    }

    #[test]
    fn nothing_is_remembered_until_it_is_asked_for() {
        let set = ChangedSet::default();
        set.add(&aor("a"));
        assert_eq!(taken(&set), []);
        set.start(9);
        set.add(&aor("a"));
        set.stop();
        set.add(&aor("b"));
        set.give_back(Changed::Everything);
        assert_eq!(taken(&set), []);
    }

    #[test]
    fn each_name_is_told_once() {
        let set = ChangedSet::default();
        set.start(9);
        for user in ["a", "b", "a", "a"] {
            set.add(&aor(user));
        }
        assert_eq!(taken(&set), [aor("a"), aor("b")]);
        assert_eq!(taken(&set), []);
        set.give_back(Changed::These(vec![aor("b")]));
        set.add(&aor("c"));
        assert_eq!(taken(&set), [aor("b"), aor("c")]);
    }

    #[test]
    fn more_than_fit_are_everything_and_hold_no_memory() {
        let set = ChangedSet::default();
        set.start(2);
        for user in ["a", "b", "a"] {
            set.add(&aor(user));
        }
        assert_eq!(taken(&set), [aor("a"), aor("b")], "as many as fit");
        for user in ["a", "b", "c", "d"] {
            set.add(&aor(user));
        }
        assert_eq!(set.lock().aors.capacity(), 0);
        assert_eq!(set.take(), Changed::Everything);
        set.add(&aor("d"));
        assert_eq!(taken(&set), [aor("d")], "and then one by one again");
        set.give_back(Changed::Everything);
        assert_eq!(set.take(), Changed::Everything);
    }
}
