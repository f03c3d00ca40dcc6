//! The file itself: what is there before SQLite touches it, and how connections to it are opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, OpenFlags};

use super::incarnation::LOG;
use super::schema::{APPLICATION_ID, STEPS, newest};
use super::{BUSY, CACHE_KIB};
use crate::store::Error;

/// What an SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Octets of SQLite's header.
const HEADER: usize = 100;

/// How a damaged store is mended. A copy to its place is not enough: SQLite would write the log of what was there over it.
pub(super) const MEND: &str = "sipvouch restore BACKUP puts a backup in its place, and moves this file and what SQLite has \
     beside it (-wal, -shm) out of the way";

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A file of no octets: somebody began to make a store.
    Empty,
    /// A store of ours, as far as its header tells.
    Ours,
}

/// Looks at a file without SQLite, which may repair and write what it opens: a file that is not ours stays untouched.
pub(super) fn look(path: &Path) -> Result<Found, Error> {
    let unreadable = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let foreign = |why: &str| Error::Foreign {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if !metadata.is_file() => {
            return Err(foreign("is no file; name the file of the store"));
        }
        Ok(_) => {}
    }
    let mut header = Vec::with_capacity(HEADER);
    File::open(path)
        .and_then(|file| {
            file.take(u64::try_from(HEADER).unwrap_or_default())
                .read_to_end(&mut header)
        })
        .map_err(unreadable)?;
    if header.is_empty() {
        return Ok(Found::Empty);
    }
    if !header.starts_with(MAGIC) {
        return Err(foreign(&format!(
            "is no SQLite file; if it was the store, its beginning is damaged: {MEND}"
        )));
    }
    let word = |at: usize| {
        let octets = header.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*octets))
    };
    let (Some(schema), Some(application)) = (word(60), word(68)) else {
        return Err(Error::Corrupt {
            path: path.to_owned(),
            why: format!("ends within its header; {MEND}"),
        });
    };
    if application != APPLICATION_ID {
        return Err(foreign(
            "is an SQLite file of another program; name another file",
        ));
    }
    refuse_newer(path, schema)?;
    Ok(Found::Ours)
}

/// Refuses a schema that a newer version has made.
pub(super) fn refuse_newer(path: &Path, schema: u32) -> Result<(), Error> {
    let known = newest(STEPS);
    if schema > known {
        return Err(Error::TooNew {
            path: path.to_owned(),
            found: schema,
            known,
        });
    }
    Ok(())
}

/// Makes an empty file which only its owner may read, from the first moment on. One that somebody else makes at the
/// same time is as good.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(Error::Io {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Refuses a store that we may not write, if it is there, or whose directory we may not.
pub(super) fn writable(path: &Path) -> Result<(), Error> {
    // SQLite would fall back to reading only, or say that it "cannot open" without what.
    for needed in [path, directory(path)] {
        match access(needed, AccessFlags::R_OK | AccessFlags::W_OK) {
            Err(Errno::ENOENT) if needed == path => {}
            Err(errno) => {
                return Err(Error::Io {
                    path: needed.to_owned(),
                    source: errno.into(),
                });
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// How to open a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// For changes.
    Write,
    /// For reading.
    Read,
    /// For reading a file that nobody can change: without locks, and without the files that they would need.
    Immutable,
}

/// Opens a connection that behaves as all of ours do.
pub(super) fn connect(path: &Path, mode: Mode) -> Result<Connection, Error> {
    if mode == Mode::Write {
        writable(path)?;
    }
    let flags = match mode {
        Mode::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Mode::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Mode::Immutable => OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    } | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = match mode {
            Mode::Immutable => Connection::open_with_flags(immutable_uri(path), flags)?,
            Mode::Write | Mode::Read => Connection::open_with_flags(path, flags)?,
        };
        connection.busy_timeout(BUSY)?;
        // A file that somebody else has prepared must not make SQLite run functions; and lengths are looked at before
        // they are believed.
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    open().map_err(|error| fault(path, &error))
}

/// `file:` URI of a file that does not change.
fn immutable_uri(path: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for octet in path.as_os_str().as_bytes() {
        match octet {
            b'/' | b'.' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                uri.push(char::from(*octet));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    PathBuf::from(uri)
}

/// Whether nobody has the file open for changes and we could not make the files that readers need: a file on a medium
/// or in a directory that is closed to us.
pub(super) fn is_sealed(path: &Path) -> bool {
    access(directory(path), AccessFlags::W_OK).is_err() && !with_suffix(path, LOG).exists()
}

/// The name of a file with something behind it, as SQLite names what it has beside a file.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The name beside which SQLite looks for the log: a symbolic link is followed.
pub(super) fn real(path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(_) => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        Err(_) => path.to_owned(),
    }
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// That of the file that has this name now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// The directory of a file.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// What SQLite says, as an error about this file.
pub(super) fn fault(path: &Path, error: &rusqlite::Error) -> Error {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => Error::Corrupt {
            path,
            why: format!("{error}; {MEND}"),
        },
        Some(ErrorCode::NotADatabase) => Error::Foreign {
            path,
            why: format!("is no SQLite file: {error}; if it was the store, it is damaged: {MEND}"),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Slow {
            place: path.display().to_string(),
            seconds: BUSY.as_secs(),
        },
        _ => Error::Query {
            place: path.display().to_string(),
            why: error.to_string(),
        },
    }
}
