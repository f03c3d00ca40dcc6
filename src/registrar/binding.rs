//! What is kept of one contact (RFC 3261 §10.3 step 7), and the address-of-record it belongs to.

use std::borrow::Borrow;
use std::fmt;
use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::sip::{Address, Parameters, SipUri, Uri};

/// An address-of-record in its canonical form: `user@host` (RFC 3261 §10.3 step 5). Cheap to clone: the location
/// service and the connection that registered it share the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Aor(Arc<str>);

impl Aor {
    /// The address-of-record that this URI names.
    pub fn of(uri: &SipUri<'_>) -> Self {
        Self(uri.address_of_record().into())
    }

    /// Takes what [`Aor::as_str`] gave; `None` for anything that is not in canonical form.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, host) = text
            .rsplit_once('@')
            .map_or(("", text), |(user, host)| (user, host));
        // The canonical form of an IPv6 address has no brackets, and a URI does.
        let uri = match host.parse::<Ipv6Addr>() {
            Ok(_) if user.is_empty() => format!("sip:[{host}]"),
            Ok(_) => format!("sip:{user}@[{host}]"),
            Err(_) => format!("sip:{text}"),
        };
        let aor = Self::of(&SipUri::parse(&uri)?);
        (aor.as_str() == text).then_some(aor)
    }

    /// `user@host`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Aor {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<Aor> for Aor {
    fn as_ref(&self) -> &Aor {
        self
    }
}

impl fmt::Debug for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The way that a request came, and that another can go back to its sender (RFC 5626 §2: a flow).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowId {
    /// A live connection, by its number. Numbers are never given twice while the process runs.
    Connection(u64),
    /// Datagrams between a socket of ours, by the number of its listener, and an address.
    Datagram {
        /// Number of the listener.
        listener: u16,
        /// Where the sender is.
        peer: SocketAddr,
    },
}

/// Preference of a contact, in thousandths: 0 to 1000 (RFC 3261 §20.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QValue(u16);

impl QValue {
    /// Preference of a contact that states none: the highest (RFC 3261 §16.6 leaves it to us).
    pub const DEFAULT: Self = Self(1000);

    /// Takes `0`, `1`, `0.5`, `1.000`; `None` for more than three decimals or more than one (RFC 3261 §25.1, qvalue).
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (whole, decimals) = match text {
            [whole] => (whole, &[][..]),
            [whole, b'.', decimals @ ..] => (whole, decimals),
            _ => return None,
        };
        if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let thousandths = decimals
            .iter()
            .chain([b'0'; 3].iter())
            .take(3)
            .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        match (whole, thousandths) {
            (b'0', _) => Some(Self(thousandths)),
            (b'1', 0) => Some(Self(1000)),
            _ => None,
        }
    }

    /// Takes thousandths; `None` for more than one.
    pub fn of_thousandths(thousandths: u16) -> Option<Self> {
        (thousandths <= 1000).then_some(Self(thousandths))
    }

    /// Thousandths.
    pub fn thousandths(self) -> u16 {
        self.0
    }
}

impl fmt::Display for QValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 1000, format!("{:03}", self.0 % 1000));
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}

/// Most octets that one binding keeps of a request; a contact beyond that is refused.
const MAX_TEXT: usize = 4096;

/// Most octets kept of a User-Agent, which is only ever shown.
const MAX_USER_AGENT: usize = 96;

/// What a REGISTER says about one contact, before it is known whether that is a new binding. Costs no allocation for
/// contacts of usual length.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    text: SmallVec<[u8; 512]>,
    uri_end: u16,
    parameters_end: u16,
    call_id_end: u16,
    q: Option<QValue>,
    cseq: u32,
    flow: Option<FlowId>,
}

