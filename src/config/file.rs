//! repro's file grammar: text in, raw settings with file and line out.
//!
//! A line is `name = value`; a comment begins with `#`. No quoting, no escapes, no continuation, no sections. A name
//! given twice is an error, wherever the two places are.
//!
//! Deviation: a value loses its blanks on both sides, where repro kept those at the end and then took `true ` for no
//! boolean at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ini::{Ini, ParseOption};

use super::resolve::working_directory;
use super::{ConfigError, Origin, Override, settings};

/// Most files within each other. repro had no limit and read itself until it crashed.
const MAX_DEPTH: usize = 16;

/// Largest file. A larger one is none of ours, such as a device that never ends.
const MAX_BYTES: u64 = 16 << 20;

/// One setting as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawSetting {
    /// Name as written.
    pub(super) name: String,
    /// Value without the blanks around it.
    pub(super) value: String,
    /// Where it was written.
    pub(super) origin: Origin,
}

/// All settings made, by their canonical key (see [`settings::canonical`]).
#[derive(Debug, Clone, Default)]
pub(super) struct RawSettings(BTreeMap<String, RawSetting>);

impl RawSettings {
    /// The setting, if it was made.
    pub(super) fn find(&self, name: &str) -> Option<&RawSetting> {
        self.0.get(&settings::canonical(name))
    }

    /// Every setting made.
    pub(super) fn iter(&self) -> impl Iterator<Item = &RawSetting> {
        self.0.values()
    }

    /// The same settings with those of the command line in place of the files'.
    pub(super) fn with_overrides(mut self, overrides: &[Override]) -> Self {
        for Override { name, value } in overrides {
            let raw = RawSetting {
                name: name.clone(),
                value: trim(value).to_owned(),
                origin: Origin::CommandLine,
            };
            self.0.insert(settings::canonical(name), raw);
        }
        self
    }
}

/// Reads a file and all that it includes, as far as that goes.
pub(super) fn read(path: &Path) -> (RawSettings, Vec<ConfigError>) {
    let mut reader = Reader::default();
    reader.read(path, None);
    (reader.settings, reader.errors)
}

/// Reads settings from text that is not in a file, and follows no `Include`. For tests with arbitrary input.
pub(super) fn read_text(text: &[u8]) -> (RawSettings, Vec<ConfigError>) {
    let mut reader = Reader::default();
    // As deep as it may be already.
    reader.open.resize(MAX_DEPTH, PathBuf::new());
    reader.lines(text, Path::new("text"));
    (reader.settings, reader.errors)
}

/// The file and its name without links.
fn read_bounded(path: &Path) -> io::Result<(Vec<u8>, PathBuf)> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let text = format!("larger than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok((bytes, path.canonicalize()?))
}

/// Whether there is such a file, seen from where the process was started.
fn at_start(path: &Path) -> bool {
    working_directory().join(path).exists()
}

#[derive(Default)]
struct Reader {
    settings: RawSettings,
    errors: Vec<ConfigError>,
    /// Files that are being read, outermost first, without links in their names.
    open: Vec<PathBuf>,
}

impl Reader {
    fn read(&mut self, path: &Path, from: Option<Origin>) {
        let opened = read_bounded(&working_directory().join(path));
        let (bytes, real) = match opened {
            Ok(opened) => opened,
            Err(source) => {
                self.errors.push(ConfigError::Unreadable {
                    path: path.to_owned(),
                    from,
                    source,
                });
                return;
            }
        };
        if let Some(at) = from
            && self.open.contains(&real)
        {
            let path = path.display().to_string();
            self.errors.push(ConfigError::IncludeCycle { at, path });
            return;
        }
        self.open.push(real);
        self.lines(&bytes, path);
        self.open.pop();
    }

