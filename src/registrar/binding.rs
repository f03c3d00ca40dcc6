//! What is kept of one contact (RFC 3261 §10.3 step 7), and the address-of-record it belongs to.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::sip::{Address, Parameters, SipUri, Uri, canonical_user, list_elements};

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
            Err(_) => ["sip:", text].concat(),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

impl Hash for FlowId {
    /// Without which of the two it is, which would be hashed by itself, and takes as long as the number.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Connection(number) => number.hash(state),
            Self::Datagram { listener, peer } => {
                listener.hash(state);
                peer.hash(state);
            }
        }
    }
}

/// How a binding is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Over the flow that it came over.
    Flow(FlowId),
    /// Through proxies (RFC 3327). A binding is known again by its text: the tokens of edge proxies in a Path differ from
    /// one registration to the next.
    Path {
        /// URI of the contact.
        contact: String,
        /// Values of its Path.
        path: Vec<String>,
    },
}

/// What a binding came over before a restart. Nothing leads there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// A connection that the device opened. Where its Contact says that it is, mostly nobody listens.
    Connection,
    /// Datagrams. The device may hear those to its Contact, too.
    Datagrams,
}

impl Lost {
    /// What is left of a flow after a restart.
    pub(super) fn of(flow: FlowId) -> Self {
        match flow {
            FlowId::Connection(_) => Self::Connection,
            FlowId::Datagram { .. } => Self::Datagrams,
        }
    }
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

/// What the request around a contact says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) call_id: &'a [u8],
    pub(super) cseq: u32,
    pub(super) user_agent: &'a [u8],
    /// The Path, a list; empty without one.
    pub(super) path: &'a [u8],
    pub(super) flow: Option<FlowId>,
    /// Whether a `reg-id` counts. One that does not is not kept, so that what is kept says what a binding is.
    pub(super) by_flow: bool,
}

/// What a REGISTER says about one contact, before it is known whether that is a new binding. Costs no allocation for
/// contacts of usual length.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    text: SmallVec<[u8; 512]>,
    uri_end: u16,
    parameters_end: u16,
    call_id_end: u16,
    path_end: u16,
    q: Option<QValue>,
    reg_id: Option<NonZeroU32>,
    cseq: u32,
    flow: Option<FlowId>,
}

impl Draft {
    /// Takes a contact and what the request around it says. `None` when it is too long to keep, has a control
    /// character (in a quoted-pair) that must not be written out again, or a `q` or `reg-id` that is none.
    pub(super) fn new(contact: &Address<'_>, around: &Around<'_>) -> Option<Self> {
        let Around {
            call_id,
            path,
            user_agent,
            ..
        } = *around;
        let mut text = SmallVec::new();
        let length = contact.text.len() + contact.parameters.as_bytes().len() + call_id.len();
        let length = length + path.len();
        if length > MAX_TEXT {
            return None;
        }
        text.extend_from_slice(contact.text);
        let uri_end = u16::try_from(text.len()).ok()?;
        let reg_id = match around.by_flow {
            true => reg_id(&contact.parameters)?,
            false => None,
        };
        let mut q = None;
        for (name, value) in contact.parameters.iter() {
            if name.eq_ignore_ascii_case(b"expires") {
                continue;
            }
            if name.eq_ignore_ascii_case(b"q") {
                q = Some(QValue::parse(value?)?);
                continue;
            }
            if reg_id.is_none() && name.eq_ignore_ascii_case(b"reg-id") {
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
        text.extend_from_slice(path);
        let path_end = u16::try_from(text.len()).ok()?;
        text.extend_from_slice(user_agent.get(..MAX_USER_AGENT).unwrap_or(user_agent));
        Some(Self {
            text,
            uri_end,
            parameters_end,
            call_id_end,
            path_end,
            q,
            reg_id,
            cseq: around.cseq,
            flow: around.flow,
        })
    }

    /// The URI.
    pub(super) fn uri_text(&self) -> &[u8] {
        self.text
            .get(..usize::from(self.uri_end))
            .unwrap_or_default()
    }

    fn flow_name(&self) -> Option<FlowName<'_>> {
        let parameters = self
            .text
            .get(self.uri_end.into()..self.parameters_end.into())?;
        FlowName::of(self.reg_id, parameters)
    }

    fn instance(&self) -> Option<&[u8]> {
        let parameters = self
            .text
            .get(self.uri_end.into()..self.parameters_end.into())?;
        Parameters::parse(parameters)?.value("+sip.instance")
    }

    /// The Path, a list; empty without one.
    pub(super) fn path_text(&self) -> &[u8] {
        self.text
            .get(self.call_id_end.into()..self.path_end.into())
            .unwrap_or_default()
    }

    fn call_id(&self) -> &[u8] {
        self.text
            .get(self.parameters_end.into()..self.call_id_end.into())
            .unwrap_or_default()
    }

    /// Whether it is one flow of a device.
    pub(super) fn is_by_flow(&self) -> bool {
        self.reg_id.is_some()
    }

    /// Whether both say the same binding; see [`Binding::is_for`].
    pub(super) fn is_like(&self, other: &Self) -> bool {
        is_same_binding(
            (self.flow_name(), self.uri_text()),
            (other.flow_name(), other.uri_text()),
        )
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
            path_end: self.path_end,
            q: self.q,
            reg_id: self.reg_id,
            cseq: self.cseq,
            flow: self.flow,
            lost: None,
            expires_at,
        }
    }
}

