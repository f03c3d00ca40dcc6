//! repro's own schema in PostgreSQL, MySQL or MariaDB, read and written as repro does.
//!
//! Whatever comes from a peer or an operator is a bound parameter; repro wrote it into the text. `template` reads the
//! statements that operators wrote for that. `pool` keeps the connections, each with a thread, and gives up in time
//! whatever happens; `postgresql` and `mysql` are the two clients behind it.

mod backoff;
mod change;
mod conninfo;
mod fault;
mod mysql;
mod pool;
mod postgresql;
mod rows;
mod scan;
mod session;
mod statements;
mod target;
mod template;
mod tls;

use std::sync::Arc;
use std::time::Duration;

pub use target::OptionsFault;
pub use template::TemplateFault;

use fault::Fault;
use pool::Pool;
use scan::Dialect;
use session::{Cell, Dial, Session};
use statements::Statements;
use target::Target;
use template::{Name, Purpose, Template};

use super::{
    Error, Flow, Put, Record, RecordFault, SiloMessage, SqlKind, SqlOptions, Store, Table,
};

/// A data base with repro's schema.
pub struct SqlStore {
    place: String,
    patience: Duration,
    pool: Pool,
    statements: Arc<Statements>,
    user_query: Option<Arc<Template>>,
    tls_query: Option<Arc<Template>>,
}

fn dialect(kind: SqlKind) -> Dialect {
    match kind {
        SqlKind::PostgreSql => Dialect::PostgreSql,
        SqlKind::MySql => Dialect::MySql,
    }
}

/// The operator's own statements for users and for TLS peer identities.
fn queries(options: &SqlOptions) -> Result<[Option<Arc<Template>>; 2], OptionsFault> {
    let template = |text: &Option<String>, purpose, setting| {
        text.as_deref()
            .filter(|text| !text.trim().is_empty())
            .map(|text| {
                Template::parse(text, purpose, dialect(options.kind))
                    .map(Arc::new)
                    .map_err(|fault| OptionsFault::Query { setting, fault })
            })
            .transpose()
    };
    Ok([
        template(&options.user_query, Purpose::User, "CustomUserAuthQuery")?,
        template(&options.tls_query, Purpose::Tls, "CustomTlsAuthQuery")?,
    ])
}

impl SqlStore {
    /// Reads the options. Connections are made when they are needed: [`Self::check`] makes one.
    ///
    /// # Errors
    /// Options that cannot be used.
    pub fn open(options: &SqlOptions) -> Result<Self, OptionsFault> {
        let target = Target::of(options)?;
        let dial: Arc<dyn Dial> = match options.kind {
            SqlKind::PostgreSql => Arc::new(postgresql::PostgreSql::new(&target)?),
            SqlKind::MySql => Arc::new(mysql::MySql::new(&target)),
        };
        let [user_query, tls_query] = queries(options)?;
        Ok(Self {
            place: target.place(options.kind),
            patience: target.statement_timeout,
            pool: Pool::new(
                dial,
                options.pool,
                target.connect_timeout,
                target.statement_timeout,
            ),
            statements: Arc::new(Statements::new(dialect(options.kind), &options.prefix)),
            user_query,
            tls_query,
        })
    }

    /// Holds the options against what can be used, and opens nothing: no file, no connection.
    ///
    /// # Errors
    /// Options that cannot be used.
    pub fn examine(options: &SqlOptions) -> Result<(), OptionsFault> {
        Target::of(options)?;
        queries(options).map(drop)
    }

    /// Connects, and asks the server for a sign of life.
    ///
    /// # Errors
    /// It cannot be reached, or does not let us in.
    pub fn check(&self) -> Result<(), Error> {
        self.ask(Table::User, |session, _| {
            session.first("SELECT 1", &[]).map(|_| ())
        })
    }

    /// Looks at the statement of a request filter without asking it.
    ///
    /// # Errors
    /// What cannot be used of it.
    pub fn check_filter(&self, statement: &str) -> Result<(), TemplateFault> {
        Template::parse(statement, Purpose::Filter, self.statements.dialect).map(|_| ())
    }

