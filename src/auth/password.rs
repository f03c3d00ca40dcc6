//! What a digest answer proves of the sender of a request (RFC 3261 §22, RFC 7616), and where stored passwords come from.
//!
//! An answer is examined once for each request, however often that is judged: proving a password spends a nonce count.

use std::fmt;
use std::sync::Arc;

use super::admit::{Case, Rules, Trace};
use super::check::Asked;
use super::digest::{
    Credentials, CredentialsFault, Digest, DigestFault, DigestRequest, DigestUser, Field, HashText,
};
use super::options::IdentityRules;
use super::secure::Judgement;
use super::verdict::{Ground, IdentityPath, Reason, Refusal, Role, Wanted};
use crate::sip::{
    HeaderName, Host, Message, Method, Request, SipUri, StatusCode, Uri, canonical_user,
    list_elements,
};

/// The user part that hides a name (RFC 3323 §4.1.1.3), and the host that goes with it.
const ANONYMOUS: &str = "anonymous";
const ANONYMOUS_HOST: &str = "anonymous.invalid";

/// The store of passwords does not answer, so that nothing is known of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordsFailed;

/// Who knows the passwords.
pub trait Passwords: Send + Sync {
    /// The hashes of a user; `None` for one who has none. May block; runs on the lookup pool.
    ///
    /// Nothing is answered at once: how long an answer takes must not tell who has been there lately from who does not exist.
    ///
    /// # Errors
    /// Whoever would know does not answer.
    fn answer(&self, user: &str, domain: &str) -> Result<Option<Arc<HashText>>, PasswordsFailed>;
}

/// Nobody has a password.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPasswords;

impl Passwords for NoPasswords {
    fn answer(&self, _user: &str, _domain: &str) -> Result<Option<Arc<HashText>>, PasswordsFailed> {
        Ok(None)
    }
}

/// What a question for a password was answered with.
#[derive(Clone)]
pub(super) struct PasswordAnswer {
    pub(super) user: String,
    pub(super) domain: String,
    pub(super) answer: Result<Option<Arc<HashText>>, PasswordsFailed>,
}

/// A question for a password.
pub(super) struct PasswordQuestion {
    pub(super) passwords: Arc<dyn Passwords>,
    pub(super) user: String,
    pub(super) domain: String,
}

/// What the digest answer of a request says.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// There is none for a realm of ours.
    Absent,
    /// There is none for a realm of ours, and one whose realm cannot be read.
    Unreadable(CredentialsFault),
    /// This user knows the password.
    Proved(DigestUser),
    /// It proves nothing.
    Fault(DigestFault),
    /// There is no such user, which nobody but repro says.
    UnknownUser,
    /// The store of passwords does not answer.
    Failed,
    /// It depends on the password of this user.
    Open { user: String, domain: String },
}

/// A digest answer that has been examined.
#[derive(Clone)]
pub(super) struct Examined {
    /// The header value that it is.
    pub(super) header: Box<[u8]>,
    pub(super) standing: Standing,
}

impl fmt::Debug for Examined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.standing.fmt(f)
    }
}

impl Rules {
    fn static_realm(&self) -> Option<&str> {
        let digest = self.digest.as_ref()?;
        digest.options.static_realm.as_deref()
    }

    /// Whether an answer for this realm is for us.
    pub fn is_our_realm(&self, realm: &str) -> bool {
        match self.static_realm() {
            Some(own) => own == realm,
            None => self.is_ours(realm),
        }
    }

    /// The realm in which the sender of a request is asked: the one that is set, else the domain of From, else that of the
    /// Request-URI if it is ours.
    pub(super) fn realm_for(&self, request: &Request<'_>) -> Option<Box<str>> {
        if let Some(realm) = self.static_realm() {
            return Some(realm.into());
        }
        self.realm_of_uri(&request.from.uri)
            .or_else(|| self.realm_of_uri(&request.uri))
    }

    /// The domain of a URI as a realm, if it is ours. repro writes it as the client did, and hashes it so.
    pub(super) fn realm_of_uri(&self, uri: &Uri<'_>) -> Option<Box<str>> {
        let uri = uri.sip()?;
        let spelt: Box<str> = match (self.identity, &uri.host) {
            (IdentityRules::Repro | IdentityRules::Report, Host::Name(name)) => (*name).into(),
            _ => uri.host.canonical().into(),
        };
        self.is_ours(&spelt).then_some(spelt)
    }

