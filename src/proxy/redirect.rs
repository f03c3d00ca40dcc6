//! Places that a redirection names, to be tried by us: RFC 3261 §16.7 step 4.

use super::best_response::contacts;
use super::target::Target;
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
/// tried; `leads` says which places a Contact stands for, none if it is not ours to follow; `is_known` says whether a target
/// is, or was, one already.
pub(super) fn follow(
    response: &Message<'_>,
    secure: bool,
    room: usize,
    leads: &dyn Fn(&SipUri<'_>) -> Vec<Target>,
    is_known: impl Fn(&Target) -> bool,
) -> Redirection {
    let mut sorted = Redirection::default();
    for (element, contact) in contacts(response) {
        let targets = place(&contact, secure).map_or_else(Vec::new, |uri| leads(&uri));
        let q = contact.parameters.value("q").and_then(QValue::parse);
        let is_left = targets.is_empty();
        let all = targets.len();
        let mut new = targets;
        new.retain(|target| {
            let is_twice = sorted.followed.iter().any(|other| other.is_same(target));
            !is_twice && !is_known(target)
        });
        if is_left || (!new.is_empty() && sorted.followed.len() >= room) {
            sorted.rest.push(element.to_vec());
            continue;
        }
        sorted.known += all - new.len();
        new.truncate(room.saturating_sub(sorted.followed.len()));
        sorted.followed.extend(new.into_iter().map(|target| Target {
            q: q.unwrap_or(QValue::DEFAULT),
            ..target
        }));
    }
    sorted
}

/// The URI of a Contact, if it is one for us: a SIP or SIPS URI, the latter after a SIPS URI (RFC 3261 §16.7 step 4). Its
/// headers are dropped, and one for another method is none: a Request-URI has neither (RFC 3261 §19.1.1).
fn place<'c>(contact: &Address<'c>, secure: bool) -> Option<SipUri<'c>> {
    let Uri::Sip(uri) = contact.uri else {
        return None;
    };
    if (secure && !uri.secure) || uri.parameters.value("method").is_some() {
        return None;
    }
    Some(SipUri { headers: "", ..uri })
}

#[cfg(test)]
mod tests {
    use super::super::target::Origin;
    use super::*;

    /// Followed, and left for the caller.
    fn sorted(contacts: &str, secure: bool, room: usize) -> (String, String) {
        let text = format!("SIP/2.0 302 Moved\r\n{contacts}\r\n\r\n");
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let known = Target::of("sip:known@h".to_owned(), Origin::Binding);
        // A user of ours has two phones, and another has none; everybody else is where the URI says.
        let leads = |uri: &SipUri<'_>| {
            let at = |uri: String| Target::of(uri, Origin::Redirect);
            match (uri.user, &*uri.host.canonical()) {
                (Some("two"), "ours") => vec![at("sip:1@phone".into()), at("sip:2@phone".into())],
                (_, "ours") => Vec::new(),
                _ => vec![at(uri.to_string())],
            }
        };
        let found = follow(&message, secure, room, &leads, |target| {
            target.is_same(&known)
        });
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
                "users of ours",
                "Contact: <sip:two@ours>;q=0.5, <sip:none@ours>, <sip:two@OURS>",
                false,
                9,
                "sip:1@phone 0.5, sip:2@phone 0.5",
                "<sip:none@ours>",
            ),
            (
                "more phones than there is room for",
                "Contact: <sip:two@ours>, <sip:two@ours>, <sip:a@h>",
                false,
                1,
                "sip:1@phone 1",
                "<sip:two@ours>, <sip:a@h>",
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
