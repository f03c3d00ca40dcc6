//! Loading, whole or not at all: settings and files → one context for each listener and one for the client role. A
//! reload is the same call again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openssl::x509::X509;

use super::context::{self, Identities, Place, ServerContext};
use super::fault::{Faults, LoadFault};
use super::identity::{self, Identity};
use super::inventory::{CertificateRole, LoadedCertificate};
use super::issuers::issuer;
use super::own::Own;
use super::parameters::Parameters;
use super::revocation::Revocation;
use super::roots::OwnRoots;
use super::staple::Staples;
use super::store::{LegacyDirectory, TrustStore};
use super::upkeep::Upkeep;
use super::verify::now;
use super::{
    CertificateFiles, ClientContext, ClientTls, ClientVerification, ListenerTls, PassPhrase, Roots,
    TlsOptions, client, peer,
};
use crate::auth::Issuer;

/// The TLS side of all listeners.
#[derive(Debug)]
pub struct ServerTls;

/// What a successful load has to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Number of this load in the life of the process, from 1.
    pub generation: u64,
    /// What is not as it should be, though it serves.
    pub warnings: Vec<LoadFault>,
    /// What an operator may like to know.
    pub notes: Vec<String>,
    /// Every certificate in use: ours, then the anchors.
    pub certificates: Vec<LoadedCertificate>,
    /// The anchors, as rules about CAs name them.
    pub anchors: Vec<Issuer>,
}

/// Everything that settings and files gave.
#[derive(Debug)]
pub struct LoadedTls {
    /// One for each listener, in their order.
    pub listeners: Vec<ServerContext>,
    /// For connections to other domains.
    pub client: ClientContext,
    /// What there is to tell.
    pub report: Report,
    /// What is to be looked at from now on.
    pub upkeep: Upkeep,
}

static GENERATION: AtomicU64 = AtomicU64::new(0);

fn next_generation() -> u64 {
    GENERATION.fetch_add(1, Ordering::Relaxed).saturating_add(1)
}

/// Loads everything that `listeners` and the client role need, reading each file once.
///
/// # Errors
/// All faults that were found, warnings among them ([`LoadFault::is_error`] tells); then nothing was changed.
pub fn load(
    options: &TlsOptions,
    listeners: &[&ListenerTls],
    client: &ClientTls,
) -> Result<LoadedTls, Vec<LoadFault>> {
    let mut load = Load::start(options);
    let parameters = Parameters::parse(options, &mut load.faults);
    let generation = next_generation();
    let (listeners, own) = load.listeners(listeners, &parameters, generation);
    load.read_staples(&own);
    let client = load.client(client, &parameters, own, generation);
    load.check_crls();
    match client {
        Some(client) if !load.faults.any_error() => {
            let (report, upkeep) = load.report(generation);
            Ok(LoadedTls {
                listeners,
                client,
                report,
                upkeep,
            })
        }
        _ => Err(load.faults.found),
    }
}

impl ServerTls {
    /// Loads everything that `listeners` need and makes one context for each, in their order; for who connects to nobody.
    ///
    /// # Errors
    /// All faults that were found, warnings among them ([`LoadFault::is_error`] tells); then nothing was changed.
    pub fn load(
        options: &TlsOptions,
        listeners: &[&ListenerTls],
    ) -> Result<(Vec<ServerContext>, Report), Vec<LoadFault>> {
        let mut load = Load::start(options);
        let parameters = Parameters::parse(options, &mut load.faults);
        let generation = next_generation();
        let (contexts, own) = load.listeners(listeners, &parameters, generation);
        load.read_staples(&own);
        load.check_crls();
        if load.faults.any_error() {
            return Err(load.faults.found);
        }
        Ok((contexts, load.report(generation).0))
    }
}

/// A load under way.
pub(super) struct Load<'a> {
    options: &'a TlsOptions,
    directory: LegacyDirectory,
    pub(super) trust: Arc<TrustStore>,
    /// Anchors of the client role, where it has its own.
    client_trust: Option<TrustStore>,
    /// Anchors of listeners and domains that have their own.
    own_roots: OwnRoots,
    client_revocation: Option<Arc<Revocation>>,
    pub(super) faults: Faults,
    ours: Vec<LoadedCertificate>,
    staples: Arc<Staples>,
    now: i64,
}

/// How a fault in a certificate of ours counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The operator asked for this domain.
    Yes,
    /// It merely lies in the directory.
    IfGood,
}

