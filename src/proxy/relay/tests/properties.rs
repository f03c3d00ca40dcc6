//! What holds whatever the parties do, and in whatever order.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::phone::{Phone, Wish};
use super::text::{field, fields, head, method, status, written};
use super::world::{Seen, Setting, Way, World};
use crate::auth::Transport;
use crate::proxy::Forking;
use crate::registrar::FlowId;

/// Who there is: name, transport, domain, preference.
const PARTIES: [(&str, Transport, Option<&str>, &str); 7] = [
    ("alice", Transport::Tls, None, ""),
    ("erin", Transport::Udp, None, ""),
    ("bob1", Transport::Tls, None, ";q=0.9"),
    ("bob2", Transport::Udp, None, ";q=0.9"),
    ("bob3", Transport::Tcp, None, ";q=0.2"),
    ("carol1", Transport::Tls, Some("example.net"), ""),
    ("carol2", Transport::Tls, Some("example.net"), ""),
];

const METHODS: [&str; 5] = ["INVITE", "MESSAGE", "INVITE", "SUBSCRIBE", "OPTIONS"];
const WITHIN: [&str; 6] = ["BYE", "INVITE", "UPDATE", "ACK", "ACK", "INFO"];
const PLACES: [&str; 6] = [
    "sip:bob@example.org",
    "sip:alice@example.org",
    "sip:carol@example.net",
    "sips:bob@example.org",
    "sip:nobody@example.org",
    "sip:nowhere@example.edu",
];
const CODES: [u16; 14] = [
    100, 180, 180, 183, 200, 200, 200, 302, 401, 407, 408, 486, 503, 603,
];

/// What may happen. Numbers choose among what there is, over and over.
#[derive(Debug, Clone)]
enum On {
    Ask(usize, usize, usize),
    Within(usize, usize, usize),
    Cancel(usize),
    Answer(usize, usize, u16, Fault),
    Again(usize, usize),
    Close(usize),
    Open(usize),
    Way(usize, Way),
    Wait(u64),
    Oversleep(u64),
}

/// What may be wrong with a response.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// No Via but ours, or none at all.
    Vias(usize),
    OverAnother,
    Contacts,
}

fn events() -> impl Strategy<Value = Vec<On>> {
    let party = || 0..PARTIES.len();
    let fault = prop_oneof![
        9 => Just(Fault::None),
        1 => (0..2_usize).prop_map(Fault::Vias),
        1 => Just(Fault::OverAnother),
        2 => Just(Fault::Contacts),
    ];
    let way = [Way::Open, Way::Open, Way::Held, Way::Untold, Way::Blocked];
    let way = select(way.to_vec());
    let wait = select(&[1_u64, 200, 499, 500, 4_000, 31_999, 32_000, 180_000][..]);
    let event = prop_oneof![
        6 => (party(), 0..METHODS.len(), 0..PLACES.len()).prop_map(|(p, m, to)| On::Ask(p, m, to)),
        4 => (party(), 0..WITHIN.len(), 0..9_usize).prop_map(|(p, m, call)| On::Within(p, m, call)),
        2 => party().prop_map(On::Cancel),
        14 => (party(), 0..9_usize, select(&CODES[..]), fault)
            .prop_map(|(p, of, code, fault)| On::Answer(p, of, code, fault)),
        2 => (party(), 0..9_usize).prop_map(|(p, of)| On::Again(p, of)),
        1 => party().prop_map(On::Close),
        2 => party().prop_map(On::Open),
        2 => (party(), way).prop_map(|(p, way)| On::Way(p, way)),
        4 => wait.clone().prop_map(On::Wait),
        1 => wait.prop_map(On::Oversleep),
    ];
    vec(event, 0..60)
}

fn settings() -> impl Strategy<Value = Setting> {
    let most = select(&[1_usize, 3, 1_000, 1_000]);
    let timer_c = select(&[1_000_u64, 40_000, 180_000]);
    (any::<bool>(), any::<bool>(), any::<bool>(), most, timer_c).prop_map(
        |(recursive, sequential, waits, most, timer_c)| {
            let mut setting = Setting::default();
            setting.fork.recursive_redirect = recursive;
            setting.fork.wait_between_groups = waits;
            setting.fork.timer_c = Duration::from_millis(timer_c);
            setting.transactions.max_transactions = NonZeroUsize::new(most).unwrap();
            if sequential {
                setting.forking = Forking::Sequential;
            }
            setting
        },
    )
}

