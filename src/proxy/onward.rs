//! Where an admitted request goes: RFC 3261 §16.5, §16.6, and for one within a dialog §16.12.

use std::borrow::Cow;

use super::audit::Heard;
use super::breadth::max_breadth;
use super::core::{
    Context, Outcome, Relaying, allow, answer_busy, answer_fault, challenged, may_add_path,
};
use super::dialog;
use super::directory::{Answers, Pending};
use super::edge::{self, Held};
use super::lead::Follow;
use super::leave_out::{ASSERTED, Changes, LeaveOut, asserted, is_private};
use super::loop_check::{loop_key, loops};
use super::ours::{self, End, Routed, Verdict};
use super::relay::{Begin, Recorded, Recording, Sides};
use super::routes::Routes;
use super::target::{Origin, Target, TargetSet};
use crate::auth::{
    self, Admitted, Credentials, Decision, Identities, IdentityPath, IdentityRules, Leg, TagDigest,
};
use crate::registrar::{Aor, Binding};
use crate::sip::{HeaderName, Method, Request, SipUri, StatusCode};
use crate::transaction::NotBegun;

/// The way that a request asks for.
pub(super) struct Course<'w> {
    /// Its Route header fields, ours taken off.
    pub(super) routes: &'w Routes<'w>,
}

/// Sends a request on, or answers it.
pub(super) fn route(
    admitted: &Admitted<'_>,
    course: &Course<'_>,
    answers: Answers,
    context: &Context<'_>,
    relaying: &mut Relaying<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    let request = admitted.request();
    let message = request.message;
    let Some(uri) = course.routes.uri.sip() else {
        return context.answer(message, StatusCode::UNSUPPORTED_URI_SCHEME, b"", out);
    };
    if let Some(other) = admitted.other_leg() {
        let targets = TargetSet::only(within(admitted, other, course, context));
        let routed = Routed::found(&targets);
        return send(admitted, course, targets, routed, context, relaying, out);
    }
    let is_registration = request.method == Method::Register;
    if is_registration && message.count(HeaderName::Path) > 0 && !may_add_path(admitted, context) {
        return refuse(request, StatusCode::FORBIDDEN, NO_PATH, context, out);
    }
    match edge::held(course.routes, context) {
        Held::Nothing => {}
        Held::Flow(flow, identity) => {
            let targets = TargetSet::only(Target {
                flow: Some(flow),
                flow_only: true,
                identity,
                ..Target::of(course.routes.request_uri.to_owned(), Origin::FlowToken)
            });
            let routed = Routed::found(&targets);
            return send(admitted, course, targets, routed, context, relaying, out);
        }
        Held::Gone => {
            return refuse(
                request,
                StatusCode::FLOW_FAILED,
                "Flow failed",
                context,
                out,
            );
        }
        Held::Forged => {
            let phrase = "Invalid Flow Token";
            return refuse(request, StatusCode::FORBIDDEN, phrase, context, out);
        }
    }
    if !course.routes.rest.is_empty() || !context.policy.is_mine(uri) {
        if !may_relay(admitted, context) {
            let phrase = "Relaying Forbidden";
            return refuse(request, StatusCode::FORBIDDEN, phrase, context, out);
        }
        let target = Target::of(course.routes.request_uri.to_owned(), Origin::Request);
        let targets = TargetSet::only(target);
        let routed = Routed::found(&targets);
        return send(admitted, course, targets, routed, context, relaying, out);
    }
    if request.method == Method::Ack {
        return Outcome::Dropped("an ACK to no transaction of ours");
    }
    match ours::judge(admitted, uri, &answers, context) {
        Ok(Verdict::Onward(targets, routed)) => {
            let targets = match uri.secure {
                true => targets.secure(),
                false => targets,
            };
            if targets.is_empty() {
                let status = StatusCode::TEMPORARILY_UNAVAILABLE;
                return context.answer(message, status, NOT_ALLOWED, out);
            }
            // It has not arrived anew when its questions were answered.
            let context = &Context {
                arrived: answers.arrived.unwrap_or(context.arrived),
                ..*context
            };
            send(admitted, course, targets, routed, context, relaying, out)
        }
        Ok(Verdict::Answer {
            status,
            phrase,
            routed,
        }) => {
            let headers = match routed.end {
                End::NoUser => allow(context.policy),
                _ => b"",
            };
            context.answer_with(message, status, &phrase, headers, out);
            Outcome::Answered {
                status,
                registered: None,
                routed: Some(routed),
            }
        }
        Ok(Verdict::Challenge(challenge)) => {
            let heard = Heard {
                request,
                path: IdentityPath::Proxy,
                arrived: answers.arrived.unwrap_or(context.arrived),
            };
            challenged(&heard, challenge, context, out)
        }
        Err(question) => {
            let directory = &context.policy.directory;
            let pending = Pending::routing(question, directory, answers);
            Outcome::Pending(Box::new(pending))
        }
    }
}

