//! Which transaction a request belongs to (RFC 3261 §17.2.3, §9.2), and the RFC 2543 fallback.

use smallvec::SmallVec;

use crate::sip::{MAGIC_COOKIE, Method, Request};

/// Who sends, as a number: requests of two scopes never belong to one transaction, whatever their branches say.
///
/// Without it a peer that sees or guesses a branch could cancel somebody else's call, or have a request swallowed as
/// a retransmission. All connections that proved the same identity may share one; 0 is for those that proved nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scope(pub u64);

/// What a request is to the transaction layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// INVITE: Figure 7.
    Invite,
    /// ACK: begins no transaction; belongs to that of its INVITE.
    Ack,
    /// CANCEL: a transaction like others, about another one.
    Cancel,
    /// Any other: Figure 8.
    Other,
}

/// What identifies the transaction of a request: lengths and texts one behind the other, on the stack for usual ones.
///
/// Branches are compared octet by octet: a client repeats its own spelling, and two that differ in case only may be two.
#[derive(Debug, Clone)]
pub struct Key {
    octets: SmallVec<[u8; 128]>,
    method_at: usize,
    kind: Kind,
}

impl PartialEq for Key {
    /// An ACK is equal to its INVITE.
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Key {}

impl Key {
    /// The key of a request: branch, sent-by and method, or for an RFC 2543 client (no branch with the magic cookie)
    /// Request-URI, From tag, Call-ID, CSeq, top Via, method and To tag.
    ///
    /// Deviation: for INVITE, its ACK and its CANCEL of an RFC 2543 client the To tag is left out. An initial INVITE
    /// has none while its ACK has that of our response; a re-INVITE differs by its CSeq.
    pub fn of(request: &Request<'_>, scope: Scope) -> Self {
        let (kind, method) = match request.method {
            Method::Invite => (Kind::Invite, Method::Invite.as_str()),
            Method::Ack => (Kind::Ack, Method::Invite.as_str()),
            Method::Cancel => (Kind::Cancel, Method::Cancel.as_str()),
            other => (Kind::Other, other.as_str()),
        };
        let mut octets = SmallVec::new();
        octets.extend_from_slice(&scope.0.to_be_bytes());
        let branch = request.via.branch().filter(|b| b.starts_with(MAGIC_COOKIE));
        octets.push(u8::from(branch.is_some()));
        match branch {
            Some(branch) => {
                part(&mut octets, branch);
                let sent_by = request.via.sent_by.bytes();
                octets.extend(
                    sent_by
                        .filter(|o| !matches!(o, b' ' | b'\t'))
                        .map(|o| o.to_ascii_lowercase()),
                );
                // A sent-by is made of graphic octets: this one ends it.
                octets.push(0);
            }
            None => {
                part(&mut octets, request.uri_text);
                part(&mut octets, request.from.tag().unwrap_or_default());
                part(&mut octets, request.call_id);
                octets.extend_from_slice(&request.cseq.to_be_bytes());
                part(&mut octets, request.message.top_via().unwrap_or_default());
            }
        }
        let method_at = octets.len();
        octets.extend_from_slice(method.as_bytes());
        if branch.is_none() && kind == Kind::Other {
            octets.push(0);
            octets.extend_from_slice(request.to.tag().unwrap_or_default());
        }
        Self {
            octets,
            method_at,
            kind,
        }
    }

    /// The key of the INVITE that this CANCEL is about (RFC 3261 §9.2); `None` for any other request.
    pub fn cancelled(&self) -> Option<Self> {
        if self.kind != Kind::Cancel {
            return None;
        }
        let mut octets = self.octets.clone();
        octets.truncate(self.method_at);
        octets.extend_from_slice(Method::Invite.as_str().as_bytes());
        Some(Self {
            octets,
            method_at: self.method_at,
            kind: Kind::Invite,
        })
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

/// Appends a text of any octets so that its end is known.
fn part(octets: &mut SmallVec<[u8; 128]>, text: &[u8]) {
    octets.extend_from_slice(&text.len().to_be_bytes());
    octets.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sip::{FromRule, Message};

    const COOKIE: &str = "SIP/2.0/UDP h.example:5060;branch=z9hG4bKabc";

    struct Sent<'a> {
        method: &'a str,
        via: &'a str,
        uri: &'a str,
        from_tag: &'a str,
        to_tag: &'a str,
        call_id: &'a str,
        cseq: u32,
        scope: u64,
    }

    const INVITE: Sent<'static> = Sent {
        method: "INVITE",
        via: COOKIE,
        uri: "sip:bob@example.org",
        from_tag: "f",
        to_tag: "",
        call_id: "c",
        cseq: 1,
        scope: 0,
    };

    fn key(sent: &Sent<'_>) -> Key {
        let text = format!(
            "{} {} SIP/2.0\r\nVia: {}\r\nFrom: <sip:a@example.org>;tag={}\r\nTo: <sip:b@example.org>{}\r\n\
             Call-ID: {}\r\nCSeq: {} {}\r\n\r\n",
            sent.method,
            sent.uri,
            sent.via,
            sent.from_tag,
            sent.to_tag,
            sent.call_id,
            sent.cseq,
            sent.method
        );
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        Key::of(
            &Request::read(&message, FromRule::Single).unwrap(),
            Scope(sent.scope),
        )
    }

