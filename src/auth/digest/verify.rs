//! Holding an answer against its challenge, its request and the stored password: RFC 7616 §3.4, RFC 3261 §22.4.
//!
//! In two steps, since the password has to be looked up between them. Whatever [`Digest::check`] refuses costs no look-up.

use std::net::IpAddr;

use super::attempts::{Limits, Origin, Source, UserKey};
use super::credentials::{Credentials, CredentialsFault};
use super::hash::{
    Algorithm, HashText, Unavailable, hash_of_parts, is_same, keyed_stand_in, short_sha256,
};
use super::nonce::NonceFault;
use super::replay::{NonceKey, Spent, Use};
use super::{Digest, DigestMemory, DigestOptions};
use crate::sip::{SipUri, canonical_domain};

/// The method whose credentials are those of another request (RFC 3261 §22.1), and that one's.
const ACK: &str = "ACK";
const INVITE: &str = "INVITE";

/// What an answer is about, of the request that it came with.
#[derive(Debug, Clone, Copy)]
pub struct DigestRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The Request-URI as written.
    pub uri: &'a [u8],
    /// The body.
    pub body: &'a [u8],
    /// Whether it came as a datagram, whose source address anybody may write.
    pub is_datagram: bool,
}

/// Who has proved a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestUser {
    /// The user, as the client and the store write it: text, not the escaped user part of a URI.
    pub user: String,
    /// The domain, in the form that is compared: that of the username if it has one, otherwise the realm.
    pub domain: String,
    /// The realm as the client wrote it.
    pub realm: String,
}

impl DigestUser {
    /// Whoever an answer says that it is from, proved or not.
    pub(in crate::auth) fn named_by(credentials: &Credentials<'_>) -> Self {
        let (user, domain) = Digest::lookup_key(credentials);
        Self {
            user,
            domain,
            realm: credentials.realm().to_owned(),
        }
    }
}

/// Why an answer proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestFault {
    /// The nonce is one of ours, but too old, of an earlier process, or was given to another address. To be challenged
    /// with `stale`.
    #[error("the nonce is stale")]
    Stale,
    /// The nonce is none of ours for this realm.
    #[error("the nonce is not from here")]
    ForeignNonce,
    /// The nonce count was used before, or an ACK has not the credentials of an INVITE. To be challenged with `stale`.
    #[error("the nonce count was used before")]
    Replayed,
    /// The algorithm is none of the challenge's.
    #[error("the algorithm was not offered")]
    AlgorithmNotOffered,
    /// The quality of protection is none of the challenge's.
    #[error("the quality of protection was not offered")]
    NoQop,
    /// The digest-uri is not the Request-URI.
    #[error("the digest-uri is not the Request-URI")]
    UriMismatch,
    /// It cannot be read.
    #[error("{0}")]
    Malformed(#[from] CredentialsFault),
    /// No such user, no hash for this algorithm, or another password: which, is not to be known.
    #[error("wrong user or password")]
    Wrong,
    /// Too many wrong ones from there, or for this user.
    #[error("too many wrong passwords")]
    TooManyFailures,
}

/// What of the request the response covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    /// RFC 2069: as `Auth`, without nonce count and cnonce.
    Bare,
    Auth,
    AuthInt,
}

/// An answer that [`Digest::check`] found nothing wrong with. Its password is yet to be verified.
#[derive(Debug, Clone)]
pub struct Checked {
    algorithm: Algorithm,
    cover: Cover,
    nonce: NonceKey,
    used: Use,
    from: Origin,
    user: UserKey,
}

impl Digest {
    /// User and domain by which the stored hash is found: `bob@example.org` is bob of example.org in any realm, split at the
    /// first `@` as repro does; another name is one of the realm. The domain is in the form that is compared.
    pub fn lookup_key(credentials: &Credentials<'_>) -> (String, String) {
        let name = credentials.username();
        let (user, domain) = name.split_once('@').unwrap_or((name, credentials.realm()));
        (user.to_owned(), canonical_domain(domain).into_owned())
    }

