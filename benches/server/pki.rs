//! Certificates of the load: one CA, one server, a user certificate for each phone; P-256 throughout.

use std::path::PathBuf;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
};
use openssl::x509::{X509, X509NameBuilder};

/// The certificates, and the directory that the servers read theirs from.
pub(crate) struct Pki {
    pub(crate) directory: PathBuf,
    pub(crate) ca: X509,
    /// Certificates of `sip:u0@example.org`, `sip:u1@example.org` …, all on one key: making it is not what is measured.
    pub(crate) users: Vec<X509>,
    pub(crate) user_key: PKey<Private>,
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn certificate(
    name: &str,
    uri: Option<&str>,
    key: &PKey<Private>,
    ca: Option<(&X509, &PKey<Private>)>,
) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder
        .set_issuer_name(ca.map_or(&*subject, |(ca, _)| ca.subject_name()))
        .unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(30).unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    match ca {
        None => {
            builder
                .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
                .unwrap();
            builder
                .append_extension(KeyUsage::new().critical().key_cert_sign().build().unwrap())
                .unwrap();
        }
        Some((ca, _)) => {
            builder
                .append_extension(BasicConstraints::new().critical().build().unwrap())
                .unwrap();
            builder
                .append_extension(
                    KeyUsage::new()
                        .critical()
                        .digital_signature()
                        .build()
                        .unwrap(),
                )
                .unwrap();
            let usage = ExtendedKeyUsage::new()
                .client_auth()
                .server_auth()
                .build()
                .unwrap();
            builder.append_extension(usage).unwrap();
            if let Some(uri) = uri {
                let context = builder.x509v3_context(Some(ca), None);
                let names = SubjectAlternativeName::new()
                    .uri(uri)
                    .build(&context)
                    .unwrap();
                builder.append_extension(names).unwrap();
            }
        }
    }
    builder
        .sign(
            ca.map_or(key, |(_, ca_key)| ca_key),
            MessageDigest::sha256(),
        )
        .unwrap();
    builder.build()
}

impl Pki {
    /// Makes `users` user certificates and everything around them.
    pub(crate) fn make(users: usize) -> Self {
        let directory = std::env::temp_dir().join(format!("sipvouch-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let ca_key = key();
        let ca = certificate("Bench Root", None, &ca_key, None);
        let server_key = key();
        let server = certificate(
            "example.org",
            Some("sip:example.org"),
            &server_key,
            Some((&ca, &ca_key)),
        );
        let write = |name: &str, pem: Vec<u8>| std::fs::write(directory.join(name), pem).unwrap();
        write("root_cert_bench.pem", ca.to_pem().unwrap());
        write("domain_cert_example.org.pem", server.to_pem().unwrap());
        write(
            "domain_key_example.org.pem",
            server_key.private_key_to_pem_pkcs8().unwrap(),
        );
        let user_key = key();
        let users = (0..users)
            .map(|n| {
                let uri = format!("sip:u{n}@example.org");
                certificate(
                    &format!("User {n}"),
                    Some(&uri),
                    &user_key,
                    Some((&ca, &ca_key)),
                )
            })
            .collect();
        Self {
            directory,
            ca,
            users,
            user_key,
        }
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
