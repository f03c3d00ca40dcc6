//! Whether the write-ahead log beside a file is its own.
//!
//! SQLite takes any file of the right name for the log, and writes what is in it over the store: a backup that was copied
//! to the place of a killed server's store would be damaged, or be the old store again. So each file carries a number, its
//! incarnation. A copy gets another, and so does the store itself whenever it begins a log with nobody else around. The
//! file beside the store has the incarnation that the log was begun for, and the log's salt, which SQLite counts up from a
//! random number. A log with that salt beside a file with another incarnation belongs to what was there before. Anything
//! else is left to SQLite: a store that was copied with its log has another salt.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::beside::{Beside, InUse, Marks, in_use};
use super::place::{self, Mode, with_suffix};
use super::{Durability, begin};
use crate::store::Error;

/// The write-ahead log.
pub(super) const LOG: &str = "-wal";
/// Its index, which SQLite makes anew.
pub(super) const INDEX: &str = "-shm";

/// Octets of the header of a log; it holds nothing as long as it has no more.
const LOG_HEADER: u64 = 32;
/// The log is begun anew so often, at most, before its salt is no longer known for its own.
const RESETS: u32 = 1 << 20;

/// The incarnation of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Incarnation {
    /// This one; `None` for a file of before there were any.
    Is(Option<String>),
    /// It cannot be read without the log: a crash in the middle of a checkpoint.
    Unreadable,
}

/// The incarnation of the file alone, whatever its log says.
fn of_file(path: &Path) -> Incarnation {
    // Immutable: SQLite looks at no log and takes no lock.
    let read = place::connect(path, Mode::Immutable).map(|connection| {
        connection
            .query_row("SELECT id FROM incarnation", [], |row| row.get(0))
            .optional()
    });
    match read {
        Ok(Ok(id)) => Incarnation::Is(id),
        // There is no such table.
        Ok(Err(error)) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
            Incarnation::Is(None)
        }
        Ok(Err(_)) | Err(_) => Incarnation::Unreadable,
    }
}

/// First salt of the log; `None` if there is no log, or nothing in it.
fn salt(path: &Path) -> Option<u32> {
    let file = File::open(with_suffix(path, LOG)).ok()?;
    if file.metadata().ok()?.len() <= LOG_HEADER {
        return None;
    }
    let mut header = Vec::new();
    file.take(LOG_HEADER).read_to_end(&mut header).ok()?;
    let salt = header.get(16..20)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*salt))
}

/// Whether the file has no log with anything in it.
pub(super) fn has_no_log(path: &Path) -> bool {
    salt(path).is_none()
}

/// Whether the file is none of the incarnations that it should be by what is known of it.
fn is_another(marks: &Marks, own: &Incarnation) -> bool {
    match own {
        Incarnation::Is(own) => !marks.incarnations.is_empty() && !marks.incarnations.contains(own),
        Incarnation::Unreadable => false,
    }
}

/// Whether the log beside the file belongs to another file, which was there before.
fn is_foreign(marks: &Marks, own: &Incarnation, salt: u32) -> bool {
    let begun = marks
        .salt
        .is_none_or(|begun| salt.wrapping_sub(begun) < RESETS);
    is_another(marks, own) && begun
}

/// Whether somebody has written another file over the one that is open, in its place.
pub(super) fn is_overwritten(path: &Path) -> Result<bool, Error> {
    let beside = Beside::open(path)?;
    // Who opens the store may be giving it another incarnation just now.
    if !beside.try_lock_opening()? {
        return Ok(false);
    }
    Ok(is_another(&beside.marks(), &of_file(path)))
}

/// A suspicion that costs little: a log that is not the file's own by what is known of it.
pub(super) fn is_suspect(path: &Path) -> bool {
    salt(path).is_some_and(|salt| is_foreign(&Beside::look(path), &of_file(path), salt))
}

