//! The threads behind the socket: one that accepts, and one for each client, of whom there are few at a time.

use std::io::{self, BufWriter, Read as _, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde_json::{Value, json};
use socket2::SockRef;

use super::LONGEST_LINE;
use super::command::{Command, Controlled, Filter, KeyLog, LineError, Refused};
use super::socket::{ControlSocket, Error};

/// Clients at a time; a further one is told so and closed.
pub const MOST_CLIENTS: usize = 8;
/// Longest time from one answer, or the beginning, to the end of the next command.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// Longest time that a client may take nothing of an answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// Longest time that an answer may take to be read.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// Longest time that a client has to read why it is cut off.
const LINGER: Duration = Duration::from_secs(1);
/// Pause after a failed `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The running control socket. Dropping it closes it and removes its file; clients that are being answered still are.
pub struct ControlServer {
    socket: Arc<ControlSocket>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// Takes commands from now on.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(socket: ControlSocket, controlled: Arc<dyn Controlled>) -> Result<Self, Error> {
        let socket = Arc::new(socket);
        let stopping = Arc::new(AtomicBool::new(false));
        let acceptor = Acceptor {
            socket: Arc::clone(&socket),
            stopping: Arc::clone(&stopping),
            clients: Arc::default(),
            controlled,
        };
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || acceptor.run())
            .map_err(Error::Thread)?;
        Ok(Self {
            socket,
            stopping,
            thread: Some(thread),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.socket.path()
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Wakes the thread out of `accept`.
        let _ = SockRef::from(self.socket.listener()).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("control.panicked the control socket was gone before the stop");
        }
    }
}

struct Acceptor {
    socket: Arc<ControlSocket>,
    stopping: Arc<AtomicBool>,
    clients: Arc<AtomicUsize>,
    controlled: Arc<dyn Controlled>,
}

