//! Connections that peers have opened and that requests toward those peers may take (RFC 5923).
//!
//! A peer asks for that by `alias` in its Via, and names the port that it could be reached at. This is a claim like any
//! other: it is noted only for who has shown a certificate of a domain, only for the address that the connection comes from,
//! and only if the certificate proves the name in that Via. And a request takes the connection only if it would have led to
//! that very address, and the certificate proves what the request asks for: see [`ClientContext::may_reuse`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::connection::{Connection, Stage};
use super::dial::Purpose;
use super::wire::Wire;
use super::worker::Worker;
use crate::auth::Identities;
use crate::registrar::FlowId;
use crate::resolve::TransportKind;
use crate::sip::{Host, Message, Via};
use crate::tls::{AcceptedPeer, ClientContext, ServerExpectation};

/// The connections, by the addresses that their peers have named; each connection is there once at most.
#[derive(Debug, Default)]
pub(crate) struct Aliases(Mutex<HashMap<SocketAddr, (FlowId, AcceptedPeer)>>);

impl Aliases {
    /// The connection that a request may take instead of one of ours.
    pub(super) fn find(&self, purpose: &Purpose, role: &ClientContext) -> Option<FlowId> {
        let address = purpose.destination.address;
        let expectation: &ServerExpectation = purpose.expectation.as_ref()?;
        let (flow, peer) = self.lock().get(&canonical(address)).cloned()?;
        role.may_reuse(expectation, &peer).then_some(flow)
    }

    /// Of two that name one address, the later one is more likely to be alive.
    fn add(&self, address: SocketAddr, flow: FlowId, peer: AcceptedPeer) {
        self.lock().insert(address, (flow, peer));
    }

    fn remove(&self, address: SocketAddr, flow: FlowId) {
        let mut aliases = self.lock();
        if aliases.get(&address).is_some_and(|(of, _)| *of == flow) {
            aliases.remove(&address);
        }
        if aliases.capacity() > 1024 && aliases.len() < aliases.capacity() / 8 {
            let room = aliases.len() * 2;
            aliases.shrink_to(room);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, (FlowId, AcceptedPeer)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Notes that the peer takes requests over the connection that it has made, if this request says so and it may.
    pub(super) fn note_alias(&self, connection: &mut Connection, request: &Message<'_>) {
        if connection.alias.is_some() || connection.dial.is_some() || request.is_response() {
            return;
        }
        let Some(proof) = &connection.proof else {
            return;
        };
        // Phones, and so most messages, end here.
        if !proof.identities.has_domain() {
            return;
        }
        let via = request.top_via().and_then(Via::parse);
        let Some(address) = via.and_then(|via| claimed(&via, connection.peer, &proof.identities))
        else {
            return;
        };
        let Stage::Open(Wire::Tls(stream)) = &connection.stage else {
            return;
        };
        let tls = self.snapshot.tls.get(connection.listener);
        let Some(tls) = tls.and_then(Option::as_ref) else {
            return;
        };
        let session = stream.session();
        let peer = AcceptedPeer {
            certificate: proof.certificate.clone(),
            shown: tls.shown_to(session.sni.as_deref()).into(),
            version: session.version,
        };
        let flow = FlowId::Connection(connection.id);
        self.shared.aliases.add(address, flow, peer);
        connection.alias = Some(address);
    }

    /// A connection is closed: requests toward its peer look for another way.
    pub(super) fn forget_alias(&self, connection: &mut Connection) {
        if let Some(address) = connection.alias.take() {
            let flow = FlowId::Connection(connection.id);
            self.shared.aliases.remove(address, flow);
        }
    }
}

/// The address that a peer at `source` may name by this Via, with a certificate of these names.
fn claimed(via: &Via<'_>, source: SocketAddr, identities: &Identities) -> Option<SocketAddr> {
    if via.parameters.value("alias").is_none() || !via.transport.eq_ignore_ascii_case(b"TLS") {
        return None;
    }
    let source = canonical(source);
    let is_its_own = match via.host {
        Host::Name(_) => identities.domain_identity(&via.host).is_some(),
        Host::Ip(ip) => ip.to_canonical() == source.ip() && identities.has_domain(),
    };
    let port = via.port.unwrap_or(TransportKind::Tls.default_port());
    is_its_own.then(|| SocketAddr::new(source.ip(), port))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::auth::{Issuers, NamePolicy, PeerCertificate, SubjectAltName};

    fn identities(name: SubjectAltName) -> Identities {
        let certificate = PeerCertificate {
            subject: "CN=somebody".to_owned(),
            issuer: "CN=Root".to_owned(),
            serial: "01".to_owned(),
            fingerprint: [0; 32],
            not_before: 0,
            not_after: 0,
            common_names: Vec::new(),
            subject_attributes: Vec::new(),
            alt_names: vec![name],
            extended_key_usage: None,
            anchor_subject: "CN=Root".to_owned(),
            anchor_fingerprint: [0; 32],
            issuers: Issuers::default(),
        };
        Identities::of(&certificate, &NamePolicy::default())
    }

    #[test]
    fn a_peer_names_its_own_address_under_a_name_that_it_proves() {
        let domain = identities(SubjectAltName::Dns("example.net".into()));
        let user = identities(SubjectAltName::Uri("sip:alice@example.net".into()));
        let source = "192.0.2.7:40000";
        for (situation, via, source, who, wanted) in [
            (
                "by its address",
                "TLS 192.0.2.7:5071;alias;branch=z9hG4bK1",
                source,
                &domain,
                Some("192.0.2.7:5071"),
            ),
            (
                "by its name",
                "TLS Example.NET:5071;branch=z9hG4bK1;alias",
                source,
                &domain,
                Some("192.0.2.7:5071"),
            ),
            (
                "without a port",
                "TLS example.net;alias",
                source,
                &domain,
                Some("192.0.2.7:5061"),
            ),
            (
                "over a listener for both families",
                "TLS 192.0.2.7;alias",
                "[::ffff:192.0.2.7]:40000",
                &domain,
                Some("192.0.2.7:5061"),
            ),
            ("without asking", "TLS example.net", source, &domain, None),
            (
                "the name of somebody else",
                "TLS example.com:5071;alias",
                source,
                &domain,
                None,
            ),
            (
                "the address of somebody else",
                "TLS 192.0.2.8:5071;alias",
                source,
                &domain,
                None,
            ),
            (
                "a user of the domain, by its name",
                "TLS example.net;alias",
                source,
                &user,
                None,
            ),
            (
                "a user of the domain, by an address",
                "TLS 192.0.2.7;alias",
                source,
                &user,
                None,
            ),
            (
                "another transport",
                "TCP example.net;alias",
                source,
                &domain,
                None,
            ),
        ] {
            let via = format!("SIP/2.0/{via}");
            let via = Via::parse(via.as_bytes()).unwrap();
            let found = claimed(&via, source.parse().unwrap(), who);
            assert_eq!(found, wanted.map(|w| w.parse().unwrap()), "{situation}");
        }
    }
}
