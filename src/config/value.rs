//! Values: text into what a setting's kind says, with the sentence that says what was expected.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::file::{RawSetting, RawSettings};
use super::settings::{self, Kind, Noted, Setting, Standing};
use super::{ConfigError, Note, NoteClass, Origin};
use crate::auth::{IpNetwork, TrustedPeer};
use crate::proxy::pattern_groups;
use crate::proxy::relay::RecordRoute;
use crate::tls;

/// Holds every setting made against its row: wrong values become errors, unknown names and values without effect
/// become notes.
pub(super) fn check(settings: &RawSettings, errors: &mut Vec<ConfigError>, notes: &mut Vec<Note>) {
    for raw in settings.iter() {
        let Some(row) = settings::find(&raw.name) else {
            notes.push(unknown(raw));
            continue;
        };
        if raw.origin == Origin::CommandLine && row.name == "Include" {
            notes.push(Note {
                class: NoteClass::Unknown,
                at: raw.origin.clone(),
                name: raw.name.clone(),
                text: "it works in a file only, and does nothing here".to_owned(),
            });
            continue;
        }
        if let Err(expected) = parse(row, &raw.value) {
            if row.is_honoured() {
                errors.push(wrong(raw, expected));
            } else {
                // What has no effect must not keep an old installation from starting.
                notes.push(Note {
                    class: NoteClass::Info,
                    at: raw.origin.clone(),
                    name: raw.name.clone(),
                    text: format!(
                        "{} will be refused once it has an effect: expected {expected}",
                        shown(row, &raw.value)
                    ),
                });
            }
        } else if row.kind_is_list() && has_empty_items(&raw.value) {
            notes.push(Note {
                class: NoteClass::Info,
                at: raw.origin.clone(),
                name: raw.name.clone(),
                text: format!(
                    "{} has an empty item, which is dropped",
                    shown(row, &raw.value)
                ),
            });
        }
    }
    let numbered = settings.iter().any(|raw| {
        settings::split_family(&raw.name)
            .is_some_and(|(family, _, _)| family.eq_ignore_ascii_case("transport"))
    });
    for row in settings::all() {
        // Next to numbered transports the simple ports have no default.
        let by_default = row.default != "0" && row.name.ends_with("Port") && numbered;
        if row.family().is_none() && !(by_default && settings.find(row.name).is_none()) {
            let raw = settings.find(row.name);
            standing(row, raw, notes);
        }
    }
    for raw in settings.iter() {
        if let Some(row) = settings::find(&raw.name).filter(|row| row.family().is_some()) {
            standing(row, Some(raw), notes);
        }
    }
}

impl Setting {
    fn kind_is_list(&self) -> bool {
        matches!(
            self.kind,
            Kind::List
                | Kind::SecretList
                | Kind::PathList
                | Kind::DomainList
                | Kind::Networks
                | Kind::NameServers
                | Kind::Peers
                | Kind::OpensslOptions
        )
    }
}

/// Says what becomes of a setting that we do not act on.
fn standing(row: &'static Setting, raw: Option<&RawSetting>, notes: &mut Vec<Note>) {
    let (class, text, noted) = match row.standing {
        Standing::Honoured => return,
        Standing::Unread => {
            if let Some(raw) = raw {
                notes.push(Note {
                    class: NoteClass::Unknown,
                    at: raw.origin.clone(),
                    name: raw.name.clone(),
                    text: "no program reads this setting; remove it".to_owned(),
                });
            }
            return;
        }
        Standing::NotYet { meanwhile, noted } => (NoteClass::NotYet, meanwhile, noted),
        Standing::Replaced { advice, noted } => (NoteClass::Replaced, advice, noted),
    };
    let value = raw.map_or(row.default, |raw| raw.value.as_str());
    let said = match noted {
        Noted::Changed => {
            let changed = !value.is_empty() && !is_same(row, value, row.default);
            raw.is_some() && (changed || is_on(row, value))
        }
        Noted::On => raw.is_some() && is_on(row, value),
        Noted::Always => is_on(row, value),
    };
    if said {
        let (at, name) = match raw {
            Some(raw) => (raw.origin.clone(), raw.name.clone()),
            None => (Origin::Default, row.name.to_owned()),
        };
        notes.push(Note {
            class,
            at,
            name,
            text: format!("{}: {text}", shown(row, value)),
        });
    }
}

