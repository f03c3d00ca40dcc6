//! Reads the text that `db_dump` makes of one of repro's Berkeley DB files, in both its forms.
//!
//! The way in for files that the reader of B-trees does not take: other versions, encrypted ones, or damaged ones of which
//! `db_dump -r` saved what could be saved. Numbers inside the records stand as the machine that wrote them had them, and a
//! dump does not say how: little-endian is assumed, and a header line `db_lorder=4321` (which one may add) says otherwise.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::encoding::{ByteOrder, Decoded, MAX_OCTETS, decode};
use super::{Error, Flow, RecordFault, Table};

/// Octets of a line: one of [`MAX_OCTETS`] octets, each as `\hh`, the blank and a carriage return.
const MAX_LINE: usize = 3 * MAX_OCTETS + 2;
/// Characters of a line that a fault shows.
const SHOWN: usize = 80;

/// Why the records of a dump cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is something else.
    #[error("{0}")]
    Foreign(Foreign),
    /// It is not as `db_dump` writes it.
    #[error("line {line}: {damage}")]
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The system does not give its octets.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A dump of something that repro has not, or no dump.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// A directory, a pipe.
    #[error("not a regular file")]
    NotAFile,
    /// Anything.
    #[error("not the text of a db_dump; expected VERSION=3 in its first line")]
    Unknown,
    /// Another version of the format.
    #[error("a db_dump of version {0:?}; expected 3")]
    Version(String),
    /// Another access method.
    #[error("a db_dump of type {0:?}; expected btree")]
    Type(String),
    /// Several values to a key.
    #[error("a db_dump with duplicate keys, as those of the *_idx1.db files are; expected a table")]
    Duplicates,
    /// Values without keys.
    #[error("a db_dump without keys; make it without the option that leaves them out")]
    NoKeys,
    /// Several data bases.
    #[error("a db_dump of named data bases; expected one without a name")]
    Subdatabases,
}

