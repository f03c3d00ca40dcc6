//! Rows about registrations.

use super::Kind::{Bool, Integer};
use super::{Group, SECONDS, Setting, count, honoured, not_yet};

const NO_OUTBOUND: &str = "RFC 5626 is not there yet: a registration is one contact, whatever its reg-id, and is reached over the \
     connection that it came over";
const NO_PATH: &str = "RFC 3327 and RFC 5626 are not there yet: a registration that came through another proxy is reached over the \
     connection of that proxy";
const NO_FLOW_TIMER: &str = "no Flow-Timer is sent in this version; the keep-alives of clients are answered, and IdleTimeout decides when \
     their silence ends a connection";

pub(super) const GROUP: Group = Group {
    title: "Registrar",
    rows: ROWS,
};

/// A lifetime that a binding may have.
const LIFETIME: super::Kind = Integer {
    min: 1,
    max: 31_536_000,
    unit: "seconds",
};

const ROWS: &[Setting] = &[
    honoured("DisableRegistrar", Bool, "false", "Take no registrations."),
    honoured(
        "RegistrationMinimumExpires",
        LIFETIME,
        "60",
        "Shortest lifetime of a registration; a shorter wish is \
         answered 423.",
    ),
    honoured(
        "RegistrationMaximumExpires",
        LIFETIME,
        "86400",
        "Longest lifetime of a registration; a longer wish is \
         shortened.",
    ),
    honoured(
        "RegistrationDefaultExpires",
        LIFETIME,
        "3600",
        "Lifetime of a registration that wishes for none.",
    ),
    honoured(
        "RegistrationMaximumContacts",
        count(1, 10_000),
        "10",
        "Most contacts of one user.",
    ),
    honoured(
        "RegistrationMaximumTotal",
        count(1, 100_000_000),
        "1000000",
        "Most users registered at a time.",
    ),
    honoured(
        "AllowBadReg",
        Bool,
        "false",
        "Take a REGISTER whose To has a tag, as some old phones send it.",
    ),
    honoured(
        "RegistrationPersistence",
        Bool,
        "false",
        "Keep registrations in the embedded store, so that they outlive a restart; each keeps the time it ends at.",
    ),
    not_yet(
        "DisableOutbound",
        Bool,
        "false",
        "Do not keep the flow of a registration (RFC 5626).",
        NO_OUTBOUND,
    ),
    not_yet(
        "OutboundVersion",
        count(0, 5626),
        "5626",
        "Draft of RFC 5626 to follow.",
        NO_OUTBOUND,
    ),
    not_yet(
        "AssumeFirstHopSupportsOutbound",
        Bool,
        "false",
        "Take every Path for one with flows.",
        NO_PATH,
    ),
    not_yet(
        "AssumeFirstHopSupportsFlowTokens",
        Bool,
        "false",
        "Take every registration for one with a flow.",
        NO_PATH,
    ),
    not_yet(
        "FlowTimer",
        SECONDS,
        "0",
        "Keep-alive interval to ask of clients.",
        NO_FLOW_TIMER,
    ),
];
