//! The relayed requests of one worker, and what they are told of.

use std::collections::BTreeSet;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::call::{Call, State};
use super::carry::{Original, client_scope, hops, own_domain};
use super::departure::{Attempt, Departure, Place, SentVia};
use super::kept::Kept;
use super::record::Recording;
use super::share::{self, Shares};
use crate::proxy::branch;
use crate::proxy::fork::Fork;
use crate::proxy::fork_effect::{ForkEffect, ForkKind};
use crate::proxy::lead::Follow;
use crate::proxy::leave_out::Changes;
use crate::proxy::policy::Policy;
use crate::proxy::routes::Routes;
use crate::proxy::silo::KeptMessage;
use crate::proxy::target::{Target, TargetSet};
use crate::registrar::{Aor, FlowId, Location, Reach};
use crate::sip::{Message, Method, Request, Response};
use crate::transaction::{
    CancelTarget, ClientKey, ClientLayer, Key, Layer, NotBegun, Numbered, Received, TransactionId,
    TransactionOptions,
};

/// Names one relayed request within its worker; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId(u64);

/// What is to be done for a relay.
#[derive(Debug)]
pub enum Effect {
    /// Send this over a flow that is known.
    Send {
        /// The flow; that it may be gone is no news by now.
        flow: FlowId,
        /// The octets.
        octets: Arc<[u8]>,
    },
    /// Find a way for this request, send it, and tell what became of it.
    Depart(Box<Departure>),
    /// A place that a URI leads to has failed: others are to be tried before it for a while (RFC 3263 §4.3).
    Avoid {
        /// The place.
        place: Place,
        /// For how long, if it has said so (RFC 3261 §21.5.4).
        retry_after: Option<Duration>,
    },
    /// Keep this message for a user who is away, and tell what became of it to [`Relay::on_kept`].
    Keep {
        /// Whose answer waits for that.
        relay: RelayId,
        /// The message.
        message: Box<KeptMessage>,
        /// Whose directory keeps it.
        policy: Arc<Policy>,
    },
    /// A contact can no longer be reached as it was registered (RFC 5626 §5.3): forget it.
    Stale {
        /// Its address-of-record.
        aor: Aor,
        /// How it was reached.
        reach: Reach,
    },
}

/// What became of a departure that was sent.
#[derive(Debug)]
pub struct Sent {
    /// Which.
    pub attempt: Attempt,
    /// The flow that it took.
    pub flow: FlowId,
    /// Our Via in it.
    pub via: SentVia,
    /// The octets, if the transport may lose them.
    pub again: Option<Arc<[u8]>>,
    /// The place that it was sent to, if it was found by a URI.
    pub place: Option<Place>,
    /// The same request on its way to the other places that the URI leads to, if there are any.
    pub rest: Option<Box<Departure>>,
}

/// Where server transactions send their responses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upstream {
    pub(super) flow: FlowId,
    /// The relayed request; none for one that we have answered ourselves.
    pub(super) relay: Option<RelayId>,
    /// Places that it takes among those of its flow.
    pub(super) places: usize,
}

/// Whose a client transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Request,
    Cancel,
}

pub(super) type ClientPath = (Attempt, Role);

/// A request to be taken on.
pub struct Begin<'b> {
    /// The request.
    pub request: &'b Request<'b>,
    /// Its Route header fields, ours taken off.
    pub routes: &'b Routes<'b>,
    /// Its [`crate::proxy::loop_key`].
    pub loop_key: u64,
    /// The flow that it came over.
    pub flow: FlowId,
    /// Who sent it.
    pub source: SocketAddr,
    /// Whether it came over TCP or TLS.
    pub reliable: bool,
    /// Tag for answers of ours.
    pub to_tag: &'b str,
    /// Where it may go; not empty.
    pub targets: TargetSet,
    /// Its Max-Breadth (RFC 5393 §5.3.3).
    pub breadth: u16,
    /// What it records, if it forms a dialog.
    pub recording: Option<Recording>,
    /// When it arrived, if all targets are devices of a user of ours.
    pub for_devices: Option<u64>,
    /// How far redirections of it are followed, if they are at all.
    pub follow: Follow,
    /// What is changed about its header fields.
    pub changes: Changes,
    /// Settings in force.
    pub policy: &'b Arc<Policy>,
}

