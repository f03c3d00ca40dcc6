//! A request of the server's own to a device that is reached through proxies (RFC 3327): it is relayed like any other, for a
//! caller who is the server itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::table::{Begin, Effect, Relay};
use crate::proxy::breadth::MAX_BREADTH;
use crate::proxy::lead::Follow;
use crate::proxy::leave_out::Changes;
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
            follow: Follow::Nowhere,
            changes: Changes::default(),
            for_devices: None,
            policy,
        };
        self.begin(begin, now, out).is_ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::proxy::relay::Hop;
    use crate::proxy::{Failure, test_support};
    use crate::transaction::TransactionOptions;

    const MESSAGE: &str = "MESSAGE sip:bob@10.0.0.1 SIP/2.0\r\n\
        Via: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
        From: <sip:alice@example.org>;tag=a\r\nTo: <sip:bob@example.org>\r\nCall-ID: c\r\n\
        CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n";

    /// Sends it; what is to be done for it.
    fn sent(relay: &mut Relay, text: &str, now: Instant) -> Option<Vec<Effect>> {
        let mut effects = Vec::new();
        let own = Own {
            message: &Message::parse(text.as_bytes(), text.len(), 64),
            path: vec!["<sip:edge.example.net;lr>".to_owned()],
            flow: FlowId::Connection(9),
            source: "127.0.0.1:5061".parse().unwrap(),
            policy: &Arc::new(test_support::policy()),
        };
        relay.send_own(own, now, &mut effects).then_some(effects)
    }

    #[test]
    fn a_request_of_our_own_goes_by_its_path_and_leaves_nothing_behind() {
        let mut relay = Relay::new(0, TransactionOptions::default());
        let mut now = Instant::now();
        assert!(sent(&mut relay, "nonsense\r\n\r\n", now).is_none());
        for is_unsent in [true, false] {
            let mut effects = sent(&mut relay, MESSAGE, now).unwrap();
            let Some(Effect::Depart(departure)) = effects.pop() else {
                unreachable!("it does not leave")
            };
            let edge = Hop::Uri("sip:edge.example.net;lr".into());
            assert_eq!(departure.hops, [edge]);
            let attempt = departure.attempt.unwrap();
            if is_unsent {
                relay.on_unsent(attempt, Failure::transport(), now, &mut effects);
                let Some(Effect::Send { flow, octets }) = effects.pop() else {
                    unreachable!("nobody is told")
                };
                assert_eq!(flow, FlowId::Connection(9));
                assert!(octets.starts_with(b"SIP/2.0 500 "));
            }
            // Who asked stops waiting by himself.
            while let Some(at) = relay.next_deadline() {
                now = at;
                relay.on_deadline(now, &mut effects);
            }
            let only_trying = effects.iter().all(|effect| {
                matches!(effect, Effect::Send { octets, .. } if octets.starts_with(b"SIP/2.0 100 "))
            });
            assert!(only_trying && relay.is_empty(), "{effects:?}");
            assert!(relay.taken_on.is_empty() && relay.sent_on.is_empty());
        }
    }
}
