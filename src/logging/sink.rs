//! The place that lines end in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;

use jiff::Timestamp;

use super::{Destination, Error, Facility, LoggingOptions};

/// Where syslogd listens.
const DEV_LOG: &str = "/dev/log";

/// An open destination. Used by the writing thread only, which is the one that may wait.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    Stderr,
    File(LogFile),
    Syslog(Syslog),
}

impl Sink {
    pub(super) fn open(options: &LoggingOptions) -> Result<Self, Error> {
        Ok(match &options.destination {
            Destination::Stdout => Self::Stdout,
            Destination::Stderr => Self::Stderr,
            Destination::Syslog(facility) => Self::Syslog(Syslog {
                facility: *facility,
                address: PathBuf::from(DEV_LOG),
                socket: None,
            }),
            Destination::File(name) => {
                let path = expand(name);
                let opened = LogFile::open(path.clone(), options);
                Self::File(opened.map_err(|source| Error::File { path, source })?)
            }
        })
    }

    /// Writes one line, which ends in LF.
    pub(super) fn write(&mut self, severity: u8, line: &[u8]) -> io::Result<()> {
        match self {
            // At a terminal and elsewhere, standard output keeps no whole line back.
            Self::Stdout => io::stdout().lock().write_all(line),
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::File(file) => file.write(line),
            Self::Syslog(syslog) => syslog.write(severity, line),
        }
    }

    pub(super) fn reopen(&mut self) {
        match self {
            Self::File(file) => file.reopen(),
            Self::Syslog(syslog) => syslog.socket = None,
            Self::Stdout | Self::Stderr => {}
        }
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File(file) => Some(file.path.clone()),
            _ => None,
        }
    }
}

/// Now, for a file name: `20261123-150643`, in UTC.
fn compact_now() -> String {
    Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string()
}

/// Fills `{pid}` and `{timestamp}` in.
pub(super) fn expand(path: &Path) -> PathBuf {
    match path.to_str() {
        Some(text) => PathBuf::from(
            text.replace("{pid}", &process::id().to_string())
                .replace("{timestamp}", &compact_now()),
        ),
        None => path.to_owned(),
    }
}

/// A log file that makes room for a new one when it is full.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    lines: u64,
    max_bytes: u64,
    max_lines: u64,
    keep_all: bool,
    /// The last line may have been written in part.
    torn: bool,
}

impl LogFile {
    pub(super) fn open(path: PathBuf, options: &LoggingOptions) -> io::Result<Self> {
        let file = append(&path)?;
        let mut this = Self {
            path,
            file,
            bytes: 0,
            lines: 0,
            max_bytes: options.max_bytes,
            max_lines: options.max_lines,
            keep_all: options.keep_all,
            torn: false,
        };
        this.measure();
        Ok(this)
    }

    /// Counts what is in the file already, as repro did not: its limit held for what one run added.
    fn measure(&mut self) {
        let regular = self.file.metadata().ok().filter(fs::Metadata::is_file);
        self.bytes = regular.as_ref().map_or(0, fs::Metadata::len);
        self.lines = 0;
        if self.max_lines > 0
            && regular.is_some()
            && let Ok(file) = File::open(&self.path)
        {
            let lines = BufReader::new(file)
                .split(b'\n')
                .map_while(Result::ok)
                .count();
            self.lines = u64::try_from(lines).unwrap_or(u64::MAX);
        }
    }

    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let full = (self.max_bytes > 0
            && self.bytes > 0
            && self.bytes.saturating_add(length) >= self.max_bytes)
            || (self.max_lines > 0 && self.lines >= self.max_lines);
        if full {
            self.roll();
        }
        if std::mem::take(&mut self.torn) {
            // A full disk took half a line; the next must not become its other half.
            self.torn = self.file.write_all(b"\n").is_err();
        }
        self.file
            .write_all(line)
            .inspect_err(|_| self.torn = true)?;
        self.bytes = self.bytes.saturating_add(length);
        self.lines = self.lines.saturating_add(1);
        Ok(())
    }

    /// Renames the file and begins a new one. When that fails the old one grows on: lines are worth more than order.
    fn roll(&mut self) {
        let old = if self.keep_all {
            self.unused_name()
        } else {
            suffixed(&self.path, ".old")
        };
        if fs::rename(&self.path, old).is_ok() {
            self.reopen();
        } else {
            // Not at every line again.
            self.bytes = 0;
            self.lines = 0;
        }
    }

    /// `<file>_<timestamp>`, with a number when several files fill up within one second.
    fn unused_name(&self) -> PathBuf {
        let stamped = suffixed(&self.path, &format!("_{}", compact_now()));
        let mut name = stamped.clone();
        let mut number = 1_u32;
        while name.exists() && number < 10_000 {
            name = suffixed(&stamped, &format!("-{number}"));
            number += 1;
        }
        name
    }

    pub(super) fn reopen(&mut self) {
        // Without a new file the old one stays in use, wherever it is now.
        if let Ok(file) = append(&self.path) {
            self.file = file;
            self.measure();
        }
    }
}

/// Not for everybody to read: a log tells who calls whom.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The system log, over its datagram socket.
#[derive(Debug)]
pub(super) struct Syslog {
    facility: Facility,
    address: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    fn write(&mut self, severity: u8, line: &[u8]) -> io::Result<()> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut datagram = format!(
            "<{}>sipvouch[{}]: ",
            self.facility.priority(severity),
            process::id()
        )
        .into_bytes();
        datagram.extend_from_slice(line);
        if let Some(socket) = &self.socket
            && socket.send(&datagram).is_ok()
        {
            return Ok(());
        }
        // syslogd was not there, or another one is now.
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.address)?;
        socket.send(&datagram)?;
        self.socket = Some(socket);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn line_for_the_system_log_has_its_priority_and_survives_a_new_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let address = directory.path().join("log");
        let facility = Facility::from_name("log_local3").unwrap();
        let mut syslog = Syslog {
            facility,
            address: address.clone(),
            socket: None,
        };
        let mut buffer = [0; 200];
        assert!(syslog.write(4, b"nobody listens yet\n").is_err());
        for line in ["first", "second daemon"] {
            let daemon = UnixDatagram::bind(&address).unwrap();
            syslog.write(4, format!("{line}\n").as_bytes()).unwrap();
            let length = daemon.recv(&mut buffer).unwrap();
            let expected = format!("<156>sipvouch[{}]: {line}", process::id());
            assert_eq!(buffer.get(..length).unwrap(), expected.as_bytes());
            fs::remove_file(&address).unwrap();
        }
    }
}
