//! What is looked for, and what is found.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::ResolveError;
use crate::sip::{Host, SipUri};

/// What carries a request (RFC 3261 §18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransportKind {
    /// Datagrams.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl TransportKind {
    /// Most secure first: the order in which they are preferred where a domain does not say (RFC 3263 §4.1 leaves it to us).
    pub(super) const PREFERRED: [Self; 3] = [Self::Tls, Self::Tcp, Self::Udp];

    /// Port of a URI that names none (RFC 3261 §19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }

    /// What stands before the domain in the name of its SRV records (RFC 3263 §4.2).
    pub(super) fn srv_prefix(self) -> &'static str {
        match self {
            Self::Udp => "_sip._udp.",
            Self::Tcp => "_sip._tcp.",
            Self::Tls => "_sips._tcp.",
        }
    }

    /// The transport of a NAPTR service field (RFC 3263 §9); `None` for what is no SIP or what we do not know.
    pub(super) fn of_service(service: &str) -> Option<Self> {
        [
            ("SIPS+D2T", Self::Tls),
            ("SIP+D2T", Self::Tcp),
            ("SIP+D2U", Self::Udp),
        ]
        .into_iter()
        .find_map(|(name, kind)| service.eq_ignore_ascii_case(name).then_some(kind))
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

/// The host of a URI, for as long as it is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetHost {
    /// A domain or host name, as written.
    Name(String),
    /// An address literal.
    Ip(IpAddr),
}

/// What RFC 3263 §4 takes of a URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// `maddr` or host.
    pub host: TargetHost,
    /// The port, if the URI has one.
    pub port: Option<u16>,
    /// The `transport` parameter.
    pub transport: Option<TransportKind>,
    /// A `sips` URI, or a rule of ours that demands TLS (RFC 3261 §26.2.2, RFC 5630 §5.3): nothing but TLS will do.
    pub secure: bool,
}

impl Wanted {
    /// What a URI asks for. `maddr` counts for `sip` only, as in repro: the name that a `sips` URI has to prove is its host.
    ///
    /// # Errors
    ///
    /// Its transport parameter names none that we know, or its `maddr` is no host.
    pub fn of(uri: &SipUri<'_>) -> Result<Self, ResolveError> {
        let transport = match uri.parameters.value("transport") {
            None => None,
            Some(word) => Some(
                TransportKind::PREFERRED
                    .into_iter()
                    .find(|kind| word.eq_ignore_ascii_case(kind.to_string().as_bytes()))
                    .ok_or(ResolveError::NoTransport)?,
            ),
        };
        let maddr = uri.parameters.value("maddr").filter(|_| !uri.secure);
        let host = match maddr {
            None => uri.host,
            Some(maddr) => std::str::from_utf8(maddr)
                .ok()
                .and_then(Host::parse)
                .ok_or(ResolveError::BadHost)?,
        };
        Ok(Self {
            host: match host {
                Host::Name(name) => TargetHost::Name(name.to_owned()),
                Host::Ip(ip) => TargetHost::Ip(ip),
            },
            port: uri.port,
            transport,
            secure: uri.secure,
        })
    }
}

/// One place to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Address and port.
    pub address: SocketAddr,
    /// What to speak there.
    pub transport: TransportKind,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_uri_says_host_port_transport_and_whether_it_must_be_secure() {
        let name = |text: &str| TargetHost::Name(text.to_owned());
        let ip = |text: &str| TargetHost::Ip(text.parse().unwrap());
        for (situation, uri, wanted) in [
            (
                "nothing but a domain",
                "sip:bob@example.com",
                Ok((name("example.com"), None, None, false)),
            ),
            (
                "port and transport",
                "sip:bob@example.com:5070;transport=TCP",
                Ok((
                    name("example.com"),
                    Some(5070),
                    Some(TransportKind::Tcp),
                    false,
                )),
            ),
            (
                "the deprecated transport=tls (RFC 3261 §26.2.2)",
                "sip:example.com;transport=tls",
                Ok((name("example.com"), None, Some(TransportKind::Tls), false)),
            ),
            (
                "sips over TCP is TLS",
                "sips:example.com;transport=tcp",
                Ok((name("example.com"), None, Some(TransportKind::Tcp), true)),
            ),
            (
                "an IPv6 reference",
                "sip:[2001:db8::1]",
                Ok((ip("2001:db8::1"), None, None, false)),
            ),
            (
                "maddr goes before the host (RFC 3263 §4)",
                "sip:example.com;maddr=192.0.2.1",
                Ok((ip("192.0.2.1"), None, None, false)),
            ),
            (
                "but not for sips",
                "sips:example.com;maddr=192.0.2.1",
                Ok((name("example.com"), None, None, true)),
            ),
            (
                "a transport that we do not know",
                "sip:example.com;transport=sctp",
                Err(ResolveError::NoTransport),
            ),
            (
                "a maddr that is no host",
                "sip:example.com;maddr=a..b",
                Err(ResolveError::BadHost),
            ),
        ] {
            let uri = SipUri::parse(uri).unwrap();
            let found = Wanted::of(&uri).map(|w| (w.host, w.port, w.transport, w.secure));
            assert_eq!(found, wanted, "{situation}");
        }
    }
}
