//! The place that lines end in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;

use jiff::Timestamp;

use super::places::unfit;
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
            // Then the log goes on where it was.
            Self::File(file) => drop(file.reopen()),
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
            // Half a line could not be taken back; the next must not become its other half.
            self.torn = self.file.write_all(b"\n").is_err();
        }
        write_whole(&mut self.file, line, Write::write).map_err(|cut| {
            self.torn |= cut.torn;
            cut.error
        })?;
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
            // In the old file is where lines go that have no new one.
            let _ = self.reopen();
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

    /// Opens the file of this name. When that fails the old one stays in use, wherever it is now.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        // Whatever is there now, the thread that writes must not wait for somebody to read it.
        if let Some(fault) = unfit(&self.path) {
            return Err(io::Error::other(fault));
        }
        self.file = append(&self.path)?;
        self.torn = false;
        self.measure();
        Ok(())
    }
}

/// A line that was not written.
#[derive(Debug)]
struct Cut {
    error: io::Error,
    /// Its beginning is in the file.
    torn: bool,
}

/// Writes a line whole or not at all: on a full disk the part that was taken is cut off again, if the file can be cut and
/// nobody else has written behind it.
fn write_whole(
    file: &mut File,
    line: &[u8],
    mut write: impl FnMut(&mut File, &[u8]) -> io::Result<usize>,
) -> Result<(), Cut> {
    let mut rest = line;
    while !rest.is_empty() {
        let error = match write(file, rest) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(taken) => {
                rest = rest.get(taken..).unwrap_or_default();
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        let taken = line.len() - rest.len();
        let torn = taken > 0 && take_back(file, taken).is_err();
        return Err(Cut { error, torn });
    }
    Ok(())
}

/// Cuts the last octets off that were written here.
fn take_back(file: &mut File, count: usize) -> io::Result<()> {
    let end = file.stream_position()?;
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    match end.checked_sub(count) {
        Some(start) if file.metadata()?.len() == end => file.set_len(start),
        _ => Err(io::ErrorKind::InvalidInput.into()),
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
    fn a_line_that_a_full_disk_takes_in_part_is_taken_back() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        for (situation, room, wanted) in [
            ("nothing fits", 0, "first\nlast\n"),
            ("half of it fits", 4, "first\nlast\n"),
            ("all but LF", 6, "first\nlast\n"),
            ("all", 7, "first\nsecond\nlast\n"),
        ] {
            let _ = fs::remove_file(&path);
            let mut file = append(&path).unwrap();
            write_whole(&mut file, b"first\n", Write::write).unwrap();
            let mut left: usize = room;
            // As a file system does it: what fits, and then the error.
            let written = write_whole(&mut file, b"second\n", |file, octets| {
                let part = octets.get(..left.min(octets.len())).unwrap();
                left -= part.len();
                match part.len() {
                    0 => Err(full()),
                    _ => file.write(part),
                }
            });
            assert_eq!(written.is_ok(), room == 7, "{situation}");
            if let Err(cut) = written {
                assert!(!cut.torn, "{situation}");
                assert_eq!(cut.error.kind(), io::ErrorKind::StorageFull);
            }
            write_whole(&mut file, b"last\n", Write::write).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), wanted, "{situation}");
        }
        // What another has written behind it stays.
        let mut file = append(&path).unwrap();
        let mut other = append(&path).unwrap();
        let mut calls = 0;
        let cut = write_whole(&mut file, b"second\n", |file, octets| {
            calls += 1;
            match calls {
                1 => file.write(octets.get(..3).unwrap()),
                _ => {
                    other.write_all(b" of another\n").unwrap();
                    Err(full())
                }
            }
        })
        .unwrap_err();
        assert!(cut.torn);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("last\nsec of another\n"), "{text}");
    }

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
