//! MySQL and MariaDB over the `mysql` client.

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use mysql::consts::ColumnType;
use mysql::prelude::Queryable;
use mysql::{Conn, DriverError, Error, Opts, OptsBuilder, Params, SslOpts, Value};

use super::fault::{Fault, one_line, quoted_name};
use super::session::{Cell, Dial, Driver, Row};
use super::target::{Target, TlsMode};
use crate::store::Flow;

/// Where the server's socket is on the usual systems: what repro's client library takes for `localhost`.
const SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

/// How to connect to one server.
pub(super) struct MySql {
    opts: Opts,
    tls: TlsMode,
    connect_timeout: Duration,
    statement_timeout: Duration,
}

impl MySql {
    /// For this server.
    pub(super) fn new(target: &Target) -> Self {
        // The server gives up first, if it is alive. The client has one time for the handshake and for statements, and
        // the pool has an eye on each of them: here the longer one counts.
        let client_timeout = target.statement_timeout + Duration::from_millis(400);
        let client_timeout = client_timeout.max(target.connect_timeout);
        let mut builder = OptsBuilder::new()
            .user(Some(target.user.clone()))
            .pass(target.password.as_ref().map(|p| p.reveal().to_owned()))
            .db_name(Some(target.database.clone()).filter(|name| !name.is_empty()))
            .prefer_socket(false)
            .tcp_connect_timeout(Some(target.connect_timeout))
            .read_timeout(Some(client_timeout))
            .write_timeout(Some(client_timeout))
            .tcp_keepalive_time_ms(Some(10_000))
            .tcp_user_timeout_ms(u32::try_from(client_timeout.as_millis()).ok());
        builder = match socket(&target.host, target.port) {
            Some(socket) => builder.socket(Some(socket)),
            None => {
                let host = match target.host.as_str() {
                    "" => "localhost",
                    host => host,
                };
                builder
                    .ip_or_hostname(Some(host))
                    .tcp_port(target.port.unwrap_or(3306))
            }
        };
        if target.tls != TlsMode::Off {
            let checked = matches!(target.tls, TlsMode::VerifyCa | TlsMode::Verify);
            let mut ssl = SslOpts::default()
                .with_danger_skip_domain_validation(target.tls != TlsMode::Verify)
                .with_danger_accept_invalid_certs(!checked);
            if let Some(file) = target.ca_file.clone().filter(|_| checked) {
                ssl = ssl.with_root_cert_path(Some(file));
            }
            builder = builder.ssl_opts(Some(ssl));
        }
        Self {
            opts: builder.into(),
            tls: target.tls,
            connect_timeout: target.connect_timeout,
            statement_timeout: target.statement_timeout,
        }
    }

    fn connect(&self) -> Result<Conn, Error> {
        match Conn::new(self.opts.clone()) {
            Err(Error::DriverError(DriverError::TlsNotSupported))
                if self.tls == TlsMode::Prefer =>
            {
                let plain = OptsBuilder::from_opts(self.opts.clone()).ssl_opts(None::<SslOpts>);
                Conn::new(plain)
            }
            other => other,
        }
    }

    /// A value that does not fit is refused instead of cut off; a statement ends in time, where the server can do that.
    fn set_up(&self, conn: &mut Conn) -> Result<(), Error> {
        conn.query_drop("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")?;
        let seconds = self.statement_timeout.as_secs_f64();
        let milliseconds = self.statement_timeout.as_millis();
        for sql in [
            // MariaDB; then MySQL, which has it for SELECT only. Older ones have neither, and our own clock counts.
            format!("SET SESSION max_statement_time = {seconds}"),
            format!("SET SESSION max_execution_time = {milliseconds}"),
        ] {
            match conn.query_drop(sql) {
                Err(Error::MySqlError(error)) if error.code == UNKNOWN_VARIABLE => {}
                other => return other,
            }
        }
        Ok(())
    }
}

impl Dial for MySql {
    fn dial(&self) -> Result<Box<dyn Driver>, Fault> {
        let fault = |error: Error| connect_fault(&error, self.connect_timeout);
        let mut conn = self.connect().map_err(fault)?;
        self.set_up(&mut conn).map_err(fault)?;
        Ok(Box::new(Connected(conn)))
    }
}

/// The socket that is meant: a path, or `localhost` without a port if one is there.
fn socket(host: &str, port: Option<u16>) -> Option<String> {
    if host.starts_with('/') {
        return Some(host.to_owned());
    }
    let local = host.is_empty() || host.eq_ignore_ascii_case("localhost");
    if !local || port.is_some() {
        return None;
    }
    SOCKETS
        .iter()
        .find(|path| Path::new(path).exists())
        .map(|path| (*path).to_owned())
}

struct Connected(Conn);

impl Driver for Connected {
    fn run(&mut self, sql: &str) -> Result<(), Fault> {
        self.0.query_drop(sql).map_err(|error| fault(&error))
    }

