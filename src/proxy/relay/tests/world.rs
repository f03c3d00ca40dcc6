//! A server for example.org with its clock in hand, and the flows that lead to it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{HashSet, VecDeque};
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{
    Attempt, Departure, Effect, Exit, Face, Hop, PathOptions, Place, RecordRoute, Relay, RelayKeys,
    RelayPolicy, Sent, home_of,
};
use crate::auth::{
    AuthOptions, Identities, Issuers, Mappings, NamePolicy, Peer, PeerCertificate, Rules, Sealer,
    SubjectAltName, TokenSecret, Transport, TrustedPeer,
};
use crate::proxy::{
    Context, Failure, ForkOptions, Forking, Load, MAX_TARGETS, Outcome, Policy, Relaying, Silo,
    SiloOptions, on_message, test_support,
};
use crate::registrar::{Aor, FlowId, Location};
use crate::sip::{Host, Message, Response, SipUri, StatusCode};
use crate::transaction::TransactionOptions;

/// Our address, whichever the transport.
const OURS: &str = "192.0.2.1";

/// Somebody at the other end of a flow.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) name: String,
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    pub(super) flow: FlowId,
    pub(super) is_open: bool,
    /// The domain whose server it is, if it is one.
    pub(super) domain: Option<String>,
    /// What becomes of requests on their way to it.
    pub(super) way: Way,
    identities: Option<Identities>,
}

/// How the way to a party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// Nothing is heard of what is sent there, until the way is open or blocked.
    Held,
    /// What is sent there arrives, and that it has been sent is told late: when the way is open or blocked.
    Untold,
    /// It cannot be reached, but for what comes over an open flow.
    Blocked,
}

/// What a way holds back.
#[derive(Debug)]
enum Held {
    Departure(Box<Departure>),
    Sent(Box<Sent>),
}

/// What can be seen from outside.
#[derive(Debug)]
pub(super) enum Seen {
    /// A party is sent this.
    Got(usize, String),
    /// It would have been sent this, and is not there any more.
    Missed(usize, String),
    /// Anything else.
    Note(String),
}

/// What is decided for a world before it begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Setting {
    pub(super) fork: ForkOptions,
    pub(super) forking: Forking,
    pub(super) transactions: TransactionOptions,
    /// Whether certificates are asked for, and those of other domains too.
    pub(super) certificates: bool,
    /// Whether messages are kept.
    pub(super) silo: bool,
    /// Whether the holder of a certificate for gateway.example.com is trusted.
    pub(super) trusts_gateway: bool,
    /// When we put ourselves into Path.
    pub(super) path: PathOptions,
}

/// The world.
pub(super) struct World {
    start: Instant,
    pub(super) now: Instant,
    policy: Arc<Policy>,
    location: Location,
    pub(super) relay: Relay,
    pub(super) load: Load,
    pub(super) parties: Vec<Party>,
    pub(super) seen: Vec<Seen>,
    held: Vec<(usize, Held)>,
    flows: u64,
    tags: u32,
    /// Flows that something has come over, or that a request was to go to: others have no part in anything.
    involved: HashSet<FlowId>,
}

