//! The recorded answers of a real repro (`tests/golden/README.md`) against this server, under `IdentityRules = repro`
//! as recorded, and under `secure` as `insecure.tsv` says where it has the row.
//!
//! The server is started on the recorded configuration and on a copy of the recorded Berkeley DB files, as repro was:
//! domains, users, ACL, filters, routes and static registrations come from there. Compared are the handshake's outcome,
//! to the very alert, status and reason phrase. Where the other side would have answered (200 of a phone), it is only
//! compared that the request was let in, as long as nothing is forwarded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openssl::ssl::SslVersion;

use crate::harness::{
    Answer, Connection, Login, Outcome, Pki, Request, Response, Server, Setup, TlsPeer, echo,
    report, tcp_from, tests_dir, udp_from,
};

const MUTUAL_TLS: &str = "Mutual TLS required to handle that message";
const NOT_YOURS: &str = "Authentication Failed for peer cert";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    Repro,
    Secure,
}

impl Rules {
    fn setting(self) -> &'static str {
        match self {
            Self::Repro => "repro",
            Self::Secure => "secure",
        }
    }
}

/// One line of `repro-answers.tsv`.
#[derive(Debug)]
struct Row {
    id: String,
    variant: String,
    verify: String,
    cert: String,
    method: String,
    to_tag: bool,
    from: String,
    other: BTreeMap<String, String>,
    outcome: String,
    status: String,
    reason: String,
}

impl Row {
    fn other(&self, key: &str) -> Option<&str> {
        self.other.get(key).map(String::as_str)
    }

    fn ruri(&self) -> &str {
        self.other("ruri").unwrap_or(if self.method == "REGISTER" {
            "sip:example.org"
        } else {
            "sip:eve@example.org"
        })
    }
}

/// What the row must give.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    outcome: String,
    answer: Class,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Class {
    /// No final answer.
    Silence,
    /// Past every check of identity: anything but 400, 401, 403, 407, and no failure of the server itself.
    Admitted,
    /// This status and phrase; no phrase means any.
    Exactly(u16, Option<String>),
}

impl Class {
    fn accepts(&self, observed: &Observed) -> bool {
        match (self, &observed.answer) {
            (Self::Silence, None) => true,
            (Self::Admitted, Some((403, phrase))) => phrase == "Relaying Forbidden",
            (Self::Admitted, Some((status, _))) => !matches!(status, 400 | 401 | 407 | 500 | 503),
            (Self::Exactly(wanted, phrase), Some((status, reason))) => {
                wanted == status && phrase.as_ref().is_none_or(|phrase| phrase == reason)
            }
            _ => false,
        }
    }
}

/// What the row gave.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    outcome: String,
    answer: Option<(u16, String)>,
}

#[test]
fn recorded_answers_of_repro_under_its_own_rules() {
    compare(Rules::Repro);
}

#[test]
fn recorded_answers_of_repro_or_the_secure_ones_by_default() {
    compare(Rules::Secure);
}

