//! Octets of any kind as a file of CRLs and as an OCSP response. The key of the CA is gone, so that nothing but the response
//! that it has signed can vouch for the certificate.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipvouch::tls::revocation_of_octets;

const CA: &[u8] = include_bytes!("../certificates/ca.der");
const LEAF: &[u8] = include_bytes!("../certificates/leaf.der");
const VOUCHES: &[u8] = include_bytes!("../seeds/crl/good.ocsp");

/// Part of the signature. What is signed may be written in more ways than one (BER), and mean the same.
const OF_SIGNATURE: std::ops::Range<usize> = 220..250;

fuzz_target!(|octets: &[u8]| {
    let found = revocation_of_octets(octets, LEAF, CA).expect("two certificates");
    if found.vouches {
        let signature = &VOUCHES[OF_SIGNATURE];
        assert!(octets.windows(signature.len()).any(|part| part == signature));
    }
    // A list takes its issuer, two dates and a signature.
    assert!(found.lists.unwrap_or(0) * 50 <= octets.len());
    assert!(!found.lists_it || found.lists > Some(0));
});
