//! Question and answer as JSON (RFC 8259): docs/lookups.md.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Asked;
use crate::auth::{Answer, Role};

/// Version of what we say.
const VERSION: u32 = 1;
/// Longest time that an answer may be remembered.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Most of a reason that is kept, in characters.
const MOST_OF_REASON: usize = 200;

#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    role: &'static str,
    method: &'a str,
    claim: &'a str,
    user: Option<&'a str>,
    domain: Option<&'a str>,
    transport: &'static str,
    source: String,
    certificate: Option<Certificate<'a>>,
}

#[derive(Serialize)]
struct Certificate<'a> {
    subject: &'a str,
    issuer: &'a str,
    serial: &'a str,
    fingerprint: String,
    names: &'a [Box<str>],
}

fn role(role: Role) -> &'static str {
    match role {
        Role::From => "from",
        Role::ReferredBy => "referred-by",
        Role::To => "to",
    }
}

/// The question as it is sent.
pub(super) fn question(asked: &Asked, port: u16) -> Result<Vec<u8>, serde_json::Error> {
    let certificate = asked.certificate.as_ref().map(|own| {
        let mut fingerprint = String::with_capacity(64);
        for octet in own.fingerprint {
            // Writing to a String cannot fail.
            let _ = write!(fingerprint, "{octet:02X}");
        }
        Certificate {
            subject: &own.subject,
            issuer: &own.issuer,
            serial: &own.serial,
            fingerprint,
            names: &asked.names,
        }
    });
    serde_json::to_vec(&Body {
        version: VERSION,
        role: role(asked.role),
        method: &asked.method,
        claim: &asked.claim,
        user: asked.user.as_deref(),
        domain: asked.domain.as_deref(),
        transport: asked.transport.as_str(),
        source: SocketAddr::new(asked.source, port).to_string(),
        certificate,
    })
}

/// A word too many is as much a mistake as one too few.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    verdict: Word,
    reason: Option<String>,
    ttl: Option<u64>,
}

/// A string and nothing else: as an enum, serde would take `{"allow":null}` for it too.
#[derive(Deserialize)]
#[serde(try_from = "String")]
enum Word {
    Allow,
    Deny,
    Abstain,
}

impl TryFrom<String> for Word {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        match word.as_str() {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            "abstain" => Ok(Self::Abstain),
            _ => Err("expected allow, deny or abstain as verdict"),
        }
    }
}

/// What was answered, and how long it holds if that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) answer: Answer,
    pub(super) holds: Option<Duration>,
}

/// Reads an answer.
pub(super) fn verdict(body: &[u8]) -> Result<Verdict, serde_json::Error> {
    // serde would take an array too, for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(serde::de::Error::custom("expected an object"));
    }
    let said: Said = serde_json::from_slice(body)?;
    let answer = match said.verdict {
        Word::Allow => Answer::Allow,
        Word::Abstain => Answer::Abstain,
        Word::Deny => Answer::Deny(match said.reason {
            Some(reason) => reason.chars().take(MOST_OF_REASON).collect(),
            None => "denied".to_owned(),
        }),
    };
    Ok(Verdict {
        answer,
        holds: said.ttl.map(|ttl| Duration::from_secs(ttl).min(LONGEST)),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;
    use crate::auth::{CertificateName, Transport};

    fn asked() -> Asked {
        Asked {
            role: Role::From,
            method: "INVITE".into(),
            claim: "sip:al\"ice\\@example.org".into(),
            user: Some("al\"ice\\".into()),
            domain: Some("example.org".into()),
            transport: Transport::Tls,
            source: [192, 0, 2, 1].into(),
            certificate: Some(Arc::new(CertificateName {
                subject: "CN=alice".to_owned(),
                issuer: "CN=CA".to_owned(),
                serial: "0A".to_owned(),
                fingerprint: [0xab; 32],
            })),
            names: Box::new(["URI:sip:alice@example.org".into()]),
        }
    }

    #[test]
    fn a_question_has_what_the_manual_says() {
        let body = question(&asked(), 40001).unwrap();
        let text = String::from_utf8(body).unwrap();
        let fingerprint = "AB".repeat(32);
        assert_eq!(
            text,
            format!(
                r#"{{"version":1,"role":"from","method":"INVITE","claim":"sip:al\"ice\\@example.org","user":"al\"ice\\","domain":"example.org","transport":"TLS","source":"192.0.2.1:40001","certificate":{{"subject":"CN=alice","issuer":"CN=CA","serial":"0A","fingerprint":"{fingerprint}","names":["URI:sip:alice@example.org"]}}}}"#
            )
        );
        let without = Asked {
            certificate: None,
            user: None,
            ..asked()
        };
        let text = String::from_utf8(question(&without, 1).unwrap()).unwrap();
        assert!(text.contains(r#""user":null"#) && text.ends_with(r#""certificate":null}"#));
    }

    #[test]
    fn an_answer_is_one_of_three_words_and_nothing_else() {
        let deny = |why: &str| Answer::Deny(why.to_owned());
        for (body, wanted) in [
            (r#"{"verdict":"allow"}"#, Some((Answer::Allow, None))),
            (
                r#" { "ttl" : 30, "verdict" : "abstain", "reason" : null } "#,
                Some((Answer::Abstain, Some(30))),
            ),
            (
                r#"{"verdict":"deny","reason":"not you","ttl":0}"#,
                Some((deny("not you"), Some(0))),
            ),
            (r#"{"verdict":"deny"}"#, Some((deny("denied"), None))),
            (
                r#"{"verdict":"allow","ttl":99999999999}"#,
                Some((Answer::Allow, Some(86_400))),
            ),
            (r#"{"verdict":"Allow"}"#, None),
            (r#"{"verdict":"allowed"}"#, None),
            (r#"{"verdict":true}"#, None),
            (r#"{"verdict":"allow","ttl":-1}"#, None),
            (r#"{"verdict":"allow","ttl":"30"}"#, None),
            (r#"{"verdict":"allow","verdict":"deny"}"#, None),
            (r#"{"verdict":"allow","tll":30}"#, None),
            (r#"{"verdict":"allow"} x"#, None),
            (r#"["allow"]"#, None),
            (r#"["allow",null,null]"#, None),
            (r#" ["allow","",30]"#, None),
            (r#"{"verdict":{"allow":null}}"#, None),
            (r#"{"verdict":["allow"]}"#, None),
            (r#"{"verdict":null}"#, None),
            (r#"{}"#, None),
            ("allow", None),
            ("", None),
            ("\u{feff}{\"verdict\":\"allow\"}", None),
        ] {
            let found = verdict(body.as_bytes()).ok();
            let found = found.map(|own| (own.answer, own.holds.map(|time| time.as_secs())));
            assert_eq!(found, wanted, "{body}");
        }
        assert!(verdict(b"{\"verdict\":\"allow\",\"reason\":\"\xff\"}").is_err());
        assert!(verdict("[".repeat(60_000).as_bytes()).is_err());
        let long = format!(r#"{{"verdict":"deny","reason":"{}"}}"#, "é".repeat(1000));
        let kept = verdict(long.as_bytes()).unwrap().answer;
        assert_eq!(kept, deny(&"é".repeat(200)));
    }
}