fn compare(rules: Rules) {
    let rows = rows();
    let secure = secure_answers();
    assert_eq!(rows.len(), 349, "rows of repro-answers.tsv");
    assert_eq!(secure.len(), 79, "rows of insecure.tsv");

    let mut excluded: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut by_design: Vec<(&str, &str)> = Vec::new();
    let mut by_variant: BTreeMap<&str, Vec<(&Row, Expected)>> = BTreeMap::new();
    for row in &rows {
        if let Some(reason) = exclusion(row, rules) {
            excluded.entry(reason).or_default().push(&row.id);
            continue;
        }
        let expected = if let Some((expected, reason)) = different_by_design(row, rules) {
            by_design.push((&row.id, reason));
            expected
        } else if let (Rules::Secure, Some(answer)) = (rules, secure.get(&row.id)) {
            secure_answer(row, answer)
        } else {
            recorded_answer(row)
        };
        by_variant
            .entry(&row.variant)
            .or_default()
            .push((row, expected));
    }

    let mut run = 0;
    let mut differences = Vec::new();
    for (variant, rows) in by_variant {
        run += rows.len();
        let mut server = start(variant, rules);
        differences.extend(run_rows(&server, &rows));
        assert!(
            server.lives(),
            "the server of {variant} died:\n{}",
            server.log()
        );
    }

    let left_out: usize = excluded.values().map(Vec::len).sum();
    let mut text = format!(
        "parity IdentityRules={}: rows {}, run {run}, equal {}, excluded {left_out}\n",
        rules.setting(),
        rows.len(),
        run - differences.len(),
    );
    for (reason, ids) in &excluded {
        let _ = writeln!(text, "  excluded {:3}: {reason}", ids.len());
        for id in ids {
            let _ = writeln!(text, "      {id}");
        }
    }
    for (id, reason) in by_design {
        let _ = writeln!(text, "  other than recorded, by design: {id}: {reason}");
    }
    report(&text);
    assert_eq!(
        run + left_out,
        rows.len(),
        "every row is run or excluded with a reason"
    );
    assert!(
        differences.is_empty(),
        "{} rows differ under IdentityRules={}:\n{}",
        differences.len(),
        rules.setting(),
        differences.join("\n")
    );
}

/// Why a row cannot be run yet.
fn exclusion(row: &Row, rules: Rules) -> Option<&'static str> {
    if rules == Rules::Repro && row.outcome.contains("server-") {
        Some("nobody is obliged to crash or to loop as repro did")
    } else if rules == Rules::Repro && row.outcome == "alert:internal_error" {
        Some(
            "a fault inside repro's use of OpenSSL, not a rule: old versions and resumption end in internal_error",
        )
    } else {
        None
    }
}

