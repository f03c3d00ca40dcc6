//! Which records of DNS a request follows (RFC 3263 §4, RFC 2782), each domain with records of its own and all of them in
//! one server. Every server of the other domains shows `*.example.net`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use c_ares::DnsRcode;

use super::{ALICE, PATIENCE, setup, user};
use crate::harness::{Connection, NameFault, NameServer, Remote, Request, Setup, free_port};

/// A domain, and who hears of a request to it. In records and URIs `%` is the domain; `A` and `B` after a dollar sign are
/// the ports of servers over TLS on 127.0.0.1, `S` that of one on ::1, `T` that of one over TCP, and `X` that of nobody.
struct Row {
    situation: &'static str,
    records: &'static [&'static str],
    uri: &'static str,
    reaches: Reaches,
    /// Words of which none is in what the name server is asked.
    never_asks: &'static [&'static str],
    /// One of the questions that it is asked.
    asks: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaches {
    /// The server of this letter.
    Server(char),
    /// Nobody; alice is told so with 500.
    Nobody(&'static str),
    /// The server of this letter, which does not prove what was asked for.
    Stranger(char),
}

use Reaches::{Nobody, Server as At, Stranger};

const NO_RESULTS: Reaches = Nobody("No DNS results");

const fn row(
    situation: &'static str,
    records: &'static [&'static str],
    uri: &'static str,
    reaches: Reaches,
) -> Row {
    Row {
        situation,
        records,
        uri,
        reaches,
        never_asks: &[],
        asks: "",
    }
}

