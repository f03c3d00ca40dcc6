//! One page of a B-tree: its header, its checksum, and the items in it. Pure.
//!
//! A page is a header, an array of offsets that grows upwards, and items that grow downwards from the end. Berkeley DB
//! keeps items without gaps between them; a page where they overlap, leave gaps or reach out of it is damaged. That also
//! finds a number of items that is a lie.

use super::meta::Meta;
use crate::store::encoding::ByteOrder;

/// What is wrong with a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Octets are missing.
    #[error("it is cut off")]
    CutOff,
    /// More or fewer pages than the meta page says.
    #[error("the file has {found} octets, by its meta page it should have {expected}")]
    Length {
        /// Octets there are.
        found: u64,
        /// Octets there should be.
        expected: u64,
    },
    /// No page size of Berkeley DB.
    #[error("page size {0}; expected a power of two from 512 to 65536")]
    PageSize(u32),
    /// The checksum does not match.
    #[error("wrong checksum")]
    Checksum,
    /// A type of page that has no business here.
    #[error("page type {0} in the wrong place")]
    Kind(u8),
    /// The page says that it is another.
    #[error("it says that it is page {0}")]
    Misplaced(u32),
    /// Another level of the tree than the place where it hangs.
    #[error("level {found} of the tree; expected {expected}")]
    Level {
        /// What the page says.
        found: u8,
        /// What its parent makes it.
        expected: u8,
    },
    /// Items that overlap, leave gaps or reach out.
    #[error("its items do not fill it without gaps")]
    Items,
    /// A key without a value.
    #[error("{0} items; expected pairs of a key and a value")]
    Unpaired(usize),
    /// An inner page without pages below it.
    #[error("an inner page with nothing below it")]
    Barren,
    /// An item of a type that repro's files do not have.
    #[error("item type {0}")]
    ItemType(u8),
    /// A page that is met again.
    #[error("it is met twice")]
    Twice,
    /// A page that does not exist.
    #[error("it is referred to, but the last page is {last}")]
    Beyond {
        /// The last page.
        last: u32,
    },
    /// A chain of pages that is broken backwards.
    #[error("the page before it is {found}; expected {expected}")]
    Previous {
        /// What the page says; 0 is none.
        found: u32,
        /// The page from which we came to it.
        expected: u32,
    },
    /// A chain of leaves in another order than the tree.
    #[error("the leaf after it is {found}; by the tree it is {expected}")]
    Next {
        /// What the page says; 0 is none.
        found: u32,
        /// Where the tree goes on.
        expected: u32,
    },
    /// Keys that do not ascend.
    #[error("its keys do not ascend")]
    KeyOrder,
    /// A key that repro cannot have written.
    #[error("a key of {0} octets")]
    LongKey(u32),
    /// A long item whose pages do not add up.
    #[error("a long item of {expected} octets has {found} on its pages")]
    LongItem {
        /// Octets on pages, as far as they were followed.
        found: u64,
        /// Octets by the item.
        expected: u32,
    },
    /// A page that holds something and belongs to nothing.
    #[error("it is in use (type {0}), but the tree does not lead to it: records are missing")]
    Unreached(u8),
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys and the pages below them.
    Inner,
    /// Keys and values.
    Leaf,
    /// A part of a long key or value.
    Overflow,
}

/// Page type of a page without use.
pub(super) const FREE: u8 = 0;

// Where things stand in a page.
const NUMBER: usize = 8;
const PREVIOUS: usize = 12;
const NEXT: usize = 16;
const ENTRIES: usize = 20;
/// Where items begin; on an overflow page, how many octets it has.
const FILL: usize = 22;
const LEVEL: usize = 24;
const TYPE: usize = 25;
/// Octets before the offsets of the items, and with a checksum.
const HEADER: usize = 26;
const HEADER_WITH_CHECKSUM: usize = 32;
const CHECKSUM: usize = 28;

