//! RFC 3263 §4 as tables, over a zone in memory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::Arc;

use super::answer::{Answer, Kind, Name, Naptr, Question, Records, Srv};
use super::locate::{Source, Stop, locate};
use super::weight::Dice;
use super::{ResolveError, ResolverOptions, TransportKind, Transports, Wanted};
use crate::sip::SipUri;

/// What DNS holds, and what it was asked.
#[derive(Default)]
struct Zone {
    answers: HashMap<(Kind, String), Answer>,
    asked: Vec<String>,
}

impl Source for Zone {
    fn answers(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Stop> {
        Ok(questions
            .iter()
            .map(|question| {
                let name = question.name.as_str().to_owned();
                self.asked.push(format!("{:?} {name}", question.kind));
                self.answers
                    .get(&(question.kind, name))
                    .cloned()
                    .unwrap_or(Err(ResolveError::NoRecords))
            })
            .collect())
    }
}

impl Zone {
    /// Takes lines as `example.com NAPTR 10 20 SIP+D2U _sip._udp.example.com`, `_sip._udp.example.com SRV 0 1 5060 a`,
    /// `a A 192.0.2.1`, `b FAILS Srv`, `c SLOW Addresses`.
    fn new(lines: &[&str]) -> Self {
        let mut zone = Self::default();
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<u16>().unwrap();
            let name = words[0].to_owned();
            let kind = |word: &str| match word {
                "Naptr" => Kind::Naptr,
                "Srv" => Kind::Srv,
                _ => Kind::Addresses,
            };
            let (kind, record) = match words[1] {
                "NAPTR" => {
                    let record = Naptr {
                        order: number(2),
                        preference: number(3),
                        service: words[4].to_owned(),
                        replacement: Name::new(words[5]).unwrap(),
                    };
                    (Kind::Naptr, Ok(Records::Naptr(vec![record])))
                }
                "SRV" => {
                    let record = Srv {
                        priority: number(2),
                        weight: number(3),
                        port: number(4),
                        target: Name::new(words[5]),
                    };
                    (Kind::Srv, Ok(Records::Srv(vec![record])))
                }
                "A" => {
                    let ip = words[2].parse().unwrap();
                    (Kind::Addresses, Ok(Records::Addresses(vec![ip])))
                }
                "FAILS" => (kind(words[2]), Err(ResolveError::ServerFailure)),
                "SLOW" => (kind(words[2]), Err(ResolveError::Timeout)),
                "NXDOMAIN" => (kind(words[2]), Err(ResolveError::NoSuchDomain)),
                other => panic!("{other}"),
            };
            zone.add((kind, name), record);
        }
        zone
    }

    fn add(&mut self, key: (Kind, String), record: Result<Records, ResolveError>) {
        let before = self.answers.get(&key).cloned();
        let answer = match (before, record) {
            (Some(Ok(before)), Ok(record)) => {
                let mut all = (*before).clone();
                match (&mut all, record) {
                    (Records::Naptr(all), Records::Naptr(more)) => all.extend(more),
                    (Records::Srv(all), Records::Srv(more)) => all.extend(more),
                    (Records::Addresses(all), Records::Addresses(more)) => all.extend(more),
                    _ => panic!("another kind"),
                }
                Ok(Arc::new(all))
            }
            (_, record) => record.map(Arc::new),
        };
        self.answers.insert(key, answer);
    }
}

fn speaking(words: &str) -> ResolverOptions {
    ResolverOptions {
        transports: Transports {
            udp: words.contains("udp"),
            tcp: words.contains("tcp"),
            tls: words.contains("tls"),
        },
        ..ResolverOptions::default()
    }
}

/// Destinations in one line, or the error, or what was asked.
fn found_with(uri: &str, options: &ResolverOptions, zone: &mut Zone) -> String {
    let uri = SipUri::parse(uri).unwrap();
    let wanted = match Wanted::of(&uri) {
        Ok(wanted) => wanted,
        Err(error) => return format!("{error:?}"),
    };
    match locate(&wanted, options, zone, &mut Dice::new(1)) {
        Ok(found) => {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            found.join(" ")
        }
        Err(Stop::Failed(error)) => format!("{error:?}"),
        Err(Stop::MustAsk) => "MustAsk".to_owned(),
    }
}

fn found(uri: &str, speaks: &str, lines: &[&str]) -> String {
    found_with(uri, &speaking(speaks), &mut Zone::new(lines))
}

const ALL: &str = "udp tcp tls";

