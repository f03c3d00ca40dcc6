//! Registrations that outlive a restart: bindings as the registrar has them, and as the embedded store keeps them.

use std::time::Instant;

use log::{info, warn};

use super::directory::unix_now;
use crate::registrar::{Aor, Changed, Location, RegistrarOptions, Saved};
use crate::store::Error;
use crate::store::embedded::{Embedded, SavedBinding};

/// Addresses-of-record whose changes are remembered until they are written; beyond it everything is written.
const MOST_CHANGED: usize = 65_536;
/// Addresses-of-record written in one step.
const BATCH: usize = 1_000;

/// Takes back what was written before a restart, and has changes remembered from now on.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn restore(
    store: &Embedded,
    location: &Location,
    options: &RegistrarOptions,
) -> Result<(), Error> {
    let (wall, now) = (unix_now(), Instant::now());
    let (mut restored, mut left_out) = (0_u64, 0_u64);
    store.bindings(wall, &mut |binding| {
        let saved = Saved {
            seconds_left: binding.expires_at.saturating_sub(wall),
            contact: binding.contact,
            parameters: binding.parameters,
            call_id: binding.call_id,
            cseq: binding.cseq,
            user_agent: binding.user_agent,
            path: binding.path,
            q: binding.q,
            datagram: binding.datagram,
        };
        match location.restore(&binding.aor, &saved, options, now) {
            Ok(()) => restored += 1,
            Err(why) => {
                left_out += 1;
                warn!(
                    "registrar.not_restored aor={:?} reason={:?}",
                    binding.aor,
                    why.to_string()
                );
            }
        }
    })?;
    location.track_changes(MOST_CHANGED);
    info!("registrar.restored bindings={restored} left_out={left_out}");
    Ok(())
}

/// Writes what has changed since it was last asked. What could not be written is tried again the next time.
pub(super) fn write_changes(store: &Embedded, location: &Location) {
    let (wall, now) = (unix_now(), Instant::now());
    let changed = location.take_changed();
    let written = match &changed {
        Changed::These(aors) => aors.chunks(BATCH).try_for_each(|aors| {
            let rows: Vec<_> = aors
                .iter()
                .map(|aor| rows(aor, location.saved(aor.as_str(), now), wall))
                .collect();
            store.save_bindings(&rows)
        }),
        Changed::Everything => write_all(store, location, now, wall),
    };
    if let Err(error) = written {
        warn!(
            "registrar.not_written error={:?} it is tried again",
            error.to_string()
        );
        location.give_back_changed(changed);
    }
}

fn write_all(store: &Embedded, location: &Location, now: Instant, wall: u64) -> Result<(), Error> {
    // Those that are gone have no entry any more to be written over.
    store.expire_bindings(u64::MAX >> 1)?;
    let mut batch = Vec::with_capacity(BATCH);
    for (aor, saved) in location.dump(now) {
        batch.push(rows(&aor, saved, wall));
        if batch.len() == BATCH {
            store.save_bindings(&batch)?;
            batch.clear();
        }
    }
    store.save_bindings(&batch)
}

fn rows(aor: &Aor, saved: Vec<Saved>, wall: u64) -> (String, Vec<SavedBinding>) {
    let bindings = saved
        .into_iter()
        .map(|saved| SavedBinding {
            aor: aor.as_str().to_owned(),
            contact: saved.contact,
            parameters: saved.parameters,
            call_id: saved.call_id,
            user_agent: saved.user_agent,
            q: saved.q,
            cseq: saved.cseq,
            path: saved.path,
            datagram: saved.datagram,
            expires_at: wall.saturating_add(saved.seconds_left),
        })
        .collect();
    (aor.as_str().to_owned(), bindings)
}