impl Draft {
    /// Takes a contact and what the request around it says. `None` when it is too long to keep, has a control
    /// character (in a quoted-pair) that must not be written out again, or a `q` that is none.
    pub(super) fn new(
        contact: &Address<'_>,
        call_id: &[u8],
        cseq: u32,
        user_agent: &[u8],
        flow: Option<FlowId>,
    ) -> Option<Self> {
        let mut text = SmallVec::new();
        let length = contact.text.len() + contact.parameters.as_bytes().len() + call_id.len();
        if length > MAX_TEXT {
            return None;
        }
        text.extend_from_slice(contact.text);
        let uri_end = u16::try_from(text.len()).ok()?;
        let mut q = None;
        for (name, value) in contact.parameters.iter() {
            if name.eq_ignore_ascii_case(b"expires") {
                continue;
            }
            if name.eq_ignore_ascii_case(b"q") {
                q = Some(QValue::parse(value?)?);
                continue;
            }
            text.push(b';');
            text.extend_from_slice(name);
            if let Some(value) = value {
                text.push(b'=');
                text.extend_from_slice(value);
            }
        }
        let parameters_end = u16::try_from(text.len()).ok()?;
        if text.iter().any(u8::is_ascii_control) {
            return None;
        }
        text.extend_from_slice(call_id);
        let call_id_end = u16::try_from(text.len()).ok()?;
        text.extend_from_slice(user_agent.get(..MAX_USER_AGENT).unwrap_or(user_agent));
        Some(Self {
            text,
            uri_end,
            parameters_end,
            call_id_end,
            q,
            cseq,
            flow,
        })
    }

    /// The URI.
    pub(super) fn uri_text(&self) -> &[u8] {
        self.text
            .get(..usize::from(self.uri_end))
            .unwrap_or_default()
    }

    /// The same with this preference in place of what the contact says.
    pub(super) fn with_q(self, q: Option<QValue>) -> Self {
        Self { q, ..self }
    }

    /// The binding that this makes.
    pub(super) fn into_binding(self, expires_at: Instant) -> Binding {
        Binding {
            text: self.text.into_vec().into_boxed_slice(),
            uri_end: self.uri_end,
            parameters_end: self.parameters_end,
            call_id_end: self.call_id_end,
            q: self.q,
            cseq: self.cseq,
            flow: self.flow,
            expires_at,
        }
    }
}

/// One contact of an address-of-record.
#[derive(Debug, Clone)]
pub struct Binding {
    /// URI, parameters, Call-ID and User-Agent, one behind the other: one allocation for all.
    text: Box<[u8]>,
    uri_end: u16,
    parameters_end: u16,
    call_id_end: u16,
    q: Option<QValue>,
    cseq: u32,
    flow: Option<FlowId>,
    expires_at: Instant,
}

impl Binding {
    fn part(&self, start: u16, end: u16) -> &[u8] {
        self.text
            .get(usize::from(start)..usize::from(end))
            .unwrap_or_default()
    }

    /// URI of the contact as written. It may have headers (`?Route=…`): whoever sends a request there must not let
    /// them override its own (RFC 4475 §3.3.14).
    pub fn uri_text(&self) -> &[u8] {
        self.part(0, self.uri_end)
    }