/// What the registrar says too.
const NO_PATH: &str = "Path Not Accepted From Here";

/// Says that only a SIP URI would have led to somebody (RFC 5630 §5.3).
const NOT_ALLOWED: &[u8] = b"Warning: 380 sipvouch \"SIPS Not Allowed\"\r\n";

/// The way of a request within a dialog: to the flow of the other side, as it is now if that side has registered again
/// since. The proof holds for this way only; where the sender may have any request relayed, it is looked for by the URI if
/// that flow is gone.
fn within(
    admitted: &Admitted<'_>,
    other: &Leg,
    course: &Course<'_>,
    context: &Context<'_>,
) -> Target {
    let routes = course.routes;
    let registered = dialog::aor_of(other).and_then(|aor| {
        let bindings = context.location.lookup(aor.as_str(), context.now);
        let contact = |binding: &&Binding| binding.uri_text() == routes.request_uri.as_bytes();
        // A device that has several flows keeps to the one that the dialog began over.
        let before = dialog::flow_of(other);
        let flows = || bindings.iter().filter(contact).filter_map(Binding::flow);
        flows()
            .find(|flow| Some(*flow) == before)
            .or_else(|| flows().next())
    });
    let request = admitted.request();
    let decision = auth::admit(
        *request,
        &context.peer,
        context.occasion(IdentityPath::Proxy),
        &context.policy.rules,
    );
    let free = matches!(&decision, Decision::Admit(admitted) if may_relay(admitted, context));
    Target {
        flow: registered.or_else(|| dialog::flow_of(other)),
        flow_only: !free,
        ..Target::of(routes.request_uri.to_owned(), Origin::Request)
    }
}

/// Refuses to send a request on; an ACK hears nothing.
fn refuse(
    request: &Request<'_>,
    status: StatusCode,
    phrase: &str,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    if request.method == Method::Ack {
        return Outcome::Dropped("an ACK that may not be relayed");
    }
    context.answer_with(request.message, status, phrase, b"", out);
    Outcome::Answered {
        status,
        registered: None,
        routed: None,
    }
}

/// Whether the sender may send through us to somebody that is not ours.
fn may_relay(admitted: &Admitted<'_>, context: &Context<'_>) -> bool {
    // repro asks nothing of a request that takes itself for part of a dialog.
    let exempt = context.policy.rules.identity != IdentityRules::Secure;
    if exempt && admitted.request().has_to_tag() {
        return true;
    }
    let from_mine = |uri: &SipUri<'_>| context.policy.is_mine(uri);
    context.policy.proxy.always_allow_relaying
        || admitted.ground().is_trust()
        || admitted.request().from.uri.sip().is_some_and(from_mine)
}

/// How far redirections of a request may be followed: to where its sender could have sent it himself.
fn follow(admitted: &Admitted<'_>, context: &Context<'_>) -> Follow {
    match admitted.other_leg() {
        Some(_) => Follow::Nowhere,
        None if may_relay(admitted, context) => Follow::Anywhere,
        None => Follow::ToOurs,
    }
}

/// What is changed about the header fields of a request.
///
/// What the sender says about who a request is really from goes on if he is trusted; repro passes it, whoever he is, unless it
/// is told to do otherwise. It is told, then who has proved a password is named instead (RFC 3325 §5).
fn changes(admitted: &Admitted<'_>, context: &Context<'_>) -> Changes {
    let (rules, options) = (&context.policy.rules, &context.policy.proxy);
    let is_secure = rules.identity == IdentityRules::Secure;
    let strips = (is_secure || options.asserted_identity) && !rules.trusts(&context.peer);
    let mut leave_out = Cow::Borrowed(if strips { ASSERTED } else { &[] });
    let request = admitted.request();
    let message = request.message;
    let mut add = Box::default();
    if options.asserted_identity {
        let is_named = !strips && message.count(HeaderName::PAssertedIdentity) > 0;
        let is_asked = message.count(HeaderName::PPreferredIdentity) > 0;
        if is_private(request) {
            leave_out = Cow::Borrowed(ASSERTED);
        } else if let Some(user) = admitted.password_user().filter(|_| is_asked || !is_named) {
            leave_out = Cow::Borrowed(ASSERTED);
            add = asserted(user, &request.from);
        }
    }
    if !options.keep_credentials {
        let fields = [HeaderName::ProxyAuthorization, HeaderName::Authorization];
        for value in fields.into_iter().flat_map(|name| message.all(name)) {
            if let Ok(Some(credentials)) = Credentials::parse(value)
                && rules.is_our_realm(credentials.realm())
            {
                let realm = Cow::Owned(credentials.realm().to_owned());
                leave_out.to_mut().push(LeaveOut::Credentials { realm });
            }
        }
    }
    Changes { leave_out, add }
}

