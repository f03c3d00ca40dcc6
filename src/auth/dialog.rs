//! Who is which side of a dialog (RFC 3261 §12, §16.6 step 4): a sealed token in our Record-Route says it, and comes back in
//! the Route of every later request.
//!
//! A To tag proves nothing: anybody can write one. A token proves that the request which formed the dialog went through us,
//! and says from whom and to whom. [`DialogRequest::prove`] is the only maker of a [`ProvenLeg`], and needs a token that has
//! been opened for that very request; only [`super::admit_in_dialog`] takes one.

use smallvec::SmallVec;

use super::certificate::Identities;
use super::check::Peer;
use super::digest;
use super::identity_digest::IdentityDigest;
use super::seal::{Purpose, Sealer};
use crate::sip::{Method, Request, Uri};

/// First octet of the encoding.
const VERSION: u8 = 1;

/// Bits of the first octet of a leg; those below are the number of octets of its flow.
const HAS_IDENTITY: u8 = 0x20;
const HAS_AOR: u8 = 0x40;
const URI_IS_AOR: u8 = 0x80;
const MAX_FLOW: usize = 0x1f;

/// Longest address-of-record that is put into a token, in octets; a longer one is left out, which costs its leg the way by
/// location and nothing of the proof.
const MAX_AOR: usize = 128;

/// A random number of this process: the numbers of its flows mean nothing to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u32);

impl Epoch {
    /// Takes the number.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// It as a token has it.
    pub(super) fn octets(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }
}

/// A flow, by octets that only those who number flows can read. Equal octets are the same flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowMark(SmallVec<[u8; 24]>);

impl FlowMark {
    /// Takes 1 to 31 octets; `None` for any other number.
    pub fn new(octets: &[u8]) -> Option<Self> {
        (1..=MAX_FLOW)
            .contains(&octets.len())
            .then(|| Self(octets.into()))
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// The URI of a From or To, in 16 octets: user and host as [`crate::sip::SipUri::address_of_record`] gives them; of another
/// scheme the whole text.
///
/// 8 octets would be too few: whoever may use every user of a domain could search for one that has somebody else's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UriDigest([u8; 16]);

impl UriDigest {
    /// The digest of this URI.
    pub fn of(uri: &Uri<'_>) -> Self {
        match uri {
            Uri::Sip(sip) => Self::of_address(&sip.address_of_record()),
            Uri::Other { scheme, rest } => {
                let text = format!("{}:{rest}", scheme.to_ascii_lowercase());
                Self(digest::short_sha256(b"uri", text.as_bytes()))
            }
        }
    }

    /// The digest of the SIP URIs with this address-of-record.
    fn of_address(address: &str) -> Self {
        Self(digest::short_sha256(b"sip", address.as_bytes()))
    }
}

/// The tag of the caller, in 4 octets. It says in which direction a request goes where the two sides look alike, as two
/// phones of one user who calls herself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagDigest([u8; 4]);

impl TagDigest {
    /// The digest of a tag, or of its absence (RFC 2543).
    pub fn of(tag: Option<&[u8]>) -> Self {
        let [a, b, c, d, ..] = digest::short_sha256(b"tag", tag.unwrap_or_default());
        Self([a, b, c, d])
    }
}

/// One side of a dialog as it was when the request that formed the dialog went through us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// How its requests came, or went to it.
    pub flow: Option<FlowMark>,
    /// Who its certificate names.
    pub identity: Option<IdentityDigest>,
    /// Under which address-of-record it is registered here, `user@host` in canonical form; for whoever looks for it after
    /// its flow has gone.
    pub aor: Option<Box<str>>,
    /// Its URI: From for the caller, To for the callee.
    pub uri: UriDigest,
}

/// Which side sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The one that formed the dialog.
    Caller,
    /// The other.
    Callee,
}

impl Sender {
    /// A word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogToken {
    /// Who formed the dialog.
    pub caller: Leg,
    /// With whom.
    pub callee: Leg,
    /// The From tag of the request that formed it.
    pub caller_tag: TagDigest,
}

