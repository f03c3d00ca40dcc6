//! May this request go on? The only maker of [`Admitted`].
//!
//! Pure: request, peer and rules in, a [`Decision`] with its reason out. Every path that is not a proof, an explicit trust
//! or a named setting ends in a refusal.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::certificate::{Identities, NamePolicy};
use super::check::{Answer, Answers, Asked, Check, Claim, Opinion, Peer, Pending};
use super::legacy;
use super::mappings::Mappings;
use super::options::{AuthOptions, IdentityRules};
use super::trust::{DomainSet, TrustedPeers};
use super::verdict::{Ground, IdentityPath, Reason, Refusal, Role};
use crate::sip::{Address, FromRule, HeaderName, Method, Request, SipUri, Uri};

/// repro's phrases.
pub(super) const MUTUAL_TLS: &str = "Mutual TLS required to handle that message";
const AUTHENTICATION_FAILED: &str = "Authentication Failed";

impl IdentityRules {
    /// How a parser must take several From under these rules.
    pub fn from_rule(self) -> FromRule {
        match self {
            Self::Secure => FromRule::Single,
            Self::Report | Self::Repro => FromRule::First,
        }
    }
}

/// Everything that admission depends on, as one snapshot: replaced whole, never changed.
pub struct Rules {
    /// Which rules decide.
    pub identity: IdentityRules,
    /// Certificates are held against From. repro: `EnableCertificateAuthenticator`.
    pub certificate_authenticator: bool,
    /// Digest is wanted. repro: not `DisableAuth`.
    pub digest: bool,
    /// A From outside our domains needs a certificate.
    pub third_party_requires_certificate: bool,
    /// How names of certificates are read; whoever makes [`Identities`] for these rules uses this.
    pub names: NamePolicy,
    /// The domains that we serve.
    pub domains: DomainSet,
    /// What names of certificates may use besides their own.
    pub mappings: Mappings,
    /// Peers that may use any From.
    pub trusted: TrustedPeers,
    /// Asked in this order before the rules above.
    pub checks: Vec<Arc<dyn Check>>,
}

impl Rules {
    /// The rules that these options make, with the mappings read from their file.
    pub fn new(options: &AuthOptions, mappings: Mappings, checks: Vec<Arc<dyn Check>>) -> Self {
        Self {
            identity: options.rules,
            certificate_authenticator: options.certificate_authenticator,
            digest: options.digest,
            third_party_requires_certificate: options.third_party_requires_certificate,
            names: NamePolicy {
                email_as_sip: options.email_as_sip,
                wildcards: options.allow_wildcards,
            },
            domains: DomainSet::new(&options.domains, &options.domain_suffixes),
            mappings,
            trusted: TrustedPeers::new(&options.trusted_peers),
            checks,
        }
    }

    /// Whether no request is held against anything: to be said aloud at start.
    pub fn is_open(&self) -> bool {
        !self.certificate_authenticator && !self.digest
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("identity", &self.identity)
            .field("certificate_authenticator", &self.certificate_authenticator)
            .field("digest", &self.digest)
            .field("mappings", &self.mappings.len())
            .finish_non_exhaustive()
    }
}

/// A request that passed every configured check. Made only here; registrar and proxy take nothing else.
#[derive(Debug, Clone)]
pub struct Admitted<'m> {
    request: Request<'m>,
    ground: Ground,
    would_refuse: Option<Box<Refusal>>,
}

impl<'m> Admitted<'m> {
    /// The request.
    pub fn request(&self) -> &Request<'m> {
        &self.request
    }

    /// Why its From was let through.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// What the secure rules would have said, when `IdentityRules = report` and they would have refused.
    pub fn would_refuse(&self) -> Option<&Refusal> {
        self.would_refuse.as_deref()
    }
}

/// What becomes of a request.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box for the usual outcome would cost each request an allocation"
)]
pub enum Decision<'m> {
    /// It goes on.
    Admit(Admitted<'m>),
    /// It is answered with this.
    Refuse(Refusal),
    /// It is an ACK, which has no answer (RFC 3261 §17): dropped and counted.
    Drop(Refusal),
    /// It waits: answer on the lookup pool, then [`resume`].
    Pending(Pending),
}

