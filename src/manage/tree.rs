//! The whole command line as clap sees it: what is parsed here, and the rest for completions and pages.
//!
//! `serve`, `check`, `settings`, `certs` and `explain` are parsed by `config::cli`, because repro's way of giving settings
//! (`--Name=value`, `/Name=value`, with a colon) is no grammar of clap's.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};
use clap_complete::Shell;

use super::table::{self, Kind, common, common_with_source, telling};
use super::{acl, domain, filter, identity, registration, route, user};
use crate::admin::ctl_command;

/// The tables that are managed, in the order of help.
pub(super) const KINDS: [&dyn Kind; 7] = [
    &user::Users,
    &domain::Domains,
    &route::Routes,
    &acl::Acls,
    &filter::Filters,
    &identity::Identities,
    &registration::Registrations,
];

/// The program with all its words.
pub(super) fn command() -> Command {
    let mut program = Command::new("sipvouch")
        .about("A SIP TLS server, registrar and proxy that vouches for who is calling")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .max_term_width(100);
    for described in described() {
        program = program.subcommand(described);
    }
    for kind in KINDS {
        let mut own = table::command(kind);
        if kind.table() == crate::store::Table::User {
            own = own.subcommand(user::verify_command());
        }
        program = program.subcommand(own);
    }
    for own in transfers().into_iter().chain(papers()) {
        program = program.subcommand(own);
    }
    program.subcommand(ctl_command())
}

/// Words that `config::cli` parses.
fn described() -> Vec<Command> {
    let file = || {
        Arg::new("FILE")
            .value_hint(ValueHint::FilePath)
            .help("The configuration file; repro.config without this")
    };
    let settings = |command: Command| {
        command.arg(
            Arg::new("SETTING")
                .num_args(0..)
                .help("Settings as --Name=value, which go before the file's"),
        )
    };
    let option = |name, value| Arg::new(name).long(name).value_name(value);
    let config = || {
        option("config", "FILE")
            .value_hint(ValueHint::FilePath)
            .help("The configuration file")
    };
    vec![
        settings(
            Command::new("check")
                .about("Load everything, say what is wrong, and end")
                .arg(file()),
        )
        .after_help("Example:\n  sipvouch check /etc/repro/repro.config"),
        settings(
            Command::new("settings")
                .about("Print the settings in force, and where each comes from")
                .arg(
                    Arg::new("sample")
                        .long("sample")
                        .action(ArgAction::SetTrue)
                        .help("Print a configuration file of all that have an effect"),
                )
                .arg(
                    Arg::new("markdown")
                        .long("markdown")
                        .action(ArgAction::SetTrue)
                        .help("Print the reference page"),
                )
                .arg(file()),
        )
        .after_help("Example:\n  sipvouch settings /etc/repro/repro.config"),
        settings(
            Command::new("certs")
                .about("Print every certificate that is loaded")
                .arg(config()),
        )
        .after_help("Example:\n  sipvouch certs --config /etc/repro/repro.config"),
        settings(
            Command::new("explain")
                .about("Say whether a peer may send a request, and why")
                .arg(config())
                .arg(
                    option("cert", "PEM")
                        .value_hint(ValueHint::FilePath)
                        .help("The certificate of the peer"),
                )
                .arg(
                    option("message", "FILE")
                        .value_hint(ValueHint::FilePath)
                        .conflicts_with_all(["from", "method", "to", "to-tag"])
                        .help("The text of a whole request, from a log or a capture; - reads standard input"),
                )
                .arg(
                    option("from", "URI")
                        .required_unless_present("message")
                        .help("The URI in From"),
                )
                .arg(option("method", "METHOD").help("The method; INVITE without this"))
                .arg(option("to", "URI").help("The URI in To; that of From without this"))
                .arg(
                    Arg::new("to-tag")
                        .long("to-tag")
                        .action(ArgAction::SetTrue)
                        .help("To has a tag"),
                )
                .arg(option("source", "ADDRESS[:PORT]").help("Where it comes from; nowhere in particular without this"))
                .arg(option("transport", "NAME").help("Over what it comes: tls (without this), tcp, udp, ws, wss"))
                .arg(
                    option("digest-user", "USER")
                        .help("The user whose password is taken as proved"),
                ),
        )
        .after_help(
            "Examples:\n  sipvouch explain --cert phone.pem --from sip:bob@example.org\n  \
             sipvouch explain --cert phone.pem --source 192.0.2.7 --message refused.sip",
        ),
    ]
}

