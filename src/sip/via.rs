//! Via (RFC 3261 §20.42) with `received` and `rport` (§18.2.1, RFC 3581).

use super::host::{Host, parse_host_port};
use super::parameters::Parameters;
use super::text::{is_token, split_list, trim, trim_start};

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
    /// Every message is asked for it two or three times.
    branch: Option<&'a [u8]>,
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
        let (host, port) = parse_host_port(sent_by)?;
        let (parameters, branch) = Parameters::parse_with(parameters, "branch")?;
        is_token(transport).then_some(Self {
            transport,
            sent_by,
            host,
            port,
            parameters,
            branch: branch.filter(|branch| !branch.is_empty()),
        })
    }

    /// The branch, if it has one with a value.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.branch
    }
}

/// The token before the next slash, and what is behind it, blanks around the slash dropped.
fn split_slash(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'/', text)?;
    let (token, rest) = text.split_at_checked(at)?;
    Some((trim(token), trim_start(rest.get(1..)?)))
}

/// The first value of a Via header field that may be a list.
pub(crate) fn first_value(field: &[u8]) -> &[u8] {
    split_list(field).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn via_values_are_read() {
        for (value, transport, sent_by, port, branch) in [
            (
                "SIP/2.0/TLS h;branch=z9hG4bK1",
                "TLS",
                "h",
                None,
                Some("z9hG4bK1"),
            ),
            (
                "SIP/2.0/UDP 192.0.2.1:5060",
                "UDP",
                "192.0.2.1:5060",
                Some(5060),
                None,
            ),
            (
                "sip/2.0/tls h:5061;rport",
                "tls",
                "h:5061",
                Some(5061),
                None,
            ),
            (
                "SIP  /   2.0\t/ TCP     h : 5062 ; branch =  b",
                "TCP",
                "h : 5062",
                Some(5062),
                Some("b"),
            ),
            (
                "SIP/2.0/UNKNOWN [2001:db8::9:1]",
                "UNKNOWN",
                "[2001:db8::9:1]",
                None,
                None,
            ),
            (
                "SIP/2.0/TLS [::1]:5061;received=[::2]",
                "TLS",
                "[::1]:5061",
                Some(5061),
                None,
            ),
            (
                "SIP/2.0/WSS df7jal23ls0d.invalid;branch",
                "WSS",
                "df7jal23ls0d.invalid",
                None,
                None,
            ),
        ] {
            let via = Via::parse(value.as_bytes()).unwrap_or_else(|| unreachable!("{value}"));
            assert_eq!(via.transport, transport.as_bytes());
            assert_eq!((via.sent_by, via.port), (sent_by, port));
            assert_eq!(via.branch(), branch.map(str::as_bytes));
        }
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for value in [
            "",
            "SIP/2.0/TLS",
            "SIP/2.0/TLS ",
            "SIP/2.0 TLS h",
            "SIP/2.0/ h",
            "SIP/2.0/T(S h",
            "SIP/3.0/TLS h",
            "HTTP/2.0/TLS h",
            "SIP/2.0/TLS h i",
            "SIP/2.0/TLS h:port",
            "SIP/2.0/TLS h:1 : 2",
            "SIP/2.0/TLS h : +1",
            "SIP/2.0/TLS 2001:db8::9:1",
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/2.0/TLS h;",
            "SIP/2.0/TLS h, SIP/2.0/TLS i",
            "SIP/2.0/TLS h\0",
        ] {
            assert!(Via::parse(value.as_bytes()).is_none(), "{value:?}");
        }
    }
}
