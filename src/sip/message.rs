//! Octets → [`Message`]: header fields and body of one message, by position; its start line is in [`super::start_line`].
//!
//! The header block goes through `httparse`. What RFC 3261 allows and `httparse` does not (folded lines, blanks before
//! the colon, control characters in quoted pairs) takes one more pass, [`super::normalise`]; the common message is
//! borrowed as it is.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::copying::Line;
use super::name::HeaderName;
use super::normalise::normalise;
use super::start_line::{Start, StartLine, start_line};
use super::status::StatusCode;
use super::text::{is_token, number, trim};
use super::via;

/// Where a message breaks the grammar, and the answer that this deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Status of the answer, where one can be built.
    pub status: StatusCode,
    /// Reason phrase of that answer.
    pub phrase: &'static str,
}

impl Fault {
    /// A 400 with this phrase.
    pub const fn bad_request(phrase: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            phrase,
        }
    }
}

/// Half-open range of octets of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Position of `part` in `whole`, of which it is a slice.
    pub(super) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        if start > whole.len() {
            return Self::default();
        }
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(start + part.len()).unwrap_or(u32::MAX),
        }
    }

    /// The same octets in a text that has `by` octets before.
    fn shifted(self, by: usize) -> Self {
        let by = u32::try_from(by).unwrap_or(u32::MAX);
        Self {
            start: self.start.saturating_add(by),
            end: self.end.saturating_add(by),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: HeaderName,
    text: Span,
    value: Span,
}

/// One message: its octets and where in them the parts are.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    bytes: Cow<'a, [u8]>,
    start: Start,
    fields: SmallVec<[Field; 20]>,
    head: usize,
    /// Whether there can be no other opinion about what the fields are: no more of them, no bare CR or LF.
    certain: bool,
    fault: Option<Fault>,
}

/// Header fields that `httparse` is given room for on the stack; more take a second try on the heap.
const USUAL_FIELDS: usize = 32;

const LINE_ENDS: Fault = Fault::bad_request("Line ends must be CRLF");
const BAD_FIELD: Fault = Fault::bad_request("Malformed header field");
const TOO_MANY_FIELDS: Fault = Fault::bad_request("Too many header fields");

impl<'a> Message<'a> {
    /// Takes a head (start line to empty line) that ends at `head` and all octets after it as the body.
    ///
    /// Never fails: what cannot be read becomes a [`Fault`], what can be read stays readable so that the sender can be
    /// answered. `max_fields` bounds the header fields.
    pub fn parse(bytes: &'a [u8], head: usize, max_fields: usize) -> Self {
        let head = head.min(bytes.len()).min(u32::MAX as usize);
        let head_bytes = bytes.get(..head).unwrap_or_default();
        let line_end = memchr::memchr(b'\n', head_bytes).map_or(head, |at| at + 1);
        let (line, block) = head_bytes.split_at_checked(line_end).unwrap_or_default();
        let (start, fault) = match line.strip_suffix(b"\r\n") {
            Some(line) => start_line(line),
            None => {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                (start_line(line).0, Some(LINE_ENDS))
            }
        };
        let mut message = Self {
            bytes: Cow::Borrowed(bytes),
            start,
            fields: SmallVec::new(),
            head,
            certain: line.ends_with(b"\r\n"),
            fault,
        };
        if !message.read_fields(block, line_end, max_fields) {
            message.read_normalised(line_end, max_fields);
        }
        message
    }

    /// The common way, on a block that begins at `base`; false when it cannot be taken as it is.
    fn read_fields(&mut self, block: &[u8], base: usize, max_fields: usize) -> bool {
        let mut few = [httparse::EMPTY_HEADER; USUAL_FIELDS];
        let room = few.get_mut(..max_fields.min(USUAL_FIELDS));
        match read_block(block, room.unwrap_or_default()) {
            Some(Found { fields, all: false }) if max_fields > USUAL_FIELDS => {
                debug_assert_eq!(fields, USUAL_FIELDS);
                let mut many = vec![httparse::EMPTY_HEADER; max_fields];
                read_block(block, &mut many)
                    .is_some_and(|found| self.take_fields(&many, found, block, base))
            }
            Some(found) => self.take_fields(&few, found, block, base),
            None => false,
        }
    }

