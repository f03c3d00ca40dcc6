//! What a filter says in repro's words, `<code>[, <reason>]`, as a value.

use crate::sip::StatusCode;

/// Longest reason phrase of an operator's, in octets; a longer one gives way to the usual phrase of the status.
const MAX_PHRASE: usize = 128;

/// What becomes of a request, as far as its filters are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It goes on.
    Continue,
    /// It is answered with this.
    Reject {
        /// Status of the answer.
        status: StatusCode,
        /// Its reason phrase, without any control character.
        phrase: Box<str>,
    },
}

impl Ruling {
    /// A rejection with the usual phrase of its status.
    pub(super) fn reject(status: StatusCode) -> Self {
        Self::Reject {
            status,
            phrase: status.phrase().into(),
        }
    }

    /// Reads `<code>[, <reason>]`; `None` when it does not begin with a number. A code of 400 to 699 rejects, any other
    /// goes on.
    ///
    /// Deviation: repro took 600 to 699 for "go on", so that a filter with `603` let through what it was made to refuse.
    /// A reason that cannot stand in a status line gives way to the usual one.
    pub fn parse(text: &str) -> Option<Self> {
        let (code, reason) = match text.split_once(',') {
            Some((code, reason)) => (code, reason.trim()),
            None => (text, ""),
        };
        let code = code.trim();
        let digits = code
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(code.len());
        let digits = code.get(..digits).filter(|digits| !digits.is_empty())?;
        let status = digits
            .parse()
            .ok()
            .filter(|code| *code >= 400)
            .and_then(StatusCode::new);
        let Some(status) = status else {
            return Some(Self::Continue);
        };
        if reason.is_empty() || !is_phrase(reason) {
            return Some(Self::reject(status));
        }
        Some(Self::Reject {
            status,
            phrase: reason.into(),
        })
    }
}

/// Whether this may stand in a status line (RFC 3261 §25.1, Reason-Phrase, where any UTF-8 is allowed).
fn is_phrase(text: &str) -> bool {
    text.len() <= MAX_PHRASE && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_reasons_are_read_as_repro_reads_them() {
        let long = format!("403,{}", "x".repeat(MAX_PHRASE + 1));
        for (text, wanted) in [
            ("403, Request Blocked", Some(Some((403, "Request Blocked")))),
            (
                "403,Request, Blocked ",
                Some(Some((403, "Request, Blocked"))),
            ),
            ("403", Some(Some((403, "Forbidden")))),
            (" 403 blocked", Some(Some((403, "Forbidden")))),
            ("403,", Some(Some((403, "Forbidden")))),
            ("400", Some(Some((400, "Bad Request")))),
            ("599, x", Some(Some((599, "x")))),
            ("603", Some(Some((603, "Decline")))),
            ("699, M\u{fc}de", Some(Some((699, "M\u{fc}de")))),
            ("403, a\r\nEvil: x", Some(Some((403, "Forbidden")))),
            ("403, a\u{85}b", Some(Some((403, "Forbidden")))),
            (&long, Some(Some((403, "Forbidden")))),
            ("399", Some(None)),
            ("200, OK", Some(None)),
            ("0", Some(None)),
            ("700", Some(None)),
            ("99999999999999999999", Some(None)),
            ("", None),
            (", Blocked", None),
            ("4o3x", Some(None)),
            ("-403", None),
            ("Blocked", None),
        ] {
            let found = Ruling::parse(text);
            let found = found.as_ref().map(|ruling| match ruling {
                Ruling::Continue => None,
                Ruling::Reject { status, phrase } => Some((status.as_u16(), &**phrase)),
            });
            assert_eq!(found, wanted, "{text:?}");
        }
    }
}
