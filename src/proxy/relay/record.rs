//! What a request records of its way through us (RFC 3261 §16.6 step 4, RFC 5658, RFC 3327 §5.2): the place to come back to, and
//! a token that says who its two sides are, or which flow leads back.

use std::net::IpAddr;

use super::departure::Exit;
use super::options::RelayPolicy;
use crate::auth::{DialogToken, Leg, TagDigest};
use crate::proxy::dialog;
use crate::sip::{HeaderName, Message, lists};

/// What is known when a request comes in that forms a dialog, or registers a device that is to be reached through us.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The listener that it came through.
    pub listener: usize,
    /// Our end of the connection that it came over.
    pub local: IpAddr,
    /// Whether it came from a peer whose certificate speaks for a domain.
    pub of_domain: bool,
    /// Whether the Request-URI is SIPS as the request came: then our URIs are too (RFC 5630 §5.3.2).
    pub secure: bool,
    /// What is recorded.
    pub what: Recorded,
}

/// What is recorded of a request.
#[derive(Debug, Clone)]
pub enum Recorded {
    /// The sides of a dialog, in Record-Route.
    Dialog(Box<Sides>),
    /// The way back to a device, in Path.
    Return(Return),
}

/// The sides of a dialog that is being formed.
#[derive(Debug, Clone)]
pub struct Sides {
    /// Who sent the request.
    pub caller: Leg,
    /// Its From tag.
    pub caller_tag: TagDigest,
    /// Who it is on its way to, as far as that is known before it leaves.
    pub callee: Leg,
    /// Call-ID.
    pub call_id: Box<[u8]>,
}

/// The way back to a device whose registration is sent on.
#[derive(Debug, Clone)]
pub struct Return {
    /// User part of our Path: a token for the flow.
    pub user: String,
    /// Whether we promise to hold that flow (RFC 5626 §5.1).
    pub ob: bool,
    /// Seconds within which the device is asked to let hear of itself; 0 asks for nothing.
    pub flow_timer: u32,
    /// Whether the device says nothing of Path, and we say it in its place.
    pub add_supported: bool,
}

impl Recording {
    /// The same of a request that goes where a redirection leads: whoever is there is not registered where the request was
    /// for, and whoever is has no part in the dialog.
    pub(super) fn redirected(&self) -> Self {
        let mut redirected = self.clone();
        if let Recorded::Dialog(sides) = &mut redirected.what {
            sides.callee.aor = None;
        }
        redirected
    }

    /// Header lines that a request gets besides, each ended by CRLF.
    pub(super) fn more(&self) -> &'static [u8] {
        match &self.what {
            Recorded::Return(back) if back.add_supported => b"Supported: path\r\n",
            _ => b"",
        }
    }

    /// Header lines that the 2xx to it gets besides: as the last proxy before the device we may ask for keep-alives, if its
    /// registrar does what it asked for (RFC 5626 §5.4).
    pub(super) fn more_back(&self, response: &Message<'_>) -> String {
        match &self.what {
            Recorded::Return(back)
                if back.ob
                    && back.flow_timer > 0
                    && lists(response, HeaderName::Require, "outbound") =>
            {
                format!("Flow-Timer: {}\r\n", back.flow_timer)
            }
            _ => String::new(),
        }
    }

    /// The Record-Route values of a request that leaves by `exit`, topmost first: one, or one for each side where the
    /// sides differ, marked `drr` as repro marks them. `sips` says whether the request goes to a SIPS URI: then they are such too
    /// (RFC 3261 §16.6 step 4), but for a side that speaks no TLS and has asked for none. Of a registration the one Path value: nobody comes back by it from the
    /// side of the device.
    pub(super) fn values(&self, exit: &Exit, sips: bool, policy: &RelayPolicy) -> Vec<String> {
        let scheme = |listener: usize| {
            let face = policy.faces.get(listener);
            let has_tls = face.is_some_and(|face| face.transport.is_secure());
            if self.secure || (sips && has_tls) {
                "sips"
            } else {
                "sip"
            }
        };
        let side = |listener: usize, local, of_domain| {
            let face = policy.faces.get(listener);
            face.map(|face| (scheme(listener), face.route(local, of_domain)))
        };
        let (_, listener) = exit.lasting();
        let way_out = side(listener, exit.local, exit.of_domain);
        let sides = match &self.what {
            Recorded::Dialog(sides) => sides,
            Recorded::Return(Return { user, ob, .. }) => {
                let ob = if *ob { ";ob" } else { "" };
                let write = |(scheme, (host, parameters))| {
                    format!("<{scheme}:{user}@{host}{parameters};lr{ob}>")
                };
                return way_out.map(write).into_iter().collect();
            }
        };
        // Without a token the way is recorded all the same; what comes by it proves itself as any other request.
        let token = sides.token(exit, policy);
        let token = token.map_or_else(String::new, |token| token + "@");
        let way_in = side(self.listener, self.local, self.of_domain);
        let double = if way_in == way_out { "" } else { ";drr" };
        let write = |(scheme, (host, parameters)): (&str, (String, &str))| {
            [
                "<", scheme, ":", &token, &host, parameters, ";lr", double, ">",
            ]
            .concat()
        };
        let mut values: Vec<String> = way_out.map(write).into_iter().collect();
        if !double.is_empty() {
            values.extend(way_in.map(write));
        }
        values
    }
}

impl Sides {
    fn token(&self, exit: &Exit, policy: &RelayPolicy) -> Option<String> {
        let (flow, _) = exit.lasting();
        let token = DialogToken {
            caller: self.caller.clone(),
            callee: Leg {
                flow: dialog::mark(flow),
                identity: exit.identity,
                ..self.callee.clone()
            },
            caller_tag: self.caller_tag,
        };
        token.seal(&self.call_id, policy.keys.epoch, &policy.keys.sealer)
    }
}