    fn lines(&mut self, bytes: &[u8], path: &Path) {
        let name: Arc<Path> = Arc::from(path);
        // Some editors put a byte order mark in front, which is part of no name.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let origin = Origin::File {
                path: Arc::clone(&name),
                line: index.saturating_add(1),
            };
            self.line(line, path, origin);
        }
    }

    fn line(&mut self, bytes: &[u8], path: &Path, at: Origin) {
        // A comment may be in any encoding: old files have Latin-1 in theirs.
        let text = String::from_utf8_lossy(bytes);
        let (name, value) = match split(&text) {
            Split::Nothing => return,
            Split::NoEquals => {
                // Only its first word is told: the rest may be a password that lost its equals sign.
                let start = text.split_whitespace().next().unwrap_or_default();
                let start = start.chars().take(40).collect();
                self.errors.push(ConfigError::NoEquals { at, start });
                return;
            }
            // No setting has a control character in its name; what is told of this one must not have either.
            Split::Setting { name, value } => (name.escape_debug().to_string(), value),
        };
        if std::str::from_utf8(bytes).is_err() {
            self.errors.push(ConfigError::NotUtf8 { at, name });
        } else if name.eq_ignore_ascii_case("include") {
            self.include(&value, path, at);
        } else {
            self.store(name, value, at);
        }
    }

    fn store(&mut self, name: String, value: String, origin: Origin) {
        let key = settings::canonical(&name);
        if let Some(first) = self.settings.0.get(&key) {
            let first = first.origin.clone();
            self.errors.push(ConfigError::Duplicate {
                name,
                first,
                second: origin,
            });
        } else {
            self.settings.0.insert(
                key,
                RawSetting {
                    name,
                    value,
                    origin,
                },
            );
        }
    }

    /// repro took the name from the working directory only; so do we first, since an old file relies on it.
    fn include(&mut self, name: &str, from: &Path, at: Origin) {
        if self.open.len() >= MAX_DEPTH {
            let path = name.to_owned();
            self.errors.push(ConfigError::IncludeDepth {
                at,
                path,
                limit: MAX_DEPTH,
            });
            return;
        }
        let beside = from.parent().map(|directory| directory.join(name));
        let path = match beside {
            Some(beside) if !at_start(Path::new(name)) && at_start(&beside) => beside,
            _ => PathBuf::from(name),
        };
        if name.is_empty() {
            let source = io::Error::new(io::ErrorKind::NotFound, "Include names no file");
            self.errors.push(ConfigError::Unreadable {
                path,
                from: Some(at),
                source,
            });
        } else {
            self.read(&path, Some(at));
        }
    }
}

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Split {
    /// Empty, or a comment.
    Nothing,
    /// Something else without `=`.
    NoEquals,
    /// A setting. The name may be empty or odd; it is then unknown, as in repro.
    Setting { name: String, value: String },
}

/// Parts one line, which holds no LF.
fn split(line: &str) -> Split {
    let line = line.trim_start_matches([' ', '\t', '\r']);
    // Only the first CR of the rest ends the value; repro stops there too.
    if line.is_empty() || line.starts_with('#') {
        return Split::Nothing;
    }
    let Some((before, after)) = line.split_once('=') else {
        return Split::NoEquals;
    };
    if let Some((name, value)) = split_ordinary(line, before) {
        return Split::Setting { name, value };
    }
    let name = before.split([' ', '\t']).next().unwrap_or_default();
    let after = after.trim_start_matches([' ', '\t', '\r']);
    let value = after.split('\r').next().unwrap_or_default();
    Split::Setting {
        name: name.to_owned(),
        value: trim(value).to_owned(),
    }
}

/// Parts a line of plain characters with rust-ini.
///
/// INI has more marks than repro's grammar (`:` parts as `=` does, `[` and `;` begin other things, any kind of blank
/// is trimmed), so that a line with one of them where it matters is not for it; `None` then.
fn split_ordinary(line: &str, before: &str) -> Option<(String, String)> {
    let name = before.trim_end_matches([' ', '\t']);
    let plain_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let odd_blank = |c: char| c.is_whitespace() && c != ' ' && c != '\t';
    // A CR before the LF is the one odd blank that is no part of the value.
    let line = line.strip_suffix('\r').unwrap_or(line);
    if !plain_name || line.contains(odd_blank) {
        return None;
    }
    let options = ParseOption {
        enabled_quote: false,
        enabled_escape: false,
        enabled_indented_mutiline_value: false,
        enabled_preserve_key_leading_whitespace: false,
    };
    let ini = Ini::load_from_str_opt(line, options).ok()?;
    let (name, value) = ini.general_section().iter().next()?;
    Some((name.to_owned(), value.to_owned()))
}

