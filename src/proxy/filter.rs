//! The request filter: an operator's rules about what may pass. repro: `RequestFilter`.
//!
//! Rules are asked in ascending order and the first that matches decides. A condition that cannot be judged, because its
//! regular expression is broken or the subject is beyond what a search may cost, never lets a request through: an Accept
//! does not match, a Reject does, and an SQL Query counts as one that failed.
//!
//! Deviation: repro took a broken condition for fulfilled, whatever the rule did, and crashed when a request lacked the
//! header of a condition; here such a condition is not fulfilled.

use std::sync::Arc;

use super::fault::{Defect, RuleFault, RuleKind};
use super::pattern::{Captures, Pattern, Undecided};
use super::query::{FilterCaptures, pieces};
use super::ruling::Ruling;
use crate::sip::{HeaderName, Request, StatusCode, list_elements};

/// What a filter does with a request that it matches; repro's numbers are 0, 1, 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FilterAction {
    /// The request goes on.
    #[default]
    Accept,
    /// It is refused, with the status and phrase of the action data.
    Reject,
    /// The action data is a query; its first column says what to do.
    Query,
}

/// A filter as the operator writes it, with repro's fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterRule {
    /// Header of the first condition; empty for no condition.
    pub cond1_header: String,
    /// Regular expression of the first condition; empty for no condition.
    pub cond1_regex: String,
    /// Header of the second condition.
    pub cond2_header: String,
    /// Regular expression of the second condition.
    pub cond2_regex: String,
    /// Method it is for, in any letter case; empty for any.
    pub method: String,
    /// Event it is for, in any letter case; empty for any.
    pub event: String,
    /// What it does.
    pub action: FilterAction,
    /// Status and phrase, or the query.
    pub action_data: String,
    /// The smallest is asked first.
    pub order: i16,
}

impl FilterRule {
    /// repro's key.
    fn key(&self) -> String {
        let Self {
            cond1_header,
            cond1_regex,
            cond2_header,
            cond2_regex,
            method,
            event,
            ..
        } = self;
        format!("{cond1_header}:{cond1_regex}:{cond2_header}:{cond2_regex}:{method}:{event}")
    }
}

/// Settings of the request filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterOptions {
    /// What becomes of a request that no rule matches: `<code>[, <reason>]`, empty to go on.
    /// repro: `RequestFilterDefaultNoMatchBehavior`.
    pub no_match: String,
    /// The same when the query of a rule has no answer. repro: `RequestFilterDefaultDBErrorBehavior`.
    pub query_failed: String,
}

impl Default for FilterOptions {
    fn default() -> Self {
        Self {
            no_match: String::new(),
            query_failed: "500, Server Internal DB Error".to_owned(),
        }
    }
}

/// What the filters say about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum FilterVerdict<'f> {
    /// It goes on.
    Continue,
    /// It is answered with this.
    Reject(StatusCode, &'f str),
    /// It depends on the answer to this query; then [`Filters::on_result`] decides.
    Query {
        /// The query as the operator wrote it.
        statement: Arc<str>,
        /// What stands in place of its `$1N` and `$2N`.
        captures: FilterCaptures,
    },
}

impl<'f> From<&'f Ruling> for FilterVerdict<'f> {
    fn from(ruling: &'f Ruling) -> Self {
        match ruling {
            Ruling::Continue => Self::Continue,
            Ruling::Reject { status, phrase } => Self::Reject(*status, phrase),
        }
    }
}

/// The filters in force, compiled.
#[derive(Debug)]
pub struct Filters {
    filters: Box<[Filter]>,
    no_match: Ruling,
    query_failed: Ruling,
}

impl Default for Filters {
    fn default() -> Self {
        Self::new([], &FilterOptions::default()).0
    }
}

#[derive(Debug)]
struct Filter {
    method: Box<str>,
    event: Box<str>,
    conditions: [Option<Condition>; 2],
    action: Action,
}

