//! The other end of the socket: one question, one answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::command::Refused;

/// Longest time that the server may take for an answer, or for more of it; a reload takes the longest.
const PATIENCE: Duration = Duration::from_secs(150);
/// First pause before a busy server is asked again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Longest time that a busy server is asked for; a silent client loses its place before that.
const LONGEST_ASKED: Duration = Duration::from_secs(10);
/// Longest answer. A connection takes less than a kilobyte.
const LONGEST_ANSWER: u64 = 512 * 1024 * 1024;

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or not to us.
    #[error("no server answers at {}: {source}", path.display())]
    NoServer {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the server has gone before it answered: {0}")]
    Broken(io::Error),
    /// The answer is none.
    #[error("the server's answer is not understood; is it of another version?")]
    NotUnderstood,
    /// The server has as many clients as it takes.
    #[error("the server is busy: {0}")]
    Busy(String),
    /// The server said no.
    #[error("{}", .0.error)]
    Refused(Refused),
}

/// A connection to a running server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Gives one command to the server at `path`, again after a while as long as it is busy with others.
    ///
    /// # Errors
    /// There is no server, it said no, has gone, or stays busy.
    pub fn ask(path: &Path, command: &Value) -> Result<Value, ClientError> {
        let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            match Self::connect(path).and_then(|mut client| client.call(command)) {
                Err(ClientError::Busy(_)) if start.elapsed() < LONGEST_ASKED => {
                    thread::sleep(pause)
                }
                answer => return answer,
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Connects to the control socket at `path`.
    ///
    /// # Errors
    /// [`ClientError::NoServer`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connected = UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        connected
            .map(|stream| Self {
                stream: BufReader::new(stream),
            })
            .map_err(|source| ClientError::NoServer {
                path: path.to_owned(),
                source,
            })
    }

    /// Gives a command, as `{"command":"status"}`, and waits for its result.
    ///
    /// # Errors
    /// The server said no, or has gone.
    pub fn call(&mut self, command: &Value) -> Result<Value, ClientError> {
        let line = format!("{command}\n");
        // A server that has no place for us says so without reading, so that its answer counts and not our failure.
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        let mut answer = Vec::new();
        let read = (&mut self.stream)
            .take(LONGEST_ANSWER)
            .read_until(b'\n', &mut answer);
        if answer.last() != Some(&b'\n') {
            let cut_off = || io::Error::from(io::ErrorKind::UnexpectedEof);
            let why = sent.err().or(read.err()).unwrap_or_else(cut_off);
            return Err(ClientError::Broken(why));
        }
        let Ok(Value::Object(mut answer)) = serde_json::from_slice(&answer) else {
            return Err(ClientError::NotUnderstood);
        };
        let is_good = answer.get("ok").and_then(Value::as_bool);
        match (is_good, answer.remove("result")) {
            (Some(true), Some(result)) => Ok(result),
            (Some(false), _) => {
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let faults = answer.get("faults").and_then(Value::as_array);
                if answer.get("busy").and_then(Value::as_bool) == Some(true) {
                    let why = answer.get("error").and_then(text).unwrap_or_default();
                    return Err(ClientError::Busy(why));
                }
                Err(ClientError::Refused(Refused {
                    error: answer.get("error").and_then(text).unwrap_or_default(),
                    faults: faults
                        .map(|faults| faults.iter().filter_map(text).collect())
                        .unwrap_or_default(),
                }))
            }
            _ => Err(ClientError::NotUnderstood),
        }
    }
}
