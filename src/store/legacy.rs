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

    /// The files of tables that are not there, in neither form.
    pub fn missing(&self) -> impl Iterator<Item = (Table, PathBuf)> {
        let is_there = |table: &Table| self.files.iter().any(|(own, ..)| own == table);
        Table::ALL
            .into_iter()
            .filter(move |table| !is_there(table))
            .map(|table| (table, self.directory.join(table.berkeley_file())))
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
        let (mut any, mut faults, mut first) = (false, 0_u64, None);
        let mut decoded = |read: Result<Decoded, RecordFault>| {
            match &read {
                Ok(_) => any = true,
                Err(fault) => {
                    faults += 1;
                    first.get_or_insert_with(|| fault.to_string());
                }
            }
            take(read.map(|decoded| (decoded.record, decoded.note)))
        };
        match form {
            Form::Berkeley => berkeley::read(path, table, &mut decoded),
            Form::Dump => dump::read(path, table, &mut decoded),
        }?;
        match first {
            // One bad record among good ones is left out; a file without any good one is not what its name says.
            Some(first) if !any => Err(Error::Foreign {
                path: path.clone(),
                why: format!(
                    "none of its records can be read as one of the table {table} (there are {faults}: {first}); it may be \
                     the file of another table under this name: put the right one there, or move it away"
                ),
            }),
            _ => Ok(()),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const LEGACY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/legacy-repro/db");

    /// What is read of a directory with the file of one table under the name of another.
    fn read(table: Table, of: Table) -> (u64, Result<(), Error>) {
        let dir = tempfile::tempdir().unwrap();
        let file = Path::new(LEGACY).join(of.berkeley_file());
        fs::copy(file, dir.path().join(table.berkeley_file())).unwrap();
        let files = ReproDirectory::open(dir.path()).unwrap();
        let mut good = 0;
        let done = files.each(table, &mut |offered| {
            good += u64::from(offered.is_ok());
            Flow::More
        });
        (good, done)
    }

    #[test]
    fn the_file_of_another_table_is_no_table_of_bad_records() {
        for table in Table::ALL {
            let (_, done) = read(table, table);
            done.unwrap();
            for other in Table::ALL {
                let (records, _) = read(other, other);
                if other == table || records == 0 {
                    continue;
                }
                let (good, done) = read(table, other);
                let error = done.unwrap_err().to_string();
                assert_eq!(good, 0, "{other} as {table}");
                for word in [table.berkeley_file(), "it may be the file of another table"] {
                    assert!(error.contains(word), "{other} as {table}: {error}");
                }
            }
        }
    }
}
