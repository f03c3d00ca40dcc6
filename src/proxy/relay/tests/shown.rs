//! What comes out, as a golden file shows it: names in place of what differs from run to run, and of a message that is sent on
//! only what has changed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fmt::Write as _;

use super::text::{body, field, head, method, status};

/// Names for branches and tokens of ours, in the order in which they appear.
#[derive(Debug, Default)]
pub(super) struct Names {
    branches: Vec<String>,
    tokens: Vec<String>,
}

/// Octets of `z9hG4bK`, 16 digits and a dot.
const BRANCH_HEAD: usize = 24;
/// A user part that is longer is a token.
const USER: usize = 40;

impl Names {
    /// A line with names.
    fn of(&mut self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(at) = rest.find("z9hG4bK") {
            let (before, found) = rest.split_at(at);
            out.push_str(before);
            let end = found.find([';', ',', ' ']).unwrap_or(found.len());
            let (branch, behind) = found.split_at(end);
            let is_ours =
                branch.len() > BRANCH_HEAD && branch.as_bytes().get(BRANCH_HEAD - 1) == Some(&b'.');
            match is_ours {
                true => write!(out, "<b{}>", number(&mut self.branches, branch)).unwrap(),
                false => out.push_str(branch),
            }
            rest = behind;
        }
        out.push_str(rest);
        let user = out
            .split_once("<sip")
            .and_then(|(_, rest)| rest.split_once(':'))
            .and_then(|(_, rest)| rest.split_once('@'));
        match user.map(|(user, _)| user.to_owned()) {
            Some(user) if user.len() > USER => {
                let name = format!("<t{}>", number(&mut self.tokens, &user));
                out.replace(&user, &name)
            }
            _ => out,
        }
    }
}

fn number(known: &mut Vec<String>, text: &str) -> usize {
    let at = known.iter().position(|other| other == text);
    at.unwrap_or_else(|| {
        known.push(text.to_owned());
        known.len() - 1
    }) + 1
}

/// Shows messages against what was sent before.
#[derive(Debug, Default)]
pub(super) struct Shown {
    names: Names,
    /// All that parties have sent.
    sent: Vec<String>,
    /// All that came out, with whom it was for.
    out: Vec<(usize, String)>,
}

impl Shown {
    /// A party sends this.
    pub(super) fn sends(&mut self, message: &str) {
        self.sent.push(message.to_owned());
    }

    /// How a message to a party looks; each line begins with `indent` but the first.
    pub(super) fn message(&mut self, to: usize, message: &str, indent: &str) -> String {
        let first = head(message).next().unwrap();
        let mut text = self.names.of(first
            .trim_end_matches(" SIP/2.0")
            .trim_start_matches("SIP/2.0 "));
        let is_known = self
            .out
            .iter()
            .any(|(of, other)| *of == to && other == message);
        if is_known {
            text.push_str(" (again)\n");
            return text;
        }
        self.out.push((to, message.to_owned()));
        text.push('\n');
        let own: Vec<_> = content(message).collect();
        let Some(base) = self.base(message) else {
            for line in own {
                writeln!(text, "{indent}  {}", self.names.of(&line)).unwrap();
            }
            return text;
        };
        let base: Vec<_> = content(&base).collect();
        for line in without(&base, &own) {
            writeln!(text, "{indent}- {}", self.names.of(line)).unwrap();
        }
        for line in without(&own, &base) {
            writeln!(text, "{indent}+ {}", self.names.of(line)).unwrap();
        }
        text
    }

    /// The message that this one was before it went through us; none for one of our own.
    fn base(&self, message: &str) -> Option<String> {
        let same = |name: &str, other: &str| field(message, name) == field(other, name);
        let is_base = |other: &&String| {
            same("Call-ID", other)
                && same("CSeq", other)
                && same("From", other)
                && same("To", other)
                && status(message) == status(other)
        };
        let latest = self.sent.iter().rev().find(is_base)?;
        let is_own = match (status(message), method(message)) {
            (None, "CANCEL") => true,
            // Only that of a 2xx has a branch of its own.
            (None, "ACK") => self.sent.iter().any(|other| {
                status(other).is_none()
                    && method(other) == "INVITE"
                    && field(other, "Via") == field(latest, "Via")
            }),
            _ => false,
        };
        (!is_own).then(|| latest.clone())
    }
}

/// Header lines, and the body as one more.
fn content(message: &str) -> impl Iterator<Item = String> {
    let body = Some(body(message)).filter(|body| !body.is_empty());
    let body = body.map(|body| format!("[{}]", body.escape_debug()));
    let lines = head(message).skip(1).map(str::to_owned);
    lines.chain(body).collect::<Vec<_>>().into_iter()
}

/// The lines of one message that another does not have.
fn without<'l>(lines: &'l [String], other: &[String]) -> Vec<&'l str> {
    let mut other: Vec<_> = other.to_vec();
    let mut left = Vec::new();
    for line in lines {
        match other.iter().position(|there| there == line) {
            Some(at) => drop(other.remove(at)),
            None => left.push(line.as_str()),
        }
    }
    left
}
