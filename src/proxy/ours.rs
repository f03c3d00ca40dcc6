//! A request for a user of ours, once it may be sent to one: request filter, static routes, contacts, and what there is to
//! say when there is none (RFC 3261 §16.5; the order is repro's).

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;
use std::time::Instant;

use super::core::Context;
use super::directory::{Answer, Answers, Kept, Question, Reply};
use super::filter::FilterVerdict;
use super::routing::Routing;
use super::ruling::Ruling;
use super::silo::SiloVerdict;
use super::target::{Origin, Target, TargetCount, TargetSet};
use crate::auth::{Admitted, Challenge, IdentityPath, IdentityRules};
use crate::registrar::{Binding, Location, Lost, QValue};
use crate::sip::{Host, Method, Request, SipUri, StatusCode, canonical_user};

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A request filter refused it.
    Filtered,
    /// There are places to send it to.
    Found,
    /// It names no user, and nothing leads further.
    NoUser,
    /// There is no such user.
    UnknownUser,
    /// The user is away.
    Away,
    /// The user is away, and the message is kept.
    Kept,
    /// The user is away, and the message is not kept.
    NotKept,
    /// Whether there is such a user is not known, because the data base does not answer.
    Undecided,
}

impl End {
    /// A stable word for logs.
    pub fn id(self) -> &'static str {
        match self {
            Self::Filtered => "filtered",
            Self::Found => "found",
            Self::NoUser => "no-user",
            Self::UnknownUser => "unknown-user",
            Self::Away => "away",
            Self::Kept => "kept",
            Self::NotKept => "not-kept",
            Self::Undecided => "undecided",
        }
    }
}

/// Where routing led a request; `Display` is a part of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed {
    /// How far it came.
    pub end: End,
    /// How many places it may go to.
    pub targets: TargetCount,
    /// Static routes that matched and led nowhere.
    pub skipped: usize,
}

impl fmt::Display for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "end={} {}", self.end.id(), self.targets)?;
        if self.skipped > 0 {
            write!(f, " routes_skipped={}", self.skipped)?;
        }
        Ok(())
    }
}

impl Routed {
    /// One that has places to go to.
    pub(super) fn found(targets: &TargetSet) -> Self {
        Self {
            end: End::Found,
            targets: targets.count(),
            skipped: 0,
        }
    }
}

/// The places that a request may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    pub(super) targets: TargetSet,
    skipped: usize,
}

/// What becomes of a request for a user of ours.
pub(super) enum Verdict<'p> {
    /// It is sent on.
    Onward(TargetSet, Routed),
    /// It is answered.
    Answer {
        status: StatusCode,
        phrase: Cow<'p, str>,
        routed: Routed,
    },
    /// Its sender is asked for a password.
    Challenge(Challenge),
}

impl<'p> Verdict<'p> {
    fn of(status: StatusCode, end: End, found: &Found) -> Self {
        Self::told(status, Cow::Borrowed(status.phrase()), end, found)
    }

    fn told(status: StatusCode, phrase: Cow<'p, str>, end: End, found: &Found) -> Self {
        Self::Answer {
            status,
            phrase,
            routed: Routed {
                end,
                targets: found.targets.count(),
                skipped: found.skipped,
            },
        }
    }
}

