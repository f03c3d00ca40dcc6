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
                .value_parser(value_parser!(i16).range(0..))
                .help("The smallest is tried first; 0 without this"),
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
    let is_uri = |text: &str| SipUri::parse(text).is_some();
    if !text.contains('$') && !is_uri(text) && !is_uri(&format!("sip:{text}")) {
        return Err(Refusal::invalid(
            "rewrite",
            text,
            "no SIP URI; expected one as sip:$1@gw.example.net;transport=tls",
        ));
    }
    Ok(())
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
        ] {
            assert_eq!(rewrite(text, groups).is_ok(), fits, "{text:?}");
        }
    }
}
