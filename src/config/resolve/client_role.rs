//! TLS toward other domains: `TLSClientRole…`, and `TLSDestination<N>…` for what is different toward some of them.

use std::collections::HashMap;

use super::super::{NoteClass, value};
use super::revocation::crl_files;
use super::rooms::version;
use super::{Paths, Values};
use crate::auth::{AuthOptions, NamePolicy, PhoneProfiles};
use crate::tls::{
    ClientTls, DestinationProfile, OwnIdentity, ProtocolVersion, ReferenceName, TlsOptions,
};

pub(super) fn client_role(
    v: &mut Values<'_>,
    paths: &Paths,
    tls: &TlsOptions,
    auth: &AuthOptions,
) -> ClientTls {
    let mut destinations = Vec::new();
    for number in v.numbers("TLSDestination", "TLSDestination1Domains") {
        destinations.push(destination(v, &number, tls));
    }
    once_each(v, &destinations);
    ClientTls {
        ca_directories: v
            .list("TLSClientRoleCADirectory")
            .map(|path| paths.input(path))
            .collect(),
        ca_files: v
            .list("TLSClientRoleCAFile")
            .map(|path| paths.input(path))
            .collect(),
        crls: crl_files(
            v,
            paths,
            "TLSClientRoleCRLFile",
            "TLSClientRoleCRLDirectory",
        ),
        fallback: own(v, "TLSClientRoleOwnDomain"),
        names: NamePolicy {
            email_as_sip: auth.email_as_sip,
            wildcards: auth.allow_wildcards,
            // Phones are nobody's servers.
            phones: PhoneProfiles::NONE,
        },
        destinations,
    }
}

fn destination(v: &mut Values<'_>, number: &str, tls: &TlsOptions) -> DestinationProfile {
    let name = |suffix: &str| format!("TLSDestination{number}{suffix}");
    let domains = domains(v, &name("Domains"));
    let suffixes = domains_of(v, &name("DomainSuffixes"));
    let made = ["Domains", "DomainSuffixes"].map(|suffix| v.find(&name(suffix)).is_some());
    if made == [false, false] {
        v.fault(
            &name("Domains"),
            "missing: other settings of this destination are there; say which domains it is for",
        );
    } else if domains.is_empty() && suffixes.is_empty() && v.is_faultless() {
        v.note(
            NoteClass::Info,
            &name("Domains"),
            "empty: the settings of this destination are for nobody",
        );
    }
    let (minimum, maximum) = (name("MinimumProtocol"), name("MaximumProtocol"));
    let limit = |v: &Values<'_>, name: &str| v.find(name).map(|_| version(v.choice(name)));
    let (oldest, newest) = (limit(v, &minimum), limit(v, &maximum));
    if oldest.unwrap_or(tls.minimum) > newest.unwrap_or(tls.maximum) {
        let (at, fault) = match newest {
            Some(_) => (&maximum, "older than the oldest version to speak there"),
            None => (&minimum, "newer than TLSMaximumProtocol"),
        };
        v.fault(at, fault);
    }
    if oldest.is_some_and(|oldest| oldest < ProtocolVersion::Tls1_2) {
        v.note(
            NoteClass::Unsafe,
            &minimum,
            "TLS 1.0 and 1.1 are broken (RFC 8996), and OpenSSL 3 speaks them with @SECLEVEL=0 in OpenSSLCipherList only",
        );
    }
    let verification = name("Verification");
    let verify = v.choice(&verification) != "None";
    if !verify {
        v.note(
            NoteClass::Unsafe,
            &verification,
            "None: whoever answers there gets what is for this destination; Mandatory asks for its name",
        );
    }
    let staple = name("RequireStaple");
    let required = v.bool(&staple);
    if required && !verify {
        v.fault(
            &staple,
            "true: with Verification = None nothing of the server is looked at",
        );
    }
    DestinationProfile {
        setting: name(""),
        domains,
        suffixes,
        expected_name: expected(v, &name("ExpectedName")),
        own: own(v, &name("OwnDomain")),
        minimum: oldest,
        maximum: newest,
        verify,
        require_staple: required,
    }
}

fn domains_of(v: &Values<'_>, name: &str) -> Vec<String> {
    v.list(name)
        .filter_map(|domain| value::domain(domain).ok())
        .collect()
}

/// Domains and addresses that a URI can have as its host.
fn domains(v: &mut Values<'_>, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for domain in domains_of(v, name) {
        match ReferenceName::parse(&domain) {
            Some(host) => found.push(host.to_string()),
            None => v.fault(name, unnameable(&domain)),
        }
    }
    found
}

fn expected(v: &mut Values<'_>, name: &str) -> Option<ReferenceName> {
    let domain = v
        .some_text(name)
        .and_then(|text| value::domain(text).ok())?;
    let host = ReferenceName::parse(&domain);
    if host.is_none() {
        v.fault(name, unnameable(&domain));
    }
    host
}

fn unnameable(domain: &str) -> String {
    format!(
        "{domain:?} is no host of a URI; expected a name, 192.0.2.1, or an IPv6 address in brackets"
    )
}

