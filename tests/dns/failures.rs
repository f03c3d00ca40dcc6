//! What comes of the lack of answers.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use c_ares::DnsRcode;
use sipvouch::resolve::{ResolveError, Resolver, ResolverOptions};
use sipvouch::sip::StatusCode;

use super::server::{Fault, Server};
use super::{ask, options, recall, resolver, wanted};

const RECORDS: &[&str] = &[
    "_sips._tcp.a.example 300 SRV 10 0 5061 one.example",
    "_sips._tcp.a.example 300 SRV 20 0 5062 two.example",
    "one.example 300 A 192.0.2.1",
    "two.example 300 A 192.0.2.2",
    "b.example 300 A 192.0.2.3",
];

#[test]
fn silence_ends_in_bounded_time_and_says_so_upstream() {
    let server = Server::new(RECORDS);
    server.fault("a.example", Fault::Silence);
    let timeout = Duration::from_millis(1500);
    let resolver = Resolver::new(ResolverOptions {
        timeout,
        ..options(&[&server])
    })
    .unwrap();
    let begun = Instant::now();
    let error = resolver
        .resolve(&wanted("sips:a.example"), begun)
        .unwrap_err();
    let took = begun.elapsed();
    assert_eq!(error, ResolveError::Timeout);
    assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(error.reason(), "DNS Timeout");
    assert!(took < timeout * 3, "{took:?}");
    // Others are served.
    assert_eq!(
        ask(&resolver, "sip:b.example:5060", begun),
        "udp:192.0.2.3:5060"
    );
}

#[test]
fn nothing_waits_for_a_resolver_that_is_dropped_with_questions_under_way() {
    let server = Server::new(RECORDS);
    server.fault("a.example", Fault::Silence);
    let resolver = Resolver::new(ResolverOptions {
        timeout: Duration::from_millis(50),
        attempts: 10,
        ..options(&[&server])
    })
    .unwrap();
    let begun = Instant::now();
    assert_eq!(ask(&resolver, "sips:a.example", begun), "Timeout");
    drop(resolver);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn failures_are_told_apart_and_remembered_for_a_moment() {
    let server = Server::new(RECORDS);
    let resolver = resolver(&server);
    let start = Instant::now();
    for (name, fault, found) in [
        ("fails.example", DnsRcode::ServFail, "ServerFailure"),
        ("refused.example", DnsRcode::Refused, "Refused"),
        ("gone.example", DnsRcode::NXDomain, "NoSuchDomain"),
    ] {
        server.fault(name, Fault::Code(fault));
        let uri = format!("sip:{name}:5060");
        assert_eq!(ask(&resolver, &uri, start), found);
        server.asked();
        assert_eq!(ask(&resolver, &uri, start + Duration::from_secs(9)), found);
        assert_eq!(server.asked(), Vec::<String>::new(), "{name}");
    }
    let later = start + Duration::from_secs(10);
    assert_eq!(recall(&resolver, "sip:fails.example:5060", later), "-");
}

#[test]
fn a_failing_service_is_not_taken_for_an_absent_one() {
    let server = Server::new(RECORDS);
    server.fault("_sips._tcp.b.example", Fault::Code(DnsRcode::ServFail));
    let found = ask(&resolver(&server), "sips:b.example", Instant::now());
    assert_eq!(found, "ServerFailure");
}

#[test]
fn a_server_whose_name_fails_leaves_the_others() {
    let server = Server::new(RECORDS);
    server.fault("one.example", Fault::Code(DnsRcode::ServFail));
    let found = ask(&resolver(&server), "sips:a.example", Instant::now());
    assert_eq!(found, "tls:192.0.2.2:5062");
}

#[test]
fn the_second_name_server_answers_when_the_first_does_not() {
    for fault in [
        Fault::Silence,
        Fault::Code(DnsRcode::ServFail),
        Fault::Code(DnsRcode::Refused),
    ] {
        let (bad, good) = (Server::new(&[]), Server::new(RECORDS));
        bad.fault("b.example", fault.clone());
        let resolver = Resolver::new(ResolverOptions {
            timeout: Duration::from_secs(2),
            ..options(&[&bad, &good])
        })
        .unwrap();
        let found = ask(&resolver, "sip:b.example:5060", Instant::now());
        assert_eq!(found, "udp:192.0.2.3:5060", "{fault:?}");
        assert!(!bad.asked().is_empty(), "{fault:?}");
    }
}

#[test]
fn a_name_server_that_is_not_there_costs_no_time() {
    let good = Server::new(RECORDS);
    // Connected to somebody else, so that the system refuses what comes from us, and no other test has the port.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    let nobody = socket.local_addr().unwrap();
    let mut with_second = options(&[&good]);
    with_second.servers.insert(0, nobody);
    let resolver = Resolver::new(with_second).unwrap();
    let begun = Instant::now();
    assert_eq!(
        ask(&resolver, "sip:b.example:5060", begun),
        "udp:192.0.2.3:5060"
    );
    assert!(begun.elapsed() < Duration::from_secs(4));
    // Alone it leads nowhere, and that is said.
    let mut alone = options(&[]);
    alone.servers.push(nobody);
    let resolver = Resolver::new(alone).unwrap();
    let error = resolver
        .resolve(&wanted("sip:b.example:5060"), begun)
        .unwrap_err();
    assert_eq!(error, ResolveError::NoServer);
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(error.reason(), "No DNS results");
}

#[test]
fn what_is_no_answer_or_an_answer_to_something_else_is_believed_by_nobody() {
    for (situation, fault) in [
        ("no octets", Fault::Octets(Vec::new())),
        ("half a header", Fault::Octets(vec![0x81, 0x80, 0, 1])),
        (
            "more records than octets",
            Fault::Octets(vec![0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0]),
        ),
        (
            "a name that points at itself",
            Fault::Octets(vec![
                0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1,
            ]),
        ),
        ("another question", Fault::OtherQuestion),
    ] {
        let server = Server::new(RECORDS);
        server.fault("b.example", fault);
        let resolver = Resolver::new(ResolverOptions {
            timeout: Duration::from_millis(400),
            ..options(&[&server])
        })
        .unwrap();
        let begun = Instant::now();
        let error = resolver
            .resolve(&wanted("sip:b.example:5060"), begun)
            .unwrap_err();
        assert!(
            matches!(error, ResolveError::Timeout | ResolveError::BadAnswer),
            "{situation}: {error:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(2), "{situation}");
    }
}
