//! `sipvouch [repro.config]`: from the start of the process to its end.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select, tick};
use log::{error, info, warn};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::admin::{self, ControlServer, ControlSocket, MOST_CLIENTS, Refused};
use crate::auth::Check;
use crate::config::{self, Configuration, Override};
use crate::control::{Desk, Order, answer_to_reload};
use crate::data::{self, Watch};
use crate::logging::{self, Destination, LogHandle};
use crate::process::{self, PidFile, Ready, Side, daemonize};
use crate::server::{Fault, Files, Reloaded, Server};
use crate::store::Table;
use crate::tls::keylog;
use crate::transport::Listeners;
use crate::upkeep::Keeper;

/// How long the last lines of the log may take.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How often the mappings file is looked at: two looks and the reading make less than a second.
const LOOK: Duration = Duration::from_millis(250);

/// Lines of a mappings file that are not used and are named.
const MOST_LINES: usize = 20;

/// Why the server does not start.
enum Failed {
    /// These faults.
    Faults(Vec<Fault>),
    /// Something about the process or its log.
    Process(String),
    /// The parent of a daemon has nothing more to do than to give this status.
    Parent(ExitCode),
}

impl From<process::Error> for Failed {
    fn from(error: process::Error) -> Self {
        Self::Process(error.to_string())
    }
}

impl From<admin::Error> for Failed {
    fn from(error: admin::Error) -> Self {
        Self::Process(error.to_string())
    }
}

/// Serves until a signal ends it. `checks` are consulted before the built-in rules.
pub(crate) fn serve(
    path: &Path,
    overrides: Vec<Override>,
    checks: Vec<Arc<dyn Check>>,
) -> ExitCode {
    let mut ready = None;
    match run(path, overrides, checks, &mut ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Parent(status)) => status,
        Err(failed) => {
            let text = match failed {
                Failed::Faults(faults) => faults
                    .iter()
                    .map(|fault| format!("sipvouch: {fault}\n"))
                    .collect::<String>(),
                Failed::Process(why) => format!("sipvouch: {why}\n"),
                Failed::Parent(_) => String::new(),
            };
            match ready {
                Some(ready) => Ready::fail(ready, &text),
                None => say(&text),
            }
            ExitCode::FAILURE
        }
    }
}