/// Hands a request to the relay.
fn send(
    admitted: &Admitted<'_>,
    course: &Course<'_>,
    targets: TargetSet,
    routed: Routed,
    context: &Context<'_>,
    relaying: &mut Relaying<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    let request = admitted.request();
    let message = request.message;
    let breadth = match max_breadth(message) {
        Ok(breadth) => breadth,
        // An ACK is never answered.
        Err(fault) if request.method == Method::Ack => return Outcome::Malformed(fault),
        // It has come to its end, and nothing is wrong with it.
        Err(fault) if fault.status == StatusCode::MAX_BREADTH_EXCEEDED => {
            return context.answer(message, fault.status, b"", out);
        }
        Err(fault) => {
            answer_fault(message, fault, context, out);
            return Outcome::Malformed(fault);
        }
    };
    let relayed = Outcome::Relayed(routed);
    let first = targets
        .groups()
        .first()
        .and_then(|group| group.first())
        .cloned();
    let key = loop_key(request, course.routes, &context.policy.relay.keys.loops);
    let begin = Begin {
        request,
        routes: course.routes,
        loop_key: key,
        flow: context.flow,
        source: context.peer.source,
        reliable: context.peer.transport.is_reliable(),
        to_tag: context.to_tag,
        breadth,
        recording: recording(request, course, context),
        for_devices: targets.are_devices().then_some(context.arrived),
        follow: follow(admitted, context),
        changes: changes(admitted, context),
        policy: context.policy,
        targets,
    };
    if request.method == Method::Ack {
        let passed =
            first.is_some_and(|target| relaying.relay.pass(&begin, &target, relaying.effects));
        return match passed {
            true => relayed,
            false => Outcome::Dropped("an ACK that leads nowhere"),
        };
    }
    // Nobody else makes the same key: whose Via it is need not be asked.
    if loops(request, |_| true, key) {
        return context.answer(message, StatusCode::LOOP_DETECTED, b"", out);
    }
    match relaying.relay.begin(begin, context.now, relaying.effects) {
        Ok(()) => relayed,
        // It came again while it waited for answers, and what came first has gone on.
        Err(NotBegun::Known) => Outcome::Absorbed,
        Err(_) => {
            answer_busy(message, context, out);
            Outcome::Answered {
                status: StatusCode::SERVICE_UNAVAILABLE,
                registered: None,
                routed: None,
            }
        }
    }
}

/// What a request records, if it forms a dialog (RFC 3261 §12.1, RFC 6665 §4.4.1, RFC 3515 §2.4.4), or registers somebody who is
/// to be reached through us.
fn recording(
    request: &Request<'_>,
    course: &Course<'_>,
    context: &Context<'_>,
) -> Option<Recording> {
    let uri = course.routes.uri.sip()?;
    let of_domain = context.peer.proved().is_some_and(Identities::has_domain);
    let recording = |what: Recorded| Recording {
        listener: context.listener,
        local: context.local,
        of_domain,
        secure: uri.secure,
        what,
    };
    if request.method == Method::Register {
        return edge::path(request, context).map(|back| recording(Recorded::Return(back)));
    }
    let forms = matches!(
        request.method,
        Method::Invite | Method::Subscribe | Method::Refer
    );
    if !forms || request.has_to_tag() {
        return None;
    }
    let ours = |uri: &SipUri<'_>| context.policy.is_mine(uri).then(|| Aor::of(uri));
    let (from, to) = (&request.from.uri, &request.to.uri);
    let identity = context.peer.proved().and_then(Identities::digest);
    let caller = from.sip().and_then(ours);
    let callee = dialog::leg(context.flow, None, ours(uri).as_ref(), to);
    Some(recording(Recorded::Dialog(Box::new(Sides {
        caller: dialog::leg(context.flow, identity, caller.as_ref(), from),
        caller_tag: TagDigest::of(request.from.tag()),
        callee: Leg {
            flow: None,
            ..callee
        },
        call_id: request.call_id.into(),
    }))))
}
