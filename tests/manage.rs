//! The operator's commands on the store, as an operator gives them: the program, its output and its exit status.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use sipvouch::store::embedded::{Access, Embedded};
use sipvouch::store::{Record, Route, Store, Table, User};
use tempfile::TempDir;

/// `alice-pw` of alice@example.org as repro has stored it.
const ALICE: &str = "[MD5]8ea972d8db3f90d047e3cb6b6e1ad9da\
    [SHA-256]4fdbcf490f83371231bdf7cb5ac198bcbb77d41386943626caaa0aa51e9da969\
    [SHA-512-256]23a3d8323b5fac34d4be83acc1f04c24c8bc960b2833d10bf42107932f38e8be";
/// The same of `alice@example.org`.
const ALICE_ALT: &str = "[MD5]deeebcf257ff9507047c26809b78cd5c\
    [SHA-256]d9e56d768d78029e8c8ae91343de5afb0b9e60ce23a51cb63833c2307f71c5e2\
    [SHA-512-256]cc2ee15a0e5db21b2cca2136c80bcd5d0c0059843c22bf2cd6bd8293979ca6da";

/// A store of its own for a test.
struct Place {
    dir: TempDir,
}

/// What a command said.
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Place {
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        place.create();
        place
    }

    fn create(&self) -> Embedded {
        Embedded::open(&self.store(), Access::Create).unwrap()
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("sipvouch.db")
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.run_with("", arguments)
    }

    /// Runs a command with this on its standard input.
    fn run_with(&self, input: &str, arguments: &[&str]) -> Said {
        let store = self.store();
        let store = store.to_str().unwrap();
        run(input, &[arguments, &["--store", store]].concat())
    }

    /// Runs a command that must do what it is asked.
    fn done(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.status, 0, "{arguments:?}: {}", said.err);
        said.out
    }

    /// Runs a command that must refuse, leave the store as it was, and say this.
    fn refused(&self, status: i32, arguments: &[&str], why: &str) {
        let before = self.create().version().unwrap();
        let said = self.run_with("secret\n", arguments);
        assert_eq!(
            said.status, status,
            "{arguments:?}: {}{}",
            said.out, said.err
        );
        assert!(said.err.contains(why), "{arguments:?}: {}", said.err);
        assert_eq!(said.out, "", "{arguments:?}");
        assert_eq!(self.create().version().unwrap(), before, "{arguments:?}");
    }

    fn user(&self, key: &str) -> User {
        match self.create().get(Table::User, key).unwrap() {
            Some(Record::User(user)) => user,
            other => panic!("{key}: {other:?}"),
        }
    }

    fn add_user(&self, address: &str, password: &str) {
        let said = self.run_with(&format!("{password}\n"), &["user", "add", address]);
        assert_eq!(said.status, 0, "{}", said.err);
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sipvouch"))
}

