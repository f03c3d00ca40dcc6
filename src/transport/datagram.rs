//! SIP over UDP: datagrams in, messages through the proxy core, answers out (RFC 3261 §18, RFC 3581).
//!
//! Anybody can write any address on a datagram, so nothing is remembered of one before its request is admitted, and what is
//! no request is not answered. A response that cannot be sent is lost as if on the way: the request comes again, and so does
//! its response.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{debug, error, trace, warn};

use super::exchange::answer_to;
use super::origin::{Datagram, Origin};
use super::stun::is_stun;
use super::tags::Tag;
use super::worker::{SCRATCH, Unanswered, Worker};
use crate::proxy::{self, Answers};
use crate::sip::{Address, Fault, HeaderName, Message, Payload, StartLine, Via, read_datagram};

/// Datagrams read from one socket before others have their turn.
const DATAGRAMS_A_TURN: usize = 64;
/// Port of a sent-by that names none (RFC 3261 §18.2.2).
const DEFAULT_PORT: u16 = 5060;

/// Requests of datagrams that wait for the lookup pool: while one does, the same again is a retransmission. Bounded, so that
/// whoever writes strange addresses on datagrams does not fill the pool.
#[derive(Debug)]
pub(super) struct Asked {
    questions: HashSet<u64>,
    most: usize,
}

