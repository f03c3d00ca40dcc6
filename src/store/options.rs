//! What an operator may decide about stores.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A password that no log shows.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(String);

impl Password {
    /// Takes it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Who speaks SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlKind {
    /// PostgreSQL.
    PostgreSql,
    /// MySQL or MariaDB.
    MySql,
}

/// TLS to a data base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SqlTls {
    /// If the server has it; nobody is checked.
    #[default]
    Prefer,
    /// None.
    Off,
    /// Always; nobody is checked.
    Require,
    /// Always, and the server's certificate has to be good for its name.
    Verify,
}

/// A data base with repro's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlOptions {
    /// Who speaks.
    pub kind: SqlKind,
    /// repro: `Database<N>Host`.
    pub host: String,
    /// repro: `Database<N>Port`; 0 for the usual one.
    pub port: u16,
    /// repro: `Database<N>DatabaseName`.
    pub database: String,
    /// repro: `Database<N>User`.
    pub user: String,
    /// repro: `Database<N>Password`.
    pub password: Password,
    /// repro: `Database<N>ConnInfo`, PostgreSQL only; may hold a password.
    pub conninfo: Password,
    /// repro: `Database<N>TableNamePrefix`.
    pub prefix: String,
    /// repro: `Database<N>CustomUserAuthQuery`.
    pub user_query: Option<String>,
    /// repro: `Database<N>CustomTlsAuthQuery`.
    pub tls_query: Option<String>,
    /// Ours: `Database<N>TLS`.
    pub tls: SqlTls,
    /// Ours: `Database<N>CAFile`; without one the system's anchors count.
    pub ca_file: Option<PathBuf>,
    /// Ours: `DatabaseConnectTimeout`.
    pub connect_timeout: Duration,
    /// Ours: `DatabaseQueryTimeout`.
    pub query_timeout: Duration,
    /// Connections at a time: as many as there are lookup threads.
    pub pool: usize,
}

/// Where records live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// Our own file in this directory.
    Embedded {
        /// The directory.
        directory: PathBuf,
        /// Directory of repro's Berkeley DB files, which the first start imports.
        berkeley: Option<PathBuf>,
    },
    /// A data base with repro's schema.
    Sql(Box<SqlOptions>),
}

/// Settings of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Everything that `runtime` does not hold. repro: `DefaultDatabase`.
    pub default: Backend,
    /// Users, TLS peer identities and kept messages, if elsewhere. repro: `RuntimeDatabase`.
    pub runtime: Option<Backend>,
    /// What request filters query, if neither of the others. repro: `RequestFilterDatabase`.
    pub filters: Option<Box<SqlOptions>>,
    /// Ours: `DatabaseRefreshInterval`; zero for never.
    pub refresh: Duration,
    /// Ours: `UserCacheTime`.
    pub remember: Duration,
    /// Ours: `UserCacheNegativeTime`.
    pub remember_negative: Duration,
    /// Ours: `UserCacheSize`.
    pub remembered: usize,
    /// Ours: `RegistrationPersistence`: bindings survive a restart.
    pub persist_registrations: bool,
}
