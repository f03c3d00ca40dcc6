//! Where a redirection may lead that we follow for the sender of a request: to what he could have sent to himself, and nowhere
//! else (RFC 3261 §16.7 step 4).

use std::time::Instant;

use super::filter::FilterVerdict;
use super::ours;
use super::policy::Policy;
use super::target::{Origin, Target};
use crate::registrar::Location;
use crate::sip::{FromRule, Message, Method, Request, SipUri};

/// How far the redirections of a request are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Not at all. It was admitted by a dialog token: that proves no From, and holds for the other side of the dialog alone.
    Nowhere,
    /// To users of ours: its sender may have nothing relayed.
    ToOurs,
    /// Anywhere: its sender may send anywhere.
    Anywhere,
}

/// What says where a redirection leads.
pub(super) struct Leads<'l> {
    /// The request that was redirected, as it came.
    pub(super) request: Option<&'l Message<'static>>,
    /// How far it is followed.
    pub(super) follow: Follow,
    /// Rules and settings in force.
    pub(super) policy: &'l Policy,
    /// The location service.
    pub(super) location: &'l Location,
    /// The time.
    pub(super) now: Instant,
}

impl Leads<'_> {
    /// The places that a Contact with this URI stands for; none if it is for the sender to follow it, or not.
    pub(super) fn of(&self, uri: &SipUri<'_>) -> Vec<Target> {
        let is_ours = self.policy.is_mine(uri);
        match self.follow {
            Follow::ToOurs | Follow::Anywhere if is_ours => self.users(uri).unwrap_or_default(),
            Follow::Anywhere => vec![Target::of(uri.to_string(), Origin::Redirect)],
            Follow::Nowhere | Follow::ToOurs => Vec::new(),
        }
    }

    /// Where a user of ours is, by the judgement on the request as its sender would have sent it there. What a filter does
    /// not let through, or has to ask a data base about, and what static routes lead elsewhere is judged when he does send it.
    fn users(&self, uri: &SipUri<'_>) -> Option<Vec<Target>> {
        let message = self.request?;
        let redirected = Request::read(message, FromRule::First).ok()?;
        let text = as_sent_to(&redirected, uri);
        let message = Message::parse(&text, text.len(), message.lines().count());
        let request = Request::read(&message, FromRule::First).ok()?;
        // A registration is for whom it was sent to.
        let uri = request
            .uri
            .sip()
            .filter(|_| request.method != Method::Register)?;
        let routing = &self.policy.routing;
        let told = &mut |_: &str, _| {};
        if !matches!(
            routing.filters.judge(&request, told),
            FilterVerdict::Continue
        ) {
            return None;
        }
        let found = ours::places(&request, uri, routing, self.location, self.now);
        let targets = match uri.secure {
            true => found.targets.secure(),
            false => found.targets,
        };
        let targets: Vec<_> = targets.into_groups().into_iter().flatten().collect();
        let is_elsewhere = targets.iter().any(|target| target.origin == Origin::Route);
        (!is_elsewhere).then(|| targets.into_iter().map(by_redirection).collect())
    }
}

/// A target as one of a redirection, and its other flows with it.
fn by_redirection(mut target: Target) -> Target {
    target.origin = Origin::Redirect;
    for other in &mut target.others {
        other.origin = Origin::Redirect;
    }
    target
}

