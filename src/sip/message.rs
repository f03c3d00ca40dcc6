//! Octets → [`Message`]: start line, header fields and body of one message, by position.
//!
//! The header block goes through `httparse`. What RFC 3261 allows and `httparse` does not (folded lines, blanks before
//! the colon, control characters in quoted pairs) takes one more pass, [`super::normalise`]; the common message is
//! borrowed as it is.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::name::HeaderName;
use super::normalise::normalise;
use super::status::StatusCode;
use super::text::{number, trim};
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
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Position of `part` in `whole`, of which it is a slice.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        Self::new(start, start + part.len())
    }

    fn new(start: usize, end: usize) -> Self {
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: HeaderName,
    text: Span,
    value: Span,
}

/// What kind of message the start line makes it.
#[derive(Debug, Clone, Copy)]
enum Start {
    Request { method: Span, uri: Span },
    Response { status: u16, reason: Span },
    Unreadable,
}

/// The start line, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLine<'m> {
    /// A request; the URI may still be none.
    Request {
        /// Method as written.
        method: &'m [u8],
        /// Request-URI as written.
        uri: &'m [u8],
    },
    /// A response.
    Response {
        /// Status code, 100 to 699.
        status: StatusCode,
        /// Reason phrase as written, maybe empty.
        reason: &'m [u8],
    },
    /// Neither.
    Unreadable,
}

/// One message: its octets and where in them the parts are.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    bytes: Cow<'a, [u8]>,
    start: Start,
    fields: SmallVec<[Field; 20]>,
    head: usize,
    fault: Option<Fault>,
}

/// Header fields that `httparse` is given room for on the stack; more take a second try on the heap.
const USUAL_FIELDS: usize = 32;

impl<'a> Message<'a> {
    /// Takes a head (start line to empty line) that ends at `head` and all octets after it as the body.
    ///
    /// Never fails: what cannot be read becomes a [`Fault`], what can be read stays readable so that the sender can be
    /// answered. `max_fields` bounds the header fields.
    pub fn parse(bytes: &'a [u8], head: usize, max_fields: usize) -> Self {
        let head = head.min(bytes.len()).min(u32::MAX as usize);
        let head_bytes = bytes.get(..head).unwrap_or_default();
        let mut message = Self {
            bytes: Cow::Borrowed(bytes),
            start: Start::Unreadable,
            fields: SmallVec::new(),
            head,
            fault: None,
        };
        let line_end = memchr::memchr(b'\n', head_bytes).map_or(head, |at| at + 1);
        let (line, block) = head_bytes.split_at_checked(line_end).unwrap_or_default();
        message.read_start_line(line, bytes);
        let plain = lines_end_with_crlf(head_bytes) && message.read_fields(block, max_fields);
        if !plain {
            message.read_normalised(line_end, max_fields);
        }
        message
    }

    fn read_start_line(&mut self, line: &[u8], bytes: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match start_line(line) {
            Ok(StartLine::Request { method, uri }) => {
                self.start = Start::Request {
                    method: Span::of(method, bytes),
                    uri: Span::of(uri, bytes),
                };
            }
            Ok(StartLine::Response { status, reason }) => {
                self.start = Start::Response {
                    status: status.as_u16(),
                    reason: Span::of(reason, bytes),
                };
            }
            Ok(StartLine::Unreadable) => {
                self.fault = Some(Fault::bad_request("Malformed Request Line"))
            }
            Err((start, fault)) => {
                if let StartLine::Request { method, uri } = start {
                    self.start = Start::Request {
                        method: Span::of(method, bytes),
                        uri: Span::of(uri, bytes),
                    };
                }
                self.fault = Some(fault);
            }
        }
    }

    /// The common way; false when `httparse` does not take the block as it is.
    fn read_fields(&mut self, block: &[u8], max_fields: usize) -> bool {
        let base = self.head - block.len();
        let mut few = [httparse::EMPTY_HEADER; USUAL_FIELDS];
        match httparse::parse_headers(
            block,
            few.get_mut(..max_fields.min(USUAL_FIELDS))
                .unwrap_or_default(),
        ) {
            Ok(httparse::Status::Complete((_, found))) => self.take_fields(found, block, base),
            Err(httparse::Error::TooManyHeaders) if max_fields > USUAL_FIELDS => {
                let mut many = vec![httparse::EMPTY_HEADER; max_fields];
                match httparse::parse_headers(block, &mut many) {
                    Ok(httparse::Status::Complete((_, found))) => {
                        self.take_fields(found, block, base)
                    }
                    Err(httparse::Error::TooManyHeaders) => return self.too_many_fields(),
                    _ => return false,
                }
            }
            Err(httparse::Error::TooManyHeaders) => return self.too_many_fields(),
            _ => return false,
        }
        true
    }

