//! The client role: connections to other domains, each of which proves the name that was asked for (RFC 5922 §7.3).

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode,
    StatusType,
};
use openssl::x509::X509PurposeId;
use openssl::x509::verify::X509VerifyParam;

use super::connected::Toward;
use super::destinations::Destinations;
use super::fault::LoadFault;
use super::handshake::{self, Side, Slot};
use super::own::{Own, OwnCertificates, OwnChoice};
use super::parameters::{Parameters, depth, internal, version};
use super::store::TrustStore;
use super::verify::{self, Judged, Verifier};
use super::{
    ClientTls, OwnIdentity, ProtocolVersion, ReferenceName, TlsOptions, again, ffi, keylog, pem,
    staple_check,
};
use crate::auth::{CaRights, Identities, NamePolicy, PeerCertificate};

/// Everything that connections to other domains need; read only, shared by all threads.
///
/// A reload makes a new one. Sessions are not resumed toward servers: each connection is a full handshake.
pub struct ClientContext {
    context: SslContext,
    pub(super) verifier: Arc<Verifier>,
    /// Fingerprints of the trust anchors of this role.
    anchors: HashSet<[u8; 32]>,
    own: Arc<OwnCertificates>,
    pub(super) names: NamePolicy,
    pub(super) rights: Arc<CaRights>,
    destinations: Destinations,
    minimum: ProtocolVersion,
    maximum: ProtocolVersion,
    generation: u64,
}

/// What a connection to a destination has to be. Two requests may share a connection only if this is equal for both
/// (RFC 5923 §3): repro looked at the address alone, and sent requests for one domain to the server of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerExpectation {
    reference: ReferenceName,
    choice: OwnChoice,
    minimum: ProtocolVersion,
    maximum: ProtocolVersion,
    verify: bool,
    require_staple: bool,
    generation: u64,
}

/// A peer that has connected to us and proved who it is, as far as a request toward it asks.
#[derive(Debug, Clone)]
pub struct AcceptedPeer {
    /// Its verified certificate.
    pub certificate: Arc<PeerCertificate>,
    /// The domain of ours whose certificate it has seen.
    pub shown: Box<str>,
    /// `TLSv1.2` or `TLSv1.3` (or older, where allowed).
    pub version: &'static str,
}

impl ServerExpectation {
    /// The name that the server has to prove.
    #[must_use]
    pub fn reference(&self) -> &ReferenceName {
        &self.reference
    }

