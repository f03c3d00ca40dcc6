//! What a relay does for its forks and transactions: sends requests on, cancels and acknowledges them, passes responses back.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::call::{Branch, Call, Cancel, State};
use super::departure::{Attempt, Departure, Hop};
use super::record::Recording;
use super::table::{ClientPath, Effect, Heard, Relay, RelayId, Role, Upstream};
use crate::proxy::branch;
use crate::proxy::draft::{Draft, Onward, Undraftable};
use crate::proxy::fork_effect::{Failure, FinalAnswer, ForkEffect};
use crate::proxy::lead::Leads;
use crate::proxy::leave_out::Changes;
use crate::proxy::policy::Policy;
use crate::proxy::routes::Routes;
use crate::proxy::target::{Origin, Target};
use crate::proxy::upstream::{can_go_on, write_passable, write_response};
use crate::registrar::{FlowId, Reach};
use crate::sip::{FromRule, Message, Reply, Request, SipUri, StartLine, StatusCode};
use crate::transaction::{
    ClientEffect, ClientKey, ClientOutput, Effect as ServerEffect, Output, Scope, TransactionId,
};

/// A request as it came, read.
pub(super) struct Original<'o> {
    pub(super) request: &'o Request<'o>,
    pub(super) routes: &'o Routes<'o>,
    /// What loops are found by (RFC 5393 §4.2).
    pub(super) loop_key: u64,
    /// What is changed about its header fields.
    pub(super) changes: &'o Changes,
}

impl Original<'_> {
    /// What is made of it for one target.
    pub(super) fn draft(
        &self,
        target: &Target,
        max_breadth: Option<u16>,
        source: SocketAddr,
        add: &[u8],
    ) -> Result<Draft, Undraftable> {
        let hops = self.request.max_forwards.unwrap_or(MAX_FORWARDS + 1);
        let add = match &*self.changes.add {
            [] => Cow::Borrowed(add),
            own => Cow::Owned([own, add].concat()),
        };
        Draft::new(&Onward {
            request: self.request,
            routes: self.routes,
            source,
            uri: &target.uri,
            keep_request_uri: target.is_loose_route(),
            path: &target.route,
            max_forwards: hops.saturating_sub(1),
            max_breadth,
            leave_out: &self.changes.leave_out,
            add: &add,
        })
    }
}

/// Max-Forwards of a request that came without it (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: u8 = 70;

/// Where a target is sent to. A flow that is gone is tried no more, or its URI is, as the target says.
pub(super) fn hops(target: &Target, draft: &Draft) -> Vec<Hop> {
    let mut hops: Vec<Hop> = target.flow.map(Hop::Flow).into_iter().collect();
    if target.flow.is_none() || !target.flow_only {
        hops.push(Hop::Uri(draft.next_hop().into()));
    }
    hops
}

/// The domain of ours that a request speaks for: that of its sender.
pub(super) fn own_domain(request: &Request<'_>, policy: &Policy) -> Option<Box<str>> {
    let host = &request.from.uri.sip()?.host;
    let ours = policy.rules.domains.contains(host);
    ours.then(|| host.canonical().into())
}

/// A response counts only if it comes from where its request went; datagrams may come back from another address
/// (RFC 3261 §18.1.2).
pub(super) fn client_scope(flow: FlowId) -> Scope {
    match flow {
        FlowId::Connection(number) => Scope(number),
        FlowId::Datagram { listener, .. } => Scope(DATAGRAMS | u64::from(listener)),
    }
}

fn is_success(status: StatusCode) -> bool {
    (200..300).contains(&status.as_u16())
}

/// Marks scopes that are no connections.
const DATAGRAMS: u64 = 1 << 63;

impl Relay {
    /// Requests belong together only if they come from one sender.
    pub(super) fn scope(&self, flow: FlowId) -> Scope {
        match flow {
            FlowId::Connection(number) => Scope(number),
            FlowId::Datagram { .. } => Scope(DATAGRAMS | self.names.hash_one(flow)),
        }
    }

    /// A branch for a request of ours: what loops are found by, our number, and what nobody can guess.
    pub(super) fn branch(&mut self, loop_key: u64) -> Arc<str> {
        self.count = self.count.wrapping_add(1);
        let secret = self.names.hash_one(self.count);
        let mut text = branch::Text::new();
        text.extend_from_slice(&branch::stem(loop_key));
        branch::push_hex(self.home as u64, 1, &mut text);
        text.push(b'-');
        branch::push_hex(self.count, 1, &mut text);
        branch::push_hex(secret, 16, &mut text);
        // It is all ASCII.
        std::str::from_utf8(&text).unwrap_or_default().into()
    }