/// One request of a party, and the answers to it.
#[derive(Debug)]
struct Asked {
    flow: FlowId,
    by: usize,
    /// How often it has come to us and was not known.
    begun: usize,
    /// Final answers, each once.
    answers: Vec<String>,
    is_invite: bool,
}

impl Asked {
    /// All 2xx of an INVITE are one: of several phones, or of one again.
    fn outcomes(&self) -> usize {
        let success = |answer: &&String| self.is_invite && answer.starts_with("SIP/2.0 2");
        let successes = self.answers.iter().filter(success).count();
        self.answers.len() - successes + successes.min(1)
    }
}

/// The world, and what is known of it from outside.
struct Watched {
    world: World,
    phones: Vec<Phone>,
    calls: usize,
    /// By flow, topmost Via and method.
    asked: HashMap<(FlowId, String, String), Asked>,
}

impl Watched {
    fn new(setting: &Setting) -> Self {
        let mut watched = Self {
            world: World::new(setting),
            phones: Vec::new(),
            calls: 0,
            asked: HashMap::new(),
        };
        for (party, (name, transport, domain, preference)) in PARTIES.into_iter().enumerate() {
            watched.world.add(name, transport, domain);
            let phone = Phone::new(&watched.world.parties[party], preference);
            watched.phones.push(phone);
            if domain.is_none() {
                watched.register(party);
            }
        }
        watched
    }

    fn register(&mut self, party: usize) {
        let call = format!("register-{party}");
        let register = self.phones[party].request(&Wish {
            method: "REGISTER",
            uri: Some("sip:example.org"),
            call: &call,
            to: None,
        });
        self.say(party, party, &register);
    }

    fn say(&mut self, party: usize, over: usize, message: &str) {
        if !self.world.parties[over].is_open {
            return;
        }
        self.phones[party].says(message);
        self.world.receive(over, message);
        if status(message).is_none() && method(message) != "ACK" {
            let absorbed = |seen: &Seen| matches!(seen, Seen::Note(note) if note == "absorbed");
            let is_new = !self.world.seen.iter().any(absorbed);
            let flow = self.world.parties[over].flow;
            let asked = self.asked.entry(key(flow, message)).or_insert(Asked {
                flow,
                by: over,
                begun: 0,
                answers: Vec::new(),
                is_invite: method(message) == "INVITE",
            });
            asked.begun += usize::from(is_new);
        }
        self.look();
    }

    fn call(&self, number: usize) -> String {
        format!("call-{}", number % self.calls.max(1) + 1)
    }

    fn take(&mut self, on: On) {
        match on {
            On::Ask(party, method, place) => {
                self.calls += 1;
                let call = format!("call-{}", self.calls);
                let wish = Wish {
                    method: METHODS[method],
                    uri: Some(PLACES[place]),
                    call: &call,
                    to: None,
                };
                let request = self.phones[party].request(&wish);
                self.say(party, party, &request);
            }
            On::Within(party, method, call) => {
                let call = self.call(call);
                self.wish(party, WITHIN[method], &call);
            }
            On::Cancel(party) => {
                let call = self.call(0);
                self.wish(party, "CANCEL", &call);
            }
            On::Answer(party, of, code, fault) => {
                let questions = self.phones[party].questions();
                let Some(request) = questions.get(questions.len().wrapping_sub(of % 3 + 1)) else {
                    return;
                };
                let response = self.phones[party].answer(request, code);
                let over = match fault {
                    Fault::OverAnother => (party + 1) % PARTIES.len(),
                    _ => party,
                };
                self.say(party, over, &spoilt(&response, fault));
            }
            On::Again(party, of) => {
                let words = self.phones[party].words();
                let word = words
                    .get(of % words.len().max(1))
                    .map(|word| (*word).clone());
                if let Some(word) = word {
                    self.say(party, party, &word);
                }
            }
            On::Close(party) => {
                if self.world.parties[party].is_open && party != 1 && party != 3 {
                    self.world.close(party);
                }
            }
            On::Open(party) => {
                if !self.world.parties[party].is_open {
                    self.world.open(party);
                    if PARTIES[party].2.is_none() {
                        self.register(party);
                    }
                }
            }
            On::Way(party, way) => self.world.set_way(party, way),
            On::Wait(millis) => {
                let until = self.world.now + Duration::from_millis(millis);
                while self.world.ring(until) {
                    self.look();
                }
                self.world.now = until;
            }
            On::Oversleep(millis) => self.world.oversleep(Duration::from_millis(millis)),
        }
        self.look();
    }

