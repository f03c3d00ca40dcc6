//! Header fields of a request that go no further than us, and those that begin with us.

use std::borrow::Cow;

use crate::auth::DigestUser;
use crate::sip::{
    Address, HeaderName, Line, Request, Uri, canonical_user, is_header_text, list_elements,
    split_quoted,
};

/// Fields that are left out of a request that is sent on.
///
/// What the request would be no request without (Via, To, From, Call-ID, CSeq) always stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaveOut<'a> {
    /// All of this name: P-Asserted-Identity toward somebody who is not trusted, when Privacy asks for it (RFC 3325 §7).
    Every(HeaderName),
    /// Authorization and Proxy-Authorization for a realm of ours: nobody behind us has a use for it (RFC 3261 §22.3). One
    /// that names no realm stays.
    Credentials {
        /// The realm.
        realm: Cow<'a, str>,
    },
}

/// What is changed about the header fields of a request that is sent on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Fields that go no further.
    pub leave_out: Cow<'static, [LeaveOut<'static>]>,
    /// Header lines that are added, each with its CRLF.
    pub add: Box<[u8]>,
}

/// Who its sender says that a request is really from, which counts only if he is trusted: P-Asserted-Identity and the
/// P-Preferred-Identity that asks for one (RFC 3325 §5, §9.2).
pub(super) const ASSERTED: &[LeaveOut<'static>] = &[
    LeaveOut::Every(HeaderName::PAssertedIdentity),
    LeaveOut::Every(HeaderName::PPreferredIdentity),
];

impl LeaveOut<'_> {
    /// Whether this field is one.
    pub(super) fn is_met_by(&self, line: &Line<'_>) -> bool {
        match self {
            Self::Every(name) => line.name == *name,
            Self::Credentials { realm } => {
                matches!(
                    line.name,
                    HeaderName::ProxyAuthorization | HeaderName::Authorization
                ) && names_realm(line.value, realm)
            }
        }
    }
}

/// Whether the sender does not want to be named (RFC 3323 §4.2, RFC 3325 §9.3).
pub(super) fn is_private(request: &Request<'_>) -> bool {
    let mut fields = request.message.all(HeaderName::Privacy);
    fields.any(|value| {
        let mut values = value.split(|octet| *octet == b';');
        values.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"id"))
    })
}

/// The P-Asserted-Identity of who has proved a password (RFC 3325 §9.1), as repro writes it: with the display name and the
/// scheme of From.
pub(super) fn asserted(user: &DigestUser, from: &Address<'_>) -> Box<[u8]> {
    let scheme = match from.uri {
        Uri::Sip(sip) if sip.secure => "sips",
        _ => "sip",
    };
    let name = canonical_user(&user.user);
    let uri = format!("<{scheme}:{name}@{}>", user.domain);
    let mut line = b"P-Asserted-Identity: ".to_vec();
    if !from.display.is_empty() && is_header_text(from.display) {
        line.extend_from_slice(from.display);
        line.push(b' ');
    }
    line.extend_from_slice(uri.as_bytes());
    line.extend_from_slice(b"\r\n");
    line.into()
}

/// Whether credentials are for this realm: `scheme 1*SP name=value *(, name=value)` (RFC 3261 §20.28).
fn names_realm(credentials: &[u8], realm: &str) -> bool {
    let scheme = memchr::memchr2(b' ', b'\t', credentials).unwrap_or(credentials.len());
    let parameters = credentials.get(scheme..).unwrap_or_default();
    list_elements(parameters).any(|parameter| {
        let Some(equals) = memchr::memchr(b'=', parameter) else {
            return false;
        };
        let (name, value) = parameter.split_at(equals);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        name.trim_ascii().eq_ignore_ascii_case(b"realm") && is_quoted_or_plain(value, realm)
    })
}

/// Whether a value is this text: as a quoted-string with its escapes, or as it is.
fn is_quoted_or_plain(value: &[u8], text: &str) -> bool {
    let Some((quoted, _)) = split_quoted(value) else {
        return value == text.as_bytes();
    };
    let mut inner = quoted
        .get(1..quoted.len().saturating_sub(1))
        .unwrap_or_default()
        .iter();
    let unescaped = std::iter::from_fn(|| match inner.next() {
        Some(b'\\') => inner.next(),
        octet => octet,
    });
    unescaped.eq(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_by_their_realm() {
        for (credentials, wanted) in [
            ("Digest realm=\"example.org\"", true),
            (
                "Digest username=\"a\", realm=\"example.org\", nonce=\"n\"",
                true,
            ),
            (
                "digest username=\"a, realm=b\" ,\tREALM = \"ex\\ample.org\"",
                true,
            ),
            ("Digest\trealm=example.org", true),
            ("Digest realm=\"example.com\", realm=\"example.org\"", true),
            ("Digest realm=\"example.com\"", false),
            ("Digest realm=\"Example.org\"", false),
            ("Digest realm=\"example.org.example.com\"", false),
            ("Digest realm=\"example.or\"", false),
            ("Digest username=\"x, realm=\\\"example.org\\\"\"", false),
            ("Digest xrealm=\"example.org\"", false),
            ("Digest realm", false),
            ("Digest realm=", false),
            ("Digest", false),
            ("", false),
        ] {
            assert_eq!(
                names_realm(credentials.as_bytes(), "example.org"),
                wanted,
                "{credentials}"
            );
        }
    }
}
