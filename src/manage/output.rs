//! What the commands print: lines for people in columns, lines of JSON for programs.

use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use crate::store::{Flow, Table};

/// Rows that are looked at before the columns get their widths. A longer cell further on pushes its line to the right.
const ROWS_FOR_WIDTHS: usize = 1000;

/// Standard output, in the form that was asked for.
pub(super) struct Output {
    out: BufWriter<Stdout>,
    /// Whether to print JSON.
    pub(super) json: bool,
    /// Whether to print results only.
    pub(super) quiet: bool,
    /// Why nothing more can be written; a reader that has seen enough is no failure.
    ended: Option<io::Error>,
}

impl Output {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        Self {
            out: BufWriter::new(io::stdout()),
            json,
            quiet,
            ended: None,
        }
    }

    /// Prints one line; says whether anybody still reads.
    pub(super) fn line(&mut self, line: &str) -> Flow {
        if self.ended.is_none()
            && let Err(error) = writeln!(self.out, "{line}")
        {
            self.ended = Some(error);
        }
        if self.ended.is_some() {
            Flow::Enough
        } else {
            Flow::More
        }
    }

    /// Prints what was done to a record.
    pub(super) fn done(&mut self, done: &str, table: Table, key: &str) {
        if self.json {
            self.line(&json!({ "done": done, "table": table, "key": key }).to_string());
        } else if !self.quiet {
            self.line(&format!("{done} {table} {}", shown(key)));
        }
    }

    /// Prints that a record has changed, and what its key was before if that is another.
    pub(super) fn changed(&mut self, table: Table, before: &str, after: &str) {
        if before == after {
            self.done("changed", table, after);
        } else if self.json {
            let done = json!({ "done": "changed", "table": table, "key": after, "was": before });
            self.line(&done.to_string());
        } else if !self.quiet {
            self.line(&format!(
                "changed {table} {} to {}",
                shown(before),
                shown(after)
            ));
        }
    }

    /// Writes what has not been written yet.
    ///
    /// # Errors
    /// The output is lost, other than by a reader who went away.
    pub(super) fn finish(mut self) -> Result<(), Refusal> {
        let flushed = self.out.flush();
        // Dropping it would try once more.
        let _ = self.out.into_parts();
        match self.ended.map_or(flushed, Err) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Refusal::Output {
                what: "standard output".to_owned(),
                source: error,
            }),
            _ => Ok(()),
        }
    }
}

/// Says something on standard error; that nobody reads there changes nothing.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "sipvouch: {text}");
}

/// Text of a record for a terminal: a control character would be obeyed by it.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped =
                c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let (plain, escape) = if escaped {
                (None, Some(c.escape_unicode()))
            } else {
                (Some(c), None)
            };
            plain.into_iter().chain(escape.into_iter().flatten())
        })
        .collect()
}

/// Rows in columns of even width.
pub(super) struct Columns {
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Columns {
    /// Begins with the names of the columns.
    pub(super) fn new(names: &[&str]) -> Self {
        Self {
            waiting: vec![names.iter().map(|name| name.to_uppercase()).collect()],
            widths: None,
        }
    }

    /// Adds a row; an empty cell becomes a dash, so that a line has the same number of words for programs too.
    pub(super) fn row(&mut self, cells: &[String], output: &mut Output) -> Flow {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| match shown(cell) {
                empty if empty.is_empty() => "-".to_owned(),
                other => other,
            })
            .collect();
        if let Some(widths) = &self.widths {
            return output.line(&aligned(&cells, widths));
        }
        self.waiting.push(cells);
        if self.waiting.len() > ROWS_FOR_WIDTHS {
            self.finish(output)
        } else {
            Flow::More
        }
    }

    /// Prints the rows that wait for their widths.
    pub(super) fn finish(&mut self, output: &mut Output) -> Flow {
        let widths = self.widths.get_or_insert_with(|| {
            let columns = self.waiting.iter().map(Vec::len).max().unwrap_or(0);
            let width = |at| {
                let lengths = self.waiting.iter().filter_map(|row| row.get(at));
                lengths
                    .map(|cell: &String| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            };
            (0..columns).map(width).collect()
        });
        let mut flow = Flow::More;
        for row in self.waiting.drain(..) {
            flow = output.line(&aligned(&row, widths));
        }
        flow
    }
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        let blanks = width.saturating_sub(cell.chars().count()) + 2;
        line.extend(std::iter::repeat_n(' ', blanks));
    }
    line.truncate(line.trim_end().len());
    line
}

/// A record as JSON: its fields, and these besides.
pub(super) fn object(record: impl serde::Serialize, more: &[(&str, Value)]) -> Map<String, Value> {
    // Records are structs of texts and numbers, which is always an object.
    let mut fields = match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    for (name, value) in more {
        fields.insert((*name).to_owned(), value.clone());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_record_do_not_reach_the_terminal() {
        assert_eq!(
            shown("a\u{1b}[2Jb\n\u{202e}c"),
            "a\\u{1b}[2Jb\\u{a}\\u{202e}c"
        );
        assert_eq!(shown("Müller \"DP\""), "Müller \"DP\"");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(aligned(&row("ab", "c"), &[4, 1]), "ab    c");
        assert_eq!(aligned(&row("abcdef", "c"), &[4, 1]), "abcdef  c");
    }
}
