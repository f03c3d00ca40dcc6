//! Rules of CAs against real chains.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Meeting, PROGRAMS};
use super::{with_rules, write_mappings, write_rules};
use crate::harness::{NameServer, Remote, Request, TlsPeer};

const PATIENCE: Duration = Duration::from_secs(20);

/// The phone vendor's CA may name its phones, the domains' CA one domain.
const TWO_CAS: &str = "# phones\n\
    file=root-vendor.crt names=0004F2* roles=phone\n\
    file=root-example.crt domains=other.example.net roles=domain,server\n";

#[test]
fn two_cas_on_one_listener_vouch_each_for_its_own() {
    let setup = with_rules(TWO_CAS).set("CommonNameMappings", "mappings.txt");
    write_mappings(
        &setup,
        "0004F22B3EB5\talice@example.org\nAlice\talice@example.org\n",
    );
    let server = setup.start();
    let tls = server.tls();
    let (alice, net) = ("sip:alice@example.org", "sip:x@other.example.net");
    for (situation, certificate, claim, wanted) in [
        (
            "a phone of the vendor, mapped",
            "phone-0004F22B3EB5",
            alice,
            "200",
        ),
        (
            "the phone's name from the other CA",
            "phone-wrongroot",
            alice,
            "403",
        ),
        ("a user from the vendor", "alice-by-vendor", alice, "403"),
        ("a user from the domains' CA", "alice-uri", alice, "403"),
        (
            "our own domain from the domains' CA",
            "local-dns",
            alice,
            "403",
        ),
        ("a domain from the vendor", "other-vendor", net, "403"),
        ("its domain from the domains' CA", "other-dns", net, "480"),
        ("another domain", "sub-dns", "sip:x@sub.example.org", "403"),
    ] {
        for (program, version) in [(PROGRAMS[0], "1.2"), (PROGRAMS[1], "1.3")] {
            let meeting = Meeting::new(program, certificate).version(version);
            let met = match claim == alice {
                true => meeting.register(tls, claim),
                false => meeting.message(tls, claim),
            };
            assert_eq!(
                met.outcome,
                wanted,
                "{situation}, {program:?}\n{}",
                server.log()
            );
        }
    }
    let log = server.log();
    let told = log.lines().filter(|line| line.contains("ca-rights (From)"));
    let told: Vec<&str> = told.collect();
    assert!(!told.is_empty(), "{log}");
    assert!(
        told.iter().all(|line| line.contains("ca-rights.txt: ")),
        "{log}"
    );
}

#[test]
fn an_intermediate_has_rights_of_its_own() {
    let users = "subject=\"CN=Example Users CA,O=Example Organisation\"";
    for (rules, through, direct) in [
        (format!("{users} users=alice@example.org\n"), "200", "200"),
        (format!("{users} users=bob@example.org\n"), "403", "200"),
        (
            "file=int-users.crt roles=phone\nfile=root-example.crt users=bob@example.org\n"
                .to_owned(),
            "403",
            "403",
        ),
        (
            "file=int-users.crt roles=domain\nfile=root-example.crt users=alice@example.org\n"
                .to_owned(),
            "403",
            "200",
        ),
    ] {
        let server = with_rules(&rules).start();
        for (certificate, wanted) in [("alice-int-chain", through), ("alice-uri", direct)] {
            for (program, version) in [(PROGRAMS[0], "1.3"), (PROGRAMS[1], "1.2")] {
                let meeting = Meeting::new(program, certificate).version(version);
                let met = meeting.register(server.tls(), "sip:alice@example.org");
                assert_eq!(met.outcome, wanted, "{rules} {certificate} {program:?}");
            }
        }
    }
}

#[test]
fn a_reload_gives_and_takes_rights_of_who_is_connected_and_a_faulty_file_changes_nothing() {
    let server = with_rules("file=root-example.crt roles=phone\n").start();
    let mut alice = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake");
    let mut register = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
    register.contact = Some(String::new());
    let mut from = 0;
    for (rules, word, wanted) in [
        (None, "server.ready", 200),
        (
            Some("file=root-example.crt roles=domain\n"),
            "server.reloaded",
            403,
        ),
        (
            Some("file=root-example.crt roles=domain\nfile=root-example.crt rolls=phone\n"),
            "ca-rights.txt:2: ",
            403,
        ),
        (
            Some("file=root-example.crt users=alice@example.org\n"),
            "server.reloaded",
            200,
        ),
        (Some("# being written\n"), "ca-rights.txt:1: no rule", 200),
        (
            Some("file=root-example.crt roles=domain\n"),
            "server.reloaded",
            403,
        ),
        (Some(""), "ca-rights.txt:1: no rule", 403),
    ] {
        if let Some(rules) = rules {
            from = server.lines();
            write_rules(server.setup(), rules);
            server.sighup();
        }
        assert!(
            server.wait_after(&mut from, &[word], PATIENCE).is_some(),
            "{rules:?}: {}",
            server.log()
        );
        register = register.following();
        let answer = alice.ask(&register).response();
        assert_eq!(answer.status, wanted, "{rules:?}\n{}", server.log());
    }
}

