//! A request on its way to one target: RFC 3261 §16.6 steps 1 to 9, and the CANCEL (§9.1) and ACK (§17.1.1.3) for it.
//!
//! Most of a request goes on as it came. It is copied twice: here, where it leaves what came in, and once more when the
//! connection is known that it goes out by.

use std::net::SocketAddr;
use std::ops::Range;

use super::leave_out::LeaveOut;
use super::routes::Routes;
use super::way::Way;
use crate::sip::{
    HeaderName, Message, Received, Request, Run, are_header_lines, is_header_text, write_number,
};

/// How a request leaves us for one target.
#[derive(Debug, Clone, Copy)]
pub struct Onward<'a> {
    /// The request as it came.
    pub request: &'a Request<'a>,
    /// What its Route header fields are to us.
    pub routes: &'a Routes<'a>,
    /// Where it really came from: noted in its topmost Via (RFC 3261 §18.2.1, RFC 3581 §4).
    pub source: SocketAddr,
    /// The target. It becomes the Request-URI, without what cannot stand there (§16.6 step 2).
    pub uri: &'a str,
    /// The target becomes a Route before all others instead, and the Request-URI stays: for one with `lr` of a static
    /// route.
    pub keep_request_uri: bool,
    /// Route values to go before those that are left: a Path (RFC 3327 §5.3), or fixed routes.
    pub path: &'a [String],
    /// Max-Forwards to be written.
    pub max_forwards: u8,
    /// Max-Breadth to be written (RFC 5393 §5.3); `None` leaves it as it is.
    pub max_breadth: Option<u16>,
    /// Header fields that go no further.
    pub leave_out: &'a [LeaveOut<'a>],
    /// Further header lines, each ended by CRLF.
    pub add: &'a [u8],
}

/// Why a request cannot be sent to a target: a defect of the target, or of who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undraftable {
    /// What was to become the Request-URI.
    #[error("the target is no URI")]
    Target,
    /// An element of the path that leads there.
    #[error("a route to the target is no SIP URI")]
    Route,
    /// What was to be added.
    #[error("what is to be added to the request are no header lines")]
    Lines,
}

/// The Via that we put on top.
#[derive(Debug, Clone, Copy)]
pub struct OwnVia<'v> {
    /// `TLS`, `TCP` or `UDP`.
    pub transport: &'v str,
    /// Host and maybe port: where an answer would find us.
    pub sent_by: &'v str,
    /// Branch, with the magic cookie ([`super::branch::make`]).
    pub branch: &'v str,
    /// Whether to ask for RFC 3581.
    pub rport: bool,
}

impl OwnVia<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(is_header_text(self.sent_by.as_bytes()));
        out.extend_from_slice(b"Via: SIP/2.0/");
        out.extend_from_slice(self.transport.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.sent_by.as_bytes());
        out.extend_from_slice(b";branch=");
        out.extend_from_slice(self.branch.as_bytes());
        out.extend_from_slice(if self.rport { b";rport\r\n" } else { b"\r\n" });
    }
}

/// A request for one target, whole but for our Via and Record-Route or Path, which depend on the connection that it leaves
/// by.
///
/// The octets are the request line, the Route fields, the other fields, and the body.
#[derive(Clone)]
pub struct Draft {
    octets: Vec<u8>,
    method_end: usize,
    request_uri: Range<usize>,
    /// Behind the request line: where our own lines go.
    line_end: usize,
    /// Behind the Route fields.
    routes_end: usize,
    /// Behind the empty line.
    head_end: usize,
    next_hop: Range<usize>,
    cseq: u32,
}

/// Room for what is put in beside the parts that are counted: names of fields, numbers, `received`, our Via.
const MARGIN: usize = 192;

