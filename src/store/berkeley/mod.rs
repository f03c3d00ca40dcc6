//! Reads the Berkeley DB files that repro leaves behind. Never writes them.
//!
//! repro keeps each table in one B-tree file without an environment. `meta` reads the first page of such a file, `page`
//! any other, both pure; `tree` goes through all of them. Octets come from a file or, for tests and fuzzing, from memory.
//! Nothing of the file is believed: what does not fit together is [`Fault::Damaged`], and the work is bounded by the size
//! of the file.

mod meta;
mod page;
mod tree;

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

pub use meta::Foreign;
pub use page::Damage;
use tree::{Entry, Source};

use super::encoding::{ByteOrder, Decoded, decode, too_long};
use super::{Error, Flow, RecordFault, Table, error};

/// Why the records of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is something else.
    #[error("{0}")]
    Foreign(#[from] Foreign),
    /// It is damaged.
    #[error("page {page}: {damage}")]
    Damaged {
        /// The page, from 0.
        page: u32,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The system does not give its octets.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Gives every record of the file of `table`, in the order of keys.
///
/// A record that cannot be read is given as its fault, and the rest goes on. When this function fails, what it gave before
/// is not all there is, so the caller should take records in one step or not at all.
///
/// # Errors
/// The file cannot be read, is no B-tree as repro writes it, is damaged, or was written to meanwhile.
pub fn read(
    path: &Path,
    table: Table,
    take: &mut dyn FnMut(Result<Decoded, RecordFault>) -> Flow,
) -> Result<(), Error> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    // Before it is opened: a pipe would wait for its writer.
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(of_file(Foreign::NotAFile.into(), path));
    }
    let file = File::open(path).map_err(io)?;
    let before = file.metadata().map_err(io)?;
    let source = Opened {
        file: &file,
        length: before.len(),
    };
    let outcome = tree::walk(&source, &mut |entry, order| {
        take(of_entry(table, entry, order))
    });
    if stamp(&before) != stamp(&file.metadata().map_err(io)?) {
        return Err(Error::Changed {
            path: path.to_owned(),
        });
    }
    outcome.map_err(|fault| of_file(fault, path))
}

/// The same of a file that is in memory.
///
/// # Errors
/// It is no B-tree as repro writes it, or is damaged.
pub fn read_octets(
    file: &[u8],
    table: Table,
    take: &mut dyn FnMut(Result<Decoded, RecordFault>) -> Flow,
) -> Result<(), Fault> {
    tree::walk(&file, &mut |entry, order| {
        take(of_entry(table, entry, order))
    })
}

fn of_entry(table: Table, entry: &Entry<'_>, order: ByteOrder) -> Result<Decoded, RecordFault> {
    match entry.value {
        Some(value) => decode(table, entry.key, value, order),
        None => Err(error::record_fault(
            table,
            entry.key,
            too_long(entry.length),
        )),
    }
}

fn of_file(fault: Fault, path: &Path) -> Error {
    let path = path.to_owned();
    match fault {
        Fault::Io(source) => Error::Io { path, source },
        Fault::Foreign(what) => Error::Foreign {
            path,
            why: what.to_string(),
        },
        Fault::Damaged { .. } => Error::Corrupt {
            path,
            why: format!("{fault}; db_dump -r saves what can be saved, and its text can be read"),
        },
    }
}

/// What is another after somebody has written.
fn stamp(file: &Metadata) -> (u64, i64, i64, i64, i64) {
    (
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    )
}

struct Opened<'a> {
    file: &'a File,
    length: u64,
}

impl Source for Opened<'_> {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }
}

impl Source for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let octets = usize::try_from(at)
            .ok()
            .and_then(|at| self.get(at..)?.get(..into.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(octets);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
