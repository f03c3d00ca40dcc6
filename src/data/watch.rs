//! The thread `data`: sees that a store has changed, or is another, writes registrations down, throws away what is too old.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use log::{error, info, warn};

use super::directory::unix_now;
use super::{Data, registrations};
use crate::registrar::Changed;
use crate::store::embedded::{Embedded, HELD, Versions};
use crate::store::{Error, Store, Table};
use crate::transport::EngineHandle;

/// How often the embedded store is looked at; a look costs some microseconds.
const LOOK: Duration = Duration::from_secs(1);
/// How often what is too old is thrown away.
const SWEEP: Duration = Duration::from_secs(3600);

/// The thread.
pub(crate) struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts it. `changed` is told the tables whenever a store has changed, or may have; it answers whether it has taken
    /// that up, and is told again otherwise.
    pub(crate) fn start(
        data: &Data,
        engine: EngineHandle,
        silo_expiration: Duration,
        changed: impl Fn(Vec<Table>) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let mut watcher = Watcher {
            embedded: data.embedded().map(Arc::clone),
            runtime: data.runtime().map(Arc::clone),
            refresh: data.options().refresh,
            persists: data.options().persist_registrations,
            silo_expiration,
            engine,
            seen: None,
            said: None,
            untold: Vec::new(),
            refreshed: Instant::now(),
            // Once soon after the start.
            swept: None,
        };
        watcher.seen = watcher.versions();
        let thread = thread::Builder::new()
            .name("data".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
                    watcher.look(&changed);
                }
                watcher.end();
            })?;
        Ok(Self { stop, thread })
    }

    /// Ends it; what has changed until now is written.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            warn!("data.panicked registrations may not all have been written");
        }
    }
}

struct Watcher {
    embedded: Option<Arc<Embedded>>,
    runtime: Option<Arc<dyn Store>>,
    refresh: Duration,
    persists: bool,
    silo_expiration: Duration,
    engine: EngineHandle,
    seen: Option<Versions>,
    /// What was said last about a store that is not in its place.
    said: Option<String>,
    /// Tables whose change nobody has taken up yet.
    untold: Vec<Table>,
    refreshed: Instant,
    swept: Option<Instant>,
}

impl Watcher {
    fn versions(&self) -> Option<Versions> {
        let told = |error: Error| {
            let error = error.to_string();
            warn!("store.failed asked=versions error={error:?}");
        };
        self.embedded.as_ref()?.versions().map_err(told).ok()
    }

    /// Whether the embedded store is in its place, or there is none; another that has been put there is taken up.
    fn stands(&mut self) -> bool {
        let Some(embedded) = self.embedded.clone() else {
            return true;
        };
        let displacement = match embedded.look() {
            Ok(None) => {
                if self.said.take().is_some() {
                    info!("store.back path={:?}", embedded.place());
                }
                return true;
            }
            Ok(Some(displacement)) => displacement,
            Err(error) => {
                self.say_once(&format!("store.not_watched {error}"));
                return true;
            }
        };
        match embedded.reopen() {
            Ok(true) => {
                self.said = None;
                for note in embedded.notes() {
                    warn!("config.note {note}");
                }
                info!("store.reopened path={:?}", embedded.place());
                self.take_up_another();
                true
            }
            Ok(false) => {
                let path = embedded.place();
                self.say_once(&format!("store.displaced path={path:?} {displacement}"));
                false
            }
            Err(error) => {
                self.say_once(&format!("store.not_reopened {error}"));
                false
            }
        }
    }

    /// Says it as long as it is something else than what was said last.
    fn say_once(&mut self, what: &str) {
        if self.said.as_deref() != Some(what) {
            error!("{what}");
            self.said = Some(what.to_owned());
        }
    }

    /// Everything is another now, as far as anybody can tell; and registrations have to be written whole.
    fn take_up_another(&mut self) {
        self.seen = self.versions();
        self.untold = HELD.to_vec();
        self.swept = None;
        if self.persists {
            self.engine
                .location()
                .give_back_changed(Changed::Everything);
        }
    }

    fn look(&mut self, changed: &impl Fn(Vec<Table>) -> bool) {
        if !self.stands() {
            return;
        }
        if let Some(now) = self.versions() {
            if let Some(seen) = &self.seen {
                self.untold.extend(now.changed_since(seen));
            }
            self.seen = Some(now);
        }
        let is_sql = self.embedded.is_none();
        if is_sql && !self.refresh.is_zero() && self.refreshed.elapsed() >= self.refresh {
            self.refreshed = Instant::now();
            self.untold.extend([
                Table::Domain,
                Table::Acl,
                Table::Route,
                Table::Filter,
                Table::Registration,
            ]);
        }
        self.untold.sort_unstable();
        self.untold.dedup();
        if !self.untold.is_empty() && changed(self.untold.clone()) {
            self.untold.clear();
        }
        self.write();
        if self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP) {
            self.swept = Some(Instant::now());
            self.sweep();
        }
    }

    fn write(&self) {
        if let (Some(embedded), true) = (&self.embedded, self.persists) {
            registrations::write_changes(embedded, self.engine.location());
        }
    }

    fn sweep(&self) {
        let told = |what: &str, removed: Result<usize, Error>| match removed {
            Ok(0) => {}
            Ok(removed) => info!("store.expired {what}={removed}"),
            Err(error) => warn!("store.failed asked={what} error={:?}", error.to_string()),
        };
        if let (Some(runtime), false) = (&self.runtime, self.silo_expiration.is_zero()) {
            let before = unix_now().saturating_sub(self.silo_expiration.as_secs());
            told("messages", runtime.expire_messages(before));
        }
        if let (Some(embedded), true) = (&self.embedded, self.persists) {
            told("bindings", embedded.expire_bindings(unix_now()));
        }
    }

    /// What comes after this is the end of the connections, and is not written: the phones shall be found again.
    fn end(&self) {
        self.write();
        if self.persists {
            self.engine.location().stop_tracking();
        }
    }
}
