//! Configuration: repro's file and command line in, each room's options out.
//!
//! [`load`] reads the file, holds every value against the table of settings, and gathers all errors before it gives
//! up. What is understood but not acted on, or weakens the server, comes back as [`Note`]s to be said at start.

pub mod cli;
mod error;
mod file;
mod made;
mod manual;
mod note;
mod resolve;
mod settings;
mod value;

use std::path::{Path, PathBuf};

use crate::admin::ControlOptions;
use crate::auth::{Algorithm, AuthOptions};
use crate::logging::{self, LogPlace, LoggingOptions};
use crate::process::ProcessOptions;
use crate::proxy::relay::RelayOptions;
use crate::proxy::{ProxyOptions, TableOptions};
use crate::registrar::RegistrarOptions;
use crate::resolve::ResolverOptions;
use crate::store::StoreOptions;
use crate::tls::{ClientTls, TlsOptions};
use crate::transport::{EngineOptions, ListenerOptions};

pub use cli::{Command, Override, UsageError};
pub use error::{ConfigError, Origin};
pub use made::{SettingChange, SettingsMade};
pub use manual::{help, in_force, markdown, sample};
pub use note::{Note, NoteClass};

/// Everything that a configuration decides.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The main file, absolute.
    pub file: PathBuf,
    /// Certificates, trust and handshakes.
    pub tls: TlsOptions,
    /// The same toward other domains.
    pub client_role: ClientTls,
    /// Who may say what.
    pub auth: AuthOptions,
    /// Registrations.
    pub registrar: RegistrarOptions,
    /// Routing.
    pub proxy: ProxyOptions,
    /// What is sent on.
    pub relay: RelayOptions,
    /// Filters, routes, contacts that never expire, kept messages.
    pub tables: TableOptions,
    /// Where SIP URIs are looked up.
    pub resolver: ResolverOptions,
    /// Threads, limits and deadlines.
    pub engine: EngineOptions,
    /// Where to listen; never empty.
    pub listeners: Vec<ListenerOptions>,
    /// The log.
    pub logging: LoggingOptions,
    /// The process.
    pub process: ProcessOptions,
    /// Where records live.
    pub store: StoreOptions,
    /// The control socket.
    pub control: ControlOptions,
    /// The settings themselves, to be compared with those of another load.
    pub made: SettingsMade,
    /// What the operator should be told before anything is served.
    pub notes: Vec<Note>,
}

/// Reads a configuration file, with what the command line puts in its place.
///
/// # Errors
///
/// Every fault found, in the order of the file; never an empty list.
pub fn load(path: &Path, overrides: &[Override]) -> Result<Configuration, Vec<ConfigError>> {
    let (settings, errors) = file::read(path);
    good(
        judge(path, &settings.with_overrides(overrides), errors),
        path,
    )
}

/// What there is to know about a configuration, be it good or not.
pub fn notes(path: &Path, overrides: &[Override]) -> Vec<Note> {
    let (settings, errors) = file::read(path);
    judge(path, &settings.with_overrides(overrides), errors)
        .0
        .notes
}

/// What keeps the log and the audit log from being where the settings say. Apart from [`load`]: a reload opens neither, and most
/// commands write none.
pub fn faults_of_logs(path: &Path, overrides: &[Override]) -> Vec<ConfigError> {
    let (settings, errors) = file::read(path);
    let settings = settings.with_overrides(overrides);
    let logging = judge(path, &settings, errors).0.logging;
    let fault = |(place, fault): (LogPlace, String)| {
        let name = match place {
            LogPlace::Log => resolve::log_file(&settings),
            LogPlace::Audit => "AuditLog",
        };
        ConfigError::Rule {
            at: made_at(&settings, name),
            name: name.to_owned(),
            fault,
        }
    };
    let mut faults: Vec<ConfigError> = logging::unfit_places(&logging)
        .into_iter()
        .map(fault)
        .collect();
    error::sort(&mut faults, path);
    faults
}

/// Where a setting was made, for a fault of the file that it names.
pub fn place(path: &Path, overrides: &[Override], name: &str) -> Origin {
    made_at(&file::read(path).0.with_overrides(overrides), name)
}

fn made_at(settings: &file::RawSettings, name: &str) -> Origin {
    let made = settings.find(name);
    made.map_or(Origin::Default, |raw| raw.origin.clone())
}

/// Where the stores of a server with this configuration are. Faults elsewhere in the file do not matter: certificates may
/// be readable to the server alone.
///
/// # Errors
///
/// What is wrong with the settings.
pub fn stores(
    path: &Path,
    overrides: &[Override],
) -> Result<(Configuration, Vec<Algorithm>), Vec<ConfigError>> {
    let configuration = load(path, overrides)?;
    let settings = file::read(path).0.with_overrides(overrides);
    let algorithms = resolve::algorithms(&settings);
    Ok((configuration, algorithms))
}

/// Where the control socket of a server with this configuration is; `None` if it has none. Faults elsewhere in the file do
/// not matter: the server may have been started before they came in.
///
/// # Errors
///
/// The file cannot be read.
pub fn control_socket(
    path: &Path,
    overrides: &[Override],
) -> Result<Option<PathBuf>, Vec<ConfigError>> {
    let (settings, errors) = file::read(path);
    let settings = settings.with_overrides(overrides);
    if settings.iter().next().is_none() && !errors.is_empty() {
        return Err(errors);
    }
    let (configuration, _) = judge(path, &settings, Vec::new());
    Ok(configuration.control.socket)
}

/// Names of the settings that were made and are acted on, in the order of the alphabet.
pub fn honoured(path: &Path, overrides: &[Override]) -> Vec<String> {
    let settings = file::read(path).0.with_overrides(overrides);
    let mut names: Vec<String> = settings
        .iter()
        .filter(|raw| settings::find(&raw.name).is_some_and(settings::Setting::is_honoured))
        .map(|raw| raw.name.clone())
        .collect();
    names.sort_by_key(|name| name.to_ascii_lowercase());
    names
}

/// The domain that a text names, as settings take it: lower case, without the dot at its end.
///
/// # Errors
///
/// What was expected.
pub fn domain_name(text: &str) -> Result<String, String> {
    value::domain(text)
}

/// Judges the text of a configuration file without touching any other file; for fuzzing.
///
/// # Errors
///
/// As [`load`], and for every `Include`.
pub fn load_text(text: &[u8]) -> Result<Configuration, Vec<ConfigError>> {
    let path = Path::new("text");
    let (settings, errors) = file::read_text(text);
    good(judge(path, &settings, errors), path)
}

/// The configuration as far as it is good, and every fault.
fn judge(
    path: &Path,
    settings: &file::RawSettings,
    mut errors: Vec<ConfigError>,
) -> (Configuration, Vec<ConfigError>) {
    let mut notes = Vec::new();
    value::check(settings, &mut errors, &mut notes);
    let configuration = resolve::resolve(path, settings, &mut errors, notes);
    (configuration, errors)
}

fn good(
    (configuration, mut errors): (Configuration, Vec<ConfigError>),
    path: &Path,
) -> Result<Configuration, Vec<ConfigError>> {
    if errors.is_empty() {
        Ok(configuration)
    } else {
        error::sort(&mut errors, path);
        Err(errors)
    }
}
