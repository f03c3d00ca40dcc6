//! Rows about threads, limits and deadlines.

use super::Kind::{Bool, Choice, Integer, Networks};
use super::{Group, Kind, NUMBER, SECONDS, Setting, count, honoured};

/// Octets kept in memory for one peer.
const MEMORY: Kind = Integer {
    min: 1024,
    max: 1 << 30,
    unit: "bytes",
};

pub(super) const GROUP: Group = Group {
    title: "Threads, limits and deadlines",
    rows: ROWS,
};

const ROWS: &[Setting] = &[
    honoured(
        "WorkerThreads",
        count(0, 1024),
        "0",
        "Threads that serve connections; 0 for one per processor.",
    ),
    honoured(
        "NumAuthGrabberWorkerThreads",
        count(1, 1024),
        "2",
        "Threads that ask databases and other slow sources.",
    ),
    honoured(
        "MaximumPendingLookups",
        count(1, 1_000_000),
        "1024",
        "Most questions to slow sources at a time; beyond \
         it requests are answered 503.",
    ),
    honoured(
        "MaximumTransactions",
        count(1, 10_000_000),
        "100000",
        "Most requests that one worker has taken on at a time, those counted that may still be repeated; one more is answered \
         503. It sends on as many at a time; beyond it a target counts as one that cannot be reached. One connection has no \
         more of either than are left for all the others: alone it has half of them. A request counts once for \
         each 2 KiB that it has.",
    ),
    honoured(
        "MaximumConnections",
        count(1, 10_000_000),
        "18000",
        "Most connections at a time.",
    ),
    honoured(
        "MaximumConnectionsPerSource",
        count(1, 10_000_000),
        "200",
        "Most connections from one address.",
    ),
    honoured(
        "MaximumHandshakes",
        count(1, 10_000_000),
        "2000",
        "Most unfinished handshakes at a time.",
    ),
    honoured(
        "ConnectionLimitExempt",
        Networks,
        "",
        "Addresses that MaximumConnectionsPerSource does not hold for.",
    ),
    honoured(
        "ProxyProtocolSources",
        Networks,
        "",
        "Load balancers in front of us: they must begin each connection \
         with a PROXY header, and it is believed.",
    ),
    honoured(
        "MaximumQueuedBytes",
        MEMORY,
        "262144",
        "Most bytes waiting for one peer to take them; beyond it the \
         connection is closed.",
    ),
    honoured(
        "MaximumHeaderBytes",
        MEMORY,
        "32768",
        "Largest start line and header of a message.",
    ),
    honoured(
        "MaximumHeaderFields",
        count(16, 65_536),
        "256",
        "Most header fields of a message.",
    ),
    honoured(
        "HandshakeTimeout",
        SECONDS,
        "10",
        "Longest time from accepting a connection to the end of its handshake. \
         0 for no limit, here and below.",
    ),
    honoured(
        "ConnectTimeout",
        SECONDS,
        "5",
        "Longest time from the first packet of a connection that we open to the end of its handshake.",
    ),
    honoured(
        "FirstMessageTimeout",
        SECONDS,
        "30",
        "Longest time from the handshake to the first whole message.",
    ),
    honoured(
        "PartialMessageTimeout",
        SECONDS,
        "10",
        "Longest time from the first byte of a message to its last.",
    ),
    honoured(
        "IdleTimeout",
        SECONDS,
        "7200",
        "Longest time without a message or keep-alive.",
    ),
    honoured(
        "WriteTimeout",
        SECONDS,
        "10",
        "Longest time that a peer may leave our bytes untaken.",
    ),
    honoured(
        "DrainTimeout",
        SECONDS,
        "10",
        "Longest time from the order to stop to the end.",
    ),
    honoured(
        "TimerT1",
        Integer {
            min: 0,
            max: 60_000,
            unit: "milliseconds",
        },
        "0",
        "T1 of RFC 3261: an estimate of the round trip, which the timers of transactions are made from. A request without any \
         answer is given up after 64 times as long. 0 means 500.",
    ),
    honoured(
        "CongestionManagement",
        Bool,
        "true",
        "Refuse requests with 503 and Retry-After while a worker has too much to do: from 80 percent of \
         CongestionManagementTolerance on what begins something new; beyond 100 percent requests within dialogs and refreshes of \
         registrations too.",
    ),
    honoured(
        "CongestionManagementMetric",
        Choice(&["WAIT_TIME|", "SIZE", "TIME_DEPTH"]),
        "WAIT_TIME",
        "What is measured of each worker at the beginning of each of its turns: how long what comes in will have to wait, which \
         is as long as turns take of late; how many connections have something for it; how long the oldest of that may have waited.",
    ),
    honoured(
        "CongestionManagementTolerance",
        NUMBER,
        "200",
        "How much is 100 percent: milliseconds for WAIT_TIME, \
         connections for SIZE, seconds for TIME_DEPTH. 0 counts as 1.",
    ),
];
