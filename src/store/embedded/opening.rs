//! The file behind a store, open: how it is opened, and whether it is still the file of that name.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::beside::Beside;
use super::incarnation::{self, INDEX, LOG};
use super::place::{self, FileId, Found, MEND, Mode, with_suffix};
use super::readers::Readers;
use super::{Access, BUSY, CHECKED_AT_OPEN, LOG_BYTES, schema};
use crate::store::{Displacement, Error};

/// The connections to one file.
#[derive(Debug)]
pub(super) struct OpenFile {
    // Closed before the writer: the last connection to be closed puts the log into the file, which readers cannot.
    pub(super) readers: Readers,
    /// None for a store that is only read.
    writer: Option<Mutex<Connection>>,
    file: FileId,
    /// The log and its index.
    side: Vec<FileId>,
    /// Another file has been written over this one.
    overwritten: AtomicBool,
    /// What an operator has to know of the opening.
    pub(super) notes: Vec<String>,
}

impl OpenFile {
    /// Opens the file of this name. What is beside it and belongs to `before`, a file that had the name until now and is
    /// still open, is moved out of the way.
    pub(super) fn open(path: &Path, access: Access, before: Option<&Self>) -> Result<Self, Error> {
        match (place::look(path)?, access) {
            (Found::Ours, _) | (Found::Nothing | Found::Empty, Access::Create) => {}
            (Found::Nothing, _) => {
                return Err(Error::NoStore {
                    path: path.to_owned(),
                });
            }
            (Found::Empty, Access::Existing | Access::ReadOnly) => {
                return Err(Error::Foreign {
                    path: path.to_owned(),
                    why: "is empty; no store has been made in it yet".to_owned(),
                });
            }
        }
        if access == Access::ReadOnly {
            return Self::open_for_reading(path);
        }
        let real = place::real(path);
        place::writable(&real)?;
        let beside = Beside::open(&real)?;
        beside.lock_opening()?;
        if access == Access::Create {
            place::create(path)?;
        }
        let file = file_at(path)?;
        let mut notes = Vec::new();
        if let Some(before) = before
            && before.has_beside(&real)
        {
            notes.push(incarnation::set_aside(&real)?);
        }
        notes.extend(incarnation::set_foreign_log_aside(&real, &beside)?);
        let readers = Readers::new(path.to_owned(), Mode::Read, file);
        let writer = open_writer(&real, &beside)?;
        let side = [LOG, INDEX].map(|suffix| FileId::of(&with_suffix(&real, suffix)));
        let own = Self {
            readers,
            writer: Some(Mutex::new(writer)),
            file,
            side: side.into_iter().filter_map(Result::ok).collect(),
            overwritten: AtomicBool::new(false),
            notes,
        };
        own.require_in_place(path)?;
        Ok(own)
    }

    fn open_for_reading(path: &Path) -> Result<Self, Error> {
        let real = place::real(path);
        let mut notes = None;
        if incarnation::is_suspect(&real) {
            let beside = Beside::open(&real).map_err(|_| incarnation::foreign_log(&real, None))?;
            beside.lock_opening()?;
            notes = incarnation::set_foreign_log_aside(&real, &beside)?;
        }
        let mode = match place::is_sealed(&real) {
            true => Mode::Immutable,
            false => Mode::Read,
        };
        let file = file_at(path)?;
        let readers = Readers::new(path.to_owned(), mode, file);
        readers.with(|connection| examine(connection, path))?;
        Ok(Self {
            readers,
            writer: None,
            file,
            side: Vec::new(),
            overwritten: AtomicBool::new(false),
            notes: notes.into_iter().collect(),
        })
    }

    /// As a file too large to be looked through is opened for reading.
    #[cfg(test)]
    pub(super) fn unexamined(path: &Path) -> Self {
        let file = file_at(path).unwrap_or_else(|error| unreachable!("{error}"));
        Self {
            readers: Readers::new(path.to_owned(), Mode::Read, file),
            writer: None,
            file,
            side: Vec::new(),
            overwritten: AtomicBool::new(false),
            notes: Vec::new(),
        }
    }

    /// Whether the log or index of that name is this file's.
    fn has_beside(&self, real: &Path) -> bool {
        [LOG, INDEX].iter().any(|suffix| {
            FileId::of(&with_suffix(real, suffix)).is_ok_and(|id| self.side.contains(&id))
        })
    }

