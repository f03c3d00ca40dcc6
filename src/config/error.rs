//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Line of a file, counted from 1.
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// The line; 0 is the file as a whole, for a setting that is missing in it.
        line: usize,
    },
    /// The command line.
    CommandLine,
    /// Nowhere: the built-in value.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::CommandLine => f.write_str("command line"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One fault of a configuration, as a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}: cannot read this configuration file: {source}{}", path.display(), included(from.as_ref()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where it was included.
        from: Option<Origin>,
        /// What the system said.
        source: io::Error,
    },
    /// A line is neither comment nor setting.
    #[error("{at}: {start:?} is no setting: expected NAME = VALUE; a comment begins with #")]
    NoEquals {
        /// Where.
        at: Origin,
        /// First word of the line.
        start: String,
    },
    /// A line is not UTF-8.
    #[error("{at}: the value of {name} is not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// Where.
        at: Origin,
        /// The setting.
        name: String,
    },
    /// A setting is made twice.
    #[error("{second}: {name} is set a second time, first at {first}; remove one of them")]
    Duplicate {
        /// The setting.
        name: String,
        /// First place.
        first: Origin,
        /// Second place.
        second: Origin,
    },
    /// A file includes itself, directly or not.
    #[error(
        "{at}: Include = {path:?}: this file is being read already, so it would include itself for ever"
    )]
    IncludeCycle {
        /// Where.
        at: Origin,
        /// The file.
        path: String,
    },
    /// Files include files too deeply.
    #[error("{at}: Include = {path:?}: more than {limit} files within each other")]
    IncludeDepth {
        /// Where.
        at: Origin,
        /// The file.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A value is not what the setting takes.
    #[error("{at}: {name} = {value}: expected {expected}")]
    Value {
        /// Where.
        at: Origin,
        /// The setting.
        name: String,
        /// Its value, quoted, or a stand-in for a secret.
        value: String,
        /// What it takes, and how to mend it.
        expected: String,
    },
    /// Settings that do not go together, or one that is missing.
    #[error("{at}: {name}: {fault}")]
    Rule {
        /// Where the setting was made, or would be.
        at: Origin,
        /// The setting.
        name: String,
        /// What is wrong, and how to mend it.
        fault: String,
    },
}

fn included(from: Option<&Origin>) -> String {
    from.map(|origin| format!(" (included at {origin})"))
        .unwrap_or_default()
}

impl ConfigError {
    /// Where the fault is, for the order of the report.
    fn place(&self) -> Origin {
        match self {
            Self::Unreadable { from, .. } => from.clone().unwrap_or(Origin::Default),
            Self::Duplicate { second, .. } => second.clone(),
            Self::NoEquals { at, .. }
            | Self::NotUtf8 { at, .. }
            | Self::IncludeCycle { at, .. }
            | Self::IncludeDepth { at, .. }
            | Self::Value { at, .. }
            | Self::Rule { at, .. } => at.clone(),
        }
    }
}

/// Puts errors in the order of the files. What is missing is missing in the main file.
pub(super) fn sort(errors: &mut [ConfigError], main: &Path) {
    for error in errors.iter_mut() {
        if let ConfigError::Rule {
            at: at @ Origin::Default,
            ..
        } = error
        {
            *at = Origin::File {
                path: Arc::from(main),
                line: 0,
            };
        }
    }
    errors.sort_by_key(ConfigError::place);
}
