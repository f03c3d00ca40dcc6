//! What a request records of its way through us (RFC 3261 §16.6 step 4, RFC 5658): the place to come back to, and a token
//! that says who its two sides are.

use std::net::IpAddr;

use super::departure::Exit;
use super::options::RelayPolicy;
use crate::auth::{DialogToken, Leg, TagDigest};
use crate::proxy::dialog;

/// What is known when a dialog-forming request comes in.
#[derive(Debug)]
pub struct Recording {
    /// The listener that it came through.
    pub listener: usize,
    /// Our end of the connection that it came over.
    pub local: IpAddr,
    /// Whether it came from a peer whose certificate speaks for a domain.
    pub of_domain: bool,
    /// Whether the Request-URI is SIPS: then our URIs are too (RFC 5630 §5.3.2).
    pub secure: bool,
    /// Who sent it.
    pub caller: Leg,
    /// Its From tag.
    pub caller_tag: TagDigest,
    /// Who it is on its way to, as far as that is known before it leaves.
    pub callee: Leg,
    /// Call-ID.
    pub call_id: Box<[u8]>,
}

impl Recording {
    /// The Record-Route values of a request that leaves by `exit`, topmost first: one, or one for each side where the
    /// sides differ, marked `drr` as repro marks them.
    pub(super) fn values(&self, exit: &Exit, policy: &RelayPolicy) -> Vec<String> {
        let (flow, listener) = exit.lasting();
        let token = DialogToken {
            caller: self.caller.clone(),
            callee: Leg {
                flow: dialog::mark(flow),
                identity: exit.identity,
                ..self.callee.clone()
            },
            caller_tag: self.caller_tag,
        };
        let token = token.seal(&self.call_id, policy.keys.epoch, &policy.keys.sealer);
        // Without a token the way is recorded all the same; what comes by it proves itself as any other request.
        let token = token.map_or_else(String::new, |token| token + "@");
        let scheme = if self.secure { "sips" } else { "sip" };
        let side = |listener: usize, local, of_domain| {
            let face = policy.faces.get(listener);
            face.map(|face| face.route(local, of_domain))
        };
        let (entry, exit) = (
            side(self.listener, self.local, self.of_domain),
            side(listener, exit.local, exit.of_domain),
        );
        let double = if entry == exit { "" } else { ";drr" };
        let write = |(host, parameters): (String, &str)| {
            format!("<{scheme}:{token}{host}{parameters};lr{double}>")
        };
        let mut values: Vec<String> = exit.map(write).into_iter().collect();
        if !double.is_empty() {
            values.extend(entry.map(write));
        }
        values
    }
}