impl<'a> Load<'a> {
    /// Loads the anchors.
    pub(super) fn start(options: &'a TlsOptions) -> Self {
        let now = now();
        let mut faults = Faults::default();
        let directory = LegacyDirectory::scan(options, &mut faults);
        let mut trust = TrustStore::load(options, &directory, now, &mut faults);
        let revocation = &options.revocation;
        let known = trust.certificates();
        trust.revocation = Revocation::load(&revocation.crls, revocation, known, now, &mut faults);
        faults.name_setting("CRLFile", &revocation.crls.files);
        faults.name_setting("CRLDirectory", &revocation.crls.directories);
        Self {
            options,
            directory,
            trust: Arc::new(trust),
            client_trust: None,
            own_roots: OwnRoots::default(),
            client_revocation: None,
            faults,
            ours: Vec::new(),
            staples: Arc::default(),
            now,
        }
    }

    /// Has anchors of a listener's own stand for those that all share.
    pub(super) fn take_roots(&mut self, roots: &Roots) {
        let revocation = self.trust.revocation.clone();
        let own = self
            .own_roots
            .load(roots, &revocation, self.now, &mut self.faults);
        if let Some(own) = own {
            self.trust = own;
        }
    }

    /// The contexts of listeners, and the certificates that are in them: those of their own domains first.
    fn listeners(
        &mut self,
        listeners: &[&ListenerTls],
        parameters: &Parameters,
        generation: u64,
    ) -> (Vec<ServerContext>, Vec<(String, Vec<Identity>)>) {
        let mut contexts = Vec::with_capacity(listeners.len());
        let (mut own, mut by_sni) = (Vec::new(), Vec::new());
        for (index, listener) in listeners.iter().enumerate() {
            let Some((domain, identities)) = self.identities(listener) else {
                continue;
            };
            self.check_trust(listener, &identities);
            own.push((domain.clone(), identities.own.clone()));
            by_sni.extend(identities.by_sni.iter().cloned());
            let place = Place {
                listener: index,
                generation,
            };
            match context::build(
                self.options,
                parameters,
                listener,
                domain,
                &identities,
                &self.trust,
                place,
            ) {
                Ok(context) => contexts.push(context),
                Err(fault) => self.faults.push(*fault),
            }
        }
        self.check_sni_roots(listeners, &by_sni);
        own.extend(by_sni);
        (contexts, own)
    }

    /// The context of the client role. It may show what listeners serve, and what else lies in the certificate directory.
    fn client(
        &mut self,
        client: &ClientTls,
        parameters: &Parameters,
        of_listeners: Vec<(String, Vec<Identity>)>,
        generation: u64,
    ) -> Option<ClientContext> {
        self.client_trust = TrustStore::of_client_role(client, self.now, &mut self.faults);
        let mut own: Vec<Own> = Vec::new();
        let in_directory = self.directory.domains();
        for (domain, identities) in of_listeners {
            if !own.iter().any(|known| known.domain == domain) {
                own.push(Own::new(domain, identities, &client.names));
            }
        }
        for domain in in_directory {
            if own.iter().any(|known| known.domain == domain) {
                continue;
            }
            let files = self.directory.files(&domain);
            let phrase = self.options.pass_phrase.as_ref();
            let identities = self.load_domain(&domain, &files, phrase, Wanted::IfGood);
            if !identities.is_empty() {
                own.push(Own::new(domain, identities, &client.names));
            }
        }
        let trust = self.client_trust.as_ref().unwrap_or(&self.trust);
        // The CRLs of the listeners count for this role too, unless it has its own.
        let revocation = match client.crls.is_empty() {
            true => self.trust.revocation.clone(),
            false => Revocation::load(
                &client.crls,
                &self.options.revocation,
                trust.certificates(),
                self.now,
                &mut self.faults,
            ),
        };
        let crls = &client.crls;
        self.faults
            .name_setting("TLSClientRoleCRLFile", &crls.files);
        self.faults
            .name_setting("TLSClientRoleCRLDirectory", &crls.directories);
        self.client_revocation.clone_from(&revocation);
        let trust = &TrustStore {
            anchors: trust.anchors.clone(),
            revocation,
        };
        if trust.anchors.is_empty() {
            self.faults.note(
                "there is no trust anchor for the servers of other domains, so that none is talked to over TLS; \
                 TLSClientRoleCAFile and TLSClientRoleCADirectory name some"
                    .to_owned(),
            );
        }
        match client::build(self.options, client, parameters, own, trust, generation) {
            Ok(context) => Some(context),
            Err(faults) => {
                for fault in faults {
                    self.faults.push(fault);
                }
                None
            }
        }
    }

