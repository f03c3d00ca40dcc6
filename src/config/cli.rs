//! The command line as plain data.
//!
//! `sipvouch [repro.config] [--Name=value ...]` is repro's command line; a first argument that is one of our own
//! command words asks for something else. A file of such a name is given as `./check`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::settings;
use crate::auth::Transport;

/// The file when none is named, in the working directory; as in repro.
const DEFAULT_FILE: &str = "repro.config";

/// Words about the store and about the program itself, whose arguments `manage` parses.
pub const MANAGED: [&str; 13] = [
    "user",
    "domain",
    "route",
    "acl",
    "filter",
    "identity",
    "registration",
    "import",
    "export",
    "backup",
    "restore",
    "completions",
    "man",
];

/// A setting of the command line, which goes before the file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Name as written.
    pub name: String,
    /// Value; may be empty.
    pub value: String,
}

/// What `sipvouch settings` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsForm {
    /// What is in force, and from where.
    InForce,
    /// The sample configuration file.
    Sample,
    /// The reference page.
    Markdown,
}

/// What `sipvouch explain` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Configuration file.
    pub file: PathBuf,
    /// Settings that go before the file's.
    pub overrides: Vec<Override>,
    /// PEM file with the certificate of the peer; without one the peer shows none.
    pub certificate: Option<PathBuf>,
    /// The request.
    pub request: Asked,
    /// Where it comes from; unspecified if that is not said.
    pub source: SocketAddr,
    /// Over what it comes.
    pub transport: Transport,
    /// User whose password is taken as proved.
    pub digest_user: Option<String>,
}

/// The request that `sipvouch explain` is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// In words.
    Stated {
        /// URI in From.
        from: String,
        /// Request method.
        method: String,
        /// Whether To has a tag.
        to_tag: bool,
        /// URI in To; without one that of From.
        to: Option<String>,
    },
    /// The text of a message in this file, or `-` for standard input.
    Captured(PathBuf),
}

/// What the program is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Serve {
        /// Configuration file.
        file: PathBuf,
        /// Settings that go before the file's.
        overrides: Vec<Override>,
    },
    /// Load everything, say what there is to say, and end.
    Check {
        /// Configuration file.
        file: PathBuf,
        /// Settings that go before the file's.
        overrides: Vec<Override>,
    },
    /// Print settings.
    Settings {
        /// In which form.
        form: SettingsForm,
        /// Configuration file; only for [`SettingsForm::InForce`].
        file: PathBuf,
        /// Settings that go before the file's.
        overrides: Vec<Override>,
    },
    /// List every certificate that is loaded.
    Certs {
        /// Configuration file.
        file: PathBuf,
        /// Settings that go before the file's.
        overrides: Vec<Override>,
    },
    /// Explain one decision.
    Explain(Question),
    /// Ask a running server, or tell it something: the arguments after `ctl`.
    Ctl(Vec<OsString>),
    /// One of [`MANAGED`], with its arguments.
    Manage(Vec<OsString>),
    /// Print the version.
    Version,
    /// Print the help text.
    Help,
}

