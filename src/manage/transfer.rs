//! `sipvouch import`, `export`, `backup` and `restore`: whole stores in and out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_json::json;

use super::output::{Output, complain, shown};
use super::place::{Held, Place, StoreOpener};
use super::refusal::Refusal;
use super::table::{Session, tell};
use super::{filter, identity, names, registration, route};
use crate::store::import::{Offered, Source};
use crate::store::{Error, Flow, Record, RecordFault, Table, import, text};

/// `sipvouch import`: the report of what came over. A record that did not is a failure, the others have come all the same.
pub(super) fn import(
    given: &ArgMatches,
    session: Session,
    opener: &dyn StoreOpener,
) -> Result<(), Refusal> {
    let configuration = given
        .get_one::<String>("config")
        .map(PathBuf::from)
        .unwrap_or_default();
    let source = opener
        .source(&configuration, &path(given, "SOURCE"))
        .map_err(Refusal::Open)?;
    let dry_run = given.get_flag("dry-run");
    let Session { opened, mut output } = session;
    let Held::Embedded(store) = opened.store else {
        return Err(Refusal::NotEmbedded {
            place: opened.store.store().place(),
            what: "records are imported into",
            instead: "name a file for one by --store, or use the import of the data base itself",
        });
    };
    // What no command here would have stored, or else what no server can use.
    let judge = |record: &Record| judge(record).or_else(|| opener.judge(record));
    let wary = Wary {
        source: &*source,
        opener,
        trusting: given.get_flag("trust-wide-networks"),
    };
    let report = import::import(&store, &wary, dry_run, &judge)?;
    // A new store that has got nothing is thrown away.
    if let Some(finish) = opened.finish.filter(|_| report.stored) {
        finish(store).map_err(Refusal::Open)?;
    }
    let changed: Vec<Table> = report
        .tables
        .iter()
        .filter(|table| table.added + table.changed > 0)
        .map(|table| table.table)
        .collect();
    if report.stored && !changed.is_empty() {
        tell(&*opened.notify, &changed);
    }
    if output.json {
        // A report is a struct of texts and numbers, which is always an object.
        let line = serde_json::to_string(&report).unwrap_or_default();
        output.line(&line);
    } else if !output.quiet || !report.is_complete() {
        for line in report.to_string().lines() {
            output.line(&shown(line));
        }
    }
    let identities = |table: &import::TableReport| {
        table.table == Table::Identity && table.read > table.not_taken
    };
    if let Some(mappings) = &opened.mappings
        && report.tables.iter().any(identities)
    {
        identity::note_mappings(mappings);
    }
    let done = match report.is_complete() {
        true => Ok(()),
        false => Err(Refusal::Said),
    };
    let printed = output.finish();
    done.and(printed)
}

/// A source without the ACL entries that trust everybody, unless they are asked for, and without what cannot have been meant
/// where somebody can mend it.
struct Wary<'s> {
    source: &'s dyn Source,
    opener: &'s dyn StoreOpener,
    trusting: bool,
}

impl Wary<'_> {
    /// Why a record is not taken.
    fn refuses(&self, record: &Record) -> Option<String> {
        let of_numbers = self
            .is_whole_or_nothing()
            .then(|| self.opener.nonsense(record));
        of_numbers.flatten().or_else(|| {
            let who = (!self.trusting).then(|| self.opener.trusts_many(record));
            who.flatten().map(|who| {
                format!("trusts {who}; or add --trust-wide-networks to take it all the same")
            })
        })
    }
}

impl Source for Wary<'_> {
    fn describe(&self) -> String {
        self.source.describe()
    }

    fn tables(&self) -> Vec<Table> {
        self.source.tables()
    }

    fn refused(&self) -> Vec<(Table, String)> {
        self.source.refused()
    }

    fn is_whole_or_nothing(&self) -> bool {
        self.source.is_whole_or_nothing()
    }

    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Offered, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        let mut names = HashMap::new();
        self.source.each(table, &mut |offered| {
            let offered = offered.map(|offered| with_other_case(offered, &mut names));
            let refused = offered.as_ref().ok().and_then(|(record, _)| {
                let why = self.refuses(record)?;
                let key = record.key();
                Some(RecordFault { table, key, why })
            });
            take(refused.map_or(offered, Err))
        })
    }
}

/// Notes on an ACL entry that its name came before in other letters: both trust the same. `names` has those that came, by
/// what is the same of them.
fn with_other_case(offered: Offered, names: &mut HashMap<String, String>) -> Offered {
    let (record, note) = offered;
    let other = match &record {
        Record::Acl(own) if !own.tls_peer_name.is_empty() => {
            let name = &own.tls_peer_name;
            let first = names.entry(name.to_lowercase()).or_insert(name.clone());
            (first != name)
                .then(|| format!("the same as {first:?}: letter case means nothing; remove one"))
        }
        _ => None,
    };
    (record, note.or(other))
}