/// A response that has just come in, and who knows where a redirection would lead.
#[derive(Clone, Copy)]
pub(super) struct Heard<'h> {
    pub(super) response: &'h Message<'h>,
    pub(super) location: &'h Location,
}

/// What an incoming request is to the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// Nothing: it is new.
    New,
    /// A retransmission, or the ACK of a refusal: dealt with.
    Absorbed,
    /// A CANCEL of a request that is relayed: it is being cancelled, and the CANCEL is to be answered 200, with the tag of
    /// our answers to that request while it is known (RFC 3261 §9.2).
    Cancelled(Option<Box<str>>),
    /// A CANCEL of nothing: to be answered 481.
    NothingToCancel,
}

/// The relayed requests of one worker.
#[derive(Debug)]
pub struct Relay {
    pub(super) home: usize,
    /// Makes branches that nobody can guess, and scopes.
    pub(super) names: RandomState,
    pub(super) count: u64,
    pub(super) servers: Layer<Upstream>,
    pub(super) clients: ClientLayer<ClientPath>,
    pub(super) calls: Numbered<RelayId, Box<Call>>,
    /// Requests that came (`None`), and attempts that went, over each flow.
    pub(super) uses: BTreeSet<(FlowId, RelayId, Option<Attempt>)>,
    pub(super) alarms: BTreeSet<(Instant, RelayId)>,
    /// Attempts whose way is looked for, by when they are given up.
    pub(super) leaving: BTreeSet<(Instant, Attempt)>,
    pub(super) options: TransactionOptions,
    /// Answers of our own that are kept.
    pub(super) kept: Kept,
    /// Server transactions of each flow, and attempts for who is at its other end.
    pub(super) taken_on: Shares,
    pub(super) sent_on: Shares,
}

/// The worker that a branch of ours belongs to, by the branch of a response's topmost Via.
pub fn home_of(branch: &[u8]) -> Option<usize> {
    let (_, opaque) = branch::parse(branch)?;
    let (home, _) = opaque.split_once('-')?;
    usize::from_str_radix(home, 16).ok()
}

impl Relay {
    /// That of worker number `home`.
    pub fn new(home: usize, options: TransactionOptions) -> Self {
        Self {
            home,
            names: RandomState::new(),
            count: 0,
            servers: Layer::new(options),
            clients: ClientLayer::new(options),
            calls: Numbered::default(),
            uses: BTreeSet::new(),
            alarms: BTreeSet::new(),
            leaving: BTreeSet::new(),
            options,
            kept: Kept::of(options),
            taken_on: Shares::default(),
            sent_on: Shares::default(),
        }
    }

    /// Number of requests under way, those included that only wait for late answers.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// A measure of what is kept for them, and of answers that may be asked for again.
    pub fn places(&self) -> usize {
        self.taken_on.total() + self.sent_on.total() + self.kept.count()
    }

