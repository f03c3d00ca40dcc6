//! The answer to a challenge as it stands in Authorization or Proxy-Authorization: RFC 3261 §25.1, RFC 7616 §3.4.

use std::borrow::Cow;
use std::fmt;

use crate::sip::{is_header_text, is_token, split_quoted};

/// Longest value that is looked at, in octets.
const MAX_VALUE: usize = 8192;

/// Longest parameter of those that we use, in octets.
pub(super) const MAX_TEXT: usize = 1024;

/// Most parameters, known or not.
const MAX_PARAMETERS: usize = 32;

/// Parameters that we use; each once.
const NAMES: [&str; 10] = [
    "username",
    "realm",
    "nonce",
    "uri",
    "response",
    "algorithm",
    "qop",
    "cnonce",
    "nc",
    "opaque",
];

/// What is wrong with an answer. Nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsFault {
    /// More octets or parameters than any client sends.
    #[error("too long: more than 8192 octets, 32 parameters, or 1024 octets in one of them")]
    TooLong,
    /// Not `name=value` with a token or a quoted-string, separated by commas.
    #[error("not a list of parameters (RFC 7616 §3.4)")]
    Syntax,
    /// A value that is not UTF-8, or has control characters.
    #[error("{0} is not plain UTF-8 text")]
    Text(&'static str),
    /// A parameter that must stand there does not.
    #[error("no {0}")]
    Missing(&'static str),
    /// A parameter that may stand there once stands there twice.
    #[error("{0} more than once")]
    Twice(&'static str),
    /// A nonce count of other than eight hexadecimal digits.
    #[error("nc is not eight hexadecimal digits")]
    NonceCount,
    /// Not as many hexadecimal digits as the algorithm has.
    #[error("response is not a hash of its algorithm")]
    Response,
    /// `username*` or `userhash`, which no challenge of ours invites.
    #[error("username* and userhash are not supported")]
    HiddenUsername,
}

/// The answer to a challenge: `Digest username="…", …`.
///
/// What its response was made of and the response itself are not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials<'m> {
    pub(super) username: Cow<'m, str>,
    pub(super) realm: Cow<'m, str>,
    pub(super) nonce: Cow<'m, str>,
    pub(super) uri: Cow<'m, str>,
    pub(super) response: Cow<'m, str>,
    pub(super) algorithm: Option<Cow<'m, str>>,
    pub(super) qop: Option<Cow<'m, str>>,
    pub(super) cnonce: Option<Cow<'m, str>>,
    /// As written, and its value.
    pub(super) nc: Option<(Cow<'m, str>, u32)>,
    pub(super) opaque: Option<Cow<'m, str>>,
}

impl<'m> Credentials<'m> {
    /// Reads one value of the field; `None` for another scheme than Digest. A quoted-string may stand where a token is
    /// asked for and the other way round, since both are seen; parameters that we do not know are passed over.
    ///
    /// # Errors
    /// It is an answer of this scheme, but none that can be judged.
    pub fn parse(value: &'m [u8]) -> Result<Option<Self>, CredentialsFault> {
        let value = skip_space(value);
        let end = value.iter().position(|o| is_space(*o));
        let (scheme, rest) = value.split_at(end.unwrap_or(value.len()));
        if !scheme.eq_ignore_ascii_case(b"Digest") {
            return Ok(None);
        }
        if value.len() > MAX_VALUE {
            return Err(CredentialsFault::TooLong);
        }
        Self::read(rest).map(Some)
    }

    fn read(mut rest: &'m [u8]) -> Result<Self, CredentialsFault> {
        let mut found: [Option<Cow<'m, str>>; NAMES.len()] = [const { None }; NAMES.len()];
        let mut parameters = 0;
        loop {
            // Elements may be empty (RFC 9110 §5.6.1.2).
            while let Some((o, after)) = rest.split_first()
                && (is_space(*o) || *o == b',')
            {
                rest = after;
            }
            if rest.is_empty() {
                break;
            }
            parameters += 1;
            if parameters > MAX_PARAMETERS {
                return Err(CredentialsFault::TooLong);
            }
            let (name, value, after) = parameter(rest).ok_or(CredentialsFault::Syntax)?;
            rest = after;
            if name.eq_ignore_ascii_case(b"username*")
                || (name.eq_ignore_ascii_case(b"userhash") && !value.eq_ignore_ascii_case(b"false"))
            {
                return Err(CredentialsFault::HiddenUsername);
            }
            for (slot, known) in found.iter_mut().zip(NAMES) {
                if name.eq_ignore_ascii_case(known.as_bytes()) {
                    if slot.is_some() {
                        return Err(CredentialsFault::Twice(known));
                    }
                    *slot = Some(text(value, known)?);
                }
            }
        }
        let [
            username,
            realm,
            nonce,
            uri,
            response,
            algorithm,
            qop,
            cnonce,
            nc,
            opaque,
        ] = found;
        let must = |value: Option<Cow<'m, str>>, name| value.ok_or(CredentialsFault::Missing(name));
        let own = Self {
            username: must(username, "username")?,
            realm: must(realm, "realm")?,
            nonce: must(nonce, "nonce")?,
            uri: must(uri, "uri")?,
            response: must(response, "response")?,
            algorithm,
            nc: nc.map(count).transpose()?,
            cnonce,
            opaque,
            qop,
        };
        if own.qop.is_some() {
            // The response is made of them then (RFC 7616 §3.4.1).
            own.nc.as_ref().ok_or(CredentialsFault::Missing("nc"))?;
            own.cnonce
                .as_ref()
                .ok_or(CredentialsFault::Missing("cnonce"))?;
        }
        Ok(own)
    }

    /// Who it says it is.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The realm that the client took out of the challenge.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The nonce of the challenge.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The digest-uri: the Request-URI as the client wrote it.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The algorithm, if it is named; MD5 is meant otherwise.
    pub fn algorithm(&self) -> Option<&str> {
        self.algorithm.as_deref()
    }

    /// The quality of protection, if one is named.
    pub fn qop(&self) -> Option<&str> {
        self.qop.as_deref()
    }

    /// The nonce count.
    pub fn nonce_count(&self) -> Option<u32> {
        self.nc.as_ref().map(|(_, count)| *count)
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .field("uri", &self.uri)
            .field("algorithm", &self.algorithm)
            .field("qop", &self.qop)
            .finish_non_exhaustive()
    }
}

/// Name, value without quotes but with its quoted-pairs (marked by a backslash), and what stands behind the parameter.
fn parameter(text: &[u8]) -> Option<(&[u8], Value<'_>, &[u8])> {
    let end = text.iter().position(|o| is_space(*o) || *o == b'=')?;
    let (name, rest) = text.split_at(end);
    let rest = skip_space(skip_space(rest).strip_prefix(b"=")?);
    let (value, rest) = if rest.first() == Some(&b'"') {
        let (quoted, rest) = split_quoted(rest)?;
        let inner = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        (Value::Quoted(inner), rest)
    } else {
        let end = rest.iter().position(|o| is_space(*o) || *o == b',');
        let (token, rest) = rest.split_at(end.unwrap_or(rest.len()));
        (Value::Token(token), rest)
    };
    let rest = skip_space(rest);
    let is_end = rest.first().is_none_or(|o| *o == b',');
    let is_whole = match value {
        Value::Token(token) => is_token(token),
        Value::Quoted(_) => true,
    };
    (is_token(name) && is_end && is_whole).then_some((name, value, rest))
}

#[derive(Debug, Clone, Copy)]
enum Value<'m> {
    Token(&'m [u8]),
    /// What stands between the quotes.
    Quoted(&'m [u8]),
}

impl Value<'_> {
    fn eq_ignore_ascii_case(self, other: &[u8]) -> bool {
        let (Self::Token(text) | Self::Quoted(text)) = self;
        text.eq_ignore_ascii_case(other)
    }
}

/// The text of a value, quoted-pairs undone.
fn text<'m>(value: Value<'m>, name: &'static str) -> Result<Cow<'m, str>, CredentialsFault> {
    let (Value::Token(octets) | Value::Quoted(octets)) = value;
    if octets.len() > MAX_TEXT {
        return Err(CredentialsFault::TooLong);
    }
    if !is_header_text(octets) {
        return Err(CredentialsFault::Text(name));
    }
    let text = std::str::from_utf8(octets).map_err(|_| CredentialsFault::Text(name))?;
    if matches!(value, Value::Token(_)) || !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        // A backslash at the end cannot be: it would have taken the closing quote with it.
        match letter {
            '\\' => plain.extend(letters.next()),
            other => plain.push(other),
        }
    }
    Ok(Cow::Owned(plain))
}

fn count(text: Cow<'_, str>) -> Result<(Cow<'_, str>, u32), CredentialsFault> {
    let is_count = text.len() == 8 && text.bytes().all(|o| o.is_ascii_hexdigit());
    match u32::from_str_radix(&text, 16) {
        Ok(count) if is_count => Ok((text, count)),
        _ => Err(CredentialsFault::NonceCount),
    }
}

/// What may stand between the parts: LWS, its line ends among it where nobody has unfolded them.
fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip_space(text: &[u8]) -> &[u8] {
    let kept = text.iter().position(|o| !is_space(*o));
    text.get(kept.unwrap_or(text.len())..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const LEAST: &str = r#"username="a", realm="r", nonce="n", uri="sip:h", response="0""#;

    fn parse(text: &str) -> Result<Option<Credentials<'_>>, CredentialsFault> {
        Credentials::parse(text.as_bytes())
    }

    #[test]
    fn what_clients_write_is_read() {
        let own = parse(
            "Digest username=\"bob \\\"the\\\" b\\\\b\",realm = \"biloxi.example.com\" , nonce=\"dcd98b\",\r\n \
             uri=\"sip:bob,alice@h\", QOP=\"auth\", nc=0000000A, cnonce=\"0a4f\", response=6629FAE4, \
             opaque=\"5ccc\", algorithm=\"MD5\",, x-other=\"a, b\", auts=,",
        );
        assert_eq!(own, Err(CredentialsFault::Syntax), "a token that is empty");
        let own = parse(
            "digest \tusername=\"bob \\\"the\\\" b\\\\b\",realm = \"biloxi.example.com\" , nonce=\"dcd98b\",\r\n \
             uri=\"sip:bob,alice@h\", QOP=\"auth\", nc=0000000A, cnonce=\"0a4f\", response=6629FAE4, \
             opaque=\"5ccc\", algorithm=\"MD5\",, x-other=\"a, b\", userhash=false,",
        );
        let own = own.unwrap().unwrap();
        assert_eq!(own.username(), r#"bob "the" b\b"#);
        assert_eq!(own.realm(), "biloxi.example.com");
        assert_eq!((own.nonce(), own.uri()), ("dcd98b", "sip:bob,alice@h"));
        assert_eq!((own.qop(), own.nonce_count()), (Some("auth"), Some(10)));
        assert_eq!((own.algorithm(), &*own.response), (Some("MD5"), "6629FAE4"));
        assert_eq!(own.opaque.as_deref(), Some("5ccc"));
        assert!(matches!(own.realm, Cow::Borrowed(_)));
    }

    #[test]
    fn what_cannot_be_judged_is_named() {
        use CredentialsFault::*;
        let long = |octets| format!("Digest {LEAST}, opaque=\"{}\"", "x".repeat(octets));
        let more = |text: &str| format!("Digest {LEAST}, {text}");
        let without = |name: &str| format!("Digest {}", LEAST.replace(name, "x"));
        for (situation, text, expected) in [
            ("all it needs", more(""), Ok(true)),
            ("another scheme", format!("Basic {LEAST}"), Ok(false)),
            (
                "another one that begins so",
                format!("Digestive {LEAST}"),
                Ok(false),
            ),
            ("nothing", String::new(), Ok(false)),
            ("a scheme", "Digest".to_owned(), Err(Missing("username"))),
            ("no username", without("username"), Err(Missing("username"))),
            ("no realm", without("realm"), Err(Missing("realm"))),
            ("no nonce", without("nonce"), Err(Missing("nonce"))),
            ("no uri", without("uri"), Err(Missing("uri"))),
            ("no response", without("response"), Err(Missing("response"))),
            (
                "qop without nc",
                more("qop=auth, cnonce=\"c\""),
                Err(Missing("nc")),
            ),
            (
                "qop without cnonce",
                more("qop=auth, nc=00000001"),
                Err(Missing("cnonce")),
            ),
            ("two users", more("Username=\"b\""), Err(Twice("username"))),
            (
                "two responses",
                more("response=\"0\""),
                Err(Twice("response")),
            ),
            ("twice what we do not know", more("x=1, x=1"), Ok(true)),
            ("nc of 7", more("nc=0000001"), Err(NonceCount)),
            ("nc of 9", more("nc=000000001"), Err(NonceCount)),
            ("nc with a sign", more("nc=+0000001"), Err(NonceCount)),
            ("nc of other letters", more("nc=0000000g"), Err(NonceCount)),
            (
                "a hidden name",
                more("username*=UTF-8''x"),
                Err(HiddenUsername),
            ),
            ("a hashed name", more("userhash=true"), Err(HiddenUsername)),
            ("a name in the clear", more("userhash=\"false\""), Ok(true)),
            ("a quote that stays open", more("x=\"1"), Err(Syntax)),
            ("a quote that is escaped", more("x=\"1\\\""), Err(Syntax)),
            ("no equals sign", more("x"), Err(Syntax)),
            ("no name", more("=1"), Err(Syntax)),
            ("no comma", more("x=\"1\" y=2"), Err(Syntax)),
            ("no comma behind a token", more("x=1 y=2"), Err(Syntax)),
            (
                "a control character",
                more("opaque=\"a\u{1}\""),
                Err(Text("opaque")),
            ),
            (
                "one in a quoted-pair",
                more("opaque=\"a\\\u{1}\""),
                Err(Text("opaque")),
            ),
            ("one in a name", more("a\0=1"), Err(Syntax)),
            ("as long as may be", long(MAX_TEXT), Ok(true)),
            ("one octet longer", long(MAX_TEXT + 1), Err(TooLong)),
            (
                "longer as a whole",
                more(&"a=b,".repeat(2100)),
                Err(TooLong),
            ),
            (
                "too many parameters",
                more(&"a=b,".repeat(28)),
                Err(TooLong),
            ),
            ("as many as may be", more(&"a=b,".repeat(27)), Ok(true)),
        ] {
            let found = parse(&text).map(|own| own.is_some());
            assert_eq!(found, expected, "{situation}");
        }
        let octets = b"Digest username=\"\xff\", realm=r, nonce=n, uri=u, response=0";
        assert_eq!(Credentials::parse(octets), Err(Text("username")));
    }

    #[test]
    fn debugging_shows_nothing_that_a_password_can_be_tried_on() {
        let text = format!(
            "Digest {}",
            LEAST
                .replace("\"0\"", "\"5ec7e7\"")
                .replace("\"n\"", "\"5ec7e7\"")
        );
        let shown = format!("{:?}", parse(&text));
        assert!(
            shown.contains("username") && !shown.contains("5ec7e7"),
            "{shown}"
        );
    }
}