const HOST: &str = "host.% 300 A 127.0.0.1";

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row("the order of NAPTR records goes before their preference", &[
        "% 300 NAPTR 20 10 s SIPS+D2T \"\" late.%", "late.% 300 SRV 0 0 $B host.%",
        "% 300 NAPTR 10 90 s SIPS+D2T \"\" early.%", "early.% 300 SRV 0 0 $A host.%", HOST,
    ], "sip:carol@%", At('A')),
    row("a domain that prefers TLS is asked over TLS", &[
        "% 300 NAPTR 20 10 s SIP+D2T \"\" plain.%", "plain.% 300 SRV 0 0 $T host.%",
        "% 300 NAPTR 10 10 s SIPS+D2T \"\" safe.%", "safe.% 300 SRV 0 0 $A host.%", HOST,
    ], "sip:carol@%", At('A')),
    row("one that prefers TCP, over TCP", &[
        "% 300 NAPTR 10 10 s SIP+D2T \"\" plain.%", "plain.% 300 SRV 0 0 $T host.%",
        "% 300 NAPTR 20 10 s SIPS+D2T \"\" safe.%", "safe.% 300 SRV 0 0 $A host.%", HOST,
    ], "sip:carol@%", At('T')),
    row("but not for sips", &[
        "% 300 NAPTR 10 10 s SIP+D2T \"\" plain.%", "plain.% 300 SRV 0 0 $T host.%",
        "% 300 NAPTR 20 10 s SIPS+D2T \"\" safe.%", "safe.% 300 SRV 0 0 $A host.%", HOST,
    ], "sips:carol@%", At('A')),
    row("a domain without TLS is not there for sips", &[
        "% 300 NAPTR 10 10 s SIP+D2T \"\" plain.%", "plain.% 300 SRV 0 0 $T host.%", HOST,
    ], "sips:carol@%", NO_RESULTS),
    row("services that we do not know are passed over", &[
        "% 300 NAPTR 1 1 s SIP+D2S \"\" sctp.%", "sctp.% 300 SRV 0 0 $B host.%",
        "% 300 NAPTR 2 1 s SIPS+D2W \"\" web.%", "web.% 300 SRV 0 0 $B host.%",
        "% 300 NAPTR 3 1 u E2U+sip \"\" enum.%", "enum.% 300 SRV 0 0 $B host.%",
        "% 300 NAPTR 4 1 s SIPS+D2T \"\" safe.%", "safe.% 300 SRV 0 0 $A host.%", HOST,
    ], "sip:carol@%", At('A')),
    row("without NAPTR records TLS goes first", &[
        "_sip._tcp.% 300 SRV 0 0 $T host.%", "_sips._tcp.% 300 SRV 0 0 $A host.%", HOST,
    ], "sip:carol@%", At('A')),
    Row { never_asks: &["NAPTR"], ..row("a transport that the URI names is not asked for", &[
        "% 300 NAPTR 10 10 s SIPS+D2T \"\" safe.%", "safe.% 300 SRV 0 0 $A host.%",
        "_sip._tcp.% 300 SRV 0 0 $T host.%", HOST,
    ], "sip:carol@%;transport=tcp", At('T')) },
    Row { never_asks: &["NAPTR", "SRV"], ..row("with a port no service is asked for", &[
        "% 300 NAPTR 10 10 s SIPS+D2T \"\" safe.%", "safe.% 300 SRV 0 0 $B host.%",
        "_sips._tcp.% 300 SRV 0 0 $B host.%", "% 300 A 127.0.0.1", HOST,
    ], "sip:carol@%:$A;transport=tls", At('A')) },
    Row { never_asks: &["NAPTR", "SRV"], ..row("nor for sips", &[
        "_sips._tcp.% 300 SRV 0 0 $B host.%", "% 300 A 127.0.0.1", HOST,
    ], "sips:carol@%:$A", At('A')) },
    row("a service that is decidedly not there is not looked for at the domain's own address", &[
        "_sips._tcp.% 300 SRV 0 0 0 .", "% 300 A 127.0.0.1",
    ], "sips:carol@%", NO_RESULTS),
    row("aliases of services and of hosts are followed", &[
        "_sips._tcp.% 300 CNAME services.%", "services.% 300 SRV 0 0 $A alias.%", "alias.% 300 CNAME host.%", HOST,
    ], "sip:carol@%", At('A')),
    row("a host with an address of IPv6", &[
        "_sips._tcp.% 300 SRV 0 0 $S host.%", "host.% 300 AAAA ::1",
    ], "sip:carol@%", At('S')),
    row("a host where only one of both families serves", &[
        "_sips._tcp.% 300 SRV 0 0 $A host.%", "host.% 300 AAAA ::1", HOST,
    ], "sip:carol@%", At('A')),
    row("the other family", &[
        "_sips._tcp.% 300 SRV 0 0 $S host.%", "host.% 300 AAAA ::1", HOST,
    ], "sip:carol@%", At('S')),
    row("a server without an address leaves the next", &[
        "_sips._tcp.% 300 SRV 0 0 $B nowhere.%", "_sips._tcp.% 300 SRV 1 0 $A host.%", HOST,
    ], "sip:carol@%", At('A')),
    row("a name of which nothing is known", &[], "sip:carol@%", NO_RESULTS),
    row("a name without records of use", &["% 300 NAPTR 1 1 u E2U+sip \"\" enum.%"], "sip:carol@%", NO_RESULTS),
    row("a name server that fails", &[], "sip:carol@servfail.example.net", NO_RESULTS),
    row("one that refuses", &[], "sip:carol@refused.example.net", NO_RESULTS),
    Row { never_asks: &["udp", "tcp"], ..row("an address", &[], "sip:carol@127.0.0.1:$T;transport=tcp", At('T')) },
    Row { never_asks: &["udp", "tcp"], ..row("an address that the certificate does not name", &[],
        "sip:carol@127.0.0.1:$A;transport=tls", Stranger('A')) },
    Row { never_asks: &["udp", "tcp"], ..row("an address of nobody", &[], "sip:carol@127.0.0.1:$X;transport=tcp",
        Nobody("Transport failure: no transports left to try")) },
    Row { asks: "tcp SRV _sips._tcp.%", ..row("an answer too long for a datagram", &[
        "_sips._tcp.% 300 SRV 0 0 $A host.%", HOST, "long",
    ], "sip:carol@%", At('A')) },
];

/// More servers than a datagram has room for, all of them after that of the row.
fn long(domain: &str) -> impl Iterator<Item = String> {
    (1..=100).map(move |n| {
        format!("_sips._tcp.{domain} 300 SRV {n} 0 1 a-rather-long-name-of-a-host-{n}.{domain}")
    })
}

/// The servers of all rows, by their letters.
fn remotes() -> BTreeMap<char, Remote> {
    let on = IpAddr::V6(Ipv6Addr::LOCALHOST);
    BTreeMap::from([
        ('A', Remote::serving("wildcard-dns")),
        ('B', Remote::serving("wildcard-dns")),
        ('S', Remote::serving_on(on, "wildcard-dns")),
        ('T', Remote::plain()),
        ('X', Remote::absent()),
    ])
}

fn fill(text: &str, domain: &str, remotes: &BTreeMap<char, Remote>) -> String {
    let text = text.replace('%', domain);
    remotes.iter().fold(text, |text, (letter, remote)| {
        text.replace(&format!("${letter}"), &remote.address().port().to_string())
    })
}

/// A server that takes the certificates of the remotes, and what it listens on.
fn taking_wildcards(names: &NameServer) -> Setup {
    setup(names).set("AllowWildcardCertificates", "true")
}

