//! The steps a request passes, in order: RFC 3261 §16.3 to §16.5, and §10.3 for what is ours to register.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::policy::Policy;
use crate::auth::{self, Admitted, Answers, Decision, IdentityPath, Peer, Pending, Refusal};
use crate::registrar::{self, Aor, Changes, FlowId, Location};
use crate::sip::{
    Fault, HeaderName, Message, Method, Reply, Request, SipUri, StartLine, StatusCode, addresses,
};

/// What a message meets when it arrives.
pub struct Context<'c> {
    /// Rules and settings in force.
    pub policy: &'c Policy,
    /// The location service.
    pub location: &'c Location,
    /// Who sent it.
    pub peer: Peer<'c>,
    /// The connection it came over.
    pub flow: FlowId,
    /// The time.
    pub now: Instant,
    /// Tag for an answer of ours.
    pub to_tag: &'c str,
}

/// What became of a message. Its answer, if it has one, has been appended to the output.
pub enum Outcome {
    /// Answered.
    Answered {
        /// Status of the answer.
        status: StatusCode,
        /// What a REGISTER changed.
        registered: Option<Registration>,
    },
    /// Refused by admission, and told so unless it was an ACK.
    Refused(Box<Refused>),
    /// Answered by repro's rules; the secure rules would have refused it.
    Reported {
        /// Status of the answer.
        status: StatusCode,
        /// What a REGISTER changed.
        registered: Option<Registration>,
        /// What the secure rules say.
        refused: Box<Refused>,
    },
    /// It broke the grammar; answered where that was possible.
    Malformed(Fault),
    /// Not answered: why.
    Dropped(&'static str),
    /// Admission has questions for the lookup pool; [`on_answers`] goes on.
    Pending(Pending),
}

/// A refusal with what it was about; `Display` is the end of a log line.
pub struct Refused {
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
const ALLOW: &[u8] = b"Allow: OPTIONS, REGISTER\r\n";

/// Takes a whole message.
pub fn on_message(message: &Message<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Outcome {
    step(message, None, context, out)
}

/// Takes a message up again whose questions have been answered.
pub fn on_answers(
    message: &Message<'_>,
    answers: Answers,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    step(message, Some(answers), context, out)
}

/// Answers a message that cannot be handled because of this fault, if it can be answered.
pub fn answer_fault(
    message: &Message<'_>,
    fault: Fault,
    source: SocketAddr,
    policy: &Policy,
    to_tag: &str,
    out: &mut Vec<u8>,
) {
    if Reply::is_possible(message) && !is_ack(message) {
        reply(
            message,
            fault.status,
            fault.phrase,
            source,
            policy,
            to_tag,
            b"",
            out,
        );
    }
}

/// Answers a message whose check has failed on the lookup pool: nothing was decided, so nothing passes.
pub fn answer_failed(
    message: &Message<'_>,
    source: SocketAddr,
    policy: &Policy,
    to_tag: &str,
    out: &mut Vec<u8>,
) {
    let status = StatusCode::SERVER_INTERNAL_ERROR;
    answer_fault(
        message,
        Fault {
            status,
            phrase: status.phrase(),
        },
        source,
        policy,
        to_tag,
        out,
    );
}

/// Answers a message for whose question the lookup pool has no room (RFC 3261 §21.5.4).
pub fn answer_busy(
    message: &Message<'_>,
    source: SocketAddr,
    policy: &Policy,
    to_tag: &str,
    out: &mut Vec<u8>,
) {
    if Reply::is_possible(message) && !is_ack(message) {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        reply(
            message,
            status,
            status.phrase(),
            source,
            policy,
            to_tag,
            b"Retry-After: 5\r\n",
            out,
        );
    }
}

fn is_ack(message: &Message<'_>) -> bool {
    matches!(
        message.start_line(),
        StartLine::Request { method: b"ACK", .. }
    )
}

#[expect(
    clippy::too_many_arguments,
    reason = "a response is made of that many things"
)]
fn reply(
    message: &Message<'_>,
    status: StatusCode,
    phrase: &str,
    source: SocketAddr,
    policy: &Policy,
    to_tag: &str,
    headers: &[u8],
    out: &mut Vec<u8>,
) {
    let server = policy.proxy.server_text.as_deref();
    Reply {
        status,
        phrase,
        to_tag: Some(to_tag),
        source: Some(source),
        server,
        headers,
    }
    .write(message, out);
}

impl Context<'_> {
    fn answer(
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
        }
    }

    fn answer_with(
        &self,
        message: &Message<'_>,
        status: StatusCode,
        phrase: &str,
        headers: &[u8],
        out: &mut Vec<u8>,
    ) {
        reply(
            message,
            status,
            phrase,
            self.peer.source,
            self.policy,
            self.to_tag,
            headers,
            out,
        );
    }
}

