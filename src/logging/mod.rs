//! Where log lines go: repro's `LoggingType`, `LogFilename` and rotation, over env_logger.
//!
//! A line is formatted by the thread that has something to say, and written by one thread of this room, so that a
//! slow disk or a pipe that nobody reads never holds a worker. Between them is a bounded queue: lines that do not
//! fit are dropped and counted, and the count is a line of its own once there is room.

mod audit;
mod format;
mod level;
mod options;
mod places;
mod sink;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

pub use audit::{AuditLog, audit};
pub use level::BadDirective;
pub use options::{Destination, Facility, LoggingOptions, Structure};
pub use places::{LogPlace, unfit_places};

use level::Switch;
use sink::Sink;
use writer::{Job, QueueWriter, Shared};

/// Lines waiting to be written. With the longest lines that is 32 MiB.
const QUEUE_LINES: usize = 4096;

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened for appending.
    #[error("log: cannot open {} for appending: {source}; see LogFilename", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of the audit log cannot be opened for appending.
    #[error("log: cannot open {} for appending: {source}; see AuditLog", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not give us a thread.
    #[error("log: cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
    /// The process has a logger already.
    #[error("log: a log is open already")]
    Twice(#[from] log::SetLoggerError),
}

/// The open log. Dropping it does not close the log: that ends with the process.
#[derive(Debug, Clone)]
pub struct LogHandle {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
    switch: Switch,
    path: Option<PathBuf>,
    audit: Option<AuditLog>,
}

impl LogHandle {
    /// Closes the log file and opens it again under its name, after it was renamed from outside. For SIGHUP.
    pub fn reopen(&self) {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        self.shared.ask_to_reopen();
        // With a full queue the writer looks at its next line.
        let _ = self.jobs.try_send(Job::Wake);
    }

    /// Waits until all lines so far are written, but no longer than `patience`. For the end of the process.
    pub fn flush(&self, patience: Duration) {
        // First, since it may have something to say in the log.
        if let Some(audit) = &self.audit {
            audit.flush(patience);
        }
        let (done, finished) = bounded(1);
        if self.jobs.send_timeout(Job::Flush(done), patience).is_ok() {
            let _ = finished.recv_timeout(patience);
        }
    }

    /// Lines dropped and not yet told of.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// What is written now, as directives: `info`, `info,sipvouch::tls=debug`.
    pub fn level(&self) -> String {
        self.switch.directives()
    }

    /// Changes what is written from now on; `default` is what the log was opened with. Answers as [`LogHandle::level`].
    ///
    /// # Errors
    ///
    /// A directive that is none; then nothing changes.
    pub fn set_level(&self, directives: &str) -> Result<String, BadDirective> {
        self.switch.set(directives)?;
        Ok(self.level())
    }

    /// The log file, if it is one, and that of the audit log; for a change of their owner.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let audit = self.audit.as_ref().map(AuditLog::path);
        self.path.as_deref().into_iter().chain(audit)
    }
}

/// Opens the log of the process. To be called after a fork, since it starts a thread.
///
/// # Errors
///
/// When the file cannot be opened, or a log is open already.
pub fn init(options: &LoggingOptions) -> Result<LogHandle, Error> {
    let (logger, handle) = open(options)?;
    log::set_boxed_logger(Box::new(logger.clone()))?;
    logger.be_the_log_of_the_process();
    if let Some(audit) = &handle.audit {
        audit::install(audit);
    }
    Ok(handle)
}

