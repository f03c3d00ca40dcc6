//! One connection, as those see it who ask questions over it.

use super::fault::Fault;
use crate::store::Flow;

/// A column of a row; `None` is NULL. Numbers come as text.
pub(super) type Cell = Option<Vec<u8>>;

/// A row.
pub(super) type Row = Vec<Cell>;

/// A client library with an open connection. Values are always parameters, and always texts: servers make of them what
/// they would make of a literal in quotes.
pub(super) trait Driver {
    /// Runs a statement of our own without values and rows: `BEGIN` and such.
    fn run(&mut self, sql: &str) -> Result<(), Fault>;

    /// Runs a statement without rows; says how many it changed.
    fn execute(&mut self, sql: &str, values: &[String]) -> Result<u64, Fault>;

    /// Gives the rows of a statement as they come.
    fn query(
        &mut self,
        sql: &str,
        values: &[String],
        take: &mut dyn FnMut(Row) -> Flow,
    ) -> Result<(), Fault>;
}

/// How a connection is made.
pub(super) trait Dial: Send + Sync {
    /// Connects, and sets the connection up. May block longer than it should: the caller has a clock of its own.
    fn dial(&self) -> Result<Box<dyn Driver>, Fault>;
}

/// A connection in use. Before each statement it says so to whoever waits, who has patience for one statement only.
pub(super) struct Session<'a> {
    driver: &'a mut dyn Driver,
    /// Tells that a statement begins; false when nobody waits any more.
    begins: &'a mut dyn FnMut() -> bool,
    /// The connection cannot be used any more.
    lost: bool,
}

impl<'a> Session<'a> {
    /// Over this connection.
    pub(super) fn new(driver: &'a mut dyn Driver, begins: &'a mut dyn FnMut() -> bool) -> Self {
        Self {
            driver,
            begins,
            lost: false,
        }
    }

    /// Whether the connection has to go.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    fn begin(&mut self) -> Result<(), Fault> {
        if self.lost || !(self.begins)() {
            self.lost = true;
            return Err(Fault::Stuck);
        }
        Ok(())
    }

    fn done<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &result {
            self.lost |= fault.is_of_the_connection();
        }
        result
    }

    /// See [`Driver::execute`].
    pub(super) fn execute(&mut self, sql: &str, values: &[String]) -> Result<u64, Fault> {
        self.begin()?;
        let result = self.driver.execute(sql, values);
        self.done(result)
    }

    /// See [`Driver::query`].
    pub(super) fn query(
        &mut self,
        sql: &str,
        values: &[String],
        take: &mut dyn FnMut(Row) -> Flow,
    ) -> Result<(), Fault> {
        self.begin()?;
        let result = self.driver.query(sql, values, take);
        self.done(result)
    }

    /// The first row.
    pub(super) fn first(&mut self, sql: &str, values: &[String]) -> Result<Option<Row>, Fault> {
        let mut first = None;
        self.query(sql, values, &mut |row| {
            first.get_or_insert(row);
            Flow::Enough
        })?;
        Ok(first)
    }

    /// Does all of `work` or nothing.
    ///
    /// # Errors
    /// Those of `work`; [`Fault::InDoubt`] when it cannot be told whether all was done.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.begin()?;
        let begun = self.driver.run("BEGIN");
        self.done(begun)?;
        match work(self) {
            Ok(value) => {
                self.begin()?;
                let committed = self.driver.run("COMMIT").map_err(|fault| match fault {
                    Fault::Lost(_) | Fault::Stuck => Fault::InDoubt,
                    other => other,
                });
                self.done(committed)?;
                Ok(value)
            }
            Err(fault) => {
                // A connection that is gone has no transaction any more; one that cannot end its own has to go.
                if !self.lost && self.driver.run("ROLLBACK").is_err() {
                    self.lost = true;
                }
                Err(fault)
            }
        }
    }
}