/// Judges a request whose Request-URI is `uri`, or names the question that has to be answered first.
pub(super) fn judge<'p>(
    admitted: &Admitted<'_>,
    uri: &SipUri<'_>,
    answers: &Answers,
    context: &Context<'p>,
) -> Result<Verdict<'p>, Question> {
    let request = admitted.request();
    if answers.is_kept() {
        let success = context.policy.routing.silo.options().success;
        return Ok(Verdict::of(success, End::Kept, &Found::default()));
    }
    if let Some(refused) = filter(request, answers, context)? {
        return Ok(refused);
    }
    let found = targets(request, uri, context);
    if needs_password(admitted, &found, context) {
        let rules = &context.policy.rules;
        let realm = uri.host.canonical();
        let now = context.occasion(IdentityPath::Proxy).now;
        return Ok(match rules.challenge(&realm, &context.peer, now) {
            Some(challenge) => Verdict::Challenge(challenge),
            None => Verdict::of(StatusCode::SERVER_INTERNAL_ERROR, End::Undecided, &found),
        });
    }
    if !found.targets.is_empty() {
        let routed = Routed {
            skipped: found.skipped,
            ..Routed::found(&found.targets)
        };
        return Ok(Verdict::Onward(found.targets, routed));
    }
    let Some(user) = uri.user else {
        return Ok(Verdict::of(
            StatusCode::METHOD_NOT_ALLOWED,
            End::NoUser,
            &found,
        ));
    };
    let exists = Question::UserExists {
        user: canonical_user(user).into_owned(),
        domain: uri.host.canonical().into_owned(),
    };
    let (status, end) = match ask(exists, answers, context)? {
        Answer::Exists(false) => (StatusCode::NOT_FOUND, End::UnknownUser),
        Answer::Exists(true) => absent(request, uri, answers, context)?,
        // Neither 404 nor 480 is known to be true, and another server of ours would ask the same data base.
        _ => (StatusCode::SERVER_INTERNAL_ERROR, End::Undecided),
    };
    Ok(Verdict::of(status, end, &found))
}

/// The answer to a question, or the question back if it has to wait.
fn ask(question: Question, answers: &Answers, context: &Context<'_>) -> Result<Answer, Question> {
    match answers.ask(question, &*context.policy.directory) {
        Reply::Now(answer) => Ok(answer),
        Reply::Later(question) => Err(question),
    }
}

/// The refusal of the request filter, if it refuses.
fn filter<'p>(
    request: &Request<'_>,
    answers: &Answers,
    context: &Context<'p>,
) -> Result<Option<Verdict<'p>>, Question> {
    let filters = &context.policy.routing.filters;
    let mut told = |filter: &str, why| context.policy.directory.undecided(filter, why);
    let (status, phrase) = match filters.judge(request, &mut told) {
        FilterVerdict::Continue => return Ok(None),
        FilterVerdict::Reject(status, phrase) => (status, Cow::Borrowed(phrase)),
        FilterVerdict::Query {
            statement,
            captures,
        } => {
            let query = Question::Filter {
                statement,
                captures,
            };
            let result = match ask(query, answers, context)? {
                Answer::FilterResult(result) => result,
                _ => None,
            };
            match filters.on_result(result.as_deref()) {
                Ruling::Continue => return Ok(None),
                Ruling::Reject { status, phrase } => (status, Cow::Owned(phrase.into_string())),
            }
        }
    };
    Ok(Some(Verdict::told(
        status,
        phrase,
        End::Filtered,
        &Found::default(),
    )))
}

/// Every place that static routes, bindings and static registrations name for a request.
pub(super) fn targets(request: &Request<'_>, uri: &SipUri<'_>, context: &Context<'_>) -> Found {
    let Context { location, now, .. } = *context;
    places(request, uri, &context.policy.routing, location, now)
}

/// The same for a request that has been sent on already.
pub(super) fn places(
    request: &Request<'_>,
    uri: &SipUri<'_>,
    routing: &Routing,
    location: &Location,
    now: Instant,
) -> Found {
    let mut found = Found::default();
    match routing.fixed_routes.target(uri) {
        Some(target) => found.targets.add([target]),
        None => {
            let matched = routing.routes.matching(request);
            found.skipped = matched.skipped;
            let routes = matched
                .uris
                .into_iter()
                .map(|uri| Target::of(uri, Origin::Route));
            if routing.options.parallel_routes {
                found.targets.add(routes);
            } else {
                routes.for_each(|route| found.targets.add([route]));
            }
            if !found.targets.is_empty() && !routing.options.continue_after_routes {
                return found;
            }
        }
    }
    let aor = uri.address_of_record();
    let live = location.lookup(&aor, now);
    let mut contacts = devices(&live);
    contacts.extend_from_slice(routing.registrations.of(&aor));
    found
        .targets
        .add_by_preference(contacts, routing.options.forking);
    found
}

