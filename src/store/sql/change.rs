//! Changes, each inside of a transaction that the caller has begun.

use super::fault::Fault;
use super::rows;
use super::session::Session;
use super::statements::Statements;
use crate::store::{Put, Record, Table};

/// Puts a record in place of that with its key.
pub(super) fn put(
    session: &mut Session<'_>,
    statements: &Statements,
    record: &Record,
) -> Result<Put, Fault> {
    let table = record.table();
    let key = record.key();
    let values = rows::write(record).map_err(Fault::Record)?;
    let (sql, found_by) = statements.one(table, &key);
    let there = match session.first(&sql, &found_by)? {
        None => Put::Added,
        // A row that cannot be read is another, and is mended by this.
        Some(row) => match rows::read(table, row) {
            Ok(old) if old == *record => Put::Same,
            _ => Put::Changed,
        },
    };
    match (there, table) {
        (Put::Same, _) => {}
        // The row keeps its id, and columns that are not repro's.
        (Put::Changed, Table::User) => {
            let mut values = values;
            values.extend(found_by);
            session.execute(&statements.update_user(), &values)?;
        }
        (Put::Changed, _) => {
            let (sql, found_by) = statements.delete(table, &key);
            session.execute(&sql, &found_by)?;
            session.execute(&statements.insert(table), &values)?;
        }
        (Put::Added, _) => {
            session.execute(&statements.insert(table), &values)?;
        }
    }
    Ok(there)
}

/// Takes a record away; says whether it was there. (An identity may be there in several rows; all go.)
pub(super) fn remove(
    session: &mut Session<'_>,
    statements: &Statements,
    table: Table,
    key: &str,
) -> Result<bool, Fault> {
    let (sql, values) = statements.delete(table, key);
    Ok(session.execute(&sql, &values)? > 0)
}

/// Refuses to write where the table is one of the views that repro's second schema for PostgreSQL has in its place.
pub(super) fn must_be_a_table(
    session: &mut Session<'_>,
    statements: &Statements,
    table: Table,
) -> Result<(), Fault> {
    let Some(sql) = statements.kind_of_table() else {
        return Ok(());
    };
    let name = statements.table(table);
    let row = session.first(sql, std::slice::from_ref(&name))?;
    let kind = row.and_then(|row| row.into_iter().next().flatten());
    if kind.as_deref() == Some(b"v") {
        return Err(Fault::Query(format!(
            "{name} is a view of repro's second schema: it can be read, not written; change the table behind it with SQL"
        )));
    }
    Ok(())
}