    /// Who sent the first answer for a realm of ours, by what it says itself.
    pub(super) fn named_user(
        &self,
        message: &Message<'_>,
        path: IdentityPath,
    ) -> Option<DigestUser> {
        let values = fields(path).iter().flat_map(|name| message.all(*name));
        values
            .filter_map(|value| Credentials::parse(value).ok().flatten())
            .find(|credentials| self.is_our_realm(credentials.realm()))
            .map(|credentials| DigestUser::named_by(&credentials))
    }

    fn is_ours(&self, name: &str) -> bool {
        match self.identity {
            IdentityRules::Secure => {
                Host::parse(name).is_some_and(|host| self.domains.contains(&host))
            }
            IdentityRules::Report | IdentityRules::Repro => {
                self.domains.contains_legacy(name.as_bytes())
            }
        }
    }
}

impl Case<'_> {
    /// What the digest answer of this request says, found out the first time that it is asked.
    pub(super) fn standing<T: Trace>(&self, trace: &mut T) -> &Standing {
        if let Some(examined) = self.examined.get() {
            return &examined.standing;
        }
        let examined = self.examine(trace);
        trace.step(|| format!("  digest: {}", told(&examined.standing)));
        &self.examined.get_or_init(|| examined).standing
    }

    /// Looks at every answer: the first for a realm of ours counts. A client that goes through several proxies answers each
    /// of them (RFC 3261 §22.3).
    fn examine<T: Trace>(&self, trace: &mut T) -> Examined {
        let none = |standing| Examined {
            header: Box::default(),
            standing,
        };
        let Some(digest) = &self.rules.digest else {
            return none(if self.rules.wants_digest {
                Standing::Failed
            } else {
                Standing::Absent
            });
        };
        let fields = fields(self.occasion.path);
        let mut unreadable = None;
        let message = self.request.message;
        for value in fields.iter().flat_map(|name| message.all(*name)) {
            match Credentials::parse(value) {
                Ok(None) => {}
                // Whatever another proxy makes of it.
                Err(_) if realm_of(value).is_some_and(|realm| !self.rules.is_our_realm(realm)) => {}
                Err(fault) => {
                    unreadable.get_or_insert(fault);
                }
                Ok(Some(credentials)) if self.rules.is_our_realm(credentials.realm()) => {
                    return Examined {
                        header: value.into(),
                        standing: self.verify(digest, value, &credentials, trace),
                    };
                }
                Ok(Some(credentials)) => trace.step(|| {
                    let realm = credentials.realm();
                    format!(
                        "  an answer for the realm {realm:?}, which is not ours, is passed over"
                    )
                }),
            }
        }
        none(unreadable.map_or(Standing::Absent, Standing::Unreadable))
    }

    fn verify<T: Trace>(
        &self,
        digest: &Digest,
        value: &[u8],
        credentials: &Credentials<'_>,
        trace: &mut T,
    ) -> Standing {
        if let Some(standing) = self.answers.examined(value) {
            return standing.clone();
        }
        let request = DigestRequest {
            method: self.request.method.as_str(),
            uri: self.request.uri_text,
            body: self.request.message.body(),
            is_datagram: !self.peer.transport.is_stream(),
        };
        let (source, now) = (self.peer.source.ip(), self.occasion.now);
        let checked = match digest.check(credentials, &request, source, now) {
            Ok(checked) => checked,
            Err(fault) => return Standing::Fault(fault),
        };
        let (user, domain) = Digest::lookup_key(credentials);
        let stored = match self.answers.password(&user, &domain) {
            Some(Ok(stored)) => stored,
            Some(Err(PasswordsFailed)) => return Standing::Failed,
            None => {
                trace.step(|| "  the password has to be asked for".to_owned());
                return Standing::Open { user, domain };
            }
        };
        match digest.verify(checked, credentials, &request, stored.as_deref(), now) {
            Ok(user) => Standing::Proved(user),
            Err(DigestFault::Wrong) if stored.is_none() => Standing::UnknownUser,
            Err(fault) => Standing::Fault(fault),
        }
    }

    /// The question for the password that an answer depends on.
    pub(super) fn question(&self, user: &str, domain: &str) -> Asked {
        Asked::Password(PasswordQuestion {
            passwords: Arc::clone(&self.rules.passwords),
            user: user.to_owned(),
            domain: domain.to_owned(),
        })
    }

    /// The refusal that asks for a password, or one that does not where there is no realm to ask in.
    pub(super) fn challenge(&self, reason: Reason, stale: bool, role: Role) -> Refusal {
        let Some(realm) = self.rules.realm_for(self.request) else {
            return Refusal::forbidden(self.password_phrase(), reason, role);
        };
        Refusal::challenge(self.field(), realm, reason, stale, role)
    }

    fn field(&self) -> Field {
        match self.occasion.path {
            IdentityPath::Proxy => Field::Proxy,
            IdentityPath::Registrar => self.rules.register_challenge,
        }
    }

    /// repro's phrase for a wrong password.
    fn password_phrase(&self) -> &'static str {
        match self.occasion.path {
            IdentityPath::Proxy => "Authentication Failed",
            IdentityPath::Registrar => "Invalid password provided",
        }
    }

    /// repro's phrase for a password that proves somebody else.
    pub(super) fn forged(&self, role: Role) -> Refusal {
        let phrase = match self.occasion.path {
            IdentityPath::Proxy => StatusCode::FORBIDDEN.phrase(),
            IdentityPath::Registrar => "Invalid user name provided",
        };
        let reason = match role {
            Role::From | Role::ReferredBy => Reason::DigestForgedFrom,
            Role::To => Reason::ToNotYours,
        };
        Refusal::forbidden(phrase, reason, role)
    }

    /// What is said to a request for which a password is needed and which proves none.
    pub(super) fn not_proved(&self, standing: &Standing, role: Role) -> Judgement {
        let bad_header = |reason| Refusal::bad_request("Invalid auth header", reason, role);
        let wrong = |reason| Refusal::forbidden(self.password_phrase(), reason, role);
        Judgement::Refuse(match standing {
            Standing::Open { user, domain } => {
                return Judgement::Ask(self.question(user, domain));
            }
            Standing::Absent => self.challenge(Reason::DigestWanted, false, role),
            Standing::Proved(_) => self.forged(role),
            Standing::Unreadable(_) | Standing::Fault(DigestFault::Malformed(_)) => {
                bad_header(Reason::DigestMalformed)
            }
            Standing::Fault(DigestFault::UriMismatch) => bad_header(Reason::DigestUri),
            Standing::Fault(DigestFault::Stale) => self.challenge(Reason::DigestStale, true, role),
            Standing::Fault(DigestFault::Replayed) => {
                self.challenge(Reason::DigestReplayed, true, role)
            }
            Standing::Fault(DigestFault::ForeignNonce) => self.foreign_nonce(role),
            Standing::Fault(DigestFault::AlgorithmNotOffered) => {
                self.challenge(Reason::DigestAlgorithm, false, role)
            }
            Standing::Fault(DigestFault::NoQop) => self.challenge(Reason::DigestNoQop, false, role),
            Standing::Fault(DigestFault::TooManyFailures) => wrong(Reason::DigestLimited),
            Standing::Fault(DigestFault::Wrong) | Standing::UnknownUser => {
                wrong(Reason::DigestWrong)
            }
            Standing::Failed => Refusal {
                status: StatusCode::SERVER_INTERNAL_ERROR,
                ..Refusal::forbidden(
                    StatusCode::SERVER_INTERNAL_ERROR.phrase(),
                    Reason::PasswordStoreFailed,
                    role,
                )
            },
        })
    }

    fn foreign_nonce(&self, role: Role) -> Refusal {
        let digest = self.rules.digest.as_ref();
        if digest.is_some_and(|digest| digest.options.reject_bad_nonces) {
            let phrase = match self.occasion.path {
                IdentityPath::Proxy => "Where on earth did you get that nonce?",
                IdentityPath::Registrar => "Invalid nonce",
            };
            return Refusal::forbidden(phrase, Reason::DigestBadNonce, role);
        }
        // repro says of every nonce that it is only too old.
        let stale = self.rules.identity != IdentityRules::Secure;
        self.challenge(Reason::DigestBadNonce, stale, role)
    }

    /// Whether who has proved a password may use this identity: his own, that of nobody, or within a dialog that of anybody of
    /// his domain if that is set. The registrar knows his own alone.
    pub(super) fn may_use(&self, user: &DigestUser, role: Role, uri: &Uri<'_>) -> bool {
        let Some(sip) = uri.sip() else {
            return false;
        };
        let is_host = |name: &str| sip.host.canonical().eq_ignore_ascii_case(name);
        let of_domain = is_host(&user.domain);
        let same_user = |claimed: &str| canonical_user(claimed) == canonical_user(&user.user);
        if of_domain && sip.user.is_some_and(same_user) {
            return true;
        }
        if self.occasion.path == IdentityPath::Registrar
            || self.request.method == Method::Register
            || role == Role::To
        {
            return false;
        }
        let within = self.request.has_to_tag()
            && self
                .rules
                .digest
                .as_ref()
                .is_some_and(|digest| digest.options.impersonation_in_dialog);
        // repro knows nobody of no domain.
        let nobody = self.rules.identity == IdentityRules::Secure && is_nobody(sip);
        (of_domain && (within || is_anonymous(sip))) || nobody
    }
}

