//! One line of a rules file.

use std::net::{IpAddr, SocketAddr};

use super::fault::RightsFaultKind as Kind;
use super::index::{Pattern, Rule};
use super::{CaRole, ListenerPlace};
use crate::auth::certificate::user_at_host;
use crate::auth::issuer::CaName;
use crate::auth::mac::{Mac, is_dns_name};
use crate::sip::canonical_domain;

/// Every field, in the order of the documentation.
const FIELDS: [&str; 9] = [
    "file",
    "subject",
    "keyid",
    "sha256",
    "names",
    "users",
    "domains",
    "listeners",
    "roles",
];

/// How a line names its CA.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ca {
    Named(CaName),
    /// Every certificate in this file.
    File(String),
}

/// Reads a line that is neither empty nor a comment.
pub(super) fn read(
    line: &str,
    number: u32,
    listeners: &[ListenerPlace],
) -> Result<(Ca, Rule), Kind> {
    let mut ca = None;
    let mut rule = Rule {
        line: number,
        ..Rule::default()
    };
    let mut seen = [false; FIELDS.len()];
    let mut has_rights = false;
    for (field, value) in words(line)? {
        let Some((at, name)) = FIELDS.iter().enumerate().find(|(_, name)| **name == field) else {
            return Err(Kind::UnknownField(field));
        };
        let name: &'static str = name;
        if let Some(seen) = seen.get_mut(at)
            && std::mem::replace(seen, true)
        {
            return Err(Kind::RepeatedField(name));
        }
        if value.is_empty() {
            return Err(Kind::Empty(name));
        }
        if value.chars().any(char::is_control) {
            return Err(Kind::ControlCharacter(name));
        }
        if matches!(name, "file" | "subject" | "keyid" | "sha256") {
            let named = match name {
                "file" => Ca::File(value),
                _ => Ca::Named(
                    CaName::parse(name, &value).map_err(|hint| unusable(name, &value, hint))?,
                ),
            };
            if ca.replace(named).is_some() {
                return Err(Kind::SeveralCas);
            }
            continue;
        }
        has_rights = true;
        for item in value.split(',').map(str::trim) {
            let bad = |hint| unusable(name, item, hint);
            match name {
                "names" => rule.names.push(pattern(item).map_err(bad)?),
                "users" => rule.users.push(
                    user_at_host(item)
                        .filter(|user| !user.starts_with("*@"))
                        .ok_or_else(|| bad("expected user@domain"))?
                        .into(),
                ),
                "domains" => match item.strip_prefix('.') {
                    Some(above) => rule.below.push(domain(above).map_err(bad)?),
                    None => rule.domains.push(domain(item).map_err(bad)?),
                },
                "listeners" => {
                    let found = listeners.iter().filter(|place| is_listener(place, item));
                    let before = rule.listeners.len();
                    rule.listeners.extend(found.map(|place| place.number));
                    if rule.listeners.len() == before {
                        return Err(bad(
                            "no TLS listener has this port, address:port or setting",
                        ));
                    }
                }
                _ => {
                    let role = CaRole::named(item)
                        .ok_or_else(|| bad("expected phone, domain or server"))?;
                    rule.roles |= role.bit();
                }
            }
        }
    }
    let ca = ca.ok_or(Kind::NoCa)?;
    if !has_rights {
        return Err(Kind::NoRights);
    }
    rule.sort();
    Ok((ca, rule))
}

fn unusable(field: &'static str, value: &str, hint: &'static str) -> Kind {
    Kind::Unusable {
        field,
        value: value.to_owned(),
        hint,
    }
}

/// The words of a line, at blanks outside of quotation marks, each as field and value.
fn words(line: &str) -> Result<Vec<(String, String)>, Kind> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', '"', '=']).unwrap_or(rest.len());
        let (field, after) = rest.split_at(end);
        let Some(value) = after.strip_prefix('=').filter(|_| !field.is_empty()) else {
            let shown = rest.split([' ', '\t']).next().unwrap_or(rest);
            return Err(Kind::NoField(shown.to_owned()));
        };
        let value = match value.strip_prefix('"') {
            Some(quoted) => {
                let end = closing(quoted).ok_or(Kind::OpenQuote)?;
                let (inside, after) = quoted.split_at(end);
                rest = after.strip_prefix('"').unwrap_or(after);
                if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
                    return Err(Kind::NoField(rest.to_owned()));
                }
                inside
            }
            None => {
                let end = value.find([' ', '\t']).unwrap_or(value.len());
                let (bare, after) = value.split_at(end);
                rest = after;
                if bare.contains('"') {
                    return Err(Kind::OpenQuote);
                }
                bare
            }
        };
        words.push((field.to_owned(), value.trim().to_owned()));
        rest = rest.trim_start();
    }
    Ok(words)
}

/// Where the quotation mark is that closes; one behind a backslash belongs to the name (RFC 2253 §2.4).
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices()
        .find(|(_, character)| match character {
            '\\' => {
                escaped = !escaped;
                false
            }
            '"' if !escaped => true,
            _ => {
                escaped = false;
                false
            }
        })
        .map(|(at, _)| at)
}

/// A name of certificates that is no user and no domain, with one `*` at its start or end at most.
fn pattern(text: &str) -> Result<Pattern, &'static str> {
    if is_user_or_domain(text) {
        return Err(
            "names= is for devices and other labels; write users= or domains= for what is a user, a domain or an address",
        );
    }
    let (start, end) = (text.strip_prefix('*'), text.strip_suffix('*'));
    let is_plain = |rest: &str| !rest.is_empty() && !rest.contains('*');
    match (start, end) {
        (None, None) if text.contains('*') => {
            Err("a * stands at the start or at the end of a name, not inside")
        }
        (None, None) if text.is_empty() => Err("a comma too many"),
        (None, None) => Ok(Pattern::Exact(text.into())),
        (Some(rest), None) if is_plain(rest) => Ok(Pattern::EndsWith(rest.into())),
        (None, Some(rest)) if is_plain(rest) => Ok(Pattern::StartsWith(rest.into())),
        _ => Err("expected one * at the start or at the end, and something beside it"),
    }
}

/// Whether a text, with or without `*`, can be nothing but a user, a domain or an address. A MAC address with dots is none.
fn is_user_or_domain(text: &str) -> bool {
    let bare = text.trim_matches(['*', '.']);
    text.contains('@')
        || text.parse::<IpAddr>().is_ok()
        || (text.contains('.') && is_dns_name(bare) && Mac::of_key(text).is_none())
}

/// A domain, or an address that stands for one, in the form that is compared.
fn domain(text: &str) -> Result<Box<str>, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_canonical().to_string().into());
    }
    let name = canonical_domain(text);
    if is_dns_name(&name) {
        Ok((*name).into())
    } else {
        Err("expected a domain, with a dot in front for all below it")
    }
}

/// Whether an operator means this listener.
fn is_listener(place: &ListenerPlace, text: &str) -> bool {
    let by_port = text.parse() == Ok(place.address.port());
    let by_address = text.parse::<SocketAddr>() == Ok(place.address);
    let setting = &place.setting;
    by_port
        || by_address
        || text.eq_ignore_ascii_case(setting)
        || setting
            .strip_suffix("Interface")
            .is_some_and(|transport| text.eq_ignore_ascii_case(transport))
}
