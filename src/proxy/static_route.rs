//! Static routes: an operator's patterns for Request-URIs, and where they lead. repro: `StaticRoute`, and the key `Routes`
//! (`SimpleStaticRoute`).

use std::borrow::Cow;

use super::fault::{Defect, RuleFault, RuleKind};
use super::filter::{event_type, is_for};
use super::pattern::{Pattern, Undecided, Want};
use super::target::{MAX_TARGETS, Origin, Target};
use crate::sip::{Address, HeaderName, Request, SipUri};

/// Longest URI that a route may make, in octets.
const MAX_URI: usize = 2048;

/// A static route as the operator writes it, with repro's fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteRule {
    /// Method it is for, in any letter case; empty for any.
    pub method: String,
    /// Event it is for, in any letter case; empty for any.
    pub event: String,
    /// Regular expression that is searched for in the Request-URI.
    pub matching_pattern: String,
    /// The new URI, with `$1` to `$9` for what the groups of the pattern have found.
    pub rewrite_expression: String,
    /// The smallest comes first.
    pub order: i16,
}

impl RouteRule {
    /// repro's key.
    fn key(&self) -> String {
        let Self {
            method,
            event,
            matching_pattern,
            order,
            ..
        } = self;
        format!(";{order}:{method} : {event} : {matching_pattern}")
    }
}

/// The static routes in force, compiled.
#[derive(Debug, Default)]
pub struct StaticRoutes {
    routes: Box<[StaticRoute]>,
}

#[derive(Debug)]
struct StaticRoute {
    method: Box<str>,
    event: Box<str>,
    pattern: Pattern,
    rewrite: Box<str>,
}

/// What the static routes make of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Where it goes, in order.
    pub uris: Vec<String>,
    /// Routes that matched and made no URI, or could not be searched for.
    pub skipped: usize,
}

impl StaticRoutes {
    /// Compiles routes. One with a fault is never taken.
    pub fn new(rules: impl IntoIterator<Item = RouteRule>) -> (Self, Vec<RuleFault>) {
        let mut faults = Vec::new();
        let mut rules: Vec<(RouteRule, String)> = rules
            .into_iter()
            .map(|rule| {
                let key = rule.key();
                (rule, key)
            })
            .collect();
        rules.sort_by(|(a, a_key), (b, b_key)| (a.order, a_key).cmp(&(b.order, b_key)));
        let routes = rules
            .into_iter()
            .filter_map(|(rule, key)| {
                StaticRoute::new(rule)
                    .map_err(|defect| {
                        faults.push(RuleFault {
                            kind: RuleKind::Route,
                            rule: key,
                            defect,
                        });
                    })
                    .ok()
            })
            .collect();
        (Self { routes }, faults)
    }

    /// Every route that matches a request.
    pub fn matching(&self, request: &Request<'_>) -> Matched {
        let mut matched = Matched::default();
        if self.routes.is_empty() {
            return matched;
        }
        let event = request.message.first(HeaderName::Event).map(event_type);
        let uri = uri_text(request);
        for route in &self.routes {
            if !is_for(&route.method, &route.event, request, event) {
                continue;
            }
            match route.rewrite(&uri) {
                Ok(None) => {}
                Ok(Some(uri)) if matched.uris.len() < MAX_TARGETS => matched.uris.push(uri),
                Ok(Some(_)) | Err(_) => matched.skipped += 1,
            }
        }
        matched
    }
}

/// The Request-URI as it is searched: its scheme in lower case, as repro writes it, all else as it came.
fn uri_text<'r>(request: &'r Request<'_>) -> Cow<'r, [u8]> {
    let text = request.uri_text;
    let scheme = memchr::memchr(b':', text).unwrap_or(text.len());
    let scheme = text.get(..scheme).unwrap_or_default();
    if !scheme.iter().any(u8::is_ascii_uppercase) {
        return Cow::Borrowed(text);
    }
    let mut lower = text.to_vec();
    if let Some(scheme) = lower.get_mut(..scheme.len()) {
        scheme.make_ascii_lowercase();
    }
    Cow::Owned(lower)
}

/// Why a route that matched leads nowhere.
struct NoUri;

impl From<Undecided> for NoUri {
    fn from(_: Undecided) -> Self {
        Self
    }
}

