//! Rows about where requests go, and about what else answers them.

use super::Kind::{Bool, Choice, DomainList, Integer, List, Path, RecordRoute, Regex, Text};
use super::{BYTES, Group, MILLISECONDS, NUMBER, SECONDS, Setting, count, honoured, not_yet};

const NO_ENUM: &str = "telephone numbers are not looked up in this version";
const NO_DISTANCE: &str = "contacts are tried by their q values alone";
const NO_EVENTS: &str = "SUBSCRIBE and PUBLISH are not answered in this version";

/// A SIP status code, or 0.
const STATUS: super::Kind = Integer {
    min: 0,
    max: 699,
    unit: "status code",
};

pub(super) const GROUP: Group = Group {
    title: "Routing",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "ServerText",
        Text,
        "Sipvouch",
        "Server header of our answers. Empty: none.",
    ),
    honoured(
        "AlwaysAllowRelaying",
        Bool,
        "false",
        "Relay for anybody to anywhere.",
    ),
    honoured(
        "AddViaRport",
        Bool,
        "true",
        "Add rport (RFC 3581) to our Via.",
    ),
    honoured(
        "RecordRouteUri",
        RecordRoute,
        "",
        "URI that requests record on their way through us, for listeners without a Transport<N>RecordRouteUri of their own. Its \
         host must lead back to us; its scheme becomes that of the request, its user the token of the dialog. auto or empty: \
         toward servers of domains the domain of the listener, toward others, or without a domain, our end of the connection; \
         with its port and transport.",
    ),
    honoured(
        "ForceRecordRouting",
        Bool,
        "true",
        "Record the route of every dialog. It is always recorded, since the token in it is what admits the requests within \
         the dialog; false changes nothing.",
    ),
    honoured(
        "EnableFlowTokens",
        Bool,
        "false",
        "Put ourselves into the Path of every registration that we send on for a phone next to us, with a token that leads back \
         over its connection; without this only for phones that ask for it (RFC 5626). Calls go over the connections that \
         they came by in any case.",
    ),
    honoured(
        "AllowInboundFlowTokensForNonDirectClients",
        Bool,
        "false",
        "With EnableFlowTokens, also in registrations that came through another proxy.",
    ),
    honoured(
        "ClientNatDetectionMode",
        Choice(&["DISABLED|", "ENABLED", "PRIVATE_TO_PUBLIC"]),
        "DISABLED",
        "The same as EnableFlowTokens for phones whose topmost Via is not the address that they come from; with \
         PRIVATE_TO_PUBLIC only if that Via has a private address or a name, and they come from a public address.",
    ),
    honoured(
        "TimerC",
        SECONDS,
        "180",
        "Longest time that a call may ring at one place; each provisional answer but 100 begins it anew. 0 for no limit.",
    ),
    honoured(
        "Routes",
        List,
        "",
        "Static routes instead of those in the database: URIs that every request for a user of ours goes over.",
    ),
    honoured(
        "ParallelForkStaticRoutes",
        Bool,
        "false",
        "Try all matching routes at once.",
    ),
    honoured(
        "ContinueProcessingAfterRoutesFound",
        Bool,
        "false",
        "Try registrations too when a route matches.",
    ),
    honoured(
        "RecursiveRedirect",
        Bool,
        "false",
        "Follow redirections (300, 301, 302) ourselves instead of passing them on.",
    ),
    honoured(
        "QValue",
        Bool,
        "true",
        "Try contacts as the QValue settings below say. false: one after the other, by their q values, each until it has \
         answered.",
    ),
    honoured(
        "QValueBehavior",
        Choice(&["EQUAL_Q_PARALLEL|", "FULL_SEQUENTIAL", "FULL_PARALLEL"]),
        "EQUAL_Q_PARALLEL",
        "Which contacts are one group, that is, tried at once: those of the same q value, each alone, or all.",
    ),
    honoured(
        "QValueCancelBetweenForkGroups",
        Bool,
        "true",
        "Cancel a call to one group of contacts while others wait, after QValueMsBeforeCancel.",
    ),
    honoured(
        "QValueMsBeforeCancel",
        MILLISECONDS,
        "30000",
        "Time from the call to a group until that.",
    ),
    honoured(
        "QValueWaitForTerminateBetweenForkGroups",
        Bool,
        "true",
        "Try a group only once all before it have answered.",
    ),
    honoured(
        "QValueMsBetweenForkGroups",
        MILLISECONDS,
        "3000",
        "Time from one group to the next when they do not wait for each other's answers.",
    ),
    honoured(
        "MaximumBranches",
        count(1, 128),
        "32",
        "Most places that one request is sent to in the end, those of redirections counted; the others are not tried.",
    ),
    not_yet(
        "EnumSuffixes",
        DomainList,
        "",
        "Where telephone numbers are looked up (ENUM).",
        NO_ENUM,
    ),
    not_yet(
        "EnumDomains",
        DomainList,
        "",
        "Domains whose numbers are looked up.",
        NO_ENUM,
    ),
    not_yet(
        "GeoProximityTargetSorting",
        Bool,
        "false",
        "Try near contacts first.",
        NO_DISTANCE,
    ),
    not_yet(
        "GeoProximityIPv4CityDatabaseFile",
        Path,
        "GeoLiteCity.dat",
        "Map of IPv4 addresses.",
        NO_DISTANCE,
    ),
    not_yet(
        "GeoProximityIPv6CityDatabaseFile",
        Path,
        "GeoLiteCityv6.dat",
        "Map of IPv6 addresses.",
        NO_DISTANCE,
    ),
    not_yet(
        "GeoProximityRequestUriFilter",
        Text,
        "",
        "Request-URIs to sort contacts for.",
        NO_DISTANCE,
    ),
    not_yet(
        "GeoProximityDefaultDistance",
        NUMBER,
        "0",
        "Kilometres to a place that is unknown.",
        NO_DISTANCE,
    ),
    not_yet(
        "LoadBalanceEqualDistantTargets",
        Bool,
        "true",
        "Shuffle contacts that are equally far.",
        NO_DISTANCE,
    ),
    honoured(
        "DisableRequestFilterProcessor",
        Bool,
        "false",
        "Use no request filters.",
    ),
    honoured(
        "RequestFilterDefaultNoMatchBehavior",
        Text,
        "",
        "Answer to a request that no filter matches, as \"403, Request Blocked\"; empty lets it pass.",
    ),
    honoured(
        "RequestFilterDefaultDBErrorBehavior",
        Text,
        "500, Server Internal DB Error",
        "Answer when the database of a filter's query fails; empty lets the request pass.",
    ),
];

