//! Which PEM files are roots, chains and keys: repro's file-name rules, `CADirectory`, `CAFile`.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509, X509Name};

use super::fault::{Faults, LoadFault};
use super::options::{ClientTls, TlsOptions};
use super::revocation::Revocation;
use super::{CertificateFiles, peer, pem};

/// Largest file read; a certificate bundle of the web is under 1 MiB.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Most CA names sent in a CertificateRequest; many phones fail on a longer list, none fails on an empty one.
const MAX_CA_NAMES: usize = 32;

/// A certificate that chains may end in (or pass through, if it is not self-signed).
#[derive(Clone)]
pub(super) struct Anchor {
    pub(super) certificate: X509,
    pub(super) file: PathBuf,
}

/// Every anchor of `CertificatePath`, `CADirectory` and `CAFile`; all sources add up.
pub(super) struct TrustStore {
    pub(super) anchors: Vec<Anchor>,
    /// Which certificates below them are revoked; `None` if nobody is asked.
    pub(super) revocation: Option<Arc<Revocation>>,
}

/// What a file of the certificate directory is, by its name.
#[derive(Debug, PartialEq, Eq)]
enum LegacyName {
    Root,
    DomainCertificate(String),
    DomainKey(String),
    User,
}

/// The legacy certificate directory: `root_cert_*`, `domain_cert_*`, `domain_key_*`.
#[derive(Default)]
pub(super) struct LegacyDirectory {
    pub(super) path: PathBuf,
    /// Lower-case domain, with `_ecdsa` or `_rsa` behind it where the file has that.
    certificates: BTreeMap<String, PathBuf>,
    keys: BTreeMap<String, PathBuf>,
    roots: Vec<PathBuf>,
    /// Whether any name had one of the legacy forms.
    any_legacy_name: bool,
    is_directory: bool,
}

/// Suffixes that set a second certificate of a domain apart; `_` cannot be in a host name.
const KEY_TYPES: [&str; 3] = ["", "_ecdsa", "_rsa"];

fn legacy_name(file_name: &str) -> Option<LegacyName> {
    let stem = file_name.strip_suffix(".pem")?;
    let domain = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix('.').map_or(text.clone(), str::to_owned)
    };
    if stem.starts_with("root_cert_") {
        Some(LegacyName::Root)
    } else if let Some(rest) = stem.strip_prefix("domain_cert_") {
        Some(LegacyName::DomainCertificate(domain(rest)))
    } else if let Some(rest) = stem.strip_prefix("domain_key_") {
        Some(LegacyName::DomainKey(domain(rest)))
    } else if stem.starts_with("user_cert_") || stem.starts_with("user_key_") {
        Some(LegacyName::User)
    } else {
        None
    }
}

impl LegacyDirectory {
    /// Reads the names in `CertificatePath`, not yet the files.
    pub(super) fn scan(options: &TlsOptions, faults: &mut Faults) -> Self {
        let Some(path) = &options.certificate_path else {
            return Self::default();
        };
        let mut directory = Self {
            path: path.clone(),
            ..Self::default()
        };
        match fs::metadata(path) {
            Ok(kind) if !kind.is_dir() => return directory,
            Ok(_) => directory.is_directory = true,
            Err(e) => {
                // repro starts without it, and explicit files may be all that is wanted.
                faults.push(
                    LoadFault::file(
                        path,
                        format!("the certificate directory {}", io_reason(&e)),
                        "create it, or set CertificatePath to the right one",
                    )
                    .warning(),
                );
                return directory;
            }
        }
        for file in files_of(path, faults) {
            let Some(name) = file.file_name().and_then(|n| n.to_str()) else {
                continue;
            };
            let Some(kind) = legacy_name(name) else {
                continue;
            };
            directory.any_legacy_name = true;
            match kind {
                LegacyName::Root => directory.roots.push(file),
                LegacyName::DomainCertificate(domain) => {
                    directory.certificates.insert(domain, file);
                }
                LegacyName::DomainKey(domain) => {
                    directory.keys.insert(domain, file);
                }
                LegacyName::User => faults.note(format!(
                    "{}: user certificates and keys are not used",
                    file.to_string_lossy().escape_debug()
                )),
            }
        }
        directory
    }

    /// The files of a domain by their legacy names, one pair for each key type that there is a chain for.
    ///
    /// Without any, the names that repro would have looked for, so that the fault names them.
    pub(super) fn files(&self, domain: &str) -> Vec<CertificateFiles> {
        let mut found = Vec::new();
        for key_type in KEY_TYPES {
            let name = format!("{domain}{key_type}");
            if let Some(chain) = self.certificates.get(&name) {
                let key = self.keys.get(&name).cloned();
                found.push(CertificateFiles {
                    chain: chain.clone(),
                    key: key.unwrap_or_else(|| self.path.join(format!("domain_key_{name}.pem"))),
                });
            }
        }
        if found.is_empty() {
            found.push(CertificateFiles {
                chain: self.path.join(format!("domain_cert_{domain}.pem")),
                key: self.path.join(format!("domain_key_{domain}.pem")),
            });
        }
        found
    }

