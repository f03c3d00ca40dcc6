//! What goes wrong between us and a server, before it has a place and a name.

use std::time::Duration;

use crate::store::{Error, RecordFault, Table};

/// A failure of one question, or of a connection.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// The connection is gone, or was never there.
    Lost(String),
    /// Nothing came back in time; the connection cannot be used any more.
    Stuck,
    /// The server gave up in time; the connection is as it was.
    Slow,
    /// We are not let in, or not to this table.
    Refused(String),
    /// There is no such table.
    MissingTable { table: String, why: String },
    /// Anything else that the server, or we, did not like.
    Query(String),
    /// One record is wrong.
    Record(RecordFault),
    /// The connection broke while a change was made final.
    InDoubt,
}

impl Fault {
    /// There was no connection in this time.
    pub(super) fn no_connection(within: Duration) -> Self {
        Self::Lost(format!("no connection within {within:?}"))
    }

    /// Whether the connection can go on.
    pub(super) fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Stuck | Self::InDoubt)
    }

    /// As the room says it.
    pub(super) fn into_error(self, place: &str, table: &str, patience: Duration) -> Error {
        let place = place.to_owned();
        match self {
            Self::Lost(why) => Error::Unreachable { place, why },
            Self::Stuck | Self::Slow => Error::Slow {
                place,
                seconds: patience
                    .as_millis()
                    .div_ceil(1000)
                    .try_into()
                    .unwrap_or(u64::MAX),
            },
            Self::Refused(why) => Error::Refused { place, why },
            Self::MissingTable { table: named, why } => Error::MissingTable {
                place,
                table: if named.is_empty() {
                    table.to_owned()
                } else {
                    named
                },
                why,
            },
            Self::Query(why) => Error::Query { place, why },
            Self::Record(fault) => Error::Record(fault),
            Self::InDoubt => Error::Query {
                place,
                why: "the connection broke while a change was made final; look whether it was made"
                    .to_owned(),
            },
        }
    }

    /// A fault of one record.
    pub(super) fn record(table: Table, key: &str, why: impl Into<String>) -> Self {
        Self::Record(RecordFault {
            table,
            key: key.to_owned(),
            why: why.into(),
        })
    }
}

/// A server's words on one line, and not for ever.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(400)
        .collect()
}

/// What stands in the first pair of quotes: how both servers name a table that is not there.
pub(super) fn quoted_name(message: &str) -> String {
    let mut parts = message.split(['"', '\'', '«', '»', '„', '“']);
    parts.nth(1).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_table_is_named_by_the_server() {
        for (message, table) in [
            ("relation \"users\" does not exist", "users"),
            ("Table 'repro.users' doesn't exist", "repro.users"),
            ("no quotes", ""),
        ] {
            assert_eq!(quoted_name(message), table);
        }
    }

    #[test]
    fn a_server_cannot_forge_a_line() {
        assert_eq!(one_line("a\r\nb"), "a  b");
        assert_eq!(one_line(&"x".repeat(1000)).len(), 400);
    }
}
