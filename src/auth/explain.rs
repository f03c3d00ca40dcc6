//! The whole decision as a readable trace: `sipvouch explain`.
//!
//! No second implementation: the claim is written as a request, parsed like any other, and judged by [`super::admit`] with
//! somebody listening.

use std::fmt;
use std::net::SocketAddr;

use super::admit::{Decision, Hearing, Occasion, Rules, Trace, decide};
use super::certificate::{Identities, IdentityKind};
use super::check::{Answers, Peer, Transport};
use super::credentials;
use super::digest::DigestUser;
use super::peer_certificate::PeerCertificate;
use super::verdict::{Ground, Reason, Refusal};
use crate::sip::{Fault, Message, Request, SipUri, canonical_domain};

/// Rounds of questions that are answered before the explanation gives up. Each check can ask once per claim.
const MAX_ROUNDS: usize = 64;

/// The request to explain.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// From: a URI, or a whole header value with `<…>`.
    pub from: &'a str,
    /// To; the From if not given.
    pub to: Option<&'a str>,
    /// Referred-By of a REFER.
    pub referred_by: Option<&'a str>,
    /// Method.
    pub method: &'a str,
    /// Whether To has a tag.
    pub to_tag: bool,
    /// Over what it comes.
    pub transport: Transport,
    /// Where it comes from.
    pub source: SocketAddr,
    /// When it comes, through which listener, and who handles it.
    pub occasion: Occasion,
    /// Who is taken to have proved a password by digest: `user@domain`, or a user of the realm that would be asked in.
    pub digest_user: Option<&'a str>,
}

/// How a request comes.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Over what.
    pub transport: Transport,
    /// Where from.
    pub source: SocketAddr,
    /// When, through which listener, and who handles it.
    pub occasion: Occasion,
    /// Who is taken to have proved a password by digest: `user@domain`, or a user of the realm that would be asked in.
    pub digest_user: Option<&'a str>,
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on.
    Admitted(Ground),
    /// Answered with this; asked for a password if its [`Refusal::wanted`] says so.
    Refused(Refusal),
    /// An ACK: dropped.
    Dropped(Refusal),
    /// Answered as malformed before anybody asks who sent it.
    Malformed(Fault),
    /// A check goes on asking.
    Undecided,
    /// It has a digest answer, and only the running server knows whether its nonce is good.
    ByNonce {
        /// How it ends if that is, and the password is right.
        good: Box<Verdict>,
        /// How it ends if not.
        bad: Box<Verdict>,
    },
}

/// The trace of one decision. Its `Display` is for people; the last line is the verdict.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// How it ends.
    pub verdict: Verdict,
    /// What the secure rules would have said, under `IdentityRules = report`.
    pub would_refuse: Option<Refusal>,
    /// Names found, rules tried, in order.
    pub steps: Vec<String>,
    /// What would make it pass; empty if it does.
    pub remedies: Vec<String>,
}

impl Explanation {
    /// Whether the request goes on, for certain: what the exit status says.
    pub fn is_admitted(&self) -> bool {
        matches!(self.verdict, Verdict::Admitted(_))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        if let Some(refusal) = &self.would_refuse {
            writeln!(
                f,
                "the secure rules would refuse: {refusal}: {}",
                refusal.hint()
            )?;
        }
        if !self.remedies.is_empty() {
            writeln!(f, "what would make it pass (any of these):")?;
            for remedy in &self.remedies {
                writeln!(f, "  - {remedy}")?;
            }
        }
        write!(f, "verdict: {}", self.verdict)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted(ground) => write!(f, "admitted, ground={ground}"),
            Self::Refused(Refusal {
                status,
                phrase,
                wanted: Some(wanted),
                ..
            }) => write!(f, "challenged, {status} {phrase}, realm {:?}", wanted.realm),
            Self::Refused(refusal) => write!(
                f,
                "refused, {} {}, reason={refusal}: {}",
                refusal.status,
                refusal.phrase,
                refusal.hint()
            ),
            Self::Dropped(refusal) => {
                write!(f, "dropped (ACK has no answer), reason={refusal}")
            }
            Self::Malformed(fault) => write!(f, "refused, {} {}", fault.status, fault.phrase),
            Self::Undecided => f.write_str("refused, the checks do not come to an end"),
            Self::ByNonce { good, bad } => write!(
                f,
                "depends on the running server, which alone knows whether the nonce is good.\n  \
                 if it is, and the password is right: {good}\n  if it is not: {bad}"
            ),
        }
    }
}

