//! The tables that are read whole: domains, ACL, routes, filters, static registrations. Records in, what the pure rooms
//! take out; a record that says nothing usable is left out and told.

use std::net::IpAddr;

use crate::auth::{AuthOptions, HashText, IpNetwork, Transport, TrustedPeer, TrustedSource};
use crate::config::domain_name;
use crate::proxy::{
    self, FilterOptions, FilterRule, Filters, RegistrationRule, RouteRule, Routing, RuleFault,
    StaticRegistrations, StaticRoutes, TableOptions,
};
use crate::store::{
    Acl, Error, Filter, FilterAction, Flow, Record, RecordFault, Route, StaticRegistration, Store,
    Table,
};

/// Takes one record, or what is wrong with it.
pub(super) type Take<'t> = dyn FnMut(Result<Record, RecordFault>) -> Flow + 't;
/// Gives every record of a table.
pub(super) type Each<'e> = dyn FnMut(Table, &mut Take<'_>) -> Result<(), Error> + 'e;

/// What the tables hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// Records, in the order of their tables and keys.
    records: Vec<Record>,
    /// Records that could not be read.
    faults: Vec<RecordFault>,
}

impl Tables {
    /// Reads them by `each`, which gives every record of a table.
    ///
    /// # Errors
    /// Those of `each`.
    pub(super) fn read(each: &mut Each<'_>) -> Result<Self, Error> {
        let mut own = Self::default();
        for table in [
            Table::Domain,
            Table::Acl,
            Table::Route,
            Table::Filter,
            Table::Registration,
        ] {
            each(table, &mut |record| {
                match record {
                    Ok(record) => own.records.push(record),
                    Err(fault) => own.faults.push(fault),
                }
                Flow::More
            })?;
        }
        Ok(own)
    }

    /// Reads those of a store.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn of(store: &dyn Store) -> Result<Self, Error> {
        Self::read(&mut |table, take| store.each(table, take))
    }

    /// What is in them.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// How many records of a table there are.
    pub fn count(&self, table: Table) -> usize {
        self.records().filter(|r| r.table() == table).count()
    }

    /// Sentences about records that could not be read.
    pub fn faults(&self) -> Vec<String> {
        let told = |fault: &RecordFault| format!("{fault}; this record is not used");
        self.faults.iter().map(told).collect()
    }

    /// Filters, routes and contacts, compiled; and sentences about those that are not as their writer meant them.
    pub fn routing(&self, options: &TableOptions) -> (Routing, Vec<String>) {
        let mut filters = Vec::new();
        let mut routes = Vec::new();
        let mut registrations = Vec::new();
        for record in self.records() {
            match record {
                Record::Filter(record) => filters.push(filter_rule(record)),
                Record::Route(record) => routes.push(route_rule(record)),
                Record::Registration(record) => registrations.push(registration_rule(record)),
                _ => {}
            }
        }
        let (routing, faults) = options.compile(filters, routes, registrations);
        (routing, faults.iter().map(ToString::to_string).collect())
    }

    /// Adds domains and trusted peers to what the configuration says; answers with sentences about those that cannot be.
    pub fn add_to(&self, options: &mut AuthOptions) -> Vec<String> {
        let mut notes = Vec::new();
        for record in self.records() {
            match record {
                Record::Domain(record) => match domain_name(&record.domain) {
                    Ok(domain) if options.domains.contains(&domain) => {}
                    Ok(domain) => options.domains.push(domain),
                    Err(expected) => notes.push(format!(
                        "domain {:?} of the store is not used: expected {expected}",
                        record.domain
                    )),
                },
                Record::Acl(record) => match trusted_peer(record) {
                    Ok(peer) => {
                        notes.extend(width(&peer).map(|wide| {
                            let key = Record::Acl(record.clone()).key();
                            format!("unsafe: acl {key:?} of the store trusts {wide}")
                        }));
                        options.trusted_peers.push(peer);
                    }
                    Err(why) => notes.push(format!(
                        "acl {:?} of the store is not used: {why}",
                        Record::Acl(record.clone()).key()
                    )),
                },
                _ => {}
            }
        }
        notes
    }
}

