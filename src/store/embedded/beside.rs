//! The file beside the store (`sipvouch.db-lock`): who serves the store, who is opening it, and what its write-ahead log
//! belongs to.
//!
//! The locks are those of the open file description: they go with the process, even when that is killed, and with
//! nothing else. The file itself stays; without it nothing is lost but what it knows about the log.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::Uid;

use super::BUSY;
use super::incarnation::{self, LOG};
use super::place::{self, directory, with_suffix};
use crate::store::Error;

/// What the name of the store is followed by.
pub(super) const SUFFIX: &str = "-lock";

/// Octet that is locked by whoever serves the store.
const SERVING: i64 = 0;
/// Octet that is locked while somebody opens the store, or puts another in its place.
const OPENING: i64 = 1;

/// SQLite's own locks on a file, as its format documents them: from the pending octet on.
const SQLITE_LOCKS: i64 = 0x4000_0000;
/// Octets of them.
const SQLITE_LOCKS_LEN: i64 = 512;

/// Where the number of the server stands, behind [`Marks`].
const SERVER_AT: u64 = 128;
/// Octets of what is read of the file.
const READ: usize = 192;

/// What is known of the write-ahead log beside the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// Incarnations that the file has, or had when it got another; `None` is a file of before there were any.
    pub(super) incarnations: Vec<Option<String>>,
    /// First salt of the log, when it was begun.
    pub(super) salt: Option<u32>,
}

impl Marks {
    /// Those of a store that has no log: they say that it is there, and nothing of a log that may come.
    pub(super) fn without_log() -> Self {
        Self {
            incarnations: Vec::new(),
            salt: Some(0),
        }
    }

    /// One line of a fixed length, so that it can be written over in one step.
    fn line(&self) -> String {
        let words: Vec<&str> = self
            .incarnations
            .iter()
            .map(|id| id.as_deref().unwrap_or("none"))
            .collect();
        let salt = self.salt.map_or("-".to_owned(), |salt| salt.to_string());
        let line = format!("log salt={salt} of={}", words.join(","));
        format!("{line:<127.127}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let rest = line.trim_end().strip_prefix("log salt=")?;
        let (salt, of) = rest.split_once(" of=")?;
        let id = |word: &str| (word != "none").then(|| word.to_owned());
        Some(Self {
            incarnations: of.split(',').filter(|w| !w.is_empty()).map(id).collect(),
            salt: salt.parse().ok(),
        })
    }
}

/// The file, open.
#[derive(Debug)]
pub(super) struct Beside {
    path: PathBuf,
    file: File,
}

impl Beside {
    /// Opens it for writing, and makes it if it is not there: as readable as the store, and its owner's.
    pub(super) fn open(store: &Path) -> Result<Self, Error> {
        let path = with_suffix(store, SUFFIX);
        let like = fs::metadata(store);
        let mode = like.as_ref().map_or(0o600, |like| like.mode() & 0o666);
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            .open(&path)
            .map_err(|source| io_fault(&path, source))?;
        if is_new && Uid::effective().is_root() {
            // Else the server, which is somebody else, could not take it.
            let owner = like.or_else(|_| fs::metadata(directory(store)));
            owner
                .and_then(|like| fchown(&file, Some(like.uid()), Some(like.gid())))
                .map_err(|source| io_fault(&path, source))?;
        }
        Ok(Self { path, file })
    }

    /// Reads what it knows of the log, changing nothing; nothing if it is not there or says something else.
    pub(super) fn look(store: &Path) -> Marks {
        File::open(with_suffix(store, SUFFIX))
            .and_then(|file| text(&file))
            .map_or_else(|_| Marks::default(), |text| marks(&text))
    }

    /// What it knows of the log.
    pub(super) fn marks(&self) -> Marks {
        text(&self.file).map_or_else(|_| Marks::default(), |text| marks(&text))
    }

    /// Writes down what is known of the log; on the disk when this returns.
    pub(super) fn set_marks(&self, marks: &Marks) -> Result<(), Error> {
        self.file
            .write_all_at(marks.line().as_bytes(), 0)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| io_fault(&self.path, source))
    }

