//! What can be asked of a running server, and what does it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// A line of a client's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    /// How the server is.
    Status {},
    /// Its connections.
    Connections {
        /// Address of a peer, with a port or without.
        #[serde(default)]
        peer: Option<String>,
        /// Part of a name in the certificate of a peer.
        #[serde(default)]
        identity: Option<String>,
        /// Address and port of a listener, or the port alone.
        #[serde(default)]
        listener: Option<String>,
    },
    /// Its certificates.
    Certificates {},
    /// Load everything again.
    Reload {},
    /// The store was changed.
    Changed {
        /// Which tables.
        tables: Vec<String>,
    },
    /// End in peace.
    Drain {},
    /// Close a connection.
    Close {
        /// Its number.
        connection: u64,
    },
    /// What is logged; changes it if there are directives.
    LogLevel {
        /// `debug`, `transport=trace,info`, `default`.
        #[serde(default)]
        set: Option<String>,
    },
    /// The secrets of one peer's handshakes; tells how that stands if nothing is asked.
    KeyLog {
        /// Address of the peer, with a port or without.
        #[serde(default)]
        peer: Option<String>,
        /// For how long.
        #[serde(default)]
        seconds: Option<u64>,
        /// Where to.
        #[serde(default)]
        file: Option<PathBuf>,
        /// End it.
        #[serde(default)]
        off: bool,
    },
}

/// Why a line is no command.
#[derive(Debug, thiserror::Error)]
pub enum BadCommand {
    /// It is no JSON, or says something that no command has.
    #[error("this line is no command: {0}; expected one as {{\"command\":\"status\"}}")]
    Line(#[from] serde_json::Error),
    /// An address is none.
    #[error("{what}: {text:?} is no {expected}")]
    Address {
        /// The member.
        what: &'static str,
        /// What it says.
        text: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A key log needs all of it.
    #[error("keylog needs peer, seconds and file, or off alone")]
    KeyLog,
}

/// Why a line of a client's has not been read to its end.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is too long.
    #[error("a line may have {longest} bytes", longest = super::LONGEST_LINE)]
    TooLong,
    /// It ends without a line feed.
    #[error("the line is cut off: it has to end with a line feed")]
    Half,
    /// It did not come in time.
    #[error("nothing came in time")]
    Late,
    /// The socket is broken.
    #[error("{0}")]
    Broken(io::Error),
}

impl Command {
    /// Understands a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, BadCommand> {
        Ok(serde_json::from_slice(line)?)
    }

    /// Its word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status {} => "status",
            Self::Connections { .. } => "connections",
            Self::Certificates {} => "certificates",
            Self::Reload {} => "reload",
            Self::Changed { .. } => "changed",
            Self::Drain {} => "drain",
            Self::Close { .. } => "close",
            Self::LogLevel { .. } => "loglevel",
            Self::KeyLog { .. } => "keylog",
        }
    }

    /// Whether it changes the server, and not only looks.
    pub fn changes(&self) -> bool {
        match self {
            Self::Status {} | Self::Connections { .. } | Self::Certificates {} => false,
            Self::LogLevel { set } => set.is_some(),
            Self::KeyLog { off, peer, .. } => *off || peer.is_some(),
            Self::Reload {} | Self::Changed { .. } | Self::Drain {} | Self::Close { .. } => true,
        }
    }
}

/// Which connections are wanted; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    peer: Option<(IpAddr, Option<u16>)>,
    /// Lower case.
    identity: Option<String>,
    listener: Option<(Option<IpAddr>, u16)>,
}

