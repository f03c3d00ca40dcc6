//! `sipvouch registration`: contacts that never expire. Those of phones are seen and removed with `sipvouch ctl`.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use super::names;
use super::output::object;
use super::refusal::Refusal;
use super::table::{Kind, Session, Wanted};
use crate::proxy::{RegistrationRule, StaticRegistrations};
use crate::sip::{Address, SipUri};
use crate::store::{self, Record, Table};

/// The table of static registrations.
pub(super) struct Registrations;

fn which_arguments(command: Command) -> Command {
    command
        .arg(
            Arg::new("WHICH")
                .required(true)
                .value_name("AOR")
                .help("The address-of-record; alone the number or key of list"),
        )
        .arg(Arg::new("CONTACT").help("The contact"))
}

const PATH: &str = "A proxy that the contact is reached through; give it again for a further one";

impl Kind for Registrations {
    fn table(&self) -> Table {
        Table::Registration
    }

    fn about(&self) -> &'static str {
        "Static registrations: contacts that never expire"
    }

    fn commands(&self) -> Vec<Command> {
        let path = Arg::new("path")
            .long("path")
            .value_name("ADDRESS")
            .action(ArgAction::Append)
            .help(PATH);
        vec![
            Command::new("add")
                .about("Add a contact of an address-of-record")
                .arg(Arg::new("AOR").required(true).help("The address-of-record, as sip:desk@example.org"))
                .arg(Arg::new("CONTACT").required(true).help(
                    "Where it is reached, as sip:desk@192.0.2.7:5071;transport=tcp or '\"Desk\" <sip:…>;q=0.5'",
                ))
                .arg(path.clone())
                .after_help(
                    "Example:\n  sipvouch registration add desk@example.org '<sip:desk@192.0.2.7:5071>;q=0.5'",
                ),
            which_arguments(Command::new("change").about("Change a contact; what is not given stays"))
                .arg(
                    Arg::new("new-aor")
                        .long("new-aor")
                        .value_name("AOR")
                        .help("The address-of-record instead of this one"),
                )
                .arg(
                    Arg::new("new-contact")
                        .long("new-contact")
                        .value_name("CONTACT")
                        .help("The contact instead of this one"),
                )
                .arg(path.help("The path instead of this one; '' for none"))
                .after_help(
                    "Example:\n  sipvouch registration change 1 --new-contact sip:desk@192.0.2.8:5071",
                ),
            which_arguments(Command::new("remove").about("Remove a contact"))
                .after_help("Example:\n  sipvouch registration remove desk@example.org sip:desk@192.0.2.7:5071"),
            Command::new("list")
                .about("List the contacts with their numbers and keys")
                .after_help("Example:\n  sipvouch registration list --text desk@"),
            which_arguments(Command::new("show").about("Show one contact"))
                .after_help("Example:\n  sipvouch registration show 1"),
        ]
    }

    fn added(&self, given: &ArgMatches, _: &Session) -> Result<Vec<Record>, Refusal> {
        let text = |name| given.get_one::<String>(name).map_or("", String::as_str);
        let own = store::StaticRegistration {
            aor: aor(text("AOR"))?,
            contact: contact("contact", text("CONTACT"))?,
            path: path(given)?.unwrap_or_default(),
        };
        check(&own)?;
        Ok(vec![Record::Registration(own)])
    }

    fn changed(&self, old: &Record, given: &ArgMatches, _: &Session) -> Result<Record, Refusal> {
        let Record::Registration(old) = old else {
            return Err(Refusal::NoChange(Table::Registration));
        };
        let mut own = old.clone();
        let mut any = false;
        if let Some(text) = given.get_one::<String>("new-aor") {
            own.aor = aor(text)?;
            any = true;
        }
        if let Some(text) = given.get_one::<String>("new-contact") {
            own.contact = contact("contact", text)?;
            any = true;
        }
        if let Some(path) = path(given)? {
            own.path = path;
            any = true;
        }
        if any {
            check(&own)?;
            Ok(Record::Registration(own))
        } else {
            Err(Refusal::NoChange(Table::Registration))
        }
    }

    fn keys(&self, given: &ArgMatches) -> Result<Vec<Wanted>, Refusal> {
        let which = given.get_one::<String>("WHICH").map_or("", String::as_str);
        let Some(given) = given.get_one::<String>("CONTACT") else {
            return Ok(vec![Wanted::numbered(which, vec![which.to_owned()])]);
        };
        let key = |aor: &str, contact: &str| {
            Record::Registration(store::StaticRegistration {
                aor: aor.to_owned(),
                contact: contact.to_owned(),
                ..store::StaticRegistration::default()
            })
            .key()
        };
        let mut keys = vec![key(which, given)];
        if let (Ok(aor), Ok(contact)) = (aor(which), contact("contact", given)) {
            keys.push(key(&aor, &contact));
        }
        Ok(vec![Wanted {
            given: format!("{which} {given}"),
            keys,
            number: None,
        }])
    }

    fn columns(&self) -> &'static [&'static str] {
        &["aor", "contact", "path", "key"]
    }

    fn row(&self, record: &Record) -> Vec<String> {
        match record {
            Record::Registration(own) => vec![
                own.aor.clone(),
                own.contact.clone(),
                own.path.clone(),
                record.key(),
            ],
            _ => Vec::new(),
        }
    }

    fn fields(&self, record: &Record) -> Map<String, Value> {
        match record {
            Record::Registration(own) => object(own, &[]),
            _ => Map::new(),
        }
    }

    fn rank(&self) -> Option<fn(&Record) -> i16> {
        Some(|_| 0)
    }
}

