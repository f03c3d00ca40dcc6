//! The first page of a Berkeley DB file: what kind of file it is, and how its pages are to be read. Pure.

use super::Fault;
use super::page::{Damage, checksum};
use crate::store::encoding::ByteOrder;

/// Octets of a meta page that mean something; the rest of the page is empty.
pub(super) const META_OCTETS: usize = 512;

const BTREE: u32 = 0x0005_3162;
const HASH: u32 = 0x0006_1561;
const QUEUE: u32 = 0x0004_2253;
const HEAP: u32 = 0x0007_4582;

/// Versions of the B-tree that differ in nothing that we read: Berkeley DB 3.1 to 18.
const VERSIONS: std::ops::RangeInclusive<u32> = 8..=10;
/// Page type of the meta page of a B-tree.
const META_PAGE: u8 = 9;

// Where things stand in the page.
const PAGE_NUMBER: usize = 8;
const MAGIC: usize = 12;
const VERSION: usize = 16;
const PAGE_SIZE: usize = 20;
const CIPHER: usize = 24;
const PAGE_TYPE: usize = 25;
const META_FLAGS: usize = 26;
const LAST_PAGE: usize = 32;
const FLAGS: usize = 48;
const ROOT: usize = 88;
const CHECKSUM: usize = 492;

/// Flag of a meta page: pages have checksums. Those beyond it are about partitions.
const HAS_CHECKSUMS: u8 = 1;

// Flags of a B-tree.
const DUPLICATES: u32 = 0x01;
const RECNO: u32 = 0x02;
const SUBDATABASES: u32 = 0x20;
const SORTED_DUPLICATES: u32 = 0x40;

/// A file that is no B-tree as repro writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// A directory, a pipe.
    #[error("not a regular file")]
    NotAFile,
    /// Nothing in it.
    #[error("an empty file; expected a Berkeley DB B-tree")]
    Empty,
    /// The text that `db_dump` makes.
    #[error("the text of a db_dump, which is read as a dump; expected a Berkeley DB B-tree")]
    Dump,
    /// What came after Berkeley DB.
    #[error("an SQLite data base; expected a Berkeley DB B-tree")]
    Sqlite,
    /// Another access method.
    #[error("a Berkeley DB hash file; expected a B-tree")]
    Hash,
    /// Another access method.
    #[error("a Berkeley DB queue file; expected a B-tree")]
    Queue,
    /// Another access method.
    #[error("a Berkeley DB heap file; expected a B-tree")]
    Heap,
    /// Another access method.
    #[error("a Berkeley DB recno file, as repro's queues are; expected a B-tree")]
    Recno,
    /// Anything.
    #[error("not a Berkeley DB file; expected a B-tree")]
    Unknown,
    /// Too old or too new.
    #[error(
        "a Berkeley DB B-tree of version {0}; 8 to 10 are read. Make a dump of it with the db_dump of its Berkeley DB"
    )]
    Version(u32),
    /// Encrypted.
    #[error("an encrypted Berkeley DB file; make a dump of it with db_dump -P")]
    Encrypted,
    /// Several values to a key.
    #[error(
        "a Berkeley DB B-tree with duplicate keys, as the *_idx1.db files are; expected a table"
    )]
    Duplicates,
    /// Several data bases in one file.
    #[error("a Berkeley DB file with named data bases; expected one B-tree without a name")]
    Subdatabases,
    /// Partitions, compression, counted records.
    #[error("a Berkeley DB file of an unusual kind (flags {0:#x}); expected a plain B-tree")]
    Unusual(u32),
}

/// How the pages of a file are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    /// Of all its numbers.
    pub(super) order: ByteOrder,
    /// A power of two from 512 to 65536.
    pub(super) page_size: usize,
    /// Number of the last page.
    pub(super) last_page: u32,
    /// The page where the tree begins.
    pub(super) root: u32,
    /// Whether pages have checksums.
    pub(super) checksums: bool,
}

impl Meta {
    /// Reads the first [`META_OCTETS`] octets of a file, or all where it has fewer.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, Fault> {
        let order = byte_order(octets)?;
        let damaged = |damage| Fault::Damaged { page: 0, damage };
        let u32_at = |at| {
            order
                .u32_at(octets, at)
                .ok_or_else(|| damaged(Damage::CutOff))
        };
        let u8_at = |at| {
            octets
                .get(at)
                .copied()
                .ok_or_else(|| damaged(Damage::CutOff))
        };

        let version = u32_at(VERSION)?;
        if !VERSIONS.contains(&version) {
            return Err(Foreign::Version(version).into());
        }
        if u8_at(CIPHER)? != 0 {
            return Err(Foreign::Encrypted.into());
        }
        if octets.len() < META_OCTETS {
            return Err(damaged(Damage::CutOff));
        }
        let meta_flags = u8_at(META_FLAGS)?;
        let checksums = meta_flags & HAS_CHECKSUMS != 0;
        // Before anything else is believed.
        if checksums && u32_at(CHECKSUM)? != checksum(octets, CHECKSUM) {
            return Err(damaged(Damage::Checksum));
        }
        if meta_flags & !HAS_CHECKSUMS != 0 {
            return Err(Foreign::Unusual(u32::from(meta_flags)).into());
        }
        let flags = u32_at(FLAGS)?;
        if flags & RECNO != 0 {
            return Err(Foreign::Recno.into());
        }
        if flags & (DUPLICATES | SORTED_DUPLICATES) != 0 {
            return Err(Foreign::Duplicates.into());
        }
        if flags & SUBDATABASES != 0 {
            return Err(Foreign::Subdatabases.into());
        }
        if flags != 0 {
            return Err(Foreign::Unusual(flags).into());
        }
        if u8_at(PAGE_TYPE)? != META_PAGE {
            return Err(damaged(Damage::Kind(u8_at(PAGE_TYPE)?)));
        }
        if u32_at(PAGE_NUMBER)? != 0 {
            return Err(damaged(Damage::Misplaced(u32_at(PAGE_NUMBER)?)));
        }
        let page_size = u32_at(PAGE_SIZE)?;
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(damaged(Damage::PageSize(page_size)));
        }
        Ok(Self {
            order,
            page_size: page_size as usize,
            last_page: u32_at(LAST_PAGE)?,
            root: u32_at(ROOT)?,
            checksums,
        })
    }

    /// Whether a file of this length ends with its last page.
    pub(super) fn check_length(&self, length: u64) -> Result<(), Fault> {
        let expected = (u64::from(self.last_page) + 1) * self.page_size as u64;
        if length == expected {
            return Ok(());
        }
        Err(Fault::Damaged {
            page: 0,
            damage: Damage::Length {
                found: length,
                expected,
            },
        })
    }
}

