//! What a relay has to know of the server around it.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::departure::sent_by;
use crate::auth::{Epoch, Sealer, Transport};
use crate::proxy::fork_effect::ForkOptions;
use crate::sip::{Address, Host, SipUri, Uri};

/// Settings and secrets, as one value that a request keeps while it is under way.
#[derive(Debug)]
pub struct RelayPolicy {
    /// The listeners, by their numbers, as they write themselves into messages.
    pub faces: Vec<Face>,
    /// How the targets of a request are tried.
    pub fork: ForkOptions,
    /// Whether our Via asks for `rport` (RFC 3581). repro: `AddViaRport`.
    pub add_via_rport: bool,
    /// When we put ourselves into the Path of a registration.
    pub path: PathOptions,
    /// What this process knows its own by.
    pub keys: RelayKeys,
}

impl RelayPolicy {
    /// The first listener for this transport that has addresses of the same family as `peer`, if there is one whose address
    /// can be heard there: what a connection to there stands for.
    pub fn listener_for(&self, transport: Transport, peer: IpAddr) -> Option<usize> {
        let is_for = |face: &Face| {
            let unspecified = face.address.ip().is_unspecified() && face.address.is_ipv6();
            face.transport == transport
                && (unspecified || face.address.is_ipv4() == peer.to_canonical().is_ipv4())
        };
        let is_heard = |face: &Face| is_for(face) && reaches(face.address.ip(), peer);
        let heard = self.faces.iter().position(is_heard);
        heard.or_else(|| self.faces.iter().position(is_for))
    }

    /// The address that a connection to `peer` leaves from, its port 0, so that what our Via says is a place where we listen.
    /// `None` leaves that to the system: the listener has every address, or one that nobody there could answer to.
    pub fn leaves_from(&self, listener: usize, peer: IpAddr) -> Option<SocketAddr> {
        let mut from = self.faces.get(listener)?.address;
        let ip = from.ip();
        let is_specific = !ip.is_unspecified() && ip.is_ipv4() == peer.is_ipv4();
        from.set_port(0);
        (is_specific && reaches(ip, peer)).then_some(from)
    }

    /// What an operator has decided, and what this process knows its own by.
    pub fn new(options: &RelayOptions, keys: RelayKeys) -> Self {
        Self {
            faces: options.faces.clone(),
            fork: options.fork.clone(),
            add_via_rport: options.add_via_rport,
            path: options.path,
            keys,
        }
    }
}

/// Whether what comes from an address of ours can be answered by `peer`: the addresses of this machine and of one link mean
/// nothing elsewhere.
fn reaches(ours: IpAddr, peer: IpAddr) -> bool {
    let is_local = |ip: IpAddr| ip.to_canonical().is_loopback();
    let is_of_link = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    is_local(peer) || (!is_local(ours) && (!is_of_link(ours) || is_of_link(peer)))
}

/// What a process knows its own messages by. Made once, and kept over reloads.
#[derive(Debug, Clone)]
pub struct RelayKeys {
    /// What the tokens in our Record-Route are sealed with.
    pub sealer: Arc<Sealer>,
    /// The process that connections got their numbers from.
    pub epoch: Epoch,
    /// What loops are found by (RFC 5393 §4.2).
    pub loops: RandomState,
}

impl RelayKeys {
    /// Those of the process that `loops` is the random state of, with tokens sealed by `sealer`.
    pub fn new(sealer: Sealer, loops: RandomState) -> Self {
        let number = loops.hash_one(());
        Self {
            sealer: Arc::new(sealer),
            epoch: Epoch::new(u32::try_from(number >> 32).unwrap_or_default()),
            loops,
        }
    }
}

/// One listener, as Via and Record-Route name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// What it speaks.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
    /// What requests that pass it record.
    pub record_route: RecordRoute,
}

/// What an operator may decide about requests that are sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOptions {
    /// The listeners, in their order.
    pub faces: Vec<Face>,
    /// How the targets of a request are tried.
    pub fork: ForkOptions,
    /// repro: `AddViaRport`.
    pub add_via_rport: bool,
    /// When we put ourselves into the Path of a registration.
    pub path: PathOptions,
}

