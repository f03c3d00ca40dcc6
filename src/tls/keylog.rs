//! The secrets of one peer's handshakes in a file, so that an operator can read a capture of what that peer sends.
//!
//! The lines are NSS key log lines, which Wireshark and others take. At most one log is on at a time, for one peer and
//! for at most [`LONGEST`]; it ends by itself. While none is on, a handshake pays one look at an atomic for each secret.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::warn;
use openssl::ssl::SslRef;

use super::handshake;

/// Longest life of a log.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Lines that wait for the disk; a handshake makes five at most.
const QUEUE_LINES: usize = 1024;

/// Whose secrets, where to, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLogOrder {
    /// Address of the peer; behind a PROXY header, the one in the header.
    pub peer: IpAddr,
    /// One port of it only.
    pub port: Option<u16>,
    /// How long; no longer than [`LONGEST`].
    pub lasting: Duration,
    /// The file, absolute; it must not be there yet.
    pub file: PathBuf,
}

/// Why no secrets are logged.
#[derive(Debug, thiserror::Error)]
pub enum KeyLogError {
    /// There is one already.
    #[error("the secrets of {peer} are logged already, to {}; end that first", file.display())]
    Busy {
        /// Whose.
        peer: IpAddr,
        /// Where to.
        file: PathBuf,
    },
    /// It would last for no time, or too long.
    #[error("{0} seconds: expected 1 to {longest}", longest = LONGEST.as_secs())]
    Lasting(u64),
    /// A relative name would mean another file to the server than to who asks.
    #[error("{}: give the whole path from / on", .0.display())]
    Relative(PathBuf),
    /// The file cannot be made.
    #[error("cannot create {}: {source}; it must not be there yet, and the user of the server must be able to write there", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("no thread to write it: {0}")]
    Thread(io::Error),
}

/// A log that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLogState {
    /// As it was ordered.
    pub order: KeyLogOrder,
    /// Time left.
    pub left: Duration,
    /// Lines handed to the file so far.
    pub lines: u64,
}

struct Active {
    order: KeyLogOrder,
    until: Instant,
    lines: Sender<Box<str>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    lost: AtomicU64,
}

/// Number of the log that is on, 0 for none. Numbers are never used twice, so that a handshake that began under one log
/// never writes to another.
static ON: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicU64 = AtomicU64::new(0);
static ACTIVE: Mutex<Option<Active>> = Mutex::new(None);

fn active() -> MutexGuard<'static, Option<Active>> {
    ACTIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to log the secrets of the handshakes of one peer that begin from now on.
///
/// # Errors
/// See [`KeyLogError`]; then nothing is logged.
pub fn start(order: KeyLogOrder) -> Result<(), KeyLogError> {
    // Held over the opening of the file, so that there is one at a time; no worker asks for it before there is one.
    let mut active = active();
    if let Some(Active { order, .. }) = &*active {
        return Err(KeyLogError::Busy {
            peer: order.peer,
            file: order.file.clone(),
        });
    }
    if order.lasting.is_zero() || order.lasting > LONGEST {
        return Err(KeyLogError::Lasting(order.lasting.as_secs()));
    }
    if !order.file.is_absolute() {
        return Err(KeyLogError::Relative(order.file));
    }
    let file = OpenOptions::new()
        .write(true)
        // Never a file that is there, nor where a symbolic link leads.
        .create_new(true)
        .mode(0o600)
        .open(&order.file)
        .map_err(|source| KeyLogError::File {
            file: order.file.clone(),
            source,
        })?;
    let number = LAST.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    let until = Instant::now() + order.lasting;
    let (lines, queue) = bounded(QUEUE_LINES);
    let counts = Arc::new(Counts::default());
    let writer = Writer {
        number,
        until,
        file,
        queue,
        counts: Arc::clone(&counts),
        order: order.clone(),
    };
    let thread = thread::Builder::new()
        .name("keylog".to_owned())
        .spawn(move || writer.run())
        .map_err(KeyLogError::Thread)?;
    *active = Some(Active {
        order: order.clone(),
        until,
        lines,
        counts,
        thread: Some(thread),
    });
    ON.store(number, Ordering::Release);
    drop(active);
    warn!(
        "tls.keylog_started peer={} file={:?} seconds={} whoever reads that file can read all that this peer says",
        told(&order),
        order.file,
        order.lasting.as_secs()
    );
    Ok(())
}

