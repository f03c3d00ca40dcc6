//! Where records live: repro's numbered data bases, its older unnumbered ones, and the embedded store.

use std::path::PathBuf;
use std::time::Duration;

use super::super::{NoteClass, settings, value};
use super::{Paths, Values};
use crate::store::sql::SqlStore;
use crate::store::{Backend, Password, SqlKind, SqlOptions, SqlTls, StoreOptions};

/// What all data bases have in common.
struct Common {
    connect: Duration,
    query: Duration,
    pool: usize,
}

pub(super) fn stores(v: &mut Values<'_>, paths: &Paths) -> StoreOptions {
    let common = Common {
        connect: Duration::from_secs(v.integer("DatabaseConnectTimeout").max(1)),
        query: Duration::from_secs(v.integer("DatabaseQueryTimeout").max(1)),
        pool: v.number::<usize>("NumAuthGrabberWorkerThreads").max(1),
    };
    let default = numbered(v, paths, &common, "DefaultDatabase")
        .or_else(|| unnumbered(v, &common, "MySQL"))
        .unwrap_or_else(|| embedded(v, paths, None));
    let runtime = numbered(v, paths, &common, "RuntimeDatabase")
        .or_else(|| unnumbered(v, &common, "RuntimeMySQL"))
        .filter(|runtime| *runtime != default);
    if let (Backend::Embedded { .. }, Some(Backend::Embedded { .. })) = (&default, &runtime) {
        let text = "both are in the embedded store: it holds everything, users too";
        v.note(NoteClass::Info, "RuntimeDatabase", text);
    }
    let filters = numbered(v, paths, &common, "RequestFilterDatabase")
        .or_else(|| unnumbered(v, &common, "RequestFilterMySQL"));
    let filters = match filters {
        Some(Backend::Sql(options)) => Some(options),
        Some(Backend::Embedded { .. }) => {
            let fault = "it is no PostgreSQL and no MySQL, and only those answer queries of request filters";
            v.fault("RequestFilterDatabase", fault);
            None
        }
        None => None,
    };
    unused(v);
    StoreOptions {
        default,
        runtime: runtime.filter(|runtime| matches!(runtime, Backend::Sql(_))),
        filters,
        refresh: Duration::from_secs(v.integer("DatabaseRefreshInterval")),
        remember: Duration::from_secs(v.integer("UserCacheTime")),
        remember_negative: Duration::from_secs(v.integer("UserCacheNegativeTime")),
        remembered: v.number("UserCacheSize"),
        persist_registrations: v.bool("RegistrationPersistence"),
    }
}

/// Says of settings of a data base that none of the three numbers names.
fn unused(v: &mut Values<'_>) {
    let used: Vec<String> = [
        "DefaultDatabase",
        "RuntimeDatabase",
        "RequestFilterDatabase",
    ]
    .into_iter()
    .filter_map(|setting| value::index(v.text(setting)).ok().flatten())
    .map(|number| number.to_string())
    .collect();
    let names: Vec<String> = v.all().map(|raw| raw.name.clone()).collect();
    for name in names {
        if let Some((family, number, _)) = settings::split_family(&name)
            && family.eq_ignore_ascii_case("database")
            && !used.iter().any(|used| used == number)
        {
            let text = format!(
                "nothing names data base {number}: set DefaultDatabase = {number} to use it"
            );
            v.note(NoteClass::Replaced, &name, &text);
        }
    }
}

