//! Text that this server hands out and gets back, and that nobody else can read, make or change: AES-256-GCM
//! (NIST SP 800-38D) under keys made of the operator's secrets by HKDF (RFC 5869).
//!
//! Each [`Purpose`] has keys of its own, so that a token of one is none of another. What a token belongs to, a Call-ID for
//! one, goes in as associated data: it is not in the token, and the token does not open without it.
//!
//! The nonce is 96 random bits. A counter would have to be kept apart between the threads of a process, between processes
//! before and after a restart, and between servers that share a secret, and it would tell every peer how many calls the
//! server has between two of its own. The price is that a secret is good for 2^32 tokens (§8.3 there), a hundred a second
//! for more than a year.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::pkey::Id;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rand::rand_bytes;

const NONCE: usize = 12;
const TAG: usize = 16;

/// Room that OpenSSL wants beyond what it writes: without it a token is moved to a larger place twice while it is opened.
const BLOCK: usize = 16;

/// Key id, nonce and tag: what a token has beside its text.
const OVERHEAD: usize = 1 + NONCE + TAG;

/// Longest text that is sealed, in octets.
const MAX_PLAIN: usize = 512;

/// Longest token that is looked at.
const MAX_TOKEN: usize = (OVERHEAD + MAX_PLAIN).div_ceil(3) * 4;

/// Nonces that are fetched at once: one call of the random generator costs as much as the whole rest of a token.
const NONCES: usize = 128;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Who the two sides of a dialog are, in our Record-Route.
    Dialog,
    /// Which flow leads to a client, in our Path (RFC 5626 §5.2).
    Flow,
    /// When and to whom a challenge was given, as its nonce (RFC 7616 §3.3).
    Nonce,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Dialog, Self::Flow, Self::Nonce];

    /// The label by which keys differ. A token with another layout gets another one.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Dialog => b"sipvouch dialog token 1",
            Self::Flow => b"sipvouch flow token 1",
            Self::Nonce => b"sipvouch digest nonce 1",
        }
    }
}

/// What keys are made of; its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct TokenSecret(Box<[u8]>);

impl TokenSecret {
    /// Fewest octets of a secret. Whoever has a token can try guesses at the secret without asking us.
    pub const MIN_OCTETS: usize = 16;

    /// Octets from which on a secret is no weaker than the cipher, whatever it is written in.
    pub const GOOD_OCTETS: usize = 32;

    /// Takes the text of a setting; `None` if it is too short.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= Self::MIN_OCTETS).then(|| Self(text.as_bytes().into()))
    }

    /// A secret that ends with the process.
    ///
    /// # Errors
    /// OpenSSL has no random numbers.
    pub fn random() -> Result<Self, SealFault> {
        let mut octets = [0; Self::GOOD_OCTETS];
        rand_bytes(&mut octets).map_err(|source| SealFault::new("random numbers", &source))?;
        Ok(Self(octets.into()))
    }

    /// What it is made of.
    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is allowed, and weaker than it could be.
    pub fn is_short(&self) -> bool {
        self.0.len() < Self::GOOD_OCTETS
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The system's OpenSSL cannot do what tokens need.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "tokens cannot be sealed: this system's OpenSSL offers no {what} ({why}); see its openssl.cnf and providers"
)]
pub struct SealFault {
    what: &'static str,
    why: String,
}

impl SealFault {
    fn new(what: &'static str, source: &ErrorStack) -> Self {
        let why = source.to_string();
        Self { what, why }
    }
}

struct Key {
    purpose: Purpose,
    /// Says which of several secrets it was; not unique.
    id: u8,
    octets: [u8; 32],
}

/// Random octets not used yet.
struct Nonces {
    pool: [[u8; NONCE]; NONCES],
    left: usize,
}

/// Seals tokens and opens them. Shared by all threads.
pub struct Sealer {
    keys: Vec<Key>,
    nonces: Mutex<Nonces>,
}