/// Whether two texts mean the same for the setting.
fn is_same(row: &Setting, a: &str, b: &str) -> bool {
    match row.kind {
        Kind::Bool => boolean(a) == boolean(b),
        Kind::Integer { .. } => integer(a) == integer(b),
        Kind::Index => index(a) == index(b),
        Kind::Choice(words) => choice(words, a) == choice(words, b),
        _ => a == b,
    }
}

fn is_on(row: &Setting, value: &str) -> bool {
    match row.kind {
        // What is switched off by `true` is on by `false`.
        Kind::Bool => boolean(value) != Some(row.name.starts_with("Disable")),
        Kind::Integer { .. } => integer(value) != Ok(0),
        Kind::Index => index(value) != Ok(None),
        _ => !value.is_empty(),
    }
}

fn unknown(raw: &RawSetting) -> Note {
    let text = match settings::nearest(&raw.name) {
        Some(name) => format!("no such setting, so it has no effect; did you mean {name}?"),
        None => "no such setting, so it has no effect".to_owned(),
    };
    // The name is whatever stood before the equals sign, and may hold control characters.
    let name = raw.name.escape_debug().to_string();
    Note {
        class: NoteClass::Unknown,
        at: raw.origin.clone(),
        name,
        text,
    }
}

/// The error of a value that its setting does not take.
pub(super) fn wrong(raw: &RawSetting, expected: String) -> ConfigError {
    let value = match settings::find(&raw.name) {
        Some(row) => shown(row, &raw.value),
        None => "(hidden)".to_owned(),
    };
    ConfigError::Value {
        at: raw.origin.clone(),
        name: raw.name.clone(),
        value,
        expected,
    }
}

/// The value in quotes, or a stand-in for a secret.
pub(super) fn shown(row: &Setting, value: &str) -> String {
    if row.is_secret() && !value.is_empty() {
        "(hidden)".to_owned()
    } else {
        format!("{value:?}")
    }
}

/// Holds a value against the kind of its setting; the error says what was expected.
pub(super) fn parse(row: &Setting, value: &str) -> Result<(), String> {
    match row.kind {
        Kind::Text
        | Kind::Secret
        | Kind::SecretList
        | Kind::Path
        | Kind::List
        | Kind::PathList => Ok(()),
        Kind::RecordRoute => record_route(value).map(drop),
        Kind::Index => index(value).map(drop),
        Kind::Regex => pattern(value),
        Kind::Bool => boolean(value).map(drop).ok_or_else(|| "true or false".to_owned()),
        Kind::Integer { min, max, unit } => {
            let what = expected_integer(row.name, min, max, unit);
            match integer(value) {
                Ok(number) if number >= min && number <= max => Ok(()),
                Ok(_) => Err(what),
                Err(Some(rest)) => Err(format!("{what}; remove {rest:?} (a comment needs a line of its own)")),
                Err(None) => Err(what),
            }
        }
        Kind::Choice(words) => choice(words, value).map(drop).ok_or_else(|| expected_choice(words)),
        Kind::Domain => {
            if value.is_empty() { Ok(()) } else { domain(value).map(drop) }
        }
        Kind::DomainList => list(value).try_for_each(|item| domain(item).map(drop)),
        Kind::Address => {
            if value.is_empty() { Ok(()) } else { address(value).map(drop) }
        }
        Kind::Networks => list(value).try_for_each(|item| network(item).map(drop)),
        Kind::Peers => list(value).try_for_each(|item| peer(item).map(drop)),
        Kind::Interface => interface(value).map(drop),
        Kind::NameServers => list(value).try_for_each(|item| name_server(item).map(drop)),
        Kind::OpensslOptions => list(value).try_for_each(|item| {
            tls::is_openssl_option(item).then_some(()).ok_or_else(|| {
                format!("names of OpenSSL options as SSL_OP_NO_TICKET, in this letter case; {item:?} is none")
            })
        }),
    }
}

fn expected_integer(name: &str, min: u64, max: u64, unit: &str) -> String {
    if unit == "port" {
        let name = name.trim_end_matches("Port");
        return format!("a port 1-65535, or 0 to switch {name} off");
    }
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" of {unit}")
    };
    format!("a number{unit} from {min} to {max}")
}

