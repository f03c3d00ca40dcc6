//! What can be told of the credentials in a request without telling them: for `sipvouch explain`.

use crate::sip::{HeaderName, Message, list_elements};

/// Credentials described; a request has one, or one for each proxy that has asked.
const MOST: usize = 8;

/// Longest value that is shown, in octets.
const MAX_VALUE: usize = 128;

/// A sentence for each Authorization and Proxy-Authorization (RFC 3261 §20.7, §20.28).
///
/// Of a digest answer it shows who says so to whom, and never the response; of any other scheme its name alone, since
/// what follows may be the secret itself.
pub(super) fn describe(message: &Message<'_>) -> Vec<String> {
    [HeaderName::Authorization, HeaderName::ProxyAuthorization]
        .into_iter()
        .flat_map(|name| message.all(name).map(move |value| (name, value)))
        .take(MOST)
        .map(|(name, value)| {
            let name = match name {
                HeaderName::Authorization => "Authorization",
                _ => "Proxy-Authorization",
            };
            format!("{name}: {}", credentials(value))
        })
        .collect()
}

fn credentials(value: &[u8]) -> String {
    let value = value.trim_ascii();
    let end = value.iter().position(|o| matches!(o, b' ' | b'\t'));
    let (scheme, rest) = value.split_at(end.unwrap_or(value.len()));
    if !scheme.eq_ignore_ascii_case(b"Digest") {
        let is_token = |o: &u8| o.is_ascii_alphanumeric() || *o == b'-';
        return match !scheme.is_empty()
            && scheme.len() <= 32
            && scheme.iter().all(is_token)
            && end.is_some()
        {
            true => format!("scheme {}, which is none of ours", scheme.escape_ascii()),
            false => "not to be read".to_owned(),
        };
    }
    let mut told = vec!["Digest".to_owned()];
    for (name, label) in [
        ("username", "user"),
        ("realm", "realm"),
        ("uri", "uri"),
        ("algorithm", "algorithm"),
        ("qop", "qop"),
        ("nc", "nc"),
    ] {
        match parameter(rest, name) {
            Some(value) => told.push(format!("{label} {}", shown(&value))),
            None if matches!(name, "username" | "realm") => told.push(format!("no {label}")),
            None if name == "algorithm" => told.push("algorithm MD5 (none is named)".to_owned()),
            None => {}
        }
    }
    told.push(match parameter(rest, "nonce") {
        Some(nonce) => format!(
            "nonce of {} octets (whether it is fresh and ours the running server knows)",
            nonce.len()
        ),
        None => "no nonce".to_owned(),
    });
    told.push(match parameter(rest, "response") {
        Some(response) => format!("response of {} octets, not shown", response.len()),
        None => "no response".to_owned(),
    });
    told.join(", ")
}

/// The value of a parameter, the first if it stands twice, without its quotes.
fn parameter(parameters: &[u8], wanted: &str) -> Option<Vec<u8>> {
    list_elements(parameters).find_map(|element| {
        let at = element.iter().position(|o| *o == b'=')?;
        let (name, value) = element.split_at_checked(at)?;
        if !name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()) {
            return None;
        }
        let value = value.get(1..)?.trim_ascii();
        let Some(inner) = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""))
        else {
            return Some(value.to_vec());
        };
        let mut escaped = false;
        let plain = inner.iter().filter(|octet| {
            escaped = **octet == b'\\' && !escaped;
            !escaped
        });
        Some(plain.copied().collect())
    })
}

fn shown(value: &[u8]) -> String {
    let start = value.get(..MAX_VALUE).unwrap_or(value);
    let more = if start.len() < value.len() { "…" } else { "" };
    format!("\"{}{more}\"", start.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_described_and_never_told() {
        for (situation, value, wanted, hidden) in [
            (
                "a digest answer",
                "Digest username=\"al\\\"ice\", realm=\"example.org\", nonce=\"4711\", uri=\"sip:example.org\", \
                 response=\"0123456789abcdef0123456789abcdef\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"x\"",
                "Digest, user \"al\\\"ice\", realm \"example.org\", uri \"sip:example.org\", algorithm \"SHA-256\", qop \"auth\", \
                 nc \"00000001\", nonce of 4 octets (whether it is fresh and ours the running server knows), response of 32 octets, \
                 not shown",
                "0123456789abcdef",
            ),
            (
                "the barest",
                "digest response=\"s3cret\"",
                "Digest, no user, no realm, algorithm MD5 (none is named), no nonce, response of 6 octets, not shown",
                "s3cret",
            ),
            (
                "a bearer",
                "Bearer s3cret",
                "scheme Bearer, which is none of ours",
                "s3cret",
            ),
            ("no scheme", "s3cret", "not to be read", "s3cret"),
            ("nothing", "", "not to be read", "s3cret"),
            (
                "a comma in quotes",
                "Digest realm=\"a, response=b\"",
                "Digest, no user, realm \"a, response=b\", algorithm MD5 (none is named), no nonce, no response",
                "s3cret",
            ),
        ] {
            let told = credentials(value.as_bytes());
            assert_eq!(told, wanted, "{situation}");
            assert!(!told.contains(hidden), "{situation}: {told}");
        }
    }
}
