//! A client's side of digest authentication (RFC 7616 §3.4), written apart from the library.

use openssl::hash::{MessageDigest, hash};

use super::message::{Request, Response};

/// A user with a password, and what it says wrongly on purpose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Login {
    /// Username.
    pub(crate) user: String,
    /// Password.
    pub(crate) password: String,
    /// Another realm than that of the challenge.
    pub(crate) realm: Option<String>,
    /// Another nonce.
    pub(crate) nonce: Option<String>,
    /// Another digest-uri than the Request-URI.
    pub(crate) uri: Option<String>,
    /// Which of several challenges is answered; the first without.
    pub(crate) algorithm: Option<String>,
    /// Nonce count.
    pub(crate) count: u32,
    /// The answer goes to this field, whatever field asked.
    pub(crate) field: Option<&'static str>,
    /// Another algorithm than that of the challenge.
    pub(crate) other_algorithm: Option<&'static str>,
    /// The hash of user, realm and password, of who has no password to make it of.
    pub(crate) a1: Option<String>,
    /// No quality of protection although it is offered (RFC 2069).
    pub(crate) without_qop: bool,
}

impl Login {
    /// A user with a password who makes no mistake.
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            count: 1,
            ..Self::default()
        }
    }

    /// The header line that answers a challenge for a request, without CRLF.
    ///
    /// # Panics
    /// When the response asks for nothing that can be answered.
    pub(crate) fn answer(&self, challenge: &Response, request: &Request) -> String {
        let (ours, theirs) = match challenge.status {
            401 => ("Authorization", "www-authenticate"),
            407 => ("Proxy-Authorization", "proxy-authenticate"),
            status => panic!("{status} is no challenge: {challenge:?}"),
        };
        let mut challenges = challenge.values(theirs).map(parameters);
        let wanted = |known: &Vec<(String, String)>| {
            let algorithm = value(known, "algorithm").unwrap_or("MD5");
            self.algorithm.as_deref().is_none_or(|own| own == algorithm)
        };
        let known = challenges.find(wanted).expect("a challenge to answer");
        let algorithm = value(&known, "algorithm").unwrap_or("MD5");
        let algorithm = self.other_algorithm.unwrap_or(algorithm);
        let realm = self.realm.as_deref();
        let realm = realm.unwrap_or_else(|| value(&known, "realm").expect("a realm"));
        let nonce = self.nonce.as_deref();
        let nonce = nonce.unwrap_or_else(|| value(&known, "nonce").expect("a nonce"));
        let uri = self.uri.as_deref().unwrap_or(&request.ruri);
        let Self { user, password, .. } = self;
        let a1 = self.a1.clone();
        let a1 = a1.unwrap_or_else(|| hex(algorithm, &format!("{user}:{realm}:{password}")));
        let a2 = hex(algorithm, &format!("{}:{uri}", request.method));
        let field = self.field.unwrap_or(ours);
        let mut line = format!(
            "{field}: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             algorithm={algorithm}"
        );
        let response = match value(&known, "qop").filter(|_| !self.without_qop) {
            None => hex(algorithm, &format!("{a1}:{nonce}:{a2}")),
            Some(_) => {
                let count = format!("{:08x}", self.count);
                line.push_str(&format!(", qop=auth, cnonce=\"0a4f113b\", nc={count}"));
                let text = format!("{a1}:{nonce}:{count}:0a4f113b:auth:{a2}");
                hex(algorithm, &text)
            }
        };
        format!("{line}, response=\"{response}\"")
    }
}

/// The parameters of a challenge.
///
/// # Panics
/// When it is not of the scheme Digest.
pub(crate) fn parameters(challenge: &str) -> Vec<(String, String)> {
    let mut rest = challenge
        .strip_prefix("Digest ")
        .expect("a Digest challenge");
    let mut all = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_start_matches([',', ' ']).to_ascii_lowercase();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quote"),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        all.push((name, value.trim().to_owned()));
        rest = left;
    }
    all
}

/// One of them.
pub(crate) fn value<'k>(known: &'k [(String, String)], name: &str) -> Option<&'k str> {
    let mut known = known.iter();
    known
        .find(|(own, _)| own == name)
        .map(|(_, value)| value.as_str())
}

/// The hash of a text, in hexadecimal digits.
pub(crate) fn hex(algorithm: &str, text: &str) -> String {
    let digest = match algorithm {
        "MD5" => MessageDigest::md5(),
        "SHA-256" => MessageDigest::sha256(),
        "SHA-512-256" => MessageDigest::from_name("SHA512-256").expect("SHA-512/256"),
        other => panic!("{other}"),
    };
    let octets = hash(digest, text.as_bytes()).expect("a hash");
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