    /// Whether there is nothing: no request, and no transaction that waits for its end.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.servers.is_empty() && self.clients.is_empty()
    }

    /// When [`Relay::on_deadline`] next has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.servers.next_deadline(),
            self.clients.next_deadline(),
            self.leaving.first().map(|(at, _)| *at),
            self.alarms.first().map(|(at, _)| *at),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// A request has come in. Ask this before anything else.
    pub fn on_request(
        &mut self,
        request: &Request<'_>,
        flow: FlowId,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Met {
        if self.servers.is_empty() {
            return match request.method {
                Method::Cancel => Met::NothingToCancel,
                _ => Met::New,
            };
        }
        let key = Key::of(request, self.scope(flow));
        let mut outputs = Vec::new();
        let received = self.servers.on_request(&key, now, &mut outputs);
        self.settle_servers(outputs, now, out);
        match received {
            Received::Absorbed(_) => return Met::Absorbed,
            Received::New | Received::AckForCore(_) => {}
        }
        if request.method != Method::Cancel {
            return Met::New;
        }
        match self.servers.cancel_target(&key) {
            CancelTarget::None => Met::NothingToCancel,
            CancelTarget::Answered(id) => Met::Cancelled(self.tag_of(id)),
            CancelTarget::Pending(id) => {
                let tag = self.tag_of(id);
                if let Some(relay) = self.servers.path(id).and_then(|upstream| upstream.relay) {
                    if let Some(call) = self.calls.get_mut(&relay) {
                        call.reason = reasons(request);
                    }
                    self.drive(relay, None, now, out, |fork, effects| {
                        fork.on_cancel(now, effects);
                    });
                }
                Met::Cancelled(tag)
            }
        }
    }

    fn tag_of(&self, server: TransactionId) -> Option<Box<str>> {
        let upstream = self.servers.path(server)?;
        Some(self.calls.get(&upstream.relay?)?.to_tag.clone())
    }

    /// Takes a request on.
    ///
    /// # Errors
    /// There are too many, or too many of this peer's: answer 503.
    pub fn begin(
        &mut self,
        begin: Begin<'_>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Result<(), NotBegun> {
        let request = begin.request;
        let key = Key::of(request, self.scope(begin.flow));
        let relay = RelayId(self.count);
        self.count = self.count.wrapping_add(1);
        let places = share::places(request.message.as_bytes().len());
        let upstream = Upstream {
            flow: begin.flow,
            relay: Some(relay),
            places,
        };
        let limit = self.options.max_transactions.get();
        let taken = self.servers.len().max(self.taken_on.total());
        let free = limit.saturating_sub(taken);
        if !self.taken_on.has_room(begin.flow, places, free) {
            return Err(NotBegun::Full { limit });
        }
        let server = self.servers.begin(&key, upstream, begin.reliable, now)?;
        self.taken_on.take(begin.flow, places);
        let is_invite = request.method == Method::Invite;
        let kind = if is_invite {
            ForkKind::Invite
        } else {
            ForkKind::Other
        };
        let mut options = begin.policy.relay.fork.clone();
        options.recursive_redirect &= begin.follow != Follow::Nowhere;
        let mut call = Box::new(Call {
            server,
            upstream: begin.flow,
            places,
            source: begin.source,
            to_tag: begin.to_tag.into(),
            request: Some(Box::new(request.message.clone().into_owned())),
            loop_key: begin.loop_key,
            fork: Fork::new(kind, begin.targets, begin.breadth, options),
            attempts: SmallVec::new(),
            recording: begin.recording.map(Arc::new),
            follow: begin.follow,
            changes: begin.changes.clone(),
            policy: Arc::clone(begin.policy),
            for_devices: begin.for_devices,
            is_being_kept: false,
            reason: Box::default(),
            alarm: None,
        });
        self.uses.insert((begin.flow, relay, None));
        let mut effects = Vec::new();
        call.fork.start(now, &mut effects);
        let original = Original {
            request,
            routes: begin.routes,
            loop_key: begin.loop_key,
            changes: &begin.changes,
        };
        self.settle_fork(relay, &mut call, effects, Some(&original), None, now, out);
        self.keep(relay, call);
        Ok(())
    }

    /// Sends a request on for which no transaction is kept, an ACK of a 2xx, to one target. False when it cannot be written
    /// for that.
    pub fn pass(&mut self, begin: &Begin<'_>, target: &Target, out: &mut Vec<Effect>) -> bool {
        let original = Original {
            request: begin.request,
            routes: begin.routes,
            loop_key: begin.loop_key,
            changes: &begin.changes,
        };
        let Ok(draft) = original.draft(target, None, begin.source, b"") else {
            return false;
        };
        let departure = Departure {
            attempt: None,
            until: None,
            ticket: None,
            home: self.home,
            upstream: begin.flow,
            hops: hops(target, &draft),
            own: own_domain(begin.request, begin.policy),
            identity: target.identity,
            draft: Arc::new(draft),
            branch: self.branch(begin.loop_key),
            recording: None,
            policy: Arc::clone(begin.policy),
        };
        out.push(Effect::Depart(Box::new(departure)));
        true
    }

    /// A response has come in over this flow. False when it answers nothing of ours. A redirection to users of ours that is
    /// followed leads to where `location` has them.
    pub fn on_response(
        &mut self,
        response: &Response<'_>,
        flow: FlowId,
        location: &Location,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(key) = ClientKey::of(response, client_scope(flow)) else {
            return false;
        };
        let mut outputs = Vec::new();
        let known = self
            .clients
            .on_response(&key, response.status, now, &mut outputs);
        let heard = Heard {
            response: response.message,
            location,
        };
        self.settle_clients(outputs, Some(heard), now, out);
        known
    }

    /// Whether a request of this worker's is under way over this flow, in either direction.
    pub fn is_in_use(&self, flow: FlowId) -> bool {
        let mut uses = self.uses.range((flow, RelayId(0), None)..);
        uses.next().is_some_and(|(of, _, _)| *of == flow)
    }

    /// A flow is gone: what was sent over it is not answered any more, and who sent over it cannot be answered.
    pub fn on_flow_closed(&mut self, flow: FlowId, now: Instant, out: &mut Vec<Effect>) {
        let first = (flow, RelayId(0), None);
        let uses: Vec<_> = self
            .uses
            .range(first..)
            .take_while(|(other, _, _)| *other == flow)
            .map(|(_, relay, attempt)| (*relay, *attempt))
            .collect();
        for (relay, attempt) in uses {
            let Some(attempt) = attempt else {
                self.uses.remove(&(flow, relay, None));
                if let Some(call) = self.calls.get(&relay)
                    && let Some(upstream) = self.servers.forget(call.server)
                {
                    self.taken_on.give_back(flow, upstream.places);
                }
                self.drive(relay, None, now, out, |fork, effects| {
                    fork.abandon(now, effects);
                });
                continue;
            };
            let client = self.calls.get_mut(&relay).and_then(|call| {
                match call.attempt(attempt).map(|branch| &branch.state) {
                    Some(State::Sent { client, .. }) => Some(*client),
                    _ => None,
                }
            });
            if let Some(client) = client {
                let mut outputs = Vec::new();
                self.clients.on_transport_error(client, &mut outputs);
                self.settle_clients(outputs, None, now, out);
            }
        }
    }

    /// Does all that is due by now.
    pub fn on_deadline(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.servers.next_deadline().is_some_and(|at| at <= now) {
            let mut outputs = Vec::new();
            self.servers.on_deadline(now, &mut outputs);
            self.settle_servers(outputs, now, out);
        }
        if self.clients.next_deadline().is_some_and(|at| at <= now) {
            let mut outputs = Vec::new();
            self.clients.on_deadline(now, &mut outputs);
            self.settle_clients(outputs, None, now, out);
        }
        self.give_up(now, out);
        for _ in 0..self.alarms.len() {
            match self.alarms.first() {
                Some(&(at, relay)) if at <= now => {
                    self.drive(relay, None, now, out, |fork, effects| {
                        fork.on_deadline(now, effects);
                    });
                }
                _ => return,
            }
        }
    }

    /// Lets the fork of one request take a step, and does what it wants done. `response` is what has just come in.
    pub(super) fn drive(
        &mut self,
        relay: RelayId,
        response: Option<&Message<'_>>,
        now: Instant,
        out: &mut Vec<Effect>,
        step: impl FnOnce(&mut Fork, &mut Vec<ForkEffect>),
    ) {
        let Some(mut call) = self.calls.remove(&relay) else {
            return;
        };
        let mut effects = Vec::new();
        step(&mut call.fork, &mut effects);
        self.settle_fork(relay, &mut call, effects, None, response, now, out);
        self.keep(relay, call);
    }

    /// Puts a request back in its place, unless nothing more can come of it.
    pub(super) fn keep(&mut self, relay: RelayId, mut call: Box<Call>) {
        let ended = call.has_ended();
        let deadline = if ended {
            None
        } else {
            call.fork.next_deadline()
        };
        if deadline != call.alarm {
            if let Some(at) = call.alarm {
                self.alarms.remove(&(at, relay));
            }
            self.alarms.extend(deadline.map(|at| (at, relay)));
            call.alarm = deadline;
        }
        if call.fork.is_settled() && !call.is_being_kept {
            call.request = None;
        }
        if ended {
            self.uses.remove(&(call.upstream, relay, None));
        } else {
            self.calls.insert(relay, call);
        }
    }
}

/// The Reason header lines of a CANCEL (RFC 3326 §2), ready to be written once more.
fn reasons(request: &Request<'_>) -> Box<[u8]> {
    let fields = request.message.fields();
    fields
        .filter(|(_, name, _)| name.eq_ignore_ascii_case(b"Reason"))
        .flat_map(|(_, _, value)| [b"Reason: ", value, b"\r\n"].concat())
        .collect()
}
