//! A response on its way back: RFC 3261 §16.7 steps 3 and 9.

use super::draft::write_numbered;
use crate::sip::{
    HeaderName, Message, Run, StartLine, StatusCode, Via, are_header_lines, first_via,
    is_header_text, is_token,
};

/// Appends a response as it goes upstream: without its topmost Via, which is ours.
///
/// `status` takes the place of its status and reason phrase, as when a 503 becomes a 500 (RFC 3261 §16.7 step 6). `extra`
/// are further header lines, each ended by CRLF: challenges or contacts of other responses. `server` is written where the
/// response names none.
///
/// Nobody could answer a response to say that it is broken: a line of it that is no header field is left out.
///
/// False, with nothing appended, if it cannot go on: no further Via that could be read says whom it is for, or nobody can
/// say how long it is.
#[must_use]
pub fn write_response(
    response: &Message<'_>,
    status: Option<(StatusCode, &str)>,
    extra: &[u8],
    server: Option<&str>,
    out: &mut Vec<u8>,
) -> bool {
    let is_read = matches!(response.start_line(), StartLine::Response { .. });
    let passes = is_read && can_go_on(response);
    if passes {
        write_passable(response, status, extra, server, out);
    }
    passes
}

/// The same for a response of which it is known that it can go on.
pub(super) fn write_passable(
    response: &Message<'_>,
    status: Option<(StatusCode, &str)>,
    extra: &[u8],
    server: Option<&str>,
    out: &mut Vec<u8>,
) {
    let StartLine::Response {
        status: own,
        reason,
    } = response.start_line()
    else {
        return;
    };
    debug_assert!(can_go_on(response));
    debug_assert!(are_header_lines(extra));
    let (status, reason) = match status {
        Some((status, phrase)) => (status, phrase.as_bytes()),
        None => (own, reason),
    };
    debug_assert!(is_header_text(reason));
    out.reserve(response.as_bytes().len() + extra.len() + server.map_or(0, str::len) + MARGIN);
    out.extend_from_slice(b"SIP/2.0 ");
    out.extend_from_slice(&status.digits());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    let broken = response.fault().is_some();
    let mut run = Run::new(response);
    let mut via_on_top = true;
    let mut server = server;
    let mut length = Some(response.body().len());
    for line in response.lines() {
        match line.name {
            HeaderName::Via if via_on_top => {
                via_on_top = false;
                run.end(out);
                let rest = behind_first(line.value);
                if !rest.is_empty() {
                    out.extend_from_slice(b"Via: ");
                    out.extend_from_slice(rest);
                    out.extend_from_slice(b"\r\n");
                }
            }
            HeaderName::ContentLength => {
                run.end(out);
                if let Some(length) = length.take() {
                    write_numbered(HeaderName::ContentLength, length, out);
                }
            }
            HeaderName::Server => {
                server = None;
                run.keep(&line);
            }
            HeaderName::Other if broken && !is_token(line.text) => run.end(out),
            _ => run.keep(&line),
        }
    }
    run.end(out);
    out.extend_from_slice(extra);
    if let Some(server) = server {
        debug_assert!(is_header_text(server.as_bytes()));
        out.extend_from_slice(b"Server: ");
        out.extend_from_slice(server.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(length) = length {
        write_numbered(HeaderName::ContentLength, length, out);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(response.body());
}

/// Room for the names of fields and numbers that are put in.
const MARGIN: usize = 64;

/// Whether [`write_response`] can write this response.
pub(super) fn can_go_on(response: &Message<'_>) -> bool {
    response.content_length().is_ok() && is_for_somebody(response)
}

/// Whether there is a Via behind the topmost that can be read.
fn is_for_somebody(response: &Message<'_>) -> bool {
    let mut fields = response.all(HeaderName::Via);
    let next = match behind_first(fields.next().unwrap_or_default()) {
        b"" => fields.next().unwrap_or_default(),
        rest => rest,
    };
    Via::parse(first_via(next)).is_some()
}

/// What stands behind the first value of a Via field that may be a list.
fn behind_first(field: &[u8]) -> &[u8] {
    let rest = field.get(first_via(field).len()..).unwrap_or_default();
    rest.trim_ascii_start()
        .strip_prefix(b",")
        .unwrap_or_default()
        .trim_ascii_start()
}
