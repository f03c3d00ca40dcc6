//! What an operator may decide about the control socket.

use std::path::PathBuf;

/// Settings of the room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlOptions {
    /// Ours: `ControlSocket`, absolute; `None` when that is empty.
    pub socket: Option<PathBuf>,
    /// Ours: `ControlSocketGroup`: a group whose members may use the socket too.
    pub group: Option<String>,
    /// Whether `ControlSocket` was set: then a server that cannot have it does not start.
    pub is_wanted: bool,
}
