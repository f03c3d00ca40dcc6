//! A copy of the file while it is in use.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::beside;
use super::incarnation::{self, INDEX, LOG};
use super::place::{self, FileId, Mode, with_suffix};
use super::schema;
use crate::store::Error;

/// Copies the store in `own` to another file, as it is at one moment; answers with the octets of the copy.
///
/// Beside its place first, so that there is never half a copy under its name: a name that is there is a whole backup.
pub(super) fn copy(from: &Connection, own: &Path, to: &Path, replace: bool) -> Result<u64, Error> {
    if to.is_dir() {
        return Err(Error::Foreign {
            path: to.to_owned(),
            why: "is a directory; name a file in it".to_owned(),
        });
    }
    refuse_existing(to, replace)?;
    refuse_itself(own, to)?;
    let partial = partial_name(to);
    let result = fill(from, &partial).and_then(|octets| {
        refuse_existing(to, replace)?;
        put_in_place(&partial, to)?;
        Ok(octets)
    });
    if result.is_err() {
        // The fault is what is told; a leftover is not a second one.
        let _ = fs::remove_file(&partial);
    }
    result
}

fn refuse_existing(to: &Path, replace: bool) -> Result<(), Error> {
    if !replace && to.symlink_metadata().is_ok() {
        return Err(Error::Exists {
            path: to.to_owned(),
        });
    }
    Ok(())
}

/// The store itself is no place for its copy, nor is what SQLite and we have beside it.
fn refuse_itself(own: &Path, to: &Path) -> Result<(), Error> {
    let Ok(to_id) = FileId::of(to) else {
        return Ok(());
    };
    for suffix in ["", LOG, INDEX, beside::SUFFIX] {
        if FileId::of(&with_suffix(&place::real(own), suffix)).is_ok_and(|own| own == to_id) {
            return Err(Error::Itself {
                path: to.to_owned(),
            });
        }
    }
    Ok(())
}

/// The name that a copy has until it is whole.
pub(super) fn partial_name(to: &Path) -> PathBuf {
    with_suffix(to, &format!(".partial-{}", std::process::id()))
}

/// Gives a whole copy its name, on the disk too.
pub(super) fn put_in_place(partial: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(partial, to)
        .and_then(|()| File::open(place::directory(to))?.sync_all())
        .map_err(|source| io_fault(to, source))
}

/// Copies a store into a new file, which is on the disk when this returns.
pub(super) fn fill(from: &Connection, partial: &Path) -> Result<u64, Error> {
    // Of an earlier process of our number, if it is there.
    let _ = fs::remove_file(partial);
    place::create(partial)?;
    let sqlite = |error| place::fault(partial, &error);
    let mut to = place::connect(partial, Mode::Write)?;
    let mut copied = || -> rusqlite::Result<()> {
        // Nothing to fall back to, nothing to keep until the end.
        to.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
        to.pragma_update(None, "synchronous", "OFF")?;
        // All pages in one step: one moment of the store. Those who write meanwhile do not wait for it.
        let backup = Backup::new(from, &mut to)?;
        match backup.step(-1)? {
            StepResult::Done => Ok(()),
            _ => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                None,
            )),
        }
    };
    copied().map_err(sqlite)?;
    drop(to);
    make_another(partial).map_err(sqlite)?;
    let file = File::open(partial).map_err(|source| io_fault(partial, source))?;
    file.sync_all()
        .and_then(|()| file.metadata())
        .map(|metadata| metadata.len())
        .map_err(|source| io_fault(partial, source))
}

/// Gives the copy an incarnation of its own: no log belongs to it. One file it is, which can be read where nothing can be
/// written.
fn make_another(partial: &Path) -> rusqlite::Result<()> {
    let copy = Connection::open(partial)?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    if schema::has_incarnations(&copy)? {
        let fresh = incarnation::fresh(&copy)?;
        incarnation::set(&copy, &fresh)?;
    }
    Ok(())
}

fn io_fault(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        source,
    }
}
