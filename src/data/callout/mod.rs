//! The callout: a server of the operator's that is asked over HTTP whether a peer may use an identity.
//!
//! `wire` has the question and the answer as JSON, `http` makes the call, `calls` says which calls there are and who waits for
//! them, `run` has the threads. They are threads of its own: a server that does not answer holds no lookup thread, and who waits for
//! it hears of that in time, whatever the call does.

mod breaker;
mod calls;
mod http;
mod run;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::bounded;

use crate::auth::{
    Answer, CalloutFailure, CalloutOptions, CalloutWhen, CertificateName, Check, Claim, Done,
    Opinion, Question, Role, Rules, Transport,
};

pub use http::CalloutFault;
use http::Client;
use run::Running;

/// Names of a certificate that are told; those of one with more are cut there.
const MOST_NAMES: usize = 64;
/// Longest claim that is asked about, in octets: what is remembered must not be large.
const LONGEST_CLAIM: usize = 1024;
/// Longest method.
const LONGEST_METHOD: usize = 64;

/// What is asked, as far as the answer depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    role: Role,
    method: Box<str>,
    /// The claimed URI: scheme, user and host, no more.
    claim: Box<str>,
    user: Option<Box<str>>,
    domain: Option<Box<str>>,
    transport: Transport,
    source: std::net::IpAddr,
    certificate: Option<Arc<CertificateName>>,
    names: Box<[Box<str>]>,
}

impl Asked {
    /// What there is to ask about a claim; `None` if it is too long to be remembered.
    fn of(claim: &Claim<'_>) -> Option<Self> {
        let method = claim.request.method.as_str();
        if claim.text.len() > LONGEST_CLAIM || method.len() > LONGEST_METHOD {
            return None;
        }
        let proved = claim.peer.proved();
        let (text, user, domain) = match claim.uri.sip() {
            Some(uri) => {
                let scheme = if uri.secure { "sips" } else { "sip" };
                let aor = uri.address_of_record();
                let user = uri.user.and_then(|_| aor.rsplit_once('@'));
                let user = user.map(|(user, _)| user.into());
                let host = uri.host.canonical().into_owned().into_boxed_str();
                (format!("{scheme}:{aor}").into_boxed_str(), user, Some(host))
            }
            None => (String::from_utf8_lossy(claim.text).into(), None, None),
        };
        Some(Self {
            role: claim.role,
            method: method.into(),
            claim: text,
            user,
            domain,
            transport: claim.peer.transport,
            source: claim.peer.source.ip().to_canonical(),
            certificate: proved.and_then(|identities| identities.certificate().cloned()),
            names: proved.map_or_else(Box::default, |identities| {
                let names = identities.names().iter().take(MOST_NAMES);
                names.map(|name| name.to_string().into()).collect()
            }),
        })
    }
}

/// A server that is asked about identities. What it takes to ask is made when the first question comes, and goes with this.
pub(crate) struct Callout {
    options: CalloutOptions,
    /// The trust anchors that were read, to see whether they are others now.
    anchors: Vec<u8>,
    running: Arc<Running>,
}

impl Callout {
    /// Reads what the options name.
    ///
    /// # Errors
    /// A URL or a file of trust anchors that cannot be used.
    pub(crate) fn new(options: &CalloutOptions) -> Result<Self, CalloutFault> {
        let anchors = http::anchors(options)?;
        let client = Client::new(options, &anchors)?;
        Ok(Self {
            options: options.clone(),
            anchors,
            running: Arc::new(Running::new(options, client)),
        })
    }

    /// Whether another would ask just as this one does, so that this one may stay with all that it remembers.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        self.options == other.options && self.anchors == other.anchors
    }

    /// Forgets all answers.
    pub(crate) fn forget(&self) {
        self.running.forget();
    }

    /// Has these rules ask.
    pub(crate) fn add_to(self: &Arc<Self>, rules: &mut Rules) {
        let own = Arc::clone(self) as Arc<dyn Check>;
        match self.options.when {
            CalloutWhen::Always => rules.checks.push(own),
            CalloutWhen::Mismatch => rules.callout = Some(own),
        }
    }
}

impl Drop for Callout {
    fn drop(&mut self) {
        self.running.stop();
    }
}

impl Check for Callout {
    fn name(&self) -> &'static str {
        "callout"
    }

    fn check(&self, claim: &Claim<'_>) -> Opinion {
        let Some(asked) = Asked::of(claim) else {
            return Opinion::Deny("the claim is too long to be asked about".to_owned());
        };
        let asked = Arc::new(asked);
        match self.running.recall(&asked, Instant::now()) {
            Some(Answer::Allow) => Opinion::Allow,
            Some(Answer::Abstain) => Opinion::Abstain,
            Some(Answer::Deny(why)) => Opinion::Deny(why),
            None => Opinion::Pending(Box::new(Call {
                asked,
                port: claim.peer.source.port(),
                running: Arc::clone(&self.running),
            })),
        }
    }
}

/// One question.
struct Call {
    asked: Arc<Asked>,
    /// Of the source: told, and no part of what the answer depends on.
    port: u16,
    running: Arc<Running>,
}

impl Question for Call {
    fn answer(self: Box<Self>) -> Answer {
        let failure = self.running.failure;
        let (give, given) = bounded(1);
        self.hand_over(Box::new(move |answer| drop(give.send(answer))));
        given
            .recv()
            .unwrap_or_else(|_| answer_to_failure(failure, "it was given up"))
    }

    fn hand_over(self: Box<Self>, done: Done<Answer>) {
        Running::ask(&self.running, &self.asked, self.port, done);
    }
}

/// What it means that nobody has answered, for this reason.
fn answer_to_failure(failure: CalloutFailure, why: &str) -> Answer {
    match failure {
        CalloutFailure::Refuse => Answer::Deny(format!("no answer: {why}")),
        CalloutFailure::Abstain => Answer::Abstain,
    }
}