impl Filter {
    /// Of the members of a command.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(
        peer: Option<&str>,
        identity: Option<&str>,
        listener: Option<&str>,
    ) -> Result<Self, BadCommand> {
        Ok(Self {
            peer: peer.map(peer_address).transpose()?,
            identity: identity.map(str::to_lowercase),
            listener: listener.map(listener_address).transpose()?,
        })
    }

    /// Whether a connection is wanted. `names` is asked only where it matters.
    pub fn wants(
        &self,
        peer: SocketAddr,
        listener: SocketAddr,
        names: impl FnOnce() -> String,
    ) -> bool {
        self.peer.is_none_or(|(ip, port)| {
            ip.to_canonical() == peer.ip().to_canonical() && port.is_none_or(|p| p == peer.port())
        }) && self.listener.is_none_or(|(ip, port)| {
            port == listener.port() && ip.is_none_or(|ip| ip == listener.ip())
        }) && self
            .identity
            .as_ref()
            .is_none_or(|part| names().to_lowercase().contains(part))
    }
}

/// `192.0.2.7`, `192.0.2.7:5061`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5061`.
fn peer_address(text: &str) -> Result<(IpAddr, Option<u16>), BadCommand> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok((ip, None));
    }
    text.parse::<SocketAddr>()
        .map(|address| (address.ip(), Some(address.port())))
        .map_err(|_| BadCommand::Address {
            what: "peer",
            text: text.to_owned(),
            expected: "IP address, nor one with a port",
        })
}

/// `192.0.2.1:5061`, `5061`.
fn listener_address(text: &str) -> Result<(Option<IpAddr>, u16), BadCommand> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((None, port));
    }
    text.parse::<SocketAddr>()
        .map(|address| (Some(address.ip()), address.port()))
        .map_err(|_| BadCommand::Address {
            what: "listener",
            text: text.to_owned(),
            expected: "port, nor an IP address with one",
        })
}

/// What is asked about the secrets of handshakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLog {
    /// How it stands.
    Tell,
    /// End it.
    Off,
    /// Begin.
    On {
        /// Address of the peer.
        peer: IpAddr,
        /// One port of it only.
        port: Option<u16>,
        /// For how long.
        lasting: Duration,
        /// Where to.
        file: PathBuf,
    },
}

impl KeyLog {
    /// Of the members of a command.
    ///
    /// # Errors
    /// Some are missing, or too many, or the address is none.
    pub fn new(
        peer: Option<&str>,
        seconds: Option<u64>,
        file: Option<PathBuf>,
        off: bool,
    ) -> Result<Self, BadCommand> {
        match (peer, seconds, file, off) {
            (None, None, None, false) => Ok(Self::Tell),
            (None, None, None, true) => Ok(Self::Off),
            (Some(peer), Some(seconds), Some(file), false) => {
                let (peer, port) = peer_address(peer)?;
                Ok(Self::On {
                    peer,
                    port,
                    lasting: Duration::from_secs(seconds),
                    file,
                })
            }
            _ => Err(BadCommand::KeyLog),
        }
    }
}

/// Why the server did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// In one sentence.
    pub error: String,
    /// One by one, if there are several reasons.
    pub faults: Vec<String>,
}

impl<E: std::error::Error> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::because(error.to_string())
    }
}

impl Refused {
    /// For one reason.
    pub fn because(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            faults: Vec::new(),
        }
    }
}