/// What an operator should know about a record that is stored and cannot be used; `None` if there is nothing.
pub fn judge(record: &Record) -> Option<String> {
    let first = |faults: Vec<RuleFault>| faults.first().map(|fault| fault.defect.to_string());
    match record {
        Record::Domain(record) => domain_name(&record.domain)
            .err()
            .map(|expected| format!("it is not used: expected {expected}")),
        Record::Acl(record) => match trusted_peer(record) {
            Ok(peer) => width(&peer).map(|wide| format!("unsafe: it trusts {wide}")),
            Err(why) => Some(format!("it is not used: {why}")),
        },
        Record::Route(record) => first(StaticRoutes::new([route_rule(record)]).1),
        Record::Filter(record) => {
            first(Filters::new([filter_rule(record)], &FilterOptions::default()).1)
        }
        Record::Registration(record) => {
            first(StaticRegistrations::new([registration_rule(record)]).1)
        }
        Record::User(record) => password(&record.password_hash)
            .map(|why| format!("hash: {why}"))
            .or_else(|| {
                let why = password(&record.password_hash_alt)?;
                Some(format!("hash for user@domain as the user: {why}"))
            }),
        Record::Identity(_) | Record::Silo(_) => None,
    }
}

/// What is wrong with the hashes of a password.
fn password(text: &str) -> Option<String> {
    match HashText::parse(text) {
        Ok(hashes) => hashes.defect().map(|defect| defect.to_string()),
        Err(fault) => Some(fault.to_string()),
    }
}

/// Who is trusted by an ACL entry that no command would store: everybody, or nearly so.
pub fn trusts_many(record: &Record) -> Option<String> {
    match record {
        Record::Acl(own) => trusted_peer(own).ok().as_ref().and_then(width),
        _ => None,
    }
}

/// What number of a record means nothing, here or in repro: nobody has meant it.
pub fn nonsense(record: &Record) -> Option<String> {
    let Record::Acl(own) = record else {
        return None;
    };
    if !own.tls_peer_name.is_empty() {
        return None;
    }
    let is_ipv4 = bare(own).parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4());
    let most = if is_ipv4 { 32 } else { 128 };
    if !(0..=most).contains(&own.mask) {
        return Some(long_mask(own, most));
    }
    if !matches!(own.family, 0 | 1) {
        return Some(format!(
            "family {}; expected 0 for IPv4 or 1 for IPv6",
            own.family
        ));
    }
    // repro's numbers of transports.
    (!(0..=8).contains(&own.transport))
        .then(|| format!("transport {}; expected 0 to 8", own.transport))
}

fn bare(acl: &Acl) -> &str {
    acl.address.trim_start_matches('[').trim_end_matches(']')
}

fn long_mask(acl: &Acl, most: i16) -> String {
    format!("a mask of {} bits; expected 0 to {most}", acl.mask)
}

/// Who is trusted by a network that is wider than the commands here take, or repro's own page did; `None` for any other.
fn width(peer: &TrustedPeer) -> Option<String> {
    let TrustedPeer::Source(TrustedSource { network, .. }) = peer else {
        return None;
    };
    let (prefix, least, family) = match network.ipv4() {
        Some((_, prefix)) => (prefix, 8, "IPv4"),
        None => (network.prefix, 16, "IPv6"),
    };
    let who = match prefix {
        0 => format!("every {family} address"),
        bits if bits < least => format!("every {family} address with the same first {bits} bits"),
        _ => return None,
    };
    Some(format!(
        "{who}: whoever connects from there may use any From; name the addresses, or a certificate, instead"
    ))
}

fn route_rule(record: &Route) -> RouteRule {
    RouteRule {
        method: record.method.clone(),
        event: record.event.clone(),
        matching_pattern: record.matching_pattern.clone(),
        rewrite_expression: record.rewrite_expression.clone(),
        order: record.order,
    }
}

fn filter_rule(record: &Filter) -> FilterRule {
    FilterRule {
        cond1_header: record.cond1_header.clone(),
        cond1_regex: record.cond1_regex.clone(),
        cond2_header: record.cond2_header.clone(),
        cond2_regex: record.cond2_regex.clone(),
        method: record.method.clone(),
        event: record.event.clone(),
        action: match record.action {
            FilterAction::Accept => proxy::FilterAction::Accept,
            FilterAction::Reject => proxy::FilterAction::Reject,
            FilterAction::Sql => proxy::FilterAction::Query,
        },
        action_data: record.action_data.clone(),
        order: record.order,
    }
}

