//! May this request go on? The only maker of [`Admitted`].
//!
//! Pure: request, peer and rules in, a [`Decision`] with its reason out. Every path that is not a proof, an explicit trust
//! or a named setting ends in a refusal.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use super::certificate::{Identities, NamePolicy};
use super::check::{Answers, Asked, Check, Peer, Pending};
use super::dialog::{Leg, ProvenLeg, Sender};
use super::digest::{Digest, DigestUser, Field};
use super::legacy;
use super::mappings::Mappings;
use super::options::{AuthOptions, CertificateInstead, IdentityRules, OnIdentityLost};
use super::password::{Examined, NoPasswords, Passwords, Standing};
use super::peer_certificate::PeerCertificate;
use super::rights::CaRights;
use super::trust::{DomainSet, TrustedPeers};
use super::verdict::{Ground, IdentityPath, Reason, Refusal, Role};
use crate::sip::{FromRule, Method, Request, StatusCode};

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
    /// Passwords are asked for. repro: not `DisableAuth`.
    pub wants_digest: bool,
    /// How they are proved. Without it nobody passes who needs one.
    pub digest: Option<Arc<Digest>>,
    /// Who knows them.
    pub passwords: Arc<dyn Passwords>,
    /// Where a certificate makes a password superfluous.
    pub certificate_instead: CertificateInstead,
    /// How a REGISTER for us is asked for a password.
    pub register_challenge: Field,
    /// A From outside our domains needs a certificate.
    pub third_party_requires_certificate: bool,
    /// How names of certificates are read; see [`Rules::identities`].
    pub names: NamePolicy,
    /// What becomes of a live connection whose peer would not be let in any more.
    pub on_identity_lost: OnIdentityLost,
    /// What CAs may vouch for. Ours: `CARights`.
    pub rights: Arc<CaRights>,
    /// The domains that we serve.
    pub domains: DomainSet,
    /// What names of certificates may use besides their own.
    pub mappings: Arc<Mappings>,
    /// Peers that may use any From.
    pub trusted: TrustedPeers,
    /// Asked in this order before the rules above.
    pub checks: Vec<Arc<dyn Check>>,
    /// repro's table of TLS peer identities, asked for a certificate that entitles to nothing by itself; `None` without
    /// a data base.
    pub table: Option<Arc<dyn Check>>,
    /// Asked after that table about a certificate that entitles to nothing by itself (`IdentityCalloutWhen = mismatch`).
    pub callout: Option<Arc<dyn Check>>,
}

impl Rules {
    /// The rules that these options make, with the mappings read from their file.
    pub fn new(
        options: &AuthOptions,
        mappings: impl Into<Arc<Mappings>>,
        checks: Vec<Arc<dyn Check>>,
    ) -> Self {
        Self {
            identity: options.rules,
            certificate_authenticator: options.certificate_authenticator,
            wants_digest: options.digest.enabled,
            digest: None,
            passwords: Arc::new(NoPasswords),
            certificate_instead: options.certificate_instead.clone(),
            register_challenge: options.register_challenge(),
            third_party_requires_certificate: options.third_party_requires_certificate,
            names: NamePolicy {
                email_as_sip: options.email_as_sip,
                wildcards: options.allow_wildcards,
                phones: options.phones,
            },
            on_identity_lost: options.on_identity_lost,
            rights: Arc::default(),
            domains: DomainSet::new(&options.domains, &options.domain_suffixes),
            mappings: mappings.into(),
            trusted: TrustedPeers::new(&options.trusted_peers),
            checks,
            table: None,
            callout: None,
        }
    }

    /// Who the holder of this certificate is under these rules, on a connection to the listener of this number.
    pub fn identities(&self, certificate: &PeerCertificate, listener: Option<usize>) -> Identities {
        Identities::of_client(certificate, &self.names, &self.rights, listener)
    }

    /// The same rules, with passwords.
    #[must_use]
    pub fn with_digest(self, digest: Arc<Digest>, passwords: Arc<dyn Passwords>) -> Self {
        Self {
            digest: Some(digest),
            passwords,
            ..self
        }
    }

