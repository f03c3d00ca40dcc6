//! The queue of lines, and the thread at its end.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::sink::Sink;

/// Longest line, in octets; the rest of a longer one is cut off, so that the queue is bounded in octets too.
const MAX_LINE: usize = 8192;

/// What the writing thread is asked.
#[derive(Debug)]
pub(super) enum Job {
    /// Write this line. Its first octet is the severity.
    Line(Box<[u8]>),
    /// Look whether the file is to be opened again.
    Wake,
    /// Say so when everything before is written.
    Flush(Sender<()>),
}

/// What both ends of the queue know without passing through it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Lines lost and not yet told of.
    dropped: AtomicU64,
    /// The file is to be opened again. A full queue must not lose that.
    reopen: AtomicBool,
}

impl Shared {
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn ask_to_reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    fn drop_lines(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

/// The end of the queue that env_logger writes to, one line at a time. Never waits.
#[derive(Debug, Clone)]
pub(super) struct QueueWriter {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

impl QueueWriter {
    pub(super) fn new(jobs: Sender<Job>, shared: Arc<Shared>) -> Self {
        Self { jobs, shared }
    }
}

impl Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut kept = line;
        let mut cut = Vec::new();
        if let Some(start) = line.get(..MAX_LINE) {
            cut.extend_from_slice(start);
            cut.extend_from_slice(b" [cut]\n");
            kept = &cut;
        }
        if self.jobs.try_send(Job::Line(kept.into())).is_err() {
            self.shared.drop_lines(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the thread that writes. It ends with the process.
pub(super) fn start(sink: Sink, jobs: Receiver<Job>, shared: Arc<Shared>) -> io::Result<()> {
    let mut writer = Writer { sink, shared };
    let run = move || jobs.iter().for_each(|job| writer.work(&job));
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(run)
        .map(drop)
}

/// The thread's own.
struct Writer {
    sink: Sink,
    shared: Arc<Shared>,
}

impl Writer {
    fn work(&mut self, job: &Job) {
        if self.shared.reopen.swap(false, Ordering::Acquire) {
            self.sink.reopen();
        }
        match job {
            Job::Line(line) => {
                if let Some((digit, line)) = line.split_first() {
                    self.write(digit.wrapping_sub(b'0'), line);
                }
            }
            Job::Wake => {}
            Job::Flush(done) => {
                self.tell_dropped();
                let _ = done.try_send(());
            }
        }
    }

    /// A line that cannot be written, on a full disk say, counts as dropped.
    fn write(&mut self, severity: u8, line: &[u8]) {
        match self.sink.write(severity, line) {
            Ok(()) => self.tell_dropped(),
            Err(_) => self.shared.drop_lines(1),
        }
    }

    fn tell_dropped(&mut self) {
        let lines = self.shared.dropped.swap(0, Ordering::Relaxed);
        if lines > 0 {
            let text = format!("WARN log.dropped lines={lines}\n");
            if self.sink.write(4, text.as_bytes()).is_err() {
                self.shared.drop_lines(lines);
            }
        }
    }
}
