//! Rows about a server that is asked about identities.

use super::Kind::{Choice, Path, Secret, Text};
use super::{Group, Kind, NUMBER, SECONDS, Setting, honoured};

const fn count(min: u64, max: u64, unit: &'static str) -> Kind {
    Kind::Integer { min, max, unit }
}

pub(super) const GROUP: Group = Group {
    title: "Questions about identities",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "IdentityCalloutURL",
        Text,
        "",
        "http:// or https:// URL that is asked by POST whether a peer may use an identity; docs/lookups.md has the \
         protocol. Empty: nobody is asked.",
    ),
    honoured(
        "IdentityCalloutToken",
        Secret,
        "",
        "Secret that is sent with each question as `Authorization: Bearer …`.",
    ),
    honoured(
        "IdentityCalloutCAFile",
        Path,
        "",
        "Trust anchors for https, in PEM; empty for those of the system.",
    ),
    honoured(
        "IdentityCalloutWhen",
        Choice(&["mismatch", "always"]),
        "mismatch",
        "Which claims are asked about: those of a certificate that does not entitle to them by name, mapping or table; or \
         all, before the built-in rules.",
    ),
    honoured(
        "IdentityCalloutFailure",
        Choice(&["refuse", "abstain"]),
        "refuse",
        "What it means that there is no answer as agreed: a no (403), or nothing, so that the built-in rules decide.",
    ),
    honoured(
        "IdentityCalloutTimeout",
        count(10, 30_000, "milliseconds"),
        "2000",
        "Longest time from a question to its whole answer, connecting and waiting for a thread included.",
    ),
    honoured(
        "IdentityCalloutThreads",
        count(1, 256, ""),
        "4",
        "Most questions that are asked at a time.",
    ),
    honoured(
        "IdentityCalloutQueue",
        count(1, 1_000_000, ""),
        "512",
        "Most requests that wait for an answer; beyond it IdentityCalloutFailure decides at once.",
    ),
    honoured(
        "IdentityCalloutCacheSeconds",
        SECONDS,
        "60",
        "How long it is remembered that an identity may be used, if the answer does not say so itself; 0 for never.",
    ),
    honoured(
        "IdentityCalloutNegativeCacheSeconds",
        SECONDS,
        "10",
        "The same for every other answer.",
    ),
    honoured(
        "IdentityCalloutCacheSize",
        NUMBER,
        "10000",
        "How many such answers are remembered.",
    ),
];
