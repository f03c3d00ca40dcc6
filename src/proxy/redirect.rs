//! Places that a redirection names, to be tried by us: RFC 3261 §16.7 step 4.

use super::best_response::contacts;
use super::target::{Origin, Target};
use crate::registrar::QValue;
use crate::sip::{Address, Message, SipUri, Uri};

/// What becomes of the Contacts of a redirection.
#[derive(Debug, Default)]
pub(super) struct Redirection {
    /// Those to be tried, in the order that they are written in.
    pub(super) followed: Vec<Target>,
    /// How many of them are targets already.
    pub(super) known: usize,
    /// The others, which the caller may try: not ours to follow, or too many.
    pub(super) rest: Vec<Vec<u8>>,
}

/// Sorts the Contacts of a redirection by a place that was tried by a SIPS URI, or not. `room` is how many more may be
/// tried; `is_known` says whether a target is, or was, one already.
pub(super) fn follow(
    response: &Message<'_>,
    secure: bool,
    room: usize,
    is_known: impl Fn(&Target) -> bool,
) -> Redirection {
    let mut sorted = Redirection::default();
    for (element, contact) in contacts(response) {
        match target(&contact, secure) {
            Some(target) => {
                let is_twice = sorted.followed.iter().any(|other| other.is_same(&target));
                if is_twice || is_known(&target) {
                    sorted.known += 1;
                } else if sorted.followed.len() < room {
                    sorted.followed.push(target);
                } else {
                    sorted.rest.push(element.to_vec());
                }
            }
            None => sorted.rest.push(element.to_vec()),
        }
    }
    sorted
}

/// The target that a Contact is, if it is one for us: a SIP or SIPS URI, the latter after a SIPS URI (RFC 3261 §16.7 step
/// 4). Its headers are dropped, and one for another method is none: a Request-URI has neither (RFC 3261 §19.1.1).
fn target(contact: &Address<'_>, secure: bool) -> Option<Target> {
    let Uri::Sip(uri) = contact.uri else {
        return None;
    };
    if (secure && !uri.secure) || uri.parameters.value("method").is_some() {
        return None;
    }
    let uri = SipUri { headers: "", ..uri };
    let q = contact.parameters.value("q").and_then(QValue::parse);
    Some(Target {
        q: q.unwrap_or(QValue::DEFAULT),
        ..Target::of(uri.to_string(), Origin::Redirect)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Followed, and left for the caller.
    fn sorted(contacts: &str, secure: bool, room: usize) -> (String, String) {
        let text = format!("SIP/2.0 302 Moved\r\n{contacts}\r\n\r\n");
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let known = Target::of("sip:known@h".to_owned(), Origin::Binding);
        let found = follow(&message, secure, room, |target| target.is_same(&known));
        let followed: Vec<_> = found
            .followed
            .iter()
            .map(|t| format!("{} {}", t.uri, t.q))
            .collect();
        let rest = found.rest.join(&b", "[..]);
        (
            followed.join(", "),
            String::from_utf8_lossy(&rest).into_owned(),
        )
    }

    #[test]
    fn contacts_are_followed_or_left() {
        for (situation, contacts, secure, room, followed, left) in [
            ("one", "Contact: <sip:a@h>", false, 9, "sip:a@h 1", ""),
            (
                "several, with preferences",
                "Contact: <sip:a@h>;q=0.2, sip:b@h;q=0.7\r\nm: <sips:c@h;transport=tcp>",
                false,
                9,
                "sip:a@h 0.2, sip:b@h 0.7, sips:c@h;transport=tcp 1",
                "",
            ),
            (
                "other schemes",
                "Contact: <tel:+1>;q=0.5, <sip:a@h>, <mailto:a@h>",
                false,
                9,
                "sip:a@h 1",
                "<tel:+1>;q=0.5, <mailto:a@h>",
            ),
            (
                "SIPS stays SIPS",
                "Contact: <sip:a@h>, <sips:a@h>",
                true,
                9,
                "sips:a@h 1",
                "<sip:a@h>",
            ),
            (
                "known ones and repetitions",
                "Contact: <sip:KNOWN@h>, <sip:known@H;x>, <sip:a@h>, <sip:a@H>",
                false,
                9,
                "sip:KNOWN@h 1, sip:a@h 1",
                "",
            ),
            (
                "more than there is room for",
                "Contact: <sip:a@h>, <sip:b@h>, <sip:a@h>",
                false,
                1,
                "sip:a@h 1",
                "<sip:b@h>",
            ),
            (
                "headers and another method",
                "Contact: <sip:a@h?Route=x>, <sip:b@h;method=BYE>",
                false,
                9,
                "sip:a@h 1",
                "<sip:b@h;method=BYE>",
            ),
            (
                "what cannot be read",
                "Contact: *, <sip:a@h, nonsense, <sip:b@h>;q=9",
                false,
                9,
                "",
                "",
            ),
            (
                "an unreadable preference",
                "Contact: <sip:b@h>;q=9",
                false,
                9,
                "sip:b@h 1",
                "",
            ),
        ] {
            assert_eq!(
                sorted(contacts, secure, room),
                (followed.to_owned(), left.to_owned()),
                "{situation}"
            );
        }
    }

    #[test]
    fn no_more_contacts_are_looked_at_than_a_request_may_have_targets() {
        let many: Vec<_> = (0..1000).map(|n| format!("<tel:{n}>")).collect();
        let (_, left) = sorted(&format!("Contact: {}", many.join(",")), false, 9);
        assert_eq!(left.split(", ").count(), super::super::MAX_TARGETS);
    }
}
