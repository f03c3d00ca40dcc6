//! The options of each room but the listeners.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use log::LevelFilter;

use super::super::file::RawSetting;
use super::super::{NoteClass, value};
use super::callout::callout;
use super::revocation::revocation;
use super::{Paths, Values};
use crate::admin::ControlOptions;
use crate::auth::{
    Algorithm, AuthOptions, CertificateInstead, DigestOptions, Field, IdentityRules,
    OnIdentityLost, PhoneProfile, PhoneProfiles, TokenSecret,
};
use crate::logging::{Destination, Facility, LoggingOptions, Structure};
use crate::process::ProcessOptions;
use crate::proxy::{
    Audit, FilterOptions, Forking, ProxyOptions, RoutingOptions, Ruling, SiloOptions, TableOptions,
};
use crate::registrar::{OutboundOptions, RegistrarOptions};
use crate::sip::{FrameLimits, StatusCode};
use crate::store::{Backend, StoreOptions};
use crate::tls::{PassPhrase, ProtocolVersion, TlsOptions};
use crate::transaction::{Timers, TransactionOptions};
use crate::transport::{
    CongestionMetric, CongestionOptions, Deadlines, EngineOptions, OutgoingOptions,
};

/// Largest body of a message when `StreamMessageSizeLimit` is 0. repro: ten million, per connection.
const DEFAULT_BODY_BYTES: usize = 65_536;

pub(super) fn tls(v: &mut Values<'_>, paths: &Paths) -> TlsOptions {
    let minimum = version(v.choice("TLSMinimumProtocol"));
    let maximum = version(v.choice("TLSMaximumProtocol"));
    if minimum > maximum {
        v.fault(
            "TLSMaximumProtocol",
            format!(
                "older than TLSMinimumProtocol ({})",
                v.choice("TLSMinimumProtocol")
            ),
        );
    }
    let methods: Vec<String> = v
        .all()
        .map(|raw| raw.name.clone())
        .filter(|name| name.to_ascii_lowercase().ends_with("tlsconnectionmethod"))
        .filter(|name| v.choice(name) == "TLSv1")
        .collect();
    for name in methods {
        v.note(
            NoteClass::Replaced,
            &name,
            "TLSv1 was TLS 1.0 alone in repro; here every version from TLSMinimumProtocol to TLSMaximumProtocol is \
             offered",
        );
    }
    TlsOptions {
        certificate_path: match v.some_text("CertificatePath") {
            Some(path) => Some(paths.input(path)),
            None => Paths::home_certificates(),
        },
        ca_directories: v
            .list("CADirectory")
            .map(|path| paths.input(path))
            .collect(),
        ca_files: v.list("CAFile").map(|path| paths.input(path)).collect(),
        pass_phrase: v.some_text("TLSPrivateKeyPassPhrase").map(PassPhrase::new),
        dh_params: v
            .some_text("TlsDHParamsFilename")
            .map(|path| paths.input(path)),
        cipher_list: v.text("OpenSSLCipherList").to_owned(),
        cipher_suites: v.some_text("TLSCipherSuites").map(str::to_owned),
        groups: v.some_text("TLSGroups").map(str::to_owned),
        minimum,
        maximum,
        set_options: v
            .find("OpenSSLCTXSetOptions")
            .map(|_| v.list("OpenSSLCTXSetOptions").map(str::to_owned).collect()),
        clear_options: v
            .list("OpenSSLCTXClearOptions")
            .map(str::to_owned)
            .collect(),
        verify_depth: v.number("TLSVerifyDepth"),
        session_tickets: v.bool("TLSSessionTickets"),
        session_lifetime: v.number("TLSSessionLifetime"),
        verified_chain_cache: v.number("VerifiedChainCacheSize"),
        revocation: revocation(v, paths),
    }
}

pub(super) fn version(word: &str) -> ProtocolVersion {
    match word {
        "TLSv1.0" => ProtocolVersion::Tls1,
        "TLSv1.1" => ProtocolVersion::Tls1_1,
        "TLSv1.3" => ProtocolVersion::Tls1_3,
        _ => ProtocolVersion::Tls1_2,
    }
}

