//! Revoked certificates by CRLs (RFC 5280 §6.3): the lists in force for one role, and what a verification makes of them.
//!
//! OpenSSL finds the list of each certificate in the chain, checks its signature, dates and scope, and looks the
//! certificate up. What is ours: the lists are parsed once and shared by all contexts, they are exchanged under contexts
//! that live on, and what a missing or stale list means is the operator's choice. Without that choice it is a refusal.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use foreign_types::ForeignTypeRef as _;
use log::warn;
use openssl::error::ErrorStack;
use openssl::x509::{X509, X509CrlRef, X509Ref, X509StoreContextRef};
use openssl_sys as sys;

use super::crl::{Crl, Revoked, Signature};
use super::crl_files::{self, Look, Source};
use super::fault::{Faults, LoadFault};
use super::ffi::{self, CrlStack};
use super::upkeep::LoadedCrl;
use super::{CrlCheck, CrlFiles, RevocationOptions, WithoutCrl, peer};

/// How long before the earliest nextUpdate files are read that do not seem to have changed.
const BEFORE_NEXT_UPDATE: i64 = 60;

/// Most trust anchors without a list that are named.
const MOST_ANCHORS: usize = 16;

/// The lists of one moment.
pub(super) struct CrlSet {
    /// Counts up with each change in the life of the process, from 1.
    pub(super) generation: u64,
    lists: Vec<Arc<Crl>>,
    /// By the address of OpenSSL's structure, which is what a verification shows us.
    by_address: HashMap<usize, Arc<Crl>>,
    stack: CrlStack,
}

impl CrlSet {
    fn new(sources: &[Source]) -> Result<Self, ErrorStack> {
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        let lists: Vec<Arc<Crl>> = sources.iter().flat_map(|s| s.lists.clone()).collect();
        let by_address = lists
            .iter()
            .map(|list| (address(list.list()), Arc::clone(list)));
        Ok(Self {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed).saturating_add(1),
            by_address: by_address.collect(),
            stack: CrlStack::new(lists.iter().map(|list| list.list()))?,
            lists,
        })
    }

    fn is_of(&self, sources: &[Source]) -> bool {
        let now = sources.iter().flat_map(|source| &source.lists);
        now.map(Arc::as_ptr).eq(self.lists.iter().map(Arc::as_ptr))
    }
}

fn address(list: &X509CrlRef) -> usize {
    list.as_ptr().addr()
}

/// What the operator has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CrlPolicy {
    pub(super) check: CrlCheck,
    pub(super) missing: WithoutCrl,
    pub(super) stale: WithoutCrl,
}

/// The CRLs of one role. Loads with the same settings share one, so that connections of an old load hold no old lists.
pub(super) struct Revocation {
    files: CrlFiles,
    policy: CrlPolicy,
    interval: i64,
    current: ArcSwap<CrlSet>,
    sources: Mutex<Vec<Source>>,
    /// CA certificates that may have signed lists.
    known: Mutex<Vec<X509>>,
    /// The lists before, so that not a worker has to free a million entries.
    retired: Mutex<Option<Arc<CrlSet>>>,
    /// When all files were read, seconds since 1970-01-01 UTC.
    read_at: AtomicI64,
    /// When somebody last passed without a list, and how many since then were not told of.
    told: AtomicI64,
    untold: AtomicU64,
}

