//! What comes of answers.

use std::collections::HashMap;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use sipvouch::resolve::{Destination, Resolver, ResolverOptions};

use super::server::Server;
use super::{ask, options, recall, resolver, wanted};

/// A domain with everything.
const EXAMPLE: &[&str] = &[
    "a.example 300 NAPTR 50 50 s SIPS+D2T \"\" _sips._tcp.a.example",
    "a.example 300 NAPTR 90 50 s SIP+D2T \"\" _sip._tcp.a.example",
    "a.example 300 NAPTR 100 50 s SIP+D2U \"\" _sip._udp.a.example",
    "_sips._tcp.a.example 300 SRV 20 0 5062 two.a.example",
    "_sips._tcp.a.example 300 SRV 10 0 5061 one.a.example",
    "_sip._tcp.a.example 300 SRV 0 0 5070 one.a.example",
    "_sip._udp.a.example 300 SRV 0 0 5080 two.a.example",
    "one.a.example 300 A 192.0.2.1",
    "two.a.example 300 AAAA 2001:db8::2",
    "a.example 300 A 192.0.2.9",
];

#[test]
fn naptr_srv_and_addresses_lead_to_servers_in_their_order() {
    let server = Server::new(EXAMPLE);
    let resolver = resolver(&server);
    let now = Instant::now();
    for (uri, found) in [
        ("sip:a.example", "tls:192.0.2.1:5061 tls:[2001:db8::2]:5062"),
        (
            "sips:a.example",
            "tls:192.0.2.1:5061 tls:[2001:db8::2]:5062",
        ),
        ("sip:a.example;transport=tcp", "tcp:192.0.2.1:5070"),
        ("sip:a.example;transport=udp", "udp:[2001:db8::2]:5080"),
        ("sip:a.example:5060", "udp:192.0.2.9:5060"),
        ("sips:A.EXAMPLE.:5099", "tls:192.0.2.9:5099"),
    ] {
        assert_eq!(ask(&resolver, uri, now), found, "{uri}");
        assert_eq!(recall(&resolver, uri, now), found, "{uri}");
    }
    // Each question once, whatever the URIs have in common.
    assert_eq!(
        server.asked(),
        [
            "udp A a.example",
            "udp A one.a.example",
            "udp A two.a.example",
            "udp AAAA a.example",
            "udp AAAA one.a.example",
            "udp AAAA two.a.example",
            "udp NAPTR a.example",
            "udp SRV _sip._tcp.a.example",
            "udp SRV _sip._udp.a.example",
            "udp SRV _sips._tcp.a.example",
        ]
    );
}

#[test]
fn naptr_records_of_other_shapes_are_passed_over() {
    let server = Server::new(&[
        "a.example 300 NAPTR 1 1 u SIPS+D2T !^.*$!sip:x@b.example! .",
        "a.example 300 NAPTR 2 1 s SIPS+D2T !^.*$!x! _sips._tcp.b.example",
        "a.example 300 NAPTR 3 1 a SIPS+D2T \"\" b.example",
        "a.example 300 NAPTR 4 1 s SIPS+D2T \"\" .",
        "a.example 300 NAPTR 5 1 S sips+d2t \"\" _sips._tcp.c.example",
        "_sips._tcp.b.example 300 SRV 0 0 5061 b.example",
        "_sips._tcp.c.example 300 SRV 0 0 5061 c.example",
        "b.example 300 A 192.0.2.2",
        "c.example 300 A 192.0.2.3",
    ]);
    let found = ask(&resolver(&server), "sip:a.example", Instant::now());
    assert_eq!(found, "tls:192.0.2.3:5061");
}

