//! Finds and opens stores, and what is taken over into one, for the operator's commands.

use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Gid, Group, Uid, User};

use crate::auth::Algorithm;
use crate::config::{self, Configuration, Override};
use crate::data::{self, Tables};
use crate::manage::{
    ControlSocket, Held, NobodyToTell, Notify, Opened, Place, Purpose, RestoredTo, StoreOpener,
};
use crate::process::ProcessOptions;
use crate::store::embedded::{Access, Embedded, restore};
use crate::store::import::{Export, Source};
use crate::store::sql::SqlStore;
use crate::store::{
    Backend, Error, Flow, Put, Record, RecordFault, ReproDirectory, STORE_FILE, SiloMessage, Store,
    StoreSource, Table,
};

/// Opens what the command line names.
pub(crate) struct Stores;

impl StoreOpener for Stores {
    fn open(&self, place: &Place, purpose: Purpose) -> Result<Opened, Vec<String>> {
        match place {
            Place::File(path) => {
                let (store, scratch) = embedded(path, purpose)?;
                Ok(Opened {
                    notes: store.notes(),
                    store: Held::Embedded(store),
                    algorithms: Algorithm::ALL.to_vec(),
                    domains: None,
                    notify: Box::new(NobodyToTell),
                    _scratch: scratch,
                })
            }
            Place::Configuration(file) => of_configuration(file, purpose),
        }
    }

    fn source(&self, place: &Place, path: &Path) -> Result<Box<dyn Source>, Vec<String>> {
        if let (Place::Configuration(file), Some(number)) = (place, number_of(path)) {
            return data_base(file, number);
        }
        let files = ReproDirectory::open(path).map_err(said)?;
        if files.is_empty() {
            return Ok(Box::new(Export::open(path).map_err(|error| {
                vec![format!(
                    "{error}; and there are no files of repro's (repro_user.db, repro_user.dump) there either"
                )]
            })?));
        }
        Ok(Box::new(files))
    }

    fn restore(&self, place: &Place, backup: &Path) -> Result<RestoredTo, Vec<String>> {
        let (file, process) = match place {
            Place::File(path) => (path.clone(), None),
            Place::Configuration(file) => {
                let (configuration, _) = config::stores(file, &[]).map_err(all_said)?;
                let Backend::Embedded { directory, .. } = configuration.store.default else {
                    return Err(vec![
                        "DefaultDatabase: a backup is put in the place of an embedded store only; use what the data base \
                         itself has for it"
                            .to_owned(),
                    ]);
                };
                (directory.join(STORE_FILE), Some(configuration.process))
            }
        };
        let done = restore(&file, backup).map_err(said)?;
        // What replaces a store belongs to whom that belonged to.
        if let (None, Some(process)) = (&done.before, process) {
            give_to_server(&file, &process)?;
        }
        Ok(RestoredTo { file, done })
    }
}

/// `2` of `Database2`, which names a data base of the configuration unless there is a directory of that name.
fn number_of(path: &Path) -> Option<&str> {
    let word = path.to_str()?;
    let number = word.strip_prefix("Database")?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_number && !path.exists()).then_some(number)
}

fn data_base(file: &Path, number: &str) -> Result<Box<dyn Source>, Vec<String>> {
    let asked = Override {
        name: "DefaultDatabase".to_owned(),
        value: number.to_owned(),
    };
    let configuration = config::load(file, &[asked]).map_err(all_said)?;
    match &configuration.store.default {
        Backend::Sql(_) => match data::open_default(&configuration.store, Access::ReadOnly) {
            Ok(Err(store)) => Ok(Box::new(StoreSource(store))),
            Ok(Ok(_)) => Err(vec![format!(
                "Database{number} is an embedded store; export it instead"
            )]),
            Err(error) => Err(said(error)),
        },
        Backend::Embedded { berkeley, .. } => {
            let Some(berkeley) = berkeley else {
                return Err(vec![format!(
                    "Database{number} is an embedded store; export it instead"
                )]);
            };
            Ok(Box::new(ReproDirectory::open(berkeley).map_err(said)?))
        }
    }
}

/// An embedded store in this file. For a trial without one it is made elsewhere, for as long as the trial lasts.
fn embedded(
    path: &Path,
    purpose: Purpose,
) -> Result<(Embedded, Option<tempfile::TempDir>), Vec<String>> {
    let access = match purpose {
        Purpose::Look => Access::ReadOnly,
        Purpose::Change => Access::Existing,
        Purpose::Fill => Access::Create,
        Purpose::Try if path.exists() => Access::Existing,
        Purpose::Try => {
            let scratch = tempfile::tempdir().map_err(said)?;
            let store = Embedded::open(&scratch.path().join(STORE_FILE), Access::Create);
            return Ok((store.map_err(said)?, Some(scratch)));
        }
    };
    Ok((Embedded::open(path, access).map_err(said)?, None))
}

