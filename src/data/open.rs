//! Opening the stores: for the server, which creates what is not there and takes an old deployment over at its first
//! start, and for commands that only look.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::{Asking, Data, Directory, Identities, Memory, Place, judge};
use crate::store::embedded::{Access, Embedded, Serving};
use crate::store::import::{Source, import};
use crate::store::sql::SqlStore;
use crate::store::{Backend, Error, ReproDirectory, STORE_FILE, SqlOptions, Store, StoreOptions};

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
            // Named itself when it is missing: what is to be made in it is not what the operator wrote.
            std::fs::metadata(directory).map_err(|source| Error::Io {
                path: directory.clone(),
                source,
            })?;
            let path = directory.join(STORE_FILE);
            serving = Some(Serving::take(&path)?);
            let store = Embedded::open(&path, Access::Create)?;
            if let Some(berkeley) = berkeley {
                imported = take_over(&store, berkeley, &mut notes)?;
            }
            Any::Embedded(Arc::new(store))
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

/// Opens the stores and changes nothing: what would be created counts as empty, what would be taken over is read where it
/// is.
///
/// # Errors
/// A store that cannot be had.
pub fn look(options: &StoreOptions) -> Result<Data, Error> {
    let default = match &options.default {
        Backend::Sql(sql) => Any::Sql(connect(sql)?),
        Backend::Embedded {
            directory,
            berkeley,
        } => {
            let path = directory.join(STORE_FILE);
            if !path.exists() {
                let files = berkeley.as_deref().map(ReproDirectory::open).transpose()?;
                let whole = match files {
                    Some(files) => Place::Source(Box::new(files)),
                    None => Place::Nothing,
                };
                return Ok(Data {
                    options: options.clone(),
                    whole,
                    runtime: None,
                    embedded: None,
                    asking: None,
                    _serving: None,
                });
            }
            Any::Embedded(Arc::new(Embedded::open(&path, Access::ReadOnly)?))
        }
    };
    compose(options, &default)
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
    };
    Ok(Data {
        options: options.clone(),
        whole: Place::Store(default.store()),
        runtime: Some(runtime.store()),
        embedded: match default {
            Any::Embedded(store) => Some(Arc::clone(store)),
            Any::Sql(_) => None,
        },
        asking: Some(asking),
        _serving: None,
    })
}

/// Takes repro's files over into a store that is new. What came over, as `name=value` words.
fn take_over(
    store: &Embedded,
    berkeley: &Path,
    notes: &mut Vec<String>,
) -> Result<Option<String>, Error> {
    if store.imported()?.is_some() {
        return Ok(None);
    }
    let files = ReproDirectory::open(berkeley)?;
    if files.is_empty() {
        return Ok(None);
    }
    if !store.is_empty()? {
        notes.push(format!(
            "{}: repro's files there are not taken over, because {} holds records already; sipvouch import does it",
            files.describe(),
            store.place()
        ));
        return Ok(None);
    }
    let report = import(store, &files, false, &judge)?;
    let mut text = format!("from={:?} store={:?}", report.source, store.place());
    for table in &report.tables {
        // Writing to a String cannot fail.
        let _ = write!(text, " {}={}", table.table, table.added);
        for fault in &table.faults {
            notes.push(format!("{fault}; this record did not come over"));
        }
        for note in &table.notes {
            notes.push(format!("{} {:?}: {}", table.table, note.key, note.note));
        }
    }
    Ok(Some(text))
}
