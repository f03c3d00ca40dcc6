//! CRLs as a verification uses them: what is remembered, for how long, and what a forged CA costs.

use std::fs;
use std::path::PathBuf;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage};
use openssl::x509::{X509, X509Builder, X509Name};

use super::*;
use crate::tls::crl_files::Look;
use crate::tls::fault::Faults;
use crate::tls::revocation::Revocation;

fn read(name: &str) -> X509 {
    X509::from_pem(&fs::read(pki().join(name)).unwrap()).unwrap()
}

/// A copy of the lists of the example root and its intermediate, so that a test may change them.
fn lists(dir: &Path) -> Vec<PathBuf> {
    ["root-example", "int-users"]
        .map(|name| {
            let file = dir.join(format!("{name}.crl"));
            fs::copy(pki().join(format!("ca/{name}.crl")), &file).unwrap();
            file
        })
        .to_vec()
}

fn loaded(files: Vec<PathBuf>, options: &RevocationOptions) -> (Arc<Revocation>, Faults) {
    let files = CrlFiles {
        files,
        directories: Vec::new(),
    };
    let mut faults = Faults::default();
    let known = vec![read("ca/root-example.crt")];
    let now = verify::now();
    let revocation = Revocation::load(&files, options, known, now, &mut faults).unwrap();
    (revocation, faults)
}

#[test]
fn a_chain_is_remembered_with_the_lists_that_it_was_held_against() {
    let dir = tempfile::tempdir().unwrap();
    let (revocation, _) = loaded(lists(dir.path()), &RevocationOptions::default());
    let verifier = verifier().with_revocation(Some(Arc::clone(&revocation)));
    let resumed = |name: &str| verifier.resumed(&read(&format!("clients/{name}.crt")));
    assert!(resumed("alice-uri").is_ok());
    let refusal = resumed("alice-revoked").unwrap_err();
    assert_eq!(refusal.code, Some(23), "{refusal}");
    assert!(
        refusal.reason.contains("certificate revoked since 20"),
        "{refusal}"
    );
    // Another list in the same place, without the certificate.
    let generation = revocation.generation();
    fs::copy(
        pki().join("ca/int-users.crl"),
        dir.path().join("root-example.crl"),
    )
    .unwrap();
    let mut faults = Faults::default();
    assert!(revocation.refresh(Look::AtStamps, verify::now(), &mut faults));
    assert!(revocation.generation() > generation);
    let refusal = resumed("alice-uri").unwrap_err();
    assert_eq!(refusal.code, Some(3), "the root has no list now: {refusal}");
}

#[test]
fn nothing_changes_while_files_stay_and_loads_share_what_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let options = RevocationOptions::default();
    let files = lists(dir.path());
    let (first, faults) = loaded(files.clone(), &options);
    assert!(faults.found.is_empty(), "{:?}", faults.found);
    let (second, _) = loaded(files.clone(), &options);
    assert!(
        Arc::ptr_eq(&first, &second),
        "a reload with the same settings"
    );
    let mut faults = Faults::default();
    for look in [Look::AtStamps, Look::Inside] {
        assert!(!first.refresh(look, verify::now(), &mut faults), "{look:?}");
    }
    // A file that is gone, and one that is half there, leave what was read in force.
    fs::remove_file(&files[0]).unwrap();
    fs::write(&files[1], "-----BEGIN X509 CRL-----\n").unwrap();
    assert!(!first.refresh(Look::AtStamps, verify::now(), &mut faults));
    let told = lines(&faults.found);
    assert_eq!(told.matches("stays in force").count(), 2, "{told}");
    assert!(faults.found.iter().all(|fault| !fault.is_error()));
    assert!(!first.refresh(Look::AtStamps, verify::now(), &mut faults));
    assert_eq!(lines(&faults.found), told, "said once");
    // One that nobody has read before is missed.
    let other = RevocationOptions {
        missing: WithoutCrl::Warn,
        ..options
    };
    drop((first, second));
    let (_, faults) = loaded(files, &other);
    assert_eq!(
        faults.found.iter().filter(|fault| fault.is_error()).count(),
        2
    );
}

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2_048).unwrap()).unwrap()
}

/// A certificate in the name of `subject`, as if `issuer` had made it, signed by a key of our own making.
fn forged(subject: &X509, issuer: &X509, key: &PKey<Private>, is_ca: bool) -> X509 {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    let name: X509Name = subject.subject_name().to_owned().unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(issuer.subject_name()).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    if is_ca {
        let basic = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(basic).unwrap();
        let usage = KeyUsage::new().key_cert_sign().crl_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        let context = builder.x509v3_context(Some(issuer), None);
        let akid = AuthorityKeyIdentifier::new()
            .keyid(false)
            .build(&context)
            .unwrap();
        builder.append_extension(akid).unwrap();
    }
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}

/// Otherwise a stranger could have us hash a list of 100 MB for each handshake.
#[test]
fn a_forged_ca_is_refused_before_the_list_in_its_name_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let (revocation, _) = loaded(lists(dir.path()), &RevocationOptions::default());
    let verifier = verifier().with_revocation(Some(revocation));
    let key = key();
    let ca = forged(
        &read("ca/int-users.crt"),
        &read("ca/root-example.crt"),
        &key,
        true,
    );
    let leaf = forged(&read("clients/alice-int.crt"), &ca, &key, false);
    let refusal = verifier.check(&leaf, &[ca]).unwrap().unwrap_err();
    assert_eq!(
        refusal.code,
        Some(7),
        "certificate signature failure: {refusal}"
    );
    let real = read("ca/int-users.crt");
    let good = verifier
        .check(&read("clients/alice-int.crt"), &[real])
        .unwrap();
    assert!(good.is_ok(), "{good:?}");
}

/// Every bit of a list and of a response wrong, one at a time, and every length of them.
#[test]
fn damaged_octets_give_a_reason_and_never_a_good_answer() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let read = |name: &str| fs::read(fuzz.join(name)).unwrap();
    let (leaf, ca) = (read("certificates/leaf.der"), read("certificates/ca.der"));
    let look = |octets: &[u8]| revocation_of_octets(octets, &leaf, &ca).unwrap();
    let (list, good, bad) = (
        read("seeds/crl/bad.crl"),
        read("seeds/crl/good.ocsp"),
        read("seeds/crl/bad.ocsp"),
    );
    assert_eq!(look(&read("seeds/crl/both.crl")).lists, Some(2));
    assert_eq!(look(&read("seeds/crl/good-idp.pem")).lists, Some(1));
    assert!(look(&list).lists_it && !look(&list).vouches);
    assert!(look(&good).vouches && !look(&bad).vouches);
    for octets in [&list, &good, &bad] {
        for length in 0..octets.len() {
            let found = look(&octets[..length]);
            assert!(!found.vouches && !found.lists_it, "the first {length}");
        }
        let mut octets = octets.clone();
        for at in 0..octets.len() * 8 {
            octets[at / 8] ^= 1 << (at % 8);
            let found = look(&octets);
            // OpenSSL reads BER, and checks the signature of what it means in DER: "constructed" may mean the same.
            let means_the_same = 1 << (at % 8) == 0x20;
            assert!(!found.vouches || means_the_same, "bit {at}");
            octets[at / 8] ^= 1 << (at % 8);
        }
    }
}