fn registration_rule(record: &StaticRegistration) -> RegistrationRule {
    RegistrationRule {
        aor: record.aor.clone(),
        contact: record.contact.clone(),
        path: record.path.clone(),
    }
}

/// The peer that an entry of the ACL trusts.
///
/// # Errors
/// Why it trusts nobody.
pub fn trusted_peer(acl: &Acl) -> Result<TrustedPeer, String> {
    if !acl.tls_peer_name.is_empty() {
        // Port and transport of a name do not count in repro either.
        return Ok(TrustedPeer::Name(acl.tls_peer_name.clone()));
    }
    let address: IpAddr = bare(acl)
        .parse()
        .map_err(|_| format!("{:?} is no IP address", acl.address))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = u8::try_from(acl.mask)
        .ok()
        .filter(|prefix| i16::from(*prefix) <= most)
        .ok_or_else(|| long_mask(acl, most))?;
    if acl.family != i16::from(address.is_ipv6()) {
        return Err(format!("family {} does not fit the address", acl.family));
    }
    let transport = match acl.transport {
        1 => Transport::Tls,
        2 => Transport::Tcp,
        3 => Transport::Udp,
        7 => Transport::Ws,
        8 => Transport::Wss,
        0 => {
            return Err(
                "it has no transport, so it matches none, as in repro; give it one".to_owned(),
            );
        }
        other => return Err(format!("transport {other} is not there in this version")),
    };
    let network = IpNetwork { address, prefix };
    // Above 32767 a port is stored as a negative number.
    let port = Some(acl.port.cast_unsigned()).filter(|port| *port != 0);
    Ok(TrustedPeer::Source(TrustedSource {
        network,
        port,
        transport,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::store::User;

    fn acl(address: &str, mask: i16, port: i16, family: i16, transport: i16) -> Acl {
        Acl {
            address: address.into(),
            mask,
            port,
            family,
            transport,
            ..Acl::default()
        }
    }

    #[test]
    fn hashes_that_no_password_fits_are_named_and_not_shown() {
        let (md5, other) = (
            "8ea972d8db3f90d047e3cb6b6e1ad9da",
            "deeebcf257ff9507047c26809b78cd5c",
        );
        let sha = "4fdbcf490f83371231bdf7cb5ac198bcbb77d41386943626caaa0aa51e9da969";
        let not_hex = md5.replacen('8', "z", 1);
        for (situation, hash, alternative, told) in [
            ("none", String::new(), String::new(), None),
            ("one", md5.to_owned(), format!("[MD5]{md5}"), None),
            (
                "the same twice",
                format!("[MD5]{md5}[MD5]{}", md5.to_uppercase()),
                String::new(),
                None,
            ),
            (
                "one of two damaged",
                format!("[MD5]{not_hex}[SHA-256]{sha}"),
                String::new(),
                Some("hash: what stands for MD5 is not its 32 hexadecimal digits"),
            ),
            (
                "one of two cut off",
                format!("[MD5]{md5}[SHA-256]{}", &sha[..40]),
                String::new(),
                Some("hash: what stands for SHA-256 is not its 64 hexadecimal digits"),
            ),
            (
                "two of one algorithm",
                format!("[MD5]{md5}[SHA-256]{sha}[MD5]{other}"),
                String::new(),
                Some("hash: two different ones for MD5"),
            ),
            (
                "the second of them damaged",
                format!("[MD5]{md5}[MD5]{not_hex}"),
                String::new(),
                Some("hash: two different ones for MD5"),
            ),
            (
                "all of it damaged",
                format!("[MD5]{not_hex}"),
                String::new(),
                Some("hash: neither 32 hexadecimal digits"),
            ),
            (
                "the other hash damaged",
                md5.to_owned(),
                format!("[MD5]{not_hex}[SHA-256]{sha}"),
                Some("hash for user@domain as the user: what stands for MD5"),
            ),
        ] {
            let judged = judge(&Record::User(User {
                password_hash: hash,
                password_hash_alt: alternative,
                ..User::default()
            }));
            match (&judged, told) {
                (Some(text), Some(told)) => {
                    assert!(text.starts_with(told), "{situation}: {text}");
                    assert!(!text.contains(&md5[1..]), "{situation}: {text}");
                }
                (judged, told) => assert_eq!(judged.as_deref(), told, "{situation}"),
            }
        }
    }

    #[test]
    fn an_entry_of_the_acl_trusts_what_repro_trusted_by_it() {
        for (situation, entry, trusted) in [
            (
                "one address",
                acl("127.0.0.7", 32, 0, 0, 1),
                Ok((None, Transport::Tls)),
            ),
            (
                "a network and a port",
                acl("192.0.2.0", 24, 5060, 0, 2),
                Ok((Some(5060), Transport::Tcp)),
            ),
            (
                "a high port",
                acl("192.0.2.0", 24, -1, 0, 2),
                Ok((Some(65535), Transport::Tcp)),
            ),
            (
                "IPv6",
                acl("2001:db8:0:1::", 64, 0, 1, 1),
                Ok((None, Transport::Tls)),
            ),
            (
                "no transport",
                acl("192.0.2.7", 32, 0, 0, 0),
                Err("no transport"),
            ),
            ("no address", acl("gw", 32, 0, 0, 1), Err("no IP address")),
            (
                "a long mask",
                acl("192.0.2.7", 33, 0, 0, 1),
                Err("mask of 33"),
            ),
            (
                "a negative mask",
                acl("192.0.2.7", -1, 0, 0, 1),
                Err("mask of -1"),
            ),
            (
                "the other family",
                acl("192.0.2.7", 32, 0, 1, 1),
                Err("family 1"),
            ),
            ("SCTP", acl("192.0.2.7", 32, 0, 0, 4), Err("transport 4")),
        ] {
            match (trusted_peer(&entry), trusted) {
                (Ok(TrustedPeer::Source(source)), Ok(wanted)) => {
                    assert_eq!((source.port, source.transport), wanted, "{situation}");
                }
                (Err(why), Err(wanted)) => assert!(why.contains(wanted), "{situation}: {why}"),
                (found, _) => panic!("{situation}: {found:?}"),
            }
        }
        for (situation, entry, told) in [
            (
                "everybody",
                acl("0.0.0.0", 0, 0, 0, 1),
                Some("every IPv4 address:"),
            ),
            (
                "everybody",
                acl("::", 0, 0, 1, 2),
                Some("every IPv6 address:"),
            ),
            (
                "half of them",
                acl("0.0.0.0", 1, 0, 0, 1),
                Some("same first 1 bits"),
            ),
            ("wide", acl("2000::", 3, 0, 1, 1), Some("same first 3 bits")),
            ("a large network", acl("10.0.0.0", 8, 0, 0, 1), None),
            (
                "all of IPv4, mapped",
                acl("::ffff:0:0", 96, 0, 1, 1),
                Some("every IPv4 address:"),
            ),
            (
                "wide and mapped",
                acl("::ffff:0.0.0.0", 103, 0, 1, 1),
                Some("IPv4 address with the same first 7 bits"),
            ),
            (
                "a large network, mapped",
                acl("::ffff:10.0.0.0", 104, 0, 1, 1),
                None,
            ),
            (
                "mapped, and so short that it is of IPv6",
                acl("::ffff:10.0.0.0", 15, 0, 1, 1),
                Some("IPv6 address with the same first 15 bits"),
            ),
        ] {
            let judged = judge(&Record::Acl(entry.clone()));
            let tables = Tables {
                records: vec![Record::Acl(entry)],
                faults: Vec::new(),
            };
            let mut auth = AuthOptions::default();
            let notes = tables.add_to(&mut auth);
            assert_eq!(auth.trusted_peers.len(), 1, "{situation}");
            let all: Vec<&String> = judged.iter().chain(&notes).collect();
            assert_eq!(all.len(), told.map_or(0, |_| 2), "{situation}");
            for text in all {
                assert!(
                    text.contains("unsafe") && told.is_some_and(|told| text.contains(told)),
                    "{situation}: {text}"
                );
            }
        }
        let named = Acl {
            tls_peer_name: "Trunk.Carrier.Example".into(),
            ..Acl::default()
        };
        let name = TrustedPeer::Name("Trunk.Carrier.Example".into());
        assert_eq!(trusted_peer(&named), Ok(name));
    }
}
