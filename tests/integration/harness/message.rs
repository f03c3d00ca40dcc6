//! Requests to send and responses that came: written apart from the library, so that one cannot excuse the other.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(1);

/// A request to be; every one has its own Call-ID, branch and tag.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method.
    pub(crate) method: String,
    /// Request-URI.
    pub(crate) ruri: String,
    /// Complete From line or lines, with CRLF; empty for none.
    pub(crate) from: String,
    /// URI in To.
    pub(crate) to: String,
    /// Whether To has a tag.
    pub(crate) to_tag: bool,
    /// Max-Forwards.
    pub(crate) max_forwards: u32,
    /// CSeq number.
    pub(crate) cseq: u32,
    /// Call-ID.
    pub(crate) call_id: String,
    /// Contact value; `None` for the usual one, an empty text for no header.
    pub(crate) contact: Option<String>,
    /// User-Agent; `None` for no header.
    pub(crate) user_agent: Option<String>,
    /// Further header lines, without CRLF.
    pub(crate) headers: Vec<String>,
    /// Body, sent as text/plain when there is any.
    pub(crate) body: String,
    branch: String,
}

impl Request {
    /// A request from `from` (a URI) to `ruri`.
    pub(crate) fn new(method: &str, ruri: &str, from: &str) -> Self {
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        Self {
            method: method.to_owned(),
            ruri: ruri.to_owned(),
            from: format!("From: <{from}>;tag=f{n}\r\n"),
            to: if method == "REGISTER" { from } else { ruri }.to_owned(),
            to_tag: false,
            max_forwards: 70,
            cseq: 1,
            call_id: format!("c{n}-{pid}@test"),
            contact: None,
            user_agent: Some("golden".to_owned()),
            headers: Vec::new(),
            body: String::new(),
            branch: format!("z9hG4bK{pid}n{n}"),
        }
    }

    /// OPTIONS to the served domain: answered 200 before any check, so a sign of life.
    pub(crate) fn ping() -> Self {
        Self::new("OPTIONS", "sip:example.org", "sip:ping@example.org")
    }

    /// The next request of the same kind: same Call-ID, next CSeq, a branch of its own.
    pub(crate) fn following(&self) -> Self {
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self {
            cseq: self.cseq + 1,
            branch: format!("z9hG4bK{}n{n}", std::process::id()),
            ..self.clone()
        }
    }

    /// The octets, as sent over `transport` (`TLS`, `TCP`) from `local`.
    pub(crate) fn octets(&self, transport: &str, local: SocketAddr) -> Vec<u8> {
        let Self { method, ruri, .. } = self;
        let lower = transport.to_ascii_lowercase();
        let mut text = format!(
            "{method} {ruri} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch={};rport\r\nMax-Forwards: {}\r\n",
            self.branch, self.max_forwards
        );
        text.push_str(&self.from);
        let tag = if self.to_tag { ";tag=t1" } else { "" };
        let _ = write!(
            text,
            "To: <{}>{tag}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n",
            self.to, self.call_id, self.cseq
        );
        match self.contact.as_deref() {
            None => {
                let _ = write!(text, "Contact: <sip:ua@{local};transport={lower}>\r\n");
            }
            Some("") => {}
            Some(contact) => {
                let _ = write!(text, "Contact: {contact}\r\n");
            }
        }
        if let Some(agent) = &self.user_agent {
            let _ = write!(text, "User-Agent: {agent}\r\n");
        }
        for header in &self.headers {
            let _ = write!(text, "{header}\r\n");
        }
        if !self.body.is_empty() {
            text.push_str("Content-Type: text/plain\r\n");
        }
        let _ = write!(
            text,
            "Content-Length: {}\r\n\r\n{}",
            self.body.len(),
            self.body
        );
        text.into_bytes()
    }
}

/// A message of the server's, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    /// Start line.
    pub(crate) start: String,
    /// Header fields in order, names in lower case and in their long form where the tests look for them.
    pub(crate) headers: Vec<(String, String)>,
    /// Body.
    pub(crate) body: Vec<u8>,
}

impl Incoming {
    /// The first message in `buffer`, taken out of it when it is whole.
    ///
    /// # Panics
    /// On anything that is not well formed: the server must never send such.
    pub(crate) fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let keep_alive = buffer
            .iter()
            .take_while(|&&octet| octet == b'\r' || octet == b'\n')
            .count();
        buffer.drain(..keep_alive);
        let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&buffer[..end - 4])
            .unwrap_or_else(|_| {
                panic!(
                    "message is not UTF-8: {:?}",
                    buffer.escape_ascii().to_string()
                )
            })
            .to_owned();
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a colon in a header line");
                let name = match name.trim().to_ascii_lowercase().as_str() {
                    "m" => "contact".to_owned(),
                    "i" => "call-id".to_owned(),
                    "l" => "content-length".to_owned(),
                    "v" => "via".to_owned(),
                    other => other.to_owned(),
                };
                (name, value.trim().to_owned())
            })
            .collect();
        let length: usize = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .unwrap_or_else(|| panic!("no Content-Length in {head:?}"))
            .1
            .parse()
            .expect("a Content-Length");
        if buffer.len() < end + length {
            return None;
        }
        let body = buffer[end..end + length].to_vec();
        buffer.drain(..end + length);
        Some(Self {
            start,
            headers,
            body,
        })
    }

    /// The first value of one header field.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The answer of a phone to this request.
    pub(crate) fn answer(&self, status: u16, reason: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} {reason}\r\n");
        for (name, value) in &self.headers {
            match name.as_str() {
                "via" | "from" | "call-id" | "cseq" => {
                    let _ = write!(text, "{name}: {value}\r\n");
                }
                "to" => {
                    let _ = write!(text, "To: {value};tag=phone\r\n");
                }
                _ => {}
            }
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        text.into_bytes()
    }
}

/// A response that came.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    /// Status code.
    pub(crate) status: u16,
    /// Reason phrase.
    pub(crate) reason: String,
    /// Header fields in order, names in lower case and in their long form where the tests look for them.
    pub(crate) headers: Vec<(String, String)>,
}

impl Response {
    /// The response that a message is; the message itself if it is a request.
    ///
    /// # Panics
    /// On a status line that is none.
    pub(crate) fn of(message: Incoming) -> Result<Self, Incoming> {
        let Some(rest) = message.start.strip_prefix("SIP/2.0 ") else {
            return Err(message);
        };
        let (status, reason) = rest
            .split_once(' ')
            .unwrap_or_else(|| panic!("not a status line: {:?}", message.start));
        Ok(Self {
            status: status.parse().expect("a status code"),
            reason: reason.to_owned(),
            headers: message.headers,
        })
    }

    /// All values of one header field, in order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of one header field.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}
