//! Requests within a dialog: the token in our Record-Route (RFC 3261 §16.6 step 4) and in the Route that it becomes (§16.4).
//!
//! What the token says and proves is [`crate::auth`]'s; here its flows and addresses-of-record are those of the registrar.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use smallvec::SmallVec;

use crate::auth::{
    DialogRequest, Epoch, FlowMark, IdentityDigest, Leg, Peer, ProvenLeg, Sealer, UriDigest,
};
use crate::registrar::{Aor, FlowId};
use crate::sip::{HeaderName, Request, SipUri, Uri, addresses};

/// First octet of a mark.
const CONNECTION: u8 = b'c';
const DATAGRAM: u8 = b'd';

/// One side of a dialog, for a token: its flow, who its certificate names (if it came over TLS), the address-of-record that
/// led to it or that it is registered under, and its URI in From or To.
pub fn leg(
    flow: FlowId,
    identity: Option<IdentityDigest>,
    aor: Option<&Aor>,
    uri: &Uri<'_>,
) -> Leg {
    Leg {
        flow: mark(flow),
        identity,
        aor: aor.map(|aor| aor.as_str().into()),
        uri: UriDigest::of(uri),
    }
}

/// The flow of a leg; it may have gone meanwhile.
pub fn flow_of(leg: &Leg) -> Option<FlowId> {
    flow_at(leg.flow.as_ref()?)
}

/// What [`mark`] made a mark of.
pub(super) fn flow_at(mark: &FlowMark) -> Option<FlowId> {
    let (&kind, rest) = mark.octets().split_first()?;
    match kind {
        CONNECTION => {
            let mut number = [0; 8];
            let low = number.get_mut(..rest.len())?;
            low.copy_from_slice(rest);
            Some(FlowId::Connection(u64::from_le_bytes(number)))
        }
        DATAGRAM => {
            let (listener, rest) = rest.split_first_chunk()?;
            let (port, rest) = rest.split_first_chunk()?;
            let port = u16::from_be_bytes(*port);
            let peer = match rest.split_first_chunk::<16>() {
                None => SocketAddr::new(IpAddr::from(<[u8; 4]>::try_from(rest).ok()?), port),
                Some((address, scope)) => {
                    let scope = u32::from_be_bytes(scope.try_into().ok()?);
                    SocketAddrV6::new((*address).into(), port, 0, scope).into()
                }
            };
            let listener = u16::from_be_bytes(*listener);
            Some(FlowId::Datagram { listener, peer })
        }
        _ => None,
    }
}

/// The address-of-record of a leg.
pub fn aor_of(leg: &Leg) -> Option<Aor> {
    Aor::parse(leg.aor.as_deref()?)
}

