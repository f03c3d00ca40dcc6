//! Composition root: configuration → rooms → threads; reload and drain.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::admin::ControlOptions;
use crate::auth::{Check, MappingFault, Mappings, Rules};
use crate::config::{self, ConfigError, Configuration, NoteClass, Override};
use crate::in_force::{Difference, InForce};
use crate::logging::LoggingOptions;
use crate::process::ProcessOptions;
use crate::proxy::{NoDirectory, Policy, Routing};
use crate::registrar::Location;
use crate::tls::{LoadFault, Report, ServerContext, ServerTls};
use crate::transport::{
    self, Engine, EngineOptions, ListenerOptions, Listeners, Snapshot, StreamKind,
};

/// One reason why the server does not start, or a reload does not happen.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The configuration file or the command line.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A certificate, a key, a trust anchor or a TLS setting.
    #[error("{0}")]
    Tls(Box<LoadFault>),
    /// The mappings file cannot be read.
    #[error("CommonNameMappings = {}: cannot read this file: {source}", path.display())]
    MappingsUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of the mappings file.
    #[error("{0}")]
    Mapping(MappingFault),
    /// A listener or a thread.
    #[error("{0}")]
    Transport(#[from] transport::Error),
    /// The listeners are not what they were; they are opened once.
    #[error("the listeners changed: restart the server to open other ports or addresses")]
    ListenersChanged,
}

/// Everything that has been loaded and can be served.
pub struct Loaded {
    /// The configuration.
    pub configuration: Configuration,
    /// What the certificates had to tell.
    pub report: Report,
    /// Lines of the mappings file that are not used, because a setting allows to go on without them.
    pub mapping_faults: Vec<MappingFault>,
    /// What workers take their decisions by.
    pub snapshot: Snapshot,
}

impl Loaded {
    /// What an operator has to know before it is served, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let of_config = self
            .configuration
            .notes
            .iter()
            .filter(|n| n.class != NoteClass::Info)
            .map(ToString::to_string);
        let of_tls = self.report.warnings.iter().map(ToString::to_string);
        let of_mappings = self
            .mapping_faults
            .iter()
            .map(|fault| format!("{fault}; this line is not used"));
        of_config.chain(of_tls).chain(of_mappings).collect()
    }
}

/// A reload that was done.
pub struct Reloaded {
    /// Number of the load, from 1.
    pub generation: u64,
    /// What an operator has to know about what is in force now.
    pub notes: Vec<String>,
    /// What is in force now and was not before, and the other way round.
    pub(crate) difference: Difference,
}

/// Loads configuration, certificates and mappings, and serves nothing.
///
/// # Errors
/// Every fault that was found; warnings among the TLS faults too.
pub fn load(
    path: &Path,
    overrides: &[Override],
    checks: &[Arc<dyn Check>],
) -> Result<Loaded, Vec<Fault>> {
    let mut configuration = config::load(path, overrides)
        .map_err(|errors| errors.into_iter().map(Fault::from).collect::<Vec<_>>())?;
    let mut faults = Vec::new();
    let tls_listeners: Vec<_> = configuration
        .listeners
        .iter()
        .filter_map(|listener| match &listener.kind {
            StreamKind::Tls(tls) => Some(tls),
            StreamKind::Tcp => None,
        })
        .collect();
    let tls = ServerTls::load(&configuration.tls, &tls_listeners)
        .map_err(|found| faults.extend(found.into_iter().map(|fault| Fault::Tls(Box::new(fault)))));
    let mappings = load_mappings(&configuration, &mut faults);
    let (Ok((contexts, report)), Some((mappings, mapping_faults)), true) =
        (tls, mappings, faults.is_empty())
    else {
        return Err(faults);
    };
    for domain in contexts.iter().flat_map(ServerContext::sni_domains) {
        // What we present a certificate for is ours.
        if !configuration.auth.domains.contains(domain) {
            configuration.auth.domains.push(domain.clone());
        }
    }
    let mut contexts = contexts.into_iter();
    let tls = configuration
        .listeners
        .iter()
        .map(|listener| match listener.kind {
            StreamKind::Tls(_) => contexts.next(),
            StreamKind::Tcp => None,
        })
        .collect();
    let policy = Policy {
        rules: Rules::new(&configuration.auth, mappings, checks.to_vec()),
        registrar: configuration.registrar.clone(),
        proxy: configuration.proxy.clone(),
        routing: Routing::default(),
        directory: Arc::new(NoDirectory),
        addresses: own_addresses(&configuration.listeners),
    };
    let snapshot = Snapshot {
        generation: report.generation,
        policy,
        tls,
    };
    Ok(Loaded {
        configuration,
        report,
        mapping_faults,
        snapshot,
    })
}

