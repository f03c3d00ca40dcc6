//! SIP and SIPS URIs, and their comparison (RFC 3261 §19.1).

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parameters::Parameters;
use super::text::number;

/// A host as a URI or a Via has it.
#[derive(Debug, Clone, Copy)]
pub enum Host<'a> {
    /// A domain or host name, as written.
    Name(&'a str),
    /// An address literal; IPv6 without its brackets.
    Ip(IpAddr),
}

impl<'a> Host<'a> {
    /// Takes a host: an IPv4 literal, an IPv6 reference in brackets, or a name.
    ///
    /// Wider than the grammar in one way: `_` and `*` count as letters of a name, since peers do write them. Neither
    /// ever names an identity.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return ipv6(inner.strip_suffix(']')?).map(|ip| Self::Ip(IpAddr::V6(ip)));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Some(Self::Ip(IpAddr::V4(ip)));
        }
        let name_octet =
            |o: u8| o.is_ascii_alphanumeric() || matches!(o, b'-' | b'.' | b'_' | b'*');
        (!text.is_empty()
            && text.len() <= 255
            && !text.starts_with('.')
            && text.bytes().all(name_octet))
        .then_some(Self::Name(text))
    }

    /// The host in the form that is compared: lower case, without a trailing dot; addresses without brackets.
    pub fn canonical(&self) -> Cow<'a, str> {
        match self {
            Self::Name(name) => canonical_domain(name),
            Self::Ip(ip) => Cow::Owned(ip.to_string()),
        }
    }
}

/// A domain name in the form that is compared: lower case and without its trailing dot (RFC 3261 §19.1.4).
pub fn canonical_domain(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|o| o.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// An IPv6 literal. Three colons in a row are read as two (RFC 5118 §4.10 asks to tolerate them, RFC 5954 to write
/// only two).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().or_else(|| {
        text.contains(":::")
            .then(|| text.replacen(":::", "::", 1).parse().ok())?
    })
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Name(a), Self::Name(b)) => a
                .strip_suffix('.')
                .unwrap_or(a)
                .eq_ignore_ascii_case(b.strip_suffix('.').unwrap_or(b)),
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// `host[:port]`, as in URIs and in a Via's sent-by.
pub(super) fn parse_host_port(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    let split = match text.rfind(']') {
        Some(bracket) => text.get(bracket..)?.find(':').map(|colon| bracket + colon),
        None => text.find(':'),
    };
    let Some(colon) = split else {
        return Some((Host::parse(text)?, None));
    };
    let (host, port) = (text.get(..colon)?, text.get(colon + 1..)?);
    let port = number(port.as_bytes()).and_then(|p| u16::try_from(p).ok())?;
    Some((Host::parse(host)?, Some(port)))
}

/// A `sip:` or `sips:` URI, borrowed from the text it was parsed from.
#[derive(Debug, Clone, Copy)]
pub struct SipUri<'a> {
    /// Whether the scheme is `sips`.
    pub secure: bool,
    /// User part as written, escapes included; `None` without one.
    pub user: Option<&'a str>,
    /// Password as written; never compared, never logged.
    pub password: Option<&'a str>,
    /// Host.
    pub host: Host<'a>,
    /// Port, if written.
    pub port: Option<u16>,
    /// URI parameters, checked.
    pub parameters: Parameters<'a>,
    /// What stands behind `?`; empty without.
    pub headers: &'a str,
}

/// Any URI: one of ours, or one whose scheme we only name.
#[derive(Debug, Clone, Copy)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`.
    Sip(SipUri<'a>),
    /// Any other scheme, with what follows its colon.
    Other {
        /// Scheme as written.
        scheme: &'a str,
        /// The rest.
        rest: &'a str,
    },
}

impl<'a> Uri<'a> {
    /// Takes a whole URI, nothing around it. `None` when it is none: a blank, a control character, no scheme, a SIP
    /// URI that breaks the grammar.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if !text
            .iter()
            .all(|o| o.is_ascii_graphic() && !matches!(o, b'<' | b'>' | b'"'))
        {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let (scheme, rest) = text.split_once(':')?;
        if scheme.eq_ignore_ascii_case("sip") {
            return SipUri::parse_rest(false, rest).map(Self::Sip);
        }
        if scheme.eq_ignore_ascii_case("sips") {
            return SipUri::parse_rest(true, rest).map(Self::Sip);
        }
        let mut octets = scheme.bytes();
        let legal = octets.next().is_some_and(|o| o.is_ascii_alphabetic())
            && octets.all(|o| o.is_ascii_alphanumeric() || matches!(o, b'+' | b'-' | b'.'));
        (legal && !rest.is_empty()).then_some(Self::Other { scheme, rest })
    }

    /// The SIP URI, if it is one.
    pub fn sip(&self) -> Option<&SipUri<'a>> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other { .. } => None,
        }
    }
}

impl<'a> SipUri<'a> {
    /// Takes a whole `sip:` or `sips:` URI.
    pub fn parse(text: &'a str) -> Option<Self> {
        match Uri::parse(text.as_bytes())? {
            Uri::Sip(uri) => Some(uri),
            Uri::Other { .. } => None,
        }
    }

