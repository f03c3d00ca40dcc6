//! Rows about the log.

use super::Kind::{Bool, Choice, Path, Text};
use super::{BYTES, Group, NUMBER, PORT, Setting, honoured, not_yet};

const LEVELS: &[&str] = &[
    "INFO||LOG_INFO",
    "NONE|LOG_NONE",
    "EMERG|LOG_EMERG",
    "ALERT|LOG_ALERT",
    "CRIT|LOG_CRIT",
    "ERR|LOG_ERR|ERROR",
    "WARNING|LOG_WARNING|WARN",
    "NOTICE|LOG_NOTICE",
    "DEBUG|LOG_DEBUG",
    "STACK|LOG_STACK|TRACE",
    "CERR|LOG_CERR",
];
const FACILITIES: &[&str] = &[
    "LOG_DAEMON|",
    "LOG_AUTH",
    "LOG_AUTHPRIV",
    "LOG_CRON",
    "LOG_FTP",
    "LOG_KERN",
    "LOG_LOCAL0",
    "LOG_LOCAL1",
    "LOG_LOCAL2",
    "LOG_LOCAL3",
    "LOG_LOCAL4",
    "LOG_LOCAL5",
    "LOG_LOCAL6",
    "LOG_LOCAL7",
    "LOG_LPR",
    "LOG_MAIL",
    "LOG_NEWS",
    "LOG_SYSLOG",
    "LOG_USER",
    "LOG_UUCP",
];
const NO_CAPTURE: &str = "nothing is sent to a collector";

pub(super) const GROUP: Group = Group {
    title: "Log",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "LoggingType",
        Choice(&["cout|", "cerr", "file", "syslog"]),
        "cout",
        "Where log lines go: standard \
         output, standard error, a file, or the system log.",
    ),
    honoured(
        "SyslogFacility",
        Choice(FACILITIES),
        "LOG_DAEMON",
        "Facility for LoggingType syslog.",
    ),
    honoured(
        "LogLevel",
        Choice(LEVELS),
        "INFO",
        "Least important lines to write. NONE writes nothing, STACK \
         everything; the environment variable RUST_LOG goes before it.",
    ),
    honoured(
        "LoggingLevel",
        Choice(LEVELS),
        "INFO",
        "Old name of LogLevel, read when that is absent or empty.",
    ),
    honoured(
        "LogFilename",
        Path,
        "sipvouch.log",
        "File for LoggingType file. {pid} and {timestamp} stand for those of \
         the start. A name without a slash is beside the configuration file.",
    ),
    honoured(
        "LoggingFilename",
        Path,
        "",
        "Old name of LogFilename, read when that is absent or empty.",
    ),
    honoured(
        "LogMessageStructure",
        Choice(&["Unstructured|", "JSON_CEE"]),
        "Unstructured",
        "Shape of a line: text, or \
         one JSON object.",
    ),
    honoured(
        "LogFileMaxBytes",
        BYTES,
        "0",
        "Start a new log file when this one has grown so large; 0 never does.",
    ),
    honoured(
        "LogFileMaxLines",
        NUMBER,
        "0",
        "Start a new log file after so many lines; 0 never does.",
    ),
    honoured(
        "KeepAllLogFiles",
        Bool,
        "false",
        "Keep every old log file under a name with its time, instead of one \
         that ends in .old.",
    ),
    honoured(
        "LoggingInstanceName",
        Text,
        "",
        "Name of this server in its log lines, where several write to one log.",
    ),
    honoured(
        "AuditLog",
        Path,
        "",
        "File for the audit log, a line of JSON for each request that admission has judged; empty keeps none. {pid} and \
         {timestamp} stand for those of the start. A name without a slash is beside the configuration file.",
    ),
    honoured(
        "AuditAdmitted",
        Bool,
        "true",
        "Write admitted requests to the audit log too; false writes refused ones alone.",
    ),
    not_yet(
        "EnableSipMessageLogging",
        Bool,
        "false",
        "Log every SIP message.",
        "the log says what became of each message at LogLevel DEBUG, not its text",
    ),
    not_yet(
        "CaptureHost",
        Text,
        "",
        "Collector that gets a copy of the SIP traffic (HEP version 3).",
        NO_CAPTURE,
    ),
    not_yet(
        "CapturePort",
        PORT,
        "9060",
        "UDP port of the collector.",
        NO_CAPTURE,
    ),
    not_yet(
        "CaptureAgentID",
        NUMBER,
        "2001",
        "Our number toward the collector.",
        NO_CAPTURE,
    ),
    honoured(
        "StatisticsLogInterval",
        super::SECONDS,
        "60",
        "Seconds between two lines of statistics in the log; 0 writes none.",
    ),
];
