//! THE table: every setting of repro and every one of our own, what it takes and what becomes of it.
//!
//! `--help`, `sipvouch settings`, the sample file and the reference page are written from here, and a value that the
//! table does not allow is refused before any room sees it. One file per area; a row is one line of a manual.

mod admin;
mod callout;
mod database;
mod dns;
mod engine;
mod identity;
mod logging;
mod process;
mod registrar;
mod routing;
mod tls;
mod transport;

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// True or false.
    Bool,
    /// A whole number within the range, in the unit (empty when it counts things).
    Integer {
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
        /// What one of them is: `seconds`, `bytes`.
        unit: &'static str,
    },
    /// A number of a family, or -1 for none.
    Index,
    /// A regular expression.
    Regex,
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// Texts that are never shown, parted by comma or blank.
    SecretList,
    /// A file or directory.
    Path,
    /// Items parted by comma or blank.
    List,
    /// Files or directories, parted by comma or blank.
    PathList,
    /// One of these words, in any letter case. Other spellings of a word follow it after `|`; a spelling that is
    /// empty lets an empty value mean the word.
    Choice(&'static [&'static str]),
    /// A host or domain name.
    Domain,
    /// Host or domain names.
    DomainList,
    /// An IP address.
    Address,
    /// IP addresses, each with `/prefix` or without.
    Networks,
    /// As `Networks`, or names out of certificates.
    Peers,
    /// `address:port`.
    Interface,
    /// Addresses, each with `:port` or without.
    NameServers,
    /// Names of OpenSSL options.
    OpensslOptions,
    /// `auto`, or a SIP URI or name-addr.
    RecordRoute,
}

/// When a value that we do not act on deserves a note at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is set, and to something else than the default.
    Changed,
    /// It is set, and neither empty, 0 nor false.
    On,
    /// As `On`, and also when it is on by default.
    Always,
}

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does what its description says.
    Honoured,
    /// Something else does its work now.
    Replaced {
        /// What to use instead.
        advice: &'static str,
        /// When to say so.
        noted: Noted,
    },
    /// It is understood, and has no effect in this version.
    NotYet {
        /// What happens meanwhile.
        meanwhile: &'static str,
        /// When to say so.
        noted: Noted,
    },
    /// repro does not read it either.
    Unread,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Name as documented; `<N>` stands for the number in a family.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Value when the setting is absent, as one would write it.
    pub(crate) default: &'static str,
    /// One or two sentences for the operator.
    pub(crate) doc: &'static str,
    /// What becomes of it.
    pub(crate) standing: Standing,
}

impl Setting {
    /// The same row, noted whenever it is switched on.
    const fn when_on(mut self) -> Self {
        self.standing = with_noted(self.standing, Noted::On);
        self
    }

    /// The same row, noted whenever it is switched on, be it by default.
    const fn always(mut self) -> Self {
        self.standing = with_noted(self.standing, Noted::Always);
        self
    }

    /// Whether the value must not be shown.
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::SecretList)
    }

    /// Whether the setting does something in this version.
    pub(crate) fn is_honoured(&self) -> bool {
        self.standing == Standing::Honoured
    }

    /// Prefix and suffix of a family's name, around its number; `None` for a single setting.
    pub(crate) fn family(&self) -> Option<(&'static str, &'static str)> {
        self.name.split_once("<N>")
    }

    /// Whether `key` (see [`canonical`]) is this setting or a member of this family.
    fn is_named(&self, key: &str) -> bool {
        match self.family() {
            None => self.name.eq_ignore_ascii_case(key),
            Some((prefix, suffix)) => split_family(key).is_some_and(|(p, _, s)| {
                p.eq_ignore_ascii_case(prefix) && s.eq_ignore_ascii_case(suffix)
            }),
        }
    }
}

const fn with_noted(standing: Standing, noted: Noted) -> Standing {
    match standing {
        Standing::Replaced { advice, .. } => Standing::Replaced { advice, noted },
        Standing::NotYet { meanwhile, .. } => Standing::NotYet { meanwhile, noted },
        other => other,
    }
}

/// Settings of one area.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// Heading.
    pub(crate) title: &'static str,
    /// Rows in the order of the manual.
    pub(crate) rows: &'static [Setting],
}