pub(super) const SILO: Group = Group {
    title: "Messages for users who are away",
    rows: SILO_ROWS,
};

const SILO_ROWS: &[Setting] = &[
    honoured(
        "MessageSiloEnabled",
        Bool,
        "false",
        "Keep messages for users who are not registered, and deliver them when they register.",
    ),
    honoured(
        "MessageSiloDestFilterRegex",
        Regex,
        "",
        "Users to keep no messages for: searched for in the address-of-record, as sip:bob@example.org.",
    ),
    honoured(
        "MessageSiloMimeTypeFilterRegex",
        Regex,
        "application\\/im\\-iscomposing\\+xml",
        "Content types not to keep.",
    ),
    honoured(
        "MessageSiloExpirationTime",
        SECONDS,
        "2592000",
        "How long a message is kept; 0 for ever.",
    ),
    honoured(
        "MessageSiloAddDateHeader",
        Bool,
        "true",
        "Add Date to a message that was kept, with the time it was sent at.",
    ),
    honoured(
        "MessageSiloMaxContentLength",
        BYTES,
        "4096",
        "Largest message to keep.",
    ),
    honoured(
        "MessageSiloMaximumPerUser",
        count(1, 1_000_000),
        "100",
        "Messages kept for one user; one more is answered with MessageSiloFailureStatusCode.",
    ),
    honoured(
        "MessageSiloMaximumTotal",
        count(1, 100_000_000),
        "100000",
        "Messages kept in all; one more is answered with MessageSiloFailureStatusCode.",
    ),
    honoured(
        "MessageSiloSuccessStatusCode",
        STATUS,
        "202",
        "Answer when a message is kept.",
    ),
    honoured(
        "MessageSiloFilteredMimeTypeStatusCode",
        STATUS,
        "200",
        "Answer to a content type that is not kept; 0 for the one as if nothing were kept.",
    ),
    honoured(
        "MessageSiloFailureStatusCode",
        STATUS,
        "480",
        "Answer to a message that is too large, or one too many.",
    ),
];

pub(super) const PRESENCE: Group = Group {
    title: "Presence",
    rows: PRESENCE_ROWS,
};

const PRESENCE_ROWS: &[Setting] = &[
    not_yet(
        "EnableCertServer",
        Bool,
        "false",
        "Serve certificates and credentials of users.",
        NO_EVENTS,
    ),
    not_yet(
        "EnablePresenceServer",
        Bool,
        "false",
        "Serve presence.",
        NO_EVENTS,
    ),
    not_yet(
        "PresenceUsesRegistrationState",
        Bool,
        "true",
        "A registered user is present.",
        NO_EVENTS,
    ),
    not_yet(
        "PresenceNotifyClosedStateForNonPublishedUsers",
        Bool,
        "true",
        "Tell that a user who says nothing is \
         absent.",
        NO_EVENTS,
    ),
    not_yet(
        "EnablePublicationReplication",
        Bool,
        "false",
        "Share presence with another server.",
        NO_EVENTS,
    ),
    not_yet(
        "RegSyncPort",
        super::PORT,
        "0",
        "Port where another server fetches registrations; 0 for none.",
        "registrations are not shared with another server",
    ),
    not_yet(
        "RemoteRegSyncPort",
        super::PORT,
        "0",
        "That port of the other server.",
        "registrations are not shared with another server",
    ),
    not_yet(
        "RegSyncPeer",
        Text,
        "",
        "The other server.",
        "registrations are not shared with another server",
    ),
    not_yet(
        "RegSyncBrokerTopic",
        super::Kind::Secret,
        "",
        "Message queue for registrations.",
        "registrations are not shared with another server",
    ),
];
