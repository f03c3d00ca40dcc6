//! Raw settings into each room's options.
//!
//! Values have been held against their kinds before, so that a wrong one here means its default: the error has been
//! reported. What is checked here is what one setting says about another.

mod callout;
mod client_role;
mod dns;
mod listeners;
mod paths;
mod relay;
mod revocation;
mod rooms;
mod stores;
mod values;

use std::path::Path;

use super::file::RawSettings;
use super::{ConfigError, Configuration, Note, NoteClass, SettingsMade};
use crate::auth::{Algorithm, IdentityRules, TokenSecret};
use crate::tls::{ClientVerification, ProtocolVersion};
use crate::transport::ListenerOptions;
use paths::Paths;
pub(super) use paths::working_directory;
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
        if let Some(tls) = listener.kind.tls() {
            let ours = std::iter::once(&tls.domain).chain(tls.sni_domains.iter().flatten());
            for domain in ours.filter(|domain| !domain.is_empty()) {
                if !auth.domains.contains(domain) {
                    auth.domains.push(domain.clone());
                }
            }
        }
    }
    let instead = |listener: &ListenerOptions| {
        let number = listener.setting.strip_suffix("Interface")?;
        let name = format!("{number}CertificateInsteadOfDigest");
        v.find(&name).map(|_| v.bool(&name))
    };
    auth.certificate_instead.listeners = listeners.iter().map(instead).collect();
    let client_role = client_role::client_role(&mut v, &paths, &tls, &auth);
    let registrar = rooms::registrar(&mut v);
    let proxy = rooms::proxy(&mut v);
    let relay = relay::relay(&mut v, &listeners);
    let tables = rooms::tables(&mut v);
    let resolver = dns::resolver(&mut v, &listeners);
    let engine = rooms::engine(&mut v);
    let logging = rooms::logging(&mut v, &paths);
    let process = rooms::process(&mut v, &paths);
    let store = stores::stores(&mut v, &paths);
    let control = rooms::control(&mut v, &paths, &store);
    let mut configuration = Configuration {
        file: paths.file().to_owned(),
        tls,
        client_role,
        auth,
        registrar,
        proxy,
        relay,
        tables,
        resolver,
        engine,
        listeners,
        logging,
        process,
        store,
        control,
        made: SettingsMade::of(settings),
        notes: Vec::new(),
    };
    weaknesses(&mut v, &configuration);
    without_effect(&mut v, &configuration);
    configuration.notes = v.into_notes();
    configuration
}

/// The algorithms of repro's `DigestChallengeAlgorithms`, for hashes of passwords; all of them if it names none.
pub(super) fn algorithms(settings: &RawSettings) -> Vec<Algorithm> {
    let mut errors = Vec::new();
    let v = Values::new(settings, &mut errors, Vec::new());
    let named: Vec<Algorithm> = v
        .list("DigestChallengeAlgorithms")
        .filter_map(Algorithm::of_name)
        .collect();
    if named.is_empty() {
        Algorithm::ALL.to_vec()
    } else {
        named
    }
}

/// The setting that names the log file.
pub(super) fn log_file(settings: &RawSettings) -> &'static str {
    rooms::log_file(|name| settings.find(name))
}

