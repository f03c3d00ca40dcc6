//! repro's rules, holes included, for `IdentityRules = repro` and `report`.
//!
//! Deviation: where repro would have asked for a digest answer, the request is refused as long as digest is not available.

use super::admit::{Case, Outcome, Trace};
use super::certificate::Identities;
use super::legacy_name::LegacyClaim;
use super::mappings::Mappings;
use super::secure::{Judgement, MUTUAL_TLS, referred_by};
use super::verdict::{Exemption, Ground, IdentityPath, Reason, Refusal, Role};
use crate::sip::{Address, Method, Request};

/// Judges as repro's CertificateAuthenticator (proxy) or TlsPeerAuthManager (registrar) does.
pub(super) fn judge<T: Trace>(case: &Case<'_>, trace: &mut T) -> Outcome {
    let rules = case.rules;
    if !rules.certificate_authenticator {
        if let Some(judgement) = case.ask_checks(Role::From, &case.request.from, trace) {
            return outcome(judgement);
        }
        if let Some(ground) = case.dialog_leg(trace) {
            return Outcome::Allow(ground);
        }
        return match case.without_certificates(Role::From, trace) {
            Ok(ground) => Outcome::Allow(ground),
            Err(refusal) => Outcome::Refuse(refusal),
        };
    }
    // What repro believes without a word of proof may as well be proved.
    if let Some(ground) = case.dialog_leg(trace) {
        return Outcome::Allow(ground);
    }
    if is_exempt(case.request, case.path) {
        trace.step(|| "repro does not look at ACK, BYE and requests with a To tag".to_owned());
        return exempt(case, Exemption::InDialog, false);
    }
    let (role, address) = match claimed(case.request) {
        Ok(claimed) => claimed,
        Err(refusal) => return Outcome::Refuse(refusal),
    };
    trace.step(|| {
        let text = address.text.escape_ascii();
        format!("{} claims <{text}>, by repro's rules", role.as_str())
    });
    if let Some(judgement) = case.ask_checks(role, &address, trace) {
        return outcome(judgement);
    }
    let claim = LegacyClaim::of(&address.uri, address.text);
    let local = rules.domains.contains_legacy(&claim.host);
    if !case.peer.transport.is_secure() {
        trace.step(|| "  repro does not look at requests without TLS".to_owned());
        return exempt(case, Exemption::NotTls, local);
    }
    let Some(identities) = case.peer.identities else {
        if !local && rules.third_party_requires_certificate {
            return Outcome::Refuse(Refusal::forbidden(
                MUTUAL_TLS,
                Reason::ThirdPartyNoCertificate,
                role,
            ));
        }
        if !local {
            return Outcome::Allow(Ground::ThirdPartyUnchecked);
        }
        trace.step(|| "  repro lets a From of ours pass without a certificate".to_owned());
        return exempt(case, Exemption::LocalWithoutCertificate, local);
    };
    if rules.trusted.legacy_name_of(identities).is_some() {
        trace.step(|| "  a name is trusted: any identity".to_owned());
        return Outcome::Allow(Ground::TrustedName);
    }
    // The registrar does not ask the address list.
    if local && case.path == IdentityPath::Proxy && case.address_is_trusted() {
        trace.step(|| "  the source address is trusted, and the domain is ours".to_owned());
        return Outcome::Allow(Ground::TrustedAddress);
    }
    if authorising(identities, &rules.mappings, &claim).is_some() {
        trace.step(|| "  a peer name or its mapping is equal".to_owned());
        return Outcome::Allow(Ground::LegacyName);
    }
    trace.step(|| "  no peer name and no mapping is equal".to_owned());
    if let Some(judgement) = case.ask_others(role, &address, trace) {
        return outcome(judgement);
    }
    Outcome::Refuse(Refusal::forbidden(
        case.mismatch_phrase(),
        Reason::CertMismatch,
        role,
    ))
}

fn outcome(judgement: Judgement) -> Outcome {
    match judgement {
        Judgement::Allow(ground) => Outcome::Allow(ground),
        Judgement::Refuse(refusal) => Outcome::Refuse(refusal),
        Judgement::Ask(asked) => Outcome::Ask(vec![asked]),
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

/// What the certificate check does not look at goes on to digest, if that is on.
fn exempt(case: &Case<'_>, exemption: Exemption, local: bool) -> Outcome {
    if local && case.address_is_trusted() {
        return Outcome::Allow(Ground::TrustedAddress);
    }
    let unasked = matches!(case.request.method, Method::Ack | Method::Bye);
    if !case.rules.digest || unasked {
        return Outcome::Allow(Ground::LegacyExempt(exemption));
    }
    if case.address_is_trusted() {
        return Outcome::Allow(Ground::TrustedAddress);
    }
    Outcome::Refuse(Refusal::forbidden(
        "Authentication Failed",
        Reason::DigestNotAvailable,
        Role::From,
    ))
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
        (*name == claim.aor
            || *name == claim.host
            || mappings.permits_legacy(name, claim, issuers))
            && identities.may_use_legacy(name, Some(&claim.aor))
    })
}
