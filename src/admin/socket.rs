//! The socket file: made so that nobody else can ever connect, taken over from a dead server, never from a living one.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, User};
use socket2::{Domain, SockAddr, Socket, Type};

use super::ControlOptions;

/// Longest path of a Unix socket, in octets: `sun_path` without its last NUL.
const LONGEST_PATH: usize = 107;
/// Clients that the system holds for us until they are accepted.
const BACKLOG: i32 = 64;
/// How often, and how long between, another server that starts in the same directory is waited for.
const LOCK_TRIES: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system has no room for such a name.
    #[error("ControlSocket = {}: {length} bytes, and a socket's path may have {LONGEST_PATH}; choose a shorter one", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
    /// Another server listens there.
    #[error(
        "ControlSocket = {}: another server answers there; stop it, or give this one another ControlSocket (empty for none)",
        path.display()
    )]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else has that name.
    #[error("ControlSocket = {}: this is no socket; remove it, or choose another path", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// No such group.
    #[error(
        "ControlSocketGroup = {0:?}: there is no such group on this system; create it, or correct the name"
    )]
    NoGroup(String),
    /// No such user.
    #[error(
        "RunAsUser = {0:?}: there is no such user on this system; create it, or correct the name"
    )]
    NoUser(String),
    /// A step was not allowed.
    #[error("ControlSocket = {}: {step}: {source}", path.display())]
    Step {
        /// The path.
        path: PathBuf,
        /// The step.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start the thread of the control socket: {0}")]
    Thread(io::Error),
}

impl Error {
    /// Whether a server whose operator asked for no socket can serve without one.
    pub fn is_bearable(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::Step { .. })
    }
}

/// A listening socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
    /// Device and number of the file.
    identity: (u64, u64),
}

