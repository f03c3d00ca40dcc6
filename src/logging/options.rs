//! What an operator may decide about the log.

use std::path::PathBuf;

use log::LevelFilter;

/// Where lines go; repro: `LoggingType`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// repro: `LogFilename`. `{pid}` and `{timestamp}` in it are filled in when the log is opened.
    File(PathBuf),
    /// The system log.
    Syslog(Facility),
}

/// A syslog facility as RFC 5424 §6.2.1 numbers it; repro: `SyslogFacility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// LOG_DAEMON.
    pub const DAEMON: Self = Self(3);

    /// The facility of a name such as `LOG_LOCAL3`, in any letter case.
    pub fn from_name(name: &str) -> Option<Self> {
        const NAMES: [(&str, u8); 20] = [
            ("LOG_KERN", 0),
            ("LOG_USER", 1),
            ("LOG_MAIL", 2),
            ("LOG_DAEMON", 3),
            ("LOG_AUTH", 4),
            ("LOG_SYSLOG", 5),
            ("LOG_LPR", 6),
            ("LOG_NEWS", 7),
            ("LOG_UUCP", 8),
            ("LOG_CRON", 9),
            ("LOG_AUTHPRIV", 10),
            ("LOG_FTP", 11),
            ("LOG_LOCAL0", 16),
            ("LOG_LOCAL1", 17),
            ("LOG_LOCAL2", 18),
            ("LOG_LOCAL3", 19),
            ("LOG_LOCAL4", 20),
            ("LOG_LOCAL5", 21),
            ("LOG_LOCAL6", 22),
            ("LOG_LOCAL7", 23),
        ];
        let found = NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, number)| Self(*number))
    }

    /// The number in front of a line of this facility and severity.
    pub(super) fn priority(self, severity: u8) -> u8 {
        self.0 * 8 + (severity & 7)
    }
}

/// Shape of a line; repro: `LogMessageStructure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Structure {
    /// Time, level, message.
    #[default]
    Unstructured,
    /// One JSON object.
    JsonCee,
}

/// Settings of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingOptions {
    /// repro: `LoggingType` and what belongs to it.
    pub destination: Destination,
    /// repro: `LogLevel`; the environment variable `RUST_LOG` goes before it.
    pub level: LevelFilter,
    /// repro: `LogMessageStructure`.
    pub structure: Structure,
    /// repro: `LogFileMaxBytes`; 0 is no limit.
    pub max_bytes: u64,
    /// repro: `LogFileMaxLines`; 0 is no limit.
    pub max_lines: u64,
    /// repro: `KeepAllLogFiles`.
    pub keep_all: bool,
    /// repro: `LoggingInstanceName`; may be empty.
    pub instance: String,
    /// Ours: `AuditLog`; `None` keeps none. `{pid}` and `{timestamp}` as in `LogFilename`.
    pub audit: Option<PathBuf>,
}

impl Default for LoggingOptions {
    fn default() -> Self {
        Self {
            destination: Destination::Stdout,
            level: LevelFilter::Info,
            structure: Structure::Unstructured,
            max_bytes: 0,
            max_lines: 0,
            keep_all: false,
            instance: String::new(),
            audit: None,
        }
    }
}
