//! The control socket of a running server, and `sipvouch ctl`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Connection, Pki, Request, Server, Setup, TlsPeer, heavy, run_to_end, tcp_from,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn socket(server: &Server) -> PathBuf {
    server.dir().join("sipvouch.sock")
}

fn connect(server: &Server) -> UnixStream {
    let stream = UnixStream::connect(socket(server)).expect("the control socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// The answer to a line, as it is.
fn say(server: &Server, line: &str) -> Value {
    let mut stream = connect(server);
    stream
        .write_all(format!("{line}\n").as_bytes())
        .expect("a command");
    answer(&mut BufReader::new(stream))
}

fn answer(reader: &mut impl BufRead) -> Value {
    let mut line = String::new();
    reader.read_line(&mut line).expect("an answer");
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
}

/// The result of a command that must be done.
fn call(server: &Server, command: &Value) -> Value {
    let answer = say(server, &command.to_string());
    assert_eq!(answer["ok"], json!(true), "{command}: {answer}");
    answer["result"].clone()
}

/// `sipvouch ctl`: exit status and all that it printed.
fn ctl(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_sipvouch"))
        .current_dir(directory)
        .arg("ctl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the sipvouch binary");
    let printed = [done.stdout, done.stderr].concat();
    (
        done.status.code(),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}

fn connections(server: &Server, more: &Value) -> Vec<Value> {
    let mut command = json!({"command": "connections"});
    for (name, value) in more.as_object().expect("members") {
        command[name] = value.clone();
    }
    let result = call(server, &command);
    assert_eq!(result["missing"], json!([]));
    result["connections"].as_array().expect("a list").clone()
}

fn registered(server: &Server) -> Connection {
    let mut alice = TlsPeer::named("alice-uri")
        .connect(server.tls())
        .expect("a handshake");
    let register = Request::new("REGISTER", "sip:example.org", "sip:alice@example.org");
    assert_eq!(alice.ask(&register).response().status, 200);
    alice
}

#[test]
fn status_tells_what_the_server_is_and_did() {
    let server = Setup::usual().start();
    let _alice = registered(&server);
    let status = call(&server, &json!({"command": "status"}));
    for (member, wanted) in [
        ("generation", json!(1)),
        ("connections", json!(1)),
        ("aors", json!(1)),
        ("overloaded_workers", json!(0)),
        ("draining", json!(false)),
        ("log_level", json!("info")),
    ] {
        assert_eq!(status[member], wanted, "{member} in {status}");
    }
    assert_eq!(status["counters"]["handshakes"], json!(1), "{status}");
    assert_eq!(status["counters"]["requests"], json!(1), "{status}");
    let listeners = status["listeners"].as_array().expect("a list");
    let tls = json!({"address": server.tls(), "transport": "tls"});
    let tcp = json!({"address": server.tcp(), "transport": "tcp"});
    assert!(
        listeners.contains(&tls) && listeners.contains(&tcp),
        "{status}"
    );
    let (done, text) = ctl(server.dir(), &["status"]);
    assert_eq!(done, Some(0), "{text}");
    assert!(text.contains("aors: 1\n"), "{text}");
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
}

#[test]
fn connections_tell_who_is_there_and_filters_choose() {
    let server = Setup::usual().start();
    let alice = registered(&server);
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let mut plain = tcp_from(elsewhere, server.tcp());
    assert_eq!(plain.ask(&Request::ping()).response().status, 200);
    let all = connections(&server, &json!({}));
    assert_eq!(all.len(), 2, "{all:?}");
    let hers = connections(&server, &json!({"identity": "ALICE@example"}));
    let [hers] = hers.as_slice() else {
        panic!("one is alice's: {hers:?}")
    };
    for (member, wanted) in [
        ("peer", json!(alice.local())),
        ("listener", json!(server.tls())),
        ("transport", json!("tls")),
        ("state", json!("open")),
        ("aors", json!(1)),
        ("octets_queued", json!(0)),
    ] {
        assert_eq!(hers[member], wanted, "{member} in {hers}");
    }
    assert_eq!(hers["tls"]["version"], json!(alice.version()));
    assert_eq!(hers["tls"]["sni"], json!("example.org"));
    assert_eq!(hers["tls"]["resumed"], json!(false));
    let certificate = &hers["certificate"];
    let names = certificate["identities"].as_str().expect("identities");
    assert!(names.contains("sip:alice@example.org"), "{certificate}");
    for member in ["subject", "issuer", "serial", "not_after"] {
        let text = certificate[member].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{member} in {certificate}");
    }
    for member in ["octets_in", "octets_out"] {
        assert!(hers[member].as_u64() > Some(200), "{member} in {hers}");
    }
    for (situation, filter) in [
        ("by address", json!({"peer": "127.0.0.9"})),
        ("by address and port", json!({"peer": plain.local()})),
        ("by listener", json!({"listener": server.tcp()})),
        (
            "by port",
            json!({"listener": server.tcp().port().to_string()}),
        ),
    ] {
        let found = connections(&server, &filter);
        let peers: Vec<&Value> = found.iter().map(|c| &c["peer"]).collect();
        assert_eq!(peers, [&json!(plain.local())], "{situation}");
        assert_eq!(found[0]["certificate"], Value::Null, "{situation}");
    }
    let refused = say(&server, r#"{"command":"connections","peer":"phone"}"#);
    assert_eq!(refused["ok"], json!(false), "{refused}");
    let (done, text) = ctl(server.dir(), &["connections", "--identity", "alice"]);
    assert_eq!(done, Some(0), "{text}");
    assert!(text.contains(&alice.local().to_string()), "{text}");
    assert!(text.ends_with("1 connections\n"), "{text}");
    let (done, text) = ctl(server.dir(), &["connections", "--json"]);
    assert_eq!(done, Some(0), "{text}");
    let parsed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(parsed["connections"].as_array().map(Vec::len), Some(2));
}

#[test]
fn many_connections_are_told_once_each() {
    let _alone = heavy();
    let server = Setup::usual()
        .set("ConnectionLimitExempt", "127.0.0.0/8")
        .set("WorkerThreads", "2")
        .start();
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let mut peers: Vec<Connection> = (0..600).map(|_| tcp_from(source, server.tcp())).collect();
    // The last one answers once its worker has them all; the others' workers take turns with it.
    for peer in peers.iter_mut().rev().take(2) {
        assert_eq!(peer.ask(&Request::ping()).response().status, 200);
    }
    let seen = connections(&server, &json!({"peer": "127.0.0.9"}));
    let numbers: BTreeSet<u64> = seen
        .iter()
        .filter_map(|c| c["connection"].as_u64())
        .collect();
    let addresses: BTreeSet<SocketAddr> = seen
        .iter()
        .filter_map(|c| c["peer"].as_str()?.parse().ok())
        .collect();
    let ours: BTreeSet<SocketAddr> = peers.iter().map(Connection::local).collect();
    assert_eq!((seen.len(), numbers.len()), (600, 600));
    assert_eq!(addresses, ours);
}

#[test]
fn closed_connection_is_closed_and_no_other() {
    let server = Setup::usual().start();
    let mut alice = registered(&server);
    let mut other = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    assert_eq!(other.ask(&Request::ping()).response().status, 200);
    let hers = connections(&server, &json!({"peer": alice.local()}));
    let number = hers[0]["connection"]
        .as_u64()
        .expect("a number")
        .to_string();
    let (done, text) = ctl(server.dir(), &["close", &number]);
    assert_eq!(done, Some(0), "{text}");
    assert!(alice.closed_within(PATIENCE));
    assert_eq!(other.ask(&Request::ping()).response().status, 200);
    let status = call(&server, &json!({"command": "status"}));
    assert_eq!(status["aors"], json!(0), "its bindings are gone: {status}");
    drop(alice);
    let (done, text) = ctl(server.dir(), &["close", "4711"]);
    assert_eq!(done, Some(1), "{text}");
    assert!(text.contains("no connection 4711"), "{text}");
}

#[test]
fn certificates_are_those_in_force() {
    let server = Setup::usual().start();
    let result = call(&server, &json!({"command": "certificates"}));
    let certificates = result["certificates"].as_array().expect("a list");
    let ours = certificates
        .iter()
        .find(|c| c["role"] == json!("server"))
        .expect("ours");
    assert_eq!(ours["domain"], json!("example.org"));
    assert!(ours["days_left"].as_i64() > Some(0), "{ours}");
    let file = ours["file"].as_str().unwrap_or_default();
    assert!(file.ends_with("domain_cert_example.org.pem"), "{ours}");
    assert!(certificates.iter().any(|c| c["role"] == json!("anchor")));
    let (done, text) = ctl(server.dir(), &["certificates"]);
    assert_eq!(done, Some(0), "{text}");
    assert!(text.contains("server example.org"), "{text}");
    assert!(!text.contains("PRIVATE"), "{text}");
}

#[test]
fn reload_tells_what_changed() {
    let server = Setup::usual().start();
    let config = server.dir().join("repro.config");
    let before = fs::read_to_string(&config).expect("repro.config");
    let mappings = server.dir().join("mappings.txt");
    fs::write(&mappings, "0004F22B3EB5\talice@example.org\n").expect("mappings.txt");
    let after = format!(
        "{before}ServerText = New Text\nCommonNameMappings = mappings.txt\nDomains = example.net\n\
         TLSPrivateKeyPassPhrase = s3cret\n"
    );
    fs::write(&config, after).expect("repro.config");
    let result = call(&server, &json!({"command": "reload"}));
    assert!(result["generation"].as_u64() > Some(1), "{result}");
    let setting = |name: &str| {
        let settings = result["settings"].as_array().expect("a list");
        settings.iter().find(|s| s["name"] == json!(name)).cloned()
    };
    assert_eq!(
        setting("ServerText"),
        Some(json!({"name": "ServerText", "before": null, "now": "New Text"}))
    );
    assert_eq!(
        setting("TLSPrivateKeyPassPhrase").map(|s| s["now"].clone()),
        Some(json!("(hidden)"))
    );
    assert_eq!(result["domains_added"], json!(["example.net"]));
    assert_eq!(result["mappings"], json!({"before": 0, "now": 1}));
    assert_eq!(result["certificates_added"], json!([]));
    // Another anchor in the directory.
    let anchor = Pki::get().path("ca/root-untrusted.crt");
    fs::copy(&anchor, server.dir().join("certs/root_cert_more.pem")).expect("an anchor");
    let (done, text) = ctl(server.dir(), &["reload"]);
    assert_eq!(done, Some(0), "{text}");
    assert!(text.contains("new certificate: anchor"), "{text}");
    let (_, text) = ctl(server.dir(), &["reload"]);
    assert!(text.starts_with("no difference"), "{text}");
    let log = server.log();
    assert!(log.contains("command=reload ok=true"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn reload_that_fails_tells_file_and_line_and_changes_nothing() {
    let server = Setup::usual().start();
    let mut old = registered(&server);
    let config = server.dir().join("repro.config");
    let before = fs::read_to_string(&config).expect("repro.config");
    fs::write(&config, format!("{before}TLSVerifyDepth = deep\n")).expect("repro.config");
    let (done, text) = ctl(server.dir(), &["reload"]);
    assert_eq!(done, Some(1), "{text}");
    let line = before.lines().count() + 1;
    assert!(text.contains(&format!("repro.config:{line}:")), "{text}");
    assert!(text.contains("what was in force stays in force"), "{text}");
    let answer = say(&server, r#"{"command":"reload"}"#);
    assert_eq!(
        answer["faults"].as_array().map(Vec::len),
        Some(1),
        "{answer}"
    );
    let status = call(&server, &json!({"command": "status"}));
    assert_eq!(status["generation"], json!(1));
    assert_eq!(old.ask(&Request::ping()).response().status, 200);
    let mut new = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    assert_eq!(new.ask(&Request::ping()).response().status, 200);
    // Signals and orders are of one kind: the next reload, by signal, is good again.
    fs::write(&config, before).expect("repro.config");
    let mut line = server.lines();
    server.sighup();
    let reloaded = server.wait_after(&mut line, &["server.reloaded"], PATIENCE);
    assert!(reloaded.is_some(), "{}", server.log());
}

#[test]
fn log_level_changes_what_is_logged_until_it_is_changed_back() {
    let server = Setup::usual().start();
    let visit = || {
        let mut peer = TlsPeer::anonymous()
            .connect(server.tls())
            .expect("a handshake");
        assert_eq!(peer.ask(&Request::ping()).response().status, 200);
        format!("tls.accepted conn={}", {
            let seen = connections(&server, &json!({"peer": peer.local()}));
            seen[0]["connection"].as_u64().expect("a number")
        })
    };
    let quiet = visit();
    let (done, text) = ctl(server.dir(), &["loglevel", "transport=debug,info"]);
    assert_eq!(done, Some(0), "{text}");
    let mut line = server.lines();
    let loud = visit();
    assert!(server.wait_after(&mut line, &[&loud], PATIENCE).is_some());
    // A reload is for the configuration, and logrotate makes one every night.
    call(&server, &json!({"command": "reload"}));
    let level = call(&server, &json!({"command": "loglevel"}));
    assert_eq!(level["log_level"], json!("sipvouch::transport=debug,info"));
    let level = call(&server, &json!({"command": "loglevel", "set": "default"}));
    assert_eq!(level["log_level"], json!("info"));
    let mut line = server.lines();
    let quiet_again = visit();
    call(&server, &json!({"command": "loglevel", "set": "info"}));
    let changed = server.wait_after(&mut line, &["command=loglevel"], PATIENCE);
    assert!(changed.is_some());
    let log = server.log();
    assert!(
        !log.contains(&quiet) && !log.contains(&quiet_again),
        "{log}"
    );
    let (done, text) = ctl(server.dir(), &["loglevel", "loud"]);
    assert_eq!(done, Some(1), "{text}");
}

/// `openssl s_client` from this address: the lines of its own key log.
fn handshake_of(server: &Server, source: &str, version: &str, own: &Path) -> BTreeSet<String> {
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &server.tls().to_string()])
        .args(["-bind", &format!("{source}:0"), version, "-quiet"])
        .args(["-servername", "example.org", "-no_ign_eof"])
        .arg("-keylogfile")
        .arg(own)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let ping = Request::ping().octets("TLS", server.tls());
    let mut stdin = client.stdin.take().expect("its input");
    stdin.write_all(&ping).expect("a request");
    let mut status = String::new();
    let mut answers = BufReader::new(client.stdout.take().expect("its output"));
    answers.read_line(&mut status).expect("an answer");
    assert!(status.contains("200"), "{status}");
    drop(stdin);
    let _ = client.wait();
    secrets(own)
}

/// The lines of a key log but its comments.
fn secrets(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn key_log_has_the_secrets_of_that_peer_and_of_no_other() {
    let server = Setup::usual().start();
    let directory = server.dir();
    let keys = directory.join("keys");
    let mut line = server.lines();
    let before = handshake_of(&server, "127.0.0.21", "-tls1_3", &directory.join("own0"));
    assert!(before.len() >= 4, "s_client logs its own: {before:?}");
    let (done, text) = ctl(
        directory,
        &[
            "keylog",
            "--peer",
            "127.0.0.21",
            "--seconds",
            "600",
            "--file",
            "keys",
        ],
    );
    assert_eq!(done, Some(0), "{text}");
    assert!(
        server
            .wait_after(&mut line, &["WARN tls.keylog_started"], PATIENCE)
            .is_some()
    );
    let mode = fs::metadata(&keys).expect("the file").mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut wanted = BTreeSet::new();
    wanted.extend(handshake_of(
        &server,
        "127.0.0.21",
        "-tls1_3",
        &directory.join("own1"),
    ));
    let others = handshake_of(&server, "127.0.0.22", "-tls1_3", &directory.join("other"));
    // New contexts, and the other version.
    call(&server, &json!({"command": "reload"}));
    wanted.extend(handshake_of(
        &server,
        "127.0.0.21",
        "-tls1_2",
        &directory.join("own2"),
    ));
    let second =
        json!({"command": "keylog", "peer": "127.0.0.22", "seconds": 5, "file": "/nowhere/x"});
    let answer = say(&server, &second.to_string());
    assert_eq!(answer["ok"], json!(false), "one at a time: {answer}");
    let (done, text) = ctl(directory, &["keylog", "off"]);
    assert_eq!(done, Some(0), "{text}");
    assert!(
        server
            .wait_after(&mut line, &["WARN tls.keylog_ended"], PATIENCE)
            .is_some()
    );
    let after = handshake_of(&server, "127.0.0.21", "-tls1_3", &directory.join("own3"));
    let logged = secrets(&keys);
    assert_eq!(logged, wanted);
    for foreign in [&before, &others, &after] {
        assert!(!foreign.is_empty() && logged.is_disjoint(foreign));
    }
    // A file that is there, and one at the end of a link, are left alone.
    std::os::unix::fs::symlink(directory.join("target"), directory.join("link")).expect("a link");
    for name in ["keys", "link"] {
        let (done, text) = ctl(
            directory,
            &[
                "keylog",
                "--peer",
                "127.0.0.21",
                "--seconds",
                "9",
                "--file",
                name,
            ],
        );
        assert_eq!(done, Some(1), "{name}: {text}");
    }
    assert_eq!(secrets(&keys), wanted);
    assert!(!directory.join("target").exists());
    let (done, _) = ctl(directory, &["keylog", "off"]);
    assert_eq!(done, Some(1), "there is none any more");
}

#[test]
fn key_log_is_of_one_port_and_ends_by_itself() {
    let server = Setup::usual().start();
    let keys = server.dir().join("keys");
    let mut line = server.lines();
    let order = |peer: &str, seconds: u64| json!({"command": "keylog", "peer": peer, "seconds": seconds, "file": keys});
    for (situation, bad) in [
        ("no time", order("127.0.0.3", 0)),
        ("more than an hour", order("127.0.0.3", 3601)),
        (
            "a relative name",
            json!({"command": "keylog", "peer": "127.0.0.3", "seconds": 5, "file": "keys"}),
        ),
    ] {
        let answer = say(&server, &bad.to_string());
        assert_eq!(answer["ok"], json!(false), "{situation}: {answer}");
        assert!(!keys.exists(), "{situation}");
    }
    let state = call(&server, &order("127.0.0.3:1", 2));
    assert_eq!(state["on"], json!(true), "{state}");
    let mut peer = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    assert_eq!(peer.ask(&Request::ping()).response().status, 200);
    let ended = server.wait_after(&mut line, &["tls.keylog_ended"], PATIENCE);
    assert!(ended.is_some_and(|line| line.contains("lines=0") && line.contains("reason=time")));
    let state = call(&server, &json!({"command": "keylog"}));
    assert_eq!(state, json!({"on": false}));
    assert_eq!(fs::read_to_string(&keys).expect("the file"), "");
}

#[test]
fn drain_ends_the_server_in_peace() {
    let mut server = Setup::usual().start();
    let mut alice = registered(&server);
    let (done, text) = ctl(server.dir(), &["drain"]);
    assert_eq!(done, Some(0), "{text}");
    assert!(alice.closed_within(PATIENCE));
    drop(alice);
    let status = server.ended(PATIENCE).expect("an end");
    assert!(status.success(), "{}", server.log());
    assert!(server.log().contains("server.ended"), "{}", server.log());
    assert!(!socket(&server).exists(), "the socket goes with the server");
    let (done, text) = ctl(server.dir(), &["status"]);
    assert_eq!(done, Some(3), "{text}");
}

#[test]
fn changed_tables_are_taken_up_and_what_is_no_table_is_refused() {
    let server = Setup::usual().start();
    for (words, wanted) in [
        (&["changed", "user"][..], 0),
        (&["changed", "domain", "acl"], 0),
        (&["changed", "furniture"], 1),
    ] {
        let (done, text) = ctl(server.dir(), words);
        assert_eq!(done, Some(wanted), "{words:?}: {text}");
    }
}

#[test]
fn nonsense_is_answered_or_cut_off_and_holds_nobody() {
    let server = Setup::usual().start();
    for line in ["", "nonsense", "{}", "{\"command\":\"dance\"}", "\u{0}"] {
        let answer = say(&server, line);
        assert_eq!(answer["ok"], json!(false), "{line:?}: {answer}");
    }
    // The connection stays: the next line is taken.
    let mut stream = BufReader::new(connect(&server));
    for (line, ok) in [("nonsense", false), (r#"{"command":"status"}"#, true)] {
        stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .expect("a line");
        assert_eq!(answer(&mut stream)["ok"], json!(ok), "{line}");
    }
    // Two lines in one go are two commands.
    let two = "{\"command\":\"status\"}\n{\"command\":\"loglevel\"}\n";
    stream.get_mut().write_all(two.as_bytes()).expect("lines");
    assert!(answer(&mut stream)["result"]["pid"].is_u64());
    assert!(answer(&mut stream)["result"]["log_level"].is_string());

    let mut endless = connect(&server);
    // It may be closed before all is sent.
    let _ = endless.write_all(&vec![b'x'; 200_000]);
    let told = answer(&mut BufReader::new(&endless));
    assert!(
        told["error"].as_str().unwrap_or_default().contains("65536"),
        "{told}"
    );

    let half = connect(&server);
    (&half)
        .write_all(b"{\"command\":\"drain\"}")
        .expect("half a line");
    half.shutdown(std::net::Shutdown::Write).expect("an end");
    let told = answer(&mut BufReader::new(&half));
    assert_eq!(
        told["ok"],
        json!(false),
        "half a line is no command: {told}"
    );
    assert_eq!(
        call(&server, &json!({"command": "status"}))["draining"],
        json!(false)
    );
}

#[test]
fn a_hundred_idle_clients_are_let_go_and_the_next_is_served() {
    let server = Setup::usual().start();
    let descriptors = server.descriptors();
    let idle: Vec<UnixStream> = (0..100).map(|_| connect(&server)).collect();
    let mut peer = TlsPeer::anonymous()
        .connect(server.tls())
        .expect("a handshake");
    assert_eq!(peer.ask(&Request::ping()).response().status, 200);
    assert!(
        server
            .threads()
            .iter()
            .filter(|name| *name == "control-client")
            .count()
            <= 8
    );
    for mut client in idle {
        let mut said = String::new();
        client.read_to_string(&mut said).expect("an end");
        assert!(said.contains("\"ok\":false"), "{said}");
    }
    drop(peer);
    let deadline = Instant::now() + PATIENCE;
    while server.descriptors() > descriptors && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(server.descriptors() <= descriptors);
    call(&server, &json!({"command": "status"}));
}

#[test]
fn ctl_waits_until_a_busy_server_has_a_place() {
    let server = Setup::usual().start();
    let _idle: Vec<UnixStream> = (0..8).map(|_| connect(&server)).collect();
    let refused = answer(&mut BufReader::new(connect(&server)));
    assert_eq!(
        (&refused["ok"], &refused["busy"]),
        (&json!(false), &json!(true))
    );
    let socket = socket(&server);
    let socket = socket.to_str().expect("a path");
    let (status, printed) = ctl(server.dir(), &["status", "--socket", socket]);
    assert_eq!(status, Some(0), "{printed}");
}

#[test]
fn client_that_reads_nothing_is_cut_off() {
    let server = Setup::usual().start();
    let mut deaf = connect(&server);
    let many = "{\"command\":\"status\"}\n".repeat(200);
    let started = Instant::now();
    // Sooner or later its answers fill what the system holds, and the server takes no more of it.
    let cut_off = loop {
        match deaf.write_all(many.as_bytes()) {
            Ok(()) if started.elapsed() < PATIENCE => {}
            Ok(()) => break None,
            Err(error) => break Some(error.kind()),
        }
    };
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    assert!(
        matches!(cut_off, Some(BrokenPipe | ConnectionReset)),
        "{cut_off:?}"
    );
    call(&server, &json!({"command": "status"}));
}

#[test]
fn socket_of_a_killed_server_is_taken_over_and_that_of_a_living_one_is_not() {
    let server = Setup::usual().start();
    assert!(socket(&server).exists());
    let server = server.kill_and_restart();
    call(&server, &json!({"command": "status"}));
    let second = Setup::usual().set("ControlSocket", &socket(&server).to_string_lossy());
    let (status, text) = run_to_end(&second, PATIENCE);
    assert_eq!(status.and_then(|s| s.code()), Some(1), "{text}");
    assert!(text.contains("another server answers there"), "{text}");
    call(&server, &json!({"command": "status"}));
}

#[test]
fn socket_that_cannot_be_had_keeps_a_server_from_serving_only_if_it_was_asked_for() {
    let setup = Setup::usual().set("ControlSocket", &format!("/tmp/{}", "x".repeat(120)));
    let (status, text) = run_to_end(&setup, PATIENCE);
    assert_eq!(status.and_then(|s| s.code()), Some(1), "{text}");
    assert!(text.contains("ControlSocket"), "{text}");
    let setup = Setup::usual().set("ControlSocketGroup", "no-such-group");
    let (status, text) = run_to_end(&setup, PATIENCE);
    assert_eq!(status.and_then(|s| s.code()), Some(1), "{text}");

    let setup = Setup::usual();
    let long = "x".repeat(120);
    fs::create_dir(setup.dir().join(&long)).expect("a directory with a long name");
    let server = setup.set("DatabasePath", &long).start();
    let log = server.log();
    assert!(log.contains("config.note ControlSocket"), "{log}");

    let server = Setup::usual().set("ControlSocket", "").start();
    assert!(!socket(&server).exists());
    fs::write(server.dir().join("none.config"), "ControlSocket =\n").expect("a file");
    for (situation, arguments, wanted) in [
        (
            "its server has none",
            ["--config", "none.config", "status"],
            2,
        ),
        ("no such file", ["--config", "missing.config", "status"], 2),
        ("nobody there", ["--socket", "missing.sock", "status"], 3),
        ("no such word", ["--socket", "missing.sock", "dance"], 2),
        ("help", ["--socket", "missing.sock", "--help"], 0),
    ] {
        let (status, text) = ctl(server.dir(), &arguments);
        assert_eq!(status, Some(wanted), "{situation}: {text}");
    }
}

#[test]
fn socket_is_closed_to_other_users_and_belongs_to_the_one_that_the_server_becomes() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can become somebody else to try.
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody")
        .expect("the list of users")
        .expect("nobody");
    let setup = Setup::usual();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(setup.dir(), open).expect("an open directory");
    let store = setup.dir().join("store");
    fs::create_dir(&store).expect("a directory for the store");
    std::os::unix::fs::chown(&store, Some(nobody.uid.as_raw()), None).expect("nobody's");
    let server = setup
        .set("DatabasePath", "store")
        .set("ControlSocket", "./sipvouch.sock")
        .set("RunAsUser", "nobody")
        .start();
    let file = fs::symlink_metadata(socket(&server)).expect("the socket");
    assert_eq!(
        (file.uid(), file.mode() & 0o777),
        (nobody.uid.as_raw(), 0o600)
    );
    // A copy where every user can reach it.
    let directory = server.dir();
    let program = directory.join("sipvouch");
    fs::copy(env!("CARGO_BIN_EXE_sipvouch"), &program).expect("the binary");
    let status_as = |uid: u32| {
        let done = Command::new("setpriv")
            .args([format!("--reuid={uid}"), format!("--regid={uid}")])
            .arg("--clear-groups")
            .arg(&program)
            .args(["ctl", "--socket"])
            .arg(socket(&server))
            .arg("status")
            .output()
            .expect("setpriv");
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
        )
    };
    let (status, text) = status_as(nobody.uid.as_raw());
    assert_eq!(status, Some(0), "{text}");
    let (status, text) = status_as(54_321);
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("Permission denied"), "{text}");
    let (status, text) = ctl(directory, &["--socket", "sipvouch.sock", "status"]);
    assert_eq!(status, Some(0), "root may: {text}");
}