    /// What asks for a password in this realm, of a request that has been admitted and goes on only with one.
    pub fn challenge(&self, realm: &str, peer: &Peer<'_>, now: u64) -> Option<Challenge> {
        let refusal = Refusal::challenge(
            Field::Proxy,
            realm.into(),
            Reason::DigestWanted,
            false,
            Role::From,
        );
        Challenge::of(refusal, self, peer, now).ok()
    }

    /// Whether this peer is one of the trusted ones, by a name of its certificate or by where it connects from: what it says
    /// about others is believed.
    pub fn trusts(&self, peer: &Peer<'_>) -> bool {
        let by_name = |identities| self.trusted.name_of(identities).is_some();
        peer.proved().is_some_and(by_name)
            || (peer.transport.is_stream() && self.trusted.has_source(peer.source, peer.transport))
    }

    /// Whether no request is held against anything: to be said aloud at start.
    pub fn is_open(&self) -> bool {
        !self.certificate_authenticator && !self.wants_digest
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("identity", &self.identity)
            .field("certificate_authenticator", &self.certificate_authenticator)
            .field("wants_digest", &self.wants_digest)
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
    other_leg: Option<Box<Leg>>,
    answers: Answers,
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

    /// Who has proved a password, if somebody has, whatever the request was admitted for.
    pub fn password_user(&self) -> Option<&DigestUser> {
        self.answers.proved()
    }

    /// The answers that it was admitted with: whoever has it judged again gives them back.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The other side of the dialog, of a request that was admitted with the proof of one. [`Ground::DialogLeg`] holds for the
    /// way there and no other: such a request goes to the flow of this leg, or to its address-of-record, whatever its
    /// Request-URI and further Routes say.
    pub fn other_leg(&self) -> Option<&Leg> {
        self.other_leg.as_deref()
    }
}

/// What becomes of a request.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and a box would cost an allocation a request"
)]
pub enum Decision<'m> {
    /// It goes on.
    Admit(Admitted<'m>),
    /// It is answered with this.
    Refuse(Refusal),
    /// Its sender is asked for a password.
    Challenge(Challenge),
    /// It is an ACK, which has no answer (RFC 3261 §17): dropped and counted.
    Drop(Refusal),
    /// It waits: answer on the lookup pool, then [`resume`].
    Pending(Pending),
}

/// What asks a sender for a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Status, reason phrase, and why.
    pub refusal: Refusal,
    /// Header lines, each with its CRLF.
    pub headers: Vec<u8>,
}

impl Challenge {
    /// Writes the challenge that a refusal wants; the refusal that is given instead if that cannot be.
    fn of(refusal: Refusal, rules: &Rules, peer: &Peer<'_>, now: u64) -> Result<Self, Refusal> {
        let headers = refusal.wanted.as_deref().and_then(|wanted| {
            let digest = rules.digest.as_ref()?;
            wanted.headers(digest, peer.source.ip(), now)
        });
        match headers {
            Some(headers) => Ok(Self { refusal, headers }),
            None => Err(Refusal {
                status: StatusCode::SERVER_INTERNAL_ERROR,
                phrase: StatusCode::SERVER_INTERNAL_ERROR.phrase(),
                wanted: None,
                ..refusal
            }),
        }
    }
}

/// When and where a request came, and who handles it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Occasion {
    /// Who handles it.
    pub path: IdentityPath,
    /// Number of the listener that it came through.
    pub listener: usize,
    /// Seconds since 1970.
    pub now: u64,
}

impl From<IdentityPath> for Occasion {
    /// On this path, through the first listener, in 1970.
    fn from(path: IdentityPath) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }
}

/// Judges a request.
///
/// A CANCEL is for the transaction layer; one that comes here all the same is judged like any other request.
pub fn admit<'m>(
    request: Request<'m>,
    peer: &Peer<'_>,
    occasion: Occasion,
    rules: &Rules,
) -> Decision<'m> {
    resume(request, peer, occasion, rules, Answers::default())
}

/// Judges a request again, with the answers that it waited for. The rules may be newer ones.
pub fn resume<'m>(
    request: Request<'m>,
    peer: &Peer<'_>,
    occasion: Occasion,
    rules: &Rules,
    answers: Answers,
) -> Decision<'m> {
    decide(
        request,
        &Hearing::new(peer, occasion, rules),
        answers,
        &mut Silent,
    )
}