/// Rows where this server knowingly answers other than recorded although `insecure.tsv` does not ask for it.
fn different_by_design(row: &Row, rules: Rules) -> Option<(Expected, &'static str)> {
    let after_handshake = |answer| Expected {
        outcome: row.outcome.clone(),
        answer,
    };
    let refused = |status, phrase: Option<&str>| Class::Exactly(status, phrase.map(str::to_owned));
    let challenged = Class::Exactly(407, Some("Proxy Authentication Required".to_owned()));
    match (row.id.as_str(), rules) {
        ("opt-cert-dig/none/REGISTER/alice@example.org/digest=daniel_realm=pocock.com.au", _) => {
            Some((
                after_handshake(match rules {
                    Rules::Repro => challenged,
                    Rules::Secure => refused(401, Some("Unauthorized")),
                }),
                "a nonce is good for the realm that it was given for, and no other",
            ))
        }
        (_, Rules::Secure) if row.method == "REGISTER" && row.status == "407" => Some((
            after_handshake(refused(401, Some("Unauthorized"))),
            "a registrar asks with 401 (RFC 3261 §22.2); RegisterChallengeStatus = 407 has it as recorded",
        )),
        ("opt-cert-dig/none/MESSAGE/raw_two-alice-bob/ruri=echo@example.org", Rules::Secure) => {
            Some((
                after_handshake(refused(400, None)),
                "more than one From is malformed (RFC 4475 §3.3.8): nobody may choose which one counts",
            ))
        }
        (
            "opt-cert-dig/none/INVITE+tag/carol@other.example.net/ruri=echo@example.org",
            Rules::Secure,
        ) => Some((
            after_handshake(refused(403, Some(MUTUAL_TLS))),
            "a To tag takes nobody around the check of certificates",
        )),
        ("opt-cert-olddb/phone-0004F2999999/MESSAGE/alice@example.org", _) => Some((
            after_handshake(Class::Exactly(404, Some("Not Found".to_owned()))),
            "the table of peer identities lets it in; the user eve is not in that data base, so it is 404 and not 480",
        )),
        (
            "opt-cert/none/OPTIONS/alice@example.org/hdr=User-Agent_friendly-scanner",
            Rules::Repro,
        ) => Some((
            after_handshake(Class::Exactly(603, Some("Decline".to_owned()))),
            "a filter that rejects with a 6xx code does; repro let such a request pass",
        )),
        (
            "opt-cert/alice-cn/INVITE/alice@example.org/ruri=9180@example.org_cancel=other_cancel-cert=bob-uri",
            Rules::Repro,
        ) => Some((
            after_handshake(refused(481, None)),
            "a CANCEL over another connection cancels nobody's call, under whatever rules",
        )),
        ("opt-cert/none/BYE/carol@other.example.net/ruri=x@127.0.0.1_5070", Rules::Secure) => {
            Some((
                after_handshake(refused(403, Some(MUTUAL_TLS))),
                "a BYE is not exempt: without a certificate it does not come as far as relaying",
            ))
        }
        ("opt-cert-dig/none/MESSAGE/alice@example.org/transport=udp_src=127.0.0.8", _) => Some((
            after_handshake(challenged),
            "an entry of the ACL does not count for a datagram, on which anybody writes any address; so it needs digest",
        )),
        ("opt-cert/none/MESSAGE/alice@example.org/transport=udp_src=127.0.0.8", Rules::Secure) => {
            Some((
                after_handshake(refused(403, Some(MUTUAL_TLS))),
                "an entry of the ACL does not count for a datagram, on which anybody writes any address",
            ))
        }
        ("opt-cert-map/phone-lowercase/MESSAGE/alice@example.org", Rules::Secure) => Some((
            after_handshake(Class::Admitted),
            "a MAC address in a CN is compared without case and separators",
        )),
        ("opt-cert/alice-cn/MESSAGE/alice@example.org.", Rules::Secure) => Some((
            after_handshake(Class::Admitted),
            "the trailing dot of a host name is dropped",
        )),
        ("opt-cert/alice-cn/MESSAGE/raw_two-bob-alice/ruri=echo@example.org", Rules::Secure) => {
            Some((
                after_handshake(refused(400, None)),
                "more than one From is malformed (RFC 4475 §3.3.8): nobody may choose which one counts",
            ))
        }
        ("opt-cert/alice-revoked/MESSAGE/alice@example.org", Rules::Secure) => Some((
            after_handshake(Class::Admitted),
            "no CRL is configured here, so the recorded answer stands (insecure.tsv says so)",
        )),
        ("opt-cert-wild/wildcard-dns/MESSAGE/carol@other.example.net", Rules::Secure) => Some((
            after_handshake(Class::Admitted),
            "AllowWildcardCertificates holds for clients too, for one leftmost label; repro forgot them",
        )),
        ("opt-cert-presence/alice-cn/SUBSCRIBE/bob@example.org/ruri=bob@example.org", _)
        | ("opt-cert-presence/alice-cn/PUBLISH/bob@example.org/ruri=bob@example.org", _) => Some((
            after_handshake(refused(403, Some(NOT_YOURS))),
            "repro's presence server has a path and a phrase of its own; here one check has one phrase",
        )),
        _ => None,
    }
}

fn recorded_answer(row: &Row) -> Expected {
    Expected {
        outcome: row.outcome.clone(),
        answer: class(
            row,
            &row.status,
            (!row.reason.is_empty()).then(|| row.reason.clone()),
        ),
    }
}

fn secure_answer(row: &Row, answer: &SecureAnswer) -> Expected {
    // Who proves a password is told by digest why not, and in whatever words.
    let phrase = (answer.status == "403" && row.other("digest").is_none()).then(|| {
        let without_proof =
            row.cert == "none" || row.verify == "None" || row.other("transport").is_some();
        match (
            without_proof,
            row.method.as_str(),
            row.variant.contains("-map"),
        ) {
            (true, _, _) => MUTUAL_TLS.to_owned(),
            (false, "REGISTER", true) => "Authorization Failed for peer cert".to_owned(),
            // repro's database back end, which decides when there are no mappings, ends its phrase with a full stop.
            (false, "REGISTER", false) => format!("{NOT_YOURS}."),
            (false, _, _) => NOT_YOURS.to_owned(),
        }
    });
    // 480 or 200 say that it passes; here somebody is there who answers.
    let status = match answer.status.as_str() {
        "480" if row.ruri().starts_with("sip:echo@") => "200",
        status => status,
    };
    Expected {
        outcome: answer.outcome.clone(),
        answer: class(row, status, phrase),
    }
}

