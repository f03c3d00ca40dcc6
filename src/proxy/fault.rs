//! What is wrong with an operator's routing rule: found when the rules are loaded, never when a request comes.

use std::fmt;

use super::pattern::PatternError;

/// The kinds of rules, as an operator knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// A request filter.
    Filter,
    /// A static route.
    Route,
    /// A static registration.
    Registration,
    /// A setting.
    Setting,
}

impl fmt::Display for RuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filter => "filter",
            Self::Route => "route",
            Self::Registration => "static registration",
            Self::Setting => "setting",
        })
    }
}

/// A rule that cannot do what was meant, and what it does instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {rule:?}: {defect}")]
pub struct RuleFault {
    /// What it is.
    pub kind: RuleKind,
    /// Its key, as the data base has it, or the name of the setting.
    pub rule: String,
    /// What is wrong with it.
    pub defect: Defect,
}

/// What can be wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// A condition of a filter is no regular expression.
    #[error(
        "{field} is no regular expression: {error}; until it is mended this filter accepts nothing, rejects whatever \
         else it is for, and asks no data base"
    )]
    Condition {
        /// repro's name of the field.
        field: &'static str,
        /// Why not.
        error: PatternError,
    },
    /// A rejection does not say with what.
    #[error(
        "the action data {data:?} of a rejection begins with no status code; it rejects with 403"
    )]
    NoStatus {
        /// The data.
        data: String,
    },
    /// A rejection would show the peer what it has sent.
    #[error(
        "the reason of a rejection cannot contain what a request says ($1N, $2N); the usual reason is given"
    )]
    CaptureInReason,
    /// The pattern of a route is no regular expression.
    #[error(
        "the pattern is no regular expression: {0}; until it is mended this route is never taken"
    )]
    Pattern(PatternError),
    /// A route has no pattern.
    #[error(
        "the pattern is empty; such a route is never taken: write . to match every Request-URI"
    )]
    EmptyPattern,
    /// What a route leads to is no URI.
    #[error("the rewrite expression {0:?} makes no SIP URI, so this route leads nowhere")]
    Rewrite(String),
    /// The address-of-record is none.
    #[error("the address-of-record {0:?} is no SIP URI; write sip:user@domain")]
    Aor(String),
    /// The contact is none.
    #[error("the contact {0:?} is none; write one name-addr, such as <sip:user@host>;q=0.5")]
    Contact(String),
    /// An element of Path is no route.
    #[error(
        "{0:?} in the path is no SIP URI, and without its path the contact is not used; write <sip:host;lr>"
    )]
    Path(String),
    /// An element of a list of routes is none.
    #[error("{0:?} is no SIP URI, and is left out; write <sip:host;lr>")]
    RouteUri(String),
    /// A setting is no regular expression.
    #[error("it is no regular expression: {0}; until it is mended no message is kept")]
    SiloPattern(PatternError),
    /// A setting is no ruling.
    #[error("{0:?} begins with no status code; such requests are rejected with 500")]
    Behaviour(String),
}
