//! From the settings to one server: they go over the conninfo, and every text in them is looked at.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::conninfo::Conninfo;
use super::template::TemplateFault;
use crate::store::{Password, SqlKind, SqlOptions, SqlTls};

/// What is wanted of TLS to the server; the later, the stricter. Not used over a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsMode {
    /// Never.
    Off,
    /// If the server offers it; whoever answers is believed. repro's client libraries do this.
    Prefer,
    /// Always; whoever answers is believed.
    Require,
    /// Always, and the certificate must come from a known CA; its name may be any. `verify-ca` of a conninfo.
    VerifyCa,
    /// Always, and the certificate must come from a known CA and be that of the host.
    Verify,
}

/// One server, with everything said.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Name, address, or the path of a Unix socket (PostgreSQL: of the directory that it is in); empty for the usual one.
    pub(super) host: String,
    pub(super) host_address: Option<IpAddr>,
    /// `None` for the usual one.
    pub(super) port: Option<u16>,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Password>,
    /// `options` of a conninfo.
    pub(super) server_options: Option<String>,
    /// `application_name` of a conninfo.
    pub(super) application: Option<String>,
    pub(super) tls: TlsMode,
    /// PEM file of trust anchors; `None` for those of the system.
    pub(super) ca_file: Option<PathBuf>,
    /// `sslcert` and `sslkey` of a conninfo.
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    /// From the name of the host to the first question.
    pub(super) connect_timeout: Duration,
    /// For one answer.
    pub(super) statement_timeout: Duration,
}

impl Target {
    /// What to connect to.
    ///
    /// # Errors
    /// A prefix or a conninfo that cannot be used.
    pub(super) fn of(options: &SqlOptions) -> Result<Self, OptionsFault> {
        check_prefix(&options.prefix)?;
        let conninfo = options.conninfo.reveal();
        if options.kind == SqlKind::MySql && !conninfo.trim().is_empty() {
            return Err(OptionsFault::ConninfoOfMySql);
        }
        let conninfo = Conninfo::parse(conninfo)?;
        let over = |setting: &str, key: &str| match setting {
            "" => conninfo.text(key).unwrap_or_default().to_owned(),
            set => set.to_owned(),
        };
        let password = match options.password.reveal() {
            "" => conninfo.text("password").map(Password::new),
            _ => Some(options.password.clone()),
        };
        let set = match options.tls {
            SqlTls::Off => TlsMode::Off,
            SqlTls::Prefer => TlsMode::Prefer,
            SqlTls::Require => TlsMode::Require,
            SqlTls::Verify => TlsMode::Verify,
        };
        // The default cannot be told from the setting, so it gives way; else the stricter counts.
        let tls = match conninfo.tls_mode()? {
            Some(mode) if set == TlsMode::Prefer => mode,
            Some(mode) => set.max(mode),
            None => set,
        };
        Ok(Self {
            host: over(&options.host, "host"),
            host_address: conninfo.host_address()?,
            port: match options.port {
                0 => conninfo.port()?,
                port => Some(port),
            },
            database: over(&options.database, "dbname"),
            user: over(&options.user, "user"),
            password,
            server_options: conninfo.text("options").map(str::to_owned),
            application: conninfo.text("application_name").map(str::to_owned),
            tls,
            ca_file: options
                .ca_file
                .clone()
                .or_else(|| conninfo.text("sslrootcert").map(PathBuf::from)),
            client_certificate: conninfo.client_certificate()?,
            connect_timeout: options.connect_timeout.max(SHORTEST),
            statement_timeout: options.query_timeout.max(SHORTEST),
        })
    }

    /// Host and data base, for messages.
    pub(super) fn place(&self, kind: SqlKind) -> String {
        let name = match kind {
            SqlKind::PostgreSql => "PostgreSQL",
            SqlKind::MySql => "MySQL",
        };
        let host = match (self.host.as_str(), self.host_address) {
            ("", Some(address)) => address.to_string(),
            ("", None) => "local socket".to_owned(),
            (host, _) => host.to_owned(),
        };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{name} {:?} at {host}{port}", self.database)
    }
}

/// A timeout of nothing would be none at all for the servers.
const SHORTEST: Duration = Duration::from_millis(100);