/// The data base whose number this setting gives.
fn numbered(
    v: &mut Values<'_>,
    paths: &Paths,
    common: &Common,
    setting: &'static str,
) -> Option<Backend> {
    let number = value::index(v.text(setting)).ok().flatten()?;
    let name = |suffix: &str| format!("Database{number}{suffix}");
    if v.find(&name("Type")).is_none() {
        let fault = format!("{number}: there is no {}", name("Type"));
        v.fault(setting, fault);
        return None;
    }
    let kind = match v.choice(&name("Type")) {
        "PostgreSQL" => SqlKind::PostgreSql,
        "MySQL" => SqlKind::MySql,
        kind => {
            let path = v.some_text(&name("Path")).map(str::to_owned);
            return Some(match kind {
                "BerkeleyDB" => {
                    let berkeley =
                        paths.input(path.as_deref().unwrap_or_else(|| v.text("DatabasePath")));
                    embedded(v, paths, Some(berkeley))
                }
                _ => match path {
                    Some(path) => Backend::Embedded {
                        directory: directory(v, paths, &name("Path"), &path),
                        berkeley: None,
                    },
                    None => embedded(v, paths, None),
                },
            });
        }
    };
    let options = SqlOptions {
        kind,
        host: v.text(&name("Host")).to_owned(),
        port: v.number(&name("Port")),
        database: v.text(&name("DatabaseName")).to_owned(),
        user: v.text(&name("User")).to_owned(),
        password: Password::new(v.text(&name("Password"))),
        conninfo: Password::new(v.text(&name("ConnInfo"))),
        prefix: v.text(&name("TableNamePrefix")).to_owned(),
        user_query: v.some_text(&name("CustomUserAuthQuery")).map(str::to_owned),
        tls_query: v.some_text(&name("CustomTlsAuthQuery")).map(str::to_owned),
        tls: match v.choice(&name("TLS")) {
            "Off" => SqlTls::Off,
            "Require" => SqlTls::Require,
            "Verify" => SqlTls::Verify,
            _ => SqlTls::Prefer,
        },
        ca_file: v.some_text(&name("CAFile")).map(|path| paths.input(path)),
        connect_timeout: common.connect,
        query_timeout: common.query,
        pool: common.pool,
    };
    check(v, &options, &name("Host"), &name);
    Some(Backend::Sql(Box::new(options)))
}

/// A MySQL in the form that repro had before its data bases were numbered.
fn unnumbered(v: &mut Values<'_>, common: &Common, family: &str) -> Option<Backend> {
    let name = |suffix: &str| format!("{family}{suffix}");
    let host = v.some_text(&name("Server"))?.to_owned();
    let options = SqlOptions {
        kind: SqlKind::MySql,
        host,
        port: v.number(&name("Port")),
        database: v.text(&name("DatabaseName")).to_owned(),
        user: v.text(&name("User")).to_owned(),
        password: Password::new(v.text(&name("Password"))),
        conninfo: Password::default(),
        prefix: v.text("TableNamePrefix").to_owned(),
        user_query: v.some_text("MySQLCustomUserAuthQuery").map(str::to_owned),
        tls_query: v.some_text("CustomTlsAuthQuery").map(str::to_owned),
        tls: SqlTls::Prefer,
        ca_file: None,
        connect_timeout: common.connect,
        query_timeout: common.query,
        pool: common.pool,
    };
    // Those that are not of the family have the names of all.
    let named = |suffix: &str| match suffix {
        "CustomUserAuthQuery" => "MySQLCustomUserAuthQuery".to_owned(),
        other => other.to_owned(),
    };
    check(v, &options, &name("Server"), &named);
    Some(Backend::Sql(Box::new(options)))
}

fn check(v: &mut Values<'_>, options: &SqlOptions, host: &str, name: &dyn Fn(&str) -> String) {
    let conninfo = !options.conninfo.reveal().is_empty();
    if options.host.is_empty() && !conninfo {
        v.fault(host, "missing: say where the data base is");
    }
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !options.prefix.bytes().all(letter) {
        v.fault(
            &name("TableNamePrefix"),
            "expected letters, digits and underscores",
        );
    } else if let Err(fault) = SqlStore::examine(options) {
        // No value in it: some of these settings are secrets.
        v.fault(&name(fault.setting()), fault.to_string());
    }
    let is_local = options.host == "localhost"
        || options.host.starts_with('/')
        || options
            .host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    if options.tls != SqlTls::Verify && !is_local && !conninfo {
        v.note(
            NoteClass::Unsafe,
            host,
            "hashes of passwords cross the network to a data base that nobody has checked; Database<N>TLS = Verify \
             checks it",
        );
    }
}

