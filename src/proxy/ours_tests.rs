//! What becomes of a request for a user of ours, through the whole core: the order of the steps, questions and their
//! answers, rules that change under a question.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::ours::targets;
use super::relay::Relay;
use super::test_support::policy;
use super::{
    Answer, Answers, Context, Directory, FilterAction, FilterOptions, FilterRule, Filters,
    FixedRoutes, Kept, Load, Outcome, Policy, Question, RegistrationRule, Relaying, RouteRule,
    Routing, RoutingOptions, Silo, SiloOptions, StaticRegistrations, StaticRoutes, on_answers,
    on_message,
};
use crate::auth::{
    self, AuthOptions, Check, Claim, Digest, DigestMemory, DigestOptions, IdentityRules, Mappings,
    NoPasswords, Opinion, Peer, Rules, Sealer, TokenSecret, Transport,
};
use crate::registrar::{FlowId, Location, Saved};
use crate::sip::{FromRule, Message, Request, StatusCode};
use crate::transaction::TransactionOptions;

static ARRIVALS: AtomicU64 = AtomicU64::new(1);

/// Knows eve and alice, answers queries with what stands behind `SELECT `, and keeps what fits.
#[derive(Default)]
struct Books {
    /// Knows users without being asked twice.
    remembers: bool,
    /// Does not answer.
    broken: bool,
    /// Answers every question with this.
    always: Option<Answer>,
    kept: Option<Kept>,
    asked: Mutex<Vec<Question>>,
}

impl Books {
    fn look(&self, question: &Question) -> Answer {
        if let Some(answer) = &self.always {
            return answer.clone();
        }
        match question {
            _ if self.broken => Answer::Failed,
            Question::UserExists { user, domain } => {
                Answer::Exists(domain == "example.org" && matches!(&**user, "eve" | "alice"))
            }
            Question::Filter { statement, .. } => Answer::FilterResult(
                statement
                    .strip_prefix("SELECT ")
                    .filter(|result| *result != "nothing")
                    .map(str::to_owned),
            ),
            Question::Keep(_) => Answer::Kept(self.kept.unwrap_or(Kept::Stored)),
        }
    }
}

impl Directory for Books {
    fn recall(&self, question: &Question) -> Option<Answer> {
        assert!(
            !matches!(question, Question::Keep(_)),
            "nobody recalls a deed"
        );
        self.remembers.then(|| self.look(question))
    }

    fn answer(&self, question: Question) -> Answer {
        let answer = self.look(&question);
        self.asked.lock().unwrap().push(question);
        answer
    }
}

struct World {
    policy: Arc<Policy>,
    location: Location,
    books: Arc<Books>,
}

impl World {
    fn new(routing: Routing, books: Books) -> Self {
        let books = Arc::new(books);
        let policy = Policy {
            routing,
            directory: books.clone(),
            ..policy()
        };
        Self {
            policy: Arc::new(policy),
            location: Location::new(),
            books,
        }
    }

    fn with_auth(mut self, options: &AuthOptions, checks: Vec<Arc<dyn Check>>) -> Self {
        let rules = Rules::new(options, Mappings::default(), checks);
        let sealer = Sealer::new(&[], &TokenSecret::random().unwrap()).unwrap();
        let memory = Arc::new(DigestMemory::new(0).unwrap());
        let digest = Digest::new(options.digest.clone(), Arc::new(sealer), memory);
        Arc::get_mut(&mut self.policy).unwrap().rules =
            rules.with_digest(Arc::new(digest), Arc::new(NoPasswords));
        self
    }

