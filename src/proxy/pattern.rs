//! The regular expressions of filters, static routes and the silo.
//!
//! repro: `std::regex` with `regex_search`: ECMAScript, case-sensitive, found anywhere in the subject. What a pattern
//! costs is bounded, however it is written and whatever a peer sends: repro's engine could be driven into exhausting its
//! stack by a long URI.

use std::fmt;

use fancy_regex::{BytesMode, Regex, RegexBuilder};

use super::ecmascript::{SyntaxFault, translate};

/// Longest pattern, in octets; repro's records hold no longer text.
const MAX_PATTERN: usize = 8192;
/// Longest subject that is searched, in octets: a pattern without back reference and look-ahead needs one pass over it.
const MAX_SUBJECT: usize = 8192;
/// The same for the other patterns, whose search may begin anew at each octet and look ahead from each.
const MAX_SUBJECT_BACKTRACKING: usize = 2048;
/// Steps back that the search of such a pattern may take.
const MAX_STEPS: usize = 5_000;
/// Memory for one compiled pattern, in octets: what a search costs grows with it too.
const MAX_COMPILED: usize = 1 << 18;

/// Why a text is no pattern that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no regular expression.
    #[error("at character {position}: {fault}")]
    Syntax {
        /// Which octet of the pattern, from 1.
        position: usize,
        /// What is wrong there.
        fault: &'static str,
    },
    /// It is too long.
    #[error("{length} octets are too long for a regular expression, 8192 is the most")]
    TooLong {
        /// Its length in octets.
        length: usize,
    },
    /// It needs too much memory.
    #[error("it needs too much memory: use smaller counts")]
    TooLarge,
}

impl From<SyntaxFault> for PatternError {
    fn from(fault: SyntaxFault) -> Self {
        Self::Syntax {
            position: fault.position + 1,
            fault: fault.fault,
        }
    }
}

/// Why a search has no answer. What that means is for the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// The text of the rule is no regular expression.
    Broken,
    /// The subject is longer than what is searched.
    TooLong,
    /// The search takes more steps than it may.
    TooCostly,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "it is no regular expression",
            Self::TooLong => "the header is too long for its regular expression",
            Self::TooCostly => "its regular expression takes too many steps back on this header",
        })
    }
}

/// A compiled regular expression.
pub(super) struct Pattern {
    regex: Regex,
    /// Number of its groups.
    groups: usize,
    max_subject: usize,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.regex.as_str())
    }
}

/// How many groups an operator's pattern has, once it is compiled as the rules of routes and filters are.
///
/// # Errors
/// It cannot be compiled; an empty one never matches and has none.
pub fn pattern_groups(text: &str) -> Result<usize, PatternError> {
    Pattern::new(text).map(|pattern| pattern.groups)
}

impl Pattern {
    /// Compiles a pattern.
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        Self::compiled(text, false)
    }

    /// The same for a subject in which letter case means nothing, as in a MIME type (RFC 2045 §5.1).
    pub(super) fn caseless(text: &str) -> Result<Self, PatternError> {
        Self::compiled(text, true)
    }

    fn compiled(text: &str, caseless: bool) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN {
            return Err(PatternError::TooLong { length: text.len() });
        }
        let translation = translate(text)?;
        let regex = RegexBuilder::new(&translation.text)
            .bytes_mode(BytesMode::Ascii)
            .case_insensitive(caseless)
            .backtrack_limit(MAX_STEPS)
            .delegate_size_limit(MAX_COMPILED)
            .max_prog_size(MAX_COMPILED / 16)
            .build()
            // The syntax is our own, so that only its size can be wrong with it.
            .map_err(|_| PatternError::TooLarge)?;
        Ok(Self {
            regex,
            groups: translation.groups,
            max_subject: match translation.backtracks {
                true => MAX_SUBJECT_BACKTRACKING,
                false => MAX_SUBJECT,
            },
        })
    }

    /// Whether it is found in the subject.
    pub(super) fn is_in(&self, subject: &[u8]) -> Result<bool, Undecided> {
        if subject.len() > self.max_subject {
            return Err(Undecided::TooLong);
        }
        let found = self.regex.is_match(subject);
        found.map_err(|_| Undecided::TooCostly)
    }

    /// What its groups have found in the subject, if that is wanted; `None` when it is not found there.
    pub(super) fn find<'s>(
        &self,
        subject: &'s [u8],
        want: Want,
    ) -> Result<Option<Captures<'s>>, Undecided> {
        if want == Want::Match {
            return Ok(self.is_in(subject)?.then(Captures::default));
        }
        if subject.len() > self.max_subject {
            return Err(Undecided::TooLong);
        }
        let found = self.regex.captures(subject);
        let found = found.map_err(|_| Undecided::TooCostly)?;
        Ok(found.map(|found| Captures {
            groups: self.groups,
            texts: std::array::from_fn(|group| found.get(group).map(|text| text.as_bytes())),
        }))
    }
}