/// What an operator may decide about registrations that are sent on: which of them lead back through us, over the flow that
/// they came over (RFC 5626 §5.1, RFC 3327 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathOptions {
    /// repro: not `DisableOutbound`: those of devices that ask for it.
    pub outbound: bool,
    /// repro: `EnableFlowTokens`: those of all devices next to us.
    pub flow_tokens: bool,
    /// repro: `AllowInboundFlowTokensForNonDirectClients`: those that come through another proxy too.
    pub beyond_proxies: bool,
    /// repro: `ClientNatDetectionMode`: those of devices that are behind a translator.
    pub nat: NatDetection,
    /// repro: `FlowTimer`: seconds in which a device is asked to let hear of itself; 0 asks for nothing.
    pub flow_timer: u32,
}

/// How a translator before a device is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NatDetection {
    /// Not at all.
    #[default]
    Off,
    /// The device names another address than it comes from.
    Any,
    /// It names a private address, or a name, and comes from a public address.
    PrivateToPublic,
}

impl Default for PathOptions {
    /// repro's.
    fn default() -> Self {
        Self {
            outbound: true,
            flow_tokens: false,
            beyond_proxies: false,
            nat: NatDetection::Off,
            flow_timer: 0,
        }
    }
}

/// The Record-Route URI of a listener, without its scheme, which is that of the request, and its user part, which is a token
/// (RFC 3261 §16.6 step 4).
///
/// repro: `Transport<N>RecordRouteUri`, `RecordRouteUri`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRoute {
    /// Host and port; `None` stands for our end of the connection.
    place: Option<Place>,
    /// Whether `place` is for servers of domains alone, which hold a name against our certificate, and everybody else comes
    /// back to our end of the connection that he has.
    for_domains: bool,
    /// URI parameters with their semicolons; neither `lr` nor `drr` is among them.
    parameters: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    host: Box<str>,
    port: Option<u16>,
}

impl RecordRoute {
    /// Reads what an operator has configured: a URI or name-addr, or one that lacks its scheme, as repro takes it. `None` if it
    /// is no URI that a route can be.
    ///
    /// The scheme of a route is that of the request, with repro too. Deviation: a SIPS URI without `transport` gets one, so
    /// that what comes by it comes over TLS even to a SIP URI.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains(['<', '"']) {
            return Self::of(Address::parse(text.as_bytes())?.uri.sip()?);
        }
        if let Some(Uri::Sip(uri)) = Uri::parse(text.as_bytes()) {
            return Self::of(&uri);
        }
        // `sip.example.org:5061` looks like a scheme and what follows it; with another scheme there is something like a password.
        let text = format!("sip:{text}");
        let uri = SipUri::parse(&text).filter(|uri| uri.password.is_none())?;
        Self::of(&uri)
    }

    /// Header fields and a method are for a request that is yet to be made (RFC 3261 §19.1.1, table 1).
    fn of(uri: &SipUri<'_>) -> Option<Self> {
        let is_request = !uri.headers.is_empty() || uri.parameters.value("method").is_some();
        if is_request || uri.port == Some(0) {
            return None;
        }
        let mut parameters = String::new();
        for (name, value) in uri.parameters.iter() {
            // We write these two ourselves.
            if name.eq_ignore_ascii_case(b"lr") || name.eq_ignore_ascii_case(b"drr") {
                continue;
            }
            parameters.push(';');
            parameters.push_str(std::str::from_utf8(name).ok()?);
            if let Some(value) = value {
                parameters.push('=');
                parameters.push_str(std::str::from_utf8(value).ok()?);
            }
        }
        if uri.secure && uri.parameters.value("transport").is_none() {
            parameters.push_str(";transport=tls");
        }
        Some(Self {
            place: Some(Place {
                host: uri.host.to_string().into(),
                port: uri.port,
            }),
            for_domains: false,
            parameters: parameters.into(),
        })
    }

    /// repro: `auto`: toward the server of a domain the name that our certificate is for, toward phones our end of the
    /// connection. Deviation: repro writes the name for phones too, which then ask DNS where that is, and come back to
    /// whatever has that name.
    pub fn automatic(name: Option<&str>, port: u16, transport: Transport) -> Self {
        Self {
            place: name.map(|name| Place {
                host: name.into(),
                port: Some(port),
            }),
            for_domains: true,
            parameters: match transport {
                Transport::Tls => ";transport=tls",
                Transport::Udp => ";transport=udp",
                _ => ";transport=tcp",
            }
            .into(),
        }
    }

    /// The transport that it says.
    pub fn transport(&self) -> Option<&str> {
        let parameters = self.parameters.split(';');
        let mut pairs = parameters.filter_map(|parameter| parameter.split_once('='));
        pairs.find_map(|(name, value)| name.eq_ignore_ascii_case("transport").then_some(value))
    }

    /// Whether a URI leads to this place: the same host and port, and the same transport if both say one. This is how a
    /// public name or address before a translator is known again, which is neither a domain of ours nor bound here.
    pub(in crate::proxy) fn leads_here(&self, uri: &SipUri<'_>) -> bool {
        let Some(place) = &self.place else {
            return false;
        };
        let Some(host) = Host::parse(&place.host) else {
            return false;
        };
        let transport = self.transport();
        let is_same_transport = uri.parameters.value("transport").is_none_or(|theirs| {
            transport.is_none_or(|ours| theirs.eq_ignore_ascii_case(ours.as_bytes()))
        });
        let is_secure = transport.is_some_and(|ours| ours.eq_ignore_ascii_case("tls"));
        let usual = |is_secure: bool| if is_secure { 5061 } else { 5060 };
        let is_same_port = match (place.port, uri.port) {
            // A SIPS URI has another usual port than the SIP URI that was configured.
            (None, None) => true,
            (ours, theirs) => {
                ours.unwrap_or(usual(is_secure)) == theirs.unwrap_or(usual(is_secure || uri.secure))
            }
        };
        is_same_port && is_same_transport && host.canonical() == uri.host.canonical()
    }
}