/// What an operator should know of a record that is taken over as it is, and that no command here would have stored.
fn judge(record: &Record) -> Option<String> {
    let refused = match record {
        Record::Route(own) => route::check(own).err(),
        Record::Filter(own) => filter::check(own).err(),
        Record::User(own) => names::user(&own.user)
            .and_then(|_| names::domain(&own.domain))
            .err(),
        Record::Identity(own) => identity::check(own).err(),
        Record::Registration(own) => registration::check(own).err(),
        Record::Domain(_) | Record::Acl(_) | Record::Silo(_) => None,
    };
    refused.map(|refusal| refusal.to_string())
}

/// `sipvouch export`.
pub(super) fn export(given: &ArgMatches, session: &mut Session) -> Result<(), Refusal> {
    let dir = path(given, "DIR");
    let mut unreadable = 0_u64;
    let written = text::write(session.store(), &dir, &mut |fault| {
        unreadable += 1;
        complain(&format!("{fault}; left out"));
    })?;
    for (table, records) in written {
        let file = text::file(&dir, table);
        if session.output.json {
            let line = json!({ "table": table, "records": records, "file": file });
            session.output.line(&line.to_string());
        } else if !session.output.quiet {
            let file = file.display();
            session
                .output
                .line(&format!("{:<13} {records} to {file}", table.word()));
        }
    }
    if unreadable == 0 {
        Ok(())
    } else {
        Err(Refusal::Said)
    }
}

/// `sipvouch backup`.
pub(super) fn backup(given: &ArgMatches, session: &mut Session) -> Result<(), Refusal> {
    let file = path(given, "FILE");
    let Some(store) = session.opened.store.embedded() else {
        return Err(Refusal::NotEmbedded {
            place: session.store().place(),
            what: "a copy is made of",
            instead: "use the dump of the data base itself, or sipvouch export",
        });
    };
    let octets = store.backup(&file, given.get_flag("replace"))?;
    if session.output.json {
        let line = json!({ "file": file, "octets": octets });
        session.output.line(&line.to_string());
    } else if !session.output.quiet {
        session
            .output
            .line(&format!("{octets} octets to {}", file.display()));
    }
    Ok(())
}

/// `sipvouch restore`. The store is not opened for it: it may be damaged.
pub(super) fn restore(
    given: &ArgMatches,
    place: &Place,
    opener: &dyn StoreOpener,
) -> Result<(), Refusal> {
    let backup = path(given, "BACKUP");
    let restored = opener.restore(place, &backup).map_err(Refusal::Open)?;
    for note in &restored.done.notes {
        complain(note);
    }
    let (file, before) = (&restored.file, &restored.done.before);
    let mut output = Output::new(given.get_flag("json"), given.get_flag("quiet"));
    if output.json {
        let octets = restored.done.octets;
        let line = json!({ "file": file, "octets": octets, "before": before });
        output.line(&line.to_string());
    } else if !output.quiet {
        let backup = backup.display();
        output.line(&format!("restored {} from {backup}", file.display()));
        if let Some(before) = before {
            output.line(&format!("what was there before is {}", before.display()));
        }
    }
    output.finish()
}

fn path(given: &ArgMatches, name: &str) -> PathBuf {
    given
        .get_one::<PathBuf>(name)
        .map_or_else(PathBuf::new, |path| Path::to_path_buf(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::manage::output::Output;
    use crate::manage::place::{NobodyToTell, Opened};
    use crate::manage::tree;
    use crate::store::embedded::{Access, Embedded};

    #[test]
    fn a_data_base_is_not_copied_as_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(&dir.path().join("a.db"), Access::Create).unwrap();
        let mut session = Session {
            opened: Opened {
                store: Held::Other(Box::new(store)),
                algorithms: Vec::new(),
                domains: None,
                mappings: None,
                notify: Box::new(NobodyToTell),
                notes: Vec::new(),
                finish: None,
                _scratch: None,
            },
            output: Output::new(false, false),
        };
        let copy = dir.path().join("b.db");
        let given = tree::command()
            .try_get_matches_from(["sipvouch".as_ref(), "backup".as_ref(), copy.as_os_str()])
            .unwrap();
        let (_, given) = given.subcommand().unwrap();
        let refused = backup(given, &mut session);
        assert!(
            matches!(refused, Err(Refusal::NotEmbedded { .. })),
            "{refused:?}"
        );
        assert!(!copy.exists());
    }
}