/// Judges a request.
///
/// A CANCEL is for the transaction layer; one that comes here all the same is judged like any other request.
pub fn admit<'m>(
    request: Request<'m>,
    peer: &Peer<'_>,
    path: IdentityPath,
    rules: &Rules,
) -> Decision<'m> {
    decide(request, peer, path, rules, Answers::default(), &mut Silent)
}

/// Judges a request again, with the answers that it waited for. The rules may be newer ones.
pub fn resume<'m>(
    request: Request<'m>,
    peer: &Peer<'_>,
    path: IdentityPath,
    rules: &Rules,
    answers: Answers,
) -> Decision<'m> {
    decide(request, peer, path, rules, answers, &mut Silent)
}

/// Listens to the rules as they are tried.
pub(super) trait Trace {
    /// One step; the text is only made if somebody listens.
    fn step(&mut self, text: impl FnOnce() -> String);
}

/// Nobody listens.
struct Silent;

impl Trace for Silent {
    fn step(&mut self, _text: impl FnOnce() -> String) {}
}

/// What one set of rules says.
pub(super) enum Outcome {
    Allow(Ground),
    Refuse(Refusal),
    Ask(Vec<Asked>),
}

/// One request before its judge.
pub(super) struct Case<'c> {
    pub(super) request: &'c Request<'c>,
    pub(super) peer: &'c Peer<'c>,
    pub(super) path: IdentityPath,
    pub(super) rules: &'c Rules,
    pub(super) answers: &'c Answers,
}

pub(super) fn decide<'m, T: Trace>(
    request: Request<'m>,
    peer: &Peer<'_>,
    path: IdentityPath,
    rules: &Rules,
    answers: Answers,
    trace: &mut T,
) -> Decision<'m> {
    let case = Case {
        request: &request,
        peer,
        path,
        rules,
        answers: &answers,
    };
    let mut would_refuse = None;
    let outcome = match rules.identity {
        IdentityRules::Secure => case.secure(trace),
        IdentityRules::Repro => legacy::judge(&case, trace),
        IdentityRules::Report => match legacy::judge(&case, trace) {
            Outcome::Allow(ground) => {
                trace.step(|| "the secure rules, for comparison:".to_owned());
                match case.secure(trace) {
                    Outcome::Allow(_) => Outcome::Allow(ground),
                    Outcome::Refuse(refusal) => {
                        would_refuse = Some(Box::new(refusal));
                        Outcome::Allow(ground)
                    }
                    Outcome::Ask(asked) => Outcome::Ask(asked),
                }
            }
            other => other,
        },
    };
    match outcome {
        Outcome::Allow(ground) => Decision::Admit(Admitted {
            request,
            ground,
            would_refuse,
        }),
        Outcome::Refuse(refusal) if request.method == Method::Ack => Decision::Drop(refusal),
        Outcome::Refuse(refusal) => Decision::Refuse(refusal),
        Outcome::Ask(asked) => Decision::Pending(Pending { asked, answers }),
    }
}

/// What is said of one claimed identity.
pub(super) enum Judgement {
    Allow(Ground),
    Refuse(Refusal),
    Ask(Asked),
}