#[derive(Debug)]
enum Action {
    Accept,
    Reject(Ruling),
    Query(Arc<str>),
}

#[derive(Debug)]
struct Condition {
    subject: Subject,
    /// `None` when the text was no regular expression.
    pattern: Option<Pattern>,
}

/// Where a condition looks.
#[derive(Debug)]
enum Subject {
    RequestLine,
    Known(HeaderName),
    /// A header that the server has no name for, and its compact form if there is one.
    Other(Box<str>, Option<u8>),
}

/// Compact forms of headers that this server asks for nowhere else.
const COMPACT: [(&str, u8); 8] = [
    ("Accept-Contact", b'a'),
    ("Allow-Events", b'u'),
    ("Content-Encoding", b'e'),
    ("Identity", b'y'),
    ("Identity-Info", b'n'),
    ("Reject-Contact", b'j'),
    ("Request-Disposition", b'd'),
    ("Session-Expires", b'x'),
];

impl Filters {
    /// Compiles rules. A rule with a fault stays in force in the way that the fault says.
    pub fn new(
        rules: impl IntoIterator<Item = FilterRule>,
        options: &FilterOptions,
    ) -> (Self, Vec<RuleFault>) {
        let mut faults = Vec::new();
        let mut rules: Vec<(i16, String, FilterRule)> = rules
            .into_iter()
            .map(|rule| (rule.order, rule.key(), rule))
            .collect();
        rules.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let filters = rules
            .into_iter()
            .map(|(_, key, rule)| Filter::new(rule, &key, &mut faults))
            .collect();
        let mut behaviour = |setting: &str, text: &str| {
            if text.is_empty() {
                return Ruling::Continue;
            }
            Ruling::parse(text).unwrap_or_else(|| {
                faults.push(RuleFault {
                    kind: RuleKind::Setting,
                    rule: setting.to_owned(),
                    defect: Defect::Behaviour(text.to_owned()),
                });
                Ruling::reject(StatusCode::SERVER_INTERNAL_ERROR)
            })
        };
        let no_match = behaviour("RequestFilterDefaultNoMatchBehavior", &options.no_match);
        let query_failed = behaviour("RequestFilterDefaultDBErrorBehavior", &options.query_failed);
        let filters = Self {
            filters,
            no_match,
            query_failed,
        };
        (filters, faults)
    }