fn expected_choice(words: &[&'static str]) -> String {
    let words: Vec<&str> = words.iter().map(|word| main_spelling(word)).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// The documented spelling of a word and its others.
pub(super) fn main_spelling(word: &'static str) -> &'static str {
    word.split('|').next().unwrap_or_default()
}

/// repro's words, and yes and no.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "enable" | "yes" => Some(true),
        "0" | "false" | "off" | "disable" | "no" => Some(false),
        _ => None,
    }
}

/// Digits only; nothing at all is 0, as in repro. The error is what follows the digits, if there are any.
pub(super) fn integer(value: &str) -> Result<u64, Option<&str>> {
    if value.is_empty() {
        return Ok(0);
    }
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    match value.split_at_checked(digits) {
        Some((digits, "")) => digits.parse().map_err(|_| None),
        Some((digits, rest)) if !digits.is_empty() && rest.starts_with([' ', '\t']) => {
            Err(Some(rest.trim_start()))
        }
        _ => Err(None),
    }
}

/// A number of a family; `None` for -1 and for nothing at all.
pub(super) fn index(value: &str) -> Result<Option<u32>, String> {
    match value {
        "" | "-1" => Ok(None),
        number => number
            .parse()
            .map(Some)
            .map_err(|_| "the number of a Database<N>, or -1 for none".to_owned()),
    }
}

/// A regular expression as repro takes it; empty for none.
fn pattern(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    pattern_groups(value)
        .map(drop)
        .map_err(|fault| format!("a regular expression: {fault}"))
}

/// The documented spelling of the word that a value is.
pub(super) fn choice(words: &[&'static str], value: &str) -> Option<&'static str> {
    words
        .iter()
        .find(|word| {
            word.split('|')
                .any(|spelling| spelling.eq_ignore_ascii_case(value))
        })
        .map(|word| main_spelling(word))
}

/// Items of a list without the empty ones, which repro kept (one in `CADirectory` became `/`).
pub(super) fn list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split([',', ' ', '\t'])
        .filter(|item| !item.is_empty())
}

/// Whether a list has a comma too many. Blanks around commas are no fault.
fn has_empty_items(value: &str) -> bool {
    !value.is_empty() && value.split(',').any(|item| item.trim().is_empty())
}

/// A host name, lower case, without the dot at its end.
pub(super) fn domain(value: &str) -> Result<String, String> {
    let name = value.strip_suffix('.').unwrap_or(value);
    // File names are made of it, so that a slash would lead out of the certificate directory.
    let fits = !name.is_empty()
        && name.len() <= 253
        && !name.starts_with('.')
        && !name.contains("..")
        && name.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'[' | b']')
        });
    if fits {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(format!(
            "a domain as example.org, in ASCII (an IDN as xn--…); {value:?} is none"
        ))
    }
}

/// An IP address; brackets around IPv6 are allowed.
pub(super) fn address(value: &str) -> Result<IpAddr, String> {
    let bare = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let found = match bare {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => value.parse().ok(),
    };
    found.ok_or_else(|| format!("an IP address, or nothing for every address; {value:?} is none"))
}

/// An address, or `address/prefix`.
pub(super) fn network(value: &str) -> Result<IpNetwork, String> {
    let expected =
        || format!("addresses or networks as 192.0.2.7 or 2001:db8::/32; {value:?} is none");
    let (text, prefix) = match value.split_once('/') {
        Some((text, prefix)) => (text, Some(prefix)),
        None => (value, None),
    };
    let address = address(text).map_err(|_| expected())?;
    let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(prefix) if !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit()) => prefix
            .parse()
            .ok()
            .filter(|prefix| *prefix <= bits)
            .ok_or_else(expected)?,
        Some(_) => return Err(expected()),
    };
    Ok(IpNetwork { address, prefix })
}

/// A network, or a name out of a certificate.
pub(super) fn peer(value: &str) -> Result<TrustedPeer, String> {
    let expected = || format!("addresses, networks, or names of certificates; {value:?} is none");
    // A name of digits and dots alone, or with a slash or colon, is an address with a typing error: to trust it as
    // a name would leave the gateway out without a word.
    let like_address =
        value.contains(['/', ':']) || value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match network(value) {
        Ok(network) => Ok(TrustedPeer::Network(network)),
        Err(_) if like_address && !value.starts_with("sip:") => Err(expected()),
        Err(_) => Ok(TrustedPeer::Name(value.to_ascii_lowercase())),
    }
}

