//! A server for example.org, for the tests of this room.

#![allow(clippy::unwrap_used)]

use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::relay::{Face, PathOptions, RecordRoute, RelayKeys, RelayPolicy};
use super::{Audit, ForkOptions, NoDirectory, Policy, ProxyOptions, Routing};
use crate::auth::{AuthOptions, IdentityRules, Mappings, Rules, Sealer, TokenSecret, Transport};
use crate::registrar::{OutboundOptions, RegistrarOptions};

/// One TLS listener.
pub(crate) fn relay_policy() -> RelayPolicy {
    let sealer = Sealer::new(&[], &TokenSecret::random().unwrap()).unwrap();
    RelayPolicy {
        faces: vec![Face {
            transport: Transport::Tls,
            address: "192.0.2.1:5061".parse().unwrap(),
            record_route: RecordRoute::automatic(Some("example.org"), 5061, Transport::Tls),
        }],
        fork: ForkOptions::default(),
        add_via_rport: true,
        path: PathOptions::default(),
        keys: RelayKeys::new(sealer, RandomState::new()),
    }
}

/// It believes every From, so that what comes after admission is seen.
pub(crate) fn policy() -> Policy {
    let options = AuthOptions {
        domains: vec!["example.org".to_owned()],
        rules: IdentityRules::Secure,
        ..AuthOptions::default()
    };
    Policy {
        relay: relay_policy(),
        rules: Rules::new(&options, Mappings::default(), Vec::new()),
        registrar: RegistrarOptions {
            enabled: true,
            allow_to_tag: false,
            min_expires: 60,
            max_expires: 7200,
            default_expires: 3600,
            max_contacts: NonZeroUsize::new(10).unwrap(),
            max_total: NonZeroUsize::new(100).unwrap(),
            outbound: OutboundOptions::default(),
        },
        proxy: ProxyOptions {
            server_text: Some("Sipvouch".to_owned()),
            always_allow_relaying: false,
            audit: Audit::Off,
            asserted_identity: false,
            keep_credentials: false,
        },
        routing: Routing::default(),
        directory: Arc::new(NoDirectory),
        addresses: vec!["192.0.2.1:5061".parse().unwrap()],
    }
}