impl Acceptor {
    fn run(self) {
        loop {
            match self.socket.listener().accept() {
                Ok((stream, _)) => self.take(stream),
                Err(_) if self.stopping.load(Ordering::Acquire) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    warn!("control.accept_error error={error:?}");
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    fn take(&self, stream: UnixStream) {
        let credentials = getsockopt(&stream, PeerCredentials).ok();
        let mut client = Client {
            stream,
            received: Vec::new(),
            uid: credentials.map(|c| c.uid()),
            pid: credentials.map(|c| c.pid()),
            place: None,
        };
        let Some(place) = Place::of(&self.clients) else {
            debug!("control.refused {}", client.who());
            let mut busy = refusal(&Refused::because(format!(
                "{MOST_CLIENTS} clients are connected already; try again in a moment"
            )));
            if let Value::Object(answer) = &mut busy {
                answer.insert("busy".to_owned(), Value::Bool(true));
            }
            // The queue of a new socket takes that much at once.
            let _ = client.stream.set_nonblocking(true);
            let _ = client.stream.write_all(&line_of(&busy));
            return;
        };
        client.place = Some(place);
        let controlled = Arc::clone(&self.controlled);
        let serve = move || client.serve(&*controlled);
        if let Err(error) = thread::Builder::new()
            .name("control-client".to_owned())
            .spawn(serve)
        {
            warn!("control.lost error={error:?}");
        }
    }
}

/// One of the places for clients; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn of(clients: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(clients));
        (clients.fetch_add(1, Ordering::AcqRel) < MOST_CLIENTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Client {
    stream: UnixStream,
    received: Vec<u8>,
    uid: Option<u32>,
    pid: Option<i32>,
    place: Option<Place>,
}

impl Client {
    fn who(&self) -> String {
        let number = |n: Option<i64>| n.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
        let (uid, pid) = (self.uid.map(i64::from), self.pid.map(i64::from));
        format!("uid={} pid={}", number(uid), number(pid))
    }

    fn serve(mut self, controlled: &dyn Controlled) {
        loop {
            let answered = match self.line() {
                Ok(Some(line)) => self.answer(&line, controlled),
                Ok(None) => return,
                Err(error @ (LineError::TooLong | LineError::Half | LineError::Late)) => {
                    debug!(
                        "control.cut_off {} reason={:?}",
                        self.who(),
                        error.to_string()
                    );
                    let _ = self.write(&refusal(&Refused::from(error)));
                    self.linger();
                    return;
                }
                Err(LineError::Broken(error)) => {
                    debug!(
                        "control.cut_off {} reason={:?}",
                        self.who(),
                        error.to_string()
                    );
                    return;
                }
            };
            if let Err(error) = answered {
                debug!(
                    "control.cut_off {} reason={:?}",
                    self.who(),
                    error.to_string()
                );
                return;
            }
        }
    }

    /// Lets the client read the last answer: what it sent and we left would make the system throw our words away.
    fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut waste = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // A timeout of zero is none, and refused.
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return;
            }
            if !matches!(self.stream.read(&mut waste), Ok(1..)) {
                return;
            }
        }
    }

    /// The next line; `None` when the client has closed in order.
    fn line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let until = Instant::now() + READ_PATIENCE;
        let mut looked = 0;
        loop {
            let fresh = self.received.get(looked..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', fresh) {
                let rest = self.received.split_off(looked + end + 1);
                return Ok(Some(std::mem::replace(&mut self.received, rest)));
            }
            looked = self.received.len();
            if looked > LONGEST_LINE {
                return Err(LineError::TooLong);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LineError::Late);
            }
            self.stream
                .set_read_timeout(Some(left))
                .map_err(LineError::Broken)?;
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) if looked == 0 => return Ok(None),
                Ok(0) => return Err(LineError::Half),
                Ok(read) => self
                    .received
                    .extend_from_slice(chunk.get(..read).unwrap_or_default()),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(LineError::Broken(error)),
            }
        }
    }

    fn answer(&self, line: &[u8], controlled: &dyn Controlled) -> io::Result<()> {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(error) => {
                debug!(
                    "control.refused {} error={:?}",
                    self.who(),
                    error.to_string()
                );
                return self.write(&refusal(&Refused::from(error)));
            }
        };
        let (name, changes) = (command.name(), command.changes());
        let result = match command {
            Command::Connections {
                peer,
                identity,
                listener,
            } => {
                debug!("control.command {} command={name}", self.who());
                let filter = Filter::new(peer.as_deref(), identity.as_deref(), listener.as_deref());
                return match filter {
                    Ok(filter) => self.connections(&filter, controlled),
                    Err(error) => self.write(&refusal(&Refused::from(error))),
                };
            }
            Command::Status {} => Ok(controlled.status()),
            Command::Certificates {} => Ok(controlled.certificates()),
            Command::Reload {} => controlled.reload(),
            Command::Changed { tables } => controlled.changed(tables),
            Command::Drain {} => controlled.drain(),
            Command::Close { connection } => controlled.close(connection),
            Command::LogLevel { set } => controlled.log_level(set.as_deref()),
            Command::KeyLog {
                peer,
                seconds,
                file,
                off,
            } => KeyLog::new(peer.as_deref(), seconds, file, off)
                .map_err(Refused::from)
                .and_then(|order| controlled.key_log(order)),
        };
        if changes {
            let error = result.as_ref().err().map(|refused| refused.error.as_str());
            info!(
                "control.command {} command={name} ok={} error={:?}",
                self.who(),
                error.is_none(),
                error.unwrap_or_default()
            );
        } else {
            debug!("control.command {} command={name}", self.who());
        }
        match result {
            Ok(result) => self.write(&json!({"ok": true, "result": result})),
            Err(refused) => self.write(&refusal(&refused)),
        }
    }

    /// There may be many, so they are written while they come.
    fn connections(&self, filter: &Filter, controlled: &dyn Controlled) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(32 * 1024, self.patient());
        out.write_all(b"{\"ok\":true,\"result\":{\"connections\":[")?;
        let mut first = true;
        let missing = controlled.connections(filter, &mut |connection| {
            if !std::mem::take(&mut first) {
                out.write_all(b",")?;
            }
            Ok(serde_json::to_writer(&mut out, &connection)?)
        })?;
        out.write_all(b"],\"missing\":")?;
        serde_json::to_writer(&mut out, &missing)?;
        out.write_all(b"}}\n")?;
        out.flush()
    }

    fn write(&self, answer: &Value) -> io::Result<()> {
        self.patient().write_all(&line_of(answer))
    }

    fn patient(&self) -> Patient<'_> {
        Patient {
            stream: &self.stream,
            until: Instant::now() + ANSWER_PATIENCE,
        }
    }
}

fn refusal(refused: &Refused) -> Value {
    if refused.faults.is_empty() {
        json!({"ok": false, "error": refused.error})
    } else {
        json!({"ok": false, "error": refused.error, "faults": refused.faults})
    }
}

fn line_of(answer: &Value) -> Vec<u8> {
    let mut line = answer.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Writes that wait for a client, but not for ever.
struct Patient<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Write for Patient<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream
            .set_write_timeout(Some(left.min(WRITE_PATIENCE)))?;
        match self.stream.write(octets) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