fn run(input: &str, arguments: &[&str]) -> Said {
    let mut child = program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Said {
        status: output.status.code().expect("no signal ends it"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_user_is_added_with_the_hashes_that_repro_stores() {
    let place = Place::new();
    let arguments = ["user", "add", "alice@Example.org", "--name", "Alice Smith"];
    let said = place.run_with("alice-pw\n", &arguments);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    assert_eq!(said.out, "added user alice@example.org\n");
    let expected = User {
        user: "alice".into(),
        domain: "example.org".into(),
        realm: "example.org".into(),
        password_hash: ALICE.into(),
        password_hash_alt: ALICE_ALT.into(),
        name: "Alice Smith".into(),
        ..User::default()
    };
    assert!(place.user("alice@example.org") == expected);
}

#[test]
fn a_user_is_added_with_other_algorithms_with_a_hash_and_without_a_password() {
    let md5 = "8ea972d8db3f90d047e3cb6b6e1ad9da";
    for (situation, input, options, hash) in [
        (
            "MD5 alone is bare",
            "alice-pw",
            &["--algorithms", "md5"][..],
            md5,
        ),
        ("a bare MD5 as it is", md5, &["--ha1"], md5),
        ("repro's text as it is", ALICE, &["--ha1"], ALICE),
        ("no password", "", &["--no-password"], ""),
        (
            "from standard input by name",
            "alice-pw\r",
            &["--password-stdin"],
            ALICE,
        ),
    ] {
        let place = Place::new();
        let arguments = [&["user", "add", "alice@example.org"], options].concat();
        let said = place.run_with(&format!("{input}\n"), &arguments);
        assert_eq!(said.status, 0, "{situation}: {}", said.err);
        assert!(
            place.user("alice@example.org").password_hash == hash,
            "{situation}"
        );
    }
}

#[test]
fn a_password_among_the_arguments_is_refused_and_not_repeated() {
    let place = Place::new();
    place.add_user("bob@example.org", "bob-pw");
    for arguments in [
        &["user", "add", "alice@example.org", "hunter2"][..],
        &[
            "user",
            "add",
            "alice@example.org",
            "--password-stdin",
            "hunter2",
        ],
        &[
            "user",
            "add",
            "alice@example.org",
            "--password-stdin=hunter2",
        ],
        &["user", "change", "bob@example.org", "--password", "hunter2"],
        &["user", "change", "bob@example.org", "--password=hunter2"],
        &["user", "add", "alice@example.org", "--ha1", "hunter2"],
        &["user", "add", "alice@example.org", "--ha1=hunter2"],
        &["user", "verify", "bob@example.org", "hunter2"],
    ] {
        place.refused(2, arguments, "never an argument");
        let said = place.run(arguments);
        assert!(!said.err.contains("hunter2"), "{}", said.err);
    }
}

#[test]
fn users_that_sip_does_not_take_are_refused() {
    let place = Place::new();
    place.add_user("alice@example.org", "alice-pw");
    for (arguments, why) in [
        (&["user", "add", "alice"][..], "no @"),
        (&["user", "add", "@example.org"], "empty"),
        (&["user", "add", "a b@example.org"], "blank"),
        (&["user", "add", "a@b@example.org"], "has an @"),
        (&["user", "add", "a:b@example.org"], "not as SIP takes it"),
        (&["user", "add", "alice@exa mple.org"], "no domain name"),
        (&["user", "add", "alice@example.org:5061"], "no port"),
        (&["user", "add", "alice@bücher.example"], "xn--"),
        (
            &["user", "add", "bob@example.org", "--email", "a\nb"],
            "control character",
        ),
        (
            &["user", "add", "bob@example.org", "--algorithms", "sha1"],
            "expected MD5",
        ),
        (&["user", "add", "bob@example.org", "--ha1"], "hexadecimal"),
        (
            &["user", "add", "alice@example.org"],
            "exists already; use: sipvouch user change",
        ),
        (&["user", "add", "alice@EXAMPLE.ORG"], "exists already"),
        (
            &["user", "show", "bob@example.org"],
            "no user bob@example.org",
        ),
        (
            &["user", "change", "bob@example.org", "--name", "Bob"],
            "no user",
        ),
        (&["user", "remove", "bob@example.org"], "no user"),
        (
            &["user", "remove", "alice@example.org", "bob@example.org"],
            "no user bob",
        ),
        (&["user", "verify", "bob@example.org"], "no user"),
    ] {
        place.refused(1, arguments, why);
    }
    for (input, why) in [
        ("", "is empty"),
        ("\n", "--no-password"),
        ("a\u{7}b\n", "control"),
    ] {
        let said = place.run_with(input, &["user", "add", "bob@example.org"]);
        assert_eq!(said.status, 1, "{input:?}");
        assert!(said.err.contains(why), "{input:?}: {}", said.err);
    }
}

#[test]
fn a_user_changes_and_keeps_what_is_not_given() {
    let place = Place::new();
    place.add_user("alice@example.org", "alice-pw");
    let email = [
        "user",
        "change",
        "alice@example.org",
        "--email",
        "alice@mail.example.org",
    ];
    assert_eq!(place.done(&email), "changed user alice@example.org\n");
    assert_eq!(place.done(&email), "unchanged user alice@example.org\n");
    let user = place.user("alice@example.org");
    assert!(user.email == "alice@mail.example.org" && user.password_hash == ALICE);

    let change = ["user", "change", "alice@example.org", "--password"];
    assert_eq!(place.run_with("another\n", &change).status, 0);
    let verify = ["user", "verify", "alice@example.org"];
    assert_eq!(place.run_with("another\n", &verify).status, 0);
    assert_eq!(place.run_with("alice-pw\n", &verify).status, 1);
}

#[test]
fn another_name_or_realm_needs_the_password_again() {
    let place = Place::new();
    place.add_user("alice@example.org", "alice-pw");
    place.add_user("bob@example.org", "bob-pw");
    let rename = [
        "user",
        "change",
        "alice@example.org",
        "--rename",
        "carol@example.org",
    ];
    place.refused(2, &rename, "needs the password again");
    let realm = [
        "user",
        "change",
        "alice@example.org",
        "--realm",
        "example.net",
    ];
    place.refused(2, &realm, "needs the password again");
    place.refused(
        2,
        &["user", "change", "alice@example.org"],
        "nothing to change",
    );
    let taken = [
        "user",
        "change",
        "alice@example.org",
        "--rename",
        "bob@example.org",
    ];
    place.refused(1, &taken, "exists already");

    let said = place.run_with("alice-pw\n", &[&rename[..], &["--password-stdin"]].concat());
    assert_eq!(
        (said.status, said.out.as_str()),
        (0, "changed user alice@example.org to carol@example.org\n")
    );
    place.refused(1, &["user", "show", "alice@example.org"], "no user");
    let verify = ["user", "verify", "carol@example.org"];
    assert_eq!(place.run_with("alice-pw\n", &verify).status, 0);
}

#[test]
fn a_new_password_is_hashed_for_every_algorithm_that_there_was_a_hash_for() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("repro.config");
    let text = format!(
        "TLSPort = 0\nDatabasePath = {}\nDigestChallengeAlgorithms = MD5\nDomains = example.org\n",
        dir.path().display()
    );
    fs::write(&config, text).unwrap();
    let user = |input: &str, word: &str, more: &[&str]| {
        let start = ["user", word, "alice@example.org", "--config"];
        let own = [&start[..], &[config.to_str().unwrap()], more].concat();
        run(input, &own)
    };
    let algorithms = || user("", "show", &["--json"]).json()[0]["algorithms"].clone();
    let list = ["--algorithms", "MD5,SHA-256"];
    assert_eq!(user("one\n", "add", &list).status, 0);
    let said = user("two\n", "change", &["--password"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    assert_eq!(algorithms(), serde_json::json!(["MD5", "SHA-256"]));
    assert_eq!(user("two\n", "verify", &[]).status, 0);
    let said = user("three\n", "change", &["--password", "--algorithms", "MD5"]);
    assert!(
        said.err.contains("no hash for SHA-256 any more"),
        "{}",
        said.err
    );
    assert_eq!(algorithms(), serde_json::json!(["MD5"]));
}

#[test]
fn an_argument_that_is_too_long_is_not_repeated_whole() {
    let place = Place::new();
    let long = "x".repeat(5000);
    let address = format!("{long}@example.org");
    for arguments in [
        &["user", "add", &address, "--no-password"][..],
        &["user", "show", &address],
        &["user", &long],
        &["route", "add", "^a", "sip:a@b", "--order", &long],
    ] {
        let said = place.run(arguments);
        assert_ne!(said.status, 0);
        assert!(said.err.contains("xxx…"), "{}", said.err);
        assert!(said.err.len() < 1000, "{}", said.err);
    }
}

#[test]
fn users_that_came_along_keep_their_passwords() {
    let place = Place::new();
    let user = |user: &str, domain: &str, hash: &str| {
        Record::User(User {
            user: user.into(),
            domain: domain.into(),
            realm: domain.into(),
            password_hash: hash.into(),
            ..User::default()
        })
    };
    let daniel = "[MD5]eb79e1770a63357657f129d6ad7ad76c\
        [SHA-256]19be34561dbfadecaafaafeb2a185ddd21724316555c11d7718e1c3d8f8e08ee\
        [SHA-512-256]ffd58ad873cf3fc6d8233bd43cd3f8a60ed1468f36261df69b7ada1332703e7f";
    let mixed = format!(
        "[MD5]8ea972d8db3f90d047e3cb6b6e1ad9da[SHA-256]{}",
        "0".repeat(64)
    );
    let store = place.create();
    store
        .put(&[
            user("alice", "example.org", ALICE),
            user("frank", "example.org", "cf7f8a609162c88e4d8d401ab2bd50ee"),
            user("daniel", "pocock.com.au", daniel),
            user("cut", "example.org", "[MD5]8ea972d8db3f90d047e3cb6b6e1"),
            user("none", "example.org", ""),
        ])
        .unwrap();
    let mut renamed = user("alice", "example.net", &mixed);
    if let Record::User(user) = &mut renamed {
        user.realm = "example.org".into();
    }
    store.put(&[renamed]).unwrap();
    for (address, password, status, said) in [
        (
            "alice@example.org",
            "alice-pw",
            0,
            "this is the password (MD5, SHA-256, SHA-512-256)",
        ),
        ("alice@example.org", "frank-pw", 1, "not the password"),
        ("frank@example.org", "frank-pw", 0, "(MD5)"),
        ("frank@example.org", "", 1, "not the password"),
        ("daniel@pocock.com.au", "daniel-pw", 0, "SHA-512-256"),
        (
            "alice@example.net",
            "alice-pw",
            1,
            "for MD5 and another one for SHA-256",
        ),
        ("cut@example.org", "alice-pw", 1, "cut off"),
        ("none@example.org", "", 1, "has no password"),
    ] {
        let found = place.run_with(&format!("{password}\n"), &["user", "verify", address]);
        assert_eq!(
            found.status, status,
            "{address}: {}{}",
            found.out, found.err
        );
        let text = found.out + &found.err;
        assert!(text.contains(said), "{address}: {text}");
    }
    let json = place.run_with(
        "frank-pw\n",
        &["user", "verify", "frank@example.org", "--json"],
    );
    assert_eq!(json.json()[0]["good"], true);
}

/// Waits until a terminal does not show what is typed.
fn wait_for_silence(terminal: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let modes = Command::new("stty")
            .args(["-F", terminal, "-a"])
            .output()
            .expect("stty");
        let modes = String::from_utf8(modes.stdout).unwrap();
        if modes.split_whitespace().any(|mode| mode == "-echo") {
            return;
        }
        assert!(Instant::now() < deadline, "{terminal} shows what is typed");
        thread::yield_now();
    }
}

/// Runs a command on a terminal of its own, and types each line when it is asked for.
fn on_terminal(command: &str, questions: &[(&str, &str)]) -> (i32, String) {
    let mut child = Command::new("script")
        .args(["-qec", &format!("tty && exec {command}"), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of bsdutils");
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut seen = String::new();
    for (question, answer) in questions {
        let mut octet = [0];
        while !seen.ends_with(question) {
            assert_eq!(screen.read(&mut octet).unwrap(), 1, "{question}: {seen}");
            seen.push(char::from(octet[0]));
        }
        wait_for_silence(seen.lines().next().unwrap().trim());
        keys.write_all(answer.as_bytes()).unwrap();
    }
    screen.read_to_string(&mut seen).unwrap();
    drop(keys);
    (child.wait().unwrap().code().unwrap(), seen)
}

#[test]
fn a_password_is_typed_twice_and_not_seen() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_sipvouch");
    let store = place.store();
    let store = store.display();
    let add = format!("'{program}' user add alice@example.org --store '{store}'");
    let (first, again) = ("Password of alice@example.org: ", "The same again: ");

    let typed = [(first, "alice-pw\n"), (again, "alice-pW\n")];
    let (status, seen) = on_terminal(&add, &typed);
    assert_eq!(status, 1, "{seen}");
    assert!(seen.contains("not the same"), "{seen}");

    let typed = [(first, "alice-pw\n"), (again, "alice-pw\n")];
    let (status, seen) = on_terminal(&add, &typed);
    assert_eq!(status, 0, "{seen}");
    assert!(!seen.contains("alice-pw"), "{seen}");
    assert!(place.user("alice@example.org").password_hash == ALICE);

    let verify = format!("'{program}' user verify alice@example.org --store '{store}'");
    assert_eq!(on_terminal(&verify, &[(first, "alice-pw\n")]).0, 0);
    assert_eq!(on_terminal(&verify, &[(first, "other\n")]).0, 1);
}

#[test]
fn hashes_are_shown_to_nobody() {
    let place = Place::new();
    place.add_user("alice@example.org", "alice-pw");
    for arguments in [
        &["user", "list"][..],
        &["user", "list", "--json"],
        &["user", "show", "alice@example.org"],
        &["user", "show", "alice@example.org", "--json"],
    ] {
        let out = place.done(arguments);
        assert!(out.contains("SHA-512-256"), "{out}");
        assert!(
            !out.contains("8ea972") && !out.contains("password_hash"),
            "{out}"
        );
    }
}

#[test]
fn users_are_listed_in_columns_by_domain_and_by_text() {
    let place = Place::new();
    for address in ["alice@example.org", "bob@example.org", "carol@example.net"] {
        place.add_user(address, "secret");
    }
    let out = place.done(&["user", "list"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    let column = lines[0].find("ALGORITHMS").unwrap();
    for line in &lines[1..] {
        assert_eq!(line.find("MD5"), Some(column), "{out}");
    }
    let names = |options: &[&str]| -> Vec<String> {
        let said = place.run(&[&["user", "list", "--json"], options].concat());
        let rows = said.json();
        rows.iter()
            .map(|row| row["user"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&[]), ["alice", "bob", "carol"]);
    assert_eq!(names(&["--domain", "Example.ORG"]), ["alice", "bob"]);
    assert_eq!(names(&["--text", "CAROL"]), ["carol"]);
    assert_eq!(
        names(&["--domain", "example.net", "--text", "alice"]),
        Vec::<String>::new()
    );
}

#[test]
fn a_long_list_comes_whole_and_a_reader_may_leave() {
    let place = Place::new();
    let users: Vec<Record> = (0..30_000)
        .map(|n| {
            Record::User(User {
                user: format!("user{n:05}"),
                domain: "example.org".into(),
                realm: "example.org".into(),
                ..User::default()
            })
        })
        .collect();
    place.create().put(&users).unwrap();
    assert_eq!(place.done(&["user", "list"]).lines().count(), 30_001);
    assert_eq!(place.run(&["user", "list", "--json"]).json().len(), 30_000);

    for form in [&["--quiet"][..], &["--json"]] {
        let mut child = program()
            .args(["user", "list", "--store"])
            .arg(place.store())
            .args(form)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut String::new()).unwrap();
        drop(lines);
        let mut err = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), err.as_str()), (Some(0), ""), "{form:?}");
    }
}

#[test]
fn domains_are_added_renamed_and_removed() {
    let place = Place::new();
    assert_eq!(
        place.done(&["domain", "add", "Example.ORG."]),
        "added domain example.org\n"
    );
    place.refused(
        1,
        &["domain", "add", "example.org"],
        "use: sipvouch domain change",
    );
    for (name, why) in [
        ("", "empty"),
        ("alice@example.org", "has an @"),
        ("example.org:5061", "no port"),
        ("*.example.org", "names no domain"),
        ("bücher.example", "xn--"),
    ] {
        place.refused(1, &["domain", "add", name], why);
    }
    place.done(&["domain", "change", "example.org", "--tls-port", "50000"]);
    let said = place.run(&["domain", "show", "EXAMPLE.org", "--json"]);
    assert_eq!(said.json()[0]["tls_port"], 50000);
    place.refused(2, &["domain", "change", "example.org"], "nothing to change");
    place.done(&["domain", "add", "example.com"]);
    let taken = ["domain", "change", "example.org", "--rename", "example.com"];
    place.refused(1, &taken, "exists already");
    place.done(&["domain", "change", "example.org", "--rename", "example.net"]);
    assert_eq!(
        place.done(&["domain", "list"]),
        "DOMAIN\nexample.com\nexample.net\n"
    );
    place.refused(
        1,
        &["domain", "remove", "example.com", "example.org"],
        "no domain example.org",
    );
    place.done(&["domain", "remove", "example.com", "example.net"]);
    assert_eq!(place.done(&["domain", "list"]), "DOMAIN\n");
}

#[test]
fn routes_are_named_by_their_number_or_key() {
    let place = Place::new();
    let add = |pattern: &str, rewrite: &str, order: &str| {
        place.done(&["route", "add", pattern, rewrite, "--order", order])
    };
    add(
        r"^sip:9([0-9]+)@example\.org",
        "sip:$1@127.0.0.1:5070",
        "10",
    );
    let out = add(r"^sip:conf@example\.org", "sip:conf@127.0.0.1", "5");
    assert_eq!(out, "added route ;5: :  : ^sip:conf@example\\.org\n");
    let rows = place.run(&["route", "list", "--json"]).json();
    let orders: Vec<_> = rows
        .iter()
        .map(|row| row["order"].as_i64().unwrap())
        .collect();
    assert_eq!(orders, [5, 10], "in the order in which they are tried");
    assert_eq!(rows[1]["number"], 2);
    let key = rows[1]["key"].as_str().unwrap();
    assert_eq!(
        place.done(&["route", "show", "2"]),
        place.done(&["route", "show", key])
    );

    let change = ["route", "change", "2", "--method", "INVITE", "--order", "1"];
    assert_eq!(
        place.done(&change),
        "changed route ;10: :  : ^sip:9([0-9]+)@example\\.org to ;1:INVITE :  : ^sip:9([0-9]+)@example\\.org\n"
    );
    let stored = place.create().get(Table::Route, key).unwrap();
    assert_eq!(stored, None, "the old key is gone");
    let change = ["route", "change", "1", "--rewrite", "sip:$1@127.0.0.1:5080"];
    place.done(&change);
    assert!(
        place
            .done(&["route", "list"])
            .contains("sip:$1@127.0.0.1:5080")
    );
    place.done(&["route", "remove", "1"]);
    place.refused(1, &["route", "show", "2"], "no route 2");
    place.refused(1, &["route", "remove", "0"], "no route 0");
    assert_eq!(place.done(&["route", "list"]).lines().count(), 2);
}

#[test]
fn routes_that_lead_nowhere_are_refused() {
    let place = Place::new();
    place.done(&["route", "add", "^sip:a@", "sip:b@127.0.0.1"]);
    for (arguments, why) in [
        (&["route", "add", "", "sip:a@b"][..], "never match"),
        (&["route", "add", "(", "sip:a@b"], "pattern \"(\""),
        (&["route", "add", "^sip:a", "sip:$1@b"], "none in brackets"),
        (&["route", "add", "^sip:(.)", "sip:$2@b"], "only $1"),
        (&["route", "add", "^sip:x", "a b"], "no SIP URI"),
        (&["route", "add", "^sip:x", "nonsense"], "no SIP URI"),
        (&["route", "add", "^sip:x", ""], "expected a URI"),
        (
            &["route", "add", "^sip:x", "sip:a@b", "--method", "IN VITE"],
            "no token",
        ),
        (
            &["route", "add", "^sip:a@", "sip:c@127.0.0.1"],
            "exists already",
        ),
        (
            &["route", "change", "1", "--rewrite", "sip:$1@b"],
            "none in brackets",
        ),
        (&["route", "remove", ";0: :  : ^sip:x"], "no route"),
    ] {
        place.refused(1, arguments, why);
    }
    let add = ["route", "add", "^sip:x", "sip:a@b", "--order", "-40000"];
    place.refused(2, &add, "-32768");
    let add = ["route", "add", "^sip:x", "sip:a@b", "--order", "-1"];
    assert_eq!(place.done(&add), "added route ;-1: :  : ^sip:x\n");
    place.refused(2, &["route", "add", "^sip:x"], "REWRITE");
    place.refused(2, &["route", "change", "1"], "nothing to change");
}

#[test]
fn acl_entries_are_addresses_or_names() {
    let place = Place::new();
    for (arguments, done) in [
        (
            &["acl", "add", "127.0.0.7"][..],
            "added acl :127.0.0.7/32:0:0:1\n",
        ),
        (
            &["acl", "add", "192.0.2.0/24:5060", "--transport", "tcp"],
            "added acl :192.0.2.0/24:5060:0:2\n",
        ),
        (
            &["acl", "add", "2001:db8::/64"],
            "added acl :2001:db8::/64:0:1:1\n",
        ),
        (
            &["acl", "add", "gw.example.net"],
            "added acl gw.example.net:/0:0:0:0\n",
        ),
        (
            &["acl", "add", "localhost"],
            "added acl :127.0.0.0/8:0:0:1\nadded acl :::1/128:0:1:1\n",
        ),
        (
            &["acl", "remove", "localhost"],
            "removed acl :127.0.0.0/8:0:0:1\nremoved acl :::1/128:0:1:1\n",
        ),
        (
            &["acl", "remove", "127.0.0.7"],
            "removed acl :127.0.0.7/32:0:0:1\n",
        ),
        (
            &[
                "acl",
                "change",
                "192.0.2.0/24:5060",
                "--transport",
                "tcp",
                "--port",
                "65000",
            ],
            "changed acl :192.0.2.0/24:5060:0:2 to :192.0.2.0/24:-536:0:2\n",
        ),
        (
            &[
                "acl",
                "change",
                "gw.example.net",
                "--entry",
                "gw2.example.net",
            ],
            "changed acl gw.example.net:/0:0:0:0 to gw2.example.net:/0:0:0:0\n",
        ),
    ] {
        assert_eq!(place.done(arguments), done, "{arguments:?}");
    }
    let rows = place.run(&["acl", "list", "--json"]).json();
    let row = rows
        .iter()
        .find(|row| row["entry"] == "192.0.2.0/24:65000")
        .unwrap();
    assert_eq!(
        (&row["port"], &row["transport"]),
        (&65000.into(), &"tcp".into())
    );
    let number = row["number"].to_string();
    assert!(
        place
            .done(&["acl", "show", &number])
            .contains("192.0.2.0/24:65000")
    );
    assert!(
        place
            .done(&["acl", "show", "gw2.example.net"])
            .contains("gw2")
    );
    assert!(
        place
            .done(&["acl", "list", "--text", "192.0.2"])
            .lines()
            .count()
            == 2
    );
}

#[test]
fn acl_entries_that_trust_too_much_or_nobody_are_refused() {
    let place = Place::new();
    place.done(&["acl", "add", "127.0.0.7"]);
    place.done(&["acl", "add", "gw.example.com"]);
    for (arguments, why) in [
        (&["acl", "add", "0.0.0.0/0"][..], "8 to 32"),
        (&["acl", "add", "192.0.2.7/24"], "write 192.0.2.0/24"),
        (&["acl", "add", "192.0.2.256"], "no IPv4 address"),
        (&["acl", "add", "*"], "a * stands for nothing"),
        (&["acl", "add", "*.example.net"], "a * stands for nothing"),
        (&["acl", "add", "GW.example.com"], "exists already"),
        (&["acl", "add", "alice@example.org"], "neither an address"),
        (
            &["acl", "add", "gw.example.net", "--port", "5061"],
            "neither port nor transport",
        ),
        (&["acl", "add", "127.0.0.7/32"], "exists already"),
        (
            &["acl", "remove", "127.0.0.7", "--transport", "udp"],
            "no acl 127.0.0.7",
        ),
        (&["acl", "show", "gw.example.net"], "no acl"),
        (
            &["acl", "change", "1", "--entry", "localhost"],
            "two entries",
        ),
    ] {
        place.refused(1, arguments, why);
    }
    place.refused(2, &["acl", "change", "1"], "nothing to change");
    place.refused(
        2,
        &["acl", "add", "127.0.0.8", "--transport", "pigeon"],
        "pigeon",
    );
}

#[test]
fn filters_are_added_changed_and_removed() {
    let place = Place::new();
    let add = [
        "filter",
        "add",
        "--header",
        "From",
        "--regex",
        "^.*sip:spammer@.*$",
        "--order",
        "10",
        "reject",
        "403",
        "Request Blocked",
    ];
    assert_eq!(
        place.done(&add),
        "added filter From:^.*sip:spammer@.*$::::\n"
    );
    place.done(&["filter", "add", "--method", "OPTIONS", "accept"]);
    place.done(&[
        "filter",
        "add",
        "--header",
        "To",
        "--regex",
        "sip:(.*)@",
        "--order",
        "20",
        "sql",
        "SELECT action FROM blocked WHERE name = '$11'",
    ]);
    let rows = place.run(&["filter", "list", "--json"]).json();
    let actions: Vec<_> = rows
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["accept", "reject", "sql"]);
    assert_eq!(rows[1]["action_data"], "403, Request Blocked");

    place.refused(1, &add, "exists already");
    place.done(&[
        "filter", "change", "2", "--method", "MESSAGE", "reject", "404",
    ]);
    let shown = place.run(&[
        "filter",
        "show",
        "From:^.*sip:spammer@.*$:::MESSAGE:",
        "--json",
    ]);
    assert_eq!(shown.json()[0]["action_data"], "404");
    place.done(&["filter", "remove", "1", "3"]);
    assert_eq!(place.done(&["filter", "list"]).lines().count(), 2);
}

#[test]
fn filters_that_would_not_do_what_they_say_are_refused() {
    let place = Place::new();
    place.done(&["filter", "add", "accept"]);
    for (arguments, why) in [
        (
            &["filter", "add", "--header", "From", "reject", "403"][..],
            "give --regex",
        ),
        (
            &["filter", "add", "--regex", "x", "reject", "403"],
            "give --header",
        ),
        (
            &[
                "filter", "add", "--header", "Fr om", "--regex", "x", "accept",
            ],
            "no token",
        ),
        (
            &[
                "filter", "add", "--header", "From", "--regex", "(", "accept",
            ],
            "regex",
        ),
        (
            &["filter", "add", "--method", "BYE", "reject"],
            "400 to 699",
        ),
        (
            &["filter", "add", "--method", "BYE", "reject", "200", "OK"],
            "400 to 699",
        ),
        (
            &[
                "filter", "add", "--method", "BYE", "reject", "403", "no $11",
            ],
            "must not repeat",
        ),
        (
            &["filter", "add", "--method", "BYE", "accept", "403"],
            "has none",
        ),
        (
            &["filter", "add", "--method", "BYE", "sql"],
            "expected a query",
        ),
        (
            &["filter", "add", "--method", "BYE", "sql", "SELECT $11"],
            "condition 1",
        ),
        (&["filter", "remove", "7"], "no filter 7"),
        (&["filter", "show", "From:x::::"], "no filter"),
    ] {
        place.refused(1, arguments, why);
    }
    place.refused(2, &["filter", "add", "--method", "BYE"], "ACTION");
    place.refused(2, &["filter", "add", "drop"], "drop");
    place.refused(2, &["filter", "change", "1"], "nothing to change");
}

#[test]
fn identities_are_added_changed_and_removed() {
    let place = Place::new();
    place.done(&["identity", "add", "0004F2999999", "Example.ORG"]);
    let out = place.done(&["identity", "add", "0004F2999999", "sip:alice@example.org"]);
    assert_eq!(out, "added identity 0004F2999999,alice@example.org\n");
    let change = [
        "identity",
        "change",
        "0004F2999999",
        "example.org",
        "--new-identity",
        "example.net",
    ];
    place.done(&change);
    let move_to = [
        "identity",
        "change",
        "0004F2999999",
        "alice@example.org",
        "--new-name",
        "desk-17",
    ];
    place.done(&move_to);
    let rows = place.run(&["identity", "list", "--json"]).json();
    let keys: Vec<_> = rows
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["0004F2999999,example.net", "desk-17,alice@example.org"]
    );
    let rows = place
        .run(&["identity", "list", "--json", "--domain", "example.org"])
        .json();
    assert_eq!(rows.len(), 1);
    assert!(
        place
            .done(&["identity", "show", "desk-17", "alice@example.org"])
            .contains("desk-17")
    );
    for (status, arguments, why) in [
        (
            1,
            &["identity", "add", "desk-17", "alice@example.org"][..],
            "exists already",
        ),
        (1, &["identity", "add", "", "alice@example.org"], "empty"),
        (1, &["identity", "add", "a,b", "alice@example.org"], "comma"),
        (
            1,
            &["identity", "add", "*", "example.org"],
            "a * stands for",
        ),
        (
            1,
            &["identity", "add", "desk-17", "a b@example.org"],
            "blank",
        ),
        (
            1,
            &["identity", "add", "desk-17", "exa mple.org"],
            "no domain name",
        ),
        (
            1,
            &["identity", "remove", "desk-17", "bob@example.org"],
            "no identity desk-17 bob",
        ),
        (
            1,
            &["identity", "show", "desk-18", "alice@example.org"],
            "no identity",
        ),
        (
            2,
            &["identity", "change", "desk-17", "alice@example.org"],
            "nothing to change",
        ),
        (2, &["identity", "remove", "desk-17"], "IDENTITY"),
    ] {
        place.refused(status, arguments, why);
    }
    place.done(&["identity", "remove", "desk-17", "alice@example.org"]);
    assert_eq!(place.done(&["identity", "list"]).lines().count(), 2);
}

#[test]
fn static_registrations_are_added_changed_and_removed() {
    let place = Place::new();
    let contact = "\"Desk\" <sip:desk@127.0.0.1:5071;transport=tcp>;q=0.5";
    let add = [
        "registration",
        "add",
        "desk@example.org",
        contact,
        "--path",
        "sip:127.0.0.1:5072;lr",
    ];
    assert_eq!(
        place.done(&add),
        "added registration sip:desk@example.org:\"Desk\"<sip:desk@127.0.0.1:5071;transport=tcp>;q=0.5\n"
    );
    place.done(&[
        "registration",
        "add",
        "sip:echo@example.org",
        "sip:echo@127.0.0.1:5070",
    ]);
    let rows = place.run(&["registration", "list", "--json"]).json();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["path"], "<sip:127.0.0.1:5072;lr>");
    let path = [
        "registration",
        "change",
        "1",
        "--path",
        "<sip:127.0.0.1:5072;lr>",
    ];
    place.done(&path);
    let moved = [
        "registration",
        "change",
        "sip:echo@example.org",
        "<sip:echo@127.0.0.1:5070>",
        "--new-contact",
        "sip:echo@127.0.0.1:5071",
    ];
    place.done(&moved);
    assert!(
        place
            .done(&["registration", "show", "2"])
            .contains("127.0.0.1:5071")
    );
    assert!(
        place
            .done(&["registration", "show", "1"])
            .contains("<sip:127.0.0.1:5072;lr>")
    );
    for (status, arguments, why) in [
        (
            1,
            &["registration", "add", "example.org", "sip:a@127.0.0.1"][..],
            "no user",
        ),
        (
            1,
            &["registration", "add", "tel:+1555", "sip:a@127.0.0.1"],
            "no SIP URI",
        ),
        (
            1,
            &["registration", "add", "a@example.org", "*"],
            "no address",
        ),
        (
            1,
            &["registration", "add", "a@example.org", "tel:+1555"],
            "neither a sip:",
        ),
        (
            1,
            &[
                "registration",
                "add",
                "a@example.org",
                "<sip:a@b>;expires=0",
            ],
            "never does",
        ),
        (
            1,
            &["registration", "add", "a@example.org", "<sip:a@b>;q=7"],
            "q=0.5",
        ),
        (
            1,
            &[
                "registration",
                "add",
                "a@example.org",
                "sip:a@127.0.0.1",
                "--path",
                "<sip:a>,<sip:b>",
            ],
            "comma",
        ),
        (1, &add, "exists already"),
        (
            1,
            &["registration", "remove", "a@example.org", "sip:a@127.0.0.1"],
            "no registration",
        ),
        (1, &["registration", "show", "3"], "no registration 3"),
        (2, &["registration", "change", "1"], "nothing to change"),
    ] {
        place.refused(status, arguments, why);
    }
    place.done(&["registration", "remove", "desk@example.org", contact]);
    assert_eq!(place.done(&["registration", "list"]).lines().count(), 2);
}

