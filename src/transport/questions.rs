//! Which URIs are being found out, and which wait for a thread: whoever asks for names that nobody answers for delays
//! himself, and nobody else.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::proxy::relay::Shares;
use crate::registrar::FlowId;
use crate::resolve::Wanted;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiter {
    /// The worker that asks.
    pub(super) worker: usize,
    /// What that one knows its request by.
    pub(super) ticket: u64,
    /// Where the request has come from.
    pub(super) flow: FlowId,
    /// Until when it waits.
    pub(super) until: Instant,
}

/// What becomes of a request that asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is to be asked now, on account of the flow that asks.
    Now,
    /// It waits, for an answer or for a thread.
    Waits,
    /// There is no room for it.
    Refused,
}

/// A question that is to be asked now, and the flow on whose account it is.
pub(super) type Next = (Wanted, FlowId);

/// The questions of all workers.
///
/// Of the threads one flow has no more than are left free for all the others, and likewise of the places for requests that
/// wait. Its other questions wait in a queue of its own, and the queues have turns.
#[derive(Debug, Default)]
pub(super) struct Questions {
    threads: usize,
    busy: usize,
    /// Threads that each flow has.
    running: Shares,
    places: usize,
    taken: usize,
    /// Places that each flow has.
    waiting: Shares,
    asked: HashMap<Wanted, Question>,
    queues: HashMap<FlowId, VecDeque<Wanted>>,
    /// Each flow that has a queue, once: the next one first.
    turns: VecDeque<FlowId>,
}

#[derive(Debug, Default)]
struct Question {
    is_running: bool,
    waiters: Vec<Waiter>,
    /// The flows in whose queue it is.
    queued: Vec<FlowId>,
}

impl Questions {
    /// For so many at a time, with so many requests that wait for them.
    pub(super) fn new(threads: usize, places: usize) -> Self {
        Self {
            threads,
            places,
            ..Self::default()
        }
    }

    /// A request wants to know.
    pub(super) fn ask(&mut self, wanted: &Wanted, waiter: Waiter) -> Begun {
        let flow = waiter.flow;
        let free = self.places.saturating_sub(self.taken);
        if !self.waiting.has_room(flow, 1, free) {
            return Begun::Refused;
        }
        self.waiting.take(flow, 1);
        self.taken += 1;
        let question = self.asked.entry(wanted.clone()).or_default();
        question.waiters.push(waiter);
        if question.is_running {
            return Begun::Waits;
        }
        // What waits on account of another is asked now if this one may.
        if self.running.has_room(flow, 1, self.threads - self.busy) {
            self.start(wanted, flow);
            return Begun::Now;
        }
        if !question.queued.contains(&flow) {
            question.queued.push(flow);
            let queue = self.queues.entry(flow).or_default();
            if queue.is_empty() {
                self.turns.push_back(flow);
            }
            queue.push_back(wanted.clone());
        }
        Begun::Waits
    }

    /// A question of this flow's account is done: who waits for it, and what is to be asked in its place.
    pub(super) fn done(&mut self, (wanted, flow): &Next, now: Instant) -> (Vec<Waiter>, Vec<Next>) {
        self.running.give_back(*flow, 1);
        self.busy = self.busy.saturating_sub(1);
        let waiters = self.leave(wanted);
        let mut next = Vec::new();
        while let Some(another) = self.next(now) {
            next.push(another);
        }
        (waiters, next)
    }

    /// The next question that may be asked.
    fn next(&mut self, now: Instant) -> Option<Next> {
        let mut turn = 0;
        while turn < self.turns.len() {
            let flow = *self.turns.get(turn)?;
            let free = self.threads.saturating_sub(self.busy);
            let wanted = self.queues.get(&flow).and_then(|queue| queue.front());
            let Some(wanted) = wanted.filter(|_| self.running.has_room(flow, 1, free)) else {
                turn += 1;
                continue;
            };
            let wanted = wanted.clone();
            let question = self.asked.get(&wanted);
            let waits = |question: &Question| question.waiters.iter().any(|who| now < who.until);
            if question.is_some_and(waits) {
                self.start(&wanted, flow);
                // The others come first the next time.
                if let Some(at) = self.turns.iter().position(|other| *other == flow) {
                    self.turns.remove(at);
                    self.turns.push_back(flow);
                }
                return Some((wanted, flow));
            }
            // Whoever has waited for it has been told so.
            self.unqueue(&wanted);
            self.leave(&wanted);
        }
        None
    }

    fn start(&mut self, wanted: &Wanted, flow: FlowId) {
        self.running.take(flow, 1);
        self.busy += 1;
        self.unqueue(wanted);
        if let Some(question) = self.asked.get_mut(wanted) {
            question.is_running = true;
        }
    }

    /// Takes a question out of all queues.
    fn unqueue(&mut self, wanted: &Wanted) {
        let question = self.asked.get_mut(wanted);
        for flow in question.map_or_else(Vec::new, |question| std::mem::take(&mut question.queued))
        {
            let Some(queue) = self.queues.get_mut(&flow) else {
                continue;
            };
            if queue.front() == Some(wanted) {
                queue.pop_front();
            } else {
                queue.retain(|other| other != wanted);
            }
            if queue.is_empty() {
                self.queues.remove(&flow);
                self.turns.retain(|other| *other != flow);
            }
        }
    }