#[test]
fn address_literals_and_ports_need_no_records_of_services() {
    let zone = [
        "example.com A 192.0.2.1",
        "example.com A 2001:db8::1",
        "example.com NAPTR 1 1 SIPS+D2T _sips._tcp.example.com",
        "_sips._tcp.example.com SRV 0 0 5061 example.com",
    ];
    for (situation, uri, speaks, expected) in [
        ("literal, sip", "sip:192.0.2.9", ALL, "udp:192.0.2.9:5060"),
        (
            "literal, sips: TLS and its port",
            "sips:192.0.2.9",
            ALL,
            "tls:192.0.2.9:5061",
        ),
        (
            "literal with port and transport",
            "sip:[2001:db8::9]:5070;transport=tcp",
            ALL,
            "tcp:[2001:db8::9]:5070",
        ),
        (
            "transport=tls has the port of TLS",
            "sip:192.0.2.9;transport=tls",
            ALL,
            "tls:192.0.2.9:5061",
        ),
        (
            "a mapped address is the address that it maps",
            "sip:[::ffff:192.0.2.9]",
            ALL,
            "udp:192.0.2.9:5060",
        ),
        (
            "without UDP, TLS goes first",
            "sip:192.0.2.9",
            "tcp tls",
            "tls:192.0.2.9:5061",
        ),
        (
            "without UDP, a port is a plain one",
            "sip:192.0.2.9:5060",
            "tcp tls",
            "tcp:192.0.2.9:5060",
        ),
        (
            "but for that of TLS",
            "sip:192.0.2.9:5061",
            "tcp tls",
            "tls:192.0.2.9:5061",
        ),
        (
            "with TLS alone every port is one of TLS",
            "sip:192.0.2.9:5060",
            "tls",
            "tls:192.0.2.9:5060",
        ),
        (
            "a port skips NAPTR and SRV (RFC 3263 §4.2)",
            "sip:example.com:5060",
            ALL,
            "udp:192.0.2.1:5060 udp:[2001:db8::1]:5060",
        ),
        (
            "sips with a port",
            "sips:example.com:5080",
            ALL,
            "tls:192.0.2.1:5080 tls:[2001:db8::1]:5080",
        ),
        (
            "no such transport here",
            "sip:192.0.2.9;transport=udp",
            "tls",
            "NoTransport",
        ),
        (
            "sips without TLS",
            "sips:192.0.2.9",
            "udp tcp",
            "NoTransport",
        ),
        (
            "sips over datagrams",
            "sips:192.0.2.9;transport=udp",
            ALL,
            "NoTransport",
        ),
        ("nothing spoken at all", "sip:192.0.2.9", "", "NoTransport"),
        ("port 0", "sip:192.0.2.9:0", ALL, "BadHost"),
        ("port 0 of a name", "sip:example.com:0", ALL, "BadHost"),
        ("this very host", "sip:0.0.0.0", ALL, "BadHost"),
        ("a group", "sip:[ff02::1]", ALL, "BadHost"),
    ] {
        assert_eq!(found(uri, speaks, &zone), expected, "{situation}");
    }
}

#[test]
fn address_families_that_are_switched_off_are_left_out() {
    let lines = ["example.com A 192.0.2.1", "example.com A 2001:db8::1"];
    let mut options = speaking("udp");
    options.ipv6 = false;
    for (uri, expected) in [
        ("sip:example.com", "udp:192.0.2.1:5060"),
        ("sip:[2001:db8::1]", "NoTransport"),
    ] {
        let found = found_with(uri, &options, &mut Zone::new(&lines));
        assert_eq!(found, expected, "{uri}");
    }
    options.ipv6 = true;
    options.ipv4 = false;
    let found = found_with("sip:example.com", &options, &mut Zone::new(&lines));
    assert_eq!(found, "udp:[2001:db8::1]:5060");
}

