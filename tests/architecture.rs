//! The tree as the house style draws it: which room may use which, and what the pure rooms may not name.
//!
//! Reads the sources. An edge outside the table is an argument to have in a review, not something that creeps in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms it may use. `server`, `cli` and `main` compose everything and are not listed.
const EDGES: &[(&str, &[&str])] = &[
    ("sip", &[]),
    ("transaction", &["sip"]),
    ("auth", &["sip"]),
    ("registrar", &["sip", "auth"]),
    ("proxy", &["sip", "auth", "registrar", "transaction"]),
    ("tls", &["sip", "auth"]),
    ("resolve", &["sip"]),
    ("store", &["sip", "auth", "registrar", "proxy"]),
    (
        "manage",
        &["sip", "auth", "proxy", "store", "admin", "config"],
    ),
    (
        "data",
        &[
            "sip",
            "auth",
            "registrar",
            "proxy",
            "store",
            "transport",
            "config",
        ],
    ),
    ("logging", &[]),
    ("process", &[]),
    // Whom it controls it is told as a value: see `admin::Controlled`.
    ("admin", &[]),
    (
        "transport",
        &[
            "sip",
            "auth",
            "tls",
            "transaction",
            "registrar",
            "proxy",
            "resolve",
            "store",
            "logging",
        ],
    ),
    (
        "config",
        &[
            "sip",
            "auth",
            "transaction",
            "registrar",
            "proxy",
            "tls",
            "resolve",
            "transport",
            "logging",
            "process",
            "admin",
            "store",
        ],
    ),
];

/// Rooms that take values and answer with values.
const PURE: &[&str] = &["sip", "transaction", "auth", "registrar", "proxy"];

/// What a pure room has no use for: files, threads, the environment, sockets, the clock, the log, OpenSSL.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "::now()",
    "log::",
    "info!",
    "warn!",
    "error!",
    "debug!",
    "openssl",
];

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let rooms: BTreeSet<&str> = EDGES.iter().map(|(room, _)| *room).collect();
    let mut faults = Vec::new();
    for (room, allowed) in EDGES {
        for file in sources(room) {
            for (number, line) in code(&file) {
                for used in line.split("crate::").skip(1) {
                    let used: String = used
                        .chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                        .collect();
                    if used != *room
                        && rooms.contains(used.as_str())
                        && !allowed.contains(&used.as_str())
                    {
                        faults.push(format!(
                            "{}:{number}: {room} may not use {used}",
                            file.display()
                        ));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_rooms_name_nothing_of_the_world_outside() {
    let mut faults = Vec::new();
    for room in PURE {
        for file in sources(room) {
            // RFC 3261 §22 needs hashes and tokens a cipher, and OpenSSL has them.
            let cryptographic = is_cryptographic(&file);
            for (number, line) in code(&file) {
                for word in IMPURE {
                    if names(&line, word) && !(cryptographic && *word == "openssl") {
                        faults.push(format!(
                            "{}:{number}: {word} in a pure room",
                            file.display()
                        ));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_the_rooms_for_it_name_openssl() {
    let mut faults = Vec::new();
    for file in files(&src()) {
        let allowed = file.starts_with(src().join("tls"))
            || is_cryptographic(&file)
            // The client of a data base server has TLS of its own, over the same library.
            || file.ends_with("store/sql/tls.rs");
        for (number, line) in code(&file) {
            if !allowed && (line.contains("openssl::") || line.contains("openssl_sys")) {
                faults.push(format!(
                    "{}:{number}: openssl outside src/tls",
                    file.display()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Whether a line has this word, and not just as the end of a longer one: `dialog::` is no `log::`.
fn names(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = word.starts_with(is_word);
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        !(begins && before.ends_with(is_word))
    })
}

/// The files of the pure rooms that compute with OpenSSL: values in, values out.
fn is_cryptographic(file: &Path) -> bool {
    file.ends_with("auth/digest/hash.rs") || file.ends_with("auth/seal.rs")
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources(room: &str) -> Vec<PathBuf> {
    files(&src().join(room))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry of src").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test(&path) {
            found.push(path);
        }
    }
    found
}

/// Whether the `mod.rs` beside this file takes it in for tests only.
fn is_test(file: &Path) -> bool {
    let (Some(name), Some(dir)) = (file.file_stem().and_then(|s| s.to_str()), file.parent()) else {
        return false;
    };
    let parent = fs::read_to_string(dir.join("mod.rs")).unwrap_or_default();
    parent.contains(&format!("#[cfg(test)]\nmod {name};"))
}

/// The lines of a file without comments and without its tests, which stand last.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).expect("a source file");
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .enumerate()
        .map(|(n, line)| {
            (
                n + 1,
                line.split("//").next().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}
