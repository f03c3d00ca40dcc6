//! The schema of the file, and the steps from each version of it to the next.

use rusqlite::{Connection, TransactionBehavior};

/// `application_id` of our files: "SpVc".
pub(super) const APPLICATION_ID: u32 = 0x5370_5663;

/// One step for each version, the first from an empty file. A released step is never edited.
pub(super) const STEPS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
];

/// The newest schema of these steps.
pub(super) fn newest(steps: &[&str]) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}

/// The schema that a file has; 0 is an empty file.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether the file has an incarnation: from schema 2 on.
pub(super) fn has_incarnations(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(version(connection)? >= 2)
}

/// Takes the file to the newest schema, each step in a transaction of its own. Another process may do the same at the
/// same time: each looks again once it holds the write lock.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    while version(connection)? < newest(steps) {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let from = version(&step)?;
        let Some(sql) = usize::try_from(from).ok().and_then(|from| steps.get(from)) else {
            break;
        };
        step.execute_batch(sql)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", from + 1)?;
        step.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn tables(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    }

    #[test]
    fn each_version_is_taken_to_the_newest_and_keeps_its_rows() {
        let steps = [
            "CREATE TABLE a (x); INSERT INTO a VALUES (1);",
            "CREATE TABLE b (x); INSERT INTO b SELECT x + 1 FROM a;",
            "DROP TABLE a;",
        ];
        for from in 0..=steps.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, &steps[..from]).unwrap();
            assert_eq!(version(&connection).unwrap() as usize, from);
            migrate(&mut connection, &steps).unwrap();
            assert_eq!(version(&connection).unwrap(), 3, "from {from}");
            assert_eq!(tables(&connection), ["b"]);
            let x: i64 = connection
                .query_row("SELECT x FROM b", [], |row| row.get(0))
                .unwrap();
            assert_eq!(x, 2);
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_schema_before_it() {
        let steps = [
            "CREATE TABLE a (x);",
            "CREATE TABLE b (x); CREATE TABLE a (x);",
        ];
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &steps).unwrap_err();
        assert_eq!(version(&connection).unwrap(), 1);
        assert_eq!(tables(&connection), ["a"]);
        migrate(&mut connection, &steps[..1]).unwrap();
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 9).unwrap();
        migrate(&mut connection, STEPS).unwrap();
        assert_eq!(version(&connection).unwrap(), 9);
        assert!(tables(&connection).is_empty());
    }
}
