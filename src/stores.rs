//! Finds and opens stores, and what is taken over into one, for the operator's commands.

use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Gid, Group, Uid, User};
use tempfile::TempDir;

use crate::auth::{Algorithm, Mappings};
use crate::config::{self, Configuration, Override};
use crate::data::{self, Begun, Tables, Waiting};
use crate::manage::{
    ControlSocket, Finish, Held, NobodyToTell, Notify, Opened, Place, Purpose, RestoredTo,
    StoreOpener,
};
use crate::process::ProcessOptions;
use crate::store::embedded::{Access, Embedded, is_there, refuse_gone, restore};
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
                let own = embedded(path, purpose, None)?;
                Ok(Opened {
                    notes: own.store.notes(),
                    store: Held::Embedded(own.store),
                    algorithms: Algorithm::ALL.to_vec(),
                    domains: None,
                    mappings: None,
                    notify: Box::new(NobodyToTell),
                    finish: own.finish,
                    _scratch: own.scratch,
                })
            }
            Place::Configuration(file) => of_configuration(file, purpose),
        }
    }

    fn source(&self, file: &Path, path: &Path) -> Result<Box<dyn Source>, Vec<String>> {
        if let Some(number) = number_of(path) {
            return data_base(file, number);
        }
        match path.metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                let path = path.display();
                return Err(vec![format!("{path}: is no directory; {SOURCES}")]);
            }
            Err(error) => return Err(vec![format!("{}: {error}; {SOURCES}", path.display())]),
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
        if done.before.is_none() {
            give_to_server(&file, process.as_ref())?;
        }
        Ok(RestoredTo { file, done })
    }

    fn judge(&self, record: &Record) -> Option<String> {
        data::judge(record)
    }

    fn trusts_many(&self, record: &Record) -> Option<String> {
        data::trusts_many(record)
    }

    fn nonsense(&self, record: &Record) -> Option<String> {
        data::nonsense(record)
    }
}

/// What may be imported.
const SOURCES: &str = "the source is a directory with repro's Berkeley DB files (repro_user.db) or with what db_dump made of \
     them (repro_user.dump), a directory that sipvouch export has written, or the word Database1 for that data base of the \
     configuration";

/// `2` of `Database2`, which names a data base of the configuration unless there is a directory of that name.
fn number_of(path: &Path) -> Option<&str> {
    let (word, number) = path.to_str()?.split_at_checked("Database".len())?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (word.eq_ignore_ascii_case("Database") && is_number && !path.exists()).then_some(number)
}

/// The data base of this number in the configuration.
fn data_base(file: &Path, number: &str) -> Result<Box<dyn Source>, Vec<String>> {
    // First as it is: what is wrong with the file has nothing to do with the number.
    config::load(file, &[]).map_err(|errors| {
        let mut errors = all_said(errors);
        errors.push(format!(
            "Database{number} is a data base of the configuration, which is {} unless --config names another",
            file.display()
        ));
        errors
    })?;
    let asked = Override {
        name: "DefaultDatabase".to_owned(),
        value: number.to_owned(),
    };
    let configuration = config::load(file, &[asked]).map_err(all_said)?;
    match &configuration.store.default {
        Backend::Sql(_) => match data::open_default(&configuration.store, Access::ReadOnly) {
            Ok(Err(store)) => Ok(Box::new(StoreSource::open(store).map_err(said)?)),
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
            let files = ReproDirectory::open(berkeley).map_err(said)?;
            if files.is_empty() {
                return Err(vec![format!(
                    "{}: there are no files of repro's (repro_user.db, repro_user.dump) there",
                    berkeley.display()
                )]);
            }
            Ok(Box::new(files))
        }
    }
}

/// An embedded store that was opened or made.
struct Own {
    store: Embedded,
    finish: Option<Finish>,
    scratch: Option<TempDir>,
}