impl World {
    pub(super) fn new(setting: &Setting) -> Self {
        let face = |transport, port| Face {
            transport,
            address: SocketAddr::new(OURS.parse().unwrap(), port),
            record_route: RecordRoute::automatic(Some("example.org"), port, transport),
        };
        let auth = AuthOptions {
            domains: vec!["example.org".to_owned()],
            certificate_authenticator: setting.certificates,
            third_party_requires_certificate: setting.certificates,
            trusted_peers: setting.trusts_gateway.then(gateway).into_iter().collect(),
            ..AuthOptions::default()
        };
        let sealer = Sealer::new(&[], &TokenSecret::random().unwrap()).unwrap();
        let mut policy = test_support::policy();
        policy.rules = Rules::new(&auth, Mappings::default(), Vec::new());
        policy.routing.options.forking = setting.forking;
        policy.routing.silo = Silo::new(SiloOptions {
            enabled: setting.silo,
            ..SiloOptions::default()
        })
        .0;
        policy.registrar.outbound.flow_timer = setting.path.flow_timer;
        policy.relay = RelayPolicy {
            faces: vec![
                face(Transport::Tls, 5061),
                face(Transport::Tcp, 5060),
                face(Transport::Udp, 5060),
            ],
            fork: setting.fork.clone(),
            add_via_rport: true,
            path: setting.path,
            keys: RelayKeys::new(sealer, RandomState::new()),
        };
        policy.addresses = policy.relay.faces.iter().map(|face| face.address).collect();
        let start = Instant::now();
        Self {
            start,
            now: start,
            policy: Arc::new(policy),
            location: Location::new(),
            relay: Relay::new(0, setting.transactions),
            load: Load::Normal,
            parties: Vec::new(),
            seen: Vec::new(),
            held: Vec::new(),
            flows: 0,
            tags: 0,
            involved: HashSet::new(),
        }
    }

    /// Milliseconds since the world began.
    pub(super) fn millis(&self) -> u128 {
        self.now.duration_since(self.start).as_millis()
    }

    /// Adds a party; the certificate of one that has TLS names its user, or its domain.
    pub(super) fn add(&mut self, name: &str, transport: Transport, domain: Option<&str>) -> usize {
        let number = self.parties.len();
        let host = match domain {
            None => format!("198.51.100.{}", number + 1),
            Some(_) => format!("203.0.113.{}", number + 1),
        };
        let port = match transport {
            Transport::Tls => 5061,
            _ => 5060,
        };
        let named = match domain {
            None => SubjectAltName::Uri(format!("sip:{}@example.org", user(name)).into()),
            Some(domain) => SubjectAltName::Dns(domain.into()),
        };
        self.parties.push(Party {
            name: name.to_owned(),
            transport,
            address: SocketAddr::new(host.parse().unwrap(), port),
            flow: FlowId::Connection(0),
            is_open: false,
            domain: domain.map(str::to_owned),
            way: Way::Open,
            identities: (transport == Transport::Tls).then(|| identities(named)),
        });
        self.open(number);
        number
    }

    /// Gives a party a new flow.
    pub(super) fn open(&mut self, number: usize) {
        self.flows += 1;
        let party = &mut self.parties[number];
        party.is_open = true;
        party.flow = match party.transport {
            Transport::Udp => FlowId::Datagram {
                listener: listener(Transport::Udp) as u16,
                peer: party.address,
            },
            _ => FlowId::Connection(self.flows),
        };
    }

    /// The certificate of a party names another user, by rules that have changed while it was connected.
    pub(super) fn rename(&mut self, number: usize, user: &str) {
        let named = SubjectAltName::Uri(format!("sip:{user}@example.org").into());
        self.parties[number].identities = Some(identities(named));
    }

    /// The flow of a party breaks.
    pub(super) fn close(&mut self, number: usize) {
        let party = &mut self.parties[number];
        party.is_open = false;
        let flow = party.flow;
        let aor = Aor::parse(&format!("{}@example.org", user(&party.name))).unwrap();
        self.location.flow_closed(flow, [aor]);
        self.step(|relay, now, effects| relay.on_flow_closed(flow, now, effects));
    }