    /// Asks the statement of a request filter, in which `$1N` and `$2N` stand for capture N of condition 1 and 2. Answers
    /// the first column of the first row: `None` if there is no row, or it is NULL. A capture that did not match is empty.
    ///
    /// # Errors
    /// The server does not answer or refuses, or the statement cannot be used.
    pub fn query_filter(
        &self,
        statement: &str,
        captures: &dyn Fn(u8, u8) -> Option<String>,
    ) -> Result<Option<String>, Error> {
        let template = Template::parse(statement, Purpose::Filter, self.statements.dialect)
            .map_err(|fault| self.error(Fault::Query(fault.to_string()), Table::Filter))?;
        let bound = template.bind(
            &|name| match name {
                Name::Capture(condition, capture) => {
                    captures(condition, capture).unwrap_or_default()
                }
                _ => String::new(),
            },
            &|_| Vec::new(),
        );
        self.ask(Table::Filter, move |session, _| {
            first_text(session, &bound.sql, &bound.values)
        })
    }

    fn error(&self, fault: Fault, table: Table) -> Error {
        fault.into_error(&self.place, &self.statements.table(table), self.patience)
    }

    /// Asks over some connection. `table` is the one that is missing if the server does not say.
    fn ask<T: Send + 'static>(
        &self,
        table: Table,
        job: impl Fn(&mut Session<'_>, &Statements) -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let statements = Arc::clone(&self.statements);
        self.pool
            .ask(move |session| job(session, &statements))
            .map_err(|fault| self.error(fault, table))
    }

    /// Changes something of these tables, all or nothing.
    fn change<T: Send + 'static>(
        &self,
        tables: Vec<Table>,
        job: impl Fn(&mut Session<'_>, &Statements) -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let first = tables.first().copied().unwrap_or(Table::User);
        self.ask(first, move |session, statements| {
            session.in_transaction(|session| {
                for table in &tables {
                    change::must_be_a_table(session, statements, *table)?;
                }
                job(session, statements)
            })
        })
    }

    /// What the users table has, as far as it is for this user: MySQL equals letters of another case, which is kept, and
    /// letters with other accents, which is not.
    fn password_in_table(&self, user: &str, realm: &str) -> Result<Option<String>, Error> {
        let (user, realm) = (user.to_owned(), realm.to_owned());
        let values = vec![user.clone(), realm.clone()];
        self.ask(Table::User, move |session, statements| {
            let mut found = None;
            session.query(&statements.password(), &values, &mut |row| {
                let mut cells = row.into_iter();
                let hash = cells.next().flatten();
                let same = |cell: Option<Cell>, wanted: &str| {
                    cell.flatten()
                        .is_some_and(|cell| cell.eq_ignore_ascii_case(wanted.as_bytes()))
                };
                if same(cells.next(), &user) && same(cells.next(), &realm) {
                    found = Some(hash);
                    return Flow::Enough;
                }
                Flow::More
            })?;
            found.map(|hash| hashes(hash, &user, &realm)).transpose()
        })
    }
}

