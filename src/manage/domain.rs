//! `sipvouch domain`: the domains that are ours.

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};

use super::names;
use super::output::object;
use super::refusal::Refusal;
use super::table::{Kind, Session, Wanted};
use crate::store::{self, Record, Table};

/// The table of domains.
pub(super) struct Domains;

fn domain_argument() -> Arg {
    Arg::new("DOMAIN")
        .required(true)
        .help("The domain, as example.org")
}

fn port_option() -> Arg {
    Arg::new("tls-port")
        .long("tls-port")
        .value_name("PORT")
        .value_parser(value_parser!(u16))
        .help("A port that repro keeps with a domain and never uses")
}

impl Kind for Domains {
    fn table(&self) -> Table {
        Table::Domain
    }

    fn about(&self) -> &'static str {
        "Domains that are ours, besides those of the configuration"
    }

    fn commands(&self) -> Vec<Command> {
        vec![
            Command::new("add")
                .about("Add a domain")
                .arg(domain_argument())
                .arg(port_option())
                .after_help("Example:\n  sipvouch domain add example.org"),
            Command::new("change")
                .about("Give a domain another name; its users keep theirs")
                .arg(domain_argument())
                .arg(
                    Arg::new("rename")
                        .long("rename")
                        .value_name("DOMAIN")
                        .help("The new name"),
                )
                .arg(port_option())
                .after_help("Example:\n  sipvouch domain change example.org --rename example.net"),
            Command::new("remove")
                .about("Remove domains; their users stay in the store")
                .arg(domain_argument().num_args(1..))
                .after_help("Example:\n  sipvouch domain remove example.org sub.example.org"),
            Command::new("list")
                .about("List domains")
                .after_help("Example:\n  sipvouch domain list --json"),
            Command::new("show")
                .about("Show one domain")
                .arg(domain_argument())
                .after_help("Example:\n  sipvouch domain show example.org"),
        ]
    }

    fn added(&self, given: &ArgMatches, _: &Session) -> Result<Vec<Record>, Refusal> {
        let text = given.get_one::<String>("DOMAIN").map_or("", String::as_str);
        Ok(vec![Record::Domain(store::Domain {
            domain: names::domain(text)?,
            tls_port: port(given).unwrap_or(0),
        })])
    }

    fn changed(&self, old: &Record, given: &ArgMatches, _: &Session) -> Result<Record, Refusal> {
        let Record::Domain(old) = old else {
            return Err(Refusal::NoChange(Table::Domain));
        };
        let name = given.get_one::<String>("rename");
        let port = port(given);
        if name.is_none() && port.is_none() {
            return Err(Refusal::NoChange(Table::Domain));
        }
        Ok(Record::Domain(store::Domain {
            domain: match name {
                Some(name) => names::domain(name)?,
                None => old.domain.clone(),
            },
            tls_port: port.unwrap_or(old.tls_port),
        }))
    }

    fn keys(&self, given: &ArgMatches) -> Result<Vec<Wanted>, Refusal> {
        let texts = given.get_many::<String>("DOMAIN").unwrap_or_default();
        Ok(texts
            .map(|text| Wanted {
                given: text.clone(),
                keys: std::iter::once(text.clone())
                    .chain(names::domain(text).ok())
                    .collect(),
                number: None,
            })
            .collect())
    }

    fn columns(&self) -> &'static [&'static str] {
        &["domain"]
    }

    fn row(&self, record: &Record) -> Vec<String> {
        vec![record.key()]
    }

    fn fields(&self, record: &Record) -> Map<String, Value> {
        match record {
            Record::Domain(own) => {
                object(own, &[("tls_port", json!(own.tls_port.cast_unsigned()))])
            }
            _ => Map::new(),
        }
    }

    fn domain_of(&self, record: &Record) -> Option<String> {
        Some(record.key())
    }
}

/// The port as it is stored.
fn port(given: &ArgMatches) -> Option<i16> {
    given
        .get_one::<u16>("tls-port")
        .map(|port| port.cast_signed())
}
