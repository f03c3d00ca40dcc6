//! Files and directories of CRLs: what was read of each, and what still holds when one of them becomes unreadable.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use openssl::x509::X509;

use super::CrlFiles;
use super::crl::{self, Crl, Signature};
use super::fault::{Faults, LoadFault};
use super::store;
use super::verify::now;

/// Largest file read. The longest list of the web is a tenth of it.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;

/// By what a file is seen to have changed, without reading it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(kind: &Metadata) -> Self {
        Self {
            device: kind.dev(),
            inode: kind.ino(),
            size: kind.size(),
            modified: (kind.mtime(), kind.mtime_nsec()),
            changed: (kind.ctime(), kind.ctime_nsec()),
        }
    }
}

/// A file, and the lists that hold because of it.
#[derive(Clone)]
pub(super) struct Source {
    path: PathBuf,
    /// As it was when it was last read, or could not be read; `None` if it was not there.
    stamp: Option<Stamp>,
    /// Of what `lists` were read from.
    digest: [u8; 32],
    pub(super) lists: Vec<Arc<Crl>>,
}

impl Source {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// How to look at files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Read those that seem to have changed.
    AtStamps,
    /// Read them all: a network file system may show old stamps.
    Inside,
}

/// Reads what has changed since `before`.
///
/// A file that was good and is not any more, or has an older list than the one in force, keeps its lists in force, and a fault says so each time that the file changes:
/// it may be half of what somebody is copying there. Only a list that nobody has read before can be missing. A file that
/// is gone from a directory has been taken back.
pub(super) fn read(
    files: &CrlFiles,
    before: &[Source],
    look: Look,
    known: &[X509],
    faults: &mut Faults,
) -> Vec<Source> {
    let mut reader = Reader {
        before,
        look,
        known,
        faults,
        seen: HashSet::new(),
        read: Vec::new(),
    };
    for path in &files.files {
        reader.file(path, Asked::ByName);
    }
    for directory in &files.directories {
        let mut unreadable = Faults::default();
        let found = store::files_of(directory, &mut unreadable);
        if let Some(fault) = unreadable.found.into_iter().next() {
            let was_read = reader.keep_all_of(directory);
            reader.faults.push(match was_read {
                true => fault.kept(),
                false => fault,
            });
        }
        for path in found {
            reader.file(&path, Asked::InDirectory);
        }
    }
    reader.read
}

/// What to make of a file without a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    ByName,
    InDirectory,
}

struct Reader<'a> {
    before: &'a [Source],
    look: Look,
    known: &'a [X509],
    faults: &'a mut Faults,
    /// Files read, so that one with a hash link beside it counts once.
    seen: HashSet<(u64, u64)>,
    read: Vec<Source>,
}

