//! A store that is being filled beside its place, and what is left of those whose makers were killed.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, TempPath};

use crate::store::embedded::{Access, Embedded, Serving, set_left_log_aside};
use crate::store::{Error, STORE_FILE};

/// What the names of the directories begin with.
const PREFIX: &str = "sipvouch.db.import-";

/// How often a directory is made before giving up, when others remove it before it is locked.
const TRIES: usize = 5;

/// A store that is being filled beside its place. Given up, it goes, and there is none.
pub(crate) struct Begun {
    // Removed before the lock on it is given up.
    scratch: TempDir,
    /// Nobody takes it for what a killed maker has left.
    _serving: Serving,
    path: PathBuf,
}

impl Begun {
    /// Makes an empty store in a directory of its own beside this path, which only its owner may look into.
    ///
    /// # Errors
    /// It cannot be made there.
    pub(crate) fn beside(path: &Path) -> Result<(Self, Embedded), Error> {
        let mut tries = 1;
        let (scratch, serving) = loop {
            let scratch = make(directory(path))?;
            match Serving::take(&scratch.path().join(STORE_FILE)) {
                Ok(serving) if serving.is_in_place() => break (scratch, serving),
                // Who removes what is left was there between the two.
                Ok(_) | Err(Error::Served { .. } | Error::Io { .. }) if tries < TRIES => tries += 1,
                Ok(_) => {
                    return Err(Error::Io {
                        path: scratch.path().to_owned(),
                        source: io::ErrorKind::NotFound.into(),
                    });
                }
                Err(error) => return Err(error),
            }
        };
        let store = Embedded::open(&scratch.path().join(STORE_FILE), Access::Create)?;
        let own = Self {
            scratch,
            _serving: serving,
            path: path.to_owned(),
        };
        Ok((own, store))
    }

    /// Puts the store in its place; `false` if there is another by now, which stays.
    ///
    /// # Errors
    /// It cannot be put there.
    pub(crate) fn put_in_place(self, store: Embedded) -> Result<bool, Error> {
        let fault = |source| Error::Io {
            path: self.path.clone(),
            source,
        };
        drop(store);
        let made = self.scratch.path().join(STORE_FILE);
        // Closing it has put the log into the file, which is whole by itself then.
        let log = made.with_extension("db-wal");
        if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            return Err(Error::Io {
                path: log,
                source: io::Error::other("its contents could not be put into the store"),
            });
        }
        set_left_log_aside(&self.path)?;
        let made = TempPath::try_from_path(made).map_err(fault)?;
        match made.persist_noclobber(&self.path) {
            Ok(()) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(fault(error.error)),
        }
        File::open(directory(&self.path))
            .and_then(|directory| directory.sync_all())
            .map_err(fault)?;
        Ok(true)
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes the directories beside this path whose makers have died. What cannot be removed stays: it is in nobody's way.
pub(crate) fn remove_left(path: &Path) {
    let Ok(entries) = fs::read_dir(directory(path)) else {
        return;
    };
    for entry in entries.flatten() {
        let is_left = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_left {
            remove(&entry.path());
        }
    }
}

/// Removes one, and in it what makers put there and nothing else, unless its maker has the lock.
fn remove(scratch: &Path) {
    let store = scratch.join(STORE_FILE);
    let Ok(_serving) = Serving::take(&store) else {
        return;
    };
    for suffix in ["", "-wal", "-shm", "-journal", "-lock"] {
        let name = format!("{STORE_FILE}{suffix}");
        // Not all of them are there.
        let _ = fs::remove_file(scratch.join(name));
    }
    let _ = fs::remove_dir(scratch);
}

fn make(directory: &Path) -> Result<TempDir, Error> {
    // Named when it cannot be written: what is made in it is not what the operator wrote.
    tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(directory)
        .map_err(|error| Error::Io {
            path: directory.to_owned(),
            source: error.kind().into(),
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_a_killed_maker_has_left_is_removed_and_what_is_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(STORE_FILE);
        let (begun, store) = Begun::beside(&path).unwrap();
        let scratch = begun.scratch.path().to_owned();
        assert_eq!(fs::metadata(&scratch).unwrap().mode() & 0o777, 0o700);
        let left = dir.path().join(format!("{PREFIX}killed"));
        fs::create_dir(&left).unwrap();
        for entry in fs::read_dir(&scratch).unwrap() {
            let file = entry.unwrap().path();
            fs::copy(&file, left.join(file.file_name().unwrap())).unwrap();
        }
        // Killed at once, and one that somebody has put his own things in.
        fs::create_dir(dir.path().join(format!("{PREFIX}empty"))).unwrap();
        let foreign = dir.path().join(format!("{PREFIX}notes"));
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("notes.txt"), "mine").unwrap();
        fs::write(dir.path().join(format!("{PREFIX}file")), "mine").unwrap();
        remove_left(&path);
        assert!(scratch.join(STORE_FILE).exists());
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        let mut wanted = vec![
            scratch.clone(),
            dir.path().join(format!("{PREFIX}file")),
            foreign.clone(),
        ];
        wanted.sort();
        assert_eq!(names, wanted);
        assert!(foreign.join("notes.txt").exists());
        // It can still be finished.
        assert!(begun.put_in_place(store).unwrap());
        assert!(path.exists() && !scratch.exists());
    }
}
