//! The first start on an old deployment: repro's files become a store, whole or not at all.

use std::path::Path;

use tempfile::TempDir;

use super::begun::{self, Begun};
use super::judge;
use crate::store::embedded::{Access, Embedded, refuse_gone};
use crate::store::import::{Report, Source as _, import};
use crate::store::{Error, Record, ReproDirectory, STORE_FILE, Store as _, Table};

/// A store that is open, and what came into it just now.
pub(super) struct Taken {
    /// The store.
    pub(super) store: Embedded,
    /// What came over, if anything was there to come.
    pub(super) report: Option<Report>,
    /// What an operator has to know, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Taken {
    fn nothing(store: Embedded) -> Self {
        Self {
            store,
            report: None,
            notes: Vec::new(),
        }
    }

    fn reported(store: Embedded, files: &ReproDirectory, report: Report) -> Self {
        let missing = files.missing().map(|(table, file)| {
            let file = file.display();
            format!(
                "{file}: not there, though other files of repro's are; no {table} is taken over"
            )
        });
        Self {
            store,
            notes: missing.chain(notes(&report)).collect(),
            report: Some(report),
        }
    }
}

/// What is to be done about repro's files.
pub(crate) enum Waiting {
    /// Nothing: they have come over already.
    Nothing,
    /// There are none where they should be; said in a sentence.
    Absent(String),
    /// The next start takes them over.
    Files(ReproDirectory),
    /// They stay where they are, because the store holds other records already; said in a sentence.
    Passed(String),
}

/// Whether repro's files have still to be taken over into this store, or into one that is not there yet.
///
/// # Errors
/// The store or the directory cannot be read.
pub(crate) fn waiting(store: Option<&Embedded>, berkeley: &Path) -> Result<Waiting, Error> {
    if let Some(store) = store
        && store.imported()?.is_some()
    {
        return Ok(Waiting::Nothing);
    }
    let files = ReproDirectory::open(berkeley)?;
    if files.is_empty() {
        return Ok(Waiting::Absent(format!(
            "{}: none of repro's files is there (repro_user.db, repro_user.dump), so that nothing is taken over; name \
             their directory by Database<N>Path, or say Database<N>Type = SQLite if there is nothing to take over",
            files.describe()
        )));
    }
    match store {
        Some(store) if !store.is_empty()? => Ok(Waiting::Passed(format!(
            "{}: repro's files there are not taken over, because {} holds records already; sipvouch import does it",
            files.describe(),
            store.place()
        ))),
        _ => Ok(Waiting::Files(files)),
    }
}

/// Opens the store of a server, and makes it if it is not there. The first time, repro's files are taken over.
///
/// # Errors
/// The store cannot be had, or files of repro's are damaged: then no store has been made. One that was there and is gone is
/// not made anew, and repro's files are not taken over a second time: who was removed since would be there again.
pub(super) fn open(path: &Path, berkeley: Option<&Path>) -> Result<Taken, Error> {
    refuse_gone(path)?;
    begun::remove_left(path);
    let Some(berkeley) = berkeley else {
        return Embedded::open(path, Access::Create).map(Taken::nothing);
    };
    if !path.exists()
        && let Waiting::Files(files) = waiting(None, berkeley)?
        && let Some(report) = make(path, &files)?
    {
        let store = Embedded::open(path, Access::Existing)?;
        return Ok(Taken::reported(store, &files, report));
    }
    let store = Embedded::open(path, Access::Create)?;
    match waiting(Some(&store), berkeley)? {
        Waiting::Nothing => Ok(Taken::nothing(store)),
        Waiting::Files(files) => {
            let report = import(&store, &files, false, &of_users)?;
            Ok(Taken::reported(store, &files, report))
        }
        Waiting::Passed(note) | Waiting::Absent(note) => Ok(Taken {
            store,
            report: None,
            notes: vec![note],
        }),
    }
}

/// Makes a store of repro's files beside its place, and puts it there when all of it has come over: a store that is there is
/// never one that failed. `None` if somebody else was faster.
fn make(path: &Path, files: &ReproDirectory) -> Result<Option<Report>, Error> {
    let (begun, store) = Begun::beside(path)?;
    let report = import(&store, files, false, &of_users)?;
    Ok(begun.put_in_place(store)?.then_some(report))
}

/// A trial of the first start, in a directory that goes with the answer: the store that it would make.
///
/// # Errors
/// Those of the first start.
pub(super) fn trial(files: Option<&ReproDirectory>) -> Result<(TempDir, Taken), Error> {
    let scratch = tempfile::tempdir().map_err(|source| Error::Io {
        path: std::env::temp_dir(),
        source,
    })?;
    let store = Embedded::open(&scratch.path().join(STORE_FILE), Access::Create)?;
    let taken = match files {
        Some(files) => {
            let report = import(&store, files, false, &|_| None)?;
            Taken::reported(store, files, report)
        }
        None => Taken::nothing(store),
    };
    Ok((scratch, taken))
}

/// What is said of a record when it comes over: of those of users, which are not read whole later on.
fn of_users(record: &Record) -> Option<String> {
    (record.table() == Table::User)
        .then(|| judge(record))
        .flatten()
}

