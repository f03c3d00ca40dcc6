//! Results as a person reads them. What a peer wrote is escaped, so that it cannot move a cursor.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Days before its end from which a certificate is pointed out.
const SOON: i64 = 30;

/// The result of a command.
pub(super) fn result(word: &str, result: &Value) -> String {
    match word {
        "connections" => connections(result),
        "certificates" => certificates(result),
        "reload" => reloaded(result),
        _ => {
            let mut text = String::new();
            lines(&mut text, "", result);
            text
        }
    }
}

/// Text without control characters.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn connections(result: &Value) -> String {
    let empty = Vec::new();
    let connections = result.get("connections").and_then(Value::as_array);
    let mut rows = vec![
        [
            "conn",
            "peer",
            "listener",
            "state",
            "age",
            "idle",
            "tls",
            "aors",
            "in",
            "out",
            "queued",
            "identities",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for connection in connections.unwrap_or(&empty) {
        let of = |name: &str| connection.get(name).filter(|value| !value.is_null());
        let tls = of("tls").map(|tls| {
            let version = word(tls.get("version"));
            let cipher = word(tls.get("cipher"));
            format!("{version} {cipher}")
        });
        let identities =
            of("certificate").map(|certificate| match word(certificate.get("identities")) {
                none if none.is_empty() => word(certificate.get("subject")),
                some => some,
            });
        rows.push(vec![
            word(of("connection")),
            word(of("peer")),
            word(of("listener")),
            word(of("state")),
            lasting(of("age_seconds")),
            lasting(of("idle_seconds")),
            tls.unwrap_or_else(|| "none".to_owned()),
            word(of("aors")),
            word(of("octets_in")),
            word(of("octets_out")),
            word(of("octets_queued")),
            identities.unwrap_or_else(|| "none".to_owned()),
        ]);
    }
    let count = rows.len() - 1;
    let mut text = table(&rows);
    let _ = writeln!(text, "{count} connections");
    for missing in result
        .get("missing")
        .and_then(Value::as_array)
        .unwrap_or(&empty)
    {
        let _ = writeln!(text, "incomplete: {}", word(Some(missing)));
    }
    text
}

fn certificates(result: &Value) -> String {
    let empty = Vec::new();
    let certificates = result.get("certificates").and_then(Value::as_array);
    let mut rows = vec![
        [
            "role", "validity", "serial", "subject", "issuer", "names", "file",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for certificate in certificates.unwrap_or(&empty) {
        let of = |name: &str| certificate.get(name);
        let days = match of("days_left").and_then(Value::as_i64) {
            Some(days) if days < 0 => format!("EXPIRED {} days ago", -days),
            Some(days) if days < SOON => format!("EXPIRES in {days} days"),
            Some(days) => format!("{days} days left"),
            None => "unknown".to_owned(),
        };
        let role = match word(of("domain")) {
            none if none.is_empty() => word(of("role")),
            domain => format!("{} {domain}", word(of("role"))),
        };
        let names = of("names").and_then(Value::as_array).unwrap_or(&empty);
        let names: Vec<String> = names.iter().map(|name| word(Some(name))).collect();
        rows.push(vec![
            role,
            days,
            word(of("serial")),
            word(of("subject")),
            word(of("issuer")),
            names.join(" "),
            word(of("file")),
        ]);
    }
    table(&rows)
}

fn reloaded(result: &Value) -> String {
    let empty = Vec::new();
    let list = |name: &str| result.get(name).and_then(Value::as_array).unwrap_or(&empty);
    let mut text = String::new();
    for (name, told) in [
        ("settings", "setting"),
        ("domains_added", "new domain"),
        ("domains_removed", "domain gone"),
        ("certificates_added", "new certificate"),
        ("certificates_removed", "certificate gone"),
    ] {
        for entry in list(name) {
            let _ = match entry {
                Value::Object(setting) => {
                    let of = |name: &str| match setting.get(name) {
                        None | Some(Value::Null) => "its default".to_owned(),
                        value => word(value),
                    };
                    let name = word(setting.get("name"));
                    writeln!(
                        text,
                        "{told}: {name} is {}, was {}",
                        of("now"),
                        of("before")
                    )
                }
                other => writeln!(text, "{told}: {}", word(Some(other))),
            };
        }
    }
    let mappings = |when: &str| {
        result
            .get("mappings")
            .and_then(|m| m.get(when))
            .map(|n| word(Some(n)))
    };
    if let (Some(before), Some(now)) = (mappings("before"), mappings("now"))
        && before != now
    {
        let _ = writeln!(text, "mappings: {now}, were {before}");
    }
    if text.is_empty() {
        text.push_str("no difference in settings, domains or certificates\n");
    }
    for note in list("notes") {
        let _ = writeln!(text, "note: {}", word(Some(note)));
    }
    let _ = writeln!(
        text,
        "generation {} is in force",
        word(result.get("generation"))
    );
    text
}

fn members_of(members: &Map<String, Value>) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{name} {}", word(Some(value))))
        .collect();
    members.join(", ")
}

/// `name: value` lines; what is inside of something is indented.
fn lines(text: &mut String, indent: &str, value: &Value) {
    let deeper = format!("{indent}  ");
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('_', " ");
                match value {
                    Value::Object(_) | Value::Array(_) => {
                        let _ = writeln!(text, "{indent}{name}:");
                        lines(text, &deeper, value);
                    }
                    Value::Null => {}
                    value => {
                        let _ = writeln!(text, "{indent}{name}: {}", word(Some(value)));
                    }
                }
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                match entry {
                    Value::Object(members) => {
                        let _ = writeln!(text, "{indent}{}", members_of(members));
                    }
                    entry => lines(text, indent, entry),
                }
            }
        }
        value => {
            let _ = writeln!(text, "{indent}{}", word(Some(value)));
        }
    }
}

