//! Filters: where conditions look, which rule decides, what cannot be judged, and the filters of a legacy deployment.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::filter::*;
use super::pattern::Undecided;
use super::query::{Piece, pieces};
use super::ruling::Ruling;
use crate::sip::{FromRule, Message, Request};

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
    match filters.judge(&request, &mut |_, _| {}) {
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
fn a_filter_that_cannot_be_held_against_a_request_is_told_and_one_that_was_broken_before_is_not() {
    let long = "a".repeat(9000);
    let costly = "a".repeat(2000);
    let text = request(
        "INVITE",
        &format!("X-Long: {long}\r\nX-Costly: {costly}b\r\n"),
    );
    for (situation, header, regex, told) in [
        ("it is found", "From", "alice", None),
        ("it is not there", "X-Absent", "(a|aa)+\\1c", None),
        ("broken", "From", "(", None),
        ("too long", "X-Long", "b", Some(Undecided::TooLong)),
        (
            "too many steps",
            "X-Costly",
            "(a|aa)+\\1c",
            Some(Undecided::TooCostly),
        ),
    ] {
        for rule in [accept(), reject("403"), query("SELECT 1")] {
            let rule = rule.when(header, regex);
            let (filters, _) = Filters::new([rule], &FilterOptions::default());
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let request = Request::read(&message, FromRule::Single).unwrap();
            let mut heard = Vec::new();
            filters.judge(&request, &mut |key, why| heard.push((key.to_owned(), why)));
            let wanted = told.map(|why| (format!("{header}:{regex}::::"), why));
            assert_eq!(heard, Vec::from_iter(wanted), "{situation}");
        }
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
            && let FilterVerdict::Reject(status, phrase) = filters.judge(&request, &mut |_, _| {})
        {
            prop_assert!(status.as_u16() >= 400);
            prop_assert!(!phrase.chars().any(char::is_control));
        }
    }
}
