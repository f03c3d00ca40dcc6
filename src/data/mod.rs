//! The stores of a running server: opened, taken over from an old deployment at the first start, read whole into rules,
//! asked for users and certificates, watched for changes.
//!
//! Everything that may block runs on the main thread, on the lookup pool or on the thread `data`; no worker waits for a
//! store.

mod begun;
mod callout;
mod delivery;
mod directory;
mod identities;
mod memory;
mod open;
mod passwords;
mod registrations;
mod tables;
mod take_over;
mod watch;

use std::sync::Arc;

use tempfile::TempDir;

use crate::auth::{self, Check};
use crate::proxy;
use crate::store::embedded::{Embedded, Serving};
use crate::store::{Error, Flow, RecordFault, Store, StoreOptions, Table};

pub(crate) use begun::{Begun, remove_left};
pub(crate) use callout::Callout;
pub use callout::CalloutFault;
pub(crate) use delivery::Delivery;
use directory::Directory;
use identities::{Asked, Identities};
use memory::Memory;
pub use open::{Opened, look, open};
pub(crate) use open::{open_default, runtime_of};
use passwords::Passwords;
pub(crate) use registrations::restore;
pub use tables::{Tables, judge, nonsense, trusted_peer, trusts_many};
pub(crate) use take_over::{Waiting, waiting};
pub(crate) use watch::Watch;

/// What a running server asks of its stores.
struct Asking {
    directory: Arc<Directory>,
    identities: Arc<dyn Check>,
    remembered: Arc<Memory<Asked>>,
    passwords: Arc<Passwords>,
}

/// Which tables requests ask besides that of the users.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// That of the TLS peer identities.
    pub identities: bool,
    /// That of the kept messages.
    pub silo: bool,
}

/// Most records of a table that cannot be read, or used, and are named.
const MAX_LISTED: usize = 20;

/// How many records a table has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Count {
    /// Those that can be read.
    pub records: u64,
    /// Those that cannot.
    pub unreadable: u64,
    /// What is wrong with the first of those.
    pub faults: Vec<RecordFault>,
    /// Those of the users that can be read, but not be used as they are.
    pub noted: u64,
    /// What there is to know of the first of those.
    pub notes: Vec<String>,
}

/// The stores.
pub struct Data {
    options: StoreOptions,
    /// For people.
    place: String,
    whole: Arc<dyn Store>,
    runtime: Arc<dyn Store>,
    embedded: Option<Arc<Embedded>>,
    asking: Asking,
    /// Where the store of a trial is; it goes with this.
    scratch: Option<TempDir>,
    /// Given up last of all: what is closed has been written.
    _serving: Option<Serving>,
}

impl Data {
    /// What the tables hold that are read whole.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn tables(&self) -> Result<Tables, Error> {
        self.require_in_place()?;
        Tables::of(&*self.whole)
    }

    /// Counts the records of a table, reading all of them.
    ///
    /// # Errors
    /// The store does not answer, or has no such table.
    pub fn count(&self, table: Table) -> Result<Count, Error> {
        let store = match table {
            Table::User | Table::Identity | Table::Silo => &self.runtime,
            _ => &self.whole,
        };
        let mut count = Count::default();
        store.each(table, &mut |record| {
            match record {
                Ok(record) => {
                    count.records += 1;
                    if let (Table::User, Some(note)) = (table, judge(&record)) {
                        count.noted += 1;
                        if count.notes.len() < MAX_LISTED {
                            count
                                .notes
                                .push(format!("{table} {:?}: {note}", record.key()));
                        }
                    }
                }
                Err(fault) => {
                    count.unreadable += 1;
                    if count.faults.len() < MAX_LISTED {
                        count.faults.push(fault);
                    }
                }
            }
            Flow::More
        })?;
        Ok(count)
    }

    /// Asks of each table that requests ask one by one whether there is one to ask. Answers with what will not be answered,
    /// a sentence each.
    ///
    /// # Errors
    /// Users cannot be asked for, which nearly every request needs.
    pub fn rehearse(&self, wanted: Wanted) -> Result<Vec<String>, Error> {
        // RFC 2606 §2: nobody has this name.
        let (user, domain) = ("nobody", "invalid");
        self.runtime.get(Table::User, &format!("{user}@{domain}"))?;
        self.runtime.password_hash(user, domain)?;
        let mut notes = Vec::new();
        let name = [domain.to_owned()];
        if wanted.identities
            && let Err(error) = self.runtime.authorizes(&name, &name)
        {
            notes.push(format!(
                "{error}; TLS peer identities cannot be asked for, and whoever only they would let in is refused"
            ));
        }
        if wanted.silo
            && let Err(error) = self.runtime.count_messages("sip:nobody@invalid")
        {
            notes.push(format!(
                "{error}; no message can be kept, and a MESSAGE for a user who is away is answered 500"
            ));
        }
        Ok(notes)
    }

    /// The place, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether there is any TLS peer identity. A table that is not there, or does not answer, has none.
    pub fn has_identities(&self) -> bool {
        let mut any = false;
        let asked = self.runtime.each(Table::Identity, &mut |_| {
            any = true;
            Flow::Enough
        });
        asked.is_ok() && any
    }

    /// The check that asks the table of TLS peer identities.
    pub fn identities(&self) -> Arc<dyn Check> {
        Arc::clone(&self.asking.identities)
    }

    /// Who knows the passwords of the users.
    pub fn passwords(&self) -> Arc<dyn auth::Passwords> {
        Arc::clone(&self.asking.passwords) as Arc<dyn auth::Passwords>
    }

    /// Whether there is a data base for the queries of request filters.
    pub fn asks_filters(&self) -> bool {
        self.asking.directory.asks_filters()
    }

    /// What an operator has to know of how the stores were opened, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.embedded
            .as_ref()
            .map_or_else(Vec::new, |embedded| embedded.notes())
    }

    /// Refuses an embedded store whose file has been removed or replaced: what it holds is not what is there.
    ///
    /// # Errors
    /// [`Error::Displaced`].
    pub fn require_in_place(&self) -> Result<(), Error> {
        self.embedded
            .as_ref()
            .map_or(Ok(()), |embedded| embedded.require_in_place())
    }

    /// Who knows the users, with these limits for messages.
    pub fn directory(&self, silo: &proxy::SiloOptions) -> Arc<dyn proxy::Directory> {
        self.asking.directory.limit(silo);
        Arc::clone(&self.asking.directory) as Arc<dyn proxy::Directory>
    }

    /// Forgets what is remembered of users and certificates: the store has changed.
    pub fn forget(&self) {
        self.asking.directory.forget();
        self.asking.remembered.forget();
    }

    /// The settings that they were opened by.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// The embedded store, if there is one.
    pub fn embedded(&self) -> Option<&Arc<Embedded>> {
        self.embedded.as_ref()
    }

    /// Where users and kept messages are.
    pub fn runtime(&self) -> Option<&Arc<dyn Store>> {
        Some(&self.runtime)
    }
}