impl Trace for Vec<String> {
    fn step(&mut self, text: impl FnOnce() -> String) {
        self.push(text());
    }
}

/// Explains what these rules say to this statement of a peer with this certificate.
pub fn explain(
    certificate: Option<&PeerCertificate>,
    statement: &Statement<'_>,
    rules: &Rules,
) -> Explanation {
    let Statement {
        transport,
        source,
        occasion,
        digest_user,
        ..
    } = *statement;
    let scene = Scene {
        transport,
        source,
        occasion,
        digest_user,
    };
    match write_request(statement) {
        Some(text) => {
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            explain_message(certificate, &message, &scene, rules)
        }
        None => Explanation {
            verdict: Verdict::Malformed(Fault::bad_request("Malformed From header")),
            would_refuse: None,
            steps: Vec::new(),
            remedies: Vec::new(),
        },
    }
}

/// The same of a whole message, such as one that was captured.
pub fn explain_message(
    certificate: Option<&PeerCertificate>,
    message: &Message<'_>,
    scene: &Scene<'_>,
    rules: &Rules,
) -> Explanation {
    let identities = certificate.map(|c| rules.identities(c, Some(scene.occasion.listener)));
    let mut steps = Vec::new();
    describe(certificate, identities.as_ref(), &mut steps);
    steps.push(format!(
        "rules: {}, certificate authenticator {}, digest {}, {} mappings",
        rules.identity.word(),
        on_off(rules.certificate_authenticator),
        on_off(rules.wants_digest),
        rules.mappings.len()
    ));
    let request = match Request::read(message, rules.identity.from_rule()) {
        Ok(request) => request,
        Err(fault) => {
            return Explanation {
                verdict: Verdict::Malformed(fault),
                would_refuse: None,
                steps,
                remedies: Vec::new(),
            };
        }
    };
    steps.extend(credentials::describe(message));
    if request.has_to_tag() {
        steps.push(
            "a To tag proves nothing: within a dialog of ours the token in Route does (ground dialog-leg), which is not judged here"
                .to_owned(),
        );
    }
    let peer = Peer {
        transport: scene.transport,
        source: scene.source,
        identities: identities.as_ref(),
    };
    let stated = scene
        .digest_user
        .and_then(|text| stated(text, &request, rules));
    steps.push(match (&stated, scene.digest_user) {
        (Some(user), _) => format!(
            "digest: taken as proved, {:?}",
            format!("{}@{}", user.user, user.domain)
        ),
        (None, Some(text)) => format!(
            "digest: {text:?} is a user of no realm, since nothing here is of a domain of ours: USER@DOMAIN is one"
        ),
        (None, None) => "digest: no password is proved".to_owned(),
    });
    let mut hearing = Hearing {
        stated,
        ..Hearing::new(&peer, scene.occasion, rules)
    };
    let (mut verdict, mut would_refuse) = hear(request, &hearing, &mut steps);
    let depends = [Reason::DigestBadNonce, Reason::DigestStale];
    if let Verdict::Refused(refusal) | Verdict::Dropped(refusal) = &verdict
        && depends.contains(&refusal.reason)
        && let Some(user) = rules.named_user(message, scene.occasion.path)
    {
        steps.push(format!(
            "if the nonce is good, and the password is that of {:?}:",
            format!("{}@{}", user.user, user.domain)
        ));
        hearing.stated = Some(user);
        let (good, would_refuse_then) = hear(request, &hearing, &mut steps);
        would_refuse = would_refuse_then;
        verdict = Verdict::ByNonce {
            good: Box::new(good),
            bad: Box::new(verdict),
        };
    }
    // What a new nonce does not mend is what there is to mend.
    let last = match &verdict {
        Verdict::ByNonce { good, .. } => good,
        verdict => verdict,
    };
    let refusal = match last {
        Verdict::Refused(refusal) | Verdict::Dropped(refusal) => Some(refusal),
        _ => would_refuse.as_ref(),
    };
    let remedies = refusal.map_or_else(Vec::new, |refusal| {
        remedies(refusal, &request, identities.as_ref(), rules, scene)
    });
    Explanation {
        verdict,
        would_refuse,
        steps,
        remedies,
    }
}