    /// Nobody waits for this any more.
    fn leave(&mut self, wanted: &Wanted) -> Vec<Waiter> {
        let waiters = self
            .asked
            .remove(wanted)
            .map_or_else(Vec::new, |question| question.waiters);
        for waiter in &waiters {
            self.waiting.give_back(waiter.flow, 1);
        }
        self.taken = self.taken.saturating_sub(waiters.len());
        waiters
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::sip::SipUri;

    const MALLORY: FlowId = FlowId::Connection(1);
    const ALICE: FlowId = FlowId::Connection(2);
    const BOB: FlowId = FlowId::Connection(3);

    fn name(number: usize) -> Wanted {
        Wanted::of(&SipUri::parse(&format!("sip:n{number}.test")).unwrap()).unwrap()
    }

    /// Questions, and a time at which those who wait are not given up yet.
    struct World {
        questions: Questions,
        now: Instant,
    }

    impl World {
        fn new(threads: usize, places: usize) -> Self {
            Self {
                questions: Questions::new(threads, places),
                now: Instant::now(),
            }
        }

        fn ask(&mut self, number: usize, flow: FlowId) -> Begun {
            let waiter = Waiter {
                worker: 0,
                ticket: number as u64,
                flow,
                until: self.now + Duration::from_secs(5),
            };
            self.questions.ask(&name(number), waiter)
        }

        /// Who is told, by the number of the name, and what is asked in its place.
        fn done(&mut self, number: usize, flow: FlowId) -> (Vec<u64>, Vec<Next>) {
            let (waiters, next) = self.questions.done(&(name(number), flow), self.now);
            (waiters.iter().map(|waiter| waiter.ticket).collect(), next)
        }

        fn flood(&mut self, flow: FlowId, numbers: std::ops::Range<usize>) -> [usize; 3] {
            let mut counts = [0; 3];
            for number in numbers {
                match self.ask(number, flow) {
                    Begun::Now => counts[0] += 1,
                    Begun::Waits => counts[1] += 1,
                    Begun::Refused => counts[2] += 1,
                }
            }
            counts
        }
    }

    #[test]
    fn whoever_floods_leaves_half_of_the_threads_and_half_of_the_places() {
        let mut world = World::new(32, 1024);
        assert_eq!(world.flood(MALLORY, 0..2000), [16, 496, 1488]);
        assert_eq!(world.flood(BOB, 2000..4000), [8, 248, 1744]);
        assert_eq!(world.ask(5000, ALICE), Begun::Now);
        assert_eq!(world.done(5000, ALICE), (vec![5000], vec![]));
    }

    #[test]
    fn a_name_that_waits_on_account_of_another_is_asked_now_if_somebody_else_wants_it() {
        let mut world = World::new(4, 100);
        assert_eq!(world.flood(MALLORY, 0..10), [2, 8, 0]);
        assert_eq!(world.ask(9, ALICE), Begun::Now);
        assert_eq!(world.ask(9, BOB), Begun::Waits, "it is under way");
        assert_eq!(world.done(9, ALICE), (vec![9, 9, 9], vec![]));
        assert_eq!(world.ask(0, ALICE), Begun::Waits);
        let next = vec![(name(2), MALLORY)];
        assert_eq!(world.done(0, MALLORY), (vec![0, 0], next));
    }

    #[test]
    fn queues_have_turns() {
        let mut world = World::new(1, 100);
        assert_eq!(world.flood(MALLORY, 0..4), [1, 3, 0]);
        assert_eq!(world.flood(ALICE, 10..12), [0, 2, 0]);
        assert_eq!(world.ask(3, ALICE), Begun::Waits, "in two queues");
        let mut order = Vec::new();
        let mut current = (name(0), MALLORY);
        loop {
            let (_, next) = world.questions.done(&current, world.now);
            let Some(next) = next.into_iter().next() else {
                break;
            };
            order.push(next.clone());
            current = next;
        }
        let wanted = [
            (1, MALLORY),
            (10, ALICE),
            (2, MALLORY),
            (11, ALICE),
            (3, MALLORY),
        ];
        assert_eq!(order, wanted.map(|(number, flow)| (name(number), flow)));
        let left = world.questions;
        assert_eq!((left.busy, left.taken), (0, 0));
        assert!(left.asked.is_empty() && left.queues.is_empty() && left.turns.is_empty());
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_asked() {
        let mut world = World::new(1, 100);
        assert_eq!(world.flood(MALLORY, 0..40), [1, 39, 0]);
        world.now += Duration::from_secs(5);
        assert_eq!(world.ask(39, MALLORY), Begun::Waits);
        let (told, next) = world.done(0, MALLORY);
        assert_eq!((told, next), (vec![0], vec![(name(39), MALLORY)]));
        assert_eq!(world.questions.taken, 2, "those of the last");
    }
}
