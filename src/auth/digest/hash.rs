//! Passwords as they are stored: RFC 3261 §22, RFC 7616 §3.4.2, RFC 8760, in repro's text.
//!
//! A1 is `user:realm:password`; what is kept is its hash for one algorithm or several. repro writes
//! `[MD5]…[SHA-256]…[SHA-512-256]…`, and once wrote the bare MD5. Each is as good as the password for its realm, so that
//! nothing here shows one in `Debug`.

use std::fmt;

use openssl::hash::{Hasher, MessageDigest};
use openssl::memcmp;
use openssl::sha::Sha256;

/// A hash algorithm of digest authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RFC 2617.
    Md5,
    /// RFC 7616, RFC 8760.
    Sha256,
    /// RFC 7616, RFC 8760.
    Sha512_256,
}

impl Algorithm {
    /// All of them, in the order in which repro writes them.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Sha256, Self::Sha512_256];

    /// The name in a challenge and in repro's text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// The algorithm of this name, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|own| own.name().eq_ignore_ascii_case(name))
    }

    /// Number of hexadecimal digits of a hash.
    pub fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512_256 => 64,
        }
    }

    /// Whether this system's OpenSSL has it: one in FIPS mode has no MD5.
    pub fn is_available(self) -> bool {
        hash_of_parts(self, &[]).is_ok()
    }

    fn message_digest(self) -> Option<MessageDigest> {
        MessageDigest::from_name(match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA256",
            Self::Sha512_256 => "SHA512-256",
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The system's OpenSSL does not have an algorithm, as one in FIPS mode has no MD5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} cannot be computed: this system's OpenSSL does not offer it (FIPS mode?); leave it out of the algorithms"
)]
pub struct Unavailable(pub Algorithm);

/// The hash of A1, `user:realm:password`, in lower-case hexadecimal.
///
/// # Errors
/// OpenSSL does not have the algorithm.
pub fn ha1(
    algorithm: Algorithm,
    user: &str,
    realm: &str,
    password: &[u8],
) -> Result<String, Unavailable> {
    let a1 = [user.as_bytes(), b":", realm.as_bytes(), b":", password];
    hash_of_parts(algorithm, &a1)
}

/// The hash of these parts in a row, in lower-case hexadecimal: H of RFC 7616 §3.3.
///
/// # Errors
/// OpenSSL does not have the algorithm.
pub(super) fn hash_of_parts(algorithm: Algorithm, parts: &[&[u8]]) -> Result<String, Unavailable> {
    #[cfg(test)]
    computed::count(algorithm);
    let compute = || {
        let mut hasher = Hasher::new(algorithm.message_digest()?).ok()?;
        for part in parts {
            hasher.update(part).ok()?;
        }
        Some(hexadecimal(&hasher.finish().ok()?))
    };
    compute().ok_or(Unavailable(algorithm))
}

/// A text as long as a hash of this algorithm that nobody without the key can compute, and that is always the same for these
/// parts. The parts are kept apart.
pub(super) fn keyed_stand_in(algorithm: Algorithm, key: &[u8], parts: &[&[u8]]) -> String {
    #[cfg(test)]
    computed::count(algorithm);
    let mut hasher = Sha256::new();
    hasher.update(key);
    for part in parts {
        hasher.update(&part.len().to_be_bytes());
        hasher.update(part);
    }
    let mut text = hexadecimal(&hasher.finish());
    text.truncate(algorithm.digits());
    text
}

fn hexadecimal(octets: &[u8]) -> String {
    octets
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// What this thread has computed, for tests that compare the work of two answers.
#[cfg(test)]
pub(super) mod computed {
    use std::cell::RefCell;

    use super::Algorithm;

    thread_local! {
        static COMPUTED: RefCell<Vec<Algorithm>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn count(algorithm: Algorithm) {
        COMPUTED.with_borrow_mut(|all| all.push(algorithm));
    }

    /// What was computed since this was last asked.
    pub(in crate::auth::digest) fn take() -> Vec<Algorithm> {
        COMPUTED.take()
    }
}

/// Hashes of one A1: what repro stores as `passwordHash`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HashText {
    /// In the order of repro, each algorithm once, in lower case.
    hashes: Vec<(Algorithm, String)>,
    broken: Vec<Algorithm>,
    /// Those with two hashes.
    twofold: Vec<Algorithm>,
}

/// What is wrong with a text of which other hashes can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashDefect {
    /// A hash that is not whole, or none.
    #[error("what stands for {0} is not its {digits} hexadecimal digits", digits = .0.digits())]
    Broken(Algorithm),
    /// Only one of them can be that of the password.
    #[error("two different ones for {0}")]
    Twofold(Algorithm),
}

