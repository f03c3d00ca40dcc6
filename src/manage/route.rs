//! `sipvouch route`: static routes.

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Map, Value};

use super::names;
use super::output::object;
use super::pattern;
use super::refusal::Refusal;
use super::table::{Kind, Session, Wanted};
use crate::sip::SipUri;
use crate::store::{self, Record, Table};

/// The table of routes.
pub(super) struct Routes;

fn which_argument() -> Arg {
    Arg::new("WHICH")
        .required(true)
        .value_name("ROUTE")
        .help("The route: its number or its key, as sipvouch route list prints them")
}

fn conditions(command: Command) -> Command {
    command
        .arg(
            Arg::new("method")
                .long("method")
                .value_name("METHOD")
                .help("Only requests of this method; '' for any"),
        )
        .arg(
            Arg::new("event")
                .long("event")
                .value_name("EVENT")
                .help("Only requests with this Event; '' for any"),
        )
        .arg(
            Arg::new("order")
                .long("order")
                .value_name("NUMBER")
                .value_parser(value_parser!(i16))
                .allow_negative_numbers(true)
                .help("The smallest is tried first, from -32768 to 32767; 0 without this"),
        )
}

impl Kind for Routes {
    fn table(&self) -> Table {
        Table::Route
    }

    fn about(&self) -> &'static str {
        "Static routes: where a request goes by its Request-URI"
    }

    fn commands(&self) -> Vec<Command> {
        let pattern = "Regular expression (ECMAScript) that is searched for in the Request-URI";
        let rewrite = "The new URI; $1 to $9 stand for what the groups of the pattern found";
        vec![
            conditions(
                Command::new("add")
                    .about("Add a route")
                    .arg(Arg::new("PATTERN").required(true).help(pattern))
                    .arg(Arg::new("REWRITE").required(true).help(rewrite)),
            )
            .after_help(
                "Example:\n  sipvouch route add '^sip:9([0-9]+)@example\\.org' \
                 'sip:$1@gw.example.net;transport=tls' --order 10",
            ),
            conditions(
                Command::new("change")
                    .about("Change a route; what is not given stays")
                    .arg(which_argument())
                    .arg(
                        Arg::new("PATTERN")
                            .long("pattern")
                            .value_name("PATTERN")
                            .help(pattern),
                    )
                    .arg(
                        Arg::new("REWRITE")
                            .long("rewrite")
                            .value_name("URI")
                            .help(rewrite),
                    ),
            )
            .after_help("Example:\n  sipvouch route change 2 --method INVITE --order 5"),
            Command::new("remove")
                .about("Remove routes")
                .arg(which_argument().num_args(1..))
                .after_help("Example:\n  sipvouch route remove 2"),
            Command::new("list")
                .about("List the routes in the order in which they are tried")
                .after_help("Example:\n  sipvouch route list --json | jq -r .key"),
            Command::new("show")
                .about("Show one route")
                .arg(which_argument())
                .after_help("Example:\n  sipvouch route show 1"),
        ]
    }

    fn added(&self, given: &ArgMatches, _: &Session) -> Result<Vec<Record>, Refusal> {
        let mut own = store::Route::default();
        set(&mut own, given)?;
        Ok(vec![Record::Route(own)])
    }

    fn changed(&self, old: &Record, given: &ArgMatches, _: &Session) -> Result<Record, Refusal> {
        let Record::Route(old) = old else {
            return Err(Refusal::NoChange(Table::Route));
        };
        let mut own = old.clone();
        if !set(&mut own, given)? {
            return Err(Refusal::NoChange(Table::Route));
        }
        Ok(Record::Route(own))
    }

    fn keys(&self, given: &ArgMatches) -> Result<Vec<Wanted>, Refusal> {
        let texts = given.get_many::<String>("WHICH").unwrap_or_default();
        Ok(texts
            .map(|text| Wanted::numbered(text, vec![text.clone()]))
            .collect())
    }

    fn columns(&self) -> &'static [&'static str] {
        &["order", "method", "event", "pattern", "rewrite", "key"]
    }

    fn row(&self, record: &Record) -> Vec<String> {
        match record {
            Record::Route(own) => vec![
                own.order.to_string(),
                own.method.clone(),
                own.event.clone(),
                own.matching_pattern.clone(),
                own.rewrite_expression.clone(),
                record.key(),
            ],
            _ => Vec::new(),
        }
    }

    fn fields(&self, record: &Record) -> Map<String, Value> {
        match record {
            Record::Route(own) => object(own, &[]),
            _ => Map::new(),
        }
    }

    fn rank(&self) -> Option<fn(&Record) -> i16> {
        Some(|record| match record {
            Record::Route(own) => own.order,
            _ => 0,
        })
    }
}

