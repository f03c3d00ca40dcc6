//! Which store the commands work on, and the server that should know of a change.

use std::path::{Path, PathBuf};

use crate::auth::Algorithm;
use crate::store::embedded::{Embedded, Restored};
use crate::store::import::Source;
use crate::store::{Record, Store, Table};

/// Where the operator says that the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where this configuration file has it.
    Configuration(PathBuf),
    /// An embedded store in this file; no configuration is read.
    File(PathBuf),
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be looked at.
    Look,
    /// To be changed: it must be there.
    Change,
    /// To be added to: it must be there, or a configuration says where the first is to be.
    Add,
    /// To be filled: it is made if it is not there, and stays if that succeeds.
    Fill,
    /// To be filled as a trial, after which nothing has changed.
    Try,
}

/// A store that was opened. Some of what is done to a whole store is done to an embedded one only.
pub(crate) enum Held {
    /// A file of its own.
    Embedded(Embedded),
    /// Tables in a data base.
    Other(Box<dyn Store>),
}

impl Held {
    /// The store.
    pub(crate) fn store(&self) -> &dyn Store {
        match self {
            Self::Embedded(store) => store,
            Self::Other(store) => &**store,
        }
    }

    /// The store, if it is embedded.
    pub(crate) fn embedded(&self) -> Option<&Embedded> {
        match self {
            Self::Embedded(store) => Some(store),
            Self::Other(_) => None,
        }
    }
}

/// A store, and what the commands need to know of the configuration around it.
pub(crate) struct Opened {
    /// The store.
    pub(crate) store: Held,
    /// Algorithms that a new password is hashed for; repro: `DigestChallengeAlgorithms`, all if that is empty.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Domains that are ours without the store, in lower case; `None` if no configuration says which.
    pub(crate) domains: Option<Vec<String>>,
    /// The file of CommonNameMappings, if there are any: they take the place of the identities.
    pub(crate) mappings: Option<PathBuf>,
    /// How the server is told.
    pub(crate) notify: Box<dyn Notify>,
    /// What there is to know of how it was opened, a sentence each.
    pub(crate) notes: Vec<String>,
    /// What is left to do once a store that was made has been filled. Without it there is none.
    pub(crate) finish: Option<Finish>,
    /// Where the store of a trial is; it goes with this.
    pub(crate) _scratch: Option<tempfile::TempDir>,
}

/// A backup that was put in the place of a store.
pub(crate) struct RestoredTo {
    /// The store.
    pub(crate) file: PathBuf,
    /// What was done.
    pub(crate) done: Restored,
}
/// Puts a store in its place.
pub(crate) type Finish = Box<dyn FnOnce(Embedded) -> Result<(), Vec<String>>>;

/// Opens stores. The composition root knows how a configuration names one; the commands do not.
pub(crate) trait StoreOpener {
    /// Opens the store.
    ///
    /// # Errors
    /// A sentence for each reason why it cannot be.
    fn open(&self, place: &Place, purpose: Purpose) -> Result<Opened, Vec<String>>;

    /// Opens what is to be taken over into a store: a directory, or a data base of this configuration.
    ///
    /// # Errors
    /// A sentence for each reason why it cannot be.
    fn source(&self, configuration: &Path, path: &Path) -> Result<Box<dyn Source>, Vec<String>>;

    /// Puts a backup in the place of the store.
    ///
    /// # Errors
    /// A sentence for each reason why it cannot be.
    fn restore(&self, place: &Place, backup: &Path) -> Result<RestoredTo, Vec<String>>;

    /// What a server makes of a record that it cannot use as it is.
    fn judge(&self, record: &Record) -> Option<String>;

    /// Who would be trusted by a record that trusts everybody, or nearly so.
    fn trusts_many(&self, record: &Record) -> Option<String>;

    /// What number of a record means nothing, so that nobody has meant it.
    fn nonsense(&self, record: &Record) -> Option<String>;
}

/// Tells the server that a store has changed.
pub(crate) trait Notify {
    /// Tells it which tables to read again.
    fn changed(&self, tables: &[Table]) -> Told;
}

/// Whether the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has been told, and has answered.
    Heard,
    /// None runs here, as far as we can see.
    NoServer,
    /// One seems to run and cannot be told; why.
    Failed(String),
}

/// For a store that no configuration names: whoever serves it looks for changes by itself.
pub(crate) struct NobodyToTell;

impl Notify for NobodyToTell {
    fn changed(&self, _: &[Table]) -> Told {
        Told::NoServer
    }
}