    /// What follows the scheme's colon.
    fn parse_rest(secure: bool, rest: &'a str) -> Option<Self> {
        // An `@` cannot stand anywhere but behind the userinfo, so that semicolons and question marks before it belong
        // to the user (RFC 4475 §3.1.1.9).
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        if rest.contains('@') {
            return None;
        }
        let (user, password) = match userinfo {
            None => (None, None),
            Some(info) => match info.split_once(':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(info), None),
            },
        };
        if user.is_some_and(|u| u.is_empty() || !is_user(u))
            || password.is_some_and(|p| !is_user(p))
        {
            return None;
        }
        let (rest, headers) = rest.split_once('?').unwrap_or((rest, ""));
        let end = rest.find(';').unwrap_or(rest.len());
        let (host_port, parameters) = rest.split_at_checked(end)?;
        let (host, port) = parse_host_port(host_port)?;
        Parameters::parse(parameters.as_bytes())?;
        let escapes = |text: &str| escapes_are_whole(text);
        if !escapes(parameters) || !escapes(headers) {
            return None;
        }
        Some(Self {
            secure,
            user,
            password,
            host,
            port,
            parameters: Parameters::checked(parameters.as_bytes()),
            headers,
        })
    }

    /// `user@host` or `host` in the form that is compared: user with its escapes in one spelling, host in lower case;
    /// no scheme, password, port or parameter. This is the key of an address-of-record (RFC 3261 §10.3 step 5).
    pub fn address_of_record(&self) -> String {
        let host = self.host.canonical();
        match self.user {
            Some(user) => format!("{}@{host}", canonical_user(user)),
            None => host.into_owned(),
        }
    }

    /// Equivalence by RFC 3261 §19.1.4.
    pub fn is_equivalent(&self, other: &SipUri<'_>) -> bool {
        self.secure == other.secure
            && self.user.map(canonical_user) == other.user.map(canonical_user)
            && self.password.map(canonical_user) == other.password.map(canonical_user)
            && self.host == other.host
            && self.port == other.port
            && parameters_agree(&self.parameters, &other.parameters)
            && parameters_agree(&other.parameters, &self.parameters)
            && same_headers(self.headers, other.headers)
    }
}

impl fmt::Display for SipUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = self.user {
            f.write_str(user)?;
            if let Some(password) = self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&String::from_utf8_lossy(self.parameters.as_bytes()))?;
        if !self.headers.is_empty() {
            write!(f, "?{}", self.headers)?;
        }
        Ok(())
    }
}

/// Whether each parameter of `a` agrees with `b`: one that both have is equal, and one of the five that change where a
/// request goes must not stand in `a` alone.
fn parameters_agree(a: &Parameters<'_>, b: &Parameters<'_>) -> bool {
    a.iter().all(|(name, value)| {
        let name = String::from_utf8_lossy(name);
        match b.value(&name) {
            Some(other) => {
                let value = value.unwrap_or_default();
                unescape(value).eq_ignore_ascii_case(&unescape(other))
            }
            None => !["user", "ttl", "method", "maddr", "transport"]
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n)),
        }
    })
}

/// Whether both have the same header components, in any order.
fn same_headers(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut parts: Vec<Vec<u8>> = text
            .split('&')
            .filter(|p| !p.is_empty())
            .map(|p| unescape(p.as_bytes()).to_ascii_lowercase())
            .collect();
        parts.sort();
        parts
    };
    sorted(a) == sorted(b)
}

/// Octets of `user`: unreserved, escaped, user-unreserved.
fn is_user(text: &str) -> bool {
    escapes_are_whole(text)
        && text
            .bytes()
            .all(|o| o == b'%' || is_unreserved(o) || b"&=+$,;?/#".contains(&o))
}

/// `unreserved` of RFC 3261 §25.1.
fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&octet)
}

/// Whether every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at + 1..at + 3) {
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
            _ => return false,
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    true
}

/// The octet that two hexadecimal digits stand for.
fn hex_octet(digits: &[u8]) -> Option<u8> {
    let digit = |o: u8| {
        char::from(o)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    match digits {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    }
}

/// A user part with its escapes in one spelling: an escaped unreserved octet is written plainly, every other escape in
/// upper case. Two users are the same exactly when these are (RFC 3261 §19.1.4).
pub fn canonical_user(user: &str) -> Cow<'_, str> {
    if !user.contains('%') {
        return Cow::Borrowed(user);
    }
    let mut plain = String::with_capacity(user.len());
    let mut rest = user;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let digits = after.as_bytes().get(..2).unwrap_or_default();
        match hex_octet(digits) {
            Some(octet) if is_unreserved(octet) => plain.push(char::from(octet)),
            Some(octet) => plain.push_str(&format!("%{octet:02X}")),
            None => plain.push('%'),
        }
        rest = match hex_octet(digits) {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The octets that a text with escapes stands for.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((octet, after)) = rest.split_first() {
        match (octet, after.get(..2).and_then(hex_octet)) {
            (b'%', Some(meant)) => {
                plain.push(meant);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                plain.push(*octet);
                rest = after;
            }
        }
    }
    plain
}