/// Moves a log that belongs to another file out of the way, with its index. The lock of those who open the store has to
/// be held. Says where to, for people; nothing if the log may be the file's own.
///
/// # Errors
/// Somebody has the store open, or the files cannot be moved; then nothing was.
pub(super) fn set_foreign_log_aside(path: &Path, beside: &Beside) -> Result<Option<String>, Error> {
    let Some(salt) = salt(path) else {
        return Ok(None);
    };
    if !is_foreign(&beside.marks(), &of_file(path), salt) {
        return Ok(None);
    }
    let used = in_use(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    if used != InUse::No {
        let pid = match used {
            InUse::By(pid) => Some(pid),
            _ => None,
        };
        return Err(foreign_log(path, pid));
    }
    set_aside(path).map(Some)
}

/// Moves a log out of the way that a store has left which is gone, before another store gets its name: without a file that
/// says whose the log is, SQLite would write it into that.
///
/// # Errors
/// It cannot be moved.
pub fn set_left_log_aside(store: &Path) -> Result<(), Error> {
    let real = place::real(store);
    if super::is_there(store) || has_no_log(&real) {
        return Ok(());
    }
    set_aside(&real).map(drop)
}

/// A log that belongs to another file and has to stay.
pub(super) fn foreign_log(path: &Path, pid: Option<i32>) -> Error {
    Error::ForeignLog {
        path: path.to_owned(),
        log: with_suffix(path, LOG),
        index: with_suffix(path, INDEX),
        pid,
    }
}

/// Moves the log and its index out of the way; says so, for people.
pub(super) fn set_aside(path: &Path) -> Result<String, Error> {
    let to = unused_name(path, "foreign");
    let mut moved = Vec::new();
    for suffix in [LOG, INDEX] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&to, suffix));
        match fs::rename(&from, &to) {
            Ok(()) => moved.push(format!("{} is {} now", from.display(), to.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Io { path: from, source }),
        }
    }
    Ok(format!(
        "{}: another file has been put in its place, and the write-ahead log beside it belonged to the one before; {}, \
         and not used",
        path.display(),
        moved.join(", ")
    ))
}

/// A name beside the store that neither a file nor its log has.
pub(super) fn unused_name(path: &Path, word: &str) -> PathBuf {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = |number: u32| match number {
        0 => with_suffix(path, &format!(".{word}-{now}")),
        number => with_suffix(path, &format!(".{word}-{now}-{number}")),
    };
    let is_free = |name: &PathBuf| {
        ["", LOG, INDEX]
            .iter()
            .all(|suffix| with_suffix(name, suffix).symlink_metadata().is_err())
    };
    (0..100).map(name).find(is_free).unwrap_or_else(|| name(0))
}

/// Gives the store a new incarnation, and notes its log as begun for that. For a store without a log, opened by `writer`;
/// the lock of those who open it has to be held.
pub(super) fn renew(path: &Path, writer: &mut Connection, beside: &Beside) -> Result<(), Error> {
    let sqlite = |error| place::fault(path, &error);
    let fresh = fresh(writer).map_err(sqlite)?;
    let before = match of_file(path) {
        Incarnation::Is(id) => vec![id],
        Incarnation::Unreadable => Vec::new(),
    };
    let mut marks = Marks {
        incarnations: before,
        salt: None,
    };
    marks.incarnations.push(Some(fresh.clone()));
    beside.set_marks(&marks)?;
    let transaction = begin(writer, Durability::Disk).map_err(sqlite)?;
    set(&transaction, &fresh).map_err(sqlite)?;
    transaction.commit().map_err(sqlite)?;
    // A reader of just now may be in the way; then both stay noted.
    if checkpoint(writer).map_err(sqlite)? {
        marks.incarnations = vec![Some(fresh)];
    }
    marks.salt = salt(path);
    beside.set_marks(&marks)
}

/// Gives the file behind a connection this incarnation.
pub(super) fn set(connection: &Connection, id: &str) -> rusqlite::Result<usize> {
    connection.execute("UPDATE incarnation SET id = ?1", [id])
}

/// A number that no other file has.
pub(super) fn fresh(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))
}

/// Whether the whole log is in the file now.
fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, in_log, in_file): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && in_log == in_file)
    })
}