/// The same on both families.
fn of_both_families(names: &NameServer) -> Setup {
    let mut setup = taking_wildcards(names);
    for (number, (kind, host)) in [("TLS", "127.0.0.1"), ("TLS", "[::1]"), ("TCP", "127.0.0.1")]
        .into_iter()
        .enumerate()
    {
        let prefix = format!("Transport{}", number + 1);
        let interface = format!("{host}:{}", free_port());
        setup = setup
            .set(&format!("{prefix}Interface"), &interface)
            .set(&format!("{prefix}Type"), kind);
        if kind == "TLS" {
            setup = setup.set(&format!("{prefix}TlsDomain"), "example.org");
        }
    }
    setup
}

#[test]
fn a_request_goes_to_the_server_that_the_records_of_its_domain_name() {
    let remotes = remotes();
    let domain = |number: usize| format!("d{number}.example.net");
    let mut lines = Vec::new();
    for (number, row) in TABLE.iter().enumerate() {
        for record in row.records {
            match *record {
                "long" => lines.extend(long(&domain(number))),
                record => lines.push(fill(record, &domain(number), &remotes)),
            }
        }
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let names = NameServer::new(&lines);
    for (name, code) in [
        ("servfail", DnsRcode::ServFail),
        ("refused", DnsRcode::Refused),
    ] {
        for prefix in ["", "_sips._tcp.", "_sip._tcp.", "_sip._udp."] {
            let name = format!("{prefix}{name}.example.net");
            names.fault(&name, NameFault::Code(code));
        }
    }
    let server = of_both_families(&names).start();
    let mut alice = user(&server, "alice");
    // Over TCP nothing is proved, and one connection serves all domains.
    let mut plain = None;
    for (number, row) in TABLE.iter().enumerate() {
        let situation = row.situation;
        names.asked();
        let uri = fill(row.uri, &domain(number), &remotes);
        let message = Request::new("MESSAGE", &uri, ALICE);
        alice.send_request(&message).expect("a connection");
        let mut fresh;
        let reached: Option<&mut Connection> = match row.reaches {
            At('T') => Some(plain.get_or_insert_with(|| remotes[&'T'].accept())),
            At(letter) => {
                fresh = remotes[&letter].accept();
                Some(&mut fresh)
            }
            Stranger(letter) => {
                remotes[&letter].accept_failing();
                None
            }
            Nobody(_) => None,
        };
        if let Some(reached) = reached {
            let asked = reached.next_request(PATIENCE);
            let asked = asked.unwrap_or_else(|| panic!("{situation}: {}", server.log()));
            assert_eq!(asked.start, format!("MESSAGE {uri} SIP/2.0"), "{situation}");
            reached
                .send(&asked.answer(200, "OK"))
                .expect("a connection");
        }
        let wanted = match row.reaches {
            Nobody(phrase) => (500, phrase),
            Stranger(_) => (500, "Certificate Name Mismatch"),
            At(_) => (200, "OK"),
        };
        let answer = alice.final_answer(&message, PATIENCE).response();
        assert_eq!((answer.status, &*answer.reason), wanted, "{situation}");
        for (letter, remote) in &remotes {
            assert!(
                *letter == 'X' || remote.is_untouched(),
                "{situation}: {letter}"
            );
        }
        let asked = names.asked();
        for word in row.never_asks {
            assert!(
                !asked.iter().any(|asked| asked.contains(word)),
                "{situation}: {asked:?}"
            );
        }
        let asks = fill(row.asks, &domain(number), &remotes);
        assert!(
            asks.is_empty() || asked.contains(&asks),
            "{situation}: {asked:?}"
        );
    }
}

#[test]
fn a_host_with_addresses_of_a_family_that_nobody_listens_on_here_is_reached_by_the_other() {
    let remote = Remote::serving("wildcard-dns");
    let names = NameServer::new(&[
        &format!(
            "_sips._tcp.d.example.net 300 SRV 0 0 {} host.d.example.net",
            remote.address().port()
        ),
        "host.d.example.net 300 AAAA ::1",
        "host.d.example.net 300 A 127.0.0.1",
    ]);
    let server = taking_wildcards(&names).start();
    let mut alice = user(&server, "alice");
    let message = Request::new("MESSAGE", "sip:carol@d.example.net", ALICE);
    alice.send_request(&message).expect("a connection");
    super::locating::serve(&mut remote.accept());
    assert_eq!(
        alice.final_answer(&message, PATIENCE).response().status,
        200
    );
}

#[test]
fn weights_share_the_requests_among_servers_of_one_priority() {
    const REQUESTS: u32 = 200;
    let (often, seldom) = (
        Remote::serving("wildcard-dns"),
        Remote::serving("wildcard-dns"),
    );
    let srv = |priority: u16, weight: u16, remote: &Remote| {
        let port = remote.address().port();
        format!("_sips._tcp.d.example.net 300 SRV {priority} {weight} {port} host.d.example.net")
    };
    let last = Remote::serving("wildcard-dns");
    let lines = [
        srv(2, 60_000, &last),
        srv(1, 10, &seldom),
        srv(1, 90, &often),
        "host.d.example.net 300 A 127.0.0.1".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let names = NameServer::new(&lines);
    let server = taking_wildcards(&names).start();
    let serves = |remote: &Remote, count: &AtomicU32| {
        let mut connection = remote.accept();
        while let Some(asked) = connection.next_request(PATIENCE) {
            count.fetch_add(1, Ordering::SeqCst);
            if connection.send(&asked.answer(200, "OK")).is_err() {
                return;
            }
        }
    };
    let (by_often, by_seldom) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| serves(&often, &by_often));
        scope.spawn(|| serves(&seldom, &by_seldom));
        let mut alice = user(&server, "alice");
        for _ in 0..REQUESTS {
            let message = Request::new("MESSAGE", "sip:carol@d.example.net", ALICE);
            assert_eq!(alice.ask(&message).response().status, 200);
        }
        // Their connections end with it.
        server.kill();
    });
    let (often, seldom) = (by_often.into_inner(), by_seldom.into_inner());
    assert_eq!(often + seldom, REQUESTS);
    // 20 are to be expected. None by chance is one case in a thousand million, and more than 60 are less likely; a draw
    // without weights gives 100, and records taken as they come 200 or none.
    assert!((1..=60).contains(&seldom), "{seldom} of {REQUESTS}");
    assert!(last.is_untouched());
}

