//! A backup in the place of the store.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::backup::{fill, partial_name, put_in_place};
use super::beside::{self, Beside, Marks, Serving};
use super::incarnation::{INDEX, LOG, unused_name};
use super::place::{self, FileId, MEND, with_suffix};
use super::{Access, Embedded};
use crate::store::Error;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Octets of the store now.
    pub octets: u64,
    /// Where what was there before is; `None` if nothing was.
    pub before: Option<PathBuf>,
    /// What an operator has to know, a sentence each.
    pub notes: Vec<String>,
}

/// Puts a copy of `backup` in the place of the store, which is moved aside with what SQLite has beside it. The backup is
/// looked through first, and stays as it is. Whatever happens meanwhile, there is the old store or the new one.
///
/// # Errors
/// The backup is damaged, something else, or of a newer version; the store is served ([`Error::Served`]) or somebody has it
/// open ([`Error::InUse`]); files that cannot be written. The store is as it was then.
pub fn restore(store: &Path, backup: &Path) -> Result<Restored, Error> {
    let store = &place::real(store);
    let _serving = Serving::take(store)?;
    let beside = Beside::open(store)?;
    beside.lock_opening()?;
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let is_there = store.symlink_metadata().is_ok();
    if FileId::of(store).is_ok_and(|own| FileId::of(backup).is_ok_and(|backup| own == backup)) {
        return Err(Error::Itself {
            path: backup.to_owned(),
        });
    }
    fs::metadata(backup).map_err(fault(backup))?;
    // Held until the end: nobody opens it meanwhile.
    let _closed = match is_there {
        true => Some(closed(store)?),
        false => None,
    };
    let source = Embedded::open(backup, Access::ReadOnly).map_err(of_backup)?;
    if let Some(first) = source.check().map_err(of_backup)?.first() {
        return Err(of_backup(Error::Corrupt {
            path: backup.to_owned(),
            why: first.replace(&format!("; {MEND}"), "") + "; " + MEND,
        }));
    }
    let partial = partial_name(store);
    let done = source
        .with_reader(|connection| fill(connection, &partial))
        .and_then(|octets| {
            if is_there {
                like(&partial, store).map_err(fault(&partial))?;
            }
            let before = exchange(store, &partial)?;
            Ok(Restored {
                octets,
                before,
                notes: source.notes(),
            })
        });
    if done.is_err() {
        let _ = fs::remove_file(&partial);
        return done;
    }
    // What was known was of the store before.
    beside.set_marks(&Marks::without_log())?;
    done
}

/// What mends a store is what was tried just now; a backup is mended by nothing.
fn of_backup(error: Error) -> Error {
    let other = |why: String| why.replace(MEND, "restore another backup");
    match error {
        Error::Foreign { path, why } => Error::Foreign {
            path,
            why: other(why),
        },
        Error::Corrupt { path, why } => Error::Corrupt {
            path,
            why: other(why),
        },
        error => error,
    }
}

/// Keeps the store closed, if nobody has it open.
fn closed(store: &Path) -> Result<fs::File, Error> {
    let fault = |source| Error::Io {
        path: store.to_owned(),
        source,
    };
    let closed = beside::keep_closed(store).map_err(fault)?;
    closed.ok_or_else(|| Error::InUse {
        path: store.to_owned(),
        pid: match beside::in_use(store) {
            Ok(beside::InUse::By(pid)) => Some(pid),
            _ => None,
        },
    })
}

/// Has the copy belong to whom the store belonged to, and be as readable.
fn like(copy: &Path, store: &Path) -> io::Result<()> {
    let store = fs::metadata(store)?;
    if Uid::effective().is_root() {
        chown(copy, Some(store.uid()), Some(store.gid()))?;
    }
    fs::set_permissions(copy, Permissions::from_mode(store.mode() & 0o777))
}

/// The old store gets another name, the copy its name, in this order: the name is never without a store. A log that is
/// still there after a crash in between belongs to the old incarnation, and is moved by whoever opens the store next.
fn exchange(store: &Path, copy: &Path) -> Result<Option<PathBuf>, Error> {
    let before = unused_name(store, "before");
    let fault = |source| Error::Io {
        path: store.to_owned(),
        source,
    };
    let mut moved = false;
    if store.symlink_metadata().is_ok() {
        // A file system without second names has to do without this safety.
        fs::hard_link(store, &before)
            .or_else(|_| fs::rename(store, &before))
            .map_err(fault)?;
        moved = true;
    }
    if let Err(error) = put_in_place(copy, store) {
        if store.symlink_metadata().is_ok() {
            // Its second name.
            let _ = fs::remove_file(&before);
        } else {
            fs::rename(&before, store).map_err(fault)?;
        }
        return Err(error);
    }
    for suffix in [LOG, INDEX] {
        match fs::rename(with_suffix(store, suffix), with_suffix(&before, suffix)) {
            Ok(()) => moved = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(fault(source)),
        }
    }
    Ok(moved.then_some(before))
}