/// What is wrong with a line of a dump.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A header line that nobody knows.
    #[error("header line {0:?} is unknown")]
    Header(String),
    /// A header without something that it must have.
    #[error("the header ends without {0}")]
    Missing(&'static str),
    /// The text ends.
    #[error("the text ends here, before {0}; it is cut off")]
    CutOff(&'static str),
    /// No blank at the front.
    #[error("expected a blank and then a key or value")]
    NoBlank,
    /// A key, then the end.
    #[error("a key without a value")]
    Unpaired,
    /// Not two hexadecimal digits for each octet.
    #[error("column {0}: expected two hexadecimal digits for each octet")]
    Hex(usize),
    /// A backslash with neither another nor two hexadecimal digits behind it.
    #[error("column {0}: expected a backslash or two hexadecimal digits after a backslash")]
    Escape(usize),
    /// An octet that would have been written with a backslash.
    #[error("column {0}: a control character")]
    Control(usize),
    /// Longer than any record.
    #[error("a line of more than {MAX_LINE} octets")]
    LongLine,
    /// Something after the end.
    #[error("text after DATA=END; expected one table")]
    After,
}

/// Gives every record of the dump of `table`, in the order of the text.
///
/// A record that cannot be read is given as its fault, and the rest goes on. When this function fails, what it gave before
/// is not all there is, so the caller should take records in one step or not at all.
///
/// # Errors
/// The file cannot be read, or is not what `db_dump` makes of a table of repro.
pub fn read(
    path: &Path,
    table: Table,
    take: &mut dyn FnMut(Result<Decoded, RecordFault>) -> Flow,
) -> Result<(), Error> {
    let of_file = |fault| {
        let path = path.to_owned();
        match fault {
            Fault::Io(source) => Error::Io { path, source },
            Fault::Foreign(what) => Error::Foreign {
                path,
                why: what.to_string(),
            },
            Fault::Damaged { .. } => Error::Corrupt {
                path,
                why: fault.to_string(),
            },
        }
    };
    // Before it is opened: a pipe would wait for its writer.
    let is_file = fs::metadata(path).map(|m| m.is_file());
    if !is_file.map_err(|e| of_file(e.into()))? {
        return Err(of_file(Fault::Foreign(Foreign::NotAFile)));
    }
    let file = File::open(path).map_err(|e| of_file(e.into()))?;
    read_text(&mut BufReader::new(file), table, take).map_err(of_file)
}

/// The same of text from anywhere.
///
/// # Errors
/// It is not what `db_dump` makes of a table of repro.
pub fn read_text(
    text: &mut dyn BufRead,
    table: Table,
    take: &mut dyn FnMut(Result<Decoded, RecordFault>) -> Flow,
) -> Result<(), Fault> {
    let mut lines = Lines {
        text,
        line: Vec::new(),
        number: 0,
        crlf: false,
    };
    let header = Header::read(&mut lines)?;
    let (mut key, mut value) = (Vec::new(), Vec::new());
    loop {
        if !lines.next()? {
            return Err(lines.damaged(Damage::CutOff("DATA=END")));
        }
        if lines.line == b"DATA=END" {
            break;
        }
        lines.octets(header.print, &mut key)?;
        if !lines.next()? {
            return Err(lines.damaged(Damage::CutOff("the value of the last key")));
        }
        if lines.line == b"DATA=END" {
            return Err(lines.damaged(Damage::Unpaired));
        }
        lines.octets(header.print, &mut value)?;
        if take(decode(table, &key, &value, header.order)) == Flow::Enough {
            return Ok(());
        }
    }
    if lines.next()? {
        return Err(lines.damaged(Damage::After));
    }
    Ok(())
}

/// What the lines before `HEADER=END` say.
struct Header {
    /// Octets that can be printed stand as themselves.
    print: bool,
    order: ByteOrder,
}

impl Header {
    fn read(lines: &mut Lines<'_>) -> Result<Self, Fault> {
        let foreign = |what| Err(Fault::Foreign(what));
        let (mut print, mut btree, mut order) = (None, false, ByteOrder::Little);
        lines.first()?;
        loop {
            let line = String::from_utf8_lossy(&lines.line).into_owned();
            let (name, value) = line.split_once('=').unwrap_or((&line, ""));
            match (name, value) {
                ("VERSION", "3") | ("keys", "1") | ("duplicates" | "dupsort", "0") => {}
                ("VERSION", _) => return foreign(Foreign::Version(shown(value))),
                ("type", "btree") => btree = true,
                ("type", _) => return foreign(Foreign::Type(shown(value))),
                ("format", "print") => print = Some(true),
                ("format", "bytevalue") => print = Some(false),
                ("db_lorder", "1234") => order = ByteOrder::Little,
                ("db_lorder", "4321") => order = ByteOrder::Big,
                // They say how to make the file again.
                ("db_pagesize" | "bt_minkey" | "chksum", _) => {}
                ("duplicates" | "dupsort", _) => return foreign(Foreign::Duplicates),
                ("keys", _) => return foreign(Foreign::NoKeys),
                ("database" | "subdatabase", _) => return foreign(Foreign::Subdatabases),
                ("HEADER", "END") => break,
                _ => return Err(lines.damaged(Damage::Header(shown(&line)))),
            }
            if !lines.next()? {
                return Err(lines.damaged(Damage::CutOff("HEADER=END")));
            }
        }
        match print {
            Some(print) if btree => Ok(Self { print, order }),
            Some(_) => Err(lines.damaged(Damage::Missing("type=btree"))),
            None => Err(lines.damaged(Damage::Missing("format=print or format=bytevalue"))),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The lines of a dump, one at a time.
struct Lines<'a> {
    text: &'a mut dyn BufRead,
    /// Without its end.
    line: Vec<u8>,
    number: u64,
    /// The first line ends with a carriage return too, as another system's editor or mail ends lines.
    crlf: bool,
}

impl Lines<'_> {
    /// Reads the first line; it tells a dump from anything else.
    fn first(&mut self) -> Result<(), Fault> {
        let start = self.text.fill_buf()?;
        let expected = b"VERSION=";
        let enough = start.len().min(expected.len());
        if start.is_empty() || start.get(..enough) != expected.get(..enough) {
            return Err(Fault::Foreign(Foreign::Unknown));
        }
        self.next()?;
        Ok(())
    }

    /// Whether there is another line. A last line without an end is one.
    fn next(&mut self) -> Result<bool, Fault> {
        self.line.clear();
        self.number += 1;
        loop {
            let chunk = match self.text.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            };
            if chunk.is_empty() {
                return Ok(!self.line.is_empty());
            }
            let end = memchr::memchr(b'\n', chunk);
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            if self.line.len() + part.len() > MAX_LINE {
                return Err(self.damaged(Damage::LongLine));
            }
            self.line.extend_from_slice(part);
            let used = part.len() + usize::from(end.is_some());
            self.text.consume(used);
            if end.is_some() {
                let carriage_return = self.line.last() == Some(&b'\r');
                self.crlf |= carriage_return && self.number == 1;
                if carriage_return && self.crlf {
                    self.line.pop();
                }
                return Ok(true);
            }
        }
    }

    /// The octets that the line stands for.
    fn octets(&self, print: bool, into: &mut Vec<u8>) -> Result<(), Fault> {
        into.clear();
        let text = self
            .line
            .strip_prefix(b" ")
            .ok_or_else(|| self.damaged(Damage::NoBlank))?;
        let unread = if print {
            from_print(text, into)
        } else {
            from_hex(text, into)
        };
        // Columns count from 1, and the blank is one.
        unread.map_err(|(at, damage)| self.damaged(damage(at + 2)))
    }

    fn damaged(&self, damage: Damage) -> Fault {
        Fault::Damaged {
            line: self.number,
            damage,
        }
    }
}

/// Where a line is wrong, and how.
type Unread = (usize, fn(usize) -> Damage);

fn from_hex(text: &[u8], into: &mut Vec<u8>) -> Result<(), Unread> {
    for (index, digits) in text.chunks(2).enumerate() {
        into.push(octet(digits).ok_or((2 * index, Damage::Hex as _))?);
    }
    Ok(())
}

fn from_print(text: &[u8], into: &mut Vec<u8>) -> Result<(), Unread> {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let at = text.len() - rest.len();
        rest = match first {
            b'\\' => {
                if let Some(after) = after.strip_prefix(b"\\") {
                    into.push(b'\\');
                    after
                } else {
                    let escape = after.split_at_checked(2);
                    let read = escape.and_then(|(digits, after)| Some((octet(digits)?, after)));
                    let (octet, after) = read.ok_or((at, Damage::Escape as _))?;
                    into.push(octet);
                    after
                }
            }
            0..0x20 | 0x7f => return Err((at, Damage::Control)),
            plain => {
                into.push(*plain);
                after
            }
        };
    }
    Ok(())
}

