//! Rows about administration and accounting.

use super::Kind::{Bool, List, Path, Secret, Text};
use super::{Group, PORT, Setting, honoured, not_yet, unread};

const NO_WEB: &str = "there is no web administration in this version";
const NO_COMMANDS: &str = "there is no command server in this version";
const NO_ACCOUNTING: &str = "nothing is accounted for in this version";

pub(super) const GROUP: Group = Group {
    title: "Administration",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "ControlSocket",
        Path,
        "sipvouch.sock",
        "Unix socket that a running server takes commands on (sipvouch ctl). A name alone is beside the store, a \
         relative path with a slash in the working directory of the start. Empty: none.",
    ),
    honoured(
        "ControlSocketGroup",
        Text,
        "",
        "Group whose members may use ControlSocket too. Empty: only the user of the server, and root.",
    ),
    not_yet(
        "HttpBindAddress",
        List,
        "",
        "Addresses of the web administration.",
        NO_WEB,
    ),
    not_yet(
        "HttpPort",
        PORT,
        "5080",
        "Port of the web administration; 0 for none.",
        NO_WEB,
    )
    .when_on(),
    not_yet(
        "DisableHttpAuth",
        Bool,
        "false",
        "Let everybody administer.",
        NO_WEB,
    ),
    not_yet(
        "HttpAdminRealm",
        Text,
        "",
        "Realm of the administrators.",
        NO_WEB,
    ),
    not_yet(
        "HttpAdminUserFile",
        Path,
        "users.txt",
        "File with the administrators.",
        NO_WEB,
    ),
    unread(
        "HttpAdminPassword",
        Secret,
        "Password of the administrator in repro 1.8 and older; HttpAdminUserFile took \
         its place.",
    ),
    not_yet(
        "CommandBindAddress",
        List,
        "",
        "Addresses of the command server.",
        NO_COMMANDS,
    ),
    not_yet(
        "CommandPort",
        PORT,
        "5081",
        "Port of the command server; 0 for none.",
        NO_COMMANDS,
    )
    .when_on(),
    not_yet(
        "CommandQueue",
        Secret,
        "",
        "Message queue to take commands from.",
        NO_COMMANDS,
    ),
    not_yet(
        "CommandEventTopic",
        Secret,
        "",
        "Message queue to tell events to.",
        NO_COMMANDS,
    ),
];

pub(super) const ACCOUNTING: Group = Group {
    title: "Accounting",
    rows: ACCOUNTING_ROWS,
};

const ACCOUNTING_ROWS: &[Setting] = &[
    not_yet(
        "SessionAccountingEnabled",
        Bool,
        "false",
        "Account for calls.",
        NO_ACCOUNTING,
    ),
    not_yet(
        "SessionAccountingAddRoutingHeaders",
        Bool,
        "false",
        "Add routes to it.",
        NO_ACCOUNTING,
    ),
    not_yet(
        "SessionAccountingAddViaHeaders",
        Bool,
        "false",
        "Add Via to it.",
        NO_ACCOUNTING,
    ),
    not_yet(
        "RegistrationAccountingEnabled",
        Bool,
        "false",
        "Account for registrations.",
        NO_ACCOUNTING,
    ),
    not_yet(
        "RegistrationAccountingAddRoutingHeaders",
        Bool,
        "false",
        "Add routes to it.",
        NO_ACCOUNTING,
    ),
    not_yet(
        "RegistrationAccountingAddViaHeaders",
        Bool,
        "false",
        "Add Via to it.",
        NO_ACCOUNTING,
    ),
    not_yet(
        "RegistrationAccountingLogRefreshes",
        Bool,
        "false",
        "Account for refreshed registrations too.",
        NO_ACCOUNTING,
    ),
];
