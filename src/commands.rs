//! The commands that print something and end: check, settings, certs, explain.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::admin::{ctl_command, run_ctl};
use crate::auth::{Check, IdentityPath, Occasion, Scene, Statement, explain, explain_message};
use crate::captured;
use crate::config::cli::{Asked, Question, SettingsForm};
use crate::config::{self, Command, NoteClass, Override};
use crate::data::Data;
use crate::manage;
use crate::proxy::identity_path;
use crate::serve::{say, serve};
use crate::server::{self, Fault, Files};
use crate::sip::{HeaderName, Message, Request};
use crate::store::Table;
use crate::stores::Stores;
use crate::tls::{CertificateRole, LoadedCertificate, LoadedCrl, read_certificate_file};
use crate::transport::ListenerKind;

/// Wrong usage of the command line.
const USAGE: u8 = 2;
/// Days before its end from which a certificate is pointed out.
const SOON: i64 = 30;

/// The program: understands its arguments, does what they ask, and says how it went.
///
/// Exit status: 0 all is well, 1 it failed (or `check` found something to mend, or `explain` a refusal), 2 the command
/// line or, for `check`, the configuration is wrong. `checks` are consulted before the built-in rules.
pub fn main(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
    checks: Vec<Arc<dyn Check>>,
) -> ExitCode {
    let command = match config::cli::parse(arguments) {
        Ok(command) => command,
        Err(error) => {
            say(&format!("sipvouch: {error}; see sipvouch --help\n"));
            return ExitCode::from(USAGE);
        }
    };
    match command {
        Command::Serve { file, overrides } => serve(&file, overrides, checks),
        Command::Check { file, overrides } => check(&file, &overrides, &checks),
        Command::Settings {
            form: SettingsForm::Sample,
            ..
        } => print(&config::sample()),
        Command::Settings {
            form: SettingsForm::Markdown,
            ..
        } => print(&config::markdown()),
        Command::Settings {
            form: SettingsForm::InForce,
            file,
            overrides,
        } => match config::in_force(&file, &overrides) {
            Ok(text) => print(&text),
            Err(errors) => fail(errors),
        },
        Command::Certs { file, overrides } => certs(&file, &overrides, &checks),
        Command::Explain(question) => explain_one(&question, &checks),
        Command::Ctl(arguments) => ctl(arguments),
        Command::Manage(arguments) => manage::run(arguments, &Stores),
        Command::Version => print(concat!("sipvouch ", env!("SIPVOUCH_VERSION"), "\n")),
        Command::Help => print(&config::help()),
    }
}

fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    // A reader that has seen enough (`| head`) is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(faults: impl IntoIterator<Item: std::fmt::Display>) -> ExitCode {
    for fault in faults {
        say(&format!("sipvouch: {fault}\n"));
    }
    ExitCode::FAILURE
}

