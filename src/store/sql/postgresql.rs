//! PostgreSQL over the `postgres` client.

use std::error::Error as _;
use std::time::Duration;

use log::debug;
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::private::BytesMut;
use postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config};

use super::fault::{Fault, one_line, quoted_name};
use super::session::{Cell, Dial, Driver, Row};
use super::target::{OptionsFault, Target, TlsMode};
use super::tls;
use crate::store::{Flow, SqlKind};

/// Where libpq looks for a server when it is told no host.
const SOCKET_DIRECTORY: &str = "/var/run/postgresql";

/// How to connect to one PostgreSQL server.
pub(super) struct PostgreSql {
    config: Config,
    connector: tls::Connector,
    statement_timeout: Duration,
}

impl PostgreSql {
    /// For this server.
    ///
    /// # Errors
    /// A file for TLS that cannot be read.
    pub(super) fn new(target: &Target) -> Result<Self, OptionsFault> {
        let mut config = Config::new();
        match (target.host.as_str(), target.host_address) {
            ("", None) => {
                config.host(SOCKET_DIRECTORY);
            }
            ("", Some(address)) => {
                config.host(&address.to_string());
            }
            (host, address) => {
                config.host(host);
                if let Some(address) = address {
                    config.hostaddr(address);
                }
            }
        }
        if let Some(port) = target.port {
            config.port(port);
        }
        if !target.database.is_empty() {
            config.dbname(&target.database);
        }
        if !target.user.is_empty() {
            config.user(&target.user);
        }
        if let Some(password) = &target.password {
            config.password(password.reveal());
        }
        if let Some(options) = &target.server_options {
            config.options(options);
        }
        config
            .application_name(target.application.as_deref().unwrap_or("sipvouch"))
            .ssl_mode(match target.tls {
                TlsMode::Off => SslMode::Disable,
                // The client insists on a name for TLS, which a socket has not.
                _ if target.host.starts_with('/') => SslMode::Disable,
                TlsMode::Prefer => SslMode::Prefer,
                _ => SslMode::Require,
            })
            .connect_timeout(target.connect_timeout)
            .tcp_user_timeout(target.statement_timeout)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        // The client would log it in its own way.
        let place = target.place(SqlKind::PostgreSql);
        config.notice_callback(move |notice| {
            debug!(
                "store.notice place={place:?} severity={:?} code={} text={:?}",
                notice.severity(),
                notice.code().code(),
                one_line(notice.message())
            );
        });
        Ok(Self {
            config,
            connector: tls::connector(target)?,
            statement_timeout: target.statement_timeout,
        })
    }
}

impl Dial for PostgreSql {
    fn dial(&self) -> Result<Box<dyn Driver>, Fault> {
        let mut client = self
            .config
            .connect(self.connector.clone())
            .map_err(|error| connect_fault(&error))?;
        let setup = format!(
            "SET statement_timeout = {}; SET lock_timeout = 0",
            self.statement_timeout.as_millis()
        );
        client
            .batch_execute(&setup)
            .map_err(|error| fault(&error))?;
        Ok(Box::new(Connected(client)))
    }
}

struct Connected(Client);

impl Driver for Connected {
    fn run(&mut self, sql: &str) -> Result<(), Fault> {
        self.0.batch_execute(sql).map_err(|error| fault(&error))
    }

    fn execute(&mut self, sql: &str, values: &[String]) -> Result<u64, Fault> {
        let literals = literals(values)?;
        self.0
            .execute_typed(sql, &with_types(&literals))
            .map_err(|error| fault(&error))
    }

    fn query(
        &mut self,
        sql: &str,
        values: &[String],
        take: &mut dyn FnMut(Row) -> Flow,
    ) -> Result<(), Fault> {
        let literals = literals(values)?;
        let parameters = literals.iter().map(|literal| (literal, Type::UNKNOWN));
        let mut rows = self
            .0
            .query_typed_raw(sql, parameters)
            .map_err(|error| fault(&error))?;
        while let Some(row) = rows.next().map_err(|error| fault(&error))? {
            let row = (0..row.len())
                .map(|column| cell(&row, column))
                .collect::<Result<Row, Fault>>()?;
            if take(row) == Flow::Enough {
                break;
            }
        }
        Ok(())
    }
}

/// A value that goes as text, so that the server reads it as a literal of whatever type it finds to be wanted.
#[derive(Debug)]
struct Literal<'a>(&'a str);

