//! A mappings file of any octets: every line is used or named, and what is found was written there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::auth::{Issuers, Mappings};

fuzz_target!(|text: &[u8]| {
    let (mappings, faults) = Mappings::parse(text, "file");
    let lines = text.split(|o| *o == b'\n').count();
    assert!(mappings.len() + faults.len() <= lines);
    for fault in &faults {
        let told = fault.to_string();
        assert!(told.starts_with("file:"), "{told:?}");
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }
    for line in text.split(|o| *o == b'\n') {
        let Some(key) = line.split(|o| *o == b'\t').next() else {
            continue;
        };
        if let Ok(key) = std::str::from_utf8(key) {
            let _ = mappings.find(key, &Issuers::default());
        }
    }
});
