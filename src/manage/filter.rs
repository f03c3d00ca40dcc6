//! `sipvouch filter`: request filters.

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Map, Value};

use super::names;
use super::output::{complain, object};
use super::pattern;
use super::refusal::Refusal;
use super::table::{Kind, Session, Wanted};
use crate::store::{self, FilterAction, Record, Table};

/// The table of filters.
pub(super) struct Filters;

/// Longest phrase of a rejection, in octets; the server gives the usual one for a longer.
const LONGEST_PHRASE: usize = 128;

const ACTIONS: [&str; 3] = ["accept", "reject", "sql"];

fn which_argument() -> Arg {
    Arg::new("WHICH")
        .required(true)
        .value_name("FILTER")
        .help("The filter: its number or its key, as sipvouch filter list prints them")
}

fn conditions(command: Command, needs_action: bool) -> Command {
    let command = [
        (
            "header",
            "HEADER",
            "Header of the first condition, or request-line; '' for none",
        ),
        (
            "regex",
            "REGEX",
            "Regular expression (ECMAScript) that is searched for in it",
        ),
        (
            "header2",
            "HEADER",
            "Header of the second condition; both must hold",
        ),
        ("regex2", "REGEX", "Its regular expression"),
        (
            "method",
            "METHOD",
            "Only requests of this method; '' for any",
        ),
        (
            "event",
            "EVENT",
            "Only requests with this Event; '' for any",
        ),
    ]
    .into_iter()
    .fold(command, |command, (name, value, help)| {
        command.arg(Arg::new(name).long(name).value_name(value).help(help))
    });
    command
        .arg(
            Arg::new("order")
                .long("order")
                .value_name("NUMBER")
                .value_parser(value_parser!(i16))
                .allow_negative_numbers(true)
                .help("The smallest is asked first, from -32768 to 32767; 0 without this"),
        )
        .arg(
            Arg::new("ACTION")
                .required(needs_action)
                .value_parser(ACTIONS)
                .help("What is done with a request that it matches"),
        )
        .arg(Arg::new("DATA").num_args(0..).help(
            "For reject a status of 400 to 699 and a phrase, for sql a query whose first column says what to do: such a \
             status and phrase as '403, On the list' to reject, any other text or number to let it go on. $11 to $19 and \
             $21 to $29 stand for what the groups of the two conditions found. A query without a row, or with NULL, counts \
             as one that failed: RequestFilterDefaultDBErrorBehavior decides, and without that it is answered 500. Give a \
             row always, as with COALESCE((SELECT …), '0')",
        ))
}

impl Kind for Filters {
    fn table(&self) -> Table {
        Table::Filter
    }

