//! CRLs and OCSP responses of the CAs in the test PKI, made by `openssl ca` and `openssl ocsp`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::x509::X509;
use tempfile::TempDir;

use super::pki::Pki;

const FAR: &str = "20491231235959Z";
const LONG_AGO: &str = "20200101000000Z";

/// What a CA knows of certificates, and how long that holds.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    name: String,
    revoked: Vec<PathBuf>,
    good: Vec<PathBuf>,
    last: &'static str,
    next: &'static str,
    number: Option<&'static str>,
    extensions: &'static str,
}

impl Authority {
    /// A CA of the test PKI that has revoked nothing.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            revoked: Vec::new(),
            good: Vec::new(),
            last: "20260101000000Z",
            next: FAR,
            number: None,
            extensions: "",
        }
    }

    /// It has revoked this certificate, a file of the PKI.
    pub(crate) fn revokes(mut self, certificate: &str) -> Self {
        self.revoked.push(Pki::get().path(certificate));
        self
    }

    /// It knows this certificate, and has not revoked it.
    pub(crate) fn knows(mut self, certificate: &str) -> Self {
        self.good.push(Pki::get().path(certificate));
        self
    }

    /// Its list is over.
    pub(crate) fn over(mut self) -> Self {
        self.last = LONG_AGO;
        self.next = "20210101000000Z";
        self
    }

    /// Its list is of this date, `20260101000000Z`, and has this number, two hexadecimal digits.
    pub(crate) fn of(mut self, date: &'static str, number: &'static str) -> Self {
        self.last = date;
        self.number = Some(number);
        self
    }

    /// Its list says that there are deltas.
    pub(crate) fn with_deltas(mut self) -> Self {
        self.extensions = "freshestCRL = URI:http://127.0.0.1/delta.crl\n";
        self
    }

    /// Its list is a delta of the first one.
    pub(crate) fn a_delta(mut self) -> Self {
        self.extensions = "2.5.29.27 = critical,ASN1:INTEGER:1\n";
        self.last = "20260201000000Z";
        self
    }

    fn key(&self) -> PathBuf {
        Pki::get().path(&format!("ca/{}.key", self.name))
    }

    fn certificate(&self) -> PathBuf {
        Pki::get().path(&format!("ca/{}.crt", self.name))
    }

    fn data_base(&self) -> TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let mut index = String::new();
        for (state, files) in [("R", &self.revoked), ("V", &self.good)] {
            for file in files {
                let serial = serial(file);
                let since = if state == "R" {
                    "260101000000Z,keyCompromise"
                } else {
                    ""
                };
                let _ = writeln!(
                    index,
                    "{state}\t20491231235959Z\t{since}\t{serial}\tunknown\t/CN=x"
                );
            }
        }
        fs::write(dir.path().join("index.txt"), index).expect("an index");
        fs::write(dir.path().join("index.txt.attr"), "unique_subject = no\n").expect("a file");
        let is_delta = self.extensions.contains("INTEGER");
        let number = self.number.unwrap_or(if is_delta { "02" } else { "01" });
        fs::write(dir.path().join("crlnumber"), format!("{number}\n")).expect("a file");
        let config = format!(
            "[ca]\ndefault_ca = d\n[d]\ndatabase = {0}/index.txt\ncrlnumber = {0}/crlnumber\ndefault_md = sha256\n\
             certificate = {1}\nprivate_key = {2}\n[x]\nauthorityKeyIdentifier = keyid\n{3}",
            dir.path().display(),
            self.certificate().display(),
            self.key().display(),
            self.extensions
        );
        fs::write(dir.path().join("ca.cnf"), config).expect("a file");
        dir
    }

    /// Its list, as PEM.
    pub(crate) fn crl(&self) -> Vec<u8> {
        let dir = self.data_base();
        let made = run(Command::new("openssl")
            .args(["ca", "-gencrl", "-crlexts", "x", "-config"])
            .arg(dir.path().join("ca.cnf"))
            .args(["-crl_lastupdate", self.last, "-crl_nextupdate", self.next]));
        let at = made
            .windows(5)
            .position(|w| w == b"-----")
            .expect("a PEM block");
        made[at..].to_vec()
    }

    /// Its list, as DER.
    pub(crate) fn crl_der(&self) -> Vec<u8> {
        let list = openssl::x509::X509Crl::from_pem(&self.crl()).expect("a CRL");
        list.to_der().expect("DER")
    }

    /// What its responder said of a certificate years ago, for a week.
    pub(crate) fn old_staple(&self, certificate: &str) -> Vec<u8> {
        self.made_old(self.staple(certificate), 3)
    }

    /// What its responder says of a certificate, for a week.
    pub(crate) fn staple(&self, certificate: &str) -> Vec<u8> {
        self.response(certificate, &["-ndays", "7"])
    }

    /// The same without a nextUpdate.
    pub(crate) fn staple_without_end(&self, certificate: &str) -> Vec<u8> {
        self.response(certificate, &[])
    }

    fn response(&self, certificate: &str, more: &[&str]) -> Vec<u8> {
        let dir = self.data_base();
        let response = dir.path().join("response.der");
        run(Command::new("openssl")
            .args(["ocsp", "-noverify", "-no_nonce", "-resp_no_certs"])
            .args(more)
            .arg("-index")
            .arg(dir.path().join("index.txt"))
            .arg("-CA")
            .arg(self.certificate())
            .arg("-rsigner")
            .arg(self.certificate())
            .arg("-rkey")
            .arg(self.key())
            .arg("-issuer")
            .arg(self.certificate())
            .arg("-cert")
            .arg(Pki::get().path(certificate))
            .arg("-respout")
            .arg(&response));
        fs::read(response).expect("a response")
    }

    /// A response of years ago: its dates, so many, are changed and it is signed anew.
    pub(crate) fn made_old(&self, mut response: Vec<u8>, dates: usize) -> Vec<u8> {
        let times: Vec<usize> = (0..response.len() - 17)
            .filter(|at| response[*at..].starts_with(&[0x18, 15]) && response[at + 16] == b'Z')
            .collect();
        assert_eq!(times.len(), dates, "producedAt, thisUpdate, nextUpdate");
        for at in times {
            response[at + 2..at + 6].copy_from_slice(b"2020");
        }
        // OCSPResponse, responseStatus, [0], ResponseBytes, its OID, OCTET STRING, BasicOCSPResponse, tbsResponseData.
        let mut at = header(&response, 0).0;
        at = header(&response, at).1;
        at = header(&response, at).0;
        at = header(&response, at).0;
        at = header(&response, at).1;
        at = header(&response, at).0;
        at = header(&response, at).0;
        let signed = response[at..header(&response, at).1].to_vec();
        let key = fs::read(self.key()).expect("the key");
        let key = PKey::private_key_from_pem(&key).expect("a key");
        let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
        let signature = signer.sign_oneshot_to_vec(&signed).expect("a signature");
        let from = response.len() - signature.len();
        response[from..].copy_from_slice(&signature);
        response
    }
}

/// Where the content of a DER value begins, and where it ends.
fn header(der: &[u8], at: usize) -> (usize, usize) {
    let first = usize::from(der[at + 1]);
    let (length, begin) = match first {
        0..0x80 => (first, at + 2),
        _ => {
            let count = first & 0x7f;
            let octets = &der[at + 2..at + 2 + count];
            let length = octets.iter().fold(0, |sum, o| sum << 8 | usize::from(*o));
            (length, at + 2 + count)
        }
    };
    (begin, begin + length)
}

fn serial(certificate: &Path) -> String {
    let certificate = X509::from_pem(&fs::read(certificate).expect("a certificate")).expect("PEM");
    let number = certificate.serial_number().to_bn().expect("a number");
    number.to_hex_str().expect("hexadecimal").to_string()
}

fn run(command: &mut Command) -> Vec<u8> {
    let done = command.output().expect("openssl");
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    done.stdout
}