#[test]
fn naptr_chooses_the_transport() {
    // RFC 3263 §4.1, the example.
    let zone = [
        "example.com NAPTR 100 50 SIP+D2U _sip._udp.example.com",
        "example.com NAPTR 50 50 SIPS+D2T _sips._tcp.example.com",
        "example.com NAPTR 90 50 SIP+D2T _sip._tcp.example.com",
        "_sips._tcp.example.com SRV 0 0 5061 a.example.com",
        "_sip._tcp.example.com SRV 0 0 5070 b.example.com",
        "_sip._udp.example.com SRV 0 0 5080 c.example.com",
        "a.example.com A 192.0.2.1",
        "b.example.com A 192.0.2.2",
        "c.example.com A 192.0.2.3",
    ];
    for (situation, uri, speaks, expected) in [
        (
            "the lowest order",
            "sip:example.com",
            ALL,
            "tls:192.0.2.1:5061",
        ),
        (
            "the lowest that we speak",
            "sip:example.com",
            "udp tcp",
            "tcp:192.0.2.2:5070",
        ),
        (
            "the only one that we speak",
            "sip:example.com",
            "udp",
            "udp:192.0.2.3:5080",
        ),
        (
            "sips takes SIPS only",
            "sips:example.com",
            ALL,
            "tls:192.0.2.1:5061",
        ),
        (
            "a transport parameter asks for SRV at once",
            "sip:example.com;transport=udp",
            ALL,
            "udp:192.0.2.3:5080",
        ),
        (
            "transport=tls is _sips._tcp",
            "sip:example.com;transport=tls",
            ALL,
            "tls:192.0.2.1:5061",
        ),
        (
            "sips over tcp is _sips._tcp",
            "sips:example.com;transport=tcp",
            ALL,
            "tls:192.0.2.1:5061",
        ),
    ] {
        assert_eq!(found(uri, speaks, &zone), expected, "{situation}");
    }
}

#[test]
fn naptr_records_that_do_not_help_are_passed_over() {
    for (situation, uri, lines, expected) in [
        (
            "services of others, and of transports that nobody here knows",
            "sip:example.com",
            &[
                "example.com NAPTR 1 1 E2U+sip _x.example.com",
                "example.com NAPTR 2 1 SIP+D2S _sip._sctp.example.com",
                "example.com NAPTR 3 1 SIPS+D2U _sips._udp.example.com",
                "example.com NAPTR 4 1 sip+d2t _elsewhere._tcp.example.net",
                "_elsewhere._tcp.example.net SRV 0 0 5062 a.example.net",
                "a.example.net A 192.0.2.1",
            ][..],
            "tcp:192.0.2.1:5062",
        ),
        (
            "preference decides within one order",
            "sip:example.com",
            &[
                "example.com NAPTR 1 20 SIPS+D2T _sips._tcp.example.com",
                "example.com NAPTR 1 10 SIP+D2U _sip._udp.example.com",
                "_sips._tcp.example.com SRV 0 0 5061 a",
                "_sip._udp.example.com SRV 0 0 5060 a",
                "a A 192.0.2.1",
            ],
            "udp:192.0.2.1:5060",
        ),
        (
            "two providers of one transport, the second for when the first fails",
            "sips:example.com",
            &[
                "example.com NAPTR 2 1 SIPS+D2T _sips._tcp.two.example",
                "example.com NAPTR 1 1 SIPS+D2T _sips._tcp.one.example",
                "_sips._tcp.one.example SRV 0 0 5061 one.example",
                "_sips._tcp.two.example SRV 0 0 5062 two.example",
                "one.example A 192.0.2.1",
                "two.example A 192.0.2.2",
            ],
            "tls:192.0.2.1:5061 tls:192.0.2.2:5062",
        ),
        (
            "never TLS first and the clear behind it",
            "sip:example.com",
            &[
                "example.com NAPTR 1 1 SIPS+D2T _sips._tcp.example.com",
                "example.com NAPTR 2 1 SIP+D2T _sip._tcp.example.com",
                "_sips._tcp.example.com SRV 0 0 5061 a",
                "_sip._tcp.example.com SRV 0 0 5060 a",
                "a A 192.0.2.1",
            ],
            "tls:192.0.2.1:5061",
        ),
        (
            "a service without servers leaves the next its turn",
            "sip:example.com",
            &[
                "example.com NAPTR 1 1 SIPS+D2T _sips._tcp.example.com",
                "example.com NAPTR 2 1 SIP+D2T _sip._tcp.example.com",
                "_sips._tcp.example.com SRV 0 0 0 .",
                "_sip._tcp.example.com SRV 0 0 5060 a",
                "a A 192.0.2.1",
            ],
            "tcp:192.0.2.1:5060",
        ),
        (
            "sips with NAPTR of plain services only: SRV of sips is tried, the others are not",
            "sips:example.com",
            &[
                "example.com NAPTR 1 1 SIP+D2T _sip._tcp.example.com",
                "_sip._tcp.example.com SRV 0 0 5060 a",
                "_sips._tcp.example.com SRV 0 0 5061 b",
                "a A 192.0.2.1",
                "b A 192.0.2.2",
            ],
            "tls:192.0.2.2:5061",
        ),
        (
            "NAPTR that fails is as good as none",
            "sip:example.com",
            &[
                "example.com FAILS Naptr",
                "_sip._udp.example.com SRV 0 0 5060 a",
                "a A 192.0.2.1",
            ],
            "udp:192.0.2.1:5060",
        ),
        (
            "but when nobody answers, nobody will",
            "sip:example.com",
            &["example.com SLOW Naptr", "example.com A 192.0.2.1"],
            "Timeout",
        ),
    ] {
        assert_eq!(found(uri, ALL, lines), expected, "{situation}");
    }
}

