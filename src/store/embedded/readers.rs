//! Connections for reading.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::place::{self, FileId, Mode};
use crate::store::{Displacement, Error};

/// Most connections that are kept open while nobody reads.
const MAX_IDLE: usize = 8;

/// Connections for reading: one for each thread that reads at the moment, so that none waits for another, nor for the
/// writer. There are as many as threads that ask at the same time; the server's lookup pool bounds them.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    mode: Mode,
    file: FileId,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Of this file, as long as it has that name.
    pub(super) fn new(path: PathBuf, mode: Mode, file: FileId) -> Self {
        Self {
            path,
            mode,
            file,
            idle: Mutex::default(),
        }
    }

    /// Reads with a connection of one's own. Whatever `read` does, calls of the store among it, nobody waits for it.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let result = read(&connection);
        // One that met a fault is closed; it may hold more of what it met in its cache.
        if result.is_ok() {
            let mut idle = self.lock();
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        }
        result
    }

    /// A new connection to the same file: by its name one would come to another that has been put there.
    fn connect(&self) -> Result<Connection, Error> {
        self.require_in_place()?;
        let connection = place::connect(&self.path, self.mode)?;
        self.require_in_place()?;
        Ok(connection)
    }

    fn require_in_place(&self) -> Result<(), Error> {
        if FileId::of(&self.path).is_ok_and(|file| file == self.file) {
            return Ok(());
        }
        Err(Error::Displaced {
            path: self.path.clone(),
            displacement: Displacement::Replaced,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
