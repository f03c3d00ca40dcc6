//! Looks after what changes and ends while the server runs: CRLs, OCSP responses, dates of certificates.

use std::time::Instant;

use jiff::Timestamp;
use log::{error, info, warn};

use crate::server::Server;
use crate::tls::EndingsTold;
use crate::transport::give_back;

/// What has been told so far.
#[derive(Default)]
pub(crate) struct Keeper {
    told: EndingsTold,
    /// Lists were exchanged at the last look; the old ones are freed at the next, when no handshake has them any more.
    exchanged: bool,
}

impl Keeper {
    /// Reads the files that have changed, puts in force what they hold, and tells of what ends. A file that is no good
    /// leaves in force what it held before.
    pub(crate) fn look(&mut self, server: &Server) {
        let started = Instant::now();
        let upkeep = server.upkeep();
        let kept = upkeep.look(now());
        if std::mem::replace(&mut self.exchanged, kept.crls_changed) {
            give_back();
        }
        for fault in &kept.faults {
            warn!("tls.file_kept {fault}");
        }
        if kept.staples_changed {
            info!("tls.staples_changed");
        }
        if kept.crls_changed {
            let lists = upkeep.crls();
            let entries: usize = lists.iter().map(|list| list.entries).sum();
            match server.crls_changed() {
                Ok(reloaded) => info!(
                    "tls.crls_changed lists={} entries={entries} generation={} after_ms={}",
                    lists.len(),
                    reloaded.generation,
                    started.elapsed().as_millis()
                ),
                Err(fault) => error!(
                    "tls.crls_half_changed {fault} new handshakes are held against the new CRLs all the same"
                ),
            }
        }
        self.tell_endings(server);
    }

    /// Other files are in force: what ends is told again.
    pub(crate) fn reloaded(&mut self, server: &Server) {
        self.told.begin_anew();
        self.tell_endings(server);
    }

    /// Tells of what ends soon or has ended, as often as is bearable.
    pub(crate) fn tell_endings(&mut self, server: &Server) {
        let now = now();
        for ending in self.told.due(server.upkeep().endings(), now) {
            let left = ending.end.saturating_sub(now);
            if left > 0 {
                warn!("tls.expires {ending} seconds={left} days={}", left / 86_400);
            } else {
                warn!(
                    "tls.expired {ending} seconds_ago={} days_ago={}",
                    left.saturating_neg(),
                    left.saturating_neg() / 86_400
                );
            }
        }
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}
