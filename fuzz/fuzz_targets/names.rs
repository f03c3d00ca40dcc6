//! A certificate of any octets: reading its names never panics, and no name that cannot be entitles to anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::auth::{Identities, IdentityKind, NamePolicy, PhoneProfile, PhoneProfiles};
use sipvouch::tls::names_of_der;

fuzz_target!(|der: &[u8]| {
    let Some(certificate) = names_of_der(der) else {
        return;
    };
    let makers = PhoneProfile::ALL
        .into_iter()
        .fold(PhoneProfiles::NONE, PhoneProfiles::with);
    for (email_as_sip, wildcards, phones) in [
        (false, false, PhoneProfiles::NONE),
        (true, true, PhoneProfiles::NONE),
        (true, true, makers),
    ] {
        let policy = NamePolicy {
            email_as_sip,
            wildcards,
            phones,
        };
        let identities = Identities::of(&certificate, &policy);
        for name in identities.names() {
            let text = name.text();
            assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
            match name.kind {
                IdentityKind::Domain => assert!(!text.contains(['@', '*']), "{text:?}"),
                IdentityKind::User => assert!(text.contains('@'), "{text:?}"),
                IdentityKind::Wildcard => assert!(wildcards),
                _ => {}
            }
        }
        let shown = identities.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
});
