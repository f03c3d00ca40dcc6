//! The file that holds our process number, and keeps a second server away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::Error;

/// A locked PID file. It is removed when dropped.
///
/// The lock, not the number, says that the server runs: a number may be another process's by now, and it goes with
/// the process even when that is killed, so that nothing needs to be cleaned up.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: Flock<File>,
}

impl PidFile {
    /// Locks the file and writes our process number into it. After a fork, in the child.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyRunning`] when another process holds the lock; [`Error::PidFile`] when the file cannot be
    /// written.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let fault = |source| Error::PidFile {
            path: path.to_owned(),
            source,
        };
        // Another server may remove its file between our open and our lock; then we hold a file without a name.
        for _ in 0..10 {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(fault)?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(mut file) => {
                    if !is_at(&file, path) {
                        continue;
                    }
                    write_number(&mut file).map_err(fault)?;
                    return Ok(Self {
                        path: path.to_owned(),
                        file,
                    });
                }
                Err((mut file, Errno::EWOULDBLOCK)) => {
                    let pid = read_number(&mut file);
                    return Err(Error::AlreadyRunning {
                        path: path.to_owned(),
                        pid,
                    });
                }
                Err((_, errno)) => return Err(fault(errno.into())),
            }
        }
        Err(fault(io::Error::from(io::ErrorKind::AlreadyExists)))
    }

    /// Where it is; for a change of its owner.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody else's file of the same name is not ours to remove.
        if is_at(&self.file, &self.path) && fs::remove_file(&self.path).is_err() {
            // After a change of user the directory may be closed to us; an empty file names no process.
            let _ = self.file.set_len(0);
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

fn write_number(file: &mut File) -> io::Result<()> {
    // Whatever the umask: those who watch the server read its number.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", process::id()).as_bytes())
}

fn read_number(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn second_server_is_told_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        let first = PidFile::acquire(&path).unwrap();
        let number = process::id().to_string();
        assert_eq!(fs::read_to_string(&path).unwrap().trim(), number);
        let error = PidFile::acquire(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("already running as process {number}")),
            "{error}"
        );
        drop(first);
        assert!(!path.exists());
        PidFile::acquire(&path).unwrap();
    }

    #[test]
    fn file_that_a_killed_server_left_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        fs::write(&path, "999999999 and more").unwrap();
        let _held = PidFile::acquire(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", process::id())
        );
    }

    #[test]
    fn file_of_somebody_else_is_left_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pid");
        let held = PidFile::acquire(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "1").unwrap();
        drop(held);
        assert!(path.exists());
    }

    #[test]
    fn file_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = PidFile::acquire(&directory.path().join("none/x.pid")).unwrap_err();
        assert!(error.to_string().contains("none/x.pid"), "{error}");
    }
}
