//! What has to be looked at while the server runs: CRLs and OCSP responses that are exchanged, and everything that ends.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openssl::x509::X509;

use super::crl_files::Look;
use super::fault::{Faults, LoadFault};
use super::inventory::{CertificateRole, LoadedCertificate};
use super::revocation::Revocation;
use super::staple::Staples;

const DAY: i64 = 86_400;

/// CRLs and OCSP responses of one load, and the dates of its certificates.
pub struct Upkeep {
    pub(super) revocations: Vec<Arc<Revocation>>,
    pub(super) staples: Arc<Staples>,
    /// CA certificates that may have signed CRLs.
    pub(super) known: Vec<X509>,
    pub(super) certificates: Vec<LoadedCertificate>,
    pub(super) warning_days: u32,
    pub(super) interval: u32,
    /// The CRLs of whose change somebody knows.
    pub(super) told: AtomicU64,
}

/// What a look at the files gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Other CRLs are in force now.
    pub crls_changed: bool,
    /// Other OCSP responses are shown now.
    pub staples_changed: bool,
    /// What is wrong with files; what was read from them before stays in force.
    pub faults: Vec<LoadFault>,
}

/// A list in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedCrl {
    /// Issuer in one line, printable.
    pub issuer: String,
    /// Certificates that it has.
    pub entries: usize,
    /// Whether it adds to another list.
    pub is_delta: bool,
    /// Seconds since 1970-01-01 UTC.
    pub this_update: i64,
    /// Seconds since 1970-01-01 UTC.
    pub next_update: Option<i64>,
    /// The file it came from.
    pub file: PathBuf,
}

/// Something that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// `server`, `intermediate`, `anchor`, `server-anchor`, `crl` or `staple`.
    pub kind: &'static str,
    /// Whose it is: subject of a certificate, issuer of a list; empty for a staple.
    pub name: String,
    /// Serial number of a certificate, upper-case hexadecimal.
    pub serial: String,
    /// The file it came from.
    pub file: PathBuf,
    /// When it ends, seconds since 1970-01-01 UTC.
    pub end: i64,
    /// From when on it is pointed out, seconds since 1970-01-01 UTC.
    pub warn_from: i64,
}

/// Seconds to the first end of each kind; `None` if there is nothing of the kind, negative once it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SecondsLeft {
    /// Our certificates and what is sent along with them.
    pub own: Option<i64>,
    /// Trust anchors.
    pub anchors: Option<i64>,
    /// CRLs.
    pub crls: Option<i64>,
    /// OCSP responses about our certificates.
    pub staples: Option<i64>,
}

impl Upkeep {
    /// Reads CRLs and OCSP responses that have changed, and now and then those that do not seem to have. New handshakes
    /// are held against what it finds.
    pub fn look(&self, now: i64) -> Kept {
        let mut faults = Faults::default();
        let mut kept = Kept::default();
        // A response costs little to look at, and one that was not yet good may be so now.
        let mut looked = match self.revocations.is_empty() {
            true => Look::Inside,
            false => Look::AtStamps,
        };
        for revocation in &self.revocations {
            let look = revocation.due(now);
            if look == Look::Inside {
                looked = Look::Inside;
            }
            if revocation.refresh(look, now, &mut faults) {
                revocation.check_signatures(&self.known, &mut faults);
            }
        }
        // A load that failed for another reason may have exchanged them too.
        let generation = self.generation();
        kept.crls_changed = self.told.swap(generation, Ordering::Relaxed) != generation;
        kept.staples_changed = self.staples.refresh(looked, &mut faults);
        kept.faults = faults.found;
        kept
    }

    /// Which CRLs are in force.
    pub(super) fn generation(&self) -> u64 {
        let each = self.revocations.iter().map(|own| own.generation());
        each.max().unwrap_or(0)
    }

    /// How often to look, in seconds.
    #[must_use]
    pub fn tick_seconds(&self) -> u32 {
        /// A file that has changed is read that soon.
        const SOON: u32 = 10;
        self.interval.clamp(1, SOON)
    }

    /// The lists in force.
    #[must_use]
    pub fn crls(&self) -> Vec<LoadedCrl> {
        let mut found: Vec<LoadedCrl> = Vec::new();
        for revocation in &self.revocations {
            for crl in revocation.loaded() {
                if !found.contains(&crl) {
                    found.push(crl);
                }
            }
        }
        found
    }

