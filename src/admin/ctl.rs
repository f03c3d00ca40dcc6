//! `sipvouch ctl`: the command line of the control socket.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::show;

/// The server said no.
const REFUSED: u8 = 1;
/// The command line, or the configuration that names the socket, is wrong.
const USAGE: u8 = 2;
/// No server is there.
const NO_SERVER: u8 = 3;

/// `ctl` and all its words.
pub(crate) fn ctl_command() -> Command {
    Command::new("ctl")
        .about("Ask a running server, or tell it something, over its control socket")
        .after_help(
            "Exit status: 0 done, 1 the server said no, 2 wrong usage, 3 no server is there.\n\n\
             Example:\n  sipvouch ctl --config /etc/repro/repro.config status",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new("socket")
                .long("socket")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .global(true)
                .conflicts_with("config")
                .help("The control socket"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .global(true)
                .help("The configuration file whose ControlSocket it is [default: repro.config]"),
        )
        .arg(
            flag("json", "Print the result as one line of JSON").global(true),
        )
        .subcommand(word(
            "status",
            "How the server is: version, age, listeners, connections, counters",
            "sipvouch ctl status",
        ))
        .subcommand(
            word(
                "connections",
                "List connections, who they are and what they did",
                "sipvouch ctl connections --peer 192.0.2.7\n  sipvouch ctl connections --identity alice@example.org",
            )
            .arg(option("peer", "ADDRESS", "Only of this address, with a port or without"))
            .arg(option("identity", "TEXT", "Only with this in a name of the certificate"))
            .arg(option("listener", "ADDRESS", "Only on this listener: address:port, or the port")),
        )
        .subcommand(word(
            "certificates",
            "List the certificates that are in force, and the days they have left",
            "sipvouch ctl certificates --json",
        ))
        .subcommand(word(
            "reload",
            "Load configuration, certificates and mappings again, as SIGHUP does, and say what changed",
            "sipvouch ctl reload",
        ))
        .subcommand(
            word(
                "changed",
                "Say that tables of the store were changed, so that the server takes them up again",
                "sipvouch ctl changed user route",
            )
            .arg(
                Arg::new("table")
                    .required(true)
                    .num_args(1..)
                    .help("A table that was changed"),
            ),
        )
        .subcommand(word(
            "drain",
            "End in peace, as SIGTERM does; does not wait for the end",
            "sipvouch ctl drain",
        ))
        .subcommand(
            word(
                "close",
                "Close one connection",
                "sipvouch ctl close 4711",
            )
            .arg(
                Arg::new("connection")
                    .required(true)
                    .value_parser(value_parser!(u64))
                    .help("Its number: conn in the log and in the list of connections"),
            ),
        )
        .subcommand(
            word(
                "loglevel",
                "Say what is logged, or change it until the next change or restart",
                "sipvouch ctl loglevel debug\n  sipvouch ctl loglevel transport=trace,info\n  sipvouch ctl loglevel default",
            )
            .arg(Arg::new("directives").value_name("DIRECTIVES").help(
                "A level (off, error, warn, info, debug, trace), rooms with levels, or default for what the \
                 configuration says",
            )),
        )
        .subcommand(
            word(
                "keylog",
                "Write the TLS secrets of one peer to a new file, to read a capture of what it says",
                "sipvouch ctl keylog --peer 192.0.2.7 --seconds 600 --file /var/lib/sipvouch/keys\n  \
                 sipvouch ctl keylog off",
            )
            .arg(
                Arg::new("off")
                    .value_name("off")
                    .value_parser(["off"])
                    .conflicts_with_all(["peer", "seconds", "file"])
                    .help("End it"),
            )
            .arg(
                option("peer", "ADDRESS", "Whose: an address, with a port or without")
                    .requires("seconds")
                    .requires("file"),
            )
            .arg(
                option("seconds", "N", "For how long, an hour at most")
                    .value_parser(value_parser!(u64).range(1..=3600))
                    .requires("peer"),
            )
            .arg(
                option("file", "FILE", "A file that is not there yet, where the server may write")
                    .value_parser(value_parser!(PathBuf))
                    .requires("peer"),
            ),
        )
}

fn word(name: &'static str, about: &'static str, example: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .after_help(format!("Example:\n  {example}"))
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// Gives the command to the server and prints what it says. `find` answers where the control socket of a configuration
/// file is, or why that is not known; without a name it is asked for the usual file.
pub(crate) fn run_ctl(
    matches: &ArgMatches,
    find: impl FnOnce(Option<&Path>) -> Result<PathBuf, String>,
) -> ExitCode {
    let Some((word, given)) = matches.subcommand() else {
        return fail(USAGE, "which command? see sipvouch ctl --help");
    };
    let path = match matches.get_one::<PathBuf>("socket") {
        Some(path) => path.clone(),
        None => match find(matches.get_one::<PathBuf>("config").map(PathBuf::as_path)) {
            Ok(path) => path,
            Err(why) => return fail(USAGE, &why),
        },
    };
    let called = Client::ask(&path, &question(word, given));
    match called {
        Ok(result) => {
            let text = if matches.get_flag("json") {
                format!("{result}\n")
            } else {
                show::result(word, &result)
            };
            // A reader that has seen enough (`| head`) is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(ClientError::Refused(refused)) => {
            for fault in &refused.faults {
                say(fault);
            }
            fail(REFUSED, &refused.error)
        }
        Err(error @ ClientError::NoServer { .. }) => fail(NO_SERVER, &error.to_string()),
        Err(error) => fail(REFUSED, &error.to_string()),
    }
}

/// What the server is told.
fn question(word: &str, given: &ArgMatches) -> Value {
    let text = |name: &str| given.get_one::<String>(name);
    match word {
        "connections" => json!({
            "command": word,
            "peer": text("peer"),
            "identity": text("identity"),
            "listener": text("listener"),
        }),
        "changed" => {
            let tables = given.get_many::<String>("table");
            let tables: Vec<&String> = tables.into_iter().flatten().collect();
            json!({"command": word, "tables": tables})
        }
        "close" => json!({"command": word, "connection": given.get_one::<u64>("connection")}),
        "loglevel" => json!({"command": word, "set": text("directives")}),
        "keylog" => json!({
            "command": word,
            "peer": text("peer"),
            "seconds": given.get_one::<u64>("seconds"),
            // The server's working directory is another.
            "file": given.get_one::<PathBuf>("file").and_then(|file| std::path::absolute(file).ok()),
            "off": text("off").is_some(),
        }),
        _ => json!({"command": word}),
    }
}

fn say(text: &str) {
    let text = show::printable(text);
    let _ = std::io::stderr().write_all(format!("sipvouch: {text}\n").as_bytes());
}

fn fail(status: u8, text: &str) -> ExitCode {
    say(text);
    ExitCode::from(status)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::Command as Asked;
    use super::*;

    fn asked(line: &str) -> Asked {
        let words = std::iter::once("ctl").chain(line.split_whitespace());
        let matches = ctl_command().try_get_matches_from(words).unwrap();
        let (word, given) = matches.subcommand().unwrap();
        Asked::parse(question(word, given).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_command_is_well_formed() {
        ctl_command().debug_assert();
    }

    #[test]
    fn every_word_becomes_a_command_that_the_server_understands() {
        for (line, name, changes) in [
            ("status", "status", false),
            (
                "connections --peer 192.0.2.7 --identity a --listener 5061",
                "connections",
                false,
            ),
            ("certificates --json", "certificates", false),
            ("reload --socket /x", "reload", true),
            ("changed user route", "changed", true),
            ("--config /x drain", "drain", true),
            ("close 17", "close", true),
            ("loglevel", "loglevel", false),
            ("loglevel transport=trace,info", "loglevel", true),
            ("keylog", "keylog", false),
            ("keylog off", "keylog", true),
            (
                "keylog --peer 192.0.2.7 --seconds 60 --file x",
                "keylog",
                true,
            ),
        ] {
            let command = asked(line);
            assert_eq!(
                (command.name(), command.changes()),
                (name, changes),
                "{line}"
            );
        }
        let words = ctl_command();
        for word in words.get_subcommands() {
            let help = word.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.contains("Example:\n")),
                "{word}"
            );
        }
    }

    #[test]
    fn wrong_usage_is_refused_before_a_server_is_asked() {
        for line in [
            "",
            "dance",
            "close",
            "close x",
            "changed",
            "status --peer 192.0.2.7",
            "keylog on",
            "keylog off --peer 192.0.2.7 --seconds 60 --file x",
            "keylog --peer 192.0.2.7",
            "keylog --peer 192.0.2.7 --seconds 3601 --file x",
            "status --socket a --config b",
        ] {
            let words = std::iter::once("ctl").chain(line.split_whitespace());
            assert!(ctl_command().try_get_matches_from(words).is_err(), "{line}");
        }
    }
}
