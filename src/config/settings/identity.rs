//! Rows about who may say what, and about passwords.

use super::Kind::{Bool, Choice, DomainList, List, Path, Peers, SecretList, Text};
use super::{Group, Setting, honoured, not_yet};

const NO_DIGEST: &str = "digest is not there yet: a request that only a password could prove is refused with 403; a \
     matching certificate alone admits";
const NO_COOKIES: &str = "WebSocket is not served in this version";
const NO_PASSWORD: &str = "digest is not there yet";

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
    not_yet(
        "EnablePAssertedIdentityProcessing",
        Bool,
        "false",
        "Set and strip P-Asserted-Identity.",
        "`IdentityRules` decides: `secure` takes it from requests of peers that are not trusted, `repro` and `report` pass it",
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
    not_yet(
        "StaticRealm",
        Text,
        "",
        "Realm of every challenge.",
        NO_DIGEST,
    ),
    not_yet(
        "DigestChallengeAlgorithms",
        List,
        "",
        "Algorithms to offer, in order.",
        NO_PASSWORD,
    ),
    not_yet(
        "DisableAuthInt",
        Bool,
        "false",
        "Offer no quality of protection.",
        NO_PASSWORD,
    ),
    not_yet(
        "RejectBadNonces",
        Bool,
        "false",
        "Refuse an unknown nonce instead of asking again.",
        NO_PASSWORD,
    ),
    not_yet(
        "AllowInDialogImpersonationWithinRealm",
        Bool,
        "false",
        "Let a user speak for another one of the same \
         realm within a dialog.",
        NO_PASSWORD,
    ),
    not_yet(
        "ChallengeThirdPartiesCallingLocalDomains",
        Bool,
        "true",
        "Challenge strangers who call local users.",
        NO_PASSWORD,
    ),
    not_yet(
        "NeverStripProxyAuthorizationHeaders",
        Bool,
        "false",
        "Leave the answer to our challenge in what is \
         relayed.",
        NO_PASSWORD,
    ),
    not_yet(
        "EnableRADIUS",
        Bool,
        "false",
        "Ask a RADIUS server about passwords.",
        NO_PASSWORD,
    ),
    not_yet(
        "RADIUSConfiguration",
        Path,
        "",
        "Configuration file of the RADIUS client.",
        NO_PASSWORD,
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