    /// A message comes in from a party.
    pub(super) fn receive(&mut self, number: usize, octets: &str) {
        let head = octets.find("\r\n\r\n").unwrap() + 4;
        let message = Message::parse(octets.as_bytes(), head, 128);
        let flow = self.parties[number].flow;
        self.involved.insert(flow);
        if message.is_response() {
            let response = Response::read(&message);
            let response =
                response.filter(|response| response.via.branch().and_then(home_of) == Some(0));
            let mut is_known = false;
            if let Some(response) = response {
                let bound = self.bound();
                let mut effects = Vec::new();
                let (now, location) = (self.now, &self.location);
                is_known = self
                    .relay
                    .on_response(&response, flow, location, now, &mut effects);
                assert!(effects.len() <= bound, "{} effects", effects.len());
                self.carry_out(effects);
            }
            if !is_known {
                self.seen.push(Seen::Note("stray".to_owned()));
            }
            return;
        }
        self.tags += 1;
        let (tag, policy) = (format!("us{}", self.tags), Arc::clone(&self.policy));
        let bound = self.bound();
        let mut effects = Vec::new();
        let mut out = Vec::new();
        let party = &self.parties[number];
        let context = Context {
            policy: &policy,
            location: &self.location,
            peer: Peer {
                transport: party.transport,
                source: party.address,
                identities: party.identities.as_ref(),
            },
            flow,
            listener: listener(party.transport),
            local: OURS.parse().unwrap(),
            name_reached: false,
            now: self.now,
            arrived: 0,
            to_tag: &tag,
            load: self.load,
        };
        let mut relaying = Relaying {
            relay: &mut self.relay,
            effects: &mut effects,
        };
        let outcome = on_message(&message, &context, &mut relaying, &mut out);
        if !out.is_empty() {
            let out = String::from_utf8(out).unwrap();
            self.seen.push(Seen::Got(number, out));
        }
        match outcome {
            Outcome::Answered { .. } | Outcome::Relayed(_) | Outcome::Malformed(_) => {}
            Outcome::Refused(refused) => {
                self.seen.push(Seen::Note(format!("refused: {refused}")));
            }
            Outcome::Challenged(refused) => {
                self.seen.push(Seen::Note(format!("challenged: {refused}")));
            }
            Outcome::Overloaded => self.seen.push(Seen::Note("overloaded".to_owned())),
            Outcome::Absorbed => self.seen.push(Seen::Note("absorbed".to_owned())),
            Outcome::Dropped(why) => self.seen.push(Seen::Note(format!("dropped: {why}"))),
            Outcome::Reported { .. } | Outcome::Audited { .. } | Outcome::Pending(_) => {
                panic!("nobody is asked here, and nothing is audited")
            }
        }
        assert!(effects.len() <= bound, "{} effects", effects.len());
        self.carry_out(effects);
    }

    /// Opens the way to a party, or blocks it: what was held goes on.
    pub(super) fn set_way(&mut self, number: usize, way: Way) {
        self.parties[number].way = way;
        if matches!(way, Way::Held | Way::Untold) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        let (now_free, still): (Vec<_>, _) = held.into_iter().partition(|(to, _)| *to == number);
        self.held = still;
        for (_, held) in now_free {
            match held {
                Held::Departure(departure) => self.travel(departure),
                Held::Sent(sent) => {
                    self.step(|relay, now, effects| relay.on_sent(*sent, now, effects));
                }
            }
        }
    }

    /// Goes on to the next deadline, if it is not later than this, and does what is due; false if there is none.
    pub(super) fn ring(&mut self, until: Instant) -> bool {
        let Some(at) = self.relay.next_deadline().filter(|at| *at <= until) else {
            return false;
        };
        let before = self.now;
        self.now = self.now.max(at);
        self.step(|relay, now, effects| relay.on_deadline(now, effects));
        let next = self.relay.next_deadline();
        assert!(
            next.is_none_or(|next| next > at) && self.now >= before,
            "what was due is still due"
        );
        true
    }

    /// Wakes up late: all that has fallen due meanwhile is done at once.
    pub(super) fn oversleep(&mut self, time: Duration) {
        self.now += time;
        self.step(|relay, now, effects| relay.on_deadline(now, effects));
        let next = self.relay.next_deadline();
        assert!(
            next.is_none_or(|next| next > self.now),
            "something is still due"
        );
    }