/// Ends the log that is on; false if there is none. The file is complete afterwards.
pub fn stop() -> bool {
    let ended = {
        let mut active = active();
        ON.store(0, Ordering::Release);
        active.take()
    };
    let Some(ended) = ended else {
        return false;
    };
    // The writer ends once the last sender has gone and everything is written.
    drop(ended.lines);
    if let Some(thread) = ended.thread
        && thread.join().is_err()
    {
        log::error!("tls.keylog_panicked file={:?}", ended.order.file);
    }
    true
}

/// The log that is on.
pub fn state() -> Option<KeyLogState> {
    active().as_ref().map(|active| KeyLogState {
        order: active.order.clone(),
        left: active.until.saturating_duration_since(Instant::now()),
        lines: active.counts.taken.load(Ordering::Relaxed),
    })
}

/// Number of the log that takes the secrets of a handshake with this peer; 0 for none.
pub(super) fn wanted_for(peer: SocketAddr) -> u64 {
    let number = ON.load(Ordering::Acquire);
    if number == 0 {
        return 0;
    }
    let wanted = active().as_ref().is_some_and(|Active { order, .. }| {
        order.peer.to_canonical() == peer.ip().to_canonical()
            && order.port.is_none_or(|port| port == peer.port())
    });
    if wanted { number } else { 0 }
}

/// A secret of a handshake, as OpenSSL tells it for every connection of every context.
pub(super) fn take(ssl: &SslRef, line: &str) {
    let number = ON.load(Ordering::Acquire);
    if number == 0 || handshake::slot(ssl).is_none_or(|slot| slot.key_log != number) {
        return;
    }
    if let Some(active) = &*active()
        && ON.load(Ordering::Acquire) == number
    {
        let counts = &active.counts;
        let counted = match active.lines.try_send(line.into()) {
            Ok(()) => &counts.taken,
            Err(_) => &counts.lost,
        };
        counted.fetch_add(1, Ordering::Relaxed);
    }
}

fn told(order: &KeyLogOrder) -> String {
    match order.port {
        Some(port) => SocketAddr::new(order.peer, port).to_string(),
        None => order.peer.to_string(),
    }
}

/// The thread that writes, so that no worker waits for a disk.
struct Writer {
    number: u64,
    until: Instant,
    file: File,
    queue: Receiver<Box<str>>,
    counts: Arc<Counts>,
    order: KeyLogOrder,
}

impl Writer {
    fn run(mut self) {
        let reason = loop {
            match self.queue.recv_deadline(self.until) {
                Ok(line) => self.write(&line),
                Err(RecvTimeoutError::Timeout) => break "time",
                Err(RecvTimeoutError::Disconnected) => break "order",
            }
        };
        if reason == "time" {
            let mut active = active();
            if ON.load(Ordering::Acquire) == self.number {
                ON.store(0, Ordering::Release);
                *active = None;
            }
        }
        while let Ok(line) = self.queue.try_recv() {
            self.write(&line);
        }
        warn!(
            "tls.keylog_ended peer={} file={:?} lines={} lost={} reason={reason}",
            told(&self.order),
            self.order.file,
            self.counts.taken.load(Ordering::Relaxed),
            self.counts.lost.load(Ordering::Relaxed),
        );
    }

    fn write(&mut self, line: &str) {
        // One call a line, so that nobody ever reads half of one.
        let whole = format!("{line}\n");
        if self.file.write_all(whole.as_bytes()).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
