//! Taking records over from somewhere else into the embedded store.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::embedded::{Change, Embedded, Imported, lookup_key};
use super::record::{Record, Table};
use super::{Error, Flow, Put, RecordFault, text};

/// Where records are taken from.
pub trait Source {
    /// The place, for messages; never a password.
    fn describe(&self) -> String;

    /// The tables that are there.
    fn tables(&self) -> Vec<Table>;

    /// Tables that are there and must not be read, and why.
    fn refused(&self) -> Vec<(Table, String)> {
        Vec::new()
    }

    /// Whether somebody can mend what is wrong with it, so that nothing is to come over before all can.
    fn is_whole_or_nothing(&self) -> bool {
        false
    }

    /// Gives every record of a table, with a note where something about it had to be mended. What is no record is
    /// given as a fault, and the rest goes on.
    ///
    /// # Errors
    /// The source cannot be read, or is damaged.
    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Offered, RecordFault>) -> Flow,
    ) -> Result<(), Error>;
}

/// A record that a source offers, and what an operator should know about it.
pub type Offered = (Record, Option<String>);

/// Most faults, and most notes, of a table that are listed; all are counted.
const MAX_LISTED: usize = 100;

/// Something an operator should know about a record that came over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Key of the record.
    pub key: String,
    /// What there is to know.
    pub note: String,
}

/// What became of the records of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// The table.
    pub table: Table,
    /// Records that the source had, good or bad.
    pub read: u64,
    /// Those that were not in the store.
    pub added: u64,
    /// Those that were there with other contents.
    pub changed: u64,
    /// Those that were there just so.
    pub same: u64,
    /// Those that could not be taken.
    pub not_taken: u64,
    /// Notes on those that were taken.
    pub noted: u64,
    /// Why the first of those were not taken.
    pub faults: Vec<RecordFault>,
    /// The first notes.
    pub notes: Vec<Note>,
    /// Keys of the first of those that were there with other contents.
    pub changed_keys: Vec<String>,
}

impl TableReport {
    fn new(table: Table) -> Self {
        Self {
            table,
            read: 0,
            added: 0,
            changed: 0,
            same: 0,
            not_taken: 0,
            noted: 0,
            faults: Vec::new(),
            notes: Vec::new(),
            changed_keys: Vec::new(),
        }
    }

    fn refuse(&mut self, fault: RecordFault) {
        self.not_taken += 1;
        if self.faults.len() < MAX_LISTED {
            self.faults.push(fault);
        }
    }

    fn change(&mut self, key: &str) {
        self.changed += 1;
        if self.changed_keys.len() < MAX_LISTED {
            self.changed_keys.push(key.to_owned());
        }
    }

    fn note(&mut self, key: &str, note: String) {
        self.noted += 1;
        if self.notes.len() < MAX_LISTED {
            self.notes.push(Note {
                key: key.to_owned(),
                note,
            });
        }
    }
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where the records came from.
    pub source: String,
    /// Whether it was a trial.
    pub dry_run: bool,
    /// Whether what came was stored: not by a trial, and not when all had to come and some did not.
    pub stored: bool,
    /// Each table that was there.
    pub tables: Vec<TableReport>,
    /// Tables that the source does not have.
    pub absent: Vec<Table>,
    /// Tables that are there and must not be read, and why.
    pub refused: Vec<(Table, String)>,
}

impl Report {
    /// Whether every record came over.
    pub fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.tables.iter().all(|table| table.not_taken == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dry = if self.dry_run {
            " (a trial: nothing was stored)"
        } else {
            ""
        };
        writeln!(f, "from {}{dry}", self.source)?;
        for t in &self.tables {
            writeln!(
                f,
                "{:13} {} read: {} added, {} changed, {} same, {} not taken",
                t.table.word(),
                t.read,
                t.added,
                t.changed,
                t.same,
                t.not_taken
            )?;
        }
        if !self.absent.is_empty() {
            let words: Vec<_> = self.absent.iter().map(|table| table.word()).collect();
            writeln!(f, "not there: {}", words.join(", "))?;
        }
        for (table, why) in &self.refused {
            writeln!(f, "not read: {table}: {why}")?;
        }
        if !self.stored && !self.dry_run {
            let why = "nothing was stored: mend what was not taken, and import once more";
            writeln!(f, "{why}")?;
        }
        let mut section = |title: &str, of: &dyn Fn(&TableReport) -> (Vec<String>, u64)| {
            let mut title = Some(title);
            for table in &self.tables {
                let (lines, all) = of(table);
                if all > 0
                    && let Some(title) = title.take()
                {
                    writeln!(f, "{title}:")?;
                }
                let listed = u64::try_from(lines.len()).unwrap_or(u64::MAX);
                for line in lines {
                    writeln!(f, "  {} {line}", table.table)?;
                }
                if all > listed {
                    writeln!(f, "  {} and {} more", table.table, all - listed)?;
                }
            }
            Ok(())
        };
        section("changed", &|table| {
            let line = |key: &String| format!("{key:?}");
            (table.changed_keys.iter().map(line).collect(), table.changed)
        })?;
        section("not taken", &|table| {
            let line = |fault: &RecordFault| format!("{:?}: {}", fault.key, fault.why);
            (table.faults.iter().map(line).collect(), table.not_taken)
        })?;
        section("taken, but look at", &|table| {
            let line = |note: &Note| format!("{:?}: {}", note.key, note.note);
            (table.notes.iter().map(line).collect(), table.noted)
        })
    }
}