    /// Whether the server has to prove anything; `false` only by a setting for this destination.
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.verify
    }

    /// Which load it comes from: a connection made under another one is not reused.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl ClientContext {
    /// The same, with these rules for what CAs may vouch for.
    #[must_use]
    pub fn with_rights(mut self, rights: Arc<CaRights>) -> Self {
        self.rights = rights;
        self
    }

    /// What a connection to `destination` (the host of the next-hop URI, before any look-up) has to be, when we act for
    /// the domain `own`.
    #[must_use]
    pub fn expectation(&self, destination: &ReferenceName, own: Option<&str>) -> ServerExpectation {
        let profile = self.destinations.profile(destination);
        let choice = match profile.map(|profile| &profile.own) {
            Some(OwnIdentity::None) => OwnChoice::Nothing,
            Some(OwnIdentity::Domain(domain)) => OwnChoice::Domain(domain.clone()),
            Some(OwnIdentity::Default) | None => own
                .and_then(|own| self.own.speaking_for(own))
                .map_or(OwnChoice::Open, |domain| {
                    OwnChoice::Domain(domain.to_owned())
                }),
        };
        let expected = profile.and_then(|profile| profile.expected_name.as_ref());
        ServerExpectation {
            reference: expected.unwrap_or(destination).clone(),
            choice,
            minimum: profile.and_then(|p| p.minimum).unwrap_or(self.minimum),
            maximum: profile.and_then(|p| p.maximum).unwrap_or(self.maximum),
            verify: profile.is_none_or(|profile| profile.verify),
            require_staple: profile.is_some_and(|profile| profile.require_staple),
            generation: self.generation,
        }
    }

    /// A fresh connection state, ready for a client handshake with whoever is at `peer`.
    ///
    /// # Errors
    /// Only when OpenSSL has no memory left.
    pub fn connect_state(
        &self,
        expectation: &ServerExpectation,
        peer: SocketAddr,
    ) -> Result<Ssl, ErrorStack> {
        let index = handshake::slot_index().ok_or_else(ErrorStack::get)?;
        let mut ssl = Ssl::new(&self.context)?;
        // Without PEER, OpenSSL would go on after a refusal of ours.
        ssl.set_verify(match expectation.verify {
            true => SslVerifyMode::PEER,
            false => SslVerifyMode::NONE,
        });
        ssl.set_min_proto_version(Some(version(expectation.minimum)))?;
        ssl.set_max_proto_version(Some(version(expectation.maximum)))?;
        if let Some(name) = expectation.reference.sni() {
            ssl.set_hostname(name)?;
        }
        let toward = Toward::new(
            expectation.reference.clone(),
            self.names,
            Arc::clone(&self.rights),
            expectation.verify,
            Arc::clone(&self.own),
            expectation.choice.clone(),
        )
        .requiring_staple(expectation.require_staple);
        if expectation.verify {
            ssl.set_status_type(StatusType::OCSP)?;
        }
        let slot = Slot::new(
            Arc::clone(&self.verifier),
            Side::Client(toward),
            keylog::wanted_for(peer),
        );
        ssl.set_ex_data(index, Arc::new(slot));
        ssl.set_connect_state();
        Ok(ssl)
    }

    /// Whether a request that expects this may go over a connection that the peer has made itself: it has to be as good as
    /// one of ours would be (RFC 5923 §3), by who the peer is, whom it takes us for, and how the connection is protected.
    #[must_use]
    pub fn may_reuse(&self, expectation: &ServerExpectation, peer: &AcceptedPeer) -> bool {
        let taken_for = match &expectation.choice {
            OwnChoice::Domain(domain) => *domain == *peer.shown,
            OwnChoice::Open => true,
            OwnChoice::Nothing => false,
        };
        let protected = ProtocolVersion::named(peer.version)
            .is_some_and(|version| (expectation.minimum..=expectation.maximum).contains(&version));
        // Who connects to us sends no staple.
        !expectation.require_staple
            && taken_for
            && protected
            && self.is_proved_by(expectation, &peer.certificate)
    }

    /// Whether the holder of a certificate that a listener has verified may be taken for the server asked for, so that
    /// requests can go to it over the connection that it made itself (RFC 5922 §7.4, RFC 5923 §3).
    ///
    /// Its chain must end in a trust anchor of this role, its extended key usage must be one of a server, and its names
    /// must have the one asked for. Fails closed: where nothing is verified, an accepted connection proves nothing.
    #[must_use]
    pub(super) fn is_proved_by(
        &self,
        expectation: &ServerExpectation,
        certificate: &PeerCertificate,
    ) -> bool {
        let identities = Identities::of_server(certificate, &self.names, &self.rights);
        expectation.verify
            && self.anchors.contains(&certificate.anchor_fingerprint)
            && verify::has_purpose_of_a_server(certificate)
            && expectation.reference.proved_by(&identities).is_some()
    }

    /// Which load it comes from; counts up with each.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl fmt::Debug for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContext")
            .field("generation", &self.generation)
            .field("anchors", &self.anchors.len())
            .finish_non_exhaustive()
    }
}