/// The mappings, and their lines that are left out.
fn load_mappings(
    configuration: &Configuration,
    faults: &mut Vec<Fault>,
) -> Option<(Mappings, Vec<MappingFault>)> {
    let Some(path) = &configuration.auth.mappings_file else {
        return Some((Mappings::default(), Vec::new()));
    };
    // A reload waits for this file, so it must not be one that somebody else has to write first.
    let regular = std::fs::metadata(path).and_then(|kind| match kind.is_file() {
        true => std::fs::read(path),
        false => Err(std::io::Error::other("it is no regular file")),
    });
    let text = match regular {
        Ok(text) => text,
        Err(source) => {
            faults.push(Fault::MappingsUnreadable {
                path: path.clone(),
                source,
            });
            return None;
        }
    };
    let (mappings, bad) = Mappings::parse(&text, &path.display().to_string());
    if bad.is_empty() || configuration.auth.mappings_ignore_bad_lines {
        return Some((mappings, bad));
    }
    faults.extend(bad.into_iter().map(Fault::Mapping));
    None
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
    path: PathBuf,
    overrides: Vec<Override>,
    checks: Vec<Arc<dyn Check>>,
    listeners: Vec<ListenerOptions>,
    fixed: Fixed,
    in_force: Arc<ArcSwap<InForce>>,
}

/// What is taken from the configuration once, at the start.
#[derive(PartialEq)]
struct Fixed {
    engine: EngineOptions,
    logging: LoggingOptions,
    process: ProcessOptions,
    control: ControlOptions,
}

impl Fixed {
    fn of(configuration: &Configuration) -> Self {
        Self {
            engine: configuration.engine.clone(),
            logging: configuration.logging.clone(),
            process: configuration.process.clone(),
            control: configuration.control.clone(),
        }
    }
}

impl Server {
    /// Opens what has been loaded to the world.
    ///
    /// # Errors
    /// Threads that cannot be had.
    pub fn start(
        loaded: Loaded,
        listeners: Listeners,
        overrides: Vec<Override>,
        checks: Vec<Arc<dyn Check>>,
    ) -> Result<Self, Fault> {
        let in_force = Arc::new(ArcSwap::from_pointee(InForce::of(&loaded)));
        let Loaded {
            configuration,
            snapshot,
            ..
        } = loaded;
        let fixed = Fixed::of(&configuration);
        let location = Location::new();
        let engine = Engine::start(configuration.engine, listeners, snapshot, location, None)?;
        Ok(Self {
            engine,
            path: configuration.file,
            overrides,
            checks,
            listeners: configuration.listeners,
            fixed,
            in_force,
        })
    }

    /// Loads everything again and puts it in force, whole or not at all. Live connections stay.
    ///
    /// # Errors
    /// Every fault that was found; what was in force stays in force.
    pub fn reload(&self) -> Result<Reloaded, Vec<Fault>> {
        let loaded = load(&self.path, &self.overrides, &self.checks)?;
        let places = |listeners: &[ListenerOptions]| -> Vec<(SocketAddr, bool)> {
            listeners
                .iter()
                .map(|l| (l.address, matches!(l.kind, StreamKind::Tls(_))))
                .collect()
        };
        if places(&self.listeners) != places(&loaded.configuration.listeners) {
            return Err(vec![Fault::ListenersChanged]);
        }
        let mut notes = loaded.notes();
        if self.fixed != Fixed::of(&loaded.configuration) {
            notes.push("threads, limits, deadlines, log, process or control socket settings changed: they wait for a restart".to_owned());
        }
        let now = InForce::of(&loaded);
        let difference = self.in_force.load().difference(&now);
        let generation = loaded.snapshot.generation;
        self.engine.replace(loaded.snapshot);
        self.in_force.store(Arc::new(now));
        Ok(Reloaded {
            generation,
            notes,
            difference,
        })
    }

    /// What is in force, whenever it is looked at.
    pub(crate) fn in_force(&self) -> Arc<ArcSwap<InForce>> {
        Arc::clone(&self.in_force)
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
