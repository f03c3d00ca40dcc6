//! The statements for repro's own tables. All that differs between the two kinds of server is here.

use super::scan::Dialect;
use crate::store::Table;

/// Columns of a user, in the order in which they are read and written; the first is named by the dialect.
const USER_COLUMNS: &str =
    "domain, realm, passwordHash, passwordHashAlt, name, email, forwardAddress";
/// How many those are, with the first.
const USER_COLUMN_COUNT: usize = 8;

/// Texts of statements, for one kind of server and one prefix of tables.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) dialect: Dialect,
    prefix: String,
}

impl Statements {
    /// For tables with this prefix, which is part of a name and no more.
    pub(super) fn new(dialect: Dialect, prefix: &str) -> Self {
        Self {
            dialect,
            prefix: prefix.to_owned(),
        }
    }

    /// The name of a table in statements.
    pub(super) fn table(&self, table: Table) -> String {
        format!("{}{}", self.prefix, table.sql_table())
    }

    fn p(&self, nth: usize) -> String {
        self.dialect.parameter(nth)
    }

    fn user(&self) -> &'static str {
        match self.dialect {
            Dialect::PostgreSql => "username",
            Dialect::MySql => "user",
        }
    }

    /// An expression whose octets count: for an order, and for what letters of another case must not equal.
    fn octets(&self, expression: &str) -> String {
        match self.dialect {
            Dialect::PostgreSql => format!("{expression} COLLATE \"C\""),
            Dialect::MySql => format!("CAST({expression} AS BINARY)"),
        }
    }

    fn columns(&self, table: Table) -> String {
        match table {
            Table::User => format!("{}, {USER_COLUMNS}", self.user()),
            Table::Identity => "peerName, authorizedIdentity".to_owned(),
            _ => "attr, value".to_owned(),
        }
    }

    /// repro's key, as an expression.
    fn key(&self, table: Table) -> String {
        match table {
            Table::User => format!("CONCAT({}, '@', COALESCE(domain, ''))", self.user()),
            Table::Identity => "CONCAT(peerName, ',', authorizedIdentity)".to_owned(),
            _ => "attr".to_owned(),
        }
    }

    /// All rows, by key.
    pub(super) fn all(&self, table: Table) -> String {
        format!(
            "SELECT {} FROM {} ORDER BY {}",
            self.columns(table),
            self.table(table),
            self.octets(&self.key(table))
        )
    }

    /// The condition for one record, and the values for it from its key.
    fn condition(&self, table: Table, key: &str) -> (String, Vec<String>) {
        match table {
            Table::User => {
                let (user, domain) = key.rsplit_once('@').unwrap_or((key, ""));
                let condition = format!(
                    "{} = {} AND COALESCE(domain, '') = {}",
                    self.user(),
                    self.p(1),
                    self.p(2)
                );
                (condition, vec![user.to_owned(), domain.to_owned()])
            }
            _ => (
                format!("{} = {}", self.key(table), self.p(1)),
                vec![key.to_owned()],
            ),
        }
    }

    /// One record by its key.
    pub(super) fn one(&self, table: Table, key: &str) -> (String, Vec<String>) {
        let (condition, values) = self.condition(table, key);
        let sql = format!(
            "SELECT {} FROM {} WHERE {condition}",
            self.columns(table),
            self.table(table)
        );
        (sql, values)
    }

    /// Takes one record away.
    pub(super) fn delete(&self, table: Table, key: &str) -> (String, Vec<String>) {
        let (condition, values) = self.condition(table, key);
        let sql = format!("DELETE FROM {} WHERE {condition}", self.table(table));
        (sql, values)
    }

    /// Adds a record that is not there. repro's messages have their address-of-record in a column of its own.
    pub(super) fn insert(&self, table: Table) -> String {
        let columns = match table {
            Table::Silo => "attr, value, attr2".to_owned(),
            table => self.columns(table),
        };
        let count = match table {
            Table::User => USER_COLUMN_COUNT,
            Table::Silo => 3,
            _ => 2,
        };
        let values: Vec<String> = (1..=count).map(|nth| self.p(nth)).collect();
        format!(
            "INSERT INTO {} ({columns}) VALUES ({})",
            self.table(table),
            values.join(", ")
        )
    }

    /// Writes a user that is there anew: all columns, then name and domain again to find it by.
    pub(super) fn update_user(&self) -> String {
        let columns = self.columns(Table::User);
        let set: Vec<String> = columns
            .split(", ")
            .enumerate()
            .map(|(at, column)| format!("{column} = {}", self.p(at + 1)))
            .collect();
        format!(
            "UPDATE {} SET {} WHERE {} = {} AND COALESCE(domain, '') = {}",
            self.table(Table::User),
            set.join(", "),
            self.user(),
            self.p(USER_COLUMN_COUNT + 1),
            self.p(USER_COLUMN_COUNT + 2)
        )
    }

    /// Whether a table is a view (PostgreSQL, `v`). Its first value is the name.
    pub(super) fn kind_of_table(&self) -> Option<&'static str> {
        match self.dialect {
            Dialect::PostgreSql => {
                Some("SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)")
            }
            Dialect::MySql => None,
        }
    }

    /// Hashes of a user's password, with the names that were found.
    pub(super) fn password(&self) -> String {
        let user = self.user();
        format!(
            "SELECT passwordHash, {user}, domain FROM {} WHERE {user} = {} AND domain = {}",
            self.table(Table::User),
            self.p(1),
            self.p(2)
        )
    }

    /// What some names of a certificate may use, of some identities.
    pub(super) fn identities(&self, names: usize, identities: usize) -> String {
        let list = |from: usize, count: usize| -> String {
            let all: Vec<String> = (from..from + count).map(|nth| self.p(nth)).collect();
            all.join(",")
        };
        format!(
            "SELECT peerName, authorizedIdentity FROM {} WHERE peerName IN ({}) AND authorizedIdentity IN ({})",
            self.table(Table::Identity),
            list(1, names),
            list(names + 1, identities)
        )
    }

    fn for_uri(&self) -> String {
        match self.dialect {
            Dialect::PostgreSql => "attr2 = $1".to_owned(),
            // The first for the index, the second because a URI is exact.
            Dialect::MySql => format!(
                "attr2 = ? AND {} = {}",
                self.octets("attr2"),
                self.octets("?")
            ),
        }
    }

    /// The values of [`Self::messages`] and [`Self::count_for`].
    pub(super) fn uri_values(&self, uri: &str) -> Vec<String> {
        match self.dialect {
            Dialect::PostgreSql => vec![uri.to_owned()],
            Dialect::MySql => vec![uri.to_owned(), uri.to_owned()],
        }
    }

    /// Messages for one URI, oldest first: their keys begin with the time, which has ten digits until the year 2286.
    pub(super) fn messages(&self, limit: usize) -> String {
        format!(
            "SELECT attr, value FROM {} WHERE {} ORDER BY {} LIMIT {limit}",
            self.table(Table::Silo),
            self.for_uri(),
            self.octets("attr")
        )
    }

    /// Number of messages for one URI.
    pub(super) fn count_for(&self) -> String {
        format!(
            "SELECT COUNT(*) FROM {} WHERE {}",
            self.table(Table::Silo),
            self.for_uri()
        )
    }

    /// Number of messages.
    pub(super) fn count_all(&self) -> String {
        format!("SELECT COUNT(*) FROM {}", self.table(Table::Silo))
    }

    /// Removes messages that came before a time. A key without a time is left alone.
    pub(super) fn expire(&self) -> String {
        let table = self.table(Table::Silo);
        match self.dialect {
            Dialect::PostgreSql => format!(
                "DELETE FROM {table} WHERE CASE WHEN attr ~ '^[0-9]{{1,18}}:' \
                 THEN split_part(attr, ':', 1)::bigint < $1::bigint ELSE false END"
            ),
            Dialect::MySql => format!(
                "DELETE FROM {table} WHERE CASE WHEN attr REGEXP '^[0-9]{{1,18}}:' \
                 THEN CAST(SUBSTRING_INDEX(attr, ':', 1) AS UNSIGNED) < CAST(? AS UNSIGNED) ELSE FALSE END"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_find_their_record() {
        let postgresql = Statements::new(Dialect::PostgreSql, "rp_");
        for (table, key, sql, values) in [
            (
                Table::User,
                "a@b@example.org",
                "DELETE FROM rp_users WHERE username = $1 AND COALESCE(domain, '') = $2",
                &["a@b", "example.org"] as &[&str],
            ),
            (
                Table::Identity,
                "gw,example.org",
                "DELETE FROM rp_tlsPeerIdentity WHERE CONCAT(peerName, ',', authorizedIdentity) = $1",
                &["gw,example.org"],
            ),
            (
                Table::Route,
                ";1: :  : x'",
                "DELETE FROM rp_routesavp WHERE attr = $1",
                &[";1: :  : x'"],
            ),
        ] {
            let (said, bound) = postgresql.delete(table, key);
            assert_eq!(said, sql);
            assert_eq!(bound, values, "{table}");
        }
    }

    #[test]
    fn lists_have_a_parameter_for_each_entry() {
        assert!(
            Statements::new(Dialect::PostgreSql, "")
                .identities(2, 1)
                .ends_with("peerName IN ($1,$2) AND authorizedIdentity IN ($3)")
        );
        assert!(
            Statements::new(Dialect::MySql, "")
                .identities(1, 2)
                .ends_with("peerName IN (?) AND authorizedIdentity IN (?,?)")
        );
    }
}
