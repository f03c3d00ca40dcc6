//! Goes through a B-tree from its root and gives its pairs in the order of keys.
//!
//! What the tree says is held against what else the file says: each page is met once, leaves are chained in the order of
//! the tree, keys ascend, and a page that is in use is met at all. So a damaged file is told from one with fewer records.
//! No page is read more than twice; in memory are one page of each level of the tree and two bits for every page.

use std::io;

use super::Fault;
use super::meta::{META_OCTETS, Meta};
use super::page::{Damage, FREE, Item, KIND_OCTETS, Kind, Page, kind_of};
use crate::store::Flow;
use crate::store::encoding::{ByteOrder, MAX_OCTETS};

/// Where the octets of a file come from.
pub(super) trait Source {
    /// How many there are.
    fn length(&self) -> u64;

    /// Fills `into` with those from `at` on.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

/// A key and its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    /// `None` for one that is longer than [`MAX_OCTETS`].
    pub(super) value: Option<&'a [u8]>,
    /// Octets of the value.
    pub(super) length: usize,
}

/// Gives every pair of the file, in the order of keys.
pub(super) fn walk(
    source: &dyn Source,
    take: &mut dyn FnMut(&Entry<'_>, ByteOrder) -> Flow,
) -> Result<(), Fault> {
    let length = source.length();
    let mut octets = vec![0; META_OCTETS.min(usize::try_from(length).unwrap_or(META_OCTETS))];
    source.read(0, &mut octets)?;
    let meta = Meta::parse(&octets)?;
    meta.check_length(length)?;
    let mut walk = Walk {
        source,
        meta,
        met: PageSet::new(meta.last_page),
        shared: PageSet::new(meta.last_page),
        leaf: None,
        last_key: None,
        floor: None,
    };
    walk.met.insert(0);
    if walk.tree(take)? == Flow::More {
        walk.the_rest()?;
    }
    Ok(())
}

struct Walk<'a> {
    source: &'a dyn Source,
    meta: Meta,
    met: PageSet,
    /// Where long keys begin that inner pages refer to: such a key has one chain of pages for all who refer to it, a leaf
    /// perhaps among them.
    shared: PageSet,
    /// The last leaf, and the one that it says comes next.
    leaf: Option<(u32, u32)>,
    last_key: Option<Vec<u8>>,
    /// No key to come may be below this one.
    floor: Option<Vec<u8>>,
}

