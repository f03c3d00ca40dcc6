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
