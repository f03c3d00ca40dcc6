//! Tags for the To header of our answers (RFC 3261 §19.3): unguessable, and cheap.

use std::hash::{BuildHasher, Hash, RandomState};

/// Makes tags: a keyed hash over a counter, so that one tag tells nothing of the next.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    key: RandomState,
    count: u64,
}

/// 16 hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tag([u8; 16]);

impl Tags {
    pub(crate) fn next(&mut self) -> Tag {
        self.count = self.count.wrapping_add(1);
        Tag::of(self.key.hash_one(self.count))
    }

    /// A number that only these texts give, and that nobody can guess.
    pub(crate) fn mark(&self, texts: impl Hash) -> u64 {
        self.key.hash_one(texts)
    }
}

impl Tag {
    /// The tag that is this number.
    pub(crate) fn of(number: u64) -> Self {
        let mut bits = number;
        let mut digits = [b'0'; 16];
        for place in &mut digits {
            *place = match (bits & 0xf) as u8 {
                digit @ 0..10 => b'0' + digit,
                digit => b'a' + digit - 10,
            };
            bits >>= 4;
        }
        Self(digits)
    }
}

impl std::ops::Deref for Tag {
    type Target = str;

    fn deref(&self) -> &str {
        // Hexadecimal digits are always UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_differ_and_are_tokens() {
        let mut tags = Tags::default();
        let (one, two) = (tags.next(), tags.next());
        assert_ne!(&*one, &*two);
        assert!(one.bytes().all(|o| o.is_ascii_hexdigit()) && one.len() == 16);
    }
}