/// Where answers are looked for.
fn fields(path: IdentityPath) -> &'static [HeaderName] {
    match path {
        IdentityPath::Proxy => &[HeaderName::ProxyAuthorization],
        // repro asks with 407 here too, and its clients have learnt to answer so.
        IdentityPath::Registrar => &[HeaderName::Authorization, HeaderName::ProxyAuthorization],
    }
}

/// The realm of an answer that cannot be read as a whole, without escapes.
fn realm_of(value: &[u8]) -> Option<&str> {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let (_, parameters) = value
        .trim_ascii()
        .split_at_checked(value.iter().position(blank)?)?;
    list_elements(parameters).find_map(|parameter| {
        let (name, value) = parameter.split_at(parameter.iter().position(|o| *o == b'=')?);
        let value = value.get(1..)?.trim_ascii();
        let value = match value.strip_prefix(b"\"") {
            Some(rest) => rest.strip_suffix(b"\"")?,
            None => value,
        };
        let is_realm = name.trim_ascii().eq_ignore_ascii_case(b"realm");
        is_realm.then(|| std::str::from_utf8(value).ok()).flatten()
    })
}

fn is_anonymous(uri: &SipUri<'_>) -> bool {
    uri.user
        .is_some_and(|user| canonical_user(user) == ANONYMOUS)
}