fn step(
    message: &Message<'_>,
    answers: Option<Answers>,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    if message.is_response() {
        return Outcome::Dropped("a response to nothing of ours");
    }
    let rules = &context.policy.rules;
    let request = match Request::read(message, rules.identity.from_rule()) {
        Ok(request) => request,
        Err(fault) => {
            answer_fault(
                message,
                fault,
                context.peer.source,
                context.policy,
                context.to_tag,
                out,
            );
            return Outcome::Malformed(fault);
        }
    };
    if let Some(outcome) = before_admission(&request, context, out) {
        return outcome;
    }
    let path = if is_registration(&request, context) {
        IdentityPath::Registrar
    } else {
        IdentityPath::Proxy
    };
    let decision = match answers {
        None => auth::admit(request, &context.peer, path, rules),
        Some(answers) => auth::resume(request, &context.peer, path, rules, answers),
    };
    match decision {
        Decision::Admit(admitted) => {
            let outcome = match path {
                IdentityPath::Registrar => register(&admitted, context, out),
                IdentityPath::Proxy => route(&admitted, context, out),
            };
            report(&admitted, outcome)
        }
        Decision::Refuse(refusal) => {
            context.answer_with(message, refusal.status, refusal.phrase, b"", out);
            Outcome::Refused(Box::new(refused(&request, refusal)))
        }
        Decision::Drop(refusal) => Outcome::Refused(Box::new(refused(&request, refusal))),
        Decision::Pending(pending) => Outcome::Pending(pending),
    }
}

fn refused(request: &Request<'_>, refusal: Refusal) -> Refused {
    Refused {
        method: request.method.as_str().to_owned(),
        from: String::from_utf8_lossy(request.from.text).into_owned(),
        refusal,
    }
}

/// Under `IdentityRules = report`, what the secure rules say about a request that has passed.
fn report(admitted: &Admitted<'_>, outcome: Outcome) -> Outcome {
    match (admitted.would_refuse(), outcome) {
        (Some(refusal), Outcome::Answered { status, registered }) => {
            let refused = Box::new(refused(admitted.request(), refusal.clone()));
            Outcome::Reported {
                status,
                registered,
                refused,
            }
        }
        (_, outcome) => outcome,
    }
}

/// What is answered without asking who it is: RFC 3261 §16.3 steps 2, 3 and 5, and the question whether we are there.
fn before_admission(
    request: &Request<'_>,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Option<Outcome> {
    let message = request.message;
    if request.method == Method::Ack {
        return Some(Outcome::Dropped("an ACK to no transaction of ours"));
    }
    if let Some(fault) = request.unsupported_scheme() {
        return Some(context.answer(message, fault.status, b"", out));
    }
    let for_us = request
        .uri
        .sip()
        .is_some_and(|uri| uri.user.is_none() && context.policy.is_mine(uri));
    if let Some(unsupported) = unsupported(message, HeaderName::ProxyRequire) {
        return Some(context.answer(message, StatusCode::BAD_EXTENSION, &unsupported, out));
    }
    if for_us && request.method == Method::Options {
        if let Some(unsupported) = unsupported(message, HeaderName::Require) {
            return Some(context.answer(message, StatusCode::BAD_EXTENSION, &unsupported, out));
        }
        return Some(context.answer(message, StatusCode::OK, ALLOW, out));
    }
    if request.max_forwards == Some(0) && !is_registration(request, context) {
        return Some(context.answer(message, StatusCode::TOO_MANY_HOPS, b"", out));
    }
    if request.method == Method::Cancel {
        return Some(context.answer(message, StatusCode::CALL_DOES_NOT_EXIST, b"", out));
    }
    None
}