/// Says what weakens the server.
fn weaknesses(v: &mut Values<'_>, c: &Configuration) {
    let auth = &c.auth;
    if !auth.certificate_authenticator && !auth.digest.enabled {
        v.note(
            NoteClass::Unsafe,
            "DisableAuth",
            "with EnableCertificateAuthenticator off too, every From is believed",
        );
    }
    if auth.certificate_authenticator {
        for listener in &c.listeners {
            if let Some(tls) = listener.kind.tls()
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
            auth.dialog_token_secrets.iter().any(TokenSecret::is_short),
            "DialogTokenSecret",
            "a secret of fewer than 32 characters is short: whoever gets hold of a token may try guesses at it; `openssl rand \
             -base64 32` makes a good one",
        ),
        (
            !auth.third_party_requires_certificate,
            "ThirdPartyRequiresCertificate",
            "false: a From outside our domains is believed without a certificate",
        ),
        (
            auth.on_identity_lost == crate::auth::OnIdentityLost::Leave,
            "OnIdentityLost",
            "leave: a connection stays in its rights whose certificate has expired, or whose CA is not trusted any more",
        ),
        (
            auth.digest.enabled && !auth.digest.require_qop,
            "DigestRequireQop",
            "false: an answer without a nonce count can be replayed under repro's rules, and protects less of a request",
        ),
        (
            auth.digest.enabled && auth.digest.impersonation_in_dialog,
            "AllowInDialogImpersonationWithinRealm",
            "whoever writes a To tag may use every name of his domain",
        ),
        (
            auth.digest.enabled && auth.digest.max_failures_per_source == 0,
            "DigestMaximumFailuresPerSource",
            "0: passwords may be guessed as fast as the network allows",
        ),
        (
            auth.digest.enabled && auth.digest.max_failures_per_user == 0,
            "DigestMaximumFailuresPerUser",
            "0: the password of one user may be guessed from as many addresses as somebody has",
        ),
        (
            auth.digest.enabled
                && !auth.certificate_authenticator
                && !c.tables.routing.challenge_third_parties,
            "ChallengeThirdPartiesCallingLocalDomains",
            "false, with EnableCertificateAuthenticator off: a From of another domain is believed without proof",
        ),
        (
            c.proxy.keep_credentials && auth.digest.enabled,
            "NeverStripProxyAuthorizationHeaders",
            "whoever is called gets the caller's digest answer, and may guess the password from it",
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
            c.relay.fork.recursive_redirect,
            "RecursiveRedirect",
            "whoever is called may have us send the request to any other place, in our name and with our certificate",
        ),
        (
            c.relay.fork.timer_c.is_zero(),
            "TimerC",
            "0: a call that is not answered, and whose caller does not give up, is kept for ever",
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
        (deadlines.connect, "ConnectTimeout"),
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

/// Says what does nothing beside other settings.
fn without_effect(v: &mut Values<'_>, c: &Configuration) {
    let text = if !c.auth.digest.enabled {
        "it does nothing: with DisableAuth = true nobody is asked for a password"
    } else if !c.auth.certificate_authenticator {
        "it does nothing: with EnableCertificateAuthenticator off no certificate proves a From"
    } else {
        return;
    };
    let instead = &c.auth.certificate_instead;
    if instead.everywhere {
        v.note(NoteClass::Info, "CertificateInsteadOfDigest", text);
    }
    if !instead.domains.is_empty() {
        v.note(NoteClass::Info, "CertificateInsteadOfDigestDomains", text);
    }
    for (listener, decided) in c.listeners.iter().zip(&instead.listeners) {
        if let (Some(true), Some(number)) = (decided, listener.setting.strip_suffix("Interface")) {
            let name = format!("{number}CertificateInsteadOfDigest");
            v.note(NoteClass::Info, &name, text);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::num::NonZeroUsize;
    use std::path::PathBuf;
    use std::time::Duration;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::config::{Override, load};
    use crate::logging::Destination;
    use crate::tls::{CertificateFiles, EkuPolicy, ListenerTls};
    use crate::transport::ListenerKind;

    /// What every configuration needs to be served.
    const DOMAIN: &str = "TLSDomainName = example.org\n";

    fn load_text(text: &str) -> (TempDir, Result<Configuration, Vec<String>>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repro.config");
        std::fs::write(&path, text).unwrap();
        let prefix = format!("{}/", directory.path().display());
        let result = load(&path, &[]).map_err(|errors| {
            errors
                .iter()
                .map(|error| error.to_string().replace(&prefix, ""))
                .collect()
        });
        (directory, result)
    }

    fn good(text: &str) -> Configuration {
        load_text(text).1.unwrap()
    }

    fn errors(text: &str) -> Vec<String> {
        load_text(text).1.unwrap_err()
    }

    fn has_note(c: &Configuration, class: NoteClass, name: &str) -> bool {
        c.notes
            .iter()
            .any(|note| note.class == class && note.name == name)
    }

    fn tls_of(c: &Configuration) -> &ListenerTls {
        c.listeners
            .iter()
            .find_map(|listener| listener.kind.tls())
            .unwrap()
    }

    fn addresses(c: &Configuration) -> Vec<String> {
        c.listeners
            .iter()
            .map(|l| format!("{} {}", l.kind.name(), l.address))
            .collect()
    }

    #[test]
    fn all_errors_are_told_at_once_with_place_value_and_remedy() {
        assert_eq!(
            errors(
                "TLSPort = 50b1\nTLSClientVerification = Sometimes\nTLSDomainName = a\nTCPPort = 5060 # x\n"
            ),
            [
                "repro.config:1: TLSPort = \"50b1\": expected a port 1-65535, or 0 to switch TLS off",
                "repro.config:2: TLSClientVerification = \"Sometimes\": expected None, Optional or Mandatory",
                "repro.config:4: TCPPort = \"5060 # x\": expected a port 1-65535, or 0 to switch TCP off; remove \
                 \"# x\" (a comment needs a line of its own)",
            ]
        );
    }

    #[test]
    fn settings_that_cannot_be_served_are_refused() {
        for (text, expected) in [
            (
                "",
                "repro.config: TLSDomainName: missing: a TLS port without a domain cannot serve anybody; name the \
                 domain of TLSPort here, or set TLSPort = 0",
            ),
            (
                "TLSConnectionMethod = TLSv1_3",
                "repro.config:2: TLSConnectionMethod = \"TLSv1_3\": expected SSLv23 or TLSv1",
            ),
            (
                "EnableCertificateAuthenticator =",
                "repro.config:2: EnableCertificateAuthenticator = \"\": expected true or false",
            ),
            (
                "TLSPort = 0\nTCPPort = 0\nUDPPort = 0",
                "repro.config:2: TLSPort: there is nothing to listen on: no UDP, TCP or TLS listener is configured",
            ),
            (
                "EnableIPv6 = false\nDisableIPv4 = true",
                "repro.config:3: DisableIPv4: true: with EnableIPv6 = false there is no address to listen on",
            ),
            (
                "TCPPort = 5061",
                "repro.config: TLSPort: 0.0.0.0:5061 is the address of TCPPort already; give one of them another port",
            ),
            (
                "TLSCertificate = a.pem b.pem\nTLSPrivateKey = a.key",
                "repro.config:3: TLSPrivateKey: 1 file but 2 files in TLSCertificate; each certificate needs its key, \
                 in the same order",
            ),
            (
                "TLSMinimumProtocol = 1.3\nTLSMaximumProtocol = 1.2",
                "repro.config:3: TLSMaximumProtocol: older than TLSMinimumProtocol (TLSv1.3)",
            ),
            (
                "RegistrationMinimumExpires = 90000",
                "repro.config: RegistrationMaximumExpires: shorter than RegistrationMinimumExpires (90000)",
            ),
            (
                "Transport1 = x",
                "repro.config:2: Transport1: a name ends after its number; expected one as Transport1Interface",
            ),
            (
                "Transport1Type = TCP",
                "repro.config: Transport1Interface: missing: other settings of this listener are there; say where it \
                 listens, as 192.0.2.1:5061",
            ),
            (
                "Transport1Interface = 127.0.0.1:5061\nTransport1Type = SCTP",
                "repro.config:3: Transport1Type = \"SCTP\": expected UDP, TCP, TLS, DTLS, WS or WSS",
            ),
            (
                "Transport1Interface = 127.0.0.1:5061\nTransport1Type = TLS",
                "repro.config: Transport1TlsDomain: missing: a TLS port without a domain cannot serve anybody; name \
                 the domain of Transport1Interface here",
            ),
            (
                "DialogTokenSecret = long-enough-to-be-one, too-short",
                "repro.config:2: DialogTokenSecret: a secret of fewer than 16 characters can be guessed (a comma or blank \
                 ends one); `openssl rand -base64 32` makes a good one",
            ),
            (
                "Transport1Interface = 127.0.0.1:5060\nTransport1Type = WS",
                "repro.config: Transport<N>Type: there is nothing to listen on: no UDP, TCP or TLS listener is configured",
            ),
        ] {
            let text = if text.is_empty() {
                String::new()
            } else {
                format!("{DOMAIN}{text}\n")
            };
            let errors = errors(&text);
            assert_eq!(
                errors.first().map(String::as_str),
                Some(expected),
                "{text}: {errors:#?}"
            );
        }
    }

    #[test]
    fn old_installations_start_as_they_are() {
        for text in [
            // Keys that Debian's sample has empty.
            "IPAddress =\nTLSCertificate =\nTLSPrivateKey =\nTLSPrivateKeyPassPhrase =\nDNSServers =\nRegSyncPeer =\n\
             CertificatePath =\nDomains =\nRecordRouteUri =\nEnumSuffixes =\nEnumDomains =\nStaticRealm =\n\
             HttpHostname =\nRequestFilterDefaultNoMatchBehavior =\nRoutes =\nMessageSiloDestFilterRegex =\n",
            "AssumePath = false\nHttpAdminPassword = admin\nNoSuchSetting = 1\n",
            "HttpPort = 0\nCommandPort = 0\nWSPort = 0\n",
            "HttpPort = 5080 # what has no effect does no harm\n",
            "enablecertificateauthenticator = YES\ntlsport = 5061\n",
            "TLSConnectionMethod = TLSv1\n",
        ] {
            good(&format!("{DOMAIN}{text}"));
        }
    }

    #[test]
    fn simple_ports_listen_on_each_family_that_is_on() {
        for (text, expected) in [
            (
                "",
                &[
                    "udp 0.0.0.0:5060",
                    "udp [::]:5060",
                    "tcp 0.0.0.0:5060",
                    "tcp [::]:5060",
                    "tls 0.0.0.0:5061",
                    "tls [::]:5061",
                ][..],
            ),
            (
                "EnableIPv6 = false",
                &["udp 0.0.0.0:5060", "tcp 0.0.0.0:5060", "tls 0.0.0.0:5061"],
            ),
            (
                "DisableIPv4 = true\nTCPPort =\nUDPPort =",
                &["tls [::]:5061"],
            ),
            (
                "IPAddress = 127.0.0.1\nUDPPort = 5070\nTLSPort = 5071",
                &[
                    "udp 127.0.0.1:5070",
                    "tcp 127.0.0.1:5060",
                    "tls 127.0.0.1:5071",
                ],
            ),
            (
                "IPAddress = ::1\nTCPPort = 0",
                &["udp [::1]:5060", "tls [::1]:5061"],
            ),
        ] {
            assert_eq!(
                addresses(&good(&format!("{DOMAIN}{text}"))),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn numbered_transports_put_the_simple_ports_out_of_use_and_come_in_order() {
        let c = good(
            "TLSPort = 5061\nTLSClientVerification = Mandatory\nTLSPrivateKeyPassPhrase = general\n\
             Transport10Interface = 127.0.0.1:5080\nTransport10Type = tls\nTransport10TlsDomain = B.example\n\
             Transport10TlsClientVerification = Optional\nTransport10TlsPrivateKeyPassPhrase = own\n\
             Transport02Interface = [::1]:5070\nTransport2Type = TLS\nTransport2TlsDomain = a.example\n\
             Transport3Interface = 127.0.0.1:5060\nTransport3RcvBufLen = 1000000\n\
             Transport4Interface = 127.0.0.1:5060\nTransport4Type = TCP\nTransport4RcvBufLen = 1000000\n\
             Transport5Interface = 127.0.0.1:5090\nTransport5Type = WS\n",
        );
        assert_eq!(
            addresses(&c),
            [
                "tls [::1]:5070",
                "udp 127.0.0.1:5060",
                "tcp 127.0.0.1:5060",
                "tls 127.0.0.1:5080"
            ]
        );
        let buffer = c.listeners[1].kind.receive_buffer();
        assert_eq!(buffer.map(NonZeroUsize::get), Some(1_000_000));
        assert!(has_note(&c, NoteClass::Info, "Transport4RcvBufLen"));
        assert_eq!(c.listeners[0].setting, "Transport2Interface");
        let ListenerKind::Tls(second) = &c.listeners[0].kind else {
            panic!()
        };
        let ListenerKind::Tls(tenth) = &c.listeners[3].kind else {
            panic!()
        };
        // repro ignored the general setting, and asked nobody.
        assert_eq!(second.verification, ClientVerification::Mandatory);
        assert!(has_note(
            &c,
            NoteClass::Info,
            "Transport2TlsClientVerification"
        ));
        assert_eq!(tenth.verification, ClientVerification::Optional);
        assert_eq!(tenth.domain, "b.example");
        assert_eq!(tenth.pass_phrase.as_ref().unwrap().as_bytes(), b"own");
        assert_eq!(second.pass_phrase.as_ref().unwrap().as_bytes(), b"general");
        assert_eq!(c.auth.domains, ["a.example", "b.example"]);
        assert!(has_note(&c, NoteClass::NotYet, "Transport5Type"));
        assert!(has_note(&c, NoteClass::Info, "TLSPort"));
        assert!(
            !has_note(&c, NoteClass::Info, "UDPPort"),
            "nobody asked for it"
        );
    }

    #[test]
    fn certificates_and_keys_are_paired_and_the_missing_one_has_its_legacy_name() {
        let (directory, c) = load_text(&format!(
            "{DOMAIN}TLSCertificate = r.pem, e.pem\nTLSPrivateKey = r.key, e.key\n"
        ));
        let pairs = tls_of(&c.unwrap()).certificates.clone();
        let names: Vec<_> = pairs
            .iter()
            .map(|CertificateFiles { chain, key }| {
                assert!(chain.is_absolute() && key.is_absolute());
                (
                    chain.file_name().unwrap().to_owned(),
                    key.file_name().unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(
            names,
            [
                ("r.pem".into(), "r.key".into()),
                ("e.pem".into(), "e.key".into())
            ]
        );
        drop(directory);
        let c = good(&format!(
            "{DOMAIN}TLSCertificate = /x/r.pem\nCertificatePath = /y\n"
        ));
        let pair = CertificateFiles {
            chain: PathBuf::from("/x/r.pem"),
            key: PathBuf::from("/y/domain_key_example.org.pem"),
        };
        assert_eq!(tls_of(&c).certificates, [pair]);
    }

    #[test]
    fn relative_name_is_looked_for_beside_the_configuration_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repro.config");
        std::fs::create_dir(directory.path().join("certs")).unwrap();
        let text = "CertificatePath = certs\nCommonNameMappings = no-such.txt\nLoggingType = file\n\
                    LogFilename = repro.log\nPidFile = x.pid\n";
        std::fs::write(&path, format!("{DOMAIN}{text}")).unwrap();
        let c = load(&path, &[]).unwrap();
        let working = std::env::current_dir().unwrap();
        assert_eq!(c.tls.certificate_path, Some(directory.path().join("certs")));
        assert_eq!(c.auth.mappings_file, Some(working.join("no-such.txt")));
        assert_eq!(
            c.logging.destination,
            Destination::File(directory.path().join("repro.log"))
        );
        assert_eq!(c.process.pid_file, Some(working.join("x.pid")));
        let elsewhere = Override {
            name: "LogFilename".to_owned(),
            value: "log/x.log".to_owned(),
        };
        let c = load(&path, &[elsewhere]).unwrap();
        assert_eq!(
            c.logging.destination,
            Destination::File(working.join("log/x.log"))
        );
    }

    #[test]
    fn client_purpose_follows_the_rules_unless_it_is_set() {
        for (text, expected) in [
            ("", EkuPolicy::Rfc5924),
            ("IdentityRules = repro", EkuPolicy::ClientAuth),
            ("IdentityRules = report", EkuPolicy::Rfc5924),
            (
                "IdentityRules = repro\nClientCertificateEku = rfc5924",
                EkuPolicy::Rfc5924,
            ),
            ("ClientCertificateEku = sipdomain", EkuPolicy::SipDomain),
            (
                "ClientCertificateEku = noserverauth",
                EkuPolicy::NoServerAuth,
            ),
        ] {
            assert_eq!(
                tls_of(&good(&format!("{DOMAIN}{text}"))).eku,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn domains_are_those_listed_and_those_of_our_certificates_once_each() {
        let c = good(
            "TLSDomainName = Example.ORG\nDomains = b.example, example.org. B.example\nTLSSniDomains = c.example\n",
        );
        assert_eq!(c.auth.domains, ["b.example", "example.org", "c.example"]);
        assert_eq!(
            tls_of(&c).sni_domains.as_deref(),
            Some(&["c.example".to_owned()][..])
        );
        assert_eq!(tls_of(&good(DOMAIN)).sni_domains, None);
        assert_eq!(
            tls_of(&good(&format!("{DOMAIN}TLSSniDomains =\n")))
                .sni_domains
                .as_deref(),
            Some(&[][..])
        );
    }

    #[test]
    fn idle_time_is_ours_then_repros_then_two_hours() {
        for (text, seconds) in [
            ("", 7200),
            ("TCPConnectionGCAge = 0", 7200),
            ("TCPConnectionGCAge = 100", 100),
            ("TCPConnectionGCAge = 100\nIdleTimeout = 50", 50),
            ("IdleTimeout = 0", 0),
        ] {
            let c = good(&format!("{DOMAIN}{text}"));
            assert_eq!(
                c.engine.deadlines.idle,
                Duration::from_secs(seconds),
                "{text}"
            );
        }
    }

    #[test]
    fn limit_of_messages_that_is_zero_is_ours() {
        assert_eq!(good(DOMAIN).engine.limits.body_bytes, 65_536);
        assert_eq!(
            good(&format!("{DOMAIN}StreamMessageSizeLimit = 100"))
                .engine
                .limits
                .body_bytes,
            100
        );
    }

    #[test]
    fn secrets_of_tokens_are_as_many_as_there_are_and_shown_nowhere() {
        let text = "DialogTokenSecret = a-new-secret-of-thirty-two-chars, an-old-secret-of-thirty-two-char\n";
        let c = good(&format!("{DOMAIN}{text}"));
        assert_eq!(c.auth.dialog_token_secrets.len(), 2);
        assert!(!has_note(&c, NoteClass::Unsafe, "DialogTokenSecret"));
        assert!(!format!("{c:?}").contains("thirty-two"));
        assert!(good(DOMAIN).auth.dialog_token_secrets.is_empty());
    }

    #[test]
    fn what_weakens_the_server_is_told() {
        for (text, name) in [
            ("DisableAuth = true", "DisableAuth"),
            (
                "EnableCertificateAuthenticator = true",
                "TLSClientVerification",
            ),
            ("IdentityRules = repro", "IdentityRules"),
            ("IdentityRules = report", "IdentityRules"),
            (
                "AllowWildcardCertificates = true",
                "AllowWildcardCertificates",
            ),
            ("TLSUseEmailAsSIP = true", "TLSUseEmailAsSIP"),
            (
                "ThirdPartyRequiresCertificate = false",
                "ThirdPartyRequiresCertificate",
            ),
            (
                "CommonNameMappingsIgnoreBadLines = true",
                "CommonNameMappingsIgnoreBadLines",
            ),
            ("AlwaysAllowRelaying = true", "AlwaysAllowRelaying"),
            ("DialogTokenSecret = sixteen-or-more-", "DialogTokenSecret"),
            ("TLSMinimumProtocol = 1.0", "TLSMinimumProtocol"),
            ("TrustedPeers = 0.0.0.0/0", "TrustedPeers"),
            ("ProxyProtocolSources = ::/0", "ProxyProtocolSources"),
            ("RecursiveRedirect = true", "RecursiveRedirect"),
            ("TimerC = 0", "TimerC"),
            ("TimerC =", "TimerC"),
            ("RecordRouteUri = sip:example.org", "RecordRouteUri"),
            ("ConnectTimeout = 0", "ConnectTimeout"),
            ("HandshakeTimeout = 0", "HandshakeTimeout"),
            ("WriteTimeout =", "WriteTimeout"),
            (
                "DigestMaximumFailuresPerSource = 0",
                "DigestMaximumFailuresPerSource",
            ),
            (
                "DigestMaximumFailuresPerUser = 0",
                "DigestMaximumFailuresPerUser",
            ),
            (
                "ChallengeThirdPartiesCallingLocalDomains = false",
                "ChallengeThirdPartiesCallingLocalDomains",
            ),
        ] {
            let c = good(&format!("{DOMAIN}{text}"));
            assert!(
                has_note(&c, NoteClass::Unsafe, name),
                "{text}: {:#?}",
                c.notes
            );
            assert_eq!(
                c.notes[0].class,
                NoteClass::Unsafe,
                "{text}: it comes first"
            );
        }
        let safe = "EnableCertificateAuthenticator = true\nTLSClientVerification = Optional\n";
        let c = good(&format!("{DOMAIN}{safe}"));
        assert!(
            !c.notes.iter().any(|note| note.class == NoteClass::Unsafe),
            "{:#?}",
            c.notes
        );
    }

    #[test]
    fn what_has_no_effect_is_told_and_what_is_off_is_not() {
        let c = good(&format!(
            "{DOMAIN}WSPort = 0\nHttpPort = 5080\nMessageSiloEnabled = false\nQValue = true\n\
             LoadBalanceEqualDistantTargets = true\nThreadedStack = false\nEnableCertificateAuthenticater = true\nDatabase1Type = MySQL\nDatabase1Password = s3cret\n"
        ));
        for (class, name, told) in [
            (NoteClass::NotYet, "WSPort", false),
            // On by default in repro.
            (NoteClass::NotYet, "WSSPort", true),
            (NoteClass::NotYet, "DisableAuth", false),
            (NoteClass::NotYet, "HttpPort", true),
            (NoteClass::NotYet, "MessageSiloEnabled", false),
            (NoteClass::NotYet, "QValue", false),
            // Its default, and yet not acted on.
            (NoteClass::NotYet, "LoadBalanceEqualDistantTargets", true),
            // Nothing names data base 1.
            (NoteClass::Replaced, "Database1Type", true),
            (NoteClass::Replaced, "Database1Password", true),
            (NoteClass::Replaced, "ThreadedStack", true),
            (NoteClass::Unknown, "EnableCertificateAuthenticater", true),
        ] {
            assert_eq!(has_note(&c, class, name), told, "{name}: {:#?}", c.notes);
        }
        let text: String = c.notes.iter().map(|note| format!("{note}\n")).collect();
        assert!(
            text.contains("did you mean EnableCertificateAuthenticator?"),
            "{text}"
        );
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[test]
    fn a_certificate_instead_of_a_password_needs_both_or_does_nothing() {
        let by_all = [
            ("CertificateInsteadOfDigest", "true"),
            ("CertificateInsteadOfDigestDomains", "example.org"),
            ("Transport1CertificateInsteadOfDigest", "true"),
        ];
        let listener = "Transport1Interface = 127.0.0.1:5071\nTransport1Type = TLS\nTransport1TlsDomain = example.org\n\
                        TLSClientVerification = Optional\n";
        for (situation, settings, told) in [
            ("both", "EnableCertificateAuthenticator = true\n", false),
            (
                "passwords",
                "EnableCertificateAuthenticator = false\n",
                true,
            ),
            (
                "certificates",
                "EnableCertificateAuthenticator = true\nDisableAuth = true\n",
                true,
            ),
            ("neither", "DisableAuth = true\n", true),
        ] {
            for (name, value) in by_all {
                let c = good(&format!("{DOMAIN}{listener}{settings}{name} = {value}\n"));
                let found = has_note(&c, NoteClass::Info, name);
                assert_eq!(found, told, "{name} with {situation}: {:#?}", c.notes);
            }
            let c = good(&format!(
                "{DOMAIN}{listener}{settings}CertificateInsteadOfDigest = false\n"
            ));
            let found = has_note(&c, NoteClass::Info, "CertificateInsteadOfDigest");
            assert!(!found, "off, with {situation}");
        }
    }

    #[test]
    fn third_parties_are_believed_without_proof_only_where_nobody_asks() {
        for (settings, told) in [
            ("", true),
            ("EnableCertificateAuthenticator = true\n", false),
            ("DisableAuth = true\n", false),
        ] {
            let name = "ChallengeThirdPartiesCallingLocalDomains";
            let c = good(&format!("{DOMAIN}{settings}{name} = false\n"));
            let found = has_note(&c, NoteClass::Unsafe, name);
            assert_eq!(found, told, "{settings}: {:#?}", c.notes);
        }
    }

    #[test]
    fn arbitrary_text_is_judged_without_a_panic() {
        let names: Vec<String> = crate::config::settings::all()
            .map(|row| row.name.replace("<N>", "0"))
            .collect();
        proptest!(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }, |(
            lines in proptest::collection::vec((0..names.len(), "[ -~\t\u{e9}]{0,20}|[0-9]{0,30}|-?[0-9:./\\[\\]]{0,20}"), 0..20),
            odd in "[ -~\n\t]{0,80}",
        )| {
            let mut text: String =
                lines.iter().map(|(at, value)| format!("{} = {value}\n", names[*at])).collect();
            text.push_str(&odd);
            let told = match crate::config::load_text(text.as_bytes()) {
                Ok(c) => c.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                Err(errors) => errors.iter().map(ToString::to_string).collect(),
            };
            prop_assert!(told.iter().all(|line| !line.contains('\n')));
        });
    }

    #[test]
    fn old_method_offers_modern_versions_and_says_so() {
        let c = good(&format!("{DOMAIN}TLSConnectionMethod = TLSv1\n"));
        assert_eq!(
            (c.tls.minimum, c.tls.maximum),
            (ProtocolVersion::Tls1_2, ProtocolVersion::Tls1_3)
        );
        assert!(has_note(&c, NoteClass::Replaced, "TLSConnectionMethod"));
    }

    #[test]
    fn log_level_has_repros_names_and_its_old_setting() {
        for (text, expected) in [
            ("", log::LevelFilter::Info),
            ("LogLevel = NONE", log::LevelFilter::Off),
            ("LogLevel = crit", log::LevelFilter::Error),
            ("LogLevel = LOG_WARNING", log::LevelFilter::Warn),
            ("LogLevel = STACK", log::LevelFilter::Trace),
            ("LogLevel =\nLoggingLevel = DEBUG", log::LevelFilter::Debug),
            (
                "LogLevel = ERR\nLoggingLevel = DEBUG",
                log::LevelFilter::Error,
            ),
        ] {
            assert_eq!(
                good(&format!("{DOMAIN}{text}")).logging.level,
                expected,
                "{text}"
            );
        }
    }
}