    /// False when a line ends with a bare LF: `httparse` takes it, SIP does not, and what two readers split in two ways
    /// can smuggle a header.
    fn take_fields(
        &mut self,
        headers: &[httparse::Header<'_>],
        found: Found,
        block: &[u8],
        base: usize,
    ) -> bool {
        let mut proper = found.fields == 0 || block.ends_with(b"\r\n\r\n");
        for header in headers.iter().take(found.fields) {
            let text = Span::of(header.name.as_bytes(), block);
            let before = block.get(..text.start as usize).unwrap_or_default();
            proper &= before.is_empty() || before.ends_with(b"\r\n");
            let name = HeaderName::parse(header.name.as_bytes());
            // The tokens of HTTP have a few octets more than those of SIP (RFC 9110 §5.6.2).
            if name == HeaderName::Other && !is_token(header.name.as_bytes()) {
                self.fault.get_or_insert(BAD_FIELD);
            }
            self.fields.push(Field {
                name,
                text: text.shifted(base),
                value: Span::of(trim(header.value), block).shifted(base),
            });
        }
        if !found.all {
            self.certain = false;
            self.fault.get_or_insert(TOO_MANY_FIELDS);
        }
        proper
    }

    /// The uncommon way: on an unfolded copy, which the message then owns.
    fn read_normalised(&mut self, line_end: usize, max_fields: usize) {
        let normal = {
            let block = self.bytes.get(line_end..self.head).unwrap_or_default();
            normalise(block)
        };
        let mut copy = Vec::with_capacity(self.bytes.len());
        copy.extend_from_slice(self.bytes.get(..line_end).unwrap_or_default());
        copy.extend_from_slice(&normal.block);
        let body = self.bytes.get(self.head..).unwrap_or_default();
        self.head = copy.len();
        copy.extend_from_slice(body);
        self.fields.clear();
        let whole = self.read_fields(&normal.block, line_end, max_fields);
        for (at, octet) in &normal.masked {
            if let Some(place) = copy.get_mut(line_end + at) {
                *place = *octet;
            }
        }
        self.bytes = Cow::Owned(copy);
        self.certain &= !normal.ambiguous;
        if let Some(fault) = normal.fault {
            self.fault.get_or_insert(fault);
        }
        if !whole {
            self.fault.get_or_insert(BAD_FIELD);
        }
    }

    /// The same message, owning its octets.
    pub fn into_owned(self) -> Message<'static> {
        Message {
            bytes: Cow::Owned(self.bytes.into_owned()),
            start: self.start,
            fields: self.fields,
            head: self.head,
            certain: self.certain,
            fault: self.fault,
        }
    }

    fn at(&self, span: Span) -> &[u8] {
        self.bytes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// The start line.
    pub fn start_line(&self) -> StartLine<'_> {
        match self.start {
            Start::Request { method, uri } => StartLine::Request {
                method: self.at(method),
                uri: self.at(uri),
            },
            Start::Response { status, reason } => StartLine::Response {
                status,
                reason: self.at(reason),
            },
            Start::UnreadableResponse | Start::Unreadable => StartLine::Unreadable,
        }
    }

    /// Whether it is a response, readable or not; everything else counts as a request.
    pub fn is_response(&self) -> bool {
        matches!(
            self.start,
            Start::Response { .. } | Start::UnreadableResponse
        )
    }

    /// The first fault of start line or header block.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Value of the first field of this name, blanks around it dropped.
    pub fn first(&self, name: HeaderName) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Values of all fields of this name, in order.
    pub fn all(&self, name: HeaderName) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |f| f.name == name)
            .map(|f| self.at(f.value))
    }

    /// How many fields of this name there are.
    pub fn count(&self, name: HeaderName) -> usize {
        self.fields.iter().filter(|f| f.name == name).count()
    }

    /// Every field in order: what name it is, the name as written, the value.
    pub fn fields(&self) -> impl Iterator<Item = (HeaderName, &[u8], &[u8])> {
        self.fields
            .iter()
            .map(|f| (f.name, self.at(f.text), self.at(f.value)))
    }

    /// The same for who writes the message anew.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.fields.iter().map(|f| Line {
            name: f.name,
            text: self.at(f.text),
            value: self.at(f.value),
            place: f.text.start as usize..f.value.end as usize,
        })
    }

    /// Text of the topmost Via value.
    pub fn top_via(&self) -> Option<&[u8]> {
        self.first(HeaderName::Via).map(via::first_value)
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }

    /// Start line to empty line.
    pub fn head(&self) -> &[u8] {
        self.bytes.get(..self.head).unwrap_or_default()
    }

    /// Start line to end of body.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Body length by Content-Length (RFC 3261 §18.3): `Ok(None)` without the field. A field that occurs twice or is no
    /// number says nothing about where the message ends, nor does one in a header block that may be read in two ways.
    ///
    /// # Errors
    /// The fault, after which the stream cannot be framed any more.
    pub fn content_length(&self) -> Result<Option<u64>, Fault> {
        if !self.certain {
            return Err(self.fault.unwrap_or(LINE_ENDS));
        }
        let mut fields = self.all(HeaderName::ContentLength);
        let Some(value) = fields.next() else {
            return Ok(None);
        };
        if fields.next().is_some() {
            return Err(Fault::bad_request("More than one Content-Length"));
        }
        number(value)
            .map(Some)
            .ok_or(Fault::bad_request("Malformed Content-Length header"))
    }

    /// Takes `whole` in place of the head alone that the message was parsed from: `head` octets of head, then the body.
    pub(super) fn attach_body(&mut self, whole: &'a [u8], head: usize) {
        match &mut self.bytes {
            Cow::Borrowed(bytes) => *bytes = whole,
            Cow::Owned(bytes) => bytes.extend_from_slice(whole.get(head..).unwrap_or_default()),
        }
    }

    /// Cuts the octets behind a body of this length off; a shorter body stays as it is.
    pub fn truncate_body(&mut self, length: usize) {
        let end = self.head.saturating_add(length);
        match &mut self.bytes {
            Cow::Borrowed(bytes) => *bytes = bytes.get(..end).unwrap_or(bytes),
            Cow::Owned(bytes) => bytes.truncate(end),
        }
    }
}

