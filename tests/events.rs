//! Every log event and every counter of the sources stands in `docs/operations.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sipvouch::transport::Counters;

/// First words of events: a string that begins with one of them, a dot and a word is an event.
const KINDS: &[&str] = &[
    "accept",
    "audit",
    "auth",
    "config",
    "conn",
    "control",
    "data",
    "log",
    "lookup",
    "mappings",
    "registrar",
    "resolve",
    "server",
    "silo",
    "sip",
    "store",
    "tcp",
    "tls",
    "udp",
    "worker",
];

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    fs::read_to_string(path).expect("docs/operations.md")
}

#[test]
fn an_operator_can_look_up_every_event() {
    let mut events = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                events.extend(events_of(&path));
            } else if !path.ends_with("tests") {
                folders.push(path);
            }
        }
    }
    assert!(events.len() > 50, "only {} events are found", events.len());
    let page = page();
    let missing: Vec<_> = events
        .iter()
        .filter(|event| !page.contains(&format!("`{event}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The events that a source file logs outside of its tests.
fn events_of(path: &PathBuf) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let name = path.to_string_lossy();
    let is_tests = name.ends_with("_tests.rs") || name.ends_with("test_support.rs");
    let strings = code.split('"').skip(1).filter(|_| !is_tests);
    strings.filter_map(event).collect()
}

/// The event at the beginning of a string.
fn event(text: &str) -> Option<String> {
    let (kind, rest) = text.split_once('.')?;
    let name = rest.split(' ').next()?;
    let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    (KINDS.contains(&kind) && is_word).then(|| format!("{kind}.{name}"))
}

#[test]
fn an_operator_can_look_up_every_counter() {
    let page = page();
    for (name, _) in Counters::default().values() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
