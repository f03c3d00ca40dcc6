//! `sipvouch acl`: peers that may use any From, by the address they connect from or by the name in their certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};

use super::names;
use super::output::{object, shown};
use super::refusal::Refusal;
use super::table::{Kind, Session, Wanted};
use crate::store::{self, Flow, Record, Table};

/// Names of the transports, at the places of repro's numbers.
const TRANSPORTS: [&str; 9] = [
    "any", "tls", "tcp", "udp", "sctp", "dccp", "dtls", "ws", "wss",
];
/// Where a source is proven at least by its handshake.
const DEFAULT_TRANSPORT: &str = "tls";

/// The table of the ACL.
pub(super) struct Acls;

const ENTRY: &str = "An address as 192.0.2.7, a network as 192.0.2.0/24 or 2001:db8::/64, each with a source port as \
     192.0.2.7:5060 or [2001:db8::1]:5060, the word localhost, or a name in a certificate as gw.example.net";

fn transport_option() -> Arg {
    Arg::new("transport")
        .long("transport")
        .value_name("NAME")
        .value_parser(TRANSPORTS)
        .help(
            "What an address must connect over; tls without this. A source over udp can be forged",
        )
}

fn port_option() -> Arg {
    Arg::new("port")
        .long("port")
        .value_name("PORT")
        .value_parser(value_parser!(u16))
        .help("The source port of an address; 0 for any")
}

fn which_argument() -> Arg {
    Arg::new("WHICH").required(true).value_name("ENTRY").help(
        "The entry as it was added, with its --transport; or its number or key as sipvouch acl list prints them",
    )
}

impl Kind for Acls {
    fn table(&self) -> Table {
        Table::Acl
    }

    fn about(&self) -> &'static str {
        "Trusted peers: they may use any From"
    }

    fn commands(&self) -> Vec<Command> {
        vec![
            Command::new("add")
                .about("Trust an address, a network, or a name in a certificate")
                .arg(Arg::new("ENTRY").required(true).help(ENTRY))
                .arg(transport_option())
                .arg(port_option())
                .after_help(
                    "Examples:\n  sipvouch acl add gw.example.net\n  \
                     sipvouch acl add 192.0.2.0/24:5060 --transport tcp",
                ),
            Command::new("change")
                .about("Put another entry in the place of one")
                .arg(which_argument())
                .arg(
                    Arg::new("ENTRY")
                        .long("entry")
                        .value_name("ENTRY")
                        .help("The new address, network or name"),
                )
                .arg(
                    Arg::new("new-transport")
                        .long("new-transport")
                        .value_name("NAME")
                        .value_parser(TRANSPORTS)
                        .help("The new transport"),
                )
                .arg(port_option())
                .arg(transport_option().help("The transport of the entry that is named"))
                .after_help("Example:\n  sipvouch acl change 2 --entry 192.0.2.0/25 --port 5061"),
            Command::new("remove")
                .about("Trust it no longer")
                .arg(which_argument().num_args(1..))
                .arg(transport_option())
                .after_help(
                    "Examples:\n  sipvouch acl remove gw.example.net\n  \
                     sipvouch acl remove 192.0.2.0/24:5060 --transport tcp",
                ),
            Command::new("list")
                .about("List the entries with their numbers and keys")
                .after_help("Example:\n  sipvouch acl list --text 192.0.2"),
            Command::new("show")
                .about("Show one entry")
                .arg(which_argument())
                .arg(transport_option())
                .after_help("Example:\n  sipvouch acl show gw.example.net"),
        ]
    }

    fn added(&self, given: &ArgMatches, session: &Session) -> Result<Vec<Record>, Refusal> {
        let text = given.get_one::<String>("ENTRY").map_or("", String::as_str);
        let entries = entries(
            text,
            given.get_one::<String>("transport").map(String::as_str),
            given.get_one::<u16>("port").copied(),
        )?;
        for entry in &entries {
            no_other_case(entry, None, session)?;
        }
        Ok(entries.into_iter().map(Record::Acl).collect())
    }

    fn changed(
        &self,
        old: &Record,
        given: &ArgMatches,
        session: &Session,
    ) -> Result<Record, Refusal> {
        let Record::Acl(old) = old else {
            return Err(Refusal::NoChange(Table::Acl));
        };
        let text = given.get_one::<String>("ENTRY");
        let transport = given.get_one::<String>("new-transport").map(String::as_str);
        let port = given.get_one::<u16>("port").copied();
        if text.is_none() && transport.is_none() && port.is_none() {
            return Err(Refusal::NoChange(Table::Acl));
        }
        let is_name = |entry: &store::Acl| !entry.tls_peer_name.is_empty();
        let named = match text {
            Some(text) => self::entries(text, None, None)?,
            None => vec![old.clone()],
        };
        let [mut own] = <[store::Acl; 1]>::try_from(named).map_err(|_| {
            Refusal::invalid(
                "entry",
                "localhost",
                "stands for two entries; name one address",
            )
        })?;
        if is_name(&own) {
            if transport.is_some() || port.is_some() {
                return Err(nothing_for_names(&own.tls_peer_name));
            }
            no_other_case(&own, Some(old), session)?;
            return Ok(Record::Acl(own));
        }
        // What is not given stays as it was, if that was an address.
        if !is_name(old) && text.is_some() {
            own.transport = old.transport;
            if own.port == 0 {
                own.port = old.port;
            }
        }
        if let Some(transport) = transport {
            own.transport = number_of(transport);
        }
        if let Some(port) = port {
            own.port = port.cast_signed();
        }
        Ok(Record::Acl(own))
    }

    fn keys(&self, given: &ArgMatches) -> Result<Vec<Wanted>, Refusal> {
        let transport = given.get_one::<String>("transport").map(String::as_str);
        let mut wanted = Vec::new();
        for text in given.get_many::<String>("WHICH").unwrap_or_default() {
            // A name has no transport, however it is asked for.
            let named = entries(text, transport, None).or_else(|_| entries(text, None, None));
            match named {
                Ok(several) if several.len() > 1 => {
                    wanted.extend(several.into_iter().map(|own| Wanted {
                        given: spelled(&own),
                        keys: vec![Record::Acl(own).key()],
                        number: None,
                    }));
                }
                named => {
                    let own = named.ok().into_iter().flatten();
                    let keys = own.map(|own| Record::Acl(own).key());
                    let keys = std::iter::once(text.clone()).chain(keys).collect();
                    wanted.push(Wanted::numbered(text, keys));
                }
            }
        }
        Ok(wanted)
    }

    fn columns(&self) -> &'static [&'static str] {
        &["entry", "transport", "key"]
    }

    fn row(&self, record: &Record) -> Vec<String> {
        match record {
            Record::Acl(own) => vec![spelled(own), transport(own).to_owned(), record.key()],
            _ => Vec::new(),
        }
    }

    fn fields(&self, record: &Record) -> Map<String, Value> {
        match record {
            Record::Acl(own) => object(
                own,
                &[
                    ("entry", json!(spelled(own))),
                    ("port", json!(own.port.cast_unsigned())),
                    ("transport", json!(transport(own))),
                ],
            ),
            _ => Map::new(),
        }
    }

    fn rank(&self) -> Option<fn(&Record) -> i16> {
        Some(|_| 0)
    }
}

