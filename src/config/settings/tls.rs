//! Rows about certificates, trust and handshakes.

use super::Kind::{Bool, Choice, Domain, DomainList, OpensslOptions, Path, PathList, Secret, Text};
use super::{Group, Kind, SECONDS, Setting, count, honoured};

const CRL_CHECK: &[&str] = &["Chain", "Leaf", "None"];
const WITHOUT_CRL: &[&str] = &["refuse", "warn"];

const VERIFICATION: &[&str] = &["None", "Optional", "Mandatory"];
const OF_SERVERS: &[&str] = &["Mandatory", "None"];
const METHODS: &[&str] = &["SSLv23", "TLSv1"];
const VERSIONS: &[&str] = &[
    "TLSv1.2|1.2",
    "TLSv1.3|1.3",
    "TLSv1.1|1.1",
    "TLSv1.0|1.0|TLSv1",
];
const EKU: &[&str] = &["rfc5924", "NoServerAuth", "sipDomain", "clientAuth"];

pub(super) const GROUP: Group = Group {
    title: "TLS",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "TLSDomainName",
        Domain,
        "",
        "Domain that TLSPort serves when a client names none of ours (SNI).",
    ),
    honoured(
        "TLSCertificate",
        PathList,
        "",
        "PEM file with our certificate for TLSDomainName, intermediates after it. \
         Several (RSA, ECDSA) may stand side by side. Empty: domain_cert_<TLSDomainName>.pem in CertificatePath.",
    ),
    honoured(
        "TLSPrivateKey",
        PathList,
        "",
        "PEM file with the key of each TLSCertificate, in the same order. Empty: \
         domain_key_<TLSDomainName>.pem in CertificatePath.",
    ),
    honoured(
        "TLSPrivateKeyPassPhrase",
        Secret,
        "",
        "Pass phrase of our private keys.",
    ),
    honoured(
        "TLSClientVerification",
        Choice(VERIFICATION),
        "None",
        "Whether clients show a certificate. Optional \
         lets a client without one in, and refuses one whose certificate fails any test.",
    ),
    honoured(
        "TLSSniDomains",
        DomainList,
        "",
        "Further domains that TLSPort serves to clients that name them (SNI). \
         Absent: every domain with a chain and a key in CertificatePath. Empty: none.",
    ),
    honoured(
        "Transport<N>TlsDomain",
        Domain,
        "",
        "As TLSDomainName, for listener N.",
    ),
    honoured(
        "Transport<N>TlsCertificate",
        PathList,
        "",
        "As TLSCertificate, for listener N.",
    ),
    honoured(
        "Transport<N>TlsPrivateKey",
        PathList,
        "",
        "As TLSPrivateKey, for listener N.",
    ),
    honoured(
        "Transport<N>TlsPrivateKeyPassPhrase",
        Secret,
        "",
        "As TLSPrivateKeyPassPhrase, for listener N. Absent: \
         that one.",
    ),
    honoured(
        "Transport<N>TlsClientVerification",
        Choice(VERIFICATION),
        "None",
        "As TLSClientVerification, for \
         listener N. Absent: that one decides (repro asked for no certificate then).",
    ),
    honoured(
        "Transport<N>TlsConnectionMethod",
        Choice(METHODS),
        "SSLv23",
        "As TLSConnectionMethod; the versions are \
         the same for every listener.",
    ),
    honoured(
        "Transport<N>TlsSniDomains",
        DomainList,
        "",
        "As TLSSniDomains, for listener N. Absent: that one \
         decides.",
    ),
    honoured(
        "Transport<N>ClientCertificateEku",
        Choice(EKU),
        "rfc5924",
        "As ClientCertificateEku, for listener N. \
         Absent: that one decides.",
    ),
    honoured(
        "TLSOcspStaple",
        PathList,
        "",
        "Files with OCSP responses (DER) about our certificates, shown to clients that ask. Each has to be signed for the \
         CA and in time. domain_ocsp_<domain>.der in CertificatePath counts too.",
    ),
    honoured(
        "Transport<N>TlsOcspStaple",
        PathList,
        "",
        "As TLSOcspStaple, for the certificates of listener N.",
    ),
    honoured(
        "CertificatePath",
        Path,
        "",
        "Directory with root_cert_*.pem, domain_cert_*.pem and domain_key_*.pem, or \
         one PEM file of trust anchors. Empty: .sipCerts in the home directory, if there is one.",
    ),
    honoured(
        "CADirectory",
        PathList,
        "",
        "Directories of which every file holds trust anchors, such as \
         /etc/ssl/certs. A file without a certificate is skipped.",
    ),
    honoured("CAFile", PathList, "", "PEM files of trust anchors."),
    honoured(
        "Transport<N>CADirectory",
        PathList,
        "",
        "As CADirectory, for clients of listener N. With this or Transport<N>CAFile, none of CADirectory, CAFile and \
         CertificatePath counts for them; without, all do.",
    ),
    honoured(
        "Transport<N>CAFile",
        PathList,
        "",
        "PEM files of trust anchors for clients of listener N; see Transport<N>CADirectory.",
    ),
    honoured(
        "TLSSniDomain<N>Name",
        Domain,
        "",
        "Domain chosen by SNI that the other settings of TLSSniDomain<N> are for, at every listener that has another domain \
         of its own.",
    ),
    honoured(
        "TLSSniDomain<N>CADirectory",
        PathList,
        "",
        "As CADirectory, for clients that ask for that domain. With this or TLSSniDomain<N>CAFile, no other trust anchors \
         count for them.",
    ),
    honoured(
        "TLSSniDomain<N>CAFile",
        PathList,
        "",
        "PEM files of trust anchors for clients that ask for that domain; see TLSSniDomain<N>CADirectory.",
    ),
    honoured(
        "TLSClientRoleCADirectory",
        PathList,
        "",
        "As CADirectory, for the certificates of servers that we connect to. With this or TLSClientRoleCAFile, none of \
         CADirectory, CAFile and CertificatePath counts for them; without, all do.",
    ),
    honoured(
        "TLSClientRoleCAFile",
        PathList,
        "",
        "PEM files of trust anchors for servers that we connect to; see TLSClientRoleCADirectory.",
    ),
    honoured(
        "TLSClientRoleOwnDomain",
        Domain,
        "",
        "Domain whose certificate we show to a server that asks for one, when there is none for the domain that we act \
         for and none under the CAs that the server names; None to show none then. Empty: that of the first TLS listener.",
    ),
    honoured(
        "TLSDestination<N>Domains",
        DomainList,
        "",
        "Domains, hosts and addresses, as next-hop URIs have them, that the other settings of destination N are for.",
    ),
    honoured(
        "TLSDestination<N>DomainSuffixes",
        DomainList,
        "",
        "The same for domains and all below them. A name goes before a suffix, and a longer suffix before a shorter one.",
    ),
    honoured(
        "TLSDestination<N>ExpectedName",
        Domain,
        "",
        "Name that the server of destination N has to prove, and that it is asked for (SNI). Empty: the destination's own.",
    ),
    honoured(
        "TLSDestination<N>OwnDomain",
        Domain,
        "",
        "Domain whose certificate we show to destination N, or None to show none. Empty: as to everybody else.",
    ),
    honoured(
        "TLSDestination<N>MinimumProtocol",
        Choice(VERSIONS),
        "TLSv1.2",
        "As TLSMinimumProtocol, toward destination N. Absent: that one decides.",
    ),
    honoured(
        "TLSDestination<N>MaximumProtocol",
        Choice(VERSIONS),
        "TLSv1.3",
        "As TLSMaximumProtocol, toward destination N. Absent: that one decides.",
    ),
    honoured(
        "TLSDestination<N>Verification",
        Choice(OF_SERVERS),
        "Mandatory",
        "Whether the server of destination N has to prove its name. None takes whoever answers there.",
    ),
    honoured(
        "TLSDestination<N>RequireStaple",
        Bool,
        "false",
        "Whether the server of destination N has to send an OCSP response about its certificate. One that it sends has to \
         be good in any case.",
    ),
    honoured(
        "ClientCertificateEku",
        Choice(EKU),
        "rfc5924",
        "Which extended key usages a client's certificate may \
         have. rfc5924: none, any, clientAuth, sipDomain, and serverAuth for domains; NoServerAuth: without the last; \
         sipDomain: only that or none; clientAuth: only that or none, repro's rule and the default with IdentityRules \
         repro.",
    ),
    honoured(
        "CRLFile",
        PathList,
        "",
        "Files with certificate revocation lists (PEM or DER, one or several in each) by which the certificates of clients \
         are checked, and those of servers that we connect to.",
    ),
    honoured(
        "CRLDirectory",
        PathList,
        "",
        "As CRLFile: directories of which every file with a CRL counts, whatever its name is.",
    ),
    honoured(
        "TLSClientRoleCRLFile",
        PathList,
        "",
        "As CRLFile, for the certificates of servers that we connect to. With this or TLSClientRoleCRLDirectory, neither \
         CRLFile nor CRLDirectory counts for them.",
    ),
    honoured(
        "TLSClientRoleCRLDirectory",
        PathList,
        "",
        "As CRLDirectory, for the certificates of servers that we connect to; see TLSClientRoleCRLFile.",
    ),
    honoured(
        "CRLCheck",
        Choice(CRL_CHECK),
        "Chain",
        "Which certificates are looked up in CRLs, where there are any: all of a chain, that of the peer, or none.",
    ),
    honoured(
        "CRLMissing",
        Choice(WITHOUT_CRL),
        "refuse",
        "What becomes of a certificate whose CA has no CRL here, where CRLs are checked: refuse it, or let it pass with a \
         line in the log.",
    ),
    honoured(
        "CRLStale",
        Choice(WITHOUT_CRL),
        "refuse",
        "What becomes of a certificate when the CRL of its CA is over (nextUpdate): refuse it, or let it pass with a line \
         in the log.",
    ),
    honoured(
        "CRLReloadInterval",
        Kind::Integer {
            min: 1,
            max: 604_800,
            unit: "seconds",
        },
        "3600",
        "How often CRLs and OCSP responses are read again at least. A file that is seen to have changed is read within ten \
         seconds, and one that is about to end just before.",
    ),
    honoured(
        "CertificateExpiryWarningDays",
        count(0, 3_650),
        "30",
        "From how many days before its end a certificate of ours or of a CA, or a CRL, is warned of once a day; for a CRL \
         not before the last quarter of its life.",
    ),
    honoured(
        "TLSMinimumProtocol",
        Choice(VERSIONS),
        "TLSv1.2",
        "Oldest version to speak: 1.0, 1.1, 1.2 or 1.3. The \
         first two are broken (RFC 8996).",
    ),
    honoured(
        "TLSMaximumProtocol",
        Choice(VERSIONS),
        "TLSv1.3",
        "Newest version to speak.",
    ),
    honoured(
        "TLSConnectionMethod",
        Choice(METHODS),
        "SSLv23",
        "SSLv23 means any version. TLSv1, in repro TLS 1.0 \
         alone, is taken for the same and warned of; TLSMinimumProtocol allows the old versions.",
    ),
    honoured(
        "OpenSSLCipherList",
        Text,
        "HIGH:-COMPLEMENTOFDEFAULT",
        "Ciphers of TLS 1.2 and older, in OpenSSL's \
         words. repro's default stands for a narrower list of ours: forward secrecy first, nothing anonymous.",
    ),
    honoured(
        "TLSCipherSuites",
        Text,
        "",
        "Cipher suites of TLS 1.3. Empty: OpenSSL's.",
    ),
    honoured(
        "TLSGroups",
        Text,
        "",
        "Groups for the key exchange, as X25519:P-256. Empty: OpenSSL's.",
    ),
    honoured(
        "TlsDHParamsFilename",
        Path,
        "",
        "PEM file with Diffie-Hellman parameters for TLS 1.2.",
    ),
    honoured(
        "OpenSSLCTXSetOptions",
        OpensslOptions,
        "SSL_OP_NO_SSLv2,SSL_OP_NO_SSLv3,SSL_OP_NO_COMPRESSION",
        "OpenSSL options to set, instead of the default ones.",
    ),
    honoured(
        "OpenSSLCTXClearOptions",
        OpensslOptions,
        "",
        "OpenSSL options to clear.",
    ),
    honoured(
        "TLSVerifyDepth",
        count(0, 100),
        "9",
        "Most intermediates between a peer's certificate and a trust \
         anchor.",
    ),
    honoured(
        "TLSSessionTickets",
        Bool,
        "true",
        "Whether a client may resume a session.",
    ),
    honoured(
        "TLSSessionLifetime",
        SECONDS,
        "7200",
        "How long a session may be resumed.",
    ),
    honoured(
        "VerifiedChainCacheSize",
        count(0, 10_000_000),
        "20000",
        "How many verified client certificates are \
         remembered, so that a returning client costs less; 0 for none.",
    ),
    honoured(
        "TLSUseEmailAsSIP",
        Bool,
        "false",
        "Take an email address in a certificate for a SIP user.",
    ),
    honoured(
        "AllowWildcardCertificates",
        Bool,
        "false",
        "Let *.example.org in a certificate stand for one label, of \
         clients as of servers. It never names a user.",
    ),
];
