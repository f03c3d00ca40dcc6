//! Trees made by hand, to have every damage that there is a word for, and what no tool makes at will: deleted items, and
//! values that are longer than any record.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use super::{Damage, Fault, read_octets};
use crate::store::encoding::{ByteOrder, encode};
use crate::store::{Domain, Flow, Record, Table};

const SIZE: usize = 512;
const LEAF: u8 = 5;
const INNER: u8 = 3;
const OVERFLOW: u8 = 7;

/// A page with these items, put in from the end of the page on.
fn page(kind: u8, level: u8, [number, previous, next]: [u32; 3], items: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; SIZE];
    page[8..12].copy_from_slice(&number.to_le_bytes());
    page[12..16].copy_from_slice(&previous.to_le_bytes());
    page[16..20].copy_from_slice(&next.to_le_bytes());
    page[20] = u8::try_from(items.len()).unwrap();
    page[24] = level;
    page[25] = kind;
    let mut end = SIZE;
    for (index, item) in items.iter().enumerate() {
        end -= item.len().next_multiple_of(4);
        page[end..][..item.len()].copy_from_slice(item);
        let at = u16::try_from(end).unwrap().to_le_bytes();
        page[26 + 2 * index..][..2].copy_from_slice(&at);
    }
    page[22..24].copy_from_slice(&u16::try_from(end).unwrap().to_le_bytes());
    page
}

fn item(kind: u8, octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).unwrap().to_le_bytes();
    [&length[..], &[kind], octets].concat()
}

fn elsewhere(page: u32, length: u32) -> Vec<u8> {
    [
        &[0, 0, 3, 0],
        &page.to_le_bytes()[..],
        &length.to_le_bytes(),
    ]
    .concat()
}

fn value(domain: &str) -> Vec<u8> {
    let record = Record::Domain(Domain {
        domain: domain.into(),
        tls_port: 0,
    });
    encode(&record, ByteOrder::Little).unwrap()
}

/// Keys and values of these domains.
fn pairs(domains: &[&str]) -> Vec<Vec<u8>> {
    let pair = |domain: &&str| [item(1, domain.as_bytes()), item(1, &value(domain))];
    domains.iter().flat_map(pair).collect()
}

fn child(page: u32, key: &[u8]) -> Vec<u8> {
    let length = u16::try_from(key.len()).unwrap().to_le_bytes();
    let head = [&length[..], &[1, 0], &page.to_le_bytes(), &[0; 4]].concat();
    [&head, key].concat()
}

fn child_elsewhere(page: u32, first: u32, length: u32) -> Vec<u8> {
    let mut item = child(page, &elsewhere(first, length));
    item[2] = 3;
    item
}

fn overflow([number, previous, next]: [u32; 3], part: &[u8]) -> Vec<u8> {
    let mut page = page(OVERFLOW, 0, [number, previous, next], &[]);
    page[20] = 1;
    page[22..24].copy_from_slice(&u16::try_from(part.len()).unwrap().to_le_bytes());
    page[26..][..part.len()].copy_from_slice(part);
    page
}

/// A file of these pages after its meta page; the first of them is the root.
fn file(pages: &[Vec<u8>]) -> Vec<u8> {
    let mut meta = vec![0; SIZE];
    meta[12..16].copy_from_slice(&0x0005_3162_u32.to_le_bytes());
    meta[16] = 9;
    meta[20..24].copy_from_slice(&u32::try_from(SIZE).unwrap().to_le_bytes());
    meta[25] = 9;
    meta[32..36].copy_from_slice(&u32::try_from(pages.len()).unwrap().to_le_bytes());
    meta[88] = 1;
    [meta, pages.concat()].concat()
}

