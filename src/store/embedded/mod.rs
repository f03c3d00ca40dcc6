//! The store in a file of its own: SQLite, built in.
//!
//! One writer at a time and any number of readers, who do not wait for each other (write-ahead log). What a call has
//! answered is on the disk. Another process, such as the operator's commands, may work on the file at the same time.

mod answers;
mod backup;
mod beside;
mod bindings;
mod change;
mod incarnation;
mod opening;
mod place;
mod readers;
mod restore;
mod rows;
mod schema;
mod standing;
mod versions;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use arc_swap::ArcSwap;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use self::opening::{OpenFile, look_through};
use self::standing::Looked;
use super::{Error, Table};

pub use self::beside::{Serving, is_there, refuse_gone};
pub use self::bindings::SavedBinding;
pub(in crate::store) use self::change::Change;
pub use self::change::Imported;
pub use self::incarnation::set_left_log_aside;
pub use self::restore::{Restored, restore};
pub(in crate::store) use self::rows::lookup_key;
pub use self::versions::{HELD, Versions};

/// How long a call waits for another process that is writing.
const BUSY: Duration = Duration::from_secs(5);

/// Memory that one connection may keep of the file.
const CACHE_KIB: i64 = 8 * 1024;

/// Up to this size a file is looked through when it is opened (some 50 ms). A larger one is not: a million users would
/// take a second. `check` looks through any.
const CHECKED_AT_OPEN: u64 = 32 * 1024 * 1024;

/// What the log is cut to after a large transaction.
const LOG_BYTES: i64 = 16 * 1024 * 1024;

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is made if it is not there.
    Create,
    /// It must be there.
    Existing,
    /// It must be there, and is not changed.
    ReadOnly,
}

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// The disk has it.
    Disk,
    /// The system has it: a crash of the server loses nothing, one of the machine perhaps the last seconds.
    System,
}

impl Durability {
    fn word(self) -> &'static str {
        match self {
            Self::Disk => "FULL",
            Self::System => "NORMAL",
        }
    }
}

/// A store in an SQLite file.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    open: ArcSwap<OpenFile>,
    /// What the file looked like when it was looked at last.
    looked: Mutex<Looked>,
}

impl Embedded {
    /// Opens the store, makes it if asked to, and brings its schema up to date. A write-ahead log that belonged to another
    /// file in this place is moved out of the way, and [`Self::notes`] says so.
    ///
    /// # Errors
    /// The file is not there, is something else ([`Error::Foreign`]), damaged ([`Error::Corrupt`]), of a newer version
    /// ([`Error::TooNew`]), or cannot be read or written. It is as it was then.
    pub fn open(path: &Path, access: Access) -> Result<Self, Error> {
        OpenFile::open(path, access, None).map(|open| Self {
            path: path.to_owned(),
            open: ArcSwap::from_pointee(open),
            looked: Mutex::new(Looked::at(path)),
        })
    }

    /// What an operator has to know of how it was opened, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.open.load().notes.clone()
    }

    /// Whether no table has a record.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.read(|connection| {
            for table in Table::ALL {
                let any: bool = connection
                    .prepare_cached(&rows::statements(table).any)?
                    .query_row([], |row| row.get(0))?;
                if any {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// How often each table has been changed; see [`Versions`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn versions(&self) -> Result<Versions, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(versions::QUERY)?
                .query_row([], |row| {
                    let mut counters = [0; 7];
                    for (column, counter) in counters.iter_mut().enumerate() {
                        *counter = row.get(column)?;
                    }
                    Ok(Versions(counters))
                })
        })
    }

    /// Copies the store to another file, as it is at one moment, while it is in use; answers with the size of the copy
    /// in octets. The copy can be opened as a store, and put in the place of this one while no server runs. A file of
    /// that name is only replaced when `replace` says so.
    ///
    /// # Errors
    /// The file is there, or is the store itself, or one of the two cannot be read or written; then there is no copy, not
    /// half a one.
    pub fn backup(&self, to: &Path, replace: bool) -> Result<u64, Error> {
        self.with_reader(|connection| backup::copy(connection, &self.path, to, replace))
    }

    /// Looks through the whole file; says what is damaged, nothing if nothing is. A million users take seconds.
    ///
    /// # Errors
    /// The file cannot be read at all.
    pub fn check(&self) -> Result<Vec<String>, Error> {
        match self.read(|connection| look_through(connection, "integrity_check")) {
            // So much that SQLite cannot even go on looking.
            Err(Error::Corrupt { why, .. }) => Ok(vec![why]),
            looked => looked,
        }
    }

    /// Replaces the saved bindings of each address-of-record with those given, none with none, all in one step.
    /// What has been saved survives the end of the process at once, and that of the machine after a few seconds: the
    /// phone registers again anyway.
    ///
    /// # Errors
    /// The file cannot be written; then nothing was changed.
    pub fn save_bindings(&self, changes: &[(String, Vec<SavedBinding>)]) -> Result<(), Error> {
        self.write(Durability::System, |transaction| {
            for (aor, saved) in changes {
                bindings::save(transaction, aor, saved)?;
            }
            Ok(())
        })
    }

    /// Gives the saved bindings that end after `now` (seconds since 1970), those of one address-of-record together.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn bindings(&self, now: u64, take: &mut dyn FnMut(SavedBinding)) -> Result<(), Error> {
        self.read(|connection| bindings::each(connection, now, take))
    }

    /// Removes saved bindings that ended before this time (seconds since 1970); says how many.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn expire_bindings(&self, before: u64) -> Result<usize, Error> {
        self.write(Durability::System, |transaction| {
            transaction
                .prepare_cached("DELETE FROM binding WHERE expires_at < ?1")?
                .execute([bindings::seconds(before)])
        })
    }

    /// What was taken over into this store, if anything was.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn imported(&self) -> Result<Option<Imported>, Error> {
        let text: Option<String> = self.read(|connection| {
            connection
                .prepare_cached("SELECT what FROM imported")?
                .query_row([], |row| row.get(0))
                .optional()
        })?;
        text.map(|text| {
            serde_json::from_str(&text).map_err(|error| Error::Corrupt {
                path: self.path.clone(),
                why: format!("what was imported cannot be read: {error}"),
            })
        })
        .transpose()
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        self.with_reader(|connection| {
            read(connection).map_err(|error| place::fault(&self.path, &error))
        })
    }

    fn with_reader<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.open.load_full().readers.with(read)
    }

    fn write<T>(
        &self,
        durability: Durability,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        self.with_writer(|connection| {
            begin(connection, durability)
                .and_then(|transaction| {
                    let done = write(&transaction)?;
                    transaction.commit()?;
                    Ok(done)
                })
                .map_err(|error| place::fault(&self.path, &error))
        })
    }

    /// Writes, one after the other. What has come into a file that has lost its name meanwhile has not been stored.
    fn with_writer<T>(
        &self,
        write: impl FnOnce(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let open = self.open.load_full();
        let mut connection = open.writer(&self.path)?;
        open.require_in_place(&self.path)?;
        let done = write(&mut connection)?;
        open.require_in_place(&self.path)?;
        Ok(done)
    }
}

fn begin(connection: &mut Connection, durability: Durability) -> rusqlite::Result<Transaction<'_>> {
    connection.pragma_update(None, "synchronous", durability.word())?;
    // From the start with the write lock: one taken later can fail without waiting.
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}
