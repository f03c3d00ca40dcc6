//! The passwords of the users, for digest authentication.
//!
//! The store is asked each time. What is remembered would be answered sooner than what is not, and so tell who exists.

use std::sync::Arc;

use super::directory::failed;
use crate::auth::{self, HashText, PasswordsFailed};
use crate::store::Store;

/// The table of users.
pub(super) struct Passwords {
    store: Arc<dyn Store>,
}

impl Passwords {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

impl auth::Passwords for Passwords {
    fn answer(&self, user: &str, domain: &str) -> Result<Option<Arc<HashText>>, PasswordsFailed> {
        let text = self.store.password_hash(user, domain).map_err(|error| {
            failed("password", &error);
            PasswordsFailed
        })?;
        // A text that holds no hash is no password: `check` says so of it.
        let hashes = text
            .and_then(|text| HashText::parse(&text).ok())
            .filter(|hashes| !hashes.is_empty());
        Ok(hashes.map(Arc::new))
    }
}