    /// URI of the contact; always there, since only a contact with one becomes a binding.
    pub fn uri(&self) -> Option<Uri<'_>> {
        Uri::parse(self.uri_text())
    }

    /// Parameters of the contact, without `expires` and `q`.
    pub fn parameters(&self) -> Parameters<'_> {
        Parameters::parse(self.part(self.uri_end, self.parameters_end)).unwrap_or_default()
    }

    /// Call-ID of the last request that changed it.
    pub fn call_id(&self) -> &[u8] {
        self.part(self.parameters_end, self.call_id_end)
    }

    /// CSeq number of the last request that changed it.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// User-Agent of the device, maybe cut; empty without one. The peer's octets: escape them in a log.
    pub fn user_agent(&self) -> &[u8] {
        self.text
            .get(usize::from(self.call_id_end)..)
            .unwrap_or_default()
    }

    /// Preference, if stated.
    pub fn q(&self) -> Option<QValue> {
        self.q
    }

    /// The connection it came over; `None` when it is to be reached by its URI only.
    pub fn flow(&self) -> Option<FlowId> {
        self.flow
    }

    /// `+sip.instance`, its quotes and angle brackets included (RFC 5626 §4.1).
    pub fn instance(&self) -> Option<&[u8]> {
        Parameters::parse(self.part(self.uri_end, self.parameters_end))?.value("+sip.instance")
    }

    /// `reg-id` (RFC 5626 §4.2).
    pub fn reg_id(&self) -> Option<u32> {
        let text = self.parameters().value("reg-id")?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    /// When it ends.
    pub fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// Whether it has not ended yet.
    pub fn is_live(&self, now: Instant) -> bool {
        self.expires_at > now
    }

    /// Whole seconds until it ends, a begun one counted: a live binding is never shown as 0, which means removed.
    pub fn remaining(&self, now: Instant) -> u64 {
        let left = self.expires_at.saturating_duration_since(now);
        left.as_secs() + u64::from(left.subsec_nanos() > 0)
    }

    /// Whether this contact URI names the same binding: RFC 3261 §19.1.4 for SIP, else the same text with the scheme
    /// in any letter case.
    pub(super) fn is_at(&self, uri_text: &[u8]) -> bool {
        same_contact(self.uri_text(), uri_text)
    }

    /// Whether a request may change it (RFC 3261 §10.3 steps 6 and 7): another Call-ID always, the same Call-ID with a
    /// higher CSeq only.
    pub(super) fn yields_to(&self, call_id: &[u8], cseq: u32) -> bool {
        self.call_id() != call_id || cseq > self.cseq
    }

    /// Takes over what a later request says. The text is replaced only where it differs.
    pub(super) fn renew(&mut self, draft: Draft, expires_at: Instant) {
        if *self.text == *draft.text
            && (self.uri_end, self.parameters_end, self.call_id_end)
                == (draft.uri_end, draft.parameters_end, draft.call_id_end)
        {
            self.q = draft.q;
            self.cseq = draft.cseq;
            self.flow = draft.flow;
            self.expires_at = expires_at;
        } else {
            *self = draft.into_binding(expires_at);
        }
    }

    /// Appends the Contact line of a 200 (RFC 3261 §10.3 step 8). The URI stands in angle brackets, so that parameters
    /// of the URI and of the header stay what they were.
    pub(super) fn write_contact(&self, now: Instant, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Contact: <");
        out.extend_from_slice(self.uri_text());
        out.push(b'>');
        out.extend_from_slice(self.part(self.uri_end, self.parameters_end));
        // Writing to a Vec cannot fail.
        if let Some(q) = self.q {
            let _ = write!(out, ";q={q}");
        }
        let _ = write!(out, ";expires={}\r\n", self.remaining(now));
    }
}

/// Whether two contact URIs are the same one.
pub(super) fn same_contact(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    match (Uri::parse(a), Uri::parse(b)) {
        (Some(Uri::Sip(a)), Some(Uri::Sip(b))) => a.is_equivalent(&b),
        (
            Some(Uri::Other { scheme, rest }),
            Some(Uri::Other {
                scheme: other_scheme,
                rest: other_rest,
            }),
        ) => scheme.eq_ignore_ascii_case(other_scheme) && rest == other_rest,
        _ => false,
    }
}