/// The proof that a request comes from a side of its dialog: its topmost Route is ours and has a token that says so.
pub fn proof<'m, 'p>(
    request: &Request<'m>,
    peer: Peer<'p>,
    flow: FlowId,
    is_mine: impl Fn(&SipUri<'_>) -> bool,
    epoch: Epoch,
    sealer: &Sealer,
) -> Option<ProvenLeg<'m, 'p>> {
    // Most requests begin something, and need no look at Route.
    if !request.has_to_tag() {
        return None;
    }
    let routes = request.message.first(HeaderName::Route)?;
    let topmost = addresses(routes).next()?.ok()?;
    let route = topmost.uri.sip().filter(|uri| is_mine(uri))?;
    DialogRequest::open(route.user?, *request, epoch, sealer)?.prove(peer, &mark(flow)?)
}

/// A flow as few octets: numbers of connections without their leading zeros.
pub(super) fn mark(flow: FlowId) -> Option<FlowMark> {
    let mut octets = SmallVec::<[u8; 32]>::new();
    match flow {
        FlowId::Connection(number) => {
            octets.push(CONNECTION);
            octets.extend_from_slice(&number.to_le_bytes());
            while octets.last() == Some(&0) {
                octets.pop();
            }
        }
        FlowId::Datagram { listener, peer } => {
            octets.push(DATAGRAM);
            octets.extend_from_slice(&listener.to_be_bytes());
            octets.extend_from_slice(&peer.port().to_be_bytes());
            match peer {
                SocketAddr::V4(peer) => octets.extend_from_slice(&peer.ip().octets()),
                SocketAddr::V6(peer) => {
                    octets.extend_from_slice(&peer.ip().octets());
                    octets.extend_from_slice(&peer.scope_id().to_be_bytes());
                }
            }
        }
    }
    FlowMark::new(&octets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::auth::{DialogToken, Sender, TagDigest, TokenSecret, Transport};
    use crate::sip::{FromRule, Message};

    fn datagram(listener: u16, peer: &str) -> FlowId {
        let peer = peer.parse().unwrap();
        FlowId::Datagram { listener, peer }
    }

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn flows_come_back_as_they_were_and_no_two_are_alike() {
        let flows = [
            FlowId::Connection(0),
            FlowId::Connection(1),
            FlowId::Connection(256),
            FlowId::Connection(0x0100_0001),
            FlowId::Connection(u64::MAX),
            datagram(0, "192.0.2.1:5060"),
            datagram(1, "192.0.2.1:5060"),
            datagram(1, "192.0.2.1:5061"),
            datagram(u16::MAX, "255.255.255.255:65535"),
            datagram(1, "[2001:db8::1]:5060"),
            datagram(1, "[fe80::1%3]:5060"),
            datagram(1, "[fe80::1%4]:5060"),
            datagram(1, "[::ffff:192.0.2.1]:5060"),
        ];
        for (at, flow) in flows.iter().enumerate() {
            let own = leg(*flow, None, None, &uri("sip:a@b.example"));
            assert_eq!(flow_of(&own), Some(*flow));
            let before = flows.iter().take(at);
            assert!(
                before.into_iter().all(|other| mark(*other) != own.flow),
                "{flow:?}"
            );
        }
    }

    #[test]
    fn octets_that_are_no_flow_of_ours_lead_nowhere() {
        for octets in [
            &b"x"[..],
            b"c123456789",
            b"d",
            b"d1",
            b"d11223",
            b"d112212345",
            b"d1122ffffffffffffffff12345",
        ] {
            let mut own = leg(FlowId::Connection(1), None, None, &uri("sip:a@b.example"));
            own.flow = Some(FlowMark::new(octets).unwrap());
            assert_eq!(flow_of(&own), None, "{}", octets.escape_ascii());
        }
    }

    #[test]
    fn the_token_counts_in_the_topmost_route_and_only_if_that_is_ours() {
        let sealer = Sealer::new(&[], &TokenSecret::random().unwrap()).unwrap();
        let epoch = Epoch::new(1);
        let aor = Aor::parse("alice@example.org").unwrap();
        let token = DialogToken {
            caller: leg(
                FlowId::Connection(1),
                None,
                Some(&aor),
                &uri("sip:alice@example.org"),
            ),
            callee: leg(
                datagram(3, "192.0.2.1:5060"),
                None,
                None,
                &uri("sip:bob@example.net"),
            ),
            caller_tag: TagDigest::of(Some(b"a")),
        };
        let sealed = token.seal(b"c@d", epoch, &sealer).unwrap();
        let ours = format!("<sip:{sealed}@example.org;lr>");
        let foreign = format!("<sip:{sealed}@example.com;lr>");
        let bare = "<sip:example.org;lr>".to_owned();
        let stranger = "<sip:dave@example.com;lr>".to_owned();
        for (situation, routes, tag, wanted) in [
            ("ours on top", vec![&ours, &stranger], ";tag=b", true),
            ("both of ours", vec![&ours, &ours], ";tag=b", true),
            ("below another's", vec![&stranger, &ours], ";tag=b", false),
            (
                "below one of ours without",
                vec![&bare, &ours],
                ";tag=b",
                false,
            ),
            (
                "in a Route of another domain",
                vec![&foreign],
                ";tag=b",
                false,
            ),
            ("no Route", vec![], ";tag=b", false),
            ("no To tag", vec![&ours], "", false),
        ] {
            let route = routes.into_iter().map(|r| format!("Route: {r}\r\n"));
            let text = format!(
                "BYE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.3;branch=z9hG4bK1\r\n{}\
                 From: <sip:alice@example.org>;tag=a\r\nTo: <sip:bob@example.net>{tag}\r\nCall-ID: c@d\r\n\
                 CSeq: 2 BYE\r\n\r\n",
                route.collect::<String>()
            );
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let request = Request::read(&message, FromRule::Single).unwrap();
            let peer = Peer {
                transport: Transport::Tls,
                source: "127.0.0.3:40000".parse().unwrap(),
                identities: None,
            };
            let is_mine = |uri: &SipUri<'_>| uri.host.canonical() == "example.org";
            let flow = FlowId::Connection(1);
            let found = proof(&request, peer, flow, is_mine, epoch, &sealer);
            assert_eq!(found.is_some(), wanted, "{situation}");
            if let Some(leg) = found {
                assert_eq!(leg.sender(), Sender::Caller);
                assert_eq!(flow_of(leg.other()), Some(datagram(3, "192.0.2.1:5060")));
            }
            let elsewhere = FlowId::Connection(2);
            assert!(proof(&request, peer, elsewhere, is_mine, epoch, &sealer).is_none());
        }
        assert_eq!(aor_of(&token.caller), Some(aor));
        assert_eq!(aor_of(&token.callee), None);
    }
}
