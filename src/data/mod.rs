//! The stores of a running server: opened, taken over from an old deployment at the first start, read whole into rules,
//! asked for users and certificates, watched for changes.
//!
//! Everything that may block runs on the main thread, on the lookup pool or on the thread `data`; no worker waits for a
//! store.

mod delivery;
mod directory;
mod identities;
mod memory;
mod open;
mod registrations;
mod tables;
mod watch;

use std::sync::Arc;

use crate::auth::Check;
use crate::proxy::{self, NoDirectory};
use crate::store::embedded::{Embedded, Serving};
use crate::store::import::Source;
use crate::store::{Error, Store, StoreOptions};

pub(crate) use delivery::Delivery;
use directory::Directory;
use identities::{Asked, Identities};
use memory::Memory;
pub use open::{Opened, look, open};
pub(crate) use open::{open_default, runtime_of};
pub(crate) use registrations::restore;
pub use tables::{Tables, judge, trusted_peer};
pub(crate) use watch::Watch;

/// Where the tables that are read whole come from.
enum Place {
    /// A store.
    Store(Arc<dyn Store>),
    /// Files of repro's that have not been taken over yet.
    Source(Box<dyn Source + Send + Sync>),
    /// Nowhere: a store that has not been made yet.
    Nothing,
}

/// What a running server asks of its stores.
struct Asking {
    directory: Arc<Directory>,
    identities: Arc<dyn Check>,
    remembered: Arc<Memory<Asked>>,
}

/// The stores.
pub struct Data {
    options: StoreOptions,
    whole: Place,
    runtime: Option<Arc<dyn Store>>,
    embedded: Option<Arc<Embedded>>,
    asking: Option<Asking>,
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
        match &self.whole {
            Place::Store(store) => Tables::of(&**store),
            Place::Source(source) => Tables::read(&mut |table, take| {
                source.each(table, &mut |record| take(record.map(|(record, _)| record)))
            }),
            Place::Nothing => Ok(Tables::default()),
        }
    }

    /// The place, for people.
    pub fn place(&self) -> String {
        match &self.whole {
            Place::Store(store) => store.place(),
            Place::Source(source) => format!("{} (not taken over yet)", source.describe()),
            Place::Nothing => "nothing yet".to_owned(),
        }
    }

    /// The check that asks the table of TLS peer identities; `None` without a store.
    pub fn identities(&self) -> Option<Arc<dyn Check>> {
        self.asking
            .as_ref()
            .map(|asking| Arc::clone(&asking.identities))
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
        match &self.asking {
            Some(asking) => {
                asking.directory.limit(silo);
                Arc::clone(&asking.directory) as Arc<dyn proxy::Directory>
            }
            None => Arc::new(NoDirectory),
        }
    }

    /// Forgets what is remembered of users and certificates: the store has changed.
    pub fn forget(&self) {
        if let Some(asking) = &self.asking {
            asking.directory.forget();
            asking.remembered.forget();
        }
    }

    /// The settings that they were opened by.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// The embedded store, if there is one.
    pub fn embedded(&self) -> Option<&Arc<Embedded>> {
        self.embedded.as_ref()
    }

    /// Where users and kept messages are; `None` before there is a store.
    pub fn runtime(&self) -> Option<&Arc<dyn Store>> {
        self.runtime.as_ref()
    }
}
