//! The query of a filter: the operator's statement and what a request puts into it.
//!
//! Never put together as one text: `$1N` and `$2N` are places for parameters, whose values go to the data base beside the
//! statement. repro wrote the peer's octets into the statement.

use super::pattern::Captures;

/// A part of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'s> {
    /// The operator's text.
    Text(&'s str),
    /// `$1N` or `$2N`: what a group of the regular expression of a condition has found.
    Capture {
        /// 1 or 2.
        condition: u8,
        /// 1 to 9.
        group: u8,
    },
}

/// The parts of a statement in order.
pub fn pieces(statement: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = statement;
    std::iter::from_fn(move || {
        if let Some((capture, after)) = capture(rest) {
            rest = after;
            return Some(capture);
        }
        let end = rest
            .match_indices('$')
            .map(|(at, _)| at)
            .find(|at| rest.get(*at..).and_then(capture).is_some())
            .unwrap_or(rest.len());
        let (text, after) = rest.split_at_checked(end)?;
        rest = after;
        (!text.is_empty()).then_some(Piece::Text(text))
    })
}

/// The capture that this text begins with, and what is behind it.
fn capture(text: &str) -> Option<(Piece<'_>, &str)> {
    let rest = text.strip_prefix('$')?;
    match rest.as_bytes() {
        [condition @ b'1'..=b'2', group @ b'1'..=b'9', ..] => {
            let piece = Piece::Capture {
                condition: condition - b'0',
                group: group - b'0',
            };
            Some((piece, rest.get(2..)?))
        }
        _ => None,
    }
}

/// What a request puts into a statement, for the places that the statement has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FilterCaptures(Vec<(u8, u8, String)>);

impl FilterCaptures {
    /// Takes what the statement has places for. Octets that are no UTF-8 become replacement characters.
    pub(super) fn new(statement: &str, found: &[Captures<'_>; 2]) -> Self {
        let mut captures = Self::default();
        for piece in pieces(statement) {
            let Piece::Capture { condition, group } = piece else {
                continue;
            };
            let text = found
                .get(usize::from(condition) - 1)
                .and_then(|found| found.text(usize::from(group)));
            if let Some(text) = text
                && captures.text(condition, group).is_none()
            {
                let text = String::from_utf8_lossy(text).into_owned();
                captures.0.push((condition, group, text));
            }
        }
        captures
    }

    /// What this group has found; `None` when the condition has no such group.
    pub fn text(&self, condition: u8, group: u8) -> Option<&str> {
        self.0
            .iter()
            .find(|(c, g, _)| (*c, *g) == (condition, group))
            .map(|(_, _, text)| text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_text_and_places() {
        const C: fn(u8, u8) -> Piece<'static> =
            |condition, group| Piece::Capture { condition, group };
        let cases: [(&str, &[Piece<'_>]); 6] = [
            ("", &[]),
            ("SELECT 1", &[Piece::Text("SELECT 1")]),
            (
                "SELECT a WHERE b=$11 AND c='$22'",
                &[
                    Piece::Text("SELECT a WHERE b="),
                    C(1, 1),
                    Piece::Text(" AND c='"),
                    C(2, 2),
                    Piece::Text("'"),
                ],
            ),
            ("$11$12", &[C(1, 1), C(1, 2)]),
            ("$31 $10 $1 $$1x", &[Piece::Text("$31 $10 $1 $$1x")]),
            (
                "\u{fc}$29\u{fc}",
                &[Piece::Text("\u{fc}"), C(2, 9), Piece::Text("\u{fc}")],
            ),
        ];
        for (statement, wanted) in cases {
            let found: Vec<_> = pieces(statement).collect();
            assert_eq!(found, wanted, "{statement}");
        }
    }
}
