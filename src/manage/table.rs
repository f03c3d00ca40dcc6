//! add, change, remove, list and show: the same for every table, with what differs asked of its [`Kind`].

use std::collections::HashSet;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::names;
use super::output::{Columns, Output, complain, shown};
use super::place::{Notify, Opened, Told};
use super::refusal::Refusal;
use crate::store::{Flow, Put, Record, RecordFault, Store, Table};

/// What one table has of its own.
pub(super) trait Kind {
    /// The table; its word is that of the command line.
    fn table(&self) -> Table;

    /// What the table is for, for help.
    fn about(&self) -> &'static str;

    /// The commands with their own arguments; options that all have are added by [`command`].
    fn commands(&self) -> Vec<Command>;

    /// The records that `add` makes of its arguments.
    ///
    /// # Errors
    /// An argument must not be stored.
    fn added(&self, given: &ArgMatches, session: &Session) -> Result<Vec<Record>, Refusal>;

    /// What `change` makes of a record.
    ///
    /// # Errors
    /// An argument must not be stored.
    fn changed(
        &self,
        old: &Record,
        given: &ArgMatches,
        session: &Session,
    ) -> Result<Record, Refusal>;

    /// Keys under which a record may be that the arguments name, the most likely first.
    ///
    /// # Errors
    /// The arguments cannot name any.
    fn keys(&self, given: &ArgMatches) -> Result<Vec<Wanted>, Refusal>;

    /// Names of the columns of `list`.
    fn columns(&self) -> &'static [&'static str];

    /// The cells of a record.
    fn row(&self, record: &Record) -> Vec<String>;

    /// The fields of a record for programs and for `show`; never a hash.
    fn fields(&self, record: &Record) -> Map<String, Value>;

    /// The domain that a record belongs to, for `list --domain`.
    fn domain_of(&self, _: &Record) -> Option<String> {
        None
    }

    /// What stands before the key in the order of `list`, for tables that are numbered; `None` for the others.
    fn rank(&self) -> Option<fn(&Record) -> i16> {
        None
    }
}

/// One record that the command line names: by any of these keys, or by its number in `list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// As it was given.
    pub(super) given: String,
    /// Keys that this may mean.
    pub(super) keys: Vec<String>,
    /// The number, counted from 1.
    pub(super) number: Option<usize>,
}

impl Wanted {
    /// The text of an argument that is a number or one of these keys.
    pub(super) fn numbered(given: &str, keys: Vec<String>) -> Self {
        Self {
            given: given.to_owned(),
            keys,
            number: given.parse().ok(),
        }
    }
}

/// An open store and where to print.
pub(super) struct Session {
    pub(super) opened: Opened,
    pub(super) output: Output,
}

impl Session {
    pub(super) fn store(&self) -> &dyn Store {
        self.opened.store.store()
    }

    /// Tells the server of a change that has been stored.
    pub(super) fn tell(&self, tables: &[Table]) {
        tell(&*self.opened.notify, tables);
    }
}

/// Tells the server of a change that has been stored, and says so where that fails.
pub(super) fn tell(notify: &dyn Notify, tables: &[Table]) {
    if let Told::Failed(why) = notify.changed(tables) {
        complain(&format!(
            "stored, but the server could not be told: {why}; it finds the change by itself within seconds"
        ));
    }
}

/// The command of a table with all that can be done to it.
pub(super) fn command(kind: &dyn Kind) -> Command {
    let mut command = Command::new(kind.table().word())
        .about(kind.about())
        .subcommand_required(true)
        .disable_help_subcommand(true);
    for own in kind.commands() {
        let list = own.get_name() == "list";
        let own = match own.get_name() {
            "list" | "show" => own,
            _ => telling(own),
        };
        let own = if list {
            filters(own, kind.rank().is_none())
        } else {
            own
        };
        command = command.subcommand(common(own));
    }
    command
}

/// Options that every command on the store has.
pub(super) fn common(command: Command) -> Command {
    command
        .arg(
            config_option()
                .conflicts_with("store")
                .help("The configuration that says where the store is"),
        )
        .arg(store_option().help("The file of an embedded store, without any configuration"))
        .args(output_options())
}

/// The same for a command that may need a configuration for something else than to find the store.
pub(super) fn common_with_source(command: Command) -> Command {
    command
        .arg(
            config_option()
                .help("The configuration that says where the store is, and what Database1 is"),
        )
        .arg(
            store_option()
                .help("The file of an embedded store, wherever the configuration has another"),
        )
        .args(output_options())
}

fn config_option() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .default_value("repro.config")
}

fn store_option() -> Arg {
    Arg::new("store").long("store").value_name("PATH")
}

