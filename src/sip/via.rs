//! Via (RFC 3261 §20.42) with `received` and `rport` (§18.2.1, RFC 3581).

use super::parameters::Parameters;
use super::text::{is_token, split_list, trim, trim_start};
use super::uri::{Host, parse_host_port};

/// Marks a branch that was made by RFC 3261 rules (§8.1.1.7).
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// One Via value.
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// Transport token as written: `TLS`, `TCP`, `UDP` …
    pub transport: &'a [u8],
    /// sent-by as written.
    pub sent_by: &'a str,
    /// Host of sent-by.
    pub host: Host<'a>,
    /// Port of sent-by, if written.
    pub port: Option<u16>,
    /// Parameters.
    pub parameters: Parameters<'a>,
}

impl<'a> Via<'a> {
    /// Takes exactly one Via value.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let (name, rest) = split_slash(trim(value))?;
        let (version, rest) = split_slash(rest)?;
        if !name.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
            return None;
        }
        let end = rest.iter().position(|o| matches!(o, b' ' | b'\t'))?;
        let (transport, rest) = rest.split_at_checked(end)?;
        let rest = trim_start(rest);
        let end = rest.iter().position(|o| *o == b';').unwrap_or(rest.len());
        let (sent_by, parameters) = rest.split_at_checked(end)?;
        let sent_by = std::str::from_utf8(trim(sent_by)).ok()?;
        let (host, port) = sent_by_host_port(sent_by)?;
        let parameters = Parameters::parse(parameters)?;
        is_token(transport).then_some(Self {
            transport,
            sent_by,
            host,
            port,
            parameters,
        })
    }

    /// The branch, if it has one with a value.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.parameters.value("branch").filter(|b| !b.is_empty())
    }
}

/// sent-by allows blanks around its colon.
fn sent_by_host_port(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    if let Some(parsed) = parse_host_port(text) {
        return Some(parsed);
    }
    let (host, port) = text.rsplit_once(':')?;
    let (host, _) = parse_host_port(host.trim_end())?;
    Some((host, Some(port.trim_start().parse().ok()?)))
}

/// The token before the next slash, and what is behind it, blanks around the slash dropped.
fn split_slash(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'/', text)?;
    let (token, rest) = text.split_at_checked(at)?;
    Some((trim(token), trim_start(rest.get(1..)?)))
}

/// The first value of a Via header field that may be a list, and whether more follow in it.
pub(super) fn first_value(field: &[u8]) -> &[u8] {
    split_list(field).next().unwrap_or_default()
}
