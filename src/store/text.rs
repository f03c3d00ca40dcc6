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
    if line.starts_with(b"\xef\xbb\xbf") {
        return Err("begins with a byte order mark; save the file as UTF-8 without one".to_owned());
    }
    // A list of values would do for serde.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err("is no JSON object".to_owned());
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;
    use crate::store::embedded::{Access, Embedded};
    use crate::store::import::{Export, import};
    use crate::store::record::{
        Acl, Domain, Filter, FilterAction, Identity, Route, StaticRegistration, User,
    };

    fn store(dir: &Path, name: &str) -> Embedded {
        Embedded::open(&dir.join(name), Access::Create).unwrap()
    }

    fn no_fault(fault: RecordFault) {
        unreachable!("{fault}");
    }

    fn lines(dir: &Path, table: Table) -> String {
        fs::read_to_string(file(dir, table)).unwrap()
    }

    /// Records and faults of a file, as text.
    fn read_text(table: Table, text: impl AsRef<[u8]>) -> Vec<Result<Record, String>> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file(dir.path(), table), text).unwrap();
        let mut all = Vec::new();
        read(dir.path(), table, &mut |record| {
            all.push(record.map_err(|fault| fault.to_string()));
            Flow::More
        })
        .unwrap();
        all
    }

    #[test]
    fn an_export_can_be_read_by_people() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), "a.db");
        let letter = |tid: &str, body: &[u8]| {
            Record::Silo(SiloMessage {
                dest_uri: "sip:a@example.org".into(),
                original_sent_time: 7,
                tid: tid.into(),
                message_body: body.to_vec(),
                ..SiloMessage::default()
            })
        };
        let acl = Acl {
            tls_peer_name: "gw \u{e9}\n\"".into(),
            port: -1,
            ..Acl::default()
        };
        let records = [
            letter("b", b"\xff\0"),
            letter("a", b"hello\n"),
            Record::Acl(acl),
        ];
        store.put(&records).unwrap();
        let to = dir.path().join("export");
        let written = write(&store, &to, &mut no_fault).unwrap();
        assert_eq!(written.len(), 8);
        assert!(written.contains(&(Table::Silo, 2)) && written.contains(&(Table::User, 0)));
        assert_eq!(
            lines(&to, Table::Silo),
            "{\"dest_uri\":\"sip:a@example.org\",\"source_uri\":\"\",\"original_sent_time\":7,\"tid\":\"a\",\
             \"mime_type\":\"\",\"message_body\":\"hello\\n\"}\n\
             {\"dest_uri\":\"sip:a@example.org\",\"source_uri\":\"\",\"original_sent_time\":7,\"tid\":\"b\",\
             \"mime_type\":\"\",\"message_body_base64\":\"/wA=\"}\n"
        );
        assert_eq!(
            lines(&to, Table::Acl),
            "{\"tls_peer_name\":\"gw \u{e9}\\n\\\"\",\"address\":\"\",\"mask\":0,\"port\":-1,\"family\":0,\
             \"transport\":0}\n"
        );
        assert_eq!(lines(&to, Table::User), "");
        for entry in fs::read_dir(&to).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn an_export_replaces_an_earlier_one_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), "a.db");
        let to = dir.path().join("export");
        for domain in ["a", "b"] {
            store
                .put(&[Record::Domain(Domain {
                    domain: domain.into(),
                    tls_port: 0,
                })])
                .unwrap();
            // Of an export that was killed.
            let _ = fs::write(unfinished(&to, Table::User), "half");
            write(&store, &to, &mut no_fault).unwrap();
            assert_eq!(fs::read_dir(&to).unwrap().count(), 8);
        }
        assert_eq!(lines(&to, Table::Domain).lines().count(), 2);
        fs::write(to.join("letter.txt"), "").unwrap();
        let error = write(&store, &to, &mut no_fault).unwrap_err().to_string();
        assert!(error.contains("holds \"letter.txt\""), "{error}");
        let error = write(&store, dir.path(), &mut no_fault).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
    }

    #[test]
    fn a_line_that_is_no_record_is_named_and_the_rest_goes_on() {
        let long = format!("{{\"domain\":\"{}\"}}\n", "a".repeat(MAX_LINE));
        let text = [
            b"{\"domain\":\"a\"}\r\n\n{\"domian\":\"b\"}\n{\"domain\":\n{\"domain\":\"\xff\"}\n".as_slice(),
            long.as_bytes(),
            b"[]\n{\"tls_port\":70000}\n{\"domain\":\"c\"} x\n{\"domain\":\"d\",\"domain\":\"d\"}\n{\"tls_port\":1}",
        ]
        .concat();
        let read = read_text(Table::Domain, text);
        let expected = [
            Ok("a"),
            Err("domain \"domain.jsonl:3\": unknown field `domian`"),
            Err("domain \"domain.jsonl:4\": EOF while parsing"),
            Err("domain \"domain.jsonl:5\": invalid unicode code point (column"),
            Err("domain \"domain.jsonl:6\": is longer than"),
            Err("domain \"domain.jsonl:7\": is no JSON object"),
            Err("domain \"domain.jsonl:8\": invalid value: integer `70000`"),
            Err("domain \"domain.jsonl:9\": trailing characters (column 16)"),
            Err("domain \"domain.jsonl:10\": duplicate field `domain`"),
            Ok(""),
        ];
        assert_eq!(read.len(), expected.len(), "{read:?}");
        for (read, expected) in read.iter().zip(expected) {
            match (read, expected) {
                (Ok(record), Ok(key)) => assert_eq!(record.key(), key),
                (Err(fault), Err(start)) => assert!(fault.starts_with(start), "{fault}"),
                other => unreachable!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_fault_shows_no_secret() {
        for (table, text) in [
            (Table::User, "\"8ea972d8\""),
            (Table::User, "{\"password_hash\":8972}"),
            (Table::Silo, "{\"original_sent_time\":\"8972 love letter\"}"),
            (
                Table::Silo,
                "{\"message_body\":\"8972\",\"message_body_base64\":\"8972\"}",
            ),
            (Table::Silo, "{\"message_body_base64\":\"8972!\"}"),
        ] {
            let read = read_text(table, text);
            let fault = read[0].as_ref().unwrap_err();
            assert!(
                !fault.contains("8972") && !fault.contains("8ea9"),
                "{fault}"
            );
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{0,12}",
            "[a-cA-C@:,;]{0,4}",
            Just("\0\u{7f}\u{ffff}\r\n".to_owned())
        ]
    }

    /// Any record that SQLite can hold.
    fn record() -> impl Strategy<Value = Record> {
        let texts = || proptest::collection::vec(text(), 9);
        let numbers = proptest::collection::vec(any::<i16>(), 4);
        let time = 0..=i64::MAX.unsigned_abs();
        let body = proptest::collection::vec(any::<u8>(), 0..20);
        (0..8_usize, texts(), numbers, time, body).prop_map(|(table, t, n, time, body)| {
            let t = |at: usize| t[at].clone();
            match Table::ALL[table] {
                Table::Domain => Record::Domain(Domain {
                    domain: t(0),
                    tls_port: n[0],
                }),
                Table::Acl => Record::Acl(Acl {
                    tls_peer_name: t(0),
                    address: t(1),
                    mask: n[0],
                    port: n[1],
                    family: n[2],
                    transport: n[3],
                }),
                Table::Route => Record::Route(Route {
                    method: t(0),
                    event: t(1),
                    matching_pattern: t(2),
                    rewrite_expression: t(3),
                    order: n[0],
                }),
                Table::Filter => Record::Filter(Filter {
                    cond1_header: t(0),
                    cond1_regex: t(1),
                    cond2_header: t(2),
                    cond2_regex: t(3),
                    method: t(4),
                    event: t(5),
                    action: FilterAction::of_number(n[0].rem_euclid(3)).unwrap(),
                    action_data: t(6),
                    order: n[1],
                }),
                Table::Registration => Record::Registration(StaticRegistration {
                    aor: t(0),
                    contact: t(1),
                    path: t(2),
                }),
                Table::User => Record::User(User {
                    user: t(0),
                    domain: t(1),
                    realm: t(2),
                    password_hash: t(3),
                    password_hash_alt: t(4),
                    name: t(5),
                    email: t(6),
                    forward_address: t(7),
                }),
                Table::Identity => Record::Identity(Identity {
                    peer_name: t(0),
                    authorized_identity: t(1),
                }),
                Table::Silo => Record::Silo(SiloMessage {
                    dest_uri: t(0),
                    source_uri: t(1),
                    original_sent_time: time,
                    tid: t(2),
                    mime_type: t(3),
                    message_body: body,
                }),
            }
        })
    }

    fn all(store: &Embedded) -> Vec<Record> {
        let mut records = Vec::new();
        for table in Table::ALL {
            store
                .each(table, &mut |record| {
                    records.push(record.unwrap());
                    Flow::More
                })
                .unwrap();
        }
        records
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_is_exported_is_what_is_taken_over(
            records in proptest::collection::vec(record(), 0..24),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (first, second) = (store(dir.path(), "1.db"), store(dir.path(), "2.db"));
            first.put(&records).unwrap();
            for record in &records {
                // A later one of the same key may have taken its place.
                let stored = first.get(record.table(), &record.key()).unwrap().unwrap();
                prop_assert!(records.contains(&stored));
            }
            let (here, there) = (dir.path().join("here"), dir.path().join("there"));
            write(&first, &here, &mut no_fault).unwrap();
            let export = Export::open(&here).unwrap();
            let report = import(&second, &export, false, &|_| None).unwrap();
            prop_assert!(report.is_complete(), "{report}");
            prop_assert_eq!(all(&first), all(&second));
            write(&second, &there, &mut no_fault).unwrap();
            for table in Table::ALL {
                prop_assert_eq!(lines(&here, table), lines(&there, table));
            }
            let again = import(&second, &export, false, &|_| None).unwrap();
            prop_assert!(again.tables.iter().all(|t| t.same == t.read), "{again}");
        }
    }
}