/// A text that holds no hash. It is not repeated: part of it may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashFault {
    /// It is as long as an MD5 and begins as repro's newer form: a column of 32 characters has cut it off.
    #[error(
        "cut off after 32 characters; widen the column passwordHash to 255 characters and set the password again"
    )]
    CutOff,
    /// No known algorithm with as many digits as it has.
    #[error(
        "neither 32 hexadecimal digits nor [MD5]…, [SHA-256]… or [SHA-512-256]… with as many digits as they have"
    )]
    Unreadable,
}

impl HashText {
    /// Reads repro's text: exactly 32 characters are the MD5, otherwise each hash stands behind its `[algorithm]` and ends
    /// before the next bracket. An empty text is no password at all.
    ///
    /// A hash that is not whole is left out, so that its algorithm fails and the others do their work; of two for one
    /// algorithm the first counts, as in repro. See [`HashText::defect`]. Algorithms that we do not know are passed over.
    ///
    /// # Errors
    /// There is a text, but no hash that can be used.
    pub fn parse(text: &str) -> Result<Self, HashFault> {
        let mut own = Self::default();
        if text.is_empty() {
            return Ok(own);
        }
        if text.len() == Algorithm::Md5.digits() {
            return match hash_of(Algorithm::Md5, text) {
                Some(hash) => {
                    own.hashes.push((Algorithm::Md5, hash));
                    Ok(own)
                }
                None if text.starts_with('[') => Err(HashFault::CutOff),
                None => Err(HashFault::Unreadable),
            };
        }
        for algorithm in Algorithm::ALL {
            let label = format!("[{algorithm}]");
            let mut hashes = text
                .split(label.as_str())
                .skip(1)
                .map(|rest| rest.split('[').next().unwrap_or_default());
            let Some(hash) = hashes.next() else {
                continue;
            };
            if hashes.any(|other| !other.eq_ignore_ascii_case(hash)) {
                own.twofold.push(algorithm);
            }
            match hash_of(algorithm, hash) {
                Some(hash) => own.hashes.push((algorithm, hash)),
                None => own.broken.push(algorithm),
            }
        }
        if own.hashes.is_empty() {
            Err(HashFault::Unreadable)
        } else {
            Ok(own)
        }
    }

    /// Hashes of `user:realm:password`.
    ///
    /// # Errors
    /// OpenSSL does not have one of the algorithms.
    pub fn of_password(
        algorithms: &[Algorithm],
        user: &str,
        realm: &str,
        password: &[u8],
    ) -> Result<Self, Unavailable> {
        let mut hashes = Vec::new();
        for algorithm in Algorithm::ALL {
            if algorithms.contains(&algorithm) {
                hashes.push((algorithm, ha1(algorithm, user, realm, password)?));
            }
        }
        Ok(Self {
            hashes,
            ..Self::default()
        })
    }

    /// The hash of A1 for an algorithm, in lower-case hexadecimal; `None` must refuse. repro took an empty A1 then, which
    /// everybody can compute.
    pub fn get(&self, algorithm: Algorithm) -> Option<&str> {
        self.hashes
            .iter()
            .find(|(own, _)| *own == algorithm)
            .map(|(_, hash)| hash.as_str())
    }

    /// Algorithms with a hash that can be used.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.hashes.iter().map(|(algorithm, _)| *algorithm)
    }

    /// The first thing that is wrong with the text, although it holds a hash that can be used.
    pub fn defect(&self) -> Option<HashDefect> {
        let broken = self.broken.first().copied().map(HashDefect::Broken);
        broken.or_else(|| self.twofold.first().copied().map(HashDefect::Twofold))
    }

    /// Whether there is no hash: nobody can log in with a password.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Algorithms by which this is the password, and those by which it is not.
    ///
    /// # Errors
    /// OpenSSL does not have one of the algorithms.
    pub fn compare(
        &self,
        user: &str,
        realm: &str,
        password: &[u8],
    ) -> Result<(Vec<Algorithm>, Vec<Algorithm>), Unavailable> {
        let (mut same, mut other) = (Vec::new(), Vec::new());
        for (algorithm, hash) in &self.hashes {
            let given = ha1(*algorithm, user, realm, password)?;
            if is_same(given.as_bytes(), hash.as_bytes()) {
                same.push(*algorithm);
            } else {
                other.push(*algorithm);
            }
        }
        Ok((same, other))
    }
}

