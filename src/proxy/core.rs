//! The steps a request passes, in order: RFC 3261 §16.3 to §16.5, and §10.3 for what is ours to register.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::audit::{self, Audited, Heard, MessageId};
use super::dialog;
use super::directory::{Answers, Pending};
use super::load::{self, Load};
use super::onward::{self, Course};
use super::ours::Routed;
use super::policy::Policy;
use super::relay::{Effect, Met, Relay};
use super::routes::Routes;
use crate::auth::{
    self, AdmissionRecord, Admitted, Challenge, Decision, Identities, IdentityPath, IdentityRules,
    Occasion, Peer, ProvenLeg, Refusal, Said,
};
use crate::registrar::{self, Aor, Arrival, Changes, FlowId, Location};
use crate::sip::{
    Fault, HeaderName, Message, Method, Reply, Request, SipUri, StatusCode, Uri, unsupported,
};

/// What a message meets when it arrives.
pub struct Context<'c> {
    /// Rules and settings in force.
    pub policy: &'c Arc<Policy>,
    /// The location service.
    pub location: &'c Location,
    /// Who sent it.
    pub peer: Peer<'c>,
    /// The flow it came over.
    pub flow: FlowId,
    /// The listener that it came through.
    pub listener: usize,
    /// Our end of the flow.
    pub local: IpAddr,
    /// Whether [`Registration::reached`] is wanted.
    pub name_reached: bool,
    /// The time.
    pub now: Instant,
    /// When it arrived: microseconds since 1970, and more for each message than for those before it.
    pub arrived: u64,
    /// Tag for an answer of ours.
    pub to_tag: &'c str,
    /// How much there is to do.
    pub load: Load,
}

/// What a request that is sent on is handed to.
pub struct Relaying<'o> {
    /// The requests under way.
    pub relay: &'o mut Relay,
    /// What is to be done for them.
    pub effects: &'o mut Vec<Effect>,
}

/// What became of a message. Its answer, if it has one, has been appended to the output.
pub enum Outcome {
    /// Answered.
    Answered {
        /// Status of the answer.
        status: StatusCode,
        /// What a REGISTER changed.
        registered: Option<Registration>,
        /// Where routing led it, if it came so far.
        routed: Option<Routed>,
    },
    /// Sent on; its answer comes later.
    Relayed(Routed),
    /// It belongs to a request that is under way.
    Absorbed,
    /// There is too much to do, and it was told to come again later.
    Overloaded,
    /// Refused by admission, and told so.
    Refused(Box<Refused>),
    /// Admission has said something, and an audit is kept ([`super::ProxyOptions::audit`]).
    Audited {
        /// What became of it.
        outcome: Box<Outcome>,
        /// What is told of it.
        audited: Box<Audited>,
    },
    /// Its sender has been asked for a password.
    Challenged(Box<Refused>),
    /// Passed by repro's rules; the secure rules would have refused it.
    Reported {
        /// What became of it.
        outcome: Box<Outcome>,
        /// What the secure rules say.
        refused: Box<Refused>,
    },
    /// It broke the grammar; answered where that was possible.
    Malformed(Fault),
    /// Not answered: why.
    Dropped(&'static str),
    /// There is something to ask on the lookup pool; [`on_answers`] goes on.
    Pending(Box<Pending>),
}

/// A refusal with what it was about; `Display` is the end of a log line.
pub struct Refused {
    /// The request, as an audit knows it.
    pub id: MessageId,
    method: String,
    from: String,
    refusal: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            from,
            refusal,
            ..
        } = self;
        let (status, hint) = (refusal.status, refusal.hint());
        write!(
            f,
            "method={method:?} from={from:?} status={status} reason={:?} hint={hint:?}",
            refusal.to_string()
        )
    }
}

/// A change of the bindings of one address-of-record; `Display` is the end of a log line.
pub struct Registration {
    /// Address-of-record as the request writes it.
    pub aor: String,
    /// What happened to its bindings.
    pub changes: Changes,
    /// Set when this connection now carries a binding that it did not carry before.
    pub tied: Option<Aor>,
    /// Whether the right to that binding can be judged again when rules change: nothing that only the request brought has
    /// proved it.
    pub is_judged_again: bool,
    /// URIs of the contacts that this connection now leads to and did not before, if they were to be named.
    pub reached: Vec<Box<[u8]>>,
    /// The values of the Path that leads to them; empty where it is the connection.
    pub path: Vec<String>,
}