impl ControlSocket {
    /// Listens at the path of the options; `None` without one. `user` is who the server is going to be: the file is
    /// made while we may still give it away.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(options: &ControlOptions, user: Option<&str>) -> Result<Option<Self>, Error> {
        let Some(path) = &options.socket else {
            return Ok(None);
        };
        let length = path.as_os_str().as_bytes().len();
        if length > LONGEST_PATH {
            return Err(Error::TooLong {
                path: path.clone(),
                length,
            });
        }
        let group = options.group.as_deref().map(group_number).transpose()?;
        let owner = user.map(user_number).transpose()?;
        let step = |step| {
            move |source| Error::Step {
                path: path.clone(),
                step,
                source,
            }
        };
        let directory = path.parent().unwrap_or(Path::new("/"));
        // Two servers that start at once must not both find the file of a dead one and remove each other's.
        let _lock = lock(directory).map_err(step("cannot lock its directory"))?;
        clear(path)?;
        let socket =
            Socket::new(Domain::UNIX, Type::STREAM, None).map_err(step("cannot make a socket"))?;
        let address = SockAddr::unix(path).map_err(step("not a path for a socket"))?;
        let mode = if group.is_some() { 0o660 } else { 0o600 };
        bind(&socket, &address, mode).map_err(step("cannot create it"))?;
        let identity = fs::symlink_metadata(path)
            .map(|file| (file.dev(), file.ino()))
            .map_err(step("cannot find what was created"))?;
        // From here on a failure removes the file again.
        let made = Self {
            path: path.clone(),
            listener: UnixListener::from(std::os::fd::OwnedFd::from(socket)),
            identity,
        };
        let is_ours_already = owner == Some(nix::unistd::geteuid().as_raw());
        let owner = owner.filter(|_| !is_ours_already);
        if owner.is_some() || group.is_some() {
            lchown(path, owner, group).map_err(step("cannot give it away"))?;
        }
        // Nobody can connect before this.
        socket2::SockRef::from(&made.listener)
            .listen(BACKLOG)
            .map_err(step("cannot listen"))?;
        Ok(Some(made))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Somebody else's file of the same name is not ours to remove. One that we may not remove after a change of
        // user is taken over by the next server.
        let there = fs::symlink_metadata(&self.path).map(|file| (file.dev(), file.ino()));
        if there.is_ok_and(|there| there == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn group_number(name: &str) -> Result<u32, Error> {
    let found = Group::from_name(name).ok().flatten();
    found
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| Error::NoGroup(name.to_owned()))
}

fn user_number(name: &str) -> Result<u32, Error> {
    let found = User::from_name(name).ok().flatten();
    found
        .map(|user| user.uid.as_raw())
        .ok_or_else(|| Error::NoUser(name.to_owned()))
}

/// Created with these permissions, rather than given them: a change afterwards would follow a link that somebody who may
/// write into the directory has put there meanwhile.
fn bind(socket: &Socket, address: &SockAddr, mode: u32) -> io::Result<()> {
    static MASK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask(Mode::from_bits_truncate(!mode & 0o777));
    let bound = socket.bind(address);
    umask(before);
    bound
}

fn lock(directory: &Path) -> io::Result<Flock<File>> {
    let mut file = File::open(directory)?;
    for _ in 0..LOCK_TRIES {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, nix::errno::Errno::EWOULDBLOCK)) => file = back,
            Err((_, errno)) => return Err(errno.into()),
        }
        thread::sleep(LOCK_PAUSE);
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// Removes what a dead server has left.
fn clear(path: &Path) -> Result<(), Error> {
    let failed = |step| {
        move |source| Error::Step {
            path: path.to_owned(),
            step,
            source,
        }
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("cannot look at it")(error)),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(Error::NoSocket {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    match knock(path) {
        // A full queue is a living server's too.
        Ok(()) => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("cannot remove what a dead server left"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("cannot find out whether a server answers there")(
            error,
        )),
    }
}

fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn at(path: &Path) -> ControlOptions {
        ControlOptions {
            socket: Some(path.to_owned()),
            ..ControlOptions::default()
        }
    }

    #[test]
    fn file_is_for_its_owner_alone_and_goes_with_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let socket = ControlSocket::open(&at(&path), None).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn group_may_use_it_when_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let own = Group::from_gid(nix::unistd::getegid()).unwrap().unwrap();
        let options = ControlOptions {
            group: Some(own.name),
            ..at(&path)
        };
        let _socket = ControlSocket::open(&options, None).unwrap();
        let file = fs::symlink_metadata(&path).unwrap();
        assert_eq!((file.mode() & 0o777, file.gid()), (0o660, own.gid.as_raw()));
    }

    #[test]
    fn what_a_dead_server_left_is_taken_over_and_a_living_one_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        // Dropping a plain listener leaves its file, as a killed server does.
        drop(UnixListener::bind(&path).unwrap());
        let living = ControlSocket::open(&at(&path), None).unwrap();
        let error = ControlSocket::open(&at(&path), None).unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        assert!(!error.is_bearable());
        drop(living);
        ControlSocket::open(&at(&path), None).unwrap();
    }

    #[test]
    fn file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        fs::write(&path, "precious").unwrap();
        let error = ControlSocket::open(&at(&path), None).unwrap_err();
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn socket_that_cannot_be_had_is_explained() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(100));
        let missing = directory.path().join("none/s");
        for (situation, options, said) in [
            ("a path too long", at(&long), "may have 107"),
            ("no directory", at(&missing), "No such file"),
            (
                "no such group",
                ControlOptions {
                    group: Some("no-such-group".to_owned()),
                    ..at(&directory.path().join("s"))
                },
                "no-such-group",
            ),
        ] {
            let error = ControlSocket::open(&options, None).unwrap_err();
            assert!(error.to_string().contains(said), "{situation}: {error}");
        }
        assert!(
            ControlSocket::open(&ControlOptions::default(), None)
                .unwrap()
                .is_none()
        );
    }
}
