//! What we do as the edge proxy of a device (RFC 5626 §5): a registration that we send on elsewhere has our Path (RFC 3327 §5.2)
//! with a token that says which flow leads back, and a request that comes with this token goes over that flow.

use std::net::IpAddr;

use super::core::Context;
use super::dialog;
use super::relay::{NatDetection, Return};
use super::routes::Routes;
use crate::auth::{FlowToken, Identities, IdentityDigest};
use crate::registrar::FlowId;
use crate::sip::{HeaderName, Host, Request, SipUri, addresses, list_elements, lists};

/// What a flow token begins with in the user part of a URI. No dialog token has this letter, so that one that does not open is
/// known for a forgery.
const MARK: &str = "flow.";

/// What the Route that led to us says about the flow to take.
pub(super) enum Held {
    /// Nothing: the request is routed as any other, as is one that the device at this flow sends itself (§5.3.2).
    Nothing,
    /// It goes over this flow, if that is still there and has this peer at its other end (§5.3.1).
    Flow(FlowId, Option<IdentityDigest>),
    /// It was to go over a flow that is gone: 430.
    Gone,
    /// Nobody but somebody else has made this token: 403.
    Forged,
}

/// The flow that our Routes name.
pub(super) fn held(routes: &Routes<'_>, context: &Context<'_>) -> Held {
    let mut own = routes.own.iter();
    let Some(token) = own.find_map(|user| user.strip_prefix(MARK)) else {
        return Held::Nothing;
    };
    let keys = &context.policy.relay.keys;
    let Some(token) = FlowToken::open(token, keys.epoch, &keys.sealer) else {
        return Held::Forged;
    };
    match token.flow.as_ref().and_then(dialog::flow_at) {
        None => Held::Gone,
        Some(flow) if flow == context.flow => Held::Nothing,
        Some(flow) => Held::Flow(flow, token.identity),
    }
}

/// How we put ourselves into the Path of a registration that is sent on, if it is to lead back through us.
pub(super) fn path(request: &Request<'_>, context: &Context<'_>) -> Option<Return> {
    let message = request.message;
    let vias = message.all(HeaderName::Via).flat_map(list_elements);
    let is_direct = vias.take(2).count() == 1;
    let options = &context.policy.relay.path;
    let knows_path = lists(message, HeaderName::Supported, "path");
    let knows_outbound = lists(message, HeaderName::Supported, "outbound");
    let is_asked = options.outbound && knows_path && asks_for_flow(request);
    let is_behind = || is_translated(request, context.peer.source.ip(), options.nat);
    let is_wanted = match is_direct {
        true => is_asked || options.flow_tokens || is_behind(),
        false => options.flow_tokens && options.beyond_proxies,
    };
    if !is_wanted {
        return None;
    }
    let token = FlowToken {
        flow: dialog::mark(context.flow),
        identity: context.peer.proved().and_then(Identities::digest),
    };
    let keys = &context.policy.relay.keys;
    Some(Return {
        user: format!("{MARK}{}", token.seal(keys.epoch, &keys.sealer)?),
        // RFC 5626 §5.1: only the first proxy may say so.
        ob: is_direct && options.outbound && knows_outbound,
        flow_timer: options.flow_timer,
        // Deviation: RFC 3327 §5.2 has this said by the device alone. repro says it for those that do not; without, many a
        // registrar would refuse them.
        add_supported: !knows_path,
    })
}

/// Whether the first contact is one of a flow: with `reg-id`, or `ob` in its URI.
fn asks_for_flow(request: &Request<'_>) -> bool {
    let mut contacts = request.message.all(HeaderName::Contact).flat_map(addresses);
    let Some(Ok(contact)) = contacts.next() else {
        return false;
    };
    let has_ob = |uri: &SipUri<'_>| uri.parameters.value("ob").is_some();
    contact.parameters.value("reg-id").is_some() || contact.uri.sip().is_some_and(has_ob)
}

/// Whether a translator stands before the sender: its Via names another place than it comes from.
fn is_translated(request: &Request<'_>, source: IpAddr, detection: NatDetection) -> bool {
    let source = source.to_canonical();
    let named = match request.via.host {
        Host::Ip(ip) => Some(ip.to_canonical()),
        Host::Name(_) => None,
    };
    match detection {
        NatDetection::Off => false,
        NatDetection::Any => named != Some(source),
        NatDetection::PrivateToPublic => {
            named.is_none_or(is_private) && named != Some(source) && !is_private(source)
        }
    }
}

/// What repro takes for an address behind a translator: RFC 1918, RFC 6598, RFC 4193, loopback.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = matches!(ip.octets(), [100, 64..=127, ..]);
            ip.is_private() || ip.is_loopback() || shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}