fn number_of(transport: &str) -> i16 {
    let at = TRANSPORTS.iter().position(|own| *own == transport);
    at.and_then(|at| i16::try_from(at).ok()).unwrap_or(0)
}

/// The transport of an entry as it is given to `--transport`; nothing for a name, which has none.
fn transport(entry: &store::Acl) -> &'static str {
    if !entry.tls_peer_name.is_empty() {
        return "";
    }
    usize::try_from(entry.transport)
        .ok()
        .and_then(|number| TRANSPORTS.get(number))
        .copied()
        .unwrap_or("unknown")
}

/// An entry as it is given to `add`.
fn spelled(entry: &store::Acl) -> String {
    if !entry.tls_peer_name.is_empty() {
        return entry.tls_peer_name.clone();
    }
    let (open, close) = if entry.family == 1 && entry.port != 0 {
        ("[", "]")
    } else {
        ("", "")
    };
    let port = match entry.port.cast_unsigned() {
        0 => String::new(),
        port => format!(":{port}"),
    };
    format!("{open}{}{close}/{}{port}", entry.address, entry.mask)
}

fn nothing_for_names(name: &str) -> Refusal {
    let why = "a name in a certificate has neither port nor transport; leave them out";
    Refusal::invalid("entry", name, why)
}

/// The entries that a text means: what repro's page takes, with networks wider and narrower than it allows.
///
/// Deviation: `localhost` is 127.0.0.0/8 and ::1; repro added fe80::1/64 too, which is every neighbour on the link.
fn entries(
    text: &str,
    transport: Option<&str>,
    port: Option<u16>,
) -> Result<Vec<store::Acl>, Refusal> {
    let refuse = |why: &str| Refusal::invalid("entry", text, why);
    let networks = if text.eq_ignore_ascii_case("localhost") {
        vec![
            (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), Some(8), None),
            (IpAddr::V6(Ipv6Addr::LOCALHOST), None, None),
        ]
    } else {
        match network(text) {
            Some(network) => vec![network.map_err(refuse)?],
            None => {
                if transport.is_some() || port.is_some() {
                    return Err(nothing_for_names(text));
                }
                let tls_peer_name = peer_name(text)?;
                return Ok(vec![store::Acl {
                    tls_peer_name,
                    ..store::Acl::default()
                }]);
            }
        }
    };
    let transport = number_of(transport.unwrap_or(DEFAULT_TRANSPORT));
    networks
        .into_iter()
        .map(|(address, mask, own_port)| {
            if own_port.is_some() && port.is_some() {
                return Err(refuse("has a port, and so has --port; give it once"));
            }
            Ok(store::Acl {
                address: address.to_string(),
                mask: checked_mask(address, mask).map_err(|why| refuse(&why))?,
                port: own_port.or(port).unwrap_or(0).cast_signed(),
                family: i16::from(address.is_ipv6()),
                transport,
                ..store::Acl::default()
            })
        })
        .collect()
}

