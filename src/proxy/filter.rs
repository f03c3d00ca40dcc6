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
use super::pattern::{Captures, Pattern, Undecided, Want};
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
    /// repro's key.
    key: Box<str>,
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

    /// Asks the rules about a request. Tells the key of each that could not be held against it, and why, but of those that
    /// were broken from the start.
    pub fn judge(
        &self,
        request: &Request<'_>,
        told: &mut dyn FnMut(&str, Undecided),
    ) -> FilterVerdict<'_> {
        if self.filters.is_empty() {
            return (&self.no_match).into();
        }
        let event = request.message.first(HeaderName::Event).map(event_type);
        for filter in &self.filters {
            if !filter.is_for(request, event) {
                continue;
            }
            let found = filter.found(request);
            if let Err(why @ (Undecided::TooLong | Undecided::TooCostly)) = found {
                told(&filter.key, why);
            }
            match (&filter.action, found) {
                (_, Ok(None)) | (Action::Accept, Err(_)) => {}
                (Action::Accept, Ok(Some(_))) => return FilterVerdict::Continue,
                (Action::Reject(ruling), _) => return ruling.into(),
                (Action::Query(_), Err(_)) => return (&self.query_failed).into(),
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
            key: key.into(),
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
        let want = match &self.action {
            Action::Query(statement) => Want::of(statement),
            Action::Accept | Action::Reject(_) => Want::Match,
        };
        let mut found = [Captures::default(); 2];
        let mut undecided = None;
        for (condition, place) in self.conditions.iter().zip(&mut found) {
            match condition.as_ref().map(|c| c.find(request, want)) {
                None => {}
                Some(Ok(Some(captures))) => *place = captures,
                Some(Ok(None)) => return Ok(None),
                Some(Err(why)) => undecided = undecided.or(Some(why)),
            }
        }
        undecided.map_or(Ok(Some(found)), Err)
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
    fn find<'r>(
        &self,
        request: &'r Request<'_>,
        want: Want,
    ) -> Result<Option<Captures<'r>>, Undecided> {
        let pattern = self.pattern.as_ref().ok_or(Undecided::Broken)?;
        let message = request.message;
        match &self.subject {
            Subject::RequestLine => {
                let head = message.head();
                let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
                pattern.find(head.get(..end).unwrap_or_default(), want)
            }
            Subject::Known(name) if is_list(*name) => {
                first(pattern, want, message.all(*name).flat_map(list_elements))
            }
            Subject::Known(name) => first(pattern, want, message.all(*name)),
            Subject::Other(long, compact) => {
                let same = |name: &[u8]| {
                    name.eq_ignore_ascii_case(long.as_bytes())
                        || compact.is_some_and(|compact| name.eq_ignore_ascii_case(&[compact]))
                };
                let values = message.fields().filter(|(_, name, _)| same(name));
                first(pattern, want, values.map(|(_, _, value)| value))
            }
        }
    }
}

/// What was found in the first of these values where anything was; undecided if it might have been in one that could not
/// be searched.
fn first<'r>(
    pattern: &Pattern,
    want: Want,
    values: impl Iterator<Item = &'r [u8]>,
) -> Result<Option<Captures<'r>>, Undecided> {
    let mut undecided = None;
    for value in values {
        match pattern.find(value, want) {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(why) => undecided = Some(why),
        }
    }
    undecided.map_or(Ok(None), Err)
}