impl DialogToken {
    /// The leg of this side.
    pub fn leg(&self, side: Sender) -> &Leg {
        match side {
            Sender::Caller => &self.caller,
            Sender::Callee => &self.callee,
        }
    }

    /// The leg that hears what this side sends.
    pub fn other(&self, sender: Sender) -> &Leg {
        match sender {
            Sender::Caller => &self.callee,
            Sender::Callee => &self.caller,
        }
    }

    /// The token as the user part of a Record-Route URI: letters, digits, `-` and `_`. `None` if OpenSSL fails; a
    /// Record-Route without token then does, and later requests are judged as any other.
    pub fn seal(&self, call_id: &[u8], epoch: Epoch, sealer: &Sealer) -> Option<String> {
        let mut plain = Vec::with_capacity(128);
        plain.push(VERSION);
        plain.extend_from_slice(&epoch.octets());
        plain.extend_from_slice(&self.caller_tag.0);
        self.caller.write(&mut plain);
        self.callee.write(&mut plain);
        sealer.seal(Purpose::Dialog, call_id, &plain)
    }

    /// Opens what [`DialogToken::seal`] made for the same Call-ID. Flows of another epoch come out as `None`.
    fn open(text: &str, call_id: &[u8], epoch: Epoch, sealer: &Sealer) -> Option<Self> {
        let plain = sealer.open(Purpose::Dialog, call_id, text)?;
        let rest = plain.strip_prefix(&[VERSION])?;
        let (then, rest) = rest.split_first_chunk::<4>()?;
        let (tag, rest) = rest.split_first_chunk::<4>()?;
        let is_now = *then == epoch.octets();
        let (caller, rest) = Leg::read(rest, is_now)?;
        let (callee, rest) = Leg::read(rest, is_now)?;
        rest.is_empty().then_some(Self {
            caller,
            callee,
            caller_tag: TagDigest(*tag),
        })
    }
}

impl Leg {
    fn write(&self, out: &mut Vec<u8>) {
        let flow = self.flow.as_ref().map_or(&[][..], FlowMark::octets);
        let aor = self.aor.as_deref().filter(|aor| aor.len() <= MAX_AOR);
        let uri_is_aor = aor.is_some_and(|aor| UriDigest::of_address(aor) == self.uri);
        // At most 31, and so is what a mark has.
        let mut head = u8::try_from(flow.len()).unwrap_or_default();
        for (bit, is_set) in [
            (HAS_IDENTITY, self.identity.is_some()),
            (HAS_AOR, aor.is_some()),
            (URI_IS_AOR, uri_is_aor),
        ] {
            if is_set {
                head |= bit;
            }
        }
        out.push(head);
        out.extend_from_slice(flow);
        if let Some(identity) = &self.identity {
            out.extend_from_slice(identity.octets());
        }
        if let Some(aor) = aor {
            out.push(u8::try_from(aor.len()).unwrap_or_default());
            out.extend_from_slice(aor.as_bytes());
        }
        if !uri_is_aor {
            out.extend_from_slice(&self.uri.0);
        }
    }

    /// A leg and what stands behind it.
    fn read(text: &[u8], is_now: bool) -> Option<(Self, &[u8])> {
        let (&head, mut rest) = text.split_first()?;
        let mut flow = None;
        let octets = usize::from(head) & MAX_FLOW;
        if octets > 0 {
            let (mark, behind) = rest.split_at_checked(octets)?;
            flow = FlowMark::new(mark).filter(|_| is_now);
            rest = behind;
        }
        let mut identity = None;
        if head & HAS_IDENTITY != 0 {
            let (octets, behind) = rest.split_first_chunk()?;
            identity = Some(IdentityDigest::from_octets(*octets));
            rest = behind;
        }
        let mut aor: Option<Box<str>> = None;
        if head & HAS_AOR != 0 {
            let (&length, behind) = rest.split_first()?;
            let (text, behind) = behind.split_at_checked(length.into())?;
            aor = Some(std::str::from_utf8(text).ok()?.into());
            rest = behind;
        }
        let uri = if head & URI_IS_AOR != 0 {
            UriDigest::of_address(aor.as_deref()?)
        } else {
            let (octets, behind) = rest.split_first_chunk()?;
            rest = behind;
            UriDigest(*octets)
        };
        let leg = Self {
            flow,
            identity,
            aor,
            uri,
        };
        Some((leg, rest))
    }

