//! Extended key usages against every policy: certificates of users and of domains (RFC 5924 §4.1).

use std::sync::{Mutex, PoisonError};

use super::client::{Meeting, PROGRAMS};
use crate::harness::{Setup, report};

const POLICIES: [&str; 4] = ["rfc5924", "NoServerAuth", "sipDomain", "clientAuth"];

const GOOD: &str = "200";
/// unsupported_certificate.
const USAGE: &str = "alert 43";
/// What OpenSSL says of an extension that it does not know and must.
const CRITICAL: &str = "alert 46";

/// Certificate, and what comes of it under each policy.
#[rustfmt::skip]
const TABLE: [(&str, &str, [&str; 4]); 14] = [
    ("domain, none",                  "eku-none",         [GOOD, GOOD, GOOD, GOOD]),
    ("domain, clientAuth",            "eku-client",       [GOOD, GOOD, USAGE, GOOD]),
    ("domain, serverAuth",            "eku-server",       [GOOD, USAGE, USAGE, USAGE]),
    ("domain, sipDomain",             "eku-sip",          [GOOD, GOOD, GOOD, USAGE]),
    ("domain, clientAuth+serverAuth", "other-dns",        [GOOD, GOOD, USAGE, GOOD]),
    ("domain, sipDomain+clientAuth",  "eku-sip-client",   [GOOD, GOOD, GOOD, GOOD]),
    ("domain, emailProtection",       "eku-email",        [USAGE, USAGE, USAGE, USAGE]),
    ("domain, critical and unknown",  "crit-unknown",     [CRITICAL, CRITICAL, CRITICAL, CRITICAL]),
    ("user, none",                    "alice-eku-none",   [GOOD, GOOD, GOOD, GOOD]),
    ("user, clientAuth",              "alice-eku-client", [GOOD, GOOD, USAGE, GOOD]),
    ("user, serverAuth",              "alice-eku-server", [USAGE, USAGE, USAGE, USAGE]),
    ("user, sipDomain",               "alice-eku-sip",    [GOOD, GOOD, GOOD, USAGE]),
    ("user, clientAuth+serverAuth",   "alice-uri",        [GOOD, GOOD, USAGE, GOOD]),
    ("user, critical and unknown",    "alice-crit",       [CRITICAL, CRITICAL, CRITICAL, CRITICAL]),
];

#[test]
fn each_usage_fares_as_each_policy_says_with_either_program() {
    let faults = Mutex::new(Vec::new());
    let mut runs = 0;
    for (column, policy) in POLICIES.into_iter().enumerate() {
        let server = Setup::usual().set("ClientCertificateEku", policy).start();
        let meetings: Vec<_> = TABLE
            .iter()
            .enumerate()
            .flat_map(|row| PROGRAMS.map(|program| (row, program)))
            .collect();
        runs += meetings.len();
        let next = Mutex::new(meetings.into_iter());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let step = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some(((at, (what, certificate, wanted)), program)) = step else {
                            return;
                        };
                        // Every row meets both versions under some policy.
                        let version = ["1.2", "1.3"][(at + column + program as usize) % 2];
                        let met = Meeting::new(program, certificate)
                            .version(version)
                            .ping(server.tls());
                        let wanted = wanted[column];
                        if met.outcome != wanted {
                            let line = format!(
                                "{policy}, {what}, {program:?} {version}: wanted {wanted}, got {}",
                                met.outcome
                            );
                            let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
                            faults.push(line);
                        }
                    }
                });
            }
        });
    }
    let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(&format!(
        "EKU matrix: {runs} meetings, {} went wrong\n",
        faults.len()
    ));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
