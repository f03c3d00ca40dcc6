//! Options → SSL contexts: versions, ciphers, tickets, verification, SNI; one [`ServerContext`] for each listener.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::{
    AlpnError, NameType, SniError, Ssl, SslAcceptor, SslAcceptorBuilder, SslContext,
    SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode,
};
use openssl::x509::X509PurposeId;
use openssl::x509::verify::X509VerifyParam;

use super::fault::LoadFault;
use super::handshake::{self, Side, Slot};
use super::identity::Identity;
use super::parameters::{Parameters, depth, internal};
use super::staple::Staples;
use super::store::TrustStore;
use super::verify::{Judged, Verifier};
use super::{ClientVerification, EkuPolicy, ListenerTls, TlsOptions, ffi, keylog, pem};

/// The only protocol that we answer an ALPN offer with (IANA: SIP).
const ALPN_SIP: &[u8] = b"sip";

/// Everything that one listener needs to accept TLS connections; read only, shared by all threads.
///
/// A reload makes new ones. Connections of the old one live on; its session tickets do not (new keys).
pub struct ServerContext {
    context: SslContext,
    verifier: Arc<Verifier>,
    verification: ClientVerification,
    generation: u64,
    domain: String,
    sni_domains: Vec<String>,
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
    /// What OCSP says of them.
    pub(super) staples: Arc<Staples>,
}

/// Number of a listener in its load, and the load's own.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) listener: usize,
    pub(super) generation: u64,
}

/// Builds the contexts of one listener: one for each domain, all of the same settings and the same anchors.
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
        trust,
        staples: &identities.staples,
        session_context: session_context(listener, &domain, place),
    };
    let mut own = maker.settings()?;
    let verifier = maker
        .verifier(ffi::security_level(&own))
        .map_err(|e| internal(&e))?;
    maker.finish(&mut own, &domain, &identities.own, &verifier)?;

    let mut others: HashMap<Vec<u8>, SslContext> = HashMap::new();
    let mut sni_domains = Vec::new();
    for (name, identities) in &identities.by_sni {
        let mut other = maker.settings()?;
        maker.finish(&mut other, name, identities, &verifier)?;
        others.insert(name.clone().into_bytes(), other.build().into_context());
        sni_domains.push(name.clone());
    }
    choose_by_sni(&mut own, domain.clone().into_bytes(), others);
    Ok(ServerContext {
        context: own.build().into_context(),
        verifier,
        verification: listener.verification,
        generation: place.generation,
        domain,
        sni_domains,
    })
}

/// Sessions of another listener, another verification mode or another load are not resumed here.
fn session_context(listener: &ListenerTls, domain: &str, place: Place) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(&place.listener.to_be_bytes());
    digest.update(&place.generation.to_be_bytes());
    digest.update(&[listener.verification as u8, listener.eku as u8]);
    digest.update(domain.as_bytes());
    digest.finish()
}

fn choose_by_sni(
    builder: &mut SslContextBuilder,
    own: Vec<u8>,
    others: HashMap<Vec<u8>, SslContext>,
) {
    builder.set_servername_callback(move |ssl, _alert| {
        let Some(name) = ssl.servername_raw(NameType::HOST_NAME) else {
            return Err(SniError::NOACK);
        };
        let mut name = name.to_ascii_lowercase();
        if name.last() == Some(&b'.') {
            name.pop();
        }
        if let Some(other) = others.get(&name) {
            return ssl
                .set_ssl_context(other)
                .map_err(|_| SniError::ALERT_FATAL);
        }
        // An unknown name is served the default: phones are often set to an address or an alias.
        if name == own {
            Ok(())
        } else {
            Err(SniError::NOACK)
        }
    });
}

struct Maker<'a> {
    options: &'a TlsOptions,
    parameters: &'a Parameters,
    listener: &'a ListenerTls,
    trust: &'a TrustStore,
    staples: &'a Arc<Staples>,
    session_context: [u8; 32],
}

impl Maker<'_> {
    /// A context with everything but certificates and anchors.
    fn settings(&self) -> Result<SslAcceptorBuilder, Box<LoadFault>> {
        // The acceptor that changes least: versions and suites, which are set again. Its `intermediate` brings groups
        // and DH parameters that could not be taken back.
        let mut builder =
            SslAcceptor::mozilla_modern_v5(SslMethod::tls_server()).map_err(|e| internal(&e))?;
        builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
        self.parameters.apply(self.options, &mut builder)?;
        self.sessions(&mut builder).map_err(|e| internal(&e))?;
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

    fn sessions(&self, builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        builder.set_session_id_context(&self.session_context)?;
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

    fn verifier(&self, level: u32) -> Result<Arc<Verifier>, ErrorStack> {
        let mut param = X509VerifyParam::new()?;
        param.set_purpose(self.purpose())?;
        param.set_depth(depth(self.options));
        param.set_auth_level(i32::try_from(level).unwrap_or(i32::MAX));
        ffi::trust_for_clients(&mut param);
        let store = self.trust.build(&param)?;
        let verifier = Verifier::new(
            Judged::Clients(self.listener.eku),
            store,
            self.options.verified_chain_cache,
        );
        let verifier = verifier.with_revocation(self.trust.revocation.clone());
        Ok(Arc::new(verifier))
    }

    /// Adds anchors and certificates.
    fn finish(
        &self,
        builder: &mut SslContextBuilder,
        domain: &str,
        identities: &[Identity],
        verifier: &Verifier,
    ) -> Result<(), Box<LoadFault>> {
        self.judge(builder, verifier).map_err(|e| internal(&e))?;
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
    ) -> Result<(), ErrorStack> {
        builder.set_cert_store(ffi::share_store(verifier.store()));
        let param = builder.verify_param_mut();
        param.set_purpose(self.purpose())?;
        param.set_depth(depth(self.options));
        if let Some(names) = self.trust.ca_names()? {
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
