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
    /// A store that is not there and is not to be made.
    #[error("{}: there is no store here; the first start of the server makes one, and so do sipvouch import and sipvouch \
             restore", path.display())]
    NoStore {
        /// The file.
        path: PathBuf,
    },
    /// A store that was there and is gone. Neither an empty one nor an old deployment is to take its place in silence.
    #[error("{}: the store that was here is gone, as {known} knows. Put it back, or a backup by sipvouch restore BACKUP, or make \
             another by sipvouch import SOURCE; to begin anew, remove {known}, and what else of it is there (-wal, -shm)",
            path.display(), known = known.display())]
    Gone {
        /// The file.
        path: PathBuf,
        /// The file beside it that knows.
        known: PathBuf,
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
    /// A file that somebody wrote to while it was read.
    #[error("{}: it changed while it was read; stop repro first, then try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
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
    /// A write-ahead log that another store has left, and that cannot be moved out of the way.
    #[error("{}: it belongs to the store that was here before {} was put in its place{}; SQLite would write it over \
             that. Nothing was changed: while nobody uses the store, use sipvouch restore BACKUP, or move it and {} away",
            log.display(), path.display(), by(*pid), index.display())]
    ForeignLog {
        /// The store.
        path: PathBuf,
        /// The log.
        log: PathBuf,
        /// The index of the log.
        index: PathBuf,
        /// The process that has the store open, if it is known.
        pid: Option<i32>,
    },
    /// A store whose file is not the one of its name any more.
    #[error("{}: {displacement}", path.display())]
    Displaced {
        /// The file.
        path: PathBuf,
        /// What has become of it.
        displacement: Displacement,
    },
    /// A store that somebody has open and that should be put aside.
    #[error("{}: {} has this store open; try again when nobody uses it", path.display(),
            pid.map_or_else(|| "somebody".to_owned(), |pid| format!("process {pid}")))]
    InUse {
        /// The store.
        path: PathBuf,
        /// The process that has it open, if it is known.
        pid: Option<i32>,
    },
    /// A file that should be copied to itself.
    #[error("{}: is the store itself, or belongs to it; name another file", path.display())]
    Itself {
        /// The file.
        path: PathBuf,
    },
    /// A store that another server serves.
    #[error("{}: a server{} serves this store already; stop that server, or give this one a DatabasePath of its own",
            path.display(), number(*pid))]
    Served {
        /// The store.
        path: PathBuf,
        /// The process of that server, if it is known.
        pid: Option<i32>,
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

/// What has become of the file of a store while it was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Displacement {
    /// It has been removed.
    #[error(
        "the file has been removed while it was open, and nothing is stored any more; put a store there, or stop the \
         server and use sipvouch restore BACKUP"
    )]
    Removed,
    /// Another file has its name now.
    #[error(
        "another file has been put in its place while it was open, and nothing is stored until that can be opened"
    )]
    Replaced,
    /// Its contents are those of another.
    #[error(
        "another file has been written over it while it was open, and nothing is stored any more; restart the server to \
         use the file as it is now, or stop it and use sipvouch restore BACKUP"
    )]
    Overwritten,
}

fn by(pid: Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", and process {pid} uses it"))
}

fn number(pid: Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", process {pid},"))
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

/// Characters of a key that a fault shows.
const SHOWN: usize = 200;

/// The fault of a record with this key. What is not UTF-8 in the key is replaced, and a very long one is cut short.
pub(super) fn record_fault(table: Table, key: &[u8], why: String) -> RecordFault {
    let text = String::from_utf8_lossy(key.get(..4 * SHOWN).unwrap_or(key));
    let mut key: String = text.chars().take(SHOWN).collect();
    if key.len() < text.len() {
        key.push('…');
    }
    RecordFault { table, key, why }
}
