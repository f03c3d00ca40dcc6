//! The test PKI: made once by `scripts/make-pki`, and again when the script changes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};

/// The directory that `scripts/make-pki` filled. Read only: a test that changes a file copies it first.
#[derive(Debug)]
pub(crate) struct Pki {
    root: PathBuf,
}

impl Pki {
    /// The PKI of this target directory; several test processes may ask at once.
    pub(crate) fn get() -> &'static Self {
        static PKI: OnceLock<Pki> = OnceLock::new();
        PKI.get_or_init(|| {
            let root = Path::new(env!("CARGO_TARGET_TMPDIR"))
                .parent()
                .expect("the target directory")
                .join("test-pki");
            make(&root);
            Self { root }
        })
    }

    /// A file or folder of the PKI, as `ca/root-example.crt`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The PEM file with what a client named `name` sends, and its key.
    pub(crate) fn client(&self, name: &str) -> PathBuf {
        let file = if name.starts_with("server-") {
            self.path(&format!("server/{name}.pem"))
        } else {
            self.path(&format!("clients/{name}.pem"))
        };
        assert!(file.is_file(), "no certificate {name:?} in the test PKI");
        file
    }

    /// Copies a folder of the PKI (`legacy`) to `target`.
    pub(crate) fn copy_folder(&self, name: &str, target: &Path) {
        fs::create_dir_all(target).expect("certificate directory");
        for entry in fs::read_dir(self.path(name)).expect("folder of the test PKI") {
            let entry = entry.expect("entry of the test PKI");
            fs::copy(entry.path(), target.join(entry.file_name())).expect("copy of a PEM file");
        }
    }
}

fn make(root: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-pki");
    let wanted = fs::read(&script).expect("scripts/make-pki");
    let lock = root.with_extension("lock");
    let lock = File::create(lock).expect("lock file beside the test PKI");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e);
    let stamp = root.join("made-by");
    if fs::read(&stamp).is_ok_and(|made_by| made_by == wanted) {
        return;
    }
    let made = Command::new("bash")
        .arg(&script)
        .arg(root)
        .output()
        .expect("bash for scripts/make-pki");
    assert!(
        made.status.success(),
        "scripts/make-pki failed: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::write(stamp, wanted).expect("stamp of the test PKI");
}