/// Names of the domains that are read; of a fault, its words.
fn domains(file: &[u8]) -> Result<Vec<String>, (u32, Damage)> {
    let mut found = Vec::new();
    let outcome = read_octets(file, Table::Domain, &mut |record| {
        found.push(record.map_or_else(|fault| fault.why, |decoded| decoded.record.key()));
        Flow::More
    });
    match outcome {
        Ok(()) => Ok(found),
        Err(Fault::Damaged { page, damage }) => Err((page, damage)),
        Err(other) => panic!("{other}"),
    }
}

/// Three leaves below a root.
fn three_leaves() -> Vec<Vec<u8>> {
    vec![
        page(
            INNER,
            2,
            [1, 0, 0],
            &[child(2, b""), child(4, b"c"), child(3, b"e")],
        ),
        page(LEAF, 1, [2, 0, 4], &pairs(&["a", "b"])),
        page(LEAF, 1, [3, 4, 0], &pairs(&["e", "f"])),
        page(LEAF, 1, [4, 2, 3], &pairs(&["c", "d"])),
    ]
}

#[test]
fn a_tree_is_read_in_the_order_of_keys() {
    let found = domains(&file(&three_leaves())).unwrap();
    assert_eq!(found, ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn a_leaf_may_be_empty_and_a_page_without_use() {
    let mut pages = three_leaves();
    pages[3] = page(LEAF, 1, [4, 2, 3], &[]);
    pages.push(page(0, 0, [5, 0, 0], &[]));
    pages.push(vec![0; SIZE]);
    assert_eq!(domains(&file(&pages)).unwrap(), ["a", "b", "e", "f"]);
}

#[test]
fn what_was_deleted_is_not_given() {
    let mut items = pairs(&["a", "b", "c"]);
    items[3][2] |= 0x80;
    let root = page(LEAF, 1, [1, 0, 0], &items);
    assert_eq!(domains(&file(&[root])).unwrap(), ["a", "c"]);
}

#[test]
fn long_items_are_put_together() {
    let name = "n".repeat(700);
    let key = name.as_bytes();
    let stored = value(&name);
    let length = u32::try_from(stored.len()).unwrap();
    let pages = [
        // The key of the leaf is that of the inner page too; another one has only the inner page.
        page(
            INNER,
            2,
            [1, 0, 0],
            &[
                child(2, b""),
                child_elsewhere(3, 4, 700),
                child_elsewhere(8, 9, 486),
            ],
        ),
        page(LEAF, 1, [2, 0, 3], &pairs(&["a"])),
        page(
            LEAF,
            1,
            [3, 2, 8],
            &[elsewhere(4, 700), elsewhere(6, length)],
        ),
        overflow([4, 0, 5], &key[..486]),
        overflow([5, 4, 0], &key[486..]),
        overflow([6, 0, 7], &stored[..486]),
        overflow([7, 6, 0], &stored[486..]),
        page(LEAF, 1, [8, 3, 0], &pairs(&["z"])),
        overflow([9, 0, 0], &[b'q'; 486]),
    ];
    assert_eq!(domains(&file(&pages)).unwrap(), ["a", &name, "z"]);
}

#[test]
fn a_value_that_is_longer_than_any_record_is_a_fault_of_that_record() {
    let parts = 2200;
    let length = parts * 486;
    let items = [pairs(&["a"]), vec![item(1, b"b"), elsewhere(2, length)]].concat();
    let mut pages = vec![page(LEAF, 1, [1, 0, 0], &items)];
    for part in 0..parts {
        let number = part + 2;
        let previous = if part == 0 { 0 } else { number - 1 };
        let next = if part + 1 == parts { 0 } else { number + 1 };
        pages.push(overflow([number, previous, next], &[7; 486]));
    }
    let expected = "1069200 octets; no record of repro has more than 1048576";
    assert_eq!(domains(&file(&pages)).unwrap(), ["a", expected]);
}

#[test]
fn a_tree_that_does_not_fit_together_is_damaged() {
    let root = |items: &[Vec<u8>]| page(INNER, 2, [1, 0, 0], items);
    let with = |index: usize, page: Vec<u8>| {
        let mut pages = three_leaves();
        pages[index] = page;
        pages
    };
    let with_more = |page| [three_leaves(), vec![page]].concat();
    let lone = |items: &[Vec<u8>]| vec![page(LEAF, 1, [1, 0, 0], items)];
    for (situation, pages, number, damage) in [
        (
            "the tree goes in a circle",
            with(0, page(INNER, 3, [1, 0, 0], &[child(1, b"")])),
            1,
            Damage::Twice,
        ),
        (
            "a leaf hangs in two places",
            with(0, root(&[child(2, b""), child(2, b"c")])),
            2,
            Damage::Twice,
        ),
        (
            "a page is not there",
            with(0, root(&[child(2, b""), child(9, b"c")])),
            9,
            Damage::Beyond { last: 4 },
        ),
        (
            "the meta page is in the tree",
            with(0, root(&[child(0, b"")])),
            0,
            Damage::Twice,
        ),
        (
            "a leaf is two levels below its parent",
            with(0, page(INNER, 3, [1, 0, 0], &[child(2, b"")])),
            2,
            Damage::Level {
                found: 1,
                expected: 2,
            },
        ),
        (
            "an inner page on the level of leaves",
            with(0, page(INNER, 1, [1, 0, 0], &[child(2, b"")])),
            1,
            Damage::Kind(INNER),
        ),
        (
            "the root is a part of a value",
            with(0, overflow([1, 0, 0], b"x")),
            1,
            Damage::Kind(OVERFLOW),
        ),
        (
            "the root has no use",
            with(0, page(0, 0, [1, 0, 0], &[])),
            1,
            Damage::Kind(0),
        ),
        (
            "nothing is below the root",
            with(0, root(&[])),
            1,
            Damage::Barren,
        ),
        (
            "the tree has lost a leaf at the end",
            with(0, root(&[child(2, b""), child(4, b"c")])),
            4,
            Damage::Next {
                found: 3,
                expected: 0,
            },
        ),
        (
            "the tree has lost a leaf in the middle",
            with(0, root(&[child(2, b""), child(3, b"e")])),
            2,
            Damage::Next {
                found: 4,
                expected: 3,
            },
        ),
        (
            "a leaf is chained to another one before it",
            with(3, page(LEAF, 1, [4, 1, 3], &pairs(&["c", "d"]))),
            4,
            Damage::Previous {
                found: 1,
                expected: 2,
            },
        ),
        (
            "a leaf is neither in the tree nor in the chain",
            with_more(page(LEAF, 1, [5, 0, 0], &pairs(&["x"]))),
            5,
            Damage::Unreached(LEAF),
        ),
        (
            "a part of a value belongs to none",
            with_more(overflow([5, 0, 0], b"x")),
            5,
            Damage::Unreached(OVERFLOW),
        ),
        (
            "a page in the place of another",
            with(3, page(LEAF, 1, [2, 2, 3], &pairs(&["c", "d"]))),
            4,
            Damage::Misplaced(2),
        ),
        (
            "keys go down in a leaf",
            with(3, page(LEAF, 1, [4, 2, 3], &pairs(&["d", "c"]))),
            4,
            Damage::KeyOrder,
        ),
        (
            "a key is there twice",
            lone(&pairs(&["a", "a"])),
            1,
            Damage::KeyOrder,
        ),
        (
            "keys go down from leaf to leaf",
            with(3, page(LEAF, 1, [4, 2, 3], &pairs(&["cc", "f"]))),
            1,
            Damage::KeyOrder,
        ),
        (
            "a key is below the least of its leaf",
            with(3, page(LEAF, 1, [4, 2, 3], &pairs(&["bb", "d"]))),
            4,
            Damage::KeyOrder,
        ),
        (
            "a key without a value",
            lone(&[item(1, b"a")]),
            1,
            Damage::Unpaired(1),
        ),
        (
            "a value outside of the file of Berkeley DB 6",
            lone(&[item(1, b"a"), item(4, &[0; 40])]),
            1,
            Damage::ItemType(4),
        ),
        (
            "a key that is longer than any record",
            lone(&[elsewhere(2, 2_000_000), item(1, b"v")]),
            1,
            Damage::LongKey(2_000_000),
        ),
        (
            "a long value is not there",
            lone(&[item(1, b"a"), elsewhere(2, 486)]),
            2,
            Damage::Beyond { last: 1 },
        ),
        (
            "a long value has less than it should",
            [
                lone(&[item(1, b"a"), elsewhere(2, 500)]),
                vec![overflow([2, 0, 0], &[1; 486])],
            ]
            .concat(),
            1,
            Damage::LongItem {
                found: 486,
                expected: 500,
            },
        ),
        (
            "a long value goes on after its end",
            [
                lone(&[item(1, b"a"), elsewhere(2, 400)]),
                vec![overflow([2, 0, 2], &[1; 486])],
            ]
            .concat(),
            1,
            Damage::LongItem {
                found: 486,
                expected: 400,
            },
        ),
        (
            "a long value goes in a circle",
            [
                lone(&[item(1, b"a"), elsewhere(2, 5000)]),
                vec![overflow([2, 0, 2], &[1; 486])],
            ]
            .concat(),
            2,
            Damage::Twice,
        ),
        (
            "two keys have one value",
            [
                lone(&[
                    item(1, b"a"),
                    elsewhere(2, 3),
                    item(1, b"b"),
                    elsewhere(2, 3),
                ]),
                vec![overflow([2, 0, 0], b"xyz")],
            ]
            .concat(),
            2,
            Damage::Twice,
        ),
        (
            "a long value begins in the middle of another",
            [
                lone(&[item(1, b"a"), elsewhere(2, 3)]),
                vec![overflow([2, 1, 0], b"xyz")],
            ]
            .concat(),
            2,
            Damage::Previous {
                found: 1,
                expected: 0,
            },
        ),
        (
            "a long value is a leaf",
            with(
                3,
                page(LEAF, 1, [4, 2, 3], &[item(1, b"c"), elsewhere(3, 9)]),
            ),
            3,
            Damage::Kind(LEAF),
        ),
        (
            "a long value without octets",
            [
                lone(&[item(1, b"a"), elsewhere(2, 0)]),
                vec![overflow([2, 0, 0], b"")],
            ]
            .concat(),
            2,
            Damage::Items,
        ),
    ] {
        assert_eq!(domains(&file(&pages)), Err((number, damage)), "{situation}");
    }
}

#[test]
fn items_fill_their_page_without_gaps() {
    let good = page(LEAF, 1, [1, 0, 0], &pairs(&["a", "b", "c"]));
    assert_eq!(
        domains(&file(std::slice::from_ref(&good))).unwrap().len(),
        3
    );
    let changed = |at: usize, value: &[u8]| {
        let mut page = good.clone();
        page[at..][..value.len()].copy_from_slice(value);
        page
    };
    for (situation, page) in [
        ("fewer items than there are", changed(20, &[4])),
        ("more items than there are", changed(20, &[8])),
        ("more items than fit", changed(20, &[0xfe, 0xff])),
        ("items begin before they do", changed(22, &[good[22] - 4])),
        ("items begin after they do", changed(22, &[good[22] + 4])),
        ("items begin nowhere", changed(22, &[0, 0])),
        ("two items in one place", changed(28, &good[26..28])),
        ("an item outside of the page", changed(26, &[0xff, 0xff])),
        (
            "an item over the end of the page",
            changed(26, &[0xff, 0x01]),
        ),
        ("an item in the header", changed(26, &[0, 0])),
        (
            "an item not at a multiple of four",
            changed(26, &[good[26] + 1]),
        ),
    ] {
        match domains(&file(&[page])) {
            Err((1, Damage::Items | Damage::ItemType(_))) => {}
            other => panic!("{situation}: {other:?}"),
        }
    }
}
