//! Composition root: configuration → rooms → threads; reload and drain.

use std::hash::RandomState;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use crate::admin::ControlOptions;
use crate::auth::{
    AuthOptions, CaRights, Check, Digest, DigestMemory, ListenerPlace, MappingFault, Mappings,
    RightsFault, Rules, SealFault, Sealer, Stranger, TokenSecret, Unavailable,
};
use crate::config::{self, ConfigError, Configuration, NoteClass, Origin, Override};
use crate::data::{self, Callout, CalloutFault, Data, Delivery, Tables};
use crate::in_force::{Difference, InForce};
use crate::logging::LoggingOptions;
use crate::mappings_file::{self, FileMark, Follower, Look};
use crate::process::ProcessOptions;
use crate::proxy::Policy;
use crate::proxy::relay::{RelayKeys, RelayPolicy};
use crate::registrar::Location;
use crate::resolve::{self, Resolver};
use crate::store::{self, FilterAction, Record, StoreOptions, Table};
use crate::tls::{self, ClientContext, LoadFault, LoadedTls, Report, ServerContext, Upkeep};
use crate::transport::{self, Engine, EngineOptions, ListenerOptions, Listeners, Snapshot};

/// One reason why the server does not start, or a reload does not happen.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The configuration file or the command line.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A certificate, a key, a trust anchor or a TLS setting.
    #[error("{0}")]
    Tls(Box<LoadFault>),
    /// A fault of the file that a setting names, with the place where it was set.
    #[error("{at}: {fault}")]
    Placed {
        /// Where.
        at: Origin,
        /// The fault.
        fault: Box<Fault>,
    },
    /// The mappings file cannot be read.
    #[error("CommonNameMappings = {}: cannot read this file: {source}", path.display())]
    MappingsUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The mappings file has changed, and no mapping is left in it.
    #[error(
        "CommonNameMappings = {}: no mapping left; SIGHUP puts it in force, and certificates then have what the table of TLS \
         peer identities gives them",
        path.display()
    )]
    MappingsEmptied {
        /// The file.
        path: PathBuf,
    },
    /// The file of rules for CAs cannot be read.
    #[error("CARights = {}: cannot read this file: {source}", path.display())]
    RightsUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of that file.
    #[error("{0}")]
    Rights(RightsFault),
    /// A line of the mappings file.
    #[error("{0}")]
    Mapping(MappingFault),
    /// Whom to ask about identities.
    #[error("{0}")]
    Callout(#[from] CalloutFault),
    /// The system's OpenSSL.
    #[error("{0}")]
    Seal(#[from] SealFault),
    /// DNS.
    #[error("{0}")]
    Resolve(#[from] resolve::StartError),
    /// A store.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// The users cannot be asked for.
    #[error("{0}; users are asked for by nearly every request (conf/sql has repro's tables)")]
    Users(store::Error),
    /// A listener or a thread.
    #[error("{0}")]
    Transport(#[from] transport::Error),
    /// The listeners are not what they were; they are opened once.
    #[error("the listeners changed: restart the server to open other ports or addresses")]
    ListenersChanged,
}

impl Fault {
    /// The setting that names the file which it is about.
    fn setting(&self) -> Option<&'static str> {
        match self {
            Self::MappingsUnreadable { .. } => Some("CommonNameMappings"),
            Self::RightsUnreadable { .. } => Some("CARights"),
            Self::Callout(fault) => Some(fault.setting()),
            Self::Tls(fault) => fault.setting.filter(|_| fault.file.is_some()),
            _ => None,
        }
    }

    fn placed(self, path: &Path, overrides: &[Override]) -> Self {
        let at = self
            .setting()
            .map(|name| config::place(path, overrides, name));
        match at {
            None | Some(Origin::Default) => self,
            Some(at) => Self::Placed {
                at,
                fault: Box::new(self),
            },
        }
    }
}

/// A reload that was done.
pub struct Reloaded {
    /// Number of what is in force now, from 1.
    pub generation: u64,
    /// What an operator has to know about it.
    pub notes: Vec<String>,
    /// Faults of files of which what was read before stays in force.
    pub(crate) kept: Vec<String>,
    /// What is in force now and was not before, and the other way round.
    pub(crate) difference: Difference,
}

/// A mappings file that has been put in force.
pub struct MappingsReloaded {
    /// Number of what is in force now.
    pub generation: u64,
    /// Number of mappings.
    pub entries: usize,
    /// Its lines that are not used.
    pub unused: Vec<MappingFault>,
}

/// What the stores gave: what workers take their decisions by, and what an operator has to know.
pub struct Composed {
    /// What workers take their decisions by.
    pub snapshot: Snapshot,
    /// Sentences about records that cannot be used.
    pub notes: Vec<String>,
    /// Domains that are ours, those of the store among them.
    pub domains: Vec<String>,
    /// The tables.
    pub tables: Tables,
}

/// What the files say: configuration, certificates, mappings.
pub struct Files {
    /// The configuration.
    pub configuration: Configuration,
    /// What the certificates had to tell.
    pub report: Report,
    /// For connections to other domains.
    pub client_role: Arc<ClientContext>,
    /// Lines of the mappings file that are not used, because a setting allows to go on without them.
    pub mapping_faults: Vec<MappingFault>,
    /// What is to be looked at from now on.
    pub upkeep: Arc<Upkeep>,
    mappings: Arc<Mappings>,
    /// What the mappings file was when it was read.
    mappings_seen: Option<FileMark>,
    callout: Option<Arc<Callout>>,
    rights: Arc<CaRights>,
    tls: Arc<Vec<Option<ServerContext>>>,
    checks: Vec<Arc<dyn Check>>,
    keys: RelayKeys,
    digest: Arc<Digest>,
}

/// Most lines of the rules for CAs that are told to name no CA of ours.
const MOST_STRANGERS: usize = 16;

/// What this process knows its own by, whatever is loaded anew.
struct Process {
    secret: TokenSecret,
    loops: RandomState,
    /// Nonce counts stay spent, and failures counted, over a reload.
    digest: Arc<DigestMemory>,
}

/// Made once.
fn process() -> Result<&'static Process, SealFault> {
    static PROCESS: OnceLock<Process> = OnceLock::new();
    if let Some(process) = PROCESS.get() {
        return Ok(process);
    }
    let process = Process {
        secret: TokenSecret::random()?,
        loops: RandomState::new(),
        digest: Arc::new(DigestMemory::new(seconds_since_1970())?),
    };
    Ok(PROCESS.get_or_init(|| process))
}

fn seconds_since_1970() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The keys of this process under these settings, for what is relayed and for digest.
fn keys(auth: &AuthOptions) -> Result<(RelayKeys, Arc<Digest>), SealFault> {
    let process = process()?;
    let sealer = Sealer::new(&auth.dialog_token_secrets, &process.secret)?;
    let relay = RelayKeys::new(sealer, process.loops.clone());
    let (sealer, memory) = (Arc::clone(&relay.sealer), Arc::clone(&process.digest));
    let digest = Digest::new(auth.digest.clone(), sealer, memory);
    Ok((relay, Arc::new(digest)))
}

impl Files {
    /// Reads them, and serves nothing.
    ///
    /// # Errors
    /// Every fault that was found; warnings among the TLS faults too.
    pub fn load(
        path: &Path,
        overrides: &[Override],
        checks: &[Arc<dyn Check>],
    ) -> Result<Self, Vec<Fault>> {
        let mut configuration = config::load(path, overrides)
            .map_err(|errors| errors.into_iter().map(Fault::from).collect::<Vec<_>>())?;
        let mut faults = Vec::new();
        let tls_listeners: Vec<_> = configuration
            .listeners
            .iter()
            .filter_map(|listener| listener.kind.tls())
            .collect();
        let loaded = tls::load(
            &configuration.tls,
            &tls_listeners,
            &configuration.client_role,
        )
        .map_err(|found| {
            faults.extend(found.into_iter().map(|fault| Fault::Tls(Box::new(fault))));
        });
        let read = mappings_file::load(&configuration.auth).map_err(|found| faults.extend(found));
        let rights = load_rights(&configuration, &mut faults).map(Arc::new);
        let callout = configuration.auth.callout.as_ref().map(Callout::new);
        let callout = callout
            .transpose()
            .map_err(|fault| faults.push(fault.into()));
        let (Ok(loaded), Ok(read), Some(rights), Ok(callout), true) =
            (loaded, read, rights, callout, faults.is_empty())
        else {
            let placed = |fault: Fault| fault.placed(path, overrides);
            return Err(faults.into_iter().map(placed).collect());
        };
        let LoadedTls {
            listeners: contexts,
            client,
            report,
            upkeep,
        } = loaded;
        for domain in contexts.iter().flat_map(ServerContext::sni_domains) {
            // What we present a certificate for is ours.
            if !configuration.auth.domains.contains(domain) {
                configuration.auth.domains.push(domain.clone());
            }
        }
        let (keys, digest) = keys(&configuration.auth).map_err(|fault| vec![fault.into()])?;
        let mut contexts = contexts.into_iter();
        let tls = configuration
            .listeners
            .iter()
            .map(|listener| listener.kind.tls().and_then(|_| contexts.next()))
            .collect();
        Ok(Self {
            configuration,
            report,
            client_role: Arc::new(client.with_rights(Arc::clone(&rights))),
            mapping_faults: read.unused,
            upkeep: Arc::new(upkeep),
            mappings: Arc::new(read.mappings),
            mappings_seen: read.mark,
            callout: callout.map(Arc::new),
            rights,
            tls: Arc::new(tls),
            checks: checks.to_vec(),
            keys,
            digest,
        })
    }

    /// Come in the place of earlier ones: what those have learnt of their peers is needed to judge them again.
    fn succeed(&self, earlier: &Self) {
        let contexts = self.tls.iter().flatten().zip(earlier.tls.iter().flatten());
        contexts.for_each(|(new, old)| new.succeeds(old));
        self.client_role.succeeds(&earlier.client_role);
    }

    /// Goes on with the callout of `before`, and what that one remembers, if it would be no other.
    fn keep_callout(&mut self, before: &Self) {
        if let (Some(own), Some(other)) = (&self.callout, &before.callout)
            && own.is_as(other)
        {
            self.callout = Some(Arc::clone(other));
        }
    }

    /// What an operator has to know about them, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let of_config = self
            .configuration
            .notes
            .iter()
            .filter(|n| n.class != NoteClass::Info)
            .map(ToString::to_string);
        let of_tls = self.report.warnings.iter().filter(|own| !own.is_kept);
        let of_tls = of_tls.map(ToString::to_string);
        let of_mappings = self
            .mapping_faults
            .iter()
            .map(|fault| format!("{fault}; this line is not used"));
        of_config
            .chain(of_tls)
            .chain(of_mappings)
            .chain(self.notes_of_rights())
            .chain(self.notes_of_pins())
            .collect()
    }

    /// Faults of files of which what was read before stays in force, a sentence each.
    fn kept(&self) -> Vec<String> {
        let kept = self.report.warnings.iter().filter(|own| own.is_kept);
        kept.map(ToString::to_string).collect()
    }

    /// Sentences about mappings that are bound to a CA that is not among our trust anchors.
    pub fn notes_of_pins(&self) -> impl Iterator<Item = String> {
        let file = self.configuration.auth.mappings_file.as_deref();
        let file = file.unwrap_or(Path::new("")).display();
        let lines = self.mappings.strangers(&self.report.anchors);
        lines.take(MOST_STRANGERS).map(move |line| {
            format!(
                "{file}:{line}: no trust anchor is that CA, so this holds for nobody; name an intermediate by @@sha256="
            )
        })
    }

    /// Sentences about rules for CAs that are not among our trust anchors.
    pub fn notes_of_rights(&self) -> impl Iterator<Item = String> {
        let lines = self.rights.strangers(&self.report.anchors);
        let file = self.rights.file();
        lines.take(MOST_STRANGERS).map(move |stranger| match stranger {
            Stranger::Described(line) => format!(
                "{file}:{line}: no trust anchor is that CA; if it is an intermediate, name it by file=, and if it is a \
                 slip, the CA that was meant may vouch for everything"
            ),
            Stranger::Shown(line) => format!(
                "{file}:{line}: no trust anchor is that root; if it has been renewed, the new one may vouch for everything, \
                 unless a rule names it too"
            ),
        })
    }

    /// Asks for a user, and for what else requests ask one by one, before any request does. Answers with what will not be
    /// answered.
    ///
    /// # Errors
    /// The users cannot be asked for.
    fn rehearse(&self, data: &Data) -> Result<Vec<String>, Fault> {
        let wanted = data::Wanted {
            identities: self.mappings.is_empty(),
            silo: self.configuration.tables.silo.enabled,
        };
        let mut notes = data.rehearse(wanted).map_err(Fault::Users)?;
        notes.extend(self.idle_identities(data));
        Ok(notes)
    }

    /// A sentence about TLS peer identities that nobody asks for: as in repro, mappings take the place of the table.
    fn idle_identities(&self, data: &Data) -> Option<String> {
        let file = self.configuration.auth.mappings_file.as_ref()?;
        let idle = !self.mappings.is_empty() && data.has_identities();
        idle.then(|| {
            format!(
                "TLS peer identities of the store are not asked for, because CommonNameMappings = {} has mappings; put \
                 them into that file, or take the setting out",
                file.display()
            )
        })
    }

    /// Number of rules for CAs.
    pub fn ca_rules(&self) -> usize {
        self.rights.len()
    }

    /// Number of mappings.
    pub fn mappings(&self) -> usize {
        self.mappings.len()
    }

    /// What workers take their decisions by, together with what the stores hold.
    ///
    /// # Errors
    /// A store that does not answer.
    pub fn with(&self, data: &Data) -> Result<Composed, Fault> {
        let configuration = &self.configuration;
        let tables = data.tables()?;
        let mut auth = configuration.auth.clone();
        let mut notes = tables.faults();
        notes.extend(tables.add_to(&mut auth));
        let (routing, of_rules) = tables.routing(&configuration.tables);
        notes.extend(of_rules);
        let queries = |record: &Record| matches!(record, Record::Filter(own) if own.action == FilterAction::Sql);
        let asking = tables.records().filter(|own| queries(own)).count();
        if asking > 0 && !data.asks_filters() {
            notes.push(format!(
                "{asking} request filters query a data base, and there is none: RequestFilterDefaultDBErrorBehavior \
                 decides; name one by RequestFilterDatabase"
            ));
        }
        let mut rules = Rules::new(&auth, Arc::clone(&self.mappings), self.checks.clone());
        rules.table = Some(data.identities());
        rules.rights = Arc::clone(&self.rights);
        if let Some(callout) = &self.callout {
            callout.add_to(&mut rules);
        }
        if auth.digest.enabled {
            let offered = self.digest.offered();
            let lacking = auth
                .digest
                .algorithms
                .iter()
                .filter(|own| !offered.contains(own));
            notes.extend(lacking.map(|algorithm| {
                format!("DigestChallengeAlgorithms: {}", Unavailable(*algorithm))
            }));
            rules = rules.with_digest(Arc::clone(&self.digest), data.passwords());
        }
        let policy = Policy {
            relay: RelayPolicy::new(&configuration.relay, self.keys.clone()),
            rules,
            registrar: configuration.registrar.clone(),
            proxy: configuration.proxy.clone(),
            routing,
            directory: data.directory(&configuration.tables.silo),
            addresses: own_addresses(&configuration.listeners),
        };
        let snapshot = Snapshot {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed) + 1,
            policy: Arc::new(policy),
            tls: Arc::clone(&self.tls),
            client_role: Arc::clone(&self.client_role),
        };
        Ok(Composed {
            snapshot,
            notes,
            domains: auth.domains,
            tables,
        })
    }
}

