//! A change of the store: any number of records in one transaction.

use std::path::Path;

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use super::rows::{self, Refusal};
use super::{Durability, Embedded, begin, place};
use crate::store::record::{Record, Table};
use crate::store::{Error, Put, RecordFault};

/// What was taken over into a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Where it came from.
    pub source: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Records of each table that were taken over or were there just so.
    pub records: Vec<(Table, u64)>,
}

/// A transaction under way.
pub(in crate::store) struct Change<'c> {
    transaction: &'c Transaction<'c>,
    path: &'c Path,
}

impl Change<'_> {
    /// Stores a record in place of the one with its key.
    ///
    /// # Errors
    /// [`Error::Record`] for a record that cannot be stored, where the change can go on; anything else ends it.
    pub(in crate::store) fn put(&self, record: &Record) -> Result<Put, Error> {
        rows::put(self.transaction, record).map_err(|refusal| match refusal {
            Refusal::Record(fault) => Error::Record(fault),
            Refusal::Sqlite(error) => self.fault(&error),
        })
    }

    /// The record of a key; a fault where what is stored cannot be read.
    pub(in crate::store) fn get(
        &self,
        table: Table,
        key: &str,
    ) -> Result<Option<Result<Record, RecordFault>>, Error> {
        rows::get(self.transaction, table, key).map_err(|error| self.fault(&error))
    }

    /// Removes a record; says whether it was there.
    pub(in crate::store) fn remove(&self, table: Table, key: &str) -> Result<bool, Error> {
        rows::remove(self.transaction, table, key).map_err(|error| self.fault(&error))
    }

    /// Notes what was taken over, in place of what was noted before.
    pub(in crate::store) fn set_imported(&self, imported: &Imported) -> Result<(), Error> {
        let text = serde_json::to_string(imported).map_err(|error| Error::Query {
            place: self.path.display().to_string(),
            why: error.to_string(),
        })?;
        self.transaction
            .execute("INSERT OR REPLACE INTO imported VALUES (1, ?1)", [text])
            .map_err(|error| self.fault(&error))?;
        Ok(())
    }

    fn fault(&self, error: &rusqlite::Error) -> Error {
        place::fault(self.path, error)
    }
}

impl Embedded {
    /// Runs a change and commits it; rolls it back when it fails.
    pub(in crate::store) fn change<T>(
        &self,
        run: impl FnOnce(&Change<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.change_if(|change| run(change).map(|done| (done, true)))
    }

    /// Runs a change that says itself whether it is to be committed.
    pub(in crate::store) fn change_if<T>(
        &self,
        run: impl FnOnce(&Change<'_>) -> Result<(T, bool), Error>,
    ) -> Result<T, Error> {
        let fault = |error| place::fault(&self.path, &error);
        self.with_writer(|connection| {
            let transaction = begin(connection, Durability::Disk).map_err(fault)?;
            let (done, commit) = run(&Change {
                transaction: &transaction,
                path: &self.path,
            })?;
            if commit {
                transaction.commit().map_err(fault)?;
            } else {
                transaction.rollback().map_err(fault)?;
            }
            Ok(done)
        })
    }
}
