//! Our own certificates toward servers: which one is shown to whom.

use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use openssl::stack::StackRef;
use openssl::x509::X509Name;

use super::handshake::{self, Side};
use super::identity::Identity;
use super::{ffi, peer};
use crate::auth::{Identities, NamePolicy};
use crate::sip::canonical_domain;

/// What we have for one domain.
pub(super) struct Own {
    /// Lower case.
    pub(super) domain: String,
    /// One for each type of key; never empty.
    pub(super) identities: Vec<Identity>,
    /// What the first of them names.
    names: Identities,
}

impl Own {
    pub(super) fn new(domain: String, identities: Vec<Identity>, policy: &NamePolicy) -> Self {
        let names = identities
            .first()
            .and_then(|first| peer::peer_certificate(&first.leaf, [0; 32], None).ok())
            .map(|certificate| Identities::of(&certificate, policy))
            .unwrap_or_default();
        Self {
            domain,
            identities,
            names,
        }
    }

    /// Whether one of these CAs issued it, or a certificate that is sent along with it.
    fn is_under(&self, authorities: &StackRef<X509Name>) -> bool {
        self.identities.iter().any(|identity| {
            std::iter::once(&identity.leaf)
                .chain(&identity.intermediates)
                .any(|certificate| {
                    authorities.iter().any(|name| {
                        name.try_cmp(certificate.issuer_name())
                            .is_ok_and(std::cmp::Ordering::is_eq)
                    })
                })
        })
    }

    /// Puts it into a connection.
    pub(super) fn present(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        // Up to TLS 1.2 OpenSSL's client looks at the one set last only.
        for identity in self.identities.iter().rev() {
            ssl.set_certificate(&identity.leaf)?;
            ssl.set_private_key(&identity.key)?;
            for intermediate in &identity.intermediates {
                ssl.add_chain_cert(intermediate.clone())?;
            }
        }
        Ok(())
    }
}

/// Which of ours is for a connection, as far as that is known before the server has spoken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum OwnChoice {
    /// That of this domain.
    Domain(String),
    /// The first that the CAs named by the server can have issued, else the fall-back.
    Open,
    /// None.
    Nothing,
}

/// All that we could show: listeners' domains in their order, then those that only lie in the certificate directory.
pub(super) struct OwnCertificates {
    all: Vec<Own>,
    fallback: Option<String>,
}

impl OwnCertificates {
    pub(super) fn new(all: Vec<Own>, fallback: Option<String>) -> Self {
        Self { all, fallback }
    }

    /// That of exactly this domain.
    pub(super) fn named(&self, domain: &str) -> Option<&Own> {
        self.all.iter().find(|own| own.domain == domain)
    }

    /// The domain whose certificate speaks for this one: its own, or one with this name among others.
    pub(super) fn speaking_for(&self, domain: &str) -> Option<&str> {
        self.named(&canonical_domain(domain))
            .or_else(|| self.all.iter().find(|own| own.names.is_domain(domain)))
            .map(|own| own.domain.as_str())
    }

    fn chosen(&self, choice: &OwnChoice, wanted: Option<&StackRef<X509Name>>) -> Option<&Own> {
        match choice {
            OwnChoice::Nothing => None,
            OwnChoice::Domain(domain) => self.named(domain),
            OwnChoice::Open => wanted
                .and_then(|wanted| self.all.iter().find(|own| own.is_under(wanted)))
                .or_else(|| self.named(self.fallback.as_deref()?)),
        }
    }
}

/// Chooses and sets our certificate on a connection whose server asks for one; called by OpenSSL. `false` ends the
/// handshake.
pub(super) fn show(ssl: &mut SslRef) -> bool {
    let Some(slot) = handshake::slot(ssl) else {
        return false;
    };
    let Side::Client(toward) = &slot.side else {
        return false;
    };
    let own = toward
        .own()
        .chosen(toward.choice(), ffi::wanted_authorities(ssl));
    let done = own.is_none_or(|own| own.present(ssl).is_ok());
    toward.asked(own.map(|own| own.domain.as_str()));
    // What was not needed must not stay in the thread's error queue.
    drop(ErrorStack::get());
    done
}