#[test]
fn without_naptr_the_most_secure_service_that_is_there_is_taken() {
    let zone = [
        "_sips._tcp.example.com SRV 0 0 5061 a",
        "_sip._tcp.example.com SRV 0 0 5060 b",
        "_sip._udp.example.com SRV 0 0 5060 c",
        "a A 192.0.2.1",
        "b A 192.0.2.2",
        "c A 192.0.2.3",
    ];
    for (speaks, expected) in [
        (ALL, "tls:192.0.2.1:5061"),
        ("udp tcp", "tcp:192.0.2.2:5060"),
        ("udp", "udp:192.0.2.3:5060"),
    ] {
        assert_eq!(found("sip:example.com", speaks, &zone), expected);
    }
    let rest = &zone[1..];
    assert_eq!(found("sip:example.com", ALL, rest), "tcp:192.0.2.2:5060");
}

#[test]
fn without_srv_the_domain_itself_is_the_server() {
    for (situation, uri, speaks, lines, expected) in [
        (
            "sip: UDP",
            "sip:example.com",
            ALL,
            &["example.com A 192.0.2.1"][..],
            "udp:192.0.2.1:5060",
        ),
        (
            "sip without UDP: TLS",
            "sip:example.com",
            "tcp tls",
            &["example.com A 192.0.2.1"],
            "tls:192.0.2.1:5061",
        ),
        (
            "sips: TLS",
            "sips:example.com",
            ALL,
            &["example.com A 192.0.2.1"],
            "tls:192.0.2.1:5061",
        ),
        (
            "the transport that the URI names",
            "sip:example.com;transport=tcp",
            ALL,
            &["example.com A 192.0.2.1"],
            "tcp:192.0.2.1:5060",
        ),
        (
            "a domain that DNS does not know may be in the hosts file",
            "sip:example.com",
            ALL,
            &[
                "example.com NXDOMAIN Naptr",
                "_sip._udp.example.com NXDOMAIN Srv",
                "example.com A 192.0.2.1",
            ],
            "udp:192.0.2.1:5060",
        ),
        (
            "a domain that is nowhere",
            "sip:example.com",
            ALL,
            &["example.com NXDOMAIN Addresses"],
            "NoSuchDomain",
        ),
        (
            "a domain with nothing of ours",
            "sip:example.com",
            ALL,
            &[],
            "NoRecords",
        ),
        (
            "the service is decidedly not there (RFC 2782)",
            "sips:example.com",
            ALL,
            &[
                "_sips._tcp.example.com SRV 0 0 0 .",
                "example.com A 192.0.2.1",
            ],
            "NoRecords",
        ),
        (
            "servers whose names lead nowhere are servers all the same",
            "sips:example.com",
            ALL,
            &[
                "_sips._tcp.example.com SRV 0 0 5061 gone.example.com",
                "example.com A 192.0.2.1",
            ],
            "NoRecords",
        ),
        (
            "what cannot be found out is not absent",
            "sips:example.com",
            ALL,
            &[
                "_sips._tcp.example.com FAILS Srv",
                "example.com A 192.0.2.1",
            ],
            "ServerFailure",
        ),
        (
            "one service may fail while another is there",
            "sip:example.com",
            ALL,
            &[
                "_sips._tcp.example.com FAILS Srv",
                "_sip._tcp.example.com SRV 0 0 5060 a",
                "a A 192.0.2.1",
            ],
            "tcp:192.0.2.1:5060",
        ),
        (
            "addresses that nobody tells",
            "sip:example.com:5060",
            ALL,
            &["example.com SLOW Addresses"],
            "Timeout",
        ),
    ] {
        assert_eq!(found(uri, speaks, lines), expected, "{situation}");
    }
}