impl Asked {
    pub(super) fn new(most: usize) -> Self {
        Self {
            questions: HashSet::new(),
            most: most.max(1),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.questions.len() < self.most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    pub(super) fn add(&mut self, question: u64) {
        self.questions.insert(question);
    }
}

impl Worker {
    /// Reads what has come to the UDP sockets of this worker, until there is nothing more or others have their turn.
    pub(super) fn read_datagrams(&mut self) {
        for at in 0..self.sockets.len() {
            let mut scratch = std::mem::take(&mut self.scratch);
            for _ in 0..DATAGRAMS_A_TURN {
                let Some((length, listener, source)) = self.sockets.receive(at, &mut scratch)
                else {
                    break;
                };
                let octets = scratch.get(..length).unwrap_or_default();
                self.shared.counters.datagrams.add(1);
                let step = || self.take_datagram(octets, listener, source);
                // A panic ends what this datagram asked for, and nothing else.
                if catch_unwind(AssertUnwindSafe(step)).is_err() {
                    error!("worker.panicked conn=udp peer={source} the datagram is given up");
                }
            }
            scratch.resize(SCRATCH, 0);
            self.scratch = scratch;
        }
    }

    /// Handles one datagram.
    fn take_datagram(&mut self, octets: &[u8], listener: u16, source: SocketAddr) {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let limits = self.shared.options.limits;
        let mut answers_to = source;
        if !is_stun(octets, source, &mut out) {
            match read_datagram(octets, &limits) {
                Payload::Ping => out.extend_from_slice(b"\r\n"),
                Payload::Nothing => {}
                Payload::Garbage => self.drop_garbage(octets, source),
                Payload::Unusable { message, fault } => {
                    let datagram = self.datagram(&message, listener, source);
                    answers_to = datagram.answers_to;
                    self.refuse_datagram(&datagram, &message, fault, &mut out);
                }
                Payload::Message(message) => {
                    let datagram = self.datagram(&message, listener, source);
                    answers_to = datagram.answers_to;
                    if !self.is_known(&datagram, &message) {
                        let mut origin = Origin::Datagram(&datagram);
                        self.message(&mut origin, &message, None, &mut out);
                    }
                }
            }
        }
        self.send_datagram(listener, answers_to, &out);
        out.clear();
        self.out = out;
    }

    /// What there is to know of a datagram with this message.
    fn datagram(&mut self, message: &Message<'_>, listener: u16, source: SocketAddr) -> Datagram {
        let via = message.top_via();
        let (method, answers_to) = match message.start_line() {
            StartLine::Request { method, .. } => (method, answers_to(via, source)),
            _ => (&b""[..], source),
        };
        let cseq = message.first(HeaderName::CSeq).unwrap_or_default();
        let number = cseq.split(u8::is_ascii_whitespace).next();
        let call_id = message.first(HeaderName::CallId);
        let mark = self.tags.mark((answers_to, listener, via, call_id, number));
        Datagram {
            listener,
            local: self
                .sockets
                .local(listener, source, self.now)
                .unwrap_or(source.ip()),
            source,
            answers_to,
            mark,
            question: self.tags.mark((mark, method)),
        }
    }

    /// Whether this message has been seen: a request whose questions are being answered, or the ACK of an answer that nobody
    /// remembers.
    fn is_known(&self, datagram: &Datagram, message: &Message<'_>) -> bool {
        if self.asked.questions.contains(&datagram.question) {
            return true;
        }
        let StartLine::Request { method: b"ACK", .. } = message.start_line() else {
            return false;
        };
        let to = message.first(HeaderName::To).and_then(Address::parse);
        let tag = to.and_then(|to| to.parameters.value("tag"));
        tag == Some(Tag::of(datagram.mark).as_bytes())
    }

    /// A message that nothing can be made of: said so where that is possible.
    fn refuse_datagram(
        &mut self,
        datagram: &Datagram,
        message: &Message<'_>,
        fault: Fault,
        out: &mut Vec<u8>,
    ) {
        self.shared.counters.malformed.add(1);
        if self.may_log("sip.malformed", datagram.source) {
            let answer = answer_to(Some(message), fault);
            warn!(
                "sip.malformed conn=udp peer={} answer={answer} fault={:?}",
                datagram.source, fault.phrase
            );
        }
        let origin = Origin::Datagram(datagram);
        let tag = Tag::of(datagram.mark);
        proxy::answer_fault(message, fault, &self.context(&origin, &tag), out);
    }

    fn drop_garbage(&self, octets: &[u8], source: SocketAddr) {
        self.shared.counters.datagrams_dropped.add(1);
        if self.may_log("udp.dropped", source) {
            debug!(
                "udp.dropped peer={source} octets={} reason=\"no SIP\"",
                octets.len()
            );
        }
    }

    /// Goes on with a request whose questions have been answered.
    pub(super) fn resume_datagram(
        &mut self,
        datagram: &Datagram,
        message: &Message<'_>,
        answers: Result<Answers, Unanswered>,
    ) {
        self.asked.questions.remove(&datagram.question);
        let mut out = Vec::new();
        let step = || {
            let mut origin = Origin::Datagram(datagram);
            self.resume(&mut origin, message, answers, &mut out);
        };
        if catch_unwind(AssertUnwindSafe(step)).is_err() {
            let source = datagram.source;
            error!("worker.panicked conn=udp peer={source} the request is given up");
        }
        self.send_datagram(datagram.listener, datagram.answers_to, &out);
    }

    /// Sends a datagram, if there is anything to say. False if the system does not take it and would not take it again: what
    /// there is only no room for now is lost as if on the way.
    pub(super) fn send_datagram(&self, listener: u16, peer: SocketAddr, octets: &[u8]) -> bool {
        if octets.is_empty() {
            return true;
        }
        let Err(error) = self.sockets.send(listener, peer, octets) else {
            trace!("udp.sent peer={peer} octets={}", octets.len());
            return true;
        };
        self.shared.counters.datagrams_unsent.add(1);
        if self.may_log("udp.unsent", peer) {
            debug!(
                "udp.unsent peer={peer} octets={} error={error:?}",
                octets.len()
            );
        }
        let no_room = error.raw_os_error() == Some(libc::ENOBUFS);
        no_room || error.kind() == std::io::ErrorKind::WouldBlock
    }
}

/// Where answers to a request go: to the address that it came from, and the port if its Via asks for that (RFC 3581 §4), else
/// the one that the Via names (RFC 3261 §18.2.2).
///
/// Deviation: `maddr` is passed over. It would let anybody have us send to whom he likes, and groups of receivers are for
/// multicast, which is not spoken here.
fn answers_to(via: Option<&[u8]>, source: SocketAddr) -> SocketAddr {
    let mut answers_to = source;
    let port = via.and_then(Via::parse).and_then(|via| {
        let mut names = via.parameters.iter().map(|(name, _)| name);
        let symmetric = names.any(|name| name.eq_ignore_ascii_case(b"rport"));
        (!symmetric).then(|| via.port.unwrap_or(DEFAULT_PORT))
    });
    if let Some(port) = port.filter(|port| *port != 0) {
        answers_to.set_port(port);
    }
    answers_to
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn answers_go_to_where_the_request_came_from_and_its_via_asks_for() {
        for (situation, via, wanted) in [
            (
                "rport",
                "SIP/2.0/UDP 10.0.0.1:5062;rport;branch=x",
                "192.0.2.7:40000",
            ),
            (
                "RPORT",
                "SIP/2.0/UDP 10.0.0.1;branch=x;RPORT",
                "192.0.2.7:40000",
            ),
            (
                "no rport",
                "SIP/2.0/UDP 10.0.0.1:5062;branch=x",
                "192.0.2.7:5062",
            ),
            (
                "no port either",
                "SIP/2.0/UDP 10.0.0.1;branch=x",
                "192.0.2.7:5060",
            ),
            (
                "no such port",
                "SIP/2.0/UDP 10.0.0.1:0;branch=x",
                "192.0.2.7:40000",
            ),
            (
                "a group",
                "SIP/2.0/UDP h;maddr=224.0.1.75;rport",
                "192.0.2.7:40000",
            ),
            (
                "somebody else",
                "SIP/2.0/UDP h:9;received=203.0.113.66",
                "192.0.2.7:9",
            ),
            ("nothing that can be read", "x", "192.0.2.7:40000"),
        ] {
            let source = "192.0.2.7:40000".parse().unwrap();
            let found = answers_to(Some(via.as_bytes()), source);
            assert_eq!(found, wanted.parse().unwrap(), "{situation}");
        }
    }
}