    /// Lives until nothing is left to happen, and that must come.
    pub(super) fn live_out(&mut self) {
        let end = self.now + Duration::from_secs(3_600);
        while self.ring(end) {}
        assert_eq!(self.relay.next_deadline(), None);
        assert!(
            self.relay.is_empty(),
            "something is left: {:#?}",
            self.relay
        );
        assert!(self.relay.uses.is_empty() && self.relay.alarms.is_empty());
        assert!(self.relay.leaving.is_empty());
        assert!(self.relay.taken_on.is_empty() && self.relay.sent_on.is_empty());
    }

    fn step(&mut self, event: impl FnOnce(&mut Relay, Instant, &mut Vec<Effect>)) {
        let bound = self.bound();
        let mut effects = Vec::new();
        event(&mut self.relay, self.now, &mut effects);
        assert!(effects.len() <= bound, "{} effects", effects.len());
        self.carry_out(effects);
    }

    /// No single event has more effects than this: a few for each transaction that there is, and a new one for each target.
    fn bound(&self) -> usize {
        let relay = &self.relay;
        4 * (relay.servers.len() + relay.clients.len() + relay.leaving.len()) + MAX_TARGETS + 8
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { flow, octets } => {
                    assert!(
                        self.involved.contains(&flow),
                        "{flow:?} has no part in this"
                    );
                    self.send_over(flow, &octets);
                }
                Effect::Depart(departure) => self.travel(departure),
                Effect::Avoid { place, retry_after } => {
                    let at = self.at(place).unwrap();
                    let name = &self.parties[at].name;
                    let time =
                        retry_after.map_or_else(String::new, |time| format!(" for {time:?}"));
                    self.seen.push(Seen::Note(format!("avoids {name}{time}")));
                }
                Effect::Keep { relay, message, .. } => {
                    self.seen
                        .push(Seen::Note(format!("keeps {}", message.destination)));
                    self.step(|own, now, effects| own.on_kept(relay, true, now, effects));
                }
                Effect::Stale { aor, reach } => {
                    self.seen
                        .push(Seen::Note(format!("forgets {}", aor.as_str())));
                    self.location.unreachable(&aor, &reach);
                }
            }
        }
    }

    fn send_over(&mut self, flow: FlowId, octets: &[u8]) {
        let text = String::from_utf8(octets.to_vec()).unwrap();
        let number = self.parties.iter().position(|party| party.flow == flow);
        // Somebody who has reconnected has another flow.
        let Some(number) = number else {
            return;
        };
        self.seen.push(match self.parties[number].is_open {
            true => Seen::Got(number, text),
            false => Seen::Missed(number, text),
        });
    }

    /// As the transport does it: hop by hop and place by place, until one can be reached.
    fn travel(&mut self, departure: Box<Departure>) {
        let mut failure = Failure::no_transport();
        let mut ways = VecDeque::new();
        for hop in &departure.hops {
            match hop {
                Hop::Flow(flow) => {
                    let at = self.parties.iter().position(|party| party.flow == *flow);
                    match at.filter(|at| self.parties[*at].is_open) {
                        Some(at) => ways.push_back((at, None)),
                        None => failure = Failure::flow_failed(),
                    }
                }
                Hop::Uri(uri) => {
                    let places = self.places_of(uri);
                    if places.is_empty() {
                        failure = nobody_there();
                    }
                    ways.extend(places.into_iter().map(|at| (at, Some(uri.clone()))));
                }
                Hop::Places { uri, places } => {
                    let at = places.iter().filter_map(|place| self.at(*place));
                    ways.extend(at.map(|at| (at, Some(uri.clone()))));
                }
            }
        }
        let (number, uri, octets, via) = loop {
            let Some((number, uri)) = ways.pop_front() else {
                return self.strand(departure.attempt, failure);
            };
            let party = &self.parties[number];
            match party.way {
                Way::Open | Way::Untold => {}
                Way::Held => return self.held.push((number, Held::Departure(departure))),
                Way::Blocked => {
                    failure = Failure::transport();
                    continue;
                }
            }
            let exit = Exit {
                flow: party.flow,
                listener: listener(party.transport),
                local: OURS.parse().unwrap(),
                of_domain: party
                    .identities
                    .as_ref()
                    .is_some_and(Identities::has_domain),
                identity: party.identities.as_ref().and_then(Identities::digest),
                in_place_of: None,
            };
            let mut out = Vec::new();
            match departure.write(&exit, &mut out) {
                Ok(_) if !departure.sets_out() => return,
                Ok(via) => break (number, uri, out, via),
                Err(why) => failure = why,
            }
        };
        let flow = self.parties[number].flow;
        self.involved.insert(flow);
        self.send_over(flow, &octets);
        let is_datagram = matches!(flow, FlowId::Datagram { .. });
        let Some(attempt) = departure.attempt else {
            return;
        };
        let left = ways.into_iter().filter(|(_, of)| *of == uri);
        let left: Vec<_> = left.map(|(at, _)| self.place(at)).collect();
        let rest = match &uri {
            Some(uri) if !left.is_empty() => Some(Box::new(departure.toward(uri.clone(), left))),
            _ => None,
        };
        let sent = Sent {
            attempt,
            flow,
            via,
            again: is_datagram.then(|| octets.into()),
            place: uri.is_some().then(|| self.place(number)),
            rest,
        };
        if self.parties[number].way == Way::Untold {
            return self.held.push((number, Held::Sent(Box::new(sent))));
        }
        self.step(|relay, now, effects| relay.on_sent(sent, now, effects));
    }

    fn strand(&mut self, attempt: Option<Attempt>, failure: Failure) {
        if let Some(attempt) = attempt {
            self.step(|relay, now, effects| relay.on_unsent(attempt, failure, now, effects));
        }
    }

    /// Where a URI leads: to the servers of a domain, or to an address.
    fn places_of(&self, uri: &str) -> Vec<usize> {
        let uri = SipUri::parse(uri).unwrap();
        let is_there = |party: &Party| match uri.host {
            Host::Ip(ip) => party.address.ip() == ip,
            Host::Name(_) => party.domain.as_deref() == Some(&*uri.host.canonical()),
        };
        let parties = self.parties.iter().enumerate();
        parties
            .filter(|(_, party)| party.is_open && is_there(party))
            .map(|(at, _)| at)
            .collect()
    }

    fn place(&self, number: usize) -> Place {
        let party = &self.parties[number];
        Place {
            address: party.address,
            transport: party.transport,
        }
    }

    fn at(&self, place: Place) -> Option<usize> {
        (0..self.parties.len()).find(|number| self.place(*number) == place)
    }
}

