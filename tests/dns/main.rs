//! RFC 3263 against a name server on loopback: what is asked, what comes of the answers, and what of the lack of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod answers;
mod failures;
mod server;

use std::time::{Duration, Instant};

use server::Server;
use sipvouch::resolve::{Resolved, Resolver, ResolverOptions, Transports, Wanted};
use sipvouch::sip::SipUri;

/// Options that ask these servers and have time.
fn options(servers: &[&Server]) -> ResolverOptions {
    ResolverOptions {
        servers: servers.iter().map(|server| server.address()).collect(),
        timeout: Duration::from_secs(20),
        transports: Transports {
            udp: true,
            tcp: true,
            tls: true,
        },
        seed: Some(1),
        ..ResolverOptions::default()
    }
}

fn resolver(server: &Server) -> Resolver {
    Resolver::new(options(&[server])).unwrap()
}

fn wanted(uri: &str) -> Wanted {
    Wanted::of(&SipUri::parse(uri).unwrap()).unwrap()
}

/// Destinations in one line, or the error.
fn shown(resolved: &Resolved) -> String {
    match resolved {
        Ok(found) => {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            found.join(" ")
        }
        Err(error) => format!("{error:?}"),
    }
}

fn ask(resolver: &Resolver, uri: &str, now: Instant) -> String {
    shown(&resolver.resolve(&wanted(uri), now))
}

/// As `ask`, or `-` where somebody would have to be asked.
fn recall(resolver: &Resolver, uri: &str, now: Instant) -> String {
    match resolver.recall(&wanted(uri), now) {
        Some(resolved) => shown(&resolved),
        None => "-".to_owned(),
    }
}
