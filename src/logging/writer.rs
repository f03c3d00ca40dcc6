//! The queue of lines, and the thread at its end.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Close the file and open it again.
    Reopen,
    /// Say so when everything before is written.
    Flush(Sender<()>),
}

/// Lines that did not fit and have not been told of.
#[derive(Debug, Clone, Default)]
pub(super) struct Dropped(Arc<AtomicU64>);

impl Dropped {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// The end of the queue that env_logger writes to, one line at a time. Never waits.
pub(super) struct QueueWriter {
    jobs: Sender<Job>,
    dropped: Dropped,
}

impl QueueWriter {
    pub(super) fn new(jobs: Sender<Job>, dropped: Dropped) -> Self {
        Self { jobs, dropped }
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
            self.dropped.add();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the thread that writes. It ends with the process.
pub(super) fn start(mut sink: Sink, jobs: Receiver<Job>, dropped: Dropped) -> io::Result<()> {
    let write = move || {
        for job in jobs {
            match job {
                Job::Line(line) => {
                    let (severity, line) = match line.split_first() {
                        Some((digit, line)) => (digit.wrapping_sub(b'0'), line),
                        None => continue,
                    };
                    sink.write(severity, line);
                    tell_dropped(&mut sink, &dropped);
                }
                Job::Reopen => sink.reopen(),
                Job::Flush(done) => {
                    tell_dropped(&mut sink, &dropped);
                    sink.flush();
                    let _ = done.try_send(());
                }
            }
        }
    };
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(write)
        .map(drop)
}

fn tell_dropped(sink: &mut Sink, dropped: &Dropped) {
    match dropped.take() {
        0 => {}
        lines => sink.write(4, format!("WARN log.dropped lines={lines}\n").as_bytes()),
    }
}