    fn execute(&mut self, sql: &str, values: &[String]) -> Result<u64, Fault> {
        self.0
            .exec_drop(sql, parameters(values))
            .map_err(|error| fault(&error))?;
        Ok(self.0.affected_rows())
    }

    fn query(
        &mut self,
        sql: &str,
        values: &[String],
        take: &mut dyn FnMut(Row) -> Flow,
    ) -> Result<(), Fault> {
        let mut result = self
            .0
            .exec_iter(sql, parameters(values))
            .map_err(|error| fault(&error))?;
        for row in result.by_ref() {
            let row = row.map_err(|error| fault(&error))?;
            let row = cells(row)?;
            if take(row) == Flow::Enough {
                break;
            }
        }
        Ok(())
    }
}

fn parameters(values: &[String]) -> Params {
    if values.is_empty() {
        return Params::Empty;
    }
    Params::Positional(
        values
            .iter()
            .map(|value| Value::Bytes(value.clone().into_bytes()))
            .collect(),
    )
}

fn cells(row: mysql::Row) -> Result<Row, Fault> {
    let kinds: Vec<ColumnType> = row.columns_ref().iter().map(|c| c.column_type()).collect();
    row.unwrap()
        .into_iter()
        .zip(kinds)
        .enumerate()
        .map(|(at, (value, kind))| cell(value, kind, at))
        .collect()
}

fn cell(value: Value, kind: ColumnType, at: usize) -> Result<Cell, Fault> {
    Ok(match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        Value::Int(n) => Some(n.to_string().into_bytes()),
        Value::UInt(n) => Some(n.to_string().into_bytes()),
        Value::Float(n) => Some(n.to_string().into_bytes()),
        Value::Double(n) => Some(n.to_string().into_bytes()),
        Value::Date(..) | Value::Time(..) => {
            return Err(Fault::Query(format!(
                "column {} of the answer is of type {kind:?}; make it a text with CAST(… AS CHAR)",
                at + 1
            )));
        }
    })
}

const UNKNOWN_VARIABLE: u16 = 1193;

/// A failure before there is a connection.
fn connect_fault(error: &Error, patience: Duration) -> Fault {
    match fault(error) {
        Fault::Query(why) => match error {
            Error::DriverError(
                DriverError::UnknownAuthPlugin(_)
                | DriverError::OldMysqlPasswordDisabled
                | DriverError::CleartextPluginDisabled,
            ) => Fault::Refused(why),
            _ => Fault::Lost(why),
        },
        Fault::Stuck => Fault::no_connection(patience),
        other => other,
    }
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn fault(error: &Error) -> Fault {
    match error {
        Error::MySqlError(error) => {
            let why = one_line(&format!("{} (error {})", error.message, error.code));
            match error.code {
                // max_statement_time, max_execution_time, a lock.
                1969 | 3024 | 1205 => Fault::Slow,
                1146 => Fault::MissingTable {
                    table: one_line(&quoted_name(&error.message)),
                    why,
                },
                // Access denied (to all, a data base, a table, a column, at all), no such data base, wrong host.
                1045 | 1044 | 1142 | 1143 | 1227 | 1698 | 1049 | 1130 | 1370 => Fault::Refused(why),
                // Shutting down, killed, timed out while idle.
                1053 | 1927 | 3169 | 4031 => Fault::Lost(why),
                1406 => Fault::Query(format!(
                    "{why}; some of repro's own columns are too narrow, conf/sql/mysql.sql says how wide they are to be"
                )),
                _ => Fault::Query(why),
            }
        }
        Error::IoError(io) if is_timeout(io) => Fault::Stuck,
        Error::IoError(io) => Fault::Lost(one_line(&io.to_string())),
        Error::DriverError(DriverError::CouldNotConnect(Some((_, why, _)))) => {
            Fault::Lost(one_line(why))
        }
        Error::DriverError(
            driver @ (DriverError::MismatchedStmtParams(..)
            | DriverError::Params(_)
            | DriverError::MixedParams
            | DriverError::UnknownAuthPlugin(_)
            | DriverError::OldMysqlPasswordDisabled
            | DriverError::CleartextPluginDisabled),
        ) => Fault::Query(one_line(&driver.to_string())),
        Error::DriverError(driver) => Fault::Lost(one_line(&driver.to_string())),
        // In the middle of a packet, or where one should have begun.
        Error::CodecError(codec) if codec.source().is_some_and(is_timeout) => Fault::Stuck,
        Error::CodecError(codec) => Fault::Lost(one_line(&codec.to_string())),
        Error::TlsError(tls) => Fault::Lost(one_line(&format!("TLS: {tls}"))),
        // Their text would be a row.
        _ => Fault::Query("an answer that cannot be read".into()),
    }
}