    /// Names domains that have trust anchors of their own and are chosen by SNI nowhere.
    fn check_sni_roots(&mut self, listeners: &[&ListenerTls], by_sni: &[(String, Vec<Identity>)]) {
        let Some(listener) = listeners.first() else {
            return;
        };
        for (name, roots) in &listener.sni_roots {
            let name = lower_domain(name);
            if !by_sni.iter().any(|(known, _)| *known == name) {
                let fault = LoadFault::setting(
                    "TLSSniDomain<N>Name",
                    format!(
                        "{}: no listener shows a certificate of {name:?} to who asks for it (SNI)",
                        roots.setting
                    ),
                    "give the domain a certificate, or take these settings out; a listener's own domain has the anchors of \
                     the listener",
                );
                self.faults.push(fault.warning());
            }
        }
    }

    fn check_trust(&mut self, listener: &ListenerTls, identities: &Identities) {
        if listener.verification == ClientVerification::None {
            return;
        }
        let trust = identities.roots.as_deref().unwrap_or(&self.trust);
        let fault = LoadFault::setting(
            "TLSClientVerification",
            "there is no trust anchor, so every client certificate is refused",
            "set CADirectory or CAFile, or put root_cert_*.pem into CertificatePath",
        )
        .warning();
        if trust.anchors.is_empty() && !self.faults.found.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn identities(&mut self, listener: &ListenerTls) -> Option<(String, Identities)> {
        let domain = lower_domain(&listener.domain);
        if domain.is_empty() {
            self.faults.push(LoadFault::setting(
                "TLSDomainName",
                "a TLS port without a domain has no certificate and can serve nobody",
                "set TLSDomainName, or the TlsDomain of the transport",
            ));
            return None;
        }
        let phrase = listener
            .pass_phrase
            .as_ref()
            .or(self.options.pass_phrase.as_ref());
        let files = if listener.certificates.is_empty() {
            self.directory.files(&domain)
        } else {
            listener.certificates.clone()
        };
        let own = self.load_domain(&domain, &files, phrase, Wanted::Yes);

        let (names, wanted) = match &listener.sni_domains {
            Some(names) => (names.iter().map(|n| lower_domain(n)).collect(), Wanted::Yes),
            None => (self.directory.domains(), Wanted::IfGood),
        };
        let mut by_sni: Vec<(String, Vec<Identity>)> = Vec::new();
        for name in names {
            if name == domain || name.is_empty() || by_sni.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let files = self.directory.files(&name);
            let phrase = self.options.pass_phrase.as_ref();
            let identities = self.load_domain(&name, &files, phrase, wanted);
            if !identities.is_empty() {
                by_sni.push((name, identities));
            }
        }
        let revocation = self.trust.revocation.clone();
        let roots = self
            .own_roots
            .load(&listener.roots, &revocation, self.now, &mut self.faults);
        let mut sni_roots = HashMap::new();
        for (name, roots) in &listener.sni_roots {
            let name = lower_domain(name);
            if by_sni.iter().any(|(known, _)| *known == name)
                && let Some(trust) =
                    self.own_roots
                        .load(roots, &revocation, self.now, &mut self.faults)
            {
                sni_roots.insert(name, trust);
            }
        }
        let identities = Identities {
            own,
            by_sni,
            roots,
            sni_roots,
            staples: Arc::clone(&self.staples),
        };
        (!identities.own.is_empty()).then_some((domain, identities))
    }

    fn load_domain(
        &mut self,
        domain: &str,
        files: &[CertificateFiles],
        phrase: Option<&PassPhrase>,
        wanted: Wanted,
    ) -> Vec<Identity> {
        let mut loaded: Vec<Identity> = Vec::new();
        for pair in files {
            let mut faults = Faults::default();
            let identity = identity::load(pair, domain, phrase, &self.trust, self.now, &mut faults);
            for fault in faults.found {
                self.faults.push(match wanted {
                    Wanted::Yes => fault,
                    Wanted::IfGood => fault.warning(),
                });
            }
            for note in faults.notes {
                self.faults.note(note);
            }
            let Some(identity) = identity else { continue };
            if let Some(first) = loaded
                .iter()
                .find(|known| known.key.id() == identity.key.id())
            {
                self.faults.push(
                    LoadFault::file(
                        &pair.chain,
                        format!(
                            "{domain:?} has another certificate with the same type of key, {}; this one is not used",
                            first.file.to_string_lossy().escape_debug()
                        ),
                        "keep one RSA and one ECDSA certificate for a domain",
                    )
                    .warning(),
                );
                continue;
            }
            self.list(domain, &identity);
            loaded.push(identity);
        }
        loaded
    }

    fn list(&mut self, domain: &str, identity: &Identity) {
        let file = &identity.file;
        let server = CertificateRole::Server {
            domain: domain.to_owned(),
        };
        let leaf = LoadedCertificate::new(server, file, &identity.leaf, self.now);
        if self.ours.contains(&leaf) {
            return;
        }
        self.ours.push(leaf);
        for certificate in &identity.intermediates {
            let role = CertificateRole::Intermediate {
                domain: domain.to_owned(),
            };
            let entry = LoadedCertificate::new(role, file, certificate, self.now);
            self.ours.push(entry);
        }
    }

    /// OCSP responses about these certificates: those that settings name, and those that lie beside them.
    fn read_staples(&mut self, own: &[(String, Vec<Identity>)]) {
        let domains = own.iter().map(|(domain, _)| domain.as_str());
        let beside = domains.flat_map(|domain| self.directory.staples(domain));
        let mut anchors = self.trust.certificates();
        let identities = own.iter().flat_map(|(_, identities)| identities);
        // Our certificate may be of a CA that we trust nobody of, and its chain file may say so.
        anchors.extend(identities.clone().flat_map(|own| own.intermediates.clone()));
        self.staples.fill(
            &self.options.revocation.staples,
            beside.collect(),
            identities,
            &anchors,
            &mut self.faults,
        );
    }

    /// CA certificates that may have signed a CRL.
    fn authorities(&self) -> Vec<X509> {
        let mut known = self.trust.certificates();
        let others = self.own_roots.all().chain(&self.client_trust);
        known.extend(others.flat_map(TrustStore::certificates));
        known
    }

    fn revocations(&self) -> Vec<Arc<Revocation>> {
        let mut found: Vec<Arc<Revocation>> = Vec::new();
        for revocation in [&self.trust.revocation, &self.client_revocation] {
            let revocation = revocation.iter();
            let new = revocation.filter(|own| !found.iter().any(|known| Arc::ptr_eq(known, own)));
            let new: Vec<_> = new.cloned().collect();
            found.extend(new);
        }
        found
    }

    /// Who has signed the CRLs, now that every trust anchor is known.
    fn check_crls(&mut self) {
        let known = self.authorities();
        for revocation in self.revocations() {
            revocation.check_signatures(&known, &mut self.faults);
        }
        if self.faults.any_error() {
            // A list that could not be read is not missing for anybody who mends that.
            return;
        }
        let of_clients = self.trust.revocation.as_ref();
        if let Some(revocation) = of_clients {
            let stores = self.own_roots.all().flat_map(TrustStore::certificates);
            let anchors: Vec<X509> = self
                .trust
                .certificates()
                .into_iter()
                .chain(stores)
                .collect();
            revocation.check_anchors("CRLFile", &anchors, &mut self.faults);
        }
        if let Some(revocation) = &self.client_revocation {
            let anchors = self
                .client_trust
                .as_ref()
                .unwrap_or(&self.trust)
                .certificates();
            let setting = match of_clients.is_some_and(|own| Arc::ptr_eq(own, revocation)) {
                true => "CRLFile",
                false => "TLSClientRoleCRLFile",
            };
            revocation.check_anchors(setting, &anchors, &mut self.faults);
        }
    }

    fn report(self, generation: u64) -> (Report, Upkeep) {
        let now = self.now;
        let (revocations, known) = (self.revocations(), self.authorities());
        let mut certificates = self.ours;
        let mut anchors = Vec::new();
        let mut list = |role: CertificateRole, trust: &TrustStore| {
            anchors.extend(trust.anchors.iter().filter_map(|anchor| {
                let fingerprint = peer::fingerprint(&anchor.certificate).ok()?;
                Some(issuer(&anchor.certificate, fingerprint))
            }));
            certificates.extend(trust.anchors.iter().map(|anchor| {
                LoadedCertificate::new(role.clone(), &anchor.file, &anchor.certificate, now)
            }));
        };
        list(CertificateRole::Anchor, &self.trust);
        for trust in self.own_roots.all() {
            list(CertificateRole::ListenerAnchor, trust);
        }
        if let Some(trust) = &self.client_trust {
            list(CertificateRole::ServerAnchor, trust);
        }
        let upkeep = Upkeep {
            revocations,
            staples: self.staples,
            known,
            certificates: certificates.clone(),
            warning_days: self.options.revocation.warning_days,
            interval: self.options.revocation.reload_interval,
            told: AtomicU64::new(0),
        };
        upkeep.told.store(upkeep.generation(), Ordering::Relaxed);
        let report = Report {
            generation,
            warnings: self.faults.found,
            notes: self.faults.notes,
            certificates,
            anchors,
        };
        (report, upkeep)
    }
}

fn lower_domain(domain: &str) -> String {
    let domain = domain.trim().to_ascii_lowercase();
    domain.strip_suffix('.').unwrap_or(&domain).to_owned()
}