/// The whole table in the order of the manual.
pub(crate) const GROUPS: &[Group] = &[
    process::GROUP,
    logging::GROUP,
    transport::GROUP,
    tls::GROUP,
    identity::GROUP,
    callout::GROUP,
    registrar::GROUP,
    engine::GROUP,
    routing::GROUP,
    dns::GROUP,
    identity::DIGEST,
    routing::SILO,
    routing::PRESENCE,
    database::GROUP,
    admin::GROUP,
    admin::ACCOUNTING,
];

/// Every row.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.rows)
}

/// The row of a name as an operator writes it; a member of a family finds the family's row.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.is_named(name))
}

/// The key under which a setting is stored: lower case, and the number of a family without leading zeros, so that
/// `Transport01Type` and `transport1type` are one setting, as in repro.
pub(crate) fn canonical(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match split_family(&lower) {
        Some((prefix, number, suffix)) => format!("{prefix}{number}{suffix}"),
        None => lower,
    }
}

/// Parts a member of a family: `Transport07Type` is (`Transport`, `7`, `Type`).
pub(crate) fn split_family(name: &str) -> Option<(&str, &str, &str)> {
    for family in ["transport", "database", "tlsdestination", "tlssnidomain"] {
        let Some((prefix, rest)) = name.split_at_checked(family.len()) else {
            continue;
        };
        if !prefix.eq_ignore_ascii_case(family) {
            continue;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Some((number, suffix)) = rest.split_at_checked(digits) else {
            continue;
        };
        if !number.is_empty() {
            let significant = number.trim_start_matches('0');
            let number = if significant.is_empty() {
                "0"
            } else {
                significant
            };
            return Some((prefix, number, suffix));
        }
    }
    None
}

/// The documented name that `unknown` was probably meant to be.
pub(crate) fn nearest(unknown: &str) -> Option<String> {
    // A long text is no typing error of a name, and comparing it with every row costs time.
    if unknown.len() > 64 {
        return None;
    }
    let number = split_family(unknown).map_or("1", |(_, number, _)| number);
    let wanted = unknown.to_ascii_lowercase();
    let allowed = (unknown.len() / 3).clamp(1, 4);
    all()
        .map(|setting| setting.name.replace("<N>", number))
        // Each letter that one has more is one step at least.
        .filter(|name| name.len().abs_diff(wanted.len()) <= allowed)
        .map(|name| (edit_distance(&wanted, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions and replacements that turn one text into the other (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (to, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(from != *to))
                .min(above + 1)
                .min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

const fn honoured(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        doc,
        standing: Standing::Honoured,
    }
}

const fn not_yet(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
    meanwhile: &'static str,
) -> Setting {
    let standing = Standing::NotYet {
        meanwhile,
        noted: Noted::Changed,
    };
    Setting {
        name,
        kind,
        default,
        doc,
        standing,
    }
}

const fn replaced(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
    advice: &'static str,
) -> Setting {
    let standing = Standing::Replaced {
        advice,
        noted: Noted::Changed,
    };
    Setting {
        name,
        kind,
        default,
        doc,
        standing,
    }
}

const fn unread(name: &'static str, kind: Kind, doc: &'static str) -> Setting {
    Setting {
        name,
        kind,
        default: "",
        doc,
        standing: Standing::Unread,
    }
}

/// A port, or 0 for none.
const PORT: Kind = Kind::Integer {
    min: 0,
    max: 65_535,
    unit: "port",
};
/// A number without a unit.
const NUMBER: Kind = count(0, u32::MAX as u64);
/// A time that may be zero.
const SECONDS: Kind = Kind::Integer {
    min: 0,
    max: 31_536_000,
    unit: "seconds",
};
/// A short time.
const MILLISECONDS: Kind = Kind::Integer {
    min: 0,
    max: 3_600_000_000,
    unit: "milliseconds",
};
/// An amount of memory or disk.
const BYTES: Kind = Kind::Integer {
    min: 0,
    max: 1 << 40,
    unit: "bytes",
};

/// A number of things.
const fn count(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max, unit: "" }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::collections::BTreeSet;

    use super::super::value;
    use super::*;

    /// Every setting that any version of repro reads, and those that stand in the samples it came with.
    const OF_REPRO: &str = "Include PidFile Daemonize RunAsUser RunAsGroup LoadPlugins PluginDirectory PyRoutePath PyRouteScript \
         PyRouteNumWorkerThreads LoggingType SyslogFacility LogLevel LoggingLevel LogFilename LoggingFilename \
         LogMessageStructure LogFileMaxBytes LogFileMaxLines KeepAllLogFiles LoggingInstanceName \
         EnableSipMessageLogging CaptureHost CapturePort CaptureAgentID StatisticsLogInterval IPAddress \
         UDPPort TCPPort TLSPort WSPort WSSPort DTLSPort TLSDomainName TLSCertificate TLSPrivateKey \
         TLSPrivateKeyPassPhrase TLSClientVerification TLSConnectionMethod TLSUseEmailAsSIP \
         TlsDHParamsFilename Transport<N>Interface Transport<N>Type Transport<N>TlsDomain \
         Transport<N>TlsCertificate Transport<N>TlsPrivateKey Transport<N>TlsPrivateKeyPassPhrase \
         Transport<N>TlsClientVerification Transport<N>TlsConnectionMethod Transport<N>RecordRouteUri \
         Transport<N>RcvBufLen StreamMessageSizeLimit DNSServers EnableIPv6 DisableIPv4 TCPConnectTimeout \
         TCPConnectionGCAge TCPMinimumGCHeadroom DNSGreylistDuration TimerT1 TimerC CADirectory CAFile \
         CertificatePath AllowWildcardCertificates OpenSSLCTXSetOptions OpenSSLCTXClearOptions \
         OpenSSLCipherList Domains DomainSuffixes AddViaRport RecordRouteUri ForceRecordRouting \
         DisableOutbound OutboundVersion EnableFlowTokens AllowInboundFlowTokensForNonDirectClients \
         AssumeFirstHopSupportsOutbound AssumeFirstHopSupportsFlowTokens ClientNatDetectionMode FlowTimer \
         AlwaysAllowRelaying NeverStripProxyAuthorizationHeaders ServerText EnumSuffixes EnumDomains Routes \
         ParallelForkStaticRoutes ContinueProcessingAfterRoutesFound ChallengeThirdPartiesCallingLocalDomains \
         RecursiveRedirect QValue QValueBehavior QValueCancelBetweenForkGroups QValueMsBeforeCancel \
         QValueWaitForTerminateBetweenForkGroups QValueMsBetweenForkGroups GeoProximityTargetSorting \
         GeoProximityIPv4CityDatabaseFile GeoProximityIPv6CityDatabaseFile GeoProximityRequestUriFilter \
         GeoProximityDefaultDistance LoadBalanceEqualDistantTargets EnableCertificateAuthenticator \
         CommonNameMappings DisableAuth StaticRealm EnableRADIUS RADIUSConfiguration HttpHostname \
         DisableIdentity EnablePAssertedIdentityProcessing DisableAuthInt RejectBadNonces AllowBadReg \
         DigestChallengeAlgorithms AllowInDialogImpersonationWithinRealm NumAuthGrabberWorkerThreads \
         NumAsyncProcessorWorkerThreads WSCookieAuthSharedSecret WSCookieNameInfo WSCookieNameExtra \
         WSCookieNameMac WSCookieExtraHeaderName DisableRequestFilterProcessor \
         RequestFilterDefaultNoMatchBehavior RequestFilterDefaultDBErrorBehavior RequestFilterDatabase \
         RequestFilterMySQLServer RequestFilterMySQLUser RequestFilterMySQLPassword \
         RequestFilterMySQLDatabaseName RequestFilterMySQLPort MessageSiloEnabled MessageSiloDestFilterRegex \
         MessageSiloMimeTypeFilterRegex MessageSiloExpirationTime MessageSiloAddDateHeader \
         MessageSiloMaxContentLength MessageSiloSuccessStatusCode MessageSiloFilteredMimeTypeStatusCode \
         MessageSiloFailureStatusCode DisableRegistrar EnableCertServer EnablePresenceServer \
         PresenceUsesRegistrationState PresenceNotifyClosedStateForNonPublishedUsers CongestionManagement \
         CongestionManagementMetric CongestionManagementTolerance ThreadedStack DatabasePath DefaultDatabase \
         RuntimeDatabase Database<N>Type Database<N>Path Database<N>Host Database<N>ConnInfo Database<N>User \
         Database<N>Password Database<N>DatabaseName Database<N>Port Database<N>CustomUserAuthQuery \
         Database<N>CustomTlsAuthQuery Database<N>TableNamePrefix MySQLServer MySQLUser MySQLPassword \
         MySQLDatabaseName MySQLPort RuntimeMySQLServer RuntimeMySQLUser RuntimeMySQLPassword \
         RuntimeMySQLDatabaseName RuntimeMySQLPort MySQLCustomUserAuthQuery CustomTlsAuthQuery \
         TableNamePrefix HttpBindAddress HttpPort DisableHttpAuth HttpAdminRealm HttpAdminUserFile \
         CommandBindAddress CommandPort CommandQueue CommandEventTopic RegSyncPort RemoteRegSyncPort \
         RegSyncPeer RegSyncBrokerTopic EnablePublicationReplication SessionAccountingEnabled \
         SessionAccountingAddRoutingHeaders SessionAccountingAddViaHeaders RegistrationAccountingEnabled \
         RegistrationAccountingAddRoutingHeaders RegistrationAccountingAddViaHeaders \
         RegistrationAccountingLogRefreshes AssumePath";

    #[test]
    fn every_setting_of_repro_has_a_row() {
        let missing: Vec<&str> = OF_REPRO
            .split_whitespace()
            .filter(|name| !all().any(|row| row.name == *name))
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
        assert_eq!(OF_REPRO.split_whitespace().count(), 200);
    }

    #[test]
    fn no_setting_has_two_rows() {
        let mut seen = BTreeSet::new();
        for row in all() {
            assert!(seen.insert(row.name.to_ascii_lowercase()), "{}", row.name);
        }
    }

    #[test]
    fn every_default_is_a_value_that_the_setting_takes() {
        for row in all().filter(|row| !row.default.is_empty()) {
            assert_eq!(value::parse(row, row.default), Ok(()), "{}", row.name);
        }
    }

    #[test]
    fn every_row_explains_itself_in_whole_sentences() {
        for row in all() {
            assert!(
                row.doc.ends_with('.') && row.doc.len() > 10,
                "{}: {}",
                row.name,
                row.doc
            );
            assert!(!row.doc.contains("  "), "{}: {}", row.name, row.doc);
            if let Standing::Replaced { advice: text, .. }
            | Standing::NotYet {
                meanwhile: text, ..
            } = row.standing
            {
                assert!(
                    !text.ends_with('.') && !text.contains("  "),
                    "{}: {text}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn member_of_a_family_finds_its_row_whatever_the_zeros_and_letter_case() {
        for (name, key, row) in [
            ("Transport1Type", "transport1type", Some("Transport<N>Type")),
            (
                "TRANSPORT007tlsdomain",
                "transport7tlsdomain",
                Some("Transport<N>TlsDomain"),
            ),
            (
                "Transport0Interface",
                "transport0interface",
                Some("Transport<N>Interface"),
            ),
            ("Database12Host", "database12host", Some("Database<N>Host")),
            (
                "TlsDestination02Domains",
                "tlsdestination2domains",
                Some("TLSDestination<N>Domains"),
            ),
            (
                "TLSSniDomain1Name",
                "tlssnidomain1name",
                Some("TLSSniDomain<N>Name"),
            ),
            ("DatabasePath", "databasepath", Some("DatabasePath")),
            ("Transport1Nothing", "transport1nothing", None),
            ("TransportType", "transporttype", None),
            ("Transport<N>Type", "transport<n>type", None),
            ("tlsport", "tlsport", Some("TLSPort")),
        ] {
            assert_eq!(canonical(name), key);
            // The row's own name finds it, too; nobody writes that in a file.
            let expected = if name == "Transport<N>Type" {
                None
            } else {
                row
            };
            assert_eq!(find(name).map(|row| row.name), expected, "{name}");
        }
    }

    #[test]
    fn typing_error_is_told_the_name_that_was_meant() {
        for (unknown, meant) in [
            (
                "EnableCertificateAuthenticater",
                Some("EnableCertificateAuthenticator"),
            ),
            ("TLSProt", Some("TLSPort")),
            ("TLSClientVerificaton", Some("TLSClientVerification")),
            ("Transport3TlsDomian", Some("Transport3TlsDomain")),
            ("Domain", Some("Domains")),
            ("NothingLikeThis", None),
            ("", None),
        ] {
            assert_eq!(nearest(unknown).as_deref(), meant, "{unknown}");
        }
        assert_eq!(nearest(&"x".repeat(100_000)), None);
    }
}
