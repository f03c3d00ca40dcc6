//! Who may connect at all: total, per source, and half-open handshakes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::IpNetwork;

/// Limits, of [`super::EngineOptions`].
#[derive(Debug, Clone)]
pub(crate) struct AdmissionLimits {
    pub(crate) total: usize,
    pub(crate) per_source: usize,
    pub(crate) handshakes: usize,
    pub(crate) exempt: Vec<IpNetwork>,
}

/// Counts of what is admitted. Shared by acceptors and workers.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    total: AtomicUsize,
    handshakes: AtomicUsize,
    sources: Mutex<HashMap<IpAddr, usize>>,
}

/// Why a connection is not admitted; named as the setting that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    Total,
    PerSource,
    Handshakes,
}

impl NotAdmitted {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Total => "MaximumConnections",
            Self::PerSource => "MaximumConnectionsPerSource",
            Self::Handshakes => "MaximumHandshakes",
        }
    }
}

/// One admitted connection; gives its places back when dropped.
#[derive(Debug)]
pub(crate) struct Admit {
    admission: Arc<Admission>,
    source: Option<IpAddr>,
    half_open: bool,
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            total: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            sources: Mutex::new(HashMap::new()),
        })
    }

    /// Takes a place for a connection from `source`, half-open until [`Admit::opened`].
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Result<Admit, NotAdmitted> {
        let mut place = Admit {
            admission: Arc::clone(self),
            source: None,
            half_open: false,
        };
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.limits.total {
            return Err(NotAdmitted::Total);
        }
        if self.handshakes.fetch_add(1, Ordering::Relaxed) >= self.limits.handshakes {
            self.handshakes.fetch_sub(1, Ordering::Relaxed);
            return Err(NotAdmitted::Handshakes);
        }
        place.half_open = true;
        place.count_source(source)?;
        Ok(place)
    }

    /// Takes a place for a connection that we open.
    pub(crate) fn admit_own(self: &Arc<Self>) -> Result<Admit, NotAdmitted> {
        let place = Admit {
            admission: Arc::clone(self),
            source: None,
            half_open: false,
        };
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.limits.total {
            return Err(NotAdmitted::Total);
        }
        Ok(place)
    }

    /// Connections admitted now.
    pub(crate) fn connections(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

impl Admit {
    /// Counts the connection toward `source` instead of the source before: a PROXY header has said who it is.
    pub(crate) fn count_source(&mut self, source: IpAddr) -> Result<(), NotAdmitted> {
        self.leave_source();
        let limits = &self.admission.limits;
        if limits.exempt.iter().any(|network| network.contains(source)) {
            return Ok(());
        }
        let source = counted_address(source);
        let mut sources = self
            .admission
            .sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_insert(0);
        if *count >= limits.per_source {
            return Err(NotAdmitted::PerSource);
        }
        *count += 1;
        self.source = Some(source);
        Ok(())
    }

    /// The handshake is over.
    pub(crate) fn opened(&mut self) {
        if std::mem::take(&mut self.half_open) {
            self.admission.handshakes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn leave_source(&mut self) {
        let Some(source) = self.source.take() else {
            return;
        };
        let mut sources = self
            .admission
            .sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&source);
                if sources.capacity() > 1024 && sources.len() < sources.capacity() / 4 {
                    sources.shrink_to_fit();
                }
            }
        }
    }
}

impl Drop for Admit {
    fn drop(&mut self) {
        self.opened();
        self.leave_source();
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An IPv6 host owns at least a /64, so that is what counts as one source.
fn counted_address(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn limits(total: usize, per_source: usize, handshakes: usize) -> AdmissionLimits {
        AdmissionLimits {
            total,
            per_source,
            handshakes,
            exempt: Vec::new(),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_limit_refuses_and_a_closed_connection_makes_room() {
        for (situation, limits, refused) in [
            ("all connections taken", limits(2, 9, 9), NotAdmitted::Total),
            (
                "this source has its share",
                limits(9, 2, 9),
                NotAdmitted::PerSource,
            ),
            (
                "too many half-open handshakes",
                limits(9, 9, 2),
                NotAdmitted::Handshakes,
            ),
        ] {
            let admission = Admission::new(limits);
            let first = admission.admit(ip("192.0.2.1")).unwrap();
            let _second = admission.admit(ip("192.0.2.1")).unwrap();
            assert_eq!(
                admission.admit(ip("192.0.2.1")).unwrap_err(),
                refused,
                "{situation}"
            );
            drop(first);
            assert!(admission.admit(ip("192.0.2.1")).is_ok(), "{situation}");
            assert_eq!(admission.connections(), 1, "{situation}");
        }
    }

    #[test]
    fn an_exempt_source_has_no_share() {
        let mut limits = limits(9, 1, 9);
        limits.exempt.push(IpNetwork {
            address: ip("192.0.2.0"),
            prefix: 24,
        });
        let admission = Admission::new(limits);
        let _first = admission.admit(ip("192.0.2.1")).unwrap();
        assert!(admission.admit(ip("::ffff:192.0.2.1")).is_ok());
    }

    #[test]
    fn an_exempt_ipv6_address_is_that_address_and_not_its_network() {
        let mut limits = limits(9, 1, 9);
        limits.exempt.push(IpNetwork {
            address: ip("2001:db8::5"),
            prefix: 128,
        });
        let admission = Admission::new(limits);
        let _first = admission.admit(ip("2001:db8::5")).unwrap();
        let _second = admission.admit(ip("2001:db8::5")).unwrap();
        let _third = admission.admit(ip("2001:db8::6")).unwrap();
        assert_eq!(
            admission.admit(ip("2001:db8::7")).unwrap_err(),
            NotAdmitted::PerSource
        );
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let admission = Admission::new(limits(9, 1, 9));
        let _first = admission.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(
            admission.admit(ip("2001:db8::2")).unwrap_err(),
            NotAdmitted::PerSource
        );
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn a_proxy_header_moves_the_connection_to_its_real_source() {
        let admission = Admission::new(limits(9, 1, 9));
        let mut first = admission.admit(ip("192.0.2.1")).unwrap();
        first.count_source(ip("198.51.100.7")).unwrap();
        assert!(admission.admit(ip("192.0.2.1")).is_ok());
        assert_eq!(
            admission.admit(ip("198.51.100.7")).unwrap_err(),
            NotAdmitted::PerSource
        );
    }
}
