//! Rows about where SIP URIs are looked up.

use super::Kind::{Integer, NameServers};
use super::{Group, MILLISECONDS, Setting, count, honoured};

/// How long something is remembered: long enough that a storm of requests is no storm of questions.
const LIFE: super::Kind = Integer {
    min: 1,
    max: 31_536_000,
    unit: "seconds",
};

pub(super) const GROUP: Group = Group {
    title: "DNS",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "DNSServers",
        NameServers,
        "",
        "Name servers to ask, in this order, as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53; those of a family that is \
         switched off are left out. Empty: those of the system.",
    ),
    honoured(
        "DNSTimeout",
        Integer {
            min: 100,
            max: 60_000,
            unit: "milliseconds",
        },
        "5000",
        "Longest time for finding out where a request goes, all its questions together.",
    ),
    honoured(
        "DNSAttempts",
        count(1, 10),
        "2",
        "How often each name server is asked the same.",
    ),
    honoured(
        "DNSCacheSize",
        count(16, 1_000_000),
        "4096",
        "Answers of name servers that are remembered.",
    ),
    honoured(
        "DNSMaximumTTL",
        LIFE,
        "86400",
        "Longest time that an answer is remembered, whatever its records say.",
    ),
    honoured(
        "DNSNegativeTTL",
        LIFE,
        "60",
        "Longest time that it is remembered that a domain has no such record.",
    ),
    honoured(
        "DNSGreylistDuration",
        MILLISECONDS,
        "1800000",
        "How long a server that failed is tried after the others; 0 for not at all.",
    ),
];