/// The embedded store. Without `DatabasePath` it lies beside the files that it takes over.
fn embedded(v: &mut Values<'_>, paths: &Paths, berkeley: Option<PathBuf>) -> Backend {
    let directory = match (v.find("DatabasePath"), &berkeley) {
        (None, Some(berkeley)) => berkeley.clone(),
        _ => {
            let path = v.text("DatabasePath").to_owned();
            directory(v, paths, "DatabasePath", &path)
        }
    };
    Backend::Embedded {
        directory,
        berkeley,
    }
}

/// The directory that a setting names for a store.
fn directory(v: &mut Values<'_>, paths: &Paths, setting: &str, path: &str) -> PathBuf {
    let directory = paths.store(path);
    if let Some(elsewhere) = paths.store_elsewhere(path) {
        let text = format!(
            "{path}: the store in the working directory, {}, is not used; a relative path is below the directory of the \
             configuration file and leads to {}: move that store there, or give its absolute path",
            elsewhere.display(),
            directory.display()
        );
        v.note(NoteClass::Replaced, setting, &text);
    }
    directory
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::path::Path;

    use crate::config::load;
    use crate::store::{Backend, SqlKind, SqlTls, StoreOptions};

    fn stores(text: &str) -> Result<(tempfile::TempDir, StoreOptions), Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repro.config");
        std::fs::write(&path, format!("TLSDomainName = example.org\n{text}")).unwrap();
        std::fs::create_dir(directory.path().join("db")).unwrap();
        match load(&path, &[]) {
            Ok(configuration) => Ok((directory, configuration.store)),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
        }
    }

    fn sql(backend: &Backend) -> &crate::store::SqlOptions {
        match backend {
            Backend::Sql(options) => options,
            Backend::Embedded { .. } => panic!("{backend:?}"),
        }
    }

    #[test]
    fn the_embedded_store_lies_where_the_operator_says_beside_the_configuration_or_the_old_files() {
        const OLD: &str = "DefaultDatabase = 1\nDatabase1Type = BerkeleyDB\nDatabase1Path = db\n";
        for (situation, text, below, old_files) in [
            ("nothing", "", "", false),
            ("a path", "DatabasePath = elsewhere\n", "elsewhere", false),
            (
                "a numbered path",
                "DefaultDatabase = 1\nDatabase1Type = SQLite\nDatabase1Path = ./elsewhere/\n",
                "elsewhere",
                false,
            ),
            ("old files", OLD, "db", true),
            (
                "old files and a path",
                &format!("DatabasePath = elsewhere\n{OLD}"),
                "elsewhere",
                true,
            ),
            (
                "an absolute path",
                "DatabasePath = /srv/sip\n",
                "/srv/sip",
                false,
            ),
        ] {
            let (directory, options) = stores(text).unwrap();
            let wanted = directory.path().join(below);
            let old = directory.path().join("db");
            let Backend::Embedded {
                directory,
                berkeley,
            } = options.default
            else {
                panic!("{situation}");
            };
            assert_eq!(directory, wanted, "{situation}");
            let found = berkeley.as_deref();
            assert_eq!(found, old_files.then_some(Path::new(&old)), "{situation}");
        }
    }

    #[test]
    fn numbered_databases_are_what_their_settings_say() {
        let (_directory, options) = stores(
            "DefaultDatabase = 2\nRuntimeDatabase = 03\nDatabase2Type = PostgreSQL\nDatabase2Host = 127.0.0.1\n\
             Database2Port = 5433\nDatabase2DatabaseName = repro\nDatabase2User = proxy\nDatabase2Password = s3cret\n\
             Database2TableNamePrefix = rp_\nDatabase3Type = mysql\nDatabase3Host = db.example.org\n\
             Database3TLS = verify\nDatabase3CustomUserAuthQuery = SELECT 1\n",
        )
        .unwrap();
        let default = sql(&options.default);
        assert_eq!(default.kind, SqlKind::PostgreSql);
        assert_eq!((default.host.as_str(), default.port), ("127.0.0.1", 5433));
        assert_eq!(default.password.reveal(), "s3cret");
        assert_eq!(default.prefix, "rp_");
        assert!(!format!("{options:?}").contains("s3cret"));
        let runtime = options.runtime.unwrap();
        let runtime = sql(&runtime);
        assert_eq!(
            (runtime.kind, runtime.tls),
            (SqlKind::MySql, SqlTls::Verify)
        );
        assert_eq!(runtime.user_query.as_deref(), Some("SELECT 1"));
    }

    #[test]
    fn the_old_names_of_mysql_settings_still_count() {
        let (_directory, options) = stores(
            "MySQLServer = 127.0.0.1\nMySQLUser = a\nMySQLDatabaseName = repro\nRuntimeMySQLServer = 127.0.0.2\n\
             RuntimeMySQLDatabaseName = users\nMySQLCustomUserAuthQuery = SELECT 2\n",
        )
        .unwrap();
        assert_eq!(sql(&options.default).database, "repro");
        let runtime = options.runtime.unwrap();
        assert_eq!(sql(&runtime).host, "127.0.0.2");
        assert_eq!(sql(&runtime).user_query.as_deref(), Some("SELECT 2"));
    }

    #[test]
    fn databases_that_cannot_be_are_refused() {
        for (text, wanted) in [
            (
                "DefaultDatabase = 1\n",
                "DefaultDatabase: 1: there is no Database1Type",
            ),
            (
                "DefaultDatabase = one\n",
                "DefaultDatabase = \"one\": expected the number of a Database<N>, or -1 for none",
            ),
            (
                "DefaultDatabase = 1\nDatabase1Type = MySQL\n",
                "Database1Host: missing: say where the data base is",
            ),
            (
                "DefaultDatabase = 1\nDatabase1Type = Oracle\n",
                "Database1Type = \"Oracle\": expected",
            ),
            (
                "DefaultDatabase = 1\nDatabase1Type = MySQL\nDatabase1Host = ::1\nDatabase1TableNamePrefix = a;b\n",
                "Database1TableNamePrefix: expected letters, digits and underscores",
            ),
            (
                "DefaultDatabase = 1\nDatabase1Type = PostgreSQL\nDatabase1ConnInfo = host=db password=s3cret hots=x\n",
                "repro.config:4: Database1ConnInfo: hots is not known here; leave it out",
            ),
            (
                "DefaultDatabase = 2\nDatabase2Type = PostgreSQL\nDatabase2ConnInfo = host=db port=s3cret\n",
                "repro.config:4: Database2ConnInfo: port must be",
            ),
            (
                "DefaultDatabase = 1\nDatabase1Type = MySQL\nDatabase1Host = ::1\nDatabase1ConnInfo = host=db\n",
                "repro.config:5: Database1ConnInfo: it is for PostgreSQL only",
            ),
            (
                "MySQLServer = ::1\nMySQLCustomUserAuthQuery = SELECT '$user\n",
                "repro.config:3: MySQLCustomUserAuthQuery: ",
            ),
            (
                "RequestFilterDatabase = 1\nDatabase1Type = BerkeleyDB\n",
                "RequestFilterDatabase: it is no PostgreSQL and no MySQL",
            ),
        ] {
            let errors = stores(text).map(|_| ()).unwrap_err();
            assert!(
                errors.iter().any(|error| error.contains(wanted)),
                "{text}: {errors:?}"
            );
            assert!(!errors.join("").contains("s3cret"), "{errors:?}");
        }
    }
}
