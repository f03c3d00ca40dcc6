//! May whoever registered an address-of-record still do so? Asked when rules have changed and nobody has sent a request.

use super::admit::{Challenge, Decision, Hearing, Rules, Silent, decide};
use super::check::{Answers, Peer, Pending};
use super::digest::DigestUser;
use super::verdict::{Ground, IdentityPath, Refusal};
use crate::sip::{Message, Request};

/// What has become of the right to an address-of-record.
#[derive(Debug)]
pub enum Right {
    /// It is still there.
    Stands,
    /// A REGISTER would be refused now, with this if it could be judged at all.
    Gone(Option<Box<Refusal>>),
    /// It depends on answers that take time: answer on the lookup pool, then ask again with them.
    Pending(Pending),
}

/// Judges an address-of-record, `user@host`, as a REGISTER of this peer's for it would be judged now. What only the request
/// itself could prove ([`Ground::is_of_the_request`]) is not proved here; but a password is: whoever has registered had to
/// prove it, where one was wanted, and it does not change with the rules.
pub fn may_still_register(aor: &str, peer: &Peer<'_>, rules: &Rules, answers: Answers) -> Right {
    let (user, host) = aor
        .rsplit_once('@')
        .map_or(("", aor), |(user, host)| (user, host));
    // The canonical form of an IPv6 address has no brackets, and a URI does.
    let (open, close) = if host.contains(':') {
        ("[", "]")
    } else {
        ("", "")
    };
    let at = if user.is_empty() { "" } else { "@" };
    let uri = format!("sip:{user}{at}{open}{host}{close}");
    let text = format!(
        "REGISTER sip:{open}{host}{close} SIP/2.0\r\nVia: SIP/2.0/TLS localhost;branch=z9hG4bK-\r\nFrom: <{uri}>;tag=-\r\n\
         To: <{uri}>\r\nCall-ID: -\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\n\r\n"
    );
    let message = Message::parse(text.as_bytes(), text.len(), FIELDS);
    let Ok(request) = Request::read(&message, rules.identity.from_rule()) else {
        return Right::Gone(None);
    };
    let proved = || DigestUser {
        user: user.to_owned(),
        domain: host.to_owned(),
        realm: host.to_owned(),
    };
    let hearing = Hearing {
        stated: rules.wants_digest.then(proved),
        ..Hearing::new(peer, IdentityPath::Registrar.into(), rules)
    };
    match decide(request, &hearing, answers, &mut Silent) {
        Decision::Admit(_) => Right::Stands,
        Decision::Pending(pending) => Right::Pending(pending),
        Decision::Refuse(refusal)
        | Decision::Drop(refusal)
        | Decision::Challenge(Challenge { refusal, .. }) => Right::Gone(Some(Box::new(refusal))),
    }
}

/// Header fields of the request above, and a few more.
const FIELDS: usize = 16;

impl Ground {
    /// Whether the request itself brought the proof, so that it cannot be judged again without it.
    pub fn is_of_the_request(&self) -> bool {
        matches!(self, Self::DialogLeg(_))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::test_support::{cert, options, peer};
    use super::super::{Identities, IdentityRules, Mappings, NamePolicy, Transport};
    use super::*;

    #[test]
    fn an_address_of_record_is_judged_as_a_register_for_it_would_be() {
        let mapped = "00:04:F2:2B:3E:B5\talice@example.org\n";
        let ipv6 = &["IP:2001:db8::1"][..];
        for (situation, cn, sans, mappings, aor, stands) in [
            (
                "its own name",
                "",
                &["URI:sip:alice@example.org"][..],
                "",
                "alice@example.org",
                true,
            ),
            (
                "another's",
                "",
                &["URI:sip:alice@example.org"],
                "",
                "bob@example.org",
                false,
            ),
            (
                "any user of its domain",
                "",
                &["URI:sip:example.org"],
                "",
                "bob@example.org",
                true,
            ),
            (
                "mapped",
                "0004F22B3EB5",
                &[],
                mapped,
                "alice@example.org",
                true,
            ),
            (
                "mapped no more",
                "0004F22B3EB5",
                &[],
                "",
                "alice@example.org",
                false,
            ),
            (
                "no user",
                "",
                &["URI:sip:example.org"],
                "",
                "example.org",
                true,
            ),
            ("an address", "", ipv6, "", "a@2001:db8::1", true),
            ("another address", "", ipv6, "", "a@2001:db8::2", false),
            (
                "nothing that could be one",
                "",
                &["URI:sip:example.org"],
                "",
                "a b@example.org",
                false,
            ),
        ] {
            let (mappings, bad) = Mappings::parse(mappings.as_bytes(), "mappings");
            assert!(bad.is_empty(), "{situation}");
            let rules = Rules::new(&options(IdentityRules::Secure), mappings, Vec::new());
            let identities = Identities::of(&cert(cn, sans), &NamePolicy::default());
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let right = may_still_register(aor, &peer, &rules, Answers::default());
            assert_eq!(
                matches!(right, Right::Stands),
                stands,
                "{situation}: {right:?}"
            );
            assert!(!matches!(right, Right::Pending(_)), "{situation}");
        }
    }

    #[test]
    fn without_its_certificate_a_peer_has_no_right_by_one() {
        let rules = Rules::new(
            &options(IdentityRules::Secure),
            Mappings::default(),
            Vec::new(),
        );
        let peer = peer(Transport::Tls, "127.0.0.3", None);
        let right = may_still_register("alice@example.org", &peer, &rules, Answers::default());
        assert!(matches!(right, Right::Gone(Some(_))), "{right:?}");
    }
}