    fn about(&self) -> &'static str {
        "Request filters: what is let in and what is not, by header fields"
    }

    fn commands(&self) -> Vec<Command> {
        vec![
            conditions(Command::new("add").about("Add a filter"), true)
                .after_help(
                    "Example:\n  sipvouch filter add --header From --regex 'sip:spammer@' --order 10 reject 403 \
                     'Request Blocked'",
                ),
            conditions(
                Command::new("change")
                    .about("Change a filter; what is not given stays")
                    .arg(which_argument()),
                false,
            )
            .after_help("Example:\n  sipvouch filter change 1 --method MESSAGE reject 403 'Not Today'"),
            Command::new("remove")
                .about("Remove filters")
                .arg(which_argument().num_args(1..))
                .after_help("Example:\n  sipvouch filter remove 1"),
            Command::new("list")
                .about("List the filters in the order in which they are asked")
                .after_help("Example:\n  sipvouch filter list --text spammer"),
            Command::new("show")
                .about("Show one filter")
                .arg(which_argument())
                .after_help("Example:\n  sipvouch filter show 1"),
        ]
    }

    fn added(&self, given: &ArgMatches, _: &Session) -> Result<Vec<Record>, Refusal> {
        let mut own = store::Filter::default();
        set(&mut own, given)?;
        note_for_all(&own);
        Ok(vec![Record::Filter(own)])
    }

    fn changed(&self, old: &Record, given: &ArgMatches, _: &Session) -> Result<Record, Refusal> {
        let Record::Filter(old) = old else {
            return Err(Refusal::NoChange(Table::Filter));
        };
        let mut own = old.clone();
        if !set(&mut own, given)? {
            return Err(Refusal::NoChange(Table::Filter));
        }
        note_for_all(&own);
        Ok(Record::Filter(own))
    }

    fn keys(&self, given: &ArgMatches) -> Result<Vec<Wanted>, Refusal> {
        let texts = given.get_many::<String>("WHICH").unwrap_or_default();
        Ok(texts
            .map(|text| Wanted::numbered(text, vec![text.clone()]))
            .collect())
    }

    fn columns(&self) -> &'static [&'static str] {
        &[
            "order",
            "method",
            "event",
            "condition",
            "condition2",
            "action",
            "data",
            "key",
        ]
    }

    fn row(&self, record: &Record) -> Vec<String> {
        let Record::Filter(own) = record else {
            return Vec::new();
        };
        let condition = |header: &str, regex: &str| {
            if header.is_empty() && regex.is_empty() {
                String::new()
            } else {
                format!("{header}: {regex}")
            }
        };
        let action = usize::try_from(own.action.number()).ok();
        vec![
            own.order.to_string(),
            own.method.clone(),
            own.event.clone(),
            condition(&own.cond1_header, &own.cond1_regex),
            condition(&own.cond2_header, &own.cond2_regex),
            action
                .and_then(|number| ACTIONS.get(number))
                .map_or_else(String::new, |name| (*name).to_owned()),
            own.action_data.clone(),
            record.key(),
        ]
    }

    fn fields(&self, record: &Record) -> Map<String, Value> {
        match record {
            Record::Filter(own) => object(own, &[]),
            _ => Map::new(),
        }
    }

    fn rank(&self) -> Option<fn(&Record) -> i16> {
        Some(|record| match record {
            Record::Filter(own) => own.order,
            _ => 0,
        })
    }
}

/// Sets what is given, and checks the whole; says whether anything is.
fn set(own: &mut store::Filter, given: &ArgMatches) -> Result<bool, Refusal> {
    let mut any = false;
    for (name, field) in [
        ("header", &mut own.cond1_header),
        ("header2", &mut own.cond2_header),
        ("method", &mut own.method),
        ("event", &mut own.event),
    ] {
        if let Some(text) = given.get_one::<String>(name) {
            *field = names::token(name, text)?;
            any = true;
        }
    }
    for (name, field) in [
        ("regex", &mut own.cond1_regex),
        ("regex2", &mut own.cond2_regex),
    ] {
        if let Some(text) = given.get_one::<String>(name) {
            field.clone_from(text);
            any = true;
        }
    }
    if let Some(order) = given.get_one::<i16>("order") {
        own.order = *order;
        any = true;
    }
    if let Some(action) = given.get_one::<String>("ACTION") {
        let data: Vec<&str> = given
            .get_many::<String>("DATA")
            .unwrap_or_default()
            .map(String::as_str)
            .collect();
        (own.action, own.action_data) = act(action, &data)?;
        any = true;
    }
    check(own)?;
    Ok(any)
}

/// Refuses a filter that would not do what it says.
pub(super) fn check(own: &store::Filter) -> Result<(), Refusal> {
    let groups = [
        condition(&own.cond1_header, &own.cond1_regex)?,
        condition(&own.cond2_header, &own.cond2_regex)?,
    ];
    match own.action {
        FilterAction::Accept => Ok(()),
        FilterAction::Reject => act("reject", &[&own.action_data]).map(|_| ()),
        FilterAction::Sql => pattern::filter_references("data", &own.action_data, groups),
    }
}

/// Says of a filter that it rejects whatever comes to it: a condition may have been forgotten.
fn note_for_all(own: &store::Filter) {
    let of_some = [
        &own.cond1_header,
        &own.cond2_header,
        &own.method,
        &own.event,
    ];
    if own.action == FilterAction::Reject && of_some.into_iter().all(String::is_empty) {
        complain(
            "note: this filter has no condition, no method and no event, so it rejects every request that comes to it; \
             --header with --regex, --method or --event says which",
        );
    }
}

/// Whether a text has a `$1N` or `$2N`.
fn has_capture(text: &str) -> bool {
    text.split('$').skip(1).any(|rest| {
        let mut octets = rest.bytes();
        matches!(octets.next(), Some(b'1' | b'2'))
            && octets.next().is_some_and(|o| o.is_ascii_digit())
    })
}