/// The embedded store in this file; a server of this configuration is to be able to use it. One that is not there is made
/// beside its place to be filled, and elsewhere for a trial, for as long as that lasts.
fn embedded(
    path: &Path,
    purpose: Purpose,
    process: Option<&ProcessOptions>,
) -> Result<Own, Vec<String>> {
    let of = |access| {
        let store = Embedded::open(path, access).map_err(said)?;
        Ok(Own {
            store,
            finish: None,
            scratch: None,
        })
    };
    if purpose == Purpose::Fill {
        data::remove_left(path);
    }
    if path.exists() {
        return of(match purpose {
            Purpose::Look => Access::ReadOnly,
            Purpose::Change | Purpose::Add | Purpose::Try => Access::Existing,
            Purpose::Fill => Access::Create,
        });
    }
    if matches!(purpose, Purpose::Look | Purpose::Change | Purpose::Add) {
        // One that is gone is not made anew by this: a server that runs would take it up.
        refuse_gone(path).map_err(said)?;
    }
    match purpose {
        // Before its first start a server has no store, and its users may be there before it.
        Purpose::Add if process.is_some() => {
            let own = of(Access::Create)?;
            give_to_server(path, process)?;
            Ok(own)
        }
        Purpose::Look | Purpose::Change | Purpose::Add => Err(said(Error::NoStore {
            path: path.to_owned(),
        })),
        Purpose::Fill => {
            let (begun, store) = Begun::beside(path).map_err(said)?;
            let (path, process) = (path.to_owned(), process.cloned());
            let finish = move |store| match begun.put_in_place(store).map_err(said)? {
                true => give_to_server(&path, process.as_ref()),
                false => Err(vec![format!(
                    "{}: somebody else has made a store meanwhile; import once more, into that one",
                    path.display()
                )]),
            };
            Ok(Own {
                store,
                finish: Some(Box::new(finish)),
                scratch: None,
            })
        }
        Purpose::Try => {
            let scratch = tempfile::tempdir().map_err(said)?;
            let store = Embedded::open(&scratch.path().join(STORE_FILE), Access::Create);
            Ok(Own {
                store: store.map_err(said)?,
                finish: None,
                scratch: Some(scratch),
            })
        }
    }
}

/// Refuses to look for records, or to add some, where those of an old deployment have still to come: they would be missed,
/// and behind a store that holds something they would wait for ever.
fn refuse_before_take_over(
    store: Option<&Embedded>,
    berkeley: &Path,
    file: &Path,
) -> Result<(), Vec<String>> {
    match data::waiting(store, berkeley).map_err(said)? {
        Waiting::Files(files) => {
            let (berkeley, file) = (berkeley.display(), file.display());
            Err(vec![format!(
                "{}: nothing of repro's has been taken over from there yet; do that first, by sipvouch import {berkeley} \
                 --config {file} or a first start of the server",
                files.describe()
            )])
        }
        Waiting::Nothing | Waiting::Absent(_) | Waiting::Passed(_) => Ok(()),
    }
}

fn of_configuration(file: &Path, purpose: Purpose) -> Result<Opened, Vec<String>> {
    let (configuration, algorithms) = config::stores(file, &[]).map_err(all_said)?;
    let (mut finish, mut scratch) = (None, None);
    let held = match &configuration.store.default {
        Backend::Sql(_) => match data::open_default(&configuration.store, Access::Existing) {
            Ok(Err(store)) => Held::Other(Box::new(store)),
            Ok(Ok(store)) => Held::Embedded(store),
            Err(error) => return Err(said(error)),
        },
        Backend::Embedded {
            directory,
            berkeley,
        } => {
            let path = directory.join(STORE_FILE);
            let old = berkeley
                .as_deref()
                .filter(|_| matches!(purpose, Purpose::Look | Purpose::Change | Purpose::Add));
            if let (Some(old), false) = (old, is_there(&path)) {
                refuse_gone(&path).map_err(said)?;
                refuse_before_take_over(None, old, file)?;
            }
            let own = embedded(&path, purpose, Some(&configuration.process))?;
            if let Some(old) = old {
                refuse_before_take_over(Some(&own.store), old, file)?;
            }
            (finish, scratch) = (own.finish, own.scratch);
            Held::Embedded(own.store)
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
        mappings: mappings(&configuration),
        notify,
        notes,
        finish,
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

/// The file of CommonNameMappings, unless it has none. One that cannot be read keeps the server from starting, and not whoever
/// manages the store.
fn mappings(configuration: &Configuration) -> Option<PathBuf> {
    let path = configuration.auth.mappings_file.clone()?;
    let is_empty = |text: Vec<u8>| Mappings::parse(&text, "").0.is_empty();
    let has_none = std::fs::read(&path).is_ok_and(is_empty);
    (!has_none).then_some(path)
}

/// A store that root has made belongs to the user that the server runs as.
fn give_to_server(path: &Path, process: Option<&ProcessOptions>) -> Result<(), Vec<String>> {
    let Some((process, name)) = process.and_then(|own| Some((own, own.user.as_ref()?))) else {
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