/// A target for each device. One that has several flows is one target, whose best flow is tried first: that of the highest
/// preference, among those the one that was registered last (RFC 5626 §7).
fn devices(bindings: &[Binding]) -> Vec<Target> {
    let mut devices: Vec<Vec<&Binding>> = Vec::new();
    for binding in bindings {
        let is_of = |device: &&mut Vec<&Binding>| {
            device
                .first()
                .is_some_and(|other| binding.is_of_same_device(other))
        };
        match devices.iter_mut().find(is_of) {
            Some(device) => device.push(binding),
            None => devices.push(vec![binding]),
        }
    }
    let first_of = |mut device: Vec<&Binding>| {
        device.sort_by_key(|binding| Reverse((preference(binding), binding.expires_at())));
        Target::first_of(device.into_iter().filter_map(contact))
    };
    devices.into_iter().filter_map(first_of).collect()
}

fn preference(binding: &Binding) -> QValue {
    binding.q().unwrap_or(QValue::DEFAULT)
}

/// Whether a Contact is worth trying whose connection a restart has taken: that of a server, which has a name to prove. An
/// address there is mostly that of a phone, which is not listening, and may be somebody else's by now.
fn has_name(binding: &Binding) -> bool {
    let uri = binding.uri();
    let host = uri.as_ref().and_then(|uri| uri.sip()).map(|uri| uri.host);
    matches!(host, Some(Host::Name(_)))
}

fn contact(binding: &Binding) -> Option<Target> {
    if binding.lost() == Some(Lost::Connection) && !has_name(binding) {
        return None;
    }
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).ok();
    Some(Target {
        route: binding.path().map(text).collect::<Option<_>>()?,
        flow: binding.flow(),
        // What came over a connection is reached over it, and over nothing else.
        flow_only: binding.flow().is_some(),
        q: preference(binding),
        ..Target::of(text(binding.uri_text())?, Origin::Binding)
    })
}

/// Whether a third party has to prove a password here: it has not proved its From, or a static route would lead it out of our
/// domains (`ChallengeThirdPartiesCallingLocalDomains`).
fn needs_password(admitted: &Admitted<'_>, found: &Found, context: &Context<'_>) -> bool {
    let (rules, options) = (&context.policy.rules, &context.policy.routing.options);
    let request = admitted.request();
    let ground = admitted.ground();
    if !rules.wants_digest
        || !options.challenge_third_parties
        || ground.is_trust()
        || admitted.password_user().is_some()
        || matches!(request.method, Method::Ack)
        || (request.method == Method::Bye && rules.identity != IdentityRules::Secure)
    {
        return false;
    }
    let from = request.from.uri.sip();
    if from.is_some_and(|from| rules.domains.contains_by(rules.identity, &from.host)) {
        return false;
    }
    let is_out = |target: &Target| {
        target.origin == Origin::Route
            && target.route.is_empty()
            && !SipUri::parse(&target.uri).is_some_and(|uri| context.policy.is_mine(&uri))
    };
    !ground.is_proof() || found.targets.groups().iter().flatten().any(is_out)
}

/// The answer for a user who exists and is nowhere.
fn absent(
    request: &Request<'_>,
    uri: &SipUri<'_>,
    answers: &Answers,
    context: &Context<'_>,
) -> Result<(StatusCode, End), Question> {
    let silo = &context.policy.routing.silo;
    let arrived = answers.arrived.unwrap_or(context.arrived);
    let message = match silo.judge(request, uri, context.flow, arrived) {
        SiloVerdict::Pass => return Ok((StatusCode::TEMPORARILY_UNAVAILABLE, End::Away)),
        SiloVerdict::Answer(status) => return Ok((status, End::NotKept)),
        SiloVerdict::Keep(message) => message,
    };
    Ok(
        match ask(Question::Keep(Box::new(message)), answers, context)? {
            Answer::Kept(Kept::Stored) => (silo.options().success, End::Kept),
            // That the user is away is true all the same, and the sender still has the message.
            _ => (silo.options().failure, End::NotKept),
        },
    )
}
