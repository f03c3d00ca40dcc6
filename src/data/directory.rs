//! Who the users are, what the filters' data base says, and where messages are kept: the answers that a request waits
//! for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use log::warn;

use super::memory::Memory;
use crate::proxy::{self, Answer, Kept, KeptMessage, Question, Ruling, SiloOptions, Undecided};
use crate::store::sql::SqlStore;
use crate::store::{Error, Flow, Record, SiloMessage, Store, Table};

/// The stores behind the proxy core.
pub(super) struct Directory {
    runtime: Arc<dyn Store>,
    filters: Option<Arc<SqlStore>>,
    users: Memory<(String, String)>,
    silo: ArcSwap<SiloOptions>,
    /// Held while one message is counted and kept, so that two that come at once do not both take the last place.
    keeping: Mutex<()>,
}

impl Directory {
    pub(super) fn new(
        runtime: Arc<dyn Store>,
        filters: Option<Arc<SqlStore>>,
        users: Memory<(String, String)>,
    ) -> Self {
        Self {
            runtime,
            filters,
            users,
            silo: ArcSwap::default(),
            keeping: Mutex::default(),
        }
    }

    /// Whether there is a data base for the queries of filters.
    pub(super) fn asks_filters(&self) -> bool {
        self.filters.is_some()
    }

    /// Sets the limits of the silo.
    pub(super) fn limit(&self, silo: &SiloOptions) {
        self.silo.store(Arc::new(silo.clone()));
    }

    /// Forgets what is remembered of users.
    pub(super) fn forget(&self) {
        self.users.forget();
    }

    fn user_exists(&self, user: String, domain: String) -> Answer {
        let exists = match self.knows(&user, &domain) {
            Ok(exists) => exists,
            Err(error) => return failed("user", &error),
        };
        self.users.remember((user, domain), exists, Instant::now());
        Answer::Exists(exists)
    }

    /// Deviation: a table without any user says nothing, where repro took everybody for unknown: the phones of such a server
    /// prove themselves by certificates alone.
    fn knows(&self, user: &str, domain: &str) -> Result<bool, Error> {
        match self.runtime.get(Table::User, &format!("{user}@{domain}")) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) => {}
            // Somebody is there, with a record that cannot be read.
            Err(Error::Record(_)) => return Ok(true),
            Err(error) => return Err(error),
        }
        // A query of the operator's may know more than the table.
        if self.runtime.password_hash(user, domain)?.is_some() {
            return Ok(true);
        }
        let mut is_empty = true;
        self.runtime.each(Table::User, &mut |_| {
            is_empty = false;
            Flow::Enough
        })?;
        Ok(is_empty)
    }

    fn keep(&self, message: KeptMessage) -> Result<Kept, Error> {
        let silo = self.silo.load();
        let _one_at_a_time = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let (of_user, in_all) = self.runtime.count_messages(&message.destination)?;
        if of_user >= silo.max_per_user || in_all >= silo.max_total {
            return Ok(Kept::Full);
        }
        let record = Record::Silo(SiloMessage {
            dest_uri: message.destination,
            source_uri: message.source,
            original_sent_time: message.arrived / 1_000_000,
            // Every store gives messages of one second in the order of this text: as they arrived, in whatever order the
            // lookup threads come here.
            tid: format!("{:020}-{}", message.arrived, message.transaction),
            mime_type: message.content_type,
            message_body: message.body,
        });
        self.runtime.put(&[record])?;
        Ok(Kept::Stored)
    }
}

impl proxy::Directory for Directory {
    fn recall(&self, question: &Question) -> Option<Answer> {
        match question {
            Question::UserExists { user, domain } => self
                .users
                .recall(&(user.clone(), domain.clone()), Instant::now())
                .map(Answer::Exists),
            Question::Filter { .. } | Question::Keep(_) => None,
        }
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::UserExists { user, domain } => self.user_exists(user, domain),
            Question::Filter {
                statement,
                captures,
            } => {
                let Some(store) = &self.filters else {
                    tell_filter(&statement, "there is no data base to ask");
                    return Answer::Failed;
                };
                let capture = |condition, group| captures.text(condition, group).map(str::to_owned);
                match store.query_filter(&statement, &capture) {
                    Ok(found) => {
                        match found.as_deref() {
                            None => tell_filter(&statement, "no row, or NULL: it counts as failed"),
                            Some(text) if Ruling::parse(text).is_none() => {
                                let text = cut(text);
                                let why = format!("{text:?} is no status: the request goes on");
                                tell_filter(&statement, &why);
                            }
                            Some(_) => {}
                        }
                        Answer::FilterResult(found)
                    }
                    Err(error) => failed("filter", &error),
                }
            }
            Question::Keep(message) => match self.keep(*message) {
                Ok(kept) => Answer::Kept(kept),
                Err(error) => {
                    failed("silo", &error);
                    Answer::Kept(Kept::Failed)
                }
            },
        }
    }

    fn undecided(&self, filter: &str, why: Undecided) {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        if is_due(&TOLD) {
            let (filter, why) = (cut(filter), why.to_string());
            warn!("filter.undecided filter={filter:?} reason={why:?}");
        }
    }
}

/// Says of the query of a filter that its answer is none that its writer can have meant.
fn tell_filter(statement: &str, why: &str) {
    static TOLD: AtomicU64 = AtomicU64::new(0);
    if is_due(&TOLD) {
        let statement = cut(statement);
        warn!("filter.no_answer query={statement:?} reason={why:?}");
    }
}

/// The beginning of a text, long enough to know it by.
fn cut(text: &str) -> String {
    const MOST: usize = 200;
    let mut cut: String = text.chars().take(MOST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// Whether nothing has been told in this second yet; then it is told now.
fn is_due(told: &AtomicU64) -> bool {
    let now = unix_now();
    told.swap(now, Ordering::Relaxed) != now
}

/// Says that a store did not answer, once a second at most; whoever asked gets an answer that says so too.
pub(super) fn failed(what: &str, error: &Error) -> Answer {
    static TOLD: AtomicU64 = AtomicU64::new(0);
    if is_due(&TOLD) {
        warn!("store.failed asked={what} error={:?}", error.to_string());
    }
    Answer::Failed
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