#[test]
fn check_names_each_faulty_line_of_the_rules_file() {
    for (rules, told) in [
        ("names=x\n", "ca-rights.txt:1: no CA is named"),
        (
            "\n# x\nfile=none.crt names=x\n",
            "ca-rights.txt:3: file=\"none.crt\": ",
        ),
        (
            "file=ca-rights.txt names=x\n",
            "ca-rights.txt:1: file=\"ca-rights.txt\": holds no certificate",
        ),
        (
            "file=root-vendor.crt listeners=1\n",
            "ca-rights.txt:1: listeners=\"1\": no TLS listener",
        ),
        ("file=root-vendor.crt\n", "ca-rights.txt:1: nothing says"),
        ("", "ca-rights.txt:1: no rule in it"),
        (
            "file=root-vendor.crt names=*.example.org\n",
            "ca-rights.txt:1: names=\"*.example.org\": names= is for devices",
        ),
    ] {
        let setup = with_rules(rules);
        let (status, said) = setup.run(&["check", "repro.config", "--CARights=ca-rights.txt"]);
        assert_ne!(status, Some(0), "{rules}: {said}");
        assert!(said.contains(told), "{rules}: {said}");
    }
    let setup = with_rules(
        "file=root-vendor.crt roles=phone\nkeyid=01:02 roles=phone\nfile=root-untrusted.crt roles=phone\n",
    );
    let untrusted = crate::harness::Pki::get().path("ca/root-untrusted.crt");
    fs::copy(untrusted, setup.dir().join("root-untrusted.crt")).expect("a CA certificate");
    write_mappings(&setup, "phone@@keyid=01:02\talice@example.org\n");
    let (_, said) = setup.run(&[
        "check",
        "repro.config",
        "--CARights=ca-rights.txt",
        "--CommonNameMappings=mappings.txt",
    ]);
    for wanted in [
        "the server would start",
        "3 rules for CAs",
        "ca-rights.txt:2: no trust anchor is that CA",
        "ca-rights.txt:3: no trust anchor is that root",
        "mappings.txt:1: no trust anchor is that CA",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    fs::remove_file(setup.dir().join("ca-rights.txt")).expect("the rules file");
    let (status, said) = setup.run(&["check", "repro.config", "--CARights=ca-rights.txt"]);
    assert_ne!(status, Some(0), "{said}");
    assert!(said.contains("CARights = "), "{said}");
}

#[test]
fn explain_names_the_rules_file_and_the_ca() {
    let setup = with_rules(TWO_CAS);
    let vendor = crate::harness::Pki::get().client("alice-by-vendor");
    let (status, said) = setup.run(&[
        "explain",
        "repro.config",
        "--CARights=ca-rights.txt",
        "--cert",
        &vendor.display().to_string(),
        "--from",
        "sip:alice@example.org",
    ]);
    assert_ne!(status, Some(0), "{said}");
    for wanted in [
        "reason=ca-rights (From)",
        "ca-rights.txt",
        "CN=Phone Vendor Root",
    ] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
}

#[test]
fn a_server_whose_ca_may_not_vouch_for_it_gets_no_request() {
    for (rule, arrives) in [
        ("file=root-example.crt roles=phone,domain\n", false),
        (
            "file=root-example.crt roles=phone,domain\nfile=root-example.crt domains=other.example.net roles=server\n",
            true,
        ),
    ] {
        let names = NameServer::new(&["other.example.net 300 A 127.0.0.1"]);
        let server = with_rules(rule)
            .set("DNSServers", &names.address().to_string())
            .start();
        let remote = Remote::serving("other-dns");
        let port = remote.address().port();
        let mut alice = TlsPeer::named("alice-uri")
            .connect(server.tls())
            .expect("a handshake");
        let uri = format!("sip:carol@other.example.net:{port};transport=tls");
        let message = Request::new("MESSAGE", &uri, "sip:alice@example.org");
        alice.send_request(&message).expect("a connection");
        if arrives {
            let mut theirs = remote.accept();
            let found = theirs.next_request(PATIENCE);
            assert!(found.is_some(), "{}", server.log());
            continue;
        }
        // The server is told by an alert; it has no part in what we say upstream.
        let _theirs = std::thread::spawn(move || remote.accept_failing());
        let answer = alice.final_answer(&message, PATIENCE).response();
        assert_eq!(
            (answer.status, &*answer.reason),
            (500, "Certificate Name Mismatch"),
            "{}",
            server.log()
        );
        let line = server.wait_after(&mut 0, &["tls.server_refused"], PATIENCE);
        let line = line.expect("a line about the server");
        for wanted in [
            "fault=ca-rights",
            "wanted=other.example.net",
            "ca-rights.txt",
        ] {
            assert!(line.contains(wanted), "{wanted} in {line}");
        }
    }
}

#[test]
fn a_listener_may_be_where_a_ca_is_believed() {
    let (one, two) = (crate::harness::free_port(), crate::harness::free_port());
    let rules = format!("file=root-example.crt listeners={two}\n");
    let mut setup = with_rules(&rules);
    for (number, port) in [(1, one), (2, two)] {
        setup = setup
            .set(
                &format!("Transport{number}Interface"),
                &format!("127.0.0.1:{port}"),
            )
            .set(&format!("Transport{number}Type"), "TLS")
            .set(&format!("Transport{number}TlsDomain"), "example.org");
    }
    let server = setup.start();
    for (port, wanted) in [(one, "403"), (two, "200")] {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let met = Meeting::new(PROGRAMS[0], "alice-uri").register(at, "sip:alice@example.org");
        assert_eq!(met.outcome, wanted, "{}", server.log());
    }
}