/// Why a command line is not understood; exit status 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An argument that should set something does not.
    #[error("{0:?} is no setting; expected --Name=value")]
    NoSetting(String),
    /// A setting is given twice.
    #[error("{0} is set twice on the command line; remove one of them")]
    Twice(String),
    /// An option has no value.
    #[error("{0} needs a value, as {0} VALUE")]
    NoValue(&'static str),
    /// A command lacks an option.
    #[error("{command} needs {option}")]
    Missing {
        /// The command.
        command: &'static str,
        /// The option.
        option: &'static str,
    },
    /// An option has a value that it cannot have.
    #[error("{option} {value:?}: expected {expected}")]
    BadValue {
        /// The option.
        option: &'static str,
        /// The value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// Two options say the same.
    #[error("{0} does not go with --message, which has its own")]
    Beside(&'static str),
    /// An argument is not UTF-8.
    #[error("{0:?} is not UTF-8")]
    NotUtf8(OsString),
}

/// Understands the arguments after the program's name.
///
/// # Errors
///
/// The first argument that is not understood.
pub fn parse<I>(arguments: I) -> Result<Command, UsageError>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    // These have a help of their own.
    if let Some((first, rest)) = arguments.split_first()
        && first == "ctl"
    {
        return Ok(Command::Ctl(rest.to_vec()));
    }
    let mut arguments = Arguments {
        left: arguments.into_iter(),
        named: None,
    };
    let first = arguments
        .left
        .as_slice()
        .first()
        .and_then(|first| first.to_str());
    if first.is_some_and(|first| MANAGED.contains(&first)) {
        return Ok(Command::Manage(arguments.left.collect()));
    }
    if first.is_some_and(|first| first == "help")
        && let Some(asked) = arguments.help_about()
    {
        return Ok(Command::Manage(asked));
    }
    if first.is_some_and(|first| first == "help")
        || arguments.ask_for(&["--help", "-help", "-h", "-?", "--?", "/?"])
    {
        return Ok(Command::Help);
    }
    if arguments.ask_for_first(&["--version", "-V"]) {
        return Ok(Command::Version);
    }
    match first {
        Some("check") => {
            let (file, overrides) = arguments.skip_word().file_and_overrides()?;
            Ok(Command::Check { file, overrides })
        }
        Some("settings") => {
            let mut form = SettingsForm::InForce;
            arguments = arguments.skip_word();
            for (flag, asked) in [
                ("--sample", SettingsForm::Sample),
                ("--markdown", SettingsForm::Markdown),
            ] {
                if arguments.take_flag(flag) {
                    form = asked;
                }
            }
            let (file, overrides) = arguments.file_and_overrides()?;
            Ok(Command::Settings {
                form,
                file,
                overrides,
            })
        }
        Some("certs") => {
            arguments = arguments.skip_word();
            arguments.named = arguments.take_value("--config")?.map(PathBuf::from);
            let (file, overrides) = arguments.file_and_overrides()?;
            Ok(Command::Certs { file, overrides })
        }
        Some("explain") => explain(arguments.skip_word()),
        _ => {
            let (file, overrides) = arguments.file_and_overrides()?;
            Ok(Command::Serve { file, overrides })
        }
    }
}

fn explain(mut arguments: Arguments) -> Result<Command, UsageError> {
    arguments.named = arguments.take_value("--config")?.map(PathBuf::from);
    let certificate = arguments.take_value("--cert")?.map(PathBuf::from);
    let source = arguments.take_text("--source")?.map(source).transpose()?;
    let transport = arguments
        .take_text("--transport")?
        .map(transport)
        .transpose()?;
    let message = arguments.take_value("--message")?.map(PathBuf::from);
    let from = arguments.take_text("--from")?;
    let method = arguments.take_text("--method")?;
    let to = arguments.take_text("--to")?;
    let digest_user = arguments.take_text("--digest-user")?;
    let to_tag = arguments.take_flag("--to-tag");
    let (file, overrides) = arguments.file_and_overrides()?;
    let request = match message {
        Some(message) => {
            for (given, option) in [
                (from.is_some(), "--from"),
                (method.is_some(), "--method"),
                (to.is_some(), "--to"),
                (to_tag, "--to-tag"),
            ] {
                if given {
                    return Err(UsageError::Beside(option));
                }
            }
            Asked::Captured(message)
        }
        None => Asked::Stated {
            from: from.ok_or(UsageError::Missing {
                command: "explain",
                option: "--from URI",
            })?,
            method: method.unwrap_or_else(|| "INVITE".to_owned()),
            to_tag,
            to,
        },
    };
    Ok(Command::Explain(Question {
        file,
        overrides,
        certificate,
        request,
        source: source.unwrap_or(NOWHERE),
        transport: transport.unwrap_or(Transport::Tls),
        digest_user,
    }))
}

/// No address in particular.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// An address with its port, or without.
fn source(text: String) -> Result<SocketAddr, UsageError> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = |text: &str| text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    let parsed = text.parse().ok().or_else(|| address(bare.unwrap_or(&text)));
    parsed.ok_or(UsageError::BadValue {
        option: "--source",
        value: text,
        expected: "an address, or address:port",
    })
}