impl Draft {
    /// Writes a request for one target.
    ///
    /// Its fields keep their order but for Route, which stands on top. A body is taken as it is, and Content-Length is its
    /// length, whatever the request said.
    ///
    /// # Errors
    /// The target or the way to it cannot be written into a request.
    pub fn new(onward: &Onward<'_>) -> Result<Self, Undraftable> {
        if !are_header_lines(onward.add) {
            return Err(Undraftable::Lines);
        }
        let message = onward.request.message;
        let way = Way::of(onward)?;
        let room = message.as_bytes().len() + way.len() + onward.add.len() + MARGIN;
        let mut out = Vec::with_capacity(room);
        let method = onward.request.method.as_str();
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        let request_uri = append(way.request_uri.as_bytes(), &mut out);
        out.extend_from_slice(b" SIP/2.0\r\n");
        let line_end = out.len();
        let mut next_hop = request_uri.clone();
        for (at, route) in way.route.iter().enumerate() {
            out.extend_from_slice(b"Route: ");
            let written = append(route, &mut out);
            if let (0, Some(uri)) = (at, &way.hop_in_route) {
                next_hop = written.start + uri.start..written.start + uri.end;
            }
            out.extend_from_slice(b"\r\n");
        }
        let routes_end = out.len();
        write_fields(onward, &mut out);
        out.extend_from_slice(b"\r\n");
        let head_end = out.len();
        out.extend_from_slice(message.body());
        Ok(Self {
            octets: out,
            method_end: method.len(),
            request_uri,
            line_end,
            routes_end,
            head_end,
            next_hop,
            cseq: onward.request.cseq,
        })
    }

    /// The URI that says where it goes (RFC 3261 §16.6 step 7): that of the topmost Route, or the Request-URI if there is
    /// none or the topmost was a strict router, whose URI is the Request-URI now.
    ///
    /// If the Request-URI is a `sips` URI, this one is to be treated as one as well.
    pub fn next_hop(&self) -> &str {
        self.text(&self.next_hop)
    }

    /// The Request-URI.
    pub fn request_uri(&self) -> &str {
        self.text(&self.request_uri)
    }

    /// Whether that is a SIPS URI.
    pub fn is_secure(&self) -> bool {
        is_sips(self.request_uri())
    }

    /// Whether that or the URI of the topmost Route is a SIPS URI: then what we record is one (RFC 3261 §16.6 step 4).
    pub fn records_sips(&self) -> bool {
        self.is_secure() || is_sips(self.next_hop())
    }

    /// The method.
    pub fn method(&self) -> &str {
        self.text(&(0..self.method_end))
    }

    /// Octets of it, our own lines not counted.
    #[expect(clippy::len_without_is_empty, reason = "a request is never empty")]
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    fn text(&self, range: &Range<usize>) -> &str {
        // Methods and URIs are made of ASCII.
        std::str::from_utf8(self.octets(range.clone())).unwrap_or_default()
    }

    fn octets(&self, range: Range<usize>) -> &[u8] {
        self.octets.get(range).unwrap_or_default()
    }

