//! The answer of a client to a digest challenge (RFC 3261 §22, RFC 7616, RFC 8760), written apart from the library.

use openssl::hash::{MessageDigest, hash};

use super::message::{Request, Response};

/// A challenge that a server has sent.
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    /// Header field that the answer goes into.
    pub(crate) answered_in: &'static str,
    pub(crate) realm: String,
    pub(crate) nonce: String,
    pub(crate) algorithm: String,
    /// `auth`, where the server offers it.
    pub(crate) qop: Option<&'static str>,
    pub(crate) stale: bool,
}

impl Challenge {
    /// All challenges of a response, in order.
    pub(crate) fn all(response: &Response) -> Vec<Self> {
        let mut all = Vec::new();
        for (header, answered_in) in [
            ("www-authenticate", "Authorization"),
            ("proxy-authenticate", "Proxy-Authorization"),
        ] {
            all.extend(
                response
                    .values(header)
                    .map(|value| Self::parse(value, answered_in)),
            );
        }
        all
    }

    /// The first challenge of a response.
    ///
    /// # Panics
    /// When it has none.
    pub(crate) fn first(response: &Response) -> Self {
        let mut all = Self::all(response).into_iter();
        all.next()
            .unwrap_or_else(|| panic!("no challenge in {response:?}"))
    }

    fn parse(value: &str, answered_in: &'static str) -> Self {
        let parameters = value.strip_prefix("Digest ").expect("a digest challenge");
        let parameter = |name: &str| parameter(parameters, name);
        let offers_auth = |qop: &String| qop.split(',').any(|one| one.trim() == "auth");
        Self {
            answered_in,
            realm: parameter("realm").expect("a realm"),
            nonce: parameter("nonce").expect("a nonce"),
            algorithm: parameter("algorithm").unwrap_or_else(|| "MD5".to_owned()),
            qop: parameter("qop").filter(offers_auth).map(|_| "auth"),
            stale: parameter("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        }
    }

    /// The header line of the answer: who says so, with which password, and how often this nonce has been used.
    pub(crate) fn answer(
        &self,
        request: &Request,
        user: &str,
        password: &str,
        count: u32,
    ) -> String {
        let answer = Credentials {
            user,
            password,
            realm: &self.realm,
            nonce: &self.nonce,
            uri: &request.ruri,
            algorithm: &self.algorithm,
            count,
            a1: None,
        };
        format!("{}: {}", self.answered_in, answer.text(request, self.qop))
    }
}

/// What an answer is made of; each part may be wrong.
#[derive(Debug, Clone)]
pub(crate) struct Credentials<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) realm: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) algorithm: &'a str,
    pub(crate) count: u32,
    /// The hash of user, realm and password, of who has no password to make it of.
    pub(crate) a1: Option<&'a str>,
}

impl Credentials<'_> {
    /// The header value.
    pub(crate) fn text(&self, request: &Request, qop: Option<&str>) -> String {
        let Self {
            user,
            password,
            realm,
            nonce,
            uri,
            algorithm,
            count,
            a1,
        } = self;
        let hashed = |text: String| hashed(algorithm, &text);
        let a1 = a1.map_or_else(
            || hashed(format!("{user}:{realm}:{password}")),
            str::to_owned,
        );
        let a2 = hashed(format!("{}:{uri}", request.method));
        let cnonce = "0a4f113b";
        let response = match qop {
            Some(qop) => hashed(format!("{a1}:{nonce}:{count:08x}:{cnonce}:{qop}:{a2}")),
            None => hashed(format!("{a1}:{nonce}:{a2}")),
        };
        let qop = qop.map_or_else(String::new, |qop| {
            format!(",qop={qop},nc={count:08x},cnonce=\"{cnonce}\"")
        });
        format!(
            "Digest username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",uri=\"{uri}\",\
             response=\"{response}\",algorithm={algorithm}{qop}"
        )
    }
}

fn hashed(algorithm: &str, text: &str) -> String {
    let digest = MessageDigest::from_name(match algorithm {
        "MD5" => "MD5",
        "SHA-256" => "SHA256",
        "SHA-512-256" => "SHA512-256",
        other => panic!("algorithm {other}"),
    });
    let octets = hash(digest.expect("an algorithm"), text.as_bytes()).expect("a hash");
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The value of a parameter, without quotes. None of ours has a comma or an escape in it but qop.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut quoted = false;
    parameters
        .split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .filter_map(|one| one.trim().split_once('='))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim_matches('"').to_owned())
}
