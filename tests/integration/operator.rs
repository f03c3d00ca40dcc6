//! The commands of an operator: `explain`, `certs`, `check`, `settings`. What they say must be what the server does.

use std::time::Duration;

use crate::harness::{Answer, Pki, Request, Setup, TlsPeer, run_to_end};

#[test]
fn explain_says_what_the_server_does() {
    let setup = mapped();
    let mut faults = Vec::new();
    let cases = [
        ("alice-uri", "sip:alice@example.org"),
        ("alice-uri", "sip:bob@example.org"),
        ("alice-uri", "sips:alice@EXAMPLE.org"),
        ("alice-cn", "sip:alice@example.org"),
        ("other-dns", "sip:anybody@other.example.net"),
        ("other-dns", "sip:alice@example.org"),
        ("multi-san", "sip:x@third.example.net"),
        ("multi-san", "sip:x@other.example.net"),
        ("phone-0004F22B3EB5", "sip:alice@example.org"),
        ("phone-0004F22B3EB5", "sip:bob@example.org"),
        ("wildcard-dns", "sip:carol@other.example.net"),
        ("no-names", "tel:+15551234567"),
        ("none", "sip:alice@example.org"),
        ("none", "sip:carol@other.example.net"),
    ];
    let said: Vec<(Option<i32>, String)> = cases
        .iter()
        .map(|(certificate, from)| explain(&setup, certificate, from))
        .collect();
    let server = setup.start();
    for ((certificate, from), (status, text)) in cases.iter().zip(said) {
        let mut peer = TlsPeer::named(certificate)
            .connect(server.tls())
            .expect("a handshake");
        let answer = peer.ask(&Request::new("MESSAGE", "sip:eve@example.org", from));
        let admitted = match answer {
            Answer::Response(response) => response.status != 403,
            other => panic!("{certificate} as {from}: {other:?}"),
        };
        if status != Some(i32::from(!admitted)) {
            faults.push(format!("{certificate} as {from}: admitted {admitted}, explain ended with {status:?}:\n{text}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn explain_names_what_it_found_and_what_would_help() {
    let setup = mapped();
    let (_, text) = explain(&setup, "alice-uri", "sip:bob@example.org");
    for word in ["sip:alice@example.org", "sip:bob@example.org", "403"] {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
    let (_, text) = explain(&setup, "phone-0004F22B3EB5", "sip:alice@example.org");
    assert!(text.contains("0004F22B3EB5"), "{text}");
    let (status, _) = setup.run(&[
        "explain",
        "--cert",
        "missing.pem",
        "--from",
        "sip:a@example.org",
    ]);
    assert_ne!(status, Some(0));
    let (status, text) = setup.run(&["explain"]);
    assert_eq!(
        status,
        Some(2),
        "a command line that is not understood: {text}"
    );
}

#[test]
fn identities_of_the_store_without_effect_are_told_wherever_one_might_wonder() {
    let setup = mapped();
    let add = ["identity", "add", "0004F22B3EB5", "bob@example.org"];
    let (status, text) = setup.run(&add);
    assert_eq!(status, Some(0), "{text}");
    let note = "not asked for while CommonNameMappings = ";
    assert!(text.contains(note), "{text}");
    let (_, text) = setup.run(&["check", "repro.config"]);
    let of_check = "TLS peer identities of the store are not asked for, because CommonNameMappings";
    assert!(text.contains(of_check), "{text}");
    let (status, text) = explain(&setup, "phone-0004F22B3EB5", "sip:bob@example.org");
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("not asked, because there are CommonNameMappings"),
        "{text}"
    );
    let (_, text) = setup.run(&["export", "out"]);
    assert!(text.contains("identity"), "{text}");
    let (status, text) = setup.run(&["import", "out"]);
    assert!(status == Some(0) && text.contains(note), "{text}");
    // A file without any mapping takes nobody's place, as in repro.
    std::fs::write(setup.dir().join("mappings.txt"), "# none yet\n").expect("mappings.txt");
    let (_, text) = setup.run(&["check", "repro.config"]);
    assert!(!text.contains(of_check), "{text}");
    let (status, text) = explain(&setup, "phone-0004F22B3EB5", "sip:bob@example.org");
    assert_eq!(status, Some(0), "{text}");
    let (_, text) = setup.run(&["identity", "add", "0004F22B3EB5", "eve@example.org"]);
    assert!(!text.contains(note), "{text}");
    let server = setup.start();
    assert!(!server.log().contains(of_check), "{}", server.log());
    let mapping = "0004F22B3EB5\talice@example.org\n";
    std::fs::write(server.dir().join("mappings.txt"), mapping).expect("mappings.txt");
    let mut from = 0;
    server.sighup();
    let told = server.wait_after(&mut from, &[of_check], std::time::Duration::from_secs(10));
    assert!(told.is_some(), "{}", server.log());
}

#[test]
fn a_filter_with_a_query_and_nobody_to_ask_is_told() {
    let setup = mapped();
    let add = [
        "filter", "add", "--header", "From", "--regex", "x", "sql", "SELECT 1",
    ];
    let (status, text) = setup.run(&add);
    assert_eq!(status, Some(0), "{text}");
    let (_, text) = setup.run(&["check", "repro.config"]);
    let note = "1 request filters query a data base, and there is none";
    assert!(text.contains(note), "{text}");
    assert!(setup.start().log().contains(note));
}

#[test]
fn certs_lists_every_certificate_with_its_role_and_days() {
    let (status, text) = mapped().run(&["certs", "repro.config"]);
    assert_eq!(status, Some(0), "{text}");
    for word in ["example.org", "Example Root", "Phone Vendor Root", "days"] {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
    assert!(!text.contains("PRIVATE"), "{text}");
}

#[test]
fn check_gathers_every_fault_with_file_and_line() {
    let setup = Setup::new(
        "TLSDomainName = example.org\nCertificatePath = certs\nTLSPort = 50b1\nTLSClientVerification = Sometimes\n\
         DisableAuth = perhaps\n",
    );
    let (status, text) = setup.run(&["check", "repro.config"]);
    assert_eq!(status, Some(2), "{text}");
    for word in [
        "repro.config:3",
        "50b1",
        "repro.config:4",
        "Sometimes",
        "repro.config:5",
        "perhaps",
    ] {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

#[test]
fn check_loads_the_files_and_names_every_bad_line() {
    let setup = mapped();
    let bad = "0004F22B3EB5\talice@example.org\nno tab\n0004F22B3EB5\tbob@example.org\n";
    std::fs::write(setup.dir().join("mappings.txt"), bad).expect("mappings.txt");
    let (status, text) = setup.run(&["check", "repro.config"]);
    assert_eq!(status, Some(2), "{text}");
    for word in ["mappings.txt:2", "mappings.txt:3"] {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

#[test]
fn check_offers_the_nearest_name_for_an_unknown_one() {
    let setup = Setup::new(
        "TLSDomainName = example.org\nCertificatePath = certs\nTLSClientVerifikation = None\n",
    );
    let (status, text) = setup.run(&["check", "repro.config"]);
    assert_eq!(status, Some(1), "{text}");
    for word in [
        "repro.config:3",
        "TLSClientVerifikation",
        "TLSClientVerification",
    ] {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

#[test]
fn settings_tell_value_and_origin() {
    let (status, text) = mapped().run(&["settings", "repro.config", "--TLSPort=5099"]);
    assert_eq!(status, Some(0), "{text}");
    let line = |name: &str| {
        text.lines()
            .find(|line| line.contains(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(line("TLSPort").contains("5099"), "{text}");
    assert!(line("TLSDomainName").contains("repro.config:1"), "{text}");
    let (status, text) = mapped().run(&["--help"]);
    assert_eq!(status, Some(0), "{text}");
    let (status, text) = mapped().run(&["--version"]);
    assert!(
        status == Some(0) && text.contains(env!("CARGO_PKG_VERSION")),
        "{text}"
    );
}

fn mapped() -> Setup {
    let setup = Setup::new(
        "TLSDomainName = example.org\nCertificatePath = certs\nTLSClientVerification = Optional\n\
         EnableCertificateAuthenticator = true\nDisableAuth = true\nCommonNameMappings = mappings.txt\n",
    );
    std::fs::write(
        setup.dir().join("mappings.txt"),
        "0004F22B3EB5\talice@example.org\n",
    )
    .expect("mappings.txt");
    setup
}

fn explain(setup: &Setup, certificate: &str, from: &str) -> (Option<i32>, String) {
    let file = Pki::get().path(&format!("clients/{certificate}.pem"));
    let file = file.to_string_lossy();
    let mut arguments = vec![
        "explain",
        "--config",
        "repro.config",
        "--method",
        "MESSAGE",
        "--from",
        from,
    ];
    if certificate != "none" {
        arguments.extend(["--cert", &*file]);
    }
    setup.run(&arguments)
}

#[test]
fn a_place_where_no_log_can_be_is_a_fault_of_check_and_of_the_start() {
    let logging = |text: &str| {
        Setup::new(&format!(
            "TLSDomainName = example.org\nCertificatePath = certs\nLoggingType = file\n{text}"
        ))
    };
    let pipe = |setup: &Setup| {
        let path = setup.dir().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    };
    for (situation, name, value, wanted) in [
        (
            "no directory",
            "AuditLog",
            "./none/a.jsonl",
            "none cannot be used",
        ),
        (
            "no directory",
            "LogFilename",
            "./none/x.log",
            "none cannot be used",
        ),
        (
            "a directory",
            "AuditLog",
            "./certs",
            "certs is a directory, not a file",
        ),
        (
            "a directory",
            "LoggingFilename",
            "./certs",
            "certs is a directory",
        ),
        ("a pipe", "AuditLog", "./pipe", "pipe is a named pipe"),
        ("a pipe", "LogFilename", "./pipe", "pipe is a named pipe"),
        (
            "the log",
            "AuditLog",
            "./repro.log",
            "is the file of the log already",
        ),
    ] {
        let other = match name.starts_with("Log") {
            true => "",
            false => "LogFilename = ./repro.log\n",
        };
        let setup = logging(&format!("{other}{name} = {value}\n")).set("LoggingType", "file");
        pipe(&setup);
        let (status, text) = setup.run(&["check", "repro.config"]);
        let (started, said) = run_to_end(&setup, Duration::from_secs(20));
        assert_eq!(status, Some(2), "{situation}: {text}");
        assert_eq!(
            started.and_then(|status| status.code()),
            Some(1),
            "{situation}: {said}"
        );
        for text in [text, said] {
            let told = text.lines().find(|line| line.contains(wanted));
            let told = told.unwrap_or_else(|| panic!("{situation}: no {wanted:?}: {text}"));
            assert!(
                told.contains("repro.config:") && told.contains(&format!(": {name}: ")),
                "{situation}: {told}"
            );
        }
        assert!(!setup.dir().join("repro.log").exists(), "{situation}");
    }
    let setup = logging("AuditLog = ./audit.jsonl\nLogFilename = /dev/null\n");
    let (status, text) = setup.run(&["check", "repro.config"]);
    assert_ne!(status, Some(2), "{text}");
    assert!(!setup.dir().join("audit.jsonl").exists());
}