impl Store for SqlStore {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Record, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        let sql = self.statements.all(table);
        // Identities may be there twice; equal ones come one after the other.
        let mut last = None;
        self.pool
            .ask_rows(
                move |session, outlet| session.query(&sql, &[], &mut |row| outlet.give(row)),
                &mut |row| {
                    if table == Table::Identity {
                        if last.as_ref() == Some(&row) {
                            return Flow::More;
                        }
                        last = Some(row.clone());
                    }
                    take(rows::read(table, row))
                },
            )
            .map_err(|fault| self.error(fault, table))
    }

    fn get(&self, table: Table, key: &str) -> Result<Option<Record>, Error> {
        if key.contains('\0') {
            return Ok(None);
        }
        let key = key.to_owned();
        self.ask(table, move |session, statements| {
            let (sql, values) = statements.one(table, &key);
            session
                .first(&sql, &values)?
                .map(|row| rows::read(table, row).map_err(Fault::Record))
                .transpose()
        })
    }

    fn put(&self, records: &[Record]) -> Result<Vec<Put>, Error> {
        let mut tables: Vec<Table> = records.iter().map(Record::table).collect();
        tables.sort_unstable();
        tables.dedup();
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let records = records.to_vec();
        self.change(tables, move |session, statements| {
            records
                .iter()
                .map(|record| change::put(session, statements, record))
                .collect()
        })
    }

    fn remove(&self, table: Table, keys: &[String]) -> Result<usize, Error> {
        let keys = keys.to_vec();
        self.change(vec![table], move |session, statements| {
            let mut removed = 0;
            for key in &keys {
                removed += usize::from(change::remove(session, statements, table, key)?);
            }
            Ok(removed)
        })
    }

    fn replace(&self, old: &str, record: &Record) -> Result<Put, Error> {
        let (old, record) = (old.to_owned(), record.clone());
        let table = record.table();
        self.change(vec![table], move |session, statements| {
            if old != record.key() {
                change::remove(session, statements, table, &old)?;
            }
            change::put(session, statements, &record)
        })
    }

    /// The table's row, and where there is none, that of the operator's query. repro joined both by UNION and took
    /// whichever the server gave first.
    fn password_hash(&self, user: &str, realm: &str) -> Result<Option<String>, Error> {
        // No text of either server can have one.
        if user.contains('\0') || realm.contains('\0') {
            return Ok(None);
        }
        let found = self.password_in_table(user, realm)?;
        let Some(template) = self.user_query.as_ref().filter(|_| !realm.is_empty()) else {
            return Ok(found);
        };
        if found.as_ref().is_some_and(|hashes| !hashes.is_empty()) {
            return Ok(found);
        }
        let bound = template.bind(
            &|name| match name {
                Name::User => user.to_owned(),
                Name::Domain => realm.to_owned(),
                _ => String::new(),
            },
            &|_| Vec::new(),
        );
        let (user, realm) = (user.to_owned(), realm.to_owned());
        let custom = self.ask(Table::User, move |session, _| {
            session
                .first(&bound.sql, &bound.values)?
                .map(|row| hashes(row.into_iter().next().flatten(), &user, &realm))
                .transpose()
        })?;
        Ok(custom.or(found))
    }

    /// As repro, but MySQL's idea of equal letters counts for case only, not for accents and blanks at the end.
    fn authorizes(&self, peer_names: &[String], identities: &[String]) -> Result<bool, Error> {
        let without_nul = |texts: &[String]| -> Vec<String> {
            texts
                .iter()
                .filter(|t| !t.contains('\0'))
                .cloned()
                .collect()
        };
        let (names, identities) = (without_nul(peer_names), without_nul(identities));
        if names.is_empty() || identities.is_empty() {
            return Ok(false);
        }
        if let Some(template) = &self.tls_query {
            let bound = template.bind(&|_| String::new(), &|name| match name {
                Name::PeerNames => names.clone(),
                _ => identities.clone(),
            });
            return self.ask(Table::Identity, move |session, _| {
                let count = first_text(session, &bound.sql, &bound.values)?;
                Ok(count.is_some_and(|count| is_positive(&count)))
            });
        }
        self.ask(Table::Identity, move |session, statements| {
            let sql = statements.identities(names.len(), identities.len());
            let values: Vec<String> = names.iter().chain(&identities).cloned().collect();
            let mut authorized = false;
            let one_of = |texts: &[String], cell: Option<Cell>| {
                cell.flatten().is_some_and(|cell| {
                    texts
                        .iter()
                        .any(|t| cell.eq_ignore_ascii_case(t.as_bytes()))
                })
            };
            session.query(&sql, &values, &mut |row| {
                let mut cells = row.into_iter();
                authorized = one_of(&names, cells.next()) && one_of(&identities, cells.next());
                if authorized { Flow::Enough } else { Flow::More }
            })?;
            Ok(authorized)
        })
    }

    fn messages_for(&self, dest_uri: &str, limit: usize) -> Result<Vec<SiloMessage>, Error> {
        if dest_uri.contains('\0') {
            return Ok(Vec::new());
        }
        let uri = dest_uri.to_owned();
        let limit = limit.min(MOST_MESSAGES);
        let records = self.ask(Table::Silo, move |session, statements| {
            let mut records = Vec::new();
            session.query(
                &statements.messages(limit),
                &statements.uri_values(&uri),
                &mut |row| {
                    records.push(rows::read(Table::Silo, row));
                    Flow::More
                },
            )?;
            Ok(records)
        })?;
        let mut messages = Vec::with_capacity(records.len());
        for record in records {
            match record {
                Ok(Record::Silo(message)) => messages.push(message),
                Ok(_) => {}
                // The others are delivered; this one is told again by each export.
                Err(fault) => log::warn!("store.unreadable place={:?} {fault}", self.place),
            }
        }
        Ok(messages)
    }

    fn count_messages(&self, dest_uri: &str) -> Result<(u64, u64), Error> {
        if dest_uri.contains('\0') {
            return Ok((0, self.count_all()?));
        }
        let uri = dest_uri.to_owned();
        let here = self.ask(Table::Silo, move |session, statements| {
            number(
                session,
                &statements.count_for(),
                &statements.uri_values(&uri),
            )
        })?;
        Ok((here, self.count_all()?))
    }

    fn expire_messages(&self, before: u64) -> Result<usize, Error> {
        // Both servers count in signed numbers.
        let before = before.min(i64::MAX.unsigned_abs()).to_string();
        self.change(vec![Table::Silo], move |session, statements| {
            let removed = session.execute(&statements.expire(), std::slice::from_ref(&before))?;
            Ok(usize::try_from(removed).unwrap_or(usize::MAX))
        })
    }

    /// Neither server counts the changes of some tables; whoever asks reads anew by the clock.
    fn version(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
}

