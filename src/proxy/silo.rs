//! Messages for users who are away: which of them are kept. repro: `MessageSilo`.
//!
//! Whether a message has been kept is for the store to say: the sender is told of success only after that. repro said so
//! before it had even tried.

use std::fmt;

use super::fault::{Defect, RuleFault, RuleKind};
use super::pattern::{Pattern, PatternError, Undecided};
use crate::registrar::FlowId;
use crate::sip::{HeaderName, Host, Method, Request, SipUri, StatusCode, canonical_user};

/// Longest text of a field that is kept, in octets; a message with a longer one is not kept.
const MAX_FIELD: usize = 1024;
/// Octets of a branch that are kept.
const MAX_BRANCH: usize = 128;

/// Settings of the silo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiloOptions {
    /// Whether messages are kept at all. repro: `MessageSiloEnabled`.
    pub enabled: bool,
    /// Addresses-of-record (`sip:user@domain`) in which this is found have nothing kept; empty for none.
    /// repro: `MessageSiloDestFilterRegex`.
    pub dest_filter: String,
    /// The same of a Content-Type, in any letter case. repro: `MessageSiloMimeTypeFilterRegex`.
    pub mime_filter: String,
    /// Age in seconds at which a message is too old; 0 never. repro: `MessageSiloExpirationTime`.
    pub expiration_seconds: u64,
    /// Whether a message says when it was sent. repro: `MessageSiloAddDateHeader`.
    pub add_date: bool,
    /// Largest body, in octets. repro: `MessageSiloMaxContentLength`.
    pub max_content_bytes: usize,
    /// Answer when a message is kept. repro: `MessageSiloSuccessStatusCode`.
    pub success: StatusCode,
    /// Answer to a message of a filtered type; `None` (repro: 0) answers as without the silo.
    /// repro: `MessageSiloFilteredMimeTypeStatusCode`.
    pub filtered_mime: Option<StatusCode>,
    /// Answer to a message that cannot be kept. repro: `MessageSiloFailureStatusCode`.
    pub failure: StatusCode,
    /// Messages kept for one address-of-record. `MessageSiloMaximumPerUser`; repro: without limit.
    pub max_per_user: u64,
    /// Messages kept in all. `MessageSiloMaximumTotal`; repro: without limit.
    pub max_total: u64,
}

impl Default for SiloOptions {
    fn default() -> Self {
        Self {
            enabled: false,
            dest_filter: String::new(),
            mime_filter: "application\\/im\\-iscomposing\\+xml".to_owned(),
            expiration_seconds: 2_592_000,
            add_date: true,
            max_content_bytes: 4096,
            success: StatusCode::ACCEPTED,
            filtered_mime: Some(StatusCode::OK),
            failure: StatusCode::TEMPORARILY_UNAVAILABLE,
            max_per_user: 100,
            max_total: 100_000,
        }
    }
}

/// A message to be kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeptMessage {
    /// Whom it is for: scheme, user and host of the Request-URI.
    ///
    /// Deviation: repro took To, which need not name anybody who was looked up.
    pub destination: String,
    /// Who sent it: From as a name-addr without parameters.
    pub source: String,
    /// When it arrived: microseconds since 1970, and more for each message than for those before it.
    pub arrived: u64,
    /// What it is told apart by from others of the same second: connection and branch, so that no peer can write over
    /// the message of another.
    pub transaction: String,
    /// Content-Type as written.
    pub content_type: String,
    /// The body; text, several parts, or encrypted: octets.
    pub body: Vec<u8>,
}

impl fmt::Debug for KeptMessage {
    /// Without the body: it is somebody's letter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination, length) = (&self.source, &self.destination, self.body.len());
        write!(
            f,
            "KeptMessage({source:?} to {destination:?}, {length} octets)"
        )
    }
}

/// What the silo makes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SiloVerdict {
    /// Nothing: it is answered as without the silo.
    Pass,
    /// It is not kept, and answered with this.
    Answer(StatusCode),
    /// It is to be kept.
    Keep(KeptMessage),
}