/// Every one that is in use, so that a reload finds the lists that are parsed already.
static LIVE: Mutex<Vec<Weak<Revocation>>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each holds whole values at any time, also after a panic elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Revocation {
    /// Loads the lists of a role; `None` if nothing is to be checked, or after a fault.
    pub(super) fn load(
        files: &CrlFiles,
        options: &RevocationOptions,
        known: Vec<X509>,
        now: i64,
        faults: &mut Faults,
    ) -> Option<Arc<Self>> {
        let policy = CrlPolicy {
            check: options.check,
            missing: options.missing,
            stale: options.stale,
        };
        if files.is_empty() || policy.check == CrlCheck::None {
            return None;
        }
        let mut live = locked(&LIVE);
        live.retain(|one| one.strong_count() > 0);
        let all: Vec<Arc<Self>> = live.iter().filter_map(Weak::upgrade).collect();
        let interval = i64::from(options.reload_interval);
        let same = all
            .iter()
            .find(|one| one.files == *files && one.policy == policy && one.interval == interval);
        if let Some(same) = same {
            *locked(&same.known) = known;
            same.refresh(Look::Inside, now, faults);
            return Some(Arc::clone(same));
        }
        let before: Vec<Source> = all
            .iter()
            .flat_map(|one| locked(&one.sources).clone())
            .collect();
        let sources = crl_files::read(files, &before, Look::Inside, &known, faults);
        let set = match CrlSet::new(&sources) {
            Ok(set) => set,
            Err(e) => {
                faults.push(LoadFault::setting(
                    "CRLFile",
                    format!(
                        "OpenSSL does not take the CRLs ({})",
                        super::pem::first_reason(&e)
                    ),
                    "get them again",
                ));
                return None;
            }
        };
        let own = Arc::new(Self {
            files: files.clone(),
            policy,
            interval,
            current: ArcSwap::from_pointee(set),
            sources: Mutex::new(sources),
            known: Mutex::new(known),
            retired: Mutex::default(),
            read_at: AtomicI64::new(now),
            told: AtomicI64::new(0),
            untold: AtomicU64::new(0),
        });
        live.push(Arc::downgrade(&own));
        Some(own)
    }

    /// Reads again what has changed; whether other lists are in force now.
    pub(super) fn refresh(&self, look: Look, now: i64, faults: &mut Faults) -> bool {
        drop(locked(&self.retired).take());
        if look == Look::Inside {
            self.read_at.store(now, Ordering::Relaxed);
        }
        let before = locked(&self.sources).clone();
        let known = locked(&self.known).clone();
        let sources = crl_files::read(&self.files, &before, look, &known, faults);
        let changed = !self.current.load().is_of(&sources);
        if changed {
            match CrlSet::new(&sources) {
                Ok(set) => {
                    let old = self.current.swap(Arc::new(set));
                    *locked(&self.retired) = Some(old);
                }
                // Looked at again at the next tick: the sources stay as they were.
                Err(_) => return false,
            }
        }
        *locked(&self.sources) = sources;
        changed
    }

    /// How to look at the files now: inside once in each interval, and just before a list ends.
    pub(super) fn due(&self, now: i64) -> Look {
        let read_at = self.read_at.load(Ordering::Relaxed);
        let set = self.current.load();
        let ends = set.lists.iter().filter_map(|list| list.next_update);
        let about_to_end = ends
            .map(|end| end.saturating_sub(BEFORE_NEXT_UPDATE))
            .any(|moment| read_at < moment && moment <= now);
        match about_to_end || now >= read_at.saturating_add(self.interval) {
            true => Look::Inside,
            false => Look::AtStamps,
        }
    }

    /// The lists in force, as plain values.
    pub(super) fn loaded(&self) -> Vec<LoadedCrl> {
        let sources = locked(&self.sources);
        let each = sources
            .iter()
            .flat_map(|source| source.lists.iter().map(|list| (source.path(), list)));
        each.map(|(path, list)| LoadedCrl {
            issuer: list.issuer.clone(),
            entries: list.entries,
            is_delta: list.is_delta,
            this_update: list.this_update,
            next_update: list.next_update,
            file: path.to_owned(),
        })
        .collect()
    }

    /// Which lists are in force; counts up in the life of the process.
    pub(super) fn generation(&self) -> u64 {
        self.current.load().generation
    }

    /// Says so of each list that none of these CAs has signed.
    pub(super) fn check_signatures(&self, known: &[X509], faults: &mut Faults) {
        for source in locked(&self.sources).iter() {
            for list in &source.lists {
                if list.signature(known.iter()) == Signature::OfNobodyKnown {
                    faults.push(
                        LoadFault::file(
                            source.path(),
                            format!("the CRL of {:?} is signed by nobody whom we trust", list.issuer),
                            "it counts only for peers that send that CA's certificate along, below a trust anchor",
                        )
                        .warning(),
                    );
                }
            }
        }
    }

    /// Says so of each of these trust anchors that has no list where it has to have one.
    pub(super) fn check_anchors(
        &self,
        setting: &'static str,
        anchors: &[X509],
        faults: &mut Faults,
    ) {
        if self.policy.check != CrlCheck::Chain || self.policy.missing != WithoutCrl::Refuse {
            return;
        }
        let set = self.current.load();
        let mut without: Vec<String> = anchors
            .iter()
            .map(|anchor| peer::name_line(anchor.subject_name()))
            .filter(|name| {
                !set.lists
                    .iter()
                    .any(|list| list.issuer == *name && !list.is_delta)
            })
            .collect();
        without.sort_unstable();
        without.dedup();
        let more = without.len().saturating_sub(MOST_ANCHORS);
        let mend = "name its CRL, or take the CA out of the trust anchors";
        let mut tell = |what: String| {
            let reason = format!("no CRL of {what}: all certificates of it will be refused");
            faults.push(LoadFault::setting(setting, reason, mend).warning());
        };
        for name in without.iter().take(MOST_ANCHORS) {
            tell(format!("the trust anchor {name:?}"));
        }
        if more > 0 {
            tell(format!("each of {more} more trust anchors"));
        }
    }

    /// Verifies with the lists in force.
    pub(super) fn verify(&self, context: &mut X509StoreContextRef, now: i64) -> Outcome {
        let set = self.current.load();
        let watch = Watch::new(&set, self.policy, now);
        let whole_chain = self.policy.check == CrlCheck::Chain;
        let good = ffi::verify_with_crls(context, &set.stack, whole_chain, &watch);
        let code = context.error().as_raw();
        let revoked = match (code, context.current_cert()) {
            (sys::X509_V_ERR_CERT_REVOKED, Some(certificate)) => watch.revoked(certificate),
            _ => None,
        };
        let passed = watch.passed.into_inner();
        if good {
            self.tell(context, &passed, now);
        }
        Outcome {
            good,
            revoked,
            generation: set.generation,
            until: match passed.is_empty() {
                true => watch.until.get(),
                false => None,
            },
        }
    }

    /// Somebody was let in by a weakening that the operator has chosen: at most a line a second.
    fn tell(&self, context: &X509StoreContextRef, passed: &[i32], now: i64) {
        let Some(code) = passed.first() else {
            return;
        };
        if self.told.swap(now, Ordering::Relaxed) == now {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let setting = match *code {
            sys::X509_V_ERR_CRL_HAS_EXPIRED => "CRLStale",
            _ => "CRLMissing",
        };
        let leaf = ffi::presented_leaf(context);
        warn!(
            "tls.unchecked subject={:?} serial={} issuer={:?} reason={:?} allowed_by={setting} others={}",
            leaf.map(|leaf| peer::name_line(leaf.subject_name()))
                .unwrap_or_default(),
            leaf.map(peer::serial).unwrap_or_default(),
            leaf.map(|leaf| peer::name_line(leaf.issuer_name()))
                .unwrap_or_default(),
            ffi::verify_result(*code).error_string(),
            self.untold.swap(0, Ordering::Relaxed),
        );
    }
}

/// What came of a verification.
pub(super) struct Outcome {
    pub(super) good: bool,
    /// What the list says of the certificate that is revoked.
    pub(super) revoked: Option<Revoked>,
    /// Which lists it was.
    pub(super) generation: u64,
    /// Until when it holds, seconds since 1970-01-01 UTC; `None` if it must not be remembered at all.
    pub(super) until: Option<i64>,
}

/// What is known of a list and its issuer before OpenSSL looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The list is good.
    Good,
    /// The issuer, or a CA above it, is not signed by whom it names.
    Forged,
    Nothing,
}

