//! Rows about databases.

use super::Kind::{Choice, Path, Secret, Text};
use super::{Group, PORT, Setting, not_yet, replaced};

const NO_DATABASE: &str =
    "no database is read in this version: users, routes, filters and peers in it are unknown";
const OLD_NAME: &str =
    "write it as Database<N> settings and DefaultDatabase; no database is read in this version";

/// An index, where -1 (empty here) is none.
const INDEX: super::Kind = Text;

pub(super) const GROUP: Group = Group {
    title: "Databases",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    not_yet(
        "DatabasePath",
        Path,
        "./",
        "Directory of the embedded database.",
        NO_DATABASE,
    ),
    not_yet(
        "DefaultDatabase",
        INDEX,
        "-1",
        "Number of the database for everything.",
        NO_DATABASE,
    ),
    not_yet(
        "RuntimeDatabase",
        INDEX,
        "-1",
        "Number of the database for users and peers.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>Type",
        Choice(&["BerkeleyDB", "MySQL", "PostgreSQL"]),
        "BerkeleyDB",
        "Kind of database N.",
        NO_DATABASE,
    )
    .when_on(),
    not_yet(
        "Database<N>Path",
        Path,
        "",
        "Directory of database N.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>Host",
        Text,
        "",
        "Host of database N.",
        NO_DATABASE,
    ),
    // It may hold a password.
    not_yet(
        "Database<N>ConnInfo",
        Secret,
        "",
        "PostgreSQL connection text of database N.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>User",
        Text,
        "",
        "User of database N.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>Password",
        Secret,
        "",
        "Password of database N.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>DatabaseName",
        Text,
        "",
        "Name of database N on its host.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>Port",
        PORT,
        "0",
        "Port of database N; 0 for the usual one.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>CustomUserAuthQuery",
        Text,
        "",
        "Query for passwords.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>CustomTlsAuthQuery",
        Text,
        "",
        "Query for what a certificate's name may use.",
        NO_DATABASE,
    ),
    not_yet(
        "Database<N>TableNamePrefix",
        Text,
        "",
        "Beginning of the names of tables.",
        NO_DATABASE,
    ),
    not_yet(
        "RequestFilterDatabase",
        INDEX,
        "-1",
        "Number of the database of request filters.",
        NO_DATABASE,
    ),
    replaced(
        "MySQLServer",
        Text,
        "",
        "Host of the default database.",
        OLD_NAME,
    ),
    replaced(
        "MySQLUser",
        Text,
        "",
        "User of the default database.",
        OLD_NAME,
    ),
    replaced(
        "MySQLPassword",
        Secret,
        "",
        "Password of the default database.",
        OLD_NAME,
    ),
    replaced(
        "MySQLDatabaseName",
        Text,
        "",
        "Name of the default database.",
        OLD_NAME,
    ),
    replaced(
        "MySQLPort",
        PORT,
        "0",
        "Port of the default database.",
        OLD_NAME,
    ),
    replaced(
        "RuntimeMySQLServer",
        Text,
        "",
        "Host of the runtime database.",
        OLD_NAME,
    ),
    replaced(
        "RuntimeMySQLUser",
        Text,
        "",
        "User of the runtime database.",
        OLD_NAME,
    ),
    replaced(
        "RuntimeMySQLPassword",
        Secret,
        "",
        "Password of the runtime database.",
        OLD_NAME,
    ),
    replaced(
        "RuntimeMySQLDatabaseName",
        Text,
        "",
        "Name of the runtime database.",
        OLD_NAME,
    ),
    replaced(
        "RuntimeMySQLPort",
        PORT,
        "0",
        "Port of the runtime database.",
        OLD_NAME,
    ),
    replaced(
        "RequestFilterMySQLServer",
        Text,
        "",
        "Host of the request filters' database.",
        OLD_NAME,
    ),
    replaced(
        "RequestFilterMySQLUser",
        Text,
        "",
        "User of the request filters' database.",
        OLD_NAME,
    ),
    replaced(
        "RequestFilterMySQLPassword",
        Secret,
        "",
        "Password of the request filters' database.",
        OLD_NAME,
    ),
    replaced(
        "RequestFilterMySQLDatabaseName",
        Text,
        "",
        "Name of the request filters' database.",
        OLD_NAME,
    ),
    replaced(
        "RequestFilterMySQLPort",
        PORT,
        "0",
        "Port of the request filters' database.",
        OLD_NAME,
    ),
    replaced(
        "MySQLCustomUserAuthQuery",
        Text,
        "",
        "Query for passwords.",
        OLD_NAME,
    ),
    replaced(
        "CustomTlsAuthQuery",
        Text,
        "",
        "Query for what a certificate's name may use.",
        OLD_NAME,
    ),
    replaced(
        "TableNamePrefix",
        Text,
        "",
        "Beginning of the names of tables.",
        OLD_NAME,
    ),
];
