//! The passwords of the users, for digest authentication: asked of the store, and remembered for a moment, since a client
//! proves its password again with every request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory::failed;
use super::memory::Memory;
use crate::auth::{self, HashText, PasswordsFailed};
use crate::store::Store;

/// Longest time that a hash is remembered: in a data base that others write, a changed password counts after that.
pub(super) const REMEMBER: Duration = Duration::from_secs(5);

/// What is remembered of a user of a domain.
pub(super) type Remembered = Memory<(String, String), Option<Arc<HashText>>>;

/// The table of users, and what is remembered of it.
pub(super) struct Passwords {
    store: Arc<dyn Store>,
    memory: Remembered,
}

impl Passwords {
    pub(super) fn new(store: Arc<dyn Store>, memory: Remembered) -> Self {
        Self { store, memory }
    }

    /// Forgets what is remembered.
    pub(super) fn forget(&self) {
        self.memory.forget();
    }
}

impl auth::Passwords for Passwords {
    fn recall(&self, user: &str, domain: &str) -> Option<Option<Arc<HashText>>> {
        let asked = (user.to_owned(), domain.to_owned());
        self.memory.recall(&asked, Instant::now())
    }

    fn answer(&self, user: &str, domain: &str) -> Result<Option<Arc<HashText>>, PasswordsFailed> {
        let text = self.store.password_hash(user, domain).map_err(|error| {
            failed("password", &error);
            PasswordsFailed
        })?;
        // A text that holds no hash is no password: `check` says so of it.
        let hashes = text
            .and_then(|text| HashText::parse(&text).ok())
            .filter(|hashes| !hashes.is_empty())
            .map(Arc::new);
        let asked = (user.to_owned(), domain.to_owned());
        self.memory.remember(asked, hashes.clone(), Instant::now());
        Ok(hashes)
    }
}
