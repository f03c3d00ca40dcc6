//! Options → SSL contexts: versions, ciphers, tickets, verification, SNI; one [`ServerContext`] for each listener.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::{
    AlpnError, Ssl, SslAcceptor, SslAcceptorBuilder, SslContext, SslContextBuilder, SslMethod,
    SslOptions, SslSessionCacheMode, SslVerifyMode,
};
use openssl::x509::X509PurposeId;
use openssl::x509::verify::X509VerifyParam;

use super::fault::LoadFault;
use super::handshake::{self, Side, Slot};
use super::identity::Identity;
use super::parameters::{Parameters, depth, internal};
use super::sni::{self, Domain};
use super::staple::Staples;
use super::store::TrustStore;
use super::verify::{Judged, Verifier};
use super::{ClientVerification, EkuPolicy, ListenerTls, TlsOptions, again, ffi, keylog, pem};

/// The only protocol that we answer an ALPN offer with (IANA: SIP).
const ALPN_SIP: &[u8] = b"sip";

/// Everything that one listener needs to accept TLS connections; read only, shared by all threads.
///
/// A reload makes new ones. Connections of the old one are judged by them ([`super::again`]); its session tickets do not (new keys).
pub struct ServerContext {
    context: SslContext,
    pub(super) verifier: Arc<Verifier>,
    pub(super) verification: ClientVerification,
    generation: u64,
    domain: String,
    sni_domains: Vec<String>,
    /// Of the domains chosen by SNI that have anchors of their own.
    pub(super) sni_verifiers: BTreeMap<String, Arc<Verifier>>,
}

impl ServerContext {
    /// A fresh connection state, ready for a server handshake with `peer` under this listener's verification mode.
    ///
    /// # Errors
    /// Only when OpenSSL has no memory left.
    pub fn accept_state(&self, peer: SocketAddr) -> Result<Ssl, ErrorStack> {
        let index = handshake::slot_index().ok_or_else(ErrorStack::get)?;
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_verify(match self.verification {
            ClientVerification::None => SslVerifyMode::NONE,
            ClientVerification::Optional => SslVerifyMode::PEER,
            ClientVerification::Mandatory => {
                SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT
            }
        });
        let slot = Slot::new(
            Arc::clone(&self.verifier),
            Side::Server(self.verification),
            keylog::wanted_for(peer),
        );
        ssl.set_ex_data(index, Arc::new(slot));
        ssl.set_accept_state();
        Ok(ssl)
    }

    /// Which load it comes from; counts up with each.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How often a chain verified before was found.
    #[cfg(test)]
    pub(super) fn chains_found(&self) -> usize {
        self.verifier.chains_found()
    }

    /// What it wants of clients.
    #[must_use]
    pub fn verification(&self) -> ClientVerification {
        self.verification
    }

    /// The domain served when SNI names none of ours, lower-case.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The domain whose certificate is shown to who asks for this name.
    #[must_use]
    pub fn shown_to(&self, sni: Option<&str>) -> &str {
        let asked = sni.map(|name| name.strip_suffix('.').unwrap_or(name));
        let is_asked = |own: &&String| asked.is_some_and(|name| own.eq_ignore_ascii_case(name));
        self.sni_domains
            .iter()
            .find(is_asked)
            .unwrap_or(&self.domain)
    }

    /// Further domains chosen by SNI, lower-case, in order.
    #[must_use]
    pub fn sni_domains(&self) -> &[String] {
        &self.sni_domains
    }
}

impl fmt::Debug for ServerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext")
            .field("generation", &self.generation)
            .field("domain", &self.domain)
            .field("sni_domains", &self.sni_domains)
            .field("verification", &self.verification)
            .finish_non_exhaustive()
    }
}

/// Our certificates for one listener.
pub(super) struct Identities {
    /// For the listener's own domain; not empty.
    pub(super) own: Vec<Identity>,
    /// For domains chosen by SNI.
    pub(super) by_sni: Vec<(String, Vec<Identity>)>,
    /// The anchors of the listener, if it has its own.
    pub(super) roots: Option<Arc<TrustStore>>,
    /// The anchors of domains chosen by SNI that have their own.
    pub(super) sni_roots: HashMap<String, Arc<TrustStore>>,
    /// What OCSP says of them.
    pub(super) staples: Arc<Staples>,
}