/// Who is meant by `--digest-user`: a bare user is one of the realm that would be asked in. `None` if there is no such realm.
fn stated(text: &str, request: &Request<'_>, rules: &Rules) -> Option<DigestUser> {
    let (user, realm) = match text.rsplit_once('@') {
        Some((user, domain)) => (user, domain.into()),
        None => {
            // What is only stated has no Request-URI of its own; To says for whom it is.
            let realm = rules.realm_for(request);
            (text, realm.or_else(|| rules.realm_of_uri(&request.to.uri))?)
        }
    };
    Some(DigestUser {
        user: user.to_owned(),
        domain: canonical_domain(&realm).into_owned(),
        realm: realm.into(),
    })
}

/// Judges a request to the end, answering what is asked. Also says what the secure rules would have said.
fn hear(
    request: Request<'_>,
    hearing: &Hearing<'_>,
    steps: &mut Vec<String>,
) -> (Verdict, Option<Refusal>) {
    let mut answers = Answers::default();
    for _ in 0..MAX_ROUNDS {
        let verdict = match decide(request, hearing, answers, steps) {
            Decision::Admit(admitted) => {
                let would_refuse = admitted.would_refuse().cloned();
                return (Verdict::Admitted(admitted.ground().clone()), would_refuse);
            }
            Decision::Refuse(refusal) => Verdict::Refused(refusal),
            Decision::Challenge(challenge) => Verdict::Refused(challenge.refusal),
            Decision::Drop(refusal) => Verdict::Dropped(refusal),
            Decision::Pending(pending) => {
                let names: Vec<_> = pending.names().map(|n| format!("{n:?}")).collect();
                steps.push(format!("asking for check {}", names.join(", ")));
                answers = pending.answer();
                continue;
            }
        };
        return (verdict, None);
    }
    (Verdict::Undecided, None)
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// What the certificate says.
fn describe(
    certificate: Option<&PeerCertificate>,
    identities: Option<&Identities>,
    steps: &mut Vec<String>,
) {
    let (Some(certificate), Some(identities)) = (certificate, identities) else {
        steps.push("certificate: none".to_owned());
        return;
    };
    steps.push(format!(
        "certificate: {:?}, serial {}, issued by {:?}",
        certificate.subject, certificate.serial, certificate.issuer
    ));
    for name in identities.names() {
        let meaning = match name.kind {
            IdentityKind::Domain => "any user of exactly this domain".to_owned(),
            IdentityKind::Wildcard => "any user of a domain one label below".to_owned(),
            IdentityKind::User => "exactly this user".to_owned(),
            IdentityKind::Ip(_) => "any user of this address".to_owned(),
            IdentityKind::Label => "only what a mapping says".to_owned(),
            IdentityKind::KeyOnly(why) => format!("only what a mapping says: {why}"),
        };
        steps.push(format!("  {name}: {meaning}"));
    }
    for issuer in identities.issuers().iter() {
        steps.push(format!(
            "  CA {:?}, keyid {}, sha256 {}",
            issuer.subject,
            hex(&issuer.key_id),
            hex(&issuer.fingerprint)
        ));
    }
    for name in identities.unusable() {
        steps.push(format!("  {name} (entitles to nothing)"));
    }
    if identities.names().is_empty() {
        steps.push("  no usable name".to_owned());
    }
}

fn hex(octets: &[u8]) -> String {
    match octets {
        [] => "none".to_owned(),
        octets => octets.iter().map(|octet| format!("{octet:02X}")).collect(),
    }
}

/// The statement as a message; `None` when a part of it would not stay in its place.
fn write_request(statement: &Statement<'_>) -> Option<String> {
    let parts = [
        Some(statement.from),
        statement.to,
        statement.referred_by,
        Some(statement.method),
    ];
    let breaks_out = |text: &str| text.chars().any(char::is_control);
    if parts.into_iter().flatten().any(breaks_out) || statement.method.contains(' ') {
        return None;
    }
    let address = |text: &str| match text.contains('<') {
        true => text.to_owned(),
        false => format!("<{text}>"),
    };
    let method = statement.method;
    let to = address(statement.to.unwrap_or(statement.from));
    let to_tag = if statement.to_tag { ";tag=there" } else { "" };
    let referred_by = statement
        .referred_by
        .map(|r| format!("Referred-By: {}\r\n", address(r)))
        .unwrap_or_default();
    Some(format!(
        "{method} sip:explain.invalid SIP/2.0\r\nVia: SIP/2.0/{} explain.invalid;branch=z9hG4bKexplain\r\n\
         From: {};tag=here\r\nTo: {to}{to_tag}\r\nCall-ID: explain\r\nCSeq: 1 {method}\r\n{referred_by}\
         Content-Length: 0\r\n\r\n",
        statement.transport.as_str(),
        address(statement.from),
    ))
}

/// What would turn the refusal into an admission.
fn remedies(
    refusal: &Refusal,
    request: &Request<'_>,
    identities: Option<&Identities>,
    rules: &Rules,
    scene: &Scene,
) -> Vec<String> {
    let mut remedies = Vec::new();
    let claimed = match refusal.role {
        super::Role::From => request.from.uri,
        super::Role::To => request.to.uri,
        super::Role::ReferredBy => match super::secure::referred_by(request) {
            Ok(Some(address)) => address.uri,
            _ => return vec![refusal.hint().to_owned()],
        },
    };
    let final_reasons = [Reason::CheckDenied, Reason::SeveralFrom, Reason::CaRights];
    if final_reasons.contains(&refusal.reason) {
        return vec![refusal.hint().to_owned()];
    }
    if let Some(wanted) = &refusal.wanted {
        let user = claimed.sip().and_then(|sip| sip.user).unwrap_or("the user");
        remedies.push(format!(
            "the password of {user} for the realm {:?} (--digest-user {user} takes it as proved)",
            wanted.realm
        ));
        if rules.certificate_authenticator && identities.is_some() {
            remedies.push("CertificateInsteadOfDigest = true, if the certificate proves it".into());
        }
        return remedies;
    }
    if refusal.reason == Reason::DigestForgedFrom {
        return vec![refusal.hint().to_owned()];
    }
    let Some(claimed) = claimed.sip() else {
        return vec![format!("a sip: URI in {}", refusal.role.as_str())];
    };
    if !rules.certificate_authenticator {
        remedies.push(
            "EnableCertificateAuthenticator = true, and a client certificate for the peer".into(),
        );
        return remedies;
    }
    if !scene.transport.is_secure() {
        remedies.push("a connection over TLS, with one of these:".into());
    } else if identities.is_none() {
        remedies.push(
            "a client certificate on the peer, and TLSClientVerification = Optional or Mandatory here, with one of these:"
                .into(),
        );
    }
    certificates(claimed, &mut remedies);
    mapping(claimed, identities, rules, &mut remedies);
    let ours = rules.domains.contains(&claimed.host);
    if ours && !scene.source.ip().is_unspecified() {
        remedies.push(format!(
            "TrustedPeers with {} (if that is a proxy which checks its users itself)",
            scene.source.ip()
        ));
    }
    if let Some(name) = identities.and_then(|i| i.trust_names().next()) {
        remedies.push(format!(
            "TrustedPeers with {name:?} (if that is a proxy which checks its users itself)"
        ));
    }
    remedies
}

fn certificates(claimed: &SipUri<'_>, remedies: &mut Vec<String>) {
    let host = claimed.host.canonical();
    match claimed.user {
        Some(_) => {
            let aor = claimed.address_of_record();
            remedies.push(format!(
                "a certificate with subjectAltName = URI:sip:{aor} (this user), or URI:sip:{host} (the whole domain)"
            ));
        }
        None => remedies.push(format!(
            "a certificate with subjectAltName = URI:sip:{host} (the whole domain)"
        )),
    }
}

fn mapping(
    claimed: &SipUri<'_>,
    identities: Option<&Identities>,
    rules: &Rules,
    remedies: &mut Vec<String>,
) {
    let aor = claimed.address_of_record();
    let Some(identities) = identities else {
        return;
    };
    let issuers = identities.issuers();
    let mut keys = identities.keys();
    if let Some((key, line)) = keys.find_map(|key| rules.mappings.find(key, issuers)) {
        remedies.push(format!(
            "CommonNameMappings line {line} ({key:?}) with {aor} added after a comma"
        ));
        return;
    }
    // A CN that a SAN hides says little about who that is: rather a name that counts.
    let mut names = identities.names().iter();
    let counts = names.find(|name| !matches!(name.kind, IdentityKind::KeyOnly(_)));
    if let Some(name) = counts.or_else(|| identities.names().first()) {
        let key = name.text();
        remedies.push(format!(
            "a line in the CommonNameMappings file: {key}<TAB>{aor}"
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::test_support::{cert, options, request, rules, with_passwords};
    use super::super::{IdentityPath, IdentityRules, Mappings};
    use super::*;

    fn statement(from: &str) -> Statement<'_> {
        Statement {
            from,
            to: None,
            referred_by: None,
            method: "MESSAGE",
            to_tag: false,
            transport: Transport::Tls,
            source: "127.0.0.3:5060".parse().unwrap(),
            occasion: IdentityPath::Proxy.into(),
            digest_user: None,
        }
    }

    #[test]
    fn a_refused_phone_is_told_the_mapping_line_to_add() {
        let phone = cert("0004F2999999", &[]);
        let explanation = explain(
            Some(&phone),
            &statement("sip:alice@example.org"),
            &rules(IdentityRules::Secure, "0004F22B3EB5\tbob@example.org\n"),
        );
        let text = explanation.to_string();
        assert!(!explanation.is_admitted());
        for wanted in [
            "CN:0004F2999999: only what a mapping says",
            "0004F2999999<TAB>alice@example.org",
            "URI:sip:alice@example.org",
            "reason=cert-mismatch (From)",
            "403 Authentication Failed for peer cert",
        ] {
            assert!(text.contains(wanted), "{wanted:?} in\n{text}");
        }
    }

    #[test]
    fn an_admitted_statement_names_its_ground() {
        let phone = cert("00:04:f2:2b:3e:b5", &[]);
        let explanation = explain(
            Some(&phone),
            &statement("sip:alice@example.org"),
            &rules(IdentityRules::Secure, "0004F22B3EB5\talice@example.org\n"),
        );
        assert!(explanation.is_admitted(), "{explanation}");
        assert!(explanation.remedies.is_empty());
        assert!(
            explanation
                .to_string()
                .contains("ground=mapping(\"0004F22B3EB5\")")
        );
    }

    #[test]
    fn within_a_dialog_the_token_is_named_as_what_would_prove_it() {
        let ground = Ground::DialogLeg(super::super::Sender::Caller);
        let within = Statement {
            to_tag: true,
            ..statement("sip:alice@example.org")
        };
        for (statement, named) in [(within, true), (statement("sip:alice@example.org"), false)] {
            let text = explain(None, &statement, &rules(IdentityRules::Secure, "")).to_string();
            assert_eq!(text.contains(ground.id()), named, "{text}");
        }
    }

    #[test]
    fn the_report_mode_tells_both_verdicts() {
        let explanation = explain(
            None,
            &statement("sip:alice@example.org"),
            &rules(IdentityRules::Report, ""),
        );
        assert!(explanation.is_admitted());
        let text = explanation.to_string();
        assert!(
            text.contains("the secure rules would refuse: no-certificate"),
            "{text}"
        );
        assert!(!explanation.remedies.is_empty());
    }

    #[test]
    fn a_password_that_is_wanted_is_named_and_one_that_is_stated_counts() {
        let mut options = options(IdentityRules::Secure);
        options.digest.enabled = true;
        let rules = with_passwords(&options, Mappings::default());
        for (user, wanted) in [
            (
                None,
                "verdict: challenged, 407 Proxy Authentication Required, realm \"example.org\"",
            ),
            (
                Some("alice"),
                "verdict: admitted, ground=digest(\"alice@example.org\")",
            ),
            (
                Some("alice@example.org"),
                "verdict: admitted, ground=digest(\"alice@example.org\")",
            ),
            (Some("bob"), "reason=digest-forged-from (From)"),
        ] {
            let statement = Statement {
                digest_user: user,
                ..statement("sip:alice@example.org")
            };
            let text = explain(None, &statement, &rules).to_string();
            assert!(text.contains(wanted), "{user:?}: {wanted:?} in\n{text}");
        }
    }

    #[test]
    fn a_bare_user_belongs_to_the_realm_that_would_be_asked_in() {
        const NOBODY: &str = "sip:anonymous@anonymous.invalid";
        for (situation, from, to, realm, user, wanted) in [
            (
                "From of ours",
                "sip:alice@EXAMPLE.org",
                "sip:bob@pocock.com.au",
                None,
                "alice",
                "\"alice@example.org\"",
            ),
            (
                "nobody",
                NOBODY,
                "sip:bob@example.org",
                None,
                "alice",
                "\"alice@example.org\"",
            ),
            (
                "nobody, to nobody",
                NOBODY,
                NOBODY,
                None,
                "alice",
                "\"alice\" is a user of no realm",
            ),
            (
                "with a domain",
                NOBODY,
                NOBODY,
                None,
                "alice@Example.org",
                "\"alice@example.org\"",
            ),
            (
                "a realm that is set",
                NOBODY,
                NOBODY,
                Some("sip.example.net"),
                "alice",
                "\"alice@sip.example.net\"",
            ),
        ] {
            let mut options = options(IdentityRules::Secure);
            options.digest.enabled = true;
            options.digest.static_realm = realm.map(str::to_owned);
            let rules = with_passwords(&options, Mappings::default());
            let statement = Statement {
                digest_user: Some(user),
                to: Some(to),
                ..statement(from)
            };
            let text = explain(None, &statement, &rules).to_string();
            assert!(text.contains(wanted), "{situation}: {wanted:?} in\n{text}");
        }
    }

    #[test]
    fn of_a_captured_answer_both_is_told_what_a_good_nonce_and_what_a_bad_one_leads_to() {
        let scene = Scene {
            transport: Transport::Tcp,
            source: "127.0.0.3:5060".parse().unwrap(),
            occasion: IdentityPath::Proxy.into(),
            digest_user: None,
        };
        let admitted = "right: admitted, ground=digest(\"alice@example.org\")";
        for (from, reject, good, bad) in [
            (
                "sip:alice@example.org",
                false,
                admitted,
                "not: challenged, 407",
            ),
            ("sip:alice@example.org", true, admitted, "not: refused, 403"),
            (
                "sip:bob@example.org",
                false,
                "right: refused, 403 Forbidden",
                "not: challenged, 407",
            ),
        ] {
            let mut options = options(IdentityRules::Secure);
            options.digest.enabled = true;
            options.digest.reject_bad_nonces = reject;
            let rules = with_passwords(&options, Mappings::default());
            let text = request(
                "MESSAGE",
                &super::super::test_support::from(from),
                "<sip:eve@example.org>",
                "Proxy-Authorization: Digest username=\"alice\", realm=\"example.org\", nonce=\"77\", \
                 uri=\"sip:eve@example.org\", response=\"0123456789abcdef0123456789abcdef\"\r\n",
            );
            let message = Message::parse(text.as_bytes(), text.len(), 64);
            let explanation = explain_message(None, &message, &scene, &rules);
            assert!(!explanation.is_admitted(), "it is not certain");
            let told = explanation.to_string();
            for wanted in [good, bad, "depends on the running server"] {
                assert!(told.contains(wanted), "{from}: {wanted:?} in\n{told}");
            }
        }
    }

    #[test]
    fn a_statement_cannot_smuggle_header_fields() {
        for from in ["sip:a@b\r\nFrom: <sip:x@y>", "", "nobody", "sip:a@b\0c"] {
            let explanation = explain(None, &statement(from), &rules(IdentityRules::Secure, ""));
            assert!(
                matches!(explanation.verdict, Verdict::Malformed(_)),
                "{from:?}: {explanation}"
            );
        }
    }
}
