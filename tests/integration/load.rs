//! Many calls and registrations of sipp's, without one lost or wrong answer, and nothing left of them afterwards.

use std::time::{Duration, Instant};

use crate::calls::server;
use crate::harness::{Server, Sipp, Transport, Tunnel, heavy, report};

/// How long a run may take at most: the machine may be slow.
const PATIENCE: Duration = Duration::from_secs(900);

/// A number from the environment, for long runs.
fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Where sipp sends to over a transport, with what it needs for that.
struct Way {
    to: std::net::SocketAddr,
    _tunnel: Option<Tunnel>,
}

fn way(server: &Server, transport: Transport) -> Way {
    if transport == Transport::Tls {
        // The certificate of the domain: it entitles to every user.
        let tunnel = Tunnel::to(server.tls(), "local-dns");
        return Way {
            to: tunnel.entrance(),
            _tunnel: Some(tunnel),
        };
    }
    let to = match transport {
        Transport::Udp => server.udp(),
        Transport::Tcp | Transport::Tls => server.tcp(),
    };
    Way { to, _tunnel: None }
}

/// What a server holds that must not grow by what it has served.
#[derive(Debug)]
struct Held {
    memory: u64,
    descriptors: usize,
}

fn held(server: &Server) -> Held {
    Held {
        memory: server.rss(),
        descriptors: server.descriptors(),
    }
}

/// Users that register a second, with three requests each. Over UDP each answer is kept for 32 s, in half of
/// `MaximumTransactions`; all of sipp's come from one socket and so to one worker.
fn rate(transport: Transport) -> usize {
    match transport {
        Transport::Udp => 500,
        Transport::Tcp | Transport::Tls => 1500,
    }
}

/// For whoever wants to know how fast it was.
fn tell(count: usize, what: &str, way: &str, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    report(&format!(
        "load: {count} {what}, {way}, in {seconds:.1} s, none lost\n"
    ));
}

/// Nothing is left of the load: as many descriptors as before, and no more memory than a run of the same size needs anew.
fn assert_nothing_left(server: &Server, before: &Held) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let after = held(server);
        let grown = after.memory.saturating_sub(before.memory);
        if after.descriptors <= before.descriptors && grown < before.memory / 4 {
            report(&format!("load: before {before:?}, after {after:?}\n"));
            return;
        }
        assert!(
            Instant::now() < deadline,
            "before {before:?}, after {after:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Has `share` users register, refresh and leave over each transport.
fn registrations(transports: &[Transport], share: usize) {
    let _alone = heavy();
    let server = server(transports);
    let round = |users: usize| {
        for &transport in transports {
            let way = way(&server, transport);
            let sipp = Sipp::new("register").over(transport).to(way.to);
            let begun = Instant::now();
            let counted = sipp.calls(users, rate(transport)).start().finish(PATIENCE);
            counted.assert_flawless(users);
            tell(users, "users registered", transport.name(), begun);
        }
    };
    // What the first ones take may stay: pools and tables that are used again.
    round(share / 4);
    let before = held(&server);
    round(share);
    assert_nothing_left(&server, &before);
}

/// Has alice call bob `share` times for each pair of transports.
fn calls(pairs: &[(Transport, Transport)], share: usize) {
    let _alone = heavy();
    let transports: Vec<_> = pairs.iter().flat_map(|&(from, to)| [from, to]).collect();
    let server = server(&transports);
    let round = |name: &str, calls: usize| {
        for (pair, &(from, to)) in pairs.iter().enumerate() {
            // Nobody has more than one phone: those of earlier rounds are gone without a word.
            let user = format!("{name}{pair}");
            let callee_way = way(&server, to);
            let callee = Sipp::new("enroll").answering("answer").over(to);
            let callee = callee.callee(&user).to(callee_way.to);
            let mut callee = callee.start().enrolled();
            let caller_way = way(&server, from);
            let caller = Sipp::new("call").over(from).to(caller_way.to);
            let caller = caller.callee(&user);
            let begun = Instant::now();
            let counted = caller.calls(calls, 300).start().finish(PATIENCE);
            counted.assert_flawless(calls);
            callee.has_answered(calls).assert_answered(calls);
            let way = format!("{} to {}", from.name(), to.name());
            tell(calls, "calls", &way, begun);
        }
    };
    // Transactions last for 32 s and more: so many calls that their tables have grown as far as they will.
    round("early", share / 2);
    let before = held(&server);
    round("bob", share);
    assert_nothing_left(&server, &before);
}

#[test]
fn a_hundred_thousand_registrations_over_tls_and_tcp() {
    // Each user registers twice.
    let users = count("SIPVOUCH_REGISTRATIONS", 100_000) / 2;
    registrations(&[Transport::Tls, Transport::Tcp], users / 2);
}

#[test]
fn registrations_over_udp() {
    // Each user registers twice.
    let users = count("SIPVOUCH_REGISTRATIONS", 10_000) / 2;
    registrations(&[Transport::Udp], users);
}

#[test]
fn calls_over_all_transports() {
    use Transport::{Tcp, Tls, Udp};
    let pairs = [(Tls, Tls), (Tcp, Tcp), (Udp, Udp), (Tls, Udp), (Tcp, Tls)];
    calls(&pairs, count("SIPVOUCH_CALLS", 1_000) / pairs.len());
}
