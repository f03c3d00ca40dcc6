//! Opening the stores: for the server, which creates what is not there and takes an old deployment over at its first
//! start, and for commands that only look.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::passwords::Passwords;
use super::take_over::{self, Waiting, waiting};
use super::{Asking, Data, Directory, Identities, Memory};
use crate::store::embedded::{Access, Embedded, Serving, is_there, refuse_gone};
use crate::store::import::{Report, Source as _};
use crate::store::sql::SqlStore;
use crate::store::{Backend, Error, STORE_FILE, SqlOptions, Store, StoreOptions};

/// Stores that are open.
pub struct Opened {
    /// The stores.
    pub data: Data,
    /// What came over from an old deployment, as `name=value` words, if this was its first start.
    pub imported: Option<String>,
    /// What an operator has to know, a sentence each.
    pub notes: Vec<String>,
}

/// A store of either kind, with what only its kind can do.
#[derive(Clone)]
enum Any {
    Embedded(Arc<Embedded>),
    Sql(Arc<SqlStore>),
}

impl Any {
    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Sql(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }

    fn sql(&self) -> Option<Arc<SqlStore>> {
        match self {
            Self::Embedded(_) => None,
            Self::Sql(store) => Some(Arc::clone(store)),
        }
    }
}

/// Opens the stores for a server: the embedded one is created if it is not there, and no other server serves it from then
/// on. The first time, repro's Berkeley DB files are taken over; they themselves stay as they are.
///
/// # Errors
/// A store that cannot be had, or that another server has; files of repro's that are damaged, and then nothing was taken over.
pub fn open(options: &StoreOptions) -> Result<Opened, Error> {
    let mut imported = None;
    let mut notes = Vec::new();
    let mut serving = None;
    let default = match &options.default {
        Backend::Sql(sql) => Any::Sql(connect(sql)?),
        Backend::Embedded {
            directory,
            berkeley,
        } => {
            must_be_there(directory)?;
            let path = directory.join(STORE_FILE);
            serving = Some(Serving::take(&path)?);
            let taken = take_over::open(&path, berkeley.as_deref())?;
            notes = taken.notes;
            imported = taken.report.map(|report| words(&report, &taken.store));
            Any::Embedded(Arc::new(taken.store))
        }
    };
    let data = Data {
        _serving: serving,
        ..compose(options, &default)?
    };
    Ok(Opened {
        data,
        imported,
        notes,
    })
}

/// Opens the stores and changes nothing: what would be created or taken over is tried elsewhere. Answers with what an
/// operator has to know, too.
///
/// # Errors
/// A store that cannot be had, or that was there and is gone; what would be taken over and is damaged.
pub fn look(options: &StoreOptions) -> Result<(Data, Vec<String>), Error> {
    let (directory, berkeley) = match &options.default {
        Backend::Sql(sql) => return Ok((compose(options, &Any::Sql(connect(sql)?))?, Vec::new())),
        Backend::Embedded {
            directory,
            berkeley,
        } => (directory, berkeley.as_deref()),
    };
    must_be_there(directory)?;
    let path = directory.join(STORE_FILE);
    refuse_gone(&path)?;
    let there = match is_there(&path) {
        true => Some(Embedded::open(&path, Access::ReadOnly)?),
        false => None,
    };
    let waits = match berkeley {
        Some(berkeley) => waiting(there.as_ref(), berkeley)?,
        None => Waiting::Nothing,
    };
    let (place, files, notes) = match waits {
        Waiting::Files(files) => {
            let place = format!("{} (not taken over yet)", files.describe());
            (place, Some(files), Vec::new())
        }
        Waiting::Nothing => ("nothing yet".to_owned(), None, Vec::new()),
        Waiting::Absent(note) => ("nothing yet".to_owned(), None, vec![note]),
        Waiting::Passed(note) => (String::new(), None, vec![note]),
    };
    if let (Some(store), None) = (there, &files) {
        return Ok((compose(options, &Any::Embedded(Arc::new(store)))?, notes));
    }
    let (scratch, taken) = take_over::trial(files.as_ref())?;
    let mut data = compose(options, &Any::Embedded(Arc::new(taken.store)))?;
    data.place = place;
    data.scratch = Some(scratch);
    Ok((data, [notes, taken.notes].concat()))
}

/// Refuses a directory that is not there. It is named itself: what is to be made in it is not what the operator wrote.
fn must_be_there(directory: &Path) -> Result<(), Error> {
    match std::fs::metadata(directory) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Io {
            path: directory.to_owned(),
            source,
        }),
    }
}

/// Opens the store that holds everything but what `RuntimeDatabase` holds, for the operator's commands.
///
/// # Errors
/// It cannot be had.
pub(crate) fn open_default(
    options: &StoreOptions,
    access: Access,
) -> Result<Result<Embedded, Arc<SqlStore>>, Error> {
    match &options.default {
        Backend::Sql(sql) => connect(sql).map(Err),
        Backend::Embedded { directory, .. } => {
            Embedded::open(&directory.join(STORE_FILE), access).map(Ok)
        }
    }
}

/// The store of `RuntimeDatabase`, if it is another.
///
/// # Errors
/// It cannot be had.
pub(crate) fn runtime_of(options: &StoreOptions) -> Result<Option<Arc<SqlStore>>, Error> {
    match &options.runtime {
        Some(Backend::Sql(sql)) => connect(sql).map(Some),
        Some(Backend::Embedded { .. }) | None => Ok(None),
    }
}

fn connect(options: &SqlOptions) -> Result<Arc<SqlStore>, Error> {
    let store = SqlStore::open(options).map_err(|fault| Error::Query {
        place: "data base".to_owned(),
        why: format!("{}: {fault}", fault.setting()),
    })?;
    store.check()?;
    Ok(Arc::new(store))
}

fn compose(options: &StoreOptions, default: &Any) -> Result<Data, Error> {
    let runtime = match runtime_of(options)? {
        Some(sql) => Any::Sql(sql),
        None => default.clone(),
    };
    let filters = match &options.filters {
        Some(sql) => Some(connect(sql)?),
        None => runtime.sql().or_else(|| default.sql()),
    };
    let memory = |places| Memory::new(places, options.remember, options.remember_negative);
    let remembered = Arc::new(Memory::new(
        options.remembered,
        options.remember,
        options.remember_negative,
    ));
    let asking = Asking {
        directory: Arc::new(Directory::new(
            runtime.store(),
            filters,
            memory(options.remembered),
        )),
        identities: Arc::new(Identities::new(runtime.store(), Arc::clone(&remembered))),
        remembered,
        passwords: Arc::new(Passwords::new(runtime.store())),
    };
    let place = match options.runtime {
        Some(_) => format!(
            "{} and {}",
            default.store().place(),
            runtime.store().place()
        ),
        None => default.store().place(),
    };
    Ok(Data {
        options: options.clone(),
        place,
        whole: default.store(),
        runtime: runtime.store(),
        embedded: match default {
            Any::Embedded(store) => Some(Arc::clone(store)),
            Any::Sql(_) => None,
        },
        asking,
        scratch: None,
        _serving: None,
    })
}

/// What came over, as `name=value` words.
fn words(report: &Report, store: &Embedded) -> String {
    let mut text = format!("from={:?} store={:?}", report.source, store.place());
    for table in &report.tables {
        // Writing to a String cannot fail.
        let _ = write!(text, " {}={}", table.table, table.added);
    }
    text
}
