//! name-addr and addr-spec with parameters: From, To, Contact, Route, Referred-By (RFC 3261 §20.10, §25.1).

use super::parameters::Parameters;
use super::text::{TOKEN, is_blank, is_of, split_list, split_quoted, trim, trim_start};
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
            // A bracket behind a semicolon is part of a parameter.
            match memchr::memchr2(b'<', b';', value) {
                Some(at) if value.get(at) == Some(&b'<') => value.split_at_checked(at)?,
                _ => return Self::parse_addr_spec(value),
            }
        };
        // Wider than the grammar: UTF-8 without quotes, which phones send.
        let unquoted = |o: &u8| is_of(TOKEN, *o) || is_blank(*o) || *o >= 0x80;
        if !display.starts_with(b"\"") && !display.iter().all(unquoted) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_have_display_uri_and_parameters() {
        for (value, display, uri, tag) in [
            ("sip:a@h", "", "sip:a@h", None),
            (" sip:a@h ", "", "sip:a@h", None),
            ("sip:a@h;tag=1", "", "sip:a@h", Some("1")),
            ("sip:a@h ; tag = 1", "", "sip:a@h", Some("1")),
            ("sip:a@h;tag=1;x=\"<\"", "", "sip:a@h", Some("1")),
            ("<sip:a@h>", "", "sip:a@h", None),
            ("<sip:a@h;lr?x=y> ;tag=1", "", "sip:a@h;lr?x=y", Some("1")),
            ("<sip:a@h>;TAG=1;tag=2", "", "sip:a@h", Some("1")),
            ("<sip:a@h>;tag", "", "sip:a@h", None),
            ("Alice <sip:a@h>", "Alice", "sip:a@h", None),
            ("caller<sip:a@h>", "caller", "sip:a@h", None),
            ("A. G. Bell <sip:a@h>", "A. G. Bell", "sip:a@h", None),
            ("M\u{fc}ller <sip:a@h>", "M\u{fc}ller", "sip:a@h", None),
            (
                "\"A <sip:x@y>, \\\" ;\"<sip:a@h>",
                "\"A <sip:x@y>, \\\" ;\"",
                "sip:a@h",
                None,
            ),
            ("\"\" <sip:a@h>", "\"\"", "sip:a@h", None),
            (
                "\"\\\u{0}\u{7}\" <sip:a@h>",
                "\"\\\u{0}\u{7}\"",
                "sip:a@h",
                None,
            ),
            ("<sip:a;tag=2@h>", "", "sip:a;tag=2@h", None),
            ("isbn:2983792873", "", "isbn:2983792873", None),
            (
                "<sip:x@*.example.net>;tag=1",
                "",
                "sip:x@*.example.net",
                Some("1"),
            ),
        ] {
            let address =
                Address::parse(value.as_bytes()).unwrap_or_else(|| unreachable!("{value}"));
            assert_eq!(address.display, display.as_bytes(), "{value}");
            assert_eq!(address.text, uri.as_bytes(), "{value}");
            assert_eq!(address.tag(), tag.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn what_is_no_single_address_is_refused() {
        for value in [
            "",
            " ",
            "*",
            "<>",
            "<alice@x>",
            "alice@x",
            "]]garbage[[",
            "Alice",
            "Alice sip:a@h",
            "<sip:a@h",
            "sip:a@h>",
            "< sip:a@h >",
            "<<sip:a@h>>",
            "<sip:a@h>>",
            "<sip:a@h> tag=1",
            "<sip:a@h>;",
            "<sip:a@h>;;tag=1",
            "<sip:a@h>, <sip:b@h>",
            "sip:a@h, sip:b@h",
            "sip:a@h,sip:b@h",
            "<sip:a@h>;tag=1, <sip:b@h>;tag=2",
            "sip:a@h?Route=x",
            "sip:a,b@h",
            "Bell, Alexander <sip:a@h>",
            "A@B <sip:a@h>",
            "\"Alice <sip:a@h>",
            "\"Alice\\\" <sip:a@h>",
            "\"Alice\" sip:a@h",
            "\"Alice\" Bell <sip:a@h>",
            "Alice \"Bell\" <sip:a@h>",
            "<sip:a@h\r\n>",
        ] {
            assert!(Address::parse(value.as_bytes()).is_none(), "{value:?}");
        }
    }

    #[test]
    fn lists_are_split_at_their_own_commas() {
        let list = b"\"A, B\" <sip:a,b@h>;x=\"1,2\" , sip:c@h,*,,<sip:d@h";
        let found: Vec<_> = addresses(list).map(|a| a.map(|a| a.text)).collect();
        assert_eq!(
            found,
            [
                Ok(&b"sip:a,b@h"[..]),
                Ok(b"sip:c@h"),
                Err(&b"*"[..]),
                Err(b""),
                Err(b"<sip:d@h"),
            ]
        );
    }
}