    /// Whether an answer may be held against a password: its nonce is ours, fresh, not used with its count, and was given to
    /// this address; algorithm and protection were offered; its URI is that of the request; nobody guesses here. Fails closed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        &self,
        credentials: &Credentials<'_>,
        request: &DigestRequest<'_>,
        source: IpAddr,
        now: u64,
    ) -> Result<Checked, DigestFault> {
        let nonce = self
            .open_nonce(credentials.nonce(), credentials.realm(), source, now)
            .map_err(|fault| match fault {
                NonceFault::Foreign => DigestFault::ForeignNonce,
                NonceFault::Stale => DigestFault::Stale,
            })?;
        let algorithm = match credentials.algorithm() {
            Some(name) => Algorithm::of_name(name),
            None => Some(Algorithm::Md5),
        }
        .filter(|algorithm| self.offered.contains(algorithm))
        .ok_or(DigestFault::AlgorithmNotOffered)?;
        let cover = self.cover(credentials)?;
        let response = credentials.response.as_bytes();
        if response.len() != algorithm.digits() || !response.iter().all(u8::is_ascii_hexdigit) {
            return Err(CredentialsFault::Response.into());
        }
        let used = match (cover, credentials.nonce_count()) {
            (Cover::Auth | Cover::AuthInt, Some(count)) => Use::Count(count),
            _ => Use::Whole,
        };
        // An ACK uses again what its INVITE used, and only that: it is held against the memory once the password is right.
        if request.method != ACK && !self.options.legacy {
            self.memory
                .spent
                .look(nonce, used)
                .map_err(DigestFault::from)?;
        }
        // Whoever replays an answer for another request is told that it is old, like anybody who replays.
        if !self.options.legacy && !is_for(credentials.uri(), request) {
            return Err(DigestFault::UriMismatch);
        }
        let (user, domain) = Self::lookup_key(credentials);
        let checked = Checked {
            algorithm,
            cover,
            nonce,
            used,
            from: Origin {
                source: Source::of(source),
                // Who answers a nonce that is good for one address alone has been sent it there.
                is_certain: self.options.bind_source || !request.is_datagram,
            },
            user: UserKey::of(&user, &domain),
        };
        self.may_try(&checked, now)?;
        Ok(checked)
    }

    /// Holds an answer against the stored hashes; `None` when there is no such user. Counts a wrong one, and spends the nonce
    /// count of a right one.
    ///
    /// A user that does not exist, or has no hash for the algorithm, is refused after the same work as a wrong password and
    /// with the same fault: an A1 that nobody knows stands for the one that is missing, and never an empty one.
    ///
    /// # Errors
    /// The password is wrong, somebody guesses here, or another thread has spent the count meanwhile.
    pub fn verify(
        &self,
        checked: Checked,
        credentials: &Credentials<'_>,
        request: &DigestRequest<'_>,
        stored: Option<&HashText>,
        now: u64,
    ) -> Result<DigestUser, DigestFault> {
        // Many may have been checked while the first of them was looked up.
        self.may_try(&checked, now)?;
        let is_ack = request.method == ACK;
        let body = (checked.cover == Cover::AuthInt).then(|| fingerprint(credentials));
        if is_ack && body.is_some() {
            // Only its INVITE's body would say whether it is right (RFC 3261 §22.1): it is, if it was.
            if !self.memory.spent.repeats(checked.nonce, checked.used, body) {
                return Err(DigestFault::Replayed);
            }
            return Ok(DigestUser::named_by(credentials));
        }
        let stand_in = self.memory.stand_in(checked.algorithm, credentials);
        let known = stored.and_then(|stored| stored.get(checked.algorithm));
        let a1 = known.unwrap_or(&stand_in);
        let expected = response(checked.algorithm, checked.cover, credentials, request, a1);
        let is_right = expected.is_ok_and(|expected| {
            let given = credentials.response.to_ascii_lowercase();
            is_same(expected.as_bytes(), given.as_bytes())
        });
        let (user, from) = (checked.user, checked.from);
        let attempts = &self.memory.attempts;
        if !is_right || known.is_none() {
            attempts.failed(user, from, self.limits(), now);
            return Err(DigestFault::Wrong);
        }
        if !self.options.legacy {
            if is_ack {
                if !self.memory.spent.repeats(checked.nonce, checked.used, None) {
                    return Err(DigestFault::Replayed);
                }
            } else {
                let oldest = now.saturating_sub(self.options.nonce_lifetime.into());
                let body = body.filter(|_| request.method == INVITE);
                self.memory
                    .spent
                    .spend(checked.nonce, checked.used, body, oldest)
                    .map_err(DigestFault::from)?;
            }
        }
        attempts.proved(user, from, now);
        Ok(DigestUser::named_by(credentials))
    }

    pub(super) fn cover(&self, credentials: &Credentials<'_>) -> Result<Cover, DigestFault> {
        let DigestOptions {
            auth_int,
            require_qop,
            legacy,
            ..
        } = self.options;
        match credentials.qop() {
            None if legacy || !require_qop => Ok(Cover::Bare),
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Ok(Cover::Auth),
            Some(qop) if qop.eq_ignore_ascii_case("auth-int") && (auth_int || legacy) => {
                Ok(Cover::AuthInt)
            }
            _ => Err(DigestFault::NoQop),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            per_source: self.options.max_failures_per_source,
            per_user: self.options.max_failures_per_user,
        }
    }

    fn may_try(&self, checked: &Checked, now: u64) -> Result<(), DigestFault> {
        let Checked { user, from, .. } = *checked;
        if self
            .memory
            .attempts
            .are_too_many(user, from, self.limits(), now)
        {
            return Err(DigestFault::TooManyFailures);
        }
        Ok(())
    }
}

