//! name-addr and addr-spec with parameters: From, To, Contact, Route, Referred-By (RFC 3261 §20.10, §25.1).

use super::parameters::Parameters;
use super::text::{is_blank, is_token_octet, split_list, split_quoted, trim, trim_start};
use super::uri::Uri;

/// One address of a header field.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// Display name as written, quotes included; empty without one.
    pub display: &'a [u8],
    /// The URI as written.
    pub text: &'a [u8],
    /// The URI.
    pub uri: Uri<'a>,
    /// Parameters of the header field (not those of the URI).
    pub parameters: Parameters<'a>,
}

impl<'a> Address<'a> {
    /// Takes exactly one address; `None` when the value is none or has more behind it.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = trim(value);
        let (display, rest) = if value.starts_with(b"\"") {
            split_quoted(value)?
        } else {
            match memchr::memchr(b'<', value) {
                Some(angle) => value.split_at_checked(angle)?,
                None => return Self::parse_addr_spec(value),
            }
        };
        if !value.starts_with(b"\"")
            && !display
                .iter()
                .all(|o| is_token_octet(*o) || is_blank(*o) || *o >= 0x80)
        {
            return None;
        }
        let inner = trim_start(rest).strip_prefix(b"<")?;
        let end = memchr::memchr(b'>', inner)?;
        let (text, rest) = inner.split_at_checked(end)?;
        Some(Self {
            display: trim(display),
            text,
            uri: Uri::parse(text)?,
            parameters: Parameters::parse(rest.get(1..)?)?,
        })
    }

    /// Without angle brackets all parameters are the header's, and the URI must have neither comma, semicolon nor
    /// question mark (RFC 3261 §20.10).
    fn parse_addr_spec(value: &'a [u8]) -> Option<Self> {
        let end = value
            .iter()
            .position(|o| *o == b';' || is_blank(*o))
            .unwrap_or(value.len());
        let (text, rest) = value.split_at_checked(end)?;
        if text.iter().any(|o| matches!(o, b',' | b'?')) {
            return None;
        }
        Some(Self {
            display: b"",
            text,
            uri: Uri::parse(text)?,
            parameters: Parameters::parse(rest)?,
        })
    }

    /// The `tag` parameter, if there is one with a value.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.parameters.value("tag").filter(|tag| !tag.is_empty())
    }
}

/// The addresses of a header value that may be a list; an element that is no address is an `Err` with its text.
pub fn addresses(value: &[u8]) -> impl Iterator<Item = Result<Address<'_>, &[u8]>> {
    split_list(value).map(|element| Address::parse(element).ok_or(element))
}
