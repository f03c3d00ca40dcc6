//! The operator's commands on the store: users, domains, routes, ACL, filters, identities, static registrations; import,
//! export, backup and restore; completions and manual pages.
//!
//! [`run`] takes the command line and a [`StoreOpener`] from the composition root. What is stored has been checked
//! before, by the same types that the server reads it with; the server is told, or finds the change by itself.

mod acl;
mod domain;
mod filter;
mod identity;
mod names;
mod notify;
mod output;
mod pages;
mod pattern;
mod place;
mod refusal;
mod registration;
mod route;
mod secret;
mod table;
mod transfer;
mod tree;
mod user;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;

use output::{Output, complain};
use refusal::{Refusal, cut};
use table::Session;

pub(crate) use notify::ControlSocket;
pub(crate) use place::{
    Finish, Held, NobodyToTell, Notify, Opened, Place, Purpose, RestoredTo, StoreOpener,
};

/// Does what the arguments after the program's name ask, and says how it went: 0 done, 1 refused, not there or failed, 2
/// the command line is not understood.
pub(crate) fn run(
    arguments: impl IntoIterator<Item = OsString>,
    opener: &dyn StoreOpener,
) -> ExitCode {
    let mut line = vec![OsString::from("sipvouch")];
    line.extend(arguments);
    if let Err(refusal) = secret::none_behind_options(&line) {
        return refused(&refusal);
    }
    let given = match tree::command().try_get_matches_from(&line) {
        Ok(given) => given,
        Err(error) => {
            let error = repeated_shorter(&line).unwrap_or(error);
            // Help goes to standard output; a reader that has seen enough is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match given.subcommand() {
        Some((word, given)) => match dispatch(word, given, opener) {
            Ok(()) => ExitCode::SUCCESS,
            Err(refusal) => refused(&refusal),
        },
        // Clap asks for one.
        None => ExitCode::from(2),
    }
}

/// What is wrong with a command line, without repeating the whole of an argument that is too long to read.
fn repeated_shorter(line: &[OsString]) -> Option<clap::Error> {
    let line = line
        .iter()
        .map(|own| cut(&own.to_string_lossy()).into_owned());
    tree::command().try_get_matches_from(line).err()
}

fn refused(refusal: &Refusal) -> ExitCode {
    if !matches!(refusal, Refusal::Said) {
        complain(&refusal.to_string());
    }
    ExitCode::from(refusal.status())
}

fn dispatch(word: &str, given: &ArgMatches, opener: &dyn StoreOpener) -> Result<(), Refusal> {
    match word {
        "completions" | "man" => {
            let mut output = Output::new(false, false);
            let done = if word == "man" {
                pages::man(given, &mut output)
            } else {
                pages::completions(given, &mut output)
            };
            done.and(output.finish())
        }
        "restore" => transfer::restore(given, &place(given), opener),
        "import" => {
            let purpose = match given.get_flag("dry-run") {
                true => Purpose::Try,
                false => Purpose::Fill,
            };
            let session = open(given, purpose, opener)?;
            transfer::import(given, session, opener)
        }
        "export" | "backup" => {
            let mut session = open(given, Purpose::Look, opener)?;
            let done = match word {
                "export" => transfer::export(given, &mut session),
                _ => transfer::backup(given, &mut session),
            };
            let printed = session.output.finish();
            done.and(printed)
        }
        _ => {
            let kind = tree::KINDS
                .into_iter()
                .find(|kind| kind.table().word() == word);
            let (Some(kind), Some((action, given))) = (kind, given.subcommand()) else {
                return Err(Refusal::NoPage(word.to_owned()));
            };
            secret::none_in_arguments(given)?;
            let purpose = match action {
                "list" | "show" | "verify" => Purpose::Look,
                "add" => Purpose::Add,
                _ => Purpose::Change,
            };
            let mut session = open(given, purpose, opener)?;
            let done = if action == "verify" {
                user::verify(given, &mut session)
            } else {
                table::run(kind, action, given, &mut session)
            };
            // What was printed before a refusal is seen too.
            let printed = session.output.finish();
            done.and(printed)
        }
    }
}

/// Where the options say that the store is.
fn place(given: &ArgMatches) -> Place {
    let path = |name| given.get_one::<String>(name).map(PathBuf::from);
    match path("store") {
        Some(file) => Place::File(file),
        None => Place::Configuration(path("config").unwrap_or_default()),
    }
}

/// Opens the store that the options name.
fn open(
    given: &ArgMatches,
    purpose: Purpose,
    opener: &dyn StoreOpener,
) -> Result<Session, Refusal> {
    let mut opened = opener.open(&place(given), purpose).map_err(Refusal::Open)?;
    for note in &opened.notes {
        complain(note);
    }
    if let Ok(Some(socket)) = given.try_get_one::<String>("socket") {
        opened.notify = Box::new(notify::ControlSocket(PathBuf::from(socket)));
    }
    Ok(Session {
        opened,
        output: Output::new(given.get_flag("json"), given.get_flag("quiet")),
    })
}