fn class(row: &Row, status: &str, phrase: Option<String>) -> Class {
    match status {
        "-" => Class::Silence,
        "200" if row.variant.contains("presence") => Class::Admitted,
        status => {
            let number = status.parse().expect("a status");
            let standard = match number {
                200 => Some("OK"),
                404 => Some("Not Found"),
                407 => Some("Proxy Authentication Required"),
                480 => Some("Temporarily Unavailable"),
                481 => Some("Call/Transaction Does Not Exist"),
                483 => Some("Too Many Hops"),
                _ => None,
            };
            Class::Exactly(number, phrase.or(standard.map(str::to_owned)))
        }
    }
}

/// Runs the rows of one variant, a few at a time: most of a row is waiting for an alert.
fn run_rows(server: &Server, rows: &[(&Row, Expected)]) -> Vec<String> {
    let next = Mutex::new(rows.iter());
    let differences = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some((row, expected)) =
                        next.lock().unwrap_or_else(PoisonError::into_inner).next()
                    else {
                        return;
                    };
                    let observed = run(server, row);
                    if observed.outcome != expected.outcome || !expected.answer.accepts(&observed) {
                        let line = format!(
                            "  {}\n      wanted {expected:?}\n      got    {observed:?}",
                            row.id
                        );
                        differences
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(line);
                    }
                }
            });
        }
    });
    differences
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

fn run(server: &Server, row: &Row) -> Observed {
    let mut connection = match connect(server, row) {
        Ok(connection) => connection,
        Err(outcome) => {
            return Observed {
                outcome: outcome.to_string(),
                answer: None,
            };
        }
    };
    let outcome = if row.other("transport").is_some() {
        "-".to_owned()
    } else {
        Outcome::Ok.to_string()
    };
    let request = request(server, row);
    let answer = if let Some(by) = row.other("cancel") {
        cancelled(server, row, &request, by, &mut connection)
    } else if row.method == "ACK" || row.status == "-" && row.id.contains("raw_missing") {
        let patience = Duration::from_millis(if row.method == "ACK" { 1_200 } else { 4_000 });
        connection.send_request(&request).expect("a request sent");
        connection.final_answer(&request, patience)
    } else if let Some(user) = row.other("digest") {
        with_password(row, user, &request, &mut connection)
    } else {
        connection.ask(&request)
    };
    match answer {
        Answer::Response(response) => Observed {
            outcome,
            answer: Some((response.status, response.reason)),
        },
        Answer::Silence => Observed {
            outcome,
            answer: None,
        },
        Answer::Closed(how) => Observed {
            outcome: format!("{outcome},closed:{how}"),
            answer: None,
        },
    }
}

/// The answer to a request whose challenge is answered, or to a second one with the very same credentials.
fn with_password(row: &Row, user: &str, request: &Request, connection: &mut Connection) -> Answer {
    let known = match user {
        "alice" | "bob" | "eve" | "daniel" | "frank" => format!("{user}-pw"),
        _ => "x".to_owned(),
    };
    let other = |key: &str| row.other(key).map(str::to_owned);
    let login = Login {
        realm: other("realm"),
        nonce: other("nonce"),
        uri: other("digest-uri"),
        algorithm: other("alg"),
        ..Login::new(user, row.other("pw").unwrap_or(&known))
    };
    let challenge = match connection.ask(request) {
        Answer::Response(challenge) if matches!(challenge.status, 401 | 407) => challenge,
        answer => return answer,
    };
    let mut answered = request.following();
    let credentials = login.answer(&challenge, &answered);
    answered.headers.push(credentials);
    let answer = connection.ask(&answered);
    if row.other("times") != Some("2") {
        return answer;
    }
    let mut again = answered.following();
    if let Some(ruri) = row.other("then-ruri") {
        ruri.clone_into(&mut again.ruri);
    }
    if let Some(from) = row.other("then-from") {
        again.from = again.from.replace(&row.from, from);
    }
    connection.ask(&again)
}

