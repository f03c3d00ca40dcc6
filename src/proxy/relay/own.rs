//! A request of the server's own to a device that is reached through proxies (RFC 3327): it is relayed like any other, for a
//! caller who is the server itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::table::{Begin, Effect, Relay};
use crate::proxy::breadth::MAX_BREADTH;
use crate::proxy::loop_check::loop_key;
use crate::proxy::policy::Policy;
use crate::proxy::routes::Routes;
use crate::proxy::target::{Origin, Target, TargetSet};
use crate::registrar::FlowId;
use crate::sip::{FromRule, Message, Request};

/// A request of our own, and the way of it.
pub struct Own<'o> {
    /// The request, with a Via of ours; its Request-URI is the contact.
    pub message: &'o Message<'o>,
    /// The Path, as its elements are written in a Route header.
    pub path: Vec<String>,
    /// What its answer comes back by: the number of a connection that there is not.
    pub flow: FlowId,
    /// Where it says that it comes from.
    pub source: SocketAddr,
    /// Settings in force.
    pub policy: &'o Arc<Policy>,
}

impl Relay {
    /// Sends it. False when it is none that can be sent, or too much is under way.
    pub fn send_own(&mut self, own: Own<'_>, now: Instant, out: &mut Vec<Effect>) -> bool {
        let policy = own.policy;
        let Ok(request) = Request::read(own.message, FromRule::Single) else {
            return false;
        };
        let Ok(routes) = Routes::of(&request, |_| false) else {
            return false;
        };
        let target = Target {
            route: own.path,
            ..Target::of(routes.request_uri.to_owned(), Origin::Request)
        };
        let begin = Begin {
            request: &request,
            routes: &routes,
            loop_key: loop_key(&request, &routes, &policy.relay.keys.loops),
            flow: own.flow,
            source: own.source,
            reliable: true,
            to_tag: "",
            targets: TargetSet::only(target),
            breadth: MAX_BREADTH,
            recording: None,
            for_devices: None,
            policy,
        };
        self.begin(begin, now, out).is_ok()
    }
}