/// An address-of-record as a URI: scheme, user, host, and a port that is not the usual one.
fn aor(text: &str) -> Result<String, Refusal> {
    let refuse = |why: &str| Refusal::invalid("address-of-record", text, why);
    let has_scheme = names::without_scheme(text) != text;
    let whole = if has_scheme {
        text.to_owned()
    } else {
        format!("sip:{text}")
    };
    let uri = SipUri::parse(&whole)
        .ok_or_else(|| refuse("no SIP URI; expected one as sip:desk@example.org"))?;
    if uri.user.is_none() {
        return Err(refuse("has no user; expected one as sip:desk@example.org"));
    }
    if uri.password.is_some() || !uri.parameters.is_empty() || !uri.headers.is_empty() {
        return Err(refuse(
            "has a password, parameters or headers, which are no part of it",
        ));
    }
    let host = uri.address_of_record();
    let (user, host) = host.rsplit_once('@').unwrap_or(("", &host));
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let (scheme, usual) = if uri.secure {
        ("sips", 5061)
    } else {
        ("sip", 5060)
    };
    let port = match uri.port {
        Some(port) if port != usual => format!(":{port}"),
        _ => String::new(),
    };
    Ok(format!("{scheme}:{user}@{host}{port}"))
}

/// A name-addr as repro prints it: `"Desk"<sip:desk@192.0.2.7>;q=0.5`.
///
/// A URI without brackets is taken whole, with its parameters: as in a header field, a `transport` or `lr` behind it would
/// be none of its own, and nobody who writes one means that.
fn contact(what: &'static str, text: &str) -> Result<String, Refusal> {
    names::expression(what, text)?;
    let bracketed = format!("<{text}>");
    let whole = if text.contains('<') { text } else { &bracketed };
    let written = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match Address::parse(whole.as_bytes()) {
        Some(address) if address.uri.sip().is_some() => {
            let parameters = address.parameters;
            if parameters.value("expires").is_some() {
                let why = "has expires, and a static registration never does; leave it out, or remove the registration";
                return Err(Refusal::invalid(what, text, why));
            }
            Ok(format!(
                "{}<{}>{}",
                written(address.display),
                written(address.text),
                written(parameters.as_bytes())
            ))
        }
        Some(_) => Err(Refusal::invalid(
            what,
            text,
            "neither a sip: nor a sips: URI",
        )),
        None => Err(Refusal::invalid(
            what,
            text,
            "no address; expected one as <sip:desk@192.0.2.7:5071;transport=tcp>",
        )),
    }
}

/// Refuses a contact that would not be one.
pub(super) fn check(own: &store::StaticRegistration) -> Result<(), Refusal> {
    aor(&own.aor)?;
    contact("contact", &own.contact)?;
    let rule = RegistrationRule {
        aor: own.aor.clone(),
        contact: own.contact.clone(),
        path: own.path.clone(),
    };
    match StaticRegistrations::new([rule]).1.first() {
        Some(fault) => {
            let why = fault.defect.to_string();
            Err(Refusal::invalid("registration", &own.contact, why))
        }
        None => Ok(()),
    }
}

/// The path that is given: addresses parted by comma. One with a comma in it would be taken for two.
fn path(given: &ArgMatches) -> Result<Option<String>, Refusal> {
    let Some(texts) = given.get_many::<String>("path") else {
        return Ok(None);
    };
    let mut addresses = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if text.contains(',') {
            return Err(Refusal::invalid(
                "path",
                text,
                "has a comma; give --path again for each address",
            ));
        }
        addresses.push(contact("path", text)?);
    }
    Ok(Some(names::expression("path", &addresses.join(","))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_record_is_stored_in_one_spelling() {
        for (text, expected) in [
            ("sip:desk@example.org", Some("sip:desk@example.org")),
            ("desk@Example.ORG", Some("sip:desk@example.org")),
            ("SIP:desk@example.org:5060", Some("sip:desk@example.org")),
            (
                "sips:desk@example.org:5071",
                Some("sips:desk@example.org:5071"),
            ),
            ("sip:desk@[2001:DB8::1]", Some("sip:desk@[2001:db8::1]")),
            ("example.org", None),
            ("tel:+1555", None),
            ("sip:desk:secret@example.org", None),
            ("sip:desk@example.org;transport=tcp", None),
            ("<sip:desk@example.org>", None),
            ("", None),
        ] {
            assert_eq!(aor(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_contact_is_stored_as_repro_prints_it() {
        for (text, expected) in [
            (
                "\"Desk\" <sip:desk@127.0.0.1:5071;transport=tcp>;q=0.5",
                Some("\"Desk\"<sip:desk@127.0.0.1:5071;transport=tcp>;q=0.5"),
            ),
            ("sip:echo@127.0.0.1:5070", Some("<sip:echo@127.0.0.1:5070>")),
            (
                "sip:a@127.0.0.1;transport=tcp",
                Some("<sip:a@127.0.0.1;transport=tcp>"),
            ),
            ("*", None),
            ("tel:+1555", None),
            ("<sip:desk@127.0.0.1", None),
            ("<sip:a@127.0.0.1>, <sip:b@127.0.0.1>", None),
            ("<sip:a@127.0.0.1>;expires=0", None),
            ("", None),
        ] {
            assert_eq!(
                contact("contact", text).ok().as_deref(),
                expected,
                "{text:?}"
            );
        }
    }
}
