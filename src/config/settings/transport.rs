//! Rows about where we listen.

use super::Kind::{Address, Bool, Choice, Interface, RecordRoute};
use super::{
    BYTES, Group, MILLISECONDS, NUMBER, PORT, SECONDS, Setting, honoured, not_yet, replaced,
};

const NO_TRANSPORT: &str = "nothing listens there in this version; UDP, TCP and TLS are served";

pub(super) const GROUP: Group = Group {
    title: "Listeners",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "IPAddress",
        Address,
        "",
        "Address that the simple ports below listen on. Empty: every address.",
    ),
    honoured("EnableIPv6", Bool, "true", "Listen on IPv6 too."),
    honoured("DisableIPv4", Bool, "false", "Do not listen on IPv4."),
    honoured(
        "UDPPort",
        PORT,
        "5060",
        "Port for SIP over UDP; 0 for none.",
    ),
    honoured(
        "TCPPort",
        PORT,
        "5060",
        "Port for SIP over TCP; 0 for none.",
    ),
    honoured(
        "TLSPort",
        PORT,
        "5061",
        "Port for SIP over TLS; 0 for none. It needs TLSDomainName.",
    ),
    not_yet(
        "WSPort",
        PORT,
        "80",
        "Port for SIP over WebSocket; 0 for none.",
        NO_TRANSPORT,
    )
    .always(),
    not_yet(
        "WSSPort",
        PORT,
        "443",
        "Port for SIP over secure WebSocket; 0 for none.",
        NO_TRANSPORT,
    )
    .always(),
    not_yet(
        "DTLSPort",
        PORT,
        "0",
        "Port for SIP over DTLS; 0 for none.",
        NO_TRANSPORT,
    ),
    honoured(
        "Transport<N>Interface",
        Interface,
        "",
        "Address and port of listener N, as 192.0.2.1:5061 or \
         [2001:db8::1]:5061. Any Transport<N> setting switches the simple ports off.",
    ),
    honoured(
        "Transport<N>Type",
        Choice(&["UDP", "TCP", "TLS", "DTLS", "WS", "WSS"]),
        "UDP",
        "What listener N speaks. \
         UDP, TCP and TLS are served in this version; the others are noted and left out.",
    ),
    honoured(
        "Transport<N>RecordRouteUri",
        RecordRoute,
        "",
        "As RecordRouteUri, for listener N. auto: toward servers of domains the domain of listener N, toward others, or without \
         one, our end of the connection; with its port and transport. Absent or empty: RecordRouteUri decides.",
    ),
    honoured(
        "Transport<N>CertificateInsteadOfDigest",
        Bool,
        "false",
        "As CertificateInsteadOfDigest, for what comes through listener N; where it is set, it goes before the others.",
    ),
    honoured(
        "Transport<N>RcvBufLen",
        BYTES,
        "0",
        "Receive buffer of each socket of a UDP listener; 0 for 4 MiB. The system may give less \
         (net.core.rmem_max), but not to a server that root starts.",
    ),
    honoured(
        "StreamMessageSizeLimit",
        super::Kind::Integer {
            min: 0,
            max: 1 << 28,
            unit: "bytes",
        },
        "0",
        "Largest body \
         of a message; a larger one closes the connection. 0 means 65536 (repro: ten million).",
    ),
    honoured(
        "TCPConnectTimeout",
        MILLISECONDS,
        "0",
        "repro's name of ConnectTimeout, in milliseconds, used when that is absent. 0 means that ConnectTimeout decides.",
    ),
    honoured(
        "TCPConnectionGCAge",
        SECONDS,
        "0",
        "repro's name of IdleTimeout, used when that is absent. 0 means that \
         IdleTimeout decides.",
    ),
    replaced(
        "TCPMinimumGCHeadroom",
        NUMBER,
        "0",
        "Descriptors kept free by closing idle connections.",
        "MaximumConnections refuses new ones instead of closing old ones",
    ),
];
