//! The readable form of an export: a directory with a file of JSON lines for each table, one record a line.
//!
//! Fields stand in a fixed order and records in the order of their keys, so that two exports can be compared, and one
//! can be edited and taken over again. The hashes of passwords are in it: the files are for their owner only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::record::{Record, SiloMessage, Table};
use super::{Error, Flow, RecordFault, Store};

/// Longest line that is read, in octets: a record is far from it.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// The file of a table.
pub fn file(dir: &Path, table: Table) -> PathBuf {
    dir.join(format!("{table}.jsonl"))
}

/// Where a file is written before it is whole.
fn unfinished(dir: &Path, table: Table) -> PathBuf {
    dir.join(format!(".{table}.jsonl.new"))
}

/// Writes every table of a store; says how many records of each. The directory must be new, empty, or hold an earlier
/// export, which stays whole until the new one is. Records that the store cannot read are given to `fault` and left
/// out. Each table is as it was at one moment, not all of them at the same.
///
/// # Errors
/// The store does not answer, or the directory holds something else or cannot be written.
pub fn write(
    store: &dyn Store,
    dir: &Path,
    fault: &mut dyn FnMut(RecordFault),
) -> Result<Vec<(Table, u64)>, Error> {
    prepare(dir)?;
    let written = write_beside(store, dir, fault);
    if written.is_err() {
        for table in Table::ALL {
            // The fault is what is told.
            let _ = fs::remove_file(unfinished(dir, table));
        }
        return written;
    }
    for table in Table::ALL {
        let to = file(dir, table);
        fs::rename(unfinished(dir, table), &to).map_err(|error| io_fault(&to, error))?;
    }
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| io_fault(dir, error))?;
    written
}

/// Makes the directory, or looks whether it is one to write to.
fn prepare(dir: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map_err(|error| io_fault(dir, error)),
    }
    for entry in fs::read_dir(dir).map_err(|error| io_fault(dir, error))? {
        let path = entry.map_err(|error| io_fault(dir, error))?.path();
        let ours = Table::ALL
            .iter()
            .any(|table| path == file(dir, *table) || path == unfinished(dir, *table));
        if !ours {
            return Err(Error::Foreign {
                path: dir.to_owned(),
                why: format!(
                    "holds {:?}, which is of no export; name a new or empty directory",
                    path.file_name().unwrap_or_default()
                ),
            });
        }
    }
    Ok(())
}

fn write_beside(
    store: &dyn Store,
    dir: &Path,
    fault: &mut dyn FnMut(RecordFault),
) -> Result<Vec<(Table, u64)>, Error> {
    let mut written = Vec::new();
    for table in Table::ALL {
        let path = unfinished(dir, table);
        // One that a killed export left may have any mode.
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| io_fault(&path, error))?;
        let mut out = BufWriter::new(file);
        let mut records = 0_u64;
        let mut failed = None;
        store.each(table, &mut |record| {
            match record {
                Ok(record) => match write_line(&record, &mut out) {
                    Ok(()) => records += 1,
                    Err(error) => {
                        failed = Some(error);
                        return Flow::Enough;
                    }
                },
                Err(unreadable) => fault(unreadable),
            }
            Flow::More
        })?;
        let finished = match failed {
            Some(error) => Err(error),
            None => out
                .into_inner()
                .map_err(io::IntoInnerError::into_error)
                .and_then(|file| file.sync_all()),
        };
        finished.map_err(|error| io_fault(&path, error))?;
        written.push((table, records));
    }
    Ok(written)
}

fn write_line(record: &Record, mut out: impl Write) -> io::Result<()> {
    match record {
        Record::Domain(r) => serde_json::to_writer(&mut out, r),
        Record::Acl(r) => serde_json::to_writer(&mut out, r),
        Record::Route(r) => serde_json::to_writer(&mut out, r),
        Record::Filter(r) => serde_json::to_writer(&mut out, r),
        Record::Registration(r) => serde_json::to_writer(&mut out, r),
        Record::User(r) => serde_json::to_writer(&mut out, r),
        Record::Identity(r) => serde_json::to_writer(&mut out, r),
        Record::Silo(r) => serde_json::to_writer(&mut out, &SiloLine::from(r)),
    }?;
    out.write_all(b"\n")
}