/// Settings of a data base that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsFault {
    /// A prefix that is no part of a name.
    #[error("{0:?}: letters, digits, \"_\", and a schema with its \".\" only")]
    Prefix(String),
    /// A conninfo that libpq would not read either.
    #[error("{0}")]
    Conninfo(&'static str),
    /// A key of a conninfo that means nothing here.
    #[error("{0} is not known here; leave it out")]
    UnknownKey(String),
    /// A value of a conninfo that is none of its key.
    #[error("{key} must be {expected}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A conninfo for MySQL.
    #[error("it is for PostgreSQL only")]
    ConninfoOfMySql,
    /// A custom query that cannot be used.
    #[error("{fault}")]
    Query {
        /// The end of the name of its setting.
        setting: &'static str,
        /// What is wrong with it.
        fault: TemplateFault,
    },
    /// The file of CAs, or a certificate of ours, that cannot be used.
    #[error("TLS to the data base: {0}")]
    Tls(String),
}

impl OptionsFault {
    /// The end of the name of the setting that it is about.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Prefix(_) => "TableNamePrefix",
            Self::Conninfo(_)
            | Self::UnknownKey(_)
            | Self::BadValue { .. }
            | Self::ConninfoOfMySql => "ConnInfo",
            Self::Query { setting, .. } => setting,
            Self::Tls(_) => "CAFile",
        }
    }
}

/// The prefix stands in the text of statements, where nothing can be bound.
fn check_prefix(prefix: &str) -> Result<(), OptionsFault> {
    let named = prefix
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    let schemas = prefix.matches('.').count();
    let bad_start = prefix.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if named && schemas <= 1 && !bad_start && prefix.len() <= 64 {
        Ok(())
    } else {
        Err(OptionsFault::Prefix(prefix.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that cannot go on says so by panicking"
    )]

    use super::*;

    fn postgresql(conninfo: &str) -> SqlOptions {
        SqlOptions {
            kind: SqlKind::PostgreSql,
            host: String::new(),
            port: 0,
            database: String::new(),
            user: String::new(),
            password: Password::default(),
            conninfo: Password::new(conninfo),
            prefix: String::new(),
            user_query: None,
            tls_query: None,
            tls: SqlTls::Prefer,
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            query_timeout: Duration::from_secs(3),
            pool: 4,
        }
    }

    #[test]
    fn no_password_is_shown() {
        let options = SqlOptions {
            password: Password::new("hunter2"),
            ..postgresql("host=db password=hunter3")
        };
        let target = Target::of(&options).unwrap();
        let shown = format!("{options:?} {target:?} {}", target.place(options.kind));
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn the_settings_go_over_the_conninfo() {
        let options = SqlOptions {
            host: "127.0.0.2".into(),
            ..postgresql("host=a port=7000 dbname=repro user=r password='p w'")
        };
        let target = Target::of(&options).unwrap();
        assert_eq!(
            target.place(options.kind),
            "PostgreSQL \"repro\" at 127.0.0.2:7000"
        );
        assert_eq!(target.password, Some(Password::new("p w")));
    }

    #[test]
    fn the_stricter_of_setting_and_sslmode_counts() {
        for (situation, set, conninfo, mode) in [
            ("neither", SqlTls::Prefer, "", TlsMode::Prefer),
            ("sslmode", SqlTls::Prefer, "sslmode=disable", TlsMode::Off),
            ("setting", SqlTls::Off, "", TlsMode::Off),
            ("both", SqlTls::Off, "sslmode=require", TlsMode::Require),
            ("both", SqlTls::Verify, "sslmode=disable", TlsMode::Verify),
        ] {
            let options = SqlOptions {
                tls: set,
                ..postgresql(conninfo)
            };
            assert_eq!(Target::of(&options).unwrap().tls, mode, "{situation}");
        }
    }

    #[test]
    fn a_prefix_is_part_of_a_name() {
        for (prefix, good) in [
            ("", true),
            ("repro_", true),
            ("sip.", true),
            ("sip.repro_", true),
            ("a.b.c", false),
            (".x", false),
            ("1", false),
            ("users; --", false),
            ("x\"", false),
            ("ü", false),
        ] {
            let options = SqlOptions {
                prefix: prefix.into(),
                ..postgresql("")
            };
            assert_eq!(Target::of(&options).is_ok(), good, "{prefix:?}");
        }
    }
}