    /// The connection that writes.
    pub(super) fn writer(&self, path: &Path) -> Result<MutexGuard<'_, Connection>, Error> {
        let writer = self.writer.as_ref().ok_or_else(|| Error::Query {
            place: path.display().to_string(),
            why: "is open for reading only".to_owned(),
        })?;
        // A panic in a transaction has rolled it back.
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What has become of the file; `None` if it is the one of that name still.
    pub(super) fn displacement(&self, path: &Path) -> Option<Displacement> {
        match FileId::of(path) {
            Ok(file) if file != self.file => Some(Displacement::Replaced),
            // One that cannot be looked at has not been seen to be another.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some(Displacement::Removed)
            }
            _ if self.overwritten.load(Ordering::Acquire) => Some(Displacement::Overwritten),
            _ => None,
        }
    }

    /// Refuses a file that has not its name any more: what is written there is lost.
    pub(super) fn require_in_place(&self, path: &Path) -> Result<(), Error> {
        match self.displacement(path) {
            None => Ok(()),
            Some(displacement) => Err(Error::Displaced {
                path: path.to_owned(),
                displacement,
            }),
        }
    }

    /// Looks whether another file has been written over this one, which keeps its place. Costs about a millisecond.
    pub(super) fn look_whether_overwritten(&self, path: &Path) -> Result<(), Error> {
        if self.writer.is_none() || !incarnation::is_overwritten(&place::real(path))? {
            return Ok(());
        }
        self.overwritten.store(true, Ordering::Release);
        // What we have in the log must not come into the other file when we close ours.
        self.writer(path)?
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(|error| place::fault(path, &error))?;
        Ok(())
    }
}

fn file_at(path: &Path) -> Result<FileId, Error> {
    FileId::of(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })
}

fn open_writer(path: &Path, beside: &Beside) -> Result<Connection, Error> {
    let is_clean = incarnation::has_no_log(path);
    let mut connection = place::connect(path, Mode::Write)?;
    let sqlite = |error| place::fault(path, &error);
    if schema::version(&connection).map_err(sqlite)? > 0 {
        examine(&connection, path)?;
    }
    // The first step is made before the log is there, so that the header on the disk says whose file it is.
    schema::migrate(&mut connection, schema::STEPS).map_err(sqlite)?;
    let mode = write_ahead(&connection).map_err(sqlite)?;
    if mode != "wal" {
        return Err(Error::Query {
            place: path.display().to_string(),
            why: format!(
                "SQLite keeps no write-ahead log here (journal mode {mode}); put the file on a local disk"
            ),
        });
    }
    connection
        .pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))
        .map_err(sqlite)?;
    examine(&connection, path)?;
    if is_clean {
        incarnation::renew(path, &mut connection, beside)?;
    }
    Ok(connection)
}

/// Has SQLite keep a write-ahead log; answers with the journal mode that it has now. SQLite does not wait here while
/// another process does the same, so we do.
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let deadline = Instant::now() + BUSY;
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        match mode {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            mode => return mode,
        }
    }
}

/// Whether an open file is a store of ours and whole.
fn examine(connection: &Connection, path: &Path) -> Result<(), Error> {
    let sqlite = |error| place::fault(path, &error);
    let damaged = |why| Error::Corrupt {
        path: path.to_owned(),
        why,
    };
    place::refuse_newer(path, schema::version(connection).map_err(sqlite)?)?;
    let octets = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if octets <= CHECKED_AT_OPEN {
        let faults = look_through(connection, "quick_check").map_err(sqlite)?;
        if let Some(first) = faults.first() {
            return Err(damaged(format!("{first}; {MEND}")));
        }
    }
    Ok(())
}

/// Most faults that are listed.
const MAX_FAULTS: usize = 100;

pub(super) fn look_through(connection: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    let mut faults = Vec::new();
    connection.pragma_query(None, pragma, |row| {
        // One row may hold several lines.
        let text: String = row.get(0)?;
        let lines = text.lines().filter(|line| *line != "ok");
        faults.extend(
            lines
                .take(MAX_FAULTS.saturating_sub(faults.len()))
                .map(str::to_owned),
        );
        Ok(())
    })?;
    Ok(faults)
}