/// Whether two texts are equal, in a time that does not tell how far they are.
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && memcmp::eq(a, b)
}

/// 16 octets of SHA-256 over a label and a text; the label keeps digests of different things apart.
pub(in crate::auth) fn short_sha256(label: &'static [u8], text: &[u8]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(label);
    hasher.update(b"\0");
    hasher.update(text);
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(hasher.finish()) {
        *to = from;
    }
    short
}

fn hash_of(algorithm: Algorithm, text: &str) -> Option<String> {
    let fits = text.len() == algorithm.digits() && text.bytes().all(|o| o.is_ascii_hexdigit());
    fits.then(|| text.to_ascii_lowercase())
}

impl fmt::Display for HashText {
    /// repro's text. MD5 alone is written bare: every release of repro reads it, and a column of 32 characters holds it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(Algorithm::Md5, hash)] = self.hashes.as_slice() {
            return f.write_str(hash);
        }
        for (algorithm, hash) in &self.hashes {
            write!(f, "[{algorithm}]{hash}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HashText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashText([redacted])")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// alice of an old installation of repro, `alice-pw`.
    const ALICE: &str = "[MD5]8ea972d8db3f90d047e3cb6b6e1ad9da\
        [SHA-256]4fdbcf490f83371231bdf7cb5ac198bcbb77d41386943626caaa0aa51e9da969\
        [SHA-512-256]23a3d8323b5fac34d4be83acc1f04c24c8bc960b2833d10bf42107932f38e8be";

    #[test]
    fn a1_is_hashed_as_the_rfcs_and_repro_do() {
        for (situation, algorithm, user, realm, password, hash) in [
            (
                "RFC 2617 §3.5",
                Algorithm::Md5,
                "Mufasa",
                "testrealm@host.com",
                "Circle Of Life",
                "939e7578ed9e3c518a452acee763bce9",
            ),
            (
                "RFC 7616 §3.9.1",
                Algorithm::Sha256,
                "Mufasa",
                "http-auth@example.org",
                "Circle of Life",
                "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232",
            ),
            (
                "repro: MD5 of a user part in version 2",
                Algorithm::Md5,
                "frank",
                "example.org",
                "frank-pw",
                "cf7f8a609162c88e4d8d401ab2bd50ee",
            ),
            (
                "repro: SHA-512-256",
                Algorithm::Sha512_256,
                "alice",
                "example.org",
                "alice-pw",
                "23a3d8323b5fac34d4be83acc1f04c24c8bc960b2833d10bf42107932f38e8be",
            ),
            (
                "repro: the other form of the name",
                Algorithm::Sha256,
                "alice@example.org",
                "example.org",
                "alice-pw",
                "d9e56d768d78029e8c8ae91343de5afb0b9e60ce23a51cb63833c2307f71c5e2",
            ),
        ] {
            let found = ha1(algorithm, user, realm, password.as_bytes()).unwrap();
            assert_eq!(found, hash, "{situation}");
        }
    }

    /// RFC 7616 §3.9.1 gives responses, not A1: they follow from it.
    #[test]
    fn a1_leads_to_the_responses_of_rfc_7616() {
        for (algorithm, response) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let a1 = ha1(
                algorithm,
                "Mufasa",
                "http-auth@example.org",
                b"Circle of Life",
            )
            .unwrap();
            let a2 = hash(algorithm, "GET:/dir/index.html");
            let found = hash(
                algorithm,
                &format!(
                    "{a1}:7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v:00000001:\
                     f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ:auth:{a2}"
                ),
            );
            assert_eq!(found, response, "{algorithm}");
        }
    }

    fn hash(algorithm: Algorithm, text: &str) -> String {
        let digest = algorithm.message_digest().unwrap();
        openssl::hash::hash(digest, text.as_bytes())
            .unwrap()
            .iter()
            .map(|o| format!("{o:02x}"))
            .collect()
    }

    #[test]
    fn text_of_repro_is_read_by_its_rules() {
        let md5 = "8ea972d8db3f90d047e3cb6b6e1ad9da";
        let sha = "4fdbcf490f83371231bdf7cb5ac198bcbb77d41386943626caaa0aa51e9da969";
        use Algorithm::{Md5, Sha256};
        for (situation, text, expected) in [
            (
                "the form of today",
                ALICE.to_owned(),
                Ok((Algorithm::ALL.to_vec(), None)),
            ),
            ("the bare MD5", md5.to_owned(), Ok((vec![Md5], None))),
            ("upper case", md5.to_uppercase(), Ok((vec![Md5], None))),
            ("no password", String::new(), Ok((vec![], None))),
            (
                "one algorithm",
                format!("[SHA-256]{sha}"),
                Ok((vec![Sha256], None)),
            ),
            (
                "an algorithm that we do not know",
                format!("[SHA3]{sha}[SHA-256]{sha}"),
                Ok((vec![Sha256], None)),
            ),
            (
                "another order",
                format!("[SHA-256]{sha}[MD5]{md5}"),
                Ok((vec![Md5, Sha256], None)),
            ),
            (
                "a column of 64 characters has cut the second one off",
                format!("[MD5]{md5}[SHA-256]4fdbcf490f83371231"),
                Ok((vec![Md5], Some(HashDefect::Broken(Sha256)))),
            ),
            (
                "a character that is no digit",
                format!("[MD5]z{}[SHA-256]{sha}", &md5[1..]),
                Ok((vec![Sha256], Some(HashDefect::Broken(Md5)))),
            ),
            (
                "two of one algorithm",
                format!("[MD5]{md5}[SHA-256]{sha}[MD5]{}", &sha[..32]),
                Ok((vec![Md5, Sha256], Some(HashDefect::Twofold(Md5)))),
            ),
            (
                "a column of 32",
                format!("[MD5]{}", &md5[..27]),
                Err(HashFault::CutOff),
            ),
            (
                "32 other characters",
                "x".repeat(32),
                Err(HashFault::Unreadable),
            ),
            (
                "one digit too few",
                md5[1..].to_owned(),
                Err(HashFault::Unreadable),
            ),
            (
                "SHA-256 without a name may be either",
                sha.to_owned(),
                Err(HashFault::Unreadable),
            ),
            (
                "a password",
                "alice-pw".to_owned(),
                Err(HashFault::Unreadable),
            ),
            (
                "names only",
                "[MD5][SHA-256]".to_owned(),
                Err(HashFault::Unreadable),
            ),
        ] {
            let found = HashText::parse(&text)
                .map(|own| (own.algorithms().collect::<Vec<_>>(), own.defect()));
            assert_eq!(found, expected, "{situation}");
        }
    }

    #[test]
    fn text_is_written_as_repro_writes_it() {
        let own = HashText::of_password(&Algorithm::ALL, "alice", "example.org", b"alice-pw");
        assert_eq!(own.unwrap().to_string(), ALICE);
        let own = HashText::of_password(&[Algorithm::Md5], "alice", "example.org", b"alice-pw");
        assert_eq!(
            own.unwrap().to_string(),
            "8ea972d8db3f90d047e3cb6b6e1ad9da",
            "MD5 alone is bare"
        );
        assert_eq!(HashText::parse(ALICE).unwrap().to_string(), ALICE);
    }

    #[test]
    fn a_password_is_told_from_another_by_every_hash_there_is() {
        let own = HashText::parse(ALICE).unwrap();
        let all = Algorithm::ALL.to_vec();
        for (situation, realm, password, same, other) in [
            ("hers", "example.org", "alice-pw", all.clone(), vec![]),
            ("another", "example.org", "alice-pW", vec![], all.clone()),
            (
                "another realm",
                "example.net",
                "alice-pw",
                vec![],
                all.clone(),
            ),
            ("none", "example.org", "", vec![], all),
        ] {
            let found = own.compare("alice", realm, password.as_bytes()).unwrap();
            assert_eq!(found, (same, other), "{situation}");
        }
        let none = HashText::default().compare("alice", "example.org", b"");
        assert_eq!(none, Ok((vec![], vec![])), "no hash, no password");
    }

    #[test]
    fn a_hash_is_not_shown_for_debugging() {
        assert!(!format!("{:?}", HashText::parse(ALICE)).contains("8ea9"));
    }
}