pub(super) fn auth(v: &mut Values<'_>, paths: &Paths) -> AuthOptions {
    let rules = match v.choice("IdentityRules") {
        "report" => IdentityRules::Report,
        "repro" => IdentityRules::Repro,
        _ => IdentityRules::Secure,
    };
    let mut domains = Vec::new();
    for domain in v
        .list("Domains")
        .filter_map(|domain| value::domain(domain).ok())
    {
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    AuthOptions {
        certificate_authenticator: v.bool("EnableCertificateAuthenticator"),
        digest: digest(v, rules),
        certificate_instead: CertificateInstead {
            everywhere: v.bool("CertificateInsteadOfDigest"),
            domains: v
                .list("CertificateInsteadOfDigestDomains")
                .filter_map(|domain| value::domain(domain).ok())
                .collect(),
            // Listeners have not been read yet.
            listeners: Vec::new(),
        },
        on_identity_lost: match v.choice("OnIdentityLost") {
            "refuse" => OnIdentityLost::Refuse,
            "leave" => OnIdentityLost::Leave,
            _ => OnIdentityLost::Close,
        },
        register_challenge: match v.choice("RegisterChallengeStatus") {
            "401" => Some(Field::Www),
            "407" => Some(Field::Proxy),
            _ => None,
        },
        rules,
        mappings_file: v
            .some_text("CommonNameMappings")
            .map(|path| paths.input(path)),
        mappings_ignore_bad_lines: v.bool("CommonNameMappingsIgnoreBadLines"),
        mappings_reload: v.bool("CommonNameMappingsReload"),
        callout: callout(v, paths),
        rights_file: v.some_text("CARights").map(|path| paths.input(path)),
        email_as_sip: v.bool("TLSUseEmailAsSIP"),
        allow_wildcards: v.bool("AllowWildcardCertificates"),
        phones: phones(v),
        trusted_peers: v
            .list("TrustedPeers")
            .filter_map(|item| value::peer(item).ok())
            .collect(),
        third_party_requires_certificate: v.bool("ThirdPartyRequiresCertificate"),
        dialog_token_secrets: dialog_token_secrets(v),
        domains,
        domain_suffixes: v
            .list("DomainSuffixes")
            .filter_map(|domain| value::domain(domain).ok())
            .collect(),
    }
}

/// The profiles of phones; `generic` is what holds without any.
fn phones(v: &mut Values<'_>) -> PhoneProfiles {
    let name = "PhoneProfile";
    let mut profiles = PhoneProfiles::NONE;
    for word in v.list(name).collect::<Vec<_>>() {
        let known = PhoneProfile::ALL
            .into_iter()
            .find(|own| own.word().eq_ignore_ascii_case(word));
        match known {
            Some(profile) => profiles = profiles.with(profile),
            None if word.eq_ignore_ascii_case("generic") => {}
            None => {
                let all: Vec<_> = PhoneProfile::ALL
                    .into_iter()
                    .map(PhoneProfile::word)
                    .collect();
                v.fault(
                    name,
                    format!("{word:?}: expected generic, {}", all.join(", ")),
                );
            }
        }
    }
    profiles
}

fn digest(v: &mut Values<'_>, rules: IdentityRules) -> DigestOptions {
    let name = "DigestChallengeAlgorithms";
    let mut algorithms = Vec::new();
    for word in v.list(name) {
        match Algorithm::of_name(word) {
            Some(algorithm) if !algorithms.contains(&algorithm) => algorithms.push(algorithm),
            Some(_) => {}
            None => {
                let fault =
                    format!("{word:?} is no algorithm; expected MD5, SHA-256 or SHA-512-256");
                v.fault(name, fault);
            }
        }
    }
    if algorithms.is_empty() {
        algorithms.push(Algorithm::Md5);
    }
    let enabled = !v.bool("DisableAuth");
    if enabled && algorithms == [Algorithm::Md5] {
        v.note(
            NoteClass::Info,
            name,
            "MD5 is the only algorithm of passwords; `SHA-256, MD5` lets phones choose a better one (RFC 8760)",
        );
    }
    let require = "DigestRequireQop";
    let legacy = rules == IdentityRules::Repro;
    let realm = v.some_text("StaticRealm").map(str::to_owned);
    if realm
        .as_deref()
        .is_some_and(|realm| realm.chars().any(char::is_control))
    {
        v.fault("StaticRealm", "a control character cannot stand in a realm");
    }
    DigestOptions {
        enabled,
        algorithms,
        static_realm: realm,
        auth_int: !v.bool("DisableAuthInt"),
        require_qop: v.bool(require) && !(legacy && v.find(require).is_none()),
        nonce_lifetime: v.number("DigestNonceLifetime"),
        bind_source: v.bool("DigestNonceBindSource"),
        legacy,
        reject_bad_nonces: v.bool("RejectBadNonces"),
        impersonation_in_dialog: v.bool("AllowInDialogImpersonationWithinRealm"),
        max_failures_per_source: v.number("DigestMaximumFailuresPerSource"),
        max_failures_per_user: v.number("DigestMaximumFailuresPerUser"),
    }
}

fn dialog_token_secrets(v: &mut Values<'_>) -> Vec<TokenSecret> {
    let name = "DialogTokenSecret";
    let secrets: Vec<_> = v.list(name).map(TokenSecret::new).collect();
    if secrets.iter().any(Option::is_none) {
        let fault = format!(
            "a secret of fewer than {} characters can be guessed (a comma or blank ends one); `openssl rand -base64 32` makes \
             a good one",
            TokenSecret::MIN_OCTETS
        );
        v.fault(name, fault);
    }
    secrets.into_iter().flatten().collect()
}

pub(super) fn registrar(v: &mut Values<'_>) -> RegistrarOptions {
    let options = RegistrarOptions {
        enabled: !v.bool("DisableRegistrar"),
        allow_to_tag: v.bool("AllowBadReg"),
        min_expires: v.number("RegistrationMinimumExpires"),
        max_expires: v.number("RegistrationMaximumExpires"),
        default_expires: v.number("RegistrationDefaultExpires"),
        max_contacts: positive(v, "RegistrationMaximumContacts"),
        max_total: positive(v, "RegistrationMaximumTotal"),
        outbound: outbound(v),
    };
    if options.min_expires > options.max_expires {
        let fault = format!(
            "shorter than RegistrationMinimumExpires ({})",
            options.min_expires
        );
        v.fault("RegistrationMaximumExpires", fault);
    } else if options.default_expires > options.max_expires
        || options.default_expires < options.min_expires
    {
        let fault = format!(
            "expected a number from RegistrationMinimumExpires ({}) to RegistrationMaximumExpires ({})",
            options.min_expires, options.max_expires
        );
        v.fault("RegistrationDefaultExpires", fault);
    }
    options
}

fn outbound(v: &mut Values<'_>) -> OutboundOptions {
    let name = "AssumeFirstHopSupportsFlowTokens";
    if v.find(name).is_some() && !v.bool(name) {
        v.note(
            NoteClass::Info,
            name,
            "false changes nothing: a registration that came through another proxy without a Path is reached over the \
             connection of that proxy",
        );
    }
    let timer = v.number("FlowTimer");
    let idle: u32 = v.number("IdleTimeout");
    if timer > 0 && idle > 0 && timer >= idle {
        v.note(
            NoteClass::Unsafe,
            "FlowTimer",
            "not shorter than IdleTimeout: connections of phones that keep to it are closed between two keep-alives",
        );
    }
    OutboundOptions {
        enabled: !v.bool("DisableOutbound"),
        assume_edge: v.bool("AssumeFirstHopSupportsOutbound"),
        flow_timer: timer,
    }
}

pub(super) fn proxy(v: &mut Values<'_>) -> ProxyOptions {
    ProxyOptions {
        server_text: v.some_text("ServerText").map(str::to_owned),
        always_allow_relaying: v.bool("AlwaysAllowRelaying"),
        audit: match (v.some_text("AuditLog"), v.bool("AuditAdmitted")) {
            (None, _) => Audit::Off,
            (Some(_), false) => Audit::Refusals,
            (Some(_), true) => Audit::All,
        },
        asserted_identity: v.bool("EnablePAssertedIdentityProcessing"),
        keep_credentials: v.bool("NeverStripProxyAuthorizationHeaders"),
    }
}

pub(super) fn tables(v: &mut Values<'_>) -> TableOptions {
    let status = |name: &str| StatusCode::new(v.number(name));
    let silo = SiloOptions {
        enabled: v.bool("MessageSiloEnabled"),
        dest_filter: v.text("MessageSiloDestFilterRegex").to_owned(),
        mime_filter: v.text("MessageSiloMimeTypeFilterRegex").to_owned(),
        expiration_seconds: v.integer("MessageSiloExpirationTime"),
        add_date: v.bool("MessageSiloAddDateHeader"),
        max_content_bytes: v.number("MessageSiloMaxContentLength"),
        success: status("MessageSiloSuccessStatusCode").unwrap_or(StatusCode::ACCEPTED),
        filtered_mime: status("MessageSiloFilteredMimeTypeStatusCode"),
        failure: status("MessageSiloFailureStatusCode")
            .unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE),
        max_per_user: v.integer("MessageSiloMaximumPerUser"),
        max_total: v.integer("MessageSiloMaximumTotal"),
    };
    for name in [
        "MessageSiloSuccessStatusCode",
        "MessageSiloFailureStatusCode",
    ] {
        if v.number::<u16>(name) < 200 {
            v.fault(name, "expected the status of a final answer, 200 to 699");
        }
    }
    if matches!(
        v.number::<u16>("MessageSiloFilteredMimeTypeStatusCode"),
        1..200
    ) {
        let fault = "expected the status of a final answer, 200 to 699, or 0";
        v.fault("MessageSiloFilteredMimeTypeStatusCode", fault);
    }
    for name in [
        "RequestFilterDefaultNoMatchBehavior",
        "RequestFilterDefaultDBErrorBehavior",
    ] {
        let text = v.text(name);
        if !text.is_empty() && Ruling::parse(text).is_none() {
            v.fault(
                name,
                "expected a status and maybe a phrase, as 403, Request Blocked",
            );
        }
    }
    TableOptions {
        filters: (!v.bool("DisableRequestFilterProcessor")).then(|| FilterOptions {
            no_match: v.text("RequestFilterDefaultNoMatchBehavior").to_owned(),
            query_failed: v.text("RequestFilterDefaultDBErrorBehavior").to_owned(),
        }),
        routing: RoutingOptions {
            parallel_routes: v.bool("ParallelForkStaticRoutes"),
            continue_after_routes: v.bool("ContinueProcessingAfterRoutesFound"),
            forking: match (v.bool("QValue"), v.choice("QValueBehavior")) {
                (false, _) | (true, "FULL_SEQUENTIAL") => Forking::Sequential,
                (true, "FULL_PARALLEL") => Forking::Parallel,
                _ => Forking::EqualPreference,
            },
            challenge_third_parties: v.bool("ChallengeThirdPartiesCallingLocalDomains"),
        },
        fixed_routes: v.list("Routes").map(str::to_owned).collect(),
        silo,
    }
}

