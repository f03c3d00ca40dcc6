//! Rows about who may say what, and about passwords.

use super::Kind::{Bool, Choice, DomainList, Integer, List, Path, Peers, SecretList, Text};
use super::{Group, Setting, honoured, not_yet};

const NO_COOKIES: &str = "WebSocket is not served in this version";
const NO_RADIUS: &str = "RADIUS is not spoken in this version; passwords are those of the store";

/// A number of failures a minute.
const FAILURES: super::Kind = Integer {
    min: 0,
    max: 1_000_000,
    unit: "",
};

pub(super) const GROUP: Group = Group {
    title: "Identity",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "EnableCertificateAuthenticator",
        Bool,
        "false",
        "Hold every request against the certificate of the peer \
         that sends it.",
    ),
    honoured(
        "IdentityRules",
        Choice(&["secure", "report", "repro"]),
        "secure",
        "Which rules: ours (RFC 5922, every \
         request), repro's with a log line for what ours would refuse, or repro's alone with their holes.",
    ),
    honoured(
        "CommonNameMappings",
        Path,
        "",
        "File that gives names out of certificates the SIP identities they may \
         use. While it has any, the TLS peer identities of the store are not asked for.",
    ),
    honoured(
        "CommonNameMappingsIgnoreBadLines",
        Bool,
        "false",
        "Start although lines of that file are wrong, and use \
         the others.",
    ),
    honoured(
        "PhoneProfile",
        List,
        "generic",
        "Makers of phones whose factory certificates are read as they write them: polycom, yealink, snom, cisco, \
         cisco-multiplatform, grandstream. A certificate of theirs without the address of its phone names nobody, and none of \
         them names a domain. generic: a CN or SAN that is a MAC address, of whatever issuer.",
    ),
    honoured(
        "CommonNameMappingsReload",
        Bool,
        "true",
        "Put that file in force whenever it changes, within a second; one with wrong lines leaves the old one in force.",
    ),
    honoured(
        "CARights",
        Path,
        "",
        "File of rules that say what a CA may vouch for: names, users, domains, listeners, roles. A CA with a rule may \
         vouch for nothing else; a CA without one is trusted as ever (docs/trust.md).",
    ),
    honoured(
        "TrustedPeers",
        Peers,
        "",
        "Peers that may use any From, such as a gateway: addresses, networks, or names \
         out of certificates.",
    ),
    honoured(
        "ThirdPartyRequiresCertificate",
        Bool,
        "true",
        "A From outside our domains needs a certificate that \
         proves it.",
    ),
    honoured(
        "OnIdentityLost",
        Choice(&["close", "refuse", "leave"]),
        "close",
        "What becomes of a live connection whose certificate would not be accepted any more, because CAs or policies have \
         changed or it has expired: close it, refuse its new requests and let what is under way end, or leave it.",
    ),
    honoured(
        "Domains",
        DomainList,
        "",
        "Our domains. Those that we hold certificates for are added.",
    ),
    honoured(
        "DomainSuffixes",
        DomainList,
        "",
        "Every domain below one of these is ours too.",
    ),
    honoured(
        "DialogTokenSecret",
        SecretList,
        "",
        "Secrets of the tokens in Record-Route that say who the two sides of a dialog are. The first seals, all open: to \
         replace one, put the new one before it, and remove the old one when its dialogs are over. Each has 16 characters or \
         more, as `openssl rand -base64 32` makes them. Empty: a random one, and a restart ends what tokens prove.",
    ),
    honoured(
        "EnablePAssertedIdentityProcessing",
        Bool,
        "false",
        "Say in P-Asserted-Identity (RFC 3325) who has proved a password, take it from what peers send that are not trusted, \
         and from what leaves when Privacy says id. `IdentityRules = secure` takes it from such peers in any case.",
    ),
];

pub(super) const DIGEST: Group = Group {
    title: "Passwords",
    rows: DIGEST_ROWS,
};