    /// Appends the whole request.
    ///
    /// `recorded` are our values of Record-Route, or of Path if it is a REGISTER, the topmost first; each is written
    /// `<sip:…;lr>`. They stand before all others of that name.
    pub fn write(&self, via: &OwnVia<'_>, recorded: &[String], out: &mut Vec<u8>) {
        let lines: usize = recorded.iter().map(|value| value.len() + 16).sum();
        out.reserve(self.octets.len() + MARGIN + lines);
        out.extend_from_slice(self.octets(0..self.line_end));
        via.write(out);
        let name: &[u8] = match self.method() {
            "REGISTER" => b"Path: ",
            _ => b"Record-Route: ",
        };
        for value in recorded {
            debug_assert!(is_header_text(value.as_bytes()));
            out.extend_from_slice(name);
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(self.octets(self.line_end..self.octets.len()));
    }

    /// Appends the CANCEL of what was written with the same Via (RFC 3261 §9.1). `reason` is a Reason header line
    /// (RFC 3326), or empty.
    pub fn write_cancel(&self, via: &OwnVia<'_>, reason: &[u8], out: &mut Vec<u8>) {
        self.write_short("CANCEL", via, None, reason, out);
    }

    /// Appends the ACK of a final response other than 2xx to what was written with the same Via (RFC 3261 §17.1.1.3).
    pub fn write_ack(&self, via: &OwnVia<'_>, response: &Message<'_>, out: &mut Vec<u8>) {
        self.write_short("ACK", via, response.first(HeaderName::To), b"", out);
    }

    /// A request of one hop that belongs to this one: same Request-URI, Route, From, Call-ID and number, and To unless
    /// another is given.
    fn write_short(
        &self,
        method: &str,
        via: &OwnVia<'_>,
        to: Option<&[u8]>,
        more: &[u8],
        out: &mut Vec<u8>,
    ) {
        debug_assert!(are_header_lines(more));
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(self.octets(self.method_end..self.line_end));
        via.write(out);
        out.extend_from_slice(self.octets(self.line_end..self.routes_end));
        let fields = self.octets(self.routes_end..self.head_end);
        // The draft has one line for each field, and no octet of a value ends a line.
        for line in fields.split_inclusive(|octet| *octet == b'\n') {
            let name = memchr::memchr(b':', line).and_then(|colon| line.get(..colon));
            match (name.map(HeaderName::parse), to) {
                (Some(HeaderName::To), Some(to)) => {
                    out.extend_from_slice(b"To: ");
                    out.extend_from_slice(to);
                    out.extend_from_slice(b"\r\n");
                }
                (Some(HeaderName::CSeq), _) => {
                    out.extend_from_slice(b"CSeq: ");
                    write_number(self.cseq as usize, out);
                    out.push(b' ');
                    out.extend_from_slice(method.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                (
                    Some(
                        HeaderName::To
                        | HeaderName::From
                        | HeaderName::CallId
                        | HeaderName::MaxForwards,
                    ),
                    _,
                ) => out.extend_from_slice(line),
                _ => {}
            }
        }
        out.extend_from_slice(more);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

impl std::fmt::Debug for Draft {
    /// Without the content, which is somebody's message.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft")
            .field("method", &self.method())
            .field("octets", &self.octets.len())
            .finish_non_exhaustive()
    }
}

fn is_sips(uri: &str) -> bool {
    let scheme = uri.as_bytes().get(..5);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sips:"))
}

/// Appends a text and says where it stands.
fn append(text: &[u8], out: &mut Vec<u8>) -> Range<usize> {
    let start = out.len();
    out.extend_from_slice(text);
    start..out.len()
}

/// All header fields but Route and what is ours.
fn write_fields(onward: &Onward<'_>, out: &mut Vec<u8>) {
    let message = onward.request.message;
    let mut run = Run::new(message);
    let mut via_on_top = true;
    let mut max_forwards = Some(u16::from(onward.max_forwards));
    let mut max_breadth = onward.max_breadth;
    let mut length = Some(message.body().len());
    // Without the field in the request the number goes on top, where proxies look for it.
    for (name, number) in [
        (HeaderName::MaxForwards, &mut max_forwards),
        (HeaderName::MaxBreadth, &mut max_breadth),
    ] {
        if message.count(name) == 0
            && let Some(number) = number.take()
        {
            write_numbered(name, number.into(), out);
        }
    }
    for line in message.lines() {
        let number = match line.name {
            HeaderName::Via if via_on_top => {
                via_on_top = false;
                if let Some(received) = Received::of(line.value, onward.request.via, onward.source)
                {
                    run.end(out);
                    received.write(out);
                } else {
                    run.keep(&line);
                }
                continue;
            }
            HeaderName::MaxForwards => max_forwards.take().map(usize::from),
            HeaderName::MaxBreadth if onward.max_breadth.is_some() => {
                max_breadth.take().map(usize::from)
            }
            HeaderName::ContentLength => length.take(),
            HeaderName::Route => None,
            name if is_mandatory(name) || !onward.leave_out.iter().any(|o| o.is_met_by(&line)) => {
                run.keep(&line);
                continue;
            }
            _ => None,
        };
        run.end(out);
        if let Some(number) = number {
            write_numbered(line.name, number, out);
        }
    }
    run.end(out);
    out.extend_from_slice(onward.add);
    if let Some(length) = length {
        write_numbered(HeaderName::ContentLength, length, out);
    }
}

/// What a request is no request without, besides what we write ourselves.
fn is_mandatory(name: HeaderName) -> bool {
    use HeaderName::{CSeq, CallId, From, To, Via};
    matches!(name, Via | From | To | CallId | CSeq)
}

/// Appends a field whose value is a number.
pub(super) fn write_numbered(name: HeaderName, number: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    write_number(number, out);
    out.extend_from_slice(b"\r\n");
}