/// Opens a log that is not yet that of the process.
fn open(options: &LoggingOptions) -> Result<(Switch, LogHandle), Error> {
    let sink = Sink::open(options)?;
    let audit = options.audit.as_deref().map(AuditLog::open).transpose()?;
    let path = sink.path();
    let shared = Arc::new(Shared::default());
    let (jobs, queue) = bounded(QUEUE_LINES);
    writer::start(sink, queue, Arc::clone(&shared)).map_err(Error::Thread)?;

    let pipe = QueueWriter::new(jobs.clone(), Arc::clone(&shared));
    let switch = Switch::new(options, pipe);
    let handle = LogHandle {
        jobs,
        shared,
        switch: switch.clone(),
        path,
        audit,
    };
    Ok((switch, handle))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;
    use log::{Level, LevelFilter, Log, Record};
    use std::fs;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn file_options(path: &Path) -> LoggingOptions {
        LoggingOptions {
            destination: Destination::File(path.to_owned()),
            level: LevelFilter::Debug,
            ..LoggingOptions::default()
        }
    }

    fn say(logger: &Switch, level: Level, text: &str) {
        logger.log(
            &Record::builder()
                .level(level)
                .target("sipvouch::test")
                .args(format_args!("{text}"))
                .build(),
        );
    }

    #[test]
    fn line_has_time_level_and_message() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let (logger, handle) = open(&file_options(&path)).unwrap();
        say(&logger, Level::Warn, "auth.refused conn=7");
        say(&logger, Level::Trace, "too fine for this log");
        handle.flush(PATIENCE);
        let text = fs::read_to_string(&path).unwrap();
        let (time, rest) = text.split_once(' ').unwrap();
        assert_eq!(time.len(), "2026-01-02T03:04:05.678Z".len(), "{time}");
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(rest, "WARN auth.refused conn=7\n");
    }

    #[test]
    fn what_is_written_changes_while_the_log_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let (logger, handle) = open(&file_options(&path)).unwrap();
        say(&logger, Level::Debug, "at first");
        handle.set_level("warn").unwrap();
        say(&logger, Level::Debug, "between");
        assert!(handle.set_level("test=debug,warn,nothing=very").is_err());
        say(&logger, Level::Debug, "after a directive that is none");
        assert_eq!(
            handle.set_level("warn, test=debug").unwrap(),
            "warn,sipvouch::test=debug"
        );
        say(&logger, Level::Debug, "for one room");
        handle.set_level("default").unwrap();
        say(&logger, Level::Debug, "at last");
        handle.flush(PATIENCE);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter_map(|line| Some(line.split_once("DEBUG ")?.1))
            .collect();
        assert_eq!(lines, ["at first", "for one room", "at last"]);
    }

    #[test]
    fn line_break_in_a_message_cannot_forge_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let (logger, handle) = open(&file_options(&path)).unwrap();
        say(&logger, Level::Info, "one\r\ntwo\u{1b}[2J\u{7f}\u{85}three");
        handle.flush(PATIENCE);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.ends_with("INFO one\\r\\ntwo\\u{1b}[2J\\u{7f}\\u{85}three\n"),
            "{text:?}"
        );
    }

    #[test]
    fn file_that_is_full_gets_the_suffix_old() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let (logger, handle) = open(&LoggingOptions {
            max_lines: 2,
            ..file_options(&path)
        })
        .unwrap();
        for number in 1..=5 {
            say(&logger, Level::Info, &format!("line {number}"));
        }
        handle.flush(PATIENCE);
        let old = fs::read_to_string(directory.path().join("x.log.old")).unwrap();
        assert!(old.contains("line 3") && old.contains("line 4"), "{old}");
        let new = fs::read_to_string(&path).unwrap();
        assert!(new.contains("line 5") && !new.contains("line 4"), "{new}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn limit_in_bytes_counts_what_the_file_held_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        fs::write(&path, "x".repeat(1000)).unwrap();
        let (logger, handle) = open(&LoggingOptions {
            max_bytes: 1010,
            ..file_options(&path)
        })
        .unwrap();
        say(&logger, Level::Info, "first of a new file");
        handle.flush(PATIENCE);
        assert_eq!(
            fs::read_to_string(directory.path().join("x.log.old"))
                .unwrap()
                .len(),
            1000
        );
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .contains("first of a new file")
        );
    }

    #[test]
    fn every_old_file_is_kept_when_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let options = LoggingOptions {
            max_lines: 1,
            keep_all: true,
            ..file_options(&path)
        };
        let (logger, handle) = open(&options).unwrap();
        for number in 1..=4 {
            say(&logger, Level::Info, &format!("line {number}"));
        }
        handle.flush(PATIENCE);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    }

    #[test]
    fn renamed_file_is_left_after_reopen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let moved = directory.path().join("x.log.1");
        let (logger, handle) = open(&file_options(&path)).unwrap();
        say(&logger, Level::Info, "before");
        handle.flush(PATIENCE);
        fs::rename(&path, &moved).unwrap();
        handle.reopen();
        say(&logger, Level::Info, "after");
        handle.flush(PATIENCE);
        assert!(fs::read_to_string(&moved).unwrap().contains("before"));
        assert!(fs::read_to_string(&path).unwrap().contains("after"));
    }

    #[test]
    fn json_line_is_one_object_with_escapes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let options = LoggingOptions {
            structure: Structure::JsonCee,
            instance: "a\"b".to_owned(),
            ..file_options(&path)
        };
        let (logger, handle) = open(&options).unwrap();
        say(&logger, Level::Error, "tls.failed file=\"k\\ey\"\n\u{1}");
        handle.flush(PATIENCE);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"hostname\":\""), "{text}");
        assert!(
            text.contains(r#""pri":"ERROR","syslog.level":3,"time":""#),
            "{text}"
        );
        assert!(
            text.contains(r#""appname":"a\"b","subsys":"sipvouch::test""#),
            "{text}"
        );
        assert!(
            text.ends_with("\"msg\":\"tls.failed file=\\\"k\\\\ey\\\"\\u000a\\u0001\"}\n"),
            "{text}"
        );
    }

    #[test]
    fn process_number_in_the_file_name_is_filled_in() {
        let directory = tempfile::tempdir().unwrap();
        let (_, handle) = open(&file_options(&directory.path().join("x-{pid}.log"))).unwrap();
        let name = format!("x-{}.log", std::process::id());
        let paths: Vec<&Path> = handle.paths().collect();
        assert_eq!(paths, [directory.path().join(name)]);
    }

    #[test]
    fn file_that_cannot_be_opened_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = open(&file_options(&directory.path().join("none/x.log"))).unwrap_err();
        assert!(error.to_string().contains("none/x.log"), "{error}");
    }

    /// Regression guard for the promise of this room: nobody reads the pipe, and nobody waits.
    #[test]
    fn reader_that_never_reads_holds_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Both ends are open, so that the log opens at once; the pipe holds 64 KiB.
        let _reader = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let (logger, handle) = open(&file_options(&path)).unwrap();
        let text = "x".repeat(1000);
        for _ in 0..QUEUE_LINES + 1000 {
            say(&logger, Level::Info, &text);
        }
        assert!(handle.dropped() > 0);
        handle.flush(Duration::from_millis(50));
    }
}