impl Registration {
    /// Whether a contact came or went; a mere refresh is no news.
    pub fn is_news(&self) -> bool {
        self.changes.added + self.changes.removed > 0
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changes {
            added,
            refreshed,
            removed,
        } = self.changes;
        write!(
            f,
            "aor={:?} added={added} refreshed={refreshed} removed={removed}",
            self.aor
        )
    }
}

/// Methods that this server answers for itself.
pub(super) fn allow(policy: &Policy) -> &'static [u8] {
    match policy.registrar.enabled {
        true => b"Allow: OPTIONS, REGISTER\r\n",
        false => b"Allow: OPTIONS\r\n",
    }
}

/// Extensions that this server knows.
fn extensions(policy: &Policy) -> &'static [&'static str] {
    match policy.registrar.outbound.enabled {
        true => &["path", "outbound"],
        false => &["path"],
    }
}

/// Takes a whole message.
pub fn on_message(
    message: &Message<'_>,
    context: &Context<'_>,
    relaying: &mut Relaying<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    step(message, Answers::default(), context, relaying, out)
}

/// Takes a message up again whose questions have been answered.
pub fn on_answers(
    message: &Message<'_>,
    answers: Answers,
    context: &Context<'_>,
    relaying: &mut Relaying<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    step(message, answers, context, relaying, out)
}

/// Answers a message that cannot be handled because of this fault, if it can be answered.
pub fn answer_fault(message: &Message<'_>, fault: Fault, context: &Context<'_>, out: &mut Vec<u8>) {
    context.answer_if_possible(message, fault.status, fault.phrase, b"", out);
}

/// Answers a message whose check has failed on the lookup pool: nothing was decided, so nothing passes.
pub fn answer_failed(message: &Message<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let status = StatusCode::SERVER_INTERNAL_ERROR;
    context.answer_if_possible(message, status, status.phrase(), b"", out);
}

/// Answers a message for whose question the lookup pool has no room (RFC 3261 §21.5.4).
pub fn answer_busy(message: &Message<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    context.answer_if_possible(message, status, status.phrase(), b"Retry-After: 5\r\n", out);
}

impl Context<'_> {
    /// What admission has to know besides the request and its sender.
    pub(super) fn occasion(&self, path: IdentityPath) -> Occasion {
        Occasion {
            path,
            listener: self.listener,
            now: self.arrived / 1_000_000,
        }
    }

    pub(super) fn answer(
        &self,
        message: &Message<'_>,
        status: StatusCode,
        headers: &[u8],
        out: &mut Vec<u8>,
    ) -> Outcome {
        self.answer_with(message, status, status.phrase(), headers, out);
        Outcome::Answered {
            status,
            registered: None,
            routed: None,
        }
    }

    pub(super) fn answer_with(
        &self,
        message: &Message<'_>,
        status: StatusCode,
        phrase: &str,
        headers: &[u8],
        out: &mut Vec<u8>,
    ) {
        Reply {
            status,
            phrase,
            to_tag: Some(self.to_tag),
            source: Some(self.peer.source),
            server: self.policy.proxy.server_text.as_deref(),
            headers,
        }
        .write(message, out);
    }

    /// The same for a message that may not even have what an answer is made of; an ACK has none.
    fn answer_if_possible(
        &self,
        message: &Message<'_>,
        status: StatusCode,
        phrase: &str,
        headers: &[u8],
        out: &mut Vec<u8>,
    ) {
        if Reply::is_possible(message) {
            self.answer_with(message, status, phrase, headers, out);
        }
    }
}

