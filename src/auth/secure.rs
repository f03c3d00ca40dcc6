//! The secure rules: what each identity of a request needs to be let through (RFC 5922 §7; RFC 3261 §26.3.2).

use std::sync::Arc;

use smallvec::SmallVec;

use super::admit::{Case, Outcome, Trace};
use super::certificate::{Identities, Identity};
use super::check::{Answer, Asked, Check, Claim, Opinion};
use super::options::IdentityRules;
use super::password::{Standing, ground, is_nobody};
use super::verdict::{Ground, IdentityPath, Reason, Refusal, Role};
use crate::sip::{Address, HeaderName, Method, Request, SipUri, Uri};

/// repro's phrases.
pub(super) const MUTUAL_TLS: &str = "Mutual TLS required to handle that message";

/// What is said of one claimed identity.
pub(super) enum Judgement {
    Allow(Ground),
    Refuse(Refusal),
    Ask(Asked),
}

/// How far a claim is proved by what the peer is.
enum Proof {
    /// It is.
    Enough(Ground),
    /// It is that of a third party, of whom no password is asked to let it in.
    ThirdParty(Ground),
    /// It takes a password, and nothing speaks against it.
    Password,
    /// It may not be used, with whatever password.
    Refused(Refusal),
}

impl Case<'_> {
    /// The secure rules: every request, every identity that it claims.
    pub(super) fn secure<T: Trace>(&self, trace: &mut T) -> Outcome {
        let request = self.request;
        if self.rules.identity != IdentityRules::Secure && has_several_from(request) {
            return Outcome::Refuse(Refusal::bad_request(
                "Malformed From header",
                Reason::SeveralFrom,
                Role::From,
            ));
        }
        let mut claims: SmallVec<[(Role, Address<'_>); 2]> = SmallVec::new();
        claims.push((Role::From, request.from));
        if request.method == Method::Refer {
            match referred_by(request) {
                Ok(Some(address)) => claims.push((Role::ReferredBy, address)),
                Ok(None) => {}
                Err(refusal) => return Outcome::Refuse(refusal),
            }
        }
        if request.method == Method::Register
            && !(self.rules.checks.is_empty() && request.to.text == request.from.text)
        {
            claims.push((Role::To, request.to));
        }
        let mut ground = None;
        let mut asked = Vec::new();
        for (role, address) in &claims {
            let judgement = match role {
                // Who referred whom is the sender's word (RFC 3892 §6): it never stands in for From, as in repro, and
                // is not proved by the sender's certificate. A check of the operator's may still refuse it.
                Role::ReferredBy => match self.ask_checks(*role, address, trace) {
                    None => continue,
                    Some(judgement) => judgement,
                },
                _ => self.judge(*role, address, trace),
            };
            match judgement {
                Judgement::Allow(found) => {
                    ground.get_or_insert(found);
                }
                Judgement::Refuse(refusal) => {
                    trace.step(|| format!("refused: {refusal}"));
                    return Outcome::Refuse(refusal);
                }
                Judgement::Ask(question) => asked.push(question),
            }
        }
        match ground {
            Some(ground) if asked.is_empty() => Outcome::Allow(ground),
            _ => Outcome::Ask(asked),
        }
    }

    /// One claimed identity: checks first, then the built-in rules.
    fn judge<T: Trace>(&self, role: Role, address: &Address<'_>, trace: &mut T) -> Judgement {
        trace.step(|| format!("{} claims <{}>", role.as_str(), address.text.escape_ascii()));
        if let Some(judgement) = self.ask_checks(role, address, trace) {
            return judgement;
        }
        if role == Role::From
            && let Some(ground) = self.dialog_leg(trace)
        {
            return Judgement::Allow(ground);
        }
        match self.built_in(role, &address.uri, trace) {
            Proof::Enough(ground) => {
                trace.step(|| format!("  allowed: {ground}"));
                Judgement::Allow(ground)
            }
            Proof::Refused(refusal) => match self.ask_others(role, address, trace) {
                None => Judgement::Refuse(refusal),
                // The table says whose a certificate is, and no more than a name of it would.
                Some(Judgement::Allow(_)) if self.certificate_is_half(&address.uri) => {
                    self.with_password(role, &address.uri, trace)
                }
                Some(judgement) => judgement,
            },
            Proof::Password => self.with_password(role, &address.uri, trace),
            Proof::ThirdParty(found) => match self.standing(trace) {
                Standing::Absent | Standing::Unreadable(_) => Judgement::Allow(found),
                _ if role != Role::From => Judgement::Allow(found),
                // Whoever proves that he is a user of ours is no third party.
                standing => self.not_proved(standing, role),
            },
        }
    }

    /// A claim that takes a password.
    fn with_password<T: Trace>(&self, role: Role, uri: &Uri<'_>, trace: &mut T) -> Judgement {
        match self.standing(trace) {
            Standing::Proved(user) if self.may_use(user, role, uri) => {
                Judgement::Allow(ground(user))
            }
            standing => self.not_proved(standing, role),
        }
    }

    /// Whether a certificate for this identity of ours does not do without a password. From a trusted address it does.
    fn certificate_is_half(&self, uri: &Uri<'_>) -> bool {
        let Some(sip) = uri
            .sip()
            .filter(|sip| self.rules.domains.contains(&sip.host))
        else {
            return false;
        };
        let instead = &self.rules.certificate_instead;
        self.rules.wants_digest
            && !self.address_is_trusted()
            && !instead.holds(self.occasion.listener, &sip.host.canonical())
    }

    /// The first check that does not abstain.
    pub(super) fn ask_checks<T: Trace>(
        &self,
        role: Role,
        address: &Address<'_>,
        trace: &mut T,
    ) -> Option<Judgement> {
        if self.rules.checks.is_empty() {
            return None;
        }
        let claim = self.claim(role, address);
        let mut checks = self.rules.checks.iter();
        checks.find_map(|check| self.ask(check, &claim, trace))
    }

    /// Who may know more than a certificate of which no name entitles to the claim: the table, then the callout.
    pub(super) fn ask_others<T: Trace>(
        &self,
        role: Role,
        address: &Address<'_>,
        trace: &mut T,
    ) -> Option<Judgement> {
        self.peer.proved()?;
        if let Some(judgement) = self.ask_table(role, address, trace) {
            return Some(judgement);
        }
        let callout = self.rules.callout.as_ref()?;
        self.ask(callout, &self.claim(role, address), trace)
    }

    /// The table of TLS peer identities, for a certificate of which no name entitles to the claim. As in repro it is not
    /// asked where there are CommonNameMappings.
    fn ask_table<T: Trace>(
        &self,
        role: Role,
        address: &Address<'_>,
        trace: &mut T,
    ) -> Option<Judgement> {
        let table = self.rules.table.as_ref()?;
        if !self.rules.mappings.is_empty() {
            let name = table.name();
            trace.step(|| {
                format!("  check {name:?}: not asked, because there are CommonNameMappings")
            });
            return None;
        }
        let claim = self.claim(role, address);
        self.ask(table, &claim, trace)
    }

    fn claim<'a>(&'a self, role: Role, address: &'a Address<'a>) -> Claim<'a> {
        Claim {
            role,
            uri: &address.uri,
            text: address.text,
            peer: self.peer,
            path: self.occasion.path,
            request: self.request,
        }
    }

    /// One check, or its answer if it has given one; `None` when it abstains.
    fn ask<T: Trace>(
        &self,
        check: &Arc<dyn Check>,
        claim: &Claim<'_>,
        trace: &mut T,
    ) -> Option<Judgement> {
        let role = claim.role;
        let answer = match self.answers.of(check, role, claim.text) {
            Some(answer) => answer.clone(),
            None => match check.check(claim) {
                Opinion::Abstain => Answer::Abstain,
                Opinion::Allow => Answer::Allow,
                Opinion::Deny(why) => Answer::Deny(why),
                Opinion::Pending(question) => {
                    trace.step(|| format!("  check {:?}: has to ask", check.name()));
                    return Some(Judgement::Ask(Asked::Check {
                        check: Arc::clone(check),
                        role,
                        text: claim.text.into(),
                        question,
                    }));
                }
            },
        };
        match answer {
            Answer::Abstain => {
                trace.step(|| format!("  check {:?}: abstains", check.name()));
                None
            }
            Answer::Allow => {
                trace.step(|| format!("  check {:?}: allows", check.name()));
                Some(Judgement::Allow(Ground::Custom(check.name().into())))
            }
            Answer::Deny(why) => {
                trace.step(|| format!("  check {:?}: denies: {why:?}", check.name()));
                Some(Judgement::Refuse(Refusal {
                    detail: Some(format!("{}: {why}", check.name()).into()),
                    ..Refusal::forbidden(self.mismatch_phrase(), Reason::CheckDenied, role)
                }))
            }
        }
    }

    /// The entitlement table. Fails closed.
    fn built_in<T: Trace>(&self, role: Role, uri: &Uri<'_>, trace: &mut T) -> Proof {
        let rules = self.rules;
        if !rules.certificate_authenticator {
            return self.without_certificates(role, uri, trace);
        }
        let secure = self.peer.transport.is_secure();
        let sip = uri.sip();
        let local = sip.is_some_and(|sip| rules.domains.contains(&sip.host));
        let proved = self.peer.proved();
        if let Some(identities) = proved {
            if let Some(name) = rules.trusted.name_of(identities) {
                trace.step(|| format!("  trusted by name {name:?}: any identity"));
                // The registrar asks trusted peers too, as in repro.
                let asked = self.occasion.path == IdentityPath::Registrar;
                return match asked && self.certificate_is_half(uri) {
                    true => Proof::Password,
                    false => Proof::Enough(Ground::TrustedName),
                };
            }
            self.trace_limits(identities, trace);
            trace.step(|| "  no name of the certificate is a trusted peer".to_owned());
            if let Some(ground) = sip.and_then(|sip| self.entitled(identities, sip, secure, trace))
            {
                return match local {
                    true if self.certificate_is_half(uri) => Proof::Password,
                    true => Proof::Enough(ground),
                    false => Proof::ThirdParty(ground),
                };
            }
        }
        // Third parties prove themselves to a trusted source too, as in repro.
        let unchecked =
            sip.is_some() && proved.is_none() && !rules.third_party_requires_certificate;
        if (local || unchecked) && self.address_counts(proved.is_some()) {
            trace.step(|| "  the source address is trusted".to_owned());
            return Proof::Enough(Ground::TrustedAddress);
        }
        trace.step(|| {
            format!(
                "  source address {} does not help: {}",
                self.peer.source.ip(),
                match (self.address_is_trusted(), local) {
                    (false, _) => "not trusted",
                    (true, false) => "trusted, but only for identities of our own domains",
                    (true, true) => "trusted, but the certificate goes before it here",
                }
            )
        });
        let reason = match proved {
            None if rules.wants_digest
                && (local || self.is_nobody_with_answer(role, sip, trace)) =>
            {
                return Proof::Password;
            }
            None if unchecked && !local => {
                trace.step(|| "  third parties need no certificate here".to_owned());
                return Proof::ThirdParty(Ground::ThirdPartyUnchecked);
            }
            None if !secure => Reason::NotTls,
            None if !local => Reason::ThirdPartyNoCertificate,
            None => Reason::NoCertificate,
            Some(_) if sip.is_none() => Reason::NotSipUri,
            Some(identities) if identities.names().is_empty() => Reason::NoUsableName,
            Some(identities) if self.is_barred(identities, sip, secure) => Reason::CaRights,
            Some(_) => Reason::CertMismatch,
        };
        let phrase = match proved {
            None => MUTUAL_TLS,
            Some(_) => self.mismatch_phrase(),
        };
        if reason == Reason::CaRights {
            let identities = proved.map(Identities::limited_by).unwrap_or_default();
            return Proof::Refused(Refusal {
                detail: Some(format!("{}: {identities}", rules.rights.file()).into()),
                ..Refusal::forbidden(phrase, reason, role)
            });
        }
        let reason = match role {
            Role::From => reason,
            Role::ReferredBy => Reason::ReferredByNotYours,
            Role::To => Reason::ToNotYours,
        };
        Proof::Refused(Refusal::forbidden(phrase, reason, role))
    }

    /// Without the certificate authenticator: passwords, or nothing.
    fn without_certificates<T: Trace>(&self, role: Role, uri: &Uri<'_>, trace: &mut T) -> Proof {
        if !self.rules.wants_digest {
            trace.step(|| "  no authenticator is on: everything passes".to_owned());
            return Proof::Enough(Ground::OpenServer);
        }
        if self.address_is_trusted() {
            trace.step(|| "  the source address is trusted".to_owned());
            return Proof::Enough(Ground::TrustedAddress);
        }
        let sip = uri.sip();
        let local = sip.is_some_and(|sip| self.rules.domains.contains(&sip.host));
        let third_party =
            role == Role::From && !local && !self.is_nobody_with_answer(role, sip, trace);
        if third_party && self.occasion.path == IdentityPath::Proxy {
            trace.step(|| "  a third party, whom nothing asks for a certificate".to_owned());
            return Proof::ThirdParty(Ground::ThirdPartyUnchecked);
        }
        Proof::Password
    }

    /// Whether From names nobody (RFC 3323 §4.1.1.3), and a digest answer may say who that is. Without one it is a third party.
    fn is_nobody_with_answer<T: Trace>(
        &self,
        role: Role,
        uri: Option<&SipUri<'_>>,
        trace: &mut T,
    ) -> bool {
        role == Role::From
            && uri.is_some_and(is_nobody)
            && !matches!(
                self.standing(trace),
                Standing::Absent | Standing::Unreadable(_)
            )
    }

    /// By a name of the certificate, or by a mapping of one.
    fn entitled<T: Trace>(
        &self,
        identities: &Identities,
        claim: &SipUri<'_>,
        secure: bool,
        trace: &mut T,
    ) -> Option<Ground> {
        if let Some((identity, line)) = identities.entitling(claim, secure) {
            trace.step(|| format!("  {identity} entitles to it{}", by_rule(line)));
            return Some(Ground::of(identity).by_ca_rule(line));
        }
        trace.step(|| "  no name of the certificate entitles to it".to_owned());
        let mappings = &self.rules.mappings;
        if mappings.is_empty() {
            trace.step(|| "  no CommonNameMappings".to_owned());
            return None;
        }
        let issuers = identities.issuers();
        let found = identities.names().iter().find_map(|name| {
            let key = name
                .keys()
                .find_map(|key| mappings.permitting(key, issuers, claim))?;
            Some((key, identities.may_use(name, claim)?))
        });
        trace.step(|| match found {
            Some((key, line)) => {
                format!("  CommonNameMappings {key:?} permits it{}", by_rule(line))
            }
            None => match identities
                .keys()
                .find_map(|key| mappings.find(key, issuers))
            {
                Some((key, line)) => {
                    format!("  CommonNameMappings {key:?} (line {line}) does not permit it")
                }
                None => "  CommonNameMappings has none of the certificate's names".to_owned(),
            },
        });
        found.map(|(key, line)| Ground::Mapping(Arc::clone(key)).by_ca_rule(line))
    }

    /// Tells which CAs have rules.
    fn trace_limits<T: Trace>(&self, identities: &Identities, trace: &mut T) {
        if identities.are_limited() {
            trace.step(|| {
                let (file, cas) = (self.rules.rights.file(), identities.limited_by());
                format!("  CARights {file:?} says what its CA may vouch for ({cas})")
            });
        }
    }

    /// Whether a name would do if its CA might vouch for that.
    fn is_barred(&self, identities: &Identities, claim: Option<&SipUri<'_>>, secure: bool) -> bool {
        let Some(claim) = claim.filter(|_| identities.are_limited()) else {
            return false;
        };
        let (rules, issuers) = (self.rules, identities.issuers());
        let trusted = |name: &Identity| rules.trusted.has_name(name.text());
        let mapped = |name: &Identity| {
            let permits = |key| rules.mappings.permitting(key, issuers, claim).is_some();
            name.keys().any(permits)
        };
        identities.barred(claim, secure).is_some()
            || identities.all_trust_names().any(trusted)
            || identities.names().iter().any(mapped)
    }

    /// Whether the source address is trusted. A datagram's proves nothing.
    pub(super) fn address_is_trusted(&self) -> bool {
        let peer = self.peer;
        peer.transport.is_stream() && self.rules.trusted.has_source(peer.source, peer.transport)
    }

    /// The registrar does not take an address for a certificate that says otherwise, as in repro.
    fn address_counts(&self, has_certificate: bool) -> bool {
        self.address_is_trusted()
            && !(has_certificate && self.occasion.path == IdentityPath::Registrar)
    }

    /// repro's phrase for a certificate that names somebody else.
    pub(super) fn mismatch_phrase(&self) -> &'static str {
        match self.occasion.path {
            IdentityPath::Proxy => "Authentication Failed for peer cert",
            // repro's database, which decides without mappings, ends its phrase with a full stop.
            IdentityPath::Registrar if self.rules.mappings.is_empty() => {
                "Authentication Failed for peer cert."
            }
            IdentityPath::Registrar => "Authorization Failed for peer cert",
        }
    }
}

