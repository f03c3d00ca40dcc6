//! The audit log: one JSON object a line, written by a thread of its own.
//!
//! Like the log it has a bounded queue and never holds a worker: records that do not fit, or that the disk does not take,
//! are counted, and the count is a line of its own once there is room.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::warn;

use super::sink::LogFile;
use super::{Error, LoggingOptions};

/// Records waiting to be written. They are of bounded length, so that this is some 40 MiB at most.
const QUEUE_RECORDS: usize = 8192;
/// Between two warnings that the file cannot be written.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

enum Job {
    /// Write this line, which ends in LF.
    Line(Vec<u8>),
    /// Look whether the file is to be opened again.
    Wake,
    /// Say so when everything before is written.
    Flush(Sender<()>),
}

/// What both ends of the queue know without passing through it.
#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    reopen: AtomicBool,
}

/// The audit log of the process. Clones are one log.
#[derive(Debug, Clone)]
pub struct AuditLog {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
    path: PathBuf,
}

static AUDIT: OnceLock<AuditLog> = OnceLock::new();

/// The audit log of the process, if one was opened with its log.
pub fn audit() -> Option<&'static AuditLog> {
    AUDIT.get()
}

/// Makes this log that of the process.
pub(super) fn install(audit: &AuditLog) {
    // Whoever opens the log of the process for the second time is refused before.
    let _ = AUDIT.set(audit.clone());
}

impl AuditLog {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let path = super::sink::expand(path);
        // It has no limits of its own: it is rotated from outside.
        let file = LogFile::open(path.clone(), &LoggingOptions::default());
        let file = file.map_err(|source| Error::Audit {
            path: path.clone(),
            source,
        })?;
        let shared = Arc::new(Shared::default());
        let (jobs, queue) = bounded(QUEUE_RECORDS);
        let writer = Writer {
            file,
            path: path.clone(),
            shared: Arc::clone(&shared),
            warned: None,
        };
        start(writer, queue).map_err(Error::Thread)?;
        Ok(Self { jobs, shared, path })
    }

    /// Writes one record, a line that ends in LF. Never waits.
    pub fn write(&self, line: Vec<u8>) {
        if self.jobs.try_send(Job::Line(line)).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        // With a full queue the writer looks at its next record.
        let _ = self.jobs.try_send(Job::Wake);
    }

    pub(super) fn flush(&self, patience: Duration) {
        let (done, finished) = bounded(1);
        if self.jobs.send_timeout(Job::Flush(done), patience).is_ok() {
            let _ = finished.recv_timeout(patience);
        }
    }
}

fn start(mut writer: Writer, queue: Receiver<Job>) -> io::Result<()> {
    let run = move || queue.iter().for_each(|job| writer.work(job));
    thread::Builder::new()
        .name("audit".to_owned())
        .spawn(run)
        .map(drop)
}

/// The thread's own.
struct Writer {
    file: LogFile,
    path: PathBuf,
    shared: Arc<Shared>,
    warned: Option<Instant>,
}

impl Writer {
    fn work(&mut self, job: Job) {
        if self.shared.reopen.swap(false, Ordering::Acquire)
            && let Err(error) = self.file.reopen()
        {
            warn!(
                "audit.not_reopened path={:?} error={:?} records go on into the file that was open",
                self.path,
                error.to_string()
            );
        }
        match job {
            Job::Line(line) => match self.tell_dropped().and_then(|()| self.file.write(&line)) {
                Ok(()) => {}
                Err(error) => {
                    self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                    self.warn(&error);
                }
            },
            Job::Wake => {}
            Job::Flush(done) => {
                if let Err(error) = self.tell_dropped() {
                    self.warn(&error);
                }
                let _ = done.try_send(());
            }
        }
    }

