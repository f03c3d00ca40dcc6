//! Whether logs can be where settings say, looked at without opening or making anything.

use std::fs::{self, FileType};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::sink::expand;
use super::{Destination, LoggingOptions};

/// One of the files that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPlace {
    /// The log: repro's `LogFilename`.
    Log,
    /// The audit log: `AuditLog`.
    Audit,
}

/// What keeps the files of these settings from being logs, a sentence each. Whether we may write there is left to the start:
/// somebody else may ask.
#[must_use]
pub fn unfit_places(options: &LoggingOptions) -> Vec<(LogPlace, String)> {
    let log = match &options.destination {
        Destination::File(name) => Some(expand(name)),
        _ => None,
    };
    let audit = options.audit.as_deref().map(expand);
    let mut found = Vec::new();
    for (place, path) in [(LogPlace::Log, &log), (LogPlace::Audit, &audit)] {
        let fault = path.as_deref().and_then(unfit);
        found.extend(fault.map(|fault| (place, fault)));
    }
    if let (Some(log), Some(audit)) = (&log, &audit)
        && found.is_empty()
        && is_same(log, audit)
    {
        let fault = format!(
            "{} is the file of the log already; name another one",
            shown(audit)
        );
        found.push((LogPlace::Audit, fault));
    }
    found
}

/// Why this cannot be a log: it is there and is something else, or its directory is not there. A terminal or `/dev/null` may
/// be one; a pipe may not, since to open it waits until somebody reads.
pub(super) fn unfit(path: &Path) -> Option<String> {
    if let Ok(there) = fs::metadata(path) {
        let kind = kind(there.file_type())?;
        return Some(format!(
            "{} is {kind}, not a file; name a file",
            shown(path)
        ));
    }
    let directory = directory(path)?;
    match fs::metadata(&directory) {
        Ok(there) if there.is_dir() => None,
        Ok(_) => Some(format!("{} is not a directory", shown(&directory))),
        Err(error) => Some(format!(
            "the directory {} cannot be used: {error}; make it, or name another file",
            shown(&directory)
        )),
    }
}

/// What it is called if nothing can be appended to it.
fn kind(kind: FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() || kind.is_char_device() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a block device"),
    }
}

fn directory(path: &Path) -> Option<PathBuf> {
    let directory = path.parent()?;
    match directory.as_os_str().is_empty() {
        true => Some(PathBuf::from(".")),
        false => Some(directory.to_owned()),
    }
}

/// Whether both names are of one file, or would be.
fn is_same(one: &Path, other: &Path) -> bool {
    if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
        return one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    let whole = |path: &Path| {
        Some(
            fs::canonicalize(directory(path)?)
                .ok()?
                .join(path.file_name()?),
        )
    };
    whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// A file name may hold anything; escape_debug keeps it on one line.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_log_is_a_file_in_a_directory_that_is_there_and_nothing_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "").unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let both = |log: &Path, audit: &Path| {
            unfit_places(&LoggingOptions {
                destination: Destination::File(log.to_owned()),
                audit: Some(audit.to_owned()),
                ..LoggingOptions::default()
            })
        };
        for (situation, place, wanted) in [
            ("nothing yet", path("new"), None),
            ("a file", path("file"), None),
            ("a device", PathBuf::from("/dev/null"), None),
            ("filled in", path("{pid}"), None),
            (
                "no directory",
                path("none/new"),
                Some("none cannot be used: No such file or directory"),
            ),
            (
                "below a file",
                path("file/new"),
                Some("file is not a directory"),
            ),
            ("a directory", path(""), Some("is a directory, not a file")),
            ("a pipe", path("pipe"), Some("pipe is a named pipe")),
            ("a socket", path("socket"), Some("socket is a socket")),
        ] {
            for (log, audit, named) in [
                (&place, &path("other"), LogPlace::Log),
                (&path("other"), &place, LogPlace::Audit),
            ] {
                let found = both(log, audit);
                match wanted {
                    None => assert_eq!(found, [], "{situation}"),
                    Some(wanted) => assert!(
                        matches!(&found[..], [(at, told)] if *at == named && told.contains(wanted)),
                        "{situation}: {found:?}"
                    ),
                }
            }
        }
        for (situation, log, audit, is_fault) in [
            ("one name", path("new"), path("new"), true),
            (
                "two ways",
                path("new"),
                directory.path().join(".").join("new"),
                true,
            ),
            ("a link", path("file"), path("link"), true),
            ("a device", "/dev/null".into(), "/dev/null".into(), false),
            ("two files", path("new"), path("file"), false),
        ] {
            let found = both(&log, &audit);
            assert_eq!(!found.is_empty(), is_fault, "{situation}: {found:?}");
            assert!(found.iter().all(|(at, _)| *at == LogPlace::Audit));
        }
        assert!(!path("new").exists());
    }
}