pub(super) fn engine(v: &mut Values<'_>) -> EngineOptions {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let timers = timers(v);
    let own = OutgoingOptions::default();
    EngineOptions {
        workers: NonZeroUsize::new(v.number("WorkerThreads")).unwrap_or(cores),
        lookup_threads: positive(v, "NumAuthGrabberWorkerThreads"),
        max_pending_lookups: v.number("MaximumPendingLookups"),
        max_connections: v.number("MaximumConnections"),
        max_connections_per_source: v.number("MaximumConnectionsPerSource"),
        max_handshakes: v.number("MaximumHandshakes"),
        exempt: v
            .list("ConnectionLimitExempt")
            .filter_map(|item| value::network(item).ok())
            .collect(),
        proxy_sources: v
            .list("ProxyProtocolSources")
            .filter_map(|item| value::network(item).ok())
            .collect(),
        max_queued_bytes: v.number("MaximumQueuedBytes"),
        congestion: congestion(v),
        transactions: TransactionOptions {
            timers,
            max_transactions: positive(v, "MaximumTransactions"),
        },
        outgoing: OutgoingOptions {
            transactions: TransactionOptions {
                timers,
                ..own.transactions
            },
            ..own
        },
        statistics: seconds(v, "StatisticsLogInterval"),
        deadlines: Deadlines {
            handshake: seconds(v, "HandshakeTimeout"),
            connect: connect(v),
            first_message: seconds(v, "FirstMessageTimeout"),
            partial_message: seconds(v, "PartialMessageTimeout"),
            idle: idle(v),
            write: seconds(v, "WriteTimeout"),
            drain: seconds(v, "DrainTimeout"),
        },
        limits: FrameLimits {
            head_bytes: v.number("MaximumHeaderBytes"),
            body_bytes: match v.number("StreamMessageSizeLimit") {
                0 => DEFAULT_BODY_BYTES,
                bytes => bytes,
            },
            fields: v.number("MaximumHeaderFields"),
        },
    }
}