fn step(
    message: &Message<'_>,
    mut answers: Answers,
    context: &Context<'_>,
    relaying: &mut Relaying<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    if message.is_response() {
        return Outcome::Dropped("a response to nothing of ours");
    }
    // It arrives once, however often it is judged.
    let arrived_at = *answers.arrived.get_or_insert(context.arrived);
    let rules = &context.policy.rules;
    let request = match Request::read(message, rules.identity.from_rule()) {
        Ok(request) => request,
        Err(fault) => {
            answer_fault(message, fault, context, out);
            return Outcome::Malformed(fault);
        }
    };
    // A request whose questions have been answered is known to be new.
    if !answers.are_some() {
        match relaying
            .relay
            .on_request(&request, context.flow, context.now, relaying.effects)
        {
            Met::Absorbed => return Outcome::Absorbed,
            Met::Cancelled(tag) => {
                let to_tag = tag.as_deref().unwrap_or(context.to_tag);
                let context = Context { to_tag, ..*context };
                return context.answer(message, StatusCode::OK, b"", out);
            }
            Met::New | Met::NothingToCancel => {}
        }
        // What has been asked for costs little more than it has cost already.
        if let Some(outcome) = load::refuse(&request, context, out) {
            return outcome;
        }
    }
    let routes = Routes::of(&request, |uri| context.policy.is_mine(uri));
    let arrived = Arrived {
        request: &request,
        routes: &routes,
    };
    if let Some(outcome) = before_admission(&arrived, context, out) {
        return outcome;
    }
    let path = arrived.identity_path(context.policy);
    let heard = Heard {
        request: &request,
        path,
        arrived: arrived_at,
    };
    let given = answers.admission.clone().unwrap_or_default();
    let occasion = context.occasion(path);
    let decision = match in_dialog(&request, context) {
        Some(leg) => auth::admit_in_dialog(leg, occasion, rules, given),
        None => auth::resume(request, &context.peer, occasion, rules, given),
    };
    match decision {
        Decision::Admit(admitted) => {
            if !admitted.answers().is_empty() {
                // What has been proved once is not proved again, should there be more to ask.
                answers.admission = Some(admitted.answers().clone());
            }
            let before = out.len();
            let outcome = match (path, routes) {
                (IdentityPath::Registrar, _) => register(&admitted, context, out),
                (IdentityPath::Proxy, Ok(routes)) => {
                    let course = Course { routes: &routes };
                    onward::route(&admitted, &course, answers, context, relaying, out)
                }
                (IdentityPath::Proxy, Err(fault)) => {
                    answer_fault(message, fault, context, out);
                    Outcome::Malformed(fault)
                }
            };
            keep_answer(&request, &outcome, before, context, relaying, out);
            let outcome = report(&admitted, &heard, outcome);
            if !audit::wants_admitted(context) {
                return outcome;
            }
            let record = AdmissionRecord::of_admitted(&admitted, &context.peer, rules);
            heard.audit(context, outcome, record)
        }
        Decision::Refuse(refusal) => {
            context.answer_with(message, refusal.status, refusal.phrase, b"", out);
            refuse(&heard, refusal, Said::Refused, context)
        }
        Decision::Challenge(challenge) => {
            let record = audit::wants_admitted(context)
                .then(|| AdmissionRecord::of(Said::Challenged(challenge.refusal.clone()), rules));
            let outcome = challenged(&heard, challenge, context, out);
            match record {
                Some(record) => heard.audit(context, outcome, record),
                None => outcome,
            }
        }
        // It acknowledges the challenge: there is an ACK for each.
        Decision::Drop(refusal) if refusal.wanted.is_some() => {
            Outcome::Dropped("an ACK that no password is proved for")
        }
        Decision::Drop(refusal) => refuse(&heard, refusal, Said::Dropped, context),
        Decision::Pending(pending) => {
            answers.admission = None;
            Outcome::Pending(Box::new(Pending::admission(pending, answers)))
        }
    }
}

