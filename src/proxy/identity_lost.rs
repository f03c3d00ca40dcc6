//! A message over a connection whose peer has lost its identity (`OnIdentityLost = refuse`): what is under way goes on, and
//! nothing begins.

use super::audit::Heard;
use super::core::{Context, Outcome, Relaying, answer_fault, refuse};
use super::relay::Met;
use crate::auth::{IdentityPath, Refusal, Said};
use crate::sip::{Message, Method, Request, StatusCode};

/// Takes a whole message of such a peer. A CANCEL of its own request and the ACK of a refusal belong to what is under way;
/// any other request is refused, and an ACK, which has no answer, dropped.
pub fn on_message_without_identity(
    message: &Message<'_>,
    context: &Context<'_>,
    relaying: &mut Relaying<'_>,
    out: &mut Vec<u8>,
) -> Outcome {
    if message.is_response() {
        return Outcome::Dropped("a response to nothing of ours");
    }
    let rules = &context.policy.rules;
    let request = match Request::read(message, rules.identity.from_rule()) {
        Ok(request) => request,
        Err(fault) => {
            answer_fault(message, fault, context, out);
            return Outcome::Malformed(fault);
        }
    };
    let (flow, now) = (context.flow, context.now);
    match relaying
        .relay
        .on_request(&request, flow, now, relaying.effects)
    {
        Met::Absorbed => return Outcome::Absorbed,
        Met::Cancelled(tag) => {
            let to_tag = tag.as_deref().unwrap_or(context.to_tag);
            let context = Context { to_tag, ..*context };
            return context.answer(message, StatusCode::OK, b"", out);
        }
        Met::New | Met::NothingToCancel => {}
    }
    let refusal = Refusal::identity_lost();
    let heard = Heard {
        request: &request,
        path: IdentityPath::Proxy,
        arrived: context.arrived,
    };
    if request.method == Method::Ack {
        return refuse(&heard, refusal, Said::Dropped, context);
    }
    context.answer_with(message, refusal.status, refusal.phrase, b"", out);
    refuse(&heard, refusal, Said::Refused, context)
}