/// The head of a request with another Request-URI.
fn as_sent_to(request: &Request<'_>, uri: &SipUri<'_>) -> Vec<u8> {
    let head = request.message.head();
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    let line = format!("{} {uri} SIP/2.0", request.method.as_str());
    [line.as_bytes(), head.get(end..).unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{
        FilterAction, FilterOptions, FilterRule, Filters, RegistrationRule, RouteRule, Routing,
        StaticRegistrations, StaticRoutes, test_support,
    };
    use super::*;

    /// carol, dave and 99 are known; who says what to dave is asked of a data base, and to whom 99 leads says a route.
    fn policy() -> Policy {
        let filter = |action, data: &str, regex: &str| FilterRule {
            cond1_header: "request-line".to_owned(),
            cond1_regex: regex.to_owned(),
            action,
            action_data: data.to_owned(),
            ..FilterRule::default()
        };
        let filters = [
            filter(FilterAction::Reject, "403", "^SUBSCRIBE sip:carol@"),
            filter(FilterAction::Query, "SELECT 0", " sip:dave@"),
        ];
        let route = RouteRule {
            matching_pattern: "^sip:99@".to_owned(),
            rewrite_expression: "sip:gateway.example.com".to_owned(),
            ..RouteRule::default()
        };
        let registrations = ["carol", "dave", "99"].map(|user| RegistrationRule {
            aor: format!("sip:{user}@example.org"),
            contact: format!("<sip:{user}@192.0.2.98>"),
            path: String::new(),
        });
        Policy {
            routing: Routing {
                filters: Filters::new(filters, &FilterOptions::default()).0,
                routes: StaticRoutes::new([route]).0,
                registrations: StaticRegistrations::new(registrations).0,
                ..Routing::default()
            },
            ..test_support::policy()
        }
    }

    #[test]
    fn a_redirection_leads_where_the_request_could_have_been_sent() {
        use Follow::{Anywhere, Nowhere, ToOurs};
        let (policy, location) = (policy(), Location::new());
        for (situation, method, follow, uri, wanted) in [
            (
                "a stranger",
                "MESSAGE",
                Anywhere,
                "sip:erin@example.net",
                "sip:erin@example.net",
            ),
            (
                "one not to be sent to",
                "MESSAGE",
                ToOurs,
                "sip:erin@example.net",
                "",
            ),
            ("nobody", "MESSAGE", Nowhere, "sip:carol@example.org", ""),
            (
                "a user of ours",
                "MESSAGE",
                ToOurs,
                "sip:carol@EXAMPLE.org;x=y",
                "sip:carol@192.0.2.98",
            ),
            (
                "who is not sent to the DNS",
                "MESSAGE",
                Anywhere,
                "sip:carol@example.org:5061",
                "sip:carol@192.0.2.98",
            ),
            (
                "by a secure way that there is not",
                "MESSAGE",
                Anywhere,
                "sips:carol@example.org",
                "",
            ),
            (
                "whom a filter keeps from this",
                "SUBSCRIBE",
                Anywhere,
                "sip:carol@example.org",
                "",
            ),
            (
                "about whom is to be asked",
                "MESSAGE",
                Anywhere,
                "sip:dave@example.org",
                "",
            ),
            (
                "whom a route leads elsewhere",
                "MESSAGE",
                Anywhere,
                "sip:99@example.org",
                "",
            ),
            (
                "who is nowhere",
                "MESSAGE",
                Anywhere,
                "sip:frank@example.org",
                "",
            ),
            (
                "our own address",
                "MESSAGE",
                Anywhere,
                "sip:192.0.2.1:5061",
                "",
            ),
            (
                "a registration",
                "REGISTER",
                Anywhere,
                "sip:carol@example.org",
                "",
            ),
        ] {
            let text = format!(
                "{method} sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\n\
                 From: <sip:alice@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\n\
                 Call-ID: 1\r\nCSeq: 1 {method}\r\n\r\n"
            );
            let message = Message::parse(text.as_bytes(), text.len(), 64).into_owned();
            let leads = Leads {
                request: Some(&message),
                follow,
                policy: &policy,
                location: &location,
                now: Instant::now(),
            };
            let found = leads.of(&SipUri::parse(uri).unwrap());
            assert!(found.iter().all(|target| target.origin == Origin::Redirect));
            let found: Vec<_> = found.into_iter().map(|target| target.uri).collect();
            assert_eq!(found.concat(), wanted, "{situation}");
        }
    }
}
