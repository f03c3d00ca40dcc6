//! `sipvouch user`: users and their passwords.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::names;
use super::output::{complain, object, shown};
use super::refusal::Refusal;
use super::secret::{self, Entry};
use super::table::{self, Kind, Session, Wanted, common};
use crate::auth::{Algorithm, HashText};
use crate::store::{self, Record, Table};

/// The table of users.
pub(super) struct Users;

fn address_argument() -> Arg {
    Arg::new("USER")
        .required(true)
        .value_name("USER@DOMAIN")
        .help("The user, as alice@example.org")
}

/// Options about what is stored besides the password.
fn details(command: Command) -> Command {
    [
        ("name", "NAME", "Full name, for people"),
        ("email", "MAIL", "Mail address, for people"),
        (
            "realm",
            "REALM",
            "Realm of the digest; the domain unless given, and always in repro",
        ),
        (
            "algorithms",
            "LIST",
            "Algorithms to store hashes for, of MD5, SHA-256 and SHA-512-256, parted by comma; without this those of \
             DigestChallengeAlgorithms, all if that is empty, and those that the user has",
        ),
    ]
    .into_iter()
    .fold(command, |command, (name, value, help)| {
        command.arg(Arg::new(name).long(name).value_name(value).help(help))
    })
}

impl Kind for Users {
    fn table(&self) -> Table {
        Table::User
    }

    fn about(&self) -> &'static str {
        "Users and their passwords"
    }

    fn commands(&self) -> Vec<Command> {
        let add = Command::new("add")
            .about("Add a user; the password is asked for, or read from standard input")
            .arg(address_argument())
            .after_help(
                "Examples:\n  sipvouch user add alice@example.org --name 'Alice Smith'\n  \
                 pass show sip/alice | sipvouch user add alice@example.org --password-stdin",
            );
        let change = Command::new("change")
            .about("Change a user; what is not given stays, the password too")
            .arg(address_argument())
            .arg(
                Arg::new("password")
                    .long("password")
                    .action(ArgAction::SetTrue)
                    .help("Read a new password"),
            )
            .arg(
                Arg::new("rename")
                    .long("rename")
                    .value_name("USER@DOMAIN")
                    .help("The new user and domain; needs the password, which is hashed with them"),
            )
            .after_help(
                "Examples:\n  sipvouch user change alice@example.org --password\n  \
                 sipvouch user change alice@example.org --email alice@mail.example.org",
            );
        vec![
            details(secret::options_to_set(add)),
            details(secret::options_to_set(change)),
            Command::new("remove")
                .about("Remove users; what they have registered runs out by itself")
                .arg(address_argument().num_args(1..))
                .after_help("Example:\n  sipvouch user remove alice@example.org bob@example.org"),
            Command::new("list")
                .about("List users, without their hashes")
                .after_help(
                    "Example:\n  sipvouch user list --domain example.org --json | jq -r .user",
                ),
            Command::new("show")
                .about("Show one user, without the hashes")
                .arg(address_argument())
                .after_help("Example:\n  sipvouch user show alice@example.org"),
        ]
    }

    fn added(&self, given: &ArgMatches, session: &Session) -> Result<Vec<Record>, Refusal> {
        let (user, domain) = names::address(argument(given, "USER"))?;
        let mut own = store::User {
            realm: domain.clone(),
            user,
            domain,
            ..store::User::default()
        };
        set_details(&mut own, given)?;
        // Before the password is asked for in vain.
        table::absent(session, Table::User, &Record::User(own.clone()).key())?;
        note_strange_domain(&own.domain, session)?;
        note_other_case(&own, None, session)?;
        set_password(&mut own, given, session)?;
        Ok(vec![Record::User(own)])
    }

    fn changed(
        &self,
        old: &Record,
        given: &ArgMatches,
        session: &Session,
    ) -> Result<Record, Refusal> {
        let Record::User(old) = old else {
            return Err(Refusal::NoChange(Table::User));
        };
        let mut own = old.clone();
        if let Some(name) = given.get_one::<String>("rename") {
            let realm_is_domain = own.realm == own.domain;
            (own.user, own.domain) = names::address(name)?;
            if realm_is_domain {
                own.realm = own.domain.clone();
            }
            let (before, after) = (
                Record::User(old.clone()).key(),
                Record::User(own.clone()).key(),
            );
            table::free_for(session, Table::User, &before, &after)?;
            note_strange_domain(&own.domain, session)?;
            note_other_case(&own, Some(&before), session)?;
        }
        set_details(&mut own, given)?;
        let asked = ["password", "password-stdin", "ha1", "no-password"]
            .into_iter()
            .any(|name| given.get_flag(name));
        if asked {
            set_password(&mut own, given, session)?;
        } else if (&own.user, &own.domain, &own.realm) != (&old.user, &old.domain, &old.realm)
            && !(old.password_hash.is_empty() && old.password_hash_alt.is_empty())
            || given.contains_id("algorithms")
        {
            return Err(Refusal::NeedsPassword);
        } else if !["rename", "name", "email", "realm"]
            .into_iter()
            .any(|name| given.contains_id(name))
        {
            return Err(Refusal::NoChange(Table::User));
        }
        Ok(Record::User(own))
    }

    fn keys(&self, given: &ArgMatches) -> Result<Vec<Wanted>, Refusal> {
        let texts = given.get_many::<String>("USER").unwrap_or_default();
        Ok(texts
            .map(|text| {
                let bare = names::without_scheme(text);
                let own = names::address(bare).map(|(user, domain)| format!("{user}@{domain}"));
                Wanted {
                    given: text.clone(),
                    keys: std::iter::once(bare.to_owned()).chain(own.ok()).collect(),
                    number: None,
                }
            })
            .collect())
    }

    fn columns(&self) -> &'static [&'static str] {
        &["user", "algorithms", "email", "name"]
    }

    fn row(&self, record: &Record) -> Vec<String> {
        match record {
            Record::User(own) => vec![
                record.key(),
                stored(own).join(","),
                own.email.clone(),
                own.name.clone(),
            ],
            _ => Vec::new(),
        }
    }

    fn fields(&self, record: &Record) -> Map<String, Value> {
        let Record::User(own) = record else {
            return Map::new();
        };
        let mut fields = object(own, &[("algorithms", json!(stored(own)))]);
        fields.remove("password_hash");
        fields.remove("password_hash_alt");
        fields
    }

    fn domain_of(&self, record: &Record) -> Option<String> {
        match record {
            Record::User(own) => Some(own.domain.clone()),
            _ => None,
        }
    }
}

