//! What an operator should know about a configuration that is not wrong.

use std::fmt;

use super::Origin;

/// Why a note is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteClass {
    /// It weakens the server.
    Unsafe,
    /// No such setting is known.
    Unknown,
    /// It has no effect in this version.
    NotYet,
    /// Something else does its work now.
    Replaced,
    /// Worth knowing.
    Info,
}

impl fmt::Display for NoteClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsafe => "unsafe",
            Self::Unknown => "unknown",
            Self::NotYet => "not yet",
            Self::Replaced => "replaced",
            Self::Info => "note",
        })
    }
}

/// One thing to know, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Why it is said.
    pub class: NoteClass,
    /// Where the setting was made.
    pub at: Origin,
    /// The setting.
    pub name: String,
    /// What to know.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}: {}",
            self.at, self.class, self.name, self.text
        )
    }
}
