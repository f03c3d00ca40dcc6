//! What can be wrong with a rules file.

/// What is wrong with one line of a rules file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {kind}")]
pub struct RightsFault {
    /// The file, as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub kind: RightsFaultKind,
}

/// Kinds of [`RightsFault`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RightsFaultKind {
    /// Octets that are not UTF-8.
    #[error("not UTF-8 text")]
    NotUtf8,
    /// A control character in a value.
    #[error("control character in {0}=")]
    ControlCharacter(&'static str),
    /// A quotation mark without its other.
    #[error("a quotation mark is not closed")]
    OpenQuote,
    /// A word that is no `field=value`.
    #[error("{0:?}: expected field=value; put a value with blanks into quotation marks")]
    NoField(String),
    /// A field that there is not.
    #[error(
        "{0:?} is no field; a CA is named by file, subject, keyid or sha256, and what it may vouch for by names, users, \
         domains, listeners, roles"
    )]
    UnknownField(String),
    /// A field that stands twice.
    #[error("{0}= stands twice; write its values after one another, with commas between them")]
    RepeatedField(&'static str),
    /// A field without a value.
    #[error("{0}= is empty; leave it out, or say what it is limited to")]
    Empty(&'static str),
    /// No CA.
    #[error("no CA is named; begin with file=, subject=, keyid= or sha256=")]
    NoCa,
    /// More than one.
    #[error("more than one CA is named; write a line for each")]
    SeveralCas,
    /// A CA, and nothing of what it may do.
    #[error(
        "nothing says what this CA may vouch for; write names, users, domains, listeners or roles \
         (roles=phone,domain,server is everything)"
    )]
    NoRights,
    /// A value that does not fit its field.
    #[error("{field}={value:?}: {hint}")]
    Unusable {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
        /// What was expected instead.
        hint: &'static str,
    },
    /// The file of a CA gives no certificate.
    #[error("file={path:?}: {reason}")]
    File {
        /// The file, as the line has it.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that says nothing, as one that is just being written.
    #[error(
        "no rule in it, so that every CA might vouch for everything; take CARights out of the configuration if none is \
         meant"
    )]
    NoRule,
    /// More rules than are taken.
    #[error("more than {0} rules")]
    TooMany(usize),
}