/// The octet of two hexadecimal digits.
fn octet(digits: &[u8]) -> Option<u8> {
    let &[high, low] = digits else {
        return None;
    };
    let digit = |d: u8| char::from(d).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that cannot go on says so by panicking"
    )]

    use std::io::Read;

    use super::*;
    use crate::store::{Domain, Record};

    const HEAD: &str = "VERSION=3\nformat=print\ntype=btree\ndb_pagesize=4096\nHEADER=END\n";

    fn domains(text: &[u8]) -> Result<Vec<Result<Decoded, RecordFault>>, Fault> {
        let mut found = Vec::new();
        // A small buffer, so that lines and chunks end in different places.
        let mut text = BufReader::with_capacity(7, text);
        read_text(&mut text, Table::Domain, &mut |record| {
            found.push(record);
            Flow::More
        })?;
        Ok(found)
    }

    fn domain(name: &str) -> Result<Decoded, RecordFault> {
        Ok(Decoded {
            record: Record::Domain(Domain {
                domain: name.into(),
                tls_port: 0x0102,
            }),
            note: None,
        })
    }

    #[test]
    fn both_forms_and_both_byte_orders_say_the_same() {
        for (situation, text) in [
            (
                "print",
                "VERSION=3\nformat=print\ntype=btree\nHEADER=END\n a\\\\\n \\01\\00\\02\\00a\\\\\\02\\01\nDATA=END\n",
            ),
            (
                "print, with the ends of lines that another system has",
                "VERSION=3\r\nformat=print\r\ntype=btree\r\nHEADER=END\r\n a\\\\\r\n \\01\\00\\02\\00a\\\\\\02\\01\r\nDATA=END\r\n",
            ),
            (
                "print, all in digits",
                "VERSION=3\nformat=print\ntype=btree\nHEADER=END\n \\61\\5C\n \\01\\00\\02\\00a\\5c\\02\\01\nDATA=END\n",
            ),
            (
                "bytevalue",
                "VERSION=3\nformat=bytevalue\ntype=btree\nHEADER=END\n 615c\n 01000200615C0201\nDATA=END\n",
            ),
            (
                "the order of another machine",
                "VERSION=3\nformat=bytevalue\ntype=btree\ndb_lorder=4321\nHEADER=END\n 615c\n 00010002615c0102\nDATA=END\n",
            ),
            (
                "no line end at the end",
                "VERSION=3\nformat=bytevalue\ntype=btree\nchksum=1\nHEADER=END\n 615c\n 01000200615c0201\nDATA=END",
            ),
        ] {
            let found = domains(text.as_bytes()).unwrap();
            assert_eq!(found, [domain("a\\")], "{situation}");
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_does_not_end_the_dump() {
        let text = format!("{HEAD} a\n x\n b\n \\01\\00\\01\\00b\\02\\01\nDATA=END\n");
        let found = domains(text.as_bytes()).unwrap();
        let [first, second] = &found[..] else {
            unreachable!("{found:?}");
        };
        assert_eq!(first.as_ref().unwrap_err().key, "a");
        assert_eq!(*second, domain("b"));
    }

    #[test]
    fn enough_is_enough() {
        let text = format!("{HEAD} a\n x\n no second line is looked at");
        let mut count = 0;
        read_text(&mut text.as_bytes(), Table::Domain, &mut |_| {
            count += 1;
            Flow::Enough
        })
        .unwrap();
        assert_eq!(count, 1);
    }

    #[test]
    fn what_is_not_a_dump_of_a_table_is_called_by_its_name() {
        for (text, expected) in [
            ("", "not the text of a db_dump"),
            ("example.org\n", "not the text of a db_dump"),
            ("VERSION=2\n", "a db_dump of version \"2\"; expected 3"),
            ("VERSION=3\ntype=hash\n", "a db_dump of type \"hash\""),
            ("VERSION=3\nduplicates=1\n", "a db_dump with duplicate"),
            ("VERSION=3\nkeys=0\n", "a db_dump without keys"),
            ("VERSION=3\ndatabase=x\n", "a db_dump of named data bases"),
        ] {
            let fault = domains(text.as_bytes()).unwrap_err();
            assert!(matches!(fault, Fault::Foreign(_)), "{fault:?}");
            assert!(fault.to_string().starts_with(expected), "{fault}");
        }
    }

    #[test]
    fn a_fault_names_its_line() {
        for (text, expected) in [
            ("VERS", "line 1: header line \"VERS\" is unknown"),
            (
                "VERSION=3\nformat=print\ncolour=blue\n",
                "line 3: header line \"colour=blue\" is unknown",
            ),
            (
                "VERSION=3\nformat=print\n",
                "line 3: the text ends here, before HEADER=END; it is cut off",
            ),
            (
                "VERSION=3\nformat=print\nHEADER=END\n",
                "line 3: the header ends without type=btree",
            ),
            (
                "VERSION=3\ntype=btree\nHEADER=END\n",
                "line 3: the header ends without format=print or format=bytevalue",
            ),
            (
                "HEAD a\n",
                "line 7: the text ends here, before the value of the last key; it is cut off",
            ),
            (
                "HEAD a\n b\n",
                "line 8: the text ends here, before DATA=END; it is cut off",
            ),
            ("HEAD a\nDATA=END\n", "line 7: a key without a value"),
            (
                "HEADa\n b\nDATA=END\n",
                "line 6: expected a blank and then a key or value",
            ),
            (
                "HEAD a\\\n b\n",
                "line 6: column 3: expected a backslash or two hexadecimal digits after a backslash",
            ),
            (
                "HEAD \\0g\n b\n",
                "line 6: column 2: expected a backslash or two hexadecimal digits after a backslash",
            ),
            ("HEAD a\r\n b\n", "line 6: column 3: a control character"),
            (
                "VERSION=3\nformat=bytevalue\ntype=btree\nHEADER=END\n 00\n 00f\n",
                "line 6: column 4: expected two hexadecimal digits for each octet",
            ),
            (
                "HEAD a\n b\nDATA=END\nVERSION=3\n",
                "line 9: text after DATA=END; expected one table",
            ),
        ] {
            let text = text.replace("HEAD ", &format!("{HEAD} "));
            let text = text.replace("HEADa", &format!("{HEAD}a"));
            let fault = domains(text.as_bytes()).unwrap_err();
            assert_eq!(fault.to_string(), expected);
        }
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut text = BufReader::new(HEAD.as_bytes().chain(io::repeat(b' ')));
        let fault = read_text(&mut text, Table::Domain, &mut |_| Flow::More).unwrap_err();
        assert!(matches!(
            fault,
            Fault::Damaged {
                line: 6,
                damage: Damage::LongLine
            }
        ));
    }
}