impl Reader<'_> {
    /// The files of a directory that cannot be listed, as they were.
    fn keep_all_of(&mut self, directory: &Path) -> bool {
        let kept = self
            .before
            .iter()
            .filter(|source| source.path.parent() == Some(directory));
        let count = self.read.len();
        self.read.extend(kept.cloned());
        self.read.len() > count
    }

    fn file(&mut self, path: &Path, asked: Asked) {
        let before = self.before.iter().find(|source| source.path == path);
        let kind = match fs::metadata(path) {
            Ok(kind) => kind,
            Err(e) => {
                let again = before.is_some_and(|source| source.stamp.is_none());
                self.fail(path, None, asked, again, store::io_reason(&e), None);
                return;
            }
        };
        let stamp = Stamp::of(&kind);
        if !self.seen.insert((stamp.device, stamp.inode)) {
            return;
        }
        if let Some(before) = before
            && before.stamp.as_ref() == Some(&stamp)
            && self.look == Look::AtStamps
        {
            self.read.push(before.clone());
            return;
        }
        let octets = match read_whole(path, &kind) {
            Ok(octets) => octets,
            Err(reason) => {
                self.fail(path, Some(stamp), asked, false, reason, None);
                return;
            }
        };
        let digest = crl::digest(&octets);
        if let Some(before) = before
            && before.digest == digest
        {
            let stamp = Some(stamp);
            self.read.push(Source {
                stamp,
                ..before.clone()
            });
            return;
        }
        let lists = match crl::parse(&octets) {
            Ok(lists) => lists,
            Err((reason, block)) => {
                self.fail(path, Some(stamp), asked, false, reason, block);
                return;
            }
        };
        // What is parsed takes several times as much.
        drop(octets);
        let had_some = before.is_some_and(|before| !before.lists.is_empty());
        if lists.is_empty() && (asked == Asked::ByName || had_some) {
            let reason = "holds no CRL".to_owned();
            self.fail(path, Some(stamp), asked, false, reason, None);
            return;
        }
        let is_bad = |list: &Crl| list.signature(self.known.iter()) == Signature::Bad;
        if let Some(list) = lists.iter().find(|list| is_bad(list)) {
            let reason = format!(
                "the CRL of {:?} is not signed by the CA of that name that we know",
                list.issuer
            );
            if had_some {
                self.fail(path, Some(stamp), asked, false, reason, None);
                return;
            }
            let mend = "get it again; certificates of that CA are refused, whatever it says";
            self.faults
                .push(LoadFault::file(path, reason, mend).warning());
        }
        if let Some(before) = before
            && let Some(reason) = self.older(&before.lists, &lists)
        {
            self.fail(path, Some(stamp), asked, false, reason, None);
            return;
        }
        self.read.push(Source {
            path: path.to_owned(),
            stamp: Some(stamp),
            digest,
            lists: lists.into_iter().map(Arc::new).collect(),
        });
    }

    /// Says so if the newest list of an issuer is older than the one in force: what was revoked since would be good again.
    fn older(&self, before: &[Arc<Crl>], lists: &[Crl]) -> Option<String> {
        let now = now();
        let date = |list: &Crl| {
            Timestamp::from_second(list.this_update)
                .map_or_else(|_| "another time".to_owned(), |time| time.to_string())
        };
        for old in before {
            let mut like = lists.iter().filter(|list| list.is_like(old)).peekable();
            let is_replaced = like.peek().is_some();
            if is_replaced
                && like.all(|list| list.is_older(old, now))
                && old.signature(self.known.iter()) != Signature::Bad
            {
                return Some(format!(
                    "its CRL of {:?} is older than the one of {} that is in force",
                    old.issuer,
                    date(old)
                ));
            }
        }
        None
    }

    /// Keeps what a file gave before.
    fn fail(
        &mut self,
        path: &Path,
        stamp: Option<Stamp>,
        asked: Asked,
        was_told: bool,
        reason: String,
        block: Option<super::PemBlock>,
    ) {
        let before = self.before.iter().find(|source| source.path == path);
        let kept = before.filter(|before| !before.lists.is_empty());
        let mut fault = match kept {
            Some(_) => LoadFault::file(
                path,
                format!("{reason}; the CRL that was read from it before stays in force"),
                "get this CRL again, as PEM or DER",
            )
            .kept(),
            None => LoadFault::file(path, reason, "get this CRL again, as PEM or DER"),
        };
        if asked == Asked::InDirectory {
            fault = fault.warning();
        }
        if let Some(block) = block {
            fault = fault.in_block(&block);
        }
        if !was_told {
            self.faults.push(fault);
        }
        self.read.push(Source {
            path: path.to_owned(),
            stamp,
            digest: kept.map_or([0; 32], |kept| kept.digest),
            lists: kept.map(|kept| kept.lists.clone()).unwrap_or_default(),
        });
    }
}

fn read_whole(path: &Path, kind: &Metadata) -> Result<Vec<u8>, String> {
    if !kind.is_file() {
        return Err("is not a file".to_owned());
    }
    if kind.len() > MAX_FILE_BYTES {
        return Err("is larger than 512 MiB".to_owned());
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut octets = Vec::with_capacity(usize::try_from(kind.len()).unwrap_or(0));
        // It may grow while it is read.
        let file = fs::File::open(path)?;
        file.take(MAX_FILE_BYTES).read_to_end(&mut octets)?;
        Ok(octets)
    };
    read().map_err(|e| store::io_reason(&e))
}
