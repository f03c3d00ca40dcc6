//! Records as rows: the statements of each table, what is bound to them, and what is read from them.

use std::borrow::Cow;
use std::sync::LazyLock;

use rusqlite::types::{ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::store::record::{
    Acl, Domain, Filter, FilterAction, Identity, Record, Route, SiloMessage, StaticRegistration,
    Table, User,
};
use crate::store::{Put, RecordFault};

/// The statements of one table. The first column is always the key.
pub(super) struct Statements {
    /// Every row, in the order of keys.
    pub(super) all: String,
    one: String,
    /// Whether there is a row.
    pub(super) any: String,
    insert: String,
    update: String,
    delete: String,
}

static STATEMENTS: LazyLock<[Statements; 8]> = LazyLock::new(|| Table::ALL.map(Statements::of));

/// The statements of this table.
pub(super) fn statements(table: Table) -> &'static Statements {
    let [
        domain,
        acl,
        route,
        filter,
        registration,
        user,
        identity,
        silo,
    ] = &*STATEMENTS;
    match table {
        Table::Domain => domain,
        Table::Acl => acl,
        Table::Route => route,
        Table::Filter => filter,
        Table::Registration => registration,
        Table::User => user,
        Table::Identity => identity,
        Table::Silo => silo,
    }
}

fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Domain => &["domain", "tls_port"],
        Table::Acl => &[
            "tls_peer_name",
            "address",
            "mask",
            "port",
            "family",
            "transport",
        ],
        Table::Route => &[
            "method",
            "event",
            "matching_pattern",
            "rewrite_expression",
            "\"order\"",
        ],
        Table::Filter => &[
            "cond1_header",
            "cond1_regex",
            "cond2_header",
            "cond2_regex",
            "method",
            "event",
            "action",
            "action_data",
            "\"order\"",
        ],
        Table::Registration => &["aor", "contact", "path"],
        Table::User => &[
            "user",
            "domain",
            "realm",
            "password_hash",
            "password_hash_alt",
            "name",
            "email",
            "forward_address",
        ],
        Table::Identity => &["peer_name", "authorized_identity"],
        Table::Silo => &[
            "dest_uri",
            "source_uri",
            "original_sent_time",
            "tid",
            "mime_type",
            "message_body",
        ],
    }
}

impl Statements {
    fn of(table: Table) -> Self {
        let columns = columns(table);
        let list = columns.join(", ");
        let marks: String = (2..columns.len() + 2).map(|n| format!(", ?{n}")).collect();
        let sets: Vec<String> = columns
            .iter()
            .zip(2..)
            .map(|(column, n)| format!("{column} = ?{n}"))
            .collect();
        Self {
            all: format!("SELECT key, {list} FROM {table} ORDER BY key"),
            one: format!("SELECT key, {list} FROM {table} WHERE key = ?1"),
            any: format!("SELECT EXISTS (SELECT 1 FROM {table})"),
            insert: format!(
                "INSERT INTO {table} (key, {list}) VALUES (?1{marks}) ON CONFLICT (key) DO NOTHING"
            ),
            update: format!("UPDATE {table} SET {} WHERE key = ?1", sets.join(", ")),
            delete: format!("DELETE FROM {table} WHERE key = ?1"),
        }
    }
}

/// The key that a row is found by: repro's key, with the domain in lower case, because domains compare without case
/// and users do not (RFC 3261 §19.1.4). What was written stays in the columns.
pub(in crate::store) fn lookup_key(table: Table, key: &str) -> Cow<'_, str> {
    let domain = match table {
        Table::Domain => 0,
        // The domain is what follows the last `@`. A name in a certificate is taken exactly: it may be a MAC address.
        Table::User => key.rfind('@').map_or(key.len(), |at| at + 1),
        Table::Identity => {
            let identity = key.rfind(',').map_or(key.len(), |comma| comma + 1);
            key.get(identity..)
                .and_then(|tail| tail.rfind('@'))
                .map_or(identity, |at| identity + at + 1)
        }
        Table::Acl | Table::Route | Table::Filter | Table::Registration | Table::Silo => key.len(),
    };
    match key.split_at_checked(domain) {
        Some((before, domain)) if domain.bytes().any(|b| b.is_ascii_uppercase()) => {
            Cow::Owned(format!("{before}{}", domain.to_ascii_lowercase()))
        }
        _ => Cow::Borrowed(key),
    }
}

