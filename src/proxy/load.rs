//! What is refused while there is too much to do (RFC 3261 §21.5.4): new work first, what goes on already last.
//!
//! A repetition never comes here, its transaction takes it; neither does a response.

use super::core::{Context, Outcome, in_dialog};
use crate::registrar::Aor;
use crate::sip::{Method, Request, StatusCode};

/// How much there is to do, in repro's steps: up to 80 percent of its `CongestionManagementTolerance`, up to 100, more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// Everything is served.
    #[default]
    Normal,
    /// No new work: what belongs to a dialog or keeps a registration alive is served.
    High,
    /// Only what leads to less work is served.
    Excessive,
}

/// Shortest time after which one who was refused may try again, in seconds.
const RETRY_AFTER: u64 = 5;
/// So many different times are told, so that those who were refused together do not come back together.
const RETRY_AFTER_TIMES: u64 = 6;

/// Refuses a request that there is no room for. `None` if there is.
pub(super) fn refuse(
    request: &Request<'_>,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Option<Outcome> {
    if context.load == Load::Normal || !is_refused(request, context) {
        return None;
    }
    let seconds = RETRY_AFTER + context.arrived % RETRY_AFTER_TIMES;
    let header = format!("Retry-After: {seconds}\r\n");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    context.answer_with(
        request.message,
        status,
        status.phrase(),
        header.as_bytes(),
        out,
    );
    Some(Outcome::Overloaded)
}

fn is_refused(request: &Request<'_>, context: &Context<'_>) -> bool {
    let is_excessive = context.load == Load::Excessive;
    match request.method {
        // Nothing answers an ACK; without it the answer that it is for is repeated. A CANCEL ends work.
        Method::Ack | Method::Cancel => false,
        // So does a BYE. That a request belongs to a dialog has to be proved: a To tag alone anybody can write.
        Method::Bye => is_excessive && in_dialog(request, context).is_none(),
        Method::Register => is_excessive || !is_refresh(request, context),
        _ => is_excessive || in_dialog(request, context).is_none(),
    }
}

/// Whether somebody is registered over the flow that this REGISTER comes by, and it is for him.
fn is_refresh(request: &Request<'_>, context: &Context<'_>) -> bool {
    let to = request.to.uri.sip();
    to.is_some_and(|to| context.location.is_tied(context.flow, &Aor::of(to)))
}
