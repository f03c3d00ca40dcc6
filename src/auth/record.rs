//! What admission has said of one request, as plain values for an audit. Made only where somebody keeps one.

use super::admit::{Admitted, Rules};
use super::check::Peer;
use super::legacy;
use super::options::IdentityRules;
use super::verdict::{Ground, Refusal};

/// How admission ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It went on.
    Admitted(Ground),
    /// It was answered with this.
    Refused(Refusal),
    /// Its sender was asked for a password.
    Challenged(Refusal),
    /// An ACK, which has no answer.
    Dropped(Refusal),
    /// Whoever would know did not say, and so it was not let through. A stable word says why.
    Undecided(&'static str),
}

impl Said {
    /// A stable word for the outcome.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Admitted(_) => "admitted",
            Self::Refused(_) => "refused",
            Self::Challenged(_) => "challenged",
            Self::Dropped(_) => "dropped",
            Self::Undecided(_) => "undecided",
        }
    }

    /// The stable word of the ground or the reason.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Admitted(ground) => ground.id(),
            Self::Refused(refusal) | Self::Challenged(refusal) | Self::Dropped(refusal) => {
                refusal.reason.id()
            }
            Self::Undecided(why) => why,
        }
    }
}

/// One verdict, with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionRecord {
    /// How it ended.
    pub said: Said,
    /// What the secure rules would have said, under `IdentityRules = report`.
    pub would_refuse: Option<Refusal>,
    /// What an admission rests on: a name of the certificate, a trusted address, a check, a side of the dialog. `None`
    /// where nothing was proved.
    pub identity: Option<String>,
    /// The rules in force.
    pub rules: IdentityRules,
}

impl AdmissionRecord {
    /// Of a request that went on.
    pub fn of_admitted(admitted: &Admitted<'_>, peer: &Peer<'_>, rules: &Rules) -> Self {
        Self {
            would_refuse: admitted.would_refuse().cloned(),
            identity: used(admitted, peer, rules),
            ..Self::of(Said::Admitted(admitted.ground().clone()), rules)
        }
    }

    /// Of any other.
    pub fn of(said: Said, rules: &Rules) -> Self {
        Self {
            said,
            would_refuse: None,
            identity: None,
            rules: rules.identity,
        }
    }
}