/// Names of the algorithms that a hash is stored for; `unusable` for one that no password fits.
fn stored(user: &store::User) -> Vec<&'static str> {
    match HashText::parse(&user.password_hash) {
        Ok(hash) => hash.algorithms().map(Algorithm::name).collect(),
        Err(_) => vec!["unusable"],
    }
}

fn argument<'g>(given: &'g ArgMatches, name: &str) -> &'g str {
    given.get_one::<String>(name).map_or("", String::as_str)
}

fn set_details(own: &mut store::User, given: &ArgMatches) -> Result<(), Refusal> {
    if let Some(name) = given.get_one::<String>("name") {
        own.name = names::text("name", name)?;
    }
    if let Some(email) = given.get_one::<String>("email") {
        own.email = names::text("email", email)?;
    }
    if let Some(realm) = given.get_one::<String>("realm") {
        if realm.is_empty() || realm.contains(['"', '\\']) {
            let why = "empty, or with a quote or backslash in it";
            return Err(Refusal::invalid("realm", realm, why));
        }
        own.realm = names::text("realm", realm)?;
    }
    Ok(())
}

/// Reads the password, or what stands for it, and stores its hashes: for the usual algorithms and those that there are hashes
/// of. One that was left as it is would be that of the old password.
fn set_password(
    own: &mut store::User,
    given: &ArgMatches,
    session: &Session,
) -> Result<(), Refusal> {
    let before: Vec<Algorithm> =
        HashText::parse(&own.password_hash).map_or(Vec::new(), |old| old.algorithms().collect());
    let algorithms = match given.get_one::<String>("algorithms") {
        Some(list) => names::algorithms(list)?,
        None => [&*session.opened.algorithms, &*before].concat(),
    };
    let (hash, alternative) = if given.get_flag("no-password") {
        (HashText::default(), HashText::default())
    } else if given.get_flag("ha1") {
        // The other form cannot be made of it, and repro never asks for it.
        (secret::hash()?, HashText::default())
    } else {
        let whole = format!("{}@{}", own.user, own.domain);
        let password = secret::password(given, &whole, Entry::Twice)?;
        let of = |name: &str| HashText::of_password(&algorithms, name, &own.realm, &password);
        (of(&own.user)?, of(&whole)?)
    };
    let lost: Vec<&str> = before
        .into_iter()
        .filter(|old| hash.get(*old).is_none())
        .map(Algorithm::name)
        .collect();
    if !lost.is_empty() && !given.get_flag("no-password") {
        complain(&format!(
            "note: there is no hash for {} any more; a phone that knows nothing else cannot log in",
            lost.join(", ")
        ));
    }
    own.password_hash = hash.to_string();
    own.password_hash_alt = alternative.to_string();
    Ok(())
}