    /// What a message meets that comes without a certificate.
    fn context(&self) -> Context<'_> {
        Context {
            policy: &self.policy,
            location: &self.location,
            peer: Peer {
                transport: Transport::Tls,
                source: "198.51.100.7:40000".parse().unwrap(),
                identities: None,
            },
            flow: FlowId::Connection(1),
            listener: 0,
            local: "192.0.2.1".parse().unwrap(),
            name_reached: false,
            now: Instant::now(),
            // Another each time that the message is judged; what is kept must not be asked for anew.
            arrived: ARRIVALS.fetch_add(1, Ordering::Relaxed),
            to_tag: "ours",
            load: Load::Normal,
        }
    }

    /// One round: the answer's first line, the end of the log line, and the outcome if it is not final.
    fn round(&self, text: &str, answers: Option<Answers>) -> (String, Outcome) {
        let head = text.find("\r\n\r\n").unwrap() + 4;
        let message = Message::parse(text.as_bytes(), head, 64);
        let context = self.context();
        let mut out = Vec::new();
        let (mut relay, mut effects) = (Relay::new(0, TransactionOptions::default()), Vec::new());
        let mut relaying = Relaying {
            relay: &mut relay,
            effects: &mut effects,
        };
        let outcome = match answers {
            None => on_message(&message, &context, &mut relaying, &mut out),
            Some(answers) => on_answers(&message, answers, &context, &mut relaying, &mut out),
        };
        let out = String::from_utf8(out).unwrap();
        let first = out.lines().next().unwrap_or_default();
        (first.trim_start_matches("SIP/2.0 ").to_owned(), outcome)
    }

    /// Runs to the end: answer, where it led, and how often the pool was asked.
    fn run(&self, text: &str) -> (String, String, usize) {
        let mut answers = None;
        for rounds in 0..9 {
            match self.round(text, answers.take()) {
                (first, Outcome::Pending(pending)) => {
                    assert_eq!(first, "", "nothing is said before the end");
                    answers = Some(pending.answer());
                }
                (first, Outcome::Answered { routed, .. }) => {
                    return (
                        first,
                        routed.map_or_else(String::new, |r| r.to_string()),
                        rounds,
                    );
                }
                (first, Outcome::Relayed(routed)) => {
                    assert_eq!(first, "", "the answer comes later");
                    return ("relayed".to_owned(), routed.to_string(), rounds);
                }
                (first, _) => return (first, "other".to_owned(), rounds),
            }
        }
        panic!("no end")
    }
}

