//! Statements that an operator wrote for repro, with names in them that stand for values.
//!
//! Pure. repro put the values into the text, so a statement has them in quotes (`user = '$user'`) or as a list that
//! comes with its quotes (`IN ($peerNames)`). Here each becomes a parameter, whatever is in the value. A text around a
//! name (`'%$user%'`) becomes part of that parameter. Where no parameter can stand, the statement is refused when it is
//! loaded.

use super::scan::{Dialect, Token, tokens};

/// What a statement is for, and so which names it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `$user`, `$domain`.
    User,
    /// `$peerNames`, `$identities`.
    Tls,
    /// `$1N`, `$2N`: capture N of condition 1, 2.
    Filter,
}

impl Purpose {
    fn known(self) -> &'static str {
        match self {
            Self::User => "$user, $domain",
            Self::Tls => "$peerNames, $identities",
            Self::Filter => "$10 to $29",
        }
    }

    /// The name at the front of the text behind a `$`, and the octets of it.
    fn name(self, text: &str) -> Option<(Name, usize)> {
        let words: &[(&str, Name)] = match self {
            Self::User => &[("user", Name::User), ("domain", Name::Domain)],
            Self::Tls => &[
                ("peerNames", Name::PeerNames),
                ("identities", Name::Identities),
            ],
            Self::Filter => {
                let mut digits = text.bytes();
                return match (digits.next()?, digits.next()?) {
                    (condition @ b'1'..=b'2', capture @ b'0'..=b'9') => {
                        Some((Name::Capture(condition - b'0', capture - b'0'), 2))
                    }
                    _ => None,
                };
            }
        };
        words
            .iter()
            .find(|(word, _)| text.starts_with(word))
            .map(|(word, name)| (*name, word.len()))
    }
}

/// What stands for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    User,
    Domain,
    PeerNames,
    Identities,
    Capture(u8, u8),
}

impl Name {
    fn is_list(self) -> bool {
        matches!(self, Self::PeerNames | Self::Identities)
    }
}

/// A statement that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// Nothing but blanks.
    #[error("the statement is empty")]
    Empty,
    /// A name that stands for nothing.
    #[error("{name} stands for nothing here; known are {known}")]
    Unknown {
        /// As it is written.
        name: String,
        /// What there is.
        known: &'static str,
    },
    /// A quote or comment that does not end.
    #[error("{0} that does not end")]
    NoEnd(&'static str),
    /// A list among text.
    #[error("{0} is a list and cannot stand in quotes; write IN ({0})")]
    ListInText(String),
    /// A value where none can be.
    #[error("{name} stands in {place}, where no value can be")]
    NoValueThere {
        /// As it is written.
        name: String,
        /// Where.
        place: &'static str,
    },
    /// A placeholder of the protocol itself.
    #[error("a \"?\" outside of quotes is a parameter that nothing fills")]
    Question,
    /// More than one.
    #[error("a \";\" before the end: only one statement can be asked")]
    Several,
}

/// Statement and values, as a server takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) sql: String,
    pub(super) values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// One parameter, put together from these.
    Value(Vec<Part>),
    /// As many parameters as the list has entries.
    List(Name),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(Name),
}

/// A statement, read.
#[derive(Debug, Clone)]
pub(super) struct Template {
    dialect: Dialect,
    pieces: Vec<Piece>,
}

impl Template {
    /// Reads a statement. One `;` at its end is left out.
    pub(super) fn parse(
        text: &str,
        purpose: Purpose,
        dialect: Dialect,
    ) -> Result<Self, TemplateFault> {
        let text = text.trim();
        let text = text.strip_suffix(';').unwrap_or(text).trim_end();
        if text.is_empty() {
            return Err(TemplateFault::Empty);
        }
        let mut template = Self {
            dialect,
            pieces: Vec::new(),
        };
        for token in tokens(text, dialect)? {
            template.take(token, purpose)?;
        }
        Ok(template)
    }