/// Sets what is given, and checks the whole; says whether anything is.
fn set(own: &mut store::Route, given: &ArgMatches) -> Result<bool, Refusal> {
    let mut any = false;
    for (name, field) in [
        ("PATTERN", &mut own.matching_pattern),
        ("REWRITE", &mut own.rewrite_expression),
    ] {
        if let Some(text) = given.get_one::<String>(name) {
            field.clone_from(text);
            any = true;
        }
    }
    for (name, field) in [("method", &mut own.method), ("event", &mut own.event)] {
        if let Some(text) = given.get_one::<String>(name) {
            *field = names::token(name, text)?;
            any = true;
        }
    }
    if let Some(order) = given.get_one::<i16>("order") {
        own.order = *order;
        any = true;
    }
    check(own)?;
    Ok(any)
}

/// Refuses a route that would never be taken or lead nowhere.
pub(super) fn check(own: &store::Route) -> Result<(), Refusal> {
    let groups = pattern::groups("pattern", &own.matching_pattern)?;
    rewrite(&own.rewrite_expression, groups)
}

/// Refuses an expression that cannot become a URI. With groups in it that depends on what they find.
fn rewrite(text: &str, groups: usize) -> Result<(), Refusal> {
    names::expression("rewrite", text)?;
    if text.is_empty() {
        return Err(Refusal::invalid("rewrite", text, "empty; expected a URI"));
    }
    pattern::references("rewrite", text, groups)?;
    // What a group finds may be anything; whether the rest makes a URI does not depend on it, unless it begins there.
    let makes_uri = || {
        let number = |_: &str| "1";
        let word = |before: &str| match before.chars().next_back() {
            Some(':' | '0'..='9') if before.contains('@') => "1",
            _ => "a",
        };
        is_target(&filled(text, number)) || is_target(&filled(text, word))
    };
    if !text.starts_with('$') && !text.contains("[$") && !makes_uri() {
        return Err(Refusal::invalid(
            "rewrite",
            text,
            "no SIP URI; expected one as sip:$1@gw.example.net;transport=tls",
        ));
    }
    Ok(())
}

/// Whether this is a URI to send a request to. A word alone might be a host, and is rather a slip.
fn is_target(text: &str) -> bool {
    let is_uri = |text: &str| SipUri::parse(text).is_some_and(|uri| uri.headers.is_empty());
    is_uri(text) || (text.contains('@') && is_uri(&format!("sip:{text}")))
}

/// The expression with something in the place of each group, chosen by what stands before it.
fn filled(expression: &str, found: impl Fn(&str) -> &'static str) -> String {
    let mut parts = expression.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.strip_prefix(|c: char| c.is_ascii_digit()) {
            Some(rest) => text.extend([found(&text), rest]),
            None => text.extend(["$", part]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_becomes_a_uri() {
        for (text, groups, fits) in [
            ("sip:conf@127.0.0.1:5070;transport=tcp", 0, true),
            ("conf@127.0.0.1", 0, true),
            ("sip:$1@127.0.0.1:5070", 1, true),
            ("sip:$1@127.0.0.1:5070", 0, false),
            ("tel:+15551234567", 0, false),
            ("", 0, false),
            ("sip:a b@example.org", 0, false),
            ("sip:@", 0, false),
            ("nonsense", 0, false),
            ("sip:nonsense", 0, true),
            ("$1", 1, true),
            ("sip:$1@gw.example.net;transport=tls", 1, true),
            ("sip:a@$1:$2", 2, true),
            ("sip:a@192.0.2.1:5$1", 1, true),
            ("$1@gw.example.net", 1, true),
            ("sip:$1 @gw.example.net", 1, false),
            ("call $1", 1, false),
            ("sip:a@b?Route=x", 0, false),
        ] {
            assert_eq!(rewrite(text, groups).is_ok(), fits, "{text:?}");
        }
    }
}