fn run(
    path: &Path,
    overrides: Vec<Override>,
    checks: Vec<Arc<dyn Check>>,
    ready: &mut Option<Ready>,
) -> Result<(), Failed> {
    let started = Instant::now();
    // First of all: a signal that comes while the server starts waits for it.
    let signals =
        Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|e| Failed::Process(e.to_string()))?;
    let of_logs = config::faults_of_logs(path, &overrides);
    let loaded = match Files::load(path, &overrides, &checks) {
        Ok(loaded) if of_logs.is_empty() => loaded,
        loaded => {
            let mut faults = loaded.err().unwrap_or_default();
            faults.extend(of_logs.into_iter().map(Fault::from));
            return Err(Failed::Faults(faults));
        }
    };
    let mut notes = loaded.notes();
    let process = loaded.configuration.process.clone();
    notes.extend(descriptors(&loaded.configuration));
    if !logs_to_terminal(&loaded.configuration) {
        for note in &notes {
            say(&format!("sipvouch: {note}\n"));
        }
    }
    if process.daemonize {
        match daemonize()? {
            Side::Parent { status } => return Err(Failed::Parent(ExitCode::from(status))),
            Side::Child(child) => *ready = Some(child),
        }
    }
    let pid_file = match process
        .pid_file
        .as_deref()
        .map(PidFile::acquire)
        .transpose()
    {
        Ok(pid_file) => pid_file,
        // In the foreground repro wrote none, so its settings may name a place that cannot be written.
        Err(error @ process::Error::PidFile { .. }) if !process.daemonize => {
            notes.push(error.to_string());
            None
        }
        Err(error) => return Err(error.into()),
    };
    let configured = &loaded.configuration;
    let listeners = Listeners::open(&configured.listeners, configured.engine.workers)
        .map_err(|errors| Failed::Faults(errors.into_iter().map(Fault::from).collect()))?;
    let log = logging::init(&loaded.configuration.logging)
        .map_err(|error| Failed::Process(error.to_string()))?;
    let control = &loaded.configuration.control;
    let control = match ControlSocket::open(control, process.user.as_deref()) {
        Err(error) if error.is_bearable() && !control.is_wanted => {
            notes.push(format!("{error}; the server takes no commands"));
            None
        }
        opened => opened?,
    };
    let files: Vec<&Path> = log
        .paths()
        .chain(pid_file.as_ref().map(PidFile::path))
        .collect();
    process::drop_privileges(&process, &files)?;
    for note in &notes {
        warn!("config.note {note}");
    }
    let addresses: String = loaded
        .configuration
        .listeners
        .iter()
        .map(|listener| format!(" {}={}", listener.kind.name(), listener.address))
        .collect();
    // As the user that the server runs as: it has to write there.
    let opened = data::open(&loaded.configuration.store)
        .map_err(|error| Failed::Faults(vec![error.into()]))?;
    if let Some(imported) = &opened.imported {
        info!("store.imported {imported}");
    }
    let silo_expiration = Duration::from_secs(loaded.configuration.tables.silo.expiration_seconds);
    let (server, of_store) = Server::start(loaded, opened.data, listeners, overrides)
        .map_err(|fault| Failed::Faults(vec![fault]))?;
    for note in opened.notes.iter().chain(&of_store) {
        warn!("config.note {note}");
    }
    let signals = forward(signals)?;
    // Each client waits for its answer before it asks again.
    let (orders, ordered) = bounded(MOST_CLIENTS);
    let control = match control {
        Some(socket) => {
            let desk = Desk::new(&server, log.clone(), orders.clone());
            let control = ControlServer::start(socket, Arc::new(desk))?;
            info!("control.listening path={:?}", control.path());
            Some(control)
        }
        None => None,
    };
    info!(
        "server.ready version={:?}{addresses} after_ms={}",
        env!("SIPVOUCH_VERSION"),
        started.elapsed().as_millis()
    );
    if let Some(ready) = ready.take() {
        ready.announce()?;
    }
    let watch = Watch::start(
        server.data(),
        server.engine().handle(),
        silo_expiration,
        move |tables| orders.try_send(Order::Refresh(tables)).is_ok(),
    )
    .map_err(|error| Failed::Process(error.to_string()))?;
    serve_until_told(&server, &log, &signals, &ordered);
    // Whoever waits for something from us hears that we end.
    drop(ordered);
    // Before the connections end: what goes with them shall be found again after a restart.
    watch.stop();
    let statistics = server.drain();
    drop(control);
    keylog::stop();
    info!("server.ended {statistics}");
    log.flush(LAST_LINES);
    drop(pid_file);
    Ok(())
}

/// Signals, on a channel without a queue: while the server is busy with one, others of the same kind become one.
fn forward(mut signals: Signals) -> Result<Receiver<i32>, Failed> {
    let (caught, taken) = bounded(0);
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in &mut signals {
                if caught.send(signal).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| Failed::Process(error.to_string()))?;
    Ok(taken)
}

/// Does what signals and the control socket say, until one of them says to end.
fn serve_until_told(
    server: &Server,
    log: &LogHandle,
    signals: &Receiver<i32>,
    orders: &Receiver<Order>,
) {
    let connections = || server.engine().connections();
    let looks = tick(LOOK);
    let ticks = tick(Duration::from_secs(server.upkeep().tick_seconds().into()));
    let mut upkeep = Keeper::default();
    upkeep.tell_endings(server);
    loop {
        select! {
            recv(looks) -> _ => follow_mappings(server),
            recv(ticks) -> _ => upkeep.look(server),
            recv(signals) -> signal => match signal {
                Ok(SIGHUP) => {
                    drop(reload(server, log));
                    upkeep.reloaded(server);
                }
                Ok(signal) => {
                    info!("server.draining signal={signal} connections={}", connections());
                    return;
                }
                Err(_) => {
                    error!("server.draining signals=lost connections={}", connections());
                    return;
                }
            },
            recv(orders) -> order => match order {
                Ok(Order::Reload(reply)) => {
                    let reloaded = reload(server, log);
                    // Whoever asked may have given up.
                    let _ = reply.send(answer_to_reload(reloaded.as_ref().map_err(Vec::as_slice)));
                    upkeep.reloaded(server);
                }
                Ok(Order::Changed(tables, reply)) => drop(reply.send(take_up(server, &tables))),
                Ok(Order::Refresh(tables)) => drop(refresh(server, &tables)),
                Ok(Order::Drain(reply)) => {
                    let connections = connections();
                    let _ = reply.send(Ok(json!({"draining": true, "connections": connections})));
                    info!("server.draining signal=none connections={connections}");
                    return;
                }
                // The thread that watches the stores holds a sender.
                Err(_) => return,
            },
        }
    }
}