/// The end of an interval from now on. Intervals are below 2**32 seconds, which no clock of ours overflows.
pub(super) fn ends(now: Instant, seconds: u32) -> Instant {
    now.checked_add(Duration::from_secs(u64::from(seconds)))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn q_values_are_taken_as_the_grammar_has_them() {
        for (situation, text, taken) in [
            ("one", "1", Some("1")),
            ("one with zeros", "1.000", Some("1")),
            ("more than one", "1.001", None),
            ("half", "0.5", Some("0.5")),
            ("three decimals", "0.125", Some("0.125")),
            ("a zero between", "0.05", Some("0.05")),
            ("four decimals", "0.1250", None),
            ("a point and nothing", "0.", Some("0")),
            ("no whole part", ".5", None),
            ("two", "2", None),
            ("a sign", "-1", None),
            ("letters", "0.a", None),
            ("nothing", "", None),
        ] {
            let found = QValue::parse(text.as_bytes()).map(|q| q.to_string());
            assert_eq!(found.as_deref(), taken, "{situation}");
        }
    }

    #[test]
    fn an_address_of_record_is_read_back_in_its_canonical_form_only() {
        for (text, taken) in [
            ("alice@example.org", true),
            ("aLice%2F@example.org", true),
            ("user;par=u%40example.net@example.org", true),
            ("example.org", true),
            ("a@2001:db8::1", true),
            ("2001:db8::1", true),
            ("a@[2001:db8::1]", false),
            ("alice@Example.org", false),
            ("%61lice@example.org", false),
            ("alice@example.org:5061", false),
            ("alice@example.org;x", false),
            ("alice:secret@example.org", false),
            ("sip:alice@example.org", false),
            ("@example.org", false),
            ("alice@", false),
            ("", false),
        ] {
            let found = Aor::parse(text);
            assert_eq!(
                found.as_ref().map(Aor::as_str),
                taken.then_some(text),
                "{text}"
            );
        }
    }

    #[test]
    fn contacts_are_compared_as_uris() {
        for (situation, a, b, same) in [
            (
                "host in other case",
                "sip:a@Host.EXAMPLE",
                "sip:a@host.example",
                true,
            ),
            (
                "user in other case",
                "sip:A@host.example",
                "sip:a@host.example",
                false,
            ),
            (
                "an escape",
                "sip:%61@host.example",
                "sip:a@host.example",
                true,
            ),
            (
                "one NUL and two",
                "sip:%00@h.example",
                "sip:%00%00@h.example",
                false,
            ),
            ("a port", "sip:a@h.example:5060", "sip:a@h.example", false),
            (
                "transport in one",
                "sip:a@h.example;transport=tcp",
                "sip:a@h.example",
                false,
            ),
            (
                "unknown in one",
                "sip:a@h.example;ob",
                "sip:a@h.example",
                true,
            ),
            ("sips", "sips:a@h.example", "sip:a@h.example", false),
            ("mailto", "MAILTO:a@h.example", "mailto:a@h.example", true),
            (
                "another mailbox",
                "mailto:b@h.example",
                "mailto:a@h.example",
                false,
            ),
        ] {
            assert_eq!(
                same_contact(a.as_bytes(), b.as_bytes()),
                same,
                "{situation}"
            );
            assert_eq!(
                same_contact(b.as_bytes(), a.as_bytes()),
                same,
                "{situation}, swapped"
            );
        }
    }

    #[test]
    fn a_draft_keeps_what_is_to_be_shown_again() {
        let value =
            br#"<sip:a@h.example;ob>;+sip.instance="<urn:uuid:1>";reg-id=7;q=0.3;expires=60;x"#;
        let contact = Address::parse(value).unwrap();
        let draft = Draft::new(
            &contact,
            b"call",
            3,
            b"Phone/1",
            Some(FlowId::Connection(9)),
        )
        .unwrap();
        let clock = Instant::now;
        let start = clock();
        let binding = draft.into_binding(ends(start, 60));
        assert_eq!(binding.uri_text(), b"sip:a@h.example;ob");
        assert_eq!(binding.instance(), Some(&b"\"<urn:uuid:1>\""[..]));
        assert_eq!(binding.reg_id(), Some(7));
        assert_eq!(binding.q(), QValue::parse(b"0.3"));
        assert_eq!((binding.call_id(), binding.cseq()), (&b"call"[..], 3));
        assert_eq!(binding.user_agent(), b"Phone/1");
        assert_eq!(binding.flow(), Some(FlowId::Connection(9)));
        let mut line = Vec::new();
        binding.write_contact(start + Duration::from_millis(500), &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "Contact: <sip:a@h.example;ob>;+sip.instance=\"<urn:uuid:1>\";reg-id=7;x;q=0.3;expires=60\r\n"
        );
    }

    #[test]
    fn a_contact_that_must_not_be_echoed_is_no_draft() {
        let long = format!("<sip:{}@h.example>", "a".repeat(MAX_TEXT));
        for (situation, value) in [
            ("too long", long.as_bytes()),
            (
                "a control character in a quoted-pair",
                b"<sip:a@h.example>;x=\"\\\r\"",
            ),
            ("q without a value", b"<sip:a@h.example>;q"),
            ("q too large", b"<sip:a@h.example>;q=1.1"),
        ] {
            let contact = Address::parse(value).unwrap();
            assert!(
                Draft::new(&contact, b"c", 1, b"", None).is_none(),
                "{situation}"
            );
        }
    }
}
