//! `sipvouch identity`: what a name in a certificate may use.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use serde_json::{Map, Value};

use super::names;
use super::output::{complain, object, shown};
use super::refusal::Refusal;
use super::table::{Kind, Session, Wanted};
use crate::store::{self, Flow, Record, Table};

/// The table of TLS peer identities.
pub(super) struct Identities;

fn both(command: Command) -> Command {
    command
        .arg(
            Arg::new("NAME")
                .required(true)
                .help("The name in the certificate, as 0004F2123456 or gw.example.net"),
        )
        .arg(
            Arg::new("IDENTITY")
                .required(true)
                .help("What it may use: user@domain, or a whole domain"),
        )
}

impl Kind for Identities {
    fn table(&self) -> Table {
        Table::Identity
    }

    fn about(&self) -> &'static str {
        "TLS peer identities: what a name in a certificate may use; asked only where there are no CommonNameMappings"
    }

    fn commands(&self) -> Vec<Command> {
        vec![
            both(Command::new("add").about("Let a name in a certificate use an identity"))
                .after_help(
                    "Example:\n  sipvouch identity add 0004F2123456 alice@example.org\n\n\
                     While the file of CommonNameMappings has mappings no identity is asked for, as in repro.",
                ),
            both(Command::new("change").about("Give it to another name, or give the name another identity"))
                .arg(
                    Arg::new("new-name")
                        .long("new-name")
                        .value_name("NAME")
                        .help("The name instead of this one"),
                )
                .arg(
                    Arg::new("new-identity")
                        .long("new-identity")
                        .value_name("IDENTITY")
                        .help("The identity instead of this one"),
                )
                .after_help(
                    "Example:\n  sipvouch identity change 0004F2123456 alice@example.org --new-name 0004F2999999",
                ),
            both(Command::new("remove").about("The name may use it no longer"))
                .after_help("Example:\n  sipvouch identity remove 0004F2123456 alice@example.org"),
            Command::new("list")
                .about("List names and what they may use")
                .after_help("Example:\n  sipvouch identity list --text 0004F2"),
            both(Command::new("show").about("Show one of them"))
                .after_help("Example:\n  sipvouch identity show 0004F2123456 alice@example.org"),
        ]
    }

    fn added(&self, given: &ArgMatches, session: &Session) -> Result<Vec<Record>, Refusal> {
        if let Some(mappings) = &session.opened.mappings {
            note_mappings(mappings);
        }
        let own = store::Identity {
            peer_name: peer_name(argument(given, "NAME"))?,
            authorized_identity: identity(argument(given, "IDENTITY"))?,
        };
        note_other_case(&own, None, session)?;
        Ok(vec![Record::Identity(own)])
    }

    fn changed(
        &self,
        old: &Record,
        given: &ArgMatches,
        session: &Session,
    ) -> Result<Record, Refusal> {
        let Record::Identity(old) = old else {
            return Err(Refusal::NoChange(Table::Identity));
        };
        let name = given.get_one::<String>("new-name");
        let new = given.get_one::<String>("new-identity");
        if name.is_none() && new.is_none() {
            return Err(Refusal::NoChange(Table::Identity));
        }
        if let Some(mappings) = &session.opened.mappings {
            note_mappings(mappings);
        }
        let own = store::Identity {
            peer_name: match name {
                Some(name) => peer_name(name)?,
                None => old.peer_name.clone(),
            },
            authorized_identity: match new {
                Some(new) => identity(new)?,
                None => old.authorized_identity.clone(),
            },
        };
        if name.is_some() {
            note_other_case(&own, Some(old), session)?;
        }
        Ok(Record::Identity(own))
    }

    fn keys(&self, given: &ArgMatches) -> Result<Vec<Wanted>, Refusal> {
        let (name, own) = (argument(given, "NAME"), argument(given, "IDENTITY"));
        let key = |identity: &str| {
            Record::Identity(store::Identity {
                peer_name: name.to_owned(),
                authorized_identity: identity.to_owned(),
            })
            .key()
        };
        let keys = std::iter::once(key(own))
            .chain(identity(own).ok().map(|own| key(&own)))
            .collect();
        Ok(vec![Wanted {
            given: format!("{name} {own}"),
            keys,
            number: None,
        }])
    }

    fn columns(&self) -> &'static [&'static str] {
        &["name", "identity"]
    }

    fn row(&self, record: &Record) -> Vec<String> {
        match record {
            Record::Identity(own) => vec![own.peer_name.clone(), own.authorized_identity.clone()],
            _ => Vec::new(),
        }
    }

    fn fields(&self, record: &Record) -> Map<String, Value> {
        match record {
            Record::Identity(own) => object(own, &[]),
            _ => Map::new(),
        }
    }

    fn domain_of(&self, record: &Record) -> Option<String> {
        match record {
            Record::Identity(own) => {
                let identity = own.authorized_identity.as_str();
                let domain = identity
                    .rsplit_once('@')
                    .map_or(identity, |(_, domain)| domain);
                Some(domain.to_owned())
            }
            _ => None,
        }
    }
}

/// Says that identities count for nothing beside CommonNameMappings.
pub(super) fn note_mappings(file: &Path) {
    complain(&format!(
        "note: TLS peer identities are not asked for while CommonNameMappings = {} has mappings, as in repro; add a line to \
         that file instead, or take the setting out",
        file.display()
    ));
}

fn argument<'g>(given: &'g ArgMatches, name: &str) -> &'g str {
    given.get_one::<String>(name).map_or("", String::as_str)
}

/// Says so when an identity is given to a name that is there in other letters, but for the record that is changed.
fn note_other_case(
    own: &store::Identity,
    changed: Option<&store::Identity>,
    session: &Session,
) -> Result<(), Refusal> {
    let mut other = None;
    session
        .store()
        .each(Table::Identity, &mut |record| match record {
            Ok(Record::Identity(found))
                if changed != Some(&found)
                    && found.peer_name != own.peer_name
                    && found.peer_name.eq_ignore_ascii_case(&own.peer_name) =>
            {
                other = Some(found.peer_name);
                Flow::Enough
            }
            _ => Flow::More,
        })?;
    if let Some(other) = other {
        complain(&format!(
            "note: there are identities of {} already, and names of certificates are compared letter by letter, but for MAC \
             addresses",
            shown(&other)
        ));
    }
    Ok(())
}

/// Refuses what no certificate has, or nobody can claim.
pub(super) fn check(own: &store::Identity) -> Result<(), Refusal> {
    peer_name(&own.peer_name)?;
    identity(&own.authorized_identity).map(|_| ())
}

/// A name of a certificate. One with an asterisk in it is a name like any other, and has a domain behind it.
fn peer_name(text: &str) -> Result<String, Refusal> {
    let name = names::peer_name(text)?;
    if name.strip_prefix("*.").unwrap_or(&name).contains('*') {
        let why =
            "a * stands for nothing here: a name is compared whole with those of the certificate";
        return Err(Refusal::invalid("certificate name", text, why));
    }
    Ok(name)
}

/// `user@domain` or `domain`, in the form that is compared.
fn identity(text: &str) -> Result<String, Refusal> {
    let bare = names::without_scheme(text);
    if bare.contains('@') {
        let (user, domain) = names::address(bare)?;
        Ok(format!("{user}@{domain}"))
    } else {
        names::domain(bare)
    }
}