/// Takes up tables that somebody says have changed.
fn take_up(server: &Server, tables: &[String]) -> Result<Value, Refused> {
    let mut known = Vec::with_capacity(tables.len());
    for word in tables {
        let table = Table::ALL.into_iter().find(|table| table.word() == word);
        known.push(table.ok_or_else(|| Refused::because(format!("{word:?} is no table")))?);
    }
    match refresh(server, &known) {
        Ok(notes) => Ok(json!({"tables": tables, "notes": notes})),
        Err(fault) => Err(Refused::because(format!(
            "{fault}; what was in force stays in force"
        ))),
    }
}

fn refresh(server: &Server, tables: &[Table]) -> Result<Vec<String>, Fault> {
    let started = Instant::now();
    let words: Vec<&str> = tables.iter().map(|table| table.word()).collect();
    let words = words.join(",");
    match server.refresh(tables) {
        Ok(None) => {
            info!("store.changed tables={words}");
            Ok(Vec::new())
        }
        Ok(Some(reloaded)) => {
            for note in &reloaded.notes {
                warn!("config.note {note}");
            }
            info!(
                "store.changed tables={words} generation={} after_ms={}",
                reloaded.generation,
                started.elapsed().as_millis()
            );
            Ok(reloaded.notes)
        }
        Err(fault) => {
            error!("store.not_refreshed tables={words} {fault} what was in force stays in force");
            Err(fault)
        }
    }
}

/// Takes up a mappings file that has changed.
fn follow_mappings(server: &Server) {
    let started = Instant::now();
    match server.follow_mappings() {
        None => {}
        Some(Ok(reloaded)) => {
            for fault in reloaded.unused.iter().take(MOST_LINES) {
                warn!("config.note {fault}; this line is not used");
            }
            if reloaded.unused.len() > MOST_LINES {
                let more = reloaded.unused.len() - MOST_LINES;
                warn!("config.note CommonNameMappings: {more} more lines are not used");
            }
            info!(
                "mappings.reloaded generation={} entries={} after_ms={}",
                reloaded.generation,
                reloaded.entries,
                started.elapsed().as_millis()
            );
        }
        Some(Err(faults)) => {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            warn!(
                "mappings.reload_failed faults={} first={first:?} the mappings that were in force stay in force",
                faults.len()
            );
        }
    }
}

/// Raises the limit of descriptors as far as it goes, and says so when it is too low for the connections allowed.
fn descriptors(configuration: &Configuration) -> Option<String> {
    /// Listeners, pollers, files, and room for a look around.
    const OTHERS: u64 = 100;
    match process::raise_descriptor_limit() {
        Err(error) => Some(error.to_string()),
        Ok(limit) => {
            let wanted = configuration.engine.max_connections as u64 + OTHERS;
            (limit < wanted).then(|| {
                format!(
                    "MaximumConnections: {} connections need {wanted} descriptors, and the system allows {limit}; raise \
                     the limit (LimitNOFILE, ulimit -n) or lower the setting",
                    configuration.engine.max_connections
                )
            })
        }
    }
}

/// Says something on standard error, if anybody reads there: that nobody does must not keep the server from serving.
pub(crate) fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Whether the notes of the log are seen on the terminal.
fn logs_to_terminal(configuration: &Configuration) -> bool {
    matches!(
        configuration.logging.destination,
        Destination::Stdout | Destination::Stderr
    )
}

fn reload(server: &Server, log: &LogHandle) -> Result<Reloaded, Vec<Fault>> {
    log.reopen();
    let started = Instant::now();
    let reloaded = server.reload();
    match &reloaded {
        Ok(reloaded) => {
            for note in &reloaded.notes {
                warn!("config.note {note}");
            }
            for fault in &reloaded.kept {
                warn!("tls.file_kept {fault}");
            }
            info!(
                "server.reloaded generation={} connections={} after_ms={}",
                reloaded.generation,
                server.engine().connections(),
                started.elapsed().as_millis()
            );
        }
        Err(faults) => {
            for fault in faults {
                error!("server.reload_fault {fault}");
            }
            error!(
                "server.reload_failed faults={} what was in force stays in force",
                faults.len()
            );
        }
    }
    reloaded
}
