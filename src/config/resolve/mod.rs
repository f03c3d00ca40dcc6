//! Raw settings into each room's options.
//!
//! Values have been held against their kinds before, so that a wrong one here means its default: the error has been
//! reported. What is checked here is what one setting says about another.

mod listeners;
mod paths;
mod rooms;
mod values;

use std::path::Path;

use super::file::RawSettings;
use super::{ConfigError, Configuration, Note, NoteClass};
use crate::auth::IdentityRules;
use crate::tls::{ClientVerification, ProtocolVersion};
use crate::transport::StreamKind;
use paths::Paths;
use values::Values;

/// Makes the options. Faults are added to `errors`; the result counts only when there are none.
pub(super) fn resolve(
    file: &Path,
    settings: &RawSettings,
    errors: &mut Vec<ConfigError>,
    notes: Vec<Note>,
) -> Configuration {
    let paths = Paths::new(file);
    let mut v = Values::new(settings, errors, notes);
    let tls = rooms::tls(&mut v, &paths);
    let mut auth = rooms::auth(&mut v, &paths);
    let listeners = listeners::listeners(&mut v, &paths, &tls, auth.rules);
    for listener in &listeners {
        if let StreamKind::Tls(tls) = &listener.kind {
            let ours = std::iter::once(&tls.domain).chain(tls.sni_domains.iter().flatten());
            for domain in ours.filter(|domain| !domain.is_empty()) {
                if !auth.domains.contains(domain) {
                    auth.domains.push(domain.clone());
                }
            }
        }
    }
    let registrar = rooms::registrar(&mut v);
    let proxy = rooms::proxy(&mut v);
    let engine = rooms::engine(&mut v);
    let logging = rooms::logging(&mut v, &paths);
    let process = rooms::process(&mut v, &paths);
    let mut configuration = Configuration {
        file: paths.file().to_owned(),
        tls,
        auth,
        registrar,
        proxy,
        engine,
        listeners,
        logging,
        process,
        notes: Vec::new(),
    };
    weaknesses(&mut v, &configuration);
    configuration.notes = v.into_notes();
    configuration
}

/// Says what weakens the server.
fn weaknesses(v: &mut Values<'_>, c: &Configuration) {
    let auth = &c.auth;
    if !auth.certificate_authenticator && !auth.digest {
        v.note(
            NoteClass::Unsafe,
            "DisableAuth",
            "with EnableCertificateAuthenticator off too, every From is believed",
        );
    }
    if auth.certificate_authenticator {
        for listener in &c.listeners {
            if let StreamKind::Tls(tls) = &listener.kind
                && tls.verification == ClientVerification::None
            {
                let name = match listener.setting.strip_suffix("Interface") {
                    Some(transport) => format!("{transport}TlsClientVerification"),
                    None => "TLSClientVerification".to_owned(),
                };
                let text = format!(
                    "None: {} asks nobody for a certificate, so that EnableCertificateAuthenticator finds none there; \
                     Optional or Mandatory asks",
                    listener.setting
                );
                v.note(NoteClass::Unsafe, &name, &text);
            }
        }
    }
    match auth.rules {
        IdentityRules::Secure => {}
        IdentityRules::Report => {
            v.note(
                NoteClass::Unsafe,
                "IdentityRules",
                "report: repro's rules are in force with their holes; what the \
                secure rules would refuse is logged",
            );
        }
        IdentityRules::Repro => {
            v.note(
                NoteClass::Unsafe,
                "IdentityRules",
                "repro: repro's rules are in force with their holes; report \
                shows what the secure rules would refuse",
            );
        }
    }
    for (weak, name, text) in [
        (
            auth.allow_wildcards,
            "AllowWildcardCertificates",
            "a certificate for *.example.org speaks for every host below",
        ),
        (
            auth.email_as_sip,
            "TLSUseEmailAsSIP",
            "whoever may issue an email certificate may issue a SIP user",
        ),
        (
            !auth.third_party_requires_certificate,
            "ThirdPartyRequiresCertificate",
            "false: a From outside our domains is believed without a certificate",
        ),
        (
            auth.mappings_ignore_bad_lines,
            "CommonNameMappingsIgnoreBadLines",
            "a line with a mistake in it takes its phone out of service without an error at start",
        ),
        (
            c.proxy.always_allow_relaying,
            "AlwaysAllowRelaying",
            "the server will relay for anybody to anywhere",
        ),
        (
            c.tls.minimum < ProtocolVersion::Tls1_2,
            "TLSMinimumProtocol",
            "TLS 1.0 and 1.1 are broken (RFC 8996); TLSv1.2 is safe",
        ),
    ] {
        if weak {
            v.note(NoteClass::Unsafe, name, text);
        }
    }
    if auth
        .trusted_peers
        .iter()
        .any(|peer| matches!(peer, crate::auth::TrustedPeer::Network(n) if n.prefix == 0))
    {
        v.note(
            NoteClass::Unsafe,
            "TrustedPeers",
            "a network with the prefix 0 trusts the whole Internet",
        );
    }
    if c.engine
        .proxy_sources
        .iter()
        .any(|network| network.prefix == 0)
    {
        v.note(
            NoteClass::Unsafe,
            "ProxyProtocolSources",
            "with the prefix 0 anybody may claim any address",
        );
    }
    let deadlines = &c.engine.deadlines;
    for (deadline, name) in [
        (deadlines.handshake, "HandshakeTimeout"),
        (deadlines.first_message, "FirstMessageTimeout"),
        (deadlines.partial_message, "PartialMessageTimeout"),
        (deadlines.idle, "IdleTimeout"),
        (deadlines.write, "WriteTimeout"),
        (deadlines.drain, "DrainTimeout"),
    ] {
        if deadline.is_zero() {
            v.note(
                NoteClass::Unsafe,
                name,
                "0: a peer may hold its connection for ever",
            );
        }
    }
}