#[test]
fn weights_share_the_load_of_remembered_answers() {
    let server = Server::new(&[
        "_sips._tcp.a.example 300 SRV 0 10 5061 one.example",
        "_sips._tcp.a.example 300 SRV 0 30 5062 two.example",
        "_sips._tcp.a.example 300 SRV 0 60 5063 three.example",
        "_sips._tcp.a.example 300 SRV 1 0 5064 backup.example",
        "one.example 300 A 192.0.2.1",
        "two.example 300 A 192.0.2.2",
        "three.example 300 A 192.0.2.3",
        "backup.example 300 A 192.0.2.4",
    ]);
    let resolver = resolver(&server);
    let now = Instant::now();
    let wanted = wanted("sips:a.example");
    resolver.resolve(&wanted, now).unwrap();
    server.asked();
    let mut first: HashMap<u16, u32> = HashMap::new();
    for _ in 0..10_000 {
        let found = resolver.recall(&wanted, now).unwrap().unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!(found[3].address.port(), 5064);
        *first.entry(found[0].address.port()).or_default() += 1;
    }
    for (port, share) in [(5061, 1000_u32), (5062, 3000), (5063, 6000)] {
        assert!(first[&port].abs_diff(share) < 250, "{first:?}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    // The same seed, the same draws.
    let draws = || {
        let resolver = Resolver::new(options(&[&server])).unwrap();
        (0..20)
            .map(|_| ask(&resolver, "sips:a.example", now))
            .collect::<Vec<_>>()
    };
    assert_eq!(draws(), draws());
}

#[test]
fn answers_are_good_for_their_time_and_then_asked_for_again() {
    let server = Server::new(&["a.example 300 A 192.0.2.1"]);
    let resolver = resolver(&server);
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let uri = "sip:a.example:5060";
    assert_eq!(recall(&resolver, uri, start), "-");
    assert_eq!(ask(&resolver, uri, start), "udp:192.0.2.1:5060");
    server.asked();
    server.set(&["a.example 300 A 192.0.2.2"]);
    assert_eq!(ask(&resolver, uri, after(299)), "udp:192.0.2.1:5060");
    assert_eq!(server.asked(), Vec::<String>::new());
    assert_eq!(recall(&resolver, uri, after(300)), "-");
    assert_eq!(ask(&resolver, uri, after(300)), "udp:192.0.2.2:5060");
    assert_eq!(recall(&resolver, uri, after(599)), "udp:192.0.2.2:5060");
}

#[test]
fn the_shortest_life_counts_of_the_records_and_aliases_of_an_answer() {
    let server = Server::new(&[
        "_sips._tcp.a.example 60 CNAME servers.example",
        "servers.example 300 SRV 0 0 5061 alias.example",
        "alias.example 90 CNAME one.example",
        "one.example 300 A 192.0.2.1",
    ]);
    let resolver = resolver(&server);
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let uri = "sips:a.example;transport=tls";
    assert_eq!(ask(&resolver, uri, start), "tls:192.0.2.1:5061");
    assert_eq!(recall(&resolver, uri, after(59)), "tls:192.0.2.1:5061");
    assert_eq!(recall(&resolver, uri, after(60)), "-");
    server.asked();
    assert_eq!(ask(&resolver, uri, after(89)), "tls:192.0.2.1:5061");
    assert_eq!(server.asked(), ["udp SRV _sips._tcp.a.example"]);
    assert_eq!(recall(&resolver, uri, after(90)), "-");
}

#[test]
fn absence_is_remembered_as_long_as_the_zone_says() {
    let server = Server::new(&["example 600 SOA 20", "there.example 300 A 192.0.2.1"]);
    let resolver = Resolver::new(ResolverOptions {
        negative_ttl: Duration::from_secs(40),
        ..options(&[&server])
    })
    .unwrap();
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(ask(&resolver, "sips:gone.example", start), "NoSuchDomain");
    server.asked();
    assert_eq!(
        recall(&resolver, "sips:gone.example", after(19)),
        "NoSuchDomain"
    );
    assert_eq!(server.asked(), Vec::<String>::new());
    // NAPTR and SRV by the SOA record, addresses by our own time: the library keeps their SOA record to itself.
    assert_eq!(
        ask(&resolver, "sips:gone.example", after(20)),
        "NoSuchDomain"
    );
    assert_eq!(
        server.asked(),
        ["udp NAPTR gone.example", "udp SRV _sips._tcp.gone.example"]
    );
    // A name that is there without such records.
    assert_eq!(
        ask(&resolver, "sips:there.example", start),
        "tls:192.0.2.1:5061"
    );
    server.asked();
    assert_eq!(
        ask(&resolver, "sips:there.example", after(19)),
        "tls:192.0.2.1:5061"
    );
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn a_service_that_is_decidedly_not_there_is_not_looked_for_elsewhere() {
    let server = Server::new(&[
        "_sips._tcp.a.example 300 SRV 0 0 0 .",
        "a.example 300 A 192.0.2.1",
    ]);
    let found = ask(&resolver(&server), "sips:a.example", Instant::now());
    assert_eq!(found, "NoRecords");
}

#[test]
fn aliases_are_followed_and_their_loops_lead_nowhere() {
    let mut records: Vec<String> = (0..6)
        .map(|n| format!("c{n}.example 300 CNAME c{}.example", n + 1))
        .collect();
    records.push("c6.example 300 A 192.0.2.6".to_owned());
    records.push("c6.example 300 SRV 0 0 5061 c6.example".to_owned());
    records.push("_sips._tcp.d.example 300 CNAME c0.example".to_owned());
    for (from, to) in [("x", "y"), ("y", "x"), ("_sips._tcp.z", "x")] {
        records.push(format!("{from}.example 300 CNAME {to}.example"));
    }
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let server = Server::new(&records);
    let resolver = resolver(&server);
    let now = Instant::now();
    assert_eq!(
        ask(&resolver, "sip:c0.example:5060", now),
        "udp:192.0.2.6:5060"
    );
    assert_eq!(ask(&resolver, "sips:d.example", now), "tls:192.0.2.6:5061");
    assert_eq!(ask(&resolver, "sip:x.example:5060", now), "NoRecords");
    // No servers, and no address of the domain's own.
    assert_eq!(ask(&resolver, "sips:z.example", now), "NoSuchDomain");
}

#[test]
fn an_answer_too_long_for_udp_comes_over_tcp_and_is_not_read_for_ever() {
    let mut records: Vec<String> = (0..500)
        .map(|n| {
            format!(
                "_sips._tcp.a.example 300 SRV {n} 0 {} s{n}.example",
                5061 + n
            )
        })
        .collect();
    for n in 0..500 {
        for address in 0..60 {
            records.push(format!("s{n}.example 300 A 198.51.{}.{address}", n % 256));
        }
    }
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let server = Server::new(&records);
    let found = resolver(&server)
        .resolve(&wanted("sips:a.example;transport=tls"), Instant::now())
        .unwrap();
    assert_eq!(found.len(), 16);
    assert_eq!(found[0].address.port(), 5061);
    assert_eq!(found[4].address.port(), 5062);
    let asked = server.asked();
    assert!(asked.contains(&"udp SRV _sips._tcp.a.example".to_owned()));
    assert!(asked.contains(&"tcp SRV _sips._tcp.a.example".to_owned()));
    // Eight servers, two families, UDP and for the long ones TCP.
    assert!(asked.len() <= 2 + 8 * 4, "{asked:?}");
}

#[test]
fn records_that_name_no_host_are_passed_over() {
    let server = Server::new(&[
        "_sips._tcp.a.example 300 SRV 1 0 5061 192.0.2.66",
        "_sips._tcp.a.example 300 SRV 2 0 5061 *.example",
        "_sips._tcp.a.example 300 SRV 3 0 0 good.example",
        "_sips._tcp.a.example 300 SRV 4 0 5061 group.example",
        "_sips._tcp.a.example 300 SRV 5 0 5065 good.example",
        "group.example 300 A 224.0.0.5",
        "group.example 300 A 0.0.0.0",
        "group.example 300 A 255.255.255.255",
        "group.example 300 AAAA ff02::1",
        "group.example 300 AAAA ::",
        "good.example 300 AAAA ::ffff:192.0.2.1",
    ]);
    let found = ask(&resolver(&server), "sips:a.example", Instant::now());
    assert_eq!(found, "tls:192.0.2.1:5065");
    assert!(!server.asked().iter().any(|asked| asked.contains('*')));
}

#[test]
fn a_family_that_is_switched_off_is_not_asked_for() {
    let server = Server::new(&[
        "a.example 300 A 192.0.2.1",
        "a.example 300 AAAA 2001:db8::1",
    ]);
    let now = Instant::now();
    for (ipv4, found, asked) in [
        (true, "udp:192.0.2.1:5060", "udp A a.example"),
        (false, "udp:[2001:db8::1]:5060", "udp AAAA a.example"),
    ] {
        let resolver = Resolver::new(ResolverOptions {
            ipv4,
            ipv6: !ipv4,
            ..options(&[&server])
        })
        .unwrap();
        assert_eq!(ask(&resolver, "sip:a.example:5060", now), found);
        assert_eq!(server.asked(), [asked]);
    }
}

#[test]
fn this_host_is_known_without_a_name_server() {
    let server = Server::new(&["localhost 300 A 192.0.2.66"]);
    let resolver = resolver(&server);
    let found = ask(&resolver, "sip:localhost:5060", Instant::now());
    assert!(found.contains("udp:127.0.0.1:5060"), "{found}");
    assert!(!found.contains("192.0.2.66"), "{found}");
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn what_failed_is_tried_last_until_it_works_or_its_time_is_up() {
    let server = Server::new(EXAMPLE);
    let resolver = Resolver::new(ResolverOptions {
        greylist: Duration::from_secs(120),
        ..options(&[&server])
    })
    .unwrap();
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let uri = "sips:a.example";
    let (usual, turned) = (
        "tls:192.0.2.1:5061 tls:[2001:db8::2]:5062",
        "tls:[2001:db8::2]:5062 tls:192.0.2.1:5061",
    );
    let first: Destination = resolver.resolve(&wanted(uri), start).unwrap()[0];
    resolver.avoid(&first, start);
    assert_eq!(ask(&resolver, uri, start), turned);
    assert_eq!(recall(&resolver, uri, after(119)), turned);
    assert_eq!(recall(&resolver, uri, after(120)), usual);
    resolver.avoid(&first, after(120));
    assert_eq!(recall(&resolver, uri, after(121)), turned);
    resolver.works(&first);
    assert_eq!(recall(&resolver, uri, after(121)), usual);
}

#[test]
fn two_who_ask_at_once_ask_once() {
    let server = Server::new(EXAMPLE);
    let resolver = resolver(&server);
    let now = Instant::now();
    server.hold(true);
    let all_there = Barrier::new(5);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    all_there.wait();
                    ask(&resolver, "sips:a.example", now)
                })
            })
            .collect();
        all_there.wait();
        server.wait_for("udp NAPTR a.example");
        server.hold(false);
        for thread in waiting {
            let found = thread.join().unwrap();
            assert_eq!(found, "tls:192.0.2.1:5061 tls:[2001:db8::2]:5062");
        }
    });
    let asked = server.asked();
    assert_eq!(asked.len(), 6, "{asked:?}");
}