/// Over datagrams the answer to an admitted request is kept, with a transaction to send it: the request comes again if the
/// answer is lost, and must not be handled twice (RFC 3261 §17.2). What was not admitted leaves nothing behind.
fn keep_answer(
    request: &Request<'_>,
    outcome: &Outcome,
    before: usize,
    context: &Context<'_>,
    relaying: &mut Relaying<'_>,
    out: &mut Vec<u8>,
) {
    if context.peer.transport.is_reliable() {
        return;
    }
    let status = match outcome {
        Outcome::Answered { status, .. } => *status,
        Outcome::Malformed(fault) => fault.status,
        _ => return,
    };
    let answer = out.get(before..).unwrap_or_default();
    let (flow, now) = (context.flow, context.now);
    let relay = &mut relaying.relay;
    if !answer.is_empty() && relay.answered(request, flow, status, answer, now, relaying.effects) {
        out.truncate(before);
    }
}

/// The proof that its sender is a side of its dialog, if it brings one.
pub(super) fn in_dialog<'m, 'c>(
    request: &Request<'m>,
    context: &Context<'c>,
) -> Option<ProvenLeg<'m, 'c>> {
    let keys = &context.policy.relay.keys;
    dialog::proof(
        request,
        context.peer,
        context.flow,
        |uri| context.policy.is_mine(uri),
        keys.epoch,
        &keys.sealer,
    )
}

/// The outcome of a refusal, told to an audit as well if there is one.
pub(super) fn refuse(
    heard: &Heard<'_, '_>,
    refusal: Refusal,
    said: impl FnOnce(Refusal) -> Said,
    context: &Context<'_>,
) -> Outcome {
    let record = audit::wants_refused(context)
        .then(|| AdmissionRecord::of(said(refusal.clone()), &context.policy.rules));
    let outcome = Outcome::Refused(Box::new(refused(heard, refusal)));
    match record {
        Some(record) => heard.audit(context, outcome, record),
        None => outcome,
    }
}

/// Asks the sender of a request for a password.
pub(super) fn challenged(
    heard: &Heard<'_, '_>,
    challenge: Challenge,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    let Challenge { refusal, headers } = challenge;
    context.answer_with(
        heard.request.message,
        refusal.status,
        refusal.phrase,
        &headers,
        out,
    );
    Outcome::Challenged(Box::new(refused(heard, refusal)))
}

fn refused(heard: &Heard<'_, '_>, refusal: Refusal) -> Refused {
    Refused {
        id: heard.id(),
        method: heard.request.method.as_str().to_owned(),
        from: audit::named(&heard.request.from),
        refusal,
    }
}

/// Under `IdentityRules = report`, what the secure rules say about a request that has passed.
fn report(admitted: &Admitted<'_>, heard: &Heard<'_, '_>, outcome: Outcome) -> Outcome {
    match (admitted.would_refuse(), outcome) {
        (Some(refusal), outcome @ (Outcome::Answered { .. } | Outcome::Relayed(_))) => {
            Outcome::Reported {
                outcome: Box::new(outcome),
                refused: Box::new(refused(heard, refusal.clone())),
            }
        }
        (_, outcome) => outcome,
    }
}

/// A request with its Route header fields looked at.
struct Arrived<'r, 'm> {
    request: &'r Request<'m>,
    routes: &'r Result<Routes<'m>, Fault>,
}

impl Arrived<'_, '_> {
    /// Whether it is to us, and no Route header leads it to somebody else (RFC 3261 §16.4); one that cannot be read does.
    fn is_to_us(&self, policy: &Policy) -> bool {
        match self.routes {
            Ok(routes) => {
                routes.rest.is_empty() && routes.uri.sip().is_some_and(|uri| policy.is_mine(uri))
            }
            Err(_) => false,
        }
    }

    /// Whether it is a REGISTER for our registrar.
    fn is_registration(&self, policy: &Policy) -> bool {
        self.request.method == Method::Register && policy.registrar.enabled && self.is_to_us(policy)
    }

    fn identity_path(&self, policy: &Policy) -> IdentityPath {
        match self.is_registration(policy) {
            true => IdentityPath::Registrar,
            false => IdentityPath::Proxy,
        }
    }
}

/// Who handles this request if it is admitted.
pub fn identity_path(request: &Request<'_>, policy: &Policy) -> IdentityPath {
    let routes = Routes::of(request, |uri| policy.is_mine(uri));
    let routes = &routes;
    Arrived { request, routes }.identity_path(policy)
}