impl ToSql for Literal<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn literals(values: &[String]) -> Result<Vec<Literal<'_>>, Fault> {
    if values.iter().any(|value| value.contains('\0')) {
        return Err(Fault::Query(
            "a value has a NUL, which PostgreSQL cannot hold".into(),
        ));
    }
    Ok(values.iter().map(|value| Literal(value)).collect())
}

fn with_types<'a>(literals: &'a [Literal<'a>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    literals
        .iter()
        .map(|literal| (literal as &(dyn ToSql + Sync), Type::UNKNOWN))
        .collect()
}

/// The client asks for octets of the type's own kind; these are the types that an answer may have.
fn cell(row: &postgres::Row, column: usize) -> Result<Cell, Fault> {
    let kind = row.columns().get(column).map(|c| c.type_().clone());
    let text = match kind.unwrap_or(Type::UNKNOWN) {
        Type::BOOL => read::<bool>(row, column)?.map(|b| u8::from(b).to_string()),
        Type::INT2 => read::<i16>(row, column)?.map(|n| n.to_string()),
        Type::INT4 => read::<i32>(row, column)?.map(|n| n.to_string()),
        Type::INT8 => read::<i64>(row, column)?.map(|n| n.to_string()),
        Type::OID => read::<u32>(row, column)?.map(|n| n.to_string()),
        Type::FLOAT4 => read::<f32>(row, column)?.map(|n| n.to_string()),
        Type::FLOAT8 => read::<f64>(row, column)?.map(|n| n.to_string()),
        Type::BYTEA => return read::<Vec<u8>>(row, column),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            read::<String>(row, column)?
        }
        other => {
            return Err(Fault::Query(format!(
                "column {} of the answer is of type {}; add ::text to it",
                column + 1,
                other.name()
            )));
        }
    };
    Ok(text.map(String::into_bytes))
}

fn read<'a, T: postgres::types::FromSql<'a>>(
    row: &'a postgres::Row,
    column: usize,
) -> Result<Option<T>, Fault> {
    row.try_get(column)
        .map_err(|error| Fault::Query(said(&error)))
}

/// A failure before there is a connection.
fn connect_fault(error: &postgres::Error) -> Fault {
    match fault(error) {
        Fault::Query(why) if error.as_db_error().is_none() => {
            // The client has no kinds for it but these words: a password that is wanted and not there, or a method of
            // asking for it that it does not know.
            let said = error.to_string();
            if said.starts_with("authentication") || said.starts_with("invalid configuration") {
                Fault::Refused(why)
            } else {
                Fault::Lost(why)
            }
        }
        // Too many connections, starting up, and the like.
        Fault::Query(why) => Fault::Lost(why),
        other => other,
    }
}

fn fault(error: &postgres::Error) -> Fault {
    let why = said(error);
    let Some(database) = error.as_db_error() else {
        let io = error
            .source()
            .is_some_and(|source| source.downcast_ref::<std::io::Error>().is_some());
        return if io || error.is_closed() || error.to_string().starts_with("unexpected") {
            Fault::Lost(why)
        } else {
            Fault::Query(why)
        };
    };
    let code = database.code();
    let class = code.code().get(..2).unwrap_or_default();
    match code {
        &SqlState::QUERY_CANCELED | &SqlState::LOCK_NOT_AVAILABLE => Fault::Slow,
        &SqlState::UNDEFINED_TABLE => Fault::MissingTable {
            table: one_line(&quoted_name(database.message())),
            why,
        },
        &SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::INVALID_CATALOG_NAME => Fault::Refused(why),
        &SqlState::STRING_DATA_RIGHT_TRUNCATION => Fault::Query(format!(
            "{why}; some of repro's own columns are too narrow, conf/sql/postgresql.sql says how wide they are to be"
        )),
        // Told to shut down, crashed, starting up; connection exceptions.
        &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW => {
            Fault::Lost(why)
        }
        _ if class == "28" => Fault::Refused(why),
        _ if class == "08" => Fault::Lost(why),
        _ => Fault::Query(why),
    }
}

/// What was said, without the detail: that shows whole rows.
fn said(error: &postgres::Error) -> String {
    if let Some(database) = error.as_db_error() {
        return one_line(&format!(
            "{} (SQLSTATE {})",
            database.message(),
            database.code().code()
        ));
    }
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    one_line(&said)
}