/// Builds the context of the client role.
pub(super) fn build(
    options: &TlsOptions,
    client: &ClientTls,
    parameters: &Parameters,
    own: Vec<Own>,
    trust: &TrustStore,
    generation: u64,
) -> Result<ClientContext, Vec<LoadFault>> {
    let one = |fault: Box<LoadFault>| vec![*fault];
    let mut builder =
        SslContext::builder(SslMethod::tls_client()).map_err(|e| one(internal(&e)))?;
    parameters.apply(options, &mut builder).map_err(one)?;
    let verifier = judged(options, trust, &mut builder).map_err(|e| one(internal(&e)))?;
    let context = builder.build();
    let faults: Vec<LoadFault> = own
        .iter()
        .filter_map(|own| unpresentable(own, &context))
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let fallback = match &client.fallback {
        OwnIdentity::Default => own.first().map(|own| own.domain.clone()),
        OwnIdentity::Domain(domain) => Some(domain.clone()),
        OwnIdentity::None => None,
    };
    let own = OwnCertificates::new(own, fallback);
    let faults = missing(client, &own);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(ClientContext {
        context,
        verifier,
        anchors: trust.fingerprints(),
        own: Arc::new(own),
        names: client.names,
        rights: Arc::default(),
        destinations: Destinations::new(client.destinations.clone()),
        minimum: options.minimum,
        maximum: options.maximum,
        generation,
    })
}

/// Has chains judged by our own rules, as for clients, and our certificate chosen when a server asks.
fn judged(
    options: &TlsOptions,
    trust: &TrustStore,
    builder: &mut SslContextBuilder,
) -> Result<Arc<Verifier>, ErrorStack> {
    // OpenSSL's check of purposes would refuse what RFC 5924 asks for, and its check of host names knows no SIP URI.
    let mut param = X509VerifyParam::new()?;
    param.set_purpose(X509PurposeId::ANY)?;
    param.set_depth(depth(options));
    let store = trust.build(&param)?;
    builder.set_cert_store(ffi::share_store(&store));
    let param = builder.verify_param_mut();
    param.set_purpose(X509PurposeId::ANY)?;
    param.set_depth(depth(options));
    ffi::judge_certificates(builder);
    ffi::choose_own_certificate(builder);
    let anchors = trust.certificates();
    builder.set_status_callback(move |ssl| Ok(staple_check::judge(ssl, &anchors)))?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    let verifier = Verifier::new(
        Judged::Servers,
        store,
        again::basis(trust, &options.verify_depth.to_be_bytes()),
        options.verified_chain_cache,
    );
    Ok(Arc::new(verifier.with_revocation(trust.revocation.clone())))
}

/// What OpenSSL would say about this certificate of ours once a server asks for it.
fn unpresentable(own: &Own, context: &SslContext) -> Option<LoadFault> {
    let presented = Ssl::new(context).and_then(|mut ssl| own.present(&mut ssl));
    let error = presented.err()?;
    let first = own.identities.first()?;
    Some(LoadFault::file(
        &first.file,
        format!(
            "OpenSSL does not take it for {:?} ({})",
            own.domain,
            pem::first_reason(&error)
        ),
        "a key too short for the security level has to be replaced, or the level lowered by @SECLEVEL in \
         OpenSSLCipherList",
    ))
}

/// Domains whose certificate a setting wants and that have none.
fn missing(client: &ClientTls, own: &OwnCertificates) -> Vec<LoadFault> {
    let of_destinations = client
        .destinations
        .iter()
        .map(|profile| ("TLSDestination<N>OwnDomain", &profile.own));
    std::iter::once(("TLSClientRoleOwnDomain", &client.fallback))
        .chain(of_destinations)
        .filter_map(|(setting, identity)| match identity {
            OwnIdentity::Domain(domain) if own.named(domain).is_none() => {
                Some(LoadFault::setting(
                    setting,
                    format!("there is no certificate for {domain:?}"),
                    format!(
                        "put domain_cert_{domain}.pem and domain_key_{domain}.pem into CertificatePath, or name a domain \
                         that has them"
                    ),
                ))
            }
            _ => None,
        })
        .collect()
}
