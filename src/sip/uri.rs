//! SIP and SIPS URIs (RFC 3261 §19.1), and the little that we must know of others.

use std::fmt;

use super::equivalence::{self, canonical_user, escapes_are_whole};
use super::host::{Host, parse_host_port};
use super::parameters::Parameters;
use super::text::{URI, URI_HEADER, USER, are_of};

/// A `sip:` or `sips:` URI, borrowed from the text it was parsed from.
#[derive(Debug, Clone, Copy)]
pub struct SipUri<'a> {
    /// Whether the scheme is `sips`.
    pub secure: bool,
    /// User part as written, escapes included; `None` without one.
    pub user: Option<&'a str>,
    /// Password as written; never logged.
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
        if !are_of(URI, text) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let (scheme, rest) = split_at_octet(text, b':')?;
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
        let (user, password, rest) = match split_at_octet(rest, b'@') {
            Some((userinfo, rest)) => match split_at_octet(userinfo, b':') {
                Some((user, password)) => (Some(user), Some(password), rest),
                None => (Some(userinfo), None, rest),
            },
            None => (None, None, rest),
        };
        if user.is_some_and(|u| u.is_empty() || !is_user(u))
            || password.is_some_and(|p| !is_user(p))
            || memchr::memchr(b'@', rest.as_bytes()).is_some()
        {
            return None;
        }
        let (rest, headers) = match split_at_octet(rest, b'?') {
            Some((rest, headers)) if are_headers(headers) => (rest, headers),
            Some(_) => return None,
            None => (rest, ""),
        };
        let end = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
        let (host_port, parameters) = rest.split_at_checked(end)?;
        let (host, port) = parse_host_port(host_port)?;
        if !escapes_are_whole(parameters) {
            return None;
        }
        Some(Self {
            secure,
            user,
            password,
            host,
            port,
            parameters: Parameters::parse(parameters.as_bytes())?,
            headers,
        })
    }

    /// `user@host` or `host` in the form that is compared: user with its escapes in one spelling, host in lower case;
    /// no scheme, password, port or parameter. This is the key of an address-of-record (RFC 3261 §10.3 step 5).
    pub fn address_of_record(&self) -> String {
        let host = self.host.canonical();
        match self.user {
            Some(user) => {
                let user = canonical_user(user);
                let mut text = String::with_capacity(user.len() + 1 + host.len());
                text.push_str(&user);
                text.push('@');
                text.push_str(&host);
                text
            }
            None => host.into_owned(),
        }
    }

    /// Equivalence by RFC 3261 §19.1.4. Symmetric and reflexive, but not transitive: a parameter that only one of two has
    /// is mostly ignored.
    pub fn is_equivalent(&self, other: &SipUri<'_>) -> bool {
        equivalence::equivalent(self, other)
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

/// What stands before the first octet of this kind, and what behind it.
fn split_at_octet(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(octet, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Whether this may be a user or a password.
fn is_user(text: &str) -> bool {
    are_of(USER, text.as_bytes()) && escapes_are_whole(text)
}

/// `headers` without its question mark: `hname=hvalue`, separated by ampersands.
fn are_headers(text: &str) -> bool {
    escapes_are_whole(text)
        && text.split('&').all(|header| {
            header.split_once('=').is_some_and(|(name, value)| {
                !name.is_empty()
                    && are_of(URI_HEADER, name.as_bytes())
                    && are_of(URI_HEADER, value.as_bytes())
            })
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn legal_uris_are_read_and_written_back() {
        for text in [
            "sip:alice@atlanta.com",
            "sip:alice:secretword@atlanta.com;transport=tcp",
            "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:+1-212-555-1212:1234@gateway.com;user=phone",
            "sips:1212@gateway.com",
            "sip:alice@192.0.2.4",
            "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
            "sip:alice;day=tuesday@atlanta.com",
            "sip:x@*.example.net",
            "sip:alice:@example.com",
            "sip:null-%00-null@example.com",
            "sip:*57#@example.com",
            "sip:a?b/c@example.com",
            "sip:[2001:db8::10]:5070",
            "sip:a@[2001:db8::10:5070];lr",
            "sip:h;x=[::1]:5060/a&b+$c",
            "sip:h;C%6Fntact=a%41",
            "sip:h?Subject=",
        ] {
            let uri = SipUri::parse(text).unwrap_or_else(|| unreachable!("{text}"));
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            "*",
            "]]garbage[[",
            "sip",
            "sip:",
            "sips:",
            "alice@example.com",
            "example.com",
            ":alice@example.com",
            "1tel:5",
            "tel:",
            "sip:@example.com",
            "sip::secret@example.com",
            "sip:alice@",
            "sip:alice@@example.com",
            "sip:a@b@example.com",
            "sip:alice@example.com:",
            "sip:alice@example.com:99999",
            "sip:alice@example.com:50b1",
            "sip:alice@2001:db8::10",
            "sip:al ice@example.com",
            " sip:alice@example.com",
            "sip:alice@example.com\r\nVia: x",
            "sip:alice@example.com\0",
            "sip:al%6@example.com",
            "sip:al%zz@example.com",
            "sip:%@example.com",
            "sip:alice:p%4@example.com",
            "sip:al[ce@example.com",
            "sip:m\u{fc}ller@example.com",
            "sip:alice@ex%61mple.com",
            "sip:alice@example.com;",
            "sip:alice@example.com;;lr",
            "sip:alice@example.com;=x",
            "sip:alice@example.com;x=",
            "sip:alice@example.com;x=%4",
            "sip:alice@example.com?",
            "sip:alice@example.com?subject",
            "sip:alice@example.com?=x",
            "sip:alice@example.com?a=b&",
            "sip:alice@example.com?a=b;c",
            "sip:alice@example.com?a=%",
            "<sip:alice@example.com>",
            "sip:alice@example.com>",
            "\"sip:alice@example.com",
        ] {
            assert!(Uri::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn parts_are_where_they_belong() {
        let uri = SipUri::parse("SIPS:a;b?c:p@Example.COM:5061;Transport=TLS;lr?x=y").unwrap();
        assert!(uri.secure);
        assert_eq!(uri.user, Some("a;b?c"));
        assert_eq!(uri.password, Some("p"));
        assert_eq!(uri.host, Host::Name("example.com"));
        assert_eq!(uri.port, Some(5061));
        assert_eq!(uri.parameters.value("transport"), Some(&b"TLS"[..]));
        assert_eq!(uri.parameters.value("LR"), Some(&b""[..]));
        assert_eq!(uri.parameters.value("maddr"), None);
        assert_eq!(uri.headers, "x=y");

        let ambiguous = SipUri::parse("sip:[2001:db8::10:5070]").unwrap();
        assert_eq!((ambiguous.user, ambiguous.port), (None, None));
    }

    #[test]
    fn other_schemes_are_kept_whole() {
        for (text, scheme, rest) in [
            ("tel:+358-555-1234567", "tel", "+358-555-1234567"),
            (
                "soap.beep://192.0.2.103:3002",
                "soap.beep",
                "//192.0.2.103:3002",
            ),
            ("urn:service:sos", "urn", "service:sos"),
        ] {
            match Uri::parse(text.as_bytes()).unwrap() {
                Uri::Other { scheme: s, rest: r } => assert_eq!((s, r), (scheme, rest)),
                Uri::Sip(uri) => unreachable!("{uri}"),
            }
        }
    }

    #[test]
    fn an_address_of_record_is_user_and_host_alone() {
        for (text, aor) in [
            ("sip:alice@example.com", "alice@example.com"),
            ("sips:alice@EXAMPLE.com.:5061;lr", "alice@example.com"),
            ("sip:Alice:secret@example.com", "Alice@example.com"),
            ("sip:%61%4Cice%2f@example.com?a=b", "aLice%2F@example.com"),
            ("sip:null-%00-null@example.com", "null-%00-null@example.com"),
            ("sip:example.com", "example.com"),
            ("sip:a@[2001:DB8::1]", "a@2001:db8::1"),
            (
                "sip:user;par=u%40example.net@example.com",
                "user;par=u%40example.net@example.com",
            ),
        ] {
            assert_eq!(SipUri::parse(text).unwrap().address_of_record(), aor);
        }
    }
}