fn output_options() -> [Arg; 2] {
    [
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Print JSON, one object a line"),
        Arg::new("quiet")
            .long("quiet")
            .short('q')
            .action(ArgAction::SetTrue)
            .help("Do not say what was done"),
    ]
}

/// Where to tell the server of a change, for those commands that make one.
pub(super) fn telling(command: Command) -> Command {
    command.arg(
        Arg::new("socket").long("socket").value_name("PATH").help(
            "The control socket of the server to tell, in place of that of the configuration",
        ),
    )
}

fn filters(command: Command, by_domain: bool) -> Command {
    let text = Arg::new("text")
        .long("text")
        .value_name("TEXT")
        .help("Only those with this text in one of the columns, in any letter case");
    let domain = Arg::new("domain")
        .long("domain")
        .value_name("DOMAIN")
        .help("Only those of this domain");
    let command = command.arg(text);
    if by_domain {
        command.arg(domain)
    } else {
        command
    }
}

/// Does what the word of a command asks.
pub(super) fn run(
    kind: &dyn Kind,
    word: &str,
    given: &ArgMatches,
    session: &mut Session,
) -> Result<(), Refusal> {
    match word {
        "add" => add(kind, given, session),
        "change" => change(kind, given, session),
        "remove" => remove(kind, given, session),
        "list" => list(kind, given, session),
        _ => show(kind, given, session),
    }
}

fn add(kind: &dyn Kind, given: &ArgMatches, session: &mut Session) -> Result<(), Refusal> {
    let table = kind.table();
    let records = kind.added(given, session)?;
    for record in &records {
        absent(session, table, &record.key())?;
    }
    session.store().put(&records)?;
    session.tell(&[table]);
    for record in &records {
        session.output.done("added", table, &record.key());
    }
    Ok(())
}

/// Refuses a key that is taken.
pub(super) fn absent(session: &Session, table: Table, key: &str) -> Result<(), Refusal> {
    match session.store().get(table, key)? {
        Some(_) => Err(Refusal::Exists {
            table,
            key: shown(key),
        }),
        None => Ok(()),
    }
}

/// Refuses a key that another record has. Letter case may make one key of two: a domain has none.
pub(super) fn free_for(
    session: &Session,
    table: Table,
    before: &str,
    after: &str,
) -> Result<(), Refusal> {
    match session.store().get(table, after)? {
        Some(found) if found.key() != before => Err(Refusal::Exists {
            table,
            key: shown(after),
        }),
        _ => Ok(()),
    }
}

fn change(kind: &dyn Kind, given: &ArgMatches, session: &mut Session) -> Result<(), Refusal> {
    let table = kind.table();
    for old in found(kind, given, session)? {
        let new = kind.changed(&old, given, session)?;
        let (before, after) = (old.key(), new.key());
        let put = if before == after {
            session
                .store()
                .put(std::slice::from_ref(&new))?
                .first()
                .copied()
        } else {
            free_for(session, table, &before, &after)?;
            Some(session.store().replace(&before, &new)?)
        };
        if before == after && put == Some(Put::Same) {
            session.output.done("unchanged", table, &after);
        } else {
            session.tell(&[table]);
            session.output.changed(table, &before, &after);
        }
    }
    Ok(())
}

fn remove(kind: &dyn Kind, given: &ArgMatches, session: &mut Session) -> Result<(), Refusal> {
    let table = kind.table();
    let keys: Vec<String> = found(kind, given, session)?
        .iter()
        .map(Record::key)
        .collect();
    session.store().remove(table, &keys)?;
    session.tell(&[table]);
    for key in &keys {
        session.output.done("removed", table, key);
    }
    Ok(())
}

fn show(kind: &dyn Kind, given: &ArgMatches, session: &mut Session) -> Result<(), Refusal> {
    for record in found(kind, given, session)? {
        let fields = fields(kind, &record, None);
        if session.output.json {
            session.output.line(&Value::Object(fields).to_string());
            continue;
        }
        let width = fields.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in &fields {
            let value = match value {
                Value::String(text) => shown(text),
                other => other.to_string(),
            };
            session
                .output
                .line(format!("{name:<width$}  {value}").trim_end());
        }
    }
    Ok(())
}