/// Counts what was put in force.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Everything that can be served, for the commands that only look.
pub struct Loaded {
    /// What the files say.
    pub files: Files,
    /// What the stores gave.
    pub composed: Composed,
    /// The stores.
    pub data: Data,
}

/// Loads files and looks at the stores, changing nothing.
///
/// # Errors
/// Every fault that was found.
pub fn load(
    path: &Path,
    overrides: &[Override],
    checks: &[Arc<dyn Check>],
) -> Result<Loaded, Vec<Fault>> {
    let files = Files::load(path, overrides, checks)?;
    let (data, of_store) =
        data::look(&files.configuration.store).map_err(|error| vec![error.into()])?;
    let mut composed = files.with(&data).map_err(|fault| vec![fault])?;
    composed.notes.splice(0..0, of_store);
    composed.notes.extend(data.notes());
    let lacking = files.rehearse(&data).map_err(|fault| vec![fault])?;
    composed.notes.extend(lacking);
    Ok(Loaded {
        files,
        composed,
        data,
    })
}

/// What is in a file. A reload waits for it, so it must not be one that somebody else has to write first.
fn read_regular(path: &Path) -> std::io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read(path),
        false => Err(std::io::Error::other("it is no regular file")),
    }
}

/// What CAs may vouch for; files that the rules name are looked for beside theirs.
fn load_rights(configuration: &Configuration, faults: &mut Vec<Fault>) -> Option<CaRights> {
    let Some(path) = &configuration.auth.rights_file else {
        return Some(CaRights::default());
    };
    let text = match read_regular(path) {
        Ok(text) => text,
        Err(source) => {
            faults.push(Fault::RightsUnreadable {
                path: path.clone(),
                source,
            });
            return None;
        }
    };
    let listeners = configuration.listeners.iter().enumerate();
    let places: Vec<ListenerPlace> = listeners
        .filter(|(_, listener)| listener.kind.tls().is_some())
        .filter_map(|(number, listener)| {
            Some(ListenerPlace {
                number: u16::try_from(number).ok()?,
                setting: listener.setting.clone(),
                address: listener.address,
            })
        })
        .collect();
    let directory = path.parent().unwrap_or(Path::new(""));
    let certificates =
        |file: &str| tls::cas_of_file(&directory.join(file)).map_err(|fault| fault.to_string());
    match CaRights::parse(&text, &path.display().to_string(), &places, certificates) {
        Ok(rights) => Some(rights),
        Err(found) => {
            faults.extend(found.into_iter().map(Fault::Rights));
            None
        }
    }
}

