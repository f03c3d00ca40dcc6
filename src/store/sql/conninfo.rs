//! libpq's connection text: `key = value` pairs, values with blanks in quotes.
//!
//! Pure. Our own, because the client library adds up what stands twice and refuses what it does not know of TLS; libpq
//! takes the last. No fault shows a value: one of them is the password.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::target::{OptionsFault, TlsMode};

/// Keys that are used.
const KNOWN: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// Keys that may be left out without anybody seeing a difference.
const IGNORED: [&str; 11] = [
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslcompression",
    "gssencmode",
    "krbsrvname",
];

/// A connection text, read.
#[derive(Default)]
pub(super) struct Conninfo(BTreeMap<String, String>);

impl Conninfo {
    /// Reads the text.
    pub(super) fn parse(text: &str) -> Result<Self, OptionsFault> {
        if text.trim_start().starts_with("postgres://")
            || text.trim_start().starts_with("postgresql://")
        {
            return Err(OptionsFault::Conninfo(
                "write \"key = value\" pairs; a URI cannot be put together with the other settings",
            ));
        }
        let mut pairs = BTreeMap::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=').ok_or(OptionsFault::Conninfo(
                "a word without \"=\"; a value with blanks stands in '…'",
            ))?;
            let key = key.trim_end();
            if key.is_empty() || key.contains(char::is_whitespace) {
                return Err(OptionsFault::Conninfo(
                    "a key that is no single word; a value with blanks stands in '…'",
                ));
            }
            let (value, after) = value(after.trim_start())?;
            if KNOWN.contains(&key) {
                if !value.is_empty() {
                    pairs.insert(key.to_owned(), value);
                }
            } else if !IGNORED.contains(&key) {
                return Err(OptionsFault::UnknownKey(
                    key.chars().filter(|c| !c.is_control()).take(40).collect(),
                ));
            }
            rest = after.trim_start();
        }
        Ok(Self(pairs))
    }

    /// The value of a key that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// `port`.
    pub(super) fn port(&self) -> Result<Option<u16>, OptionsFault> {
        self.text("port")
            .map(|port| match port.parse() {
                Ok(port) if port > 0 => Ok(port),
                _ => Err(OptionsFault::BadValue {
                    key: "port",
                    expected: "one port, 1-65535",
                }),
            })
            .transpose()
    }

    /// `hostaddr`.
    pub(super) fn host_address(&self) -> Result<Option<IpAddr>, OptionsFault> {
        self.text("hostaddr")
            .map(|address| {
                address.parse().map_err(|_| OptionsFault::BadValue {
                    key: "hostaddr",
                    expected: "one address",
                })
            })
            .transpose()
    }

    /// `sslmode`; as in libpq, `require` with a file of CAs checks against them.
    pub(super) fn tls_mode(&self) -> Result<Option<TlsMode>, OptionsFault> {
        self.text("sslmode")
            .map(|mode| match mode {
                "disable" => Ok(TlsMode::Off),
                "allow" | "prefer" => Ok(TlsMode::Prefer),
                "require" if self.text("sslrootcert").is_some() => Ok(TlsMode::VerifyCa),
                "require" => Ok(TlsMode::Require),
                "verify-ca" => Ok(TlsMode::VerifyCa),
                "verify-full" => Ok(TlsMode::Verify),
                _ => Err(OptionsFault::BadValue {
                    key: "sslmode",
                    expected: "disable, allow, prefer, require, verify-ca or verify-full",
                }),
            })
            .transpose()
    }

    /// `sslcert` and `sslkey`, which go together.
    pub(super) fn client_certificate(&self) -> Result<Option<(PathBuf, PathBuf)>, OptionsFault> {
        match (self.text("sslcert"), self.text("sslkey")) {
            (Some(certificate), Some(key)) => Ok(Some((certificate.into(), key.into()))),
            (None, None) => Ok(None),
            _ => Err(OptionsFault::Conninfo("sslcert and sslkey go together")),
        }
    }
}

/// The value at the front, and what comes after it.
fn value(text: &str) -> Result<(String, &str), OptionsFault> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    let quoted = text.starts_with('\'');
    if quoted {
        chars.next();
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, escaped)) => value.push(escaped),
                None => return Err(OptionsFault::Conninfo("it ends with a backslash")),
            },
            '\'' if quoted => {
                return Ok((value, text.get(at + 1..).unwrap_or_default()));
            }
            c if !quoted && c.is_whitespace() => {
                return Ok((value, text.get(at..).unwrap_or_default()));
            }
            c => value.push(c),
        }
    }
    if quoted {
        return Err(OptionsFault::Conninfo("a quote that does not end"));
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that cannot go on says so by panicking"
    )]

    use super::*;

    #[test]
    fn texts_are_read_as_libpq_reads_them() {
        for (situation, text, key, value) in [
            ("plain", "host=db user=r", "user", Some("r")),
            ("blanks around =", " host = db ", "host", Some("db")),
            ("quoted", r"password='a b'", "password", Some("a b")),
            ("escaped quote", r"password='a\'b'", "password", Some("a'b")),
            ("escaped outside", r"password=a\ b", "password", Some("a b")),
            ("= in a value", "password=a=b", "password", Some("a=b")),
            ("the last counts", "host=a host=b", "host", Some("b")),
            ("empty", "host='' user=r", "host", None),
            ("nothing", "", "host", None),
            ("ignored", "gssencmode=disable host=a", "host", Some("a")),
        ] {
            let conninfo = Conninfo::parse(text).unwrap();
            assert_eq!(conninfo.text(key), value, "{situation}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_without_a_value() {
        for (situation, text) in [
            ("no =", "host=a secret"),
            ("quote without end", "password='secret"),
            ("backslash at the end", r"password=secret\"),
            ("URI", "postgresql://r:secret@db/repro"),
            ("service file", "service=secret"),
        ] {
            let fault = Conninfo::parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(!fault.contains("secret"), "{situation}: {fault}");
        }
        let bad = Conninfo::parse("port=x sslmode=maybe hostaddr=db sslcert=c").unwrap();
        assert!(bad.port().is_err() && bad.tls_mode().is_err());
        assert!(bad.host_address().is_err() && bad.client_certificate().is_err());
    }

    #[test]
    fn sslmode_is_a_mode_of_ours() {
        for (text, mode) in [
            ("", None),
            ("sslmode=disable", Some(TlsMode::Off)),
            ("sslmode=allow", Some(TlsMode::Prefer)),
            ("sslmode=require", Some(TlsMode::Require)),
            ("sslmode=require sslrootcert=x", Some(TlsMode::VerifyCa)),
            ("sslmode=verify-full", Some(TlsMode::Verify)),
        ] {
            assert_eq!(
                Conninfo::parse(text).unwrap().tls_mode(),
                Ok(mode),
                "{text}"
            );
        }
    }
}
