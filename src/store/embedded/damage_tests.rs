//! Files that are damaged, or something else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::store::record::{Record, User};
use crate::store::{Flow, Store};

/// The octets of a store with 400 users in whole pages.
fn octets(directory: &Path) -> Vec<u8> {
    let path = directory.join("whole.db");
    let store = Embedded::open(&path, Access::Create).unwrap();
    let users: Vec<Record> = (0..400)
        .map(|n| {
            Record::User(User {
                user: format!("user{n}"),
                domain: "example.org".into(),
                password_hash: "[MD5]8ea972d8db3f90d047e3cb6b6e1ad9da".into(),
                ..User::default()
            })
        })
        .collect();
    store.put(&users).unwrap();
    drop(store);
    fs::read(&path).unwrap()
}

fn damaged(directory: &Path, octets: &[u8]) -> PathBuf {
    let path = directory.join("damaged.db");
    fs::write(&path, octets).unwrap();
    path
}

type Is = fn(&Error) -> bool;

const CORRUPT: Is = |error| matches!(error, Error::Corrupt { .. });
const FOREIGN: Is = |error| matches!(error, Error::Foreign { .. });
const TOO_NEW: Is = |error| matches!(error, Error::TooNew { .. });

#[test]
fn a_file_that_is_no_whole_store_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let whole = octets(directory.path());
    let edit = |at: usize, with: &[u8]| {
        let mut octets = whole.clone();
        octets[at..at + with.len()].copy_from_slice(with);
        octets
    };
    let other = directory.path().join("other.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE user (name)")
        .unwrap();
    let cases: Vec<(&str, Vec<u8>, Is)> = vec![
        (
            "cut in the middle",
            whole[..whole.len() / 2].to_vec(),
            CORRUPT,
        ),
        (
            "cut within a page",
            whole[..whole.len() - 100].to_vec(),
            CORRUPT,
        ),
        ("cut to one page", whole[..4096].to_vec(), CORRUPT),
        ("cut within the header", whole[..50].to_vec(), CORRUPT),
        ("a header of zeros", edit(0, &[0; 100]), FOREIGN),
        (
            "a first page of zeros behind the header",
            edit(100, &[0; 3996]),
            CORRUPT,
        ),
        ("a later page of zeros", edit(4096 * 5, &[0; 4096]), CORRUPT),
        (
            "a turned bit in the kind of a page",
            edit(4096 * 6, &[whole[4096 * 6] ^ 1]),
            CORRUPT,
        ),
        ("text", b"domain = example.org\n".repeat(100), FOREIGN),
        ("one octet", b"S".to_vec(), FOREIGN),
        (
            "a file of another program",
            fs::read(&other).unwrap(),
            FOREIGN,
        ),
        ("a newer schema", edit(60, &9_u32.to_be_bytes()), TOO_NEW),
    ];
    for (situation, octets, is) in cases {
        let path = damaged(directory.path(), &octets);
        for access in [Access::Create, Access::Existing, Access::ReadOnly] {
            let error = Embedded::open(&path, access).unwrap_err();
            assert!(is(&error), "{situation}: {error}");
            assert!(error.to_string().contains("damaged.db: "), "{error}");
            assert!(
                fs::read(&path).unwrap() == octets,
                "{situation}: was written"
            );
        }
    }
    let error = Embedded::open(directory.path(), Access::Create).unwrap_err();
    assert!(FOREIGN(&error), "{error}");
}

#[test]
fn a_turned_octet_anywhere_is_an_error_or_a_record_never_more() {
    let directory = tempfile::tempdir().unwrap();
    let whole = octets(directory.path());
    let (mut opened, mut refused) = (0, 0);
    for at in (0..whole.len()).step_by(251) {
        let mut octets = whole.clone();
        octets[at] ^= 0x55;
        let path = damaged(directory.path(), &octets);
        let read = Embedded::open(&path, Access::ReadOnly).and_then(|store| {
            for table in Table::ALL {
                store.each(table, &mut |_| Flow::More)?;
                store.get(table, "user7@example.org")?;
            }
            store.password_hash("user7", "example.org")
        });
        match read {
            Ok(_) => opened += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(opened > 0 && refused > 0, "{opened} {refused}");
}

#[test]
fn damage_in_a_file_too_large_to_look_through_is_found_by_check_and_on_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let mut octets = octets(directory.path());
    let hashes = |page: &&mut [u8]| page.windows(5).any(|octets| octets == b"[MD5]");
    octets.chunks_mut(4096).rfind(hashes).unwrap().fill(0);
    let path = damaged(directory.path(), &octets);
    // As `open` does with a large file.
    let store = Embedded {
        open: ArcSwap::from_pointee(OpenFile::unexamined(&path)),
        looked: Mutex::new(Looked::at(&path)),
        path,
    };
    assert!(!store.check().unwrap().is_empty());
    let faults: Vec<Error> = Table::ALL
        .into_iter()
        .filter_map(|table| store.each(table, &mut |_| Flow::More).err())
        .collect();
    assert!(
        faults.iter().all(CORRUPT) && !faults.is_empty(),
        "{faults:?}"
    );
}
