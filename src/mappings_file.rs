//! The mappings file: read whole, and seen when it is another.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::auth::{AuthOptions, MappingFault, Mappings};
use crate::server::Fault;

/// What a file is known by without reading it. Whoever writes it changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileMark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileMark {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a mappings file says.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) mappings: Mappings,
    /// Lines that are not used, because a setting allows to go on without them.
    pub(crate) unused: Vec<MappingFault>,
    /// What the file was before it was read; `None` if none is configured.
    pub(crate) mark: Option<FileMark>,
}

/// Reads the file that the options name, if they name one.
pub(crate) fn load(options: &AuthOptions) -> Result<Read, Vec<Fault>> {
    let Some(path) = &options.mappings_file else {
        return Ok(Read::default());
    };
    let (mark, text) = read(path).map_err(|source| {
        vec![Fault::MappingsUnreadable {
            path: path.clone(),
            source,
        }]
    })?;
    let (mappings, unused) = Mappings::parse(&text, &path.display().to_string());
    if !unused.is_empty() && !options.mappings_ignore_bad_lines {
        return Err(unused.into_iter().map(Fault::Mapping).collect());
    }
    Ok(Read {
        mappings,
        unused,
        mark: Some(mark),
    })
}

fn read(path: &Path) -> io::Result<(FileMark, Vec<u8>)> {
    // A reload waits for this file, so it must not be one that somebody else has to write first.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok((FileMark::of(&metadata), fs::read(path)?))
}

/// What a look at the file has shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is the one in force, or one that was refused, or has just changed and may change further.
    Nothing,
    /// It is another, and was the same at the look before; `None`: it is not there.
    Settled(Option<FileMark>),
}

/// Looks until a file is tried again that could not be put in force.
const POSTPONED_LOOKS: u32 = 20;

/// Follows the changes of the file.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// What it was at the last look.
    last: Option<Option<FileMark>>,
    /// What it was when it could not be used, which was told, and for how many looks it is left alone.
    refused: Option<(Option<FileMark>, u32)>,
    /// Mappings that are in force no more, until no worker has them: letting go of 100,000 entries takes its time.
    retired: Vec<Arc<Mappings>>,
}

impl Follower {
    /// Looks at the file. Whoever writes it in place is not disturbed in the middle of that: it has to be the same twice.
    pub(crate) fn look(&mut self, path: &Path, in_force: Option<FileMark>) -> Look {
        let now = fs::metadata(path).ok().map(|own| FileMark::of(&own));
        let before = self.last.replace(now);
        if now == in_force {
            self.refused = None;
            return Look::Nothing;
        }
        if before != Some(now) {
            return Look::Nothing;
        }
        match &mut self.refused {
            Some((refused, looks)) if *refused == now && *looks > 0 => {
                *looks -= 1;
                Look::Nothing
            }
            _ => Look::Settled(now),
        }
    }

    /// The file as it is cannot be used: nothing is to be tried until it is another.
    pub(crate) fn refused(&mut self, mark: Option<FileMark>) {
        self.refused = Some((mark, u32::MAX));
    }

    /// The file is good, but cannot be put in force now: it is to be tried again some looks later.
    pub(crate) fn postponed(&mut self, mark: Option<FileMark>) {
        self.refused = Some((mark, POSTPONED_LOOKS));
    }

    /// Keeps mappings that are not in force any more until nobody else has them.
    pub(crate) fn retire(&mut self, mappings: &Arc<Mappings>) {
        self.retired.push(Arc::clone(mappings));
    }

    /// Lets go of what nobody else has any more.
    pub(crate) fn let_go(&mut self) {
        self.retired.retain(|old| Arc::strong_count(old) > 1);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_file_is_taken_up_when_it_is_another_and_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mappings");
        let mut follower = Follower::default();
        let mark = || fs::metadata(&path).ok().map(|own| FileMark::of(&own));
        fs::write(&path, "a\tb.example\n").unwrap();
        let in_force = mark();
        for _ in 0..3 {
            assert_eq!(follower.look(&path, in_force), Look::Nothing, "in force");
        }
        fs::write(&path, "a\tb.example\nc").unwrap();
        assert_eq!(
            follower.look(&path, in_force),
            Look::Nothing,
            "just changed"
        );
        fs::write(&path, "a\tb.example\nc\td.example\n").unwrap();
        assert_eq!(follower.look(&path, in_force), Look::Nothing, "and again");
        assert_eq!(follower.look(&path, in_force), Look::Settled(mark()));
        follower.refused(mark());
        assert_eq!(follower.look(&path, in_force), Look::Nothing, "refused");
        follower.postponed(mark());
        for _ in 0..POSTPONED_LOOKS {
            assert_eq!(follower.look(&path, in_force), Look::Nothing, "postponed");
        }
        assert_eq!(follower.look(&path, in_force), Look::Settled(mark()));
        follower.refused(mark());
        let other = directory.path().join("other");
        fs::write(&other, "a\tb.example\nc\td.example\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(follower.look(&path, in_force), Look::Nothing);
        assert_eq!(follower.look(&path, in_force), Look::Settled(mark()));
        fs::remove_file(&path).unwrap();
        assert_eq!(follower.look(&path, in_force), Look::Nothing);
        assert_eq!(follower.look(&path, in_force), Look::Settled(None));
    }

    #[test]
    fn mappings_are_let_go_of_when_nobody_else_has_them() {
        let mut follower = Follower::default();
        let held = Arc::new(Mappings::default());
        follower.retire(&held);
        follower.let_go();
        assert_eq!(Arc::strong_count(&held), 2);
        drop(held);
        follower.let_go();
        assert!(follower.retired.is_empty());
    }
}
