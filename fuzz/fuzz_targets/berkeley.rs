//! A Berkeley DB file of any octets: the walk ends, keys ascend, and what is read means the same when it is written and
//! read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::store::encoding::{ByteOrder, decode, encode};
use sipvouch::store::{Flow, Record, Table, berkeley};

fuzz_target!(|file: &[u8]| {
    for table in Table::ALL {
        let mut last: Option<Record> = None;
        let mut given = 0;
        let outcome = berkeley::read_octets(file, table, &mut |found| {
            // A pair takes two offsets and two items at least.
            given += 1;
            assert!(given * 12 <= file.len());
            match found {
                Ok(found) => {
                    let record = found.record;
                    assert_eq!(record.table(), table);
                    // Routes may have older keys, which are in another order.
                    if let Some(last) = last.replace(record.clone())
                        && table != Table::Route
                    {
                        assert!(last.key() < record.key());
                    }
                    for order in [ByteOrder::Little, ByteOrder::Big] {
                        // Latin-1 becomes longer, perhaps too long.
                        let Ok(value) = encode(&record, order) else {
                            assert!(found.note.is_some());
                            continue;
                        };
                        let again = decode(table, record.key().as_bytes(), &value, order).unwrap();
                        assert!(again.record == record && again.note.is_none());
                    }
                }
                Err(fault) => {
                    let told = fault.to_string();
                    assert!(!told.chars().any(char::is_control), "{told:?}");
                }
            }
            Flow::More
        });
        if let Err(fault) = outcome {
            let told = fault.to_string();
            assert!(!told.chars().any(char::is_control), "{told:?}");
            // It is the same for every table.
            return;
        }
    }
});