/// An Unsupported header line with every option tag of this field: we have no extension yet.
fn unsupported(message: &Message<'_>, name: HeaderName) -> Option<Vec<u8>> {
    let tags: Vec<&[u8]> = message.all(name).filter(|tags| !tags.is_empty()).collect();
    (!tags.is_empty()).then(|| [b"Unsupported: ", &tags.join(&b", "[..])[..], b"\r\n"].concat())
}

/// Whether it is a REGISTER for our registrar.
fn is_registration(request: &Request<'_>, context: &Context<'_>) -> bool {
    request.method == Method::Register
        && context.policy.registrar.enabled
        && request
            .uri
            .sip()
            .is_some_and(|uri| context.policy.is_mine(uri))
        && !leads_elsewhere(request, context)
}

/// Whether a Route header sends the request to somebody else (RFC 3261 §16.4); one that cannot be read does.
fn leads_elsewhere(request: &Request<'_>, context: &Context<'_>) -> bool {
    request
        .message
        .all(HeaderName::Route)
        .flat_map(addresses)
        .any(|route| match route {
            Ok(route) => !route
                .uri
                .sip()
                .is_some_and(|uri| context.policy.is_mine(uri)),
            Err(_) => true,
        })
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
    let flow = Some(context.flow);
    let answer = registrar::register(
        admitted,
        context.location,
        &context.policy.registrar,
        flow,
        context.now,
    );
    context.answer_with(message, answer.status, answer.phrase, &answer.headers, out);
    let changed = answer.status == StatusCode::OK && answer.changes != Changes::default();
    let registered = changed.then(|| Registration {
        aor: to.address_of_record(),
        changes: answer.changes,
        tied: answer.registered,
    });
    Outcome::Answered {
        status: answer.status,
        registered,
    }
}

/// RFC 3261 §16.5, as far as it can be answered without sending anything on.
fn route(admitted: &Admitted<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Outcome {
    let request = admitted.request();
    let message = request.message;
    let Some(target) = request.uri.sip() else {
        return context.answer(message, StatusCode::UNSUPPORTED_URI_SCHEME, b"", out);
    };
    let elsewhere = leads_elsewhere(request, context) || !context.policy.is_mine(target);
    if elsewhere && !may_relay(admitted, context) {
        context.answer_with(
            message,
            StatusCode::FORBIDDEN,
            "Relaying Forbidden",
            b"",
            out,
        );
        return Outcome::Answered {
            status: StatusCode::FORBIDDEN,
            registered: None,
        };
    }
    if !elsewhere && target.user.is_none() {
        return context.answer(message, StatusCode::METHOD_NOT_ALLOWED, ALLOW, out);
    }
    context.answer(message, StatusCode::TEMPORARILY_UNAVAILABLE, b"", out)
}

/// Whether the sender may send through us to somebody that is not ours.
fn may_relay(admitted: &Admitted<'_>, context: &Context<'_>) -> bool {
    let from_mine = |uri: &SipUri<'_>| context.policy.is_mine(uri);
    context.policy.proxy.always_allow_relaying
        || admitted.ground().is_trust()
        || admitted.request().from.uri.sip().is_some_and(from_mine)
}
