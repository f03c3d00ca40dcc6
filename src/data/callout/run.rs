//! The threads of the callout: those that ask, and one that tells whoever has waited long enough.

use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use log::{error, info, warn};

use super::super::memory::Memory;
use super::breaker::{FAILURES, News, PAUSE};
use super::calls::{Calls, Failure, Told};
use super::http::Client;
use super::wire::{self, Verdict};
use super::{Asked, answer_to_failure};
use crate::auth::{Answer, CalloutFailure, CalloutOptions, Done};

/// A question with the port that its first asker came from.
type Questions = Calls<Arc<Asked>, Waiter>;

struct Waiter {
    port: u16,
    done: Done<Answer>,
}

struct State {
    questions: Questions,
    /// Threads that have been made.
    made: usize,
    is_over: bool,
    /// When a failure was told last.
    told: Option<Instant>,
}

/// Questions under way and what is remembered of those before.
pub(super) struct Running {
    /// What it means that nobody answers.
    pub(super) failure: CalloutFailure,
    client: Client,
    timeout: Duration,
    threads: NonZeroUsize,
    memory: Memory<Arc<Asked>, Answer>,
    /// Counted on when everything is forgotten: an answer to what was asked before is not remembered.
    epoch: AtomicU64,
    state: Mutex<State>,
    /// There is something to ask.
    work: Condvar,
    /// Somebody waits again.
    time: Condvar,
}

impl Running {
    pub(super) fn new(options: &CalloutOptions, client: Client) -> Self {
        Self {
            failure: options.failure,
            client,
            timeout: options.timeout,
            threads: options.threads,
            memory: Memory::new(
                options.remembered,
                options.remember,
                options.remember_negative,
            ),
            epoch: AtomicU64::new(0),
            state: Mutex::new(State {
                questions: Calls::new(options.queue),
                made: 0,
                is_over: false,
                told: None,
            }),
            work: Condvar::new(),
            time: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer, if it is known.
    pub(super) fn recall(&self, asked: &Arc<Asked>, now: Instant) -> Option<Answer> {
        self.memory.recall(asked, now)
    }

    /// Forgets all answers.
    pub(super) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.memory.forget();
    }

    /// Has a question asked. `done` hears the answer from another thread, or at once that there will be none.
    pub(super) fn ask(own: &Arc<Self>, asked: &Arc<Asked>, port: u16, done: Done<Answer>) {
        let now = Instant::now();
        // Somebody else may have asked since.
        if let Some(answer) = own.recall(asked, now) {
            return done(answer);
        }
        let waiter = Waiter { port, done };
        let mut state = own.state();
        let begun = match Self::begin_threads(own, &mut state) {
            Err(failure) => Err((waiter, failure)),
            Ok(()) => state.questions.ask(asked, waiter, now + own.timeout, now),
        };
        drop(state);
        match begun {
            Ok(()) => {
                own.work.notify_one();
                own.time.notify_one();
            }
            Err(failed) => own.tell(vec![failed]),
        }
    }

    /// Makes the threads when the first question comes: commands that only look ask nobody. One that cannot be had is tried again
    /// with the next question; one that asks and one that keeps the time are enough to go on.
    fn begin_threads(own: &Arc<Self>, state: &mut State) -> Result<(), Failure> {
        if state.is_over {
            return Err(Failure::Ended);
        }
        while state.made <= own.threads.get() {
            let running = Arc::clone(own);
            let made = match state.made {
                0 => spawn("callout-time", move || running.keep_time()),
                _ => spawn("callout", move || running.make_calls()),
            };
            match made {
                Ok(()) => state.made += 1,
                Err(_) if state.made > 1 => break,
                Err(error) => return Err(Failure::NoThread(error.to_string())),
            }
        }
        Ok(())
    }

    /// Nobody is asked any more. Threads end when the call that they are at has.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.is_over = true;
        let told = state.questions.end();
        drop(state);
        self.work.notify_all();
        self.time.notify_all();
        self.tell(told);
    }

    fn make_calls(&self) {
        loop {
            let mut state = self.state();
            let (asked, port) = loop {
                if state.is_over {
                    return;
                }
                if let Some(asked) = state.questions.next(Instant::now()) {
                    let port = state.questions.first(&asked).map_or(0, |first| first.port);
                    break (asked, port);
                }
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            let epoch = self.epoch.load(Ordering::Acquire);
            let called = catch_unwind(AssertUnwindSafe(|| self.call(&asked, port)))
                .unwrap_or_else(|_| Err("the call has a defect".to_owned()));
            self.end_call(&asked, called, epoch);
        }
    }

    fn call(&self, asked: &Asked, port: u16) -> Result<Verdict, String> {
        let body = wire::question(asked, port).map_err(|error| error.to_string())?;
        let body = self.client.post(&body, self.timeout)?;
        wire::verdict(&body).map_err(|error| format!("the answer is not as agreed: {error}"))
    }

    fn end_call(&self, asked: &Arc<Asked>, called: Result<Verdict, String>, epoch: u64) {
        let now = Instant::now();
        // Before nobody waits for it any more, so that nobody asks the same once more between the two.
        if let Ok(Verdict { answer, holds }) = &called
            && self.epoch.load(Ordering::Acquire) == epoch
        {
            let usual = self.memory.usual(*answer == Answer::Allow);
            let time = holds.unwrap_or(usual);
            self.memory
                .remember_for(Arc::clone(asked), answer.clone(), time, now);
        }
        let mut state = self.state();
        let (waiters, mut told, news) = state.questions.done(asked, called.is_ok(), now);
        state.questions.next_deadline();
        let is_due = state.is_due(called.is_err(), now);
        drop(state);
        if let (Err(why), true) = (&called, is_due) {
            warn!(
                "lookup.callout_failed waiting={} error={why:?}",
                waiters.len()
            );
        }
        match news {
            News::Lost => error!(
                "lookup.callout_lost failures={FAILURES} pause_ms={} it is asked again after that",
                PAUSE.as_millis()
            ),
            News::Back => info!("lookup.callout_back it answers again"),
            News::None => {}
        }
        match called {
            Ok(verdict) => {
                for waiter in waiters {
                    (waiter.done)(verdict.answer.clone());
                }
            }
            Err(why) => told.extend(
                waiters
                    .into_iter()
                    .map(|waiter| (waiter, Failure::Call(why.clone()))),
            ),
        }
        self.tell(told);
    }

    /// Tells those who will get no answer.
    fn tell(&self, told: Told<Waiter>) {
        for (waiter, failure) in told {
            (waiter.done)(answer_to_failure(self.failure, &failure.to_string()));
        }
    }

    fn keep_time(&self) {
        let mut state = self.state();
        while !state.is_over {
            let now = Instant::now();
            let told = state.questions.overdue(now);
            if !told.is_empty() {
                drop(state);
                self.tell(told);
                state = self.state();
                continue;
            }
            state = match state.questions.next_deadline() {
                None => self
                    .time
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let patience = until.saturating_duration_since(now);
                    let waited = self.time.wait_timeout(state, patience);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(body).map(drop)
}

impl State {
    /// Whether a failure is to be told: one in a second is.
    fn is_due(&mut self, has_failed: bool, now: Instant) -> bool {
        const EVERY: Duration = Duration::from_secs(1);
        let is_due = has_failed && self.told.is_none_or(|told| now >= told + EVERY);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }
}