/// Addresses that lead to us: a wildcard stands for every address of this host.
fn own_addresses(listeners: &[ListenerOptions]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for listener in listeners {
        let bound = listener.address;
        if bound.ip().is_unspecified() {
            let host: Vec<IpAddr> = host_addresses();
            let family = host
                .into_iter()
                .filter(|ip| ip.is_ipv4() == bound.is_ipv4());
            addresses.extend(family.map(|ip| SocketAddr::new(ip, bound.port())));
        } else {
            addresses.push(bound);
        }
    }
    addresses
}

/// Every address of this host's interfaces; none if the system does not tell.
fn host_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect()
}

/// A server that serves.
pub struct Server {
    engine: Engine,
    data: Data,
    delivery: Option<Arc<Delivery>>,
    files: Mutex<Files>,
    path: PathBuf,
    overrides: Vec<Override>,
    fixed: Fixed,
    in_force: Arc<ArcSwap<InForce>>,
    follower: Mutex<Follower>,
}

/// What is taken from the configuration once, at the start.
#[derive(PartialEq)]
struct Fixed {
    engine: EngineOptions,
    logging: LoggingOptions,
    process: ProcessOptions,
    control: ControlOptions,
    store: StoreOptions,
}

impl Fixed {
    fn of(configuration: &Configuration) -> Self {
        Self {
            engine: configuration.engine.clone(),
            logging: configuration.logging.clone(),
            process: configuration.process.clone(),
            control: configuration.control.clone(),
            store: configuration.store.clone(),
        }
    }
}

