//! Passwords and hashes come from the terminal or from standard input, and never from the arguments.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::refusal::Refusal;
use crate::auth::HashText;

/// Longest line that is taken for a password or a hash, in octets.
const LONGEST: u64 = 1024;

/// Options about where a password comes from, and two traps for one that is given as an argument.
pub(super) fn options(command: Command) -> Command {
    command
        .arg(
            Arg::new("password-stdin")
                .long("password-stdin")
                .action(ArgAction::SetTrue)
                .help("Read the password as one line of standard input, even from a terminal"),
        )
        // Clap would repeat the surplus argument in its own error.
        .arg(Arg::new("surplus").num_args(0..).hide(true))
}

/// The options of [`options`], and those that take a hash or nothing instead.
pub(super) fn options_to_set(command: Command) -> Command {
    options(command)
        .arg(
            Arg::new("ha1")
                .long("ha1")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["password-stdin", "no-password"])
                .help(
                    "Read a hash instead of a password from standard input: 32 hexadecimal digits (MD5), or [MD5]…[SHA-256]…\
                     [SHA-512-256]… of user:realm:password",
                ),
        )
        .arg(
            Arg::new("no-password")
                .long("no-password")
                .action(ArgAction::SetTrue)
                .conflicts_with("password-stdin")
                .help("No password: only a certificate lets this user in"),
        )
}

/// Refuses a password among the arguments before clap sees it and repeats it in an error of its own.
///
/// # Errors
/// There is one behind an option that has no value.
pub(super) fn none_behind_options(arguments: &[OsString]) -> Result<(), Refusal> {
    let has_secret = |argument: &OsString| {
        let octets = argument.as_encoded_bytes();
        ["--password=", "--password-stdin=", "--ha1="]
            .iter()
            .any(|option| octets.starts_with(option.as_bytes()))
    };
    if arguments.iter().any(has_secret) {
        Err(Refusal::SecretInArguments)
    } else {
        Ok(())
    }
}

/// Refuses a password behind the arguments that are expected.
///
/// # Errors
/// There is one.
pub(super) fn none_in_arguments(given: &ArgMatches) -> Result<(), Refusal> {
    match given.try_contains_id("surplus") {
        Ok(true) => Err(Refusal::SecretInArguments),
        _ => Ok(()),
    }
}

/// How often a password is asked for on a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is compared with one that is known.
    Once,
    /// It is new: a slip would lock the user out.
    Twice,
}

/// Reads a password: from the terminal without showing it, or as one line of standard input.
///
/// # Errors
/// There is none, or it cannot be taken.
pub(super) fn password(given: &ArgMatches, whose: &str, entry: Entry) -> Result<Vec<u8>, Refusal> {
    let stdin = io::stdin();
    let password = if given.get_flag("password-stdin") || !stdin.is_terminal() {
        first_line(stdin.lock())?
    } else {
        let ask = |prompt: String| {
            rpassword::prompt_password(prompt).map_err(|source| Refusal::Input {
                what: "the password from the terminal",
                source,
            })
        };
        let password = ask(format!("Password of {whose}: "))?;
        if entry == Entry::Twice && ask("The same again: ".to_owned())? != password {
            return Err(Refusal::Password(
                "the two are not the same; nothing was changed",
            ));
        }
        password.into_bytes()
    };
    if entry == Entry::Twice {
        if password.is_empty() {
            return Err(Refusal::Password(
                "empty; a user without one is made with --no-password",
            ));
        }
        if password.iter().any(u8::is_ascii_control) {
            return Err(Refusal::Password(
                "has a control character, which no phone can send",
            ));
        }
    }
    Ok(password)
}

/// Reads a hash as one line of standard input.
///
/// # Errors
/// There is none, or it is none.
pub(super) fn hash() -> Result<HashText, Refusal> {
    let line = first_line(io::stdin().lock())?;
    let text = std::str::from_utf8(&line).map_err(|_| crate::auth::HashFault::Unreadable)?;
    let hash = HashText::parse(text.trim())?;
    if let Some(defect) = hash.defect() {
        return Err(defect.into());
    }
    if hash.is_empty() {
        return Err(crate::auth::HashFault::Unreadable.into());
    }
    Ok(hash)
}

/// The first line of standard input without its end.
fn first_line(input: impl BufRead) -> Result<Vec<u8>, Refusal> {
    let mut line = Vec::new();
    input
        .take(LONGEST + 2)
        .read_until(b'\n', &mut line)
        .map_err(|source| Refusal::Input {
            what: "standard input",
            source,
        })?;
    if line.is_empty() {
        return Err(Refusal::Password(
            "standard input is empty; one line is expected there",
        ));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() as u64 > LONGEST {
        return Err(Refusal::Password("longer than 1024 octets"));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_password_is_the_first_line_without_its_end() {
        let long = vec![b'x'; 1024];
        for (situation, input, password) in [
            ("a line", &b"secret\n"[..], Some(&b"secret"[..])),
            ("no line end", b"secret", Some(b"secret")),
            ("CRLF", b"secret\r\n", Some(b"secret")),
            ("blanks belong to it", b" a b \n", Some(b" a b ")),
            ("only the first line", b"secret\nmore\n", Some(b"secret")),
            ("an empty line", b"\n", Some(b"")),
            ("nothing", b"", None),
            ("the longest", &long, Some(&long)),
            ("too long", &vec![b'x'; 5000], None),
        ] {
            assert_eq!(first_line(input).ok().as_deref(), password, "{situation}");
        }
    }
}