impl SqlStore {
    fn count_all(&self) -> Result<u64, Error> {
        self.ask(Table::Silo, |session, statements| {
            number(session, &statements.count_all(), &[])
        })
    }
}

/// Messages that are read at a time: they are held in memory.
const MOST_MESSAGES: usize = 1000;

/// The hashes in a column, if they are whole.
fn hashes(cell: Cell, user: &str, realm: &str) -> Result<String, Fault> {
    let fault = |why: &str| Fault::record(Table::User, &format!("{user}@{realm}"), why);
    let hashes = rows::text(cell).map_err(|why| fault(&why))?;
    match rows::cut_off(&hashes) {
        None => Ok(hashes),
        Some(why) => Err(fault(why)),
    }
}

fn first_text(
    session: &mut Session<'_>,
    sql: &str,
    values: &[String],
) -> Result<Option<String>, Fault> {
    let row = session.first(sql, values)?;
    row.and_then(|row| row.into_iter().next().flatten())
        .map(|cell| rows::text(Some(cell)).map_err(Fault::Query))
        .transpose()
}

fn number(session: &mut Session<'_>, sql: &str, values: &[String]) -> Result<u64, Fault> {
    let text = first_text(session, sql, values)?.unwrap_or_default();
    text.parse()
        .map_err(|_| Fault::Query("a count that is no number".into()))
}

/// Whether a number in an answer is above 0, as far as repro's `atoi` reads it.
fn is_positive(text: &str) -> bool {
    let digits = text.trim_start().trim_start_matches('+');
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits
        .get(..end)
        .is_some_and(|digits| digits.bytes().any(|digit| digit != b'0'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::store::{Password, SqlTls};

    #[test]
    fn a_server_that_takes_a_connection_and_says_too_little_is_told_alike_and_in_time() {
        for (kind, said) in [
            (SqlKind::PostgreSql, &b""[..]),
            (SqlKind::MySql, b""),
            // The head of a packet.
            (SqlKind::MySql, b"\x4a\0\0\0"),
        ] {
            for (connect, query) in [(1, 1), (1, 3), (2, 1)] {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let port = listener.local_addr().unwrap().port();
                let silent = thread::spawn(move || {
                    let (mut peer, _) = listener.accept().unwrap();
                    peer.write_all(said).unwrap();
                    peer
                });
                let store = SqlStore::open(&SqlOptions {
                    kind,
                    host: "127.0.0.1".into(),
                    port,
                    database: "repro".into(),
                    user: "repro".into(),
                    password: Password::default(),
                    conninfo: Password::default(),
                    prefix: String::new(),
                    user_query: None,
                    tls_query: None,
                    tls: SqlTls::Off,
                    ca_file: None,
                    connect_timeout: Duration::from_secs(connect),
                    query_timeout: Duration::from_secs(query),
                    pool: 1,
                })
                .unwrap();
                let began = Instant::now();
                let error = store.check().unwrap_err().to_string();
                let took = began.elapsed();
                let situation = format!("{kind:?} {said:?} {connect} {query}: {error} {took:?}");
                let wanted = format!("cannot be reached: no connection within {connect}s");
                assert!(error.ends_with(&wanted), "{situation}");
                let at_least = Duration::from_secs(connect);
                assert!(took >= at_least, "{situation}");
                // The pool waits half a second more for the client library, and the machine may be busy.
                assert!(took < at_least + Duration::from_secs(2), "{situation}");
                drop(silent.join().unwrap());
            }
        }
    }

    #[test]
    fn a_number_above_nothing_authorizes() {
        for (text, positive) in [
            ("1", true),
            (" 12", true),
            ("+3", true),
            ("10.5", true),
            ("0", false),
            ("00", false),
            ("-1", false),
            ("", false),
            ("yes", false),
        ] {
            assert_eq!(is_positive(text), positive, "{text:?}");
        }
    }
}
