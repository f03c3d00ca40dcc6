//! Parameters of header fields and URIs: `;name=value` (RFC 3261 §25.1, generic-param, uri-parameter).

use super::text::{VALUE, is_of, split_quoted, trim, trim_start};

/// The parameters behind an address, a Via or a URI, still as text; each access scans it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parameters<'a>(&'a [u8]);

impl<'a> Parameters<'a> {
    /// Takes header parameters (`;tag=1;q=0.5`); `None` when the text is no sequence of generic-params.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = trim(text);
        let mut rest = text;
        while !rest.is_empty() {
            (_, _, rest) = next(rest)?;
        }
        Some(Self(text))
    }

    /// The same, with the [`Parameters::value`] of this name, in one scan.
    pub(super) fn parse_with(text: &'a [u8], name: &str) -> Option<(Self, Option<&'a [u8]>)> {
        let text = trim(text);
        let (mut rest, mut found) = (text, None);
        while !rest.is_empty() {
            let (other, value, behind) = next(rest)?;
            if found.is_none() && other.eq_ignore_ascii_case(name.as_bytes()) {
                found = Some(value.unwrap_or_default());
            }
            rest = behind;
        }
        Some((Self(text), found))
    }

    /// The text, with its first semicolon.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Value of the first parameter of this name (any letter case): `Some("")` when it stands without a value.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, v)| v.unwrap_or_default())
    }

    /// Names and values in order; a quoted value keeps its quotes.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, value, after) = next(rest)?;
            rest = after;
            Some((name, value))
        })
    }
}

/// Name, value and what is behind them.
type Parsed<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

/// One parameter. The text must begin with a semicolon.
fn next(text: &[u8]) -> Option<Parsed<'_>> {
    let text = trim_start(trim_start(text).strip_prefix(b";")?);
    let (name, rest) = split_while(text, |o| is_of(VALUE, o) && o != b'=')?;
    let rest = trim_start(rest);
    let Some(value) = rest.strip_prefix(b"=") else {
        return ends(rest).then_some((name, None, rest));
    };
    let value = trim_start(value);
    let (value, rest) = if value.starts_with(b"\"") {
        split_quoted(value)?
    } else {
        split_while(value, |o| is_of(VALUE, o))?
    };
    let rest = trim_start(rest);
    ends(rest).then_some((name, Some(value), rest))
}

/// Splits behind the octets that are such, of which there must be one.
fn split_while(text: &[u8], such: impl Fn(u8) -> bool) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|o| !such(*o)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|_| end > 0)
}

/// Whether a parameter may end before this.
fn ends(rest: &[u8]) -> bool {
    rest.is_empty() || rest.starts_with(b";")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    type Pair = (&'static str, Option<&'static str>);

    #[test]
    fn parameters_are_read_in_order() {
        let cases: [(&str, &[Pair]); 13] = [
            ("", &[]),
            ("  ", &[]),
            (";lr", &[("lr", None)]),
            (";tag=1;q=0.5", &[("tag", Some("1")), ("q", Some("0.5"))]),
            (" ; a = b\t;\tc ", &[("a", Some("b")), ("c", None)]),
            (";a=\"x;y,z\";b", &[("a", Some("\"x;y,z\"")), ("b", None)]),
            (
                ";a=\"x\\\"y\" ;b",
                &[("a", Some("\"x\\\"y\"")), ("b", None)],
            ),
            (";a=\"\"", &[("a", Some("\"\""))]),
            (
                ";received=[2001:db8::1]",
                &[("received", Some("[2001:db8::1]"))],
            ),
            (
                ";received=2001:db8::1",
                &[("received", Some("2001:db8::1"))],
            ),
            (";branch=z9hG4bKYQ==", &[("branch", Some("z9hG4bKYQ=="))]),
            (";a=1;A=2", &[("a", Some("1")), ("A", Some("2"))]),
            (
                ";+sip.instance=\"<urn:uuid:0>\"",
                &[("+sip.instance", Some("\"<urn:uuid:0>\""))],
            ),
        ];
        for (text, pairs) in cases {
            let parsed = Parameters::parse(text.as_bytes()).unwrap();
            let found: Vec<_> = parsed
                .iter()
                .map(|(n, v)| {
                    let text = |part| std::str::from_utf8(part).unwrap();
                    (text(n), v.map(text))
                })
                .collect();
            assert_eq!(found, pairs, "{text}");
            assert_eq!(parsed.is_empty(), pairs.is_empty());
        }
    }

    #[test]
    fn what_is_no_sequence_of_parameters_is_refused() {
        for text in [
            ";",
            ";;",
            ";a;",
            ";;a",
            "a",
            "a=b",
            ";=b",
            ";a=",
            ";a=;b",
            ";a b",
            ";a=b c",
            ";a=\"x",
            ";a=\"x\"y",
            ";a=x\"y\"",
            ";a,b",
            ";a=b,c",
            ";a=<b>",
            ";a=b?c",
            ";\0",
            ";a=\u{7f}",
            ";a=\u{fc}",
            ";\"a\"=b",
            ";a=b\r\nc",
        ] {
            assert!(Parameters::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_first_of_equal_names_counts() {
        let parameters = Parameters::parse(b";Tag=1;tag=2;lr").unwrap();
        assert_eq!(parameters.value("tag"), Some(&b"1"[..]));
        assert_eq!(parameters.value("lr"), Some(&b""[..]));
        assert_eq!(parameters.value("q"), None);
    }
}