/// The answer to a CANCEL of a call that rings, sent `by` the same connection or another.
fn cancelled(
    server: &Server,
    row: &Row,
    invite: &Request,
    by: &str,
    caller: &mut Connection,
) -> Answer {
    caller.send_request(invite).expect("a request sent");
    let rings = |answer: &Answer| matches!(answer, Answer::Response(r) if r.status == 180);
    while let answer = caller.next(Duration::from_secs(5))
        && !rings(&answer)
    {
        let Answer::Response(Response { status: 100, .. }) = answer else {
            return answer;
        };
    }
    let mut cancel = invite.clone();
    "CANCEL".clone_into(&mut cancel.method);
    if let Some(from) = row.other("cancel-from") {
        cancel.from = invite.from.replace("sip:alice@example.org", from);
    }
    if by == "same" {
        return caller.ask(&cancel);
    }
    let cert = row.other("cancel-cert").unwrap_or(&row.cert);
    let other = TlsPeer::named(cert).settling().connect(server.tls());
    let answer = other.expect("a connection").ask(&cancel);
    // Nobody is left ringing.
    let _ = caller.ask(&cancel);
    answer
}

fn connect(server: &Server, row: &Row) -> Result<Connection, Outcome> {
    let source = row
        .other("src")
        .unwrap_or("127.0.0.3")
        .parse()
        .expect("an address");
    match row.other("transport") {
        Some("udp") => return Ok(udp_from(source, server.udp())),
        Some("tcp") => return Ok(tcp_from(source, server.tcp())),
        _ => {}
    }
    let mut peer = TlsPeer::named(&row.cert).from(source).settling();
    peer.version = row.other("tls").map(|version| match version {
        "1.0" => SslVersion::TLS1,
        "1.1" => SslVersion::TLS1_1,
        "1.2" => SslVersion::TLS1_2,
        other => panic!("tls={other}"),
    });
    match row.other("sni") {
        None => {}
        Some("none") => peer.sni = None,
        Some(name) => peer.sni = Some(name.to_owned()),
    }
    if row.other("resume").is_some() {
        let mut first = peer.connect(server.tls())?;
        let answer = first.ask(&Request::ping()).response();
        assert_eq!(answer.status, 200, "{}", row.id);
        first.close();
        return peer.resume(server.tls());
    }
    peer.connect(server.tls())
}

fn request(server: &Server, row: &Row) -> Request {
    let mut request = Request::new(&row.method, row.ruri(), &row.from);
    if let Some(raw) = row
        .from
        .strip_prefix("raw[")
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let raw = raw.replace("\\r\\n", "\r\n");
        request.from = raw
            .split(" // ")
            .filter(|line| !line.is_empty())
            .fold(String::new(), |text, line| text + line + "\r\n");
        request.to = "sip:alice@example.org".to_owned();
    }
    if let Some(to) = row.other("to") {
        to.clone_into(&mut request.to);
    }
    request.to_tag = row.to_tag;
    if let Some(max) = row.other("maxfwd") {
        request.max_forwards = max.parse().expect("maxfwd");
    }
    if row.other("ua") == Some("none") {
        request.user_agent = None;
    }
    match row.other("contact") {
        None => {}
        Some("none") => request.contact = Some(String::new()),
        Some(contact) => request.contact = Some(contact.to_owned()),
    }
    let expires = row.other("expires").unwrap_or("60");
    match row.method.as_str() {
        "REGISTER" => request.headers.push(format!("Expires: {expires}")),
        "REFER" => request
            .headers
            .push("Refer-To: <sip:carol@example.org>".to_owned()),
        "SUBSCRIBE" | "PUBLISH" => {
            request.headers.push("Event: presence".to_owned());
            request.headers.push(format!("Expires: {expires}"));
        }
        "NOTIFY" => {
            request.headers.push("Event: presence".to_owned());
            request
                .headers
                .push("Subscription-State: active".to_owned());
        }
        "MESSAGE" => "hello".clone_into(&mut request.body),
        _ => {}
    }
    if let Some(value) = row.other("referred-by") {
        request.headers.push(format!("Referred-By: {value}"));
    }
    if let Some(route) = row.other("route") {
        let route = route.replace(":5061", &format!(":{}", server.tls().port()));
        request.headers.push(format!("Route: <{route}>"));
    }
    if let Some((name, value)) = row.other("hdr").and_then(|header| header.split_once(':')) {
        if name == "User-Agent" {
            request.user_agent = Some(value.to_owned());
        } else {
            request.headers.push(format!("{name}: {value}"));
        }
    }
    request
}

