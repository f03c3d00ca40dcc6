//! Which calls there are and who waits for them. Values alone: threads, clock and network are `run`'s and `http`'s.
//!
//! A question is asked once, however many wait for its answer. Each of them has a deadline of its own, which a call that takes
//! longer does not change.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use super::breaker::{Breaker, News};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody else may wait.
    #[error("IdentityCalloutQueue is full")]
    Full,
    /// Nobody is asked for a while.
    #[error("the callout has failed several times in a row and is left alone for a moment")]
    Rests,
    /// It took too long.
    #[error("none within IdentityCalloutTimeout")]
    TimedOut,
    /// The server ends, or has other settings.
    #[error("the callout has ended")]
    Ended,
    /// There is no thread to ask on.
    #[error("no thread for the callout: {0}")]
    NoThread(String),
    /// The call has failed.
    #[error("{0}")]
    Call(String),
}

struct Call<W> {
    waiters: Vec<(u64, W)>,
}

/// Whoever is told something, and what.
pub(super) type Told<W> = Vec<(W, Failure)>;

/// The calls that are made, or wait for a thread, and who waits for them.
pub(super) struct Calls<Q, W> {
    calls: HashMap<Q, Call<W>>,
    queue: VecDeque<Q>,
    /// When each waiter is to be told, in order: all have the same patience.
    deadlines: VecDeque<(Instant, Q, u64)>,
    /// Waiters now, and at most.
    waiting: usize,
    most: usize,
    tickets: u64,
    breaker: Breaker,
}

impl<Q: Hash + Eq + Clone, W> Calls<Q, W> {
    /// For at most so many that wait.
    pub(super) fn new(most: usize) -> Self {
        Self {
            calls: HashMap::new(),
            queue: VecDeque::new(),
            deadlines: VecDeque::new(),
            waiting: 0,
            most,
            tickets: 0,
            breaker: Breaker::new(),
        }
    }

    /// Somebody wants to know, until then. He gets back what he came with if he cannot wait.
    pub(super) fn ask(
        &mut self,
        asked: &Q,
        waiter: W,
        until: Instant,
        now: Instant,
    ) -> Result<(), (W, Failure)> {
        if self.waiting >= self.most {
            return Err((waiter, Failure::Full));
        }
        if !self.calls.contains_key(asked) {
            if !self.breaker.lets_through(now) {
                return Err((waiter, Failure::Rests));
            }
            self.queue.push_back(asked.clone());
        }
        self.tickets += 1;
        self.waiting += 1;
        self.deadlines
            .push_back((until, asked.clone(), self.tickets));
        let call = self.calls.entry(asked.clone()).or_insert_with(|| Call {
            waiters: Vec::new(),
        });
        call.waiters.push((self.tickets, waiter));
        Ok(())
    }

    /// The next call to make. One for which nobody waits any more is not made.
    pub(super) fn next(&mut self, now: Instant) -> Option<Q> {
        while let Some(asked) = self.queue.pop_front() {
            match self.calls.get(&asked) {
                Some(call) if !call.waiters.is_empty() => return Some(asked),
                _ => {
                    self.calls.remove(&asked);
                    self.breaker.not_made(now);
                }
            }
        }
        None
    }

    /// Who waits longest for the answer to this.
    pub(super) fn first(&self, asked: &Q) -> Option<&W> {
        let call = self.calls.get(asked)?;
        call.waiters.first().map(|(_, waiter)| waiter)
    }

    /// A call has ended: who waits for it; and who will not be asked about, if it was one failure too many.
    pub(super) fn done(
        &mut self,
        asked: &Q,
        succeeded: bool,
        now: Instant,
    ) -> (Vec<W>, Told<W>, News) {
        let waiters = self.leave(asked);
        let news = self.breaker.ended(succeeded, now);
        let mut told = Vec::new();
        if news == News::Lost {
            for asked in std::mem::take(&mut self.queue) {
                let left = self.leave(&asked).into_iter();
                told.extend(left.map(|waiter| (waiter, Failure::Rests)));
            }
        }
        (waiters, told, news)
    }

    /// Those who have waited long enough. A call that is made goes on: its answer may be of use later.
    pub(super) fn overdue(&mut self, now: Instant) -> Told<W> {
        let mut told = Vec::new();
        while let Some((until, _, _)) = self.deadlines.front() {
            if *until > now {
                break;
            }
            let Some((_, asked, ticket)) = self.deadlines.pop_front() else {
                break;
            };
            let Some(call) = self.calls.get_mut(&asked) else {
                continue;
            };
            if let Some(at) = call.waiters.iter().position(|(own, _)| *own == ticket) {
                let (_, waiter) = call.waiters.remove(at);
                self.waiting -= 1;
                told.push((waiter, Failure::TimedOut));
            }
        }
        told
    }

