//! A rules file of any octets: it counts whole or every line that keeps it from doing so is named, and rules only take
//! away.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::auth::{
    CaRights, Identities, Issuer, Issuers, ListenerPlace, NamePolicy, PeerCertificate,
    ShownCa, SubjectAltName,
};

fuzz_target!(|text: &[u8]| {
    let place = ListenerPlace {
        number: 0,
        setting: "TLSPort".to_owned(),
        address: "192.0.2.1:5061".parse().expect("an address"),
    };
    let read = CaRights::parse(text, "file", &[place], |_| {
        Ok(vec![ShownCa {
            fingerprint: [1; 32],
            is_root: true,
        }])
    });
    let lines = text.split(|octet| *octet == b'\n').count();
    let rights = match read {
        Ok(rights) => rights,
        Err(faults) => {
            assert!(!faults.is_empty() && faults.len() <= lines);
            for fault in &faults {
                let told = fault.to_string();
                assert!(told.starts_with("file:"), "{told:?}");
                assert!(!told.chars().any(char::is_control), "{told:?}");
            }
            return;
        }
    };
    assert!(rights.len() <= lines);
    let issuer = Issuer {
        subject: "CN=a".into(),
        key_id: Box::new([1]),
        fingerprint: [1; 32],
    };
    let names = ["sip:a@example.org", "sip:example.org", "sip:0004F22B3EB5@a.de"];
    let certificate = PeerCertificate {
        subject: String::new(),
        issuer: String::new(),
        serial: String::new(),
        fingerprint: [0; 32],
        not_before: 0,
        not_after: 0,
        common_names: vec![b"00:04:f2:2b:3e:b5".to_vec()],
        subject_attributes: Vec::new(),
        alt_names: names
            .iter()
            .map(|name| SubjectAltName::Uri(name.as_bytes().to_vec()))
            .collect(),
        extended_key_usage: None,
        anchor_subject: String::new(),
        anchor_fingerprint: [1; 32],
        issuers: Issuers::new(vec![issuer]),
    };
    let policy = NamePolicy::default();
    let free = Identities::of(&certificate, &policy);
    let free: Vec<&str> = free.keys().collect();
    for listener in [None, Some(0), Some(9)] {
        let limited = Identities::of_client(&certificate, &policy, &rights, listener);
        assert!(limited.keys().all(|key| free.contains(&key)));
    }
    let server = Identities::of_server(&certificate, &policy, &rights);
    assert!(server.keys().all(|key| free.contains(&key)));
});