impl Walk<'_> {
    fn tree(&mut self, take: &mut dyn FnMut(&Entry<'_>, ByteOrder) -> Flow) -> Result<Flow, Fault> {
        let root = self.page(self.meta.root)?;
        // Each level is one below the last, so there are never more than 255 pages.
        let mut inner: Vec<(Page, usize)> = Vec::new();
        let mut next = Some(root);
        loop {
            if let Some(page) = next.take() {
                match page.kind {
                    Kind::Inner if page.level > 1 => inner.push((page, 0)),
                    Kind::Leaf if page.level == 1 => {
                        if self.leaf(&page, take)? == Flow::Enough {
                            return Ok(Flow::Enough);
                        }
                    }
                    Kind::Inner | Kind::Leaf | Kind::Overflow => {
                        return Err(damaged(page.number, Damage::Kind(page.kind_number())));
                    }
                }
            }
            let Some((page, index)) = inner.last_mut() else {
                break;
            };
            if *index == page.entries() {
                inner.pop();
                continue;
            }
            let (child, key) = page.child(*index).map_err(|d| damaged(page.number, d))?;
            // The first key of an inner page counts for nothing.
            if *index > 0 {
                self.separator(page.number, key)?;
            } else if let Item::Elsewhere { page, .. } = key {
                self.share(page)?;
            }
            *index += 1;
            let expected = page.level - 1;
            let below = self.page(child)?;
            if below.level != expected {
                let found = below.level;
                return Err(damaged(child, Damage::Level { found, expected }));
            }
            next = Some(below);
        }
        match self.leaf {
            Some((leaf, found)) if found != 0 => {
                Err(damaged(leaf, Damage::Next { found, expected: 0 }))
            }
            _ => Ok(Flow::More),
        }
    }

    /// A key of an inner page: the keys so far are below it, those to come are not.
    fn separator(&mut self, page: u32, key: Item<'_>) -> Result<(), Fault> {
        match key {
            Item::Here(key) => {
                if self.last_key.as_deref().is_some_and(|last| last >= key) {
                    return Err(damaged(page, Damage::KeyOrder));
                }
                self.floor = Some(key.to_vec());
                Ok(())
            }
            Item::Elsewhere { page, .. } => self.share(page),
        }
    }

    fn share(&mut self, page: u32) -> Result<(), Fault> {
        self.in_file(page)?;
        self.shared.insert(page);
        Ok(())
    }

    fn leaf(
        &mut self,
        page: &Page,
        take: &mut dyn FnMut(&Entry<'_>, ByteOrder) -> Flow,
    ) -> Result<Flow, Fault> {
        let here = |damage| damaged(page.number, damage);
        let (before, found) = self.leaf.unwrap_or((0, page.number));
        if found != page.number {
            let expected = page.number;
            return Err(damaged(before, Damage::Next { found, expected }));
        }
        check_previous(page, before)?;
        self.leaf = Some((page.number, page.next));
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for index in (0..page.entries()).step_by(2) {
            let (item, _) = page.leaf_item(index).map_err(here)?;
            if let Item::Elsewhere { length, .. } = item
                && length as usize > MAX_OCTETS
            {
                return Err(here(Damage::LongKey(length)));
            }
            self.fetch(page.number, item, &mut key)?;
            let above_floor = self.floor.as_ref().is_none_or(|floor| *floor <= key);
            let ascends = self.last_key.as_ref().is_none_or(|last| *last < key);
            if !(above_floor && ascends) {
                return Err(here(Damage::KeyOrder));
            }
            self.floor = None;
            let (item, deleted) = page.leaf_item(index + 1).map_err(here)?;
            let length = self.fetch(page.number, item, &mut value)?;
            if !deleted {
                let entry = Entry {
                    key: &key,
                    value: (length <= MAX_OCTETS).then_some(&value),
                    length,
                };
                if take(&entry, self.meta.order) == Flow::Enough {
                    return Ok(Flow::Enough);
                }
            }
            std::mem::swap(self.last_key.get_or_insert_default(), &mut key);
        }
        Ok(Flow::More)
    }

    /// Puts an item of this page into `into` and says how long it is; of one that is too long, only that.
    fn fetch(&mut self, page: u32, item: Item<'_>, into: &mut Vec<u8>) -> Result<usize, Fault> {
        into.clear();
        match item {
            Item::Here(octets) => {
                into.extend_from_slice(octets);
                Ok(octets.len())
            }
            Item::Elsewhere {
                page: first,
                length,
            } => {
                let keep = length as usize <= MAX_OCTETS;
                let found = self.chain(first, &mut |part| {
                    if keep {
                        into.extend_from_slice(part);
                    }
                    // What is too much is not followed further.
                    into.len() <= length as usize
                })?;
                if found != u64::from(length) {
                    let expected = length;
                    return Err(damaged(page, Damage::LongItem { found, expected }));
                }
                Ok(length as usize)
            }
        }
    }

    /// Follows a chain of overflow pages to its end, or until `part` says that it is enough. Gives the octets of it.
    fn chain(&mut self, first: u32, part: &mut dyn FnMut(&[u8]) -> bool) -> Result<u64, Fault> {
        let (mut previous, mut number, mut found) = (0, first, 0);
        loop {
            let page = self.page(number)?;
            if page.kind != Kind::Overflow {
                return Err(damaged(number, Damage::Kind(page.kind_number())));
            }
            check_previous(&page, previous)?;
            let octets = page.part().map_err(|d| damaged(number, d))?;
            found += octets.len() as u64;
            if !part(octets) || page.next == 0 {
                return Ok(found);
            }
            (previous, number) = (number, page.next);
        }
    }

    /// What the tree has not led to: long keys that only inner pages have, and pages without use.
    fn the_rest(&mut self) -> Result<(), Fault> {
        for number in 1..=self.meta.last_page {
            if self.shared.contains(number) && !self.met.contains(number) {
                self.chain(number, &mut |_| true)?;
            }
        }
        let mut header = [0; KIND_OCTETS];
        for number in 1..=self.meta.last_page {
            if self.met.contains(number) {
                continue;
            }
            self.source.read(self.position(number), &mut header)?;
            match kind_of(&header) {
                Some(FREE) => {}
                Some(other) => return Err(damaged(number, Damage::Unreached(other))),
                None => return Err(damaged(number, Damage::CutOff)),
            }
        }
        Ok(())
    }

    /// Reads a page that was not met before.
    fn page(&mut self, number: u32) -> Result<Page, Fault> {
        self.in_file(number)?;
        if !self.met.insert(number) {
            return Err(damaged(number, Damage::Twice));
        }
        let mut octets = vec![0; self.meta.page_size];
        self.source.read(self.position(number), &mut octets)?;
        Page::parse(number, octets, &self.meta).map_err(|d| damaged(number, d))
    }

    fn in_file(&self, number: u32) -> Result<(), Fault> {
        let last = self.meta.last_page;
        if number <= last {
            Ok(())
        } else {
            Err(damaged(number, Damage::Beyond { last }))
        }
    }

    fn position(&self, number: u32) -> u64 {
        u64::from(number) * self.meta.page_size as u64
    }
}

fn check_previous(page: &Page, expected: u32) -> Result<(), Fault> {
    let found = page.previous;
    if found == expected {
        return Ok(());
    }
    Err(damaged(page.number, Damage::Previous { found, expected }))
}

fn damaged(page: u32, damage: Damage) -> Fault {
    Fault::Damaged { page, damage }
}

/// A set of pages, one bit for each.
struct PageSet(Vec<u64>);

impl PageSet {
    fn new(last: u32) -> Self {
        Self(vec![0; last as usize / 64 + 1])
    }

    fn contains(&self, page: u32) -> bool {
        self.0
            .get(page as usize / 64)
            .is_some_and(|word| word & (1 << (page % 64)) != 0)
    }

    /// Whether it was not there before.
    fn insert(&mut self, page: u32) -> bool {
        let added = !self.contains(page);
        if let Some(word) = self.0.get_mut(page as usize / 64) {
            *word |= 1 << (page % 64);
        }
        added
    }
}