impl Sealer {
    /// Makes the keys. The first of `secrets` seals, or `process` if there is none; all of them open, so that a secret can
    /// be replaced while tokens of the old one are still around.
    ///
    /// `process` is a [`TokenSecret::random`] that the process keeps across reloads: what it sealed before the operator set
    /// a secret still opens afterwards.
    ///
    /// # Errors
    /// OpenSSL lacks an algorithm.
    pub fn new(secrets: &[TokenSecret], process: &TokenSecret) -> Result<Self, SealFault> {
        let mut keys = Vec::new();
        for secret in secrets.iter().chain([process]) {
            let mut id = [0];
            derive(secret, b"sipvouch key id", &mut id)?;
            for purpose in Purpose::ALL {
                let mut octets = [0; 32];
                derive(secret, purpose.label(), &mut octets)?;
                let [id] = id;
                keys.push(Key {
                    purpose,
                    id,
                    octets,
                });
            }
        }
        with_context(|_| Ok(())).map_err(|source| SealFault::new("AES-256-GCM", &source))?;
        let nonces = Nonces {
            pool: [[0; NONCE]; NONCES],
            left: 0,
        };
        Ok(Self {
            keys,
            nonces: Mutex::new(nonces),
        })
    }

    /// Seals a text: key id, nonce, ciphertext and tag in base64url, letters that a user part of a URI may have as they are
    /// (RFC 3261 §25.1). `None` if it is longer than 512 octets, or OpenSSL fails; nothing is sealed then.
    pub fn seal(&self, purpose: Purpose, aad: &[u8], plain: &[u8]) -> Option<String> {
        if plain.len() > MAX_PLAIN {
            return None;
        }
        let key = self.keys.iter().find(|key| key.purpose == purpose)?;
        let nonce = self.nonce()?;
        let mut token = Vec::with_capacity(OVERHEAD + plain.len());
        token.push(key.id);
        token.extend_from_slice(&nonce);
        let mut tag = [0; TAG];
        with_context(|context| {
            context.encrypt_init(None, Some(&key.octets), Some(&nonce))?;
            context.cipher_update(aad, None)?;
            context.cipher_update_vec(plain, &mut token)?;
            context.cipher_final_vec(&mut token)?;
            context.tag(&mut tag)
        })
        .ok()?;
        token.extend_from_slice(&tag);
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens what [`Sealer::seal`] made with the same purpose and associated data. `None` for everything else.
    pub fn open(&self, purpose: Purpose, aad: &[u8], text: &str) -> Option<Vec<u8>> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&id, rest) = token.split_first()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG>()?;
        // Two secrets may have the same id by chance, so that more than one key is tried then.
        self.keys
            .iter()
            .filter(|key| key.purpose == purpose && key.id == id)
            .find_map(|key| open(key, nonce, aad, sealed, tag))
    }

    fn nonce(&self) -> Option<[u8; NONCE]> {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.left == 0 {
            rand_bytes(nonces.pool.as_flattened_mut()).ok()?;
            nonces.left = NONCES;
        }
        nonces.left -= 1;
        nonces.pool.get(nonces.left).copied()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

fn open(
    key: &Key,
    nonce: &[u8; NONCE],
    aad: &[u8],
    sealed: &[u8],
    tag: &[u8; TAG],
) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(sealed.len() + BLOCK);
    with_context(|context| {
        context.decrypt_init(None, Some(&key.octets), Some(nonce))?;
        context.set_tag(tag)?;
        context.cipher_update(aad, None)?;
        context.cipher_update_vec(sealed, &mut plain)?;
        // Until this has compared the tag, the text is not to be believed.
        context.cipher_final_vec(&mut plain)
    })
    .ok()?;
    Some(plain)
}