fn congestion(v: &Values<'_>) -> Option<CongestionOptions> {
    let metric = match v.choice("CongestionManagementMetric") {
        "SIZE" => CongestionMetric::Size,
        "TIME_DEPTH" => CongestionMetric::TimeDepth,
        _ => CongestionMetric::WaitTime,
    };
    let tolerance = v.number("CongestionManagementTolerance");
    v.bool("CongestionManagement")
        .then_some(CongestionOptions { metric, tolerance })
}

/// Our own setting, then repro's, where 0 meant never and left dead phones in memory; here it means our default.
fn idle(v: &mut Values<'_>) -> Duration {
    let theirs = seconds(v, "TCPConnectionGCAge");
    if v.find("IdleTimeout").is_some() {
        if !theirs.is_zero() {
            v.note(
                NoteClass::Info,
                "TCPConnectionGCAge",
                "IdleTimeout is set too, and goes before it",
            );
        }
        seconds(v, "IdleTimeout")
    } else if theirs.is_zero() {
        seconds(v, "IdleTimeout")
    } else {
        theirs
    }
}

/// Our own setting, then repro's, where 0 meant for ever; here it means our default.
fn connect(v: &mut Values<'_>) -> Duration {
    let theirs = milliseconds(v, "TCPConnectTimeout");
    if v.find("ConnectTimeout").is_none() && !theirs.is_zero() {
        return theirs;
    }
    if !theirs.is_zero() {
        v.note(
            NoteClass::Info,
            "TCPConnectTimeout",
            "ConnectTimeout is set too, and goes before it",
        );
    }
    seconds(v, "ConnectTimeout")
}

