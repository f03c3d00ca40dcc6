//! Answers of our own over datagrams: RFC 3261 §17.2. Whoever asks again hears the same, and nothing is done twice.

use std::time::Instant;

use super::table::{Effect, Relay, Upstream};
use crate::registrar::FlowId;
use crate::sip::{Request, StatusCode};
use crate::transaction::{Key, TransactionOptions};

/// How many answers are kept, and may be: half of all transactions, so that there is always room for what is relayed.
#[derive(Debug)]
pub(super) struct Kept {
    count: usize,
    most: usize,
}

impl Kept {
    pub(super) fn of(options: TransactionOptions) -> Self {
        Self {
            count: 0,
            most: options.max_transactions.get() / 2,
        }
    }

    /// How many are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// One of them has had its time.
    pub(super) fn forget(&mut self) {
        self.count = self.count.saturating_sub(1);
    }
}

impl Relay {
    /// Has a request that came over datagrams answered, now and whenever it comes again. `octets` are the whole answer. False
    /// when there is no room to keep it: then it is to be sent without.
    pub fn answered(
        &mut self,
        request: &Request<'_>,
        flow: FlowId,
        status: StatusCode,
        octets: &[u8],
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        if self.kept.count >= self.kept.most {
            return false;
        }
        let key = Key::of(request, self.scope(flow));
        let upstream = Upstream {
            flow,
            relay: None,
            places: 0,
        };
        let Ok(server) = self.servers.begin(&key, upstream, false, now) else {
            return false;
        };
        self.kept.count += 1;
        self.respond(server, status, octets.to_vec(), now, out);
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::auth::{Peer, Transport};
    use crate::proxy::{Context, Load, Outcome, Policy, Relaying, on_message, test_support};
    use crate::registrar::Location;
    use crate::sip::Message;

    /// A server that hears one phone over UDP.
    struct Heard {
        policy: Arc<Policy>,
        location: Location,
        relay: Relay,
        now: Instant,
    }

    impl Heard {
        fn new(most: usize) -> Self {
            let options = TransactionOptions {
                max_transactions: NonZeroUsize::new(most).unwrap(),
                ..TransactionOptions::default()
            };
            Self {
                policy: Arc::new(test_support::policy()),
                location: Location::new(),
                relay: Relay::new(0, options),
                now: Instant::now(),
            }
        }

        /// What a request is answered with: at once, and by a transaction.
        fn hear(&mut self, text: &str) -> (Outcome, String, Vec<String>) {
            let peer = "198.51.100.7:40000".parse().unwrap();
            let context = Context {
                policy: &self.policy,
                location: &self.location,
                peer: Peer {
                    transport: Transport::Udp,
                    source: peer,
                    identities: None,
                },
                flow: FlowId::Datagram { listener: 0, peer },
                listener: 0,
                local: "192.0.2.1".parse().unwrap(),
                name_reached: false,
                now: self.now,
                arrived: 0,
                load: Load::Normal,
                to_tag: "ours",
            };
            let (mut effects, mut out) = (Vec::new(), Vec::new());
            let mut relaying = Relaying {
                relay: &mut self.relay,
                effects: &mut effects,
            };
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let outcome = on_message(&message, &context, &mut relaying, &mut out);
            let sent = effects.into_iter().map(|effect| match effect {
                Effect::Send { flow, octets } => {
                    assert_eq!(flow, context.flow);
                    String::from_utf8(octets.to_vec()).unwrap()
                }
                other => unreachable!("{other:?}"),
            });
            (outcome, String::from_utf8(out).unwrap(), sent.collect())
        }
    }

    fn request(method: &str, number: usize) -> String {
        let uri = match method {
            "REGISTER" => "sip:example.org",
            _ => "sip:bob@example.org",
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:40000;branch=z9hG4bK{number}\r\n\
             From: <sip:alice@example.org>;tag=a\r\nTo: <sip:alice@example.org>\r\nCall-ID: c@d\r\n\
             CSeq: 7 {method}\r\nContact: <sip:alice@198.51.100.7:40000>\r\n\r\n"
        )
    }

    #[test]
    fn an_answer_is_kept_and_repeated_until_nobody_asks_any_more() {
        let mut heard = Heard::new(100);
        let register = request("REGISTER", 1);
        let (outcome, out, sent) = heard.hear(&register);
        assert!(matches!(
            outcome,
            Outcome::Answered {
                status: StatusCode::OK,
                ..
            }
        ));
        assert_eq!((&*out, sent.len()), ("", 1));
        for _ in 0..3 {
            let (outcome, out, again) = heard.hear(&register);
            assert!(matches!(outcome, Outcome::Absorbed));
            assert_eq!((&*out, &again), ("", &sent));
        }
        // Timer J.
        heard.now += Duration::from_secs(33);
        let mut effects = Vec::new();
        heard.relay.on_deadline(heard.now, &mut effects);
        assert!(heard.relay.is_empty() && heard.relay.kept.count == 0);
    }

    #[test]
    fn a_refused_invite_is_refused_until_its_ack_comes() {
        let mut heard = Heard::new(100);
        let (_, _, sent) = heard.hear(&request("INVITE", 1));
        assert!(sent.iter().all(|answer| answer.starts_with("SIP/2.0 480 ")));
        heard.now += Duration::from_millis(500);
        let mut effects = Vec::new();
        heard.relay.on_deadline(heard.now, &mut effects);
        assert_eq!(effects.len(), 1, "Timer G");
        let (outcome, out, sent) = heard.hear(&request("ACK", 1));
        assert!(matches!(outcome, Outcome::Absorbed));
        assert!(out.is_empty() && sent.is_empty());
        heard.now += Duration::from_secs(6);
        heard.relay.on_deadline(heard.now, &mut effects);
        assert!(heard.relay.is_empty() && heard.relay.kept.count == 0);
    }

    #[test]
    fn what_is_answered_before_admission_leaves_nothing() {
        let mut heard = Heard::new(100);
        let options = request("OPTIONS", 1).replace("bob@", "");
        let hops = request("MESSAGE", 2).replace("Contact", "Max-Forwards: 0\r\nContact");
        let broken = request("MESSAGE", 3).replace("7 MESSAGE", "x MESSAGE");
        for (text, wanted) in [(options, "200"), (hops, "483"), (broken, "400")] {
            let (_, out, sent) = heard.hear(&text);
            assert!(out.starts_with(&format!("SIP/2.0 {wanted} ")), "{out}");
            assert!(sent.is_empty() && heard.relay.is_empty());
        }
    }

    #[test]
    fn half_of_the_transactions_are_left_for_what_is_relayed() {
        let mut heard = Heard::new(4);
        for number in 0..2 {
            assert_eq!(heard.hear(&request("MESSAGE", number)).2.len(), 1);
        }
        for number in 2..5 {
            let (_, out, sent) = heard.hear(&request("MESSAGE", number));
            assert!(out.starts_with("SIP/2.0 480 ") && sent.is_empty());
        }
        assert_eq!(heard.relay.servers.len(), 2);
    }
}