impl Case<'_> {
    /// The secure rules: every request, every identity that it claims.
    fn secure<T: Trace>(&self, trace: &mut T) -> Outcome {
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
            match self.judge(*role, address, trace) {
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
        match self.built_in(role, &address.uri, trace) {
            Ok(ground) => {
                trace.step(|| format!("  allowed: {ground}"));
                Judgement::Allow(ground)
            }
            Err(refusal) => Judgement::Refuse(refusal),
        }
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
        let claim = Claim {
            role,
            uri: &address.uri,
            text: address.text,
            peer: self.peer,
            path: self.path,
            request: self.request,
        };
        for check in &self.rules.checks {
            let answer = match self.answers.of(check, role, address.text) {
                Some(answer) => answer.clone(),
                None => match check.check(&claim) {
                    Opinion::Abstain => Answer::Abstain,
                    Opinion::Allow => Answer::Allow,
                    Opinion::Deny(why) => Answer::Deny(why),
                    Opinion::Pending(question) => {
                        trace.step(|| format!("  check {:?}: has to ask", check.name()));
                        return Some(Judgement::Ask(Asked {
                            check: Arc::clone(check),
                            role,
                            text: address.text.into(),
                            question,
                        }));
                    }
                },
            };
            match answer {
                Answer::Abstain => {
                    trace.step(|| format!("  check {:?}: abstains", check.name()));
                }
                Answer::Allow => {
                    trace.step(|| format!("  check {:?}: allows", check.name()));
                    return Some(Judgement::Allow(Ground::Custom(check.name().into())));
                }
                Answer::Deny(why) => {
                    trace.step(|| format!("  check {:?}: denies: {why:?}", check.name()));
                    return Some(Judgement::Refuse(Refusal {
                        detail: Some(format!("{}: {why}", check.name()).into()),
                        ..Refusal::forbidden(self.mismatch_phrase(), Reason::CheckDenied, role)
                    }));
                }
            }
        }
        None
    }

    /// The entitlement table. Fails closed.
    fn built_in<T: Trace>(
        &self,
        role: Role,
        uri: &Uri<'_>,
        trace: &mut T,
    ) -> Result<Ground, Refusal> {
        let rules = self.rules;
        if !rules.certificate_authenticator {
            return self.without_certificates(role, trace);
        }
        let secure = self.peer.transport.is_secure();
        let sip = uri.sip();
        let local = sip.is_some_and(|sip| rules.domains.contains(&sip.host));
        let proved = self.peer.proved();
        if let Some(identities) = proved {
            if let Some(name) = rules.trusted.name_of(identities) {
                trace.step(|| format!("  trusted by name {name:?}: any identity"));
                return Ok(Ground::TrustedName);
            }
            trace.step(|| "  no name of the certificate is a trusted peer".to_owned());
            if let Some(ground) = sip.and_then(|sip| self.entitled(identities, sip, secure, trace))
            {
                return Ok(ground);
            }
        }
        // Third parties prove themselves to a trusted source too, as in repro.
        let unchecked =
            sip.is_some() && proved.is_none() && !rules.third_party_requires_certificate;
        if (local || unchecked) && self.address_counts(proved.is_some()) {
            trace.step(|| "  the source address is trusted".to_owned());
            return Ok(Ground::TrustedAddress);
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
            None if unchecked && !local => {
                trace.step(|| "  third parties need no certificate here".to_owned());
                return Ok(Ground::ThirdPartyUnchecked);
            }
            None if !secure => Reason::NotTls,
            None if !local => Reason::ThirdPartyNoCertificate,
            None if rules.digest => Reason::DigestNotAvailable,
            None => Reason::NoCertificate,
            Some(_) if sip.is_none() => Reason::NotSipUri,
            Some(identities) if identities.names().is_empty() => Reason::NoUsableName,
            Some(_) => Reason::CertMismatch,
        };
        let phrase = match proved {
            None => MUTUAL_TLS,
            Some(_) => self.mismatch_phrase(),
        };
        let reason = match role {
            Role::From => reason,
            Role::ReferredBy => Reason::ReferredByNotYours,
            Role::To => Reason::ToNotYours,
        };
        Err(Refusal::forbidden(phrase, reason, role))
    }

    /// Without the certificate authenticator: digest, which is not there yet, or nothing.
    pub(super) fn without_certificates<T: Trace>(
        &self,
        role: Role,
        trace: &mut T,
    ) -> Result<Ground, Refusal> {
        if !self.rules.digest {
            trace.step(|| "  no authenticator is on: everything passes".to_owned());
            return Ok(Ground::OpenServer);
        }
        if self.address_is_trusted() {
            trace.step(|| "  the source address is trusted".to_owned());
            return Ok(Ground::TrustedAddress);
        }
        trace.step(|| "  digest is wanted and not available".to_owned());
        let reason = Reason::DigestNotAvailable;
        Err(Refusal::forbidden(AUTHENTICATION_FAILED, reason, role))
    }

    /// By a name of the certificate, or by a mapping of one.
    fn entitled<T: Trace>(
        &self,
        identities: &Identities,
        claim: &SipUri<'_>,
        secure: bool,
        trace: &mut T,
    ) -> Option<Ground> {
        if let Some(identity) = identities.entitling(claim, secure) {
            trace.step(|| format!("  {identity} entitles to it"));
            return Some(Ground::of(identity));
        }
        trace.step(|| "  no name of the certificate entitles to it".to_owned());
        let mappings = &self.rules.mappings;
        if mappings.is_empty() {
            trace.step(|| "  no CommonNameMappings".to_owned());
            return None;
        }
        let found = identities
            .keys()
            .find_map(|key| mappings.permitting(key, claim));
        trace.step(|| match found {
            Some(key) => format!("  CommonNameMappings {key:?} permits it"),
            None => match identities.keys().find_map(|key| mappings.find(key)) {
                Some((key, line)) => {
                    format!("  CommonNameMappings {key:?} (line {line}) does not permit it")
                }
                None => "  CommonNameMappings has none of the certificate's names".to_owned(),
            },
        });
        found.map(|key| Ground::Mapping(Arc::clone(key)))
    }

    /// Whether the source address is trusted. A datagram's proves nothing.
    pub(super) fn address_is_trusted(&self) -> bool {
        self.peer.transport.is_stream() && self.rules.trusted.has_address(self.peer.source.ip())
    }

    /// The registrar does not take an address for a certificate that says otherwise, as in repro.
    fn address_counts(&self, has_certificate: bool) -> bool {
        self.address_is_trusted() && !(has_certificate && self.path == IdentityPath::Registrar)
    }

    /// repro's phrase for a certificate that names somebody else.
    pub(super) fn mismatch_phrase(&self) -> &'static str {
        match self.path {
            IdentityPath::Proxy => "Authentication Failed for peer cert",
            // repro's database, which decides without mappings, ends its phrase with a full stop.
            IdentityPath::Registrar if self.rules.mappings.is_empty() => {
                "Authentication Failed for peer cert."
            }
            IdentityPath::Registrar => "Authorization Failed for peer cert",
        }
    }
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

    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::super::check::{Question, Transport};
    use super::super::test_support::{answer, cert, judge, options, request, rules};
    use super::*;
    use crate::sip::Message;

    const MISMATCH: &str = "403 Authentication Failed for peer cert";
    const MUTUAL: &str = "403 Mutual TLS required to handle that message";
    const TO_EVE: &str = "<sip:eve@example.org>";

    fn peer<'a>(
        transport: Transport,
        source: &str,
        identities: Option<&'a Identities>,
    ) -> Peer<'a> {
        Peer {
            transport,
            source: format!("{source}:40000").parse().unwrap(),
            identities,
        }
    }

    fn alice() -> Identities {
        Identities::of(
            &cert("", &["URI:sip:alice@example.org"]),
            &NamePolicy::default(),
        )
    }

    fn from(uri: &str) -> String {
        format!("<{uri}>;tag=f")
    }

    /// The answer to one request.
    fn told(
        rules: &Rules,
        peer: &Peer<'_>,
        method: &str,
        from: &str,
        to: &str,
        extra: &str,
    ) -> String {
        let path = match method {
            "REGISTER" => IdentityPath::Registrar,
            _ => IdentityPath::Proxy,
        };
        let text = request(method, from, to, extra);
        judge(&text, peer, path, rules, |decision| answer(&decision))
    }

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
    fn no_certificate_is_no_proof() {
        let rules = rules(IdentityRules::Secure, "");
        for (situation, transport, source, claimed, wanted, reason) in [
            (
                "ours",
                Transport::Tls,
                "127.0.0.3",
                "sip:alice@example.org",
                MUTUAL,
                "no-certificate",
            ),
            (
                "third party",
                Transport::Tls,
                "127.0.0.3",
                "sip:carol@other.example.net",
                MUTUAL,
                "third-party-no-certificate",
            ),
            (
                "tel",
                Transport::Tls,
                "127.0.0.3",
                "tel:+1555",
                MUTUAL,
                "third-party-no-certificate",
            ),
            (
                "TCP",
                Transport::Tcp,
                "127.0.0.3",
                "sip:alice@example.org",
                MUTUAL,
                "not-tls",
            ),
            (
                "trusted address",
                Transport::Tls,
                "127.0.0.7",
                "sip:alice@example.org",
                "trusted-address",
                "",
            ),
            (
                "trusted address, TCP",
                Transport::Tcp,
                "127.0.0.7",
                "sip:alice@example.org",
                "trusted-address",
                "",
            ),
            (
                "trusted address, UDP",
                Transport::Udp,
                "127.0.0.7",
                "sip:alice@example.org",
                MUTUAL,
                "not-tls",
            ),
            (
                "trusted address, third party",
                Transport::Tls,
                "127.0.0.7",
                "sip:carol@other.example.net",
                MUTUAL,
                "third-party-no-certificate",
            ),
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
    fn a_registration_must_be_ones_own_on_both_ends() {
        let rules = rules(IdentityRules::Secure, "");
        let alice = alice();
        let peer = peer(Transport::Tls, "127.0.0.3", Some(&alice));
        let own = "sip:alice@example.org";
        for (claimed, to, wanted, reason) in [
            (own, own, "user-identity", None),
            (
                own,
                "sip:bob@example.org",
                "403 Authentication Failed for peer cert.",
                Some(Reason::ToNotYours),
            ),
            (
                own,
                "sip:ALICE@example.org",
                "403 Authentication Failed for peer cert.",
                Some(Reason::ToNotYours),
            ),
            (
                "sip:bob@example.org",
                own,
                "403 Authentication Failed for peer cert.",
                Some(Reason::CertMismatch),
            ),
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
    fn a_refer_needs_both_from_and_referred_by() {
        let rules = rules(IdentityRules::Secure, "");
        let alice = alice();
        let peer = peer(Transport::Tls, "127.0.0.3", Some(&alice));
        let own = "sip:alice@example.org";
        let malformed = "400 Malformed Referred-By header";
        for (claimed, extra, wanted) in [
            (own, "", "user-identity"),
            (
                own,
                "Referred-By: <sip:alice@example.org>\r\n",
                "user-identity",
            ),
            (own, "Referred-By: <sip:bob@example.org>\r\n", MISMATCH),
            (
                "sip:bob@example.org",
                "Referred-By: <sip:alice@example.org>\r\n",
                MISMATCH,
            ),
            (own, "Referred-By: *\r\n", malformed),
            (
                own,
                "b: <sip:alice@example.org>\r\nReferred-By: <sip:alice@example.org>\r\n",
                malformed,
            ),
            (
                own,
                "b: <sip:alice@example.org>, <sip:bob@example.org>\r\n",
                malformed,
            ),
        ] {
            let found = told(&rules, &peer, "REFER", &from(claimed), TO_EVE, extra);
            assert_eq!(found, wanted, "{claimed} {extra:?}");
        }
    }

    #[test]
    fn a_trusted_name_passes_everything_and_its_user_nothing() {
        let rules = rules(IdentityRules::Secure, "");
        for (sans, claimed, wanted) in [
            (
                ["DNS:gw.example.net"],
                "sip:bob@example.org",
                "trusted-name",
            ),
            (
                ["DNS:gw.example.net"],
                "sip:carol@other.example.net",
                "trusted-name",
            ),
            (["DNS:gw.example.net"], "tel:+1555", "trusted-name"),
            (
                ["URI:sip:mallory@gw.example.net"],
                "sip:bob@example.org",
                MISMATCH,
            ),
        ] {
            let identities = Identities::of(&cert("", &sans), &NamePolicy::default());
            let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
            let found = told(&rules, &peer, "MESSAGE", &from(claimed), TO_EVE, "");
            assert_eq!(found, wanted, "{sans:?} {claimed}");
        }
    }

    #[test]
    fn authenticators_switched_off_fail_closed_unless_all_are() {
        let alice = alice();
        let own = "sip:alice@example.org";
        let failed = "403 Authentication Failed";
        for (certificates, digest, identity, source, has_certificate, claimed, wanted) in [
            (
                false,
                false,
                IdentityRules::Secure,
                "127.0.0.3",
                false,
                own,
                "open-server",
            ),
            (
                false,
                true,
                IdentityRules::Secure,
                "127.0.0.3",
                true,
                own,
                failed,
            ),
            (
                false,
                true,
                IdentityRules::Secure,
                "127.0.0.7",
                false,
                own,
                "trusted-address",
            ),
            (
                true,
                true,
                IdentityRules::Secure,
                "127.0.0.3",
                true,
                own,
                "user-identity",
            ),
            (
                true,
                true,
                IdentityRules::Secure,
                "127.0.0.3",
                false,
                own,
                MUTUAL,
            ),
            (
                true,
                true,
                IdentityRules::Secure,
                "127.0.0.3",
                true,
                "sip:bob@example.org",
                MISMATCH,
            ),
            (
                true,
                true,
                IdentityRules::Repro,
                "127.0.0.3",
                true,
                own,
                "legacy-name",
            ),
            (
                true,
                true,
                IdentityRules::Repro,
                "127.0.0.3",
                false,
                own,
                failed,
            ),
            (
                false,
                true,
                IdentityRules::Repro,
                "127.0.0.3",
                true,
                own,
                failed,
            ),
            (
                false,
                false,
                IdentityRules::Repro,
                "127.0.0.3",
                false,
                own,
                "open-server",
            ),
        ] {
            let mut options = options(identity);
            options.certificate_authenticator = certificates;
            options.digest = digest;
            let rules = Rules::new(&options, Mappings::default(), Vec::new());
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

    /// Says what its user asks for; `ask…` takes a question.
    struct ByUser {
        asked: AtomicUsize,
    }

    struct Later(Answer);

    impl Question for Later {
        fn answer(self: Box<Self>) -> Answer {
            self.0
        }
    }

    impl Check for ByUser {
        fn name(&self) -> &str {
            "by-user"
        }

        fn check(&self, claim: &Claim<'_>) -> Opinion {
            let ask = |answer| {
                self.asked.fetch_add(1, Ordering::Relaxed);
                Opinion::Pending(Box::new(Later(answer)))
            };
            match claim.uri.sip().and_then(|uri| uri.user) {
                Some("allow") => Opinion::Allow,
                Some("deny") => Opinion::Deny("house rule".into()),
                Some("ask-allow") => ask(Answer::Allow),
                Some("ask-deny") => ask(Answer::Deny("no such guest".into())),
                Some("ask-abstain") => ask(Answer::Abstain),
                _ => Opinion::Abstain,
            }
        }
    }

    /// Runs to the end; the final answer and the number of rounds.
    fn with_check(
        checks: Vec<Arc<dyn Check>>,
        method: &str,
        claimed: &str,
        to: &str,
    ) -> (String, usize) {
        let options = options(IdentityRules::Secure);
        let rules = Rules::new(&options, Mappings::default(), checks);
        let peer = peer(Transport::Tls, "127.0.0.3", None);
        let text = request(method, &from(claimed), &format!("<{to}>"), "");
        let message = Message::parse(text.as_bytes(), text.len(), 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        let mut decision = admit(request, &peer, IdentityPath::Proxy, &rules);
        for round in 0.. {
            decision = match decision {
                Decision::Pending(pending) => resume(
                    request,
                    &peer,
                    IdentityPath::Proxy,
                    &rules,
                    pending.answer(),
                ),
                done => return (answer(&done), round),
            };
        }
        unreachable!()
    }

    #[test]
    fn the_first_check_that_does_not_abstain_decides() {
        let one = || -> Vec<Arc<dyn Check>> {
            vec![Arc::new(ByUser {
                asked: AtomicUsize::new(0),
            })]
        };
        let user = |name: &str| format!("sip:{name}@example.org");
        for (method, claimed, to, wanted, rounds) in [
            ("MESSAGE", "allow", "eve", "check(\"by-user\")", 0),
            ("MESSAGE", "deny", "eve", MISMATCH, 0),
            ("MESSAGE", "alice", "eve", MUTUAL, 0),
            ("MESSAGE", "ask-allow", "eve", "check(\"by-user\")", 1),
            ("MESSAGE", "ask-deny", "eve", MISMATCH, 1),
            ("MESSAGE", "ask-abstain", "eve", MUTUAL, 1),
            (
                "REGISTER",
                "ask-allow",
                "ask-allow",
                "check(\"by-user\")",
                1,
            ),
            ("REGISTER", "ask-allow", "ask-deny", MISMATCH, 1),
            // Nobody is asked about a request that is refused anyhow.
            ("REGISTER", "ask-allow", "deny", MISMATCH, 0),
        ] {
            let found = with_check(one(), method, &user(claimed), &user(to));
            assert_eq!(
                found,
                (wanted.to_owned(), rounds),
                "{method} {claimed} {to}"
            );
        }
    }

    #[test]
    fn an_answer_belongs_to_the_check_that_asked() {
        let new = || {
            Arc::new(ByUser {
                asked: AtomicUsize::new(0),
            })
        };
        let (first, second) = (new(), new());
        let (found, rounds) = with_check(
            vec![first.clone(), second.clone()],
            "MESSAGE",
            "sip:ask-abstain@example.org",
            "sip:eve@example.org",
        );
        assert_eq!((found.as_str(), rounds), (MUTUAL, 2));
        assert_eq!(first.asked.load(Ordering::Relaxed), 1);
        assert_eq!(second.asked.load(Ordering::Relaxed), 1);
    }

    fn host() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-c]{1,2}\\.(org|net)",
            "[a-c]\\.[a-c]\\.org\\.?",
            "\\*\\.[a-c]\\.org",
            "192\\.0\\.2\\.[1-3]",
            "[A-C]\\.ORG",
            "\\PC{0,12}",
        ]
    }

    fn name() -> impl Strategy<Value = String> {
        (
            prop_oneof![
                Just("URI:sip:"),
                Just("URI:sips:"),
                Just("URI:im:"),
                Just("DNS:"),
                Just("email:"),
                Just("URI:")
            ],
            prop_oneof![
                Just(""),
                Just("a@"),
                Just("B@"),
                Just("%61@"),
                Just("~"),
                Just("a:b@")
            ],
            host(),
        )
            .prop_map(|(kind, user, host)| format!("{kind}{user}{host}"))
    }

    proptest! {
        #[test]
        fn admission_needs_a_name_with_the_claimed_host(
            sans in prop::collection::vec(name(), 0..4),
            cn in host(),
            user in prop_oneof![Just(""), Just("a@"), Just("b@"), Just("B@")],
            claimed in host(),
            method in prop_oneof![Just("MESSAGE"), Just("BYE"), Just("ACK"), Just("REGISTER"), Just("REFER")],
            tag in prop_oneof![Just(""), Just(";tag=t")],
        ) {
            let sans: Vec<&str> = sans.iter().map(String::as_str).collect();
            let certificate = cert(&cn, &sans);
            let identities = Identities::of(&certificate, &NamePolicy::default());
            let text = request(
                method,
                &from(&format!("sip:{user}{claimed}")),
                &format!("<sip:{user}{claimed}>{tag}"),
                "",
            );
            for identity in [IdentityRules::Secure, IdentityRules::Report, IdentityRules::Repro] {
                let rules = rules(identity, "");
                let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
                let message = Message::parse(text.as_bytes(), text.len(), 64);
                let Ok(request) = Request::read(&message, identity.from_rule()) else {
                    continue;
                };
                let decision = admit(request, &peer, IdentityPath::Proxy, &rules);
                if identity != IdentityRules::Secure {
                    continue;
                }
                if let Decision::Admit(admitted) = &decision {
                    let bare = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
                    let wanted = bare(&claimed);
                    // Whatever admits ends in the claimed host, and a name with a user has the claimed user.
                    let proof = sans.iter().copied().chain([cn.as_str()]).any(|name| {
                        let host = name.rsplit(['@', ':']).next().unwrap_or_default();
                        let named = name.split_once('@').map(|(before, _)| {
                            before.rsplit(':').next().unwrap_or_default().replace("%61", "a")
                        });
                        bare(host) == wanted
                            && named.is_none_or(|n| format!("{n}@") == user)
                            && !name.contains(['*', '~'])
                            && !name.starts_with("email:")
                            && !name.starts_with("URI:im:")
                    });
                    prop_assert!(proof, "{:?} by {:?} {:?}", admitted.ground(), sans, cn);
                }
            }
        }

        #[test]
        fn no_octets_in_names_or_mappings_make_it_panic(
            cn in prop::collection::vec(any::<u8>(), 0..40),
            uri in prop::collection::vec(any::<u8>(), 0..40),
            dns in prop::collection::vec(any::<u8>(), 0..40),
            file in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            use super::super::peer_certificate::SubjectAltName;
            let mut certificate = cert("", &[]);
            certificate.common_names.push(cn);
            certificate.alt_names.push(SubjectAltName::Uri([b"sip:".as_slice(), &uri].concat()));
            certificate.alt_names.push(SubjectAltName::Uri(uri));
            certificate.alt_names.push(SubjectAltName::Email(dns.clone()));
            certificate.alt_names.push(SubjectAltName::Dns(dns));
            let policy = NamePolicy { email_as_sip: true, wildcards: true };
            let identities = Identities::of(&certificate, &policy);
            let (mappings, _) = Mappings::parse(&file, "m");
            for identity in [IdentityRules::Secure, IdentityRules::Report] {
                let rules = Rules::new(&options(identity), mappings.clone(), Vec::new());
                let peer = peer(Transport::Tls, "127.0.0.3", Some(&identities));
                let text = request("MESSAGE", "<sip:a@b.org>;tag=f", TO_EVE, "");
                judge(&text, &peer, IdentityPath::Proxy, &rules, |decision| drop(decision));
            }
        }
    }
}
