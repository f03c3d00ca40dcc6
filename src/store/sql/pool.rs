//! Connections: made when needed, kept, dropped when broken, never more than as many as there are lookup threads.
//!
//! Each connection has a thread of its own (`sql-…`), which is the one that blocks in the client library. Who asks waits
//! for that thread with a clock: whatever the library, the network or the server does, an answer or a failure comes in
//! time. A thread that was given up on ends when its library call does; until then it counts, so there are never more
//! than allowed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::fault::Fault;
use super::session::{Dial, Driver, Row, Session};
use crate::store::Flow;

/// What a server has to give up in time after its own timeout, before we give up on it.
const GRACE: Duration = Duration::from_millis(500);
/// Rows on their way from a connection's thread at a time.
const BATCH: usize = 128;

/// A question, as a connection's thread takes it; says whether the connection is still good.
type Job = Box<dyn FnOnce(&mut dyn Driver) -> bool + Send>;

/// What comes back of a question.
enum Event<T> {
    /// A statement begins: patience begins anew.
    Begins,
    Rows(Vec<Row>),
    /// The answer, and whether the connection is lost.
    Done(Result<T, Fault>, bool),
}

/// Sends rows to whoever asked, some at a time.
pub(super) struct Outlet {
    batch: Vec<Row>,
    send: Box<dyn FnMut(Vec<Row>) -> bool>,
}

impl Outlet {
    /// Sends a row; says whether more are wanted.
    pub(super) fn give(&mut self, row: Row) -> Flow {
        self.batch.push(row);
        if self.batch.len() < BATCH || self.flush() {
            Flow::More
        } else {
            Flow::Enough
        }
    }

    fn flush(&mut self) -> bool {
        self.batch.is_empty() || (self.send)(std::mem::take(&mut self.batch))
    }
}

/// The connections to one server.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    dial: Arc<dyn Dial>,
    size: usize,
    connect_timeout: Duration,
    statement_timeout: Duration,
    state: Mutex<State>,
    /// A connection was given back, or a place became free.
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Lane>,
    /// Threads by number, whatever they do; true for those that were given up on.
    threads: BTreeMap<u64, bool>,
    backoff: Backoff,
    /// Threads so far.
    started: u64,
}

impl State {
    fn give_up(&mut self, thread: u64) {
        // It may have ended just now.
        if let Some(given_up) = self.threads.get_mut(&thread) {
            *given_up = true;
        }
    }
}

/// The way to a connection's thread. Dropping it ends the thread.
struct Lane {
    thread: u64,
    jobs: Sender<Job>,
}