/// Judges a request whose sender has been proved to be a side of its dialog: its From needs no other proof, under every set
/// of rules. Checks of one's own are asked as ever, and may still refuse it. `answers` are those found so far.
pub fn admit_in_dialog<'m>(
    leg: ProvenLeg<'m, '_>,
    occasion: Occasion,
    rules: &Rules,
    answers: Answers,
) -> Decision<'m> {
    let ProvenLeg {
        request,
        peer,
        sender,
        other,
    } = leg;
    let hearing = Hearing {
        leg: Some(sender),
        ..Hearing::new(&peer, occasion, rules)
    };
    match decide(request, &hearing, answers, &mut Silent) {
        Decision::Admit(admitted) => Decision::Admit(Admitted {
            other_leg: Some(Box::new(other)),
            ..admitted
        }),
        decision => decision,
    }
}

/// Listens to the rules as they are tried.
pub(super) trait Trace {
    /// One step; the text is only made if somebody listens.
    fn step(&mut self, text: impl FnOnce() -> String);
}

/// Nobody listens.
pub(super) struct Silent;

impl Trace for Silent {
    fn step(&mut self, _text: impl FnOnce() -> String) {}
}

/// What one set of rules says.
pub(super) enum Outcome {
    Allow(Ground),
    Refuse(Refusal),
    Ask(Vec<Asked>),
}

/// Who is heard, when, and by which rules.
#[derive(Clone)]
pub(super) struct Hearing<'h> {
    pub(super) peer: &'h Peer<'h>,
    pub(super) occasion: Occasion,
    pub(super) rules: &'h Rules,
    /// The side of its dialog that sends the request, if that is proved.
    pub(super) leg: Option<Sender>,
    /// Who is taken to have proved a password, in an explanation.
    pub(super) stated: Option<DigestUser>,
}

impl<'h> Hearing<'h> {
    pub(super) fn new(peer: &'h Peer<'h>, occasion: Occasion, rules: &'h Rules) -> Self {
        Self {
            peer,
            occasion,
            rules,
            leg: None,
            stated: None,
        }
    }
}

/// One request before its judge.
pub(super) struct Case<'c> {
    pub(super) request: &'c Request<'c>,
    pub(super) peer: &'c Peer<'c>,
    pub(super) occasion: Occasion,
    pub(super) rules: &'c Rules,
    pub(super) answers: &'c Answers,
    /// The side of its dialog that sends it, if that is proved.
    pub(super) leg: Option<Sender>,
    /// What its digest answer says, once somebody has asked.
    pub(super) examined: OnceCell<Examined>,
}

impl Case<'_> {
    /// The ground that a dialog token gives.
    pub(super) fn dialog_leg<T: Trace>(&self, trace: &mut T) -> Option<Ground> {
        let sender = self.leg?;
        trace.step(|| format!("  the dialog token proves the {}", sender.as_str()));
        Some(Ground::DialogLeg(sender))
    }
}

pub(super) fn decide<'m, T: Trace>(
    request: Request<'m>,
    hearing: &Hearing<'_>,
    mut answers: Answers,
    trace: &mut T,
) -> Decision<'m> {
    let (rules, peer, occasion) = (hearing.rules, hearing.peer, hearing.occasion);
    let case = Case {
        request: &request,
        peer,
        occasion,
        rules,
        answers: &answers,
        leg: hearing.leg,
        examined: hearing.stated.clone().map_or_else(OnceCell::new, |user| {
            OnceCell::from(Examined {
                header: Box::default(),
                standing: Standing::Proved(user),
            })
        }),
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
    if let Some(examined) = case.examined.into_inner() {
        answers.keep(examined);
    }
    match outcome {
        Outcome::Allow(ground) => Decision::Admit(Admitted {
            request,
            ground,
            would_refuse,
            other_leg: None,
            answers,
        }),
        Outcome::Refuse(refusal) if request.method == Method::Ack => Decision::Drop(refusal),
        Outcome::Refuse(refusal) if refusal.wanted.is_some() => {
            match Challenge::of(refusal, rules, peer, occasion.now) {
                Ok(challenge) => Decision::Challenge(challenge),
                Err(refusal) => Decision::Refuse(refusal),
            }
        }
        Outcome::Refuse(refusal) => Decision::Refuse(refusal),
        Outcome::Ask(asked) => Decision::Pending(Pending { asked, answers }),
    }
}