const DIGEST_ROWS: &[Setting] = &[
    // In force already: it decides what happens to a request without a certificate.
    honoured(
        "DisableAuth",
        Bool,
        "false",
        "Ask nobody for a password. Without EnableCertificateAuthenticator every \
         From is then believed.",
    ),
    honoured(
        "StaticRealm",
        Text,
        "",
        "Realm of every challenge. Empty: the domain of From, or that of the Request-URI. Stored passwords are hashed with \
         their domain as realm, and fit no other.",
    ),
    honoured(
        "DigestChallengeAlgorithms",
        List,
        "",
        "Algorithms to offer, the preferred one first: MD5, SHA-256, SHA-512-256 (RFC 8760). A password has to be stored for \
         an algorithm to serve. Empty: MD5 is offered, and passwords are stored for all.",
    ),
    honoured(
        "DisableAuthInt",
        Bool,
        "false",
        "Do not offer to protect bodies (qop auth-int). repro then offers no quality of protection at all, which \
         DigestRequireQop = false does here.",
    ),
    honoured(
        "DigestRequireQop",
        Bool,
        "true",
        "Refuse answers as of RFC 2069, which count no nonce. Where it is not set, `IdentityRules = repro` takes them.",
    ),
    honoured(
        "DigestNonceLifetime",
        Integer {
            min: 10,
            max: 86_400,
            unit: "seconds",
        },
        "3000",
        "How long the nonce of a challenge may be used.",
    ),
    honoured(
        "DigestNonceBindSource",
        Bool,
        "true",
        "A nonce is good only for the address that it was given to. false for phones behind several addresses of one NAT.",
    ),
    honoured(
        "DigestMaximumFailuresPerSource",
        FAILURES,
        "60",
        "Wrong passwords a minute from one address, or one /64 of IPv6; beyond it all from there fail, but those of users who \
         have proved theirs there lately, which are limited each by itself. 0 for any number.",
    ),
    honoured(
        "DigestMaximumFailuresPerUser",
        FAILURES,
        "60",
        "Wrong passwords a minute for one user, a quarter of them from one address; beyond it only addresses that have proved \
         the password lately are heard. 0 for any number.",
    ),
    honoured(
        "RegisterChallengeStatus",
        Choice(&["", "401", "407"]),
        "",
        "Status by which a REGISTER to us is asked for a password. Empty: 401 (RFC 3261 §22.2), and under \
         `IdentityRules = repro` 407 as repro does. Answers to either are taken.",
    ),
    honoured(
        "CertificateInsteadOfDigest",
        Bool,
        "false",
        "A certificate that proves a From of ours does without a password. repro asks for both.",
    ),
    honoured(
        "CertificateInsteadOfDigestDomains",
        DomainList,
        "",
        "The same for a From of these domains.",
    ),
    honoured(
        "RejectBadNonces",
        Bool,
        "false",
        "Refuse a nonce that is none of ours instead of asking again.",
    ),
    honoured(
        "AllowInDialogImpersonationWithinRealm",
        Bool,
        "false",
        "Let a user speak for another one of the same domain within a dialog.",
    ),
    honoured(
        "ChallengeThirdPartiesCallingLocalDomains",
        Bool,
        "true",
        "Ask strangers who call local users for a password, unless a certificate proves them and no static route leads out.",
    ),
    honoured(
        "NeverStripProxyAuthorizationHeaders",
        Bool,
        "false",
        "Leave the answer to our challenge in what is relayed.",
    ),
    not_yet(
        "EnableRADIUS",
        Bool,
        "false",
        "Ask a RADIUS server about passwords.",
        NO_RADIUS,
    ),
    not_yet(
        "RADIUSConfiguration",
        Path,
        "",
        "Configuration file of the RADIUS client.",
        NO_RADIUS,
    ),
    not_yet(
        "DisableIdentity",
        Bool,
        "false",
        "Add no Identity header (RFC 4474, obsolete).",
        "no Identity header is ever added",
    ),
    not_yet(
        "HttpHostname",
        Text,
        "",
        "Host in the URLs of Identity-Info.",
        "no Identity header is ever added",
    ),
    not_yet(
        "WSCookieAuthSharedSecret",
        super::Kind::Secret,
        "",
        "Key of the cookies of WebSocket clients.",
        NO_COOKIES,
    ),
    not_yet(
        "WSCookieNameInfo",
        Text,
        "WSSessionInfo",
        "Name of a cookie.",
        NO_COOKIES,
    ),
    not_yet(
        "WSCookieNameExtra",
        Text,
        "WSSessionExtra",
        "Name of a cookie.",
        NO_COOKIES,
    ),
    not_yet(
        "WSCookieNameMac",
        Text,
        "WSSessionMAC",
        "Name of a cookie.",
        NO_COOKIES,
    ),
    not_yet(
        "WSCookieExtraHeaderName",
        Text,
        "X-WS-Session-Extra",
        "Header that must equal a cookie.",
        NO_COOKIES,
    ),
];
