//! repro's rules, holes included, for `IdentityRules = repro` and `report`.
//!
//! First the certificate, then the password. Deviations: an answer to a challenge of another realm is passed over, and what
//! the table of TLS peer identities lets in is asked for a password as anything else is (repro asked it for ever); how an
//! answer is verified is in [`super::digest`].

use super::admit::{Case, Outcome, Trace};
use super::certificate::Identities;
use super::legacy_name::LegacyClaim;
use super::mappings::Mappings;
use super::password::{Standing, ground};
use super::secure::{Judgement, MUTUAL_TLS, referred_by};
use super::verdict::{Exemption, Ground, IdentityPath, Reason, Refusal, Role};
use crate::sip::{Address, Method, Request, StatusCode};

/// How the check of certificates ends.
enum Checked {
    /// Nobody else is asked.
    Settled(Outcome),
    /// It is content, and the password comes next.
    Content(Ground),
}

/// Judges as repro does.
pub(super) fn judge<T: Trace>(case: &Case<'_>, trace: &mut T) -> Outcome {
    match certificate(case, trace) {
        Checked::Settled(outcome) => outcome,
        Checked::Content(ground) => password(case, ground, trace),
    }
}

/// CertificateAuthenticator (proxy) or TlsPeerAuthManager (registrar).
fn certificate<T: Trace>(case: &Case<'_>, trace: &mut T) -> Checked {
    let rules = case.rules;
    if !rules.certificate_authenticator {
        if let Some(judgement) = case.ask_checks(Role::From, &case.request.from, trace) {
            return settled(judgement);
        }
        if let Some(ground) = case.dialog_leg(trace) {
            return Checked::Settled(Outcome::Allow(ground));
        }
        if !rules.wants_digest {
            trace.step(|| "  no authenticator is on: everything passes".to_owned());
            return Checked::Settled(Outcome::Allow(Ground::OpenServer));
        }
        return Checked::Content(match case.address_is_trusted() {
            true => Ground::TrustedAddress,
            false => Ground::ThirdPartyUnchecked,
        });
    }
    // What repro believes without a word of proof may as well be proved.
    if let Some(ground) = case.dialog_leg(trace) {
        return Checked::Settled(Outcome::Allow(ground));
    }
    if is_exempt(case.request, case.occasion.path) {
        trace.step(|| "repro does not look at ACK, BYE and requests with a To tag".to_owned());
        return exempt(case, Exemption::InDialog);
    }
    let (role, address) = match claimed(case.request) {
        Ok(claimed) => claimed,
        Err(refusal) => return refused(refusal),
    };
    trace.step(|| {
        let text = address.text.escape_ascii();
        format!("{} claims <{text}>, by repro's rules", role.as_str())
    });
    if let Some(judgement) = case.ask_checks(role, &address, trace) {
        return settled(judgement);
    }
    let claim = LegacyClaim::of(&address.uri, address.text);
    let local = rules.domains.contains_legacy(&claim.host);
    if !case.peer.transport.is_secure() {
        trace.step(|| "  repro does not look at requests without TLS".to_owned());
        return exempt(case, Exemption::NotTls);
    }
    let Some(identities) = case.peer.identities else {
        if !local && rules.third_party_requires_certificate {
            return refused(Refusal::forbidden(
                MUTUAL_TLS,
                Reason::ThirdPartyNoCertificate,
                role,
            ));
        }
        if !local {
            return Checked::Content(Ground::ThirdPartyUnchecked);
        }
        trace.step(|| "  repro lets a From of ours pass without a certificate".to_owned());
        return exempt(case, Exemption::LocalWithoutCertificate);
    };
    if rules.trusted.legacy_name_of(identities).is_some() {
        trace.step(|| "  a name is trusted: any identity".to_owned());
        return Checked::Content(Ground::TrustedName);
    }
    // The registrar does not ask the address list.
    if local && case.occasion.path == IdentityPath::Proxy && case.address_is_trusted() {
        trace.step(|| "  the source address is trusted, and the domain is ours".to_owned());
        return Checked::Content(Ground::TrustedAddress);
    }
    if authorising(identities, &rules.mappings, &claim).is_some() {
        trace.step(|| "  a peer name or its mapping is equal".to_owned());
        return Checked::Content(Ground::LegacyName);
    }
    trace.step(|| "  no peer name and no mapping is equal".to_owned());
    match case.ask_others(role, &address, trace) {
        Some(Judgement::Allow(ground)) => Checked::Content(ground),
        Some(judgement) => settled(judgement),
        None => refused(Refusal::forbidden(
            case.mismatch_phrase(),
            Reason::CertMismatch,
            role,
        )),
    }
}

