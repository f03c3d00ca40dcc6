//! What the contacts of a REGISTER ask for, and doing it whole or not at all: RFC 3261 §10.3 steps 6 and 7.

use std::time::Instant;

use smallvec::SmallVec;

use super::binding::{Binding, Draft, FlowId, ends, same_contact};
use super::options::RegistrarOptions;
use super::register::{Changes, Outcome};
use crate::sip::{HeaderName, Request, StatusCode, addresses};

/// A requested interval of an hour or more is never too brief, whatever the minimum (RFC 3261 §10.3 step 7).
const NEVER_TOO_BRIEF: u32 = 3600;

/// A contact and the interval granted to it; 0 removes it.
pub(super) struct Wanted {
    draft: Draft,
    expires: u32,
}

/// What has been done.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) changes: Changes,
    /// Whether a binding is tied to a flow that was not before.
    pub(super) tied: bool,
    /// URIs of those bindings, if they were to be named.
    pub(super) reached: Vec<Box<[u8]>>,
}

/// What a REGISTER asks for.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for one request; a box would cost an allocation"
)]
pub(super) enum Wish {
    /// No Contact: only list.
    List,
    /// `Contact: *`: remove all.
    RemoveAll,
    /// Add, refresh or remove these, no two of them the same.
    Change(SmallVec<[Wanted; 1]>),
}

impl Wish {
    /// What the Contact and Expires fields say, or what is wrong with them.
    pub(super) fn read(
        request: &Request<'_>,
        options: &RegistrarOptions,
        flow: Option<FlowId>,
    ) -> Result<Self, Outcome> {
        const MALFORMED: &str = "Malformed Contact";
        const BAD_STAR: &str = "Invalid use of 'Contact: *'";
        let message = request.message;
        let expires = message.first(HeaderName::Expires).map(delta_seconds);
        let user_agent = message.first(HeaderName::UserAgent).unwrap_or_default();
        // Enough to replace every binding by another one in a single request.
        let most = options.max_contacts.get().saturating_mul(2);
        let mut wanted: SmallVec<[Wanted; 1]> = SmallVec::new();
        let (mut stars, mut seen) = (0_usize, 0_usize);
        for contact in message.all(HeaderName::Contact).flat_map(addresses) {
            seen += 1;
            let contact = match contact {
                Ok(contact) => contact,
                Err(b"*") => {
                    stars += 1;
                    continue;
                }
                Err(_) => return Err(Outcome::bad_request(MALFORMED)),
            };
            if seen > most {
                return Err(too_many_contacts());
            }
            let own = contact.parameters.value("expires").map(delta_seconds);
            let expires = grant(own.or(expires), options)?;
            let draft = Draft::new(&contact, request.call_id, request.cseq, user_agent, flow)
                .ok_or_else(|| Outcome::bad_request(MALFORMED))?;
            // Deviation: §10.3 step 7 would fail a request that names a contact twice, since the second finds the CSeq
            // of the first. The last one counts.
            wanted.retain(|w| !same_contact(w.draft.uri_text(), draft.uri_text()));
            wanted.push(Wanted { draft, expires });
        }
        match (seen, stars) {
            (0, _) => Ok(Self::List),
            (_, 0) => Ok(Self::Change(wanted)),
            (1, 1) if expires == Some(Some(0)) => Ok(Self::RemoveAll),
            _ => Err(Outcome::bad_request(BAD_STAR)),
        }
    }

