//! repro's file grammar: text in, raw settings with file and line out.
//!
//! A line is `name = value`; a comment begins with `#`. No quoting, no escapes, no continuation, no sections. A name
//! given twice is an error, wherever the two places are.
//!
//! Deviation: a value loses its blanks on both sides, where repro kept those at the end and then took `true ` for no
//! boolean at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ini::{Ini, ParseOption};

use super::{ConfigError, Origin, Override, settings};

/// Most files within each other. repro had no limit and read itself until it crashed.
const MAX_DEPTH: usize = 16;

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

#[derive(Default)]
struct Reader {
    settings: RawSettings,
    errors: Vec<ConfigError>,
    /// Files that are being read, outermost first, without links in their names.
    open: Vec<PathBuf>,
}

impl Reader {
    fn read(&mut self, path: &Path, from: Option<Origin>) {
        let opened = fs::read(path).and_then(|bytes| Ok((bytes, path.canonicalize()?)));
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
        let name: Arc<Path> = Arc::from(path);
        // Some editors put a byte order mark in front, which is part of no name.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let origin = Origin::File {
                path: Arc::clone(&name),
                line: index.saturating_add(1),
            };
            self.line(line, path, origin);
        }
        self.open.pop();
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
            Split::Setting { name, value } => (name, value),
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
            Some(beside) if !Path::new(name).exists() && beside.exists() => beside,
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
