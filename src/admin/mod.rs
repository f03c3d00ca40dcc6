//! The operator's side of a running server: a Unix socket that takes commands, and `sipvouch ctl` that gives them.
//!
//! One JSON object a line in, one a line out: `{"command":"status"}` is answered `{"ok":true,"result":{…}}` or
//! `{"ok":false,"error":"…"}`. Who may talk to it is a matter of the permissions of the socket file alone. What the
//! commands do is behind [`Controlled`]; this room knows lines, sockets and words, and nothing of SIP.

mod client;
mod command;
mod ctl;
mod options;
mod server;
mod show;
mod socket;

pub use client::{Client, ClientError};
pub use command::{BadCommand, Command, Controlled, Filter, KeyLog, LineError, Refused};
pub(crate) use ctl::{ctl_command, run_ctl};
pub use options::ControlOptions;
pub use server::{ControlServer, MOST_CLIENTS};
pub use socket::{ControlSocket, Error};

/// Longest line that a command may be, in octets.
const LONGEST_LINE: usize = 64 * 1024;