    fn too_many_fields(&mut self) -> bool {
        self.fault
            .get_or_insert(Fault::bad_request("Too many header fields"));
        true
    }

    fn take_fields(&mut self, found: &[httparse::Header<'_>], block: &[u8], base: usize) {
        for header in found {
            let shifted = |part: &[u8]| {
                let span = Span::of(part, block);
                Span::new(base + span.start as usize, base + span.end as usize)
            };
            self.fields.push(Field {
                name: HeaderName::parse(header.name.as_bytes()),
                text: shifted(header.name.as_bytes()),
                value: shifted(trim(header.value)),
            });
        }
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
        let whole = self.read_fields(&normal.block, max_fields);
        for (at, octet) in &normal.masked {
            if let Some(place) = copy.get_mut(line_end + at) {
                *place = *octet;
            }
        }
        self.bytes = Cow::Owned(copy);
        if let Some(fault) = normal.fault {
            self.fault.get_or_insert(fault);
        }
        if !whole {
            self.fault
                .get_or_insert(Fault::bad_request("Malformed header field"));
        }
    }

    /// The same message, owning its octets.
    pub fn into_owned(self) -> Message<'static> {
        Message {
            bytes: Cow::Owned(self.bytes.into_owned()),
            start: self.start,
            fields: self.fields,
            head: self.head,
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
            Start::Response { status, reason } => match StatusCode::new(status) {
                Some(status) => StartLine::Response {
                    status,
                    reason: self.at(reason),
                },
                None => StartLine::Unreadable,
            },
            Start::Unreadable => StartLine::Unreadable,
        }
    }

    /// Whether it is a response; everything else, unreadable too, counts as a request.
    pub fn is_response(&self) -> bool {
        matches!(self.start, Start::Response { .. })
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
    /// number says nothing about where the message ends.
    ///
    /// # Errors
    /// The fault, after which the stream cannot be framed any more.
    pub fn content_length(&self) -> Result<Option<u64>, Fault> {
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

    /// Cuts the octets behind a body of this length off; a shorter body stays as it is.
    pub fn truncate_body(&mut self, length: usize) {
        let end = self.head.saturating_add(length);
        match &mut self.bytes {
            Cow::Borrowed(bytes) => *bytes = bytes.get(..end).unwrap_or(bytes),
            Cow::Owned(bytes) => bytes.truncate(end),
        }
    }
}

/// Whether every LF of the head has its CR: `httparse` takes a bare LF as the end of a line, SIP does not, and what two
/// readers split in two ways can smuggle a header.
fn lines_end_with_crlf(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).all(|at| at > 0 && head.get(at - 1) == Some(&b'\r'))
        && memchr::memchr_iter(b'\r', head).all(|at| head.get(at + 1) == Some(&b'\n'))
}

/// Reads a start line without its CRLF (RFC 3261 §7.1, §7.2): single blanks, no others.
fn start_line(line: &[u8]) -> Result<StartLine<'_>, (StartLine<'_>, Fault)> {
    const BAD: Fault = Fault::bad_request("Malformed Request Line");
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        let (code, reason) = match memchr::memchr(b' ', rest) {
            Some(at) => (
                rest.get(..at).unwrap_or_default(),
                rest.get(at + 1..).unwrap_or_default(),
            ),
            None => (rest, &b""[..]),
        };
        let status = (code.len() == 3).then(|| number(code)).flatten();
        let status = status
            .and_then(|s| u16::try_from(s).ok())
            .and_then(StatusCode::new);
        return status
            .map(|status| StartLine::Response { status, reason })
            .ok_or((
                StartLine::Unreadable,
                Fault::bad_request("Malformed Status Line"),
            ));
    }
    let (Some(first), Some(last)) = (memchr::memchr(b' ', line), memchr::memrchr(b' ', line))
    else {
        return Err((StartLine::Unreadable, BAD));
    };
    let method = line.get(..first).unwrap_or_default();
    let uri = line.get(first + 1..last).unwrap_or_default();
    let version = line.get(last + 1..).unwrap_or_default();
    let start = StartLine::Request { method, uri };
    if version.is_empty() || uri.is_empty() || uri.contains(&b' ') || uri.contains(&b'\t') {
        return Err((start, BAD));
    }
    match version.get(..4) {
        Some(name) if name.eq_ignore_ascii_case(b"SIP/") => {}
        _ => return Err((start, BAD)),
    }
    if version.get(4..) != Some(b"2.0") {
        let fault = Fault {
            status: StatusCode::VERSION_NOT_SUPPORTED,
            phrase: StatusCode::VERSION_NOT_SUPPORTED.phrase(),
        };
        return Err((start, fault));
    }
    Ok(start)
}
