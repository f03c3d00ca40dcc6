//! A copy of the file while it is in use.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::place::{self, Mode};
use crate::store::Error;

/// Copies the store as it is at one moment; answers with the octets of the copy.
///
/// Beside its place first, so that there is never half a copy under its name: a name that is there is a whole backup.
pub(super) fn copy(from: &Connection, to: &Path, replace: bool) -> Result<u64, Error> {
    refuse_existing(to, replace)?;
    let partial = partial_name(to);
    let result = fill(from, &partial).and_then(|octets| {
        refuse_existing(to, replace)?;
        fs::rename(&partial, to)
            .and_then(|()| File::open(place::directory(to))?.sync_all())
            .map_err(|source| io_fault(to, source))?;
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

fn partial_name(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    PathBuf::from(name)
}

fn fill(from: &Connection, partial: &Path) -> Result<u64, Error> {
    // Of an earlier process of our number, if it is there.
    let _ = fs::remove_file(partial);
    place::create(partial)?;
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
    copied().map_err(|error| place::fault(partial, &error))?;
    drop(to);
    let file = File::open(partial).map_err(|source| io_fault(partial, source))?;
    file.sync_all()
        .and_then(|()| file.metadata())
        .map(|metadata| metadata.len())
        .map_err(|source| io_fault(partial, source))
}

fn io_fault(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        source,
    }
}
