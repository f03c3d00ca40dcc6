//! REGISTER in, response and changes out: RFC 3261 §10.3 steps 2, 5 and 8.

use std::io::Write as _;
use std::time::Instant;

use super::binding::Aor;
use super::location::Location;
use super::options::RegistrarOptions;
use super::way::{Arrival, Way};
use super::wish::Wish;
use crate::auth::Admitted;
use crate::sip::{HeaderName, Request, StatusCode, Uri, list_elements, unsupported};

/// Seconds after which a phone that found the location service full may come again.
const RETRY_AFTER_FULL: u32 = 60;

/// What a REGISTER did to the bindings of its address-of-record, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Contacts that were new.
    pub added: usize,
    /// Contacts that were there and got a new interval.
    pub refreshed: usize,
    /// Contacts that were removed.
    pub removed: usize,
}

/// The answer to a REGISTER.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Status code.
    pub status: StatusCode,
    /// Reason phrase: one of our own texts, never the peer's.
    pub phrase: &'static str,
    /// Header lines of the response, each ended by CRLF: Contact, Min-Expires, Unsupported, Retry-After.
    pub headers: Vec<u8>,
    /// What was changed; nothing unless the status is 200.
    pub changes: Changes,
    /// Set when a binding is now tied to this flow that was not before: the connection must remember it, for
    /// [`Location::flow_closed`]. `None` for refreshes over the same flow.
    pub registered: Option<Aor>,
    /// URIs of the contacts that are tied to this flow now and were not before, if they were to be named: the new ones,
    /// and those that have come over from another connection or a restart. With a [`Outcome::path`], of those that it leads
    /// to and did not before.
    pub reached: Box<[Box<[u8]>]>,
    /// The values of the Path that leads to them, if they were to be named; empty where it is the flow.
    pub path: Box<[String]>,
}

impl Outcome {
    pub(super) fn refused(status: StatusCode, phrase: &'static str) -> Self {
        Self {
            status,
            phrase,
            headers: Vec::new(),
            changes: Changes::default(),
            registered: None,
            reached: Box::default(),
            path: Box::default(),
        }
    }

    pub(super) fn bad_request(phrase: &'static str) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, phrase)
    }

    pub(super) fn with_header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        // Writing to a Vec cannot fail.
        let _ = write!(self.headers, "{name}: {value}\r\n");
        self
    }
}

/// Registers, removes or lists the contacts of the address-of-record in To.
///
/// Its method must be REGISTER and its Request-URI name a domain of ours; that it was admitted, for that
/// address-of-record too, is what [`Admitted`] says. `arrival` is how it came; `name_reached` asks for [`Outcome::reached`]. The request is done whole or not at all.
///
/// Refuses with 400 (To, To tag, Contact, Path), 403 (more contacts than `max_contacts`, a Path of somebody who may not add
/// one), 420, 423, 439 (RFC 5626 §6), 500 (not newer than what it would change, §10.3 step 7) and 503 (more
/// addresses-of-record than `max_total`).
pub fn register(
    admitted: &Admitted<'_>,
    location: &Location,
    options: &RegistrarOptions,
    arrival: Arrival,
    name_reached: bool,
    now: Instant,
) -> Outcome {
    process(
        admitted.request(),
        location,
        options,
        arrival,
        name_reached,
        now,
    )
    .unwrap_or_else(|refusal| refusal)
}

fn process(
    request: &Request<'_>,
    location: &Location,
    options: &RegistrarOptions,
    arrival: Arrival,
    name_reached: bool,
    now: Instant,
) -> Result<Outcome, Outcome> {
    check_require(request, options)?;
    let Uri::Sip(to) = &request.to.uri else {
        // repro repeats the scheme here; a phrase of ours never has the peer's text.
        return Err(Outcome::bad_request("Bad/unsupported scheme in To"));
    };
    if request.has_to_tag() && !options.allow_to_tag {
        return Err(Outcome::bad_request(
            "Registration requests can't have To: tags.",
        ));
    }
    let way = Way::of(request, &options.outbound, arrival)?;
    let wish = Wish::read(request, options, &way)?;
    let by_flow = wish.is_by_flow();
    let aor = Aor::of(to);
    let changed = location.change(&aor, options.max_total.get(), now, |bindings| {
        let applied = wish.apply(request, options, bindings, name_reached, now)?;
        let mut headers = Vec::with_capacity(bindings.len() * 128);
        for binding in bindings.iter() {
            binding.write_contact(now, &mut headers);
        }
        Ok((applied, headers))
    });
    let Ok((result, key)) = changed else {
        return Err(
            Outcome::refused(StatusCode::SERVICE_UNAVAILABLE, "Location Service Full")
                .with_header("Retry-After", RETRY_AFTER_FULL),
        );
    };
    let (applied, mut headers) = result?;
    write_way(&way, by_flow, options, &mut headers);
    if applied.changes != Changes::default() {
        location.mark_changed(&aor);
    }
    let path = match applied.reached.is_empty() {
        true => Box::default(),
        false => list_elements(&way.path)
            .filter_map(|element| String::from_utf8(element.to_vec()).ok())
            .filter(|element| !element.is_empty())
            .collect(),
    };
    Ok(Outcome {
        path,
        status: StatusCode::OK,
        phrase: StatusCode::OK.phrase(),
        headers,
        changes: applied.changes,
        registered: key.filter(|_| applied.tied),
        reached: applied.reached.into_boxed_slice(),
    })
}

/// What a 200 says of the way to the contacts: the Path that is kept (RFC 3327 §5.3), and to a device that asks for it, that
/// its flow is (RFC 5626 §6).
fn write_way(way: &Way, by_flow: bool, options: &RegistrarOptions, out: &mut Vec<u8>) {
    if !way.path.is_empty() {
        for part in [b"Path: ", &way.path[..], b"\r\nSupported: path\r\n"] {
            out.extend_from_slice(part);
        }
    }
    if !(by_flow && way.wants_outbound) {
        return;
    }
    out.extend_from_slice(b"Require: outbound\r\n");
    let timer = options.outbound.flow_timer;
    if way.is_direct && timer > 0 {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "Flow-Timer: {timer}\r\n");
    }
}