    fn take(&mut self, token: Token<'_>, purpose: Purpose) -> Result<(), TemplateFault> {
        match token {
            Token::Plain(";") => return Err(TemplateFault::Several),
            Token::Plain("?") if self.dialect == Dialect::MySql => {
                return Err(TemplateFault::Question);
            }
            Token::Plain(text) | Token::Comment(text) => self.text(text),
            Token::Dollar(word) => {
                let unknown = || TemplateFault::Unknown {
                    name: format!("${word}"),
                    known: purpose.known(),
                };
                match purpose.name(word) {
                    Some((name, length)) if length == word.len() => {
                        self.pieces.push(if name.is_list() {
                            Piece::List(name)
                        } else {
                            Piece::Value(vec![Part::Name(name)])
                        });
                    }
                    _ => return Err(unknown()),
                }
            }
            Token::Fixed { text, place } => {
                if let Some(name) = first_name(text, purpose) {
                    return Err(TemplateFault::NoValueThere { name, place });
                }
                self.text(text);
            }
            Token::Literal { raw, content } => match parts(&content, purpose)? {
                Some(parts) => self.pieces.push(Piece::Value(parts)),
                None => self.text(raw),
            },
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    /// The statement with these values. An empty list becomes `NULL`, which is in no list and equals nothing.
    pub(super) fn bind(
        &self,
        one: &dyn Fn(Name) -> String,
        list: &dyn Fn(Name) -> Vec<String>,
    ) -> Bound {
        let mut bound = Bound {
            sql: String::new(),
            values: Vec::new(),
        };
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => bound.sql.push_str(text),
                Piece::Value(parts) => {
                    let value = parts
                        .iter()
                        .map(|part| match part {
                            Part::Text(text) => text.clone(),
                            Part::Name(name) => one(*name),
                        })
                        .collect();
                    bound.values.push(value);
                    bound.sql += &self.dialect.parameter(bound.values.len());
                }
                Piece::List(name) => {
                    let values = list(*name);
                    if values.is_empty() {
                        bound.sql += "NULL";
                    }
                    for (nth, value) in values.into_iter().enumerate() {
                        if nth > 0 {
                            bound.sql.push(',');
                        }
                        bound.values.push(value);
                        bound.sql += &self.dialect.parameter(bound.values.len());
                    }
                }
            }
        }
        bound
    }
}

/// The text of a literal, cut at its names; `None` if it has none.
fn parts(content: &str, purpose: Purpose) -> Result<Option<Vec<Part>>, TemplateFault> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = content;
    let mut named = false;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        rest = after;
        let Some((name, length)) = purpose.name(after) else {
            text.push('$');
            continue;
        };
        let written = format!("${}", after.get(..length).unwrap_or_default());
        if name.is_list() {
            return Err(TemplateFault::ListInText(written));
        }
        rest = after.get(length..).unwrap_or_default();
        // repro would take `$username` for `$user` and `name`; nobody can have meant that.
        if !matches!(name, Name::Capture(..))
            && rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        {
            let word: String = after
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            return Err(TemplateFault::Unknown {
                name: format!("${word}"),
                known: purpose.known(),
            });
        }
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Name(name));
        named = true;
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(named.then_some(parts))
}

