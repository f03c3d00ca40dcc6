//! Where a relative name leads.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::store::STORE_FILE;

/// The working directory of the start. It is kept because in the background it is `/` afterwards, and a reload has to
/// find the same files as the start did.
pub(in crate::config) fn working_directory() -> &'static Path {
    static START: OnceLock<PathBuf> = OnceLock::new();
    START.get_or_init(|| env::current_dir().unwrap_or_else(|_| PathBuf::from("/")))
}

/// The two directories that a relative name may be in.
pub(super) struct Paths {
    file: PathBuf,
    /// Of the main configuration file.
    beside: PathBuf,
    working: &'static Path,
}

impl Paths {
    /// For a main configuration file.
    pub(super) fn new(file: &Path) -> Self {
        let working = working_directory();
        let file = working.join(file);
        let beside = file.parent().unwrap_or(Path::new("/")).to_owned();
        Self {
            file,
            beside,
            working,
        }
    }

    /// The main configuration file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// A file to read, absolute.
    ///
    /// Deviation: repro looked in the working directory alone, which is `/` in the background. We look beside the
    /// configuration file first, and take the working directory for what is not there.
    pub(super) fn input(&self, name: &str) -> PathBuf {
        let beside = self.beside.join(name);
        // What may not be looked at is there: the load then says so, instead of taking another file in silence.
        if beside.try_exists().unwrap_or(true) {
            beside
        } else {
            self.working.join(name)
        }
    }

    /// The directory of a store, absolute: a relative one is below that of the configuration file, wherever the server and
    /// the commands are started.
    ///
    /// Deviation: repro looked in the working directory, so that each command would find, or make, another store.
    pub(super) fn store(&self, name: &str) -> PathBuf {
        self.beside.join(name).components().collect()
    }

    /// A store where repro would have looked for it, if there is one and it is not the one that is meant.
    pub(super) fn store_elsewhere(&self, name: &str) -> Option<PathBuf> {
        let elsewhere = self.working.join(name).join(STORE_FILE);
        let meant = self.store(name).join(STORE_FILE);
        let real = |path: &Path| path.canonicalize().ok();
        (elsewhere.exists() && real(&elsewhere) != real(&meant))
            .then(|| elsewhere.components().collect())
    }

    /// A file to write: in the working directory of the start.
    pub(super) fn output(&self, name: &str) -> PathBuf {
        self.working.join(name)
    }

    /// The log file: a name without a slash is beside the configuration file, as in repro.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        if name.contains(['/', '\\']) {
            self.working.join(name)
        } else {
            self.beside.join(name)
        }
    }

    /// `.sipCerts` in the home directory, if there is one: what an empty `CertificatePath` means.
    pub(super) fn home_certificates() -> Option<PathBuf> {
        let home = env::var_os("HOME").filter(|home| !home.is_empty())?;
        let path = Path::new(&home).join(".sipCerts");
        path.try_exists().unwrap_or(true).then_some(path)
    }
}
