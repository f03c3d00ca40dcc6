//! Good and bad settings (`tests/golden/startup.tsv`): each gives what its column `wanted` says. Where repro started,
//! three requests show what it understood: nobody as alice, alice's certificate as bob, a phone as alice.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{
    Answer, Pki, Request, Server, Setup, TlsPeer, free_port, report, run_to_end, tests_dir,
};
use crate::parity::{copy_files, merged, table};

/// A refusal at start must come at once: nobody waits for a server that will not serve.
const REFUSAL: Duration = Duration::from_secs(5);

const ADMITTED: &str = "admitted";
const NOT_YOURS: &str = "403 Authentication Failed for peer cert";
const MUTUAL_TLS: &str = "403 Mutual TLS required to handle that message";

/// What the settings must lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It serves; the answers are the recorded ones, made secure.
    Starts,
    /// It serves, and its log names this.
    StartsWarning(&'static str),
    /// It ends with a message that has all of these in it.
    Refuses(&'static [&'static str]),
    /// It refuses with such a message, or serves with these answers.
    Either(&'static [&'static str], [&'static str; 3]),
}

use Wanted::{Either, Refuses, Starts, StartsWarning};

const PLAIN: [&str; 3] = [MUTUAL_TLS, NOT_YOURS, NOT_YOURS];

/// In the order of `startup.tsv`, with what the message must name.
const TABLE: &[(&str, Wanted)] = &[
    ("legacy-plain", Starts),
    ("legacy-enc-right", Starts),
    ("legacy-enc-wrong", Refuses(&["domain_key_example.org.pem"])),
    ("legacy-enc-none", Refuses(&["domain_key_example.org.pem"])),
    ("explicit-rsa", Starts),
    ("explicit-enc-right", Starts),
    ("explicit-enc-wrong", Refuses(&["server-rsa-enc.key"])),
    ("explicit-nokey", Refuses(&["missing.key"])),
    ("explicit-mismatch", Refuses(&["server-ec.key"])),
    ("wrong-domain", Refuses(&["other.org"])),
    ("no-domain", Refuses(&["TLSDomainName"])),
    ("no-mappings-file", Refuses(&["missing.txt"])),
    ("dup-mapping", Refuses(&["mappings.txt:3", "0004F22B3EB5"])),
    ("space-mapping", Refuses(&["mappings.txt:2"])),
    ("odd-mapping", Starts),
    ("two-tabs-mapping", Starts),
    ("empty-mapping", Starts),
    ("cadirectory", Starts),
    (
        "verify-bogus",
        Refuses(&["TLSClientVerification", "Sometimes", "repro.config:"]),
    ),
    ("verify-case", Starts),
    ("method-tlsv1", Either(&["TLSConnectionMethod"], PLAIN)),
    (
        "method-bogus",
        Refuses(&["TLSConnectionMethod", "TLSv1_3", "repro.config:"]),
    ),
    (
        "unknown-setting",
        StartsWarning("EnableCertificateAutenticator"),
    ),
    (
        "bool-yes",
        Either(
            &["EnableCertificateAuthenticator", "yes", "repro.config:"],
            PLAIN,
        ),
    ),
    ("key-case", Starts),
    ("transport1", Starts),
    (
        "transport1-default-verify",
        Either(
            &["Transport1TlsClientVerification"],
            ["alert:certificate_required", NOT_YOURS, NOT_YOURS],
        ),
    ),
    ("http-off", Starts),
];