// Where things stand in an item, and what types there are.
const ITEM_TYPE: usize = 2;
const LEAF_DATA: usize = 3;
const INNER_PAGE: usize = 4;
const INNER_DATA: usize = 12;
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;
const DELETED: u8 = 0x80;
/// Octets of an item that is elsewhere: page and length are the last eight.
const REFERENCE: usize = 12;

/// A page whose header and layout are right.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) level: u8,
    pub(super) previous: u32,
    pub(super) next: u32,
    octets: Vec<u8>,
    order: ByteOrder,
    entries: usize,
    /// As in the page; see [`FILL`].
    fill: usize,
    header: usize,
}

/// A key or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// It is here.
    Here(&'a [u8]),
    /// It is on overflow pages.
    Elsewhere { page: u32, length: u32 },
}

/// Type of the page in these octets; those of the header are enough.
pub(super) fn kind_of(octets: &[u8]) -> Option<u8> {
    octets.get(TYPE).copied()
}

/// Octets at the front of a page that [`kind_of`] needs.
pub(super) const KIND_OCTETS: usize = HEADER;

impl Page {
    /// Checks the octets of page `number`.
    pub(super) fn parse(number: u32, octets: Vec<u8>, meta: &Meta) -> Result<Self, Damage> {
        let order = meta.order;
        if meta.checksums && order.u32_at(&octets, CHECKSUM) != Some(checksum(&octets, CHECKSUM)) {
            return Err(Damage::Checksum);
        }
        let u32_at = |at| order.u32_at(&octets, at).ok_or(Damage::CutOff);
        let u16_at = |at| order.u16_at(&octets, at).ok_or(Damage::CutOff);
        let kind = match kind_of(&octets).ok_or(Damage::CutOff)? {
            3 => Kind::Inner,
            5 => Kind::Leaf,
            7 => Kind::Overflow,
            other => return Err(Damage::Kind(other)),
        };
        if u32_at(NUMBER)? != number {
            return Err(Damage::Misplaced(u32_at(NUMBER)?));
        }
        let page = Self {
            number,
            kind,
            level: *octets.get(LEVEL).ok_or(Damage::CutOff)?,
            previous: u32_at(PREVIOUS)?,
            next: u32_at(NEXT)?,
            entries: usize::from(u16_at(ENTRIES)?),
            fill: usize::from(u16_at(FILL)?),
            header: if meta.checksums {
                HEADER_WITH_CHECKSUM
            } else {
                HEADER
            },
            order,
            octets,
        };
        match kind {
            Kind::Overflow => {
                page.part()?;
            }
            Kind::Leaf | Kind::Inner => page.check_items()?,
        }
        Ok(page)
    }

    /// Its type, as the page has it.
    pub(super) fn kind_number(&self) -> u8 {
        kind_of(&self.octets).unwrap_or(FREE)
    }

    /// Number of items; on a leaf, keys and values both count.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Key or value `index` of a leaf, and whether it was deleted.
    pub(super) fn leaf_item(&self, index: usize) -> Result<(Item<'_>, bool), Damage> {
        let item = self.item(index)?;
        let kind = *item.get(ITEM_TYPE).ok_or(Damage::Items)?;
        let deleted = kind & DELETED != 0;
        let item = match kind & !DELETED {
            HERE => {
                let length = usize::from(self.order.u16_at(item, 0).ok_or(Damage::Items)?);
                let octets = item.get(LEAF_DATA..).and_then(|rest| rest.get(..length));
                Item::Here(octets.ok_or(Damage::Items)?)
            }
            ELSEWHERE => self.reference(item)?,
            other => return Err(Damage::ItemType(other)),
        };
        Ok((item, deleted))
    }

