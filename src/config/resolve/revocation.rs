//! CRLs, OCSP responses, and what ends.

use super::super::NoteClass;
use super::{Paths, Values};
use crate::tls::{CrlCheck, CrlFiles, RevocationOptions, WithoutCrl};

pub(super) fn revocation(v: &mut Values<'_>, paths: &Paths) -> RevocationOptions {
    let crls = crl_files(v, paths, "CRLFile", "CRLDirectory");
    let of_servers = crl_files(
        v,
        paths,
        "TLSClientRoleCRLFile",
        "TLSClientRoleCRLDirectory",
    );
    let check = match v.choice("CRLCheck") {
        "None" => CrlCheck::None,
        "Leaf" => CrlCheck::Leaf,
        _ => CrlCheck::Chain,
    };
    let any = !crls.is_empty() || !of_servers.is_empty();
    if !any && check != CrlCheck::None && v.find("CRLCheck").is_some() {
        v.note(
            NoteClass::Unsafe,
            "CRLCheck",
            "there is no CRL, so that nothing is checked; name some by CRLFile or CRLDirectory",
        );
    }
    if any && check == CrlCheck::None {
        v.note(
            NoteClass::Unsafe,
            "CRLCheck",
            "None: there are CRLs, and they are not looked at: whoever has a revoked certificate is let in",
        );
    }
    let mut without = |name: &str, why: &str| match v.choice(name) {
        "warn" if any && check != CrlCheck::None => {
            v.note(NoteClass::Unsafe, name, why);
            WithoutCrl::Warn
        }
        "warn" => WithoutCrl::Warn,
        _ => WithoutCrl::Refuse,
    };
    let missing = without(
        "CRLMissing",
        "warn: a revoked certificate is let in as long as the CRL of its CA is missing",
    );
    let stale = without(
        "CRLStale",
        "warn: a certificate that was revoked after the last CRL is let in when the next one does not come",
    );
    // Whichever listener names it: a response says itself which certificate it is about.
    let of_staples = |name: &String| name.to_ascii_lowercase().ends_with("tlsocspstaple");
    let names: Vec<String> = v
        .all()
        .map(|raw| raw.name.clone())
        .filter(of_staples)
        .collect();
    let staples = names
        .iter()
        .flat_map(|name| v.list(name))
        .map(|path| paths.input(path))
        .collect();
    RevocationOptions {
        crls,
        check,
        missing,
        stale,
        reload_interval: v.number("CRLReloadInterval"),
        staples,
        warning_days: v.number("CertificateExpiryWarningDays"),
    }
}

pub(super) fn crl_files(v: &Values<'_>, paths: &Paths, files: &str, directories: &str) -> CrlFiles {
    CrlFiles {
        files: v.list(files).map(|path| paths.input(path)).collect(),
        directories: v.list(directories).map(|path| paths.input(path)).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Configuration, load};

    fn configured(text: &str) -> Configuration {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repro.config");
        std::fs::write(&path, format!("TLSDomainName = example.org\n{text}")).unwrap();
        load(&path, &[]).unwrap()
    }

    #[test]
    fn lists_refuse_whom_they_do_not_vouch_for_unless_a_setting_weakens_that() {
        let lists = "CRLFile = /a.crl, /b.crl\nCRLDirectory = /c\n";
        for (situation, text, check, missing, stale, unsafe_settings) in [
            (
                "nothing is set",
                "",
                CrlCheck::Chain,
                WithoutCrl::Refuse,
                WithoutCrl::Refuse,
                &[][..],
            ),
            (
                "lists",
                lists,
                CrlCheck::Chain,
                WithoutCrl::Refuse,
                WithoutCrl::Refuse,
                &[],
            ),
            (
                "leaves alone",
                &format!("{lists}CRLCheck = leaf\n"),
                CrlCheck::Leaf,
                WithoutCrl::Refuse,
                WithoutCrl::Refuse,
                &[],
            ),
            (
                "both weakened",
                &format!("{lists}CRLMissing = warn\nCRLStale = WARN\n"),
                CrlCheck::Chain,
                WithoutCrl::Warn,
                WithoutCrl::Warn,
                &["CRLMissing", "CRLStale"],
            ),
            (
                "lists that are not looked at",
                &format!("{lists}CRLCheck = none\nCRLStale = warn\n"),
                CrlCheck::None,
                WithoutCrl::Refuse,
                WithoutCrl::Warn,
                &["CRLCheck"],
            ),
            (
                "for servers alone",
                "TLSClientRoleCRLFile = /a.crl\nCRLStale = warn\n",
                CrlCheck::Chain,
                WithoutCrl::Refuse,
                WithoutCrl::Warn,
                &["CRLStale"],
            ),
            (
                "a check of nothing",
                "CRLCheck = chain\n",
                CrlCheck::Chain,
                WithoutCrl::Refuse,
                WithoutCrl::Refuse,
                &["CRLCheck"],
            ),
        ] {
            let c = configured(text);
            let own = &c.tls.revocation;
            assert_eq!(
                (own.check, own.missing, own.stale),
                (check, missing, stale),
                "{situation}"
            );
            let told: Vec<&str> = c
                .notes
                .iter()
                .filter(|note| note.class == NoteClass::Unsafe && note.name.starts_with("CRL"))
                .map(|note| note.name.as_str())
                .collect();
            assert_eq!(told, unsafe_settings, "{situation}");
        }
    }

    #[test]
    fn responses_of_every_listener_are_known_and_each_role_has_its_lists() {
        let c = configured(
            "TLSOcspStaple = /a.der\nTransport1Interface = 127.0.0.1:5061\nTransport1Type = TLS\n\
             Transport1TlsDomain = example.org\nTransport1TlsOcspStaple = /b.der, /c.der\nCRLFile = /a.crl\n\
             TLSClientRoleCRLDirectory = /d\nCRLReloadInterval = 60\nCertificateExpiryWarningDays = 7\n",
        );
        let own = &c.tls.revocation;
        assert_eq!(own.staples.len(), 3);
        assert_eq!((own.reload_interval, own.warning_days), (60, 7));
        assert_eq!((own.crls.files.len(), own.crls.directories.len()), (1, 0));
        let of_servers = &c.client_role.crls;
        assert_eq!(
            (of_servers.files.len(), of_servers.directories.len()),
            (0, 1)
        );
    }
}