impl StaticRoute {
    fn new(rule: RouteRule) -> Result<Self, Defect> {
        if rule.matching_pattern.is_empty() {
            return Err(Defect::EmptyPattern);
        }
        let pattern = Pattern::new(&rule.matching_pattern).map_err(Defect::Pattern)?;
        // Without a `$` it is the same for every request.
        if !rule.rewrite_expression.contains('$') && made_uri(&rule.rewrite_expression).is_none() {
            return Err(Defect::Rewrite(rule.rewrite_expression));
        }
        Ok(Self {
            method: rule.method.into(),
            event: rule.event.into(),
            pattern,
            rewrite: rule.rewrite_expression.into(),
        })
    }

    /// Where this Request-URI leads; `Ok(None)` when the pattern is not found in it.
    fn rewrite(&self, uri: &[u8]) -> Result<Option<String>, NoUri> {
        let Some(found) = self.pattern.find(uri, Want::of(&self.rewrite))? else {
            return Ok(None);
        };
        let made = found.expand(&self.rewrite, MAX_URI).ok_or(NoUri)?;
        let made = String::from_utf8(made).map_err(|_| NoUri)?;
        made_uri(&made).map(Some).ok_or(NoUri)
    }
}

/// The URI that a rewrite made, with `sip:` before it if it is none without.
fn made_uri(text: &str) -> Option<String> {
    if is_target(text) {
        return Some(text.to_owned());
    }
    let has_scheme = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if ["sip:", "sips:", "tel:"].into_iter().any(has_scheme) {
        return None;
    }
    let with_scheme = format!("sip:{text}");
    is_target(&with_scheme).then_some(with_scheme)
}

/// Whether a request may be sent there: a SIP URI without headers, which would be planted in it (RFC 3261 §19.1.5).
fn is_target(text: &str) -> bool {
    text.len() <= MAX_URI && SipUri::parse(text).is_some_and(|uri| uri.headers.is_empty())
}

/// The routes of the key `Routes`: every request of ours goes over all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FixedRoutes(Vec<String>);

impl FixedRoutes {
    /// Takes the elements of the setting, name-addrs or URIs. One that is none is left out.
    pub fn new<S: AsRef<str>>(routes: impl IntoIterator<Item = S>) -> (Self, Vec<RuleFault>) {
        let mut faults = Vec::new();
        let mut fixed = Vec::new();
        for route in routes {
            let route = route.as_ref();
            match route_text(route.as_bytes()) {
                Some(route) => fixed.push(route),
                None => faults.push(RuleFault {
                    kind: RuleKind::Setting,
                    rule: "Routes".to_owned(),
                    defect: Defect::RouteUri(route.to_owned()),
                }),
            }
        }
        (Self(fixed), faults)
    }

    /// Whether the setting is used; then it takes the place of the routes of the data base.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The target that they make of a Request-URI.
    pub(super) fn target(&self, uri: &SipUri<'_>) -> Option<Target> {
        (!self.is_empty()).then(|| Target {
            route: self.0.clone(),
            ..Target::of(uri.to_string(), Origin::Route)
        })
    }
}