/// Without the blanks around it.
fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t', '\r', '\n'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    fn setting(name: &str, value: &str) -> Split {
        Split::Setting {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    /// repro's grammar, word for word from its description, but for the blanks at the end of the value.
    fn reference(line: &str) -> Split {
        let mut rest = line;
        while let Some(cut) = rest.strip_prefix([' ', '\t', '\r', '\n']) {
            rest = cut;
        }
        if rest.is_empty() || rest.starts_with('#') {
            return Split::Nothing;
        }
        let mut name = String::new();
        for c in rest.chars() {
            if matches!(c, '=' | ' ' | '\t') {
                break;
            }
            name.push(c);
        }
        let Some(equals) = rest.find('=') else {
            return Split::NoEquals;
        };
        let mut value = &rest[equals + 1..];
        while let Some(cut) = value.strip_prefix([' ', '\t', '\r', '\n']) {
            value = cut;
        }
        if let Some(end) = value.find(['\r', '\n']) {
            value = &value[..end];
        }
        while let Some(cut) = value.strip_suffix([' ', '\t']) {
            value = cut;
        }
        setting(&name, value)
    }

    #[test]
    fn lines_are_parted_as_repro_does() {
        for (line, expected) in [
            ("", Split::Nothing),
            ("  \t\r", Split::Nothing),
            ("  # TLSPort = 5061", Split::Nothing),
            ("TLSPort = 5061", setting("TLSPort", "5061")),
            ("\tTLSPort=5061\r", setting("TLSPort", "5061")),
            ("Daemonize = true  ", setting("Daemonize", "true")),
            (
                "TLSPort = 5061 # not a comment",
                setting("TLSPort", "5061 # not a comment"),
            ),
            ("TLSPort junk = 5061", setting("TLSPort", "5061")),
            ("ServerText =", setting("ServerText", "")),
            (
                "ServerText = \"quoted\" 'too'",
                setting("ServerText", "\"quoted\" 'too'"),
            ),
            ("ServerText = a\\tb\\", setting("ServerText", "a\\tb\\")),
            (
                "RecordRouteUri = sip:a;lr=1",
                setting("RecordRouteUri", "sip:a;lr=1"),
            ),
            ("[section]", Split::NoEquals),
            ("[section] = 1", setting("[section]", "1")),
            ("; TLSPort = 5061", setting(";", "5061")),
            ("a:b = c", setting("a:b", "c")),
            ("= 5", setting("", "5")),
            ("TLSPort 5061", Split::NoEquals),
            ("A = b\u{a0}", setting("A", "b\u{a0}")),
            ("A = \u{b}b", setting("A", "\u{b}b")),
            ("A = b\rc", setting("A", "b")),
        ] {
            assert_eq!(split(line), expected, "{line:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_line_is_parted_as_the_reference_does(line in "[^\n]{0,60}") {
            prop_assert_eq!(split(&line), reference(&line));
        }

        #[test]
        fn line_of_the_marks_that_matter_is_parted_as_the_reference_does(
            line in "[ \t\r=:;#\\[\\]\\\\\"'abT1_\u{a0}\u{b}\u{2028}]{0,24}"
        ) {
            prop_assert_eq!(split(&line), reference(&line));
        }

        #[test]
        fn plain_setting_is_parted_as_the_reference_does(line in "[ \t]{0,2}[A-Za-z0-9_]{1,9}[ \t]{0,2}=[^\n]{0,20}\r?") {
            prop_assert_eq!(split(&line), reference(&line));
        }
    }

    fn write(directory: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn messages(errors: &[ConfigError], directory: &Path) -> Vec<String> {
        let prefix = format!("{}/", directory.display());
        errors
            .iter()
            .map(|error| error.to_string().replace(&prefix, ""))
            .collect()
    }

    #[test]
    fn included_file_shares_the_names_and_keeps_its_lines() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "more.config", "# x\nTLSPort = 5061\n");
        let main = write(
            directory.path(),
            "main.config",
            "INCLUDE = more.config\nTCPPort = 5060",
        );
        let (settings, errors) = read(&main);
        assert!(errors.is_empty(), "{errors:?}");
        let raw = settings.find("tlsport").unwrap();
        assert_eq!((raw.name.as_str(), raw.value.as_str()), ("TLSPort", "5061"));
        assert!(
            raw.origin.to_string().ends_with("more.config:2"),
            "{}",
            raw.origin
        );
        assert!(settings.find("Include").is_none());
    }

    #[test]
    fn name_set_twice_is_an_error_that_names_both_places() {
        let directory = tempfile::tempdir().unwrap();
        write(
            directory.path(),
            "more.config",
            "tlsport = 1\nTransport01Type = TLS\n",
        );
        let text = "TLSPort = 5061\nTransport1Type = TCP\nInclude = more.config\n";
        let (_, errors) = read(&write(directory.path(), "main.config", text));
        assert_eq!(
            messages(&errors, directory.path()),
            [
                "more.config:1: tlsport is set a second time, first at main.config:1; remove one of them",
                "more.config:2: Transport01Type is set a second time, first at main.config:2; remove one of them",
            ]
        );
    }

    #[test]
    fn control_characters_of_a_name_are_told_escaped() {
        let (_, errors) = read_text(b"Log\0Name = 1\nlog\0name = 2\n");
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["text:2: log\\0name is set a second time, first at text:1; remove one of them"]
        );
    }

    #[test]
    fn all_bad_lines_are_told_and_show_no_more_than_their_first_word() {
        let directory = tempfile::tempdir().unwrap();
        let text = "TLSPrivateKeyPassPhrase secret\n[tls]\nTLSPort = 5061\n";
        let (settings, errors) = read(&write(directory.path(), "main.config", text));
        assert_eq!(
            messages(&errors, directory.path()),
            [
                "main.config:1: \"TLSPrivateKeyPassPhrase\" is no setting: expected NAME = VALUE; a comment begins with #",
                "main.config:2: \"[tls]\" is no setting: expected NAME = VALUE; a comment begins with #",
            ]
        );
        assert!(settings.find("TLSPort").is_some());
    }

    #[test]
    fn file_that_includes_itself_is_an_error_and_no_endless_loop() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "b.config", "Include = ./a.config\n");
        let main = write(directory.path(), "a.config", "Include = b.config\n");
        let (_, errors) = read(&main);
        assert_eq!(errors.len(), 1);
        assert!(
            matches!(errors[0], ConfigError::IncludeCycle { .. }),
            "{errors:?}"
        );
    }

    #[test]
    fn too_many_files_within_each_other_are_an_error() {
        let directory = tempfile::tempdir().unwrap();
        for number in 1..40 {
            let next = format!("Include = {}.config\n", number + 1);
            write(directory.path(), &format!("{number}.config"), next);
        }
        let (_, errors) = read(&directory.path().join("1.config"));
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].to_string().contains("more than 16 files"),
            "{errors:?}"
        );
    }

    #[test]
    fn file_that_is_missing_is_named_with_the_line_that_wants_it() {
        let directory = tempfile::tempdir().unwrap();
        let main = write(
            directory.path(),
            "main.config",
            "\nInclude = none.config\nInclude =\n",
        );
        let (_, errors) = read(&main);
        let messages = messages(&errors, directory.path());
        assert!(
            messages[0].starts_with("none.config: cannot read this configuration file: "),
            "{messages:?}"
        );
        assert!(
            messages[0].ends_with("(included at main.config:2)"),
            "{messages:?}"
        );
        assert!(
            messages[1].contains("Include names no file"),
            "{messages:?}"
        );
    }

    #[test]
    fn comment_in_latin_1_is_no_error_but_a_value_is() {
        let directory = tempfile::tempdir().unwrap();
        let text = b"\xEF\xBB\xBFTLSPort = 5061\n# gr\xFC\xDFe\nServerText = gr\xFC\xDFe\n";
        let (settings, errors) = read(&write(directory.path(), "main.config", text));
        assert_eq!(
            messages(&errors, directory.path()),
            ["main.config:3: the value of ServerText is not UTF-8; save the file as UTF-8"]
        );
        assert!(settings.find("TLSPort").is_some());
    }

    #[test]
    fn setting_of_the_command_line_goes_before_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let main = write(directory.path(), "main.config", "Transport1Type = TCP\n");
        let (settings, _) = read(&main);
        let given = Override {
            name: "transport01TYPE".to_owned(),
            value: " TLS ".to_owned(),
        };
        let settings = settings.with_overrides(&[given]);
        let raw = settings.find("Transport1Type").unwrap();
        assert_eq!(
            (raw.value.as_str(), &raw.origin),
            ("TLS", &Origin::CommandLine)
        );
        assert_eq!(settings.iter().count(), 1);
    }
}