impl Face {
    /// Host, port and parameters of its Record-Route URI, for a connection whose end on our side is `local`, and whose other
    /// end is the server of a domain or somebody else.
    pub(super) fn route(&self, local: IpAddr, of_domain: bool) -> (String, &str) {
        let place = self.record_route.place.as_ref();
        let place = match place.filter(|_| of_domain || !self.record_route.for_domains) {
            Some(Place {
                host,
                port: Some(port),
            }) => format!("{host}:{port}"),
            Some(Place { host, port: None }) => host.to_string(),
            None => sent_by(local.to_canonical(), self.address.port()).into(),
        };
        (place, &self.record_route.parameters)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn policy(listeners: &[&str]) -> RelayPolicy {
        let face = |address: &&str| Face {
            transport: Transport::Tls,
            address: address.parse().unwrap(),
            record_route: RecordRoute::automatic(None, 5061, Transport::Tls),
        };
        RelayPolicy {
            faces: listeners.iter().map(face).collect(),
            ..crate::proxy::test_support::relay_policy()
        }
    }

    #[test]
    fn a_connection_leaves_from_where_we_listen_if_that_can_be_answered_to() {
        for (situation, listeners, peer, listener, from) in [
            (
                "an address",
                &["192.0.2.1:5061"][..],
                "198.51.100.1",
                Some(0),
                Some("192.0.2.1:0"),
            ),
            (
                "every address",
                &["0.0.0.0:5061"],
                "198.51.100.1",
                Some(0),
                None,
            ),
            (
                "every address of both families",
                &["[::]:5061"],
                "198.51.100.1",
                Some(0),
                None,
            ),
            (
                "this machine alone, and somebody elsewhere",
                &["127.0.0.1:5061"],
                "198.51.100.1",
                Some(0),
                None,
            ),
            (
                "this machine alone, and somebody on it",
                &["127.0.0.2:5061"],
                "127.0.0.9",
                Some(0),
                Some("127.0.0.2:0"),
            ),
            (
                "one for this machine before one for others",
                &["127.0.0.1:5061", "192.0.2.1:5061"],
                "198.51.100.1",
                Some(1),
                Some("192.0.2.1:0"),
            ),
            (
                "one for this machine before one for others, and somebody on it",
                &["127.0.0.1:5061", "192.0.2.1:5061"],
                "127.0.0.9",
                Some(0),
                Some("127.0.0.1:0"),
            ),
            (
                "somebody on this machine",
                &["192.0.2.1:5061"],
                "127.0.0.9",
                Some(0),
                Some("192.0.2.1:0"),
            ),
            (
                "the other family",
                &["192.0.2.1:5061"],
                "2001:db8::9",
                None,
                None,
            ),
            (
                "each family",
                &["192.0.2.1:5061", "[2001:db8::1]:5061"],
                "2001:db8::9",
                Some(1),
                Some("[2001:db8::1]:0"),
            ),
            (
                "IPv4 written as IPv6",
                &["192.0.2.1:5061"],
                "::ffff:198.51.100.1",
                Some(0),
                None,
            ),
            (
                "one link, and somebody elsewhere",
                &["[fe80::1]:5061"],
                "2001:db8::9",
                Some(0),
                None,
            ),
            (
                "one link, and somebody on it",
                &["[fe80::1]:5061"],
                "fe80::9",
                Some(0),
                Some("[fe80::1]:0"),
            ),
        ] {
            let policy = policy(listeners);
            let peer = peer.parse().unwrap();
            let found = policy.listener_for(Transport::Tls, peer);
            assert_eq!(found, listener, "{situation}");
            let leaves = found.and_then(|listener| policy.leaves_from(listener, peer));
            assert_eq!(
                leaves,
                from.map(|from| from.parse().unwrap()),
                "{situation}"
            );
        }
    }

    fn written(route: &RecordRoute) -> String {
        let face = Face {
            transport: Transport::Tls,
            address: "0.0.0.0:5071".parse().unwrap(),
            record_route: route.clone(),
        };
        let (place, parameters) = face.route("192.0.2.1".parse().unwrap(), true);
        format!("{place}{parameters}")
    }

    #[test]
    fn a_record_route_keeps_host_port_and_parameters_of_what_was_configured() {
        for (situation, text, wanted) in [
            (
                "a URI",
                "sip:sip.example.org:5071;transport=tls",
                Some("sip.example.org:5071;transport=tls"),
            ),
            (
                "the legacy set",
                "sip:example.org;transport=tls",
                Some("example.org;transport=tls"),
            ),
            ("nothing but a host", "sip:Example.ORG", Some("Example.ORG")),
            (
                "IPv6",
                "sip:[2001:DB8::1]:5061;transport=tls",
                Some("[2001:db8::1]:5061;transport=tls"),
            ),
            ("IPv6 without a port", "sip:[::1]", Some("[::1]")),
            ("IPv4", "sip:192.0.2.7", Some("192.0.2.7")),
            (
                "lr and drr are written by us",
                "sip:h;LR;transport=tcp;lr=on;drr",
                Some("h;transport=tcp"),
            ),
            (
                "other parameters",
                "sip:h;maddr=192.0.2.1;x;y=z",
                Some("h;maddr=192.0.2.1;x;y=z"),
            ),
            (
                "the token takes the place of the user",
                "sip:proxy:secret@h:5061",
                Some("h:5061"),
            ),
            (
                "a name-addr with a name",
                "\"Proxy, 1\" <sip:h:5061;transport=tls;lr>;x=y",
                Some("h:5061;transport=tls"),
            ),
            (
                "a name-addr without a name",
                "<sip:[::1]:5061;lr>",
                Some("[::1]:5061"),
            ),
            ("SIPS means TLS", "sips:h;x=y", Some("h;x=y;transport=tls")),
            (
                "SIPS with a transport",
                "sips:h:443;transport=ws",
                Some("h:443;transport=ws"),
            ),
            (
                "without its scheme",
                "sip.example.org:5061;transport=tls",
                Some("sip.example.org:5061;transport=tls"),
            ),
            ("a host alone", "example.org", Some("example.org")),
            ("IPv6 alone", "[::1]:5061", Some("[::1]:5061")),
            ("nothing", "", None),
            ("another scheme", "tel:+1", None),
            ("another scheme with a user", "mailto:a@h", None),
            ("a web page", "https://example.org", None),
            ("a port too large", "sip:h:65536", None),
            ("a port that is none", "sip:h:0", None),
            ("header fields", "sip:h?Route=%3Csip:x%3E", None),
            ("a method", "sip:h;method=INVITE", None),
            ("an empty user", "sip:@h", None),
            ("a host that is none", "sip:127.1", None),
            ("a comment behind it", "sip:h # ours", None),
            ("two of them", "<sip:a>, <sip:b>", None),
        ] {
            let route = RecordRoute::parse(text);
            assert_eq!(
                route.as_ref().map(written).as_deref(),
                wanted,
                "{situation}"
            );
        }
    }

    #[test]
    fn automatic_is_the_name_of_the_certificate_or_our_end_of_the_connection() {
        for (name, transport, wanted) in [
            (
                Some("example.org"),
                Transport::Tls,
                "example.org:5071;transport=tls",
            ),
            (None, Transport::Tls, "192.0.2.1:5071;transport=tls"),
            (None, Transport::Tcp, "192.0.2.1:5071;transport=tcp"),
            (None, Transport::Udp, "192.0.2.1:5071;transport=udp"),
        ] {
            let route = RecordRoute::automatic(name, 5071, transport);
            assert_eq!(written(&route), wanted);
        }
        let face = Face {
            transport: Transport::Tls,
            address: "0.0.0.0:5071".parse().unwrap(),
            record_route: RecordRoute::automatic(Some("example.org"), 5071, Transport::Tls),
        };
        let (toward_a_phone, _) = face.route("192.0.2.1".parse().unwrap(), false);
        assert_eq!(toward_a_phone, "192.0.2.1:5071");
    }

    #[test]
    fn what_comes_back_is_known_by_host_port_and_transport() {
        for (situation, configured, uri, known) in [
            (
                "as it was recorded",
                "sip:pub.example:443;transport=tls",
                "sip:token@pub.example:443;transport=tls;lr",
                true,
            ),
            (
                "in other letters",
                "sip:pub.example:443;transport=TLS",
                "sip:token@PUB.example.:443;Transport=tls;lr",
                true,
            ),
            (
                "another port",
                "sip:pub.example:443;transport=tls",
                "sip:token@pub.example:444;transport=tls;lr",
                false,
            ),
            (
                "another transport",
                "sip:pub.example:443;transport=tls",
                "sip:pub.example:443;transport=tcp",
                false,
            ),
            (
                "a transport that only we say",
                "sip:pub.example:443;transport=tls",
                "sip:pub.example:443",
                true,
            ),
            (
                "a transport that only they say",
                "sip:pub.example:443",
                "sip:pub.example:443;transport=tcp",
                true,
            ),
            (
                "another host",
                "sip:pub.example",
                "sip:x.pub.example",
                false,
            ),
            ("no port", "sip:pub.example", "sips:t@pub.example;lr", true),
            (
                "the usual port",
                "sip:pub.example",
                "sip:pub.example:5060",
                true,
            ),
            (
                "the usual port of TLS",
                "sip:pub.example;transport=tls",
                "sip:pub.example:5061",
                true,
            ),
            (
                "the usual port of the other",
                "sip:pub.example;transport=tls",
                "sip:pub.example:5060",
                false,
            ),
            (
                "an unusual port where none is configured",
                "sip:pub.example",
                "sip:pub.example:5070",
                false,
            ),
            (
                "no port where one is configured",
                "sip:pub.example:443",
                "sip:pub.example",
                false,
            ),
            (
                "an address",
                "sip:198.51.100.7:5061",
                "sip:t@198.51.100.7:5061;lr",
                true,
            ),
            (
                "an IPv6 address in another spelling",
                "sip:[2001:db8:0::1]:5061",
                "sip:t@[2001:DB8::1]:5061;lr",
                true,
            ),
        ] {
            let route = RecordRoute::parse(configured).unwrap();
            let found = route.leads_here(&SipUri::parse(uri).unwrap());
            assert_eq!(found, known, "{situation}");
        }
        let ours = RecordRoute::automatic(None, 5061, Transport::Tls);
        assert!(!ours.leads_here(&SipUri::parse("sip:192.0.2.1:5061").unwrap()));
    }
}