/// What one verification does with the lists; OpenSSL's callbacks report to it.
pub(super) struct Watch<'a> {
    set: &'a CrlSet,
    policy: CrlPolicy,
    now: i64,
    /// Earliest nextUpdate of the lists used so far.
    until: Cell<Option<i64>>,
    /// Faults that the operator forgives.
    passed: RefCell<Vec<i32>>,
    last: RefCell<Option<Arc<Crl>>>,
    /// The CA certificate whose signature on `last` OpenSSL is about to check, if nothing else is to be said of the list.
    issuer: Cell<Option<[u8; 32]>>,
}

impl<'a> Watch<'a> {
    fn new(set: &'a CrlSet, policy: CrlPolicy, now: i64) -> Self {
        Self {
            set,
            policy,
            now,
            until: Cell::new(None),
            passed: RefCell::default(),
            last: RefCell::default(),
            issuer: Cell::new(None),
        }
    }

    /// Whether the verification may go on after this fault (a number of x509_vfy.h).
    pub(super) fn forgives(&self, code: i32) -> bool {
        let forgiven = match code {
            sys::X509_V_ERR_UNABLE_TO_GET_CRL | sys::X509_V_ERR_DIFFERENT_CRL_SCOPE => {
                self.policy.missing == WithoutCrl::Warn
            }
            sys::X509_V_ERR_CRL_HAS_EXPIRED => self.policy.stale == WithoutCrl::Warn,
            _ => false,
        };
        if forgiven {
            self.passed.borrow_mut().push(code);
        }
        forgiven
    }

