//! A configuration file of any octets: it is good, or every fault has words without control characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::config::load_text;

fuzz_target!(|text: &[u8]| {
    match load_text(text) {
        Ok(configuration) => {
            assert!(!configuration.listeners.is_empty());
            for note in &configuration.notes {
                let told = note.to_string();
                assert!(!told.chars().any(char::is_control), "{told:?}");
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                let told = error.to_string();
                assert!(!told.chars().any(char::is_control), "{told:?}");
            }
        }
    }
});