/// Runs with this thread's cipher context. OpenSSL 3 looks an algorithm up each time that a new context is made, which takes
/// longer than to encrypt a token; key and nonce are set anew each time.
fn with_context<R>(
    work: impl FnOnce(&mut CipherCtx) -> Result<R, ErrorStack>,
) -> Result<R, ErrorStack> {
    thread_local! {
        static CONTEXT: RefCell<Option<CipherCtx>> = const { RefCell::new(None) };
    }
    CONTEXT.with_borrow_mut(|slot| match slot {
        Some(context) => work(context),
        none => {
            let mut context = CipherCtx::new()?;
            context.encrypt_init(Some(Cipher::aes_256_gcm()), None, None)?;
            work(none.insert(context))
        }
    })
}

/// HKDF with SHA-256, without salt: the secret is the only input, and `label` says what for.
fn derive(secret: &TokenSecret, label: &[u8], out: &mut [u8]) -> Result<(), SealFault> {
    let compute = |out| {
        let mut context = PkeyCtx::new_id(Id::HKDF)?;
        context.derive_init()?;
        context.set_hkdf_md(Md::sha256())?;
        context.set_hkdf_key(&secret.0)?;
        context.add_hkdf_info(label)?;
        context.derive(Some(out))
    };
    match compute(out) {
        Ok(_) => Ok(()),
        Err(source) => Err(SealFault::new("HKDF with SHA-256", &source)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::collections::HashSet;
    use std::thread;

    use super::*;

    const OLD: &str = "old-secret-0123456789";
    const NEW: &str = "new-secret-0123456789";

    fn sealer(secrets: &[&str]) -> Sealer {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|text| TokenSecret::new(text).unwrap())
            .collect();
        Sealer::new(&secrets, &TokenSecret::random().unwrap()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_purpose_and_data_and_no_other() {
        let sealer = sealer(&[NEW]);
        let token = sealer.seal(Purpose::Dialog, b"call-1", b"legs").unwrap();
        for (situation, purpose, aad, opens) in [
            ("the same", Purpose::Dialog, &b"call-1"[..], true),
            ("another purpose", Purpose::Flow, b"call-1", false),
            ("another Call-ID", Purpose::Dialog, b"call-2", false),
            ("a longer Call-ID", Purpose::Dialog, b"call-1 ", false),
            ("none", Purpose::Dialog, b"", false),
        ] {
            let expected = opens.then(|| b"legs".to_vec());
            assert_eq!(sealer.open(purpose, aad, &token), expected, "{situation}");
        }
    }

    #[test]
    fn a_token_changed_in_any_octet_or_cut_anywhere_does_not_open() {
        let sealer = sealer(&[NEW]);
        let token = sealer.seal(Purpose::Dialog, b"c", b"both legs").unwrap();
        let open = |text: &str| sealer.open(Purpose::Dialog, b"c", text);
        assert!(open(&token).is_some());
        let octets = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..octets.len() {
            for flip in [1, 0x80] {
                let mut changed = octets.clone();
                changed[at] ^= flip;
                let text = URL_SAFE_NO_PAD.encode(changed);
                assert_eq!(open(&text), None, "octet {at} ^ {flip:#x}");
            }
        }
        for at in 0..token.len() {
            assert_eq!(open(&token[..at]), None, "the first {at}");
            let mut changed = token.clone();
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            changed.replace_range(at..=at, other);
            assert_eq!(open(&changed), None, "letter {at}");
        }
        for longer in [
            format!("{token}A"),
            format!("{token}="),
            format!(" {token}"),
        ] {
            assert_eq!(open(&longer), None, "{longer:?}");
        }
    }

    #[test]
    fn the_first_secret_seals_and_every_secret_opens_until_it_is_removed() {
        let seal = |own: &Sealer| own.seal(Purpose::Dialog, b"c", b"legs").unwrap();
        let old = seal(&sealer(&[OLD]));
        let new = seal(&sealer(&[NEW, OLD]));
        for (situation, secrets, opens_old, opens_new) in [
            ("before", &[OLD][..], true, false),
            ("the new one first", &[NEW, OLD], true, true),
            ("the new one ready", &[OLD, NEW], true, true),
            ("after", &[NEW], false, true),
            ("neither", &[], false, false),
        ] {
            let sealer = sealer(secrets);
            let opens = |text: &str| sealer.open(Purpose::Dialog, b"c", text).is_some();
            let found = (opens(&old), opens(&new));
            assert_eq!(found, (opens_old, opens_new), "{situation}");
        }
    }

    #[test]
    fn without_a_secret_tokens_live_as_long_as_the_process_and_outlive_a_reload_that_sets_one() {
        let process = TokenSecret::random().unwrap();
        let before = Sealer::new(&[], &process).unwrap();
        let token = before.seal(Purpose::Dialog, b"c", b"legs").unwrap();
        let opens = |sealer: &Sealer| sealer.open(Purpose::Dialog, b"c", &token).is_some();
        let set = [TokenSecret::new(NEW).unwrap()];
        assert!(opens(&before));
        assert!(opens(&Sealer::new(&set, &process).unwrap()));
        assert!(!opens(&sealer(&[])), "another process");
        let reloaded = Sealer::new(&set, &process).unwrap();
        let token = reloaded.seal(Purpose::Dialog, b"c", b"legs").unwrap();
        let restarted = sealer(&[NEW]);
        let found = restarted.open(Purpose::Dialog, b"c", &token);
        assert!(found.is_some(), "what was set seals");
    }

    #[test]
    fn lengths_are_bounded_and_letters_are_those_of_a_user_part() {
        let sealer = sealer(&[]);
        for (length, is_sealed) in [
            (0, true),
            (1, true),
            (MAX_PLAIN, true),
            (MAX_PLAIN + 1, false),
        ] {
            let plain = vec![7; length];
            let token = sealer.seal(Purpose::Flow, b"", &plain);
            assert_eq!(token.is_some(), is_sealed, "{length}");
            let Some(token) = token else { continue };
            assert!(token.len() <= MAX_TOKEN);
            let legal = |o: u8| o.is_ascii_alphanumeric() || o == b'-' || o == b'_';
            assert!(token.bytes().all(legal), "{token}");
            assert_eq!(sealer.open(Purpose::Flow, b"", &token), Some(plain));
        }
        let huge = "A".repeat(MAX_TOKEN + 4);
        assert_eq!(sealer.open(Purpose::Flow, b"", &huge), None);
    }

    #[test]
    fn no_nonce_is_used_twice_by_any_thread() {
        let sealer = sealer(&[NEW]);
        let nonces = |_| {
            let octets = |token| URL_SAFE_NO_PAD.decode::<String>(token).unwrap();
            let seal = |_| octets(sealer.seal(Purpose::Dialog, b"", b"").unwrap())[1..13].to_vec();
            (0..3 * NONCES).map(seal).collect::<Vec<_>>()
        };
        let seen: HashSet<Vec<u8>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || nonces(n))).collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.flatten().collect()
        });
        assert_eq!(seen.len(), 4 * 3 * NONCES);
    }

    #[test]
    fn keys_are_those_of_hkdf() {
        // RFC 5869 §A.3: no salt, no info.
        let secret = TokenSecret([0x0b; 22].into());
        let mut out = [0; 42];
        derive(&secret, b"", &mut out).unwrap();
        let hex: String = out.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(
            hex,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        );
    }

    #[test]
    fn secrets_are_long_enough_and_never_shown() {
        assert!(TokenSecret::new("fifteen octets.").is_none());
        let secret = TokenSecret::new("sixteen octets..").unwrap();
        assert!(secret.is_short());
        assert!(!TokenSecret::new(&"x".repeat(32)).unwrap().is_short());
        let sealer = Sealer::new(std::slice::from_ref(&secret), &secret).unwrap();
        assert_eq!(
            format!("{secret:?} {sealer:?}"),
            "[redacted] Sealer([redacted])"
        );
    }
}