/// Number of a listener in its load, and the load's own.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) listener: usize,
    pub(super) generation: u64,
}

/// Builds the contexts of one listener: one for each domain, all of the same settings. `trust` is for those without
/// anchors of their own.
pub(super) fn build(
    options: &TlsOptions,
    parameters: &Parameters,
    listener: &ListenerTls,
    domain: String,
    identities: &Identities,
    trust: &TrustStore,
    place: Place,
) -> Result<ServerContext, Box<LoadFault>> {
    let maker = Maker {
        options,
        parameters,
        listener,
        staples: &identities.staples,
        place,
    };
    let trust = identities.roots.as_deref().unwrap_or(trust);
    let mut own = maker.settings(&domain, false)?;
    let level = ffi::security_level(&own);
    let verifier = maker.verifier(level, trust).map_err(|e| internal(&e))?;
    maker.finish(&mut own, &domain, &identities.own, &verifier, trust)?;

    let mut others: HashMap<Vec<u8>, Domain> = HashMap::new();
    let mut sni_domains = Vec::new();
    let mut sni_verifiers = BTreeMap::new();
    for (name, own) in &identities.by_sni {
        let mut other = maker.settings(name, true)?;
        let (verifier, trust) = match identities.sni_roots.get(name) {
            Some(trust) => {
                let verifier = maker.verifier(level, trust).map_err(|e| internal(&e))?;
                sni_verifiers.insert(name.clone(), Arc::clone(&verifier));
                (verifier, &**trust)
            }
            None => (Arc::clone(&verifier), trust),
        };
        maker.finish(&mut other, name, own, &verifier, trust)?;
        let context = other.build().into_context();
        others.insert(name.clone().into_bytes(), Domain { context, verifier });
        sni_domains.push(name.clone());
    }
    sni::choose(&mut own, domain.clone().into_bytes(), others);
    Ok(ServerContext {
        context: own.build().into_context(),
        verifier,
        verification: listener.verification,
        generation: place.generation,
        domain,
        sni_domains,
        sni_verifiers,
    })
}

/// Sessions of another listener, another domain of it, another verification mode or another load are not resumed here.
fn session_context(
    listener: &ListenerTls,
    domain: &str,
    is_by_sni: bool,
    place: Place,
) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(&place.listener.to_be_bytes());
    digest.update(&place.generation.to_be_bytes());
    digest.update(&[
        listener.verification as u8,
        listener.eku as u8,
        u8::from(is_by_sni),
    ]);
    digest.update(domain.as_bytes());
    digest.finish()
}

struct Maker<'a> {
    options: &'a TlsOptions,
    parameters: &'a Parameters,
    listener: &'a ListenerTls,
    staples: &'a Arc<Staples>,
    place: Place,
}