    /// Waits until nobody else is opening the store, and keeps others from it while this value lives.
    pub(super) fn lock_opening(&self) -> Result<(), Error> {
        let deadline = Instant::now() + BUSY;
        while !self.try_lock_opening()? {
            if Instant::now() >= deadline {
                return Err(Error::Slow {
                    place: self.path.display().to_string(),
                    seconds: BUSY.as_secs(),
                });
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The same without waiting; says whether it was to be had.
    pub(super) fn try_lock_opening(&self) -> Result<bool, Error> {
        lock(&self.file, OPENING, 1).map_err(|source| io_fault(&self.path, source))
    }

    /// Takes the place of the one that serves the store, for as long as this value lives.
    pub(super) fn lock_serving(&self, store: &Path) -> Result<(), Error> {
        let fault = |source| io_fault(&self.path, source);
        if !lock(&self.file, SERVING, 1).map_err(fault)? {
            return Err(Error::Served {
                path: store.to_owned(),
                pid: text(&self.file).ok().and_then(|text| server(&text)),
            });
        }
        let number = format!("{:<31}\n", format!("server {}", std::process::id()));
        self.file
            .write_all_at(number.as_bytes(), SERVER_AT)
            .map_err(fault)
    }
}

/// A store that is served, by this process, for as long as this value lives.
#[derive(Debug)]
pub struct Serving {
    beside: Beside,
}

impl Serving {
    /// Takes the place of the one that serves the store in this file; the file need not be there yet.
    ///
    /// # Errors
    /// Another process serves it ([`Error::Served`]), or the file beside it cannot be written.
    pub fn take(store: &Path) -> Result<Self, Error> {
        let store = place::real(store);
        let beside = Beside::open(&store)?;
        beside.lock_serving(&store)?;
        Ok(Self { beside })
    }

    /// Whether the file whose locks they are has its name still: else nobody else sees them.
    pub fn is_in_place(&self) -> bool {
        let own = self.beside.file.metadata();
        let there = fs::metadata(&self.beside.path);
        own.is_ok_and(|own| {
            there.is_ok_and(|there| (own.dev(), own.ino()) == (there.dev(), there.ino()))
        })
    }
}

/// Whether there is a store. A file of no octets is one that somebody began to make.
pub fn is_there(path: &Path) -> bool {
    // What may not be looked at is there: opening it tells why it cannot be read.
    fs::metadata(path).map_or_else(
        |error| error.kind() != io::ErrorKind::NotFound,
        |found| found.len() > 0,
    )
}

/// Refuses a place where a store has been and is none: by what is known of its log, or by the log itself. A start that
/// failed before it had made one leaves neither.
///
/// # Errors
/// [`Error::Gone`].
pub fn refuse_gone(store: &Path) -> Result<(), Error> {
    if is_there(store) {
        return Ok(());
    }
    let real = place::real(store);
    let [beside, log] = [SUFFIX, LOG].map(|suffix| with_suffix(&real, suffix));
    let known = if Beside::look(&real) != Marks::default() {
        beside
    } else if !incarnation::has_no_log(&real) {
        log
    } else {
        return Ok(());
    };
    Err(Error::Gone {
        path: store.to_owned(),
        known,
    })
}

/// Who holds SQLite's locks on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InUse {
    /// Nobody.
    No,
    /// This process, or one that the system does not name.
    Unnamed,
    /// The process of this number.
    By(i32),
}

/// Whether somebody has the store in this file open. Not to be asked while this process has: closing what is opened here
/// would take its locks away.
pub(super) fn in_use(store: &Path) -> io::Result<InUse> {
    let file = File::open(store)?;
    let mut asked = range(SQLITE_LOCKS, SQLITE_LOCKS_LEN);
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut asked))?;
    Ok(match asked.l_pid {
        _ if i32::from(asked.l_type) == nix::libc::F_UNLCK => InUse::No,
        pid if pid > 0 => InUse::By(pid),
        _ => InUse::Unnamed,
    })
}

