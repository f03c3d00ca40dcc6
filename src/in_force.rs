//! What one load put in force, as plain values, and what another changes about it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{SettingChange, SettingsMade};
use crate::server::{Composed, Files};
use crate::tls::{LoadedCertificate, Upkeep};

/// What an operator may ask about the load in force.
#[derive(Debug)]
pub(crate) struct InForce {
    /// Number of the load.
    pub(crate) generation: u64,
    /// When it was loaded.
    pub(crate) loaded: SystemTime,
    /// Every certificate in use.
    pub(crate) certificates: Vec<LoadedCertificate>,
    /// What else ends: CRLs and OCSP responses.
    pub(crate) upkeep: Arc<Upkeep>,
    domains: BTreeSet<String>,
    mappings: usize,
    settings: SettingsMade,
}

/// What is different between two loads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Settings with another value.
    pub(crate) settings: Vec<SettingChange>,
    /// Domains that are ours now.
    pub(crate) domains_added: Vec<String>,
    /// Domains that were ours.
    pub(crate) domains_removed: Vec<String>,
    /// Certificates that are in use now: role, subject and serial number.
    pub(crate) certificates_added: Vec<String>,
    /// Certificates that were in use.
    pub(crate) certificates_removed: Vec<String>,
    /// Number of mappings before and now.
    pub(crate) mappings: (usize, usize),
}

impl InForce {
    pub(crate) fn of(files: &Files, composed: &Composed) -> Self {
        Self {
            generation: composed.snapshot.generation,
            loaded: SystemTime::now(),
            certificates: files.report.certificates.clone(),
            upkeep: Arc::clone(&files.upkeep),
            domains: composed.domains.iter().cloned().collect(),
            mappings: files.mappings(),
            settings: files.configuration.made.clone(),
        }
    }

    /// What is different in `newer`.
    pub(crate) fn difference(&self, newer: &Self) -> Difference {
        let only = |these: &[LoadedCertificate], others: &[LoadedCertificate]| {
            let others: BTreeSet<_> = others.iter().map(what_counts).collect();
            let only = these.iter().filter(|c| !others.contains(&what_counts(c)));
            only.map(told).collect()
        };
        Difference {
            settings: self.settings.changes(&newer.settings),
            domains_added: newer.domains.difference(&self.domains).cloned().collect(),
            domains_removed: self.domains.difference(&newer.domains).cloned().collect(),
            certificates_added: only(&newer.certificates, &self.certificates),
            certificates_removed: only(&self.certificates, &newer.certificates),
            mappings: (self.mappings, newer.mappings),
        }
    }
}

/// Two certificates are one if this is alike; the file may have been renamed.
fn what_counts(certificate: &LoadedCertificate) -> (&crate::tls::CertificateRole, &[u8; 32]) {
    (&certificate.role, &certificate.fingerprint)
}

fn told(certificate: &LoadedCertificate) -> String {
    format!(
        "{} {}, serial {}, {} days left",
        certificate.role, certificate.subject, certificate.serial, certificate.days_left
    )
}