/// Why a record was not stored.
pub(super) enum Refusal {
    /// The record itself cannot be.
    Record(RecordFault),
    /// SQLite says so.
    Sqlite(rusqlite::Error),
}

impl From<RecordFault> for Refusal {
    fn from(fault: RecordFault) -> Self {
        Self::Record(fault)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Stores a record in place of the one with its key. In a transaction of the caller's.
pub(super) fn put(connection: &Connection, record: &Record) -> Result<Put, Refusal> {
    let key = record.key();
    let key = lookup_key(record.table(), &key);
    let statements = statements(record.table());
    let values = || -> Result<_, Refusal> { Ok(params_from_iter(values(&key, record)?)) };
    if connection
        .prepare_cached(&statements.insert)?
        .execute(values()?)?
        == 1
    {
        return Ok(Put::Added);
    }
    // A row that cannot be read is one to replace.
    if let Some(Ok(stored)) = get(connection, record.table(), &key)?
        && stored == *record
    {
        return Ok(Put::Same);
    }
    connection
        .prepare_cached(&statements.update)?
        .execute(values()?)?;
    Ok(Put::Changed)
}

/// The record of a key.
pub(super) fn get(
    connection: &Connection,
    table: Table,
    key: &str,
) -> rusqlite::Result<Option<Result<Record, RecordFault>>> {
    connection
        .prepare_cached(&statements(table).one)?
        .query_row([&*lookup_key(table, key)], |row| Ok(read(table, row)))
        .optional()
}

/// Removes a record; says whether it was there.
pub(super) fn remove(connection: &Connection, table: Table, key: &str) -> rusqlite::Result<bool> {
    let removed = connection
        .prepare_cached(&statements(table).delete)?
        .execute([&*lookup_key(table, key)])?;
    Ok(removed > 0)
}

fn values<'r>(key: &'r str, record: &'r Record) -> Result<Vec<ToSqlOutput<'r>>, RecordFault> {
    let text = |text: &'r str| ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()));
    let number = |number: i64| ToSqlOutput::Borrowed(ValueRef::Integer(number));
    let short = |short: i16| number(i64::from(short));
    Ok(match record {
        Record::Domain(r) => vec![text(key), text(&r.domain), short(r.tls_port)],
        Record::Acl(r) => vec![
            text(key),
            text(&r.tls_peer_name),
            text(&r.address),
            short(r.mask),
            short(r.port),
            short(r.family),
            short(r.transport),
        ],
        Record::Route(r) => vec![
            text(key),
            text(&r.method),
            text(&r.event),
            text(&r.matching_pattern),
            text(&r.rewrite_expression),
            short(r.order),
        ],
        Record::Filter(r) => vec![
            text(key),
            text(&r.cond1_header),
            text(&r.cond1_regex),
            text(&r.cond2_header),
            text(&r.cond2_regex),
            text(&r.method),
            text(&r.event),
            short(r.action.number()),
            text(&r.action_data),
            short(r.order),
        ],
        Record::Registration(r) => vec![text(key), text(&r.aor), text(&r.contact), text(&r.path)],
        Record::User(r) => vec![
            text(key),
            text(&r.user),
            text(&r.domain),
            text(&r.realm),
            text(&r.password_hash),
            text(&r.password_hash_alt),
            text(&r.name),
            text(&r.email),
            text(&r.forward_address),
        ],
        Record::Identity(r) => vec![text(key), text(&r.peer_name), text(&r.authorized_identity)],
        Record::Silo(r) => vec![
            text(key),
            text(&r.dest_uri),
            text(&r.source_uri),
            number(
                i64::try_from(r.original_sent_time).map_err(|_| RecordFault {
                    table: Table::Silo,
                    key: key.to_owned(),
                    why: format!("{} is no time in seconds", r.original_sent_time),
                })?,
            ),
            text(&r.tid),
            text(&r.mime_type),
            ToSqlOutput::Borrowed(ValueRef::Blob(&r.message_body)),
        ],
    })
}

/// The record of a row of [`Statements::all`] or [`Statements::one`].
pub(super) fn read(table: Table, row: &Row<'_>) -> Result<Record, RecordFault> {
    read_columns(table, row).map_err(|error| RecordFault {
        table,
        key: match row.get_ref(0) {
            Ok(ValueRef::Text(key)) => String::from_utf8_lossy(key).into_owned(),
            _ => String::new(),
        },
        why: match error {
            rusqlite::Error::Utf8Error(column, _) => {
                format!("column {} is not UTF-8", name(row, column))
            }
            rusqlite::Error::FromSqlConversionFailure(column, _, _)
            | rusqlite::Error::IntegralValueOutOfRange(column, _)
            | rusqlite::Error::InvalidColumnType(column, _, _) => {
                format!("column {} holds something else", name(row, column))
            }
            other => other.to_string(),
        },
    })
}

fn name(row: &Row<'_>, column: usize) -> String {
    let statement = row.as_ref();
    statement.column_name(column).unwrap_or_default().to_owned()
}

fn read_columns(table: Table, row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(match table {
        Table::Domain => Record::Domain(Domain {
            domain: row.get(1)?,
            tls_port: row.get(2)?,
        }),
        Table::Acl => Record::Acl(Acl {
            tls_peer_name: row.get(1)?,
            address: row.get(2)?,
            mask: row.get(3)?,
            port: row.get(4)?,
            family: row.get(5)?,
            transport: row.get(6)?,
        }),
        Table::Route => Record::Route(Route {
            method: row.get(1)?,
            event: row.get(2)?,
            matching_pattern: row.get(3)?,
            rewrite_expression: row.get(4)?,
            order: row.get(5)?,
        }),
        Table::Filter => Record::Filter(Filter {
            cond1_header: row.get(1)?,
            cond1_regex: row.get(2)?,
            cond2_header: row.get(3)?,
            cond2_regex: row.get(4)?,
            method: row.get(5)?,
            event: row.get(6)?,
            action: FilterAction::of_number(row.get(7)?).ok_or(
                rusqlite::Error::InvalidColumnType(7, String::new(), Type::Integer),
            )?,
            action_data: row.get(8)?,
            order: row.get(9)?,
        }),
        Table::Registration => Record::Registration(StaticRegistration {
            aor: row.get(1)?,
            contact: row.get(2)?,
            path: row.get(3)?,
        }),
        Table::User => Record::User(User {
            user: row.get(1)?,
            domain: row.get(2)?,
            realm: row.get(3)?,
            password_hash: row.get(4)?,
            password_hash_alt: row.get(5)?,
            name: row.get(6)?,
            email: row.get(7)?,
            forward_address: row.get(8)?,
        }),
        Table::Identity => Record::Identity(Identity {
            peer_name: row.get(1)?,
            authorized_identity: row.get(2)?,
        }),
        Table::Silo => Record::Silo(message(row)?),
    })
}

/// A message of a row of the table of messages.
pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<SiloMessage> {
    Ok(SiloMessage {
        dest_uri: row.get(1)?,
        source_uri: row.get(2)?,
        original_sent_time: row
            .get::<_, i64>(3)?
            .try_into()
            .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(3, -1))?,
        tid: row.get(4)?,
        mime_type: row.get(5)?,
        message_body: row.get(6)?,
    })
}
