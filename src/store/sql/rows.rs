//! Rows of repro's tables to records and back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::session::Row;
use crate::store::encoding::{ByteOrder, decode, encode};
use crate::store::{Identity, Record, RecordFault, Table, User};

/// The machines that repro wrote its tables on: its own helpers for PostgreSQL know no other order either.
const ORDER: ByteOrder = ByteOrder::Little;

/// Hex digits of a hash of each algorithm, as repro writes them.
const HASHES: [(&str, usize); 3] = [("MD5", 32), ("SHA-256", 64), ("SHA-512-256", 64)];

/// The record of a row.
pub(super) fn read(table: Table, row: Row) -> Result<Record, RecordFault> {
    match table {
        Table::User => user(row),
        Table::Identity => identity(row),
        _ => encoded(table, row),
    }
}

/// The values of a record's row, in the order of its columns.
pub(super) fn write(record: &Record) -> Result<Vec<String>, RecordFault> {
    Ok(match record {
        Record::User(r) => vec![
            r.user.clone(),
            r.domain.clone(),
            r.realm.clone(),
            r.password_hash.clone(),
            r.password_hash_alt.clone(),
            r.name.clone(),
            r.email.clone(),
            r.forward_address.clone(),
        ],
        Record::Identity(r) => vec![r.peer_name.clone(), r.authorized_identity.clone()],
        record => {
            let value = STANDARD.encode(encode(record, ORDER)?);
            match record {
                Record::Silo(r) => vec![record.key(), value, r.dest_uri.clone()],
                _ => vec![record.key(), value],
            }
        }
    })
}

/// A text column; NULL is an empty text.
pub(super) fn text(cell: Option<Vec<u8>>) -> Result<String, String> {
    String::from_utf8(cell.unwrap_or_default()).map_err(|_| "not UTF-8".to_owned())
}

/// Why hashes cannot be used that a column was too narrow for.
pub(super) fn cut_off(hashes: &str) -> Option<&'static str> {
    let why = "the hashes are cut off: the column is too narrow. Widen passwordHash and passwordHashAlt to \
               VARCHAR(512), then set the password again";
    let (_, last) = hashes.rsplit_once('[')?;
    let Some((algorithm, hex)) = last.split_once(']') else {
        return Some(why);
    };
    let (_, whole) = HASHES.iter().find(|(name, _)| *name == algorithm)?;
    (hex.len() < *whole).then_some(why)
}

fn user(row: Row) -> Result<Record, RecordFault> {
    let mut cells = row.into_iter();
    let mut broken = None;
    let mut next = |column: &str| {
        text(cells.next().flatten()).unwrap_or_else(|why| {
            broken.get_or_insert(format!("{column}: {why}"));
            String::new()
        })
    };
    let user = User {
        user: next("user"),
        domain: next("domain"),
        realm: next("realm"),
        password_hash: next("passwordHash"),
        password_hash_alt: next("passwordHashAlt"),
        name: next("name"),
        email: next("email"),
        forward_address: next("forwardAddress"),
    };
    let why = broken.or_else(|| {
        [&user.password_hash, &user.password_hash_alt]
            .into_iter()
            .find_map(|hashes| cut_off(hashes))
            .map(str::to_owned)
    });
    let record = Record::User(user);
    match why {
        None => Ok(record),
        Some(why) => Err(RecordFault {
            table: Table::User,
            key: record.key(),
            why,
        }),
    }
}

fn identity(row: Row) -> Result<Record, RecordFault> {
    let mut cells = row.into_iter().map(text);
    let mut next = || cells.next().unwrap_or_else(|| Ok(String::new()));
    match (next(), next()) {
        (Ok(peer_name), Ok(authorized_identity)) => Ok(Record::Identity(Identity {
            peer_name,
            authorized_identity,
        })),
        (name, _) => Err(RecordFault {
            table: Table::Identity,
            key: name.unwrap_or_default(),
            why: "not UTF-8".into(),
        }),
    }
}