    /// Everything that ends.
    #[must_use]
    pub fn endings(&self) -> Vec<Ending> {
        let warned = i64::from(self.warning_days).saturating_mul(DAY);
        let certificates = self.certificates.iter().map(|own| Ending {
            kind: own.role.name(),
            name: own.subject.clone(),
            serial: own.serial.clone(),
            file: own.file.clone(),
            end: own.not_after,
            warn_from: own.not_after.saturating_sub(warned),
        });
        let crls = self.crls();
        let crls = crls.into_iter().filter_map(|crl| {
            let end = crl.next_update?;
            // Lists live for hours or weeks: the next one is late when three quarters of its life are over.
            let quarter = end.saturating_sub(crl.this_update) / 4;
            Some(Ending {
                kind: "crl",
                name: crl.issuer,
                serial: String::new(),
                file: crl.file,
                end,
                warn_from: end.saturating_sub(warned.min(quarter)),
            })
        });
        let staples = self.staples.ends().into_iter().map(|(file, end)| Ending {
            kind: "staple",
            name: String::new(),
            serial: String::new(),
            file,
            end,
            // Whoever fetches it does so at the last moment, and what is over is not sent.
            warn_from: end.saturating_sub(warned.min(DAY / 4)),
        });
        certificates.chain(crls).chain(staples).collect()
    }

    /// Seconds to the first end of each kind.
    #[must_use]
    pub fn seconds_left(&self, now: i64) -> SecondsLeft {
        let mut left = SecondsLeft::default();
        for ending in self.endings() {
            let of_kind = match ending.kind {
                "crl" => &mut left.crls,
                "staple" => &mut left.staples,
                kind if kind == CertificateRole::Anchor.name()
                    || kind == CertificateRole::ServerAnchor.name() =>
                {
                    &mut left.anchors
                }
                _ => &mut left.own,
            };
            let seconds = ending.end.saturating_sub(now);
            *of_kind = Some(of_kind.map_or(seconds, |least| least.min(seconds)));
        }
        left
    }
}

impl fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upkeep")
            .field("crls", &self.crls())
            .field("certificates", &self.certificates.len())
            .finish_non_exhaustive()
    }
}

/// For a log line.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kind={} name={:?}", self.kind, self.name)?;
        if !self.serial.is_empty() {
            write!(f, " serial={}", self.serial)?;
        }
        write!(f, " file={:?}", self.file.to_string_lossy())
    }
}

/// What is pointed out when: at the start and after each load, once a day, and at the moment that something ends.
#[derive(Debug, Default)]
pub struct EndingsTold {
    whole: Option<i64>,
    last: i64,
}

impl EndingsTold {
    /// Those to tell of now: soon over, or over.
    pub fn due(&mut self, endings: Vec<Ending>, now: i64) -> Vec<Ending> {
        let all = self.whole.is_none_or(|at| now >= at.saturating_add(DAY));
        if all {
            self.whole = Some(now);
        }
        let last = std::mem::replace(&mut self.last, now);
        let is_due = |own: &Ending| match all {
            true => own.warn_from <= now,
            false => [own.warn_from, own.end]
                .iter()
                .any(|moment| last < *moment && *moment <= now),
        };
        endings.into_iter().filter(is_due).collect()
    }

    /// Something else is in force: everything is told again.
    pub fn begin_anew(&mut self) {
        self.whole = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_is_told_at_first_once_a_day_and_when_it_happens() {
        let ending = |end: i64, warn_from: i64| Ending {
            kind: "crl",
            name: "CN=x".to_owned(),
            serial: String::new(),
            file: PathBuf::from("/x"),
            end,
            warn_from,
        };
        let all = || {
            vec![
                ending(1_000, 900),
                ending(500_000, 1_500),
                ending(9_000_000, 8_000_000),
            ]
        };
        let mut told = EndingsTold::default();
        for (situation, now, ends) in [
            ("at the start, nothing near", 100, &[][..]),
            ("its time comes", 905, &[1_000]),
            ("said already", 950, &[]),
            ("over", 1_001, &[1_000]),
            ("another's time comes", 1_500, &[500_000]),
            ("nothing new", 2_000, &[]),
            ("the next day", 100 + DAY, &[1_000, 500_000]),
            ("and then not", 200 + DAY, &[]),
        ] {
            let found: Vec<i64> = told.due(all(), now).iter().map(|own| own.end).collect();
            assert_eq!(found, ends, "{situation}");
        }
        told.begin_anew();
        assert_eq!(told.due(all(), 300 + DAY).len(), 2, "after a reload");
    }
}
