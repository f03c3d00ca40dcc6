//! Shapes of a line. The first octet of what is handed on is the syslog severity as a digit; the writer takes it off.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write};
use std::process;

use jiff::Timestamp;
use log::{Level, Record};

/// `2026-11-23T15:06:43.123Z WARN message`; the system log adds the time itself.
pub(super) fn text(
    out: &mut impl Write,
    record: &Record<'_>,
    instance: &str,
    dated: bool,
) -> io::Result<()> {
    write!(out, "{}", severity(record.level()))?;
    if dated {
        write!(out, "{:.3} ", Timestamp::now())?;
    }
    if !instance.is_empty() {
        write!(out, "[{}] ", Printable(format_args!("{instance}")))?;
    }
    // No padding: the levels differ in length, and a line is read by programs too.
    writeln!(out, "{} {}", record.level(), Printable(*record.args()))
}

/// repro's JSON_CEE: the members in its order, as far as we have them.
pub(super) fn json(
    out: &mut impl Write,
    record: &Record<'_>,
    instance: &str,
    host: &str,
    marked: bool,
) -> io::Result<()> {
    let severity = severity(record.level());
    let level = match record.level() {
        Level::Error => "ERROR",
        Level::Warn => "WARN",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    };
    let mark = if marked { "@cee: " } else { "" };
    let now = Timestamp::now();
    write!(
        out,
        "{severity}{mark}{{\"hostname\":\"{}\",\"pri\":\"{level}\",\"syslog.level\":{severity},\
         \"time\":\"{now:.9}\",\"pname\":\"sipvouch\"",
        Json(format_args!("{host}"))
    )?;
    if !instance.is_empty() {
        write!(out, ",\"appname\":\"{}\"", Json(format_args!("{instance}")))?;
    }
    write!(
        out,
        ",\"subsys\":\"{}\",\"proc.id\":\"{}\",\"proc.tid\":{}",
        Json(format_args!("{}", record.target())),
        process::id(),
        nix::unistd::gettid(),
    )?;
    if let (Some(file), Some(line)) = (record.file(), record.line()) {
        write!(
            out,
            ",\"file.name\":\"{}\",\"file.line\":{line}",
            Json(format_args!("{file}"))
        )?;
    }
    writeln!(out, ",\"msg\":\"{}\"}}", Json(*record.args()))
}

/// Severities of RFC 5424 §6.2.1.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// The name of this machine, for JSON lines.
pub(super) fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Text with its control characters escaped: what a peer sends must not forge a line or move a cursor, even where a
/// room forgot to escape it.
struct Printable<'a>(fmt::Arguments<'a>);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            Escape {
                out: f,
                write: |out: &mut fmt::Formatter<'_>, c: char| write!(
                    out,
                    "{}",
                    c.escape_default()
                ),
                special: char::is_control
            },
            "{}",
            self.0
        )
    }
}

/// Text as the inside of a JSON string.
struct Json<'a>(fmt::Arguments<'a>);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let special = |c: char| c.is_control() || c == '"' || c == '\\';
        let write = |out: &mut fmt::Formatter<'_>, c: char| match c {
            '"' | '\\' => write!(out, "\\{c}"),
            _ => write!(out, "\\u{:04x}", u32::from(c)),
        };
        write!(
            Escape {
                out: f,
                write,
                special
            },
            "{}",
            self.0
        )
    }
}

/// Passes text on, special characters in another form.
struct Escape<'f, 'o, W, S> {
    out: &'f mut fmt::Formatter<'o>,
    write: W,
    special: S,
}

impl<W, S> fmt::Write for Escape<'_, '_, W, S>
where
    W: FnMut(&mut fmt::Formatter<'_>, char) -> fmt::Result,
    S: Fn(char) -> bool,
{
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(|c| (self.special)(c)) {
            match part.char_indices().next_back() {
                Some((start, c)) if (self.special)(c) => {
                    self.out.write_str(part.get(..start).unwrap_or_default())?;
                    (self.write)(self.out, c)?;
                }
                _ => self.out.write_str(part)?,
            }
        }
        Ok(())
    }
}