fn of_configuration(file: &Path, purpose: Purpose) -> Result<Opened, Vec<String>> {
    let (configuration, algorithms) = config::stores(file, &[]).map_err(all_said)?;
    let mut scratch = None;
    let held = match &configuration.store.default {
        Backend::Sql(_) => match data::open_default(&configuration.store, Access::Existing) {
            Ok(Err(store)) => Held::Other(Box::new(store)),
            Ok(Ok(store)) => Held::Embedded(store),
            Err(error) => return Err(said(error)),
        },
        Backend::Embedded { directory, .. } => {
            let path = directory.join(STORE_FILE);
            let is_new = !path.exists();
            let (store, made) = embedded(&path, purpose)?;
            scratch = made;
            if is_new && scratch.is_none() {
                give_to_server(&path, &configuration.process)?;
            }
            Held::Embedded(store)
        }
    };
    let notes = match &held {
        Held::Embedded(store) => store.notes(),
        Held::Other(_) => Vec::new(),
    };
    let store = match (held, data::runtime_of(&configuration.store).map_err(said)?) {
        (held, None) => held,
        (held, Some(runtime)) => Held::Other(Box::new(Parted {
            default: match held {
                Held::Embedded(store) => Box::new(store),
                Held::Other(store) => store,
            },
            runtime,
        })),
    };
    let domains = domains(&configuration, store.store());
    let notify: Box<dyn Notify> = match configuration.control.socket.clone() {
        Some(socket) => Box::new(ControlSocket(socket)),
        None => Box::new(NobodyToTell),
    };
    Ok(Opened {
        store,
        algorithms,
        domains: Some(domains),
        notify,
        notes,
        _scratch: scratch,
    })
}

/// Domains that are ours by the configuration and by the store.
fn domains(configuration: &Configuration, store: &dyn Store) -> Vec<String> {
    let mut auth = configuration.auth.clone();
    // Who only manages users need not be kept from it by a table that cannot be read.
    if let Ok(tables) = Tables::of(store) {
        tables.add_to(&mut auth);
    }
    auth.domains
}

/// A store that root has made belongs to the user that the server runs as.
fn give_to_server(path: &Path, process: &ProcessOptions) -> Result<(), Vec<String>> {
    let Some(name) = &process.user else {
        return Ok(());
    };
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let user = User::from_name(name).ok().flatten();
    let user = user.ok_or_else(|| vec![format!("RunAsUser = {name}: there is no such user")])?;
    let group = match &process.group {
        Some(group) => Group::from_name(group)
            .ok()
            .flatten()
            .map_or(user.gid, |group| group.gid),
        None => user.gid,
    };
    for suffix in ["", "-wal", "-shm", "-lock"] {
        let mut name = OsString::from(path);
        name.push(suffix);
        let file = PathBuf::from(name);
        if file.exists() {
            give(&file, user.uid, group)?;
        }
    }
    Ok(())
}

fn give(file: &Path, user: Uid, group: Gid) -> Result<(), Vec<String>> {
    chown(file, Some(user.as_raw()), Some(group.as_raw()))
        .map_err(|error| vec![format!("{}: {error}", file.display())])
}

fn said(error: impl ToString) -> Vec<String> {
    vec![error.to_string()]
}

fn all_said(errors: Vec<config::ConfigError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What `RuntimeDatabase` parts: users, TLS peer identities and messages there, everything else here.
struct Parted {
    default: Box<dyn Store>,
    runtime: Arc<SqlStore>,
}

impl Parted {
    fn of(&self, table: Table) -> &dyn Store {
        match table {
            Table::User | Table::Identity | Table::Silo => &*self.runtime,
            _ => &*self.default,
        }
    }
}

impl Store for Parted {
    fn place(&self) -> String {
        format!("{} and {}", self.default.place(), self.runtime.place())
    }

    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Record, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        self.of(table).each(table, take)
    }

    fn get(&self, table: Table, key: &str) -> Result<Option<Record>, Error> {
        self.of(table).get(table, key)
    }

    fn put(&self, records: &[Record]) -> Result<Vec<Put>, Error> {
        let mut done = Vec::with_capacity(records.len());
        // Each command puts records of one table; only such can be put in one step.
        for same in records.chunk_by(|a, b| a.table() == b.table()) {
            if let Some(table) = same.first().map(Record::table) {
                done.extend(self.of(table).put(same)?);
            }
        }
        Ok(done)
    }

    fn remove(&self, table: Table, keys: &[String]) -> Result<usize, Error> {
        self.of(table).remove(table, keys)
    }

    fn replace(&self, old: &str, record: &Record) -> Result<Put, Error> {
        self.of(record.table()).replace(old, record)
    }

    fn password_hash(&self, user: &str, realm: &str) -> Result<Option<String>, Error> {
        self.runtime.password_hash(user, realm)
    }

    fn authorizes(&self, names: &[String], identities: &[String]) -> Result<bool, Error> {
        self.runtime.authorizes(names, identities)
    }

    fn messages_for(&self, to: &str, limit: usize) -> Result<Vec<SiloMessage>, Error> {
        self.runtime.messages_for(to, limit)
    }

    fn count_messages(&self, to: &str) -> Result<(u64, u64), Error> {
        self.runtime.count_messages(to)
    }

    fn expire_messages(&self, before: u64) -> Result<usize, Error> {
        self.runtime.expire_messages(before)
    }

    fn version(&self) -> Result<Option<u64>, Error> {
        self.default.version()
    }
}
