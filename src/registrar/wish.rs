//! What the contacts of a REGISTER ask for, and doing it whole or not at all: RFC 3261 §10.3 steps 6 and 7.

use std::time::Instant;

use smallvec::SmallVec;

use super::binding::{Around, Binding, Draft, FlowId, ends};
use super::options::RegistrarOptions;
use super::register::{Changes, Outcome};
use super::way::Way;
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
    /// URIs of those bindings, and of those that are reached by another Path than before, if they were to be named.
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
        way: &Way,
    ) -> Result<Self, Outcome> {
        const MALFORMED: &str = "Malformed Contact";
        const BAD_STAR: &str = "Invalid use of 'Contact: *'";
        let message = request.message;
        let expires = message.first(HeaderName::Expires).map(delta_seconds);
        let around = Around {
            call_id: request.call_id,
            cseq: request.cseq,
            user_agent: message.first(HeaderName::UserAgent).unwrap_or_default(),
            path: &way.path,
            flow: way.flow,
            by_flow: way.keeps_flow,
        };
        // Enough to replace every binding by another one in a single request.
        let most = options.max_contacts.get().saturating_mul(2);
        let mut wanted: SmallVec<[Wanted; 1]> = SmallVec::new();
        let (mut stars, mut seen) = (0_usize, 0_usize);
        // Contacts that are there to stay, and whether one of all that has a `reg-id`.
        let (mut lasting, mut by_flow) = (0_usize, false);
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
            let has = |name: &str| {
                let mut names = contact.parameters.iter().map(|(name, _)| name);
                names.any(|own| own.eq_ignore_ascii_case(name.as_bytes()))
            };
            let has_reg_id = options.outbound.enabled && has("reg-id");
            if has_reg_id && has("+sip.instance") && way.wants_outbound && !way.keeps_flow {
                return Err(lacks_outbound());
            }
            if expires > 0 {
                lasting += 1;
                by_flow |= has_reg_id;
            }
            let draft =
                Draft::new(&contact, &around).ok_or_else(|| Outcome::bad_request(MALFORMED))?;
            // Deviation: §10.3 step 7 would fail a request that names a contact twice, since the second finds the CSeq
            // of the first. The last one counts.
            wanted.retain(|w| !w.draft.is_like(&draft));
            wanted.push(Wanted { draft, expires });
        }
        if by_flow && lasting > 1 {
            return Err(Outcome::bad_request(
                "Only One Contact May Be Registered With reg-id",
            ));
        }
        match (seen, stars) {
            (0, _) => Ok(Self::List),
            (_, 0) => Ok(Self::Change(wanted)),
            (1, 1) if expires == Some(Some(0)) => Ok(Self::RemoveAll),
            _ => Err(Outcome::bad_request(BAD_STAR)),
        }
    }

    /// Whether it is about flows of a device (RFC 5626 §6).
    pub(super) fn is_by_flow(&self) -> bool {
        match self {
            Self::Change(wanted) => wanted.iter().any(|wanted| wanted.draft.is_by_flow()),
            Self::List | Self::RemoveAll => false,
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
        for Wanted { draft, .. } in &wanted {
            // Comparison of URIs is not transitive: two contacts that differ may both be like a third. A binding is
            // changed once.
            let place = bindings
                .iter()
                .enumerate()
                .position(|(at, b)| !places.contains(&Some(at)) && b.is_for(draft));
            places.push(place);
        }
        // … a device that comes back after a restart takes the place of what is left of it, …
        for (at, Wanted { draft, expires }) in wanted.iter().enumerate() {
            if *expires == 0 || places.get(at) != Some(&None) {
                continue;
            }
            let place = bindings.iter().enumerate().position(|(at, b)| {
                !places.contains(&Some(at)) && newer(b) && b.comes_back_as(draft)
            });
            if let Some(free) = places.get_mut(at) {
                *free = place;
            }
        }
        for (Wanted { expires, .. }, place) in wanted.iter().zip(&places) {
            match (place.and_then(|at| bindings.get(at)), expires) {
                (Some(binding), _) if !newer(binding) => return Err(out_of_order()),
                (Some(_), 0) => changes.removed += 1,
                (Some(_), _) => changes.refreshed += 1,
                (None, 0) => {}
                (None, _) => changes.added += 1,
            }
        }
        let left = (bindings.len() + changes.added).saturating_sub(changes.removed);
        if changes.added > 0 && left > options.max_contacts.get() {
            return Err(too_many_contacts());
        }
        // … then make it so; from here on nothing fails.
        let mut gone: SmallVec<[usize; 4]> = SmallVec::new();
        let mut added = Vec::new();
        let mut tie = |binding: &Binding, before: Option<FlowId>, has_new_path: bool| {
            let is_tied = binding.flow().is_some() && binding.flow() != before;
            applied.tied |= is_tied;
            if name_reached && (is_tied || has_new_path) {
                applied.reached.push(binding.uri_text().into());
            }
        };
        for (Wanted { draft, expires }, place) in wanted.into_iter().zip(places) {
            match (place, expires) {
                (Some(at), 0) => gone.push(at),
                (None, 0) => {}
                (Some(at), _) => {
                    if let Some(binding) = bindings.get_mut(at) {
                        let before = binding.flow();
                        let path = draft.path_text();
                        let has_new_path = !path.is_empty() && path != binding.path_text();
                        binding.renew(draft, ends(now, expires));
                        tie(binding, before, has_new_path);
                    }
                }
                (None, _) => {
                    let binding = draft.into_binding(ends(now, expires));
                    tie(&binding, None, !binding.path_text().is_empty());
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

/// RFC 5626 §11.6.
fn lacks_outbound() -> Outcome {
    let status = StatusCode::FIRST_HOP_LACKS_OUTBOUND;
    Outcome::refused(status, status.phrase())
}

/// 403, since asking again will not help (RFC 3261 §21.4.4); removing a contact in the same request will.
fn too_many_contacts() -> Outcome {
    Outcome::refused(StatusCode::FORBIDDEN, "Too Many Contacts")
}