/// Keeps everybody from opening the store in this file while the value lives; `None` if somebody has it open.
pub(super) fn keep_closed(store: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).open(store)?;
    Ok(lock(&file, SQLITE_LOCKS, SQLITE_LOCKS_LEN)?.then_some(file))
}

fn range(start: i64, len: i64) -> nix::libc::flock {
    nix::libc::flock {
        l_type: nix::libc::F_WRLCK as nix::libc::c_short,
        l_whence: nix::libc::SEEK_SET as nix::libc::c_short,
        l_start: start,
        l_len: len,
        // Asked for by the kernel.
        l_pid: 0,
    }
}

fn lock(file: &File, start: i64, len: i64) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&range(start, len))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn text(file: &File) -> io::Result<String> {
    let mut octets = [0; READ];
    let read = file.read_at(&mut octets, 0)?;
    Ok(String::from_utf8_lossy(octets.get(..read).unwrap_or_default()).into_owned())
}

fn marks(text: &str) -> Marks {
    text.lines()
        .next()
        .and_then(Marks::parse)
        .unwrap_or_default()
}

fn server(text: &str) -> Option<i32> {
    let line = text.lines().find_map(|line| {
        let line = line.trim_matches(['\0', ' ']);
        line.strip_prefix("server ")
    })?;
    line.trim().parse().ok()
}

fn io_fault(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::embedded::{Access, Embedded};

    #[test]
    fn one_serves_a_store_and_the_other_hears_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("sipvouch.db");
        let serving = Serving::take(&store).unwrap();
        let error = Serving::take(&store).unwrap_err();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(
            matches!(&error, Error::Served { pid: Some(pid), .. } if *pid == own),
            "{error}"
        );
        drop(serving);
        Serving::take(&store).unwrap();
    }

    #[test]
    fn what_is_known_of_a_log_is_read_as_it_was_written_whoever_serves() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("sipvouch.db");
        assert_eq!(Beside::look(&store), Marks::default());
        let beside = Beside::open(&store).unwrap();
        let id = || Some("0123456789abcdef0123456789abcdef".to_owned());
        for incarnations in [vec![id(), id()], vec![None, id()], vec![id()], vec![]] {
            for salt in [None, Some(u32::MAX), Some(0)] {
                let marks = Marks {
                    incarnations: incarnations.clone(),
                    salt,
                };
                beside.set_marks(&marks).unwrap();
                let serving = Serving::take(&store).unwrap();
                assert_eq!(beside.marks(), marks);
                assert_eq!(Beside::look(&store), marks);
                drop(serving);
            }
        }
    }

    #[test]
    fn a_store_that_is_gone_is_missed_and_one_that_never_was_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("sipvouch.db");
        // A first start that failed before it made one.
        drop(Serving::take(&store).unwrap());
        refuse_gone(&store).unwrap();
        fs::write(&store, "").unwrap();
        refuse_gone(&store).unwrap();
        let own = Embedded::open(&store, Access::Create).unwrap();
        refuse_gone(&store).unwrap();
        let log = fs::read(with_suffix(&store, LOG)).unwrap();
        drop(own);
        let gone = |known: &str| {
            let error = refuse_gone(&store).unwrap_err();
            let known = with_suffix(&store, known);
            assert!(
                matches!(&error, Error::Gone { known: by, .. } if *by == known),
                "{error}"
            );
        };
        fs::write(&store, "").unwrap();
        gone(SUFFIX);
        fs::remove_file(&store).unwrap();
        gone(SUFFIX);
        fs::remove_file(with_suffix(&store, SUFFIX)).unwrap();
        refuse_gone(&store).unwrap();
        // It would be written into whatever store comes.
        fs::write(with_suffix(&store, LOG), log).unwrap();
        gone(LOG);
    }

    #[test]
    fn two_do_not_open_a_store_at_the_same_time() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("sipvouch.db");
        let (one, other) = (Beside::open(&store).unwrap(), Beside::open(&store).unwrap());
        assert!(one.try_lock_opening().unwrap());
        assert!(!other.try_lock_opening().unwrap());
        drop(one);
        other.lock_opening().unwrap();
    }
}