    /// When somebody is to be told next that he has waited long enough.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        // Most have their answer long before; their entries go when they come to the front.
        while let Some((until, asked, ticket)) = self.deadlines.front() {
            let waits = |call: &Call<W>| call.waiters.iter().any(|(own, _)| own == ticket);
            if self.calls.get(asked).is_some_and(waits) {
                return Some(*until);
            }
            self.deadlines.pop_front();
        }
        None
    }

    /// Everybody who waits for anything: it is over.
    pub(super) fn end(&mut self) -> Told<W> {
        self.queue.clear();
        self.deadlines.clear();
        self.waiting = 0;
        let waiters = self.calls.drain().flat_map(|(_, call)| call.waiters);
        waiters
            .map(|(_, waiter)| (waiter, Failure::Ended))
            .collect()
    }

    fn leave(&mut self, asked: &Q) -> Vec<W> {
        let waiters = self
            .calls
            .remove(asked)
            .map_or_else(Vec::new, |c| c.waiters);
        self.waiting = self.waiting.saturating_sub(waiters.len());
        waiters.into_iter().map(|(_, waiter)| waiter).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::time::Duration;

    use super::super::breaker::{FAILURES, PAUSE};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    struct World {
        calls: Calls<u32, &'static str>,
        now: Instant,
    }

    impl World {
        fn new(most: usize) -> Self {
            Self {
                calls: Calls::new(most),
                now: Instant::now(),
            }
        }

        fn ask(&mut self, question: u32, who: &'static str) -> Result<(), Failure> {
            let until = self.now + PATIENCE;
            let asked = self.calls.ask(&question, who, until, self.now);
            asked.map_err(|(_, failure)| failure)
        }

        fn next(&mut self) -> Option<u32> {
            self.calls.next(self.now)
        }

        fn is_empty(&self) -> bool {
            let own = &self.calls;
            own.calls.is_empty() && own.queue.is_empty() && own.waiting == 0
        }
    }

    #[test]
    fn a_question_is_asked_once_and_told_to_all_who_wait() {
        let mut world = World::new(10);
        for who in ["alice", "bob"] {
            assert_eq!(world.ask(1, who), Ok(()));
        }
        assert_eq!(world.next(), Some(1));
        assert_eq!(world.calls.first(&1), Some(&"alice"));
        assert_eq!(world.ask(1, "carol"), Ok(()), "while it is being asked");
        assert_eq!(world.next(), None);
        let (waiters, told, news) = world.calls.done(&1, true, world.now);
        assert_eq!(waiters, ["alice", "bob", "carol"]);
        assert_eq!((told, news), (vec![], News::None));
        assert!(world.is_empty());
        assert_eq!(world.calls.next_deadline(), None);
        assert!(world.calls.deadlines.is_empty());
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut world = World::new(3);
        for question in [1, 1, 2] {
            assert_eq!(world.ask(question, "alice"), Ok(()));
        }
        for question in [1, 2, 3] {
            assert_eq!(world.ask(question, "bob"), Err(Failure::Full));
        }
        assert_eq!(world.next(), Some(1));
        world.calls.done(&1, true, world.now);
        assert_eq!(world.ask(3, "bob"), Ok(()));
    }

    #[test]
    fn who_has_waited_long_enough_is_told_and_the_call_goes_on() {
        let mut world = World::new(10);
        assert_eq!(world.ask(1, "alice"), Ok(()));
        assert_eq!(world.ask(2, "bob"), Ok(()));
        assert_eq!(world.next(), Some(1));
        assert_eq!(world.calls.next_deadline(), Some(world.now + PATIENCE));
        world.now += PATIENCE / 2;
        assert_eq!(world.ask(1, "carol"), Ok(()));
        assert_eq!(world.calls.overdue(world.now), []);
        world.now += PATIENCE / 2;
        let late = |who| (who, Failure::TimedOut);
        assert_eq!(world.calls.overdue(world.now), [late("alice"), late("bob")]);
        assert_eq!(world.next(), None, "nobody waits for 2 any more");
        assert_eq!(
            world.calls.next_deadline(),
            Some(world.now + PATIENCE / 2),
            "carol's"
        );
        let (waiters, ..) = world.calls.done(&1, true, world.now);
        assert_eq!(waiters, ["carol"]);
        assert!(world.is_empty());
    }

    #[test]
    fn a_server_that_fails_and_fails_is_left_alone_for_a_while() {
        let mut world = World::new(100);
        for question in 0..FAILURES {
            assert_eq!(world.ask(question, "alice"), Ok(()));
            assert_eq!(world.next(), Some(question));
        }
        assert_eq!(world.ask(50, "bob"), Ok(()), "waits for a thread");
        for question in 1..FAILURES {
            let (waiters, told, news) = world.calls.done(&question, false, world.now);
            assert_eq!((waiters.len(), told, news), (1, vec![], News::None));
        }
        let (waiters, told, news) = world.calls.done(&0, false, world.now);
        assert_eq!((waiters, news), (vec!["alice"], News::Lost));
        assert_eq!(told, [("bob", Failure::Rests)]);
        assert!(world.is_empty());
        assert_eq!(world.ask(51, "carol"), Err(Failure::Rests));
        world.now += PAUSE;
        assert_eq!(world.ask(52, "carol"), Ok(()), "to see");
        assert_eq!(world.ask(53, "carol"), Err(Failure::Rests));
        // It has waited in the queue for too long: nobody has seen anything.
        world.now += PATIENCE;
        assert_eq!(world.calls.overdue(world.now).len(), 1);
        assert_eq!(world.next(), None);
        assert_eq!(world.ask(54, "carol"), Ok(()));
        assert_eq!(world.next(), Some(54));
        let (waiters, _, news) = world.calls.done(&54, true, world.now);
        assert_eq!((waiters, news), (vec!["carol"], News::Back));
        assert_eq!(world.ask(55, "carol"), Ok(()));
    }

    #[test]
    fn at_the_end_everybody_is_told() {
        let mut world = World::new(10);
        assert_eq!(world.ask(1, "alice"), Ok(()));
        assert_eq!(world.ask(2, "bob"), Ok(()));
        assert_eq!(world.next(), Some(1));
        let mut told: Vec<_> = world.calls.end().into_iter().map(|(who, _)| who).collect();
        told.sort_unstable();
        assert_eq!(told, ["alice", "bob"]);
        let (waiters, ..) = world.calls.done(&1, true, world.now);
        assert!(waiters.is_empty() && world.is_empty());
    }
}
