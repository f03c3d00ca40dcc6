//! Questions to DNS, and what of their answers matters here.

use std::net::IpAddr;
use std::sync::Arc;

use super::ResolveError;
use crate::sip::Host;

/// Most records of one answer that are looked at.
pub(super) const MOST_RECORDS: usize = 32;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// NAPTR: which transports a domain prefers (RFC 3263 §4.1).
    Naptr,
    /// SRV: the servers of one transport (RFC 2782).
    Srv,
    /// A and AAAA, as far as their families are switched on.
    Addresses,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) name: Name,
}

/// A name that may be asked for: labels of letters, digits, `-` and `_`, lower case, no dot at its end. Whatever DNS or a
/// URI says becomes one of these or is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name(Arc<str>);

impl Name {
    /// Takes a name, one that is no address in disguise (see [`Host::parse`]).
    pub(super) fn new(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let Some(Host::Name(name)) = Host::parse(text) else {
            return None;
        };
        let fits = name.len() <= 253
            && !name.contains('*')
            && name.split('.').all(|label| (1..=63).contains(&label.len()));
        fits.then(|| Self(name.to_ascii_lowercase().into()))
    }

    /// The name of SRV records of this one.
    pub(super) fn below(&self, prefix: &str) -> Option<Self> {
        Self::new(&format!("{prefix}{}", self.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A NAPTR record that is of the shape that RFC 3263 §4.1 wants: flag "s", no regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Naptr {
    pub(super) order: u16,
    pub(super) preference: u16,
    pub(super) service: String,
    pub(super) replacement: Name,
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Srv {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    /// `None` for ".": the service is decidedly not there (RFC 2782).
    pub(super) target: Option<Name>,
}

/// The records of one answer that can be used; maybe none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Records {
    Naptr(Vec<Naptr>),
    Srv(Vec<Srv>),
    Addresses(Vec<IpAddr>),
}

/// What is known about a question.
pub(super) type Answer = Result<Arc<Records>, ResolveError>;

/// An answer with the time that it is good for; `None` when nobody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) ttl: Option<u32>,
}

impl Reply {
    pub(super) fn failed(error: ResolveError) -> Self {
        Self {
            answer: Err(error),
            ttl: None,
        }
    }
}

/// Whether an address that DNS gives may be sent to: `0.0.0.0` reaches this very host, and a group is nobody's server.
pub(super) fn is_of_one_host(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_dns_can_have_are_asked_for() {
        let label = "a".repeat(63);
        let long = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        for (text, name) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("_sips._tcp.example.com", Some("_sips._tcp.example.com")),
            (long.as_str(), Some(long.as_str())),
            ("", None),
            (".", None),
            ("a..b", None),
            ("*.example.com", None),
            ("192.0.2.1", None),
            ("192.0.2.1.", None),
            ("127.1", None),
            ("[2001:db8::1]", None),
            ("a b.example.com", None),
            ("a\\.b.example.com", None),
            ("ex\0ample.com", None),
            (&format!("a{label}.com"), None),
            (&format!("{long}b"), None),
        ] {
            assert_eq!(Name::new(text).as_ref().map(Name::as_str), name, "{text}");
        }
        // Long enough that its SRV records cannot exist.
        assert_eq!(
            Name::new(&long).and_then(|name| name.below("_sip._tcp.")),
            None
        );
    }
}
