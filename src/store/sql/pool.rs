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

impl Drop for Pool {
    /// The threads hold what they share, and that the ways to them: without this none would end.
    fn drop(&mut self) {
        self.shared.lock().idle.clear();
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
                    Err(Fault::no_connection(self.shared.connect_timeout))
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

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test that cannot go on says so by panicking"
    )]

    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// What a server does with a statement; the number is that of the connection.
    type Serve = dyn Fn(u32, &str) -> Result<u32, Fault> + Send + Sync;

    struct Fake {
        dials: AtomicU32,
        dial: Box<dyn Fn(u32) -> Result<(), Fault> + Send + Sync>,
        serve: Arc<Serve>,
    }

    struct Connection {
        number: u32,
        serve: Arc<Serve>,
    }

    impl Dial for Fake {
        fn dial(&self) -> Result<Box<dyn Driver>, Fault> {
            let number = self.dials.fetch_add(1, Ordering::SeqCst) + 1;
            (self.dial)(number)?;
            Ok(Box::new(Connection {
                number,
                serve: Arc::clone(&self.serve),
            }))
        }
    }

    impl Driver for Connection {
        fn run(&mut self, sql: &str) -> Result<(), Fault> {
            (self.serve)(self.number, sql).map(|_| ())
        }

        fn execute(&mut self, sql: &str, _: &[String]) -> Result<u64, Fault> {
            (self.serve)(self.number, sql).map(u64::from)
        }

        fn query(
            &mut self,
            sql: &str,
            _: &[String],
            take: &mut dyn FnMut(Row) -> Flow,
        ) -> Result<(), Fault> {
            for _ in 0..(self.serve)(self.number, sql)? {
                if take(vec![None]) == Flow::Enough {
                    break;
                }
            }
            if sql.ends_with("then lost") {
                return Err(Fault::Lost("gone".into()));
            }
            Ok(())
        }
    }

    const SHORT: Duration = Duration::from_millis(50);

    fn pool(
        size: usize,
        dial: impl Fn(u32) -> Result<(), Fault> + Send + Sync + 'static,
        serve: impl Fn(u32, &str) -> Result<u32, Fault> + Send + Sync + 'static,
    ) -> (Pool, Arc<Fake>) {
        let fake = Arc::new(Fake {
            dials: AtomicU32::new(0),
            dial: Box::new(dial),
            serve: Arc::new(serve),
        });
        let dial: Arc<dyn Dial> = Arc::<Fake>::clone(&fake);
        (Pool::new(dial, size, SHORT, SHORT), fake)
    }

    fn dials(fake: &Fake) -> u32 {
        fake.dials.load(Ordering::SeqCst)
    }

    fn lost() -> Fault {
        Fault::Lost("gone".into())
    }

    #[test]
    fn a_connection_is_kept_and_a_dead_one_replaced_once() {
        let (pool, fake) = pool(
            2,
            |_| Ok(()),
            |number, sql| match (number, sql) {
                (1, "second") => Err(lost()),
                (2, "third") => Err(lost()),
                (3, "third") => Err(lost()),
                (number, _) => Ok(number),
            },
        );
        let ask = |sql: &'static str| pool.ask(move |session| session.execute(sql, &[]));
        assert_eq!(ask("first").unwrap(), 1);
        assert_eq!(ask("first").unwrap(), 1);
        assert_eq!(ask("second").unwrap(), 2);
        assert!(matches!(ask("third"), Err(Fault::Lost(_))));
        assert_eq!(
            dials(&fake),
            3,
            "the third was tried over one new connection only"
        );
    }

    #[test]
    fn a_transaction_is_repeated_unless_it_may_have_been_committed() {
        for (situation, fails_at, begun, done) in [
            ("before its first statement", "BEGIN", 2, true),
            ("in the midst of it", "write", 2, true),
            ("when it was made final", "COMMIT", 1, false),
        ] {
            let begins = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&begins);
            let (pool, _) = pool(
                1,
                |_| Ok(()),
                move |number, sql| {
                    if sql == "BEGIN" {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    if number == 1 && sql == fails_at {
                        return Err(lost());
                    }
                    Ok(number)
                },
            );
            pool.ask(|session| session.execute("warm up", &[])).unwrap();
            let answer =
                pool.ask(|session| session.in_transaction(|session| session.execute("write", &[])));
            assert_eq!(begins.load(Ordering::SeqCst), begun, "{situation}");
            match answer {
                Ok(number) => assert!(done && number == 2, "{situation}"),
                Err(fault) => assert!(!done && matches!(fault, Fault::InDoubt), "{situation}"),
            }
        }
    }

    #[test]
    fn a_connection_that_cannot_roll_back_is_not_used_again() {
        let (pool, _) = pool(
            1,
            |_| Ok(()),
            |number, sql| match sql {
                "write" => Err(Fault::Query("no".into())),
                "ROLLBACK" if number == 1 => Err(Fault::Query("no".into())),
                _ => Ok(number),
            },
        );
        let answer =
            pool.ask(|session| session.in_transaction(|session| session.execute("write", &[])));
        assert!(matches!(answer, Err(Fault::Query(_))));
        assert_eq!(pool.ask(|session| session.execute("next", &[])).unwrap(), 2);
    }

    #[test]
    fn who_does_not_answer_is_given_up_and_counts_until_it_ends() {
        let (free, held) = channel::<()>();
        let held = Mutex::new(held);
        let (pool, fake) = pool(
            1,
            |_| Ok(()),
            move |number, sql| {
                if sql == "hang" {
                    let _ = held.lock().unwrap().recv();
                }
                Ok(number)
            },
        );
        let began = Instant::now();
        let answer = pool.ask(|session| session.execute("hang", &[]));
        assert!(matches!(answer, Err(Fault::Stuck)));
        assert!(began.elapsed() >= pool.shared.statement_timeout);
        let began = Instant::now();
        for _ in 0..100 {
            let answer = pool.ask(|session| session.execute("next", &[]));
            assert!(matches!(answer, Err(Fault::Stuck)));
        }
        assert!(began.elapsed() < GRACE, "at once");
        assert_eq!(dials(&fake), 1);
        drop(free);
        let until = Instant::now() + Duration::from_secs(5);
        while pool.ask(|session| session.execute("next", &[])).is_err() {
            assert!(Instant::now() < until, "the place never became free");
            thread::yield_now();
        }
        assert_eq!(dials(&fake), 2);
    }

    #[test]
    fn a_server_that_is_gone_is_tried_by_one_at_a_time() {
        let (pool, fake) = pool(4, |_| Err(Fault::Refused("no".into())), |_, _| Ok(0));
        let began = Instant::now();
        let mut asked = 0_u32;
        while began.elapsed() < Duration::from_millis(400) {
            let answer = pool.ask(|session| session.execute("any", &[]));
            assert!(matches!(answer, Err(Fault::Refused(_))));
            asked += 1;
        }
        // At 0, then not before 75, 225 and 525 ms.
        assert!(
            dials(&fake) <= 3 && asked > 10,
            "{} of {asked}",
            dials(&fake)
        );
    }

    #[test]
    fn no_thread_outlives_the_pool() {
        let (pool, _) = pool(2, |_| Ok(()), |number, _| Ok(number));
        pool.ask(|session| session.execute("any", &[])).unwrap();
        let shared = Arc::downgrade(&pool.shared);
        drop(pool);
        let until = Instant::now() + Duration::from_secs(5);
        while shared.strong_count() > 0 {
            assert!(Instant::now() < until, "a thread holds on");
            thread::yield_now();
        }
    }

    #[test]
    fn rows_come_in_parts_and_end_when_enough() {
        let (pool, _) = pool(1, |_| Ok(()), |_, _| Ok(1000));
        for enough in [1_u32, 200, 1000] {
            let mut seen = 0;
            pool.ask_rows(
                |session, outlet| session.query("rows", &[], &mut |row| outlet.give(row)),
                &mut |_| {
                    seen += 1;
                    if seen == enough {
                        Flow::Enough
                    } else {
                        Flow::More
                    }
                },
            )
            .unwrap();
            assert_eq!(seen, enough);
        }
    }

    #[test]
    fn rows_that_were_given_are_not_given_again() {
        let (pool, fake) = pool(1, |_| Ok(()), |_, _| Ok(500));
        pool.ask(|session| session.execute("warm up", &[])).unwrap();
        let mut seen = 0;
        let answer = pool.ask_rows(
            |session, outlet| session.query("then lost", &[], &mut |row| outlet.give(row)),
            &mut |_| {
                seen += 1;
                Flow::More
            },
        );
        assert!(matches!(answer, Err(Fault::Lost(_))));
        assert_eq!((seen, dials(&fake)), (500, 1));
    }

    #[test]
    fn a_client_library_that_panics_costs_one_connection() {
        let (_, fake) = pool(
            1,
            |_| Ok(()),
            |number, sql| {
                if sql == "panic" {
                    panic!("wanted by the test")
                } else {
                    Ok(number)
                }
            },
        );
        // Telling of a panic takes a busy machine longer than a question may.
        let pool = Pool::new(fake.clone(), 1, SHORT, Duration::from_secs(60));
        let answer = pool.ask(|session| session.execute("panic", &[]));
        assert!(matches!(answer, Err(Fault::Lost(_))));
        let until = Instant::now() + Duration::from_secs(5);
        while pool.ask(|session| session.execute("next", &[])).is_err() {
            assert!(Instant::now() < until, "the place never became free");
        }
        assert_eq!(dials(&fake), 2);
    }
}
