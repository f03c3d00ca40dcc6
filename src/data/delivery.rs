//! Kept messages go to their user when a device of theirs registers.
//!
//! One after the other the way that the REGISTER came, or by its Path; each is removed when the device has taken it, and kept when it
//! has not. repro removed them whether or not they had arrived.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;
use log::{debug, info, warn};

use super::directory::unix_now;
use crate::proxy::{KeptMessage, Replay, SiloOptions};
use crate::registrar::{Aor, FlowId};
use crate::sip::StatusCode;
use crate::store::{Error, Record, SiloMessage, Store, Table};
use crate::transport::{Delivered, EngineHandle, Outgoing, Registered, RegistrationEvent};

/// Most messages that one registration brings; the others come with the next.
const MOST_AT_ONCE: usize = 1_000;

/// Whoever delivers.
pub(crate) struct Delivery {
    store: Arc<dyn Store>,
    options: ArcSwap<SiloOptions>,
}

impl Delivery {
    pub(crate) fn new(store: Arc<dyn Store>, options: SiloOptions) -> Self {
        Self {
            store,
            options: ArcSwap::from_pointee(options),
        }
    }

    /// Follows other settings from now on.
    pub(crate) fn follow(&self, options: SiloOptions) {
        self.options.store(Arc::new(options));
    }

    /// The messages for an address-of-record that are not too old, oldest first.
    fn messages(&self, aor: &Aor) -> Result<VecDeque<SiloMessage>, Error> {
        let mut found = Vec::new();
        for scheme in ["sip", "sips"] {
            let destination = format!("{scheme}:{}", aor.as_str());
            found.extend(self.store.messages_for(&destination, MOST_AT_ONCE)?);
        }
        found.sort_by(|a, b| (a.original_sent_time, &a.tid).cmp(&(b.original_sent_time, &b.tid)));
        let age = self.options.load().expiration_seconds;
        let oldest = match age {
            0 => 0,
            age => unix_now().saturating_sub(age),
        };
        let fresh = |message: &SiloMessage| message.original_sent_time >= oldest;
        Ok(found.into_iter().filter(fresh).collect())
    }
}

/// What was read when a device registered, and where it goes.
struct Letters {
    delivery: Arc<dyn Fn() -> Arc<Delivery> + Send + Sync>,
    flow: FlowId,
    /// Of the proxies that lead to the device, if there are any.
    path: Vec<String>,
    aor: Aor,
    contact: Box<[u8]>,
    left: VecDeque<SiloMessage>,
}

impl Registered for Arc<Delivery> {
    fn registered(&self, event: RegistrationEvent, engine: &EngineHandle) {
        if !self.options.load().enabled {
            return;
        }
        // Several contacts over one flow are one device.
        let Some(contact) = event.contacts.into_iter().next() else {
            return;
        };
        let (own, handle) = (Arc::clone(self), engine.clone());
        let (aor, flow, path) = (event.aor, event.flow, event.path);
        let submitted = engine.submit(move || match own.messages(&aor) {
            Ok(left) if left.is_empty() => {}
            Ok(left) => {
                info!(
                    "silo.delivering aor={:?} messages={}",
                    aor.as_str(),
                    left.len()
                );
                let letters = Letters {
                    delivery: Arc::new(move || Arc::clone(&own)),
                    flow,
                    path,
                    aor,
                    contact,
                    left,
                };
                letters.send_next(&handle);
            }
            Err(error) => warn!(
                "silo.failed aor={:?} error={:?} they are kept",
                aor.as_str(),
                error.to_string()
            ),
        });
        if submitted.is_err() {
            warn!(
                "silo.busy the lookup pool is full; kept messages wait for the next registration"
            );
        }
    }
}

impl Letters {
    /// Sends one message; the answer to it sends the next.
    fn send_next(mut self, engine: &EngineHandle) {
        while let Some(message) = self.left.pop_front() {
            let key = Record::Silo(message.clone()).key();
            let delivery = (self.delivery)();
            let add_date = delivery.options.load().add_date;
            let Some(request) = written(&message, &self.contact, add_date) else {
                warn!("silo.unsendable aor={:?} it is kept", self.aor.as_str());
                continue;
            };
            let (flow, handle) = (self.flow, engine.clone());
            // What is left goes along with this message, and comes back with its answer.
            let left = std::mem::take(&mut self.left);
            let rest = Self {
                left,
                delivery: Arc::clone(&self.delivery),
                contact: self.contact.clone(),
                aor: self.aor.clone(),
                path: self.path.clone(),
                flow,
            };
            let deliver = move |outcome: Delivered| rest.answered(&key, &outcome, &handle);
            match Outgoing::new(flow, request, deliver) {
                Ok(outgoing) => {
                    if engine.send(outgoing.through(self.path)).is_err() {
                        warn!("silo.busy aor={:?} the rest is kept", self.aor.as_str());
                    }
                }
                Err(error) => warn!(
                    "silo.unsendable aor={:?} error={:?} it and the rest are kept",
                    self.aor.as_str(),
                    error.to_string()
                ),
            }
            return;
        }
    }

    /// Whether an answer is not that of the device, but of who should have led to it.
    fn is_no_way(&self, status: StatusCode) -> bool {
        let says_so = matches!(
            status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::FLOW_FAILED
                | StatusCode::TEMPORARILY_UNAVAILABLE
        );
        !self.path.is_empty() && (says_so || (500..600).contains(&status.as_u16()))
    }

    fn answered(self, key: &str, outcome: &Delivered, engine: &EngineHandle) {
        let aor = self.aor.as_str();
        match outcome {
            Delivered::Answered { status, .. } if status.as_u16() < 300 => {
                debug!("silo.delivered aor={aor:?} status={status}");
                let store = &(self.delivery)().store;
                if let Err(error) = store.remove(Table::Silo, &[key.to_owned()]) {
                    warn!(
                        "silo.failed aor={aor:?} error={:?} it may come twice",
                        error.to_string()
                    );
                }
            }
            Delivered::Answered { status, .. } if self.is_no_way(*status) => {
                info!("silo.undelivered aor={aor:?} reason=\"{status}\" it and the rest are kept");
                return;
            }
            Delivered::Answered { status, .. } => {
                info!("silo.refused aor={aor:?} status={status} it is kept");
            }
            Delivered::Failed(why) => {
                info!("silo.undelivered aor={aor:?} reason={why:?} it and the rest are kept");
                return;
            }
        }
        self.send_next(engine);
    }
}

/// The request, without a Via.
fn written(message: &SiloMessage, contact: &[u8], add_date: bool) -> Option<Vec<u8>> {
    let kept = KeptMessage {
        destination: message.dest_uri.clone(),
        source: message.source_uri.clone(),
        arrived: 0,
        transaction: String::new(),
        content_type: message.mime_type.clone(),
        body: message.message_body.clone(),
    };
    Replay {
        message: &kept,
        contact,
        path: &[],
        sent: add_date.then_some(message.original_sent_time),
        tag: &word(),
        call_id: &word(),
    }
    .write()
}

/// A word that no other request has had and no peer can guess (RFC 3261 §8.1.1.4, §19.3).
fn word() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
