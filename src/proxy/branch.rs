//! The branch of our Via: RFC 3261 §8.1.1.7, in two parts as RFC 5393 §4.2.1 wants it.
//!
//! `z9hG4bK`, the key of the request as 16 hexadecimal digits, a dot, and what makes this branch differ from every other.

use smallvec::SmallVec;

use crate::sip::MAGIC_COOKIE;

/// Hexadecimal digits of a key.
const DIGITS: usize = 16;

/// Octets of a branch up to its opaque part.
const STEM: usize = MAGIC_COOKIE.len() + DIGITS + 1;

/// A branch that is being written: each relayed request has one, which fits on the stack.
pub(super) type Text = SmallVec<[u8; 80]>;

/// A branch for a request with this key ([`super::loop_key`]). `opaque` is a token that no other branch has.
pub fn make(loop_key: u64, opaque: &str) -> String {
    let mut branch = stem(loop_key).to_vec();
    branch.extend_from_slice(opaque.as_bytes());
    // A stem is ASCII.
    String::from_utf8(branch).unwrap_or_default()
}

/// What every branch for a request with this key begins with, and no other.
pub(super) fn stem(loop_key: u64) -> [u8; STEM] {
    let mut stem = [b'.'; STEM];
    let texts = MAGIC_COOKIE.iter().copied().chain(hex(loop_key));
    for (place, octet) in stem.iter_mut().zip(texts) {
        *place = octet;
    }
    stem
}

/// Appends a number in hexadecimal digits: as many as it needs, but no fewer than `least`.
pub(super) fn push_hex(number: u64, least: usize, text: &mut Text) {
    let needed = DIGITS - number.leading_zeros() as usize / 4;
    let digits = hex(number);
    let written = digits.get(DIGITS - needed.max(least).clamp(1, DIGITS)..);
    text.extend_from_slice(written.unwrap_or_default());
}

/// A number in all its hexadecimal digits.
fn hex(number: u64) -> [u8; DIGITS] {
    std::array::from_fn(
        |place| match (number >> (4 * (DIGITS - 1 - place))) as u8 & 0xf {
            digit @ 0..10 => b'0' + digit,
            digit => b'a' + digit - 10,
        },
    )
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
    fn a_number_has_the_digits_that_it_needs_and_no_fewer_than_are_wanted() {
        for (number, least, wanted) in [
            (0, 0, "0"),
            (0, 1, "0"),
            (0xf, 1, "f"),
            (0x10, 1, "10"),
            (0x10, 4, "0010"),
            (0xa0b0, 2, "a0b0"),
            (1, 16, "0000000000000001"),
            (u64::MAX, 1, "ffffffffffffffff"),
        ] {
            let mut text = Text::new();
            push_hex(number, least, &mut text);
            assert_eq!(&*text, wanted.as_bytes(), "{number:x} {least}");
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