/// A server as the recording had it, as far as this one has the settings.
fn start(variant: &str, rules: Rules) -> Server {
    let golden = tests_dir().join("golden");
    let read = |name: &str| {
        let file = golden.join(format!("variants/{name}.config"));
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    };
    let config = merged(&read("base"), &read(variant));
    let setup = Setup::new(&config).set("IdentityRules", rules.setting());
    let legacy = tests_dir().join("golden/legacy-repro");
    copy_files(&legacy.join("db"), &setup.dir().join("db"));
    if variant.ends_with("-olddb") {
        copy_files(&legacy.join("db-v2"), &setup.dir().join("db"));
    }
    let pki = Pki::get();
    for (from, to) in [
        (golden.join("tlsUserMappings.txt"), "tlsUserMappings.txt"),
        (pki.path("server/server-ec.crt"), "server-ec.crt"),
        (pki.path("server/server-ec.key"), "server-ec.key"),
    ] {
        fs::copy(from, setup.dir().join(to)).expect("a file of the recording");
    }
    echo();
    setup.start()
}

/// Copies the files of a folder into another, which is made if it is not there.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// `base` with the settings of `variant` put in the place of its own; `# Name is not set` takes one away.
pub(crate) fn merged(base: &str, variant: &str) -> String {
    let settings = |text: &str| -> Vec<(String, String)> {
        text.lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect()
    };
    let changes = settings(variant);
    let mut all = settings(base);
    all.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    all.retain(|(name, _)| !variant.contains(&format!("# {name} is not set")));
    all.extend(changes);
    all.into_iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name} = {value}");
            text
        })
}

#[derive(Debug)]
struct SecureAnswer {
    outcome: String,
    status: String,
}

/// The lines of a table of `tests/golden`, without its heading, cut at the tabs.
pub(crate) fn table(name: &str) -> Vec<Vec<String>> {
    let text =
        fs::read_to_string(tests_dir().join("golden").join(name)).expect("a table of tests/golden");
    text.lines()
        .skip(1)
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

fn rows() -> Vec<Row> {
    table("repro-answers.tsv")
        .into_iter()
        .map(|cells| {
            let cell = |n: usize| cells.get(n).cloned().unwrap_or_default();
            Row {
                id: cell(0),
                variant: cell(1),
                verify: cell(2),
                cert: cell(3),
                method: cell(4),
                to_tag: cell(5) == "yes",
                from: cell(6),
                other: cell(7)
                    .split(' ')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
                outcome: cell(8),
                status: cell(9),
                reason: cell(10),
            }
        })
        .collect()
}

fn secure_answers() -> BTreeMap<String, SecureAnswer> {
    table("insecure.tsv")
        .into_iter()
        .map(|cells| {
            (
                cells[0].clone(),
                SecureAnswer {
                    outcome: cells[11].clone(),
                    status: cells[12].clone(),
                },
            )
        })
        .collect()
}