/// Refuses a name that is there in other letters, but for the entry that is changed: it would be the same (RFC 3261 §19.1.4).
fn no_other_case(
    entry: &store::Acl,
    changed: Option<&store::Acl>,
    session: &Session,
) -> Result<(), Refusal> {
    if entry.tls_peer_name.is_empty() {
        return Ok(());
    }
    let mut other = None;
    session
        .store()
        .each(Table::Acl, &mut |record| match record {
            Ok(Record::Acl(found))
                if changed != Some(&found)
                    && found.tls_peer_name.to_lowercase() == entry.tls_peer_name.to_lowercase() =>
            {
                other = Some(Record::Acl(found).key());
                Flow::Enough
            }
            _ => Flow::More,
        })?;
    match other {
        Some(key) => Err(Refusal::Exists {
            table: Table::Acl,
            key: shown(&key),
        }),
        None => Ok(()),
    }
}

/// A name as an entry: a domain or a label, never a user.
fn peer_name(text: &str) -> Result<String, Refusal> {
    let name = names::peer_name(text)?;
    if name.contains(['@', ':', '/', '[', ']']) {
        return Err(Refusal::invalid(
            "entry",
            text,
            "neither an address, with /mask and :port if need be, nor a domain or label of a certificate",
        ));
    }
    if name.contains('*') {
        let why =
            "a * stands for nothing here: name one domain or label of a certificate for each entry";
        return Err(Refusal::invalid("entry", text, why));
    }
    // What is shaped like an address and is none would never be found in a certificate.
    if name.contains('.')
        && name
            .split('.')
            .all(|part| part.bytes().all(|o| o.is_ascii_digit()))
    {
        return Err(Refusal::invalid("entry", text, "no IPv4 address"));
    }
    Ok(name)
}

type Network = (IpAddr, Option<u16>, Option<u16>);

/// `address[/mask][:port]`; `None` when it does not begin with an address.
fn network(text: &str) -> Option<Result<Network, &'static str>> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Ok((address, None, None)));
    }
    let (address, rest) = if let Some(inner) = text.strip_prefix('[') {
        let (inner, rest) = inner.split_once(']')?;
        (IpAddr::V6(inner.parse().ok()?), rest)
    } else if let Some(at) = text.find('/') {
        let (address, rest) = text.split_at_checked(at)?;
        (address.parse().ok()?, rest)
    } else {
        let (address, rest) = text.split_at_checked(text.find(':')?)?;
        (IpAddr::V4(address.parse().ok()?), rest)
    };
    let (mask, rest) = match rest.strip_prefix('/') {
        Some(rest) => {
            let end = rest.find(':').unwrap_or(rest.len());
            let (mask, rest) = rest.split_at_checked(end)?;
            match number(mask) {
                Some(mask) => (Some(mask), rest),
                None => return Some(Err("what stands behind / is no number of bits")),
            }
        }
        None => (None, rest),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => match number(port) {
            Some(port) => Some(port),
            None => return Some(Err("what stands behind : is no port")),
        },
        None if rest.is_empty() => None,
        None => {
            return Some(Err(
                "has something behind the address that is neither /mask nor :port",
            ));
        }
    };
    Some(Ok((address, mask, port)))
}