/// The silo's rules, compiled.
#[derive(Debug)]
pub struct Silo {
    options: SiloOptions,
    dest_filter: Result<Option<Pattern>, PatternError>,
    mime_filter: Result<Option<Pattern>, PatternError>,
}

impl Default for Silo {
    fn default() -> Self {
        Self::new(SiloOptions::default()).0
    }
}

/// An empty one finds nothing.
fn compile(
    text: &str,
    with: fn(&str) -> Result<Pattern, PatternError>,
) -> Result<Option<Pattern>, PatternError> {
    if text.is_empty() {
        return Ok(None);
    }
    with(text).map(Some)
}

/// Whether a filter finds something. One that is broken cannot tell.
fn finds(
    filter: &Result<Option<Pattern>, PatternError>,
    subject: &[u8],
) -> Result<bool, Undecided> {
    match filter {
        Ok(None) => Ok(false),
        Ok(Some(pattern)) => pattern.is_in(subject),
        Err(_) => Err(Undecided::Broken),
    }
}

impl Silo {
    /// Compiles the settings. With a broken regular expression no message is kept.
    pub fn new(options: SiloOptions) -> (Self, Vec<RuleFault>) {
        let silo = Self {
            dest_filter: compile(&options.dest_filter, Pattern::new),
            mime_filter: compile(&options.mime_filter, Pattern::caseless),
            options,
        };
        let filters = [
            ("MessageSiloDestFilterRegex", &silo.dest_filter),
            ("MessageSiloMimeTypeFilterRegex", &silo.mime_filter),
        ];
        let faults = filters
            .into_iter()
            .filter_map(|(setting, filter)| {
                let error = filter.as_ref().err()?;
                Some(RuleFault {
                    kind: RuleKind::Setting,
                    rule: setting.to_owned(),
                    defect: Defect::SiloPattern(error.clone()),
                })
            })
            .collect();
        (silo, faults)
    }

    /// The settings.
    pub fn options(&self) -> &SiloOptions {
        &self.options
    }

    /// What becomes of a request to somebody who is away, `target` its Request-URI. Only a MESSAGE with a body and a
    /// Content-Type is kept; whatever cannot be decided is answered as a failure.
    pub(super) fn judge(
        &self,
        request: &Request<'_>,
        target: &SipUri<'_>,
        flow: FlowId,
        arrived: u64,
    ) -> SiloVerdict {
        let options = &self.options;
        let (message, body) = (request.message, request.message.body());
        if !options.enabled || request.method != Method::Message || body.is_empty() {
            return SiloVerdict::Pass;
        }
        let Some(content_type) = message.first(HeaderName::ContentType) else {
            return SiloVerdict::Pass;
        };
        let failure = SiloVerdict::Answer(options.failure);
        if body.len() > options.max_content_bytes {
            return failure;
        }
        match finds(&self.mime_filter, content_type) {
            Ok(true) => {
                return options
                    .filtered_mime
                    .map_or(SiloVerdict::Pass, SiloVerdict::Answer);
            }
            Ok(false) => {}
            Err(_) => return failure,
        }
        let destination = destination(target);
        match finds(&self.dest_filter, destination.as_bytes()) {
            Ok(true) => return SiloVerdict::Pass,
            Ok(false) => {}
            Err(_) => return failure,
        }
        let (Some(content_type), Some(source)) = (text(content_type), source(request)) else {
            return failure;
        };
        if destination.len() > MAX_FIELD {
            return failure;
        }
        SiloVerdict::Keep(KeptMessage {
            destination,
            source,
            arrived,
            transaction: transaction(request, flow),
            content_type,
            body: body.to_vec(),
        })
    }
}

/// A text that may stand in a header field once more.
fn text(octets: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(octets).ok()?;
    let good = !text.is_empty() && text.len() <= MAX_FIELD && !text.chars().any(char::is_control);
    good.then(|| text.to_owned())
}