/// A message with its body in one of two forms.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SiloLine {
    dest_uri: String,
    source_uri: String,
    original_sent_time: u64,
    tid: String,
    mime_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_body_base64: Option<String>,
}

impl From<&SiloMessage> for SiloLine {
    fn from(message: &SiloMessage) -> Self {
        let (text, base64) = match str::from_utf8(&message.message_body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(&message.message_body))),
        };
        Self {
            dest_uri: message.dest_uri.clone(),
            source_uri: message.source_uri.clone(),
            original_sent_time: message.original_sent_time,
            tid: message.tid.clone(),
            mime_type: message.mime_type.clone(),
            message_body: text,
            message_body_base64: base64,
        }
    }
}

impl SiloLine {
    fn message(self) -> Result<SiloMessage, String> {
        let message_body = match (self.message_body, self.message_body_base64) {
            (Some(_), Some(_)) => {
                return Err(
                    "has both message_body and message_body_base64; leave one of them".to_owned(),
                );
            }
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => STANDARD
                .decode(base64)
                .map_err(|_| "message_body_base64 is not base64".to_owned())?,
            (None, None) => Vec::new(),
        };
        Ok(SiloMessage {
            dest_uri: self.dest_uri,
            source_uri: self.source_uri,
            original_sent_time: self.original_sent_time,
            tid: self.tid,
            mime_type: self.mime_type,
            message_body,
        })
    }
}

/// Reads the file of a table. A line that is no record is given as a fault that names it (`user.jsonl:17`), and the
/// rest goes on; an empty line is nothing.
///
/// # Errors
/// The file is not there or cannot be read.
pub fn read(
    dir: &Path,
    table: Table,
    take: &mut dyn FnMut(Result<Record, RecordFault>) -> Flow,
) -> Result<(), Error> {
    let path = file(dir, table);
    let mut reader = File::open(&path)
        .map(BufReader::new)
        .map_err(|error| io_fault(&path, error))?;
    let mut line = Vec::new();
    let mut number = 0_u64;
    while next_line(&mut reader, &mut line).map_err(|error| io_fault(&path, error))? {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = read_line(table, &line).map_err(|why| RecordFault {
            table,
            key: format!("{table}.jsonl:{number}"),
            why,
        });
        if take(record) == Flow::Enough {
            break;
        }
    }
    Ok(())
}

/// Reads one line; no more of it than one octet beyond what is allowed. `false` at the end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let most = u64::try_from(MAX_LINE + 1).unwrap_or(u64::MAX);
    reader.by_ref().take(most).read_until(b'\n', line)?;
    if line.len() > MAX_LINE && line.last() != Some(&b'\n') {
        reader.skip_until(b'\n')?;
    }
    Ok(!line.is_empty())
}

fn read_line(table: Table, line: &[u8]) -> Result<Record, String> {
    if line.len() > MAX_LINE {
        return Err(format!("is longer than {MAX_LINE} octets"));
    }
    Ok(match table {
        Table::Domain => Record::Domain(parse(table, line)?),
        Table::Acl => Record::Acl(parse(table, line)?),
        Table::Route => Record::Route(parse(table, line)?),
        Table::Filter => Record::Filter(parse(table, line)?),
        Table::Registration => Record::Registration(parse(table, line)?),
        Table::User => Record::User(parse(table, line)?),
        Table::Identity => Record::Identity(parse(table, line)?),
        Table::Silo => Record::Silo(parse::<SiloLine>(table, line)?.message()?),
    })
}

fn parse<T: DeserializeOwned>(table: Table, line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        // It is always line 1 of what serde_json was given.
        let said = text.split(" at line ").next().unwrap_or_default();
        // What stands at the wrong place may be a hash or a letter.
        let secret = matches!(table, Table::User | Table::Silo) && said.starts_with("invalid ");
        let why = if secret && error.is_data() {
            "a value is not of the type that this field has"
        } else {
            said
        };
        format!("{why} (column {})", error.column())
    })
}

fn io_fault(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.to_owned(),
        source,
    }
}