impl DigestMemory {
    /// What stands for an A1 that does not exist.
    fn stand_in(&self, algorithm: Algorithm, credentials: &Credentials<'_>) -> String {
        let parts = [
            credentials.username().as_bytes(),
            credentials.realm().as_bytes(),
        ];
        keyed_stand_in(algorithm, self.key.octets(), &parts)
    }
}

impl From<Spent> for DigestFault {
    fn from(spent: Spent) -> Self {
        match spent {
            Spent::Already => Self::Replayed,
            Spent::Forgotten => Self::Stale,
        }
    }
}

/// Who answers, and what, in so few octets that it can be kept: the response alone would let another user repeat it.
fn fingerprint(credentials: &Credentials<'_>) -> [u8; 16] {
    let (name, realm, uri) = (
        credentials.username(),
        credentials.realm(),
        credentials.uri(),
    );
    let response = &credentials.response;
    let text = format!(
        "{}:{name}{}:{realm}{response}:{uri}",
        name.len(),
        realm.len()
    );
    short_sha256(b"digest answer", text.as_bytes())
}

/// Whether a digest-uri is that of the request: octet for octet, or by RFC 3261 §19.1.4. That of an ACK is its INVITE's, which
/// went elsewhere.
fn is_for(uri: &str, request: &DigestRequest<'_>) -> bool {
    request.method == ACK || uri.as_bytes() == request.uri || {
        let other = std::str::from_utf8(request.uri).ok();
        match (SipUri::parse(uri), other.and_then(SipUri::parse)) {
            (Some(a), Some(b)) => a.is_equivalent(&b),
            _ => false,
        }
    }
}

/// The response to expect: RFC 7616 §3.4.1, §3.4.3.
pub(super) fn response(
    algorithm: Algorithm,
    cover: Cover,
    credentials: &Credentials<'_>,
    request: &DigestRequest<'_>,
    a1: &str,
) -> Result<String, Unavailable> {
    let hash = |parts: &[&[u8]]| hash_of_parts(algorithm, parts);
    let method = match request.method {
        ACK => INVITE,
        other => other,
    };
    let (method, uri) = (method.as_bytes(), credentials.uri().as_bytes());
    let a2 = if cover == Cover::AuthInt {
        let body = hash(&[request.body])?;
        hash(&[method, b":", uri, b":", body.as_bytes()])?
    } else {
        hash(&[method, b":", uri])?
    };
    let (a1, a2) = (a1.as_bytes(), a2.as_bytes());
    let nonce = credentials.nonce().as_bytes();
    if cover == Cover::Bare {
        return hash(&[a1, b":", nonce, b":", a2]);
    }
    // A protection without them is not read at all.
    let cnonce = credentials.cnonce.as_deref().unwrap_or_default();
    let qop = credentials.qop().unwrap_or_default();
    let count = credentials.nc.as_ref().map_or("", |(text, _)| text);
    let parts = [
        a1,
        nonce,
        count.as_bytes(),
        cnonce.as_bytes(),
        qop.as_bytes(),
        a2,
    ];
    let mut joined: Vec<&[u8]> = Vec::with_capacity(11);
    for part in parts {
        if !joined.is_empty() {
            joined.push(b":");
        }
        joined.push(part);
    }
    hash(&joined)
}