/// A server that takes commands. Every answer is called for on a thread of a client's, so it may wait, but not for ever.
pub trait Controlled: Send + Sync {
    /// See [`Command::Status`].
    fn status(&self) -> Value;
    /// See [`Command::Connections`]: each to `tell` as soon as it is there. Answers with what could not be told.
    ///
    /// # Errors
    /// That of `tell`, whereupon no more is told.
    fn connections(
        &self,
        filter: &Filter,
        tell: &mut dyn FnMut(Value) -> io::Result<()>,
    ) -> io::Result<Vec<String>>;
    /// See [`Command::Certificates`].
    fn certificates(&self) -> Value;
    /// See [`Command::Reload`].
    ///
    /// # Errors
    /// What was in force stays in force.
    fn reload(&self) -> Result<Value, Refused>;
    /// See [`Command::Changed`].
    ///
    /// # Errors
    /// The tables were not taken up.
    fn changed(&self, tables: Vec<String>) -> Result<Value, Refused>;
    /// See [`Command::Drain`]; does not wait for the end.
    ///
    /// # Errors
    /// It is ending already.
    fn drain(&self) -> Result<Value, Refused>;
    /// See [`Command::Close`].
    ///
    /// # Errors
    /// There is no such connection.
    fn close(&self, connection: u64) -> Result<Value, Refused>;
    /// See [`Command::LogLevel`].
    ///
    /// # Errors
    /// A directive is none.
    fn log_level(&self, set: Option<&str>) -> Result<Value, Refused>;
    /// See [`Command::KeyLog`].
    ///
    /// # Errors
    /// There is one already, or the file cannot be made.
    fn key_log(&self, order: KeyLog) -> Result<Value, Refused>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_that_are_no_commands_are_refused() {
        for line in [
            "",
            "status",
            "{}",
            "[]",
            "{\"command\":\"dance\"}",
            "{\"command\":\"status\",\"more\":1}",
            "{\"command\":\"close\"}",
            "{\"command\":\"close\",\"connection\":-1}",
            "{\"command\":\"close\",\"connection\":1,\"connection\":2}",
            "{\"command\":\"changed\",\"tables\":\"user\"}",
            "{\"command\":\"status\"} {\"command\":\"drain\"}",
        ] {
            assert!(Command::parse(line.as_bytes()).is_err(), "{line}");
        }
        let deep = "[".repeat(60_000);
        assert!(Command::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn filter_wants_what_it_names() {
        let peer: SocketAddr = "192.0.2.7:40000".parse().unwrap();
        let listener: SocketAddr = "192.0.2.1:5061".parse().unwrap();
        for (situation, filter, wanted) in [
            ("no filter", (None, None, None), true),
            ("this address", (Some("192.0.2.7"), None, None), true),
            (
                "it as IPv6 has it",
                (Some("::ffff:192.0.2.7"), None, None),
                true,
            ),
            ("another address", (Some("192.0.2.8"), None, None), false),
            ("this port", (Some("192.0.2.7:40000"), None, None), true),
            ("another port", (Some("192.0.2.7:40001"), None, None), false),
            ("part of a name", (None, Some("ALICE@"), None), true),
            ("another name", (None, Some("bob"), None), false),
            ("the listener", (None, None, Some("192.0.2.1:5061")), true),
            ("its port", (None, None, Some("5061")), true),
            ("another port of ours", (None, None, Some("5060")), false),
            (
                "one of two does not fit",
                (Some("192.0.2.7"), Some("bob"), None),
                false,
            ),
        ] {
            let (by_peer, identity, by_listener) = filter;
            let filter = Filter::new(by_peer, identity, by_listener).unwrap();
            let names = || "sip:alice@example.org".to_owned();
            assert_eq!(filter.wants(peer, listener, names), wanted, "{situation}");
        }
        assert!(Filter::new(Some("phone"), None, None).is_err());
        assert!(Filter::new(None, None, Some("example.org:5061")).is_err());
    }

    #[test]
    fn key_log_is_asked_for_whole_or_not_at_all() {
        let file = || Some(PathBuf::from("/tmp/keys"));
        for (situation, asked, is_good) in [
            ("how it stands", (None, None, None, false), true),
            ("the end of it", (None, None, None, true), true),
            (
                "all",
                (Some("[2001:db8::1]:5061"), Some(60), file(), false),
                true,
            ),
            ("no file", (Some("192.0.2.7"), Some(60), None, false), false),
            ("no end", (Some("192.0.2.7"), None, file(), false), false),
            ("no peer", (None, Some(60), file(), false), false),
            (
                "on and off",
                (Some("192.0.2.7"), Some(60), file(), true),
                false,
            ),
            ("a name", (Some("phone"), Some(60), file(), false), false),
        ] {
            let (peer, seconds, file, off) = asked;
            let order = KeyLog::new(peer, seconds, file, off);
            assert_eq!(order.is_ok(), is_good, "{situation}");
        }
    }
}