#[test]
fn every_start_gives_what_its_case_wants() {
    let cases = table("startup.tsv");
    let listed: Vec<&str> = cases.iter().map(|cells| cells[0].as_str()).collect();
    let tested: Vec<&str> = TABLE.iter().map(|(case, _)| *case).collect();
    assert_eq!(tested, listed, "every case of startup.tsv has its row here");

    let mut faults = Vec::new();
    for ((case, wanted), cells) in TABLE.iter().zip(&cases) {
        let recorded = [&cells[4], &cells[5], &cells[6]].map(|answer| secure(answer));
        // Where the old server did not start, the plain answers are the measure.
        let answers = if cells[2] == "yes" {
            recorded
        } else {
            PLAIN.map(str::to_owned)
        };
        if let Err(fault) = play(case, *wanted, &answers) {
            faults.push(format!("  {case} ({}): {fault}", cells[8]));
        }
    }
    report(&format!(
        "startup: cases {}, as wanted {}\n",
        TABLE.len(),
        TABLE.len() - faults.len()
    ));
    assert!(
        faults.is_empty(),
        "{} starts went wrong:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// The recorded answer, but for a From that nothing proves: the old server believed it.
fn secure(recorded: &str) -> String {
    match recorded {
        "480 Temporarily Unavailable" => ADMITTED.to_owned(),
        other => other.to_owned(),
    }
}

fn play(case: &str, wanted: Wanted, recorded: &[String; 3]) -> Result<(), String> {
    let setup = with_old_files(prepare(case));
    let secrets = secrets(setup.dir());
    assert!(
        !secrets.is_empty(),
        "the test must know what it must not see"
    );
    let (log, result) = match wanted {
        Refuses(needles) => {
            let (status, text) = run_to_end(&setup, REFUSAL);
            let result = refused(status.and_then(|status| status.code()), &text, needles);
            (text, result)
        }
        Either(needles, answers) => {
            let (status, text) = run_to_end(&setup, REFUSAL);
            if status.is_some() {
                let result = refused(status.and_then(|status| status.code()), &text, needles);
                (text, result)
            } else {
                let server = setup.start();
                let result = answered(&server, &answers.map(str::to_owned));
                (server.log(), result)
            }
        }
        Starts | StartsWarning(_) => {
            let mut answers = recorded.clone();
            if answers[0] == ADMITTED {
                MUTUAL_TLS.clone_into(&mut answers[0]);
            }
            let server = setup.start();
            let mut result = answered(&server, &answers);
            if let StartsWarning(name) = wanted {
                let warned = server.log().contains(name);
                result = result.and(
                    warned
                        .then_some(())
                        .ok_or_else(|| format!("no warning names {name}")),
                );
            }
            (server.log(), result)
        }
    };
    if let Some(secret) = secrets.iter().find(|secret| log.contains(secret.as_str())) {
        return Err(format!(
            "the log shows key text or a pass phrase: {}…",
            &secret[..8]
        ));
    }
    result.map_err(|fault| format!("{fault}; it said:\n{log}"))
}

fn refused(status: Option<i32>, text: &str, needles: &[&str]) -> Result<(), String> {
    match status {
        None => return Err("it serves, or was killed by a signal".to_owned()),
        Some(0) => return Err("it ended with status 0".to_owned()),
        Some(101) => return Err("it panicked".to_owned()),
        Some(_) => {}
    }
    match needles.iter().find(|needle| !text.contains(**needle)) {
        Some(needle) => Err(format!("the message does not name {needle:?}")),
        None => Ok(()),
    }
}

fn answered(server: &Server, wanted: &[String; 3]) -> Result<(), String> {
    let requests = [
        ("none", "sip:alice@example.org"),
        ("alice-cn", "sip:bob@example.org"),
        ("phone-0004F22B3EB5", "sip:alice@example.org"),
    ];
    for ((certificate, from), wanted) in requests.iter().zip(wanted) {
        let got = match TlsPeer::named(certificate).settling().connect(server.tls()) {
            Err(outcome) => outcome.to_string(),
            Ok(mut connection) => {
                match connection.ask(&Request::new("MESSAGE", "sip:eve@example.org", from)) {
                    Answer::Response(r) if matches!(r.status, 400..=403 | 407 | 500 | 503) => {
                        format!("{} {}", r.status, r.reason)
                    }
                    Answer::Response(_) => ADMITTED.to_owned(),
                    other => format!("{other:?}"),
                }
            }
        };
        if got != *wanted {
            return Err(format!(
                "{certificate} as {from}: wanted {wanted}, got {got}"
            ));
        }
    }
    Ok(())
}

/// The situation that the case describes.
fn prepare(case: &str) -> Setup {
    let base =
        fs::read_to_string(tests_dir().join("golden/variants/base.config")).expect("base.config");
    let with = |settings: &str| Setup::new(&merged(&base, settings));
    let without = |name: &str, settings: &str| {
        let base: String = base
            .lines()
            .filter(|line| !line.starts_with(name))
            .map(|line| format!("{line}\n"))
            .collect();
        Setup::new(&merged(&base, settings))
    };
    let explicit = |certificate: &str, key: &str, rest: &str| {
        let setup = without(
            "CertificatePath",
            &format!(
                "TLSCertificate = {certificate}\nTLSPrivateKey = {key}\nCAFile = root-example.crt\n{rest}"
            ),
        );
        for file in [
            "server-rsa.crt",
            "server-rsa.key",
            "server-rsa-enc.key",
            "server-ec.key",
        ] {
            copy(&Pki::get().path(&format!("server/{file}")), &setup, file);
        }
        copy(
            &Pki::get().path("ca/root-example.crt"),
            &setup,
            "root-example.crt",
        );
        setup
    };
    let encrypted = |settings: &str| {
        let setup = with(settings);
        Pki::get().copy_folder("legacy-enc", &setup.dir().join("certs"));
        setup
    };
    let mapped = |text: &str| {
        let setup = with("CommonNameMappings = mappings.txt");
        fs::write(setup.dir().join("mappings.txt"), text).expect("mappings.txt");
        setup
    };
    let setup = match case {
        "legacy-plain" => with(""),
        "legacy-enc-right" => encrypted("TLSPrivateKeyPassPhrase = correct horse"),
        "legacy-enc-wrong" => encrypted("TLSPrivateKeyPassPhrase = battery staple"),
        "legacy-enc-none" => encrypted(""),
        "explicit-rsa" => explicit("server-rsa.crt", "server-rsa.key", ""),
        "explicit-enc-right" => explicit(
            "server-rsa.crt",
            "server-rsa-enc.key",
            "TLSPrivateKeyPassPhrase = correct horse",
        ),
        "explicit-enc-wrong" => explicit(
            "server-rsa.crt",
            "server-rsa-enc.key",
            "TLSPrivateKeyPassPhrase = battery staple",
        ),
        "explicit-nokey" => explicit("server-rsa.crt", "missing.key", ""),
        "explicit-mismatch" => explicit("server-rsa.crt", "server-ec.key", ""),
        "wrong-domain" => with("TLSDomainName = other.org"),
        "no-domain" => without("TLSDomainName", ""),
        "no-mappings-file" => with("CommonNameMappings = missing.txt"),
        "dup-mapping" => {
            mapped("# phones\n0004F22B3EB5\talice@example.org\n0004F22B3EB5\tbob@example.org\n")
        }
        "space-mapping" => mapped("# phones\n0004F22B3EB5    alice@example.org\n"),
        "odd-mapping" => {
            mapped("# phones\r\n\r\n  0004F22B3EB5\tbob@example.org, alice@example.org\r\n")
        }
        "two-tabs-mapping" => mapped("0004F22B3EB5\t\talice@example.org\n"),
        "empty-mapping" => mapped("# nobody yet\n\n"),
        "cadirectory" => without(
            "CertificatePath",
            "CADirectory = certs\nTLSCertificate = certs/domain_cert_example.org.pem\n\
             TLSPrivateKey = certs/domain_key_example.org.pem",
        ),
        "verify-bogus" => with("TLSClientVerification = Sometimes"),
        "verify-case" => with("TLSClientVerification = mandatory"),
        "method-tlsv1" => with("TLSConnectionMethod = TLSv1"),
        "method-bogus" => with("TLSConnectionMethod = TLSv1_3"),
        "unknown-setting" => with("EnableCertificateAutenticator = false"),
        "bool-yes" => with("EnableCertificateAuthenticator = yes"),
        "key-case" => {
            let shouted = base
                .lines()
                .filter_map(|line| line.split_once('='))
                .enumerate()
                .map(|(n, (name, value))| match n % 2 {
                    0 => format!("{}={value}\n", name.to_ascii_lowercase()),
                    _ => format!("{}={value}\n", name.to_ascii_uppercase()),
                })
                .collect::<String>();
            Setup::new(&shouted)
        }
        "transport1" => with(&format!(
            "{}\nTransport1TlsClientVerification = Mandatory",
            transport1()
        )),
        "transport1-default-verify" => with(&format!(
            "{}\nTLSClientVerification = Mandatory",
            transport1()
        )),
        "http-off" => with("HttpPort = 0"),
        other => panic!("no situation for case {other}"),
    };
    // The domains of the legacy data base, which is not read yet.
    setup.set("Domains", "example.org")
}

fn transport1() -> String {
    format!(
        "Transport1Interface = 127.0.0.1:{}\nTransport1Type = TLS\nTransport1TlsDomain = example.org",
        free_port()
    )
}

fn copy(from: &Path, setup: &Setup, name: &str) {
    fs::copy(from, setup.dir().join(name)).expect("a file of the test PKI");
}

/// What no log may show: the lines of every private key in the directory, and the pass phrases.
fn secrets(dir: &Path) -> Vec<String> {
    let mut found = vec!["correct horse".to_owned(), "battery staple".to_owned()];
    for folder in [dir.to_owned(), dir.join("certs")] {
        for entry in fs::read_dir(folder).expect("a directory of the test") {
            let path = entry.expect("an entry").path();
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            if text.contains("PRIVATE KEY-----") {
                found.extend(
                    text.lines()
                        .filter(|line| !line.starts_with('-') && line.len() > 20)
                        .map(str::to_owned),
                );
            }
        }
    }
    found
}

#[test]
fn the_old_deployment_starts_as_it_is() {
    let server = legacy().start();
    let log = server.log();
    let before = log.split("server.ready").next().unwrap_or_default();
    // Whatever is not honoured yet, or done by something else, is said before it serves.
    assert!(
        before.contains(": not yet: HttpBindAddress: "),
        "HttpBindAddress is neither honoured nor spoken of:\n{log}"
    );
    for setting in [
        "DisableAuth",
        "RecordRouteUri",
        "ForceRecordRouting",
        "TimerC",
        "RecursiveRedirect",
        "QValue",
        "ParallelForkStaticRoutes",
        "ContinueProcessingAfterRoutesFound",
        "DisableOutbound",
        "EnableFlowTokens",
    ] {
        assert!(
            !before.contains(setting),
            "{setting} is honoured, and yet spoken of:\n{log}"
        );
    }
    let mut phone = TlsPeer::named("phone-0004F22B3EB5")
        .settling()
        .connect(server.tls())
        .expect("a handshake");
    let answer = phone
        .ask(&Request::new(
            "MESSAGE",
            "sip:eve@example.org",
            "sip:bob@example.org",
        ))
        .response();
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (403, "Authentication Failed for peer cert")
    );
}

/// Whoever started it may have closed its end of standard error, or sent it to a full disk.
#[test]
fn a_start_does_not_depend_on_somebody_reading_standard_error() {
    let full = || {
        let file = fs::OpenOptions::new().write(true).open("/dev/full");
        file.expect("/dev/full")
    };
    let setup = Setup::usual()
        .set("LoggingType", "file")
        .set("LogFilename", "./log.txt");
    let mut server = setup.command().stderr(full()).spawn().expect("a start");
    let deadline = Instant::now() + REFUSAL;
    let log = setup.dir().join("log.txt");
    let ready = || fs::read_to_string(&log).is_ok_and(|lines| lines.contains("server.ready"));
    while !ready() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let serves = ready();
    let _ = server.kill();
    let ended = server.wait().expect("an end");
    assert!(serves, "{ended}");

    let bad = Setup::usual().set("WorkerThreads", "many");
    let refused = bad.command().stderr(full()).status().expect("an end");
    assert_eq!(refused.code(), Some(1));
}

#[test]
fn check_of_the_old_deployment_lists_everything() {
    let (status, text) = legacy().run(&["check", "repro.config"]);
    assert!(
        matches!(status, Some(0 | 1)),
        "check ended with {status:?}:\n{text}"
    );
    for port in ["udp 127.0.0.1:", "tcp 127.0.0.1:", "tls 127.0.0.1:"] {
        assert!(text.contains(&format!("listens   {port}")), "{text}");
    }
    for name in ["ForceRecordRouting", "HttpPort"] {
        assert!(
            text.contains(name),
            "check does not speak of {name}:\n{text}"
        );
    }
}

fn legacy() -> Setup {
    let folder = tests_dir().join("golden/legacy-repro");
    let text = fs::read_to_string(folder.join("repro.config")).expect("repro.config");
    let setup = Setup::new(&text);
    for file in ["tlsUserMappings.txt", "users.txt"] {
        copy(&folder.join(file), &setup, file);
    }
    with_old_files(setup)
}

/// The same with repro's Berkeley DB files beside the configuration.
fn with_old_files(setup: Setup) -> Setup {
    let old = tests_dir().join("golden/legacy-repro/db");
    copy_files(&old, &setup.dir().join("db"));
    setup
}
