//! Refuses an OpenSSL that is too old, and tells the program which version and revision it is.

use std::env;
use std::path::Path;
use std::process::Command;

/// OpenSSL 1.1.1, as `OPENSSL_VERSION_NUMBER` writes it: the first with TLS 1.3.
const OLDEST_OPENSSL: u64 = 0x1010_1000;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Grows with each commit and checkout; HEAD itself stays as it is while a branch moves on.
    if let Some(log) =
        git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|p| Path::new(p).exists())
    {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-env-changed=DEP_OPENSSL_VERSION_NUMBER");

    let found = env::var("DEP_OPENSSL_VERSION_NUMBER")
        .ok()
        .and_then(|hex| u64::from_str_radix(&hex, 16).ok());
    match found {
        Some(number) if number >= OLDEST_OPENSSL => {}
        Some(number) => refuse(&format!(
            "this system's OpenSSL is {number:#x}, older than 1.1.1"
        )),
        None => refuse("this system's TLS library is not OpenSSL 1.1.1 or newer"),
    }

    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let revision = revision().map(|r| format!(" ({r})")).unwrap_or_default();
    println!("cargo::rustc-env=SIPVOUCH_VERSION={version}{revision}");
}

fn refuse(why: &str) {
    println!(
        "cargo::error=sipvouch: {why}; install OpenSSL 1.1.1 or newer with its headers \
         (Debian: apt-get install libssl-dev pkg-config; Fedora: dnf install openssl-devel pkgconf)"
    );
}

/// The short name of the checked-out commit; none outside a git checkout, which is no fault.
fn revision() -> Option<String> {
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// What git prints, if it has anything to say.
fn git(arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let text = text.trim();
    (answer.status.success() && !text.is_empty()).then(|| text.to_owned())
}
