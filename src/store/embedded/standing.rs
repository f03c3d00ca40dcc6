//! Whether the file that is open is still the store: it may be removed, replaced or written over at any time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::opening::OpenFile;
use super::place::FileId;
use super::{Access, Embedded};
use crate::store::{Displacement, Error};

/// What a file looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: FileId,
    modified: (i64, i64),
    octets: u64,
}

/// What was seen at the last look.
#[derive(Debug)]
pub(super) struct Looked {
    stamp: Option<Stamp>,
    /// It had looked so at the look before.
    is_settled: bool,
}

impl Looked {
    /// The first look: what has just been opened is the store.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            stamp: Stamp::of(path),
            is_settled: true,
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            file: FileId::of(path).ok()?,
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            octets: metadata.len(),
        })
    }
}

impl Embedded {
    /// Looks what has become of the file; `None` if it is the store still. For one who looks again and again: it costs
    /// microseconds as long as the file has not been written.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub fn look(&self) -> Result<Option<Displacement>, Error> {
        let open = self.open.load_full();
        let is_settled = {
            let mut looked = self.lock_looked();
            let stamp = Stamp::of(&self.path);
            looked.is_settled = stamp.is_some() && stamp == looked.stamp;
            looked.stamp = stamp;
            looked.is_settled
        };
        if !is_settled && open.displacement(&self.path).is_none() {
            open.look_whether_overwritten(&self.path)?;
        }
        Ok(open.displacement(&self.path))
    }

    /// Refuses a file that is not the store any more, by what is known of it.
    ///
    /// # Errors
    /// [`Error::Displaced`].
    pub fn require_in_place(&self) -> Result<(), Error> {
        self.open.load().require_in_place(&self.path)
    }

    /// Opens the file that has been put in the place of the one that is open, and uses it from then on; says whether it
    /// did. It does not while somebody still writes that file: two looks in a row have to have seen the same.
    ///
    /// # Errors
    /// It is no store that can be opened; what is open stays so.
    pub fn reopen(&self) -> Result<bool, Error> {
        let open = self.open.load_full();
        if open.displacement(&self.path) != Some(Displacement::Replaced)
            || !self.lock_looked().is_settled
        {
            return Ok(false);
        }
        let fresh = OpenFile::open(&self.path, Access::Existing, Some(&open))?;
        self.open.store(Arc::new(fresh));
        *self.lock_looked() = Looked::at(&self.path);
        Ok(true)
    }

    fn lock_looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
