//! Rows about where we listen.

use super::Kind::{Address, Bool, Choice, Interface, Uri};
use super::{
    BYTES, Group, MILLISECONDS, NUMBER, PORT, SECONDS, Setting, honoured, not_yet, replaced,
};

const NO_TRANSPORT: &str = "nothing listens there in this version; TCP and TLS are served";
const NO_ROUTE: &str = "requests are not relayed in this version, so nothing is recorded";

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
        "UDPPort",
        PORT,
        "5060",
        "Port for SIP over UDP; 0 for none.",
        NO_TRANSPORT,
    )
    .always(),
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
         TCP and TLS are served in this version; the others are noted and left out.",
    ),
    not_yet(
        "Transport<N>RecordRouteUri",
        Uri,
        "",
        "URI that requests through listener N record.",
        NO_ROUTE,
    ),
    not_yet(
        "Transport<N>RcvBufLen",
        BYTES,
        "0",
        "Receive buffer of the socket of a UDP listener; 0 for the system's.",
        "it is for UDP, which is not served in this version",
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
    not_yet(
        "TCPConnectTimeout",
        MILLISECONDS,
        "10000",
        "How long to wait for a connection that we open; 0 for ever.",
        "no connection is opened in this version",
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
