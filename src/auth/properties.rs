//! What must hold for any certificate and any request.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::peer_certificate::SubjectAltName;
use super::test_support::{cert, from, judge, options, peer, request, rules};
use super::{
    Decision, Identities, IdentityPath, IdentityRules, Mappings, NamePolicy, Rules, Transport,
    admit,
};
use crate::sip::{Message, Request};

const TO_EVE: &str = "<sip:eve@example.org>";

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,2}\\.(org|net)",
        "[a-c]\\.[a-c]\\.org\\.?",
        "\\*\\.[a-c]\\.org",
        "192\\.0\\.2\\.[1-3]",
        "[A-C]\\.ORG",
        "\\PC{0,12}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    (
        prop_oneof![
            Just("URI:sip:"),
            Just("URI:sips:"),
            Just("URI:im:"),
            Just("DNS:"),
            Just("email:"),
            Just("URI:")
        ],
        prop_oneof![
            Just(""),
            Just("a@"),
            Just("B@"),
            Just("%61@"),
            Just("~"),
            Just("a:b@")
        ],
        host(),
    )
        .prop_map(|(kind, user, host)| format!("{kind}{user}{host}"))
}

proptest! {
    #[test]
    fn admission_needs_a_name_with_the_claimed_host(
        sans in prop::collection::vec(name(), 0..4),
        cn in host(),
        user in prop_oneof![Just(""), Just("a@"), Just("b@"), Just("B@")],
        claimed in host(),
        method in prop_oneof![Just("MESSAGE"), Just("BYE"), Just("ACK"), Just("REGISTER"), Just("REFER")],
        tag in prop_oneof![Just(""), Just(";tag=t")],
    ) {
        let sans: Vec<&str> = sans.iter().map(String::as_str).collect();
        let certificate = cert(&cn, &sans);
        let identities = Identities::of(&certificate, &NamePolicy::default());
        let text = request(
            method,
            &from(&format!("sip:{user}{claimed}")),
            &format!("<sip:{user}{claimed}>{tag}"),
            "",
        );
        for identity in [IdentityRules::Secure, IdentityRules::Report, IdentityRules::Repro] {
            let rules = rules(identity, "");
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let Ok(request) = Request::read(&message, identity.from_rule()) else {
                continue;
            };
            let decision = admit(request, &peer, IdentityPath::Proxy.into(), &rules);
            if identity != IdentityRules::Secure {
                continue;
            }
            if let Decision::Admit(admitted) = &decision {
                let bare = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
                let wanted = bare(&claimed);
                // Whatever admits ends in the claimed host, and a name with a user has the claimed user.
                let proof = sans.iter().copied().chain([cn.as_str()]).any(|name| {
                    let host = name.rsplit(['@', ':']).next().unwrap_or_default();
                    let named = name.split_once('@').map(|(before, _)| {
                        before.rsplit(':').next().unwrap_or_default().replace("%61", "a")
                    });
                    bare(host) == wanted
                        && named.is_none_or(|n| format!("{n}@") == user)
                        && !name.contains(['*', '~'])
                        && !name.starts_with("email:")
                        && !name.starts_with("URI:im:")
                });
                prop_assert!(proof, "{:?} by {:?} {:?}", admitted.ground(), sans, cn);
            }
        }
    }

    #[test]
    fn no_octets_in_names_or_mappings_make_it_panic(
        cn in prop::collection::vec(any::<u8>(), 0..40),
        uri in prop::collection::vec(any::<u8>(), 0..40),
        dns in prop::collection::vec(any::<u8>(), 0..40),
        file in prop::collection::vec(any::<u8>(), 0..200),
    ) {
            let mut certificate = cert("", &[]);
        certificate.common_names.push(cn);
        certificate.alt_names.push(SubjectAltName::Uri([b"sip:".as_slice(), &uri].concat()));
        certificate.alt_names.push(SubjectAltName::Uri(uri));
        certificate.alt_names.push(SubjectAltName::Email(dns.clone()));
        certificate.alt_names.push(SubjectAltName::Dns(dns));
        let policy = NamePolicy { email_as_sip: true, wildcards: true, ..NamePolicy::default() };
        let identities = Identities::of(&certificate, &policy);
        let (mappings, _) = Mappings::parse(&file, "m");
        for identity in [IdentityRules::Secure, IdentityRules::Report] {
            let rules = Rules::new(&options(identity), mappings.clone(), Vec::new());
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let text = request("MESSAGE", "<sip:a@b.org>;tag=f", TO_EVE, "");
            judge(&text, &peer, IdentityPath::Proxy, &rules, |decision| drop(decision));
        }
    }
}
