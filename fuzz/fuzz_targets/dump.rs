//! A dump of any octets: however it arrives, it says the same, and no record comes from less than two lines.
#![no_main]

use std::io::BufReader;

use libfuzzer_sys::fuzz_target;
use sipvouch::store::{Flow, Table, dump};

fn read(text: &[u8], chunk: usize, table: Table) -> (Vec<String>, String) {
    let mut found = Vec::new();
    let mut text = BufReader::with_capacity(chunk, text);
    let outcome = dump::read_text(&mut text, table, &mut |record| {
        found.push(match record {
            // Without what Debug hides.
            Ok(decoded) => format!("{} {:?}", decoded.record.key(), decoded.note),
            Err(fault) => {
                let told = fault.to_string();
                assert!(!told.chars().any(char::is_control), "{told:?}");
                told
            }
        });
        Flow::More
    });
    let told = outcome.map_or_else(|fault| fault.to_string(), |()| "whole".to_owned());
    assert!(!told.chars().any(char::is_control), "{told:?}");
    (found, told)
}

fuzz_target!(|text: &[u8]| {
    let lines = text.split(|o| *o == b'\n').count();
    for table in Table::ALL {
        let whole = read(text, text.len().max(8), table);
        assert!(2 * whole.0.len() <= lines);
        assert_eq!(read(text, 8, table), whole);
    }
});
