//! What can go wrong with a store.

use std::path::PathBuf;

use super::record::Table;

/// A store, or a source of records, that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is something else than what it should be.
    #[error("{}: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, and what was expected.
        why: String,
    },
    /// A file that is damaged.
    #[error("{}: damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where and how.
        why: String,
    },
    /// A file that is there already and is not to be replaced.
    #[error("{}: is there already; name another file, or allow that it is replaced", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A store that a newer version has written.
    #[error("{}: schema {found} is newer than this version knows ({known}); use the newer sipvouch", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// A data base that does not answer.
    #[error("{place}: cannot be reached: {why}")]
    Unreachable {
        /// Host and data base.
        place: String,
        /// What the client library said.
        why: String,
    },
    /// A data base that does not let us in.
    #[error("{place}: refused: {why}")]
    Refused {
        /// Host and data base.
        place: String,
        /// What it said.
        why: String,
    },
    /// A data base without a table that is needed.
    #[error("{place}: no table {table}: {why}")]
    MissingTable {
        /// Host and data base.
        place: String,
        /// The table.
        table: String,
        /// What it said.
        why: String,
    },
    /// A data base that took too long.
    #[error("{place}: no answer within {seconds} s")]
    Slow {
        /// Host and data base.
        place: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Any other failure of a query.
    #[error("{place}: {why}")]
    Query {
        /// File, or host and data base.
        place: String,
        /// What it said.
        why: String,
    },
    /// A record that cannot be read or stored.
    #[error("{0}")]
    Record(RecordFault),
}

/// A record that cannot be read or stored; others can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{table} {key:?}: {why}")]
pub struct RecordFault {
    /// Its table.
    pub table: Table,
    /// Its key, as far as it can be told.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}
