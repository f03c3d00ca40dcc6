//! The branch of our Via: RFC 3261 §8.1.1.7, in two parts as RFC 5393 §4.2.1 wants it.
//!
//! `z9hG4bK`, the key of the request as 16 hexadecimal digits, a dot, and what makes this branch differ from every other.

use crate::sip::MAGIC_COOKIE;

/// Hexadecimal digits of a key.
const DIGITS: usize = 16;

/// A branch for a request with this key ([`super::loop_key`]). `opaque` is a token that no other branch has.
pub fn make(loop_key: u64, opaque: &str) -> String {
    let mut branch = String::with_capacity(MAGIC_COOKIE.len() + DIGITS + 1 + opaque.len());
    branch.push_str(&String::from_utf8_lossy(MAGIC_COOKIE));
    for place in (0..DIGITS).rev() {
        // Four bits are always a digit.
        let bits = (loop_key >> (4 * place)) as u32 & 0xf;
        branch.extend(char::from_digit(bits, 16));
    }
    branch.push('.');
    branch.push_str(opaque);
    branch
}

/// Key and opaque part of a branch that [`make`] has made; `None` for one that it cannot have made.
pub fn parse(branch: &[u8]) -> Option<(u64, &str)> {
    let (key, rest) = branch
        .strip_prefix(MAGIC_COOKIE)?
        .split_at_checked(DIGITS)?;
    let key = key.iter().try_fold(0_u64, |key, octet| {
        let digit = match octet {
            b'0'..=b'9' => octet - b'0',
            b'a'..=b'f' => octet - b'a' + 10,
            _ => return None,
        };
        Some(key << 4 | u64::from(digit))
    })?;
    let opaque = std::str::from_utf8(rest.strip_prefix(b".")?).ok()?;
    Some((key, opaque))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_shows_what_it_was_made_of() {
        for (key, opaque, wanted) in [
            (0, "", "z9hG4bK0000000000000000."),
            (0xab, "w3-17", "z9hG4bK00000000000000ab.w3-17"),
            (u64::MAX, "a.b", "z9hG4bKffffffffffffffff.a.b"),
        ] {
            let branch = make(key, opaque);
            assert_eq!(branch, wanted);
            assert_eq!(parse(branch.as_bytes()), Some((key, opaque)));
        }
    }

    #[test]
    fn a_branch_of_somebody_else_is_none_of_ours() {
        for branch in [
            &b""[..],
            b"z9hG4bK",
            b"z9hG4bK-524287-1---a1b2c3d4",
            b"z9hG4bK00000000000000ab",
            b"z9hG4bK00000000000000ab-1",
            b"z9hG4bK0000000000000ab.1",
            b"z9hG4bK00000000000000AB.1",
            b"z9hG4bK+0000000000000ab.1",
            b"Z9HG4BK00000000000000ab.1",
            b"00000000000000ab.1",
            b"z9hG4bK00000000000000ab.\xff",
        ] {
            assert_eq!(parse(branch), None, "{}", branch.escape_ascii());
        }
    }
}