/// Whether a search has to say what its groups have found: that costs many times as much as to say whether there is
/// something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Whether it is found.
    Match,
    /// What its groups have found, too.
    Captures,
}

impl Want {
    /// What a template with `$` or without needs.
    pub(super) fn of(template: &str) -> Self {
        match template.contains('$') {
            true => Self::Captures,
            false => Self::Match,
        }
    }
}

/// Octets that the groups of a pattern have found: those of `$1` to `$9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Captures<'s> {
    groups: usize,
    texts: [Option<&'s [u8]>; 10],
}

impl<'s> Captures<'s> {
    /// What this group has found: nothing when it had no part in the match; `None` when the pattern has no such group.
    pub(super) fn text(&self, group: usize) -> Option<&'s [u8]> {
        let text = self.texts.get(group)?;
        (group <= self.groups).then(|| text.unwrap_or_default())
    }

    /// Puts what was found in place of `$1` to `$9`; `None` when the result would be longer than `most` octets.
    ///
    /// Deviation: repro replaced one number after the other, so that a peer could write `$2` into its own user part
    /// and have it replaced. Here a text that was put in is not looked at again.
    pub(super) fn expand(&self, template: &str, most: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = template.as_bytes();
        while let Some((octet, after)) = rest.split_first() {
            let group = match (octet, after.first()) {
                (b'$', Some(digit @ b'1'..=b'9')) => self.text(usize::from(digit - b'0')),
                _ => None,
            };
            match group {
                Some(text) => {
                    out.extend_from_slice(text);
                    rest = after.get(1..).unwrap_or_default();
                }
                None => {
                    out.push(*octet);
                    rest = after;
                }
            }
            if out.len() > most {
                return None;
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_repro() {
        for (situation, pattern, subject, found) in [
            ("anywhere", "b+", "abbc", true),
            ("case matters", "B", "abc", false),
            ("anchored at both ends", "^abc$", "abc", true),
            ("the end is the end", "^abc$", "abc\n", false),
            ("a dot is no line end", "^a.c$", "a\nc", false),
            ("an escaped dot", "a\\.c", "abc", false),
            (
                "a needless escape",
                "\\@\\<\\-\\/\\:\\_\\>",
                "@<-/:_>",
                true,
            ),
            ("\\A is an A", "^\\A\\z\\h$", "Azh", true),
            ("a back reference", "(a|b)\\1", "abb", true),
            (
                "nothing, many times",
                "^a(?:){0}(?:)*(?:){2,3}b$",
                "ab",
                true,
            ),
            (
                "a back reference before a digit",
                "(a)\\1\\x30",
                "aa0",
                true,
            ),
            (
                "a back reference to a group without part",
                "(a)|b\\1$",
                "b",
                false,
            ),
            ("a look-ahead", "^sip:(?!spam)", "sip:spam@h", false),
            ("a look-ahead that holds", "^sip:(?=a)", "sip:a@h", true),
            ("a word", "\\bfoo\\b", "a foo b", true),
            ("no word", "\\bfoo\\B", "a foo b", false),
            ("counts", "^a{2,3}$", "aaaa", false),
            ("counts without end", "^a{2,}$", "aaaa", true),
            ("lazy", "^a+?b*?$", "aab", true),
            ("a class", "^[a-c\\d_]+$", "ab1_", true),
            ("a class turned round", "[^a-c]", "abc", false),
            ("a bracket in a class", "^[[]$", "[", true),
            ("two ampersands in a class", "^[a&&b]+$", "&ab", true),
            ("a tilde and hyphens in a class", "^[a~~b-]+$", "~-", true),
            ("a hyphen behind a class", "^[\\w-.]+$", "a-.b", true),
            ("a backspace in a class", "^[\\b]$", "\x08", true),
            ("a class by name", "^[[:digit:][:upper:]]+$", "1A", true),
            ("the empty class", "a[]", "a", false),
            ("its contrary", "a[^]", "a\n", true),
            ("] and } alone", "^a]}$", "a]}", true),
            (
                "hexadecimal and control",
                "^\\x41\\u0042\\cJ$",
                "AB\n",
                true,
            ),
            ("white space", "^\\s\\S$", " x", true),
            (
                "no letter beyond ASCII is one of a word",
                "^\\w+$",
                "m\u{fc}",
                false,
            ),
            (
                "octets beyond ASCII",
                "M\u{fc}ller",
                "\"M\u{fc}ller\"",
                true,
            ),
            (
                "one of them in a class",
                "M[\u{fc}]{2}ller",
                "M\u{fc}ller",
                true,
            ),
            ("empty alternatives", "^(a|)$", "", true),
            ("the empty pattern", "", "x", true),
            ("a dollar in the middle", "a$b", "a$b", false),
            (
                "alternatives have no anchors of others",
                "^a|b$",
                "xb",
                true,
            ),
            (
                "of the legacy data",
                "^sip:9([0-9]+)@example\\.org",
                "sip:9123@example.org;x",
                true,
            ),
            ("a quantified group", "^(?:ab){2}$", "abab", true),
        ] {
            let compiled = Pattern::new(pattern).unwrap_or_else(|e| panic!("{situation}: {e}"));
            assert_eq!(compiled.is_in(subject.as_bytes()), Ok(found), "{situation}");
            let captures = compiled.find(subject.as_bytes(), Want::Captures).unwrap();
            assert_eq!(captures.is_some(), found, "{situation}");
        }
    }

    #[test]
    fn subjects_need_not_be_text() {
        let pattern = Pattern::new("^a.\\xFF[^\\xfe]$").unwrap();
        assert_eq!(pattern.is_in(b"a\x80\xff\x00"), Ok(true));
        assert_eq!(pattern.is_in(b"a\x80\xff\xfe"), Ok(false));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_place() {
        for (pattern, place) in [
            ("(", Some(1)),
            ("a(b", Some(2)),
            ("a)", Some(2)),
            ("*a", Some(1)),
            ("a**", Some(3)),
            ("a++", Some(3)),
            ("^*", Some(2)),
            ("(?=a)*", Some(6)),
            ("(?<n>a)", Some(1)),
            ("(?i)a", Some(1)),
            ("a{", Some(2)),
            ("a{,3}", Some(2)),
            ("a{3,2}", Some(2)),
            ("a{1001}", Some(2)),
            ("a{99999999999}", Some(2)),
            ("{a}", Some(1)),
            ("a[b", Some(2)),
            ("[b-a]", Some(1)),
            ("[[:foo:]]", Some(1)),
            ("[[=a=]]", Some(1)),
            ("[\\1]", Some(1)),
            ("a\\", Some(2)),
            ("\\x4", Some(1)),
            ("\\u0100", Some(1)),
            ("(a\\1)", Some(3)),
            ("\\1(a)", Some(1)),
            (
                "((((((((((((((((((((((((((((((((()))))))))))))))))))))))))))))))))",
                Some(33),
            ),
            ("((a{1000}){1000}){1000}", None),
        ] {
            let found = match Pattern::new(pattern).unwrap_err() {
                PatternError::Syntax { position, .. } => Some(position),
                _ => None,
            };
            assert_eq!(found, place, "{pattern}");
        }
        let long = "a".repeat(MAX_PATTERN + 1);
        assert_eq!(
            Pattern::new(&long).unwrap_err(),
            PatternError::TooLong { length: 8193 }
        );
    }

    #[test]
    fn no_search_takes_long_whatever_a_peer_sends() {
        let hostile = |length| "a".repeat(length - 1) + "b";
        let decided = [
            "^(a+)+$",
            "^(a|aa)+$",
            "^(.*)*$",
            "(a*)*c",
            "^(([a-z])+.)+[A-Z]([a-z])+$",
            "(x+x+)+y",
            ".*.*.*.*=.*",
            "^(a?){500}a{500}$",
        ];
        let costly = [
            "^(a+)+\\1c$",
            "(?=(a+))a*b\\1c",
            "(a|aa)+\\1c",
            "^(?=(.*)*c).*$",
            "(.*)(.*)(.*)(.*)(.*)\\5c",
            "(?:a|(?=b))+c",
            "(?!b)(a+)+(?!c)$",
            "(a*)+(?=c)",
            "(?:(?=.*b)a)*c",
            "(?:(?=.*c)a|a)*c",
            "(?:(?=[^c]*b)(?:a|aa))*\\b\\Bc",
        ];
        for (patterns, length) in [
            (&decided[..], MAX_SUBJECT),
            (&costly, MAX_SUBJECT_BACKTRACKING),
        ] {
            for pattern in patterns {
                let (compiled, subject) = (Pattern::new(pattern).unwrap(), hostile(length));
                let start = Instant::now();
                let found = compiled.find(subject.as_bytes(), Want::Captures);
                let took = start.elapsed();
                assert!(took < Duration::from_secs(4), "{took:?} {pattern}");
                assert!(found.is_ok() || length < MAX_SUBJECT, "{pattern}");
                let longer = hostile(length + 1);
                let refused = Err(Undecided::TooLong);
                assert_eq!(compiled.find(longer.as_bytes(), Want::Captures), refused);
                assert_eq!(compiled.is_in(longer.as_bytes()), Err(Undecided::TooLong));
            }
        }
    }

    #[test]
    fn captures_are_put_into_a_template_once() {
        let pattern = Pattern::new("^sip:(\\w+)(-x)?@(.*)$").unwrap();
        let captures = pattern
            .find(b"sip:bob@h$1", Want::Captures)
            .unwrap()
            .unwrap();
        for (template, wanted) in [
            ("sip:$1@$3", "sip:bob@h$1"),
            ("$2", ""),
            ("$1$1", "bobbob"),
            ("$0$4$9$", "$0$4$9$"),
            ("$$1", "$bob"),
            ("", ""),
        ] {
            assert_eq!(
                captures.expand(template, 100).unwrap(),
                wanted.as_bytes(),
                "{template}"
            );
        }
        assert_eq!(captures.expand("$1$1", 5), None);
        assert_eq!(captures.expand("sip:", 3), None);
    }

    proptest! {
        #[test]
        fn what_is_read_as_a_pattern_is_one_for_the_engine_too(
            pattern in "([a-c@.]|[(|)]|\\(\\?[:=!]|\\[\\^?|[\\]*+?^$-]|\\{[0-3](,[3-9]?)?\\}|\\\\[bBdDsSwWnx0-9c@<]){0,12}",
            subject in "[a-d@0-3.-]{0,24}",
        ) {
            match Pattern::new(&pattern) {
                Ok(compiled) => {
                    let found = compiled.find(subject.as_bytes(), Want::Captures);
                    prop_assert_eq!(found.map(|f| f.is_some()), compiled.is_in(subject.as_bytes()));
                }
                Err(error) => prop_assert!(error != PatternError::TooLarge, "{}", pattern),
            }
        }
    }
}
