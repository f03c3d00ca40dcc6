//! Character classes and small scanners of the grammar (RFC 3261 §25.1).

/// Whether this octet may stand in a token.
pub(crate) fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// Whether this is a token: at least one octet, all of them token octets.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_octet)
}

/// Blank or tab: what is left of white space once folding is undone.
pub(crate) fn is_blank(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// The text without leading blanks.
pub(crate) fn trim_start(text: &[u8]) -> &[u8] {
    let kept = text
        .iter()
        .position(|o| !is_blank(*o))
        .unwrap_or(text.len());
    text.get(kept..).unwrap_or_default()
}

/// The text without trailing blanks.
pub(crate) fn trim_end(text: &[u8]) -> &[u8] {
    let kept = text
        .iter()
        .rposition(|o| !is_blank(*o))
        .map_or(0, |last| last + 1);
    text.get(..kept).unwrap_or_default()
}

/// The text without leading and trailing blanks.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// Splits behind a quoted-string that the text begins with (its opening quote included); `None` when it is not closed.
pub(crate) fn split_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut escaped = false;
    for (at, octet) in text.iter().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return text.split_at_checked(at + 1),
            _ => {}
        }
    }
    None
}

/// A decimal number of digits only; `None` for anything else or more than `u64` holds.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The elements of a comma-separated header value: commas in quoted strings and in `<…>` do not separate.
pub(crate) fn split_list(value: &[u8]) -> ListElements<'_> {
    ListElements { rest: Some(value) }
}

/// Iterator of [`split_list`].
#[derive(Debug, Clone)]
pub(crate) struct ListElements<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for ListElements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let (mut quoted, mut escaped, mut angle) = (false, false, false);
        for (at, octet) in text.iter().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' if !angle => quoted = !quoted,
                b'<' if !quoted => angle = true,
                b'>' if !quoted => angle = false,
                b',' if !quoted && !angle => {
                    let (element, rest) = text.split_at(at);
                    self.rest = rest.get(1..);
                    return Some(trim(element));
                }
                _ => {}
            }
        }
        Some(trim(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_no_separators() {
        assert!(is_token(b"aZ09-.!%*_+`'~"));
        for separator in b"()<>@,;:\\\"/[]?={} \t\0\x7f\x80#&$^|" {
            assert!(!is_token_octet(*separator), "{separator}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn numbers_have_digits_only_and_fit() {
        for (text, value) in [
            ("0", Some(0)),
            ("0068", Some(68)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999999", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1 ", None),
            ("0x1", None),
            ("1e3", None),
        ] {
            assert_eq!(number(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn blanks_are_trimmed_at_both_ends() {
        for (text, trimmed) in [("", ""), (" \t ", ""), (" a b\t", "a b"), ("a", "a")] {
            assert_eq!(trim(text.as_bytes()), trimmed.as_bytes());
        }
    }

    #[test]
    fn quoted_strings_end_at_their_own_quote() {
        for (text, split) in [
            ("\"a\"b", Some(("\"a\"", "b"))),
            ("\"a\\\"b\" c", Some(("\"a\\\"b\"", " c"))),
            ("\"\\\\\"b", Some(("\"\\\\\"", "b"))),
            ("\"a", None),
            ("\"a\\\"", None),
            ("a\"b\"", None),
            ("", None),
        ] {
            let split = split.map(|(a, b): (&str, &str)| (a.as_bytes(), b.as_bytes()));
            assert_eq!(split_quoted(text.as_bytes()), split, "{text}");
        }
    }

    #[test]
    fn lists_split_at_commas_outside_quotes_and_brackets() {
        for (value, elements) in [
            ("a", &["a"][..]),
            ("a , b,c", &["a", "b", "c"]),
            ("a,,", &["a", "", ""]),
            ("\"a,\\\",b\",c", &["\"a,\\\",b\"", "c"]),
            ("<a,b>,c", &["<a,b>", "c"]),
            ("<a\",b>,c", &["<a\",b>", "c"]),
            ("\"a,b", &["\"a,b"]),
        ] {
            let found: Vec<_> = split_list(value.as_bytes()).collect();
            let wanted: Vec<_> = elements.iter().map(|e| e.as_bytes()).collect();
            assert_eq!(found, wanted, "{value}");
        }
    }
}