fn encoded(table: Table, row: Row) -> Result<Record, RecordFault> {
    let mut cells = row.into_iter();
    let key = cells.next().flatten().unwrap_or_default();
    let value = cells.next().flatten().unwrap_or_default();
    // PostgreSQL's own encoder, which repro's views use, breaks lines.
    let value: Vec<u8> = value
        .into_iter()
        .filter(|octet| !octet.is_ascii_whitespace())
        .collect();
    let value = STANDARD.decode(value).map_err(|error| RecordFault {
        table,
        key: String::from_utf8_lossy(&key).into_owned(),
        why: format!("the value is not base64: {error}"),
    })?;
    decode(table, &key, &value, ORDER).map(|decoded| decoded.record)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that cannot go on says so by panicking"
    )]

    use super::*;
    use crate::store::{Domain, SiloMessage};

    fn row(cells: &[&str]) -> Row {
        cells.iter().map(|c| Some(c.as_bytes().to_vec())).collect()
    }

    #[test]
    fn rows_are_those_of_repro() {
        let domain = Record::Domain(Domain {
            domain: "example.org".into(),
            tls_port: 0,
        });
        let written = ["example.org", "AQALAGV4YW1wbGUub3JnAAA="];
        assert_eq!(write(&domain).unwrap(), written);
        assert_eq!(read(Table::Domain, row(&written)).unwrap(), domain);
        let message = Record::Silo(SiloMessage {
            dest_uri: "sip:a@example.org".into(),
            original_sent_time: 1_700_000_000,
            tid: "t".into(),
            ..SiloMessage::default()
        });
        let written = write(&message).unwrap();
        assert_eq!(written.first().unwrap(), "1700000000:t");
        assert_eq!(written.last().unwrap(), "sip:a@example.org");
    }

    #[test]
    fn base64_may_have_lines() {
        let broken = row(&["example.org", "AQALAGV4YW1w\nbGUub3JnAAA=\n"]);
        assert!(read(Table::Domain, broken).is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_a_fault_of_that_row() {
        for (situation, table, cells, why) in [
            (
                "no base64",
                Table::Domain,
                &["a", "%%"] as &[&str],
                "not base64",
            ),
            ("no record", Table::Domain, &["a", "AAAA"], "version"),
            (
                "another's key",
                Table::Domain,
                &["a", "AQALAGV4YW1wbGUub3JnAAA="],
                "key",
            ),
            (
                "cut off",
                Table::User,
                &["a", "b", "b", "[MD5]8ea972d8db3f90d047e3cb6b6e1"],
                "Widen",
            ),
        ] {
            let fault = read(table, row(cells)).unwrap_err();
            assert!(fault.why.contains(why), "{situation}: {fault}");
            assert!(!fault.to_string().contains("8ea9"), "{situation}: {fault}");
        }
    }

    #[test]
    fn null_is_empty() {
        let cells = vec![Some(b"a".to_vec()), None, None, None];
        let Record::User(user) = read(Table::User, cells).unwrap() else {
            unreachable!("a user")
        };
        assert_eq!((user.user.as_str(), user.domain.as_str()), ("a", ""));
    }

    #[test]
    fn a_narrow_column_is_recognised() {
        let md5 = "8ea972d8db3f90d047e3cb6b6e1ad9da";
        let whole = format!("[MD5]{md5}[SHA-256]{md5}{md5}");
        for (situation, hashes, cut) in [
            ("nothing", "", false),
            ("bare MD5", md5, false),
            ("whole", whole.as_str(), false),
            ("VARCHAR(32)", whole.get(..32).unwrap(), true),
            (
                "in the name of an algorithm",
                whole.get(..40).unwrap(),
                true,
            ),
            ("in the last hash", whole.get(..100).unwrap(), true),
            ("of another program", "[BCRYPT]x", false),
        ] {
            assert_eq!(cut_off(hashes).is_some(), cut, "{situation}");
        }
    }
}