#[test]
fn a_change_is_followed_when_the_time_of_the_record_is_up_and_not_before() {
    let (old, new) = (
        Remote::serving("wildcard-dns"),
        Remote::serving("wildcard-dns"),
    );
    let names = NameServer::new(&[]);
    let lead_to = |remote: &Remote| {
        let port = remote.address().port();
        names.set(&[
            &format!("_sips._tcp.short.example.net 1 SRV 0 0 {port} host.example.net"),
            &format!("_sips._tcp.long.example.net 300 SRV 0 0 {port} host.example.net"),
            "host.example.net 300 A 127.0.0.1",
        ]);
    };
    lead_to(&old);
    let server = taking_wildcards(&names).start();
    let mut alice = user(&server, "alice");
    let [short, long] = ["short", "long"].map(|name| format!("sip:carol@{name}.example.net"));
    let mut old_connections = [&long, &short].map(|uri| {
        let message = Request::new("MESSAGE", uri, ALICE);
        alice.send_request(&message).expect("a connection");
        let mut connection = old.accept();
        super::locating::serve(&mut connection);
        assert_eq!(
            alice.final_answer(&message, PATIENCE).response().status,
            200
        );
        connection
    });
    lead_to(&new);
    let begun = Instant::now();
    while new.is_untouched() {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        let message = Request::new("MESSAGE", &short, ALICE);
        alice.send_request(&message).expect("a connection");
        if let Some(asked) = old_connections[1].next_request(Duration::from_millis(300)) {
            old_connections[1]
                .send(&asked.answer(200, "OK"))
                .expect("a connection");
            assert_eq!(
                alice.final_answer(&message, PATIENCE).response().status,
                200
            );
        }
    }
    let message = Request::new("MESSAGE", &long, ALICE);
    alice.send_request(&message).expect("a connection");
    super::locating::serve(&mut old_connections[0]);
    assert_eq!(
        alice.final_answer(&message, PATIENCE).response().status,
        200
    );
}

#[test]
fn a_name_server_that_is_silent_or_fails_is_followed_by_the_second() {
    let remote = Remote::serving("server-partner");
    let good = super::leading_to(&[&remote]);
    for fault in [NameFault::Silence, NameFault::Code(DnsRcode::ServFail)] {
        let bad = NameServer::new(&[]);
        for name in ["kama.test", "_sips._tcp.kama.test", "local.kama.test"] {
            bad.fault(name, fault.clone());
        }
        let servers = format!("{},{}", bad.address(), good.address());
        let server = setup(&good).set("DNSServers", &servers).start();
        let mut alice = user(&server, "alice");
        let message = Request::new("MESSAGE", super::CAROL, ALICE);
        alice.send_request(&message).expect("a connection");
        super::locating::serve(&mut remote.accept());
        assert_eq!(
            alice.final_answer(&message, PATIENCE).response().status,
            200,
            "{fault:?}"
        );
        assert!(!bad.asked().is_empty(), "{fault:?}");
    }
}
