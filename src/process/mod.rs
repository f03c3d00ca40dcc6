//! The process: in the background or not, under which user, with which PID file and how many descriptors.
//!
//! The order of a start: [`daemonize()`] before any thread, then [`PidFile::acquire`], the log, the sockets,
//! [`drop_privileges`], and [`Ready::announce`] once the server serves.

mod daemonize;
mod options;
mod pid_file;
mod privileges;

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub use daemonize::{Ready, Side, daemonize};
pub use options::ProcessOptions;
pub use pid_file::PidFile;
pub use privileges::drop_privileges;

/// What can go wrong with the process itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another server holds the PID file.
    #[error("process: already running{}: {} is locked; stop that server, or give this one another PidFile",
        process_number(*pid), path.display())]
    AlreadyRunning {
        /// The PID file.
        path: PathBuf,
        /// The number in it, if there is one.
        pid: Option<i32>,
    },
    /// The PID file cannot be written.
    #[error("process: cannot write the PID file {}: {source}", path.display())]
    PidFile {
        /// The PID file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A step into the background failed.
    #[error("process: cannot go into the background: {step}: {source}")]
    Daemonize {
        /// The step.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No such user.
    #[error(
        "process: RunAsUser = {0:?}: there is no such user on this system; create it, or correct the name"
    )]
    NoUser(String),
    /// No such group.
    #[error(
        "process: RunAsGroup = {0:?}: there is no such group on this system; create it, or correct the name"
    )]
    NoGroup(String),
    /// The change of user failed.
    #[error(
        "process: cannot become user {user:?}: {step}: {source}; start as root, or leave RunAsUser empty"
    )]
    Privileges {
        /// The user.
        user: String,
        /// The step.
        step: &'static str,
        /// What the system said.
        source: Errno,
    },
    /// The change of user could be undone.
    #[error("process: became user {user:?}, but root can be had back; refusing to serve like that")]
    Reversible {
        /// The user.
        user: String,
    },
    /// The limit of descriptors cannot be read or raised.
    #[error("process: cannot raise the number of open files: {0}")]
    Descriptors(Errno),
}

fn process_number(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" as process {pid}"))
        .unwrap_or_default()
}

/// Raises the limit of open descriptors as far as we may on our own, and tells it.
///
/// # Errors
///
/// When the system refuses.
pub fn raise_descriptor_limit() -> Result<u64, Error> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(Error::Descriptors)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(Error::Descriptors)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn descriptor_limit_ends_at_the_hard_one() {
        let limit = raise_descriptor_limit().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((soft, hard), (limit, limit));
    }
}