#[test]
fn servers_come_by_priority_and_those_that_lead_nowhere_are_skipped() {
    let zone = [
        "_sips._tcp.example.com SRV 30 0 5063 c",
        "_sips._tcp.example.com SRV 10 0 5061 a",
        "_sips._tcp.example.com SRV 15 0 5064 gone",
        "_sips._tcp.example.com SRV 16 0 0 a",
        "_sips._tcp.example.com SRV 17 0 5065 slow",
        "_sips._tcp.example.com SRV 20 0 5062 b",
        "slow SLOW Addresses",
        "a A 192.0.2.1",
        "a A 2001:db8::1",
        "b A 192.0.2.2",
        "c A 192.0.2.3",
    ];
    assert_eq!(
        found("sips:example.com", ALL, &zone),
        "tls:192.0.2.1:5061 tls:[2001:db8::1]:5061 tls:192.0.2.2:5062 tls:192.0.2.3:5063"
    );
}

#[test]
fn destinations_and_questions_are_few_whatever_dns_says() {
    let mut lines: Vec<String> = Vec::new();
    for n in 0..200 {
        lines.push(format!(
            "example.com NAPTR {n} 0 SIPS+D2T _sips._tcp.n{n}.example"
        ));
        for server in 0..50 {
            lines.push(format!(
                "_sips._tcp.n{n}.example SRV {server} 0 5061 s{server}"
            ));
        }
    }
    for server in 0..50 {
        for address in 0..40 {
            lines.push(format!("s{server} A 198.51.{server}.{address}"));
        }
    }
    for address in 0..40 {
        lines.push(format!("big A 203.0.113.{address}"));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut zone = Zone::new(&lines);
    let found = found_with("sip:example.com", &speaking(ALL), &mut zone);
    assert_eq!(found.split(' ').count(), 16);
    // No server has all places.
    assert!(found.contains("198.51.3.3:5061") && !found.contains("198.51.0.4:"));
    assert!(zone.asked.len() <= 20, "{}", zone.asked.len());
    // One alone may.
    let found = found_with("sip:big:5060", &speaking(ALL), &mut zone);
    assert_eq!(found.split(' ').count(), 16);
}

#[test]
fn only_what_is_needed_is_asked_for() {
    for (uri, asked) in [
        ("sip:192.0.2.1", &[][..]),
        ("sip:example.com:5060", &["Addresses example.com"]),
        (
            "sip:example.com;transport=tcp",
            &["Srv _sip._tcp.example.com", "Addresses example.com"],
        ),
        ("sip:phone.invalid", &[]),
        ("sip:invalid", &[]),
    ] {
        let mut zone = Zone::default();
        found_with(uri, &speaking(ALL), &mut zone);
        assert_eq!(zone.asked, asked, "{uri}");
    }
}

#[test]
fn what_is_not_remembered_stops_the_steps_and_nothing_else_is_concluded() {
    /// Knows the first answers only.
    struct Partly(Zone, usize);
    impl Source for Partly {
        fn answers(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Stop> {
            if self.1 == 0 {
                return Err(Stop::MustAsk);
            }
            self.1 -= 1;
            self.0.answers(questions)
        }
    }
    let lines = [
        "example.com NAPTR 1 1 SIPS+D2T _sips._tcp.example.com",
        "_sips._tcp.example.com SRV 0 0 5061 a",
        "a A 192.0.2.1",
        "example.com A 192.0.2.2",
    ];
    let wanted = Wanted::of(&SipUri::parse("sip:example.com").unwrap()).unwrap();
    for known in 0..3 {
        let mut source = Partly(Zone::new(&lines), known);
        let found = locate(&wanted, &speaking(ALL), &mut source, &mut Dice::new(1));
        assert_eq!(found, Err(Stop::MustAsk), "{known}");
    }
    let mut source = Partly(Zone::new(&lines), 3);
    let found = locate(&wanted, &speaking(ALL), &mut source, &mut Dice::new(1)).unwrap();
    assert_eq!(found[0].transport, TransportKind::Tls);
}

#[test]
fn hosts_that_dns_cannot_have_are_not_asked_for() {
    let long = format!("sip:{}.com", "a".repeat(64));
    for uri in ["sip:*.example.com", long.as_str()] {
        let mut zone = Zone::default();
        assert_eq!(found_with(uri, &speaking(ALL), &mut zone), "BadHost");
        assert_eq!(zone.asked, Vec::<String>::new());
    }
}