    /// Entry `index` of an inner page: a page, and the key that none of its keys is below.
    pub(super) fn child(&self, index: usize) -> Result<(u32, Item<'_>), Damage> {
        let item = self.item(index)?;
        let length = usize::from(self.order.u16_at(item, 0).ok_or(Damage::Items)?);
        let data = item.get(INNER_DATA..).and_then(|rest| rest.get(..length));
        let data = data.ok_or(Damage::Items)?;
        let key = match item.get(ITEM_TYPE) {
            Some(&HERE) => Item::Here(data),
            Some(&ELSEWHERE) if length == REFERENCE => self.reference(data)?,
            Some(&other) => return Err(Damage::ItemType(other)),
            None => return Err(Damage::Items),
        };
        let page = self.order.u32_at(item, INNER_PAGE).ok_or(Damage::Items)?;
        Ok((page, key))
    }

    /// What an overflow page has of its item.
    pub(super) fn part(&self) -> Result<&[u8], Damage> {
        self.octets
            .get(self.header..)
            .and_then(|rest| rest.get(..self.fill))
            .filter(|part| !part.is_empty())
            .ok_or(Damage::Items)
    }

    fn reference(&self, item: &[u8]) -> Result<Item<'_>, Damage> {
        Ok(Item::Elsewhere {
            page: self.order.u32_at(item, 4).ok_or(Damage::Items)?,
            length: self.order.u32_at(item, 8).ok_or(Damage::Items)?,
        })
    }

    /// The octets from where item `index` begins to the end of the page.
    fn item(&self, index: usize) -> Result<&[u8], Damage> {
        let at = self.offset(index).ok_or(Damage::Items)?;
        self.octets.get(at..).ok_or(Damage::Items)
    }

    fn offset(&self, index: usize) -> Option<usize> {
        if index >= self.entries {
            return None;
        }
        let at = self.header.checked_add(index.checked_mul(2)?)?;
        self.order.u16_at(&self.octets, at).map(usize::from)
    }

    /// Octets that item `index` takes, with those that round it up to four.
    fn size(&self, index: usize) -> Result<usize, Damage> {
        let size = match self.kind {
            Kind::Leaf => match self.leaf_item(index)?.0 {
                Item::Here(octets) => LEAF_DATA + octets.len(),
                Item::Elsewhere { .. } => REFERENCE,
            },
            Kind::Inner | Kind::Overflow => match self.child(index)?.1 {
                Item::Here(octets) => INNER_DATA + octets.len(),
                Item::Elsewhere { .. } => INNER_DATA + REFERENCE,
            },
        };
        Ok(size.next_multiple_of(4))
    }

    fn check_items(&self) -> Result<(), Damage> {
        match self.kind {
            Kind::Leaf if !self.entries.is_multiple_of(2) => {
                return Err(Damage::Unpaired(self.entries));
            }
            Kind::Inner if self.entries == 0 => return Err(Damage::Barren),
            _ => {}
        }
        // On a page of 65536 octets without items, this number has no room for where they would begin.
        let items_begin = match self.fill {
            0 if self.octets.len() == 65536 => 65536,
            fill => fill,
        };
        if items_begin < self.header + 2 * self.entries {
            return Err(Damage::Items);
        }
        let mut spans = Vec::with_capacity(self.entries);
        for index in 0..self.entries {
            let at = self.offset(index).ok_or(Damage::Items)?;
            spans.push((at, self.size(index)?));
        }
        spans.sort_unstable();
        let mut end = items_begin;
        for (at, size) in spans {
            if at != end {
                return Err(Damage::Items);
            }
            end += size;
        }
        if end == self.octets.len() {
            Ok(())
        } else {
            Err(Damage::Items)
        }
    }
}

/// The checksum of octets, those of the checksum itself (four at `at`) taken as zero: a polynomial in 33.
pub(super) fn checksum(octets: &[u8], at: usize) -> u32 {
    let own = at..at.saturating_add(4);
    octets.iter().enumerate().fold(0_u32, |sum, (at, octet)| {
        let octet = if own.contains(&at) { 0 } else { *octet };
        sum.wrapping_mul(33).wrapping_add(u32::from(octet))
    })
}