/// Number of groups of a condition. repro takes one without a regular expression, or with a broken one, for fulfilled.
fn condition(header: &str, regex: &str) -> Result<usize, Refusal> {
    match (header.is_empty(), regex.is_empty()) {
        (true, true) => Ok(0),
        (false, false) => pattern::groups("regex", regex),
        (false, true) => Err(Refusal::invalid(
            "header",
            header,
            "without a regular expression; give --regex, or --regex2 for the second condition",
        )),
        (true, false) => Err(Refusal::invalid(
            "regex",
            regex,
            "without a header; give --header, or --header2 for the second condition",
        )),
    }
}

/// An action and its data as repro stores it: `403, Request Blocked`.
fn act(action: &str, data: &[&str]) -> Result<(FilterAction, String), Refusal> {
    let joined = data.join(" ");
    match action {
        "accept" if data.is_empty() => Ok((FilterAction::Accept, String::new())),
        "accept" => Err(Refusal::invalid("data", &joined, "accept has none")),
        "sql" if joined.trim().is_empty() => {
            let why =
                "expected a query behind sql, as \"SELECT '403' FROM blocked WHERE uri = '$11'\"";
            Err(Refusal::invalid("data", &joined, why))
        }
        "sql" => Ok((FilterAction::Sql, names::expression("data", &joined)?)),
        _ => {
            // As it is stored is good too: `403, Request Blocked`.
            let (code, phrase) = match joined.split_once([' ', ',']) {
                Some((code, phrase)) => (code, phrase.trim_start_matches([' ', ',']).trim_end()),
                None => (joined.as_str(), ""),
            };
            let digits = code.len() == 3 && code.bytes().all(|o| o.is_ascii_digit());
            // With any other status a request would go on; with 600 to 699 it does so in repro.
            if !digits || !matches!(code.as_bytes().first(), Some(b'4'..=b'6')) {
                let why = "expected a status of 400 to 699 and a phrase, as 403 'Request Blocked'";
                return Err(Refusal::invalid("data", &joined, why));
            }
            let phrase = names::text("phrase", phrase)?;
            if phrase.len() > LONGEST_PHRASE {
                let why = "longer than 128 octets";
                return Err(Refusal::invalid("phrase", &phrase, why));
            }
            if has_capture(&phrase) {
                let why = "the answer must not repeat what the request says; leave $1N and $2N out";
                return Err(Refusal::invalid("phrase", &phrase, why));
            }
            let data = if phrase.is_empty() {
                code.to_owned()
            } else {
                format!("{code}, {phrase}")
            };
            Ok((FilterAction::Reject, data))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_stored_as_repro_stores_them() {
        for (action, data, stored) in [
            ("accept", &[][..], Some("")),
            ("accept", &["403"], None),
            (
                "reject",
                &["403", "Request Blocked"],
                Some("403, Request Blocked"),
            ),
            (
                "reject",
                &["403", "Request", "Blocked"],
                Some("403, Request Blocked"),
            ),
            (
                "reject",
                &["403, Request Blocked"],
                Some("403, Request Blocked"),
            ),
            ("reject", &["503"], Some("503")),
            ("reject", &[], None),
            ("reject", &["200", "OK"], None),
            ("reject", &["603", "Decline"], Some("603, Decline")),
            ("reject", &["700"], None),
            ("reject", &["403", "no $11"], None),
            ("reject", &["403", "costs $5"], Some("403, costs $5")),
            ("reject", &["40x"], None),
            ("reject", &["403", "a\r\nb"], None),
            ("sql", &["SELECT 403"], Some("SELECT 403")),
            ("sql", &[], None),
            ("sql", &[" "], None),
        ] {
            let found = act(action, data).map(|(_, data)| data).ok();
            assert_eq!(found.as_deref(), stored, "{action} {data:?}");
        }
    }

    #[test]
    fn a_condition_has_a_header_and_a_pattern() {
        for (header, regex, groups) in [
            ("From", "sip:(.*)@", Some(1)),
            ("", "", Some(0)),
            ("From", "", None),
            ("", "x", None),
            ("From", "(", None),
        ] {
            assert_eq!(
                condition(header, regex).ok(),
                groups,
                "{header:?} {regex:?}"
            );
        }
    }
}
