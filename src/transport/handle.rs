//! What other parts of the program may ask of the running engine, from any thread.

use std::sync::Arc;

use super::lookup::PoolIsFull;
use super::outgoing::{NotSent, Outgoing, Posted};
use super::shared::Shared;
use super::worker::Mail;
use crate::registrar::{Aor, FlowId, Location};

/// A way to the engine; cheap to clone. It may outlive the threads: then nothing is taken any more.
#[derive(Clone)]
pub struct EngineHandle(pub(super) Arc<Shared>);

impl EngineHandle {
    /// Runs `job` on a lookup thread, where it may block.
    ///
    /// # Errors
    /// The pool has no place (`MaximumPendingLookups`); the job is not run.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PoolIsFull> {
        self.0.lookups.submit(job)
    }

    /// Sends a request over its connection, or as a datagram. That it was taken does not say that it was sent: what became of it, its
    /// asker is told, once. Never blocks.
    ///
    /// # Errors
    /// It was not taken; then its asker is told nothing.
    pub fn send(&self, outgoing: Outgoing) -> Result<(), NotSent> {
        if self.0.is_draining() {
            return Err(NotSent::Ending);
        }
        let place = self.0.outgoing.take().ok_or(NotSent::Full)?;
        let worker = self.0.worker_of(outgoing.flow);
        let posted = Box::new(Posted { outgoing, place });
        self.0
            .post(worker, Mail::Send(posted))
            .map_err(|_| NotSent::Full)
    }

    /// The location service.
    pub fn location(&self) -> &Location {
        &self.0.location
    }
}

/// A device has registered over a connection, or by datagrams.
#[derive(Debug, Clone)]
pub struct RegistrationEvent {
    /// Its address-of-record.
    pub aor: Aor,
    /// What it came over, and without a Path the way to it, for [`Outgoing::new`].
    pub flow: FlowId,
    /// The values of the Path that leads to it, for [`Outgoing::through`].
    pub path: Vec<String>,
    /// URIs of the contacts that this flow, or Path, leads to now and did not before: new ones, and those that have come
    /// over from another flow or were known from before a restart. A mere refresh is no event.
    pub contacts: Vec<Box<[u8]>>,
}

/// Somebody who is told of registrations.
pub trait Registered: Send + Sync {
    /// Called on the worker that has the request, before the 200 has gone out: it must not block. What takes longer goes to
    /// [`EngineHandle::submit`]; what it sends over a connection comes behind the 200. Datagrams have no order.
    fn registered(&self, event: RegistrationEvent, engine: &EngineHandle);
}