/// Whole stores in and out.
fn transfers() -> Vec<Command> {
    vec![
        telling(common_with_source(
            Command::new("import")
                .about("Take over what repro has stored, or an export of ours")
                .arg(
                    Arg::new("SOURCE")
                        .required(true).value_parser(value_parser!(PathBuf))
                        .value_hint(ValueHint::AnyPath)
                        .help(
                            "A directory with repro's Berkeley DB files (repro_user.db) or what db_dump made of them \
                             (repro_user.dump), a directory that sipvouch export has written, or Database1, Database2 and \
                             so on: repro's tables in that PostgreSQL or MySQL of the configuration",
                        ),
                )
                .arg(
                    Arg::new("dry-run")
                        .long("dry-run")
                        .action(ArgAction::SetTrue)
                        .help("Say what would be taken over, and change nothing"),
                )
                .arg(
                    Arg::new("trust-wide-networks")
                        .long("trust-wide-networks")
                        .action(ArgAction::SetTrue)
                        .help(
                            "Take over ACL entries for networks wider than /8 (IPv6: /16) too; one with /0 trusts everybody",
                        ),
                ),
        ))
        .after_help(
            "Examples:\n  sipvouch import /var/lib/repro --dry-run\n  \
             sipvouch import /var/lib/repro --config /etc/repro/repro.config\n  \
             sipvouch import Database1 --config /etc/repro/repro.config --store /var/lib/sipvouch/sipvouch.db\n\n\
             An import adds: a record that is there under the same key is replaced, and named; one that is only in the \
             store stays. From repro's tables the records that are good come over, and the others are named. Of an export \
             all come over, or nothing is stored.",
        ),
        common(
            Command::new("export")
                .about("Write every table as a file of readable lines; the hashes of passwords are in it")
                .arg(
                    Arg::new("DIR")
                        .required(true).value_parser(value_parser!(PathBuf))
                        .value_hint(ValueHint::DirPath)
                        .help("A directory that is made for it"),
                ),
        )
        .after_help("Example:\n  sipvouch export /var/backups/sipvouch-2026-11-25"),
        common(
            Command::new("backup")
                .about("Copy the store to one file while the server runs")
                .arg(
                    Arg::new("FILE")
                        .required(true).value_parser(value_parser!(PathBuf))
                        .value_hint(ValueHint::FilePath)
                        .help("The copy; it can be used as a store at once"),
                )
                .arg(
                    Arg::new("replace")
                        .long("replace")
                        .action(ArgAction::SetTrue)
                        .help("Replace the file if it is there"),
                ),
        )
        .after_help("Example:\n  sipvouch backup /var/backups/sipvouch.db --replace"),
        common(
            Command::new("restore")
                .about("Put a backup in the place of the store, which is moved aside; no server may run")
                .arg(
                    Arg::new("BACKUP")
                        .required(true).value_parser(value_parser!(PathBuf))
                        .value_hint(ValueHint::FilePath)
                        .help("What sipvouch backup has written, or a store that was moved aside; it is looked through first"),
                ),
        )
        .after_help(
            "Example:\n  sipvouch restore /var/backups/sipvouch.db --config /etc/repro/repro.config",
        ),
    ]
}

/// What is written about the program itself.
fn papers() -> Vec<Command> {
    vec![
        Command::new("completions")
            .about("Print the completions of a shell")
            .arg(
                Arg::new("SHELL")
                    .required(true)
                    .value_parser(
                        clap::builder::PossibleValuesParser::new(["bash", "zsh", "fish"]),
                    )
                    .help("The shell"),
            )
            .after_help(
                "Example:\n  sipvouch completions bash > /usr/share/bash-completion/completions/sipvouch",
            ),
        Command::new("man")
            .about("Print a manual page")
            .arg(Arg::new("COMMAND").help("The command it is about; the program without this"))
            .arg(
                Arg::new("dir")
                    .long("dir")
                    .value_name("DIR")
                    .value_hint(ValueHint::DirPath)
                    .value_parser(value_parser!(PathBuf))
                    .conflicts_with("COMMAND")
                    .help("Write every page into this directory instead"),
            )
            .after_help("Examples:\n  sipvouch man user | man -l -\n  sipvouch man --dir /usr/local/share/man/man1"),
    ]
}

/// The shell of this name.
pub(super) fn shell(name: &str) -> Option<Shell> {
    match name {
        "bash" => Some(Shell::Bash),
        "zsh" => Some(Shell::Zsh),
        "fish" => Some(Shell::Fish),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::config::cli::{Command as Parsed, MANAGED, parse};

    /// Every command without subcommands, with the words before it.
    fn leaves(command: &Command, before: &str, found: &mut Vec<(String, Command)>) {
        let name = format!("{before} {}", command.get_name());
        let name = name.trim().to_owned();
        if command.get_subcommands().next().is_none() {
            found.push((name, command.clone()));
            return;
        }
        for sub in command.get_subcommands() {
            leaves(sub, &name, found);
        }
    }

    #[test]
    fn clap_finds_no_fault_with_the_tree() {
        command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_for_and_gives_an_example_that_is_understood() {
        let mut found = Vec::new();
        leaves(&command(), "", &mut found);
        assert!(found.len() > 40, "{}", found.len());
        for (name, leaf) in found {
            assert!(leaf.get_about().is_some(), "{name} has no about");
            let after = leaf
                .get_after_help()
                .unwrap_or_else(|| panic!("{name}: no example"))
                .to_string();
            let example = after
                .lines()
                .find(|line| line.contains(&name))
                .unwrap_or_else(|| panic!("{name}: {after}"));
            for argument in leaf.get_arguments() {
                assert!(
                    argument.is_hide_set() || argument.get_help().is_some(),
                    "{name} {}",
                    argument.get_id()
                );
            }
            // The part before a pipe or redirection, in words.
            let start = example.find("sipvouch ").unwrap();
            let part = example[start..]
                .split(" | ")
                .next()
                .unwrap()
                .split(" > ")
                .next()
                .unwrap();
            let words = words(part);
            if parse(&words[1..]) != Ok(Parsed::Manage(words[1..].iter().map(Into::into).collect()))
            {
                continue;
            }
            let parsed = command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{part}: {}", parsed.unwrap_err());
        }
    }

    /// Splits as a shell does, as far as the examples need it.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
        for c in line.chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => words.extend(word.take()),
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn the_words_of_the_command_line_are_those_of_the_tree() {
        let own: Vec<String> = command()
            .get_subcommands()
            .map(|own| own.get_name().to_owned())
            .filter(|name| {
                !matches!(
                    name.as_str(),
                    "check" | "settings" | "certs" | "explain" | "ctl"
                )
            })
            .collect();
        assert_eq!(own, MANAGED);
    }
}