/// What an operator has to know about what came over. What the other records lack is said whenever they are read.
fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    for table in &report.tables {
        for fault in &table.faults {
            notes.push(format!("{fault}; this record did not come over"));
        }
        for note in &table.notes {
            notes.push(format!("{} {:?}: {}", table.table, note.key, note.note));
        }
        for (all, listed, what) in [
            (table.not_taken, table.faults.len(), "did not come over"),
            (table.noted, table.notes.len(), "to look at"),
        ] {
            let more = all.saturating_sub(u64::try_from(listed).unwrap_or(u64::MAX));
            if more > 0 {
                notes.push(format!("{}: and {more} more {what}", table.table));
            }
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::{self, File};

    use super::*;

    /// repro's files, of which that of the users may be cut off.
    fn old(users: Option<u64>) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let legacy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/legacy-repro/db");
        for table in Table::ALL {
            let name = table.berkeley_file();
            fs::copy(legacy.join(name), dir.path().join(name)).unwrap();
        }
        if let Some(octets) = users {
            let file = File::options()
                .write(true)
                .open(dir.path().join("repro_user.db"))
                .unwrap();
            file.set_len(octets).unwrap();
        }
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_take_over_leaves_a_whole_store_and_nothing_beside_it() {
        let (old, new) = (old(None), tempfile::tempdir().unwrap());
        let path = new.path().join(STORE_FILE);
        let taken = open(&path, Some(old.path())).unwrap();
        assert!(taken.report.is_some_and(|report| report.is_complete()));
        assert!(!taken.store.is_empty().unwrap());
        drop(taken.store);
        assert_eq!(
            names(new.path()),
            [STORE_FILE, &format!("{STORE_FILE}-lock")]
        );
        let again = open(&path, Some(old.path())).unwrap();
        assert!(again.report.is_none() && again.notes.is_empty());
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let (old, new) = (old(None), tempfile::tempdir().unwrap());
        for name in ["repro_user.db", "repro_silo.db"] {
            fs::remove_file(old.path().join(name)).unwrap();
        }
        let files = ReproDirectory::open(old.path()).unwrap();
        let (_scratch, tried) = trial(Some(&files)).unwrap();
        let taken = open(&new.path().join(STORE_FILE), Some(old.path())).unwrap();
        assert_eq!(tried.notes, taken.notes);
        let [user, silo] = taken.notes.as_slice() else {
            unreachable!("{:?}", taken.notes);
        };
        assert!(user.contains("repro_user.db: not there"), "{user}");
        assert!(silo.contains("repro_silo.db: not there"), "{silo}");
        let (empty, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for _ in 0..2 {
            let path = new.path().join(STORE_FILE);
            let taken = open(&path, Some(empty.path())).unwrap();
            let [note] = taken.notes.as_slice() else {
                unreachable!("{:?}", taken.notes);
            };
            assert!(note.contains("none of repro's files is there"), "{note}");
        }
    }

    #[test]
    fn a_take_over_names_the_users_whose_hash_is_damaged() {
        let (old, new) = (old(None), tempfile::tempdir().unwrap());
        let file = old.path().join("repro_user.db");
        let mut octets = fs::read(&file).unwrap();
        let label = b"[MD5]";
        let at = octets.windows(label.len()).position(|own| own == label);
        *octets.get_mut(at.unwrap() + label.len()).unwrap() = b'z';
        fs::write(&file, octets).unwrap();
        let taken = open(&new.path().join(STORE_FILE), Some(old.path())).unwrap();
        let [note] = taken.notes.as_slice() else {
            unreachable!("{:?}", taken.notes);
        };
        assert!(note.contains("hash: what stands for MD5"), "{note}");
    }

    #[test]
    fn a_take_over_that_fails_leaves_no_store() {
        let (old, new) = (old(Some(5000)), tempfile::tempdir().unwrap());
        let path = new.path().join(STORE_FILE);
        let error = open(&path, Some(old.path())).map(|_| ()).unwrap_err();
        assert!(
            error.to_string().contains("repro_user.db: damaged"),
            "{error}"
        );
        assert_eq!(names(new.path()), Vec::<String>::new());
        let files = ReproDirectory::open(old.path()).unwrap();
        let tried = trial(Some(&files)).map(|_| ()).unwrap_err();
        assert_eq!(tried.to_string(), error.to_string());
    }

    #[test]
    fn a_store_that_was_begun_and_holds_nothing_takes_them_over_all_the_same() {
        let (old, new) = (old(None), tempfile::tempdir().unwrap());
        let path = new.path().join(STORE_FILE);
        drop(Embedded::open(&path, Access::Create).unwrap());
        let store = Embedded::open(&path, Access::ReadOnly).unwrap();
        assert!(matches!(
            waiting(Some(&store), old.path()).unwrap(),
            Waiting::Files(_)
        ));
        assert!(open(&path, Some(old.path())).unwrap().report.is_some());
        assert!(matches!(
            waiting(Some(&store), old.path()).unwrap(),
            Waiting::Nothing
        ));
    }
}
