//! What the control socket can do to the server: questions are answered from any thread, what changes the server is an
//! order to the thread that owns it.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::admin::{Controlled, Filter, KeyLog, Refused};
use crate::in_force::{Difference, InForce};
use crate::logging::LogHandle;
use crate::server::{Fault, Reloaded, Server};
use crate::store::Table;
use crate::tls::keylog::{self, KeyLogOrder};
use crate::transport::{ConnectionView, Observer};

/// How long a worker may take to show some of its connections. It does so between two turns, so this is long.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);
/// How long the thread that owns the server may take: another reload may be under way.
const ORDER_PATIENCE: Duration = Duration::from_secs(120);

/// What only the thread that owns the server can do.
pub(crate) enum Order {
    /// Load everything again.
    Reload(Sender<Result<Value, Refused>>),
    /// Take these tables of the store up again.
    Changed(Vec<String>, Sender<Result<Value, Refused>>),
    /// The same, because the server has seen it by itself.
    Refresh(Vec<Table>),
    /// End.
    Drain(Sender<Result<Value, Refused>>),
}

/// The server as its control socket sees it.
pub(crate) struct Desk {
    observer: Observer,
    in_force: Arc<ArcSwap<InForce>>,
    log: LogHandle,
    orders: Sender<Order>,
    started: Instant,
}

impl Desk {
    pub(crate) fn new(server: &Server, log: LogHandle, orders: Sender<Order>) -> Self {
        Self {
            observer: server.engine().observer(),
            in_force: server.in_force(),
            log,
            orders,
            started: Instant::now(),
        }
    }

    fn order(
        &self,
        order: impl FnOnce(Sender<Result<Value, Refused>>) -> Order,
    ) -> Result<Value, Refused> {
        let ends = || Refused::because("the server is ending");
        if self.observer.is_draining() {
            return Err(ends());
        }
        let deadline = Instant::now() + ORDER_PATIENCE;
        let (reply, answer) = bounded(1);
        let sent = self.orders.send_deadline(order(reply), deadline);
        if sent.is_err_and(|error| error.is_disconnected()) {
            return Err(ends());
        }
        match answer.recv_deadline(deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Disconnected) => Err(ends()),
            Err(RecvTimeoutError::Timeout) => Err(Refused::because(
                "the server is still busy with it; its log will say how it went",
            )),
        }
    }
}

impl Controlled for Desk {
    fn status(&self) -> Value {
        let in_force = self.in_force.load();
        let listeners: Vec<Value> = self
            .observer
            .listeners()
            .iter()
            .map(|(address, transport)| {
                let transport = transport.as_str().to_ascii_lowercase();
                json!({"address": address, "transport": transport})
            })
            .collect();
        let counters: serde_json::Map<String, Value> = self
            .observer
            .counters()
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect();
        let left = in_force.upkeep.seconds_left(Timestamp::now().as_second());
        json!({
            "version": env!("SIPVOUCH_VERSION"),
            "pid": std::process::id(),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "generation": in_force.generation,
            "loaded": time(in_force.loaded),
            "seconds_to_expiry": {
                "own": left.own,
                "anchors": left.anchors,
                "crls": left.crls,
                "staples": left.staples,
            },
            "listeners": listeners,
            "connections": self.observer.connections(),
            "aors": self.observer.aors(),
            "workers": self.observer.workers(),
            "overloaded_workers": self.observer.overloaded(),
            "draining": self.observer.is_draining(),
            "log_level": self.log.level(),
            "log_lines_dropped": self.log.dropped(),
            "keylog": keylog::state().is_some(),
            "counters": counters,
        })
    }