/// The records that the command line names, each once; all of them are there, or it is refused.
pub(super) fn found(
    kind: &dyn Kind,
    given: &ArgMatches,
    session: &Session,
) -> Result<Vec<Record>, Refusal> {
    let table = kind.table();
    let wanted = kind.keys(given)?;
    let numbered = if wanted.iter().any(|wanted| wanted.number.is_some()) {
        ranked(kind, session)?.0
    } else {
        Vec::new()
    };
    let mut seen = HashSet::new();
    let mut records = Vec::new();
    let mut missing = Vec::new();
    for wanted in wanted {
        let mut record = None;
        if let Some(number) = wanted.number {
            record = number
                .checked_sub(1)
                .and_then(|at| numbered.get(at))
                .cloned();
        }
        for key in &wanted.keys {
            if record.is_none() {
                record = session.store().get(table, key)?;
            }
        }
        match record {
            Some(record) if seen.insert(record.key()) => records.push(record),
            Some(_) => {}
            None => missing.push(wanted.given),
        }
    }
    match missing.as_slice() {
        [] => Ok(records),
        [one] => Err(Refusal::Absent {
            table,
            key: shown(one),
        }),
        several => {
            for one in several {
                let key = shown(one);
                complain(&Refusal::Absent { table, key }.to_string());
            }
            Err(Refusal::Said)
        }
    }
}

/// Every record of a numbered table in the order of `list`, and what could not be read. The server holds these tables in
/// memory too.
fn ranked(kind: &dyn Kind, session: &Session) -> Result<(Vec<Record>, Vec<RecordFault>), Refusal> {
    let (mut records, mut faults) = (Vec::new(), Vec::new());
    session.store().each(kind.table(), &mut |record| {
        match record {
            Ok(record) => records.push(record),
            Err(fault) => faults.push(fault),
        }
        Flow::More
    })?;
    let rank = kind.rank();
    records.sort_by_cached_key(|record| (rank.map(|rank| rank(record)), record.key()));
    Ok((records, faults))
}

fn fields(kind: &dyn Kind, record: &Record, number: Option<usize>) -> Map<String, Value> {
    let mut fields = kind.fields(record);
    fields.insert("key".to_owned(), json!(record.key()));
    if let Some(number) = number {
        fields.insert("number".to_owned(), json!(number));
    }
    fields
}

/// Prints a table. One that is not numbered may have a million records: they pass through and are not kept.
fn list(kind: &dyn Kind, given: &ArgMatches, session: &mut Session) -> Result<(), Refusal> {
    let mut printer = Printer::new(kind, given)?;
    let mut faults = 0_usize;
    let mut tell = |fault: &RecordFault| {
        faults += 1;
        complain(&fault.to_string());
    };
    if printer.numbered {
        let (records, unreadable) = ranked(kind, session)?;
        for (at, record) in records.iter().enumerate() {
            if printer.print(record, Some(at + 1), &mut session.output) == Flow::Enough {
                break;
            }
        }
        unreadable.iter().for_each(&mut tell);
    } else {
        let Session { opened, output } = &mut *session;
        opened
            .store
            .store()
            .each(kind.table(), &mut |record| match record {
                Ok(record) => printer.print(&record, None, output),
                Err(fault) => {
                    tell(&fault);
                    Flow::More
                }
            })?;
    }
    if !session.output.json {
        printer.columns.finish(&mut session.output);
    }
    if faults == 0 {
        Ok(())
    } else {
        Err(Refusal::Said)
    }
}

/// Prints those records of a table that were asked for.
struct Printer<'k> {
    kind: &'k dyn Kind,
    numbered: bool,
    columns: Columns,
    domain: Option<String>,
    text: Option<String>,
}

impl<'k> Printer<'k> {
    fn new(kind: &'k dyn Kind, given: &ArgMatches) -> Result<Self, Refusal> {
        let numbered = kind.rank().is_some();
        let mut columns = Vec::new();
        if numbered {
            columns.push("number");
        }
        columns.extend(kind.columns());
        let asked = |name| given.try_get_one::<String>(name).ok().flatten();
        Ok(Self {
            kind,
            numbered,
            columns: Columns::new(&columns),
            domain: asked("domain")
                .map(|text| names::domain(text))
                .transpose()?,
            text: asked("text").map(|text| text.to_lowercase()),
        })
    }

    fn print(&mut self, record: &Record, number: Option<usize>, output: &mut Output) -> Flow {
        if let Some(domain) = &self.domain
            && !self
                .kind
                .domain_of(record)
                .is_some_and(|own| own.eq_ignore_ascii_case(domain))
        {
            return Flow::More;
        }
        let mut cells = self.kind.row(record);
        if let Some(text) = &self.text
            && !cells.iter().any(|cell| cell.to_lowercase().contains(text))
        {
            return Flow::More;
        }
        if output.json {
            let fields = fields(self.kind, record, number);
            return output.line(&Value::Object(fields).to_string());
        }
        if let Some(number) = number {
            cells.insert(0, number.to_string());
        }
        self.columns.row(&cells, output)
    }
}
