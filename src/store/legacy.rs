//! Where a whole deployment can be taken from, besides an export: repro's Berkeley DB files, what `db_dump` made of them,
//! and any store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::encoding::Decoded;
use super::import::{Offered, Source};
use super::{Error, Flow, RecordFault, Store, Table, berkeley, dump};

/// A directory of repro's: `repro_user.db` and the others, or the text that `db_dump` made of them (`repro_user.dump`).
/// Where both are there, the data base counts.
#[derive(Debug)]
pub struct ReproDirectory {
    directory: PathBuf,
    files: Vec<(Table, PathBuf, Form)>,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Berkeley,
    Dump,
}

impl ReproDirectory {
    /// Looks which files are there; reads none.
    ///
    /// # Errors
    /// It is no directory, or cannot be read.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        // A missing directory must not look like an empty deployment.
        fs::read_dir(directory).map_err(|source| Error::Io {
            path: directory.to_owned(),
            source,
        })?;
        let mut files = Vec::new();
        for table in Table::ALL {
            let database = directory.join(table.berkeley_file());
            let text = database.with_extension("dump");
            // What may not be looked at is there: reading it tells why it cannot be read.
            let is_there = |path: &Path| path.try_exists().unwrap_or(true);
            if is_there(&database) {
                files.push((table, database, Form::Berkeley));
            } else if is_there(&text) {
                files.push((table, text, Form::Dump));
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            files,
        })
    }

    /// Whether there is nothing of repro's.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl Source for ReproDirectory {
    fn describe(&self) -> String {
        self.directory.display().to_string()
    }

    fn tables(&self) -> Vec<Table> {
        self.files.iter().map(|(table, ..)| *table).collect()
    }

    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Offered, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        let Some((_, path, form)) = self.files.iter().find(|(t, ..)| *t == table) else {
            return Ok(());
        };
        let mut decoded = |read: Result<Decoded, RecordFault>| {
            take(read.map(|decoded| (decoded.record, decoded.note)))
        };
        match form {
            Form::Berkeley => berkeley::read(path, table, &mut decoded),
            Form::Dump => dump::read(path, table, &mut decoded),
        }
    }
}

/// Another store, as repro's SQL schema in PostgreSQL or MySQL.
pub struct StoreSource {
    store: Arc<dyn Store>,
    tables: Vec<Table>,
    refused: Vec<(Table, String)>,
}

impl StoreSource {
    /// Looks which tables are there, and which of them may be read.
    ///
    /// # Errors
    /// The store does not answer, or has none of repro's tables.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, Error> {
        let mut own = Self {
            store,
            tables: Vec::new(),
            refused: Vec::new(),
        };
        let mut missing = None;
        for table in Table::ALL {
            match own.store.each(table, &mut |_| Flow::Enough) {
                Ok(()) => own.tables.push(table),
                Err(error @ Error::MissingTable { .. }) => missing = Some(error),
                // repro's script for PostgreSQL lets its user read every table but one.
                Err(error @ Error::Refused { .. }) => own.refused.push((table, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(missing) if own.tables.is_empty() && own.refused.is_empty() => Err(missing),
            _ => Ok(own),
        }
    }
}

impl Source for StoreSource {
    fn describe(&self) -> String {
        self.store.place()
    }

    fn tables(&self) -> Vec<Table> {
        self.tables.clone()
    }

    fn refused(&self) -> Vec<(Table, String)> {
        self.refused.clone()
    }

    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Offered, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        self.store.each(table, &mut |record| {
            take(record.map(|record| (record, None)))
        })
    }
}
