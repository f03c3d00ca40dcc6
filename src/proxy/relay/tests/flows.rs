//! The flows, each a file that reads as one. `SIPVOUCH_WRITE_GOLDEN=1` writes them anew, and the tests fail nevertheless: what
//! has been written is to be looked at.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::{env, fs};

use super::script::run;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/proxy/relay/tests/golden")
}

fn compare(name: &str) {
    let file = golden().join(format!("{name}.txt"));
    let given = fs::read_to_string(&file).unwrap();
    let found = run(&given);
    if env::var_os("SIPVOUCH_WRITE_GOLDEN").is_some() {
        fs::write(&file, &found).unwrap();
        panic!("{name} is written anew: look at it");
    }
    for (number, (found, given)) in (1..).zip(found.lines().zip(given.lines())) {
        assert_eq!(found, given, "{name}, line {number}");
    }
    assert_eq!(found, given, "{name}");
}

/// One test for each file, and one that none is left out.
macro_rules! flows {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                compare(stringify!($name));
            }
        )*

        #[test]
        fn every_flow_is_run() {
            let named = [$(stringify!($name)),*];
            let found = fs::read_dir(golden()).unwrap();
            let found = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            for file in found {
                assert!(named.contains(&file.trim_end_matches(".txt")), "{file}");
            }
        }
    };
}

flows! {
    asserted_identities
    away
    busy
    callee_gone
    caller_gone
    cancel_before_departure
    cancel_between_destinations
    cancel_races
    challenges
    changed_sessions
    dialog_tokens
    early_dialog
    edge_of_another
    edge_proxy
    flows_of_a_phone
    large_requests
    limits
    lost_departures
    message_one_after_the_other
    message_without_answer_udp
    messages
    next_destination
    no_answer
    no_response_tls
    no_response_udp
    overload
    parallel_forking
    path
    proxy_authentication
    recursion
    redirected_to_others
    redirection
    serial_groups
    silent_destinations
    stray_responses
    successful_session
    timer_c
    too_many
    transports
    two_proxies
    udp_retransmissions
}
