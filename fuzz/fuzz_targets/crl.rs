//! Octets of any kind as a file of CRLs and as an OCSP response. The key of the CA is gone, so that nothing but the response
//! that it has signed can vouch for the certificate.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::tls::revocation_of_octets;

const CA: &[u8] = include_bytes!("../certificates/ca.der");
const LEAF: &[u8] = include_bytes!("../certificates/leaf.der");
const VOUCHES: &[u8] = include_bytes!("../seeds/crl/good.ocsp");

/// What is signed in the response: dates and serial numbers among it.
const SIGNED: std::ops::Range<usize> = 40..120;

fuzz_target!(|octets: &[u8]| {
    let found = revocation_of_octets(octets, LEAF, CA).expect("two certificates");
    if found.vouches {
        let signed = &VOUCHES[SIGNED];
        assert!(octets.windows(signed.len()).any(|part| part == signed));
    }
    // A list takes its issuer, two dates and a signature.
    assert!(found.lists.unwrap_or(0) * 50 <= octets.len());
    assert!(!found.lists_it || found.lists > Some(0));
});
