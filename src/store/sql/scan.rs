//! The little of SQL's grammar that says what is quoted: literals, quoted names, comments.
//!
//! Pure.

use super::template::TemplateFault;

/// Whose SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    PostgreSql,
    MySql,
}

impl Dialect {
    /// The text of the `nth` parameter, from 1.
    pub(super) fn parameter(self, nth: usize) -> String {
        match self {
            Self::PostgreSql => format!("${nth}"),
            Self::MySql => "?".to_owned(),
        }
    }
}

/// A stretch of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Text outside of quotes; `;` and `?` each are one of their own.
    Plain(&'a str),
    /// A word behind a `$` outside of quotes.
    Dollar(&'a str),
    /// A comment with its marks.
    Comment(&'a str),
    /// A string literal with its quotes, and what it means.
    Literal { raw: &'a str, content: String },
    /// What is quoted so that nothing can stand for it.
    Fixed { text: &'a str, place: &'static str },
}

/// Cuts a statement up.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Vec<Token<'_>>, TemplateFault> {
    let mut tokens = Vec::new();
    let mut rest = text;
    // Whether what comes next goes on with a word: then a quote has a prefix, and a `$` is part of a name.
    let mut in_word = false;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => quoted(rest, '\'', dialect == Dialect::MySql)?,
            '"' => quoted(rest, '"', dialect == Dialect::MySql)?,
            '`' if dialect == Dialect::MySql => quoted(rest, '`', false)?,
            '-' | '#' | '/' => comment(rest, dialect)?.unwrap_or(1),
            '$' if !in_word => dollar(rest, dialect)?,
            '$' | ';' | '?' => 1,
            c if is_special(c) => c.len_utf8(),
            _ => rest.find(is_special).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = after;
        let prefixed = in_word && (first == '\'' || (first == '"' && dialect == Dialect::MySql));
        tokens.push(match first {
            '\'' | '"' if prefixed => Token::Fixed {
                text: token,
                place: "a literal with a prefix",
            },
            '\'' => literal(token, dialect),
            '"' if dialect == Dialect::MySql => literal(token, dialect),
            '"' | '`' => Token::Fixed {
                text: token,
                place: "a quoted name",
            },
            '-' | '#' | '/' if length > 1 => Token::Comment(token),
            '$' if length > 1 && token.ends_with('$') => Token::Fixed {
                text: token,
                place: "a dollar quote",
            },
            '$' if length > 1 => Token::Dollar(token.get(1..).unwrap_or_default()),
            _ => Token::Plain(token),
        });
        in_word = matches!(tokens.last(), Some(Token::Plain(_)))
            && token.ends_with(|c: char| is_word(c) || c == '$');
    }
    Ok(tokens)
}

fn is_special(c: char) -> bool {
    matches!(c, '\'' | '"' | '`' | '-' | '#' | '/' | '$' | ';' | '?')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn literal(raw: &str, dialect: Dialect) -> Token<'_> {
    let quote = raw.chars().next().unwrap_or('\'');
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let mut content = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            // The second of a pair.
            c if c == quote => content.extend(chars.next()),
            '\\' if dialect == Dialect::MySql => match chars.next() {
                Some('n') => content.push('\n'),
                Some('t') => content.push('\t'),
                Some('r') => content.push('\r'),
                Some('0') => content.push('\0'),
                Some('b') => content.push('\u{8}'),
                Some('Z') => content.push('\u{1a}'),
                // For LIKE, which takes the backslash away.
                Some(c @ ('%' | '_')) => content.extend(['\\', c]),
                other => content.extend(other),
            },
            c => content.push(c),
        }
    }
    Token::Literal { raw, content }
}

/// Octets up to the end of the quote at the front.
fn quoted(text: &str, quote: char, backslashes: bool) -> Result<usize, TemplateFault> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && backslashes {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Ok(at + 1);
        }
    }
    Err(TemplateFault::NoEnd("a quote"))
}

/// Octets of the comment at the front, if there is one.
fn comment(text: &str, dialect: Dialect) -> Result<Option<usize>, TemplateFault> {
    let line = match dialect {
        Dialect::PostgreSql => text.starts_with("--"),
        // MySQL wants a blank behind it; `5--2` is a sum.
        Dialect::MySql => {
            text.starts_with('#')
                || text
                    .strip_prefix("--")
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        }
    };
    if line {
        return Ok(Some(text.find('\n').unwrap_or(text.len())));
    }
    if !text.starts_with("/*") {
        return Ok(None);
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") && (depth == 0 || dialect == Dialect::PostgreSql) {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Ok(Some(at));
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Err(TemplateFault::NoEnd("a comment"))
}

/// Octets of the word behind the `$` at the front with the `$`, or of the dollar quote that it begins.
fn dollar(text: &str, dialect: Dialect) -> Result<usize, TemplateFault> {
    let word = text
        .get(1..)
        .unwrap_or_default()
        .find(|c| !is_word(c))
        .map_or(text.len(), |at| at + 1);
    let tag = text.get(..=word).filter(|tag| tag.ends_with('$'));
    let digit = text
        .get(1..)
        .is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()));
    match tag {
        Some(tag) if dialect == Dialect::PostgreSql && !digit => text
            .get(tag.len()..)
            .and_then(|inner| inner.find(tag))
            .map(|at| at + 2 * tag.len())
            .ok_or(TemplateFault::NoEnd("a dollar quote")),
        _ => Ok(word),
    }
}