/// The byte order in which the magic number is that of a B-tree.
fn byte_order(octets: &[u8]) -> Result<ByteOrder, Foreign> {
    if octets.is_empty() {
        return Err(Foreign::Empty);
    }
    if octets.starts_with(b"VERSION=") {
        return Err(Foreign::Dump);
    }
    if octets.starts_with(b"SQLite format 3\0") {
        return Err(Foreign::Sqlite);
    }
    for order in [ByteOrder::Little, ByteOrder::Big] {
        match order.u32_at(octets, MAGIC) {
            Some(BTREE) => return Ok(order),
            Some(HASH) => return Err(Foreign::Hash),
            Some(QUEUE) => return Err(Foreign::Queue),
            Some(HEAP) => return Err(Foreign::Heap),
            _ => {}
        }
    }
    Err(Foreign::Unknown)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that cannot go on says so by panicking"
    )]

    use super::*;

    /// As Berkeley DB 5.3 writes it.
    fn octets() -> Vec<u8> {
        let mut octets = vec![0; META_OCTETS];
        octets[MAGIC..][..4].copy_from_slice(&BTREE.to_le_bytes());
        octets[VERSION] = 9;
        octets[PAGE_SIZE + 1] = 16;
        octets[PAGE_TYPE] = META_PAGE;
        octets[LAST_PAGE] = 7;
        octets[ROOT] = 1;
        octets
    }

    #[test]
    fn a_meta_page_says_how_to_read_the_others() {
        let meta = Meta::parse(&octets()).unwrap();
        assert_eq!(
            meta,
            Meta {
                order: ByteOrder::Little,
                page_size: 4096,
                last_page: 7,
                root: 1,
                checksums: false,
            }
        );
        assert!(meta.check_length(8 * 4096).is_ok());
        assert!(meta.check_length(9 * 4096).is_err());
        assert!(meta.check_length(8 * 4096 - 1).is_err());
    }

    #[test]
    fn another_file_is_called_by_its_name() {
        let with = |at: usize, value: &[u8]| {
            let mut octets = octets();
            octets[at..][..value.len()].copy_from_slice(value);
            octets
        };
        for (file, expected) in [
            (vec![], "an empty file"),
            (b"VERSION=3\n".to_vec(), "the text of a db_dump"),
            (b"SQLite format 3\0".to_vec(), "an SQLite data base"),
            (b"bob:x".to_vec(), "not a Berkeley DB file"),
            (with(MAGIC, &HASH.to_le_bytes()), "a Berkeley DB hash file"),
            (with(MAGIC, &HASH.to_be_bytes()), "a Berkeley DB hash file"),
            (with(MAGIC, &QUEUE.to_le_bytes()), "a Berkeley DB queue"),
            (with(MAGIC, &HEAP.to_le_bytes()), "a Berkeley DB heap file"),
            (with(VERSION, &[7]), "a Berkeley DB B-tree of version 7"),
            (with(VERSION, &[11]), "a Berkeley DB B-tree of version 11"),
            (with(CIPHER, &[1]), "an encrypted"),
            (with(META_FLAGS, &[2]), "a Berkeley DB file of an unusual"),
            (with(FLAGS, &[0x01]), "a Berkeley DB B-tree with duplicate"),
            (with(FLAGS, &[0x41]), "a Berkeley DB B-tree with duplicate"),
            (with(FLAGS, &[0x12]), "a Berkeley DB recno file"),
            (with(FLAGS, &[0x20]), "a Berkeley DB file with named data"),
            (with(FLAGS, &[0x80]), "a Berkeley DB file of an unusual"),
        ] {
            let fault = Meta::parse(&file).unwrap_err();
            assert!(matches!(fault, Fault::Foreign(_)), "{fault:?}");
            assert!(fault.to_string().starts_with(expected), "{fault}");
        }
    }

    #[test]
    fn a_meta_page_that_cannot_be_is_damage() {
        let with = |at: usize, value: u8| {
            let mut octets = octets();
            octets[at] = value;
            octets
        };
        for (file, expected) in [
            (octets()[..511].to_vec(), Damage::CutOff),
            (octets()[..16].to_vec(), Damage::CutOff),
            (with(PAGE_SIZE, 1), Damage::PageSize(4097)),
            (with(PAGE_SIZE + 2, 2), Damage::PageSize(0x0002_1000)),
            (with(PAGE_TYPE, 5), Damage::Kind(5)),
            (with(PAGE_NUMBER, 1), Damage::Misplaced(1)),
            (with(META_FLAGS, 1), Damage::Checksum),
        ] {
            match Meta::parse(&file) {
                Err(Fault::Damaged { page: 0, damage }) if damage == expected => {}
                other => assert_eq!(format!("{other:?}"), format!("{expected:?}")),
            }
        }
    }
}