/// A thread's place in the pool, free again when the thread ends, however it does.
struct Place {
    shared: Arc<Shared>,
    thread: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock().threads.remove(&self.thread);
        self.shared.freed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A pool without connections yet.
    pub(super) fn new(
        dial: Arc<dyn Dial>,
        size: usize,
        connect_timeout: Duration,
        statement_timeout: Duration,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                dial,
                size: size.max(1),
                connect_timeout,
                statement_timeout,
                state: Mutex::default(),
                freed: Condvar::new(),
            }),
        }
    }

    /// Asks something. If a connection turns out to have been dead already, it is asked once more over a new one: `job`
    /// has to be a reading, or one transaction.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        job: impl Fn(&mut Session<'_>) -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Result<T, Fault> {
        self.ask_rows(move |session, _| job(session), &mut |_| Flow::More)
    }

    /// As `ask`, and gives the rows that `job` lets out as they come. While `take` runs, the connection is in use: to ask
    /// something else meanwhile takes another.
    pub(super) fn ask_rows<T: Send + 'static>(
        &self,
        job: impl Fn(&mut Session<'_>, &mut Outlet) -> Result<T, Fault> + Send + Sync + 'static,
        take: &mut dyn FnMut(Row) -> Flow,
    ) -> Result<T, Fault> {
        let job = Arc::new(job);
        let (lane, used) = self.acquire(false)?;
        let mut seen = false;
        let first = self.attempt(lane, &job, take, &mut seen);
        match first {
            // The server may have been restarted since; then all that were kept are as dead.
            Err(Fault::Lost(_)) if used && !seen => {
                let (lane, _) = self.acquire(true)?;
                self.attempt(lane, &job, take, &mut seen)
            }
            answer => answer,
        }
    }

    fn attempt<T, F>(
        &self,
        lane: Lane,
        job: &Arc<F>,
        take: &mut dyn FnMut(Row) -> Flow,
        seen: &mut bool,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Fn(&mut Session<'_>, &mut Outlet) -> Result<T, Fault> + Send + Sync + 'static,
    {
        let (events, inbox) = sync_channel(2);
        let job = Arc::clone(job);
        let asked = lane.jobs.send(Box::new(move |driver| {
            let (result, lost) = carry_out(driver, job.as_ref(), &events);
            events.send(Event::Done(result, lost)).is_ok() && !lost
        }));
        if asked.is_err() {
            return Err(Fault::Lost("the connection's thread has ended".into()));
        }
        self.wait(lane, &inbox, take, seen)
    }

    fn wait<T>(
        &self,
        lane: Lane,
        inbox: &Receiver<Event<T>>,
        take: &mut dyn FnMut(Row) -> Flow,
        seen: &mut bool,
    ) -> Result<T, Fault> {
        let patience = self.shared.statement_timeout + GRACE;
        let mut wanted = true;
        loop {
            match inbox.recv_timeout(patience) {
                Ok(Event::Begins) => {}
                Ok(Event::Rows(rows)) => {
                    *seen = true;
                    for row in rows {
                        wanted = wanted && take(row) == Flow::More;
                    }
                }
                Ok(Event::Done(result, lost)) => {
                    if !lost {
                        self.give_back(lane);
                    }
                    return result;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.give_up(&lane);
                    return Err(Fault::Stuck);
                }
                // It panicked: the client library, since nothing else runs there.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::Lost("the client library failed".into()));
                }
            }
        }
    }

    fn give_back(&self, lane: Lane) {
        self.shared.lock().idle.push(lane);
        self.shared.freed.notify_one();
    }

    /// The server does not answer: no new connections for a while.
    fn give_up(&self, lane: &Lane) {
        let mut state = self.shared.lock();
        state.give_up(lane.thread);
        state.backoff.failed(Instant::now(), Fault::Stuck, chance());
    }

    /// A connection that nobody uses, and whether it was used before. With `fresh` a new one, and what was kept goes.
    fn acquire(&self, fresh: bool) -> Result<(Lane, bool), Fault> {
        let until = Instant::now() + self.shared.statement_timeout;
        let mut state = self.shared.lock();
        if fresh {
            state.idle.clear();
        }
        loop {
            if let Some(lane) = state.idle.pop() {
                return Ok((lane, true));
            }
            if state.threads.len() < self.shared.size {
                state.backoff.may_try(Instant::now())?;
                state.started += 1;
                let thread = state.started;
                state.threads.insert(thread, false);
                drop(state);
                return self.connect(thread).map(|lane| (lane, false));
            }
            if state.threads.values().all(|given_up| *given_up) {
                return Err(Fault::Stuck);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::Slow);
            }
            state = self
                .shared
                .freed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Starts a thread that connects, and waits for it. The place of the thread is taken already.
    fn connect(&self, thread: u64) -> Result<Lane, Fault> {
        let (jobs, queue) = channel();
        let (opened, outcome) = sync_channel(1);
        let place = Place {
            shared: Arc::clone(&self.shared),
            thread,
        };
        let lane = Lane { thread, jobs };
        let started = thread::Builder::new()
            .name(format!("sql-{thread}"))
            .spawn(move || serve(&place, &opened, &queue));
        let result = match started {
            Err(error) => Err(Fault::Lost(format!("no thread for a connection: {error}"))),
            Ok(_) => match outcome.recv_timeout(self.shared.connect_timeout + GRACE) {
                Ok(result) => result,
                Err(RecvTimeoutError::Timeout) => {
                    self.shared.lock().give_up(thread);
                    Err(Fault::Lost(format!(
                        "no connection within {:?}",
                        self.shared.connect_timeout
                    )))
                }
                Err(RecvTimeoutError::Disconnected) => {
                    Err(Fault::Lost("the client library failed".into()))
                }
            },
        };
        let mut state = self.shared.lock();
        match result {
            Ok(()) => {
                state.backoff.succeeded();
                Ok(lane)
            }
            Err(fault) => {
                state
                    .backoff
                    .failed(Instant::now(), fault.clone(), chance());
                Err(fault)
            }
        }
    }
}

/// The life of a connection's thread.
fn serve(place: &Place, opened: &SyncSender<Result<(), Fault>>, queue: &Receiver<Job>) {
    let mut driver = match place.shared.dial.dial() {
        Ok(driver) => driver,
        Err(fault) => {
            let _ = opened.send(Err(fault));
            return;
        }
    };
    if opened.send(Ok(())).is_err() {
        return;
    }
    while let Ok(job) = queue.recv() {
        if !job(driver.as_mut()) {
            return;
        }
    }
}

fn carry_out<T: Send + 'static>(
    driver: &mut dyn Driver,
    job: &dyn Fn(&mut Session<'_>, &mut Outlet) -> Result<T, Fault>,
    events: &SyncSender<Event<T>>,
) -> (Result<T, Fault>, bool) {
    let rows = events.clone();
    let mut outlet = Outlet {
        batch: Vec::new(),
        send: Box::new(move |batch| rows.send(Event::Rows(batch)).is_ok()),
    };
    let mut begins = || events.send(Event::Begins).is_ok();
    let mut session = Session::new(driver, &mut begins);
    let result = job(&mut session, &mut outlet);
    let lost = session.is_lost();
    outlet.flush();
    (result, lost)
}

/// Any number.
fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}
