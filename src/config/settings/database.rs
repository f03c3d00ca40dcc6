//! Rows about databases.

use super::Kind::{Choice, Path, Secret, Text};
use super::{Group, NUMBER, PORT, SECONDS, Setting, honoured};

/// Number of a database, where -1 is none.
const INDEX: super::Kind = super::Kind::Index;

pub(super) const GROUP: Group = Group {
    title: "Databases",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "DatabasePath",
        Path,
        "./",
        "Directory of the embedded store, the file sipvouch.db; a relative one is below the directory of the configuration \
         file. Absent: the directory of the Berkeley DB files, if there are some.",
    ),
    honoured(
        "DefaultDatabase",
        INDEX,
        "-1",
        "Number of the database for everything; -1 for the embedded store.",
    ),
    honoured(
        "RuntimeDatabase",
        INDEX,
        "-1",
        "Number of the database for users, TLS peer identities and kept messages; -1 for the default one.",
    ),
    honoured(
        "Database<N>Type",
        Choice(&["Embedded|SQLite", "BerkeleyDB", "MySQL", "PostgreSQL"]),
        "Embedded",
        "Kind of database N. BerkeleyDB: its files are imported into the embedded store by the first start, and not \
         touched.",
    ),
    honoured(
        "Database<N>Path",
        Path,
        "",
        "Directory of database N, if it is embedded or BerkeleyDB; empty for DatabasePath.",
    ),
    honoured("Database<N>Host", Text, "", "Host of database N."),
    // It may hold a password.
    honoured(
        "Database<N>ConnInfo",
        Secret,
        "",
        "PostgreSQL connection text of database N; the other settings of N are added to it.",
    ),
    honoured("Database<N>User", Text, "", "User of database N."),
    honoured("Database<N>Password", Secret, "", "Password of database N."),
    honoured(
        "Database<N>DatabaseName",
        Text,
        "",
        "Name of database N on its host.",
    ),
    honoured(
        "Database<N>Port",
        PORT,
        "0",
        "Port of database N; 0 for the usual one.",
    ),
    honoured(
        "Database<N>TLS",
        Choice(&["Prefer", "Off", "Require", "Verify"]),
        "Prefer",
        "TLS to database N: Prefer takes it if the server has it, Require insists, Verify checks the server's certificate \
         against its name.",
    ),
    honoured(
        "Database<N>CAFile",
        Path,
        "",
        "Trust anchors for Database<N>TLS = Verify; empty for those of the system.",
    ),
    honoured(
        "Database<N>CustomUserAuthQuery",
        Text,
        "",
        "Query for the hashes of a password, beside the users table. $user and $domain are given as parameters, never \
         as text.",
    ),
    honoured(
        "Database<N>CustomTlsAuthQuery",
        Text,
        "",
        "Query for what the names of a certificate may use, instead of the tlsPeerIdentity table: a number above 0 \
         allows. $peerNames and $identities are given as parameters.",
    ),
    honoured(
        "Database<N>TableNamePrefix",
        Text,
        "",
        "Beginning of the names of tables.",
    ),
    honoured(
        "RequestFilterDatabase",
        INDEX,
        "-1",
        "Number of the database that request filters query; -1 for the runtime one.",
    ),
    honoured(
        "DatabaseConnectTimeout",
        SECONDS,
        "5",
        "Longest time for a connection to a database.",
    ),
    honoured(
        "DatabaseQueryTimeout",
        SECONDS,
        "3",
        "Longest time for the answer of a database.",
    ),
    honoured(
        "DatabaseRefreshInterval",
        SECONDS,
        "60",
        "How often domains, routes, filters, ACL and static registrations are read again from PostgreSQL or MySQL; 0 for \
         never. Changes of the embedded store are seen within a second.",
    ),
    honoured(
        "UserCacheTime",
        SECONDS,
        "60",
        "How long it is remembered that a user exists, or that a certificate may use an identity; 0 for never.",
    ),
    honoured(
        "UserCacheNegativeTime",
        SECONDS,
        "10",
        "How long it is remembered that a user does not exist, or that a certificate may not use an identity; 0 for \
         never.",
    ),
    honoured(
        "UserCacheSize",
        NUMBER,
        "100000",
        "How many such answers are remembered.",
    ),
    honoured(
        "MySQLServer",
        Text,
        "",
        "Host of the default database, if DefaultDatabase is -1. Old form of Database<N>Host.",
    ),
    honoured(
        "MySQLUser",
        Text,
        "",
        "Its user. Old form of Database<N>User.",
    ),
    honoured(
        "MySQLPassword",
        Secret,
        "",
        "Its password. Old form of Database<N>Password.",
    ),
    honoured(
        "MySQLDatabaseName",
        Text,
        "",
        "Its name. Old form of Database<N>DatabaseName.",
    ),
    honoured(
        "MySQLPort",
        PORT,
        "0",
        "Its port. Old form of Database<N>Port.",
    ),
    honoured(
        "RuntimeMySQLServer",
        Text,
        "",
        "Host of the runtime database, if RuntimeDatabase is -1. Old form of Database<N>Host.",
    ),
    honoured(
        "RuntimeMySQLUser",
        Text,
        "",
        "Its user. Old form of Database<N>User.",
    ),
    honoured(
        "RuntimeMySQLPassword",
        Secret,
        "",
        "Its password. Old form of Database<N>Password.",
    ),
    honoured(
        "RuntimeMySQLDatabaseName",
        Text,
        "",
        "Its name. Old form of Database<N>DatabaseName.",
    ),
    honoured(
        "RuntimeMySQLPort",
        PORT,
        "0",
        "Its port. Old form of Database<N>Port.",
    ),
    honoured(
        "RequestFilterMySQLServer",
        Text,
        "",
        "Host of the database that request filters query, if RequestFilterDatabase is -1. Old form of Database<N>Host.",
    ),
    honoured(
        "RequestFilterMySQLUser",
        Text,
        "",
        "Its user. Old form of Database<N>User.",
    ),
    honoured(
        "RequestFilterMySQLPassword",
        Secret,
        "",
        "Its password. Old form of Database<N>Password.",
    ),
    honoured(
        "RequestFilterMySQLDatabaseName",
        Text,
        "",
        "Its name. Old form of Database<N>DatabaseName.",
    ),
    honoured(
        "RequestFilterMySQLPort",
        PORT,
        "0",
        "Its port. Old form of Database<N>Port.",
    ),
    honoured(
        "MySQLCustomUserAuthQuery",
        Text,
        "",
        "Old form of Database<N>CustomUserAuthQuery, for the databases named in the old form.",
    ),
    honoured(
        "CustomTlsAuthQuery",
        Text,
        "",
        "Old form of Database<N>CustomTlsAuthQuery, for the databases named in the old form.",
    ),
    honoured(
        "TableNamePrefix",
        Text,
        "",
        "Old form of Database<N>TableNamePrefix, for the databases named in the old form.",
    ),
];
