//! Why a command did not do what it was asked.

use std::borrow::Cow;
use std::io;

use crate::auth::{HashDefect, HashFault, Unavailable};
use crate::store::{self, Table};

/// Characters of an argument that an error repeats.
const LONGEST_SHOWN: usize = 120;

/// As much of a text as tells which one it is: what is wrong with it stands behind it and must not scroll away.
pub(super) fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// Why a command did not do what it was asked. No variant holds a password or a hash.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The store cannot be opened.
    #[error("{}", .0.join("\nsipvouch: "))]
    Open(Vec<String>),
    /// The store refuses, or does not answer.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// A value that must not be stored.
    #[error("{what} {:?}: {why}", cut(.value))]
    Invalid {
        /// What it should be.
        what: &'static str,
        /// As it was given.
        value: String,
        /// What is wrong with it, and what is expected.
        why: String,
    },
    /// What should be added is there.
    #[error("{table} {} exists already; use: sipvouch {table} change", cut(.key))]
    Exists {
        /// Its table.
        table: Table,
        /// Its key.
        key: String,
    },
    /// What should be shown, changed or removed is not there.
    #[error("no {table} {}; see: sipvouch {table} list", cut(.key))]
    Absent {
        /// Its table.
        table: Table,
        /// As it was given.
        key: String,
    },
    /// A change without anything that changes.
    #[error("nothing to change: give one of the options of sipvouch {0} change --help")]
    NoChange(Table),
    /// A password or a hash among the arguments. What it was is not repeated.
    #[error(
        "a password or hash is never an argument: every user of this machine sees the arguments of a program, and the \
         shell keeps them; leave it out and it is asked for, or give it on standard input with --password-stdin"
    )]
    SecretInArguments,
    /// The user or domain changes, and with it what the password is hashed with.
    #[error(
        "the hash of a password holds user and realm, so that another name or realm needs the password again: add \
         --password, --password-stdin, --ha1 or --no-password"
    )]
    NeedsPassword,
    /// A password that cannot be taken.
    #[error("password: {0}")]
    Password(&'static str),
    /// A hash that cannot be taken.
    #[error("hash: {0}")]
    Hash(#[from] HashFault),
    /// A text with hashes, and one of them cannot be.
    #[error("hash: {0}")]
    HashDefect(#[from] HashDefect),
    /// An algorithm that this system does not have.
    #[error("{0}")]
    Algorithm(#[from] Unavailable),
    /// Standard input or the terminal cannot be read.
    #[error("cannot read {what}: {source}")]
    Input {
        /// What was to be read.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something that cannot be written.
    #[error("cannot write {what}: {source}")]
    Output {
        /// File, or standard output.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something that is done to embedded stores only.
    #[error("{place}: {what} an embedded store only; {instead}")]
    NotEmbedded {
        /// The store.
        place: String,
        /// What was to be done.
        what: &'static str,
        /// What can be done instead.
        instead: &'static str,
    },
    /// No such command has a page.
    #[error("no page about {:?}; see: sipvouch --help", cut(.0))]
    NoPage(String),
    /// It has been said already; only the exit status is left to give.
    #[error("")]
    Said,
}

impl Refusal {
    pub(super) fn invalid(what: &'static str, value: &str, why: impl Into<String>) -> Self {
        Self::Invalid {
            what,
            value: value.to_owned(),
            why: why.into(),
        }
    }

    /// The exit status: 2 for a command line that should have been another, 1 for everything else.
    pub(super) fn status(&self) -> u8 {
        match self {
            Self::SecretInArguments | Self::NoChange(_) | Self::NeedsPassword | Self::NoPage(_) => {
                2
            }
            _ => 1,
        }
    }
}
