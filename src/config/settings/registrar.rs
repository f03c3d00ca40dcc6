//! Rows about registrations.

use super::Kind::{Bool, Integer};
use super::{Group, SECONDS, Setting, count, honoured};

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
    honoured(
        "DisableOutbound",
        Bool,
        "false",
        "Take no notice of reg-id (RFC 5626): a registration is one contact, and no flow tokens are given for ob or reg-id.",
    ),
    honoured(
        "OutboundVersion",
        count(0, 5626),
        "5626",
        "Draft of RFC 5626 to follow. Below 5 an edge proxy's 410 says what 430 says since: that a flow is gone. Nothing else \
         depends on it.",
    ),
    honoured(
        "AssumeFirstHopSupportsOutbound",
        Bool,
        "false",
        "Take every Path for one of an edge proxy that keeps the flow of the phone, also without ob.",
    ),
    honoured(
        "AssumeFirstHopSupportsFlowTokens",
        Bool,
        "false",
        "Reach registrations that came through another proxy without a Path over the connection of that proxy. They always \
         are; false changes nothing.",
    ),
    honoured(
        "FlowTimer",
        SECONDS,
        "0",
        "Seconds within which a phone is asked to send its keep-alives (Flow-Timer, RFC 5626); what ends a silent connection \
         is IdleTimeout. 0 asks for nothing.",
    ),
];