    /// Where OCSP responses about the certificates of a domain may lie.
    pub(super) fn staples(&self, domain: &str) -> Vec<PathBuf> {
        if !self.is_directory {
            return Vec::new();
        }
        let name = |key_type| format!("domain_ocsp_{domain}{key_type}.der");
        let names = KEY_TYPES.iter().map(name);
        names.map(|name| self.path.join(name)).collect()
    }

    /// Every domain with a chain and a key, in order.
    pub(super) fn domains(&self) -> Vec<String> {
        let mut domains: Vec<String> = self
            .certificates
            .keys()
            .filter(|name| self.keys.contains_key(*name))
            .map(|name| {
                KEY_TYPES
                    .iter()
                    .filter(|key_type| !key_type.is_empty())
                    .find_map(|key_type| name.strip_suffix(key_type))
                    .unwrap_or(name)
                    .to_owned()
            })
            .collect();
        domains.sort();
        domains.dedup();
        domains
    }
}

/// What to make of a file that gives no anchor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The operator named it.
    ByName,
    /// It lay in a directory.
    InDirectory,
}

impl TrustStore {
    /// Loads every anchor; a file that gives none is a fault if it was asked for by name, else a warning.
    pub(super) fn load(
        options: &TlsOptions,
        directory: &LegacyDirectory,
        now: i64,
        faults: &mut Faults,
    ) -> Self {
        let mut loader = Loader::new(now, faults);
        for root in &directory.roots {
            // Its name says that it is a root: half a file, as a reload may find it while it is copied, must not put an
            // emptier trust store in the place of a good one.
            loader.file(root, Asked::ByName);
        }
        if directory.is_directory {
            let nothing_else = options.ca_directories.is_empty() && options.ca_files.is_empty();
            if !directory.any_legacy_name && nothing_else {
                loader.directory(&directory.path);
            }
        } else if directory.path.is_file() {
            loader.file(&directory.path, Asked::ByName);
        }
        loader.directories("CADirectory", "CAFile", &options.ca_directories);
        for file in &options.ca_files {
            loader.file(file, Asked::ByName);
        }
        Self {
            anchors: loader.anchors,
            revocation: None,
        }
    }

    /// The anchors for servers alone; `None` if no setting names any, so that those of the listeners count.
    pub(super) fn of_client_role(
        client: &ClientTls,
        now: i64,
        faults: &mut Faults,
    ) -> Option<Self> {
        if client.ca_directories.is_empty() && client.ca_files.is_empty() {
            return None;
        }
        Some(Self::of(
            "TLSClientRoleCADirectory",
            "TLSClientRoleCAFile",
            &client.ca_directories,
            &client.ca_files,
            now,
            faults,
        ))
    }

    /// The anchors in these directories and files, which settings of these names give.
    pub(super) fn of(
        directory_setting: &str,
        file_setting: &str,
        directories: &[PathBuf],
        files: &[PathBuf],
        now: i64,
        faults: &mut Faults,
    ) -> Self {
        let mut loader = Loader::new(now, faults);
        loader.directories(directory_setting, file_setting, directories);
        for file in files {
            loader.file(file, Asked::ByName);
        }
        Self {
            anchors: loader.anchors,
            revocation: None,
        }
    }

    pub(super) fn certificates(&self) -> Vec<X509> {
        let anchors = self.anchors.iter();
        anchors.map(|anchor| anchor.certificate.clone()).collect()
    }

    /// SHA-256 of each.
    pub(super) fn fingerprints(&self) -> HashSet<[u8; 32]> {
        self.anchors
            .iter()
            .filter_map(|anchor| peer::fingerprint(&anchor.certificate).ok())
            .collect()
    }

    /// An OpenSSL store with all anchors; `param` is for verification outside of a handshake.
    pub(super) fn build(&self, param: &X509VerifyParam) -> Result<X509Store, ErrorStack> {
        let mut builder = X509StoreBuilder::new()?;
        for anchor in &self.anchors {
            builder.add_cert(anchor.certificate.clone())?;
        }
        builder.set_param(param)?;
        Ok(builder.build())
    }

    /// Names for the CertificateRequest; `None` (send none) when there are more than phones can take.
    pub(super) fn ca_names(&self) -> Result<Option<Stack<X509Name>>, ErrorStack> {
        if self.anchors.len() > MAX_CA_NAMES {
            return Ok(None);
        }
        let mut names = Stack::new()?;
        for anchor in &self.anchors {
            names.push(anchor.certificate.subject_name().to_owned()?)?;
        }
        Ok(Some(names))
    }
}

struct Loader<'a> {
    anchors: Vec<Anchor>,
    seen: HashSet<[u8; 32]>,
    now: i64,
    faults: &'a mut Faults,
}

