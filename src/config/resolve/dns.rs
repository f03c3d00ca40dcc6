//! Where SIP URIs are looked up.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::super::{NoteClass, value};
use super::Values;
use crate::auth::Transport;
use crate::resolve::{ResolverOptions, Transports};
use crate::transport::ListenerOptions;

/// We speak to others what we listen for.
pub(super) fn resolver(v: &mut Values<'_>, listeners: &[ListenerOptions]) -> ResolverOptions {
    let usual = ResolverOptions::default();
    let (ipv4, ipv6) = (!v.bool("DisableIPv4"), v.bool("EnableIPv6"));
    ResolverOptions {
        servers: servers(v, ipv4, ipv6),
        timeout: milliseconds(v, "DNSTimeout"),
        attempts: v.number("DNSAttempts"),
        cache: NonZeroUsize::new(v.number("DNSCacheSize")).unwrap_or(usual.cache),
        max_ttl: Duration::from_secs(v.integer("DNSMaximumTTL")),
        negative_ttl: Duration::from_secs(v.integer("DNSNegativeTTL")),
        greylist: milliseconds(v, "DNSGreylistDuration"),
        transports: spoken(listeners),
        ipv4,
        ipv6,
        ..usual
    }
}

/// A connection or datagram of ours stands for a listener, whose address is in its Via.
fn spoken(listeners: &[ListenerOptions]) -> Transports {
    let listens = |transport| {
        let mut kinds = listeners.iter().map(|listener| listener.kind.transport());
        kinds.any(|kind| kind == transport)
    };
    Transports {
        udp: listens(Transport::Udp),
        tcp: listens(Transport::Tcp),
        tls: listens(Transport::Tls),
    }
}

/// As in repro, servers of a family that is switched off are left out. That none is left is a fault: the system's would be
/// asked, which the operator did not want.
fn servers(v: &mut Values<'_>, ipv4: bool, ipv6: bool) -> Vec<SocketAddr> {
    let named: Vec<SocketAddr> = v
        .list("DNSServers")
        .filter_map(|item| value::name_server(item).ok())
        .collect();
    let (servers, others): (Vec<SocketAddr>, Vec<SocketAddr>) = named
        .into_iter()
        .partition(|server| if server.is_ipv4() { ipv4 } else { ipv6 });
    if let Some(first) = others.first() {
        let text = format!(
            "{} is of an address family that DisableIPv4 or EnableIPv6 switches off",
            first.ip()
        );
        if servers.is_empty() {
            v.fault("DNSServers", format!("{text}, and no other is there"));
        } else {
            let text = format!("{text}; it is not asked");
            v.note(NoteClass::Info, "DNSServers", &text);
        }
    }
    servers
}

fn milliseconds(v: &Values<'_>, name: &str) -> Duration {
    Duration::from_millis(v.integer(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::super::{Configuration, load_text};
    use super::*;

    fn good(text: &str) -> Configuration {
        load_text(format!("TLSDomainName = example.org\n{text}").as_bytes()).unwrap()
    }

    #[test]
    fn name_servers_have_a_port_or_the_usual_one() {
        for (text, servers) in [
            ("", &[][..]),
            ("DNSServers =", &[]),
            (
                "DNSServers = 192.0.2.53, 192.0.2.54:5353",
                &["192.0.2.53:53", "192.0.2.54:5353"],
            ),
            (
                "DNSServers = 2001:db8::53 [2001:db8::54] [2001:db8::55]:5353",
                &[
                    "[2001:db8::53]:53",
                    "[2001:db8::54]:53",
                    "[2001:db8::55]:5353",
                ],
            ),
            (
                "EnableIPv6 = false\nDNSServers = 2001:db8::53, 192.0.2.53",
                &["192.0.2.53:53"],
            ),
        ] {
            let found: Vec<String> = good(text)
                .resolver
                .servers
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, servers, "{text}");
        }
    }

    #[test]
    fn name_servers_that_cannot_be_asked_are_refused() {
        for (text, expected) in [
            (
                "DNSServers = dns.example.org",
                "addresses as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53; \"dns.example.org\" is none",
            ),
            ("DNSServers = 192.0.2.53:0", "\"192.0.2.53:0\" is none"),
            (
                "EnableIPv6 = false\nDNSServers = [2001:db8::53]:53",
                "2001:db8::53 is of an address family that DisableIPv4 or EnableIPv6 switches off, and no other is there",
            ),
            (
                "DNSTimeout = 0",
                "a number of milliseconds from 100 to 60000",
            ),
        ] {
            let text = format!("TLSDomainName = example.org\n{text}");
            let errors = load_text(text.as_bytes()).unwrap_err();
            let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert!(
                said.iter().any(|error| error.contains(expected)),
                "{said:?}"
            );
        }
    }

    #[test]
    fn other_dns_settings_say_what_they_say() {
        let options = good(
            "DNSTimeout = 700\nDNSAttempts = 3\nDNSCacheSize = 17\nDNSMaximumTTL = 60\nDNSNegativeTTL = 1\n\
             DNSGreylistDuration = 2500\nDisableIPv4 = true\nTCPPort = 0\n",
        )
        .resolver;
        assert_eq!(
            options,
            ResolverOptions {
                timeout: Duration::from_millis(700),
                attempts: 3,
                cache: NonZeroUsize::new(17).unwrap(),
                max_ttl: Duration::from_secs(60),
                negative_ttl: Duration::from_secs(1),
                greylist: Duration::from_millis(2500),
                ipv4: false,
                transports: Transports {
                    tcp: false,
                    ..ResolverOptions::default().transports
                },
                ..ResolverOptions::default()
            }
        );
        assert_eq!(good("").resolver, ResolverOptions::default());
    }
}
