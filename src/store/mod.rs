//! What survives a restart: users, domains, routes, ACL, filters, identities, static registrations, kept messages.
//!
//! [`Record`] is what the tables hold; a [`Store`] holds it: the embedded SQLite file (`embedded`), or repro's own
//! schema in PostgreSQL or MySQL (`sql`). `berkeley` reads repro's Berkeley DB files, `import` takes a whole
//! deployment over, `text` is the readable form of an export. Everything here may block: workers ask through the
//! lookup pool.

use std::sync::Arc;

pub mod berkeley;
pub mod dump;
pub mod embedded;
pub mod encoding;
mod error;
pub mod import;
mod legacy;
mod options;
mod record;
pub mod sql;
pub mod text;

pub use error::{Displacement, Error, RecordFault};
pub use legacy::{ReproDirectory, StoreSource};
pub use options::{Backend, Password, SqlKind, SqlOptions, SqlTls, StoreOptions};
pub use record::{
    Acl, Domain, Filter, FilterAction, Identity, Record, Route, SiloMessage, StaticRegistration,
    Table, User,
};

/// Name of the embedded store in its directory.
pub const STORE_FILE: &str = "sipvouch.db";

/// What a `put` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was not there.
    Added,
    /// It was there with other contents.
    Changed,
    /// It was there just so.
    Same,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    More,
    /// No.
    Enough,
}

/// Where records live. All calls may block, and may come from several threads at once.
pub trait Store: Send + Sync {
    /// The place, for messages: the file, or host and data base; never a password.
    fn place(&self) -> String;

    /// Gives every record of a table, in the order of keys. What cannot be read is given as a fault, and the rest goes
    /// on.
    ///
    /// # Errors
    /// The store does not answer, or the table is not there.
    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Record, RecordFault>) -> Flow,
    ) -> Result<(), Error>;

    /// One record by its key ([`Record::key`]).
    ///
    /// # Errors
    /// The store does not answer, or the record cannot be read.
    fn get(&self, table: Table, key: &str) -> Result<Option<Record>, Error>;

    /// Stores records in place of those with the same key, all or none; says for each what it did.
    ///
    /// # Errors
    /// The store does not answer or refuses; then nothing was changed.
    fn put(&self, records: &[Record]) -> Result<Vec<Put>, Error>;

    /// Removes records by their keys, all in one step; says how many were there.
    ///
    /// # Errors
    /// The store does not answer or refuses; then nothing was changed.
    fn remove(&self, table: Table, keys: &[String]) -> Result<usize, Error>;

    /// Takes `old` (a key) away and puts `record`, in one step: a change that changes the key.
    ///
    /// # Errors
    /// The store does not answer or refuses; then nothing was changed.
    fn replace(&self, old: &str, record: &Record) -> Result<Put, Error>;

    /// Hashes of the password of a user of a realm, as repro stores them; `None` for nobody.
    ///
    /// # Errors
    /// The store does not answer.
    fn password_hash(&self, user: &str, realm: &str) -> Result<Option<String>, Error>;

    /// Whether one of these names of a certificate may use one of these identities (`user@domain`, `domain`).
    ///
    /// # Errors
    /// The store does not answer.
    fn authorizes(&self, peer_names: &[String], identities: &[String]) -> Result<bool, Error>;

    /// Messages kept for this address-of-record (a URI, exactly), oldest first, those of one second in the order of their
    /// `tid`; at most `limit`.
    ///
    /// # Errors
    /// The store does not answer.
    fn messages_for(&self, dest_uri: &str, limit: usize) -> Result<Vec<SiloMessage>, Error>;

    /// Number of messages kept for this address-of-record, and in all.
    ///
    /// # Errors
    /// The store does not answer.
    fn count_messages(&self, dest_uri: &str) -> Result<(u64, u64), Error>;

    /// Removes messages that came before this time (seconds since 1970); says how many.
    ///
    /// # Errors
    /// The store does not answer.
    fn expire_messages(&self, before: u64) -> Result<usize, Error>;

    /// A number that is another whenever somebody else has changed the store; `None` where that cannot be told.
    ///
    /// # Errors
    /// The store does not answer.
    fn version(&self) -> Result<Option<u64>, Error>;
}

/// A store that several hold.
impl<S: Store + ?Sized> Store for Arc<S> {
    fn place(&self) -> String {
        (**self).place()
    }

    fn each(
        &self,
        table: Table,
        take: &mut dyn FnMut(Result<Record, RecordFault>) -> Flow,
    ) -> Result<(), Error> {
        (**self).each(table, take)
    }

    fn get(&self, table: Table, key: &str) -> Result<Option<Record>, Error> {
        (**self).get(table, key)
    }

    fn put(&self, records: &[Record]) -> Result<Vec<Put>, Error> {
        (**self).put(records)
    }

    fn remove(&self, table: Table, keys: &[String]) -> Result<usize, Error> {
        (**self).remove(table, keys)
    }

    fn replace(&self, old: &str, record: &Record) -> Result<Put, Error> {
        (**self).replace(old, record)
    }

    fn password_hash(&self, user: &str, realm: &str) -> Result<Option<String>, Error> {
        (**self).password_hash(user, realm)
    }

    fn authorizes(&self, peer_names: &[String], identities: &[String]) -> Result<bool, Error> {
        (**self).authorizes(peer_names, identities)
    }

    fn messages_for(&self, dest_uri: &str, limit: usize) -> Result<Vec<SiloMessage>, Error> {
        (**self).messages_for(dest_uri, limit)
    }

    fn count_messages(&self, dest_uri: &str) -> Result<(u64, u64), Error> {
        (**self).count_messages(dest_uri)
    }

    fn expire_messages(&self, before: u64) -> Result<usize, Error> {
        (**self).expire_messages(before)
    }

    fn version(&self) -> Result<Option<u64>, Error> {
        (**self).version()
    }
}