    fn wish(&mut self, party: usize, method: &str, call: &str) {
        let wish = Wish {
            method,
            uri: None,
            call,
            to: None,
        };
        if self.phones[party].can_say(&wish) {
            let request = self.phones[party].request(&wish);
            self.say(party, party, &request);
        }
    }

    /// Looks at what has come out.
    fn look(&mut self) {
        for seen in std::mem::take(&mut self.world.seen) {
            let Seen::Got(party, message) = seen else {
                continue;
            };
            self.phones[party].hears(&message);
            let Some(status) = status(&message) else {
                continue;
            };
            let flow = self.world.parties[party].flow;
            let asked = self.asked.get_mut(&key(flow, &message));
            let asked = asked.unwrap();
            let is_known = asked.answers.contains(&message);
            if method(&message) == "CANCEL" || (status >= 200 && is_known) {
                continue;
            }
            if status < 200 {
                assert!(
                    asked.begun > asked.outcomes(),
                    "a provisional response after the answer: {message}"
                );
                continue;
            }
            asked.answers.push(message);
            assert!(
                asked.outcomes() <= asked.begun,
                "more than one answer: {asked:#?}"
            );
        }
    }

    /// Everything times out.
    fn end(&mut self) {
        let end = self.world.now + Duration::from_secs(3_600);
        while self.world.ring(end) {
            self.look();
        }
        self.world.live_out();
        for asked in self.asked.values().filter(|asked| asked.is_invite) {
            let party = &self.world.parties[asked.by];
            let is_there = party.is_open && party.flow == asked.flow;
            assert!(
                !is_there || !asked.answers.is_empty(),
                "an INVITE without an answer: {asked:?}"
            );
        }
        for party in 0..PARTIES.len() {
            self.world.set_way(party, Way::Open);
            self.look();
        }
        self.world.live_out();
    }
}

fn key(flow: FlowId, message: &str) -> (FlowId, String, String) {
    let via = field(message, "Via");
    let branch = via.split(';').find(|part| part.starts_with("branch="));
    (
        flow,
        branch.unwrap_or_default().to_owned(),
        method(message).to_owned(),
    )
}

fn spoilt(response: &str, fault: Fault) -> String {
    let mut lines: Vec<_> = head(response).map(str::to_owned).collect();
    match fault {
        Fault::None | Fault::OverAnother => {}
        Fault::Vias(kept) => {
            let vias = fields(response, "Via");
            let kept = vias.into_iter().take(kept);
            let kept: Vec<_> = kept.map(|via| format!("Via: {via}")).collect();
            lines.retain(|line| !line.starts_with("Via: "));
            lines.splice(1..1, kept);
        }
        Fault::Contacts => {
            let contacts = "Contact: <sip:carol@example.net>, <sip:x@example.edu>;q=0.1";
            lines.insert(1, contacts.to_owned());
        }
    }
    written(&lines, "")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Nothing panics; a request has at most one final answer (2xx of an INVITE apart), and an INVITE has one; nothing is sent to
    /// whom it does not concern; an event has few effects; in the end nothing is left.
    #[test]
    fn every_request_comes_to_one_end(setting in settings(), events in events()) {
        let mut watched = Watched::new(&setting);
        for on in events {
            watched.take(on);
        }
        watched.end();
    }
}
