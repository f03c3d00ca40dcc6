//! What every store answers, answered from the file.

use rusqlite::{OptionalExtension, params};

use super::{Durability, Embedded, bindings, rows};
use crate::store::record::{Record, SiloMessage, Table};
use crate::store::{Error, Flow, Put, RecordFault, Store};

impl Store for Embedded {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Record, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&rows::statements(table).all)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if take(rows::read(table, row)) == Flow::Enough {
                    break;
                }
            }
            Ok(())
        })
    }

    fn get(&self, table: Table, key: &str) -> Result<Option<Record>, Error> {
        self.read(|connection| rows::get(connection, table, key))?
            .transpose()
            .map_err(Error::Record)
    }

    fn put(&self, records: &[Record]) -> Result<Vec<Put>, Error> {
        self.change(|change| records.iter().map(|record| change.put(record)).collect())
    }

    fn remove(&self, table: Table, keys: &[String]) -> Result<usize, Error> {
        self.change(|change| {
            let mut removed = 0;
            for key in keys {
                removed += usize::from(change.remove(table, key)?);
            }
            Ok(removed)
        })
    }

    fn replace(&self, old: &str, record: &Record) -> Result<Put, Error> {
        let table = record.table();
        self.change(|change| {
            let key = record.key();
            if rows::lookup_key(table, old) != rows::lookup_key(table, &key) {
                change.remove(table, old)?;
            }
            change.put(record)
        })
    }

    fn password_hash(&self, user: &str, realm: &str) -> Result<Option<String>, Error> {
        let key = format!("{user}@{realm}");
        self.read(|connection| {
            // The user too: `a@b` of `c` has the key of `a` of `b@c`.
            connection
                .prepare_cached("SELECT password_hash FROM user WHERE key = ?1 AND user = ?2")?
                .query_row(params![rows::lookup_key(Table::User, &key), user], |row| {
                    row.get(0)
                })
                .optional()
        })
    }

    fn authorizes(&self, peer_names: &[String], identities: &[String]) -> Result<bool, Error> {
        self.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT 1 FROM identity WHERE key = ?1 AND peer_name = ?2")?;
            for peer_name in peer_names {
                for identity in identities {
                    // The name too: a comma may be anywhere in what a peer says.
                    let key = format!("{peer_name},{identity}");
                    if statement
                        .exists(params![rows::lookup_key(Table::Identity, &key), peer_name])?
                    {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        })
    }

    fn messages_for(&self, dest_uri: &str, limit: usize) -> Result<Vec<SiloMessage>, Error> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT key, dest_uri, source_uri, original_sent_time, tid, mime_type, message_body \
                     FROM silo WHERE dest_uri = ?1 ORDER BY original_sent_time, tid LIMIT ?2",
                )?
                .query_map(
                    params![dest_uri, i64::try_from(limit).unwrap_or(i64::MAX)],
                    rows::message,
                )?
                .collect()
        })
    }

    fn count_messages(&self, dest_uri: &str) -> Result<(u64, u64), Error> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT (SELECT count(*) FROM silo WHERE dest_uri = ?1), (SELECT count(*) FROM silo)",
                )?
                .query_row([dest_uri], |row| {
                    let (here, all): (i64, i64) = (row.get(0)?, row.get(1)?);
                    Ok((here.unsigned_abs(), all.unsigned_abs()))
                })
        })
    }

    fn expire_messages(&self, before: u64) -> Result<usize, Error> {
        self.write(Durability::Disk, |transaction| {
            transaction
                .prepare_cached("DELETE FROM silo WHERE original_sent_time < ?1")?
                .execute([bindings::seconds(before)])
        })
    }

    fn version(&self) -> Result<Option<u64>, Error> {
        Ok(Some(self.versions()?.sum()))
    }
}