    /// A list is about to be checked, as one of this issuer.
    pub(super) fn uses(
        &self,
        list: &X509CrlRef,
        issuer: Option<&X509Ref>,
        context: &X509StoreContextRef,
    ) -> Known {
        self.issuer.set(None);
        let list = self.set.by_address.get(&address(list)).cloned();
        self.last.replace(list.clone());
        let Some(list) = list else {
            return Known::Nothing;
        };
        let end = list.next_update.unwrap_or(i64::MAX);
        self.until
            .set(Some(self.until.get().map_or(end, |until| until.min(end))));
        let fingerprint = issuer.and_then(|issuer| peer::fingerprint(issuer).ok());
        let Some(fingerprint) = fingerprint else {
            return Known::Nothing;
        };
        // The issuer of the list has to be that of the certificate, and so be verified with the chain itself.
        let Some(chain) = context.chain() else {
            return Known::Nothing;
        };
        let root = chain.len().saturating_sub(1);
        let at = usize::try_from(context.error_depth()).unwrap_or(root);
        let above = at.saturating_add(1).min(root);
        let found = chain.get(above).and_then(|ca| peer::fingerprint(ca).ok());
        if found != Some(fingerprint) {
            return Known::Nothing;
        }
        if list.is_known_good(&fingerprint, self.now) {
            return Known::Good;
        }
        // OpenSSL looks at signatures in the chain last. Whoever sends a CA of his own making under the name of one that
        // has a long list must not have us work through the list for it.
        let is_signed = |below: usize| {
            let (Some(ca), Some(issuer)) = (chain.get(below), chain.get(below + 1)) else {
                return false;
            };
            issuer
                .public_key()
                .and_then(|key| ca.verify(&key))
                .unwrap_or(false)
        };
        if !(above..root).all(is_signed) {
            return Known::Forged;
        }
        self.issuer.set(Some(fingerprint));
        Known::Nothing
    }

    /// OpenSSL has found that list good.
    pub(super) fn checked(&self) {
        if let (Some(list), Some(issuer)) = (&*self.last.borrow(), self.issuer.take()) {
            list.is_signed_by(issuer);
        }
    }

    fn revoked(&self, certificate: &X509Ref) -> Option<Revoked> {
        self.set.lists.iter().find_map(|list| {
            let same = certificate
                .issuer_name()
                .try_cmp(list.list().issuer_name())
                .is_ok_and(|order| order.is_eq());
            same.then(|| list.revoked(certificate)).flatten()
        })
    }
}