/// One element of Route or Path as we write it: the URI in brackets and its parameters, no display name. `None` when it
/// is no SIP URI, has headers, or a control character (in a quoted string) that must not be written out.
pub(super) fn route_text(element: &[u8]) -> Option<String> {
    let address = Address::parse(element)?;
    let uri = address.uri.sip().filter(|uri| uri.headers.is_empty())?;
    let parameters = std::str::from_utf8(address.parameters.as_bytes()).ok()?;
    (!parameters.chars().any(char::is_control)).then(|| format!("<{uri}>{parameters}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::sip::{FromRule, Message};

    fn route(pattern: &str, rewrite: &str) -> RouteRule {
        RouteRule {
            matching_pattern: pattern.to_owned(),
            rewrite_expression: rewrite.to_owned(),
            ..RouteRule::default()
        }
    }

    fn matched(routes: &StaticRoutes, method: &str, uri: &str, more: &str) -> Matched {
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=a\r\n\
             To: <sip:b@h>\r\nCall-ID: c@d\r\nCSeq: 7 {method}\r\n{more}\r\n"
        );
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        routes.matching(&Request::read(&message, FromRule::Single).unwrap())
    }

    #[test]
    fn the_routes_of_a_legacy_deployment_lead_where_they_led() {
        let rules = [
            RouteRule {
                order: 10,
                ..route("^sip:9([0-9]+)@example\\.org", "sip:$1@127.0.0.1:5070")
            },
            RouteRule {
                method: "INVITE".to_owned(),
                order: 20,
                ..route(
                    "^sip:conf@example\\.org",
                    "sip:conf@127.0.0.1:5070;transport=tcp",
                )
            },
            RouteRule {
                method: "SUBSCRIBE".to_owned(),
                event: "presence".to_owned(),
                order: 5,
                ..route("^sip:pres-(.*)@example\\.org", "sip:$1@127.0.0.1:5070")
            },
        ];
        let (routes, faults) = StaticRoutes::new(rules);
        assert_eq!(faults, []);
        for (situation, method, uri, event, wanted) in [
            (
                "a prefix",
                "MESSAGE",
                "sip:9123@example.org",
                "",
                Some("sip:123@127.0.0.1:5070"),
            ),
            (
                "with the scheme in capitals",
                "MESSAGE",
                "SIP:9123@example.org",
                "",
                Some("sip:123@127.0.0.1:5070"),
            ),
            ("without digits", "MESSAGE", "sip:9@example.org", "", None),
            (
                "another scheme",
                "MESSAGE",
                "sips:9123@example.org",
                "",
                None,
            ),
            (
                "the conference",
                "INVITE",
                "sip:conf@example.org",
                "",
                Some("sip:conf@127.0.0.1:5070;transport=tcp"),
            ),
            (
                "a message to it",
                "MESSAGE",
                "sip:conf@example.org",
                "",
                None,
            ),
            (
                "presence",
                "SUBSCRIBE",
                "sip:pres-eve@example.org",
                "Event: presence\r\n",
                Some("sip:eve@127.0.0.1:5070"),
            ),
            (
                "another event",
                "SUBSCRIBE",
                "sip:pres-eve@example.org",
                "Event: reg\r\n",
                None,
            ),
            (
                "no event",
                "SUBSCRIBE",
                "sip:pres-eve@example.org",
                "",
                None,
            ),
        ] {
            let found = matched(&routes, method, uri, event);
            assert_eq!(found.uris, wanted.as_slice(), "{situation}");
            assert_eq!(found.skipped, 0, "{situation}");
        }
    }

    #[test]
    fn every_route_that_matches_is_taken_in_order() {
        let rules = [
            RouteRule {
                order: 3,
                ..route(".", "sip:c@h")
            },
            RouteRule {
                order: -1,
                ..route(".", "sip:a@h")
            },
            RouteRule {
                order: 3,
                ..route("b|.", "sip:d@h")
            },
            RouteRule {
                order: 2,
                ..route("nowhere", "sip:x@h")
            },
            RouteRule {
                order: 2,
                ..route("sip:(.*)", "$1")
            },
        ];
        let (routes, faults) = StaticRoutes::new(rules);
        assert_eq!(faults, []);
        let found = matched(&routes, "INVITE", "sip:b@h", "");
        assert_eq!(found.uris, ["sip:a@h", "sip:b@h", "sip:c@h", "sip:d@h"]);
    }

    #[test]
    fn a_rewrite_that_makes_no_uri_is_skipped_and_counted() {
        for (situation, pattern, rewrite, uri, wanted) in [
            (
                "a URI",
                "sip:(.*)@",
                "sip:$1@gw",
                "sip:bob@h",
                Ok("sip:bob@gw"),
            ),
            (
                "without its scheme",
                "sip:(.*)@",
                "$1@gw",
                "sip:bob@h",
                Ok("sip:bob@gw"),
            ),
            ("a host alone", "sip:(.*)@", "gw", "sip:bob@h", Ok("sip:gw")),
            (
                "host and port",
                "sip:(.*)@",
                "gw:5070",
                "sip:bob@h",
                Ok("sip:gw:5070"),
            ),
            (
                "a loose route",
                "bob",
                "sip:gw;lr",
                "sip:bob@h",
                Ok("sip:gw;lr"),
            ),
            (
                "parameters of the peer",
                "sip:([^@]*)@",
                "sip:$1@gw",
                "sip:b;x=y@h",
                Ok("sip:b;x=y@gw"),
            ),
            (
                "$2 in the user part of the peer",
                "sip:(.*)@(.*)",
                "sip:$1@gw",
                "sip:$2@h",
                Ok("sip:$2@gw"),
            ),
            (
                "a group without part in the match",
                "sip:(x)?b",
                "sip:$1@gw",
                "sip:b@h",
                Err(1),
            ),
            ("no user", "sip:(.*)b@", "sip:$1@gw", "sip:b@h", Err(1)),
            ("headers", "sip:(.*)@", "sip:gw?$1=x", "sip:Route@h", Err(1)),
            ("another scheme", "sip:(.*)@", "tel:$1", "sip:123@h", Err(1)),
            ("no match", "sips", "sip:$1@gw", "sip:b@h", Err(0)),
        ] {
            let (routes, _) = StaticRoutes::new([route(pattern, rewrite)]);
            let found = matched(&routes, "INVITE", uri, "");
            let found = found.uris.first().map(String::as_str).ok_or(found.skipped);
            assert_eq!(found, wanted, "{situation}");
        }
        let (routes, _) = StaticRoutes::new([route("sip:(.*)@", "sip:$1$1@gw")]);
        let long = format!("sip:{}@h", "a".repeat(MAX_URI / 2));
        assert_eq!(matched(&routes, "INVITE", &long, "").skipped, 1);
        let longer = format!("sip:{}@h", "a".repeat(9000));
        assert_eq!(matched(&routes, "INVITE", &longer, "").skipped, 1);
        let many = (0..40).map(|n| route(".", &format!("sip:{n}@h")));
        let found = matched(&StaticRoutes::new(many).0, "INVITE", "sip:a@h", "");
        assert_eq!((found.uris.len(), found.skipped), (MAX_TARGETS, 8));
    }

    #[test]
    fn a_route_with_a_fault_is_told_and_never_taken() {
        for (pattern, rewrite, wanted) in [
            ("", "sip:a@h", Defect::EmptyPattern),
            (
                ".",
                "sip:a@h?x=y",
                Defect::Rewrite("sip:a@h?x=y".to_owned()),
            ),
            (".", "", Defect::Rewrite(String::new())),
        ] {
            let (routes, faults) = StaticRoutes::new([route(pattern, rewrite)]);
            assert_eq!(faults.first().map(|f| &f.defect), Some(&wanted));
            assert_eq!(
                matched(&routes, "INVITE", "sip:a@h", ""),
                Matched::default()
            );
        }
        let (routes, faults) = StaticRoutes::new([route("(", "sip:a@h")]);
        assert_eq!(
            faults.first().map(ToString::to_string).as_deref(),
            Some(
                "route \";0: :  : (\": the pattern is no regular expression: at character 1: this group is not closed; \
                 until it is mended this route is never taken"
            )
        );
        assert_eq!(
            matched(&routes, "INVITE", "sip:a@h", ""),
            Matched::default()
        );
    }

    #[test]
    fn fixed_routes_go_before_every_request() {
        let (routes, faults) = FixedRoutes::new([
            "<sip:p1;lr>",
            "sip:p2;lr",
            "\"P\" <sip:p3;lr>;x=y",
            "p4",
            "<tel:5>",
        ]);
        assert_eq!(faults.len(), 2);
        let target = routes.target(&SipUri::parse("sip:bob@h").unwrap()).unwrap();
        assert_eq!(target.uri, "sip:bob@h");
        assert_eq!(
            target.route,
            ["<sip:p1;lr>", "<sip:p2>;lr", "<sip:p3;lr>;x=y"]
        );
        let none = FixedRoutes::default();
        assert_eq!(none.target(&SipUri::parse("sip:bob@h").unwrap()), None);
    }

    proptest! {
        #[test]
        fn a_rewrite_never_panics_and_makes_bounded_uris(
            pattern in "\\PC{0,16}|[a-z(.*)+?$@:1-9]{0,16}|\\^sip:\\(\\.\\*\\)@\\(\\.\\*\\)",
            rewrite in "\\PC{0,24}|(sip:)?[a-z$1-9@;?=:]{0,24}",
            user in "[a-z0-9$;?=%/+]{1,1500}",
        ) {
            let uri = format!("sip:{user}@h");
            let (routes, _) = StaticRoutes::new([route(&pattern, &rewrite)]);
            if SipUri::parse(&uri).is_some() {
                for made in matched(&routes, "INVITE", &uri, "").uris {
                    prop_assert!(made.len() <= MAX_URI);
                    prop_assert!(SipUri::parse(&made).is_some_and(|uri| uri.headers.is_empty()));
                }
            }
        }
    }
}