    /// Asks the rules about a request.
    pub fn judge(&self, request: &Request<'_>) -> FilterVerdict<'_> {
        if self.filters.is_empty() {
            return (&self.no_match).into();
        }
        let event = request.message.first(HeaderName::Event).map(event_type);
        for filter in &self.filters {
            if !filter.is_for(request, event) {
                continue;
            }
            match (&filter.action, filter.found(request)) {
                (_, Ok(None)) | (Action::Accept, Err(Undecided)) => {}
                (Action::Accept, Ok(Some(_))) => return FilterVerdict::Continue,
                (Action::Reject(ruling), _) => return ruling.into(),
                (Action::Query(_), Err(Undecided)) => return (&self.query_failed).into(),
                (Action::Query(statement), Ok(Some(found))) => {
                    return FilterVerdict::Query {
                        statement: Arc::clone(statement),
                        captures: FilterCaptures::new(statement, &found),
                    };
                }
            }
        }
        (&self.no_match).into()
    }

    /// What the first column of a query's first row says; `None` for no row or a failure. Text that begins with no
    /// status code goes on, as with repro.
    pub fn on_result(&self, result: Option<&str>) -> Ruling {
        match result {
            Some(text) => Ruling::parse(text).unwrap_or(Ruling::Continue),
            None => self.query_failed.clone(),
        }
    }
}

/// The type of an Event value, without its parameters (RFC 6665 §8.2.1).
pub(super) fn event_type(value: &[u8]) -> &[u8] {
    value
        .split(|o| *o == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}

/// Whether a rule with this method and event is for a request; both in any letter case, empty for any.
pub(super) fn is_for(
    method: &str,
    event: &str,
    request: &Request<'_>,
    found: Option<&[u8]>,
) -> bool {
    (method.is_empty() || method.eq_ignore_ascii_case(request.method.as_str()))
        && (event.is_empty()
            || found.is_some_and(|found| found.eq_ignore_ascii_case(event.as_bytes())))
}

impl Filter {
    fn new(rule: FilterRule, key: &str, faults: &mut Vec<RuleFault>) -> Self {
        let mut fault = |defect| {
            faults.push(RuleFault {
                kind: RuleKind::Filter,
                rule: key.to_owned(),
                defect,
            });
        };
        let mut condition = |field, header: &str, regex: &str| {
            if header.is_empty() || regex.is_empty() {
                return None;
            }
            let pattern = Pattern::new(regex)
                .map_err(|error| fault(Defect::Condition { field, error }))
                .ok();
            Some(Condition {
                subject: Subject::of(header),
                pattern,
            })
        };
        let conditions = [
            condition("condition1Regex", &rule.cond1_header, &rule.cond1_regex),
            condition("condition2Regex", &rule.cond2_header, &rule.cond2_regex),
        ];
        let action = match rule.action {
            FilterAction::Accept => Action::Accept,
            FilterAction::Query => Action::Query(rule.action_data.into()),
            FilterAction::Reject => Action::Reject(rejection(&rule.action_data, &mut fault)),
        };
        Self {
            method: rule.method.into(),
            event: rule.event.into(),
            conditions,
            action,
        }
    }

    fn is_for(&self, request: &Request<'_>, event: Option<&[u8]>) -> bool {
        is_for(&self.method, &self.event, request, event)
    }

    /// What the conditions have found; `Ok(None)` when one is not fulfilled.
    fn found<'r>(&self, request: &'r Request<'_>) -> Result<Option<[Captures<'r>; 2]>, Undecided> {
        let mut found = [Captures::default(); 2];
        let mut undecided = false;
        for (condition, place) in self.conditions.iter().zip(&mut found) {
            match condition.as_ref().map(|c| c.find(request)) {
                None => {}
                Some(Ok(Some(captures))) => *place = captures,
                Some(Ok(None)) => return Ok(None),
                Some(Err(Undecided)) => undecided = true,
            }
        }
        match undecided {
            true => Err(Undecided),
            false => Ok(Some(found)),
        }
    }
}

/// What the action data of a rejection says.
fn rejection(data: &str, fault: &mut dyn FnMut(Defect)) -> Ruling {
    let Some(ruling) = Ruling::parse(data) else {
        fault(Defect::NoStatus {
            data: data.to_owned(),
        });
        return Ruling::reject(StatusCode::FORBIDDEN);
    };
    match ruling {
        // A peer's octets have no place in a reason phrase.
        Ruling::Reject { status, ref phrase } if pieces(phrase).count() > 1 => {
            fault(Defect::CaptureInReason);
            Ruling::reject(status)
        }
        ruling => ruling,
    }
}

impl Subject {
    fn of(header: &str) -> Self {
        if header.eq_ignore_ascii_case("request-line") {
            return Self::RequestLine;
        }
        match HeaderName::parse(header.as_bytes()) {
            HeaderName::Other => {
                let same = |(long, short): &&(&str, u8)| {
                    long.eq_ignore_ascii_case(header)
                        || [*short].eq_ignore_ascii_case(header.as_bytes())
                };
                match COMPACT.iter().find(same) {
                    Some((long, short)) => Self::Other((*long).into(), Some(*short)),
                    None => Self::Other(header.into(), None),
                }
            }
            name => Self::Known(name),
        }
    }
}

/// Whether the values of this header are lists, whose elements are held against a condition one by one.
fn is_list(name: HeaderName) -> bool {
    matches!(
        name,
        HeaderName::Via
            | HeaderName::Contact
            | HeaderName::Route
            | HeaderName::RecordRoute
            | HeaderName::Path
            | HeaderName::Supported
            | HeaderName::Require
            | HeaderName::ProxyRequire
            | HeaderName::Unsupported
            | HeaderName::PAssertedIdentity
            | HeaderName::Allow
            | HeaderName::Accept
    )
}

impl Condition {
    /// What was found in the first value that fulfils it.
    fn find<'r>(&self, request: &'r Request<'_>) -> Result<Option<Captures<'r>>, Undecided> {
        let pattern = self.pattern.as_ref().ok_or(Undecided)?;
        let message = request.message;
        match &self.subject {
            Subject::RequestLine => {
                let head = message.head();
                let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
                pattern.find(head.get(..end).unwrap_or_default())
            }
            Subject::Known(name) if is_list(*name) => {
                first(pattern, message.all(*name).flat_map(list_elements))
            }
            Subject::Known(name) => first(pattern, message.all(*name)),
            Subject::Other(long, compact) => {
                let same = |name: &[u8]| {
                    name.eq_ignore_ascii_case(long.as_bytes())
                        || compact.is_some_and(|compact| name.eq_ignore_ascii_case(&[compact]))
                };
                let values = message.fields().filter(|(_, name, _)| same(name));
                first(pattern, values.map(|(_, _, value)| value))
            }
        }
    }
}

/// What was found in the first of these values where anything was; undecided if it might have been in one that could not
/// be searched.
fn first<'r>(
    pattern: &Pattern,
    values: impl Iterator<Item = &'r [u8]>,
) -> Result<Option<Captures<'r>>, Undecided> {
    let mut undecided = false;
    for value in values {
        match pattern.find(value) {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(Undecided) => undecided = true,
        }
    }
    match undecided {
        true => Err(Undecided),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::sip::{FromRule, Message};

    fn accept() -> FilterRule {
        FilterRule::default()
    }

    fn reject(data: &str) -> FilterRule {
        FilterRule {
            action: FilterAction::Reject,
            action_data: data.to_owned(),
            ..FilterRule::default()
        }
    }

    fn query(statement: &str) -> FilterRule {
        FilterRule {
            action: FilterAction::Query,
            action_data: statement.to_owned(),
            ..FilterRule::default()
        }
    }

    impl FilterRule {
        fn when(mut self, header: &str, regex: &str) -> Self {
            let first = self.cond1_header.is_empty();
            let (to_header, to_regex) = match first {
                true => (&mut self.cond1_header, &mut self.cond1_regex),
                false => (&mut self.cond2_header, &mut self.cond2_regex),
            };
            header.clone_into(to_header);
            regex.clone_into(to_regex);
            self
        }

        fn at(mut self, order: i16) -> Self {
            self.order = order;
            self
        }

        fn only(mut self, method: &str, event: &str) -> Self {
            method.clone_into(&mut self.method);
            event.clone_into(&mut self.event);
            self
        }
    }

    fn request(method: &str, more: &str) -> String {
        format!(
            "{method} sip:eve@example.org;x SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bKx, SIP/2.0/UDP i\r\n\
             From: <sip:alice@example.org>;tag=a\r\nTo: <sip:eve@example.org>\r\nCall-ID: c@d\r\n\
             CSeq: 7 {method}\r\n{more}\r\n"
        )
    }

    /// The verdict in words.
    fn judged(filters: &Filters, text: &str) -> String {
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        match filters.judge(&request) {
            FilterVerdict::Continue => "go on".to_owned(),
            FilterVerdict::Reject(status, phrase) => format!("{status} {phrase}"),
            FilterVerdict::Query {
                statement,
                captures,
            } => {
                let parts = pieces(&statement).map(|piece| match piece {
                    Piece::Text(text) => text.to_owned(),
                    Piece::Capture { condition, group } => {
                        format!("{:?}", captures.text(condition, group))
                    }
                });
                parts.collect()
            }
        }
    }

    use super::super::query::Piece;

    fn filters(rules: impl IntoIterator<Item = FilterRule>) -> Filters {
        let (filters, faults) = Filters::new(rules, &FilterOptions::default());
        assert_eq!(faults, []);
        filters
    }

    /// The filters of the legacy deployment, in the order of its data base.
    fn legacy() -> [FilterRule; 3] {
        [
            accept()
                .when("From", "^.*@example\\.org.*$")
                .only("MESSAGE", "")
                .at(30),
            reject("403, Request Blocked")
                .when("From", "^.*sip:spammer@.*$")
                .at(10),
            reject("603")
                .when("User-Agent", "friendly-scanner")
                .when("To", ".*@example\\.org.*")
                .only("OPTIONS", "")
                .at(1),
        ]
    }

    #[test]
    fn the_filters_of_a_legacy_deployment_do_what_they_were_made_for() {
        let legacy = filters(legacy());
        let spammer = |text: String| text.replace("sip:alice@", "sip:spammer@");
        for (situation, text, wanted) in [
            (
                "opt-cert/alice-cn/OPTIONS/alice@example.org/ruri=echo@example.org_ua=none",
                request("OPTIONS", ""),
                "go on",
            ),
            (
                "opt-cert/none/OPTIONS/alice@example.org/hdr=User-Agent_friendly-scanner, were it admitted",
                request("OPTIONS", "User-Agent: friendly-scanner\r\n"),
                "603 Decline",
            ),
            (
                "the same scanner for somebody elsewhere",
                request("OPTIONS", "User-Agent: friendly-scanner\r\n")
                    .replace("To: <sip:eve@example.org>", "To: <sip:eve@example.net>"),
                "go on",
            ),
            (
                "the scanner with another method",
                request("MESSAGE", "User-Agent: friendly-scanner\r\n"),
                "go on",
            ),
            (
                "the phone of everybody else",
                request("OPTIONS", "User-Agent: golden\r\n"),
                "go on",
            ),
            (
                "a spammer",
                spammer(request("INVITE", "")),
                "403 Request Blocked",
            ),
            (
                "a spammer with a message: the order decides",
                spammer(request("MESSAGE", "")),
                "403 Request Blocked",
            ),
            (
                "a spammer who is also a scanner",
                spammer(request("OPTIONS", "User-Agent: friendly-scanner\r\n")),
                "603 Decline",
            ),
            ("a message", request("MESSAGE", ""), "go on"),
        ] {
            assert_eq!(judged(&legacy, &text), wanted, "{situation}");
        }
        // opt-cert-nofilter: DisableRequestFilterProcessor = true.
        let scanner = request("OPTIONS", "User-Agent: friendly-scanner\r\n");
        assert_eq!(judged(&Filters::default(), &scanner), "go on");
    }

    #[test]
    fn a_condition_looks_where_its_header_says() {
        let more = "X-Odd: one\r\nx-odd: two, three\r\nx: 90\r\nContact: <sip:a@h>, <sip:b@h>\r\n\
                    Subject: \u{fc}\r\nm: <sip:c@h>\r\nEvent: Presence;id=1\r\n";
        let text = request("SUBSCRIBE", more);
        for (situation, header, regex, matches) in [
            (
                "the request line",
                "request-line",
                "^SUBSCRIBE sip:eve@example\\.org;x SIP/2\\.0$",
                true,
            ),
            ("in any letter case", "Request-Line", "^SUBSCRIBE ", true),
            ("a known header", "from", "^<sip:alice@", true),
            ("its compact form", "f", "^<sip:alice@", true),
            (
                "written compactly in the request",
                "Contact",
                "^<sip:c@h>$",
                true,
            ),
            ("an element of a list", "Contact", "^<sip:b@h>$", true),
            ("the second Via", "Via", "^SIP/2.0/UDP i$", true),
            ("no list of From", "Subject", "^\u{fc}$", true),
            ("an extension header", "X-Odd", "^one$", true),
            ("its second instance", "x-ODD", "^two, three$", true),
            (
                "an extension header in its compact form",
                "Session-Expires",
                "^90$",
                true,
            ),
            ("which may be the rule's", "X", "^90$", true),
            ("a header that is not there", "User-Agent", "", true),
            (
                "a header that is not there, with a pattern",
                "User-Agent",
                ".*",
                false,
            ),
            ("an extension that is not there", "X-Even", ".*", false),
            ("no header", "", "nowhere", true),
            ("another value", "X-Odd", "^three$", false),
        ] {
            let filters = filters([reject("400").when(header, regex)]);
            let wanted = if matches { "400 Bad Request" } else { "go on" };
            assert_eq!(judged(&filters, &text), wanted, "{situation}");
        }
    }

    #[test]
    fn method_and_event_count_in_any_letter_case() {
        let text = request("SUBSCRIBE", "Event: Presence;id=1\r\n");
        for (method, event, matches) in [
            ("", "", true),
            ("subscribe", "presence", true),
            ("SUBSCRIBE", "", true),
            ("PUBLISH", "", false),
            ("", "PRESENCE", true),
            ("", "presence;id=1", false),
            ("", "reg", false),
        ] {
            let filters = filters([reject("400").only(method, event)]);
            let wanted = if matches { "400 Bad Request" } else { "go on" };
            assert_eq!(judged(&filters, &text), wanted, "{method} {event}");
        }
        let filters = filters([reject("400").only("", "presence")]);
        assert_eq!(judged(&filters, &request("SUBSCRIBE", "")), "go on");
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let text = request("INVITE", "");
        for (situation, rules, wanted) in [
            (
                "by order",
                vec![reject("401").at(2), reject("402").at(1)],
                "402 Payment Required",
            ),
            (
                "an acceptance ends it",
                vec![reject("401").at(2), accept().at(-1)],
                "go on",
            ),
            (
                "of equal order by key",
                vec![
                    reject("401").when("To", "."),
                    reject("402").when("From", "."),
                ],
                "402 Payment Required",
            ),
            (
                "of equal key as they come",
                vec![reject("401"), reject("402")],
                "401 Unauthorized",
            ),
            (
                "a code below 400 accepts",
                vec![reject("200"), reject("402").at(1)],
                "go on",
            ),
            (
                "both conditions must hold",
                vec![reject("401").when("To", ".").when("From", "zzz")],
                "go on",
            ),
            (
                "nothing matches",
                vec![reject("401").when("To", "zzz")],
                "go on",
            ),
        ] {
            assert_eq!(judged(&filters(rules), &text), wanted, "{situation}");
        }
        let options = FilterOptions {
            no_match: "404, Not for you".to_owned(),
            ..FilterOptions::default()
        };
        let (none, _) = Filters::new([], &options);
        assert_eq!(judged(&none, &text), "404 Not for you");
    }

    #[test]
    fn what_cannot_be_judged_is_not_let_through() {
        let long = format!("X-Long: {}\r\n", "a".repeat(9000));
        let text = request("INVITE", &long);
        for (situation, header, regex, rest, rejected) in [
            ("a broken condition", "To", "(", ".", true),
            (
                "a broken condition beside one that fails",
                "To",
                "(",
                "zzz",
                false,
            ),
            ("a value too long to be searched", "X-Long", "b", ".", true),
            ("beside one that fails", "X-Long", "b", "zzz", false),
        ] {
            let both = |rule: FilterRule| rule.when(header, regex).when("From", rest);
            let last = || reject("480").at(9);
            let verdict = |rule| {
                judged(
                    &Filters::new([both(rule), last()], &FilterOptions::default()).0,
                    &text,
                )
            };
            let other = "480 Temporarily Unavailable";
            assert_eq!(verdict(accept()), other, "{situation}");
            let wanted = if rejected { "403 Forbidden" } else { other };
            assert_eq!(verdict(reject("403")), wanted, "{situation}");
            let wanted = if rejected {
                "500 Server Internal DB Error"
            } else {
                other
            };
            assert_eq!(verdict(query("SELECT 1")), wanted, "{situation}");
        }
    }

    #[test]
    fn a_query_has_what_was_found_beside_it() {
        let rule = query("SELECT a WHERE f=$11 AND t='$21' AND n=$12 AND s=$11 AND g=$29")
            .when("From", "sip:([^@]*)@(x)?")
            .when("To", "@([a-z]*)");
        let text = request("INVITE", "").replace("alice", "o'hara");
        assert_eq!(
            judged(&filters([rule]), &text),
            "SELECT a WHERE f=Some(\"o'hara\") AND t='Some(\"example\")' AND n=Some(\"\") AND s=Some(\"o'hara\") AND g=None"
        );
        let filters = Filters::default();
        for (result, wanted) in [
            (Some("403, On the list"), Some((403, "On the list"))),
            (Some("0"), None),
            (Some(""), None),
            (Some("allow"), None),
            (Some("403, a\nb"), Some((403, "Forbidden"))),
            (None, Some((500, "Server Internal DB Error"))),
        ] {
            let ruling = filters.on_result(result);
            let found = match &ruling {
                Ruling::Continue => None,
                Ruling::Reject { status, phrase } => Some((status.as_u16(), &**phrase)),
            };
            assert_eq!(found, wanted, "{result:?}");
        }
    }

    #[test]
    fn faults_are_told_when_rules_are_loaded() {
        let rules = [
            accept().when("From", "["),
            reject("Blocked"),
            reject("403, You are $11").when("From", "(.*)"),
        ];
        let options = FilterOptions {
            no_match: "refuse".to_owned(),
            query_failed: String::new(),
        };
        let (filters, faults) = Filters::new(rules, &options);
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "filter \":::::\": the action data \"Blocked\" of a rejection begins with no status code; it rejects \
                 with 403",
                "filter \"From:(.*)::::\": the reason of a rejection cannot contain what a request says ($1N, $2N); the \
                 usual reason is given",
                "filter \"From:[::::\": condition1Regex is no regular expression: at character 1: this class is not \
                 closed; until it is mended this filter accepts nothing, rejects whatever else it is for, and asks no \
                 data base",
                "setting \"RequestFilterDefaultNoMatchBehavior\": \"refuse\" begins with no status code; such requests \
                 are rejected with 500",
            ]
        );
        assert_eq!(judged(&filters, &request("INVITE", "")), "403 Forbidden");
        assert_eq!(filters.on_result(None), Ruling::Continue);
    }

    proptest! {
        #[test]
        fn no_rule_and_no_message_makes_it_panic(
            header in "[A-Za-z-]{0,12}|request-line",
            regex in "\\PC{0,24}|[a-z()\\[\\]{}*+?.|\\\\^$0-9,:=-]{0,24}",
            data in "\\PC{0,24}|[34567][0-9]{2}[ ,$12a-z]{0,12}",
            action in 0..3,
            lines in proptest::collection::vec(("[A-Za-z-]{1,12}", "[ -~\u{e0}-\u{ff}]{0,40}"), 0..8),
        ) {
            let mut rule = FilterRule::default().when(&header, &regex);
            rule.action = match action {
                0 => FilterAction::Accept,
                1 => FilterAction::Reject,
                _ => FilterAction::Query,
            };
            rule.action_data = data;
            let (filters, _) = Filters::new([rule], &FilterOptions::default());
            let more: String = lines.iter().map(|(name, value)| format!("X{name}: {value}\r\n")).collect();
            let text = request("INVITE", &more);
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            if let Ok(request) = Request::read(&message, FromRule::Single)
                && let FilterVerdict::Reject(status, phrase) = filters.judge(&request)
            {
                prop_assert!(status.as_u16() >= 400);
                prop_assert!(!phrase.chars().any(char::is_control));
            }
        }
    }
}
