//! What an operator may decide about the process.

use std::path::PathBuf;

/// Settings of the room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessOptions {
    /// repro: `Daemonize`.
    pub daemonize: bool,
    /// repro: `PidFile`, absolute. repro wrote it in the background only; a server in the foreground that cannot write
    /// it should say so and go on.
    pub pid_file: Option<PathBuf>,
    /// repro: `RunAsUser`.
    pub user: Option<String>,
    /// repro: `RunAsGroup`; without a user it does nothing.
    pub group: Option<String>,
}
