//! Two URIs, one a line: comparison is reflexive and symmetric, what is written reads as the same, a canonical form
//! stays as it is (RFC 3261 §19.1.4).
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::sip::{Address, SipUri, canonical_domain, canonical_user};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (a, b) = text.split_once('\n').unwrap_or((text, text));
    for part in [a, b] {
        let once = canonical_user(part);
        assert_eq!(once, canonical_user(&once));
        assert!(once.bytes().all(|o| o.is_ascii_graphic()));
        assert!(
            part.ends_with("..")
                || canonical_domain(part) == canonical_domain(&canonical_domain(part))
        );
    }
    let (Some(a), Some(b)) = (SipUri::parse(a), SipUri::parse(b)) else {
        return;
    };
    assert!(a.is_equivalent(&a) && b.is_equivalent(&b));
    assert_eq!(a.is_equivalent(&b), b.is_equivalent(&a));
    if a.is_equivalent(&b) {
        assert_eq!(a.address_of_record(), b.address_of_record());
    }
    let written = a.to_string();
    let back = SipUri::parse(&written).expect("what we write is a URI");
    assert!(back.is_equivalent(&a) && back.to_string() == written);
    let named = format!("<{written}>;tag=1");
    let address = Address::parse(named.as_bytes()).expect("a URI in brackets is an address");
    assert_eq!(
        (address.text, address.tag()),
        (written.as_bytes(), Some(&b"1"[..]))
    );
});