/// What the ground was found by: the same questions as in the rules, asked once more of those that said yes.
fn used(admitted: &Admitted<'_>, peer: &Peer<'_>, rules: &Rules) -> Option<String> {
    let request = admitted.request();
    let identities = peer.proved();
    let shown = |name: &[u8]| name.escape_ascii().to_string();
    // What a rule for CAs allows is still that.
    let ground = match admitted.ground() {
        Ground::ByCaRule { ground, .. } => ground,
        ground => ground,
    };
    match ground {
        Ground::DomainIdentity
        | Ground::Wildcard
        | Ground::UserIdentity
        | Ground::IpIdentity
        | Ground::Email
        | Ground::CommonName => {
            let claim = request.from.uri.sip()?;
            let (name, _rule) = identities?.entitling(claim, peer.transport.is_secure())?;
            Some(name.to_string())
        }
        Ground::Mapping(key) => {
            let identities = identities?;
            let issuers = identities.issuers();
            let is_of_key = |name: &&str| {
                let found = rules.mappings.find(name, issuers);
                found.is_some_and(|(own, _)| own == &**key)
            };
            identities.keys().find(is_of_key).map(str::to_owned)
        }
        Ground::TrustedName => {
            let identities = identities?;
            match rules.trusted.name_of(identities) {
                Some(name) => Some(name.to_owned()),
                None => rules.trusted.legacy_name_of(identities).map(shown),
            }
        }
        Ground::LegacyName => {
            let claim = legacy::claim(request)?;
            legacy::authorising(identities?, &rules.mappings, &claim).map(shown)
        }
        Ground::TrustedAddress => Some(peer.source.ip().to_canonical().to_string()),
        Ground::Custom(name) => Some(name.to_string()),
        Ground::Digest(user) => Some(user.to_string()),
        Ground::DialogLeg(sender) => Some(sender.as_str().to_owned()),
        Ground::ThirdPartyUnchecked
        | Ground::OpenServer
        | Ground::LegacyExempt(_)
        | Ground::ByCaRule { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::super::certificate::{Identities, NamePolicy};
    use super::super::test_support::{cert, from, judge, peer, request, rules};
    use super::super::{Decision, IdentityPath, Transport};
    use super::*;

    fn record(
        identity: IdentityRules,
        certificate: Option<(&str, &[&str])>,
        source: &str,
        claimed: &str,
    ) -> (String, Option<String>) {
        let rules = rules(identity, "0004F22B3EB5\talice@example.org\n");
        let identities =
            certificate.map(|(cn, sans)| Identities::of(&cert(cn, sans), &NamePolicy::default()));
        let peer = peer(Transport::Tls, source, identities.as_ref());
        let text = request("MESSAGE", &from(claimed), "<sip:eve@example.org>", "");
        judge(&text, &peer, IdentityPath::Proxy, &rules, |decision| {
            let record = match decision {
                Decision::Admit(admitted) => AdmissionRecord::of_admitted(&admitted, &peer, &rules),
                Decision::Refuse(refusal) => AdmissionRecord::of(Said::Refused(refusal), &rules),
                other => panic!("{other:?}"),
            };
            let told = format!("{} {}", record.said.outcome(), record.said.id());
            (told, record.identity)
        })
    }

    #[test]
    fn a_record_names_what_the_verdict_rests_on() {
        use IdentityRules::{Repro, Secure};
        const ALICE: &str = "sip:alice@example.org";
        type Row<'r> = (
            &'r str,
            IdentityRules,
            Option<(&'r str, &'r [&'r str])>,
            &'r str,
            &'r str,
            Option<&'r str>,
        );
        let rows: &[Row<'_>] = &[
            (
                "domain",
                Secure,
                Some(("", &["URI:sip:example.net", "DNS:x.example"])),
                "127.0.0.3",
                "admitted domain-identity",
                Some("URI:sip:example.net"),
            ),
            (
                "user",
                Secure,
                Some(("", &["DNS:x.example", "URI:sip:alice@example.org"])),
                "127.0.0.3",
                "admitted user-identity",
                Some("URI:sip:alice@example.org"),
            ),
            (
                "mapping",
                Secure,
                Some(("00:04:f2:2b:3e:b5", &[])),
                "127.0.0.3",
                "admitted mapping",
                Some("00:04:f2:2b:3e:b5"),
            ),
            (
                "trusted name",
                Secure,
                Some(("gateway1", &[])),
                "127.0.0.3",
                "admitted trusted-name",
                Some("gateway1"),
            ),
            (
                "trusted address",
                Secure,
                None,
                "127.0.0.7",
                "admitted trusted-address",
                Some("127.0.0.7"),
            ),
            (
                "repro's comparison",
                Repro,
                Some(("", &["DNS:example.org"])),
                "127.0.0.3",
                "admitted legacy-name",
                Some("example.org"),
            ),
            (
                "repro's comparison of a mapping",
                Repro,
                Some(("0004F22B3EB5", &[])),
                "127.0.0.3",
                "admitted legacy-name",
                Some("0004F22B3EB5"),
            ),
            (
                "nobody",
                Secure,
                Some(("0004F22B3EB6", &[])),
                "127.0.0.3",
                "refused cert-mismatch",
                None,
            ),
        ];
        for (situation, rules, certificate, source, told, identity) in rows {
            let claimed = match *situation {
                "domain" => "sip:bob@example.net",
                _ => ALICE,
            };
            let found = record(*rules, *certificate, source, claimed);
            let wanted = ((*told).to_owned(), identity.map(str::to_owned));
            assert_eq!(found, wanted, "{situation}");
        }
    }
}