/// The first name in a text that may have none.
fn first_name(text: &str, purpose: Purpose) -> Option<String> {
    text.match_indices('$').find_map(|(at, _)| {
        let after = text.get(at + 1..)?;
        let (_, length) = purpose.name(after)?;
        text.get(at..=at + length).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that cannot go on says so by panicking"
    )]

    use super::Dialect::{MySql, PostgreSql};
    use super::Purpose::{Filter, Tls, User};
    use super::*;

    fn bind(text: &str, purpose: Purpose, dialect: Dialect) -> Result<Bound, TemplateFault> {
        let template = Template::parse(text, purpose, dialect)?;
        Ok(template.bind(
            &|name| match name {
                Name::User => "al'ice".into(),
                Name::Domain => "example.org".into(),
                Name::Capture(condition, capture) => format!("c{condition}{capture}"),
                _ => String::new(),
            },
            &|name| match name {
                Name::PeerNames => vec!["p1".into(), "p'2".into()],
                _ => vec!["i1".into()],
            },
        ))
    }

    #[test]
    fn names_become_parameters() {
        for (situation, text, purpose, dialect, sql, values) in [
            (
                "as repro has it, quoted",
                "SELECT h FROM u WHERE n = '$user' AND d = '$domain';",
                User,
                PostgreSql,
                "SELECT h FROM u WHERE n = $1 AND d = $2",
                &["al'ice", "example.org"] as &[&str],
            ),
            (
                "unquoted",
                "SELECT h FROM u WHERE n=$user",
                User,
                MySql,
                "SELECT h FROM u WHERE n=?",
                &["al'ice"],
            ),
            (
                "twice",
                "SELECT '$user', '$user'",
                User,
                PostgreSql,
                "SELECT $1, $2",
                &["al'ice", "al'ice"],
            ),
            (
                "with text around it",
                "SELECT 1 WHERE n LIKE '%$user@$domain'",
                User,
                MySql,
                "SELECT 1 WHERE n LIKE ?",
                &["%al'ice@example.org"],
            ),
            (
                "text with quotes of its own",
                r"SELECT 'it''s $user\'s \n', 'it''s'",
                User,
                MySql,
                r"SELECT ?, 'it''s'",
                &["it's al'ice's \n"],
            ),
            (
                "a backslash is a backslash",
                r"SELECT '\$user\n'",
                User,
                PostgreSql,
                "SELECT $1",
                &["\\al'ice\\n"],
            ),
            (
                "MySQL's other quotes",
                "SELECT 1 WHERE n = \"$user\"",
                User,
                MySql,
                "SELECT 1 WHERE n = ?",
                &["al'ice"],
            ),
            (
                "lists",
                "SELECT count(1) FROM t WHERE p IN ($peerNames) AND i IN ($identities)",
                Tls,
                PostgreSql,
                "SELECT count(1) FROM t WHERE p IN ($1,$2) AND i IN ($3)",
                &["p1", "p'2", "i1"],
            ),
            (
                "captures",
                "SELECT a FROM b WHERE c = '$11' AND d = $20 AND e = '$123'",
                Filter,
                MySql,
                "SELECT a FROM b WHERE c = ? AND d = ? AND e = ?",
                &["c11", "c20", "c123"],
            ),
            (
                "a literal with a sign that is no name",
                "SELECT 'cost $5' WHERE n = '$user'",
                User,
                MySql,
                "SELECT 'cost $5' WHERE n = ?",
                &["al'ice"],
            ),
            (
                "names in comments are none",
                "SELECT 1 -- by $user\n, '$user' /* $user */",
                User,
                PostgreSql,
                "SELECT 1 -- by $user\n, $1 /* $user */",
                &["al'ice"],
            ),
            (
                "quotes in comments are none",
                "SELECT 1 # it's\n, '$user'",
                User,
                MySql,
                "SELECT 1 # it's\n, ?",
                &["al'ice"],
            ),
            (
                "dollar quotes are left alone",
                "SELECT $$it's$$, $a$ $b$ $a$, '$user'",
                User,
                PostgreSql,
                "SELECT $$it's$$, $a$ $b$ $a$, $1",
                &["al'ice"],
            ),
            (
                "a cast",
                "SELECT '$user'::text, $user::text",
                User,
                PostgreSql,
                "SELECT $1::text, $2::text",
                &["al'ice", "al'ice"],
            ),
            (
                "a question mark in quotes, and PostgreSQL's operator",
                "SELECT '?', j ? 'a'",
                User,
                PostgreSql,
                "SELECT '?', j ? 'a'",
                &[],
            ),
            (
                "a sign inside of a name",
                "SELECT a$user FROM b",
                User,
                MySql,
                "SELECT a$user FROM b",
                &[],
            ),
        ] {
            let bound = bind(text, purpose, dialect).unwrap();
            assert_eq!(bound.sql, sql, "{situation}");
            assert_eq!(bound.values, values, "{situation}");
        }
    }

    #[test]
    fn an_empty_list_matches_nothing() {
        let template = Template::parse("SELECT 1 WHERE a IN ($peerNames)", Tls, MySql).unwrap();
        let bound = template.bind(&|_| String::new(), &|_| Vec::new());
        assert_eq!(bound.sql, "SELECT 1 WHERE a IN (NULL)");
        assert!(bound.values.is_empty());
    }

    #[test]
    fn what_cannot_be_bound_is_refused_when_it_is_loaded() {
        for (situation, text, purpose, dialect, fault) in [
            ("nothing", " ; ", User, MySql, "the statement is empty"),
            (
                "a longer word",
                "SELECT '$username'",
                User,
                MySql,
                "$username stands for nothing here; known are $user, $domain",
            ),
            (
                "another statement's name",
                "SELECT $user",
                Tls,
                MySql,
                "$user stands for nothing here; known are $peerNames, $identities",
            ),
            (
                "a capture that cannot be",
                "SELECT $31",
                Filter,
                MySql,
                "$31 stands for nothing here; known are $10 to $29",
            ),
            (
                "a list in quotes",
                "SELECT 1 WHERE p IN ('$peerNames')",
                Tls,
                PostgreSql,
                "$peerNames is a list and cannot stand in quotes; write IN ($peerNames)",
            ),
            (
                "a table's name",
                "SELECT 1 FROM `$domain`",
                User,
                MySql,
                "$domain stands in a quoted name, where no value can be",
            ),
            (
                "a column's name",
                "SELECT \"$user\"",
                User,
                PostgreSql,
                "$user stands in a quoted name, where no value can be",
            ),
            (
                "a literal with a prefix",
                r"SELECT E'\t$user'",
                User,
                PostgreSql,
                "$user stands in a literal with a prefix, where no value can be",
            ),
            (
                "dollar quotes",
                "SELECT $$ $user $$",
                User,
                PostgreSql,
                "$user stands in a dollar quote, where no value can be",
            ),
            (
                "no end of a literal",
                "SELECT 'a",
                User,
                MySql,
                "a quote that does not end",
            ),
            (
                "no end of a comment",
                "SELECT 1 /* /* */",
                User,
                PostgreSql,
                "a comment that does not end",
            ),
            (
                "a parameter of its own",
                "SELECT ? FROM a",
                User,
                MySql,
                "a \"?\" outside of quotes is a parameter that nothing fills",
            ),
            (
                "two statements",
                "SELECT 1; DELETE FROM users",
                User,
                MySql,
                "a \";\" before the end: only one statement can be asked",
            ),
        ] {
            let said = bind(text, purpose, dialect).unwrap_err().to_string();
            assert_eq!(said, fault, "{situation}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_statement_makes_the_reader_fall_over(text in "[ -~\\n$'\"`é]{0,60}") {
            for dialect in [MySql, PostgreSql] {
                for purpose in [User, Tls, Filter] {
                    let _ = bind(&text, purpose, dialect);
                }
            }
        }

        #[test]
        fn a_value_never_becomes_text(value in ".{1,20}") {
            let template = Template::parse("SELECT 1 WHERE a = '$user'", User, PostgreSql).unwrap();
            let bound = template.bind(&|_| value.clone(), &|_| Vec::new());
            proptest::prop_assert_eq!(bound.sql, "SELECT 1 WHERE a = $1");
            proptest::prop_assert_eq!(bound.values, vec![value]);
        }
    }
}