fn timers(v: &mut Values<'_>) -> Timers {
    let usual = Timers::default();
    let t1 = milliseconds(v, "TimerT1");
    if t1.is_zero() {
        return usual;
    }
    let timers = Timers { t1, ..usual };
    if t1 < usual.t1 {
        let text = format!(
            "shorter than the 500 ms of RFC 3261: a request without any answer is given up after {} ms",
            timers.lifetime().as_millis()
        );
        v.note(NoteClass::Info, "TimerT1", &text);
    }
    timers
}

pub(super) fn seconds(v: &Values<'_>, name: &str) -> Duration {
    Duration::from_secs(v.integer(name))
}

pub(super) fn milliseconds(v: &Values<'_>, name: &str) -> Duration {
    Duration::from_millis(v.integer(name))
}

/// A number whose row begins at 1.
pub(super) fn positive(v: &Values<'_>, name: &str) -> NonZeroUsize {
    NonZeroUsize::new(v.number(name)).unwrap_or(NonZeroUsize::MIN)
}

/// The setting that names the log file: the one with a value, under its new or its old name.
pub(super) fn log_file<'a>(find: impl Fn(&str) -> Option<&'a RawSetting>) -> &'static str {
    ["LogFilename", "LoggingFilename"]
        .into_iter()
        .find(|name| find(name).is_some_and(|raw| !raw.value.is_empty()))
        .unwrap_or("LogFilename")
}