impl Server {
    /// Opens what has been loaded to the world. Answers with what an operator has to know about the records.
    ///
    /// # Errors
    /// Threads that cannot be had; a store that does not answer.
    pub fn start(
        files: Files,
        data: Data,
        listeners: Listeners,
        overrides: Vec<Override>,
    ) -> Result<(Self, Vec<String>), Fault> {
        let configuration = &files.configuration;
        let fixed = Fixed::of(configuration);
        let mut composed = files.with(&data)?;
        composed.notes.extend(data.notes());
        composed.notes.extend(files.rehearse(&data)?);
        let in_force = InForce::of(&files, &composed);
        let location = Location::new();
        if let (Some(store), true) = (data.embedded(), configuration.store.persist_registrations) {
            data::restore(store, &location, &configuration.registrar)?;
        }
        let silo = &configuration.tables.silo;
        let delivery = data
            .runtime()
            .map(|store| Arc::new(Delivery::new(Arc::clone(store), silo.clone())));
        let told = delivery
            .as_ref()
            .map(|delivery| Arc::new(Arc::clone(delivery)) as Arc<dyn transport::Registered>);
        let options = configuration.engine.clone();
        // It has a thread, and so is made no earlier.
        let resolver = Resolver::new(configuration.resolver.clone())?;
        let snapshot = composed.snapshot;
        let engine = Engine::start(options, listeners, resolver, snapshot, location, told)?;
        let own = Self {
            engine,
            data,
            delivery,
            path: configuration.file.clone(),
            files: Mutex::new(files),
            overrides,
            fixed,
            in_force: Arc::new(ArcSwap::from_pointee(in_force)),
            follower: Mutex::default(),
        };
        Ok((own, composed.notes))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads everything again and puts it in force, whole or not at all. Live connections are judged by it.
    ///
    /// # Errors
    /// Every fault that was found; what was in force stays in force.
    pub fn reload(&self) -> Result<Reloaded, Vec<Fault>> {
        let mut current = self.files();
        let mut files = Files::load(&self.path, &self.overrides, &current.checks)?;
        let places = |files: &Files| -> Vec<_> {
            let listeners = files.configuration.listeners.iter();
            listeners
                .map(|l| (l.address, l.kind.transport(), l.kind.receive_buffer()))
                .collect()
        };
        if places(&current) != places(&files) {
            return Err(vec![Fault::ListenersChanged]);
        }
        files.succeed(&current);
        let mut notes = files.notes();
        notes.extend(files.idle_identities(&self.data));
        if self.fixed != Fixed::of(&files.configuration) {
            notes.push(
                "threads, limits, deadlines, log, process, data base or control socket settings changed: they wait for \
                 a restart"
                    .to_owned(),
            );
        }
        files.keep_callout(&current);
        let mut reloaded = self
            .put_in_force(&files, notes)
            .map_err(|fault| vec![fault])?;
        reloaded.kept = files.kept();
        if let Some(delivery) = &self.delivery {
            delivery.follow(files.configuration.tables.silo.clone());
        }
        if let Some(callout) = &files.callout {
            callout.forget();
        }
        self.follower().retire(&current.mappings);
        *current = files;
        Ok(reloaded)
    }

    /// Looks whether the mappings file is another than the one in force, and puts it in force whole or not at all; one without
    /// any mapping waits for a reload, if there are some in force. `None` if there is nothing new. Costs some microseconds then, and is to be called several times a second.
    ///
    /// # Errors
    /// Each fault of a file that cannot be used, once; the old one stays in force.
    pub fn follow_mappings(&self) -> Option<Result<MappingsReloaded, Vec<Fault>>> {
        let mut follower = self.follower();
        follower.let_go();
        let mut current = self.files();
        let auth = &current.configuration.auth;
        let path = auth
            .mappings_file
            .as_ref()
            .filter(|_| auth.mappings_reload)?;
        let Look::Settled(mark) = follower.look(path, current.mappings_seen) else {
            return None;
        };
        let read = match mappings_file::load(auth) {
            Ok(read) if read.mark == mark => read,
            // It is being written just now, or gone again: the next look tells.
            Ok(_) => return None,
            Err(faults) => {
                follower.refused(mark);
                return Some(Err(faults));
            }
        };
        // Without mappings another authority decides: not because somebody has emptied the file to write it anew.
        if read.mappings.is_empty() && !current.mappings.is_empty() {
            let path = path.clone();
            follower.refused(mark);
            return Some(Err(vec![Fault::MappingsEmptied { path }]));
        }
        let old = std::mem::replace(&mut current.mappings, Arc::new(read.mappings));
        match self.put_in_force(&current, Vec::new()) {
            Ok(reloaded) => {
                current.mappings_seen = mark;
                current.mapping_faults = read.unused;
                follower.retire(&old);
                Some(Ok(MappingsReloaded {
                    generation: reloaded.generation,
                    entries: current.mappings.len(),
                    unused: current.mapping_faults.clone(),
                }))
            }
            Err(fault) => {
                current.mappings = old;
                follower.postponed(mark);
                Some(Err(vec![fault]))
            }
        }
    }

    fn follower(&self) -> MutexGuard<'_, Follower> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what these tables hold now; files and certificates stay as they are. `None` if nothing had to be put in
    /// force: what is asked for one by one is asked anew from now on.
    ///
    /// # Errors
    /// A store that does not answer; what was in force stays in force.
    pub fn refresh(&self, tables: &[Table]) -> Result<Option<Reloaded>, Fault> {
        let asked_each_time = [Table::User, Table::Identity, Table::Silo];
        if tables.iter().all(|table| asked_each_time.contains(table)) {
            self.data.require_in_place()?;
            self.data.forget();
            // A right may rest on an identity that the table has no more.
            if tables.contains(&Table::Identity) {
                self.engine.judge_again();
            }
            return Ok(None);
        }
        let current = self.files();
        self.put_in_force(&current, Vec::new()).map(Some)
    }

    /// What is to be looked at while this is in force.
    pub(crate) fn upkeep(&self) -> Arc<Upkeep> {
        Arc::clone(&self.files().upkeep)
    }

    /// Makes known that other CRLs are in force: settings and certificates stay as they are, and the generation is another,
    /// so that what was decided by the old ones is decided again.
    ///
    /// # Errors
    /// A store that does not answer; the CRLs are in force all the same.
    pub(crate) fn crls_changed(&self) -> Result<Reloaded, Fault> {
        let current = self.files();
        self.put_in_force(&current, Vec::new())
    }

    fn put_in_force(&self, files: &Files, mut notes: Vec<String>) -> Result<Reloaded, Fault> {
        let composed = files.with(&self.data)?;
        let now = InForce::of(files, &composed);
        let difference = self.in_force.load().difference(&now);
        notes.extend(composed.notes);
        let generation = composed.snapshot.generation;
        self.data.forget();
        self.engine.replace(composed.snapshot);
        self.in_force.store(Arc::new(now));
        Ok(Reloaded {
            generation,
            notes,
            kept: Vec::new(),
            difference,
        })
    }

    /// What is in force, whenever it is looked at.
    pub(crate) fn in_force(&self) -> Arc<ArcSwap<InForce>> {
        Arc::clone(&self.in_force)
    }

    /// The stores.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The running threads.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Ends in peace. Answers with what has happened, as `name=count` words.
    pub fn drain(self) -> String {
        self.engine.drain()
    }
}