impl<'a> Loader<'a> {
    fn new(now: i64, faults: &'a mut Faults) -> Self {
        Self {
            anchors: Vec::new(),
            seen: HashSet::new(),
            now,
            faults,
        }
    }

    /// Directories that a setting names; `for_files` is the one for single files.
    fn directories(&mut self, setting: &str, for_files: &str, paths: &[PathBuf]) {
        for path in paths {
            match fs::metadata(path) {
                Ok(kind) if kind.is_dir() => self.directory(path),
                Ok(_) => self.faults.push(LoadFault::file(
                    path,
                    format!("{setting} is not a directory"),
                    format!("use {for_files} for a single file"),
                )),
                Err(e) => self.faults.push(LoadFault::file(
                    path,
                    format!("{setting} {}", io_reason(&e)),
                    format!("create it, or take it out of {setting}"),
                )),
            }
        }
    }

    fn directory(&mut self, path: &Path) {
        let before = self.anchors.len();
        let seen = self.seen.len();
        for file in files_of(path, self.faults) {
            self.file(&file, Asked::InDirectory);
        }
        if self.anchors.len() == before && self.seen.len() == seen {
            self.faults.push(
                LoadFault::file(
                    path,
                    "no file of this CA directory holds a new certificate",
                    "put the CA certificates there as PEM files",
                )
                .warning(),
            );
        }
    }

    fn file(&mut self, path: &Path, asked: Asked) {
        let severity = |fault: LoadFault| match asked {
            Asked::ByName => fault,
            Asked::InDirectory => fault.warning(),
        };
        let text = match read(path) {
            Ok(text) => text,
            Err(fault) => {
                self.faults.push(severity(*fault));
                return;
            }
        };
        let mut certificates = 0_usize;
        for block in pem::blocks(&text) {
            if !block.is_certificate() {
                continue;
            }
            certificates += 1;
            match block.certificate() {
                Ok(certificate) => self.add(path, certificate),
                Err(reason) => self.faults.push(severity(
                    LoadFault::file(path, reason, "get this CA certificate again, as PEM")
                        .in_block(&block.place),
                )),
            }
        }
        if certificates == 0 {
            self.faults.push(severity(LoadFault::file(
                path,
                "holds no certificate, skipped",
                "keep only PEM files of CA certificates among the trust anchors",
            )));
        }
    }

    fn add(&mut self, path: &Path, certificate: X509) {
        let Ok(fingerprint) = peer::fingerprint(&certificate) else {
            return;
        };
        // /etc/ssl/certs has each anchor as a file, as a hash link and in the bundle.
        if !self.seen.insert(fingerprint) {
            return;
        }
        let not_after = peer::unix_time(certificate.not_after()).unwrap_or(i64::MAX);
        if not_after < self.now {
            let subject = peer::name_line(certificate.subject_name());
            self.faults.push(
                LoadFault::file(
                    path,
                    format!("the trust anchor {subject:?} has expired"),
                    "get its successor from the CA; certificates under it are refused",
                )
                .warning(),
            );
        }
        self.anchors.push(Anchor {
            certificate,
            file: path.to_owned(),
        });
    }
}

/// Regular files of a directory in the order of their names; links are followed, dangling ones and folders passed over.
pub(super) fn files_of(path: &Path, faults: &mut Faults) -> Vec<PathBuf> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => {
            faults.push(LoadFault::file(
                path,
                format!("the directory {}", io_reason(&e)),
                "let the user that the server starts as read it",
            ));
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Reads a whole regular file of a bearable size.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Box<LoadFault>> {
    let refuse = |reason: String, mend: &str| Box::new(LoadFault::file(path, reason, mend));
    let permission = "check the name, and that the user the server starts as may read it";
    let kind = fs::metadata(path).map_err(|e| refuse(io_reason(&e), permission))?;
    if !kind.is_file() {
        return Err(refuse("is not a file".to_owned(), "name a PEM file here"));
    }
    if kind.len() > MAX_FILE_BYTES {
        return Err(refuse(
            "is larger than 16 MiB".to_owned(),
            "name a PEM file here",
        ));
    }
    fs::read(path).map_err(|e| refuse(io_reason(&e), permission))
}

pub(super) fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("cannot be read ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names_are_case_sensitive_in_their_prefix_only() {
        for (situation, name, wanted) in [
            ("a root", "root_cert_x.pem", Some(LegacyName::Root)),
            (
                "a chain, its domain in lower case",
                "domain_cert_Example.ORG.pem",
                Some(LegacyName::DomainCertificate("example.org".to_owned())),
            ),
            (
                "a key of a second type",
                "domain_key_example.org_ecdsa.pem",
                Some(LegacyName::DomainKey("example.org_ecdsa".to_owned())),
            ),
            ("a user's key", "user_key_a@b.pem", Some(LegacyName::User)),
            ("another ending", "root_cert_x.crt", None),
            ("another case", "Root_cert_x.pem", None),
            ("another name", "ca.pem", None),
        ] {
            assert_eq!(legacy_name(name), wanted, "{situation}");
        }
    }
}