fn own(v: &Values<'_>, name: &str) -> OwnIdentity {
    match v.some_text(name) {
        None => OwnIdentity::Default,
        Some(text) if text.eq_ignore_ascii_case("None") => OwnIdentity::None,
        Some(text) => value::domain(text).map_or(OwnIdentity::Default, OwnIdentity::Domain),
    }
}

/// Says so when two destinations claim the same domain: which of the two decides would be a matter of chance.
fn once_each(v: &mut Values<'_>, destinations: &[DestinationProfile]) {
    let mut claimed: HashMap<(bool, &str), &str> = HashMap::new();
    for profile in destinations {
        let domains = profile.domains.iter().map(|domain| (false, domain));
        let suffixes = profile.suffixes.iter().map(|suffix| (true, suffix));
        for (is_suffix, domain) in domains.chain(suffixes) {
            let first = claimed
                .entry((is_suffix, domain))
                .or_insert(&profile.setting);
            if *first != profile.setting {
                let member = if is_suffix {
                    "DomainSuffixes"
                } else {
                    "Domains"
                };
                let fault =
                    format!("{domain} is in {first}{member} already; leave it in one of them");
                v.fault(&format!("{}{member}", profile.setting), fault);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::config::{Configuration, load};

    fn configured(text: &str) -> Result<Configuration, Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repro.config");
        std::fs::write(&path, format!("TLSDomainName = example.org\n{text}")).unwrap();
        load(&path, &[]).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn destinations_are_what_their_settings_say() {
        let c = configured(
            "TLSClientRoleCAFile = /a.pem, /b.pem\nTLSClientRoleCADirectory = /c\nTLSClientRoleOwnDomain = none\n\
             AllowWildcardCertificates = true\nTLSDestination07Domains = Sip.Example.NET., [2001:DB8::1]\n\
             TLSDestination7ExpectedName = Carrier.example\nTLSDestination7OwnDomain = example.com\n\
             TLSDestination7MinimumProtocol = 1.3\nTLSDestination12DomainSuffixes = example.net\n\
             TLSDestination12Verification = None\nTLSDestination12OwnDomain = None\n",
        )
        .unwrap();
        let role = &c.client_role;
        assert_eq!(role.ca_files.len(), 2);
        assert_eq!(role.ca_directories.len(), 1);
        assert_eq!(role.fallback, OwnIdentity::None);
        assert!(role.names.wildcards);
        let [seven, twelve] = &role.destinations[..] else {
            unreachable!("{:?}", role.destinations)
        };
        assert_eq!(
            *seven,
            DestinationProfile {
                setting: "TLSDestination7".to_owned(),
                domains: vec!["sip.example.net".to_owned(), "[2001:db8::1]".to_owned()],
                suffixes: Vec::new(),
                expected_name: ReferenceName::parse("carrier.example"),
                own: OwnIdentity::Domain("example.com".to_owned()),
                minimum: Some(ProtocolVersion::Tls1_3),
                maximum: None,
                verify: true,
                require_staple: false,
            }
        );
        assert_eq!(twelve.own, OwnIdentity::None);
        assert_eq!(twelve.suffixes, ["example.net"]);
        assert!(!twelve.verify);
        assert!(c.notes.iter().any(|note| {
            note.class == NoteClass::Unsafe && note.name == "TLSDestination12Verification"
        }));
    }

    #[test]
    fn without_settings_the_role_is_that_of_the_listeners() {
        let role = configured("").unwrap().client_role;
        assert_eq!(role, ClientTls::default());
    }

    #[test]
    fn destinations_that_cannot_be_are_refused() {
        for (text, wanted) in [
            (
                "TLSDestination1OwnDomain = example.org\n",
                "TLSDestination1Domains: missing: other settings of this destination are there",
            ),
            (
                "TLSDestination1 = example.org\n",
                "TLSDestination1: a name ends after its number; expected one as TLSDestination1Domains",
            ),
            (
                "TLSDestination1Domains = ::1\n",
                "TLSDestination1Domains: \"::1\" is no host of a URI",
            ),
            (
                "TLSDestination1Domains = example.net\nTLSDestination1ExpectedName = 127.1\n",
                "TLSDestination1ExpectedName: \"127.1\" is no host of a URI",
            ),
            (
                "TLSDestination1Domains = example.net\nTLSDestination1MaximumProtocol = 1.1\n",
                "TLSDestination1MaximumProtocol: older than the oldest version",
            ),
            (
                "TLSMaximumProtocol = 1.2\nTLSDestination1Domains = a.example\nTLSDestination1MinimumProtocol = 1.3\n",
                "TLSDestination1MinimumProtocol: newer than TLSMaximumProtocol",
            ),
            (
                "TLSDestination1Domains = a.example b.example\nTLSDestination2Domains = B.example.\n",
                "TLSDestination2Domains: b.example is in TLSDestination1Domains already",
            ),
            (
                "TLSDestination1Domains = a.example\nTLSDestination1Verification = Optional\n",
                "TLSDestination1Verification = \"Optional\": expected Mandatory or None",
            ),
        ] {
            let errors = configured(text).map(|_| ()).unwrap_err();
            assert!(
                errors.iter().any(|error| error.contains(wanted)),
                "{text}: {errors:?}"
            );
        }
    }
}