/// The address of a name server, with a port or on the usual one.
pub(super) fn name_server(value: &str) -> Result<SocketAddr, String> {
    let expected = || {
        format!("addresses as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53; {value:?} is none")
    };
    match address(value) {
        Ok(address) => Ok(SocketAddr::new(address, 53)),
        // Whose last colon belongs to an address without brackets, nobody can tell.
        Err(_) => value
            .parse::<SocketAddr>()
            .ok()
            .filter(|server| server.port() != 0)
            .ok_or_else(expected),
    }
}

/// `address:port`, the last colon parting them; brackets around IPv6 are allowed.
pub(super) fn interface(value: &str) -> Result<SocketAddr, String> {
    let expected =
        || "an address and a port 1-65535, as 192.0.2.1:5061 or [2001:db8::1]:5061".to_owned();
    let (host, port) = value.rsplit_once(':').ok_or_else(expected)?;
    let address = address(host.trim_end()).map_err(|_| expected())?;
    match integer(port.trim_start()) {
        Ok(port @ 1..=65_535) => u16::try_from(port)
            .map(|port| SocketAddr::new(address, port))
            .map_err(|_| expected()),
        _ => Err(expected()),
    }
}

/// What a listener records; `None` for nothing at all and for repro's `auto`.
pub(super) fn record_route(value: &str) -> Result<Option<RecordRoute>, String> {
    if value.is_empty() || value.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    RecordRoute::parse(value).map(Some).ok_or_else(|| {
        "a URI as sip:sip.example.org:5061;transport=tls, without header fields and method, or auto".to_owned()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn held(name: &str, value: &str) -> Result<(), String> {
        parse(settings::find(name).unwrap(), value)
    }

    #[test]
    fn booleans_are_repros_words_and_yes_and_no() {
        for (value, expected) in [
            ("1", Some(true)),
            ("TRUE", Some(true)),
            ("On", Some(true)),
            ("enable", Some(true)),
            ("Yes", Some(true)),
            ("0", Some(false)),
            ("false", Some(false)),
            ("OFF", Some(false)),
            ("disable", Some(false)),
            ("no", Some(false)),
            ("", None),
            ("2", None),
            ("ja", None),
            ("true # certainly", None),
            ("enabled", None),
        ] {
            assert_eq!(boolean(value), expected, "{value:?}");
        }
    }

    #[test]
    fn values_that_a_setting_does_not_take_are_told_what_it_takes() {
        for (name, value, expected) in [
            ("TLSPort", "50b1", "a port 1-65535, or 0 to switch TLS off"),
            ("TLSPort", "65536", "a port 1-65535, or 0 to switch TLS off"),
            ("TLSPort", "-1", "a port 1-65535, or 0 to switch TLS off"),
            (
                "TLSPort",
                "99999999999999999999999",
                "a port 1-65535, or 0 to switch TLS off",
            ),
            (
                "TLSPort",
                "5061 # tls",
                "a port 1-65535, or 0 to switch TLS off; remove \"# tls\" (a comment needs a line of its own)",
            ),
            (
                "HandshakeTimeout",
                "10s",
                "a number of seconds from 0 to 31536000",
            ),
            ("NumAuthGrabberWorkerThreads", "", "a number from 1 to 1024"),
            ("EnableCertificateAuthenticator", "ja", "true or false"),
            (
                "TLSClientVerification",
                "Sometimes",
                "None, Optional or Mandatory",
            ),
            ("TLSConnectionMethod", "TLSv1_3", "SSLv23 or TLSv1"),
            (
                "TLSMinimumProtocol",
                "1.4",
                "TLSv1.2, TLSv1.3, TLSv1.1 or TLSv1.0",
            ),
            (
                "OpenSSLCTXSetOptions",
                "SSL_OP_NO_SSLv3 ssl_op_all",
                "names of OpenSSL options as SSL_OP_NO_TICKET, in this letter case; \"ssl_op_all\" is none",
            ),
            (
                "IPAddress",
                "eth0",
                "an IP address, or nothing for every address; \"eth0\" is none",
            ),
            (
                "Transport1Interface",
                "192.0.2.1",
                "an address and a port 1-65535, as 192.0.2.1:5061 or [2001:db8::1]:5061",
            ),
            (
                "Transport1Interface",
                "192.0.2.1:0",
                "an address and a port 1-65535, as 192.0.2.1:5061 or [2001:db8::1]:5061",
            ),
            (
                "TLSDomainName",
                "../example.org",
                "a domain as example.org, in ASCII (an IDN as xn--…); \"../example.org\" is none",
            ),
            (
                "TrustedPeers",
                "gw.example.org,10.0.0.0/33",
                "addresses, networks, or names of certificates; \"10.0.0.0/33\" is none",
            ),
            (
                "RecordRouteUri",
                "sip:example.org:port",
                "a URI as sip:sip.example.org:5061;transport=tls, without header fields and method, or auto",
            ),
            (
                "Transport1RecordRouteUri",
                "sip:example.org?Route=x",
                "a URI as sip:sip.example.org:5061;transport=tls, without header fields and method, or auto",
            ),
            ("TimerC", "-1", "a number of seconds from 0 to 31536000"),
            (
                "TimerT1",
                "500ms",
                "a number of milliseconds from 0 to 60000",
            ),
            ("MaximumBranches", "0", "a number from 1 to 128"),
            ("MaximumTransactions", "", "a number from 1 to 10000000"),
            (
                "QValueBehavior",
                "BY_LUCK",
                "EQUAL_Q_PARALLEL, FULL_SEQUENTIAL or FULL_PARALLEL",
            ),
            (
                "ProxyProtocolSources",
                "lb.example.org",
                "addresses or networks as 192.0.2.7 or 2001:db8::/32; \"lb.example.org\" is none",
            ),
        ] {
            assert_eq!(
                held(name, value),
                Err(expected.to_owned()),
                "{name} = {value}"
            );
        }
    }

    #[test]
    fn values_that_a_setting_takes_pass() {
        for (name, value) in [
            ("TLSPort", ""),
            ("TLSPort", "05061"),
            ("TLSClientVerification", "mandatory"),
            ("TLSConnectionMethod", "sslv23"),
            ("TLSMinimumProtocol", "1.3"),
            ("TLSMinimumProtocol", "tlsv1"),
            ("LogLevel", ""),
            ("LogLevel", "log_debug"),
            (
                "TrustedPeers",
                "gw.example.org, 10.0.0.0/8 [2001:db8::]/32 sip:alice@example.org",
            ),
            ("Domains", "example.org, EXAMPLE.com."),
            ("Domains", "192.0.2.1,[2001:db8::1]"),
            ("RecordRouteUri", ""),
            ("RecordRouteUri", "example.org"),
            ("Transport1RecordRouteUri", "AUTO"),
            ("Transport1RecordRouteUri", "<sip:[2001:db8::1]:5061;lr>"),
            ("QValueBehavior", "full_parallel"),
            ("QValueBehavior", ""),
            ("ClientNatDetectionMode", ""),
            ("TimerC", ""),
            ("Transport1Interface", "2001:db8::1:5061"),
            ("Transport1Interface", "[2001:db8::1]:5061"),
            ("Transport1Interface", "192.0.2.1 : 5061"),
        ] {
            assert_eq!(held(name, value), Ok(()), "{name} = {value}");
        }
    }

    #[test]
    fn list_is_parted_by_commas_and_blanks_without_empty_items() {
        for (value, expected) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a, b", &["a", "b"]),
            ("a,b", &["a", "b"]),
            ("a b\tc", &["a", "b", "c"]),
            ("a , b  ,,c,", &["a", "b", "c"]),
        ] {
            assert_eq!(list(value).collect::<Vec<_>>(), expected, "{value:?}");
        }
        assert!(!has_empty_items("a , b"));
        assert!(has_empty_items("a,,b") && has_empty_items("a,"));
    }

    #[test]
    fn secret_is_never_shown() {
        let row = settings::find("Transport1TlsPrivateKeyPassPhrase").unwrap();
        assert_eq!(shown(row, "s3cret"), "(hidden)");
        assert_eq!(shown(row, ""), "\"\"");
    }
}
