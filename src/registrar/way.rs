//! How a REGISTER came, and so how its contacts are reached: straight from the device (RFC 5626 §6), or through proxies that
//! have put themselves into Path (RFC 3327 §5.3).

use super::binding::FlowId;
use super::options::OutboundOptions;
use super::register::Outcome;
use crate::sip::{Address, HeaderName, Request, StatusCode, list_elements, lists};

/// What the transport and admission know of a REGISTER.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The flow that it came over.
    pub flow: Option<FlowId>,
    /// Whether its sender may say through whom others are reached: a server may, a phone has no business to.
    pub may_add_path: bool,
}

/// The way to the contacts of a REGISTER.
pub(super) struct Way {
    /// The Path, values parted by commas; empty without one.
    pub(super) path: Vec<u8>,
    /// The flow that they are reached over, unless there is a Path.
    pub(super) flow: Option<FlowId>,
    /// Whether whoever holds the flow of the device sends requests over it: us, or an edge proxy that says so.
    pub(super) keeps_flow: bool,
    /// Whether the device has sent it to us without a proxy between.
    pub(super) is_direct: bool,
    /// Whether the device asks for RFC 5626.
    pub(super) wants_outbound: bool,
}

impl Way {
    /// Looks at a request.
    ///
    /// Refuses with 400 (Path cannot be read), 403 (a Path from somebody who may not add one) and 420 (a Path that the
    /// device does not know of, RFC 3327 §5.3).
    pub(super) fn of(
        request: &Request<'_>,
        options: &OutboundOptions,
        arrival: Arrival,
    ) -> Result<Self, Outcome> {
        let message = request.message;
        let path = read_path(message.all(HeaderName::Path))
            .ok_or_else(|| Outcome::bad_request("Malformed Path"))?;
        let vias = message.all(HeaderName::Via).flat_map(list_elements);
        let is_direct = path.is_empty() && vias.take(2).count() == 1;
        if !path.is_empty() {
            if !arrival.may_add_path {
                return Err(Outcome::refused(
                    StatusCode::FORBIDDEN,
                    "Path Not Accepted From Here",
                ));
            }
            if !lists(message, HeaderName::Supported, "path") {
                let status = StatusCode::BAD_EXTENSION;
                return Err(
                    Outcome::refused(status, status.phrase()).with_header("Unsupported", "path")
                );
            }
        }
        let keeps_flow = match path.is_empty() {
            true => is_direct && arrival.flow.is_some(),
            false => options.assume_edge || ends_at_edge(&path),
        };
        Ok(Self {
            flow: arrival.flow.filter(|_| path.is_empty()),
            path,
            keeps_flow: options.enabled && keeps_flow,
            is_direct,
            wants_outbound: options.enabled && lists(message, HeaderName::Supported, "outbound"),
        })
    }
}

/// Whether the proxy next to the device, whose value of Path is the last, holds its flow. RFC 5626 §6 says "the first URI": the
/// first that was added.
fn ends_at_edge(path: &[u8]) -> bool {
    let last = list_elements(path).last().and_then(Address::parse);
    last.is_some_and(|last| {
        let uri = last.uri.sip();
        uri.is_some_and(|uri| uri.parameters.value("ob").is_some())
    })
}

/// The values of Path fields as one list; `None` if one of them is nothing that a Route could be.
pub(super) fn read_path<'m>(fields: impl Iterator<Item = &'m [u8]>) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    for element in fields.flat_map(list_elements) {
        // RFC 3261 §7.3.1: a field may be an empty list where it may be a list.
        if element.is_empty() {
            continue;
        }
        let address = Address::parse(element)?;
        let is_route = address.uri.sip().is_some_and(|uri| uri.headers.is_empty());
        let is_text = std::str::from_utf8(element).is_ok_and(|t| !t.contains(char::is_control));
        if !is_route || !is_text {
            return None;
        }
        if !path.is_empty() {
            path.push(b',');
        }
        path.extend_from_slice(element);
    }
    Some(path)
}
