//! What an audit is told of a request: only made when one is kept.

use std::fmt;
use std::time::Duration;

use super::core::{Context, Outcome};
use crate::auth::{AdmissionRecord, IdentityPath, Said};
use crate::sip::{Address, Message, Request, StatusCode};

/// Longest text of a peer's that an audit keeps, in octets.
const MAX_TEXT: usize = 512;

/// Which outcomes of admission are told, as [`Outcome::Audited`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audit {
    /// None: nobody keeps an audit.
    #[default]
    Off,
    /// Of requests that do not go on.
    Refusals,
    /// All.
    All,
}

impl Audit {
    fn wants(self, said: &Said) -> bool {
        match self {
            Self::Off => false,
            Self::Refusals => !matches!(said, Said::Admitted(_) | Said::Challenged(_)),
            Self::All => true,
        }
    }
}

/// What one message is known by, in the log and in the audit: when it arrived, and no other has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(pub(super) u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A request and what admission said of it.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The request.
    pub id: MessageId,
    /// Who would handle it.
    pub path: IdentityPath,
    /// Its method.
    pub method: String,
    /// URI in From, without a password.
    pub from: String,
    /// URI in To, without a password.
    pub to: String,
    /// Call-ID.
    pub call_id: String,
    /// What it was answered, if that is known by now.
    pub status: Option<StatusCode>,
    /// How long it has waited for the lookup pool.
    pub waited: Duration,
    /// What admission said.
    pub record: AdmissionRecord,
}

/// A request on its way through the core.
#[derive(Clone, Copy)]
pub(super) struct Heard<'r, 'm> {
    pub(super) request: &'r Request<'m>,
    pub(super) path: IdentityPath,
    /// When it arrived, the first time that it was judged.
    pub(super) arrived: u64,
}

impl Heard<'_, '_> {
    pub(super) fn id(&self) -> MessageId {
        MessageId(self.arrived)
    }

    /// The outcome, with what an audit wants to know of it. A request that waits is told of when it goes on.
    pub(super) fn audit(
        &self,
        context: &Context<'_>,
        outcome: Outcome,
        record: AdmissionRecord,
    ) -> Outcome {
        if matches!(outcome, Outcome::Pending(_)) || !context.policy.proxy.audit.wants(&record.said)
        {
            return outcome;
        }
        let request = self.request;
        let audited = Audited {
            id: self.id(),
            path: self.path,
            method: kept(request.method.as_str().as_bytes()),
            from: named(&request.from),
            to: named(&request.to),
            call_id: kept(request.call_id),
            status: match &record.said {
                Said::Refused(refusal) | Said::Challenged(refusal) => Some(refusal.status),
                Said::Dropped(_) => None,
                Said::Admitted(_) | Said::Undecided(_) => status(&outcome),
            },
            waited: Duration::from_micros(context.arrived.saturating_sub(self.arrived)),
            record,
        };
        Outcome::Audited {
            outcome: Box::new(outcome),
            audited: Box::new(audited),
        }
    }
}

/// What an audit wants to know of a request that was answered with this because nobody could say whether it may pass.
pub fn undecided(
    message: &Message<'_>,
    context: &Context<'_>,
    status: StatusCode,
    why: &'static str,
) -> Option<Box<Audited>> {
    let rules = &context.policy.rules;
    if context.policy.proxy.audit == Audit::Off {
        return None;
    }
    let request = Request::read(message, rules.identity.from_rule()).ok()?;
    let heard = Heard {
        request: &request,
        path: IdentityPath::Proxy,
        arrived: context.arrived,
    };
    let answered = Outcome::Answered {
        status,
        registered: None,
        routed: None,
    };
    let record = AdmissionRecord::of(Said::Undecided(why), rules);
    match heard.audit(context, answered, record) {
        Outcome::Audited { audited, .. } => Some(audited),
        _ => None,
    }
}

/// Whether anything is told of requests that are admitted; if not, nothing is made for it.
pub(super) fn wants_admitted(context: &Context<'_>) -> bool {
    context.policy.proxy.audit == Audit::All
}

/// The same of those that are not.
pub(super) fn wants_refused(context: &Context<'_>) -> bool {
    context.policy.proxy.audit != Audit::Off
}

fn status(outcome: &Outcome) -> Option<StatusCode> {
    match outcome {
        Outcome::Answered { status, .. } => Some(*status),
        Outcome::Malformed(fault) => Some(fault.status),
        Outcome::Reported { outcome, .. } => status(outcome),
        _ => None,
    }
}

/// The URI as written. One with a password in it, or with header fields, is told without: a log is no place for either.
pub(super) fn named(address: &Address<'_>) -> String {
    match address.uri.sip() {
        Some(uri) if uri.password.is_some() || !uri.headers.is_empty() => {
            let scheme = if uri.secure { "sips" } else { "sip" };
            kept(format!("{scheme}:{}", uri.address_of_record()).as_bytes())
        }
        _ => kept(address.text),
    }
}

/// Text of a peer's, as much of it as an audit keeps.
fn kept(text: &[u8]) -> String {
    match text.get(..MAX_TEXT) {
        Some(start) if text.len() > MAX_TEXT => {
            format!("{}…", String::from_utf8_lossy(start))
        }
        _ => String::from_utf8_lossy(text).into_owned(),
    }
}