/// RFC 3261 §8.2.2.3.
fn check_require(request: &Request<'_>, options: &RegistrarOptions) -> Result<(), Outcome> {
    let known: &[&str] = match options.outbound.enabled {
        true => &["path", "outbound"],
        false => &["path"],
    };
    let Some(line) = unsupported(request.message, HeaderName::Require, known) else {
        return Ok(());
    };
    let status = StatusCode::BAD_EXTENSION;
    let mut refusal = Outcome::refused(status, status.phrase());
    refusal.headers.extend_from_slice(&line);
    Err(refusal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use super::*;
    use crate::registrar::{Changed, FlowId, OutboundOptions, Reach};
    use crate::sip::{FromRule, Message};

    struct Registrar {
        location: Location,
        options: RegistrarOptions,
        start: Instant,
    }

    /// One REGISTER of a test: lines after the mandatory ones, Call-ID, CSeq, flow, seconds since the start.
    struct Sent<'a> {
        to: &'a str,
        lines: &'a str,
        call_id: &'a str,
        cseq: u32,
        flow: Option<u64>,
        at: u32,
    }

    const USUAL: Sent<'static> = Sent {
        to: "<sip:a@example.org>",
        lines: "",
        call_id: "call",
        cseq: 1,
        flow: None,
        at: 0,
    };

    impl Registrar {
        fn new() -> Self {
            let clock = Instant::now;
            Self {
                location: Location::new(),
                options: RegistrarOptions {
                    enabled: true,
                    allow_to_tag: false,
                    min_expires: 60,
                    max_expires: 7200,
                    default_expires: 3600,
                    max_contacts: NonZeroUsize::new(3).unwrap(),
                    max_total: NonZeroUsize::new(2).unwrap(),
                    outbound: OutboundOptions::default(),
                },
                start: clock(),
            }
        }

        fn at(&self, seconds: u32) -> Instant {
            self.start + Duration::from_secs(seconds.into())
        }

        fn send(&self, sent: Sent<'_>) -> Outcome {
            let text = format!(
                "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS h.example;branch=z9hG4bK1\r\n\
                 From: <sip:a@example.org>;tag=1\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} REGISTER\r\n{}\r\n",
                sent.to, sent.call_id, sent.cseq, sent.lines
            );
            self.send_text(text.as_bytes(), sent.flow, sent.at)
        }

        fn send_text(&self, text: &[u8], flow: Option<u64>, at: u32) -> Outcome {
            let message = Message::parse(text, text.len(), 64);
            let request = Request::read(&message, FromRule::Single).unwrap();
            let arrival = Arrival {
                flow: flow.map(FlowId::Connection),
                may_add_path: true,
            };
            let now = self.at(at);
            process(&request, &self.location, &self.options, arrival, true, now)
                .unwrap_or_else(|refusal| refusal)
        }

        /// Sends lines with the given CSeq at second 0.
        fn lines(&self, cseq: u32, lines: &str) -> Outcome {
            self.send(Sent {
                lines,
                cseq,
                ..USUAL
            })
        }

        fn contacts(&self, at: u32) -> Vec<String> {
            let found = self.location.lookup("a@example.org", self.at(at));
            found
                .iter()
                .map(|b| String::from_utf8_lossy(b.uri_text()).into_owned())
                .collect()
        }
    }

    fn headers(outcome: &Outcome) -> &str {
        std::str::from_utf8(&outcome.headers).unwrap()
    }

    fn answer(outcome: &Outcome) -> (u16, &'static str) {
        (outcome.status.as_u16(), outcome.phrase)
    }

    #[test]
    fn a_first_registration_is_answered_with_its_binding() {
        let registrar = Registrar::new();
        let outcome = registrar.lines(1, "Contact: <sip:a@192.0.2.1>\r\n");
        assert_eq!(answer(&outcome), (200, "OK"));
        assert_eq!(
            headers(&outcome),
            "Contact: <sip:a@192.0.2.1>;expires=3600\r\n"
        );
        let expected = Changes {
            added: 1,
            ..Changes::default()
        };
        assert_eq!(outcome.changes, expected);
        assert_eq!(
            outcome.registered, None,
            "without a flow nothing is tied to one"
        );
    }

    #[test]
    fn intervals_come_from_contact_then_header_then_default() {
        for (situation, lines, granted) in [
            ("neither", "Contact: <sip:a@h>\r\n", 3600),
            ("header", "Contact: <sip:a@h>\r\nExpires: 600\r\n", 600),
            (
                "contact over header",
                "Contact: <sip:a@h>;expires=100\r\nExpires: 600\r\n",
                100,
            ),
            ("no angle brackets", "Contact: sip:a@h;expires=100\r\n", 100),
            (
                "within angle brackets it is the URI's",
                "Contact: <sip:a@h;expires=100>\r\n",
                3600,
            ),
            ("too long", "Contact: <sip:a@h>;expires=99999\r\n", 7200),
            (
                "2**32 is unreadable",
                "Contact: <sip:a@h>;expires=4294967296\r\n",
                3600,
            ),
            (
                "just below 2**32",
                "Contact: <sip:a@h>;expires=4294967295\r\n",
                7200,
            ),
            (
                "letters",
                "Contact: <sip:a@h>;expires=soon\r\nExpires: 600\r\n",
                3600,
            ),
            ("a sign", "Contact: <sip:a@h>\r\nExpires: +600\r\n", 3600),
            (
                "huge header",
                &format!("Contact: <sip:a@h>\r\nExpires: {}\r\n", "9".repeat(99)),
                3600,
            ),
            ("the least", "Contact: <sip:a@h>;expires=60\r\n", 60),
        ] {
            let outcome = Registrar::new().lines(1, lines);
            assert_eq!(answer(&outcome), (200, "OK"), "{situation}");
            let end = format!(";expires={granted}\r\n");
            assert!(
                headers(&outcome).ends_with(&end),
                "{situation}: {}",
                headers(&outcome)
            );
        }
    }

    #[test]
    fn an_interval_of_an_hour_is_never_too_brief() {
        let mut registrar = Registrar::new();
        registrar.options.min_expires = 7000;
        let outcome = registrar.lines(1, "Contact: <sip:a@h>;expires=3599\r\n");
        assert_eq!(answer(&outcome), (423, "Interval Too Brief"));
        assert_eq!(headers(&outcome), "Min-Expires: 7000\r\n");
        assert_eq!(
            registrar
                .lines(1, "Contact: <sip:a@h>;expires=3600\r\n")
                .status,
            StatusCode::OK
        );
        assert_eq!(
            registrar.lines(2, "Contact: <sip:b@h>\r\n").status,
            StatusCode::OK,
            "our default"
        );
    }

    #[test]
    fn bad_requests_change_nothing() {
        let to_a = USUAL.to;
        let crowd: String = (0..7)
            .map(|n| format!("Contact: <sip:a@h{n}>\r\n"))
            .collect();
        for (situation, to, lines, status, phrase) in [
            (
                "To tag",
                "<sip:a@example.org>;tag=2",
                "",
                400,
                "Registration requests can't have To: tags.",
            ),
            (
                "To is no SIP",
                "isbn:2983792873",
                "Contact: <name:x>\r\n",
                400,
                "Bad/unsupported scheme in To",
            ),
            (
                "no URI",
                to_a,
                "Contact: nonsense\r\n",
                400,
                "Malformed Contact",
            ),
            (
                "an empty Contact",
                to_a,
                "Contact:\r\n",
                400,
                "Malformed Contact",
            ),
            (
                "headers without brackets",
                to_a,
                "Contact: sip:a@h?Route=%3Csip:x%3E\r\n",
                400,
                "Malformed Contact",
            ),
            (
                "bad q",
                to_a,
                "Contact: <sip:b@h>;q=7\r\n",
                400,
                "Malformed Contact",
            ),
            (
                "good and bad",
                to_a,
                "Contact: <sip:b@h>, nonsense\r\n",
                400,
                "Malformed Contact",
            ),
            (
                "star alone",
                to_a,
                "Contact: *\r\n",
                400,
                "Invalid use of 'Contact: *'",
            ),
            (
                "star and time",
                to_a,
                "Contact: *\r\nExpires: 60\r\n",
                400,
                "Invalid use of 'Contact: *'",
            ),
            (
                "star, unreadable",
                to_a,
                "Contact: *\r\nExpires: x\r\n",
                400,
                "Invalid use of 'Contact: *'",
            ),
            (
                "star and contact",
                to_a,
                "Contact: *, <sip:b@h>\r\nExpires: 0\r\n",
                400,
                "Invalid use of 'Contact: *'",
            ),
            (
                "two stars",
                to_a,
                "Contact: *\r\nm: *\r\nExpires: 0\r\n",
                400,
                "Invalid use of 'Contact: *'",
            ),
            (
                "too brief",
                to_a,
                "Contact: <sip:b@h>;expires=59\r\n",
                423,
                "Interval Too Brief",
            ),
            (
                "one of two too brief",
                to_a,
                "Contact: <sip:b@h>, <sip:c@h>;expires=1\r\n",
                423,
                "Interval Too Brief",
            ),
            ("a crowd", to_a, &crowd, 403, "Too Many Contacts"),
            (
                "three more",
                to_a,
                "Contact: <sip:b@h>, <sip:c@h>, <sip:d@h>\r\n",
                403,
                "Too Many Contacts",
            ),
            (
                "one stale of two",
                to_a,
                "Contact: <sip:new@h>, <sip:a@h>\r\n",
                500,
                "REGISTER Out Of Order",
            ),
            (
                "a requirement",
                to_a,
                "Contact: <sip:b@h>\r\nRequire: gruu\r\n",
                420,
                "Bad Extension",
            ),
        ] {
            let registrar = Registrar::new();
            registrar.lines(5, "Contact: <sip:a@h>\r\n");
            let outcome = registrar.send(Sent {
                to,
                lines,
                cseq: 5,
                ..USUAL
            });
            assert_eq!(answer(&outcome), (status, phrase), "{situation}");
            assert_eq!(outcome.changes, Changes::default(), "{situation}");
            assert_eq!(registrar.contacts(0), ["sip:a@h"], "{situation}");
        }
    }

    #[test]
    fn required_extensions_are_listed_as_unsupported() {
        let registrar = Registrar::new();
        let outcome = registrar.lines(1, "Require: Outbound, foo, path\r\nRequire: <x>,gruu\r\n");
        assert_eq!(answer(&outcome), (420, "Bad Extension"));
        assert_eq!(headers(&outcome), "Unsupported: foo, gruu\r\n");
    }

    /// What a REGISTER of RFC 5626 has beside its contact.
    const OUTBOUND: &str = "Supported: path, outbound\r\n";

    fn by_flow(reg_id: u32, uri: &str) -> String {
        format!(
            "Contact: <{uri}>;+sip.instance=\"<urn:uuid:0C67446E-F1A1-11D9-94D3-000A95A0E128>\";reg-id={reg_id}\r\n{OUTBOUND}"
        )
    }

    /// `reg-id flow uri` of the bindings.
    fn flows(registrar: &Registrar) -> Vec<String> {
        let found = registrar
            .location
            .lookup("a@example.org", registrar.at(0))
            .into_iter();
        let shown = found.map(|b| {
            let flow = match b.flow() {
                Some(FlowId::Connection(number)) => number.to_string(),
                _ => "-".to_owned(),
            };
            let reg_id = b.reg_id().map_or("-".to_owned(), |id| id.to_string());
            format!("{reg_id} {flow} {}", String::from_utf8_lossy(b.uri_text()))
        });
        shown.collect()
    }

    #[test]
    fn a_device_has_one_binding_for_each_of_its_flows() {
        let registrar = Registrar::new();
        let send = |call_id: &str, cseq: u32, flow: u64, lines: &str| {
            registrar.send(Sent {
                call_id,
                cseq,
                lines,
                flow: Some(flow),
                ..USUAL
            })
        };
        let first = send("1", 1, 10, &by_flow(1, "sip:a@h"));
        assert_eq!(answer(&first), (200, "OK"));
        assert!(headers(&first).ends_with("Require: outbound\r\n"));
        assert!(first.registered.is_some());
        assert_eq!(send("2", 1, 20, &by_flow(2, "sip:a@h")).changes.added, 1);
        assert_eq!(flows(&registrar), ["1 10 sip:a@h", "2 20 sip:a@h"]);
        // It has opened another connection, has another address, and writes its instance in other letters.
        let again = by_flow(1, "sip:a@new").replace("urn:uuid:0C67446E", "URN:UUID:0c67446e");
        let again = send("3", 1, 30, &again);
        assert_eq!((again.changes.refreshed, again.reached.len()), (1, 1));
        assert_eq!(flows(&registrar), ["1 30 sip:a@new", "2 20 sip:a@h"]);
        // The old one breaks only now.
        let aor = first.registered.unwrap();
        assert_eq!(
            registrar
                .location
                .flow_closed(FlowId::Connection(10), [&aor]),
            0
        );
        // A contact that is known by its URI alone is none of these, nor is another device.
        send("4", 1, 40, "Contact: <sip:a@h>\r\n");
        assert_eq!(flows(&registrar).len(), 3);
        let other = by_flow(1, "sip:a@h").replace("0C67446E", "0C67446F");
        assert_eq!(
            answer(&send("5", 1, 50, &other)),
            (403, "Too Many Contacts")
        );
        assert_eq!(answer(&send("3", 1, 30, &by_flow(1, "sip:x@h"))).0, 500);
        let gone = by_flow(2, "sip:anywhere@h").replace(";reg-id", ";expires=0;reg-id");
        assert_eq!(send("2", 2, 20, &gone).changes.removed, 1);
        assert_eq!(flows(&registrar), ["1 30 sip:a@new", "- 40 sip:a@h"]);
    }

    #[test]
    fn flows_count_where_whoever_is_next_to_the_device_keeps_them() {
        const EDGE: &str = "Via: SIP/2.0/TLS phone;branch=z9hG4bK0\r\n\
            Path: <sip:inner.example;lr>\r\nPath: <sip:flow@edge.example;lr;ob>\r\n";
        let with = |lines: &str| format!("{}{lines}", by_flow(1, "sip:a@h"));
        let no_ob = EDGE.replace(";ob", "");
        let assume = |o: &mut RegistrarOptions| o.outbound.assume_edge = true;
        let disabled = |o: &mut RegistrarOptions| o.outbound.enabled = false;
        let timer = |o: &mut RegistrarOptions| o.outbound.flow_timer = 120;
        let usual = |_: &mut RegistrarOptions| ();
        type Set<'s> = &'s dyn Fn(&mut RegistrarOptions);
        for (situation, set, lines, status, kept, told) in [
            (
                "straight",
                &usual as Set<'_>,
                with(""),
                200,
                "1 7",
                "Require: outbound",
            ),
            (
                "with a timer",
                &timer,
                with(""),
                200,
                "1 7",
                "Require: outbound|Flow-Timer: 120",
            ),
            (
                "who does not ask is not told, and kept all the same",
                &timer,
                with("").replace(OUTBOUND, ""),
                200,
                "1 7",
                "",
            ),
            (
                "through an edge proxy",
                &timer,
                with(EDGE),
                200,
                "1 -",
                "Path: <sip:inner.example;lr>,<sip:flow@edge.example;lr;ob>|Supported: path|Require: outbound",
            ),
            (
                "through one that keeps no flows",
                &usual,
                with(&no_ob),
                439,
                "",
                "",
            ),
            (
                "through one that is believed to",
                &assume,
                with(&no_ob),
                200,
                "1 -",
                "Path: <sip:inner.example;lr>,<sip:flow@edge.example;lr>|Supported: path|Require: outbound",
            ),
            (
                "through one that keeps none, and none is asked for",
                &usual,
                with(&no_ob).replace(", outbound", ""),
                200,
                "- -",
                "Path: <sip:inner.example;lr>,<sip:flow@edge.example;lr>|Supported: path",
            ),
            (
                "through a proxy without a Path",
                &assume,
                with("Via: SIP/2.0/TLS phone;branch=z9hG4bK0\r\n"),
                439,
                "",
                "",
            ),
            (
                "the edge proxy is not next to it",
                &usual,
                with(
                    &EDGE
                        .replace(";ob", "")
                        .replace("inner.example;lr", "inner.example;lr;ob"),
                ),
                439,
                "",
                "",
            ),
            (
                "disabled",
                &disabled,
                with(EDGE),
                200,
                "- -",
                "Path: <sip:inner.example;lr>,<sip:flow@edge.example;lr;ob>|Supported: path",
            ),
            ("disabled and straight", &disabled, with(""), 200, "- 7", ""),
            (
                "without an instance it means nothing",
                &usual,
                format!("Contact: <sip:a@h>;reg-id=1\r\n{OUTBOUND}"),
                200,
                "- 7",
                "",
            ),
            (
                "an instance alone is a contact",
                &usual,
                format!("Contact: <sip:a@h>;+sip.instance=\"<urn:x>\"\r\n{OUTBOUND}"),
                200,
                "- 7",
                "",
            ),
            (
                "0",
                &usual,
                with("").replace("reg-id=1", "reg-id=0"),
                400,
                "",
                "",
            ),
            (
                "no number",
                &usual,
                with("").replace("reg-id=1", "reg-id=+1"),
                400,
                "",
                "",
            ),
            (
                "no value",
                &usual,
                with("").replace("reg-id=1", "reg-id"),
                400,
                "",
                "",
            ),
            (
                "twice",
                &usual,
                with("").replace("reg-id=1", "reg-id=1;reg-id=2"),
                400,
                "",
                "",
            ),
            (
                "twice the same, in another letter case",
                &usual,
                with("").replace("reg-id=1", "Reg-ID=1;reg-id=1"),
                400,
                "",
                "",
            ),
            (
                "2**31",
                &usual,
                with("").replace("reg-id=1", "reg-id=2147483648"),
                400,
                "",
                "",
            ),
            (
                "with another contact",
                &usual,
                with("Contact: <sip:b@h>\r\n"),
                400,
                "",
                "",
            ),
            (
                "with another that goes",
                &usual,
                with("Contact: <sip:b@h>;expires=0\r\n"),
                200,
                "1 7",
                "Require: outbound",
            ),
            (
                "a Path that the device does not know of",
                &usual,
                with(EDGE).replace("path, ", ""),
                420,
                "",
                "Unsupported: path",
            ),
            (
                "a Path that is none",
                &usual,
                with("Path: here\r\n"),
                400,
                "",
                "",
            ),
            (
                "a Path with headers",
                &usual,
                with("Path: <sip:h?Route=x>\r\n"),
                400,
                "",
                "",
            ),
            (
                "an empty Path",
                &usual,
                with("Path: \r\n"),
                200,
                "1 7",
                "Require: outbound",
            ),
            (
                "a Path without end",
                &usual,
                with(&format!("Path: <sip:{};lr>\r\n", "h".repeat(4_200))),
                400,
                "",
                "",
            ),
        ] {
            let mut registrar = Registrar::new();
            set(&mut registrar.options);
            let outcome = registrar.send(Sent {
                lines: &lines,
                flow: Some(7),
                ..USUAL
            });
            assert_eq!(outcome.status.as_u16(), status, "{situation}");
            let kept_now = flows(&registrar).join(" ").replace(" sip:a@h", "");
            assert_eq!(kept_now, kept, "{situation}");
            let lines = headers(&outcome).lines();
            let told_now: Vec<_> = lines.filter(|line| !line.starts_with("Contact")).collect();
            assert_eq!(told_now.join("|"), told, "{situation}");
        }
    }

    #[test]
    fn a_path_of_somebody_who_may_not_add_one_is_refused() {
        let registrar = Registrar::new();
        let text = "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS h.example;branch=z9hG4bK1\r\n\
            From: <sip:a@example.org>;tag=1\r\nTo: <sip:a@example.org>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\
            Contact: <sip:a@h>\r\nSupported: path\r\nPath: <sip:h;lr>\r\n\r\n";
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        let arrival = Arrival {
            flow: Some(FlowId::Connection(1)),
            may_add_path: false,
        };
        let (location, options) = (&registrar.location, &registrar.options);
        let refused = process(&request, location, options, arrival, false, registrar.at(0));
        assert_eq!(
            answer(&refused.unwrap_err()),
            (403, "Path Not Accepted From Here")
        );
        assert!(location.is_empty());
    }

    #[test]
    fn a_binding_that_cannot_be_reached_goes_and_no_other() {
        let registrar = Registrar::new();
        let edge = |call_id: &str, token: &str, reg_id| {
            let lines = format!(
                "{}Via: SIP/2.0/TLS phone;branch=z9hG4bK0\r\nPath: <sip:{token}@edge;lr;ob>\r\n",
                by_flow(reg_id, "sip:a@h")
            );
            let (flow, lines) = (Some(1), &*lines);
            registrar.send(Sent {
                call_id,
                flow,
                lines,
                ..USUAL
            });
        };
        edge("1", "one", 1);
        edge("2", "two", 2);
        let aor = Aor::parse("a@example.org").unwrap();
        let reach = |token: &str| Reach::Path {
            contact: "sip:a@h".to_owned(),
            path: vec![format!("<sip:{token}@edge;lr;ob>")],
        };
        let gone = |reach: &Reach| registrar.location.unreachable(&aor, reach);
        assert_eq!(
            gone(&Reach::Flow(FlowId::Connection(1))),
            0,
            "the edge proxy's own"
        );
        assert_eq!(gone(&reach("old")), 0);
        assert_eq!(gone(&reach("one")), 1);
        assert_eq!(flows(&registrar), ["2 - sip:a@h"]);
    }

    #[test]
    fn a_to_tag_passes_where_it_is_allowed() {
        let mut registrar = Registrar::new();
        registrar.options.allow_to_tag = true;
        let to = "<sip:a@example.org>;tag=2";
        let outcome = registrar.send(Sent {
            to,
            lines: "Contact: <sip:a@h>\r\n",
            ..USUAL
        });
        assert_eq!(outcome.status, StatusCode::OK);
    }

    #[test]
    fn a_query_lists_live_bindings_with_what_is_left() {
        let registrar = Registrar::new();
        registrar.lines(
            1,
            "Contact: <sip:a@h1>;expires=100;q=0.7, <sip:a@h2>;expires=200;foo=\"b;c\"\r\n",
        );
        let query = |at| {
            registrar.send(Sent {
                at,
                cseq: 2,
                ..USUAL
            })
        };
        assert_eq!(
            headers(&query(40)),
            "Contact: <sip:a@h1>;q=0.7;expires=60\r\nContact: <sip:a@h2>;foo=\"b;c\";expires=160\r\n"
        );
        assert_eq!(
            headers(&query(100)),
            "Contact: <sip:a@h2>;foo=\"b;c\";expires=100\r\n"
        );
        let none = query(200);
        assert_eq!((none.status, headers(&none)), (StatusCode::OK, ""));
        assert!(
            registrar.location.is_empty(),
            "what a query finds expired is gone"
        );
    }

    #[test]
    fn call_id_and_cseq_decide_which_request_is_newer() {
        for (situation, lines, call_id, cseq, status, contacts) in [
            (
                "higher refreshes",
                "Contact: <sip:a@h>\r\n",
                "call",
                6,
                200,
                &["sip:a@h"][..],
            ),
            (
                "equal fails",
                "Contact: <sip:a@h>\r\n",
                "call",
                5,
                500,
                &["sip:a@h"],
            ),
            (
                "lower fails",
                "Contact: <sip:a@h>\r\n",
                "call",
                4,
                500,
                &["sip:a@h"],
            ),
            (
                "lower removal fails",
                "Contact: <sip:a@h>;expires=0\r\n",
                "call",
                4,
                500,
                &["sip:a@h"],
            ),
            (
                "another Call-ID refreshes",
                "Contact: <sip:a@h>\r\n",
                "new",
                1,
                200,
                &["sip:a@h"],
            ),
            (
                "another Call-ID removes",
                "Contact: <sip:a@h>;expires=0\r\n",
                "new",
                1,
                200,
                &[],
            ),
            (
                "lower for another contact",
                "Contact: <sip:b@h>\r\n",
                "call",
                4,
                200,
                &["sip:a@h", "sip:b@h"],
            ),
            (
                "star, higher",
                "Contact: *\r\nExpires: 0\r\n",
                "call",
                6,
                200,
                &[],
            ),
            (
                "star, equal",
                "Contact: *\r\nExpires: 0\r\n",
                "call",
                5,
                500,
                &["sip:a@h"],
            ),
            (
                "star, another Call-ID",
                "Contact: *\r\nExpires: 0\r\n",
                "new",
                1,
                200,
                &[],
            ),
        ] {
            let registrar = Registrar::new();
            registrar.lines(5, "Contact: <sip:a@h>\r\n");
            let outcome = registrar.send(Sent {
                lines,
                call_id,
                cseq,
                ..USUAL
            });
            assert_eq!(outcome.status.as_u16(), status, "{situation}");
            assert_eq!(registrar.contacts(0), contacts, "{situation}");
        }
    }

    #[test]
    fn a_star_spares_all_when_it_is_stale_for_one() {
        let registrar = Registrar::new();
        registrar.send(Sent {
            lines: "Contact: <sip:old@h>\r\n",
            call_id: "old",
            ..USUAL
        });
        registrar.lines(5, "Contact: <sip:a@h>\r\n");
        let outcome = registrar.lines(5, "Contact: *\r\nExpires: 0\r\n");
        assert_eq!(answer(&outcome), (500, "REGISTER Out Of Order"));
        assert_eq!(registrar.contacts(0).len(), 2);
        assert_eq!(
            registrar
                .lines(6, "Contact: *\r\nExpires: 0\r\n")
                .changes
                .removed,
            2
        );
        assert!(registrar.location.is_empty());
    }

    #[test]
    fn contacts_are_replaced_in_one_request_even_when_full() {
        let registrar = Registrar::new();
        registrar.lines(1, "Contact: <sip:a@h1>, <sip:a@h2>, <sip:a@h3>\r\n");
        assert_eq!(
            registrar.lines(2, "Contact: <sip:a@h4>\r\n").status,
            StatusCode::FORBIDDEN
        );
        let outcome = registrar.lines(
            2,
            "Contact: <sip:a@h1>;expires=0, <sip:a@h3>;expires=0, <sip:a@h2>, <sip:a@h4>, <sip:a@h9>;expires=0\r\n",
        );
        assert_eq!(
            outcome.changes,
            Changes {
                added: 1,
                refreshed: 1,
                removed: 2
            }
        );
        assert_eq!(registrar.contacts(0), ["sip:a@h2", "sip:a@h4"]);
    }

    #[test]
    fn a_contact_named_twice_counts_as_last_named() {
        let registrar = Registrar::new();
        let outcome = registrar.lines(1, "Contact: <sip:a@H>;expires=0, <sip:a@h>;q=0.1\r\n");
        assert_eq!(
            headers(&outcome),
            "Contact: <sip:a@h>;q=0.1;expires=3600\r\n"
        );
        assert_eq!(outcome.changes.added, 1);
    }

    #[test]
    fn two_contacts_that_are_both_like_a_third_stay_two() {
        let registrar = Registrar::new();
        registrar.lines(1, "Contact: <sip:a@h>\r\n");
        let outcome = registrar.lines(2, "Contact: <sip:a@h;x=1>, <sip:a@h;x=2>\r\n");
        let expected = Changes {
            added: 1,
            refreshed: 1,
            removed: 0,
        };
        assert_eq!(outcome.changes, expected);
        assert_eq!(registrar.contacts(0), ["sip:a@h;x=1", "sip:a@h;x=2"]);
    }

    #[test]
    fn no_more_addresses_of_record_than_configured() {
        let registrar = Registrar::new();
        for (to, status) in [("a", 200), ("b", 200), ("c", 503), ("a", 200)] {
            let outcome = registrar.send(Sent {
                to: &format!("<sip:{to}@example.org>"),
                lines: "Contact: <sip:a@h>\r\n",
                call_id: &format!("{to}{}", registrar.location.len()),
                ..USUAL
            });
            assert_eq!(outcome.status.as_u16(), status, "{to}");
            if status == 503 {
                assert_eq!(headers(&outcome), "Retry-After: 60\r\n");
            }
        }
        let query = registrar.send(Sent {
            to: "<sip:d@example.org>",
            ..USUAL
        });
        assert_eq!(query.status, StatusCode::OK, "a query needs no room");
    }

    #[test]
    fn spellings_of_one_address_of_record_share_their_bindings() {
        let registrar = Registrar::new();
        for (cseq, to) in [
            "<sip:a@example.org>",
            "sips:%61@EXAMPLE.org.:5061;user=phone",
            "\"A\" <sip:a@example.org>",
        ]
        .into_iter()
        .enumerate()
        {
            let cseq = u32::try_from(cseq).unwrap();
            let outcome = registrar.send(Sent {
                to,
                cseq,
                lines: "Contact: <sip:a@h>\r\n",
                ..USUAL
            });
            assert_eq!(outcome.status, StatusCode::OK, "{to}");
        }
        assert_eq!(registrar.location.len(), 1);
    }

    #[test]
    fn a_connection_is_told_once_what_it_has_registered() {
        let registrar = Registrar::new();
        let send = |cseq, flow| {
            let lines = "Contact: <sip:a@h>\r\n";
            let outcome = registrar.send(Sent {
                lines,
                cseq,
                flow: Some(flow),
                ..USUAL
            });
            outcome.registered
        };
        let aor = send(1, 7).unwrap();
        assert_eq!(aor.as_str(), "a@example.org");
        assert_eq!(send(2, 7), None, "a refresh");
        assert_eq!(send(3, 8), Some(aor.clone()), "a new connection");
        assert_eq!(
            registrar
                .location
                .flow_closed(FlowId::Connection(7), [&aor]),
            0
        );
        assert_eq!(
            registrar
                .location
                .flow_closed(FlowId::Connection(8), [&aor]),
            1
        );
    }

    #[test]
    fn torture_registrations_get_the_answers_of_rfc_4475() {
        for (situation, to, lines, contacts) in [
            (
                "escnull: one and two NUL",
                "sip:null-%00-null@example.com",
                "Contact: <sip:%00@host5.example.com>\r\nContact: <sip:%00%00@host5.example.com>\r\n",
                "Contact: <sip:%00@host5.example.com>;expires=3600\r\n\
                 Contact: <sip:%00%00@host5.example.com>;expires=3600\r\n",
            ),
            (
                "cparam01: the header's parameter",
                "sip:watson@example.com",
                "Contact: sip:+19725552222@gw1.example.net;unknownparam\r\n",
                "Contact: <sip:+19725552222@gw1.example.net>;unknownparam;expires=3600\r\n",
            ),
            (
                "cparam02: the URI's parameter",
                "sip:watson@example.com",
                "Contact: <sip:+19725552222@gw1.example.net;unknownparam>\r\n",
                "Contact: <sip:+19725552222@gw1.example.net;unknownparam>;expires=3600\r\n",
            ),
            (
                "regescrt: an escaped Route",
                "sip:user@example.com",
                "M: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>\r\n",
                "Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600\r\n",
            ),
            (
                "a contact that is no SIP",
                "sip:user@example.com",
                "Contact: <mailto:watson@bell-telephone.com> ;q=0.1\r\n",
                "Contact: <mailto:watson@bell-telephone.com>;q=0.1;expires=3600\r\n",
            ),
        ] {
            let outcome = Registrar::new().send(Sent { to, lines, ..USUAL });
            assert_eq!(answer(&outcome), (200, "OK"), "{situation}");
            assert_eq!(headers(&outcome), contacts, "{situation}");
        }
    }

    /// Sends lines over a flow.
    fn over(registrar: &Registrar, call_id: &str, cseq: u32, flow: u64, lines: &str) -> Outcome {
        registrar.send(Sent {
            lines,
            call_id,
            cseq,
            flow: Some(flow),
            ..USUAL
        })
    }

    fn reached(outcome: &Outcome) -> Vec<&str> {
        let texts = outcome.reached.iter();
        texts.map(|t| std::str::from_utf8(t).unwrap()).collect()
    }

    #[test]
    fn contacts_that_a_connection_newly_leads_to_are_named() {
        let registrar = Registrar::new();
        let both = "Contact: <sip:a@h1>, <sip:a@h2>;q=0.5\r\n";
        let outcome = over(&registrar, "c", 1, 7, both);
        assert_eq!(reached(&outcome), ["sip:a@h1", "sip:a@h2"], "new");
        let outcome = over(&registrar, "c", 2, 7, both);
        assert_eq!(reached(&outcome), [""; 0], "a refresh is no news");
        let outcome = over(&registrar, "d", 1, 8, "Contact: <sip:a@h2>\r\n");
        assert_eq!(reached(&outcome), ["sip:a@h2"], "another connection");
        let outcome = over(&registrar, "e", 1, 8, "Contact: *\r\nExpires: 0\r\n");
        assert_eq!(reached(&outcome), [""; 0], "removed");
        let outcome = registrar.lines(9, "Contact: <sip:a@h1>\r\n");
        assert_eq!(reached(&outcome), [""; 0], "over no connection of ours");
    }

    /// The same registrar after a restart.
    fn restarted(registrar: &Registrar) -> Registrar {
        let after = Registrar::new();
        for (aor, saved) in registrar.location.dump(registrar.at(0)) {
            for saved in &saved {
                let (options, now) = (&after.options, after.at(0));
                let restored = after.location.restore(aor.as_str(), saved, options, now);
                assert_eq!(restored, Ok(()));
            }
        }
        after
    }

    #[test]
    fn who_comes_back_after_a_restart_takes_the_place_of_what_is_left_of_it() {
        const INSTANCE: &str = ";+sip.instance=\"<urn:uuid:1>\"";
        let usual = "<sip:a@192.0.2.7:40001;transport=tls>";
        let with = |contact: &str, more: &str| format!("{contact}{more}");
        for (situation, before, call_id, cseq, after, takes) in [
            (
                "another port",
                usual.to_owned(),
                "x",
                1,
                usual.replace("40001", "40002"),
                true,
            ),
            (
                "another port, the user in other letters",
                usual.to_owned(),
                "x",
                1,
                usual.replace("a@", "%61@").replace("40001", "40002"),
                true,
            ),
            (
                "another address, the same Call-ID",
                usual.to_owned(),
                "c",
                6,
                usual.replace(".7:", ".8:"),
                true,
            ),
            (
                "another address",
                usual.to_owned(),
                "x",
                1,
                usual.replace(".7:", ".8:"),
                false,
            ),
            (
                "another user",
                usual.to_owned(),
                "c",
                6,
                usual.replace("a@", "b@"),
                false,
            ),
            (
                "the same Call-ID, and older",
                usual.to_owned(),
                "c",
                5,
                usual.replace("40001", "40002"),
                false,
            ),
            (
                "its instance",
                with(usual, INSTANCE),
                "x",
                1,
                with("<sip:b@192.0.2.9>", &INSTANCE.replace("uuid", "UUID")),
                true,
            ),
            (
                "another instance at the same place",
                with(usual, INSTANCE),
                "c",
                6,
                with(
                    &usual.replace("40001", "40002"),
                    &INSTANCE.replace('1', "2"),
                ),
                false,
            ),
            (
                "an instance that the other did not say",
                usual.to_owned(),
                "c",
                6,
                with(&usual.replace("40001", "40002"), INSTANCE),
                false,
            ),
            (
                "another flow of the device",
                with(usual, &with(INSTANCE, ";reg-id=1")),
                "x",
                1,
                with(
                    &usual.replace("40001", "40002"),
                    &with(INSTANCE, ";reg-id=2"),
                ),
                false,
            ),
            (
                "removed",
                usual.to_owned(),
                "x",
                1,
                with(&usual.replace("40001", "40002"), ";expires=0"),
                false,
            ),
        ] {
            let registrar = Registrar::new();
            over(&registrar, "c", 5, 7, &format!("Contact: {before}\r\n"));
            let registrar = restarted(&registrar);
            let outcome = over(
                &registrar,
                call_id,
                cseq,
                9,
                &format!("Contact: {after}\r\n"),
            );
            assert_eq!(answer(&outcome), (200, "OK"), "{situation}");
            let expected = usize::from(takes);
            assert_eq!(outcome.changes.refreshed, expected, "{situation}");
            let left = registrar.location.lookup("a@example.org", registrar.at(0));
            let lost = left.iter().filter(|b| b.lost().is_some()).count();
            assert_eq!(lost, 1 - expected, "{situation}");
            if takes {
                assert_eq!((left.len(), outcome.reached.len()), (1, 1), "{situation}");
            }
        }
    }

    #[test]
    fn who_comes_back_takes_one_place_for_each_contact_and_none_of_who_is_there() {
        let registrar = Registrar::new();
        let lines = "Contact: <sip:a@h:1>, <sip:a@h:2>\r\n";
        over(&registrar, "c", 1, 7, lines);
        let registrar = restarted(&restarted(&registrar));
        // One of its contacts is the same: the other one takes what is left.
        over(
            &registrar,
            "c",
            2,
            8,
            "Contact: <sip:a@h:3>, <sip:a@h:1>\r\n",
        );
        assert_eq!(flows(&registrar), ["- 8 sip:a@h:1", "- 8 sip:a@h:3"]);
        over(&registrar, "c", 3, 9, "Contact: <sip:a@h:4>\r\n");
        assert_eq!(flows(&registrar).len(), 3);
        // Nor of whom is reached through a proxy.
        let registrar = Registrar::new();
        let path = "Supported: path\r\nPath: <sip:p;lr>\r\n";
        over(
            &registrar,
            "c",
            1,
            7,
            &format!("Contact: <sip:a@h:1>\r\n{path}"),
        );
        let registrar = restarted(&registrar);
        over(&registrar, "c", 2, 8, "Contact: <sip:a@h:2>\r\n");
        assert_eq!(flows(&registrar), ["- - sip:a@h:1", "- 8 sip:a@h:2"]);
    }

    #[test]
    fn a_binding_from_before_a_restart_is_listed_refreshed_and_ordered_like_others() {
        let registrar = Registrar::new();
        over(&registrar, "c", 5, 7, "Contact: <sip:a@h>;x=y;q=0.5\r\n");
        let restarted = Registrar::new();
        for (aor, saved) in registrar.location.dump(registrar.at(10)) {
            for saved in &saved {
                let options = &restarted.options;
                let restored =
                    restarted
                        .location
                        .restore(aor.as_str(), saved, options, restarted.at(0));
                assert_eq!(restored, Ok(()));
            }
        }
        assert_eq!(
            headers(&restarted.lines(1, "")),
            "Contact: <sip:a@h>;x=y;q=0.5;expires=3590\r\n"
        );
        let stale = over(&restarted, "c", 5, 1, "Contact: <sip:a@h>\r\n");
        assert_eq!(answer(&stale), (500, "REGISTER Out Of Order"));
        let fresh = over(&restarted, "rebooted", 1, 1, "Contact: <sip:a@h>\r\n");
        assert_eq!(fresh.changes.refreshed, 1);
        assert_eq!(reached(&fresh), ["sip:a@h"], "it can be reached again");
        assert!(fresh.registered.is_some());
    }

    #[test]
    fn every_change_is_remembered_and_nothing_else_is() {
        let registrar = Registrar::new();
        let location = &registrar.location;
        let changed = || match location.take_changed() {
            Changed::These(aors) => aors.len(),
            Changed::Everything => usize::MAX,
        };
        let contact = "Contact: <sip:a@h>\r\n";
        over(&registrar, "c", 1, 7, contact);
        assert_eq!(changed(), 0, "nobody wanted to know");
        location.track_changes(9);
        let refresh = over(&registrar, "c", 2, 7, contact);
        assert_eq!((refresh.changes.refreshed, changed()), (1, 1), "a refresh");
        over(&registrar, "c", 3, 7, "");
        assert_eq!(changed(), 0, "a list");
        over(&registrar, "c", 2, 7, contact);
        assert_eq!(changed(), 0, "a refusal");
        over(&registrar, "c", 4, 7, "Contact: <sip:a@h>;expires=0\r\n");
        assert_eq!(changed(), 1, "a removal");
        over(&registrar, "c", 5, 7, contact);
        let aor = Aor::parse("a@example.org").unwrap();
        assert_eq!(location.flow_closed(FlowId::Connection(7), [&aor]), 1);
        assert_eq!(changed(), 1, "new, and gone with its connection");
        assert_eq!(location.flow_closed(FlowId::Connection(7), [&aor]), 0);
        assert_eq!(changed(), 0, "gone already");
        over(&registrar, "c", 6, 7, "Contact: <sip:a@h>;expires=60\r\n");
        changed();
        registrar.send(Sent { at: 60, ..USUAL });
        assert_eq!(changed(), 1, "found expired by a list");
        over(&registrar, "d", 1, 8, contact);
        location.stop_tracking();
        assert_eq!(location.flow_closed(FlowId::Connection(8), [&aor]), 1);
        assert_eq!(changed(), 0, "the server ends");
    }
}
