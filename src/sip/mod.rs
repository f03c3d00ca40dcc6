//! What a SIP message is: RFC 3261 §7, §19, §20, §25.
//!
//! Pure. Knows nothing of sockets, time or users. Octets become a [`Message`] (positions in a borrowed buffer), a
//! message whose mandatory fields are good becomes a [`Request`], and a [`Reply`] is written for either.

mod address;
mod copying;
mod datagram;
mod equivalence;
mod framing;
mod host;
mod message;
mod method;
mod name;
mod normalise;
mod parameters;
#[cfg(test)]
mod properties;
mod received;
mod reply;
mod request;
mod response;
mod start_line;
mod status;
mod text;
#[cfg(test)]
mod torture_tests;
mod uri;
mod via;

pub use address::{Address, addresses};
pub(crate) use copying::{Line, Run};
pub use datagram::{Payload, read_datagram};
pub use equivalence::canonical_user;
pub use framing::{Frame, FrameLimits, Framer};
pub use host::{Host, canonical_domain};
pub use message::{Fault, Message};
pub use method::Method;
pub use name::HeaderName;
pub use parameters::Parameters;
pub(crate) use received::Received;
pub use reply::{Reply, lists, unsupported};
pub use request::{FromRule, Request};
pub use response::Response;
pub use start_line::StartLine;
pub use status::StatusCode;
pub(crate) use text::{
    are_header_lines, is_header_text, is_token, split_list as list_elements, split_quoted,
    write_ip, write_number,
};
pub use uri::{SipUri, Uri};
pub(crate) use via::first_value as first_via;
pub use via::{MAGIC_COOKIE, Via};