/// Whose phone it is: `bob2` is one of bob's.
pub(super) fn user(name: &str) -> &str {
    name.trim_end_matches(char::is_numeric)
}

fn gateway() -> TrustedPeer {
    TrustedPeer::Name("gateway.example.com".to_owned())
}

/// What the transport room says of a name that leads nowhere.
fn nobody_there() -> Failure {
    Failure {
        status: StatusCode::SERVICE_UNAVAILABLE,
        phrase: "No DNS results".into(),
        no_way: true,
    }
}

fn listener(transport: Transport) -> usize {
    match transport {
        Transport::Tls => 0,
        Transport::Tcp => 1,
        _ => 2,
    }
}

fn identities(name: SubjectAltName) -> Identities {
    let certificate = PeerCertificate {
        subject: "CN=somebody".to_owned(),
        issuer: "CN=Root".to_owned(),
        serial: "01".to_owned(),
        fingerprint: [0; 32],
        not_before: 0,
        not_after: 0,
        common_names: Vec::new(),
        subject_attributes: Vec::new(),
        alt_names: vec![name],
        extended_key_usage: None,
        anchor_subject: "CN=Root".to_owned(),
        anchor_fingerprint: [0; 32],
        issuers: Issuers::default(),
    };
    Identities::of(&certificate, &NamePolicy::default())
}