fn transport(text: String) -> Result<Transport, UsageError> {
    Transport::of_name(&text).ok_or(UsageError::BadValue {
        option: "--transport",
        value: text,
        expected: "tls, tcp, udp, ws or wss",
    })
}

/// Arguments that have not been understood so far.
struct Arguments {
    left: std::vec::IntoIter<OsString>,
    /// A file given by an option, so that no argument names it.
    named: Option<PathBuf>,
}

impl Arguments {
    fn skip_word(mut self) -> Self {
        self.left.next();
        self
    }

    fn ask_for(&self, words: &[&str]) -> bool {
        self.left
            .as_slice()
            .iter()
            .any(|argument| words.iter().any(|word| argument.eq_ignore_ascii_case(word)))
    }

    /// The arguments of `help user add` as `user add --help`.
    fn help_about(&self) -> Option<Vec<OsString>> {
        let (_, asked) = self.left.as_slice().split_first()?;
        let word = asked.first()?.to_str()?;
        MANAGED.contains(&word).then(|| {
            let help = std::iter::once(OsString::from("--help"));
            asked.iter().cloned().chain(help).collect()
        })
    }

    fn ask_for_first(&self, words: &[&str]) -> bool {
        self.left
            .as_slice()
            .first()
            .is_some_and(|argument| words.iter().any(|word| argument == word))
    }

    fn take_flag(&mut self, flag: &str) -> bool {
        let mut left: Vec<OsString> = self.left.by_ref().collect();
        let before = left.len();
        left.retain(|argument| argument != flag);
        let found = left.len() < before;
        self.left = left.into_iter();
        found
    }

    /// Takes `--flag value` or `--flag=value` out.
    fn take_value(&mut self, flag: &'static str) -> Result<Option<OsString>, UsageError> {
        let mut found = None;
        let mut left = Vec::new();
        while let Some(argument) = self.left.next() {
            let inline = argument
                .to_str()
                .and_then(|text| text.strip_prefix(flag)?.strip_prefix('='));
            let value = if argument == flag {
                Some(self.left.next().ok_or(UsageError::NoValue(flag))?)
            } else {
                inline.map(OsString::from)
            };
            match value {
                Some(_) if found.is_some() => return Err(UsageError::Twice(flag.to_owned())),
                Some(value) => found = Some(value),
                None => left.push(argument),
            }
        }
        self.left = left.into_iter();
        Ok(found)
    }

    fn take_text(&mut self, flag: &'static str) -> Result<Option<String>, UsageError> {
        match self.take_value(flag)? {
            Some(value) => value.into_string().map(Some).map_err(UsageError::NotUtf8),
            None => Ok(None),
        }
    }

    /// The rest: a file unless the first argument is an option, then settings.
    fn file_and_overrides(mut self) -> Result<(PathBuf, Vec<Override>), UsageError> {
        let mut file = self.named;
        // A leading slash is a path here, as on repro's Unix.
        let is_file = |first: &OsString| !first.as_encoded_bytes().starts_with(b"-");
        if file.is_none() && self.left.as_slice().first().is_some_and(is_file) {
            file = self.left.next().map(PathBuf::from);
        }
        let mut seen = BTreeMap::new();
        let mut overrides = Vec::new();
        for argument in self.left {
            let argument = argument.into_string().map_err(without_value)?;
            let setting = set(&argument)?;
            if seen
                .insert(settings::canonical(&setting.name), ())
                .is_some()
            {
                return Err(UsageError::Twice(setting.name));
            }
            overrides.push(setting);
        }
        Ok((
            file.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE)),
            overrides,
        ))
    }
}