    /// Changes the bindings, or refuses and leaves them as they are. `name_reached` asks for [`Applied::reached`].
    pub(super) fn apply(
        self,
        request: &Request<'_>,
        options: &RegistrarOptions,
        bindings: &mut Vec<Binding>,
        name_reached: bool,
        now: Instant,
    ) -> Result<Applied, Outcome> {
        let newer = |b: &Binding| b.yields_to(request.call_id, request.cseq);
        let mut applied = Applied::default();
        let changes = &mut applied.changes;
        let wanted = match self {
            Self::List => return Ok(applied),
            Self::RemoveAll => {
                if !bindings.iter().all(newer) {
                    return Err(out_of_order());
                }
                changes.removed = bindings.len();
                bindings.clear();
                return Ok(applied);
            }
            Self::Change(wanted) => wanted,
        };
        // First what would happen, …
        let mut places: SmallVec<[Option<usize>; 4]> = SmallVec::new();
        for Wanted { draft, expires } in &wanted {
            // Comparison of URIs is not transitive: two contacts that differ may both be like a third. A binding is
            // changed once.
            let place = bindings
                .iter()
                .enumerate()
                .position(|(at, b)| !places.contains(&Some(at)) && b.is_at(draft.uri_text()));
            match (place.and_then(|at| bindings.get(at)), expires) {
                (Some(binding), _) if !newer(binding) => return Err(out_of_order()),
                (Some(_), 0) => changes.removed += 1,
                (Some(_), _) => changes.refreshed += 1,
                (None, 0) => {}
                (None, _) => changes.added += 1,
            }
            places.push(place);
        }
        let left = (bindings.len() + changes.added).saturating_sub(changes.removed);
        if changes.added > 0 && left > options.max_contacts.get() {
            return Err(too_many_contacts());
        }
        // … then make it so; from here on nothing fails.
        let mut gone: SmallVec<[usize; 4]> = SmallVec::new();
        let mut added = Vec::new();
        let mut tie = |binding: &Binding, before: Option<FlowId>| {
            if binding.flow().is_some() && binding.flow() != before {
                applied.tied = true;
                if name_reached {
                    applied.reached.push(binding.uri_text().into());
                }
            }
        };
        for (Wanted { draft, expires }, place) in wanted.into_iter().zip(places) {
            match (place, expires) {
                (Some(at), 0) => gone.push(at),
                (None, 0) => {}
                (Some(at), _) => {
                    if let Some(binding) = bindings.get_mut(at) {
                        let before = binding.flow();
                        binding.renew(draft, ends(now, expires));
                        tie(binding, before);
                    }
                }
                (None, _) => {
                    let binding = draft.into_binding(ends(now, expires));
                    tie(&binding, None);
                    added.push(binding);
                }
            }
        }
        if !gone.is_empty() {
            let mut at = 0_usize;
            bindings.retain(|_| {
                at += 1;
                !gone.contains(&(at - 1))
            });
        }
        bindings.append(&mut added);
        Ok(applied)
    }
}

/// Seconds in decimal; `None` for anything else or 2**32 and more (RFC 3261 §20.19).
fn delta_seconds(text: &[u8]) -> Option<u32> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The interval for a contact: the one asked for, ours where none was or it is unreadable (RFC 3261 §20.10), shortened
/// to our longest.
fn grant(asked: Option<Option<u32>>, options: &RegistrarOptions) -> Result<u32, Outcome> {
    let seconds = match asked.flatten() {
        Some(0) => return Ok(0),
        Some(seconds) => seconds,
        None => options.default_expires.max(options.min_expires).max(1),
    };
    if seconds < options.min_expires && seconds < NEVER_TOO_BRIEF {
        let status = StatusCode::INTERVAL_TOO_BRIEF;
        return Err(Outcome::refused(status, status.phrase())
            .with_header("Min-Expires", options.min_expires));
    }
    Ok(seconds.min(options.max_expires.max(1)))
}

/// RFC 3261 §10.3 steps 6 and 7: the request fails, with 500.
fn out_of_order() -> Outcome {
    Outcome::refused(StatusCode::SERVER_INTERNAL_ERROR, "REGISTER Out Of Order")
}

/// 403, since asking again will not help (RFC 3261 §21.4.4); removing a contact in the same request will.
fn too_many_contacts() -> Outcome {
    Outcome::refused(StatusCode::FORBIDDEN, "Too Many Contacts")
}