    /// Does what a fork wants done. `original` is its request already read, if it is at hand, `response` what has just come in.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is at hand differs by who calls"
    )]
    pub(super) fn settle_fork(
        &mut self,
        relay: RelayId,
        call: &mut Call,
        mut effects: Vec<ForkEffect>,
        original: Option<&Original<'_>>,
        response: Option<&Message<'_>>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        while !effects.is_empty() {
            let mut more = Vec::new();
            for effect in effects {
                match effect {
                    ForkEffect::Send {
                        branch,
                        target,
                        max_breadth,
                    } => {
                        let attempt = Attempt {
                            relay,
                            branch,
                            turn: 0,
                        };
                        let failure = if !self.has_room_for(call) {
                            Some(Failure::overloaded())
                        } else {
                            let breadth = max_breadth;
                            let left =
                                self.depart(attempt, call, &target, breadth, original, now, out);
                            (!left).then(Failure::unsendable)
                        };
                        if let Some(failure) = failure {
                            call.fork.on_failed(branch, failure, now, &mut more);
                        }
                    }
                    ForkEffect::Cancel { branch, reason } => {
                        let Some(latest) = call.latest(branch) else {
                            continue;
                        };
                        latest.cancel = Cancel::Wanted(reason);
                        let attempt = Attempt {
                            relay,
                            branch,
                            turn: latest.turn,
                        };
                        if self.call_off(attempt, call) {
                            let failure = Failure::timeout();
                            call.fork.on_failed(branch, failure, now, &mut more);
                        } else {
                            self.cancel_if_due(attempt, call, false, now, out);
                        }
                    }
                    ForkEffect::Pass { .. } => {
                        if let Some(response) = response {
                            self.pass_response(call, response, now, out);
                        }
                    }
                    ForkEffect::Answer(answer) => {
                        if !self.answer_away(relay, call, &answer, now, out) {
                            self.answer(call, &answer, now, out);
                        }
                    }
                    ForkEffect::Stale { branch } => out.extend(call.stale(branch)),
                }
            }
            effects = more;
        }
    }

    /// Sends a request toward one target; false when it cannot be read any more, and so not be sent.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is at hand differs by who calls"
    )]
    fn depart(
        &mut self,
        attempt: Attempt,
        call: &mut Call,
        target: &Target,
        max_breadth: u16,
        original: Option<&Original<'_>>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(original) = original else {
            let policy = Arc::clone(&call.policy);
            let Some(message) = call.request.clone() else {
                return false;
            };
            let Ok(request) = Request::read(&message, FromRule::First) else {
                return false;
            };
            let Ok(routes) = Routes::of(&request, |uri| policy.is_mine(uri)) else {
                return false;
            };
            let changes = call.changes.clone();
            let original = Original {
                request: &request,
                routes: &routes,
                loop_key: call.loop_key,
                changes: &changes,
            };
            let original = Some(&original);
            return self.depart(attempt, call, target, max_breadth, original, now, out);
        };
        let more = call.recording.as_deref().map_or(&b""[..], Recording::more);
        let Ok(draft) = original.draft(target, Some(max_breadth), call.source, more) else {
            return false;
        };
        let (hops, draft) = (hops(target, &draft), Arc::new(draft));
        let name = self.branch(original.loop_key);
        let recording = match target.origin {
            Origin::Redirect => call.recording.as_deref().map(Recording::redirected),
            _ => None,
        };
        let until = self.end_of_way(now);
        let state = self.leave(attempt, call, until);
        let ticket = state.ticket();
        call.attempts.push(Branch {
            number: attempt.branch,
            turn: attempt.turn,
            draft: Arc::clone(&draft),
            name: Arc::clone(&name),
            state,
            cancel: Cancel::No,
            registered: target.registered(&original.routes.uri),
        });
        out.push(Effect::Depart(Box::new(Departure {
            attempt: Some(attempt),
            until: Some(until),
            ticket,
            home: self.home,
            upstream: call.upstream,
            hops,
            own: own_domain(original.request, &call.policy),
            identity: target.identity,
            draft,
            branch: name,
            recording: recording.map(Arc::new).or_else(|| call.recording.clone()),
            policy: Arc::clone(&call.policy),
        })));
        true
    }

    /// Sends the CANCEL of an attempt that is to be cancelled, if a provisional response has come (RFC 3261 §9.1).
    pub(super) fn cancel_if_due(
        &mut self,
        attempt: Attempt,
        call: &mut Call,
        proceeding: bool,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let (policy, reasons) = (Arc::clone(&call.policy), call.reason.clone());
        let Some(branch) = call.attempt(attempt) else {
            return;
        };
        let State::Sent {
            flow, via, client, ..
        } = &branch.state
        else {
            return;
        };
        let Cancel::Wanted(reason) = &branch.cancel else {
            return;
        };
        if !proceeding && !self.clients.is_proceeding(*client) {
            return;
        }
        let mut octets = Vec::with_capacity(512);
        let own = via.with(&branch.name, &policy.relay);
        let reason = reason.map(|reason| format!("Reason: {reason}\r\n"));
        let reason = reason.as_ref().map_or(&*reasons, String::as_bytes);
        branch.draft.write_cancel(&own, reason, &mut octets);
        let octets: Arc<[u8]> = octets.into();
        let key = ClientKey::new(
            client_scope(*flow),
            branch.name.as_bytes(),
            &via.sent_by,
            b"CANCEL",
        );
        let again = matches!(flow, FlowId::Datagram { .. }).then(|| Arc::clone(&octets));
        // Without a transaction of its own it is sent once, and its answer is dropped.
        if self.has_room() {
            let path = (attempt, Role::Cancel);
            let _ = self.clients.begin(&key, path, again, now);
        }
        self.clients.cancelled(*client, now);
        out.push(Effect::Send {
            flow: *flow,
            octets,
        });
        branch.cancel = Cancel::Sent;
    }

    /// Passes a response on as it is.
    pub(super) fn pass_response(
        &mut self,
        call: &Call,
        response: &Message<'_>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let StartLine::Response { status, .. } = response.start_line() else {
            return;
        };
        // That a 2xx can go on was asked before the fork was told of it.
        if !is_success(status) && !can_go_on(response) {
            return;
        }
        let server = call.policy.proxy.server_text.as_deref();
        let recording = call.recording.as_deref().filter(|_| is_success(status));
        let more = recording.map_or_else(String::new, |recording| recording.more_back(response));
        // It reserves what it needs, and all at once.
        let mut octets = Vec::new();
        write_passable(response, None, more.as_bytes(), server, &mut octets);
        self.respond(call.server, status, octets, now, out);
    }

    /// Gives the final answer.
    fn answer(&mut self, call: &Call, answer: &FinalAnswer, now: Instant, out: &mut Vec<Effect>) {
        match answer {
            FinalAnswer::Response {
                status,
                response,
                headers,
                ..
            } => {
                let server = call.policy.proxy.server_text.as_deref();
                let mut octets = Vec::new();
                if write_response(response, None, headers, server, &mut octets) {
                    self.respond(call.server, *status, octets, now, out);
                } else {
                    // It cannot be passed on, and whoever waits is to be told something.
                    self.answer_own(call, *status, status.phrase(), b"", now, out);
                }
            }
            FinalAnswer::Own {
                status,
                phrase,
                headers,
            } => self.answer_own(call, *status, phrase, headers, now, out),
            FinalAnswer::Nothing => {}
        }
    }

    /// An answer of our own.
    pub(super) fn answer_own(
        &mut self,
        call: &Call,
        status: StatusCode,
        phrase: &str,
        headers: &[u8],
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let Some(request) = &call.request else {
            return;
        };
        let mut octets = Vec::with_capacity(512);
        Reply {
            status,
            phrase,
            // RFC 3261 §8.2.6.2: a 100 has no tag of ours.
            to_tag: (status != StatusCode::TRYING).then_some(&*call.to_tag),
            source: Some(call.source),
            server: call.policy.proxy.server_text.as_deref(),
            headers,
        }
        .write(request, &mut octets);
        self.respond(call.server, status, octets, now, out);
    }

    pub(super) fn respond(
        &mut self,
        server: TransactionId,
        status: StatusCode,
        octets: Vec<u8>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let mut outputs = Vec::new();
        self.servers
            .respond(server, status, octets, now, &mut outputs);
        self.settle_servers(outputs, now, out);
    }

    /// Does what server transactions want done.
    pub(super) fn settle_servers(
        &mut self,
        outputs: Vec<Output<Upstream>>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        for Output { path, effect, .. } in outputs {
            match effect {
                ServerEffect::Ended if path.relay.is_none() => self.kept.forget(),
                ServerEffect::Send(octets) => out.push(Effect::Send {
                    flow: path.flow,
                    octets,
                }),
                ServerEffect::TryingDue => {
                    if let Some(relay) = path.relay
                        && let Some(call) = self.calls.remove(&relay)
                    {
                        let status = StatusCode::TRYING;
                        self.answer_own(&call, status, status.phrase(), b"", now, out);
                        self.calls.insert(relay, call);
                    }
                }
                // Nobody waits for an answer any more, and so nobody else is asked (RFC 4320 §4.2).
                ServerEffect::Timeout => {
                    if let Some(relay) = path.relay {
                        self.drive(relay, None, now, out, |fork, effects| {
                            fork.abandon(now, effects);
                        });
                    }
                }
                ServerEffect::Ended => self.taken_on.give_back(path.flow, path.places),
                ServerEffect::TransportFailed => {}
            }
        }
    }

    /// Does what client transactions want done. `heard` is what has just come in.
    pub(super) fn settle_clients(
        &mut self,
        outputs: Vec<ClientOutput<ClientPath>>,
        heard: Option<Heard<'_>>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        for ClientOutput { path, effect, .. } in outputs {
            let (attempt, role) = path;
            let Some(mut call) = self.calls.remove(&attempt.relay) else {
                continue;
            };
            self.settle_client(attempt, role, &mut call, effect, heard, now, out);
            self.keep(attempt.relay, call);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step of a machine with all that it may need"
    )]
    fn settle_client(
        &mut self,
        attempt: Attempt,
        role: Role,
        call: &mut Call,
        effect: ClientEffect,
        heard: Option<Heard<'_>>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        let response = heard.map(|heard| heard.response);
        if role == Role::Request && self.turn_away(attempt, call, &effect, response, now, out) {
            return;
        }
        let (number, policy) = (attempt.branch, Arc::clone(&call.policy));
        let Some(branch) = call.attempt(attempt) else {
            return;
        };
        let State::Sent { flow, via, .. } = &branch.state else {
            return;
        };
        let flow = *flow;
        let mut effects = Vec::new();
        match (role, effect) {
            (_, ClientEffect::SendAgain(octets)) => out.push(Effect::Send { flow, octets }),
            // What becomes of a CANCEL is nobody's business: the request that it cancels has an outcome of its own.
            (Role::Cancel, _) => {}
            (Role::Request, ClientEffect::Acknowledge) => {
                if let Some(response) = response {
                    let mut octets = Vec::with_capacity(512);
                    let own = via.with(&branch.name, &policy.relay);
                    branch.draft.write_ack(&own, response, &mut octets);
                    out.push(Effect::Send {
                        flow,
                        octets: octets.into(),
                    });
                }
            }
            (Role::Request, ClientEffect::Response(status)) => {
                if let Some(Heard { response, location }) = heard {
                    if !status.is_final() {
                        self.cancel_if_due(attempt, call, true, now, out);
                    }
                    if is_success(status) && !can_go_on(response) {
                        // The caller would be left with nothing: for the fork he is served.
                        let failure = Failure::unpassable();
                        call.fork.on_failed(number, failure, now, &mut effects);
                    } else {
                        let leads = Leads {
                            request: call.request.as_deref(),
                            follow: call.follow,
                            policy: &policy,
                            location,
                            now,
                        };
                        let leads = |uri: &SipUri<'_>| leads.of(uri);
                        let fork = &mut call.fork;
                        fork.on_response(number, response, status, &leads, now, &mut effects);
                    }
                }
            }
            (Role::Request, ClientEffect::Timeout) => {
                call.fork
                    .on_failed(number, Failure::timeout(), now, &mut effects);
            }
            (Role::Request, ClientEffect::TransportFailed) => {
                let failure = match branch.registered {
                    Some((_, Reach::Flow(_))) => Failure::flow_failed(),
                    // An edge proxy may be there again, with the flow of the device.
                    Some((_, Reach::Path { .. })) | None => Failure::transport(),
                };
                call.fork.on_failed(number, failure, now, &mut effects);
            }
            (Role::Request, ClientEffect::Ended) => {
                branch.state = State::Ended;
                self.sent_on.give_back(call.upstream, call.places);
                self.uses.remove(&(flow, attempt.relay, Some(attempt)));
            }
        }
        self.settle_fork(attempt.relay, call, effects, None, response, now, out);
    }
}