/// Says so when a domain is none of ours: a user of it never reaches us.
fn note_strange_domain(domain: &str, session: &Session) -> Result<(), Refusal> {
    let Some(configured) = &session.opened.domains else {
        return Ok(());
    };
    let known = configured.iter().any(|own| own == domain)
        || session.store().get(Table::Domain, domain)?.is_some();
    if !known {
        complain(&format!(
            "note: {domain} is none of our domains yet; see: sipvouch domain add {domain}"
        ));
    }
    Ok(())
}

/// Says so when there is a user who differs in letter case only: to SIP that is somebody else (RFC 3261 §19.1.4). Looks for
/// the usual spellings, not through all users, and not for the one that is renamed.
fn note_other_case(
    own: &store::User,
    renamed: Option<&str>,
    session: &Session,
) -> Result<(), Refusal> {
    let lower = own.user.to_ascii_lowercase();
    let capital = match lower.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => lower.clone(),
    };
    for other in [lower, capital, own.user.to_ascii_uppercase()] {
        let key = format!("{other}@{}", own.domain);
        if other != own.user
            && renamed != Some(&key)
            && session.store().get(Table::User, &key)?.is_some()
        {
            complain(&format!(
                "note: there is {} too; letter case counts in the user, so that these are two",
                shown(&key)
            ));
            break;
        }
    }
    Ok(())
}

/// `sipvouch user verify`.
pub(super) fn verify_command() -> Command {
    let command = Command::new("verify")
        .about("Say whether a password is that of a user: exit status 0 if it is, 1 if not")
        .arg(address_argument())
        .after_help("Example:\n  sipvouch user verify alice@example.org");
    common(secret::options(command))
}

/// Reads a password and says whether it is the user's, by every hash that is stored.
pub(super) fn verify(given: &ArgMatches, session: &mut Session) -> Result<(), Refusal> {
    let found = table::found(&Users, given, session)?;
    let Some(Record::User(own)) = found.first() else {
        return Err(Refusal::Said);
    };
    let hash = HashText::parse(&own.password_hash)?;
    let whole = format!("{}@{}", own.user, own.domain);
    let password = secret::password(given, &whole, Entry::Once)?;
    let (same, other) = hash.compare(&own.user, &own.realm, &password)?;
    let good = !same.is_empty() && other.is_empty();
    let names = |algorithms: &[Algorithm]| {
        let names: Vec<_> = algorithms.iter().map(|own| own.name()).collect();
        names.join(", ")
    };
    if session.output.json {
        let same: Vec<_> = same.iter().map(|own| own.name()).collect();
        let line =
            json!({ "user": own.user, "domain": own.domain, "good": good, "algorithms": same });
        session.output.line(&line.to_string());
    } else if !session.output.quiet {
        let whole = shown(&whole);
        session.output.line(&if good {
            format!("{whole}: this is the password ({})", names(&same))
        } else if hash.is_empty() {
            format!("{whole}: has no password")
        } else if same.is_empty() {
            format!("{whole}: this is not the password")
        } else {
            format!(
                "{whole}: this is the password for {} and another one for {}; set it again",
                names(&same),
                names(&other)
            )
        });
    }
    if good { Ok(()) } else { Err(Refusal::Said) }
}