impl Maker<'_> {
    /// A context with everything but certificates and anchors.
    fn settings(
        &self,
        domain: &str,
        is_by_sni: bool,
    ) -> Result<SslAcceptorBuilder, Box<LoadFault>> {
        // The acceptor that changes least: versions and suites, which are set again. Its `intermediate` brings groups
        // and DH parameters that could not be taken back.
        let mut builder =
            SslAcceptor::mozilla_modern_v5(SslMethod::tls_server()).map_err(|e| internal(&e))?;
        builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
        self.parameters.apply(self.options, &mut builder)?;
        let session_context = session_context(self.listener, domain, is_by_sni, self.place);
        self.sessions(&mut builder, &session_context)
            .map_err(|e| internal(&e))?;
        builder.set_alpn_select_callback(|_ssl, offered| {
            alpn_protocols(offered)
                .find(|protocol| *protocol == ALPN_SIP)
                .ok_or(AlpnError::NOACK)
        });
        let staples = Arc::clone(self.staples);
        builder
            .set_status_callback(move |ssl| Ok(staples.show(ssl)))
            .map_err(|e| internal(&e))?;
        Ok(builder)
    }

    fn sessions(
        &self,
        builder: &mut SslContextBuilder,
        session_context: &[u8],
    ) -> Result<(), ErrorStack> {
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        builder.set_session_id_context(session_context)?;
        ffi::set_session_lifetime(builder, self.options.session_lifetime);
        if self.options.session_tickets {
            // OpenSSL sends two, each of which costs as much as a small handshake message.
            builder.set_num_tickets(1)
        } else {
            builder.set_options(SslOptions::NO_TICKET);
            builder.set_num_tickets(0)
        }
    }

    fn purpose(&self) -> X509PurposeId {
        match self.listener.eku {
            EkuPolicy::ClientAuth => X509PurposeId::SSL_CLIENT,
            EkuPolicy::Rfc5924 | EkuPolicy::NoServerAuth | EkuPolicy::SipDomain => {
                X509PurposeId::ANY
            }
        }
    }

    fn verifier(&self, level: u32, trust: &TrustStore) -> Result<Arc<Verifier>, ErrorStack> {
        let mut param = X509VerifyParam::new()?;
        param.set_purpose(self.purpose())?;
        param.set_depth(depth(self.options));
        param.set_auth_level(i32::try_from(level).unwrap_or(i32::MAX));
        ffi::trust_for_clients(&mut param);
        let store = trust.build(&param)?;
        let verifier = Verifier::new(
            Judged::Clients(self.listener.eku),
            store,
            again::basis(trust, &self.rules(level)),
            self.options.verified_chain_cache,
        );
        let verifier = verifier.with_revocation(trust.revocation.clone());
        Ok(Arc::new(verifier))
    }

    /// What decides over a chain besides the anchors.
    fn rules(&self, level: u32) -> Vec<u8> {
        let mut rules = vec![self.listener.eku as u8];
        rules.extend(level.to_be_bytes());
        rules.extend(self.options.verify_depth.to_be_bytes());
        rules
    }

    /// Adds anchors and certificates.
    fn finish(
        &self,
        builder: &mut SslContextBuilder,
        domain: &str,
        identities: &[Identity],
        verifier: &Verifier,
        trust: &TrustStore,
    ) -> Result<(), Box<LoadFault>> {
        self.judge(builder, verifier, trust)
            .map_err(|e| internal(&e))?;
        for identity in identities {
            present(builder, identity).map_err(|e| {
                LoadFault::file(
                    &identity.file,
                    format!(
                        "OpenSSL does not take it for {domain:?} ({})",
                        pem::first_reason(&e)
                    ),
                    "a key too short for the security level has to be replaced, or the level lowered by @SECLEVEL in \
                     OpenSSLCipherList",
                )
            })?;
        }
        Ok(())
    }

    fn judge(
        &self,
        builder: &mut SslContextBuilder,
        verifier: &Verifier,
        trust: &TrustStore,
    ) -> Result<(), ErrorStack> {
        builder.set_cert_store(ffi::share_store(verifier.store()));
        let param = builder.verify_param_mut();
        param.set_purpose(self.purpose())?;
        param.set_depth(depth(self.options));
        if let Some(names) = trust.ca_names()? {
            builder.set_client_ca_list(names);
        }
        ffi::judge_certificates(builder);
        Ok(())
    }
}

fn present(builder: &mut SslContextBuilder, identity: &Identity) -> Result<(), ErrorStack> {
    builder.set_certificate(&identity.leaf)?;
    builder.set_private_key(&identity.key)?;
    for intermediate in &identity.intermediates {
        ffi::add_chain_certificate(builder, intermediate)?;
    }
    builder.check_private_key()
}

/// The protocols of an ALPN offer (RFC 7301 §3.1): each behind an octet with its length.
fn alpn_protocols(mut offered: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = offered.split_first()?;
        let (protocol, rest) = rest.split_at_checked(usize::from(*length))?;
        offered = rest;
        Some(protocol)
    })
}