/// Scheme, user and host of a URI.
fn destination(uri: &SipUri<'_>) -> String {
    let scheme = if uri.secure { "sips" } else { "sip" };
    let host = match uri.host {
        Host::Name(_) => uri.host.canonical().into_owned(),
        Host::Ip(_) => uri.host.to_string(),
    };
    match uri.user {
        Some(user) => format!("{scheme}:{}@{host}", canonical_user(user)),
        None => format!("{scheme}:{host}"),
    }
}

/// From as a name-addr. A display name that cannot be written once more, or is no UTF-8, is left out.
fn source(request: &Request<'_>) -> Option<String> {
    let uri = text(request.from.text)?;
    let display = text(request.from.display).unwrap_or_default();
    let source = match display.as_str() {
        "" => format!("<{uri}>"),
        display => format!("{display} <{uri}>"),
    };
    (source.len() <= MAX_FIELD).then_some(source)
}

/// Connection and branch.
fn transaction(request: &Request<'_>, flow: FlowId) -> String {
    let branch = request.via.branch().unwrap_or(request.call_id);
    let branch = branch.get(..MAX_BRANCH).unwrap_or(branch);
    let branch = String::from_utf8_lossy(branch);
    match flow {
        FlowId::Connection(number) => format!("{number}-{branch}"),
        FlowId::Datagram { listener, peer } => format!("{listener}-{peer}-{branch}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sip::{FromRule, Message};

    fn judged(options: SiloOptions, text: &str) -> SiloVerdict {
        let head = text.find("\r\n\r\n").unwrap() + 4;
        let message = Message::parse(text.as_bytes(), head, 64);
        let request = Request::read(&message, FromRule::Single).unwrap();
        let target = *request.uri.sip().unwrap();
        Silo::new(options)
            .0
            .judge(&request, &target, FlowId::Connection(7), 9)
    }

    fn on() -> SiloOptions {
        SiloOptions {
            enabled: true,
            ..SiloOptions::default()
        }
    }

    fn message(body: &str) -> String {
        format!(
            "MESSAGE sip:Eve@EXAMPLE.org:5061;transport=tls SIP/2.0\r\n\
             Via: SIP/2.0/TLS 203.0.113.9:5061;branch=z9hG4bKx\r\n\
             From: \"Alice; \\\"A\\\"\" <sip:alice@example.org;x=y>;tag=a;more\r\nTo: <sip:other@example.org>\r\n\
             Call-ID: c@d\r\nCSeq: 7 MESSAGE\r\nContent-Type: text/plain;charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[test]
    fn a_message_is_kept_as_far_as_it_is_needed() {
        assert_eq!(
            judged(on(), &message("Hello\0\u{fc}\r\n")),
            SiloVerdict::Keep(KeptMessage {
                destination: "sip:Eve@example.org".to_owned(),
                source: "\"Alice; \\\"A\\\"\" <sip:alice@example.org;x=y>".to_owned(),
                arrived: 9,
                transaction: "7-z9hG4bKx".to_owned(),
                content_type: "text/plain;charset=utf-8".to_owned(),
                body: "Hello\0\u{fc}\r\n".as_bytes().to_vec(),
            })
        );
    }

    #[test]
    fn what_is_not_kept_is_answered_as_the_settings_say() {
        const FAILURE: SiloVerdict = SiloVerdict::Answer(StatusCode::GONE);
        let options = || SiloOptions {
            failure: StatusCode::GONE,
            max_content_bytes: 5,
            ..on()
        };
        let hello = message("Hello");
        let composing = hello.replace("text/plain", "application/im-iscomposing+xml");
        let long = "x".repeat(MAX_FIELD);
        for (situation, options, text, wanted) in [
            (
                "switched off",
                SiloOptions {
                    enabled: false,
                    ..options()
                },
                hello.clone(),
                SiloVerdict::Pass,
            ),
            (
                "no MESSAGE",
                options(),
                hello.replace("MESSAGE", "INFO"),
                SiloVerdict::Pass,
            ),
            ("no body", options(), message(""), SiloVerdict::Pass),
            (
                "no Content-Type",
                options(),
                hello.replace("Content-Type", "X-Type"),
                SiloVerdict::Pass,
            ),
            ("too large", options(), message("Hello!"), FAILURE),
            (
                "too large goes before its type",
                SiloOptions {
                    max_content_bytes: 4,
                    ..options()
                },
                composing.clone(),
                FAILURE,
            ),
            (
                "typing",
                options(),
                composing.clone(),
                SiloVerdict::Answer(StatusCode::OK),
            ),
            (
                "typing, and no answer for it",
                SiloOptions {
                    filtered_mime: None,
                    ..options()
                },
                composing.clone(),
                SiloVerdict::Pass,
            ),
            (
                "its type goes before its destination",
                SiloOptions {
                    dest_filter: ".".to_owned(),
                    ..options()
                },
                composing.clone(),
                SiloVerdict::Answer(StatusCode::OK),
            ),
            (
                "a filtered destination",
                SiloOptions {
                    dest_filter: "^sip:Eve@example\\.org$".to_owned(),
                    ..options()
                },
                hello.clone(),
                SiloVerdict::Pass,
            ),
            (
                "a broken filter of destinations",
                SiloOptions {
                    dest_filter: "(".to_owned(),
                    ..options()
                },
                hello.clone(),
                FAILURE,
            ),
            (
                "a broken filter of types",
                SiloOptions {
                    mime_filter: "(".to_owned(),
                    ..options()
                },
                hello.clone(),
                FAILURE,
            ),
            (
                "a filtered type in other letters",
                options(),
                hello.replace("text/plain", "Application/IM-isComposing+XML"),
                SiloVerdict::Answer(StatusCode::OK),
            ),
            (
                "a type that cannot be written again",
                options(),
                hello.replace("utf-8", "\"\\\u{1}\""),
                FAILURE,
            ),
            (
                "a type too long",
                options(),
                hello.replace("utf-8", &long),
                FAILURE,
            ),
            (
                "a From too long",
                options(),
                hello.replace("alice@", &format!("{long}@")),
                FAILURE,
            ),
            (
                "a destination too long",
                options(),
                hello.replace("Eve@", &format!("{long}@")),
                FAILURE,
            ),
        ] {
            assert_eq!(judged(options, &text), wanted, "{situation}");
        }
        let composing = SiloOptions {
            mime_filter: String::new(),
            max_content_bytes: 5,
            ..on()
        };
        let text = hello.replace("text/plain", "application/im-iscomposing+xml");
        assert!(matches!(judged(composing, &text), SiloVerdict::Keep(_)));
    }

    #[test]
    fn what_stands_in_the_fields_cannot_do_harm_later() {
        let kept = |text: &str| match judged(on(), text) {
            SiloVerdict::Keep(kept) => kept,
            other => unreachable!("{other:?}"),
        };
        let hello = message("Hello");
        let odd = hello.replace("\"Alice; \\\"A\\\"\"", "\"A\\\u{1}\"");
        assert_eq!(kept(&odd).source, "<sip:alice@example.org;x=y>");
        let long = hello.replace("z9hG4bKx", &format!("z9hG4bK{}", "x".repeat(500)));
        assert_eq!(kept(&long).transaction.len(), 2 + MAX_BRANCH);
        let v6 = hello.replace(
            "sip:Eve@EXAMPLE.org:5061;transport=tls",
            "sips:%65ve@[2001:DB8::1]",
        );
        assert_eq!(kept(&v6).destination, "sips:eve@[2001:db8::1]");
        assert!(!format!("{:?}", kept(&hello)).contains("Hello"));
    }

    #[test]
    fn broken_settings_are_told() {
        let options = SiloOptions {
            dest_filter: "a{".to_owned(),
            ..on()
        };
        let (_, faults) = Silo::new(options);
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "setting \"MessageSiloDestFilterRegex\": it is no regular expression: at character 2: this is no count: \
                 {n}, {n,} or {n,m}, at most 1000; write \\{ for a brace; until it is mended no message is kept"
            ]
        );
        assert_eq!(Silo::new(SiloOptions::default()).1, []);
    }
}