fn outcome(judgement: Judgement) -> Outcome {
    match judgement {
        Judgement::Allow(ground) => Outcome::Allow(ground),
        Judgement::Refuse(refusal) => Outcome::Refuse(refusal),
        Judgement::Ask(asked) => Outcome::Ask(vec![asked]),
    }
}

fn settled(judgement: Judgement) -> Checked {
    Checked::Settled(outcome(judgement))
}

fn refused(refusal: Refusal) -> Checked {
    Checked::Settled(Outcome::Refuse(refusal))
}

/// DigestAuthenticator (proxy) or ServerAuthManager (registrar). It looks at From and never at To.
fn password<T: Trace>(case: &Case<'_>, found: Ground, trace: &mut T) -> Outcome {
    let request = case.request;
    let unasked = matches!(request.method, Method::Ack | Method::Bye);
    if !case.rules.wants_digest || unasked {
        return Outcome::Allow(found);
    }
    let from = LegacyClaim::of(&request.from.uri, request.from.text);
    let local = case.rules.domains.contains_legacy(&from.host);
    let registrar = case.occasion.path == IdentityPath::Registrar;
    let standing = case.standing(trace);
    match standing {
        Standing::Absent => {
            let unasked = match registrar {
                false => !local || found.is_trust(),
                true => {
                    case.address_is_trusted() || (case.rules.certificate_authenticator && !local)
                }
            };
            match unasked {
                true => Outcome::Allow(found),
                false => outcome(case.not_proved(standing, Role::From)),
            }
        }
        Standing::Proved(user) if case.may_use(user, Role::From, &request.from.uri) => {
            Outcome::Allow(ground(user))
        }
        Standing::UnknownUser if registrar => {
            let reason = Reason::DigestWrong;
            Outcome::Refuse(Refusal {
                status: StatusCode::NOT_FOUND,
                ..Refusal::forbidden("User unknown.", reason, Role::From)
            })
        }
        _ => outcome(case.not_proved(standing, Role::From)),
    }
}

fn is_exempt(request: &Request<'_>, path: IdentityPath) -> bool {
    match path {
        IdentityPath::Proxy => {
            matches!(request.method, Method::Ack | Method::Bye) || request.has_to_tag()
        }
        IdentityPath::Registrar => matches!(request.method, Method::Ack | Method::Cancel),
    }
}

/// What the certificate check does not look at goes on to the password.
fn exempt(case: &Case<'_>, exemption: Exemption) -> Checked {
    Checked::Content(match case.address_is_trusted() {
        true => Ground::TrustedAddress,
        false => Ground::LegacyExempt(exemption),
    })
}

/// The identity that repro looks at: the Referred-By of a REFER in place of its From.
fn claimed<'m>(request: &Request<'m>) -> Result<(Role, Address<'m>), Refusal> {
    if request.method == Method::Refer
        && let Some(address) = referred_by(request)?
    {
        return Ok((Role::ReferredBy, address));
    }
    Ok((Role::From, request.from))
}

/// The same, as repro compares it.
pub(super) fn claim(request: &Request<'_>) -> Option<LegacyClaim> {
    let (_, address) = claimed(request).ok()?;
    Some(LegacyClaim::of(&address.uri, address.text))
}

/// Octet by octet: the name that is the address-of-record or the host, or of which a mapping is.
pub(super) fn authorising<'i>(
    identities: &'i Identities,
    mappings: &Mappings,
    claim: &LegacyClaim,
) -> Option<&'i [u8]> {
    let issuers = identities.issuers();
    identities.legacy_names().find(|name| {
        (*name == claim.aor || *name == claim.host || mappings.permits_legacy(name, claim, issuers))
            && identities.may_use_legacy(name, Some(&claim.aor))
    })
}