/// One contact of an address-of-record.
#[derive(Debug, Clone)]
pub struct Binding {
    /// URI, parameters, Call-ID, Path and User-Agent, one behind the other: one allocation for all.
    text: Box<[u8]>,
    uri_end: u16,
    parameters_end: u16,
    call_id_end: u16,
    path_end: u16,
    q: Option<QValue>,
    reg_id: Option<NonZeroU32>,
    cseq: u32,
    flow: Option<FlowId>,
    lost: Option<Lost>,
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
            .get(usize::from(self.path_end)..)
            .unwrap_or_default()
    }

    /// The Path that leads to it, as a list with commas (RFC 3327 §5.3); empty without one.
    pub fn path_text(&self) -> &[u8] {
        self.part(self.call_id_end, self.path_end)
    }

    /// The values of its Path, the first to go to in front.
    pub fn path(&self) -> impl Iterator<Item = &[u8]> {
        list_elements(self.path_text()).filter(|element| !element.is_empty())
    }

    /// Preference, if stated.
    pub fn q(&self) -> Option<QValue> {
        self.q
    }

    /// The connection it came over; `None` when it is to be reached by its URI only.
    pub fn flow(&self) -> Option<FlowId> {
        self.flow
    }

    /// What it came over, if that was before a restart and the device has not come back yet.
    pub fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// The same, its flow lost; one that is reached by its Path has none to lose.
    pub(super) fn that_lost(self, lost: Lost) -> Self {
        let lost = self.path_text().is_empty().then_some(lost);
        Self { lost, ..self }
    }

    /// `+sip.instance`, its quotes and angle brackets included (RFC 5626 §4.1).
    pub fn instance(&self) -> Option<&[u8]> {
        Parameters::parse(self.part(self.uri_end, self.parameters_end))?.value("+sip.instance")
    }

    /// `reg-id` (RFC 5626 §4.2), if the binding is one flow of a device that may have several: one that came without
    /// `+sip.instance`, or through a proxy that keeps no flows, is none.
    pub fn reg_id(&self) -> Option<u32> {
        self.reg_id.map(NonZeroU32::get)
    }

    fn flow_name(&self) -> Option<FlowName<'_>> {
        FlowName::of(self.reg_id, self.part(self.uri_end, self.parameters_end))
    }

    /// Whether both are flows of one device, by its `+sip.instance` (RFC 5626 §7).
    pub fn is_of_same_device(&self, other: &Self) -> bool {
        let instances = self.flow_name().zip(other.flow_name());
        instances.is_some_and(|(one, other)| same_instance(one.instance, other.instance))
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

    /// Whether a contact names this binding: by `+sip.instance` and `reg-id`, whatever its URI, if it has both (RFC 5626
    /// §6); else by its URI, RFC 3261 §19.1.4 for SIP, else the same text with the scheme in any letter case.
    pub(super) fn is_for(&self, draft: &Draft) -> bool {
        is_same_binding(
            (self.flow_name(), self.uri_text()),
            (draft.flow_name(), draft.uri_text()),
        )
    }

    /// Whether a contact that is no binding yet comes from the device of this one, whose flow a restart has taken: by its
    /// `+sip.instance`, else by the user part of its URI together with the Call-ID or the host. A phone that connects anew
    /// has another port, and so another contact. Flows with a `reg-id` have names of their own.
    ///
    /// Whoever registers for an address-of-record may as well remove what was registered for it: taking another device for
    /// this one does no more than that, and to a binding that leads nowhere.
    pub(super) fn comes_back_as(&self, draft: &Draft) -> bool {
        let by_flow = self.reg_id.is_some() || draft.reg_id.is_some();
        if self.lost.is_none() || draft.flow.is_none() || by_flow {
            return false;
        }
        match (self.instance(), draft.instance()) {
            (Some(one), Some(other)) => return same_instance(one, other),
            (None, None) => {}
            _ => return false,
        }
        let (Some(Uri::Sip(one)), Some(Uri::Sip(other))) =
            (self.uri(), Uri::parse(draft.uri_text()))
        else {
            return false;
        };
        let user = |uri: &SipUri<'_>| uri.user.map(|user| canonical_user(user).into_owned());
        user(&one) == user(&other)
            && (self.call_id() == draft.call_id() || one.host.canonical() == other.host.canonical())
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
            && self.path_end == draft.path_end
        {
            self.q = draft.q;
            self.reg_id = draft.reg_id;
            self.cseq = draft.cseq;
            self.flow = draft.flow;
            self.lost = None;
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

/// What names one flow of a device that may have several (RFC 5626 §6).
#[derive(Clone, Copy)]
struct FlowName<'b> {
    instance: &'b [u8],
    reg_id: NonZeroU32,
}

impl<'b> FlowName<'b> {
    fn of(reg_id: Option<NonZeroU32>, parameters: &'b [u8]) -> Option<Self> {
        let reg_id = reg_id?;
        let instance = Parameters::parse(parameters)?.value("+sip.instance")?;
        Some(Self { instance, reg_id })
    }
}

/// The `reg-id` of a contact that has a `+sip.instance` too, without which it means nothing (RFC 5626 §6). `None` for one
/// that is no number from 1 to 2**31 - 1, and for two (RFC 3261 §7.3.1), of which others may take the other.
fn reg_id(parameters: &Parameters<'_>) -> Option<Option<NonZeroU32>> {
    let mut found = parameters
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"reg-id"));
    let Some((_, value)) = found.next() else {
        return Some(None);
    };
    if found.next().is_some() {
        return None;
    }
    if parameters.value("+sip.instance").is_none() {
        return Some(None);
    }
    let digits = value.filter(|value| value.iter().all(u8::is_ascii_digit))?;
    let number = std::str::from_utf8(digits).ok()?.parse::<NonZeroU32>().ok();
    number.filter(|number| number.get() < 1 << 31).map(Some)
}

