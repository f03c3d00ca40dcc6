//! "Coming from repro", as the README has it: an old deployment is taken over with its users, domains, routes and rules.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Login, Pki, Request, Setup, TlsPeer, run_to_end, tests_dir};
use crate::parity::copy_files;

const PATIENCE: Duration = Duration::from_secs(10);

/// The recorded deployment, with its own configuration and certificates made by `make-pki`.
fn deployment() -> Setup {
    let legacy = tests_dir().join("golden/legacy-repro");
    let text = fs::read_to_string(legacy.join("repro.config")).unwrap();
    let setup = Setup::new(&text);
    for name in ["tlsUserMappings.txt", "users.txt"] {
        fs::copy(legacy.join(name), setup.dir().join(name)).unwrap();
    }
    copy_files(&legacy.join("db"), &setup.dir().join("db"));
    setup
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Contents of every file of a folder, by name.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("repro_"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn an_old_deployment_starts_as_it_is_and_its_files_stay_untouched() {
    let setup = deployment();
    let db = setup.dir().join("db");
    let before = contents(&db);
    let server = setup.start();
    let imported = server
        .wait_after(&mut 0, &["store.imported"], PATIENCE)
        .expect("what came over is said");
    for came in [
        "user=4",
        "domain=3",
        "acl=7",
        "route=3",
        "filter=3",
        "registration=2",
    ] {
        assert!(imported.contains(came), "{came}: {imported}");
    }
    assert_eq!(contents(server.dir().join("db").as_path()), before);
    // Domains, users and ACL of the data base are in force.
    let mut phone = TlsPeer::named("phone-0004F2266D79")
        .connect(server.tls())
        .unwrap();
    let mut register = Request::new("REGISTER", "sip:pocock.com.au", "sip:daniel@pocock.com.au");
    register.to = "sip:daniel@pocock.com.au".to_owned();
    let daniel = Login::new("daniel", "daniel-pw");
    assert_eq!(phone.ask_as(&register, &daniel).response().status, 200);
    let login = Login::new("alice", "alice-pw");
    let mut alice = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    for (to, status) in [
        ("sip:eve@example.org", 480),
        ("sip:nobody@example.org", 404),
        ("sip:bob@example.org", 480),
    ] {
        let request = Request::new("MESSAGE", to, "sip:alice@example.org");
        let answer = alice.ask_as(&request, &login).response();
        assert_eq!(answer.status, status, "{to}");
    }
    let mut gateway = TlsPeer::named("trusted-gw").connect(server.tls()).unwrap();
    let spam = Request::new(
        "INVITE",
        "sip:eve@example.org",
        "sip:spammer@elsewhere.example",
    );
    let answer = gateway.ask(&spam).response();
    assert_eq!(
        (answer.status, answer.reason.as_str()),
        (403, "Request Blocked")
    );
    // A second start imports nothing again.
    let server = server.kill_and_restart();
    assert!(!server.log().contains("store.imported"), "{}", server.log());
}

#[test]
fn check_reads_what_the_first_start_would_take_over_and_a_start_that_fails_leaves_no_store() {
    let setup = deployment();
    let db = setup.dir().join("db");
    let users = db.join("repro_user.db");
    let whole = fs::read(&users).unwrap();
    let (_, said) = setup.run(&["check", "repro.config"]);
    for word in [
        "db (not taken over yet): user 4, identity 0, silo 0, domain 3, acl 7, route 3",
        "the server would start",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let before = names(&db);
    fs::write(&users, &whole[..5000]).unwrap();
    let fault = |said: &str| {
        let line = said.lines().find(|line| line.contains("damaged"));
        line.unwrap_or_else(|| panic!("no fault: {said}"))
            .to_owned()
    };
    let (status, checked) = setup.run(&["check", "repro.config"]);
    assert_eq!(status, Some(2), "{checked}");
    assert!(fault(&checked).contains("repro_user.db: damaged"));
    let (status, started) = run_to_end(&setup, PATIENCE);
    assert!(status.is_some_and(|status| !status.success()), "{started}");
    assert_eq!(fault(&started), fault(&checked));
    let mut left = names(&db);
    left.retain(|name| name != "sipvouch.db-lock");
    assert_eq!(left, before, "no store is left of a start that failed");
    let (status, again) = setup.run(&["check", "repro.config"]);
    assert_eq!(status, Some(2), "{again}");
    fs::write(&users, &whole).unwrap();
    let server = setup.start();
    assert!(server.log().contains("user=4"), "{}", server.log());
    let (_, said) = server.setup().run(&["check", "repro.config"]);
    assert!(
        said.contains("sipvouch.db: user 4, identity 0, silo 0"),
        "{said}"
    );
}

#[test]
fn an_old_deployment_is_not_taken_over_again_in_the_place_of_a_store_that_is_gone() {
    let setup = deployment().start().kill();
    let (status, said) = setup.run(&["user", "remove", "eve@example.org"]);
    assert_eq!(status, Some(0), "{said}");
    let store = setup.dir().join("db/sipvouch.db");
    fs::remove_file(&store).unwrap();
    for (arguments, wanted) in [
        (&["check", "repro.config"][..], Some(2)),
        (&["user", "list"], Some(1)),
        (&["domain", "add", "new.example"], Some(1)),
    ] {
        let (status, said) = setup.run(arguments);
        assert_eq!(status, wanted, "{arguments:?}: {said}");
        assert!(said.contains("is gone"), "{arguments:?}: {said}");
        assert!(!said.contains("taken over"), "{arguments:?}: {said}");
    }
    let (status, said) = run_to_end(&setup, PATIENCE);
    assert_eq!(status.and_then(|s| s.code()), Some(1), "{said}");
    assert!(said.contains("is gone") && !store.exists(), "{said}");
    // Who wants them again says so.
    let (status, said) = setup.run(&["import", "db"]);
    assert_eq!(status, Some(0), "{said}");
    let server = setup.start();
    assert!(!server.log().contains("store.imported"), "{}", server.log());
}

#[test]
fn commands_before_the_old_deployment_has_come_over_say_that_it_has_not() {
    let setup = deployment();
    let db = setup.dir().join("db");
    let users = db.join("repro_user.db");
    let whole = fs::read(&users).unwrap();
    let before = names(&db);
    for arguments in [
        &["domain", "add", "new.example"][..],
        &["user", "list"],
        &["user", "verify", "alice@example.org"],
        &["export", "out"],
    ] {
        let (status, said) = setup.run(arguments);
        assert_eq!(status, Some(1), "{arguments:?}: {said}");
        for word in [
            "nothing of repro's has been taken over",
            "sipvouch import ",
            "db --config repro.config",
        ] {
            assert!(said.contains(word), "{arguments:?}: {said}");
        }
        assert_eq!(names(&db), before, "{arguments:?}");
    }
    fs::write(&users, &whole[..5000]).unwrap();
    let (status, said) = setup.run(&["import", "db"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("repro_user.db: damaged"), "{said}");
    assert_eq!(
        names(&db),
        before,
        "nothing is left of an import that failed"
    );
    fs::write(&users, &whole).unwrap();
    let (status, said) = setup.run(&["import", "db"]);
    assert_eq!(status, Some(0), "{said}");
    let mode = fs::metadata(db.join("sipvouch.db")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600, "it is its owner's alone");
    let (status, said) = setup.run(&["domain", "add", "new.example"]);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = setup.run(&["user", "list"]);
    assert!(
        status == Some(0) && said.contains("alice@example.org"),
        "{said}"
    );
}

#[test]
fn the_way_of_the_readme_import_check_start_and_the_phones_register() {
    let setup = deployment();
    let (status, said) = setup.run(&["import", "db", "--dry-run"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(!setup.dir().join("db/sipvouch.db").exists(), "a dry run");
    let (status, said) = setup.run(&["import", "db"]);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = setup.run(&["import", "db", "--json"]);
    assert_eq!(status, Some(0), "{said}");
    let report: serde_json::Value = serde_json::from_str(said.trim()).expect("a report");
    let users = report["tables"]
        .as_array()
        .and_then(|tables| tables.iter().find(|table| table["table"] == "user"))
        .expect("the users");
    assert_eq!(users["same"], 4, "{said}");
    let (_, said) = setup.run(&["check", "repro.config"]);
    assert!(said.contains("sub.example.org"), "{said}");
    for (user, password, right) in [
        ("alice@example.org", "alice-pw", true),
        ("bob@example.org", "bob-pw", true),
        ("eve@example.org", "eve-pw", true),
        ("daniel@pocock.com.au", "daniel-pw", true),
        ("alice@example.org", "bob-pw", false),
    ] {
        let status = setup.run_with_input(&["user", "verify", user], &format!("{password}\n"));
        assert_eq!(status.0, Some(i32::from(!right)), "{user}: {}", status.1);
    }
    let server = setup.start();
    assert!(Pki::get().path("clients/alice-uri.pem").exists());
    let mut alice = TlsPeer::named("alice-uri").connect(server.tls()).unwrap();
    let mut register = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
    register.to = "sip:alice@example.org".to_owned();
    // The deployment wants a password beside the certificate: the one that came over.
    assert_eq!(alice.ask(&register).response().status, 401);
    let login = Login::new("alice", "alice-pw");
    assert_eq!(
        alice
            .ask_as(&register.following(), &login)
            .response()
            .status,
        200
    );
}