/// Whether it is `anonymous@anonymous.invalid`.
pub(super) fn is_nobody(uri: &SipUri<'_>) -> bool {
    is_anonymous(uri) && uri.host.canonical() == ANONYMOUS_HOST
}

/// `user@domain`.
pub(super) fn ground(user: &DigestUser) -> Ground {
    Ground::Digest(format!("{}@{}", user.user, user.domain).into())
}

fn told(standing: &Standing) -> String {
    match standing {
        Standing::Absent => "no answer for a realm of ours".to_owned(),
        Standing::Unreadable(fault) => format!("an answer that cannot be read: {fault}"),
        Standing::Proved(user) => format!(
            "the password of {:?} is proved",
            format!("{}@{}", user.user, user.domain)
        ),
        Standing::Fault(fault) => format!("{fault}"),
        Standing::UnknownUser => "no such user, or no password".to_owned(),
        Standing::Failed => "the passwords cannot be asked for".to_owned(),
        Standing::Open { user, domain } => format!(
            "depends on the password of {:?}",
            format!("{user}@{domain}")
        ),
    }
}

/// What asks a sender for a password: a part of a [`Refusal`].
impl Wanted {
    /// The header lines of the challenge; `None` if the system's OpenSSL fails.
    pub(super) fn headers(
        &self,
        digest: &Digest,
        source: std::net::IpAddr,
        now: u64,
    ) -> Option<Vec<u8>> {
        digest.challenge(self.field, &self.realm, self.stale, source, now)
    }
}