fn is_same_binding(
    (one_flow, one_uri): (Option<FlowName<'_>>, &[u8]),
    (other_flow, other_uri): (Option<FlowName<'_>>, &[u8]),
) -> bool {
    match (one_flow, other_flow) {
        (Some(one), Some(other)) => {
            one.reg_id == other.reg_id && same_instance(one.instance, other.instance)
        }
        (None, None) => same_contact(one_uri, other_uri),
        _ => false,
    }
}

/// Whether two `+sip.instance` name one device: URNs, whose scheme and namespace are in any letter case (RFC 5626 §4.1, RFC
/// 2141 §5), and so is a UUID (RFC 4122 §3).
fn same_instance(one: &[u8], other: &[u8]) -> bool {
    const UUID: &[u8] = b"\"<urn:uuid:";
    let has = |text: &[u8], prefix: &[u8]| {
        let head = text.get(..prefix.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    one == other || (has(one, UUID) && one.eq_ignore_ascii_case(other))
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
        let around = Around {
            call_id: b"call",
            cseq: 3,
            user_agent: b"Phone/1",
            path: b"<sip:p;lr>,<sip:q;lr>",
            flow: Some(FlowId::Connection(9)),
            by_flow: true,
        };
        let draft = Draft::new(&contact, &around).unwrap();
        let clock = Instant::now;
        let start = clock();
        let binding = draft.into_binding(ends(start, 60));
        assert_eq!(binding.uri_text(), b"sip:a@h.example;ob");
        assert_eq!(binding.instance(), Some(&b"\"<urn:uuid:1>\""[..]));
        assert_eq!(binding.reg_id(), Some(7));
        assert_eq!(binding.q(), QValue::parse(b"0.3"));
        assert_eq!((binding.call_id(), binding.cseq()), (&b"call"[..], 3));
        let path: Vec<_> = binding.path().collect();
        assert_eq!(path, [b"<sip:p;lr>", b"<sip:q;lr>"]);
        assert_eq!(binding.user_agent(), b"Phone/1");
        assert_eq!(binding.flow(), Some(FlowId::Connection(9)));
        let mut line = Vec::new();
        binding.write_contact(start + Duration::from_millis(500), &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "Contact: <sip:a@h.example;ob>;+sip.instance=\"<urn:uuid:1>\";reg-id=7;x;q=0.3;expires=60\r\n"
        );
        let around = Around {
            by_flow: false,
            ..around
        };
        let binding = Draft::new(&contact, &around).unwrap();
        let binding = binding.into_binding(start);
        assert_eq!(binding.reg_id(), None, "what does not count is not kept");
        let parameters = binding.parameters();
        assert_eq!(parameters.as_bytes(), b";+sip.instance=\"<urn:uuid:1>\";x");
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
            let around = Around {
                call_id: b"c",
                cseq: 1,
                user_agent: b"",
                path: b"",
                flow: None,
                by_flow: true,
            };
            assert!(Draft::new(&contact, &around).is_none(), "{situation}");
        }
    }
}
