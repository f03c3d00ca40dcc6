//! Which request of ours a response belongs to: RFC 3261 §17.1.3, and the sent-by of §18.1.2.

use smallvec::SmallVec;

use super::key::{Kind, Scope};
use crate::sip::Response;

/// What identifies a client transaction: where its request went, branch and sent-by of the Via that we put on top, and
/// the method.
///
/// With the [`Scope`] a response counts only if it comes from where the request went: nobody else can answer it,
/// whatever he knows of the branch. Branches are ours and come back as they were: compared octet by octet. A CANCEL has
/// the branch of its INVITE, and the method keeps the two apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    octets: SmallVec<[u8; 96]>,
    kind: Kind,
}

impl ClientKey {
    /// The key of a request whose topmost Via has this branch and sent-by.
    pub fn new(scope: Scope, branch: &[u8], sent_by: &str, method: &[u8]) -> Self {
        let mut octets = SmallVec::new();
        octets.extend_from_slice(&scope.0.to_be_bytes());
        octets.extend_from_slice(&branch.len().to_be_bytes());
        octets.extend_from_slice(branch);
        // Without blanks and in lower case: what is left are graphic octets, and a NUL ends them.
        let sent_by = sent_by.bytes().filter(|o| !matches!(o, b' ' | b'\t'));
        octets.extend(sent_by.map(|o| o.to_ascii_lowercase()));
        octets.push(0);
        octets.extend_from_slice(method);
        let kind = match method {
            b"INVITE" => Kind::Invite,
            b"ACK" => Kind::Ack,
            b"CANCEL" => Kind::Cancel,
            _ => Kind::Other,
        };
        Self { octets, kind }
    }

    /// The key of the request that this response answers; `None` without a branch, since all our requests have one.
    pub fn of(response: &Response<'_>, scope: Scope) -> Option<Self> {
        let branch = response.via.branch()?;
        Some(Self::new(
            scope,
            branch,
            response.via.sent_by,
            response.method,
        ))
    }

    /// What the request is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is compared.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sip::Message;

    #[test]
    fn a_cancel_is_not_its_invite() {
        let via = "SIP/2.0/TLS h:5061;branch=z9hG4bK1";
        for (sent, answered, same) in [
            ("INVITE", "INVITE", true),
            ("CANCEL", "CANCEL", true),
            ("INVITE", "CANCEL", false),
            ("CANCEL", "INVITE", false),
            ("INVITE", "ACK", false),
            ("INVITE", "invite", false),
        ] {
            let sent_as = ClientKey::new(Scope(7), b"z9hG4bK1", "h:5061", sent.as_bytes());
            let text = format!("SIP/2.0 200 OK\r\nVia: {via}\r\nCSeq: 1 {answered}\r\n\r\n");
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let key = ClientKey::of(&Response::read(&message).unwrap(), Scope(7));
            assert_eq!(key == Some(sent_as), same, "{sent} answered as {answered}");
        }
    }

    #[test]
    fn the_method_says_what_the_request_is() {
        for (method, kind) in [
            ("INVITE", Kind::Invite),
            ("ACK", Kind::Ack),
            ("CANCEL", Kind::Cancel),
            ("MESSAGE", Kind::Other),
            ("Invite", Kind::Other),
            ("", Kind::Other),
        ] {
            let key = ClientKey::new(Scope(7), b"z9hG4bK1", "h", method.as_bytes());
            assert_eq!(key.kind(), kind, "{method}");
        }
    }

    #[test]
    fn branch_sent_by_method_and_where_it_comes_from_decide() {
        let sent = ClientKey::new(Scope(7), b"z9hG4bKaB1", "h.example.org:5061", b"MESSAGE");
        for (situation, via, method, scope, same) in [
            (
                "as it went out",
                "SIP/2.0/TLS h.example.org:5061;branch=z9hG4bKaB1",
                "MESSAGE",
                7,
                true,
            ),
            (
                "with what the other side added",
                "SIP/2.0/TLS h.example.org:5061;received=192.0.2.1;branch=z9hG4bKaB1;rport=9",
                "MESSAGE",
                7,
                true,
            ),
            (
                "host in other letters, blanks",
                "SIP/2.0/TLS H.Example.ORG : 5061 ;branch=z9hG4bKaB1",
                "MESSAGE",
                7,
                true,
            ),
            (
                "branch in other letters",
                "SIP/2.0/TLS h.example.org:5061;branch=z9hG4bKab1",
                "MESSAGE",
                7,
                false,
            ),
            (
                "another branch",
                "SIP/2.0/TLS h.example.org:5061;branch=z9hG4bKaB2",
                "MESSAGE",
                7,
                false,
            ),
            (
                "no branch",
                "SIP/2.0/TLS h.example.org:5061",
                "MESSAGE",
                7,
                false,
            ),
            (
                "sent-by of somebody else",
                "SIP/2.0/TLS i.example.org:5061;branch=z9hG4bKaB1",
                "MESSAGE",
                7,
                false,
            ),
            (
                "another port",
                "SIP/2.0/TLS h.example.org;branch=z9hG4bKaB1",
                "MESSAGE",
                7,
                false,
            ),
            (
                "another method",
                "SIP/2.0/TLS h.example.org:5061;branch=z9hG4bKaB1",
                "OPTIONS",
                7,
                false,
            ),
            (
                "from another connection",
                "SIP/2.0/TLS h.example.org:5061;branch=z9hG4bKaB1",
                "MESSAGE",
                8,
                false,
            ),
        ] {
            let text = format!("SIP/2.0 200 OK\r\nVia: {via}\r\nCSeq: 1 {method}\r\n\r\n");
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let response = Response::read(&message).unwrap();
            let key = ClientKey::of(&response, Scope(scope));
            assert_eq!(key.as_ref() == Some(&sent), same, "{situation}");
        }
    }
}