/// For a trace.
fn by_rule(line: Option<u32>) -> String {
    line.map_or_else(String::new, |line| format!(", by line {line} of CARights"))
}

/// The one Referred-By of a request, if it has one.
pub(super) fn referred_by<'m>(request: &Request<'m>) -> Result<Option<Address<'m>>, Refusal> {
    let mut values = request.message.all(HeaderName::ReferredBy);
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else {
        return Ok(None);
    };
    let malformed = || {
        let phrase = "Malformed Referred-By header";
        Refusal::bad_request(phrase, Reason::MalformedReferredBy, Role::ReferredBy)
    };
    if second.is_some() {
        return Err(malformed());
    }
    Address::parse(value).map(Some).ok_or_else(malformed)
}

/// What [`FromRule::Single`] would have refused.
fn has_several_from(request: &Request<'_>) -> bool {
    let mut values = request.message.all(HeaderName::From);
    let first = values.next();
    values.next().is_some() || first.is_some_and(|value| Address::parse(value).is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::super::certificate::NamePolicy;
    use super::super::test_support::{
        alice, answer, cert, from, judge, options, peer, request, rules, told, with_passwords,
    };
    use super::super::{Decision, Mappings, Rules, Transport};
    use super::*;

    const MISMATCH: &str = "403 Authentication Failed for peer cert";
    const MUTUAL: &str = "403 Mutual TLS required to handle that message";
    const REFUSED_WITH_MAPPINGS: &str = "403 Authorization Failed for peer cert";
    const TO_EVE: &str = "<sip:eve@example.org>";

    #[test]
    fn what_the_peer_claims_to_be_part_of_does_not_matter() {
        let rules = rules(IdentityRules::Secure, "");
        let alice = alice();
        let peer = peer(Transport::Tls, "127.0.0.3", Some(&alice));
        let tagged = "<sip:eve@example.org>;tag=t";
        for (method, claimed, wanted) in [
            ("INVITE", "sip:alice@example.org", "user-identity"),
            ("INVITE", "sip:bob@example.org", MISMATCH),
            ("BYE", "sip:alice@example.org", "user-identity"),
            ("BYE", "sip:bob@example.org", MISMATCH),
            ("ACK", "sip:alice@example.org", "user-identity"),
            ("ACK", "sip:bob@example.org", "dropped"),
            ("CANCEL", "sip:bob@example.org", MISMATCH),
            ("FOO", "sip:bob@example.org", MISMATCH),
            ("MESSAGE", "tel:+15551234567", MISMATCH),
            ("MESSAGE", "http://example.org/alice", MISMATCH),
        ] {
            let route = "Route: <sip:elsewhere.example;lr>\r\n";
            let found = told(&rules, &peer, method, &from(claimed), tagged, route);
            assert_eq!(found, wanted, "{method} {claimed}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn no_certificate_is_no_proof() {
        let rules = rules(IdentityRules::Secure, "");
        for (situation, transport, source, claimed, wanted, reason) in [
            ("ours", Transport::Tls, "127.0.0.3", "sip:alice@example.org", MUTUAL, "no-certificate"),
            ("third party", Transport::Tls, "127.0.0.3", "sip:carol@other.example.net", MUTUAL, "third-party-no-certificate"),
            ("tel", Transport::Tls, "127.0.0.3", "tel:+1555", MUTUAL, "third-party-no-certificate"),
            ("TCP", Transport::Tcp, "127.0.0.3", "sip:alice@example.org", MUTUAL, "not-tls"),
            ("trusted address", Transport::Tls, "127.0.0.7", "sip:alice@example.org", "trusted-address", ""),
            ("trusted address, TCP", Transport::Tcp, "127.0.0.7", "sip:alice@example.org", "trusted-address", ""),
            ("trusted address, UDP", Transport::Udp, "127.0.0.7", "sip:alice@example.org", MUTUAL, "not-tls"),
            ("trusted address, third party", Transport::Tls, "127.0.0.7", "sip:carol@other.example.net", MUTUAL, "third-party-no-certificate"),
        ] {
            let peer = peer(transport, source, None);
            let text = request("MESSAGE", &from(claimed), TO_EVE, "");
            judge(&text, &peer, IdentityPath::Proxy, &rules, |decision| {
                assert_eq!(answer(&decision), wanted, "{situation}");
                if let Decision::Refuse(refusal) = decision {
                    assert_eq!(refusal.reason.id(), reason, "{situation}");
                }
            });
        }
    }

    #[test]
    fn a_user_is_not_found_under_the_mapping_of_the_domain() {
        let rules = rules(IdentityRules::Secure, "gw.example.net\tbob@example.org\n");
        for (sans, wanted) in [
            (["DNS:pbx.example.net"], MISMATCH),
            (["URI:sip:mallory@gw.example.net"], MISMATCH),
        ] {
            let identities = Identities::of(&cert("", &sans), &NamePolicy::default());
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let bob = from("sip:bob@example.org");
            assert_eq!(told(&rules, &peer, "MESSAGE", &bob, TO_EVE, ""), wanted);
        }
    }

    #[test]
    fn a_mapping_finds_any_name_of_the_certificate() {
        let rules = rules(
            IdentityRules::Secure,
            "0004F22B3EB5\talice@example.org\nSite.example\tbob@example.org\n",
        );
        for (cn, sans, claimed, wanted) in [
            (
                "00:04:f2:2b:3e:b5",
                &[][..],
                "sip:alice@example.org",
                "mapping(\"0004F22B3EB5\")",
            ),
            (
                "0004F22B3EB5",
                &["DNS:phone.example"],
                "sip:alice@example.org",
                "mapping(\"0004F22B3EB5\")",
            ),
            (
                "",
                &["DNS:Site.example"],
                "sip:bob@example.org",
                "mapping(\"Site.example\")",
            ),
            (
                "0004F22B3EB5",
                &[],
                "sip:bob@example.org",
                REFUSED_WITH_MAPPINGS,
            ),
        ] {
            let identities = Identities::of(&cert(cn, sans), &NamePolicy::default());
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let to = format!("<{claimed}>");
            let found = told(&rules, &peer, "REGISTER", &from(claimed), &to, "");
            assert_eq!(found, wanted, "{cn} {sans:?}");
        }
    }

    #[test]
    fn a_certificate_counts_only_over_tls() {
        let rules = rules(IdentityRules::Secure, "");
        let alice = alice();
        let peer = peer(Transport::Tcp, "127.0.0.3", Some(&alice));
        let found = told(
            &rules,
            &peer,
            "MESSAGE",
            &from("sip:alice@example.org"),
            TO_EVE,
            "",
        );
        assert_eq!(found, MUTUAL);
    }

    #[test]
    #[rustfmt::skip]
    fn a_registration_must_be_ones_own_on_both_ends() {
        let rules = rules(IdentityRules::Secure, "");
        let alice = alice();
        let peer = peer(Transport::Tls, "127.0.0.3", Some(&alice));
        let own = "sip:alice@example.org";
        for (claimed, to, wanted, reason) in [
            (own, own, "user-identity", None),
            (own, "sip:bob@example.org", "403 Authentication Failed for peer cert.", Some(Reason::ToNotYours)),
            (own, "sip:ALICE@example.org", "403 Authentication Failed for peer cert.", Some(Reason::ToNotYours)),
            ("sip:bob@example.org", own, "403 Authentication Failed for peer cert.", Some(Reason::CertMismatch)),
        ] {
            let text = request("REGISTER", &from(claimed), &format!("<{to}>"), "");
            judge(&text, &peer, IdentityPath::Registrar, &rules, |decision| {
                assert_eq!(answer(&decision), wanted, "{claimed} {to}");
                if let Decision::Refuse(refusal) = decision {
                    assert_eq!(Some(refusal.reason), reason, "{claimed} {to}");
                }
            });
        }
    }

    #[test]
    fn the_registrar_does_not_take_an_address_for_a_certificate() {
        let rules = rules(IdentityRules::Secure, "k\texample.net\n");
        let alice = alice();
        let bob = from("sip:bob@example.org");
        let to = "<sip:bob@example.org>";
        let with = peer(Transport::Tls, "127.0.0.7", Some(&alice));
        let without = peer(Transport::Tls, "127.0.0.7", None);
        let refused = "403 Authorization Failed for peer cert";
        assert_eq!(told(&rules, &with, "REGISTER", &bob, to, ""), refused);
        assert_eq!(
            told(&rules, &without, "REGISTER", &bob, to, ""),
            "trusted-address"
        );
        assert_eq!(
            told(&rules, &with, "MESSAGE", &bob, to, ""),
            "trusted-address"
        );
    }

    #[test]
    #[rustfmt::skip]
    fn a_refer_is_judged_by_its_from_and_never_by_referred_by_instead() {
        let rules = rules(IdentityRules::Secure, "");
        let alice = alice();
        let peer = peer(Transport::Tls, "127.0.0.3", Some(&alice));
        let own = "sip:alice@example.org";
        let malformed = "400 Malformed Referred-By header";
        for (claimed, extra, wanted) in [
            (own, "", "user-identity"),
            (own, "Referred-By: <sip:alice@example.org>\r\n", "user-identity"),
            (own, "Referred-By: <sip:bob@example.org>\r\n", "user-identity"),
            ("sip:bob@example.org", "Referred-By: <sip:alice@example.org>\r\n", MISMATCH),
            (own, "Referred-By: *\r\n", malformed),
            (own, "b: <sip:alice@example.org>\r\nReferred-By: <sip:alice@example.org>\r\n", malformed),
            (own, "b: <sip:alice@example.org>, <sip:bob@example.org>\r\n", malformed),
        ] {
            let found = told(&rules, &peer, "REFER", &from(claimed), TO_EVE, extra);
            assert_eq!(found, wanted, "{claimed} {extra:?}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_trusted_name_passes_everything_and_its_user_nothing() {
        let rules = rules(IdentityRules::Secure, "");
        for (sans, claimed, wanted) in [
            (["DNS:gw.example.net"], "sip:bob@example.org", "trusted-name"),
            (["DNS:gw.example.net"], "sip:carol@other.example.net", "trusted-name"),
            (["DNS:gw.example.net"], "tel:+1555", "trusted-name"),
            (["URI:sip:mallory@gw.example.net"], "sip:bob@example.org", MISMATCH),
        ] {
            let identities = Identities::of(&cert("", &sans), &NamePolicy::default());
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let found = told(&rules, &peer, "MESSAGE", &from(claimed), TO_EVE, "");
            assert_eq!(found, wanted, "{sans:?} {claimed}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn authenticators_switched_off_fail_closed_unless_all_are() {
        let alice = alice();
        let own = "sip:alice@example.org";
        let asked = "407 Proxy Authentication Required";
        for (certificates, digest, identity, source, has_certificate, claimed, wanted) in [
            (false, false, IdentityRules::Secure, "127.0.0.3", false, own, "open-server"),
            (false, true, IdentityRules::Secure, "127.0.0.3", true, own, asked),
            (false, true, IdentityRules::Secure, "127.0.0.7", false, own, "trusted-address"),
            (true, true, IdentityRules::Secure, "127.0.0.3", true, own, asked),
            (true, true, IdentityRules::Secure, "127.0.0.3", false, own, asked),
            (true, true, IdentityRules::Secure, "127.0.0.3", true, "sip:bob@example.org", MISMATCH),
            (true, true, IdentityRules::Repro, "127.0.0.3", true, own, asked),
            (true, true, IdentityRules::Repro, "127.0.0.3", false, own, asked),
            (false, true, IdentityRules::Repro, "127.0.0.3", true, own, asked),
            (false, false, IdentityRules::Repro, "127.0.0.3", false, own, "open-server"),
        ] {
            let mut options = options(identity);
            options.certificate_authenticator = certificates;
            options.digest.enabled = digest;
            let rules = with_passwords(&options, Mappings::default());
            let peer = peer(Transport::Tls, source, has_certificate.then_some(&alice));
            let found = told(&rules, &peer, "MESSAGE", &from(claimed), TO_EVE, "");
            assert_eq!(
                found, wanted,
                "{certificates} {digest} {identity:?} {source} {claimed}"
            );
        }
    }

    #[test]
    fn third_parties_pass_unchecked_only_by_setting() {
        let mut options = options(IdentityRules::Secure);
        options.third_party_requires_certificate = false;
        let rules = Rules::new(&options, Mappings::default(), Vec::new());
        let alice = alice();
        for (claimed, identities, wanted) in [
            ("sip:carol@other.example.net", None, "third-party-unchecked"),
            ("sip:carol@other.example.net", Some(&alice), MISMATCH),
            ("sip:alice@example.org", None, MUTUAL),
            ("tel:+1555", None, MUTUAL),
        ] {
            let peer = peer(Transport::Tls, "127.0.0.3", identities);
            let found = told(&rules, &peer, "MESSAGE", &from(claimed), TO_EVE, "");
            assert_eq!(found, wanted, "{claimed}");
        }
    }

    #[test]
    fn the_report_admits_as_repro_and_tells_what_secure_rules_say() {
        let rules = rules(IdentityRules::Report, "");
        let alice = alice();
        let two = "<sip:alice@example.org>;tag=a, <sip:bob@example.org>;tag=b";
        for (value, to, wanted) in [
            (from("sip:alice@example.org"), TO_EVE, None),
            (
                from("sip:bob@example.org"),
                TO_EVE,
                Some(Reason::CertMismatch),
            ),
            (two.to_owned(), TO_EVE, Some(Reason::SeveralFrom)),
        ] {
            let to = format!("{to};tag=t");
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&alice));
            let text = request("MESSAGE", &value, &to, "");
            judge(
                &text,
                &peer,
                IdentityPath::Proxy,
                &rules,
                |decision| match decision {
                    Decision::Admit(admitted) => {
                        assert_eq!(admitted.would_refuse().map(|r| r.reason), wanted, "{value}");
                    }
                    other => panic!("{other:?}"),
                },
            );
        }
    }
}