pub(super) fn logging(v: &mut Values<'_>, paths: &Paths) -> LoggingOptions {
    let destination = match v.choice("LoggingType") {
        "cerr" => Destination::Stderr,
        "file" => {
            let name = log_file(|name| v.find(name));
            Destination::File(
                paths.log(
                    v.some_text(name)
                        .unwrap_or_else(|| v.default("LogFilename")),
                ),
            )
        }
        "syslog" => Destination::Syslog(
            Facility::from_name(v.choice("SyslogFacility")).unwrap_or(Facility::DAEMON),
        ),
        _ => Destination::Stdout,
    };
    if v.bool("Daemonize") && matches!(destination, Destination::Stdout | Destination::Stderr) {
        v.note(
            NoteClass::Info,
            "LoggingType",
            "in the background there is no terminal: the log goes nowhere; use file or syslog",
        );
    }
    let level = ["LogLevel", "LoggingLevel"]
        .into_iter()
        .find(|name| v.find(name).is_some_and(|raw| !raw.value.is_empty()))
        .unwrap_or("LogLevel");
    LoggingOptions {
        destination,
        level: match v.choice(level) {
            "NONE" => LevelFilter::Off,
            "EMERG" | "ALERT" | "CRIT" | "ERR" => LevelFilter::Error,
            "WARNING" => LevelFilter::Warn,
            "DEBUG" => LevelFilter::Debug,
            "STACK" | "CERR" => LevelFilter::Trace,
            // NOTICE too: what repro says at NOTICE we say at info.
            _ => LevelFilter::Info,
        },
        structure: match v.choice("LogMessageStructure") {
            "JSON_CEE" => Structure::JsonCee,
            _ => Structure::Unstructured,
        },
        max_bytes: v.integer("LogFileMaxBytes"),
        max_lines: v.integer("LogFileMaxLines"),
        keep_all: v.bool("KeepAllLogFiles"),
        instance: v.text("LoggingInstanceName").to_owned(),
        audit: v.some_text("AuditLog").map(|name| paths.log(name)),
    }
}

pub(super) fn process(v: &mut Values<'_>, paths: &Paths) -> ProcessOptions {
    let user = v.some_text("RunAsUser").map(str::to_owned);
    let group = v.some_text("RunAsGroup").map(str::to_owned);
    if user.is_none() && group.is_some() {
        v.note(
            NoteClass::Info,
            "RunAsGroup",
            "it does nothing without RunAsUser",
        );
    }
    ProcessOptions {
        daemonize: v.bool("Daemonize"),
        pid_file: v.some_text("PidFile").map(|path| paths.output(path)),
        user,
        group,
    }
}

pub(super) fn control(v: &mut Values<'_>, paths: &Paths, store: &StoreOptions) -> ControlOptions {
    let socket = v.some_text("ControlSocket").map(|name| {
        // A name alone is in the directory of the store, whose owner the server is.
        if name.contains('/') {
            paths.output(name)
        } else {
            let directory = match &store.default {
                Backend::Embedded { directory, .. } => directory.clone(),
                Backend::Sql(_) => paths.store(v.text("DatabasePath")),
            };
            directory.join(name)
        }
    });
    // Such a path is short, and `./` in it says nothing.
    let socket = socket.map(|path| path.components().collect::<PathBuf>());
    let group = v.some_text("ControlSocketGroup").map(str::to_owned);
    if socket.is_none() && group.is_some() {
        v.note(
            NoteClass::Info,
            "ControlSocketGroup",
            "it does nothing without ControlSocket",
        );
    }
    ControlOptions {
        is_wanted: v.find("ControlSocket").is_some() && socket.is_some(),
        socket,
        group,
    }
}