    /// Whether that is the peer of this leg: over the same flow, or with a certificate for the same names.
    fn is_peer(&self, flow: &FlowMark, identity: Option<IdentityDigest>) -> bool {
        self.flow.as_ref() == Some(flow) || (identity.is_some() && self.identity == identity)
    }
}

/// A request within a dialog, with the token that it brought.
#[derive(Debug, Clone)]
pub struct DialogRequest<'m> {
    request: Request<'m>,
    token: DialogToken,
}

impl<'m> DialogRequest<'m> {
    /// Opens the token that stands in the topmost Route of a request, if that is ours.
    ///
    /// `None` when it does not open for this Call-ID, when the request is not within a dialog (no To tag), and for a REGISTER,
    /// which is never part of one (RFC 3261 §10.2): a token says who may go on talking, not who may begin to or be reached.
    pub fn open(text: &str, request: Request<'m>, epoch: Epoch, sealer: &Sealer) -> Option<Self> {
        if !request.has_to_tag() || request.method == Method::Register {
            return None;
        }
        let token = DialogToken::open(text, request.call_id, epoch, sealer)?;
        Some(Self { request, token })
    }

    /// What the token says.
    pub fn token(&self) -> &DialogToken {
        &self.token
    }

    /// The leg that sends this request: this peer is the peer of that leg, From has its URI and tag, To the URI of the other.
    /// `None` for anybody else, and for a From or To that has changed within the dialog (RFC 4916): that is judged as in any
    /// other request.
    ///
    /// The caller's From was judged when the dialog was formed. The callee's was not: it is the To that the caller wrote, and
    /// a caller may well have written somebody else's and called a friend. So the callee is proved toward the caller alone,
    /// and not at all if the token does not say where the caller is.
    pub fn prove<'p>(self, peer: Peer<'p>, flow: &FlowMark) -> Option<ProvenLeg<'m, 'p>> {
        let Self { request, token } = self;
        let identity = match peer.proved() {
            // Whoever lost his name to new rules for CAs has lost what he began with it, even where he began it.
            Some(identities) if is_barred(identities, &request) => return None,
            proved => proved.and_then(Identities::digest),
        };
        let is_sender = |side: Sender, callers_tag: Option<&[u8]>| {
            let (leg, other) = (token.leg(side), token.other(side));
            leg.is_peer(flow, identity)
                && TagDigest::of(callers_tag) == token.caller_tag
                && UriDigest::of(&request.from.uri) == leg.uri
                && UriDigest::of(&request.to.uri) == other.uri
        };
        let (sender, other) = if is_sender(Sender::Caller, request.from.tag()) {
            (Sender::Caller, token.callee)
        } else if is_sender(Sender::Callee, request.to.tag()) {
            let is_somewhere = token.caller.flow.is_some() || token.caller.aor.is_some();
            (Sender::Callee, is_somewhere.then_some(token.caller)?)
        } else {
            return None;
        };
        Some(ProvenLeg {
            request,
            peer,
            sender,
            other,
        })
    }
}

/// Whether the CAs of a peer may vouch for none of its names, or not for the one that would entitle it to From.
fn is_barred(identities: &Identities, request: &Request<'_>) -> bool {
    identities.are_barred()
        || request.from.uri.sip().is_some_and(|from| {
            identities.barred(from, true).is_some() && identities.entitling(from, true).is_none()
        })
}

/// A request whose sender is known to be one side of its dialog. Made only by [`DialogRequest::prove`].
#[derive(Debug, Clone)]
pub struct ProvenLeg<'m, 'p> {
    pub(super) request: Request<'m>,
    pub(super) peer: Peer<'p>,
    pub(super) sender: Sender,
    pub(super) other: Leg,
}

impl ProvenLeg<'_, '_> {
    /// Which side it is.
    pub fn sender(&self) -> Sender {
        self.sender
    }

    /// The leg that hears it.
    pub fn other(&self) -> &Leg {
        &self.other
    }
}