    /// Where records are missing stands before those that came after them.
    fn tell_dropped(&mut self) -> io::Result<()> {
        let records = self.shared.dropped.swap(0, Ordering::Relaxed);
        if records == 0 {
            return Ok(());
        }
        let line = format!("{{\"dropped\":{records}}}\n");
        self.file.write(line.as_bytes()).inspect_err(|_| {
            self.shared.dropped.fetch_add(records, Ordering::Relaxed);
        })
    }

    fn warn(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self
            .warned
            .is_some_and(|last| now.duration_since(last) < BETWEEN_WARNINGS)
        {
            return;
        }
        self.warned = Some(now);
        warn!(
            "audit.unwritten path={:?} error={:?} records are lost until it can be written again",
            self.path,
            error.to_string()
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn line(number: u64) -> Vec<u8> {
        format!("{{\"number\":{number}}}\n").into_bytes()
    }

    #[test]
    fn a_renamed_file_is_left_after_reopen_and_nobody_else_reads_either() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let moved = directory.path().join("audit.jsonl.1");
        let audit = AuditLog::open(&path).unwrap();
        audit.write(line(1));
        audit.flush(PATIENCE);
        fs::rename(&path, &moved).unwrap();
        audit.write(line(2));
        audit.flush(PATIENCE);
        audit.reopen();
        audit.write(line(3));
        audit.flush(PATIENCE);
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(read(&moved), "{\"number\":1}\n{\"number\":2}\n");
        assert_eq!(read(&path), "{\"number\":3}\n");
        for file in [&path, &moved] {
            let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
            // Whatever umask the tests run under takes away, others get nothing.
            assert_eq!(mode & !0o640, 0, "{mode:o}");
        }
    }

    #[test]
    fn records_that_do_not_fit_are_counted_where_they_are_missing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Both ends are open, so that the log opens at once; nobody reads, and the pipe holds 64 KiB.
        let reader = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let audit = AuditLog::open(&path).unwrap();
        let mut record = vec![b'x'; 1000];
        record.push(b'\n');
        let sent = QUEUE_RECORDS as u64 + 1000;
        for _ in 0..sent {
            audit.write(record.clone());
        }
        assert!(audit.shared.dropped.load(Ordering::Relaxed) > 0);
        let mut written = 0;
        let mut dropped = 0;
        for line in io::BufRead::lines(io::BufReader::new(reader)) {
            let line = line.unwrap();
            match line.strip_prefix("{\"dropped\":") {
                Some(count) => dropped += count.trim_end_matches('}').parse::<u64>().unwrap(),
                None => written += 1,
            }
            if written + dropped == sent {
                return;
            }
        }
    }

    #[test]
    fn a_full_disk_costs_records_and_says_how_many() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let audit = AuditLog::open(full).unwrap();
        for number in 0..3 {
            audit.write(line(number));
        }
        audit.flush(PATIENCE);
        assert_eq!(audit.shared.dropped.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn records_go_on_into_the_old_file_while_there_is_no_place_for_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let (place, moved) = (directory.path().join("logs"), directory.path().join("old"));
        fs::create_dir(&place).unwrap();
        let audit = AuditLog::open(&place.join("audit.jsonl")).unwrap();
        fs::rename(&place, &moved).unwrap();
        audit.reopen();
        audit.write(line(1));
        audit.flush(PATIENCE);
        let old = moved.join("audit.jsonl");
        assert_eq!(fs::read_to_string(&old).unwrap(), "{\"number\":1}\n");
        fs::create_dir(&place).unwrap();
        audit.reopen();
        audit.write(line(2));
        audit.flush(PATIENCE);
        let new = fs::read_to_string(place.join("audit.jsonl")).unwrap();
        assert_eq!(new, "{\"number\":2}\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named_with_its_setting() {
        let directory = tempfile::tempdir().unwrap();
        let error = AuditLog::open(&directory.path().join("none/audit.jsonl")).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("none/audit.jsonl") && told.contains("AuditLog"),
            "{told}"
        );
    }
}