/// A value as one would say it; nothing for none.
fn word(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => printable(text),
        Some(other) => other.to_string(),
    }
}

/// `2d 3h`, `5m 12s`.
fn lasting(seconds: Option<&Value>) -> String {
    let Some(seconds) = seconds.and_then(Value::as_u64) else {
        return String::new();
    };
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m{rest}s"),
        (0, _, _) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// Rows in columns, the first as their heads. The last column is not padded.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn connections_are_a_table_that_no_peer_can_disturb() {
        let text = result(
            "connections",
            &json!({"connections": [{
                "connection": 7, "peer": "192.0.2.7:1024", "listener": "192.0.2.1:5061", "state": "open",
                "age_seconds": 90_061, "idle_seconds": 59, "aors": 1, "octets_in": 10, "octets_out": 20,
                "octets_queued": 0,
                "tls": {"version": "TLSv1.3", "cipher": "X", "sni": null, "resumed": false},
                "certificate": {"subject": "CN=a", "identities": "uri sip:a\u{1b}[2J"},
            }], "missing": ["worker 1 did not answer in time"]}),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "conn  peer            listener        state  age   idle  tls        aors  in  out  queued  identities",
                "7     192.0.2.7:1024  192.0.2.1:5061  open   1d1h  59s   TLSv1.3 X  1     10  20   0       uri sip:a\\u{1b}[2J",
                "1 connections",
                "incomplete: worker 1 did not answer in time",
            ]
        );
    }

    #[test]
    fn reload_tells_what_changed() {
        let text = result(
            "reload",
            &json!({
                "generation": 3,
                "settings": [{"name": "ServerText", "before": null, "now": "x"}],
                "domains_added": ["example.net"],
                "mappings": {"before": 1, "now": 2},
                "notes": ["know this"],
            }),
        );
        assert_eq!(
            text,
            "setting: ServerText is x, was its default\nnew domain: example.net\nmappings: 2, were 1\n\
             note: know this\ngeneration 3 is in force\n"
        );
        let text = result("reload", &json!({"generation": 4}));
        assert_eq!(
            text,
            "no difference in settings, domains or certificates\ngeneration 4 is in force\n"
        );
    }
}