#[test]
fn an_export_comes_back_and_a_copy_is_a_store() {
    let place = Place::new();
    place.add_user("alice@example.org", "alice-pw");
    place.done(&["domain", "add", "example.org"]);
    let dir = place.dir.path().join("out");
    let dir = dir.to_str().unwrap();
    let out = place.done(&["export", dir]);
    assert!(out.contains("user          1 to "), "{out}");
    let rows = place.run(&["export", dir, "--json"]).json();
    assert!(
        rows.iter()
            .any(|row| row["table"] == "user" && row["records"] == 1)
    );

    let other = Place {
        dir: tempfile::tempdir().unwrap(),
    };
    let out = other.done(&["import", dir, "--dry-run"]);
    assert!(out.contains("a trial") && out.contains("1 added"), "{out}");
    assert!(other.create().is_empty().unwrap());
    let said = other.run(&["import", dir, "--json"]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert_eq!(said.json()[0]["dry_run"], false);
    assert_eq!(
        other
            .run_with("alice-pw\n", &["user", "verify", "alice@example.org"])
            .status,
        0
    );
    let said = other.run(&["import", dir, "--quiet"]);
    assert_eq!((said.status, said.out.as_str()), (0, ""));

    let copy = place.dir.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    assert!(place.done(&["backup", copy]).contains("octets to"));
    place.refused(1, &["backup", copy], "there already");
    assert!(place.run(&["backup", copy, "--replace", "--json"]).json()[0]["octets"].is_u64());
    assert_eq!(
        run("", &["user", "show", "alice@example.org", "--store", copy]).status,
        0
    );
}

#[test]
fn what_is_taken_over_and_will_not_work_is_pointed_out() {
    let source = Place::new();
    let broken = Route {
        matching_pattern: "(".into(),
        rewrite_expression: "sip:a@b".into(),
        ..Route::default()
    };
    let cut = User {
        user: "cut".into(),
        domain: "example.org".into(),
        password_hash: "[MD5]8ea972d8db3f90d047e3cb6b6e1".into(),
        ..User::default()
    };
    let records = [Record::Route(broken), Record::User(cut)];
    source.create().put(&records).unwrap();
    let dir = source.dir.path().join("out");
    let dir = dir.to_str().unwrap();
    source.done(&["export", dir]);
    let place = Place::new();
    let out = place.done(&["import", dir]);
    assert!(
        out.contains("look at") && out.contains("pattern") && out.contains("cut off"),
        "{out}"
    );

    fs::write(Path::new(dir).join("user.jsonl"), "{\"user\":\"a\"\n").unwrap();
    let said = place.run(&["import", dir, "--quiet"]);
    assert_eq!(said.status, 1);
    assert!(said.out.contains("not taken"), "{}", said.out);
    place.refused(1, &["import", "/nonexistent"], "No such file");
    let empty = place.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let empty = empty.to_str().unwrap().to_owned();
    place.refused(1, &["import", &empty], "holds no export");
}

#[test]
fn records_that_no_command_would_have_stored_are_pointed_out_when_they_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (file, lines) in [
        (
            "acl.jsonl",
            &[
                r#"{"address":"999","mask":32,"transport":1}"#,
                r#"{"address":"0.0.0.0","mask":0,"transport":1}"#,
                r#"{"address":"192.0.2.7","mask":32,"transport":4}"#,
                r#"{"address":"192.0.2.8","mask":32,"transport":1}"#,
                r#"{"tls_peer_name":"gw.example.net"}"#,
                r#"{"tls_peer_name":"GW.example.net"}"#,
            ][..],
        ),
        ("domain.jsonl", &[r#"{"domain":"*"}"#]),
        (
            "identity.jsonl",
            &[r#"{"peer_name":"*","authorized_identity":"example.org"}"#],
        ),
        (
            "registration.jsonl",
            &[r#"{"aor":"sip:a@example.org","contact":"<sip:a@b>;expires=0"}"#],
        ),
        (
            "route.jsonl",
            &[r#"{"matching_pattern":"^a","rewrite_expression":"nonsense"}"#],
        ),
        (
            "user.jsonl",
            &[r#"{"user":"a b","domain":"example.org","realm":"example.org"}"#],
        ),
    ] {
        fs::write(dir.join(file), lines.join("\n") + "\n").unwrap();
    }
    let place = Place::new();
    let import = ["import", dir.to_str().unwrap()];
    let said = place.run(&import);
    assert_eq!(said.status, 1);
    for why in [
        "nothing was stored",
        "not taken:\n  acl \":0.0.0.0/0:0:0:1\": trusts every IPv4 address",
        "--trust-wide-networks",
    ] {
        assert!(said.out.contains(why), "{why}: {}", said.out);
    }
    assert!(place.create().is_empty().unwrap());
    let out = place.done(&[&import[..], &["--trust-wide-networks"]].concat());
    let (_, notes) = out.split_once("taken, but look at:\n").unwrap();
    for (key, why) in [
        (":999/32", "\"999\" is no IP address"),
        (":0.0.0.0/0", "unsafe: it trusts every IPv4 address"),
        (":192.0.2.7/32", "transport 4 is not there"),
        ("GW.example.net:", "the same as \"gw.example.net\""),
        ("domain \"*\"", "it is not used"),
        ("*,example.org", "a * stands for nothing"),
        ("sip:a@example.org:", "a static registration never does"),
        ("^a", "no SIP URI"),
        ("a b@example.org", "has a blank"),
    ] {
        let told = notes
            .lines()
            .any(|line| line.contains(key) && line.contains(why));
        assert!(told, "{key}: {out}");
    }
    assert_eq!(notes.lines().count(), 9, "{out}");
}

#[test]
fn names_that_differ_in_letter_case_are_pointed_out() {
    let place = Place::new();
    place.add_user("Alice@example.org", "pw");
    let said = place.run_with("pw\n", &["user", "add", "alice@example.org"]);
    assert_eq!(said.status, 0);
    assert!(
        said.err.contains("there is Alice@example.org too"),
        "{}",
        said.err
    );
    place.done(&["identity", "add", "Desk-17", "alice@example.org"]);
    let said = place.run(&["identity", "add", "desk-17", "bob@example.org"]);
    assert_eq!(said.status, 0);
    assert!(said.err.contains("identities of Desk-17"), "{}", said.err);
    let said = place.run(&["identity", "add", "desk-17", "eve@example.org", "--json"]);
    assert!(said.err.contains("identities of Desk-17"), "{}", said.err);
    let said = place.run(&["identity", "add", "desk-18", "eve@example.org"]);
    assert_eq!(said.err, "");
    let said = place.run(&[
        "identity",
        "change",
        "desk-18",
        "eve@example.org",
        "--new-name",
        "DESK-18",
    ]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    let change = [
        "user",
        "change",
        "alice@example.org",
        "--no-password",
        "--rename",
    ];
    let said = place.run(&[&change[..], &["ALICE@example.org"]].concat());
    assert!(
        said.err.contains("there is Alice@example.org too"),
        "{}",
        said.err
    );
    place.done(&["acl", "add", "gw.example.org"]);
    place.done(&["acl", "add", "gw.example.net"]);
    let change = ["acl", "change", "gw.example.net", "--entry"];
    place.refused(
        1,
        &[&change[..], &["GW.example.org"]].concat(),
        "exists already",
    );
    place.done(&[&change[..], &["GW.example.net"]].concat());
}

#[test]
fn the_server_is_told_of_a_change_and_of_nothing_else() {
    let place = Place::new();
    let socket = place.dir.path().join("sipvouch.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = thread::spawn(move || {
        let mut questions = Vec::new();
        for answer in [
            "{\"ok\":true,\"result\":{}}\n",
            "{\"ok\":false,\"error\":\"busy\"}\n",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            questions.push(line);
        }
        questions
    });
    let socket = socket.to_str().unwrap();
    let add = ["domain", "add", "example.org", "--socket", socket];
    assert_eq!(place.run(&add).err, "");
    assert_eq!(
        place.run(&add).status,
        1,
        "nothing changes, nothing is told"
    );
    let said = place.run(&[
        "user",
        "add",
        "a@example.org",
        "--no-password",
        "--socket",
        socket,
    ]);
    assert_eq!(said.status, 0, "it is stored all the same");
    assert!(said.err.contains("could not be told: busy"), "{}", said.err);
    assert_eq!(
        server.join().unwrap(),
        [
            "{\"command\":\"changed\",\"tables\":[\"domain\"]}\n",
            "{\"command\":\"changed\",\"tables\":[\"user\"]}\n"
        ]
    );
    // Nobody listens there any more.
    let said = place.run(&["domain", "remove", "example.org", "--socket", socket]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
}

#[test]
fn what_was_done_is_said_in_json_or_not_at_all() {
    let place = Place::new();
    let rows = place
        .run(&["domain", "add", "example.org", "--json"])
        .json();
    assert_eq!(
        rows[0].to_string(),
        "{\"done\":\"added\",\"key\":\"example.org\",\"table\":\"domain\"}"
    );
    assert_eq!(
        place.done(&["domain", "remove", "example.org", "--quiet"]),
        ""
    );
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_a_slip() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("typo.db");
    let name = store.to_str().unwrap();
    for arguments in [
        &["domain", "add", "example.org"][..],
        &["user", "list"],
        &["export", "x"],
    ] {
        let said = run("", &[arguments, &["--store", name]].concat());
        assert_eq!(said.status, 1, "{arguments:?}");
        assert!(said.err.contains("typo.db"), "{}", said.err);
        assert!(said.err.contains("there is no store"), "{}", said.err);
        assert!(!store.exists());
    }
    let config = dir.path().join("repro.config");
    let text = format!("TLSPort = 0\nDatabasePath = {}\n", dir.path().display());
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let said = run("", &["user", "list", "--config", config]);
    assert_eq!(said.status, 1);
    assert!(
        said.err.contains("there is no store here; the first start"),
        "{}",
        said.err
    );
    // Here nothing is a slip: the configuration says where the server will look for it.
    let said = run("", &["domain", "add", "example.org", "--config", config]);
    assert_eq!(said.status, 0, "{}", said.err);
}

#[test]
fn an_import_that_fails_leaves_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let legacy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/legacy-repro/db");
    let old = dir.path().join("old");
    fs::create_dir(&old).unwrap();
    for name in ["repro_config.db", "repro_user.db"] {
        let octets = fs::read(legacy.join(name)).unwrap();
        fs::write(old.join(name), &octets[..octets.len().min(5000)]).unwrap();
    }
    let store = dir.path().join("new").join("own.db");
    fs::create_dir(store.parent().unwrap()).unwrap();
    let arguments = [
        "import",
        old.to_str().unwrap(),
        "--store",
        store.to_str().unwrap(),
    ];
    let said = run("", &arguments);
    assert_eq!(said.status, 1);
    assert!(said.err.contains("damaged"), "{}", said.err);
    let left = fs::read_dir(store.parent().unwrap()).unwrap().count();
    assert_eq!(left, 0);
    fs::write(
        old.join("repro_user.db"),
        fs::read(legacy.join("repro_user.db")).unwrap(),
    )
    .unwrap();
    fs::remove_file(old.join("repro_config.db")).unwrap();
    let said = run("", &arguments);
    assert_eq!(said.status, 0, "{}", said.err);
    let left = fs::read_dir(store.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn unknown_words_and_options_are_usage_errors() {
    for arguments in [
        &["user"][..],
        &["user", "frobnicate"],
        &["user", "list", "--frobnicate"],
        &["domain", "add"],
        &["domain", "list", "--store", "a", "--config", "b"],
        &["import"],
        &["completions", "tcsh"],
        &["man", "frobnicate"],
    ] {
        let said = run("", arguments);
        assert_eq!(said.status, 2, "{arguments:?}: {}", said.err);
        assert!(!said.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_is_given_with_an_example() {
    for (arguments, example) in [
        (
            &["user", "add", "--help"][..],
            "sipvouch user add alice@example.org",
        ),
        (
            &["help", "user", "add"],
            "sipvouch user add alice@example.org",
        ),
        (&["route", "add", "-h"], "sipvouch route add"),
        (&["import", "--help"], "sipvouch import"),
        (&["user", "--help"], "verify"),
    ] {
        let said = run("", arguments);
        assert_eq!(said.status, 0, "{arguments:?}");
        assert!(said.out.contains(example), "{arguments:?}: {}", said.out);
    }
    assert!(run("", &["--help"]).out.contains("sipvouch user"));
}

#[test]
fn completions_and_pages_are_printed_and_written() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run("", &["completions", shell]);
        assert_eq!(said.status, 0);
        assert!(said.out.contains("registration"), "{shell}");
    }
    assert!(run("", &["man"]).out.contains(".TH SIPVOUCH 1"));
    assert!(
        run("", &["man", "user"])
            .out
            .contains(".TH SIPVOUCH-USER 1")
    );
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        run("", &["man", "--dir", dir.path().to_str().unwrap()]).status,
        0
    );
    assert!(dir.path().join("sipvouch.1").exists());
    assert!(dir.path().join("sipvouch-acl.1").exists());
    assert_eq!(run("", &["man", "--dir", "/nonexistent"]).status, 1);
}

#[test]
fn a_backup_is_restored_and_what_was_there_before_is_named() {
    let place = Place::new();
    place.add_user("alice@example.org", "alice-pw");
    let copy = place.dir.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    place.done(&["backup", copy]);
    place.add_user("bob@example.org", "bob-pw");
    let said = place.run(&["restore", copy, "--json"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    let line = &said.json()[0];
    assert_eq!(line["file"], place.store().to_str().unwrap());
    let before = line["before"].as_str().unwrap().to_owned();
    let users = |store: &str| run("", &["user", "list", "--store", store]).out;
    assert!(!users(place.store().to_str().unwrap()).contains("bob"));
    assert!(users(&before).contains("bob"), "{before}");
    let said = place.done(&["restore", &before]);
    assert!(
        said.starts_with("restored ") && said.contains("what was there before is "),
        "{said}"
    );
    assert!(place.done(&["user", "list"]).contains("bob"));
    assert_eq!(place.done(&["restore", copy, "--quiet"]), "");
}

#[test]
fn a_backup_is_restored_where_there_is_no_store_and_only_into_an_embedded_one() {
    let place = Place::new();
    let copy = place.dir.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    place.done(&["backup", copy]);
    let config = place.dir.path().join("repro.config");
    let config_name = config.to_str().unwrap();
    let new = place.dir.path().join("new");
    fs::create_dir(&new).unwrap();
    let write = |more: &str| {
        let text = format!(
            "TLSDomainName = example.org\nDatabasePath = {}\n{more}",
            new.display()
        );
        fs::write(&config, text).unwrap();
    };
    write("");
    let said = run("", &["restore", copy, "--config", config_name]);
    assert_eq!(said.status, 0, "{}", said.err);
    assert!(!said.out.contains("before"), "{}", said.out);
    assert!(new.join("sipvouch.db").exists());
    write("DefaultDatabase = 1\nDatabase1Type = MySQL\nDatabase1Host = 127.0.0.1\n");
    let said = run("", &["restore", copy, "--config", config_name]);
    assert_eq!(said.status, 1);
    assert!(said.err.contains("embedded store only"), "{}", said.err);
}

#[test]
fn a_damaged_store_says_what_mends_it() {
    let place = Place::new();
    for number in 0..40 {
        place
            .create()
            .put(&[Record::User(User {
                user: format!("user{number}"),
                domain: "example.org".into(),
                password_hash: ALICE.into(),
                ..User::default()
            })])
            .unwrap();
    }
    let mut octets = fs::read(place.store()).unwrap();
    octets.truncate(4096 * 3);
    fs::write(place.store(), octets).unwrap();
    let said = place.run(&["user", "list"]);
    assert_eq!(said.status, 1);
    for word in ["damaged", "-wal", "-shm", "sipvouch restore BACKUP"] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
}

#[test]
fn a_backup_is_not_written_over_the_store_itself() {
    let place = Place::new();
    place.add_user("alice@example.org", "alice-pw");
    let store = place.store();
    let link = place.dir.path().join("link.db");
    std::os::unix::fs::symlink(&store, &link).unwrap();
    for to in [&store, &link] {
        place.refused(
            1,
            &["backup", to.to_str().unwrap(), "--replace"],
            "is the store itself",
        );
    }
    assert!(place.done(&["user", "list"]).contains("alice"));
}

#[test]
fn a_configuration_names_one_store_wherever_the_command_is_run_and_no_change_makes_one() {
    let place = TempDir::new().unwrap();
    let elsewhere = TempDir::new().unwrap();
    for (situation, setting, below) in [
        ("nothing is set", "", ""),
        ("a relative path", "DatabasePath = db\n", "db"),
    ] {
        let directory = place.path().join(below);
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir_all(elsewhere.path().join(below)).unwrap();
        let config = place.path().join("repro.config");
        fs::write(
            &config,
            format!("TLSDomainName = example.org\nTLSPort = 0\n{setting}"),
        )
        .unwrap();
        let from = |dir: &Path, arguments: &[&str]| {
            let output = program()
                .current_dir(dir)
                .args(arguments)
                .args(["--config", config.to_str().unwrap()])
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(said).unwrap())
        };
        for arguments in [
            &["domain", "remove", "example.org"][..],
            &["user", "change", "alice@example.org", "--name", "A"],
            &["user", "list"],
            &["backup", "copy.db"],
        ] {
            for dir in [place.path(), elsewhere.path()] {
                let (status, said) = from(dir, arguments);
                assert_eq!(status, Some(1), "{situation}: {arguments:?}: {said}");
                let wanted = format!(
                    "{}: there is no store here",
                    directory.join("sipvouch.db").display()
                );
                assert!(
                    said.contains(&wanted) && said.contains("sipvouch import"),
                    "{said}"
                );
            }
        }
        for dir in [&directory, &elsewhere.path().join(below)] {
            let left = fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().file_name());
            assert!(
                left.map(|name| name.into_string().unwrap())
                    .all(|name| !name.contains(".db"))
            );
        }
        let file = directory.join("sipvouch.db");
        let (status, said) = from(elsewhere.path(), &["domain", "add", "example.org"]);
        assert_eq!(status, Some(0), "{situation}: {said}");
        let store = Embedded::open(&file, Access::ReadOnly).unwrap();
        assert!(store.get(Table::Domain, "example.org").unwrap().is_some());
        drop(store);
        fs::remove_file(&file).unwrap();
        let (status, said) = from(elsewhere.path(), &["domain", "add", "example.org"]);
        assert_eq!(status, Some(1), "one that is gone: {said}");
        assert!(said.contains("the store that was here is gone") && !file.exists());
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir_all(place.path()).unwrap();
    }
}

#[test]
fn a_store_where_repro_would_have_looked_is_not_passed_over_in_silence() {
    let place = TempDir::new().unwrap();
    let working = TempDir::new().unwrap();
    let config = place.path().join("repro.config");
    fs::write(&config, "TLSPort = 0\nTCPPort = 5060\n").unwrap();
    let check = |dir: &Path| {
        let output = program()
            .current_dir(dir)
            .arg("check")
            .arg(&config)
            .output()
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let other = working.path().join("sipvouch.db");
    assert!(!check(working.path()).contains("working directory"));
    Embedded::open(&other, Access::Create).unwrap();
    Embedded::open(&place.path().join("sipvouch.db"), Access::Create).unwrap();
    let said = check(working.path());
    let wanted = format!(
        "the store in the working directory, {}, is not used",
        other.display()
    );
    assert!(said.contains(&wanted), "{said}");
    assert!(!check(place.path()).contains("working directory"));
}

#[test]
fn the_script_that_makes_certificates_says_how_it_is_used_and_makes_nothing_of_an_option() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-pki");
    let dir = tempfile::tempdir().unwrap();
    for (option, status) in [("--help", 0), ("--nonsense", 2)] {
        let mut command = Command::new(&script);
        let said = command.arg(option).current_dir(&dir).output().unwrap();
        let told = [said.stdout, said.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(said.status.code(), Some(status), "{told}");
        assert!(
            told.contains("usage: ") && told.contains("make-pki DIRECTORY"),
            "{told}"
        );
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "{option}");
    }
}

#[test]
fn hashes_that_no_password_fits_are_refused_and_those_that_come_over_are_named() {
    let place = TempDir::new().unwrap();
    let config = place.path().join("repro.config");
    fs::write(&config, "TLSPort = 0\nTCPPort = 5060\n").unwrap();
    let said = |input: &str, arguments: &[&str]| {
        let config = ["--config", config.to_str().unwrap()];
        run(input, &[arguments, &config].concat())
    };
    let damaged = ALICE.replacen("[MD5]8", "[MD5]z", 1);
    let twofold = format!("{ALICE}[MD5]deeebcf257ff9507047c26809b78cd5c");
    for (hash, why) in [
        (
            &damaged,
            "what stands for MD5 is not its 32 hexadecimal digits",
        ),
        (&twofold, "two different ones for MD5"),
    ] {
        let refused = said(hash, &["user", "add", "bob@example.org", "--ha1"]);
        assert_eq!(refused.status, 1, "{}", refused.out);
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    let export = place.path().join("out");
    fs::create_dir(&export).unwrap();
    let user = |user: &str, hash: &str| {
        format!("{{\"user\":\"{user}\",\"domain\":\"example.org\",\"password_hash\":\"{hash}\"}}\n")
    };
    let users =
        [("a", ALICE), ("b", &damaged), ("c", &twofold)].map(|(name, hash)| user(name, hash));
    fs::write(export.join("user.jsonl"), users.concat()).unwrap();
    let imported = said("", &["import", export.to_str().unwrap()]);
    assert_eq!(imported.status, 0, "{}", imported.err);
    let (_, noted) = imported.out.split_once("taken, but look at").unwrap();
    let check = program().arg("check").arg(&config).output().unwrap();
    let checked = String::from_utf8(check.stdout).unwrap();
    for text in [noted, &checked] {
        for wanted in [
            "\"b@example.org\": hash: what stands for MD5",
            "\"c@example.org\": hash: two different ones for MD5",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(
            !text.contains("\"a@example.org\"") && !text.contains("ea972d"),
            "{text}"
        );
    }
}

#[test]
fn a_filter_that_rejects_whatever_comes_is_noted() {
    let place = Place::new();
    for (arguments, noted) in [
        (&["filter", "add", "reject", "403", "No"][..], true),
        (
            &["filter", "add", "--method", "INVITE", "reject", "403"],
            false,
        ),
        (
            &["filter", "add", "--event", "presence", "reject", "403"],
            false,
        ),
        (
            &[
                "filter", "add", "--header", "From", "--regex", "x", "reject", "403",
            ],
            false,
        ),
        (
            &["filter", "add", "--method", "BYE", "--order", "9", "accept"],
            false,
        ),
        (&["filter", "change", "1", "--order", "3"], true),
    ] {
        let said = place.run(arguments);
        assert_eq!(said.status, 0, "{arguments:?}: {}", said.err);
        assert_eq!(
            said.err.contains("rejects every request"),
            noted,
            "{arguments:?}: {}",
            said.err
        );
    }
}

#[test]
fn an_export_with_numbers_that_mean_nothing_or_a_byte_order_mark_is_not_taken() {
    let place = Place::new();
    let export = place.dir.path().join("out");
    fs::create_dir(&export).unwrap();
    let acl = |address: &str, mask: i16, family: i16, transport: i16| {
        format!(
            "{{\"address\":\"{address}\",\"mask\":{mask},\"family\":{family},\"transport\":{transport}}}\n"
        )
    };
    let good = acl("192.0.2.0", 24, 0, 1);
    for (situation, text, told) in [
        (
            "a long mask",
            acl("192.0.2.7", 300, 0, 1),
            "a mask of 300 bits; expected 0 to 32",
        ),
        (
            "a mask below 0",
            acl("2001:db8::", -1, 1, 1),
            "a mask of -1 bits; expected 0 to 128",
        ),
        ("no family", acl("192.0.2.7", 32, 2, 1), "family 2"),
        ("no transport", acl("192.0.2.7", 32, 0, 9), "transport 9"),
        ("a mark", format!("\u{feff}{good}"), "byte order mark"),
    ] {
        fs::write(export.join("acl.jsonl"), format!("{text}{good}")).unwrap();
        let said = place.run(&["import", export.to_str().unwrap()]);
        assert_eq!(said.status, 1, "{situation}: {}", said.out);
        for word in [told, "not taken:", "nothing was stored"] {
            assert!(said.out.contains(word), "{situation}: {word}: {}", said.out);
        }
        assert!(place.create().is_empty().unwrap(), "{situation}");
    }
    // What repro takes for something else than a number is taken, and named.
    let other = acl("192.0.2.7", 32, 0, 4) + &acl("gw", 32, 0, 1) + &acl("192.0.2.8", 32, 0, 0);
    fs::write(export.join("acl.jsonl"), other).unwrap();
    let out = place.done(&["import", export.to_str().unwrap()]);
    assert!(
        out.contains("3 added") && out.contains("taken, but look at"),
        "{out}"
    );
}

#[test]
fn a_backup_that_is_none_is_not_answered_with_the_command_that_was_run() {
    let place = Place::new();
    place.add_user("alice@example.org", "alice-pw");
    let copy = place.dir.path().join("copy.db");
    place.done(&["backup", copy.to_str().unwrap()]);
    let whole = fs::read(&copy).unwrap();
    let mut overwritten = whole.clone();
    let from = overwritten.len() / 2;
    overwritten[from..].fill(0x55);
    for (situation, octets) in [
        ("no SQLite file", b"no store".to_vec()),
        ("a beginning", whole[..50].to_vec()),
        ("cut off", whole[..4096 * 3].to_vec()),
        ("overwritten", overwritten),
    ] {
        fs::write(&copy, octets).unwrap();
        let said = place.run(&["restore", copy.to_str().unwrap()]);
        assert_eq!(said.status, 1, "{situation}: {}", said.out);
        assert!(
            said.err.contains("restore another backup"),
            "{situation}: {}",
            said.err
        );
        assert!(
            !said.err.contains("sipvouch restore"),
            "{situation}: {}",
            said.err
        );
    }
    let directory = place.dir.path().to_str().unwrap();
    for arguments in [
        &["backup", directory][..],
        &["backup", directory, "--replace"],
    ] {
        place.refused(1, arguments, "is a directory; name a file in it");
    }
}
