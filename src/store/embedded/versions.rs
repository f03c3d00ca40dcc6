//! Which tables have changed.

use crate::store::Table;

/// Tables that a server holds in memory or caches answers of.
pub const HELD: [Table; 7] = [
    Table::Domain,
    Table::Acl,
    Table::Route,
    Table::Filter,
    Table::Registration,
    Table::User,
    Table::Identity,
];

/// The query for the counters, in the order of `HELD`.
pub(super) const QUERY: &str =
    "SELECT domain, acl, route, filter, registration, user, identity FROM change";

/// How often each table has been changed, by whomever. The server asks once a second and reads again the tables whose
/// number is another than at its last reading, and forgets what it cached of them. Asking reads one row.
///
/// Messages and bindings are not counted: nothing of them is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions(pub(super) [i64; 7]);

impl Versions {
    /// Tables that have changed between an earlier reading and this one.
    pub fn changed_since(&self, earlier: &Self) -> impl Iterator<Item = Table> {
        HELD.into_iter()
            .zip(self.0.into_iter().zip(earlier.0))
            .filter(|(_, (now, then))| now != then)
            .map(|(table, _)| table)
    }

    /// One number that is another whenever one of the tables has changed.
    pub fn sum(&self) -> u64 {
        // Each only ever grows, so no two readings have one sum.
        self.0
            .iter()
            .fold(0_u64, |sum, number| sum.wrapping_add(number.unsigned_abs()))
    }
}