/// `--Name=value`, `-Name=value`, `/Name=value`, each also with a colon.
fn set(argument: &str) -> Result<Override, UsageError> {
    // What follows the name is not repeated: it may be a pass phrase.
    let told = || {
        UsageError::NoSetting(
            argument
                .split(['=', ':'])
                .next()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let bare = argument.trim_start_matches(['-', '/']);
    if bare.len() == argument.len() {
        return Err(told());
    }
    let (name, value) = bare.split_once(['=', ':']).ok_or_else(told)?;
    if name.is_empty() {
        return Err(told());
    }
    Ok(Override {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

/// What is told of an argument that is not UTF-8: as much as cannot be a pass phrase.
fn without_value(argument: OsString) -> UsageError {
    let text = argument.to_string_lossy();
    let name = text.split(['=', ':']).next().unwrap_or_default();
    UsageError::NotUtf8(OsString::from(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn given(name: &str, value: &str) -> Override {
        Override {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    fn serve(file: &str, overrides: &[Override]) -> Result<Command, UsageError> {
        Ok(Command::Serve {
            file: PathBuf::from(file),
            overrides: overrides.to_vec(),
        })
    }

    #[test]
    fn repros_command_lines_mean_what_they_did() {
        let port = [given("TLSPort", "5061")];
        for (line, expected) in [
            ("", serve("repro.config", &[])),
            (
                "/etc/repro/repro.config",
                serve("/etc/repro/repro.config", &[]),
            ),
            ("my.config --TLSPort=5061", serve("my.config", &port)),
            ("my.config -TLSPort:5061", serve("my.config", &port)),
            ("my.config /TLSPort=5061", serve("my.config", &port)),
            ("--TLSPort=5061", serve("repro.config", &port)),
            ("x --ServerText=", serve("x", &[given("ServerText", "")])),
            (
                "x --RecordRouteUri=sip:a;b=c",
                serve("x", &[given("RecordRouteUri", "sip:a;b=c")]),
            ),
            (
                "x --RecordRouteUri:sip=a",
                serve("x", &[given("RecordRouteUri", "sip=a")]),
            ),
            ("./check", serve("./check", &[])),
            (
                "x --Transport1Type=TCP --Transport2Type=TLS",
                serve(
                    "x",
                    &[
                        given("Transport1Type", "TCP"),
                        given("Transport2Type", "TLS"),
                    ],
                ),
            ),
        ] {
            assert_eq!(parse(line.split_whitespace()), expected, "{line}");
        }
    }

    #[test]
    fn command_lines_that_are_not_understood_are_refused() {
        let no_setting = |text: &str| UsageError::NoSetting(text.to_owned());
        for (line, expected) in [
            ("x y", no_setting("y")),
            ("x TLSPort=1", no_setting("TLSPort")),
            ("x --TLSPort", no_setting("--TLSPort")),
            ("x --=1", no_setting("--")),
            (
                "x --tlsport=1 --TLSPort=2",
                UsageError::Twice("TLSPort".to_owned()),
            ),
            (
                "x --Transport1Type=1 --Transport01type=2",
                UsageError::Twice("Transport01type".to_owned()),
            ),
            (
                "explain --cert c.pem",
                UsageError::Missing {
                    command: "explain",
                    option: "--from URI",
                },
            ),
            ("explain --from", UsageError::NoValue("--from")),
            (
                "explain --message m.sip --from sip:a@b",
                UsageError::Beside("--from"),
            ),
            (
                "explain --from sip:a@b --source here",
                UsageError::BadValue {
                    option: "--source",
                    value: "here".to_owned(),
                    expected: "an address, or address:port",
                },
            ),
            (
                "explain --from sip:a@b --transport sctp",
                UsageError::BadValue {
                    option: "--transport",
                    value: "sctp".to_owned(),
                    expected: "tls, tcp, udp, ws or wss",
                },
            ),
            (
                "certs --config a --config b",
                UsageError::Twice("--config".to_owned()),
            ),
        ] {
            assert_eq!(parse(line.split_whitespace()), Err(expected), "{line}");
        }
    }

    #[test]
    fn help_and_version_are_commands_and_no_failures() {
        for line in [
            "--help",
            "-h",
            "-?",
            "--?",
            "/?",
            "help",
            "x --HELP",
            "check --help",
            "x /?",
        ] {
            assert_eq!(parse(line.split_whitespace()), Ok(Command::Help), "{line}");
        }
        for line in ["--version", "-V"] {
            assert_eq!(parse([line]), Ok(Command::Version), "{line}");
        }
    }

    #[test]
    fn our_own_commands_take_a_file_and_settings() {
        let file = PathBuf::from("/x/my.config");
        let overrides = vec![given("TLSPort", "1")];
        for (line, expected) in [
            (
                "check /x/my.config --TLSPort=1",
                Command::Check {
                    file: file.clone(),
                    overrides: overrides.clone(),
                },
            ),
            (
                "settings /x/my.config --TLSPort=1",
                Command::Settings {
                    form: SettingsForm::InForce,
                    file: file.clone(),
                    overrides: overrides.clone(),
                },
            ),
            (
                "settings --sample",
                Command::Settings {
                    form: SettingsForm::Sample,
                    file: PathBuf::from("repro.config"),
                    overrides: Vec::new(),
                },
            ),
            (
                "certs --config=/x/my.config --TLSPort=1",
                Command::Certs {
                    file: file.clone(),
                    overrides: overrides.clone(),
                },
            ),
            (
                "explain --cert c.pem --from sip:a@b --to-tag --config /x/my.config --TLSPort=1 --method BYE --digest-user a",
                Command::Explain(Question {
                    file,
                    overrides,
                    certificate: Some(PathBuf::from("c.pem")),
                    request: Asked::Stated {
                        from: "sip:a@b".to_owned(),
                        method: "BYE".to_owned(),
                        to_tag: true,
                        to: None,
                    },
                    source: NOWHERE,
                    transport: Transport::Tls,
                    digest_user: Some("a".to_owned()),
                }),
            ),
            (
                "explain --message - --source [2001:db8::1]:5060 --transport TCP",
                Command::Explain(Question {
                    file: PathBuf::from("repro.config"),
                    overrides: Vec::new(),
                    certificate: None,
                    request: Asked::Captured(PathBuf::from("-")),
                    source: "[2001:db8::1]:5060".parse().unwrap(),
                    transport: Transport::Tcp,
                    digest_user: None,
                }),
            ),
        ] {
            assert_eq!(parse(line.split_whitespace()), Ok(expected), "{line}");
        }
    }

    #[test]
    fn arguments_of_ctl_are_left_to_ctl() {
        assert_eq!(
            parse(["ctl", "close", "--help"]),
            Ok(Command::Ctl(vec!["close".into(), "--help".into()]))
        );
    }

    #[test]
    fn words_about_the_store_keep_their_arguments_for_others() {
        for (line, expected) in [
            ("user add alice@example.org", "user add alice@example.org"),
            ("user add --help", "user add --help"),
            ("route", "route"),
            ("help user add", "user add --help"),
            ("help man", "man --help"),
        ] {
            let expected = expected.split_whitespace().map(OsString::from).collect();
            assert_eq!(
                parse(line.split_whitespace()),
                Ok(Command::Manage(expected)),
                "{line}"
            );
        }
        assert_eq!(parse(["help", "check"]), Ok(Command::Help));
        assert!(matches!(parse(["./user"]), Ok(Command::Serve { .. })));
    }

    #[test]
    fn error_does_not_repeat_a_pass_phrase() {
        let error = parse(["x", "TLSPrivateKeyPassPhrase=s3cret"]).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