/// Digits only: `+8` is no mask.
fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|o| o.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// The number of bits that count. A network that is too wide, or an address with bits beyond its mask, is a slip.
fn checked_mask(address: IpAddr, mask: Option<u16>) -> Result<i16, String> {
    let (least, all, bits) = match address {
        IpAddr::V4(ip) => (8_u16, 32_u16, u128::from(u32::from(ip)) << 96),
        // It trusts IPv4 peers, as the network that it maps.
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => (96 + 8, 128, u128::from(ip)),
        IpAddr::V6(ip) => (16, 128, u128::from(ip)),
    };
    let mask = mask.unwrap_or(all);
    if !(least..=all).contains(&mask) {
        return Err(format!("expected a mask of {least} to {all} bits"));
    }
    let beyond = bits.checked_shl(u32::from(mask)).unwrap_or(0);
    if beyond != 0 {
        let shift = 128 - u32::from(mask);
        let network = bits >> shift << shift;
        let network = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from((network >> 96) as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(network)),
        };
        return Err(format!(
            "has bits beyond its mask; write {network}/{mask}, or {address}/{all} for this address alone"
        ));
    }
    i16::try_from(mask).map_err(|_| "no mask".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn entries_are_taken_as_the_page_of_repro_takes_them() {
        for (text, transport, keys) in [
            ("127.0.0.7", None, &[":127.0.0.7/32:0:0:1"][..]),
            ("127.0.0.8", Some("udp"), &[":127.0.0.8/32:0:0:3"]),
            (
                "192.0.2.0/24:5060",
                Some("tcp"),
                &[":192.0.2.0/24:5060:0:2"],
            ),
            ("192.0.2.7:65535", None, &[":192.0.2.7/32:-1:0:1"]),
            ("2001:db8:0:1::/64", None, &[":2001:db8:0:1::/64:0:1:1"]),
            ("2001:DB8::1", Some("any"), &[":2001:db8::1/128:0:1:0"]),
            ("[2001:db8::1]:5060", None, &[":2001:db8::1/128:5060:1:1"]),
            ("[2001:db8::]/32:5060", None, &[":2001:db8::/32:5060:1:1"]),
            ("2001:db8::/32", None, &[":2001:db8::/32:0:1:1"]),
            ("::ffff:10.0.0.0/104", None, &[":::ffff:10.0.0.0/104:0:1:1"]),
            ("LocalHost", None, &[":127.0.0.0/8:0:0:1", ":::1/128:0:1:1"]),
            ("gateway1", None, &["gateway1:/0:0:0:0"]),
            (
                "Trunk.Carrier.Example",
                None,
                &["Trunk.Carrier.Example:/0:0:0:0"],
            ),
        ] {
            let found = entries(text, transport, None).unwrap();
            let found: Vec<_> = found
                .into_iter()
                .map(|own| Record::Acl(own).key())
                .collect();
            assert_eq!(found, keys, "{text}");
        }
    }

    #[test]
    fn what_is_neither_address_nor_name_is_refused() {
        for (situation, text, transport, port) in [
            ("nothing", "", None, None),
            ("trusts everybody", "0.0.0.0/0", None, None),
            ("trusts half of everybody", "::/1", None, None),
            ("trusts everybody, mapped", "::ffff:0:0/96", None, None),
            (
                "trusts many, mapped",
                "[::ffff:2.0.0.0]/103:5060",
                None,
                None,
            ),
            ("mapped, by a shorter mask", "::ffff:0:0/80", None, None),
            ("too many bits", "192.0.2.0/33", None, None),
            ("bits beyond the mask", "192.0.2.7/24", None, None),
            ("bits beyond the mask", "2001:db8::1/64", None, None),
            ("no address", "192.0.2.256", None, None),
            ("too short an address", "192.0.2", None, None),
            ("no mask", "192.0.2.0/x", None, None),
            ("a signed mask", "192.0.2.0/+24", None, None),
            ("no port", "192.0.2.7:0x5", None, None),
            ("port too large", "192.0.2.7:65536", None, None),
            ("two ports", "192.0.2.7:5060", None, Some(5061)),
            ("text behind it", "[2001:db8::1]5060", None, None),
            ("a user", "alice@example.org", None, None),
            ("a URI", "sip:gw.example.net", None, None),
            ("a name with a port", "gw.example.net:5061", None, None),
            (
                "a name with a transport",
                "gw.example.net",
                Some("tls"),
                None,
            ),
            ("a control character", "gw\u{7}", None, None),
        ] {
            assert!(
                entries(text, transport, port).is_err(),
                "{situation}: {text}"
            );
        }
    }

    #[test]
    fn an_entry_is_spelled_as_it_can_be_added() {
        for text in [
            "192.0.2.0/24:5060",
            "127.0.0.7/32",
            "2001:db8::/64",
            "[2001:db8::1]/128:5060",
            "gw.example.net",
        ] {
            let own = entries(text, None, None).unwrap().remove(0);
            assert_eq!(spelled(&own), text);
        }
    }

    #[test]
    fn bits_beyond_a_mask_are_answered_with_what_was_meant() {
        let why = checked_mask("192.0.2.7".parse().unwrap(), Some(24)).unwrap_err();
        assert!(
            why.contains("192.0.2.0/24") && why.contains("192.0.2.7/32"),
            "{why}"
        );
        let why = checked_mask("2001:db8::1".parse().unwrap(), Some(64)).unwrap_err();
        assert!(why.contains("2001:db8::/64"), "{why}");
    }
}