/// Exit status 0: all is honoured and safe; 1: it would serve, with notes; 2: it would not start.
fn check(path: &Path, overrides: &[Override], checks: &[Arc<dyn Check>]) -> ExitCode {
    let of_logs = config::faults_of_logs(path, overrides);
    let loaded = match server::load(path, overrides, checks) {
        Ok(loaded) if of_logs.is_empty() => loaded,
        loaded => {
            let mut faults = loaded.err().unwrap_or_default();
            faults.extend(of_logs.into_iter().map(Fault::from));
            fail(&faults);
            for note in config::notes(path, overrides) {
                say(&format!("sipvouch: {note}\n"));
            }
            let errors = faults
                .iter()
                .filter(|f| !matches!(f, Fault::Tls(t) if !t.is_error()))
                .count();
            say(&format!(
                "sipvouch: {}: {errors} to mend; the server would not start\n",
                path.display()
            ));
            return ExitCode::from(USAGE);
        }
    };
    let mut text = String::new();
    let configuration = &loaded.files.configuration;
    for listener in &configuration.listeners {
        let _ = match &listener.kind {
            ListenerKind::Udp { .. } | ListenerKind::Tcp => writeln!(
                text,
                "listens   {} {} ({})",
                listener.kind.name(),
                listener.address,
                listener.setting
            ),
            ListenerKind::Tls(tls) => writeln!(
                text,
                "listens   tls {} ({}) for {}, client certificates {:?}",
                listener.address, listener.setting, tls.domain, tls.verification
            ),
        };
    }
    let _ = writeln!(text, "domains   {}", loaded.composed.domains.join(", "));
    let (counts, faulty) = contents(&loaded.data);
    let _ = writeln!(text, "store     {}: {counts}", loaded.data.place());
    let _ = writeln!(
        text,
        "identity  rules {:?}, {} mappings{}",
        configuration.auth.rules,
        loaded.composed.snapshot.policy.rules.mappings.len(),
        match loaded.files.ca_rules() {
            0 => String::new(),
            1 => ", 1 rule for CAs".to_owned(),
            rules => format!(", {rules} rules for CAs"),
        }
    );
    let _ = write!(text, "{}", inventory(&loaded.files.report.certificates));
    let _ = write!(text, "{}", lists(&loaded.files.upkeep.crls()));
    let honoured = config::honoured(path, overrides);
    let _ = writeln!(text, "honours   {}", honoured.join(", "));
    let mut to_mend = 0;
    for note in &configuration.notes {
        to_mend += usize::from(note.class != NoteClass::Info);
        let _ = writeln!(text, "{note}");
    }
    for warning in &loaded.files.report.warnings {
        to_mend += 1;
        let _ = writeln!(text, "{warning}");
    }
    for fault in &loaded.files.mapping_faults {
        to_mend += 1;
        let _ = writeln!(text, "{fault}; this line is not used");
    }
    for note in loaded
        .files
        .notes_of_rights()
        .chain(loaded.files.notes_of_pins())
    {
        to_mend += 1;
        let _ = writeln!(text, "{note}");
    }
    for note in loaded.composed.notes.iter().chain(&faulty) {
        to_mend += 1;
        let _ = writeln!(text, "{note}");
    }
    let _ = match to_mend {
        0 => writeln!(text, "{}: good", path.display()),
        notes => writeln!(
            text,
            "{}: the server would start; {notes} things to know above",
            path.display()
        ),
    };
    print(&text);
    if to_mend == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Tables as `check` counts them, those first that a server asks one by one.
const COUNTED: [Table; 8] = [
    Table::User,
    Table::Identity,
    Table::Silo,
    Table::Domain,
    Table::Acl,
    Table::Route,
    Table::Filter,
    Table::Registration,
];

/// How many records each table has, and sentences about those that cannot be read or used as they are. The tables that are read whole have
/// their sentences already.
fn contents(data: &Data) -> (String, Vec<String>) {
    let mut counts = Vec::with_capacity(COUNTED.len());
    let mut faulty = Vec::new();
    for table in COUNTED {
        let Ok(count) = data.count(table) else {
            // What that means for a server is said where it is asked.
            counts.push(format!("{table} unknown"));
            continue;
        };
        counts.push(format!("{table} {}", count.records));
        if !matches!(table, Table::User | Table::Identity | Table::Silo) {
            continue;
        }
        let named = u64::try_from(count.faults.len()).unwrap_or(u64::MAX);
        let told = count.faults.iter();
        faulty.extend(told.map(|fault| format!("{fault}; this record is not used")));
        if count.unreadable > named {
            let more = count.unreadable - named;
            faulty.push(format!("{table}: and {more} more that cannot be read"));
        }
        let named = u64::try_from(count.notes.len()).unwrap_or(u64::MAX);
        faulty.extend(count.notes);
        if count.noted > named {
            let more = count.noted - named;
            faulty.push(format!("{table}: and {more} more to look at"));
        }
    }
    (counts.join(", "), faulty)
}

fn certs(path: &Path, overrides: &[Override], checks: &[Arc<dyn Check>]) -> ExitCode {
    match Files::load(path, overrides, checks) {
        Ok(files) => {
            let certificates = inventory(&files.report.certificates);
            print(&(certificates + &lists(&files.upkeep.crls())))
        }
        Err(faults) => fail(faults),
    }
}

/// One line a certificate, those that expire soon marked.
fn inventory(certificates: &[LoadedCertificate]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        let role = match &certificate.role {
            CertificateRole::Anchor => "anchor".to_owned(),
            CertificateRole::ListenerAnchor => "anchor of a listener".to_owned(),
            CertificateRole::ServerAnchor => "anchor of servers".to_owned(),
            CertificateRole::Server { domain } => format!("server {domain}"),
            CertificateRole::Intermediate { domain } => format!("chain of {domain}"),
        };
        let days = match certificate.days_left {
            days if days < 0 => format!("EXPIRED {} days ago", -days),
            days if days < SOON => format!("EXPIRES in {days} days"),
            days => format!("{days} days left"),
        };
        let names = certificate
            .names
            .iter()
            .map(|n| n.escape_debug().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let _ = writeln!(
            text,
            "{role}: {days}, {}, serial {}, subject {:?}, issuer {:?}, names [{names}], file {}",
            certificate.key,
            certificate.serial,
            certificate.subject,
            certificate.issuer,
            certificate.file.display()
        );
    }
    text
}

/// One line a CRL.
fn lists(crls: &[LoadedCrl]) -> String {
    let date = |seconds: i64| {
        Timestamp::from_second(seconds).map_or_else(|_| "never".to_owned(), |t| t.to_string())
    };
    let mut text = String::new();
    for crl in crls {
        let _ = writeln!(
            text,
            "{} of {:?}: {} certificates, from {} until {}, file {}",
            if crl.is_delta { "delta CRL" } else { "CRL" },
            crl.issuer,
            crl.entries,
            date(crl.this_update),
            crl.next_update.map_or_else(|| "never".to_owned(), date),
            crl.file.display()
        );
    }
    text
}

/// Exit status as `sipvouch ctl --help` says.
fn ctl(arguments: Vec<std::ffi::OsString>) -> ExitCode {
    let words = std::iter::once("ctl".into()).chain(arguments);
    let command = ctl_command().bin_name("sipvouch ctl");
    match command.try_get_matches_from(words) {
        Ok(matches) => run_ctl(&matches, control_socket),
        // Help is asked for, and no failure.
        Err(error) if !error.use_stderr() => print(&error.to_string()),
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(USAGE)
        }
    }
}