    fn connections(
        &self,
        filter: &Filter,
        tell: &mut dyn FnMut(Value) -> io::Result<()>,
    ) -> io::Result<Vec<String>> {
        let mut told = Ok(());
        let silent = self
            .observer
            .each_connection(WORKER_PATIENCE, |connection| {
                if !filter.wants(connection.peer, connection.listener, || names(&connection)) {
                    return ControlFlow::Continue(());
                }
                told = tell(shown(&connection));
                if told.is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        told?;
        let missing = silent
            .iter()
            .map(|worker| format!("worker {worker} did not answer in time"));
        Ok(missing.collect())
    }

    fn certificates(&self) -> Value {
        let in_force = self.in_force.load();
        let now = Timestamp::now().as_second();
        let certificates: Vec<Value> = in_force
            .certificates
            .iter()
            .map(|certificate| {
                json!({
                    "role": certificate.role.name(),
                    "domain": certificate.role.domain(),
                    "subject": certificate.subject,
                    "issuer": certificate.issuer,
                    "names": certificate.names,
                    "key": certificate.key,
                    "serial": certificate.serial,
                    "not_before": date(certificate.not_before),
                    "not_after": date(certificate.not_after),
                    // Not as it was when they were loaded, which may be months ago.
                    "days_left": certificate.not_after.saturating_sub(now).div_euclid(86_400),
                    "file": certificate.file.to_string_lossy(),
                })
            })
            .collect();
        let crls: Vec<Value> = in_force
            .upkeep
            .crls()
            .iter()
            .map(|crl| {
                json!({
                    "issuer": crl.issuer,
                    "entries": crl.entries,
                    "delta": crl.is_delta,
                    "this_update": date(crl.this_update),
                    "next_update": crl.next_update.and_then(date),
                    "file": crl.file.to_string_lossy(),
                })
            })
            .collect();
        json!({"generation": in_force.generation, "certificates": certificates, "crls": crls})
    }

    fn reload(&self) -> Result<Value, Refused> {
        self.order(Order::Reload)
    }

    fn changed(&self, tables: Vec<String>) -> Result<Value, Refused> {
        self.order(|reply| Order::Changed(tables, reply))
    }

    fn drain(&self) -> Result<Value, Refused> {
        self.order(Order::Drain)
    }

    fn close(&self, connection: u64) -> Result<Value, Refused> {
        match self.observer.close(connection, WORKER_PATIENCE) {
            Ok(true) => Ok(json!({"closed": connection})),
            Ok(false) => Err(Refused::because(format!(
                "there is no connection {connection}; it may have ended"
            ))),
            Err(workers) => Err(Refused::because(format!(
                "{workers} workers did not answer in time; connection {connection} may be one of theirs"
            ))),
        }
    }

    fn log_level(&self, set: Option<&str>) -> Result<Value, Refused> {
        let before = self.log.level();
        let Some(directives) = set else {
            return Ok(json!({"log_level": before}));
        };
        let now = self.log.set_level(directives)?;
        Ok(json!({"log_level": now, "before": before}))
    }

    fn key_log(&self, order: KeyLog) -> Result<Value, Refused> {
        match order {
            KeyLog::Tell => {}
            KeyLog::Off => {
                if !keylog::stop() {
                    return Err(Refused::because("no secrets are being logged"));
                }
            }
            KeyLog::On {
                peer,
                port,
                lasting,
                file,
            } => keylog::start(KeyLogOrder {
                peer,
                port,
                lasting,
                file,
            })?,
        }
        Ok(match keylog::state() {
            None => json!({"on": false}),
            Some(state) => json!({
                "on": true,
                "peer": state.order.peer,
                "port": state.order.port,
                "file": state.order.file.to_string_lossy(),
                "seconds_left": state.left.as_secs(),
                "lines": state.lines,
            }),
        })
    }
}

/// What came of a reload, for whoever ordered it.
pub(crate) fn answer_to_reload(reloaded: Result<&Reloaded, &[Fault]>) -> Result<Value, Refused> {
    let reloaded = reloaded.map_err(|faults| Refused {
        error: "nothing was loaded; what was in force stays in force".to_owned(),
        faults: faults.iter().map(ToString::to_string).collect(),
    })?;
    let Difference {
        settings,
        domains_added,
        domains_removed,
        certificates_added,
        certificates_removed,
        mappings: (before, now),
    } = &reloaded.difference;
    let settings: Vec<Value> = settings
        .iter()
        .map(|change| json!({"name": change.name, "before": change.before, "now": change.now}))
        .collect();
    let notes: Vec<&String> = reloaded.notes.iter().chain(&reloaded.kept).collect();
    Ok(json!({
        "generation": reloaded.generation,
        "notes": notes,
        "settings": settings,
        "domains_added": domains_added,
        "domains_removed": domains_removed,
        "certificates_added": certificates_added,
        "certificates_removed": certificates_removed,
        "mappings": {"before": before, "now": now},
    }))
}

fn shown(connection: &ConnectionView) -> Value {
    let certificate = connection.certificate.as_ref().map(|certificate| {
        json!({
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "serial": certificate.serial,
            "not_after": date(certificate.not_after),
            "identities": connection.identities.as_ref().map(ToString::to_string),
        })
    });
    let tls = connection.tls.as_ref().map(|tls| {
        json!({
            "version": tls.version,
            "cipher": tls.cipher,
            "resumed": tls.resumed,
            "sni": tls.sni,
        })
    });
    json!({
        "connection": connection.id,
        "peer": connection.peer,
        "listener": connection.listener,
        "transport": transport(connection.is_tls),
        "worker": connection.worker,
        "state": connection.state.name(),
        "age_seconds": connection.age.as_secs(),
        "idle_seconds": connection.idle.as_secs(),
        "tls": tls,
        "certificate": certificate,
        "octets_in": connection.octets_in,
        "octets_out": connection.octets_out,
        "octets_queued": connection.queued,
        "aors": connection.registered,
    })
}

/// What a filter by identity looks at.
fn names(connection: &ConnectionView) -> String {
    let subject = connection
        .certificate
        .as_ref()
        .map(|certificate| certificate.subject.as_str())
        .unwrap_or_default();
    match &connection.identities {
        Some(identities) => format!("{subject} {identities}"),
        None => subject.to_owned(),
    }
}

fn transport(is_tls: bool) -> &'static str {
    if is_tls { "tls" } else { "tcp" }
}

fn time(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(format!("{time:.0}"))
}

/// Nothing for a date that no calendar has.
fn date(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds)
        .ok()
        .map(|time| time.to_string())
}