    #[test]
    fn branch_sent_by_and_method_decide() {
        let first = key(&INVITE);
        for (situation, other, same) in [
            ("itself", INVITE, true),
            (
                "another Call-ID",
                Sent {
                    call_id: "d",
                    ..INVITE
                },
                true,
            ),
            (
                "its ACK",
                Sent {
                    method: "ACK",
                    to_tag: ";tag=t",
                    ..INVITE
                },
                true,
            ),
            (
                "its CANCEL",
                Sent {
                    method: "CANCEL",
                    ..INVITE
                },
                false,
            ),
            (
                "another method",
                Sent {
                    method: "OPTIONS",
                    ..INVITE
                },
                false,
            ),
            (
                "branch",
                Sent {
                    via: "SIP/2.0/UDP h.example:5060;branch=z9hG4bKabd",
                    ..INVITE
                },
                false,
            ),
            (
                "case of the branch",
                Sent {
                    via: "SIP/2.0/UDP h.example:5060;branch=z9hG4bKABC",
                    ..INVITE
                },
                false,
            ),
            (
                "case of the host",
                Sent {
                    via: "SIP/2.0/UDP H.example:5060;branch=z9hG4bKabc",
                    ..INVITE
                },
                true,
            ),
            (
                "blanks in sent-by",
                Sent {
                    via: "SIP/2.0/UDP h.example : 5060;branch=z9hG4bKabc",
                    ..INVITE
                },
                true,
            ),
            (
                "another port",
                Sent {
                    via: "SIP/2.0/UDP h.example:5061;branch=z9hG4bKabc",
                    ..INVITE
                },
                false,
            ),
            (
                "another host",
                Sent {
                    via: "SIP/2.0/UDP i.example:5060;branch=z9hG4bKabc",
                    ..INVITE
                },
                false,
            ),
            ("another peer", Sent { scope: 1, ..INVITE }, false),
        ] {
            assert_eq!(first == key(&other), same, "{situation}");
        }
    }

    #[test]
    fn without_a_cookie_the_fields_of_rfc_2543_decide() {
        for via in [
            "SIP/2.0/UDP h.example:5060;branch=1",
            "SIP/2.0/UDP h.example:5060",
        ] {
            let old = |method| Sent {
                method,
                via,
                ..INVITE
            };
            let first = key(&old("INVITE"));
            let options = key(&old("OPTIONS"));
            for (situation, change, same) in [
                (
                    "itself",
                    (|s| s) as fn(Sent<'static>) -> Sent<'static>,
                    true,
                ),
                (
                    "Request-URI",
                    |s| Sent {
                        uri: "sip:c@example.org",
                        ..s
                    },
                    false,
                ),
                ("From tag", |s| Sent { from_tag: "g", ..s }, false),
                ("Call-ID", |s| Sent { call_id: "d", ..s }, false),
                ("CSeq", |s| Sent { cseq: 2, ..s }, false),
                (
                    "top Via",
                    |s| Sent {
                        via: "SIP/2.0/UDP h.example:5062",
                        ..s
                    },
                    false,
                ),
            ] {
                let invite = change(Sent {
                    method: "INVITE",
                    via: "",
                    ..INVITE
                });
                let with_via = |s: Sent<'static>, method| -> Key {
                    let via = if s.via.is_empty() { via } else { s.via };
                    key(&Sent { method, via, ..s })
                };
                assert_eq!(first == with_via(invite, "INVITE"), same, "{situation}");
                let ack = change(Sent {
                    via: "",
                    to_tag: ";tag=t",
                    ..INVITE
                });
                assert_eq!(first == with_via(ack, "ACK"), same, "{situation}, ACK");
                let other = change(Sent { via: "", ..INVITE });
                assert_eq!(
                    options == with_via(other, "OPTIONS"),
                    same,
                    "{situation}, OPTIONS"
                );
            }
            let tagged = key(&Sent {
                to_tag: ";tag=t",
                ..old("OPTIONS")
            });
            assert_ne!(options, tagged, "To tag");
        }
    }

    #[test]
    fn a_cancel_names_its_invite() {
        for via in [
            COOKIE,
            "SIP/2.0/UDP h.example:5060",
            "SIP/2.0/UDP h.example:5060;branch=1",
        ] {
            let invite = key(&Sent { via, ..INVITE });
            let cancel = key(&Sent {
                via,
                method: "CANCEL",
                ..INVITE
            });
            assert_eq!(cancel.cancelled().as_ref(), Some(&invite));
            assert_eq!(invite.cancelled(), None);
            let foreign = key(&Sent {
                via,
                method: "CANCEL",
                scope: 1,
                ..INVITE
            });
            assert_ne!(foreign.cancelled(), Some(invite));
        }
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let via = "SIP/2.0/UDP h.example:5060";
        let first = key(&Sent {
            via,
            from_tag: "fc",
            call_id: "c",
            ..INVITE
        });
        let second = key(&Sent {
            via,
            from_tag: "f",
            call_id: "cc",
            ..INVITE
        });
        assert_ne!(first, second);
    }

    #[test]
    fn usual_keys_need_no_allocation() {
        let via = "SIP/2.0/TLS [2001:db8::1234:5678]:5061;branch=z9hG4bK-524287-1---0123456789abcdef;rport";
        assert!(
            !key(&Sent {
                via,
                method: "REGISTER",
                ..INVITE
            })
            .octets
            .spilled()
        );
    }
}