/// The control socket of the server with this configuration.
fn control_socket(file: Option<&Path>) -> Result<std::path::PathBuf, String> {
    let file = file.unwrap_or(Path::new("repro.config"));
    match config::control_socket(file, &[]) {
        Ok(Some(path)) => Ok(path),
        Ok(None) => Err(format!(
            "{}: ControlSocket is empty, so that its server takes no commands",
            file.display()
        )),
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(format!(
                "{}; name the file by --config, or the socket by --socket",
                errors.join("; ")
            ))
        }
    }
}

fn explain_one(question: &Question, checks: &[Arc<dyn Check>]) -> ExitCode {
    let loaded = match server::load(&question.file, &question.overrides, checks) {
        Ok(loaded) => loaded,
        Err(faults) => return fail(faults),
    };
    let mut text = String::new();
    let mut listeners = loaded.files.configuration.listeners.iter().enumerate();
    let first = listeners.find_map(|(number, own)| Some((number, own.kind.tls()?)));
    let eku = first.map(|(_, tls)| tls.eku).unwrap_or_default();
    let roots = first.map(|(_, tls)| tls.roots.clone()).unwrap_or_default();
    let options = &loaded.files.configuration.tls;
    let mut certificate = None;
    if let Some(path) = &question.certificate {
        let examined = match read_certificate_file(path, Some((options, eku, &roots))) {
            Ok(examined) => examined,
            Err(faults) => return fail(faults),
        };
        match &examined.verdict {
            Some(Err(refusal)) => {
                let _ = writeln!(text, "handshake refused: {refusal}");
                print(&text);
                return ExitCode::FAILURE;
            }
            _ => {
                let _ = writeln!(
                    text,
                    "handshake: the chain is good, anchored in {:?}",
                    examined.certificate.anchor_subject
                );
            }
        }
        certificate = Some(examined.certificate);
    }
    let policy = &loaded.composed.snapshot.policy;
    let Question {
        source, transport, ..
    } = *question;
    let digest_user = question.digest_user.as_deref();
    let occasion = |path| Occasion {
        path,
        listener: first.map_or(0, |(number, _)| number),
        now: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    };
    let certificate = certificate.as_deref();
    let explanation = match &question.request {
        Asked::Stated {
            from,
            method,
            to_tag,
            to,
        } => {
            let statement = Statement {
                from,
                to: to.as_deref(),
                referred_by: None,
                method,
                to_tag: *to_tag,
                transport,
                source,
                occasion: occasion(match method.as_str() {
                    "REGISTER" => IdentityPath::Registrar,
                    _ => IdentityPath::Proxy,
                }),
                digest_user,
            };
            explain(certificate, &statement, &policy.rules)
        }
        Asked::Captured(path) => {
            let head = match captured::read(path) {
                Ok(head) => head,
                Err(fault) => return fail([fault]),
            };
            let limits = loaded.files.configuration.engine.limits;
            let message = Message::parse(&head, head.len(), limits.fields);
            let from_rule = policy.rules.identity.from_rule();
            let request = Request::read(&message, from_rule).ok();
            let path = request.map_or_else(IdentityPath::default, |request| {
                text.push_str(&summary(&request));
                identity_path(&request, policy)
            });
            let scene = Scene {
                transport,
                source,
                occasion: occasion(path),
                digest_user,
            };
            explain_message(certificate, &message, &scene, &policy.rules)
        }
    };
    let _ = writeln!(text, "{explanation}");
    print(&text);
    if explanation.is_admitted() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What a captured request is, in one line and those of its Route.
fn summary(request: &Request<'_>) -> String {
    let mut text = format!(
        "request: {} {}, Call-ID {}, CSeq {}\n",
        request.method.as_str(),
        request.uri_text.escape_ascii(),
        request.call_id.escape_ascii(),
        request.cseq
    );
    for route in request.message.all(HeaderName::Route) {
        let _ = writeln!(text, "route: {}", route.escape_ascii());
    }
    text
}
