//! Many calls and registrations of sipp's, without one lost or wrong answer, and nothing left of them afterwards.

use std::time::{Duration, Instant};

use crate::calls::server;
use crate::harness::{Server, Sipp, Transport, Tunnel, heavy};

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
    Way {
        to: server.tcp(),
        _tunnel: None,
    }
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

/// Nothing is left of the load: as many descriptors as before, and no more memory than a run of the same size needs anew.
fn assert_nothing_left(server: &Server, before: &Held) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let after = held(server);
        let grown = after.memory.saturating_sub(before.memory);
        if after.descriptors <= before.descriptors && grown < before.memory / 4 {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "before {before:?}, after {after:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn registrations(transports: &[(Transport, bool)], share: usize) {
    let _alone = heavy();
    let server = server();
    // What the first run takes may stay: pools and tables that are used again.
    for (round, calls) in [(0, share / 4), (1, share)] {
        let before = held(&server);
        for &(transport, socket_per_call) in transports {
            let way = way(&server, transport);
            let mut sipp = Sipp::new("register").over(transport).to(way.to);
            if socket_per_call {
                sipp = sipp.with_a_socket_per_call();
            }
            let counted = sipp.calls(calls, 1500).start().finish(PATIENCE);
            counted.assert_flawless(calls);
        }
        if round == 1 {
            assert_nothing_left(&server, &before);
        }
    }
}

#[test]
fn a_hundred_thousand_registrations_over_tls_and_tcp() {
    let calls = count("SIPVOUCH_REGISTRATIONS", 100_000) / 2 / 2;
    registrations(&[(Transport::Tls, false), (Transport::Tcp, false)], calls);
}