/// What is answered without asking who it is: RFC 3261 §16.3 steps 2, 3 and 5, and the question whether we are there.
fn before_admission(
    arrived: &Arrived<'_, '_>,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Option<Outcome> {
    let request = arrived.request;
    let message = request.message;
    if request.method == Method::Ack {
        return (request.max_forwards == Some(0))
            .then_some(Outcome::Dropped("an ACK with no hops left"));
    }
    if let Some(fault) = request.unsupported_scheme() {
        return Some(context.answer(message, fault.status, b"", out));
    }
    // RFC 3261 §8.2.2.3: not asked of a CANCEL.
    if request.method != Method::Cancel
        && let Some(unsupported) = unsupported(
            message,
            HeaderName::ProxyRequire,
            extensions(context.policy),
        )
    {
        return Some(context.answer(message, StatusCode::BAD_EXTENSION, &unsupported, out));
    }
    if request.method == Method::Options && is_for_us(arrived, context) {
        if let Some(unsupported) =
            unsupported(message, HeaderName::Require, extensions(context.policy))
        {
            return Some(context.answer(message, StatusCode::BAD_EXTENSION, &unsupported, out));
        }
        let supported = extensions(context.policy).join(", ");
        let supported = format!("Supported: {supported}\r\n");
        let headers = [allow(context.policy), supported.as_bytes()].concat();
        return Some(context.answer(message, StatusCode::OK, &headers, out));
    }
    if request.max_forwards == Some(0) && !arrived.is_registration(context.policy) {
        return Some(context.answer(message, StatusCode::TOO_MANY_HOPS, b"", out));
    }
    if request.method == Method::Cancel {
        return Some(context.answer(message, StatusCode::CALL_DOES_NOT_EXIST, b"", out));
    }
    None
}

/// Whether it asks this server itself, and nobody behind it.
fn is_for_us(arrived: &Arrived<'_, '_>, context: &Context<'_>) -> bool {
    let uri = arrived.request.uri;
    uri.sip().is_some_and(|uri| uri.user.is_none()) && arrived.is_to_us(context.policy)
}

/// Whether the sender of a REGISTER may say through whom others are reached: it is trusted, the server of a domain, or nobody
/// has to prove anything. A phone whose certificate names its user could have requests sent to any place.
pub(super) fn may_add_path(admitted: &Admitted<'_>, context: &Context<'_>) -> bool {
    let ground = admitted.ground();
    let of_domain = context.peer.proved().is_some_and(Identities::has_domain);
    ground.is_trust() || of_domain || !ground.is_proof()
}

/// repro's rules look at From alone: whoever registers somebody else by their hole is not caught by judging To later.
fn is_judged_again(admitted: &Admitted<'_>, context: &Context<'_>) -> bool {
    let request = admitted.request();
    let aor = |uri: &Uri<'_>| uri.sip().map(SipUri::address_of_record);
    let of_to = context.policy.rules.identity == IdentityRules::Secure
        || aor(&request.to.uri) == aor(&request.from.uri);
    of_to && !admitted.ground().is_of_the_request()
}

/// RFC 3261 §10.3.
fn register(admitted: &Admitted<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Outcome {
    let request = admitted.request();
    let message = request.message;
    let Some(to) = request.to.uri.sip() else {
        return context.answer(message, StatusCode::BAD_REQUEST, b"", out);
    };
    if !context.policy.rules.domains.contains(&to.host) {
        return context.answer(message, StatusCode::NOT_FOUND, b"", out);
    }
    let arrival = Arrival {
        flow: Some(context.flow),
        may_add_path: may_add_path(admitted, context),
    };
    let answer = registrar::register(
        admitted,
        context.location,
        &context.policy.registrar,
        arrival,
        context.name_reached,
        context.now,
    );
    context.answer_with(message, answer.status, answer.phrase, &answer.headers, out);
    let changed = answer.status == StatusCode::OK && answer.changes != Changes::default();
    let registered = changed.then(|| Registration {
        aor: to.address_of_record(),
        changes: answer.changes,
        tied: answer.registered,
        is_judged_again: is_judged_again(admitted, context),
        reached: answer.reached.into_vec(),
        path: answer.path.into_vec(),
    });
    Outcome::Answered {
        status: answer.status,
        registered,
        routed: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::test_support::policy;
    use super::*;
    use crate::auth::Transport;
    use crate::transaction::TransactionOptions;

    /// First line of the answer, and all of it; empty when there is none.
    fn answer(policy: &Arc<Policy>, text: &str) -> (String, String) {
        let head = text.find("\r\n\r\n").unwrap() + 4;
        let message = Message::parse(text.as_bytes(), head, 64);
        let location = Location::new();
        let context = Context {
            policy,
            location: &location,
            peer: Peer {
                transport: Transport::Tls,
                source: "198.51.100.7:40000".parse().unwrap(),
                identities: None,
            },
            flow: FlowId::Connection(1),
            listener: 0,
            local: "192.0.2.1".parse().unwrap(),
            name_reached: false,
            now: Instant::now(),
            arrived: 0,
            to_tag: "ours",
            load: Load::Normal,
        };
        let mut out = Vec::new();
        let (mut relay, mut effects) = (Relay::new(0, TransactionOptions::default()), Vec::new());
        let mut relaying = Relaying {
            relay: &mut relay,
            effects: &mut effects,
        };
        let outcome = on_message(&message, &context, &mut relaying, &mut out);
        if matches!(outcome, Outcome::Relayed(_)) {
            return ("relayed".to_owned(), String::new());
        }
        let out = String::from_utf8(out).unwrap();
        let first = out.lines().next().unwrap_or_default();
        (first.trim_start_matches("SIP/2.0 ").to_owned(), out)
    }

    fn request(method: &str, uri: &str, more: &str) -> String {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 203.0.113.9:5061;branch=z9hG4bKx\r\n\
             From: <sip:alice@example.org>;tag=a\r\nTo: <sip:alice@example.org>\r\nCall-ID: c@d\r\n\
             CSeq: 7 {method}\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }

    #[test]
    fn each_step_answers_what_it_has_to() {
        let policy = Arc::new(policy());
        for (situation, method, uri, more, wanted) in [
            ("are you there?", "OPTIONS", "sip:example.org", "", "200 OK"),
            (
                "the same by address",
                "OPTIONS",
                "sip:192.0.2.1:5061",
                "",
                "200 OK",
            ),
            (
                "with no hops left",
                "OPTIONS",
                "sip:example.org",
                "Max-Forwards: 0\r\n",
                "200 OK",
            ),
            (
                "an extension asked of us",
                "OPTIONS",
                "sip:example.org",
                "Require: foo\r\n",
                "420 Bad Extension",
            ),
            (
                "an extension asked of proxies",
                "MESSAGE",
                "sip:bob@example.org",
                "Proxy-Require: foo\r\n",
                "420 Bad Extension",
            ),
            (
                "an extension asked of proxies in a CANCEL",
                "CANCEL",
                "sip:bob@example.org",
                "Proxy-Require: foo\r\n",
                "481 Call/Transaction Does Not Exist",
            ),
            (
                "no hops left",
                "MESSAGE",
                "sip:bob@example.org",
                "Max-Forwards: 0\r\n",
                "483 Too Many Hops",
            ),
            (
                "a scheme that nobody routes",
                "MESSAGE",
                "urn:service:sos",
                "",
                "416 Unsupported URI Scheme",
            ),
            (
                "a CANCEL for no call",
                "CANCEL",
                "sip:bob@example.org",
                "",
                "481 Call/Transaction Does Not Exist",
            ),
            (
                "a user who is not there",
                "INVITE",
                "sip:bob@example.org",
                "",
                "480 Temporarily Unavailable",
            ),
            (
                "the server is no user",
                "MESSAGE",
                "sip:example.org",
                "",
                "405 Method Not Allowed",
            ),
            (
                "another port of our host",
                "MESSAGE",
                "sip:bob@example.org:99",
                "",
                "relayed",
            ),
            (
                "a registration",
                "REGISTER",
                "sip:example.org",
                "Contact: <sip:a@203.0.113.9>\r\n",
                "200 OK",
            ),
            (
                "a registration elsewhere",
                "REGISTER",
                "sip:example.net",
                "",
                "relayed",
            ),
            ("an ACK", "ACK", "sip:bob@example.org", "", ""),
        ] {
            assert_eq!(
                answer(&policy, &request(method, uri, more)).0,
                wanted,
                "{situation}"
            );
        }
    }

    #[test]
    fn a_stranger_may_not_relay_and_a_domain_that_is_not_ours_is_not_registered() {
        let policy = Arc::new(policy());
        let foreign = |text: String| text.replace("alice@example.org", "carol@example.net");
        let relay = foreign(request("MESSAGE", "sip:dave@example.com", ""));
        assert_eq!(answer(&policy, &relay).0, "403 Relaying Forbidden");
        let register = foreign(request(
            "REGISTER",
            "sip:example.org",
            "Contact: <sip:a@203.0.113.9>\r\n",
        ));
        assert_eq!(answer(&policy, &register).0, "404 Not Found");
        let route = foreign(request(
            "MESSAGE",
            "sip:bob@example.org",
            "Route: <sip:203.0.113.66;lr>\r\n",
        ));
        assert_eq!(answer(&policy, &route).0, "403 Relaying Forbidden");
        let own_route = request(
            "REGISTER",
            "sip:example.org",
            "Route: <sip:example.org;lr>\r\n",
        );
        assert_eq!(answer(&policy, &own_route).0, "200 OK");
    }

    #[test]
    fn an_answer_says_where_the_request_came_from_and_nothing_of_the_peer_in_its_phrase() {
        let policy = Arc::new(policy());
        let (_, text) = answer(&policy, &request("OPTIONS", "sip:example.org", ""));
        assert!(
            text.contains("branch=z9hG4bKx;received=198.51.100.7\r\n"),
            "{text}"
        );
        assert!(
            text.contains("To: <sip:alice@example.org>;tag=ours\r\n"),
            "{text}"
        );
        assert!(text.contains("Allow: OPTIONS, REGISTER\r\n"), "{text}");
        let (first, text) = answer(
            &policy,
            &request(
                "OPTIONS",
                "sip:example.org",
                "Require: x, y\r\nRequire: z\r\n",
            ),
        );
        assert_eq!(first, "420 Bad Extension");
        assert!(text.contains("Unsupported: x, y, z\r\n"), "{text}");
    }

    #[test]
    fn a_method_that_is_refused_is_not_listed_as_allowed() {
        let mut policy = policy();
        policy.registrar.enabled = false;
        let policy = Arc::new(policy);
        let (first, text) = answer(&policy, &request("REGISTER", "sip:example.org", ""));
        assert_eq!(first, "405 Method Not Allowed");
        assert!(text.contains("Allow: OPTIONS\r\n"), "{text}");
    }

    #[test]
    fn a_malformed_request_is_answered_where_that_is_possible_and_a_response_never() {
        let policy = Arc::new(policy());
        let good = request("OPTIONS", "sip:example.org", "");
        for (situation, text, wanted) in [
            (
                "no From",
                good.replace("From: <sip:alice@example.org>;tag=a\r\n", ""),
                "",
            ),
            (
                "From is none",
                good.replace("<sip:alice@example.org>;tag=a", "]]["),
                "400 Malformed From header",
            ),
            (
                "CSeq of another method",
                good.replace("7 OPTIONS", "7 INVITE"),
                "400 Method mismatch btw Request Line and CSeq",
            ),
            (
                "another version",
                good.replacen("SIP/2.0", "SIP/7.0", 1),
                "505 Version Not Supported",
            ),
            (
                "a malformed ACK",
                request("ACK", "sip:example.org", "").replace("7 ACK", "x ACK"),
                "",
            ),
            (
                "a response",
                good.replacen("OPTIONS sip:example.org SIP/2.0", "SIP/2.0 200 OK", 1),
                "",
            ),
        ] {
            assert_eq!(answer(&policy, &text).0, wanted, "{situation}");
        }
    }
}