/// Takes all records of a source over in one step. What is in the store only stays. A record that cannot be stored is
/// listed and the rest comes over, unless the source is whole or nothing; one that is stored but that the server cannot act on comes with a note of `judge`.
/// A trial (`dry_run`) does the same and takes it back.
///
/// # Errors
/// The source cannot be read or is damaged, or the store cannot be written; then the store is as it was.
pub fn import(
    store: &Embedded,
    source: &dyn Source,
    dry_run: bool,
    judge: &dyn Fn(&Record) -> Option<String>,
) -> Result<Report, Error> {
    store.change_if(|change| {
        let mut tables = Vec::new();
        for table in source.tables() {
            let mut taker = Taker {
                change,
                judge,
                seen: HashSet::new(),
                hasher: RandomState::new(),
                report: TableReport::new(table),
            };
            let mut failed = None;
            source.each(table, &mut |offered| match taker.take(offered) {
                Ok(()) => Flow::More,
                Err(error) => {
                    failed = Some(error);
                    Flow::Enough
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            tables.push(taker.report);
        }
        let refused = source.refused();
        let known = |table: &Table| {
            tables.iter().any(|own: &TableReport| own.table == *table)
                || refused.iter().any(|(own, _)| own == table)
        };
        let mut report = Report {
            source: source.describe(),
            dry_run,
            stored: false,
            absent: Table::ALL.into_iter().filter(|t| !known(t)).collect(),
            refused,
            tables,
        };
        report.stored = !dry_run && (report.is_complete() || !source.is_whole_or_nothing());
        change.set_imported(&Imported {
            source: report.source.clone(),
            at: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            records: report
                .tables
                .iter()
                .map(|t| (t.table, t.added + t.changed + t.same))
                .collect(),
        })?;
        let stored = report.stored;
        Ok((report, stored))
    })
}

/// Takes the records of one table.
struct Taker<'i> {
    change: &'i Change<'i>,
    judge: &'i dyn Fn(&Record) -> Option<String>,
    /// Hashes of the keys that this import has brought.
    seen: HashSet<u64>,
    hasher: RandomState,
    report: TableReport,
}

impl Taker<'_> {
    fn take(&mut self, offered: Result<Offered, RecordFault>) -> Result<(), Error> {
        self.report.read += 1;
        let (record, note) = match offered {
            Ok(offered) => offered,
            Err(fault) => {
                self.report.refuse(fault);
                return Ok(());
            }
        };
        let key = record.key();
        let put = if self.contradicts(&record, &key)? {
            Err(Error::Record(RecordFault {
                table: record.table(),
                key: key.clone(),
                why: "a record before it has the same key and other contents".to_owned(),
            }))
        } else {
            self.change.put(&record)
        };
        match put {
            Ok(Put::Added) => self.report.added += 1,
            Ok(Put::Changed) => self.report.change(&key),
            Ok(Put::Same) => self.report.same += 1,
            Err(Error::Record(fault)) => {
                self.report.refuse(fault);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        for note in [note, (self.judge)(&record)].into_iter().flatten() {
            self.report.note(&key, note);
        }
        Ok(())
    }

    /// Whether this import has brought another record of the same key, such as that of a domain in upper case. The
    /// first stays: were each to replace the one before it, no second import would find all the same.
    fn contradicts(&mut self, record: &Record, key: &str) -> Result<bool, Error> {
        let table = record.table();
        let hash = self.hasher.hash_one(lookup_key(table, key));
        if self.seen.insert(hash) {
            return Ok(false);
        }
        // Two keys with one hash are as good as impossible, and even then only a record that was there before and has
        // changed would be taken for a second one.
        Ok(match self.change.get(table, key)? {
            Some(Ok(stored)) => stored != *record,
            Some(Err(_)) | None => false,
        })
    }
}

/// An export directory as a source.
#[derive(Debug)]
pub struct Export {
    dir: PathBuf,
}

impl Export {
    /// Takes a directory for an export; it must hold the file of one table at least.
    ///
    /// # Errors
    /// It holds none.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let export = Self {
            dir: dir.to_owned(),
        };
        if export.tables().is_empty() {
            return Err(Error::Foreign {
                path: dir.to_owned(),
                why: "holds no export: no user.jsonl, no domain.jsonl, nor that of another table"
                    .to_owned(),
            });
        }
        Ok(export)
    }
}

impl Source for Export {
    fn describe(&self) -> String {
        self.dir.display().to_string()
    }

    fn tables(&self) -> Vec<Table> {
        Table::ALL
            .into_iter()
            .filter(|table| text::file(&self.dir, *table).exists())
            .collect()
    }

    /// It is text, and where it comes from is a store in order.
    fn is_whole_or_nothing(&self) -> bool {
        true
    }

    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Offered, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        text::read(&self.dir, table, &mut |record| {
            take(record.map(|record| (record, None)))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::store::Store;
    use crate::store::embedded::Access;
    use crate::store::record::{Domain, SiloMessage, User};

    fn user(user: &str, domain: &str, password_hash: &str) -> Record {
        Record::User(User {
            user: user.into(),
            domain: domain.into(),
            password_hash: password_hash.into(),
            ..User::default()
        })
    }

    fn domain(domain: &str) -> Record {
        Record::Domain(Domain {
            domain: domain.into(),
            tls_port: 0,
        })
    }

    /// A source in memory, which may fail behind its last record.
    #[derive(Default)]
    struct Listed {
        records: Vec<Result<Offered, RecordFault>>,
        damaged: Option<Table>,
    }

    impl Listed {
        fn of(records: &[Record]) -> Self {
            Self {
                records: records.iter().map(|r| Ok((r.clone(), None))).collect(),
                damaged: None,
            }
        }
    }

    impl Source for Listed {
        fn describe(&self) -> String {
            "a list".into()
        }

        fn tables(&self) -> Vec<Table> {
            vec![Table::Domain, Table::User, Table::Silo]
        }

        fn each(
            &self,
            table: Table,
            take: &mut dyn FnMut(Result<Offered, RecordFault>) -> Flow,
        ) -> Result<(), Error> {
            for offered in &self.records {
                let of = match offered {
                    Ok((record, _)) => record.table(),
                    Err(fault) => fault.table,
                };
                if of == table && take(offered.clone()) == Flow::Enough {
                    return Ok(());
                }
            }
            if self.damaged == Some(table) {
                return Err(Error::Corrupt {
                    path: "repro_user.db".into(),
                    why: "page 3".into(),
                });
            }
            Ok(())
        }
    }

    fn store() -> (tempfile::TempDir, Embedded) {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(&dir.path().join("a.db"), Access::Create).unwrap();
        (dir, store)
    }

    fn silent(_: &Record) -> Option<String> {
        None
    }

    /// Added, changed, same, not taken.
    fn counts(report: &Report, table: Table) -> [u64; 4] {
        let t = report.tables.iter().find(|t| t.table == table).unwrap();
        assert_eq!(t.read, t.added + t.changed + t.same + t.not_taken);
        [t.added, t.changed, t.same, t.not_taken]
    }

    #[test]
    fn a_second_import_finds_all_the_same() {
        let (_dir, store) = store();
        let own = user("own", "example.org", "x");
        store
            .put(&[own.clone(), user("b", "example.org", "before")])
            .unwrap();
        let source = Listed::of(&[
            domain("example.org"),
            user("a", "example.org", "1"),
            user("b", "example.org", "2"),
        ]);
        assert_eq!(store.imported().unwrap(), None);
        let first = import(&store, &source, false, &silent).unwrap();
        assert_eq!(counts(&first, Table::User), [1, 1, 0, 0]);
        let told = first.to_string();
        assert!(
            told.ends_with("changed:\n  user \"b@example.org\"\n"),
            "{told}"
        );
        let imported = store.imported().unwrap().unwrap();
        assert_eq!(imported.source, "a list");
        assert!(imported.at > 1_600_000_000);
        assert_eq!(
            imported.records,
            [(Table::Domain, 1), (Table::User, 2), (Table::Silo, 0)]
        );
        let versions = store.versions().unwrap();
        let second = import(&store, &source, false, &silent).unwrap();
        assert_eq!(counts(&second, Table::User), [0, 0, 2, 0]);
        assert_eq!(counts(&second, Table::Domain), [0, 0, 1, 0]);
        assert_eq!(store.versions().unwrap(), versions);
        let key = "own@example.org";
        assert_eq!(store.get(Table::User, key).unwrap(), Some(own));
    }

    #[test]
    fn a_damaged_source_changes_nothing() {
        let (_dir, store) = store();
        let mut source = Listed::of(&[domain("example.org"), user("a", "example.org", "1")]);
        source.damaged = Some(Table::User);
        for dry_run in [true, false] {
            let error = import(&store, &source, dry_run, &silent).unwrap_err();
            assert!(error.to_string().contains("repro_user.db"), "{error}");
            assert!(store.is_empty().unwrap());
            assert_eq!(store.imported().unwrap(), None);
        }
    }

    #[test]
    fn a_trial_reports_the_same_and_stores_nothing() {
        let (_dir, store) = store();
        let source = Listed::of(&[domain("example.org"), user("a", "example.org", "1")]);
        let trial = import(&store, &source, true, &silent).unwrap();
        assert!(store.is_empty().unwrap());
        assert_eq!(store.imported().unwrap(), None);
        assert_eq!(store.version().unwrap(), Some(0));
        let real = import(&store, &source, false, &silent).unwrap();
        assert_eq!(trial.tables, real.tables);
        assert!(trial.dry_run && !trial.stored && !real.dry_run && real.stored);
    }

    #[test]
    fn bad_records_are_listed_and_the_rest_comes_over() {
        let (_dir, store) = store();
        let mut source = Listed::of(&[
            user("a", "example.org", "1"),
            Record::Silo(SiloMessage {
                original_sent_time: u64::MAX,
                ..SiloMessage::default()
            }),
        ]);
        source.records.push(Err(RecordFault {
            table: Table::User,
            key: "z\n".into(),
            why: "ends too early".into(),
        }));
        source.records.push(Ok((
            domain("example.org"),
            Some("had a full stop at its end".into()),
        )));
        let judge = |record: &Record| {
            (record.table() == Table::Domain).then(|| "is a name for examples".to_owned())
        };
        let report = import(&store, &source, false, &judge).unwrap();
        assert!(!report.is_complete());
        assert_eq!(counts(&report, Table::User), [1, 0, 0, 1]);
        assert_eq!(
            report.to_string(),
            "from a list\n\
             domain        1 read: 1 added, 0 changed, 0 same, 0 not taken\n\
             user          2 read: 1 added, 0 changed, 0 same, 1 not taken\n\
             silo          1 read: 0 added, 0 changed, 0 same, 1 not taken\n\
             not there: acl, route, filter, registration, identity\n\
             not taken:\n  user \"z\\n\": ends too early\n  \
             silo \"18446744073709551615:\": 18446744073709551615 is no time in seconds\n\
             taken, but look at:\n  domain \"example.org\": had a full stop at its end\n  \
             domain \"example.org\": is a name for examples\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["tables"][1]["faults"][0]["why"], "ends too early");
    }

    #[test]
    fn two_records_of_one_key_do_not_take_turns() {
        let (_dir, store) = store();
        let source = Listed::of(&[
            user("a", "Example.org", "1"),
            user("a", "example.org", "2"),
            user("b", "example.org", "3"),
            user("b", "example.org", "3"),
        ]);
        let first = import(&store, &source, false, &silent).unwrap();
        assert_eq!(counts(&first, Table::User), [2, 0, 1, 1]);
        let second = import(&store, &source, false, &silent).unwrap();
        assert_eq!(counts(&second, Table::User), [0, 0, 3, 1]);
        let hash = store.password_hash("a", "example.org").unwrap();
        assert_eq!(hash, Some("1".into()));
    }

    #[test]
    fn a_long_list_of_faults_is_cut_and_counted() {
        let (_dir, store) = store();
        let fault = RecordFault {
            table: Table::User,
            key: "k".into(),
            why: "w".into(),
        };
        let source = Listed {
            records: vec![Err(fault); 250],
            damaged: None,
        };
        let report = import(&store, &source, false, &silent).unwrap();
        assert_eq!(report.tables[1].faults.len(), MAX_LISTED);
        assert_eq!(report.tables[1].not_taken, 250);
        let text = report.to_string();
        assert!(text.contains("  user and 150 more\n"), "{text}");
    }

    #[test]
    fn an_export_has_the_tables_whose_files_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let error = Export::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("holds no export"), "{error}");
        let file = text::file(dir.path(), Table::User);
        std::fs::write(file, "{\"user\":\"a\",\"domain\":\"b\"}\nx\n").unwrap();
        let (_dir, store) = store();
        let export = Export::open(dir.path()).unwrap();
        let report = import(&store, &export, false, &silent).unwrap();
        assert_eq!(report.tables.len(), 1);
        assert_eq!(counts(&report, Table::User), [1, 0, 0, 1]);
        assert_eq!(report.tables[0].faults[0].key, "user.jsonl:2");
        assert!(!report.stored && store.is_empty().unwrap());
        let told = report.to_string();
        assert!(told.contains("\nnothing was stored: mend"), "{told}");
    }
}