/// What `httparse` made of a header block.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// How many fields it read.
    fields: usize,
    /// Whether these are all, or only what there was room for.
    all: bool,
}

/// `None` when the block is not one that `httparse` takes to its end.
fn read_block<'b>(block: &'b [u8], room: &mut [httparse::Header<'b>]) -> Option<Found> {
    let places = room.len();
    match httparse::parse_headers(block, room) {
        Ok(httparse::Status::Complete((end, found))) if end == block.len() => Some(Found {
            fields: found.len(),
            all: true,
        }),
        Err(httparse::Error::TooManyHeaders) => Some(Found {
            fields: places,
            all: false,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(text: &[u8]) -> Message<'_> {
        let head = memchr::memmem::find(text, b"\r\n\r\n").map_or(text.len(), |at| at + 4);
        Message::parse(text, head, 64)
    }

    fn phrase(text: &[u8]) -> Option<&'static str> {
        parse(text).fault().map(|f| f.phrase)
    }

    #[test]
    fn a_message_shows_its_parts() {
        let text = b"INVITE sip:h SIP/2.0\r\nv: 1\r\nX-Y:\tz \r\nVIA:2\r\ns:\r\n\r\nbody";
        let message = parse(text);
        assert_eq!(message.fault(), None);
        assert_eq!(
            message.start_line(),
            StartLine::Request {
                method: b"INVITE",
                uri: b"sip:h"
            }
        );
        let vias: Vec<_> = message.all(HeaderName::Via).collect();
        assert_eq!(vias, [b"1", b"2"]);
        assert_eq!(message.count(HeaderName::Via), 2);
        assert_eq!(message.first(HeaderName::Subject), Some(&b""[..]));
        assert_eq!(message.first(HeaderName::To), None);
        let other = message.fields().nth(1);
        assert_eq!(other, Some((HeaderName::Other, &b"X-Y"[..], &b"z"[..])));
        assert_eq!(message.body(), b"body");
        assert_eq!(message.as_bytes(), text);
        let owned = message.clone().into_owned();
        assert_eq!(owned.head(), message.head());
        assert_eq!(owned.start_line(), message.start_line());
    }

    #[test]
    fn what_only_sip_allows_is_normalised() {
        let text = b"SIP/2.0 200 OK\r\nTO :\r\n <sip:a@h>\r\n\t; tag\t= 1\r\nF: \"\\\0\\\x7f\" <sip:b@h>\r\n\r\nb\n";
        let message = parse(text);
        assert_eq!(message.fault(), None);
        assert_eq!(
            message.first(HeaderName::To),
            Some(&b"<sip:a@h> ; tag\t= 1"[..])
        );
        assert_eq!(
            message.first(HeaderName::From),
            Some(&b"\"\\\0\\\x7f\" <sip:b@h>"[..])
        );
        assert_eq!(message.body(), b"b\n");
        let again = Message::parse(message.as_bytes(), message.head().len(), 64);
        assert_eq!(again.head(), message.head());
    }

    #[test]
    fn what_nobody_allows_is_a_fault() {
        for (text, fault) in [
            (
                &b"OPTIONS sip:h SIP/2.0\nTo: x\r\n\r\n"[..],
                LINE_ENDS.phrase,
            ),
            (
                b"OPTIONS sip:h SIP/2.0\r\nTo: x\nVia: y\r\n\r\n",
                LINE_ENDS.phrase,
            ),
            (
                b"OPTIONS sip:h SIP/2.0\r\nTo: x\r\nVia: y\n\r\n",
                LINE_ENDS.phrase,
            ),
            (b"OPTIONS sip:h SIP/2.0\r\nTo: x", LINE_ENDS.phrase),
            (b"OPTIONS sip:h SIP/2.0", LINE_ENDS.phrase),
            (b"", LINE_ENDS.phrase),
            (
                b"OPTIONS sip:h SIP/2.0\r\nTo: x\rVia: y\r\n\r\n",
                "Control character in a header field",
            ),
            (
                b"OPTIONS sip:h SIP/2.0\r\nTo: x\0\r\n\r\n",
                "Control character in a header field",
            ),
            (b"OPTIONS sip:h SIP/2.0\r\nTo x\r\n\r\n", BAD_FIELD.phrase),
            (b"OPTIONS sip:h SIP/2.0\r\n To: x\r\n\r\n", BAD_FIELD.phrase),
            (b"OPTIONS sip:h SIP/2.0\r\n: x\r\n\r\n", BAD_FIELD.phrase),
            (b"OPTIONS sip:h SIP/2.0\r\nX#Y: x\r\n\r\n", BAD_FIELD.phrase),
            (b"\r\n\r\n", "Malformed Request Line"),
        ] {
            assert_eq!(
                phrase(text),
                Some(fault),
                "{:?}",
                String::from_utf8_lossy(text)
            );
        }
        let text = b"OPTIONS sip:h SIP/2.0\r\nFoobar roobar\r\nTo: x\r\n\r\n";
        assert_eq!(parse(text).first(HeaderName::To), Some(&b"x"[..]));
    }

    #[test]
    fn a_block_without_fields_is_none() {
        let message = parse(b"OPTIONS sip:h SIP/2.0\r\n\r\n");
        assert_eq!((message.fault(), message.fields().count()), (None, 0));
    }

    #[test]
    fn many_fields_are_read_and_too_many_are_told() {
        let with = |count: usize, limit: usize| {
            let fields: String = (0..count).map(|n| format!("X{n}: {n}\r\n")).collect();
            let text = format!("OPTIONS sip:h SIP/2.0\r\nl: 0\r\n{fields}\r\n");
            let message = Message::parse(text.as_bytes(), text.len(), limit);
            let length = message.content_length();
            (message.fields().count(), message.fault(), length)
        };
        assert_eq!(with(31, 64), (32, None, Ok(Some(0))));
        assert_eq!(with(32, 64), (33, None, Ok(Some(0))));
        assert_eq!(with(63, 64), (64, None, Ok(Some(0))));
        let (fault, length) = (Some(TOO_MANY_FIELDS), Err(TOO_MANY_FIELDS));
        // Those that were read stay for the answer, but one behind them may say another length.
        assert_eq!(with(64, 64), (64, fault, length));
        assert_eq!(with(16, 16), (16, fault, length));
        assert_eq!(with(40, 32), (32, fault, length));
        assert_eq!(with(1, 0), (0, fault, length));
    }

    #[test]
    fn content_length_is_one_number() {
        for (fields, length) in [
            ("", Some(None)),
            ("l: 0\r\n", Some(Some(0))),
            ("Content-Length : 0150\r\n", Some(Some(150))),
            ("l: 18446744073709551615\r\n", Some(Some(u64::MAX))),
            ("l: 18446744073709551616\r\n", None),
            ("l: -999\r\n", None),
            ("l: +1\r\n", None),
            ("l:\r\n", None),
            ("l: 1, 1\r\n", None),
            ("l: 1 1\r\n", None),
            ("l: 1\r\nContent-Length: 1\r\n", None),
        ] {
            let text = format!("OPTIONS sip:h SIP/2.0\r\n{fields}\r\n");
            assert_eq!(
                parse(text.as_bytes()).content_length().ok(),
                length,
                "{fields}"
            );
        }
    }

    #[test]
    fn a_body_is_cut_but_never_made_longer() {
        for text in [
            &b"A b SIP/2.0\r\nX: y\r\n\r\nbody"[..],
            b"A b SIP/2.0\r\nX : y\r\n\r\nbody",
        ] {
            let mut message = parse(text);
            message.truncate_body(5);
            assert_eq!(message.body(), b"body");
            message.truncate_body(2);
            assert_eq!(message.body(), b"bo");
            message.truncate_body(usize::MAX);
            assert_eq!(message.body(), b"bo");
        }
    }
}
