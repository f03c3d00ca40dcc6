//! Into the background, with word from there.
//!
//! repro's parent ended at once with status 0, so that nobody learned of a failed start. Here it waits at a pipe until
//! the child serves or gives up.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};

use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

use super::Error;

/// First octet from a child that serves. No message begins with it.
const SERVES: u8 = 0;

/// Most octets of a message from the child.
const MAX_MESSAGE: u64 = 1 << 20;

/// Which side of the fork one is on.
#[derive(Debug)]
pub enum Side {
    /// The process that was started. All that is left is to end with this status.
    Parent {
        /// 0 when the child serves, else 1; its errors have been printed.
        status: u8,
    },
    /// The process in the background, which has to send word.
    Child(Ready),
}

/// What the process that was started waits for. Dropped without a word, it means failure.
#[derive(Debug)]
#[must_use = "the process that was started waits for word"]
pub struct Ready(PipeWriter);

impl Ready {
    /// The server serves. Standard output and error lead to nowhere from here on.
    ///
    /// # Errors
    ///
    /// When `/dev/null` cannot take their place.
    pub fn announce(mut self) -> Result<(), Error> {
        let null = null()?;
        let step = |step| {
            move |errno: nix::Error| Error::Daemonize {
                step,
                source: errno.into(),
            }
        };
        dup2_stdout(&null).map_err(step("standard output"))?;
        dup2_stderr(&null).map_err(step("standard error"))?;
        // Nobody waits any more: that is no fault of ours.
        let _ = self.0.write_all(&[SERVES]);
        Ok(())
    }

    /// The server does not serve, and why; the process that was started prints it and ends with status 1.
    pub fn fail(mut self, message: &str) {
        let _ = self
            .0
            .write_all(message.trim_start_matches('\0').as_bytes());
    }
}

/// Forks into the background. To be called before any thread is started and with all paths absolute, since the
/// working directory is `/` afterwards.
///
/// Descriptors 0 to 2 stay open, on `/dev/null` at the end: repro closed them, and its sockets then got the numbers
/// that stray output goes to.
///
/// # Errors
///
/// On either side, when a step fails.
pub fn daemonize() -> Result<Side, Error> {
    let (reader, writer) = io::pipe().map_err(|source| Error::Daemonize {
        step: "pipe",
        source,
    })?;
    #[expect(
        unsafe_code,
        reason = "fork is sound while the process has a single thread, which the caller sees to"
    )]
    let forked = unsafe { fork() };
    match forked.map_err(|errno| Error::Daemonize {
        step: "fork",
        source: errno.into(),
    })? {
        ForkResult::Parent { child } => {
            drop(writer);
            Ok(Side::Parent {
                status: wait(reader, child, &mut io::stderr()),
            })
        }
        ForkResult::Child => {
            drop(reader);
            let ready = Ready(writer);
            match settle() {
                Ok(()) => Ok(Side::Child(ready)),
                Err(error) => {
                    ready.fail(&error.to_string());
                    Err(error)
                }
            }
        }
    }
}

/// Makes the child a process of its own.
fn settle() -> Result<(), Error> {
    let step = |step| {
        move |errno: nix::Error| Error::Daemonize {
            step,
            source: errno.into(),
        }
    };
    setsid().map_err(step("setsid"))?;
    umask(Mode::S_IWGRP | Mode::S_IRWXO);
    chdir("/").map_err(step("chdir /"))?;
    dup2_stdin(&null()?).map_err(step("standard input"))
}

fn null() -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|source| Error::Daemonize {
            step: "/dev/null",
            source,
        })
}

/// Waits for the child's word and turns it into an exit status.
fn wait(reader: PipeReader, child: Pid, errors: &mut dyn Write) -> u8 {
    let mut word = Vec::new();
    let read = reader.take(MAX_MESSAGE).read_to_end(&mut word);
    if read.is_ok() && word.first() == Some(&SERVES) {
        return 0;
    }
    if word.is_empty() {
        let how = match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, status)) => format!("with status {status}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("by {signal}"),
            _ => "in an unknown way".to_owned(),
        };
        let _ = writeln!(
            errors,
            "sipvouch: the process in the background ended {how} before it served"
        );
    } else {
        let _ = writeln!(errors, "{}", String::from_utf8_lossy(&word).trim_end());
    }
    1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A child of our own that ends at once, so that there is something to wait for.
    #[expect(clippy::zombie_processes, reason = "the code under test waits for it")]
    fn ended_child() -> Pid {
        let child = std::process::Command::new("false").spawn().unwrap();
        Pid::from_raw(i32::try_from(child.id()).unwrap())
    }

    #[test]
    fn child_that_serves_makes_the_parent_succeed() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&[SERVES]).unwrap();
        drop(writer);
        let mut errors = Vec::new();
        assert_eq!(wait(reader, Pid::from_raw(1), &mut errors), 0);
        assert!(errors.is_empty());
    }

    #[test]
    fn errors_of_the_child_are_printed_by_the_parent() {
        let (reader, writer) = io::pipe().unwrap();
        Ready(writer).fail("repro.config:41: TLSPort is wrong\nand another\n");
        let mut errors = Vec::new();
        assert_eq!(wait(reader, Pid::from_raw(1), &mut errors), 1);
        assert_eq!(errors, b"repro.config:41: TLSPort is wrong\nand another\n");
    }

    #[test]
    fn child_that_ends_without_a_word_is_a_failure() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let mut errors = Vec::new();
        assert_eq!(wait(reader, ended_child(), &mut errors), 1);
        let text = String::from_utf8(errors).unwrap();
        assert!(text.contains("with status 1 before it served"), "{text}");
    }
}
