//! Character classes and small scanners of the grammar (RFC 3261 §25.1).

use std::io::Write as _;
use std::net::IpAddr;

/// `token`.
pub(crate) const TOKEN: u8 = 1;
/// What an unquoted parameter value may have: token, host (with IPv6 reference), param-unreserved.
///
/// Wider than the grammar by what cannot be misread, above all the `=` of a branch or tag in base64.
pub(crate) const VALUE: u8 = 1 << 1;
/// `user`, its escapes among it. Wider than the grammar by `#`, which phones send unescaped in what was dialled.
pub(crate) const USER: u8 = 1 << 2;
/// `hname` and `hvalue` of a URI, with their escapes.
pub(crate) const URI_HEADER: u8 = 1 << 3;
/// `unreserved`.
pub(crate) const UNRESERVED: u8 = 1 << 4;
/// `reserved`.
pub(crate) const RESERVED: u8 = 1 << 5;
/// Any octet of any URI: neither a blank nor what stands around URIs.
pub(crate) const URI: u8 = 1 << 6;

/// The classes of each octet.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut octet: u8 = 0;
    while octet < 128 {
        let alphanum = octet.is_ascii_alphanumeric();
        let unreserved = alphanum
            || matches!(
                octet,
                b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
            );
        let token = alphanum
            || matches!(
                octet,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        let value = octet.is_ascii_graphic()
            && !matches!(octet, b'"' | b',' | b';' | b'<' | b'>' | b'?' | b'\\');
        let user = unreserved
            || matches!(
                octet,
                b'%' | b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/' | b'#'
            );
        let uri_header =
            unreserved || matches!(octet, b'%' | b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$');
        let reserved = matches!(
            octet,
            b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
        );
        let uri = octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"');
        // The index is below 128.
        #[expect(clippy::indexing_slicing, reason = "`get_mut` is not const enough")]
        {
            classes[octet as usize] = (token as u8 * TOKEN)
                | (value as u8 * VALUE)
                | (user as u8 * USER)
                | (uri_header as u8 * URI_HEADER)
                | (unreserved as u8 * UNRESERVED)
                | (reserved as u8 * RESERVED)
                | (uri as u8 * URI);
        }
        octet += 1;
    }
    classes
};

/// Whether this octet is of this class, or of one of these.
pub(crate) fn is_of(class: u8, octet: u8) -> bool {
    CLASSES
        .get(usize::from(octet))
        .is_some_and(|classes| classes & class != 0)
}

/// Whether all octets are of this class.
pub(crate) fn are_of(class: u8, text: &[u8]) -> bool {
    text.iter().all(|octet| is_of(class, *octet))
}

/// Whether this is a token: at least one octet, all of them token octets.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && are_of(TOKEN, text)
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

/// Appends a number in decimal digits.
pub(crate) fn write_number(mut number: usize, out: &mut Vec<u8>) {
    // As many as the largest has.
    let mut digits = [b'0'; 20];
    let mut written = 0;
    for place in digits.iter_mut().rev() {
        *place += u8::try_from(number % 10).unwrap_or(0);
        written += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - written..).unwrap_or_default());
}

/// Appends an address as it is written without brackets. Nearly every request has one of IPv4, and a formatter takes
/// longer for it than for all else that is written.
pub(crate) fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => {
            for (place, octet) in ip.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                write_number(usize::from(octet), out);
            }
        }
        IpAddr::V6(ip) => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{ip}");
        }
    }
}

/// Whether this may stand in a header value: no control character but a tab, so that no reader finds the end of a line, or
/// of the text, in the middle of it.
pub(crate) fn is_header_text(text: &[u8]) -> bool {
    text.iter().all(|o| !o.is_ascii_control() || *o == b'\t')
}

/// Whether these are header fields that may be added to a message: one a line, each line ended by CRLF.
pub(crate) fn are_header_lines(mut lines: &[u8]) -> bool {
    while !lines.is_empty() {
        let Some(end) = memchr::memmem::find(lines, b"\r\n") else {
            return false;
        };
        let (line, rest) = lines.split_at(end);
        let named = memchr::memchr(b':', line)
            .and_then(|colon| line.get(..colon))
            .is_some_and(is_token);
        if !named || !is_header_text(line) {
            return false;
        }
        lines = rest.get(2..).unwrap_or_default();
    }
    true
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
        // Most values have one element.
        if memchr::memchr(b',', text).is_none() {
            return Some(trim(text));
        }
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
            assert!(!is_of(TOKEN, *separator), "{separator}");
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
    fn numbers_are_written_as_they_are_read() {
        for number in [0, 7, 10, 69, 255, 65_536, usize::MAX] {
            let mut out = b"x".to_vec();
            write_number(number, &mut out);
            assert_eq!(out, format!("x{number}").as_bytes());
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
    fn header_lines_are_whole_and_nothing_else() {
        for (lines, good) in [
            ("", true),
            ("A: b\r\n", true),
            ("A:\r\n", true),
            ("A: \tb\u{fc}\r\nB-C: d: e\r\n", true),
            ("A: b", false),
            ("A: b\n", false),
            ("A: b\r\nC: d", false),
            ("\r\n", false),
            ("A: b\r\n\r\n", false),
            ("A: b\r\n c\r\n", false),
            ("A b\r\n", false),
            (": b\r\n", false),
            ("A : b\r\n", false),
            ("A: b\nC: d\r\n", false),
            ("A: b\rC: d\r\n", false),
            ("A: b\r\r\n", false),
            ("A: b\0\r\n", false),
            ("A: \"\\\u{7f}\"\r\n", false),
        ] {
            assert_eq!(are_header_lines(lines.as_bytes()), good, "{lines:?}");
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