fn request(method: &str, uri: &str, from: &str, body: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 203.0.113.9:5061;branch=z9hG4bKx\r\n\
         From: <{from}>;tag=a\r\nTo: <{uri}>\r\nCall-ID: c@d\r\nCSeq: 7 {method}\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn message(uri: &str) -> String {
    request("MESSAGE", uri, "sip:alice@example.org", "Hello")
}

fn filter(action: FilterAction, data: &str, method: &str) -> FilterRule {
    FilterRule {
        action,
        action_data: data.to_owned(),
        method: method.to_owned(),
        ..FilterRule::default()
    }
}

fn route(pattern: &str, rewrite: &str) -> RouteRule {
    RouteRule {
        matching_pattern: pattern.to_owned(),
        rewrite_expression: rewrite.to_owned(),
        ..RouteRule::default()
    }
}

fn silo() -> Silo {
    let options = SiloOptions {
        enabled: true,
        failure: StatusCode::GONE,
        ..SiloOptions::default()
    };
    Silo::new(options).0
}

fn routing(filters: impl IntoIterator<Item = FilterRule>) -> Routing {
    let routes = [
        route("^sip:9([0-9]+)@", "sip:$1@192.0.2.99"),
        route("^sip:99@", "sip:second@192.0.2.99"),
        route("^sip:bad(.*)@", "sip:@$1"),
        route("^sip:example", "sip:192.0.2.99"),
    ];
    let registrations = [RegistrationRule {
        aor: "sip:desk@example.org".to_owned(),
        contact: "<sip:desk@192.0.2.98>;q=0.5".to_owned(),
        path: "<sip:192.0.2.97;lr>".to_owned(),
    }];
    Routing {
        filters: Filters::new(filters, &FilterOptions::default()).0,
        routes: StaticRoutes::new(routes).0,
        registrations: StaticRegistrations::new(registrations).0,
        ..Routing::default()
    }
}

#[test]
fn the_steps_are_taken_in_order() {
    let filters = || {
        [
            filter(FilterAction::Reject, "403, Not here", "INFO"),
            filter(FilterAction::Query, "SELECT 486, Ask later", "PUBLISH"),
            filter(FilterAction::Query, "SELECT 0", "SUBSCRIBE"),
            filter(FilterAction::Query, "SELECT nothing", "NOTIFY"),
        ]
    };
    let world = World::new(routing(filters()), Books::default());
    for (situation, method, uri, wanted, led, rounds) in [
        (
            "a filter goes first",
            "INFO",
            "sip:99@example.org",
            "403 Not here",
            "end=filtered targets=0 groups=0",
            0,
        ),
        (
            "a query may refuse",
            "PUBLISH",
            "sip:99@example.org",
            "486 Ask later",
            "end=filtered targets=0 groups=0",
            1,
        ),
        (
            "a query may not",
            "SUBSCRIBE",
            "sip:nobody@example.org",
            "404 Not Found",
            "end=unknown-user targets=0 groups=0",
            2,
        ),
        (
            "a query without a row",
            "NOTIFY",
            "sip:eve@example.org",
            "500 Server Internal DB Error",
            "end=filtered targets=0 groups=0",
            1,
        ),
        (
            "a static route",
            "MESSAGE",
            "sip:9123@example.org",
            "relayed",
            "end=found targets=1 groups=1",
            0,
        ),
        (
            "two of them",
            "MESSAGE",
            "sip:99@example.org",
            "relayed",
            "end=found targets=2 groups=2",
            0,
        ),
        (
            "a route for the domain itself",
            "MESSAGE",
            "sip:example.org",
            "relayed",
            "end=found targets=1 groups=1",
            0,
        ),
        (
            "a static registration",
            "MESSAGE",
            "sip:desk@EXAMPLE.org:5061",
            "relayed",
            "end=found targets=1 groups=1",
            0,
        ),
        (
            "the server is no user",
            "MESSAGE",
            "sip:192.0.2.1:5061",
            "405 Method Not Allowed",
            "end=no-user targets=0 groups=0",
            0,
        ),
        (
            "a user who is away",
            "MESSAGE",
            "sip:%65ve@example.org",
            "480 Temporarily Unavailable",
            "end=away targets=0 groups=0",
            1,
        ),
        (
            "nobody",
            "MESSAGE",
            "sip:nobody@example.org",
            "404 Not Found",
            "end=unknown-user targets=0 groups=0",
            1,
        ),
        (
            "a route that leads nowhere",
            "MESSAGE",
            "sip:bad@example.org",
            "404 Not Found",
            "end=unknown-user targets=0 groups=0 routes_skipped=1",
            1,
        ),
        (
            "elsewhere: neither filters nor users",
            "INFO",
            "sip:dave@example.com",
            "relayed",
            "end=found targets=1 groups=1",
            0,
        ),
        (
            "a registration has none of it",
            "REGISTER",
            "sip:example.org",
            "200 OK",
            "",
            0,
        ),
        (
            "nor has the question whether we are there",
            "OPTIONS",
            "sip:example.org",
            "200 OK",
            "",
            0,
        ),
    ] {
        let from = "sip:alice@example.org";
        let found = world.run(
            &request(method, uri, from, "Hello")
                .replace("To: <sip:example.org>", "To: <sip:alice@example.org>"),
        );
        assert_eq!(
            found,
            (wanted.to_owned(), led.to_owned(), rounds),
            "{situation}"
        );
    }
}

#[test]
fn contacts_are_found_live_and_written_down_by_preference() {
    let world = World::new(routing([]), Books::default());
    let register = request("REGISTER", "sip:example.org", "sip:desk@example.org", "")
        .replace("To: <sip:example.org>", "To: <sip:desk@example.org>")
        .replace(
            "Content-Type",
            "Contact: <sip:live@192.0.2.8>;q=0.5, <sip:best@192.0.2.8>\r\nX-Type",
        );
    assert_eq!(world.run(&register).0, "200 OK");
    let text = message("sip:desk@example.org");
    let message = Message::parse(text.as_bytes(), text.find("\r\n\r\n").unwrap() + 4, 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let found = targets(&request, request.uri.sip().unwrap(), &world.context());
    let shown: Vec<Vec<_>> = found
        .targets
        .groups()
        .iter()
        .map(|group| {
            group
                .iter()
                .map(|t| (t.uri.as_str(), t.flow, t.route.len()))
                .collect()
        })
        .collect();
    assert_eq!(
        shown,
        [
            vec![("sip:best@192.0.2.8", Some(FlowId::Connection(1)), 0)],
            vec![
                ("sip:live@192.0.2.8", Some(FlowId::Connection(1)), 0),
                ("sip:desk@192.0.2.98", None, 1)
            ],
        ]
    );
}

#[test]
fn what_a_restart_has_cut_off_is_tried_only_where_it_may_be() {
    for (situation, contact, datagram, path, wanted) in [
        (
            "a phone over a connection",
            "sip:desk@192.0.2.8:40001;transport=tls",
            false,
            "",
            false,
        ),
        (
            "one that does not say so",
            "sip:desk@[2001:db8::8]:40001",
            false,
            "",
            false,
        ),
        (
            "a server with a name",
            "sips:desk@pbx.example.net",
            false,
            "",
            true,
        ),
        (
            "a phone over datagrams",
            "sip:desk@192.0.2.8:40001",
            true,
            "",
            true,
        ),
        (
            "a phone behind a proxy",
            "sip:desk@192.0.2.8",
            false,
            "<sip:edge.example.net;lr>",
            true,
        ),
        ("no SIP", "tel:+1", false, "", false),
    ] {
        let world = World::new(
            Routing {
                silo: silo(),
                registrations: StaticRegistrations::default(),
                ..routing([])
            },
            Books::default(),
        );
        let saved = Saved {
            contact: contact.into(),
            parameters: Vec::new(),
            call_id: b"c".to_vec(),
            cseq: 1,
            user_agent: Vec::new(),
            path: path.into(),
            q: None,
            datagram,
            seconds_left: 60,
        };
        let (options, now) = (&world.policy.registrar, Instant::now());
        let restored = world
            .location
            .restore("eve@example.org", &saved, options, now);
        assert_eq!(restored, Ok(()), "{situation}");
        let (told, _, _) = world.run(&message("sip:eve@example.org"));
        let expected = match wanted {
            true => "relayed",
            false => "202 Accepted",
        };
        assert_eq!(told, expected, "{situation}");
    }
}

#[test]
fn a_device_with_several_flows_is_one_target_and_its_best_flow_goes_first() {
    let world = World::new(routing([]), Books::default());
    // Instance, reg-id, q, Expires: what ends later has been registered later.
    for (n, contact, expires) in [
        (1, ";+sip.instance=\"<urn:x>\";reg-id=1", 100),
        (2, ";+sip.instance=\"<urn:x>\";reg-id=2", 300),
        (3, ";+sip.instance=\"<urn:x>\";reg-id=3;q=0.5", 400),
        (4, ";+sip.instance=\"<urn:y>\";reg-id=1", 100),
        (5, ";+sip.instance=\"<urn:x>\"", 100),
        (6, ";q=0.7", 100),
    ] {
        let register = request("REGISTER", "sip:example.org", "sip:desk@example.org", "")
            .replace("To: <sip:example.org>", "To: <sip:desk@example.org>")
            .replace("Call-ID: ", &format!("Call-ID: {n}"))
            .replace(
                "Content-Type",
                &format!("Contact: <sip:c{n}@h>{contact};expires={expires}\r\nX-Type"),
            );
        assert_eq!(world.run(&register).0, "200 OK", "{n}");
    }
    let text = message("sip:desk@example.org");
    let message = Message::parse(text.as_bytes(), text.find("\r\n\r\n").unwrap() + 4, 64);
    let request = Request::read(&message, FromRule::Single).unwrap();
    let found = targets(&request, request.uri.sip().unwrap(), &world.context());
    let groups = found.targets.groups().iter().map(|group| {
        let devices = group.iter().map(|device| {
            let flows = std::iter::once(device).chain(&device.others);
            let uris: Vec<_> = flows.map(|flow| flow.uri.as_str()).collect();
            uris.join("|")
        });
        devices.collect::<Vec<_>>().join("+")
    });
    assert_eq!(
        groups.collect::<Vec<_>>(),
        [
            "sip:c2@h|sip:c1@h|sip:c3@h+sip:c4@h+sip:c5@h",
            "sip:c6@h",
            "sip:desk@192.0.2.98"
        ]
    );
}

#[test]
fn settings_say_how_static_routes_are_used() {
    let uri = "sip:desk@example.org";
    let both = || {
        [
            route("desk", "sip:a@192.0.2.99"),
            route("desk", "sip:b@192.0.2.99"),
        ]
    };
    for (situation, parallel_routes, continue_after_routes, fixed, led) in [
        (
            "one after the other",
            false,
            false,
            false,
            "end=found targets=2 groups=2",
        ),
        (
            "at once",
            true,
            false,
            false,
            "end=found targets=2 groups=1",
        ),
        (
            "and contacts too",
            true,
            true,
            false,
            "end=found targets=3 groups=2",
        ),
        (
            "fixed routes take their place",
            true,
            false,
            true,
            "end=found targets=2 groups=2",
        ),
    ] {
        let mut routing = routing([]);
        routing.routes = StaticRoutes::new(both()).0;
        routing.options = RoutingOptions {
            parallel_routes,
            continue_after_routes,
            ..RoutingOptions::default()
        };
        if fixed {
            routing.fixed_routes = FixedRoutes::new(["<sip:192.0.2.96;lr>"]).0;
        }
        let world = World::new(routing, Books::default());
        assert_eq!(world.run(&message(uri)).1, led, "{situation}");
    }
}

#[test]
fn a_message_is_kept_before_success_is_told() {
    for (situation, kept, broken, uri, wanted, led, rounds) in [
        (
            "kept",
            Kept::Stored,
            false,
            "sip:eve@example.org",
            "202 Accepted",
            "kept",
            2,
        ),
        (
            "no room",
            Kept::Full,
            false,
            "sip:eve@example.org",
            "410 Gone",
            "not-kept",
            2,
        ),
        (
            "refused",
            Kept::Failed,
            false,
            "sip:eve@example.org",
            "410 Gone",
            "not-kept",
            2,
        ),
        (
            "for nobody",
            Kept::Stored,
            false,
            "sip:nobody@example.org",
            "404 Not Found",
            "unknown-user",
            1,
        ),
        (
            "nobody can tell",
            Kept::Stored,
            true,
            "sip:eve@example.org",
            "500 Server Internal Error",
            "undecided",
            1,
        ),
        (
            "for one who is there",
            Kept::Stored,
            false,
            "sip:desk@example.org",
            "relayed",
            "found",
            0,
        ),
    ] {
        let mut routing = routing([]);
        routing.silo = silo();
        let books = Books {
            kept: Some(kept),
            broken,
            ..Books::default()
        };
        let world = World::new(routing, books);
        let (first, found, asked) = world.run(&message(uri));
        assert_eq!((first.as_str(), asked), (wanted, rounds), "{situation}");
        assert!(
            found.starts_with(&format!("end={led} ")),
            "{situation}: {found}"
        );
        let asked = world.books.asked.lock().unwrap();
        let deeds = asked
            .iter()
            .filter(|q| matches!(q, Question::Keep(_)))
            .count();
        assert_eq!(
            deeds,
            usize::from(rounds == 2),
            "{situation}: kept once at most"
        );
        drop(asked);
        let call = request(
            "INVITE",
            "sip:eve@example.org",
            "sip:alice@example.org",
            "Hello",
        );
        assert!(
            world
                .run(&call)
                .1
                .starts_with(if broken { "end=undecided" } else { "end=away" })
        );
    }
}

#[test]
fn a_user_who_comes_back_meanwhile_does_not_unkeep_a_message() {
    let mut routing = routing([]);
    routing.silo = silo();
    let world = World::new(routing, Books::default());
    let text = message("sip:eve@example.org");
    let mut answers = None;
    for _ in 0..2 {
        let (_, Outcome::Pending(pending)) = world.round(&text, answers.take()) else {
            panic!("it waits");
        };
        answers = Some(pending.answer());
    }
    let register = request("REGISTER", "sip:example.org", "sip:eve@example.org", "")
        .replace("To: <sip:example.org>", "To: <sip:eve@example.org>")
        .replace("Content-Type", "Contact: <sip:eve@192.0.2.8>\r\nX-Type");
    assert_eq!(world.run(&register).0, "200 OK");
    assert_eq!(world.round(&text, answers).0, "202 Accepted");
    assert_eq!(world.run(&text).0, "relayed");
}

#[test]
fn what_is_known_at_once_waits_for_nobody() {
    let rule = filter(FilterAction::Query, "SELECT 0", "");
    let mut routing = routing([rule]);
    routing.silo = silo();
    let books = Books {
        remembers: true,
        ..Books::default()
    };
    let world = World::new(routing, books);
    assert_eq!(world.run(&message("sip:nobody@example.org")).2, 0);
    assert_eq!(world.books.asked.lock().unwrap().len(), 0);
    let (first, _, rounds) = world.run(&message("sip:eve@example.org"));
    assert_eq!((first.as_str(), rounds), ("202 Accepted", 1));
    // Without a directory a user may exist, a query has no answer, and nothing is kept.
    let mut routing = self::routing([filter(FilterAction::Query, "SELECT 0", "INFO")]);
    routing.silo = silo();
    let world = World {
        policy: Arc::new(Policy {
            routing,
            ..policy()
        }),
        ..World::new(Routing::default(), Books::default())
    };
    for (method, wanted) in [
        ("INVITE", "480 Temporarily Unavailable"),
        ("INFO", "500 Server Internal DB Error"),
        ("MESSAGE", "410 Gone"),
    ] {
        let text = request(
            method,
            "sip:eve@example.org",
            "sip:alice@example.org",
            "Hello",
        );
        assert_eq!(world.run(&text).0, wanted, "{method}");
    }
}

#[test]
fn an_answer_to_something_else_is_none() {
    for (always, wanted) in [
        (Answer::FilterResult(None), "500 Server Internal Error"),
        (Answer::Kept(Kept::Stored), "500 Server Internal Error"),
        (Answer::Failed, "500 Server Internal Error"),
        (Answer::Exists(true), "410 Gone"),
    ] {
        let mut routing = routing([]);
        routing.silo = silo();
        let books = Books {
            always: Some(always.clone()),
            ..Books::default()
        };
        let world = World::new(routing, books);
        assert_eq!(
            world.run(&message("sip:eve@example.org")).0,
            wanted,
            "{always:?}"
        );
        let rules = [filter(FilterAction::Query, "SELECT 0", "")];
        let books = Books {
            always: Some(Answer::Exists(true)),
            ..Books::default()
        };
        let world = World::new(self::routing(rules), books);
        assert_eq!(
            world.run(&message("sip:eve@example.org")).0,
            "500 Server Internal DB Error"
        );
    }
}

#[test]
fn an_answer_belongs_to_its_question_when_the_rules_change() {
    let ask = |statement: &str| routing([filter(FilterAction::Query, statement, "")]);
    let mut world = World::new(ask("SELECT 0"), Books::default());
    let text = message("sip:eve@example.org");
    let (_, Outcome::Pending(pending)) = world.round(&text, None) else {
        panic!("a query waits");
    };
    let answers = pending.answer();
    Arc::get_mut(&mut world.policy).unwrap().routing = ask("SELECT 403, No more");
    let (first, Outcome::Pending(pending)) = world.round(&text, Some(answers.clone())) else {
        panic!("another query waits too");
    };
    assert_eq!(first, "");
    assert_eq!(world.round(&text, Some(pending.answer())).0, "403 No more");
    // Rules that are replaced for ever come to an end.
    let mut answers = answers;
    for number in 0..15 {
        Arc::get_mut(&mut world.policy).unwrap().routing = ask(&format!("SELECT {number}"));
        match world.round(&text, Some(answers.clone())).1 {
            Outcome::Pending(pending) => answers = pending.answer(),
            _ => panic!("there is room for {number}"),
        }
    }
    Arc::get_mut(&mut world.policy).unwrap().routing = ask("SELECT 16");
    assert_eq!(
        world.round(&text, Some(answers)).0,
        "500 Server Internal DB Error"
    );
}

/// Asks about every From once, and allows it.
#[derive(Default)]
struct Doorkeeper(Arc<Mutex<usize>>);

struct Knock(Arc<Mutex<usize>>);

impl auth::Question for Knock {
    fn answer(self: Box<Self>) -> auth::Answer {
        *self.0.lock().unwrap() += 1;
        auth::Answer::Allow
    }
}

impl Check for Doorkeeper {
    fn name(&self) -> &str {
        "doorkeeper"
    }

    fn check(&self, _claim: &Claim<'_>) -> Opinion {
        Opinion::Pending(Box::new(Knock(Arc::clone(&self.0))))
    }
}

#[test]
fn admission_is_not_asked_again_when_the_core_has_questions_of_its_own() {
    let doorkeeper = Arc::new(Doorkeeper::default());
    let options = AuthOptions {
        domains: vec!["example.org".to_owned()],
        rules: IdentityRules::Secure,
        ..AuthOptions::default()
    };
    let mut routing = routing([filter(FilterAction::Query, "SELECT 0", "")]);
    routing.silo = silo();
    let world = World::new(routing, Books::default()).with_auth(&options, vec![doorkeeper.clone()]);
    let (first, _, rounds) = world.run(&message("sip:eve@example.org"));
    assert_eq!((first.as_str(), rounds), ("202 Accepted", 4));
    assert_eq!(*doorkeeper.0.lock().unwrap(), 1);
    assert_eq!(world.books.asked.lock().unwrap().len(), 3);
}

#[test]
fn a_static_route_leads_no_third_party_out_without_a_password() {
    for (situation, digest, challenge, from, uri, wanted) in [
        (
            "passwords are not wanted",
            false,
            true,
            "sip:carol@example.net",
            "sip:9123@example.org",
            "relayed",
        ),
        (
            "they are",
            true,
            true,
            "sip:carol@example.net",
            "sip:9123@example.org",
            "407 Proxy Authentication Required",
        ),
        (
            "a scheme that is nobody's",
            true,
            true,
            "tel:123",
            "sip:9123@example.org",
            "407 Proxy Authentication Required",
        ),
        (
            "not for this",
            true,
            false,
            "sip:carol@example.net",
            "sip:9123@example.org",
            "relayed",
        ),
        (
            "one of ours",
            true,
            true,
            "sip:alice@example.org",
            "sip:9123@example.org",
            "relayed",
        ),
        (
            "a route that stays within",
            true,
            true,
            "sip:carol@example.net",
            "sip:in@example.org",
            "relayed",
        ),
        (
            "a contact",
            true,
            true,
            "sip:carol@example.net",
            "sip:desk@example.org",
            "relayed",
        ),
    ] {
        let options = AuthOptions {
            domains: vec!["example.org".to_owned()],
            rules: IdentityRules::Secure,
            digest: DigestOptions {
                enabled: digest,
                ..DigestOptions::default()
            },
            ..AuthOptions::default()
        };
        let doorkeeper = Arc::new(Doorkeeper::default());
        let mut routing = routing([]);
        let routes = [
            route("^sip:9([0-9]+)@", "sip:$1@192.0.2.99"),
            route("^sip:in@", "sip:eve@example.org"),
        ];
        routing.routes = StaticRoutes::new(routes).0;
        routing.options.challenge_third_parties = challenge;
        let world = World::new(routing, Books::default()).with_auth(&options, vec![doorkeeper]);
        let text = request("MESSAGE", uri, from, "Hello");
        assert_eq!(world.run(&text).0, wanted, "{situation}");
    }
}

#[test]
fn a_third_party_that_nothing_proves_is_asked_for_a_password_when_it_calls_a_user_of_ours() {
    for (situation, challenge, from, wanted) in [
        (
            "a third party",
            true,
            "sip:carol@example.net",
            "407 Proxy Authentication Required",
        ),
        (
            "if that is set",
            false,
            "sip:carol@example.net",
            "480 Temporarily Unavailable",
        ),
        // Admission has asked already.
        (
            "a user of ours",
            false,
            "sip:alice@example.org",
            "407 Proxy Authentication Required",
        ),
    ] {
        let options = AuthOptions {
            domains: vec!["example.org".to_owned()],
            digest: DigestOptions {
                enabled: true,
                ..DigestOptions::default()
            },
            ..AuthOptions::default()
        };
        let mut routing = routing([]);
        routing.options.challenge_third_parties = challenge;
        let world = World::new(routing, Books::default()).with_auth(&options, Vec::new());
        let text = request("MESSAGE", "sip:eve@example.org", from, "Hello");
        assert_eq!(world.run(&text).0, wanted, "{situation}");
    }
}

#[test]
fn a_request_that_comes_again_while_it_waits_is_sent_on_once() {
    let rule = filter(FilterAction::Query, "SELECT 0", "SUBSCRIBE");
    let world = World::new(routing([rule]), Books::default());
    let text = request(
        "SUBSCRIBE",
        "sip:99@example.org",
        "sip:alice@example.org",
        "",
    );
    let message = Message::parse(text.as_bytes(), text.len(), 64);
    let (mut relay, mut effects) = (Relay::new(0, TransactionOptions::default()), Vec::new());
    let mut out = Vec::new();
    let mut relaying = Relaying {
        relay: &mut relay,
        effects: &mut effects,
    };
    let context = world.context();
    let asked = [(); 2].map(
        |()| match on_message(&message, &context, &mut relaying, &mut out) {
            Outcome::Pending(pending) => pending,
            _ => panic!("it has a question"),
        },
    );
    let [first, second] = asked.map(|pending| {
        on_answers(
            &message,
            pending.answer(),
            &context,
            &mut relaying,
            &mut out,
        )
    });
    assert!(matches!(first, Outcome::Relayed(_)));
    assert!(matches!(second, Outcome::Absorbed));
    assert_eq!((effects.len(), out.len()), (1, 0));
}
